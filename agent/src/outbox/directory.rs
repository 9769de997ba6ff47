//! The state directory as files: the lock, the swap of a rewritten store, the damaged one put aside, the free space.
//!
//! ```text
//! lock            one agent at a time
//! site            whose store it is (`owner.rs`)
//! store/          the engine's directory
//! store.new/      being written by a rewrite; complete as soon as store.old exists
//! store.old/      the one before a rewrite, about to be removed
//! reserve         given up when the disk is full at start, so that the engine can open
//! boards.json     which board is at each router, for whoever looks while the store is in use or nobody runs
//! store.bad-<ms>/ a damaged one, for whoever wants to look; only the newest is kept
//! ```
//!
//! It knows nothing of the engine but one flaw: sled 0.34 reads a half-written `snap.*.generating` at start and then
//! refuses to open (its issues 1166, 1527 and 1533), so that those are removed first.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tawi_shared::UnixMillis;

use super::engine::sled::Sled;
use super::engine::{Engine, Medium};
use super::owner::owner_of;
use super::{RESERVE_BYTES, StoreError};
use crate::api_log::files::Files;
use crate::boards::{self, Boards};

/// What the engine needs at most to open: it ends its last segment and begins another, and writes a snapshot.
const RESERVE_FILE_BYTES: usize = 2 * 1024 * 1024;

/// What a damaged store is renamed to, with the time behind it.
const BAD_PREFIX: &str = "store.bad-";

/// The state directory belongs to this process until this is dropped.
#[derive(Debug)]
pub struct StateLock {
    /// Held, not read: the lock ends with it.
    _file: File,
}

impl StateLock {
    /// Makes the directory if need be, for the agent's user alone, and locks it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Unwritable`] when it cannot be made.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let unwritable = |operation, error: io::Error| StoreError::Unwritable {
            operation,
            directory: directory.to_path_buf(),
            detail: error.to_string(),
        };
        make(directory).map_err(|error| unwritable("make the state directory", error))?;
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(directory.join("lock"))
            .map_err(|error| unwritable("open the lock file", error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_path_buf())),
            Err(TryLockError::Error(error)) => Err(unwritable("lock the state directory", error)),
        }
    }
}

/// A state directory as what a store lies on.
pub(super) struct Directory(pub(super) PathBuf);

impl Medium for Directory {
    fn prepare(&self) -> io::Result<()> {
        // Somebody may have removed it while the agent ran.
        make(&self.0)?;
        prepare(&self.0)
    }

    fn open(&self) -> Result<Box<dyn Engine>, StoreError> {
        Ok(Box::new(Sled::open(&self.0)?))
    }

    fn has_past(&self) -> bool {
        !matches!(owner_of(&self.0), Ok(None))
    }

    fn put_aside(&self, now: UnixMillis) -> io::Result<PathBuf> {
        put_aside(&self.0, now)
    }

    fn directory(&self) -> &Path {
        &self.0
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.0)
    }

    fn can_write(&self) -> io::Result<()> {
        can_write(&self.0)
    }

    fn put_reserve(&self) {
        put_reserve(&self.0);
    }

    fn give_up_reserve(&self) -> bool {
        give_up_reserve(&self.0)
    }

    fn boards(&self) -> Boards {
        boards::load(&self.0)
    }

    fn keep_boards(&self, boards: &Boards) -> bool {
        boards::keep(&self.0, boards).is_ok()
    }

    fn log(&self) -> Option<Files> {
        Some(Files::within(&self.0))
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

pub(super) fn store_of(directory: &Path) -> PathBuf {
    directory.join("store")
}

pub(super) fn new_of(directory: &Path) -> PathBuf {
    directory.join("store.new")
}

fn old_of(directory: &Path) -> PathBuf {
    directory.join("store.old")
}

/// Puts things in order before the store is opened: ends a swap that a power cut interrupted, and removes half-written
/// snapshots.
pub(super) fn prepare(directory: &Path) -> io::Result<()> {
    let (store, new, old) = (store_of(directory), new_of(directory), old_of(directory));
    if !store.exists() {
        // The first rename of a swap was done, so the new one is complete.
        if old.exists() && new.exists() {
            fs::rename(&new, &store)?;
        } else if old.exists() {
            fs::rename(&old, &store)?;
        }
        sync_directory(directory)?;
    }
    remove_tree(&new)?;
    remove_tree(&old)?;
    remove_generating(&store)
}

/// Puts a complete and synced `store.new` in the place of `store`.
pub(super) fn swap(directory: &Path) -> io::Result<()> {
    sync_directory(directory)?;
    fs::rename(store_of(directory), old_of(directory))?;
    sync_directory(directory)?;
    fs::rename(new_of(directory), store_of(directory))?;
    sync_directory(directory)?;
    remove_tree(&old_of(directory))
}

/// Moves a damaged store out of the way; the damaged one before it goes.
fn put_aside(directory: &Path, now: UnixMillis) -> io::Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(BAD_PREFIX) {
            remove_tree(&entry.path())?;
        }
    }
    let bad = directory.join(format!("{BAD_PREFIX}{now}"));
    fs::rename(store_of(directory), &bad)?;
    sync_directory(directory)?;
    Ok(bad)
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Free space for an ordinary user on the disk of `path`, in bytes.
///
/// # Errors
/// When the system does not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    #[cfg(test)]
    if let Some(left) = LEFT.get() {
        return Ok(left);
    }
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
thread_local! {
    /// What the disk is to have left, as this thread sees it.
    pub(super) static LEFT: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Whether a few blocks can really be written now: quotas and limits do not show in the free space.
///
/// # Errors
/// Why not.
pub fn can_write(directory: &Path) -> io::Result<()> {
    const PROBE: [u8; 16 * 1024] = [0x5a; 16 * 1024];
    let path = directory.join("probe");
    let written = fs::write(&path, PROBE).and_then(|()| File::open(&path)?.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Puts something aside for the day when the disk is full, if there is plenty now. Without it the store works too.
fn put_reserve(directory: &Path) {
    let path = directory.join("reserve");
    let plenty = RESERVE_BYTES.saturating_mul(2);
    if path.exists() || !free_bytes(directory).is_ok_and(|free| free > plenty) {
        return;
    }
    // A part of it is no use, and would never be made whole.
    if fill(&path).is_err() {
        give_up_reserve(directory);
    }
}

/// Writes real bytes, not a hole in a file, and in pieces: one buffer for all of it would teach the allocator to keep
/// as much memory back for as long as the agent runs.
fn fill(path: &Path) -> io::Result<()> {
    const PIECE: [u8; 16 * 1024] = [0x5a; 16 * 1024];
    let mut file = File::create(path)?;
    for _ in 0..RESERVE_FILE_BYTES / PIECE.len() {
        file.write_all(&PIECE)?;
    }
    Ok(())
}

/// Gives the reserve up; whether there was one.
fn give_up_reserve(directory: &Path) -> bool {
    fs::remove_file(directory.join("reserve")).is_ok()
}

pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_generating(store: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
