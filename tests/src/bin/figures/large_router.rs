//! One router with 2,000 subscribers, of whom 1,500 are online and all move traffic: what the agent takes of a small
//! machine over ten minutes, how long a look at everything takes, and how long 500 of them wait for a new speed on a
//! router that takes 20 writes a second.
//!
//! The agent keeps its default timing. What it did is read at the router; how long its full checks took is its own word.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{FaultsChange, Service};
use serde_json::{Value, json};
use tawi_tests::figures::{ChangedSpeed, LargeRouter};
use tawi_tests::process;
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, World};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Programs, directory, say};

/// Whoever has bought the plan whose speed changes.
const OF_THE_CHANGED_PLAN: u32 = 500;
/// Whoever has paid and whose device is off.
const OFFLINE: u32 = 500;
const ONLINE: u32 = 1_500;
/// How long one write keeps the router's processor: 20 a second.
const WRITE_MS: u64 = 50;
/// What each subscriber who is online moves at a time, up and down, and how often.
const MOVED_BYTES: (u64, u64) = (10_000, 100_000);
const MOVE_EVERY: Duration = Duration::from_secs(5);
/// Far above what anything here needs, so that a slow machine is not a failure.
const WITHIN: Duration = Duration::from_secs(300);
/// Of the writes that are not to be.
const WRITES_TOLD: usize = 20;
/// The new speed, and how the router writes it: upload first.
const NEW_MEGABITS: u64 = 30;
const NEW_RATE: &[u8] = b"15000000/30000000";

/// Measures for so many minutes.
pub(crate) async fn large_router(programs: &Programs, minutes: u64) -> anyhow::Result<LargeRouter> {
    let plan = Plan { sites: vec!["nyeri-01".into()], timing: None, ..programs.plan() };
    let world = World::start(&directory(), &plan, &mut say).await?;
    let town = Town::settle(&world).await?;
    let router = world.site(0)?.router.router();
    say(&format!("{minutes} minutes in which nothing is to be written"));
    let before = router.summary();
    let observed = town.observe(&world, Duration::from_secs(60 * minutes)).await?;
    let after = router.summary();
    for write in router.writes_after(before.writes_total).iter().take(WRITES_TOLD) {
        say(&format!("written all the same: {} {} {:?}", write.menu, write.command, write.arguments));
    }
    say("the speed of 500 lines changes");
    let speed_change = town.change_speed(&world).await?;
    world.stop().await?;
    Ok(LargeRouter {
        subscribers: ONLINE + OFFLINE,
        sessions: after.sessions,
        minutes,
        cpu_percent: observed.cpu_percent,
        resident_kib: observed.resident_kib,
        full_checks: observed.full_checks_ms.len(),
        slowest_full_check_ms: observed.full_checks_ms.iter().copied().max().unwrap_or(0),
        router_writes_in_steady_state: after.writes_total - before.writes_total,
        router_reads_in_steady_state: after.prints_total - before.prints_total,
        speed_change,
    })
}

/// Everybody behind the router.
struct Town {
    online: Vec<Customer>,
    changed_type: String,
}

struct Observed {
    cpu_percent: f64,
    resident_kib: u64,
    full_checks_ms: Vec<u64>,
}

