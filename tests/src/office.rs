//! Head office as a program sees it: the controller's JSON API with a bearer token.
//!
//! Nothing here reaches behind the API: what the stories prove, any integrator can see.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tawi_shared::IdSource;
use tokio::time::{Instant, sleep};

/// A local controller answers in milliseconds; a request that takes this long has failed.
const REQUEST: Duration = Duration::from_secs(20);
/// How often a condition is looked at while waiting for it: looking more often would be most of the load that is
/// measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A client of the API. Clones share the connection pool.
#[derive(Clone)]
pub struct Office {
    client: reqwest::Client,
    base: String,
    token: String,
    ids: IdSource,
}

/// A subscription as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Subscription {
    /// Line and subscription id.
    pub id: String,
    /// `draft`, `active`, `suspended` or `expired`.
    pub status: String,
    /// Whether a session is up.
    pub is_online: bool,
    /// End of what is paid for.
    pub paid_until_ms: Option<i64>,
}

/// A request for payment as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Intent {
    /// Its id.
    pub id: String,
    /// `prompted`, `paid`, `declined`, …
    pub state: String,
    /// The receipt, once paid.
    pub receipt_number: Option<String>,
}

/// A payment with its way to the router.
#[derive(Clone, Debug, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: String,
    /// M-Pesa's receipt.
    pub receipt_number: String,
    /// Money and packets, step by step.
    pub trace: Option<Trace>,
}

/// When each step from the callback to the router happened, in milliseconds since 1970.
#[derive(Clone, Debug, Deserialize)]
pub struct Trace {
    /// The callback came in.
    pub callback_received_at_ms: i64,
    /// The router was read back and is as it should be.
    pub verified_at_ms: Option<i64>,
    /// The customer's session came up.
    pub online_at_ms: Option<i64>,
}

impl Office {
    /// A client of the controller at `base` (`http://127.0.0.1:8080`) with an API token.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(REQUEST).build()?;
        Ok(Self { client, base: base.to_owned(), token: token.to_owned(), ids: IdSource::system() })
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("Idempotency-Key", self.ids.hex(16)).json(body);
        }
        let answer = request.send().await.with_context(|| what.clone())?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| what.clone())?;
        anyhow::ensure!(status.is_success(), "{what}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{what} answered {text}"))
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When the controller cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Writes a resource, with a fresh idempotency key.
    ///
    /// # Errors
    /// When the controller cannot be reached or refuses.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Writes a resource and returns its id.
    ///
    /// # Errors
    /// When the controller cannot be reached or refuses, or answers without an id.
    pub async fn create(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        id_of(&self.post(path, body).await?)
    }

    /// One subscription.
    ///
    /// # Errors
    /// When the controller cannot be reached or has none of that id.
    pub async fn subscription(&self, id: &str) -> anyhow::Result<Subscription> {
        Ok(serde_json::from_value(self.get(&format!("/api/subscriptions/{id}")).await?)?)
    }

    /// Sends a prompt to the customer's phone.
    ///
    /// # Errors
    /// When the controller or M-Pesa refuses.
    pub async fn ask_for_payment(&self, subscription: &str) -> anyhow::Result<Intent> {
        let path = format!("/api/subscriptions/{subscription}/payment-requests");
        Ok(serde_json::from_value(self.post(&path, &json!({})).await?)?)
    }

    /// One request for payment.
    ///
    /// # Errors
    /// When the controller cannot be reached or has none of that id.
    pub async fn intent(&self, id: &str) -> anyhow::Result<Intent> {
        Ok(serde_json::from_value(self.get(&format!("/api/intents/{id}")).await?)?)
    }

    /// One payment with its trace.
    ///
    /// # Errors
    /// When the controller cannot be reached or has none of that id.
    pub async fn payment(&self, id: &str) -> anyhow::Result<Payment> {
        Ok(serde_json::from_value(self.get(&format!("/api/payments/{id}")).await?)?)
    }

    /// The payment of a receipt.
    ///
    /// # Errors
    /// When the controller cannot be reached or has not booked it.
    pub async fn payment_of(&self, receipt: &str) -> anyhow::Result<Payment> {
        let found = self.payments_at(&format!("/api/payments?receipt={receipt}")).await?;
        found.into_iter().next().with_context(|| format!("payment {receipt}"))
    }

    /// The newest payments.
    ///
    /// # Errors
    /// When the controller cannot be reached.
    pub async fn payments(&self, limit: u32) -> anyhow::Result<Vec<Payment>> {
        self.payments_at(&format!("/api/payments?limit={limit}")).await
    }

    async fn payments_at(&self, path: &str) -> anyhow::Result<Vec<Payment>> {
        let answer = self.get(path).await?;
        let list =
            if answer.is_array() { answer } else { answer.get("payments").cloned().unwrap_or_default() };
        Ok(serde_json::from_value(list)?)
    }

    /// Waits until `look` finds something, looking again and again; the controller may be away meanwhile.
    ///
    /// # Errors
    /// When `within` passes first; with the last thing that went wrong.
    pub async fn wait_for<T, F>(&self, what: &str, within: Duration, mut look: F) -> anyhow::Result<T>
    where
        F: AsyncFnMut(&Self) -> anyhow::Result<Option<T>>,
    {
        let until = Instant::now() + within;
        let mut last = String::from("it did not come true");
        while Instant::now() < until {
            match look(self).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = format!("{error:#}"),
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("{what}: not within {within:?}: {last}")
    }
}

/// The `id` of an answer.
///
/// # Errors
/// When there is none.
pub fn id_of(answer: &Value) -> anyhow::Result<String> {
    let id = answer.get("id").and_then(Value::as_str).with_context(|| format!("no id in {answer}"))?;
    Ok(id.to_owned())
}
