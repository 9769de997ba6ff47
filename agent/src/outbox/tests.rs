//! What the store promises, on real flash: positions, replacement, damage, bounds, new lives. Crashes and full disks
//! are in `tests/store/main.rs`, which kills a process and fills a disk.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tawi_shared::envelope::FLAG_HISTORICAL;
use tawi_shared::wire::{
    Access, EventKind, LineV1, ProfileV1, Service, SessionUsageV1, StateDeltaV1, UpMessage,
};

use super::records::{META_EPOCH, SEALED, numbered, session_key};
use super::store::{Changes, Place};
use super::*;
use crate::clock::KeptTime;
use crate::desired::Taken;
use crate::flow::Event;
use crate::link::window::Room;
use crate::site::cadence::UsageDue;
use crate::usage::counted::{Counted, Mark};
use crate::usage::quota::{CountedBefore, PeriodCounted, PeriodRecord, QuotaBook};

mod backlog;
mod bounds;
mod damage;
mod disks;
mod former;
mod late;
mod marks;
mod newcomers;
mod short;
mod turns;

/// A state directory of its own for each test, gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tawi-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> (Keeper, Opening) {
        Keeper::open(&self.0, IdSource::system(), Clock::manual(UnixMillis(1_000)))
    }

    fn flash(&self) -> flash::Flash {
        directory::prepare(&self.0).unwrap();
        let engine = engine::sled::Sled::open(&self.0).unwrap();
        flash::Flash::open(Box::new(engine), &IdSource::system()).unwrap().0
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn line(id: &str, until: i64) -> LineV1 {
    LineV1 {
        line: id.into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: id.into(),
        password: "p".into(),
        profile: "home".into(),
        access: Access::Open.code(),
        valid_until_ms: Some(until),
        ..LineV1::default()
    }
}

fn profile() -> ProfileV1 {
    ProfileV1 {
        name: "home".into(),
        service: Service::Pppoe.code(),
        download_bits_per_second: 10_000_000,
        upload_bits_per_second: 5_000_000,
        download_burst_bits_per_second: 0,
        upload_burst_bits_per_second: 0,
        ..ProfileV1::default()
    }
}

/// `state` with these lines put and those removed, as a delta of the controller does it.
fn moved(
    state: &DesiredState,
    lines: &[LineV1],
    removed: &[&str],
    profiles: &[ProfileV1],
) -> Arc<DesiredState> {
    let mut after: BTreeMap<_, _> =
        state.lines.iter().map(|(id, held)| (id.clone(), held.item.clone())).collect();
    after.extend(lines.iter().map(|line| (line.line.clone(), line.clone())));
    removed.iter().for_each(|id| drop(after.remove(*id)));
    let held = state.profiles.values().map(|held| held.item.clone());
    let profiles_after: BTreeMap<_, _> =
        held.chain(profiles.iter().cloned()).map(|profile| (profile.name.clone(), profile)).collect();
    let delta = StateDeltaV1 {
        from_generation: state.generation,
        to_generation: state.generation + 1,
        state_hash: tawi_shared::state_hash::StateHash::of(after.values(), profiles_after.values())
            .to_bytes(),
        lines: lines.to_vec(),
        removed_lines: removed.iter().map(|id| (*id).to_owned()).collect(),
        profiles: profiles.to_vec(),
        removed_profiles: vec![],
    };
    match state.take_delta(&delta) {
        Taken::Moved(state) => Arc::new(state),
        other => panic!("{other:?}"),
    }
}

fn event(text: &str) -> Event {
    Event {
        at: UnixMillis(5),
        kind: EventKind::LineOnline,
        line: Some("a".into()),
        router: None,
        detail: text.into(),
    }
}

fn total(session: &str, bytes: u64, is_ended: bool) -> Counted {
    Counted::from(SessionUsageV1 {
        line: "a".into(),
        session: session.into(),
        started_at_ms: 1,
        sampled_at_ms: i64::try_from(bytes).unwrap(),
        upload_bytes: bytes,
        download_bytes: bytes,
        is_ended,
        address: "10.0.0.1".into(),
        period_started_ms: 0,
    })
}

fn details(records: &[SealedRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| match UpMessage::decode(&record.bytes).unwrap() {
            (header, UpMessage::Event(event)) => {
                assert_eq!(header.seq, record.seq);
                event.detail
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn totals(records: &[SealedRecord]) -> Vec<(String, u64)> {
    let sessions = records.iter().flat_map(|record| match UpMessage::decode(&record.bytes).unwrap() {
        (_, UpMessage::Usage(batch)) => batch.sessions,
        other => panic!("{other:?}"),
    });
    sessions.map(|session| (session.session, session.upload_bytes)).collect()
}

fn seqs(records: &[SealedRecord]) -> Vec<u64> {
    records.iter().map(|record| record.seq).collect()
}

#[test]
fn the_desired_state_is_there_again_after_a_restart_with_its_revisions() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    assert!(opening.is_state_whole && opening.state.generation == 0, "a new store is whole and empty");
    let first = moved(&opening.state, &[line("a", 1), line("b", 1)], &[], &[profile()]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    let second = moved(&first, &[line("b", 2), line("c", 1)], &["a"], &[]);
    keeper.put_state(Arc::clone(&second)).unwrap();
    drop(keeper);

    let (keeper, opening) = directory.open();
    assert!(opening.is_state_whole);
    assert_eq!(opening.state.lines, second.lines);
    assert_eq!(opening.state.profiles, second.profiles);
    assert_eq!((opening.state.generation, opening.state.hash), (2, second.hash));
    assert_eq!(keeper.overview().stored_generation, 2);
}

#[test]
fn positions_start_at_one_have_no_gaps_and_are_never_given_twice() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let texts: Vec<String> = (0..40).map(|number| format!("event {number}")).collect();
    for text in &texts {
        keeper.put_events(&[event(text)], false);
    }
    let epoch = keeper.overview().epoch;
    let mut heard = Vec::new();
    let mut cursor = 0;
    for _ in 0..10 {
        let records = keeper.take(Lane::Event, cursor, 7);
        assert_eq!(seqs(&records), (cursor + 1..).take(records.len()).collect::<Vec<_>>());
        heard.extend(details(&records));
        cursor += u64::try_from(records.len()).unwrap();
        keeper.forget(Lane::Event, epoch, cursor);
        drop(keeper);
        keeper = directory.open().0;
        assert_eq!(keeper.overview().epoch, epoch, "a restart is the same life");
    }
    assert_eq!(heard, texts, "all, once, in order");
    keeper.put_events(&[event("later")], false);
    assert_eq!(seqs(&keeper.take(Lane::Event, 40, 9)), [41]);
}

#[test]
fn at_most_sixteen_records_have_a_position_and_a_resend_is_byte_for_byte_the_same() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let events: Vec<_> = (0..30).map(|number| event(&number.to_string())).collect();
    keeper.put_events(&events, true);
    let first = keeper.take(Lane::Event, 0, 100);
    assert_eq!(seqs(&first), (1..=16).collect::<Vec<_>>());
    drop(keeper);
    let (mut keeper, _) = directory.open();
    assert_eq!(keeper.take(Lane::Event, 0, 100), first);
    let (header, _) = UpMessage::decode(&first[0].bytes).unwrap();
    assert_eq!(header.flags, FLAG_HISTORICAL, "it happened while the site was cut off");
    assert_eq!(
        keeper.overview().events,
        LaneSizes { pending: 14, sealed: 16, last_seq: 16, ..keeper.overview().events }
    );
}

#[test]
fn a_newer_total_replaces_the_one_that_still_waits() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    for bytes in 1..=1_000 {
        keeper.put_usage(vec![total("core/1", bytes, false), total("core/2", bytes, false)], true);
    }
    let overview = keeper.overview();
    assert_eq!(overview.usage.pending, 2, "a cut-off site keeps one record a session");
    assert!(overview.usage.bytes < 200, "{overview:?}");
    let records = keeper.take(Lane::Usage, 0, 16);
    assert_eq!(totals(&records), [("core/1".to_owned(), 1_000), ("core/2".to_owned(), 1_000)]);
    assert!(keeper.take(Lane::Usage, 1, 16).is_empty(), "nothing is newer than what was told");
    keeper.put_usage(vec![total("core/2", 1_001, false)], false);
    assert_eq!(totals(&keeper.take(Lane::Usage, 1, 16)), [("core/2".to_owned(), 1_001)]);
}

#[test]
fn sessions_that_were_open_are_known_after_a_restart_and_ended_ones_are_told_once() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    assert!(!opening.are_sessions_known, "new flash may be that of an agent that was replaced");
    keeper.put_usage(vec![total("core/1", 5, false), total("core/2", 6, true)], false);
    let epoch = keeper.overview().epoch;
    assert_eq!(totals(&keeper.take(Lane::Usage, 0, 16)).len(), 2);
    assert_eq!(keeper.forget(Lane::Usage, epoch, 1), Forgot::Records(1));
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    let open: Vec<_> = opening.open_sessions.iter().map(|total| total.total.session.as_str()).collect();
    assert_eq!((open, opening.are_sessions_known), (vec!["core/1"], true));
    assert!(keeper.take(Lane::Usage, 1, 16).is_empty());
}

#[test]
fn a_router_without_open_sessions_may_never_have_been_sampled_since_the_store_was_lost() {
    let open_sessions = vec![total("core/1", 5, false), total("core2/1", 6, false)];
    let mut opening = Opening { open_sessions, are_sessions_known: true, ..Opening::default() };
    let mut check = |router: &str, expected: &[&str], are_known: bool| {
        let (sessions, known) = opening.take_sessions_of(router);
        let sessions: Vec<_> = sessions.iter().map(|total| total.total.session.as_str()).collect();
        assert_eq!((sessions.as_slice(), known), (expected, are_known), "{router}");
    };
    check("core", &["core/1"], true);
    check("tower", &[], false);
    check("core2", &["core2/1"], true);
}

#[test]
fn a_damaged_total_of_an_open_session_makes_all_running_sessions_doubtful() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_usage(vec![total("core/1", 5, false), total("core/2", 6, false)], false);
    drop(keeper);
    let flash = directory.flash();
    let mut changes = Changes::default();
    changes.put_bytes(Place::Usage, &session_key("core/2"), b"damage".to_vec());
    flash.store.commit(&changes).unwrap();
    drop(flash);
    let (_, opening) = directory.open();
    assert_eq!((opening.open_sessions.len(), opening.are_sessions_known), (1, false));
}

