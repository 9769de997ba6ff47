//! The log of texts for programs, a test, and which language a customer reads. Numbers are masked, as on lists of pages.

use axum::Json;
use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use utoipa::{IntoParams, ToSchema};

use super::pages::PAGE_ROWS;
use super::search::Asked;
use super::words::Language;
use super::{Message, about, store};
use crate::audit::Action;
use crate::customers::phone::Msisdn;
use crate::ids::{CustomerId, MessageId};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, ApiQuery, Begun, Caller, Problem, Route, Write, at_ms, reader};

/// Texts in one answer, at most.
const LISTED_MOST: u32 = 500;

/// What is looked for; every field narrows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Wanted {
    /// A customer's id.
    customer: String,
    /// Such as `payment_received`, `connected` or `ends_in_1_day`.
    occasion: String,
    /// `queued`, `sending`, `sent`, `unknown`, `delivered`, `failed` or `dropped`.
    state: String,
    /// That came up from then on.
    from_ms: Option<i64>,
    /// That came up before then.
    until_ms: Option<i64>,
    /// The id of the last text of the answer before.
    before: String,
    /// 1 to 500; 50 if not given.
    limit: Option<u32>,
}

/// A text to a customer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageBody {
    /// Its place in the order of all.
    pub id: String,
    /// To which customer; null for a test.
    pub customer_id: Option<String>,
    /// About which subscription.
    pub subscription_id: Option<String>,
    /// What it is about.
    pub occasion: String,
    /// The number, masked.
    pub phone: String,
    /// `en` or `sw`.
    pub language: String,
    /// The words.
    pub body: String,
    /// SMS that it is.
    pub segments: u32,
    /// Where it stands. `unknown`: nobody knows whether it was sent.
    pub state: String,
    /// Why it stands there; empty where that goes without saying.
    pub reason: String,
    /// What it cost, as the provider wrote it; empty while that is not known.
    pub cost: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it came up.
    pub queued_at_ms: i64,
    /// When it was begun last.
    pub attempted_at_ms: Option<i64>,
    /// When it was settled.
    pub settled_at_ms: Option<i64>,
}

/// Texts to customers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageList {
    /// Newest first.
    pub messages: Vec<MessageBody>,
    /// What to give as `before` for the next page, if there may be one.
    pub next: Option<String>,
}

/// A test to send.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestMessageNew {
    /// As people write it: `0712 345 678`, `+254712345678`.
    pub phone: String,
    /// `en` or `sw`; `en` if not given.
    #[serde(default)]
    pub language: Option<String>,
}

/// Which language a customer reads.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerLanguage {
    /// `en` or `sw`; null for the usual one of `[sms]`.
    pub language: Option<String>,
}

impl From<&Message> for MessageBody {
    fn from(message: &Message) -> Self {
        let course = &message.course;
        Self {
            id: message.id.to_string(),
            customer_id: message.customer.as_ref().map(ToString::to_string),
            subscription_id: message.subscription.as_ref().map(ToString::to_string),
            occasion: course.occasion.as_str().to_owned(),
            phone: message.phone.to_string(),
            language: message.language.to_string(),
            body: message.body.clone(),
            segments: message.segments,
            state: course.state.as_str().to_owned(),
            reason: course.reason.clone(),
            cost: course.cost.clone(),
            attempts: course.attempts,
            queued_at_ms: at_ms(message.queued_at),
            attempted_at_ms: message.attempted_at.map(at_ms),
            settled_at_ms: message.settled_at.map(at_ms),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/api/messages", get(list)),
        Route::new("GET", "/api/messages/{id}", get(get_one)),
        Route::new("POST", "/api/messages/test", post(test)),
        Route::new("POST", "/api/customers/{id}/language", post(choose_language)),
    ]
}

/// Texts to customers, newest first.
#[utoipa::path(
    get, path = "/api/messages", tag = "messages", params(Wanted),
    responses(
        (status = 200, body = MessageList), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 422, body = Problem),
    ),
)]
pub(crate) async fn list(
    caller: Caller,
    Extracted(web): Extracted<Web>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<Json<MessageList>, ApiError> {
    caller.require(Permission::Read)?;
    let limit = wanted.limit.unwrap_or(PAGE_ROWS);
    if !(1..=LISTED_MOST).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("use 1 to {LISTED_MOST}")));
    }
    let asked = Asked {
        customer: wanted.customer,
        occasion: wanted.occasion,
        state: wanted.state,
        before: wanted.before.clone(),
        ..Asked::default()
    };
    let search = asked
        .read()
        .map_err(|unreadable| ApiError::invalid(unreadable.field, unreadable.reason))?
        .between(wanted.from_ms.map(UnixMillis), wanted.until_ms.map(UnixMillis))
        .and_before(Some(wanted.before.trim()).filter(|before| !before.is_empty()));
    let found = store::find(&mut *reader(&web).await?, &search, limit).await?;
    let is_full = u32::try_from(found.len()).unwrap_or(u32::MAX) >= limit;
    Ok(Json(MessageList {
        next: found.last().filter(|_| is_full).map(|last| last.id.to_string()),
        messages: found.iter().map(MessageBody::from).collect(),
    }))
}

