//! People and programs that sign in, and what each may do.
//!
//! ```text
//!   login + password ──▶ throttle ──▶ argon2id ──▶ session (cookie)     may(role, permission)?
//!   bearer token ───────────────────────────────▶ token row            may(role, permission)?
//! ```
//!
//! Secrets are random, leave this module once, and rest as SHA-256 (tokens) or argon2id (passwords). A sign-in costs
//! the same for a login that exists and one that does not. What a page does with it is `pages.rs` and `web/`.

pub mod pages;
mod password;
mod sign_in;
mod store;
#[cfg(test)]
mod tests;
mod throttle;

use std::fmt;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;
use thiserror::Error;

use crate::database::Connection;
use crate::ids::{IdSource, StaffId};

pub use password::{Password, PasswordError, PasswordHash};
pub use sign_in::{Attempt, SignIn, SignInOutcome};
pub use throttle::{Throttle, Verdict};

/// Random bytes in a session token and in an API token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;
/// Random bytes in a form's token, which lives as long as its session.
const FORM_TOKEN_BYTES: usize = 16;
/// How every API token begins, so that secret scanners and people know one when they see it.
const TOKEN_PREFIX: &str = "tawi_";

/// Why something about staff could not be done.
#[derive(Debug, Error)]
pub enum StaffError {
    /// The database refuses.
    #[error("staff: {0}")]
    Database(#[from] sqlx::Error),
    /// A password cannot be hashed.
    #[error("staff: {0}")]
    Password(#[from] PasswordError),
    /// A row has a value that no release wrote.
    #[error("staff: column {column} holds {value:?}, which no release writes")]
    Row {
        /// Which column.
        column: &'static str,
        /// What stands in it.
        value: String,
    },
}

/// What a person or a program may do; the three words of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Owner,
    /// The daily work: customers, subscriptions, requests for payment.
    Operator,
    /// Looks, and changes nothing.
    Viewer,
}

/// Something that not everybody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read pages and resources.
    Read,
    /// Add customers and subscriptions.
    AddCustomers,
    /// Ask a phone for a payment.
    AskForPayment,
    /// Hold and release a subscription.
    HoldSubscriptions,
    /// Say that something on the list of what a person has to look at was looked at.
    SettleReview,
    /// Take a statement of M-Pesa's portal in.
    ImportStatement,
    /// Say what money was that a statement tells of and no rule books, and book it.
    BookByHand,
    /// Give a payment that is nobody's to a customer.
    AssignPayments,
    /// Move a payment to whose it is, or share it out.
    CorrectPayments,
    /// Undo a booking at the counter.
    UndoPayments,
    /// Give a payment back through M-Pesa, within the limits of the role, and agree to what somebody else asked for.
    Refund,
    /// Say how a refund ended of which M-Pesa does not tell.
    SettleRefunds,
    /// Write off what a customer owes, within the limits of the role.
    WriteOff,
    /// Take cash, or note a transfer that the bank's statement shows, within the limits of the role.
    TakePayments,
    /// Say that cash was brought to the bank.
    BankCash,
    /// Add connection types and plans.
    AddPlans,
    /// Add routers.
    AddRouters,
    /// Add sites, and make tickets by which devices become them.
    AddSites,
    /// Let held cuts go, end sessions, rebuild routers; have a rollout wait or end.
    CommandRouters,
    /// Bring another version of the agent to the sites.
    UpgradeAgents,
    /// Take over rows of a router as lines.
    TakeOver,
    /// Say what texts to customers say.
    ChangeTexts,
    /// Send a text to try whether texts arrive.
    SendTexts,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Operator, Self::Viewer];

    /// The word in the database, on the command line and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may do it.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        match (self, permission) {
            (Self::Owner, _) | (_, Permission::Read) => true,
            // Whoever takes a statement in can make money out of a table, and whoever holds cash neither signs it off nor
            // says that it never came.
            (
                Self::Operator,
                Permission::AddPlans
                | Permission::AddRouters
                | Permission::AddSites
                | Permission::UpgradeAgents
                | Permission::ImportStatement
                | Permission::BookByHand
                | Permission::BankCash
                | Permission::ChangeTexts
                | Permission::UndoPayments
                | Permission::SettleRefunds,
            ) => false,
            (Self::Operator, _) => true,
            (Self::Viewer, _) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A login: 2 to 32 characters of `a-z`, `0-9`, `.`, `_`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login(String);

/// A text that is no login.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a login has 2 to 32 characters of a-z, 0-9, dot, underscore and dash")]
pub struct NotALogin;

impl Login {
    /// The longest that is taken.
    const BYTES: usize = 32;

    /// Reads one; capitals are lowered, since people do not remember them.
    ///
    /// # Errors
    /// [`NotALogin`].
    pub fn parse(text: &str) -> Result<Self, NotALogin> {
        let text = text.trim().to_ascii_lowercase();
        let fits = (2..=Self::BYTES).contains(&text.len());
        let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if fits && plain { Ok(Self(text)) } else { Err(NotALogin) }
    }

