//! The API is what its description says: every route is in it, and every answer fits it.

mod settings;
mod upgrades;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::OpenApi as _;

use super::schema::misfits;
use crate::broker::BrokerSettings;
use crate::ids::PaymentId;
use crate::money::Money;
use crate::pki::Pki;
use crate::sites::enrolment::Tickets;
use crate::staff::Role;
use crate::testing::TemporaryDirectory;
use crate::web::api;
use crate::web::testing::{Answer, Program, START, Served};

fn description() -> Value {
    serde_json::to_value(api::Description::openapi()).unwrap()
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let described: BTreeSet<(String, String)> = description()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_ascii_uppercase(), path.clone()))
        })
        .collect();
    let served: BTreeSet<(String, String)> = api::routes()
        .iter()
        .map(|route| (route.method.to_owned(), route.path.to_owned()))
        .chain([("GET".to_owned(), "/health".to_owned())])
        .collect();
    assert_eq!(described, served);
    assert!(served.len() >= 24, "{served:?}");
}

#[test]
fn every_operation_says_what_it_is_and_every_write_asks_for_a_key() {
    let description = description();
    assert_eq!(description["openapi"].as_str().unwrap().get(..3), Some("3.1"));
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{what}: no summary");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let asks = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
            assert_eq!(asks, method == "post", "{what}");
            for status in ["400", "413"] {
                let is_told = operation["responses"].get(status).is_some();
                assert!(is_told || method != "post", "{what}: {status} is not described");
            }
            if path.starts_with("/api/") && path != "/api/openapi.json" {
                assert!(operation["responses"].get("401").is_some(), "{what}: 401 is not described");
            }
        }
    }
}

#[test]
fn what_stands_in_the_path_is_all_that_is_described_to_stand_there() {
    for (path, item) in description()["paths"].as_object().unwrap() {
        let placed: BTreeSet<String> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}').map(str::to_owned))
            .collect();
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
            let told: BTreeSet<String> =
                in_path.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(told, placed, "{method} {path}");
        }
    }
}

/// Asks, and checks the answer against the description of `path` as it stands there.
struct Checker {
    root: Value,
    program: Program,
    covered: BTreeSet<String>,
}

impl Checker {
    async fn get(&mut self, described: &str, path: &str) -> Value {
        let answer = self.program.get(path).await;
        self.check("get", described, &answer)
    }

    /// A write without a key, and one that is larger than any.
    async fn post_wrongly(&mut self, described: &str, path: &str) {
        let url = format!("{}{path}", self.program.base);
        let bare = self.program.client.post(url).bearer_auth(&self.program.token).json(&json!({}));
        let refusal = self.check("post", described, &crate::web::testing::answer(bare).await);
        assert_eq!(refusal["error"]["code"], "idempotency_key");
        // A statement may be as large as a form with a file.
        let most = if described.ends_with("/statements") { 2_200_000 } else { 70_000 };
        let large = json!({"name": "x".repeat(most)});
        assert_eq!(self.post(described, path, &large).await["error"]["code"], "bad_body");
    }

    async fn post(&mut self, described: &str, path: &str, body: &Value) -> Value {
        let answer = self.program.post(path, body).await;
        self.check("post", described, &answer)
    }

