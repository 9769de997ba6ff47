//! What staff do more rarely, in a real browser over a real agent and a simulated router: a speed that is changed, a
//! top-up that is sold, cuts that a guard holds, a search in what was written to routers, rows of others taken over.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use routeros_sim::{DeviceState, NewDevice, Service};
use serde_json::json;
use tawi_tests::backhaul::Outage;
use tawi_tests::browser::Browser;
use tawi_tests::office::Office;
use tawi_tests::stories;
use tawi_tests::world::{Customer, ROUTER_NAME, World};

use super::desk::{self, finish, isp, sign_in};
use super::looks::fill_row;

const WITHIN: Duration = Duration::from_secs(60);
/// More than a guard lets go within an hour, and all of a router.
const MANY: u32 = 12;

/// A value of the first row of a menu whose name ends so.
fn value_of(world: &World, menu: &str, name: &str, property: &str) -> Option<String> {
    let rows = world.site(0).ok()?.router.router().rows(menu).ok()?;
    let text = |row: &[(&'static str, Vec<u8>)], wanted: &str| {
        let value = row.iter().find(|(known, _)| *known == wanted).map(|(_, value)| value.as_slice());
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    let row = rows.iter().find(|row| text(row, "name").trim_matches(['<', '>']).ends_with(name))?;
    Some(text(row, property))
}

/// Waits until a row of the router's has this value.
async fn router_has(
    world: &World,
    menu: &str,
    name: &str,
    property: &str,
    wanted: &str,
) -> anyhow::Result<()> {
    let look = || (value_of(world, menu, name, property).as_deref() == Some(wanted)).then_some(());
    world.site(0)?.router.router().wait_for(WITHIN, look).await.with_context(|| {
        let found = value_of(world, menu, name, property);
        format!("{property} of {name} in {menu} is {found:?}, not {wanted}")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speed_is_changed_and_a_top_up_sold_and_both_are_seen_to_arrive() {
    let (world, _, password) = isp(0).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let outcome = async {
        let kind = json!({
            "service_name": "pppoe", "profile_name": "village-10",
            "download_bits_per_second": 10_000_000, "upload_bits_per_second": 5_000_000,
        });
        let kind = world.office.create("/api/connection-types", &kind).await?;
        let plan = json!({
            "name": "Village 10", "connection_type_id": kind, "price_cents": 100_000,
            "validity_seconds": 86_400, "data_quota_bytes": 2_000_000_000_u64,
        });
        let plan = world.office.create("/api/plans", &plan).await?;
        let customer = desk::customer(&world, &plan, 1).await?;
        desk::all_come_online(&world, std::slice::from_ref(&customer)).await?;
        router_has(&world, "queue/simple", "plot0001", "max-limit", "5000000/10000000").await?;
        sign_in(&browser, &password).await?;
        speed(&world, &browser, &kind).await?;
        desk::all_read_the_prompt(&world, std::slice::from_ref(&customer))?;
        top_up(&browser, &customer).await
    };
    let outcome = outcome.await;
    finish(world, browser, outcome).await;
}

async fn speed(world: &World, browser: &Browser, kind: &str) -> anyhow::Result<()> {
    browser.click("nav a[href='/plans']").await?;
    browser.click(&format!("a[href='/connection-types/{kind}']")).await?;
    browser.wait_for_text("h1", "village-10").await?;
    browser.wait_for_text("main", "1 line").await?;
    browser.fill("#download", "20M").await?;
    browser.fill("#upload", "8M").await?;
    browser.click("main button.primary").await?;
    browser.wait_for_text(".note.good", "village-10 is changed").await?;
    let row = "[...document.querySelectorAll('tr')].some((row) => row.textContent.includes('Village 10') \
               && row.textContent.includes('20 Mbit/s / 8 Mbit/s'))";
    browser.wait_until(row).await?;
    router_has(world, "queue/simple", "plot0001", "max-limit", "8000000/20000000").await
}

/// The top-up is entered, the phone pays for it, and the page of the customer shows more data by itself.
async fn top_up(browser: &Browser, customer: &Customer) -> anyhow::Result<()> {
    browser.click("#top-ups summary").await?;
    browser.fill("#top_up_name", "3 GB more").await?;
    browser.fill("#top_up_price", "150").await?;
    browser.fill("#top_up_data", "3GB").await?;
    browser.click("form[action='/top-ups'] button").await?;
    browser.wait_for_text(".note.good", "3 GB more is added").await?;
    browser.open(&format!("/customers/{}", customer.customer)).await?;
    browser.wait_for_text(".quota", "of 2.0 GB").await?;
    browser.wait_for_text("[data-live-state]", "live").await?;
    let fold = format!("#top-up-{}", customer.subscription);
    browser.click(&format!("{fold} summary")).await?;
    browser.wait_for_text(&format!("{fold} option"), "3.0 GB for KES 150.00").await?;
    browser.click(&format!("{fold} button[formaction]")).await?;
    browser.wait_for_text(".note.good", "enters the M-Pesa PIN").await?;
    browser.value("(window.isTheSamePage = true)").await?;
    browser.wait_for_text(".quota", "of 5.0 GB").await?;
    browser.wait_for_text(".quota", "3.0 GB topped up").await?;
    ensure!(browser.value("window.isTheSamePage").await? == true, "the page was loaded anew");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_cuts_are_looked_at_let_go_and_found_in_what_was_written() {
    let (world, customers, password) = isp(MANY).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let outcome = async {
        desk::all_come_online(&world, &customers).await?;
        let site = world.site(0)?;
        site.backhaul.cut(Outage::Reset);
        stories::wait_for_site(&world.office, &site.id, false).await?;
        for customer in &customers {
            let hold = format!("/api/subscriptions/{}/hold", customer.subscription);
            world.office.post(&hold, &json!({})).await?;
        }
        sign_in(&browser, &password).await?;
        site.backhaul.mend();
        release(&world, &browser, &customers).await?;
        search(&world, &browser, &customers).await
    };
    let outcome = outcome.await;
    finish(world, browser, outcome).await;
}

async fn release(world: &World, browser: &Browser, customers: &[Customer]) -> anyhow::Result<()> {
    browser.wait_for_text("#held", "12 of 12 working lines would lose access").await?;
    browser.click("#held a").await?;
    browser.wait_for_text("#held", "12 of 12 working lines would lose access").await?;
    browser.wait_for_text("#held td", "Plot 001").await?;
    browser.wait_for_text("#held", "on hold by staff").await?;
    browser.wait_for_text("[data-live-state]", "live").await?;
    // Without its tick the browser sends nothing, and everybody stays online.
    browser.click("#held button.danger").await?;
    ensure!(browser.path().await?.starts_with("/sites/nyeri-01"));
    browser.wait_until("document.querySelector('#held input:invalid').name === 'confirm'").await?;
    for customer in customers {
        ensure!(desk::is_online(world, customer)?, "{} lost access before anybody said so", customer.device);
    }
    browser.click("#held [name=confirm]").await?;
    browser.click("#held button.danger").await?;
    browser.wait_for_text(".note.good", "On the way").await?;
    browser.wait_for_text("#commands", "done").await?;
    browser.wait_until("document.querySelector('#held').childElementCount === 0").await?;
    let router = world.site(0)?.router.router();
    for customer in customers {
        router.wait_for_device(&customer.device, DeviceState::Dialing, WITHIN).await?;
    }
    Ok(())
}

async fn search(world: &World, browser: &Browser, customers: &[Customer]) -> anyhow::Result<()> {
    let last = customers.last().context("somebody")?;
    let writes = format!("/api/router-writes?line={}&text=disabled=yes", last.subscription);
    let come = async |office: &Office| {
        let found = office.get(&writes).await?;
        Ok(found["writes"].as_array().filter(|writes| !writes.is_empty()).map(|_| ()))
    };
    world.office.wait_for("the write comes to head office", WITHIN, come).await?;
    browser.click("a[href='/router-writes?site=nyeri-01']").await?;
    browser.wait_for_text("h1", "Writes to routers").await?;
    ensure!(browser.value("document.querySelector('#site').value").await? == "nyeri-01");
    browser.fill("#line", "plot0012").await?;
    browser.fill("#text", "disabled=yes").await?;
    browser.click("main form button").await?;
    browser.wait_for_text("table", "Plot 012").await?;
    browser.wait_for_text("table", "ppp/secret/set").await?;
    let strangers = browser.value("document.querySelector('table').textContent.includes('Plot 011')").await?;
    ensure!(strangers == false, "a search for one line finds another");
    browser.fill("#text", "words that no router was told").await?;
    browser.click("main form button").await?;
    browser.wait_for_text(".empty", "Nothing fits").await?;
    browser.click("main form a").await?;
    browser.wait_for_text("table", "Plot 011").await?;
    ensure!(browser.path().await? == "/router-writes");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_somebody_else_is_taken_over_from_the_preview_and_its_session_goes_on() {
    let (world, _, password) = isp(0).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let outcome = async {
        let router = world.site(0)?.router.router();
        let pool = value_of(&world, "ppp/profile", "default", "remote-address").context("a pool")?;
        let own = value_of(&world, "ppp/profile", "default", "local-address").context("an address")?;
        let profile = [
            ("name", "old"),
            ("rate-limit", "5M/10M"),
            ("remote-address", pool.as_str()),
            ("local-address", own.as_str()),
        ];
        router.add_row("ppp/profile", &profile)?;
        let secret = [("name", "kiosk17"), ("password", "unknown"), ("service", "pppoe"), ("profile", "old")];
        router.add_row("ppp/secret", &secret)?;
        let device = NewDevice::new("kiosk", Service::Pppoe, "kiosk17", "unknown").redialing_after_ms(100);
        router.add_device(device)?;
        router.wait_for_device("kiosk", DeviceState::Online, WITHIN).await?;
        sign_in(&browser, &password).await?;
        take_over(&world, &browser).await
    };
    let outcome = outcome.await;
    finish(world, browser, outcome).await;
}

async fn take_over(world: &World, browser: &Browser) -> anyhow::Result<()> {
    let session = value_of(world, "ppp/active", "kiosk17", "session-id").context("a session")?;
    browser.click("nav a[href='/sites']").await?;
    browser.click("table a").await?;
    browser.click(&format!("a[href$='/routers/{ROUTER_NAME}/take-over']")).await?;
    browser.wait_for_text("h1", "Take over core").await?;
    browser.click("form[action$='/read'] button").await?;
    browser.wait_for_text("#reading", "done").await?;
    browser.click("#reading a").await?;
    browser.wait_for_text("#sheet", "kiosk17").await?;
    fill_row(browser, "kiosk17", "Kiosk by the road", "0722000111", "2027-06-30T23:59").await?;
    browser.click("#sheet button.primary").await?;
    browser.wait_for_text("h1", "Preview").await?;
    browser.wait_for_text("main", "1 line").await?;
    browser.wait_for_text("main", "Kiosk by the road").await?;
    let owner = || value_of(world, "ppp/secret", "kiosk17", "comment").unwrap_or_default();
    ensure!(owner().is_empty(), "touched before it was confirmed: {}", owner());
    browser.click("main form button.primary").await?;
    browser.wait_for_text(".note.good", "1 row").await?;
    world
        .site(0)?
        .router
        .router()
        .wait_for(WITHIN, || owner().starts_with("tawi:").then_some(()))
        .await
        .context("the row is never taken over")?;
    router_has(world, "ppp/secret", "kiosk17", "profile", "home-10").await?;
    router_has(world, "ppp/active", "kiosk17", "session-id", &session).await?;
    browser.click("nav a[href='/customers']").await?;
    browser.click("table a").await?;
    browser.wait_for_text("h1", "Kiosk by the road").await?;
    browser.wait_for_text(".badges", "paid").await?;
    browser.wait_for_text(".badges", "online").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_watched_live_and_its_settings_are_set_and_seen_in_force() {
    let (world, _, password) = isp(0).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let outcome = async {
        stories::wait_for_site(&world.office, "nyeri-01", true).await?;
        sign_in(&browser, &password).await?;
        browser.click("nav a[href='/sites']").await?;
        browser.click("table a").await?;
        browser.wait_for_text("h1", "POP nyeri-01").await?;
        browser.click("form[action$='/ask/watch'] button").await?;
        browser.wait_for_text(".note.good", "On the way").await?;
        browser.value("(window.isTheSamePage = true)").await?;
        browser.wait_for_text("[data-live-state]", "live").await?;
        browser.wait_for_text("#remote", "connected").await?;
        browser.wait_for_text("#remote", "Live").await?;
        ensure!(browser.value("window.isTheSamePage").await? == true, "the page was loaded anew");
        settings(&browser).await
    };
    let outcome = outcome.await;
    finish(world, browser, outcome).await;
}

async fn settings(browser: &Browser) -> anyhow::Result<()> {
    let summary = "section[aria-labelledby=settings-title] summary";
    browser.click(summary).await?;
    browser.fill("#setting-kilobytes_an_hour", "5").await?;
    browser.click("form[action$='/settings'] button").await?;
    browser.wait_for_text(".note.bad", "use 10 to 10000000").await?;
    browser.click(summary).await?;
    browser.fill("#setting-kilobytes_an_hour", "500").await?;
    browser.click("form[action$='/settings'] button").await?;
    browser.wait_for_text("#settings", "kilobytes_an_hour 500").await?;
    browser.wait_for_text("#settings", "in force").await
}
