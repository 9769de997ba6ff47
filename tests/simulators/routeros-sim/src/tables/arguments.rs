//! Which commands and arguments each release knows, from `data/arguments.txt`.
//!
//! The facts are those of public console-inspect dumps of 13 releases from 7.9 to 7.24. A release between two
//! dumps is as the earlier one. No dump of RouterOS 6 exists: it is the 7.9 table without [`SIX_LACKS`], which is
//! inferred. What a property holds is declared in the files beside this one, and [`super::menus`] joins the two.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{EARLIEST, NEVER, Verb};
use crate::release::Release;

const FACTS: &str = include_str!("../../data/arguments.txt");

/// The first release of RouterOS 7, and so of what RouterOS 6 lacks.
const SEVEN: Release = Release::new(7, 0);

/// What the 7.9 table has and 6.49 has not, by menu. Inferred from the release notes of 7.x, not from a dump.
const SIX_LACKS: &[(&str, &[&str])] = &[
    (
        "interface/ovpn-server/server",
        &[
            "protocol",
            "redirect-gateway",
            "enable-tun-ipv6",
            "ipv6-prefix-len",
            "tun-server-ipv6",
            "reneg-sec",
            "tls-version",
        ],
    ),
    (
        "interface/l2tp-server/server",
        &[
            "accept-proto-version",
            "accept-pseudowire-type",
            "l2tpv3-circuit-id",
            "l2tpv3-cookie-length",
            "l2tpv3-digest-hash",
            "l2tpv3-ether-interface-list",
        ],
    ),
    ("ip/service", &["vrf"]),
    ("ip/dns", &["doh-max-concurrent-queries", "doh-max-server-connections", "doh-timeout"]),
    ("ip/firewall/address-list", &["dynamic"]),
    ("ip/firewall/filter", &["hw-offload"]),
    ("certificate", &["digest-algorithm"]),
];

/// The releases that know something: from the first on, until before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) since: Release,
    pub(crate) until: Release,
}

impl Span {
    const ALWAYS: Self = Self { since: EARLIEST, until: NEVER };

    fn contains(self, release: Release) -> bool {
        self.since <= release && release < self.until
    }
}

/// A command as the dumps know it.
#[derive(Debug)]
struct Known {
    span: Span,
    arguments: Vec<(&'static str, Span)>,
}

type Facts = HashMap<&'static str, HashMap<&'static str, Known>>;

static KNOWN: LazyLock<Facts> = LazyLock::new(|| {
    let mut facts = Facts::new();
    for (menu, command, known) in FACTS.lines().filter_map(parse) {
        facts.entry(menu).or_default().insert(command, known);
    }
    facts
});

fn parse(line: &'static str) -> Option<(&'static str, &'static str, Known)> {
    if line.starts_with('#') {
        return None;
    }
    let (command, arguments) = line.split_once(':')?;
    let (menu, command) = command.split_once(' ')?;
    let (command, span) = spanned(command)?;
    let lacks = SIX_LACKS.iter().find(|(path, _)| *path == menu).map_or(&[][..], |(_, names)| names);
    let argument = |word: &'static str| {
        let (name, span) = spanned(word)?;
        let is_of_seven = span.since == EARLIEST && lacks.contains(&name);
        Some((name, if is_of_seven { Span { since: SEVEN, ..span } } else { span }))
    };
    let arguments = arguments.split_ascii_whitespace().map(argument).collect::<Option<_>>()?;
    Some((menu, command, Known { span, arguments }))
}

/// Reads `name`, `name@7.17`, `name@..7.16` and `name@7.20..7.23`.
fn spanned(word: &'static str) -> Option<(&'static str, Span)> {
    let Some((name, range)) = word.split_once('@') else { return Some((word, Span::ALWAYS)) };
    let (since, until) = range.split_once("..").unwrap_or((range, ""));
    let read = |text: &str, open: Release| if text.is_empty() { Some(open) } else { text.parse().ok() };
    Some((name, Span { since: read(since, EARLIEST)?, until: read(until, NEVER)? }))
}

/// The word of a command in the dumps.
pub(crate) fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Print => "print",
        Verb::Get => "get",
        Verb::Listen => "listen",
        Verb::Add => "add",
        Verb::Set => "set",
        Verb::Remove => "remove",
        Verb::Enable => "enable",
        Verb::Unset => "unset",
        Verb::Comment => "comment",
        Verb::Move => "move",
        Verb::ResetCounters => "reset-counters",
        Verb::LogIn => "login",
        Verb::Sign => "sign",
        Verb::Run => "run",
    }
}

/// Whether dumps tell of this menu.
pub(crate) fn covers(menu: &str) -> bool {
    KNOWN.contains_key(menu)
}

/// Whether a release has this command; `None` when no dump tells.
pub(crate) fn has(menu: &str, verb: Verb, release: Release) -> Option<bool> {
    // The console has no `listen`, and dumps are cut of `get` and of what the console alone does.
    if matches!(verb, Verb::Get | Verb::Listen | Verb::Sign | Verb::Run) {
        return None;
    }
    let commands = KNOWN.get(menu)?;
    Some(commands.get(word(verb)).is_some_and(|known| known.span.contains(release)))
}

/// Whether a release's command knows this argument; `None` when no dump tells.
pub(crate) fn knows(menu: &str, verb: Verb, name: &str, release: Release) -> Option<bool> {
    let known = KNOWN.get(menu)?.get(word(verb))?;
    let is_it = |(argument, span): &(&str, Span)| *argument == name && span.contains(release);
    Some(known.arguments.iter().any(is_it))
}

