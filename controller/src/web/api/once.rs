//! Writes that are done once, however often they are sent.
//!
//! ```text
//!   same key, same request, answered before ──▶ the same answer again
//!   same key, same request, still under way ──▶ 409, try again
//!   same key, another request ────────────────▶ 422
//!   new key ──▶ claimed ──▶ work ──▶ answer kept, all in one transaction      (a refusal keeps nothing)
//! ```
//!
//! A write that talks to somebody else on the way is two transactions: what it is about to do is committed with the
//! claim ([`Once::reserve`]), and what came of it with the answer ([`Reserved::keep`]). If the controller dies in
//! between, the key stays claimed and nothing is sent a second time. Work that may be begun again frees the key when it
//! fails ([`Reserved::release`]).

use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;

use super::store::{self, Claim};
use super::{ApiError, Caller};
use crate::audit::{self, Action};
use crate::database::{Connection, Transaction};
use crate::ids::IdSource;
use crate::plain::is_plain;
use crate::staff::Permission;
use crate::web::Web;

const KEY_HEADER: &str = "idempotency-key";
/// A UUID has 36 characters, a SHA-256 in hex 64.
const KEY_CHARACTERS: usize = 100;

/// A write as it came in: who, under which key, what.
pub struct Write {
    /// Who sends it.
    pub caller: Caller,
    key: String,
    request_sha256: String,
    body: Bytes,
}

impl fmt::Debug for Write {
    /// Without the body, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// What came of starting a write.
#[derive(Debug)]
pub enum Begun<T> {
    /// It is new.
    New(T),
    /// It was done before; this was the answer.
    Answered(Response),
}

impl FromRequest<Web> for Write {
    type Rejection = ApiError;

    async fn from_request(request: Request, web: &Web) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, web).await?;
        let key = key(&parts.headers)?;
        let start = format!("{} {}\n", parts.method, parts.uri.path());
        let body = Bytes::from_request(Request::from_parts(parts, body), web).await.map_err(|refusal| {
            ApiError::new(refusal.status(), "bad_body", refusal.body_text(), "send a smaller body, whole")
        })?;
        let request = [start.as_bytes(), &body].concat();
        let request_sha256 = hex(digest(&SHA256, &request).as_ref());
        Ok(Self { caller, key, request_sha256, body })
    }
}

fn key(headers: &HeaderMap) -> Result<String, ApiError> {
    let refuse = |message: &str| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key",
            message,
            "send \"Idempotency-Key: <a fresh UUID>\", and the same one again when you repeat the request",
        )
    };
    let key = headers.get(KEY_HEADER).ok_or_else(|| refuse("a write needs an Idempotency-Key"))?;
    let key = key.to_str().unwrap_or_default().trim();
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_CHARACTERS || !is_plain {
        return Err(refuse("an Idempotency-Key has 1 to 100 visible ASCII characters"));
    }
    Ok(key.to_owned())
}

impl Write {
    /// The body as JSON of this shape. An empty body is `{}`.
    ///
    /// # Errors
    /// 400 for what is no JSON, or has control characters in its texts; 422 says what does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        if serde_json::from_slice::<Value>(body).is_ok_and(|value| !has_plain_texts(&value)) {
            return Err(ApiError::not_plain("the body"));
        }
        // What does not fit may come before what is no JSON; the latter is the cause that its sender can use.
        if let Err(broken) = serde_json::from_slice::<IgnoredAny>(body) {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_body",
                format!("the body is no JSON: {broken}"),
                "send one JSON object, whole",
            ));
        }
        let mut reader = serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(&mut reader).map_err(|misfit| {
            // Of a value that does not fit serde tells the place in the text, and not of which member it is.
            let member = match misfit.path().to_string() {
                path if path == "." => String::new(),
                path => format!("`{path}`: "),
            };
            ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                format!("the body does not fit: {member}{}", misfit.inner()),
                "see GET /api/openapi.json for its shape",
            )
        })
    }

    /// Begins the write in a transaction that also keeps the answer.
    ///
    /// # Errors
    /// 403, 409, 422 or 500.
    pub async fn begin(&self, web: &Web, permission: Permission) -> Result<Begun<Once>, ApiError> {
        self.caller.require(permission)?;
        let now = web.controller.clock.now();
        let mut transaction = web.controller.database.write().await?;
        match self.claim(&mut transaction, now).await? {
            Some(answered) => Ok(Begun::Answered(answered)),
            None => Ok(Begun::New(Once {
                transaction,
                caller: self.caller.clone(),
                key: self.key.clone(),
                ids: web.controller.ids.clone(),
                now,
            })),
        }
    }

    /// The answer that was given before, or `None` when the key is ours now.
    async fn claim(
        &self,
        connection: &mut Connection,
        now: UnixMillis,
    ) -> Result<Option<Response>, ApiError> {
        let actor = self.caller.actor().to_string();
        let claim = store::claim(connection, &actor, &self.key, &self.request_sha256, now).await?;
        let kept = match claim {
            Claim::Ours => return Ok(None),
            Claim::Taken(kept) => kept,
        };
        if kept.request_sha256 != self.request_sha256 {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key",
                "this Idempotency-Key was used for another request",
                "use a fresh key for a new request",
            ));
        }
        let Some((status, body)) = kept.answer else {
            return Err(ApiError::in_progress());
        };
        Ok(Some(answer(status, body)))
    }
}

