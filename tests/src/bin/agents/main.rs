//! `agents`: a thousand sites come back after head office is started anew, and somebody pays meanwhile; printed as JSON.
//!
//! The controller is the release build, on SQLite with full synchronous writes, and is killed as a power cut would. The sites are
//! all in this program, behind one address, each with a certificate, a TLS connection and an MQTT client of its own: what
//! they say is the agent's protocol, and when they dial is the agent's own decision. Everything shares this machine.

mod site;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde::Serialize;
use serde_json::{Value, json};
use site::{Happened, Held, Site};
use tawi_controller::config::{Config, Environment};
use tawi_controller::database::Database;
use tawi_controller::pki::Pki;
use tawi_controller::sites::{self, Added, NewSite};
use tawi_controller::state::Controller;
use tawi_shared::{IdSource, SiteId};
use tawi_tests::disk::fsync_ms;
use tawi_tests::figures::Spread;
use tawi_tests::office::id_of;
use tawi_tests::process::release_path_of;
use tawi_tests::stories;
use tawi_tests::world::{Plan, World};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Promised.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const TOLD_P99_MS: i64 = 2_000;
const KIB_A_CONNECTION: f64 = 60.0;
/// How many pay while the others come back, one after the other, and how far apart.
const PAYMENTS: usize = 300;
const BETWEEN_PAYMENTS: Duration = Duration::from_millis(100);
/// How long the crowd may take at all.
const PATIENCE: Duration = Duration::from_secs(180);
/// What a thousand sites and their controller need of file handles.
const FILES: u64 = 65_536;

/// Measures how a crowd of sites comes back after a restart of the controller, and prints it as JSON.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  make bench-agents\n  make bench-agents SITES=100   a shorter look")]
struct Arguments {
    /// How many sites.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(10..=20_000))]
    sites: u16,
}

#[derive(Debug, Serialize)]
struct Measured {
    sites: usize,
    /// From the kill until head office has answered the last site.
    all_back_ms: u128,
    /// Handshakes that failed although the connection was accepted by somebody who lived.
    failed_handshakes: usize,
    /// Connections that the dying controller's queue accepted: the system closes what a killed program had open one after the
    /// other, and who dials in these milliseconds is accepted by a queue that nobody will ever read.
    accepted_by_the_dying: usize,
    /// Of the connections, those that resumed their TLS session.
    resumed: usize,
    /// From a confirmation's first byte until the site has the new state, for payments made meanwhile.
    payment_to_site_ms: Spread,
    /// What the controller holds without a connection, and with all of them.
    resident_idle_kib: u64,
    resident_kib: u64,
    kib_a_connection: f64,
    /// Of which no copy of a file: the program's own text comes once, however many connect.
    anonymous_kib_a_connection: f64,
    /// What one durable write costs here.
    fsync_ms: f64,
}

