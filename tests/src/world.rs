//! A whole ISP on one machine: the real controller, a real agent for each site, a simulated router behind each agent,
//! a simulated Daraja, and a backhaul between each site and head office that can be cut.
//!
//! Programs of ours run as processes, so that they can lose their power. Simulators run in this process and speak
//! over real sockets. Everything listens on the loopback and lives in one directory.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use routeros_sim::{NewDevice, Service};
use serde_json::{Value, json};

use crate::backhaul::Backhaul;
use crate::broker::{Broker, Mosquitto};
use crate::office::{Office, id_of};
use crate::process::{self, Program};

/// The router's API user in every simulated site.
const ROUTER_USER: &str = "tawi";
/// Name of the only router of each site.
pub const ROUTER_NAME: &str = "core";

/// What a world is built with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Site ids, such as `nyeri-01`.
    pub sites: Vec<String>,
    /// One-way-and-back delay of every router command, in milliseconds.
    pub router_latency_ms: u64,
    /// Whether Daraja answers a second prompt of the same amount within two minutes with result 17, as the real one does.
    pub rule_17: bool,
    /// How often Pull is swept, in seconds, besides at each start of the controller.
    pub pull_seconds: u32,
    /// Where the agents' program is; beside this program where not given.
    pub agent_program: Option<PathBuf>,
    /// Where the controller's program is; beside this program where not given.
    pub controller_program: Option<PathBuf>,
    /// How often the agents look at their routers; `None` for their own defaults.
    pub timing: Option<Timing>,
    /// Which broker there is between the sites and head office.
    pub broker: Broker,
}

/// How often an agent looks at its routers.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Seconds between samples of usage.
    pub sample_seconds: u32,
    /// Seconds between full checks.
    pub full_check_seconds: u32,
    /// Seconds without traffic after which a line where nobody logs in is offline.
    pub idle_seconds: u32,
}

impl Default for Plan {
    /// Three sites whose routers answer within 5 ms.
    fn default() -> Self {
        let sites = ["nyeri-01", "karatina-01", "othaya-01"].map(str::to_owned).to_vec();
        let timing = Some(Timing { sample_seconds: 5, full_check_seconds: 120, idle_seconds: 300 });
        Self {
            sites,
            router_latency_ms: 5,
            rule_17: true,
            pull_seconds: 2,
            agent_program: None,
            controller_program: None,
            timing,
            broker: Broker::wanted(),
        }
    }
}

/// The ISP.
pub struct World {
    directory: PathBuf,
    keep: bool,
    /// Safaricom.
    pub daraja: daraja_sim::Simulator,
    controller: Option<Program>,
    controller_program: Option<PathBuf>,
    mosquitto: Option<Mosquitto>,
    /// Head office's API.
    pub office: Office,
    /// The sites.
    pub sites: Vec<Site>,
    dashboard: String,
}

/// One site.
pub struct Site {
    /// Its id.
    pub id: String,
    /// The controller's id of its router.
    pub router_id: String,
    /// Its link to head office.
    pub backhaul: Backhaul,
    /// Its MikroTik.
    pub router: routeros_sim::Simulator,
    agent: Option<Program>,
    program: Option<PathBuf>,
    directory: PathBuf,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A customer with one subscription and the device that dials with it.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Subscription and line id.
    pub subscription: String,
    /// The customer's id.
    pub customer: String,
    /// What they write when they pay by Paybill.
    pub account_number: String,
    /// Index of the site in [`World::sites`].
    pub site: usize,
    /// Name of the device at the site's router.
    pub device: String,
    /// The phone that pays, `2547…`.
    pub phone: String,
}

/// Somebody who pays.
#[derive(Clone, Debug)]
pub struct Person {
    /// The customer's id.
    pub customer: String,
    /// What they write when they pay by Paybill.
    pub account_number: String,
    /// The phone that pays, `2547…`.
    pub phone: String,
}

