//! What the doctor says of one thing, and of all together.
//!
//! Pure data. The JSON of `tawi-agent doctor --json` is [`Report`]: keys and the names of checks are only ever added.

use serde::Serialize;

/// The form of the JSON.
const SCHEMA: u32 = 1;

/// How one thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and should still be looked at.
    Doubtful,
    /// It keeps the agent from its work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it belongs: `this machine`, `head office` or `router <name>`.
    pub group: String,
    /// What was looked at: a stable name.
    pub check: &'static str,
    /// How it was found.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty when nothing.
    pub cure: String,
}

impl Finding {
    pub(super) fn good(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            group: String::new(),
            check,
            verdict: Verdict::Good,
            detail: detail.into(),
            cure: String::new(),
        }
    }

    pub(super) fn doubtful(check: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Doubtful, cure: cure.into(), ..Self::good(check, detail) }
    }

    pub(super) fn bad(check: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, cure: cure.into(), ..Self::good(check, detail) }
    }

    pub(super) fn of(self, group: &str) -> Self {
        Self { group: group.to_owned(), ..self }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The form of this JSON.
    pub schema: u32,
    /// The agent's release.
    pub version: &'static str,
    /// Which site; empty where the settings cannot be read.
    pub site: String,
    /// The worst of all.
    pub verdict: Verdict,
    /// How many are good.
    pub good: usize,
    /// How many should be looked at.
    pub doubtful: usize,
    /// How many keep the agent from its work.
    pub bad: usize,
    /// One by one, in the order in which they were looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(site: String, findings: Vec<Finding>) -> Self {
        let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            site,
            verdict: findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Good),
            good: count(Verdict::Good),
            doubtful: count(Verdict::Doubtful),
            bad: count(Verdict::Bad),
            findings,
        }
    }
}
