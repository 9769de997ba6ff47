//! Receipts of which one source says something else than another, or than a person decided.

use super::c2b::{account, confirmation, deliver, registered};
use super::pulling::{daraja_that_tells, only_payment, open, pull_settings, row_of, suspense, sweep};
use super::shop::{Shop, success};
use crate::audit::Actor;
use crate::ids::LineId;
use crate::money::Money;
use crate::mpesa::intent::{CallbackToken, Intent};
use crate::mpesa::nairobi;
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::store::{CallbackKind, StoredCallback};
use crate::payments::corrections::{self, Target};
use crate::payments::counter::Clerk;
use crate::payments::suspense::{Assignment, assign};
use crate::payments::{self, ForReview, Payment, ReviewKind, Unspent};
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};

/// A confirmation of a payment that is made now.
pub(super) fn confirmed_now(shop: &Shop, receipt: &str, amount: &str, account: &str) -> String {
    let now = nairobi::written(shop.controller.clock.now(), "%Y%m%d%H%M%S");
    confirmation(receipt, amount, "174379", account).replace("20260921013147", &now)
}

pub(super) async fn confirm(shop: &Shop, token: &CallbackToken, receipt: &str, amount: &str) {
    let body = confirmed_now(shop, receipt, amount, &account(shop));
    assert_eq!(deliver(shop, token, body).await, 200);
}

pub(super) async fn call_back(shop: &Shop, intent: &Intent, receipt: &str, amount: &str) {
    assert_eq!(shop.deliver_to(intent, success(intent, receipt, amount)).await.0, 200);
    shop.take_in().await;
}

pub(super) async fn for_review(shop: &Shop) -> Vec<ForReview> {
    let mut read = shop.controller.database.read().await.unwrap();
    payments::for_review(&mut read, 99).await.unwrap()
}

pub(super) async fn payment(shop: &Shop, receipt: &str) -> Payment {
    let mut read = shop.controller.database.read().await.unwrap();
    let receipt = receipt.parse().unwrap();
    payments::payment_of_receipt(&mut read, &receipt).await.unwrap().unwrap().payment
}

/// What came, what waits, what was earned, and in how many payments.
pub(super) async fn sums(shop: &Shop) -> (i64, i64, i64, u64) {
    let books = shop.books().await;
    (books.clearing, books.wallet, books.revenue, books.payments)
}

