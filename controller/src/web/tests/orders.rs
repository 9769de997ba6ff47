//! What people order of routers, on pages.

use sqlx::{Executor as _, Row as _};
use tawi_shared::wire::{
    AnswerV1, CommandKind, CommandResultV1, CommandStatus, HeldPlanV1, RouterWriteV1, WriteStatus,
};

use super::adoption::hidden;
use crate::commands::{self, Command, Standing};
use crate::staff::Role;
use crate::web::testing::{Browser, START, Served};
use crate::{held_plans, router_writes};

impl Served {
    pub(super) async fn newest_command(&self) -> Option<Command> {
        let mut read = self.controller.database.read().await.unwrap();
        commands::latest_of(&mut read, &self.world.site, 1).await.unwrap().pop()
    }

    pub(super) async fn count(&self, query: &'static str) -> i64 {
        let mut read = self.controller.database.read().await.unwrap();
        sqlx::query(query).fetch_one(&mut *read).await.unwrap().try_get(0).unwrap()
    }

    pub(super) async fn text(&self, query: &'static str) -> String {
        let mut read = self.controller.database.read().await.unwrap();
        sqlx::query(query).fetch_one(&mut *read).await.unwrap().try_get(0).unwrap()
    }

    pub(super) async fn execute(&self, sql: &'static str) {
        let mut write = self.controller.database.write().await.unwrap();
        write.execute(sql).await.unwrap();
        write.commit().await.unwrap();
    }

    /// The site tells what a command asked to know.
    pub(super) async fn knows(&self, command: &str, text: &str) {
        let bytes = text.as_bytes().to_vec();
        let answer = AnswerV1 { command: command.to_owned(), part: 0, parts: 1, bytes };
        let mut write = self.controller.database.write().await.unwrap();
        assert!(commands::answers::take(&mut write, &self.world.site, &answer, START).await.unwrap());
        write.commit().await.unwrap();
    }

    /// The site answers the newest command.
    pub(super) async fn answer(&self, status: CommandStatus, detail: &str) {
        let id = self.newest_command().await.unwrap().id.to_string();
        let result = CommandResultV1 { id, status: status.code(), at_ms: 1, detail: detail.into() };
        let mut write = self.controller.database.write().await.unwrap();
        commands::take_result(&mut write, &self.world.site, &result, START).await.unwrap().unwrap();
        write.commit().await.unwrap();
    }

