//! What a menu is: its properties, its commands and the refusals that are its own.
//!
//! The menus themselves are data, in the files beside this one; [`crate::engine`] runs them all with
//! one set of rules. Which release knows which argument is [`arguments`], from public console-inspect
//! dumps; what is declared here is the form of its values, and what only rows show. An argument that is
//! known and not declared is kept as the text that it is.

mod arguments;
mod box_settings;
mod firewall;
mod hotspot;
mod interface;
mod ppp;
mod print_arguments;
mod queue;
mod system;

pub(crate) use self::print_arguments::{PrintArgument, print_argument};

use std::sync::LazyLock;

use crate::release::Release;

pub(crate) use self::arguments::knows;

/// Whether a menu holds rows with `.id` or one nameless row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Rows with an `.id`.
    List,
    /// One row without `.id`, such as `/system/identity`.
    Single,
}

/// A command of a menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `print` and its old name `getall`.
    Print,
    /// `get =number= =value-name=`.
    Get,
    /// `listen`.
    Listen,
    /// `add`.
    Add,
    /// `set`.
    Set,
    /// `remove`.
    Remove,
    /// `enable` and `disable`.
    Enable,
    /// `unset =value-name=`.
    Unset,
    /// `comment`.
    Comment,
    /// `move =destination=`, in menus whose order matters.
    Move,
    /// `reset-counters`.
    ResetCounters,
    /// `/ip/hotspot/active/login`.
    LogIn,
    /// `/certificate/sign`.
    Sign,
    /// `/system/script/run`.
    Run,
}

/// The form of a property's values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any bytes.
    Text,
    /// Any bytes, printed only to a user with the `sensitive` policy.
    Secret,
    /// `yes`/`no`/`true`/`false`, printed `true`/`false`.
    Flag,
    /// One of the words.
    Choice(&'static [&'static str]),
    /// Some of the words, separated by commas.
    Choices(&'static [&'static str]),
    /// The policies of a user group: every policy is printed, with `!` when it is not granted.
    Policies,
    /// A decimal number within bounds, or one of the words.
    Number {
        /// The least number.
        least: u64,
        /// The greatest number.
        most: u64,
        /// Words that stand for a number, such as `unlimited`.
        words: &'static [&'static str],
    },
    /// A duration, or one of the words.
    Duration(&'static [&'static str]),
    /// A duration after which the row vanishes; setting it makes the row dynamic.
    Expiry,
    /// The rate limit of a profile, kept as written.
    RateLimit,
    /// `upload/download` in bits per second.
    RatePair,
    /// An IPv4 address.
    Address,
    /// An address, range, prefix (host bits are cleared) or, as the router has it, any DNS name.
    AddressSet,
    /// A MAC address, printed in capitals.
    Mac,
    /// A MAC address (printed in capitals), or whatever else the caller may be known by.
    Caller,
    /// The ranges of a pool: `a-b,c-d`.
    Ranges,
    /// Another row by name, one of the words, or (with `address`) an IPv4 address.
    Reference {
        /// The menu whose rows may be named.
        menu: &'static str,
        /// Words allowed beside names.
        words: &'static [&'static str],
        /// Whether an IPv4 address is allowed as well.
        address: bool,
    },
}

/// What a property holds after `add` when the argument is absent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial {
    /// Nothing.
    Unset,
    /// The value that this text reads as.
    Text(&'static str),
    /// `add` is refused without it.
    Required,
}

/// A property of a menu.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property {
    /// The name in API words.
    pub name: &'static str,
    /// The form of its values.
    pub kind: Kind,
    /// What it holds when `add` does not say.
    pub initial: Initial,
    /// Whether `add` and `set` refuse it as unknown.
    pub is_read_only: bool,
    /// The release that brought it.
    pub since: Release,
    /// The release that took it away.
    pub until: Release,
}

/// The oldest release that the simulator knows of, and one beyond the newest.
const EARLIEST: Release = Release::new(6, 43);
const NEVER: Release = Release::new(u16::MAX, 0);

