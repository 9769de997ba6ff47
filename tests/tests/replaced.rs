//! What the system that Tawi replaces gets wrong, as measured on it: ERPNext with frappe-mpsa-payments, on two cores. Each
//! failure is one test by its name, against the real controller over real sockets. How fast it was stands beside our own
//! figures in `make bench-intake`.
//!
//! What is forged here knows everything that somebody outside can know; and where it says so, a path that nobody but
//! Safaricom was told.

#![cfg(test)]

use std::time::Duration;

use anyhow::{Context as _, ensure};
use daraja_sim::{Behaviour, ConfirmationFaults, PaybillOutcome, PaybillPayment, Phone, Prompt, Redelivery};
use reqwest::Client;
use routeros_sim::Service;
use serde_json::{Value, json};
use tawi_shared::IdSource;
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, World};
use tokio::task::JoinSet;

const SHORT_CODE: &str = "174379";
const PRICE_CENTS: i64 = 150_000;
/// Longer than anything here takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);
/// Longer than any of these tests.
const NEVER_MS: u64 = 3_600_000;
/// As many connections as the replaced stack was booked on when 272 of 500 bookings failed.
const CONNECTIONS: usize = 8;
const BOOKINGS: usize = 500;

/// A head office whose site is away: what is proven here is head office's.
struct Isp {
    world: World,
    customers: Vec<Customer>,
    safaricom: Client,
    /// Where Safaricom confirms payments by Paybill.
    confirmations: String,
}

impl Isp {
    async fn open(customers: u32) -> Self {
        let directory = std::env::temp_dir().join(format!("tawi-replaced-{}", IdSource::system().hex(4)));
        let plan = Plan { sites: vec!["nyeri-01".into()], ..Plan::default() };
        let mut world = World::start(&directory, &plan, &mut |_: &str| ()).await.unwrap();
        world.kill_agent(0).await.unwrap();
        let home =
            world.add_plan("Home 10", Service::Pppoe, "home-10", 10, PRICE_CENTS, 30 * 86_400).await.unwrap();
        let mut people = Vec::new();
        for number in 0..customers {
            let new = NewCustomer { number, site: 0, plan: &home, service: Service::Pppoe, redial_ms: None };
            people.push(world.add_customer(&new).await.unwrap());
        }
        world.command(&["--json", "mpesa", "register-urls"]).await.unwrap();
        let registrations = world.daraja.handle().registrations();
        let confirmations = registrations.values().next().unwrap().confirmation_url.as_str().to_owned();
        Self { world, customers: people, safaricom: Client::new(), confirmations }
    }

    /// Sends a body to one of the controller's addresses, and gives the status.
    async fn post(&self, url: &str, body: String) -> u16 {
        let sent = self.safaricom.post(url).header("content-type", "application/json").body(body);
        sent.send().await.unwrap().status().as_u16()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.world.dashboard())
    }

    /// Asks a phone for the money, and nobody answers.
    async fn prompt(&self, customer: &Customer, body: &Value) -> (String, Prompt) {
        let ignores = Phone { behaviour: Behaviour::Ignore, delay_ms: NEVER_MS, ..Phone::default() };
        self.world.daraja.handle().set_phone(&customer.phone, ignores).unwrap();
        let path = format!("/api/subscriptions/{}/payment-requests", customer.subscription);
        let intent = self.world.office.create(&path, body).await.unwrap();
        let asked = |prompt: &Prompt| prompt.msisdn.as_str() == customer.phone;
        let prompt = self.world.daraja.handle().prompts(0, 1_000).into_iter().find(asked).unwrap();
        (intent, prompt)
    }

    /// Waits until the controller has taken in what it answered: one more payment, told after it, is booked.
    async fn is_taken_in(&self, receipt: &str) {
        let account = &self.customers.last().unwrap().account_number;
        assert_eq!(self.post(&self.confirmations, confirmation(receipt, "5.00", account)).await, 200);
        let booked = async |_: &_| Ok(amount_of(&self.world, receipt).await?.map(|_| ()));
        self.world.office.wait_for("the payment behind it is booked", WITHIN, booked).await.unwrap();
    }

    async fn for_review(&self) -> Vec<Value> {
        let answer = self.world.office.get("/api/payments/review").await.unwrap();
        answer["items"].as_array().unwrap().clone()
    }

    async fn payments_of(&self, customer: &Customer) -> Vec<Value> {
        let path = format!("/api/payments?text={}&limit=200", customer.account_number);
        self.world.office.get(&path).await.unwrap()["payments"].as_array().unwrap().clone()
    }

    async fn is_unpaid(&self, customer: &Customer) {
        let line = self.world.office.subscription(&customer.subscription).await.unwrap();
        assert_eq!((line.status.as_str(), line.paid_until_ms), ("draft", None));
        assert_eq!(self.payments_of(customer).await, Vec::<Value>::new());
    }

    /// Everything in the books holds, and everything stops as it should.
    async fn close(self) {
        self.world.command(&["--json", "books", "prove"]).await.unwrap();
        self.world.stop().await.unwrap();
    }
}

