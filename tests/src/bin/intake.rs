//! `intake`: how fast payments by Paybill are taken in, in one run on this machine, printed as JSON.
//!
//! The controller is the release build, on SQLite with full synchronous writes, as it ships. Whoever pays, the disk and the
//! controller share this machine. The site is dark, so that what is measured is head office alone: from Safaricom's
//! confirmation to the answer, which follows a durable commit, and to the booking with the state that the site shall have.
//! Beside it stand the figures of the stack that Tawi replaces.

use std::collections::VecDeque;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use routeros_sim::Service;
use serde::Serialize;
use serde_json::json;
use tawi_shared::IdSource;
use tawi_tests::disk::fsync_ms;
use tawi_tests::figures::Spread;
use tawi_tests::process::release_path_of;
use tawi_tests::replaced::{Beside, Ours, beside};
use tawi_tests::stories;
use tawi_tests::world::{NewCustomer, Plan, World};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Connections that Safaricom's side holds.
const CONNECTIONS: usize = 64;
/// Customers who pay, again and again.
const CUSTOMERS: u32 = 300;
/// Confirmations of the part that is as fast as it can be.
const FLOOD: u32 = 10_000;
/// Payments a second that are to be booked for as long as the bench looks, and the promise.
const SUSTAINED_PER_SECOND: u32 = 300;
/// Payments a second at which the time to a booking is promised, and for how long.
const CALM_PER_SECOND: u32 = 100;
const CALM_SECONDS: u32 = 20;
/// Promised: confirmations a second, and the milliseconds that 99 of 100 are answered within.
const ACKNOWLEDGED_PER_SECOND: f64 = 1_000.0;
const ACKNOWLEDGED_P99_US: i64 = 100_000;
/// Promised at [`CALM_PER_SECOND`].
const BOOKED_P99_MS: i64 = 250;
/// What was acknowledged is booked within this, or something is wrong.
const BOOKED_WITHIN: Duration = Duration::from_secs(300);
/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the log says of each payment, after its commit.
const BOOKED: &str = "payment booked";

/// Measures how fast payments by Paybill are taken in, and prints it as JSON.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  make bench-intake\n  make bench-intake SECONDS=10   a shorter look")]
struct Arguments {
    /// How long payments are to be booked at the promised pace.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
}

/// One part.
#[derive(Debug, Serialize)]
struct Part {
    /// Confirmations that were sent, all of them answered with 200.
    confirmations: u32,
    /// How many were answered a second.
    acknowledged_per_second: f64,
    /// From a confirmation's first byte to its answer's last, in microseconds.
    acknowledged_us: Spread,
    /// How many were booked a second, from the first confirmation to the last booking.
    booked_per_second: f64,
    /// From a confirmation's arrival to the commit of its booking and of the state that its site shall have.
    booked_ms: Spread,
}

#[derive(Debug, Serialize)]
struct Measured {
    /// As fast as 64 connections can.
    flood: Part,
    /// At the pace that is promised to be sustained.
    sustained: Part,
    /// At the pace at which the time is promised.
    calm: Part,
    /// What the controller holds when nothing happens, and the most that was seen between the parts.
    resident_idle_kib: u64,
    resident_highest_kib: u64,
    /// From the start of its process to the first answered request.
    first_answer_ms: u64,
    /// The same of the stack that Tawi replaces.
    beside_the_replaced: Vec<Beside>,
    /// What one durable write costs here.
    fsync_ms: f64,
    fsyncs_per_second: f64,
}

