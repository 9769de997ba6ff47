//! The machine that the agent runs on: its files, its disk, its clock, and whether the agent runs.
//!
//! In the state directory it makes a probe file that it removes again, and changes nothing else.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::finding::Finding;
use crate::config::WORLD_BITS;
use crate::health::{CURE_OF_CLOCK, ClockStatus, Status};
use crate::outbox::{RESERVE_BYTES, can_write, free_bytes};
use crate::status::AskError;

/// Free space that lets a site be cut off for its 45 days and the store be written anew meanwhile, in bytes.
const COMFORTABLE_BYTES: u64 = 256 * 1024 * 1024;

pub(super) fn key(path: &Path) -> Option<Finding> {
    let check = "key file";
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if mode & WORLD_BITS == 0 {
        return Some(Finding::good(check, format!("{} has mode {mode:04o}", path.display())));
    }
    let cure = format!("chmod 0640 {}", path.display());
    Some(Finding::bad(check, format!("{} has mode {mode:04o}", path.display()), cure))
}

pub(super) fn state(directory: &Path) -> Option<Finding> {
    let check = "state directory";
    let name = directory.display();
    if !directory.exists() {
        let cure = "start the agent once, or make the directory for the agent's user: install -d -m 0700 -o tawi-agent";
        return Some(Finding::doubtful(
            check,
            format!("{name} does not exist yet"),
            format!("{cure} {name}"),
        ));
    }
    if let Err(error) = can_write(directory) {
        return Some(unwritable(directory, &error));
    }
    let free = free_bytes(directory).ok()?;
    let (free_mib, detail) =
        (free / 1024 / 1024, |text: &str| format!("{name}: {} MiB free{text}", free / 1024 / 1024));
    if free < RESERVE_BYTES.saturating_mul(2) {
        let cure = "free some space: journalctl --vacuum-size=50M; apt-get clean";
        return Some(Finding::bad(check, detail(", and the store needs more"), cure));
    }
    if free < COMFORTABLE_BYTES {
        let cure = "free some space, so that a long outage fits: journalctl --vacuum-size=50M";
        return Some(Finding::doubtful(check, detail(""), cure));
    }
    Some(Finding::good(check, format!("{name} can be written, {free_mib} MiB free")))
}

/// Why nothing can be written there, and what helps: not every time is it the user.
fn unwritable(directory: &Path, error: &io::Error) -> Finding {
    let name = directory.display();
    let (why, cure) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            format!("the disk of {name} is full"),
            format!("free some space: df -h {name}; journalctl --vacuum-size=50M; apt-get clean"),
        ),
        ErrorKind::ReadOnlyFilesystem => (
            format!("the disk of {name} is read-only, as it becomes when it fails"),
            "look at it: dmesg; findmnt; a worn SD card must be replaced".to_owned(),
        ),
        _ => (
            format!("{name} cannot be written: {error}"),
            format!("run the doctor as the agent's user, or chown -R tawi-agent {name}"),
        ),
    };
    Finding::bad("state directory", why, cure)
}

/// Whether the agent runs, is the release that this command is, and believes its clock.
pub(super) fn agent(asked: &Result<Status, AskError>) -> Vec<Finding> {
    let check = "agent";
    let status = match asked {
        Ok(status) => status,
        Err(error) => {
            let message = error.to_string();
            let (detail, cure) =
                message.split_once("\n  cure: ").unwrap_or((&message, "systemctl status tawi-agent"));
            return vec![Finding::doubtful(check, detail, cure)];
        }
    };
    let ours = env!("CARGO_PKG_VERSION");
    let mut findings = vec![if status.version == ours {
        Finding::good(check, format!("it runs, release {ours}"))
    } else {
        Finding::doubtful(
            check,
            format!("the running agent is release {}, and this command {ours}", status.version),
            "start the installed release: systemctl restart tawi-agent",
        )
    }];
    findings.push(clock(&status.clock));
    if let Some(problem) = &status.store.problem {
        findings.push(Finding::bad(
            "flash",
            format!("new records are not safe against a power cut: {problem}"),
            "look at the disk: dmesg, df; then systemctl restart tawi-agent",
        ));
    }
    findings
}

/// Whether the agent knows what time it is, and by whom.
fn clock(clock: &ClockStatus) -> Finding {
    if !clock.is_trusted {
        return Finding::doubtful("clock", clock.doubt(), CURE_OF_CLOCK);
    }
    if let Some(leap) = clock.leap() {
        return Finding::doubtful("clock", leap, "reach head office, which says what time it is");
    }
    let off = clock.off();
    if off.is_empty() {
        return Finding::good("clock", format!("the agent knows the time: {}", clock.basis));
    }
    let detail = format!("the agent knows the time, as {}; {}", clock.basis, off.join(", "));
    Finding::doubtful("clock", detail, CURE_OF_CLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Basis;
    use crate::doctor::finding::Verdict;
    use crate::health::ClockVoice;

    #[test]
    fn the_clock_is_said_to_be_known_by_whoever_stands_behind_it() {
        let check = |basis: Basis, ahead_ms: i64, verdict: Verdict, words: &str| {
            let heard = vec![ClockVoice { who: "this machine".into(), ahead_ms }];
            let is_trusted = basis != Basis::Carried;
            let status =
                ClockStatus { is_trusted, basis: basis.as_str().into(), heard, ..ClockStatus::default() };
            let finding = clock(&status);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.detail.contains(words), "{finding:?}");
        };
        let day = 86_400_000;
        check(Basis::OfficeAndMachine, 0, Verdict::Good, "head office and this machine's clock agree");
        check(Basis::Office, 2 * day, Verdict::Doubtful, "head office says so; this machine is 2 d ahead");
        check(Basis::Machine, 0, Verdict::Good, "goes on from what was last known");
        check(Basis::Carried, 2 * day, Verdict::Doubtful, "this machine is 2 d ahead");
    }

    #[test]
    fn a_directory_that_takes_nothing_is_told_by_its_cause() {
        let check = |kind: ErrorKind, why: &str, cure: &str| {
            let finding = unwritable(Path::new("/var/lib/x"), &kind.into());
            assert!(finding.detail.contains(why), "{}", finding.detail);
            assert_eq!(finding.cure.contains("chown"), cure == "chown", "{}", finding.cure);
            assert!(finding.cure.contains(cure), "{}", finding.cure);
        };
        check(ErrorKind::StorageFull, "is full", "free some space");
        check(ErrorKind::QuotaExceeded, "is full", "free some space");
        check(ErrorKind::ReadOnlyFilesystem, "read-only", "dmesg");
        check(ErrorKind::PermissionDenied, "cannot be written", "chown");
    }
}