/// What to sell to whom.
#[derive(Clone, Debug)]
pub struct NewCustomer<'a> {
    /// Running number in this world; phone and user name come from it.
    pub number: u32,
    /// Index of the site.
    pub site: usize,
    /// Plan id.
    pub plan: &'a str,
    /// PPPoE or hotspot; must be the plan's.
    pub service: Service,
    /// Milliseconds between the device's dials; `None` for a device that is off.
    pub redial_ms: Option<u64>,
}

impl Site {
    /// Where the agent's settings and state are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl World {
    /// Builds and starts everything in a fresh directory. `say` hears each step, for progress.
    ///
    /// # Errors
    /// When a part does not start; with the end of its log.
    pub async fn start(directory: &Path, plan: &Plan, say: &mut impl FnMut(&str)) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        say("starting the simulated Daraja");
        let settings = daraja_sim::Settings {
            rule_17: plan.rule_17,
            seed: daraja_sim::Settings::fresh_seed(),
            ..Default::default()
        };
        let daraja = daraja_sim::Simulator::start(settings).await?;
        say("starting the controller");
        let (http, door) = (free_address().await?, free_address().await?);
        write_controller_config(directory, (http, door), &daraja.base_url(), plan.pull_seconds)?;
        let mosquitto = match plan.broker {
            Broker::Embedded => None,
            Broker::Mosquitto => {
                say("starting mosquitto");
                let mosquitto = Mosquitto::start(directory, free_address().await?).await?;
                use_broker(directory, Some(mosquitto.address()))?;
                Some(mosquitto)
            }
        };
        let broker = mosquitto.as_ref().map_or(door, Mosquitto::address);
        let controller = start_controller(directory, plan.controller_program.as_deref()).await?;
        let token =
            controller_command(directory, &["token", "add", "world", "--role", "owner", "--json"]).await?;
        let token =
            token.get("token").and_then(Value::as_str).context("token add prints a token")?.to_owned();
        let dashboard = format!("http://{http}");
        let office = Office::new(&dashboard, &token)?;
        let mut world = Self {
            directory: directory.to_owned(),
            keep: false,
            daraja,
            controller: Some(controller),
            controller_program: plan.controller_program.clone(),
            mosquitto,
            office,
            sites: Vec::new(),
            dashboard,
        };
        for id in &plan.sites {
            say(&format!("starting {id}: router, backhaul, agent"));
            let site = world.start_site(id, broker, plan).await?;
            world.sites.push(site);
        }
        Ok(world)
    }

    /// Leaves the directory behind when the world ends, to look at, and prints what the programs said last: where a test fails on
    /// another machine that is all there is.
    pub fn keep_directory(&mut self) {
        self.keep = true;
        eprintln!("left to look at: {}", self.directory.display());
        let agents = self.sites.iter().filter_map(|site| site.agent.as_ref());
        for program in self.controller.iter().chain(agents) {
            eprintln!("{}", program.log_end());
        }
    }

    /// Where the dashboard answers.
    #[must_use]
    pub fn dashboard(&self) -> &str {
        &self.dashboard
    }

    async fn start_site(&self, id: &str, broker: SocketAddr, plan: &Plan) -> anyhow::Result<Site> {
        let password = tawi_shared::IdSource::system().hex(12);
        let router = routeros_sim::Simulator::start(routeros_sim::Settings {
            tls_listen: Some(loopback()),
            control: Some(loopback()),
            user: ROUTER_USER.to_owned(),
            password: password.clone(),
            latency_ms: plan.router_latency_ms,
            identity: format!("{id}-{ROUTER_NAME}"),
            ..Default::default()
        })
        .await?;
        let backhaul = Backhaul::start(broker).await?;
        let directory = self.directory.join(id);
        let bundle = directory.to_string_lossy().into_owned();
        let address = backhaul.address().to_string();
        let name = format!("POP {id}");
        let arguments = [
            "site",
            "add",
            id,
            "--name",
            &name,
            "--offline-bundle",
            &bundle,
            "--address",
            &address,
            "--json",
        ];
        controller_command(&self.directory, &arguments).await?;
        let router_row =
            self.office.post("/api/routers", &json!({"site_id": id, "name": ROUTER_NAME})).await?;
        write_router_config(&directory, &router, &password)?;
        finish_agent_config(&directory, plan.timing)?;
        let program = plan.agent_program.clone();
        let agent = Some(start_agent(program.as_deref(), &directory, id).await?);
        Ok(Site {
            id: id.to_owned(),
            router_id: id_of(&router_row)?,
            backhaul,
            router,
            agent,
            program,
            directory,
        })
    }

    /// Adds a plan and its connection type; returns the plan's id.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn add_plan(
        &self,
        name: &str,
        service: Service,
        profile: &str,
        megabits: u64,
        price_cents: i64,
        validity_seconds: u64,
    ) -> anyhow::Result<String> {
        let connection_type = json!({
            "service_name": service.word(), "profile_name": profile,
            "download_bits_per_second": megabits * 1_000_000,
            "upload_bits_per_second": megabits * 500_000,
        });
        let connection_type = self.office.create("/api/connection-types", &connection_type).await?;
        let plan = json!({
            "name": name, "connection_type_id": connection_type, "price_cents": price_cents,
            "validity_seconds": validity_seconds,
        });
        self.office.create("/api/plans", &plan).await
    }

    /// Adds a customer with a subscription; their device, if it is on, dials at once and is refused until they have paid.
    ///
    /// # Errors
    /// When the controller or the router's simulator refuses.
    pub async fn add_customer(&self, new: &NewCustomer<'_>) -> anyhow::Result<Customer> {
        let site = self.site(new.site)?;
        let person = self.add_person(new.number, &site.id).await?;
        let username = format!("plot{:04}", new.number);
        let password = tawi_shared::IdSource::system().hex(6);
        let subscription = self
            .office
            .create(
                "/api/subscriptions",
                &json!({
                    "customer_id": person.customer, "plan_id": new.plan, "router_id": site.router_id,
                    "username": username, "password": password,
                }),
            )
            .await?;
        let device = format!("cpe-{:04}", new.number);
        if let Some(redial_ms) = new.redial_ms {
            let dialing =
                NewDevice::new(&device, new.service, &username, &password).redialing_after_ms(redial_ms);
            site.router.router().add_device(dialing)?;
        }
        let Person { customer, account_number, phone } = person;
        Ok(Customer { subscription, customer, account_number, site: new.site, device, phone })
    }

    /// Adds a customer without a line.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn add_person(&self, number: u32, note: &str) -> anyhow::Result<Person> {
        let phone = format!("2547{number:08}");
        let new = json!({"name": format!("Plot {number:03}, {note}"), "phone": phone});
        let added = self.office.post("/api/customers", &new).await?;
        let account = added.get("account_number").and_then(Value::as_str);
        let account_number = account.context("a customer has an account number")?.to_owned();
        Ok(Person { customer: id_of(&added)?, account_number, phone })
    }

    /// The broker that is not inside the controller, if there is one.
    pub fn mosquitto(&mut self) -> Option<&mut Mosquitto> {
        self.mosquitto.as_mut()
    }

    /// A site by index.
    ///
    /// # Errors
    /// When there is none.
    pub fn site(&self, index: usize) -> anyhow::Result<&Site> {
        self.sites.get(index).with_context(|| format!("this world has no site number {index}"))
    }

    /// Whether every program of ours that was started, and whose power was not cut, still runs.
    ///
    /// # Errors
    /// When one ended by itself; with the end of its log.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        if let Some(mosquitto) = &mut self.mosquitto {
            mosquitto.ensure_running()?;
        }
        let agents = self.sites.iter_mut().filter_map(|site| site.agent.as_mut());
        self.controller.iter_mut().chain(agents).try_for_each(Program::ensure_running)
    }

    /// The power of the controller goes.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill_controller(&mut self) -> anyhow::Result<()> {
        match self.controller.take() {
            Some(mut controller) => controller.kill().await,
            None => Ok(()),
        }
    }

    /// Starts the controller again on the same database and ports.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_controller(&mut self) -> anyhow::Result<()> {
        if self.controller.is_none() {
            self.controller =
                Some(start_controller(&self.directory, self.controller_program.as_deref()).await?);
        }
        Ok(())
    }

    /// The power of an agent goes.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill_agent(&mut self, site: usize) -> anyhow::Result<()> {
        let site = self.sites.get_mut(site).context("no such site")?;
        match site.agent.take() {
            Some(mut agent) => agent.kill().await,
            None => Ok(()),
        }
    }

    /// Starts an agent again on the same store.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_agent(&mut self, site: usize) -> anyhow::Result<()> {
        let site = self.sites.get_mut(site).context("no such site")?;
        if site.agent.is_none() {
            site.agent = Some(start_agent(site.program.as_deref(), &site.directory, &site.id).await?);
        }
        Ok(())
    }

    /// Runs a controller command beside the running controller; its JSON answer.
    ///
    /// # Errors
    /// When it fails.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        controller_command(&self.directory, arguments).await
    }

    /// The agent's process at a site, where it runs.
    #[must_use]
    pub fn agent(&self, site: usize) -> Option<&Program> {
        self.sites.get(site)?.agent.as_ref()
    }

    /// The controller's process, where it runs.
    #[must_use]
    pub fn controller(&self) -> Option<&Program> {
        self.controller.as_ref()
    }

    /// Where configuration, databases and logs of this world are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Asks everything to stop, agents first, and removes the directory.
    ///
    /// # Errors
    /// When a program of ours did not end as it should; everything is stopped all the same.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for site in &mut self.sites {
            if let Some(agent) = site.agent.take() {
                outcome = agent.stop().await.and(outcome);
            }
        }
        if let Some(controller) = self.controller.take() {
            outcome = controller.stop().await.and(outcome);
        }
        if let Some(mosquitto) = self.mosquitto.take() {
            outcome = mosquitto.stop().await.and(outcome);
        }
        for site in self.sites.drain(..) {
            site.router.stop().await;
        }
        self.daraja.stop().await;
        if !self.keep && outcome.is_ok() {
            std::fs::remove_dir_all(&self.directory).context("removing the world's directory")?;
        }
        outcome
    }
}