    pub(super) async fn hold(&self, digest: &str, lines_total: u32) {
        let lines = vec![self.world.line.to_string(), "gone".to_owned()];
        let plan = HeldPlanV1 {
            router: "core".into(),
            digest: digest.into(),
            lines_total,
            lines_working: 30,
            lines,
            at_ms: START.0,
        };
        let mut write = self.controller.database.write().await.unwrap();
        held_plans::take(&mut write, &self.world.site, &plan).await.unwrap();
        write.commit().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_held_is_shown_with_its_lines_and_let_go_by_whoever_may() {
    let served = Served::start().await;
    let (mut operator, mut viewer) =
        (served.browser(Role::Operator).await, served.browser(Role::Viewer).await);
    let to = "/sites/nyeri-01/routers/core/let-go";
    served.hold("abc123", 25).await;
    for page in ["/", "/sites/nyeri-01"] {
        let shown = viewer.get(page).await.body;
        assert!(
            shown.contains("25 of 30 working lines would lose access; waits for a person"),
            "{page}: {shown}"
        );
    }
    let shown = viewer.get("/sites/nyeri-01").await.body;
    assert!(shown.contains(&served.world.customer.name) && shown.contains("And 23 more"), "{shown}");
    assert!(!shown.contains("Cut 25 lines off"), "a viewer has no button");
    assert_eq!(viewer.post(to, &[("confirm", "yes"), ("digest", "abc123")]).await.status, 403);
    assert_eq!(operator.post_bare(to, &[("confirm", "yes"), ("digest", "abc123")]).await.status, 403);
    assert!(operator.get("/sites/nyeri-01").await.body.contains("Cut 25 lines off"));
    operator.post(to, &[("digest", "abc123")]).await;
    operator.post(to, &[("confirm", "yes"), ("digest", "abc122")]).await;
    assert!(operator.get("/sites/nyeri-01").await.body.contains("what is held has changed meanwhile"));
    assert!(served.newest_command().await.is_none(), "without the tick nothing is ordered");
    assert_eq!(operator.post(to, &[("confirm", "yes"), ("digest", "abc123")]).await.status, 303);
    let command = served.newest_command().await.unwrap();
    assert_eq!((command.kind, command.argument.as_str()), (Some(CommandKind::ReleaseHeld), "abc123"));
    assert!(command.actor.starts_with("staff:operator"), "{}", command.actor);
    let audited = served.text("SELECT detail FROM audit_log WHERE action = 'command.given'").await;
    assert!(audited.ends_with("on router core: 25 lines"), "{audited}");
    served.answer(CommandStatus::Failed, "what is held has changed; look again").await;
    assert!(viewer.get("/sites/nyeri-01").await.body.contains("look again"));
    served.hold("", 0).await;
    assert!(!viewer.get("/").await.body.contains("would lose access"));
    served.stop().await;
}

#[tokio::test]
async fn sessions_end_and_routers_are_rebuilt_by_order() {
    let served = Served::start().await;
    let mut operator = served.browser(Role::Operator).await;
    let line = served.world.line.to_string();
    let customer = format!("/customers/{}", served.world.customer.id);
    assert!(operator.get(&customer).await.body.contains("End its sessions"));
    let answer = operator.post(&format!("/subscriptions/{line}/end-sessions"), &[]).await;
    assert_eq!((answer.status, answer.location()), (303, customer.as_str()));
    let command = served.newest_command().await.unwrap();
    assert_eq!(
        (command.kind, command.line.map(|line| line.to_string())),
        (Some(CommandKind::Kick), Some(line))
    );
    let to = "/sites/nyeri-01/routers/core/rebuild";
    operator.post(to, &[]).await;
    assert_eq!(served.count("SELECT COUNT(*) FROM commands").await, 1);
    operator.post(to, &[("confirm", "yes")]).await;
    assert_eq!(served.count("SELECT COUNT(*) FROM commands WHERE kind = 3 AND standing = 'queued'").await, 1);
    let nowhere = operator.post("/sites/nyeri-01/routers/attic/rebuild", &[("confirm", "yes")]).await;
    assert_eq!(nowhere.status, 404);
    let mut write = served.controller.database.write().await.unwrap();
    let late = START.plus(commands::LASTS * 2);
    assert_eq!(commands::store::close_late(&mut write, late, 10).await.unwrap().len(), 2);
    write.commit().await.unwrap();
    assert_eq!(served.newest_command().await.unwrap().standing, Standing::Expired);
    served.stop().await;
}

#[tokio::test]
async fn a_viewer_orders_nothing_of_a_router() {
    let served = Served::start().await;
    let mut viewer = served.browser(Role::Viewer).await;
    let program = served.program(Role::Viewer).await;
    served.hold("abc123", 25).await;
    let line = served.world.line.to_string();
    let shown = viewer.get("/sites/nyeri-01").await.body;
    assert!(
        !shown.contains("/rebuild") && !shown.contains("/let-go"),
        "no button that would be refused: {shown}"
    );
    let confirmed = [("confirm", "yes"), ("digest", "abc123")];
    for to in ["/sites/nyeri-01/routers/core/rebuild", "/sites/nyeri-01/routers/core/let-go"] {
        assert_eq!(viewer.post(to, &confirmed).await.status, 403, "{to}");
    }
    assert_eq!(viewer.post(&format!("/subscriptions/{line}/end-sessions"), &[]).await.status, 403);
    for body in [
        serde_json::json!({"kind": "rebuild", "site_id": "nyeri-01", "router_name": "core"}),
        serde_json::json!({"kind": "release_held", "site_id": "nyeri-01", "router_name": "core", "digest": "abc123"}),
        serde_json::json!({"kind": "kick", "subscription_id": line}),
    ] {
        let answer = program.post("/api/commands", &body).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (403, Some("forbidden")),
            "{body}"
        );
    }
    assert_eq!(served.count("SELECT COUNT(*) FROM commands").await, 0);
    // Whoever may does the same.
    let mut operator = served.browser(Role::Operator).await;
    for to in ["/sites/nyeri-01/routers/core/rebuild", "/sites/nyeri-01/routers/core/let-go"] {
        assert_eq!(operator.post(to, &confirmed).await.status, 303, "{to}");
    }
    assert_eq!(served.count("SELECT COUNT(*) FROM commands").await, 2);
    served.stop().await;
}

#[tokio::test]
async fn a_line_that_is_held_is_listed_once_and_other_lines_that_fail_beside_it() {
    let served = Served::start().await;
    let mut viewer = served.browser(Role::Viewer).await;
    let failing = async |viewer: &mut Browser| {
        let body = viewer.get("/sites/nyeri-01").await.body;
        let part =
            body.split("id=\"failing\"").nth(1).unwrap().split("</section>").next().unwrap().to_owned();
        (part.matches("line-1").count(), part)
    };
    served
        .execute(
            "UPDATE sites SET failures_total = 1; UPDATE subscriptions SET failure = 'held by the guard'",
        )
        .await;
    assert_eq!(failing(&mut viewer).await.0, 1, "held, and it is not known by whom");
    served.hold("abc123", 1).await;
    let (lines, part) = failing(&mut viewer).await;
    assert!(lines == 0 && part.contains("None besides those that are held"), "{part}");
    assert!(!part.contains("Failing altogether"), "{part}");
    served.execute("UPDATE subscriptions SET failure = 'another row has its name'").await;
    assert_eq!(failing(&mut viewer).await.0, 1, "it fails for another reason than the guard");
    served.stop().await;
}

#[tokio::test]
async fn the_api_log_is_searched_on_a_page_and_linked_from_site_and_customer() {
    let served = Served::start().await;
    let mut viewer = served.browser(Role::Viewer).await;
    assert!(viewer.get("/router-writes").await.body.contains("No write in the last week"));
    let mut write = served.controller.database.write().await.unwrap();
    for seq in 1..=60 {
        let kept = RouterWriteV1 {
            at_ms: START.0 - 1_000,
            router: "core".into(),
            operation: "/ppp/secret/set".into(),
            parameters: format!("name=<b>{seq}</b> password=***"),
            line: None,
            status: WriteStatus::Refused.code(),
            detail: "no such item".into(),
        };
        let line = (seq == 7).then_some(&served.world.line);
        router_writes::keep(&mut write, &served.world.site, (1, seq, 0), &kept, line, START).await.unwrap();
    }
    write.commit().await.unwrap();
    let shown = viewer.get("/router-writes").await.body;
    assert!(shown.contains("refused") && shown.contains("no such item") && !shown.contains("<b>"), "{shown}");
    let older = shown.split("href=\"").find(|part| part.starts_with("/router-writes?before=")).unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
    let rest = viewer.get(&older).await.body;
    assert_eq!(rest.matches("/ppp/secret/set").count(), 10, "{rest}");
    let of_customer = format!("/router-writes?customer={}", served.world.customer.id);
    assert_eq!(viewer.get(&of_customer).await.body.matches("/ppp/secret/set").count(), 1);
    assert!(viewer.get("/router-writes?text=%3Cb%3E33").await.body.contains("&#60;b&#62;33"));
    let bad = viewer.get("/router-writes?from=yesterday").await;
    assert!(bad.status == 422 && bad.body.contains("2026-11-26T14:05"), "{}", bad.body);
    assert!(viewer.get("/sites/nyeri-01").await.body.contains("/router-writes?site=nyeri-01"));
    served.stop().await;
}

#[tokio::test]
async fn a_payment_of_nobody_is_looked_at_and_given_to_whom_the_payer_meant() {
    let served = Served::start().await;
    let (mut operator, mut viewer) =
        (served.browser(Role::Operator).await, served.browser(Role::Viewer).await);
    served
        .execute(
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, phone, \
                                   account_reference, no_owner, received_at, booked_at) \
             VALUES ('p1', 'mpesa', 'RKL51ZDR4F', 150000, '174379', '2547 ***** 678', 'rent', 'not_an_account', 1, 1);
             INSERT INTO receipts VALUES (1, 'p1', 1);
             INSERT INTO ledger_accounts (id, kind, created_at) VALUES ('suspense', 'suspense', 1), \
                                                                       ('mpesa_clearing:174379', 'mpesa_clearing', 1);
             INSERT INTO ledger_postings VALUES ('e1', 0, 'mpesa_clearing:174379', 150000), \
                                                ('e1', 1, 'suspense', -150000);
             INSERT INTO ledger_entries (id, booked_at, cause_kind, cause_id, actor) \
             VALUES ('e1', 1, 'payment', 'p1', 'mpesa');",
        )
        .await;
    let to = "/payments/p1/assign";
    assert!(
        !viewer.get("/payments/review").await.body.contains("&#34;rent"),
        "what payers type stands in no list"
    );
    let shown = viewer.get("/payments/p1").await.body;
    assert!(shown.contains("neither an account number nor a phone") && !shown.contains(to), "{shown}");
    assert!(shown.contains("typed was &#34;rent&#34;"), "{shown}");
    assert_eq!(viewer.get(to).await.status, 403);
    assert!(operator.get("/payments/p1").await.body.contains(to));
    let (customer, line) = (served.world.customer.id.to_string(), served.world.line.to_string());
    let name = served.world.customer.name.clone();
    let shown = operator.get(to).await.body;
    assert!(shown.contains(&name) && shown.contains("fits the payer"), "{shown}");
    let search = format!("{to}/search");
    assert!(shown.contains(&format!("method=\"post\" action=\"{search}\"")), "{shown}");
    assert!(!shown.contains("method=\"get\""), "no name and no number stands in an address: {shown}");
    assert!(operator.post(&search, &[("q", "Nobody")]).await.body.contains("Nobody is found"));
    let number = served.world.customer.account_number.to_string();
    assert!(operator.post(&search, &[("q", &number)]).await.body.contains(&name));
    assert_eq!(viewer.post(&search, &[("q", &number)]).await.status, 403);
    let shown = operator.get(&format!("{to}?customer={customer}")).await.body;
    assert!(shown.contains("Give KES 1,500") && shown.contains("line-1"), "{shown}");
    let fields = [("customer", customer.as_str()), ("subscription", line.as_str())];
    assert_eq!(viewer.post(to, &fields).await.status, 403);
    assert_eq!(operator.post_bare(to, &fields).await.status, 403);
    assert_eq!(operator.post(to, &[("customer", "nobody"), ("subscription", "wallet")]).await.status, 422);
    assert_eq!(operator.post(to, &fields).await.location(), "/payments/p1");
    assert!(operator.get("/payments/p1").await.body.contains("has bought a period"));
    operator.post(to, &fields).await;
    assert!(operator.get("/payments/p1").await.body.contains("theirs already"));
    let bought = served.count("SELECT COUNT(*) FROM ledger_entries WHERE cause_kind = 'period'").await;
    assert_eq!(bought, 1);
    let noted = served.count("SELECT COUNT(*) FROM audit_log WHERE action = 'payment.assigned'").await;
    assert_eq!(noted, 1);
    served.stop().await;
}

