//! The fixed story that shows that Tawi does what it promises, in five parts, without a person.
//!
//! Each part says what happened in words and figures, and fails with what it saw instead. The same parts are the end-to-end tests
//! (`tests/stories.rs`) and the demo's `--once`.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{DeviceState, Service};
use serde::Serialize;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::backhaul::Outage;
use crate::figures::Spread;
use crate::office::{Intent, Office, Payment, Subscription};
use crate::world::{Customer, NewCustomer, World};

/// Far above what any step needs, so that a slow machine is not a failure; the figures say how long it took.
const WITHIN: Duration = Duration::from_secs(60);
/// An agent behind a link that was down backs off; it is back well within this.
const BACK_WITHIN: Duration = Duration::from_secs(90);
/// Time in which a payment would reach a site that is wrongly thought to be cut off.
const NOTHING_HAPPENS_FOR: Duration = Duration::from_secs(2);
/// The validity of the plan that expires during the story: long enough to cut the link first.
const SHORT_VALIDITY_SECONDS: u64 = 10;
/// Payments under way at once in the last part: an evening peak of an ISP with many sites.
const PAYING_AT_ONCE: usize = 4;
/// Devices redial this often.
const REDIAL_MS: u64 = 250;

/// What the whole story showed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether every part went as promised.
    pub passed: bool,
    /// Part by part.
    pub stories: Vec<Told>,
    /// From the callback's arrival to the router's read-back, in milliseconds, over the payments of the last part.
    pub callback_to_verified_ms: Spread,
}

/// One part.
#[derive(Debug, Serialize)]
pub struct Told {
    /// 1 to 5.
    pub story: u32,
    /// What it shows.
    pub title: &'static str,
    /// Whether it went so.
    pub passed: bool,
    /// What happened, in order; the last line is the failure, where there is one.
    pub what_happened: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// The cast: plans that all parts sell.
#[derive(Clone, Debug)]
pub struct Cast {
    /// A PPPoE plan that lasts.
    pub home: String,
    /// A hotspot plan that lasts.
    pub hotspot: String,
    /// A PPPoE plan that ends within seconds.
    pub short: String,
}

/// Collects what happened.
#[derive(Debug, Default)]
pub struct Log(Vec<String>);

impl Log {
    fn note(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }
}

/// Sets the plans up.
///
/// # Errors
/// When the controller refuses.
pub async fn cast(world: &World) -> anyhow::Result<Cast> {
    Ok(Cast {
        home: world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 30 * 86_400).await?,
        hotspot: world.add_plan("Hotspot day", Service::Hotspot, "hotspot-3", 3, 5_000, 86_400).await?,
        short: world
            .add_plan("Home minute", Service::Pppoe, "home-5", 5, 1_000, SHORT_VALIDITY_SECONDS)
            .await?,
    })
}

/// Plays all parts. `say` hears each title as it begins and how it went.
pub async fn play(world: &mut World, payments: u32, say: &mut impl FnMut(&str)) -> anyhow::Result<Report> {
    let cast = cast(world).await?;
    let mut stories = Vec::new();
    let mut spread = Spread::default();
    let mut first = None;
    for number in 1..=5 {
        let title = title(number);
        say(&format!("{number} {title}"));
        let started = Instant::now();
        let mut log = Log::default();
        let outcome = match number {
            1 => pays_and_comes_online(world, &cast, &mut log).await.map(|customer| first = Some(customer)),
            2 => pays_while_cut_off(world, &cast, &mut log).await,
            3 => expires_while_cut_off(world, &cast, &mut log).await,
            4 => match &first {
                Some(customer) => callbacks_are_counted_once(world, &cast, customer, &mut log).await,
                None => Err(anyhow::anyhow!("there is no payment to repeat: part 1 failed")),
            },
            _ => many_pay(world, &cast, payments, &mut log).await.map(|figures| spread = figures),
        };
        let passed = outcome.is_ok();
        if let Err(error) = outcome {
            log.note(format!("FAILED: {error:#}"));
        }
        say(&format!("  {}", log.0.last().map_or("", String::as_str)));
        let seconds = started.elapsed().as_secs_f64();
        stories.push(Told { story: number, title, passed, what_happened: log.0, seconds });
    }
    Ok(Report { passed: stories.iter().all(|told| told.passed), stories, callback_to_verified_ms: spread })
}

