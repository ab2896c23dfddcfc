//! What mails say, as people read them.

use tenantry::notices::mail::{InvitationText, Letter};

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

fn invitation(tenant: &str) -> Letter {
    let text = InvitationText {
        role: "billing_admin",
        expires_at: "2026-03-22T12:00:00Z".parse().unwrap(),
        url: Some("https://app.example/invitations/accept?token=ti_abc"),
    };
    Letter::invitation(text, tenant).unwrap()
}

#[test]
fn the_invitation() {
    let letter = invitation("Acme");
    insta::assert_snapshot!(format!("Subject: {}\n\n{}\n\n{}", letter.subject, letter.text, letter.html));
}

#[test]
fn a_name_is_text_wherever_it_stands() {
    let name = "<script>alert(1)</script>\r\nBcc: evil@example.com\u{202e}\" & Söhne";
    let letters = samples::all().into_iter().map(|data| Letter::about(&data, name).unwrap());
    for letter in letters.chain([invitation(name)]) {
        assert!(!letter.html.contains("<script"), "{}", letter.html);
        assert!(!letter.html.contains("javascript:") && !letter.text.contains("javascript:"));
        for text in [&letter.subject, &letter.text, &letter.html] {
            assert!(!text.contains('\r') && !text.contains("\nBcc") && !text.contains('\u{202e}'), "{text}");
        }
        assert!(!letter.subject.contains('\n'));
        assert!(letter.html.contains("&amp;") || letter.html.contains("&#38;"), "{}", letter.html);
    }
}
