//! Which rows of somebody else are probably which line's, for a person at the device. Pure.
//!
//! ```text
//! a table says so ─> the same name ─> the line's id or name stands in the comment
//! ```
//!
//! Only a row that has the name and the service of its line can be taken over: the agent changes what a row allows, never
//! what a customer's device has to dial. Taking it over is `reconcile/orders.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tawi_shared::ids::hex;
use tawi_shared::wire::{ForeignRowV1, Service};
use tawi_shared::{counted, csv};

/// A line of the state, by what a person knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLine {
    /// Line id.
    pub line: String,
    /// A service code.
    pub service: u16,
    /// Its name on the router.
    pub username: String,
    /// Its own address; empty for none.
    pub address: String,
    /// The only device that may use it; empty for any.
    pub caller_id: String,
    /// The profile that it uses now; empty while it is off.
    pub profile: String,
    /// What it may not do now and why; empty while it is open.
    pub restraint: String,
    /// Whether head office has a password for it.
    pub has_password: bool,
}

/// A row, and whose it probably is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The row's name.
    pub username: String,
    /// Where it is: a service code.
    pub service: u16,
    /// Whether its service is `any`, which is told as that of the session that runs, or else as PPPoE.
    pub is_any_service: bool,
    /// What stands beside it.
    pub comment: String,
    /// Whether somebody is logged in under it.
    pub is_online: bool,
    /// The line, and why it is thought to be.
    pub line: Option<(StateLine, &'static str)>,
    /// Why it cannot be taken over all the same; empty where it can.
    pub obstacle: String,
    /// What of the row becomes another with its line, in a few words each.
    pub changes: Vec<String>,
}

impl Proposal {
    /// Whether head office has a password for its line, which is not the row's: the router gets it when it is reset.
    #[must_use]
    pub fn has_other_password(&self) -> bool {
        self.is_ready() && self.line.as_ref().is_some_and(|(line, _)| line.has_password)
    }

    /// Notes that its service is `any` if it is one of these rows, and that it is not when it was taken over.
    pub fn note_any_service(&mut self, any_service: &BTreeSet<String>) {
        if self.service == Service::Hotspot.code() || !any_service.contains(&self.username) {
            return;
        }
        self.is_any_service = true;
        if self.is_ready() {
            let name = Service::from_code(self.service).map_or("unknown", Service::as_str);
            self.changes.push(format!("service any becomes {name}"));
        }
    }

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
                is_any_service: false,
                comment: row.comment.clone(),
                is_online: row.is_online,
                line: line.map(|(line, why)| (line.clone(), why)),
                changes: match line {
                    Some((line, _)) if obstacle.is_empty() => changes(row, line),
                    _ => Vec::new(),
                },
                obstacle,
            }
        })
        .collect()
}