async fn start_controller(directory: &Path, program: Option<&Path>) -> anyhow::Result<Program> {
    let config = directory.join("controller.toml");
    let config = config.to_string_lossy();
    let program = program.map_or_else(|| process::path_of("tawi-controller"), |path| Ok(path.to_owned()))?;
    Program::start(&program, "controller", directory, &["serve", "--config", &config], "ready").await
}

async fn controller_command(directory: &Path, arguments: &[&str]) -> anyhow::Result<Value> {
    let config = directory.join("controller.toml");
    let config = config.to_string_lossy();
    let mut all = arguments.to_vec();
    all.extend(["--config", &config]);
    let answer = process::run("tawi-controller", &all).await?;
    serde_json::from_str(&answer).with_context(|| format!("{arguments:?} printed {answer:?}"))
}

async fn start_agent(program: Option<&Path>, directory: &Path, site: &str) -> anyhow::Result<Program> {
    let config = directory.join("agent.toml");
    let config = config.to_string_lossy();
    let program = program.map_or_else(|| process::path_of("tawi-agent"), |path| Ok(path.to_owned()))?;
    Program::start(&program, &format!("agent-{site}"), directory, &["run", "--config", &config], "").await
}

fn write_controller_config(
    directory: &Path,
    (http, broker): (SocketAddr, SocketAddr),
    daraja: &str,
    pull_seconds: u32,
) -> anyhow::Result<()> {
    write_secret(&directory.join("mpesa.secret"), daraja_sim::DEMO_CONSUMER_SECRET)?;
    write_secret(&directory.join("mpesa.passkey"), daraja_sim::DEMO_PASSKEY)?;
    let text = format!(
        r#"data_directory = "data"

[server]
listen = "{http}"

[broker]
listen = "{broker}"
advertised_address = "{broker}"

[mpesa]
base_url = "{daraja}"
short_code = "174379"
transaction_type = "pay_bill"
consumer_key = "{key}"
consumer_secret_file = "mpesa.secret"
passkey_file = "mpesa.passkey"
callback_base_url = "http://{http}"
pull = true
pull_nominated_number = "0712345678"
pull_seconds = {pull_seconds}

[sms]
channel = "log"
"#,
        key = daraja_sim::DEMO_CONSUMER_KEY,
    );
    std::fs::write(directory.join("controller.toml"), text)?;
    Ok(())
}

