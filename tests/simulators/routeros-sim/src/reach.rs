//! Whether a new TCP connection of a device would pass the router: `dstnat`, then `forward`, first match first.
//!
//! Pure over [`Engine`]. It reads the matchers that suspensions and walled gardens are made of (addresses, address
//! lists, protocol, ports, connection state) and says `undecided` at a rule that has any other, rather than guess.
//! No traffic is held back by it: [`crate::sessions`] moves what a test moves.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::Serialize;

use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::parse_ranges;

const LIST: &str = "ip/firewall/address-list";
/// How deep chains may jump; deeper is a loop.
const DEEPEST_JUMP: usize = 8;
/// How many rules one connection is held against, so that chains that jump to themselves end.
const MOST_RULES: usize = 100_000;

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Reach {
    /// It gets through.
    Allowed,
    /// A rule drops or rejects it.
    Dropped {
        /// The rule's `.id`.
        rule: String,
    },
    /// A rule of `dstnat` turns it aside; `forward` lets it.
    Redirected {
        /// The rule's `.id`.
        rule: String,
        /// Where to: `to-addresses` and `to-ports`, `router` for the router itself.
        to: String,
    },
    /// A rule has a matcher that is not read here.
    Undecided {
        /// The rule's `.id`.
        rule: String,
        /// The matcher.
        matcher: String,
    },
}

/// A new TCP connection.
struct Connection {
    from: Ipv4Addr,
    to: SocketAddrV4,
    /// Rules that it may still be held against.
    rules_left: usize,
}

/// What a chain says.
enum Said {
    Nothing,
    Matched(ItemId, Vec<u8>),
    Unread(ItemId, String),
}

/// Follows a new TCP connection through the rules.
pub(crate) fn follow(engine: &Engine, from: Ipv4Addr, to: SocketAddrV4) -> Reach {
    let mut connection = Connection { from, to, rules_left: MOST_RULES };
    let nat = "ip/firewall/nat";
    let aside = match ask(engine, nat, b"dstnat", &mut connection, 0) {
        Said::Unread(id, matcher) => return Reach::Undecided { rule: id.to_string(), matcher },
        Said::Matched(id, action) if action != b"accept" => Some((id, destination(engine, id, &action, to))),
        _ => None,
    };
    if let Some((id, None)) = &aside {
        // What ends at the router itself does not pass `forward`.
        return Reach::Redirected { rule: id.to_string(), to: "router".to_owned() };
    }
    let new_to = aside.as_ref().and_then(|(_, to)| *to).unwrap_or(to);
    connection.to = new_to;
    match ask(engine, "ip/firewall/filter", b"forward", &mut connection, 0) {
        Said::Unread(id, matcher) => Reach::Undecided { rule: id.to_string(), matcher },
        Said::Matched(id, action) if action != b"accept" => Reach::Dropped { rule: id.to_string() },
        _ => match aside {
            Some((id, _)) => Reach::Redirected { rule: id.to_string(), to: new_to.to_string() },
            None => Reach::Allowed,
        },
    }
}

/// Where `dst-nat` sends a connection; `None` is the router itself.
fn destination(engine: &Engine, rule: ItemId, action: &[u8], to: SocketAddrV4) -> Option<SocketAddrV4> {
    if action == b"redirect" {
        return None;
    }
    let text = |property: &str| engine.text("ip/firewall/nat", rule, property).unwrap_or_default();
    let address = parse(&text("to-addresses")).and_then(|ranges| ranges.first().map(|(first, _)| *first));
    let port = std::str::from_utf8(&text("to-ports")).ok().and_then(|port| port.parse().ok());
    Some(SocketAddrV4::new(address.unwrap_or(*to.ip()), port.unwrap_or(to.port())))
}

