//! Packages: what of a release a router has.
//!
//! RouterOS 6 has PPP, the hotspot, DHCP and an NTP server in packages of their own, which may be missing or disabled;
//! in 7 they are part of the one package `routeros`, and only `container` can be missing. A menu whose package is not
//! there is no menu. In 6 the package `ntp` puts its own client in the place of the SNTP client, in the same menu: it
//! takes addresses alone, and lacks `server-dns-names` (the manual). That rows of a missing package are kept for its
//! return is inferred.

use super::{Engine, resolve};
use crate::release::Release;
use crate::request::Request;
use crate::tables::{Menu, Verb, knows};
use crate::trap::Trap;
use crate::values::Value;

pub(crate) const PACKAGES: &str = "system/package";
const OF_SIX: [&str; 6] = ["system", "ppp", "hotspot", "dhcp", "security", "ntp"];
const OF_SEVEN: [&str; 2] = ["routeros", "container"];
/// Menus and those below them, by package.
const MENUS_OF_SIX: [(&str, &str); 7] = [
    ("ppp", "ppp"),
    ("interface/pppoe-server", "ppp"),
    ("interface/l2tp-server", "ppp"),
    ("interface/pptp-server", "ppp"),
    ("interface/ovpn-server", "ppp"),
    ("ip/hotspot", "hotspot"),
    ("ip/dhcp-server", "dhcp"),
];
const MENUS_OF_SEVEN: [(&str, &str); 1] = [("container", "container")];
const NTP_CLIENT: &str = "system/ntp/client";
const NAMES_OF_SERVERS: &str = "server-dns-names";

/// How a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageState {
    /// Installed and on.
    Enabled,
    /// Installed and off.
    Disabled,
    /// Not installed.
    Missing,
}

/// The packages that routers of a release may have.
pub(crate) fn packages_of(release: Release) -> &'static [&'static str] {
    if release < Release::new(7, 0) { &OF_SIX } else { &OF_SEVEN }
}

/// The packages of a router that nobody has changed.
pub(crate) fn usual_packages_of(release: Release) -> impl Iterator<Item = &'static str> {
    packages_of(release).iter().copied().filter(|name| *name != "ntp")
}

/// Without the first of its packages a router would be none.
pub(crate) fn can_be_missing(name: &str, release: Release) -> bool {
    let known = packages_of(release);
    known.contains(&name) && known.first() != Some(&name)
}

impl Engine {
    /// Whether a package is installed and on. What has no package of its own in this release is there.
    pub(crate) fn has_package(&self, name: &str) -> bool {
        if !packages_of(self.release).contains(&name) {
            return self.release >= Release::new(7, 0);
        }
        self.find(PACKAGES, name.as_bytes()).is_some_and(|id| !self.is_set(PACKAGES, id, "disabled"))
    }

    /// Whether the menu is there, as far as packages go.
    pub(crate) fn has_menu(&self, path: &str) -> bool {
        let needs: &[(&str, &str)] =
            if self.release < Release::new(7, 0) { &MENUS_OF_SIX } else { &MENUS_OF_SEVEN };
        let is_below =
            |menu: &str| path.strip_prefix(menu).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        needs.iter().all(|(menu, package)| !is_below(menu) || self.has_package(package))
    }

    /// Whether a property of a menu is hidden because another package's menu stands in its place.
    pub(crate) fn is_hidden(&self, menu: &str, property: &str) -> bool {
        menu == NTP_CLIENT
            && property == NAMES_OF_SERVERS
            && self.release < Release::new(7, 0)
            && self.has_package("ntp")
    }

    /// Whether a console of this router takes a command, and an argument of it or a property that `get` asks for: what
    /// it does not know it refuses as it reads, before anything of the same braces has run.
    pub(crate) fn can_be_typed(&self, menu: &str, command: &str, argument: Option<&str>) -> bool {
        let request = Request::for_path(&format!("{menu}/{command}"));
        // `find` is the console's own.
        let Ok((menu, verb)) = resolve(&request, self.release).or_else(|trap| match command {
            "find" => resolve(&Request::for_path(&format!("{menu}/print")), self.release),
            _ => Err(trap),
        }) else {
            return false;
        };
        let takes = |name: &str| match verb {
            Verb::Add | Verb::Set => {
                knows(menu.path, verb, name, self.release).unwrap_or(true)
                    && (["numbers", "copy-from", "place-before"].contains(&name)
                        || menu.writable_position(name, self.release).is_some())
            }
            _ => menu.position(name, self.release).is_some(),
        };
        self.has_menu(menu.path)
            && argument.is_none_or(|name| takes(name) && !self.is_hidden(menu.path, name))
    }

    pub(super) fn refuse_by_package(
        &self,
        menu: &'static Menu,
        verb: Verb,
        request: &Request,
    ) -> Result<(), Trap> {
        if !self.has_menu(menu.path) {
            return Err(Trap::no_such_prefix());
        }
        let hidden =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| self.is_hidden(menu.path, name));
        match request.arguments.iter().find(|(name, _)| hidden(name)) {
            Some((name, _)) if !verb.is_read() => Err(Trap::unknown_parameter(name)),
            _ => Ok(()),
        }
    }

    /// Installs, disables or takes away a package; it was checked before.
    pub(crate) fn put_package(&mut self, name: &str, state: PackageState) {
        let found = self.find(PACKAGES, name.as_bytes());
        match (found, state) {
            (Some(id), PackageState::Missing) => self.displace(PACKAGES, id),
            (Some(id), state) => {
                let is_off = state == PackageState::Disabled;
                self.put(PACKAGES, id, "disabled", Some(Value::flag(is_off)));
            }
            (None, PackageState::Missing) => {}
            (None, state) => self.install(name, state == PackageState::Disabled),
        }
    }

    /// Takes over the packages of the same board before a reset.
    pub(crate) fn keep_packages_of(&mut self, before: &Self) {
        for name in packages_of(self.release) {
            let state = match before.find(PACKAGES, name.as_bytes()) {
                None => PackageState::Missing,
                Some(id) if before.is_set(PACKAGES, id, "disabled") => PackageState::Disabled,
                Some(_) => PackageState::Enabled,
            };
            self.put_package(name, state);
        }
    }

    pub(crate) fn install(&mut self, name: &str, is_off: bool) {
        let values = [
            ("name", Value::text(name)),
            ("version", Value::text(self.release.to_string())),
            ("build-time", Value::Date(BUILT_MS)),
            ("scheduled", Value::text("")),
            ("disabled", Value::flag(is_off)),
        ];
        self.place(PACKAGES, &values, None);
    }
}

/// When the release was built, in milliseconds since 1970.
pub(crate) const BUILT_MS: i64 = 1_740_000_000_000;
