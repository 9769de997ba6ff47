//! Which characters a text from outside may have. Pure.
//!
//! Control characters are none that a person types: they forge lines in logs, hide in names, and a NUL is what PostgreSQL
//! takes in no text. What people and programs send is refused with them (`web`: paths, queries, forms, JSON); what agents
//! and M-Pesa report is kept without them, because nobody is there to send it again.

/// Whether a text has no control characters but the breaks and tabs of a text of several lines.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\r' | '\t'))
}

/// Whether a text is plain and on one line.
#[must_use]
pub fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A text on one line, of at most so many characters: control characters are left out.
#[must_use]
pub fn line_of(text: &str, characters: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_no_text_and_line_breaks_are_no_line() {
        let check = |text: &str, plain: bool, one_line: bool, line: &str| {
            assert_eq!((is_plain(text), is_one_line(text)), (plain, one_line), "{text:?}");
            assert_eq!(line_of(text, 4), line, "{text:?}");
        };
        check("", true, true, "");
        check("Njoki’s", true, true, "Njok");
        check("a\r\n\tb", true, false, "ab");
        for strange in ['\0', '\u{1}', '\u{8}', '\u{b}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
            check(&format!("a{strange}b"), false, false, "ab");
        }
    }
}
