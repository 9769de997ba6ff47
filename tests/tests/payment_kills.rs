//! The controller is killed at a hundred random points of a storm of five hundred payments by Paybill and by prompt, whose
//! confirmations and callbacks come once, three times at once, late or never, and Pull has nothing to say all the while. After
//! the last restart and one sweep of Pull the books are exact: each receipt stands in them once, with its amount, and has bought one period of the right line.
//!
//! The points come from a seed, which a failure prints: `TAWI_SEED=7 cargo test -p tawi-tests --test payment_kills`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daraja_sim::{
    CallbackFaults, ConfirmationFaults, FaultsChange, PaybillOutcome, PaybillPayment, Phone, Product,
};
use routeros_sim::Service;
use serde_json::Value;
use tawi_shared::{Clock, IdSource};
use tawi_tests::seed::seed;
use tawi_tests::world::{Customer, NewCustomer, Plan, World};
use tawi_tests::{process, stories};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How often the power goes.
const KILLS: u32 = 100;
/// Payments by Paybill between two of them: five hundred in all.
const PAID_BETWEEN: u32 = 5;
/// Who pays by Paybill, again and again.
const PAYERS: u32 = 20;
/// Who is prompted, each once.
const PROMPTED: u32 = 20;
/// Payments of a life begin within this long; some fall into the start of the next.
const PAID_WITHIN_MS: u64 = 250;
/// The power goes within this long of them, which a start, an intake and a booking take.
const KILLED_WITHIN_MS: u64 = 300;
/// Pull is swept at each start, and not again while the test runs.
const PULL_SECONDS: u32 = 3_600;
/// How long what is on its way may take, and the sweep: a request whose fate is unknown is asked about for longer.
const ENDS_WITHIN: Duration = Duration::from_secs(200);
const PRICE_SHILLINGS: u32 = 1_500;
const PERIOD_MS: i64 = 30 * 86_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_killed_a_hundred_times_books_each_of_five_hundred_receipts_once() {
    let seed = seed();
    eprintln!("seed {seed}");
    let directory: PathBuf = std::env::temp_dir().join(format!("tawi-kills-{}", IdSource::system().hex(4)));
    let plan = Plan {
        sites: vec!["nyeri-01".into()],
        rule_17: false,
        pull_seconds: PULL_SECONDS,
        ..Plan::default()
    };
    let mut world = World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await.unwrap();
    if let Err(error) = storm(&mut world, IdSource::seeded(seed)).await {
        world.keep_directory();
        let log = world.controller().map(process::Program::log_end).unwrap_or_default();
        panic!("TAWI_SEED={seed}: {error:#}\n{log}\nlogs are in {}", directory.display());
    }
    world.stop().await.unwrap();
}

async fn storm(world: &mut World, chance: IdSource) -> anyhow::Result<()> {
    // What is proven is head office's; the site hears of it when it is back.
    world.kill_agent(0).await?;
    let cast = stories::cast(world).await?;
    let mut customers = Vec::new();
    for number in 0..PAYERS + PROMPTED {
        let new = NewCustomer { number, site: 0, plan: &cast.home, service: Service::Pppoe, redial_ms: None };
        customers.push(world.add_customer(&new).await?);
    }
    let (payers, prompted) = customers.split_at(usize::try_from(PAYERS)?);
    world.command(&["--json", "mpesa", "register-urls"]).await?;
    let safaricom = world.daraja.handle();
    safaricom
        .set_faults(&FaultsChange { no_product: Some(vec![Product::Pull]), ..FaultsChange::default() })?;
    let swept_before = safaricom.state().pulls;
    let began = Clock::system().now().0;
    for kill in 0..KILLS {
        let asked = prompted.get(usize::try_from(kill / 5)?).filter(|_| kill.is_multiple_of(5));
        life(world, &chance, payers, asked).await.with_context(|| format!("kill {kill}"))?;
    }
    ensure!(safaricom.settled(ENDS_WITHIN).await, "something is still on its way: {:?}", safaricom.state());
    ensure!(safaricom.state().pulls == swept_before, "Pull had something to say: {:?}", safaricom.state());
    safaricom.clear_faults();
    world.kill_controller().await?;
    world.start_controller().await?;
    the_books_are_exact(world, &customers, began).await
}

