//! What is dropped when more waits than may: the log first, then events, and totals of sessions last.

use tawi_shared::wire::{RouterWriteV1, WriteStatus};

use super::super::records::{SEALED, event_to_wire, numbered};
use super::super::store::{Changes, Place, length};
use super::*;

const HOUR_MS: i64 = 3_600_000;
const BOUND: u64 = 64 * 1024;

fn write(number: i64) -> RouterWriteV1 {
    RouterWriteV1 {
        at_ms: number,
        router: "core".into(),
        operation: "/ppp/secret/set".into(),
        parameters: "x".repeat(400),
        line: None,
        status: WriteStatus::Done.code(),
        detail: String::new(),
    }
}

/// A session that was read so many hours after 1970.
fn read_at(hour: i64) -> (Counted, bool) {
    let mut counted = total(&format!("core/{hour:06}"), 7, true);
    counted.total.sampled_at_ms = hour * HOUR_MS;
    (counted, false)
}

fn waiting(flash: &flash::Flash) -> [u64; 3] {
    [flash.log_lane, flash.event_lane, flash.usage_lane].map(|lane| lane.bytes)
}

#[test]
fn the_log_goes_first_then_the_oldest_events_and_sessions_that_were_read_the_longest_ago_last() {
    let directory = Directory::new();
    let mut flash = directory.flash();
    flash.waiting_bytes = BOUND;
    flash.put_writes((0..100).map(write).collect()).unwrap();
    let [log, ..] = waiting(&flash);
    assert!((1..=BOUND / 8).contains(&log), "the log has {log} bytes of its eighth");
    // Sixteen events have positions, and stay: these are what the story begins with.
    let events = (0..400).map(|number| event_to_wire(&event(&number.to_string()))).collect();
    flash.put_events(events, false, false).unwrap();
    let [log_beside, events, _] = waiting(&flash);
    assert_eq!(log_beside, log, "there is room for both");
    assert!(events + log < BOUND);
    let mut hour = 0;
    let mut seen = waiting(&flash);
    let (mut is_log_gone, mut are_events_gone, mut are_sessions_dropped) = (false, false, false);
    while !are_sessions_dropped {
        let (counted, is_historical) = read_at(hour);
        flash.put_usage(&[(&counted, is_historical)], &BTreeMap::new()).unwrap();
        hour += 1;
        let now = waiting(&flash);
        assert!(now.iter().sum::<u64>() <= BOUND, "{now:?}");
        is_log_gone |= now[0] < seen[0];
        if now[1] < seen[1] {
            assert!(is_log_gone && flash.log_lane.pending == 0, "events go after the log: {now:?}");
            are_events_gone = true;
        }
        if now[2] < seen[2] {
            assert!(are_events_gone && flash.event_lane.pending == 0, "totals go last: {now:?}");
            are_sessions_dropped = true;
        }
        seen = now;
        assert!(hour < 5_000, "nothing is dropped");
    }
    let kept: Vec<_> = flash
        .take(Lane::Usage, 0, 999, (&UsageDue::All, u64::MAX))
        .unwrap()
        .iter()
        .flat_map(|record| totals(std::slice::from_ref(record)))
        .map(|(session, _)| session)
        .collect();
    let first: i64 = kept[0].trim_start_matches("core/").parse().unwrap();
    assert!(first > 0, "those that were read the longest ago went");
    let expected: Vec<_> = (first..hour).map(|hour| format!("core/{hour:06}")).take(kept.len()).collect();
    assert_eq!(kept, expected, "and of the others none");
    assert!(flash.dropped_records > flash.dropped_totals && flash.dropped_totals > 0);
}

#[test]
fn of_events_the_oldest_that_have_no_position_give_way_and_positions_have_no_gap() {
    let directory = Directory::new();
    let mut flash = directory.flash();
    flash.waiting_bytes = BOUND / 4;
    for number in 0..1_000 {
        flash.put_events(vec![event_to_wire(&event(&number.to_string()))], false, false).unwrap();
    }
    assert!(waiting(&flash).iter().sum::<u64>() <= BOUND / 4);
    let mut told = Vec::new();
    for _ in 0..2_000 {
        let after = told.len().try_into().unwrap();
        let records = flash.take(Lane::Event, after, 16, (&UsageDue::Nothing, u64::MAX)).unwrap();
        let Some(last) = records.last() else { break };
        told.extend(details(&records));
        flash.forget(Lane::Event, flash.epoch, last.seq, &IdSource::system()).unwrap();
    }
    let told: Vec<u32> = told.iter().map(|detail| detail.parse().unwrap()).collect();
    assert_eq!(told[..16], (0..16).collect::<Vec<_>>()[..], "they had positions");
    assert!(told[16] > 16, "nothing is dropped");
    assert_eq!(told[16..], (told[16]..1_000).collect::<Vec<_>>()[..], "the newest are all there");
}

/// The mark of the last position is no record, and what stands in for a damaged one has a size of its own.
#[test]
fn what_is_counted_is_what_lies_there() {
    let directory = Directory::new();
    let mut flash = directory.flash();
    flash.put_events(vec![event_to_wire(&event("a"))], false, false).unwrap();
    let mut damage = Changes::default();
    damage.put_bytes(Place::Events, &numbered(SEALED, 1), vec![1, 2, 3]);
    flash.store.commit(&damage).unwrap();
    drop(flash);
    let mut flash = directory.flash();
    assert_eq!(waiting(&flash), [0, 3, 0]);
    let told = flash.take(Lane::Event, 0, 16, (&UsageDue::Nothing, u64::MAX)).unwrap();
    assert_eq!(waiting(&flash), [0, length(&told[0].bytes), 0]);
    flash.forget(Lane::Event, flash.epoch, 1, &IdSource::system()).unwrap();
    assert_eq!(waiting(&flash), [0; 3]);
    drop(flash);
    assert_eq!(waiting(&directory.flash()), [0; 3]);
}
