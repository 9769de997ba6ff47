//! The seam between our store and whatever keeps its keys and values, and between that and what it lies on.
//!
//! ```text
//! Keeper ──> Flash ──> Store ──> dyn Engine      sled.rs     trees in files, what runs at sites
//!    └───────────────────────> dyn Medium        memory.rs   trees and a disk in memory, for simulations
//! ```
//!
//! An engine makes the changes of one commit together or not at all, in the order of commits, and promises to have them
//! after a power cut once a sync that followed has returned. `conformance.rs` holds both engines to it. What a value means
//! is nobody's business here.

#[cfg(test)]
mod conformance;
pub(super) mod memory;
pub(super) mod sled;

use std::io;
use std::path::{Path, PathBuf};

use tawi_shared::UnixMillis;

use super::store::Changes;
use super::{StoreError, WAITING_BYTES};
use crate::api_log::files::Files;
use crate::boards::Boards;

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    pub(super) const ALL: [(Self, &str); 7] = [
        (Self::Lines, "lines"),
        (Self::Profiles, "profiles"),
        (Self::Meta, "meta"),
        (Self::Events, "outbox_event"),
        (Self::Usage, "outbox_usage"),
        (Self::Log, "outbox_log"),
        (Self::Commands, "commands"),
    ];
}

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// Entries in the order of keys, read as they are asked for.
pub(super) type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, StoreError>> + 'a>;

/// What keeps keys and values, open. After any error it is dropped and opened anew.
pub(super) trait Engine: Send {
    /// The bytes under a key.
    fn bytes(&self, place: Place, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every key and value whose key begins with `prefix`.
    fn scan(&self, place: Place, prefix: &[u8]) -> Result<Entries<'_>, StoreError>;

    /// Makes all changes or none; there are some. Not durable before [`Engine::sync`].
    fn commit(&self, changes: &Changes) -> Result<(), StoreError>;

    /// Makes all that was committed so far safe against a power cut.
    fn sync(&self) -> Result<(), StoreError>;

    /// What it takes on the disk, in bytes.
    fn disk_bytes(&self) -> u64;

    /// What the disk has left, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The state directory, for words.
    fn directory(&self) -> &Path;

    /// Copies what lives and puts the copy in the place of the original. The caller opens it again; the original is
    /// untouched, or the copy is complete and safe.
    fn rewrite(self: Box<Self>) -> Result<(), StoreError>;

    /// Lets everything fail that touches a place.
    #[cfg(test)]
    fn lose(&mut self, place: Place);
}

/// What an engine lies on.
pub(super) trait Medium: Send {
    /// Puts things in order after whatever ended the last engine; before one is opened.
    fn prepare(&self) -> io::Result<()>;

    /// Opens the engine. It may panic on damage.
    fn open(&self) -> Result<Box<dyn Engine>, StoreError>;

    /// Whether something beside the store says that there was one.
    fn has_past(&self) -> bool;

    /// Moves a damaged store out of the way, and says where to.
    fn put_aside(&self, now: UnixMillis) -> io::Result<PathBuf>;

    /// The state directory, for words.
    fn directory(&self) -> &Path;

    /// What it has left, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;

    /// How much may wait on it, in bytes of records.
    fn waiting_bytes(&self) -> u64 {
        WAITING_BYTES
    }

    /// Whether a few blocks can really be written now.
    fn can_write(&self) -> io::Result<()>;

    /// Keeps some space back for an opening on a full disk, where there is plenty.
    fn put_reserve(&self);

    /// Gives it up; whether there was some.
    fn give_up_reserve(&self) -> bool;

    /// What the file beside the store says of boards.
    fn boards(&self) -> Boards;

    /// Has it say this; whether it does.
    fn keep_boards(&self, boards: &Boards) -> bool;

    /// The API log in files, where there are files.
    fn log(&self) -> Option<Files>;
}
