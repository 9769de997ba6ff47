//! What each site should have: derived from subscriptions, numbered by generation, queued for the site in the same
//! transaction that changed the facts.
//!
//! [`refresh_line`] is safe to call at any time and as often as one likes: it compares what should be with what the
//! site was told and takes a new generation only for a difference. What a line may use is `entitlements`; how the
//! site hears of it is `mqtt/`.

mod reading;
pub mod store;

use std::fmt;

use tawi_shared::UnixMillis;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{LineV1, ProfileV1, Service};
use thiserror::Error;

use crate::database::Connection;
use crate::entitlements::{self, Facts, Status};
use crate::ids::{LineId, SiteId};

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

/// All facts about a line, as `store` reads them in one query. `Debug` shows the line alone: the password is among them.
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
    /// PPPoE or hotspot.
    pub service: Service,
    /// The speed profile of its connection type.
    pub profile: ProfileV1,
    /// Where the subscription stands.
    pub status: Status,
    /// The end of what is paid for.
    pub paid_until: Option<UnixMillis>,
}

impl fmt::Debug for LineFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineFacts").field("line", &self.line).finish_non_exhaustive()
    }
}

impl LineFacts {
    /// The line as the site should have it.
    fn desired(&self) -> LineV1 {
        let entitlement =
            entitlements::entitlement(Facts { status: self.status, paid_until: self.paid_until });
        LineV1 {
            line: self.line.to_string(),
            router: self.router_name.clone(),
            service: self.service.code(),
            username: self.username.clone(),
            password: self.password.clone(),
            profile: self.profile.name.clone(),
            access: entitlement.access.code(),
            valid_until_ms: entitlement.valid_until.map(|until| until.0),
            ..LineV1::default()
        }
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
    let Some(facts) = store::facts_of(connection, line).await? else {
        return Ok(Refreshed::NoSuchLine);
    };
    store::remove_elsewhere(connection, line, &facts.site, now).await?;
    let wanted = facts.desired();
    let told = store::line_at(connection, &facts.site, line).await?;
    if told.is_none() && facts.status == Status::Draft {
        // Nobody has paid yet: the site need not know.
        return Ok(Refreshed::Unchanged);
    }
    let told_profile = store::profile_at(connection, &facts.site, &facts.profile).await?;
    if told.as_ref() == Some(&wanted) && told_profile.as_ref() == Some(&facts.profile) {
        return Ok(Refreshed::Unchanged);
    }
    let mut site = store::next_generation(connection, &facts.site).await?;
    if told_profile.as_ref() != Some(&facts.profile) {
        if let Some(old) = &told_profile {
            site.hash.remove_profile(old);
        }
        site.hash.add_profile(&facts.profile);
        store::put_profile(connection, &facts.site, &facts.profile, site.generation).await?;
    }
    if let Some(old) = &told {
        site.hash.remove_line(old);
    }
    site.hash.add_line(&wanted);
    store::put_line(connection, &facts.site, &wanted, site.generation).await?;
    store::save_hash_and_queue(connection, &facts.site, site, now).await?;
    Ok(Refreshed::Changed { site: facts.site, generation: site.generation })
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
