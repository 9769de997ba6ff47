//! The API log: every write that went to a router, with what became of it.
//!
//! ```text
//! client ──witness──> ApiLog (memory) ──every few seconds──> files of the day, thirty of them ──> `tawi-agent log`
//!                                                   └──────> the outbox's third lane ──> head office
//! ```
//!
//! It listens where commands leave for the router, so that no write passes it by; it is never waited for, and a payment
//! never waits behind it. A power cut takes what was not put down yet. It keeps no secret (`record.rs`) and decides
//! nothing.

pub mod files;
pub mod record;
pub mod show;

use std::sync::{Arc, Mutex, PoisonError};

use routeros_api::Witness;

use crate::clock::TrustedClock;
use crate::flow::StateReceiver;
pub use record::Write;

/// Writes that wait in memory: one full check that rewrites 2,000 lines, twice over, in about 1.5 MB.
const WAITING: usize = 4_096;

/// Where writes wait until they are put down. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub struct ApiLog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    writes: Vec<Write>,
    lost: u64,
}

impl ApiLog {
    /// Hears the writes of one router. `state` says what a line is called at the time: a write to its row seldom does.
    #[must_use]
    pub fn witness(&self, router: &str, clock: TrustedClock, state: StateReceiver) -> Witness {
        let (log, router) = (self.clone(), router.to_owned());
        Witness::new(move |command, fate| {
            let write = Write::of(clock.now(), &router, command, fate);
            log.note(write.named(|line| Some(state.borrow().lines.get(line)?.item.username.clone())));
        })
    }

    /// Notes a write. Without room it is lost and counted: nobody waits for a log.
    pub fn note(&self, write: Write) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.writes.len() < WAITING {
            waiting.writes.push(write);
        } else {
            waiting.lost = waiting.lost.saturating_add(1);
        }
    }

    /// Takes what waits, oldest first, and how many were lost before it.
    #[must_use]
    pub fn take(&self) -> (Vec<Write>, u64) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut waiting.writes), std::mem::take(&mut waiting.lost))
    }
}
