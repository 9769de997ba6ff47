//! The link with all programs in place: a site that loses everything it knew, and one that is shut out by another process.

use std::path::PathBuf;
use std::time::Duration;

use routeros_sim::{DeviceState, Service};
use serde_json::Value;
use tawi_agent::status::ask_status;
use tawi_shared::IdSource;
use tawi_tests::office::Office;
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, Timing, World};
use tokio::time::Instant;

const WITHIN: Duration = Duration::from_secs(60);
/// In which sessions are read several times.
const SAMPLES: Duration = Duration::from_secs(5);
/// The front door asks the database every second.
const REVOKED_WITHIN: Duration = Duration::from_secs(3);

async fn world(name: &str) -> anyhow::Result<World> {
    let directory: PathBuf = std::env::temp_dir().join(format!("tawi-{name}-{}", IdSource::system().hex(4)));
    let timing = Some(Timing { sample_seconds: 1, full_check_seconds: 10, idle_seconds: 300 });
    let plan = Plan { sites: vec!["nyeri-01".into()], rule_17: false, timing, ..Plan::default() };
    World::start(&directory, &plan, &mut |step| eprintln!("· {step}")).await
}

async fn paid_and_online(world: &World) -> anyhow::Result<Customer> {
    let cast = stories::cast(world).await?;
    let (service, redial_ms) = (Service::Pppoe, Some(250));
    let new = NewCustomer { number: 1, site: 0, plan: &cast.home, service, redial_ms };
    let customer = world.add_customer(&new).await?;
    stories::pay(&world.office, &customer).await?;
    let router = world.site(0)?.router.router();
    router.wait_for_device(&customer.device, DeviceState::Online, WITHIN).await?;
    // A session that is as old as its line counts from its first reading: it may have been somebody else's before.
    tokio::time::sleep(SAMPLES).await;
    Ok(customer)
}

/// Waits until head office counts so many bytes to the customer.
async fn is_billed(office: &Office, customer: &Customer, expected: u64) -> anyhow::Result<()> {
    let path = format!("/api/subscriptions/{}", customer.subscription);
    let billed = office
        .wait_for("head office counts what moved", WITHIN, async |office| {
            let line = office.get(&path).await?;
            let bytes = line.get("download_bytes").and_then(Value::as_u64);
            anyhow::ensure!(bytes.is_some_and(|bytes| bytes >= expected), "{line}");
            Ok(bytes)
        })
        .await?;
    anyhow::ensure!(billed == expected, "{billed} of {expected}: nothing is counted twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_loses_everything_it_knew_is_told_it_again_and_counts_on() {
    let mut world = world("loss").await.unwrap();
    let customer = paid_and_online(&world).await.unwrap();
    let router = world.site(0).unwrap().router.router();
    router.move_traffic(&customer.device, 1_000, 50_000_000).unwrap();
    is_billed(&world.office, &customer, 50_000_000).await.unwrap();
    world.kill_agent(0).await.unwrap();
    let state = world.site(0).unwrap().directory().join("state");
    std::fs::remove_dir_all(&state).unwrap();
    world.start_agent(0).await.unwrap();
    let id = world.site(0).unwrap().id.clone();
    stories::wait_for_site(&world.office, &id, true).await.unwrap();
    let held = world
        .office
        .wait_for("the site has its state again", WITHIN, async |office| {
            let site = office.get(&format!("/api/sites/{id}")).await?;
            let number = |name: &str| site.get(name).and_then(Value::as_u64);
            let (newest, applied) = (number("generation"), number("applied_generation"));
            Ok(newest.filter(|newest| *newest > 0 && applied == Some(*newest)))
        })
        .await
        .unwrap();
    assert!(held > 0);
    // The session went on all the while, and what moves from here on counts beside what was counted.
    let router = world.site(0).unwrap().router.router();
    router.wait_for_device(&customer.device, DeviceState::Online, WITHIN).await.unwrap();
    tokio::time::sleep(SAMPLES).await;
    router.move_traffic(&customer.device, 1_000, 7_000_000).unwrap();
    is_billed(&world.office, &customer, 57_000_000).await.unwrap();
    world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_another_process_revokes_is_cut_off_at_once_and_does_not_come_back() {
    let world = world("revoked").await.unwrap();
    let id = world.site(0).unwrap().id.clone();
    stories::wait_for_site(&world.office, &id, true).await.unwrap();
    let carried = world.site(0).unwrap().backhaul.carried();
    let started = Instant::now();
    world.command(&["--json", "site", "revoke", &id]).await.unwrap();
    stories::wait_for_site(&world.office, &id, false).await.unwrap();
    // That head office calls it offline is its own word: the agent finds its connection ended, and says so.
    let socket = world.site(0).unwrap().directory().join("state/status.sock");
    loop {
        let status = ask_status(&socket).await.unwrap();
        if !status.controller.is_connected {
            break;
        }
        assert!(started.elapsed() < REVOKED_WITHIN, "{:?}", status.controller);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It tries again, and is sent away each time, before anything that it says is heard.
    let until = started + WITHIN;
    let tries = || world.site(0).unwrap().backhaul.carried().less(carried).connections;
    while tries() < 2 {
        assert!(Instant::now() < until, "it tried {} times", tries());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = ask_status(&socket).await.unwrap();
    let problem = status.controller.last_problem.clone().unwrap_or_default();
    assert!(!status.controller.is_connected && problem.contains("revoked"), "{:?}", status.controller);
    let site = world.office.get(&format!("/api/sites/{id}")).await.unwrap();
    assert_eq!(site.get("is_online").and_then(Value::as_bool), Some(false), "{site}");
    world.stop().await.unwrap();
}
