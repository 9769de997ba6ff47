//! Hotspot sessions that end while the agent is away: what their users' totals say of them.

use super::*;

fn guest(number: &str, uptime: u64, bytes: (u64, u64)) -> SeenSession {
    SeenSession { service: Service::Hotspot, ..seen(number, "a", uptime, Some(bytes)) }
}

fn total(of: (u64, u64)) -> BTreeMap<String, UpDown<u64>> {
    BTreeMap::from([("a".to_owned(), UpDown { upload: of.0, download: of.1 })])
}

/// What is on flash, by session.
#[derive(Default)]
struct Flash(BTreeMap<String, Counted>);

impl Flash {
    fn keep(&mut self, outcome: Outcome) {
        self.0.extend(outcome.usage.into_iter().map(|counted| (counted.total.session.clone(), counted)));
    }

    fn totals(&self) -> Vec<(u64, u64, bool)> {
        let total = |counted: &Counted| {
            (counted.total.upload_bytes, counted.total.download_bytes, counted.total.is_ended)
        };
        self.0.values().map(total).collect()
    }

    /// An agent that goes on from here.
    fn restarted(&self) -> Tracker {
        let open: Vec<Counted> = self.0.values().filter(|it| !it.total.is_ended).cloned().collect();
        let mut tracker = Tracker::new("core");
        tracker.resume(&open);
        tracker
    }
}

/// A sample, and the total of the user if it can be read.
fn look(
    tracker: &mut Tracker,
    flash: &mut Flash,
    second: u64,
    running: &[SeenSession],
    of: Option<(u64, u64)>,
) {
    flash.keep(tracker.sample(at(second), running, line_of));
    tracker.expect_of([("a", "line-a")].into_iter());
    let totals = of.map(total).unwrap_or_default();
    if !tracker.wanted_totals().is_empty() {
        flash.keep(tracker.settle(at(second), &totals, running));
    }
}

/// A guest whose counters showed 20 and 200 when the agent stopped.
fn left_behind(of: Option<(u64, u64)>) -> Flash {
    let (mut tracker, mut flash) = (Tracker::new("core"), Flash::default());
    look(&mut tracker, &mut flash, 0, &[guest("*1", 5, (10, 100))], of);
    look(&mut tracker, &mut flash, 30, &[guest("*1", 35, (20, 200))], of);
    assert_eq!(flash.totals(), [(20, 200, false)]);
    flash
}

#[test]
fn what_was_moved_up_to_a_log_out_that_no_agent_saw_is_found_in_the_users_total_once() {
    let check = |before, after, expected: (u64, u64)| {
        let mut flash = left_behind(before);
        // The second start finds nothing more, however often it looks.
        for start in [900, 2_000] {
            let mut tracker = flash.restarted();
            for second in [start, start + 70, start + 140] {
                look(&mut tracker, &mut flash, second, &[], after);
            }
            assert_eq!(flash.totals(), [(expected.0, expected.1, true)], "{before:?} {after:?} {start}");
        }
    };
    // It moved 5 and 60 more, and another one that nobody saw 3 and 4.
    check(Some((0, 0)), Some((28, 264)), (28, 264));
    check(Some((7, 7)), Some((35, 271)), (28, 264));
    // The router was restarted, or somebody reset the total.
    check(Some((7, 7)), Some((0, 0)), (20, 200));
    check(Some((7, 7)), Some((8, 70)), (20, 200));
    // Not known then, or not now.
    check(None, Some((28, 264)), (20, 200));
    check(Some((0, 0)), None, (20, 200));
}

#[test]
fn a_guest_who_is_still_there_or_again_is_counted_once() {
    let check = |running: SeenSession, then: (u64, u64), expected: &[(u64, u64, bool)]| {
        let mut flash = left_behind(Some((0, 0)));
        let mut tracker = flash.restarted();
        look(&mut tracker, &mut flash, 900, &[running], Some((0, 0)));
        look(&mut tracker, &mut flash, 1_000, &[], Some(then));
        look(&mut tracker, &mut flash, 1_070, &[], Some(then));
        assert_eq!(flash.totals(), expected);
    };
    // It moves 5 and 60 while nobody looks, and 1 and 1 behind the last sample.
    check(guest("*1", 905, (25, 260)), (26, 261), &[(26, 261, true)]);
    // Another one is there, which the total does not have yet; in the end it has both.
    check(guest("*2", 50, (3, 4)), (30, 300), &[(20, 200, true), (10, 100, true)]);
}

/// What a session of which not all is known had moved before may be any number.
#[test]
fn nothing_is_expected_of_a_user_whose_session_was_found_in_the_middle() {
    let (mut tracker, mut flash) = (Tracker::new("core"), Flash::default());
    tracker.doubt_running();
    look(&mut tracker, &mut flash, 0, &[guest("*1", 900, (10, 100))], Some((0, 0)));
    look(&mut tracker, &mut flash, 30, &[guest("*1", 930, (15, 150))], Some((0, 0)));
    let mut tracker = flash.restarted();
    look(&mut tracker, &mut flash, 60, &[], Some((5_000, 5_000)));
    look(&mut tracker, &mut flash, 130, &[], Some((5_000, 5_000)));
    assert_eq!(flash.totals(), [(5, 50, true)], "its counters had been reset before anybody looked");
}

