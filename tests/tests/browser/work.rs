//! Head office's daily work in a real browser, over a whole ISP: signing in, finding a customer, asking for a payment,
//! and seeing it arrive without touching anything; the same without scripts; and every page on a phone, light and dark.
//!
//! `TAWI_PICTURES=some/directory cargo test -p tawi-tests --test browser` leaves a picture of each page there.

use std::path::{Path, PathBuf};

use daraja_sim::{Behaviour, Phone};
use routeros_sim::Service;
use serde_json::json;
use tawi_shared::IdSource;
use tawi_tests::browser::Browser;
use tawi_tests::world::{Customer, NewCustomer, Plan, World};

/// A narrow phone, in CSS pixels.
const PHONE: (u32, u32) = (360, 1_400);
/// A desk.
const DESK: (u32, u32) = (1_280, 1_000);

/// One site, a plan, and three customers of whom nobody has paid yet; and the owner's password.
async fn isp() -> (World, Vec<Customer>, String) {
    let directory = std::env::temp_dir().join(format!("tawi-browser-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: vec!["nyeri-01".to_owned()], rule_17: false, ..Plan::default() };
    let mut say = |step: &str| eprintln!("· {step}");
    let world = World::start(&directory, &plan, &mut say).await.unwrap();
    let home = world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, 2_592_000).await.unwrap();
    let mut customers = Vec::new();
    for number in 1..=3 {
        let new = NewCustomer { number, site: 0, plan: &home, service: Service::Pppoe, redial_ms: Some(250) };
        customers.push(world.add_customer(&new).await.unwrap());
    }
    let owner = world.command(&["staff", "add", "owner", "--role", "owner", "--json"]).await.unwrap();
    (world, customers, owner["password"].as_str().unwrap().to_owned())
}

async fn sign_in(browser: &Browser, password: &str) -> anyhow::Result<()> {
    browser.open("/").await?;
    browser.wait_for_text("h1", "Sign in").await?;
    browser.fill("input[name=login]", "owner").await?;
    browser.fill("input[name=password]", password).await?;
    browser.click("button.primary").await?;
    browser.wait_for_text("h1", "Overview").await
}

/// Finds a customer by the search box, and opens their page.
async fn find(browser: &Browser, words: &str, customer: &Customer) -> anyhow::Result<()> {
    browser.click("nav a[href='/customers']").await?;
    browser.fill("#query", words).await?;
    browser.click(".search button").await?;
    browser.wait_for_text(".search", "Show all").await?;
    let rows = browser.value("document.querySelectorAll('table.cards tbody tr').length").await?;
    anyhow::ensure!(rows == 1, "{words:?} finds {rows} customers");
    browser.click("table.cards tbody a").await?;
    browser.wait_for_text("h1", words).await?;
    anyhow::ensure!(browser.path().await? == format!("/customers/{}", customer.customer));
    Ok(())
}

/// Runs `work`; the browser and the ISP end in order whatever becomes of it.
async fn finish(world: World, browser: Browser, outcome: anyhow::Result<()>) {
    let (closed, stopped) = (browser.stop().await, world.stop().await);
    outcome.unwrap();
    closed.unwrap();
    stopped.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_ask_for_a_payment_and_see_it_arrive_without_touching_anything() {
    let (world, customers, password) = isp().await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        sign_in(&browser, &password).await?;
        browser.wait_for_text("#figures", "To be checked").await?;
        browser.wait_for_text("[data-live-state]", "live").await?;
        find(&browser, "Plot 002", &customers[1]).await?;
        browser.wait_for_text("[data-live-state]", "live").await?;
        browser.click("details form button.primary").await?;
        browser.wait_for_text(".note.good", "enters the M-Pesa PIN").await?;
        // A mark that only a new load of the page would wipe away.
        browser.value("(window.isTheSamePage = true)").await?;
        browser.wait_for_text("#trace", "online").await?;
        browser.wait_for_text("#trace", "Read back from the router").await?;
        browser.wait_for_text(".badges", "paid").await?;
        anyhow::ensure!(browser.value("window.isTheSamePage").await? == true, "the page was loaded anew");
        browser.click("nav a[href='/']").await?;
        browser.wait_for_text("#recent", "online").await?;
        browser.click("#sites a").await?;
        browser.wait_for_text("h1", "POP nyeri-01").await?;
        anyhow::ensure!(browser.path().await? == "/sites/nyeri-01");
        browser.wait_for_text("#agent .badges", "up").await?;
        browser.wait_for_text("#routers", "core").await?;
        browser.click(".who button").await?;
        browser.wait_for_text("h1", "Sign in").await
    };
    let outcome = work.await;
    finish(world, browser, outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_the_same_work_is_done_by_loading_pages() {
    let (world, customers, password) = isp().await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        browser.allow_scripts(false).await?;
        sign_in(&browser, &password).await?;
        let is_silent = browser.value("document.querySelector('[data-live-state]').hidden").await?;
        anyhow::ensure!(is_silent == true, "the script runs");
        find(&browser, "Plot 003", &customers[2]).await?;
        browser.fill("details form input[name=amount]", "a lot").await?;
        browser.click("details form button.primary").await?;
        browser.wait_for_text(".complaint", "is not an amount").await?;
        anyhow::ensure!(browser.value("document.querySelector('#amount').value").await? == "a lot");
        browser.fill("#amount", "1500").await?;
        browser.click("form.card button.primary").await?;
        browser.wait_for_text(".note.good", "enters the M-Pesa PIN").await?;
        let wait = async |office: &tawi_tests::office::Office| {
            let line = office.get(&format!("/api/subscriptions/{}", customers[2].subscription)).await?;
            Ok((line["is_online"] == true).then_some(()))
        };
        world.office.wait_for("the customer is online", std::time::Duration::from_secs(60), wait).await?;
        browser.open(&browser.path().await?).await?;
        browser.wait_for_text("#trace", "online").await
    };
    let outcome = work.await;
    finish(world, browser, outcome).await;
}

#[expect(clippy::disallowed_methods, reason = "a developer's switch, not configuration")]
fn pictures() -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os("TAWI_PICTURES")?);
    std::fs::create_dir_all(&directory).unwrap();
    Some(directory)
}

