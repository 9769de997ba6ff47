//! Menus as typed rows: what the router has, and drafts of what it should have.
//!
//! A row is read property by property: unset, missing and empty are all `None`, text stays bytes, and a
//! value that cannot be read is named in `unreadable` rather than failing the other nine thousand rows.
//! Passwords are written and never read back: releases differ in whether they show them. What a row
//! should be is the caller's decision; nothing here compares or retries.
//!
//! ```no_run
//! # async fn example(client: routeros_api::Client) -> Result<(), routeros_api::Error> {
//! use routeros_api::menu::{PppSecret, PppSecretDraft};
//! let secrets = client.menu::<PppSecret>();
//! let id = secrets.add(&PppSecretDraft::new().name("plot1").profile("10M")).await?;
//! for secret in secrets.named(&["plot1", "plot2"]).await? {
//!     println!("{}: {:?}", secret.id, secret.profile);
//! }
//! secrets.disable(&id).await?;
//! # Ok(()) }
//! ```

#[macro_use]
mod row;

mod hotspot_active;
mod hotspot_cookie;
mod hotspot_user;
mod hotspot_user_profile;
mod interface;
mod log;
mod ppp_active;
mod ppp_profile;
mod ppp_secret;
mod system;
mod tunnel_session;

use std::fmt;
use std::marker::PhantomData;

use crate::client::{Client, Listen, REPLY_ROWS};
use crate::command::{Command, Query};
use crate::error::Error;
use crate::value::{RouterId, parse_number};

pub use hotspot_active::HotspotActive;
pub use hotspot_cookie::HotspotCookie;
pub use hotspot_user::{HotspotUser, HotspotUserDraft};
pub use hotspot_user_profile::{HotspotUserProfile, HotspotUserProfileDraft};
pub use interface::Interface;
pub use log::LogLine;
pub use ppp_active::PppActive;
pub use ppp_profile::{PppProfile, PppProfileDraft};
pub use ppp_secret::{PppSecret, PppSecretDraft};
pub use row::{Draft, Keyed, ListRow, Removable, Singleton, Switchable, TypedRow, Writable};
pub use system::{Clock, Identity, Package, Resource, Version};
pub use tunnel_session::{Tunnel, TunnelSession};

/// Names asked for in one print. Each costs two words; the router's own limit on words is not documented,
/// and a sentence of this many stays under 10 KiB.
const NAMES_PER_QUERY: usize = 100;

/// A list menu of the router, seen through one kind of row.
pub struct Menu<'c, R> {
    client: &'c Client,
    path: &'static str,
    rows: PhantomData<fn() -> R>,
}

impl Client {
    /// The menu whose rows are `R`: `client.menu::<PppSecret>()`.
    #[must_use]
    pub fn menu<R: ListRow>(&self) -> Menu<'_, R> {
        Menu { client: self, path: R::PATH, rows: PhantomData }
    }

    /// The only row of a menu that has one: `client.single::<Resource>()`.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::UnexpectedReply`] when there is no row.
    pub async fn single<R: Singleton>(&self) -> Result<R, Error> {
        let command = Command::new(format!("{}/print", R::PATH)).proplist(R::PROPERTIES);
        let reply = self.run(command).await?;
        reply
            .rows
            .first()
            .and_then(R::read)
            .ok_or(Error::UnexpectedReply { menu: R::PATH, problem: "no row" })
    }

    /// The sessions of one kind of tunnel server, which tie a user to the interface that counts its bytes.
    #[must_use]
    pub fn tunnel_sessions(&self, tunnel: Tunnel) -> Menu<'_, TunnelSession> {
        Menu { client: self, path: tunnel.path(), rows: PhantomData }
    }
}