#[tokio::test]
async fn cash_is_taken_at_the_counter_once_and_signed_off_by_an_owner() {
    let served = Served::start().await;
    let mut viewer = served.browser(Role::Viewer).await;
    let mut operator = served.browser(Role::Operator).await;
    let mut owner = served.browser(Role::Owner).await;
    let (customer, line) = (served.world.customer.id.to_string(), served.world.line.to_string());
    let (page, counter) = (format!("/customers/{customer}"), format!("/customers/{customer}/counter"));
    assert!(!viewer.get(&page).await.body.contains(&counter));
    assert_eq!(viewer.get(&counter).await.status, 403);
    assert!(operator.get(&page).await.body.contains(&counter));
    let form = operator.get(&counter).await.body;
    let (_, occasion) = hidden(&form).into_iter().find(|(name, _)| name == "occasion").unwrap();
    let brings = |amount| {
        [
            ("occasion", occasion.as_str()),
            ("means", "cash"),
            ("subscription", line.as_str()),
            ("amount", amount),
        ]
    };
    assert_eq!(operator.post(&counter, &brings("a lot")).await.status, 422);
    let over = operator.post(&counter, &brings("50,001")).await;
    assert!(over.status == 422 && over.body.contains("50,000.00 at once"), "{}", over.body);
    let booked = operator.post(&counter, &brings("1500")).await;
    assert_eq!(booked.status, 303, "{}", booked.body);
    let to = booked.location().to_owned();
    let shown = operator.get(&to).await.body;
    for wanted in ["has bought what it was for", "Taken at the counter", "Receipt 1"] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let receipt = operator.get(&format!("{to}/receipt")).await.body;
    for wanted in [">1</span></h1>", "Cash", "KES 1,500.00", "Taken by"] {
        assert!(receipt.contains(wanted), "{wanted}: {receipt}");
    }
    let again = operator.post(&counter, &brings("1500")).await;
    assert_eq!((again.status, again.location()), (303, to.as_str()));
    assert!(operator.get(&to).await.body.contains("booked once"));
    let held = operator.get("/cash").await.body;
    assert!(held.contains("KES 1,500.00") && !held.contains("/cash/bank"), "{held}");
    let signing = owner.get("/cash").await.body;
    let holder = signing.split("<option value=\"").nth(1).unwrap().split('"').next().unwrap();
    let slip = |amount, slip| [("holder", holder), ("amount", amount), ("slip", slip)];
    assert_eq!(operator.post("/cash/bank", &slip("1500", "S1")).await.status, 403);
    assert!(signing.contains("/cash/bank"));
    let more = owner.post("/cash/bank", &slip("1501", "S1")).await;
    assert!(more.status == 422 && more.body.contains("bring no more to the bank"), "{}", more.body);
    assert_eq!(owner.post("/cash/bank", &slip("1500", "S1")).await.status, 303);
    assert!(owner.get("/cash").await.body.contains("Nobody holds cash"));
}

