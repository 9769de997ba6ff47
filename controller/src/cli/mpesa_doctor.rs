//! `mpesa doctor`: the findings on each short code as a person and as a program read them.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::{Failure, Shell};
use crate::mpesa::doctor::{self, Finding, Hearing, Verdict};
use crate::mpesa::health;
use crate::mpesa::operator::OperatorSettings;

/// The form of the JSON: 2 since there are several short codes.
const SCHEMA: u32 = 2;

/// A wrong password counts as a try, and M-Pesa locks an operator after a few.
const REFUSED_ABOVE: &str = "the same operator was refused above, and is not asked again";

impl Shell {
    pub(super) async fn doctor(&self, wait: u64, short_code: Option<&str>) -> Result<(), Failure> {
        let examined = match short_code {
            Some(said) => vec![self.daraja(Some(said))?],
            None => self.short_codes()?.all().cloned().collect(),
        };
        let hearing = match self.is_served().await {
            Ok(()) => Hearing::For(Duration::from_secs(wait)),
            Err(why) => Hearing::Nobody(why),
        };
        let asker = self.actor.to_string();
        let (mut words, mut rows, mut worst) = (Vec::new(), Vec::new(), Verdict::Ok);
        let mut refused: Vec<&OperatorSettings> = Vec::new();
        for daraja in &examined {
            let short_code = daraja.settings().short_code();
            let operator = daraja.settings().operator();
            let was_refused =
                operator.is_some_and(|operator| refused.iter().any(|other| operator.signs_in_like(other)));
            let hearing =
                if was_refused { Hearing::Nobody(REFUSED_ABOVE.to_owned()) } else { hearing.clone() };
            let findings = doctor::examine(&self.controller, daraja, &hearing, &asker).await;
            if findings.iter().any(Finding::is_operator_refused) {
                refused.extend(operator);
            }
            self.keep_findings(short_code, &findings).await;
            worst = findings.iter().map(|finding| finding.verdict).fold(worst, Verdict::max);
            words.push(said_of(short_code, &findings));
            rows.push(json!({"short_code": short_code, "findings": listed(&findings)}));
        }
        let value = json!({"schema": SCHEMA, "verdict": worst.word(), "short_codes": rows});
        self.output.say(&words.join("\n\n"), &value)?;
        if worst == Verdict::Bad {
            return Err(Failure::refused("something is BAD: see above"));
        }
        Ok(())
    }

    /// Keeps them for the page of how short codes do. A doctor that cannot write is one all the same.
    async fn keep_findings(&self, short_code: &str, findings: &[Finding]) {
        let kept = async {
            let mut transaction = self.controller.database.write().await?;
            let now = self.controller.clock.now();
            health::keep_doctor(&mut transaction, short_code, findings, now).await?;
            transaction.commit().await
        };
        if let Err(error) = kept.await {
            self.output.tell(&format!("what was found is not kept for the page of M-Pesa: {error}"));
        }
    }
}

fn said_of(short_code: &str, findings: &[Finding]) -> String {
    let mut words = format!("Short code {short_code}");
    for Finding { step, verdict, found, cure } in findings {
        let _ = write!(words, "\n{:<7} {step}: {found}", verdict.word());
        if !cure.is_empty() {
            let _ = write!(words, "\n        cure: {cure}");
        }
    }
    words
}

fn listed(findings: &[Finding]) -> Vec<serde_json::Value> {
    let row = |finding: &Finding| {
        json!({
            "step": finding.step, "verdict": finding.verdict.word(), "found": finding.found, "cure": finding.cure,
        })
    };
    findings.iter().map(row).collect()
}
