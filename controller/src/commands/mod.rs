//! What is commanded of a site once: letting held cuts go, ending sessions, rebuilding a router, taking rows over; and what
//! is asked of its agent itself, such as the doctor.
//!
//! ```text
//! queued ─> executing ─> succeeded | failed
//!    └─────────┴──────> expired | failed (nobody knows)
//! ```
//!
//! A command is queued in the transaction of whoever asks for it, with the audit row. The link sends it at once, with each
//! hello, and again until its result came; the agent does each at most once. What is state (who may use the network) never
//! travels this way: that is `desired`.

pub mod answers;
pub mod api;
pub mod pages;
pub(crate) mod remote;
pub(crate) mod store;

use std::time::Duration;

use tawi_shared::wire::{CommandKind, CommandResultV1, CommandStatus, CommandV1, Service};
use tawi_shared::{UnixMillis, counted};

use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::held_plans;
use crate::ids::{CommandId, IdSource, LineId, SiteId};
use crate::plain::line_of;
use crate::sites::{self, SiteError};

/// How long a person's order stands: long enough for a link that comes and goes, short enough that nobody is surprised by
/// what they ordered last night.
pub const LASTS: Duration = Duration::from_secs(15 * 60);
/// How long one stands that is part of a sheet: a site may be away for a night.
pub const SHEET_LASTS: Duration = Duration::from_secs(24 * 3_600);
/// Past its last instant nobody begins it; its result may still be on the way.
pub const RESULT_WITHIN: Duration = Duration::from_secs(3_600);
/// How long commands are kept.
pub const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Commands that one site is sent at a time; the rest follows as these are answered.
pub const TOLD_AT_ONCE: u32 = 64;
/// The longest detail that is kept, in characters; the contract says 200 bytes.
const DETAIL_CHARACTERS: usize = 200;

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The site has not said that it began.
    Queued,
    /// It was begun.
    Executing,
    /// It was done.
    Succeeded,
    /// It was not done, or nobody knows.
    Failed,
    /// It came too late.
    Expired,
}

impl Standing {
    const ALL: [Self; 5] = [Self::Queued, Self::Executing, Self::Succeeded, Self::Failed, Self::Expired];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Executing => "executing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == text)
    }

    /// Whether the site may still be asked about it.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Executing)
    }
}

impl From<CommandStatus> for Standing {
    fn from(status: CommandStatus) -> Self {
        match status {
            // It is still to be told of, and what it waits for is its detail.
            CommandStatus::Waiting => Self::Queued,
            CommandStatus::Executing => Self::Executing,
            CommandStatus::Succeeded => Self::Succeeded,
            CommandStatus::Failed => Self::Failed,
            CommandStatus::Expired => Self::Expired,
        }
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// Of which site.
    pub site: SiteId,
    /// What.
    pub kind: CommandKind,
    /// On which router, by its name; empty where the agent itself is asked.
    pub router: String,
    /// For which line, where it concerns one.
    pub line: Option<LineId>,
    /// The digest of a held plan, the name of a row, a level of the log, or seconds.
    pub argument: String,
    /// Where the row is, where it concerns one.
    pub service: Option<Service>,
    /// How long it stands.
    pub lasts: Duration,
}

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which.
    pub id: CommandId,
    /// Of which site.
    pub site: SiteId,
    /// What; `None` for a kind that this release does not know.
    pub kind: Option<CommandKind>,
    /// On which router.
    pub router: String,
    /// For which line.
    pub line: Option<LineId>,
    /// See [`NewCommand`].
    pub argument: String,
    /// A [`Service`] code, or 0.
    pub service: u16,
    /// Who asked.
    pub actor: String,
    /// When.
    pub created_at: UnixMillis,
    /// Until when it may be begun.
    pub not_after: UnixMillis,
    /// Where it stands.
    pub standing: Standing,
    /// Since when.
    pub standing_at: UnixMillis,
    /// The agent's words.
    pub detail: String,
}

impl Command {
    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> CommandV1 {
        CommandV1 {
            id: self.id.to_string(),
            kind: self.kind.map_or(0, CommandKind::code),
            not_after_ms: self.not_after.0,
            router: self.router.clone(),
            line: self.line.as_ref().map(ToString::to_string).unwrap_or_default(),
            argument: self.argument.clone(),
            service: self.service,
        }
    }
}

