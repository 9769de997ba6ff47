//! The box: its release, whether it is the one that it was, its clock, its flash.
//!
//! Pure.

use super::super::facts::Facts;
use super::super::finding::Finding;
use super::super::memory::Seen;
use crate::router_script::NEWEST;

/// The releases whose commands and arguments are known.
const KNOWN_FROM: (u16, u16) = (7, 9);
const KNOWN_TO: (u16, u16) = NEWEST;
const OLDEST: (u16, u16) = (6, 49);
/// Releases of which users tell that they trouble the agent, by the beginning of their names.
const TROUBLED: [(&str, &str); 1] =
    [("7.23.2 ", "prints of the firewall take a hundred times as long as in other releases")];

/// Dates in the log are off by this and nobody notices, in seconds.
const SKEW_SECONDS: u64 = 60;
/// The agent believes two clocks that differ by less than an hour; beyond, one of them is wrong for it too.
const WRONG_SECONDS: u64 = 3_600;
/// From here on days say it better: a router without a battery that wakes up in 1970.
const MANY_SECONDS: u64 = 2 * 86_400;

/// A router of 16 MB has about this when it is full of nothing but RouterOS.
const FREE_BYTES: u64 = 2 * 1024 * 1024;
/// Below this a change of configuration may not be saved.
const LEAST_FREE_BYTES: u64 = 512 * 1024;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Sectors a day that no site of 2,000 customers should need: some 50 changes an hour of 40 sectors each. Flash stands
/// about 100,000 writes a sector, spread over all of them.
const SECTORS_A_DAY: u64 = 50_000;
/// Worn sectors in per cent from which a board should be replaced before it chooses the day itself.
const WORN_PERCENT: f64 = 5.0;

pub(super) fn release(facts: &Facts) -> Vec<Finding> {
    let check = "release";
    let Some(text) = facts.value("resource", "version") else { return vec![] };
    let board = facts.value("resource", "board-name").unwrap_or("board unknown");
    let detail = format!("RouterOS {text} on {board}");
    let Some(release) = facts.release() else {
        return vec![Finding::doubtful(
            check,
            format!("{detail}, of which nothing is known"),
            "/system resource print",
        )];
    };
    let known = format!("{}.{}", KNOWN_TO.0, KNOWN_TO.1);
    let named = format!("{text} ");
    if let Some((_, why)) = TROUBLED.iter().find(|(beginning, _)| named.starts_with(beginning)) {
        return vec![Finding::doubtful(check, format!("{detail}: {why}"), "/system package update install")];
    }
    vec![if release < OLDEST {
        Finding::bad(check, detail, "upgrade RouterOS to 6.49 or later: /system package update install")
    } else if release != OLDEST && release < KNOWN_FROM {
        Finding::doubtful(
            check,
            format!("{detail}, an early release of 7 that nobody tried"),
            "upgrade to a long-term or stable release: /system package update install",
        )
    } else if release.0 > KNOWN_TO.0 {
        Finding::doubtful(
            check,
            format!(
                "{detail}, another generation than the newest that this agent was tried with, which is {known}"
            ),
            format!(
                "upgrade no other router past {known} until a release of tawi-agent names {}; watch this one's lines and this doctor meanwhile: /system package print; tawi-agent router-script writes the script of {known} for it, with a warning",
                release.0
            ),
        )
    } else if release > KNOWN_TO {
        Finding::doubtful(
            check,
            format!("{detail}, newer than the newest that this agent was tried with, which is {known}"),
            format!(
                "see whether a newer tawi-agent knows it; until then watch this router's lines and this doctor for a day, before another one is upgraded past {known}; tawi-agent router-script writes the script of {known} for it, with a warning"
            ),
        )
    } else {
        Finding::good(check, detail)
    }]
}

