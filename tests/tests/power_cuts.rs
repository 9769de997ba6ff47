//! The agent, the controller or both lose their power at random points of the first two parts of the story. After the
//! restart the end is the same: one receipt, one credit, one period, and the customer online.
//!
//! The points come from a seed, which a failure prints: `TAWI_SEED=7 cargo test -p tawi-tests --test power_cuts`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{DeviceState, Service};
use tawi_shared::IdSource;
use tawi_tests::backhaul::Outage;
use tawi_tests::office::Office;
use tawi_tests::seed::seed;
use tawi_tests::stories::{self, Cast};
use tawi_tests::world::{Customer, NewCustomer, Plan, World};
use tokio::time::{Instant, sleep};

/// Cuts in one run of the test.
const CUTS: u32 = 12;
/// Every second cut falls between asking for payment and the router's read-back, which takes some 100 ms…
const CUT_EARLY_WITHIN_MS: u64 = 120;
/// …and every other one anywhere up to the session, the reports and the acknowledgements, and a little after.
const CUT_LATE_WITHIN_MS: u64 = 900;
/// Power is away for up to this long.
const AWAY_MS: u64 = 600;
/// A person who sees no prompt on the phone asks again after this long.
const PROMPT_SEEN_WITHIN: Duration = Duration::from_secs(3);
/// A callback that nobody was there to take is made up for by a sweep; a prompt whose fate is unknown blocks another
/// for two minutes.
const ENDS_WITHIN: Duration = Duration::from_secs(200);

#[derive(Clone, Copy, Debug)]
enum Victim {
    Agent,
    Controller,
    Both,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_point_changes_nothing_about_the_end() {
    let seed = seed();
    eprintln!("seed {seed}");
    let chance = IdSource::seeded(seed);
    let directory: PathBuf = std::env::temp_dir().join(format!("tawi-power-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: vec!["nyeri-01".into()], rule_17: false, ..Plan::default() };
    let mut world = World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await.unwrap();
    let cast = stories::cast(&world).await.unwrap();
    for number in 0..CUTS {
        let victim =
            [Victim::Agent, Victim::Controller, Victim::Both][usize::try_from(chance.number() % 3).unwrap()];
        let is_cut_off = chance.number().is_multiple_of(2);
        let within = if number.is_multiple_of(2) { CUT_EARLY_WITHIN_MS } else { CUT_LATE_WITHIN_MS };
        let (cut_ms, away_ms) = (chance.number() % within, chance.number() % AWAY_MS);
        eprintln!("· cut {number}: {victim:?} after {cut_ms} ms for {away_ms} ms, link cut: {is_cut_off}");
        let round = Round { number, victim, is_cut_off, cut_ms, away_ms };
        if let Err(error) = round.play(&mut world, &cast).await {
            world.keep_directory();
            let logs = world.controller().map(tawi_tests::process::Program::log_end).unwrap_or_default();
            panic!(
                "TAWI_SEED={seed}, {round:?}: {error:#}\n{logs}\nlogs are in {}",
                world.directory().display()
            );
        }
    }
    world.stop().await.unwrap();
}

#[derive(Debug)]
struct Round {
    number: u32,
    victim: Victim,
    is_cut_off: bool,
    cut_ms: u64,
    away_ms: u64,
}

impl Round {
    async fn play(&self, world: &mut World, cast: &Cast) -> anyhow::Result<()> {
        let new = NewCustomer {
            number: 100 + self.number,
            site: 0,
            plan: &cast.home,
            service: Service::Pppoe,
            redial_ms: Some(250),
        };
        let customer = world.add_customer(&new).await?;
        if self.is_cut_off {
            world.site(0)?.backhaul.cut(Outage::Reset);
        }
        let (office, phone) = (world.office.clone(), world.daraja.handle());
        let asking = ask_until_prompted(&office, &phone, &customer);
        let (asked, cut) = tokio::join!(asking, self.cut_and_restore(world));
        cut?;
        asked?;
        if self.is_cut_off {
            world.site(0)?.backhaul.mend();
        }
        let router = world.site(0)?.router.router();
        router.wait_for_device(&customer.device, DeviceState::Online, ENDS_WITHIN).await?;
        the_end_is_the_same(world, &customer).await
    }

    async fn cut_and_restore(&self, world: &mut World) -> anyhow::Result<()> {
        sleep(Duration::from_millis(self.cut_ms)).await;
        if matches!(self.victim, Victim::Agent | Victim::Both) {
            world.kill_agent(0).await?;
        }
        if matches!(self.victim, Victim::Controller | Victim::Both) {
            world.kill_controller().await?;
        }
        sleep(Duration::from_millis(self.away_ms)).await;
        world.start_controller().await?;
        world.start_agent(0).await
    }
}

/// What a person does: asks, and asks again when nothing appears on the phone.
async fn ask_until_prompted(
    office: &Office,
    phone: &daraja_sim::Handle,
    customer: &Customer,
) -> anyhow::Result<()> {
    let is_prompted = |phone: &daraja_sim::Handle| {
        let prompts = phone.prompts(0, 1_000);
        prompts.iter().any(|prompt| prompt.msisdn.as_str() == customer.phone).then_some(())
    };
    let until = Instant::now() + ENDS_WITHIN;
    let mut last = String::new();
    while Instant::now() < until {
        if let Err(error) = office.ask_for_payment(&customer.subscription).await {
            last = format!("{error:#}");
        }
        if phone.wait_for(PROMPT_SEEN_WITHIN, is_prompted).await.is_some() {
            return Ok(());
        }
    }
    anyhow::bail!("no prompt on the phone: {last}")
}

/// One receipt at Safaricom, one payment in the books, one period bought, and head office sees the customer online.
async fn the_end_is_the_same(world: &World, customer: &Customer) -> anyhow::Result<()> {
    let receipts: Vec<_> = world
        .daraja
        .handle()
        .payments(0, 1_000)
        .into_iter()
        .filter(|payment| payment.msisdn.as_str() == customer.phone)
        .map(|payment| payment.receipt.as_str().to_owned())
        .collect();
    ensure!(receipts.len() == 1, "{} receipts at Safaricom", receipts.len());
    let receipt = receipts.first().context("one receipt")?;
    let online = stories::comes_online(world, customer).await?;
    let booked = world.office.payments(200).await?;
    let count = booked.iter().filter(|payment| payment.receipt_number == *receipt).count();
    ensure!(count == 1, "receipt {receipt} stands {count} times in the books");
    let payment = booked.iter().find(|payment| payment.receipt_number == *receipt).context("booked")?;
    stories::trace_of(&world.office, &payment.id, true).await?;
    let period = 30 * 86_400_000;
    let left = online.paid_until_ms.context("paid for")? - tawi_shared::Clock::system().now().0;
    ensure!(left <= period && left > period - 600_000, "paid for {left} ms from now: not one period");
    Ok(())
}
