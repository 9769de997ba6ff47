//! What one site with 200 subscribers costs on a metered line in a month.
//!
//! What each thing takes is measured on the wire between the real agent and the real controller: payload bytes with TLS and MQTT as
//! they pass the backhaul, and how many TCP segments they are. IP is computed from those: each segment has 52 bytes of headers, and
//! is answered by an empty one of as many, which is the most that TCP sends. A month is then so many of each thing; how
//! many is played (`month.rs`).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::Service;
use tawi_tests::backhaul::{Carried, Outage};
use tawi_tests::month::{Costs, Counts, Month};
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, Timing, World};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::{directory, say};

pub(crate) const SUBSCRIBERS: u32 = 200;
/// What the measured agent is set to, in seconds: shorter than in a month, so that each thing happens often enough.
const KEEP_ALIVE: u64 = 10;
const REPORT: u64 = 20;
/// How long nothing happens.
const PHASE: Duration = Duration::from_secs(60);
const REPORTS: u64 = 4;
/// Sessions that end one by one, each told for itself; and those that end together, so many times, and are told together.
const ALONE: usize = 8;
const TOGETHER: (usize, usize) = (5, 4);
/// More than a keep-alive takes, which may pass meanwhile, and less than anything that is told.
const TOLD_BYTES: u64 = 150;
/// More than anything but a report of all sessions takes at once.
const REPORT_BYTES: u64 = 1_200;
const MOVE_EVERY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How often totals are told in the month.
const REPORT_IN_A_MONTH: Duration = Duration::from_secs(1_800);
const SEED: u64 = 1;
const PAYMENTS: usize = 10;
const RECONNECTS: u64 = 5;
/// What each subscriber moves at a time, up and down: a gigabyte and more, as totals are after a day.
const MOVED_BYTES: (u64, u64) = (200_000_000, 3_000_000_000);
const WITHIN: Duration = Duration::from_secs(120);

/// Measures, and counts a month.
pub(crate) async fn line() -> anyhow::Result<Month> {
    let timing = Some(Timing { sample_seconds: 5, full_check_seconds: 600, idle_seconds: 300 });
    let plan = Plan { sites: vec!["nyeri-01".into()], rule_17: false, timing, ..Plan::default() };
    let mut world = World::start(&directory(), &plan, &mut say).await?;
    let customers = settle(&world).await?;
    say("the agent starts anew, and names every session");
    restart(&mut world, &customers).await?;
    say("silence");
    let silence = carried(&world, wait()).await?;
    let ping = silence.part(PHASE.as_secs() / KEEP_ALIVE);
    say("reports of all sessions");
    // From behind one to behind another: a time may hold one more than its length says.
    until_reported(&world, &customers).await?;
    let began = Instant::now();
    let reports = carried(&world, reported(&world, &customers)).await?;
    let report = reports.less(pings(ping, began.elapsed())).part(REPORTS);
    say("sessions end, and begin again: one by one, and together");
    let alone = turns(&world, (1, ALONE), ping).await?;
    let together = turns(&world, TOGETHER, ping).await?;
    let turn = (together.saturating_sub(alone)) / u64::try_from(TOGETHER.0 - 1)?;
    say("payments");
    let began = Instant::now();
    let paid = carried(&world, renew(&world, &customers)).await?;
    let payment = paid.less(pings(ping, began.elapsed())).part(u64::try_from(PAYMENTS)?);
    say("reconnects");
    let began = Instant::now();
    let again = carried(&world, reconnect(&world)).await?;
    let reconnect = again.less(pings(ping, began.elapsed())).part(RECONNECTS);
    world.stop().await?;
    let costs = Costs {
        keep_alive: ping.on_the_line(),
        report: report.on_the_line(),
        telling: alone.saturating_sub(turn),
        turn,
        payment: payment.on_the_line(),
        reconnect: reconnect.on_the_line(),
    };
    Ok(Month::of(costs, Counts::played(u64::from(SUBSCRIBERS), REPORT_IN_A_MONTH, SEED)))
}

/// Sells to everybody, and waits until all are online.
pub(crate) async fn settle(world: &World) -> anyhow::Result<Vec<Customer>> {
    let plan = world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 30 * 86_400).await?;
    let mut customers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let (service, redial_ms) = (Service::Pppoe, Some(2_000));
        customers.push(
            world.add_customer(&NewCustomer { number, site: 0, plan: &plan, service, redial_ms }).await?,
        );
    }
    say(&format!("{SUBSCRIBERS} subscribers pay"));
    LocalSet::new().run_until(stories::all_pay(&world.office, &customers)).await?;
    let router = world.site(0)?.router.router();
    let sessions = usize::try_from(SUBSCRIBERS)?;
    router
        .wait_for(WITHIN, || (router.summary().sessions >= sessions).then_some(()))
        .await
        .context("everybody is online")?;
    move_all(world, &customers)?;
    Ok(customers)
}

