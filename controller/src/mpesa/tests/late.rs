//! Money that moves after M-Pesa said that it did not, and M-Pesa's rule of two minutes: over real sockets, in order.

use std::time::Duration;

use daraja_sim::{Behaviour, Phone};

use super::disputed::for_review;
use super::shop::{Books, DEADLINE, Shop};
use crate::mpesa::intent::Intent;
use crate::payments::{Requested, Why};

/// A prompt that ends in one way and is paid after all: both are told, and the word of the money is not taken in yet.
async fn paid_after_all(behaviour: Behaviour) -> (Shop, Intent) {
    let shop = Shop::open().await;
    shop.phone(Phone { behaviour, late_success_ms: Some(1), ..Phone::default() });
    let intent = shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    assert_eq!(shop.stored_callbacks().await, 2);
    shop.execute("UPDATE callback_bodies SET processed_at = 0 WHERE body LIKE '%MpesaReceiptNumber%'").await;
    shop.take_in().await;
    (shop, intent)
}

#[tokio::test]
async fn a_prompt_that_was_cancelled_or_not_answered_is_declined_until_it_is_paid_and_then_paid_once() {
    for (behaviour, code, words) in [
        (Behaviour::Ignore, "1037", "The phone did not answer"),
        (Behaviour::Refuse, "1032", "The customer cancelled."),
    ] {
        let (shop, intent) = paid_after_all(behaviour).await;
        let between = shop.intent(&intent).await;
        assert_eq!(
            (between.state.as_str(), between.result().map(|(code, _)| code)),
            ("declined", Some(code))
        );
        assert!(between.advice(false).starts_with(words), "{}", between.advice(false));
        assert_eq!(shop.books().await, Books::EMPTY);
        shop.execute("UPDATE callback_bodies SET processed_at = NULL WHERE processed_at = 0").await;
        shop.take_in().await;
        let paid = shop.intent(&intent).await;
        assert!(paid.receipt().is_some(), "{code}: {:?}", paid.state);
        assert_eq!(shop.books().await, Books::PAID_ONCE);
        assert_eq!(for_review(&shop).await, [], "{code}");
    }
}

#[tokio::test]
async fn what_mpesa_refuses_as_the_same_once_more_is_told_as_that_and_paid_two_minutes_later() {
    let shop = Shop::open().await;
    shop.pay(None).await;
    // Two minutes have passed by our clock, and not by M-Pesa's.
    shop.controller.clock.advance(Duration::from_secs(120));
    let refused = shop.pay(None).await;
    assert_eq!((refused.state.as_str(), refused.result().map(|(code, _)| code)), ("declined", Some("17")));
    assert!(refused.advice(false).contains("Wait two minutes"), "{}", refused.advice(false));
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    let Requested::AlreadyOpen(open) = shop.ask(None).await else { panic!("it was asked for at once") };
    assert_eq!((open.why, open.wait), (Why::TooSoon, Duration::from_secs(120)));
    assert_eq!(shop.handle().prompts(0, 9).len(), 2);
    shop.wait_two_minutes();
    assert!(shop.pay(None).await.receipt().is_some());
    let books = shop.books().await;
    assert_eq!((books.clearing, books.wallet, books.revenue, books.payments), (300_000, 0, 300_000, 2));
    assert_eq!(for_review(&shop).await, []);
}
