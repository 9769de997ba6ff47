//! The control port over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Client, DEADLINE, settings};
use routeros_sim::{DeviceState, Settings, Simulator};

struct Control {
    simulator: Simulator,
    http: reqwest::Client,
}

impl Control {
    async fn start() -> Self {
        let control = Some("127.0.0.1:0".parse().unwrap());
        let simulator = Simulator::start(Settings { control, ..settings("7.18") }).await.unwrap();
        Self { simulator, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let address = self.simulator.control_address().unwrap();
        let request = self.http.request(method, format!("http://{address}{path}")).body(body.to_owned());
        let response = request.timeout(DEADLINE).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }
}

#[tokio::test]
async fn a_device_is_started_watched_fed_and_hung_up() {
    let control = Control::start().await;
    let secret = r#"{"name":"plot1","password":"w","service":"pppoe","disabled":false}"#;
    let (status, body) = control.ask(Method::POST, "/rows/ppp/secret", secret).await;
    assert_eq!((status, body), (StatusCode::CREATED, json!({"id": "*1"})));
    let device = r#"{"name":"cpe 1","service":"pppoe","username":"plot1","password":"w","redial_ms":20}"#;
    let (status, body) = control.ask(Method::POST, "/devices", device).await;
    assert_eq!((status, &body["state"]), (StatusCode::CREATED, &json!("dialing")));
    control.simulator.router().wait_for_device("cpe 1", DeviceState::Online, DEADLINE).await.unwrap();
    let traffic = r#"{"upload_bytes":5,"download_bytes":7}"#;
    let (status, body) = control.ask(Method::POST, "/devices/cpe%201/traffic", traffic).await;
    assert_eq!((status, &body["address"]), (StatusCode::OK, &json!("10.64.0.2")));
    assert_eq!((&body["upload_bytes"], &body["download_bytes"]), (&json!(5), &json!(7)));
    assert_eq!(control.get("/devices").await.as_array().unwrap().len(), 1);
    assert_eq!(control.get("/devices/cpe%201").await["sessions"], 1);
    assert_eq!(control.get("/menus/ppp/active").await[0]["name"], "plot1");
    assert_eq!(control.get("/state").await["sessions"], 1);
    assert_eq!(control.ask(Method::DELETE, "/devices/cpe%201", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(control.get("/menus/ppp/active").await, json!([]));
    assert_eq!(control.ask(Method::GET, "/devices/cpe%201", "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rows_are_edited_as_by_a_foreign_admin_and_passwords_do_not_come_out() {
    let control = Control::start().await;
    control.ask(Method::POST, "/rows/ppp/secret", r#"{"name":"a/b","password":"hunter2"}"#).await;
    let (status, _) = control.ask(Method::PUT, "/rows/ppp/secret/a/b", r#"{"limit-bytes-in":7}"#).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let rows = control.get("/menus/ppp/secret").await;
    assert_eq!((&rows[0]["limit-bytes-in"], &rows[0]["password"]), (&json!("7"), &json!("<redacted>")));
    let (status, _) = control.ask(Method::PUT, "/rows/system/identity", r#"{"name":"Nyali"}"#).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(control.get("/state").await["identity"], "Nyali");
    assert_eq!(control.ask(Method::DELETE, "/rows/ppp/secret/*1", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(control.ask(Method::DELETE, "/rows/ppp/secret/*1", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(control.get("/writes?after=0").await, json!([]), "a foreign admin is no API client");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_cure() {
    let control = Control::start().await;
    let refusals = [
        (Method::POST, "/devices", "{", StatusCode::BAD_REQUEST, "send JSON like"),
        (
            Method::POST,
            "/devices",
            r#"{"name":"x","service":"dsl","username":"u"}"#,
            StatusCode::BAD_REQUEST,
            "use pppoe",
        ),
        (
            Method::POST,
            "/devices",
            r#"{"name":"x","service":"pppoe","username":"u","mac":"1"}"#,
            StatusCode::BAD_REQUEST,
            "write it like",
        ),
        (
            Method::POST,
            "/devices",
            r#"{"name":"x","service":"pppoe","username":"u","redial":1}"#,
            StatusCode::BAD_REQUEST,
            "unknown field",
        ),
        (Method::POST, "/faults", r#"{"slow":true}"#, StatusCode::BAD_REQUEST, "unknown field"),
        (Method::POST, "/faults", r#"{"latency_ms":99999999}"#, StatusCode::BAD_REQUEST, "at most"),
        (Method::POST, "/reboot", "", StatusCode::BAD_REQUEST, "down_ms"),
        (Method::POST, "/rows/ppp/secret", r#"{"name":["x"]}"#, StatusCode::BAD_REQUEST, "must be a string"),
        (
            Method::POST,
            "/rows/ppp/secret",
            r#"{"name":"x","colour":"red"}"#,
            StatusCode::BAD_REQUEST,
            "unknown parameter colour",
        ),
        (Method::GET, "/menus/ppp/sekret", "", StatusCode::NOT_FOUND, "write it like ppp/secret"),
        (Method::GET, "/nowhere", "", StatusCode::NOT_FOUND, "/devices"),
        (Method::POST, "/devices/x/traffic", "{}", StatusCode::NOT_FOUND, "GET /devices"),
    ];
    for (method, path, body, status, cure) in refusals {
        let (found, answer) = control.ask(method, path, body).await;
        assert_eq!(found, status, "{path} {body}");
        assert!(answer["error"].as_str().unwrap().contains(cure), "{path} {body}: {answer}");
    }
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(100_000));
    assert_eq!(control.ask(Method::POST, "/rows/ppp/secret", &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn faults_are_set_one_by_one_and_cleared_together() {
    let control = Control::start().await;
    control.ask(Method::POST, "/faults", r#"{"latency_ms":5}"#).await;
    let (_, faults) = control.ask(Method::POST, "/faults", r#"{"stall":true}"#).await;
    assert_eq!((&faults["latency_ms"], &faults["stall"]), (&json!(5), &json!(true)));
    assert_eq!(control.ask(Method::DELETE, "/faults", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(control.get("/faults").await["stall"], false);
    let mut client = Client::logged_in(&control.simulator).await;
    assert_eq!(control.ask(Method::POST, "/drop-connections", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.next().await, None);
    let mut client = Client::logged_in(&control.simulator).await;
    assert_eq!(control.ask(Method::POST, "/reboot", r#"{"down_ms":50}"#).await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn the_box_is_changed_reset_and_replaced_over_the_control_port() {
    let control = Control::start().await;
    let post = |path, body| control.ask(Method::POST, path, body);
    assert_eq!(post("/license", r#"{"level":4}"#).await.0, StatusCode::NO_CONTENT);
    let before = control.get("/state").await;
    assert_eq!(before["license_level"], "4");
    assert_eq!(post("/device-mode", r#"{"hotspot":false,"container":true}"#).await.0, StatusCode::NO_CONTENT);
    let mode = control.get("/menus/system/device-mode").await;
    assert_eq!((&mode[0]["hotspot"], &mode[0]["container"]), (&json!("false"), &json!("true")));

    let (status, packages) = post("/packages", r#"{"container":"missing"}"#).await;
    assert_eq!((status, packages.as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(post("/flash", r#"{"free_hdd_space":300000}"#).await.0, StatusCode::NO_CONTENT);
    assert_eq!(control.get("/menus/system/resource").await[0]["free-hdd-space"], "300000");

    let house = r#"{"name":"house","service":"ipoe","address":"10.9.0.5"}"#;
    assert_eq!(post("/devices", house).await.0, StatusCode::CREATED);
    let router = control.simulator.router();
    router.wait_for_device("house", DeviceState::Online, DEADLINE).await.unwrap();
    assert_eq!(control.get("/devices/house").await["address"], "10.9.0.5");

    post("/rows/ip/pool", r#"{"name":"p","ranges":"10.1.0.2-10.1.0.9"}"#).await;
    assert_eq!(post("/reset", r#"{"keep_users":true,"down_ms":0}"#).await.0, StatusCode::NO_CONTENT);
    assert_eq!(control.get("/menus/ip/pool").await, json!([]));
    assert_eq!(control.get("/state").await["serial_number"], before["serial_number"]);
    let (status, replaced) = post("/replace", r#"{"down_ms":0}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(replaced["serial_number"], before["serial_number"]);

    for (path, body, cure) in [
        ("/license", r#"{"level":7}"#, "levels are 0, 1, 3, 4, 5 and 6"),
        ("/device-mode", r#"{"teleport":true}"#, "it knows container, hotspot"),
        ("/device-mode", r#"{"hotspot":"no"}"#, "send JSON like"),
        ("/packages", r#"{"ppp":"missing"}"#, "it can container"),
        ("/packages", r#"{"container":"gone"}"#, "send JSON like"),
        ("/flash", r#"{"bad_blocks":101}"#, "0 to 100 per cent"),
        ("/flash", r#"{"free":1}"#, "send JSON like"),
        ("/reset", "{}", "down_ms"),
        ("/devices", r#"{"name":"x","service":"ipoe"}"#, "needs its fixed `address`"),
        (
            "/devices",
            r#"{"name":"x","service":"pppoe","username":"u","address":"10.0.0.1"}"#,
            "no other device has one",
        ),
        (
            "/devices",
            r#"{"name":"x","service":"l2tp","username":"u","calls_from":"home"}"#,
            "is no IPv4 address",
        ),
        ("/faults", r#"{"cpu_load":101}"#, "at most 100"),
        ("/faults", r#"{"trap_prints_menu":"ppp/sekret"}"#, "name one like ppp/secret"),
    ] {
        let (status, answer) = post(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert!(answer["error"].as_str().unwrap().contains(cure), "{path} {body}: {answer}");
    }
}