fn title(number: u32) -> &'static str {
    match number {
        1 => "a new customer pays by STK push and comes online",
        2 => "a site is cut off, its customer pays, and comes online when the site returns",
        3 => "a subscription expires while its site is cut off, and the agent alone takes it off the router",
        4 => "the same callback three times, and once more after a restart, is one credit",
        _ => "many payments, spread over the sites",
    }
}

/// Part 1.
///
/// # Errors
/// What was seen instead.
pub async fn pays_and_comes_online(world: &World, cast: &Cast, log: &mut Log) -> anyhow::Result<Customer> {
    let customer = world.add_customer(&customer(1, 0, &cast.home, Service::Pppoe)).await?;
    let before = world.office.subscription(&customer.subscription).await?;
    ensure!(before.status == "draft" && !before.is_online, "a new subscription is {before:?}");
    log.note("a customer was added; the router refuses their modem");
    let payment = pay(&world.office, &customer).await?;
    comes_online(world, &customer).await?;
    log.note(format!("receipt {}: paid, verified on the router, online", payment.receipt_number));
    let trace = trace_of(&world.office, &payment.id, true).await?;
    log.note(format!(
        "callback to verified on the router {} ms, to online {} ms",
        trace.verified_ms,
        trace.online_ms.unwrap_or_default()
    ));
    Ok(customer)
}

/// Part 2.
///
/// # Errors
/// What was seen instead.
pub async fn pays_while_cut_off(world: &World, cast: &Cast, log: &mut Log) -> anyhow::Result<()> {
    let customer = world.add_customer(&customer(2, 1, &cast.home, Service::Pppoe)).await?;
    let site = world.site(1)?;
    site.backhaul.cut(Outage::Reset);
    wait_for_site(&world.office, &site.id, false).await?;
    log.note(format!("{} is cut off, and head office sees it", site.id));
    let payment = pay(&world.office, &customer).await?;
    sleep(NOTHING_HAPPENS_FOR).await;
    let meanwhile = world.office.payment(&payment.id).await?;
    let verified = meanwhile.trace.as_ref().and_then(|trace| trace.verified_at_ms);
    ensure!(verified.is_none(), "verified on a router that nobody can reach");
    let device = site.router.router().device(&customer.device)?;
    ensure!(device.state == DeviceState::Dialing, "online at a site that was not told");
    log.note(format!("receipt {}: paid and booked; the site does not know yet", payment.receipt_number));
    let mended = Instant::now();
    site.backhaul.mend();
    comes_online(world, &customer).await?;
    log.note(format!(
        "the link returned, and the customer was online {} ms later",
        mended.elapsed().as_millis()
    ));
    Ok(())
}

/// Part 3.
///
/// # Errors
/// What was seen instead.
pub async fn expires_while_cut_off(world: &World, cast: &Cast, log: &mut Log) -> anyhow::Result<()> {
    let customer = world.add_customer(&customer(3, 2, &cast.short, Service::Pppoe)).await?;
    pay(&world.office, &customer).await?;
    comes_online(world, &customer).await?;
    let site = world.site(2)?;
    site.backhaul.cut(Outage::Silence);
    let until =
        world.office.subscription(&customer.subscription).await?.paid_until_ms.context("it is paid for")?;
    log.note(format!("paid for {SHORT_VALIDITY_SECONDS} s and online; then {} is cut off", site.id));
    let router = site.router.router();
    let device = router.wait_for_device(&customer.device, DeviceState::Dialing, WITHIN).await?;
    let late = tawi_shared::Clock::system().now().0 - until;
    ensure!(late >= 0, "taken off {} ms before the paid time was over", -late);
    log.note(format!(
        "taken off the router {late} ms after the paid time was over, with the link still down"
    ));
    let rows = router.rows("ppp/secret")?;
    let disabled = rows.iter().any(|row| {
        let is = |name: &str, value: &str| {
            row.iter().any(|(key, found)| *key == name && found == value.as_bytes())
        };
        is("name", &device.username) && is("disabled", "true")
    });
    ensure!(disabled, "the modem is off and its secret is not disabled");
    site.backhaul.mend();
    wait_for_site(&world.office, &site.id, true).await?;
    log.note("its secret is disabled; the link returned");
    Ok(())
}

