//! The pages of texts: what the log shows, what a template refuses, and who may change one.

use crate::messages::settings::RawSms;
use crate::messages::{about, take_over};
use crate::money::Money;
use crate::staff::Role;
use crate::web::testing::{Browser, START, Served};

/// Texts are on, and go to the log.
pub(super) async fn switch_on(served: &Served) {
    let raw: RawSms = toml::from_str("channel = \"log\"").unwrap();
    let settings = raw.check(std::path::Path::new(".")).unwrap();
    let controller = &served.controller;
    let mut write = controller.database.write().await.unwrap();
    take_over(&mut write, Some(&settings), &controller.ids, controller.clock.now()).await.unwrap();
    write.commit().await.unwrap();
}

pub(super) async fn refund(served: &Served, cause: &str) {
    let mut write = served.controller.database.write().await.unwrap();
    let customer = &served.world.customer.id;
    about::refunded(&mut write, customer, (cause, Money::from_cents(5_000), "TKQ1"), START).await.unwrap();
    write.commit().await.unwrap();
}

async fn shows(browser: &mut Browser, path: &str, expected: &[&str]) {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{path}");
    for text in expected {
        assert!(page.body.contains(text), "{path} lacks {text:?}: {}", page.body);
    }
}

#[tokio::test]
async fn the_log_shows_texts_with_masked_numbers_and_finds_them() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    shows(&mut browser, "/messages", &["Texts are not set up"]).await;
    switch_on(&served).await;
    refund(&served, "r1").await;
    let found = ["KES 50.00 of receipt TKQ1 was sent back", "2547•••••678", "waits", "1 SMS"];
    shows(&mut browser, "/messages", &found).await;
    let customer = served.world.customer.id.clone();
    for query in [
        format!("customer={customer}"),
        "occasion=refunded".to_owned(),
        "state=queued".to_owned(),
        format!("customer={customer}&occasion=refunded&state=queued&from=2020-01-01&until=2099-01-01"),
    ] {
        shows(&mut browser, &format!("/messages?{query}"), &found).await;
    }
    for query in ["occasion=connected", "state=failed", "until=2020-01-01"] {
        shows(&mut browser, &format!("/messages?{query}"), &["Nothing fits"]).await;
    }
    assert_eq!(browser.get("/messages?state=lost").await.status, 422);
    let by_number = browser.post("/messages/number", &[("number", "0712 345 678")]).await;
    assert!(by_number.body.contains("was sent back"), "{}", by_number.body);
    let nobody = browser.post("/messages/number", &[("number", "0799 999 999")]).await;
    assert!(nobody.body.contains("Nothing fits"));
    assert_eq!(browser.post("/messages/number", &[("number", "12")]).await.status, 422);
    shows(&mut browser, &format!("/customers/{customer}"), &["was sent back", "All texts to this customer"])
        .await;
    served.stop().await;
}

#[tokio::test]
async fn a_page_of_texts_ends_where_the_next_begins() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Viewer).await;
    switch_on(&served).await;
    for number in 0..60 {
        refund(&served, &format!("r{number}")).await;
    }
    let first = browser.get("/messages").await.body;
    assert_eq!(first.matches("<tr data-key=").count(), 50);
    let next = first.split("class=\"button\" href=\"/messages?before=").nth(1).unwrap();
    let next = next.split('"').next().unwrap();
    let second = browser.get(&format!("/messages?before={next}")).await.body;
    assert_eq!(second.matches("<tr data-key=").count(), 10);
    served.stop().await;
}

#[tokio::test]
async fn a_template_is_previewed_checked_and_saved_by_owners_alone() {
    let served = Served::start().await;
    switch_on(&served).await;
    let mut owner = served.browser(Role::Owner).await;
    let path = "/messages/templates/refunded/en";
    shows(&mut owner, "/messages/templates", &["Refund", "KES 1,500.00 of receipt TKQ1A2B3C4", "1 SMS"])
        .await;
    shows(&mut owner, path, &["{amount}", "Preview", "{balance}"]).await;
    let preview = owner.post(path, &[("body", "Sent: {amount} <b>"), ("act", "preview")]).await;
    assert_eq!(preview.status, 200);
    assert!(preview.body.contains("Sent: 1,500.00 &#60;b&#62;"), "{}", preview.body);
    let refused = owner.post(path, &[("body", "Sent {until}"), ("act", "save")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("{until} is not known here"), "{}", refused.body);
    shows(&mut owner, "/messages/templates", &["KES 1,500.00 of receipt"]).await;
    let saved = owner.post(path, &[("body", "Sent back: {amount}"), ("act", "save")]).await;
    assert_eq!(saved.status, 303);
    shows(&mut owner, "/messages/templates", &["Sent back: 1,500.00", "changed"]).await;
    refund(&served, "r1").await;
    shows(&mut owner, "/messages", &["Sent back: 50.00"]).await;
    owner.post(path, &[("body", "Sent back: {amount}"), ("act", "default")]).await;
    shows(&mut owner, "/messages/templates", &["KES 1,500.00 of receipt"]).await;
    assert_eq!(owner.get("/messages/templates/birthday/en").await.status, 404);
    assert_eq!(owner.get("/messages/templates/refunded/fr").await.status, 404);
    let ends = "/messages/templates/suspended/en";
    for (body, cure) in
        [("Pay: {pay_link}", "public_url in [server]"), ("Pay to {paybill}", "fill in [mpesa]")]
    {
        let refused = owner.post(ends, &[("body", body), ("act", "save")]).await;
        assert!(refused.status == 422 && refused.body.contains(cure), "{}", refused.body);
    }
    let mut write = served.controller.database.write().await.unwrap();
    let known = "INSERT INTO message_addresses VALUES ('payee', 'till 512345'), ('public_url', 'https://isp.example')";
    sqlx::query(known).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let body = "Pay: {pay_link} or {paybill}";
    assert_eq!(owner.post(ends, &[("body", body), ("act", "save")]).await.status, 303);
    let mut operator = served.browser(Role::Operator).await;
    shows(&mut operator, path, &["readonly"]).await;
    assert_eq!(operator.post(path, &[("body", "x"), ("act", "save")]).await.status, 403);
    served.stop().await;
}

#[tokio::test]
async fn a_customer_is_written_to_in_the_language_that_staff_chose_and_a_test_goes_anywhere() {
    let served = Served::start().await;
    switch_on(&served).await;
    let mut operator = served.browser(Role::Operator).await;
    let customer = served.world.customer.id.clone();
    let path = format!("/customers/{customer}/language");
    assert_eq!(operator.post(&path, &[("language", "sw")]).await.status, 303);
    refund(&served, "r1").await;
    shows(&mut operator, &format!("/customers/{customer}"), &["zimerudishwa kwa simu", "selected"]).await;
    assert_eq!(operator.post("/customers/nobody/language", &[("language", "sw")]).await.status, 404);
    let test = [("number", "0722 000 111"), ("language", "sw")];
    assert_eq!(operator.post("/messages/test", &test).await.status, 303);
    shows(&mut operator, "/messages?occasion=test", &["Hili ni jaribio", "2547•••••111"]).await;
    operator.post("/messages/test", &[("number", "12")]).await;
    shows(&mut operator, "/messages", &["Nothing was sent"]).await;
    let mut viewer = served.browser(Role::Viewer).await;
    assert_eq!(viewer.post("/messages/test", &test).await.status, 403);
    served.stop().await;
}
