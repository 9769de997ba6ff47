//! Proves a short code step by step: each step says what was found and what cures it. Nothing here moves money.
//!
//! What an answer means is `verdicts`, which is pure; what is asked of this machine is `local`, of Safaricom `remote`. That
//! Safaricom reaches us cannot be proved from here, and is said so.

mod local;
mod remote;
mod verdicts;

use std::time::Duration;

pub(super) use self::local::callback_url;
use super::client::Daraja;
use crate::state::Controller;

/// How a step ended, from well to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it has to be.
    Ok,
    /// Not looked at, because something that it needs is not there.
    Skipped,
    /// It works, or nobody can say, and somebody should look.
    Doubt,
    /// It does not work.
    Bad,
}

impl Verdict {
    /// The word that people and programs read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Skipped => "SKIPPED",
            Self::Doubt => "DOUBT",
            Self::Bad => "BAD",
        }
    }
}

/// What was found in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub step: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing.
    pub cure: String,
}

impl Finding {
    fn new(step: &'static str, verdict: Verdict, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { step, verdict, found: found.into(), cure: cure.into() }
    }

    fn ok(step: &'static str, found: impl Into<String>) -> Self {
        Self::new(step, Verdict::Ok, found, "")
    }
}

impl Finding {
    /// Whether the API operator was refused: asking again counts as another try.
    #[must_use]
    pub fn is_operator_refused(&self) -> bool {
        self.step == remote::OPERATOR && self.verdict == Verdict::Bad
    }
}

/// Whether results are heard.
#[derive(Clone, Debug)]
pub enum Hearing {
    /// They are waited for at most so long.
    For(Duration),
    /// Nobody serves, and why that is known.
    Nobody(String),
}

/// Proves everything, in the order in which one step needs another.
pub async fn examine(
    controller: &Controller,
    daraja: &Daraja,
    hearing: &Hearing,
    asker: &str,
) -> Vec<Finding> {
    let settings = daraja.settings();
    let mut findings = local::secrets(settings);
    findings.extend(local::operator(settings, controller.clock.now()));
    findings.push(local::callback_url(settings).await);
    findings.extend(local::senders(controller, settings).await);
    findings.extend(local::sites(controller, settings).await);
    findings.push(remote::c2b(controller, settings).await);
    let reach = remote::reach(controller, daraja).await;
    let is_reached =
        reach.iter().all(|finding| finding.step != remote::REACH || finding.verdict == Verdict::Ok);
    findings.extend(reach);
    if !is_reached {
        findings.extend(remote::skipped(&remote::AFTER_REACH, "Safaricom is not reached"));
        return findings;
    }
    let token = remote::token(daraja).await;
    let has_token = token.verdict == Verdict::Ok;
    findings.push(token);
    if !has_token {
        findings.extend(remote::skipped(&remote::AFTER_TOKEN, "there is no access token"));
        return findings;
    }
    findings.push(remote::stk(controller, daraja).await);
    findings.push(remote::pull(controller, daraja).await);
    findings.push(remote::operator(controller, daraja, hearing, asker).await);
    findings
}
