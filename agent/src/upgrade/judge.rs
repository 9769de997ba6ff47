//! Whether a release may take the place of the one that runs. Pure: a manifest and what is known here in, words out.

use tawi_shared::release::{Manifest, Mark};

/// Free space that is left to everything else, in bytes: what the store asks for, twice.
pub const LEFT_FREE: u64 = 2 * crate::outbox::RESERVE_BYTES;

/// What is known here.
#[derive(Clone, Debug)]
pub struct Facts<'f> {
    /// What runs.
    pub running: &'f Mark,
    /// Free space on the disk of the state directory, and how much of the file is there already; `None` where nobody can say.
    pub free_bytes: Option<u64>,
    /// See there.
    pub have_bytes: u64,
}

/// Why the release is not taken; `None` where it may be.
#[must_use]
pub fn refusal(manifest: &Manifest, facts: &Facts<'_>) -> Option<String> {
    let running = facts.running;
    let (version, own) = (&manifest.version, &running.version);
    if manifest.target != running.target {
        return Some(format!("it is for {}, and this device runs {}", manifest.target, running.target));
    }
    if version < own && !manifest.allow_downgrade {
        return Some(format!(
            "{version} is older than the {own} that runs here, and was not signed to go back to"
        ));
    }
    if own < &manifest.oldest_version {
        let oldest = &manifest.oldest_version;
        return Some(format!("{own} cannot go to it at once; go to {oldest} first"));
    }
    if manifest.store_format != running.store_format {
        return Some(format!(
            "it leaves its store in the form {}, which the {own} that runs here could not read after a roll-back; install its package by hand",
            manifest.store_format
        ));
    }
    let is_spoken = manifest.protocol_oldest <= running.protocol_newest
        && manifest.protocol_newest >= running.protocol_oldest;
    if !is_spoken {
        return Some("it speaks no contract that this agent's head office is known to speak".to_owned());
    }
    let needed = manifest.file_bytes.saturating_sub(facts.have_bytes).saturating_add(manifest.binary_bytes);
    let needed = needed.saturating_add(LEFT_FREE);
    match facts.free_bytes {
        Some(free) if free < needed => Some(format!(
            "the disk has {} kB free and it needs {}; free some: journalctl --vacuum-size=50M; apt-get clean",
            free / 1_000,
            needed / 1_000
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::shelf::testing::manifest_of;

    fn mark(version: &str) -> Mark {
        Mark {
            version: version.parse().unwrap(),
            target: "x86_64-linux-gnu".into(),
            store_format: 1,
            protocol_oldest: 1,
            protocol_newest: 3,
        }
    }

    #[test]
    fn a_release_that_cannot_be_right_here_is_refused_with_words() {
        let release = |version: &str| Manifest {
            target: "x86_64-linux-gnu".into(),
            ..manifest_of(version, b"program", b"file")
        };
        let check = |running: &str, free_bytes: Option<u64>, manifest: Manifest, words: Option<&str>| {
            let running = mark(running);
            let refused = refusal(&manifest, &Facts { running: &running, free_bytes, have_bytes: 0 });
            match (refused, words) {
                (None, None) => {}
                (Some(refused), Some(words)) => assert!(refused.contains(words), "{refused}"),
                (refused, words) => panic!("{refused:?}, {words:?}"),
            }
        };
        check("0.1.0", None, release("0.2.0"), None);
        check("0.1.0", Some(LEFT_FREE + 11), release("0.2.0"), None);
        check("0.1.0", Some(LEFT_FREE + 10), release("0.2.0"), Some("the disk has"));
        check(
            "0.1.0",
            None,
            Manifest { target: "aarch64-linux-gnu".into(), ..release("0.2.0") },
            Some("it is for aarch64"),
        );
        check("0.3.0", None, release("0.2.0"), Some("older than the 0.3.0"));
        check("0.3.0", None, Manifest { allow_downgrade: true, ..release("0.2.0") }, None);
        let far = Manifest { oldest_version: "0.1.5".parse().unwrap(), ..release("0.2.0") };
        check("0.1.0", None, far, Some("go to 0.1.5 first"));
        check("0.1.0", None, Manifest { store_format: 2, ..release("0.2.0") }, Some("roll-back"));
        let later = Manifest { protocol_oldest: 4, protocol_newest: 5, ..release("0.2.0") };
        check("0.1.0", None, later, Some("speaks no contract"));
    }
}
