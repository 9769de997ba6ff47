//! Head office's daily work in a real browser, over a whole ISP: signing in, finding a customer, asking for a payment,
//! and seeing it arrive without touching anything; and the same without scripts. Rarer acts are in `acts`, how pages look
//! in `looks`.

use tawi_tests::browser::Browser;
use tawi_tests::world::Customer;

use super::desk::{all_read_the_prompt, finish, isp, sign_in};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_ask_for_a_payment_and_see_it_arrive_without_touching_anything() {
    let (world, customers, password) = isp(3).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        all_read_the_prompt(&world, &customers)?;
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
    let (world, customers, password) = isp(3).await;
    let browser = Browser::start(world.directory(), world.dashboard()).await.unwrap();
    let work = async {
        all_read_the_prompt(&world, &customers)?;
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
