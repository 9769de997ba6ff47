//! Everything that can become of a refund, and what that does to the money that is held for it. Pure.
//!
//! ```text
//!   waiting ──a second person──▶ held ──stored, then sent──▶ asking ──taken──▶ asked
//!      │ not to be                │ ▲ refused for now           │ no answer      │ timed out in the queue,
//!      ▼                          │ └─────────────────────────  ▼                ▼ or no result for too long
//!   withdrawn ◀───── not to be ───┘                          unknown ◀───────────┘
//!                                                               │  Transaction Status, the result, or a person
//!                          failed ◀── it did not go through ────┼── it went through ──▶ done
//! ```
//! A result is the end from any state, and `done` from `failed` too: the money went after all. What nobody knows is never
//! called failed, and is never sent again by itself.

use std::time::Duration;

use tawi_shared::UnixMillis;

/// How long the result of something that was taken is waited for.
const RESULT_WITHIN: Duration = Duration::from_secs(5 * 60);
/// How long after it was sent a refund counts as sent without an answer: more than an HTTP call takes at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(2 * 60);
/// The pause before something is sent again that reached nobody.
const AGAIN: Duration = Duration::from_secs(60);
/// When M-Pesa is asked what became of a refund, from one look to the next; then a person has to look.
const LOOKS: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3 * 3_600),
];

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For a second person.
    Waiting,
    /// To be sent.
    Held,
    /// Being sent.
    Asking,
    /// M-Pesa took it.
    Asked,
    /// Gone or not: nobody knows.
    Unknown,
    /// The money is with whoever paid it.
    Done,
    /// It did not go through.
    Failed,
    /// It was not to be.
    Withdrawn,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Held,
        Self::Asking,
        Self::Asked,
        Self::Unknown,
        Self::Done,
        Self::Failed,
        Self::Withdrawn,
    ];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Asking => "asking",
            Self::Asked => "asked",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A second person agreed.
    Approved,
    /// It is not to be.
    Withdrawn,
    /// It is about to be sent.
    Sending,
    /// M-Pesa took it.
    Taken,
    /// It reached nobody, or M-Pesa was too busy: nothing was done.
    NotNow,
    /// The answer was lost.
    Lost,
    /// M-Pesa says that it waited too long, or nothing was heard for too long.
    TimedOut,
    /// M-Pesa was asked what became of it.
    Looked,
    /// It went through.
    WentThrough,
    /// It did not.
    DidNot,
    /// It was not taken. Where it was sent before, that says nothing of what became of it then.
    Refused,
    /// M-Pesa says something of which nobody knows whether money went.
    Unclear,
    /// A person wants it sent once more.
    Again,
}

/// What that does to the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// What was held has gone.
    Gone,
    /// What was held goes back to whose it was.
    Back,
    /// It had gone back, and has gone after all.
    GoneAfterAll,
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is known already.
    AlreadySo,
    /// It contradicts what is known.
    Contradicts,
    /// It means nothing in this state.
    NotNow,
}

/// A state with what is due in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) state: State,
    /// When something is to be done.
    pub(super) next_at: Option<UnixMillis>,
    /// How often M-Pesa was asked.
    pub(super) looks: u32,
}