#[test]
fn many_sessions_are_cut_into_batches_that_fit_one_page_of_the_engine() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let sessions = (0..2_000).map(|number| total(&format!("core/{number:08x}"), number + 1, false)).collect();
    keeper.put_usage(sessions, false);
    let epoch = keeper.overview().epoch;
    let (mut cursor, mut heard) = (0, Vec::new());
    loop {
        let records = keeper.take(Lane::Usage, cursor, 16);
        let Some(last) = records.last() else { break };
        assert!(records.iter().all(|record| record.bytes.len() < 4_096));
        cursor = last.seq;
        heard.extend(totals(&records));
        keeper.forget(Lane::Usage, epoch, cursor);
    }
    assert_eq!(heard.len(), 2_000);
    let usage = keeper.overview().usage;
    assert_eq!((usage.pending, usage.sealed), (0, 0));
}

#[test]
fn a_cursor_of_another_life_changes_nothing_and_one_beyond_the_end_begins_a_new_life() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_events(&[event("1"), event("2")], false);
    keeper.put_usage(vec![total("core/1", 5, true)], false);
    keeper.take(Lane::Usage, 0, 16);
    let epoch = keeper.overview().epoch;
    assert_eq!(keeper.forget(Lane::Event, epoch ^ 1, 2), Forgot::ForeignEpoch);
    assert_eq!(keeper.forget(Lane::Event, epoch, 1), Forgot::Records(1));
    assert_eq!(keeper.forget(Lane::Event, epoch, 1), Forgot::Records(0), "a doubled cursor");
    assert_eq!(keeper.forget(Lane::Event, epoch, 9), Forgot::NewEpoch);

    let overview = keeper.overview();
    assert_ne!(overview.epoch, epoch);
    let records = keeper.take(Lane::Event, 0, 16);
    assert_eq!((seqs(&records), details(&records)), (vec![1], vec!["2".to_owned()]));
    let (header, _) = UpMessage::decode(&records[0].bytes).unwrap();
    assert_eq!(header.store_epoch, overview.epoch);
    assert_eq!(totals(&keeper.take(Lane::Usage, 0, 16)), [("core/1".to_owned(), 5)]);
}

