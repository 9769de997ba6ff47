//! What the settings say of a router that is not complete yet: before the set-up script has run there is no certificate to
//! pin, and perhaps no password.
//!
//! It promises less than `router.rs`, which the agent goes by: only what is written is read, and nothing is checked that
//! the script does not need.

use std::path::{Path, PathBuf};

use super::files::{self, Finder, Secret};
use super::raw::{RawConfig, RawRouters};
use super::router::default_port;
use super::{ConfigError, Environment, ROUTERS_FILE, split_host_port};

/// A `[[router]]` table as far as it goes.
#[derive(Clone, Debug)]
pub struct RouterOutline {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The agent's user.
    pub user: String,
    /// The password, where it stands in the table itself.
    pub password: Option<Secret>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
}

/// Where the settings are, and the table of the router `name` if there is one.
///
/// # Errors
/// [`ConfigError`] names the key and the cure.
pub fn outline_of(
    path: &Path,
    environment: &Environment,
    name: &str,
) -> Result<(PathBuf, Option<RouterOutline>), ConfigError> {
    let text = files::read_text(path, "create it, or name another with --config")?;
    let raw: RawConfig = files::parse(path, &text)?;
    let directory = files::directory_of(path);
    let routers_path = directory.join(ROUTERS_FILE);
    let mut routers = raw.router;
    if routers_path.exists() {
        let text = files::read_text(&routers_path, "make it readable for this user")?;
        let beside: RawRouters = files::parse(&routers_path, &text)?;
        routers.extend(beside.router);
    }
    let finder = Finder::new(&directory, environment);
    let Some(router) = routers.into_iter().find(|router| router.name == name) else {
        return Ok((directory, None));
    };
    let (host, port) =
        split_host_port(&router.address, default_port(&router.transport)).ok_or_else(|| {
            let problem = format!("{:?} is not an address", router.address);
            ConfigError::value(format!("router.address of {name:?}"), problem, "write it as 192.168.88.1")
        })?;
    let password_file = router.password_file.map(|file| finder.find(&file));
    Ok((
        directory,
        Some(RouterOutline { host, port, user: router.user, password: router.password, password_file }),
    ))
}

/// Whether a text could stand in `routers.toml`, as far as its form goes.
///
/// # Errors
/// [`ConfigError`] names the line and the cure.
pub fn check_routers_text(path: &Path, text: &str) -> Result<(), ConfigError> {
    files::parse::<RawRouters>(path, text).map(drop)
}
