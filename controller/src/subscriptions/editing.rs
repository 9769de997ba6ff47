//! What of a line may be changed after it was entered: its plan, its own address, the only device, its password.
//!
//! Its name and its router stay: the name is how the router counts it. Only a line that is on no router yet may take the
//! name of a row that is ([`take_row`]). Another plan is on the router at once, with its
//! speed and its restraints; price, length and data are those of the next period that is bought. How the site hears of it
//! is `desired`.

use std::net::Ipv4Addr;

use tawi_shared::UnixMillis;
use tawi_shared::wire::Service;

use super::credentials::{Password, Username};
use super::device::{self, CallerId};
use super::{Holder, Subscription, SubscriptionError, Taken, store, taken};
use crate::customers::Invalid;
use crate::database::Connection;
use crate::desired::{self, Refreshed};
use crate::ids::{LineId, PlanId};
use crate::plans::Family;

/// What may be changed, as it stands before and as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What is sold.
    pub plan: PlanId,
    /// Its own address; `None` for one of the pool.
    pub address: Option<Ipv4Addr>,
    /// The only device that may use it; `None` for any.
    pub caller_id: Option<CallerId>,
    /// Whether the wallet buys the next period before this one ends.
    pub renews: bool,
    /// A new password; `None`: it stays.
    pub password: Option<Password>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edited {
    /// It is changed. After the commit ring the outbox if the site must be told.
    Edited {
        /// As it is now.
        subscription: Subscription,
        /// What was changed, for the audit log; without the password.
        what: String,
        /// Whether the site must be told.
        refreshed: Refreshed,
    },
    /// It was so already.
    AlreadySo(Subscription),
    /// There is no such subscription.
    NoSuchSubscription,
    /// There is no such plan.
    NoSuchPlan,
    /// Another line on its router has the address.
    AddressTaken(Holder),
    /// Another line on its router is the device.
    DeviceTaken(Holder),
    /// The service needs something else.
    Invalid(Invalid),
}

impl From<&Subscription> for Settings {
    fn from(line: &Subscription) -> Self {
        Self {
            plan: line.plan.clone(),
            address: line.address,
            caller_id: line.caller_id.clone(),
            renews: line.renews,
            password: None,
        }
    }
}

/// Changes a line, within the caller's transaction. `change` is given how it stands.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be rolled back.
pub async fn edit(
    connection: &mut Connection,
    id: &LineId,
    change: impl FnOnce(&mut Settings),
    now: UnixMillis,
) -> Result<Edited, SubscriptionError> {
    let Some(before) = store::by_id(connection, id).await? else { return Ok(Edited::NoSuchSubscription) };
    let standing = Settings::from(&before);
    let mut wanted = standing.clone();
    change(&mut wanted);
    let Some(service) = store::service_of(connection, &wanted.plan).await? else {
        return Ok(Edited::NoSuchPlan);
    };
    if let Err(invalid) = device::check(service, wanted.address, wanted.caller_id.as_ref()) {
        return Ok(Edited::Invalid(invalid));
    }
    // A password that only the router knows does not move to another of its menus.
    let moves = Family::of(service) != Family::of(before.service) && Family::of(service) != Family::Static;
    if moves && wanted.password.is_none() && !store::has_password(connection, id).await? {
        let reason = "nobody here knows its password, which this plan's service needs: enter a new one";
        return Ok(Edited::Invalid(Invalid { field: "password", reason }));
    }
    if wanted == standing {
        return Ok(Edited::AlreadySo(before));
    }
    let own = (wanted.address, device::let_by(service, wanted.caller_id.as_ref()));
    match taken(connection, &before.router, own, Some(id)).await? {
        Some(Taken::Address(holder)) => return Ok(Edited::AddressTaken(holder)),
        Some(Taken::Device(holder)) => return Ok(Edited::DeviceTaken(holder)),
        None => {}
    }
    store::update(connection, id, (&wanted, service)).await?;
    let refreshed = desired::refresh_line(connection, id, now).await?;
    let subscription = store::by_id(connection, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let what = in_words(&before, &subscription, wanted.password.is_some());
    Ok(Edited::Edited { subscription, what, refreshed })
}

/// What a line takes over from a row that is on its router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsRow {
    /// Its name there.
    pub username: Username,
    /// Of which service it is.
    pub service: Service,
    /// The line's plan from then on.
    pub plan: PlanId,
    /// Its own address.
    pub address: Option<Ipv4Addr>,
    /// The only device.
    pub caller_id: Option<CallerId>,
}

