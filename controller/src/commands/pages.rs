//! The buttons: let held cuts go, rebuild a router, end a line's sessions; and how commands are shown.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use tawi_shared::UnixMillis;
use tawi_shared::wire::CommandKind;

use super::{Command, LASTS, NewCommand, Ordered, Standing};
use crate::ids::{LineId, SiteId};
use crate::live::Hint;
use crate::staff::Permission;
use crate::subscriptions;
use crate::web::Web;
use crate::web::display::{Badge, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Note, Posted, Visit};

/// A command as a page shows it.
#[derive(Clone, Debug)]
pub(crate) struct CommandView {
    pub(crate) what: &'static str,
    pub(crate) router: String,
    pub(crate) about: String,
    pub(crate) by: String,
    pub(crate) at: Moment,
    pub(crate) badge: Badge,
    pub(crate) detail: String,
}

impl CommandView {
    pub(crate) fn of(command: &Command, now: UnixMillis) -> Self {
        let is_told = matches!(command.kind, Some(CommandKind::Adopt | CommandKind::SetLogLevel));
        Self {
            what: word_of(command.kind),
            router: command.router.clone(),
            about: if is_told { command.argument.clone() } else { String::new() },
            by: command.actor.clone(),
            at: Moment::of(command.created_at, now),
            badge: badge_of(command.standing),
            detail: command.detail.clone(),
        }
    }
}

fn word_of(kind: Option<CommandKind>) -> &'static str {
    match kind {
        Some(CommandKind::ReleaseHeld) => "Let held cuts go",
        Some(CommandKind::Kick) => "End sessions",
        Some(CommandKind::Rebuild) => "Rebuild",
        Some(CommandKind::ListForeign) => "Read rows of others",
        Some(CommandKind::Adopt) => "Take over",
        Some(CommandKind::Doctor) => "Doctor",
        Some(CommandKind::Diagnostics) => "Diagnostics",
        Some(CommandKind::SetLogLevel) => "Set log level",
        Some(CommandKind::Watch) => "Watch",
        None => "Of another release",
    }
}

fn badge_of(standing: Standing) -> Badge {
    match standing {
        Standing::Queued => Badge::info("on the way"),
        Standing::Executing => Badge::info("begun"),
        Standing::Succeeded => Badge::good("done"),
        Standing::Failed => Badge::bad("failed"),
        Standing::Expired => Badge::warn("too late"),
    }
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/sites/{id}/routers/{router}/let-go", post(let_go))
        .route("/sites/{id}/routers/{router}/rebuild", post(rebuild))
        .route("/subscriptions/{id}/end-sessions", post(end_sessions))
        .merge(super::remote::routes())
}

async fn let_go(
    State(web): State<Web>,
    Path((id, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CommandRouters)?;
    let site = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{site}");
    if !fields.is("confirm", "yes") {
        let note = "Nothing was done: tick the box to say that these customers are to lose access.";
        return Ok(visit.go(&to, &Note::bad(note)));
    }
    let digest = fields.value("digest").to_owned();
    let new = NewCommand {
        site,
        kind: CommandKind::ReleaseHeld,
        router,
        line: None,
        argument: digest,
        service: None,
        lasts: LASTS,
    };
    give(&web, &visit, new, &to, "On the way: the agent lets go exactly what was shown here.").await
}

async fn rebuild(
    State(web): State<Web>,
    Path((id, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CommandRouters)?;
    let site = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{site}");
    if !fields.is("confirm", "yes") {
        return Ok(visit.go(&to, &Note::bad("Nothing was done: tick the box to rebuild the router.")));
    }
    let new = NewCommand {
        site,
        kind: CommandKind::Rebuild,
        router,
        line: None,
        argument: String::new(),
        service: None,
        lasts: LASTS,
    };
    give(&web, &visit, new, &to, "On the way: the agent makes everything anew on that router.").await
}

async fn end_sessions(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::CommandRouters)?;
    let line = LineId::parse(&id).map_err(|_| PageError::NotFound)?;
    let found = subscriptions::get(&mut *web.controller.database.read().await?, &line).await?;
    let found = found.ok_or(PageError::NotFound)?;
    let to = format!("/customers/{}", found.customer);
    let new = NewCommand {
        site: found.site,
        kind: CommandKind::Kick,
        router: found.router_name,
        line: Some(line),
        argument: String::new(),
        service: None,
        lasts: LASTS,
    };
    give(&web, &visit, new, &to, "On the way: the site ends the line’s sessions; it may dial in again.").await
}

/// Queues a command for a site, and goes on to a page with these words.
pub(crate) async fn give(
    web: &Web,
    visit: &Visit,
    new: NewCommand,
    to: &str,
    words: &str,
) -> Result<Response, PageError> {
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let ordered = super::order(&mut transaction, new, &visit.actor(), &controller.ids, visit.now).await?;
    let refused = |words: &str| Ok(visit.go(to, &Note::bad(words)));
    let (command, is_site_online) = match ordered {
        Ordered::Queued { command, is_site_online } => (command, is_site_online),
        Ordered::NoSuchRouter => return Err(PageError::NotFound),
        Ordered::SiteRevoked => return refused("The site is revoked: its agent is refused."),
        Ordered::NothingHeld => return refused("Nothing was done: that router holds nothing any more."),
        Ordered::HeldChanged => {
            return refused("Nothing was done: what is held has changed meanwhile. Look at it again.");
        }
    };
    let live = controller.live.clone();
    // On a task of its own: a browser that hangs up ends this handler, and the bell must ring after the commit.
    let told = tokio::spawn(async move {
        transaction.commit().await?;
        live.ring_outbox();
        live.tell(Hint::Site(command.site));
        Ok::<_, sqlx::Error>(())
    });
    told.await??;
    let away = if is_site_online { "" } else { " The site is away: the order stands for 15 minutes." };
    Ok(visit.go(to, &Note::good(format!("{words}{away}"))))
}
