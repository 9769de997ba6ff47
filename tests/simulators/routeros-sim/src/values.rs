//! What a property holds, how it is read from a word and how it is printed in one.
//!
//! Words in are checked against the property's [`Kind`]; words out are what a client compares its
//! queries with. References are kept by id, so a row whose target is removed prints the bare id, as
//! a real router does. Where rows live is [`crate::store`].

use std::net::Ipv4Addr;

use crate::printing;
use crate::release::Release;
use crate::store::ItemId;
use crate::tables::{Kind, Property, every_policy, policies_of};

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The printed bytes themselves.
    Text(Vec<u8>),
    /// A row of the menu that the property's kind names.
    Reference(ItemId),
    /// Printed as the duration since this monotonic millisecond.
    Since(u64),
    /// Printed as the duration until this monotonic millisecond; `0s` once past.
    Until(u64),
    /// A duration in milliseconds that grows by additions.
    Span(u64),
    /// A counter.
    Count(u64),
    /// Two counters, printed `first/second`.
    Pair(u64, u64),
    /// A date: milliseconds since 1970.
    Date(i64),
    /// The time of a log line: milliseconds since 1970.
    LogTime(i64),
    /// The date of now.
    ClockDate,
    /// The time of now.
    ClockTime,
    /// The offset of the router's zone.
    ClockOffset,
}

impl Value {
    /// A text value.
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// `true` or `false`.
    #[must_use]
    pub(crate) fn flag(is_set: bool) -> Self {
        Self::text(if is_set { "true" } else { "false" })
    }
}

/// What printing depends on beside the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// Whose date format.
    pub release: Release,
    /// Monotonic milliseconds now.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970 now.
    pub unix_ms: i64,
    /// Minutes east of Greenwich of the router's zone.
    pub offset_minutes: i32,
}

impl Dialect {
    /// The words of any value but a reference, which needs the other row.
    #[must_use]
    pub(crate) fn print(&self, value: &Value) -> Vec<u8> {
        let zone = self.offset_minutes;
        match value {
            Value::Text(bytes) => return bytes.clone(),
            Value::Reference(id) => id.to_string(),
            Value::Since(start_ms) => printing::seconds_text(self.monotonic_ms.saturating_sub(*start_ms)),
            Value::Until(end_ms) => printing::seconds_text(end_ms.saturating_sub(self.monotonic_ms)),
            Value::Span(span_ms) => printing::seconds_text(*span_ms),
            Value::Count(count) => count.to_string(),
            Value::Pair(first, second) => format!("{first}/{second}"),
            Value::Date(at) => printing::date_text(*at, zone, self.release),
            Value::LogTime(at) => printing::log_time_text(*at, self.unix_ms, zone, self.release),
            Value::ClockDate => printing::clock_date_text(self.unix_ms, zone, self.release),
            Value::ClockTime => printing::clock_time_text(self.unix_ms, zone),
            Value::ClockOffset => printing::offset_text(zone),
        }
        .into_bytes()
    }
}

