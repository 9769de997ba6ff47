//! Customers for programs: search, create, read one with what they bought.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::phone::Msisdn;
use super::{Created, Customer, CustomerRow, NewCustomer, PAGE_ROWS};
use crate::audit::Action;
use crate::ids::CustomerId;
use crate::ledger;
use crate::messages;
use crate::staff::Permission;
use crate::subscriptions;
use crate::subscriptions::api::SubscriptionBody;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// A customer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CustomerBody {
    /// Id.
    pub id: String,
    /// What they pay to: eight digits, the last a check digit.
    pub account_number: String,
    /// Name.
    pub name: String,
    /// Phone, as `254712345678`.
    pub phone: String,
    /// When they were added.
    pub created_at_ms: i64,
}

/// A customer in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CustomerListed {
    /// Who.
    #[serde(flatten)]
    pub customer: CustomerBody,
    /// Subscriptions.
    pub subscriptions: u32,
    /// Subscriptions that are active.
    pub subscriptions_active: u32,
    /// Subscriptions with a session.
    pub subscriptions_online: u32,
}

/// A page of customers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CustomerList {
    /// At most 50, newest first.
    pub customers: Vec<CustomerListed>,
    /// The next page, if there may be one.
    pub next_page: Option<u32>,
}

/// A customer with what they bought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CustomerDetail {
    /// Who.
    #[serde(flatten)]
    pub customer: CustomerBody,
    /// What they have paid and not yet used, in cents of KES.
    pub wallet_cents: i64,
    /// The language in which they are written to, `en` or `sw`; null for the usual one.
    pub language: Option<String>,
    /// Their lines.
    pub subscriptions: Vec<SubscriptionBody>,
}

/// A customer to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerNew {
    /// 1 to 120 characters.
    pub name: String,
    /// As people write it: `0712 345 678`, `+254712345678`.
    pub phone: String,
}

/// Which customers.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Part of a name, a phone number in any form, or an account number; nothing for all.
    #[serde(default)]
    pub query: String,
    /// From 0.
    #[serde(default)]
    pub page: u32,
}

impl From<&Customer> for CustomerBody {
    fn from(customer: &Customer) -> Self {
        Self {
            id: customer.id.to_string(),
            account_number: customer.account_number.to_string(),
            name: customer.name.clone(),
            phone: customer.phone.digits().to_owned(),
            created_at_ms: at_ms(customer.created_at),
        }
    }
}

impl From<&CustomerRow> for CustomerListed {
    fn from(row: &CustomerRow) -> Self {
        Self {
            customer: (&row.customer).into(),
            subscriptions: row.lines,
            subscriptions_active: row.lines_open,
            subscriptions_online: row.lines_online,
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/customers", get(search)),
        Route::new("POST", "/api/customers", axum::routing::post(create)),
        Route::new("GET", "/api/customers/{id}", get(get_one)),
    ]
}

/// Finds customers.
#[utoipa::path(
    get, path = "/api/customers", tag = "customers", params(Wanted),
    responses(
        (status = 200, body = CustomerList), (status = 400, body = Problem), (status = 401, body = Problem),
    ),
)]
pub(crate) async fn search(
    caller: Caller,
    State(web): State<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<CustomerList>, ApiError> {
    caller.require(Permission::Read)?;
    let rows = super::search(&mut *reader(&web).await?, &wanted.query, wanted.page).await?;
    let is_full = rows.len() >= usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
    Ok(Json(CustomerList {
        customers: rows.iter().map(CustomerListed::from).collect(),
        next_page: is_full.then(|| wanted.page.saturating_add(1)),
    }))
}

/// Adds a customer.
#[utoipa::path(
    post, path = "/api/customers", tag = "customers", request_body = CustomerNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 201, body = CustomerBody), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn create(State(web): State<Web>, write: Write) -> Result<Response, ApiError> {
    let new: CustomerNew = write.read()?;
    let phone = Msisdn::parse(&new.phone).map_err(|error| ApiError::invalid("phone", error))?;
    let mut once = match write.begin(&web, Permission::AddCustomers).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (ids, now) = (once.ids.clone(), once.now);
    let new = NewCustomer { name: new.name, phone };
    let customer = match super::create(once.connection(), new, &ids, now).await? {
        Created::Created(customer) => customer,
        Created::Invalid(invalid) => return Err(invalid.into()),
    };
    once.audit(Action::CustomerAdded, customer.id.as_str(), customer.account_number.as_str()).await?;
    once.answer(StatusCode::CREATED, &CustomerBody::from(&customer)).await
}

/// One customer with their subscriptions.
#[utoipa::path(
    get, path = "/api/customers/{id}", tag = "customers", params(("id" = String, Path)),
    responses((status = 200, body = CustomerDetail), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<CustomerDetail>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("customer", "look it up with GET /api/customers?query=…");
    let id = CustomerId::parse(&id).map_err(|_| missing())?;
    let mut reader = reader(&web).await?;
    let customer = super::get(&mut reader, &id).await?.ok_or_else(missing)?;
    let subscriptions = subscriptions::of_customer(&mut reader, &id).await?;
    let wallet = ledger::wallet_of(&mut reader, &id).await?;
    let language = messages::language_of(&mut reader, &id).await?;
    Ok(Json(CustomerDetail {
        customer: (&customer).into(),
        wallet_cents: wallet.cents(),
        language: language.map(|language| language.to_string()),
        subscriptions: subscriptions.iter().map(SubscriptionBody::from).collect(),
    }))
}
