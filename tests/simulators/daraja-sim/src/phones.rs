//! The simulated phones: what each does when a prompt appears, and what it has in its wallet.
//!
//! `answer` is the whole decision and is pure; `stk/prompting.rs` acts on it. A phone never decides
//! what the gateway does with its callbacks except through the faults that it carries, so that one
//! unlucky customer can be set among many lucky ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identifiers::{AmountKes, Msisdn};
use crate::stk::callback::ResultCode;

/// Phones that may be described. A town's worth; each takes some 300 bytes.
pub(crate) const MAX_PHONES: usize = 100_000;
/// The longest thinking or delaying time: an hour, longer than any poll schedule under test.
pub(crate) const MAX_DELAY_MS: u64 = 3_600_000;
/// The most copies of one callback. Logs show up to 3; 50 is a storm.
pub(crate) const MAX_COPIES: u32 = 50;

/// What a phone does when a prompt appears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Types the right PIN; result 0.
    #[default]
    Pay,
    /// Presses cancel; result 1032.
    Refuse,
    /// Lies face down, or is off; result 1037.
    Ignore,
    /// Types a wrong PIN; result 2001.
    WrongPin,
    /// Has too little money, whatever its balance says; result 1.
    Insufficient,
    /// Ends with the phone's `result_code`, for codes that nobody foresaw.
    Fail,
}

impl Behaviour {
    /// Whether it ends a prompt in a way after which customers were seen to pay after all.
    pub(crate) fn may_pay_late(self) -> bool {
        matches!(self, Self::Ignore | Self::Refuse)
    }
}

/// What goes wrong with a phone's STK callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackFaults {
    /// How often the same body is sent; 1 is the normal case.
    pub copies: u32,
    /// Milliseconds between the customer's answer and the first copy.
    pub delay_ms: u64,
    /// Never sent at all. The money moves nevertheless.
    pub lost: bool,
    /// Sent, and its delivery awaited, before the HTTP answer to the push.
    pub before_reply: bool,
    /// All copies at the same moment instead of one after the other.
    pub together: bool,
}

impl Default for CallbackFaults {
    fn default() -> Self {
        Self { copies: 1, delay_ms: 0, lost: false, before_reply: false, together: false }
    }
}

/// What goes wrong with a phone's C2B confirmations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfirmationFaults {
    /// How often the same body is sent; 1 is the normal case.
    pub copies: u32,
    /// Milliseconds between the movement of the money and the first copy.
    pub delay_ms: u64,
    /// Never sent at all. The money moves nevertheless.
    pub lost: bool,
    /// All copies at the same moment instead of one after the other.
    pub together: bool,
}

impl Default for ConfirmationFaults {
    fn default() -> Self {
        Self { copies: 1, delay_ms: 0, lost: false, together: false }
    }
}

/// One phone: its owner's behaviour, its wallet, and the faults on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phone {
    /// What it does when a prompt appears.
    pub behaviour: Behaviour,
    /// Thinking time in milliseconds, before any behaviour.
    pub delay_ms: u64,
    /// Money in the wallet, in cents; `null` is plenty. Payments take from it; too little ends in 1.
    pub balance_cents: Option<u64>,
    /// Only with `ignore` and `refuse`: milliseconds after the 1037 or 1032 at which the customer pays after all.
    pub late_success_ms: Option<u64>,
    /// Only with `fail`: the code to end with, such as `"1019"` or `"SFC_IC0003"`.
    pub result_code: Option<String>,
    /// The name in C2B notifications; real ones may be empty, too.
    pub first_name: String,
    /// What goes wrong with its STK callback.
    pub callback: CallbackFaults,
    /// What goes wrong with its C2B confirmations.
    pub confirmation: ConfirmationFaults,
}

/// A description of a phone that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PhoneRefused {
    /// A time beyond the limit.
    #[error("{field} is at most {MAX_DELAY_MS} ms")]
    TooLong {
        /// The field at fault.
        field: &'static str,
    },
    /// Too many copies, or none. To send none, say `lost`.
    #[error("{field} is 1 to {MAX_COPIES}; to send nothing, set lost")]
    Copies {
        /// The field at fault.
        field: &'static str,
    },
    /// A late success without an earlier failure.
    #[error("late_success_ms goes with behaviour \"ignore\" or \"refuse\" only")]
    LateSuccessNeedsFailure,
    /// `fail` without a code, or a code without `fail`.
    #[error(
        "result_code goes with behaviour \"fail\", which needs one of 1 to 16 letters, digits, dots or underscores"
    )]
    ResultCode,
    /// A name that no notification could carry.
    #[error("first_name is at most 60 characters")]
    NameTooLong,
}

