//! One session with a router as a state machine: no socket, no clock of its own, no channels.
//!
//! ```text
//!            words                     !done              end()
//!  (open) ─────────► Login ─────────────────────► Ready ─────────► dead: every command in
//!                      │ challenge (opt-in)         │              flight gets its own error
//!                      └─► answer ─► !done          │
//!                                                   ▼   per tag
//!             submit ─► InFlight ── !re, !trap ──► InFlight ── !done ──► finished
//!                          │ cancel
//!                          ▼
//!                       Draining ── rows dropped ──► !done ──► forgotten
//! ```
//!
//! A `!trap` never finishes a command: only `!done` does, or the next reply would be taken for the wrong
//! one. A tag is not used again before its `!done`. What drives it is [`crate::connection`].

pub(crate) mod login;
mod md5;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::command::Command;
use crate::error::{Error, Lost, Operation, ProtocolError};
use crate::sentence::{Answer, Row, classify};
use crate::trap::Traps;
use crate::wire::Sentence;

/// A command's number on this connection.
pub(crate) type Tag = u64;

/// How a finished command ended: what `=ret=` carried, or the traps.
pub(crate) type Outcome = Result<Option<Bytes>, Traps>;

/// What a sentence made happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<S> {
    /// A row for a command in flight.
    Row(Tag, Row),
    /// A command is over; whoever waits for it is handed back.
    Finished(S, Outcome),
    /// Nothing that concerns anyone: an empty notice, an unknown or late tag, a drained command.
    Nothing,
}

struct InFlight<S> {
    waiter: S,
    is_read: bool,
    /// `None` for a listen, which may be silent for days.
    idle: Option<Duration>,
    heard_at: Instant,
    traps: Option<Traps>,
}

enum State<S> {
    InFlight(InFlight<S>),
    /// Cancelled, or a cancel itself; replies are dropped until `!done`. The waiter is kept only so that
    /// what it owns (a place under the in-flight limit) is given back when the router is done.
    Draining {
        _waiter: Option<S>,
        since: Instant,
    },
}

/// The session after login. `S` is whoever waits for a command.
pub(crate) struct Session<S> {
    tags: BTreeMap<Tag, State<S>>,
    /// The tag given out last.
    last_tag: Tag,
    command_idle: Duration,
    cancel_drain: Duration,
}

impl<S> Session<S> {
    pub(crate) fn new(command_idle: Duration, cancel_drain: Duration) -> Self {
        Self { tags: BTreeMap::new(), last_tag: 0, command_idle, cancel_drain }
    }

    /// A tag that no command bears, be it in flight or draining: a listen may outlive any number of others, so that
    /// even numbers that come round do not meet it. Zero is left out, as some take it for no tag.
    pub(crate) fn next_tag(&mut self) -> Tag {
        loop {
            self.last_tag = self.last_tag.wrapping_add(1);
            if self.last_tag != 0 && !self.tags.contains_key(&self.last_tag) {
                return self.last_tag;
            }
        }
    }

    /// Takes a command into flight and gives the words to send.
    pub(crate) fn submit(
        &mut self,
        tag: Tag,
        waiter: S,
        command: &Command,
        is_listen: bool,
        now: Instant,
    ) -> Vec<Bytes> {
        let idle = (!is_listen).then(|| command.idle().unwrap_or(self.command_idle));
        let in_flight = InFlight { waiter, is_read: command.is_read(), idle, heard_at: now, traps: None };
        self.tags.insert(tag, State::InFlight(in_flight));
        let mut words = command.words().to_vec();
        words.push(tag_word(tag));
        words
    }

    /// Stops a command: the words to send, or `None` when it is not in flight any more.
    ///
    /// The router answers twice, in either order: `!trap` interrupted and `!done` for the command,
    /// `!done` for the cancel. Both are awaited.
    pub(crate) fn cancel(&mut self, tag: Tag, cancel_tag: Tag, now: Instant) -> Option<Vec<Bytes>> {
        match self.tags.remove(&tag) {
            Some(State::InFlight(in_flight)) => {
                let waiter = Some(in_flight.waiter);
                self.tags.insert(tag, State::Draining { _waiter: waiter, since: now });
                self.tags.insert(cancel_tag, State::Draining { _waiter: None, since: now });
                Some(vec![
                    Bytes::from_static(b"/cancel"),
                    Bytes::from(format!("=tag={tag}")),
                    tag_word(cancel_tag),
                ])
            }
            Some(draining) => {
                self.tags.insert(tag, draining);
                None
            }
            None => None,
        }
    }

