//! Lines whose rows the reconciler makes, told to whoever counts: where no row of that name was, nobody had a session under it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines of one router. Clones act on the same ones; what waits is a set, so that a router that is away gathers no more.
#[derive(Clone, Debug, Default)]
pub struct MadeRows(Arc<Mutex<BTreeSet<String>>>);

impl MadeRows {
    /// The row of this line is about to be made: noted before, so that no session under it is seen earlier.
    pub fn note(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(line.to_owned());
    }

    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
