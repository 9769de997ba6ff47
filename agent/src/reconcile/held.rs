//! What the guard holds, by a name of its own. Pure.
//!
//! A person lets go what a page showed. Between the look and the button more may be held, so that a release names exactly
//! the lines that were shown, by their digest; whatever else is held by then stays so.

use std::collections::BTreeSet;

use ring::digest::{Context, SHA256};
use tawi_shared::ids::hex;

/// What is held on a router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The lines that lose access once they are let go.
    pub lines: BTreeSet<String>,
    /// How many lines of the router work.
    pub working: usize,
}

impl Held {
    /// Names exactly these lines; empty for none.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.lines)
    }
}

/// 128 bits of SHA-256 over the lines in order, in hex; empty for no line.
#[must_use]
pub fn digest_of(lines: &BTreeSet<String>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut context = Context::new(&SHA256);
    for line in lines {
        context.update(line.as_bytes());
        // No id has one in it, so that no two sets look alike.
        context.update(b"\n");
    }
    hex(context.finish().as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_names_exactly_these_lines() {
        let of = |lines: &[&str]| digest_of(&lines.iter().map(|line| (*line).to_owned()).collect());
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["a", "b"]), of(&["b", "a"]));
        let all = [of(&["a"]), of(&["a", "b"]), of(&["ab"]), of(&["a", "b", "c"])];
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|digest| digest.len() == 32));
    }
}
