//! What somebody wants to see of the API log. Pure: what was typed in, what to look for out.
//!
//! Every field narrows; an empty one does not. Times become the beginnings of keys, because a write's key begins with its
//! time: the range and the page are then one walk along one index.

use std::time::Duration;

use serde::Deserialize;
use tawi_shared::wire::WriteStatus;
use tawi_shared::{SiteId, UnixMillis};

use crate::ids::CustomerId;
use crate::web::display;

/// How far back somebody looks who names neither a beginning nor a line.
const LOOK_BACK: Duration = Duration::from_secs(7 * 86_400);
/// The longest text that is looked for, in characters.
const TEXT_CHARACTERS: usize = 100;
/// The longest key, in characters: a time, a site and three numbers.
const KEY_CHARACTERS: usize = 140;

/// What was typed into the form, or stands behind the `?`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A site's id.
    pub site: String,
    /// A router's name.
    pub router: String,
    /// A line's id, or its name on the router.
    pub line: String,
    /// A customer's id.
    pub customer: String,
    /// A part of the command.
    pub operation: String,
    /// `done`, `refused` or `unknown`.
    pub status: String,
    /// Nairobi's time, such as `2026-11-26T14:05`.
    pub from: String,
    /// The same.
    pub until: String,
    /// A part of the parameters or of the router's words.
    pub text: String,
    /// The key of the last write on the page before.
    pub before: String,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Of this site.
    pub site: Option<SiteId>,
    /// Of the router of this name.
    pub router: String,
    /// About the line of this id, or the lines of this name.
    pub line: String,
    /// About the lines of this customer.
    pub customer: Option<CustomerId>,
    /// Whose command has this in it.
    pub operation: String,
    /// That ended so.
    pub status: Option<WriteStatus>,
    /// Whose parameters, or the router's words, have this in them.
    pub text: String,
    /// Keys from this one on.
    pub from_key: String,
    /// Keys before this one.
    pub before_key: String,
}

/// A field that cannot be read, and how to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub field: &'static str,
    /// How to write it.
    pub reason: &'static str,
}

impl Asked {
    /// Reads what was typed.
    ///
    /// # Errors
    /// The first field that cannot be read.
    pub fn read(&self, now: UnixMillis) -> Result<Search, Unreadable> {
        let time = |field: &'static str, text: &str| {
            let text = text.trim();
            let reason = "write a day and a time, such as 2026-11-26T14:05";
            if text.is_empty() {
                return Ok(None);
            }
            display::local(text).map(Some).ok_or(Unreadable { field, reason })
        };
        let (from, until) = (time("from", &self.from)?, time("until", &self.until)?);
        let site = non_empty(&self.site)
            .map(|text| SiteId::parse(text).map_err(|_| bad("site", "choose a site of the list")));
        let customer = non_empty(&self.customer)
            .map(|text| CustomerId::parse(text).map_err(|_| bad("customer", "there is no such customer")));
        let status = non_empty(&self.status)
            .map(|text| WriteStatus::parse(text).ok_or(bad("status", "use done, refused or unknown")));
        let search = Search {
            site: site.transpose()?,
            router: cut(&self.router),
            line: cut(&self.line),
            customer: customer.transpose()?,
            operation: cut(&self.operation),
            status: status.transpose()?,
            text: cut(&self.text),
            from_key: String::new(),
            before_key: self.before.trim().chars().take(KEY_CHARACTERS).collect(),
        };
        Ok(search.between(from, until, now))
    }
}

impl Search {
    /// Narrows to a range of time. Without a beginning it begins a week back, or with the oldest where a line or a
    /// customer is named.
    #[must_use]
    pub fn between(mut self, from: Option<UnixMillis>, until: Option<UnixMillis>, now: UnixMillis) -> Self {
        let is_narrow = !self.line.is_empty() || self.customer.is_some();
        let from = from.or_else(|| (!is_narrow).then(|| until.unwrap_or(now).minus(LOOK_BACK)));
        self.from_key = from.map(key_of).unwrap_or_default();
        // A clock of an agent may be ahead of ours.
        let until_key =
            until.map_or_else(|| "A".to_owned(), |until| key_of(UnixMillis(until.0.saturating_add(1))));
        if self.before_key.is_empty() || until_key < self.before_key {
            self.before_key = until_key;
        }
        self
    }
}

/// With what the key of a write of that time begins. Sorts as times do.
#[must_use]
pub fn key_of(at: UnixMillis) -> String {
    format!("{:015}", at.0.clamp(0, 999_999_999_999_999))
}

fn bad(field: &'static str, reason: &'static str) -> Unreadable {
    Unreadable { field, reason }
}

fn non_empty(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_656_344_000);

    #[test]
    fn keys_sort_as_times_do() {
        let times = [-5, 0, 1, 999, 1_795_656_344_000, i64::MAX];
        let keys: Vec<String> = times.iter().map(|at| key_of(UnixMillis(*at))).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert!(keys.iter().all(|key| key.as_str() < "A"), "{keys:?}");
    }

    #[test]
    fn a_search_reaches_a_week_back_or_as_far_as_the_line_goes() {
        let read = |asked: Asked| asked.read(NOW).unwrap();
        assert_eq!(read(Asked::default()).from_key, key_of(NOW.minus(LOOK_BACK)));
        let of_line = read(Asked { line: " plot17 ".into(), ..Asked::default() });
        assert_eq!((of_line.line.as_str(), of_line.from_key.as_str()), ("plot17", ""));
        let asked =
            Asked { from: "2026-11-26T14:05".into(), until: "2026-11-26T15:00".into(), ..Asked::default() };
        let ranged = read(asked.clone());
        assert_eq!(ranged.from_key, key_of(UnixMillis(1_795_691_100_000)));
        assert!(ranged.before_key > ranged.from_key);
        let next = read(Asked { before: ranged.from_key.clone(), ..asked });
        assert_eq!(next.before_key, ranged.from_key, "the next page ends where this one did");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |asked: Asked, field: &str| assert_eq!(asked.read(NOW).unwrap_err().field, field);
        check(Asked { from: "yesterday".into(), ..Asked::default() }, "from");
        check(Asked { status: "broken".into(), ..Asked::default() }, "status");
        check(Asked { site: "No such".into(), ..Asked::default() }, "site");
    }
}
