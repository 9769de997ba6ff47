//! Sites, their routers, and the certificates of their agents.
//!
//! A site begins with a ticket (`enrolment/`), by which a device at the site gets a certificate for a key of its own; or, where
//! nothing but MQTT passes, with [`add`], which writes a bundle that is carried to the site and has the only copy of the
//! agent's key. Routers appear when staff add them or when the
//! agent reports them. What the link knows of a site (presence, generations) is written by `mqtt/` and shown here.

pub mod api;
mod bundle;
pub mod enrolment;
pub mod pages;
mod router_trouble;
pub mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::release::ReleaseKey;
use tawi_shared::wire::{EventKind, RouterTrouble};
use thiserror::Error;

use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::ids::{IdSource, LineId, RouterId, SiteId};
use crate::live::{Hint, Live};
use crate::pki::{Pki, PkiError, SiteCertificate};
use crate::plain::is_one_line;
use crate::state::Controller;

pub use bundle::{Bundle, NotWritten};
pub(crate) use store::{Standing, note_seen, revoked_certificates, standing_of};

/// The longest name of a site, in characters: a line on a page.
pub const NAME_CHARACTERS: usize = 80;

/// Why sites cannot be read or written.
#[derive(Debug, Error)]
pub enum SiteError {
    /// The database refused.
    #[error("sites: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what the code never writes.
    #[error("sites: column {column} holds {value:?}")]
    Row {
        /// Which column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The bundle cannot be written.
    #[error("{operation} {}: {source}", path.display())]
    Bundle {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A place with routers and one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The agent's user name, and part of every topic.
    pub id: SiteId,
    /// For people.
    pub name: String,
    /// When it was added.
    pub created_at: UnixMillis,
    /// From when its agent is refused.
    pub revoked_at: Option<UnixMillis>,
    /// Whether its agent is connected.
    pub presence: Presence,
    /// The agent's release; empty before its first hello.
    pub agent_version: String,
    /// The newest desired state.
    pub generation: u64,
    /// The newest that is safe on the agent's flash.
    pub stored_generation: u64,
    /// The newest that was applied to the routers and read back.
    pub applied_generation: u64,
    /// When the controller heard of the latter.
    pub applied_at: Option<UnixMillis>,
    /// Lines that were not as they should be then.
    pub failures_total: u64,
}

/// Whether an agent is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Now, as far as is known.
    pub is_online: bool,
    /// Since when; `None` before the first connection.
    pub changed_at: Option<UnixMillis>,
    /// The last sign of life.
    pub last_seen_at: Option<UnixMillis>,
}

/// A router of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// What subscriptions refer to.
    pub id: RouterId,
    /// Where it stands.
    pub site: SiteId,
    /// Its name in the agent's configuration.
    pub name: String,
    /// Whether it answers the agent.
    pub is_reachable: bool,
    /// Since when; `None` when the agent has not spoken of it.
    pub reachable_changed_at: Option<UnixMillis>,
    /// Its RouterOS release; empty when not known.
    pub release: String,
    /// Why the agent cannot work with it, as the agent's code says: 0 while it can. See `router_trouble.rs`.
    pub trouble: u16,
}

impl Router {
    /// Whether the site's agent ever reached it: its release is known from then on.
    #[must_use]
    pub fn was_reached(&self) -> bool {
        self.is_reachable || !self.release.is_empty()
    }

    /// Whether another board answers than before, so that the agent writes nothing to it.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.trouble == RouterTrouble::AnotherBoard.code()
    }
}

/// Something that an agent reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From where.
    pub site: SiteId,
    /// When it happened, by the agent's clock.
    pub at: UnixMillis,
    /// When it was heard.
    pub received_at: UnixMillis,
    /// What; `None` for a kind of a newer agent.
    pub kind: Option<EventKind>,
    /// The same as it travelled.
    pub kind_code: u16,
    /// Which line, where it concerns one of this site's.
    pub line: Option<LineId>,
    /// Which router, where it concerns one.
    pub router: Option<String>,
    /// For a person.
    pub detail: String,
}

/// How far an agent's clock may be ahead of ours without being called wrong: a slow message and two drifting clocks.
const CLOCK_SLACK: Duration = Duration::from_secs(120);

/// Whether something cannot have been when the site says: it was heard before that. A time that is too early cannot be told
/// from a link that was down.
#[must_use]
pub fn is_time_doubtful(at: UnixMillis, received_at: UnixMillis) -> bool {
    at.since(received_at) > CLOCK_SLACK
}

/// A site to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSite {
    /// Its id.
    pub id: SiteId,
    /// Its name; the id when empty.
    pub name: String,
}

