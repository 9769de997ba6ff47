//! An asynchronous client of the MikroTik RouterOS API.

mod client;
mod command;
mod connection;
mod error;
pub mod menu;
mod options;
mod sentence;
mod session;
mod tls;
mod trap;
pub mod value;
pub mod wire;
pub mod word;

pub use client::{Change, Client, Listen, REPLY_ROWS, Reply, RowStream};
pub use command::{Command, Query};
pub use error::{Error, LoginError, Lost, Operation, ProtocolError};
pub use options::{Deadlines, Options, PLAIN_PORT, TLS_PORT, Transport};
pub use sentence::Row;
pub use tls::{Fingerprint, TlsError, TlsTrust};
pub use trap::{Trap, TrapCategory, TrapKind, Traps};
pub use value::Secret;
