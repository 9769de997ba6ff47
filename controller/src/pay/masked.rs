//! A customer's name as anybody may see it who knows the account number: enough to see a slip, not enough to learn a
//! name. Pure.

/// Words of a name that are shown: more would tell how many names somebody has.
const WORDS: usize = 3;

/// The first letter of each word, and the same three dots behind each: `J••• N•••`.
pub(super) fn name(name: &str) -> String {
    let letters =
        name.split_whitespace().filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()));
    let words: Vec<String> = letters.take(WORDS).map(|letter| format!("{letter}•••")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_its_first_letters_and_not_its_length() {
        let check = |full: &str, masked: &str| assert_eq!(name(full), masked);
        check("Corner Shop", "C••• S•••");
        check("A", "A•••");
        check("  one   two three four five ", "o••• t••• t•••");
        check("(the) Éclair", "t••• É•••");
        check("--", "");
    }
}