/// What passes the line while something is done.
async fn carried(world: &World, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Carried> {
    let before = world.site(0)?.backhaul.carried();
    work.await?;
    Ok(world.site(0)?.backhaul.carried().less(before))
}

/// Nothing happens.
async fn wait() -> anyhow::Result<()> {
    sleep(PHASE).await;
    Ok(())
}

/// Keep-alives of so long.
fn pings(one: Carried, time: Duration) -> Carried {
    one.times(time.as_secs() / KEEP_ALIVE)
}

/// Another cadence, from now on; with the first report, in which every session is named: none of that is in a month.
async fn restart(world: &mut World, customers: &[Customer]) -> anyhow::Result<()> {
    world.kill_agent(0).await?;
    let id = world.site(0)?.id.clone();
    stories::wait_for_site(&world.office, &id, false).await?;
    let path = world.site(0)?.directory().join("agent.toml");
    let before = std::fs::read_to_string(&path)?;
    let text = before
        .replacen("[controller]", &format!("[controller]\nkeep_alive_seconds = {KEEP_ALIVE}"), 1)
        .replacen("report_seconds = 1\n", &format!("report_seconds = {REPORT}\n"), 1);
    ensure!(text.contains(&format!("report_seconds = {REPORT}")), "the agent's settings have its cadence");
    std::fs::write(&path, text)?;
    world.start_agent(0).await?;
    stories::wait_for_site(&world.office, &id, true).await?;
    move_all(world, customers)?;
    // Named in the first report, and committed before the next.
    sleep(Duration::from_secs(2 * REPORT + 5)).await;
    Ok(())
}

/// Everybody moves something.
pub(crate) fn move_all(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    for customer in customers {
        router.move_traffic(&customer.device, MOVED_BYTES.0, MOVED_BYTES.1)?;
    }
    Ok(())
}

async fn reported(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    for _ in 0..REPORTS {
        until_reported(world, customers).await?;
    }
    Ok(())
}

/// Everybody moves something all the time, until a report of all of it is told.
async fn until_reported(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    let backhaul = &world.site(0)?.backhaul;
    let (end, mut moved) = (Instant::now() + WITHIN, None::<Instant>);
    let mut before = backhaul.carried();
    while Instant::now() < end {
        if moved.is_none_or(|at| at.elapsed() >= MOVE_EVERY) {
            move_all(world, customers)?;
            moved = Some(Instant::now());
        }
        sleep(LOOK_EVERY).await;
        let now = backhaul.carried();
        if now.less(before).bytes >= REPORT_BYTES {
            sleep(ANSWERED_WITHIN).await;
            return Ok(());
        }
        before = now;
    }
    anyhow::bail!("no report of all sessions within {WITHIN:?}")
}

/// What it takes to tell of so many sessions that end at once and begin again, on the average of so many times.
async fn turns(world: &World, (at_once, times): (usize, usize), ping: Carried) -> anyhow::Result<u64> {
    // The first of them finds the agent anywhere in its cadence, and is told in one message or in two.
    redial(world, (at_once, 1)).await?;
    let began = Instant::now();
    let all = carried(world, redial(world, (at_once, times))).await?;
    let told = all.less(pings(ping, began.elapsed())).part(u64::try_from(times)?);
    Ok(told.on_the_line())
}

/// The router ends sessions, and their devices dial again; until that is told.
async fn redial(world: &World, (at_once, times): (usize, usize)) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    for _ in 0..times {
        let rows = router.rows("ppp/active").map_err(|error| anyhow::anyhow!("{error:?}"))?;
        for row in rows.iter().take(at_once) {
            let id = row.iter().find(|(name, _)| *name == ".id").context("a session has an id")?;
            let id = String::from_utf8(id.1.clone())?;
            router.remove_row("ppp/active", &id).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        until_told(world).await?;
    }
    Ok(())
}

/// Waits until something is told, and for its answer. Told just now, the agent waits for as long as it may before it tells more.
async fn until_told(world: &World) -> anyhow::Result<()> {
    let backhaul = &world.site(0)?.backhaul;
    let deadline = Instant::now() + WITHIN;
    let mut before = backhaul.carried();
    loop {
        ensure!(Instant::now() < deadline, "nothing is told");
        sleep(LOOK_EVERY).await;
        let now = backhaul.carried();
        if now.less(before).bytes >= TOLD_BYTES {
            sleep(ANSWERED_WITHIN).await;
            return Ok(());
        }
        before = now;
    }
}

async fn renew(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    let some = customers.get(..PAYMENTS).context("customers")?;
    let payments = LocalSet::new().run_until(stories::all_pay(&world.office, some)).await?;
    for payment in &payments {
        stories::trace_of(&world.office, &payment.id, false).await?;
    }
    sleep(Duration::from_secs(REPORT)).await;
    Ok(())
}

async fn reconnect(world: &World) -> anyhow::Result<()> {
    let site = world.site(0)?;
    for _ in 0..RECONNECTS {
        site.backhaul.cut(Outage::Reset);
        stories::wait_for_site(&world.office, &site.id, false).await?;
        site.backhaul.mend();
        stories::wait_for_site(&world.office, &site.id, true).await?;
        sleep(Duration::from_secs(3)).await;
    }
    Ok(())
}