impl Measured {
    fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.all_back_ms > BACK_WITHIN.as_millis() {
            broken.push(format!(
                "all are back after {} ms, and {BACK_WITHIN:?} are promised",
                self.all_back_ms
            ));
        }
        if self.failed_handshakes > 0 {
            broken.push(format!("{} handshakes failed", self.failed_handshakes));
        }
        if self.payment_to_site_ms.p99 > TOLD_P99_MS {
            let p99 = self.payment_to_site_ms.p99;
            broken.push(format!("a payment is at its site within {p99} ms, and {TOLD_P99_MS} are promised"));
        }
        if self.kib_a_connection > KIB_A_CONNECTION {
            let each = self.kib_a_connection;
            broken.push(format!("{each:.1} KiB a connection, and {KIB_A_CONNECTION} are promised"));
        }
        broken
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { sites } = Arguments::parse();
    let count = usize::from(sites);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES, |most| most.min(FILES));
    let raised = rustix::process::Rlimit { current: Some(wanted), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)?;
    let directory = std::env::temp_dir().join(format!("tawi-agents-{}", IdSource::system().hex(4)));
    let plan = Plan {
        sites: vec!["nyeri-01".into()],
        controller_program: Some(release_path_of("tawi-controller", "make bench-agents")?),
        ..Plan::default()
    };
    let mut world = World::start(&directory, &plan, &mut say).await?;
    world.kill_agent(0).await?;
    say(&format!("{count} sites"));
    let (news, mut happened) = mpsc::unbounded_channel();
    let crowd = found(&world, count, &news).await?;
    let names: Vec<SiteId> = crowd.iter().map(|site| site.id.clone()).collect();
    let idle = Resident::of(&world)?;
    say("they connect");
    let mut tasks = JoinSet::new();
    for site in crowd {
        tasks.spawn(site.run());
        // As technicians bring them up, and not all in one second.
        sleep(Duration::from_millis(10)).await;
    }
    let mut seen = Seen::default();
    seen.until_answered(&mut happened, count).await?;
    say("customers");
    let payers = payers(&world, &names).await?;
    sleep(Duration::from_secs(5)).await;
    let full = Resident::of(&world)?;
    say("the controller is killed, and started anew");
    seen = Seen::default();
    let killed = Instant::now();
    world.kill_controller().await?;
    // From here on nobody but the new one accepts: the old one is gone, its listeners with it.
    let gone = Instant::now();
    world.start_controller().await?;
    let till = till(&world)?;
    let paying = tokio::spawn(pay_all(till, payers));
    seen.until_answered(&mut happened, count).await?;
    let all_back_ms = killed.elapsed().as_millis();
    say("payments");
    let paid = paying.await??;
    seen.until_told(&mut happened, &paid).await?;
    let took = paid.iter().map(|(site, sent)| seen.took(*site, *sent)).collect::<anyhow::Result<Vec<_>>>()?;
    let full = full.max(Resident::of(&world)?);
    tasks.shutdown().await;
    let fsync_ms = fsync_ms(&directory.join("fsync"))?;
    world.stop().await?;
    let (by_the_dying, failed): (Vec<_>, Vec<_>) =
        seen.failed.iter().partition(|(accepted, _)| *accepted < gone);
    let measured = Measured {
        sites: count,
        all_back_ms,
        failed_handshakes: failed.len(),
        accepted_by_the_dying: by_the_dying.len(),
        resumed: seen.resumed,
        payment_to_site_ms: Spread::of(took),
        resident_idle_kib: idle.whole,
        resident_kib: full.whole,
        kib_a_connection: each(full.whole.saturating_sub(idle.whole), sites)?,
        anonymous_kib_a_connection: each(full.anonymous.saturating_sub(idle.anonymous), sites)?,
        fsync_ms,
    };
    println!("{}", serde_json::to_string_pretty(&measured)?);
    let broken = measured.broken_promises();
    let why = failed.first().map_or("", |(_, why)| why.as_str());
    ensure!(broken.is_empty(), "promises that these figures break:\n{}\n{why}", broken.join("\n"));
    Ok(())
}

fn say(step: &str) {
    eprintln!("· {step}");
}

/// What the controller holds of the machine's memory, in KiB.
#[derive(Clone, Copy)]
struct Resident {
    whole: u64,
    anonymous: u64,
}

impl Resident {
    fn of(world: &World) -> anyhow::Result<Self> {
        let controller = world.controller().context("the controller runs")?;
        Ok(Self { whole: controller.resident_kib()?, anonymous: controller.anonymous_kib()? })
    }

    fn max(self, other: Self) -> Self {
        Self { whole: self.whole.max(other.whole), anonymous: self.anonymous.max(other.anonymous) }
    }
}

fn each(kib: u64, sites: u16) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / f64::from(sites))
}

/// Adds the sites to head office's database, each with a certificate, as the command line does.
async fn found(
    world: &World,
    count: usize,
    news: &mpsc::UnboundedSender<Happened>,
) -> anyhow::Result<Vec<Site>> {
    let config = Config::load(&world.directory().join("controller.toml"), &Environment::read())?;
    let controller = Controller::new(Database::open(&config.database_url).await?);
    let pki = Pki::open_or_create(&config.data_directory.join("pki"), controller.clock.now())?;
    let broker: SocketAddr = config.broker.listen;
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        let id = SiteId::parse(&format!("site-{number:04}"))?;
        let bundle = world.directory().join("bundles").join(id.as_str());
        let new = NewSite { id: id.clone(), name: String::new() };
        let added = sites::add(&controller, &pki, new, &bundle, &[broker.to_string()]).await?;
        ensure!(matches!(added, Added::Added(_)), "{added:?}");
        let read = |name: &str| std::fs::read(bundle.join(name));
        let tls = site::connector(&read("ca.pem")?, &read("agent.pem")?, &read("agent.key")?)?;
        let (news, ids, held) = (news.clone(), IdSource::system(), Held::default());
        crowd.push(Site { number, id, tls, broker, news, ids, held });
    }
    Ok(crowd)
}

/// Somebody with a line at a site: which site, and what they type at the Paybill.
type Payer = (usize, String);

