//! What becomes of a text. Pure.
//!
//! ```text
//!                       ┌────────── certainly not sent ───────────┐
//!                       ▼                                         │
//!  (its cause) ──▶ queued ── attempt stored, then the call ──▶ sending ── taken ──▶ sent ── report ──▶ delivered
//!                    │                                            │                  │                failed
//!                    └─ out of date ──▶ dropped                   ├─ refused ──▶ failed
//!                                                                 └─ no answer ──▶ unknown ── report ──▶ …
//! ```
//!
//! "No answer" is also what a process finds of the one before it that was killed in between. Nobody knows then whether the
//! text is on its way. A text about money is never sent again in that case: two texts of one payment are two payments to whoever
//! reads them, and the receipt of M-Pesa itself is on the phone anyway. Any other is sent once more, because a reminder that
//! comes twice does less harm than none.

use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use super::occasion::Occasion;

/// How often a text that is not about money is begun, at most, when answers get lost.
const ATTEMPTS_WITHOUT_ANSWER: u32 = 2;
/// How long after a lost answer it is tried once more.
const AGAIN_AFTER: Duration = Duration::from_secs(120);

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It is being handed over; after a crash, nobody knows.
    Sending,
    /// The provider took it.
    Sent,
    /// Nobody knows whether the provider took it.
    Unknown,
    /// It is on the phone.
    Delivered,
    /// It will not arrive.
    Failed,
    /// It was not sent, and is not any more.
    Dropped,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Sending,
        Self::Sent,
        Self::Unknown,
        Self::Delivered,
        Self::Failed,
        Self::Dropped,
    ];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A text as far as its sending goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// What it is about.
    pub occasion: Occasion,
    /// Where it stands.
    pub state: State,
    /// How often it was begun.
    pub attempts: u32,
    /// When it is begun next; `None` when it is not.
    pub next_attempt_at: Option<UnixMillis>,
    /// The provider's name of it.
    pub provider_id: Option<String>,
    /// What it cost, as the provider wrote it; empty while that is not known.
    pub cost: String,
    /// Why it stands there, for a person; empty where that goes without saying.
    pub reason: String,
}

/// What happens to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its attempt is stored, and the call follows.
    Begun,
    /// It is no news any more.
    OutOfDate(String),
    /// The provider took it.
    Taken {
        /// The provider's name of it.
        provider_id: Option<String>,
        /// What it cost.
        cost: String,
    },
    /// The provider does not send it, now or later.
    Refused(String),
    /// It was certainly not sent, and may be tried again then.
    NotSent {
        /// Why.
        reason: String,
        /// When.
        again_at: UnixMillis,
    },
    /// Nobody knows whether it was sent.
    NoAnswer {
        /// What is known.
        reason: String,
        /// The provider's name of it, where it gave one all the same.
        provider_id: Option<String>,
    },
    /// The provider reports that it is on the phone.
    Arrived,
    /// The provider reports that it will not arrive.
    Lost(String),
}

/// An event that does not fit where a text stands, and changes nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it does not fit")]
pub struct Refused;

impl Course {
    /// As it is queued.
    #[must_use]
    pub fn queued(occasion: Occasion, next_attempt_at: UnixMillis) -> Self {
        Self {
            occasion,
            state: State::Queued,
            attempts: 0,
            next_attempt_at: Some(next_attempt_at),
            provider_id: None,
            cost: String::new(),
            reason: String::new(),
        }
    }

    /// Moves it.
    ///
    /// # Errors
    /// [`Refused`] when the event does not fit: a report for a text that is settled, say.
    pub fn apply(self, event: Event, now: UnixMillis) -> Result<Self, Refused> {
        let settled = |state, reason: String| Self { state, reason, next_attempt_at: None, ..self.clone() };
        match (self.state, event) {
            (State::Queued, Event::Begun) => Ok(Self {
                attempts: self.attempts.saturating_add(1),
                ..settled(State::Sending, String::new())
            }),
            (State::Queued, Event::OutOfDate(reason)) => Ok(settled(State::Dropped, reason)),
            (State::Sending, Event::Taken { provider_id, cost }) => {
                Ok(Self { provider_id, cost, ..settled(State::Sent, String::new()) })
            }
            (State::Sending, Event::Refused(reason)) => Ok(settled(State::Failed, reason)),
            (State::Sending, Event::NotSent { reason, again_at }) => {
                Ok(Self { next_attempt_at: Some(again_at), ..settled(State::Queued, reason) })
            }
            (State::Sending, Event::NoAnswer { reason, provider_id }) => {
                if self.may_be_sent_again() {
                    let next_attempt_at = Some(now.plus(AGAIN_AFTER));
                    return Ok(Self { next_attempt_at, ..settled(State::Queued, reason) });
                }
                Ok(Self { provider_id, ..settled(State::Unknown, reason) })
            }
            (State::Sent | State::Unknown, Event::Arrived) => Ok(settled(State::Delivered, String::new())),
            (State::Sent | State::Unknown, Event::Lost(reason)) => Ok(settled(State::Failed, reason)),
            _ => Err(Refused),
        }
    }

