//! What a router's restart does to counters that begin anew: those of queues, where nobody logs in, and those of sessions
//! under numbers that are given again. What tells them from counters that went on is the uptime.

use super::*;
use crate::usage::counted::Mark;

#[test]
fn the_queue_of_a_line_is_counted_from_its_first_reading_until_its_counters_begin_anew() {
    let mut tracker = Tracker::new("core");
    let owner = |_, line: &str| Some(Owner { line: if line == "l1" { "l1" } else { "l2" }, period_ms: 0 });
    let mut kinds = Vec::new();
    let mut play = |second, queues: &[SeenSession]| {
        let outcome = tracker.sample(at(second), queues, owner);
        kinds.extend(outcome.events.iter().map(|(kind, ..)| *kind));
        let said = outcome.usage.into_iter().map(|counted| counted.total);
        said.map(|total| (total.session, total.download_bytes, total.is_ended)).collect::<Vec<_>>()
    };
    let name = |rest: &str| format!("core/static/*5/{rest}");
    // It may have been somebody's before it was ours.
    assert_eq!(play(0, &[queue("*5", "l1", (0, 900))]), [(name("1000000000+"), 0, false)]);
    assert_eq!(play(30, &[queue("*5", "l1", (0, 950))]), [(name("1000000000+"), 50, false)]);
    // A reboot.
    assert_eq!(
        play(60, &[queue("*5", "l1", (0, 7))]),
        [(name("1000000000+"), 50, true), (name("1000000060"), 7, false)]
    );
    assert_eq!(play(90, &[queue("*5", "l1", (0, 7))]), []);
    assert_eq!(play(360, &[queue("*5", "l1", (0, 7))]), []);
    assert_eq!(play(390, &[queue("*5", "l1", (0, 8))]), [(name("1000000060"), 8, false)]);
    // The number is another line's.
    assert_eq!(
        play(420, &[queue("*5", "l2", (0, 9))]),
        [(name("1000000060"), 8, true), (name("1000000420+"), 0, false)]
    );
    // Online while it moves something: the reboot is an interruption, and five quiet minutes are an end.
    assert_eq!(kinds, [LineOnline, LineOffline, LineOnline, LineOffline, LineOnline, LineOffline]);
}

/// What is said last of each total once an agent that was started again has looked: upload, and whether it ended.
fn after_a_restart(open: Counted, uptime_seconds: u64, seen: SeenSession) -> Vec<(u64, bool)> {
    let mut tracker = Tracker::new("core");
    let counters = Some((open.total.upload_bytes, open.total.download_bytes));
    let mark = Mark { counters, uptime_seconds, ..Mark::default() };
    tracker.resume(&[Counted { mark, ..open }]);
    let owner = |_, _: &str| Some(Owner { line: "line-a", period_ms: 0 });
    let outcome = tracker.sample(at(2), &[seen], owner);
    outcome.usage.iter().map(|usage| (usage.total.upload_bytes, usage.total.is_ended)).collect()
}

#[test]
fn a_number_that_is_given_again_after_a_power_cut_of_router_and_agent_is_another_session() {
    let check = |uptime, upload, expected: &[(u64, bool)]| {
        for number in ["pppoe/0x1", "hotspot/*1"] {
            let (service, name) = number.split_once('/').unwrap();
            let service = Service::parse(service).unwrap();
            let open = open(&format!("core/{number}/999999900"), -100, 50);
            let seen = SeenSession { service, ..seen(name, "a", uptime, Some((upload, 0))) };
            assert_eq!(after_a_restart(open, 100, seen), expected, "{number} {uptime} {upload}");
        }
    };
    check(40, 80, &[(50, true), (80, false)]);
    check(40, 20, &[(50, true), (20, false)]);
    // It went on, and so did its counters; or somebody reset them, and nobody knows when.
    check(102, 80, &[(80, false)]);
    check(98, 80, &[(80, false)]);
}

#[test]
fn a_queue_counts_anew_after_a_reboot_however_much_it_shows_by_then() {
    let since =
        |uptime, up| SeenSession { uptime: Duration::from_secs(uptime), ..queue("*5", "line-a", (up, 0)) };
    let check = |was_up, uptime, up, expected: &[(u64, bool)]| {
        let open = open("core/static/*5/999999900", -100, 50);
        assert_eq!(after_a_restart(open, was_up, since(uptime, up)), expected, "{was_up} {uptime} {up}");
    };
    check(1_000, 60, 80, &[(50, true), (80, false)]);
    check(1_000, 1_060, 80, &[(80, false)]);
    // Not known, now or then.
    check(1_000, 0, 80, &[(80, false)]);
    check(0, 60, 80, &[(80, false)]);
    // Within a run.
    let mut tracker = Tracker::new("core");
    let owner = |_, _: &str| Some(Owner { line: "line-a", period_ms: 0 });
    let mut play = |second, queue: SeenSession| {
        let outcome = tracker.sample(at(second), &[SeenSession { is_new: true, ..queue }], owner);
        let said = outcome.usage.into_iter().map(|counted| counted.total);
        said.map(|total| (total.session, total.upload_bytes, total.is_ended)).collect::<Vec<_>>()
    };
    let name = |second: i64| format!("core/static/*5/{second}");
    assert_eq!(
        play(0, since(900, 50)),
        [(name(1_000_000_000), 50, false)],
        "named after when it was first seen"
    );
    assert_eq!(play(30, since(20, 70)), [(name(1_000_000_000), 50, true), (name(1_000_000_030), 70, false)]);
}
