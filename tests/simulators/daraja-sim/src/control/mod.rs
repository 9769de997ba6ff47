//! The control port: the operations of `Handle` as JSON over HTTP, for tests in other processes and people.
//!
//! Bodies are bounded, unknown members are refused, and every refusal is `{"error":"…"}` with a sentence.
//! It has no password and therefore belongs on loopback. `tests/README.md` shows each call with curl.

mod answers;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::c2b::payment::PaybillPayment;
use crate::control::answers::{ControlRefusal, found_or, json_answer, read, read_or_default};
use crate::faults::{Faults, FaultsChange};
use crate::handle::{Handle, Redelivery};
use crate::identifiers::Msisdn;
use crate::phones::Phone;
use crate::statement::StatementForm;

/// The largest body. A phone takes some 300 bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Rows of a page unless asked otherwise.
const USUAL_PAGE: usize = 500;

type Outcome = Result<Response, ControlRefusal>;
type Body = Result<Bytes, BytesRejection>;

/// The routes of the control port.
pub(crate) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/phones", get(list_phones))
        .route("/phones/default", put(set_default_phone).get(show_default_phone))
        .route("/phones/{msisdn}", put(set_phone).get(show_phone).delete(forget_phone))
        .route("/phones/{msisdn}/paybill", post(pay_by_paybill))
        .route("/payments", get(list_payments))
        .route("/payments/{receipt}", get(show_payment))
        .route("/payments/{receipt}/redeliver", post(redeliver_confirmation))
        .route("/prompts", get(list_prompts))
        .route("/prompts/{checkout_request_id}", get(show_prompt))
        .route("/prompts/{checkout_request_id}/redeliver", post(redeliver_callback))
        .route("/payouts", get(list_payouts))
        .route("/results/redeliver", post(redeliver_money_result))
        .route("/registrations", get(list_registrations))
        .route("/registrations/{short_code}", delete(forget_registration))
        .route("/faults", post(set_faults).get(show_faults).delete(clear_faults))
        .route("/clock", post(advance_clock))
        .route("/state", get(show_state))
        .route("/statement.csv", get(show_statement))
        .fallback(async || ControlRefusal::new(StatusCode::NOT_FOUND, "no such path; see tests/README.md"))
        .method_not_allowed_fallback(async || {
            ControlRefusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path is served with another method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(handle)
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    after: u64,
    limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: 0, limit: USUAL_PAGE }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PhonesPage {
    after: String,
    limit: usize,
}

impl Default for PhonesPage {
    fn default() -> Self {
        Self { after: String::new(), limit: USUAL_PAGE }
    }
}

#[derive(Serialize)]
struct PhoneList {
    default: Phone,
    phones: BTreeMap<Msisdn, Phone>,
}

async fn list_phones(
    State(handle): State<Handle>,
    page: Result<Query<PhonesPage>, QueryRejection>,
) -> Outcome {
    let Query(page) = page?;
    let phones = handle.phones(&page.after, page.limit);
    Ok(json_answer(&PhoneList { default: handle.default_phone(), phones }))
}

async fn show_default_phone(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.default_phone()))
}

async fn set_default_phone(State(handle): State<Handle>, body: Body) -> Outcome {
    handle.set_default_phone(read(body)?)?;
    Ok(json_answer(&handle.default_phone()))
}

async fn show_phone(State(handle): State<Handle>, Path(msisdn): Path<String>) -> Outcome {
    Ok(json_answer(&handle.phone(&msisdn)?))
}

async fn set_phone(State(handle): State<Handle>, Path(msisdn): Path<String>, body: Body) -> Outcome {
    handle.set_phone(&msisdn, read(body)?)?;
    Ok(json_answer(&handle.phone(&msisdn)?))
}

async fn forget_phone(State(handle): State<Handle>, Path(msisdn): Path<String>) -> Outcome {
    handle.forget_phone(&msisdn)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn pay_by_paybill(State(handle): State<Handle>, Path(msisdn): Path<String>, body: Body) -> Outcome {
    let paybill: PaybillPayment = read(body)?;
    Ok(json_answer(&handle.pay_by_paybill(&msisdn, &paybill).await?))
}

async fn list_payments(State(handle): State<Handle>, page: Result<Query<Page>, QueryRejection>) -> Outcome {
    let Query(page) = page?;
    Ok(json_answer(&handle.payments(page.after, page.limit)))
}

async fn show_payment(State(handle): State<Handle>, Path(receipt): Path<String>) -> Outcome {
    found_or(handle.payment(&receipt).as_ref(), "payment")
}

async fn redeliver_confirmation(
    State(handle): State<Handle>,
    Path(receipt): Path<String>,
    body: Body,
) -> Outcome {
    let redelivery: Redelivery = read_or_default(body)?;
    let statuses = handle.redeliver_confirmation(&receipt, redelivery).await?;
    Ok(json_answer(&json!({ "confirmation_status": statuses })))
}

async fn list_prompts(State(handle): State<Handle>, page: Result<Query<Page>, QueryRejection>) -> Outcome {
    let Query(page) = page?;
    Ok(json_answer(&handle.prompts(page.after, page.limit)))
}

async fn show_prompt(State(handle): State<Handle>, Path(id): Path<String>) -> Outcome {
    found_or(handle.prompt(&id).as_ref(), "prompt")
}

async fn redeliver_callback(State(handle): State<Handle>, Path(id): Path<String>, body: Body) -> Outcome {
    let redelivery: Redelivery = read_or_default(body)?;
    let statuses = handle.redeliver_callback(&id, redelivery).await?;
    Ok(json_answer(&json!({ "callback_status": statuses })))
}

async fn redeliver_money_result(State(handle): State<Handle>, body: Body) -> Outcome {
    let redelivery: Redelivery = read_or_default(body)?;
    let statuses = handle.redeliver_money_result(redelivery).await?;
    Ok(json_answer(&json!({ "result_status": statuses })))
}

async fn list_payouts(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.payouts()))
}

async fn list_registrations(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.registrations()))
}

async fn forget_registration(State(handle): State<Handle>, Path(short_code): Path<String>) -> Outcome {
    handle.forget_registration(&short_code)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn show_faults(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.faults()))
}

async fn set_faults(State(handle): State<Handle>, body: Body) -> Outcome {
    let change: FaultsChange = read(body)?;
    let now_in_force: Faults = handle.set_faults(&change)?;
    Ok(json_answer(&now_in_force))
}

async fn clear_faults(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.clear_faults()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

async fn advance_clock(State(handle): State<Handle>, body: Body) -> Outcome {
    let Advance { advance_ms } = read(body)?;
    handle.advance_clock(Duration::from_millis(advance_ms))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn show_state(State(handle): State<Handle>) -> Outcome {
    Ok(json_answer(&handle.state()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatementQuery {
    short_code: String,
    #[serde(default = "all_columns")]
    columns: u32,
}

fn all_columns() -> u32 {
    13
}

async fn show_statement(
    State(handle): State<Handle>,
    query: Result<Query<StatementQuery>, QueryRejection>,
) -> Outcome {
    let Query(query) = query?;
    let form = StatementForm::of_width(query.columns)
        .ok_or_else(|| ControlRefusal::new(StatusCode::BAD_REQUEST, "columns is 8, 9 or 13"))?;
    let text = handle.statement(&query.short_code, form)?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}
