//! Looks at everything that the agent needs, one thing after the other, and says what to do about what is wrong.
//!
//! It changes nothing: not on the routers, not at head office (it does not log in there, because that would push the
//! running agent off the line), and in the state directory only a probe file that it removes again. It works while the
//! agent runs and while it does not. How findings are shown is `main.rs`'s business.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use routeros_api::menu::{HotspotUser, Identity, PppProfile, PppSecret, Resource};
use routeros_api::{Client, Error, Fingerprint, Options, Secret, TlsError, TlsTrust, Transport, TrapKind};
use rustls::ClientConfig;
use serde::Serialize;
use tawi_shared::{Clock, UnixMillis};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clock::TrustedClock;
use crate::config::{Config, ControllerAddress, RouterConfig, WORLD_BITS};
use crate::link::ByteCounters;
use crate::link::dialer::{DialError, dial_address};
use crate::link::tls::client_config;
use crate::outbox::{RESERVE_BYTES, can_write, free_bytes};
use crate::run::router_options;

/// Free space that lets a site be cut off for its 45 days and the store be written anew meanwhile, in bytes.
const COMFORTABLE_BYTES: u64 = 256 * 1024 * 1024;
/// How long a refusal of our certificate may take: TLS 1.3 sends it after the handshake has ended for us.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// How one thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// What was looked at.
    pub subject: String,
    /// How it was found.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty when nothing.
    pub cure: String,
}

impl Finding {
    fn good(subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Good, detail: detail.into(), cure: String::new() }
    }

    fn doubtful(subject: impl Into<String>, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Doubtful, detail: detail.into(), cure: cure.into() }
    }

    fn bad(subject: impl Into<String>, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Bad, detail: detail.into(), cure: cure.into() }
    }
}

/// Looks at everything; `show` is called with each finding as it is made.
pub async fn examine(config: &Config, clock: Clock, mut show: impl FnMut(&Finding)) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |finding: Finding| {
        show(&finding);
        findings.push(finding);
    };
    note(Finding::good("settings", format!("site {}, {} routers", config.site, config.routers.len())));
    examine_key(&config.controller.key_file).into_iter().for_each(&mut note);
    examine_state(&config.state_directory).into_iter().for_each(&mut note);
    match client_config(&config.controller, TrustedClock::new(clock, UnixMillis::default())) {
        Ok(tls) => {
            note(Finding::good("certificates", "the CA, our certificate and its key can be read"));
            for address in &config.controller.addresses {
                note(examine_controller(address, config.controller.server_name.as_deref(), &tls).await);
            }
        }
        Err(error) => note(split_cure("certificates", &error.to_string())),
    }
    if config.routers.is_empty() {
        note(Finding::doubtful(
            "routers",
            "none is configured",
            "add a [[router]] table to agent.toml or routers.toml",
        ));
    }
    for router in &config.routers {
        for finding in examine_router(router).await {
            note(finding);
        }
    }
    findings
}

/// Turns a message of the settings' kind, with its cure on a line of its own, into a finding.
fn split_cure(subject: &str, message: &str) -> Finding {
    let (detail, cure) = message.split_once("\n  cure: ").unwrap_or((message, ""));
    Finding::bad(subject, detail, cure)
}

fn examine_key(path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if mode & WORLD_BITS == 0 {
        return Some(Finding::good("key file", format!("{} has mode {mode:04o}", path.display())));
    }
    let cure = format!("chmod 0640 {}", path.display());
    Some(Finding::bad("key file", format!("{} has mode {mode:04o}", path.display()), cure))
}

fn examine_state(directory: &Path) -> Option<Finding> {
    let subject = "state directory";
    let name = directory.display();
    if !directory.exists() {
        let cure = "start the agent once, or make the directory for the agent's user: install -d -m 0700 -o tawi-agent";
        return Some(Finding::doubtful(
            subject,
            format!("{name} does not exist yet"),
            format!("{cure} {name}"),
        ));
    }
    if let Err(error) = can_write(directory) {
        let cure = format!("run the doctor as the agent's user, or chown -R tawi-agent {name}");
        return Some(Finding::bad(subject, format!("{name} cannot be written: {error}"), cure));
    }
    let free = free_bytes(directory).ok()?;
    let (free_mib, detail) =
        (free / 1024 / 1024, |text: &str| format!("{name}: {} MiB free{text}", free / 1024 / 1024));
    if free < RESERVE_BYTES.saturating_mul(2) {
        let cure = "free some space: journalctl --vacuum-size=50M; apt-get clean";
        return Some(Finding::bad(subject, detail(", and the store needs more"), cure));
    }
    if free < COMFORTABLE_BYTES {
        let cure = "free some space, so that a long outage fits: journalctl --vacuum-size=50M";
        return Some(Finding::doubtful(subject, detail(""), cure));
    }
    Some(Finding::good(subject, format!("{name} can be written, {free_mib} MiB free")))
}