#[tokio::test]
async fn settings_are_set_on_the_page_of_a_site_by_whoever_may_command_it() {
    let served = Served::start().await;
    let (mut operator, mut viewer) =
        (served.browser(Role::Operator).await, served.browser(Role::Viewer).await);
    let path = "/sites/nyeri-01/settings";
    assert!(!viewer.get("/sites/nyeri-01").await.body.contains("Set from here"));
    assert_eq!(viewer.post(path, &[("log_level", "debug")]).await.status, 403);
    assert_eq!(operator.post_bare(path, &[("log_level", "debug")]).await.status, 403);
    assert_eq!(operator.post("/sites/nowhere/settings", &[("log_level", "debug")]).await.status, 404);
    assert_eq!(operator.post(path, &[("kilobytes_an_hour", "5")]).await.status, 303);
    let shown = operator.get("/sites/nyeri-01").await.body;
    assert!(
        shown.contains("5 is out of range; use 10 to 10000000") && !shown.contains("on the way</span>"),
        "{shown}"
    );
    assert_eq!(operator.post(path, &[("kilobytes_an_hour", "50"), ("report_seconds", "")]).await.status, 303);
    let shown = operator.get("/sites/nyeri-01").await.body;
    assert!(shown.contains("kilobytes_an_hour 50") && shown.contains("on the way"), "{shown}");
    let audited = "SELECT detail FROM audit_log WHERE action = 'site.settings_changed'";
    assert_eq!(served.text(audited).await, "kilobytes_an_hour: as the device has it -> 50");
    // A page that was opened before does not undo it.
    assert_eq!(operator.post(path, &[("seen", "0"), ("log_level", "debug")]).await.status, 303);
    assert!(operator.get("/sites/nyeri-01").await.body.contains("somebody changed them after this page"));
    assert!(
        served.browser(Role::Viewer).await.get("/sites/nyeri-01").await.body.contains("has not said yet")
    );
    // What the site says of it is text, and of a revision.
    served
        .execute(
            "UPDATE site_settings_standing SET heard_revision = 1, heard_at = 1, is_kept = 0, \
             refused = 'kilobytes_an_hour <b>no</b>'",
        )
        .await;
    let shown = operator.get("/sites/nyeri-01").await.body;
    assert!(
        shown.contains("refused") && !shown.contains("<b>no") && shown.contains("disk takes nothing"),
        "{shown}"
    );
    // An empty form takes all of it back.
    assert_eq!(operator.post(path, &[("seen", "1")]).await.status, 303);
    assert!(!operator.get("/sites/nyeri-01").await.body.contains("kilobytes_an_hour 50"));
    served.stop().await;
}