/// A payment by Paybill as Safaricom confirms it.
fn confirmation(receipt: &str, amount: &str, account: &str) -> String {
    json!({
        "TransactionType": "Pay Bill", "TransID": receipt, "TransTime": "20261126120000", "TransAmount": amount,
        "BusinessShortCode": SHORT_CODE, "BillRefNumber": account, "InvoiceNumber": "",
        "OrgAccountBalance": "49197.00", "ThirdPartyTransID": "", "MSISDN": "2547 ***** 126",
        "FirstName": "", "MiddleName": "", "LastName": "",
    })
    .to_string()
}

/// A prompt that was paid, as Safaricom calls back.
fn callback(prompt: &Prompt, receipt: &str, shillings: u32) -> String {
    let items = json!([
        {"Name": "Amount", "Value": shillings}, {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "Balance"}, {"Name": "TransactionDate", "Value": 20_261_126_120_000_u64},
        {"Name": "PhoneNumber", "Value": prompt.msisdn.as_str().parse::<u64>().unwrap()},
    ]);
    json!({"Body": {"stkCallback": {
        "MerchantRequestID": prompt.merchant_request_id, "CheckoutRequestID": prompt.checkout_request_id.as_str(),
        "ResultCode": 0, "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": {"Item": items},
    }}})
    .to_string()
}

