//! The code of a line on paper: what the M-Pesa app scans, and the same in words for whoever has no app.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::Png;
use super::line::{NotPayable, Payable};
use crate::ids::LineId;
use crate::mpesa::settings::Payee;
use crate::staff::Permission;
use crate::subscriptions;
use crate::web::Web;
use crate::web::display;
use crate::web::error::PageError;
use crate::web::visit::{Frame, Note, Section, Visit};

#[derive(Template)]
#[template(path = "mpesa/code.html")]
struct CodePage {
    frame: Frame,
    id: String,
    customer_id: String,
    customer: String,
    plan: String,
    amount: String,
    /// `Paybill` or `Till`.
    payee_word: &'static str,
    payee: String,
    account: String,
    /// Why there is no code to scan; empty where there is one.
    problem: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/subscriptions/{id}/code", get(page))
        .route("/subscriptions/{id}/code.png", get(image))
}

async fn found(web: &Web, id: &str) -> Result<Result<Payable, NotPayable>, PageError> {
    let id = LineId::parse(id).map_err(|_| PageError::NotFound)?;
    Ok(Payable::find(&web.controller, web.short_codes.as_ref(), &id).await?)
}

async fn page(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let payable = match found(&web, &id).await? {
        Ok(payable) => payable,
        Err(NotPayable::NoSuchLine) => return Err(PageError::NotFound),
        Err(why) => return without(&web, &visit, &id, why).await,
    };
    let code = payable.code(&web.codes, &web.controller.clock).await;
    let (payee_word, payee) = match payable.payee() {
        Payee::Paybill(number) => ("Paybill", number),
        Payee::Till(number) => ("Till", number),
    };
    let page = CodePage {
        frame: visit.frame("Code to pay with", Section::Customers),
        id: payable.line.id.to_string(),
        customer_id: payable.customer.id.to_string(),
        customer: payable.customer.name.clone(),
        plan: payable.line.plan_name.clone(),
        amount: display::kes(payable.amount()),
        payee_word,
        payee: payee.to_owned(),
        account: payable.customer.account_number.to_string(),
        problem: code.err().map(|why| why.to_string()).unwrap_or_default(),
    };
    visit.show(&page)
}

/// Back to the customer, with the reason.
async fn without(web: &Web, visit: &Visit, id: &str, why: NotPayable) -> Result<Response, PageError> {
    let id = LineId::parse(id).map_err(|_| PageError::NotFound)?;
    let line = subscriptions::get(&mut *web.controller.database.read().await?, &id).await?;
    let line = line.ok_or(PageError::NotFound)?;
    let note = Note::bad(format!("There is no code to pay with: {}.", why.words()));
    Ok(visit.go(&format!("/customers/{}", line.customer), &note))
}

async fn image(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let payable = found(&web, &id).await?.map_err(|_| PageError::NotFound)?;
    let code = payable.code(&web.codes, &web.controller.clock).await.map_err(|_| PageError::NotFound)?;
    Ok(shown(&code))
}

/// A code as a picture that no cache keeps.
pub(crate) fn shown(code: &Png) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::OK, headers, code.bytes().to_vec()).into_response()
}