impl Property {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, initial: Initial::Unset, is_read_only: false, since: EARLIEST, until: NEVER }
    }

    const fn initially(self, text: &'static str) -> Self {
        Self { initial: Initial::Text(text), ..self }
    }

    const fn required(self) -> Self {
        Self { initial: Initial::Required, ..self }
    }

    const fn read_only(self) -> Self {
        Self { is_read_only: true, ..self }
    }

    const fn since(self, major: u16, minor: u16) -> Self {
        Self { since: Release::new(major, minor), ..self }
    }

    const fn until(self, major: u16, minor: u16) -> Self {
        Self { until: Release::new(major, minor), ..self }
    }

    /// Whether `release` has this property.
    #[must_use]
    pub(crate) fn exists_in(&self, release: Release) -> bool {
        self.since <= release && release < self.until
    }
}

/// Properties that no two rows may share, and what the router says then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unique {
    /// The properties compared together.
    pub properties: &'static [&'static str],
    /// The message of the trap.
    pub message: &'static str,
}

/// A menu.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Menu {
    /// The path without the first slash, such as `ppp/secret`.
    pub path: &'static str,
    /// List or single row.
    pub shape: Shape,
    /// The commands it has.
    pub verbs: &'static [Verb],
    /// Its properties in the order in which rows print them.
    pub properties: &'static [Property],
    /// The property by which `numbers` and references name a row.
    pub key: &'static str,
    /// What no two rows may share.
    pub unique: Option<Unique>,
    /// The release that brought it in this shape.
    pub since: Release,
    /// The release that took it away, or gave it another shape.
    pub until: Release,
    /// Whether removing a row of a session ends it, though rows can be added as well.
    pub ends_sessions: bool,
    /// The policy that a write needs: `write`, or `policy` for users.
    pub write_policy: &'static str,
}

impl Menu {
    const fn list(path: &'static str, verbs: &'static [Verb], properties: &'static [Property]) -> Self {
        Self {
            path,
            shape: Shape::List,
            verbs,
            properties,
            key: "name",
            unique: None,
            since: EARLIEST,
            until: NEVER,
            ends_sessions: false,
            write_policy: "write",
        }
    }

    const fn single(path: &'static str, verbs: &'static [Verb], properties: &'static [Property]) -> Self {
        Self { shape: Shape::Single, ..Self::list(path, verbs, properties) }
    }

    const fn unique(self, properties: &'static [&'static str], message: &'static str) -> Self {
        Self { unique: Some(Unique { properties, message }), ..self }
    }

    const fn keyed_by(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    const fn since(self, major: u16, minor: u16) -> Self {
        Self { since: Release::new(major, minor), ..self }
    }

    const fn until(self, major: u16, minor: u16) -> Self {
        Self { until: Release::new(major, minor), ..self }
    }

    const fn ending_sessions(self) -> Self {
        Self { ends_sessions: true, ..self }
    }

    const fn written_with(self, write_policy: &'static str) -> Self {
        Self { write_policy, ..self }
    }

    /// Whether `release` has this menu, in this shape.
    #[must_use]
    pub(crate) fn exists_in(&self, release: Release) -> bool {
        self.since <= release && release < self.until
    }

    /// The place of the property `name` in a row, if `release` has it.
    #[must_use]
    pub(crate) fn position(&self, name: &str, release: Release) -> Option<usize> {
        self.properties.iter().position(|property| property.name == name && property.exists_in(release))
    }

    /// The same of a property that `add` and `set` take.
    #[must_use]
    pub(crate) fn writable_position(&self, name: &str, release: Release) -> Option<usize> {
        self.position(name, release)
            .filter(|at| self.properties.get(*at).is_some_and(|property| !property.is_read_only))
    }

    /// Whether this menu has the command in `release`.
    #[must_use]
    pub(crate) fn has(&self, verb: Verb, release: Release) -> bool {
        self.verbs.contains(&verb) && arguments::has(self.path, verb, release).unwrap_or(true)
    }

    /// Whether its rows are in an order that an admin chooses.
    #[must_use]
    pub(crate) fn is_ordered(&self) -> bool {
        self.verbs.contains(&Verb::Move)
    }
}

