//! The agent's settings: one TOML file, with an optional `routers.toml` beside it.
//!
//! ```text
//! agent.toml + routers.toml ──serde──> RawConfig (unknown keys refused) ──check──> Config (valid by construction)
//!                                      identity/ (what agent.toml leaves out) ──┘
//! ```
//!
//! This is the only file that reads the environment. It refuses secrets that every user of the machine can read, and
//! routers across the open internet without TLS. What each key means to a technician stands in
//! `packaging/agent.toml`, which a test reads with this code. Every refusal names the key and the cure.

mod files;
mod identity;
mod launching;
mod outline;
mod proxy;
mod raw;
mod router;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tawi_shared::SiteId;
use tawi_shared::release::ReleaseKey;
use tawi_shared::settings::{BadValue, level};
use tawi_shared::wire::Setting;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

pub(crate) use files::WORLD_BITS;
pub use files::{Environment, Secret};
pub use identity::{
    CA_FILE, CERTIFICATE_FILE, FORMER_IDENTITY, IDENTITY, Identity, KEY_FILE, Named, SETTINGS_FILE,
};
pub use launching::Launching;
pub use outline::{RouterOutline, check_routers_text, outline_of};
pub use proxy::Proxy;
pub use router::{RouterConfig, RouterTransport};

use crate::upgrade::UpgradeConfig;
use files::Finder;
use raw::{RawConfig, RawController, RawEnforce, RawRouters, RawUpgrade};

/// Where the packaged unit looks for the file.
pub const DEFAULT_PATH: &str = "/etc/tawi-agent/agent.toml";
/// The optional second file, in the directory of the first: only `[[router]]` tables.
pub const ROUTERS_FILE: &str = "routers.toml";
/// The port of a controller address that names none: MQTT over TLS.
pub const CONTROLLER_PORT: u16 = 8883;
/// The most routers of one site. Each costs a connection, a task and a full check every two minutes.
pub const ROUTERS: usize = 64;
/// The most release keys: the one in use, the next one, and one that rests.
const RELEASE_KEYS: usize = 4;
/// The most controller addresses; more only make a site wait longer for the one that works.
pub const CONTROLLER_ADDRESSES: usize = 8;

/// Why the settings cannot be used. `main` prints it and exits 78.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}\n  cure: {cure}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What a technician does about it.
        cure: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist. The text of the line is left out: it may hold a secret.
    #[error("{}:{line}: {message}\n  cure: correct that line; the packaged agent.toml explains every key", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the reader found.
        message: String,
    },
    /// A value that cannot be right.
    #[error("{key}: {problem}\n  cure: {cure}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What a technician does about it.
        cure: String,
    },
}

impl ConfigError {
    fn value(key: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::Value { key: key.into(), problem: problem.into(), cure: cure.into() }
    }

    /// What is wrong, without what helps.
    #[must_use]
    pub fn said(&self) -> String {
        let whole = self.to_string();
        whole.split_once("\n  cure: ").map_or(whole.as_str(), |(said, _)| said).to_owned()
    }

    /// Whether only whoever asks may not look.
    fn is_of_rights(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
    }
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which site this is; the controller's certificate for it says the same.
    pub site: SiteId,
    /// Where the store rests.
    pub state_directory: PathBuf,
    /// Where sockets live that need not survive a restart: systemd's runtime directory, or `run` in the state
    /// directory.
    pub runtime_directory: PathBuf,
    /// How to reach head office.
    pub controller: ControllerConfig,
    /// The site's routers. Names are unique.
    pub routers: Vec<RouterConfig>,
    /// How closely routers are watched.
    pub enforce: EnforceConfig,
    /// What is logged.
    pub log_level: LevelFilter,
    /// Whose releases of the agent are taken.
    pub upgrade: UpgradeConfig,
    /// What of this device's identity cannot be used although the settings need it: the agent serves the site all the same,
    /// without head office.
    pub damage: Option<String>,
}