pub(super) async fn second_line(shop: &Shop) -> LineId {
    let new = NewSubscription {
        customer: shop.world.customer.id.clone(),
        plan: shop.world.plan.id.clone(),
        router: shop.world.router.clone(),
        username: Username::parse("line-2").unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let now = shop.controller.clock.now();
    let mut write = shop.controller.database.write().await.unwrap();
    let created = subscriptions::create(&mut write, new, &shop.controller.ids, now).await.unwrap();
    let subscriptions::Created::Created(line) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    line.id
}

async fn give(shop: &Shop, payment: &Payment, line: Option<LineId>) {
    let customer = shop.world.customer.id.clone();
    let wanted = Assignment { payment: payment.id.clone(), customer, subscription: line };
    let by = Actor::CommandLine("clerk".to_owned());
    let mut write = shop.controller.database.write().await.unwrap();
    let now = shop.controller.clock.now();
    assign(&mut write, &wanted, &by, &shop.controller.ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_receipt_that_its_own_callback_names_is_booked_although_matching_gave_its_request_another() {
    let (shop, token) = registered().await;
    let intent = shop.unanswered().await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(shop.intent(&intent).await.receipt(), Some("RAA1"), "account, amount and time fit");
    call_back(&shop, &intent, "RAA2", "1500.00").await;
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2), "both are booked, and each bought a day");
    assert_eq!(shop.intent(&intent).await.receipt(), Some("RAA2"));
    let (first, second) = (payment(&shop, "RAA1").await, payment(&shop, "RAA2").await);
    assert_eq!((first.intent, second.intent), (None, Some(intent.id.clone())));
    assert_eq!(first.customer, second.customer, "the other stays its account holder's");
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(items[0].reason.contains("another receipt"), "{}", items[0].reason);
    assert_eq!(items[0].receipt_number.as_deref(), Some("RAA2"), "what the body says");
    // Told of again, by its own callback and by the others: nothing changes.
    call_back(&shop, &intent, "RAA2", "1500.00").await;
    confirm(&shop, &token, "RAA2", "1500.00").await;
    confirm(&shop, &token, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(shop.intent(&intent).await.receipt(), Some("RAA2"));
}

#[tokio::test]
async fn a_receipt_that_its_own_callback_names_is_booked_although_a_person_has_moved_the_one_of_matching() {
    for is_nobodys in [true, false] {
        let (shop, token) = registered().await;
        let intent = shop.unanswered().await;
        confirm(&shop, &token, "RAA1", "1500.00").await;
        assert_eq!(shop.intent(&intent).await.receipt(), Some("RAA1"), "account, amount and time fit");
        let by = Actor::CommandLine("clerk".to_owned());
        let to = if is_nobodys { Target::Suspense } else { Target::Customer(intent.customer.clone(), None) };
        let matched = payment(&shop, "RAA1").await;
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let mut write = shop.controller.database.write().await.unwrap();
        let moved =
            corrections::move_payment(&mut write, (&matched.id, &to), Clerk::owner(&by), ids, now).await;
        moved.unwrap().unwrap();
        write.commit().await.unwrap();
        let moved = payment(&shop, "RAA1").await;
        call_back(&shop, &intent, "RAA2", "1500.00").await;
        assert_eq!(shop.intent(&intent).await.receipt(), Some("RAA2"), "{is_nobodys}");
        assert_eq!(payment(&shop, "RAA2").await.intent, Some(intent.id.clone()));
        assert_eq!(payment(&shop, "RAA1").await, moved, "it stays where the person put it");
        assert_eq!(shop.books().await.clearing, 300_000);
        assert!(!for_review(&shop).await.iter().any(|item| matches!(item.kind, ReviewKind::Callback(_))));
        // Its own callback has spoken: another receipt on its path is believed no more than any second one.
        call_back(&shop, &intent, "RAA3", "1500.00").await;
        assert_eq!(shop.books().await.clearing, 300_000);
    }
}

#[tokio::test]
async fn a_second_receipt_on_a_path_whose_callback_came_is_booked_once_anything_else_tells_of_it() {
    let (shop, token) = registered().await;
    let intent = shop.unanswered().await;
    call_back(&shop, &intent, "RAA1", "1500.00").await;
    call_back(&shop, &intent, "RAA2", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1), "one prompt is paid once");
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].receipt_number.as_deref(), Some("RAA2"));
    assert_eq!(items[0].amount, Some(Money::from_cents(150_000)));
    confirm(&shop, &token, "RAA2", "1500.00").await;
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(for_review(&shop).await, [], "it is booked: nobody has to look");
}

#[tokio::test]
async fn a_second_receipt_on_a_path_whose_callback_came_is_nobodys_work_if_it_is_booked_already() {
    let (shop, token) = registered().await;
    let intent = shop.unanswered().await;
    call_back(&shop, &intent, "RAA1", "1500.00").await;
    confirm(&shop, &token, "RAA2", "1500.00").await;
    call_back(&shop, &intent, "RAA2", "1500.00").await;
    assert_eq!(sums(&shop).await, (300_000, 0, 300_000, 2));
    assert_eq!(for_review(&shop).await, [], "as in the other order");
    call_back(&shop, &intent, "RAA2", "1.00").await;
    assert_eq!(for_review(&shop).await.len(), 1, "another amount than is booked is no repetition");
}

#[tokio::test]
async fn a_callback_with_another_amount_than_was_asked_for_credits_nothing_until_another_source_confirms_it()
{
    for (confirmed, is_settled) in [("1.00", true), ("2.00", false)] {
        let (shop, token) = registered().await;
        let intent = shop.unanswered().await;
        for amount in ["1.00", "250000.00", "1499.99"] {
            call_back(&shop, &intent, "RGP6CZDYG6", amount).await;
            assert_eq!(sums(&shop).await, (0, 0, 0, 0), "{amount}");
            assert_eq!(shop.intent(&intent).await.state.as_str(), "prompted");
        }
        let items = for_review(&shop).await;
        assert_eq!(items.len(), 3, "{items:?}");
        let told = items.iter().find(|item| item.amount == Some(Money::from_cents(100))).unwrap();
        assert!(matches!(told.kind, ReviewKind::Callback(_)), "{told:?}");
        assert_eq!(told.receipt_number.as_deref(), Some("RGP6CZDYG6"));
        assert!(told.reason.contains("1,500.00 was asked for") && told.reason.contains("1.00 was paid"));
        confirm(&shop, &token, "RGP6CZDYG6", confirmed).await;
        let cents = Money::parse(confirmed).unwrap().cents();
        assert_eq!(sums(&shop).await, (cents, cents, 0, 1), "it is booked from there");
        assert_eq!(for_review(&shop).await.len(), if is_settled { 2 } else { 3 }, "{confirmed}");
    }
}

