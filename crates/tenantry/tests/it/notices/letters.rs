//! What mails say, as people read them.

use tenantry::notices::mail::Letter;

use super::samples;

#[test]
fn the_texts_of_all_kinds() {
    let texts: Vec<String> = samples::all()
        .iter()
        .map(|data| {
            let letter = Letter::about(data, "Acme").unwrap();
            format!("Subject: {}\n\n{}", letter.subject, letter.text)
        })
        .collect();
    insta::assert_snapshot!(texts.join("\n\n==========\n\n"));
}

#[test]
fn the_page_of_a_failed_payment() {
    let letter = Letter::about(&samples::payment_failed(), "Acme").unwrap();
    insta::assert_snapshot!(letter.html);
}

#[test]
fn a_name_is_text_wherever_it_stands() {
    let name = "<script>alert(1)</script>\r\nBcc: evil@example.com\u{202e}\" & Söhne";
    for data in samples::all() {
        let letter = Letter::about(&data, name).unwrap();
        assert!(!letter.html.contains("<script"), "{}", letter.html);
        assert!(!letter.html.contains("javascript:") && !letter.text.contains("javascript:"));
        for text in [&letter.subject, &letter.text, &letter.html] {
            assert!(!text.contains('\r') && !text.contains("\nBcc") && !text.contains('\u{202e}'), "{text}");
        }
        assert!(!letter.subject.contains('\n'));
        assert!(letter.html.contains("&amp;") || letter.html.contains("&#38;"), "{}", letter.html);
    }
}