/// Whether every name and text has no control characters. As deep as a body may be nested at all, which serde_json bounds.
fn has_plain_texts(value: &Value) -> bool {
    match value {
        Value::String(text) => is_plain(text),
        Value::Array(items) => items.iter().all(has_plain_texts),
        Value::Object(members) => {
            members.iter().all(|(name, value)| is_plain(name) && has_plain_texts(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A write under way, in its transaction. Dropped without an answer, nothing was done and the key is free again.
#[derive(Debug)]
pub struct Once {
    transaction: Transaction,
    caller: Caller,
    key: String,
    /// The source of ids.
    pub ids: IdSource,
    /// When.
    pub now: UnixMillis,
}

impl Once {
    /// The transaction.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.transaction
    }

    /// Leaves a row in the audit log.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn audit(&mut self, action: Action, subject: &str, detail: &str) -> Result<(), ApiError> {
        let actor = self.caller.actor();
        audit::record(&mut self.transaction, &actor, (action, subject, detail), &self.ids, self.now).await?;
        Ok(())
    }

    /// Commits what was done so far with the claim. Nothing was sent yet; from here on the key is free again only by [`Reserved::release`].
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn reserve(self) -> Result<Reserved, ApiError> {
        self.transaction.commit().await?;
        Ok(Reserved { actor: self.caller.actor().to_string(), key: self.key })
    }

    /// Keeps the answer, commits, and gives it.
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn answer(self, status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
        self.answer_and_tell(status, body, || {}).await
    }

    /// Keeps the answer, commits, calls `tell`, and gives the answer. On a task of its own: a client that hangs up ends
    /// its handler wherever that stands, and a bell between the commit and that end would never ring.
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn answer_and_tell(
        self,
        status: StatusCode,
        body: &impl Serialize,
        tell: impl FnOnce() + Send + 'static,
    ) -> Result<Response, ApiError> {
        self.answer_keeping(status, (body, body), tell).await
    }

    /// The same where the answer has a secret in it, which is not to lie in the database: `kept` is without, and is what
    /// whoever repeats the request is answered.
    ///
    /// # Errors
    /// When the database refuses; nothing was done then.
    pub async fn answer_keeping<B: Serialize>(
        mut self,
        status: StatusCode,
        (body, kept): (&B, &B),
        tell: impl FnOnce() + Send + 'static,
    ) -> Result<Response, ApiError> {
        let (body, without_secret) = (serialized(body)?, serialized(kept)?);
        let kept = tokio::spawn(async move {
            let actor = self.caller.actor().to_string();
            store::keep(&mut self.transaction, &actor, &self.key, status.as_u16(), &without_secret).await?;
            self.transaction.commit().await?;
            tell();
            Ok(answer(status, body))
        });
        kept.await.unwrap_or_else(|error| Err(ApiError::failed(&error.into())))
    }
}

/// A claimed key of a write that talks to somebody else.
#[derive(Debug)]
pub struct Reserved {
    actor: String,
    key: String,
}

impl Reserved {
    /// Keeps the answer in the transaction of what it tells of. Give what comes back after the commit.
    ///
    /// # Errors
    /// When the database refuses; the key stays claimed, and the write is not done twice.
    pub async fn keep(
        self,
        connection: &mut Connection,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Response, ApiError> {
        let body = serialized(body)?;
        store::keep(connection, &self.actor, &self.key, status.as_u16(), &body).await?;
        Ok(answer(status, body))
    }
}

/// For work that failed and that may be done again.
impl Reserved {
    /// Frees the key.
    ///
    /// # Errors
    /// When the database refuses; the key stays claimed.
    pub async fn release(self, web: &Web) -> Result<(), ApiError> {
        let mut transaction = web.controller.database.write().await?;
        store::release(&mut transaction, &self.actor, &self.key).await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn serialized(body: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(body).map_err(|error| ApiError::failed(&error.into()))
}

fn answer(status: StatusCode, body: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let private = HeaderValue::from_static("no-store");
    (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, private)], body).into_response()
}

/// Forgets at most `limit` answers kept before `before`; answers how many.
///
/// # Errors
/// When the database refuses.
pub async fn forget_answers(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    store::delete_before(connection, before, limit).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staff::Role;
    use crate::web::testing::Served;

    #[tokio::test]
    async fn a_write_is_printed_without_its_body() {
        let served = Served::start().await;
        let program = served.program(Role::Owner).await;
        let web = Web::new(
            served.controller.clone(),
            std::time::Duration::from_secs(1),
            crate::shutdown::Shutdown::default().stop(),
        );
        let request = Request::post("/api/subscriptions")
            .header(header::AUTHORIZATION, format!("Bearer {}", program.token))
            .header(KEY_HEADER, "key-1")
            .body(r#"{"password":"hunter22"}"#.into())
            .unwrap();
        let write = Write::from_request(request, &web).await.unwrap();
        assert_eq!(write.body, r#"{"password":"hunter22"}"#);
        let printed = format!("{write:?}");
        assert!(!printed.contains("hunter22") && printed.contains("owner"), "{printed}");
        served.stop().await;
    }
}