    /// Whether a text may be sent again although nobody knows whether it was.
    #[must_use]
    pub fn may_be_sent_again(&self) -> bool {
        !self.occasion.is_money() && self.attempts < ATTEMPTS_WITHOUT_ANSWER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn no_answer() -> Event {
        Event::NoAnswer { reason: "no answer".to_owned(), provider_id: None }
    }

    fn taken() -> Event {
        Event::Taken { provider_id: Some("ATXid_1".to_owned()), cost: "KES 0.8000".to_owned() }
    }

    fn after(occasion: Occasion, events: &[Event]) -> Result<Course, Refused> {
        let start = Course::queued(occasion, NOW);
        events.iter().cloned().try_fold(start, |course, event| course.apply(event, NOW))
    }

    #[test]
    fn a_text_about_money_is_never_sent_again_when_nobody_knows() {
        for occasion in Occasion::ALL {
            let once = after(occasion, &[Event::Begun, no_answer()]).unwrap();
            if occasion.is_money() {
                assert_eq!((once.state, once.next_attempt_at), (State::Unknown, None), "{occasion:?}");
                assert_eq!(once.apply(Event::Begun, NOW), Err(Refused));
                continue;
            }
            assert_eq!((once.state, once.next_attempt_at), (State::Queued, Some(NOW.plus(AGAIN_AFTER))));
            let twice = after(occasion, &[Event::Begun, no_answer(), Event::Begun, no_answer()]).unwrap();
            assert_eq!((twice.state, twice.attempts), (State::Unknown, 2), "{occasion:?}");
        }
    }

    #[test]
    fn what_was_certainly_not_sent_is_tried_again() {
        let not_sent = Event::NotSent { reason: "401".to_owned(), again_at: UnixMillis(9) };
        let waiting = after(Occasion::PaymentReceived, &[Event::Begun, not_sent.clone()]).unwrap();
        assert_eq!((waiting.state, waiting.next_attempt_at), (State::Queued, Some(UnixMillis(9))));
        let sent =
            after(Occasion::PaymentReceived, &[Event::Begun, not_sent, Event::Begun, taken()]).unwrap();
        assert_eq!((sent.state, sent.attempts, sent.cost.as_str()), (State::Sent, 2, "KES 0.8000"));
    }

    #[test]
    fn a_report_moves_a_text_once() {
        let arrived = after(Occasion::Refunded, &[Event::Begun, taken(), Event::Arrived]).unwrap();
        assert_eq!(arrived.state, State::Delivered);
        assert_eq!(arrived.clone().apply(Event::Arrived, NOW), Err(Refused));
        assert_eq!(arrived.apply(Event::Lost("x".to_owned()), NOW), Err(Refused));
        let lost =
            after(Occasion::Refunded, &[Event::Begun, taken(), Event::Lost("off".to_owned())]).unwrap();
        assert_eq!((lost.state, lost.reason.as_str()), (State::Failed, "off"));
        let late = after(Occasion::Refunded, &[Event::Begun, no_answer(), Event::Arrived]).unwrap();
        assert_eq!(late.state, State::Delivered, "it was sent after all");
    }

    #[test]
    fn nothing_moves_a_text_that_is_settled_or_not_begun() {
        let events = [
            Event::Begun,
            taken(),
            no_answer(),
            Event::Refused(String::new()),
            Event::OutOfDate(String::new()),
        ];
        let dropped = after(Occasion::Test, &[Event::OutOfDate("late".to_owned())]).unwrap();
        for event in events {
            assert_eq!(dropped.clone().apply(event, NOW), Err(Refused));
        }
        for event in [taken(), no_answer(), Event::Arrived] {
            assert_eq!(after(Occasion::Test, &[event]), Err(Refused));
        }
    }
}
