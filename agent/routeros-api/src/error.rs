//! Every way in which asking the router can fail, told apart by what the caller must do next.
//!
//! The distinction that matters most: after [`Error::OutcomeUnknown`] a write may or may not have
//! happened and must be read back by its natural key; after every other error it did not happen, or (for
//! [`Error::Trap`]) the router says why not. No variant carries a password or a value of a row.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::TlsError;
use crate::trap::{TrapKind, Traps};
use crate::wire::WireError;

/// Why a call failed. Cheap to clone: one lost connection is told to every command in flight.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No TCP connection: unknown host, refused, unreachable.
    #[error("cannot connect to the router at {address}")]
    Connect {
        /// What was asked for.
        address: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The TLS handshake failed; the text names the cure where there is one.
    #[error("cannot secure the connection to the router: {0}")]
    Tls(TlsError),
    /// The router did not let us in. Never retry at once: it counts and may lock the account.
    #[error("cannot log in to the router: {0}")]
    Login(LoginError),
    /// The router refused the command.
    #[error("the router refused the command: {0}")]
    Trap(Traps),
    /// The router ended the session with these words while a read was in flight.
    #[error("the router ended the session: {reason}")]
    Fatal {
        /// Such as `session terminated on request`.
        reason: String,
    },
    /// The connection was lost after a write was sent: it may have been carried out. Read back by
    /// natural key before sending it again.
    #[error("the outcome of the command is unknown: {cause}")]
    OutcomeUnknown {
        /// How the connection ended.
        cause: Lost,
    },
    /// The connection is over, and this command changed nothing: it was never sent, or it only reads.
    #[error("the connection is closed: {cause}")]
    Closed {
        /// How the connection ended.
        cause: Lost,
    },
    /// A deadline passed. The connection is closed with it: an answer that comes late would be taken for
    /// the next one.
    #[error("the router did not {operation} within {after:?}")]
    Timeout {
        /// What was waited for.
        operation: Operation,
        /// How long.
        after: Duration,
    },
    /// The peer does not speak the protocol, or broke a limit, while a read was in flight.
    #[error("the router sent what is not the RouterOS API: {0}")]
    Protocol(ProtocolError),
    /// The command cannot be put on the wire; nothing was sent.
    #[error("the command cannot be sent: {0}")]
    InvalidCommand(WireError),
    /// Rows of a [`crate::RowStream`] were not taken in time; the command was cancelled so that others
    /// could go on.
    #[error("rows were not taken within {after:?}, so the command was cancelled")]
    SlowConsumer {
        /// The limit, [`crate::Deadlines::row_taken`].
        after: Duration,
    },
    /// A reply collected in memory has more rows than allowed; use [`crate::Client::rows`].
    #[error("the reply has more than {limit} rows")]
    ReplyTooLarge {
        /// The limit, [`crate::client::REPLY_ROWS`].
        limit: usize,
    },
    /// The reply is well formed but lacks what this command must answer.
    #[error("unexpected reply from {menu}: {problem}")]
    UnexpectedReply {
        /// The menu asked.
        menu: &'static str,
        /// What is missing or wrong.
        problem: &'static str,
    },
}

// By hand: `#[from]` would make the cause a source too, and chains would say everything twice.
impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<LoginError> for Error {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}

impl Error {
    /// The kind of the first trap, when this is a trap.
    #[must_use]
    pub fn trap_kind(&self) -> Option<TrapKind> {
        match self {
            Self::Trap(traps) => Some(traps.first().kind),
            _ => None,
        }
    }

    /// Whether the connection is over, so that every later call on this client fails too.
    #[must_use]
    pub fn is_connection_lost(&self) -> bool {
        !matches!(
            self,
            Self::Trap(_)
                | Self::InvalidCommand(_)
                | Self::SlowConsumer { .. }
                | Self::ReplyTooLarge { .. }
                | Self::UnexpectedReply { .. }
        )
    }
}

/// What a deadline was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Operation {
    /// Opening the TCP connection.
    #[error("accept a connection")]
    Connect,
    /// The TLS handshake.
    #[error("complete the TLS handshake")]
    Tls,
    /// The login, as a whole.
    #[error("answer the login")]
    Login,
    /// The next bytes of a command's answer.
    #[error("answer the command")]
    Command,
}

/// How a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The router closed it. After `/system/reboot` that is all the answer there is.
    #[error("the router closed the connection{}", if *.mid_sentence { " in the middle of a reply" } else { "" })]
    Ended {
        /// Whether a reply was cut off.
        mid_sentence: bool,
    },
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Io(Arc<io::Error>),
    /// The router said `!fatal`.
    #[error("the router ended the session: {0}")]
    Fatal(String),
    /// What came is not this protocol, or broke a limit.
    #[error("the router sent what is not the RouterOS API: {0}")]
    Protocol(ProtocolError),
    /// A command got no bytes for its deadline.
    #[error("the router did not answer within {0:?}")]
    TimedOut(Duration),
    /// A cancelled command did not end in [`crate::Deadlines::cancel_drain`].
    #[error("the router did not end a cancelled command within {0:?}")]
    CancelUnanswered(Duration),
    /// [`crate::Client::close`] was called, or the last handle was dropped.
    #[error("it was closed on this side")]
    ClosedHere,
}

/// Not the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The framing or a limit was broken.
    #[error(transparent)]
    Framing(#[from] WireError),
    /// A sentence did not begin with `!`: another service answers at this port.
    #[error("a sentence that is not a reply")]
    NotAReply,
}

/// Why the router did not let us in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong name or password, or the AAA server did not answer; the router's words.
    #[error("{message}")]
    Refused {
        /// Such as `invalid user name or password (6)`.
        message: String,
    },
    /// The router wants the MD5 login of releases before 6.43.
    #[error(
        "the router asks for the MD5 login of releases before 6.43, which is not allowed by these options; \
         upgrade the router, or allow it with `legacy_login`"
    )]
    LegacyRefused,
    /// The challenge is not an even number of hexadecimal digits.
    #[error("the router sent a login challenge that is not hexadecimal")]
    BadChallenge,
    /// A second challenge came in answer to the first.
    #[error("the router repeated its login challenge")]
    RepeatedChallenge,
    /// The connection was closed before any answer.
    #[error(
        "the router closed the connection before it answered the login: check the address lists of \
         `/ip service` and of the user, whether the service's max-sessions is reached, and that this is not the \
         TLS port"
    )]
    ClosedByRouter,
    /// `!fatal` in place of an answer.
    #[error("the router ended the session: {reason}")]
    Fatal {
        /// The router's words.
        reason: String,
    },
    /// The service at this address is not the RouterOS API.
    #[error("what answers at this address is not the RouterOS API ({0}); a TLS port needs a TLS transport")]
    NotTheApi(ProtocolError),
    /// Reading or writing failed before the login was over.
    #[error("the connection broke: {0}")]
    Broken(String),
}