impl<R: ListRow> Menu<'_, R> {
    /// Every row.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::UnexpectedReply`] for a row without an `.id`.
    pub async fn print(&self) -> Result<Vec<R>, Error> {
        self.collect(self.command("print").proplist(R::PROPERTIES)).await
    }

    /// The rows that the router finds to match.
    ///
    /// # Errors
    /// As [`Menu::print`].
    pub async fn find(&self, query: Query) -> Result<Vec<R>, Error> {
        self.collect(self.command("print").proplist(R::PROPERTIES).query(query)).await
    }

    /// How many rows there are, counted by the router.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::UnexpectedReply`] when no number came.
    pub async fn count(&self) -> Result<u64, Error> {
        let reply = self.client.run(self.command("print").flag("count-only")).await?;
        let problem =
            Error::UnexpectedReply { menu: self.path, problem: "no number in answer to count-only" };
        reply.ret.and_then(|ret| parse_number(&ret).ok()).ok_or(problem)
    }

    /// Rows that appear, change or go. Read them with [`TypedRow::read`]; see [`Client::listen`].
    ///
    /// # Errors
    /// As [`Client::listen`].
    pub async fn listen(&self) -> Result<Listen, Error> {
        self.client.listen(self.command("listen").proplist(R::PROPERTIES)).await
    }

    async fn collect(&self, command: Command) -> Result<Vec<R>, Error> {
        let mut stream = self.client.rows(command).await?;
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            if rows.len() >= REPLY_ROWS {
                return Err(Error::ReplyTooLarge { limit: REPLY_ROWS });
            }
            let problem = Error::UnexpectedReply { menu: self.path, problem: "a row without an .id" };
            rows.push(R::read(&row?).ok_or(problem)?);
        }
        Ok(rows)
    }

    async fn act(&self, verb: &str, id: &RouterId) -> Result<(), Error> {
        self.client.run(self.command(verb).id(id)).await.map(drop)
    }

    fn command(&self, verb: &str) -> Command {
        Command::new(format!("{}/{verb}", self.path))
    }
}

impl<R: Keyed> Menu<'_, R> {
    /// The rows that bear one of these names (users, in the menus of sessions). No names, no rows, and
    /// nothing is asked.
    ///
    /// # Errors
    /// As [`Menu::print`].
    pub async fn named<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<Vec<R>, Error> {
        let mut rows = Vec::new();
        for some in names.chunks(NAMES_PER_QUERY) {
            if let Some(query) = Query::any_of(R::KEY, some) {
                rows.append(&mut self.find(query).await?);
            }
        }
        Ok(rows)
    }
}

impl<R: Writable> Menu<'_, R> {
    /// Adds a row and gives its `.id`.
    ///
    /// # Errors
    /// Any [`Error`]. After [`Error::OutcomeUnknown`] look for the row by name before adding it again.
    pub async fn add(&self, draft: &R::Draft) -> Result<RouterId, Error> {
        let reply = self.client.run(self.command("add").attribute_words(draft.words())).await?;
        let problem = Error::UnexpectedReply { menu: self.path, problem: "no .id in answer to add" };
        reply.ret.and_then(|ret| RouterId::parse(ret).ok()).ok_or(problem)
    }

    /// Sets the drafted properties of a row and leaves the others. An empty draft asks nothing.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn set(&self, id: &RouterId, draft: &R::Draft) -> Result<(), Error> {
        if draft.words().is_empty() {
            return Ok(());
        }
        self.client.run(self.command("set").id(id).attribute_words(draft.words())).await.map(drop)
    }

    /// Unsets a property that an empty value does not unset, such as `remote-address`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn unset(&self, id: &RouterId, property: &str) -> Result<(), Error> {
        self.client.run(self.command("unset").id(id).attribute("value-name", property)).await.map(drop)
    }
}

impl<R: Switchable> Menu<'_, R> {
    /// Enables a row.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn enable(&self, id: &RouterId) -> Result<(), Error> {
        self.act("enable", id).await
    }

    /// Disables a row. Sessions that it let in stay until they are removed.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn disable(&self, id: &RouterId) -> Result<(), Error> {
        self.act("disable", id).await
    }
}

impl<R: Removable> Menu<'_, R> {
    /// Removes a row; of an active session, ends it.
    ///
    /// # Errors
    /// Any [`Error`]; [`crate::TrapKind::NoSuchItem`] when it is gone already.
    pub async fn remove(&self, id: &RouterId) -> Result<(), Error> {
        self.act("remove", id).await
    }
}

impl Menu<'_, HotspotUser> {
    /// Sets a user's byte, packet and time counters to zero.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn reset_counters(&self, id: &RouterId) -> Result<(), Error> {
        self.act("reset-counters", id).await
    }
}

impl<R> fmt::Debug for Menu<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Menu").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
