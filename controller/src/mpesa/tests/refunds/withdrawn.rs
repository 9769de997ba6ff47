//! Refunds that are not to be after all: the line that they shut is open again.

use super::super::c2b::registered;
use super::super::disputed::confirm;
use super::*;

async fn withdrawn_after(minutes: u64) -> (Shop, Refund) {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    let limits = Limits { refunds_need_two: true, ..Limits::default() };
    let wanted = (&payment, Way::Reversal, None);
    let refund = try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await.unwrap();
    assert_ne!(line(&shop).await.0, Status::Active);
    shop.controller.clock.advance(Duration::from_secs(minutes * 60));
    let withdrawn = decide(&shop, &refund, Decision::Withdraw, "brian").await.unwrap();
    assert_eq!(withdrawn.state(), State::Withdrawn);
    (shop, refund)
}

#[tokio::test]
async fn a_line_whose_refund_is_withdrawn_is_open_again_for_the_same_money() {
    for minutes in [0, 90] {
        let (shop, _) = withdrawn_after(minutes).await;
        assert_eq!(books(&shop).await, (1_500, 0, 0, 1_500), "{minutes}");
        let (status, until) = line(&shop).await;
        let whole = shop.controller.clock.now().plus(Duration::from_secs(86_400));
        assert_eq!((status, until), (Status::Active, Some(whole.0)), "{minutes}");
    }
}

#[tokio::test]
async fn what_is_bought_again_goes_back_with_the_next_refund_of_the_payment() {
    let (shop, first) = withdrawn_after(5).await;
    let refund = ask(&shop, &first.payment, Way::Payout, None).await;
    go(&shop).await;
    assert_eq!((state(&shop, &refund).await, books(&shop).await), (State::Done, (0, 0, 0, 0)));
    assert_ne!(line(&shop).await.0, Status::Active);
}

#[tokio::test]
async fn what_a_refund_took_that_failed_is_bought_again_when_the_next_one_is_withdrawn() {
    let shop = open().await;
    let payment = paid(&shop, None).await;
    results(&shop, ResultFaults { code: Some("21".to_owned()), ..ResultFaults::default() });
    let failed = ask(&shop, &payment, Way::Reversal, None).await;
    go(&shop).await;
    assert_eq!((state(&shop, &failed).await, books(&shop).await), (State::Failed, (1_500, 0, 1_500, 0)));
    shop.controller.clock.advance(Duration::from_secs(60));
    let limits = Limits { refunds_need_two: true, ..Limits::default() };
    let wanted = (&payment, Way::Reversal, None);
    let refund = try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await.unwrap();
    decide(&shop, &refund, Decision::Withdraw, "brian").await.unwrap();
    assert_eq!(books(&shop).await, (1_500, 0, 0, 1_500));
    assert_eq!(line(&shop).await.0, Status::Active);
}

#[tokio::test]
async fn a_refund_that_is_asked_for_and_withdrawn_again_and_again_leaves_the_line_open() {
    let (shop, first) = withdrawn_after(0).await;
    let limits = Limits { refunds_need_two: true, ..Limits::default() };
    for _ in 0..3 {
        let wanted = (&first.payment, Way::Reversal, None);
        let refund = try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await.unwrap();
        assert_eq!(books(&shop).await, (1_500, 1_500, 0, 0));
        decide(&shop, &refund, Decision::Withdraw, "brian").await.unwrap();
        assert_eq!(books(&shop).await, (1_500, 0, 0, 1_500));
        assert_eq!(line(&shop).await.0, Status::Active);
    }
}

#[tokio::test]
async fn a_line_that_was_paid_anew_meanwhile_buys_nothing_with_what_comes_back() {
    let (shop, token) = registered().await;
    let payment = paid(&shop, None).await;
    let limits = Limits { refunds_need_two: true, ..Limits::default() };
    let wanted = (&payment, Way::Reversal, None);
    let refund = try_ask(&shop, wanted, ("anna", Role::Operator, limits)).await.unwrap();
    // Beside our requests: the account was typed at the Paybill.
    confirm(&shop, &token, "RGP6CZDYG6", "1500.00").await;
    shop.settle().await;
    let paid_until = line(&shop).await;
    decide(&shop, &refund, Decision::Withdraw, "brian").await.unwrap();
    assert_eq!(books(&shop).await, (3_000, 0, 1_500, 1_500));
    assert_eq!(line(&shop).await, paid_until);
}