async fn payers(world: &World, names: &[SiteId]) -> anyhow::Result<Vec<Payer>> {
    let cast = stories::cast(world).await?;
    let mut payers = Vec::new();
    // Of all sites, those at regular distances.
    let every = (names.len() / PAYMENTS).max(1);
    for (site, name) in names.iter().enumerate().step_by(every).take(PAYMENTS) {
        let known = world.office.get(&format!("/api/sites/{name}")).await?;
        let router = known.pointer("/routers/0/id").and_then(Value::as_str).context("a router appeared")?;
        let person = world.add_person(u32::try_from(site)?, name.as_str()).await?;
        let line = json!({
            "customer_id": person.customer, "plan_id": cast.home, "router_id": router,
            "username": format!("plot{site:04}"), "password": "a-password",
        });
        id_of(&world.office.post("/api/subscriptions", &line).await?)?;
        payers.push((site, person.account_number));
    }
    world.command(&["--json", "mpesa", "register-urls"]).await?;
    Ok(payers)
}

/// Where payments are told: address and short code.
fn till(world: &World) -> anyhow::Result<(String, String)> {
    let registrations = world.daraja.handle().registrations();
    let (short_code, registration) = registrations.first_key_value().context("a short code is registered")?;
    Ok((registration.confirmation_url.as_str().to_owned(), short_code.as_str().to_owned()))
}

/// Everybody pays, one after the other; at which site, and when.
async fn pay_all(
    (url, short_code): (String, String),
    payers: Vec<Payer>,
) -> anyhow::Result<Vec<(usize, Instant)>> {
    let client = reqwest::Client::new();
    let began = Instant::now();
    let mut paid = Vec::new();
    for ((site, account), turn) in payers.into_iter().zip(0_u32..) {
        sleep_until(began + BETWEEN_PAYMENTS * turn).await;
        let body = json!({
            "TransactionType": "Pay Bill", "TransID": format!("TK{turn:08}"), "TransTime": "20261126120000",
            "TransAmount": "1500.00", "BusinessShortCode": short_code, "BillRefNumber": account,
            "InvoiceNumber": "", "OrgAccountBalance": "49197.00", "ThirdPartyTransID": "",
            "MSISDN": "2547 ***** 126", "FirstName": "", "MiddleName": "", "LastName": "",
        });
        let sent = Instant::now();
        let answer = client.post(&url).json(&body).send().await?;
        ensure!(answer.status().is_success(), "a confirmation was answered {}", answer.status());
        paid.push((site, sent));
    }
    Ok(paid)
}

/// What happened at the sites.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    resumed: usize,
    /// When each was accepted, and what became of it.
    failed: Vec<(Instant, String)>,
    /// When each generation came.
    told: HashMap<usize, Vec<Instant>>,
}

impl Seen {
    fn note(&mut self, happened: Happened) {
        match happened {
            Happened::HandshakeFailed { accepted, why } => self.failed.push((accepted, why)),
            Happened::Answered { resumed } => {
                self.answered += 1;
                self.resumed += usize::from(resumed);
            }
            Happened::Told { site, at } => self.told.entry(site).or_default().push(at),
            Happened::Ended => {}
        }
    }

    async fn until_answered(
        &mut self,
        happened: &mut mpsc::UnboundedReceiver<Happened>,
        count: usize,
    ) -> anyhow::Result<()> {
        let all = async {
            while self.answered < count {
                let Some(news) = happened.recv().await else { break };
                self.note(news);
            }
        };
        let is_done = timeout(PATIENCE, all).await.is_ok();
        ensure!(is_done, "{} of {count} are back", self.answered);
        Ok(())
    }

    async fn until_told(
        &mut self,
        happened: &mut mpsc::UnboundedReceiver<Happened>,
        paid: &[(usize, Instant)],
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !paid.iter().all(|(site, sent)| self.took(*site, *sent).is_ok()) {
            let news = tokio::time::timeout_at(deadline, happened.recv()).await;
            self.note(news.context("a payment does not reach its site")?.context("the crowd is gone")?);
        }
        Ok(())
    }

    /// From a payment until its site was told, in milliseconds: nobody pays twice, so that it is the next state.
    fn took(&self, site: usize, sent: Instant) -> anyhow::Result<i64> {
        let told = self.told.get(&site).and_then(|told| told.iter().find(|at| **at > sent));
        let at = told.context("it was not told yet")?;
        Ok(i64::try_from(at.duration_since(sent).as_millis())?)
    }
}
