//! `GET /oauth/v1/generate`: one living token at a time, and the check that every other call makes.
//!
//! Each new token kills the previous one, as Safaricom's FAQ says; two processes that share a consumer
//! key without sharing a token therefore fight, and a test can see it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::clock::UnixMillis;
use crate::faults::TokenError;
use crate::gateway::Gateway;
use crate::refusals::Refusal;
use crate::settings::ExpiresInForm;

/// The one token that is good, if any.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    current: Option<Token>,
}

struct Token {
    text: String,
    expires_at: UnixMillis,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Puts a new token in the place of the previous one.
    pub(crate) fn issue(&mut self, text: String, now: UnixMillis, lifetime: Duration) {
        self.current = Some(Token { text, expires_at: now.plus(lifetime) });
    }

    /// Whether this is the current token and still good.
    pub(crate) fn accepts(&self, text: &str, now: UnixMillis) -> bool {
        self.current.as_ref().is_some_and(|token| token.text == text && now < token.expires_at)
    }

    /// Kills the current token.
    pub(crate) fn expire(&mut self) {
        self.current = None;
    }
}

/// Which part of Daraja refuses a dead token; each has its own code for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    Stk,
    C2b,
    Pull,
}

impl Family {
    fn usual_error(self) -> TokenError {
        match self {
            Self::Stk => TokenError::NotFound,
            Self::C2b => TokenError::UnauthorizedC2b,
            Self::Pull => TokenError::BadRequest,
        }
    }
}

/// Checks the `Authorization: Bearer` header.
pub(crate) fn check_bearer(gateway: &Gateway, headers: &HeaderMap, family: Family) -> Result<(), Refusal> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .filter(|token| !token.is_empty())
        .ok_or_else(Refusal::authentication_header)?;
    let now = gateway.clock.now();
    gateway.read(|state| {
        if state.tokens.accepts(token, now) {
            Ok(())
        } else {
            Err(invalid_token(state.faults.token_error.unwrap_or(family.usual_error())))
        }
    })
}

fn invalid_token(error: TokenError) -> Refusal {
    let (status, code) = match error {
        TokenError::NotFound => (StatusCode::NOT_FOUND, "404.001.03"),
        TokenError::BadRequest => (StatusCode::BAD_REQUEST, "400.003.01"),
        TokenError::Unauthorized => (StatusCode::UNAUTHORIZED, "401.002.01"),
        TokenError::UnauthorizedC2b => (StatusCode::UNAUTHORIZED, "401.003.01"),
    };
    Refusal::new(status, code, "Invalid Access Token")
}

/// Answers the OAuth call.
pub(crate) async fn generate(
    State(gateway): State<Arc<Gateway>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = check_basic(&gateway, &headers) {
        return gateway.refuse(&refusal);
    }
    if query.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return gateway.refuse(&Refusal::new(
            StatusCode::BAD_REQUEST,
            "400.008.02",
            "Invalid grant type passed",
        ));
    }
    let lifetime = gateway.settings.token_lifetime;
    let now = gateway.clock.now();
    let token = gateway.change(|state| {
        let token = state.seeds.access_token();
        state.tokens.issue(token.clone(), now, lifetime);
        state.counts.tokens_issued += 1;
        token
    });
    let seconds = lifetime.as_secs().saturating_sub(1);
    let expires_in = match gateway.settings.expires_in {
        ExpiresInForm::Text => json!(seconds.to_string()),
        ExpiresInForm::Number => json!(seconds),
    };
    Json(json!({"access_token": token, "expires_in": expires_in})).into_response()
}

/// Daraja has one code for a wrong kind of authentication and for wrong credentials.
fn check_basic(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Refusal> {
    let settings = &gateway.settings;
    let expected = format!("{}:{}", settings.consumer_key, settings.consumer_secret.expose());
    let matches = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded.trim()).ok())
        .is_some_and(|given| given == expected.as_bytes());
    if matches {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::BAD_REQUEST, "400.008.01", "Invalid Authentication passed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_kills_the_previous_one() {
        let mut tokens = Tokens::default();
        let hour = Duration::from_secs(3600);
        tokens.issue("one".to_owned(), UnixMillis(0), hour);
        tokens.issue("two".to_owned(), UnixMillis(1), hour);
        assert!(!tokens.accepts("one", UnixMillis(2)));
        assert!(tokens.accepts("two", UnixMillis(2)));
    }

    #[test]
    fn a_token_dies_at_the_end_of_its_life() {
        let mut tokens = Tokens::default();
        tokens.issue("one".to_owned(), UnixMillis(0), Duration::from_secs(10));
        assert!(tokens.accepts("one", UnixMillis(9_999)));
        assert!(!tokens.accepts("one", UnixMillis(10_000)));
    }
}
