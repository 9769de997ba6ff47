//! A request for payment sent to a phone, and everything that can become of it. Pure.
//!
//! ```text
//!   created ──submit──▶ submitting ──accepted──▶ prompted ──────time is up─────▶ expired
//!                        │      │                   │ │                             │
//!               not sent │      │ reply lost        │ └──query: paid──┐             │
//!                        ▼      ▼                   ▼                 ▼             │
//!                   declined   submit_unknown    declined     paid_unreceipted      │
//!                        │          │               │  (unknown code: review)       │
//!                        └──────────┴───────────────┴─────────┬───────┴─────────────┘
//!                                                             ▼ a receipt
//!                                                            paid
//! ```
//! Only a receipt makes `paid`, from any state, since callbacks come before replies and after time-outs. One thing leads out
//! of it: where a rule took some payment for the request's, the receipt of its own callback replaces it, and when that payment
//! turns out to be another request's, this one waits for its own, or is asked about again. A query can say "paid", which is noted and is no money.
//! A push whose answer was lost is never sent again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tawi_shared::UnixMillis;
use thiserror::Error;

use super::evidence::{BadForm, CheckoutId, Reason, ReceiptNumber};
use super::result_codes::{self, Meaning};
use super::{not_sent, poll};
use crate::customers::phone::Msisdn;
use crate::entitlements::Offer;
use crate::ids::{CustomerId, IdSource, IntentId, LineId, PlanId, TopUpId};
use crate::money::Money;

/// When a push that was neither accepted nor refused counts as lost: the client gives up after 80 s at most; a
/// controller that was killed in between never will.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(120);
/// Random bytes in a callback's path: 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// The secret part of a callback's path: 32 characters of lower-case hex, which cannot spell a word that Safaricom's
/// gateway blocks. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallbackToken(String);

impl CallbackToken {
    /// Draws one.
    #[must_use]
    pub fn random(ids: &IdSource) -> Self {
        Self(ids.hex(TOKEN_BYTES))
    }

    /// Takes exactly 32 characters of lower-case hex.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == TOKEN_BYTES * 2 && is_hex).then(|| Self(text.to_owned()))
    }

    /// The token: for the callback's URL and the database.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallbackToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(NotAToken)
    }
}

/// A text that is no callback token. Does not repeat the text.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a callback token has 32 characters of 0-9 and a-f")]
pub struct NotAToken;

impl fmt::Debug for CallbackToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackToken(hidden)")
    }
}

/// Where a request for payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Stored, nothing sent.
    Created,
    /// Being sent. Stored before it is sent, so that a crash cannot hide a prompt.
    Submitting,
    /// On the phone.
    Prompted,
    /// Sent, and the answer was lost: it may be on the phone.
    SubmitUnknown,
    /// The query says paid. Without a receipt nothing is booked.
    PaidUnreceipted,
    /// Paid and booked.
    Paid(ReceiptNumber),
    /// No money moved; a late receipt is still taken.
    Declined(Reason),
    /// Nothing was heard; a late receipt is still taken.
    Expired,
    /// A person has to look.
    Review(Reason),
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is about to be sent.
    Submit,
    /// Daraja took it.
    Accepted {
        /// Safaricom's id of the prompt.
        checkout: CheckoutId,
        /// Safaricom's other id of it.
        merchant_request_id: Option<String>,
    },
    /// It certainly reached no phone.
    NotSent(Reason),
    /// It may have reached the phone.
    ReplyLost,
    /// A callback brought a receipt.
    Paid {
        /// The receipt.
        receipt: ReceiptNumber,
        /// The prompt that it names.
        checkout: Option<CheckoutId>,
    },
    /// A callback on the request's own path brought a receipt, where a rule had taken another for it.
    PaidInstead {
        /// The receipt.
        receipt: ReceiptNumber,
        /// The prompt that it names.
        checkout: Option<CheckoutId>,
    },
    /// A callback says paid, without a receipt.
    PaidWithoutReceipt {
        /// The prompt that it names.
        checkout: Option<CheckoutId>,
    },
    /// A callback says that no money moved.
    Failed {
        /// Why.
        reason: Reason,
        /// The prompt that it names.
        checkout: Option<CheckoutId>,
    },
    /// The query says paid.
    QueryPaid,
    /// The query says that no money moved.
    QueryFailed(Reason),
    /// A query is about to be sent.
    Queried,
    /// Nothing more will be asked.
    TimeUp,
    /// What a rule had taken for its receipt is another request's.
    ReceiptGone {
        /// Whether Safaricom ever said that it is paid: then it is, with a receipt that has not come.
        is_said_paid: bool,
    },
}

/// Why an event changes nothing, and a person should know.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// The callback speaks of another prompt: forged, or sent to the wrong path.
    #[error("the callback names another prompt")]
    AnotherCheckout,
    /// It is paid, and this says otherwise.
    #[error("the request is paid, and this says otherwise")]
    AlreadyPaid,
    /// It is paid with another receipt.
    #[error("the request is paid with another receipt")]
    AnotherReceipt,
    /// It cannot have happened in this state.
    #[error("the request's state does not allow it")]
    NotPossible,
}

