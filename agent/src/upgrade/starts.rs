//! How often a release that has proven itself was started without staying.
//!
//! One that ends soon after each of its starts would otherwise be started until the service manager gives up, and then there
//! would be no agent at all. What is counted is of this run of the machine alone, so that a site whose power comes and goes does
//! not lose its release: the file lies where a restart of the machine clears it, or names the run (a container has no such
//! place). It is not synced: it has to outlive the process, and nothing else.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use tawi_shared::release::Sha256;

/// After so many, the one before runs. systemd's unit stops at ten starts in five minutes: that leaves enough for the release
/// before and for what is installed.
pub const QUICK_ENDS: u32 = 3;
const FILE: &str = "starts";
/// Which run of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The starts that are counted.
#[derive(Clone, Debug)]
pub struct Starts {
    path: PathBuf,
    boot: String,
}

impl Starts {
    /// Of this runtime directory.
    #[must_use]
    pub fn of(runtime_directory: &Path) -> Self {
        // A unit that hides it has its runtime directory cleared with the machine.
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        Self { path: runtime_directory.join(FILE), boot }
    }

    /// How often this program was started and has not stayed.
    #[must_use]
    pub fn quick_ends(&self, program: Sha256) -> u32 {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let count = text.strip_prefix(&self.mark(program)).and_then(|count| count.trim().parse().ok());
        count.unwrap_or_default()
    }

    /// It is started. Where that cannot be put down, nothing is counted, and the release runs.
    pub fn count(&self, program: Sha256) {
        let count = self.quick_ends(program).saturating_add(1);
        if let Some(directory) = self.path.parent() {
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        }
        let _ = fs::write(&self.path, format!("{}{count}\n", self.mark(program)));
    }

    /// It has stayed, or has ended because it was asked to.
    pub fn forget(&self) {
        // There is none, mostly.
        let _ = fs::remove_file(&self.path);
    }

    fn mark(&self, program: Sha256) -> String {
        format!("{} {program} ", self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::shelf::testing::Place;

    #[test]
    fn starts_are_counted_for_one_program_in_one_run_of_the_machine() {
        let place = Place::new();
        let starts = Starts::of(&place.0.join("run"));
        let (one, other) = (Sha256([1; 32]), Sha256([2; 32]));
        assert_eq!(starts.quick_ends(one), 0);
        starts.count(one);
        starts.count(one);
        assert_eq!((starts.quick_ends(one), starts.quick_ends(other)), (2, 0));
        let next = Starts { boot: "another".into(), ..starts.clone() };
        assert_eq!(next.quick_ends(one), 0, "the machine was started anew");
        starts.count(other);
        assert_eq!((starts.quick_ends(one), starts.quick_ends(other)), (0, 1));
        starts.forget();
        starts.forget();
        assert_eq!(starts.quick_ends(other), 0);
        fs::write(&starts.path, b"\xff nonsense").unwrap();
        assert_eq!(starts.quick_ends(one), 0);
    }
}
