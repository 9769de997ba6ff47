//! From the request on the phone to the open line.

use std::time::Duration;

use daraja_sim::{Behaviour, CallbackFaults, FaultsChange, Phone, Redelivery};
use tawi_shared::wire::Access;

use super::shop::{Books, DEADLINE, Shop, daraja};
use crate::customers::account_number::AccountNumber;
use crate::customers::phone::Msisdn;
use crate::database::Database;
use crate::desired;
use crate::entitlements::Status;
use crate::ids::IdSource;
use crate::live::Hint;
use crate::money::Money;
use crate::mpesa::answer::{PushAnswer, Refusal};
use crate::mpesa::intent::CallbackToken;
use crate::mpesa::stk::{Push, Shillings};
use crate::mpesa::{Daraja, run_callbacks};
use crate::payments::{self, Requested, Why};
use crate::shutdown::Shutdown;
use crate::state::Controller;
use crate::subscriptions;
use crate::testing::TemporaryDirectory;

#[tokio::test]
async fn a_payment_reaches_the_ledger_the_line_and_the_site_without_anyone_touching_anything() {
    let shop = Shop::open().await;
    let shutdown = Shutdown::default();
    let working = tokio::spawn(run_callbacks(shop.controller.clone(), shutdown.stop()));
    let mut hints = shop.controller.live.listen();
    let intent = shop.prompt(None).await;
    let booked = async { while hints.recv().await.unwrap() != Hint::Line(shop.world.line.clone()) {} };
    tokio::time::timeout(DEADLINE, booked).await.expect("the line is told of within the deadline");
    tokio::time::timeout(DEADLINE, shop.controller.live.outbox_rung()).await.expect("the outbox is rung");
    shutdown.begin();
    working.await.unwrap();

    assert_eq!(shop.books().await, Books::PAID_ONCE);
    let paid = shop.intent(&intent).await;
    let told = shop.handle().payments(0, 1).remove(0);
    assert_eq!(paid.receipt(), Some(told.receipt.to_string().as_str()));
    let mut read = shop.controller.database.read().await.unwrap();
    let row = payments::recent_payments(&mut read, 9).await.unwrap().remove(0);
    assert_eq!(row.account_number, shop.world.customer.account_number.as_str());
    assert_eq!(row.payment.phone, Some(shop.world.customer.phone.clone()));
    let trace = row.trace.unwrap();
    let state = desired::store::state_of(&mut read, &shop.world.site).await.unwrap().unwrap();
    assert_eq!((trace.site, trace.generation), (shop.world.site.clone(), state.generation));
    let snapshot = desired::snapshot(&mut read, &shop.world.site).await.unwrap();
    let line = snapshot.iter().flat_map(|part| &part.lines).next().unwrap();
    assert_eq!((line.line.as_str(), line.access), (shop.world.line.as_str(), Access::Open.code()));
}