/// How to reach head office.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// Where head office is. Empty only where the identity that should say so is damaged.
    pub addresses: Vec<ControllerAddress>,
    /// Where it hears MQTT, if not there.
    pub brokers: Vec<ControllerAddress>,
    /// Whether the settings name those themselves, whatever head office says.
    pub names_brokers: bool,
    /// The name that the controller's certificate must carry; `None` for the host of each address.
    pub server_name: Option<String>,
    /// Through what they are reached; `None`: directly.
    pub proxy: Option<Proxy>,
    /// Who may have signed the controller's certificate.
    pub ca_file: PathBuf,
    /// Our certificate, and what leads from it to the CA.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// How often a silent line is tried.
    pub keep_alive: Option<Duration>,
    /// What may be told on it in an hour, in bytes; 0 without a bound.
    pub hourly_bytes: u64,
    /// The first pause before another try; it doubles up to five minutes, and the real pause is random below it.
    pub reconnect_base: Duration,
    /// Whether head office may set what can be set from there.
    pub takes_settings: bool,
}

impl ControllerConfig {
    /// Where MQTT is tried, in turn: with the broker, if that is not head office's own, and at head office, which says where
    /// to go when the broker has moved.
    #[must_use]
    pub fn mqtt_addresses(&self) -> Vec<ControllerAddress> {
        let door = self.addresses.iter().filter(|address| !self.brokers.contains(address));
        self.brokers.iter().chain(door).cloned().collect()
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How closely routers are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnforceConfig {
    /// How often every row that is ours is read and compared.
    pub full_check: Duration,
    /// How often session totals are read.
    pub sample: Duration,
    /// How often the totals of sessions that run are told to head office.
    pub report: Duration,
    /// A line where nobody logs in counts as offline after so long without traffic.
    pub idle: Duration,
    /// A plan that would cut off more than this share of a router's lines waits for a person, in per cent.
    pub guard_percent: u8,
    /// Plans that cut off at most so many lines pass whatever their share.
    pub guard_lines: u32,
}

impl Config {
    /// Reads the file, and `routers.toml` beside it if there is one.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and the cure.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = files::read_text(path, files::CREATE_IT)?;
        let raw: RawConfig = files::parse(path, &text)?;
        let directory = files::directory_of(path);
        let finder = Finder::new(&directory, environment);

        let routers_path = directory.join(ROUTERS_FILE);
        let beside = if routers_path.exists() {
            let text = files::read_text(&routers_path, "make it readable for the agent's user")?;
            let raw: RawRouters = files::parse(&routers_path, &text)?;
            raw.router
        } else {
            Vec::new()
        };
        let holds_secrets = |router: &raw::RawRouter| router.password.is_some();
        if raw.router.iter().any(holds_secrets) {
            files::refuse_world_readable("router.password", path)?;
        }
        if beside.iter().any(holds_secrets) {
            files::refuse_world_readable("router.password", &routers_path)?;
        }
        let state_directory = absolute("state_directory", &raw.state_directory)?;
        let home = Home::of(&raw, &finder, &state_directory)?;
        let routers = router::check(raw.router.into_iter().chain(beside), &finder)?;
        let controller = check_controller(&raw.controller, &finder, &home)?;
        let site = match (&raw.site, &home.identity) {
            (Some(site), _) => check_site(site)?,
            (None, Some(identity)) => identity.site.clone(),
            (None, None) => match identity::site_by_traces(&state_directory, &controller.certificate_file) {
                Some(site) if home.damage.is_some() => site,
                _ => return Err(home.damage.unwrap_or_else(|| unknown("site"))),
            },
        };
        Ok(Self {
            site,
            runtime_directory: run_directory(environment, &state_directory),
            state_directory,
            controller,
            routers,
            enforce: check_enforce(&raw.enforce)?,
            log_level: check_level(&raw.log.level)?,
            upgrade: check_upgrade(&raw.upgrade, home.identity.as_ref())?,
            damage: home.damage.map(|damage| damage.said()),
        })
    }

    /// Whether the certificate in use is one of enrolment's, which the running agent renews; files that a person put
    /// somewhere are that person's.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        let places = [IDENTITY, FORMER_IDENTITY].map(|name| self.state_directory.join(name));
        let is_ours = |file: &Path, name: &str| places.iter().any(|place| file == place.join(name));
        is_ours(&self.controller.key_file, KEY_FILE)
            && is_ours(&self.controller.certificate_file, CERTIFICATE_FILE)
    }

