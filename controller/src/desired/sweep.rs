//! What a change of the catalogue means for lines that are sold already.
//!
//! A connection type is its profiles at each site, however many lines refer to them: they change in the transaction of
//! the change. A plan is in each of its lines: that is queued in the transaction of the change and done in portions
//! afterwards, each a transaction of its own, so that payments pass between them. A run that is lost is taken up again.

use tawi_shared::UnixMillis;

use super::batch::Batch;
use super::{DesiredError, refresh, store};
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, PlanId, SiteId};
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
    let Some((plan, after)) = store::queued_plan(connection).await? else { return Ok(Swept::Nothing) };
    let lines = store::lines_of_plan(connection, &plan, &after, limit).await?;
    let mut batch = Batch::default();
    for line in &lines {
        if let Some(facts) = store::facts_of(connection, line, now).await? {
            refresh(connection, &mut batch, &facts).await?;
        }
    }
    match lines.last() {
        Some(last) if lines.len() >= usize::try_from(limit).unwrap_or(usize::MAX) => {
            store::note_refreshed(connection, &plan, last).await?;
        }
        _ => {
            store::unqueue_plan(connection, &plan).await?;
            // Lines of a plan that still waits may use what no plan names any more.
            if store::queued_plan(connection).await?.is_none()
                && let Some(plan) = plans::get_plan(connection, &plan).await.map_err(unread)?
            {
                set_profiles(connection, &mut batch, &plan.connection_type.id, true).await?;
            }
        }
    }
    let told = batch.close(connection, now).await?;
    Ok(Swept::Some(told.into_iter().map(|(site, _)| site).collect()))
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
