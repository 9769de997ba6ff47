//! What every engine has to do, asked of each: of sled in real files, and of the one in memory that simulations play on. A
//! simulation proves something of a site only as far as both answer alike.
//!
//! | Sentence | Where |
//! |---|---|
//! | order, prefixes, the last change wins | here, both engines |
//! | a commit is whole or not there, over several places; what was synced is there; commits are lost from the end | here, both engines |
//! | the copy keeps all and is safe at once | here, both; interrupted at each rename: `outbox/tests.rs` |
//! | a full disk is an error, loses nothing, heals | here, both; a small disk and a file limit: `agent/tests/store/main.rs` |
//! | a disk that refuses is not damage, and the agent goes on | `outbox/tests/disks.rs` in memory; a read-only file system: `agent/tests/store/main.rs` |
//! | nothing acknowledged is lost, wherever the power goes | `outbox/tests/disks.rs`: each action of a life in memory; `agent/tests/store/cuts.rs`: recorded writes of sled |
//! | the process is killed at random | `agent/tests/store/main.rs` |
//! | files cut off, bits flipped, noise, a torn `.generating` | `outbox/tests/damage.rs` |
//! | everything is gone, and head office feeds it again | `tests/tests/lost_state.rs` |

use std::sync::atomic::{AtomicU32, Ordering};

use super::memory::Disk;
use super::*;
use crate::outbox::directory::{Directory, LEFT};
use crate::outbox::store::Store;

/// What an engine stands on, gone at the end.
enum Ground {
    Files(PathBuf),
    Memory(Disk),
}

impl Ground {
    fn each() -> [Self; 2] {
        [Self::files(), Self::Memory(Disk::new(1))]
    }

