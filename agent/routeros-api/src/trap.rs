//! Traps: how the router says no, and what kind of no it is.
//!
//! The category number is coarse and often missing (login and permission traps carry none), so the kind
//! is read from the message, whose wording is collected from releases 6.49 to 7.24 and the manual. Where
//! no wording is known the kind is [`TrapKind::Other`]: callers must treat that as final, not retry it.

use std::fmt;

use bytes::Bytes;

use crate::wire::Sentence;

/// Traps kept of one command; the router has been seen to send two. More are counted, not kept.
const TRAPS_KEPT: usize = 8;
/// A message is a line; what a broken peer sends beyond this is cut.
const MESSAGE_BYTES: usize = 1024;

/// The `=category=` of a trap, as the manual numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrapCategory {
    /// 0: missing item or command.
    Missing,
    /// 1: argument value failure.
    Argument,
    /// 2: execution of the command was interrupted.
    Interrupted,
    /// 3: scripting failure.
    Scripting,
    /// 4: general failure.
    General,
    /// 5: API failure.
    Api,
    /// 6: terminal failure.
    Terminal,
    /// 7: value made with `:return`.
    Returned,
    /// A number that the manual does not list.
    Unlisted(u32),
}

impl TrapCategory {
    fn read(value: &[u8]) -> Option<Self> {
        let number = crate::value::parse_number(value).ok().and_then(|number| u32::try_from(number).ok())?;
        Some(match number {
            0 => Self::Missing,
            1 => Self::Argument,
            2 => Self::Interrupted,
            3 => Self::Scripting,
            4 => Self::General,
            5 => Self::Api,
            6 => Self::Terminal,
            7 => Self::Returned,
            other => Self::Unlisted(other),
        })
    }
}

/// What a trap means to whoever sent the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrapKind {
    /// The row is not there; for a removal that is success.
    NoSuchItem,
    /// A row with that name is there; for an addition, read it back and compare.
    AlreadyExists,
    /// This release has no such property: its schema differs from ours.
    UnknownParameter,
    /// The menu or command is absent: a package is missing or the release is older.
    NoSuchCommand,
    /// The user's group lacks a policy.
    NotPermitted,
    /// Device-mode forbids it; only someone at the router can change that.
    DeviceMode,
    /// A value was refused. Sending it again will be refused again.
    InvalidValue,
    /// The command was cancelled, by us or by an operator.
    Interrupted,
    /// Anything else; read the message.
    Other,
}

/// One `!trap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// What it means.
    pub kind: TrapKind,
    /// The category number; often absent.
    pub category: Option<TrapCategory>,
    /// The router's own words, made readable; empty when it sent none.
    pub message: String,
}

impl Trap {
    pub(crate) fn read(sentence: &Sentence) -> Self {
        let category = sentence.attribute("category").and_then(|value| TrapCategory::read(&value));
        let message = readable(&sentence.attribute("message").unwrap_or_default());
        Self { kind: kind_of(category, &message), category, message }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.message.as_str(), self.category) {
            ("", Some(category)) => write!(formatter, "no message, category {category:?}"),
            ("", None) => formatter.write_str("no message"),
            (message, _) => formatter.write_str(message),
        }
    }
}

/// The traps of one command: at least one, in the order sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traps {
    first: Trap,
    more: Vec<Trap>,
    dropped: usize,
}

impl Traps {
    pub(crate) fn new(first: Trap) -> Self {
        Self { first, more: Vec::new(), dropped: 0 }
    }

    pub(crate) fn push(&mut self, trap: Trap) {
        if self.more.len().saturating_add(1) < TRAPS_KEPT {
            self.more.push(trap);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The first trap: it names the cause, later ones tend to follow from it.
    #[must_use]
    pub fn first(&self) -> &Trap {
        &self.first
    }

    /// All that were kept, the first included.
    pub fn iter(&self) -> impl Iterator<Item = &Trap> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Whether any of them is of this kind.
    #[must_use]
    pub fn any(&self, kind: TrapKind) -> bool {
        self.iter().any(|trap| trap.kind == kind)
    }
}

impl fmt::Display for Traps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first)?;
        for trap in &self.more {
            write!(formatter, "; {trap}")?;
        }
        match self.dropped {
            0 => Ok(()),
            dropped => write!(formatter, "; and {dropped} more"),
        }
    }
}

/// A message of the router for people: text as it is, other bytes replaced, cut to one line's length.
pub(crate) fn readable(message: &Bytes) -> String {
    let kept = message.get(..MESSAGE_BYTES).unwrap_or(message);
    String::from_utf8_lossy(kept).trim().to_owned()
}

