//! Which row of a statement is a refund: by the receipt that M-Pesa told, or that a person read in its portal.

use super::*;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::tests::statements::{statement, taken_in};
use crate::payments::refunds::Decided;

async fn went(shop: &Shop, refund: &Refund, receipt: &str) -> Result<Refund, NotRefunded> {
    let actor = staff("owner");
    let asker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let decided = Decided { decision: Decision::WentThrough, receipt: ReceiptNumber::parse(receipt) };
    let mut write = shop.controller.database.write().await.unwrap();
    let decided = refunds::decide(&mut write, (&refund.id, decided), asker, ids, now).await.unwrap();
    write.commit().await.unwrap();
    decided.map(|begun| begun.refund)
}

/// Asks for a refund, of which M-Pesa never says what became of it.
async fn unheard(shop: &Shop, way: Way) -> Refund {
    results(shop, ResultFaults::default());
    let payment = paid(shop, None).await;
    results(shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let refund = ask(shop, &payment, way, None).await;
    go(shop).await;
    until_a_person_has_to_look(shop, &refund).await;
    refund
}

#[tokio::test]
async fn the_row_of_a_statement_is_known_by_the_receipt_that_a_person_named() {
    let shop = open().await;
    let refund = unheard(&shop, Way::Payout).await;
    let receipt = shop.handle().payouts()[0].receipt.as_ref().unwrap().to_string();
    // What it paid back has that number, and is not what was paid.
    assert_eq!(went(&shop, &refund, &refund.receipt_number).await, Err(NotRefunded::BadReceipt));
    assert_eq!(state(&shop, &refund).await, State::Unknown);
    let done = went(&shop, &refund, &receipt).await.unwrap();
    assert_eq!((done.state(), done.result_receipt.as_str()), (State::Done, receipt.as_str()));
    let row = |receipt: &str| {
        format!(
            "{receipt},2026-11-21 12:13:25,,Business Payment to 2547****678,Completed,,-1500.00,0.00,true,,,,"
        )
    };
    let summary = taken_in(&shop, &statement(&[row(&receipt)])).await;
    assert_eq!((summary.for_review, summary.without_effect), (0, 1));
    let summary = taken_in(&shop, &statement(&[row("RKL51ZDR4X")])).await;
    assert_eq!((summary.for_review, summary.without_effect), (1, 0), "another's is still for a person");
}

#[tokio::test]
async fn what_was_wrongly_said_not_to_have_gone_is_put_right_while_its_money_is_where_it_was() {
    for way in [Way::Payout, Way::Reversal] {
        let shop = open().await;
        let refund = unheard(&shop, way).await;
        decide(&shop, &refund, Decision::DidNot, "owner").await.unwrap();
        assert_eq!(books(&shop).await, (1_500, 0, 1_500, 0));
        let told = match way {
            Way::Payout => {
                (shop.handle().payouts()[0].receipt.as_ref().unwrap().to_string(), "Business Payment")
            }
            Way::Reversal => ("RKL51ZDR4X".to_owned(), "Pay Bill Reversal of"),
        };
        let details = format!("{} {}", told.1, refund.receipt_number);
        let row = format!("{},2026-11-21 12:13:25,,{details},Completed,,-1500.00,0.00,true,,,,", told.0);
        assert_eq!(taken_in(&shop, &statement(&[row])).await.for_review, 1, "{way:?}");
        // Not while it is somebody else's, or nobody's.
        to_nobody(&shop, &refund.payment).await.unwrap();
        assert_eq!(decide(&shop, &refund, Decision::WentThrough, "owner").await, Err(NotRefunded::MovedOn));
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        let (by, to) = (staff("owner"), Target::Customer(refund.customer.clone().unwrap(), None));
        let moved =
            corrections::move_payment(&mut write, (&refund.payment, &to), Clerk::owner(&by), ids, now);
        moved.await.unwrap().unwrap();
        write.commit().await.unwrap();
        match way {
            Way::Payout => went(&shop, &refund, &told.0).await.unwrap(),
            Way::Reversal => decide(&shop, &refund, Decision::WentThrough, "owner").await.unwrap(),
        };
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)), "{way:?}");
        assert_eq!(for_review(&shop).await, [], "and the row is known: {way:?}");
    }
}

#[tokio::test]
async fn no_receipt_is_that_of_two_refunds_and_a_reversal_has_none_of_its_own() {
    let shop = open().await;
    let first = unheard(&shop, Way::Payout).await;
    went(&shop, &first, "RKL51ZDR4X").await.unwrap();
    shop.wait_two_minutes();
    let second = unheard(&shop, Way::Payout).await;
    assert_eq!(went(&shop, &second, "rkl51zdr4x").await, Err(NotRefunded::BadReceipt));
    went(&shop, &second, "RKL51ZDR4Y").await.unwrap();
    shop.wait_two_minutes();
    let reversal = unheard(&shop, Way::Reversal).await;
    assert_eq!(went(&shop, &reversal, "RKL51ZDR4Z").await, Err(NotRefunded::BadReceipt));
    decide(&shop, &reversal, Decision::WentThrough, "owner").await.unwrap();
}

#[tokio::test]
async fn what_went_back_is_known_when_a_statement_tells_of_it_and_any_other_sum_is_for_a_person() {
    for way in [Way::Reversal, Way::Payout] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        // Nobody's when it went back.
        to_nobody(&shop, &payment).await.unwrap();
        let refund = ask(&shop, &payment, way, None).await;
        go(&shop).await;
        let done = stands(&shop, &refund.id).await;
        assert_eq!(done.state(), State::Done);
        let row = |receipt: &str, details: &str, amounts: &str| {
            format!("{receipt},2026-11-21 12:13:25,,{details},Completed,{amounts},true,,,,")
        };
        let receipt = done.receipt_number.as_str();
        let back = |cents: &str| match way {
            Way::Reversal => {
                row("RKL51ZDR4G", &format!("Pay Bill Reversal of {receipt}"), &format!(",-{cents},0.00"))
            }
            Way::Payout => row(
                &done.result_receipt,
                "Business Payment to Customer via API to 2547****678",
                &format!(",-{cents},0.00"),
            ),
        };
        let account = &shop.world.customer.account_number;
        let paid = row(receipt, &format!("Pay Bill from 2547****678 Acc. {account}"), "1500.00,,1500.00");
        let summary = taken_in(&shop, &statement(&[back("1500.00"), paid.clone()])).await;
        assert_eq!(
            (summary.for_review, summary.payments_known, summary.without_effect),
            (0, 1, 1),
            "{way:?}"
        );
        assert_eq!(for_review(&shop).await, []);
        let less = taken_in(&shop, &statement(&[back("100.00")])).await;
        assert_eq!(less.for_review, 1, "{way:?}");
    }
}
