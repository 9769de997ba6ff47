//! What the router says when it will not do a command.
//!
//! Messages are those of real routers where they are recorded; a few wordings differ by release and are
//! inferred, which their constructors say. A client should match the category and the prefix.

use crate::query::QueryError;
use crate::values::ValueError;

/// A `!trap`: its category, if the router gives one, and its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trap {
    /// 0 missing item, 1 argument value, 2 interrupted, 5 API; absent for most session errors.
    pub category: Option<u8>,
    /// The text.
    pub message: String,
}

impl Trap {
    fn new(category: Option<u8>, message: impl Into<String>) -> Self {
        Self { category, message: message.into() }
    }

    /// The menu does not exist, or its package is absent.
    #[must_use]
    pub fn no_such_prefix() -> Self {
        Self::new(None, "no such command prefix")
    }

    /// The menu has no such command.
    #[must_use]
    pub fn no_such_command() -> Self {
        Self::new(None, "no such command")
    }

    /// A named row does not exist.
    #[must_use]
    pub fn no_such_item() -> Self {
        Self::new(Some(0), "no such item")
    }

    /// The command has no such argument in this release.
    #[must_use]
    pub fn unknown_parameter(name: &[u8]) -> Self {
        Self::new(None, format!("unknown parameter {}", String::from_utf8_lossy(name)))
    }

    /// An argument that must be given is not.
    #[must_use]
    pub fn missing(names: &[&str]) -> Self {
        Self::new(None, format!("missing value(s) of argument(s) {}", names.join(", ")))
    }

    /// The user's group lacks a policy.
    #[must_use]
    pub fn not_permitted() -> Self {
        Self::new(None, "not enough permissions (9)")
    }

    /// `failure: …`.
    #[must_use]
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(None, message)
    }

    /// The command was cancelled.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Some(2), "interrupted")
    }

    /// Login with a wrong name or password.
    #[must_use]
    pub fn bad_login() -> Self {
        Self::new(None, "invalid user name or password (6)")
    }

    /// The row is the router's own and changes by itself only; wording inferred.
    #[must_use]
    pub fn dynamic_item(verb: &str) -> Self {
        Self::failure(format!("failure: can not {verb} dynamic item"))
    }

    /// The row is built in; wording inferred.
    #[must_use]
    pub fn built_in() -> Self {
        Self::failure("failure: can not remove default item")
    }

    /// The router gave up on its own command.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(
            None,
            "action timed out - try again, if error continues contact MikroTik support and send a supout file (13)",
        )
    }

    /// The box itself does not allow it.
    #[must_use]
    pub fn not_in_device_mode() -> Self {
        Self::failure("failure: not allowed by device-mode")
    }

    /// Something that RouterOS does and the simulator does not: said aloud rather than pretended.
    #[must_use]
    pub fn not_simulated(what: &str) -> Self {
        Self::failure(format!("failure: routeros-sim does not simulate {what}"))
    }
}

impl From<ValueError> for Trap {
    fn from(error: ValueError) -> Self {
        Self::new(Some(1), error.to_string())
    }
}

impl From<QueryError> for Trap {
    fn from(error: QueryError) -> Self {
        Self::new(Some(5), error.to_string())
    }
}