/// Takes an event in.
pub(super) fn apply(before: Due, event: Event, now: UnixMillis) -> Result<(Due, Effect), Refused> {
    let at =
        |state, pause: Option<Duration>| Due { state, next_at: pause.map(|pause| now.plus(pause)), looks: 0 };
    let done = |effect| Ok((at(State::Done, None), effect));
    let after = match (before.state, event) {
        (State::Done, Event::WentThrough) | (State::Failed, Event::DidNot) => return Err(Refused::AlreadySo),
        (State::Done, Event::DidNot | Event::Unclear) => return Err(Refused::Contradicts),
        // It is asked about already, or lies with a person.
        (State::Unknown, Event::Unclear) => before,
        (State::Failed | State::Withdrawn, Event::WentThrough) => return done(Effect::GoneAfterAll),
        (_, Event::WentThrough) => return done(Effect::Gone),
        (State::Waiting, Event::Withdrawn) => {
            return Ok((at(State::Withdrawn, None), Effect::Back));
        }
        // One that was sent before may have gone then.
        (State::Held, Event::Withdrawn) if before.looks == 0 => {
            return Ok((at(State::Withdrawn, None), Effect::Back));
        }
        (State::Held | State::Asking | State::Asked | State::Unknown, Event::DidNot) => {
            return Ok((at(State::Failed, None), Effect::Back));
        }
        (State::Asking, Event::Refused) if before.looks == 0 => {
            return Ok((at(State::Failed, None), Effect::Back));
        }
        (State::Waiting, Event::Approved) => at(State::Held, Some(Duration::ZERO)),
        // That M-Pesa was asked about it stays on it until there is an answer: it was sent before.
        (State::Unknown, Event::Again) => {
            Due { looks: before.looks.max(1), ..at(State::Held, Some(Duration::ZERO)) }
        }
        (State::Held, Event::Sending) => {
            Due { looks: before.looks, ..at(State::Asking, Some(ANSWER_WITHIN)) }
        }
        (State::Asking, Event::NotNow) => Due { looks: before.looks, ..at(State::Held, Some(AGAIN)) },
        (State::Asking, Event::Taken) => at(State::Asked, Some(RESULT_WITHIN)),
        (State::Asking, Event::Lost | Event::TimedOut | Event::Unclear | Event::Refused)
        | (State::Asked, Event::TimedOut | Event::Unclear) => at(State::Unknown, LOOKS.first().copied()),
        (State::Unknown, Event::Looked) => {
            let looks = before.looks.saturating_add(1);
            let pause = usize::try_from(looks).ok().and_then(|looks| LOOKS.get(looks)).copied();
            Due { looks, ..at(State::Unknown, pause) }
        }
        _ => return Err(Refused::NotNow),
    };
    Ok((after, Effect::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn due(state: State) -> Due {
        Due { state, next_at: None, looks: 0 }
    }

    #[test]
    fn money_that_is_held_goes_or_comes_back_once_whatever_happens_in_which_order() {
        let events = [
            Event::Approved,
            Event::Withdrawn,
            Event::Sending,
            Event::Taken,
            Event::NotNow,
            Event::Lost,
            Event::TimedOut,
            Event::Looked,
            Event::WentThrough,
            Event::DidNot,
            Event::Refused,
            Event::Unclear,
            Event::Again,
        ];
        // Every walk of six events from the beginning: what is held is 1 until it goes or comes back.
        let mut walks = vec![(due(State::Waiting), 1_i32, 0_i32)];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..6 {
            let mut next = Vec::new();
            for (at, held, gone) in walks {
                for event in events {
                    let Ok((after, effect)) = apply(at, event, NOW) else { continue };
                    let (held, gone) = match effect {
                        Effect::None => (held, gone),
                        Effect::Gone => (held - 1, gone + 1),
                        Effect::Back => (held - 1, gone),
                        Effect::GoneAfterAll => (held, gone + 1),
                    };
                    assert!(matches!((held, gone), (1, 0) | (0, 0) | (0, 1)), "{at:?} {event:?}");
                    let is_done = after.state == State::Done;
                    let is_over = matches!(after.state, State::Failed | State::Withdrawn);
                    assert_eq!((is_done, is_over), (gone == 1, held == 0 && gone == 0), "{at:?} {event:?}");
                    seen.insert(after.state.as_str());
                    next.push((after, held, gone));
                }
            }
            walks = next;
        }
        assert_eq!(seen.len(), State::ALL.len() - 1, "all but the first: {seen:?}");
    }

    #[test]
    fn what_nobody_knows_is_asked_about_and_never_sent_again_by_itself() {
        let mut at = apply(due(State::Asking), Event::Lost, NOW).unwrap().0;
        let mut pauses = Vec::new();
        while let Some(next) = at.next_at {
            pauses.push(next.since(NOW).as_secs());
            assert_eq!(apply(at, Event::Sending, NOW), Err(Refused::NotNow));
            at = apply(at, Event::Looked, NOW).unwrap().0;
            assert_eq!(at.state, State::Unknown);
        }
        assert_eq!(pauses, [30, 300, 1_800, 10_800]);
        let again = apply(at, Event::Again, NOW).unwrap().0;
        assert_eq!((again.state, again.next_at), (State::Held, Some(NOW)));
    }

    #[test]
    fn that_it_is_refused_the_second_time_says_nothing_of_the_first() {
        let walk = |events: &[Event]| {
            let mut at = apply(due(State::Asking), Event::Lost, NOW).unwrap().0;
            for event in events {
                at = apply(at, *event, NOW).unwrap().0;
            }
            at
        };
        let again = [Event::Looked, Event::Again];
        let refused = walk(&[&again[..], &[Event::Sending, Event::Refused]].concat());
        assert_eq!((refused.state, refused.next_at.is_some()), (State::Unknown, true));
        let later = [&again[..], &[Event::Sending, Event::NotNow, Event::Sending, Event::Refused]].concat();
        assert_eq!(walk(&later).state, State::Unknown);
        // Nor is it for nobody to say that it is not to be.
        assert_eq!(apply(walk(&again), Event::Withdrawn, NOW), Err(Refused::NotNow));
        // What was never sent before was not done.
        let first = apply(due(State::Asking), Event::Refused, NOW).map(|(at, effect)| (at.state, effect));
        assert_eq!(first, Ok((State::Failed, Effect::Back)));
    }

    #[test]
    fn the_end_is_the_end_but_for_money_that_went_after_all() {
        let check = |state, event, expected| {
            assert_eq!(apply(due(state), event, NOW).map(|(after, effect)| (after.state, effect)), expected);
        };
        check(State::Done, Event::WentThrough, Err(Refused::AlreadySo));
        check(State::Done, Event::DidNot, Err(Refused::Contradicts));
        check(State::Done, Event::Withdrawn, Err(Refused::NotNow));
        check(State::Done, Event::Unclear, Err(Refused::Contradicts));
        check(State::Failed, Event::DidNot, Err(Refused::AlreadySo));
        check(State::Failed, Event::Unclear, Err(Refused::NotNow));
        check(State::Asked, Event::Unclear, Ok((State::Unknown, Effect::None)));
        check(State::Unknown, Event::Unclear, Ok((State::Unknown, Effect::None)));
        check(State::Failed, Event::WentThrough, Ok((State::Done, Effect::GoneAfterAll)));
        check(State::Asking, Event::Withdrawn, Err(Refused::NotNow));
        check(State::Unknown, Event::Withdrawn, Err(Refused::NotNow));
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
    }
}
