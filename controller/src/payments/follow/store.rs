//! All SQL of what is followed on the pay page.

use super::{FollowToken, Followed};
use crate::columns;
use crate::database::Connection;
use crate::ids::IntentId;

/// What was asked for with a token.
pub(in crate::payments) async fn followed(
    connection: &mut Connection,
    token: &FollowToken,
) -> Result<Option<Followed>, sqlx::Error> {
    let row =
        sqlx::query("SELECT subscription_id, intent_id, created_at FROM pay_page_requests WHERE token = $1")
            .bind(token.reveal())
            .fetch_optional(connection)
            .await?;
    row.map(|row| {
        Ok(Followed {
            line: columns::parsed(&row, "subscription_id")?,
            intent: columns::parsed_or_none(&row, "intent_id")?,
            at: columns::instant(&row, "created_at")?,
        })
    })
    .transpose()
}

pub(in crate::payments) async fn insert_followed(
    connection: &mut Connection,
    token: &FollowToken,
    followed: &Followed,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO pay_page_requests (token, subscription_id, intent_id, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(token.reveal())
    .bind(followed.line.as_str())
    .bind(followed.intent.as_ref().map(IntentId::as_str))
    .bind(followed.at.0)
    .execute(connection)
    .await?;
    Ok(())
}