    fn check(&mut self, method: &str, described: &str, answer: &Answer) -> Value {
        let operation = &self.root["paths"][described][method];
        let response = &operation["responses"][answer.status.to_string()];
        assert!(
            response.is_object(),
            "{method} {described}: {} is not described: {}",
            answer.status,
            answer.body
        );
        let schema = &response["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{method} {described} {}: no schema", answer.status);
        let value = answer.json();
        let misfits = misfits(&value, schema, &self.root);
        assert!(misfits.is_empty(), "{method} {described} {}: {misfits:#?}", answer.status);
        self.covered.insert(format!("{method} {described} {}", answer.status));
        value
    }
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

/// No code before payments by Paybill are heard of, one after, and none while Safaricom has none.
async fn payment_codes(api: &mut Checker, served: &Served, line: &str) {
    let (described, path) =
        ("/api/subscriptions/{id}/payment-code", format!("/api/subscriptions/{line}/payment-code"));
    assert_eq!(api.get(described, &path).await["error"]["code"], "no_code");
    let nobody = api.get(described, "/api/subscriptions/x/payment-code").await;
    assert_eq!(nobody["error"]["code"], "not_found", "{nobody}");
    let heard = "INSERT INTO c2b_addresses (short_code, callback_token, created_at, registered_at) \
                 VALUES ('174379', 'cccccccccccccccccccccccccccccccc', 1, 1)";
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query(heard).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let safaricom = served.simulator.as_ref().unwrap().handle();
    let cut_off = daraja_sim::CodeManner::CutOff;
    let change = daraja_sim::FaultsChange { codes: Some(cut_off), ..daraja_sim::FaultsChange::default() };
    safaricom.set_faults(&change).unwrap();
    assert_eq!(api.get(described, &path).await["error"]["code"], "code_unavailable");
    safaricom.clear_faults();
    served.controller.clock.advance(std::time::Duration::from_secs(61));
    let code = api.get(described, &path).await;
    assert_eq!(
        (&code["kind"], &code["payee"], &code["amount_cents"]),
        (&json!("PB"), &json!("174379"), &json!(5_000))
    );
    assert!(code["png_base64"].as_str().unwrap().starts_with("iVBORw0KGgo"), "{code}");
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query("DELETE FROM c2b_addresses").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn every_answer_fits_its_description() {
    let directory = TemporaryDirectory::new();
    let pki = Pki::open_or_create(directory.path(), START).unwrap();
    let tickets = Tickets::new(&pki, &BrokerSettings::default());
    let served = Served::start_with(|web| web.tickets = Some(tickets), true).await;
    let program = served.program(Role::Owner).await;
    let mut api = Checker { root: description(), program, covered: BTreeSet::new() };

    let kind = json!({
        "service_name": "hotspot", "profile_name": "day-pass", "download_bits_per_second": 2_000_000,
        "upload_bits_per_second": 1_000_000,
    });
    let kind = id(&api.post("/api/connection-types", "/api/connection-types", &kind).await);
    api.post("/api/connection-types", "/api/connection-types", &json!({"service_name": "isdn"})).await;
    let plan = json!({
        "name": "Day pass", "connection_type_id": kind, "price_cents": 5_000, "validity_seconds": 86_400,
        "data_quota_bytes": 5_000_000_000_u64, "description": "one device",
    });
    let plan_id = id(&api.post("/api/plans", "/api/plans", &plan).await);
    api.post("/api/plans", "/api/plans", &plan).await;
    changes_of_the_catalogue(&mut api, &kind, &plan_id).await;
    let router = json!({"site_id": served.world.site, "name": "edge"});
    let router_id = id(&api.post("/api/routers", "/api/routers", &router).await);
    api.post("/api/routers", "/api/routers", &router).await;
    api.post("/api/routers", "/api/routers", &json!({"site_id": "nowhere", "name": "edge"})).await;
    let customer = json!({"name": "Kiosk", "phone": "0722 000 111"});
    let customer = id(&api.post("/api/customers", "/api/customers", &customer).await);
    api.post("/api/customers", "/api/customers", &json!({"name": "", "phone": "0722000111"})).await;
    let subscription = json!({
        "customer_id": customer, "plan_id": plan_id, "router_id": router_id, "username": "kiosk",
    });
    let added = api.post("/api/subscriptions", "/api/subscriptions", &subscription).await;
    assert!(added["password"].as_str().unwrap().len() >= 8);
    api.post("/api/subscriptions", "/api/subscriptions", &subscription).await;
    let line = id(&added);
    payment_codes(&mut api, &served, &line).await;
    let (described, path) = ("/api/subscriptions/{id}", format!("/api/subscriptions/{line}"));
    let changed = api.post(described, &path, &json!({"address": "10.9.0.7", "password": "hush-hush"})).await;
    assert_eq!((&changed["address"], changed["caller_id"].is_null()), (&json!("10.9.0.7"), true));
    assert_eq!(api.post(described, &path, &json!({"plan_id": "none"})).await["error"]["code"], "invalid");
    api.post(described, &path, &json!({"caller_id": "x"})).await;
    api.post(described, "/api/subscriptions/nobody", &json!({})).await;

    let path = format!("/api/subscriptions/{line}/payment-requests");
    let intent = api.post("/api/subscriptions/{id}/payment-requests", &path, &json!({})).await;
    api.post("/api/subscriptions/{id}/payment-requests", &path, &json!({"amount_cents": 0})).await;
    let payment = wait_for_payment(&served, &api.program).await;
    assert_eq!(payment["amount_cents"], 5_000);
    assert_eq!(payment["trace"]["site_id"], served.world.site.as_str());
    let intent = api.get("/api/intents/{id}", &format!("/api/intents/{}", id(&intent))).await;
    assert_eq!(intent["state"], "paid");
    assert_eq!(intent["receipt_number"], payment["receipt_number"]);
    assert!(!intent["phone"].as_str().unwrap().contains("722000111"), "the phone is masked");
    api.get("/api/payments", "/api/payments?limit=5").await;
    api.get("/api/payments", "/api/payments?limit=0").await;
    let page = api.get("/api/payments", "/api/payments?limit=1&provider=mpesa").await;
    let older = format!("/api/payments?limit=1&before={}", page["next"].as_str().unwrap());
    assert_ne!(api.get("/api/payments", &older).await["payments"][0]["id"], page["payments"][0]["id"]);
    assert_eq!(api.get("/api/payments", "/api/payments?standing=lost").await["error"]["code"], "invalid");
    let path =
        format!("/api/payments?receipt={}", payment["receipt_number"].as_str().unwrap().to_lowercase());
    let found = api.get("/api/payments", &path).await;
    assert_eq!(
        (&found["payments"][0]["id"], found["payments"].as_array().unwrap().len()),
        (&payment["id"], 1)
    );
    let unknown = api.get("/api/payments", "/api/payments?receipt=UNKNOWN1").await;
    assert_eq!(unknown["payments"], json!([]));
    api.get("/api/payments", "/api/payments?receipt=no-receipt").await;
    api.get("/api/payments/{id}", &format!("/api/payments/{}", id(&payment))).await;
    for (described, path) in
        [("/api/payments", "/api/payments?limit=x"), ("/api/customers", "/api/customers?page=-1")]
    {
        assert_eq!(api.get(described, path).await["error"]["code"], "bad_query", "{path}");
    }
    statements(&mut api).await;
    for route in api::routes().iter().filter(|route| route.method == "POST") {
        api.post_wrongly(route.path, &route.path.replace("{id}", &line)).await;
    }
    let mut write = served.controller.database.write().await.unwrap();
    let nobodys = "UPDATE payments SET customer_id = NULL, subscription_id = NULL, intent_id = NULL, account_reference = 'rent'";
    sqlx::query(nobodys).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let review = api.get("/api/payments/review", "/api/payments/review").await;
    assert_eq!(review["items"][0]["id"], payment["id"], "{review}");
    let reason = review["items"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("nobody knows") && !reason.contains("rent"), "{review}");
    assert_eq!(api.get("/api/overview", "/api/overview").await["for_review"], 1);
    let mut write = served.controller.database.write().await.unwrap();
    sqlx::query("UPDATE callback_bodies SET needs_person = 1").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let review = api.get("/api/payments/review", "/api/payments/review").await;
    let items = review["items"].as_array().unwrap();
    assert_eq!((items.len(), review["next"].is_null()), (2, true), "{review}");
    let place = format!("{}-callbacks-{}", items[0]["since_at_ms"], items[0]["id"].as_str().unwrap());
    let behind = api.get("/api/payments/review", &format!("/api/payments/review?before={place}")).await;
    assert_eq!(behind["items"].as_array().unwrap().len(), 1, "{review} {behind}");
    let nowhere = api.get("/api/payments/review", "/api/payments/review?before=x").await;
    assert_eq!(nowhere["error"]["code"], "invalid", "{nowhere}");
    for item in items {
        let of = format!("/api/payments/review/{}/{}", item["kind"].as_str().unwrap(), id(item));
        let came = api.get("/api/payments/review/{kind}/{id}", &of).await;
        if item["kind"] == "callback" {
            assert!(came["body"].as_str().unwrap().contains("stkCallback"), "{came}");
        } else {
            assert_eq!(came["error"]["code"], "not_found", "{came}");
        }
        let path = format!("{of}/looked-at");
        for _ in 0..2 {
            let answer = api.post("/api/payments/review/{kind}/{id}/looked-at", &path, &json!({})).await;
            let is_off = item["kind"] == "callback";
            let expected = if is_off {
                answer["id"] == item["id"]
            } else {
                answer["error"]["code"] == "leaves_by_itself"
            };
            assert!(expected, "{answer}");
        }
    }
    for strange in [
        "callback/none",
        "request/none",
        "evidence/none",
        "pull_row/none",
        "statement_row/none",
        "rumour/none",
    ] {
        let path = format!("/api/payments/review/{strange}/looked-at");
        let answer = api.post("/api/payments/review/{kind}/{id}/looked-at", &path, &json!({})).await;
        assert_eq!(answer["error"]["code"], "not_found", "{strange}");
    }
    assert_eq!(api.get("/api/overview", "/api/overview").await["for_review"], 1);

    top_ups(&mut api, &served, &line, &plan_id).await;
    orders(&mut api, &served).await;
    settings::all(&mut api, &served).await;
    upgrades::all(&mut api, &served).await;
    for action in ["hold", "release"] {
        let described = format!("/api/subscriptions/{{id}}/{action}");
        let path = format!("/api/subscriptions/{line}/{action}");
        let expected = if action == "hold" { "suspended" } else { "active" };
        assert_eq!(api.post(&described, &path, &json!({})).await["status"], expected);
        assert_eq!(api.post(&described, &path, &json!({})).await["status"], expected, "twice is once");
        api.post(&described, &format!("/api/subscriptions/nobody/{action}"), &json!({})).await;
    }
    let site = served.world.site.clone();
    for (described, path) in [
        ("/api/overview", "/api/overview".to_owned()),
        ("/api/sites", "/api/sites".to_owned()),
        ("/api/sites/{id}", format!("/api/sites/{site}")),
        ("/api/sites/{id}", "/api/sites/nowhere".to_owned()),
        ("/api/sites/{id}/events", format!("/api/sites/{site}/events")),
        ("/api/routers", "/api/routers".to_owned()),
        ("/api/router-writes", format!("/api/router-writes?site={site}&limit=5")),
        ("/api/router-writes", "/api/router-writes?limit=0".to_owned()),
        ("/api/router-writes", "/api/router-writes?status=broken".to_owned()),
        ("/api/customers", "/api/customers?query=0722000111".to_owned()),
        ("/api/customers/{id}", format!("/api/customers/{customer}")),
        ("/api/customers/{id}", "/api/customers/nobody".to_owned()),
        ("/api/customers/{id}/references", "/api/customers/nobody/references".to_owned()),
        ("/api/customers/{id}/wallet", format!("/api/customers/{customer}/wallet")),
        ("/api/customers/{id}/wallet", format!("/api/customers/{customer}/wallet?page=1")),
        ("/api/customers/{id}/wallet", "/api/customers/nobody/wallet".to_owned()),
        ("/api/connection-types", "/api/connection-types".to_owned()),
        ("/api/plans", "/api/plans".to_owned()),
        ("/api/subscriptions/{id}", format!("/api/subscriptions/{line}")),
        ("/api/subscriptions/{id}", "/api/subscriptions/x".to_owned()),
        ("/api/intents/{id}", "/api/intents/x".to_owned()),
        ("/api/payments/{id}", "/api/payments/x".to_owned()),
        ("/health", "/health".to_owned()),
        ("/api/openapi.json", "/api/openapi.json".to_owned()),
    ] {
        api.get(described, &path).await;
    }
    assign(&mut api, payment["id"].as_str().unwrap(), &customer).await;
    counter(&mut api, &customer).await;
    refunds(&mut api, payment["id"].as_str().unwrap()).await;
    references(&mut api, (&customer, &line)).await;
    corrections(&mut api, &served, &customer).await;
    texts(&mut api, &served).await;
    new_sites(&mut api).await;
    assert_nothing_is_left_out(&api);
    served.stop().await;
}

async fn changes_of_the_catalogue(api: &mut Checker, kind: &str, plan: &str) {
    let path = format!("/api/connection-types/{kind}");
    let described = "/api/connection-types/{id}";
    let speeds =
        json!({"download_bits_per_second": 3_000_000, "upload_bits_per_second": 2_000_000, "priority": 2});
    for _ in 0..2 {
        let changed = api.post(described, &path, &speeds).await;
        assert_eq!((&changed["priority"], &changed["profile_name"]), (&json!(2), &json!("day-pass")));
    }
    let bad = json!({"download_bits_per_second": 3_000_000, "upload_bits_per_second": 0});
    assert_eq!(api.post(described, &path, &bad).await["error"]["code"], "invalid");
    let unknown = json!({"download_bits_per_second": 1, "upload_bits_per_second": 1, "prority": 2});
    assert_eq!(api.post(described, &path, &unknown).await["error"]["code"], "invalid");
    api.post(described, "/api/connection-types/none", &speeds).await;
    let slow =
        json!({"how": "throttled", "download_bits_per_second": 500_000, "upload_bits_per_second": 250_000});
    let terms = json!({
        "price_cents": 5_000, "validity_seconds": 86_400, "data_quota_bytes": 5_000_000_000_u64,
        "suspension": {"how": "walled"}, "after_quota": slow, "offline": {"after_hours": 48, "then": slow},
    });
    let path = format!("/api/plans/{plan}");
    let changed = api.post("/api/plans/{id}", &path, &terms).await;
    assert_eq!((&changed["after_quota"], &changed["suspension"]["how"]), (&slow, &json!("walled")));
    assert_eq!(changed["offline"]["after_hours"], 48);
    let mut bad = terms.clone();
    bad["suspension"] = json!({"how": "maybe"});
    assert_eq!(api.post("/api/plans/{id}", &path, &bad).await["error"]["code"], "invalid");
    for field in ["data_quota_bytes", "suspension", "after_quota", "offline"] {
        let mut forgotten = terms.clone();
        forgotten.as_object_mut().unwrap().remove(field);
        let refused = api.post("/api/plans/{id}", &path, &forgotten).await;
        assert_eq!(refused["error"]["code"], "invalid", "{field}");
    }
    api.post("/api/plans/{id}", "/api/plans/none", &terms).await;
}

/// The line's period of today has 5 GB.
async fn top_ups(api: &mut Checker, served: &Served, line: &str, plan: &str) {
    let new = json!({"name": "1 GB more", "plan_id": plan, "price_cents": 100_000, "bytes": 1_000_000_000});
    let top_up = id(&api.post("/api/top-ups", "/api/top-ups", &new).await);
    api.post("/api/top-ups", "/api/top-ups", &new).await;
    api.post("/api/top-ups", "/api/top-ups", &json!({"name": "x", "price_cents": 0, "bytes": 1})).await;
    assert_eq!(api.get("/api/top-ups", "/api/top-ups").await["top_ups"][0]["id"], top_up.as_str());
    let (described, path) = ("/api/subscriptions/{id}/top-ups", format!("/api/subscriptions/{line}/top-ups"));
    let wanted = json!({"top_up_id": top_up});
    let poor = api.post(described, &path, &wanted).await;
    assert_eq!(poor["error"]["code"], "wallet_too_small", "{poor}");
    assert_eq!(api.post(described, &path, &json!({"top_up_id": "none"})).await["error"]["code"], "invalid");
    api.post(described, "/api/subscriptions/nobody/top-ups", &wanted).await;
    let mut write = served.controller.database.write().await.unwrap();
    let gift = "INSERT INTO ledger_accounts (id, kind, created_at) VALUES ('suspense', 'suspense', 1) ON CONFLICT DO NOTHING;
        INSERT INTO ledger_postings
            SELECT 'gift', 0, 'wallet:' || customer_id, -200000 FROM subscriptions WHERE username = 'kiosk';
        INSERT INTO ledger_postings VALUES ('gift', 1, 'suspense', 200000);
        INSERT INTO ledger_entries VALUES ('gift', 1, 'test', 'gift', 'test', '');";
    sqlx::raw_sql(gift).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let key = "one-key-for-one-top-up";
    for _ in 0..2 {
        let answer = api.program.post_as(key, &path, &wanted).await;
        let bought = api.check("post", described, &answer);
        assert_eq!((answer.status, &bought["bytes"]), (201, &json!(1_000_000_000)), "{bought}");
    }
    let path = format!("/api/subscriptions/{line}");
    let detail = api.get("/api/subscriptions/{id}", &path).await;
    let period = &detail["period"];
    assert_eq!(
        (&period["quota_bytes"], &period["topped_up_bytes"], &period["used_bytes"]),
        (&json!(6_000_000_000_u64), &json!(1_000_000_000), &json!(0)),
        "sent twice, bought once"
    );
    let requests = format!("{path}/payment-requests");
    let described = "/api/subscriptions/{id}/payment-requests";
    assert_eq!(api.post(described, &requests, &wanted).await["error"]["code"], "just_bought");
    served.controller.clock.advance(std::time::Duration::from_secs(120));
    let bought = api.post(described, &requests, &wanted).await;
    assert_eq!(bought["state"], "topped_up_from_wallet", "{bought}");
    assert_eq!(api.post(described, &requests, &wanted).await["error"]["code"], "just_bought");
    let usage = api.get("/api/subscriptions/{id}/usage", &format!("{path}/usage?hours=3&days=2")).await;
    assert_eq!((usage["hours"].as_array().unwrap().len(), usage["days"].as_array().unwrap().len()), (3, 2));
    api.get("/api/subscriptions/{id}/usage", &format!("{path}/usage")).await;
    api.get("/api/subscriptions/{id}/usage", &format!("{path}/usage?hours=0")).await;
    api.get("/api/subscriptions/{id}/usage", &format!("{path}/usage?days=x")).await;
    api.get("/api/subscriptions/{id}/usage", "/api/subscriptions/x/usage").await;
}

/// A command is given once a key, and read back; what is held is let go by the digest that was seen.
async fn orders(api: &mut Checker, served: &Served) {
    let (site, line) = (served.world.site.clone(), served.world.line.clone());
    let (given, seen) = ("/api/commands", "/api/commands/{id}");
    let kick = json!({"kind": "kick", "subscription_id": line});
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let answer = api.program.post_as("one-key-for-one-kick", given, &kick).await;
        let command = api.check("post", given, &answer);
        assert_eq!((answer.status, &command["router_name"]), (201, &json!("core")), "{command}");
        ids.insert(id(&command));
    }
    assert_eq!(ids.len(), 1, "sent twice, given once");
    let command = api.get(seen, &format!("{given}/{}", ids.first().unwrap())).await;
    assert_eq!((&command["kind"], &command["standing"]), (&json!("kick"), &json!("queued")));
    assert_eq!(command["subscription_id"], line.as_str());
    api.get(seen, "/api/commands/none").await;
    let rebuild = json!({"kind": "rebuild", "site_id": site, "router_name": "core"});
    assert_eq!(api.post(given, given, &rebuild).await["kind"], "rebuild");
    let read = json!({"kind": "list_foreign", "site_id": site, "router_name": "core"});
    assert_eq!(api.post(given, given, &read).await["kind"], "list_foreign");
    let list = api.get(given, &format!("{given}?site={site}")).await;
    assert_eq!(list["commands"].as_array().unwrap().len(), 3);
    for query in ["", "?site=nowhere", &format!("?site={site}&limit=0")] {
        api.get(given, &format!("{given}{query}")).await;
    }
    for (wrong, code) in [
        (json!({"kind": "adopt", "site_id": site, "router_name": "core"}), "invalid"),
        (json!({"kind": "kick"}), "invalid"),
        (json!({"kind": "kick", "subscription_id": "nobody"}), "not_found"),
        (json!({"kind": "rebuild", "site_id": site, "router_name": "attic"}), "not_found"),
        (json!({"kind": "rebuild", "site_id": site}), "invalid"),
        (
            json!({"kind": "release_held", "site_id": site, "router_name": "core", "digest": "ab"}),
            "nothing_held",
        ),
    ] {
        assert_eq!(api.post(given, given, &wrong).await["error"]["code"], code, "{wrong}");
    }
    served.hold("abc123", 25).await;
    let held = api.get("/api/held-plans", "/api/held-plans").await["held_plans"][0].clone();
    assert_eq!((&held["lines_total"], &held["digest"]), (&json!(25), &json!("abc123")));
    let described = "/api/held-plans/{site_id}/{router_name}";
    let detail = api.get(described, &format!("/api/held-plans/{site}/core")).await;
    assert_eq!(detail["lines"].as_array().unwrap().len(), 2, "{detail}");
    api.get(described, &format!("/api/held-plans/{site}/attic")).await;
    let seen = "/api/commands/{id}/answer";
    let mut watch = String::new();
    for (asked, argument) in [
        (json!({"kind": "doctor", "site_id": site}), ""),
        (json!({"kind": "diagnostics", "site_id": site}), ""),
        (json!({"kind": "set_log_level", "site_id": site, "log_level": "debug"}), "debug"),
        (json!({"kind": "watch", "site_id": site, "seconds": 60}), "60"),
    ] {
        let command = api.post(given, given, &asked).await;
        assert_eq!((&command["argument"], &command["router_name"]), (&json!(argument), &json!("")));
        watch = id(&command);
    }
    let path = format!("/api/commands/{watch}/answer");
    assert_eq!(api.get(seen, &path).await["error"]["code"], "not_found");
    served.knows(&watch, r#"{"summary":"connected"}"#).await;
    assert_eq!(api.get(seen, &path).await["answer"]["summary"], "connected");
    for wrong in [
        json!({"kind": "set_log_level", "site_id": site, "log_level": "loud"}),
        json!({"kind": "watch", "site_id": site, "seconds": 301}),
        json!({"kind": "watch", "site_id": site}),
    ] {
        assert_eq!(api.post(given, given, &wrong).await["error"]["code"], "invalid", "{wrong}");
    }
    let release = |digest: &str| json!({"kind": "release_held", "site_id": site, "router_name": "core", "digest": digest});
    assert_eq!(api.post(given, given, &release("abc124")).await["error"]["code"], "held_plan_changed");
    assert_eq!(api.post(given, given, &release("abc123")).await["argument"], "abc123");
    served.hold("", 0).await;
}

/// Every operation was asked with success, but the stream, which has a test of its own.
async fn texts(api: &mut Checker, served: &Served) {
    let (path, test) = ("/api/messages/test", json!({"phone": "0722000111", "language": "sw"}));
    assert_eq!(api.post(path, path, &test).await["error"]["code"], "no_texts");
    super::texts::switch_on(served).await;
    let sent = api.post(path, path, &test).await;
    assert_eq!((&sent["state"], &sent["customer_id"]), (&json!("queued"), &Value::Null));
    for wrong in [json!({"phone": "12"}), json!({"phone": "0722000111", "language": "fr"}), json!({})] {
        assert_eq!(api.post(path, path, &wrong).await["error"]["code"], "invalid", "{wrong}");
    }
    let customer = &served.world.customer.id;
    let described = "/api/customers/{id}/language";
    let path = format!("/api/customers/{customer}/language");
    let wrong = api.post(described, &path, &json!({"language": "fr"})).await;
    assert_eq!(wrong["error"]["code"], "invalid", "{wrong}");
    let none = api.post(described, "/api/customers/nobody/language", &json!({"language": "sw"})).await;
    assert_eq!(none["error"]["code"], "not_found", "{none}");
    for language in [json!("sw"), json!(null), json!("en")] {
        assert_eq!(api.post(described, &path, &json!({"language": language})).await["language"], language);
        let told = api.get("/api/customers/{id}", &format!("/api/customers/{customer}")).await;
        assert_eq!(told["language"], language);
    }
    super::texts::refund(served, "r1").await;
    let page = api.get("/api/messages", "/api/messages?limit=1").await;
    let older = format!("/api/messages?limit=1&before={}", page["next"].as_str().unwrap());
    assert_ne!(api.get("/api/messages", &older).await["messages"][0]["id"], page["messages"][0]["id"]);
    let found = format!("/api/messages?customer={customer}&occasion=refunded&state=queued&from_ms=0");
    let found = api.get("/api/messages", &found).await;
    assert_eq!(found["messages"].as_array().unwrap().len(), 1, "{found}");
    assert!(!found.to_string().contains("712345678"), "numbers are masked");
    for wrong in ["limit=0", "state=lost", "occasion=birthday"] {
        let refused = api.get("/api/messages", &format!("/api/messages?{wrong}")).await;
        assert_eq!(refused["error"]["code"], "invalid", "{wrong}");
    }
    api.get("/api/messages/{id}", &format!("/api/messages/{}", id(&sent))).await;
    api.get("/api/messages/{id}", "/api/messages/none").await;
}

/// A site and its tickets.
async fn new_sites(api: &mut Checker) {
    let (sites, tickets, revoke) = ("/api/sites", "/api/sites/{id}/tickets", "/api/sites/{id}/revoke");
    let new = json!({"id": "othaya-01", "name": "Othaya"});
    let added = api.post(sites, sites, &new).await;
    assert!(added["ticket"].as_str().is_some_and(|ticket| ticket.starts_with("tawi1.")), "{added}");
    assert_eq!(api.post(sites, sites, &new).await["error"]["code"], "taken");
    assert_eq!(api.post(sites, sites, &json!({"id": "O", "name": ""})).await["error"]["code"], "invalid");
    let again = api.post(tickets, "/api/sites/othaya-01/tickets", &json!({})).await;
    assert_ne!(again["ticket"], added["ticket"]);
    let nobodys = api.post(tickets, "/api/sites/nobody/tickets", &json!({})).await;
    assert_eq!(nobodys["error"]["code"], "not_found");
    api.post(revoke, "/api/sites/othaya-01/revoke", &json!({})).await;
}

fn assert_nothing_is_left_out(api: &Checker) {
    for route in api::routes().iter().filter(|route| route.path != "/api/events") {
        let operation = format!("{} {} 20", route.method.to_ascii_lowercase(), route.path);
        let is_covered = api.covered.iter().any(|covered| covered.starts_with(&operation));
        assert!(is_covered, "{operation}x is never asked");
    }
}

async fn statements(api: &mut Checker) {
    let path = "/api/payments/statements";
    let csv = "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed\n\
               RKL51ZDR4G,2026-11-21 12:13:25,Pay Bill Charge,Completed,,-3.00,7.00,true\n";
    let tried = api.post(path, path, &json!({"csv": csv, "is_dry_run": true})).await;
    assert_eq!((&tried["charges_booked"], &tried["is_dry_run"]), (&json!(1), &json!(true)), "{tried}");
    for (booked, known) in [(1, 0), (0, 1)] {
        let taken = api.post(path, path, &json!({"csv": csv, "short_code": "174379"})).await;
        assert_eq!((&taken["charges_booked"], &taken["charges_known"]), (&json!(booked), &json!(known)));
        assert_eq!((&taken["opening_cents"], &taken["adds_up"]), (&json!(1_000), &json!(true)), "{taken}");
    }
    let drawn = csv.replace("Pay Bill Charge", "Something new").replace("4G", "4H").replace("7.00", "4.00");
    let taken = api.post(path, path, &json!({"csv": drawn, "short_code": "174379"})).await;
    assert_eq!(taken["for_review"], 1, "{taken}");
    let of_day = "/api/daily-closes/{day}";
    let day = api.get(of_day, "/api/daily-closes/2026-11-21").await;
    let found = day["closes"][0]["differences"].as_array().unwrap();
    let found = found.iter().find(|one| one["kind"] == "not_booked").unwrap();
    let described = "/api/payments/review/statement_row/{id}/booking";
    let booking = described.replace("{id}", found["statement_row"].as_str().unwrap());
    let wrong = api.post(described, &booking, &json!({"what": "lunch", "note": "x"})).await;
    assert_eq!(wrong["error"]["code"], "invalid", "{wrong}");
    let booked = api.post(described, &booking, &json!({"what": "bank", "note": "drawn by the owner"})).await;
    assert_eq!((&booked["what"], &booked["amount_cents"]), (&json!("bank"), &json!(-300)), "{booked}");
    let again = api.post(described, &booking, &json!({"what": "bank", "note": "again"})).await;
    assert_eq!(again["error"]["code"], "already_booked", "{again}");
    let none =
        api.post(described, &described.replace("{id}", "none"), &json!({"what": "bank", "note": "x"})).await;
    assert_eq!(none["error"]["code"], "not_found", "{none}");
    let day = api.get(of_day, "/api/daily-closes/2026-11-21").await;
    assert_eq!(day["closes"][0]["looked_at"][0]["settled_as"], "bank", "{day}");
    for wrong in
        [json!({"csv": "no statement"}), json!({"csv": csv, "short_code": "1"}), json!({"text": csv})]
    {
        assert_eq!(api.post(path, path, &wrong).await["error"]["code"], "invalid", "{wrong}");
    }
}

/// Waits on the bell, not on the clock.
async fn wait_for_payment(served: &Served, program: &Program) -> Value {
    let mut hints = served.controller.live.listen();
    let found = async {
        loop {
            let list = program.read("/api/payments").await;
            if let Some(payment) = list["payments"].as_array().unwrap().first() {
                PaymentId::parse(payment["id"].as_str().unwrap()).unwrap();
                return payment.clone();
            }
            let _ = hints.recv().await;
        }
    };
    tokio::time::timeout(crate::web::testing::DEADLINE, found).await.expect("the payment arrives")
}

/// Cash is booked once a key, a transfer once a reference, and cash goes to the bank once a slip.
async fn counter(api: &mut Checker, customer: &str) {
    let described = "/api/customers/{id}/counter-payments";
    let path = format!("/api/customers/{customer}/counter-payments");
    let cash = json!({"amount_cents": 120_000, "means": "cash", "note": "two notes"});
    for _ in 0..2 {
        let answer = api.program.post_as("one-key-for-one-handful", &path, &cash).await;
        let taken = api.check("post", described, &answer);
        assert_eq!((answer.status, &taken["provider"]), (201, &json!("cash")), "{taken}");
    }
    assert_eq!(api.post(described, &path, &cash).await["error"]["code"], "perhaps_taken");
    let transfer = json!({"amount_cents": 50_000, "means": "bank", "reference": "FT-77"});
    assert_eq!(api.post(described, &path, &transfer).await["receipt_number"], "FT77");
    assert_eq!(api.post(described, &path, &transfer).await["error"]["code"], "already_taken");
    for (bad, field) in [
        (json!({"amount_cents": 0, "means": "cash"}), "amount_cents"),
        (json!({"amount_cents": 1, "means": "cash", "reference": "X1"}), "reference"),
        (json!({"amount_cents": 1, "means": "bank"}), "reference"),
        (json!({"amount_cents": 1, "means": "cheque"}), "means"),
        (json!({"amount_cents": 1, "means": "cash", "subscription_id": "none"}), "subscription_id"),
    ] {
        let refused = api.post(described, &path, &bad).await;
        assert_eq!(refused["error"]["code"], "invalid", "{bad}: {refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(field), "{bad}: {refused}");
    }
    let nobody = api.post(described, "/api/customers/nobody/counter-payments", &cash).await;
    assert_eq!(nobody["error"]["code"], "not_found", "{nobody}");
    let day = api.get("/api/daily-closes/{day}", "/api/daily-closes/2026-11-26").await;
    assert_eq!((&day["day"], day["closes"].is_array()), (&json!("2026-11-26"), true), "{day}");
    let bad = api.get("/api/daily-closes/{day}", "/api/daily-closes/yesterday").await;
    assert_eq!(bad["error"]["code"], "invalid", "{bad}");
    assert_eq!(api.get("/api/proof", "/api/proof").await["findings"], json!([]));
    let health = api.get("/api/mpesa/health", "/api/mpesa/health").await;
    assert_eq!(health["short_codes"][0]["short_code"], "174379", "{health}");
    assert_eq!(health["intake"]["standing"], "good", "{health}");
    let held = api.get("/api/cash", "/api/cash").await;
    assert_eq!(held["drawers"][0]["holds_cents"], 120_000, "{held}");
    let bank = "/api/cash/bankings";
    let slip =
        |cents, slip| json!({"holder": held["drawers"][0]["holder"], "amount_cents": cents, "slip": slip});
    assert_eq!(api.post(bank, bank, &slip(120_001, "S1")).await["error"]["code"], "more_than_held");
    assert_eq!(api.post(bank, bank, &slip(120_000, "S1")).await["slip"], "S1");
    assert_eq!(api.post(bank, bank, &slip(1, "s-1")).await["error"]["code"], "already_banked");
    assert_eq!(api.post(bank, bank, &slip(1, "")).await["error"]["code"], "invalid");
    assert_eq!(api.get("/api/cash", "/api/cash").await["drawers"], json!([]));
}

/// A payment that is nobody's goes to nobody who is not there, and to a customer once.
async fn assign(api: &mut Checker, payment: &str, customer: &str) {
    let (described, path) = ("/api/payments/{id}/assign", format!("/api/payments/{payment}/assign"));
    let nobody = json!({"customer_id": "nobody"});
    assert_eq!(api.post(described, &path, &nobody).await["error"]["code"], "invalid");
    let unknown = api.post(described, "/api/payments/none/assign", &nobody).await;
    assert_eq!(unknown["error"]["code"], "not_found", "{unknown}");
    let theirs = json!({"customer_id": customer});
    let given = api.post(described, &path, &theirs).await;
    assert_eq!(given["customer_id"], customer, "{given}");
    assert_eq!(api.post(described, &path, &theirs).await["error"]["code"], "already_so");
}

/// Booked money goes to nobody and back, in parts, and out of the books again; and what is owed is written off.
async fn corrections(api: &mut Checker, served: &Served, customer: &str) {
    let take = format!("/api/customers/{customer}/counter-payments");
    let taken = async |api: &mut Checker| {
        let cash = json!({"amount_cents": 9_000, "means": "cash"});
        id(&api.post("/api/customers/{id}/counter-payments", &take, &cash).await)
    };
    let payment = taken(api).await;
    let (described, path) = ("/api/payments/{id}/move", format!("/api/payments/{payment}/move"));
    let moved = api.post(described, &path, &json!({})).await;
    assert_eq!(moved["payments"][0]["no_owner"], "taken_back", "{moved}");
    assert_eq!(api.post(described, &path, &json!({})).await["error"]["code"], "already_so");
    let nobody = json!({"customer_id": "nobody"});
    assert_eq!(api.post(described, &path, &nobody).await["error"]["code"], "invalid");
    let theirs = json!({"customer_id": customer});
    let moved = api.post(described, &path, &theirs).await;
    assert_eq!((&moved["payments"][0]["customer_id"], &moved["owes_cents"]), (&json!(customer), &json!(0)));
    let unknown = api.post(described, "/api/payments/none/move", &theirs).await;
    assert_eq!(unknown["error"]["code"], "not_found");
    let (described, path) = ("/api/payments/{id}/split", format!("/api/payments/{payment}/split"));
    let parts = |second: i64| json!({"parts": [{"customer_id": customer, "amount_cents": 1}, {"amount_cents": second}]});
    assert_eq!(api.post(described, &path, &parts(9_000)).await["error"]["code"], "invalid");
    let done = api.post(described, &path, &parts(8_999)).await;
    assert_eq!(
        (&done["payments"][0]["part_of_id"], &done["payments"][1]["customer_id"]),
        (&json!(payment), &json!(null))
    );
    assert_eq!(api.post(described, &path, &parts(8_999)).await["error"]["code"], "split");
    let payment = taken(api).await;
    let (described, path) = ("/api/payments/{id}/undo", format!("/api/payments/{payment}/undo"));
    assert_eq!(api.post(described, &path, &json!({})).await["payments"][0]["closed"], "undone");
    assert_eq!(api.post(described, &path, &json!({})).await["error"]["code"], "undone");
    let (described, path) =
        ("/api/customers/{id}/write-offs", format!("/api/customers/{customer}/write-offs"));
    served.empty_wallet(customer, Money::from_cents(700)).await;
    let more = api.post(described, &path, &json!({"amount_cents": 701})).await;
    assert_eq!(more["error"]["code"], "owes_less", "{more}");
    let written = api.post(described, &path, &json!({})).await;
    assert_eq!((&written["amount_cents"], &written["wallet_cents"]), (&json!(700), &json!(0)));
    assert_eq!(api.post(described, &path, &json!({})).await["error"]["code"], "invalid");
    let nobody = api.post(described, "/api/customers/nobody/write-offs", &json!({})).await;
    assert_eq!(nobody["error"]["code"], "not_found");
}

/// What else a customer may type as account is entered, is one customer's alone, and is taken away.
async fn references(api: &mut Checker, (customer, line): (&str, &str)) {
    let new = json!({"name": "Somebody Else", "phone": "0733000999"});
    let other = id(&api.post("/api/customers", "/api/customers", &new).await);
    let described = "/api/customers/{id}/references";
    let of = |customer: &str| format!("/api/customers/{customer}/references");
    let named = |reference: &str| json!({"reference": reference});
    let entered = json!({"reference": "inv 2026-0012", "subscription_id": line});
    let entered = api.post(described, &of(customer), &entered).await;
    assert_eq!(
        (&entered["reference"], &entered["subscription_id"]),
        (&json!("INV20260012"), &json!(line)),
        "{entered}"
    );
    let again = api.post(described, &of(customer), &named("INV-2026-0012")).await;
    assert_eq!((&again["written"], &again["subscription_id"]), (&json!("INV-2026-0012"), &json!(null)));
    let listed = api.get(described, &of(customer)).await;
    assert_eq!(listed["references"].as_array().unwrap().len(), 1, "{listed}");
    let anothers = api.post(described, &of(&other), &named("INV-2026-0012")).await;
    assert_eq!(anothers["error"]["code"], "anothers");
    for (customer, body, code) in [
        (customer, named("rent"), "invalid"),
        (customer, named("10000014"), "invalid"),
        ("nobody", named("INV-1"), "not_found"),
        (other.as_str(), json!({"reference": "INV-1", "subscription_id": line}), "invalid"),
    ] {
        let refused = api.post(described, &of(customer), &body).await;
        assert_eq!(refused["error"]["code"], code, "{body}: {refused}");
    }
    let described = "/api/customers/{id}/references/remove";
    let remove = |customer: &str| format!("{}/remove", of(customer));
    let refused = api.post(described, &remove(&other), &named("INV-2026-0012")).await;
    assert_eq!(refused["error"]["code"], "not_found", "it is not theirs");
    let left = api.post(described, &remove(customer), &named("inv2026/0012")).await;
    assert_eq!(left["references"], json!([]));
}

/// A payment of M-Pesa goes back to whoever paid it: its money is held, and what a person decides is one of five words.
async fn refunds(api: &mut Checker, payment: &str) {
    let (described, path) = ("/api/payments/{id}/refunds", format!("/api/payments/{payment}/refunds"));
    let wanted =
        |way: &str, amount: Option<i64>| json!({"way": way, "amount_cents": amount, "reason": "paid twice"});
    let none = api.post(described, "/api/payments/none/refunds", &wanted("reversal", None)).await;
    assert_eq!(none["error"]["code"], "not_found");
    for bad in [wanted("post", None), wanted("reversal", Some(1)), json!({"way": "reversal", "reason": ""})] {
        assert_eq!(api.post(described, &path, &bad).await["error"]["code"], "invalid", "{bad}");
    }
    let refund = api.post(described, &path, &wanted("reversal", None)).await;
    assert_eq!((&refund["state"], &refund["payment_id"]), (&json!("held"), &json!(payment)));
    let again = api.post(described, &path, &wanted("reversal", None)).await;
    assert_eq!(again["error"]["code"], "refunded", "{again}");
    let listed = api.get("/api/refunds", "/api/refunds?state=held&limit=5").await;
    assert_eq!(listed["refunds"][0]["id"], refund["id"]);
    assert_eq!(api.get("/api/refunds", "/api/refunds?state=lost").await["error"]["code"], "invalid");
    assert_eq!(api.get("/api/refunds", "/api/refunds?limit=0").await["error"]["code"], "invalid");
    let one = format!("/api/refunds/{}", id(&refund));
    assert_eq!(api.get("/api/refunds/{id}", &one).await["reason"], "paid twice");
    assert_eq!(api.get("/api/refunds/{id}", "/api/refunds/none").await["error"]["code"], "not_found");
    let decided = "/api/refunds/{id}/{decision}";
    for (decision, code) in [("approve", "not_now"), ("went-through", "not_now"), ("perhaps", "not_found")] {
        let answer = api.post(decided, &format!("{one}/{decision}"), &json!({})).await;
        assert_eq!(answer["error"]["code"], code, "{decision}");
    }
    assert_eq!(api.post(decided, &format!("{one}/withdraw"), &json!({})).await["state"], "withdrawn");
}