/// What a row says that its line does not: with the take-over the row says what the line says.
fn changes(row: &ForeignRowV1, line: &StateLine) -> Vec<String> {
    let differs = |what: &str, has: &str, wants: &str| match (has.is_empty(), wants.is_empty()) {
        _ if has.eq_ignore_ascii_case(wants) => None,
        (false, true) => Some(format!("{what} {has} goes: the line has none")),
        (true, _) => Some(format!("{what} becomes {wants}")),
        (false, false) => Some(format!("{what} {has} becomes {wants}")),
    };
    let is_open = line.restraint.is_empty();
    let end = if row.is_online { ", and the session that runs ends" } else { "" };
    [
        differs("address", &row.address, &line.address),
        differs("only from", &row.caller_id, &line.caller_id),
        (row.is_disabled && is_open).then(|| "it is disabled, and becomes enabled".to_owned()),
        // Whoever is off keeps the profile that he has.
        differs("profile", &row.profile, &line.profile).filter(|_| is_open || !line.profile.is_empty()),
        (!is_open).then(|| format!("MIND: {}{end}", line.restraint)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a person must know of the sessions of what is ready, before he confirms it; empty where none runs.
#[must_use]
pub fn words_of_sessions(proposals: &[Proposal]) -> String {
    let is_online = |proposal: &&Proposal| proposal.is_ready() && proposal.is_online;
    let is_open =
        |proposal: &&Proposal| proposal.line.as_ref().is_some_and(|(line, _)| line.restraint.is_empty());
    let running = || proposals.iter().filter(is_online);
    let open = running().filter(is_open).count();
    let changing = running().filter(is_open).filter(|proposal| !proposal.changes.is_empty()).count();
    let restrained = running().count().saturating_sub(open);
    let mut text = String::new();
    if open > 0 {
        text += &format!(
            "{}\n",
            match open {
                1 => "1 session that runs goes on without a break".to_owned(),
                _ => format!("{open} sessions that run go on without a break"),
            }
        );
    }
    if changing > 0 {
        text += &format!(
            "  {changing} of them with the speed and address of today until the device dials in again: end a session on the \
             line's page\n  to give it the new ones at once\n"
        );
    }
    if restrained > 0 {
        text += &format!(
            "MIND: {} of lines that may not do all they pay for: such a session ends once its row is taken over\n",
            counted(restrained, "session")
        );
    }
    text
}

/// What a person must know of the limits of what is ready, before he confirms it; empty where no hotspot user is.
#[must_use]
pub fn words_of_limits(proposals: &[Proposal]) -> String {
    let is_guest = |proposal: &&Proposal| proposal.is_ready() && proposal.service == Service::Hotspot.code();
    match proposals.iter().filter(is_guest).count() {
        0 => String::new(),
        guests => format!(
            "limits of time and data that {} had on the router go: what the line has paid for holds\n",
            counted(guests, "hotspot user")
        ),
    }
}

/// What a person must know of the passwords of what is ready, before he confirms it; empty where nothing is ready.
#[must_use]
pub fn words_of_passwords(proposals: &[Proposal]) -> String {
    let ready = proposals.iter().filter(|proposal| proposal.is_ready()).count();
    let others: Vec<&str> = proposals
        .iter()
        .filter(|proposal| proposal.has_other_password())
        .map(|proposal| proposal.username.as_str())
        .collect();
    let alone = ready.saturating_sub(others.len());
    let mut text = String::new();
    if alone > 0 {
        text += &format!(
            "the passwords of {} are known to this router alone; if it burns, set new ones at head office\n",
            counted(alone, "row")
        );
    }
    if !others.is_empty() {
        text += &format!(
            "MIND: head office has passwords too for {}: {}\n  The rows keep the router's, which the devices have. A \
             router that is reset or replaced gets head office's, and\n  devices that have another are refused. Where they \
             are not the same, enter the device's own password on the line's\n  page once its row is taken over.\n",
            counted(others.len(), "row"),
            others.join(", ")
        );
    }
    text
}

/// What a table says, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// From a row's name to a line's id or name.
    pub lines: BTreeMap<String, String>,
    /// What cannot be used, by line of the table, in sentences.
    pub faults: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Table {
    /// Everything that is wrong, given the rows of the router and the lines of the site: what cannot be used, and names that
    /// no row or no line has.
    #[must_use]
    pub fn faults_for(&self, rows: &[ForeignRowV1], lines: &[StateLine]) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (name, place) in &self.places {
            let said = self.lines.get(name).map(String::as_str).unwrap_or_default();
            if !rows.iter().any(|row| row.username == *name) {
                faults.push(format!(
                    "line {place}: the router has no row called {name} that somebody else made"
                ));
            } else if !lines.iter().any(|line| line.line == said || line.username == said) {
                faults.push(format!(
                    "line {place}: {name} is to become {said}, and no line of this router has that id or name"
                ));
            }
        }
        faults
    }
}

/// Reads a table with the columns `username` and `line`, in any order and among others.
///
/// # Errors
/// Why it is no table.
pub fn read_table(text: &str) -> Result<Table, String> {
    let mut rows = csv::read(text).map_err(|error| error.to_string())?.into_iter();
    let head = rows.next().map(|row| row.fields).unwrap_or_default();
    let column =
        |names: &[&str]| head.iter().position(|heading| names.contains(&csv::heading(heading).as_str()));
    let username = column(&["username", "user", "login", "secret", "name"]);
    let line = column(&["line", "lineid", "subscription", "subscriptionid", "account"]);
    let (Some(username), Some(line)) = (username, line) else {
        return Err("the first line must name the columns username and line".to_owned());
    };
    let mut table = Table::default();
    for row in rows {
        let place = row.line;
        let field = |column: usize| row.fields.get(column).map(String::as_str);
        match (field(username), field(line)) {
            (Some(username), Some(line)) if !username.is_empty() && !line.is_empty() => {
                if let Some(before) = table.places.get(username) {
                    table.faults.push(format!("line {place}: {username} stands on line {before} already"));
                    continue;
                }
                table.places.insert(username.to_owned(), place);
                table.lines.insert(username.to_owned(), line.to_owned());
            }
            (None, _) | (_, None) => {
                let (has, wants) = (counted(row.fields.len(), "column"), head.len());
                table.faults.push(format!("line {place}: {has} where the first line has {wants}"));
            }
            (Some(""), _) => table.faults.push(format!("line {place}: no username")),
            (Some(username), _) => table.faults.push(format!("line {place}: no line for {username}")),
        }
    }
    Ok(table)
}

/// Names exactly the rows that are ready, whose they become, and whether that may use the network: 32 bits of SHA-256, in
/// hex. Whoever confirms it says what was shown to him; a row more or less, or another line, has another one. Empty where nothing is ready.
#[must_use]
pub fn digest(proposals: &[Proposal]) -> String {
    let mut ready: Vec<String> = proposals
        .iter()
        .filter(|proposal| proposal.is_ready())
        .filter_map(|proposal| {
            let (line, _) = proposal.line.as_ref()?;
            let whose = format!("{}\0{}\0{}\0", proposal.service, proposal.username, line.line);
            // Whoever was paid for when it was shown and is not any more would lose his session unseen.
            Some(whose + &line.restraint + "\0")
        })
        .collect();
    if ready.is_empty() {
        return String::new();
    }
    ready.sort();
    let digest = ring::digest::digest(&ring::digest::SHA256, ready.concat().as_bytes());
    hex(digest.as_ref().get(..4).unwrap_or_default())
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
        StateLine {
            line: line.into(),
            service: service.code(),
            username: username.into(),
            address: String::new(),
            caller_id: String::new(),
            profile: "home".into(),
            restraint: String::new(),
            has_password: false,
        }
    }

    #[test]
    fn what_a_take_over_changes_is_said_before_it() {
        let of =
            |row: ForeignRowV1, line: StateLine| propose(&[row], &[line], &BTreeMap::new()).remove(0).changes;
        let plain = line("b7k2", "plot17", Service::Pppoe);
        assert_eq!(of(row("plot17", ""), plain.clone()), Vec::<String>::new());
        let locked = ForeignRowV1 {
            address: "10.64.5.5".into(),
            caller_id: "AA:BB:CC:00:11:22".into(),
            ..row("plot17", "")
        };
        let gone = [
            "address 10.64.5.5 goes: the line has none",
            "only from AA:BB:CC:00:11:22 goes: the line has none",
        ];
        assert_eq!(of(locked.clone(), plain.clone()), gone);
        let own = StateLine {
            address: "10.64.5.6".into(),
            caller_id: "aa:bb:cc:00:11:22".into(),
            profile: "home-10".into(),
            ..plain.clone()
        };
        let others = ["address 10.64.5.5 becomes 10.64.5.6", "profile home becomes home-10"];
        assert_eq!(of(locked.clone(), own), others);
        let other_service = StateLine { service: Service::L2tp.code(), ..plain };
        assert_eq!(of(locked, other_service), Vec::<String>::new(), "nothing is done to it");
    }

    #[test]
    fn whoever_is_not_paid_for_and_what_running_sessions_keep_is_said_before_it() {
        let check = |line: StateLine, changes: &[&str], words: &str| {
            let found = propose(&[row("plot17", "")], &[line], &BTreeMap::new());
            assert_eq!(found[0].changes, changes);
            assert!(words_of_sessions(&found).contains(words), "{}", words_of_sessions(&found));
        };
        let plain = line("b7k2", "plot17", Service::Pppoe);
        check(plain.clone(), &[], "1 session that runs goes on without a break\n");
        let faster = StateLine { profile: "home-10".into(), ..plain.clone() };
        check(faster, &["profile home becomes home-10"], "1 of them with the speed and address of today");
        let restraint = "its time is over: it is to reach the pay page only".to_owned();
        let walled = StateLine { profile: "home-walled".into(), restraint, ..plain.clone() };
        let end = "MIND: its time is over: it is to reach the pay page only, and the session that runs ends";
        check(walled, &["profile home becomes home-walled", end], "MIND: 1 session of lines");
        let off = "its time is over: it is to be off".to_owned();
        let off = StateLine { profile: String::new(), restraint: off, ..plain };
        check(
            off,
            &["MIND: its time is over: it is to be off, and the session that runs ends"],
            "MIND: 1 session",
        );
        assert_eq!(words_of_sessions(&propose(&[row("stranger", "")], &[], &BTreeMap::new())), "");
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
    fn a_row_of_any_service_is_called_so_and_what_becomes_of_it_is_said() {
        let lines = [line("b7k2", "plot17", Service::Pppoe)];
        let mut rows = propose(&[row("plot17", ""), row("stranger", "")], &lines, &BTreeMap::new());
        let any = BTreeSet::from(["plot17".to_owned(), "stranger".to_owned()]);
        rows.iter_mut().for_each(|proposal| proposal.note_any_service(&any));
        assert!(rows.iter().all(|proposal| proposal.is_any_service));
        assert_eq!(rows[0].changes, ["service any becomes pppoe"]);
        assert_eq!(rows[1].changes, Vec::<String>::new());
    }

    #[test]
    fn rows_whose_line_has_another_password_are_named_before_they_are_taken_over() {
        let own = StateLine { has_password: true, ..line("b7k2", "plot17", Service::Pppoe) };
        let lines = [own, line("d9n4", "plot19", Service::Pppoe)];
        let words = |rows: &[ForeignRowV1]| words_of_passwords(&propose(rows, &lines, &BTreeMap::new()));
        let both = words(&[row("plot17", ""), row("plot19", "")]);
        assert!(both.contains("passwords of 1 row are known to this router alone"), "{both}");
        assert!(both.contains("passwords too for 1 row: plot17\n"), "{both}");
        assert!(!words(&[row("plot19", "")]).contains("MIND"));
        assert_eq!(words(&[row("stranger", "")]), "");
    }

    #[test]
    fn a_line_that_nobody_knows_is_a_fault_of_the_table_with_its_place() {
        let table = read_table("username,line\nplot17,plot17\nplot18,nothing\nplot19,d9n4\n").unwrap();
        let rows = ["plot17", "plot18", "plot19"].map(|name| row(name, ""));
        let lines = [line("b7k2", "plot17", Service::Pppoe), line("d9n4", "plot19", Service::Pppoe)];
        let faults = table.faults_for(&rows, &lines);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("line 3: plot18") && faults[0].contains("nothing"), "{faults:?}");
    }

    #[test]
    fn a_table_needs_two_columns() {
        let table = read_table("comment;Line ID;Username\nx;b7k2;plot17\n").unwrap();
        assert_eq!(table.lines, BTreeMap::from([("plot17".to_owned(), "b7k2".to_owned())]));
        assert!(table.faults.is_empty());
        assert!(read_table("a,b\n1,2").unwrap_err().contains("username"));
        assert!(read_table("username,line\n\"x").unwrap_err().contains("quote"));
    }

    #[test]
    fn what_a_table_says_in_vain_is_named_by_its_line() {
        let check = |text: &str, faults: &[&str]| {
            let table = read_table(&format!("username,line\n{text}")).unwrap();
            let lines = [line("b7k2", "plot17", Service::Pppoe), line("c8m3", "plot18", Service::Pppoe)];
            let rows = [row("plot17", ""), row("plot18", "")];
            assert_eq!(table.faults_for(&rows, &lines), faults, "{text}");
        };
        check("plot17,b7k2\nplot18,c8m3\n", &[]);
        check("plot17\n", &["line 2: 1 column where the first line has 2"]);
        check("plot17,b7k2\nplot17,c8m3\n", &["line 3: plot17 stands on line 2 already"]);
        check("plot17,\n,b7k2\n", &["line 2: no line for plot17", "line 3: no username"]);
        check("plot19,b7k2\n", &["line 2: the router has no row called plot19 that somebody else made"]);
    }

    #[test]
    fn a_digest_names_the_rows_that_are_ready_and_whose_they_become() {
        let lines = [line("b7k2", "plot17", Service::Pppoe), line("c8m3", "plot18", Service::Pppoe)];
        let of = |rows: &[ForeignRowV1], lines: &[StateLine]| digest(&propose(rows, lines, &BTreeMap::new()));
        let one = of(&[row("plot17", "")], &lines);
        assert_eq!(one.len(), 8);
        assert_eq!(
            one,
            of(&[row("plot17", ""), row("stranger", "")], &lines),
            "what is not ready is not confirmed"
        );
        assert_ne!(one, of(&[row("plot17", ""), row("plot18", "")], &lines));
        assert_ne!(one, of(&[row("plot17", "")], &[line("d9n4", "plot17", Service::Pppoe)]));
        let over =
            StateLine { restraint: "its time is over".into(), ..line("b7k2", "plot17", Service::Pppoe) };
        assert_ne!(one, of(&[row("plot17", "")], &[over]));
        assert_eq!(of(&[row("stranger", "")], &lines), "");
    }
}
