//! The start: what the package installed looks whether a release is to run, and puts it in its own place.
//!
//! The process stays the same, so that a service manager's watchdog and its notifications go on. A start of a release on trial is
//! counted and on flash before it happens: a program that ends or hangs before it can say anything is caught by that. It takes
//! no part in what the release does. A hang where nobody watches (a container without a watchdog) is not seen here.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use tawi_shared::Clock;
use tracing::{info, warn};

use super::Build;
use super::ledger::{Kept, Ledger, Start};
use super::shelf::Shelf;
use super::starts::{QUICK_ENDS, Starts};
use crate::config::Launching;
use crate::outbox::StateLock;

/// Names to a release which one it is, by the hash of its program.
pub const RELEASE: &str = "TAWI_AGENT_RELEASE";
/// And where what the package installed is, to which it goes back.
pub const INSTALLED: &str = "TAWI_AGENT_INSTALLED";

/// And whether what is installed could not read the settings, so that it is no fault of a release not to.
pub const UNREAD: &str = "TAWI_AGENT_UNREAD";

/// Puts the release that is to run in this program's place. Returns where this program is to run itself: `None`, or why the
/// release could not be started.
#[must_use]
pub fn launch(config: &Launching, build: &Build, clock: &Clock) -> Option<io::Error> {
    let shelf = Shelf::of(&config.state_directory);
    let starts = Starts::of(&config.runtime_directory);
    // Another agent at work here has the releases, too; it is said when this one asks for the store.
    let Ok(lock) = StateLock::take(&config.state_directory) else { return None };
    if shelf.is_empty() {
        return None;
    }
    let mut ledger = match shelf.ledger() {
        Ok(ledger) => ledger,
        Err(error) => {
            warn!(%error, "what is known of releases cannot be read; what is installed runs");
            return None;
        }
    };
    let before = ledger.clone();
    let start = if config.upgrade.is_enabled {
        go_back_from_quick_ends(&mut ledger, &starts, clock);
        ledger.choose(&build.mark.version, clock.now(), |kept| {
            shelf.look(kept, &config.upgrade.keys).inspect_err(|why| {
                warn!(release.why = why, "a release cannot be started; another program runs");
            })
        })
    } else {
        Start::Installed
    };
    if ledger != before
        && let Err(error) = shelf.keep(&ledger)
    {
        warn!(%error, "a release that is on trial is not started, because that cannot be put down");
        // One that has proven itself is not counted.
        if before.trial.is_some() {
            return None;
        }
    }
    let Start::Release(manifest) = start else { return None };
    let trial_starts = ledger.trial.as_ref().map_or(0, |trial| trial.starts);
    info!(release.version = %manifest.version, release.trial = trial_starts, "a release of head office is started");
    // One on trial is counted in the ledger.
    if ledger.trial.is_none() {
        starts.count(manifest.binary_sha256);
    }
    // The next owner of this process takes it anew.
    drop(lock);
    let failed = match std::env::current_exe() {
        Ok(installed) => {
            let which = (RELEASE, manifest.binary_sha256.to_string().into());
            let unread = config.is_unread.then(|| (UNREAD, "1".into()));
            let names = [which, (INSTALLED, installed.into())].into_iter().chain(unread);
            become_program(&shelf.program(manifest.binary_sha256), names)
        }
        Err(error) => error,
    };
    if ledger.trial.is_some() {
        ledger.fail_trial(&format!("it cannot be started: {failed}"), clock.now());
        if let Err(error) = shelf.keep(&ledger) {
            warn!(%error, "that a release cannot be started cannot be put down");
        }
    }
    Some(failed)
}

/// A release that has proven itself and yet ends soon after each start is gone back from: it could not say so itself.
fn go_back_from_quick_ends(ledger: &mut Ledger, starts: &Starts, clock: &Clock) {
    let program = ledger.verified.as_ref().and_then(Kept::program);
    // What is on trial is counted otherwise.
    let ends = program.filter(|_| ledger.trial.is_none()).map_or(0, |program| starts.quick_ends(program));
    if ends >= QUICK_ENDS {
        let why = format!("it had proven itself, and then ended {ends} times soon after its start");
        warn!(release.why = why, "a release is gone back from");
        ledger.fail_verified(&why, clock.now());
    }
}

/// Starts over, by what the package installed: another release is to run. Returns only where that cannot be done.
#[must_use]
pub fn start_over(installed: Option<&Path>) -> io::Error {
    let installed = installed.map(Path::to_path_buf).map_or_else(std::env::current_exe, Ok);
    match installed {
        Ok(installed) => become_program(&installed, []),
        Err(error) => error,
    }
}

/// With our own words, and with these names alone of those that speak of releases.
fn become_program(program: &Path, names: impl IntoIterator<Item = (&'static str, OsString)>) -> io::Error {
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    [RELEASE, INSTALLED, UNREAD].iter().for_each(|name| _ = command.env_remove(name));
    command.envs(names).exec()
}
