//! The controller under simulation: the real one, in this process, without sockets to it and with a clock that stands still.
//!
//! Requests go through the router as `serve` builds it, with tokens, keys, roles and all; the workers have their turns by
//! hand (`tawi_controller::turns`). The database is SQLite as it ships, `synchronous = FULL` included. It lies in memory-backed
//! storage where there is any, so that a million steps do not wait for a disk a million times: what a power cut leaves of a
//! commit is another test's matter (`payment_kills`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tawi_controller::database::Database;
use tawi_controller::mpesa::{self, Daraja, RawMpesa, ShortCodes, c2b};
use tawi_controller::pki::Pki;
use tawi_controller::shutdown::Shutdown;
use tawi_controller::sites::{self, NewSite};
use tawi_controller::staff::{self, Added, Role};
use tawi_controller::state::Controller;
use tawi_controller::turns::Turns;
use tawi_controller::web::{self, Web};
use tawi_shared::{Clock, IdSource, SiteId, UnixMillis};
use tower::ServiceExt as _;

use super::paid_time::Sold;
use super::safaricom::{SHORT_CODE, Safaricom};
use super::site::SITE;
use crate::office::id_of;

/// When every simulation begins.
pub const START: UnixMillis = UnixMillis(1_790_000_000_000);
/// Who pays.
pub const CUSTOMERS: u32 = 6;
/// What a month costs, and a day, in shillings.
pub const PRICES: [i64; 2] = [1_500, 100];
/// What more data costs, in shillings.
pub const TOP_UP_PRICE: i64 = 50;
const DAY_MS: i64 = 86_400_000;
/// The plans, by name.
pub const PLANS: [(&str, Sold); 2] = [
    ("Month", Sold { price: PRICES[0] * 100, lasts: 30 * DAY_MS }),
    ("Day", Sold { price: PRICES[1] * 100, lasts: DAY_MS }),
];
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// A customer of the simulation.
#[derive(Clone, Debug)]
pub struct Payer {
    /// Their id.
    pub id: String,
    /// What they type at M-Pesa.
    pub account: String,
    /// Their phone.
    pub phone: String,
    /// Their lines.
    pub lines: Vec<String>,
    /// Of which of [`PLANS`] each is.
    pub plans: Vec<usize>,
}

/// A controller with customers in it, made once; every simulation begins with a copy.
#[derive(Debug)]
pub struct Template {
    directory: PathBuf,
    token: String,
    /// Who there is.
    pub payers: Vec<Payer>,
    /// More data, for whoever pays by the day.
    pub top_up: String,
    /// Where confirmations come to.
    pub confirmation_path: String,
}

/// A controller that runs.
#[derive(Debug)]
pub struct House {
    /// Its database, clock and ids.
    pub controller: Controller,
    /// Its workers.
    pub turns: Turns,
    database: PathBuf,
    settings: PathBuf,
    daraja_address: SocketAddr,
    router: Router,
    token: String,
}

/// A directory of its own on storage that needs no disk, where there is one.
#[must_use]
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    base.join(format!("tawi-money-{}", IdSource::system().hex(6)))
}

impl Template {
    /// Makes it in a directory, which is created.
    ///
    /// # Errors
    /// When the controller refuses anything.
    pub async fn make(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        write_settings(directory)?;
        let clock = Clock::manual(START);
        let safaricom = Safaricom::start(clock.clone()).await?;
        let path = directory.join("template.db");
        let ids = IdSource::seeded(0);
        let (database, settings) = (path.clone(), directory.to_owned());
        let mut house = House::open(&database, &settings, safaricom.address, (clock, ids), "").await?;
        let controller = house.controller.clone();
        let pki = Pki::open_or_create(&directory.join("pki"), START)?;
        let site = NewSite { id: SiteId::parse(SITE)?, name: String::new() };
        sites::add(&controller, &pki, site, &directory.join("bundle"), &["127.0.0.1:8883".to_owned()])
            .await?;
        let mut write = controller.database.write().await?;
        let added = staff::add_token(&mut write, "simulation", Role::Owner, &controller.ids, START).await?;
        write.commit().await?;
        let Added::Added(token) = added else { anyhow::bail!("the token is there already") };
        token.reveal().clone_into(&mut house.token);
        let (payers, top_up) = populate(&house).await?;
        let registered = c2b::register(&controller, &house.daraja()?, c2b::ResponseType::Completed).await;
        registered.context("registering")?;
        let confirmation_path = safaricom.truth().confirmation_path.clone().context("an address")?;
        let token = house.token.clone();
        house.close().await;
        Ok(Self { directory: directory.to_owned(), token, payers, top_up, confirmation_path })
    }