    /// The socket on which the running agent tells how it stands.
    #[must_use]
    pub fn status_socket(&self) -> PathBuf {
        self.state_directory.join("status.sock")
    }
}

fn run_directory(environment: &Environment, state_directory: &Path) -> PathBuf {
    environment.runtime_directory.clone().unwrap_or_else(|| state_directory.join("run"))
}

/// Where the files are that the settings do not name.
struct Home {
    identity: Option<Identity>,
    /// Why what enrolment left cannot be used.
    damage: Option<ConfigError>,
    /// `None`: beside the settings or among the credentials, as before there was enrolment.
    directory: Option<PathBuf>,
}

impl Home {
    /// Key and certificate belong together, and so do they and the authority: what is not named comes from one place.
    fn of(raw: &RawConfig, finder: &Finder<'_>, state_directory: &Path) -> Result<Self, ConfigError> {
        let is_beside = || [KEY_FILE, CERTIFICATE_FILE].iter().any(|name| finder.find(name).exists());
        let is_by_hand = names_own(&raw.controller) || is_beside();
        let is_complete = raw.site.is_some() && raw.controller.addresses.is_some();
        // A user who may not look into the state directory can use settings that need nothing of it.
        if is_by_hand && is_complete {
            return Ok(Self { identity: None, damage: None, directory: None });
        }
        let (identity, mut damage) = match Identity::load(state_directory) {
            Err(error) if error.is_of_rights() => return Err(error),
            Err(error) => (None, Some(error)),
            Ok(None) if identity::was_a_site(state_directory) => {
                (None, Some(identity::gone(state_directory)))
            }
            Ok(identity) => (identity, None),
        };
        if let Some(identity) = identity.as_ref().filter(|_| raw.controller.addresses.is_none()) {
            damage = identity.checked_addresses().and(identity.checked_brokers()).err();
        }
        let directory = identity.as_ref().map(|identity| identity.directory.clone());
        let own = state_directory.join(IDENTITY);
        let directory = directory.or_else(|| (damage.is_some() || own.exists()).then_some(own));
        // Settings that name site and addresses need nothing of it but the files beside.
        damage = damage.filter(|_| !is_complete);
        Ok(Self { identity, damage, directory: directory.filter(|_| !is_by_hand) })
    }

    /// What it says of the way to head office, where that can be used.
    fn addresses(&self) -> Option<&Identity> {
        self.identity.as_ref().filter(|_| self.damage.is_none())
    }

    fn find(&self, named: Option<&str>, name: &str, finder: &Finder<'_>) -> PathBuf {
        match (named, &self.directory) {
            (Some(named), _) => finder.find(named),
            (None, Some(directory)) => directory.join(name),
            (None, None) => finder.find(name),
        }
    }
}

/// Whether the settings name where key or certificate are.
fn names_own(raw: &RawController) -> bool {
    raw.certificate_file.is_some() || raw.key_file.is_some()
}

/// The first file that a person put somewhere and that wins over what enrolment would leave.
fn by_hand(raw: &RawController, finder: &Finder<'_>, state_directory: &Path) -> Option<PathBuf> {
    let is_of_identity = |path: &Path, name: &str| {
        [IDENTITY, FORMER_IDENTITY].iter().any(|place| path == state_directory.join(place).join(name))
    };
    let names_one = names_own(raw);
    let own = [(&raw.key_file, KEY_FILE), (&raw.certificate_file, CERTIFICATE_FILE)].map(|(named, name)| {
        let path = finder.find(named.as_deref().unwrap_or(name));
        (if names_one { !is_of_identity(&path, name) } else { path.exists() }).then_some(path)
    });
    let authority = raw.ca_file.as_deref().map(|named| finder.find(named));
    let authority = authority.filter(|path| !is_of_identity(path, CA_FILE));
    own.into_iter().flatten().next().or(authority)
}

