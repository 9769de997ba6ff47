//! The router's own last word on a PPP session.
//!
//! Pure. RouterOS logs `plot1 logged out, 143 115036 112418 106 92 from 52:54:00:AA:00:03` when a session ends: seconds,
//! bytes from and to the client, packets likewise; release 6 leaves the address out. It is the only exact total, as the
//! counters are gone with the session. Read from the right, because user names may hold blanks, commas and worse. That
//! the client's upload comes first is inferred from samples where one direction is far larger, so that `tracker.rs`
//! takes a line only if it is not below what was counted in either direction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use routeros_api::value::{UpDown, parse_number};
use serde::{Deserialize, Serialize};
use tawi_shared::wire::Service;

use super::join::{PPP, PppMenus};

/// The topics of such lines, in the router's order.
#[must_use]
pub fn topics(menus: &PppMenus) -> String {
    format!("{},ppp,info,account", menus.word)
}

/// The service that a line with these topics is about.
#[must_use]
pub fn service_of(topics: &str) -> Option<Service> {
    let mut words = topics.split(',');
    let word = words.next()?;
    let menus = PPP.iter().find(|menus| menus.word == word)?;
    words.any(|topic| topic == "account").then_some(menus.service)
}

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOut {
    /// Who.
    pub user: String,
    /// How long the session lasted.
    pub lasted: Duration,
    /// What it moved.
    pub bytes: UpDown<u64>,
}

/// Reads a line; `None` for every other one.
#[must_use]
pub fn parse_log_out(message: &str) -> Option<LogOut> {
    let (user, rest) = message.rsplit_once(" logged out, ")?;
    let numbers = rest.split_once(" from ").map_or(rest, |(numbers, _)| numbers);
    let mut numbers = numbers.split(' ').map(|number| parse_number(number.as_bytes()).ok());
    let mut next = || numbers.next().flatten();
    let (seconds, upload, download) = (next()?, next()?, next()?);
    let (_, _) = (next()?, next()?);
    let is_over = numbers.next().is_none();
    is_over.then(|| LogOut {
        user: user.to_owned(),
        lasted: Duration::from_secs(seconds),
        bytes: UpDown { upload, download },
    })
}

/// A line of the log by which somebody was logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// By which service.
    pub service: Service,
    /// What the line says.
    pub word: LogOut,
    /// The line itself: seconds and four counters make it as good as unique.
    message: String,
}

impl AccountLine {
    /// What stands for it on flash.
    #[must_use]
    pub fn digest(&self) -> LineDigest {
        let digest = digest(&SHA256, self.message.as_bytes());
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        LineDigest(u64::from_be_bytes(first))
    }
}

/// What stands for a line of the log where the line itself would be too much; by default for none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LineDigest(u64);

/// Reads a line of the log; `None` for every other one.
#[must_use]
pub fn account_line(topics: &str, message: &str) -> Option<AccountLine> {
    let (service, word) = (service_of(topics)?, parse_log_out(message)?);
    Some(AccountLine { service, word, message: message.to_owned() })
}

/// What a print of the log brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caught {
    /// All that stands there, of which some may be about sessions of before this run.
    Whole(Vec<AccountLine>),
    /// What was logged since the last line that was heard.
    Missed(Vec<AccountLine>),
}

/// How much of the router's log was heard, so that a print of it tells what was missed.
///
/// The date of a line is written in the dialect and the zone of its router, and its number starts anew with it; so
/// neither is asked for. A line that was heard is found by what it says: those behind it were missed. If it is not there
/// any more, it made room or the router was restarted, and all that stand there are younger. A line that says the same as
/// a younger one makes at worst some be left out.
#[derive(Debug, Default)]
pub struct Heard {
    /// All up to this line, or that none was there; `None` while not all was heard that was logged.
    up_to: Option<Option<String>>,
    /// The last line of each service that is listened to.
    by_service: BTreeMap<Service, LineDigest>,
}

impl Heard {
    /// Takes a print of the log of these services, oldest first, and leaves of it what was not heard. A router that keeps
    /// lines in two buffers prints them twice, which harms nothing.
    pub fn catch_up(&mut self, services: &BTreeSet<Service>, mut printed: Vec<AccountLine>) -> Caught {
        self.by_service.retain(|service, _| services.contains(service));
        for menus in PPP.iter().filter(|menus| services.contains(&menus.service)) {
            self.by_service.entry(menus.service).or_default();
        }
        for line in &printed {
            self.by_service.insert(line.service, line.digest());
        }
        let last = printed.last().map(|line| line.message.clone());
        let Some(mark) = self.up_to.take() else {
            self.up_to = Some(last);
            return Caught::Whole(printed);
        };
        let is_mark = |line: &AccountLine| Some(&line.message) == mark.as_ref();
        let heard = printed.iter().rposition(is_mark).map_or(0, |index| index.saturating_add(1));
        // A log that was emptied says nothing of what was heard.
        self.up_to = Some(last.or(mark));
        Caught::Missed(printed.split_off(heard))
    }

