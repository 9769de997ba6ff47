//! `/log`: the router's memory of late. A session's totals are in it when the session ends, under the
//! topics `ppp` and `account`.

use crate::command::Query;
use crate::value::{DateTime, RouterId, parse_log_time};

row! {
    /// One line.
    LogLine at "/log" {
        /// A bare time of day if today, else with a date; order lines by `.id` instead.
        bytes time = "time";
        /// Such as `pppoe,ppp,info,account`.
        bytes topics = "topics";
        /// The text; user names in it are bytes.
        bytes message = "message";
    }
}

impl LogLine {
    /// Lines of exactly these topics, in the router's order of them.
    #[must_use]
    pub fn of_topics(topics: &str) -> Query {
        Query::equals("topics", topics)
    }

    /// When it was written, in the router's local time; `now` is that of reading it.
    #[must_use]
    pub fn written_at(&self, now: DateTime) -> Option<DateTime> {
        self.time.as_deref().and_then(|time| parse_log_time(time).ok())?.resolve(now)
    }

    /// Whether this line came after that one. Ids start again when the router does.
    #[must_use]
    pub fn is_after(&self, id: &RouterId) -> bool {
        self.id.number() > id.number()
    }
}
