//! Names, addresses and devices that pass from one line to another.

use std::collections::BTreeMap;

use crate::site::{FOREIGN, PATIENCE, Site, Wants, username};
use routeros_sim::FaultsChange;
use tawi_agent::flow::Report;
use tawi_shared::wire::{FailureKind, LineV1, Service};

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
    site.release.release();
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
    site.release.release();
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
