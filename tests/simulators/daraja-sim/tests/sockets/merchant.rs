//! A merchant's client, as thin as possible: it says what it is told to and hands back what it hears.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use daraja_sim::{Handle, Settings, Simulator};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::listener::Listener;

/// Far more than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const PHONE: &str = "254712345678";
/// Any well-formed time will do: the default settings do not compare it with the clock.
const TIMESTAMP: &str = "20260301120000";

/// A status and a JSON body.
pub(crate) type Answer = (u16, Value);

pub(crate) struct Merchant {
    pub(crate) simulator: Simulator,
    pub(crate) listener: Listener,
    pub(crate) client: Client,
}

impl Merchant {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let simulator = Simulator::start(settings).await.unwrap();
        let client = Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        Self { simulator, listener: Listener::start().await, client }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.simulator.handle()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    pub(crate) fn control_url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.control_url())
    }

    /// A fresh token. It kills the one before.
    pub(crate) async fn token(&self) -> String {
        let (status, body) =
            send(self.oauth("client_credentials").basic_auth("demo-key", Some("demo-secret"))).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn oauth(&self, grant_type: &str) -> RequestBuilder {
        self.client.get(self.url(&format!("/oauth/v1/generate?grant_type={grant_type}")))
    }

    /// A push to the usual phone, with its callback at `/c/1`.
    pub(crate) fn push_body(&self) -> Value {
        json!({
            "BusinessShortCode": 174_379,
            "Password": password(),
            "Timestamp": TIMESTAMP,
            "TransactionType": "CustomerPayBillOnline",
            "Amount": 100,
            "PartyA": 254_712_345_678_u64,
            "PartyB": 174_379,
            "PhoneNumber": 254_712_345_678_u64,
            "CallBackURL": self.listener.at("c/1"),
            "AccountReference": "12345674.ab",
            "TransactionDesc": "Internet",
        })
    }

    pub(crate) fn call(&self, token: &str, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(token).json(body)
    }

    pub(crate) fn push_call(&self, token: &str, body: &Value) -> RequestBuilder {
        self.call(token, "/mpesa/stkpush/v1/processrequest", body)
    }

    /// Pushes and expects to be accepted; returns the `CheckoutRequestID`.
    pub(crate) async fn push(&self, token: &str) -> String {
        let (status, body) = send(self.push_call(token, &self.push_body())).await;
        assert_eq!(status, 200, "{body}");
        body["CheckoutRequestID"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn query(&self, token: &str, id: &str) -> Answer {
        let body = json!({
            "BusinessShortCode": "174379",
            "Password": password(),
            "Timestamp": TIMESTAMP,
            "CheckoutRequestID": id,
        });
        send(self.call(token, "/mpesa/stkpushquery/v1/query", &body)).await
    }

    /// Registers `/v` and `/k` for validation and confirmation.
    pub(crate) async fn register(&self, token: &str, version: &str, response_type: &str) -> Answer {
        let body = json!({
            "ShortCode": "174379",
            "ResponseType": response_type,
            "ConfirmationURL": self.listener.at("k"),
            "ValidationURL": self.listener.at("v"),
        });
        send(self.call(token, &format!("/mpesa/c2b/{version}/registerurl"), &body)).await
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settled(&self) {
        assert!(self.handle().settled(DEADLINE).await, "something is still under way");
    }
}

fn password() -> String {
    STANDARD.encode(format!("174379demo-passkey{TIMESTAMP}"))
}

/// Sends and reads a JSON answer.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// The `errorCode` of an error body, with its status.
pub(crate) fn error_of(answer: &Answer) -> (u16, &str) {
    assert!(answer.1["requestId"].is_string(), "{answer:?}");
    (answer.0, answer.1["errorCode"].as_str().unwrap())
}
