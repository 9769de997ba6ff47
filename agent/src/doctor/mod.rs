//! Looks at everything that the agent needs, one thing after the other, and says what to do about what is wrong.
//!
//! It changes nothing: not on the routers, not at head office, and in the state directory it keeps one small file of what
//! it saw (`memory.rs`). It logs in to each router once, reads a bounded number of rows and leaves. It works while the agent
//! runs and while it does not. What is read (`read.rs`, `device.rs`, `office.rs`) stands apart from what it means
//! (`checks/`); how findings are shown is `cli/doctor.rs`'s business.

mod checks;
mod device;
mod facts;
mod finding;
mod memory;
mod office;
mod read;
mod site_certificate;

use std::collections::BTreeMap;

use routeros_api::{Client, Error, Fingerprint, Options, Secret, TlsError, TlsTrust, Transport};
use tawi_shared::{Clock, counted};

use crate::boards;
use crate::clock::{KeptTime, TrustedClock};
use crate::config::{Config, ConfigError, RouterConfig};
use crate::health::{RouterStatus, Status};
use crate::link::dialer::Way;
use crate::link::tls::{certificates, client_config};
use crate::run::router_options;
use crate::status::ask_status;
use crate::trouble::trouble_of;

use self::facts::Facts;
pub use self::finding::{Finding, Report, Verdict};
use self::memory::Memory;

const MACHINE: &str = "this machine";
const OFFICE: &str = "head office";

/// Looks at everything; `show` is called with each finding as it is made. `accepts_routers`: a router with another serial
/// number than before is the right one from now on.
pub async fn examine(
    config: &Config,
    clock: Clock,
    accepts_routers: bool,
    mut show: impl FnMut(&Finding),
) -> Report {
    let mut findings = Vec::new();
    let mut note = |finding: Finding, group: &str| {
        let finding = finding.of(group);
        show(&finding);
        findings.push(finding);
    };
    let routers = config.routers.len();
    let routers = counted(routers, "router");
    note(Finding::good("settings", format!("site {}, {routers}", config.site)), MACHINE);
    if config.routers.is_empty() {
        let cure = "add one: sudo tawi-agent router add core 192.168.88.1";
        note(Finding::doubtful("routers", "none is configured", cure), MACHINE);
    }
    for finding in
        device::key(&config.controller.key_file).into_iter().chain(device::state(&config.state_directory))
    {
        note(finding, MACHINE);
    }
    let status = ask_status(&config.status_socket()).await;
    for finding in device::agent(&status) {
        note(finding, MACHINE);
    }
    let status = status.ok();
    note(device::upgrades(&config.upgrade, status.as_ref().map(|status| &status.upgrade)), MACHINE);
    if let Some(damage) = &config.damage {
        let detail = format!("{damage}: the site is served without head office");
        note(Finding::bad("identity", detail, config.cure_of_identity()), OFFICE);
    }
    match client_config(&config.controller, TrustedClock::new(clock.clone(), KeptTime::default())) {
        Ok(tls) => {
            note(Finding::good("certificates", "the CA, our certificate and its key can be read"), OFFICE);
            let chain = certificates("certificate_file", &config.controller.certificate_file);
            if let Some(own) = chain.ok().and_then(|chain| chain.into_iter().next()) {
                note(site_certificate::examine(&own, config.site.as_str()), OFFICE);
                let left = site_certificate::remaining(&own, clock.now(), config.is_enrolled());
                left.into_iter().for_each(|finding| note(finding, OFFICE));
            }
            let cure = config.cure_of_identity();
            for address in &config.controller.mqtt_addresses() {
                let way = Way::of(&config.controller);
                note(office::examine_controller(address, way, &tls, &cure).await, OFFICE);
            }
        }
        Err(error) => {
            let found = split_cure("certificates", &error.to_string());
            note(Finding { cure: config.cure_of_identity(), ..found }, OFFICE);
        }
    }
    if let Some(status) = &status {
        note(office::connection_of(status), OFFICE);
    }
    let mut memory = Memory::load(&config.state_directory);
    let boards = boards::load(&config.state_directory);
    for router in &config.routers {
        let group = format!("router {}", router.name);
        let facts = facts_of(router, status.as_ref(), &memory, &boards, accepts_routers);
        let (found, seen) = examine_router(router, facts, &clock).await;
        for finding in found {
            note(finding, &group);
        }
        if let Some(seen) = seen {
            memory.note(&router.name, seen);
        }
    }
    memory.keep(&config.state_directory);
    Report::new(config.site.to_string(), findings)
}

/// Looks at one router alone, such as one that was just prepared and is the right one whatever was seen before.
pub async fn examine_only(config: &Config, router: &RouterConfig, clock: Clock) -> Vec<Finding> {
    let status = ask_status(&config.status_socket()).await.ok();
    let mut memory = Memory::load(&config.state_directory);
    let boards = boards::load(&config.state_directory);
    let facts = facts_of(router, status.as_ref(), &memory, &boards, true);
    let (found, seen) = examine_router(router, facts, &clock).await;
    if let Some(seen) = seen {
        memory.note(&router.name, seen);
        memory.keep(&config.state_directory);
    }
    found
}

