//! Sends refunds, and asks M-Pesa what became of those that nobody knows of.
//!
//! That a refund is being sent is committed before it is sent: who is killed between the two finds it `asking`, and asks
//! what became of it. Nothing here sends twice; a second time is a person's word, and M-Pesa's own names keep it one.

use std::time::Duration;

use super::state::{Event, State};
use super::told::is_each_final;
use super::{Refund, RefundRow, Way, credit_actor, step, store};
use crate::ids::RefundId;
use crate::mpesa::ShortCodes;
use crate::mpesa::evidence::Reason;
use crate::mpesa::operator::{self, NotAsked, Question, Refunding, Sent};
use crate::payments::PaymentError;
use crate::shutdown::Stop;
use crate::state::Controller;

/// Refunds in one look: people make them one by one.
const TOGETHER: u32 = 50;
/// How often it is looked although nobody rang.
const LOOK: Duration = Duration::from_secs(5);

/// Sends what is due until the end.
pub async fn run_refunds(controller: Controller, short_codes: ShortCodes, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = controller.live.refunds_rung() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = send_due(&controller, &short_codes).await {
            tracing::error!("refunds cannot be sent: {error}");
        }
    }
}

/// Does for each refund what is due; says for how many.
///
/// # Errors
/// [`PaymentError`]: when it cannot be read what is due. What goes wrong with one refund is logged, and is tried again at the
/// next look.
pub(crate) async fn send_due(
    controller: &Controller,
    short_codes: &ShortCodes,
) -> Result<usize, PaymentError> {
    let now = controller.clock.now();
    let due = store::due(&mut *controller.database.read().await?, now, TOGETHER).await?;
    for id in &due {
        if let Err(error) = do_next(controller, short_codes, id).await {
            tracing::error!(refund.id = %id, "a refund cannot be sent or asked about: {error}");
        }
    }
    Ok(due.len())
}

async fn do_next(
    controller: &Controller,
    short_codes: &ShortCodes,
    id: &RefundId,
) -> Result<(), PaymentError> {
    let (ids, now) = (&controller.ids, controller.clock.now());
    let mut transaction = controller.database.write().await?;
    let Some(RefundRow { mut refund, .. }) = store::by_id(&mut transaction, id).await? else { return Ok(()) };
    if refund.due.next_at.is_none_or(|at| at > now) {
        return Ok(());
    }
    let (event, question) = match refund.state() {
        State::Held => match refund.way {
            Way::Reversal => (Event::Sending, Some(Question::Reversal(id.clone()))),
            Way::Payout => (Event::Sending, Some(Question::Payout(id.clone()))),
        },
        State::Unknown => (Event::Looked, Some(Question::RefundStatus(id.clone()))),
        // Whoever sent it was killed before the answer, or nothing was heard of it for too long.
        _ => (Event::TimedOut, None),
    };
    let is_look = event == Event::Looked;
    let Some(question) = question else {
        let _ = step(&mut transaction, refund, event, credit_actor(), ids, now).await?;
        transaction.commit().await?;
        return Ok(());
    };
    if refund.way == Way::Payout && !is_look && refund.due.looks == 0 {
        // Where it goes out of is decided when it is sent first. Out of another one it would be another payment, and what looks it
        // up asks where it went.
        refund.short_code = short_codes.pays_out_of(&refund.short_code).to_owned();
    }
    let asked = (refund.short_code.as_str(), asked(&refund, is_look));
    let drawn =
        operator::draw_refund(&mut transaction, (controller, short_codes), question, asked, credit_actor())
            .await;
    let drawn = match drawn {
        Ok(drawn) => drawn,
        Err(NotAsked::Database(error)) => return Err(error.into()),
        // It cannot be looked up from here, so that a person has to in the end.
        Err(NotAsked::AnotherShortCode { .. }) if is_look => {
            let _ = step(&mut transaction, refund, event, credit_actor(), ids, now).await?;
            transaction.commit().await?;
            return Ok(());
        }
        // Without an operator it is held until there is one, or somebody decides.
        Err(why) => {
            if !is_look {
                refund.result_description = why.to_string();
            }
            refund.due.next_at = Some(now.plus(Duration::from_secs(60)));
            store::update(&mut transaction, &refund).await?;
            transaction.commit().await?;
            return Ok(());
        }
    };
    let Ok((sending, _)) = step(&mut transaction, refund, event, credit_actor(), ids, now).await? else {
        return Ok(());
    };
    transaction.commit().await?;

    let sent = operator::send_drawn(&drawn).await;
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    operator::note_sent(&mut transaction, drawn, &sent, now).await?;
    if !is_look {
        // Its result may have come first, and is the end then.
        note(&mut transaction, controller, &sending.id, sent, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn asked(refund: &Refund, is_look: bool) -> Refunding<'_> {
    let (receipt, amount, name) = (refund.receipt_number.as_str(), refund.amount, refund.id.as_str());
    match (refund.way, is_look) {
        (Way::Reversal, false) => Refunding::Reversal { receipt, amount },
        (Way::Reversal, true) => Refunding::OfReceipt(receipt),
        (Way::Payout, false) => Refunding::Payout { name, phone: &refund.phone, amount },
        (Way::Payout, true) => Refunding::OfName(name),
    }
}

async fn note(
    connection: &mut crate::database::Connection,
    controller: &Controller,
    id: &RefundId,
    sent: Sent,
    now: tawi_shared::UnixMillis,
) -> Result<(), PaymentError> {
    let Some(RefundRow { mut refund, .. }) = store::by_id(connection, id).await? else { return Ok(()) };
    let said = |refund: &mut Refund, Reason { code, description }: Reason| {
        refund.result_code = code;
        refund.result_description = description;
    };
    let event = match sent {
        Sent::Accepted { .. } => Event::Taken,
        // By a name that was taken before it is under way, or has ended.
        Sent::TakenBefore(_) | Sent::Lost => Event::Lost,
        Sent::Unreached(reason) => {
            said(&mut refund, reason);
            Event::NotNow
        }
        Sent::Refused(reason) => {
            said(&mut refund, reason);
            Event::Refused
        }
    };
    let was_not_taken = matches!(event, Event::Refused | Event::NotNow);
    let before = store::codes_besides(connection, id, None).await?;
    // While it was being sent, the answer to an earlier sending may have come, which then was not the last word.
    if refund.state() == State::Unknown && was_not_taken && !before.is_empty() && is_each_final(&before) {
        let _ = step(connection, refund, Event::DidNot, credit_actor(), &controller.ids, now).await?;
    } else if refund.state() == State::Asking {
        let _ = step(connection, refund, event, credit_actor(), &controller.ids, now).await?;
    }
    Ok(())
}
