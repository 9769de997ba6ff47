//! All SQL of the link: what agents say of themselves, how far each lane is taken in, and what waits to be told.

use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::wire::HelloV1;

use super::LinkError;
use crate::columns;
use crate::database::{Connection, Row};
use crate::ids::{LineId, SiteId};

/// What the controller knows of an agent's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) is_online: bool,
    pub(super) connection_epoch: u64,
    pub(super) stored_generation: u64,
}

/// `None` when there is no such site.
pub(super) async fn agent(connection: &mut Connection, site: &SiteId) -> Result<Option<Agent>, LinkError> {
    let row = sqlx::query("SELECT is_online, connection_epoch, stored_generation FROM sites WHERE id = $1")
        .bind(site.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Agent {
            is_online: row.try_get::<i64, _>("is_online")? != 0,
            connection_epoch: from_column(row.try_get("connection_epoch")?),
            stored_generation: number(&row, "stored_generation")?,
        })
    })
    .transpose()
}

/// Whether the site is shut out. A front door of ours lets it say nothing; another broker may.
pub(super) async fn is_shut_out(connection: &mut Connection, site: &SiteId) -> Result<bool, LinkError> {
    let row = sqlx::query("SELECT 1 AS found FROM sites WHERE id = $1 AND revoked_at IS NOT NULL")
        .bind(site.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// What a hello says of its site. The agent is the authority on what it holds: that may go down. What was once verified on the
/// routers does not, as long as the agent still has it: after its start it only did not look at them again yet.
pub(super) async fn said_hello(
    connection: &mut Connection,
    site: &SiteId,
    (hello, store_epoch): (&HelloV1, u32),
    now: UnixMillis,
) -> Result<(), LinkError> {
    sqlx::query(
        "UPDATE sites SET connection_epoch = $2, agent_version = $3, stored_generation = $4, \
                          applied_generation = CASE WHEN applied_generation BETWEEN $5 AND $4 \
                                                    THEN applied_generation ELSE $5 END, \
                          last_seen_at = $6, store_epoch = $7, \
                          online_changed_at = CASE WHEN is_online = 1 THEN online_changed_at ELSE $6 END, \
                          is_online = 1, protocol_newest = $8 \
         WHERE id = $1",
    )
    .bind(site.as_str())
    .bind(into_column(hello.connection_epoch))
    .bind(hello.agent_version.as_str())
    .bind(columns::stored(hello.stored_generation))
    .bind(columns::stored(hello.applied_generation))
    .bind(now.0)
    .bind(i64::from(store_epoch))
    .bind(i64::from(hello.protocol_newest))
    .execute(connection)
    .await?;
    Ok(())
}

/// The life of the store that said hello last; `None` before the first.
pub(super) async fn store_epoch(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Option<u32>, LinkError> {
    let row = sqlx::query("SELECT store_epoch FROM sites WHERE id = $1")
        .bind(site.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(row.try_get::<Option<i64>, _>("store_epoch")?.and_then(|epoch| u32::try_from(epoch).ok()))
}

/// A sign of life from a site that is online, or was taken for dead.
pub(super) async fn said_something(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), LinkError> {
    sqlx::query(
        "UPDATE sites SET last_seen_at = $2, \
                          online_changed_at = CASE WHEN is_online = 1 THEN online_changed_at ELSE $2 END, \
                          is_online = 1 \
         WHERE id = $1",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// `false` when the site was offline already.
pub(super) async fn went_offline(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<bool, LinkError> {
    let done = sqlx::query(
        "UPDATE sites SET is_online = 0, online_changed_at = $2, last_seen_at = $2 WHERE id = $1 AND is_online = 1",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Raises what the site has on flash; `false` when it was known.
pub(super) async fn raise_stored(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
) -> Result<bool, LinkError> {
    let done =
        sqlx::query("UPDATE sites SET stored_generation = $2 WHERE id = $1 AND stored_generation < $2")
            .bind(site.as_str())
            .bind(columns::stored(generation))
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// What the site has on its routers. Word of an older generation that comes late changes nothing of that.
pub(super) async fn set_applied(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
    failures_total: u32,
    now: UnixMillis,
) -> Result<(), LinkError> {
    sqlx::query(
        "UPDATE sites SET applied_generation = CASE WHEN applied_generation > $2 THEN applied_generation ELSE $2 END, \
                          applied_at = $3, failures_total = $4 \
         WHERE id = $1",
    )
    .bind(site.as_str())
    .bind(columns::stored(generation))
    .bind(now.0)
    .bind(i64::from(failures_total))
    .execute(connection)
    .await?;
    Ok(())
}

/// Up to where a lane is taken in; 0 for a life of the store that is new.
pub(super) async fn cursor(
    connection: &mut Connection,
    site: &SiteId,
    lane: u16,
    store_epoch: u32,
) -> Result<u64, LinkError> {
    let row =
        sqlx::query("SELECT cursor FROM lane_cursors WHERE site_id = $1 AND lane = $2 AND store_epoch = $3")
            .bind(site.as_str())
            .bind(i64::from(lane))
            .bind(i64::from(store_epoch))
            .fetch_optional(connection)
            .await?;
    row.map_or(Ok(0), |row| number(&row, "cursor"))
}

/// Moves a cursor.
pub(super) async fn set_cursor(
    connection: &mut Connection,
    site: &SiteId,
    lane: u16,
    store_epoch: u32,
    cursor: u64,
) -> Result<(), LinkError> {
    sqlx::query(
        "INSERT INTO lane_cursors (site_id, lane, store_epoch, cursor) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (site_id, lane, store_epoch) DO UPDATE SET cursor = excluded.cursor",
    )
    .bind(site.as_str())
    .bind(i64::from(lane))
    .bind(i64::from(store_epoch))
    .bind(columns::stored(cursor))
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets how far a lane came in other lives of the store than this one. A life that comes back all the same is told
/// to begin anew, and says what it says for the second time.
pub(super) async fn forget_other_lives(
    connection: &mut Connection,
    site: &SiteId,
    lane: u16,
    store_epoch: u32,
) -> Result<(), LinkError> {
    sqlx::query("DELETE FROM lane_cursors WHERE site_id = $1 AND lane = $2 AND store_epoch <> $3")
        .bind(site.as_str())
        .bind(i64::from(lane))
        .bind(i64::from(store_epoch))
        .execute(connection)
        .await?;
    Ok(())
}

/// The lines of a site that are shown as failed, with what is shown.
pub(super) async fn failed_lines(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Vec<(LineId, String)>, LinkError> {
    let rows = sqlx::query(
        "SELECT s.id, s.failure FROM subscriptions s JOIN routers r ON r.id = s.router_id \
         WHERE r.site_id = $1 AND s.failure <> ''",
    )
    .bind(site.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((line_id(row, "id")?, row.try_get("failure")?))).collect()
}

/// Shows a line as failed, or as well again by an empty text; `false` when that is not a line of this site.
pub(super) async fn set_failure(
    connection: &mut Connection,
    site: &SiteId,
    line: &LineId,
    failure: &str,
) -> Result<bool, LinkError> {
    let done = sqlx::query(
        "UPDATE subscriptions SET failure = $3 \
         WHERE id = $2 AND router_id IN (SELECT id FROM routers WHERE site_id = $1)",
    )
    .bind(site.as_str())
    .bind(line.as_str())
    .bind(failure)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Shows a line as on- or offline; `false` when that is not a line of this site, or it is shown so already. History comes in any
/// order, and behind what is fresh: the latest of it stands, and none of it against what is later. What one look at a router saw
/// has one time: who is gone and there again in it is there.
pub(super) async fn set_line_online(
    connection: &mut Connection,
    site: &SiteId,
    line: &LineId,
    (is_online, is_history): (bool, bool),
    at: UnixMillis,
) -> Result<bool, LinkError> {
    let changed = sqlx::query(
        "UPDATE subscriptions SET is_online = $3, online_changed_at = $4, online_heard_at = $4 \
         WHERE id = $2 AND router_id IN (SELECT id FROM routers WHERE site_id = $1) \
               AND (($5 = 0 AND is_online <> $3) \
                    OR ($5 = 1 AND COALESCE(online_heard_at, online_changed_at, $4 - 1) < $4) \
                    OR ($5 = 1 AND $3 = 1 AND is_online = 0 \
                        AND COALESCE(online_heard_at, online_changed_at) = $4))",
    )
    .bind(site.as_str())
    .bind(line.as_str())
    .bind(i64::from(is_online))
    .bind(at.0)
    .bind(i64::from(is_history))
    .execute(&mut *connection)
    .await?;
    if changed.rows_affected() == 0 && !is_history {
        sqlx::query(
            "UPDATE subscriptions SET online_heard_at = $3 \
             WHERE id = $2 AND router_id IN (SELECT id FROM routers WHERE site_id = $1)",
        )
        .bind(site.as_str())
        .bind(line.as_str())
        .bind(at.0)
        .execute(connection)
        .await?;
    }
    Ok(changed.rows_affected() == 1)
}

/// Shows the address that a line was last seen with. Where nobody logs in the site counts whatever the address moves,
/// from before anybody has it: only what moved something was seen.
pub(super) async fn set_last_address(
    connection: &mut Connection,
    site: &SiteId,
    (line, address): (&str, &str),
    has_moved: bool,
) -> Result<(), LinkError> {
    sqlx::query(
        "UPDATE subscriptions SET last_address = $3 \
         WHERE id = $2 AND last_address <> $3 AND router_id IN (SELECT id FROM routers WHERE site_id = $1) \
               AND ($4 = 1 OR plan_id IN (SELECT p.id FROM plans p \
                   JOIN connection_types t ON t.id = p.connection_type_id WHERE t.family <> 'static'))",
    )
    .bind(site.as_str())
    .bind(line)
    .bind(address)
    .bind(i64::from(has_moved))
    .execute(connection)
    .await?;
    Ok(())
}

/// A site that has not said that it holds the newest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) site: SiteId,
    pub(super) generation: u64,
    pub(super) is_online: bool,
}

/// What waits in the outbox. A row a site, so that it never holds more than there are sites.
pub(super) async fn outbox(connection: &mut Connection) -> Result<Vec<Behind>, LinkError> {
    let rows = sqlx::query(
        "SELECT s.id, s.generation, CASE WHEN s.revoked_at IS NULL THEN s.is_online ELSE 0 END AS is_online \
         FROM outbox o JOIN sites s ON s.id = o.site_id ORDER BY o.queued_at",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_behind).collect()
}

/// Sites that are online and have not stored the newest generation.
pub(super) async fn behind(connection: &mut Connection) -> Result<Vec<Behind>, LinkError> {
    let rows = sqlx::query(
        "SELECT id, generation, is_online FROM sites \
         WHERE is_online = 1 AND revoked_at IS NULL AND stored_generation < generation ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_behind).collect()
}

/// Sites that are online, have stored the newest generation, and have not said that their routers are at it.
pub(super) async fn unapplied(connection: &mut Connection) -> Result<Vec<Behind>, LinkError> {
    let rows = sqlx::query(
        "SELECT id, generation, is_online FROM sites \
         WHERE is_online = 1 AND revoked_at IS NULL AND stored_generation = generation \
               AND applied_generation < generation ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_behind).collect()
}

/// Takes a site out of the outbox, unless something newer than `generation` was queued meanwhile.
pub(super) async fn delete_from_outbox(
    connection: &mut Connection,
    site: &SiteId,
    generation: u64,
) -> Result<(), LinkError> {
    sqlx::query("DELETE FROM outbox WHERE site_id = $1 AND generation <= $2")
        .bind(site.as_str())
        .bind(columns::stored(generation))
        .execute(connection)
        .await?;
    Ok(())
}

fn read_behind(row: &Row) -> Result<Behind, LinkError> {
    let id: String = row.try_get("id")?;
    Ok(Behind {
        site: SiteId::parse(&id).map_err(|_| LinkError::Row { column: "id", value: id })?,
        generation: number(row, "generation")?,
        is_online: row.try_get::<i64, _>("is_online")? != 0,
    })
}

fn line_id(row: &Row, column: &'static str) -> Result<LineId, LinkError> {
    let text: String = row.try_get(column)?;
    LineId::parse(&text).map_err(|_| LinkError::Row { column, value: text })
}

fn number(row: &Row, column: &'static str) -> Result<u64, LinkError> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

/// Connection epochs may use all 64 bits, so that they are kept bit by bit.
fn into_column(epoch: u64) -> i64 {
    i64::from_be_bytes(epoch.to_be_bytes())
}

fn from_column(column: i64) -> u64 {
    u64::from_be_bytes(column.to_be_bytes())
}
