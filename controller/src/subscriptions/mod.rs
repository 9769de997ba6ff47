//! Subscriptions: a customer's line, its plan, the router that it is on, and where it stands.
//!
//! A subscription's id is the line's id in the router's comment. Status and paid-until change here and in `payments`;
//! what follows from them on the network is `entitlements`, and how the site hears of it is `desired`. What of a line may
//! be changed is `editing`.

pub mod api;
pub mod credentials;
pub mod device;
pub mod editing;
mod editing_pages;
pub mod pages;
pub mod reach;
mod store;

use std::fmt;
use std::net::Ipv4Addr;

use tawi_shared::UnixMillis;
use tawi_shared::wire::Service;
use thiserror::Error;

use crate::customers::Invalid;
use crate::database::{Connection, Together};
use crate::desired::{self, DesiredError, Refreshed};
use crate::entitlements::Status;
use crate::ids::{CustomerId, IdSource, LineId, PlanId, RouterId, SiteId};
use crate::messages;
use crate::money::Money;
use crate::plans::Family;
use credentials::{Password, Username};
use device::CallerId;

/// A line and where it stands. The password is not in it: only the site needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Line and subscription id.
    pub id: LineId,
    /// Whose it is.
    pub customer: CustomerId,
    /// What is sold.
    pub plan: PlanId,
    /// The plan's name.
    pub plan_name: String,
    /// The price of one period.
    pub price: Money,
    /// The length of one period, in seconds.
    pub validity_seconds: u64,
    /// Data in one period that is bought now; `None` for no limit.
    pub data_quota_bytes: Option<u64>,
    /// Where it is connected.
    pub router: RouterId,
    /// The router's name at its site.
    pub router_name: String,
    /// The router's site.
    pub site: SiteId,
    /// Whether that is shut out: what is bought there would never come on.
    pub is_site_revoked: bool,
    /// How it reaches the network.
    pub service: Service,
    /// Name on the router.
    pub username: Username,
    /// Its own address; `None` for one of the pool.
    pub address: Option<Ipv4Addr>,
    /// The only device that may use it; `None` for any.
    pub caller_id: Option<CallerId>,
    /// Where it stands.
    pub status: Status,
    /// The end of what is paid for.
    pub paid_until: Option<UnixMillis>,
    /// Until when it is open on trust: M-Pesa says that it was paid for, and the receipt has not come.
    pub grace_until: Option<UnixMillis>,
    /// When what its site has not heard of was to begin, which may lie ahead; `None` where it has heard of everything.
    pub waits_since: Option<UnixMillis>,
    /// Whether the wallet buys the next period before this one ends.
    pub renews: bool,
    /// Whether the site reported a session. For pages.
    pub is_online: bool,
    /// When that changed last.
    pub online_changed_at: Option<UnixMillis>,
    /// The last address that the site reported; empty for none.
    pub last_address: String,
    /// Why the line is not on its router as it should be; empty when it is.
    pub failure: String,
    /// When it was entered.
    pub created_at: UnixMillis,
}

impl Subscription {
    /// Whether what it is paid for begins only when its site is back.
    #[must_use]
    pub fn is_waiting(&self, now: UnixMillis) -> bool {
        self.waits_since.is_some_and(|since| since <= now)
    }

    /// Until when it is open although nothing that was paid for runs.
    #[must_use]
    pub fn trusted_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let is_paid = self.paid_until.is_some_and(|until| until > now);
        let may_be = !is_paid && self.status != Status::Suspended;
        self.grace_until.filter(|until| may_be && *until > now)
    }
}

/// A line whose paid time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Which.
    pub line: LineId,
    /// Whether it is open on trust all the same.
    pub is_trusted: bool,
}

/// A line that is not on its router as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingLine {
    /// Which.
    pub id: LineId,
    /// Whose.
    pub customer: CustomerId,
    /// Their name.
    pub customer_name: String,
    /// Name on the router.
    pub username: Username,
    /// On which router.
    pub router_name: String,
    /// Why, as the site said it.
    pub failure: String,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// Whose it is.
    pub customer: CustomerId,
    /// What is sold.
    pub plan: PlanId,
    /// Where it is connected.
    pub router: RouterId,
    /// Name on the router.
    pub username: Username,
    /// Password on the router.
    pub password: Password,
    /// Its own address; `None` for one of the pool.
    pub address: Option<Ipv4Addr>,
    /// The only device that may use it; `None` for any.
    pub caller_id: Option<CallerId>,
}

