//! What the keeper does about a store that fails while the agent runs: seen from inside.

use std::path::PathBuf;

use super::*;
use crate::link::window::Window;
use crate::outbox::directory::LEFT;
use crate::outbox::store::Place;

fn opened() -> (PathBuf, Keeper) {
    let ids = IdSource::system();
    let directory = std::env::temp_dir().join(format!("tawi-keeper-{}", ids.hex(4)));
    std::fs::create_dir_all(&directory).unwrap();
    let (keeper, _) = Keeper::open(&directory, ids, Clock::system());
    (directory, keeper)
}

/// An event, the last total of a session, and a generation.
fn reported() -> Reported {
    let event = Event {
        at: UnixMillis(1),
        kind: EventKind::LineOnline,
        line: Some("a".into()),
        router: Some("core".into()),
        detail: String::new(),
    };
    let total = SessionUsageV1 {
        line: "a".into(),
        session: "core/pppoe/0x1/1".into(),
        started_at_ms: 1,
        sampled_at_ms: 2,
        upload_bytes: 3,
        download_bytes: 4,
        is_ended: true,
        address: String::new(),
        period_started_ms: 0,
    };
    Reported {
        events: vec![event],
        usage: vec![total.into()],
        settled: vec![("core".into(), 7)],
        ..Reported::default()
    }
}

#[test]
fn a_report_costs_one_sync_whatever_is_in_it_and_whatever_it_lets_be_told() {
    let (directory, mut keeper) = opened();
    let mut window = Window::default();
    window.cursor(Lane::Event, 0);
    window.cursor(Lane::Usage, 0);
    let syncs = |keeper: &Keeper| keeper.flash.as_ref().unwrap().syncs;
    let before = syncs(&keeper);
    let told = keeper.keep(reported(), false, &window.room(true, true, false), &UsageDue::All);
    let counts: Vec<_> = told.iter().map(|(next, records)| (next.lane, records.len())).collect();
    assert_eq!(counts, [(Lane::Event, 1), (Lane::Usage, 1)]);
    assert_eq!(syncs(&keeper) - before, 1);
    drop(keeper);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_was_put_down_before_the_store_failed_is_not_put_down_again() {
    for (failing, waits) in [(Place::Events, (1, 1)), (Place::Usage, (0, 1)), (Place::Meta, (0, 0))] {
        let (directory, mut keeper) = opened();
        keeper.flash.as_mut().unwrap().store.lose(failing);
        keeper.keep(reported(), false, &Room::default(), &UsageDue::All);
        assert!(keeper.flash.is_none(), "{failing:?}");
        let is_told = |(event, _): &&(EventV1, bool)| event.kind == EventKind::LineOnline.code();
        let waiting = (keeper.memory.events.iter().filter(is_told).count(), keeper.memory.sessions.len());
        assert_eq!(waiting, waits, "{failing:?}");
        keeper.recover();
        let overview = keeper.overview();
        // The event, and the alarm about the store.
        assert_eq!((overview.events.last_seq, overview.in_memory), (2, 0), "{failing:?}");
        assert_eq!(overview.usage.pending, 1, "{failing:?}");
        drop(keeper);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

fn memory(serial: &str) -> RouterMemory {
    RouterMemory { serial: serial.to_owned(), ..RouterMemory::default() }
}

/// What the next start finds.
fn remembered(directory: &Path, keeper: Keeper) -> BTreeMap<String, RouterMemory> {
    drop(keeper);
    Keeper::open(directory, IdSource::system(), Clock::system()).1.memories
}

#[test]
fn what_is_known_of_a_router_goes_down_as_soon_as_there_is_room() {
    let (directory, mut keeper) = opened();
    keeper.put_memory("core", &memory("OLD")).unwrap();
    LEFT.set(Some(RESERVE_BYTES - 1));
    assert!(matches!(keeper.put_memory("core", &memory("NEW")), Err(StoreError::NearlyFull { .. })));
    keeper.recover();
    assert_ne!(keeper.health, StoreHealth::Well, "there is no room yet");
    LEFT.set(None);
    keeper.recover();
    assert_eq!(keeper.health, StoreHealth::Well);
    let memories = BTreeMap::from([("core".to_owned(), memory("NEW"))]);
    assert_eq!(remembered(&directory, keeper), memories);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_store_that_is_begun_anew_without_room_is_told_of_its_routers_when_there_is_some() {
    let (directory, mut keeper) = opened();
    let memories = BTreeMap::from(["core", "tower"].map(|name| (name.to_owned(), memory(name))));
    memories.iter().for_each(|(name, memory)| keeper.put_memory(name, memory).unwrap());
    keeper.close_as_failed();
    std::fs::write(directory.join("store/conf"), b"\xff\xff\xff\xffgarbage").unwrap();
    LEFT.set(Some(RESERVE_BYTES - 1));
    for _ in 0..3 {
        keeper.recover();
        assert_ne!(keeper.health, StoreHealth::Well);
    }
    LEFT.set(None);
    keeper.recover();
    assert_eq!(remembered(&directory, keeper), memories);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_store_that_turns_out_damaged_when_it_is_written_anew_is_told_of_its_routers() {
    for is_rewritten in [true, false] {
        let (directory, mut keeper) = opened();
        let memories = BTreeMap::from([("core".to_owned(), memory("HEX1"))]);
        keeper.put_memory("core", &memories["core"]).unwrap();
        let garble = |store: &str| {
            std::fs::create_dir_all(directory.join(store)).unwrap();
            std::fs::write(directory.join(store).join("conf"), b"\xff\xff\xff\xffgarbage").unwrap();
        };
        garble("store");
        if !is_rewritten {
            garble("store.new");
        }
        keeper.rewrite();
        keeper.recover();
        assert_eq!(keeper.health, StoreHealth::Well);
        assert_eq!(remembered(&directory, keeper), memories, "rewritten: {is_rewritten}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
