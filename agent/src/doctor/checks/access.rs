//! Who may do what: our user's policies, and how open the API stands.
//!
//! Pure.

use super::super::facts::{Facts, is_set, text};
use super::super::finding::Finding;

/// What the agent cannot do without.
const NEEDED: [&str; 3] = ["read", "write", "api"];
/// What it has no use for, and a thief of its password has.
const SURPLUS: [&str; 12] = [
    "policy", "password", "ftp", "ssh", "telnet", "winbox", "web", "rest-api", "reboot", "sniff", "romon",
    "local",
];
/// The agent, this doctor, a technician with WinBox, and two that hang: below that somebody is locked out one day.
const FEWEST_SESSIONS: u64 = 5;
const SCRIPT: &str = "paste the script of tawi-agent router-script again";

pub(super) fn policies(facts: &Facts) -> Vec<Finding> {
    let check = "policies";
    let Some(group) = facts.value("user", "group") else { return vec![] };
    let found = facts.rows("groups").iter().find(|row| text(row, "name") == Some(group));
    let Some(policy) = found.and_then(|row| text(row, "policy")) else { return vec![] };
    let granted: Vec<&str> = policy.split(',').filter(|word| !word.starts_with('!')).collect();
    let lacks: Vec<&str> = NEEDED.into_iter().filter(|name| !granted.contains(name)).collect();
    if lacks.contains(&"api") {
        return vec![Finding::bad(
            check,
            format!("the group {group} of our user lacks {}: the next login is refused", lacks.join(", ")),
            format!(
                "at the router, before the connection that is there ends: /user group set [find where name=\"{group}\"] policy={}; what was denied by name stays as it is",
                lacks.join(",")
            ),
        )];
    }
    if !lacks.is_empty() {
        return vec![Finding::bad(
            check,
            format!("the group {group} of our user lacks {}", lacks.join(", ")),
            format!("{SCRIPT}, or: /user group set {group} policy={}", lacks.join(",")),
        )];
    }
    let surplus: Vec<&str> = SURPLUS.into_iter().filter(|name| granted.contains(name)).collect();
    if surplus.is_empty() {
        return vec![Finding::good(
            check,
            format!("the group {group} has what is needed: {}", granted.join(", ")),
        )];
    }
    vec![Finding::doubtful(
        check,
        format!("the group {group} of our user has more than it needs: {}", surplus.join(", ")),
        "make a user for the agent alone: tawi-agent router-script",
    )]
}

/// How a command names a service, and the addresses that it lets in: the script does it the same way.
fn as_commands_name(facts: &Facts, service: &str) -> (String, &'static str) {
    let release = facts.release().unwrap_or_default();
    let row = if release >= (7, 19) {
        format!("[/ip service find where name={service} !dynamic]")
    } else {
        service.to_owned()
    };
    (row, if release >= (7, 24) { "available-from" } else { "address" })
}

pub(super) fn services(facts: &Facts) -> Vec<Finding> {
    let check = "api service";
    // From some release on, the menu lists open connections too.
    let is_service = |row: &&super::super::facts::Row| !is_set(row, "dynamic") && !is_set(row, "connection");
    let rows: Vec<_> = facts.rows("services").iter().filter(is_service).collect();
    let mut findings = Vec::new();
    for row in rows.iter().filter(|row| !is_set(row, "disabled")) {
        let name = text(row, "name").unwrap_or("api");
        let (named, argument) = as_commands_name(facts, name);
        let is_open = text(row, "available-from").or(text(row, "address")).is_none();
        if let Some(most) = text(row, "max-sessions").and_then(|most| most.parse::<u64>().ok())
            && most < FEWEST_SESSIONS
        {
            findings.push(Finding::doubtful(
                check,
                format!("{name} takes {most} sessions at a time, and programs share them"),
                format!("/ip service set {named} max-sessions=20"),
            ));
        }
        if is_open && name == "api" {
            findings.push(Finding::doubtful(
                check,
                "api takes connections from everywhere, and sends passwords in clear text",
                format!(
                    "/ip service disable {named}; or, where a program needs it, let that one's address alone in: /ip service set {named} {argument}=192.0.2.10/32"
                ),
            ));
        } else if is_open {
            findings.push(Finding::doubtful(
                check,
                format!("{name} takes connections from everywhere"),
                format!("{SCRIPT}, which lets only the agent's address in"),
            ));
        }
        if name == "api" && !is_open {
            findings.push(Finding::doubtful(
                check,
                "api is enabled, and sends passwords in clear text",
                format!("/ip service disable {named}, unless another program needs it"),
            ));
        }
        if name == "api-ssl" && matches!(text(row, "certificate"), None | Some("none")) {
            findings.push(Finding::doubtful(
                check,
                "api-ssl has no certificate, and so offers only ciphers that prove nothing",
                format!("{SCRIPT}, which makes one"),
            ));
        }
    }
    if findings.is_empty() && !rows.is_empty() {
        findings.push(Finding::good(check, "it takes connections from few addresses, over TLS"));
    }
    findings
}
