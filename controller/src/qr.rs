//! A text as a QR code: for a terminal and for a page. Pure.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code: fewer are read by some cameras only.
const QUIET: i32 = 4;

/// A code. Its `Debug` shows nothing, since what it says may be a secret.
pub struct Qr(QrCode);

impl std::fmt::Debug for Qr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Qr")
    }
}

impl Qr {
    /// `None` when the text is too long for a code: about 2,900 bytes.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        QrCode::encode_text(text, QrCodeEcc::Low).ok().map(Self)
    }

    fn is_dark(&self, column: i32, row: i32) -> bool {
        self.0.get_module(column, row)
    }

    /// How wide [`Qr::to_terminal`] is.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.span().count()
    }

    fn span(&self) -> std::ops::Range<i32> {
        -QUIET..self.0.size().saturating_add(QUIET)
    }

    /// For a terminal: two modules above each other in one character. Black on white in so many words, because a code in the
    /// colours of a dark terminal is a negative, which many cameras do not read.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        let mut text = String::new();
        for row in self.span().step_by(2) {
            text.push_str("\u{1b}[30;107m");
            for column in self.span() {
                text.push(match (self.is_dark(column, row), self.is_dark(column, row.saturating_add(1))) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push_str("\u{1b}[0m\n");
        }
        text
    }

    /// For a page, with a title for those who do not see it. Black on white also where the page is dark.
    #[must_use]
    pub fn to_svg(&self, title: &'static str) -> String {
        let side = self.0.size().saturating_add(QUIET.saturating_mul(2));
        let mut path = String::new();
        for row in 0..self.0.size() {
            for column in (0..self.0.size()).filter(|column| self.is_dark(*column, row)) {
                // A string takes every write.
                let _ =
                    write!(path, "M{},{}h1v1h-1z", column.saturating_add(QUIET), row.saturating_add(QUIET));
            }
        }
        format!(
            "<svg class=\"qr\" role=\"img\" viewBox=\"0 0 {side} {side}\" width=\"{width}\" height=\"{width}\" \
             shape-rendering=\"crispEdges\"><title>{title}</title>\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>",
            width = side.saturating_mul(5),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_fits_a_terminal_of_eighty_columns() {
        let ticket = "tawi1.".to_owned() + &"Ab0_".repeat(35);
        let text = Qr::of(&ticket).unwrap().to_terminal();
        let widths: Vec<usize> =
            text.lines().map(|line| line.chars().filter(|c| " █▀▄".contains(*c)).count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0] && *width < 80), "{widths:?}");
        assert!(widths.len() < 40, "{} lines", widths.len());
    }

    #[test]
    fn both_pictures_show_the_same_code() {
        let qr = Qr::of("tawi1.x").unwrap();
        let svg = qr.to_svg("A ticket");
        // The outer square of the mark in the corner begins behind the quiet zone.
        assert!(svg.contains("M4,4h1v1h-1z") && !svg.contains("M3,4"), "{svg}");
        let first = qr.to_terminal().lines().nth(2).unwrap().to_owned();
        assert!(first.starts_with("\u{1b}[30;107m    █▀▀▀▀▀█"), "{first}");
    }

    #[test]
    fn what_is_too_long_has_no_code_and_a_code_is_not_printed() {
        assert!(Qr::of(&"x".repeat(3_500)).is_none());
        assert_eq!(format!("{:?}", Qr::of("tawi1.secret").unwrap()), "Qr");
    }
}
