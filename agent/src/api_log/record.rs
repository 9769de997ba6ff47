//! What is kept of a write to a router. Pure: a command and its fate in, a record out.
//!
//! Secrets do not come this far: the value of a property whose name is on the list below is never copied into a record,
//! not even to be masked later, and where the router repeats it in a refusal it is cut out of its words. The list is of
//! names and errs on the long side: a value too few in a log is a question, one too many is a theft.

use routeros_api::{Command, Fate};
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::ids::check_id;
use tawi_shared::wire::{RouterWriteV1, WriteStatus};

use crate::outbox::shortened;
use crate::reconcile::actual::MARK;

/// Parts of property names whose values are secrets, in lower case. `password`, `hotspot-password`, `user-password`,
/// `secret`, `ipsec-secret`, `radius-secret`, `pre-shared-key`, `private-key`, `wpa2-pre-shared-key`, `passphrase`,
/// `authentication-password`, `community` and what may come.
const SECRET_NAMES: [&str; 7] = ["pass", "secret", "key", "token", "psk", "community", "credential"];
/// What stands for a secret.
const HIDDEN: &str = "***";
/// The longest list of parameters, in bytes; the wire contract says so.
const PARAMETERS_BYTES: usize = 500;

/// One write to a router, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// When it was answered, by the agent's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Router name in the settings.
    pub router: String,
    /// The command, such as `/ppp/secret/set`.
    pub operation: String,
    /// `name=value` of each parameter.
    pub parameters: String,
    /// Line id, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What that line was called on its router then, where the parameters do not say it: a row that was taken over has
    /// its name from somebody else, and no write of ours may ever say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `done`, `refused` or `unknown`.
    pub status: String,
    /// The router's words where it refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Write {
    /// What is kept of a command and of what became of it.
    #[must_use]
    pub fn of(at: UnixMillis, router: &str, command: &Command, fate: Fate<'_>) -> Self {
        let (status, words) = match fate {
            Fate::Done => (WriteStatus::Done, String::new()),
            Fate::Refused(error) => (WriteStatus::Refused, error.to_string()),
            Fate::Unknown => (WriteStatus::Unknown, String::new()),
        };
        let shown = Shown::of(command);
        let mut detail = words;
        for secret in &shown.secrets {
            detail = detail.replace(secret.as_ref(), HIDDEN);
        }
        Self {
            at_ms: at.0,
            router: router.to_owned(),
            operation: String::from_utf8_lossy(command.path()).into_owned(),
            parameters: cut(&shown.parameters, PARAMETERS_BYTES).to_owned(),
            line: command.subject().map(str::to_owned).or(shown.line),
            name: None,
            status: status.as_str().to_owned(),
            detail: shortened(&detail).to_owned(),
        }
    }

    /// The record with the name of its line, by `name_of` its id, where it does not say one itself.
    #[must_use]
    pub fn named(mut self, name_of: impl FnOnce(&str) -> Option<String>) -> Self {
        let name = self.line.as_deref().and_then(name_of).filter(|name| !name.is_empty());
        self.name = name.filter(|name| !self.says_name(name));
        self
    }

    /// The record as it travels.
    #[must_use]
    pub fn to_wire(&self) -> RouterWriteV1 {
        RouterWriteV1 {
            at_ms: self.at_ms,
            router: self.router.clone(),
            operation: self.operation.clone(),
            parameters: self.parameters.clone(),
            line: self.line.clone(),
            status: WriteStatus::parse(&self.status).unwrap_or(WriteStatus::Unknown).code(),
            detail: self.detail.clone(),
        }
    }

    /// Whether it is about this line: by the line's id, or by the name on the router that it had then or gets.
    #[must_use]
    pub fn is_about(&self, line: &str) -> bool {
        self.line.as_deref() == Some(line) || self.name.as_deref() == Some(line) || self.says_name(line)
    }

    fn says_name(&self, name: &str) -> bool {
        // A name may have spaces in it.
        let parameters = format!(" {} ", self.parameters);
        ["name", "user"].iter().any(|key| parameters.contains(&format!(" {key}={name} ")))
    }
}

