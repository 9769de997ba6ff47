//! The client of Daraja for one short code: deadlines on every call, three answers to a push.
//!
//! A push leaves soon or never. It is repeated only when the answer proves that nothing was sent. The access token is
//! `token`'s, which short codes of one app share; what answers mean is `answer`; all short codes are `short_codes`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, DATE, HeaderValue};
use tawi_shared::{Clock, UnixMillis};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, PushAnswer, QueryAnswer, Refusal, TokenAnswer};
use super::evidence::{CheckoutId, Reason};
use super::settings::MpesaSettings;
use super::stk::{self, Push};
use super::token::{TokenOwner, TokenStanding};
use crate::database::Connection;
use crate::state::Controller;

/// How long a connection may take: Daraja's own advice.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole call may take: Daraja's own advice.
const TOTAL: Duration = Duration::from_secs(30);
/// The largest answer that is read; most have less than 1 KiB, and a hundred payments of Pull some 30 KiB. Ten times
/// that, should its pages ever be longer.
const ANSWER_BYTES: usize = 512 * 1024;
/// How long a push may wait for a token, and for its turn after a refusal, before it is not sent at all. With the time
/// that a connection may take it leaves within 30 s or never: long before its request counts as lost (120 s) and another
/// may be sent.
const BEGINS_WITHIN: Duration = Duration::from_secs(20);
/// Pauses before a push that found the gateway busy is sent again: together within what a person waits for.
const BUSY_PAUSES: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1_200)];

const TOKEN_PATH: &str = "/oauth/v1/generate?grant_type=client_credentials";
const PUSH_PATH: &str = "/mpesa/stkpush/v1/processrequest";
pub(super) const QUERY_PATH: &str = "/mpesa/stkpushquery/v1/query";

/// The client. Clones share the token and the connections.
#[derive(Clone, Debug)]
pub struct Daraja {
    http: reqwest::Client,
    settings: Arc<MpesaSettings>,
    clock: Clock,
    token: Arc<TokenOwner>,
}

