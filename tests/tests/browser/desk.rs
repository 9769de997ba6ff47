//! Where each story begins and ends: a small ISP, a browser at head office, and somebody who signs in.

use std::path::Path;

use anyhow::Context as _;
use daraja_sim::Phone;
use routeros_sim::{DeviceState, Service};
use tawi_shared::IdSource;
use tawi_tests::browser::Browser;
use tawi_tests::stories;
use tawi_tests::world::{Customer, NewCustomer, Plan, Timing, World};

/// A day, so that nobody's time is over while a story is told.
const DAY_SECONDS: u64 = 86_400;

/// How long a customer looks at the prompt; a page of a busy machine is loaded and read within it.
const PROMPT_IS_READ_MS: u64 = 12_000;

/// Starts a world with these sites.
pub async fn world(sites: &[&str]) -> World {
    let directory = std::env::temp_dir().join(format!("tawi-browser-{}", IdSource::system().hex(4)));
    let plan = Plan {
        sites: sites.iter().map(|site| (*site).to_owned()).collect(),
        rule_17: false,
        timing: Some(Timing { sample_seconds: 1, full_check_seconds: 120, idle_seconds: 300 }),
        ..Plan::default()
    };
    World::start(&directory, &plan, &mut |step: &str| eprintln!("· {step}")).await.unwrap()
}

/// Adds somebody who may do everything; returns their password.
pub async fn owner(world: &World) -> String {
    let owner = world.command(&["staff", "add", "owner", "--role", "owner", "--json"]).await.unwrap();
    owner["password"].as_str().unwrap().to_owned()
}

/// One site, a plan, so many customers of whom nobody has paid yet; and the owner's password.
pub async fn isp(count: u32) -> (World, Vec<Customer>, String) {
    let world = world(&["nyeri-01"]).await;
    let home =
        world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 30 * DAY_SECONDS).await.unwrap();
    let mut customers = Vec::new();
    for number in 1..=count {
        customers.push(customer(&world, &home, number).await.unwrap());
    }
    let password = owner(&world).await;
    (world, customers, password)
}

/// A customer whose device dials by PPPoE.
pub async fn customer(world: &World, plan: &str, number: u32) -> anyhow::Result<Customer> {
    let new = NewCustomer { number, site: 0, plan, service: Service::Pppoe, redial_ms: Some(250) };
    world.add_customer(&new).await
}

/// Everybody reads the prompt before they type their PIN: long enough for the desk to see that it was sent.
pub fn all_read_the_prompt(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    for customer in customers {
        let phone = Phone { delay_ms: PROMPT_IS_READ_MS, ..Phone::default() };
        world.daraja.handle().set_phone(&customer.phone, phone)?;
    }
    Ok(())
}

/// Everybody pays, and is online at head office too.
pub async fn all_come_online(world: &World, customers: &[Customer]) -> anyhow::Result<()> {
    let mut payments = Vec::new();
    for customer in customers {
        payments.push(stories::pay(&world.office, customer).await?);
    }
    for (customer, payment) in customers.iter().zip(payments) {
        // A session from before, behind the wall, is ended by the payment: it is the next one that counts.
        stories::trace_of(&world.office, &payment.id, true).await?;
        stories::comes_online(world, customer).await?;
    }
    Ok(())
}

/// Whether the customer's device has a session at this moment.
pub fn is_online(world: &World, customer: &Customer) -> anyhow::Result<bool> {
    let device = world.site(customer.site)?.router.router().device(&customer.device)?;
    Ok(device.state == DeviceState::Online)
}

pub async fn sign_in(browser: &Browser, password: &str) -> anyhow::Result<()> {
    browser.open("/").await?;
    browser.wait_for_text("h1", "Sign in").await?;
    browser.fill("input[name=login]", "owner").await?;
    browser.fill("input[name=password]", password).await?;
    browser.click("button.primary").await?;
    browser.wait_for_text("h1", "Overview").await
}

/// Ends the browser and the ISP in order, whatever became of the story.
pub async fn finish(mut world: World, browser: Browser, outcome: anyhow::Result<()>) {
    if outcome.is_err() {
        world.keep_directory();
    }
    let (closed, stopped) = (browser.stop().await, world.stop().await);
    outcome.unwrap();
    closed.unwrap();
    stopped.unwrap();
}

/// The root of the tree.
pub fn root() -> anyhow::Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have a directory above them")
}
