//! Keys and values on flash. The only file that knows the engine, sled 0.34.
//!
//! Its commits are durable: sled's own `flush` does not reach the disk on Linux (it calls `sync_file_range`), so that
//! [`Store::sync`] follows it with an `fdatasync` of the engine's file. It refuses to write when the disk is nearly
//! full, because the engine does not survive the end of a disk well. What the values mean is `flash.rs`'s and
//! `lanes.rs`'s business; what to do about an error is `keeper.rs`'s: after any error this value is dropped and opened
//! anew.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional as _};
use sled::{Batch, Db, Tree};

use super::StoreError;
use super::directory::{free_bytes, new_of, store_of, swap, sync_directory};
use super::framing::{frame, unframe};
use super::records::FORMAT;

/// The engine's page cache, in bytes. A site's whole state is about one tenth of it.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What the engine's file is made of, in bytes. Two of these are in memory while records are written: with the engine's
/// own choice, 512 KiB, they would be a tenth of the agent. A page must fit in four times over; the largest has 60 KB.
const SEGMENT_BYTES: usize = 256 * 1024;
/// How often the engine writes on its own what no commit forced out, in milliseconds.
const FLUSH_EVERY_MS: u64 = 500;

/// The engine's threads let go of its file a moment after its last handle is dropped. Whoever opens it again in the
/// same process waits for them, two seconds at most.
const LOCK_TRIES: u32 = 100;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Lines,
    Profiles,
    Meta,
    Events,
    Usage,
    Log,
    Commands,
}

impl Place {
    /// Few trees: each costs the engine pages of its own.
    const ALL: [(Self, &str); 7] = [
        (Self::Lines, "lines"),
        (Self::Profiles, "profiles"),
        (Self::Meta, "meta"),
        (Self::Events, "outbox_event"),
        (Self::Usage, "outbox_usage"),
        (Self::Log, "outbox_log"),
        (Self::Commands, "commands"),
    ];
}

/// Changes that are made together or not at all. Later ones of the same key win.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(Place, Vec<u8>, Option<Vec<u8>>)>);

impl Changes {
    /// Puts a framed value; its length on flash.
    pub(super) fn put<T: Serialize>(
        &mut self,
        place: Place,
        key: &[u8],
        value: &T,
    ) -> Result<u64, StoreError> {
        self.put_as(place, key, FORMAT, value)
    }

    /// The same in a format of its own.
    pub(super) fn put_as<T: Serialize>(
        &mut self,
        place: Place,
        key: &[u8],
        format: u8,
        value: &T,
    ) -> Result<u64, StoreError> {
        let bytes = frame(key, format, value)
            .map_err(|_| engine("frame a record", "it cannot be written as bytes".to_owned()))?;
        let length = length(&bytes);
        self.put_bytes(place, key, bytes);
        Ok(length)
    }

    /// Puts bytes that carry their own checksum.
    pub(super) fn put_bytes(&mut self, place: Place, key: &[u8], bytes: Vec<u8>) {
        self.0.push((place, key.to_vec(), Some(bytes)));
    }

    pub(super) fn remove(&mut self, place: Place, key: &[u8]) {
        self.0.push((place, key.to_vec(), None));
    }

    fn batch_of(&self, place: Place) -> Option<Batch> {
        let mut batch = None;
        for (_, key, value) in self.0.iter().filter(|(of, ..)| *of == place) {
            let batch = batch.get_or_insert_with(Batch::default);
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        batch
    }
}

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// The engine, open.
pub(super) struct Store {
    db: Db,
    trees: Vec<(Place, Tree)>,
    /// The engine's file, to sync it.
    file: File,
    directory: PathBuf,
}

impl Store {
    /// Opens the engine under `directory`. The caller has prepared the directory, and catches the panics that the
    /// engine has for damaged files.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_at(directory, &store_of(directory))
    }

