//! Refunds of what is nobody's: it goes back whole, or lies in suspense as before.

use super::*;
use crate::payments::suspense::NoOwner;

#[tokio::test]
async fn what_is_nobodys_goes_back_whole() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    to_nobody(&shop, &payment).await.unwrap();
    let refund = ask(&shop, &payment, Way::Reversal, None).await;
    assert_eq!(for_review(&shop).await, [], "it is in nobody's way any more");
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
}

async fn waits(shop: &Shop, payment: &PaymentId) -> (Option<NoOwner>, Option<Closed>) {
    let mut read = shop.controller.database.read().await.unwrap();
    let payment = payments::payment(&mut read, payment).await.unwrap().unwrap().payment;
    (payment.no_owner, payment.closed)
}

#[tokio::test]
async fn what_does_not_go_back_waits_in_suspense_for_the_reason_that_it_had() {
    for (before, reason) in [
        ("", NoOwner::TakenBack),
        ("UPDATE payments SET no_owner = 'check_digit', is_by_hand = 0", NoOwner::CheckDigit),
    ] {
        let shop = open().await;
        let payment = paid(&shop, None).await;
        to_nobody(&shop, &payment).await.unwrap();
        if !before.is_empty() {
            shop.execute(before).await;
        }
        results(&shop, ResultFaults { code: Some("21".to_owned()), ..ResultFaults::default() });
        let refund = ask(&shop, &payment, Way::Reversal, None).await;
        assert_eq!(waits(&shop, &payment).await, (None, Some(Closed::Refunded)));
        go(&shop).await;
        assert_eq!(state(&shop, &refund).await, State::Failed);
        assert_eq!(waits(&shop, &payment).await, (Some(reason), None));
        let refund = ask(&shop, &payment, Way::Reversal, None).await;
        decide(&shop, &refund, Decision::Withdraw, "owner").await.unwrap();
        assert_eq!(waits(&shop, &payment).await, (Some(reason), None), "withdrawn");
        assert_eq!(for_review(&shop).await, [ReviewKind::Payment(payment)]);
        assert_eq!(books(&shop).await.1, 0, "nothing is held");
    }
}
