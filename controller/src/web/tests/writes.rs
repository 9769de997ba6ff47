//! Writes through the API: done once, by whom may, and noted.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use sqlx::Row as _;
use tower::ServiceExt as _;

use crate::audit;
use crate::live::Hint;
use crate::shutdown::Shutdown;
use crate::staff::Role;
use crate::web::testing::{DEADLINE, SESSION, Served};
use crate::web::{Web, router};

#[tokio::test]
async fn the_same_key_and_body_give_the_same_answer_and_one_customer() {
    let served = Served::start().await;
    let program = served.program(Role::Operator).await;
    let body = json!({"name": "Bakery", "phone": "0733000111"});
    let first = program.post_as("key-1", "/api/customers", &body).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = program.post_as("key-1", "/api/customers", &body).await;
    assert_eq!((second.status, &second.body), (201, &first.body));
    let list = program.read("/api/customers?query=Bakery").await;
    assert_eq!(list["customers"].as_array().unwrap().len(), 1);

    let other = json!({"name": "Bakery", "phone": "0733000112"});
    let refused = program.post_as("key-1", "/api/customers", &other).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["error"]["code"], "idempotency_key");
    let elsewhere = program.post_as("key-1", "/api/routers", &body).await;
    assert_eq!(elsewhere.status, 422, "{}", elsewhere.body);

    let neighbour = served.program(Role::Operator).await;
    let theirs = neighbour.post_as("key-1", "/api/customers", &body).await;
    assert_eq!(theirs.status, 201, "keys of different programs do not meet");
    assert_ne!(theirs.body, first.body);
    served.stop().await;
}

#[tokio::test]
async fn the_same_request_sent_many_times_at_once_is_done_once() {
    let served = Served::start().await;
    let program = served.program(Role::Operator).await;
    let body = json!({"name": "Clinic", "phone": "0733000111"});
    let answers = tokio::join!(
        program.post_as("key", "/api/customers", &body),
        program.post_as("key", "/api/customers", &body),
        program.post_as("key", "/api/customers", &body),
        program.post_as("key", "/api/customers", &body),
    );
    let answers = [answers.0, answers.1, answers.2, answers.3];
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body));
    let list = program.read("/api/customers?query=Clinic").await;
    assert_eq!(list["customers"].as_array().unwrap().len(), 1);
    served.stop().await;
}

#[tokio::test]
async fn a_refused_write_keeps_nothing_and_its_key_stays_free() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let refused = program.post_as("key", "/api/customers", &json!({"name": "", "phone": "0733000111"})).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["error"]["code"], "invalid");
    assert!(!refused.json()["error"]["cure"].as_str().unwrap().is_empty());
    let better = json!({"name": "Dairy", "phone": "0733000111"});
    assert_eq!(program.post_as("key", "/api/customers", &better).await.status, 201);
    served.stop().await;
}

#[tokio::test]
async fn a_write_without_a_good_key_is_refused() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let body = json!({"name": "Garage", "phone": "0733000111"});
    let request = program.client.post(format!("{}/api/customers", program.base)).bearer_auth(&program.token);
    assert_eq!(request.json(&body).send().await.unwrap().status(), 400);
    for bad in ["", "with space", &"x".repeat(101)] {
        assert_eq!(program.post_as(bad, "/api/customers", &body).await.status, 400, "{bad:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn roles_decide_what_a_token_may_do() {
    let served = Served::start().await;
    let (viewer, operator) = (served.program(Role::Viewer).await, served.program(Role::Operator).await);
    let customer = json!({"name": "School", "phone": "0733000111"});
    let line = served.world.line.clone();
    for path in ["/api/overview", "/api/customers", "/api/sites", "/api/plans"] {
        assert_eq!(viewer.get(path).await.status, 200, "{path}");
    }
    let refused = viewer.post("/api/customers", &customer).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (403, Some("forbidden")));
    for path in ["hold", "release", "payment-requests"] {
        let path = format!("/api/subscriptions/{line}/{path}");
        assert_eq!(viewer.post(&path, &json!({})).await.status, 403, "{path}");
    }
    for order in [
        json!({"kind": "kick", "subscription_id": line}),
        json!({"kind": "list_foreign", "site_id": served.world.site, "router_name": "core"}),
    ] {
        assert_eq!(viewer.post("/api/commands", &order).await.status, 403, "{order}");
        assert_eq!(operator.post("/api/commands", &order).await.status, 201, "{order}");
    }
    assert_eq!(operator.post("/api/customers", &customer).await.status, 201);
    let router = json!({"site_id": served.world.site, "name": "edge"});
    assert_eq!(operator.post("/api/routers", &router).await.status, 403);
    served.stop().await;
}