/// Every menu of every release. Where a menu changed its shape, both stand here.
pub(crate) fn menus() -> impl Iterator<Item = &'static Menu> {
    static MENUS: LazyLock<Vec<Menu>> = LazyLock::new(|| {
        let declared = [
            ppp::MENUS,
            interface::MENUS,
            hotspot::MENUS,
            queue::MENUS,
            firewall::MENUS,
            box_settings::MENUS,
            system::MENUS,
        ];
        declared.into_iter().flatten().map(|menu| with_known_arguments(*menu)).collect()
    });
    MENUS.iter()
}

/// The menu with every argument that dumps know: those that are declared get their releases from there, the
/// others are added as texts, before the last two columns.
fn with_known_arguments(menu: Menu) -> Menu {
    const ARE_NO_PROPERTIES: [&str; 3] = ["numbers", "copy-from", "place-before"];
    if !arguments::covers(menu.path) {
        return menu;
    }
    let known = arguments::writable(menu.path);
    let mut properties = menu.properties.to_vec();
    for property in properties.iter_mut().filter(|property| !property.is_read_only) {
        if let Some((_, span)) = known.iter().find(|(name, _)| *name == property.name) {
            (property.since, property.until) = (span.since, span.until);
        }
    }
    for (name, span) in known {
        let is_declared = properties.iter().any(|property| property.name == name);
        if is_declared || ARE_NO_PROPERTIES.contains(&name) {
            continue;
        }
        let last = |property: &Property| property.name == "disabled" || property.name == "comment";
        let place = properties.iter().position(last).unwrap_or(properties.len());
        properties.insert(place, Property { since: span.since, until: span.until, ..text(name) });
    }
    Menu { properties: properties.leak(), ..menu }
}

/// Every menu of a release.
pub(crate) fn menus_of(release: Release) -> impl Iterator<Item = &'static Menu> {
    menus().filter(move |menu| menu.exists_in(release))
}

/// Whether some menu's path starts with the segments of `path`: then a word after it is an unknown
/// command, otherwise an unknown prefix.
#[must_use]
pub(crate) fn is_directory(path: &str, release: Release) -> bool {
    menus_of(release)
        .any(|menu| menu.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The policies of a user group, in the order in which RouterOS 7 prints them.
pub(crate) const POLICIES: &[&str] = &[
    "local",
    "telnet",
    "ssh",
    "ftp",
    "reboot",
    "read",
    "write",
    "policy",
    "test",
    "winbox",
    "password",
    "web",
    "sniff",
    "sensitive",
    "api",
    "romon",
    "rest-api",
];

/// The same in RouterOS 6, which has no REST and still has The Dude and Tik-App. Inferred.
const POLICIES_OF_SIX: &[&str] = &[
    "local",
    "telnet",
    "ssh",
    "ftp",
    "reboot",
    "read",
    "write",
    "policy",
    "test",
    "winbox",
    "password",
    "web",
    "sniff",
    "sensitive",
    "api",
    "romon",
    "dude",
    "tikapp",
];

/// The policies that groups of a release have.
pub(crate) fn policies_of(release: Release) -> &'static [&'static str] {
    if release < Release::new(7, 0) { POLICIES_OF_SIX } else { POLICIES }
}

/// The policies of any release.
pub(crate) fn every_policy() -> impl Iterator<Item = &'static str> {
    let of_six_alone = POLICIES_OF_SIX.iter().filter(|policy| !POLICIES.contains(policy));
    POLICIES.iter().chain(of_six_alone).copied()
}

/// The menus whose rows are sessions or static bindings, and the type of their interfaces.
pub(crate) const BINDINGS: [(&str, &str); 4] = [
    ("interface/pppoe-server", "pppoe-in"),
    ("interface/l2tp-server", "l2tp-in"),
    ("interface/pptp-server", "pptp-in"),
    ("interface/ovpn-server", "ovpn-in"),
];

