//! The daily close for programs: a day of each short code, and the last proof of the books.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::counter::{self, Takings};
use super::{
    Close, Count, Covered, Day, Difference, LookedAt, Standing, StatedBalance, close, proof, short_codes,
};
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
    /// `not_in_pull`, `not_in_statement`, `disputed`, `not_booked`, `nobodys`, `refund_not_in_statement`,
    /// `looked_at_not_booked`, `not_understood` or `balance`.
    pub kind: String,
    /// The payment; null where it is not booked.
    pub payment_id: Option<String>,
    /// The refund; null where it is none.
    pub refund_id: Option<String>,
    /// The row of a statement that an owner may book; null where it is none.
    pub statement_row: Option<String>,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt_number: String,
    /// In cents of KES; null where nobody knows, below zero for what went out.
    pub amount_cents: Option<i64>,
    /// When, by M-Pesa's clock.
    pub moved_at_ms: i64,
    /// What is said of it.
    pub detail: String,
}

/// What M-Pesa held before and after a day, or a part of it, by the portal's statement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatedBody {
    /// From when.
    pub from_at_ms: i64,
    /// Until when.
    pub until_at_ms: i64,
    /// What was there before, in cents of KES.
    pub opening_cents: i64,
    /// What was there afterwards.
    pub closing_cents: i64,
    /// What of that came from another account of the same short code; below zero went there.
    pub within_cents: i64,
}

/// Something that waited for a person, and that one has looked at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LookedAtOfDayBody {
    /// `statement_row`, `evidence` or `pull_row`.
    pub kind: String,
    /// The payment that it is about; null for none.
    pub payment_id: Option<String>,
    /// M-Pesa's receipt number; empty where none is understood.
    pub receipt_number: String,
    /// In cents of KES; null where nobody knows, below zero for what went out.
    pub amount_cents: Option<i64>,
    /// When, by M-Pesa's clock.
    pub moved_at_ms: i64,
    /// Why it waited.
    pub detail: String,
    /// `expense`, `bank` or `refund`, where its money was booked as that since; else empty.
    pub settled_as: String,
    /// Who looked at it; empty where that is not known any more.
    pub looked_at_by: String,
    /// When; null where that is not known any more.
    pub looked_at_ms: Option<i64>,
}

/// What one person took at the counter in a day, one way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TakingsBody {
    /// Who.
    pub taken_by: String,
    /// `cash` or `bank`.
    pub provider: String,
    /// What they took.
    pub taken: CountBody,
    /// What the ledger's account has of that, in cents of KES.
    pub ledger_cents: i64,
    /// What of it was undone since.
    pub undone_cents: i64,
    /// The cash that they held at the end of the day; null for transfers.
    pub holds_cents: Option<i64>,
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
    /// What the ledger's account of the short code moved, in cents of KES.
    pub ledger_moved_cents: i64,
    /// What M-Pesa held by the statement; empty where no statement of the day was taken in.
    pub stated: Vec<StatedBody>,
    /// What of the ledger's account could not be compared, and why.
    pub not_compared: Vec<String>,
    /// What does not fit, at most 100 of each kind.
    pub differences: Vec<DifferenceBody>,
    /// How much does not fit.
    pub differences_total: u64,
    /// What people looked at, at most 100 of each kind.
    pub looked_at: Vec<LookedAtOfDayBody>,
}

/// A day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CloseList {
    /// Nairobi's day, such as `2026-11-26`.
    pub day: String,
    /// Of each short code that money came to.
    pub closes: Vec<CloseBody>,
    /// What people took at the counter.
    pub counter: Vec<TakingsBody>,
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
            refund_id: difference.refund.as_ref().map(ToString::to_string),
            statement_row: difference.row.clone(),
            receipt_number: difference.receipt.clone(),
            amount_cents: difference.amount.map(Money::cents),
            moved_at_ms: at_ms(difference.at),
            detail: difference.detail.clone(),
        }
    }
}

impl From<&StatedBalance> for StatedBody {
    fn from(stated: &StatedBalance) -> Self {
        Self {
            from_at_ms: at_ms(stated.from),
            until_at_ms: at_ms(stated.until),
            opening_cents: stated.opening.cents(),
            closing_cents: stated.closing.cents(),
            within_cents: stated.within.cents(),
        }
    }
}

impl From<&LookedAt> for LookedAtOfDayBody {
    fn from(looked_at: &LookedAt) -> Self {
        Self {
            kind: looked_at.kind.to_owned(),
            payment_id: looked_at.payment.as_ref().map(ToString::to_string),
            receipt_number: looked_at.receipt.clone(),
            amount_cents: looked_at.amount.map(Money::cents),
            moved_at_ms: at_ms(looked_at.at),
            detail: looked_at.detail.clone(),
            settled_as: looked_at.settled_as.clone(),
            looked_at_by: looked_at.by.clone(),
            looked_at_ms: looked_at.looked_at.map(at_ms),
        }
    }
}

impl From<&Takings> for TakingsBody {
    fn from(takings: &Takings) -> Self {
        Self {
            taken_by: takings.by.clone(),
            provider: takings.means.as_str().to_owned(),
            taken: Count { payments: takings.payments, amount: takings.amount }.into(),
            ledger_cents: takings.in_ledger.cents(),
            undone_cents: takings.undone.cents(),
            holds_cents: takings.holds.map(Money::cents),
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
            ledger_moved_cents: close.moved.cents(),
            stated: close.stated.iter().map(StatedBody::from).collect(),
            not_compared: close.not_compared.clone(),
            differences: close.differences.iter().map(DifferenceBody::from).collect(),
            differences_total: close.differences_total,
            looked_at: close.looked_at.iter().map(LookedAtOfDayBody::from).collect(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/daily-closes/{day}", get(day_of)),
        Route::new("GET", "/api/proof", get(last_proof)),
    ]
}

/// Compares a day: what is booked of it with what Pull and the portal's statement told, receipt by receipt, what the ledger's
/// account moved with what M-Pesa held, and what was taken at the counter with the ledger.
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
    let counter = counter::of_day(&mut reader, day).await?;
    let counter = counter.iter().map(TakingsBody::from).collect();
    Ok(Json(CloseList { day: day.to_string(), closes, counter }))
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
