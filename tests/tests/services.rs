//! What is sold, end to end over real processes and sockets: every service with its speed, data that is used up while
//! the site is cut off and topped up by phone, a speed that is changed at head office, a suspension that shows the way to
//! the pay page, and another board in the router's place.
//!
//! One world and its stories in sequence: starting a world costs more than most of them.

#![expect(clippy::indexing_slicing, reason = "a story that looks for what is not there has failed")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{DeviceState, NewDevice, Reach, Router, Service};
use serde_json::{Value, json};
use tawi_shared::IdSource;
use tawi_shared::wire::RouterTrouble;
use tawi_tests::backhaul::Outage;
use tawi_tests::office::Office;
use tawi_tests::process;
use tawi_tests::stories;
use tawi_tests::world::{Customer, Person, Plan, ROUTER_NAME, Timing, World};
use tokio::time::Instant;

/// Far above what any step needs.
const WITHIN: Duration = Duration::from_secs(60);
/// Far more than an agent asks between hearing of a payment and acting on it; most are samples, one a second.
const PRINTS_OF_A_LOOK: u64 = 40;
/// How often the agent reads what sessions moved.
const SAMPLE_SECONDS: u32 = 1;
/// After how long without traffic a line where nobody logs in is offline.
const IDLE_SECONDS: u32 = 3;
/// A sample, the pass after it, and a device that dials again; the rest is for a machine that does other things.
const ACTS_WITHIN: Duration = Duration::from_secs(6);
/// Long enough to come online before it is over.
const SHORT_SECONDS: u64 = 8;
const LONG_SECONDS: u64 = 86_400;
/// Data of a period, and what is added to it.
const QUOTA: u64 = 1_000_000;
const TOP_UP: u64 = 5_000_000;
/// What a customer moves: together more than the quota.
const UPLOAD: u64 = 400_000;
const DOWNLOAD: u64 = 700_000;
/// Somewhere in the Internet.
const INTERNET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 5), 443);
const REDIAL_MS: u64 = 100;
const TV: &str = "02:00:00:00:00:AF";

/// Each service as head office and as the router calls it, and what a line of it needs beside a name.
const SERVICES: [(&str, Service, &str, &str); 7] = [
    ("pppoe", Service::Pppoe, "", ""),
    ("l2tp", Service::L2tp, "", ""),
    ("pptp", Service::Pptp, "", ""),
    ("openvpn", Service::Ovpn, "", ""),
    ("hotspot", Service::Hotspot, "", ""),
    ("static", Service::Ipoe, "10.20.0.7", ""),
    // The second address of the portal's pool: the first is the phone's.
    ("hotspot-device", Service::Hotspot, "10.80.0.3", TV),
];

