//! Plans: what is sold, for how much and for how long; and connection types: how it is set up on a router.
//!
//! The field names are those of the system that Tawi replaces, with units written out. What may be entered is `check`,
//! which profiles routers get is `profiles`. What a customer has bought is `subscriptions`; when it ends is
//! `entitlements`. A change reaches the lines that are sold already through `desired`.

pub mod api;
mod check;
mod forms;
pub mod pages;
pub mod profiles;
mod restraint;
mod store;
pub(crate) use store::{answered_plan_of_line, ask_plan_of_line};

use std::time::Duration;

use ring::digest::{SHA256, digest};
use tawi_shared::ids::hex;
use tawi_shared::wire::Service;
use tawi_shared::{Bandwidth, UnixMillis};
use thiserror::Error;

use crate::cli::units;
use crate::customers::Invalid;
use crate::database::Connection;
use crate::desired::{self, DesiredError};
use crate::ids::{ConnectionTypeId, IdSource, PlanId};
use crate::money::Money;
use crate::web::display;
pub(crate) use check::{plan_name as check_name, price as check_price};
pub use profiles::Family;
pub use restraint::{OfflineRule, Restraint};

/// What of a connection type may be changed: it becomes a profile on routers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Towards the customer.
    pub download: Bandwidth,
    /// From the customer.
    pub upload: Bandwidth,
    /// Towards the customer, for short bursts; zero for none.
    pub download_burst: Bandwidth,
    /// From the customer, for short bursts; zero for none.
    pub upload_burst: Bandwidth,
    /// The average towards the customer above which a burst ends; zero: the speed itself.
    pub download_threshold: Bandwidth,
    /// The average from the customer above which a burst ends; zero: the speed itself.
    pub upload_threshold: Bandwidth,
    /// Over how many seconds that average is taken; 0: the agent's default.
    pub burst_seconds: u32,
    /// From 1, served first, to 8; 0: the router's default.
    pub priority: u16,
    /// Devices that may be logged in at once under one name; 0: the router's default.
    pub shared_users: u32,
    /// Pool on the router that clients get addresses from; empty: the router's default.
    pub pool: String,
    /// The router's own address towards the client, PPP only; empty: the router's default.
    pub local_address: String,
}

/// How a line is set up on a router: service, profile, speeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionType {
    /// The id.
    pub id: ConnectionTypeId,
    /// How lines reach the network.
    pub service: Service,
    /// The profile's name on the router.
    pub profile_name: String,
    /// What it is set to.
    pub profile: Profile,
    /// When it was entered.
    pub created_at: UnixMillis,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewConnectionType {
    /// How lines reach the network.
    pub service: Service,
    /// The profile's name on the router.
    pub profile_name: String,
    /// What it is set to.
    pub profile: Profile,
}

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The id.
    pub id: PlanId,
    /// Its name, unique.
    pub name: String,
    /// How its lines are set up.
    pub connection_type: ConnectionType,
    /// What one period costs, and what is in it.
    pub terms: Terms,
    /// When it was entered.
    pub created_at: UnixMillis,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewPlan {
    /// Its name, unique.
    pub name: String,
    /// How its lines are set up.
    pub connection_type: ConnectionTypeId,
    /// What one period costs, and what is in it.
    pub terms: Terms,
}

/// What of a plan may be changed. Price, length and data are those of the next period that is bought; how lines are
/// restrained changes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The price of one period.
    pub price: Money,
    /// The length of one period.
    pub validity: Duration,
    /// Data in one period, upload and download together; `None` for no limit.
    pub data_quota_bytes: Option<u64>,
    /// What being suspended means: held, or not paid for.
    pub suspension: Restraint,
    /// What comes after the data of a period.
    pub after_quota: Restraint,
    /// What happens while a site cannot hear head office; `None`: nothing.
    pub offline: Option<OfflineRule>,
    /// For customers.
    pub description: String,
}

/// What became of a new plan or connection type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created<T> {
    /// It is entered.
    Created(T),
    /// One of that name is there already.
    NameTaken,
    /// The plan names a connection type that is not there.
    NoSuchConnectionType,
    /// Something has to be written differently.
    Invalid(Invalid),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed<T> {
    /// It is changed, or was so already. Ring `Live::ring_outbox` after the commit.
    Changed(T),
    /// There is no such one.
    NoSuchOne,
    /// The plan of this name slows its lines to more than the connection type would allow.
    AgainstPlan(String),
    /// Something has to be written differently.
    Invalid(Invalid),
}

