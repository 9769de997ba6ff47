//! Sites are added and get tickets on pages and by the API, each of which shows a ticket once.

use serde_json::json;
use tawi_shared::enrolment::Ticket;

use crate::audit;
use crate::broker::BrokerSettings;
use crate::live::Hint;
use crate::pki::Pki;
use crate::sites::enrolment::Tickets;
use crate::staff::Role;
use crate::testing::TemporaryDirectory;
use crate::web::testing::{START, Served};

async fn served() -> (Served, TemporaryDirectory) {
    let directory = TemporaryDirectory::new();
    let pki = Pki::open_or_create(directory.path(), START).unwrap();
    let tickets = Tickets::new(&pki, &BrokerSettings::default());
    (Served::start_with(|web| web.tickets = Some(tickets), false).await, directory)
}

/// The ticket in the line to paste.
fn ticket_on(page: &str) -> String {
    let (_, line) = page.split_once("echo ").expect("a line to paste");
    line.split_once(' ').unwrap().0.to_owned()
}

#[tokio::test]
async fn an_owner_adds_a_site_and_is_shown_its_ticket_once() {
    let (served, _directory) = served().await;
    let mut owner = served.browser(Role::Owner).await;
    assert!(owner.get("/sites").await.body.contains("Add site"));
    let page = owner.post("/sites", &[("id", "othaya-01"), ("name", "Othaya")]).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    let shown = ticket_on(&page.body);
    assert_eq!(Ticket::parse(&shown).unwrap().site.as_str(), "othaya-01");
    for words in
        ["<svg class=\"qr\"", "download=\"othaya-01.ticket\"", "sudo tawi-agent router add core", "EAT"]
    {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let site = owner.get("/sites/othaya-01").await.body;
    assert!(site.contains("Ticket waits until") && site.contains("none yet"), "{site}");
    assert!(!site.contains(&shown));
    let again = owner.post("/sites/othaya-01/tickets", &[]).await;
    assert_ne!(ticket_on(&again.body), shown);
    for (fields, complaint) in [
        ([("id", "othaya-01"), ("name", "")], "there is a site of that id already"),
        ([("id", "Othaya"), ("name", "")], "id-complaint"),
        ([("id", "new"), ("name", &"x".repeat(81))], "at most 80 characters"),
    ] {
        let refused = owner.post("/sites", &fields).await;
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains(complaint), "{complaint}: {}", refused.body);
    }
    assert_eq!(owner.post("/sites/nobody/tickets", &[]).await.status, 404);
    let mut hints = served.controller.live.listen();
    assert_eq!(owner.post("/sites/othaya-01/revoke", &[]).await.status, 303, "the box was not ticked");
    assert!(!owner.get("/sites/othaya-01").await.body.contains("This site is revoked"));
    assert_eq!(owner.post("/sites/othaya-01/revoke", &[("confirm", "yes")]).await.status, 303);
    let site = owner.get("/sites/othaya-01").await.body;
    assert!(site.contains("This site is revoked") && !site.contains("Shut the site out"), "{site}");
    assert!(!site.contains("Ticket waits until"), "nobody comes in with it any more");
    assert_eq!(owner.post("/sites/nobody/revoke", &[("confirm", "yes")]).await.status, 404);
    let is_told = |hint: &Hint| matches!(hint, Hint::Revoked(site) if site.as_str() == "othaya-01");
    while !is_told(&hints.recv().await.unwrap()) {}
    assert_eq!(owner.post_bare("/sites/othaya-01/tickets", &[]).await.status, 403, "from another page");
    let mut read = served.controller.database.read().await.unwrap();
    let rows = audit::store::latest(&mut read, 20).await.unwrap();
    let made = rows.iter().filter(|row| row.action == "site.token_made").count();
    assert_eq!((made, rows.iter().any(|row| row.action == "site.added")), (2, true));
    assert_eq!(rows.iter().filter(|row| row.action == "site.revoked").count(), 1);
    drop(read);
    for role in [Role::Operator, Role::Viewer] {
        let mut browser = served.browser(role).await;
        assert!(!browser.get("/sites").await.body.contains("Add site"));
        assert!(!browser.get("/sites/othaya-01").await.body.contains("New ticket"));
        assert_eq!(browser.post("/sites", &[("id", "b")]).await.status, 403);
        assert_eq!(browser.post("/sites/othaya-01/tickets", &[]).await.status, 403);
        assert_eq!(browser.post("/sites/othaya-01/revoke", &[("confirm", "yes")]).await.status, 403);
    }
    served.stop().await;
}

#[tokio::test]
async fn a_program_is_given_a_ticket_once_and_none_lies_in_the_database() {
    let (served, _directory) = served().await;
    let program = served.program(Role::Owner).await;
    let body = json!({"id": "othaya-01", "name": "Othaya"});
    let added = program.post_as("k", "/api/sites", &body).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let ticket = added.json()["ticket"].as_str().unwrap().to_owned();
    assert_eq!(Ticket::parse(&ticket).unwrap().site.as_str(), "othaya-01");
    let again = program.post_as("k", "/api/sites", &body).await;
    assert_eq!(again.status, 201);
    assert!(again.json()["ticket"].is_null() && again.json()["expires_at_ms"].is_i64(), "{}", again.body);
    assert_eq!(program.post("/api/sites", &body).await.status, 409);
    assert_eq!(program.post("/api/sites", &json!({"id": "Not an id"})).await.status, 422);
    let newer = program.post("/api/sites/othaya-01/tickets", &json!({})).await;
    assert_eq!(newer.status, 201);
    assert_ne!(newer.json()["ticket"].as_str().unwrap(), ticket);
    assert_eq!(program.post("/api/sites/nobody/tickets", &json!({})).await.status, 404);
    let operator = served.program(Role::Operator).await;
    assert_eq!(operator.post("/api/sites/othaya-01/tickets", &json!({})).await.status, 403);
    let mut read = served.controller.database.read().await.unwrap();
    let kept: Vec<(String,)> =
        sqlx::query_as("SELECT body FROM idempotency_keys").fetch_all(&mut *read).await.unwrap();
    assert!(kept.len() >= 2 && kept.iter().all(|(body,)| !body.contains("tawi1.")), "{kept:?}");
    drop(read);
    served.stop().await;
}
