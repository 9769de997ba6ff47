//! All SQL of commands.

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::CommandKind;

use super::{Command, RESULT_WITHIN, Standing};
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{CommandId, LineId, SiteId};

/// The columns that [`read`] reads, with what follows.
macro_rules! commands {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.site_id, c.kind, c.router_name, c.line_id, c.argument, c.service, c.actor, c.created_at, ",
            "c.not_after, c.standing, c.standing_at, c.detail FROM commands c ",
            $rest
        )
    };
}

pub(super) async fn insert(
    connection: &mut Connection,
    command: &Command,
    kind: CommandKind,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO commands (id, site_id, kind, router_name, line_id, argument, service, actor, created_at, \
                               not_after, standing, standing_at, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(command.id.as_str())
    .bind(command.site.as_str())
    .bind(i64::from(kind.code()))
    .bind(command.router.as_str())
    .bind(command.line.as_ref().map(LineId::as_str))
    .bind(command.argument.as_str())
    .bind(i64::from(command.service))
    .bind(command.actor.as_str())
    .bind(command.created_at.0)
    .bind(command.not_after.0)
    .bind(command.standing.as_str())
    .bind(command.standing_at.0)
    .bind(command.detail.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn by_id(
    connection: &mut Connection,
    id: &CommandId,
) -> Result<Option<Command>, sqlx::Error> {
    let row = sqlx::query(commands!("WHERE c.id = $1")).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// Notes where a command stands; `false` when that is not one of the site's, is over, or stood there already.
pub(super) async fn settle(
    connection: &mut Connection,
    site: &SiteId,
    id: &CommandId,
    standing: Standing,
    detail: &str,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    // What was given up for lost may have been done all the same: the site's own word is the last. Only that it waits is
    // none on what was begun or is over.
    let done = sqlx::query(
        "UPDATE commands SET standing = $3, detail = $4, standing_at = $5 \
         WHERE id = $2 AND site_id = $1 AND standing IN ('queued', 'executing', 'expired') \
               AND (standing <> $3 OR detail <> $4) AND ($3 <> 'queued' OR standing = 'queued')",
    )
    .bind(site.as_str())
    .bind(id.as_str())
    .bind(standing.as_str())
    .bind(detail)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn open_of(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<Command>, sqlx::Error> {
    let rows = sqlx::query(commands!(
        "WHERE c.site_id = $1 AND c.standing IN ('queued', 'executing') ORDER BY c.created_at, c.id LIMIT $2"
    ))
    .bind(site.as_str())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Gives up the commands of these kinds that a site may have begun: those that it said it began, and those that stood while it was
/// connected. Says how many.
pub(super) async fn give_up_begun(
    connection: &mut Connection,
    site: &SiteId,
    kinds: [CommandKind; 4],
    now: UnixMillis,
) -> Result<u64, sqlx::Error> {
    let [one, two, three, four] = kinds.map(|kind| i64::from(kind.code()));
    let done = sqlx::query(
        "UPDATE commands SET standing = 'failed', standing_at = $2, \
                             detail = 'the site lost its store, or is another device now; whether it was done is not known' \
         WHERE site_id = $1 AND kind IN ($3, $4, $5, $6) AND standing IN ('queued', 'executing') \
               AND (standing = 'executing' \
                    OR EXISTS (SELECT 1 FROM sites s WHERE s.id = $1 \
                                      AND (s.is_online = 1 OR commands.created_at <= s.last_seen_at)))",
    )
    .bind(site.as_str())
    .bind(now.0)
    .bind(one)
    .bind(two)
    .bind(three)
    .bind(four)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// The sites that are connected and have open commands.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn sites_to_tell(connection: &mut Connection) -> Result<Vec<SiteId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT c.site_id FROM commands c JOIN sites s ON s.id = c.site_id \
         WHERE c.standing IN ('queued', 'executing') AND s.is_online = 1 AND s.revoked_at IS NULL",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "site_id")).collect()
}

pub(super) async fn latest_of(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<Command>, sqlx::Error> {
    let rows = sqlx::query(commands!("WHERE c.site_id = $1 ORDER BY c.created_at DESC, c.id DESC LIMIT $2"))
        .bind(site.as_str())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

pub(super) async fn latest_of_kind(
    connection: &mut Connection,
    site: &SiteId,
    kind: CommandKind,
    router: &str,
) -> Result<Option<Command>, sqlx::Error> {
    let row = sqlx::query(commands!(
        "WHERE c.site_id = $1 AND c.kind = $2 AND c.router_name = $3 ORDER BY c.created_at DESC, c.id DESC LIMIT 1"
    ))
    .bind(site.as_str())
    .bind(i64::from(kind.code()))
    .bind(router)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Closes commands whose time is over, at most `limit`; says of which sites. What was begun, and of which no result came
/// in time, is failed: nobody knows.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn close_late(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<SiteId>, sqlx::Error> {
    let rows = sqlx::query(
        "UPDATE commands SET standing = CASE WHEN standing = 'queued' THEN 'expired' ELSE 'failed' END, \
                             detail = CASE WHEN standing = 'queued' THEN 'the site was not heard in time' \
                                           ELSE 'it was begun; whether it was done is not known' END, \
                             standing_at = $1 \
         WHERE id IN (SELECT id FROM commands WHERE (standing = 'queued' AND not_after < $1) \
                         OR (standing = 'executing' AND not_after < $2) LIMIT $3) \
         RETURNING site_id",
    )
    .bind(now.0)
    .bind(now.minus(RESULT_WITHIN).0)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| columns::parsed(row, "site_id")).collect()
}

/// Forgets at most `limit` commands that were given before `before`; says how many.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn forget(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE created_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Keeps a part of an answer; one that came before is replaced.
pub(super) async fn put_answer(
    connection: &mut Connection,
    id: &CommandId,
    (part, parts): (u16, u16),
    body: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    // What was told in another number of parts is of a run of the agent before, and would never become whole with these.
    sqlx::query("DELETE FROM command_answers WHERE command_id = $1 AND parts <> $2")
        .bind(id.as_str())
        .bind(i64::from(parts))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO command_answers (command_id, part, parts, body, received_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (command_id, part) DO UPDATE SET parts = $3, body = $4, received_at = $5",
    )
    .bind(id.as_str())
    .bind(i64::from(part))
    .bind(i64::from(parts))
    .bind(body)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The parts of an answer that came, in their order: how many there should be, and the text.
pub(super) async fn answer_parts(
    connection: &mut Connection,
    id: &CommandId,
) -> Result<Vec<(u16, String)>, sqlx::Error> {
    let rows = sqlx::query("SELECT parts, body FROM command_answers WHERE command_id = $1 ORDER BY part")
        .bind(id.as_str())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((columns::unsigned(row, "parts")?, row.try_get("body")?))).collect()
}

/// Forgets at most `limit` parts of answers that came before `before`; says how many.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn forget_answers(
    connection: &mut Connection,
    before: UnixMillis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM command_answers WHERE (command_id, part) IN \
             (SELECT command_id, part FROM command_answers WHERE received_at < $1 LIMIT $2)",
    )
    .bind(before.0)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn read(row: &Row) -> Result<Command, sqlx::Error> {
    Ok(Command {
        id: columns::parsed(row, "id")?,
        site: columns::parsed(row, "site_id")?,
        kind: CommandKind::from_code(columns::unsigned(row, "kind")?),
        router: row.try_get("router_name")?,
        line: columns::parsed_or_none(row, "line_id")?,
        argument: row.try_get("argument")?,
        service: columns::unsigned(row, "service")?,
        actor: row.try_get("actor")?,
        created_at: columns::instant(row, "created_at")?,
        not_after: columns::instant(row, "not_after")?,
        standing: columns::word(row, "standing", Standing::parse)?,
        standing_at: columns::instant(row, "standing_at")?,
        detail: row.try_get("detail")?,
    })
}
