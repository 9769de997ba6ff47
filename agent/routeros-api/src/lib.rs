//! An asynchronous client of the MikroTik RouterOS API, for RouterOS 6.49 to 7.x.
//!
//! One [`Client`] is one connection: many commands at a time, rows as they come, changes as they happen,
//! over plain TCP or TLS with a pinned or authorised certificate. It knows the protocol and the menus,
//! and nothing of what they are used for.
//!
//! ```text
//!   menu      typed rows and drafts                     PppSecret, HotspotUser, Interface …
//!     │
//!   follow    listen and print, merged and resumed      what became different
//!     │
//!   client    the handle: run, rows, listen             cheap to clone, closes with its last clone
//!     │ held: rows that wait, within an allowance
//!   connection  the task that owns the stream           deadlines, back-pressure, keepalive
//!     │
//!   session   pure: login, tags, draining, the end      what happened to *this* command?
//!     │
//!   command · sentence · trap   what words mean
//!     │
//!   wire · word   pure: bytes ⇄ sentences               limits before memory
//!     │
//!   TCP, or tls over it
//! ```
//!
//! # Promises
//!
//! - **An ambiguous outcome has its own error.** A write that was sent and not answered is
//!   [`Error::OutcomeUnknown`]; what was never sent, or only read, is [`Error::Closed`].
//! - **A connection that misbehaved is never used again.** Timeouts, broken frames and unanswered cancels
//!   close it; a late answer cannot be taken for the next one. Reconnecting is the caller's decision.
//! - **Values are bytes.** RouterOS stores no character set; nothing is decoded behind your back, and one
//!   odd value does not fail a row.
//! - **Memory is bounded**, for hostile routers too: see [`wire::Limits`], [`REPLY_ROWS`] and [`Options`].
//! - **No secret is shown** by any `Debug` or log line of this crate.
//!
//! # Example
//!
//! ```no_run
//! use routeros_api::menu::{PppActive, PppSecret};
//! use routeros_api::{Client, Fingerprint, Options, Secret, TlsTrust, Transport, TrapKind};
//!
//! # async fn suspend(password: Secret) -> Result<(), routeros_api::Error> {
//! let pin = Fingerprint::parse("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")?;
//! let options = Options::new("192.168.88.1", Transport::Tls(TlsTrust::Pin(pin)), "api", password);
//! let client = Client::connect(options).await?;
//!
//! // First the account, then its session: the other way round it would dial in again.
//! let secrets = client.menu::<PppSecret>();
//! for secret in secrets.named(&["plot1"]).await? {
//!     secrets.disable(&secret.id).await?;
//! }
//! let sessions = client.menu::<PppActive>();
//! for session in sessions.named(&["plot1"]).await? {
//!     match sessions.remove(&session.id).await {
//!         Err(error) if error.trap_kind() == Some(TrapKind::NoSuchItem) => {} // Gone by itself.
//!         result => result?,
//!     }
//! }
//! # Ok(()) }
//! ```

mod client;
mod command;
mod connection;
mod error;
mod follow;
mod held;
pub mod menu;
mod options;
mod sentence;
mod session;
mod tls;
mod trap;
pub mod value;
pub mod wire;
mod witness;
pub mod word;

pub use client::{Change, Client, Listen, REPLY_ROWS, Reply, RowStream};
pub use command::{Command, Query};
pub use error::{Error, LoginError, Lost, Operation, ProtocolError};
pub use follow::{Difference, Follow, News};
pub use options::{Deadlines, Options, PLAIN_PORT, TLS_PORT, Transport};
pub use sentence::Row;
pub use tls::{Fingerprint, TlsError, TlsTrust};
pub use trap::{Trap, TrapCategory, TrapKind, Traps};
pub use value::Secret;
pub use witness::{Fate, Witness};

/// The README's example is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