/// Looks at the page that is shown: light and dark, on a phone and on a desk.
async fn fits(browser: &Browser, name: &str, pictures: Option<&Path>) -> anyhow::Result<()> {
    for (screen, (width, height)) in [("phone", PHONE), ("desk", DESK)] {
        for (colours, is_dark) in [("light", false), ("dark", true)] {
            browser.look(width, height, is_dark).await?;
            let widths = browser.value("[window.innerWidth, document.documentElement.scrollWidth]").await?;
            anyhow::ensure!(widths[0] == width, "{name}: the window is {widths}");
            anyhow::ensure!(
                widths[1].as_u64() <= Some(u64::from(width)),
                "{name} scrolls sideways: {widths}"
            );
            let ground = browser.value("getComputedStyle(document.body).backgroundColor").await?;
            let is_light = ground.as_str().is_some_and(|colour| colour.starts_with("rgb(2"));
            anyhow::ensure!(is_light != is_dark, "{name}: {ground} is the ground of {colours}");
            if let Some(directory) = pictures {
                browser.picture(&directory.join(format!("{name}-{screen}-{colours}.png"))).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_a_phone_and_a_desk_light_and_dark() {
    let (world, customers, password) = isp().await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let pictures = pictures();
    let pictures = pictures.as_deref();
    let work = async {
        // One pays, one refuses: both kinds of request are to be seen.
        let refuses = Phone { behaviour: Behaviour::Refuse, ..Phone::default() };
        world.daraja.handle().set_phone(&customers[1].phone, refuses)?;
        world.office.ask_for_payment(&customers[0].subscription).await?;
        world.office.ask_for_payment(&customers[1].subscription).await?;
        let paid = async |office: &tawi_tests::office::Office| {
            let list = office.get("/api/payments").await?;
            let payment =
                list["payments"].get(0).filter(|payment| !payment["trace"]["online_at_ms"].is_null());
            Ok(payment.and_then(|payment| payment["id"].as_str()).map(str::to_owned))
        };
        let payment = world.office.wait_for("a payment", std::time::Duration::from_secs(60), paid).await?;
        let long = "A guest house with a very long name beside the old railway station";
        let long = json!({"name": long, "phone": "0733000111"});
        let empty = world.office.create("/api/customers", &long).await?;

        browser.open("/sign-in").await?;
        fits(&browser, "sign-in", pictures).await?;
        browser.look(DESK.0, DESK.1, false).await?;
        sign_in(&browser, &password).await?;
        let (one, two) = (&customers[0].customer, &customers[1].customer);
        for (name, path) in [
            ("overview", "/".to_owned()),
            ("customers", "/customers".to_owned()),
            ("customers-none", "/customers?query=nobody".to_owned()),
            ("customer-new", "/customers/new".to_owned()),
            ("customer-paid", format!("/customers/{one}")),
            ("customer-due", format!("/customers/{two}")),
            ("customer-empty", format!("/customers/{empty}")),
            ("subscription-new", format!("/customers/{empty}/subscriptions/new")),
            ("payment", format!("/payments/{payment}")),
            ("review", "/payments/review".to_owned()),
            ("sites", "/sites".to_owned()),
            ("site", "/sites/nyeri-01".to_owned()),
            ("plans", "/plans".to_owned()),
            ("not-there", "/nothing".to_owned()),
        ] {
            browser.open(&path).await?;
            fits(&browser, name, pictures).await?;
        }
        browser.open(&format!("/customers/{two}")).await?;
        browser.fill("details form input[name=amount]", "a lot").await?;
        browser.click("details form button.primary").await?;
        browser.wait_for_text("h1", "Ask for payment").await?;
        fits(&browser, "ask-complaint", pictures).await
    };
    let outcome = work.await;
    finish(world, browser, outcome).await;
}