#[tokio::test]
async fn every_write_leaves_an_audit_row_of_its_token() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let line = served.world.line.clone();
    program.post("/api/customers", &json!({"name": "Tailor", "phone": "0733000111"})).await;
    program.post(&format!("/api/subscriptions/{line}/hold"), &json!({})).await;
    let again = program.post(&format!("/api/subscriptions/{line}/hold"), &json!({})).await;
    assert_eq!(again.status, 200);
    let mut reader = served.controller.database.read().await.unwrap();
    let rows = audit::store::latest(&mut reader, 10).await.unwrap();
    let mut actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["customer.added", "subscription.held"], "what changed nothing leaves no row");
    assert!(rows.iter().all(|row| row.actor.starts_with("token:owner-")), "{rows:?}");
    drop(reader);
    served.stop().await;
}

#[tokio::test]
async fn a_doubled_request_for_payment_prompts_the_phone_once() {
    let served = Served::start_with_mpesa().await;
    let program = served.program(Role::Operator).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    let first = program.post_as("ask-1", &path, &json!({})).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = program.post_as("ask-1", &path, &json!({})).await;
    assert_eq!((second.status, &second.body), (201, &first.body));
    let handle = served.simulator.as_ref().unwrap().handle();
    assert!(handle.settled(crate::web::testing::DEADLINE).await);
    let mut reader = served.controller.database.read().await.unwrap();
    let customer = &served.world.customer.id;
    let intents = crate::payments::latest_intents_of(&mut reader, customer, 10).await.unwrap();
    assert_eq!(intents.len(), 1);
    drop(reader);
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_the_wallet_can_pay_is_answered_with_what_it_bought() {
    let served = Served::start_with_mpesa().await;
    served.fill_wallet().await;
    let program = served.program(Role::Operator).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    for _ in 0..2 {
        let answer = program.post_as("ask-1", &path, &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            (&answer.json()["state"], &answer.json()["price_cents"]),
            (&json!("bought_from_wallet"), &json!(150_000))
        );
    }
    assert_eq!(served.simulator.as_ref().unwrap().handle().prompts(0, 9).len(), 0);
    let mut reader = served.controller.database.read().await.unwrap();
    let rows = audit::store::latest(&mut reader, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), ["period.bought"]);
    drop(reader);
    served.stop().await;
}

#[tokio::test]
async fn without_mpesa_a_request_for_payment_says_so() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    let answer = program.post(&path, &json!({})).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("mpesa_not_set_up")));
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_a_stop_cut_short_is_not_sent_a_second_time() {
    let served = Served::start_with_mpesa().await;
    let program = served.program(Role::Operator).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    assert_eq!(program.post_as("ask-1", &path, &json!({})).await.status, 201);
    // What the table holds when the controller dies between claiming the key and keeping the answer.
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query("UPDATE idempotency_keys SET status = 0, body = ''").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let again = program.post_as("ask-1", &path, &json!({})).await;
    assert_eq!((again.status, again.json()["error"]["code"].as_str()), (409, Some("in_progress")));
    assert_eq!(again.header("retry-after"), "2");
    served.stop().await;
}

