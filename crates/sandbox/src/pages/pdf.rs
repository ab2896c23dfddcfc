//! An invoice as a PDF: one page of text, enough to be opened, printed and attached.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::invoice::{InvoicePage, by_page, view};
use super::{not_found, read};
use crate::server::shared::Shared;

/// Lines that fit on the page.
const LINES: usize = 48;

pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(address): Path<String>) -> Response {
    let found = read(&shared, |work| by_page(work, &address).map(|invoice| view(work, invoice, None))).await;
    let Some(invoice) = found else { return not_found() };
    let name = format!("inline; filename=\"invoice-{}.pdf\"", invoice.number);
    let headers = [(header::CONTENT_TYPE, "application/pdf".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, document(&text(&invoice))).into_response()
}

fn text(invoice: &InvoicePage) -> Vec<String> {
    let mut lines = vec![format!("Invoice {}", invoice.number), invoice.state.clone(), String::new()];
    lines.extend(invoice.address.iter().cloned());
    lines.push(String::new());
    for line in &invoice.lines {
        lines.push(format!("{}   {}", line.name, line.amount));
        lines.push(format!("    {}", line.rate));
    }
    lines.push(String::new());
    lines.push(format!("Subtotal   {}", invoice.subtotal));
    lines.extend(invoice.tax.iter().map(|tax| format!("Tax   {tax}")));
    lines.extend(invoice.balance.iter().map(|balance| format!("Balance applied   {balance}")));
    lines.push(format!("Amount due   {}", invoice.due));
    lines.push(String::new());
    lines.push("Made by a sandbox: no payment took place.".to_owned());
    if lines.len() > LINES {
        lines.truncate(LINES - 1);
        lines.push("...".to_owned());
    }
    lines
}

/// A PDF of one page with these lines, in a font that every reader has.
fn document(lines: &[String]) -> Vec<u8> {
    let mut content = b"BT /F1 11 Tf 15 TL 56 780 Td\n".to_vec();
    for line in lines {
        content.push(b'(');
        content.extend(line.chars().flat_map(encoded));
        content.extend(b") Tj T*\n");
    }
    content.extend(b"ET");
    let mut stream = format!("<< /Length {} >>\nstream\n", content.len()).into_bytes();
    stream.extend(content);
    stream.extend(b"\nendstream");
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
          /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_vec(),
        stream,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_vec(),
    ];
    let mut pdf = b"%PDF-1.4\n".to_vec();
    let mut table = String::from("0000000000 65535 f \n");
    for (number, object) in (1..).zip(&objects) {
        // Writing into a string cannot fail.
        let _ = writeln!(table, "{:010} 00000 n ", pdf.len());
        pdf.extend(format!("{number} 0 obj\n").into_bytes());
        pdf.extend(object);
        pdf.extend(b"\nendobj\n");
    }
    let start = pdf.len();
    let size = objects.len() + 1;
    pdf.extend(format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n").into_bytes());
    pdf.extend(format!("startxref\n{start}\n%%EOF\n").into_bytes());
    pdf
}

/// A character in the page's encoding (WinAnsi); what it does not have becomes a question mark.
fn encoded(letter: char) -> Vec<u8> {
    match letter {
        '(' | ')' | '\\' => vec![b'\\', u8::try_from(letter).unwrap_or(b'?')],
        '€' => vec![0x80],
        _ => vec![u8::try_from(letter).ok().filter(|byte| !(0x00..0x20).contains(byte)).unwrap_or(b'?')],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_points_at_the_objects() {
        let pdf = document(&["Total (net) €5".to_owned()]);
        let text = String::from_utf8_lossy(&pdf).into_owned();
        assert!(text.contains("(Total \\(net\\) "));
        let start: usize = text.rsplit("startxref\n").next().unwrap().split('\n').next().unwrap().parse().unwrap();
        assert!(pdf[start..].starts_with(b"xref"));
        let entries = std::str::from_utf8(&pdf[start..]).unwrap().lines().skip(3).take(5);
        for (number, entry) in (1..).zip(entries) {
            let at: usize = entry[..10].parse().unwrap();
            assert!(pdf[at..].starts_with(format!("{number} 0 obj").as_bytes()));
        }
    }
}