impl Measured {
    fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.flood.acknowledged_per_second < ACKNOWLEDGED_PER_SECOND {
            let rate = self.flood.acknowledged_per_second;
            broken.push(format!(
                "{rate:.0} confirmations a second, and {ACKNOWLEDGED_PER_SECOND} are promised"
            ));
        }
        if self.flood.acknowledged_us.p99 > ACKNOWLEDGED_P99_US {
            let p99 = self.flood.acknowledged_us.p99;
            broken.push(format!("answered within {p99} us, and {ACKNOWLEDGED_P99_US} are promised"));
        }
        // The last of them is under way for some time: 2 % of a minute.
        let rate = self.sustained.booked_per_second;
        if rate < f64::from(SUSTAINED_PER_SECOND) * 0.98 {
            broken.push(format!("{rate:.0} booked a second, and {SUSTAINED_PER_SECOND} are promised"));
        }
        let p99 = self.calm.booked_ms.p99;
        if p99 > BOOKED_P99_MS {
            broken.push(format!("booked within {p99} ms, and {BOOKED_P99_MS} are promised"));
        }
        broken
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { seconds } = Arguments::parse();
    let directory = std::env::temp_dir().join(format!("tawi-intake-{}", IdSource::system().hex(4)));
    let plan = Plan {
        sites: vec!["nyeri-01".into()],
        controller_program: Some(release_path_of("tawi-controller", "make bench-intake")?),
        ..Plan::default()
    };
    let mut world = World::start(&directory, &plan, &mut say).await?;
    world.kill_agent(0).await?;
    let mut till = Till::open(&world).await?;
    say("a start of the controller");
    let first_answer_ms = first_answer_ms(&mut world).await?;
    let resident = |world: &World| world.controller().context("the controller runs")?.resident_kib();
    let resident_idle_kib = resident(&world)?;
    say(&format!("{FLOOD} confirmations as fast as they are answered"));
    let flood = till.part(FLOOD, None).await?;
    let after_flood = resident(&world)?;
    say(&format!("{SUSTAINED_PER_SECOND} a second for {seconds} s"));
    let sustained = till.part(SUSTAINED_PER_SECOND * seconds, Some(SUSTAINED_PER_SECOND)).await?;
    say(&format!("{CALM_PER_SECOND} a second for {CALM_SECONDS} s"));
    let calm = till.part(CALM_PER_SECOND * CALM_SECONDS, Some(CALM_PER_SECOND)).await?;
    let resident_highest_kib = resident(&world)?.max(after_flood);
    let fsync_ms = fsync_ms(&directory.join("fsync"))?;
    world.stop().await?;
    let ours = Ours {
        acknowledged_per_second: flood.acknowledged_per_second,
        acknowledged_us: flood.acknowledged_us.clone(),
        booked_per_second: flood.booked_per_second,
        resident_idle_kib,
        resident_highest_kib,
        first_answer_ms,
    };
    let measured = Measured {
        flood,
        sustained,
        calm,
        resident_idle_kib,
        resident_highest_kib,
        first_answer_ms,
        beside_the_replaced: beside(&ours),
        fsync_ms,
        fsyncs_per_second: 1_000.0 / fsync_ms,
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    let broken = measured.broken_promises();
    ensure!(broken.is_empty(), "promises that these figures break:\n{}", broken.join("\n"));
    Ok(())
}

/// Starts the controller anew, on what it has by then, and waits for the first page that it serves.
async fn first_answer_ms(world: &mut World) -> anyhow::Result<u64> {
    world.kill_controller().await?;
    let started = Instant::now();
    world.start_controller().await?;
    let answer = reqwest::get(format!("{}/sign-in", world.dashboard())).await?;
    ensure!(answer.status().is_success(), "the first answer is {}", answer.status());
    answer.bytes().await?;
    Ok(u64::try_from(started.elapsed().as_millis())?)
}

fn say(step: &str) {
    eprintln!("· {step}");
}

/// Where customers pay.
struct Till {
    client: reqwest::Client,
    url: String,
    short_code: String,
    accounts: Arc<[String]>,
    /// Receipts so far.
    receipts: Arc<AtomicU32>,
    log: Log,
}

impl Till {
    async fn open(world: &World) -> anyhow::Result<Self> {
        let cast = stories::cast(world).await?;
        say(&format!("{CUSTOMERS} customers"));
        let mut accounts = Vec::new();
        for number in 0..CUSTOMERS {
            let new =
                NewCustomer { number, site: 0, plan: &cast.home, service: Service::Pppoe, redial_ms: None };
            accounts.push(world.add_customer(&new).await?.account_number);
        }
        world.command(&["--json", "mpesa", "register-urls"]).await?;
        let registrations = world.daraja.handle().registrations();
        let (short_code, registration) =
            registrations.first_key_value().context("a short code is registered")?;
        Ok(Self {
            client: reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build()?,
            url: registration.confirmation_url.as_str().to_owned(),
            short_code: short_code.as_str().to_owned(),
            accounts: accounts.into(),
            receipts: Arc::default(),
            log: Log::open(&world.directory().join("controller.log"))?,
        })
    }

