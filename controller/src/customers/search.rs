//! What somebody who types into the search box means. Pure; the rows are found by `store`.

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everybody.
    All,
    /// Digits: the beginning of an account number or of a phone number.
    Number { account: String, phone: String },
    /// A part of a name, in lower case, as a pattern for SQL `LIKE` with `\` as the escape character.
    Name(String),
}

impl Wanted {
    pub(super) fn parse(query: &str) -> Self {
        let query = query.trim();
        if query.is_empty() {
            return Self::All;
        }
        let digits: String =
            query.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '+' | '(' | ')')).collect();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Name(format!("%{}%", escaped(&query.to_lowercase())));
        }
        let national = digits.strip_prefix("254").or_else(|| digits.strip_prefix('0')).unwrap_or(&digits);
        let phone = format!("254{national}");
        Self::Number { account: digits, phone }
    }
}

/// `%` and `_` are wildcards of `LIKE` and may stand in a name.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_number_or_a_name() {
        let number = |account: &str, phone: &str| Wanted::Number {
            account: account.to_owned(),
            phone: phone.to_owned(),
        };
        assert_eq!(Wanted::parse("  "), Wanted::All);
        assert_eq!(Wanted::parse("1000 0012"), number("10000012", "25410000012"));
        assert_eq!(Wanted::parse("0712-3"), number("07123", "2547123"));
        assert_eq!(Wanted::parse("+254 712"), number("254712", "254712"));
        assert_eq!(Wanted::parse("Corner Shop"), Wanted::Name("%corner shop%".to_owned()));
        assert_eq!(Wanted::parse("50%_"), Wanted::Name("%50\\%\\_%".to_owned()));
        assert_eq!(Wanted::parse("-"), Wanted::Name("%-%".to_owned()));
    }
}