#[test]
fn a_damaged_record_is_skipped_counted_and_its_place_kept() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_events(&[event("1"), event("2"), event("3")], false);
    drop(keeper);
    let flash = directory.flash();
    let mut changes = Changes::default();
    let mut bytes = flash.store.bytes(Place::Events, &numbered(SEALED, 2)).unwrap().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    changes.put_bytes(Place::Events, &numbered(SEALED, 2), bytes);
    flash.store.commit(&changes).unwrap();
    flash.store.sync().unwrap();
    drop(flash);

    let (mut keeper, _) = directory.open();
    let records = keeper.take(Lane::Event, 0, 16);
    assert_eq!(seqs(&records), [1, 2, 3], "the controller sees no gap");
    let heard = details(&records);
    assert_eq!((heard[0].as_str(), heard[2].as_str()), ("1", "3"));
    assert!(heard[1].contains("damaged"), "{heard:?}");
    assert_eq!(keeper.overview().bad_records, 1);
    assert_eq!(keeper.take(Lane::Event, 0, 16), records, "and it stays that way");
}

#[test]
fn a_damaged_mark_of_the_stores_life_begins_a_new_one_and_loses_no_record() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_events(&[event("1"), event("2")], false);
    keeper.put_usage(vec![total("core/1", 5, true)], false);
    keeper.take(Lane::Usage, 0, 16);
    let epoch = keeper.overview().epoch;
    drop(keeper);
    let flash = directory.flash();
    let mut changes = Changes::default();
    changes.put_bytes(Place::Meta, META_EPOCH, b"damage".to_vec());
    flash.store.commit(&changes).unwrap();
    flash.store.sync().unwrap();
    drop(flash);

    let (mut keeper, _) = directory.open();
    assert_ne!(keeper.overview().epoch, epoch);
    assert_eq!(details(&keeper.take(Lane::Event, 0, 16)), ["1", "2"]);
    assert_eq!(totals(&keeper.take(Lane::Usage, 0, 16)), [("core/1".to_owned(), 5)]);
}

