//! What a start needs of the settings, also of such as this program cannot read: a release may know keys that what is installed
//! does not, and must be started all the same.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tawi_shared::release::ReleaseKey;

use super::files::{self, Environment};
use super::identity::Identity;
use super::{Config, raw, run_directory};
use crate::upgrade::UpgradeConfig;

/// Where releases are, and whose are taken.
#[derive(Clone, Debug)]
pub struct Launching {
    /// As in [`Config`].
    pub state_directory: PathBuf,
    /// As in [`Config`].
    pub runtime_directory: PathBuf,
    /// As in [`Config`].
    pub upgrade: UpgradeConfig,
    /// Whether that is all that could be read.
    pub is_unread: bool,
}

/// The keys that matter here; every other is somebody else's.
#[derive(Deserialize)]
struct Lenient {
    #[serde(default = "raw::state_directory")]
    state_directory: String,
    #[serde(default)]
    upgrade: LenientUpgrade,
}

#[derive(Default, Deserialize)]
struct LenientUpgrade {
    enabled: Option<bool>,
    release_keys: Option<Vec<String>>,
}

impl Launching {
    /// Of settings that were read.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            state_directory: config.state_directory.clone(),
            runtime_directory: config.runtime_directory.clone(),
            upgrade: config.upgrade.clone(),
            is_unread: false,
        }
    }

    /// Of settings that were not. `None` where even that much cannot be read. A key of a kind that is not known here signs
    /// nothing here.
    #[must_use]
    pub fn guessed(path: &Path, environment: &Environment) -> Option<Self> {
        let lenient: Lenient = toml::from_str(&files::read_text(path, files::CREATE_IT).ok()?).ok()?;
        let state_directory = PathBuf::from(lenient.state_directory);
        if !state_directory.is_absolute() {
            return None;
        }
        let keys = match lenient.upgrade.release_keys {
            Some(texts) => texts.iter().filter_map(|text| ReleaseKey::parse(text)).collect(),
            None => {
                let identity = Identity::load(&state_directory).ok().flatten();
                identity.and_then(|identity| identity.release_key).into_iter().collect()
            }
        };
        Some(Self {
            runtime_directory: run_directory(environment, &state_directory),
            upgrade: UpgradeConfig { is_enabled: lenient.upgrade.enabled.unwrap_or(true), keys },
            state_directory,
            is_unread: true,
        })
    }
}
