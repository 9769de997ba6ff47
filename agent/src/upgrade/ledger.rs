//! Which release is to run, and what became of those before. Pure: what is known and what happened in, what is known then out.
//!
//! ```text
//! wanted ──whole──▶ trial(starts 0) ──start──▶ trial(1) ─▶ trial(2) ─▶ trial(3) ──start──▶ failed
//!                       │                        └──────────────┴───────────┴──proven──▶ verified, the last one is `before`
//!                       └──not what was signed, older than the package, out of time──▶ failed
//! ```
//!
//! It lies in one small file, so that it is whole or not at all; unknown fields are a later release's.

use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::release::{Manifest, Sha256, Signed, Version};

/// How often a release on trial is started.
pub const STARTS: u32 = 3;
/// Failed releases that are remembered.
const FAILED: usize = 8;

/// A release as it is kept: what was signed, and by which telling it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// JSON, as it was signed.
    pub manifest: String,
    /// Hexadecimal.
    pub signature: String,
    /// Which telling of head office wanted it.
    pub asked: u64,
    /// What the package had installed when it came: a newer one wins over the release.
    pub installed: Option<Version>,
}

impl Kept {
    /// Keeps what was signed.
    #[must_use]
    pub fn new(signed: &Signed, asked: u64, installed: Option<Version>) -> Self {
        let manifest = String::from_utf8_lossy(&signed.manifest).into_owned();
        Self { manifest, signature: tawi_shared::ids::hex(&signed.signature), asked, installed }
    }

    /// What was signed.
    #[must_use]
    pub fn signed(&self) -> Signed {
        let digits = self.signature.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let signature = digits.map(byte).collect::<Option<Vec<u8>>>().unwrap_or_default();
        Signed { manifest: self.manifest.clone().into_bytes(), signature }
    }

    /// What it says of itself, whoever signed it.
    #[must_use]
    pub fn manifest(&self) -> Option<Manifest> {
        self.signed().unverified().ok()
    }

    /// The hash of its program.
    #[must_use]
    pub fn program(&self) -> Option<Sha256> {
        self.manifest().map(|manifest| manifest.binary_sha256)
    }

    fn is_of_file(&self, file: Sha256) -> bool {
        self.manifest().is_some_and(|manifest| manifest.file_sha256 == file)
    }
}

/// A release that has to prove itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub release: Kept,
    /// How often it was started.
    #[serde(default)]
    pub starts: u32,
    /// The routers that the one before could read.
    #[serde(default)]
    pub routers: Vec<String>,
}

/// A release that did not prove itself, or was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its file.
    pub file: Sha256,
    /// Which version it says it is.
    #[serde(default)]
    pub version: String,
    /// By which telling it came: another one has it tried again.
    pub asked: u64,
    /// Whether it ran.
    pub was_started: bool,
    /// Why, for a person.
    pub why: String,
    /// When.
    pub at_ms: i64,
}

/// All that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// What head office wants, as far as it was taken.
    pub wanted: Option<Kept>,
    /// What has to prove itself.
    pub trial: Option<Trial>,
    /// What has; `None`: what the package installed runs.
    pub verified: Option<Kept>,
    /// The one before.
    pub before: Option<Kept>,
    /// The newest last.
    pub failed: Vec<Failed>,
}

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, for a moment, at each start")]
pub enum Start {
    /// What the package installed.
    Installed,
    /// A release, which was looked at.
    Release(Manifest),
}

impl Ledger {
    /// Chooses what to start, and counts it. `installed` is what asks; `look` says whether a release is what was signed, and why
    /// not.
    pub fn choose(
        &mut self,
        installed: &Version,
        now: UnixMillis,
        mut look: impl FnMut(&Kept) -> Result<Manifest, String>,
    ) -> Start {
        if let Some(trial) = self.trial.clone() {
            match self.of_trial(&trial, installed, &mut look) {
                Ok(manifest) => {
                    if let Some(trial) = self.trial.as_mut() {
                        trial.starts = trial.starts.saturating_add(1);
                    }
                    return Start::Release(manifest);
                }
                Err(why) => self.fail_trial(&why, now),
            }
        }
        // What a newer package has overtaken is nobody's any more. What cannot be looked at stays: a disk that stutters once, or
        // a key that was mistyped, has one start with what is there besides.
        let mut proven = [self.verified.take(), self.before.take()]
            .into_iter()
            .flatten()
            .filter(|kept| kept.manifest().is_some_and(|manifest| !is_overtaken(kept, &manifest, installed)));
        (self.verified, self.before) = (proven.next(), proven.next());
        let proven = [&self.verified, &self.before].into_iter().flatten();
        proven.into_iter().find_map(|kept| look(kept).ok()).map_or(Start::Installed, Start::Release)
    }

