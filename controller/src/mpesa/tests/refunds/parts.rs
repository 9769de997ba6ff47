//! A payment that was split: each part goes back by itself, to the phone that paid.

use super::*;

/// Splits a payment into 1,000 for its customer and 500 for nobody; the parts in this order.
async fn split(shop: &Shop, payment: &PaymentId) -> Vec<PaymentId> {
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let theirs = Target::Customer(shop.world.customer.id.clone(), None);
    let parts = [
        Part { to: theirs, amount: shillings(1_000) },
        Part { to: Target::Suspense, amount: shillings(500) },
    ];
    let mut write = shop.controller.database.write().await.unwrap();
    let by = staff("anna");
    let split = corrections::split(&mut write, (payment, &parts), Clerk::owner(&by), ids, now);
    split.await.unwrap().unwrap();
    write.commit().await.unwrap();
    let mut read = shop.controller.database.read().await.unwrap();
    corrections::parts_of(&mut read, payment).await.unwrap()
}

#[tokio::test]
async fn each_part_of_a_payment_goes_back_to_the_phone_once_and_never_by_reversal() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let parts = split(&shop, &payment).await;
    let owner = || ("owner", Role::Owner, Limits::default());
    let whole = try_ask(&shop, (&payment, Way::Reversal, None), owner()).await;
    assert_eq!(whole, Err(NotRefunded::Closed(Closed::Split)));
    for (part, left) in parts.iter().zip([500, 0]) {
        let reversed = try_ask(&shop, (part, Way::Reversal, None), owner()).await;
        assert_eq!(reversed, Err(NotRefunded::PartOfReceipt), "M-Pesa would give all of the receipt back");
        let refund = ask(&shop, part, Way::Payout, None).await;
        go(&shop).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await.0), (State::Done, left));
        assert_eq!(closed(&shop, part).await, Some(Closed::Refunded));
        let again = try_ask(&shop, (part, Way::Payout, None), owner()).await;
        assert_eq!(again, Err(NotRefunded::Closed(Closed::Refunded)));
    }
    assert_eq!(books(&shop).await, (0, 0, 0, 0));
    let mut paid: Vec<u64> =
        shop.handle().payouts().iter().map(|payout| payout.amount.shillings().into()).collect();
    paid.sort_unstable();
    assert_eq!(paid, [500, 1_000]);
}

#[tokio::test]
async fn a_part_whose_refund_did_not_go_lies_where_it_lay() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let parts = split(&shop, &payment).await;
    let before = books(&shop).await;
    results(&shop, ResultFaults { code: Some("2001".to_owned()), ..ResultFaults::default() });
    for part in &parts {
        let refund = ask(&shop, part, Way::Payout, None).await;
        go(&shop).await;
        assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Failed, before));
        assert_eq!(closed(&shop, part).await, None);
    }
}
