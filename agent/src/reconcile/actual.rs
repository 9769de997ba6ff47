//! What the router has: rows of the menus that we look at, as types.
//!
//! Pure: rows go in, typed rows come out, and nothing here sends. A row is ours when its comment is exactly
//! `tawi:<line id>`; everything else is foreign and is kept only to know which names are taken. Rows without a readable
//! `.id` are left out, because nothing could address them. Asking for rows is `read.rs`.

use std::collections::BTreeMap;

use routeros_api::Row;
use routeros_api::value::{RateLimit, RouterId, Secret, parse_bool};
use tawi_shared::ids::check_id;
use tawi_shared::wire::Service;

/// What marks a row as ours, before the line id.
pub const MARK: &str = "tawi:";
/// The mark of a PPP profile, in its comment.
pub const PROFILE_MARK: &str = "tawi:profile";
/// The mark of a hotspot user profile. That menu has no comment in any release from 7.9 to 7.24, and `on-logout` takes
/// a script, of which this is one that does nothing. That a user without the policy `test` may set it is unproven;
/// where it is refused, the lines of that profile fail with the router's own words.
pub const HOTSPOT_PROFILE_MARK: &str = "# tawi:profile";

/// Menus and property names of one service.
#[derive(Debug)]
pub struct Menus {
    /// Who may log in.
    pub users: &'static str,
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
    /// What to read of a user.
    pub user_properties: &'static [&'static str],
    /// What to read of a profile.
    pub profile_properties: &'static [&'static str],
    /// What to read of a session to end it.
    pub session_properties: &'static [&'static str],
}

const PPPOE: Menus = Menus {
    users: "/ppp/secret",
    profiles: "/ppp/profile",
    sessions: "/ppp/active",
    cookies: None,
    session_user: "name",
    profile_mark: ("comment", PROFILE_MARK),
    user_properties: &[".id", "name", "comment", "profile", "disabled", "service", "password"],
    profile_properties: &[".id", "name", "comment", "rate-limit"],
    session_properties: &[".id", "name", "service"],
};

const HOTSPOT: Menus = Menus {
    users: "/ip/hotspot/user",
    profiles: "/ip/hotspot/user/profile",
    sessions: "/ip/hotspot/active",
    cookies: Some("/ip/hotspot/cookie"),
    session_user: "user",
    profile_mark: ("on-logout", HOTSPOT_PROFILE_MARK),
    user_properties: &[".id", "name", "comment", "profile", "disabled", "password"],
    profile_properties: &[".id", "name", "on-logout", "rate-limit"],
    session_properties: &[".id", "user"],
};

/// The menus of a service.
#[must_use]
pub fn menus(service: Service) -> &'static Menus {
    match service {
        Service::Pppoe | Service::L2tp | Service::Pptp | Service::Openvpn => &PPPOE,
        // `enforce.rs` refuses these before anybody asks.
        Service::Static | Service::HotspotDevice => &PPPOE,
        Service::Hotspot => &HOTSPOT,
    }
}

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
    /// `None` when the router said neither yes nor no.
    pub is_disabled: Option<bool>,
    /// `None` when the router hides it.
    pub password: Option<Secret>,
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
}

/// A session or a cookie, by the user it belongs to.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// To end it in this pass.
    pub id: RouterId,
    /// `None` when it is not UTF-8.
    pub user: Option<String>,
}

/// The rows of one service.
#[derive(Clone, Debug, Default)]
pub struct ServiceRows {
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
    /// By service.
    pub services: BTreeMap<Service, ServiceRows>,
}

impl Actual {
    /// Our rows that may log in now: what the guard measures a plan against.
    #[must_use]
    pub fn usable_lines(&self) -> usize {
        let users = self.services.values().flat_map(|rows| &rows.users);
        users.filter(|row| row.mark.is_some() && row.is_disabled != Some(true)).count()
    }
}

/// Reads a row of `users`.
#[must_use]
pub fn user_row(row: &Row) -> Option<UserRow> {
    Some(UserRow {
        id: row.id()?,
        name: text(row, "name"),
        mark: text(row, "comment").and_then(|comment| line_of_mark(&comment).map(str::to_owned)),
        profile: text(row, "profile"),
        service: text(row, "service"),
        is_disabled: row.parsed("disabled", parse_bool).ok().flatten(),
        // A copy, or the whole row would be kept with it.
        password: row.get("password").map(|password| Secret::new(password.to_vec())),
    })
}

/// Reads a row of `profiles`.
#[must_use]
pub fn profile_row(service: Service, row: &Row) -> Option<ProfileRow> {
    let (property, mark) = menus(service).profile_mark;
    Some(ProfileRow {
        id: row.id()?,
        name: text(row, "name"),
        is_ours: text(row, property).as_deref() == Some(mark),
        limit: row.parsed("rate-limit", RateLimit::parse).ok(),
    })
}

/// Reads a row of `sessions`; PPP sessions of another service are somebody else's.
#[must_use]
pub fn session_row(service: Service, row: &Row) -> Option<SessionRow> {
    let is_other = service == Service::Pppoe && text(row, "service").is_some_and(|kind| kind != "pppoe");
    let user = text(row, menus(service).session_user);
    row.id().filter(|_| !is_other).map(|id| SessionRow { id, user })
}

/// Reads a row of `cookies`.
#[must_use]
pub fn cookie_row(row: &Row) -> Option<SessionRow> {
    Some(SessionRow { id: row.id()?, user: text(row, "user") })
}

/// The line that a comment marks; `None` for anything but the exact mark.
#[must_use]
pub fn line_of_mark(comment: &str) -> Option<&str> {
    comment.strip_prefix(MARK).filter(|line| check_id(line).is_ok())
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
