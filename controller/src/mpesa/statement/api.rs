//! Statements for programs: send the CSV export, read what came of it.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{ImportError, Order, Summary, check, import};
use crate::mpesa::ShortCodes;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Begun, Problem, Route, Write};
use crate::web::visit::FILE_FORM_BYTES;

/// How long a caller waits: less than a request may take at all. What was begun goes on.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// A statement to take in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementNew {
    /// The file that the organisation portal exported as CSV.
    pub csv: String,
    /// Whose statement it is, where neither the file nor the settings say so.
    #[serde(default)]
    pub short_code: Option<String>,
    /// Whether to say only what would come of it, and change nothing.
    #[serde(default)]
    pub is_dry_run: bool,
    /// Whether to take it in although its balances say that rows are missing. Otherwise it is refused.
    #[serde(default)]
    pub accepts_gaps: bool,
}

/// What came of a statement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatementBody {
    /// Whose it is.
    pub short_code: String,
    /// Whether nothing was changed.
    pub is_dry_run: bool,
    /// Rows of the file.
    pub rows: usize,
    /// Payments that were booked before.
    pub payments_known: usize,
    /// Payments that nothing had told of.
    pub payments_booked: usize,
    /// Those of them that are nobody's that we know.
    pub without_owner: usize,
    /// Charges that were booked before.
    pub charges_known: usize,
    /// Charges that are booked now.
    pub charges_booked: usize,
    /// Transfers to the bank that were booked before.
    pub settlements_known: usize,
    /// Transfers to the bank that are booked now.
    pub settlements_booked: usize,
    /// Rows that change nothing.
    pub without_effect: usize,
    /// Rows that wait for a person: see `GET /api/payments/review`.
    pub for_review: usize,
    /// Rows for a person at which one has looked.
    pub looked_at: usize,
    /// Rows that could not be booked: send the file again.
    pub failed: usize,
    /// What the short code had before the oldest row, in cents of KES; null where the file does not say.
    pub opening_cents: Option<i64>,
    /// What it had after the latest row.
    pub closing_cents: Option<i64>,
    /// Whether all that moved in between explains the difference; if not, rows are missing.
    pub adds_up: Option<bool>,
    /// Whether a person has to look.
    pub needs_a_person: bool,
}

impl StatementBody {
    /// What programs are told, over HTTP and at the command line.
    #[must_use]
    pub fn of(summary: &Summary, is_dry_run: bool) -> Self {
        Self {
            short_code: summary.short_code.clone(),
            is_dry_run,
            rows: summary.rows,
            payments_known: summary.payments_known,
            payments_booked: summary.payments_booked,
            without_owner: summary.without_owner,
            charges_known: summary.charges_known,
            charges_booked: summary.charges_booked,
            settlements_known: summary.settlements_known,
            settlements_booked: summary.settlements_booked,
            without_effect: summary.without_effect,
            for_review: summary.for_review,
            looked_at: summary.looked_at,
            failed: summary.failed,
            opening_cents: summary.balances.map(|balances| balances.opening.cents()),
            closing_cents: summary.balances.map(|balances| balances.closing.cents()),
            adds_up: summary.balances.map(|balances| balances.adds_up),
            needs_a_person: summary.needs_a_person(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    let take = post(take).layer(DefaultBodyLimit::max(FILE_FORM_BYTES));
    vec![Route::new("POST", "/api/payments/statements", take)]
}

/// Takes in a statement of M-Pesa's organisation portal: payments that nothing told of are booked, charges and transfers to
/// the bank as well. What is booked already only gains evidence, so that a file may be sent twice. Rows of a kind that is
/// not known are not booked, and wait for a person. At most 2 MiB; larger files are for the command line.
#[utoipa::path(
    post, path = "/api/payments/statements", tag = "payments", request_body = StatementNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 200, description = "It is taken in, or tried", body = StatementBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, description = "It is still being taken in under this key: it goes on by itself", body = Problem),
        (status = 413, body = Problem),
        (status = 422, description = "It is no statement, or that of another short code, or rows are missing: nothing of it \
            was taken in",
            body = Problem),
    ),
)]
pub(crate) async fn take(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: StatementNew = write.read()?;
    write.caller.require(Permission::ImportStatement)?;
    // On a task of its own, so that it goes on when the caller goes away or does not wait.
    match timeout(ANSWER_WITHIN, tokio::spawn(taken(web, write, new))).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(ApiError::failed(&error.into())),
        Err(_) => Err(ApiError::in_progress()),
    }
}

/// The key is claimed by itself: an import is many transactions.
async fn taken(web: Web, write: Write, new: StatementNew) -> Result<Response, ApiError> {
    let actor = write.caller.actor();
    let ours = web.short_codes.as_ref().map(ShortCodes::settings).unwrap_or_default();
    let order = Order {
        short_code: new.short_code.as_deref(),
        ours: &ours,
        is_dry_run: new.is_dry_run,
        accepts_gaps: new.accepts_gaps,
        pause: Duration::ZERO,
        actor: &actor,
    };
    let once = match write.begin(&web, Permission::ImportStatement).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    // Dropped without an answer, the key is free again.
    check(new.csv.as_bytes(), order).map_err(refusal)?;
    let reserved = once.reserve().await?;
    let summary = match import(&web.controller, new.csv.as_bytes(), order, |_, _| {}).await {
        Ok(summary) => summary,
        // It is safe to send again, and under the same key: what was booked is known.
        Err(error) => {
            reserved.release(&web).await?;
            return Err(refusal(error));
        }
    };
    let mut transaction = web.controller.database.write().await?;
    let body = StatementBody::of(&summary, new.is_dry_run);
    let response = reserved.keep(&mut transaction, StatusCode::OK, &body).await?;
    transaction.commit().await?;
    Ok(response)
}

fn refusal(error: ImportError) -> ApiError {
    if error.is_of_file() { ApiError::invalid("csv", error) } else { ApiError::failed(&error.into()) }
}
