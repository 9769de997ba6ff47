//! All SQL of what API operators asked.

use sqlx::Row as _;
use tawi_shared::UnixMillis;

use super::request::{OperatorRequest, Question, State};
use super::result::Parameters;
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{OperatorRequestId, RefundId};
use crate::mpesa::evidence::{Reason, ReceiptNumber};
use crate::mpesa::intent::CallbackToken;

/// The columns that [`read`] reads, with what follows `FROM operator_requests`.
macro_rules! requests {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, receipt_number, refund_id, short_code, operator, callback_token, state, ",
            "originator_conversation_id, conversation_id, result_code, result_description, result_parameters, ",
            "requested_by, created_at, updated_at FROM operator_requests ",
            $rest
        )
    };
}

/// Forgets what was asked before an instant, at most `limit` of it; says how much that was.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM operator_requests WHERE id IN (SELECT id FROM operator_requests WHERE created_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn insert(
    connection: &mut Connection,
    request: &OperatorRequest,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO operator_requests (id, kind, receipt_number, short_code, operator, callback_token, state, \
                                        requested_by, created_at, updated_at, refund_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(request.id.as_str())
    .bind(request.question.as_str())
    .bind(request.question.receipt().map(ReceiptNumber::as_str))
    .bind(request.short_code.as_str())
    .bind(request.operator.as_str())
    .bind(request.callback_token.reveal())
    .bind(request.state.as_str())
    .bind(request.requested_by.as_str())
    .bind(request.created_at.0)
    .bind(request.updated_at.0)
    .bind(request.question.refund().map(RefundId::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes back what `apply` may have changed.
pub(super) async fn update(
    connection: &mut Connection,
    request: &OperatorRequest,
) -> Result<(), sqlx::Error> {
    let reason = request.state.reason();
    let parameters =
        serde_json::to_string(&request.parameters.0).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sqlx::query(
        "UPDATE operator_requests SET state = $2, originator_conversation_id = $3, conversation_id = $4, \
                result_code = $5, result_description = $6, result_parameters = $7, updated_at = $8 \
         WHERE id = $1",
    )
    .bind(request.id.as_str())
    .bind(request.state.as_str())
    .bind(request.originator_conversation_id.as_deref())
    .bind(request.conversation_id.as_deref())
    .bind(reason.map(|reason| reason.code.as_str()))
    .bind(reason.map(|reason| reason.description.as_str()))
    .bind(parameters)
    .bind(request.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &OperatorRequestId,
) -> Result<Option<OperatorRequest>, sqlx::Error> {
    let row = sqlx::query(requests!("WHERE id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

/// The last balance of a short code that M-Pesa told.
pub(in crate::mpesa) async fn last_balance(
    connection: &mut Connection,
    short_code: &str,
) -> Result<Option<OperatorRequest>, sqlx::Error> {
    let row = sqlx::query(requests!(
        "WHERE kind = 'balance' AND state = 'answered' AND result_code = '0' AND short_code = $1 \
         ORDER BY created_at DESC LIMIT 1"
    ))
    .bind(short_code)
    .fetch_optional(connection)
    .await?;
    row.map(|row| read(&row)).transpose()
}

/// The balances of a short code that M-Pesa told of what was asked before an instant, the newest first.
pub(super) async fn balances_before(
    connection: &mut Connection,
    short_code: &str,
    end: UnixMillis,
    limit: u32,
) -> Result<Vec<OperatorRequest>, sqlx::Error> {
    let rows = sqlx::query(requests!(
        "WHERE kind = 'balance' AND state = 'answered' AND result_code = '0' AND short_code = $1 AND created_at < $2 \
         ORDER BY created_at DESC LIMIT $3"
    ))
    .bind(short_code)
    .bind(end.0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn by_token(
    connection: &mut Connection,
    token: &CallbackToken,
) -> Result<Option<OperatorRequest>, sqlx::Error> {
    let row = sqlx::query(requests!("WHERE callback_token = $1"))
        .bind(token.reveal())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Whether any request has this token: a cheap look before anything is stored.
pub(in crate::mpesa) async fn is_token_known(
    connection: &mut Connection,
    token: &CallbackToken,
) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT COUNT(*) AS found FROM operator_requests WHERE callback_token = $1")
        .bind(token.reveal())
        .fetch_one(connection)
        .await?;
    columns::truth(&row, "found")
}

fn read(row: &Row) -> Result<OperatorRequest, sqlx::Error> {
    let receipt: Option<String> = row.try_get("receipt_number")?;
    let receipt = receipt.as_deref().and_then(ReceiptNumber::parse);
    let refund = columns::parsed_or_none(row, "refund_id")?;
    let reason = Reason {
        code: row.try_get::<Option<String>, _>("result_code")?.unwrap_or_default(),
        description: row.try_get::<Option<String>, _>("result_description")?.unwrap_or_default(),
    };
    let parameters: String = row.try_get("result_parameters")?;
    Ok(OperatorRequest {
        id: columns::parsed(row, "id")?,
        question: columns::word(row, "kind", |word| Question::from_stored(word, (receipt, refund)))?,
        short_code: row.try_get("short_code")?,
        operator: row.try_get("operator")?,
        callback_token: columns::parsed(row, "callback_token")?,
        state: columns::word(row, "state", |word| State::from_stored(word, reason))?,
        originator_conversation_id: row.try_get("originator_conversation_id")?,
        conversation_id: row.try_get("conversation_id")?,
        parameters: Parameters(serde_json::from_str(&parameters).map_err(|error| {
            sqlx::Error::ColumnDecode { index: "result_parameters".to_owned(), source: Box::new(error) }
        })?),
        requested_by: row.try_get("requested_by")?,
        created_at: columns::instant(row, "created_at")?,
        updated_at: columns::instant(row, "updated_at")?,
    })
}
