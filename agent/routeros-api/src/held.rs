//! Rows between the connection that read them and the caller that takes them, and how much they may cost.
//!
//! ```text
//!  Driver ──RowSender──► rows of one command ──RowReceiver──► RowStream
//!     ▲                        │
//!     └── full, or room ── Allowance: bytes held for all commands in flight
//! ```
//!
//! One allowance for the whole connection instead of a depth for each command: while it lasts, rows that nobody
//! takes hold up nobody else. It decides nothing; stopping to read, and whom to cancel, is
//! [`crate::connection`]'s.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::sentence::Row;

/// Rows of a listen that wait; more, and it has to begin anew with a print.
pub(crate) const LISTEN_ROWS: usize = 256;
/// What a row costs besides its bytes: its vector, its place in the queue, the allocator's own.
const ROW_OVERHEAD_BYTES: usize = 128;

/// How many bytes of rows wait to be taken, over all commands in flight.
pub(crate) struct Allowance {
    limit: usize,
    held: AtomicUsize,
    /// Wakes the driver when there is room again.
    room: Notify,
}

impl Allowance {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), held: AtomicUsize::new(0), room: Notify::new() }
    }

    /// Whether nothing more may be read. Exceeded by one row at most.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Acquire) >= self.limit
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Waits for room. Safe to drop and call again.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
    }

    fn take(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::AcqRel);
    }

    fn give_back(&self, bytes: usize) {
        let before = self.held.fetch_sub(bytes, Ordering::AcqRel);
        if before >= self.limit && before.saturating_sub(bytes) < self.limit {
            self.room.notify_one();
        }
    }
}

/// What is held of one command.
struct Held {
    rows: usize,
    bytes: usize,
    /// When a row was taken last, or the first one came to wait.
    moved_at: Instant,
    /// Whether these rows count towards the allowance: not those of a listen, which has its own limit, nor what a
    /// finished command left, which holds up nobody.
    is_counted: bool,
}

/// What the two ends share.
struct Between {
    held: Mutex<Held>,
    allowance: Arc<Allowance>,
}

impl Between {
    /// A panic in between leaves numbers that are still numbers.
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end of the rows of one command.
pub(crate) struct RowSender {
    rows: mpsc::UnboundedSender<Row>,
    between: Arc<Between>,
}

/// The caller's end.
pub(crate) struct RowReceiver {
    rows: mpsc::UnboundedReceiver<Row>,
    between: Arc<Between>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Held,
    /// Too many rows of a listen wait.
    NoRoom,
    /// Nobody waits for it.
    Unwanted,
}

/// Two ends for the rows of one command.
pub(crate) fn rows(allowance: &Arc<Allowance>, is_listen: bool) -> (RowSender, RowReceiver) {
    let held = Held { rows: 0, bytes: 0, moved_at: Instant::now(), is_counted: !is_listen };
    let between = Arc::new(Between { held: Mutex::new(held), allowance: Arc::clone(allowance) });
    let (sender, receiver) = mpsc::unbounded_channel();
    (RowSender { rows: sender, between: Arc::clone(&between) }, RowReceiver { rows: receiver, between })
}

impl RowSender {
    /// Holds a row for the caller. A command's row always finds room: whether one may be read at all is asked of
    /// the allowance beforehand.
    pub(crate) fn send(&self, row: Row) -> Sent {
        let cost = cost_of(&row);
        {
            let mut held = self.between.held();
            let is_over = held.rows >= LISTEN_ROWS || held.bytes >= self.between.allowance.limit;
            if !held.is_counted && is_over {
                return Sent::NoRoom;
            }
            if held.rows == 0 {
                held.moved_at = Instant::now();
            }
            held.rows = held.rows.saturating_add(1);
            held.bytes = held.bytes.saturating_add(cost);
            if held.is_counted {
                self.between.allowance.take(cost);
            }
        }
        match self.rows.send(row) {
            Ok(()) => Sent::Held,
            Err(mpsc::error::SendError(row)) => {
                self.between.taken(&row);
                Sent::Unwanted
            }
        }
    }

    /// Bytes that wait, and since when they do so without one being taken.
    pub(crate) fn waiting(&self) -> (usize, Instant) {
        let held = self.between.held();
        (held.bytes, held.moved_at)
    }
}

impl Drop for RowSender {
    /// The command is over: what it left holds up nobody.
    fn drop(&mut self) {
        let mut held = self.between.held();
        if std::mem::take(&mut held.is_counted) {
            self.between.allowance.give_back(held.bytes);
        }
    }
}

impl Between {
    fn taken(&self, row: &Row) {
        let cost = cost_of(row);
        let mut held = self.held();
        held.rows = held.rows.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(cost);
        held.moved_at = Instant::now();
        if held.is_counted {
            self.allowance.give_back(cost);
        }
    }
}

impl RowReceiver {
    /// The next row, or `None` when the command is over and all its rows are taken. Safe to drop and call again.
    pub(crate) async fn recv(&mut self) -> Option<Row> {
        let row = self.rows.recv().await?;
        self.between.taken(&row);
        Some(row)
    }

    /// Throws away what waits.
    pub(crate) fn discard(&mut self) {
        while let Ok(row) = self.rows.try_recv() {
            self.between.taken(&row);
        }
    }

    /// Takes no more rows, and gives back the room of those that wait.
    pub(crate) fn close(&mut self) {
        self.rows.close();
        self.discard();
    }
}

fn cost_of(row: &Row) -> usize {
    row.words().iter().fold(ROW_OVERHEAD_BYTES, |cost, word| {
        cost.saturating_add(word.len()).saturating_add(size_of::<Bytes>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Sentence;

    fn row() -> Row {
        Row::from(["!re", "=name=plot1"].into_iter().collect::<Sentence>())
    }

    #[tokio::test(start_paused = true)]
    async fn room_taken_by_rows_comes_back_when_they_are_taken_dropped_or_left_by_a_finished_command() {
        let allowance = Arc::new(Allowance::new(10 * cost_of(&row())));
        let (sender, mut receiver) = rows(&allowance, false);
        for _ in 0..10 {
            assert_eq!(sender.send(row()), Sent::Held);
        }
        assert!(allowance.is_full());
        assert_eq!(receiver.recv().await, Some(row()));
        assert!(!allowance.is_full());
        allowance.room().await;
        drop(sender);
        assert_eq!(allowance.held_bytes(), 0, "a finished command holds up nobody");
        assert_eq!(receiver.recv().await, Some(row()), "and its rows are still there");
        assert_eq!(allowance.held_bytes(), 0);

        let (sender, mut receiver) = rows(&allowance, false);
        sender.send(row());
        receiver.close();
        assert_eq!(allowance.held_bytes(), 0);
        assert_eq!(sender.send(row()), Sent::Unwanted);
        assert_eq!(allowance.held_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listen_has_its_own_limit_and_holds_up_nobody() {
        let allowance = Arc::new(Allowance::new(1_000_000));
        let (sender, mut receiver) = rows(&allowance, true);
        for _ in 0..LISTEN_ROWS {
            assert_eq!(sender.send(row()), Sent::Held);
        }
        assert_eq!(sender.send(row()), Sent::NoRoom);
        assert_eq!(allowance.held_bytes(), 0);
        receiver.discard();
        assert_eq!(sender.send(row()), Sent::Held);
    }
}
