//! Wanted lines against rows, through one `check`.

mod fixed;
mod names;

use super::*;
use std::time::Duration;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{Access, Restraint, RestraintV1};

use crate::enforce::{Circumstances, effective};
use crate::reconcile::actual::{Limits, LoginRows, ProfileRow, SessionRow, UserRow};
use crate::reconcile::fixed::FixedRows;
use routeros_api::value::RateLimit;

const NOW: i64 = 100;

fn line(id: &str) -> LineV1 {
    LineV1 {
        line: id.into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: format!("user-{id}"),
        password: format!("password-{id}"),
        profile: "home".into(),
        access: Access::Open.code(),
        valid_until_ms: Some(NOW + 1),
        ..LineV1::default()
    }
}

fn off(id: &str) -> LineV1 {
    LineV1 { access: Access::Off.code(), ..line(id) }
}

fn expired(id: &str) -> LineV1 {
    LineV1 { valid_until_ms: Some(NOW), ..line(id) }
}

fn profile(name: &str, download: u64) -> ProfileV1 {
    ProfileV1 {
        name: name.into(),
        service: Service::Pppoe.code(),
        download_bits_per_second: download,
        upload_bits_per_second: 5_000_000,
        download_burst_bits_per_second: 0,
        upload_burst_bits_per_second: 0,
        ..ProfileV1::default()
    }
}

fn id(number: u64) -> RouterId {
    RouterId::parse(format!("*{number:X}")).unwrap()
}

/// Our row of a line, open and as it should be.
fn row(number: u64, line_id: &str) -> UserRow {
    UserRow {
        id: id(number),
        name: Some(format!("user-{line_id}")),
        mark: Some(line_id.into()),
        profile: Some("home".into()),
        service: Some("pppoe".into()),
        caller: None,
        address: None,
        is_disabled: Some(false),
        password: None,
        limits: Some(Limits::default()),
        counted: None,
    }
}

fn foreign_row(number: u64, name: &str) -> UserRow {
    UserRow { name: Some(name.into()), mark: None, ..row(number, "x") }
}

fn disabled(row: UserRow) -> UserRow {
    UserRow { is_disabled: Some(true), ..row }
}

fn profile_row(name: &str, limit: &str, is_ours: bool) -> ProfileRow {
    ProfileRow {
        id: id(0xF0),
        name: Some(name.into()),
        is_ours,
        limit: Some(RateLimit::parse(limit.as_bytes()).ok()),
        pool: None,
        local_address: None,
        address_list: None,
        sharing: Some("default".into()),
    }
}

fn session(number: u64, user: &str) -> SessionRow {
    SessionRow { id: id(number), user: Some(user.into()), uptime: Duration::ZERO, bytes: 0 }
}

struct Case {
    lines: Vec<LineV1>,
    rows: LoginRows,
    hotspot: LoginRows,
    fixed: FixedRows,
    profiles: Vec<ProfileV1>,
    is_whole: bool,
    knowledge: PasswordKnowledge,
    owes_kick: Vec<String>,
    /// Lines that are no more, with the names that they go by.
    gone: Vec<(String, String)>,
}

