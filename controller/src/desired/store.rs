//! All SQL of desired state.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{LineV1, ProfileV1};

use super::{DesiredError, LineFacts, SiteState};
use crate::columns;
use crate::database::{Connection, Row, Together};
use crate::entitlements::Status;
use crate::ids::{ConnectionTypeId, LineId, PlanId, SiteId};
use crate::{plans, quota};

/// Everything about a line; `None` when there is no such subscription. One trip, since every booking asks it.
pub(super) async fn facts_of(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<Option<LineFacts>, DesiredError> {
    let mut together = Together::default();
    plans::ask_plan_of_line(&mut together, line);
    quota::ask_periods_of(&mut together, line, now);
    together
        .add("SELECT site_id, line_id, line FROM desired_lines WHERE line_id = $1 AND is_removed = 0")
        .bind(line.as_str());
    let mut answers = together.fetch(connection).await?;
    let Some((row, plan)) = plans::answered_plan_of_line(&mut answers)? else { return Ok(None) };
    Ok(Some(LineFacts {
        line: line.clone(),
        site: columns::parsed(&row, "site_id")?,
        router_name: row.try_get("router_name")?,
        username: row.try_get("username")?,
        password: row.try_get("password")?,
        address: row.try_get("address")?,
        caller_id: row.try_get("caller_id")?,
        plan,
        periods: quota::answered_periods(&mut answers)?,
        told: answers
            .rows()?
            .iter()
            .map(|row| Ok((columns::parsed(row, "site_id")?, read_line(row)?)))
            .collect::<Result<_, DesiredError>>()?,
        status: columns::word(&row, "status", Status::parse)?,
        paid_until: columns::instant_or_none(&row, "paid_until")?,
        grace: columns::instant_or_none(&row, "grace_from")?
            .zip(columns::instant_or_none(&row, "grace_until")?),
    }))
}

/// The line as the site was last told; `None` when it was never told or told to forget it.
pub(crate) async fn line_at(
    connection: &mut Connection,
    site: &SiteId,
    line: &LineId,
) -> Result<Option<LineV1>, DesiredError> {
    let row = sqlx::query(
        "SELECT line_id, line FROM desired_lines WHERE site_id = $1 AND line_id = $2 AND is_removed = 0",
    )
    .bind(site.as_str())
    .bind(line.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_line(&row)).transpose()
}

/// The profile as the site was last told.
pub(super) async fn profile_at(
    connection: &mut Connection,
    site: &SiteId,
    profile: &ProfileV1,
) -> Result<Option<ProfileV1>, DesiredError> {
    let row = sqlx::query(
        "SELECT name, profile FROM desired_profiles \
         WHERE site_id = $1 AND service = $2 AND name = $3 AND is_removed = 0",
    )
    .bind(site.as_str())
    .bind(i64::from(profile.service))
    .bind(profile.name.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|row| read_profile(&row)).transpose()
}

/// Takes the next generation of a site. On PostgreSQL the row stays locked until the commit, so that generations are
/// committed in order; on SQLite there is one writer.
pub(super) async fn next_generation(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<SiteState, DesiredError> {
    let row = sqlx::query(
        "UPDATE sites SET generation = generation + 1 WHERE id = $1 RETURNING generation, state_hash",
    )
    .bind(site.as_str())
    .fetch_one(connection)
    .await?;
    read_site_state(&row)
}

/// A site's newest generation and hash; `None` when there is no such site.
///
/// # Errors
/// When the database refuses.
pub async fn state_of(connection: &mut Connection, site: &SiteId) -> Result<Option<SiteState>, DesiredError> {
    let row = sqlx::query("SELECT generation, state_hash FROM sites WHERE id = $1")
        .bind(site.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| read_site_state(&row)).transpose()
}

pub(super) fn add_line(
    together: &mut Together,
    site: &SiteId,
    line: &LineV1,
    generation: u64,
) -> Result<(), DesiredError> {
    let written = written(line)?;
    together
        .add(
            "INSERT INTO desired_lines (site_id, line_id, generation, is_removed, line) VALUES ($1, $2, $3, 0, $4) \
             ON CONFLICT (site_id, line_id) DO UPDATE SET generation = excluded.generation, is_removed = 0, \
                 line = excluded.line",
        )
        .bind(site.as_str())
        .bind(line.line.as_str())
        .bind(columns::stored(generation))
        .bind(written);
    Ok(())
}

pub(super) async fn put_profile(
    connection: &mut Connection,
    site: &SiteId,
    kind: &ConnectionTypeId,
    profile: &ProfileV1,
    generation: u64,
) -> Result<(), DesiredError> {
    sqlx::query(
        "INSERT INTO desired_profiles (site_id, service, name, generation, is_removed, profile, connection_type_id) \
         VALUES ($1, $2, $3, $4, 0, $5, $6) \
         ON CONFLICT (site_id, service, name) DO UPDATE SET generation = excluded.generation, is_removed = 0, \
             profile = excluded.profile, connection_type_id = excluded.connection_type_id",
    )
    .bind(site.as_str())
    .bind(i64::from(profile.service))
    .bind(profile.name.as_str())
    .bind(columns::stored(generation))
    .bind(written(profile)?)
    .bind(kind.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn remove_profile(
    connection: &mut Connection,
    site: &SiteId,
    profile: &ProfileV1,
    generation: u64,
) -> Result<(), DesiredError> {
    sqlx::query(
        "UPDATE desired_profiles SET is_removed = 1, generation = $4 WHERE site_id = $1 AND service = $2 AND name = $3",
    )
    .bind(site.as_str())
    .bind(i64::from(profile.service))
    .bind(profile.name.as_str())
    .bind(columns::stored(generation))
    .execute(connection)
    .await?;
    Ok(())
}

/// The profiles that a connection type has at sites, as they were told.
pub(super) async fn profiles_of_type(
    connection: &mut Connection,
    kind: &ConnectionTypeId,
) -> Result<Vec<(SiteId, ProfileV1)>, DesiredError> {
    let rows = sqlx::query(
        "SELECT site_id, name, profile FROM desired_profiles \
         WHERE connection_type_id = $1 AND is_removed = 0 ORDER BY site_id, service, name",
    )
    .bind(kind.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((columns::parsed(row, "site_id")?, read_profile(row)?))).collect()
}

pub(super) async fn remove_line(
    connection: &mut Connection,
    site: &SiteId,
    line: &LineId,
    generation: u64,
) -> Result<(), DesiredError> {
    sqlx::query(
        "UPDATE desired_lines SET is_removed = 1, generation = $3 WHERE site_id = $1 AND line_id = $2",
    )
    .bind(site.as_str())
    .bind(line.as_str())
    .bind(columns::stored(generation))
    .execute(connection)
    .await?;
    Ok(())
}

/// Queues the lines of a plan, from the first.
pub(super) async fn queue_plan(
    connection: &mut Connection,
    plan: &PlanId,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    sqlx::query(
        "INSERT INTO plan_refreshes (plan_id, after_line, queued_at) VALUES ($1, '', $2) \
         ON CONFLICT (plan_id) DO UPDATE SET after_line = '', version = plan_refreshes.version + 1",
    )
    .bind(plan.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// A plan whose lines have to be told anew.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) plan: PlanId,
    /// The last of its lines that was done; empty for none.
    pub(super) after: String,
    /// For which change. On PostgreSQL the plan may change again while a portion is done: what that notes is then for
    /// nothing, and the lines are done from the first.
    version: i64,
}

/// The plan that waits longest.
pub(super) async fn queued_plan(connection: &mut Connection) -> Result<Option<Queued>, DesiredError> {
    let row = sqlx::query(
        "SELECT plan_id, after_line, version FROM plan_refreshes ORDER BY queued_at, plan_id LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    let read = |row: Row| {
        Ok(Queued {
            plan: columns::parsed(&row, "plan_id")?,
            after: row.try_get("after_line")?,
            version: row.try_get("version")?,
        })
    };
    row.map(read).transpose()
}

/// Whether a plan on this connection type waits.
pub(super) async fn is_queued_on(
    connection: &mut Connection,
    kind: &ConnectionTypeId,
) -> Result<bool, DesiredError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS found FROM plan_refreshes r JOIN plans p ON p.id = r.plan_id \
         WHERE p.connection_type_id = $1",
    )
    .bind(kind.as_str())
    .fetch_one(connection)
    .await?;
    Ok(columns::truth(&row, "found")?)
}

pub(super) async fn note_refreshed(
    connection: &mut Connection,
    queued: &Queued,
    line: &LineId,
) -> Result<(), DesiredError> {
    sqlx::query("UPDATE plan_refreshes SET after_line = $2 WHERE plan_id = $1 AND version = $3")
        .bind(queued.plan.as_str())
        .bind(line.as_str())
        .bind(queued.version)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn unqueue_plan(connection: &mut Connection, queued: &Queued) -> Result<(), DesiredError> {
    sqlx::query("DELETE FROM plan_refreshes WHERE plan_id = $1 AND version = $2")
        .bind(queued.plan.as_str())
        .bind(queued.version)
        .execute(connection)
        .await?;
    Ok(())
}

/// At most `limit` lines of a plan behind this one, in the order of their ids.
pub(super) async fn lines_of_plan(
    connection: &mut Connection,
    plan: &PlanId,
    after: &str,
    limit: u32,
) -> Result<Vec<LineId>, DesiredError> {
    let rows =
        sqlx::query("SELECT id FROM subscriptions WHERE plan_id = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(plan.as_str())
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(connection)
            .await?;
    rows.iter().map(|row| Ok(columns::parsed(row, "id")?)).collect()
}

/// Closes a change: the site's new hash, and the outbox row that tells the site.
pub(super) fn add_hash_and_queue(together: &mut Together, site: &SiteId, state: SiteState, now: UnixMillis) {
    together
        .add("UPDATE sites SET state_hash = $2 WHERE id = $1")
        .bind(site.as_str())
        .bind(hex(&state.hash.to_bytes()));
    together
        .add(
            "INSERT INTO outbox (site_id, generation, queued_at) VALUES ($1, $2, $3) \
             ON CONFLICT (site_id) DO UPDATE SET generation = excluded.generation",
        )
        .bind(site.as_str())
        .bind(columns::stored(state.generation))
        .bind(now.0);
}

/// Queues what a site lacks that was taken for dead: its row may have left the outbox meanwhile, and it says no hello.
pub(crate) async fn queue_what_it_lacks(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    sqlx::query(
        "INSERT INTO outbox (site_id, generation, queued_at) \
         SELECT id, generation, $2 FROM sites WHERE id = $1 AND stored_generation < generation \
         ON CONFLICT (site_id) DO NOTHING",
    )
    .bind(site.as_str())
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// What is new since a generation: items that are there, and keys of those that are no more.
#[derive(Debug)]
pub(super) struct Since<T, K> {
    pub(super) present: Vec<T>,
    pub(super) removed: Vec<K>,
}

impl<T, K> Since<T, K> {
    pub(super) fn len(&self) -> usize {
        self.present.len() + self.removed.len()
    }
}

/// At most `limit` lines of a site that changed after generation `from`, in the order of their change.
pub(super) async fn lines_since(
    connection: &mut Connection,
    site: &SiteId,
    from: u64,
    limit: usize,
) -> Result<Since<LineV1, String>, DesiredError> {
    let rows = sqlx::query(
        "SELECT line_id, is_removed, line FROM desired_lines \
         WHERE site_id = $1 AND generation > $2 ORDER BY generation, line_id LIMIT $3",
    )
    .bind(site.as_str())
    .bind(columns::stored(from))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let mut since = Since { present: Vec::with_capacity(rows.len()), removed: Vec::new() };
    for row in rows {
        if row.try_get::<i64, _>("is_removed")? == 0 {
            since.present.push(read_line(&row)?);
        } else {
            since.removed.push(row.try_get("line_id")?);
        }
    }
    Ok(since)
}

/// At most `limit` lines of a site that changed after a generation, and have periods with a limit.
pub(super) async fn lines_with_quota_since(
    connection: &mut Connection,
    site: &SiteId,
    from: u64,
    limit: usize,
) -> Result<Vec<LineId>, DesiredError> {
    let rows = sqlx::query(
        "SELECT d.line_id FROM desired_lines d \
         WHERE d.site_id = $1 AND d.generation > $2 AND d.is_removed = 0 \
           AND EXISTS (SELECT 1 FROM quota_periods p WHERE p.line_id = d.line_id AND p.bytes IS NOT NULL) \
         ORDER BY d.generation, d.line_id LIMIT $3",
    )
    .bind(site.as_str())
    .bind(columns::stored(from))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(columns::parsed(row, "line_id")?)).collect()
}

/// At most `limit` profiles of a site that changed after generation `from`, in the order of their change.
pub(super) async fn profiles_since(
    connection: &mut Connection,
    site: &SiteId,
    from: u64,
    limit: usize,
) -> Result<Since<ProfileV1, (u16, String)>, DesiredError> {
    let rows = sqlx::query(
        "SELECT service, name, is_removed, profile FROM desired_profiles \
         WHERE site_id = $1 AND generation > $2 ORDER BY generation, service, name LIMIT $3",
    )
    .bind(site.as_str())
    .bind(columns::stored(from))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let mut since = Since { present: Vec::with_capacity(rows.len()), removed: Vec::new() };
    for row in rows {
        let service = code("", &row, "service")?;
        if row.try_get::<i64, _>("is_removed")? == 0 {
            since.present.push(read_profile(&row)?);
        } else {
            since.removed.push((service, row.try_get("name")?));
        }
    }
    Ok(since)
}

/// Lifts the site's generation to at least `least`, and queues it for the site when it moved.
pub(super) async fn raise_generation(
    connection: &mut Connection,
    site: &SiteId,
    least: u64,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    let row = sqlx::query(
        "UPDATE sites SET generation = $2 WHERE id = $1 AND generation < $2 RETURNING generation, state_hash",
    )
    .bind(site.as_str())
    .bind(columns::stored(least))
    .fetch_optional(&mut *connection)
    .await?;
    match row {
        Some(row) => {
            let mut together = Together::default();
            add_hash_and_queue(&mut together, site, read_site_state(&row)?, now);
            together.execute(connection).await?;
            Ok(())
        }
        None => Ok(()),
    }
}

/// The line in a row that selects `line_id` and `line`. It is kept as it was told, whole: nobody asks for a part of it,
/// and a new field of the contract needs no new column.
fn read_line(row: &Row) -> Result<LineV1, DesiredError> {
    let text: String = row.try_get("line")?;
    read(row.try_get("line_id")?, "line", &text)
}

/// The profile in a row that selects `name` and `profile`.
fn read_profile(row: &Row) -> Result<ProfileV1, DesiredError> {
    let text: String = row.try_get("profile")?;
    read(row.try_get("name")?, "profile", &text)
}

fn read<T: DeserializeOwned>(of: String, column: &'static str, text: &str) -> Result<T, DesiredError> {
    // What the row holds is not shown: a password may be in it.
    serde_json::from_str(text).map_err(|error| DesiredError::Row {
        line: of,
        column,
        value: error.to_string(),
    })
}

fn written<T: Serialize>(item: &T) -> Result<String, DesiredError> {
    let unwritable = |error: serde_json::Error| DesiredError::Row {
        line: String::new(),
        column: "line or profile",
        value: error.to_string(),
    };
    serde_json::to_string(item).map_err(unwritable)
}

fn read_site_state(row: &Row) -> Result<SiteState, DesiredError> {
    let text: String = row.try_get("state_hash")?;
    let hash = u128::from_str_radix(&text, 16).map_err(|_| DesiredError::Row {
        line: String::new(),
        column: "state_hash",
        value: text,
    })?;
    let generation = u64::try_from(row.try_get::<i64, _>("generation")?).unwrap_or(0);
    Ok(SiteState { generation, hash: StateHash::from_bytes(hash.to_be_bytes()) })
}

fn code(line: &str, row: &Row, column: &'static str) -> Result<u16, DesiredError> {
    let value: i64 = row.try_get(column)?;
    u16::try_from(value).map_err(|_| DesiredError::Row {
        line: line.to_owned(),
        column,
        value: value.to_string(),
    })
}
