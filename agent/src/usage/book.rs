//! The handle by which the tasks of a site share its quota book.
//!
//! Counters put in what they count, reconcilers ask what was used, the core brings what head office tells. Every call is
//! short and waits for nothing but the lock. What the book holds is `quota.rs`; records go to flash by way of the core.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tawi_shared::UnixMillis;
use tawi_shared::wire::LineV1;
use tokio::sync::watch;

use super::quota::QuotaBook;
use crate::enforce::running_quota;

/// The quota book of the site. Clones are the same book.
#[derive(Clone, Debug, Default)]
pub struct Quotas {
    book: Arc<Mutex<QuotaBook>>,
    wakes: watch::Sender<()>,
}

impl Quotas {
    /// Shares a book.
    #[must_use]
    pub fn new(book: QuotaBook) -> Self {
        Self { book: Arc::new(Mutex::new(book)), wakes: watch::Sender::default() }
    }

    /// What the line moved in the period that runs at `now`; `None` where none does.
    #[must_use]
    pub fn used(&self, line: &LineV1, now: UnixMillis) -> Option<u64> {
        let quota = running_quota(line, now)?;
        Some(self.with(|book| book.used(&line.line, quota.from_ms)))
    }

    /// Forgets the lines of a book that are not in `held`, and gives them.
    #[must_use]
    pub fn keep_only<T>(&self, held: &BTreeMap<String, T>) -> Vec<String> {
        self.with(|book| {
            let gone: Vec<String> =
                book.lines().filter(|line| !held.contains_key(*line)).map(str::to_owned).collect();
            book.forget(gone.iter().map(String::as_str))
        })
    }

    /// Says that lines may have to be restrained by what they had used before.
    pub fn wake(&self) {
        self.wakes.send_replace(());
    }

    /// Changes whenever [`Quotas::wake`] is called.
    #[must_use]
    pub fn wakes(&self) -> watch::Receiver<()> {
        self.wakes.subscribe()
    }

    /// Does something with the book.
    pub fn with<R>(&self, act: impl FnOnce(&mut QuotaBook) -> R) -> R {
        // A panic elsewhere leaves at worst one batch half taken, and totals are absolute.
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