/// Part 4, with the payment of part 1.
///
/// # Errors
/// What was seen instead.
pub async fn callbacks_are_counted_once(
    world: &mut World,
    cast: &Cast,
    customer: &Customer,
    log: &mut Log,
) -> anyhow::Result<()> {
    let before = money_of(world, customer).await?;
    let checkout = world
        .daraja
        .handle()
        .prompts(0, 1_000)
        .into_iter()
        .find(|prompt| prompt.msisdn.as_str() == customer.phone)
        .context("the prompt of part 1")?
        .checkout_request_id
        .as_str()
        .to_owned();
    let again = daraja_sim::Redelivery { copies: 3, together: false };
    let answers = world.daraja.handle().redeliver_callback(&checkout, again).await?;
    log.note(format!("the callback came three times more; answered {answers:?}"));
    world.kill_controller().await?;
    world.start_controller().await?;
    let once = daraja_sim::Redelivery { copies: 1, together: false };
    let answers = world.daraja.handle().redeliver_callback(&checkout, once).await?;
    log.note(format!(
        "the controller lost its power and came back; the callback came again; answered {answers:?}"
    ));
    // Callbacks are worked through in the order of their arrival: once a later payment is booked, the repeats are done.
    let next = world.add_customer(&self::customer(4, 0, &cast.home, Service::Pppoe)).await?;
    pay(&world.office, &next).await?;
    let after = money_of(world, customer).await?;
    ensure!(before == after, "before: {before:?}, after: {after:?}");
    log.note(format!("still one credit: {} payment, paid until {}", after.0, after.1.unwrap_or_default()));
    Ok(())
}

/// Part 5: `count` payments.
///
/// # Errors
/// What was seen instead.
pub async fn many_pay(world: &World, cast: &Cast, count: u32, log: &mut Log) -> anyhow::Result<Spread> {
    let sites = u32::try_from(world.sites.len())?;
    let mut customers = Vec::new();
    for number in 0..count {
        let (plan, service) =
            if number % 3 == 0 { (&cast.hotspot, Service::Hotspot) } else { (&cast.home, Service::Pppoe) };
        let mut new = customer(1_000 + number, usize::try_from(number % sites)?, plan, service);
        // Two hundred modems that redial four times a second would be the load that is measured.
        new.redial_ms = Some(5_000);
        customers.push(world.add_customer(&new).await?);
    }
    log.note(format!("{count} customers on {sites} sites"));
    let started = Instant::now();
    let payments = LocalSet::new().run_until(all_pay(&world.office, &customers)).await?;
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    log.note(format!("all paid, {rate:.0} a second"));
    let mut verified = Vec::new();
    for payment in &payments {
        verified.push(trace_of(&world.office, &payment.id, false).await?.verified_ms);
    }
    let spread = Spread::of(verified);
    log.note(format!(
        "all verified on the routers: p50 {} ms, p99 {} ms, max {} ms after the callback",
        spread.p50, spread.p99, spread.max
    ));
    Ok(spread)
}

/// Everybody pays, four at a time.
///
/// # Errors
/// When one payment is not booked in time.
pub async fn all_pay(office: &Office, customers: &[Customer]) -> anyhow::Result<Vec<Payment>> {
    let mut paying = JoinSet::new();
    let mut payments = Vec::new();
    for customer in customers {
        if paying.len() >= PAYING_AT_ONCE
            && let Some(payment) = paying.join_next().await
        {
            payments.push(payment??);
        }
        let (office, customer) = (office.clone(), customer.clone());
        paying.spawn_local(async move { pay(&office, &customer).await });
    }
    while let Some(payment) = paying.join_next().await {
        payments.push(payment??);
    }
    Ok(payments)
}

