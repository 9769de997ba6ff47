//! Sessions as routers show them, and what must come out.

use super::*;
use EventKind::{LineOffline, LineOnline};
use proptest::prelude::*;
use tawi_shared::wire::SessionUsageV1;

mod log;
mod newcomers;
mod reboots;
mod totals;
mod unseen;

fn seen(number: &str, user: &str, uptime: u64, bytes: Option<(u64, u64)>) -> SeenSession {
    SeenSession {
        service: Service::Pppoe,
        number: number.into(),
        user: user.into(),
        address: "10.0.0.9".into(),
        uptime: Duration::from_secs(uptime),
        bytes: bytes.map(|(upload, download)| UpDown { upload, download }),
        took: Duration::ZERO,
        is_new: false,
    }
}

fn queue(id: &str, line: &str, bytes: (u64, u64)) -> SeenSession {
    SeenSession { service: Service::Static, uptime: Duration::ZERO, ..seen(id, line, 0, Some(bytes)) }
}

fn at(second: u64) -> SampledAt {
    let time = UnixMillis(1_000_000_000_000 + i64::try_from(second).unwrap() * 1_000);
    SampledAt::moment(time, Duration::from_secs(second))
}

/// A sample that is asked for, answered and, between the two, printed at these seconds.
fn late(asked: u64, answered: u64, session: SeenSession) -> (SampledAt, SeenSession) {
    let took = Duration::from_secs(answered - asked);
    (SampledAt { asked: Duration::from_secs(asked), ..at(answered) }, SeenSession { took, ..session })
}

fn line_of(_: Service, user: &str) -> Option<Owner<'static>> {
    let line = match user {
        "a" => "line-a",
        "b" => "line-b",
        _ => return None,
    };
    Some(Owner { line, period_ms: 0 })
}

/// Plays samples, and gives what was last said of each session in the order of first sight: (upload, download, ended).
fn check(
    samples: &[(u64, Vec<SeenSession>)],
    expected: &[(u64, u64, bool)],
    events: &[EventKind],
) -> Tracker {
    let mut tracker = Tracker::new("core");
    let mut said: Vec<Counted> = Vec::new();
    let mut kinds = Vec::new();
    for (second, sessions) in samples {
        let outcome = tracker.sample(at(*second), sessions, line_of);
        for usage in outcome.usage {
            match said.iter_mut().find(|known| known.total.session == usage.total.session) {
                Some(known) => *known = usage,
                None => said.push(usage),
            }
        }
        kinds.extend(outcome.events.into_iter().map(|(kind, ..)| kind));
    }
    let totals: Vec<_> = said
        .iter()
        .map(|usage| (usage.total.upload_bytes, usage.total.download_bytes, usage.total.is_ended))
        .collect();
    assert_eq!(totals, expected);
    assert_eq!(kinds, events);
    tracker
}

#[test]
fn a_session_is_counted_from_its_beginning_to_its_last_sample() {
    check(
        &[
            (0, vec![seen("0x1", "a", 5, None)]),
            (30, vec![seen("0x1", "a", 35, Some((10, 100)))]),
            (60, vec![seen("0x1", "a", 65, Some((20, 300)))]),
            (90, vec![]),
        ],
        &[(20, 300, true)],
        &[LineOnline, LineOffline],
    );
}

#[test]
fn a_session_that_did_not_move_is_not_told_again() {
    let mut tracker = Tracker::new("core");
    tracker.sample(at(0), &[seen("0x1", "a", 5, Some((1, 1)))], line_of);
    let still = tracker.sample(at(30), &[seen("0x1", "a", 35, Some((1, 1)))], line_of);
    assert_eq!(still, Outcome::default());
}

#[test]
fn a_session_found_in_the_middle_brings_all_that_its_counters_show() {
    check(&[(0, vec![seen("0x1", "a", 9_000, Some((7, 8)))])], &[(7, 8, false)], &[LineOnline]);
}

#[test]
fn counters_reset_by_somebody_go_on_from_the_total() {
    check(
        &[
            (0, vec![seen("0x1", "a", 100, Some((50, 500)))]),
            (30, vec![seen("0x1", "a", 130, Some((5, 50)))]),
            (60, vec![seen("0x1", "a", 160, Some((6, 60)))]),
        ],
        &[(56, 560, false)],
        &[LineOnline],
    );
}