    /// Pays `count` times, at a pace or as fast as it goes, until all of it is booked.
    async fn part(&mut self, count: u32, per_second: Option<u32>) -> anyhow::Result<Part> {
        let began = Instant::now();
        let sent = Arc::new(AtomicU32::new(0));
        let mut payers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let payer = Payer {
                client: self.client.clone(),
                url: self.url.clone(),
                short_code: self.short_code.clone(),
                accounts: Arc::clone(&self.accounts),
                receipts: Arc::clone(&self.receipts),
            };
            let sent = Arc::clone(&sent);
            payers.spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok::<_, anyhow::Error>(took);
                    }
                    if let Some(pace) = per_second {
                        sleep_until(began + Duration::from_secs(1) * number / pace).await;
                    }
                    took.push(payer.pay().await?);
                }
            });
        }
        let mut acknowledged = Vec::new();
        while let Some(took) = payers.join_next().await {
            acknowledged.extend(took??);
        }
        let answered_in = began.elapsed();
        let (booked, booked_in) = self.log.booked(count, began).await?;
        Ok(Part {
            confirmations: count,
            acknowledged_per_second: f64::from(count) / answered_in.as_secs_f64(),
            acknowledged_us: Spread::of(acknowledged),
            booked_per_second: f64::from(count) / booked_in.as_secs_f64(),
            booked_ms: Spread::of(booked),
        })
    }
}

/// One of Safaricom's connections.
struct Payer {
    client: reqwest::Client,
    url: String,
    short_code: String,
    accounts: Arc<[String]>,
    receipts: Arc<AtomicU32>,
}

impl Payer {
    /// Tells of one payment; how long the answer took, in microseconds.
    async fn pay(&self) -> anyhow::Result<i64> {
        let number = self.receipts.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(number)? % self.accounts.len().max(1);
        let account = self.accounts.get(index).context("somebody pays")?;
        let body = json!({
            "TransactionType": "Pay Bill", "TransID": format!("TK{number:08}"), "TransTime": "20261126120000",
            "TransAmount": "1500.00", "BusinessShortCode": self.short_code, "BillRefNumber": account,
            "InvoiceNumber": "", "OrgAccountBalance": "49197.00", "ThirdPartyTransID": "",
            "MSISDN": "2547 ***** 126", "FirstName": "", "MiddleName": "", "LastName": "",
        });
        let asked = Instant::now();
        let answer = self.client.post(&self.url).json(&body).send().await?;
        let status = answer.status();
        answer.bytes().await?;
        let took = asked.elapsed();
        ensure!(status.is_success(), "a confirmation was answered {status}");
        Ok(i64::try_from(took.as_micros())?)
    }
}

/// The controller's log, which names each payment after its commit and how long it took.
struct Log {
    file: std::fs::File,
    /// Complete lines that nobody read yet, and the beginning of one.
    lines: VecDeque<String>,
    rest: String,
}

impl Log {
    /// From its end on.
    fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, lines: VecDeque::new(), rest: String::new() })
    }

    /// Waits for so many payments; how long each took from its arrival to its commit, and all of them since `began`.
    async fn booked(&mut self, count: u32, began: Instant) -> anyhow::Result<(Vec<i64>, Duration)> {
        let mut took = Vec::new();
        while took.len() < usize::try_from(count)? {
            ensure!(began.elapsed() < BOOKED_WITHIN, "{} of {count} payments are booked", took.len());
            self.read()?;
            while let Some(line) = self.lines.pop_front() {
                if line.contains(BOOKED) {
                    let value = line.split("duration_ms=").nth(1).and_then(|rest| rest.split(' ').next());
                    took.push(value.context("a booking has a duration")?.trim().parse()?);
                }
            }
            sleep(LOOK_EVERY).await;
        }
        Ok((took, began.elapsed()))
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.file.read_to_string(&mut self.rest)?;
        let complete = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let lines: String = self.rest.drain(..complete).collect();
        self.lines.extend(lines.lines().map(str::to_owned));
        Ok(())
    }
}
