//! What a change of the catalogue means for lines that are sold already.
//!
//! A connection type is its profiles at each site, however many lines refer to them: they change in the transaction of
//! the change. A plan is in each of its lines: that is queued in the transaction of the change and done in portions
//! afterwards, each a transaction of its own, so that payments pass between them. A run that is lost is taken up again.

use tawi_shared::UnixMillis;

use super::batch::Batch;
use super::{DesiredError, refresh, store};
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, LineId, PlanId, SiteId};
use crate::plans::{self, ConnectionType, Plan};

/// What a portion did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Nothing waits.
    Nothing,
    /// Some lines were looked at; these sites must be told. There may be more to do.
    Some(Vec<SiteId>),
}

/// Brings the profiles of a connection type up to date at all sites that have them, in the caller's transaction.
///
/// # Errors
/// [`DesiredError`]; the transaction must then be rolled back.
pub async fn refresh_profiles(
    connection: &mut Connection,
    kind: &ConnectionTypeId,
    now: UnixMillis,
) -> Result<Vec<(SiteId, u64)>, DesiredError> {
    let mut batch = Batch::default();
    set_profiles(connection, &mut batch, kind, false).await?;
    batch.close(connection, now).await
}

/// Queues the lines of a plan to be told anew, in the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn queue_refresh(
    connection: &mut Connection,
    plan: &PlanId,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    store::queue_plan(connection, plan, now).await
}

/// Whether anything is queued.
///
/// # Errors
/// When the database refuses.
pub async fn is_refresh_queued(connection: &mut Connection) -> Result<bool, DesiredError> {
    Ok(store::queued_plan(connection).await?.is_some())
}

/// Does a portion of what is queued: at most `limit` lines of the plan that waits longest. When its last line is done,
/// profiles that no plan needs any more are taken away.
///
/// # Errors
/// [`DesiredError`]; the transaction must then be rolled back.
pub async fn refresh_some(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Swept, DesiredError> {
    let Some(queued) = store::queued_plan(connection).await? else { return Ok(Swept::Nothing) };
    let lines = store::lines_of_plan(connection, &queued.plan, &queued.after, limit).await?;
    let mut batch = Batch::default();
    for line in &lines {
        match refresh_one(connection, &mut batch, line, now).await {
            Ok(()) => {}
            // One row that nobody can read must not keep the news from all the others.
            Err(error) if is_of_one_line(&error) => {
                tracing::error!(line.id = %line, %error, "a line cannot be told what its plan says; it is stepped over");
            }
            Err(error) => return Err(error),
        }
    }
    match lines.last() {
        Some(last) if lines.len() >= usize::try_from(limit).unwrap_or(usize::MAX) => {
            store::note_refreshed(connection, &queued, last).await?;
        }
        _ => {
            store::unqueue_plan(connection, &queued).await?;
            // Lines of a plan that still waits may use what no plan of their connection type names any more.
            if let Some(plan) = plans::get_plan(connection, &queued.plan).await.map_err(unread)?
                && !store::is_queued_on(connection, &plan.connection_type.id).await?
            {
                set_profiles(connection, &mut batch, &plan.connection_type.id, true).await?;
            }
        }
    }
    let told = batch.close(connection, now).await?;
    Ok(Swept::Some(told.into_iter().map(|(site, _)| site).collect()))
}

async fn refresh_one(
    connection: &mut Connection,
    batch: &mut Batch,
    line: &LineId,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    match store::facts_of(connection, line, now).await? {
        Some(facts) => refresh(connection, batch, &facts).await,
        None => Ok(()),
    }
}

/// Whether an error says something of one line, and nothing of the database. What was read and cannot be understood was
/// read before anything was written: the batch is whole.
fn is_of_one_line(error: &DesiredError) -> bool {
    match error {
        DesiredError::Database(error) => {
            matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
        }
        DesiredError::Row { .. } | DesiredError::TooLarge { .. } => true,
        DesiredError::TooManyLines => false,
    }
}

/// Sets each profile of a connection type wherever it was told; `removes` those that no plan on it needs.
async fn set_profiles(
    connection: &mut Connection,
    batch: &mut Batch,
    id: &ConnectionTypeId,
    removes: bool,
) -> Result<(), DesiredError> {
    let Some(kind) = plans::get_connection_type(connection, id).await.map_err(unread)? else { return Ok(()) };
    let sold = plans::plans_on(connection, id).await?;
    for (site, told) in store::profiles_of_type(connection, id).await? {
        match wanted(&kind, &sold, &told.name) {
            Some(wanted) => batch.set_profile(connection, &site, id, Some(&told), &wanted).await?,
            None if removes => batch.remove_profile(connection, &site, &told).await?,
            // A line may still use it; only its speed of old is left, until its plan's lines are done.
            None => {}
        }
    }
    Ok(())
}

/// The profile of this name as it should be; `None` when no plan needs it.
fn wanted(kind: &ConnectionType, sold: &[Plan], name: &str) -> Option<tawi_shared::wire::ProfileV1> {
    if kind.profile_name == name {
        return Some(plans::profiles::open(kind));
    }
    sold.iter().flat_map(plans::profiles::of_plan).find(|profile| profile.name == name)
}

fn unread(error: plans::PlanError) -> DesiredError {
    match error {
        plans::PlanError::Database(error) => error.into(),
        plans::PlanError::Desired(error) => error,
    }
}