#[tokio::test]
async fn a_callback_that_repeats_a_booked_receipt_with_another_amount_than_was_asked_for_changes_nothing() {
    let (shop, token) = registered().await;
    confirm(&shop, &token, "RAA1", "1.00").await;
    let intent = shop.unanswered().await;
    call_back(&shop, &intent, "RAA1", "1.00").await;
    assert_eq!(sums(&shop).await, (100, 100, 0, 1));
    assert_eq!(shop.intent(&intent).await.state.as_str(), "prompted");
    assert_eq!(for_review(&shop).await, [], "another source has told of the same, before instead of after");
    assert_eq!(shop.books().await.evidence, 2, "it is told of all the same");
}

#[tokio::test]
async fn money_in_suspense_finds_its_owner_once_another_source_says_who_paid() {
    let (shop, token) = registered().await;
    let body = confirmed_now(&shop, "RKL51ZDR4F", "1500.00", "");
    assert_eq!(deliver(&shop, &token, body).await, 200);
    assert_eq!(suspense(&shop).await, 150_000, "a till, and a masked number");
    // Pull has the whole number.
    let daraja = daraja_that_tells(&shop, &format!("[[{}]]", row_of("RKL51ZDR4F", "", ""))).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(suspense(&shop).await, 0);
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    let payment = only_payment(&shop).await;
    assert_eq!((payment.customer, payment.no_owner), (Some(shop.world.customer.id.clone()), None));
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn money_that_a_person_assigned_stays_where_they_put_it_whatever_is_told_of_it_later() {
    let (shop, token) = registered().await;
    let body = confirmed_now(&shop, "RKL51ZDR4F", "1500.00", "");
    assert_eq!(deliver(&shop, &token, body).await, 200);
    give(&shop, &only_payment(&shop).await, None).await;
    let daraja = daraja_that_tells(&shop, &format!("[[{}]]", row_of("RKL51ZDR4F", "", ""))).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(sums(&shop).await, (150_000, 150_000, 0, 1), "they left it in the wallet");
    // And its own callback closes the request, and buys nothing for the line that was asked for.
    let intent = shop.unanswered_although_paid().await;
    call_back(&shop, &intent, "RKL51ZDR4F", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 150_000, 0, 1));
    assert_eq!(only_payment(&shop).await.subscription, None);
    assert_eq!(shop.intent(&intent).await.receipt(), Some("RKL51ZDR4F"));
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(items[0].reason.contains("given to another line, or to none"), "{}", items[0].reason);
}

#[tokio::test]
async fn money_that_a_person_gave_to_one_line_is_not_moved_to_another_by_a_late_callback() {
    let (shop, _) = registered().await;
    let second = second_line(&shop).await;
    let daraja = daraja_that_tells(&shop, &format!("[[{}]]", row_of("RKL51ZDR4F", "", "rent"))).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    let intent = shop.unanswered().await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    give(&shop, &only_payment(&shop).await, Some(second.clone())).await;
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1), "a day of the second line");
    call_back(&shop, &intent, "RKL51ZDR4F", "1500.00").await;
    assert_eq!(only_payment(&shop).await.subscription, Some(second));
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    assert_eq!(shop.books().await.paid_days, None, "the line that was asked for");
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(items[0].reason.contains("given to another line"), "{}", items[0].reason);
}

#[tokio::test]
async fn a_kind_of_payment_that_nobody_has_seen_is_its_account_holders_and_shown_to_a_person() {
    let (shop, token) = registered().await;
    let odd = |receipt: &str, account: &str, kind: &str| {
        let body = confirmed_now(&shop, receipt, "1500.00", account);
        body.replace("\"Pay Bill\"", &format!("\"{kind}\""))
    };
    assert_eq!(deliver(&shop, &token, odd("RAA1", &account(&shop), "Customer Pay Bill Fuliza")).await, 200);
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    let items = for_review(&shop).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(items[0].reason.contains("kind of payment that is not known"), "{}", items[0].reason);
    // Without an account nothing says whose it is, and a reversal is no payment.
    assert_eq!(deliver(&shop, &token, odd("RAA2", "0712345678", "Customer Pay Bill Fuliza")).await, 200);
    assert_eq!(deliver(&shop, &token, odd("RAA3", &account(&shop), "Pay Bill Reversal")).await, 200);
    assert_eq!(suspense(&shop).await, 300_000);
}