#[test]
fn what_a_router_settled_once_stays_settled() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    for generation in [0, 7, 5] {
        keeper.put_settled("core", generation);
    }
    drop(keeper);
    assert_eq!(directory.open().1.settled, BTreeMap::from([("core".to_owned(), 7)]));
}

#[test]
fn only_the_very_same_state_counts_as_stored() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    let damaged = moved(&opening.state, &[line("a", 1)], &[], &[]);
    let right = moved(&opening.state, &[line("a", 2)], &[], &[]);
    keeper.put_state(Arc::clone(&damaged)).unwrap();
    assert_eq!(keeper.overview().stored_hash, damaged.hash);
    drop(keeper);
    let flash = directory.flash();
    assert!(flash.holds(&damaged) && !flash.holds(&right), "they have one generation");
}

#[test]
fn a_state_with_a_damaged_line_is_not_enforced_but_asked_for_anew() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    let state = moved(&opening.state, &[line("a", 1), line("b", 1)], &[], &[]);
    keeper.put_state(Arc::clone(&state)).unwrap();
    drop(keeper);
    let flash = directory.flash();
    let mut changes = Changes::default();
    changes.put_bytes(Place::Lines, b"a", b"damage".to_vec());
    flash.store.commit(&changes).unwrap();
    drop(flash);

    let (mut keeper, opening) = directory.open();
    assert!(!opening.is_state_whole);
    assert_eq!(opening.state.generation, 0, "a hole would take a paying customer off the router");
    assert_eq!(keeper.overview().stored_generation, 0);
    assert!(details(&keeper.take(Lane::Event, 0, 16))[0].contains("damaged"));
    keeper.put_state(Arc::clone(&state)).unwrap();
    drop(keeper);
    let (_, opening) = directory.open();
    assert!(opening.is_state_whole);
    assert_eq!(opening.state.lines, state.lines);
}

