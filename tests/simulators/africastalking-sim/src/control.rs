//! The control port: the operations of `Handle` as JSON over HTTP, for tests in other processes and for people.
//!
//! Unknown members are refused. It has no password and therefore belongs on loopback.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::gateway::{Faults, Handle, Text};

/// The largest body: faults with some hundred numbers.
const BODY_BYTES: usize = 16 * 1024;

pub(crate) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/texts", get(texts))
        .route("/texts/{id}/report", post(report))
        .route("/faults", get(faults).put(set_faults).delete(clear_faults))
        .route("/report-url", axum::routing::put(set_report_url))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(handle)
}

async fn texts(State(handle): State<Handle>) -> Json<Vec<Text>> {
    Json(handle.texts())
}

async fn faults(State(handle): State<Handle>) -> Json<Faults> {
    Json(handle.faults())
}

async fn set_faults(State(handle): State<Handle>, Json(faults): Json<Faults>) -> Json<Faults> {
    handle.set_faults(faults);
    Json(handle.faults())
}

async fn clear_faults(State(handle): State<Handle>) -> Json<Faults> {
    handle.set_faults(Faults::default());
    Json(handle.faults())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportUrl {
    url: Option<String>,
}

async fn set_report_url(State(handle): State<Handle>, Json(new): Json<ReportUrl>) -> StatusCode {
    handle.set_report_url(new.url);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportAs {
    status: String,
}

async fn report(
    State(handle): State<Handle>,
    Path(id): Path<String>,
    Json(order): Json<ReportAs>,
) -> Response {
    match handle.report(&id, &order.status).await {
        Ok(status) => Json(json!({"answered": status})).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, Json(json!({"error": error}))).into_response(),
    }
}