/// Nobody says what is needed: neither the settings nor an identity.
fn unknown(key: &str) -> ConfigError {
    ConfigError::value(
        key,
        "agent.toml does not name it, and this device was not enrolled yet",
        "ask head office for this site's ticket, and run: sudo tawi-agent enrol",
    )
}

fn check_site(text: &str) -> Result<SiteId, ConfigError> {
    SiteId::parse(text).map_err(|error| {
        ConfigError::value(
            "site",
            error.to_string(),
            "use the name that the site has at head office, such as nyeri-01",
        )
    })
}

fn absolute(key: &str, text: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(text);
    if path.is_absolute() && path.parent().is_some() {
        return Ok(path);
    }
    let problem = format!("{text:?} is not an absolute directory");
    Err(ConfigError::value(key, problem, "name it from the root, such as /var/lib/tawi-agent"))
}

fn check_controller(
    raw: &RawController,
    finder: &Finder<'_>,
    home: &Home,
) -> Result<ControllerConfig, ConfigError> {
    let key = "controller.addresses";
    let known = home.addresses().map(|identity| &identity.addresses);
    let addresses = match raw.addresses.as_ref().or(known) {
        Some(texts) => check_addresses(key, texts)?,
        None if home.damage.is_some() => Vec::new(),
        None => return Err(unknown(key)),
    };
    let known = home.addresses().map(|identity| &identity.brokers).filter(|known| !known.is_empty());
    let brokers = match raw.broker_addresses.as_ref().or(known) {
        Some(texts) => check_addresses("controller.broker_addresses", texts)?,
        None => Vec::new(),
    };
    if raw
        .server_name
        .as_ref()
        .is_some_and(|name| rustls_pki_types::ServerName::try_from(name.as_str()).is_err())
    {
        let problem = format!("{:?} is not a host name", raw.server_name.as_deref().unwrap_or_default());
        return Err(ConfigError::value(
            "controller.server_name",
            problem,
            "use the name in the controller's certificate",
        ));
    }
    let key_file = home.find(raw.key_file.as_deref(), KEY_FILE, finder);
    files::refuse_world_readable("controller.key_file", &key_file)?;
    Ok(ControllerConfig {
        addresses,
        brokers,
        names_brokers: raw.broker_addresses.is_some(),
        server_name: raw.server_name.clone(),
        proxy: proxy::check(raw, finder)?,
        ca_file: home.find(raw.ca_file.as_deref(), CA_FILE, finder),
        certificate_file: home.find(raw.certificate_file.as_deref(), CERTIFICATE_FILE, finder),
        key_file,
        keep_alive: match raw.keep_alive_seconds {
            Some(seconds) => {
                let key = "controller.keep_alive_seconds";
                Some(Duration::from_secs(settable(key, Setting::KeepAliveSeconds, seconds)?))
            }
            None => None,
        },
        hourly_bytes: {
            let key = "controller.kilobytes_an_hour";
            settable(key, Setting::KilobytesAnHour, raw.kilobytes_an_hour)?.saturating_mul(1_000)
        },
        reconnect_base: Duration::from_millis(within(
            "controller.reconnect_base_ms",
            raw.reconnect_base_ms,
            10,
            60_000,
        )?),
        takes_settings: raw.settings_from_head_office,
    })
}