#[test]
fn a_half_written_snapshot_of_the_engine_is_removed_before_it_can_do_harm() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_events(&[event("1")], false);
    drop(keeper);
    fs::write(directory.0.join("store/snap.ffffffffffffffff.generating"), b"").unwrap();
    let (mut keeper, opening) = directory.open();
    assert_eq!(opening.lost, None);
    assert_eq!(details(&keeper.take(Lane::Event, 0, 16)), ["1"]);
}

#[test]
fn a_damaged_store_is_put_aside_and_a_new_life_begins() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    keeper.put_state(moved(&opening.state, &[line("a", 1)], &[], &[])).unwrap();
    let epoch = keeper.overview().epoch;
    drop(keeper);
    fs::create_dir_all(directory.0.join("store.bad-7")).unwrap();
    // The engine cannot open a store whose own settings are garbage.
    fs::write(directory.0.join("store/conf"), b"\xff\xff\xff\xffgarbage").unwrap();

    let (mut keeper, opening) = directory.open();
    assert!(!opening.are_sessions_known, "what was told of running sessions is in the damaged one");
    let lost = opening.lost.expect("it was damaged");
    assert!(lost.moved_to.join("conf").exists());
    assert_eq!(
        directory.names(),
        ["reserve", "store", "store.bad-1000"],
        "only the newest damaged one is kept"
    );
    assert_eq!(opening.state.generation, 0);
    assert_ne!(keeper.overview().epoch, epoch);
    let records = keeper.take(Lane::Event, 0, 16);
    let (_, message) = UpMessage::decode(&records[0].bytes).unwrap();
    assert!(matches!(message, UpMessage::Event(event) if event.kind == EventKind::StoreLost.code()));
    assert_eq!(opening.marks.lived, Some(Duration::ZERO));
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!(
        (opening.lost, opening.marks.lived),
        (None, Some(Duration::ZERO)),
        "a second start does not know either whom the last hour cut off"
    );
}

#[test]
fn a_store_that_is_gone_is_said_where_anything_tells_that_there_was_one() {
    let directory = Directory::new();
    drop(directory.open());
    let lost = |keeper: &mut Keeper| details(&keeper.take(Lane::Event, 0, 16));
    fs::remove_dir_all(directory.0.join("store")).unwrap();
    let (mut keeper, opening) = directory.open();
    assert!(opening.is_new && lost(&mut keeper).is_empty(), "nobody can tell it from a new site");
    drop(keeper);
    owner::note_owner(&directory.0, &"nyeri-01".parse().unwrap()).unwrap();
    fs::remove_dir_all(directory.0.join("store")).unwrap();
    let (mut keeper, opening) = directory.open();
    assert!(opening.is_new && !opening.are_sessions_known);
    assert!(lost(&mut keeper)[0].contains("gone"));
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!((opening.is_new, opening.marks.lived), (false, Some(Duration::ZERO)));
}

