//! The pay page over real sockets, with a simulated Daraja and phones that pay, refuse and ignore.

mod claiming;
mod codes;
mod paying;
mod strangers;
mod telling;

use std::time::Duration;

use daraja_sim::{Behaviour, Phone};
use sqlx::Executor as _;
use tokio::time::timeout;

use crate::ids::LineId;
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};
use crate::web::testing::{Answer, Browser, DEADLINE, Served};

/// The customer's own phone, which no page may show.
const OWN_PHONE: &str = "254799888777";
/// Somebody else's, who pays.
const OTHER_PHONE: &str = "0733000222";
/// Longer than any test.
const NEVER: u64 = 3_600_000;

/// A controller with M-Pesa, whose customer has a phone that stands in no hint.
async fn served() -> Served {
    let served = Served::start_with_mpesa().await;
    write(&served, &format!("UPDATE customers SET phone = '{OWN_PHONE}'")).await;
    served
}

async fn write(served: &Served, sql: &str) {
    let mut write = served.controller.database.write().await.unwrap();
    write.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
    write.commit().await.unwrap();
}

/// Safaricom was told where payments by Paybill are heard of.
async fn hear_of_paybill(served: &Served) {
    let token = "c".repeat(32);
    let sql = format!(
        "INSERT INTO c2b_addresses (short_code, callback_token, created_at, registered_at) VALUES ('174379', '{token}', 1, 1)"
    );
    write(served, &sql).await;
}

/// The page of the world's customer, in English.
fn page_of(served: &Served) -> String {
    format!("/pay/{}", served.world.customer.account_number)
}

/// What a form of a page carries.
fn token(page: &Answer) -> String {
    let (_, rest) =
        page.body.split_once("name=\"form_token\" value=\"").unwrap_or_else(|| panic!("{}", page.body));
    rest.split_once('"').unwrap().0.to_owned()
}

/// Opens the page and sends its form with this phone.
async fn send(browser: &mut Browser, path: &str, phone: &str) -> Answer {
    let page = browser.get(path).await;
    browser.post_bare(path, &[("form_token", &token(&page)), ("phone", phone)]).await
}

/// The same, and the page that follows it.
async fn follow(browser: &mut Browser, path: &str, phone: &str) -> String {
    let sent = send(browser, path, phone).await;
    assert_eq!(sent.status, 303, "{}", sent.body);
    sent.location().to_owned()
}

/// Reads a page again whenever something happened, until it says this.
async fn arrives(served: &Served, browser: &mut Browser, path: &str, text: &str) -> Answer {
    let mut hints = served.controller.live.listen();
    let mut last = String::new();
    let reading = async {
        loop {
            let page = browser.get(path).await;
            if page.body.contains(text) {
                return page;
            }
            last = page.body;
            let _ = hints.recv().await;
        }
    };
    let found = timeout(DEADLINE, reading).await;
    found.unwrap_or_else(|_| panic!("{text:?} is not in {last}"))
}

fn phone_that(served: &Served, phone: &str, behaviour: Behaviour, delay_ms: u64) {
    let phone_set = Phone { behaviour, delay_ms, ..Phone::default() };
    served.simulator.as_ref().unwrap().handle().set_phone(phone, phone_set).unwrap();
}

/// Prompts that Daraja took.
fn prompts(served: &Served) -> usize {
    served.simulator.as_ref().unwrap().handle().prompts(0, 99).len()
}

fn shows(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(answer.body.contains(text), "{text:?} is not in {}", answer.body);
    }
}

/// Two minutes and a second, for us and for M-Pesa.
fn wait_two_minutes(served: &Served) {
    let span = Duration::from_secs(121);
    served.controller.clock.advance(span);
    served.simulator.as_ref().unwrap().handle().advance_clock(span).unwrap();
}

/// Gives the world's customer another line.
async fn add_line(served: &Served, username: &str) -> LineId {
    let world = &served.world;
    let new = NewSubscription {
        customer: world.customer.id.clone(),
        plan: world.plan.id.clone(),
        router: world.router.clone(),
        username: Username::parse(username).unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let (ids, now) = (&served.controller.ids, served.controller.clock.now());
    let mut write = served.controller.database.write().await.unwrap();
    let created = subscriptions::create(&mut write, new, ids, now).await.unwrap();
    write.commit().await.unwrap();
    let subscriptions::Created::Created(line) = created else { panic!("{created:?}") };
    line.id
}
