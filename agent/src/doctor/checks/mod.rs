//! What the facts of a router mean: one function a check, each with its cure.
//!
//! Pure: facts in, findings out. `access.rs` is about who may do what, `health.rs` about the box, `services.rs` about what
//! customers need of it, `order.rs` about rows of others that stand before ours. A check that has nothing to look at says nothing; one that could not look says so.

mod access;
mod health;
mod order;
mod services;

#[cfg(test)]
mod tests;

pub(super) use self::health::{is_another, is_new_here, remembered};
use super::facts::{Answer, Facts};
use super::finding::Finding;

/// Everything that can be said of a router that was read.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let checks: [fn(&Facts) -> Vec<Finding>; 21] = [
        health::release,
        health::serial,
        access::policies,
        access::services,
        health::clock,
        health::flash,
        health::wear,
        services::device_mode,
        services::packages,
        services::licence,
        services::readable,
        services::servers,
        services::pools,
        services::default_profile,
        services::our_profiles,
        services::fasttrack,
        services::walls,
        services::logging,
        order::queues,
        order::bindings,
        unread,
    ];
    checks.iter().flat_map(|check| check(facts)).collect()
}

/// Questions to which the router had another answer than rows, and that no other check tells of.
fn unread(facts: &Facts) -> Vec<Finding> {
    let mut refused = Vec::new();
    let mut findings = Vec::new();
    for (question, answer) in &facts.answers {
        match answer {
            Answer::Refused => refused.push(*question),
            Answer::Failed(why) => findings.push(Finding::doubtful(
                "reads",
                format!("{question} could not be read: {why}"),
                "try again; if it stays, read the router's log: /log print",
            )),
            Answer::Rows(_) | Answer::Absent => {}
        }
    }
    if !refused.is_empty() {
        findings.push(Finding::bad(
            "reads",
            format!("our user may not read: {}", refused.join(", ")),
            "give its group the policy read: paste the script of tawi-agent router-script again",
        ));
    }
    findings
}