impl Town {
    /// Sells to everybody, and waits until all who have a device are online.
    async fn settle(world: &World) -> anyhow::Result<Self> {
        let home = world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 30 * 86_400).await?;
        let changed = world.add_plan("Home 20", Service::Pppoe, "home-20", 20, 250_000, 30 * 86_400).await?;
        let (mut online, mut everybody) = (Vec::new(), Vec::new());
        for number in 0..ONLINE + OFFLINE {
            let plan = if number < OF_THE_CHANGED_PLAN { &changed } else { &home };
            let redial_ms = (number < ONLINE).then_some(2_000);
            let new = NewCustomer { number, site: 0, plan, service: Service::Pppoe, redial_ms };
            let customer = world.add_customer(&new).await?;
            online.extend((number < ONLINE).then(|| customer.clone()));
            everybody.push(customer);
        }
        say(&format!("{} subscribers pay", everybody.len()));
        LocalSet::new().run_until(stories::all_pay(&world.office, &everybody)).await?;
        let router = world.site(0)?.router.router();
        let sessions = usize::try_from(ONLINE)?;
        let paid = everybody.len();
        router
            .wait_for(WITHIN, || {
                let rows = router.rows("ppp/secret").unwrap_or_default().len();
                (rows >= paid && router.summary().sessions >= sessions).then_some(())
            })
            .await
            .context("everybody who paid is on the router, and whoever has a device is online")?;
        let types = world.office.get("/api/connection-types").await?;
        let changed_type = connection_type_of(&types, "home-20")?;
        Ok(Self { online, changed_type })
    }

    /// Moves traffic for so long, and looks at the agent meanwhile.
    async fn observe(&self, world: &World, length: Duration) -> anyhow::Result<Observed> {
        let agent = world.agent(0).context("the agent runs")?;
        // What the payments began ends before anything is measured.
        sleep(MOVE_EVERY).await;
        let (began, cpu_before) = (Instant::now(), agent.cpu()?);
        let (mut resident_kib, mut full_checks_ms, mut last_check) = (0, Vec::new(), None);
        let mut next = began;
        while began.elapsed() < length {
            self.move_traffic(world)?;
            resident_kib = agent.resident_kib()?.max(resident_kib);
            let status = agent_status(world).await?;
            let check = last_full_check(&status)?;
            if last_check.replace(check) != Some(check) {
                full_checks_ms.push(check.1);
            }
            next += MOVE_EVERY;
            sleep_until(next).await;
        }
        let busy = agent.cpu()?.saturating_sub(cpu_before);
        let cpu_percent = 100.0 * busy.as_secs_f64() / began.elapsed().as_secs_f64();
        Ok(Observed { cpu_percent, resident_kib, full_checks_ms })
    }

    fn move_traffic(&self, world: &World) -> anyhow::Result<()> {
        let router = world.site(0)?.router.router();
        self.online.iter().try_for_each(|customer| {
            router.move_traffic(&customer.device, MOVED_BYTES.0, MOVED_BYTES.1)?;
            anyhow::Ok(())
        })
    }

    /// Sells the plan at another speed, and waits until every session of it runs at that.
    async fn change_speed(&self, world: &World) -> anyhow::Result<ChangedSpeed> {
        let router = world.site(0)?.router.router();
        router.set_faults(FaultsChange { write_ms: Some(WRITE_MS), ..FaultsChange::default() })?;
        let writes_before = router.summary().writes_total;
        let started = Instant::now();
        let speed = json!({
            "download_bits_per_second": NEW_MEGABITS * 1_000_000,
            "upload_bits_per_second": NEW_MEGABITS * 500_000,
        });
        world.office.post(&format!("/api/connection-types/{}", self.changed_type), &speed).await?;
        let lines = usize::try_from(OF_THE_CHANGED_PLAN)?;
        // The profile, and one session for each line.
        let least_writes = writes_before + u64::from(OF_THE_CHANGED_PLAN) + 1;
        router
            .wait_for(WITHIN, || {
                // Printing 1,500 queues takes the simulator from the agent, so that nobody looks before all may be done.
                if router.summary().writes_total < least_writes {
                    return None;
                }
                let queues = router.rows("queue/simple").unwrap_or_default();
                let is_new = |(name, value): &(&str, Vec<u8>)| *name == "max-limit" && value == NEW_RATE;
                let at_new_speed = queues.iter().filter(|row| row.iter().any(is_new)).count();
                (at_new_speed >= lines).then_some(())
            })
            .await
            .context("every session of the plan runs at its new speed")?;
        let seconds = started.elapsed().as_secs_f64();
        let writes = router.summary().writes_total - writes_before;
        ensure!(writes > 0, "a speed changed without a write");
        Ok(ChangedSpeed { lines: OF_THE_CHANGED_PLAN, seconds, writes, writes_per_second: 1_000 / WRITE_MS })
    }
}

fn connection_type_of(types: &Value, profile: &str) -> anyhow::Result<String> {
    let list =
        types.get("connection_types").and_then(Value::as_array).context("a list of connection types")?;
    let found = list.iter().find(|one| one.get("profile_name").and_then(Value::as_str) == Some(profile));
    tawi_tests::office::id_of(found.with_context(|| format!("no connection type {profile} in {types}"))?)
}

/// What `tawi-agent status --json` says.
async fn agent_status(world: &World) -> anyhow::Result<Value> {
    let config = world.site(0)?.directory().join("agent.toml");
    let answer =
        process::run("tawi-agent", &["status", "--json", "--config", &config.to_string_lossy()]).await?;
    serde_json::from_str(&answer).context("tawi-agent status --json prints JSON")
}

/// When the agent last looked at everything, and how many milliseconds it took.
fn last_full_check(status: &Value) -> anyhow::Result<(i64, u64)> {
    let router = status.pointer("/routers/0").context("the agent has a router")?;
    let at = router.get("full_check_at_ms").and_then(Value::as_i64);
    let took = router.get("full_check_took_ms").and_then(Value::as_u64);
    at.zip(took).with_context(|| format!("no full check in {router}"))
}