    /// The login as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that leaves the controller once: the value of a cookie or a bearer token. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretToken(String);

impl SecretToken {
    /// Takes what a browser or a program sent. Anything may stand in it: only its hash is looked up.
    #[must_use]
    pub fn received(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, for the one answer that carries it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What rests in the database.
    pub(crate) fn sha256(&self) -> String {
        hex(digest(&SHA256, self.0.as_bytes()).as_ref())
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(…)")
    }
}

/// A member of staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Id.
    pub id: StaffId,
    /// How they sign in.
    pub login: Login,
    /// What they may do.
    pub role: Role,
}

/// A browser that is signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub member: Member,
    /// What every form of this session carries.
    pub form_token: String,
}

impl fmt::Debug for Session {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("member", &self.member).finish_non_exhaustive()
    }
}

/// A program with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Somebody or something that may come in, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Login, or name of the token.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when they are there.
    pub created_at: UnixMillis,
    /// Since when they may no longer come in.
    pub ended_at: Option<UnixMillis>,
}

/// What came of adding a member of staff or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added<T> {
    /// It is there.
    Added(T),
    /// Somebody has that name already.
    NameTaken,
}

/// Adds a member of staff.
///
/// # Errors
/// When the database refuses.
pub async fn add(
    connection: &mut Connection,
    login: Login,
    role: Role,
    hash: &PasswordHash,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Added<Member>, StaffError> {
    let member = Member { id: StaffId::random(ids), login, role };
    let is_new = store::insert_member(connection, &member, hash, now).await?;
    Ok(if is_new { Added::Added(member) } else { Added::NameTaken })
}

/// Lets a member sign in, or no longer; what they had open ends at once. Answers whether there is such a member.
///
/// # Errors
/// When the database refuses.
pub async fn set_disabled(
    connection: &mut Connection,
    login: &Login,
    disabled_at: Option<UnixMillis>,
) -> Result<bool, StaffError> {
    store::delete_sessions_of(connection, login).await?;
    store::set_disabled(connection, login, disabled_at).await
}

/// Gives a member a new password; what they had open ends at once. Answers whether there is such a member.
///
/// # Errors
/// When the database refuses.
pub async fn set_password(
    connection: &mut Connection,
    login: &Login,
    hash: &PasswordHash,
) -> Result<bool, StaffError> {
    store::delete_sessions_of(connection, login).await?;
    store::set_password(connection, login, hash).await
}

/// All members, by login.
///
/// # Errors
/// When the database refuses.
pub async fn list(connection: &mut Connection) -> Result<Vec<Listed>, StaffError> {
    store::members(connection).await
}

/// All tokens, by name.
///
/// # Errors
/// When the database refuses.
pub async fn list_tokens(connection: &mut Connection) -> Result<Vec<Listed>, StaffError> {
    store::tokens(connection).await
}

/// Ends a token. Answers whether there was one of that name that still worked.
///
/// # Errors
/// When the database refuses.
pub async fn revoke_token(
    connection: &mut Connection,
    name: &str,
    now: UnixMillis,
) -> Result<bool, StaffError> {
    store::revoke_token(connection, name, now).await
}

/// Makes a token; the secret is in the answer and nowhere else.
///
/// # Errors
/// When the database refuses.
pub async fn add_token(
    connection: &mut Connection,
    name: &str,
    role: Role,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Added<SecretToken>, StaffError> {
    let token = SecretToken(format!("{TOKEN_PREFIX}{}", ids.hex(TOKEN_BYTES)));
    let is_new = store::insert_token(connection, &token.sha256(), name, role, now).await?;
    Ok(if is_new { Added::Added(token) } else { Added::NameTaken })
}

/// Whose token this is; `None` for an unknown or revoked one.
///
/// # Errors
/// When the database refuses.
pub async fn token_holder(
    connection: &mut Connection,
    token: &SecretToken,
) -> Result<Option<TokenHolder>, StaffError> {
    store::token_holder(connection, &token.sha256()).await
}

/// Opens a session for a member who has just proved who they are.
///
/// # Errors
/// When the database refuses.
pub async fn open_session(
    connection: &mut Connection,
    member: &Member,
    lasts: Duration,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<SecretToken, StaffError> {
    let token = SecretToken(ids.hex(TOKEN_BYTES));
    let form_token = ids.hex(FORM_TOKEN_BYTES);
    store::insert_session(connection, &token.sha256(), &member.id, &form_token, (now, now.plus(lasts)))
        .await?;
    Ok(token)
}

/// The session of a cookie; `None` for one that is unknown, over, or whose member is disabled.
///
/// # Errors
/// When the database refuses.
pub async fn session(
    connection: &mut Connection,
    token: &SecretToken,
    now: UnixMillis,
) -> Result<Option<Session>, StaffError> {
    store::session(connection, &token.sha256(), now).await
}

/// Ends the session of a cookie.
///
/// # Errors
/// When the database refuses.
pub async fn close_session(connection: &mut Connection, token: &SecretToken) -> Result<(), StaffError> {
    store::delete_session(connection, &token.sha256()).await
}

/// Forgets at most `limit` sessions that are over; answers how many.
///
/// # Errors
/// When the database refuses.
pub async fn forget_sessions(
    connection: &mut Connection,
    now: UnixMillis,
    limit: u32,
) -> Result<u64, StaffError> {
    store::delete_sessions_before(connection, now, limit).await
}

/// How many members there are: a controller without any says how to add the first.
///
/// # Errors
/// When the database refuses.
pub async fn has_members(connection: &mut Connection) -> Result<bool, StaffError> {
    store::has_members(connection).await
}
