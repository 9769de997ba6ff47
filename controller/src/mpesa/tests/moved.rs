//! Receipts that a rule gave to one request, or to one customer, and whose own request says so later.

use std::time::Duration;

use daraja_sim::{CallbackFaults, Phone};

use super::c2b::{account, registered};
use super::disputed::{call_back, confirm, confirmed_now, for_review, payment, second_line, sums};
use super::pulling::{daraja_that_tells, open, pull_settings, row_of, sweep};
use super::shop::Shop;
use crate::audit::Actor;
use crate::customers::phone::Msisdn;
use crate::customers::{self, Customer, NewCustomer};
use crate::ids::{IntentId, LineId};
use crate::ledger;
use crate::mpesa::evidence::CheckoutId;
use crate::mpesa::intent::{CallbackToken, Event, Intent, State};
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::query;
use crate::payments::corrections::{self, Target};
use crate::payments::counter::Clerk;
use crate::payments::{ReviewKind, Unspent};
use crate::shutdown::Shutdown;
use crate::staff::Login;
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};

/// Another request like this one, made so many seconds before it.
async fn one_like(shop: &Shop, intent: &Intent, seconds_before: u64) -> Intent {
    let id = IntentId::random(&shop.controller.ids);
    let like = Intent {
        checkout: CheckoutId::parse(&format!("ws_CO_{id}")),
        id,
        callback_token: CallbackToken::random(&shop.controller.ids),
        created_at: intent.created_at.minus(Duration::from_secs(seconds_before)),
        state: State::Prompted,
        ..intent.clone()
    };
    shop.store_intent(&like).await;
    like
}

/// What came, and the wallet and the number of traces of a customer's line.
async fn wallet_of(shop: &Shop, customer: &Customer) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    ledger::wallet_of(&mut read, &customer.id).await.unwrap().cents()
}

async fn state(shop: &Shop, intent: &Intent) -> String {
    let intent = shop.intent(intent).await;
    format!("{} {}", intent.state.as_str(), intent.receipt().unwrap_or("-"))
}