pub(super) fn serial(facts: &Facts) -> Vec<Finding> {
    let check = "identity";
    let Some(serial) = facts.serial() else { return vec![] };
    let name = facts.value("identity", "name").unwrap_or("without a name");
    let detail = format!("{name}, serial number {serial}");
    let rebuild =
        format!("tawi-agent rebuild --router {}, or on the site's page at head office", facts.router);
    match (facts.board.as_deref(), facts.seen.as_ref().and_then(|seen| seen.serial.as_deref())) {
        (Some(board), _) if board != serial && facts.is_accepted => vec![Finding::doubtful(
            check,
            format!("{detail}: the agent worked with {board}, and writes nothing to another"),
            format!("have it rebuilt: {rebuild}"),
        )],
        (Some(board), _) if board != serial => vec![Finding::bad(
            check,
            format!("{detail}: another router than the agent's, which is {board}"),
            format!(
                "correct its address in routers.toml; if the router was replaced on purpose, have it rebuilt: {rebuild}"
            ),
        )],
        (None, Some(before)) if before != serial => vec![Finding::bad(
            check,
            format!("{detail}: another router than before, which was {before}"),
            format!(
                "if two routers of routers.toml changed places, correct their addresses; if the router was replaced on purpose, have it rebuilt: {rebuild}; then say so here: tawi-agent doctor --accept-routers"
            ),
        )],
        (Some(_), _) => vec![Finding::good(check, format!("{detail}, the one that the agent works with"))],
        (None, Some(_)) => vec![Finding::good(check, format!("{detail}, as before"))],
        (None, None) => vec![Finding::good(check, detail)],
    }
}

pub(super) fn clock(facts: &Facts) -> Vec<Finding> {
    let check = "clock";
    let has_ntp = matches!(facts.value("ntp", "enabled"), Some("true" | "yes"));
    let cure = "switch on its NTP client, which tawi-agent router-script does: /system ntp client print";
    let mut findings = Vec::new();
    if let Some(ahead) = facts.clock_ahead_seconds {
        let off = ahead.unsigned_abs();
        let side = if ahead < 0 { "behind" } else { "ahead of" };
        let off_by = if off >= MANY_SECONDS { format!("{} days", off / 86_400) } else { format!("{off} s") };
        let detail = format!("the router's clock is {off_by} {side} this machine's");
        findings.push(if off >= WRONG_SECONDS {
            Finding::bad(
                check,
                format!("{detail}, so that one of them is wrong"),
                format!("look at both: timedatectl here; there, {cure}"),
            )
        } else if off >= SKEW_SECONDS {
            Finding::doubtful(check, detail, cure)
        } else {
            Finding::good(check, detail)
        });
    }
    if facts.was_read("ntp") && !has_ntp {
        findings.push(Finding::doubtful(check, "the router's NTP client is off", cure));
    }
    findings
}

pub(super) fn flash(facts: &Facts) -> Vec<Finding> {
    let check = "flash";
    let Some(free) = facts.number("resource", "free-hdd-space") else { return vec![] };
    let detail = format!("{} KiB of flash are free", free / 1024);
    let cure = "remove files that are not needed: /file print; then /system resource print";
    vec![if free < LEAST_FREE_BYTES {
        Finding::bad(check, format!("{detail}: changes may not be saved"), cure)
    } else if free < FREE_BYTES {
        Finding::doubtful(check, detail, cure)
    } else {
        Finding::good(check, detail)
    }]
}

