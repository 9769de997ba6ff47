//! Names, addresses and devices that pass from one line to another.

use std::collections::BTreeMap;

use crate::site::{FOREIGN, PATIENCE, Site, Wants, password, username};
use routeros_sim::{FaultsChange, NewDevice, Service as Dialler};
use tawi_agent::flow::Report;
use tawi_shared::wire::{EventKind, FailureKind, LineV1, Service};

/// The names in a menu, by the line whose mark the row bears.
fn names(site: &Site, menu: &str) -> BTreeMap<String, String> {
    let rows = site.rows(menu).into_iter();
    let ours = rows.filter_map(|row| {
        let line = row.get("comment")?.strip_prefix("tawi:").filter(|line| *line != "profile")?.to_owned();
        Some((line, row.get("name")?.clone()))
    });
    ours.collect()
}

fn named(line_and_name: &[(&str, &str)]) -> BTreeMap<String, String> {
    line_and_name.iter().map(|(line, name)| ((*line).to_owned(), (*name).to_owned())).collect()
}

fn rename(wants: &mut Wants<'_>, line: &str, name: &str) {
    wants.lines.get_mut(line).unwrap().username = name.to_owned();
}

const MENUS: [(Service, &str); 3] = [
    (Service::Pppoe, "ppp/secret"),
    (Service::Hotspot, "ip/hotspot/user"),
    (Service::Static, "queue/simple"),
];

fn add(wants: &mut Wants<'_>, line: &str, service: Service, host: u8) {
    let address = if service == Service::Static { format!("10.20.0.{host}") } else { String::new() };
    wants.line_of(line, service).address = address;
}

#[tokio::test]
async fn a_new_line_has_the_name_of_a_removed_one_in_the_same_generation() {
    for (service, menu) in MENUS {
        let mut site = Site::start().await;
        site.settle(|wants| add(wants, "old", service, 1)).await;
        let failures = site
            .settle(|wants| {
                wants.lines.remove("old");
                add(wants, "new", service, 2);
                rename(wants, "new", &username("old"));
            })
            .await;
        assert!(failures.is_empty(), "{menu}: {failures:?}");
        assert_eq!(names(&site, menu), named(&[("new", "old@isp")]));
    }
}

#[tokio::test]
async fn a_line_that_had_to_wait_for_a_name_has_it_once_its_holder_is_removed() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("old")).await;
    let failures = site
        .settle(|wants| {
            wants.open("new");
            rename(wants, "new", &username("old"));
        })
        .await;
    assert_eq!(failures.len(), 1, "two lines of one name: {failures:?}");
    let generation = site.want(|wants| drop(wants.lines.remove("old")));
    let whole = |report: &Report| match report {
        Report::Settled { generation: of, failures, .. } => {
            (*of == generation && failures.is_empty()).then_some(())
        }
        _ => None,
    };
    site.until("the other line to have the name", whole).await;
    assert_eq!(names(&site, "ppp/secret"), named(&[("new", "old@isp")]));
}

#[tokio::test]
async fn names_move_along_a_chain_and_around_a_circle_in_one_pass() {
    for (service, menu) in MENUS {
        let mut site = Site::start().await;
        let before = site.foreign_rows(menu);
        let lines = ["a", "b", "c", "d", "e", "f", "g"];
        site.settle(|wants| {
            (1..).zip(lines).for_each(|(host, line)| add(wants, line, service, host));
        })
        .await;
        // The last one alone is looked at first; whoever holds its name is found link by link.
        let failures = site
            .settle(|wants| {
                for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
                    rename(wants, line, &username(next));
                }
                rename(wants, "g", "fresh@isp");
            })
            .await;
        assert!(failures.is_empty(), "{menu}: {failures:?}");
        let mut expected = named(&[("g", "fresh@isp")]);
        expected.extend(
            lines.iter().zip(lines.iter().skip(1)).map(|(line, next)| ((*line).to_owned(), username(next))),
        );
        assert_eq!(names(&site, menu), expected);
        let failures = site
            .settle(|wants| {
                rename(wants, "a", "fresh@isp");
                rename(wants, "g", &username("b"));
                rename(wants, "c", &username("e"));
                rename(wants, "d", &username("d"));
            })
            .await;
        assert!(failures.is_empty(), "{menu}: {failures:?}");
        expected.extend(named(&[("a", "fresh@isp"), ("g", "b@isp"), ("c", "e@isp"), ("d", "d@isp")]));
        assert_eq!(names(&site, menu), expected);
        let disabled = |row: &crate::site::Shown| row.get("disabled").is_some_and(|has| has == "true");
        assert!(!site.rows(menu).iter().any(disabled), "{menu}");
        assert_eq!(before, site.foreign_rows(menu));
    }
}

