//! The router's own last word on a PPP session.
//!
//! Pure. RouterOS logs `plot1 logged out, 143 115036 112418 106 92 from 52:54:00:AA:00:03` when a session ends: seconds,
//! bytes from and to the client, packets likewise; release 6 leaves the address out. It is the only exact total, as the
//! counters are gone with the session. Read from the right, because user names may hold blanks, commas and worse. That
//! the client's upload comes first is inferred from samples where one direction is far larger, so that `tracker.rs`
//! takes a line only if it is not below what was counted in either direction.

use std::time::Duration;

use routeros_api::value::{UpDown, parse_number};
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

#[cfg(test)]
mod tests {
    use super::*;

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
