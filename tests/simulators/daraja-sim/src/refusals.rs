//! Daraja's error bodies: `{requestId, errorCode, errorMessage}`, Apigee faults, and a bare HTML page.
//!
//! The codes and their HTTP statuses are those of Safaricom's Daraja 3.0 pages of December 2025. What is
//! refused, and when, is decided by the callers.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// One refusal in Daraja's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    request_id: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A field of an STK request that Daraja does not take.
    pub(crate) fn stk_field(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "400.002.02", format!("Bad Request - Invalid {field}"))
    }

    /// A field of a C2B or Pull request that Daraja does not take.
    pub(crate) fn c2b_field(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "400.003.02", format!("Bad Request - Invalid {field}"))
    }

    /// A body that is not a JSON object.
    pub(crate) fn payload() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "400.002.05", "Invalid Request Payload")
    }

    /// The wide code 500.001.1001, whose meaning is in the text alone.
    pub(crate) fn overloaded(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500.001.1001", message)
    }

    /// A missing or ill-formed `Authorization` header.
    pub(crate) fn authentication_header() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404.001.04", "Invalid Authentication Header")
    }

    /// A path that Daraja does not serve.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "404.001.01", "Resource not found")
    }

    /// A path that Daraja serves with another method.
    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "405.001", "Method Not Allowed")
    }

    /// Refused before it was processed: too much at once.
    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500.003.02", "Error Occurred: Spike Arrest Violation")
    }

    /// Refused before it was processed: too much today.
    pub(crate) fn quota() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500.003.03", "Error Occurred: Quota Violation")
    }

    /// A name that the merchant gave before: what it was given to is under way or done.
    pub(crate) fn duplicate_originator() -> Self {
        let message = "Duplicate OriginatorConversationID.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500.002.1001", message)
    }

    /// C2B URLs are one-shot in production.
    pub(crate) fn urls_already_registered() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "500.003.1001", "Urls are already registered.")
    }

    /// The HTTP answer, under the given request id.
    pub(crate) fn answer(&self, request_id: &str) -> Response {
        let body = ErrorBody { request_id, error_code: self.code, error_message: &self.message };
        (self.status, Json(body)).into_response()
    }
}

/// What Apigee answers when the product is not enabled on the app.
pub(crate) fn no_product_match() -> Response {
    let body = json!({"fault": {
        "faultstring": "Invalid API call as no apiproduct match found",
        "detail": {"errorcode": "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"},
    }});
    (StatusCode::UNAUTHORIZED, Json(body)).into_response()
}

/// What Apigee answers when Daraja, to which it has passed the request on, takes too long: nothing was refused.
pub(crate) fn gateway_timeout() -> Response {
    let body = json!({"fault": {
        "faultstring": "Gateway Timeout",
        "detail": {"errorcode": "messaging.adaptors.http.flow.GatewayTimeout"},
    }});
    (StatusCode::GATEWAY_TIMEOUT, Json(body)).into_response()
}

/// What stands before Daraja answers when Daraja is down.
pub(crate) fn html_page() -> Response {
    let page = "<html><head><title>503 Service Temporarily Unavailable</title></head>\
        <body><h1>503 Service Temporarily Unavailable</h1></body></html>\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}