    /// What has proven itself did not do so for good: the one before is what has.
    pub fn fail_verified(&mut self, why: &str, now: UnixMillis) {
        let Some(failed) = self.verified.take() else { return };
        self.fail(&failed, why, true, now);
        self.verified = self.before.take().filter(|before| before.program() != failed.program());
    }

    fn of_trial(
        &self,
        trial: &Trial,
        installed: &Version,
        look: &mut impl FnMut(&Kept) -> Result<Manifest, String>,
    ) -> Result<Manifest, String> {
        if trial.starts >= STARTS {
            return Err(format!("it was started {} times and did not prove itself", trial.starts));
        }
        let manifest = look(&trial.release)?;
        if is_overtaken(&trial.release, &manifest, installed) {
            return Err(format!("the package that is installed here is newer: {installed}"));
        }
        Ok(manifest)
    }

    /// A release is whole: it is tried at the next start.
    pub fn try_next(&mut self, release: Kept, routers: Vec<String>) {
        self.trial = Some(Trial { release, starts: 0, routers });
    }

    /// What is on trial has proven itself.
    pub fn prove(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.before = self.verified.replace(trial.release);
        }
    }

    /// What is on trial has not.
    pub fn fail_trial(&mut self, why: &str, now: UnixMillis) {
        if let Some(trial) = self.trial.take() {
            self.fail(&trial.release, why, trial.starts > 0, now);
        }
    }

    /// A release is none, or is no good.
    pub fn fail(&mut self, release: &Kept, why: &str, was_started: bool, now: UnixMillis) {
        let Some(manifest) = release.manifest() else { return };
        let (file, version) = (manifest.file_sha256, manifest.version.to_string());
        self.failed.retain(|failed| failed.file != file);
        let why = crate::outbox::shortened(why).to_owned();
        self.failed.push(Failed { file, version, asked: release.asked, was_started, why, at_ms: now.0 });
        let many = self.failed.len().saturating_sub(FAILED);
        self.failed.drain(..many);
    }

    /// What became of a release by this telling, if it failed.
    #[must_use]
    pub fn failure(&self, file: Sha256, asked: u64) -> Option<&Failed> {
        self.failed.iter().find(|failed| failed.file == file && failed.asked == asked)
    }

    /// Whether a file is that of a release that has proven itself.
    #[must_use]
    pub fn is_verified(&self, file: Sha256) -> bool {
        self.verified.as_ref().is_some_and(|kept| kept.is_of_file(file))
    }

    /// The programs whose files stay.
    #[must_use]
    pub fn programs(&self) -> Vec<Sha256> {
        let trial = self.trial.as_ref().map(|trial| &trial.release);
        let kept = [trial, self.verified.as_ref(), self.before.as_ref(), self.wanted.as_ref()];
        kept.into_iter().flatten().filter_map(Kept::program).collect()
    }
}

