//! The settings as they are written. Unknown keys are refused, and every default is stated once, here.
//!
//! Whether the values make sense is `config.rs`'s business.

use serde::Deserialize;

use super::files::Secret;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub(super) site: Option<String>,
    #[serde(default = "state_directory")]
    pub(super) state_directory: String,
    #[serde(default)]
    pub(super) controller: RawController,
    #[serde(default)]
    pub(super) router: Vec<RawRouter>,
    #[serde(default)]
    pub(super) enforce: RawEnforce,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) upgrade: RawUpgrade,
}

/// `routers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRouters {
    #[serde(default)]
    pub(super) router: Vec<RawRouter>,
}

/// What is left out of the first five comes from the identity that enrolment left.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawController {
    pub(super) addresses: Option<Vec<String>>,
    pub(super) broker_addresses: Option<Vec<String>>,
    pub(super) ca_file: Option<String>,
    pub(super) certificate_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) proxy: Option<String>,
    pub(super) proxy_credentials_file: Option<String>,
    pub(super) keep_alive_seconds: Option<u64>,
    pub(super) kilobytes_an_hour: u64,
    pub(super) reconnect_base_ms: u64,
    pub(super) settings_from_head_office: bool,
}

impl Default for RawController {
    fn default() -> Self {
        Self {
            addresses: None,
            broker_addresses: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            server_name: None,
            proxy: None,
            proxy_credentials_file: None,
            keep_alive_seconds: None,
            kilobytes_an_hour: 100,
            reconnect_base_ms: 2_000,
            settings_from_head_office: true,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRouter {
    pub(super) name: String,
    pub(super) address: String,
    #[serde(default = "transport")]
    pub(super) transport: String,
    pub(super) user: String,
    #[serde(default)]
    pub(super) password: Option<Secret>,
    #[serde(default)]
    pub(super) password_file: Option<String>,
    #[serde(default)]
    pub(super) tls_pin: Option<String>,
    #[serde(default)]
    pub(super) tls_ca_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEnforce {
    pub(super) full_check_seconds: u64,
    pub(super) sample_seconds: u64,
    pub(super) report_seconds: u64,
    pub(super) idle_seconds: u64,
    pub(super) guard_percent: u64,
    pub(super) guard_lines: u64,
}

impl Default for RawEnforce {
    fn default() -> Self {
        Self {
            full_check_seconds: 100,
            sample_seconds: 30,
            report_seconds: 1_800,
            idle_seconds: 300,
            guard_percent: 20,
            guard_lines: 10,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUpgrade {
    pub(super) enabled: bool,
    pub(super) release_keys: Option<Vec<String>>,
}

impl Default for RawUpgrade {
    fn default() -> Self {
        Self { enabled: true, release_keys: None }
    }
}

pub(super) fn state_directory() -> String {
    "/var/lib/tawi-agent".to_owned()
}

fn transport() -> String {
    "tls".to_owned()
}
