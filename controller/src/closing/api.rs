//! The daily close for programs: a day of each short code, and the last proof of the books.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Close, Count, Covered, Day, Difference, Standing, close, proof, short_codes};
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Caller, Problem, Route, at_ms, reader};

/// So many payments, and what they are together.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CountBody {
    /// How many.
    pub payments: u64,
    /// Together, in cents of KES.
    pub amount_cents: i64,
}

/// What a source told of a day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToldBody {
    /// Of what is booked.
    pub told: CountBody,
    /// Whether it told of everything in the whole day.
    pub is_whole: bool,
    /// From when on it told of everything; null where of no part of the day.
    pub from_at_ms: Option<i64>,
    /// Until when.
    pub until_at_ms: Option<i64>,
}

/// Something that does not fit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DifferenceBody {
    /// `not_in_pull`, `not_in_statement`, `disputed`, `not_booked` or `nobodys`.
    pub kind: String,
    /// The payment; null where it is not booked.
    pub payment_id: Option<String>,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt_number: String,
    /// In cents of KES; null where nobody knows, below zero for what went out.
    pub amount_cents: Option<i64>,
    /// When, by M-Pesa's clock.
    pub moved_at_ms: i64,
    /// What is said of it.
    pub detail: String,
}

/// A day of a short code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CloseBody {
    /// Whose.
    pub short_code: String,
    /// `under_way`, `differs`, `waits_for_statement` or `agrees`.
    pub standing: String,
    /// What is booked.
    pub booked: CountBody,
    /// What Pull told.
    pub pull: ToldBody,
    /// What the portal's statement told.
    pub statement: ToldBody,
    /// What M-Pesa took for its service, as far as a statement told, in cents of KES.
    pub charges_cents: i64,
    /// What it sent to the bank, likewise.
    pub settlements_cents: i64,
    /// What does not fit, at most 100 of each kind.
    pub differences: Vec<DifferenceBody>,
    /// How much does not fit.
    pub differences_total: u64,
}

/// A day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CloseList {
    /// Nairobi's day, such as `2026-11-26`.
    pub day: String,
    /// Of each short code that money came to.
    pub closes: Vec<CloseBody>,
}

/// What the nightly proof of the books found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProofBody {
    /// When it was done; null before the first.
    pub proved_at_ms: Option<i64>,
    /// What does not hold; empty where everything does.
    pub findings: Vec<String>,
}

impl From<Count> for CountBody {
    fn from(count: Count) -> Self {
        Self { payments: count.payments, amount_cents: count.amount.cents() }
    }
}

impl ToldBody {
    fn of(told: Count, covered: Covered, day: Day) -> Self {
        let span = match covered {
            Covered::Not => None,
            Covered::Partly(from, until) => Some((from, until)),
            Covered::Whole => Some((day.start(), day.end())),
        };
        Self {
            told: told.into(),
            is_whole: covered == Covered::Whole,
            from_at_ms: span.map(|(from, _)| at_ms(from)),
            until_at_ms: span.map(|(_, until)| at_ms(until)),
        }
    }
}

impl From<&Difference> for DifferenceBody {
    fn from(difference: &Difference) -> Self {
        Self {
            kind: difference.kind.as_str().to_owned(),
            payment_id: difference.payment.as_ref().map(ToString::to_string),
            receipt_number: difference.receipt.clone(),
            amount_cents: difference.amount.map(Money::cents),
            moved_at_ms: at_ms(difference.at),
            detail: difference.detail.clone(),
        }
    }
}

impl CloseBody {
    /// A day as it stands now.
    #[must_use]
    pub fn of(close: &Close, standing: Standing) -> Self {
        let word = match standing {
            Standing::UnderWay => "under_way",
            Standing::Differs(_) => "differs",
            Standing::WaitsForStatement => "waits_for_statement",
            Standing::Agrees => "agrees",
        };
        Self {
            short_code: close.short_code.clone(),
            standing: word.to_owned(),
            booked: close.booked.into(),
            pull: ToldBody::of(close.by_pull, close.pull, close.day),
            statement: ToldBody::of(close.by_statement, close.statement, close.day),
            charges_cents: close.charges.cents(),
            settlements_cents: close.settlements.cents(),
            differences: close.differences.iter().map(DifferenceBody::from).collect(),
            differences_total: close.differences_total,
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/daily-closes/{day}", get(day_of)),
        Route::new("GET", "/api/proof", get(last_proof)),
    ]
}

/// Compares a day: what is booked of it with what Pull and the portal's statement told, receipt by receipt.
#[utoipa::path(
    get, path = "/api/daily-closes/{day}", tag = "payments",
    params(("day" = String, Path, description = "Nairobi's day, such as 2026-11-26")),
    responses(
        (status = 200, description = "The day of each short code", body = CloseList),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem),
    ),
)]
pub(crate) async fn day_of(
    caller: Caller,
    State(web): State<Web>,
    Path(day): Path<String>,
) -> Result<Json<CloseList>, ApiError> {
    caller.require(Permission::Read)?;
    let day = Day::parse(&day).ok_or_else(|| ApiError::invalid("day", "use a day such as 2026-11-26"))?;
    let now = web.controller.clock.now();
    let mut reader = reader(&web).await?;
    let mut closes = Vec::new();
    for code in short_codes(&mut reader).await? {
        let close = close(&mut reader, day, &code).await?;
        closes.push(CloseBody::of(&close, close.standing(now)));
    }
    Ok(Json(CloseList { day: day.to_string(), closes }))
}

/// What the last nightly proof of the books found.
#[utoipa::path(
    get, path = "/api/proof", tag = "payments",
    responses(
        (status = 200, description = "The last proof", body = ProofBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
)]
pub(crate) async fn last_proof(caller: Caller, State(web): State<Web>) -> Result<Json<ProofBody>, ApiError> {
    caller.require(Permission::Read)?;
    let now = web.controller.clock.now();
    let proof = proof::last(&mut *reader(&web).await?, now).await?;
    Ok(Json(ProofBody {
        proved_at_ms: proof.as_ref().map(|proof| at_ms(proof.proved_at)),
        findings: proof
            .map(|proof| proof.findings.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
    }))
}