    /// Takes a line that came at once. Before the log was read once it says nothing of those before it.
    pub fn hear(&mut self, line: &AccountLine) {
        if let Some(mark) = &mut self.up_to {
            *mark = Some(line.message.clone());
            self.by_service.insert(line.service, line.digest());
        }
    }

    /// Lines may have been missed for good.
    pub fn lose(&mut self) {
        self.up_to = None;
        self.by_service.clear();
    }

    /// The last line that was heard of each service; the default of [`LineDigest`] where there was none yet.
    #[must_use]
    pub fn by_service(&self) -> &BTreeMap<Service, LineDigest> {
        &self.by_service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(seconds: &[u64]) -> Vec<AccountLine> {
        let line = |seconds: &u64| {
            account_line("pppoe,ppp,info,account", &format!("a logged out, {seconds} 1 2 3 4")).unwrap()
        };
        seconds.iter().map(line).collect()
    }

    #[test]
    fn only_what_was_logged_since_the_last_line_that_was_heard_is_news() {
        let services = BTreeSet::from([Service::Pppoe]);
        let check = |heard: &mut Heard, printed: &[u64], expected: &[u64]| {
            let caught = heard.catch_up(&services, lines(printed));
            assert_eq!(caught, Caught::Missed(lines(expected)), "{printed:?}");
            if let Some(last) = lines(printed).last() {
                assert_eq!(heard.by_service()[&Service::Pppoe], last.digest(), "{printed:?}");
            }
        };
        let whole = |heard: &mut Heard, printed: &[u64]| {
            let caught = heard.catch_up(&services, lines(printed));
            assert_eq!(caught, Caught::Whole(lines(printed)), "{printed:?}");
        };
        let mut heard = Heard::default();
        whole(&mut heard, &[1, 2]);
        check(&mut heard, &[1, 2], &[]);
        check(&mut heard, &[1, 2, 3, 4], &[3, 4]);
        heard.hear(&lines(&[5])[0]);
        check(&mut heard, &[1, 2, 3, 4, 5], &[]);
        // It made room, or the router was restarted.
        check(&mut heard, &[7, 8], &[7, 8]);
        check(&mut heard, &[], &[]);
        // Two buffers, and one of them is short.
        check(&mut heard, &[7, 8, 9, 10, 8, 9, 10], &[9, 10]);
        check(&mut heard, &[7, 8, 9, 10, 11, 12, 12], &[11, 12, 12]);
        // What comes at once and was printed too.
        heard.hear(&lines(&[12])[0]);
        check(&mut heard, &[11, 12, 13], &[13]);
        heard.lose();
        heard.hear(&lines(&[14])[0]);
        assert!(heard.by_service().is_empty());
        whole(&mut heard, &[13, 14, 15]);
        check(&mut heard, &[13, 14, 15, 16], &[16]);
        let mut heard = Heard::default();
        whole(&mut heard, &[]);
        assert_eq!(heard.by_service(), &BTreeMap::from([(Service::Pppoe, LineDigest::default())]));
        check(&mut heard, &[1], &[1]);
    }

    #[test]
    fn the_topics_name_the_service() {
        for menus in PPP {
            assert_eq!(service_of(&topics(menus)), Some(menus.service));
        }
        assert_eq!(service_of("system,info,account"), None);
        assert_eq!(service_of("pppoe,ppp,info"), None);
    }

    #[test]
    fn lines_are_read_from_the_right_and_everything_else_is_left() {
        let check = |message: &str, expected: Option<(&str, u64, u64, u64)>| {
            let expected = expected.map(|(user, seconds, upload, download)| LogOut {
                user: user.into(),
                lasted: Duration::from_secs(seconds),
                bytes: UpDown { upload, download },
            });
            assert_eq!(parse_log_out(message), expected, "{message}");
        };
        check(
            "skn001 logged out, 143 115036 112418 106 92 from 52:54:00:AA:00:03",
            Some(("skn001", 143, 115_036, 112_418)),
        );
        check("plot1 logged out, 109 1568 98 14 8", Some(("plot1", 109, 1_568, 98)));
        check(
            "a b, c logged out, 51207 62321664 28910924660 1 2",
            Some(("a b, c", 51_207, 62_321_664, 28_910_924_660)),
        );
        check("x logged out, 1 2 3 4 5 logged out, 6 7 8 9 10", Some(("x logged out, 1 2 3 4 5", 6, 7, 8)));
        check("plot1 logged in, 192.168.200.10", None);
        check("plot1 logged out, 109 1568 98 14", None);
        check("plot1 logged out, 109 1568 98 14 8 9", None);
        check("plot1 logged out, -1 1568 98 14 8", None);
        check("", None);
    }
}
