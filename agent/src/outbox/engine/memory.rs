//! Keys and values in memory, on a disk that can do what disks do: lose what was not synced, tear it, be full, refuse,
//! and go. For simulations and for the tests of an engine; no agent at a site uses it, and nothing of it is in its program.
//!
//! ```text
//! commit ──> seen by readers, waits ──sync──> safe
//!                             └──power cut──> a prefix of the commits that waited is there, the next one may be torn
//! ```
//!
//! [`Disk`] is the disk: it outlives engines and agents, and each of its handles is the same one. Whoever began on it before
//! a cut finds no disk any more, so that an agent that is to be dropped writes nothing. All chance comes from its seed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tawi_shared::{IdSource, UnixMillis};

use super::{Engine, Entries, Entry, Medium, Place};
use crate::api_log::files::Files;
use crate::boards::Boards;
use crate::outbox::records::{BEFORE, LAST_PERIOD, LAST_SEQ, PERIOD, SEALED};
use crate::outbox::store::{Changes, engine, from_io, length};
use crate::outbox::{StoreError, WAITING_BYTES};

/// Commits that wait for a sync at most. The system writes back by itself what waits longer: the oldest is safe then.
const WAITING_COMMITS: usize = 1_024;
/// What is there without a word about free space: more than any bound of the store.
const PLENTY_BYTES: u64 = 1 << 40;

type Trees = BTreeMap<(Place, Vec<u8>), Vec<u8>>;
type Change = (Place, Vec<u8>, Option<Vec<u8>>);

/// A disk in memory with one store on it. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<Contents>>);

/// What was done with a disk since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Commits with changes in them.
    pub commits: u64,
    /// Syncs, whether or not anything waited.
    pub syncs: u64,
    /// Keys and values that were written, in bytes; an engine of files adds its own to it.
    pub bytes_written: u64,
    /// Power cuts, planned ones too.
    pub cuts: u64,
    /// Of those, the ones that tore a record.
    pub torn: u64,
}

struct Contents {
    chance: IdSource,
    /// What a reader sees.
    seen: Trees,
    /// What a power cut leaves in any case.
    safe: Trees,
    /// What was committed since.
    waiting: VecDeque<Vec<Change>>,
    boards: Boards,
    /// Counts up with each cut: handles of an earlier life find nothing.
    life: u64,
    work: Work,
    /// What the store takes; garbage too, until it is written anew.
    file_bytes: u64,
    free_bytes: u64,
    /// The most that may wait in the lanes of the store.
    waiting_bytes: u64,
    is_refusing: bool,
    is_spoilt: bool,
    /// Commits, syncs and copies until a planned cut, and whether it tears.
    planned: Option<(u64, bool)>,
}