/// Why a word cannot be the value of a property; the text is the message of the trap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not one of the words, or not the name of a row.
    #[error("input does not match any value of {0}")]
    NoMatch(&'static str),
    /// Not of the form that the property wants.
    #[error("invalid value for argument {0}")]
    Invalid(&'static str),
    /// A number outside its bounds.
    #[error("value of {name} out of range ({least}..{most})")]
    OutOfRange {
        /// The property.
        name: &'static str,
        /// The least number.
        least: u64,
        /// The greatest number.
        most: u64,
    },
}

/// Reads `word` as a value of `property`. `Ok(None)` clears the property.
///
/// `find` looks a row up by name in another menu; `previous` is what the property holds now (a group's
/// policies change one by one); `now_ms` is the monotonic clock, from which an expiry counts.
///
/// # Errors
/// [`ValueError`] with the message that the router would send.
pub(crate) fn read(
    property: &Property,
    word: &[u8],
    previous: Option<&Value>,
    now_ms: u64,
    release: Release,
    find: impl Fn(&'static str, &[u8]) -> Option<ItemId>,
) -> Result<Option<Value>, ValueError> {
    let name = property.name;
    let invalid = || ValueError::Invalid(name);
    let no_match = || ValueError::NoMatch(name);
    if word.is_empty() && !matches!(property.kind, Kind::Flag | Kind::Choice(_) | Kind::Policies) {
        return Ok(None);
    }
    if let Kind::Text | Kind::Secret = property.kind {
        return Ok(Some(Value::text(word)));
    }
    if let Kind::Reference { menu, words, address } = property.kind {
        if let Some(literal) = words.iter().find(|literal| literal.as_bytes() == word) {
            return Ok(Some(Value::text(literal)));
        }
        if address && let Some(address) = parse_address(word) {
            return Ok(Some(Value::text(address.to_string())));
        }
        return find(menu, word).map(|id| Some(Value::Reference(id))).ok_or_else(no_match);
    }
    let text = std::str::from_utf8(word).map_err(|_| invalid())?;
    let canonical = match property.kind {
        Kind::Text | Kind::Secret | Kind::Reference { .. } => text.to_owned(),
        Kind::Flag => parse_flag(text).ok_or_else(invalid)?.to_owned(),
        Kind::Choice(words) => {
            (*words.iter().find(|literal| **literal == text).ok_or_else(no_match)?).to_owned()
        }
        Kind::Choices(words) => {
            let known = text.split(',').all(|part| words.contains(&part));
            if known { text.to_owned() } else { return Err(no_match()) }
        }
        Kind::Policies => policies_text(text, previous, release).ok_or_else(no_match)?,
        Kind::Number { words, .. } | Kind::Duration(words) if words.contains(&text) => text.to_owned(),
        Kind::Number { least, most, .. } => {
            let number: u64 = text.parse().map_err(|_| invalid())?;
            if !(least..=most).contains(&number) {
                return Err(ValueError::OutOfRange { name, least, most });
            }
            number.to_string()
        }
        Kind::Duration(_) => printing::duration_text(printing::parse_duration(text).ok_or_else(invalid)?),
        Kind::Expiry => {
            let duration_ms = printing::parse_duration(text).ok_or_else(invalid)?;
            if duration_ms > LONGEST_EXPIRY_MS {
                return Err(invalid());
            }
            return Ok((duration_ms > 0).then(|| Value::Until(now_ms.saturating_add(duration_ms))));
        }
        Kind::RateLimit => printing::parse_rate_limit(text).map(|_| text.to_owned()).ok_or_else(invalid)?,
        Kind::RatePair => {
            let (upload, download) = printing::parse_rate_pair(text).ok_or_else(invalid)?;
            return Ok(Some(Value::Pair(upload, download)));
        }
        Kind::Address => parse_address(word).ok_or_else(invalid)?.to_string(),
        Kind::AddressSet => address_set_text(text),
        Kind::Mac => parse_mac(text).ok_or_else(invalid)?,
        Kind::Caller => parse_mac(text).unwrap_or_else(|| text.to_owned()),
        Kind::Ranges => parse_ranges(text).map(|_| text.to_owned()).ok_or_else(invalid)?,
    };
    Ok(Some(Value::text(canonical)))
}

/// The longest timeout of an address-list entry: 35w3d13h13m56s, in the manual.
const LONGEST_EXPIRY_MS: u64 = 21_474_836_000;

fn parse_flag(text: &str) -> Option<&'static str> {
    match text {
        "yes" | "true" => Some("true"),
        "no" | "false" => Some("false"),
        _ => None,
    }
}

/// Reads an IPv4 address.
#[must_use]
pub(crate) fn parse_address(word: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// A MAC address in capitals, or `None`.
#[must_use]
pub(crate) fn parse_mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let sound = parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    sound.then(|| text.to_ascii_uppercase())
}

/// The ranges of a pool, ends included.
#[must_use]
pub(crate) fn parse_ranges(text: &str) -> Option<Vec<(Ipv4Addr, Ipv4Addr)>> {
    text.split(',')
        .map(|range| {
            let (first, last) = match range.split_once('/') {
                Some((base, bits)) => prefix_ends(base, bits)?,
                None => {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    (first.trim().parse().ok()?, last.trim().parse().ok()?)
                }
            };
            (first <= last).then_some((first, last))
        })
        .collect()
}

fn prefix_ends(base: &str, bits: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let base: Ipv4Addr = base.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    let host_mask = u32::MAX.checked_shr(bits).unwrap_or(0);
    Some((Ipv4Addr::from(u32::from(base) & !host_mask), Ipv4Addr::from(u32::from(base) | host_mask)))
}

/// Prefixes lose their host bits; what is no address at all is kept, because the router takes it for a
/// DNS name.
fn address_set_text(text: &str) -> String {
    let Some((base, bits)) = text.split_once('/') else { return text.to_owned() };
    match prefix_ends(base, bits) {
        Some((first, _)) if bits == "32" => first.to_string(),
        Some((first, _)) => format!("{first}/{bits}"),
        None => text.to_owned(),
    }
}

/// Every policy, granted or with `!`. Policies that `text` does not name stay as they are in `previous`;
/// on a new group they are not granted.
fn policies_text(text: &str, previous: Option<&Value>, release: Release) -> Option<String> {
    let policies = policies_of(release);
    let mut granted: Vec<&str> = match previous {
        Some(Value::Text(bytes)) => granted_policies(bytes).collect(),
        _ => Vec::new(),
    };
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (name, is_granted) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
        let name = policies.iter().find(|policy| **policy == name)?;
        granted.retain(|policy| policy != name);
        if is_granted {
            granted.push(name);
        }
    }
    let words = policies
        .iter()
        .map(|policy| if granted.contains(policy) { (*policy).to_owned() } else { format!("!{policy}") });
    Some(words.collect::<Vec<_>>().join(","))
}

