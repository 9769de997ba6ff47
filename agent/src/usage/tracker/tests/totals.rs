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
    tracker.expect_of(["a"].into_iter());
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