impl Case {
    /// A router whose profile stands, and these lines and rows.
    fn of(lines: &[LineV1], users: &[UserRow]) -> Self {
        let rows = LoginRows {
            users: users.to_vec(),
            profiles: vec![profile_row("home", "5M/20M", true)],
            has_profiles: true,
            ..LoginRows::default()
        };
        Self {
            lines: lines.to_vec(),
            rows,
            hotspot: LoginRows { has_profiles: true, ..LoginRows::default() },
            fixed: FixedRows::default(),
            profiles: vec![profile("home", 20_000_000)],
            is_whole: true,
            knowledge: PasswordKnowledge::Right,
            owes_kick: vec![],
            gone: vec![],
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn plan(&self) -> Plan {
        let profiles: BTreeMap<ProfileKey, Arc<Revised<ProfileV1>>> = self
            .profiles
            .iter()
            .map(|profile| {
                let revised = Revised { revision: 1, item: profile.clone() };
                ((profile.service, profile.name.clone()), Arc::new(revised))
            })
            .collect();
        let circumstances = Circumstances { now: UnixMillis(NOW), ..Circumstances::default() };
        let wanted = self.lines.iter().map(|line| {
            let (service, state) = effective(line, &circumstances).unwrap();
            WantedLine {
                line,
                service,
                state,
                password: self.knowledge,
                owes_kick: &self.owes_kick,
                allowance: None,
                revision: 1,
            }
        });
        let all_lines = self.is_whole.then(|| {
            self.lines.iter().map(|line| (line.line.as_str(), Family::of_code(line.service))).collect()
        });
        let gone = self.gone.iter().map(|(line, username)| GoneLine {
            line,
            family: Family::Ppp,
            username,
            owes_kick: &self.owes_kick,
        });
        let scope = Scope {
            wanted: wanted.collect(),
            gone: gone.collect(),
            profiles: &profiles,
            template: "default",
            all_lines,
        };
        let logins =
            BTreeMap::from([(Family::Ppp, self.rows.clone()), (Family::Hotspot, self.hotspot.clone())]);
        plan(&scope, &Actual { logins, fixed: Some(self.fixed.clone()) })
    }
}

/// Says a plan in words: one text a change, in order, then the failures.
fn words(plan: &Plan) -> Vec<String> {
    let mut words = Vec::new();
    for profile in &plan.profiles {
        let verb = if profile.id.is_some() { "set" } else { "add" };
        let values = profile.values.iter().filter(|(_, value)| !value.ends_with("tawi:profile"));
        let values: Vec<String> = values.map(|(name, value)| format!("{name}={value}")).collect();
        words.push(format!("{verb} profile {} {}", profile.name, values.join(" ")));
    }
    for change in &plan.lines {
        let mut text = match &change.row {
            RowChange::Leave => format!("leave {}", change.line),
            RowChange::Add(values) => format!("add {}: {}", change.line, said(values)),
            RowChange::Set(id, values) => format!("set {} {id}: {}", change.line, said(values)),
            RowChange::Drop(id) => format!("drop {} {} {id}", change.line, change.table.path()),
            RowChange::Remove { id, is_enabled } => {
                format!("{} {} {id}", if *is_enabled { "close and remove" } else { "remove" }, change.line)
            }
        };
        if !change.kick.is_empty() {
            text.push_str(&format!(" kick {}", change.kick.join("+")));
        }
        if let Some(cut) = change.cut {
            text.push_str(&format!(" cut {cut:?}"));
        }
        words.push(text);
    }
    words.extend(plan.unused_profiles.iter().map(|unused| format!("remove profile {}", unused.id)));
    words.extend(
        plan.failures.iter().map(|failure| format!("fail {} {}", failure.line, failure.kind.as_str())),
    );
    words
}

fn said(values: &Values) -> String {
    let mut said: Vec<String> = values.plain.iter().map(|(name, value)| format!("{name}={value}")).collect();
    said.extend(values.unset.iter().map(|name| format!("{name} unset")));
    said.extend(values.password.iter().map(|_| "password".to_owned()));
    said.join(" ")
}

fn check(case: &Case, expected: &[&str]) {
    assert_eq!(words(&case.plan()), expected);
}

#[test]
fn a_router_that_agrees_is_left_alone() {
    check(&Case::of(&[line("a"), line("b")], &[row(1, "a"), row(2, "b")]), &[]);
    check(&Case::of(&[off("a")], &[disabled(row(1, "a"))]), &[]);
    check(&Case::of(&[off("a")], &[]), &[]);
    check(&Case::of(&[], &[foreign_row(1, "ours-not"), foreign_row(2, "x")]), &[]);
}

#[test]
fn an_open_line_without_a_row_gets_one_with_its_mark() {
    check(
        &Case::of(&[line("a")], &[]),
        &["add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password"],
    );
}

#[test]
fn only_what_differs_is_set() {
    let set = |change: fn(&mut UserRow), expected: &str| {
        let mut has = row(1, "a");
        change(&mut has);
        check(&Case::of(&[line("a")], &[has]), &[expected]);
    };
    set(|row| row.is_disabled = Some(true), "set a *1: disabled=no");
    set(|row| row.is_disabled = None, "set a *1: disabled=no");
    set(|row| row.service = Some("any".into()), "set a *1: service=pppoe");
    set(|row| row.profile = Some("slow".into()), "set a *1: profile=home kick user-a");
    set(|row| row.profile = Some("*7".into()), "set a *1: profile=home kick user-a");
    set(|row| row.name = Some("other".into()), "set a *1: name=user-a kick other");
    set(
        |row| {
            row.is_disabled = Some(true);
            row.profile = Some("slow".into());
        },
        "set a *1: profile=home disabled=no",
    );
}

#[test]
fn a_line_that_is_off_is_disabled_and_its_sessions_end() {
    check(
        &Case::of(&[off("a")], &[row(1, "a")]),
        &["set a *1: disabled=yes kick user-a cut Restrained(SwitchedOff)"],
    );
    check(
        &Case::of(&[expired("a")], &[row(1, "a")]),
        &["set a *1: disabled=yes kick user-a cut Restrained(Expired)"],
    );
    let with_session = |users: &[UserRow]| {
        Case::of(&[off("a")], users).with(|case| case.rows.sessions = vec![session(9, "user-a")])
    };
    check(&with_session(&[disabled(row(1, "a"))]), &["leave a kick user-a"]);
    check(&with_session(&[]), &["leave a kick user-a"]);
    check(
        &Case::of(&[off("a")], &[disabled(row(1, "a"))])
            .with(|case| case.rows.cookies = vec![session(9, "user-a")]),
        &["leave a kick user-a"],
    );
}

#[test]
fn whoever_gains_comes_before_whoever_loses() {
    check(
        &Case::of(
            &[off("a"), line("b"), expired("c"), line("d")],
            &[row(1, "a"), row(3, "c"), disabled(row(4, "d"))],
        ),
        &[
            "add b: name=user-b profile=home service=pppoe disabled=no comment=tawi:b password",
            "set d *4: disabled=no",
            "set a *1: disabled=yes kick user-a cut Restrained(SwitchedOff)",
            "set c *3: disabled=yes kick user-c cut Restrained(Expired)",
        ],
    );
}

#[test]
fn a_foreign_row_of_the_same_name_is_a_failure_and_never_a_change() {
    let taken = [foreign_row(1, "user-a")];
    check(&Case::of(&[line("a")], &taken), &["fail a a foreign row has that name"]);
    check(&Case::of(&[off("a")], &taken), &["fail a a foreign row has that name"]);
    let with_session =
        Case::of(&[off("a")], &taken).with(|case| case.rows.sessions = vec![session(9, "user-a")]);
    check(&with_session, &["fail a a foreign row has that name"]);
}

#[test]
fn two_lines_of_one_user_name_do_not_fight_over_it() {
    let twin = LineV1 { username: "user-a".into(), ..line("b") };
    check(
        &Case::of(&[line("a"), twin], &[]),
        &[
            "add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password",
            "fail b a foreign row has that name",
        ],
    );
    // Whoever came later does not disturb the one who has it.
    let twin = LineV1 { username: "user-b".into(), ..line("a") };
    check(&Case::of(&[twin, line("b")], &[row(1, "b")]), &["fail a a foreign row has that name"]);
}

#[test]
fn a_row_of_ours_without_a_line_goes_after_its_sessions() {
    check(
        &Case::of(&[], &[row(1, "gone"), disabled(row(2, "old"))]),
        &["remove old *2 kick user-old", "close and remove gone *1 kick user-gone cut Removed"],
    );
    // A copy that somebody made, mark and all, would be a second login.
    let copy = UserRow { name: Some("copy".into()), ..row(2, "a") };
    check(&Case::of(&[line("a")], &[copy, row(1, "a")]), &["close and remove a *2 kick copy cut Removed"]);
    // A partial reading proves nothing about other rows.
    check(&Case::of(&[], &[row(1, "gone")]).with(|case| case.is_whole = false), &[]);
}

#[test]
fn a_gone_line_takes_its_row_and_its_sessions_along() {
    let gone = |users: &[UserRow], sessions: &[SessionRow]| {
        let rows = LoginRows { users: users.to_vec(), sessions: sessions.to_vec(), ..LoginRows::default() };
        let profiles = BTreeMap::new();
        let scope = Scope {
            wanted: vec![],
            gone: vec![GoneLine { line: "a", family: Family::Ppp, username: "user-a", owes_kick: &[] }],
            profiles: &profiles,
            template: "default",
            all_lines: None,
        };
        words(&plan(&scope, &Actual { logins: BTreeMap::from([(Family::Ppp, rows)]), fixed: None }))
    };
    assert_eq!(gone(&[row(1, "a")], &[]), ["close and remove a *1 kick user-a cut Removed"]);
    assert_eq!(gone(&[], &[session(9, "user-a")]), ["leave a kick user-a"]);
    assert!(gone(&[foreign_row(1, "user-a")], &[session(9, "user-a")]).is_empty());
    assert!(gone(&[], &[]).is_empty());
}

#[test]
fn a_profile_stands_before_the_lines_that_use_it() {
    let without = Case::of(&[line("a")], &[row(1, "a")]).with(|case| case.rows.profiles.clear());
    check(&without, &["add profile home rate-limit=5M/20M"]);
    let slower = Case::of(&[line("a"), off("b")], &[row(1, "a"), disabled(row(2, "b"))])
        .with(|case| case.rows.profiles = vec![profile_row("home", "5M/10M", true)]);
    check(&slower, &["set profile home rate-limit=5M/20M", "leave a kick user-a"]);
    let same_in_other_words = Case::of(&[line("a")], &[row(1, "a")])
        .with(|case| case.rows.profiles = vec![profile_row("home", "5000k/20000000", false)]);
    check(&same_in_other_words, &[]);
    let unlimited = Case::of(&[line("a")], &[row(1, "a")])
        .with(|case| case.rows.profiles = vec![profile_row("home", "", true)]);
    check(&unlimited, &["set profile home rate-limit=5M/20M", "leave a kick user-a"]);
}

#[test]
fn a_profile_that_is_foreign_or_unknown_opens_nobody_and_closes_all_the_same() {
    let foreign = Case::of(&[line("a"), off("b")], &[row(2, "b")])
        .with(|case| case.rows.profiles = vec![profile_row("home", "1M/1M", false)]);
    check(
        &foreign,
        &[
            "set b *2: disabled=yes kick user-b cut Restrained(SwitchedOff)",
            "fail a a foreign row has that name",
        ],
    );
    let unknown = Case::of(&[line("a")], &[]).with(|case| case.profiles.clear());
    check(&unknown, &["remove profile *F0", "fail a refused by the router"]);
}

#[test]
fn a_profile_of_ours_goes_only_when_nothing_uses_it() {
    let old = |users: &[UserRow]| {
        Case::of(&[], users).with(|case| {
            case.profiles.clear();
            case.rows.profiles = vec![profile_row("old", "1M/1M", true), profile_row("default", "", false)];
        })
    };
    check(&old(&[]), &["remove profile *F0"]);
    check(&old(&[UserRow { profile: Some("old".into()), ..foreign_row(1, "x") }]), &[]);
}

#[test]
fn a_password_is_written_when_it_is_known_to_be_wrong_and_never_on_suspicion() {
    let with = |shown: Option<&str>, shows: bool, knowledge: PasswordKnowledge| {
        let password = shown.map(|text| Secret::new(text.to_owned()));
        Case::of(&[line("a")], &[UserRow { password, ..row(1, "a") }]).with(|case| {
            case.rows.shows_passwords = shows;
            case.knowledge = knowledge;
        })
    };
    use PasswordKnowledge::{Right, RoutersOwn, Stale};
    check(&with(None, false, Right), &[]);
    check(&with(None, false, Stale), &["set a *1: password"]);
    check(&with(Some("password-a"), true, Stale), &[]);
    check(&with(Some("changed"), true, Right), &["set a *1: password"]);
    check(&with(Some("known to nobody"), true, RoutersOwn), &[]);
    check(&with(Some("*****"), false, Right), &[]);
    check(&with(None, true, Right), &[]);
}

#[test]
fn sessions_that_a_cut_pass_still_owed_are_ended() {
    let owing = |line: LineV1, users: &[UserRow]| {
        Case::of(&[line], users).with(|case| case.owes_kick = vec!["user-a".into()])
    };
    check(&owing(line("a"), &[row(1, "a")]), &["leave a kick user-a"]);
    check(&owing(off("a"), &[disabled(row(1, "a"))]), &["leave a kick user-a"]);
}

#[test]
fn a_line_that_is_off_is_closed_though_another_line_has_its_name() {
    let twin = LineV1 { username: "user-a".into(), ..off("b") };
    let lines = [line("a"), twin];
    let closed = "set b *2: disabled=yes kick user-b cut Restrained(SwitchedOff)";
    check(&Case::of(&lines, &[row(1, "a"), row(2, "b")]), &[closed]);
    check(&Case::of(&lines, &[row(1, "a")]), &[]);
    let holds = UserRow { name: Some("user-a".into()), ..row(2, "b") };
    check(
        &Case::of(&lines, &[holds]),
        &[
            "set b *2: disabled=yes name=tawi-moving-b kick user-a cut Restrained(SwitchedOff)",
            "add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password",
        ],
    );
}

#[test]
fn a_menu_that_the_router_hides_fails_its_lines() {
    let hidden =
        Case::of(&[line("a")], &[]).with(|case| case.rows.unavailable = Some("no such command".into()));
    check(&hidden, &["fail a refused by the router"]);
}

#[test]
fn rates_are_written_upload_first_and_bursts_only_above_the_rate() {
    let limit = |upload: u64, download: u64, upload_burst: u64, download_burst: u64| {
        let profile = ProfileV1 {
            upload_bits_per_second: upload,
            download_bits_per_second: download,
            upload_burst_bits_per_second: upload_burst,
            download_burst_bits_per_second: download_burst,
            ..profile("home", 0)
        };
        rate_limit_of(&profile).map(|limit| limit.to_string())
    };
    assert_eq!(limit(0, 0, 0, 0), None);
    assert_eq!(limit(5_000_000, 20_000_000, 0, 0).as_deref(), Some("5M/20M"));
    assert_eq!(limit(0, 20_000_000, 0, 0).as_deref(), Some("0/20M"));
    assert_eq!(limit(5_000_000, 20_000_000, 4_000_000, 20_000_000).as_deref(), Some("5M/20M"));
    assert_eq!(limit(5_000_000, 20_000_000, 0, 30_000_000).as_deref(), Some("5M/20M 5M/30M 5M/20M 16/16"));
}

#[test]
fn a_plan_does_not_show_passwords() {
    let shown = format!("{:?}", Case::of(&[line("a")], &[]).plan());
    assert!(!shown.contains("password-a"), "{shown}");
}

fn suspended(id: &str, how: Restraint, profile: &str) -> LineV1 {
    let suspension = RestraintV1 { how: how.code(), profile: profile.into() };
    LineV1 { access: Access::Suspended.code(), suspension, ..line(id) }
}

/// A case with a profile for whoever is suspended, on the router too.
fn with_slow(lines: &[LineV1], users: &[UserRow]) -> Case {
    Case::of(lines, users).with(|case| {
        case.profiles.push(profile("slow", 1_000_000));
        case.rows.profiles.push(ProfileRow { id: id(0xF1), ..profile_row("slow", "5M/1M", true) });
    })
}

#[test]
fn a_restrained_line_gets_another_profile_and_dials_again() {
    use Restraint::{Throttled, Walled};
    let slow = UserRow { profile: Some("slow".into()), ..row(1, "a") };
    let throttled = [suspended("a", Throttled, "slow")];
    let walled = [suspended("a", Walled, "slow")];
    check(&with_slow(&throttled, &[row(1, "a")]), &["set a *1: profile=slow kick user-a"]);
    check(&with_slow(&throttled, std::slice::from_ref(&slow)), &[]);
    check(
        &with_slow(&walled, &[row(1, "a")]),
        &["set a *1: profile=slow kick user-a cut Restrained(Suspended)"],
    );
    check(&with_slow(&walled, std::slice::from_ref(&slow)), &[]);
    check(&with_slow(&walled, &[disabled(row(1, "a"))]), &["set a *1: profile=slow disabled=no"]);
    check(&with_slow(&[line("a")], &[slow]), &["set a *1: profile=home kick user-a"]);
    for nowhere in ["", "nowhere"] {
        let lines = [suspended("a", Walled, nowhere)];
        check(&with_slow(&lines, &[row(1, "a")]), &["fail a refused by the router"]);
    }
}

#[test]
fn the_services_of_ppp_share_one_menu() {
    let l2tp = |id: &str| LineV1 { service: Service::L2tp.code(), ..line(id) };
    let both = |case: Case| {
        case.with(|case| {
            let item = ProfileV1 { service: Service::L2tp.code(), ..profile("home", 20_000_000) };
            case.profiles.push(item);
        })
    };
    check(&both(Case::of(&[l2tp("a")], &[row(1, "a")])), &["set a *1: service=l2tp kick user-a"]);
    let twin = LineV1 { username: "user-a".into(), ..l2tp("b") };
    check(&both(Case::of(&[line("a"), twin], &[row(1, "a")])), &["fail b a foreign row has that name"]);
    check(
        &both(Case::of(&[l2tp("a")], &[foreign_row(1, "user-a")])),
        &["fail a a foreign row has that name"],
    );
    // The same name with another speed: each service's lines would undo the other's profile.
    let twofold = Case::of(&[line("a"), l2tp("b"), off("c")], &[row(1, "a"), row(3, "c")]).with(|case| {
        case.profiles.push(ProfileV1 { service: Service::L2tp.code(), ..profile("home", 40_000_000) });
    });
    check(
        &twofold,
        &[
            "set c *3: disabled=yes kick user-c cut Restrained(SwitchedOff)",
            "fail a refused by the router",
            "fail b refused by the router",
        ],
    );
}

#[test]
fn a_device_and_an_address_of_its_own_are_set_and_taken_back() {
    let bound = |caller: &str, address: &str| LineV1 {
        caller_id: caller.into(),
        address: address.into(),
        ..line("a")
    };
    let mac = "02:00:00:00:00:AF";
    let has = |caller: Option<&str>, address: Option<&str>| UserRow {
        caller: caller.map(str::to_owned),
        address: address.map(str::to_owned),
        ..row(1, "a")
    };
    let to = |line: LineV1, row: UserRow, expected: &[&str]| check(&Case::of(&[line], &[row]), expected);
    to(bound(mac, "10.0.0.7"), has(Some(mac), Some("10.0.0.7")), &[]);
    to(bound("02:00:00:00:00:af", ""), has(Some(mac), None), &[]);
    to(
        bound(mac, "10.0.0.7"),
        has(None, None),
        &["set a *1: caller-id=02:00:00:00:00:AF remote-address=10.0.0.7 kick user-a"],
    );
    to(
        bound("", ""),
        has(Some(mac), Some("10.0.0.7")),
        &["set a *1: caller-id= remote-address unset kick user-a"],
    );
    to(bound("", "10.0.0"), has(None, None), &["fail a refused by the router"]);
    check(
        &Case::of(&[bound(mac, "10.0.0.7")], &[]),
        &[
            "add a: name=user-a profile=home service=pppoe caller-id=02:00:00:00:00:AF remote-address=10.0.0.7 \
           disabled=no comment=tawi:a password",
        ],
    );
}

#[test]
fn a_password_that_nobody_knows_stays_and_makes_no_new_row() {
    let unknown = LineV1 { password: String::new(), ..line("a") };
    let shown = UserRow { password: Some(Secret::new("theirs")), ..row(1, "a") };
    let case = Case::of(std::slice::from_ref(&unknown), &[shown]).with(|case| {
        case.rows.shows_passwords = true;
        case.knowledge = PasswordKnowledge::Stale;
    });
    check(&case, &[]);
    check(&Case::of(&[unknown], &[]), &["fail a its password is not known"]);
}

#[test]
fn a_profile_has_what_its_plan_says_and_the_rest_from_the_template() {
    let template = ProfileRow {
        id: id(1),
        pool: Some("pool".into()),
        local_address: Some("10.0.0.1".into()),
        ..profile_row("default", "", false)
    };
    let to = |wanted: ProfileV1, row: ProfileRow, expected: &[&str]| {
        let case = Case::of(&[line("a")], &[UserRow { ..row_of_a() }]).with(|case| {
            case.profiles = vec![wanted];
            case.rows.profiles = vec![template.clone(), row];
        });
        check(&case, expected);
    };
    fn row_of_a() -> UserRow {
        row(1, "a")
    }
    let from_template = || ProfileRow {
        pool: Some("pool".into()),
        local_address: Some("10.0.0.1".into()),
        ..profile_row("home", "5M/20M", true)
    };
    let wanted = || profile("home", 20_000_000);
    to(wanted(), from_template(), &[]);
    to(
        ProfileV1 { pool: "other".into(), shared_users: 1, ..wanted() },
        from_template(),
        &["set profile home remote-address=other only-one=yes"],
    );
    to(
        wanted(),
        ProfileRow { pool: Some("other".into()), ..from_template() },
        &["set profile home remote-address=pool"],
    );
    to(
        ProfileV1 { address_list: "gold".into(), ..wanted() },
        from_template(),
        &["set profile home address-list=gold", "leave a kick user-a"],
    );
    to(
        wanted(),
        ProfileRow { address_list: Some("gold".into()), ..from_template() },
        &["set profile home address-list=", "leave a kick user-a"],
    );
    // A template that lost its addresses takes none away.
    let emptied = ProfileRow { pool: None, local_address: None, ..template.clone() };
    let case = Case::of(&[line("a")], &[row_of_a()]).with(|case| {
        case.profiles = vec![wanted()];
        case.rows.profiles = vec![emptied, from_template()];
    });
    check(&case, &[]);
    // A foreign one needs no more than what the plan says.
    to(wanted(), ProfileRow { is_ours: false, pool: Some("theirs".into()), ..from_template() }, &[]);
    to(
        ProfileV1 { pool: "other".into(), ..wanted() },
        ProfileRow { is_ours: false, ..from_template() },
        &["fail a a foreign row has that name"],
    );
}

#[test]
fn burst_threshold_time_and_priority_are_written_as_the_plan_has_them() {
    let limit = |change: fn(&mut ProfileV1)| {
        let mut wanted = profile("home", 20_000_000);
        change(&mut wanted);
        rate_limit_of(&wanted).map(|limit| limit.to_string())
    };
    let burst = |profile: &mut ProfileV1| {
        profile.download_burst_bits_per_second = 30_000_000;
        profile.download_threshold_bits_per_second = 16_000_000;
        profile.burst_seconds = 8;
        profile.priority = 3;
    };
    assert_eq!(limit(burst).as_deref(), Some("5M/20M 5M/30M 5M/16M 8/8 3"));
    assert_eq!(limit(|profile| profile.priority = 9).as_deref(), Some("5M/20M"));
}

fn hotspot(id: &str) -> LineV1 {
    LineV1 { service: Service::Hotspot.code(), ..line(id) }
}

#[test]
fn a_hotspot_line_that_is_walled_in_is_closed_and_a_throttled_one_is_slow() {
    let with = |line: LineV1| {
        Case::of(&[line], &[]).with(|case| {
            for (name, download) in [("home", 20_000_000), ("slow", 1_000_000)] {
                let item = ProfileV1 { service: Service::Hotspot.code(), ..profile(name, download) };
                case.profiles.push(item);
                let limit = if name == "home" { "5M/20M" } else { "5M/1M" };
                let row = ProfileRow { sharing: Some("1".into()), ..profile_row(name, limit, true) };
                case.hotspot.profiles.push(row);
            }
            case.hotspot.users = vec![UserRow { service: None, ..row(1, "a") }];
        })
    };
    let suspend = |how, profile| LineV1 { service: Service::Hotspot.code(), ..suspended("a", how, profile) };
    check(&with(hotspot("a")), &[]);
    check(
        &with(suspend(Restraint::Walled, "")),
        &["set a *1: disabled=yes kick user-a cut Restrained(Suspended)"],
    );
    check(&with(suspend(Restraint::Throttled, "slow")), &["set a *1: profile=slow kick user-a"]);
    let bound = LineV1 { caller_id: "02:00:00:00:00:AF".into(), address: "10.5.5.7".into(), ..hotspot("a") };
    check(&with(bound), &["set a *1: mac-address=02:00:00:00:00:AF address=10.5.5.7 kick user-a"]);
    let freed = with(hotspot("a")).with(|case| {
        case.hotspot.users[0].caller = Some("02:00:00:00:00:AF".into());
        case.hotspot.users[0].address = Some("10.5.5.7".into());
    });
    check(&freed, &["set a *1: mac-address=00:00:00:00:00:00 address=0.0.0.0 kick user-a"]);
    check(&with(LineV1 { caller_id: "phone".into(), ..hotspot("a") }), &["fail a refused by the router"]);
}

#[test]
fn a_session_that_is_owed_its_end_has_it_though_its_row_is_gone() {
    let owing = |name: &str| Case::of(&[line("a")], &[]).with(|case| case.owes_kick = vec![name.to_owned()]);
    check(
        &owing("old-name"),
        &["add a: name=user-a profile=home service=pppoe disabled=no comment=tawi:a password kick old-name"],
    );
    // Unless somebody else goes by that name now.
    check(
        &Case::of(&[off("a")], &[disabled(row(1, "a")), foreign_row(2, "theirs")]).with(|case| {
            case.owes_kick = vec!["theirs".to_owned()];
            case.rows.sessions = vec![session(9, "theirs")];
        }),
        &[],
    );
}

#[test]
fn a_row_that_opens_gets_its_password_unless_it_was_seen_or_written() {
    let case =
        |row: UserRow, knowledge| Case::of(&[line("a")], &[row]).with(|case| case.knowledge = knowledge);
    check(&case(disabled(row(1, "a")), PasswordKnowledge::Right), &["set a *1: disabled=no"]);
    check(&case(disabled(row(1, "a")), PasswordKnowledge::Assumed), &["set a *1: disabled=no password"]);
    check(&case(row(1, "a"), PasswordKnowledge::Assumed), &[]);
    check(&case(disabled(row(1, "a")), PasswordKnowledge::RoutersOwn), &["set a *1: disabled=no"]);
}