/// Everything that `add` and `set` of a menu take in some release, with the releases that take it.
pub(crate) fn writable(menu: &str) -> Vec<(&'static str, Span)> {
    let mut found: Vec<(&'static str, Span)> = Vec::new();
    let commands = KNOWN.get(menu);
    for verb in ["add", "set"] {
        let known = commands.and_then(|commands| commands.get(verb));
        for (name, span) in known.into_iter().flat_map(|known| &known.arguments) {
            match found.iter_mut().find(|(other, _)| other == name) {
                Some((_, whole)) => {
                    *whole = Span { since: whole.since.min(span.since), until: whole.until.max(span.until) };
                }
                None => found.push((name, *span)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Menu, menus, menus_of};

    const RELEASES: [Release; 8] = [
        Release::new(6, 49),
        Release::new(7, 9),
        Release::new(7, 12),
        Release::new(7, 16),
        Release::new(7, 18),
        Release::new(7, 20),
        Release::new(7, 22),
        Release::new(7, 24),
    ];

    #[test]
    fn every_line_is_read() {
        for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
            assert!(parse(line).is_some(), "{line}");
        }
        assert!(KNOWN.len() > 35, "{}", KNOWN.len());
    }

    #[test]
    fn an_argument_is_known_where_its_release_has_it() {
        let check = |menu: &str, verb, name: &str, release: (u16, u16), expected| {
            let found = knows(menu, verb, name, Release::new(release.0, release.1));
            assert_eq!(found, expected, "{menu} {name} {release:?}");
        };
        check("ppp/profile", Verb::Add, "bridge-port-vid", (7, 16), Some(false));
        check("ppp/profile", Verb::Add, "bridge-port-vid", (7, 17), Some(true));
        check("ip/hotspot/user", Verb::Set, "totp-secret", (7, 21), Some(true));
        check("ip/hotspot/user", Verb::Set, "totp-secret", (7, 22), Some(false));
        check("ppp/secret", Verb::Print, "show-sensitive", (7, 20), Some(false));
        check("ip/firewall/filter", Verb::Set, "place-before", (7, 18), Some(false));
        check("ip/service", Verb::Set, "vrf", (6, 49), Some(false));
        check("ip/service", Verb::Set, "vrf", (7, 9), Some(true));
        check("ip/arp", Verb::Add, "address", (7, 18), None);
    }

    /// What the simulator has and the dumps have not, or the other way round, said aloud.
    const DIFFERENCES: &[(&str, &str, &str)] = &[
        ("ip/hotspot/active", "add set comment", "releases before 7.21 list them, and they do nothing"),
        ("ip/service", "unset", "releases before 7.17 list it"),
        ("user/active", "add remove", "the API's own sessions are not ended through it"),
        ("system/package", "enable", "packages are facts of the simulated router"),
    ];

    fn is_excused(menu: &Menu, verb: Verb) -> bool {
        let excuses = DIFFERENCES.iter().filter(|(path, ..)| *path == menu.path);
        excuses.flat_map(|(_, verbs, _)| verbs.split(' ')).any(|excused| excused == word(verb))
    }

    #[test]
    fn commands_are_those_of_the_dumps_but_for_what_is_said_aloud() {
        let verbs = [
            Verb::Print,
            Verb::Add,
            Verb::Set,
            Verb::Remove,
            Verb::Enable,
            Verb::Unset,
            Verb::Comment,
            Verb::Move,
            Verb::ResetCounters,
            Verb::LogIn,
        ];
        for release in RELEASES {
            for menu in menus_of(release).filter(|menu| covers(menu.path)) {
                for verb in verbs.into_iter().filter(|verb| !is_excused(menu, *verb)) {
                    let is_in_dump = has(menu.path, verb, release) == Some(true);
                    assert_eq!(menu.has(verb, release), is_in_dump, "{} {verb:?} in {release}", menu.path);
                }
            }
        }
    }

    #[test]
    fn no_command_is_declared_that_no_dump_has() {
        for menu in menus().filter(|menu| covers(menu.path)) {
            for verb in menu.verbs {
                let is_in_some =
                    RELEASES.iter().any(|release| has(menu.path, *verb, *release) != Some(false));
                assert!(is_in_some, "{} {verb:?}", menu.path);
            }
        }
    }

    #[test]
    fn every_argument_of_the_dumps_is_a_property_and_no_other_can_be_written() {
        let words = ["numbers", "copy-from", "place-before"];
        for release in RELEASES {
            for menu in menus_of(release).filter(|menu| covers(menu.path)) {
                for (name, _) in writable(menu.path).iter().filter(|(name, _)| !words.contains(name)) {
                    let is_known = [Verb::Add, Verb::Set].iter().any(|verb| {
                        menu.has(*verb, release) && knows(menu.path, *verb, name, release) == Some(true)
                    });
                    let is_there = menu.position(name, release).is_some();
                    assert!(is_there || !is_known, "{} {name} in {release}", menu.path);
                }
            }
        }
        for menu in menus().filter(|menu| covers(menu.path)) {
            for property in menu.properties.iter().filter(|property| !property.is_read_only) {
                let is_known = writable(menu.path).iter().any(|(name, _)| *name == property.name);
                assert!(is_known, "{} {} is in no dump", menu.path, property.name);
            }
        }
    }
}