#[test]
fn a_reconnect_between_samples_is_a_new_session_by_its_number_or_by_its_uptime() {
    check(
        &[
            (0, vec![seen("0x1", "a", 100, Some((50, 500)))]),
            (30, vec![seen("0x2", "a", 10, Some((60, 600)))]),
        ],
        &[(50, 500, true), (60, 600, false)],
        &[LineOnline, LineOffline, LineOnline],
    );
    check(
        &[(0, vec![seen("*A", "a", 100, Some((50, 500)))]), (30, vec![seen("*A", "a", 10, Some((60, 600)))])],
        &[(50, 500, true), (60, 600, false)],
        &[LineOnline, LineOffline, LineOnline],
    );
}

#[test]
fn a_session_is_the_same_however_late_its_prints_are_answered() {
    let check = |samples: &[(SampledAt, SeenSession)], expected: &[(&str, u64, bool)]| {
        let mut tracker = Tracker::new("core");
        let mut said: Vec<(String, u64, bool)> = Vec::new();
        for (at, session) in samples {
            for counted in tracker.sample(*at, std::slice::from_ref(session), line_of).usage {
                said.retain(|(known, ..)| *known != counted.total.session);
                said.push((counted.total.session, counted.total.upload_bytes, counted.total.is_ended));
            }
        }
        let said: Vec<_> = said.iter().map(|(name, up, ended)| (name.as_str(), *up, *ended)).collect();
        assert_eq!(said, expected, "{samples:?}");
    };
    let seen = |uptime, up| seen("*A", "a", uptime, Some((up, 0)));
    let old = "core/pppoe/*A/999999900";
    // Printed at once, and answered late: the first, the second, both.
    check(&[late(0, 0, seen(100, 50)), late(30, 45, seen(130, 80))], &[(old, 80, false)]);
    check(
        &[late(0, 15, seen(100, 50)), late(30, 30, seen(130, 80))],
        &[("core/pppoe/*A/999999915", 80, false)],
    );
    // Printed late.
    check(&[late(0, 15, seen(115, 50)), late(30, 30, seen(130, 80))], &[(old, 80, false)]);
    check(&[late(0, 0, seen(100, 50)), late(30, 45, seen(145, 80))], &[(old, 80, false)]);
    // Young, and answered late.
    check(&[late(0, 0, seen(2, 50)), late(30, 45, seen(32, 80))], &[("core/pppoe/*A/999999998", 80, false)]);
    // Away for ten hours, by a router's clock that is slow by 200 parts in a million.
    check(
        &[late(0, 0, seen(5, 50)), late(36_000, 36_000, seen(35_998, 80))],
        &[("core/pppoe/*A/999999995", 80, false)],
    );
    // Another under its number, at once behind the first print and read by a late one.
    check(
        &[late(0, 0, seen(100, 50)), late(30, 45, seen(44, 80))],
        &[(old, 50, true), ("core/pppoe/*A/1000000001", 80, false)],
    );
    // Both were possible: counters that began anew are added, and of those that go on what the first had moved in its
    // 10 s may be missing, and no more.
    let young = "core/pppoe/*A/999999990";
    check(&[late(0, 0, seen(10, 50)), late(30, 45, seen(41, 20))], &[(young, 70, false)]);
    check(&[late(0, 0, seen(10, 50)), late(30, 45, seen(41, 80))], &[(young, 80, false)]);
    // Unless another customer has it.
    let other = SeenSession { user: "b".into(), ..seen(41, 80) };
    check(
        &[late(0, 0, seen(10, 50)), late(30, 45, other)],
        &[(young, 50, true), ("core/pppoe/*A/1000000004", 80, false)],
    );
}

/// A town comes back at once while its sessions of before are remembered. Without a promise of time, as the machine may
/// be busy; the figures are printed.
#[test]
fn a_town_that_falls_and_dials_in_again_is_counted_once() {
    const SESSIONS: u64 = 1_500;
    let mut tracker = Tracker::new("core");
    let owner = |_, _: &str| Some(Owner { line: "line-a", period_ms: 0 });
    let town = |first: u64, uptime: u64, up: u64| -> Vec<SeenSession> {
        let session = |index: u64| {
            seen(&format!("0x{:x}", first + index), &format!("plot{index}"), uptime, Some((up, 0)))
        };
        (0..SESSIONS).map(session).collect()
    };
    let mut total = 0;
    let mut play = |name: &str, second: u64, sessions: &[SeenSession], tracker: &mut Tracker| {
        let started = tokio::time::Instant::now();
        let outcome = tracker.sample(at(second), sessions, owner);
        println!("{name}: {:?}", started.elapsed());
        total += outcome.usage.iter().map(|counted| counted.grown_bytes).sum::<u64>();
        outcome.usage.len()
    };
    let expected = usize::try_from(SESSIONS).unwrap();
    assert_eq!(play("first", 0, &town(0, 100, 10), &mut tracker), expected);
    assert_eq!(play("moved", 30, &town(0, 130, 15), &mut tracker), expected);
    assert_eq!(play("still", 60, &town(0, 160, 15), &mut tracker), 0);
    let started = tokio::time::Instant::now();
    for index in 0..SESSIONS / 2 {
        tracker.log_out(at(70), Service::Pppoe, &word(&format!("plot{index}"), 170, 15, 0), None);
    }
    println!("logged out: {:?}", started.elapsed());
    assert_eq!(play("fell", 90, &[], &mut tracker), expected / 2);
    assert_eq!(play("dialled in", 120, &town(5_000, 10, 1), &mut tracker), expected);
    assert_eq!(total, SESSIONS * 16);
}