/// The one line by which a controller changes to another broker, or back to its own.
///
/// # Errors
/// When the settings cannot be written.
pub fn use_broker(directory: &Path, at: Option<SocketAddr>) -> anyhow::Result<()> {
    let path = directory.join("controller.toml");
    let text = std::fs::read_to_string(&path)?;
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("url = ")).collect();
    let line = at.map_or_else(String::new, |at| format!("url = \"mqtts://{at}\"\n"));
    let text = kept.join("\n").replacen("[broker]\n", &format!("[broker]\n{line}"), 1);
    Ok(std::fs::write(path, text + "\n")?)
}

fn write_router_config(
    directory: &Path,
    router: &routeros_sim::Simulator,
    password: &str,
) -> anyhow::Result<()> {
    let address = router.tls_address().context("the router listens with TLS")?;
    let pin = router.tls_pin().context("a router with TLS has a pin")?;
    write_secret(&directory.join("router.password"), password)?;
    let text = format!(
        r#"[[router]]
name = "{ROUTER_NAME}"
address = "{address}"
transport = "tls"
tls_pin = "{pin}"
user = "{ROUTER_USER}"
password_file = "router.password"
"#
    );
    write_secret(&directory.join("routers.toml"), &text)
}

/// The bundle is what an operator carries to the site; a world adds where to keep state, and a short temper about
/// reconnecting, since nobody wants to wait minutes for a test, and no bound of what may be told in an hour: an hour passes in a minute.
fn finish_agent_config(directory: &Path, timing: Option<Timing>) -> anyhow::Result<()> {
    let path = directory.join("agent.toml");
    let bundle =
        std::fs::read_to_string(&path).with_context(|| format!("the bundle has {}", path.display()))?;
    let text =
        bundle.replacen("[controller]", "[controller]\nreconnect_base_ms = 100\nkilobytes_an_hour = 0", 1);
    anyhow::ensure!(text != bundle, "the bundle's agent.toml has a [controller] section");
    let enforce = timing.map_or_else(String::new, |timing| {
        let Timing { sample_seconds, full_check_seconds, idle_seconds } = timing;
        format!(
            "[enforce]\nsample_seconds = {sample_seconds}\nreport_seconds = 1\nfull_check_seconds = {full_check_seconds}\n\
             idle_seconds = {idle_seconds}\n"
        )
    });
    let state = directory.canonicalize()?.join("state");
    std::fs::write(&path, format!("state_directory = \"{}\"\n{text}\n{enforce}", state.display()))?;
    Ok(())
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A port that was free a moment ago: programs that are restarted need the same one again.
///
/// # Errors
/// When the loopback has none.
pub async fn free_address() -> anyhow::Result<SocketAddr> {
    let ids = tawi_shared::IdSource::system();
    for _ in 0..TRIES {
        let port = u16::try_from(FIRST_PORT + ids.number() % PORTS)?;
        if let Ok(listener) = tokio::net::TcpListener::bind((loopback().ip(), port)).await {
            return Ok(listener.local_addr()?);
        }
    }
    anyhow::bail!("{TRIES} ports of the loopback are taken")
}

/// Below those that Linux gives to connections that go out: one of these would be taken before its program starts, now and then.
const FIRST_PORT: u64 = 12_000;
const PORTS: u64 = 20_000;
const TRIES: u32 = 100;
