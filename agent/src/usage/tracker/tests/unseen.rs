//! Sessions and queues that no look can have shown before.

use super::*;

#[test]
fn a_session_that_no_sample_can_have_shown_is_counted_by_its_last_word_once() {
    let owner = || line_of(Service::Pppoe, "a");
    let sampled = |seconds: &[u64]| {
        let mut tracker = Tracker::new("core");
        tracker.doubt_running();
        for second in seconds {
            tracker.sample(at(*second), &[], line_of);
        }
        tracker
    };
    let check = |seconds: &[u64], now: u64, lasted: u64, expected: &[(u64, u64)]| {
        let mut tracker = sampled(seconds);
        let mut said = Vec::new();
        for _ in 0..2 {
            let outcome = tracker.log_out(at(now), Service::Pppoe, &word("a", lasted, 15, 150), owner());
            assert!(outcome.usage.iter().all(|counted| counted.total.is_ended), "{outcome:?}");
            said.extend(outcome.usage.iter().map(|it| (it.total.upload_bytes, it.total.download_bytes)));
        }
        assert_eq!(said, expected, "{seconds:?} {now} {lasted}");
    };
    check(&[0, 60, 90], 95, 2, &[(15, 150)]);
    // A sample would have shown it.
    check(&[0, 60, 120, 180, 240], 245, 100, &[]);
    // It may have begun before the first look, as a word may be late.
    check(&[0, 30, 60], 62, 2, &[]);
    check(&[0], 90, 2, &[]);
    // Nobody's.
    let mut tracker = sampled(&[0, 60, 90]);
    assert_eq!(tracker.log_out(at(95), Service::Pppoe, &word("c", 2, 1, 1), None), Outcome::default());
    // The second of two that were short, of which samples showed the first.
    let mut tracker = sampled(&[0, 60, 90]);
    tracker.sample(at(95), &[seen("0x1", "a", 1, None)], line_of);
    let first = tracker.log_out(at(96), Service::Pppoe, &word("a", 2, 15, 150), owner());
    assert_eq!(first.usage.len(), 1);
    let second = tracker.log_out(at(99), Service::Pppoe, &word("a", 2, 16, 150), owner());
    assert_eq!(second.usage.len(), 1, "{second:?}");
    assert_ne!(first.usage[0].total.session, second.usage[0].total.session);
    assert_eq!(tracker.log_out(at(120), Service::Pppoe, &word("a", 2, 16, 150), owner()).usage, []);
    // A sample showed it, and its end as well: what it had moved is known, and its word is about it.
    let mut tracker = sampled(&[0, 60, 90]);
    tracker.sample(at(100), &[seen("0x1", "a", 5, Some((1, 1)))], line_of);
    tracker.sample(at(110), &[], line_of);
    let late = tracker.log_out(at(112), Service::Pppoe, &word("a", 9, 2, 2), owner());
    assert_eq!(late.usage.len(), 1);
    assert!(late.usage[0].total.session.contains("/0x1/"), "{late:?}");
}

#[test]
fn a_queue_that_was_not_there_at_the_look_before_counts_from_its_beginning() {
    let check = |is_new: bool, expected: u64| {
        let mut tracker = Tracker::new("core");
        tracker.sample(at(0), &[], line_of);
        let queue = SeenSession { is_new, ..queue("*1", "line-a", (0, 1_100)) };
        let owner = |_: Service, _: &str| Some(Owner { line: "line-a", period_ms: 0 });
        let outcome = tracker.sample(at(30), &[queue], owner);
        assert_eq!(outcome.usage[0].total.download_bytes, expected, "{outcome:?}");
    };
    check(true, 1_100);
    check(false, 0);
}