#[test]
fn a_reboot_ends_every_session_and_counts_none_twice() {
    check(
        &[
            (0, vec![seen("0x1", "a", 100, Some((50, 500))), seen("0x2", "b", 100, Some((1, 1)))]),
            (60, vec![]),
            (90, vec![seen("0x1", "a", 5, Some((3, 30))), seen("0x2", "b", 4, None)]),
        ],
        &[(50, 500, true), (1, 1, true), (3, 30, false), (0, 0, false)],
        &[LineOnline, LineOnline, LineOffline, LineOffline, LineOnline, LineOnline],
    );
}

#[test]
fn two_sessions_of_one_user_are_two_sessions_of_one_line() {
    let tracker = check(
        &[(0, vec![seen("0x1", "a", 9, Some((1, 2))), seen("0x2", "a", 8, Some((3, 4)))])],
        &[(1, 2, false), (3, 4, false)],
        &[LineOnline, LineOnline],
    );
    assert!(tracker.sessions.values().all(|session| session.line == "line-a"));
}

#[test]
fn strangers_are_not_counted() {
    check(&[(0, vec![seen("0x1", "stranger", 9, Some((1, 2)))])], &[], &[]);
}

fn open(session: &str, started_second: i64, upload: u64) -> Counted {
    Counted::from(SessionUsageV1 {
        line: "line-a".into(),
        session: session.into(),
        started_at_ms: 1_000_000_000_000 + started_second * 1_000,
        sampled_at_ms: 1_000_000_000_000,
        upload_bytes: upload,
        download_bytes: 0,
        is_ended: false,
        address: String::new(),
        period_started_ms: 0,
    })
}

#[test]
fn a_restart_of_the_agent_goes_on_with_the_same_key_and_never_counts_twice() {
    let check = |counter: u64, expected: u64| {
        let mut tracker = Tracker::new("core");
        tracker.resume(&[open("core/pppoe/0x1/999999900", -100, 50)]);
        let outcome = tracker.sample(at(30), &[seen("0x1", "a", 129, Some((counter, 0)))], line_of);
        assert!(outcome.events.is_empty());
        let tracked = tracker.sessions.values().next().unwrap();
        assert_eq!((tracked.name.as_str(), tracked.total.upload), ("core/pppoe/0x1/999999900", expected));
    };
    check(80, 80);
    check(50, 50);
    check(20, 50);
}

#[test]
fn a_session_that_ended_while_the_agent_was_away_ends_with_its_last_total() {
    let mut tracker = Tracker::new("core");
    tracker.resume(&[
        open("core/pppoe/0x1/999999900", -100, 50),
        open("other/pppoe/0x1/1", 1, 9),
        open("odd", 1, 9),
    ]);
    let outcome = tracker.sample(at(30), &[seen("0x1", "a", 3, Some((4, 0)))], line_of);
    let said: Vec<_> = outcome
        .usage
        .iter()
        .map(|usage| (usage.total.session.as_str(), usage.total.upload_bytes, usage.total.is_ended))
        .collect();
    assert_eq!(said, [("core/pppoe/0x1/999999900", 50, true), ("core/pppoe/0x1/1000000027", 4, false)]);
}

/// What comes of a session of `a` that was 100 seconds old and had moved 50 bytes up when the agent stopped, found by an
/// agent whose clock is off by so many seconds, in a sample so long after its start.
fn resumed(clock: i64, second: u64, session: SeenSession) -> Outcome {
    let mut tracker = Tracker::new("core");
    tracker.resume(&[open("core/pppoe/0x1/999999900", -100, 50)]);
    let time = UnixMillis(at(second).time.0 + clock * 1_000);
    tracker.sample(SampledAt { time, ..at(second) }, &[session], line_of)
}

