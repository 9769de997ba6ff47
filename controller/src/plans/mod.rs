//! Plans: what is sold, for how much and for how long; and connection types: how it is set up on a router.
//!
//! The field names are those of the system that Tawi replaces, with units written out. What a customer has bought is
//! `subscriptions`; when it ends is `entitlements`.

pub mod api;
pub mod pages;
mod store;

use std::time::Duration;

use tawi_shared::wire::Service;
use tawi_shared::{Bandwidth, UnixMillis};
use thiserror::Error;

use crate::customers::Invalid;
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, IdSource, PlanId};
use crate::money::Money;

/// The longest name of a plan or a profile, in characters. A profile's name is written to routers; 64 leaves room in
/// every column of WinBox and is far more than anybody types.
const NAME_CHARACTERS: usize = 64;
/// The longest description, in characters.
const DESCRIPTION_CHARACTERS: usize = 500;
/// The longest period: two years. A longer one is a slip of the unit.
const VALIDITY_MAX: Duration = Duration::from_secs(2 * 366 * 24 * 3_600);
/// The dearest plan: what M-Pesa moves in one transaction, KES 250,000.
const PRICE_MAX: Money = Money::from_cents(25_000_000);

/// How a line is set up on a router: service, speed profile, speeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionType {
    /// The id.
    pub id: ConnectionTypeId,
    /// PPPoE or hotspot.
    pub service: Service,
    /// The profile's name on the router.
    pub profile_name: String,
    /// Towards the customer.
    pub download: Bandwidth,
    /// From the customer.
    pub upload: Bandwidth,
    /// Towards the customer, for short bursts; zero for none.
    pub download_burst: Bandwidth,
    /// From the customer, for short bursts; zero for none.
    pub upload_burst: Bandwidth,
    /// When it was entered.
    pub created_at: UnixMillis,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewConnectionType {
    /// PPPoE or hotspot.
    pub service: Service,
    /// The profile's name on the router.
    pub profile_name: String,
    /// Towards the customer.
    pub download: Bandwidth,
    /// From the customer.
    pub upload: Bandwidth,
    /// Towards the customer, for short bursts; zero for none.
    pub download_burst: Bandwidth,
    /// From the customer, for short bursts; zero for none.
    pub upload_burst: Bandwidth,
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
    /// The price of one period.
    pub price: Money,
    /// The length of one period.
    pub validity: Duration,
    /// Data in one period; `None` for no limit. Shown to staff; nothing enforces it yet.
    pub data_quota_bytes: Option<u64>,
    /// For customers.
    pub description: String,
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
    /// The price of one period.
    pub price: Money,
    /// The length of one period.
    pub validity: Duration,
    /// Data in one period; `None` for no limit. Shown to staff; nothing enforces it yet.
    pub data_quota_bytes: Option<u64>,
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

/// Why plans cannot be read or written.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The database refused.
    #[error("plans: {0}")]
    Database(#[from] sqlx::Error),
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
    if let Err(invalid) = check_connection_type(&new) {
        return Ok(Created::Invalid(invalid));
    }
    let connection_type = ConnectionType {
        id: ConnectionTypeId::random(ids),
        service: new.service,
        profile_name: new.profile_name,
        download: new.download,
        upload: new.upload,
        download_burst: new.download_burst,
        upload_burst: new.upload_burst,
        created_at: now,
    };
    let is_new = store::insert_connection_type(connection, &connection_type).await?;
    Ok(if is_new { Created::Created(connection_type) } else { Created::NameTaken })
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
    if let Err(invalid) = check_plan(&new) {
        return Ok(Created::Invalid(invalid));
    }
    let Some(connection_type) = store::connection_type_by_id(connection, &new.connection_type).await? else {
        return Ok(Created::NoSuchConnectionType);
    };
    let plan = Plan {
        id: PlanId::random(ids),
        name: new.name.trim().to_owned(),
        connection_type,
        price: new.price,
        validity: new.validity,
        data_quota_bytes: new.data_quota_bytes,
        description: new.description.trim().to_owned(),
        created_at: now,
    };
    let is_new = store::insert_plan(connection, &plan).await?;
    Ok(if is_new { Created::Created(plan) } else { Created::NameTaken })
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

/// One connection type, by service and profile name.
///
/// # Errors
/// When the database refuses.
pub async fn find_connection_type(
    connection: &mut Connection,
    service: Service,
    profile_name: &str,
) -> Result<Option<ConnectionType>, PlanError> {
    Ok(store::connection_type_by_name(connection, service, profile_name).await?)
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

/// A profile's name goes to routers: RouterOS takes any bytes there, but shows and matches anything beyond printable
/// ASCII differently by release and by tool, and its own names use no spaces.
fn check_connection_type(new: &NewConnectionType) -> Result<(), Invalid> {
    let name = &new.profile_name;
    if name.is_empty() || name.len() > NAME_CHARACTERS || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid {
            field: "profile_name",
            reason: "use 1 to 64 characters of plain letters, digits and signs, without spaces",
        });
    }
    let is_below = |burst: Bandwidth, limit: Bandwidth| !burst.is_unlimited() && burst < limit;
    if is_below(new.download_burst, new.download) || is_below(new.upload_burst, new.upload) {
        return Err(Invalid {
            field: "burst",
            reason: "a burst cannot be slower than the speed itself; leave it empty for none",
        });
    }
    if new.download.is_unlimited() != new.upload.is_unlimited() {
        // A router's rate limit has both directions or none.
        return Err(Invalid { field: "download", reason: "limit both download and upload, or neither" });
    }
    Ok(())
}

fn check_plan(new: &NewPlan) -> Result<(), Invalid> {
    let name = new.name.trim();
    let invalid = |field, reason| Err(Invalid { field, reason });
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS || name.chars().any(char::is_control) {
        return invalid("name", "enter a name of at most 64 characters on one line");
    }
    if !new.price.is_positive() || new.price > PRICE_MAX {
        return invalid(
            "price",
            "enter a price above 0 and up to 250,000, the most that M-Pesa moves at once",
        );
    }
    if new.validity < Duration::from_secs(1) || new.validity > VALIDITY_MAX {
        return invalid("validity", "enter a period from one second to two years");
    }
    if new.data_quota_bytes.is_some_and(|bytes| bytes == 0 || i64::try_from(bytes).is_err()) {
        return invalid("quota", "enter an amount of data above 0, or nothing for no limit");
    }
    if new.description.chars().count() > DESCRIPTION_CHARACTERS {
        return invalid("description", "use at most 500 characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
