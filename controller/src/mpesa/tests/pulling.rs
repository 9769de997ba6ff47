//! Payments that nothing told of, fetched by Pull over real sockets.

use std::time::Duration;

use daraja_sim::{
    Behaviour, CallbackFaults, FaultsChange, PaybillOutcome, PaybillPayment, Phone, Product, Redelivery,
    Simulator,
};
use sqlx::Row as _;
use tawi_shared::{Clock, UnixMillis};

use super::shop::{Books, DAY_MS, DEADLINE, START, Shop, daraja_with, success};
use crate::entitlements::Status;
use crate::ids::TopUpId;
use crate::ledger::{self, Account};
use crate::live::Hint;
use crate::mpesa::intent::Intent;
use crate::mpesa::pull::sweep::{PullError, Sweeper, Swept};
use crate::mpesa::{Daraja, query, run_pull};
use crate::payments::testing::PHONE;
use crate::payments::{self, Payment, RequestPayment, Requested, Unspent};
use crate::shutdown::Shutdown;
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};

const MORE: &str = "pull = true\npull_nominated_number = \"0712345678\"\npull_seconds = 1";

/// A shop whose clock shows what the simulator's shows, which stamps payments.
pub(super) async fn open() -> (Shop, Sweeper) {
    let mut shop = Shop::open().await;
    shop.controller.clock.set(Clock::system().now());
    with_pull(&mut shop);
    let sweeper = sweeper(&shop);
    (shop, sweeper)
}

fn with_pull(shop: &mut Shop) {
    shop.daraja = daraja_at(shop, &shop.simulator.base_url());
}

fn daraja_at(shop: &Shop, base_url: &impl std::fmt::Display) -> Daraja {
    daraja_with(&shop.directory, base_url, shop.address, &shop.controller, MORE)
}

pub(super) fn sweeper(shop: &Shop) -> Sweeper {
    let settings = shop.daraja.settings().pull().unwrap().clone();
    Sweeper::new(shop.controller.clone(), shop.daraja.clone(), settings)
}

async fn try_sweep(shop: &Shop, sweeper: &mut Sweeper) -> Result<Swept, PullError> {
    // What was paid by the real clock lies before the end of the window, however slow the machine.
    shop.controller.clock.advance(Duration::from_secs(300));
    let shutdown = Shutdown::default();
    sweeper.sweep(&mut shutdown.stop()).await
}

/// Sweeps, and says how many payments were told of and how many of them were new.
pub(super) async fn sweep(shop: &Shop, sweeper: &mut Sweeper) -> (usize, usize) {
    let swept = try_sweep(shop, sweeper).await.unwrap();
    assert_eq!((swept.bad, swept.is_silent), (0, false));
    (swept.rows, swept.booked)
}

/// A payment whose callback never comes.
async fn lost(shop: &Shop) -> Intent {
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let intent = shop.prompt(None).await;
    shop.settle().await;
    assert_eq!(shop.stored_callbacks().await, 0);
    intent
}

async fn redeliver(shop: &Shop, intent: &Intent) {
    let id = intent.checkout.as_ref().unwrap().to_string();
    let again = Redelivery { copies: 1, together: false };
    assert_eq!(shop.handle().redeliver_callback(&id, again).await.unwrap(), [200]);
    shop.settle().await;
}

/// The books after one payment of one price, booked at an instant and told of so many times.
fn paid_once(booked_at: UnixMillis, evidence: i64) -> Books {
    let paid_days = Some((booked_at.0 + DAY_MS - START.0) / DAY_MS);
    Books { evidence, paid_days, ..Books::PAID_ONCE }
}