fn ask(engine: &Engine, menu: &'static str, chain: &[u8], connection: &mut Connection, depth: usize) -> Said {
    let Some(table) = engine.table(menu).filter(|_| depth < DEEPEST_JUMP) else { return Said::Nothing };
    for (id, _) in table.iter() {
        let text = |property: &str| engine.text(menu, id, property).unwrap_or_default();
        if text("chain") != chain || engine.is_set(menu, id, "disabled") {
            continue;
        }
        let Some(rules_left) = connection.rules_left.checked_sub(1) else { return Said::Nothing };
        connection.rules_left = rules_left;
        match matches(engine, menu, id, connection) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(matcher) => return Said::Unread(id, matcher.to_owned()),
        }
        let action = text("action");
        match action.as_slice() {
            b"accept" | b"drop" | b"reject" | b"tarpit" | b"redirect" | b"dst-nat" => {
                return Said::Matched(id, action);
            }
            b"return" => return Said::Nothing,
            b"jump" => match ask(engine, menu, &text("jump-target"), connection, depth.saturating_add(1)) {
                Said::Nothing => {}
                said => return said,
            },
            // Marks, logs and lists change nothing for this connection.
            _ => {}
        }
    }
    Said::Nothing
}

/// Properties that say what a rule does, not what it matches.
const NO_MATCHERS: &[&str] = &[
    "chain",
    "action",
    "log",
    "log-prefix",
    "bytes",
    "packets",
    "invalid",
    "dynamic",
    "disabled",
    "comment",
    "to-addresses",
    "to-ports",
    "jump-target",
    "reject-with",
    "address-list",
    "address-list-timeout",
    "hw-offload",
    "randomise-ports",
    "same-not-by-dst",
];

/// Whether every matcher of a rule matches; the name of the first that is not read here.
fn matches(
    engine: &Engine,
    menu: &'static str,
    id: ItemId,
    connection: &Connection,
) -> Result<bool, &'static str> {
    let Some(table) = engine.table(menu) else { return Ok(false) };
    for property in table.menu.properties.iter().filter(|property| !NO_MATCHERS.contains(&property.name)) {
        let Some(text) = engine.text(menu, id, property.name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let (is_negated, wanted) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text.as_slice()),
        };
        let is_in = |address: Ipv4Addr| parse(wanted).is_some_and(|ranges| contains(&ranges, address));
        let is_so = match property.name {
            "src-address" => is_in(connection.from),
            "dst-address" => is_in(*connection.to.ip()),
            "src-address-list" => is_listed(engine, wanted, connection.from),
            "dst-address-list" => is_listed(engine, wanted, *connection.to.ip()),
            "protocol" => wanted == b"tcp" || wanted == b"6",
            "dst-port" => has_port(wanted, connection.to.port()),
            "connection-state" => wanted.split(|byte| *byte == b',').any(|state| state == b"new"),
            other => return Err(other),
        };
        if is_so == is_negated {
            return Ok(false);
        }
    }
    Ok(true)
}

fn parse(text: &[u8]) -> Option<Vec<(Ipv4Addr, Ipv4Addr)>> {
    std::str::from_utf8(text).ok().and_then(parse_ranges)
}

fn contains(ranges: &[(Ipv4Addr, Ipv4Addr)], address: Ipv4Addr) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&address))
}

/// An entry that is no address is taken for a DNS name, and matches nothing here.
fn is_listed(engine: &Engine, list: &[u8], address: Ipv4Addr) -> bool {
    let entries = engine.table(LIST).into_iter().flat_map(|table| table.iter().map(|(id, _)| id));
    entries.filter(|id| !engine.is_set(LIST, *id, "disabled")).any(|id| {
        engine.text(LIST, id, "list").as_deref() == Some(list)
            && engine
                .text(LIST, id, "address")
                .and_then(|text| parse(&text))
                .is_some_and(|ranges| contains(&ranges, address))
    })
}

/// Ports as `80,443` and `8000-8100`.
fn has_port(wanted: &[u8], port: u16) -> bool {
    let text = String::from_utf8_lossy(wanted);
    text.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
    })
}
