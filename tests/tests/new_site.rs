//! A new site as a technician makes one: every command as it is typed, with all programs in place, from `site add` to the
//! first state on the router. Only the paste into the router's terminal is played elsewhere (`agent/tests/reconcile/added.rs`):
//! the router here has the agent's user already.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use routeros_sim::{DeviceState, NewDevice, Service};
use serde_json::{Value, json};
use tawi_shared::IdSource;
use tawi_tests::process::{Program, path_of};
use tawi_tests::stories;
use tawi_tests::world::{Customer, Person, Plan, World};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

const SITE: &str = "kisumu-01";
const ROUTER_PASSWORD: &str = "as-the-script-says";

/// The device at the new site: where its agent keeps what it knows.
struct Device {
    directory: PathBuf,
    router: routeros_sim::Simulator,
}

impl Device {
    async fn new(world: &Path) -> anyhow::Result<Self> {
        let directory = world.join(SITE);
        std::fs::create_dir_all(&directory)?;
        let settings = format!(
            "state_directory = \"{}\"\n[controller]\nreconnect_base_ms = 100\n",
            directory.canonicalize()?.join("state").display()
        );
        std::fs::write(directory.join("agent.toml"), settings)?;
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let router = routeros_sim::Simulator::start(routeros_sim::Settings {
            tls_listen: Some(loopback),
            user: "tawi".to_owned(),
            password: ROUTER_PASSWORD.to_owned(),
            ..Default::default()
        })
        .await?;
        Ok(Self { directory, router })
    }

