//! Sessions that run when their line comes, and those that begin after.

use super::*;

/// Plays a line that comes between two samples, and gives what was last said of each of its sessions.
fn said_since_line_came(came: u64, samples: &[(u64, SeenSession)]) -> Vec<(u64, bool)> {
    let mut tracker = Tracker::new("core");
    let (mut said, mut has_come): (Vec<Counted>, bool) = (Vec::new(), false);
    for (second, session) in samples {
        if *second >= came && !has_come {
            has_come = true;
            tracker.line_came("line-a", Duration::from_secs(came));
        }
        let outcome = tracker.sample(at(*second), std::slice::from_ref(session), |service, user| {
            line_of(service, user).filter(|_| has_come)
        });
        for usage in outcome.usage {
            said.retain(|known| known.total.session != usage.total.session);
            said.push(usage);
        }
    }
    said.iter().map(|usage| (usage.total.upload_bytes, usage.total.is_ended)).collect()
}

#[test]
fn what_a_session_moved_before_its_line_came_is_nobodys() {
    let of = |uptime, bytes| seen("0x1", "a", uptime, Some((bytes, 0)));
    let check = |samples: &[(u64, SeenSession)], expected: &[(u64, bool)]| {
        assert_eq!(said_since_line_came(100, samples), expected, "{samples:?}");
    };
    // It was seen when it was nobody's, or its menu was not read by then.
    check(&[(90, of(500, 310)), (101, of(511, 312)), (130, of(540, 320))], &[(8, false)]);
    check(&[(101, of(511, 310)), (130, of(540, 320))], &[(10, false)]);
    // Its counters come later.
    let blind = SeenSession { bytes: None, ..of(511, 0) };
    check(&[(101, blind), (130, of(540, 310)), (160, of(570, 315))], &[(5, false)]);
    // It began since; or nobody knows, and so not before the first reading.
    check(&[(130, of(29, 310))], &[(310, false)]);
    check(&[(130, of(30, 310)), (160, of(60, 315))], &[(5, false)]);
    // A look since that did not show it says that it was not there.
    let other = seen("0x9", "x", 5, Some((1, 1)));
    check(&[(101, other.clone()), (102, of(1, 310))], &[(310, false)]);
    check(&[(100, other.clone()), (101, of(1, 310)), (130, of(30, 311))], &[(1, false)]);
    // One that such a look has missed is older all the same.
    check(&[(101, other), (130, of(500, 310)), (160, of(530, 311))], &[(1, false)]);
    // The next session is the line's from its beginning.
    let next = seen("0x2", "a", 5, Some((7, 0)));
    check(&[(101, of(511, 310)), (130, next)], &[(0, true), (7, false)]);
}

/// A customer whose device dials in within a second of the first payment, and out again before the next look.
#[test]
fn where_no_row_was_a_session_is_its_lines_from_its_first_byte_to_its_last() {
    for is_told_early in [false, true] {
        let mut tracker = Tracker::new("core");
        let nobodys = |_: Service, _: &str| None::<Owner<'static>>;
        tracker.sample(at(90), &[], nobodys);
        if is_told_early {
            tracker.row_made("line-a", false);
        }
        tracker.line_came("line-a", Duration::from_secs(100));
        if !is_told_early {
            tracker.row_made("line-a", true);
        }
        let blind = SeenSession { bytes: None, ..seen("0x1", "a", 0, None) };
        tracker.sample(at(100), &[blind], line_of);
        let outcome = tracker.sample(at(130), &[seen("0x1", "a", 29, Some((310, 0)))], line_of);
        assert_eq!(outcome.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [310]);
        let owner = line_of(Service::Pppoe, "a");
        let last = tracker.log_out(at(135), Service::Pppoe, &word("a", 35, 330, 0), owner);
        assert_eq!(last.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [330]);
    }
    // One that ran before the row was made is older all the same.
    let mut tracker = Tracker::new("core");
    tracker.line_came("line-a", Duration::from_secs(100));
    tracker.row_made("line-a", true);
    let over = [seen("0x1", "a", 500, Some((310, 0)))];
    let outcome = tracker.sample(at(101), &over, line_of);
    assert_eq!(outcome.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [0]);
    // What was made for a line that is here long ago says nothing of another name that it gets.
    let mut tracker = Tracker::new("core");
    tracker.row_made("line-a", true);
    tracker.line_came("line-a", Duration::from_secs(100));
    let young = [seen("0x1", "a", 1, Some((310, 0)))];
    let outcome = tracker.sample(at(101), &young, line_of);
    assert_eq!(outcome.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [0]);
}

#[test]
fn no_word_of_the_router_brings_back_what_was_moved_before_a_line_came() {
    let mut tracker = Tracker::new("core");
    let session = |uptime, bytes| [seen("0x1", "a", uptime, Some((bytes, 0)))];
    let nobodys = |_: Service, _: &str| None::<Owner<'static>>;
    tracker.sample(at(90), &session(500, 310), nobodys);
    tracker.line_came("line-a", Duration::from_secs(100));
    tracker.sample(at(101), &session(511, 312), line_of);
    let owner = line_of(Service::Pppoe, "a");
    let last = tracker.log_out(at(110), Service::Pppoe, &word("a", 520, 330, 0), owner);
    assert_eq!(last, Outcome::default(), "{last:?}");
    let over = tracker.sample(at(130), &[], line_of);
    assert_eq!(over.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [0]);
    // A session that came and went between the looks, before the line.
    let mut tracker = Tracker::new("core");
    for second in [0, 90] {
        tracker.sample(at(second), &[], nobodys);
    }
    tracker.line_came("line-a", Duration::from_secs(100));
    let unseen = tracker.log_out(at(101), Service::Pppoe, &word("a", 5, 310, 0), owner);
    assert_eq!(unseen, Outcome::default(), "{unseen:?}");
    for second in [101, 200, 300] {
        tracker.sample(at(second), &[], line_of);
    }
    let since = tracker.log_out(at(301), Service::Pppoe, &word("a", 6, 310, 0), owner);
    assert_eq!(since.usage.iter().map(|usage| usage.total.upload_bytes).collect::<Vec<_>>(), [310]);
}