#[test]
fn a_session_is_known_again_after_a_restart_whatever_the_clock_shows() {
    for clock in [-86_400, -11, 11, 3_600, 86_400 * 365] {
        let outcome = resumed(clock, 30, seen("0x1", "a", 130, Some((80, 5))));
        let said: Vec<_> = outcome
            .usage
            .iter()
            .map(|usage| (usage.total.session.as_str(), usage.total.upload_bytes))
            .collect();
        assert_eq!(said, [("core/pppoe/0x1/999999900", 80)], "{clock} s");
        assert!(outcome.events.is_empty(), "it never went away");
    }
}

#[test]
fn what_may_have_been_counted_before_a_restart_is_not_counted_again() {
    let check = |session: SeenSession, expected: &[(u64, bool)]| {
        let outcome = resumed(3_600, 30, session.clone());
        let said: Vec<_> =
            outcome.usage.iter().map(|usage| (usage.total.upload_bytes, usage.total.is_ended)).collect();
        assert_eq!(said, expected, "{session:?}");
    };
    // Reset by somebody, or another session: nobody can know.
    check(seen("0x1", "a", 130, Some((20, 0))), &[(50, true), (0, false)]);
    check(seen("0x1", "b", 130, Some((80, 0))), &[(50, true), (0, false)]);
    // Without counters it can be either.
    check(seen("0x1", "a", 130, None), &[]);
    // It began while this agent looked on.
    check(seen("0x1", "a", 5, Some((80, 0))), &[(50, true), (80, false)]);
}

/// What a tracker that knows nothing of earlier sessions says last of each session in these samples: key and upload.
fn said_in_doubt(samples: &[(u64, SeenSession)]) -> Vec<(String, u64)> {
    let mut tracker = Tracker::new("core");
    tracker.doubt_running();
    let mut said: Vec<(String, u64)> = Vec::new();
    for (second, session) in samples {
        for usage in tracker.sample(at(*second), std::slice::from_ref(session), line_of).usage {
            said.retain(|(known, _)| *known != usage.total.session);
            said.push((usage.total.session, usage.total.upload_bytes));
        }
    }
    said
}

#[test]
fn after_a_lost_store_running_sessions_are_counted_from_their_first_reading_on() {
    let check = |samples: &[(u64, SeenSession)], expected: &[(&str, u64)]| {
        let said = said_in_doubt(samples);
        let said: Vec<_> = said.iter().map(|(session, upload)| (session.as_str(), *upload)).collect();
        assert_eq!(said, expected, "{samples:?}");
    };
    let running = |second: u64, bytes| (second, seen("0x1", "a", 900 + second, bytes));
    // Head office may have it as core/pppoe/0x1/999999100, or with a second more or less.
    check(&[running(1, Some((80, 0))), running(31, Some((95, 0)))], &[("core/pppoe/0x1/1000000001+", 15)]);
    check(
        &[running(1, None), running(31, Some((80, 0))), running(61, Some((95, 0)))],
        &[("core/pppoe/0x1/1000000001+", 15)],
    );
    // The router came up long after the agent did, and so did its sessions.
    check(&[(600, seen("0x1", "a", 60, Some((80, 0))))], &[("core/pppoe/0x1/1000000540", 80)]);
    // A new site: nobody was looked at before its first lines came, and their customers dialled in at once.
    check(&[(9, seen("0x1", "a", 4, Some((80, 0))))], &[("core/pppoe/0x1/1000000005", 80)]);
    // As old as the agent itself, give or take the rounding of uptimes: it may have run before.
    check(&[(9, seen("0x1", "a", 6, Some((80, 0))))], &[("core/pppoe/0x1/1000000009+", 0)]);
    // Not there at the first look, and old enough to have been.
    check(
        &[(1, seen("0x2", "stranger", 9, None)), running(31, Some((80, 0)))],
        &[("core/pppoe/0x1/1000000031+", 0)],
    );
    // Dialled in while this agent looked on, however soon after its start.
    check(
        &[(1, seen("0x2", "stranger", 9, None)), (3, seen("0x1", "a", 1, Some((80, 0))))],
        &[("core/pppoe/0x1/1000000002", 80)],
    );
}