/// Some pay while the power goes, and it comes back.
async fn life(
    world: &mut World,
    chance: &IdSource,
    payers: &[Customer],
    asked: Option<&Customer>,
) -> anyhow::Result<()> {
    let (safaricom, office) = (world.daraja.handle(), world.office.clone());
    let mut paying = JoinSet::new();
    for _ in 0..PAID_BETWEEN {
        let index = usize::try_from(chance.number() % u64::from(PAYERS))?;
        let payer = payers.get(index).context("somebody pays")?.clone();
        let later = Duration::from_millis(chance.number() % PAID_WITHIN_MS);
        let (safaricom, mood) = (safaricom.clone(), mood(chance));
        paying.spawn(async move {
            sleep(later).await;
            safaricom.set_phone(&payer.phone, mood)?;
            let paybill = PaybillPayment {
                short_code: "174379".into(),
                amount: PRICE_SHILLINGS,
                account: payer.account_number.clone(),
            };
            let outcome = safaricom.pay_by_paybill(&payer.phone, &paybill).await?;
            ensure!(matches!(outcome, PaybillOutcome::Paid { .. }), "{outcome:?}");
            Ok(())
        });
    }
    let asking = async {
        let Some(customer) = asked else { return Ok::<_, anyhow::Error>(()) };
        safaricom.set_phone(&customer.phone, mood(chance))?;
        // Killed in the middle of it, nobody knows what became of it; that is the point.
        let _ = office.ask_for_payment(&customer.subscription).await;
        Ok(())
    };
    let killed_after = Duration::from_millis(chance.number() % KILLED_WITHIN_MS);
    let restarting = async {
        sleep(killed_after).await;
        world.kill_controller().await?;
        world.start_controller().await
    };
    let (asked, restarted) = tokio::join!(asking, restarting);
    restarted.and(asked)?;
    while let Some(paid) = paying.join_next().await {
        paid??;
    }
    Ok(())
}

/// What goes wrong with what Safaricom tells of a phone's payments.
fn mood(chance: &IdSource) -> Phone {
    let copies = if chance.number().is_multiple_of(3) { 3 } else { 1 };
    let lost = chance.number().is_multiple_of(5);
    let together = chance.number().is_multiple_of(2);
    let delay_ms = chance.number() % 200;
    Phone {
        callback: CallbackFaults { copies, delay_ms, lost, together, before_reply: false },
        confirmation: ConfirmationFaults { copies, delay_ms, lost, together },
        ..Phone::default()
    }
}

async fn the_books_are_exact(world: &World, customers: &[Customer], began: i64) -> anyhow::Result<()> {
    let moved = world.daraja.handle().payments(0, 1_000);
    let told: Vec<_> = moved.iter().map(|payment| payment.receipt.as_str().to_owned()).collect();
    ensure!(told.len() >= usize::try_from(KILLS * PAID_BETWEEN)?, "{} receipts", told.len());
    let until = Instant::now() + ENDS_WITHIN;
    let booked = loop {
        let booked = all_payments(world).await?;
        if told.iter().all(|receipt| booked.contains_key(receipt)) {
            break booked;
        }
        let missing: Vec<_> = told.iter().filter(|receipt| !booked.contains_key(*receipt)).collect();
        ensure!(Instant::now() < until, "not in the books: {missing:?}");
        sleep(Duration::from_millis(200)).await;
    };
    eprintln!("· {} receipts, {} in the books", told.len(), booked.len());
    ensure!(booked.len() == told.len(), "receipts that nobody paid: {:?}", booked.keys());
    for payment in &moved {
        let amounts = booked.get(payment.receipt.as_str()).map(Vec::as_slice).unwrap_or_default();
        let [amount] = amounts else { anyhow::bail!("{} stands {amounts:?} in the books", payment.receipt) };
        ensure!(*amount == i64::from(PRICE_SHILLINGS) * 100, "{} with {amount} cents", payment.receipt);
    }
    for customer in customers {
        let paid = moved.iter().filter(|payment| payment.msisdn.as_str() == customer.phone).count();
        let subscription = world.office.subscription(&customer.subscription).await?;
        let Some(until) = subscription.paid_until_ms else {
            ensure!(paid == 0, "{} paid {paid} times and bought nothing", customer.phone);
            continue;
        };
        // Periods follow one another, from when the first was booked.
        let begun = until - PERIOD_MS * i64::try_from(paid)?;
        let now = Clock::system().now().0;
        ensure!((began..=now).contains(&begun), "{} paid {paid} times, until {until}", customer.phone);
    }
    // Fails where anything does not hold.
    world.command(&["--json", "books", "prove"]).await?;
    let suspense = world.office.get("/api/payments?standing=nobodys").await?;
    let nobodys = suspense.get("payments").and_then(Value::as_array).context("a list")?;
    ensure!(nobodys.is_empty(), "{nobodys:?}");
    Ok(())
}

/// Amounts in cents by receipt, as the API lists them page by page.
async fn all_payments(world: &World) -> anyhow::Result<BTreeMap<String, Vec<i64>>> {
    let mut payments = BTreeMap::<String, Vec<i64>>::new();
    let mut before = String::new();
    loop {
        let page = world.office.get(&format!("/api/payments?limit=200&before={before}")).await?;
        for payment in page.get("payments").and_then(Value::as_array).context("a list")? {
            let receipt = payment.get("receipt_number").and_then(Value::as_str).context("a receipt")?;
            let amount = payment.get("amount_cents").and_then(Value::as_i64).context("an amount")?;
            payments.entry(receipt.to_owned()).or_default().push(amount);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut before),
            None => return Ok(payments),
        }
    }
}