/// Reads the kind. The order matters: `failure: not allowed by device-mode` is device-mode, and an
/// unknown parameter comes with the category of a bad value.
fn kind_of(category: Option<TrapCategory>, message: &str) -> TrapKind {
    let message = message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    if says("device-mode") || says("configuration flagged") {
        TrapKind::DeviceMode
    } else if says("not enough permissions") {
        TrapKind::NotPermitted
    } else if says("no such command") || says("bad command name") {
        TrapKind::NoSuchCommand
    } else if says("no such item") {
        TrapKind::NoSuchItem
    } else if says("already have") || says("already exists") {
        TrapKind::AlreadyExists
    } else if says("unknown parameter") || says("expected end of command") {
        TrapKind::UnknownParameter
    } else if category == Some(TrapCategory::Interrupted) || message == "interrupted" {
        TrapKind::Interrupted
    } else if category == Some(TrapCategory::Argument)
        || says("invalid value")
        || says("does not match any value")
        || says("ambiguous value")
    {
        TrapKind::InvalidValue
    } else {
        TrapKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap(words: &[&'static str]) -> Trap {
        Trap::read(&std::iter::once("!trap").chain(words.iter().copied()).collect())
    }

    #[test]
    fn the_kind_is_read_from_the_message_and_the_category() {
        for (words, kind) in [
            (&["=message=no such item"][..], TrapKind::NoSuchItem),
            (&["=category=0", "=message=no such item (4)"], TrapKind::NoSuchItem),
            (&["=category=0", "=message=no such command prefix"], TrapKind::NoSuchCommand),
            (&["=message=no such command"], TrapKind::NoSuchCommand),
            (&["=message=unknown parameter otp-secret"], TrapKind::UnknownParameter),
            (&["=category=1", "=message=unknown parameter"], TrapKind::UnknownParameter),
            (&["=category=1", "=message=input does not match any value of profile"], TrapKind::InvalidValue),
            (&["=message=invalid value for argument address"], TrapKind::InvalidValue),
            (
                &["=message=ambiguous value of service, more than one possible value matches input"],
                TrapKind::InvalidValue,
            ),
            (&["=category=1"], TrapKind::InvalidValue),
            (&["=message=failure: already have such entry"], TrapKind::AlreadyExists),
            (&["=message=failure: secret with the same name already exists"], TrapKind::AlreadyExists),
            (
                &["=message=failure: already have user with this name for this server"],
                TrapKind::AlreadyExists,
            ),
            (&["=message=not enough permissions (9)"], TrapKind::NotPermitted),
            (&["=message=failure: not allowed by device-mode"], TrapKind::DeviceMode),
            (
                &["=message=failure: configuration flagged, check all router configuration"],
                TrapKind::DeviceMode,
            ),
            (&["=category=2", "=message=interrupted"], TrapKind::Interrupted),
            (&["=category=2"], TrapKind::Interrupted),
            (&["=message=std failure: timeout (13)"], TrapKind::Other),
            (&[], TrapKind::Other),
        ] {
            assert_eq!(trap(words).kind, kind, "{words:?}");
        }
    }

    #[test]
    fn a_trap_may_lack_a_message_or_a_category_or_have_one_unlisted() {
        assert_eq!(trap(&[]).category, None);
        assert_eq!(trap(&["=category="]).category, None);
        assert_eq!(trap(&["=category=many"]).category, None);
        assert_eq!(trap(&["=category=42"]).category, Some(TrapCategory::Unlisted(42)));
        assert_eq!(trap(&[]).to_string(), "no message");
        assert_eq!(trap(&["=category=4"]).to_string(), "no message, category General");
    }

    #[test]
    fn several_traps_are_kept_in_order_up_to_a_limit() {
        let mut traps = Traps::new(trap(&["=message=first"]));
        traps.push(trap(&["=message=no such item"]));
        assert_eq!(traps.to_string(), "first; no such item");
        assert!(traps.any(TrapKind::NoSuchItem) && !traps.any(TrapKind::AlreadyExists));
        for _ in 0..1000 {
            traps.push(trap(&["=message=x"]));
        }
        assert_eq!(traps.iter().count(), TRAPS_KEPT);
        assert!(traps.to_string().ends_with("; and 994 more"));
    }

    #[test]
    fn a_message_of_strange_bytes_is_readable_and_bounded() {
        let text = readable(&Bytes::from([b"caf\xe9".repeat(500), b"\n".to_vec()].concat()));
        assert!(text.starts_with("caf\u{fffd}") && text.len() < 3 * MESSAGE_BYTES);
    }
}
