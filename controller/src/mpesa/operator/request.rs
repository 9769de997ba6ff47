//! Something that an API operator asked of Safaricom, and everything that can become of it. Pure.
//!
//! ```text
//!   asking ──acknowledged──▶ accepted ─────timed out in the queue─────▶ queue_timed_out
//!     │ │                        │                                          │
//!     │ └─reply lost─▶ reply_lost│                                          │
//!     │ refused             │    │                                          │
//!     ▼                     └────┴───────────────┬──────────────────────────┘
//!   refused ─────────────────────────────────────┤
//!                                                ▼ a result, with whatever code
//!                                             answered
//! ```
//! A result is the end, from any state: it can come before the acknowledgement, and after word of a time-out. Until then
//! nobody knows, which is not a failure; a crash while asking leaves `asking`, which says the same.

use tawi_shared::UnixMillis;

use super::result::{Parameters, ResultTold};
use super::told::{self, Balance, Transaction};
use crate::ids::{OperatorRequestId, RefundId};
use crate::mpesa::evidence::{Reason, ReceiptNumber};
use crate::mpesa::intent::CallbackToken;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What lies on the accounts of the short code.
    Balance,
    /// What became of a receipt.
    Status(ReceiptNumber),
    /// That a payment goes back whole, for this refund.
    Reversal(RefundId),
    /// That a phone is paid, for this refund.
    Payout(RefundId),
    /// What became of this refund.
    RefundStatus(RefundId),
}

impl Question {
    /// The word in the table.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Status(_) => "status",
            Self::Reversal(_) => "reversal",
            Self::Payout(_) => "payout",
            Self::RefundStatus(_) => "refund_status",
        }
    }

    /// The receipt that it is about.
    pub(super) fn receipt(&self) -> Option<&ReceiptNumber> {
        match self {
            Self::Status(receipt) => Some(receipt),
            Self::Balance | Self::Reversal(_) | Self::Payout(_) | Self::RefundStatus(_) => None,
        }
    }

    /// The refund that it is for.
    pub(crate) fn refund(&self) -> Option<&RefundId> {
        match self {
            Self::Reversal(refund) | Self::Payout(refund) | Self::RefundStatus(refund) => Some(refund),
            Self::Balance | Self::Status(_) => None,
        }
    }

    pub(super) fn from_stored(
        word: &str,
        (receipt, refund): (Option<ReceiptNumber>, Option<RefundId>),
    ) -> Option<Self> {
        match (word, receipt, refund) {
            ("balance", None, None) => Some(Self::Balance),
            ("status", Some(receipt), None) => Some(Self::Status(receipt)),
            ("reversal", None, Some(refund)) => Some(Self::Reversal(refund)),
            ("payout", None, Some(refund)) => Some(Self::Payout(refund)),
            ("refund_status", None, Some(refund)) => Some(Self::RefundStatus(refund)),
            _ => None,
        }
    }
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Stored before it is sent.
    Asking,
    /// Acknowledged: a result will come.
    Accepted,
    /// Not taken.
    Refused(Reason),
    /// The acknowledgement was lost: a result may come.
    ReplyLost,
    /// It waited too long inside M-Pesa: done or not, nobody knows.
    QueueTimedOut,
    /// A result came; code and text as Safaricom wrote them.
    Answered(Reason),
}