/// One text to a customer.
#[utoipa::path(
    get, path = "/api/messages/{id}", tag = "messages", params(("id" = String, Path)),
    responses((status = 200, body = MessageBody), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(crate) async fn get_one(
    caller: Caller,
    Extracted(web): Extracted<Web>,
    Path(id): Path<String>,
) -> Result<Json<MessageBody>, ApiError> {
    caller.require(Permission::Read)?;
    let missing = || ApiError::not_found("message", "use an id from GET /api/messages");
    let id = MessageId::parse(&id).map_err(|_| missing())?;
    let message = store::by_id(&mut *reader(&web).await?, &id).await?.ok_or_else(missing)?;
    Ok(Json((&message).into()))
}

/// Sends a test to a number. What became of it is read with `GET /api/messages/{id}`.
#[utoipa::path(
    post, path = "/api/messages/test", tag = "messages", request_body = TestMessageNew,
    params(("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters")),
    responses(
        (status = 202, description = "It waits for its turn", body = MessageBody),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, description = "Texts are not set up", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn test(Extracted(web): Extracted<Web>, write: Write) -> Result<Response, ApiError> {
    let new: TestMessageNew = write.read()?;
    let phone = Msisdn::parse(&new.phone).map_err(|error| ApiError::invalid("phone", error))?;
    let language = new.language.as_deref().map(str::parse::<Language>).transpose();
    let language = language.map_err(|error| ApiError::invalid("language", error))?.unwrap_or_default();
    let mut once = match write.begin(&web, Permission::SendTexts).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    let (cause, now) = (once.ids.hex(8), once.now);
    let queued = about::test(once.connection(), &phone, language, &cause, now).await?;
    let message = queued.ok_or_else(|| {
        ApiError::new(
            StatusCode::CONFLICT,
            "no_texts",
            "texts are not set up",
            "fill in [sms] in controller.toml and restart the controller",
        )
    })?;
    once.audit(Action::TestTextSent, message.id.as_str(), "").await?;
    once.answer(StatusCode::ACCEPTED, &MessageBody::from(&message)).await
}

/// Chooses the language in which a customer is written to from now on.
#[utoipa::path(
    post, path = "/api/customers/{id}/language", tag = "customers", request_body = CustomerLanguage,
    params(
        ("id" = String, Path), ("Idempotency-Key" = String, Header, description = "1 to 100 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "It is chosen", body = CustomerLanguage),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
    ),
)]
pub(crate) async fn choose_language(
    Extracted(web): Extracted<Web>,
    Path(id): Path<String>,
    write: Write,
) -> Result<Response, ApiError> {
    let new: CustomerLanguage = write.read()?;
    let language = new.language.as_deref().map(str::parse::<Language>).transpose();
    let language = language.map_err(|error| ApiError::invalid("language", error))?;
    let missing = || ApiError::not_found("customer", "look it up with GET /api/customers?query=…");
    let id = CustomerId::parse(&id).map_err(|_| missing())?;
    let mut once = match write.begin(&web, Permission::AddCustomers).await? {
        Begun::New(once) => once,
        Begun::Answered(response) => return Ok(response),
    };
    if !store::set_language(once.connection(), &id, language).await? {
        return Err(missing());
    }
    let chosen = language.map_or("default", Language::as_str);
    once.audit(Action::CustomerLanguageChosen, id.as_str(), chosen).await?;
    once.answer(StatusCode::OK, &new).await
}