/// Why there is no client.
#[derive(Debug, Error)]
#[error("making the M-Pesa client: {0}")]
pub struct DarajaError(#[source] reqwest::Error);

/// How one HTTP exchange ended.
pub(super) enum Exchange {
    /// With a body, whatever is in it.
    Answered(Vec<u8>),
    /// No connection: nothing was sent.
    NotSent(Reason),
    /// Sent, and the answer was lost.
    Lost,
}

impl Daraja {
    /// A client for one short code alone. Opens no connection yet.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: MpesaSettings, controller: &Controller) -> Result<Self, DarajaError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tawi-controller/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(DarajaError)?;
        let (database, clock, ids) = (&controller.database, &controller.clock, &controller.ids);
        let token = TokenOwner::new(&settings, database.clone(), clock.clone(), ids.clone());
        Ok(Self { http, settings: Arc::new(settings), clock: clock.clone(), token: Arc::new(token) })
    }

    /// A client for another short code, with the same connections, and the same token where it is of the same app.
    pub(super) fn beside(&self, settings: MpesaSettings, controller: &Controller) -> Self {
        let (database, clock, ids) = (&controller.database, &controller.clock, &controller.ids);
        let token = if self.is_same_app(&settings) {
            Arc::clone(&self.token)
        } else {
            Arc::new(TokenOwner::new(&settings, database.clone(), clock.clone(), ids.clone()))
        };
        Self { http: self.http.clone(), settings: Arc::new(settings), clock: clock.clone(), token }
    }

    /// Whether these settings are of the same app, whose token is one.
    pub(super) fn is_same_app(&self, settings: &MpesaSettings) -> bool {
        TokenOwner::is_of(&self.settings, settings)
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &MpesaSettings {
        &self.settings
    }

    /// Asks a phone for money. Takes at most 80 s, and is sent in the first 30 s or never. Never sent twice unless it
    /// certainly reached nobody.
    pub async fn push(&self, push: &Push) -> PushAnswer {
        let deadline = after(BEGINS_WITHIN);
        let mut refused = Refusal::Final(Reason::new("", "M-Pesa gave no access token in time"));
        let mut pauses = BUSY_PAUSES.iter();
        let mut token_was_dead = false;
        loop {
            let bearer = match timeout_at(deadline, self.bearer()).await {
                Ok(Ok(bearer)) if Instant::now() < deadline => bearer,
                Ok(Err(reason)) => return PushAnswer::Refused(Refusal::Final(reason)),
                Ok(Ok(_)) | Err(_) => return PushAnswer::Refused(refused),
            };
            let body = stk::push_body(&self.settings, push, self.now());
            let answer = match self.post(PUSH_PATH, &bearer, &body).await {
                Exchange::Answered(body) => answer::of_push(&body),
                Exchange::NotSent(reason) => PushAnswer::Refused(Refusal::Final(reason)),
                Exchange::Lost => PushAnswer::Unknown,
            };
            match answer {
                PushAnswer::Refused(Refusal::Token) if !token_was_dead => {
                    token_was_dead = true;
                    refused = Refusal::Token;
                    if timeout_at(deadline, self.token.forget(&bearer)).await.is_err() {
                        return PushAnswer::Refused(refused);
                    }
                }
                PushAnswer::Refused(Refusal::Busy(reason)) => {
                    refused = Refusal::Busy(reason);
                    match pauses.next() {
                        Some(pause) => tokio::time::sleep(*pause).await,
                        None => return PushAnswer::Refused(refused),
                    }
                }
                other => return other,
            }
        }
    }

    /// Asks something that may be asked twice, and gives the answer back as it came. Once more if the token was dead.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, path: &str, body: &impl serde::Serialize) -> Result<Vec<u8>, Reason> {
        match self.call(path, body).await {
            Exchange::Answered(answer) => Ok(answer),
            Exchange::NotSent(reason) => Err(reason),
            Exchange::Lost => Err(Reason::new("", "M-Pesa did not answer")),
        }
    }

    /// Sends something once, and says how that ended; once more if the token was dead, since nothing was done then.
    pub(super) async fn call(&self, path: &str, body: &impl serde::Serialize) -> Exchange {
        let mut token_was_dead = false;
        loop {
            let bearer = match self.bearer().await {
                Ok(bearer) => bearer,
                Err(reason) => return Exchange::NotSent(reason),
            };
            match self.post(path, &bearer, body).await {
                Exchange::Answered(answer) if !token_was_dead && answer::is_token_refused(&answer) => {
                    token_was_dead = true;
                    self.token.forget(&bearer).await;
                }
                other => return other,
            }
        }
    }

    /// Asks what became of a prompt.
    pub async fn query(&self, checkout: &CheckoutId) -> QueryAnswer {
        for _ in 0..2 {
            let Ok(bearer) = self.bearer().await else {
                return QueryAnswer::NoAnswer;
            };
            let body = stk::query_body(&self.settings, checkout, self.now());
            let Exchange::Answered(body) = self.post(QUERY_PATH, &bearer, &body).await else {
                return QueryAnswer::NoAnswer;
            };
            match answer::of_query(&body) {
                QueryAnswer::Token => self.token.forget(&bearer).await,
                other => return other,
            }
        }
        QueryAnswer::NoAnswer
    }

    /// Whether there is a token for us, in force or new.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn prove_token(&self) -> Result<(), Reason> {
        self.bearer().await.map(drop)
    }

    /// How the access token stands. Asks Daraja nothing.
    pub(super) async fn token_standing(
        &self,
        connection: &mut Connection,
    ) -> Result<TokenStanding, sqlx::Error> {
        self.token.standing(connection).await
    }

    /// Asks for nothing and shows nothing, so that no token dies of it: whether Daraja is there, and what its clock shows.
    ///
    /// # Errors
    /// Why it cannot be reached: its name, the way there, or TLS.
    pub(super) async fn knock(&self) -> Result<Option<String>, String> {
        let url = format!("{}{TOKEN_PATH}", self.settings.base_url);
        match self.http.get(url).send().await {
            Ok(response) => {
                let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
                Ok(date.map(str::to_owned))
            }
            Err(error) => Err(causes(&error.without_url())),
        }
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    async fn bearer(&self) -> Result<HeaderValue, Reason> {
        self.token.bearer(self.ask_for_token()).await
    }

    async fn ask_for_token(&self) -> Result<TokenAnswer, Reason> {
        let url = format!("{}{TOKEN_PATH}", self.settings.base_url);
        let secret = self.settings.consumer_secret.reveal();
        let request = self.http.get(url).basic_auth(&self.settings.consumer_key, Some(secret));
        match exchange(request).await {
            Exchange::Answered(body) => answer::of_token(&body),
            Exchange::NotSent(reason) => Err(reason),
            Exchange::Lost => Err(Reason::new("", "M-Pesa did not answer a request for an access token")),
        }
    }

    async fn post(&self, path: &str, bearer: &HeaderValue, body: &impl serde::Serialize) -> Exchange {
        let url = format!("{}{path}", self.settings.base_url);
        exchange(self.http.post(url).header(AUTHORIZATION, bearer.clone()).json(body)).await
    }
}

/// An error with what stands behind it, which says whether it was the name, the way or TLS.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    // Each of the libraries below adds one or two.
    for _ in 0..8 {
        let Some(error) = cause else { break };
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

fn after(span: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(span).unwrap_or(now)
}

/// Sends a request and reads the answer, whatever its status.
async fn exchange(request: reqwest::RequestBuilder) -> Exchange {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => {
            let reason = Reason::new("", "M-Pesa cannot be reached");
            tracing::warn!("M-Pesa cannot be reached: {}", error.without_url());
            return Exchange::NotSent(reason);
        }
        Err(error) => {
            tracing::warn!("M-Pesa did not answer: {}", error.without_url());
            return Exchange::Lost;
        }
    };
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= ANSWER_BYTES => {
                body.extend_from_slice(&chunk);
            }
            Ok(None) => return Exchange::Answered(body),
            Ok(Some(_)) | Err(_) => return Exchange::Lost,
        }
    }
}
