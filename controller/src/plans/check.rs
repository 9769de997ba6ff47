//! What may be entered as a connection type or a plan. Pure.
//!
//! Only what a router, a site or a customer would stumble over is refused, each with what to write instead. Whether a
//! name is free is the database's to say.

use std::net::Ipv4Addr;
use std::time::Duration;

use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;

use super::profiles::{self, Family};
use super::restraint::{OfflineRule, Restraint};
use super::{ConnectionType, NewConnectionType, Plan, Profile, Terms};
use crate::customers::Invalid;
use crate::money::Money;
use crate::plain::is_one_line;

/// The longest name of a plan, a profile or a pool, in characters. A profile's name is written to routers; 64 leaves room
/// in every column of WinBox and is far more than anybody types.
const NAME_CHARACTERS: usize = 64;
/// The longest description, in characters.
const DESCRIPTION_CHARACTERS: usize = 500;
/// The longest period: two years. A longer one is a slip of the unit.
const VALIDITY_MAX: Duration = Duration::from_secs(2 * 366 * 24 * 3_600);
/// The dearest plan: what M-Pesa moves in one transaction, KES 250,000.
pub(crate) const PRICE_MAX: Money = Money::from_cents(25_000_000);
/// The longest time over which a burst is averaged: RouterOS takes more, and no queue means more than an hour.
const BURST_SECONDS_MAX: u32 = 3_600;
/// Devices under one name. More is a slip: nobody shares with ten thousand.
const SHARED_USERS_MAX: u32 = 10_000;
/// The longest silence of head office that a rule waits for: a year.
const OFFLINE_HOURS_MAX: u32 = 366 * 24;

fn invalid(field: &'static str, reason: &'static str) -> Result<(), Invalid> {
    Err(Invalid { field, reason })
}

/// What RouterOS reads as something else than a profile: its own default ones, which Tawi must not change under everybody,
/// and `*` with a number, which is a row's internal id.
const PROFILES_OF_ROUTEROS: [&str; 2] = ["default", "default-encryption"];
/// What RouterOS reads as "no pool".
const NO_POOL: &str = "none";

/// A profile's name goes to routers: RouterOS takes any bytes there, but shows and matches anything beyond printable
/// ASCII differently by release and by tool, and its own names use no spaces.
fn is_name(text: &str) -> bool {
    (1..=NAME_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn connection_type(new: &NewConnectionType) -> Result<(), Invalid> {
    if !is_name(&new.profile_name) {
        return invalid(
            "profile_name",
            "use 1 to 64 characters of plain letters, digits and signs, without spaces",
        );
    }
    if new.profile_name.starts_with('*') || PROFILES_OF_ROUTEROS.contains(&new.profile_name.as_str()) {
        return invalid(
            "profile_name",
            "choose a name of your own: RouterOS has default and default-encryption, and reads * as a row's number",
        );
    }
    if profiles::is_derived(&new.profile_name) {
        return invalid(
            "profile_name",
            "choose a name without -slow- and not ending in -walled: such profiles are made for lines that are restrained",
        );
    }
    profile(new.service, &new.profile)
}

pub(super) fn profile(service: Service, new: &Profile) -> Result<(), Invalid> {
    let is_below = |burst: Bandwidth, limit: Bandwidth| !burst.is_unlimited() && burst < limit;
    if new.download.is_unlimited() != new.upload.is_unlimited() {
        // A router's rate limit has both directions or none.
        return invalid("download", "limit both download and upload, or neither");
    }
    let has_burst = !new.download_burst.is_unlimited() || !new.upload_burst.is_unlimited();
    let burst = if new.download_burst.is_unlimited() { "upload_burst" } else { "download_burst" };
    if new.download.is_unlimited() && has_burst {
        return invalid(burst, "without a limit there is nothing to burst beyond; leave the burst empty");
    }
    for (field, burst, limit) in
        [("download_burst", new.download_burst, new.download), ("upload_burst", new.upload_burst, new.upload)]
    {
        if is_below(burst, limit) {
            return invalid(field, "a burst cannot be slower than the speed itself; leave it empty for none");
        }
    }
    for (field, threshold, burst) in [
        ("download_threshold", new.download_threshold, new.download_burst),
        ("upload_threshold", new.upload_threshold, new.upload_burst),
    ] {
        if threshold > burst {
            return invalid(field, "a burst threshold needs a burst that is at least as fast");
        }
    }
    if new.burst_seconds > BURST_SECONDS_MAX {
        return invalid("burst_seconds", "enter up to 3600 seconds, or nothing");
    }
    if new.burst_seconds > 0 && !has_burst {
        return invalid("burst_seconds", "a burst time needs a burst");
    }
    if new.priority > 8 {
        return invalid("priority", "enter 1, served first, to 8, or nothing");
    }
    if new.shared_users > SHARED_USERS_MAX {
        return invalid("shared_users", "enter up to 10000 devices, or nothing");
    }
    let family = Family::of(service);
    if family == Family::Static && new.shared_users > 0 {
        return invalid("shared_users", "nobody logs in on this service: leave the number of devices empty");
    }
    if family == Family::Static && !new.pool.is_empty() {
        return invalid("pool", "each line of this service has its own address: leave the pool empty");
    }
    if new.pool.starts_with('*') || new.pool == NO_POOL {
        return invalid(
            "pool",
            "RouterOS reads none as no pool, and * as a row's number: leave it empty for none",
        );
    }
    if !new.pool.is_empty() && !is_name(&new.pool) {
        return invalid("pool", "use the name of a pool on the routers, without spaces, or nothing");
    }
    if new.local_address.is_empty() {
        return Ok(());
    }
    if family != Family::Ppp {
        return invalid("local_address", "only PPP services have one: leave it empty");
    }
    match new.local_address.parse::<Ipv4Addr>() {
        Ok(address) if address.to_string() == new.local_address && !address.is_unspecified() => Ok(()),
        _ => invalid("local_address", "enter an IPv4 address such as 10.0.0.1, or nothing"),
    }
}

/// What a thing that is sold may be called.
pub(crate) fn plan_name(name: &str) -> Result<(), Invalid> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS || !is_one_line(name) {
        return invalid("name", "enter a name of at most 64 characters on one line");
    }
    Ok(())
}

/// What a thing that is sold may cost.
pub(crate) fn price(price: Money) -> Result<(), Invalid> {
    if !price.is_positive() || price > PRICE_MAX {
        return invalid(
            "price",
            "enter a price above 0 and up to 250,000, the most that M-Pesa moves at once",
        );
    }
    Ok(())
}

/// The first plan whose terms do not hold on a connection type as it is to be.
pub(super) fn contradicted<'a>(kind: &ConnectionType, sold: &'a [Plan]) -> Option<&'a Plan> {
    sold.iter().find(|plan| terms(kind, &plan.terms).is_err())
}

