//! Keys and values on flash, over whichever engine keeps them.
//!
//! It refuses to write when the disk is nearly full, because an engine does not survive the end of a disk well. What the
//! values mean is `flash.rs`'s and `lanes.rs`'s business; how they are kept is the engines', in `engine/`; what to do about
//! an error is `keeper.rs`'s: after any error this value is dropped and opened anew.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
pub(super) use super::engine::Place;
use super::engine::{Engine, Entries};
use super::framing::{frame, unframe};
use super::records::FORMAT;

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

    /// Each change in turn; no value is a removal.
    pub(super) fn each(&self) -> impl Iterator<Item = (Place, &[u8], Option<&[u8]>)> {
        self.0.iter().map(|(place, key, value)| (*place, key.as_slice(), value.as_deref()))
    }
}

/// The store, open.
pub(super) struct Store(Box<dyn Engine>);

impl Store {
    pub(super) fn on(engine: Box<dyn Engine>) -> Self {
        Self(engine)
    }

    /// The bytes under a key.
    pub(super) fn bytes(&self, place: Place, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.bytes(place, key)
    }

    /// A framed value; `None` when it is missing or damaged.
    pub(super) fn get<T: DeserializeOwned>(&self, place: Place, key: &[u8]) -> Result<Option<T>, StoreError> {
        Ok(self.bytes(place, key)?.and_then(|bytes| unframe(key, FORMAT, &bytes).ok()))
    }

    /// Every key and value whose key begins with `prefix`, in the order of keys.
    pub(super) fn scan(&self, place: Place, prefix: &[u8]) -> Result<Entries<'_>, StoreError> {
        self.0.scan(place, prefix)
    }

    /// Makes all changes or none. Not durable before [`Store::sync`].
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.0.is_empty() { Ok(()) } else { self.0.commit(changes) }
    }

    /// Makes all that was committed so far safe against a power cut.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }

    /// Refuses when less than `needed_bytes` are free.
    pub(super) fn require(&self, needed_bytes: u64) -> Result<(), StoreError> {
        let directory = self.0.directory();
        let free_bytes =
            self.0.free_bytes().map_err(|error| from_io(directory, "ask for free space", &error))?;
        if free_bytes >= needed_bytes {
            return Ok(());
        }
        Err(StoreError::NearlyFull { directory: directory.to_path_buf(), free_bytes, needed_bytes })
    }

    /// What the engine's files take, in bytes.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }

    /// Copies what lives and puts the copy in the place of this one. The caller opens it again; the old store is
    /// untouched, or the new one is complete.
    pub(super) fn rewrite(self) -> Result<(), StoreError> {
        self.0.rewrite()
    }

    /// Lets everything fail that touches a place.
    #[cfg(test)]
    pub(super) fn lose(&mut self, place: Place) {
        self.0.lose(place);
    }
}

/// How long a value is.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

pub(super) fn engine(operation: &'static str, detail: String) -> StoreError {
    StoreError::Engine { operation, detail }
}

/// What the system's error means for us: a full disk and a refusing system are not damage.
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
pub(super) fn is_lock_held(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}