impl Phone {
    /// Checks that the description makes sense.
    pub(crate) fn check(&self) -> Result<(), PhoneRefused> {
        let times = [
            ("delay_ms", self.delay_ms),
            ("late_success_ms", self.late_success_ms.unwrap_or_default()),
            ("callback.delay_ms", self.callback.delay_ms),
            ("confirmation.delay_ms", self.confirmation.delay_ms),
        ];
        if let Some((field, _)) = times.into_iter().find(|(_, time)| *time > MAX_DELAY_MS) {
            return Err(PhoneRefused::TooLong { field });
        }
        let copies =
            [("callback.copies", self.callback.copies), ("confirmation.copies", self.confirmation.copies)];
        if let Some((field, _)) = copies.into_iter().find(|(_, count)| !(1..=MAX_COPIES).contains(count)) {
            return Err(PhoneRefused::Copies { field });
        }
        if self.late_success_ms.is_some() && !self.behaviour.may_pay_late() {
            return Err(PhoneRefused::LateSuccessNeedsFailure);
        }
        let code_is_right = match (&self.result_code, self.behaviour) {
            (Some(code), Behaviour::Fail) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
                (1..=16).contains(&code.len()) && code.bytes().all(plain) && code != "0"
            }
            (None, Behaviour::Fail) | (Some(_), _) => false,
            (None, _) => true,
        };
        if !code_is_right {
            return Err(PhoneRefused::ResultCode);
        }
        if self.first_name.chars().count() > 60 { Err(PhoneRefused::NameTooLong) } else { Ok(()) }
    }
}

/// All that the decision depends on.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// What the customer does about the prompt.
    pub(crate) behaviour: Behaviour,
    /// The code of a phone that fails.
    pub(crate) result_code: Option<String>,
    /// What is asked for.
    pub(crate) amount: AmountKes,
    /// What the wallet holds; `None` is plenty.
    pub(crate) balance_cents: Option<u64>,
    /// Whether the same amount moved from this phone by STK within the last two minutes.
    pub(crate) repeats_a_payment: bool,
    /// What M-Pesa makes of `TransactionType` and `PartyB`, if they do not belong together.
    pub(crate) misdirected: Option<ResultCode>,
}

/// How a prompt ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Money moves.
    Pays,
    /// No money moves.
    Declines(ResultCode),
}

/// How a prompt ends: routing first, then the customer, then M-Pesa's rules, then the wallet.
pub(crate) fn answer(question: Question) -> Answer {
    if let Some(code) = question.misdirected {
        return Answer::Declines(code);
    }
    match question.behaviour {
        Behaviour::Refuse => return Answer::Declines(ResultCode::CancelledByUser),
        Behaviour::Ignore => return Answer::Declines(ResultCode::NoAnswer),
        Behaviour::WrongPin => return Answer::Declines(ResultCode::WrongPin),
        Behaviour::Insufficient => return Answer::Declines(ResultCode::InsufficientBalance),
        Behaviour::Fail => {
            return Answer::Declines(ResultCode::Other(
                question.result_code.unwrap_or_else(|| "9999".to_owned()),
            ));
        }
        Behaviour::Pay => {}
    }
    if question.repeats_a_payment {
        return Answer::Declines(ResultCode::RuleLimited);
    }
    match question.balance_cents {
        Some(balance_cents) if balance_cents < question.amount.cents() => {
            Answer::Declines(ResultCode::InsufficientBalance)
        }
        _ => Answer::Pays,
    }
}

/// All phones that were described, and the one that stands for the rest.
#[derive(Debug)]
pub(crate) struct Phones {
    default: Phone,
    by_msisdn: BTreeMap<Msisdn, Phone>,
}

impl Phones {
    pub(crate) fn new(default: Phone) -> Self {
        Self { default, by_msisdn: BTreeMap::new() }
    }

    /// How this phone behaves now.
    pub(crate) fn of(&self, msisdn: &Msisdn) -> &Phone {
        self.by_msisdn.get(msisdn).unwrap_or(&self.default)
    }

    pub(crate) fn default_phone(&self) -> &Phone {
        &self.default
    }

    pub(crate) fn set_default(&mut self, phone: Phone) {
        self.default = phone;
    }