pub(super) fn terms(kind: &ConnectionType, terms: &Terms) -> Result<(), Invalid> {
    price(terms.price)?;
    if terms.validity < Duration::from_secs(1) || terms.validity > VALIDITY_MAX {
        return invalid("validity", "enter a period from one second to two years");
    }
    if terms.data_quota_bytes.is_some_and(|bytes| bytes == 0 || bytes > crate::usage::TOTAL_BYTES) {
        return invalid("quota", "enter an amount of data above 0 and up to 1100TB, or nothing for no limit");
    }
    restraint("suspension", kind, terms.suspension)?;
    restraint("after_quota", kind, terms.after_quota)?;
    if terms.data_quota_bytes.is_none() && terms.after_quota != Restraint::Off {
        return invalid(
            "after_quota",
            "the plan has no data limit, so nothing comes after it: enter a limit, or choose off",
        );
    }
    if let Some(OfflineRule { after_hours, then }) = terms.offline {
        if !(1..=OFFLINE_HOURS_MAX).contains(&after_hours) {
            return invalid("offline_hours", "enter 1 to 8784 hours");
        }
        if then == Restraint::Walled {
            return invalid(
                "offline",
                "choose off or a speed: without head office there is no page to pay on",
            );
        }
        restraint("offline", kind, then)?;
    }
    if terms.description.chars().count() > DESCRIPTION_CHARACTERS {
        return invalid("description", "use at most 500 characters");
    }
    Ok(())
}

fn restraint(field: &'static str, kind: &ConnectionType, restraint: Restraint) -> Result<(), Invalid> {
    let Restraint::Throttled { download, upload } = restraint else { return Ok(()) };
    if download.is_unlimited() || upload.is_unlimited() {
        return invalid(field, "enter a slow download and a slow upload, both above 0");
    }
    let is_above = |slow: Bandwidth, full: Bandwidth| !full.is_unlimited() && slow > full;
    if is_above(download, kind.profile.download) || is_above(upload, kind.profile.upload) {
        return invalid(
            field,
            "the slow speed is faster than the connection type's own: choose a slower one",
        );
    }
    Ok(())
}
