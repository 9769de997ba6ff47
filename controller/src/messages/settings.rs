//! The `[sms]` section of the controller's configuration: raw as written, then valid by construction.
//!
//! The section is optional: a controller without it sends no text. Its secret stands in a file of its own and is hidden in
//! `Debug`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::Policy;
use super::quiet::{ClockTime, QuietHours};
use super::words::Language;
use crate::mpesa::settings::{self as mpesa, MpesaSettingsError, Secret};

/// Texts begun in a second, unless it is said otherwise: a thousand reminders in three minutes.
const A_SECOND: u32 = 5;
/// The most: beyond that each waits for the others on one small machine.
const A_SECOND_MOST: u32 = 50;
/// Texts to one customer in one day: some payments with what follows them.
const A_DAY: u32 = 10;
/// The most.
const A_DAY_MOST: u32 = 100;
/// How long texts are kept, in days: a quarter, as the log of what was written to routers.
const DAYS_KEPT: u32 = 90;
/// The longest: two years. They are personal data.
const DAYS_KEPT_MOST: u32 = 730;

/// How texts leave.
#[derive(Clone, Debug)]
pub enum ChannelSettings {
    /// They do not: each is a line in the log, without number and words.
    Log,
    /// Through Africa's Talking.
    AfricasTalking(AfricasTalkingSettings),
}

/// The account at Africa's Talking.
#[derive(Clone, Debug)]
pub struct AfricasTalkingSettings {
    pub(super) base_url: String,
    pub(super) username: String,
    pub(super) api_key: Secret,
    pub(super) sender_id: Option<String>,
}

impl AfricasTalkingSettings {
    /// Whether texts go to the simulator of Africa's Talking's own pages and to no phone.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.username == SANDBOX_USER
    }
}

/// The user name of every sandbox.
const SANDBOX_USER: &str = "sandbox";
const SANDBOX_URL: &str = "https://api.sandbox.africastalking.com";
const PRODUCTION_URL: &str = "https://api.africastalking.com";
/// The longest user name that is taken, in characters.
const USERNAME_CHARACTERS: usize = 100;
/// The longest alphanumeric sender ID that networks take; a short code is shorter.
const SENDER_ID_CHARACTERS: usize = 11;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawChannel {
    Log,
    AfricasTalking,
}

/// The section as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSms {
    channel: RawChannel,
    username: Option<String>,
    api_key_file: Option<PathBuf>,
    sender_id: Option<String>,
    base_url: Option<String>,
    language: Option<String>,
    quiet_from: Option<String>,
    quiet_until: Option<String>,
    texts_a_second: Option<u32>,
    texts_per_customer_a_day: Option<u32>,
    days_kept: Option<u32>,
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct SmsSettings {
    /// How texts leave.
    pub channel: ChannelSettings,
    /// Texts begun in a second, at most.
    pub a_second: u32,
    policy: Policy,
}

/// Why the section cannot be used; each names the key and what to write.
#[derive(Debug, Error)]
pub enum SmsSettingsError {
    /// A key's value is none.
    #[error("[sms] {key}: {problem}")]
    Value {
        /// Which.
        key: &'static str,
        /// What to write.
        problem: String,
    },
}

fn value(key: &'static str, problem: impl ToString) -> SmsSettingsError {
    SmsSettingsError::Value { key, problem: problem.to_string() }
}

impl RawSms {
    /// Says where the file of the secret is, for a name that means another place than beside the configuration.
    #[must_use]
    pub fn with_files(mut self, place: impl Fn(&Path) -> PathBuf) -> Self {
        self.api_key_file = self.api_key_file.as_deref().map(place);
        self
    }

