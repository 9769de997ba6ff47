//! What a line moved, for programs: by hour and by day.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use utoipa::{IntoParams, ToSchema};

use super::Amount;
use crate::ids::LineId;
use crate::staff::Permission;
use crate::subscriptions;
use crate::subscriptions::api::PeriodBody;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Caller, Problem, Route, at_ms, reader};
use crate::{quota, usage};

/// Hours that are kept, and so the most that can be asked for.
const HOURS_MOST: u32 = 2_400;
/// Days that are kept.
const DAYS_MOST: u32 = 762;
const HOURS: u32 = 48;
const DAYS: u32 = 30;

/// What was moved in one hour or day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SpanBody {
    /// When it began.
    pub from_at_ms: i64,
    /// Bytes from the customer.
    pub upload_bytes: u64,
    /// Bytes to the customer.
    pub download_bytes: u64,
}

/// What a subscription moved.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageBody {
    /// By hour, oldest first, the running one last.
    pub hours: Vec<SpanBody>,
    /// By day of Nairobi, oldest first, today last.
    pub days: Vec<SpanBody>,
    /// The running period with its data; null when none runs.
    pub period: Option<PeriodBody>,
}

/// How far back.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// 1 to 2400; 48 if absent.
    pub hours: Option<u32>,
    /// 1 to 762; 30 if absent.
    pub days: Option<u32>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/subscriptions/{id}/usage", get(of_line))]
}

/// What a subscription moved, by hour and by day, as far as its site reported it.
#[utoipa::path(
    get, path = "/api/subscriptions/{id}/usage", tag = "subscriptions", params(("id" = String, Path), Wanted),
    responses(
        (status = 200, body = UsageBody), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn of_line(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<UsageBody>, ApiError> {
    caller.require(Permission::Read)?;
    let missing =
        || ApiError::not_found("subscription", "GET /api/customers/{id} lists a customer's subscriptions");
    let id = LineId::parse(&id).map_err(|_| missing())?;
    let (hours, days) = (wanted.hours.unwrap_or(HOURS), wanted.days.unwrap_or(DAYS));
    for (field, count, most) in [("hours", hours, HOURS_MOST), ("days", days, DAYS_MOST)] {
        if !(1..=most).contains(&count) {
            return Err(ApiError::invalid(field, format!("use 1 to {most}")));
        }
    }
    let now = web.controller.clock.now();
    let mut reader = reader(&web).await?;
    subscriptions::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let hours = usage::hours(&mut reader, &id, hours, now).await?;
    let days = usage::days(&mut reader, &id, days, now).await?;
    let period = quota::standing(&mut reader, &id, now).await?;
    Ok(Json(UsageBody {
        hours: hours.into_iter().map(span).collect(),
        days: days.into_iter().map(span).collect(),
        period: period.as_ref().map(PeriodBody::from),
    }))
}

fn span((from, amount): (UnixMillis, Amount)) -> SpanBody {
    SpanBody {
        from_at_ms: at_ms(from),
        upload_bytes: amount.upload_bytes,
        download_bytes: amount.download_bytes,
    }
}