#[test]
fn a_part_that_was_counted_while_the_store_was_shut_is_not_counted_again_when_it_opens() {
    for order in [[0, 1], [1, 0]] {
        let whole = open("core/pppoe/0x1/999999900", -100, 50);
        let part = open("core/pppoe/0x1/1000000000+", -100, 20);
        let found = [whole, part];
        let mut tracker = Tracker::new("core");
        tracker.resume(&order.map(|index| found[index].clone()));
        let outcome = tracker.sample(at(30), &[seen("0x1", "a", 130, Some((80, 0)))], line_of);
        assert!(outcome.usage.iter().all(|usage| usage.total.upload_bytes <= 50), "{outcome:?}");
        let outcome = tracker.sample(at(60), &[seen("0x1", "a", 160, Some((85, 0)))], line_of);
        let said: Vec<_> = outcome
            .usage
            .iter()
            .map(|usage| (usage.total.session.as_str(), usage.total.upload_bytes))
            .collect();
        assert_eq!(said, [("core/pppoe/0x1/1000000000+", 25)]);
    }
}

/// Neither of the two that were open is a part by its name, and the next start knows them by their names alone.
#[test]
fn a_session_in_doubt_between_two_takes_no_word_on_the_whole_after_further_restarts() {
    use Happening::{Forgets, LogsOut, Moves, Reboots, Restarts, Samples, SamplesLate};
    let forgets = Forgets { shift: 0, is_found_again: true };
    let clock_is_set_back = [SamplesLate(0, 3), Restarts(0), Restarts(-2), forgets, Reboots, Moves(0, 1)];
    let is_counted_on = [Samples, Restarts(0), Samples];
    for then in [vec![Restarts(0), LogsOut], vec![Restarts(0), Restarts(0), Moves(0, 5), Samples, LogsOut]] {
        let happenings = clock_is_set_back.iter().chain(&is_counted_on).chain(&then).cloned().collect();
        play(happenings, false, 1).unwrap();
    }
}

fn word(user: &str, seconds: u64, upload: u64, download: u64) -> LogOut {
    LogOut { user: user.into(), lasted: Duration::from_secs(seconds), bytes: UpDown { upload, download } }
}

#[test]
fn the_routers_last_word_makes_the_total_exact_before_or_after_the_session_is_missed() {
    let last = |outcome: &Outcome| {
        outcome
            .usage
            .last()
            .map(|usage| (usage.total.upload_bytes, usage.total.download_bytes, usage.total.is_ended))
    };
    let sampled = || {
        let mut tracker = Tracker::new("core");
        tracker.sample(at(0), &[seen("0x1", "a", 100, Some((10, 100)))], line_of);
        tracker
    };
    let mut tracker = sampled();
    let outcome = tracker.log_out(at(20), Service::Pppoe, &word("a", 120, 15, 150), None);
    assert_eq!((last(&outcome), outcome.events.len()), (Some((15, 150, true)), 1));
    assert_eq!(tracker.sample(at(21), &[], line_of), Outcome::default());

    let mut tracker = sampled();
    assert_eq!(last(&tracker.sample(at(20), &[], line_of)), Some((10, 100, true)));
    let outcome = tracker.log_out(at(21), Service::Pppoe, &word("a", 119, 15, 150), None);
    assert_eq!((last(&outcome), outcome.events.len()), (Some((15, 150, true)), 0));
    assert_eq!(
        tracker.log_out(at(22), Service::Pppoe, &word("a", 119, 15, 150), None),
        Outcome::default(),
        "said twice, counted once"
    );
}

#[test]
fn a_last_word_that_fits_no_session_changes_nothing() {
    let check = |word: LogOut| {
        let mut tracker = Tracker::new("core");
        tracker.sample(at(0), &[seen("0x1", "a", 100, Some((10, 100)))], line_of);
        assert_eq!(tracker.log_out(at(20), Service::Pppoe, &word, None), Outcome::default(), "{word:?}");
    };
    check(word("b", 120, 15, 150));
    check(word("a", 90, 15, 150));
    check(word("a", 130, 15, 150));
    // Were the router's order the other way round, this is how it would look.
    check(word("a", 120, 150, 15));
}

#[test]
fn a_row_that_lingers_behind_the_last_word_is_not_a_new_session() {
    let mut tracker = Tracker::new("core");
    tracker.sample(at(0), &[seen("0x1", "a", 100, Some((10, 100)))], line_of);
    tracker.log_out(at(20), Service::Pppoe, &word("a", 120, 15, 150), None);
    assert_eq!(
        tracker.sample(at(20), &[seen("0x1", "a", 120, Some((15, 150)))], line_of),
        Outcome::default()
    );
    let outcome = tracker.sample(at(25), &[seen("0x1", "a", 3, Some((1, 1)))], line_of);
    assert_eq!(outcome.events.len(), 1, "another session under the same number");
}