    /// A copy of it, running.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn copy(&self, seed: u64, clock: Clock, daraja_address: SocketAddr) -> anyhow::Result<House> {
        let database = self.directory.join(format!("{seed}-{}.db", IdSource::system().hex(4)));
        std::fs::copy(self.directory.join("template.db"), &database)?;
        let ids = IdSource::seeded(!seed);
        House::open(&database, &self.directory, daraja_address, (clock, ids), &self.token).await
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // What is left of a simulation that failed is made again by its seed.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn write_settings(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, text) in [("secret", "s"), ("passkey", "p"), ("operator-password", "Secret#1")] {
        let path = directory.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    }
    std::fs::write(directory.join("certificate.cer"), daraja_sim::OPERATOR_CERTIFICATE_PEM)?;
    Ok(())
}

/// A plan by the month and one by the day, whose data is limited, and customers with one line or two.
async fn populate(house: &House) -> anyhow::Result<(Vec<Payer>, String)> {
    let router = house.create("/api/routers", &json!({"site_id": SITE, "name": "core"})).await?;
    let mut plans = Vec::new();
    for (name, sold) in PLANS {
        let kind = json!({
            "service_name": "pppoe", "profile_name": name.to_lowercase(),
            "download_bits_per_second": 10_000_000, "upload_bits_per_second": 5_000_000,
        });
        let kind = house.create("/api/connection-types", &kind).await?;
        let data = (name == "Day").then_some(1_u64 << 30);
        let plan = json!({
            "name": name, "connection_type_id": kind, "price_cents": sold.price,
            "validity_seconds": sold.lasts / 1_000, "data_quota_bytes": data,
        });
        plans.push(house.create("/api/plans", &plan).await?);
    }
    let top_up = json!({
        "name": "More", "plan_id": plans.last(), "price_cents": TOP_UP_PRICE * 100, "bytes": 1_u64 << 29,
    });
    let top_up = house.create("/api/top-ups", &top_up).await?;
    let mut payers = Vec::new();
    for number in 0..CUSTOMERS {
        let phone = format!("2547000000{number:02}");
        let new = json!({"name": format!("Plot {number}"), "phone": phone});
        let (status, added) = house.post("/api/customers", &new).await?;
        ensure!(status == 201, "{added}");
        let account = added.get("account_number").and_then(Value::as_str).context("an account")?.to_owned();
        let id = id_of(&added)?;
        let mut lines = Vec::new();
        // By the month, by the day, and both.
        let theirs = match number % 3 {
            0 => vec![0],
            1 => vec![1],
            _ => vec![0, 1],
        };
        for (line, plan) in theirs.iter().enumerate() {
            let new = json!({
                "customer_id": id, "plan_id": plans.get(*plan), "router_id": router,
                "username": format!("plot{number}-{line}"), "password": "secret99",
            });
            lines.push(house.create("/api/subscriptions", &new).await?);
        }
        payers.push(Payer { id, account, phone, lines, plans: theirs });
    }
    Ok((payers, top_up))
}

impl House {
    async fn open(
        database: &Path,
        settings: &Path,
        daraja_address: SocketAddr,
        (clock, ids): (Clock, IdSource),
        token: &str,
    ) -> anyhow::Result<Self> {
        let opened = Database::open(&format!("sqlite://{}", database.display())).await?;
        let controller = Controller { clock, ids, ..Controller::new(opened) };
        let short_codes = ShortCodes::from(daraja(settings, daraja_address, &controller)?);
        let mut web = Web::new(controller.clone(), Duration::from_secs(3_600), Shutdown::default().stop());
        web.short_codes = Some(short_codes.clone());
        let callbacks = mpesa::callback_router(controller.clone(), &short_codes);
        let router = web::router(web, Some(callbacks));
        let turns = Turns::new(controller.clone(), short_codes);
        let (database, settings) = (database.to_owned(), settings.to_owned());
        Ok(Self { controller, turns, database, settings, daraja_address, router, token: token.to_owned() })
    }

