//! What the router has: rows of the menus that we look at, as types.
//!
//! Pure: rows go in, typed rows come out, and nothing here sends. A row is ours when its comment is exactly
//! `tawi:<line id>`; everything else is foreign and is kept only to know which names are taken. Rows without a readable
//! `.id` are left out, because nothing could address them. Asking for rows is `read.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use routeros_api::Row;
use routeros_api::value::{RateLimit, RouterId, Secret, parse_bool, parse_duration, parse_number};
use tawi_shared::ids::check_id;
use tawi_shared::wire::Service;

use crate::reconcile::fixed::FixedRows;

/// What marks a row as ours, before the line id.
pub const MARK: &str = "tawi:";
/// The mark of a PPP profile, in its comment.
pub const PROFILE_MARK: &str = "tawi:profile";
/// The mark of a hotspot user profile. That menu has no comment in any release from 7.9 to 7.24, and `on-logout` takes
/// a script, of which this is one that does nothing. That a user without the policy `test` may set it is unproven;
/// where it is refused, the lines of that profile fail with the router's own words.
pub const HOTSPOT_PROFILE_MARK: &str = "# tawi:profile";

/// What the manual gives as the `mac-address` of a hotspot user that any device may use.
pub const ANY_MAC: &str = "00:00:00:00:00:00";
/// What it gives as the `address` of a hotspot user without one of its own.
pub const ANY_ADDRESS: &str = "0.0.0.0";

/// Services whose rows are in the same menus, where names are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// PPPoE, L2TP, PPTP and OVPN: a secret, whatever it is that dials in.
    Ppp,
    /// Hotspot users.
    Hotspot,
    /// Nobody logs in: queues, address lists and bindings (`fixed.rs`).
    Fixed,
}

impl Family {
    /// The families in which somebody logs in.
    pub const LOGINS: [Self; 2] = [Self::Ppp, Self::Hotspot];

    /// Where the rows of a service are.
    #[must_use]
    pub fn of(service: Service) -> Self {
        match service {
            Service::Pppoe | Service::L2tp | Service::Pptp | Service::Openvpn => Self::Ppp,
            Service::Hotspot => Self::Hotspot,
            Service::Static | Service::HotspotDevice => Self::Fixed,
        }
    }

    /// Where the rows of a service code are; `None` for one of a newer contract.
    #[must_use]
    pub fn of_code(code: u16) -> Option<Self> {
        Service::from_code(code).map(Self::of)
    }

    /// The menus of those who log in; `None` where nobody does.
    #[must_use]
    pub fn logins(self) -> Option<&'static Menus> {
        match self {
            Self::Ppp => Some(&PPP),
            Self::Hotspot => Some(&HOTSPOT),
            Self::Fixed => None,
        }
    }
}

/// A menu in which lines have rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `/ppp/secret`.
    Secrets,
    /// `/ip/hotspot/user`.
    HotspotUsers,
    /// `/queue/simple`.
    Queues,
    /// `/ip/firewall/address-list`.
    AddressLists,
    /// `/ip/hotspot/ip-binding`.
    Bindings,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Secrets, Self::HotspotUsers, Self::Queues, Self::AddressLists, Self::Bindings];

    /// Its path.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Secrets => PPP.users,
            Self::HotspotUsers => HOTSPOT.users,
            Self::Queues => "/queue/simple",
            Self::AddressLists => "/ip/firewall/address-list",
            Self::Bindings => "/ip/hotspot/ip-binding",
        }
    }

    /// Whose rows are in it.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Secrets => Family::Ppp,
            Self::HotspotUsers => Family::Hotspot,
            Self::Queues | Self::AddressLists | Self::Bindings => Family::Fixed,
        }
    }
}