/// What is known of a router before it is asked.
fn facts_of(
    router: &RouterConfig,
    status: Option<&Status>,
    memory: &Memory,
    boards: &BTreeMap<String, String>,
    accepts_routers: bool,
) -> Facts {
    let standing = status.and_then(|status| standing_of(status, &router.name));
    Facts {
        router: router.name.clone(),
        user: router.user.clone(),
        seen: memory.of(&router.name).cloned(),
        board: boards.get(&router.name).cloned(),
        is_accepted: accepts_routers,
        lines: standing.map(|router| router.lines.clone()),
        lines_by_template: standing.and_then(|router| router.lines_by_template),
        walled: standing.and_then(|router| router.walled),
        lines_known: lines_known(status),
        ..Facts::default()
    }
}

/// What is said where not even the settings can be read: nothing else could be looked at.
#[must_use]
pub fn unsettled(error: &ConfigError) -> Report {
    Report::new(String::new(), vec![split_cure("settings", &error.to_string()).of(MACHINE)])
}

/// Turns a message of the settings' kind, with its cure on a line of its own, into a finding.
fn split_cure(check: &'static str, message: &str) -> Finding {
    let (detail, cure) = message.split_once("\n  cure: ").unwrap_or((message, ""));
    Finding::bad(check, detail, cure)
}

async fn examine_router(
    router: &RouterConfig,
    mut facts: Facts,
    clock: &Clock,
) -> (Vec<Finding>, Option<memory::Seen>) {
    let options = match router_options(router) {
        Ok(options) => options,
        Err(error) => return (vec![split_cure("tls", &error.to_string())], None),
    };
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error) => {
            let trouble = trouble_of(&error);
            return (vec![Finding::bad(trouble.part, trouble.why, trouble.cure)], None);
        }
    };
    let read = read::router(&client, clock, &mut facts).await;
    client.close();
    let mut findings = vec![Finding::good("login", format!("logged in as {}", router.user))];
    if let Err(error) = read {
        let trouble = trouble_of(&error);
        findings.push(Finding::bad(trouble.part, trouble.why, trouble.cure));
        return (findings, None);
    }
    let seen = checks::remembered(&facts);
    if checks::is_new_here(&facts) && (facts.is_accepted || !checks::is_another(&facts)) {
        // Whoever says that it was replaced is not told so, nor how worn the other one was.
        facts.seen = None;
    }
    findings.extend(checks::all(&facts));
    (findings, Some(seen))
}

/// A router and its lines, as the running agent has them.
fn standing_of<'s>(status: &'s Status, router: &str) -> Option<&'s RouterStatus> {
    // Before head office has spoken there are none, and nobody knows how many there will be.
    if status.state.generation == 0 {
        return None;
    }
    status.routers.iter().find(|found| found.name == router)
}

/// What would have to be for the lines of a router to be known that has no standing.
fn lines_known(status: Option<&Status>) -> &'static str {
    match status {
        None => "when the agent runs",
        Some(status) if status.state.generation == 0 => "once head office has told the agent of its lines",
        Some(_) => "once the agent was restarted, which serves this router then",
    }
}

/// Whether a router lets the agent's user in over TLS, and the fingerprint of the certificate that it shows. Which router it
/// is nobody can tell yet: whoever asks first believes what answers, and compares the pin.
///
/// # Errors
/// What stands in the way, in words.
pub async fn prove(address: &str, user: &str, password: &str) -> Result<Fingerprint, String> {
    let pin = pin_of(address).await?;
    let password = Secret::new(password.as_bytes().to_vec());
    match Client::connect(Options::new(address, Transport::Tls(TlsTrust::Pin(pin)), user, password)).await {
        Ok(client) => {
            client.close();
            Ok(pin)
        }
        Err(error) => Err(trouble_of(&error).why),
    }
}

/// The fingerprint of the certificate that a router shows. Nothing is sent to it but the start of a handshake: no user
/// name and no password.
///
/// # Errors
/// What stands in the way, in words.
pub async fn pin_of(address: &str) -> Result<Fingerprint, String> {
    // No certificate has it, so that the handshake must end before the login.
    let nothing = Fingerprint::of(b"");
    let transport = Transport::Tls(TlsTrust::Pin(nothing));
    match Client::connect(Options::new(address, transport, "", Secret::new(Vec::new()))).await {
        Err(Error::Tls(TlsError::PinMismatch { found, .. })) => Ok(found),
        Err(error) => Err(trouble_of(&error).why),
        Ok(client) => {
            client.close();
            Err("it shows no certificate".to_owned())
        }
    }
}
