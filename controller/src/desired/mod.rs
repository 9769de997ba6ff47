//! What each site should have: derived from subscriptions, numbered by generation, queued for the site in the same
//! transaction that changed the facts.
//!
//! [`refresh_line`] is safe to call at any time and as often as one likes: it compares what should be with what the
//! site was told and takes a new generation only for a difference. A change of a connection type refreshes its profiles,
//! one generation a site; one of a plan refreshes its lines in portions (`batch`, `sweep`). What a line may use is
//! `entitlements`; how the site hears of it is `mqtt/`.

mod batch;
mod reading;
pub mod store;
mod sweep;

use std::fmt;

use tawi_shared::UnixMillis;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{Access, LineV1, ProfileV1};
use thiserror::Error;

use crate::database::Connection;
use crate::entitlements::{self, Entitlement, Facts, Period, Status};
use crate::ids::{LineId, SiteId};
use crate::plans::{self, Family, Plan};
use batch::Batch;

pub use sweep::{Swept, is_refresh_queued, queue_refresh, refresh_profiles, refresh_some};

pub use reading::{Delta, Held, MESSAGE_BYTES, Missing, delta, missing, overtake, snapshot};

/// What a refresh did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The site must be told; an outbox row is in the caller's transaction. Ring `Live::ring_outbox` after the commit.
    Changed {
        /// Which site.
        site: SiteId,
        /// The generation that carries the change.
        generation: u64,
    },
    /// The site was told already.
    Unchanged,
    /// There is no such subscription.
    NoSuchLine,
}

/// Why desired state cannot be read or written.
#[derive(Debug, Error)]
pub enum DesiredError {
    /// The database refused.
    #[error("desired state: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what the code never writes.
    #[error("desired state of line {line}: column {column} holds {value:?}")]
    Row {
        /// Which line.
        line: String,
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// Its names are so long that no message can carry it.
    #[error("line {line} is larger than a message may be; shorten its user name or password")]
    TooLarge {
        /// Which line.
        line: String,
    },
    /// More lines than 65,535 messages can carry.
    #[error("a site has more lines than can be told")]
    TooManyLines,
}

/// All facts about a line. `Debug` shows the line alone: the password is among them.
#[derive(Clone)]
pub struct LineFacts {
    /// Line and subscription id.
    pub line: LineId,
    /// The site of its router.
    pub site: SiteId,
    /// The router's name at the site.
    pub router_name: String,
    /// Name on the router.
    pub username: String,
    /// Password on the router.
    pub password: String,
    /// Its own address; empty for none.
    pub address: String,
    /// The only device that may use it; empty for any.
    pub caller_id: String,
    /// What was sold.
    pub plan: Plan,
    /// The running period, and those bought ahead.
    pub periods: Vec<Period>,
    /// Where the subscription stands.
    pub status: Status,
    /// The end of what is paid for.
    pub paid_until: Option<UnixMillis>,
    /// From when until when it is open on trust.
    pub grace: Option<(UnixMillis, UnixMillis)>,
    /// The sites that were told of it and not to forget it, with what they were told.
    pub told: Vec<(SiteId, LineV1)>,
}

impl fmt::Debug for LineFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineFacts").field("line", &self.line).finish_non_exhaustive()
    }
}

impl LineFacts {
    fn entitlement(&self) -> Entitlement {
        let suspension = self.plan.terms.suspension;
        let grace_until = self.grace.map(|(_, until)| until);
        let facts = Facts { status: self.status, paid_until: self.paid_until, grace_until, suspension };
        entitlements::entitlement(facts)
    }

    /// The periods with the time that the line is open beyond them: what is used then counts for none of them.
    fn periods_with_grace(&self) -> Vec<Period> {
        let mut periods = self.periods.clone();
        if let Some((from, ends_at)) = self.grace
            && self.paid_until.is_none_or(|paid| paid < ends_at)
        {
            let started_at = self.paid_until.map_or(from, |paid| paid.max(from));
            periods.push(Period { started_at, ends_at, bytes: None });
        }
        periods
    }