async fn paybill(shop: &Shop, amount: u32, account: &str) -> String {
    let payment = PaybillPayment { short_code: "174379".to_owned(), amount, account: account.to_owned() };
    match shop.handle().pay_by_paybill(PHONE, &payment).await.unwrap() {
        PaybillOutcome::Paid { receipt } => receipt.to_string(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn suspense(shop: &Shop) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    -ledger::balance_of(&mut read, &Account::Suspense).await.unwrap().cents()
}

pub(super) async fn only_payment(shop: &Shop) -> Payment {
    let mut read = shop.controller.database.read().await.unwrap();
    let mut rows = payments::recent_payments(&mut read, 9).await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0).payment
}

#[tokio::test]
async fn a_payment_whose_callback_was_lost_is_fetched_and_credited_once() {
    let (shop, mut sweeper) = open().await;
    let intent = lost(&shop).await;
    assert_eq!(shop.books().await, Books::EMPTY);
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    let booked_at = shop.controller.clock.now();
    let paid = shop.intent(&intent).await;
    assert_eq!(paid.state.as_str(), "paid");
    let payment = only_payment(&shop).await;
    assert_eq!(
        (payment.intent, payment.subscription),
        (Some(intent.id.clone()), Some(shop.world.line.clone()))
    );
    assert_eq!(paid.receipt(), Some(payment.receipt_number.as_str()));
    assert_eq!(payment.phone.unwrap().digits(), PHONE);
    assert_eq!(shop.books().await, paid_once(booked_at, 1));
    // Sweeping again, and the callback that comes after all, change nothing.
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(shop.books().await, paid_once(booked_at, 1));
    redeliver(&shop, &intent).await;
    assert_eq!(shop.outcomes().await, ["booked before"]);
    assert_eq!(shop.books().await, paid_once(booked_at, 2));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(shop.books().await, paid_once(booked_at, 2));
}

#[tokio::test]
async fn what_a_callback_told_of_gains_evidence_and_nothing_else() {
    let (shop, mut sweeper) = open().await;
    let booked_at = shop.controller.clock.now();
    let intent = shop.pay(None).await;
    assert_eq!(shop.books().await, paid_once(booked_at, 1));
    // Another request, refused on the phone, fits the payment as well: it is not paid by it.
    shop.wait_two_minutes();
    shop.phone_that(Behaviour::Refuse);
    let refused = shop.pay(Some(1_500)).await;
    for _ in 0..2 {
        assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
        assert_eq!(shop.books().await, paid_once(booked_at, 2));
    }
    assert_eq!(shop.intent(&intent).await.state, intent.state);
    assert_eq!(shop.intent(&refused).await.state.as_str(), "declined");
}

#[tokio::test]
async fn a_request_that_a_query_called_paid_gets_its_receipt() {
    let (shop, mut sweeper) = open().await;
    let intent = lost(&shop).await;
    shop.controller.clock.advance(Duration::from_secs(20));
    let shutdown = Shutdown::default();
    query::ask_about_due(&shop.controller, &shop.codes(), &shutdown.stop()).await.unwrap();
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted");
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
    assert_eq!(shop.books().await, paid_once(shop.controller.clock.now(), 1));
}

#[tokio::test]
async fn a_restart_before_or_after_the_sweep_changes_nothing() {
    let (mut shop, _) = open().await;
    let intent = lost(&shop).await;
    let mut booked_at = None;
    for expected in [(1, 1), (1, 0)] {
        shop.restart().await;
        with_pull(&mut shop);
        assert_eq!(sweep(&shop, &mut sweeper(&shop)).await, expected);
        let booked_at = *booked_at.get_or_insert(shop.controller.clock.now());
        assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
        assert_eq!(shop.books().await, paid_once(booked_at, 1));
    }
}

#[tokio::test]
async fn a_short_code_that_cannot_be_registered_is_swept_once_it_can() {
    let (shop, mut sweeper) = open().await;
    let intent = lost(&shop).await;
    let without = FaultsChange { no_product: Some(vec![Product::Pull]), ..FaultsChange::default() };
    shop.handle().set_faults(&without).unwrap();
    assert!(matches!(try_sweep(&shop, &mut sweeper).await, Err(PullError::NoPage(_))));
    let down = FaultsChange { no_product: Some(vec![]), html_next: Some(1), ..FaultsChange::default() };
    shop.handle().set_faults(&down).unwrap();
    assert!(try_sweep(&shop, &mut sweeper).await.is_err());
    assert_eq!(shop.books().await, Books::EMPTY);
    shop.handle().clear_faults();
    let dead = FaultsChange { expire_token: true, ..FaultsChange::default() };
    shop.handle().set_faults(&dead).unwrap();
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
}

#[tokio::test]
async fn nothing_found_where_callbacks_told_of_payments_does_not_count_as_swept() {
    let (shop, mut sweeper) = open().await;
    shop.pay(None).await;
    let other = Simulator::start(daraja_sim::Settings::default()).await.unwrap();
    let mut blind =
        Sweeper::new(shop.controller.clone(), daraja_at(&shop, &other.base_url()), pull_settings(&shop));
    // Fresh payments may not have shown up yet.
    assert!(!try_sweep(&shop, &mut blind).await.unwrap().is_silent);
    shop.controller.clock.advance(Duration::from_secs(20 * 60));
    assert!(try_sweep(&shop, &mut blind).await.unwrap().is_silent);
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert!(!try_sweep(&shop, &mut blind).await.unwrap().is_silent, "Pull has told of it");
    other.stop().await;
}

pub(super) fn pull_settings(shop: &Shop) -> crate::mpesa::pull::settings::PullSettings {
    shop.daraja.settings().pull().unwrap().clone()
}

#[tokio::test]
async fn money_of_nobody_waits_in_suspense() {
    let (shop, mut sweeper) = open().await;
    let receipt = paybill(&shop, 700, "rent november").await;
    for expected in [(1, 1), (1, 0)] {
        assert_eq!(sweep(&shop, &mut sweeper).await, expected);
        assert_eq!(suspense(&shop).await, 70_000);
        let books = Books { clearing: 70_000, payments: 1, evidence: 1, ..Books::EMPTY };
        assert_eq!(shop.books().await, books);
    }
    let payment = only_payment(&shop).await;
    assert_eq!((payment.receipt_number, payment.customer, payment.subscription), (receipt, None, None));
    let mut read = shop.controller.database.read().await.unwrap();
    let row = sqlx::query("SELECT account_reference FROM payments").fetch_one(&mut *read).await.unwrap();
    assert_eq!(row.get::<String, _>("account_reference"), "rent november");
}

#[tokio::test]
async fn money_in_suspense_goes_to_the_request_that_a_later_callback_names() {
    let (shop, mut sweeper) = open().await;
    let receipt = paybill(&shop, 1_500, "no account").await;
    let intent = shop.unanswered().await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!((suspense(&shop).await, shop.intent(&intent).await.state.as_str()), (150_000, "prompted"));
    for evidence in [2, 3] {
        let body = success(&intent, &receipt, "1500.00");
        assert_eq!(shop.deliver_to(&intent, body).await.0, 200);
        shop.take_in().await;
        assert_eq!(suspense(&shop).await, 0);
        assert_eq!(shop.books().await, paid_once(shop.controller.clock.now(), evidence));
        assert_eq!(shop.intent(&intent).await.receipt(), Some(receipt.as_str()));
    }
    assert_eq!(shop.outcomes().await, ["booked", "booked before"]);
    assert_eq!(only_payment(&shop).await.intent, Some(intent.id));
}

#[tokio::test]
async fn a_payment_to_an_account_number_buys_a_period_and_a_later_callback_does_not_buy_another() {
    let (shop, mut sweeper) = open().await;
    let number = shop.world.customer.account_number.as_str().to_owned();
    let (left, right) = number.split_at(4);
    let receipt = paybill(&shop, 1_500, &format!("{left} {right}")).await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    let booked_at = shop.controller.clock.now();
    assert_eq!(shop.books().await, paid_once(booked_at, 1));
    let payment = only_payment(&shop).await;
    assert_eq!((payment.customer, payment.intent), (Some(shop.world.customer.id.clone()), None));
    // The request was made only afterwards as far as our clock knows; its callback names the same receipt.
    let intent = shop.unanswered().await;
    shop.deliver_to(&intent, success(&intent, &receipt, "1500.00")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await, paid_once(booked_at, 2));
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
    assert_eq!(shop.outcomes().await, ["booked"], "its money bought a period: nobody has to look");
    let payment = only_payment(&shop).await;
    assert_eq!((payment.intent, payment.unspent), (Some(intent.id), None));
}

#[tokio::test]
async fn a_payment_that_bought_a_period_is_spent_even_if_it_was_asked_for_a_top_up() {
    let (shop, mut sweeper) = open().await;
    shop.execute("UPDATE plans SET data_quota_bytes = 100; INSERT INTO top_ups VALUES ('t1', 'More', NULL, 150000, 50, 1);")
        .await;
    let receipt = paybill(&shop, 1_500, shop.world.customer.account_number.as_str()).await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    let books = paid_once(shop.controller.clock.now(), 2);
    shop.phone(Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
    let wanted = RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: Some(TopUpId::parse("t1").unwrap()),
        phone: None,
        amount: None,
        leaves_wallet: false,
        requested_by: crate::audit::Actor::Token("test".to_owned()),
    };
    let asked = payments::request(&shop.controller, &shop.codes(), wanted).await.unwrap();
    let Requested::Prompted(intent) = asked else { panic!("{asked:?}") };
    shop.deliver_to(&intent, success(&intent, &receipt, "1500.00")).await;
    shop.take_in().await;
    assert_eq!(shop.books().await, books);
    let outcome = shop.outcomes().await.remove(0);
    assert!(outcome.contains("it had bought something else for the line"), "{outcome}");
    assert_eq!(only_payment(&shop).await.unspent, None);
}

#[tokio::test]
async fn a_payment_that_buys_once_its_request_is_known_is_unspent_no_more() {
    let (shop, mut sweeper) = open().await;
    let receipt = paybill(&shop, 1_000, shop.world.customer.account_number.as_str()).await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!(only_payment(&shop).await.unspent, Some(Unspent::TooLittle));
    shop.phone(Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
    let intent = shop.prompt(Some(1_000)).await;
    shop.execute("UPDATE plans SET price_cents = 100000").await;
    shop.deliver_to(&intent, success(&intent, &receipt, "1000.00")).await;
    shop.take_in().await;
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue, books.status), (0, 100_000, Status::Active));
    assert_eq!(only_payment(&shop).await.unspent, None);
}