#[tokio::test]
async fn sessions_of_a_name_end_when_it_passes_to_another_line() {
    let mut site = Site::start().await;
    let device = site.dial("a");
    site.settle(|wants| {
        wants.open("a");
        wants.open("b");
    })
    .await;
    site.online(&device).await;
    let failures = site
        .settle(|wants| {
            rename(wants, "a", &username("b"));
            rename(wants, "b", &username("a"));
        })
        .await;
    assert!(failures.is_empty(), "{failures:?}");
    // The device still says the old name, which has another password now.
    site.offline(&device).await;
    assert!(site.rows("ppp/active").is_empty());
}

/// The line drops after the first, the second, the third write of the swap.
#[tokio::test]
async fn a_swap_that_is_cut_short_anywhere_is_ended_by_the_next_pass() {
    for writes in 1..4 {
        let mut site = Site::start().await;
        site.settle(|wants| {
            wants.open("a");
            wants.open("b");
        })
        .await;
        let before = site.writes();
        let faults = FaultsChange { write_ms: Some(40), ..FaultsChange::default() };
        site.router.set_faults(faults).unwrap();
        let generation = site.want(|wants| {
            rename(wants, "a", &username("b"));
            rename(wants, "b", &username("a"));
        });
        let router = site.router.clone();
        let is_there = || (router.summary().writes_total >= before + writes).then_some(());
        site.hearing(router.wait_for(PATIENCE, is_there)).await.unwrap();
        router.drop_connections();
        let rows = site.rows("ppp/secret");
        let between: Vec<_> = rows.iter().filter(|row| row["name"].starts_with("tawi-moving-")).collect();
        assert!(!between.is_empty(), "the test needs a row between two names");
        assert!(between.iter().all(|row| row["disabled"] == "true"), "{between:?}");
        site.router.clear_faults();
        let whole = |report: &Report| match report {
            Report::Settled { generation: of, failures, .. } => {
                (*of == generation && failures.is_empty()).then_some(())
            }
            _ => None,
        };
        site.until("the swap to end", whole).await;
        assert_eq!(names(&site, "ppp/secret"), named(&[("a", "b@isp"), ("b", "a@isp")]), "after {writes}");
        assert_eq!(site.rows("ppp/secret").len(), FOREIGN + 2);
    }
}

/// How an exchange of names is cut short.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Connection,
    Power,
}

