//! Whoever hears of each write that was sent, and of what became of it.
//!
//! It sits where commands leave, so that no write passes it by. It is told after the answer, on the task that took the
//! answer, and must not wait. It is handed the whole command, secrets included, and decides what it keeps. Reads, logins
//! and commands that were never sent are none of its business.

use std::fmt;
use std::sync::Arc;

use crate::command::Command;
use crate::error::Error;

/// What became of a write.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// The router took it.
    Done,
    /// The router refused it.
    Refused(&'a Error),
    /// It was sent, and nobody knows: the connection was lost, or the caller did not wait for the answer.
    Unknown,
}

type Hear = dyn Fn(&Command, Fate<'_>) + Send + Sync;

/// See [`crate::Options::witness`]. Clones are the same one.
#[derive(Clone)]
pub struct Witness(Arc<Hear>);

impl Witness {
    /// One that calls `hear` for each write.
    pub fn new(hear: impl Fn(&Command, Fate<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Tells how a write ended; one that was not sent is not told of.
    pub(crate) fn tell(&self, command: &Command, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => (self.0)(command, Fate::Done),
            Err(error @ Error::Trap(_)) => (self.0)(command, Fate::Refused(error)),
            Err(Error::Closed { .. } | Error::InvalidCommand(_)) => {}
            Err(_) => self.tell_unknown(command),
        }
    }

    pub(crate) fn tell_unknown(&self, command: &Command) {
        (self.0)(command, Fate::Unknown);
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Witness")
    }
}
