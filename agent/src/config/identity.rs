//! Who this device is, as enrolment left it in the state directory.
//!
//! ```text
//! identity/agent.key      the device's key; it was made here and is nowhere else
//! identity/agent.pem      its certificate
//! identity/ca.pem         the authority's
//! identity/identity.toml  site and addresses of head office
//! identity.old/           the one before, where a power cut came between two renames
//! ```
//!
//! What `agent.toml` names itself wins over all of it. Here it is read; `enrol/keeping.rs` writes it. One that is damaged keeps
//! no site from being served: the agent enforces alone until another one is there (`link/proof.rs`).

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tawi_shared::SiteId;
use tawi_shared::release::ReleaseKey;

use super::{Config, ConfigError, ControllerConfig, Environment, check_addresses, files};
use crate::certificate::Certificate;
use crate::link::tls::certificates;
use crate::outbox::owner::owner_of;
use crate::rights;

/// The directory within the state directory.
pub const IDENTITY: &str = "identity";
/// The one before it, which counts while there is no other.
pub const FORMER_IDENTITY: &str = "identity.old";
/// The device's key.
pub const KEY_FILE: &str = "agent.key";
/// Its certificate.
pub const CERTIFICATE_FILE: &str = "agent.pem";
/// The authority's certificate.
pub const CA_FILE: &str = "ca.pem";
/// Site and addresses.
pub const SETTINGS_FILE: &str = "identity.toml";
/// What helps where what stands in it is damaged.
const ANEW: &str =
    "ask head office for a new ticket (tawi-controller site renew), and enrol anew: sudo tawi-agent enrol";
/// What a device has in its state directory that was a site at some time.
const TRACES: [&str; 4] = ["site", "store", IDENTITY, FORMER_IDENTITY];

/// Who this device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which site.
    pub site: SiteId,
    /// Where head office is, as `host:port`, best first.
    pub addresses: Vec<String>,
    /// Where it hears MQTT, in the same form, if not there.
    pub brokers: Vec<String>,
    /// Who may sign releases of the agent, as head office said when this device was enrolled.
    pub release_key: Option<ReleaseKey>,
    /// Where its files are.
    pub directory: PathBuf,
}

/// The file, whose unknown keys are a later release's.
#[derive(Deserialize)]
struct RawIdentity {
    site: String,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    brokers: Vec<String>,
    #[serde(default)]
    release_key: Option<String>,
}

impl Identity {
    /// Reads the identity in this state directory; `None` where the device was not enrolled.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the cure.
    pub fn load(state_directory: &Path) -> Result<Option<Self>, ConfigError> {
        for name in [IDENTITY, FORMER_IDENTITY] {
            let directory = state_directory.join(name);
            let path = directory.join(SETTINGS_FILE);
            match std::fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                _ => {}
            }
            let damaged = |problem: String| ConfigError::value(path.display().to_string(), problem, ANEW);
            let parsed = files::parse(&path, &read(&path)?);
            let raw: RawIdentity = parsed.map_err(|error| match error {
                ConfigError::Syntax { line, message, .. } => damaged(format!("line {line}: {message}")),
                error => error,
            })?;
            let site = SiteId::parse(&raw.site).map_err(|error| damaged(format!("site: {error}")))?;
            // One that is none is as if there were none: the agent then says which line to write.
            let release_key = raw.release_key.as_deref().and_then(ReleaseKey::parse);
            let (addresses, brokers) = (raw.addresses, raw.brokers);
            return Ok(Some(Self { site, addresses, brokers, release_key, directory }));
        }
        Ok(None)
    }

    /// One of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The text of a file of it, with what helps whoever cannot read it.
fn read(path: &Path) -> Result<String, ConfigError> {
    files::read_text(path, ANEW).map_err(|error| match error {
        ConfigError::Unreadable { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            ConfigError::Unreadable { path, cure: rights::cure_of(&source), source }
        }
        error => error,
    })
}

/// Whether the device was a site at some time. One that never was is told to enrol, and nothing is served on it.
pub(super) fn was_a_site(state_directory: &Path) -> bool {
    TRACES.iter().any(|name| state_directory.join(name).symlink_metadata().is_ok())
}

/// That nothing is left of an identity.
pub(super) fn gone(state_directory: &Path) -> ConfigError {
    let path = state_directory.join(IDENTITY).join(SETTINGS_FILE);
    ConfigError::value(path.display().to_string(), "it is not there any more", ANEW)
}