    /// Applies one sentence.
    ///
    /// # Errors
    /// When it ends the session: `!fatal`, or no reply at all.
    pub(crate) fn receive(&mut self, sentence: Sentence, now: Instant) -> Result<Event<S>, Lost> {
        let tag = sentence.tag();
        let answer = classify(sentence).map_err(|_| Lost::Protocol(ProtocolError::NotAReply))?;
        if let Answer::Fatal(reason) = answer {
            return Err(Lost::Fatal(reason));
        }
        let Some(tag) = tag.as_deref().and_then(read_tag) else { return Ok(Event::Nothing) };
        if let Some(State::InFlight(in_flight)) = self.tags.get_mut(&tag) {
            in_flight.heard_at = now;
        }
        match (answer, self.tags.get_mut(&tag)) {
            (Answer::Row(row), Some(State::InFlight(_))) => Ok(Event::Row(tag, row)),
            (Answer::Trap(trap), Some(State::InFlight(in_flight))) => {
                match &mut in_flight.traps {
                    Some(traps) => traps.push(trap),
                    none => *none = Some(Traps::new(trap)),
                }
                Ok(Event::Nothing)
            }
            (Answer::Done(ret), Some(_)) => Ok(match self.tags.remove(&tag) {
                Some(State::InFlight(in_flight)) => {
                    Event::Finished(in_flight.waiter, in_flight.traps.map_or(Ok(ret), Err))
                }
                Some(State::Draining { .. }) | None => Event::Nothing,
            }),
            _ => Ok(Event::Nothing),
        }
    }

    /// Whoever waits for a command in flight.
    pub(crate) fn waiter(&self, tag: Tag) -> Option<&S> {
        match self.tags.get(&tag) {
            Some(State::InFlight(in_flight)) => Some(&in_flight.waiter),
            _ => None,
        }
    }

    /// Everybody who waits for a command in flight.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = (Tag, &S)> {
        self.tags.iter().filter_map(|(tag, state)| match state {
            State::InFlight(in_flight) => Some((*tag, &in_flight.waiter)),
            State::Draining { .. } => None,
        })
    }

    /// Commands in flight whose waiter is such.
    pub(crate) fn tags_where(&self, is_such: impl Fn(&S) -> bool) -> Vec<Tag> {
        self.waiters().filter(|(_, waiter)| is_such(waiter)).map(|(tag, _)| tag).collect()
    }

    pub(crate) fn waiter_mut(&mut self, tag: Tag) -> Option<&mut S> {
        match self.tags.get_mut(&tag) {
            Some(State::InFlight(in_flight)) => Some(&mut in_flight.waiter),
            _ => None,
        }
    }

    /// When [`Session::overdue`] has to be asked next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.tags.values().filter_map(|state| self.deadline_of(state)).min()
    }

    /// Whether the router has been silent for too long: a silent command, or a cancel without an end.
    pub(crate) fn overdue(&self, now: Instant) -> Option<Lost> {
        let late = self
            .tags
            .values()
            .find(|state| self.deadline_of(state).is_some_and(|deadline| deadline <= now))?;
        Some(match late {
            State::InFlight(in_flight) => Lost::TimedOut(in_flight.idle.unwrap_or(self.command_idle)),
            State::Draining { .. } => Lost::CancelUnanswered(self.cancel_drain),
        })
    }

    /// Starts every deadline anew: nothing was read for a while, and that was our doing.
    pub(crate) fn forgive_silence(&mut self, now: Instant) {
        for state in self.tags.values_mut() {
            match state {
                State::InFlight(in_flight) => in_flight.heard_at = now,
                State::Draining { since, .. } => *since = now,
            }
        }
    }

    /// Ends the session: each command still in flight gets the error that tells what became of *it*.
    pub(crate) fn end(self, lost: &Lost, now: Instant) -> Vec<(S, Error)> {
        let mut waiters = Vec::new();
        for state in self.tags.into_values() {
            if let State::InFlight(in_flight) = state {
                let is_late = in_flight.idle.is_some_and(|idle| in_flight.heard_at + idle <= now);
                let error = error_after(lost, in_flight.is_read, is_late);
                waiters.push((in_flight.waiter, error));
            }
        }
        waiters
    }

    fn deadline_of(&self, state: &State<S>) -> Option<Instant> {
        match state {
            State::InFlight(in_flight) => in_flight.idle.map(|idle| in_flight.heard_at + idle),
            State::Draining { since, .. } => Some(*since + self.cancel_drain),
        }
    }
}

/// What losing the connection means for a command that was sent.
fn error_after(lost: &Lost, is_read: bool, is_late: bool) -> Error {
    match lost {
        cause if !is_read => Error::OutcomeUnknown { cause: cause.clone() },
        Lost::Fatal(reason) => Error::Fatal { reason: reason.clone() },
        Lost::Protocol(error) => Error::Protocol(*error),
        Lost::TimedOut(after) if is_late => Error::Timeout { operation: Operation::Command, after: *after },
        cause => Error::Closed { cause: cause.clone() },
    }
}

fn tag_word(tag: Tag) -> Bytes {
    Bytes::from(format!(".tag={tag}"))
}

fn read_tag(value: &[u8]) -> Option<Tag> {
    crate::value::parse_number(value).ok()
}

#[cfg(test)]
mod tests;
