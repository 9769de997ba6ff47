//! What lies around every route: tokens, headers, caps, streams, and the end.

use std::time::Duration;

use daraja_sim::{Behaviour, Phone};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broker::Attendance;
use crate::customers::account_number::AccountNumber;
use crate::live::Hint;
use crate::payments::testing::PHONE;
use crate::staff::{self, Role, SecretToken};
use crate::web::Web;
use crate::web::testing::{DEADLINE, Served};

#[tokio::test]
async fn the_api_wants_a_token_that_it_knows() {
    let served = Served::start().await;
    let mut program = served.program(Role::Owner).await;
    let client = program.client.clone();
    let bare = client.get(format!("{}/api/overview", served.base)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(bare.headers()["www-authenticate"], "Bearer realm=\"tawi\"");
    program.token = program.token.replace("tawi_", "tawi-");
    let answer = program.get("/api/overview").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["code"], "unauthorized");
    assert_eq!(answer.header("cache-control"), "no-store");
    let missing = program.get("/api/nothing").await;
    assert_eq!((missing.status, missing.json()["error"]["code"].as_str()), (404, Some("not_found")));
    served.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let served = Served::start().await;
    let mut browser = served.stranger();
    for path in ["/sign-in", "/health", "/nothing", "/api/overview", "/assets/tawi.css"] {
        let answer = browser.get(path).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(!answer.header("content-security-policy").contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
    }
    served.stop().await;
}

#[tokio::test]
async fn over_https_cookies_and_headers_insist_on_it() {
    let served = Served::start_with(|web| web.is_https = true, false).await;
    let answer = served.stranger().get("/sign-in").await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-tawi_form=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
    served.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_cap_is_refused() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let body = serde_json::json!({"name": "x".repeat(70_000), "phone": "0733000111"});
    let answer = program.post("/api/customers", &body).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("bad_body")));
    served.stop().await;
}

