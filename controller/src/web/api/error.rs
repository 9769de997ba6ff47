//! What the API answers instead of a result: a code for programs, a message and a cure for people.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::customers::Invalid;

/// Why a request was not done.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    problem: ProblemBody,
    retry_after_seconds: Option<u64>,
}

/// The body of every answer that is not a result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What went wrong.
    pub error: ProblemBody,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// For programs: one of a closed list of words, such as `not_found`.
    pub code: Cow<'static, str>,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

impl ApiError {
    /// Any refusal.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let problem = ProblemBody { code: Cow::Borrowed(code), message: message.into(), cure: cure.into() };
        Self { status, problem, retry_after_seconds: None }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(noun: &str, cure: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {noun}"), cure)
    }

    /// Control characters where none can be.
    #[must_use]
    pub fn not_plain(place: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "not_plain",
            format!("{place} has control characters in it"),
            "leave them out; a text may have line breaks and tabs",
        )
    }

    /// A value of the body that cannot be.
    #[must_use]
    pub fn invalid(field: &str, reason: impl std::fmt::Display) -> Self {
        let message = format!("{field}: {reason}");
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            message,
            format!("correct {field} and send it again"),
        )
    }

    /// Somebody was there first.
    #[must_use]
    pub fn taken(field: &str, cure: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "taken", format!("{field} is taken"), cure)
    }

    /// Somebody was there first, and it is known who.
    #[must_use]
    pub fn taken_by(field: &str, holder: &impl std::fmt::Display, cure: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "taken", format!("{field} is taken by {holder}"), cure)
    }

    /// The same request is under way.
    #[must_use]
    pub fn in_progress() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "in_progress",
            "this request is under way, or was when the controller stopped",
            "try again with the same key; if it stays so for minutes, read the resource to see what became of it",
        )
        .retry_after(2)
    }

    /// A handler that panicked or took too long; the log has it.
    #[must_use]
    pub(in crate::web) fn broken(status: StatusCode) -> Self {
        let cure = "try again with the same Idempotency-Key; the cause is in the controller's log";
        Self::new(status, "failed", "the controller could not do it", cure)
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.field, invalid.reason)
    }
}

/// Whatever failed that the caller cannot help: logged here, once, and not shown.
macro_rules! failures {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::failed(&anyhow::Error::new(error))
            }
        }
    )+ };
}

failures!(
    sqlx::Error,
    crate::customers::CustomerError,
    crate::ledger::LedgerError,
    crate::overview::OverviewError,
    crate::plans::PlanError,
    crate::subscriptions::SubscriptionError,
    crate::payments::PaymentError,
    crate::payments::traces::TraceError,
    crate::sites::SiteError,
    crate::usage::UsageError,
    crate::staff::StaffError,
);

impl ApiError {
    /// Something failed here.
    #[must_use]
    pub fn failed(error: &anyhow::Error) -> Self {
        tracing::error!(%error, "an API request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "the controller could not do it",
            "try again with the same Idempotency-Key; the cause is in the controller's log",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Problem { error: self.problem })).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tawi\""));
        }
        response
    }
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this route does not take this method",
        "see GET /api/openapi.json for what there is",
    )
}