/// Queues a command with its audit row, within the caller's transaction. Ring `Live::ring_outbox` after the commit.
///
/// # Errors
/// When the database refuses.
pub async fn queue(
    connection: &mut Connection,
    new: NewCommand,
    actor: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Command, sqlx::Error> {
    queue_with(connection, new, "", actor, ids, now).await
}

/// The same with more words for the audit log.
async fn queue_with(
    connection: &mut Connection,
    new: NewCommand,
    words: &str,
    actor: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Command, sqlx::Error> {
    let about = new.line.as_ref().map(|line| format!(" for line {line}")).unwrap_or_default();
    let detail = match new.kind.is_of_site() {
        true => format!("{} {}", new.kind.as_str(), new.argument).trim_end().to_owned(),
        false => format!("{} on router {}{about}{words}", new.kind.as_str(), new.router),
    };
    let command = Command {
        id: CommandId::random(ids),
        site: new.site,
        kind: Some(new.kind),
        router: new.router,
        line: new.line,
        argument: new.argument,
        service: new.service.map_or(0, Service::code),
        actor: actor.to_string(),
        created_at: now,
        not_after: now.plus(new.lasts),
        standing: Standing::Queued,
        standing_at: now,
        detail: String::new(),
    };
    store::insert(connection, &command, new.kind).await?;
    audit::record(connection, actor, (Action::CommandGiven, command.site.as_str(), &detail), ids, now)
        .await?;
    Ok(command)
}

/// What became of an order.
#[expect(clippy::large_enum_variant, reason = "made once for a form; a box would only be unpacked at once")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// It is queued. Ring `Live::ring_outbox` after the commit.
    Queued {
        /// The command.
        command: Command,
        /// Whether its site can be told at once.
        is_site_online: bool,
    },
    /// There is no such site, or no such router there.
    NoSuchRouter,
    /// The site is shut out: its agent is refused.
    SiteRevoked,
    /// The guard of the router holds nothing any more.
    NothingHeld,
    /// It holds something else than what whoever orders has seen.
    HeldChanged,
}

/// Queues what somebody orders of a router, if it can be, within the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn order(
    connection: &mut Connection,
    new: NewCommand,
    actor: &Actor,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Ordered, SiteError> {
    let Some(site) = sites::get(connection, &new.site).await? else { return Ok(Ordered::NoSuchRouter) };
    // What is asked of the agent itself names no router.
    let is_router_needed = !new.kind.is_of_site();
    if is_router_needed && sites::find_router(connection, &site.id, &new.router).await?.is_none() {
        return Ok(Ordered::NoSuchRouter);
    }
    if site.revoked_at.is_some() {
        return Ok(Ordered::SiteRevoked);
    }
    let mut words = String::new();
    if new.kind == CommandKind::ReleaseHeld {
        // The agent compares as well; what is known here is said at once.
        match held_plans::of_router(connection, &site.id, &new.router).await? {
            None => return Ok(Ordered::NothingHeld),
            Some(plan) if plan.digest != new.argument => return Ok(Ordered::HeldChanged),
            Some(plan) => words = format!(": {}", counted(plan.lines_total, "line")),
        }
    }
    let command = queue_with(connection, new, &words, actor, ids, now).await?;
    Ok(Ordered::Queued { command, is_site_online: site.presence.is_online })
}

/// Takes what a site says of a command of its own. `None` when that is no news: it is not the site's, or it is over.
///
/// # Errors
/// When the database refuses.
pub async fn take_result(
    connection: &mut Connection,
    site: &SiteId,
    result: &CommandResultV1,
    now: UnixMillis,
) -> Result<Option<Command>, sqlx::Error> {
    let (Ok(id), Some(status)) = (CommandId::parse(&result.id), CommandStatus::from_code(result.status))
    else {
        return Ok(None);
    };
    let detail = line_of(&result.detail, DETAIL_CHARACTERS);
    if !store::settle(connection, site, &id, status.into(), &detail, now).await? {
        return Ok(None);
    }
    store::by_id(connection, &id).await
}

/// What changes routers, and is done once. The rest of what is asked may be asked again.
const ONCE: [CommandKind; 4] =
    [CommandKind::ReleaseHeld, CommandKind::Kick, CommandKind::Rebuild, CommandKind::Adopt];

/// Gives up what a site may have begun and cannot tell of: the store that said so is gone. Told again, it would be done a second
/// time; who asked is told that nobody knows. To be called before the site's new store is noted.
///
/// # Errors
/// When the database refuses.
pub async fn store_was_lost(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let given_up = store::give_up_begun(connection, site, ONCE, now).await?;
    if given_up > 0 {
        tracing::warn!(site.id = %site, commands = given_up, "the site lost its store: commands that it may have begun are given up");
    }
    Ok(())
}

/// A command by the id that a site names; `None` for one that there is not.
///
/// # Errors
/// When the database refuses.
pub async fn get(connection: &mut Connection, id: &str) -> Result<Option<Command>, sqlx::Error> {
    match CommandId::parse(id) {
        Ok(id) => store::by_id(connection, &id).await,
        Err(_) => Ok(None),
    }
}

/// The open commands of a site, oldest first: those that it must still be told.
///
/// # Errors
/// When the database refuses.
pub async fn open_of(connection: &mut Connection, site: &SiteId) -> Result<Vec<Command>, sqlx::Error> {
    store::open_of(connection, site, TOLD_AT_ONCE).await
}

/// The newest command of a kind for a router.
///
/// # Errors
/// When the database refuses.
pub async fn latest_of_kind(
    connection: &mut Connection,
    site: &SiteId,
    kind: CommandKind,
    router: &str,
) -> Result<Option<Command>, sqlx::Error> {
    store::latest_of_kind(connection, site, kind, router).await
}

/// The newest commands of a site.
///
/// # Errors
/// When the database refuses.
pub async fn latest_of(
    connection: &mut Connection,
    site: &SiteId,
    limit: u32,
) -> Result<Vec<Command>, sqlx::Error> {
    store::latest_of(connection, site, limit).await
}
