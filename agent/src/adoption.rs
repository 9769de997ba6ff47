//! Which rows of somebody else are probably which line's, for a person at the device. Pure.
//!
//! ```text
//! a table says so ─> the same name ─> the line's id or name stands in the comment
//! ```
//!
//! Only a row that has the name and the service of its line can be taken over: the agent changes what a row allows, never
//! what a customer's device has to dial. Taking it over is `reconcile/orders.rs`.

use std::collections::BTreeMap;

use tawi_shared::csv;
use tawi_shared::wire::{ForeignRowV1, Service};

use crate::status::StateLine;

/// A row, and whose it probably is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The row's name.
    pub username: String,
    /// Where it is: a service code.
    pub service: u16,
    /// What stands beside it.
    pub comment: String,
    /// Whether somebody is logged in under it.
    pub is_online: bool,
    /// The line, and why it is thought to be.
    pub line: Option<(StateLine, &'static str)>,
    /// Why it cannot be taken over all the same; empty where it can.
    pub obstacle: String,
}

impl Proposal {
    /// Whether it can be taken over.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.line.is_some() && self.obstacle.is_empty()
    }
}

/// What is proposed for each row. `table` is from a row's name to a line's id or name.
#[must_use]
pub fn propose(
    rows: &[ForeignRowV1],
    lines: &[StateLine],
    table: &BTreeMap<String, String>,
) -> Vec<Proposal> {
    rows.iter()
        .map(|row| {
            let by = |said: &str| lines.iter().find(|line| line.line == said || line.username == said);
            let said = table.get(&row.username);
            let in_comment = || {
                let mut words = row.comment.split(|letter: char| letter.is_whitespace() || letter == ',');
                words.find_map(by)
            };
            let line = said
                .and_then(|said| by(said).map(|line| (line, "the table says so")))
                .or_else(|| by(&row.username).map(|line| (line, "the same name")))
                .or_else(|| in_comment().map(|line| (line, "the comment names it")));
            let obstacle = match (said, line) {
                (Some(said), None) => format!("the table names {said}, and no line is called so"),
                (_, Some((line, _))) if line.username != row.username => {
                    format!("the line's name is {}: have it changed at head office first", line.username)
                }
                (_, Some((line, _))) if line.service != row.service => {
                    let name = Service::from_code(line.service).map_or("unknown", Service::as_str);
                    format!("the line is {name}, and the row is not")
                }
                _ => String::new(),
            };
            Proposal {
                username: row.username.clone(),
                service: row.service,
                comment: row.comment.clone(),
                is_online: row.is_online,
                line: line.map(|(line, why)| (line.clone(), why)),
                obstacle,
            }
        })
        .collect()
}

/// Reads a table with the columns `username` and `line`, in any order and among others.
///
/// # Errors
/// What is wrong with it.
pub fn read_table(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut rows = csv::read(text).map_err(|error| error.to_string())?.into_iter();
    let head = rows.next().map(|row| row.fields).unwrap_or_default();
    let column =
        |names: &[&str]| head.iter().position(|heading| names.contains(&csv::heading(heading).as_str()));
    let username = column(&["username", "user", "login", "secret", "name"]);
    let line = column(&["line", "lineid", "subscription", "subscriptionid", "account"]);
    let (Some(username), Some(line)) = (username, line) else {
        return Err("the first line must name the columns username and line".to_owned());
    };
    let mut table = BTreeMap::new();
    for row in rows {
        if let (Some(username), Some(line)) = (row.fields.get(username), row.fields.get(line))
            && !username.is_empty()
            && !line.is_empty()
        {
            table.insert(username.clone(), line.clone());
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(username: &str, comment: &str) -> ForeignRowV1 {
        ForeignRowV1 {
            service: Service::Pppoe.code(),
            username: username.into(),
            comment: comment.into(),
            profile: "home".into(),
            rate_limit: String::new(),
            is_disabled: false,
            is_online: true,
            address: String::new(),
            caller_id: String::new(),
        }
    }

    fn line(line: &str, username: &str, service: Service) -> StateLine {
        StateLine { line: line.into(), service: service.code(), username: username.into() }
    }

    #[test]
    fn rows_are_proposed_to_the_lines_that_they_name() {
        let lines = [
            line("b7k2", "plot17", Service::Pppoe),
            line("c8m3", "plot18", Service::Hotspot),
            line("d9n4", "plot19", Service::Pppoe),
        ];
        let table = BTreeMap::from([
            ("shop".to_owned(), "d9n4".to_owned()),
            ("kiosk".to_owned(), "nothing".to_owned()),
        ]);
        let check = |row: ForeignRowV1, expected: Option<(&str, &str)>, obstacle: &str| {
            let proposal = propose(&[row], &lines, &table).remove(0);
            let found = proposal.line.as_ref().map(|(line, why)| (line.line.as_str(), *why));
            assert_eq!(found, expected, "{proposal:?}");
            assert!(proposal.obstacle.contains(obstacle), "{proposal:?}");
            assert_eq!(proposal.is_ready(), expected.is_some() && obstacle.is_empty(), "{proposal:?}");
        };
        check(row("plot17", ""), Some(("b7k2", "the same name")), "");
        check(row("plot18", ""), Some(("c8m3", "the same name")), "hotspot");
        check(row("old", "is plot19, block B"), Some(("d9n4", "the comment names it")), "plot19");
        check(row("shop", "plot17"), Some(("d9n4", "the table says so")), "plot19");
        check(row("kiosk", ""), None, "nothing");
        check(row("stranger", "hello"), None, "");
    }

    #[test]
    fn a_table_needs_two_columns() {
        let table = read_table("comment;Line ID;Username\nx;b7k2;plot17\n;;plot18\n").unwrap();
        assert_eq!(table, BTreeMap::from([("plot17".to_owned(), "b7k2".to_owned())]));
        assert!(read_table("a,b\n1,2").unwrap_err().contains("username"));
        assert!(read_table("username,line\n\"x").unwrap_err().contains("quote"));
    }
}