#[tokio::test]
async fn a_callback_delivered_thrice_and_again_after_a_restart_is_one_payment() {
    for together in [false, true] {
        let mut shop = Shop::open().await;
        let callback = CallbackFaults { copies: 3, together, ..CallbackFaults::default() };
        shop.phone(Phone { callback, ..Phone::default() });
        let intent = shop.pay(None).await;
        assert_eq!(shop.books().await, Books { evidence: 3, ..Books::PAID_ONCE });
        assert_eq!(shop.outcomes().await.iter().filter(|outcome| *outcome == "booked").count(), 1);

        shop.restart().await;
        let id = intent.checkout.unwrap().to_string();
        let again = Redelivery { copies: 2, together };
        assert_eq!(shop.handle().redeliver_callback(&id, again).await.unwrap(), [200, 200]);
        shop.settle().await;
        assert_eq!(shop.books().await, Books { evidence: 5, ..Books::PAID_ONCE });
        let mut read = shop.controller.database.read().await.unwrap();
        assert_eq!(payments::for_review(&mut read, 9).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_callback_that_overtakes_its_reply_is_booked() {
    let shop = Shop::open().await;
    let shutdown = Shutdown::default();
    let working = tokio::spawn(run_callbacks(shop.controller.clone(), shutdown.stop()));
    let callback = CallbackFaults { before_reply: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    let intent = shop.pay(None).await;
    assert!(intent.receipt().is_some() && intent.checkout.is_some() && intent.merchant_request_id.is_some());
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    shutdown.begin();
    working.await.unwrap();
}

#[tokio::test]
async fn a_push_whose_reply_is_lost_is_not_sent_again_and_its_callback_is_booked() {
    let shop = Shop::open().await;
    // A connection is open already, so that a client that retries would do it.
    shop.pay(Some(1)).await;
    shop.wait_two_minutes();
    shop.handle().set_faults(&FaultsChange { lose_reply_next: Some(1), ..FaultsChange::default() }).unwrap();
    let Requested::NotKnown(intent) = shop.ask(Some(1_500)).await else { panic!("the reply was not lost") };
    assert_eq!(intent.state.as_str(), "submit_unknown");
    let Requested::AlreadyOpen(open) = shop.ask(None).await else { panic!("a second prompt was sent") };
    assert_eq!(open.wait, Duration::from_secs(120));
    shop.settle().await;
    assert!(shop.intent(&intent).await.receipt().is_some());
    assert_eq!(shop.handle().prompts(0, 9).len(), 2);
    assert_eq!(shop.books().await.revenue, 150_000);
}

#[tokio::test]
async fn a_gateway_that_gives_up_waiting_proves_nothing_and_no_second_prompt_is_sent() {
    let shop = Shop::open().await;
    shop.handle().set_faults(&FaultsChange { time_out_next: Some(1), ..FaultsChange::default() }).unwrap();
    let Requested::NotKnown(intent) = shop.ask(None).await else { panic!("it was called a refusal") };
    assert!(matches!(shop.ask(None).await, Requested::AlreadyOpen(_)));
    shop.settle().await;
    assert!(shop.intent(&intent).await.receipt().is_some());
    assert_eq!((shop.handle().prompts(0, 9).len(), shop.books().await), (1, Books::PAID_ONCE));
}

#[tokio::test]
async fn a_customer_who_cancels_or_ignores_the_prompt_pays_nothing_and_may_still_pay() {
    let shop = Shop::open().await;
    shop.phone_that(Behaviour::Refuse);
    let declined = shop.pay(None).await;
    assert_eq!(declined.state.as_str(), "declined");
    assert_eq!(declined.result().map(|(code, _)| code), Some("1032"));
    assert_eq!(declined.advice(false), "The customer cancelled.");
    assert_eq!(shop.books().await, Books::EMPTY);

    // Ignored, and then the PIN was entered all the same.
    shop.phone(Phone { behaviour: Behaviour::Ignore, late_success_ms: Some(1), ..Phone::default() });
    let late = shop.pay(None).await;
    assert!(late.receipt().is_some());
    assert_eq!(shop.books().await, Books::PAID_ONCE);
}

#[tokio::test]
async fn the_wallet_collects_halves_and_then_buys() {
    let shop = Shop::open().await;
    shop.pay(Some(750)).await;
    let half = Books { clearing: 75_000, wallet: 75_000, payments: 1, evidence: 1, ..Books::EMPTY };
    assert_eq!(shop.books().await, half);
    // Nothing said: what is missing is asked for.
    shop.wait_two_minutes();
    let rest = shop.pay(None).await;
    assert_eq!(rest.amount.cents(), 75_000);
    assert_eq!(shop.books().await, Books { payments: 2, evidence: 2, ..Books::PAID_ONCE });
}

#[tokio::test]
async fn what_was_paid_too_much_stays_in_the_wallet_and_buys_the_next_period_in_part() {
    let shop = Shop::open().await;
    shop.pay(Some(2_000)).await;
    assert_eq!(shop.books().await, Books { clearing: 200_000, wallet: 50_000, ..Books::PAID_ONCE });
    let asked = shop.ask(None).await;
    assert!(matches!(&asked, Requested::AlreadyOpen(open) if open.why == Why::JustPaid), "{asked:?}");
    shop.wait_two_minutes();
    let next = shop.pay(None).await;
    assert_eq!(next.amount.cents(), 100_000);
    let twice = Books { clearing: 300_000, revenue: 300_000, payments: 2, evidence: 2, ..Books::PAID_ONCE };
    assert_eq!(shop.books().await, Books { traces: 2, paid_days: Some(2), ..twice });
}

#[tokio::test]
async fn money_for_a_held_line_waits_in_the_wallet() {
    let shop = Shop::open().await;
    let mut write = shop.controller.database.write().await.unwrap();
    subscriptions::hold(&mut write, &shop.world.line, shop.controller.clock.now()).await.unwrap();
    write.commit().await.unwrap();
    shop.pay(None).await;
    let held = Books { clearing: 150_000, wallet: 150_000, payments: 1, evidence: 1, ..Books::EMPTY };
    assert_eq!(shop.books().await, Books { status: Status::Suspended, ..held });
}

#[tokio::test]
async fn an_expired_line_starts_anew_and_a_running_one_is_extended() {
    let shop = Shop::open().await;
    shop.pay(None).await;
    shop.controller.clock.advance(Duration::from_secs(3 * 86_400));
    let mut write = shop.controller.database.write().await.unwrap();
    let expired = subscriptions::expire_due(&mut write, shop.controller.clock.now(), 9).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(expired.len(), 1);
    assert_eq!(shop.books().await.status, Status::Expired);
    shop.wait_two_minutes();
    shop.pay(None).await;
    assert_eq!((shop.books().await.status, shop.books().await.paid_days), (Status::Active, Some(4)));
    shop.wait_two_minutes();
    shop.pay(None).await;
    assert_eq!(shop.books().await.paid_days, Some(5));
}

#[tokio::test]
async fn a_second_prompt_waits_two_minutes_while_the_first_is_open() {
    let shop = Shop::open().await;
    let first = shop.unanswered().await;
    shop.controller.clock.advance(Duration::from_secs(119));
    let Requested::AlreadyOpen(open) = shop.ask(None).await else { panic!("a second prompt was sent") };
    assert_eq!(
        (open.intent.id, open.wait, open.why),
        (first.id, Duration::from_secs(1), payments::Why::SameThing)
    );
    assert_eq!(shop.handle().prompts(0, 9).len(), 1);
    shop.controller.clock.advance(Duration::from_secs(1));
    shop.prompt(Some(1)).await;
    assert_eq!(shop.handle().prompts(0, 9).len(), 2);
}

#[tokio::test]
async fn two_who_ask_at_once_send_one_prompt() {
    let shop = Shop::open().await;
    let (one, two) = tokio::join!(shop.ask(None), shop.ask(None));
    let is_open = |requested: &Requested| matches!(requested, Requested::AlreadyOpen(_));
    assert!(is_open(&one) != is_open(&two), "{one:?} {two:?}");
    assert_eq!(shop.handle().prompts(0, 9).len(), 1);
}

#[tokio::test]
async fn nobody_is_asked_to_pay_for_a_line_of_a_revoked_site() {
    let shop = Shop::open().await;
    let mut write = shop.controller.database.write().await.unwrap();
    sqlx::query("UPDATE sites SET revoked_at = 1").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(shop.ask(None).await, Requested::SiteRevoked);
    assert!(shop.handle().payments(0, 1).is_empty(), "nothing is on the phone");
}

#[tokio::test]
async fn amounts_that_mpesa_does_not_move_are_not_asked_for() {
    let shop = Shop::open().await;
    for shillings in [0, -1, 250_001] {
        assert_eq!(shop.ask(Some(shillings)).await, Requested::BadAmount, "{shillings}");
    }
    assert_eq!(shop.handle().prompts(0, 9).len(), 0);
}

#[tokio::test]
async fn a_dead_token_is_replaced_and_a_busy_gateway_is_asked_again() {
    let shop = Shop::open().await;
    shop.pay(Some(10)).await;
    let change = FaultsChange { expire_token: true, ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
    shop.pay(Some(11)).await;
    let change = FaultsChange { busy_next: Some(2), ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
    shop.pay(Some(12)).await;
    assert_eq!(shop.books().await.wallet, 3_300);
    assert_eq!(shop.handle().prompts(0, 9).len(), 3);
}

#[tokio::test]
async fn a_refusal_is_told_apart_from_a_lost_answer() {
    let shop = Shop::open().await;
    let busy = FaultsChange { busy_next: Some(3), ..FaultsChange::default() };
    shop.handle().set_faults(&busy).unwrap();
    let Requested::Declined(intent) = shop.ask(None).await else { panic!("not refused") };
    assert_eq!(intent.result().map(|(code, _)| code), Some("500.003.02"));
    assert_eq!(intent.advice(false), "It was not sent: M-Pesa is busy. Try again in a minute.");
    // A page of HTML proves nothing.
    let html = FaultsChange { html_next: Some(1), ..FaultsChange::default() };
    shop.handle().set_faults(&html).unwrap();
    assert!(matches!(shop.ask(None).await, Requested::NotKnown(_)));
    shop.controller.clock.advance(Duration::from_secs(120));
    // Nobody listens there: nothing can have been sent.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = daraja(&shop.directory, format!("http://{gone}"), shop.address, &shop.controller);
    let wanted = payments::RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: None,
        phone: None,
        amount: None,
        leaves_wallet: false,
        requested_by: crate::audit::Actor::Token("test".to_owned()),
    };
    let requested = payments::request(&shop.controller, &gone.into(), wanted).await.unwrap();
    assert!(matches!(requested, Requested::Declined(_)), "{requested:?}");
    assert_eq!(shop.handle().prompts(0, 9).len(), 0);
}

#[tokio::test]
async fn a_wrong_passkey_puts_nothing_on_the_phone_and_is_said_to_be_for_the_owner() {
    let mut shop = Shop::open().await;
    shop.directory.write_secret("passkey", "wrong\n");
    shop.with_secrets("");
    let Requested::Declined(intent) = shop.ask(None).await else { panic!("not refused") };
    assert_eq!(intent.result().map(|(code, _)| code), Some("500.001.1001"));
    let advice = intent.advice(true);
    assert!(advice.starts_with("It was not sent") && advice.contains("owner must check both"), "{advice}");
}

/// Asks eight phones at once.
async fn push_eight(daraja: &Daraja) -> Vec<PushAnswer> {
    let ids = IdSource::seeded(8);
    let tasks: Vec<_> = (1..=8)
        .map(|number| {
            let daraja = daraja.clone();
            let push = Push {
                phone: Msisdn::parse(&format!("071234567{number}")).unwrap(),
                amount: Shillings::exactly(Money::from_cents(100)).unwrap(),
                account: AccountNumber::from_serial(1_000_001).unwrap(),
                token: CallbackToken::random(&ids),
            };
            tokio::spawn(async move { daraja.push(&push).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let shop = Shop::open().await;
    for answer in push_eight(&shop.daraja).await {
        assert!(matches!(answer, PushAnswer::Accepted { .. }), "{answer:?}");
    }
    assert_eq!(shop.handle().state().tokens_issued, 1);
}

#[tokio::test]
async fn many_requests_at_once_share_the_failure_to_get_a_token() {
    let shop = Shop::open().await;
    let busy = FaultsChange { oauth_busy_next: Some(8), ..FaultsChange::default() };
    shop.handle().set_faults(&busy).unwrap();
    for answer in push_eight(&shop.daraja).await {
        let PushAnswer::Refused(Refusal::Final(reason)) = answer else { panic!("{answer:?}") };
        assert_eq!(reason.code, "500.003.02");
    }
    assert_eq!(shop.handle().faults().oauth_busy_next, 7, "one has asked for all");
}

#[tokio::test]
async fn a_push_that_gets_no_token_is_given_up_long_before_another_may_be_sent() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let daraja = daraja(&directory, format!("http://{address}"), address, &Controller::new(database));
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    for answer in push_eight(&daraja).await {
        assert!(matches!(answer, PushAnswer::Refused(Refusal::Final(_))), "{answer:?}");
    }
    assert!(before.elapsed() <= Duration::from_secs(21), "{:?}", before.elapsed());
}