/// What [`add`] or [`renew`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// The bundle is written and the certificate is known.
    Added(Bundle),
    /// A site of that id is there already (only [`add`]).
    AlreadyThere,
    /// There is no such site (only [`renew`]).
    NoSuchSite,
    /// The bundle's directory has files of that name; nothing was overwritten and nothing else changed.
    DirectoryTaken(PathBuf),
    /// The address is not `host:port`.
    BadAddress(String),
    /// The name is longer than [`NAME_CHARACTERS`] or has control characters.
    BadName,
}

/// What [`add_router`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddedRouter {
    /// It is there now.
    Added(Router),
    /// It was there before.
    AlreadyThere(Router),
    /// There is no such site.
    NoSuchSite,
    /// The site is shut out: nothing is added to it.
    SiteRevoked,
    /// Not a name that the agent's configuration takes: the form of an id.
    BadName,
}

/// Adds a site and writes its bundle: configuration, certificate and key of its agent, the authority by which it
/// knows us, and who may sign its releases. `addresses` are `host:port` of the front door as seen from the site.
///
/// # Errors
/// [`SiteError`]; the site is not there then, and what was written of the bundle is removed.
pub async fn add(
    controller: &Controller,
    pki: &Pki,
    new: NewSite,
    bundle: &Path,
    addresses: &[String],
) -> Result<Added, SiteError> {
    let Some(name) = good_name(&new) else { return Ok(Added::BadName) };
    let (now, release_key) = (controller.clock.now(), controller.releases.key());
    let mut transaction = controller.database.write().await?;
    if !store::insert_site(&mut transaction, &new.id, &name, now).await? {
        return Ok(Added::AlreadyThere);
    }
    let added = issue(&mut transaction, pki, &new.id, (bundle, addresses, release_key), now).await?;
    finish(controller, transaction, &new.id, added).await
}

/// Writes a new bundle for a site that exists and revokes the certificates that it had: for a stolen or broken agent,
/// or for a certificate that is about to expire. A site that was revoked comes back by it.
///
/// # Errors
/// [`SiteError`]; the old certificates are still good then.
pub async fn renew(
    controller: &Controller,
    pki: &Pki,
    site: &SiteId,
    bundle: &Path,
    addresses: &[String],
) -> Result<Added, SiteError> {
    let (now, release_key) = (controller.clock.now(), controller.releases.key());
    let mut transaction = controller.database.write().await?;
    if store::get(&mut transaction, site).await?.is_none() {
        return Ok(Added::NoSuchSite);
    }
    store::revoke_certificates(&mut transaction, site, now).await?;
    store::readmit_site(&mut transaction, site).await?;
    let added = issue(&mut transaction, pki, site, (bundle, addresses, release_key), now).await?;
    let added = finish(controller, transaction, site, added).await?;
    if matches!(added, Added::Added(_)) {
        controller.live.tell(Hint::Revoked(site.clone()));
    }
    Ok(added)
}