/// A filter that is misspelt and ignored would answer with everything.
#[tokio::test]
async fn what_stands_after_the_question_mark_is_known_or_refused_by_name() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    for route in crate::web::api::routes().iter().filter(|route| route.method == "GET") {
        let path = route.path.replace("{id}", "x").replace("{site_id}", "x").replace("{router_name}", "x");
        let answer = program.get(&format!("{path}?site_idd=nope")).await;
        assert_eq!((answer.status, path.as_str()), (400, path.as_str()));
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "bad_query", "{path}");
        assert!(error["message"].as_str().unwrap().contains("site_idd"), "{error}");
    }
    let check = async |query: &str, named: &str, known: &str| {
        let answer = program.get(query).await;
        assert_eq!((answer.status, query), (400, query), "{}", answer.body);
        let error = answer.json()["error"].clone();
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
        assert!(error["cure"].as_str().unwrap().contains(known), "{error}");
    };
    check("/api/router-writes?limit=abc", "limit", "operation").await;
    check("/api/router-writes?site_id=nope", "site_id", "site,").await;
    check("/api/payments?limit=-1", "limit", "receipt").await;
    check("/api/customers?limit=", "limit", "query").await;
    check("/api/plans?limit=5", "limit", "nothing").await;
    served.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_called_so() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    for body in ["name=Kiosk", "{\"name\": ", "{\"name\": \"a\"} x"] {
        let request =
            program.client.post(format!("{}/api/customers", served.base)).bearer_auth(&program.token);
        let answer = crate::web::testing::answer(request.header("idempotency-key", "k").body(body)).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let error = answer.json()["error"].clone();
        assert!(error["message"].as_str().unwrap().starts_with("the body is no JSON: "), "{error}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_named_by_its_member() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    let whole = serde_json::json!({"customer_id": "c", "plan_id": "p", "router_id": "r", "username": "u"});
    for (path, member, value, says) in [
        (
            "/api/subscriptions",
            "plan_id",
            serde_json::Value::Null,
            "`plan_id`: invalid type: null, expected a string",
        ),
        ("/api/subscriptions", "address", serde_json::Value::Null, "`address`: invalid type: null"),
        ("/api/subscriptions", "username", 5.into(), "`username`: invalid type: integer `5`"),
        ("/api/customers", "name", serde_json::Value::Null, "`name`: invalid type: null"),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        if path == "/api/customers" {
            body = serde_json::json!({"name": null, "phone": "0712345678"});
        }
        let answer = program.post(path, &body).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        let error = answer.json()["error"].clone();
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    // What is missing was named before.
    let missing = program.post("/api/customers", &serde_json::json!({"phone": "0712345678"})).await.json();
    assert_eq!(
        missing["error"]["message"],
        "the body does not fit: missing field `name` at line 1 column 22"
    );
    served.stop().await;
}

#[tokio::test]
async fn live_hints_reach_programs_and_browsers_and_end_with_the_controller() {
    let served = Served::start().await;
    let program = served.program(Role::Viewer).await;
    let browser = served.browser(Role::Viewer).await;
    let events = program.client.get(format!("{}/api/events", served.base)).bearer_auth(&program.token);
    let cookie = format!("tawi_session={}", browser.cookies["tawi_session"]);
    let live = program.client.get(format!("{}/live", served.base)).header("cookie", cookie);
    let mut streams = [events.send().await.unwrap(), live.send().await.unwrap()];
    for stream in &mut streams {
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        assert_eq!(next(stream).await, "event: ready\ndata: {}\n\n");
    }
    served.controller.live.tell(Hint::Line(served.world.line.clone()));
    for stream in &mut streams {
        assert_eq!(
            next(stream).await,
            format!("event: line\ndata: {{\"id\":\"{}\"}}\n\n", served.world.line)
        );
    }
    served.stop().await;
    for stream in &mut streams {
        assert!(stream.chunk().await.unwrap().is_none(), "the stream ends");
    }
}

async fn next(stream: &mut reqwest::Response) -> String {
    let chunk = tokio::time::timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}

/// A stream of somebody, after its first event.
async fn listen(request: reqwest::RequestBuilder) -> reqwest::Response {
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert!(stream.chunk().await.unwrap().is_some());
    stream
}

#[tokio::test]
async fn a_stream_ends_soon_after_whoever_listens_was_sent_away() {
    let look_often = |web: &mut Web| web.streams.look_again = Duration::from_millis(20);
    let served = Served::start_with(look_often, false).await;
    let browser = served.browser(Role::Viewer).await;
    let token = browser.cookies["tawi_session"].clone();
    let program = served.program(Role::Viewer).await;
    let live = program.client.get(format!("{}/live", served.base));
    let mut page = listen(live.header("cookie", format!("tawi_session={token}"))).await;
    let events = program.client.get(format!("{}/api/events", served.base));
    let mut events = listen(events.bearer_auth(&program.token)).await;
    let mut write = served.controller.database.write().await.unwrap();
    staff::close_session(&mut write, &SecretToken::received(&token)).await.unwrap();
    sqlx::query("UPDATE api_tokens SET revoked_at = 1").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    for stream in [&mut page, &mut events] {
        let ended = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(DEADLINE, ended).await.expect("it ends though the connection stands");
    }
    served.stop().await;
}

#[tokio::test]
async fn one_token_opens_only_so_many_streams() {
    let served = Served::start().await;
    let program = served.program(Role::Viewer).await;
    let ask = || program.client.get(format!("{}/api/events", served.base)).bearer_auth(&program.token);
    let mut open = Vec::new();
    let refused = loop {
        let stream = ask().send().await.unwrap();
        if stream.status() != 200 {
            break stream.status().as_u16();
        }
        open.push(stream);
        assert!(open.len() < 20, "there is no end");
    };
    assert_eq!((open.len(), refused), (8, 429));
    let other = served.program(Role::Viewer).await;
    let url = format!("{}/api/events", served.base);
    assert_eq!(other.client.get(url).bearer_auth(&other.token).send().await.unwrap().status(), 200);
    served.stop().await;
}

#[tokio::test]
async fn a_stranger_hears_nothing_live() {
    let served = Served::start().await;
    let answer = served.stranger().get("/live").await;
    assert_eq!(answer.status, 303);
    served.stop().await;
}

#[tokio::test]
async fn health_tells_whether_the_broker_listens_and_is_listened_to() {
    let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = broker.local_addr().unwrap();
    let attendance = Attendance::default();
    let heard = attendance.clone();
    let served = Served::start_with(|web| web.broker = Some((address, heard)), false).await;
    let mut stranger = served.stranger();
    let deaf = stranger.get("/health").await;
    assert_eq!((deaf.status, deaf.json()["broker"].as_bool()), (200, Some(false)), "nobody hears the sites");
    attendance.begin();
    let healthy = stranger.get("/health").await;
    assert_eq!((healthy.status, healthy.json()["status"].as_str()), (200, Some("ok")));
    drop(broker);
    let degraded = stranger.get("/health").await;
    assert_eq!((degraded.status, degraded.json()["status"].as_str()), (200, Some("degraded")));
    assert_eq!(degraded.json()["broker"], false);
    served.controller.database.close().await;
    let dead = stranger.get("/health").await;
    assert_eq!((dead.status, dead.json()["database"].as_bool()), (503, Some(false)));
    served.stop().await;
}

/// A browser that keeps its connection open must not keep the controller from ending.
#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let served = Served::start().await;
    let mut idle = TcpStream::connect(served.base.trim_start_matches("http://")).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let before = tokio::time::Instant::now();
    served.stop().await;
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
}

/// With 10,000 customers a query that counts lines for all of them, instead of for those on the page, takes ten seconds
/// here; one that does not takes three milliseconds.
#[tokio::test]
async fn a_page_costs_what_it_shows_however_many_customers_there_are() {
    let served = Served::start().await;
    let mut write = served.controller.database.write().await.unwrap();
    for serial in 2_000_000..2_010_000_u32 {
        let number = AccountNumber::from_serial(serial).unwrap();
        sqlx::query(
            "INSERT INTO customers (id, account_number, name, phone, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(format!("c{serial}"))
        .bind(number.as_str())
        .bind(format!("Customer {serial}"))
        .bind(format!("2547{serial:08}"))
        .bind(i64::from(serial))
        .execute(&mut *write)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at, is_online) \
             VALUES ($1, $2, $3, $4, $5, 'x', 'active', 1, $6)",
        )
        .bind(format!("l{serial}"))
        .bind(format!("c{serial}"))
        .bind(served.world.plan.id.as_str())
        .bind(served.world.router.as_str())
        .bind(format!("u{serial}"))
        .bind(i64::from(serial % 2))
        .execute(&mut *write)
        .await
        .unwrap();
    }
    write.commit().await.unwrap();
    let program = served.program(Role::Viewer).await;
    for path in [
        "/api/overview",
        "/api/customers",
        "/api/customers?query=customer&page=20",
        "/api/customers?query=0702009999",
    ] {
        let before = tokio::time::Instant::now();
        let answer = program.read(path).await;
        assert!(before.elapsed() < Duration::from_secs(1), "{path}: {:?}", before.elapsed());
        assert!(!answer.is_null());
    }
    let found = program.read("/api/customers?query=0702009999").await;
    assert_eq!(found["customers"][0]["subscriptions_online"], 1);
    assert_eq!(found["customers"].as_array().unwrap().len(), 1);
    assert_eq!(program.read("/api/overview").await["customers_online"], 5_000);
    served.stop().await;
}

