//! What somebody wants to see of the log of texts. Pure: what was typed in, what to look for out.
//!
//! Every field narrows; an empty one does not. Numbers of people do not belong into addresses, which browsers and proxies keep:
//! the page looks for one by a form of its own.

use std::time::Duration;

use serde::Deserialize;
use tawi_shared::UnixMillis;

use super::about::key_of;
use super::occasion::Occasion;
use super::state::State;
use crate::customers::phone::Msisdn;
use crate::ids::{CustomerId, MessageId};
use crate::web::display;

const DAY: Duration = Duration::from_secs(86_400);

/// What was typed into the form, or stands behind the `?`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A customer's id.
    pub customer: String,
    /// A word of [`Occasion`].
    pub occasion: String,
    /// A word of [`State`].
    pub state: String,
    /// A day in Nairobi, such as `2026-11-26`: from its beginning on.
    pub from: String,
    /// The same: up to its end.
    pub until: String,
    /// The last text on the page before.
    pub before: String,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// To this customer.
    pub customer: Option<CustomerId>,
    /// To this number.
    pub phone: Option<Msisdn>,
    /// On this occasion.
    pub occasion: Option<Occasion>,
    /// That stand so.
    pub state: Option<State>,
    /// Ids from this one on.
    pub from_key: String,
    /// Ids before this one.
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

/// Sorts after every id: those are of lower-case hex.
const LAST: &str = "g";

impl Asked {
    /// Reads what was typed.
    ///
    /// # Errors
    /// The first field that cannot be read.
    pub fn read(&self) -> Result<Search, Unreadable> {
        let day = |field, text: &str| match text.trim() {
            "" => Ok(None),
            text => display::local(&format!("{text}T00:00"))
                .map(Some)
                .ok_or(Unreadable { field, reason: "write a day, such as 2026-11-26" }),
        };
        let word = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let unknown = |field, reason| move || Unreadable { field, reason };
        let customer = word(&self.customer)
            .map(|text| {
                CustomerId::parse(&text).map_err(|_| unknown("customer", "there is no such customer")())
            })
            .transpose()?;
        let occasion = word(&self.occasion)
            .map(|text| Occasion::parse(&text).ok_or_else(unknown("occasion", "choose one of the list")))
            .transpose()?;
        let state = word(&self.state)
            .map(|text| State::parse(&text).ok_or_else(unknown("state", "choose one of the list")))
            .transpose()?;
        let before = word(&self.before)
            .map(|text| {
                MessageId::parse(&text).map_err(|_| unknown("before", "begin again with the first page")())
            })
            .transpose()?;
        let from = day("from", &self.from)?;
        let until = day("until", &self.until)?.map(|begins| begins.plus(DAY));
        Ok(Search { customer, phone: None, occasion, state, ..Search::default() }
            .between(from, until)
            .and_before(before.as_ref().map(MessageId::as_str)))
    }
}

impl Search {
    /// Narrows to a range of time.
    #[must_use]
    pub fn between(self, from: Option<UnixMillis>, until: Option<UnixMillis>) -> Self {
        let before_key = until.map_or_else(|| LAST.to_owned(), key_of);
        Self { from_key: from.map(key_of).unwrap_or_default(), before_key, ..self }
    }

    /// Goes on behind the last of the page before.
    #[must_use]
    pub fn and_before(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id.filter(|id| *id < self.before_key.as_str()) {
            id.clone_into(&mut self.before_key);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |asked: Asked, field: &str| assert_eq!(asked.read().unwrap_err().field, field);
        check(Asked { from: "yesterday".into(), ..Asked::default() }, "from");
        check(Asked { until: "2026-13-01".into(), ..Asked::default() }, "until");
        check(Asked { state: "lost".into(), ..Asked::default() }, "state");
        check(Asked { occasion: "birthday".into(), ..Asked::default() }, "occasion");
        check(Asked { customer: "No such".into(), ..Asked::default() }, "customer");
        check(Asked { before: "?".into(), ..Asked::default() }, "before");
    }

    #[test]
    fn a_page_ends_where_the_next_begins_and_days_are_nairobis() {
        let all = Asked::default().read().unwrap();
        assert_eq!((all.from_key.as_str(), all.before_key.as_str()), ("", LAST));
        let day = Asked { from: "2026-11-25".into(), until: "2026-11-25".into(), ..Asked::default() };
        let read = day.read().unwrap();
        assert_eq!(read.from_key, key_of(UnixMillis(1_795_554_000_000)));
        assert_eq!(read.before_key, key_of(UnixMillis(1_795_554_000_000 + 86_400_000)));
        let next = Asked { before: format!("{}aa", read.from_key), ..day }.read().unwrap();
        assert_eq!(next.before_key, format!("{}aa", read.from_key));
    }
}
