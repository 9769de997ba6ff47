//! `mpesa doctor`: the findings on a short code as a person and as a program read them.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::{Failure, Shell};
use crate::mpesa::doctor::{self, Finding, Hearing, Verdict};

/// The form of the JSON.
const SCHEMA: u32 = 1;

impl Shell {
    pub(super) async fn doctor(&self, wait: u64) -> Result<(), Failure> {
        let daraja = self.daraja()?;
        let hearing = match self.is_served().await {
            Ok(()) => Hearing::For(Duration::from_secs(wait)),
            Err(why) => Hearing::Nobody(why),
        };
        let asker = self.actor.to_string();
        let findings = doctor::examine(&self.controller, &daraja, &hearing, &asker).await;
        let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
        let mut words = format!("Short code {}", daraja.settings().short_code());
        for Finding { step, verdict, found, cure } in &findings {
            let _ = write!(words, "\n{:<7} {step}: {found}", verdict.word());
            if !cure.is_empty() {
                let _ = write!(words, "\n        cure: {cure}");
            }
        }
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                json!({
                    "step": finding.step, "verdict": finding.verdict.word(), "found": finding.found,
                    "cure": finding.cure,
                })
            })
            .collect();
        let value = json!({
            "schema": SCHEMA, "short_code": daraja.settings().short_code(), "verdict": worst.word(), "findings": rows,
        });
        self.output.say(&words, &value)?;
        if worst == Verdict::Bad {
            return Err(Failure::refused("something is BAD: see above"));
        }
        Ok(())
    }
}
