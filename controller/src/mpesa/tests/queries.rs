//! Prompts that nothing was heard of.

use std::time::Duration;

use daraja_sim::{Behaviour, CallbackFaults, FaultsChange, Phone, QueryManner, Redelivery};

use super::shop::{Books, DEADLINE, Shop, daraja_with};
use crate::mpesa::intent::{Event, Intent, State};
use crate::mpesa::query;
use crate::shutdown::Shutdown;

async fn look(shop: &Shop, after_seconds: u64) {
    shop.controller.clock.advance(Duration::from_secs(after_seconds));
    let shutdown = Shutdown::default();
    query::ask_about_due(&shop.controller, &shop.codes(), &shutdown.stop()).await.unwrap();
}

async fn state(shop: &Shop, intent: &Intent) -> &'static str {
    shop.intent(intent).await.state.as_str()
}

/// A payment whose callback never comes.
async fn lost(shop: &Shop) -> Intent {
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let intent = shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    intent
}

async fn redeliver(shop: &Shop, intent: &Intent) {
    let id = intent.checkout.as_ref().unwrap().to_string();
    let again = Redelivery { copies: 1, together: false };
    assert_eq!(shop.handle().redeliver_callback(&id, again).await.unwrap(), [200]);
    shop.settle().await;
}

#[tokio::test]
async fn a_query_that_says_paid_makes_no_money_until_the_receipt_comes() {
    let shop = Shop::open().await;
    let intent = lost(&shop).await;
    look(&shop, 19).await;
    assert_eq!((state(&shop, &intent).await, shop.intent(&intent).await.queries_sent), ("prompted", 0));
    look(&shop, 1).await;
    assert_eq!(state(&shop, &intent).await, "paid_unreceipted");
    assert_eq!(shop.books().await, Books::EMPTY);
    redeliver(&shop, &intent).await;
    assert_eq!(state(&shop, &intent).await, "paid");
    assert_eq!(shop.books().await, Books::PAID_ONCE);
}

#[tokio::test]
async fn a_query_that_wrongly_says_failed_loses_no_money() {
    let shop = Shop::open().await;
    let wrong = FaultsChange { query: Some(QueryManner::SaysFailed), ..FaultsChange::default() };
    shop.handle().set_faults(&wrong).unwrap();
    let intent = lost(&shop).await;
    look(&shop, 20).await;
    assert_eq!(state(&shop, &intent).await, "declined");
    redeliver(&shop, &intent).await;
    assert_eq!(state(&shop, &intent).await, "paid");
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    look(&shop, 3_600).await;
    assert_eq!(state(&shop, &intent).await, "paid");
}

#[tokio::test]
async fn an_answer_of_still_processing_is_no_answer_and_the_end_is_still_payable() {
    let shop = Shop::open().await;
    let never = FaultsChange { query: Some(QueryManner::NeverKnows), ..FaultsChange::default() };
    shop.handle().set_faults(&never).unwrap();
    let intent = lost(&shop).await;
    for (seconds, sent) in [(20, 1), (15, 2), (25, 3), (30, 4), (90, 5), (420, 6), (1_200, 7)] {
        look(&shop, seconds).await;
        let now = shop.intent(&intent).await;
        assert_eq!((now.state.as_str(), now.queries_sent), ("prompted", sent));
    }
    look(&shop, 60).await;
    assert_eq!(state(&shop, &intent).await, "expired");
    redeliver(&shop, &intent).await;
    assert_eq!(shop.books().await.payments, 1);
}

#[tokio::test]
async fn a_declined_prompt_whose_callback_is_lost_is_found_by_asking() {
    let shop = Shop::open().await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { behaviour: Behaviour::WrongPin, callback, ..Phone::default() });
    let intent = shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    look(&shop, 20).await;
    let intent = shop.intent(&intent).await;
    assert_eq!((intent.state.as_str(), intent.result().map(|(code, _)| code)), ("declined", Some("2001")));
}

#[tokio::test]
async fn a_request_that_was_being_sent_when_the_process_died_is_never_sent_again() {
    let mut shop = Shop::open().await;
    let template = shop.unanswered().await;
    let mut dying = Intent {
        id: crate::ids::IntentId::random(&shop.controller.ids),
        callback_token: crate::mpesa::intent::CallbackToken::random(&shop.controller.ids),
        state: State::Created,
        checkout: None,
        merchant_request_id: None,
        next_query_at: None,
        ..template
    };
    dying = dying.apply(Event::Submit, shop.controller.clock.now()).unwrap();
    shop.store_intent(&dying).await;
    shop.restart().await;
    look(&shop, 119).await;
    assert_eq!(state(&shop, &dying).await, "submitting");
    look(&shop, 1).await;
    assert_eq!(state(&shop, &dying).await, "submit_unknown");
    look(&shop, 1_800).await;
    assert_eq!(state(&shop, &dying).await, "expired");
    assert_eq!(shop.handle().prompts(0, 9).len(), 1);
}

#[tokio::test]
async fn a_daraja_that_is_down_leaves_everything_as_it_was() {
    let shop = Shop::open().await;
    let intent = lost(&shop).await;
    let down = FaultsChange { html_next: Some(9), oauth_busy_next: Some(9), ..FaultsChange::default() };
    shop.handle().set_faults(&down).unwrap();
    look(&shop, 20).await;
    let now = shop.intent(&intent).await;
    assert_eq!((now.state.as_str(), now.queries_sent), ("prompted", 1));
}

#[tokio::test]
async fn a_short_code_without_the_query_product_is_never_asked_about_and_its_requests_end_all_the_same() {
    let mut shop = Shop::open().await;
    let (base_url, address) = (shop.simulator.base_url().to_owned(), shop.address);
    shop.daraja = daraja_with(&shop.directory, base_url, address, &shop.controller, "query = false");
    let intent = lost(&shop).await;
    for seconds in [20, 40, 600, 1_139] {
        look(&shop, seconds).await;
        assert_eq!(state(&shop, &intent).await, "prompted");
    }
    look(&shop, 61).await;
    assert_eq!(state(&shop, &intent).await, "expired");
    redeliver(&shop, &intent).await;
    assert_eq!(shop.books().await.payments, 1);
}
