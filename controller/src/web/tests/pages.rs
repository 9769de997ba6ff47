//! Every page over a real socket: that it shows what matters, escapes what people typed, refuses what a role may not
//! do and what another site's form asks for, and says truthfully what became of a request for payment.

use std::time::Duration;

use sqlx::Executor as _;
use tawi_shared::UnixMillis;

use crate::customers::{self, NewCustomer, phone::Msisdn};
use crate::payments::testing::World;
use crate::staff::Role;
use crate::usage;
use crate::web::testing::{Answer, Browser, START, Served};

const NASTY: &str = "<script>alert(1)</script>";

/// Runs SQL as the site's messages would have left it.
async fn write(served: &Served, sql: &str) {
    let mut write = served.controller.database.write().await.unwrap();
    write.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
    write.commit().await.unwrap();
}

/// A customer whose name wants to be a script.
async fn nasty(served: &Served) -> String {
    let new = NewCustomer { name: NASTY.to_owned(), phone: Msisdn::parse("0711000111").unwrap() };
    let mut write = served.controller.database.write().await.unwrap();
    let created = customers::create(&mut write, new, &served.controller.ids, START).await.unwrap();
    write.commit().await.unwrap();
    let customers::Created::Created(customer) = created else { panic!("{created:?}") };
    customer.id.to_string()
}

/// A payment booked `ago`, with steps in milliseconds after it.
async fn payment(served: &Served, id: &str, ago: Duration, steps: [Option<i64>; 4], failure: &str) {
    let at = START.minus(ago).0;
    let World { customer, line, site, .. } = &served.world;
    let [published, stored, verified, online] =
        steps.map(|step| step.map_or_else(|| "NULL".to_owned(), |after| (at + after).to_string()));
    let booked = at + 4;
    write(
        served,
        &format!(
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, \
                                   subscription_id, received_at, booked_at) \
             VALUES ('{id}', 'mpesa', 'TK{id}', 150000, '174379', '{}', '{line}', {at}, {booked}); \
             INSERT INTO receipts SELECT COALESCE(MAX(serial), 0) + 1, '{id}', {booked} FROM receipts; \
             INSERT INTO payment_traces VALUES ('{id}', '{line}', '{site}', 1, {at}, {booked}, {published}, {stored}, \
                                                {verified}, {online}, '{failure}', 0);",
            customer.id
        ),
    )
    .await;
}

async fn site_went(served: &Served, is_online: bool, ago: Duration) {
    let at = START.minus(ago).0;
    write(
        served,
        &format!("UPDATE sites SET is_online = {}, online_changed_at = {at}", i64::from(is_online)),
    )
    .await;
}

fn shows(answer: &Answer, wanted: &[&str]) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    for text in wanted {
        assert!(answer.body.contains(text), "{text:?} is missing in\n{}", answer.body);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_overview_tells_money_sites_and_who_waits_and_why() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Viewer).await;
    shows(&browser.get("/").await, &["KES 0.00", "No payment yet", "To begin", "No payment today yet."]);

    site_went(&served, true, 2 * MINUTE).await;
    payment(&served, "a1", 2 * SECOND, [Some(8), Some(30), Some(87), None], "").await;
    payment(&served, "a2", 5 * MINUTE, [Some(8), Some(30), None, None], "refused by the router: full").await;
    let page = browser.get("/").await;
    shows(
        &page,
        &["KES 3,000.00", "2 payments", "87 ms", "TKa1", "Nyeri says: refused by the router: full."],
    );
    assert!(!page.body.contains("To begin"));

    write(&served, "UPDATE payment_traces SET failure = ''").await;
    site_went(&served, false, 20 * MINUTE).await;
    shows(&browser.get("/").await, &["Nyeri is offline since 15:53", "0 <small>of 1</small>"]);
    served.stop().await;
}

#[tokio::test]
async fn what_no_rule_could_decide_is_counted_on_the_overview_and_listed_with_its_reason() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Viewer).await;
    shows(&browser.get("/payments/review").await, &["Nothing. Here stands"]);
    shows(&browser.get("/").await, &["href=\"/payments/review\"", "all money has its place"]);
    payment(&served, "a1", MINUTE, [None; 4], "").await;
    write(
        &served,
        &format!(
            "UPDATE payments SET customer_id = NULL, subscription_id = NULL, account_reference = '{NASTY}'"
        ),
    )
    .await;
    let page = browser.get("/payments/review").await;
    let wanted = ["KES 1,500.00", "href=\"/payments/a1\">TKa1</a>", "nobody knows whose it is", "not known"];
    shows(&page, &wanted);
    assert!(!page.body.contains(NASTY), "what was typed is no markup");
    shows(&browser.get("/").await, &["need a person"]);
    assert_eq!(served.stranger().get("/payments/review").await.status, 303);
    served.stop().await;
}