/// What a customer was asked to pay for: it is sold to them as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promised {
    /// Of which plan. A line that was moved to another plan is not promised anything of that.
    pub plan: PlanId,
    /// One period.
    pub offer: Offer,
}

/// A request for payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The id.
    pub id: IntentId,
    /// What is to be paid for.
    pub subscription: LineId,
    /// What the money is to buy for it; `None` for a period.
    pub top_up: Option<TopUpId>,
    /// Whose it is.
    pub customer: CustomerId,
    /// Who is paid.
    pub short_code: String,
    /// Whose phone was asked.
    pub phone: Msisdn,
    /// How much was asked for.
    pub amount: Money,
    /// The period that it was to buy; `None` where it was not enough for one, or is for a top-up.
    pub promised: Option<Promised>,
    /// Where the callback comes to.
    pub callback_token: CallbackToken,
    /// Where it stands.
    pub state: State,
    /// Safaricom's id of the prompt, once known.
    pub checkout: Option<CheckoutId>,
    /// Safaricom's other id of it.
    pub merchant_request_id: Option<String>,
    /// When something is to be done about it although nothing happened; `None` when nothing is.
    pub next_query_at: Option<UnixMillis>,
    /// Queries sent so far.
    pub queries_sent: u32,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub created_at: UnixMillis,
    /// When something happened to it last.
    pub updated_at: UnixMillis,
}

impl Intent {
    /// Takes in what happened. An event that is no news leaves the state as it is.
    ///
    /// # Errors
    /// [`Refused`]: the intent stays as it was, and a person should look.
    pub fn apply(mut self, event: Event, now: UnixMillis) -> Result<Self, Refused> {
        self.learn(&event)?;
        let state = next_state(&self.state, &event)?;
        self.next_query_at = match (&state, &event) {
            (State::Submitting, Event::Submit) => Some(now.plus(SUBMIT_DEADLINE)),
            (State::Prompted, Event::Queried) => {
                self.queries_sent = self.queries_sent.saturating_add(1);
                Some(poll::next_step_at(self.created_at, self.queries_sent, now))
            }
            (State::Prompted, _) => Some(poll::next_step_at(self.created_at, self.queries_sent, now)),
            (State::SubmitUnknown, _) => Some(poll::gives_up_at(self.created_at)),
            (State::Submitting, _) => self.next_query_at,
            _ => None,
        };
        self.state = state;
        self.updated_at = now;
        Ok(self)
    }

    /// Notes ids that the event brings; refuses an event about another prompt.
    fn learn(&mut self, event: &Event) -> Result<(), Refused> {
        let (checkout, is_callback) = match event {
            Event::Accepted { checkout, merchant_request_id } => {
                if self.merchant_request_id.is_none() {
                    self.merchant_request_id.clone_from(merchant_request_id);
                }
                (Some(checkout), false)
            }
            Event::Paid { checkout, .. }
            | Event::PaidInstead { checkout, .. }
            | Event::PaidWithoutReceipt { checkout }
            | Event::Failed { checkout, .. } => (checkout.as_ref(), true),
            _ => return Ok(()),
        };
        match (&self.checkout, checkout) {
            (Some(known), Some(told)) if known != told => Err(Refused::AnotherCheckout),
            (Some(_), None) if is_callback => Err(Refused::AnotherCheckout),
            (None, Some(told)) => {
                self.checkout = Some(told.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the customer may still be looking at the prompt, or the money may be on its way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(
            self.state,
            State::Created
                | State::Submitting
                | State::Prompted
                | State::SubmitUnknown
                | State::PaidUnreceipted
        )
    }

    /// Whether its money buys something when it comes as it was asked for. Less than a period lacks buys nothing, nor does
    /// what was asked for while the line was held: it waits in the wallet.
    #[must_use]
    pub fn is_to_buy(&self) -> bool {
        self.top_up.is_some() || self.promised.is_some()
    }

    /// The receipt, once paid.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        match &self.state {
            State::Paid(receipt) => Some(receipt.as_str()),
            _ => None,
        }
    }

    /// Safaricom's code and text, when it was declined or needs a person.
    #[must_use]
    pub fn result(&self) -> Option<(&str, &str)> {
        match &self.state {
            State::Declined(reason) | State::Review(reason) => Some((&reason.code, &reason.description)),
            _ => None,
        }
    }

    /// One or two sentences for the customer and whoever speaks with them. Whether payments by Paybill are heard of
    /// decides whether anybody is sent there.
    #[must_use]
    pub fn advice(&self, is_paybill_heard: bool) -> &'static str {
        match &self.state {
            State::Created | State::Submitting => "The request is being sent.",
            State::Prompted => "The request is on the phone: the customer enters the M-Pesa PIN.",
            State::SubmitUnknown => {
                "M-Pesa did not answer: the request may be on the phone. Wait two minutes before sending another."
            }
            State::PaidUnreceipted => "M-Pesa says that it is paid; the receipt has not come yet.",
            State::Paid(_) => "Paid.",
            State::Expired => "Nothing was heard from the phone. If the customer paid, it is still credited.",
            // No prompt was ever named: it did not leave, or was not taken.
            State::Declined(reason) if self.checkout.is_none() => not_sent::advice(reason, is_paybill_heard),
            State::Declined(reason) | State::Review(reason) => {
                result_codes::advice(&reason.code, is_paybill_heard)
            }
        }
    }
}

