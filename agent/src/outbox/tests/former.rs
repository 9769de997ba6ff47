//! Records as agents of before left them on flash, byte by byte: each is read for two releases.

use super::*;
use crate::usage::logout::LineDigest;

/// Format 1, before anything was known of the totals of a hotspot's users.
const SESSION_1: &str = "01000000550100066c696e652d611a636f72652f686f7473706f742f2a412f3138303030303030383790f0ec85e368d0bf9186e368ac02f0a204000831302e352e352e39a0cde885e36801b602f1a2040a0103616e6eac02010060b99fb3";
/// Format 1, with what is expected of the total of the user.
const SESSION_1_WITH_TOTALS: &str = "01000000580100066c696e652d611a636f72652f686f7473706f742f2a412f3138303030303030383790f0ec85e368d0bf9186e368ac02f0a204000831302e352e352e39a0cde885e36801b602f1a2040a0103616e6eac020100010506f184051f";
/// Format 2, with what that holds for.
const SESSION_2: &str = "020000005e0100066c696e652d611a636f72652f686f7473706f742f2a412f3138303030303030383790f0ec85e368d0bf9186e368ac02f0a204000831302e352e352e39a0cde885e36801b602f1a2040a0103616e6eac02010001050601b602f1a20469ba1f09";

const KEY: &str = "core/hotspot/*A/1800000087";

fn bytes_of(golden: &str) -> Vec<u8> {
    let digits = |at: usize| golden.get(at..at + 2).unwrap();
    (0..golden.len()).step_by(2).map(|at| u8::from_str_radix(digits(at), 16).unwrap()).collect()
}

/// What each of them is about.
fn session(expected: Option<(u64, u64)>, expected_of: Option<(u64, u64)>) -> Counted {
    let total = SessionUsageV1 {
        line: "line-a".into(),
        session: KEY.into(),
        started_at_ms: 1_800_000_085_000,
        sampled_at_ms: 1_800_000_385_000,
        upload_bytes: 300,
        download_bytes: 70_000,
        is_ended: false,
        address: "10.5.5.9".into(),
        period_started_ms: 1_800_000_050_000,
    };
    let mark = Mark {
        counters: Some((310, 70_001)),
        before: (10, 1),
        user: "ann".into(),
        uptime_seconds: 300,
        heard: Some(LineDigest::default()),
        expected,
        expected_of,
    };
    Counted { total, mark, grown_bytes: 0 }
}

#[test]
fn a_session_that_an_agent_of_before_left_open_goes_on_and_is_told() {
    let check = |golden: &str, expected: Counted| {
        let directory = Directory::new();
        // A store that was used before: what nobody told of is known.
        drop(directory.open());
        let flash = directory.flash();
        let mut changes = Changes::default();
        changes.put_bytes(Place::Usage, &session_key(KEY), bytes_of(golden));
        flash.store.commit(&changes).unwrap();
        drop(flash);
        let (mut keeper, opening) = directory.open();
        assert!(opening.are_sessions_known);
        assert_eq!(opening.open_sessions, std::slice::from_ref(&expected));
        // It waits to be told, once, and what is told is its total.
        let told = keeper.take(Lane::Usage, 0, 16);
        let Ok((_, UpMessage::Usage(batch))) = UpMessage::decode(&told[0].bytes) else { panic!("{told:?}") };
        assert_eq!((told.len(), batch.sessions), (1, vec![expected.total.clone()]));
        assert_eq!((keeper.overview().usage.pending, keeper.overview().bad_records), (0, 0));
        drop(keeper);
        assert_eq!(directory.open().1.open_sessions, [expected]);
    };
    check(SESSION_1, session(None, None));
    check(SESSION_1_WITH_TOTALS, session(Some((5, 6)), None));
    check(SESSION_2, session(Some((5, 6)), Some((310, 70_001))));
}

#[test]
fn a_session_lies_on_flash_as_it_always_will() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_usage(vec![session(Some((5, 6)), Some((310, 70_001)))], false);
    drop(keeper);
    let flash = directory.flash();
    let bytes = flash.store.bytes(Place::Usage, &session_key(KEY)).unwrap().unwrap();
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hexadecimal, SESSION_2);
}

/// What the line carried, in the shape of before upgrades were a part of it: as an agent of then framed it.
#[test]
fn what_the_line_carried_before_upgrades_were_a_part_of_it_goes_on() {
    use super::super::former::{Line1, Month1};
    use super::super::records::{META_LINE, META_LINE_BEFORE};
    let parts = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)];
    let month = |month| Month1 { month, parts };
    let directory = Directory::new();
    drop(directory.open());
    let flash = directory.flash();
    let mut changes = Changes::default();
    changes.remove(Place::Meta, META_LINE);
    let line = Line1 { running: month(202_611), before: month(202_610) };
    changes.put(Place::Meta, META_LINE_BEFORE, &line).unwrap();
    flash.store.commit(&changes).unwrap();
    drop(flash);
    let (mut keeper, opening) = directory.open();
    let found = opening.marks.line;
    assert_eq!((found.running.month, found.running.total(), found.before.total()), (202_611, 78, 78));
    assert_eq!(found.running.parts.last(), Some(&(0, 0)), "nothing was carried for upgrades then");
    // What is written today is what is read from then on.
    let mut marks = opening.marks;
    marks.line.running.parts[6] = (70, 700);
    keeper.put_marks(marks);
    keeper.sync();
    drop(keeper);
    assert_eq!(directory.open().1.marks.line, marks.line);
}