#[test]
fn a_directory_that_is_removed_while_the_agent_runs_is_made_again_with_all_that_it_knows() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    let first = moved(&opening.state, &[line("a", 1)], &[], &[]);
    keeper.put_state(Arc::clone(&first)).unwrap();
    let memory = RouterMemory { serial: "HEX1".into(), ..RouterMemory::default() };
    keeper.put_memory("core", &memory).unwrap();
    let life = keeper.overview().epoch;
    fs::remove_dir_all(&directory.0).unwrap();
    let second = moved(&first, &[line("a", 2)], &[], &[]);
    keeper.put_state(Arc::clone(&second)).unwrap_err();
    keeper.put_events(&[event("meanwhile")], false);
    keeper.recover();
    assert_eq!(keeper.overview().health, StoreHealth::Well);
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    assert_ne!(keeper.overview().epoch, life);
    assert_eq!(
        (opening.state.lines.clone(), opening.memories.get("core")),
        (second.lines.clone(), Some(&memory))
    );
    let told = details(&keeper.take(Lane::Event, 0, 16));
    assert!(told.iter().any(|detail| detail == "meanwhile"), "{told:?}");
    assert!(told.iter().any(|detail| detail.contains("gone")), "{told:?}");
}

#[test]
fn a_store_that_is_begun_anew_while_the_agent_runs_knows_its_routers_and_the_time_again() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    assert_eq!(opening.marks.lived, None, "one that was never damaged knows its past");
    let memory = RouterMemory {
        serial: "HEX1".into(),
        own_passwords: BTreeMap::from([("a".to_owned(), 7)]),
        cuts: BTreeMap::from([("b".to_owned(), Some(UnixMillis(9)))]),
        ..RouterMemory::default()
    };
    keeper.put_memory("core", &memory).unwrap();
    let marks = Marks {
        time: KeptTime { floor: UnixMillis(77), vouched: None, leap_in_doubt: None },
        ..Marks::default()
    };
    keeper.put_marks(marks);
    keeper.close_as_failed();
    fs::write(directory.0.join("store/conf"), b"\xff\xff\xff\xffgarbage").unwrap();
    keeper.recover();
    keeper.sync();
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!((opening.memories, opening.marks), (BTreeMap::from([("core".to_owned(), memory)]), marks));
}

#[test]
fn what_counts_for_quotas_is_kept_with_its_totals_and_told_apart_by_the_life_of_the_store() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let of_period = |session: &str, bytes, is_ended| {
        let mut counted = total(session, bytes, is_ended);
        counted.total.period_started_ms = 7;
        counted.mark =
            Mark { counters: Some((bytes, 0)), before: (1, 2), user: "a".into(), ..Mark::default() };
        counted
    };
    let counted_in = |period_ms| PeriodCounted { period_ms, ended_bytes: 30, told_bytes: None };
    let record = PeriodRecord { running: counted_in(7), last: counted_in(5) };
    let (open, over) = (of_period("core/1", 5, false), of_period("core/2", 15, true));
    keeper.keep(
        Reported {
            usage: vec![open.clone(), over],
            periods: BTreeMap::from([("a".to_owned(), record)]),
            ..Reported::default()
        },
        false,
        &Room::default(),
        &UsageDue::All,
    );
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    assert_eq!(opening.book.periods, BTreeMap::from([("a".to_owned(), record)]));
    assert_eq!(opening.open_sessions, std::slice::from_ref(&open));
    let own_bytes = record.running.ended_bytes + crate::usage::counted::bytes_of(&open.total);
    // Head office knows more than this flash: another life begins, and the store remembers what it counted before.
    assert_eq!(keeper.forget(Lane::Usage, opening.epoch, 99), Forgot::NewEpoch);
    drop(keeper);
    let (mut keeper, opening) = directory.open();
    let before = CountedBefore { period_ms: 7, bytes: 0, own_bytes };
    assert_eq!(opening.book.befores, BTreeMap::from([("a".to_owned(), before)]));
    keeper.forget_lines(&["a".to_owned()]);
    drop(keeper);
    let (_, opening) = directory.open();
    assert_eq!(opening.book, BookRecords::default());
}

