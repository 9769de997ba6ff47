//! `controller.proxy`: the way to head office where a network lets nothing out but through a proxy.

use std::fmt;

use super::files::{self, Finder, Secret};
use super::{ConfigError, ControllerAddress, raw, split_host_port};

/// Where proxies usually listen.
const PROXY_PORT: u16 = 3_128;

/// A proxy that passes `CONNECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub address: ControllerAddress,
    /// User and password as `user:password`, if it wants such.
    pub credentials: Option<Secret>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

pub(super) fn check(raw: &raw::RawController, finder: &Finder<'_>) -> Result<Option<Proxy>, ConfigError> {
    let Some(text) = &raw.proxy else {
        return match raw.proxy_credentials_file {
            Some(_) => Err(ConfigError::value(
                "controller.proxy_credentials_file",
                "there is no proxy to show them to",
                "set controller.proxy, or take it out",
            )),
            None => Ok(None),
        };
    };
    // What stands before an @ is a password, and is not shown.
    if text.contains('@') {
        return Err(ConfigError::value(
            "controller.proxy",
            "it holds a user or password, and this file is not the place for them",
            "put user:password into a file of mode 0600, and name it in controller.proxy_credentials_file",
        ));
    }
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let (host, port) = split_host_port(bare, PROXY_PORT).ok_or_else(|| {
        ConfigError::value(
            "controller.proxy",
            format!("{text:?} is not the address of an HTTP proxy"),
            "write it as http://proxy.example:3128; it is asked for CONNECT, and TLS goes through it to head office",
        )
    })?;
    let credentials = match &raw.proxy_credentials_file {
        Some(name) => Some(credentials(&finder.find(name))?),
        None => None,
    };
    Ok(Some(Proxy { address: ControllerAddress { host, port }, credentials }))
}

fn credentials(path: &std::path::Path) -> Result<Secret, ConfigError> {
    const KEY: &str = "controller.proxy_credentials_file";
    let credentials = files::read_secret(KEY, path)?;
    if credentials.reveal().contains(':') && !credentials.reveal().contains(char::is_control) {
        return Ok(credentials);
    }
    let problem = format!("{} does not hold user:password", path.display());
    Err(ConfigError::value(KEY, problem, "write both on one line, with a colon between"))
}