/// In cents, once it is booked.
async fn amount_of(world: &World, receipt: &str) -> anyhow::Result<Option<i64>> {
    let found = world.office.get(&format!("/api/payments?receipt={receipt}")).await?;
    let list = found["payments"].as_array().context("a list")?;
    ensure!(list.len() < 2, "{receipt} is booked twice: {found}");
    Ok(list.first().and_then(|payment| payment["amount_cents"].as_i64()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_receipt_that_is_told_three_times_is_credited_once() {
    let mut isp = Isp::open(2).await;
    let customer = isp.customers[0].clone();
    let thrice = ConfirmationFaults { copies: 3, together: true, ..ConfirmationFaults::default() };
    let phone = Phone { confirmation: thrice, ..Phone::default() };
    let handle = isp.world.daraja.handle();
    handle.set_phone(&customer.phone, phone).unwrap();
    let account = customer.account_number.clone();
    let paybill = PaybillPayment { short_code: SHORT_CODE.into(), amount: 1_500, account };
    let outcome = handle.pay_by_paybill(&customer.phone, &paybill).await.unwrap();
    let PaybillOutcome::Paid { receipt } = outcome else { panic!("{outcome:?}") };
    assert!(handle.settled(WITHIN).await);
    assert_eq!(handle.payment(receipt.as_str()).unwrap().confirmation_status, [200, 200, 200]);
    isp.is_taken_in("RAA0000001").await;
    let bought = isp.world.office.subscription(&customer.subscription).await.unwrap().paid_until_ms;
    assert!(bought.is_some());
    isp.world.kill_controller().await.unwrap();
    isp.world.start_controller().await.unwrap();
    let again = Redelivery { copies: 3, together: false };
    assert_eq!(handle.redeliver_confirmation(receipt.as_str(), again).await.unwrap(), [200, 200, 200]);
    isp.is_taken_in("RAA0000002").await;
    assert_eq!(isp.payments_of(&customer).await.len(), 1);
    assert_eq!(amount_of(&isp.world, receipt.as_str()).await.unwrap(), Some(PRICE_CENTS));
    let after = isp.world.office.subscription(&customer.subscription).await.unwrap();
    assert_eq!((after.paid_until_ms, after.status.as_str()), (bought, "active"), "one period, not six");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_post_of_250_000_credits_nothing_and_is_on_the_review_list() {
    let isp = Isp::open(2).await;
    let victim = &isp.customers[0];
    let forged = confirmation("RFF0000001", "250000.00", &victim.account_number);
    let guess = "0".repeat(32);
    for path in [
        "/api/method/frappe_mpsa_payments.frappe_mpsa_payments.api.m_pesa_api.confirmation".to_owned(),
        "/callbacks/c2b/confirmation".to_owned(),
        format!("/callbacks/c2b/{SHORT_CODE}/confirmation"),
        format!("/callbacks/c2b/{guess}/confirmation"),
        format!("/callbacks/stk/{guess}"),
    ] {
        let status = isp.post(&isp.url(&path), forged.clone()).await;
        assert!(matches!(status, 401 | 404 | 405), "{path} answered {status}");
    }
    // Whoever has the path of a prompt asked for 1,500, and says that 250,000 were paid.
    let (intent, prompt) = isp.prompt(victim, &json!({})).await;
    let path = prompt.callback_url.as_str();
    assert_eq!(isp.post(path, callback(&prompt, "RFF0000002", 250_000)).await, 200);
    // And whoever has the short code's own path says it of another short code.
    let another = forged.replace(SHORT_CODE, "600000").replace("RFF0000001", "RFF0000003");
    assert_eq!(isp.post(&isp.confirmations, another).await, 200);
    isp.is_taken_in("RAA0000001").await;
    isp.is_unpaid(victim).await;
    assert_eq!(isp.world.office.intent(&intent).await.unwrap().state, "prompted");
    for receipt in ["RFF0000001", "RFF0000002", "RFF0000003"] {
        assert_eq!(amount_of(&isp.world, receipt).await.unwrap(), None, "{receipt}");
    }
    let review = isp.for_review().await;
    let of = |receipt: &str| review.iter().find(|item| item["receipt_number"] == receipt);
    assert!(of("RFF0000001").is_none(), "a stranger fills no list: {review:?}");
    for receipt in ["RFF0000002", "RFF0000003"] {
        let item = of(receipt).unwrap_or_else(|| panic!("{receipt} is not in {review:?}"));
        assert_eq!((&item["kind"], &item["amount_cents"]), (&json!("callback"), &json!(25_000_000)));
    }
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_on_the_short_codes_own_stolen_path_is_named_by_the_daily_close() {
    let isp = Isp::open(2).await;
    // Pull has told of everything up to a quarter of an hour ago; this was said to be paid before.
    let now = tawi_shared::Clock::system().now();
    let paid = tawi_shared::UnixMillis(now.0 - 40 * 60_000);
    let (day, time) = nairobi(paid);
    let account = &isp.customers[0].account_number;
    let forged = confirmation("RFF0000001", "250000.00", account).replace("20261126120000", &time);
    assert_eq!(isp.post(&isp.confirmations, forged).await, 200);
    let named = async |office: &tawi_tests::office::Office| {
        let close = office.get(&format!("/api/daily-closes/{day}")).await?;
        let differences = close["closes"][0]["differences"].as_array().cloned().unwrap_or_default();
        let named = differences.iter().any(|difference| {
            difference["kind"] == "not_in_pull" && difference["receipt_number"] == "RFF0000001"
        });
        ensure!(named, "{close}");
        Ok(Some(()))
    };
    isp.world.office.wait_for("the close names what Pull does not know", WITHIN, named).await.unwrap();
    isp.close().await;
}

/// The day and the time of an instant as M-Pesa writes them, by Nairobi's clock.
fn nairobi(at: tawi_shared::UnixMillis) -> (String, String) {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(3));
    let local = jiff::Timestamp::from_millisecond(at.0).unwrap().to_zoned(zone);
    (local.strftime("%Y-%m-%d").to_string(), local.strftime("%Y%m%d%H%M%S").to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_negative_amount_and_a_payment_without_a_receipt_are_never_booked_and_wait_for_a_person() {
    let isp = Isp::open(2).await;
    let customer = &isp.customers[0];
    let account = &customer.account_number;
    for body in [
        confirmation("RNN0000001", "-500", account),
        confirmation("RNN0000002", "-500.00", account),
        confirmation("RNN0000003", "0.00", account),
        confirmation("", "500.00", account),
        confirmation("RNN0000004", "500.00", account).replace("\"TransID\":\"RNN0000004\",", ""),
    ] {
        assert_eq!(isp.post(&isp.confirmations, body).await, 200, "Safaricom tells once: it is kept");
    }
    isp.is_taken_in("RAA0000001").await;
    isp.is_unpaid(customer).await;
    for receipt in ["RNN0000001", "RNN0000002", "RNN0000003", "RNN0000004"] {
        assert_eq!(amount_of(&isp.world, receipt).await.unwrap(), None, "{receipt}");
    }
    let review = isp.for_review().await;
    let count = |word: &str| {
        review.iter().filter(|item| item["reason"].as_str().is_some_and(|why| why.contains(word))).count()
    };
    assert_eq!((count("TransAmount"), count("TransID"), review.len()), (3, 2, 5), "{review:?}");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_account_number_waits_with_its_reason_and_age_is_shown_and_finds_its_owner() {
    let isp = Isp::open(2).await;
    let customer = &isp.customers[0];
    let (stem, digit) = customer.account_number.split_at(7);
    let slip = format!("{stem}{}", if digit == "0" { '1' } else { '0' });
    // Where Safaricom asks before a payment, the slip costs nobody anything.
    let paybill = PaybillPayment { short_code: SHORT_CODE.into(), amount: 1_500, account: slip.clone() };
    let refused = isp.world.daraja.handle().pay_by_paybill(&customer.phone, &paybill).await.unwrap();
    assert!(matches!(refused, PaybillOutcome::Rejected { .. }), "{refused:?}");
    // Where it does not ask, the money is there.
    let began = tawi_shared::Clock::system().now().0;
    assert_eq!(isp.post(&isp.confirmations, confirmation("RWW0000001", "1500.00", &slip)).await, 200);
    assert_eq!(isp.post(&isp.confirmations, confirmation("RWW0000002", "700.00", "rent")).await, 200);
    isp.is_taken_in("RAA0000001").await;
    let nobodys = isp.world.office.get("/api/payments?standing=nobodys").await.unwrap();
    let reason = |receipt: &str| {
        let payments = nobodys["payments"].as_array().unwrap();
        let payment = payments.iter().find(|payment| payment["receipt_number"] == receipt).unwrap();
        assert!(payment["received_at_ms"].as_i64().unwrap() >= began, "its age is known: {payment}");
        payment["no_owner"].as_str().unwrap().to_owned()
    };
    assert_eq!((reason("RWW0000001"), reason("RWW0000002")), ("check_digit".into(), "not_an_account".into()));
    // It alarms: on the list of what a person has to look at, and on the first page.
    let review = isp.for_review().await;
    assert!(
        review.iter().all(|item| item["kind"] == "payment" && item["since_at_ms"].as_i64() >= Some(began))
    );
    assert_eq!(review.len(), 2, "{review:?}");
    let overview = isp.world.office.get("/api/overview").await.unwrap();
    assert_eq!(overview["for_review"], 2, "{overview}");
    // A person gives it to its owner, and it does what any payment does.
    let payment = isp.world.office.payment_of("RWW0000001").await.unwrap();
    let path = format!("/api/payments/{}/assign", payment.id);
    let owner = json!({"customer_id": customer.customer, "subscription_id": customer.subscription});
    isp.world.office.post(&path, &owner).await.unwrap();
    let line = isp.world.office.subscription(&customer.subscription).await.unwrap();
    assert!(line.status == "active" && line.paid_until_ms.is_some(), "{line:?}");
    assert_eq!(isp.for_review().await.len(), 1);
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_with_payments_that_were_acknowledged_and_not_booked_loses_none_and_doubles_none() {
    let mut isp = Isp::open(20).await;
    let mut acknowledged = Vec::new();
    let mut was_behind = false;
    // Ours is one process: queue, workers and database's connections all die with it.
    for life in 0..3_u32 {
        let mut sending = JoinSet::new();
        for number in 0..200_u32 {
            let receipt = format!("RKK{life}{number:06}");
            let account = &isp.customers[usize::try_from(number % 19).unwrap()].account_number;
            let body = confirmation(&receipt, "1500.00", account);
            let request = isp.safaricom.post(&isp.confirmations).body(body);
            sending.spawn(async move {
                let answered = request.send().await;
                answered.is_ok_and(|answer| answer.status() == 200).then_some(receipt)
            });
        }
        let mut in_this_life = 0;
        while let Some(sent) = sending.join_next().await {
            let Some(receipt) = sent.unwrap() else { continue };
            acknowledged.push(receipt);
            in_this_life += 1;
            if in_this_life == 120 {
                isp.world.kill_controller().await.unwrap();
            }
        }
        assert!(in_this_life >= 120, "{in_this_life} were acknowledged");
        let log = std::fs::read_to_string(isp.world.directory().join("controller.log")).unwrap();
        was_behind |= log.matches("payment booked").count() < acknowledged.len();
        isp.world.start_controller().await.unwrap();
    }
    assert!(was_behind, "each kill came when everything was booked: it proves nothing");
    // What was not acknowledged may have been stored all the same: it is then told again, as any other.
    for receipt in &acknowledged {
        let booked = async |_: &_| amount_of(&isp.world, receipt).await;
        let amount = isp.world.office.wait_for(receipt, WITHIN, booked).await.unwrap();
        assert_eq!(amount, PRICE_CENTS);
    }
    isp.is_taken_in("RAA0000001").await;
    let mut periods = 0;
    let mut payments = 0;
    for customer in &isp.customers {
        payments += isp.payments_of(customer).await.len();
        let line = isp.world.office.subscription(&customer.subscription).await.unwrap();
        let began = tawi_shared::Clock::system().now().0;
        let paid = line.paid_until_ms.map_or(0, |until| until - began);
        // Rounded up: the first period began a moment ago.
        periods += usize::try_from((paid + 30 * 86_400_000 - 1) / (30 * 86_400_000)).unwrap();
    }
    assert_eq!(payments, periods + 1, "each payment bought one period; the last one of 5 bought none");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_bookings_on_eight_connections_with_confirmations_beside_them_never_fail_on_a_lock() {
    let isp = Isp::open(2).await;
    let customer = isp.customers[0].clone();
    let mut booking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let office = isp.world.office.clone();
        let path = format!("/api/customers/{}/counter-payments", customer.customer);
        booking.spawn(async move {
            let mut booked = 0;
            for number in (connection..BOOKINGS).step_by(CONNECTIONS) {
                let slip = format!("BANK{number:06}");
                let body = json!({"amount_cents": 150_000, "means": "bank", "reference": slip, "note": ""});
                office.post(&path, &body).await?;
                booked += 1;
            }
            Ok::<_, anyhow::Error>(booked)
        });
    }
    for number in 0..100 {
        let body = confirmation(&format!("RLL{number:07}"), "100.00", &customer.account_number);
        // A machine that is busy with other tests may say that it is too busy; what is told again is taken once.
        let told = async { while isp.post(&isp.confirmations, body.clone()).await != 200 {} };
        tokio::time::timeout(WITHIN, told).await.unwrap();
    }
    let mut booked = 0;
    while let Some(done) = booking.join_next().await {
        booked += done.unwrap().unwrap();
    }
    assert_eq!(booked, BOOKINGS, "all of them, on the first try");
    isp.is_taken_in("RAA0000001").await;
    let (mut count, mut cents, mut before) = (0, 0, String::new());
    loop {
        let path = format!("/api/payments?text={}&limit=200&before={before}", customer.account_number);
        let page = isp.world.office.get(&path).await.unwrap();
        for payment in page["payments"].as_array().unwrap() {
            count += 1;
            cents += payment["amount_cents"].as_i64().unwrap();
        }
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut before);
    }
    let expected = i64::try_from(BOOKINGS).unwrap() * PRICE_CENTS + 100 * 10_000;
    assert_eq!((count, cents), (BOOKINGS + 100, expected), "each once, with its amount");
    let log = std::fs::read_to_string(isp.world.directory().join("controller.log")).unwrap();
    assert!(!log.contains("locked"), "{log}");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_of_1_never_settles_1_000() {
    let isp = Isp::open(2).await;
    let customer = &isp.customers[0];
    let (intent, prompt) = isp.prompt(customer, &json!({"amount_cents": 100_000})).await;
    assert_eq!(isp.post(prompt.callback_url.as_str(), callback(&prompt, "RFF0000001", 1)).await, 200);
    isp.is_taken_in("RAA0000001").await;
    isp.is_unpaid(customer).await;
    let intent = isp.world.office.intent(&intent).await.unwrap();
    assert_eq!((intent.state.as_str(), intent.receipt_number), ("prompted", None));
    let review = isp.for_review().await;
    assert_eq!(review.len(), 1, "{review:?}");
    let why = review[0]["reason"].as_str().unwrap();
    assert!(why.contains("1,000.00 was asked for") && why.contains("1.00 was paid"), "{why}");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_callback_of_whoever_knows_the_checkout_request_id_credits_nothing() {
    let isp = Isp::open(3).await;
    let (victim, forger) = (&isp.customers[0], &isp.customers[1]);
    let (intent, prompt) = isp.prompt(victim, &json!({})).await;
    let (_, own) = isp.prompt(forger, &json!({})).await;
    let forged = callback(&prompt, "RFF0000001", 1_500);
    let id = prompt.checkout_request_id.as_str();
    for path in [
        "/callbacks/stk".to_owned(),
        format!("/callbacks/stk/{id}"),
        format!("/callbacks/stk/{intent}"),
        format!("/callbacks/stk/{}", IdSource::system().hex(16)),
        "/api/method/frappe_mpsa_payments.frappe_mpsa_payments.api.m_pesa_api.stk_push_callback".to_owned(),
    ] {
        let status = isp.post(&isp.url(&path), forged.clone()).await;
        assert!(matches!(status, 401 | 404 | 405), "{path} answered {status}");
    }
    // Even on the secret path of another prompt.
    assert_eq!(isp.post(own.callback_url.as_str(), forged).await, 200);
    isp.is_taken_in("RAA0000001").await;
    for customer in [victim, forger] {
        isp.is_unpaid(customer).await;
    }
    let intent = isp.world.office.intent(&intent).await.unwrap();
    assert_eq!((intent.state.as_str(), intent.receipt_number), ("prompted", None));
    assert_eq!(amount_of(&isp.world, "RFF0000001").await.unwrap(), None);
    let review = isp.for_review().await;
    assert_eq!(review.len(), 1, "the one that came by a known path: {review:?}");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_sign_in_makes_phones_ring_again_and_again() {
    let isp = Isp::open(8).await;
    let ignores = Phone { behaviour: Behaviour::Ignore, delay_ms: NEVER_MS, ..Phone::default() };
    isp.world.daraja.handle().set_default_phone(ignores).unwrap();
    // The API asks nobody's phone without a token.
    let line = &isp.customers[0].subscription;
    let url = isp.url(&format!("/api/subscriptions/{line}/payment-requests"));
    assert_eq!(isp.post(&url, "{}".to_owned()).await, 401);
    assert_eq!(isp.world.daraja.handle().prompts(0, 10).len(), 0);
    // The pay page asks one phone once within two minutes, for whichever account and however often it is told to.
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut statuses = Vec::new();
    for round in 0..40 {
        let account = &isp.customers[round % 8].account_number;
        let url = isp.url(&format!("/pay/{account}"));
        let page = client.get(&url).send().await.unwrap().text().await.unwrap();
        // Once a request is open, the page has no form at all.
        let token =
            page.split_once("name=\"form_token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        let token = token.map_or("", |(token, _)| token);
        let form = [("form_token", token), ("phone", "0733000222")];
        statuses.push(client.post(&url).form(&form).send().await.unwrap().status().as_u16());
    }
    let prompts = isp.world.daraja.handle().prompts(0, 100);
    assert_eq!(prompts.len(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert!(statuses.contains(&429), "after four tries it is said to wait: {statuses:?}");
    isp.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_that_is_paid_is_booked_although_its_callback_is_lost() {
    let isp = Isp::open(2).await;
    let customer = &isp.customers[0];
    let lost = daraja_sim::CallbackFaults { lost: true, ..daraja_sim::CallbackFaults::default() };
    let confirmation = ConfirmationFaults { lost: true, ..ConfirmationFaults::default() };
    let phone = Phone { callback: lost, confirmation, ..Phone::default() };
    isp.world.daraja.handle().set_phone(&customer.phone, phone).unwrap();
    let paid = stories::pay(&isp.world.office, customer).await.unwrap();
    assert_eq!(amount_of(&isp.world, &paid.receipt_number).await.unwrap(), Some(PRICE_CENTS));
    isp.close().await;
}