/// The line that has what another one wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name on the router.
    pub username: Username,
    /// Whose it is.
    pub customer_name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the line {} of {}", self.username, self.customer_name)
    }
}

/// What became of a new subscription.
#[expect(clippy::large_enum_variant, reason = "made once for a form; a box would only be unpacked at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is entered, as a draft: the site hears of it with the first payment, or at once where its plan shows the way to
    /// the pay page or nobody logs in, so that its address is barred until then. Ring `Live::ring_outbox` after the commit.
    Created(Subscription),
    /// Another line on that router has the name.
    UsernameTaken,
    /// Another line on that router has the address.
    AddressTaken(Holder),
    /// Another line on that router is the device.
    DeviceTaken(Holder),
    /// The service needs something else.
    Invalid(Invalid),
    /// No such customer.
    NoSuchCustomer,
    /// No such plan.
    NoSuchPlan,
    /// No such router.
    NoSuchRouter,
    /// The router's site is shut out: nothing is sold there.
    SiteRevoked,
}

/// What a hold or a release did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Done; after the commit ring the outbox if the site must be told.
    Changed(Refreshed),
    /// It was so already.
    AlreadySo,
    /// No such subscription.
    NoSuchSubscription,
}

/// Why subscriptions cannot be read or written.
#[derive(Debug, Error)]
pub enum SubscriptionError {
    /// The database refused.
    #[error("subscriptions: {0}")]
    Database(#[from] sqlx::Error),
    /// The site's desired state could not be brought up to date.
    #[error(transparent)]
    Desired(#[from] DesiredError),
}

/// Enters a subscription, within the caller's transaction.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be rolled back.
pub async fn create(
    connection: &mut Connection,
    new: NewSubscription,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Created, SubscriptionError> {
    let known = store::known(connection, &new).await?;
    if !known.customer {
        return Ok(Created::NoSuchCustomer);
    }
    let Some(service) = known.service else { return Ok(Created::NoSuchPlan) };
    if !known.router {
        return Ok(Created::NoSuchRouter);
    }
    if known.is_revoked {
        return Ok(Created::SiteRevoked);
    }
    if let Err(invalid) = device::check(service, new.address, new.caller_id.as_ref()) {
        return Ok(Created::Invalid(invalid));
    }
    // Where nobody logs in there is no password: one that is kept would one day open another service that nobody knows it for.
    let is_login = Family::of(service) != Family::Static;
    let password = if is_login { new.password } else { Password::unknown() };
    let new = NewSubscription { password, ..new };
    let own = (new.address, device::let_by(service, new.caller_id.as_ref()));
    match taken(connection, &new.router, own, None).await? {
        Some(Taken::Address(holder)) => return Ok(Created::AddressTaken(holder)),
        Some(Taken::Device(holder)) => return Ok(Created::DeviceTaken(holder)),
        None => {}
    }
    let id = LineId::random(ids);
    if !store::insert(connection, &id, (&new, service), now).await? {
        return Ok(Created::UsernameTaken);
    }
    desired::refresh_line(connection, &id, now).await?;
    let subscription = store::by_id(connection, &id).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Created::Created(subscription))
}

/// What of a line another one on its router has already.
enum Taken {
    Address(Holder),
    Device(Holder),
}

/// Looks for another line than `except` with the same address, or which is the same device.
async fn taken(
    connection: &mut Connection,
    router: &RouterId,
    (address, device): (Option<Ipv4Addr>, Option<&str>),
    except: Option<&LineId>,
) -> Result<Option<Taken>, sqlx::Error> {
    if let Some(address) = address
        && let Some(holder) = store::holder_of_address(connection, router, address, except).await?
    {
        return Ok(Some(Taken::Address(holder)));
    }
    if let Some(mac) = device
        && let Some(holder) = store::holder_of_device(connection, router, mac, except).await?
    {
        return Ok(Some(Taken::Device(holder)));
    }
    Ok(None)
}

/// One subscription.
///
/// # Errors
/// When the database refuses.
pub async fn get(
    connection: &mut Connection,
    id: &LineId,
) -> Result<Option<Subscription>, SubscriptionError> {
    Ok(store::by_id(connection, id).await?)
}

/// A customer's subscriptions, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
) -> Result<Vec<Subscription>, SubscriptionError> {
    Ok(store::of_customer(connection, customer).await?)
}

/// Lines of a site that are not on their router as they should be, at most `limit`, by router and name; without those that
/// its guard holds, which are listed as that (`held_plans`).
///
/// # Errors
/// When the database refuses.
pub async fn failing_of_site(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<FailingLine>, SubscriptionError> {
    Ok(store::failing_of_site(connection, site, limit).await?)
}

/// Suspends a line as its plan says, paid or not, until staff release it. Money that comes meanwhile stays in the wallet.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be rolled back.
pub async fn hold(
    connection: &mut Connection,
    id: &LineId,
    now: UnixMillis,
) -> Result<Changed, SubscriptionError> {
    let Some(subscription) = store::by_id(connection, id).await? else {
        return Ok(Changed::NoSuchSubscription);
    };
    if subscription.status == Status::Suspended {
        return Ok(Changed::AlreadySo);
    }
    store::set_status(connection, id, Status::Suspended).await?;
    messages::about::on_hold(connection, id, now).await?;
    Ok(Changed::Changed(desired::refresh_line(connection, id, now).await?))
}

/// Lets a held line back to where its payments put it: active while the paid period runs, expired after it, a draft
/// when it was never paid for. A hold does not stop the paid period. For `payments::release`, which also spends what
/// came into the wallet meanwhile.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be rolled back.
pub(crate) async fn release(
    connection: &mut Connection,
    id: &LineId,
    now: UnixMillis,
) -> Result<Changed, SubscriptionError> {
    let Some(subscription) = store::by_id(connection, id).await? else {
        return Ok(Changed::NoSuchSubscription);
    };
    if subscription.status != Status::Suspended {
        return Ok(Changed::AlreadySo);
    }
    let status = released(subscription.paid_until, subscription.waits_since.is_some(), now);
    store::set_status(connection, id, status).await?;
    Ok(Changed::Changed(desired::refresh_line(connection, id, now).await?))
}

/// Where a line stands once nobody holds it. What waits for its site ends when that has heard of it, whatever the date says.
fn released(paid_until: Option<UnixMillis>, is_waiting: bool, now: UnixMillis) -> Status {
    match paid_until {
        None => Status::Draft,
        Some(until) if is_waiting || until > now => Status::Active,
        Some(_) => Status::Expired,
    }
}

/// Notes a bought period: the line is active until `paid_until`. For `payments`, in the transaction that books it; what has
/// to be written before it goes with it.
pub(crate) async fn activate(
    connection: &mut Connection,
    mut before: Together,
    (id, paid_until): (&LineId, UnixMillis),
    now: UnixMillis,
) -> Result<Refreshed, SubscriptionError> {
    store::add_activation(&mut before, id, paid_until);
    before.execute(connection).await?;
    Ok(desired::refresh_line(connection, id, now).await?)
}

/// Notes until when a line is paid after something that it bought was taken back. A held line stays held. For `payments`, in
/// the transaction that books it.
pub(crate) async fn set_paid_until(
    connection: &mut Connection,
    id: &LineId,
    paid_until: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<Refreshed, SubscriptionError> {
    let line = store::by_id(connection, id).await?;
    let is_held = line.as_ref().is_some_and(|line| line.status == Status::Suspended);
    let is_waiting = line.is_some_and(|line| line.waits_since.is_some());
    let status = if is_held { Status::Suspended } else { released(paid_until, is_waiting, now) };
    store::set_paid_until(connection, id, status, paid_until).await?;
    Ok(desired::refresh_line(connection, id, now).await?)
}

/// Notes that a line is paid until later than was known, for `payments`, which refreshes what its site has to be told.
pub(crate) async fn put_off(
    connection: &mut Connection,
    line: &Subscription,
    paid_until: UnixMillis,
    now: UnixMillis,
) -> Result<(), SubscriptionError> {
    let is_held = line.status == Status::Suspended;
    let status = if is_held { Status::Suspended } else { released(Some(paid_until), false, now) };
    Ok(store::set_paid_until(connection, &line.id, status, Some(paid_until)).await?)
}

/// Marks lines whose paid period is over as expired, at most `limit` at a time, and says which; not those of which a period
/// has not begun, because their site is away. The site needs no word: the end of the period travelled with the line. Safe to
/// call at any time.
///
/// # Errors
/// When the database refuses.
pub async fn expire_due(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Expired>, SubscriptionError> {
    Ok(store::expire_due(connection, now, limit).await?)
}

#[cfg(test)]
mod tests;
