//! What of a payment can still go back: what is not used of what it bought, and what lies in the wallet. It only reads.
//!
//! What is used is not given back unless somebody says so, who then writes it off. Holding the money is the module above.

use tawi_shared::UnixMillis;

use super::store;
use crate::database::Connection;
use crate::ledger;
use crate::money::Money;
use crate::payments::corrections::store as purchases;
use crate::payments::{Payment, PaymentError};

/// How much of a payment is used, and how much is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What would be given back.
    pub left: Money,
    /// What is used of what it bought, or was spent.
    pub used: Money,
}

impl Left {
    /// What a phone can be paid of it: whole shillings, and nothing below the least that M-Pesa pays.
    #[must_use]
    pub fn payable(&self) -> Money {
        payable(self.left)
    }
}

/// What of an amount a phone can be paid.
pub(super) fn payable(amount: Money) -> Money {
    let shillings = Money::from_cents(amount.cents().div_euclid(100).saturating_mul(100));
    let (least, most) = (*super::PAYOUT_CENTS.start(), *super::PAYOUT_CENTS.end());
    if shillings.cents() < least { Money::ZERO } else { shillings.min(Money::from_cents(most)) }
}

/// What is left of a payment with all that it bought.
///
/// # Errors
/// When the database refuses.
pub async fn of(
    connection: &mut Connection,
    payment: &Payment,
    now: UnixMillis,
) -> Result<Left, PaymentError> {
    let given = store::given_back(connection, &payment.id).await?;
    let of_payment = payment.amount.checked_sub(given).unwrap_or(Money::ZERO);
    let Some(customer) = &payment.customer else { return Ok(Left { left: of_payment, used: Money::ZERO }) };
    let mut has = ledger::wallet_of(connection, customer).await?;
    for bought in purchases::held_of_payment(connection, &payment.id, customer).await? {
        has = has.checked_add(bought.left_now(now)).unwrap_or(has);
    }
    let together = purchases::bought_together(connection, (&payment.id, customer), payment.booked_at).await?;
    for bought in together {
        if has >= of_payment {
            break;
        }
        has = has.checked_add(bought.left_now(now)).unwrap_or(has);
    }
    let left = has.min(of_payment).max(Money::ZERO);
    Ok(Left { left, used: of_payment.checked_sub(left).unwrap_or(Money::ZERO) })
}