#[tokio::test]
async fn control_characters_in_an_address_are_refused_before_anything_is_looked_up_by_it() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let program = served.program(Role::Owner).await;
    for path in [
        "/sites/nyeri-01/routers/co%00re/take-over",
        "/sites/nyeri%00-01",
        "/customers?q=a%00b",
        "/customers?q=a%1Bb",
        "/customers?q=a%C2%85b",
        "/sign-in?next=%00",
    ] {
        let answer = browser.get(path).await;
        assert!(answer.status == 400 && answer.body.contains("nobody types"), "{path} {}", answer.status);
    }
    let answer = browser.post("/sites/nyeri-01/routers/co%00re/rebuild", &[("confirm", "yes")]).await;
    assert_eq!(answer.status, 400);
    for path in ["/api/customers?q=a%00b", "/api/sites/nyeri%00-01", "/api/router-writes?text=%07"] {
        let answer = program.get(path).await;
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code.as_str()), (400, Some("not_plain")), "{path}");
    }
    // What is encoded badly, and what has several lines, is no worse than any other text.
    assert_eq!(browser.get("/customers?q=%25a%0D%0A%09b%zz%").await.status, 200);
    served.stop().await;
}

#[tokio::test]
async fn control_characters_in_a_form_are_refused() {
    let served = Served::start().await;
    let mut browser = served.browser(Role::Owner).await;
    let take_over = "/sites/nyeri-01/routers/core/take-over";
    for (path, field, value) in [
        ("/sites/nyeri-01/routers", "name", "co\0re"),
        ("/customers", "name", "Bak\0ery"),
        ("/sign-in", "login", "own\0er"),
        (take_over, "table", "user\nkio\0sk"),
        (&format!("{take_over}/preview"), "customer-0", "\u{7f}"),
        (&format!("{take_over}/preview"), "customer\0-0", "a"),
    ] {
        let answer = browser.post(path, &[(field, value)]).await;
        assert!(answer.status == 400 && answer.body.contains("nobody types"), "{path} {}", answer.status);
    }
    let lines = browser.post(take_over, &[("table", "user\r\n\tkiosk")]).await;
    assert_eq!(lines.status, 200, "line breaks and tabs are what a table is made of");
    served.stop().await;
}