#[tokio::test]
async fn what_is_older_than_the_first_page_is_on_the_next_one() {
    let served = Served::start().await;
    let many = "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) \
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 201) \
                SELECT 'row' || i, '{}', i FROM n";
    write(&served, many).await;
    let mut browser = served.browser(Role::Viewer).await;
    let page = browser.get("/payments/review").await;
    shows(&page, &["Older", "data-key=\"pull_row-row2\""]);
    assert!(!page.body.contains("data-key=\"pull_row-row1\""), "the oldest is on the next page");
    let (_, rest) = page.body.split_once("href=\"/payments/review?before=").unwrap();
    let (before, _) = rest.split_once('"').unwrap();
    let older = browser.get(&format!("/payments/review?before={before}")).await;
    shows(&older, &["data-key=\"pull_row-row1\"", "The newest"]);
    assert!(!older.body.contains("Older"), "it is the last");
    let end = browser.get("/payments/review?before=1-pull-row1").await;
    shows(&end, &["Nothing older"]);
    assert_eq!(browser.get("/payments/review?before=somewhere").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn what_was_looked_at_is_taken_off_the_list_by_those_who_may() {
    let served = Served::start().await;
    write(
        &served,
        "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) VALUES ('ab', 'odd 2547', 1)",
    )
    .await;
    let path = "/payments/review/pull_row/ab/looked-at";
    let came = "/payments/review/pull_row/ab";
    let mut viewer = served.browser(Role::Viewer).await;
    let page = viewer.get("/payments/review").await;
    shows(&page, &["Row of Pull"]);
    assert!(!page.body.contains("odd 2547"), "the list says nothing of whoever paid: {}", page.body);
    assert!(!page.body.contains(came), "a viewer sees neither the button nor the way to what came");
    assert_eq!(viewer.get(came).await.status, 403);
    assert_eq!(viewer.post(path, &[]).await.status, 403);
    for page in ["/mpesa/health", "/payments/days"] {
        let page = viewer.get(page).await;
        assert!(
            page.status == 200 && !page.body.contains("/payments/statement"),
            "a way to a refusal: {}",
            page.body
        );
    }
    let mut browser = served.browser(Role::Operator).await;
    shows(&browser.get("/payments/review").await, &["As it came", path, "Looked at", "overdue"]);
    shows(&browser.get("/").await, &["1 for more than a day"]);
    shows(&browser.get(came).await, &["odd 2547"]);
    assert_eq!(browser.get("/payments/review/pull_row/none").await.status, 404);
    assert_eq!(browser.post(path, &[]).await.location(), "/payments/review");
    shows(&browser.get("/payments/review").await, &["it has left the list", "Nothing. Here stands"]);
    served.stop().await;
}

#[tokio::test]
async fn a_statement_is_taken_in_by_those_who_may_and_says_what_came_of_it() {
    let served = Served::start_with_mpesa().await;
    let path = "/payments/statement";
    let csv = format!(
        "Short Code:,174379\nReceipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance\n\
         RKL51ZDR4G,2026-11-21 12:13:25,Pay Bill Charge,Completed,,-3.00,7.00\n\
         RKL51ZDR4F,2026-11-21 12:13:24,{NASTY},Completed,10.00,,10.00\n"
    );
    let mut viewer = served.browser(Role::Viewer).await;
    assert_eq!(viewer.get(path).await.status, 403);
    assert!(!viewer.get("/payments/review").await.body.contains(path));
    assert_eq!(viewer.post_file(path, csv.as_bytes()).await.status, 403);
    let mut browser = served.browser(Role::Owner).await;
    shows(&browser.get("/payments/review").await, &[path]);
    shows(&browser.get(path).await, &["Take it in", "Only say what would come of it"]);
    for words in ["0 known, 1 newly booked", "1 known, 0 newly booked"] {
        let page = browser.post_file(path, csv.as_bytes()).await;
        let balance = "KES 0.00 and all that moved is KES 7.00";
        shows(&page, &["What came of it", words, "Something needs a person", balance]);
    }
    let page = browser.get("/payments/review").await;
    shows(&page, &["line 4 of a statement of 174379", "Row of a statement", "KES 10.00"]);
    assert!(!page.body.contains(NASTY), "what a file says is no markup");
    let other = browser.post_file(path, csv.replace("174379", "600000").as_bytes()).await;
    assert_eq!(other.status, 422);
    assert!(other.body.contains("Nothing was taken in") && other.body.contains("600000"), "{}", other.body);
    let none = browser.post(path, &[]).await;
    assert!(none.status == 422 && none.body.contains("Choose the file"), "{}", none.body);
    served.stop().await;
}

#[tokio::test]
async fn what_people_typed_is_never_markup() {
    let served = Served::start().await;
    let id = nasty(&served).await;
    write(
        &served,
        &format!(
            "UPDATE subscriptions SET failure = '{NASTY}', last_address = '{NASTY}', customer_id = '{id}'; \
             UPDATE sites SET name = '{NASTY}'; UPDATE plans SET name = '{NASTY}', description = '{NASTY}'; \
             INSERT INTO site_events VALUES ('nyeri-01', 1, 1, 1, 1, 9, NULL, NULL, '{NASTY}');"
        ),
    )
    .await;
    let mut browser = served.browser(Role::Owner).await;
    let one = format!("/customers/{id}");
    let new = format!("{one}/subscriptions/new");
    let search = format!("/customers?query={}", crate::web::error::percent_encoded(NASTY));
    for path in ["/", "/customers", &search, &one, &new, "/plans", "/sites", "/sites/nyeri-01"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<script>alert"), "{path}");
        assert!(
            !page.body.contains(" style=") && !page.body.contains("<style"),
            "{path}: the policy forbids it"
        );
        assert!(page.body.matches("<script").count() == 1, "{path}: one script, and it is a file");
    }
    shows(&browser.get(&one).await, &["&#60;script&#62;alert(1)"]);
    served.stop().await;
}

#[tokio::test]
async fn a_customer_is_added_found_and_given_a_line() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Operator).await;
    let wrong = browser.post("/customers", &[("name", "Bakery"), ("phone", "12")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("value=\"Bakery\"") && wrong.body.contains("not a Kenyan mobile number"));

    let added = browser.post("/customers", &[("name", "Bakery"), ("phone", "0722 000 111")]).await;
    assert_eq!(added.status, 303, "{}", added.body);
    let path = added.location().to_owned();
    shows(&browser.get(&path).await, &["Bakery is added", "0722 000 111", "No subscription yet"]);
    assert!(!browser.get(&path).await.body.contains("is added"), "a note is said once");
    shows(&browser.get("/customers?query=0722%20000").await, &["Bakery", "2547•••••111"]);
    shows(&browser.get("/customers?query=nobody").await, &["Nobody fits"]);

    let plan = served.world.plan.id.to_string();
    let fields = [("plan", plan.as_str()), ("router", "r1"), ("username", "line-1"), ("password", "abcdef")];
    let taken = browser.post(&format!("{path}/subscriptions"), &fields).await;
    assert_eq!(taken.status, 422);
    assert!(taken.body.contains("another line on that router has this name"));
    let fields = [("plan", plan.as_str()), ("router", "r1"), ("username", "bakery"), ("password", "abcdef")];
    assert_eq!(browser.post(&format!("{path}/subscriptions"), &fields).await.status, 303);
    let page = browser.get(&path).await;
    shows(&page, &["never paid", "bakery", "KES 1,500.00"]);
    assert!(!page.body.contains("abcdef"), "a line's password is never shown again");
    served.stop().await;
}

#[tokio::test]
async fn a_customers_page_draws_the_way_of_the_last_payment_and_the_usage() {
    let served = Served::start().await;
    site_went(&served, true, MINUTE).await;
    payment(&served, "a1", 10 * SECOND, [Some(9), Some(31), Some(87), Some(1_240)], "").await;
    let World { customer, line, .. } = &served.world;
    let start = START.minus(90 * MINUTE).0;
    write(
        &served,
        &format!(
            "INSERT INTO usage_sessions VALUES ('nyeri-01', 'k', '{line}', {start}, {now}, 0, 12000000, 3400000000, \
             '10.0.0.7', {start}, 1, -1); \
             INSERT INTO usage_hours VALUES ({hour}, '{line}', 12000000, 3400000000); \
             INSERT INTO usage_days VALUES ({day}, '{line}', 12000000, 3400000000); \
             INSERT INTO quota_periods (line_id, started_at, ends_at, bytes, topped_up_bytes, is_end_seen) VALUES ('{line}', {start}, {end}, 4000000000, 1000000000, 0); \
             UPDATE subscriptions SET status = 'active', paid_until = {end}, is_online = 1, last_address = '10.0.0.7'; \
             INSERT INTO top_ups VALUES ('t1', '5 GB more', NULL, 20000, 5000000000, 1);",
            now = START.0,
            hour = usage::history::hour_of(START).0,
            day = usage::history::day_of(START).0,
            end = START.0 + 86_400_000,
        ),
    )
    .await;
    let mut browser = served.browser(Role::Viewer).await;
    let page = browser.get(&format!("/customers/{}", customer.id)).await;
    shows(
        &page,
        &["1.24 s", "Read back from the router", "+56 ms", "+1.15 s", "3.4 GB down", "12.0 MB up", "<rect"],
    );
    // The quota of the period with what was topped up, the running session, and the charts.
    shows(&page, &["1.5 GB left", "of 5.0 GB", "1.0 GB topped up", "width=\"68\"", "up for 1 h", "10.0.0.7"]);
    shows(&page, &["The most in one hour, ", "The most in one day, ", "3.4 GB down, 12.0 MB up"]);
    shows(&page, &["<span>4.0 GB</span><span>0</span>", "<span>now</span>"]);
    assert!(!page.body.contains("5 GB more"), "a viewer buys nothing");
    assert!(page.body.contains("Last login"));
    write(&served, "UPDATE connection_types SET service_name = 'static', family = 'static'").await;
    let page_of_static = browser.get(&format!("/customers/{}", customer.id)).await;
    assert!(!page_of_static.body.contains("Last login"), "nobody logs in there");
    write(&served, "UPDATE connection_types SET service_name = 'pppoe', family = 'ppp'").await;
    let mut operator = served.browser(Role::Operator).await;
    let page = operator.get(&format!("/customers/{}", customer.id)).await;
    shows(&page, &["5 GB more: 5.0 GB for KES 200.00"]);
    shows(&browser.get("/payments/a1").await, &["TKa1", "1.24 s", "Corner Shop"]);
    assert_eq!(browser.get("/payments/none").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_site_shows_what_fails_and_why() {
    let served = Served::start().await;
    write(
        &served,
        "UPDATE sites SET is_online = 1, online_changed_at = 1, generation = 9, stored_generation = 9, \
             applied_generation = 7, failures_total = 1, agent_version = '1.2.3'; \
         UPDATE routers SET is_reachable = 1, reachable_changed_at = 1, release = '7.16.2'; \
         UPDATE subscriptions SET failure = 'a foreign row has that name'; \
         INSERT INTO site_events VALUES ('nyeri-01', 1, 1, 1, 1, 9, NULL, 'core', 'put right');",
    )
    .await;
    let mut browser = served.browser(Role::Owner).await;
    shows(&browser.get("/sites").await, &["Nyeri", "1.2.3", "tawi-controller site add"]);
    let page = browser.get("/sites/nyeri-01").await;
    shows(
        &page,
        &["2 changes on the way", "RouterOS 7.16.2", "a foreign row has that name", "Drift repaired"],
    );
    assert!(!page.body.contains("Cure:"), "nothing is wrong with the router");
    write(&served, "UPDATE routers SET is_reachable = 0, trouble = 4;").await;
    let words = ["silent", "Its certificate is not the one that the agent expects.", "set tls_pin"];
    shows(&browser.get("/sites/nyeri-01").await, &words);
    write(&served, "UPDATE routers SET is_reachable = 1, trouble = 13;").await;
    let words = ["not worked with", "Another board answers than before.", "rebuild it below"];
    shows(&browser.get("/sites/nyeri-01").await, &words);
    another_board_is_told_of_as_such(&served, &mut browser).await;
    write(&served, "UPDATE sites SET applied_generation = 9").await;
    let page = browser.get("/sites/nyeri-01").await;
    shows(&page, &["what head office wants, but for 1 line: see"]);
    assert!(!page.body.contains("The routers have what head office wants."), "{}", page.body);
    let customer = browser.get(&format!("/customers/{}", served.world.customer.id)).await;
    let cure = [
        "a foreign row has that name",
        "href=\"/sites/nyeri-01/routers/core/take-over\"",
        "tawi-agent adopt --router core",
    ];
    shows(&customer, &cure);
    write(&served, "UPDATE subscriptions SET failure = 'refused by the router: full'").await;
    let customer = browser.get(&format!("/customers/{}", served.world.customer.id)).await;
    assert!(!customer.body.contains("tawi-agent adopt"), "{}", customer.body);
    let bad = browser.post("/sites/nyeri-01/routers", &[("name", "Not A Name")]).await;
    assert!(bad.status == 422 && bad.body.contains("value=\"Not A Name\""), "{}", bad.body);
    assert_eq!(browser.post("/sites/nyeri-01/routers", &[("name", "tower")]).await.status, 303);
    assert_eq!(browser.get("/sites/none").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn an_event_names_its_line_and_customer() {
    let served = Served::start().await;
    let World { customer, line, .. } = &served.world;
    write(
        &served,
        &format!(
            "INSERT INTO site_events VALUES ('nyeri-01', 1, 1, 1, 1, 1, '{line}', 'core', '10.0.0.9'); \
             INSERT INTO site_events VALUES ('nyeri-01', 1, 2, 1, 1, 1, 'gone', 'core', '10.0.0.8');"
        ),
    )
    .await;
    let mut browser = served.browser(Role::Viewer).await;
    let page = browser.get("/sites/nyeri-01").await;
    let link = format!(
        "<span class=\"mono\">line-1</span> of <a href=\"/customers/{}\">Corner Shop</a>",
        customer.id
    );
    shows(&page, &[&link, "10.0.0.9", "10.0.0.8", "gone"]);
    assert!(!page.body.contains(&format!(">{line}<")), "an id says nothing to people");
    served.stop().await;
}

#[tokio::test]
async fn what_nobody_logs_in_on_has_no_password_and_no_sessions_to_end() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let page = format!("/customers/{}", served.world.customer.id);
    shows(&browser.get(&page).await, &["End its sessions"]);
    write(&served, "UPDATE connection_types SET service_name = 'hotspot', family = 'hotspot'").await;
    shows(&browser.get(&page).await, &["End its sessions"]);
    write(&served, "UPDATE connection_types SET service_name = 'static', family = 'static'").await;
    let shown = browser.get(&page).await;
    assert!(
        !shown.body.contains("session runs") && !shown.body.contains("End its sessions"),
        "{}",
        shown.body
    );
    let program = served.program(Role::Owner).await;
    let new = serde_json::json!({
        "customer_id": served.world.customer.id, "plan_id": served.world.plan.id, "username": "plot18",
        "router_id": served.world.router, "address": "10.20.0.18",
    });
    let added = program.post("/api/subscriptions", &new).await;
    assert_eq!((added.status, &added.json()["password"]), (201, &serde_json::Value::Null), "{}", added.body);
    served.stop().await;
}

#[tokio::test]
async fn a_change_of_speed_says_beforehand_whom_it_reaches_and_how() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let path = format!("/connection-types/{}", served.world.plan.connection_type.id);
    shows(&browser.get(&path).await, &["1 line", "ended", "dial in again", "20 a second"]);
    write(&served, "UPDATE connection_types SET service_name = 'hotspot', family = 'hotspot'").await;
    shows(&browser.get(&path).await, &["1 line", "cookie"]);
    write(&served, "UPDATE connection_types SET service_name = 'static', family = 'static'").await;
    let page = browser.get(&path).await;
    shows(&page, &["1 line", "without a drop"]);
    assert!(!page.body.contains("dial in again"), "{}", page.body);
    served.stop().await;
}

#[tokio::test]
async fn an_owner_adds_what_is_sold() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let kind = [("service", "hotspot"), ("profile_name", "cafe-5"), ("download", "5M"), ("upload", "2M")];
    assert_eq!(browser.post("/connection-types", &kind).await.status, 303);
    shows(&browser.get("/plans").await, &["cafe-5 is added.", "5 Mbit/s / 2 Mbit/s", "Hotspot"]);
    let twice = browser.post("/connection-types", &kind).await;
    assert!(twice.status == 422 && twice.body.contains("a profile of that name already"));
    let type_id = served.world.plan.connection_type.id.to_string();
    let plan = |price: &'static str| {
        [
            ("name", "Week"),
            ("connection_type", type_id.as_str()),
            ("price", price),
            ("validity", "7d"),
            ("quota", "5GB"),
        ]
    };
    let wrong = browser.post("/plans", &plan("a lot")).await;
    assert!(
        wrong.status == 422
            && wrong.body.contains("is not an amount")
            && wrong.body.contains("value=\"Week\"")
    );
    assert_eq!(browser.post("/plans", &plan("400")).await.status, 303);
    shows(&browser.get("/plans").await, &["Week is added.", "KES 400.00", "7 days", "5.0 GB"]);
    served.stop().await;
}

#[tokio::test]
async fn an_owner_changes_what_is_sold() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let plan = &served.world.plan;
    let path = format!("/connection-types/{}", plan.connection_type.id);
    shows(&browser.get(&path).await, &["home-10", "value=\"10 Mbit/s\""]);
    let seen = plan.connection_type.profile.seen();
    let wrong = browser.post(&path, &[("seen", &*seen), ("download", "20M"), ("upload", "0")]).await;
    assert!(wrong.status == 422 && wrong.body.contains("limit both download and upload"), "{}", wrong.body);
    let speeds = [("seen", &*seen), ("download", "20M"), ("upload", "10M"), ("pool", "homes")];
    assert_eq!(browser.post(&path, &speeds).await.status, 303);
    shows(&browser.get("/plans").await, &["home-10 is changed", "20 Mbit/s / 10 Mbit/s"]);
    let stale = browser.post(&path, &speeds).await;
    assert!(stale.status == 409 && stale.body.contains("20 Mbit/s down, 10 Mbit/s up"), "{}", stale.body);
    let path = format!("/plans/{}", plan.id);
    shows(&browser.get(&path).await, &["value=\"1,500.00\"", "value=\"1 day\""]);
    let seen = plan.terms.seen();
    let mut terms = vec![
        ("seen", &*seen),
        ("price", "1600"),
        ("validity", "7d"),
        ("quota", "50GB"),
        ("after_quota", "throttled"),
        ("after_quota_download", "1M"),
        ("suspension", "walled"),
        ("offline", "off"),
        ("offline_hours", "72"),
    ];
    let wrong = browser.post(&path, &terms).await;
    assert!(wrong.status == 422 && wrong.body.contains("write a speed"), "{}", wrong.body);
    terms.push(("after_quota_upload", "512k"));
    assert_eq!(browser.post(&path, &terms).await.status, 303);
    let stale = browser.post(&path, &terms).await;
    assert!(
        stale.status == 409 && stale.body.contains("It was changed after this form was opened"),
        "{}",
        stale.body
    );
    assert!(stale.body.contains("KES 1,600.00 for 7 days") && stale.body.contains("value=\"1600\""));
    let marked = stale.body.split("name=\"seen\" value=\"").nth(1).unwrap();
    let again = marked.split('"').next().unwrap().to_owned();
    terms[0] = ("seen", &again);
    assert_eq!(browser.post(&path, &terms).await.status, 303, "whoever has read it may");
    shows(
        &browser.get("/plans").await,
        &[
            "KES 1,600.00",
            "50.0 GB",
            "then slowed to 1 Mbit/s down, 512 kbit/s up",
            "pay page only",
            "off after 72 h without head office",
        ],
    );
    let top_up = [("name", "5 GB more"), ("price", "200"), ("data", "5GB"), ("plan", plan.id.as_str())];
    assert_eq!(browser.post("/top-ups", &top_up).await.status, 303);
    shows(&browser.get("/plans").await, &["5 GB more is added.", "KES 200.00"]);
    assert_eq!(browser.post("/top-ups", &top_up).await.status, 422);
    assert_eq!(browser.get("/plans/none").await.status, 404);
    assert_eq!(browser.get("/connection-types/none").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_top_up_whose_button_is_pressed_twice_is_bought_once() {
    let served = Served::start().await;
    let (line, customer) = (&served.world.line, &served.world.customer.id);
    let (start, end) = (START.0 - 1, START.0 + 86_400_000);
    write(
        &served,
        &format!(
            "INSERT INTO quota_periods (line_id, started_at, ends_at, bytes) VALUES ('{line}', {start}, {end}, 100); \
             UPDATE subscriptions SET status = 'active', paid_until = {end}; \
             INSERT INTO top_ups VALUES ('t1', 'More', NULL, 100000, 50, 1);"
        ),
    )
    .await;
    let mut browser = served.browser(Role::Operator).await;
    let (path, page) = (format!("/subscriptions/{line}/top-ups"), format!("/customers/{customer}"));
    let occasion = "0123456789abcdef0123456789abcdef";
    let form = [("top_up", "t1"), ("occasion", occasion)];
    browser.post(&path, &form).await;
    shows(&browser.get(&page).await, &["The wallet lacks KES 1,000.00"]);
    served.fill_wallet().await;
    served.fill_wallet().await;
    browser.post(&path, &form).await;
    shows(&browser.get(&page).await, &["More is bought", "150 B left", "50 B topped up", "KES 2,000.00"]);
    browser.post(&path, &form).await;
    shows(&browser.get(&page).await, &["nothing was bought twice", "KES 2,000.00", "150 B left"]);
    let another = [("top_up", "t1"), ("occasion", "0123456789abcdef0123456789abcdee")];
    browser.post(&path, &another).await;
    shows(&browser.get(&page).await, &["less than two minutes ago", "KES 2,000.00", "150 B left"]);
    served.controller.clock.advance(std::time::Duration::from_secs(120));
    browser.post(&path, &another).await;
    shows(&browser.get(&page).await, &["More is bought", "KES 1,000.00", "200 B left"]);
    for bad in [[("top_up", "t1"), ("occasion", "x")], [("top_up", ""), ("occasion", occasion)]] {
        browser.post(&path, &bad).await;
        shows(&browser.get(&page).await, &["Nothing was bought", "KES 1,000.00"]);
    }
    served.stop().await;
}

/// Every form of the pages, as somebody might post it.
fn forms(world: &World) -> Vec<(String, Vec<(&'static str, String)>)> {
    let (customer, line) = (&world.customer.id, &world.line);
    let own = |fields: &[(&'static str, &str)]| fields.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    vec![
        ("/customers".to_owned(), own(&[("name", "X"), ("phone", "0722000111")])),
        (format!("/customers/{customer}/subscriptions"), own(&[("router", "r1"), ("username", "x")])),
        (format!("/subscriptions/{line}/hold"), own(&[])),
        (format!("/subscriptions/{line}/release"), own(&[])),
        (format!("/subscriptions/{line}/payment-requests"), own(&[("phone", "0722000111"), ("amount", "1")])),
        (format!("/subscriptions/{line}/top-ups"), own(&[("top_up", "x")])),
        ("/plans".to_owned(), own(&[("name", "X")])),
        (format!("/plans/{}", world.plan.id), own(&[("price", "1")])),
        (format!("/connection-types/{}", world.plan.connection_type.id), own(&[("download", "1M")])),
        ("/top-ups".to_owned(), own(&[("name", "X")])),
        ("/connection-types".to_owned(), own(&[("service", "pppoe")])),
        ("/sites/nyeri-01/routers".to_owned(), own(&[("name", "x")])),
    ]
}

async fn post(browser: &mut Browser, path: &str, fields: &[(&'static str, String)], is_ours: bool) -> u16 {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if is_ours {
        browser.post(path, &fields).await.status
    } else {
        browser.post_bare(path, &fields).await.status
    }
}

#[tokio::test]
async fn no_form_is_taken_without_its_token_from_a_viewer_or_from_a_stranger() {
    let served = Served::start().await;
    let (mut owner, mut viewer) = (served.browser(Role::Owner).await, served.browser(Role::Viewer).await);
    let mut operator = served.browser(Role::Operator).await;
    for (path, fields) in forms(&served.world) {
        assert_eq!(post(&mut owner, &path, &fields, false).await, 403, "without a token: {path}");
        assert_eq!(post(&mut viewer, &path, &fields, true).await, 403, "by a viewer: {path}");
        let mut stranger = served.stranger();
        assert_eq!(post(&mut stranger, &path, &fields, true).await, 303, "by a stranger: {path}");
    }
    for path in ["/plans", "/connection-types", "/top-ups", "/sites/nyeri-01/routers"] {
        assert_eq!(operator.post(path, &[("name", "x")]).await.status, 403, "by an operator: {path}");
    }
    let page = viewer.get(&format!("/customers/{}", served.world.customer.id)).await;
    shows(&page, &["Corner Shop"]);
    assert!(
        !page.body.contains("payment-requests") && !page.body.contains("/hold"),
        "a viewer sees no such buttons"
    );
    assert_eq!(viewer.get("/customers/new").await.status, 403);
    served.stop().await;
}

#[tokio::test]
async fn hold_and_release_say_what_they_did() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Operator).await;
    let (line, page) = (&served.world.line, format!("/customers/{}", served.world.customer.id));
    assert_eq!(browser.post(&format!("/subscriptions/{line}/hold"), &[]).await.location(), page);
    shows(&browser.get(&page).await, &["on hold", "On hold: the site suspends the line", "Release"]);
    browser.post(&format!("/subscriptions/{line}/hold"), &[]).await;
    shows(&browser.get(&page).await, &["It was on hold already."]);
    browser.post(&format!("/subscriptions/{line}/release"), &[]).await;
    shows(&browser.get(&page).await, &["Released", ">Hold<"]);
    served.stop().await;
}

#[tokio::test]
async fn what_the_wallet_can_pay_is_bought_and_said() {
    let served = Served::start_with_mpesa().await;
    let mut browser = served.browser(Role::Operator).await;
    let (line, page) = (&served.world.line, format!("/customers/{}", served.world.customer.id));
    served.fill_wallet().await;
    browser.post(&format!("/subscriptions/{line}/hold"), &[]).await;
    browser.get(&page).await;
    browser.post(&format!("/subscriptions/{line}/release"), &[]).await;
    shows(&browser.get(&page).await, &["Released: KES 1,500.00 of the wallet bought a period."]);
    let wallet = browser.get(&format!("/customers/{}/wallet", served.world.customer.id)).await;
    shows(&wallet, &["+KES 1,500.00", "−KES 1,500.00", "KES 0.00"]);
    assert_eq!(browser.get("/customers/nobody/wallet").await.status, 404);
    served.fill_wallet().await;
    let fields = [("phone", "0712345678"), ("amount", "1500")];
    browser.post(&format!("/subscriptions/{line}/payment-requests"), &fields).await;
    shows(&browser.get(&page).await, &["Nothing was asked of the phone: the wallet covers KES 1,500.00"]);
    assert_eq!(served.simulator.as_ref().unwrap().handle().prompts(0, 9).len(), 0);
    served.stop().await;
}

#[tokio::test]
async fn asking_for_a_payment_is_told_as_it_is() {
    let served = Served::start_with_mpesa().await;
    let mut browser = served.browser(Role::Operator).await;
    let page = format!("/customers/{}", served.world.customer.id);
    let ask = format!("/subscriptions/{}/payment-requests", served.world.line);
    shows(&browser.get(&page).await, &["value=\"0712 345 678\"", "value=\"1500\""]);
    let wrong = browser.post(&ask, &[("phone", "12"), ("amount", "1500")]).await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was sent yet"), "{}", wrong.body);
    let cents = browser.post(&ask, &[("phone", "0712345678"), ("amount", "1.50")]).await;
    assert!(cents.status == 422 && cents.body.contains("whole shillings"), "{}", cents.body);

    let fields = [("phone", "0712345678"), ("amount", "1500")];
    let sent = browser.post(&ask, &fields).await;
    assert_eq!((sent.status, sent.location()), (303, page.as_str()));
    let said = browser.get(&page).await;
    shows(&said, &["KES 1,500.00"]);
    assert!(said.body.contains("is asked of 0712 345 678") || said.body.contains("Paid: "), "{}", said.body);
    served.stop().await;
}

#[tokio::test]
async fn a_request_that_never_left_is_told_in_words_of_our_own() {
    let mut served = Served::start_with_mpesa().await;
    served.simulator.take().unwrap().stop().await;
    let mut browser = served.browser(Role::Operator).await;
    let ask = format!("/subscriptions/{}/payment-requests", served.world.line);
    let sent = browser.post(&ask, &[("phone", "0712345678"), ("amount", "1500")]).await;
    let page = browser.get(sent.location()).await;
    shows(&page, &["Nothing is on the phone. M-Pesa cannot be reached.", "declined"]);
    assert!(!page.body.contains("nobody has seen"));
    served.stop().await;
}

#[tokio::test]
async fn a_second_request_within_two_minutes_is_refused_in_words() {
    let served = Served::start_with_mpesa().await;
    let mut browser = served.browser(Role::Operator).await;
    let World { customer, line, .. } = &served.world;
    let at = START.minus(30 * SECOND).0;
    write(
        &served,
        &format!(
            "INSERT INTO payment_intents (id, subscription_id, customer_id, short_code, phone, amount_cents, \
                 callback_token, state, requested_by, created_at, updated_at) \
             VALUES ('i1', '{line}', '{}', '174379', '254712345678', 150000, '{}', 'submit_unknown', 'staff:a', {at}, {at})",
            customer.id,
            "a".repeat(32)
        ),
    )
    .await;
    let page = format!("/customers/{}", customer.id);
    shows(&browser.get(&page).await, &["do not pay again", "not known"]);
    let fields = [("phone", "0712345678"), ("amount", "1500")];
    browser.post(&format!("/subscriptions/{line}/payment-requests"), &fields).await;
    shows(
        &browser.get(&page).await,
        &["Nothing was sent. A request for KES 1,500.00 is open already", "seconds"],
    );
    served.stop().await;
}

#[tokio::test]
async fn a_page_that_is_read_again_by_the_script_leaves_the_note_to_a_person() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Operator).await;
    browser.post("/customers", &[("name", "Bakery"), ("phone", "0722000111")]).await;
    let refreshed = browser.refresh("/").await;
    shows(&refreshed, &["Overview"]);
    assert!(!refreshed.body.contains("is added"));
    shows(&browser.get("/").await, &["Bakery is added"]);
    served.stop().await;
}

#[tokio::test]
async fn a_list_of_customers_goes_on_page_by_page() {
    let served = Served::start().await;
    let mut write = served.controller.database.write().await.unwrap();
    for number in 0..60_i64 {
        let phone = Msisdn::parse(&format!("07110001{number:02}")).unwrap();
        let new = NewCustomer { name: format!("Customer {number}"), phone };
        let at = UnixMillis(START.0 + number);
        customers::create(&mut write, new, &served.controller.ids, at).await.unwrap();
    }
    write.commit().await.unwrap();
    let mut browser = served.browser(Role::Viewer).await;
    let first = browser.get("/customers").await;
    shows(&first, &["Customer 59", "/customers?query=&#38;page=1"]);
    assert!(!first.body.contains("Customer 9<"));
    let second = browser.get("/customers?query=&page=1").await;
    shows(&second, &["Customer 9<", "Corner Shop", "rel=\"prev\""]);
    assert!(!second.body.contains("rel=\"next\""));
    served.stop().await;
}

#[tokio::test]
async fn a_line_is_changed_on_its_page_and_the_audit_log_has_no_password() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Operator).await;
    let (path, plan) = (format!("/subscriptions/{}", served.world.line), served.world.plan.id.to_string());
    shows(&browser.get(&path).await, &["Change subscription", "line-1", "next period that is bought"]);
    let wrong =
        [("plan", plan.as_str()), ("address", "10.0.0"), ("caller_id", ""), ("password", "hush-hush")];
    let answer = browser.post(&path, &wrong).await;
    assert!(answer.status == 422 && answer.body.contains("write an IPv4 address"), "{}", answer.body);
    let right = [
        ("plan", plan.as_str()),
        ("address", "10.9.0.7"),
        ("caller_id", ""),
        ("renews", "yes"),
        ("password", "hush-hush"),
    ];
    let answer = browser.post(&path, &right).await;
    assert_eq!(
        (answer.status, answer.location()),
        (303, &*format!("/customers/{}", served.world.customer.id))
    );
    shows(&browser.get(answer.location()).await, &["line-1 is changed.", "10.9.0.7"]);
    let mut read = served.controller.database.read().await.unwrap();
    let row = sqlx::query("SELECT detail FROM audit_log WHERE action = 'subscription.changed'");
    let row = row.fetch_one(&mut *read).await.unwrap();
    let detail: String = sqlx::Row::try_get(&row, "detail").unwrap();
    assert_eq!(detail, "own address: none to 10.9.0.7; new password");
    drop(read);
    let customer = format!("/customers/{}", served.world.customer.id);
    shows(&browser.get(&customer).await, &["from the wallet, when it covers the price"]);
    // Periods of an hour are bought one by one, whatever is ticked.
    write(&served, "UPDATE plans SET validity_seconds = 3600").await;
    shows(&browser.get(&customer).await, &["when somebody pays for it"]);
    let mut viewer = served.browser(Role::Viewer).await;
    assert_eq!(viewer.get(&path).await.status, 403);
    served.stop().await;
}

/// There is nothing of a guard to let go on it: a rebuild is what helps, and the page leads there.
async fn another_board_is_told_of_as_such(served: &Served, browser: &mut Browser) {
    shows(
        &browser.get("/sites/nyeri-01").await,
        &["Another board answers on core", "No line is known to wait"],
    );
    let failure = "another board answers than before: nothing is written to it until it is rebuilt";
    write(served, &format!("UPDATE subscriptions SET failure = '{failure}'")).await;
    let page = browser.get("/sites/nyeri-01").await;
    let words =
        ["<strong>1 line</strong> waits for it", "href=\"#rebuild-core\"", "id=\"rebuild-core\"", failure];
    shows(&page, &words);
    assert!(!page.body.contains("Held on") && !page.body.contains("/let-go"), "{}", page.body);
    let first = browser.get("/").await;
    shows(&first, &["Another board answers than before", "/sites/nyeri-01#stranger-core"]);
    assert!(!first.body.contains("Held until"), "{}", first.body);
    write(served, "UPDATE subscriptions SET failure = 'a foreign row has that name'").await;
}