/// While Safaricom keeps us waiting, the tables hold what a power cut would leave of a request that is being sent.
#[tokio::test]
async fn a_request_is_stored_with_its_key_and_its_audit_row_before_it_is_sent() {
    let served = Served::start_with_mpesa().await;
    let slow =
        daraja_sim::FaultsChange { slow_reply_ms: Some(3_600_000), ..daraja_sim::FaultsChange::default() };
    served.simulator.as_ref().unwrap().handle().set_faults(&slow).unwrap();
    let program = served.program(Role::Operator).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    let mut hints = served.controller.live.listen();
    let (body, nothing) = (json!({}), json!({"amount_cents": 0}));
    assert_eq!(program.post_as("ask-0", &path, &nothing).await.status, 422);
    let column = async |query: &'static str| {
        let mut reader = served.controller.database.read().await.unwrap();
        sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *reader).await.unwrap()
    };
    let tables = async || {
        (
            column("SELECT COUNT(*) FROM idempotency_keys WHERE status = 0").await,
            column("SELECT COUNT(*) FROM payment_intents WHERE state = 'submitting'").await,
            column("SELECT COUNT(*) FROM audit_log WHERE action = 'payment.requested'").await,
        )
    };
    assert_eq!(tables().await, (0, 0, 0), "a refusal leaves nothing, not even its key");
    let asking = async {
        program.post_as("ask-1", &path, &body).await;
        panic!("Safaricom answered");
    };
    let looking = async {
        assert!(matches!(hints.recv().await, Ok(crate::live::Hint::Intent(_))));
        assert_eq!(tables().await, (1, 1, 1));
        let again = program.post_as("ask-1", &path, &body).await;
        assert_eq!((again.status, again.json()["error"]["code"].as_str()), (409, Some("in_progress")));
        assert_eq!(tables().await, (1, 1, 1), "and nothing is sent a second time");
    };
    tokio::select! {
        () = asking => {}
        () = looking => {}
    }
    served.stop().await;
}

#[tokio::test]
async fn a_second_request_for_the_same_line_waits_for_the_first() {
    let served = Served::start_with_mpesa().await;
    let handle = served.simulator.as_ref().unwrap().handle();
    let silent = daraja_sim::Phone {
        behaviour: daraja_sim::Behaviour::Ignore,
        delay_ms: 3_600_000,
        ..daraja_sim::Phone::default()
    };
    handle.set_phone(crate::payments::testing::PHONE, silent).unwrap();
    let program = served.program(Role::Operator).await;
    let path = format!("/api/subscriptions/{}/payment-requests", served.world.line);
    assert_eq!(program.post_as("ask-1", &path, &json!({})).await.status, 201);
    let second = program.post_as("ask-2", &path, &json!({})).await;
    assert_eq!((second.status, second.json()["error"]["code"].as_str()), (409, Some("already_open")));
    let said = second.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        said.starts_with("A request for KES 1,500.00 is open already") && said.contains("seconds"),
        "{said}"
    );
    assert!(second.header("retry-after").parse::<u64>().unwrap() > 0);
    let third = program.post_as("ask-2", &path, &json!({})).await;
    assert_eq!(third.json()["error"]["code"], "already_open", "a refusal leaves the key free");
    served.stop().await;
}

#[tokio::test]
async fn what_a_program_adds_is_told_to_open_pages() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let world = &served.world;
    let mut hints = served.controller.live.listen();
    let router = json!({"site_id": world.site, "name": "edge"});
    assert_eq!(program.post("/api/routers", &router).await.status, 201);
    assert_eq!(hints.try_recv().unwrap(), Hint::Site(world.site.clone()));
    let line = json!({
        "customer_id": world.customer.id, "plan_id": world.plan.id, "router_id": world.router, "username": "kiosk",
    });
    let added = program.post("/api/subscriptions", &line).await.json();
    let Hint::Line(line) = hints.try_recv().unwrap() else { panic!("not a line") };
    assert_eq!(added["id"], line.as_str());
    served.stop().await;
}