/// What [`Changed::AgainstPlan`] means for whoever entered the speed.
#[must_use]
pub fn against_plan(plan: &str) -> String {
    format!("the plan {plan} slows its lines to a speed that is faster than this: change that plan first")
}

/// Why plans cannot be read or written.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The database refused.
    #[error("plans: {0}")]
    Database(#[from] sqlx::Error),
    /// What sites should have could not be brought up to date.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// Enters a connection type.
///
/// # Errors
/// When the database refuses.
pub async fn create_connection_type(
    connection: &mut Connection,
    new: NewConnectionType,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Created<ConnectionType>, PlanError> {
    if let Err(invalid) = check::connection_type(&new) {
        return Ok(Created::Invalid(invalid));
    }
    let connection_type = ConnectionType {
        id: ConnectionTypeId::random(ids),
        service: new.service,
        profile_name: new.profile_name,
        profile: new.profile,
        created_at: now,
    };
    let is_new = store::insert_connection_type(connection, &connection_type).await?;
    Ok(if is_new { Created::Created(connection_type) } else { Created::NameTaken })
}

/// Sets a connection type's profile, at every site that has it, in the caller's transaction: one generation a site,
/// however many lines use it.
///
/// # Errors
/// [`PlanError`]; the transaction must then be rolled back.
pub async fn change_connection_type(
    connection: &mut Connection,
    id: &ConnectionTypeId,
    profile: Profile,
    now: UnixMillis,
) -> Result<Changed<ConnectionType>, PlanError> {
    let Some(mut kind) = store::connection_type_by_id(connection, id).await? else {
        return Ok(Changed::NoSuchOne);
    };
    if let Err(invalid) = check::profile(kind.service, &profile) {
        return Ok(Changed::Invalid(invalid));
    }
    kind.profile = profile;
    let sold = store::plans_on(connection, id).await?;
    if let Some(plan) = check::contradicted(&kind, &sold) {
        return Ok(Changed::AgainstPlan(plan.name.clone()));
    }
    store::update_connection_type(connection, &kind).await?;
    desired::refresh_profiles(connection, id, now).await?;
    Ok(Changed::Changed(kind))
}

/// Enters a plan.
///
/// # Errors
/// When the database refuses.
pub async fn create_plan(
    connection: &mut Connection,
    new: NewPlan,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Created<Plan>, PlanError> {
    let Some(connection_type) = store::connection_type_by_id(connection, &new.connection_type).await? else {
        return Ok(Created::NoSuchConnectionType);
    };
    let checked = check::plan_name(&new.name).and_then(|()| check::terms(&connection_type, &new.terms));
    if let Err(invalid) = checked {
        return Ok(Created::Invalid(invalid));
    }
    let plan = Plan {
        id: PlanId::random(ids),
        name: new.name.trim().to_owned(),
        connection_type,
        terms: trimmed(new.terms),
        created_at: now,
    };
    let is_new = store::insert_plan(connection, &plan).await?;
    Ok(if is_new { Created::Created(plan) } else { Created::NameTaken })
}

/// Changes a plan. What it says of restraints reaches its lines in portions (`desired::refresh_some`), queued in the
/// caller's transaction, so that a plan with thousands of them keeps no payment waiting.
///
/// # Errors
/// [`PlanError`]; the transaction must then be rolled back.
pub async fn change_plan(
    connection: &mut Connection,
    id: &PlanId,
    terms: Terms,
    now: UnixMillis,
) -> Result<Changed<Plan>, PlanError> {
    let Some(mut plan) = store::plan_by_id(connection, id).await? else { return Ok(Changed::NoSuchOne) };
    if let Err(invalid) = check::terms(&plan.connection_type, &terms) {
        return Ok(Changed::Invalid(invalid));
    }
    let told = |terms: &Terms| (terms.suspension, terms.after_quota, terms.offline);
    let is_told = told(&terms) != told(&plan.terms);
    plan.terms = trimmed(terms);
    store::update_plan(connection, &plan).await?;
    if is_told {
        desired::queue_refresh(connection, id, now).await?;
    }
    Ok(Changed::Changed(plan))
}

/// A digest of what a form showed: whoever sends the form back says with it what they saw.
fn seen(words: &str) -> String {
    let digest = digest(&SHA256, words.as_bytes());
    hex(digest.as_ref().get(..16).unwrap_or_default())
}

impl Profile {
    /// What a form with this profile says that it showed.
    #[must_use]
    pub fn seen(&self) -> String {
        seen(&self.in_words())
    }

    /// For the audit log.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { download, upload, download_burst, upload_burst, .. } = self;
        let Self { download_threshold, upload_threshold, burst_seconds, priority, shared_users, .. } = self;
        let Self { pool, local_address, .. } = self;
        // What is left to the router or the agent is not said: two profiles differ in words where they differ.
        let or = |rate: &Bandwidth, nothing: &str| {
            if rate.is_unlimited() { nothing.to_owned() } else { rate.to_string() }
        };
        let mut words = format!("{download} down, {upload} up");
        if download_burst.is_unlimited() && upload_burst.is_unlimited() {
            words.push_str("; no burst");
        } else {
            words += &format!("; burst {} / {}", or(download_burst, "none"), or(upload_burst, "none"));
        }
        if !download_threshold.is_unlimited() || !upload_threshold.is_unlimited() {
            let of = |rate: &Bandwidth| or(rate, "the speed");
            words += &format!(" while below {} / {}", of(download_threshold), of(upload_threshold));
        }
        let figures = [
            (" over", u64::from(*burst_seconds), " s"),
            ("; priority", u64::from(*priority), ""),
            ("; shared users", u64::from(*shared_users), ""),
        ];
        for (what, figure, unit) in figures.into_iter().filter(|(_, figure, _)| *figure > 0) {
            words += &format!("{what} {figure}{unit}");
        }
        for (what, name) in [("pool", pool), ("local address", local_address)] {
            if !name.is_empty() {
                words += &format!("; {what} {name}");
            }
        }
        words
    }
}

impl Terms {
    /// What a form with these terms says that it showed.
    #[must_use]
    pub fn seen(&self) -> String {
        seen(&format!("{}\n{}", self.in_words(), self.description))
    }

    /// For the audit log.
    #[must_use]
    pub fn in_words(&self) -> String {
        let data = self.data_quota_bytes.map_or_else(|| "no limit".to_owned(), units::data_words);
        let offline = self
            .offline
            .map_or_else(|| "kept".to_owned(), |rule| format!("{} after {} h", rule.then, rule.after_hours));
        format!(
            "KES {} for {}; data {data}, then {}; suspended: {}; without head office: {offline}",
            self.price,
            display::validity(self.validity),
            self.after_quota,
            self.suspension
        )
    }
}

fn trimmed(terms: Terms) -> Terms {
    Terms { description: terms.description.trim().to_owned(), ..terms }
}

/// All connection types, by service and profile name.
///
/// # Errors
/// When the database refuses.
pub async fn list_connection_types(connection: &mut Connection) -> Result<Vec<ConnectionType>, PlanError> {
    Ok(store::connection_types(connection).await?)
}

/// One connection type.
///
/// # Errors
/// When the database refuses.
pub async fn get_connection_type(
    connection: &mut Connection,
    id: &ConnectionTypeId,
) -> Result<Option<ConnectionType>, PlanError> {
    Ok(store::connection_type_by_id(connection, id).await?)
}

/// One connection type, by family and profile name.
///
/// # Errors
/// When the database refuses.
pub async fn find_connection_type(
    connection: &mut Connection,
    family: Family,
    profile_name: &str,
) -> Result<Option<ConnectionType>, PlanError> {
    Ok(store::connection_type_by_name(connection, family, profile_name).await?)
}

/// All plans, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list_plans(connection: &mut Connection) -> Result<Vec<Plan>, PlanError> {
    Ok(store::plans(connection).await?)
}

/// One plan.
///
/// # Errors
/// When the database refuses.
pub async fn get_plan(connection: &mut Connection, id: &PlanId) -> Result<Option<Plan>, PlanError> {
    Ok(store::plan_by_id(connection, id).await?)
}

/// One plan, by name.
///
/// # Errors
/// When the database refuses.
pub async fn find_plan(connection: &mut Connection, name: &str) -> Result<Option<Plan>, PlanError> {
    Ok(store::plan_by_name(connection, name.trim()).await?)
}

/// The plans that are sold on a connection type.
///
/// # Errors
/// When the database refuses.
pub async fn plans_on(connection: &mut Connection, id: &ConnectionTypeId) -> Result<Vec<Plan>, sqlx::Error> {
    store::plans_on(connection, id).await
}

#[cfg(test)]
mod tests;
