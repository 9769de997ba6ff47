//! The settings as they are written. Unknown keys are refused, and every default is stated once, here.
//!
//! Whether the values make sense is `config.rs`'s business.

use serde::Deserialize;

use super::files::Secret;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) site: String,
    #[serde(default = "state_directory")]
    pub(super) state_directory: String,
    pub(super) controller: RawController,
    #[serde(default)]
    pub(super) router: Vec<RawRouter>,
    #[serde(default)]
    pub(super) enforce: RawEnforce,
    #[serde(default)]
    pub(super) log: RawLog,
}

/// `routers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRouters {
    #[serde(default)]
    pub(super) router: Vec<RawRouter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawController {
    pub(super) addresses: Vec<String>,
    #[serde(default = "ca_file")]
    pub(super) ca_file: String,
    #[serde(default = "certificate_file")]
    pub(super) certificate_file: String,
    #[serde(default = "key_file")]
    pub(super) key_file: String,
    #[serde(default)]
    pub(super) server_name: Option<String>,
    #[serde(default)]
    pub(super) keep_alive_seconds: Option<u64>,
    #[serde(default = "kilobytes_an_hour")]
    pub(super) kilobytes_an_hour: u64,
    #[serde(default = "reconnect_base_ms")]
    pub(super) reconnect_base_ms: u64,
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
            report_seconds: 1_200,
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

fn state_directory() -> String {
    "/var/lib/tawi-agent".to_owned()
}

fn ca_file() -> String {
    "ca.pem".to_owned()
}

fn certificate_file() -> String {
    "agent.pem".to_owned()
}

fn key_file() -> String {
    "agent.key".to_owned()
}

fn kilobytes_an_hour() -> u64 {
    100
}

fn reconnect_base_ms() -> u64 {
    2_000
}

fn transport() -> String {
    "tls".to_owned()
}