    fn open_at(directory: &Path, path: &Path) -> Result<Self, StoreError> {
        let failed = |operation, error| classify(directory, operation, error);
        let config = sled::Config::new()
            .path(path)
            .mode(sled::Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let mut opened = config.open();
        for _ in 0..LOCK_TRIES {
            if !opened.as_ref().is_err_and(is_locked) {
                break;
            }
            std::thread::park_timeout(LOCK_PAUSE);
            opened = config.open();
        }
        let db = opened.map_err(|error| failed("open the store", error))?;
        let file = File::open(path.join("db"))
            .map_err(|error| from_io(directory, "open the store's file", &error))?;
        let trees = Place::ALL
            .into_iter()
            .map(|(place, name)| Ok((place, db.open_tree(name)?)))
            .collect::<Result<_, sled::Error>>()
            .map_err(|error| failed("open a tree", error))?;
        Ok(Self { db, trees, file, directory: directory.to_path_buf() })
    }

    /// The bytes under a key.
    pub(super) fn bytes(&self, place: Place, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.tree(place)?.get(key).map_err(|error| self.failed("read a record", error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// A framed value; `None` when it is missing or damaged.
    pub(super) fn get<T: DeserializeOwned>(&self, place: Place, key: &[u8]) -> Result<Option<T>, StoreError> {
        Ok(self.bytes(place, key)?.and_then(|bytes| unframe(key, FORMAT, &bytes).ok()))
    }

    /// Every key and value whose key begins with `prefix`, in the order of keys.
    pub(super) fn scan(
        &self,
        place: Place,
        prefix: &[u8],
    ) -> Result<impl Iterator<Item = Result<Entry, StoreError>>, StoreError> {
        let entries = self.tree(place)?.scan_prefix(prefix);
        Ok(entries.map(|entry| match entry {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(self.failed("read the store", error)),
        }))
    }

    /// Makes all changes or none. Not durable before [`Store::sync`].
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        #[cfg(test)]
        changes.0.iter().try_for_each(|(place, ..)| self.tree(*place).map(drop))?;
        let touched: Vec<(&Tree, Batch)> =
            self.trees.iter().filter_map(|(place, tree)| Some((tree, changes.batch_of(*place)?))).collect();
        let trees: Vec<&Tree> = touched.iter().map(|(tree, _)| *tree).collect();
        match touched.as_slice() {
            [] => Ok(()),
            [(tree, batch)] => tree.apply_batch(batch.clone()).map_err(|error| self.failed("commit", error)),
            several => trees
                .as_slice()
                .transaction(|trees| {
                    trees.iter().zip(several).try_for_each(|(tree, (_, batch))| tree.apply_batch(batch))?;
                    Ok::<_, ConflictableTransactionError<()>>(())
                })
                .map_err(|error| match error {
                    TransactionError::Storage(error) => self.failed("commit", error),
                    TransactionError::Abort(()) => engine("commit", "it was aborted".to_owned()),
                }),
        }
    }

    /// Makes all that was committed so far safe against a power cut.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| self.failed("flush the store", error))?;
        self.file.sync_data().map_err(|error| from_io(&self.directory, "sync the store", &error))
    }

    /// Refuses when less than `needed_bytes` are free.
    pub(super) fn require(&self, needed_bytes: u64) -> Result<(), StoreError> {
        let free_bytes = free_bytes(&self.directory)
            .map_err(|error| from_io(&self.directory, "ask for free space", &error))?;
        if free_bytes >= needed_bytes {
            return Ok(());
        }
        Err(StoreError::NearlyFull { directory: self.directory.clone(), free_bytes, needed_bytes })
    }

    /// What the engine's files take, in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }

    /// Copies what lives into a new directory and puts that in the place of this one. The caller opens it again; the
    /// old store is untouched, or the new one is complete.
    pub(super) fn rewrite(self) -> Result<(), StoreError> {
        let directory = self.directory.clone();
        let path = new_of(&directory);
        {
            let copy = Self::open_at(&directory, &path)?;
            for ((_, from), (_, to)) in self.trees.iter().zip(&copy.trees) {
                for entry in from {
                    let (key, value) = entry.map_err(|error| self.failed("read for the copy", error))?;
                    to.insert(key, value).map_err(|error| self.failed("write the copy", error))?;
                }
            }
            copy.sync()?;
            sync_directory(&path).map_err(|error| from_io(&directory, "sync the copy", &error))?;
        }
        // Both engines are closed before the names change.
        drop(self);
        swap(&directory).map_err(|error| from_io(&directory, "swap the copy in", &error))
    }

    /// Lets everything fail that touches a place.
    #[cfg(test)]
    pub(super) fn lose(&mut self, place: Place) {
        self.trees.retain(|(of, _)| *of != place);
    }

    fn tree(&self, place: Place) -> Result<&Tree, StoreError> {
        let found = self.trees.iter().find(|(of, _)| *of == place).map(|(_, tree)| tree);
        found.ok_or_else(|| engine("find a tree", format!("{place:?} is not open")))
    }

    fn failed(&self, operation: &'static str, error: sled::Error) -> StoreError {
        classify(&self.directory, operation, error)
    }
}

/// How long a value is.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

pub(super) fn engine(operation: &'static str, detail: String) -> StoreError {
    StoreError::Engine { operation, detail }
}

/// What the engine's error means for us: a full disk and a refusing system are not damage.
fn classify(directory: &Path, operation: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => from_io(directory, operation, &error),
        other => engine(operation, other.to_string()),
    }
}

pub(super) fn from_io(directory: &Path, operation: &'static str, error: &io::Error) -> StoreError {
    use io::ErrorKind as Kind;
    let detail = error.to_string();
    let directory = directory.to_path_buf();
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            StoreError::Full { directory, detail }
        }
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::ResourceBusy => {
            StoreError::Unwritable { operation, directory, detail }
        }
        _ if is_lock_held(error) => StoreError::Unwritable { operation, directory, detail },
        _ => engine(operation, detail),
    }
}

/// Whether the engine could not have its file for itself; it says so in words only.
fn is_lock_held(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if is_lock_held(error))
}