#[test]
fn a_number_that_begins_twice_in_one_second_is_counted_on_and_never_twice() {
    let mut tracker = Tracker::new("core");
    tracker.sample(at(0), &[seen("*A", "a", 0, Some((0, 1)))], line_of);
    tracker.log_out(at(0), Service::Pppoe, &word("a", 0, 0, 1), None);
    // It cannot be told from a session that did not end; its first byte is lost.
    let outcome = tracker.sample(at(60), &[seen("*A", "a", 60, Some((0, 3)))], line_of);
    let usage = &outcome.usage[0];
    assert_eq!(
        (usage.total.session.as_str(), usage.total.download_bytes, usage.total.is_ended),
        ("core/pppoe/*A/1000000000", 3, false)
    );
    assert_eq!(outcome.events.len(), 1);
}

#[test]
fn a_session_that_one_sample_missed_goes_on_under_its_name() {
    check(
        &[
            (0, vec![seen("0x1", "a", 100, Some((10, 100)))]),
            (30, vec![]),
            (60, vec![seen("0x1", "a", 160, Some((15, 150)))]),
        ],
        &[(15, 150, false)],
        &[LineOnline, LineOffline, LineOnline],
    );
}

#[test]
fn a_word_that_may_be_about_either_of_two_sessions_is_left() {
    let mut tracker = Tracker::new("core");
    let both = [seen("0x1", "a", 100, Some((5, 5))), seen("0x2", "a", 101, Some((9, 9)))];
    tracker.sample(at(0), &both, line_of);
    assert_eq!(tracker.log_out(at(20), Service::Pppoe, &word("a", 120, 15, 150), None), Outcome::default());
    // And one of another service is about none.
    assert_eq!(tracker.log_out(at(20), Service::L2tp, &word("a", 120, 15, 150), None), Outcome::default());
}

/// What a tracker says last of each part in these samples: key, period, download, whether it is over.
fn said_by_period(samples: &[(u64, i64, SeenSession)]) -> Vec<(String, i64, u64, bool)> {
    let mut tracker = Tracker::new("core");
    let mut said: Vec<(String, i64, u64, bool)> = Vec::new();
    for (second, period_ms, session) in samples {
        let owner = |_, _: &str| Some(Owner { line: "l1", period_ms: *period_ms });
        for counted in tracker.sample(at(*second), std::slice::from_ref(session), owner).usage {
            let total = counted.total;
            said.retain(|(known, ..)| *known != total.session);
            said.push((total.session, total.period_started_ms, total.download_bytes, total.is_ended));
        }
    }
    said
}

#[test]
fn a_session_that_crosses_into_another_period_is_told_in_parts_that_add_up() {
    let seen = |second: u64, download| seen("0x1", "a", 100 + second, Some((0, download)));
    let name = "core/pppoe/0x1/999999900".to_owned();
    assert_eq!(
        said_by_period(&[
            (0, 0, seen(0, 10)),
            (30, 0, seen(30, 20)),
            (60, 7, seen(60, 25)),
            (90, 7, seen(90, 40)),
            (120, 8, seen(120, 41)),
            // Back to one that was there before: never under the name of an earlier part.
            (150, 7, seen(150, 43)),
            (180, 7, seen(180, 44)),
        ]),
        [
            (name.clone(), 0, 25, true),
            (format!("{name}#2"), 7, 16, true),
            (format!("{name}#3"), 8, 2, true),
            (format!("{name}#4"), 7, 1, false),
        ]
    );
}

#[test]
fn a_part_goes_on_after_a_restart_and_the_routers_last_word_is_split_between_parts() {
    let mut tracker = Tracker::new("core");
    let owner = |period_ms| move |_, _: &str| Some(Owner { line: "line-a", period_ms });
    let session = |second: u64, bytes| [seen("0x1", "a", 100 + second, Some(bytes))];
    tracker.sample(at(0), &session(0, (1, 10)), owner(7));
    let kept = tracker.sample(at(30), &session(30, (2, 20)), owner(8)).usage;
    let mut again = Tracker::new("core");
    again.resume(&kept);
    let outcome = again.sample(at(60), &session(60, (2, 25)), owner(8));
    let said = |outcome: &Outcome| {
        let total = outcome.usage.last().unwrap().total.clone();
        (total.session, total.upload_bytes, total.download_bytes, total.is_ended)
    };
    let part = "core/pppoe/0x1/999999900#2".to_owned();
    assert_eq!(said(&outcome), (part.clone(), 0, 5, false));
    let outcome = again.log_out(at(70), Service::Pppoe, &word("a", 170, 3, 31), None);
    assert_eq!(said(&outcome), (part, 1, 11, true));
}