#[tokio::test]
async fn what_is_told_of_anothers_receipt_is_kept_as_evidence_of_it() {
    let (shop, _) = open().await;
    let first = shop.unanswered().await;
    call_back(&shop, &first, "RAA1", "1500.00").await;
    shop.wait_two_minutes();
    let second = shop.unanswered().await;
    call_back(&shop, &second, "RAA1", "1500.00").await;
    assert_eq!(shop.outcomes().await[1], "review: the receipt is booked for another request");
    let books = shop.books().await;
    assert_eq!((books.payments, books.evidence), (1, 2));
}

#[tokio::test]
async fn money_for_a_held_line_that_a_release_spent_has_bought_something_also_when_its_request_is_found() {
    let (shop, token) = registered().await;
    let intent = shop.unanswered().await;
    shop.execute("UPDATE subscriptions SET status = 'suspended'").await;
    // Long before the request, as far as its time says: it is the account holder's, for their line.
    let body = confirmation("RAA1", "1500.00", "174379", &account(&shop));
    assert_eq!(deliver(&shop, &token, body).await, 200);
    assert_eq!(only_payment(&shop).await.unspent, Some(Unspent::OnHold));
    let mut write = shop.controller.database.write().await.unwrap();
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let released = payments::release(&mut write, &shop.world.line, "test", ids, now).await.unwrap();
    assert!(released.bought.is_some());
    write.commit().await.unwrap();
    let payment = only_payment(&shop).await;
    assert_eq!((payment.unspent, payment.is_spent()), (None, true));
    call_back(&shop, &intent, "RAA1", "1500.00").await;
    assert_eq!(sums(&shop).await, (150_000, 0, 150_000, 1));
    assert_eq!(shop.outcomes().await.last().unwrap(), "booked", "nobody has to look");
    assert!(only_payment(&shop).await.is_spent());
}

#[tokio::test]
async fn what_lies_in_the_wallet_after_a_purchase_is_the_newest() {
    let (shop, token) = registered().await;
    for (receipt, amount) in [("RAA1", "900.00"), ("RAA2", "300.00"), ("RAA3", "100.00")] {
        shop.controller.clock.advance(std::time::Duration::from_secs(1));
        confirm(&shop, &token, receipt, amount).await;
        assert_eq!(payment(&shop, receipt).await.unspent, Some(Unspent::TooLittle));
    }
    // With 50 more a period for 1,200 leaves 150: the two newest.
    shop.execute("UPDATE plans SET price_cents = 120000").await;
    shop.controller.clock.advance(std::time::Duration::from_secs(1));
    confirm(&shop, &token, "RAA4", "50.00").await;
    assert_eq!(sums(&shop).await, (135_000, 15_000, 120_000, 4));
    let spent = async |receipt| payment(&shop, receipt).await.is_spent();
    assert_eq!((spent("RAA1").await, spent("RAA2").await, spent("RAA3").await), (true, true, false));
}

#[tokio::test]
async fn nothing_that_is_printed_for_a_log_says_who_paid() {
    let (shop, token) = registered().await;
    let body = confirmed_now(&shop, "RKL51ZDR4F", "1500.00", "JANE 0712345678");
    assert_eq!(deliver(&shop, &token, body.clone()).await, 200);
    let stored = StoredCallback {
        id: crate::ids::CallbackId::random(&shop.controller.ids),
        kind: CallbackKind::Confirmation,
        token,
        body: body.into_bytes(),
        received_at: shop.controller.clock.now(),
        payee: None,
    };
    let mut read = shop.controller.database.read().await.unwrap();
    let rows = payments::recent_payments(&mut read, 9).await.unwrap();
    for printed in [format!("{rows:?}"), format!("{stored:?}")] {
        let is_silent = ["JANE", "0712345", "2547123", "123, 34"].iter().all(|part| !printed.contains(part));
        assert!(is_silent, "{printed}");
    }
}
