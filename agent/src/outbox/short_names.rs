//! Which running sessions head office knows by their short names. Pure.
//!
//! A session is named in full in a record that head office has committed; from then on its running totals are told by four
//! bytes, a fifth of what they take in full. It is named anew each day, so that a controller that was restored from a copy
//! learns it again, and nothing of this needs to be on flash: after a restart each is named once more.

use std::collections::HashMap;

use tawi_shared::wire::short_name;

/// How often a session is told by its short name before it is named anew: a day and a half, at two reports an hour.
const SHORT_IN_A_ROW: u32 = 72;
/// Sessions that are remembered: several for each line of a large site. Some end without a word, when the store drops them.
const NAMED_MOST: usize = 10_000;

/// The sessions that were named.
#[derive(Debug, Default)]
pub(super) struct ShortNames {
    named: HashMap<String, Named>,
    /// How many of them have each short name: one that two have names neither.
    shared: HashMap<[u8; 4], u32>,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    /// In which record of the lane.
    seq: u64,
    /// How often it was told short since.
    told_short: u32,
}

impl ShortNames {
    /// The short name by which a session may be told now, if all up to a position of the lane is committed; it counts as told.
    pub(super) fn tell(&mut self, session: &str, committed: u64) -> Option<[u8; 4]> {
        let short = short_name(session);
        let is_alone = self.shared.get(&short) == Some(&1);
        let named = self.named.get_mut(session)?;
        if !is_alone || named.seq > committed || named.told_short >= SHORT_IN_A_ROW {
            return None;
        }
        named.told_short += 1;
        Some(short)
    }

    /// A session is named in full in a record.
    pub(super) fn name(&mut self, session: &str, seq: u64) {
        if self.named.len() >= NAMED_MOST {
            self.clear();
        }
        let named = Named { seq, told_short: 0 };
        if self.named.insert(session.to_owned(), named).is_none() {
            *self.shared.entry(short_name(session)).or_default() += 1;
        }
    }

    /// A session is over.
    pub(super) fn end(&mut self, session: &str) {
        if self.named.remove(session).is_none() {
            return;
        }
        let short = short_name(session);
        match self.shared.get_mut(&short) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.shared.remove(&short);
            }
        }
    }

    /// Nothing is known of anybody: positions begin anew.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_short_once_its_name_is_committed_for_a_day_and_until_it_is_over() {
        let mut names = ShortNames::default();
        assert_eq!(names.tell("a", 9), None, "never named");
        names.name("a", 10);
        assert_eq!(names.tell("a", 9), None, "named, and not committed");
        for _ in 0..SHORT_IN_A_ROW {
            assert_eq!(names.tell("a", 10), Some(short_name("a")));
        }
        assert_eq!(names.tell("a", 10), None, "it is named anew");
        names.name("a", 11);
        assert_eq!(names.tell("a", 11), Some(short_name("a")));
        names.end("a");
        names.end("a");
        assert_eq!(names.tell("a", 11), None);
        assert!(names.named.is_empty() && names.shared.is_empty());
    }

    #[test]
    fn a_short_name_that_two_have_names_neither() {
        // Found by trying: CRC-32C has no secret.
        let (mut seen, mut pair) = (HashMap::new(), None);
        for number in 0..300_000_u32 {
            let name = format!("core/pppoe/{number}/{}", number.wrapping_mul(2_654_435_761));
            if let Some(other) = seen.insert(short_name(&name), name.clone()) {
                pair = Some((other, name));
                break;
            }
        }
        let (one, other) = pair.expect("two of 300,000 have the same");
        let mut names = ShortNames::default();
        names.name(&one, 1);
        assert!(names.tell(&one, 1).is_some());
        names.name(&other, 2);
        assert_eq!((names.tell(&one, 2), names.tell(&other, 2)), (None, None));
        names.end(&other);
        assert!(names.tell(&one, 2).is_some());
    }
}
