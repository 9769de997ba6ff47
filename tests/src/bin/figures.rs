//! `figures`: measures what the README quotes, in one run on this machine, and prints it as JSON.
//!
//! The agent is the release build; everything else may be a debug build, which only makes the times worse.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::Service;
use serde_json::json;
use tawi_shared::IdSource;
use tawi_tests::figures::Spread;
use tawi_tests::stories;
use tawi_tests::world::{NewCustomer, Plan, World};
use tokio::task::LocalSet;
use tokio::time::sleep;

/// What the agent is measured with.
const SUBSCRIBERS: u32 = 500;
/// Full checks that pass while nothing may be written.
const QUIET_CHECKS: u32 = 4;
const FULL_CHECK_SECONDS: u32 = 10;
const PAYMENTS: u32 = 200;
/// What the product promises for a payment under 5 ms of router latency, on a machine with 2 cores.
const P99_MS: i64 = 250;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let release = release_folder()?;
    let agent = release.join("tawi-agent");
    let payments = payments(&agent).await?;
    let steady = steady_state(&agent).await?;
    let answer = json!({
        "callback_to_verified_ms": payments,
        "agent": steady,
        "agent_binary_bytes": size_of(&agent)?,
        "fsync_ms": fsync_ms()?,
    });
    println!("{}", serde_json::to_string_pretty(&answer)?);
    ensure!(payments.p99 <= P99_MS, "p99 is {} ms, and {P99_MS} ms are promised", payments.p99);
    Ok(())
}

fn say(step: &str) {
    eprintln!("· {step}");
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("tawi-figures-{}", IdSource::system().hex(4)))
}

/// 200 payments over three sites, as in the story.
async fn payments(agent: &Path) -> anyhow::Result<Spread> {
    let plan = Plan { rule_17: false, agent_program: Some(agent.to_owned()), ..Plan::default() };
    let world = World::start(&directory(), &plan, &mut say).await?;
    let cast = stories::cast(&world).await?;
    let spread = stories::many_pay(&world, &cast, PAYMENTS, &mut stories::Log::default()).await?;
    world.stop().await?;
    Ok(spread)
}

/// One site with 500 paid subscribers, all of them online: what the agent holds, and what it writes when nothing happens.
async fn steady_state(agent: &Path) -> anyhow::Result<serde_json::Value> {
    let plan = Plan {
        sites: vec!["nyeri-01".into()],
        rule_17: false,
        agent_program: Some(agent.to_owned()),
        full_check_seconds: FULL_CHECK_SECONDS,
        ..Plan::default()
    };
    let world = World::start(&directory(), &plan, &mut say).await?;
    let cast = stories::cast(&world).await?;
    let mut customers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let new =
            NewCustomer { number, site: 0, plan: &cast.home, service: Service::Pppoe, redial_ms: 2_000 };
        customers.push(world.add_customer(&new).await?);
    }
    say(&format!("{SUBSCRIBERS} subscribers pay"));
    let payments = LocalSet::new().run_until(stories::all_pay(&world.office, &customers)).await?;
    for payment in &payments {
        stories::trace_of(&world.office, &payment.id, true).await?;
    }
    // One more check ends what the last payment began.
    sleep(Duration::from_secs(u64::from(FULL_CHECK_SECONDS) + 2)).await;
    let before = world.site(0)?.router.router().summary();
    say(&format!("{QUIET_CHECKS} full checks in which nothing happens"));
    sleep(Duration::from_secs(u64::from(FULL_CHECK_SECONDS * QUIET_CHECKS))).await;
    let after = world.site(0)?.router.router().summary();
    let resident_kib = world.agent(0).context("the agent runs")?.resident_kib()?;
    let answer = json!({
        "subscribers": SUBSCRIBERS,
        "sessions": after.sessions,
        "resident_kib": resident_kib,
        "router_logins": after.logins_total,
        "router_writes_in_steady_state": after.writes_total - before.writes_total,
        "router_reads_in_steady_state": after.prints_total - before.prints_total,
    });
    world.stop().await?;
    Ok(answer)
}

/// This program is in `<target>/debug`; the release builds are beside that.
fn release_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("this program is in a target folder")?;
    let release = target.join("release");
    ensure!(release.join("tawi-agent").is_file(), "run `make bench`: it builds the release agent first");
    Ok(release)
}

fn size_of(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
}

/// What one durable write costs here: half of every figure above is made of it.
fn fsync_ms() -> anyhow::Result<f64> {
    use std::io::Write as _;
    const WRITES: u32 = 100;
    let path = directory();
    let mut file = std::fs::File::create(&path)?;
    let started = tokio::time::Instant::now();
    for _ in 0..WRITES {
        file.write_all(&[0; 4096])?;
        file.sync_all()?;
    }
    let took = started.elapsed().as_secs_f64() * 1_000.0 / f64::from(WRITES);
    std::fs::remove_file(&path)?;
    Ok(took)
}