fn customer(number: u32, site: usize, plan: &str, service: Service) -> NewCustomer<'_> {
    NewCustomer { number, site, plan, service, redial_ms: Some(REDIAL_MS) }
}

/// Asks for payment and waits for the receipt to be booked.
///
/// # Errors
/// When it is not paid in time.
pub async fn pay(office: &Office, customer: &Customer) -> anyhow::Result<Payment> {
    let intent = office.ask_for_payment(&customer.subscription).await?;
    receipt_of(office, &intent).await
}

/// Waits until a request for payment is paid and booked.
///
/// # Errors
/// When it is not in time.
pub async fn receipt_of(office: &Office, intent: &Intent) -> anyhow::Result<Payment> {
    let receipt = office
        .wait_for("the payment is booked", WITHIN, async |office: &Office| {
            let now = office.intent(&intent.id).await?;
            ensure!(!matches!(now.state.as_str(), "declined" | "review"), "the request is {}", now.state);
            Ok(now.receipt_number)
        })
        .await?;
    office.payment_of(&receipt).await
}

/// Waits until both the router's simulator and head office see the customer online.
///
/// # Errors
/// When one does not in time.
pub async fn comes_online(world: &World, customer: &Customer) -> anyhow::Result<Subscription> {
    let router = world.site(customer.site)?.router.router();
    router.wait_for_device(&customer.device, DeviceState::Online, BACK_WITHIN).await?;
    world
        .office
        .wait_for("head office sees the customer online", WITHIN, async |office: &Office| {
            let now = office.subscription(&customer.subscription).await?;
            Ok((now.is_online && now.status == "active").then_some(now))
        })
        .await
}

/// Times from the callback's arrival, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// To the router's read-back.
    pub verified_ms: i64,
    /// To the customer's session.
    pub online_ms: Option<i64>,
}

/// Waits until a payment is verified on the router (and, where asked, the customer is online).
///
/// # Errors
/// When it is not in time.
pub async fn trace_of(office: &Office, payment: &str, is_online_wanted: bool) -> anyhow::Result<Taken> {
    office
        .wait_for("the payment is verified on the router", WITHIN, async |office: &Office| {
            let Some(trace) = office.payment(payment).await?.trace else { return Ok(None) };
            let since = |at: i64| at - trace.callback_received_at_ms;
            let online_ms = trace.online_at_ms.map(since);
            let is_enough = online_ms.is_some() || !is_online_wanted;
            Ok(trace
                .verified_at_ms
                .filter(|_| is_enough)
                .map(|at| Taken { verified_ms: since(at), online_ms }))
        })
        .await
}

/// Waits until head office sees a site up or down.
///
/// # Errors
/// When it does not in time.
pub async fn wait_for_site(office: &Office, site: &str, is_online: bool) -> anyhow::Result<()> {
    office
        .wait_for("head office notices the link", BACK_WITHIN, async |office: &Office| {
            let answer = office.get(&format!("/api/sites/{site}")).await?;
            let found = answer.get("is_online").and_then(serde_json::Value::as_bool);
            Ok((found == Some(is_online)).then_some(()))
        })
        .await
}

/// Everything that a second credit would change: the customer's payments and the end of what is paid for.
async fn money_of(world: &World, customer: &Customer) -> anyhow::Result<(usize, Option<i64>)> {
    let receipt = world
        .daraja
        .handle()
        .payments(0, 1_000)
        .into_iter()
        .find(|payment| payment.msisdn.as_str() == customer.phone)
        .context("the payment at Safaricom")?
        .receipt
        .as_str()
        .to_owned();
    let listed = world.office.payments(200).await?;
    let count = listed.iter().filter(|payment| payment.receipt_number == receipt).count();
    Ok((count, world.office.subscription(&customer.subscription).await?.paid_until_ms))
}