pub(super) async fn neighbour(shop: &Shop) -> (Customer, LineId) {
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let new = NewCustomer { name: "Next Door".to_owned(), phone: Msisdn::parse("254722000111").unwrap() };
    let created = customers::create(&mut write, new, ids, now).await.unwrap();
    let customers::Created::Created(customer) = created else { panic!("{created:?}") };
    let new = NewSubscription {
        customer: customer.id.clone(),
        plan: shop.world.plan.id.clone(),
        router: shop.world.router.clone(),
        username: Username::parse("next-door").unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let created = subscriptions::create(&mut write, new, ids, now).await.unwrap();
    let subscriptions::Created::Created(line) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    (customer, line.id)
}

#[tokio::test]
async fn a_receipt_that_a_rule_gave_to_a_like_request_goes_to_the_one_whose_path_names_it() {
    let (shop, token) = registered().await;
    let second = shop.unanswered().await;
    let first = one_like(&shop, &second, 60).await;
    confirm(&shop, &token, "RAA2", "1500.00").await;
    assert_eq!(state(&shop, &first).await, "paid RAA2", "the older of two that fit alike");
    call_back(&shop, &second, "RAA2", "1500.00").await;
    assert_eq!(state(&shop, &second).await, "paid RAA2");
    assert_eq!(state(&shop, &first).await, "prompted -");
    assert!(shop.intent(&first).await.next_query_at.is_some(), "it is asked about again");
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1), "no money moved");
    assert_eq!(shop.outcomes().await, ["booked", "booked"]);
    assert_eq!(for_review(&shop).await, []);
    // Told of again, by whom it may, and then by the first request's own callback.
    call_back(&shop, &second, "RAA2", "1500.00").await;
    confirm(&shop, &token, "RAA2", "1500.00").await;
    call_back(&shop, &first, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(
        (state(&shop, &first).await, state(&shop, &second).await),
        ("paid RAA1".into(), "paid RAA2".into())
    );
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn a_request_that_mpesa_calls_paid_waits_for_its_own_receipt_however_late_a_wrong_one_is_taken_from_it()
{
    let (shop, token) = registered().await;
    let second = shop.unanswered().await;
    let first = one_like(&shop, &second, 60).await;
    query::note(&shop.controller, &first.id, Event::QueryPaid).await.unwrap();
    confirm(&shop, &token, "RAA2", "1500.00").await;
    assert_eq!(state(&shop, &first).await, "paid RAA2", "it is the one that is said to be paid");
    shop.controller.clock.advance(Duration::from_secs(31 * 60));
    call_back(&shop, &second, "RAA2", "1500.00").await;
    assert_eq!(
        (state(&shop, &first).await, state(&shop, &second).await),
        ("paid_unreceipted -".into(), "paid RAA2".into())
    );
    let kinds: Vec<ReviewKind> = for_review(&shop).await.into_iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [ReviewKind::Request(first.id.clone())]);
    call_back(&shop, &first, "RAA1", "1500.00").await;
    assert_eq!(state(&shop, &first).await, "paid RAA1");
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn a_request_that_loses_its_receipt_and_is_paid_takes_the_one_that_is_booked_for_no_request() {
    let (shop, token) = registered().await;
    let first = shop.unanswered().await;
    query::note(&shop.controller, &first.id, Event::QueryPaid).await.unwrap();
    confirm(&shop, &token, "RAA2", "1500.00").await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(state(&shop, &first).await, "paid RAA2", "the first that fits");
    assert_eq!(payment(&shop, "RAA1").await.intent, None);
    let second = one_like(&shop, &first, 0).await;
    call_back(&shop, &second, "RAA2", "1500.00").await;
    assert_eq!(
        (state(&shop, &first).await, state(&shop, &second).await),
        ("paid RAA1".into(), "paid RAA2".into())
    );
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn two_receipts_that_rules_gave_to_the_wrong_one_of_two_requests_change_places() {
    let (shop, token) = registered().await;
    let second = shop.unanswered().await;
    let first = one_like(&shop, &second, 60).await;
    confirm(&shop, &token, "RAA2", "1500.00").await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(
        (state(&shop, &first).await, state(&shop, &second).await),
        ("paid RAA2".into(), "paid RAA1".into())
    );
    call_back(&shop, &first, "RAA1", "1500.00").await;
    call_back(&shop, &second, "RAA2", "1500.00").await;
    assert_eq!(
        (state(&shop, &first).await, state(&shop, &second).await),
        ("paid RAA1".into(), "paid RAA2".into())
    );
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
}

#[tokio::test]
async fn a_request_that_the_query_calls_paid_takes_the_receipt_that_a_rule_gave_to_a_like_one() {
    let (shop, _) = registered().await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let paid = shop.prompt(None).await;
    let other = one_like(&shop, &paid, 60).await;
    shop.settle().await;
    assert!(state(&shop, &other).await.starts_with("paid "), "the confirmation fits both");
    assert_eq!(state(&shop, &paid).await, "prompted -");
    let before = sums(&shop).await;
    for _ in 0..2 {
        shop.controller.clock.advance(Duration::from_secs(20));
        let shutdown = Shutdown::default();
        query::ask_about_due(&shop.controller, &shop.codes(), &shutdown.stop()).await.unwrap();
        assert!(state(&shop, &paid).await.starts_with("paid "), "{}", state(&shop, &paid).await);
        assert!(!state(&shop, &other).await.starts_with("paid"), "{}", state(&shop, &other).await);
    }
    assert_eq!(sums(&shop).await, before);
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn money_that_went_to_whoever_paid_goes_to_the_request_whose_path_names_it() {
    for has_bought in [true, false] {
        let (shop, _) = open().await;
        let (customer, line) = neighbour(&shop).await;
        if !has_bought {
            shop.execute("UPDATE subscriptions SET status = 'suspended' WHERE username = 'line-1'").await;
        }
        // The neighbour pays for them from their own phone, to a till: nothing but the phone says whose it is.
        let daraja = daraja_that_tells(&shop, &format!("[[{}]]", row_of("RKL51ZDR4F", "", ""))).await;
        let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
        assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
        assert_eq!(payment(&shop, "RKL51ZDR4F").await.customer, Some(shop.world.customer.id.clone()));
        let asked = shop.unanswered_although_paid().await;
        let intent = Intent { customer: customer.id.clone(), subscription: line.clone(), ..asked.clone() };
        let intent = one_like(&shop, &intent, 0).await;
        call_back(&shop, &intent, "RKL51ZDR4F", "1500.00").await;
        let moved = payment(&shop, "RKL51ZDR4F").await;
        assert_eq!((moved.customer, moved.subscription), (Some(customer.id.clone()), Some(line)));
        assert_eq!((moved.intent, moved.unspent), (Some(intent.id.clone()), None));
        assert_eq!(state(&shop, &intent).await, "paid RKL51ZDR4F");
        let traces = if has_bought { 2 } else { 1 };
        let books = shop.books().await;
        assert_eq!((books.clearing, books.wallet, books.revenue), (150_000, 0, 150_000));
        assert_eq!(books.paid_days, None, "what the wrong one had bought with it is taken back");
        assert_eq!((wallet_of(&shop, &customer).await, books.payments), (0, 1));
        assert_eq!(books.traces, traces, "what each of them got stays to be seen");
        let items = for_review(&shop).await;
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(items[0].reason.contains("another customer"), "{}", items[0].reason);
        // Told of again: nothing changes.
        call_back(&shop, &intent, "RKL51ZDR4F", "1500.00").await;
        assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
        assert_eq!(shop.books().await.revenue, 150_000);
    }
}

#[tokio::test]
async fn money_whose_payer_typed_an_account_stays_with_its_holder() {
    let (shop, token) = registered().await;
    let (customer, line) = neighbour(&shop).await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    let asked = shop.unanswered_although_paid().await;
    let intent = Intent { customer: customer.id.clone(), subscription: line, ..asked };
    let intent = one_like(&shop, &intent, 0).await;
    call_back(&shop, &intent, "RAA1", "1500.00").await;
    assert_eq!(payment(&shop, "RAA1").await.customer, Some(shop.world.customer.id.clone()));
    assert_eq!(shop.outcomes().await[1], "review: the receipt is booked for another request");
}

#[tokio::test]
async fn money_that_may_be_for_one_of_several_things_is_shown_to_a_person_until_its_callback_says_which() {
    let (shop, token) = registered().await;
    let day = shop.unanswered().await;
    let other = Intent { subscription: second_line(&shop).await, ..day.clone() };
    let other = one_like(&shop, &other, 30).await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 150_000, 0, 1), "in the wallet");
    assert_eq!(payment(&shop, "RAA1").await.unspent, Some(Unspent::Unclear));
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(matches!(items[0].kind, ReviewKind::Payment(_)), "{items:?}");
    assert_eq!(items[0].customer, Some(shop.world.customer.id.clone()));
    assert!(items[0].reason.contains("one of several lines or requests"), "{}", items[0].reason);
    call_back(&shop, &other, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    assert_eq!(payment(&shop, "RAA1").await.subscription, Some(other.subscription));
    assert_eq!(for_review(&shop).await, []);
    assert_eq!(state(&shop, &day).await, "prompted -");
}

#[tokio::test]
async fn money_that_may_be_for_one_of_several_things_is_for_the_one_that_the_query_calls_paid() {
    let (shop, _) = registered().await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let paid = shop.prompt(None).await;
    let other = Intent { subscription: second_line(&shop).await, ..paid.clone() };
    let other = one_like(&shop, &other, 30).await;
    shop.settle().await;
    assert_eq!(for_review(&shop).await.len(), 1);
    shop.controller.clock.advance(Duration::from_secs(20));
    let shutdown = Shutdown::default();
    query::ask_about_due(&shop.controller, &shop.codes(), &shutdown.stop()).await.unwrap();
    assert!(state(&shop, &paid).await.starts_with("paid "), "{}", state(&shop, &paid).await);
    assert_eq!(state(&shop, &other).await, "prompted -");
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn what_a_callback_settles_stays_settled_also_when_both_are_taken_in_together() {
    for is_together in [false, true] {
        let (shop, token) = registered().await;
        let paid = shop.unanswered().await;
        let other = Intent { subscription: second_line(&shop).await, ..paid.clone() };
        one_like(&shop, &other, 30).await;
        let body = confirmed_now(&shop, "RAA1", "1500.00", &account(&shop));
        assert_eq!(super::c2b::post(&shop, &token, body).await, 200);
        if !is_together {
            shop.take_in().await;
            assert_eq!(for_review(&shop).await.len(), 1, "it may be for either line");
        }
        call_back(&shop, &paid, "RAA1", "1500").await;
        assert_eq!(for_review(&shop).await, [], "{is_together}");
        assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1), "{is_together}");
    }
}

#[tokio::test]
async fn what_was_to_be_said_of_a_wallet_is_not_said_once_its_money_moved_on_in_the_same_commit() {
    for is_together in [false, true] {
        let (shop, token) = registered().await;
        let (customer, line) = neighbour(&shop).await;
        let asked = shop.unanswered().await;
        let intent = Intent { customer: customer.id.clone(), subscription: line, ..asked };
        let intent = one_like(&shop, &intent, 0).await;
        // Too late for a rule to take the payment for what either was asked for; its callback is late as well.
        shop.controller.clock.advance(Duration::from_secs(3_600));
        shop.execute("UPDATE subscriptions SET status = 'suspended' WHERE username = 'line-1'").await;
        // At a till, and nothing but the phone says whose it is.
        let body = confirmed_now(&shop, "RAA1", "1500.00", "")
            .replace("Pay Bill", "Buy Goods")
            .replace("2547 ***** 678", "254712345678");
        assert_eq!(super::c2b::post(&shop, &token, body).await, 200);
        if !is_together {
            shop.take_in().await;
            assert_eq!(payment(&shop, "RAA1").await.customer, Some(shop.world.customer.id.clone()));
            assert!(for_review(&shop).await[0].reason.contains("the line is on hold"));
        }
        call_back(&shop, &intent, "RAA1", "1500").await;
        assert_eq!(payment(&shop, "RAA1").await.customer, Some(customer.id), "{is_together}");
        let items = for_review(&shop).await;
        assert_eq!(items.len(), 1, "{is_together}: {items:?}");
        assert!(items[0].reason.contains("another customer"), "{}", items[0].reason);
    }
}

#[tokio::test]
async fn money_for_a_customer_with_several_lines_is_shown_to_a_person_until_the_wallet_has_used_it() {
    let (shop, token) = registered().await;
    second_line(&shop).await;
    let body = confirmed_now(&shop, "RAA1", "1500.00", &account(&shop));
    assert_eq!(super::c2b::deliver(&shop, &token, body).await, 200);
    assert_eq!(for_review(&shop).await.len(), 1);
    shop.ask(None).await;
    assert_eq!(
        sums(&shop).await,
        (150_000, 0, 150_000, 1),
        "the wallet paid for the line that was asked for"
    );
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn a_callback_that_says_paid_without_a_receipt_finds_the_receipt_that_is_booked() {
    let (shop, token) = registered().await;
    let day = shop.unanswered().await;
    let other = Intent { subscription: second_line(&shop).await, ..day.clone() };
    let other = one_like(&shop, &other, 30).await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 150_000, 0, 1), "in the wallet, since it may be for either");
    let checkout = other.checkout.as_ref().unwrap().as_str();
    let body = format!(
        r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"m","CheckoutRequestID":"{checkout}","ResultCode":0,"ResultDesc":"ok"}}}}}}"#
    );
    for _ in 0..2 {
        shop.deliver_to(&other, body.clone()).await;
        shop.take_in().await;
        assert_eq!(state(&shop, &other).await, "paid RAA1");
        assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    }
    assert_eq!(payment(&shop, "RAA1").await.subscription, Some(other.subscription));
    assert_eq!(state(&shop, &day).await, "prompted -");
}