/// Menus and property names of one family in which somebody logs in.
#[derive(Debug)]
pub struct Menus {
    /// Who may log in.
    pub users: &'static str,
    /// The same, as a table of rows of lines.
    pub table: Table,
    /// Speeds.
    pub profiles: &'static str,
    /// Who is logged in.
    pub sessions: &'static str,
    /// What lets a device back in without asking; hotspot only.
    pub cookies: Option<&'static str>,
    /// The property of a session that names its user.
    pub session_user: &'static str,
    /// The property of a profile that bears our mark, and the mark.
    pub profile_mark: (&'static str, &'static str),
    /// The property of a user that names the only device that may use it.
    pub caller: &'static str,
    /// The property of a user that is its own address.
    pub address: &'static str,
    /// The properties of a profile that lines choose by: the pool, the router's own address if it has one, how many
    /// may share a name.
    pub pool: &'static str,
    /// See [`Self::pool`].
    pub local_address: Option<&'static str>,
    /// See [`Self::pool`].
    pub sharing: &'static str,
    /// What to read of a user.
    pub user_properties: &'static [&'static str],
    /// What to read of a profile.
    pub profile_properties: &'static [&'static str],
    /// What to read of a session to end it.
    pub session_properties: &'static [&'static str],
}

const PPP: Menus = Menus {
    users: "/ppp/secret",
    table: Table::Secrets,
    profiles: "/ppp/profile",
    sessions: "/ppp/active",
    cookies: None,
    session_user: "name",
    profile_mark: ("comment", PROFILE_MARK),
    caller: "caller-id",
    address: "remote-address",
    pool: "remote-address",
    local_address: Some("local-address"),
    sharing: "only-one",
    user_properties: &[
        ".id",
        "name",
        "comment",
        "profile",
        "disabled",
        "service",
        "caller-id",
        "remote-address",
        "password",
        "limit-bytes-in",
        "limit-bytes-out",
    ],
    profile_properties: &[
        ".id",
        "name",
        "comment",
        "rate-limit",
        "remote-address",
        "local-address",
        "address-list",
        "only-one",
    ],
    session_properties: &[".id", "name", "uptime"],
};

const HOTSPOT: Menus = Menus {
    users: "/ip/hotspot/user",
    table: Table::HotspotUsers,
    profiles: "/ip/hotspot/user/profile",
    sessions: "/ip/hotspot/active",
    cookies: Some("/ip/hotspot/cookie"),
    session_user: "user",
    profile_mark: ("on-logout", HOTSPOT_PROFILE_MARK),
    caller: "mac-address",
    address: "address",
    pool: "address-pool",
    local_address: None,
    sharing: "shared-users",
    user_properties: &[
        ".id",
        "name",
        "comment",
        "profile",
        "disabled",
        "mac-address",
        "address",
        "password",
        "limit-bytes-total",
        "limit-bytes-in",
        "limit-bytes-out",
        "limit-uptime",
        "bytes-in",
        "bytes-out",
    ],
    profile_properties: &[
        ".id",
        "name",
        "on-logout",
        "rate-limit",
        "address-pool",
        "address-list",
        "shared-users",
    ],
    session_properties: &[".id", "user", "uptime", "bytes-in", "bytes-out"],
};

/// The comment of a line's row.
#[must_use]
pub fn mark_of(line: &str) -> String {
    format!("{MARK}{line}")
}

/// Who may log in: a secret or a hotspot user.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// To address it in this pass, and never later.
    pub id: RouterId,
    /// `None` when it is not UTF-8; such a name cannot be one of ours.
    pub name: Option<String>,
    /// The line whose mark it bears.
    pub mark: Option<String>,
    /// Name of its profile.
    pub profile: Option<String>,
    /// PPP only.
    pub service: Option<String>,
    /// The only device that may use it; `None` for any.
    pub caller: Option<String>,
    /// Its own address; `None` for one of the pool.
    pub address: Option<String>,
    /// `None` when the router said neither yes nor no.
    pub is_disabled: Option<bool>,
    /// `None` when the router hides it.
    pub password: Option<Secret>,
    /// `None` when they cannot be read.
    pub limits: Option<Limits>,
    /// What a hotspot user moved, upload and download together, as far as its row has counted it; `None` where the row
    /// does not say, as in PPP and in news.
    pub counted: Option<u64>,
}

