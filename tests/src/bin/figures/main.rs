//! `figures`: measures what the README quotes, in one run on this machine, and prints it as JSON.
//!
//! Agent and controller are the release builds that a customer runs. The simulated routers, phones and Daraja are debug
//! builds on the same cores, which only makes the times worse.

mod flash;
mod large_router;
mod line;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use large_router::large_router;
use routeros_sim::Service;
use tawi_shared::IdSource;
use tawi_tests::disk::fsync_ms;
use tawi_tests::figures::{AGENT_LIVES, Measured, SUBSCRIBERS, Spread, Steady};
use tawi_tests::month::{BAD_MONTH_BYTES, MONTH_BYTES};
use tawi_tests::office::Office;
use tawi_tests::process::release_path_of;
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, Timing, World};
use tokio::task::LocalSet;

/// Full checks that pass while nothing may be written.
const QUIET_CHECKS: u64 = 4;
const FULL_CHECK_SECONDS: u32 = 10;
/// Prints of one sample of usage: interfaces, tunnels, PPP sessions, hotspot sessions.
const READS_PER_SAMPLE: u64 = 4;
/// Prints of one full check with the two samples that a world's agent takes meanwhile: users, profiles and sessions of
/// both services, cookies, and the clock.
const READS_PER_CHECK: u64 = 8 + 2 * READS_PER_SAMPLE;
/// Far above what the agent needs for its next reading, so that a slow machine is not a failure.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// An agent that lost its power is back well within this.
const BACK_WITHIN: Duration = Duration::from_secs(90);
/// What each subscriber moves between two readings, up and down.
const MOVED_BYTES: (u64, u64) = (10_000, 100_000);
const PAYMENTS: u32 = 200;

/// Measures what the README quotes, and prints it as JSON.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  make bench\n  make bench MINUTES=2   a shorter look at the large router"
)]
struct Arguments {
    /// How long to watch a large router, or what is written to a disk.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Measure the large router and nothing else, and judge nothing.
    #[arg(long)]
    only_large_router: bool,
    /// Measure one site with 500 subscribers and nothing else, and judge nothing.
    #[arg(long, conflicts_with = "only_large_router")]
    only_site: bool,
    /// Measure the payments and nothing else, and judge nothing.
    #[arg(long, conflicts_with_all = ["only_large_router", "only_site"])]
    only_payments: bool,
    /// Measure what a month of one site takes on a metered line and nothing else, of whatever builds are beside this one.
    #[arg(long, conflicts_with_all = ["only_large_router", "only_site", "only_payments"])]
    only_line: bool,
    /// Measure what the agent writes to its disk and nothing else, of whatever builds are beside this one.
    #[arg(long, conflicts_with_all = ["only_large_router", "only_site", "only_payments", "only_line"])]
    only_flash: bool,
}

/// The release builds that are measured.
struct Programs {
    agent: PathBuf,
    controller: PathBuf,
}