#[tokio::test]
async fn the_agent_itself_is_asked_by_whoever_may_and_what_it_answers_is_shown() {
    let served = Served::start().await;
    let (mut operator, mut viewer) =
        (served.browser(Role::Operator).await, served.browser(Role::Viewer).await);
    let ask = |what: &str| format!("/sites/nyeri-01/ask/{what}");
    assert!(!viewer.get("/sites/nyeri-01").await.body.contains("Ask the agent"));
    assert_eq!(viewer.post(&ask("doctor"), &[]).await.status, 403);
    assert_eq!(operator.post_bare(&ask("doctor"), &[]).await.status, 403);
    assert_eq!(operator.post(&ask("everything"), &[]).await.status, 404);
    assert_eq!(operator.post(&ask("log-level"), &[("level", "loud")]).await.status, 303);
    assert!(served.newest_command().await.is_none(), "nothing is ordered");

    assert_eq!(operator.post(&ask("doctor"), &[]).await.status, 303);
    let command = served.newest_command().await.unwrap();
    assert_eq!((command.kind, command.router.as_str()), (Some(CommandKind::Doctor), ""));
    let file = format!("/sites/nyeri-01/commands/{}/answer", command.id);
    assert_eq!(operator.get(&file).await.status, 404, "it has not come");
    let report = r#"{"good":1,"doubtful":0,"bad":1,"findings":[{"group":"router core","check":"login",
        "verdict":"bad","detail":"<b>refused</b>","cure":"set the password"}]}"#;
    served.knows(command.id.as_str(), report).await;
    served.answer(CommandStatus::Succeeded, "1 good, 0 doubtful, 1 bad").await;
    let shown = operator.get("/sites/nyeri-01").await.body;
    for words in ["router core", "Cure: set the password", "1 good, 0 doubtful, 1 bad"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("<b>refused"), "what a site says is text");
    assert_eq!(viewer.get(&file).await.status, 403);
    let saved = operator.get(&file).await;
    assert_eq!((saved.status, saved.body.as_str(), saved.header("cache-control")), (200, report, "no-store"));
    assert!(saved.header("content-disposition").contains("nyeri-01-doctor-"));

    let before = "UPDATE commands SET created_at = created_at - 1000";
    served.execute(before).await;
    operator.post(&ask("log-level"), &[("level", "debug")]).await;
    assert_eq!(served.newest_command().await.unwrap().argument, "debug");
    let audited = "SELECT detail FROM audit_log WHERE action = 'command.given' AND detail LIKE 'set%'";
    assert_eq!(served.text(audited).await, "set log level debug");
    served.execute(before).await;
    operator.post(&ask("watch"), &[]).await;
    let watch = served.newest_command().await.unwrap();
    served
        .knows(watch.id.as_str(), r#"{"summary":"connected; 3 lines","problems":["the disk is full"]}"#)
        .await;
    let shown = operator.get("/sites/nyeri-01").await.body;
    assert!(shown.contains("connected; 3 lines") && shown.contains("the disk is full"), "{shown}");
    // Of another form than this release knows: a file, and no page that breaks.
    served.knows(command.id.as_str(), "[1]").await;
    assert!(operator.get("/sites/nyeri-01").await.body.contains("answers in another form"));
    served.stop().await;
}
