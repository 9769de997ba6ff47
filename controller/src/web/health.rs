//! `/health`: whether the controller can do its work, for whoever watches it. It needs no sign-in and tells no more.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Web;

/// How long each part may take to answer. A healthy one needs a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/health` answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` when any part does not answer.
    pub status: String,
    /// Whether the database answers.
    pub database: bool,
    /// Whether the broker takes connections, and the controller hears what its sites say.
    pub broker: bool,
    /// Whether M-Pesa is set up; nobody asks Safaricom here.
    pub mpesa_is_set_up: bool,
    /// The release, such as `0.1.0`.
    pub version: String,
}

/// Tells whether the controller can do its work.
#[utoipa::path(
    get, path = "/health", tag = "controller",
    responses(
        (status = 200, description = "Everything answers, or only the broker does not", body = Health),
        (status = 503, description = "The database does not answer", body = Health),
    ),
    security(()),
)]
pub async fn health(State(web): State<Web>) -> (StatusCode, Json<Health>) {
    let (database, broker) = tokio::join!(database_answers(&web), broker_answers(&web));
    let health = Health {
        status: if database && broker { "ok" } else { "degraded" }.to_owned(),
        database,
        broker,
        mpesa_is_set_up: web.short_codes.is_some(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let status = if database { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

async fn database_answers(web: &Web) -> bool {
    let look = async {
        let mut reader = web.controller.database.read().await.ok()?;
        crate::staff::has_members(&mut reader).await.ok()
    };
    timeout(PATIENCE, look).await.is_ok_and(|answer| answer.is_some())
}

async fn broker_answers(web: &Web) -> bool {
    let Some((mut address, attendance)) = web.broker.clone() else { return false };
    if !attendance.is_listening() {
        return false;
    }
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    timeout(PATIENCE, TcpStream::connect(address)).await.is_ok_and(|outcome| outcome.is_ok())
}