/// Two sessions of one user, one of which rests; `moving` begins with 10 and 100.
fn two_of_one_user() -> (Tracker, Flash) {
    let (mut tracker, mut flash) = (Tracker::new("core"), Flash::default());
    let both = |second: u64, moving| [guest("*1", second + 5, moving), guest("*2", second + 5, (1, 2))];
    look(&mut tracker, &mut flash, 0, &both(0, (10, 100)), Some((0, 0)));
    look(&mut tracker, &mut flash, 30, &both(30, (20, 200)), Some((0, 0)));
    (tracker, flash)
}

#[test]
fn a_session_that_rests_is_not_written_because_another_of_its_user_moved() {
    let (mut tracker, _) = two_of_one_user();
    let seen = |bytes: (u64, u64)| [guest("*1", 65, bytes), guest("*2", 65, (1, 2)), guest("*3", 4, (0, 0))];
    let mut given = |second, sessions: &[SeenSession]| {
        let mut numbers: Vec<String> = Vec::new();
        let mut outcome = tracker.sample(at(second), sessions, line_of);
        tracker.expect_of([("a", "line-a")].into_iter());
        if !tracker.wanted_totals().is_empty() {
            outcome.usage.extend(tracker.settle(at(second), &total((0, 0)), sessions).usage);
        }
        for counted in outcome.usage {
            numbers.extend(counted.total.session.split('/').nth(2).map(str::to_owned));
        }
        numbers
    };
    assert_eq!(given(60, &seen((30, 300))[..2]), ["*1"]);
    assert_eq!(given(62, &seen((30, 300))[..2]), [""; 0]);
    assert_eq!(given(64, &seen((30, 300))), ["*3"], "one that is new");
    assert_eq!(given(66, &seen((31, 300))), ["*1"]);
}

#[test]
fn what_is_expected_of_a_user_with_several_sessions_is_known_after_a_restart_if_it_can_be() {
    let check = |flash: &mut Flash, then: (u64, u64), expected: &[(u64, u64, bool)]| {
        let mut tracker = flash.restarted();
        for second in [900, 970, 1_040] {
            look(&mut tracker, flash, second, &[], Some(then));
        }
        assert_eq!(flash.totals(), expected);
    };
    // Which of them moved the 5 and 60 more nobody knows; the user did.
    let (mut tracker, mut flash) = two_of_one_user();
    look(&mut tracker, &mut flash, 60, &[guest("*1", 65, (30, 300)), guest("*2", 65, (1, 2))], None);
    let dropped = Flash(flash.0.clone());
    check(&mut flash, (36, 362), &[(30, 300, true), (6, 62, true)]);
    // Whoever moved last is over: the other one says it.
    let (mut tracker, mut flash) = two_of_one_user();
    for second in [60, 130, 200] {
        look(&mut tracker, &mut flash, second, &[guest("*2", second + 5, (1, 2))], Some((20, 200)));
    }
    check(&mut flash, (26, 262), &[(20, 200, true), (6, 62, true)]);
    // What one of them says is not believed once another's record is gone: it may have moved what the total shows.
    for gone in ["*1", "*2"] {
        let mut flash = Flash(dropped.0.clone());
        flash.0.retain(|session, _| !session.contains(gone));
        let left = if gone == "*1" { (1, 2, true) } else { (30, 300, true) };
        check(&mut flash, (36, 362), &[left]);
    }
    // Records of a release before say it all alike.
    let mut former = Flash(dropped.0.clone());
    for counted in former.0.values_mut() {
        (counted.mark.expected, counted.mark.expected_of) = (Some((31, 302)), None);
    }
    check(&mut former, (36, 362), &[(30, 300, true), (6, 62, true)]);
}

/// A customer left, and his name is another's by now, whose row counts from something else.
#[test]
fn a_name_that_changes_hands_takes_no_bytes_along() {
    let of_b = |_: Service, _: &str| Some(Owner { line: "line-b", period_ms: 0 });
    let check = |mut tracker: Tracker, mut flash: Flash, then: &[SeenSession], total_of_b: (u64, u64)| {
        let mut hers = (0, 0);
        for second in [900, 970, 1_040] {
            let running = if second == 900 { then } else { &[] };
            tracker.expect_of([("a", "line-b")].into_iter());
            let mut outcome = tracker.sample(at(second), running, of_b);
            tracker.expect_of([("a", "line-b")].into_iter());
            outcome.usage.extend(tracker.settle(at(second), &total(total_of_b), running).usage);
            flash.keep(outcome);
        }
        for counted in flash.0.values() {
            let bytes = (counted.total.upload_bytes, counted.total.download_bytes);
            match counted.total.line.as_str() {
                "line-a" => assert_eq!(bytes, (20, 200)),
                _ => hers = bytes,
            }
        }
        hers
    };
    // The row of the one who has the name now bore another before, and what it shows was counted then.
    for is_restarted in [false, true] {
        let flash = left_behind(Some((0, 0)));
        let mut running = flash.restarted();
        if !is_restarted {
            look(&mut running, &mut Flash::default(), 60, &[guest("*1", 65, (20, 200))], None);
        }
        assert_eq!(check(running.clone(), Flash(flash.0.clone()), &[], (5_000, 5_000)), (0, 0));
        let hers = [guest("*2", 5, (3, 4))];
        assert_eq!(check(running, flash, &hers, (5_003, 5_004)), (3, 4), "{is_restarted}");
    }
}