#[tokio::test]
async fn a_customer_with_two_lines_says_which_one_it_is_for() {
    let (shop, mut sweeper) = open().await;
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
    assert!(matches!(created, subscriptions::Created::Created(_)), "{created:?}");
    write.commit().await.unwrap();
    paybill(&shop, 1_500, shop.world.customer.account_number.as_str()).await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    let books = Books { clearing: 150_000, wallet: 150_000, payments: 1, evidence: 1, ..Books::EMPTY };
    assert_eq!(shop.books().await, books);
}

#[tokio::test]
async fn more_than_a_page_is_fetched_page_by_page() {
    let (shop, mut sweeper) = open().await;
    let account = shop.world.customer.account_number.as_str().to_owned();
    for _ in 0..205 {
        paybill(&shop, 1, &account).await;
    }
    assert_eq!(sweep(&shop, &mut sweeper).await, (205, 205));
    assert_eq!(sweep(&shop, &mut sweeper).await, (205, 0));
    let books = shop.books().await;
    assert_eq!((books.payments, books.wallet, books.status), (205, 20_500, Status::Draft));
}

/// A Daraja whose first page has these rows, and every further one none.
pub(super) async fn daraja_that_tells(shop: &Shop, response: &str) -> Daraja {
    let first = format!(r#"{{"ResponseCode":"1000","Response":{response}}}"#);
    daraja_that_answers(shop, move |asked: &str| {
        let is_first = asked.contains(r#""OffSetValue":"0""#);
        if is_first { first.clone() } else { r#"{"ResponseCode":"1001"}"#.to_owned() }
    })
    .await
}

/// A Daraja that answers Pull like this.
pub(super) async fn daraja_that_answers(
    shop: &Shop,
    answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> Daraja {
    use axum::routing::{get, post};

    let query = move |asked: String| async move { answer(&asked) };
    let routes = axum::Router::new()
        .route("/oauth/v1/generate", get(|| async { r#"{"access_token":"t","expires_in":"3599"}"# }))
        .route("/pulltransactions/v1/register", post(|| async { r#"{"ResponseStatus":"1000"}"# }))
        .route("/pulltransactions/v1/query", post(query));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(socket, routes).await });
    daraja_at(shop, &format!("http://{address}"))
}

pub(super) fn row_of(receipt: &str, date: &str, account: &str) -> String {
    format!(
        r#"{{"transactionId":"{receipt}","trxDate":"{date}","msisdn":254712345678,"amount":"1500.00",
        "transactiontype":"c2b-pay-bill-debit","billreference":"{account}"}}"#
    )
}

#[tokio::test]
async fn a_payment_whose_time_is_not_understood_is_its_account_holders() {
    let (shop, _) = open().await;
    let intent = lost(&shop).await;
    let row = row_of("RKL51ZDR4F", "yesterday", shop.world.customer.account_number.as_str());
    let daraja = daraja_that_tells(&shop, &format!("[[{row}]]")).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!(shop.books().await, paid_once(shop.controller.clock.now(), 1));
    assert_eq!(shop.intent(&intent).await.receipt(), None);
    let nobody = daraja_that_tells(&shop, &format!("[[{}]]", row_of("RKL51ZDR4G", "", "rent"))).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), nobody, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 1));
    assert_eq!(suspense(&shop).await, 150_000);
}

#[tokio::test]
async fn a_row_that_is_not_understood_is_kept_for_a_person_and_asked_for_once_more() {
    let (shop, _) = open().await;
    let good = row_of("RKL51ZDR4F", "2026-11-21 12:13:25", shop.world.customer.account_number.as_str());
    let bad = row_of("not a receipt", "2026-11-21 12:13:25", "rent");
    let daraja = daraja_that_tells(&shop, &format!("[[{bad},{good}]]")).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    for (booked, kept, is_whole) in [(1, 1, false), (0, 0, true)] {
        let swept = try_sweep(&shop, &mut sweeper).await.unwrap();
        assert_eq!(swept, Swept { rows: 1, booked, bad: 1, kept, is_silent: false, is_whole });
        let mut read = shop.controller.database.read().await.unwrap();
        let items = payments::for_review(&mut read, 9).await.unwrap();
        assert_eq!(items.len(), 1);
        assert!(matches!(items[0].kind, payments::ReviewKind::PullRow(_)), "{items:?}");
        assert!(!items[0].reason.contains("not a receipt"), "{}", items[0].reason);
        let payments::ReviewKind::PullRow(digest) = &items[0].kind else { panic!("{items:?}") };
        let came = payments::as_it_came(&mut read, ("pull_row", digest)).await.unwrap().unwrap();
        assert!(came.contains("not a receipt"), "{came}");
    }
}

#[tokio::test]
async fn what_pull_contradicts_is_listed_for_a_person_once_and_moves_no_money() {
    let (shop, _) = open().await;
    let intent = shop.unanswered().await;
    shop.deliver_to(&intent, success(&intent, "RKL51ZDR4F", "1500.00")).await;
    shop.take_in().await;
    let booked_at = shop.controller.clock.now();
    let told = row_of("RKL51ZDR4F", "2026-11-21 12:13:25", "").replace("1500.00", "15.00");
    let daraja = daraja_that_tells(&shop, &format!("[[{told}]]")).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    let payment = only_payment(&shop).await;
    for _ in 0..2 {
        assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
        assert_eq!(shop.books().await, paid_once(booked_at, 2));
        let mut read = shop.controller.database.read().await.unwrap();
        let items = payments::for_review(&mut read, 9).await.unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        assert_eq!(items[0].kind, payments::ReviewKind::Evidence(payment.id.clone()));
        assert_eq!(items[0].target(), Some(payments::ReviewTarget::Payment(payment.id.clone())));
        assert!(items[0].reason.contains("1,500.00") && items[0].reason.contains("15.00"), "{items:?}");
        assert_eq!((items[0].amount, &items[0].customer), (Some(payment.amount), &payment.customer));
    }
}

/// A Daraja that has one payment a minute of the last `minutes`, and gives the first page of whatever span it is asked
/// about, whatever the offset; the receipt is the minute.
async fn daraja_without_offsets(shop: &Shop, page: usize, minutes: i64, is_one_instant: bool) -> Daraja {
    let now = shop.controller.clock.now().0;
    let account = shop.world.customer.account_number.to_string();
    daraja_that_answers(shop, move |asked: &str| {
        let asked: serde_json::Value = serde_json::from_str(asked).unwrap();
        let (start, end) = (asked["StartDate"].as_str().unwrap(), asked["EndDate"].as_str().unwrap());
        let rows: Vec<String> = (1..=minutes)
            .map(|minute| {
                let at = now - 60_000 * if is_one_instant { 1 } else { minute };
                (minute, crate::mpesa::nairobi::written(UnixMillis(at), "%Y-%m-%d %H:%M:%S"))
            })
            .filter(|(_, date)| (start..end).contains(&date.as_str()))
            .take(page)
            .map(|(minute, date)| row_of(&format!("R{minute}"), &date, &account).replace("1500.00", "1.00"))
            .collect();
        format!(r#"{{"ResponseCode":"1000","Response":[[{}]]}}"#, rows.join(","))
    })
    .await
}

#[tokio::test]
async fn a_gateway_that_ignores_the_offset_is_asked_about_shorter_spans() {
    let (shop, _) = open().await;
    let daraja = daraja_without_offsets(&shop, 100, 250, false).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    let swept = try_sweep(&shop, &mut sweeper).await.unwrap();
    assert_eq!((swept.rows, swept.booked, swept.is_whole), (250, 250, true));
    let few = daraja_without_offsets(&shop, 100, 99, false).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), few, pull_settings(&shop));
    assert!(try_sweep(&shop, &mut sweeper).await.unwrap().is_whole, "there is no second page to be had");
    for page in [10, 50] {
        let (shop, _) = open().await;
        let small = daraja_without_offsets(&shop, page, 120, false).await;
        let mut sweeper = Sweeper::new(shop.controller.clone(), small, pull_settings(&shop));
        let swept = try_sweep(&shop, &mut sweeper).await.unwrap();
        assert_eq!((swept.rows, swept.booked, swept.is_whole), (120, 120, true), "pages of {page}");
    }
}

#[tokio::test]
async fn a_span_that_cannot_be_seen_whole_does_not_count_as_swept() {
    let (shop, _) = open().await;
    let daraja = daraja_without_offsets(&shop, 100, 101, true).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    let swept = try_sweep(&shop, &mut sweeper).await.unwrap();
    assert_eq!((swept.rows, swept.is_whole), (100, false), "101 payments within one second");
}

#[tokio::test]
async fn a_success_without_a_list_does_not_count_as_swept() {
    let (shop, _) = open().await;
    let row = row_of("RKL51ZDR4F", "2026-11-21 12:13:25", "rent");
    let daraja = daraja_that_tells(&shop, &row).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert!(matches!(try_sweep(&shop, &mut sweeper).await, Err(PullError::NoPage(_))));
}

#[tokio::test]
async fn a_row_that_cannot_be_booked_holds_up_no_other_of_its_commit() {
    let (shop, mut sweeper) = open().await;
    let account = shop.world.customer.account_number.to_string();
    let mut receipts = Vec::new();
    for _ in 0..3 {
        receipts.push(paybill(&shop, 10, &account).await);
    }
    let trigger = format!(
        "CREATE TRIGGER refusal BEFORE INSERT ON ledger_entries WHEN NEW.memo LIKE '%{}' \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
        receipts[1]
    );
    let mut write = shop.controller.database.write().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    assert!(matches!(try_sweep(&shop, &mut sweeper).await, Err(PullError::NotBooked(1))));
    assert_eq!((shop.books().await.payments, shop.books().await.wallet), (2, 2_000));
    shop.execute("DROP TRIGGER refusal").await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (3, 1), "the same window is asked for again");
    assert_eq!(shop.books().await.wallet, 3_000);
}

#[tokio::test]
async fn the_worker_fetches_by_itself_and_ends_when_it_is_told() {
    let mut shop = Shop::open().await;
    shop.controller.clock = Clock::system();
    with_pull(&mut shop);
    let mut hints = shop.controller.live.listen();
    let shutdown = Shutdown::default();
    let worker = tokio::spawn(run_pull(shop.controller.clone(), shop.daraja.clone(), shutdown.stop()));
    let intent = lost(&shop).await;
    let booked = async { while !matches!(hints.recv().await.unwrap(), Hint::Payment(_)) {} };
    tokio::time::timeout(DEADLINE, booked).await.unwrap();
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
    assert_eq!(shop.books().await.payments, 1);
    shutdown.begin();
    tokio::time::timeout(DEADLINE, worker).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_payment_by_paybill_is_fetched_soon_although_no_request_is_open() {
    let mut shop = Shop::open().await;
    shop.controller.clock = Clock::system();
    with_pull(&mut shop);
    let mut hints = shop.controller.live.listen();
    let shutdown = Shutdown::default();
    let worker = tokio::spawn(run_pull(shop.controller.clone(), shop.daraja.clone(), shutdown.stop()));
    let has_swept = |handle: &daraja_sim::Handle| (handle.state().pulls > 0).then_some(());
    shop.handle().wait_for(DEADLINE, has_swept).await.expect("the first sweep comes at once");
    paybill(&shop, 1_500, shop.world.customer.account_number.as_str()).await;
    let booked = async { while !matches!(hints.recv().await.unwrap(), Hint::Payment(_)) {} };
    tokio::time::timeout(DEADLINE, booked).await.expect("the next sweep does not wait for a request");
    shutdown.begin();
    tokio::time::timeout(DEADLINE, worker).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_pull_the_worker_asks_nothing_and_waits_for_the_end() {
    let shop = Shop::open().await;
    let shutdown = Shutdown::default();
    let worker = tokio::spawn(run_pull(shop.controller.clone(), shop.daraja.clone(), shutdown.stop()));
    shutdown.begin();
    tokio::time::timeout(DEADLINE, worker).await.unwrap().unwrap();
    assert_eq!(shop.handle().state().pulls, 0);
}
