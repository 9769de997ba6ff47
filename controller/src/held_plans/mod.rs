//! What agents' guards hold: changes that would cut off many customers at once, until a person has looked.
//!
//! An agent tells what it holds whenever that changes, and with each hello; here is the last word of each router. A plan
//! is named by a digest over exactly its lines: letting it go is a command that names the digest (`commands`), and the
//! agent refuses when it holds something else by then.

pub mod api;
mod store;
pub mod view;

use tawi_shared::UnixMillis;
use tawi_shared::wire::HeldPlanV1;

use crate::database::Connection;
use crate::entitlements::Status;
use crate::ids::{CustomerId, LineId, SiteId};

/// Lines of one plan that are kept and shown; the rest is counted. An agent names no more than fit an envelope.
pub const LINES: usize = 2_000;
/// The longest digest, in characters.
const DIGEST_CHARACTERS: usize = 64;

/// What a router's guard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPlan {
    /// At which site.
    pub site: SiteId,
    /// The site's name.
    pub site_name: String,
    /// On which router.
    pub router: String,
    /// Names exactly its lines.
    pub digest: String,
    /// How many lines lose access.
    pub lines_total: u32,
    /// How many work.
    pub lines_working: u32,
    /// Since when, by the agent's clock.
    pub at: UnixMillis,
}

/// A line of such a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLine {
    /// Which.
    pub line: LineId,
    /// What is known of it; `None` for a line that is no more.
    pub known: Option<Known>,
}

/// What head office knows of a held line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whose.
    pub customer: CustomerId,
    /// Their name.
    pub customer_name: String,
    /// Name on the router.
    pub username: String,
    /// Where it stands.
    pub status: Status,
    /// The end of what is paid for.
    pub paid_until: Option<UnixMillis>,
    /// What the agent says is wrong with it.
    pub failure: String,
}

/// Takes an agent's word. An empty digest is nothing held.
///
/// # Errors
/// When the database refuses.
pub async fn take(connection: &mut Connection, site: &SiteId, plan: &HeldPlanV1) -> Result<(), sqlx::Error> {
    store::forget(connection, site, &plan.router).await?;
    let is_digest =
        plan.digest.len() <= DIGEST_CHARACTERS && plan.digest.bytes().all(|b| b.is_ascii_hexdigit());
    if plan.digest.is_empty() || !is_digest || plan.lines_total == 0 {
        return Ok(());
    }
    store::put(connection, site, plan).await?;
    for line in plan.lines.iter().take(LINES) {
        if let Ok(line) = LineId::parse(line) {
            store::put_line(connection, site, &plan.router, &line).await?;
        }
    }
    Ok(())
}

/// All plans that are held, at one site or at all.
///
/// # Errors
/// When the database refuses.
pub async fn list(connection: &mut Connection, site: Option<&SiteId>) -> Result<Vec<HeldPlan>, sqlx::Error> {
    store::list(connection, site).await
}

/// What the guard of a router holds.
///
/// # Errors
/// When the database refuses.
pub async fn of_router(
    connection: &mut Connection,
    site: &SiteId,
    router: &str,
) -> Result<Option<HeldPlan>, sqlx::Error> {
    Ok(store::list(connection, Some(site)).await?.into_iter().find(|plan| plan.router == router))
}

/// The lines of a plan, at most `limit`, by customer.
///
/// # Errors
/// When the database refuses.
pub async fn lines_of(
    connection: &mut Connection,
    plan: &HeldPlan,
    limit: u32,
) -> Result<Vec<HeldLine>, sqlx::Error> {
    store::lines_of(connection, plan, limit).await
}