/// Which site this is where neither the settings nor the identity say so: whose store it is, or whose certificate.
pub(super) fn site_by_traces(state_directory: &Path, certificate: &Path) -> Option<SiteId> {
    owner_of(state_directory).ok().flatten().or_else(|| {
        let chain = certificates("certificate_file", certificate).ok()?;
        SiteId::parse(Certificate::read(chain.first()?)?.common_name?).ok()
    })
}

impl Config {
    /// Whether this device was a site before, so that its routers are to be served whatever became of its identity.
    #[must_use]
    pub fn was_a_site(&self) -> bool {
        was_a_site(&self.state_directory)
    }

    /// What helps where this device cannot prove to head office who it is.
    #[must_use]
    pub fn cure_of_identity(&self) -> String {
        let ticket = format!(
            "at head office: tawi-controller site renew {}; then here, with its ticket: sudo tawi-agent enrol",
            self.site
        );
        if self.damage.is_some() || self.is_enrolled() {
            return ticket;
        }
        format!("copy the file from the bundle that head office made for this site; or {ticket}")
    }

    /// The same with what is in the state directory now, where what was there at the start could not be used.
    ///
    /// # Errors
    /// [`ConfigError`] where that cannot be used either, or is another site's.
    pub fn mended(&self) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        if self.damage.is_none() {
            return Ok(config);
        }
        let identity = Identity::load(&self.state_directory)?.ok_or_else(|| gone(&self.state_directory))?;
        if identity.site != self.site {
            let problem =
                format!("it is the identity of {}, and this agent serves {}", identity.site, self.site);
            let cure = "restart the agent, which says what that means: systemctl restart tawi-agent";
            return Err(ConfigError::value(
                identity.file(SETTINGS_FILE).display().to_string(),
                problem,
                cure,
            ));
        }
        identity.complete(&mut config.controller)?;
        config.damage = None;
        Ok(config)
    }
}

impl Identity {
    /// Fills in what the settings leave to enrolment.
    fn complete(&self, controller: &mut ControllerConfig) -> Result<(), ConfigError> {
        if controller.addresses.is_empty() {
            controller.addresses = self.checked_addresses()?;
        }
        if !controller.names_brokers {
            controller.brokers = self.checked_brokers()?;
        }
        let own = self.directory.with_file_name(IDENTITY);
        for file in [&mut controller.ca_file, &mut controller.certificate_file, &mut controller.key_file] {
            if file.parent() == Some(&own)
                && let Some(name) = file.file_name()
            {
                *file = self.directory.join(name);
            }
        }
        Ok(())
    }

    /// Where head office is.
    pub(super) fn checked_addresses(&self) -> Result<Vec<super::ControllerAddress>, ConfigError> {
        self.checked("addresses", &self.addresses)
    }

    /// Where it hears MQTT, if not there.
    pub(super) fn checked_brokers(&self) -> Result<Vec<super::ControllerAddress>, ConfigError> {
        if self.brokers.is_empty() { Ok(Vec::new()) } else { self.checked("brokers", &self.brokers) }
    }

    fn checked(&self, key: &str, texts: &[String]) -> Result<Vec<super::ControllerAddress>, ConfigError> {
        check_addresses(key, texts).map_err(|error| match error {
            ConfigError::Value { problem, .. } => {
                let path = self.file(SETTINGS_FILE).display().to_string();
                ConfigError::value(path, format!("{key}: {problem}"), ANEW)
            }
            error => error,
        })
    }
}

/// What settings that need not be complete say of what enrolment leaves.
#[derive(Clone, Debug)]
pub struct Named {
    /// Where the identity is, or will be.
    pub state_directory: PathBuf,
    /// The site, where they name it themselves.
    pub site: Option<SiteId>,
    /// Whether they name where head office is.
    pub has_addresses: bool,
    /// A key or certificate of a person's that the agent goes by, whatever enrolment leaves.
    pub by_hand: Option<PathBuf>,
    /// Through what head office is reached.
    pub proxy: Option<super::Proxy>,
}

impl Named {
    /// Reads them.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and the cure.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = files::read_text(path, files::CREATE_IT)?;
        let raw: super::raw::RawConfig = files::parse(path, &text)?;
        let directory = files::directory_of(path);
        let finder = files::Finder::new(&directory, environment);
        let state_directory = super::absolute("state_directory", &raw.state_directory)?;
        Ok(Self {
            by_hand: super::by_hand(&raw.controller, &finder, &state_directory),
            state_directory,
            site: raw.site.as_deref().map(super::check_site).transpose()?,
            has_addresses: raw.controller.addresses.is_some(),
            proxy: super::proxy::check(&raw.controller, &finder)?,
        })
    }
}