#[test]
fn a_rewrite_keeps_everything_and_an_interrupted_one_is_put_right() {
    let directory = Directory::new();
    let (mut keeper, opening) = directory.open();
    let state = moved(&opening.state, &[line("a", 1)], &[], &[profile()]);
    keeper.put_state(Arc::clone(&state)).unwrap();
    keeper.put_events(&[event("1")], false);
    keeper.put_usage(vec![total("core/1", 5, false)], false);
    let before = keeper.overview();
    drop(keeper);
    directory.flash().store.rewrite().unwrap();
    let check = |when: &str| {
        let (mut keeper, opening) = directory.open();
        assert_eq!(opening.state.lines, state.lines, "{when}");
        assert_eq!(details(&keeper.take(Lane::Event, 0, 16)), ["1"], "{when}");
        assert_eq!((keeper.overview().epoch, opening.open_sessions.len()), (before.epoch, 1), "{when}");
        drop(keeper);
        assert_eq!(directory.names(), ["reserve", "store"], "{when}");
    };
    check("after a rewrite");
    let (store, new, old) =
        (directory.0.join("store"), directory.0.join("store.new"), directory.0.join("store.old"));
    fs::create_dir_all(&new).unwrap();
    check("cut off while the copy was written");
    fs::rename(&store, &new).unwrap();
    fs::create_dir_all(&old).unwrap();
    check("cut off between the two renames");
    fs::create_dir_all(&old).unwrap();
    check("cut off before the old one was removed");
    fs::rename(&store, &old).unwrap();
    check("cut off with only the old one left");
}

#[test]
fn churn_does_not_grow_the_store_without_end() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let epoch = keeper.overview().epoch;
    let mut cursor = 0;
    for round in 0..400 {
        let sessions = (0..40).map(|number| total(&format!("core/{number}"), round * 40 + number + 1, false));
        keeper.put_usage(sessions.collect(), false);
        let records = keeper.take(Lane::Usage, cursor, 16);
        cursor = records.last().unwrap().seq;
        keeper.forget(Lane::Usage, epoch, cursor);
    }
    keeper.maintain(None);
    let overview = keeper.overview();
    assert!(overview.disk_bytes < REWRITE_SLACK_BYTES + 1024 * 1024, "{overview:?}");
    assert_eq!(overview.usage.pending + overview.usage.sealed, 0);
}

#[test]
fn what_has_waited_for_too_long_is_dropped_and_no_position_is_lost() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    keeper.put_events(&(0..20).map(|number| event(&number.to_string())).collect::<Vec<_>>(), false);
    keeper.put_usage(vec![total("core/1", 5, true)], false);
    keeper.maintain(Some(UnixMillis(5).plus(WAITING_AGE)));
    assert_eq!(keeper.overview().dropped_records, 0, "not a day too early");
    keeper.maintain(Some(UnixMillis(6).plus(WAITING_AGE)));
    let overview = keeper.overview();
    assert_eq!((overview.dropped_records, overview.events.pending), (4, 0));
    assert_eq!(overview.usage.pending, 1, "a bill may stand on it");
    keeper.forget(Lane::Event, overview.epoch, 16);
    keeper.put_events(&[event("new")], false);
    assert_eq!(seqs(&keeper.take(Lane::Event, 16, 16)), [17]);
}

#[test]
fn a_connection_is_always_numbered_higher_than_the_last_even_after_a_lost_store() {
    let directory = Directory::new();
    let (mut keeper, _) = directory.open();
    let first = keeper.next_connection_epoch();
    let second = keeper.next_connection_epoch();
    drop(keeper);
    let (mut keeper, _) = directory.open();
    let third = keeper.next_connection_epoch();
    assert!(first < second && second < third);
    drop(keeper);
    fs::remove_dir_all(directory.0.join("store")).unwrap();
    let (mut keeper, _) = Keeper::open(&directory.0, IdSource::system(), Clock::manual(UnixMillis(60_000)));
    assert!(keeper.next_connection_epoch() > third);
}