impl Programs {
    /// The usual world, of these programs.
    fn plan(&self) -> Plan {
        Plan {
            rule_17: false,
            agent_program: Some(self.agent.clone()),
            controller_program: Some(self.controller.clone()),
            ..Plan::default()
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { minutes, only_large_router, only_site, only_payments, only_line, only_flash } =
        Arguments::parse();
    if only_flash {
        println!("{}", serde_json::to_string_pretty(&flash::flash(minutes).await?)?);
        return Ok(());
    }
    if only_line {
        let month = line::line().await?;
        println!("{}", serde_json::to_string_pretty(&month)?);
        ensure!(
            month.good_link <= MONTH_BYTES,
            "a month on a good link is to take at most {MONTH_BYTES} bytes"
        );
        ensure!(
            month.bad_link <= BAD_MONTH_BYTES,
            "a month on a bad link is to take at most {BAD_MONTH_BYTES} bytes"
        );
        return Ok(());
    }
    let programs = Programs {
        agent: release_path_of("tawi-agent", "make bench")?,
        controller: release_path_of("tawi-controller", "make bench")?,
    };
    if only_large_router {
        println!("{}", serde_json::to_string_pretty(&large_router(&programs, minutes).await?)?);
        return Ok(());
    }
    if only_site {
        println!("{}", serde_json::to_string_pretty(&steady_state(&programs).await?)?);
        return Ok(());
    }
    if only_payments {
        println!("{}", serde_json::to_string_pretty(&payments(&programs).await?)?);
        return Ok(());
    }
    let measured = Measured {
        callback_to_verified_ms: payments(&programs).await?,
        agent: steady_state(&programs).await?,
        large_router: large_router(&programs, minutes).await?,
        agent_binary_bytes: size_of(&programs.agent)?,
        fsync_ms: fsync_ms(&directory())?,
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    let broken = measured.broken_promises();
    ensure!(broken.is_empty(), "promises that these figures break:\n{}", broken.join("\n"));
    Ok(())
}

fn say(step: &str) {
    eprintln!("· {step}");
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(format!("tawi-figures-{}", IdSource::system().hex(4)))
}

/// 200 payments over three sites, as in the story.
async fn payments(programs: &Programs) -> anyhow::Result<Spread> {
    let world = World::start(&directory(), &programs.plan(), &mut say).await?;
    let cast = stories::cast(&world).await?;
    let spread = stories::many_pay(&world, &cast, PAYMENTS, &mut stories::Log::default()).await?;
    world.stop().await?;
    Ok(spread)
}

/// One site with 500 paid subscribers, all of them online and moving traffic, whose agent loses its power once: what the
/// agent holds, and what it writes when nothing is to be written.
async fn steady_state(programs: &Programs) -> anyhow::Result<Steady> {
    let plan = Plan {
        sites: vec!["nyeri-01".into()],
        timing: Some(Timing { sample_seconds: 5, full_check_seconds: FULL_CHECK_SECONDS, idle_seconds: 300 }),
        ..programs.plan()
    };
    let mut world = World::start(&directory(), &plan, &mut say).await?;
    let cast = stories::cast(&world).await?;
    let mut customers = Vec::new();
    for number in 0..SUBSCRIBERS {
        let new = NewCustomer {
            number,
            site: 0,
            plan: &cast.home,
            service: Service::Pppoe,
            redial_ms: Some(2_000),
        };
        customers.push(world.add_customer(&new).await?);
    }
    say(&format!("{SUBSCRIBERS} subscribers pay"));
    let payments = LocalSet::new().run_until(stories::all_pay(&world.office, &customers)).await?;
    for payment in &payments {
        stories::trace_of(&world.office, &payment.id, true).await?;
    }
    let mut site = Busy { customers, rounds: 0 };
    say("they move traffic");
    let resident_first_life_kib = site.highest_resident_kib(&world, 2 * READS_PER_CHECK).await?;
    say("the agent loses its power and comes back");
    world.kill_agent(0).await?;
    let id = world.site(0)?.id.clone();
    stories::wait_for_site(&world.office, &id, false).await?;
    world.start_agent(0).await?;
    let router = world.site(0)?.router.router();
    router.wait_for(BACK_WITHIN, || (router.summary().logins_total >= AGENT_LIVES).then_some(())).await?;
    stories::wait_for_site(&world.office, &id, true).await?;
    // The first check of the new life and one more end what the restart began.
    let while_starting = site.highest_resident_kib(&world, 2 * READS_PER_CHECK).await?;
    let before = router.summary();
    say(&format!("{QUIET_CHECKS} full checks in which nothing is to be written"));
    let resident_kib = site.highest_resident_kib(&world, QUIET_CHECKS * READS_PER_CHECK).await?;
    let after = router.summary();
    site.is_all_told(&world).await?;
    world.stop().await?;
    Ok(Steady {
        sessions: after.sessions,
        resident_first_life_kib,
        resident_second_life_kib: resident_kib.max(while_starting),
        router_logins: after.logins_total,
        router_writes_in_steady_state: after.writes_total - before.writes_total,
        router_reads_in_steady_state: after.prints_total - before.prints_total,
    })
}

/// A site whose subscribers all move traffic.
struct Busy {
    customers: Vec<Customer>,
    rounds: u64,
}

impl Busy {
    /// Moves traffic in every session again and again, until the router was asked for so many prints; the agent's
    /// highest memory meanwhile.
    async fn highest_resident_kib(&mut self, world: &World, reads: u64) -> anyhow::Result<u64> {
        let router = world.site(0)?.router.router();
        let until = router.summary().prints_total + reads;
        let mut highest = 0;
        loop {
            let read = router.summary().prints_total;
            if read >= until {
                return Ok(highest);
            }
            for customer in &self.customers {
                router.move_traffic(&customer.device, MOVED_BYTES.0, MOVED_BYTES.1)?;
            }
            self.rounds += 1;
            let next = read + READS_PER_SAMPLE;
            router
                .wait_for(READ_WITHIN, || (router.summary().prints_total >= next).then_some(()))
                .await
                .context("the agent reads the router")?;
            let resident = world.agent(0).context("the agent runs")?.resident_kib()?;
            highest = highest.max(resident);
        }
    }

    /// Waits until head office knows every byte, and each once, although the agent lost its power between.
    async fn is_all_told(&self, world: &World) -> anyhow::Result<()> {
        let moved = [MOVED_BYTES.0 * self.rounds, MOVED_BYTES.1 * self.rounds];
        for customer in &self.customers {
            let path = format!("/api/subscriptions/{}", customer.subscription);
            let told = async |office: &Office| {
                let now = office.get(&path).await?;
                let total = ["upload_bytes", "download_bytes"]
                    .map(|name| now.get(name).and_then(serde_json::Value::as_u64));
                ensure!(total == moved.map(Some), "{total:?} of {moved:?} bytes are known");
                Ok(Some(()))
            };
            world.office.wait_for("head office knows the traffic", READ_WITHIN, told).await?;
        }
        Ok(())
    }
}

fn size_of(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len())
}