#[tokio::test]
async fn what_a_person_put_into_a_wallet_is_taken_by_no_request() {
    let (shop, token) = registered().await;
    let day = shop.unanswered().await;
    let other = Intent { subscription: second_line(&shop).await, ..day.clone() };
    let other = one_like(&shop, &other, 30).await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    let booked = payment(&shop, "RAA1").await;
    let by = Actor::Staff(Login::parse("anna").unwrap());
    for to in [Target::Suspense, Target::Customer(day.customer.clone(), None)] {
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        corrections::move_payment(&mut write, (&booked.id, &to), Clerk::owner(&by), ids, now)
            .await
            .unwrap()
            .unwrap();
        write.commit().await.unwrap();
    }
    let checkout = other.checkout.as_ref().unwrap().as_str();
    let body = format!(
        r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"m","CheckoutRequestID":"{checkout}","ResultCode":0,"ResultDesc":"ok"}}}}}}"#
    );
    shop.deliver_to(&other, body).await;
    shop.take_in().await;
    assert_eq!(state(&shop, &other).await, "paid_unreceipted -");
    assert_eq!(sums(&shop).await, (150_000, 150_000, 0, 1));
    let booked = payment(&shop, "RAA1").await;
    assert_eq!((booked.subscription, booked.intent), (None, None));
}