/// The features that device-mode allows or not.
pub(crate) const DEVICE_FEATURES: [&str; 6] = ["container", "hotspot", "fetch", "scheduler", "pptp", "l2tp"];

/// Minutes east of Greenwich of the time zones that `/system/clock` knows here: zones of East Africa,
/// which never change, so that no zone database is needed.
#[must_use]
pub(crate) fn zone_offset_minutes(name: &[u8]) -> i32 {
    match name {
        b"UTC" => 0,
        b"Africa/Kigali" => 120,
        _ => 180,
    }
}

/// The commands of an ordinary configurable list.
const EDITABLE: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Enable, Verb::Comment];
/// A configurable list whose rows cannot be disabled.
const PROFILE: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Unset, Verb::Comment];
/// A list of what is going on, whose rows can only be ended.
const LIVE: &[Verb] = &[Verb::Print, Verb::Get, Verb::Listen, Verb::Remove];
const READ_ONLY: &[Verb] = &[Verb::Print, Verb::Get, Verb::Listen];
const SETTINGS: &[Verb] = &[Verb::Print, Verb::Get, Verb::Set];
const FACTS: &[Verb] = &[Verb::Print, Verb::Get];

const fn text(name: &'static str) -> Property {
    Property::new(name, Kind::Text)
}

const fn flag(name: &'static str, initial: &'static str) -> Property {
    Property::new(name, Kind::Flag).initially(initial)
}

const fn choice(name: &'static str, words: &'static [&'static str], initial: &'static str) -> Property {
    Property::new(name, Kind::Choice(words)).initially(initial)
}

const fn number(name: &'static str) -> Property {
    bounded(name, 0, u64::MAX)
}

const fn bounded(name: &'static str, least: u64, most: u64) -> Property {
    Property::new(name, Kind::Number { least, most, words: &[] })
}

const fn duration(name: &'static str, words: &'static [&'static str]) -> Property {
    Property::new(name, Kind::Duration(words))
}

const fn reference(name: &'static str, menu: &'static str, words: &'static [&'static str]) -> Property {
    Property::new(name, Kind::Reference { menu, words, address: false })
}

/// A read-only statistic; `reset-counters` clears it.
const fn fact(name: &'static str) -> Property {
    text(name).read_only()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reference_names_a_menu_and_every_unique_rule_names_properties() {
        let paths: BTreeSet<&str> = menus().map(|menu| menu.path).collect();
        for release in [Release::new(6, 49), Release::new(7, 16), Release::new(7, 17), Release::new(7, 24)] {
            let here: BTreeSet<&str> = menus_of(release).map(|menu| menu.path).collect();
            assert_eq!(here.len(), menus_of(release).count(), "a path is declared twice in {release}");
        }
        for menu in menus() {
            for property in menu.properties {
                if let Kind::Reference { menu: other, .. } = property.kind {
                    assert!(paths.contains(other), "{}: {} names {other}", menu.path, property.name);
                }
            }
            for name in menu.unique.iter().flat_map(|unique| unique.properties) {
                assert!(
                    menu.properties.iter().any(|property| property.name == *name),
                    "{}: {name}",
                    menu.path
                );
            }
        }
    }

    #[test]
    fn no_menu_declares_a_property_twice_in_one_release() {
        for release in [Release::new(6, 49), Release::new(7, 9), Release::new(7, 18), Release::new(7, 24)] {
            for menu in menus() {
                let here = menu.properties.iter().filter(|property| property.exists_in(release));
                let names: Vec<&str> = here.map(|property| property.name).collect();
                let distinct: BTreeSet<&str> = names.iter().copied().collect();
                assert_eq!(distinct.len(), names.len(), "{} in {release}", menu.path);
            }
        }
    }

    #[test]
    fn a_directory_is_a_prefix_of_whole_segments() {
        let seven = Release::new(7, 18);
        assert!(is_directory("ppp", seven));
        assert!(is_directory("ppp/secret", seven));
        assert!(!is_directory("ppp/sec", seven));
    }
}