    /// Describes a phone; `false` when there is no room for another one.
    pub(crate) fn set(&mut self, msisdn: Msisdn, phone: Phone) -> bool {
        let fits = self.by_msisdn.len() < MAX_PHONES || self.by_msisdn.contains_key(&msisdn);
        if fits {
            self.by_msisdn.insert(msisdn, phone);
        }
        fits
    }

    /// Forgets a phone, which then behaves as the default one; `false` if it was not described.
    pub(crate) fn forget(&mut self, msisdn: &Msisdn) -> bool {
        self.by_msisdn.remove(msisdn).is_some()
    }

    /// Takes the amount out of the wallet, if it is a counted one.
    pub(crate) fn debit(&mut self, msisdn: &Msisdn, amount: AmountKes) {
        if !self.by_msisdn.contains_key(msisdn) && self.default.balance_cents.is_some() {
            // Each unknown phone has a wallet of its own, which exists from its first payment on.
            self.set(msisdn.clone(), self.default.clone());
        }
        if let Some(balance_cents) =
            self.by_msisdn.get_mut(msisdn).and_then(|phone| phone.balance_cents.as_mut())
        {
            *balance_cents = balance_cents.saturating_sub(amount.cents());
        }
    }

    /// Described phones behind `after`, in the order of their numbers.
    pub(crate) fn after(&self, after: &str) -> impl Iterator<Item = (&Msisdn, &Phone)> {
        self.by_msisdn.iter().skip_while(move |(msisdn, _)| msisdn.as_str() <= after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(behaviour: Behaviour) -> Question {
        Question {
            behaviour,
            result_code: Some("1019".to_owned()),
            amount: AmountKes::new(100).unwrap(),
            balance_cents: None,
            repeats_a_payment: false,
            misdirected: None,
        }
    }

    #[test]
    fn each_behaviour_ends_in_its_code() {
        for (behaviour, code) in [
            (Behaviour::Refuse, ResultCode::CancelledByUser),
            (Behaviour::Ignore, ResultCode::NoAnswer),
            (Behaviour::WrongPin, ResultCode::WrongPin),
            (Behaviour::Insufficient, ResultCode::InsufficientBalance),
            (Behaviour::Fail, ResultCode::Other("1019".to_owned())),
        ] {
            assert_eq!(answer(question(behaviour)), Answer::Declines(code));
        }
        assert_eq!(answer(question(Behaviour::Pay)), Answer::Pays);
    }

    #[test]
    fn a_wallet_pays_down_to_its_last_cent() {
        let with = |balance_cents| {
            answer(Question { balance_cents: Some(balance_cents), ..question(Behaviour::Pay) })
        };
        assert_eq!(with(10_000), Answer::Pays);
        assert_eq!(with(9_999), Answer::Declines(ResultCode::InsufficientBalance));
    }

    #[test]
    fn a_repeat_is_refused_only_once_the_customer_would_pay() {
        let repeat = |behaviour| answer(Question { repeats_a_payment: true, ..question(behaviour) });
        assert_eq!(repeat(Behaviour::Pay), Answer::Declines(ResultCode::RuleLimited));
        assert_eq!(repeat(Behaviour::Refuse), Answer::Declines(ResultCode::CancelledByUser));
    }

    #[test]
    fn each_unknown_phone_has_a_wallet_of_its_own() {
        let mut phones = Phones::new(Phone { balance_cents: Some(10_000), ..Phone::default() });
        let (one, other) = (Msisdn::parse("254712345678").unwrap(), Msisdn::parse("254112345678").unwrap());
        phones.debit(&one, AmountKes::new(60).unwrap());
        assert_eq!(phones.of(&one).balance_cents, Some(4_000));
        assert_eq!(phones.of(&other).balance_cents, Some(10_000));
    }

    #[test]
    fn senseless_descriptions_are_refused() {
        let late = Phone { late_success_ms: Some(5), ..Phone::default() };
        assert_eq!(late.check(), Err(PhoneRefused::LateSuccessNeedsFailure));
        let fails = Phone { behaviour: Behaviour::Fail, ..Phone::default() };
        assert_eq!(fails.check(), Err(PhoneRefused::ResultCode));
        let slow = Phone { delay_ms: MAX_DELAY_MS + 1, ..Phone::default() };
        assert_eq!(slow.check(), Err(PhoneRefused::TooLong { field: "delay_ms" }));
        let none =
            Phone { callback: CallbackFaults { copies: 0, ..CallbackFaults::default() }, ..Phone::default() };
        assert_eq!(none.check(), Err(PhoneRefused::Copies { field: "callback.copies" }));
    }
}