    /// Runs the agent's program to its end with something on its standard input; whether it succeeded, and what it said.
    async fn agent(&self, arguments: &[&str], input: &str) -> anyhow::Result<(bool, String)> {
        let mut command = tokio::process::Command::new(path_of("tawi-agent")?);
        command.args(arguments).arg("--config").arg(self.directory.join("agent.toml"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut running = command.spawn()?;
        let mut stdin = running.stdin.take().context("standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), running.wait_with_output()).await??;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    async fn start(&self) -> anyhow::Result<Program> {
        let config = self.directory.join("agent.toml").display().to_string();
        let arguments = ["run", "--config", &config];
        Program::start(&path_of("tawi-agent")?, "agent", &self.directory, &arguments, "").await
    }
}

/// Somebody at the new site, whose modem dials.
async fn first_customer(world: &World, device: &Device, router_id: &str) -> anyhow::Result<Customer> {
    let plan = stories::cast(world).await?.home;
    let person = world.add_person(1, SITE).await?;
    let line = json!({
        "customer_id": person.customer, "plan_id": plan, "router_id": router_id,
        "username": "plot0001", "password": "a-password",
    });
    let subscription = world.office.create("/api/subscriptions", &line).await?;
    let modem = NewDevice::new("cpe-0001", Service::Pppoe, "plot0001", "a-password").redialing_after_ms(250);
    device.router.router().add_device(modem)?;
    let Person { customer, account_number, phone } = person;
    Ok(Customer { subscription, customer, account_number, site: 0, device: "cpe-0001".to_owned(), phone })
}

async fn ticket(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let answer = world.command(arguments).await?;
    Ok(answer.get("ticket").and_then(Value::as_str).context("a ticket")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_and_four_commands_put_a_site_on_the_air_and_a_new_device_takes_it_over() {
    let directory = std::env::temp_dir().join(format!("tawi-new-site-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: Vec::new(), rule_17: false, ..Plan::default() };
    let mut world = World::start(&directory, &plan, &mut |_| ()).await.unwrap();
    let device = Device::new(&directory).await.unwrap();
    let begun = Instant::now();

    // 1. At head office.
    let first = ticket(&world, &["site", "add", SITE, "--name", "Kisumu", "--json"]).await.unwrap();
    // 2. At the site, pasted.
    let (is_done, said) = device.agent(&["enrol"], &format!("{first}\n")).await.unwrap();
    assert!(is_done && said.contains(SITE), "{said}");
    assert!(!said.contains(&first), "{said}");
    // 3. and 4. The script's user is there already, with the password that the device keeps.
    std::fs::write(device.directory.join("core.password"), ROUTER_PASSWORD).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(device.directory.join("core.password"), mode).unwrap();
    let port = device.router.tls_address().unwrap().port().to_string();
    let adding =
        ["router", "add", "core", "127.0.0.1", "--port", &port, "--release", "7.18", "--pppoe", "ether4"];
    let (_, said) = device.agent(&adding, "").await.unwrap();
    assert!(said.contains("lets the agent in"), "{said}");
    // 5.
    let agent = device.start().await.unwrap();
    stories::wait_for_site(&world.office, SITE, true).await.unwrap();
    let reconciled = world
        .office
        .wait_for("the router answers at head office", Duration::from_secs(60), async |office| {
            let site = office.get(&format!("/api/sites/{SITE}")).await?;
            let routers = site.get("routers").and_then(Value::as_array).cloned().unwrap_or_default();
            Ok(routers
                .iter()
                .any(|router| router.get("is_reachable") == Some(&json!(true)))
                .then_some(routers))
        })
        .await
        .unwrap();
    println!("from site add to a router that is worked with: {:?}, {reconciled:?}", begun.elapsed());
    // And the first customer of the site is on its router.
    let router_id = reconciled.iter().find_map(|router| router.get("id")?.as_str()).unwrap();
    let customer = first_customer(&world, &device, router_id).await.unwrap();
    stories::pay(&world.office, &customer).await.unwrap();
    let applied = world
        .office
        .wait_for("the first state is on the router", Duration::from_secs(60), async |office| {
            let site = office.get(&format!("/api/sites/{SITE}")).await?;
            let number = |name: &str| site.get(name).and_then(Value::as_u64);
            Ok(number("applied_generation")
                .filter(|applied| *applied > 0 && number("generation") == Some(*applied)))
        })
        .await
        .unwrap();
    device
        .router
        .router()
        .wait_for_device(&customer.device, DeviceState::Online, Duration::from_secs(60))
        .await
        .unwrap();
    println!("and to a customer who paid and is online, with generation {applied}: {:?}", begun.elapsed());

    // The ticket is used up; the same device may ask for its answer again, and no other.
    let other = Device::new(&directory.join("stolen")).await.unwrap();
    let (is_done, said) = other.agent(&["enrol"], &first).await.unwrap();
    assert!(!is_done && said.contains("used"), "{said}");
    // The device breaks: another takes the site over with a new ticket, from a file, and the old one is shut out.
    let file = directory.join("again.ticket");
    let bundle = file.display().to_string();
    ticket(&world, &["site", "renew", SITE, "--bundle", &bundle, "--json"]).await.unwrap();
    let (is_done, said) = other.agent(&["enrol", "--file", &bundle], "").await.unwrap();
    assert!(is_done && !file.exists(), "{said}");
    // Our own door asks the database. Another broker is told: until it has read the list, the old device is the site.
    if let Some(mosquitto) = world.mosquitto() {
        let list = mosquitto.files().join("revoked.crl").display().to_string();
        world.command(&["broker-config", "mosquitto", "--crl", &list, "--json"]).await.unwrap();
        world.mosquitto().unwrap().restart().await.unwrap();
    }
    world
        .office
        .wait_for("the old device is shut out", Duration::from_secs(20), async |office| {
            let site = office.get(&format!("/api/sites/{SITE}")).await?;
            Ok((site.get("is_online") == Some(&json!(false))).then_some(()))
        })
        .await
        .unwrap();
    let successor = other.start().await.unwrap();
    stories::wait_for_site(&world.office, SITE, true).await.unwrap();
    agent.stop().await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stories::wait_for_site(&world.office, SITE, true).await.unwrap();
    successor.stop().await.unwrap();
    world.stop().await.unwrap();
}
