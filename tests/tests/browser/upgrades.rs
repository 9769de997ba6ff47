//! An upgrade that is started and stopped from its page, with a real release and a real agent: first while the site is cut off,
//! then while it is there and refuses what no key of its own signed, so that the rollout stops by itself and the first page says so.

use anyhow::{Context as _, ensure};
use tawi_agent::upgrade::Build;
use tawi_tests::backhaul::Outage;
use tawi_tests::browser::Browser;
use tawi_tests::stories;
use tawi_tests::world::World;

use super::desk::{finish, isp, sign_in};

const VERSION: &str = "0.2.0";

/// Signs a program that says that it is this version of the agent, and takes it in.
async fn release(world: &World) -> anyhow::Result<()> {
    let directory = world.directory();
    let (keys, program, file) =
        (directory.join("keys"), directory.join("program"), directory.join("a.release"));
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let made = world.command(&["release", "new-key", "--out", &text(&keys), "--json"]).await?;
    let key = made["release_key"].as_str().context("a key")?;
    let settings = directory.join("controller.toml");
    let before = std::fs::read_to_string(&settings)?;
    std::fs::write(&settings, format!("{before}\n[upgrade]\nrelease_key = \"{key}\"\n"))?;
    let mark = format!("tawi-agent-release/{VERSION}/{}/1/1-3;", Build::this().mark.target);
    std::fs::write(&program, format!("#!/bin/sh\n# {mark}\n"))?;
    let (key, program, file) = (text(&keys.join("release.key")), text(&program), text(&file));
    world
        .command(&["release", "sign", "--key", &key, "--binary", &program, "--out", &file, "--json"])
        .await?;
    world.command(&["release", "add", &file, "--json"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_started_and_stopped_and_one_that_is_refused_stops_by_itself() {
    let (world, _, password) = isp(0).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let outcome = async {
        let site = world.site(0)?;
        stories::wait_for_site(&world.office, &site.id, true).await?;
        release(&world).await?;
        sign_in(&browser, &password).await?;
        site.backhaul.cut(Outage::Reset);
        stories::wait_for_site(&world.office, &site.id, false).await?;
        start(&browser).await?;
        browser.wait_for_text("#rollout", "not reached").await?;
        phone(&browser).await?;
        stop(&browser).await?;
        site.backhaul.mend();
        stories::wait_for_site(&world.office, &site.id, true).await?;
        start(&browser).await?;
        refused(&browser).await
    };
    let outcome = outcome.await;
    finish(world, browser, outcome).await;
}

async fn start(browser: &Browser) -> anyhow::Result<()> {
    browser.click("nav a[href='/sites']").await?;
    browser.click("main a[href='/upgrades']").await?;
    browser.wait_for_text("h1", "Upgrades").await?;
    browser.wait_for_text("[data-live-state]", "live").await?;
    browser.fill("#waves", "100").await?;
    // Without its tick the browser sends nothing.
    browser.click("form[action='/upgrades'] button").await?;
    browser
        .wait_until("document.querySelector('form[action=\"/upgrades\"] input:invalid').name === 'confirm'")
        .await?;
    browser.click("form[action='/upgrades'] [name=confirm]").await?;
    browser.click("form[action='/upgrades'] button").await?;
    browser.wait_for_text(".note.good", "0.2.0 goes out to 1 site").await
}

/// On a phone the page is as wide as the phone.
async fn phone(browser: &Browser) -> anyhow::Result<()> {
    browser.look(360, 740, false).await?;
    let over = "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5) \
                .map((one) => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 30)}`).slice(0, 8).join('; ')";
    let over = browser.value(over).await?;
    browser.look(1280, 900, false).await?;
    ensure!(over == "", "wider than a phone: {over}");
    Ok(())
}

async fn stop(browser: &Browser) -> anyhow::Result<()> {
    browser.click("#stop button.danger").await?;
    browser.wait_until("document.querySelector('#stop input:invalid').name === 'confirm'").await?;
    browser.click("#stop [name=confirm]").await?;
    browser.click("#stop button.danger").await?;
    browser.wait_for_text(".note.good", "It is stopped").await?;
    browser.wait_for_text("#rollout", "left as it is").await?;
    browser.wait_for_text("#rollout", "by staff:owner").await
}

/// The agent has no key: it refuses, which is seen without a reload and on the first page, with the way to the reason.
async fn refused(browser: &Browser) -> anyhow::Result<()> {
    browser.wait_for_text("#rollout", "stopped by itself").await?;
    browser.wait_for_text("#rollout", "no release key").await?;
    browser.click("nav a[href='/']").await?;
    browser.wait_for_text("#upgrades", "The upgrade to 0.2.0 stopped by itself").await?;
    browser.click("#upgrades a").await?;
    browser.wait_for_text("h1", "Upgrades").await?;
    browser.click("#rollout table a").await?;
    browser.wait_for_text("#agent", "refused").await
}
