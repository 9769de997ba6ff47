//! Reading bodies and wording answers of the control port.
//!
//! Every mistake of the caller becomes `{"error":"…"}` with status 400, 404, 409 or 413. Nothing here
//! knows what the operations do.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::handle::ControlError;

/// A refusal of the control port.
#[derive(Debug)]
pub(crate) struct ControlRefusal {
    status: StatusCode,
    message: String,
}

impl ControlRefusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<ControlError> for ControlRefusal {
    fn from(error: ControlError) -> Self {
        let status = match error {
            ControlError::NotFound(_) => StatusCode::NOT_FOUND,
            ControlError::NothingToSend(_) | ControlError::TooManyPhones => StatusCode::CONFLICT,
            ControlError::Invalid { .. }
            | ControlError::NotTheMerchant(_)
            | ControlError::Account
            | ControlError::Phone(_)
            | ControlError::Copies
            | ControlError::TooLong(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<QueryRejection> for ControlRefusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl IntoResponse for ControlRefusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// Reads a JSON body, whatever its `Content-Type` says: people call this with curl.
pub(crate) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ControlRefusal> {
    let body = body.map_err(|rejection| ControlRefusal::new(rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body)
        .map_err(|error| ControlRefusal::new(StatusCode::BAD_REQUEST, error.to_string()))
}

/// The same, where an empty body means "as usual".
pub(crate) fn read_or_default<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, ControlRefusal> {
    match body {
        Ok(bytes) if bytes.is_empty() => Ok(T::default()),
        body => read(body),
    }
}

/// A JSON answer with status 200.
pub(crate) fn json_answer<T: Serialize>(value: &T) -> Response {
    Json(value).into_response()
}

/// The thing, or a 404 that names it.
pub(crate) fn found_or<T: Serialize>(
    thing: Option<&T>,
    name: &'static str,
) -> Result<Response, ControlRefusal> {
    match thing {
        Some(thing) => Ok(json_answer(thing)),
        None => Err(ControlError::NotFound(name).into()),
    }
}
