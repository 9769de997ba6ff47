//! Which site was meant by a name that none has. Pure.

use crate::ids::SiteId;

/// What is said of a site that there is not.
pub(super) fn no_such_site<'a>(word: &SiteId, known: impl Iterator<Item = &'a SiteId>) -> String {
    match nearest(word, known) {
        Some(near) => {
            format!("there is no site {word}; is it {near}? All of them: tawi-controller site list")
        }
        None => format!("there is no site {word}: tawi-controller site list"),
    }
}

/// The site whose name is nearly this, if any is.
pub(super) fn nearest<'a>(word: &SiteId, known: impl Iterator<Item = &'a SiteId>) -> Option<&'a SiteId> {
    let away = |site: &&SiteId| distance(word.as_str(), site.as_str());
    known.min_by_key(away).filter(|site| away(site).saturating_mul(3) <= word.as_str().len())
}

/// How many letters are to be put in, left out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut left = at.saturating_add(1);
        let mut next = vec![left];
        for ((before, above), theirs) in row.iter().zip(row.iter().skip(1)).zip(other.chars()) {
            let changed = before.saturating_add(usize::from(letter != theirs));
            left = changed.min(left.min(*above).saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_letter_too_few_is_nearly_one_and_another_word_is_not() {
        let sites = ["nyeri-01", "thika-02"].map(|name| SiteId::parse(name).unwrap());
        let meant = |word: &str| nearest(&SiteId::parse(word).unwrap(), sites.iter()).map(SiteId::as_str);
        assert_eq!(meant("nyri-01"), Some("nyeri-01"));
        assert_eq!(meant("thika-2"), Some("thika-02"));
        assert_eq!(meant("karatina"), None);
        let words = no_such_site(&SiteId::parse("thika-2").unwrap(), sites.iter());
        assert!(words.contains("is it thika-02?"), "{words}");
    }
}
