//! What helps to understand a site from afar, in one JSON: how the agent stands, its settings without secrets, the machine
//! and the last lines of the log.
//!
//! Settings are named one by one, so that one which is added later is missing here and not told by mistake. It reads a few
//! small files of the system, each up to a limit. On a metered line it has fewer lines of the log: whoever asked waits for it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use tawi_shared::UnixMillis;
use tawi_shared::wire::{ANSWER_PART_BYTES, ANSWER_PARTS};

use crate::config::{Config, RouterConfig, RouterTransport};
use crate::health::Status;
use crate::link::budget::ANSWERS_FLOOR;
use crate::outbox::free_bytes;
use crate::own_log;

/// The form of the JSON: keys are only ever added.
const SCHEMA: u32 = 1;
/// The most of the whole: a part of an answer may end a few bytes early, between two characters.
const BUNDLE_BYTES: usize = ANSWER_PART_BYTES * (ANSWER_PARTS - 1);
/// The most that is read of one file of the system.
const FILE_BYTES: u64 = 4 * 1024;
/// Thermal zones that are looked at.
const ZONES: usize = 8;

/// How large it may be where so many bytes may be told in an hour; 0 without a bound: what the line carries in about a quarter
/// of an hour, besides what may always be told.
fn bytes_most(hourly_bytes: u64) -> usize {
    if hourly_bytes == 0 {
        return BUNDLE_BYTES;
    }
    let bytes = ANSWERS_FLOOR.saturating_add(hourly_bytes / 4);
    usize::try_from(bytes).map_or(BUNDLE_BYTES, |bytes| bytes.min(BUNDLE_BYTES))
}

/// The whole.
pub(super) fn of(config: &Config, status: &Status, now: UnixMillis) -> String {
    let mut lines = own_log::last_lines();
    let most = bytes_most(status.controller.line.hourly_bytes);
    loop {
        let bundle = json!({
            "schema": SCHEMA,
            "made_at_ms": now.0,
            "version": env!("CARGO_PKG_VERSION"),
            "problems": status.problems(),
            "status": status,
            "settings": settings(config),
            "machine": machine(config),
            "log_level": own_log::level().to_string(),
            "log": lines,
        });
        let text = serde_json::to_string_pretty(&bundle).unwrap_or_default();
        if text.len() <= most || lines.is_empty() {
            return text;
        }
        // Escaped, a line may be six times as long as it was: the newest are worth the most.
        lines.drain(..lines.len().div_ceil(2));
    }
}

/// How the agent stands, in little more than a line: it is told every few seconds.
pub(super) fn summary(status: &Status) -> String {
    let router = |router: &crate::health::RouterStatus| {
        json!({
            "name": router.name,
            "is_reachable": router.is_reachable,
            "failing_lines": router.failing_lines,
            "settled_generation": router.settled_generation,
        })
    };
    let summary = json!({
        "at_ms": status.clock.now_ms,
        "summary": status.summary(),
        "problems": status.problems().into_iter().take(10).collect::<Vec<_>>(),
        "routers": status.routers.iter().map(router).collect::<Vec<_>>(),
        "waiting_events": status.outbox.events.pending,
        "waiting_totals": status.outbox.usage.pending,
        "rss_bytes": status.rss_bytes,
        "bytes_sent": status.controller.bytes_sent,
        "bytes_received": status.controller.bytes_received,
    });
    serde_json::to_string(&summary).unwrap_or_default()
}

fn settings(config: &Config) -> Value {
    let office = &config.controller;
    json!({
        "site": config.site.as_str(),
        "state_directory": config.state_directory,
        "runtime_directory": config.runtime_directory,
        "log_level": config.log_level.to_string(),
        "is_enrolled": config.is_enrolled(),
        "controller": {
            "addresses": office.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "server_name": office.server_name,
            "proxy": office.proxy.as_ref().map(|proxy| proxy.address.to_string()),
            "proxy_has_credentials": office.proxy.as_ref().is_some_and(|proxy| proxy.credentials.is_some()),
            "keep_alive_seconds": office.keep_alive.map(|every| every.as_secs()),
            "hourly_bytes": office.hourly_bytes,
            "settings_from_head_office": office.takes_settings,
            "reconnect_base_seconds": office.reconnect_base.as_secs(),
        },
        "enforce": {
            "full_check_seconds": config.enforce.full_check.as_secs(),
            "sample_seconds": config.enforce.sample.as_secs(),
            "report_seconds": config.enforce.report.as_secs(),
            "idle_seconds": config.enforce.idle.as_secs(),
            "guard_percent": config.enforce.guard_percent,
            "guard_lines": config.enforce.guard_lines,
        },
        "routers": config.routers.iter().map(router).collect::<Vec<_>>(),
    })
}

fn router(router: &RouterConfig) -> Value {
    let transport = match &router.transport {
        RouterTransport::Plain => "plain",
        RouterTransport::PinnedTls { .. } => "tls, pinned",
        RouterTransport::CaTls { .. } => "tls, by its CA",
    };
    json!({
        "name": router.name,
        "host": router.host,
        "port": router.port,
        "transport": transport,
        "user": router.user,
    })
}

fn machine(config: &Config) -> Value {
    let temperatures: Vec<Value> = (0..ZONES)
        .filter_map(|zone| {
            let place = format!("/sys/class/thermal/thermal_zone{zone}");
            let thousandths: i64 = small(&format!("{place}/temp"))?.parse().ok()?;
            Some(json!({"zone": small(&format!("{place}/type")), "celsius": thousandths / 1_000}))
        })
        .collect();
    let memory = small("/proc/meminfo").unwrap_or_default();
    json!({
        "model": small("/tmp/sysinfo/model").or_else(|| small("/proc/device-tree/model")),
        "architecture": std::env::consts::ARCH,
        "kernel": small("/proc/sys/kernel/osrelease"),
        "uptime_seconds": first_number(small("/proc/uptime")),
        "load": small("/proc/loadavg"),
        "memory_total_kb": kilobytes(&memory, "MemTotal:"),
        "memory_available_kb": kilobytes(&memory, "MemAvailable:"),
        "state_disk_free_bytes": free_bytes(&config.state_directory).ok(),
        "temperatures": temperatures,
    })
}

/// What a small file says; `None` where there is none.
fn small(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(Path::new(path)).ok()?.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned())
}

fn first_number(text: Option<String>) -> Option<u64> {
    text?.split(['.', ' ']).next()?.parse().ok()
}

/// Reads `MemTotal:  123 kB` out of `/proc/meminfo` (proc(5)).
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_as_far_as_it_tells() {
        assert_eq!(kilobytes("MemTotal:   512 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(512));
        assert_eq!(kilobytes("", "MemTotal:"), None);
        assert_eq!(first_number(Some("123.45 99.1".into())), Some(123));
        assert_eq!(small("/nowhere"), None);
    }

    #[test]
    fn on_a_metered_line_the_whole_is_small() {
        assert_eq!([0, 10_000, 100_000].map(bytes_most), [BUNDLE_BYTES, 18_500, 41_000]);
        assert_eq!(bytes_most(u64::MAX), BUNDLE_BYTES);
    }

    #[test]
    fn a_summary_is_short() {
        assert!(summary(&Status::default()).len() < 1_000);
    }
}
