//! Tells open pages and waiting tasks that something changed. Only hints travel here: whoever hears one reads the
//! database. A listener that is too slow misses hints, and reads everything anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, broadcast};

use crate::ids::{CustomerId, LineId, SiteId};

/// Hints that a slow listener may fall behind before it is told to read everything anew.
const HINTS_WAITING: usize = 1_024;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hint {
    /// A payment was booked or moved on towards the router.
    Payment(CustomerId),
    /// A request for payment changed its state.
    Intent(CustomerId),
    /// A line went on- or offline, or its state on the router changed.
    Line(LineId),
    /// A site or one of its routers appeared, vanished or reported.
    Site(SiteId),
    /// A certificate of a site was revoked: whoever came in with it must go. Pages hear [`Hint::Site`] beside it.
    Revoked(SiteId),
    /// Somebody looks at a site, or at a line there: what it knows is asked for. Pages hear nothing of it.
    Watched(SiteId),
}

/// The bell. Clones ring the same one.
#[derive(Clone, Debug)]
pub struct Live {
    hints: broadcast::Sender<Hint>,
    outbox: Arc<Notify>,
    callbacks: Arc<Notify>,
    refunds: Arc<Notify>,
    arriving: Arc<AtomicUsize>,
}

impl Default for Live {
    fn default() -> Self {
        let (hints, _) = broadcast::channel(HINTS_WAITING);
        Self {
            hints,
            outbox: Arc::default(),
            callbacks: Arc::default(),
            refunds: Arc::default(),
            arriving: Arc::default(),
        }
    }
}

impl Live {
    /// Tells whoever listens. Ring after the commit, never before.
    pub fn tell(&self, hint: Hint) {
        // Nobody listening is the usual case and no error.
        let _ = self.hints.send(hint);
    }

    /// Starts to listen.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    /// There is something in the outbox. Ring after the commit.
    pub fn ring_outbox(&self) {
        self.outbox.notify_one();
    }

    /// Waits for [`Live::ring_outbox`].
    pub async fn outbox_rung(&self) {
        self.outbox.notified().await;
    }

    /// A callback body was stored. Ring after the commit.
    pub fn ring_callbacks(&self) {
        self.callbacks.notify_one();
    }

    /// A callback body has arrived and is to be stored, for as long as what is given lives.
    #[must_use]
    pub fn callback_arrives(&self) -> Arriving {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        Arriving(Arc::clone(&self.arriving))
    }

    /// How many callback bodies wait to be stored.
    #[must_use]
    pub fn callbacks_arriving(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// A refund is to be sent. Ring after the commit.
    pub fn ring_refunds(&self) {
        self.refunds.notify_one();
    }

    /// Waits for [`Live::ring_refunds`].
    pub async fn refunds_rung(&self) {
        self.refunds.notified().await;
    }

    /// Waits for [`Live::ring_callbacks`].
    pub async fn callbacks_rung(&self) {
        self.callbacks.notified().await;
    }
}

/// A callback body that waits to be stored.
#[derive(Debug)]
pub struct Arriving(Arc<AtomicUsize>);

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
