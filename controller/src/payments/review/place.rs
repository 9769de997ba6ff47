//! The order of what a person has to look at, and a place in it to go on from. Pure.
//!
//! The list is made of several, each in its own order. A place says where each of them goes on: nothing is shown twice or left
//! out, although two of them may have something of the same instant.

use std::cmp::Reverse;
use std::fmt;

use tawi_shared::UnixMillis;

use super::{ForReview, ReviewKind};

/// The lists, in the order in which things of one instant stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Callbacks that did not fit.
    Callbacks,
    /// Requests whose end nobody knows.
    Requests,
    /// Payments that are nobody's.
    Nobodys,
    /// Payments of which nobody knows what they are for.
    Unclear,
    /// Refunds of which nobody knows whether they went.
    Refunds,
    /// What does not fit a payment that is booked.
    Evidence,
    /// Rows of Pull.
    PullRows,
    /// Rows of statements.
    StatementRows,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Callbacks,
        Self::Requests,
        Self::Nobodys,
        Self::Unclear,
        Self::Refunds,
        Self::Evidence,
        Self::PullRows,
        Self::StatementRows,
    ];

    fn of(item: &ForReview) -> Self {
        match (&item.kind, &item.customer) {
            (ReviewKind::Callback(_), _) => Self::Callbacks,
            (ReviewKind::Request(_), _) => Self::Requests,
            (ReviewKind::Payment(_), None) => Self::Nobodys,
            (ReviewKind::Payment(_), Some(_)) => Self::Unclear,
            (ReviewKind::Refund(_), _) => Self::Refunds,
            (ReviewKind::Evidence(_), _) => Self::Evidence,
            (ReviewKind::PullRow(_), _) => Self::PullRows,
            (ReviewKind::StatementRow(_), _) => Self::StatementRows,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Callbacks => "callbacks",
            Self::Requests => "requests",
            Self::Nobodys => "nobodys",
            Self::Unclear => "unclear",
            Self::Refunds => "refunds",
            Self::Evidence => "evidence",
            Self::PullRows => "pull",
            Self::StatementRows => "statements",
        }
    }
}

/// A place in the list: behind this item. Its `Display` is what [`Place::parse`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    since: UnixMillis,
    list: List,
    id: String,
}

impl Place {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (since, rest) = text.split_once('-')?;
        let (word, id) = rest.split_once('-')?;
        Some(Self {
            since: UnixMillis(since.parse().ok()?),
            list: List::ALL.into_iter().find(|list| list.as_str() == word)?,
            id: id.to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.since.0, self.list.as_str(), self.id)
    }
}

/// Where one of the lists goes on: with what is older than `since`, or of that instant and an id below `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begins {
    pub(super) since: i64,
    pub(super) id: String,
}

/// Where a list goes on behind a place; at its beginning without one.
pub(super) fn begins(after: Option<&Place>, list: List) -> Begins {
    let Some(place) = after else { return Begins { since: i64::MAX, id: String::new() } };
    match list.cmp(&place.list) {
        // What it has of that instant stands before the place.
        std::cmp::Ordering::Less => Begins { since: place.since.0, id: String::new() },
        std::cmp::Ordering::Equal => Begins { since: place.since.0, id: place.id.clone() },
        std::cmp::Ordering::Greater => Begins { since: place.since.0.saturating_add(1), id: String::new() },
    }
}

/// Puts the lists together, each of which is in its own order.
pub(super) fn sort(items: &mut [ForReview]) {
    items.sort_by_key(|item| (Reverse(item.since), List::of(item)));
}

/// Where a list of at most `limit` goes on behind these; `None` where it does not.
#[must_use]
pub fn next(items: &[ForReview], limit: i64) -> Option<Place> {
    let is_full = i64::try_from(items.len()).unwrap_or(i64::MAX) >= limit;
    let last = items.last().filter(|_| is_full)?;
    Some(Place { since: last.since, list: List::of(last), id: last.kind.id() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_it_was_written_and_nothing_else_does() {
        for list in List::ALL {
            let place = Place { since: UnixMillis(1_790_000_000_000), list, id: "a-b".to_owned() };
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
        for text in ["", "-", "1", "1-callbacks", "x-callbacks-a", "1-rumours-a", "-callbacks-a"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[test]
    fn of_one_instant_the_lists_before_a_place_are_over_and_those_behind_it_begin() {
        let place = Place { since: UnixMillis(5), list: List::Nobodys, id: "x".to_owned() };
        let check = |list, since, id: &str| {
            assert_eq!(begins(Some(&place), list), Begins { since, id: id.to_owned() }, "{list:?}");
        };
        check(List::Requests, 5, "");
        check(List::Nobodys, 5, "x");
        check(List::Unclear, 6, "");
        assert_eq!(begins(None, List::Refunds).since, i64::MAX);
    }
}