    /// Checks the section and reads the secret; a relative path is relative to `directory`.
    ///
    /// # Errors
    /// [`SmsSettingsError`] names the key and the cure.
    pub fn check(self, directory: &Path) -> Result<SmsSettings, SmsSettingsError> {
        let language = self.language.as_deref().unwrap_or("en").parse::<Language>();
        let clock = |key, text: Option<&str>, default: ClockTime| match text {
            None => Ok(default),
            Some(text) => text.parse().map_err(|error| value(key, error)),
        };
        let usual = QuietHours::default();
        let quiet = QuietHours {
            from: clock("quiet_from", self.quiet_from.as_deref(), usual.from)?,
            until: clock("quiet_until", self.quiet_until.as_deref(), usual.until)?,
        };
        let policy = Policy {
            language: language.map_err(|error| value("language", error))?,
            quiet,
            a_day: within(
                "texts_per_customer_a_day",
                self.texts_per_customer_a_day.unwrap_or(A_DAY),
                A_DAY_MOST,
            )?,
            days_kept: within("days_kept", self.days_kept.unwrap_or(DAYS_KEPT), DAYS_KEPT_MOST)?,
        };
        Ok(SmsSettings {
            channel: self.channel(directory)?,
            a_second: within("texts_a_second", self.texts_a_second.unwrap_or(A_SECOND), A_SECOND_MOST)?,
            policy,
        })
    }
}

impl RawSms {
    fn channel(&self, directory: &Path) -> Result<ChannelSettings, SmsSettingsError> {
        if let RawChannel::Log = self.channel {
            let beside = [
                ("username", self.username.is_some()),
                ("api_key_file", self.api_key_file.is_some()),
                ("sender_id", self.sender_id.is_some()),
                ("base_url", self.base_url.is_some()),
            ];
            let stray = beside.into_iter().find(|(_, is_there)| *is_there);
            return stray.map_or(Ok(ChannelSettings::Log), |(key, _)| {
                Err(value(key, "is for channel = \"africas_talking\" alone"))
            });
        }
        let username = self.username.as_deref().map(str::trim).unwrap_or_default();
        let is_name = !username.is_empty()
            && username.len() <= USERNAME_CHARACTERS
            && username.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(value(
                "username",
                "write the user name of the app at Africa's Talking, or \"sandbox\"",
            ));
        }
        let Some(file) = &self.api_key_file else {
            return Err(value("api_key_file", "name the file with the API key of the app"));
        };
        let sender_id = self.sender_id.as_deref().map(str::trim);
        if sender_id.is_some_and(|id| !is_sender_id(id)) {
            return Err(value(
                "sender_id",
                "write the sender ID or short code that is registered for the app, or leave it out",
            ));
        }
        let usual = if username == SANDBOX_USER { SANDBOX_URL } else { PRODUCTION_URL };
        let base_url = mpesa::base_url("base_url", self.base_url.as_deref().unwrap_or(usual));
        Ok(ChannelSettings::AfricasTalking(AfricasTalkingSettings {
            base_url: base_url.map_err(of_file)?,
            username: username.to_owned(),
            api_key: mpesa::secret("api_key_file", directory, file).map_err(of_file)?,
            sender_id: sender_id.map(ToOwned::to_owned),
        }))
    }
}

fn is_sender_id(id: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'.' | b'&');
    !id.is_empty() && id.len() <= SENDER_ID_CHARACTERS && id.bytes().all(is_plain)
}

/// What is wrong with a URL or a file is found where M-Pesa's are looked at, and told of under our section.
fn of_file(error: MpesaSettingsError) -> SmsSettingsError {
    match error {
        MpesaSettingsError::Url { key, problem } => value(key, problem),
        MpesaSettingsError::Read { key, path, source } => {
            value(key, format!("reading {}: {source}", path.display()))
        }
        MpesaSettingsError::Open { key, path } => {
            let path = path.display();
            value(key, format!("everybody on this machine can read {path}: chmod 0600 {path}"))
        }
        MpesaSettingsError::Secret { key, path } => {
            let path = path.display();
            value(key, format!("{path} must hold the key on one line, and nothing else"))
        }
        other => value("api_key_file", other),
    }
}

fn within(key: &'static str, number: u32, most: u32) -> Result<u32, SmsSettingsError> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(value(key, format!("use 1 to {most}")))
}

impl SmsSettings {
    /// What every process has to know of it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }
}
