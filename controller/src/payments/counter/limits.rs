//! How much one person may take. Pure.
//!
//! A limit keeps what a mistake or a theft can cost within what the owner chose. It is on what is taken, not on what is
//! owed: whoever reached it sends the customer to M-Pesa, or asks the owner.

use thiserror::Error;

use crate::audit::Actor;
use crate::money::Money;
use crate::staff::Role;

/// What an operator may take, write off and give back, unless the settings say otherwise, in shillings.
const SHILLINGS_AT_ONCE: i64 = 50_000;
const SHILLINGS_A_DAY: i64 = 200_000;
const SHILLINGS_WRITTEN_OFF: i64 = 1_000;
const SHILLINGS_REFUNDED: i64 = 5_000;
const SHILLINGS_PLACED: i64 = 50_000;

/// The limits of operators. Owners have none, and viewers take nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In one payment.
    pub at_once: Money,
    /// In all payments of one of Nairobi's days, by one person.
    pub a_day: Money,
    /// What customers owe and one person may write off in one of Nairobi's days.
    pub written_off_a_day: Money,
    /// What one person may give back in one of Nairobi's days, and what they may agree to that others give back.
    pub refunded_a_day: Money,
    /// What of payments that came one person may give to customers in one of Nairobi's days: assigned, moved or shared out.
    pub placed_a_day: Money,
    /// Whether a refund waits until somebody else than who asked agrees; owners' too.
    pub refunds_need_two: bool,
}

/// Who takes money, corrects, writes off or gives back: within which limits.
#[derive(Clone, Copy, Debug)]
pub struct Clerk<'a> {
    /// Under whose name.
    pub actor: &'a Actor,
    /// What they are.
    pub role: Role,
    /// What an operator may.
    pub limits: Limits,
}

#[cfg(test)]
impl<'a> Clerk<'a> {
    /// Whom no limit binds.
    pub(crate) fn owner(actor: &'a Actor) -> Self {
        Self { actor, role: Role::Owner, limits: Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: Money::from_cents(SHILLINGS_AT_ONCE * 100),
            a_day: Money::from_cents(SHILLINGS_A_DAY * 100),
            written_off_a_day: Money::from_cents(SHILLINGS_WRITTEN_OFF * 100),
            refunded_a_day: Money::from_cents(SHILLINGS_REFUNDED * 100),
            placed_a_day: Money::from_cents(SHILLINGS_PLACED * 100),
            refunds_need_two: false,
        }
    }
}

/// Why a person may not take so much.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OverLimit {
    /// In one payment.
    #[error("you may take KES {most} at once: let the customer pay by M-Pesa, or ask an owner to take it")]
    AtOnce {
        /// The limit.
        most: Money,
    },
    /// With what they took today.
    #[error(
        "you may take KES {most} a day and have taken {taken}: let the customer pay by M-Pesa, or ask an owner to take it"
    )]
    ADay {
        /// The limit.
        most: Money,
        /// What they took today.
        taken: Money,
    },
}

/// Why a person may not give so much to customers.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "you may assign, move and share out KES {most} a day and have done so with {placed}: ask an owner to do it"
)]
pub struct OverPlaced {
    /// The limit of a day.
    pub most: Money,
    /// What they gave to customers today.
    pub placed: Money,
}

impl Limits {
    /// Whether somebody of this role, who took `today` already, may take `amount`.
    ///
    /// # Errors
    /// [`OverLimit`], with what they can do about it.
    pub fn allow(&self, role: Role, amount: Money, today: Money) -> Result<(), OverLimit> {
        if role == Role::Owner {
            return Ok(());
        }
        if amount > self.at_once {
            return Err(OverLimit::AtOnce { most: self.at_once });
        }
        match today.checked_add(amount) {
            Some(sum) if sum <= self.a_day => Ok(()),
            Some(_) | None => Err(OverLimit::ADay { most: self.a_day, taken: today }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_takes_up_to_the_limits_and_an_owner_whatever_comes() {
        let cents = Money::from_cents;
        let limits = Limits { at_once: cents(500), a_day: cents(1_200), ..Limits::default() };
        let check = |role, amount, today, expected| {
            assert_eq!(limits.allow(role, cents(amount), cents(today)), expected, "{role} {amount} {today}");
        };
        let at_once = Err(OverLimit::AtOnce { most: cents(500) });
        let a_day = |taken| Err(OverLimit::ADay { most: cents(1_200), taken: cents(taken) });
        check(Role::Operator, 500, 700, Ok(()));
        check(Role::Operator, 501, 0, at_once);
        check(Role::Operator, 500, 701, a_day(701));
        check(Role::Operator, 1, i64::MAX, a_day(i64::MAX));
        check(Role::Owner, 501, i64::MAX, Ok(()));
    }
}
