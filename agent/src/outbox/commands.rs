//! Commands of head office on flash: that one was begun, and what became of it.
//!
//! Durable when put: what is begun must never be begun again. What they mean is `crate::commands`' business.

use super::flash::Flash;
use super::framing::unframe;
use super::records::FORMAT;
use super::store::{Changes, Place};
use super::{StoreError, URGENT_RESERVE_BYTES};
use crate::commands::Kept;

impl Flash {
    /// Puts what is known of commands on flash, durably. It may use the reserve: a few bytes, and a person waits.
    pub(super) fn put_commands(&mut self, kept: &[Kept]) -> Result<(), StoreError> {
        self.store.require(URGENT_RESERVE_BYTES)?;
        let mut changes = Changes::default();
        for command in kept {
            changes.put(Place::Commands, command.id.as_bytes(), command)?;
        }
        self.store.commit(&changes)?;
        self.sync()
    }

    /// Takes commands off flash that nobody asks about any more.
    pub(super) fn forget_commands(&mut self, ids: &[String]) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        ids.iter().for_each(|id| changes.remove(Place::Commands, id.as_bytes()));
        self.store.commit(&changes)
    }

    /// All that are there. A damaged one is as good as none: its head office asks again, and is told the worst.
    pub(super) fn load_commands(&self) -> Result<Vec<Kept>, StoreError> {
        let mut found = Vec::new();
        for entry in self.store.scan(Place::Commands, b"")? {
            let (key, value) = entry?;
            let kept = unframe::<Kept>(&key, FORMAT, &value);
            found.push(kept.unwrap_or_else(|_| Kept::unreadable(&String::from_utf8_lossy(&key))));
        }
        Ok(found)
    }
}
