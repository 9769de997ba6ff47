//! The controller's settings: one TOML file, raw text in, [`Config`] that cannot be wrong out.
//!
//! ```text
//! controller.toml ──serde──> RawConfig (unknown keys refused) ──check──> Config
//! ```
//!
//! This is the only file that reads the environment. Relative paths are relative to the file's own directory, so that
//! a directory can be moved as a whole. Every refusal names the key and the cure; `main` exits 78 on it. What each key
//! means to staff stands in `packaging/controller.toml`, which a test reads with this code.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use crate::broker::settings::{BrokerSettings, BrokerSettingsError, RawBroker};
use crate::messages::settings::{RawSms, SmsSettings, SmsSettingsError};
use crate::money::Money;
use crate::mpesa::settings::{self as mpesa, MpesaSettings, MpesaSettingsError, RawMpesa};
use crate::payments::counter::Limits;
use crate::users;
use tawi_shared::release::ReleaseKey;

/// Where the packaged unit looks for the file.
pub const DEFAULT_PATH: &str = "/etc/tawi-controller/controller.toml";
/// The largest settings file that is read, in bytes. Ours are a hundred lines.
const FILE_BYTES: u64 = 1024 * 1024;
/// The name of the database in the data directory.
const DATABASE_FILE: &str = "tawi.db";
/// The longest session: a week. A lost laptop should not stay signed in for longer.
const SESSION_HOURS_MOST: u64 = 168;
/// The most proxies on other machines; an office has one, or two that stand in for each other.
const PROXIES_MOST: usize = 16;

