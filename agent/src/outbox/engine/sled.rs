//! Keys and values in files. The only file that knows sled 0.34.
//!
//! Its commits are durable: sled's own `flush` does not reach the disk on Linux (it calls `sync_file_range`), so that
//! a sync here follows it with an `fdatasync` of the engine's file. The engine does not survive the end of a disk well,
//! and panics for some damage: `store.rs` keeps space back, and `keeper.rs` catches.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional as _};
use sled::{Batch, Db, Tree};

use super::{Engine, Entries, Place};
use crate::outbox::StoreError;
use crate::outbox::directory::{free_bytes, new_of, store_of, swap, sync_directory};
use crate::outbox::store::{Changes, engine, from_io, is_lock_held};

/// The engine's page cache, in bytes. A site's whole state is about one tenth of it.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What the engine's file is made of, in bytes. Two of these are in memory while records are written: with the engine's
/// own choice, 512 KiB, they would be a tenth of the agent. A page must fit in four times over; the largest has 60 KB.
const SEGMENT_BYTES: usize = 256 * 1024;
/// How often the engine writes on its own what no commit forced out, and syncs its file, in milliseconds. What is killed loses that
/// much of what need not be durable; a flash card has fewer and larger writes.
const FLUSH_EVERY_MS: u64 = 2_000;

/// The engine's threads let go of its file a moment after its last handle is dropped. Whoever opens it again in the
/// same process waits for them, two seconds at most.
const LOCK_TRIES: u32 = 100;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The engine, open.
pub(in crate::outbox) struct Sled {
    db: Db,
    trees: Vec<(Place, Tree)>,
    /// The engine's file, to sync it.
    file: File,
    directory: PathBuf,
}

impl Sled {
    /// Opens the engine under a state directory. The caller has prepared it, and catches the panics that the engine has
    /// for damaged files.
    pub(in crate::outbox) fn open(directory: &Path) -> Result<Self, StoreError> {
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
        settle(path).map_err(|error| from_io(directory, "settle the store's files", &error))?;
        let trees = Place::ALL
            .into_iter()
            .map(|(place, name)| Ok((place, db.open_tree(name)?)))
            .collect::<Result<_, sled::Error>>()
            .map_err(|error| failed("open a tree", error))?;
        Ok(Self { db, trees, file, directory: directory.to_path_buf() })
    }

    fn tree(&self, place: Place) -> Result<&Tree, StoreError> {
        let found = self.trees.iter().find(|(of, _)| *of == place).map(|(_, tree)| tree);
        found.ok_or_else(|| engine("find a tree", format!("{place:?} is not open")))
    }

    fn failed(&self, operation: &'static str, error: sled::Error) -> StoreError {
        classify(&self.directory, operation, error)
    }
}

impl Engine for Sled {
    fn bytes(&self, place: Place, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.tree(place)?.get(key).map_err(|error| self.failed("read a record", error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, place: Place, prefix: &[u8]) -> Result<Entries<'_>, StoreError> {
        let entries = self.tree(place)?.scan_prefix(prefix);
        Ok(Box::new(entries.map(|entry| match entry {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(error) => Err(self.failed("read the store", error)),
        })))
    }

    fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        #[cfg(test)]
        changes.each().try_for_each(|(place, ..)| self.tree(place).map(drop))?;
        let touched: Vec<(&Tree, Batch)> =
            self.trees.iter().filter_map(|(place, tree)| Some((tree, batch_of(changes, *place)?))).collect();
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

    fn sync(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(|error| self.failed("flush the store", error))?;
        let failed = |error| from_io(&self.directory, "sync the store", &error);
        self.file.sync_data().map_err(failed)?;
        // Safe in a file that nobody finds any more is not safe.
        if self.file.metadata().map_err(failed)?.nlink() == 0 {
            return Err(engine("sync the store", "its file was removed".to_owned()));
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        free_bytes(&self.directory)
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn rewrite(self: Box<Self>) -> Result<(), StoreError> {
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

    #[cfg(test)]
    fn lose(&mut self, place: Place) {
        self.trees.retain(|(of, _)| *of != place);
    }
}

/// The engine writes its own settings once and never syncs them, nor any directory: after a power cut everything that was
/// synced since could lie in a file that nobody finds, or beside settings that are empty, which it takes for damage. At each
/// opening, because the one that wrote them may have been killed before it came to this.
fn settle(path: &Path) -> io::Result<()> {
    File::open(path.join("conf"))?.sync_all()?;
    sync_directory(path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn batch_of(changes: &Changes, place: Place) -> Option<Batch> {
    let mut batch = None;
    for (_, key, value) in changes.each().filter(|(of, ..)| *of == place) {
        let batch = batch.get_or_insert_with(Batch::default);
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

/// What the engine's error means for us: a full disk and a refusing system are not damage.
fn classify(directory: &Path, operation: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => from_io(directory, operation, &error),
        other => engine(operation, other.to_string()),
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if is_lock_held(error))
}
