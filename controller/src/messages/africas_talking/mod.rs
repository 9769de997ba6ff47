//! Africa's Talking: the client of its messaging API, and the reports that it sends back.
//!
//! `POST /version1/messaging` with a form and the key in a header (<https://developers.africastalking.com/docs/sms/sending/bulk>).
//! One text a call, because each has words of its own. A call is never repeated here: whether it may be is `state`. What
//! answers mean is `answer`, what reports say is `report`, where they arrive is `callback`.

pub mod answer;
pub mod callback;
pub mod report;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use thiserror::Error;

use super::Message;
use super::sender::Answer;
use super::settings::AfricasTalkingSettings;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole call may take: below the time that the program has to end.
const TOTAL: Duration = Duration::from_secs(15);
/// The largest answer that is read; one recipient's has some 250 bytes.
const ANSWER_BYTES: usize = 64 * 1024;
const KEY_HEADER: HeaderName = HeaderName::from_static("apikey");
const MESSAGING_PATH: &str = "/version1/messaging";
const USER_PATH: &str = "/version1/user";

/// The client. Clones share the connections.
#[derive(Clone)]
pub struct AfricasTalking {
    http: reqwest::Client,
    settings: Arc<AfricasTalkingSettings>,
    key: HeaderValue,
}

impl fmt::Debug for AfricasTalking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfricasTalking").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum NoClient {
    /// The TLS library refuses.
    #[error("making the client of Africa's Talking: {0}")]
    Http(#[from] reqwest::Error),
    /// The key is no header value.
    #[error("the API key of Africa's Talking is no header value")]
    Key,
}

/// What an exchange came to.
enum Exchange {
    Answered(u16, Vec<u8>),
    NotSent,
    Lost,
}

impl AfricasTalking {
    /// A client. Opens no connection yet.
    ///
    /// # Errors
    /// [`NoClient`].
    pub fn new(settings: AfricasTalkingSettings) -> Result<Self, NoClient> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tawi-controller/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let mut key = HeaderValue::try_from(settings.api_key.reveal()).map_err(|_| NoClient::Key)?;
        key.set_sensitive(true);
        Ok(Self { http, settings: Arc::new(settings), key })
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &AfricasTalkingSettings {
        &self.settings
    }

    /// Hands one text over, once.
    pub(super) async fn send(&self, message: &Message) -> Answer {
        let to = format!("+{}", message.phone.digits());
        let mut form = vec![
            ("username", self.settings.username.as_str()),
            ("to", to.as_str()),
            ("message", message.body.as_str()),
            ("bulkSMSMode", "1"),
        ];
        if let Some(sender_id) = &self.settings.sender_id {
            form.push(("from", sender_id));
        }
        let url = format!("{}{MESSAGING_PATH}", self.settings.base_url);
        match self.exchange(self.http.post(url).form(&form)).await {
            Exchange::Answered(status, body) => answer::of_message(status, &body),
            Exchange::NotSent => Answer::NotNow("Africa's Talking cannot be reached".to_owned()),
            Exchange::Lost => Answer::Unknown {
                reason: "Africa's Talking did not answer".to_owned(),
                provider_id: None,
                is_ill: true,
            },
        }
    }

    /// What is left in the account, as Africa's Talking writes it. Proves the way there, the user name and the key.
    ///
    /// # Errors
    /// Why it cannot be had, for a person.
    pub(super) async fn balance(&self) -> Result<String, String> {
        let url = format!("{}{USER_PATH}", self.settings.base_url);
        let request = self.http.get(url).query(&[("username", self.settings.username.as_str())]);
        match self.exchange(request).await {
            Exchange::Answered(status, body) => answer::of_user(status, &body),
            Exchange::NotSent => Err("Africa's Talking cannot be reached".to_owned()),
            Exchange::Lost => Err("Africa's Talking did not answer".to_owned()),
        }
    }

    /// Neither the number nor the words come into the log, whatever the library says of its errors: the address is left out,
    /// and a form is in none.
    async fn exchange(&self, request: reqwest::RequestBuilder) -> Exchange {
        let request = request
            .header(KEY_HEADER, self.key.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                tracing::warn!("Africa's Talking cannot be reached: {}", error.without_url());
                return Exchange::NotSent;
            }
            Err(error) => {
                tracing::warn!("Africa's Talking did not answer: {}", error.without_url());
                return Exchange::Lost;
            }
        };
        let status = response.status().as_u16();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= ANSWER_BYTES => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => return Exchange::Answered(status, body),
                Ok(Some(_)) | Err(_) => return Exchange::Lost,
            }
        }
    }
}