impl State {
    /// The word in the table.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Accepted => "accepted",
            Self::Refused(_) => "refused",
            Self::ReplyLost => "reply_lost",
            Self::QueueTimedOut => "queue_timed_out",
            Self::Answered(_) => "answered",
        }
    }

    /// Code and text.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Refused(reason) | Self::Answered(reason) => Some(reason),
            Self::Asking | Self::Accepted | Self::ReplyLost | Self::QueueTimedOut => None,
        }
    }

    /// Whether nobody need wait any longer. After a time-out a result may still come, and mostly does not.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::QueueTimedOut | Self::Answered(_))
    }

    pub(super) fn from_stored(word: &str, reason: Reason) -> Option<Self> {
        Some(match word {
            "asking" => Self::Asking,
            "accepted" => Self::Accepted,
            "refused" => Self::Refused(reason),
            "reply_lost" => Self::ReplyLost,
            "queue_timed_out" => Self::QueueTimedOut,
            "answered" => Self::Answered(reason),
            _ => return None,
        })
    }
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mpesa) enum Event {
    /// Daraja acknowledged it.
    Accepted { originator: Option<String>, conversation: Option<String> },
    /// Daraja did not take it, or was not reached.
    Refused(Reason),
    /// It was sent, and the answer was lost.
    ReplyLost,
    /// M-Pesa says that it waited too long.
    QueueTimedOut,
    /// A result came.
    Result(ResultTold),
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The result is there.
    AlreadyAnswered,
    /// The result names another conversation than the acknowledgement did.
    AnotherConversation,
    /// It means nothing in this state.
    NotNow,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRequest {
    /// Its id.
    pub id: OperatorRequestId,
    /// What was asked.
    pub question: Question,
    /// Of which short code.
    pub short_code: String,
    /// As which operator.
    pub operator: String,
    /// The secret part of the paths where the result comes.
    pub(in crate::mpesa) callback_token: CallbackToken,
    /// Where it stands.
    pub state: State,
    /// Safaricom's id of the request.
    pub originator_conversation_id: Option<String>,
    /// Safaricom's id of what it does for it.
    pub conversation_id: Option<String>,
    /// What the result says beside its code.
    pub(super) parameters: Parameters,
    /// Who asked.
    pub requested_by: String,
    /// When it was stored.
    pub created_at: UnixMillis,
    /// When something became of it last.
    pub updated_at: UnixMillis,
}

impl OperatorRequest {
    /// Takes an event in.
    pub(super) fn apply(mut self, event: Event, now: UnixMillis) -> Result<Self, Refused> {
        self.state = match (self.state.clone(), event) {
            (State::Asking, Event::Refused(reason)) => State::Refused(reason),
            (State::Asking, Event::ReplyLost) => State::ReplyLost,
            (State::Asking, Event::Accepted { originator, conversation }) => {
                self.name(originator, conversation);
                State::Accepted
            }
            // The acknowledgement came last: it only names what has happened.
            (
                state @ (State::Answered(_) | State::QueueTimedOut),
                Event::Accepted { originator, conversation },
            ) => {
                self.name(originator, conversation);
                state
            }
            (State::Answered(_), _) => return Err(Refused::AlreadyAnswered),
            (State::Asking | State::Accepted | State::ReplyLost, Event::QueueTimedOut) => {
                State::QueueTimedOut
            }
            (_, Event::Result(told)) => {
                if self.is_another(&told) {
                    return Err(Refused::AnotherConversation);
                }
                self.name(told.originator, told.conversation);
                self.parameters = told.parameters;
                State::Answered(told.reason)
            }
            _ => return Err(Refused::NotNow),
        };
        self.updated_at = now;
        Ok(self)
    }

    /// How it would stand if this answer were its own, where that says something else than the one that it has; `None` where
    /// it says the same, or is another conversation's. Nobody has published that there is one answer only.
    pub(super) fn contradicted_by(&self, told: &ResultTold, now: UnixMillis) -> Option<Self> {
        let State::Answered(known) = &self.state else { return None };
        if known.code == told.reason.code || self.is_another(told) {
            return None;
        }
        let mut other = self.clone();
        other.state = State::Answered(told.reason.clone());
        other.parameters.clone_from(&told.parameters);
        other.updated_at = now;
        Some(other)
    }

    /// Takes the ids that are not known yet.
    fn name(&mut self, originator: Option<String>, conversation: Option<String>) {
        self.originator_conversation_id = self.originator_conversation_id.take().or(originator);
        self.conversation_id = self.conversation_id.take().or(conversation);
    }

    fn is_another(&self, told: &ResultTold) -> bool {
        match (&self.conversation_id, &told.conversation) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        }
    }

    /// The accounts, where it was answered with some.
    #[must_use]
    pub fn balance(&self) -> Option<Balance> {
        match &self.state {
            State::Answered(reason) if reason.code == "0" => told::balance(&self.parameters),
            _ => None,
        }
    }

    /// The receipt of what it did, where it was answered with one.
    #[must_use]
    pub fn done_receipt(&self) -> Option<&str> {
        self.parameters.first(&["transactionreceipt", "receiptno", "receiptnumber"])
    }

    /// The transaction, where it was answered with one.
    #[must_use]
    pub fn transaction(&self) -> Option<Transaction> {
        match &self.state {
            State::Answered(reason) if reason.code == "0" => told::transaction(&self.parameters),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;

    fn request(state: State) -> OperatorRequest {
        let ids = IdSource::seeded(1);
        OperatorRequest {
            id: OperatorRequestId::random(&ids),
            question: Question::Balance,
            short_code: "174379".to_owned(),
            operator: "api-op".to_owned(),
            callback_token: CallbackToken::random(&ids),
            state,
            originator_conversation_id: None,
            conversation_id: None,
            parameters: Parameters::default(),
            requested_by: "cli:root".to_owned(),
            created_at: UnixMillis(1),
            updated_at: UnixMillis(1),
        }
    }

    fn states() -> [State; 6] {
        let reason = || Reason::new("2001", "invalid");
        [
            State::Asking,
            State::Accepted,
            State::Refused(reason()),
            State::ReplyLost,
            State::QueueTimedOut,
            State::Answered(reason()),
        ]
    }

    fn result(conversation: &str) -> Event {
        Event::Result(ResultTold {
            reason: Reason::new("0", "done"),
            originator: None,
            conversation: Some(conversation.to_owned()),
            parameters: Parameters::default(),
        })
    }

    fn accepted() -> Event {
        Event::Accepted { originator: Some("o".to_owned()), conversation: Some("AG_1".to_owned()) }
    }

    #[test]
    fn each_event_leads_from_each_state_where_the_drawing_says() {
        let check = |event: &Event, expected: [Result<&str, Refused>; 6]| {
            for (state, expected) in states().into_iter().zip(expected) {
                let word = state.as_str();
                let after = request(state).apply(event.clone(), UnixMillis(2));
                assert_eq!(
                    after.as_ref().map(|after| after.state.as_str()).map_err(|why| *why),
                    expected,
                    "{word}"
                );
            }
        };
        let (not_now, done) = (Err(Refused::NotNow), Err(Refused::AlreadyAnswered));
        check(
            &accepted(),
            [Ok("accepted"), not_now, not_now, not_now, Ok("queue_timed_out"), Ok("answered")],
        );
        let refused = Event::Refused(Reason::new("400.002.02", "no"));
        check(&refused, [Ok("refused"), not_now, not_now, not_now, not_now, done]);
        check(&Event::ReplyLost, [Ok("reply_lost"), not_now, not_now, not_now, not_now, done]);
        check(
            &Event::QueueTimedOut,
            [Ok("queue_timed_out"), Ok("queue_timed_out"), not_now, Ok("queue_timed_out"), not_now, done],
        );
        check(
            &result("AG_1"),
            [Ok("answered"), Ok("answered"), Ok("answered"), Ok("answered"), Ok("answered"), done],
        );
    }

    #[test]
    fn a_result_of_another_conversation_is_not_this_ones() {
        let acknowledged = request(State::Asking).apply(accepted(), UnixMillis(2)).unwrap();
        assert_eq!(
            acknowledged.clone().apply(result("AG_2"), UnixMillis(3)),
            Err(Refused::AnotherConversation)
        );
        let answered = acknowledged.apply(result("AG_1"), UnixMillis(3)).unwrap();
        assert_eq!(answered.originator_conversation_id.as_deref(), Some("o"));
        assert_eq!(answered.updated_at, UnixMillis(3));
    }

    #[test]
    fn every_state_is_stored_as_a_word_of_its_own() {
        for state in states() {
            let reason = state.reason().cloned().unwrap_or(Reason::new("", ""));
            assert_eq!(State::from_stored(state.as_str(), reason), Some(state));
        }
        assert_eq!(State::from_stored("failed", Reason::new("", "")), None);
    }
}