/// What became of it.
#[expect(clippy::large_enum_variant, reason = "made once for a row; a box would only be unpacked at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TookRow {
    /// Name, address and device are the row's, and the password stays on the router alone. The site has to be told.
    Took(Subscription),
    /// There is no such subscription.
    NoSuchSubscription,
    /// There is no such plan.
    NoSuchPlan,
    /// The plan is of another service than the row: on a plan of that, the line would get a row of its own, and the one
    /// that it took would be nobody's.
    AnotherService,
    /// Its site was told of it: it has a row of its own.
    OnRouter,
    /// Another line on its router has the name.
    UsernameTaken,
    /// Another line on its router has the address.
    AddressTaken(Holder),
    /// The row has what the line's service cannot have.
    Invalid(Invalid),
}

/// Gives a line that its site was never told of the name of a row that somebody else made there, for `adoption`. Nothing of
/// it is on the router yet, so that nobody is thrown out for a name. A line of that very name which nobody ever paid for has
/// no row of its own either, as the name is taken there; it keeps the address, the device and the password that it was
/// entered with.
///
/// # Errors
/// [`SubscriptionError`]; the transaction must then be rolled back.
pub async fn take_row(
    connection: &mut Connection,
    id: &LineId,
    row: AsRow,
) -> Result<TookRow, SubscriptionError> {
    let Some(line) = store::by_id(connection, id).await? else { return Ok(TookRow::NoSuchSubscription) };
    let is_told = desired::store::line_at(connection, &line.site, id).await?.is_some();
    if is_told && (line.username != row.username || line.paid_until.is_some()) {
        return Ok(TookRow::OnRouter);
    }
    match store::service_of(connection, &row.plan).await? {
        None => return Ok(TookRow::NoSuchPlan),
        Some(service) if service != row.service => return Ok(TookRow::AnotherService),
        Some(_) => {}
    }
    if let Err(invalid) = device::check(row.service, row.address, row.caller_id.as_ref()) {
        return Ok(TookRow::Invalid(invalid));
    }
    if let Some(Taken::Address(holder) | Taken::Device(holder)) =
        taken(connection, &line.router, (row.address, None), Some(id)).await?
    {
        return Ok(TookRow::AddressTaken(holder));
    }
    if !store::rename(connection, &line, &row).await? {
        return Ok(TookRow::UsernameTaken);
    }
    let line = store::by_id(connection, id).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(TookRow::Took(line))
}

/// What differs, for the audit log.
fn in_words(before: &Subscription, after: &Subscription, has_new_password: bool) -> String {
    let own = |line: &Subscription| line.address.map_or_else(|| "none".to_owned(), |own| own.to_string());
    let only =
        |line: &Subscription| line.caller_id.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
    let renewal = |line: &Subscription| if line.renews { "by itself" } else { "none" }.to_owned();
    let pairs = [
        ("plan", before.plan_name.clone(), after.plan_name.clone()),
        ("own address", own(before), own(after)),
        ("only from", only(before), only(after)),
        ("renewal", renewal(before), renewal(after)),
    ];
    let changed = pairs.iter().filter(|(_, before, after)| before != after);
    let mut words: Vec<String> =
        changed.map(|(what, before, after)| format!("{what}: {before} to {after}")).collect();
    if has_new_password {
        words.push("new password".to_owned());
    }
    words.join("; ")
}