/// Its records had no names of sessions: one of them read as one of today would end sessions of others, or none.
#[test]
fn a_memory_of_another_shape_is_never_read_as_one_of_today() {
    let directory = Directory::new();
    drop(directory.open());
    let flash = directory.flash();
    let before = RouterMemory { serial: "HEX1".into(), ..RouterMemory::default() };
    let mut changes = Changes::default();
    changes.put(Place::Meta, b"memory/core", &before).unwrap();
    flash.store.commit(&changes).unwrap();
    drop(flash);
    let (keeper, opening) = directory.open();
    assert!(opening.memories.is_empty(), "{:?}", opening.memories);
    drop(keeper);
    assert_eq!(directory.flash().store.bytes(Place::Meta, b"memory/core"), Ok(None));
}

#[test]
fn a_second_agent_on_the_same_directory_is_refused() {
    let directory = Directory::new();
    let first = StateLock::take(&directory.0).unwrap();
    assert!(matches!(StateLock::take(&directory.0), Err(StoreError::Locked(_))));
    drop(first);
    assert!(StateLock::take(&directory.0).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_not_waited_for_and_what_it_was_told_is_done_when_it_answers() {
    let directory = Directory::new();
    let (outbox, _) = Outbox::start(&directory.0, IdSource::system(), Clock::system()).await.unwrap();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hung = outbox.call(move |_| hold.recv()).await;
    assert_eq!(hung, Err(StoreError::Hung));
    let state = moved(&DesiredState::default(), &[line("a", 1)], &[], &[]);
    let started = tokio::time::Instant::now();
    assert_eq!(outbox.call(|keeper| keeper.put_state(state)).await, Err(StoreError::Hung));
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody waits for a disk that is known to hang");
    release.send(()).unwrap();
    let overview = loop {
        tokio::task::yield_now().await;
        if let Ok(overview) = outbox.call(|keeper| keeper.overview()).await {
            break overview;
        }
    };
    assert_eq!(overview.stored_generation, 1);
}

#[test]
fn a_long_detail_ends_with_a_whole_word() {
    let long = "profile ".repeat(60);
    let cut = super::shortened(&long);
    assert!(cut.len() <= 200 && cut.len() > 180, "{cut}");
    assert!(cut.split(' ').all(|word| word == "profile"), "{cut}");
    assert_eq!(super::shortened("short"), "short");
    for end in [";", ".", ","] {
        let (first, rest) = ("word ".repeat(30), "more ".repeat(30));
        let text = format!("{}{end} {rest}", first.trim_end());
        assert_eq!(super::shortened(&text), first.trim_end(), "it ends with a sentence, or a part of one");
    }
    let endless = "é".repeat(300);
    assert_eq!(super::shortened(&endless).len(), 200, "what has no space is cut where a letter ends");
    let nearly = format!("{} {}", "a".repeat(20), "b".repeat(300));
    assert_eq!(super::shortened(&nearly).len(), 200, "a first word alone would say less than half");
}

#[test]
fn the_file_beside_the_store_names_the_boards_of_the_routers_in_the_settings_alone() {
    let directory = Directory::new();
    let routers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let named = || crate::boards::load(&directory.0).into_iter().collect::<Vec<_>>();
    let board = |router: &str| (router.to_owned(), format!("HEX-{router}"));
    let (mut keeper, _) = directory.open();
    for router in ["core", "tower"] {
        keeper
            .put_memory(router, &RouterMemory { serial: board(router).1, ..RouterMemory::default() })
            .unwrap();
    }
    assert_eq!(named(), [board("core"), board("tower")]);
    for (settings, expected) in
        [(["core", "new"], vec![board("core")]), (["core", "tower"], vec![board("core"), board("tower")])]
    {
        drop(keeper);
        keeper = directory.open().0;
        keeper.serve(routers(&settings));
        assert_eq!(named(), expected);
        keeper
            .put_memory("core", &RouterMemory { serial: board("core").1, ..RouterMemory::default() })
            .unwrap();
        assert_eq!(named(), expected);
    }
}