    fn daraja(&self) -> anyhow::Result<Daraja> {
        daraja(&self.settings, self.daraja_address, &self.controller)
    }

    /// Ends it and starts it again over the same database. What was on its way within it is gone.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(self) -> anyhow::Result<Self> {
        let Self { controller, turns, database, settings, daraja_address, router, token } = self;
        drop((router, turns));
        controller.database.close().await;
        let (clock, ids) = (controller.clock, controller.ids);
        Self::open(&database, &settings, daraja_address, (clock, ids), &token).await
    }

    /// Ends it. Its database stays.
    pub async fn close(self) {
        drop((self.router, self.turns));
        self.controller.database.close().await;
    }

    /// Ends it, and removes its database.
    pub async fn remove(self) {
        let database = self.database.clone();
        self.close().await;
        let _ = std::fs::remove_file(database);
    }

    /// Ends it, and puts its database there.
    ///
    /// # Errors
    /// When the file cannot be moved.
    pub async fn keep(self, path: &Path) -> anyhow::Result<()> {
        let database = self.database.clone();
        self.close().await;
        Ok(std::fs::rename(database, path)?)
    }

    /// What a request is answered with.
    async fn answer(&self, request: Request<Body>) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut request = request;
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status().as_u16();
        Ok((status, to_bytes(answer.into_body(), ANSWER_BYTES).await?.to_vec()))
    }

    /// A body of M-Pesa's arrives; the status of the answer.
    ///
    /// # Errors
    /// When the path is none.
    pub async fn deliver(&self, path: &str, body: String) -> anyhow::Result<u16> {
        let request = Request::builder().method(Method::POST).uri(path).body(Body::from(body))?;
        Ok(self.answer(request).await?.0)
    }

    /// Writes by the API with a key; status and body of the answer.
    ///
    /// # Errors
    /// When the answer is no JSON.
    pub async fn post_with_key(&self, path: &str, body: &Value, key: &str) -> anyhow::Result<(u16, Value)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))?;
        let (status, answer) = self.answer(request).await?;
        let answer = serde_json::from_slice(&answer).with_context(|| format!("{path} answered {status}"))?;
        Ok((status, answer))
    }

    /// The same with a key of its own.
    ///
    /// # Errors
    /// When the answer is no JSON.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        self.post_with_key(path, body, &self.controller.ids.hex(16)).await
    }

    async fn create(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let (status, answer) = self.post(path, body).await?;
        ensure!(status < 300, "{path}: {status}: {answer}");
        id_of(&answer)
    }

    /// Claims a payment on the page for it, as somebody who is not signed in does; the status of the answer.
    ///
    /// # Errors
    /// When the page has no form.
    pub async fn claim(&self, path: &str, receipt: &str, phone: &str) -> anyhow::Result<u16> {
        let (status, page) = self.answer(Request::builder().uri(path).body(Body::empty())?).await?;
        let page = String::from_utf8(page)?;
        let token =
            page.split_once("name=\"form_token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        let Some((token, _)) = token else { anyhow::bail!("{path} was answered {status} without a form") };
        let form = format!("form_token={token}&receipt={receipt}&phone={phone}");
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))?;
        Ok(self.answer(request).await?.0)
    }

    /// Reads by the API.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = Request::builder()
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Body::empty())?;
        let (status, answer) = self.answer(request).await?;
        ensure!(status == 200, "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }
}

fn daraja(directory: &Path, address: SocketAddr, controller: &Controller) -> anyhow::Result<Daraja> {
    let text = format!(
        "base_url = \"http://{address}\"\nshort_code = \"{SHORT_CODE}\"\ntransaction_type = \"pay_bill\"\n\
         consumer_key = \"k\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
         callback_base_url = \"http://127.0.0.1:1\"\npull = true\npull_nominated_number = \"0712345678\"\n\
         initiator_name = \"simulation\"\ninitiator_password_file = \"operator-password\"\n\
         certificate_file = \"certificate.cer\"\n"
    );
    let raw: RawMpesa = toml::from_str(&text).context("the settings of M-Pesa")?;
    Ok(Daraja::new(raw.check(directory)?, controller)?)
}