fn check_addresses(key: &str, texts: &[String]) -> Result<Vec<ControllerAddress>, ConfigError> {
    if texts.is_empty() || texts.len() > CONTROLLER_ADDRESSES {
        let problem = format!("it names {} addresses", texts.len());
        return Err(ConfigError::value(
            key,
            problem,
            format!("name 1 to {CONTROLLER_ADDRESSES}, such as [\"isp.example:8883\"]"),
        ));
    }
    let read = |text: &String| {
        let (host, port) = split_host_port(text, CONTROLLER_PORT).ok_or_else(|| {
            ConfigError::value(
                key,
                format!("{text:?} is not host:port"),
                "write it as isp.example:8883 or [2001:db8::1]:8883",
            )
        })?;
        Ok(ControllerAddress { host, port })
    };
    texts.iter().map(read).collect()
}

fn check_enforce(raw: &RawEnforce) -> Result<EnforceConfig, ConfigError> {
    let percent = within("enforce.guard_percent", raw.guard_percent, 1, 100)?;
    let lines = within("enforce.guard_lines", raw.guard_lines, 0, 100_000)?;
    Ok(EnforceConfig {
        full_check: Duration::from_secs(within(
            "enforce.full_check_seconds",
            raw.full_check_seconds,
            10,
            3_600,
        )?),
        sample: Duration::from_secs(within("enforce.sample_seconds", raw.sample_seconds, 1, 3_600)?),
        report: {
            let seconds = settable("enforce.report_seconds", Setting::ReportSeconds, raw.report_seconds)?;
            Duration::from_secs(seconds)
        },
        idle: Duration::from_secs(within("enforce.idle_seconds", raw.idle_seconds, 1, 86_400)?),
        guard_percent: u8::try_from(percent).unwrap_or(100),
        guard_lines: u32::try_from(lines).unwrap_or(u32::MAX),
    })
}

/// Keys that stand in the settings win over the one that enrolment brought: head office cannot change those.
fn check_upgrade(raw: &RawUpgrade, identity: Option<&Identity>) -> Result<UpgradeConfig, ConfigError> {
    let key = "upgrade.release_keys";
    let cure = "copy the whole line that tawi-controller release new-key showed; it begins with tawikey1.";
    let keys = match &raw.release_keys {
        Some(texts) if texts.len() > RELEASE_KEYS => {
            let problem = format!("it names {} keys", texts.len());
            return Err(ConfigError::value(key, problem, format!("name at most {RELEASE_KEYS}")));
        }
        Some(texts) => {
            let read = |text: &String| {
                ReleaseKey::parse(text)
                    .ok_or_else(|| ConfigError::value(key, format!("{text:?} is no release key"), cure))
            };
            texts.iter().map(read).collect::<Result<_, _>>()?
        }
        None => identity.and_then(|identity| identity.release_key.clone()).into_iter().collect(),
    };
    Ok(UpgradeConfig { is_enabled: raw.enabled, keys })
}

fn check_level(text: &str) -> Result<LevelFilter, ConfigError> {
    let level = level(text).map_err(|bad| refused("log.level", bad))?;
    Ok(level.parse().unwrap_or(LevelFilter::INFO))
}

/// A number that head office may set too: its bounds are those of both.
fn settable(key: &str, setting: Setting, value: u64) -> Result<u64, ConfigError> {
    setting.within(value).map_err(|bad| refused(key, bad))
}

fn refused(key: &str, BadValue { problem, cure }: BadValue) -> ConfigError {
    ConfigError::value(key, problem, cure)
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::value(key, format!("{value} is out of range"), format!("use {least} to {most}")))
}

/// Reads a file with a secret on one line, which others may not read.
///
/// # Errors
/// [`ConfigError`] names the key and the cure.
pub fn read_secret_file(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    files::read_secret(key, path)
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address. `None` for anything else.
pub(crate) fn split_host_port(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        (text, "")
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if text.contains(':') && port.is_empty() {
            return None;
        }
        (host, port)
    };
    rustls_pki_types::ServerName::try_from(host).ok()?;
    let port = if port.is_empty() { default_port } else { port.parse().ok().filter(|port| *port != 0)? };
    Some((host.to_owned(), port))
}
