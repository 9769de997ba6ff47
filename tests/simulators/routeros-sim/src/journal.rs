//! Lines of `/log`: the memory buffer of 1000 lines that RouterOS keeps by default.

use std::net::IpAddr;

use crate::clock::Moment;
use crate::engine::Engine;
use crate::values::Value;

/// The default `memory-lines` of the memory action.
const MOST_LINES: usize = 1000;

/// Topics of the line that every API login and logout writes.
pub(crate) const ACCOUNT: &str = "system,info,account";
/// Topics of a failed login.
pub(crate) const LOGIN_FAILURE: &str = "system,error,critical";

/// Writes a line; the oldest one makes room.
pub(crate) fn write(engine: &mut Engine, topics: &str, message: impl AsRef<[u8]>, now: Moment) {
    if engine.table("log").is_some_and(|table| table.len() >= MOST_LINES) {
        engine.forget_oldest("log");
    }
    engine.place(
        "log",
        &[
            ("time", Value::LogTime(now.unix_ms)),
            ("topics", Value::text(topics)),
            ("message", Value::text(message)),
            ("buffer", Value::text("memory")),
        ],
        None,
    );
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