pub(super) fn wear(facts: &Facts) -> Vec<Finding> {
    let check = "flash wear";
    let mut findings = Vec::new();
    if let Some(percent) =
        facts.value("resource", "bad-blocks").and_then(|text| text.trim_end_matches('%').parse::<f64>().ok())
        && percent > 0.0
    {
        let detail = format!("{percent} % of the flash is worn out");
        let cure = "keep a copy of its configuration (/export), and a spare board at hand";
        findings.push(if percent >= WORN_PERCENT {
            Finding::bad(check, detail, cure)
        } else {
            Finding::doubtful(check, detail, cure)
        });
    }
    let Some(now) = facts.number("resource", "write-sect-total") else { return findings };
    let Some((a_day, since)) = written_a_day(facts, now) else {
        findings.push(Finding::good(
            check,
            format!("{now} sectors were written in all; the next visit tells how many a day"),
        ));
        return findings;
    };
    let detail = format!("{a_day} sectors a day were written since {since}, {now} in all");
    findings.push(if a_day > u128::from(SECTORS_A_DAY) {
        Finding::doubtful(check, detail, "find out what writes so often: /log print; scripts and schedulers of other programs; logging to disk")
    } else {
        Finding::good(check, detail)
    });
    findings
}

/// Sectors a day, and since when: an earlier visit, or the router's start. Of less than an hour between visits nothing can
/// be said, nor of less than a day since the start: the day on which a router is set up writes more than any other. A count
/// that went back is another board's.
fn written_a_day(facts: &Facts, now: u64) -> Option<(u128, &'static str)> {
    let a_day = |written: u64, span_ms: i64, least_ms: i64| {
        let wide = u128::from(written).saturating_mul(u128::from(DAY_MS.unsigned_abs()));
        (span_ms >= least_ms).then(|| wide.checked_div(u128::from(span_ms.unsigned_abs()))).flatten()
    };
    let visits = facts.seen.iter().flat_map(|seen| [seen.sectors, seen.sectors_before]).flatten();
    let since_visit = visits.filter(|(sectors, _)| now >= *sectors).find_map(|(sectors, at)| {
        a_day(now.saturating_sub(sectors), facts.now_ms.saturating_sub(at), HOUR_MS)
    });
    if let Some(a_day) = since_visit {
        return Some((a_day, "the doctor was here"));
    }
    let uptime = routeros_api::value::parse_duration(facts.value("resource", "uptime")?.as_bytes()).ok()?;
    let written = facts.number("resource", "write-sect-since-reboot")?;
    a_day(written, i64::try_from(uptime.as_millis()).ok()?, DAY_MS)
        .map(|a_day| (a_day, "the router was started"))
}

/// Whether another router answers than the one that it should be: the agent's, or where the agent has worked with none
/// that of the last visit.
pub(in crate::doctor) fn is_another(facts: &Facts) -> bool {
    let seen = facts.seen.as_ref().and_then(|seen| seen.serial.as_deref());
    let right = facts.board.as_deref().or(seen);
    right.zip(facts.serial()).is_some_and(|(right, now)| right != now)
}

/// Whether the last visit was to another router.
pub(in crate::doctor) fn is_new_here(facts: &Facts) -> bool {
    let seen = facts.seen.as_ref().and_then(|seen| seen.serial.as_deref());
    seen.zip(facts.serial()).is_some_and(|(seen, now)| seen != now)
}

/// What to remember of this visit. A reading that is young stays, so that an hour goes by between two.
pub(in crate::doctor) fn remembered(facts: &Facts) -> Seen {
    let before = facts.seen.clone().unwrap_or_default();
    let serial = facts.serial().map(str::to_owned);
    if is_another(facts) && !facts.is_accepted {
        return before;
    }
    let is_new = is_new_here(facts);
    let is_young =
        before.sectors.is_some_and(|(_, at)| (0..HOUR_MS).contains(&facts.now_ms.saturating_sub(at)));
    let read = facts.number("resource", "write-sect-total").map(|sectors| (sectors, facts.now_ms));
    let serial = serial.or(before.serial);
    if is_young && !is_new {
        return Seen { serial, sectors: before.sectors, sectors_before: before.sectors_before };
    }
    // The last but one stays as well: whoever looks again within the hour is told what was told.
    let sectors_before = before.sectors.filter(|_| !is_new);
    Seen { serial, sectors: read.or(before.sectors), sectors_before }
}