/// Has this wanted, and cuts it short after so many writes, while the session of `a` still runs.
async fn cut_short(site: &mut Site, cut: Cut, writes: u64, change: impl FnOnce(&mut Wants<'_>)) {
    let before = site.writes();
    site.router.set_faults(FaultsChange { write_ms: Some(60), ..FaultsChange::default() }).unwrap();
    site.want(change);
    let router = site.router.clone();
    let is_there = || (router.summary().writes_total >= before + writes).then_some(());
    site.hearing(router.wait_for(PATIENCE, is_there)).await.unwrap();
    site.router
        .set_faults(FaultsChange { refuse_connections: Some(true), ..FaultsChange::default() })
        .unwrap();
    match cut {
        Cut::Connection => site.router.drop_connections(),
        Cut::Power => site.stop(),
    }
    assert_eq!(site.rows("ppp/active").len(), 1, "the test needs a session that was not ended yet: {cut:?}");
}

async fn go_on(site: &mut Site, cut: Cut) {
    site.router.clear_faults();
    if let Cut::Power = cut {
        site.restart(|_| {}).await;
    }
}

async fn online_with(lines: &[&str]) -> Site {
    let mut site = Site::start().await;
    let device = site.dial("a");
    site.settle(|wants| lines.iter().for_each(|line| wants.open(line))).await;
    site.online(&device).await;
    site
}

async fn has_ended(site: &mut Site) {
    let router = site.router.clone();
    let look = || router.rows("ppp/active").unwrap().is_empty().then_some(());
    site.hearing(router.wait_for(PATIENCE, look)).await.unwrap();
}

#[tokio::test]
async fn a_session_by_a_name_that_was_left_ends_whatever_cuts_the_exchange_short() {
    for cut in [Cut::Connection, Cut::Power] {
        // It is closed and another line has its name: neither row leads to the session.
        let mut site = online_with(&["a", "b"]).await;
        cut_short(&mut site, cut, 2, |wants| {
            wants.switch_off("a");
            rename(wants, "a", "fresh@isp");
            rename(wants, "b", &username("a"));
        })
        .await;
        go_on(&mut site, cut).await;
        has_ended(&mut site).await;
        // It is open, by another name.
        let mut site = online_with(&["a"]).await;
        cut_short(&mut site, cut, 1, |wants| rename(wants, "a", "fresh@isp")).await;
        go_on(&mut site, cut).await;
        has_ended(&mut site).await;
        // It is no more when the agent comes back, with its row or without.
        for has_row in [true, false] {
            let mut site = online_with(&["a"]).await;
            cut_short(&mut site, cut, 1, |wants| rename(wants, "a", "fresh@isp")).await;
            site.want(|wants| wants.lines.clear());
            if !has_row {
                let id = site.secret("fresh@isp").unwrap()[".id"].clone();
                site.router.remove_row("ppp/secret", &id).unwrap();
            }
            go_on(&mut site, cut).await;
            has_ended(&mut site).await;
        }
    }
}

/// A row of somebody else that has the name by then is left alone, and so is whoever is in by it.
#[tokio::test]
async fn a_session_by_a_name_that_is_somebody_elses_by_now_goes_on() {
    let mut site = online_with(&["a"]).await;
    cut_short(&mut site, Cut::Connection, 1, |wants| rename(wants, "a", "fresh@isp")).await;
    let sessions = site.rows("ppp/active");
    site.router.add_row("ppp/secret", &[("name", "a@isp"), ("password", "theirs")]).unwrap();
    let generation = site.want(|wants| wants.open("b"));
    go_on(&mut site, Cut::Connection).await;
    assert!(site.settled(generation).await.is_empty());
    assert_eq!(site.rows("ppp/active").len(), sessions.len());
    assert_eq!(site.rows("ppp/active")[0]["session-id"], sessions[0]["session-id"]);
}

#[tokio::test]
async fn whoever_waits_for_a_name_still_ends_what_it_owed() {
    for is_wanted in [false, true] {
        let mut site = online_with(&["a", "c", "gone"]).await;
        cut_short(&mut site, Cut::Connection, 1, |wants| rename(wants, "a", "fresh@isp")).await;
        let generation = site.want(|wants| {
            wants.lines.remove("gone");
            rename(wants, "a", &username("gone"));
            if is_wanted {
                rename(wants, "c", "fresh@isp");
            }
        });
        go_on(&mut site, Cut::Connection).await;
        has_ended(&mut site).await;
        assert!(site.settled(generation).await.is_empty());
    }
}

/// What else is refused keeps off nobody who has paid, and leaves nobody in by another's name.
#[tokio::test]
async fn an_exchange_of_names_of_which_something_else_is_refused_leaves_everybody_on() {
    let mut site = online_with(&["a", "b"]).await;
    let refuse_argument = Some("remote-address".to_owned());
    site.router.set_faults(FaultsChange { refuse_argument, ..FaultsChange::default() }).unwrap();
    let failures = site
        .settle(|wants| {
            rename(wants, "a", &username("b"));
            rename(wants, "b", &username("a"));
            wants.line("a").address = "10.0.0.77".into();
        })
        .await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(kinds, [("a", FailureKind::Refused)]);
    assert_eq!(names(&site, "ppp/secret"), named(&[("a", "b@isp"), ("b", "a@isp")]));
    for name in ["a@isp", "b@isp"] {
        assert_eq!(site.secret(name).unwrap()["disabled"], "false", "{name}");
    }
    has_ended(&mut site).await;
    // It is not ended again and again.
    let device = NewDevice::new("b", Dialler::Pppoe, "a@isp", &password("b"));
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("b").await;
    let session = site.rows("ppp/active")[0]["session-id"].clone();
    site.rebuild.request();
    site.event(EventKind::RouterRebuilt).await;
    assert_eq!(site.rows("ppp/active")[0]["session-id"], session);
}

#[tokio::test]
async fn a_name_that_a_foreign_row_has_moves_nobody() {
    let mut site = Site::start().await;
    site.router.add_row("ppp/secret", &[("name", "theirs"), ("password", "x")]).unwrap();
    site.settle(|wants| {
        wants.open("a");
        wants.open("b");
    })
    .await;
    let before = (site.foreign_rows("ppp/secret"), site.writes());
    let failures = site
        .settle(|wants| {
            rename(wants, "a", &username("b"));
            rename(wants, "b", "theirs");
        })
        .await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(kinds, [("a", FailureKind::ForeignRow), ("b", FailureKind::ForeignRow)]);
    assert_eq!(before, (site.foreign_rows("ppp/secret"), site.writes()));
}

/// A cut that the guard holds is not let go because somebody else waits for the name.
#[tokio::test]
async fn what_the_guard_holds_keeps_its_name_until_a_person_lets_it_go() {
    let mut site = Site::start().await;
    let crowd: Vec<String> = (0..15).map(|number| format!("line-{number:02}")).collect();
    site.settle(|wants| crowd.iter().for_each(|line| wants.open(line))).await;
    let held = site.settle(|wants| wants.lines.clear()).await;
    assert_eq!(held.len(), crowd.len());
    let failures = site
        .settle(|wants| {
            wants.open("new");
            rename(wants, "new", &username("line-07"));
        })
        .await;
    assert!(failures.iter().any(|failure| failure.line == "new"), "{failures:?}");
    assert_eq!(names(&site, "ppp/secret").len(), crowd.len());
    site.release.release("root");
    let whole = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("everything to be let go", whole).await;
    assert_eq!(names(&site, "ppp/secret"), named(&[("new", "line-07@isp")]));
}

/// Held at the same time: who waits fails with the one whose row keeps the name.
#[tokio::test]
async fn whoever_waits_for_a_cut_that_is_held_now_fails_and_is_not_taken_for_right() {
    let mut site = Site::start().await;
    let crowd: Vec<String> = (0..15).map(|number| format!("line-{number:02}")).collect();
    site.settle(|wants| crowd.iter().for_each(|line| wants.open(line))).await;
    let failures = site
        .settle(|wants| {
            wants.lines.clear();
            wants.open("new");
            rename(wants, "new", &username("line-07"));
        })
        .await;
    let of_new = failures.iter().find(|failure| failure.line == "new");
    assert_eq!(of_new.map(|failure| failure.kind), Some(FailureKind::NotApplied), "{failures:?}");
    site.release.release("root");
    let whole = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("everything to be let go", whole).await;
    assert_eq!(names(&site, "ppp/secret"), named(&[("new", "line-07@isp")]));
}

#[tokio::test]
async fn two_devices_behind_a_hotspot_change_places() {
    let mut site = Site::start().await;
    let device = |wants: &mut Wants<'_>, line: &str, host: u8| {
        let has = LineV1 {
            address: format!("10.5.5.{host}"),
            caller_id: format!("02:00:00:00:00:{host:02}"),
            access: 2,
            ..wants.line_of(line, Service::HotspotDevice).clone()
        };
        wants.lines.insert(line.to_owned(), has);
    };
    let places = |site: &Site| {
        let bindings = site.rows("ip/hotspot/ip-binding");
        let entries = site.rows("ip/firewall/address-list");
        let mut places: Vec<String> = bindings
            .iter()
            .map(|row| format!("{} {} {}", row["comment"], row["mac-address"], row["address"]))
            .chain(entries.iter().map(|row| format!("{} {}", row["comment"], row["address"])))
            .collect();
        places.sort();
        places
    };
    for (of_a, of_b) in [(1, 2), (2, 1)] {
        let failures = site
            .settle(|wants| {
                device(wants, "a", of_a);
                device(wants, "b", of_b);
            })
            .await;
        assert!(failures.is_empty(), "{failures:?}");
    }
    assert_eq!(
        places(&site),
        [
            "tawi:a 02:00:00:00:00:02 10.5.5.2",
            "tawi:a 10.5.5.2",
            "tawi:b 02:00:00:00:00:01 10.5.5.1",
            "tawi:b 10.5.5.1"
        ]
    );
}