async fn examine_controller(
    address: &ControllerAddress,
    server_name: Option<&str>,
    tls: &Arc<ClientConfig>,
) -> Finding {
    let subject = format!("head office {address}");
    let connector = TlsConnector::from(Arc::clone(tls));
    let bytes = Arc::new(ByteCounters::default());
    let mut dialed = match dial_address(address, server_name, &connector, &bytes).await {
        Ok(dialed) => dialed,
        Err(error) => {
            let cure = cure_of(&error);
            return Finding::bad(subject, error.to_string(), cure);
        }
    };
    // Whoever lets us in waits for us to speak; whoever refuses our certificate says so now.
    let mut byte = [0; 1];
    match timeout(REFUSAL_WAIT, dialed.stream.read(&mut byte)).await {
        Err(_) => Finding::good(
            subject,
            "reached, and its certificate is right; whether this site was revoked or renewed shows when the agent connects: tawi-agent status",
        ),
        Ok(Ok(count)) if count > 0 => Finding::bad(
            subject,
            "what answers speaks first, which the controller does not",
            "correct controller.addresses: another service listens there",
        ),
        Ok(outcome) => Finding::bad(
            subject,
            format!(
                "it refused our certificate: {}",
                outcome.err().map_or("it hung up".to_owned(), |error| error.to_string())
            ),
            "ask head office whether this site was revoked or given a newer bundle, and copy that here",
        ),
    }
}

fn cure_of(error: &DialError) -> String {
    match error {
        DialError::Connect { source, .. } => match source.kind() {
            std::io::ErrorKind::ConnectionRefused => "nothing listens there: check the port in controller.addresses, and that the controller runs",
            std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => "check this machine's default route: ip route",
            _ => "check the name in controller.addresses and this machine's DNS: getent hosts <name>",
        },
        DialError::Tls { source, .. } => {
            let text = source.to_string();
            if text.contains("UnknownIssuer") || text.contains("BadSignature") {
                "the CA file is not the one that signed the controller's certificate: copy ca.pem from a fresh bundle"
            } else if text.contains("not valid for name") || text.contains("NotValidForName") {
                "set controller.server_name to a name in the controller's certificate"
            } else if text.contains("Expired") || text.contains("expired") {
                "check this machine's clock: timedatectl; if it is right, restart the controller, which makes its certificate anew"
            } else {
                "check that the port is the controller's MQTT port, and that nothing between reads TLS"
            }
        }
        DialError::TooSlow { .. } => "a firewall on the way drops the port: allow it outwards, or try another address of the controller",
        DialError::BadName { .. } => "write controller.addresses with a host name or an address",
    }
    .to_owned()
}

async fn examine_router(router: &RouterConfig) -> Vec<Finding> {
    let subject = format!("router {}", router.name);
    let options = match router_options(router) {
        Ok(options) => options,
        Err(error) => return vec![split_cure(&subject, &error.to_string())],
    };
    let client = match Client::connect(options).await {
        Ok(client) => client,
        Err(error) => return vec![Finding::bad(subject, chain(&error), cure_of_router(&error))],
    };
    let mut findings = vec![greet(&client, &subject).await];
    let secrets = client.menu::<PppSecret>().count().await;
    let profiles = client.menu::<PppProfile>().count().await;
    let users = client.menu::<HotspotUser>().count().await;
    for (what, counted) in [("/ppp/secret", secrets), ("/ppp/profile", profiles), ("/ip/hotspot/user", users)]
    {
        findings.push(match counted {
            Ok(count) => Finding::good(&subject, format!("{what} can be read: {count} rows")),
            // A router without the hotspot package serves PPPoE all the same.
            Err(error) if error.trap_kind() == Some(TrapKind::NoSuchCommand) => Finding::doubtful(
                &subject,
                format!("{what} is not there"),
                "install the package if lines of that kind are sold at this site",
            ),
            Err(error) => {
                Finding::bad(&subject, format!("{what}: {}", chain(&error)), cure_of_router(&error))
            }
        });
    }
    client.close();
    findings
}

async fn greet(client: &Client, subject: &str) -> Finding {
    let identity = client.single::<Identity>().await;
    let resource = client.single::<Resource>().await;
    match (identity, resource) {
        (Ok(identity), Ok(resource)) => {
            let name = identity.name.as_deref().map_or("unknown".into(), String::from_utf8_lossy);
            let release = resource.version.as_deref().map_or("unknown".into(), String::from_utf8_lossy);
            let detail = format!("logged in to {name:?}, RouterOS {release}");
            match resource.release() {
                Some(version) if (version.major, version.minor) < (6, 49) => Finding::bad(
                    subject,
                    detail,
                    "upgrade RouterOS to 6.49 or later: /system package update install",
                ),
                _ => Finding::good(subject, detail),
            }
        }
        (Err(error), _) | (_, Err(error)) => Finding::bad(subject, chain(&error), cure_of_router(&error)),
    }
}

fn cure_of_router(error: &Error) -> String {
    match error {
        Error::Connect { .. } => "check router.address, the cable, and that /ip service has api-ssl (or api) enabled for this machine's address",
        // These texts name their cure themselves.
        Error::Tls(_) => "see above",
        Error::Login(_) => "check router.user and its password file; on the router: /user print, and the address list of the user",
        Error::Trap(_) if error.trap_kind() == Some(TrapKind::NotPermitted) => {
            "give the user's group the policies read, write, api, sensitive and test: /user group print"
        }
        Error::Timeout { .. } => "the router is overloaded or a firewall drops the port: /system resource print; /ip firewall filter print",
        Error::Protocol(_) => "another service listens on that port: check router.address and router.transport",
        _ => "try again; if it stays, read the router's log: /log print",
    }
    .to_owned()
}

/// An error with its causes, which carry the system's own words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
        Err(error) => Err(chain(&error)),
        Ok(client) => {
            client.close();
            Err("it shows no certificate".to_owned())
        }
    }
}