#[test]
fn a_restart_goes_on_from_the_very_counters_even_for_a_session_that_was_counted_in_part() {
    let mut tracker = Tracker::new("core");
    tracker.doubt_running();
    tracker.sample(at(1), &[seen("0x1", "a", 900, Some((80, 0)))], line_of);
    let kept = tracker.sample(at(31), &[seen("0x1", "a", 930, Some((95, 0)))], line_of).usage;
    let check = |counter, expected| {
        let mut again = Tracker::new("core");
        again.resume(&kept);
        let outcome = again.sample(at(61), &[seen("0x1", "a", 960, Some((counter, 0)))], line_of);
        assert_eq!(outcome.usage[0].total.upload_bytes, expected);
    };
    check(100, 20);
    // Reset by somebody while the agent was away.
    check(4, 19);
}

/// What happens between two samples of one user's connection.
#[derive(Clone, Debug)]
enum Happening {
    Moves(u32, u32),
    Reconnects,
    /// The router logs it out with its totals, and it dials in again.
    LogsOut,
    Resets,
    Reboots,
    Waits(u8),
    Samples,
    SamplesWithoutCounters,
    /// A sample that is printed so many seconds after it was asked for, and answered so many later.
    SamplesLate(u8, u8),
    /// The agent starts again with what it last said of sessions, and with another date unless this is 0.
    Restarts(i64),
    /// The agent starts again and its store is lost, or does not open before the next start; with another date likewise.
    Forgets {
        shift: i64,
        is_found_again: bool,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (any::<u32>(), any::<u32>()).prop_map(|(upload, download)| Happening::Moves(upload, download)),
        2 => Just(Happening::Reconnects),
        2 => Just(Happening::LogsOut),
        1 => Just(Happening::Resets),
        1 => Just(Happening::Reboots),
        4 => any::<u8>().prop_map(Happening::Waits),
        6 => Just(Happening::Samples),
        1 => Just(Happening::SamplesWithoutCounters),
        2 => (0_u8..16, 0_u8..16).prop_map(|(print, answer)| Happening::SamplesLate(print, answer)),
    ]
}

/// A router with one line, and what really moved.
#[derive(Default)]
struct World {
    second: u64,
    number: u64,
    started: u64,
    counters: (u64, u64),
    moved: (u64, u64),
    in_session: (u64, u64),
    has_reused_number: bool,
    agent_started: u64,
    restarts: i64,
    clock_shift: i64,
}

impl World {
    fn now(&self) -> SampledAt {
        SampledAt::moment(
            UnixMillis(at(self.second).time.0 + self.clock_shift * 1_000),
            Duration::from_secs(self.second - self.agent_started),
        )
    }

    fn connect(&mut self) {
        self.started = self.second;
        self.counters = (0, 0);
        self.in_session = (0, 0);
    }
}

/// Takes what is told of sessions, and refuses one that shrinks.
fn note(
    totals: &mut BTreeMap<String, (u64, u64)>,
    open: &mut BTreeMap<String, Counted>,
    outcome: Outcome,
) -> Result<(), TestCaseError> {
    for usage in outcome.usage {
        let total = (usage.total.upload_bytes, usage.total.download_bytes);
        let last = totals.insert(usage.total.session.clone(), total).unwrap_or_default();
        prop_assert!(last.0 <= total.0 && last.1 <= total.1);
        if usage.total.is_ended {
            open.remove(&usage.total.session)
        } else {
            open.insert(usage.total.session.clone(), usage)
        };
    }
    Ok(())
}

/// What happens when the agent itself is started again, some of the time with another date.
fn happening_with_restarts() -> impl Strategy<Value = Happening> {
    let restart = prop_oneof![Just(0_i64), Just(-1), Just(1), any::<i8>().prop_map(i64::from)];
    prop_oneof![
        16 => happening(),
        4 => restart.clone().prop_map(Happening::Restarts),
        1 => (restart, any::<bool>())
            .prop_map(|(shift, is_found_again)| Happening::Forgets { shift, is_found_again }),
    ]
}

