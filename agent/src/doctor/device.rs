//! The machine that the agent runs on: its files, its disk, its clock, and whether the agent runs.
//!
//! In the state directory it makes a probe file that it removes again, and changes nothing else.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tawi_shared::counted;

use super::finding::Finding;
use crate::config::WORLD_BITS;
use crate::health::{CURE_OF_CLOCK, ClockStatus, FailingLine, SettingsStatus, Status, UpgradeStatus};
use crate::outbox::{RESERVE_BYTES, can_write, free_bytes};
use crate::status::AskError;
use crate::upgrade::UpgradeConfig;

/// How releases come to be taken.
const CURE_OF_UPGRADES: &str = "for upgrades from head office: write release_keys = [\"tawikey1.…\"] under [upgrade] in agent.toml, as \
    tawi-controller release new-key showed it, and restart the agent";

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
    if let Err(error) = std::fs::metadata(directory) {
        return Some(absent(directory, &error));
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

/// What stands in the way of a directory that is not there, as far as a look from outside tells. A probe would be left
/// behind where it cannot be removed, so that nothing is made on the way to it.
fn absent(directory: &Path, error: &io::Error) -> Finding {
    if error.kind() != ErrorKind::NotFound || directory.is_symlink() {
        return unwritable(directory, error);
    }
    let existing = directory.ancestors().skip(1).find(|above| std::fs::metadata(above).is_ok());
    if let Some(Err(error)) = existing.map(may_make_within) {
        return unwritable(directory, &error);
    }
    let name = directory.display();
    let cure =
        "start the agent once, or make the directory for the agent's user: install -d -m 0700 -o tawi-agent";
    Finding::doubtful("state directory", format!("{name} does not exist yet"), format!("{cure} {name}"))
}

/// Whether a directory can be made within this one. Whose user the agent will be is not known here: systemd makes the
/// directory for it as root, so that rights are not judged.
fn may_make_within(above: &Path) -> io::Result<()> {
    if !above.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    let system = rustix::fs::statvfs(above)?;
    if system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(ErrorKind::ReadOnlyFilesystem.into());
    }
    if free_bytes(above)? < RESERVE_BYTES {
        return Err(ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Why nothing can be written there, and what helps: not every time is it the user.
fn unwritable(directory: &Path, error: &io::Error) -> Finding {
    let name = directory.display();
    let another = "name another directory as state_directory in agent.toml";
    let (why, cure) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            format!("the disk of {name} is full"),
            format!(
                "free some space: df -h {name}; df -i {name}; journalctl --vacuum-size=50M; apt-get clean"
            ),
        ),
        ErrorKind::ReadOnlyFilesystem => (
            format!("the disk of {name} is read-only, as it becomes when it fails"),
            "look at it: dmesg; findmnt; a worn SD card must be replaced".to_owned(),
        ),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => (
            format!("{name} is no directory, or something on the way to it is none"),
            format!("look at it: namei -l {name}; move away what is there, or {another}"),
        ),
        ErrorKind::NotFound => (
            format!("{name} is a link to where nothing is"),
            format!("look at it: namei -l {name}; make what it points to, or {another}"),
        ),
        ErrorKind::PermissionDenied => (
            format!("{name} cannot be written: {error}"),
            format!("run the doctor as the agent's user, or chown -R tawi-agent {name}"),
        ),
        _ => (
            format!("{name} cannot be written: {error}"),
            format!("look at the disk: dmesg; findmnt; or {another}"),
        ),
    };
    Finding::bad("state directory", why, cure)
}

/// What the running agent goes by of what head office may set. An older one says nothing of it.
fn settings(status: &SettingsStatus) -> Option<Finding> {
    let (check, said, refused) = ("settings in force", status.said(), status.refusals());
    if said.is_empty() {
        return None;
    }
    if refused.is_empty() {
        return Some(Finding::good(check, said));
    }
    let cure = "at head office: tawi-controller site settings, and site unset for what is not wanted; or take \
                settings_from_head_office out of agent.toml";
    Some(Finding::doubtful(check, format!("{said}; {}", refused.join("; ")), cure))
}

/// Lines that the running agent cannot make as they should be. Each router's own check tells why where it can be seen there.
fn lines(status: &Status) -> Option<Finding> {
    let failing = &status.state.failing;
    let first = failing.first()?;
    let verb = if status.state.failing_lines == 1 { "is" } else { "are" };
    let lines = counted(status.state.failing_lines, "line");
    let named: Vec<String> = failing.iter().map(FailingLine::found).collect();
    let detail = format!("{lines} {verb} not on the router as wanted: {}", named.join("; "));
    let cure = if first.cure.is_empty() { "tawi-agent status" } else { &first.cure };
    Some(Finding::bad("lines", detail, cure))
}

/// Whether releases of the agent may come from head office. Where nobody set that up it is advice and no fault; where head office
/// wants one here, somebody did.
pub(super) fn upgrades(config: &UpgradeConfig, status: Option<&UpgradeStatus>) -> Finding {
    let check = "upgrades";
    if !config.is_enabled {
        return Finding::good(check, "head office upgrades nothing here, as [upgrade] enabled = false says");
    }
    if !config.keys.is_empty() {
        let keys = counted(config.keys.len(), "key");
        return Finding::good(check, format!("releases from head office are taken, signed by {keys}"));
    }
    match status.and_then(|status| status.wanted.as_deref()) {
        Some(version) => {
            let detail =
                format!("head office wants {version} here, and no release key is set: it is refused");
            Finding::doubtful(check, detail, CURE_OF_UPGRADES)
        }
        None => {
            let detail = "no release key is set: releases from head office would be refused";
            Finding { cure: CURE_OF_UPGRADES.to_owned(), ..Finding::good(check, detail) }
        }
    }
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
    let mut findings = vec![release(&status.version, ours, status.upgrade.is_release)];
    findings.extend(settings(&status.settings));
    findings.push(clock(&status.clock));
    findings.extend(lines(status));
    if let Some(problem) = &status.store.problem {
        findings.push(Finding::bad(
            "flash",
            format!("new records are not safe against a power cut: {problem}"),
            "look at the disk: df, dmesg; once it can be written the agent goes on by itself, and a restart before that loses what waits in memory",
        ));
    }
    if let Some(lost) = &status.store.lost {
        let cure =
            "look at the disk: dmesg; a worn SD card must be replaced; a restart of the agent forgets this";
        findings.push(Finding::doubtful("store", lost.clone(), cure));
    }
    if let Some((lack, cure)) = status.store.log_lacks() {
        findings.push(Finding::doubtful("API log", lack, cure));
    }
    findings
}

/// Whether the running agent is the release that this command is. One that came from head office goes before what the package
/// installed, which stays what the command is.
fn release(runs: &str, ours: &str, is_from_office: bool) -> Finding {
    let check = "agent";
    if runs == ours {
        return Finding::good(check, format!("it runs, release {ours}"));
    }
    if is_from_office {
        let detail = format!("it runs, release {runs} of head office; the package installed {ours}");
        return Finding::good(check, detail);
    }
    Finding::doubtful(
        check,
        format!("the running agent is release {runs}, and this command {ours}"),
        "start the installed release: systemctl restart tawi-agent",
    )
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
    fn without_a_release_key_upgrades_are_refused_which_is_a_fault_only_where_one_is_wanted() {
        let key = tawi_shared::release::SigningKey::from_seed(&[3; 32]).unwrap().public();
        let with = |is_enabled, keys| UpgradeConfig { is_enabled, keys };
        let wanted = UpgradeStatus { wanted: Some("0.2.0".into()), ..UpgradeStatus::default() };
        let check = |config: UpgradeConfig, status, verdict, words: &str, has_cure: bool| {
            let finding = upgrades(&config, status);
            assert_eq!((finding.verdict, !finding.cure.is_empty()), (verdict, has_cure), "{finding:?}");
            assert!(finding.detail.contains(words), "{finding:?}");
            assert!(!finding.cure.contains('\n'), "{finding:?}");
        };
        let idle = UpgradeStatus::default();
        check(with(true, vec![]), None, Verdict::Good, "would be refused", true);
        check(with(true, vec![]), Some(&idle), Verdict::Good, "would be refused", true);
        check(with(true, vec![]), Some(&wanted), Verdict::Doubtful, "wants 0.2.0 here", true);
        check(with(true, vec![key]), Some(&wanted), Verdict::Good, "signed by 1 key", false);
        check(with(false, vec![]), Some(&wanted), Verdict::Good, "enabled = false", false);
    }

    #[test]
    fn another_release_than_the_command_is_a_fault_unless_it_came_from_head_office() {
        let check = |runs, is_from_office, verdict, words: &str| {
            let finding = release(runs, "0.1.0", is_from_office);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.detail.contains(words), "{finding:?}");
        };
        check("0.1.0", false, Verdict::Good, "release 0.1.0");
        check("0.2.0", true, Verdict::Good, "0.2.0 of head office; the package installed 0.1.0");
        check("0.0.9", false, Verdict::Doubtful, "this command 0.1.0");
    }

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
        check(ErrorKind::NotADirectory, "is no directory", "move away");
        check(ErrorKind::NotFound, "a link to where nothing is", "state_directory");
        check(ErrorKind::InvalidFilename, "cannot be written", "state_directory");
    }

    #[test]
    fn a_state_directory_that_cannot_be_is_bad_and_one_that_is_still_to_be_made_is_doubtful() {
        let place =
            std::env::temp_dir().join(format!("tawi-doctor-{}", tawi_shared::IdSource::system().hex(4)));
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("file"), "").unwrap();
        std::os::unix::fs::symlink(place.join("nowhere"), place.join("link")).unwrap();
        let check = |path: &Path, verdict: Verdict, cure: &str| {
            let finding = state(path).unwrap();
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.cure.contains(cure), "{finding:?}");
        };
        check(&place.join("new/one"), Verdict::Doubtful, "install -d");
        check(&place.join("file"), Verdict::Bad, "move away what is there");
        check(&place.join("file/state"), Verdict::Bad, "move away what is there");
        check(&place.join("link"), Verdict::Bad, "make what it points to");
        // As it is in a kernel's own file systems, where nobody makes a directory.
        check(Path::new("/proc/self/state"), Verdict::Bad, "");
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn what_was_lost_is_told() {
        let mut status = Status { version: env!("CARGO_PKG_VERSION").into(), ..Status::default() };
        let found =
            |status: &Status| agent(&Ok(status.clone())).into_iter().find(|found| found.check == "store");
        assert_eq!(found(&status), None);
        status.store.lost = Some("the store was damaged and begun anew: lost are 3 events".to_owned());
        let finding = found(&status).unwrap();
        assert_eq!(finding.verdict, Verdict::Doubtful);
        assert!(finding.detail.contains("3 events") && finding.cure.contains("SD card"), "{finding:?}");
    }

    #[test]
    fn lines_that_fail_are_bad_and_told_with_the_cure_of_the_first() {
        let mut status = Status { version: env!("CARGO_PKG_VERSION").into(), ..Status::default() };
        let found =
            |status: &Status| agent(&Ok(status.clone())).into_iter().find(|found| found.check == "lines");
        assert_eq!(found(&status), None);
        let line = FailingLine {
            line: "tv".into(),
            why: "elsewhere".into(),
            cure: "a lease".into(),
            ..FailingLine::default()
        };
        (status.state.failing_lines, status.state.failing) = (1, vec![line]);
        let finding = found(&status).unwrap();
        assert_eq!((finding.verdict, finding.cure.as_str()), (Verdict::Bad, "a lease"));
        assert_eq!(finding.detail, "1 line is not on the router as wanted: line tv: elsewhere");
    }
}
