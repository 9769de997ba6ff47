//! The movements of a wallet for programs.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::customers;
use crate::ids::CustomerId;
use crate::ledger::{self, StatementLine};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Caller, Problem, Route, at_ms, reader};

/// Something that went into a wallet or out of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WalletMovement {
    /// When it was booked.
    pub at_ms: i64,
    /// What kind of fact it was, such as `payment`; more may come.
    pub cause: String,
    /// The same in a few words.
    pub words: String,
    /// In cents of KES: above zero came in, below went out.
    pub amount_cents: i64,
    /// What was in the wallet afterwards, in cents of KES; below zero is owed.
    pub balance_cents: i64,
}

/// A page of movements.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WalletMovements {
    /// What is in the wallet now, in cents of KES.
    pub wallet_cents: i64,
    /// At most 50, newest first.
    pub movements: Vec<WalletMovement>,
    /// The next page, if there is one.
    pub next_page: Option<u32>,
}

/// Which page.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WantedPage {
    /// From 0.
    #[serde(default)]
    pub page: u32,
}

impl From<&StatementLine> for WalletMovement {
    fn from(line: &StatementLine) -> Self {
        Self {
            at_ms: at_ms(line.at),
            cause: line.cause_kind.clone(),
            words: line.memo.clone(),
            amount_cents: line.amount.cents(),
            balance_cents: line.balance.cents(),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/customers/{id}/wallet", get(movements))]
}

/// What went into and out of a customer's wallet, newest first.
#[utoipa::path(
    get, path = "/api/customers/{id}/wallet", tag = "customers", params(("id" = String, Path), WantedPage),
    responses(
        (status = 200, body = WalletMovements), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
)]
pub(crate) async fn movements(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
    ApiQuery(wanted): ApiQuery<WantedPage>,
) -> Result<Json<WalletMovements>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("customer", "look it up with GET /api/customers?query=…");
    let id = CustomerId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    customers::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let found = super::read(&mut reader, &id, wanted.page).await?;
    Ok(Json(WalletMovements {
        wallet_cents: ledger::wallet_of(&mut reader, &id).await?.cents(),
        movements: found.lines.iter().map(WalletMovement::from).collect(),
        next_page: found.has_more.then(|| wanted.page.saturating_add(1)),
    }))
}