#[tokio::test]
async fn control_characters_in_a_body_are_refused() {
    let served = Served::start().await;
    let program = served.program(Role::Owner).await;
    for body in [
        json!({"name": "Bak\u{0}ery", "phone": "0722000111"}),
        json!({"name": "Bakery", "phone": ["\u{1b}"]}),
        json!({"name": "Bakery", "phone": {"\u{8}": 1}}),
    ] {
        let answer = program.post("/api/customers", &body).await;
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code.as_str()), (400, Some("not_plain")), "{body}");
    }
    served.stop().await;
}

#[tokio::test]
async fn whoever_asks_for_a_payment_is_sent_to_paybill_where_safaricom_reports_it() {
    let served = Served::start_with_mpesa().await;
    let program = served.program(Role::Operator).await;
    let line = served.world.line.clone();
    let silent = Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() };
    served.simulator.as_ref().unwrap().handle().set_phone(PHONE, silent).unwrap();
    let asked = program.post(&format!("/api/subscriptions/{line}/payment-requests"), &json!({})).await;
    let intent = asked.json()["id"].as_str().unwrap().to_owned();
    let execute = async |sql: &'static str| {
        let mut write = served.controller.database.write().await.unwrap();
        sqlx::query(sql).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    };
    execute("UPDATE payment_intents SET state = 'declined', result_code = '1025', receipt_number = NULL")
        .await;
    let path = format!("/api/intents/{intent}");
    let advice = |answer: serde_json::Value| answer["advice"].as_str().unwrap().to_owned();
    let before = advice(program.read(&path).await);
    assert!(!before.contains("Paybill"), "{before}");
    execute(
        "INSERT INTO c2b_addresses (short_code, callback_token, created_at, registered_at) \
         VALUES ('174379', 'cccccccccccccccccccccccccccccccc', 1, 1)",
    )
    .await;
    let after = advice(program.read(&path).await);
    assert!(after.contains("Paybill"), "{after}");
    served.stop().await;
}

#[tokio::test]
async fn a_customer_whom_a_router_led_here_under_another_name_comes_to_the_pay_page() {
    let ours = "http://isp.example";
    let served = Served::start_with(|web| web.public_url = Some(ours.to_owned()), false).await;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let ask = async |host: &str, path: &str| {
        let request = client.get(format!("{}{path}", served.base)).header("host", host);
        let response = request.send().await.unwrap();
        let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (response.status().as_u16(), to.unwrap_or_default())
    };
    let pay = format!("{ours}/pay");
    for path in ["/", "/generate_204", "/hotspot-detect.html", "/customers"] {
        assert_eq!(ask("neverssl.com", path).await, (303, pay.clone()), "{path}");
    }
    // What is there is there under any name; and staff are not sent away from their own.
    for path in ["/pay", "/sign-in", "/health"] {
        assert_eq!(ask("neverssl.com", path).await.0, 200, "{path}");
    }
    assert_eq!(ask("neverssl.com", "/api/overview").await.0, 401);
    assert_eq!(ask("neverssl.com", "/api/nothing").await.0, 404);
    assert_eq!(ask("isp.example", "/").await, (303, "/sign-in".to_owned()));
    assert_eq!(ask("isp.example", "/nothing").await.0, 404);
    served.stop().await;
}
