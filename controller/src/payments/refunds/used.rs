//! Used time that is written off for a refund which gives it back as well: it stays so only where the money went.
//!
//! The entry comes with the hold (`corrections`). Where nothing went back it is mirrored, and whoever has the money has paid
//! for what they used; where it went after all it is booked once more. Both count for who asked for the refund, so that
//! nobody else may write off more or less in a day by them.

use tawi_shared::{IdSource, UnixMillis};

use super::{Refund, store};
use crate::database::Connection;
use crate::ledger::{self, Account, Entry};
use crate::money::Money;
use crate::payments::{PaymentError, store as payments_store};

/// Undoes what was written off for a refund that came to nothing.
pub(super) async fn undo(
    connection: &mut Connection,
    refund: &Refund,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let Some(customer) = &refund.customer else { return Ok(()) };
    let off = store::written_off_for(connection, &refund.payment).await?;
    let accounts = (Account::Wallet(customer.clone()), Account::WriteOffs);
    let memo = "not given back: its used time is paid";
    book(connection, refund, (store::USED_RETURNED, memo), (accounts, off), ids, now).await?;
    if off.is_positive() && !ledger::wallet_of(connection, customer).await?.is_positive() {
        // Nothing of it waits in the wallet.
        payments_store::note_used(connection, customer, Money::ZERO).await?;
    }
    Ok(())
}

/// Writes off once more what was undone for a refund that went after all.
pub(super) async fn book_again(
    connection: &mut Connection,
    refund: &Refund,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    let Some(customer) = &refund.customer else { return Ok(()) };
    let off = store::write_off_undone(connection, refund).await?;
    let accounts = (Account::WriteOffs, Account::Wallet(customer.clone()));
    let memo = "given back after all with its used time";
    book(connection, refund, ("used_time_again", memo), (accounts, off), ids, now).await
}

async fn book(
    connection: &mut Connection,
    refund: &Refund,
    (kind, memo): (&'static str, &str),
    (accounts, off): ((Account, Account), Money),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), PaymentError> {
    if !off.is_positive() {
        return Ok(());
    }
    let cause = (kind, format!("{} {}", refund.payment, refund.id));
    let memo = format!("{}, {memo}", refund.receipt_number);
    let entry = Entry::transfer(cause, &refund.requested_by, &memo, accounts, off)
        .map_err(ledger::LedgerError::Unbalanced)?;
    ledger::book(connection, &entry, ids, now).await?;
    Ok(())
}