/// Polls it so often and then drops it, as a server drops the handler of a client that hung up. Whether it ended before.
async fn hang_up_after(polls: usize, work: impl Future) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn a_hold_that_is_committed_is_told_whenever_the_client_hangs_up() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let browser = served.browser(Role::Owner).await;
    let routes = router(Web::new(served.controller.clone(), SESSION, Shutdown::default().stop()), None);
    let line = served.world.line.clone();
    for is_page in [false, true] {
        let mut has_ended = false;
        for polls in 1.. {
            let release = format!("/api/subscriptions/{line}/release");
            assert_eq!(program.post(&release, &json!({})).await.status, 200);
            served.controller.live.outbox_rung().await;
            let mut hints = served.controller.live.listen();
            let request = if is_page {
                Request::post(format!("/subscriptions/{line}/hold"))
                    .header("cookie", format!("tawi_session={}", browser.cookies["tawi_session"]))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(Body::from(format!("form_token={}", browser.form_token)))
            } else {
                Request::post(format!("/api/subscriptions/{line}/hold"))
                    .header("authorization", format!("Bearer {}", program.token))
                    .header("idempotency-key", format!("key-{polls}"))
                    .body(Body::empty())
            };
            let mut request = request.unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
            has_ended = hang_up_after(polls, routes.clone().oneshot(request)).await;
            // The only writer is free when what was begun is committed or given up.
            drop(served.controller.database.write().await.unwrap());
            let path = format!("/api/subscriptions/{line}");
            if program.read(&path).await["status"] == "suspended" {
                let told = async { (hints.recv().await, served.controller.live.outbox_rung().await) };
                let told = tokio::time::timeout(DEADLINE, told).await;
                let (hint, ()) = told.unwrap_or_else(|_| panic!("nobody was told after {polls} polls"));
                assert_eq!(hint.unwrap(), Hint::Line(line.clone()));
            }
            if has_ended {
                break;
            }
        }
        assert!(has_ended);
    }
    served.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_with_the_line_that_has_it() {
    let served = Served::start().await;
    let program = served.program(Role::Operator).await;
    let mut browser = served.browser(Role::Operator).await;
    let world = &served.world;
    let line = |username: &str| {
        json!({"customer_id": world.customer.id, "plan_id": world.plan.id, "router_id": world.router,
               "username": username, "address": "10.20.0.7"})
    };
    assert_eq!(program.post("/api/subscriptions", &line("plot-1")).await.status, 201);
    let refused = program.post("/api/subscriptions", &line("plot-2")).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(refused.json()["error"]["message"], "address is taken by the line plot-1 of Corner Shop");
    let fields = [
        ("plan", world.plan.id.as_str()),
        ("router", world.router.as_str()),
        ("username", "plot-2"),
        ("password", "a-secret"),
        ("address", "10.20.0.7"),
    ];
    let page = browser.post(&format!("/customers/{}/subscriptions", world.customer.id), &fields).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("the line plot-1 of Corner Shop has this address"), "{}", page.body);
    served.stop().await;
}

#[tokio::test]
async fn money_that_buys_nothing_is_said_to_when_it_is_asked_for_and_when_it_came() {
    let served = Served::start_with_mpesa().await;
    let program = served.program(Role::Operator).await;
    let mut browser = served.browser(Role::Operator).await;
    let line = &served.world.line;
    let part = json!({"amount_cents": 50_000});
    let asked = program.post(&format!("/api/subscriptions/{line}/payment-requests"), &part).await;
    assert_eq!((asked.status, &asked.json()["buys"]), (201, &json!("nothing")), "{}", asked.body);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let handle = served.simulator.as_ref().unwrap().handle();
    assert!(handle.settled(DEADLINE).await);
    let mut hints = served.controller.live.listen();
    while program.read(&format!("/api/intents/{id}")).await["state"] != "paid" {
        tokio::time::timeout(DEADLINE, hints.recv()).await.expect("it is paid").unwrap();
    }
    let payment = program.read("/api/payments").await["payments"][0].clone();
    assert_eq!((&payment["unspent"], &payment["trace"]), (&json!("too_little"), &json!(null)));
    let page = browser.get(&format!("/payments/{}", payment["id"].as_str().unwrap())).await;
    assert!(
        page.body.contains("It was not enough, bought nothing, and went to the wallet."),
        "{}",
        page.body
    );
    let review = browser.get("/payments/review").await;
    assert!(review.body.contains("for which KES 1,000.00 more are needed"), "{}", review.body);

    program.post(&format!("/api/subscriptions/{line}/hold"), &json!({})).await;
    let fields = [("phone", "0733000111"), ("amount", "200")];
    let asked = browser.post(&format!("/subscriptions/{line}/payment-requests"), &fields).await;
    assert_eq!(asked.status, 303);
    let page = browser.get(asked.location()).await;
    assert!(page.body.contains("The line is on hold: the money will wait in the wallet"), "{}", page.body);
    served.stop().await;
}