/// Shuts a site out: its connection ends within seconds and no certificate that it has is taken again. Its customers
/// and their payments stay, nothing of it is sold, and only a new ticket or [`renew`] brings it back. Within the caller's transaction,
/// with its audit row; whoever is connected is told after the commit. `false` when there is no such site, or it is revoked already.
///
/// # Errors
/// [`SiteError`].
pub async fn revoke(
    connection: &mut Connection,
    site: &SiteId,
    actor: &Actor,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<bool, SiteError> {
    if !store::revoke_site(connection, site, now).await? {
        return Ok(false);
    }
    enrolment::store::withdraw_tokens(connection, site, now).await?;
    audit::record(connection, actor, (Action::SiteRevoked, site.as_str(), ""), ids, now).await?;
    Ok(true)
}

/// Ends a revoked site's connection at once; to be called after the commit. Where another process revoked it, the front door finds
/// out within a second.
pub(crate) fn tell_revoked(live: &Live, site: &SiteId) {
    live.tell(Hint::Revoked(site.clone()));
    live.tell(Hint::Site(site.clone()));
}

/// Until when the site's newest certificate is good; `None` while it has none.
///
/// # Errors
/// [`SiteError`].
pub async fn certificate_until(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Option<UnixMillis>, SiteError> {
    store::certificate_until(connection, site).await
}

/// All sites by name.
///
/// # Errors
/// [`SiteError`].
pub async fn list(connection: &mut Connection) -> Result<Vec<Site>, SiteError> {
    store::list(connection).await
}

/// One site.
///
/// # Errors
/// [`SiteError`].
pub async fn get(connection: &mut Connection, site: &SiteId) -> Result<Option<Site>, SiteError> {
    store::get(connection, site).await
}

/// The routers of a site by name.
///
/// # Errors
/// [`SiteError`].
pub async fn routers_of(connection: &mut Connection, site: &SiteId) -> Result<Vec<Router>, SiteError> {
    store::routers_of(connection, site).await
}

/// All routers, by site and name.
///
/// # Errors
/// [`SiteError`].
pub async fn all_routers(connection: &mut Connection) -> Result<Vec<Router>, SiteError> {
    store::all_routers(connection).await
}

/// One router.
///
/// # Errors
/// [`SiteError`].
pub async fn router(connection: &mut Connection, router: &RouterId) -> Result<Option<Router>, SiteError> {
    store::router(connection, router).await
}

/// The router of that name at a site. Nobody's name is none that [`add_router`] would take.
///
/// # Errors
/// [`SiteError`].
pub async fn find_router(
    connection: &mut Connection,
    site: &SiteId,
    name: &str,
) -> Result<Option<Router>, SiteError> {
    if tawi_shared::ids::check_id(name).is_err() {
        return Ok(None);
    }
    store::find_router(connection, site, name).await
}

/// Adds a router, within the caller's transaction. Its address and password are written on the device, in the
/// agent's `routers.toml`; head office knows the name only.
///
/// # Errors
/// [`SiteError`].
pub async fn add_router(
    connection: &mut Connection,
    site: &SiteId,
    name: &str,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<AddedRouter, SiteError> {
    if tawi_shared::ids::check_id(name).is_err() {
        return Ok(AddedRouter::BadName);
    }
    match store::get(connection, site).await? {
        None => return Ok(AddedRouter::NoSuchSite),
        Some(found) if found.revoked_at.is_some() => return Ok(AddedRouter::SiteRevoked),
        Some(_) => {}
    }
    if let Some(router) = store::find_router(connection, site, name).await? {
        return Ok(AddedRouter::AlreadyThere(router));
    }
    let id = RouterId::random(ids);
    store::insert_router(connection, &id, site, name, now).await?;
    Ok(AddedRouter::Added(Router {
        id,
        site: site.clone(),
        name: name.to_owned(),
        is_reachable: false,
        reachable_changed_at: None,
        release: String::new(),
        trouble: 0,
    }))
}

/// The newest `limit` events of a site, newest first.
///
/// # Errors
/// [`SiteError`].
pub async fn events_of(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<Event>, SiteError> {
    store::events_of(connection, site, limit).await
}

/// The newest `limit` events of a line, newest first.
///
/// # Errors
/// [`SiteError`].
pub async fn events_of_line(
    connection: &mut Connection,
    line: &LineId,
    limit: u32,
) -> Result<Vec<Event>, SiteError> {
    store::events_of_line(connection, line, limit).await
}

/// The name of a new site: its id when it has none; `None` when it is too long or has control characters.
fn good_name(new: &NewSite) -> Option<String> {
    let name = if new.name.trim().is_empty() { new.id.to_string() } else { new.name.trim().to_owned() };
    (name.chars().count() <= NAME_CHARACTERS && is_one_line(&name)).then_some(name)
}

async fn issue(
    connection: &mut Connection,
    pki: &Pki,
    site: &SiteId,
    (directory, addresses, release_key): (&Path, &[String], Option<&ReleaseKey>),
    now: UnixMillis,
) -> Result<Added, SiteError> {
    if let Some(bad) = addresses.iter().find(|address| !crate::broker::settings::is_host_and_port(address)) {
        return Ok(Added::BadAddress(bad.clone()));
    }
    // Whoever has a ticket of the site would put out whom the bundle is for.
    enrolment::store::withdraw_tokens(connection, site, now).await?;
    let certificate: SiteCertificate = pki.issue_site(site, now)?;
    store::insert_certificate(connection, site, &certificate.issued, None).await?;
    match bundle::write(directory, site, addresses, (pki.ca_pem(), &certificate), release_key) {
        Ok(bundle) => Ok(Added::Added(bundle)),
        Err(NotWritten::Taken(path)) => Ok(Added::DirectoryTaken(path)),
        Err(NotWritten::Failed { operation, path, source }) => {
            Err(SiteError::Bundle { operation, path, source })
        }
    }
}

/// Commits when the bundle is there; in every other case the transaction is dropped, which rolls it back.
async fn finish(
    controller: &Controller,
    transaction: crate::database::Transaction,
    site: &SiteId,
    added: Added,
) -> Result<Added, SiteError> {
    let Added::Added(bundle) = added else { return Ok(added) };
    if let Err(error) = transaction.commit().await {
        // A key that no database knows would only confuse whoever finds it.
        bundle.remove();
        return Err(error.into());
    }
    controller.live.tell(Hint::Site(site.clone()));
    Ok(Added::Added(bundle))
}