/// Why the settings cannot be used. `main` prints it and exits 78.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}\n  cure: create it, make it readable for the controller's user, or name another with --config", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, or has a key that does not exist. The text of the line is left out: it may hold a secret.
    #[error("{}:{line}: {message}\n  cure: correct that line; the packaged controller.toml explains every key", path.display())]
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
        key: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What staff do about it.
        cure: &'static str,
    },
    /// Something in `[broker]`.
    #[error("{0}\n  cure: correct it; the packaged controller.toml explains every key of [broker]")]
    Broker(#[from] BrokerSettingsError),
    /// Something in `[mpesa]`.
    #[error("{0}\n  cure: correct it; the packaged controller.toml explains every key of [mpesa]")]
    Mpesa(#[from] MpesaSettingsError),
    /// Something in `[sms]`.
    #[error("{0}\n  cure: correct it; the packaged controller.toml explains every key of [sms]")]
    Sms(#[from] SmsSettingsError),
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database and the certificate authority are.
    pub data_directory: PathBuf,
    /// Where the database is.
    pub database_url: String,
    /// Where pages and the API are served. Port 0 takes any free one.
    pub listen: SocketAddr,
    /// How browsers reach it, without a slash at the end; `None` when it was not said.
    pub public_url: Option<String>,
    /// Reverse proxies on other machines.
    pub trusted_proxies: Vec<IpAddr>,
    /// The broker that agents connect to.
    pub broker: BrokerSettings,
    /// Who signs releases of the agent: what this controller takes, and tells devices that are enrolled.
    pub release_key: Option<ReleaseKey>,
    /// The short codes of M-Pesa; none while it is not set up.
    pub mpesa: Vec<MpesaSettings>,
    /// Texts to customers; `None` while they are not set up.
    pub sms: Option<SmsSettings>,
    /// What an operator may take at the counter.
    pub counter: Limits,
    /// What is logged.
    pub log_level: LevelFilter,
    /// How it is logged.
    pub log_format: LogFormat,
    /// How long a sign-in lasts.
    pub session_lasts: Duration,
}

fn check_release_key(text: Option<&str>) -> Result<Option<ReleaseKey>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let key = ReleaseKey::parse(text).ok_or_else(|| ConfigError::Value {
        key: "upgrade.release_key",
        problem: format!("{text:?} is no release key"),
        cure: "copy the whole line that tawi-controller release new-key showed; it begins with tawikey1.",
    })?;
    Ok(Some(key))
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and the journal.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What the controller takes from its environment, read once at start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// systemd's `LoadCredential=` directory: secret files are looked for there first.
    pub credentials_directory: Option<PathBuf>,
    /// Whether colours are unwanted: `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub is_colour_unwanted: bool,
    /// Who is at the shell, as [`users::at_the_shell`] knows. It is written into the audit log.
    pub shell_user: String,
    /// How often systemd wants to hear from us: `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let passwd = std::fs::read_to_string(users::PASSWD).unwrap_or_default();
        Self {
            credentials_directory: text("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            is_colour_unwanted: std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty()),
            shell_user: users::at_the_shell(text, &passwd, rustix::process::geteuid().as_raw()),
            watchdog: text("WATCHDOG_USEC").and_then(|text| text.parse().ok()).map(Duration::from_micros),
        }
    }

    /// The credential of that name, if systemd was given one.
    fn credential(&self, name: &Path) -> Option<PathBuf> {
        let path = self.credentials_directory.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default = "default_data_directory")]
    data_directory: PathBuf,
    #[serde(default)]
    server: RawServer,
    #[serde(default)]
    database: RawDatabase,
    #[serde(default)]
    broker: RawBroker,
    #[serde(default)]
    upgrade: RawUpgrade,
    #[serde(default, deserialize_with = "one_or_many")]
    mpesa: Vec<RawMpesa>,
    sms: Option<RawSms>,
    #[serde(default)]
    counter: RawCounter,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    staff: RawStaff,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    listen: Option<String>,
    public_url: Option<String>,
    #[serde(default)]
    trusted_proxies: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUpgrade {
    release_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDatabase {
    url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCounter {
    operator_shillings_at_once: Option<i64>,
    operator_shillings_a_day: Option<i64>,
    operator_shillings_written_off_a_day: Option<i64>,
    operator_shillings_refunded_a_day: Option<i64>,
    operator_shillings_placed_a_day: Option<i64>,
    #[serde(default)]
    refunds_need_second_person: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    level: Option<String>,
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStaff {
    session_hours: Option<u64>,
}

/// `[mpesa]`, or several `[[mpesa]]`.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RawMpesa>, D::Error> {
    struct Tables;
    impl<'de> Visitor<'de> for Tables {
        type Value = Vec<RawMpesa>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("[mpesa], or [[mpesa]] for each of several short codes")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            RawMpesa::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }
    deserializer.deserialize_any(Tables)
}

fn default_data_directory() -> PathBuf {
    PathBuf::from("/var/lib/tawi-controller")
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and the cure.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let raw: RawConfig = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_path_buf(),
            line: error.span().map_or(1, |span| line_at(&text, span.start)),
            message: error.message().lines().next().unwrap_or_default().to_owned(),
        })?;
        Self::check(raw, &directory_of(path), environment)
    }

    fn check(raw: RawConfig, directory: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let data_directory = directory.join(&raw.data_directory);
        let secret_file = |name: &Path| environment.credential(name).unwrap_or_else(|| directory.join(name));
        let raw_mpesa = raw.mpesa.into_iter().map(|mpesa| mpesa.with_files(secret_file)).collect();
        let sms = raw.sms.map(|sms| sms.with_files(secret_file).check(directory));
        Ok(Self {
            database_url: match raw.database.url {
                Some(url) => check_database(url, directory)?,
                None => format!("sqlite://{}", data_directory.join(DATABASE_FILE).display()),
            },
            listen: check_listen(raw.server.listen.as_deref())?,
            public_url: raw.server.public_url.as_deref().map(check_public_url).transpose()?,
            trusted_proxies: check_proxies(&raw.server.trusted_proxies)?,
            broker: raw.broker.check()?,
            release_key: check_release_key(raw.upgrade.release_key.as_deref())?,
            mpesa: mpesa::check_all(raw_mpesa, directory)?,
            sms: sms.transpose()?,
            counter: check_counter(&raw.counter)?,
            log_level: check_level(raw.log.level.as_deref())?,
            log_format: check_format(raw.log.format.as_deref())?,
            session_lasts: check_session(raw.staff.session_hours)?,
            data_directory,
        })
    }

    /// Whether browsers come over HTTPS, so that cookies may insist on it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES {
        let problem = format!("{length} bytes are not a settings file");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Absolute, so that what is joined to it can be joined again: secrets are, and the database's URL has no `.` at its begin.
fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    absolute.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn check_database(url: String, directory: &Path) -> Result<String, ConfigError> {
    let refuse = |problem| ConfigError::Value {
        key: "database.url",
        problem,
        cure: "write it as sqlite:///var/lib/tawi-controller/tawi.db, or leave it out",
    };
    let Some(rest) = url.strip_prefix("sqlite:") else {
        // Anything else may carry a password: only its scheme is repeated.
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(refuse(format!("{scheme:?} is a database that this build cannot open")));
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.starts_with(':') {
        return Err(refuse(format!("{url:?} names no file, and money must survive a restart")));
    }
    Ok(format!("sqlite://{}", directory.join(path).display()))
}

fn check_listen(text: Option<&str>) -> Result<SocketAddr, ConfigError> {
    let text = text.unwrap_or("127.0.0.1:8080");
    text.parse().map_err(|_| ConfigError::Value {
        key: "server.listen",
        problem: format!("{text:?} is not an address and port"),
        cure: "write it as 127.0.0.1:8080 or [::1]:8080",
    })
}

fn check_public_url(text: &str) -> Result<String, ConfigError> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_good = rest.is_some_and(|host| {
        !host.is_empty() && !host.contains(['/', '?', '#', '@']) && host.bytes().all(|b| b.is_ascii_graphic())
    });
    if is_good {
        return Ok(url.to_owned());
    }
    Err(ConfigError::Value {
        key: "server.public_url",
        problem: format!("{text:?} is not the address of a web site without a path"),
        cure: "write it as https://isp.example",
    })
}

fn check_proxies(texts: &[String]) -> Result<Vec<IpAddr>, ConfigError> {
    let refuse = |problem| ConfigError::Value {
        key: "server.trusted_proxies",
        problem,
        cure: "write the proxies' own addresses, such as [\"10.0.0.7\"], or leave it out",
    };
    if texts.len() > PROXIES_MOST {
        return Err(refuse(format!("{} are more than {PROXIES_MOST}", texts.len())));
    }
    let read = |text: &String| text.parse().map_err(|_| refuse(format!("{text:?} is not an address")));
    texts.iter().map(read).collect()
}

fn check_counter(raw: &RawCounter) -> Result<Limits, ConfigError> {
    let read = |key, shillings: Option<i64>, default| match shillings {
        None => Ok(default),
        Some(shillings) => match Money::from_shillings(shillings) {
            Some(money) if shillings >= 0 => Ok(money),
            Some(_) | None => Err(ConfigError::Value {
                key,
                problem: format!("{shillings} is no amount that somebody may take or write off"),
                cure: "use whole shillings; 0 lets operators do nothing of it",
            }),
        },
    };
    let default = Limits::default();
    let at_once = "counter.operator_shillings_at_once";
    let a_day = "counter.operator_shillings_a_day";
    let refunded = "counter.operator_shillings_refunded_a_day";
    let placed = "counter.operator_shillings_placed_a_day";
    let written_off = "counter.operator_shillings_written_off_a_day";
    Ok(Limits {
        at_once: read(at_once, raw.operator_shillings_at_once, default.at_once)?,
        a_day: read(a_day, raw.operator_shillings_a_day, default.a_day)?,
        written_off_a_day: read(
            written_off,
            raw.operator_shillings_written_off_a_day,
            default.written_off_a_day,
        )?,
        refunded_a_day: read(refunded, raw.operator_shillings_refunded_a_day, default.refunded_a_day)?,
        placed_a_day: read(placed, raw.operator_shillings_placed_a_day, default.placed_a_day)?,
        refunds_need_two: raw.refunds_need_second_person,
    })
}

fn check_level(text: Option<&str>) -> Result<LevelFilter, ConfigError> {
    match text.unwrap_or("info") {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        other => Err(ConfigError::Value {
            key: "log.level",
            problem: format!("{other:?} is no level"),
            cure: "use error, warn, info or debug",
        }),
    }
}

fn check_format(text: Option<&str>) -> Result<LogFormat, ConfigError> {
    match text.unwrap_or("text") {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(ConfigError::Value {
            key: "log.format",
            problem: format!("{other:?} is no format"),
            cure: "use text or json",
        }),
    }
}

fn check_session(hours: Option<u64>) -> Result<Duration, ConfigError> {
    let hours = hours.unwrap_or(12);
    if (1..=SESSION_HOURS_MOST).contains(&hours) {
        return Ok(Duration::from_secs(hours.saturating_mul(3_600)));
    }
    Err(ConfigError::Value {
        key: "staff.session_hours",
        problem: format!("{hours} is out of range"),
        cure: "use 1 to 168",
    })
}
