//! How much of other people's money one person may give to customers in a day: what they assign, move and share out.
//!
//! Whoever says whose a payment is can give it to a friend, and the limit keeps what that costs within what the owner chose.
//! Called before the money moves, in its transaction: what comes to nothing is noted nowhere.

use tawi_shared::UnixMillis;

use super::limits::{Clerk, OverPlaced};
use super::{same_person, store};
use crate::database::Connection;
use crate::ids::PaymentId;
use crate::payments::{PaymentError, PaymentRow};
use crate::staff::Role;
use crate::usage::history::day_of;

/// Notes that somebody is about to say whose a payment is, where they may. An owner may always, and of a payment that there is
/// not the caller knows.
///
/// # Errors
/// [`PaymentError`]; the transaction must then be rolled back, also where it is [`OverPlaced`].
pub(in crate::payments) async fn place(
    connection: &mut Connection,
    payment: &PaymentId,
    clerk: Clerk<'_>,
    now: UnixMillis,
) -> Result<Result<(), OverPlaced>, PaymentError> {
    if clerk.role == Role::Owner {
        return Ok(Ok(()));
    }
    let Some(PaymentRow { payment, .. }) = crate::payments::payment(connection, payment).await? else {
        return Ok(Ok(()));
    };
    let names = same_person(clerk.actor);
    let placed = store::placed_since(connection, &names, day_of(now)).await?;
    let most = clerk.limits.placed_a_day;
    if placed.checked_add(payment.amount).is_none_or(|sum| sum > most) {
        return Ok(Err(OverPlaced { most, placed }));
    }
    store::note_placed(connection, &clerk.actor.to_string(), &payment, now).await?;
    Ok(Ok(()))
}