impl Disk {
    /// An empty one with plenty of room.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Contents {
            chance: IdSource::seeded(seed),
            seen: Trees::new(),
            safe: Trees::new(),
            waiting: VecDeque::new(),
            boards: Boards::new(),
            life: 0,
            work: Work::default(),
            file_bytes: 0,
            free_bytes: PLENTY_BYTES,
            waiting_bytes: WAITING_BYTES,
            is_refusing: false,
            is_spoilt: false,
            planned: None,
        })))
    }

    /// The power goes now: of what was not synced, some of the first commits are there, each of them whole.
    pub fn cut_power(&self) {
        self.contents().cut(false);
    }

    /// The same, and the commit that comes after those is there with damage in it.
    pub fn cut_power_and_tear(&self) {
        self.contents().cut(true);
    }

    /// The power goes in the middle of things: instead of the commit, sync or copy that follows after `actions` more of them.
    /// [`Work::cuts`] says when it has happened.
    pub fn cut_power_after(&self, actions: u64, is_tearing: bool) {
        self.contents().planned = Some((actions, is_tearing));
    }

    /// No cut is planned any more.
    pub fn cancel_planned_cut(&self) {
        self.contents().planned = None;
    }

    /// From now on so many bytes are left.
    pub fn fill(&self, free_bytes: u64) {
        self.contents().free_bytes = free_bytes;
    }

    /// There is plenty of room again.
    pub fn make_room(&self) {
        self.fill(PLENTY_BYTES);
    }

    /// Agents that begin on it from now on let no more than this wait there, in bytes of records, where a device has
    /// [`WAITING_BYTES`].
    pub fn let_wait(&self, bytes: u64) {
        self.contents().waiting_bytes = bytes;
    }

    /// What waits on it for head office, in bytes of records: without a position, and with one. It is counted on the disk,
    /// and not by the agent.
    #[must_use]
    pub fn waiting_bytes(&self) -> (u64, u64) {
        let contents = self.contents();
        let (mut pending, mut sealed) = (0_u64, 0_u64);
        for ((place, key), value) in &contents.seen {
            let is_lane = matches!(place, Place::Events | Place::Usage | Place::Log);
            match key.first().copied() {
                _ if !is_lane || key == LAST_SEQ => {}
                Some(PERIOD | LAST_PERIOD | BEFORE) => {}
                Some(SEALED) => sealed = sealed.saturating_add(length(value)),
                _ => pending = pending.saturating_add(length(value)),
            }
        }
        (pending, sealed)
    }

    /// Takes no writes, as a file system that the system made read-only; or takes them again.
    pub fn refuse(&self, is_refusing: bool) {
        self.contents().is_refusing = is_refusing;
    }

    /// Another disk is there in its place, with nothing on it. Whoever used the one before finds none.
    pub fn wipe(&self) {
        let mut contents = self.contents();
        contents.life += 1;
        contents.begin_anew();
        contents.boards.clear();
    }

    /// Flips so many bits of values, wherever they are. Answers how many there were to flip.
    pub fn flip_bits(&self, count: u64) -> u64 {
        let mut contents = self.contents();
        let Contents { chance, safe, waiting, seen, .. } = &mut *contents;
        if seen.is_empty() {
            return 0;
        }
        for _ in 0..count {
            let at = below(chance, seen.len());
            if let Some(value) = seen.values_mut().nth(at) {
                flip_one(chance, value);
            }
        }
        // It rests on the disk like this.
        waiting.clear();
        safe.clone_from(seen);
        count
    }

    /// The store does not open any more, as with damage that the engine itself finds.
    pub fn spoil(&self) {
        self.contents().is_spoilt = true;
    }

    /// What was done with it.
    #[must_use]
    pub fn work(&self) -> Work {
        self.contents().work
    }

    /// What an agent that starts now begins on.
    pub(in crate::outbox) fn medium(&self) -> Box<dyn Medium> {
        Box::new(self.handle())
    }

    fn handle(&self) -> Handle {
        Handle {
            life: self.contents().life,
            disk: self.clone(),
            directory: PathBuf::from("a disk in memory"),
        }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("work", &self.work()).finish_non_exhaustive()
    }
}

impl Contents {
    fn begin_anew(&mut self) {
        self.seen.clear();
        self.safe.clear();
        self.waiting.clear();
        self.file_bytes = 0;
        self.is_spoilt = false;
    }

    fn cut(&mut self, is_tearing: bool) {
        self.life += 1;
        self.work.cuts += 1;
        self.planned = None;
        self.lose_waiting(is_tearing);
    }

    /// A prefix of the commits that wait is kept, and the next one torn or lost like the rest.
    fn lose_waiting(&mut self, is_tearing: bool) {
        let kept = below(&self.chance, self.waiting.len() + 1);
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        for commit in waiting.by_ref().take(kept) {
            apply(&mut self.safe, commit);
        }
        if let Some(mut torn) = waiting.next().filter(|_| is_tearing) {
            let at = below(&self.chance, torn.len());
            if let Some((_, _, Some(value))) = torn.get_mut(at) {
                flip_one(&self.chance, value);
                apply(&mut self.safe, torn);
                self.work.torn += 1;
            }
        }
        self.seen.clone_from(&self.safe);
    }