/// Plays what happens. Dialling in again takes `redial_seconds`.
fn play(happenings: Vec<Happening>, reuses_numbers: bool, redial_seconds: u64) -> Result<(), TestCaseError> {
    let mut world = World { has_reused_number: reuses_numbers, ..World::default() };
    let mut tracker = Tracker::new("core");
    let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut open: BTreeMap<String, Counted> = BTreeMap::new();
    for what in happenings {
        match what {
            Happening::Moves(upload, download) => {
                for (counters, more) in [
                    ([&mut world.counters.0, &mut world.moved.0, &mut world.in_session.0], upload),
                    ([&mut world.counters.1, &mut world.moved.1, &mut world.in_session.1], download),
                ] {
                    counters.into_iter().for_each(|counter| *counter += u64::from(more));
                }
            }
            Happening::Reconnects => {
                world.number += u64::from(!world.has_reused_number);
                world.connect();
            }
            Happening::LogsOut => {
                let (upload, download) = world.in_session;
                let word = word("a", world.second - world.started, upload, download);
                note(&mut totals, &mut open, tracker.log_out(world.now(), Service::Pppoe, &word, None))?;
                world.number += u64::from(!world.has_reused_number);
                world.second += redial_seconds;
                world.connect();
            }
            Happening::Resets => world.counters = (0, 0),
            Happening::Reboots => {
                world.second += 40;
                world.number = 0;
                world.connect();
            }
            Happening::Waits(seconds) => world.second += u64::from(seconds),
            Happening::Restarts(shift) => {
                world.agent_started = world.second;
                world.restarts += 1;
                // Never a date that was there before: two sessions of one number in one second are another test's.
                world.clock_shift += shift * 1_000_000 * world.restarts;
                tracker = Tracker::new("core");
                tracker.resume(&open.values().cloned().collect::<Vec<_>>());
                // As the outbox says of a router without open sessions.
                if open.is_empty() {
                    tracker.doubt_running();
                }
            }
            Happening::Forgets { shift, is_found_again } => {
                // A start takes a while.
                world.second += 1;
                world.agent_started = world.second;
                world.restarts += 1;
                world.clock_shift += shift * 1_000_000 * world.restarts;
                tracker = Tracker::new("core");
                tracker.doubt_running();
                if !is_found_again {
                    open.clear();
                }
            }
            Happening::Samples | Happening::SamplesWithoutCounters | Happening::SamplesLate(..) => {
                let (print, answer) =
                    if let Happening::SamplesLate(print, answer) = what { (print, answer) } else { (0, 0) };
                let asked = world.now().asked;
                world.second += u64::from(print);
                let bytes = (!matches!(what, Happening::SamplesWithoutCounters)).then_some(world.counters);
                let session =
                    seen(&format!("0x{:x}", world.number), "a", world.second - world.started, bytes);
                world.second += u64::from(answer);
                let session = SeenSession {
                    took: Duration::from_secs(u64::from(print) + u64::from(answer)),
                    ..session
                };
                let outcome = tracker.sample(SampledAt { asked, ..world.now() }, &[session], line_of);
                note(&mut totals, &mut open, outcome)?;
            }
        }
        let sum = totals.values().fold((0, 0), |sum, total| (sum.0 + total.0, sum.1 + total.1));
        prop_assert!(sum.0 <= world.moved.0 && sum.1 <= world.moved.1, "{sum:?} of {:?}", world.moved);
    }
    Ok(())
}

/// Two were open under one number; what reading the other counts from lies on flash beside its end until the survivor is told.
#[test]
fn what_a_session_in_doubt_is_read_by_is_told_with_the_end_of_the_other() {
    use Happening::{Forgets, Moves, Restarts, Samples, SamplesWithoutCounters};
    let forgets = Forgets { shift: -1, is_found_again: true };
    let two_are_open = [Restarts(0), Samples, forgets, Samples, Moves(0, 1), Samples];
    let then = [Restarts(0), SamplesWithoutCounters, Restarts(0), Samples];
    play(two_are_open.iter().chain(&then).cloned().collect(), false, 1).unwrap();
}

proptest! {
    #[test]
    fn totals_never_exceed_what_was_moved_and_never_shrink(
        happenings in proptest::collection::vec(happening(), 1..60),
        reuses_numbers in any::<bool>(),
    ) {
        play(happenings, reuses_numbers, 0)?;
    }

    #[test]
    fn totals_never_exceed_what_was_moved_whatever_the_agents_restarts_clock_and_store_forget(
        happenings in proptest::collection::vec(happening_with_restarts(), 1..60),
        reuses_numbers in any::<bool>(),
    ) {
        play(happenings, reuses_numbers, 1)?;
    }
}