/// After how many bytes, or seconds, the router cuts; 0 where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In one session of PPP, and over all sessions of a hotspot user, where it is never ours.
    pub upload: u64,
    /// The same.
    pub download: u64,
    /// Over all sessions of a hotspot user, both directions together.
    pub total: u64,
    /// Seconds over all sessions of a hotspot user: never ours.
    pub uptime: u64,
}

/// A speed profile.
#[derive(Clone, Debug)]
pub struct ProfileRow {
    /// To address it in this pass.
    pub id: RouterId,
    /// `None` when it is not UTF-8.
    pub name: Option<String>,
    /// Whether it bears our mark.
    pub is_ours: bool,
    /// `Some(None)` is no limit; `None` is one that cannot be read, and equals nothing.
    pub limit: Option<Option<RateLimit>>,
    /// `None` for none.
    pub pool: Option<String>,
    /// The router's own address, PPP only; `None` for none.
    pub local_address: Option<String>,
    /// `None` for none.
    pub address_list: Option<String>,
    /// How many may share a name, in the menu's own words.
    pub sharing: Option<String>,
}

/// A session or a cookie, by the user it belongs to.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// To end it in this pass.
    pub id: RouterId,
    /// `None` when it is not UTF-8.
    pub user: Option<String>,
    /// For how long it lasts already; zero for a cookie, and where the router does not say.
    pub uptime: Duration,
    /// What it moved, upload and download together, where the menu counts.
    pub bytes: u64,
}

/// The rows of one family in which somebody logs in.
#[derive(Clone, Debug, Default)]
pub struct LoginRows {
    /// Ours and foreign.
    pub users: Vec<UserRow>,
    /// Ours and foreign.
    pub profiles: Vec<ProfileRow>,
    /// Of the names that were asked for.
    pub sessions: Vec<SessionRow>,
    /// Of the names that were asked for.
    pub cookies: Vec<SessionRow>,
    /// Whether the profiles were read; if not, those that are wanted stand already.
    pub has_profiles: bool,
    /// Whether passwords in these rows are real. Routers hide them by policy, and from 7.21 by default; one row that
    /// shows what we want proves that they are shown.
    pub shows_passwords: bool,
    /// Why the menu could not be read, in the router's words.
    pub unavailable: Option<String>,
}

/// The rows of one router, as far as this pass asked for them.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// Of those who log in.
    pub logins: BTreeMap<Family, LoginRows>,
    /// Of those who do not; `None` when nothing was asked of them.
    pub fixed: Option<FixedRows>,
}

impl Actual {
    /// Our rows that may log in now: what the guard measures a plan against.
    #[must_use]
    pub fn usable_lines(&self) -> usize {
        let users = self.logins.values().flat_map(|rows| &rows.users);
        let logins = users.filter(|row| row.mark.is_some() && row.is_disabled != Some(true)).count();
        logins.saturating_add(self.fixed.as_ref().map_or(0, FixedRows::usable_lines))
    }
}

/// Reads a row of `users`.
#[must_use]
pub fn user_row(menus: &Menus, row: &Row) -> Option<UserRow> {
    Some(UserRow {
        id: row.id()?,
        name: text(row, "name"),
        mark: mark(row),
        profile: text(row, "profile"),
        service: text(row, "service"),
        caller: said(row, menus.caller).filter(|caller| caller != ANY_MAC),
        address: said(row, menus.address).filter(|address| address != ANY_ADDRESS),
        is_disabled: disabled(row),
        // A copy, or the whole row would be kept with it.
        password: row.get("password").map(|password| Secret::new(password.to_vec())),
        limits: limits(row),
        counted: number(row, "bytes-in")
            .zip(number(row, "bytes-out"))
            .map(|(upload, download)| upload.saturating_add(download)),
    })
}