/// Whether the value of a property of this name must not be kept.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// A command's parameters as they may be shown.
#[derive(Default)]
struct Shown<'a> {
    parameters: String,
    /// The line of our mark, where the command writes it.
    line: Option<String>,
    /// Borrowed from the command, to find them in the router's words; they go with it.
    secrets: Vec<std::borrow::Cow<'a, str>>,
}

impl<'a> Shown<'a> {
    fn of(command: &'a Command) -> Self {
        let mut shown = Self::default();
        for word in command.words().iter().skip(1) {
            let Some(word) = word.strip_prefix(b"=") else { continue };
            let mut halves = word.splitn(2, |byte| *byte == b'=');
            let name = String::from_utf8_lossy(halves.next().unwrap_or_default());
            let value = String::from_utf8_lossy(halves.next().unwrap_or_default());
            if !shown.parameters.is_empty() {
                shown.parameters.push(' ');
            }
            shown.parameters.push_str(&name);
            shown.parameters.push('=');
            if is_secret(&name) {
                shown.parameters.push_str(HIDDEN);
                shown.secrets.extend(Some(value).filter(|value| !value.is_empty()));
                continue;
            }
            // One line of the log is one write, whatever stands in a value.
            shown
                .parameters
                .extend(value.chars().map(|letter| if letter.is_control() { '·' } else { letter }));
            if name == "comment" {
                let id = value.strip_prefix(MARK).filter(|id| check_id(id).is_ok() && *id != "profile");
                shown.line = id.map(str::to_owned).or(shown.line);
            }
        }
        shown
    }
}

/// At most so many bytes of a text, never half a letter.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(1_000);

    fn add() -> Command {
        Command::new("/ppp/secret/add")
            .attribute("name", "plot17")
            .attribute("password", "hunter22")
            .attribute("comment", "tawi:b7k2")
    }

    #[test]
    fn a_write_is_kept_with_its_line_and_without_its_password() {
        let write = Write::of(AT, "core", &add(), Fate::Done);
        assert_eq!(write.parameters, "name=plot17 password=*** comment=tawi:b7k2");
        assert_eq!((write.line.as_deref(), write.status.as_str()), (Some("b7k2"), "done"));
        assert!(write.is_about("b7k2") && write.is_about("plot17") && !write.is_about("plot1"));
        let spaced = Command::new("/ppp/secret/set").attribute("name", "plot 17").attribute("disabled", "no");
        assert!(Write::of(AT, "core", &spaced, Fate::Done).is_about("plot 17"));
        let kick = Command::new("/ppp/active/remove").attribute(".id", "*1").about("b7k2");
        assert_eq!(Write::of(AT, "core", &kick, Fate::Unknown).line.as_deref(), Some("b7k2"));
        let profile = Command::new("/ppp/profile/add").attribute("comment", "tawi:profile");
        assert_eq!(Write::of(AT, "core", &profile, Fate::Done).line, None);
    }

    #[test]
    fn no_property_that_may_hold_a_secret_is_shown() {
        for name in [
            "password",
            "Password",
            "hotspot-password",
            "secret",
            "ipsec-secret",
            "pre-shared-key",
            "wpa2-pre-shared-key",
            "private-key",
            "passphrase",
            "community",
        ] {
            let command = Command::new("/x/set").attribute(name, "hunter22");
            let kept = serde_json::to_string(&Write::of(AT, "core", &command, Fate::Done)).unwrap();
            assert!(!kept.contains("hunter22") && kept.contains("=***"), "{name}: {kept}");
        }
        for name in
            ["name", "comment", "rate-limit", "disabled", "profile", ".id", "caller-id", "remote-address"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_value_of_any_shape_stays_on_its_line_and_within_its_bounds() {
        let long = "é".repeat(2_000);
        let command = Command::new("/x/set").attribute("name", "a\nb").attribute("comment", &long);
        let write = Write::of(AT, "core", &command, Fate::Done);
        assert!(write.parameters.starts_with("name=a·b comment=é") && write.parameters.len() <= 500);
        let command = Command::new("/x/set").attribute("name", [0xff, b'=', 0x00]);
        assert_eq!(Write::of(AT, "core", &command, Fate::Done).parameters, "name=\u{fffd}=·");
    }
}
