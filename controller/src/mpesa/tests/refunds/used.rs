//! Used time that goes back with a refund: it is written off where money went, and is paid where none did.

use super::*;

async fn ask_with_used(shop: &Shop, payment: &PaymentId) -> Refund {
    try_with_used(shop, payment, (Role::Owner, Limits::default())).await.unwrap()
}

async fn try_with_used(
    shop: &Shop,
    payment: &PaymentId,
    (role, limits): (Role, Limits),
) -> Result<Refund, NotRefunded> {
    let wanted = Wanted {
        payment: payment.clone(),
        way: Way::Reversal,
        amount: None,
        with_used: true,
        reason: "they asked".to_owned(),
        occasion: None,
    };
    let actor = staff("anna");
    let asker = Clerk { actor: &actor, role, limits };
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let asked = refunds::ask(&mut write, &wanted, asker, ids, now).await.unwrap();
    if asked.is_ok() {
        write.commit().await.unwrap();
    }
    asked.map(|begun| begun.refund)
}

async fn written_off(shop: &Shop) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    ledger::balance_of(&mut read, &Account::WriteOffs).await.unwrap().cents()
}

/// A period of which half is used, but for some milliseconds.
async fn half_used(shop: &Shop) -> PaymentId {
    let payment = paid(shop, None).await;
    shop.controller.clock.advance(Duration::from_secs(43_200));
    payment
}

fn is_half(cents: i64) -> bool {
    (75_000..=75_100).contains(&cents)
}

#[tokio::test]
async fn a_refund_that_comes_to_nothing_writes_nothing_off_and_can_be_asked_for_anew() {
    for end in ["withdrawn", "failed"] {
        let shop = open().await;
        let payment = half_used(&shop).await;
        let refund = ask_with_used(&shop, &payment).await;
        let off = written_off(&shop).await;
        assert!(is_half(off), "{off}");
        if end == "withdrawn" {
            decide(&shop, &refund, Decision::Withdraw, "owner").await.unwrap();
        } else {
            results(&shop, ResultFaults { code: Some("21".to_owned()), ..ResultFaults::default() });
            go(&shop).await;
            results(&shop, ResultFaults::default());
            assert_eq!(state(&shop, &refund).await, State::Failed);
        }
        assert_eq!(written_off(&shop).await, 0, "{end}");
        let (clearing, held, wallet, earned) = books(&shop).await;
        assert_eq!((clearing, held), (1_500, 0), "{end}");
        assert!((749..=750).contains(&wallet) && (750..=751).contains(&earned), "{end} {wallet} {earned}");
        let again = ask_with_used(&shop, &payment).await;
        assert_eq!((again.amount, written_off(&shop).await), (shillings(1_500), off), "{end}");
        go(&shop).await;
        assert_eq!(state(&shop, &again).await, State::Done);
        let (clearing, held, wallet, _) = books(&shop).await;
        assert_eq!((clearing, held, wallet, written_off(&shop).await), (0, 0, 0, off), "{end}");
    }
}

#[tokio::test]
async fn a_refund_that_goes_after_all_writes_off_what_it_gave_back_once() {
    let shop = open().await;
    let payment = half_used(&shop).await;
    results(&shop, ResultFaults { lost: true, ..ResultFaults::default() });
    let refund = ask_with_used(&shop, &payment).await;
    let off = written_off(&shop).await;
    go(&shop).await;
    until_a_person_has_to_look(&shop, &refund).await;
    decide(&shop, &refund, Decision::DidNot, "owner").await.unwrap();
    assert_eq!((written_off(&shop).await, is_half(off)), (0, true));
    for _ in 0..2 {
        shop.handle().redeliver_money_result(Redelivery::default()).await.unwrap();
        shop.take_in().await;
        let (clearing, held, wallet, _) = books(&shop).await;
        assert_eq!(state(&shop, &refund).await, State::Done);
        assert_eq!((clearing, held, wallet, written_off(&shop).await), (0, 0, 0, off));
    }
}

#[tokio::test]
async fn a_payout_without_what_is_used_that_failed_leaves_no_debt_when_the_payment_is_anothers() {
    let shop = open().await;
    let payment = half_used(&shop).await;
    results(&shop, ResultFaults { code: Some("2040".to_owned()), ..ResultFaults::default() });
    let refund = ask(&shop, &payment, Way::Payout, None).await;
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, written_off(&shop).await), (State::Failed, 0));
    let moved = to_nobody(&shop, &payment).await.unwrap();
    assert_eq!(moved.owes, Money::ZERO);
    assert!(is_half(written_off(&shop).await));
    assert_eq!(books(&shop).await.2, 0);
}

#[tokio::test]
async fn what_an_operator_writes_off_with_refunds_is_limited_for_the_day_and_not_saved_up_for_the_next() {
    let shop = open().await;
    let payment = half_used(&shop).await;
    let limited = |shillings: i64| {
        (
            Role::Operator,
            Limits { written_off_a_day: Money::from_cents(shillings * 100), ..Limits::default() },
        )
    };
    let most = Money::from_cents(50_000);
    let over = Err(NotRefunded::OverWriteOff { most, written_off: Money::ZERO });
    assert_eq!(try_with_used(&shop, &payment, limited(500)).await, over);
    assert_eq!((written_off(&shop).await, books(&shop).await.1), (0, 0), "nothing was held");
    let refund = try_with_used(&shop, &payment, limited(800)).await.unwrap();
    assert!(is_half(written_off(&shop).await));
    // On another day nothing comes of it: that is no room for more than a day's.
    shop.controller.clock.advance(Duration::from_secs(86_400));
    decide(&shop, &refund, Decision::Withdraw, "owner").await.unwrap();
    assert_eq!(written_off(&shop).await, 0);
    assert_eq!(try_with_used(&shop, &payment, limited(500)).await, over);
}