/// Whether what the package installed is newer. One that was signed to go back to holds until another package is installed.
fn is_overtaken(release: &Kept, manifest: &Manifest, installed: &Version) -> bool {
    let was_there = release.installed.as_ref() == Some(installed);
    *installed > manifest.version && !(manifest.allow_downgrade && was_there)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upgrade::shelf::testing::{kept_of, manifest_of};

    const NOW: UnixMillis = UnixMillis(7);

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn start(ledger: &mut Ledger) -> Option<String> {
        match ledger.choose(&version("0.1.0"), NOW, |kept| kept.manifest().ok_or_else(String::new)) {
            Start::Installed => None,
            Start::Release(manifest) => Some(manifest.version.to_string()),
        }
    }

    fn release(text: &str, asked: u64) -> Kept {
        kept_of(&manifest_of(text, text.as_bytes(), text.as_bytes()), asked)
    }

    #[test]
    fn a_release_that_does_not_prove_itself_is_started_three_times() {
        let mut ledger = Ledger { verified: Some(release("0.1.5", 1)), ..Ledger::default() };
        let next = release("0.2.0", 2);
        ledger.try_next(next.clone(), vec!["core".into()]);
        let started: Vec<_> = (0..5).map(|_| start(&mut ledger)).collect();
        let wanted = ["0.2.0", "0.2.0", "0.2.0", "0.1.5", "0.1.5"].map(|text| Some(text.to_owned()));
        assert_eq!(started, wanted);
        let file = next.manifest().unwrap().file_sha256;
        let failed = ledger.failure(file, 2).unwrap();
        assert!(failed.was_started && failed.why.contains("3 times"), "{failed:?}");
        assert_eq!(ledger.failure(file, 3), None, "whoever asks anew has it tried again");
    }

    #[test]
    fn a_proven_release_runs_and_the_one_before_is_kept() {
        let mut ledger = Ledger::default();
        assert_eq!(start(&mut ledger), None);
        for text in ["0.2.0", "0.3.0"] {
            ledger.try_next(release(text, 1), Vec::new());
            assert_eq!(start(&mut ledger).as_deref(), Some(text));
            ledger.prove();
            assert_eq!(start(&mut ledger).as_deref(), Some(text));
        }
        // Its file is damaged: the one before, and then what is installed.
        let mut damaged = |bad: &[&str]| {
            let look = |kept: &Kept| {
                let manifest = kept.manifest().unwrap();
                if bad.contains(&manifest.version.to_string().as_str()) {
                    Err("damaged".into())
                } else {
                    Ok(manifest)
                }
            };
            match ledger.choose(&version("0.1.0"), NOW, look) {
                Start::Installed => None,
                Start::Release(manifest) => Some(manifest.version.to_string()),
            }
        };
        assert_eq!(damaged(&["0.3.0"]).as_deref(), Some("0.2.0"));
        assert_eq!(damaged(&["0.2.0", "0.3.0"]), None);
        assert_eq!(damaged(&[]).as_deref(), Some("0.3.0"), "one look that failed has nothing forgotten");
        // It ends soon after each start: neither it nor the same program is what runs then.
        ledger.fail_verified("it ends", NOW);
        assert_eq!(start(&mut ledger).as_deref(), Some("0.2.0"));
        assert!(ledger.failed.iter().any(|failed| failed.version == "0.3.0" && failed.was_started));
        ledger.before = ledger.verified.clone();
        ledger.fail_verified("it ends", NOW);
        assert_eq!(start(&mut ledger), None);
    }

    #[test]
    fn a_newer_package_wins_unless_the_release_was_signed_to_go_back_to() {
        let check = |installed: &str, at: &str, allow_downgrade: bool, expected: Option<&str>| {
            let manifest = Manifest { allow_downgrade, ..manifest_of("0.2.0", b"a", b"b") };
            let verified = Kept { installed: Some(version(at)), ..kept_of(&manifest, 1) };
            let mut ledger = Ledger { verified: Some(verified.clone()), ..Ledger::default() };
            let look = |kept: &Kept| kept.manifest().ok_or_else(String::new);
            let started = ledger.choose(&version(installed), NOW, look);
            let expected = expected.map_or(Start::Installed, |_| Start::Release(manifest.clone()));
            assert_eq!(started, expected);
            let mut trial = Ledger::default();
            trial.try_next(verified, Vec::new());
            assert_eq!(trial.choose(&version(installed), NOW, look), expected);
        };
        check("0.1.0", "0.1.0", false, Some("0.2.0"));
        check("0.2.0", "0.1.0", false, Some("0.2.0"));
        check("0.3.0", "0.1.0", false, None);
        check("0.3.0", "0.3.0", true, Some("0.2.0"));
        check("0.4.0", "0.3.0", true, None);
    }

    proptest! {
        #[test]
        fn whatever_happens_something_runs_and_nothing_is_tried_for_ever(steps in prop::collection::vec(0_u8..6, 1..60)) {
            let (mut ledger, mut trials) = (Ledger::default(), 0_u32);
            for (at, step) in (0_u64..).zip(steps) {
                match step {
                    0 => { ledger.try_next(release(&format!("0.2.{at}"), at), Vec::new()); trials = 0; }
                    1 => ledger.prove(),
                    2 => ledger.fail_trial("time", NOW),
                    _ => {
                        let was_on_trial = ledger.trial.is_some();
                        start(&mut ledger);
                        trials = if was_on_trial && ledger.trial.is_some() { trials + 1 } else { 0 };
                        prop_assert!(trials <= STARTS);
                    }
                }
                prop_assert!(ledger.failed.len() <= FAILED);
                let text = serde_json::to_vec(&ledger).unwrap();
                prop_assert_eq!(serde_json::from_slice::<Ledger>(&text).unwrap(), ledger.clone());
            }
        }
    }
}