/// Reads a row of `profiles`.
#[must_use]
pub fn profile_row(menus: &Menus, row: &Row) -> Option<ProfileRow> {
    let (property, mark) = menus.profile_mark;
    Some(ProfileRow {
        id: row.id()?,
        name: text(row, "name"),
        is_ours: text(row, property).as_deref() == Some(mark),
        limit: row.parsed("rate-limit", RateLimit::parse).ok(),
        pool: said(row, menus.pool),
        local_address: menus.local_address.and_then(|property| said(row, property)),
        address_list: said(row, "address-list"),
        sharing: said(row, menus.sharing),
    })
}

/// Reads a row of `sessions`. Whatever it came in by: a name is one user's in all of PPP.
#[must_use]
pub fn session_row(menus: &Menus, row: &Row) -> Option<SessionRow> {
    let uptime = row.parsed("uptime", parse_duration).ok().flatten().unwrap_or_default();
    let bytes = ["bytes-in", "bytes-out"].map(|name| number(row, name).unwrap_or(0));
    let bytes = bytes.into_iter().fold(0, u64::saturating_add);
    row.id().map(|id| SessionRow { id, user: text(row, menus.session_user), uptime, bytes })
}

/// Reads a row of `cookies`.
#[must_use]
pub fn cookie_row(row: &Row) -> Option<SessionRow> {
    Some(SessionRow { id: row.id()?, user: text(row, "user"), uptime: Duration::ZERO, bytes: 0 })
}

/// Reads a row of a device that a hotspot sees, by its MAC address.
#[must_use]
pub fn host_row(row: &Row) -> Option<SessionRow> {
    let user = text(row, "mac-address").map(|mac| mac.to_ascii_uppercase());
    Some(SessionRow { id: row.id()?, user, uptime: Duration::ZERO, bytes: 0 })
}

/// The line that a comment marks; `None` for anything but the exact mark.
#[must_use]
pub fn line_of_mark(comment: &str) -> Option<&str> {
    comment.strip_prefix(MARK).filter(|line| check_id(line).is_ok())
}

/// The line whose mark a row bears.
pub(crate) fn mark(row: &Row) -> Option<String> {
    text(row, "comment").and_then(|comment| line_of_mark(&comment).map(str::to_owned))
}

/// `None` when the router said neither yes nor no.
pub(crate) fn disabled(row: &Row) -> Option<bool> {
    row.parsed("disabled", parse_bool).ok().flatten()
}

fn number(row: &Row, name: &str) -> Option<u64> {
    row.parsed(name, parse_number).ok().flatten()
}

/// Releases differ in whether a limit that is not set is left out, empty or 0.
fn limits(row: &Row) -> Option<Limits> {
    let limit = |name: &str| match row.get(name) {
        None => Some(0),
        Some(value) if value.is_empty() => Some(0),
        Some(_) => number(row, name),
    };
    let (upload, download) = (limit("limit-bytes-in")?, limit("limit-bytes-out")?);
    let uptime = match row.get("limit-uptime") {
        None => 0,
        Some(value) if value.is_empty() => 0,
        Some(value) => match parse_duration(&value).ok()? {
            Duration::ZERO => 0,
            some => some.as_secs().max(1),
        },
    };
    Some(Limits { upload, download, total: limit("limit-bytes-total")?, uptime })
}

/// A property that says something: releases differ in whether one that is unset is left out, empty or `none`.
fn said(row: &Row, name: &str) -> Option<String> {
    text(row, name).filter(|text| !text.is_empty() && text != "none")
}

/// A property as text; unset and "not UTF-8" are both `None`.
pub(crate) fn text(row: &Row, name: &str) -> Option<String> {
    row.get(name).and_then(|value| String::from_utf8(value.to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_mark_makes_a_row_ours() {
        let check = |comment, expected| assert_eq!(line_of_mark(comment), expected, "{comment:?}");
        check("tawi:l-1", Some("l-1"));
        check("tawi:", None);
        check("tawi:l-1 moved by hand", None);
        check(" tawi:l-1", None);
        check("tawi:L1", None);
        check("roof, tawi:l-1", None);
        check("", None);
    }
}