#[tokio::test]
async fn where_nobody_logs_in_no_password_is_asked_for_or_kept() {
    let served = Served::start().await;
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query("INSERT INTO connection_types (id, service_name, family, profile_name, download_bits_per_second, \
                     upload_bits_per_second, created_at) VALUES ('fixed', 'static', 'static', 'fixed', 1, 1, 1)")
        .execute(&mut *write)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at) \
                     VALUES ('office', 'Office', 'fixed', 100, 60, 1)",
    )
    .execute(&mut *write)
    .await
    .unwrap();
    write.commit().await.unwrap();
    let mut browser = served.browser(Role::Operator).await;
    let to = format!("/customers/{}/subscriptions", served.world.customer.id);
    let page = browser.get(&format!("{to}/new")).await.body;
    assert!(page.contains("<option value=\"office\" data-login=\"no\">"), "{page}");
    assert_eq!(page.matches("data-login").count(), 1, "on the other plan somebody logs in");
    let password = page.split("class=\"login-only\"").nth(1).unwrap().split("</div>").next().unwrap();
    assert!(password.contains("name=\"password\""), "{page}");
    let (day, router) = (served.world.plan.id.to_string(), served.world.router.to_string());
    let mut add = async |plan: &str, name: &str, password: &str, address: &str| {
        let fields = [
            ("plan", plan),
            ("router", router.as_str()),
            ("username", name),
            ("password", password),
            ("address", address),
        ];
        browser.post(&to, &fields).await.status
    };
    assert_eq!(add("office", "f1", "", "10.9.0.1").await, 303);
    assert_eq!(add("office", "f2", "left over from another plan", "10.9.0.2").await, 303);
    assert_eq!(add(&day, "f3", "", "").await, 422, "somebody logs in there");
    let program = served.program(Role::Operator).await;
    let new = json!({"customer_id": served.world.customer.id, "plan_id": "office", "router_id": router,
        "username": "f4", "address": "10.9.0.4"});
    assert_eq!(program.post("/api/subscriptions", &new).await.json()["password"], json!(null));
    let mut read = served.controller.database.read().await.unwrap();
    let kept = sqlx::query(
        "SELECT COUNT(*) AS kept, COUNT(CASE WHEN password = '' THEN 1 END) AS without FROM subscriptions \
                                WHERE plan_id = 'office'",
    )
    .fetch_one(&mut *read)
    .await
    .unwrap();
    assert_eq!((kept.get::<i64, _>("kept"), kept.get::<i64, _>("without")), (3, 3));
    drop(read);
    served.stop().await;
}

#[tokio::test]
async fn an_import_that_failed_may_be_sent_again_under_the_same_key() {
    let served = Served::start_with_mpesa().await;
    let program = served.program(Role::Owner).await;
    let headings =
        "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed";
    let rows: Vec<String> = (0..20)
        .map(|number| format!("RKL{number:07},21/11/2026 12:13,Pay Bill Charge,Completed,,-1.00,,true"))
        .collect();
    let body = json!({"csv": format!("{headings}\n{}", rows.join("\n")), "short_code": "174379"});
    let execute = async |sql: &'static str| {
        let mut write = served.controller.database.write().await.unwrap();
        sqlx::query(sql).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    };
    execute("ALTER TABLE ledger_entries RENAME TO ledger_entries_away").await;
    let path = "/api/payments/statements";
    let failed = reqwest::Client::new().post(format!("{}{path}", program.base)).bearer_auth(&program.token);
    let failed = failed.header("Idempotency-Key", "same").json(&body).send().await.unwrap();
    assert_eq!(failed.status().as_u16(), 500);
    execute("ALTER TABLE ledger_entries_away RENAME TO ledger_entries").await;
    let answer = program.post_as("same", path, &body).await;
    assert_eq!((answer.status, &answer.json()["charges_booked"]), (200, &json!(20)));
    served.stop().await;
}
