//! Rows of somebody else that stand before ours and take what is meant for them.
//!
//! Pure. Simple queues and bindings of a hotspot are first match, and the agent moves no row of others: whatever stands
//! above catches the same customer, who then has another speed, is not counted, or is blocked. What matches by interface or
//! by mark cannot be judged from here, and is left.

use std::net::Ipv4Addr;

use super::super::facts::{Facts, ROWS_AT_MOST, Row, is_set, text};
use super::super::finding::Finding;
use crate::reconcile::actual::MARK;

/// Of a long list, so many are told one by one.
const TOLD: usize = 5;

fn is_ours(row: &Row) -> bool {
    text(row, "comment").is_some_and(|comment| comment.starts_with(MARK))
}

/// Pairs of a row of somebody else and the first of ours below it that it catches.
fn above(rows: &[Row], catches: impl Fn(&Row, &Row) -> bool) -> Vec<(&Row, &Row)> {
    let is_in_force = |row: &&Row| !is_set(row, "disabled") && !is_set(row, "invalid");
    let mut found = Vec::new();
    for (index, foreign) in rows.iter().enumerate() {
        if is_ours(foreign) || !is_in_force(&foreign) {
            continue;
        }
        let below = rows.iter().skip(index.saturating_add(1)).filter(|row| is_ours(row));
        let caught = below.filter(is_in_force).find(|own| catches(foreign, own));
        found.extend(caught.map(|own| (foreign, own)));
    }
    found
}

fn told(
    facts: &Facts,
    question: &str,
    check: &'static str,
    found: Vec<(&Row, &Row)>,
    say: impl Fn(&Row, &Row) -> (String, String),
) -> Vec<Finding> {
    let count = found.len();
    let mut findings: Vec<Finding> = found
        .into_iter()
        .take(TOLD)
        .map(|(foreign, own)| {
            let (detail, cure) = say(foreign, own);
            Finding::doubtful(check, detail, cure)
        })
        .collect();
    if count > TOLD {
        let more = count.saturating_sub(TOLD);
        findings.push(Finding::doubtful(check, format!("and {more} more like these"), "as above"));
    }
    let rows = facts.rows(question);
    if findings.is_empty() && rows.iter().any(is_ours) {
        let of = if rows.len() < ROWS_AT_MOST { "" } else { ", as far as it was read" };
        findings.push(Finding::good(check, format!("nothing stands before ours{of}")));
    }
    findings
}

/// Queues of somebody else above ours for the same addresses.
pub(super) fn queues(facts: &Facts) -> Vec<Finding> {
    let catches = |foreign: &Row, own: &Row| {
        let is_whole = |property: &str| {
            text(foreign, property).is_none_or(|value| matches!(value, "0.0.0.0/0" | "::/0" | "no-mark"))
        };
        let own: Vec<Prefix> = prefixes(text(own, "target"));
        let is_caught = |theirs: &Prefix| own.iter().any(|own| theirs.overlaps(*own));
        is_whole("packet-marks") && is_whole("dst") && prefixes(text(foreign, "target")).iter().any(is_caught)
    };
    told(facts, "queues", "queues", above(facts.rows("queues"), catches), |foreign, own| {
        let named = |row: &Row| text(row, "name").unwrap_or("?").to_owned();
        let (foreign_name, own_name) = (named(foreign), named(own));
        let target = text(foreign, "target").unwrap_or("everything");
        (
            format!(
                "the queue {foreign_name} for {target} stands before ours, {own_name}: it takes that customer's traffic, which then has its speed and is not counted"
            ),
            format!(
                "put it below ours, disable it or take it away: /queue simple disable [find name=\"{foreign_name}\"]"
            ),
        )
    })
}

/// Bindings of somebody else above ours for the same device.
pub(super) fn bindings(facts: &Facts) -> Vec<Finding> {
    let catches = |foreign: &Row, own: &Row| {
        let is_same = |property: &str| {
            text(foreign, property)
                .zip(text(own, property))
                .is_some_and(|(theirs, ours)| theirs.eq_ignore_ascii_case(ours))
        };
        // One that names both catches who has both.
        let may_be = |property: &str| text(foreign, property).is_none() || is_same(property);
        let is_named = is_same("mac-address") || is_same("address");
        is_named
            && (may_be("mac-address") || text(own, "mac-address").is_none())
            && (may_be("address") || text(own, "address").is_none())
    };
    told(facts, "bindings", "bindings", above(facts.rows("bindings"), catches), |foreign, own| {
        let device = text(foreign, "mac-address").or_else(|| text(foreign, "address")).unwrap_or("?");
        let (kind, line) = (text(foreign, "type").unwrap_or("regular"), text(own, "comment").unwrap_or("?"));
        let property = if text(foreign, "mac-address").is_some() { "mac-address" } else { "address" };
        (
            format!(
                "a binding ({kind}) for {device} stands before ours ({line}): the hotspot does what it says"
            ),
            format!(
                "disable it or take it away: /ip hotspot ip-binding disable [find {property}={device} !(comment~\"^{MARK}\")]"
            ),
        )
    })
}

/// Addresses of a queue's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    address: u32,
    length: u32,
}

impl Prefix {
    const ALL: Self = Self { address: 0, length: 0 };

    /// `10.0.0.0/24`, or one address; `None` for an interface and for IPv6.
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let (address, length): (Ipv4Addr, u32) = (address.parse().ok()?, length.parse().ok()?);
        (length <= 32).then(|| Self { address: address.into(), length })
    }

    fn overlaps(self, other: Self) -> bool {
        let wider = self.length.min(other.length);
        let bits = 32_u32.saturating_sub(wider);
        let beginning = |address: u32| address.checked_shr(bits).unwrap_or(0);
        beginning(self.address) == beginning(other.address)
    }
}

/// A target that is empty is everything.
fn prefixes(target: Option<&str>) -> Vec<Prefix> {
    target.map_or_else(|| vec![Prefix::ALL], |target| target.split(',').filter_map(Prefix::parse).collect())
}