    fn make_safe(&mut self) {
        for commit in std::mem::take(&mut self.waiting) {
            apply(&mut self.safe, commit);
        }
    }

    /// Counts an action; whether the power is still there for it.
    fn act(&mut self) -> bool {
        match &mut self.planned {
            Some((0, is_tearing)) => {
                let is_tearing = *is_tearing;
                self.cut(is_tearing);
                return false;
            }
            Some((actions, _)) => *actions -= 1,
            None => {}
        }
        true
    }
}

fn apply(trees: &mut Trees, commit: Vec<Change>) {
    for (place, key, value) in commit {
        match value {
            Some(value) => drop(trees.insert((place, key), value)),
            None => drop(trees.remove(&(place, key))),
        }
    }
}

fn below(chance: &IdSource, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
    usize::try_from(chance.number() % bound).unwrap_or(0)
}

fn flip_one(chance: &IdSource, bytes: &mut [u8]) {
    let at = below(chance, bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << (chance.number() % 8);
    }
}

/// A disk as one agent sees it: until the next cut.
#[derive(Clone)]
struct Handle {
    disk: Disk,
    life: u64,
    directory: PathBuf,
}

impl Handle {
    /// The contents, if this is still the same life of the disk.
    fn reached(&self, operation: &'static str) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.disk.contents();
        if contents.life == self.life {
            return Ok(contents);
        }
        let detail = "the power went, or the disk did".to_owned();
        Err(StoreError::Unwritable { operation, directory: self.directory.clone(), detail })
    }

    /// The same for whoever writes so many bytes.
    fn writable(&self, operation: &'static str, bytes: u64) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.reached(operation)?;
        let refused = |kind: io::ErrorKind| Err(from_io(&self.directory, operation, &kind.into()));
        if contents.is_refusing {
            return refused(io::ErrorKind::ReadOnlyFilesystem);
        }
        if contents.free_bytes < bytes {
            return refused(io::ErrorKind::StorageFull);
        }
        Ok(contents)
    }

    /// The same in the system's words.
    fn told<R>(result: Result<R, StoreError>) -> io::Result<R> {
        result.map_err(|error| match error {
            StoreError::Full { .. } => io::ErrorKind::StorageFull.into(),
            StoreError::Unwritable { detail, .. } => {
                io::Error::new(io::ErrorKind::ReadOnlyFilesystem, detail)
            }
            other => io::Error::other(other.to_string()),
        })
    }
}

impl Medium for Handle {
    fn prepare(&self) -> io::Result<()> {
        Self::told(self.reached("prepare the store")).map(drop)
    }

    fn open(&self) -> Result<Box<dyn Engine>, StoreError> {
        // An engine writes when it opens.
        if self.writable("open the store", 0)?.is_spoilt {
            return Err(engine("open the store", "it is spoilt".to_owned()));
        }
        let handle = self.clone();
        Ok(Box::new(Memory {
            handle,
            #[cfg(test)]
            lost: None,
        }))
    }

    fn has_past(&self) -> bool {
        !self.boards().is_empty()
    }

    fn put_aside(&self, now: UnixMillis) -> io::Result<PathBuf> {
        Self::told(self.writable("put the damaged store aside", 0))?.begin_anew();
        Ok(self.directory.join(format!("store.bad-{now}")))
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Self::told(self.reached("ask for free space")).map(|contents| contents.free_bytes)
    }

    fn waiting_bytes(&self) -> u64 {
        self.disk.contents().waiting_bytes
    }

    fn can_write(&self) -> io::Result<()> {
        Self::told(self.writable("try the disk", 1)).map(drop)
    }

    fn put_reserve(&self) {}

    fn give_up_reserve(&self) -> bool {
        false
    }

    fn boards(&self) -> Boards {
        self.reached("read the boards").map(|contents| contents.boards.clone()).unwrap_or_default()
    }