/// The policies that a group's `policy` text grants.
pub(crate) fn granted_policies(text: &[u8]) -> impl Iterator<Item = &'static str> {
    every_policy().filter(|policy| text.split(|byte| *byte == b',').any(|word| word == policy.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::menus;

    fn check(menu: &str, name: &str, word: &str, expected: Result<Option<&str>, &str>) {
        let menu = menus().find(|candidate| candidate.path == menu).unwrap();
        let property = menu.properties.iter().find(|candidate| candidate.name == name).unwrap();
        let dialect =
            Dialect { release: Release::new(7, 18), monotonic_ms: 0, unix_ms: 0, offset_minutes: 0 };
        let pool = |_: &str, name: &[u8]| (name == b"pool1").then_some(ItemId::new(2));
        let read = read(property, word.as_bytes(), None, 0, Release::new(7, 18), pool)
            .map(|value| value.map(|value| String::from_utf8(dialect.print(&value)).unwrap()))
            .map_err(|error| error.to_string());
        let read = read.as_ref().map(Option::as_deref).map_err(String::as_str);
        assert_eq!(read, expected, "{name}={word}");
    }

    #[test]
    fn words_are_read_as_their_kind_and_printed_as_the_router_prints() {
        check("ppp/secret", "disabled", "yes", Ok(Some("true")));
        check("ppp/secret", "disabled", "maybe", Err("invalid value for argument disabled"));
        check("ppp/secret", "service", "pppoe", Ok(Some("pppoe")));
        check("ppp/secret", "service", "dialup", Err("input does not match any value of service"));
        check("ppp/secret", "profile", "gone", Err("input does not match any value of profile"));
        check("ppp/secret", "caller-id", "aa:bb:cc:00:00:01", Ok(Some("AA:BB:CC:00:00:01")));
        check("ppp/secret", "remote-address", "10.0.0.300", Err("invalid value for argument remote-address"));
        check("ppp/secret", "limit-bytes-in", "10737418240", Ok(Some("10737418240")));
        check("ppp/secret", "comment", "", Ok(None));
        check("ppp/profile", "remote-address", "pool1", Ok(Some("*2")));
        check("ppp/profile", "remote-address", "10.0.0.1", Ok(Some("10.0.0.1")));
        check("ppp/profile", "rate-limit", "5M/20M", Ok(Some("5M/20M")));
        check("ppp/profile", "rate-limit", "quick", Err("invalid value for argument rate-limit"));
        check("ip/service", "max-sessions", "0", Err("value of max-sessions out of range (1..1000)"));
        check("ip/hotspot/user", "limit-uptime", "90", Ok(Some("1m30s")));
        check("queue/simple", "max-limit", "5M/20M", Ok(Some("5000000/20000000")));
        check("ip/firewall/address-list", "address", "10.1.2.3/24", Ok(Some("10.1.2.0/24")));
        check("ip/firewall/address-list", "address", "203.0.113.1-254", Ok(Some("203.0.113.1-254")));
        check("ip/firewall/address-list", "timeout", "1h", Ok(Some("1h")));
        check("ip/firewall/address-list", "timeout", "36w", Err("invalid value for argument timeout"));
        check("ip/pool", "ranges", "10.0.0.9-10.0.0.2", Err("invalid value for argument ranges"));
    }

    #[test]
    fn a_new_group_is_granted_only_what_it_names_and_a_changed_one_only_loses_what_is_negated() {
        let seven = Release::new(7, 18);
        let new = policies_text("read,api", None, seven).unwrap();
        assert_eq!(granted_policies(new.as_bytes()).collect::<Vec<_>>(), ["read", "api"]);
        let changed = policies_text("write,!api", Some(&Value::text(&new)), seven).unwrap();
        assert_eq!(granted_policies(changed.as_bytes()).collect::<Vec<_>>(), ["read", "write"]);
        assert_eq!(policies_text("fly", None, seven), None);
        assert_eq!(policies_text("dude", None, seven), None);
        assert_eq!(policies_text("rest-api", None, Release::new(6, 49)), None);
    }
}