/// Where an event leads. The last arm answers everything unforeseen.
fn next_state(state: &State, event: &Event) -> Result<State, Refused> {
    let stay = || Ok(state.clone());
    match (state, event) {
        (State::Paid(known), Event::Paid { receipt, .. }) if known == receipt => stay(),
        (State::Paid(_), Event::Paid { .. }) => Err(Refused::AnotherReceipt),
        (_, Event::Paid { receipt, .. } | Event::PaidInstead { receipt, .. }) => {
            Ok(State::Paid(receipt.clone()))
        }
        (State::Paid(_), Event::Failed { .. } | Event::NotSent(_)) => Err(Refused::AlreadyPaid),
        (State::Paid(_), Event::Submit) => Err(Refused::NotPossible),
        // As if the receipt had never been taken for its: what Safaricom said of it stands, and where that was nothing, it is
        // asked about again, and given up in its time.
        (State::Paid(_), Event::ReceiptGone { is_said_paid: true }) => Ok(State::PaidUnreceipted),
        (State::Paid(_), Event::ReceiptGone { is_said_paid: false }) => Ok(State::Prompted),
        (_, Event::ReceiptGone { .. }) => stay(),
        (State::Paid(_), _) => stay(),

        (State::Created, Event::Submit) => Ok(State::Submitting),
        (State::Created, _) | (_, Event::Submit) => Err(Refused::NotPossible),

        (State::Submitting | State::SubmitUnknown, Event::Accepted { .. }) => Ok(State::Prompted),
        // The callback was faster than the reply.
        (_, Event::Accepted { .. }) => stay(),

        (State::Submitting | State::SubmitUnknown, Event::NotSent(reason)) => {
            Ok(State::Declined(reason.clone()))
        }
        (_, Event::NotSent(_)) => Err(Refused::NotPossible),

        (State::Submitting, Event::ReplyLost | Event::TimeUp) => Ok(State::SubmitUnknown),
        (State::Prompted | State::SubmitUnknown, Event::TimeUp) => Ok(State::Expired),
        (_, Event::ReplyLost | Event::TimeUp) => stay(),

        (_, Event::PaidWithoutReceipt { .. }) => Ok(State::PaidUnreceipted),
        // One says paid, the other says not: a person has to look.
        (State::PaidUnreceipted, Event::Failed { reason, .. }) => Ok(State::Review(reason.clone())),
        (_, Event::Failed { reason, .. }) => Ok(ended(state, reason)),

        (State::Submitting, _) => Err(Refused::NotPossible),
        (_, Event::QueryPaid) => Ok(State::PaidUnreceipted),
        // The query was wrong before: it ends nothing that something better has ended.
        (State::Prompted, Event::QueryFailed(reason)) => Ok(ended(state, reason)),
        (_, Event::QueryFailed(_) | Event::Queried) => stay(),
    }
}

/// What a failure with this code leads to.
fn ended(state: &State, reason: &Reason) -> State {
    match result_codes::meaning(&reason.code) {
        Meaning::Declined => State::Declined(reason.clone()),
        Meaning::Pending => state.clone(),
        Meaning::Unknown => State::Review(reason.clone()),
    }
}

impl State {
    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Submitting => "submitting",
            Self::Prompted => "prompted",
            Self::SubmitUnknown => "submit_unknown",
            Self::PaidUnreceipted => "paid_unreceipted",
            Self::Paid(_) => "paid",
            Self::Declined(_) => "declined",
            Self::Expired => "expired",
            Self::Review(_) => "review",
        }
    }

    /// Reads a state back from its word and what belongs to it.
    ///
    /// # Errors
    /// When the word is unknown, or a paid one has no receipt.
    pub fn from_stored(word: &str, receipt: Option<&str>, reason: Reason) -> Result<Self, BadForm> {
        Ok(match (word, receipt) {
            ("created", _) => Self::Created,
            ("submitting", _) => Self::Submitting,
            ("prompted", _) => Self::Prompted,
            ("submit_unknown", _) => Self::SubmitUnknown,
            ("paid_unreceipted", _) => Self::PaidUnreceipted,
            ("paid", Some(receipt)) => Self::Paid(receipt.parse()?),
            ("declined", _) => Self::Declined(reason),
            ("expired", _) => Self::Expired,
            ("review", _) => Self::Review(reason),
            _ => return Err(BadForm::new(word)),
        })
    }
}

#[cfg(test)]
mod tests;