    fn files() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tawi-engine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self::Files(path)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Memory(_) => "memory",
        }
    }

    fn medium(&self) -> Box<dyn Medium> {
        match self {
            Self::Files(path) => Box::new(Directory(path.clone())),
            Self::Memory(disk) => disk.medium(),
        }
    }

    fn open(&self) -> Store {
        let medium = self.medium();
        medium.prepare().unwrap();
        Store::on(medium.open().unwrap())
    }

    /// What is left when the power goes while this store is open; of files, what a process leaves that is killed: what a
    /// disk may lose of it is `agent/tests/store/cuts.rs`'s business.
    fn cut(&self, store: Store) -> Self {
        let left = match self {
            Self::Memory(disk) => {
                disk.cut_power();
                Self::Memory(disk.clone())
            }
            Self::Files(path) => {
                let left = Self::files();
                let Self::Files(copy) = &left else { panic!("it is made of files") };
                std::fs::create_dir_all(copy.join("store")).unwrap();
                for name in ["conf", "db"] {
                    std::fs::copy(path.join("store").join(name), copy.join("store").join(name)).unwrap();
                }
                left
            }
        };
        drop(store);
        left
    }

    fn leave(&self, free_bytes: Option<u64>) {
        match (self, free_bytes) {
            (Self::Files(_), _) => LEFT.set(free_bytes),
            (Self::Memory(disk), Some(free_bytes)) => disk.fill(free_bytes),
            (Self::Memory(disk), None) => disk.make_room(),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Self::Files(path) = self {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn put(changes: &mut Changes, place: Place, key: &str, value: &str) {
    changes.put_bytes(place, key.as_bytes(), value.as_bytes().to_vec());
}

fn scanned(store: &Store, place: Place, prefix: &str) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let entries = store.scan(place, prefix.as_bytes()).unwrap().map(Result::unwrap);
    entries.map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_put_is_read_and_scanned_in_order_of_its_keys_within_its_place() {
    for ground in Ground::each() {
        let (store, name) = (ground.open(), ground.name());
        let mut changes = Changes::default();
        for key in ["b/2", "a", "b/10", "b", "c", "gone"] {
            put(&mut changes, Place::Meta, key, key);
        }
        put(&mut changes, Place::Lines, "b/2", "of another place");
        put(&mut changes, Place::Meta, "c", "");
        changes.remove(Place::Meta, b"gone");
        store.commit(&changes).unwrap();
        assert_eq!(
            scanned(&store, Place::Meta, ""),
            pairs(&[("a", "a"), ("b", "b"), ("b/10", "b/10"), ("b/2", "b/2"), ("c", "")]),
            "{name}"
        );
        assert_eq!(scanned(&store, Place::Meta, "b/"), pairs(&[("b/10", "b/10"), ("b/2", "b/2")]), "{name}");
        assert_eq!(scanned(&store, Place::Lines, ""), pairs(&[("b/2", "of another place")]), "{name}");
        assert_eq!(scanned(&store, Place::Events, ""), [], "{name}");
        assert_eq!(store.bytes(Place::Meta, b"gone"), Ok(None), "{name}");
        assert_eq!(store.bytes(Place::Meta, b"a"), Ok(Some(b"a".to_vec())), "{name}");
        // The highest byte has no next one.
        let mut changes = Changes::default();
        changes.put_bytes(Place::Log, &[255, 255], vec![1]);
        changes.put_bytes(Place::Log, &[255], vec![2]);
        store.commit(&changes).unwrap();
        assert_eq!(store.scan(Place::Log, &[255, 255]).unwrap().count(), 1, "{name}");
        assert_eq!(store.scan(Place::Log, &[255]).unwrap().count(), 2, "{name}");
        store.commit(&Changes::default()).unwrap();
        drop(store);
        assert_eq!(
            scanned(&ground.open(), Place::Meta, "").len(),
            5,
            "{name}: it is there when opened again"
        );
    }
}

#[test]
fn a_commit_that_fails_changes_nothing_in_any_place() {
    for ground in Ground::each() {
        let mut store = ground.open();
        let mut changes = Changes::default();
        put(&mut changes, Place::Events, "a", "1");
        store.commit(&changes).unwrap();
        store.lose(Place::Usage);
        put(&mut changes, Place::Events, "a", "2");
        put(&mut changes, Place::Usage, "a", "2");
        put(&mut changes, Place::Log, "a", "2");
        assert!(store.commit(&changes).is_err());
        assert!(store.scan(Place::Usage, b"").is_err());
        drop(store);
        let store = ground.open();
        assert_eq!(scanned(&store, Place::Events, ""), pairs(&[("a", "1")]), "{}", ground.name());
        assert_eq!(scanned(&store, Place::Log, ""), [], "{}", ground.name());
    }
}

/// Commits each with its number in three places, some synced; whatever the cut leaves is the first so many of them, whole.
fn cut_somewhere(ground: &Ground, chance: &tawi_shared::IdSource) -> usize {
    let store = ground.open();
    let (mut synced, commits) = (0, 5 + chance.number() % 20);
    for number in 1..=commits {
        let mut changes = Changes::default();
        for place in [Place::Events, Place::Usage, Place::Meta] {
            put(&mut changes, place, &format!("{number:03}"), "whole");
            changes.remove(place, format!("{:03}", number.saturating_sub(3)).as_bytes());
        }
        store.commit(&changes).unwrap();
        if chance.number().is_multiple_of(5) {
            store.sync().unwrap();
            synced = number;
        }
    }
    let left = ground.cut(store);
    let store = left.open();
    let found: Vec<_> =
        [Place::Events, Place::Usage, Place::Meta].map(|place| scanned(&store, place, "")).into();
    assert!(found.windows(2).all(|two| two[0] == two[1]), "{}: half a commit: {found:?}", ground.name());
    let keys: Vec<u64> = found[0].iter().map(|(key, _)| key.parse().unwrap()).collect();
    let newest = keys.last().copied().unwrap_or(0);
    assert!(newest >= synced, "{}: {newest} of {commits}, and {synced} was synced", ground.name());
    let expected: Vec<u64> = (newest.saturating_sub(2).max(1)..=newest).collect();
    assert_eq!(keys, expected, "{}: lost from the end, each whole", ground.name());
    usize::try_from(commits - newest).unwrap()
}

#[test]
fn what_was_synced_is_there_after_a_cut_and_the_rest_is_lost_from_the_end_in_whole_commits() {
    let mut lost = 0;
    for seed in 0..12 {
        let chance = tawi_shared::IdSource::seeded(seed);
        cut_somewhere(&Ground::files(), &chance);
        lost += cut_somewhere(&Ground::Memory(Disk::new(seed)), &chance);
    }
    assert!(lost > 0, "a disk in memory that loses nothing proves nothing");
}

#[test]
fn a_copy_keeps_everything_gives_garbage_back_and_is_safe_at_once() {
    for ground in Ground::each() {
        let store = ground.open();
        for round in 0..200 {
            let mut changes = Changes::default();
            for key in 0..20 {
                put(
                    &mut changes,
                    Place::Usage,
                    &format!("{key:02}"),
                    &format!("{round} {}", "x".repeat(200)),
                );
            }
            store.commit(&changes).unwrap();
        }
        store.sync().unwrap();
        let (before, bytes) = (scanned(&store, Place::Usage, ""), store.disk_bytes());
        store.rewrite().unwrap();
        let store = ground.open();
        assert!(store.disk_bytes() <= bytes, "{}: {} of {bytes}", ground.name(), store.disk_bytes());
        let left = ground.cut(store);
        assert_eq!(scanned(&left.open(), Place::Usage, ""), before, "{}", ground.name());
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_said_before_anything_is_written_and_nothing_is_lost() {
    for ground in Ground::each() {
        let store = ground.open();
        let mut changes = Changes::default();
        put(&mut changes, Place::Meta, "a", "1");
        store.commit(&changes).unwrap();
        store.sync().unwrap();
        ground.leave(Some(99));
        let full = store.require(100).unwrap_err();
        assert!(matches!(full, StoreError::NearlyFull { free_bytes: 99, needed_bytes: 100, .. }), "{full}");
        ground.leave(Some(100));
        store.require(100).unwrap();
        ground.leave(None);
        drop(store);
        assert_eq!(scanned(&ground.open(), Place::Meta, ""), pairs(&[("a", "1")]), "{}", ground.name());
    }
}
