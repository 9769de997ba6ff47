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
//! What `agent.toml` names itself wins over all of it. Here it is read; `enrol/keeping.rs` writes it.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tawi_shared::SiteId;
use tawi_shared::release::ReleaseKey;

use super::{ConfigError, Environment, files};

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
/// What a technician does who may not read it.
const CURE: &str =
    "run it as root or as the agent's user; if the file is damaged, enrol anew: tawi-agent enrol";

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
            let raw: RawIdentity = files::parse(&path, &files::read_text(&path, CURE)?)?;
            let site = SiteId::parse(&raw.site).map_err(|error| {
                ConfigError::value(
                    "site",
                    format!("{}: {error}", path.display()),
                    "ask head office for a ticket, and enrol anew: tawi-agent enrol",
                )
            })?;
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
