//! Lines of `/log`: which buffers a line goes to, by the rules of `/system/logging`, and how long they keep it.
//!
//! A rule matches a line that has all of its topics and none that it negates. A line is kept once in every memory
//! buffer that some rule leads to, as `buffer` tells; the oldest line of a full buffer makes room, or with
//! `memory-stop-on-full` the new one is not kept. Other targets than memory keep nothing here.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::store::ItemId;
use crate::values::Value;

/// Topics of the line that every API login and logout writes.
pub(crate) const ACCOUNT: &str = "system,info,account";
/// Topics of a failed login.
pub(crate) const LOGIN_FAILURE: &str = "system,error,critical";

const RULE: &str = "system/logging";
const ACTION: &str = "system/logging/action";
const LOG: &str = "log";
/// What a buffer keeps when its action does not say; the router's own default.
const USUAL_LINES: usize = 1000;

/// The lines of each memory buffer, oldest first.
pub(crate) type Buffers = HashMap<Vec<u8>, VecDeque<ItemId>>;

/// Writes a line.
pub(crate) fn write(engine: &mut Engine, topics: &str, message: impl AsRef<[u8]>, now: Moment) {
    for target in targets(engine, topics) {
        let lines = engine.buffers_mut().entry(target.buffer.clone()).or_default();
        if target.stops_when_full && lines.len() >= target.most_lines {
            continue;
        }
        let excess = lines.len().saturating_add(1).saturating_sub(target.most_lines);
        let oldest: Vec<ItemId> = lines.drain(..excess.min(lines.len())).collect();
        oldest.into_iter().for_each(|id| engine.forget(LOG, id));
        let mut text = target.prefix;
        if !text.is_empty() {
            text.extend_from_slice(b": ");
        }
        text.extend_from_slice(message.as_ref());
        let id = engine.place(
            LOG,
            &[
                ("time", Value::LogTime(now.unix_ms)),
                ("topics", Value::text(topics)),
                ("message", Value::Text(text)),
                ("buffer", Value::text(&target.buffer)),
            ],
            None,
        );
        engine.buffers_mut().entry(target.buffer).or_default().extend(id);
    }
}

/// A memory buffer that wants a line.
struct Target {
    buffer: Vec<u8>,
    prefix: Vec<u8>,
    most_lines: usize,
    stops_when_full: bool,
}

fn targets(engine: &Engine, topics: &str) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    let rules = engine.table(RULE).into_iter().flat_map(|table| table.iter().map(|(id, _)| id));
    for rule in rules.filter(|rule| !engine.is_set(RULE, *rule, "disabled")) {
        if !matches(&engine.text(RULE, rule, "topics").unwrap_or_default(), topics) {
            continue;
        }
        let Some(action) = engine.referenced(RULE, rule, "action") else { continue };
        let text = |property: &str| engine.text(ACTION, action, property).unwrap_or_default();
        let buffer = text("name");
        if text("target") != b"memory" || found.iter().any(|target| target.buffer == buffer) {
            continue;
        }
        let most_lines = std::str::from_utf8(&text("memory-lines")).ok().and_then(|text| text.parse().ok());
        found.push(Target {
            buffer,
            prefix: engine.text(RULE, rule, "prefix").unwrap_or_default(),
            most_lines: most_lines.unwrap_or(USUAL_LINES),
            stops_when_full: engine.is_set(ACTION, action, "memory-stop-on-full"),
        });
    }
    found
}

/// Whether a line with `topics` has every topic of a rule, and none of those with an exclamation mark.
fn matches(rule: &[u8], topics: &str) -> bool {
    let has = |wanted: &[u8]| topics.split(',').any(|topic| topic.as_bytes() == wanted);
    rule.split(|byte| *byte == b',').filter(|word| !word.is_empty()).all(|word| {
        match word.strip_prefix(b"!") {
            Some(unwanted) => !has(unwanted),
            None => has(word),
        }
    })
}

/// Writes `user NAME VERB from ADDRESS via api`.
pub(crate) fn write_access(
    engine: &mut Engine,
    topics: &str,
    name: &str,
    verb: &str,
    from: IpAddr,
    now: Moment,
) {
    let message = match topics {
        LOGIN_FAILURE => format!("login failure for user {name} from {from} via api"),
        _ => format!("user {name} {verb} from {from} via api"),
    };
    write(engine, topics, message, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_wants_all_of_its_topics_and_none_that_it_negates() {
        let check = |rule: &str, expected| {
            assert_eq!(matches(rule.as_bytes(), "pppoe,ppp,info,account"), expected, "{rule}");
        };
        check("info", true);
        check("ppp,account", true);
        check("ppp,error", false);
        check("info,!debug", true);
        check("info,!account", false);
        check("", true);
    }
}