    fn keep_boards(&self, boards: &Boards) -> bool {
        let kept = self.writable("keep the boards", 1);
        kept.map(|mut contents| contents.boards.clone_from(boards)).is_ok()
    }

    fn log(&self) -> Option<Files> {
        None
    }
}

/// The engine, open.
struct Memory {
    handle: Handle,
    #[cfg(test)]
    lost: Option<Place>,
}

impl Memory {
    fn has(&self, place: Place) -> Result<(), StoreError> {
        #[cfg(test)]
        if self.lost == Some(place) {
            return Err(engine("find a tree", format!("{place:?} is not open")));
        }
        let _ = place;
        Ok(())
    }
}

impl Engine for Memory {
    fn bytes(&self, place: Place, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.has(place)?;
        let contents = self.handle.reached("read a record")?;
        Ok(contents.seen.get(&(place, key.to_vec())).cloned())
    }

    fn scan(&self, place: Place, prefix: &[u8]) -> Result<Entries<'_>, StoreError> {
        self.has(place)?;
        let contents = self.handle.reached("read the store")?;
        let from = contents.seen.range((place, prefix.to_vec())..);
        let of_prefix = from.take_while(|((of, key), _)| *of == place && key.starts_with(prefix));
        let found: Vec<Entry> = of_prefix.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        Ok(Box::new(found.into_iter().map(Ok)))
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        let owned = |(place, key, value): (Place, &[u8], Option<&[u8]>)| {
            (place, key.to_vec(), value.map(<[u8]>::to_vec))
        };
        let commit: Vec<Change> = changes.each().map(owned).collect();
        commit.iter().try_for_each(|(place, ..)| self.has(*place))?;
        let size = |(_, key, value): &Change| length(key) + value.as_deref().map_or(0, length);
        let bytes = commit.iter().map(size).sum();
        if !self.handle.reached("commit")?.act() {
            return self.handle.reached("commit").map(drop);
        }
        let mut contents = self.handle.writable("commit", bytes)?;
        contents.work.commits += 1;
        contents.work.bytes_written += bytes;
        contents.free_bytes -= bytes;
        contents.file_bytes += bytes;
        apply(&mut contents.seen, commit.clone());
        contents.waiting.push_back(commit);
        if contents.waiting.len() > WAITING_COMMITS
            && let Some(oldest) = contents.waiting.pop_front()
        {
            apply(&mut contents.safe, oldest);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        if !self.handle.reached("sync the store")?.act() {
            return self.handle.reached("sync the store").map(drop);
        }
        let mut contents = self.handle.writable("sync the store", 0)?;
        contents.work.syncs += 1;
        contents.make_safe();
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.handle.reached("ask for the size").map_or(0, |contents| contents.file_bytes)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.handle.free_bytes()
    }

    fn directory(&self) -> &Path {
        &self.handle.directory
    }

    fn rewrite(self: Box<Self>) -> Result<(), StoreError> {
        if !self.handle.reached("write the copy")?.act() {
            return self.handle.reached("write the copy").map(drop);
        }
        let live = |contents: &Contents| {
            contents.seen.iter().map(|((_, key), value)| length(key) + length(value)).sum()
        };
        let bytes = live(&*self.handle.reached("write the copy")?);
        let mut contents = self.handle.writable("write the copy", bytes)?;
        contents.work.bytes_written += bytes;
        contents.work.syncs += 1;
        contents.make_safe();
        contents.free_bytes = contents.free_bytes.saturating_add(contents.file_bytes).saturating_sub(bytes);
        contents.file_bytes = bytes;
        Ok(())
    }

    #[cfg(test)]
    fn lose(&mut self, place: Place) {
        self.lost = Some(place);
    }
}

impl Drop for Memory {
    /// What an engine had not written yet goes with it when the disk takes nothing.
    fn drop(&mut self) {
        if let Ok(mut contents) = self.handle.reached("close the store")
            && (contents.is_refusing || contents.free_bytes == 0)
        {
            contents.lose_waiting(false);
        }
    }
}