    /// Whether somebody logs in on it; otherwise its address is all that there is.
    fn has_login(&self) -> bool {
        Family::of(self.plan.connection_type.service) != Family::Static
    }

    /// The line as the site should have it.
    fn desired(&self) -> LineV1 {
        let (entitlement, kind, terms) = (self.entitlement(), &self.plan.connection_type, &self.plan.terms);
        LineV1 {
            line: self.line.to_string(),
            router: self.router_name.clone(),
            service: kind.service.code(),
            username: self.username.clone(),
            password: if self.has_login() { self.password.clone() } else { String::new() },
            profile: kind.profile_name.clone(),
            access: entitlement.access.code(),
            valid_until_ms: entitlement.valid_until.map(|until| until.0),
            suspension: terms.suspension.told(kind),
            caller_id: self.caller_id.clone(),
            address: self.address.clone(),
            quotas: entitlements::quotas(&self.periods_with_grace()),
            after_quota: terms.after_quota.told(kind),
            offline: terms.offline.map(|rule| rule.told(kind)),
        }
    }

    /// The profiles that it can come to need, the open one first.
    fn profiles(&self) -> Vec<ProfileV1> {
        plans::profiles::of_plan(&self.plan)
    }
}

/// Brings the desired state of one line up to date with its subscription, within the caller's transaction.
///
/// # Errors
/// [`DesiredError`]; the caller's transaction must then be rolled back.
pub async fn refresh_line(
    connection: &mut Connection,
    line: &LineId,
    now: UnixMillis,
) -> Result<Refreshed, DesiredError> {
    let Some(facts) = store::facts_of(connection, line, now).await? else {
        return Ok(Refreshed::NoSuchLine);
    };
    let mut batch = Batch::default();
    refresh(connection, &mut batch, &facts).await?;
    let told = batch.close(connection, now).await?;
    let own = told.into_iter().find(|(site, _)| *site == facts.site);
    Ok(own.map_or(Refreshed::Unchanged, |(site, generation)| Refreshed::Changed { site, generation }))
}

/// The same of several lines, with one generation for each of their sites. Which sites must be told.
///
/// # Errors
/// As above.
pub async fn refresh_lines(
    connection: &mut Connection,
    lines: &[LineId],
    now: UnixMillis,
) -> Result<Vec<SiteId>, DesiredError> {
    let mut batch = Batch::default();
    for line in lines {
        if let Some(facts) = store::facts_of(connection, line, now).await? {
            refresh(connection, &mut batch, &facts).await?;
        }
    }
    let told = batch.close(connection, now).await?;
    Ok(told.into_iter().map(|(site, _)| site).collect())
}

async fn refresh(
    connection: &mut Connection,
    batch: &mut Batch,
    facts: &LineFacts,
) -> Result<(), DesiredError> {
    let site = &facts.site;
    let told = batch.keep_only_at_its_site(connection, facts).await?;
    let is_unpaid = facts.status == Status::Draft && facts.entitlement().access == Access::Off;
    if told.is_none() && is_unpaid && facts.has_login() {
        // Nobody has paid yet, and nobody is shown where to: the site need not know, for there is nothing to log in with.
        // Where nobody logs in, an address that the site was not told is one that nothing bars.
        return Ok(());
    }
    for profile in facts.profiles() {
        batch.put_profile(connection, site, &facts.plan.connection_type.id, &profile).await?;
    }
    let wanted = facts.desired();
    if told != Some(&wanted) {
        batch.put_line(connection, site, told, &wanted).await?;
    }
    Ok(())
}

/// At most `limit` lines of a site that changed after generation `from` and have a quota.
///
/// # Errors
/// [`DesiredError`].
pub async fn lines_with_quota_since(
    connection: &mut Connection,
    site: &SiteId,
    from: u64,
    limit: usize,
) -> Result<Vec<LineId>, DesiredError> {
    store::lines_with_quota_since(connection, site, from, limit).await
}

/// A site's newest generation and the hash of its whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteState {
    /// The newest generation.
    pub generation: u64,
    /// Hash of all lines and profiles of it.
    pub hash: StateHash,
}

#[cfg(test)]
mod tests;