/// A customer, and the name of their line on the router.
struct Line {
    customer: Customer,
    username: String,
    /// The connection type of their plan.
    kind: String,
    /// Their device.
    dialing: NewDevice,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_is_sold_used_up_topped_up_sped_up_and_suspended() {
    let directory = std::env::temp_dir().join(format!("tawi-services-{}", IdSource::system().hex(4)));
    let plan = Plan {
        sites: vec!["nyeri-01".to_owned()],
        rule_17: false,
        timing: Some(Timing {
            sample_seconds: SAMPLE_SECONDS,
            full_check_seconds: 120,
            idle_seconds: IDLE_SECONDS,
        }),
        ..Plan::default()
    };
    let mut world = World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await.unwrap();
    prepare(&world.sites[0].router.router()).unwrap();
    let outcome = play(&world).await;
    if outcome.is_err() {
        world.keep_directory();
    }
    let stopped = world.stop().await;
    outcome.unwrap();
    stopped.unwrap();
}

async fn play(world: &World) -> anyhow::Result<()> {
    let started = Instant::now();
    let say = |what: &str| eprintln!("· {:>5.1} s  {what}", started.elapsed().as_secs_f64());
    let lines = all_services_come_online(world).await?;
    say("customers of all services paid, and have their plan's speed");
    nobody_logs_in_and_whoever_moves_something_is_online(world, &lines).await?;
    say("lines where nobody logs in were online while they moved something, to the byte");
    speed_is_changed(world, &lines).await?;
    say("every running session has the new speed");
    quotas(world).await?;
    say("three quotas were used up while cut off, acted upon by the agent alone, and topped up by phone");
    expiry_walls_in(world).await?;
    say("an expired line was walled in, and opened by a payment");
    another_board(world).await?;
    say("another board was told of, and nobody on it is cut off");
    why_a_router_is_away(world).await?;
    say("head office said why the router was away, and that it was back");
    Ok(())
}

/// What `tawi-agent router-script` and an admin set up: servers of every service, and walls for two address lists.
fn prepare(router: &Router) -> anyhow::Result<()> {
    router.set_row("interface/l2tp-server/server", "", &[("enabled", "yes")])?;
    router.set_row("interface/pptp-server/server", "", &[("enabled", "yes")])?;
    router.add_row("interface/ovpn-server/server", &[("name", "o1"), ("disabled", "no")])?;
    for list in ["tawi-off", "tawi-walled"] {
        let rule = [("chain", "forward"), ("action", "drop"), ("src-address-list", list)];
        router.add_row("ip/firewall/filter", &rule)?;
    }
    Ok(())
}

// Head office.

/// A plan of 10 Mbit/s down and 5 up on a connection type of its own, with whatever else is said of it.
async fn sell(office: &Office, name: &str, service: &str, more: &Value) -> anyhow::Result<(String, String)> {
    let kind = json!({
        "service_name": service, "profile_name": name,
        "download_bits_per_second": 10_000_000, "upload_bits_per_second": 5_000_000,
    });
    let kind = office.create("/api/connection-types", &kind).await?;
    let mut plan = json!({
        "name": name, "connection_type_id": kind, "price_cents": 5_000, "validity_seconds": LONG_SECONDS,
    });
    let (plan_fields, more) = (plan.as_object_mut().context("a plan")?, more.as_object().context("fields")?);
    plan_fields.extend(more.clone());
    Ok((kind, office.create("/api/plans", &plan).await?))
}

/// A customer of a plan, whose device dials from now on; a television is switched on later.
async fn customer(
    world: &World,
    number: u32,
    (kind, plan): (String, String),
    (service, dials, address, caller_id): (&str, Service, &str, &str),
) -> anyhow::Result<Line> {
    let site = world.site(0)?;
    let person = world.add_person(number, service).await?;
    let username = format!("{service}{number:03}");
    let password = IdSource::system().hex(6);
    let new = json!({
        "customer_id": person.customer, "plan_id": plan, "router_id": site.router_id, "username": username,
        "password": password, "address": address, "caller_id": caller_id,
    });
    let subscription = world.office.create("/api/subscriptions", &new).await?;
    let device = format!("cpe-{number:03}");
    let dialing = match (dials, caller_id) {
        (Service::Ipoe, _) => NewDevice::ipoe(&device, address),
        // A television, which knows neither a name nor a password.
        (_, mac) if !mac.is_empty() => NewDevice::new(&device, dials, "", "").with_mac(mac),
        _ => NewDevice::new(&device, dials, &username, &password),
    };
    let dialing = dialing.redialing_after_ms(REDIAL_MS);
    if caller_id.is_empty() {
        site.router.router().add_device(dialing.clone())?;
    }
    let Person { customer, account_number, phone } = person;
    Ok(Line {
        customer: Customer { subscription, customer, account_number, site: 0, device, phone },
        username,
        kind,
        dialing,
    })
}

/// Asks the phone for the price of a top-up, and waits for the receipt.
async fn buy_top_up(office: &Office, line: &Line, top_up: &str) -> anyhow::Result<()> {
    let path = format!("/api/subscriptions/{}/payment-requests", line.customer.subscription);
    let intent = office.post(&path, &json!({"top_up_id": top_up})).await?;
    stories::receipt_of(office, &serde_json::from_value(intent)?).await?;
    Ok(())
}

// The router.

/// A row's value as text; empty where it has none.
fn text(row: &[(&'static str, Vec<u8>)], name: &str) -> String {
    let value = row.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice());
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// The rates of a line's session or queue, upload before download.
fn rates(router: &Router, line: &Line) -> Vec<String> {
    let rows = router.rows("queue/simple").unwrap_or_default();
    let is_its = |name: &str| name.trim_matches(['<', '>']).ends_with(&line.username);
    rows.iter().filter(|row| is_its(&text(row, "name"))).map(|row| text(row, "max-limit")).collect()
}

/// The lists that a line's device is in at this moment.
fn walls(router: &Router, line: &Line) -> Vec<String> {
    let address = router.device(&line.customer.device).ok().and_then(|device| device.address);
    let Some(address) = address else { return vec![] };
    let rows = router.rows("ip/firewall/address-list").unwrap_or_default();
    rows.iter().filter(|row| text(row, "address") == address).map(|row| text(row, "list")).collect()
}

fn reaches_the_internet(router: &Router, line: &Line) -> bool {
    router.reach(&line.customer.device, INTERNET).is_ok_and(|reach| reach == Reach::Allowed)
}

/// Waits until a line runs at this rate and nothing keeps it from the Internet.
async fn is_open_at(router: &Router, line: &Line, rate: &str) -> anyhow::Result<()> {
    let look = || {
        let is_so = rates(router, line) == [rate] && walls(router, line).is_empty();
        (is_so && reaches_the_internet(router, line)).then_some(())
    };
    router.wait_for(WITHIN, look).await.with_context(|| {
        let device = router.device(&line.customer.device);
        let seen = (rates(router, line), walls(router, line));
        format!("{} is not open at {rate}: {seen:?} {device:?}", line.username)
    })
}

/// Waits until the portal lets a device pass.
async fn is_bound(router: &Router, mac: &str) -> anyhow::Result<()> {
    let look = || {
        let rows = router.rows("ip/hotspot/ip-binding").ok()?;
        let is_it = |row: &Vec<(&'static str, Vec<u8>)>| {
            text(row, "mac-address") == mac && text(row, "type") == "bypassed"
        };
        rows.iter().any(is_it).then_some(())
    };
    router.wait_for(WITHIN, look).await.with_context(|| format!("no binding lets {mac} pass"))
}

// The stories.

async fn all_services_come_online(world: &World) -> anyhow::Result<Vec<Line>> {
    let router = world.site(0)?.router.router();
    let mut lines = Vec::new();
    for (number, service) in (1..).zip(SERVICES) {
        let plan = sell(&world.office, service.0, service.0, &json!({})).await?;
        lines.push(customer(world, number, plan, service).await?);
    }
    for (line, service) in lines.iter().zip(SERVICES) {
        ensure!(rates(&router, line).is_empty(), "{} has a queue before it is paid for", line.username);
        let payment = stories::pay(&world.office, &line.customer).await?;
        if service.0 == "hotspot-device" {
            // A portal looks a device's binding up when the device appears.
            is_bound(&router, TV).await?;
            router.add_device(line.dialing.clone())?;
        }
        is_open_at(&router, line, "5000000/10000000").await?;
        // Where nobody logs in there is no session to see.
        let has_login = !matches!(service.0, "static" | "hotspot-device");
        stories::trace_of(&world.office, &payment.id, has_login).await.context(service.0)?;
        if has_login {
            stories::comes_online(world, &line.customer).await.context(service.0)?;
        }
    }
    Ok(lines)
}

/// A queue is all that there is to see of them.
async fn nobody_logs_in_and_whoever_moves_something_is_online(
    world: &World,
    lines: &[Line],
) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    for (line, service) in lines.iter().zip(SERVICES) {
        if !matches!(service.0, "static" | "hotspot-device") {
            continue;
        }
        let path = format!("/api/subscriptions/{}", line.customer.subscription);
        let becomes = async |is_online: bool, moved: (u64, u64)| {
            let what = format!("{} is {}", service.0, if is_online { "online" } else { "offline" });
            let expected = json!([is_online, moved.0, moved.1]);
            let look = async |office: &Office| {
                let now = office.get(&path).await?;
                let found = json!([now["is_online"], now["upload_bytes"], now["download_bytes"]]);
                ensure!(found == expected, "{found} instead of {expected}");
                Ok(Some(()))
            };
            world.office.wait_for(&what, WITHIN, look).await
        };
        // What it moved before the first look at its queue may be somebody else's.
        let looks = router.summary().prints_total + PRINTS_OF_A_LOOK;
        router.wait_for(WITHIN, || (router.summary().prints_total >= looks).then_some(())).await?;
        ensure!(world.office.get(&path).await?["is_online"] == json!(false), "online, and nothing moved");
        router.move_traffic(&line.customer.device, 1_000, 20_000)?;
        becomes(true, (1_000, 20_000)).await?;
        becomes(false, (1_000, 20_000)).await?;
        router.move_traffic(&line.customer.device, 5, 7)?;
        becomes(true, (1_005, 20_007)).await?;
    }
    Ok(())
}

/// Running sessions keep their rate: the agent ends them, and their devices come back at the new one.
async fn speed_is_changed(world: &World, lines: &[Line]) -> anyhow::Result<()> {
    let faster = json!({"download_bits_per_second": 20_000_000, "upload_bits_per_second": 8_000_000});
    for line in lines {
        world.office.post(&format!("/api/connection-types/{}", line.kind), &faster).await?;
    }
    let router = world.site(0)?.router.router();
    for line in lines {
        is_open_at(&router, line, "8000000/20000000").await?;
    }
    Ok(())
}

async fn quotas(world: &World) -> anyhow::Result<()> {
    let (office, site) = (&world.office, world.site(0)?);
    let router = site.router.router();
    let slow = json!({
        "how": "throttled", "download_bits_per_second": 1_000_000, "upload_bits_per_second": 512_000,
    });
    let mut lines = Vec::new();
    for (number, (name, then)) in
        (11..).zip([("cut", json!({"how": "off"})), ("slow", slow), ("walled-in", json!({"how": "walled"}))])
    {
        let more = json!({"data_quota_bytes": QUOTA, "after_quota": then});
        let plan = sell(office, name, "pppoe", &more).await?;
        let line = customer(world, number, plan, SERVICES[0]).await?;
        stories::pay(office, &line.customer).await?;
        stories::comes_online(world, &line.customer).await?;
        is_open_at(&router, &line, "5000000/10000000").await?;
        lines.push(line);
    }
    let top_up = json!({"name": "5 MB", "price_cents": 2_000, "bytes": TOP_UP});
    let top_up = office.create("/api/top-ups", &top_up).await?;

    site.backhaul.cut(Outage::Reset);
    stories::wait_for_site(office, &site.id, false).await?;
    for line in &lines {
        router.move_traffic(&line.customer.device, UPLOAD, DOWNLOAD)?;
    }
    let moved = Instant::now();
    let [cut, slow, walled] = lines.as_slice() else { anyhow::bail!("three plans") };
    router
        .wait_for_device(&cut.customer.device, DeviceState::Dialing, ACTS_WITHIN)
        .await
        .context("used up, and not cut off")?;
    let look = || (rates(&router, slow) == ["512000/1000000"]).then_some(());
    router.wait_for(ACTS_WITHIN, look).await.with_context(|| format!("{:?}", rates(&router, slow)))?;
    let look = || (walls(&router, walled) == ["tawi-walled"]).then_some(());
    router.wait_for(ACTS_WITHIN, look).await.with_context(|| format!("{:?}", walls(&router, walled)))?;
    eprintln!("·          all three acted upon {} ms after the bytes", moved.elapsed().as_millis());
    ensure!(!reaches_the_internet(&router, walled) && reaches_the_internet(&router, slow));

    for line in &lines {
        buy_top_up(office, line, &top_up).await?;
    }
    let is_in = router.device(&cut.customer.device)?.state == DeviceState::Online;
    ensure!(!is_in, "topped up at a site that nobody can reach");
    site.backhaul.mend();
    for line in &lines {
        is_open_at(&router, line, "5000000/10000000").await?;
        counts_what_was_moved(office, &router, line).await?;
    }
    Ok(())
}

/// Head office has the bytes that the device moved, to the byte.
async fn counts_what_was_moved(office: &Office, router: &Router, line: &Line) -> anyhow::Result<()> {
    let path = format!("/api/subscriptions/{}", line.customer.subscription);
    let moved = router.device(&line.customer.device)?;
    ensure!((moved.upload_bytes, moved.download_bytes) == (UPLOAD, DOWNLOAD));
    let expected = json!([UPLOAD, DOWNLOAD, UPLOAD + DOWNLOAD, QUOTA + TOP_UP]);
    let look = async |office: &Office| {
        let now = office.get(&path).await?;
        let period = &now["period"];
        let found =
            json!([now["upload_bytes"], now["download_bytes"], period["used_bytes"], period["quota_bytes"]]);
        ensure!(found == expected, "{found} instead of {expected}");
        Ok(Some(()))
    };
    office.wait_for("head office counts what was moved", WITHIN, look).await
}

async fn expiry_walls_in(world: &World) -> anyhow::Result<()> {
    let router = world.site(0)?.router.router();
    let more = json!({"validity_seconds": SHORT_SECONDS, "suspension": {"how": "walled"}});
    let plan = sell(&world.office, "short", "pppoe", &more).await?;
    let line = customer(world, 21, plan, SERVICES[0]).await?;
    // Before the first payment too, the customer is shown where to pay.
    let look = || (walls(&router, &line) == ["tawi-walled"]).then_some(());
    router.wait_for(WITHIN, look).await.context("not walled in before the first payment")?;
    ensure!(!reaches_the_internet(&router, &line));
    for what in ["never paid", "expired"] {
        stories::pay(&world.office, &line.customer).await?;
        is_open_at(&router, &line, "5000000/10000000").await.context(what)?;
        router.wait_for(WITHIN, look).await.with_context(|| format!("{what}, then paid, then over"))?;
        ensure!(!reaches_the_internet(&router, &line));
    }
    Ok(())
}

/// A board that is another than before may be a replaced one or a wrong address: nothing is written there until a person
/// says which. A line that is not ours and looks like one stays, though the state knows nothing of it.
async fn another_board(world: &World) -> anyhow::Result<()> {
    let site = world.site(0)?;
    let router = site.router.router();
    let old = router.summary().serial_number;
    let password = std::fs::read_to_string(world.directory().join(&site.id).join("router.password"))?;
    router.replace_board(0)?;
    let stranger = [("name", "stranger"), ("password", "x"), ("comment", "tawi:of-another-site")];
    router.add_row("ppp/secret", &stranger)?;
    router.add_row("user", &[("name", "tawi"), ("group", "full"), ("password", password.trim())])?;
    router.set_row("ip/service", "api-ssl", &[("disabled", "no")])?;
    let path = format!("/api/sites/{}/events", site.id);
    let said = async |office: &Office| {
        let answer = office.get(&path).await?;
        let events = answer["events"].as_array().context("events")?;
        let mut details = events.iter().filter_map(|event| event["detail"].as_str());
        Ok(details.find(|detail| detail.contains("another router answers")).map(str::to_owned))
    };
    let said = world.office.wait_for("head office hears of the other board", WITHIN, said).await?;
    ensure!(said.contains(&old) && said.contains(&router.summary().serial_number), "{said}");
    // Nothing is written there, not even for whoever pays now, until a person says that it is the right one.
    let before = router.summary();
    let plan = sell(&world.office, "after", "pppoe", &json!({})).await?;
    let line = customer(world, 31, plan, SERVICES[0]).await?;
    let payment = stories::pay(&world.office, &line.customer).await?;
    let looks = before.prints_total + PRINTS_OF_A_LOOK;
    router.wait_for(WITHIN, || (router.summary().prints_total >= looks).then_some(())).await?;
    ensure!(router.summary().writes_total == before.writes_total, "a strange board was written to");
    let rows = router.rows("ppp/secret")?;
    ensure!(rows.iter().any(|row| text(row, "name") == "stranger"), "a line of another site is cut off");
    has_trouble(&world.office, &site.id, Some(RouterTrouble::AnotherBoard)).await?;
    // Pools and the template's addresses are the router's own: whoever puts a board in its place gives it those.
    router.add_row("ip/pool", &[("name", "dial-in"), ("ranges", "10.64.0.10-10.64.3.250")])?;
    let addresses = [("local-address", "10.64.0.1"), ("remote-address", "dial-in")];
    router.set_row("ppp/profile", "default", &addresses)?;
    let config = site.directory().join("agent.toml");
    let rebuild = ["rebuild", "--router", ROUTER_NAME, "--config", &config.to_string_lossy()];
    process::run("tawi-agent", &rebuild).await?;
    stories::trace_of(&world.office, &payment.id, false).await?;
    has_trouble(&world.office, &site.id, None).await
}

/// Waits until head office says this of the site's router, with a cure, or that nothing is wrong with it.
async fn has_trouble(office: &Office, site: &str, trouble: Option<RouterTrouble>) -> anyhow::Result<()> {
    let path = format!("/api/sites/{site}");
    let look = async |office: &Office| {
        let answer = office.get(&path).await?;
        let router = &answer["routers"][0];
        let has_cure = router["cure"].as_str().is_some_and(|cure| !cure.is_empty());
        let is_it = router["trouble"] == json!(trouble.map(RouterTrouble::as_str));
        ensure!(is_it && has_cure == trouble.is_some(), "{router}");
        Ok(Some(()))
    };
    office.wait_for(&format!("the router has trouble: {trouble:?}"), WITHIN, look).await
}

async fn why_a_router_is_away(world: &World) -> anyhow::Result<()> {
    let site = world.site(0)?;
    let router = site.router.router();
    router.set_row("ip/service", "api-ssl", &[("disabled", "yes")])?;
    router.drop_connections();
    has_trouble(&world.office, &site.id, Some(RouterTrouble::ConnectionRefused)).await?;
    router.set_row("ip/service", "api-ssl", &[("disabled", "no")])?;
    has_trouble(&world.office, &site.id, None).await?;
    // Its certificate is made anew, and not what the agent was told to expect.
    router.add_row("certificate", &[("name", "new"), ("common-name", "new")])?;
    router.sign_certificate("new")?;
    router.set_row("ip/service", "api-ssl", &[("certificate", "new")])?;
    router.drop_connections();
    has_trouble(&world.office, &site.id, Some(RouterTrouble::PinMismatch)).await?;
    router.set_row("ip/service", "api-ssl", &[("certificate", "none")])?;
    has_trouble(&world.office, &site.id, None).await?;
    router.set_row("user", "tawi", &[("password", "another")])?;
    router.drop_connections();
    has_trouble(&world.office, &site.id, Some(RouterTrouble::LoginRefused)).await
}
