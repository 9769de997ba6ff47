//! What staff ask of a site's agent itself: the buttons, and how answers are shown.
//!
//! Answers are the agent's JSON (`answers.rs`). What is shown of it is read into types here, with a bound on everything; an
//! answer of another form is offered as a file and not guessed at.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tawi_shared::UnixMillis;
use tawi_shared::wire::CommandKind;

use super::pages::give;
use super::{Command, LASTS, NewCommand, answers};
use crate::database::Connection;
use crate::ids::SiteId;
use crate::plain::line_of;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{Badge, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Note, Posted, Visit};

/// Levels of the log that may be asked for.
pub(crate) const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
/// The longest watch, in seconds; one from a page.
const WATCH_MOST: u32 = 300;
const WATCH_LEAST: u32 = 5;
const WATCH_OF_A_PAGE: u32 = 120;
/// Findings that are shown, and characters of each text.
const FINDINGS: usize = 1_000;
const CHARACTERS: usize = 1_000;

/// A level that may be asked for.
pub(crate) fn level(text: &str) -> Option<&'static str> {
    LEVELS.into_iter().find(|level| *level == text)
}

/// A time that somebody may watch.
pub(crate) fn seconds(seconds: u32) -> Option<u32> {
    (WATCH_LEAST..=WATCH_MOST).contains(&seconds).then_some(seconds)
}

/// The report of a doctor, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DoctorReport {
    pub(crate) good: u64,
    pub(crate) doubtful: u64,
    pub(crate) bad: u64,
    pub(crate) findings: Vec<Finding>,
}

/// One thing that the doctor looked at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Finding {
    pub(crate) group: String,
    pub(crate) check: String,
    pub(crate) verdict: String,
    pub(crate) detail: String,
    pub(crate) cure: String,
}

impl DoctorReport {
    /// Reads a report; `None` for something else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut report: Self = serde_json::from_str(text).ok()?;
        report.findings.truncate(FINDINGS);
        for finding in &mut report.findings {
            for text in [&mut finding.group, &mut finding.check, &mut finding.detail, &mut finding.cure] {
                *text = line_of(text, CHARACTERS);
            }
        }
        Some(report)
    }
}

impl Finding {
    pub(crate) fn badge(&self) -> Badge {
        match self.verdict.as_str() {
            "good" => Badge::good("good"),
            "doubtful" => Badge::warn("doubtful"),
            _ => Badge::bad("bad"),
        }
    }
}

/// How an agent stands while somebody watches.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Watched {
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) problems: Vec<String>,
}

impl Watched {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut watched: Self = serde_json::from_str(text).ok()?;
        watched.summary = line_of(&watched.summary, CHARACTERS);
        watched.problems.truncate(20);
        watched.problems.iter_mut().for_each(|problem| *problem = line_of(problem, CHARACTERS));
        Some(watched)
    }
}

/// What a site's page shows of one answer.
pub(crate) struct AnswerView {
    /// Where the file is.
    pub(crate) file: String,
    pub(crate) at: Moment,
    pub(crate) by: String,
    /// Whether the command is still open.
    pub(crate) is_open: bool,
    pub(crate) doctor: Option<DoctorReport>,
    pub(crate) watched: Option<Watched>,
}

/// The newest answer of each kind.
#[derive(Default)]
pub(crate) struct RemoteView {
    pub(crate) doctor: Option<AnswerView>,
    pub(crate) diagnostics: Option<AnswerView>,
    pub(crate) watch: Option<AnswerView>,
}

impl RemoteView {
    /// Of a site.
    pub(crate) async fn of(
        connection: &mut Connection,
        site: &SiteId,
        now: UnixMillis,
    ) -> Result<Self, sqlx::Error> {
        let mut newest = Vec::new();
        for kind in [CommandKind::Doctor, CommandKind::Diagnostics, CommandKind::Watch] {
            let command = super::latest_of_kind(connection, site, kind, "").await?;
            newest.push(match command {
                Some(command) => answer_view(connection, &command, now).await?,
                None => None,
            });
        }
        let mut newest = newest.into_iter();
        let mut next = || newest.next().flatten();
        Ok(Self { doctor: next(), diagnostics: next(), watch: next() })
    }
}

async fn answer_view(
    connection: &mut Connection,
    command: &Command,
    now: UnixMillis,
) -> Result<Option<AnswerView>, sqlx::Error> {
    let Some(text) = answers::of(connection, &command.id).await? else { return Ok(None) };
    let is = |kind| command.kind == Some(kind);
    Ok(Some(AnswerView {
        file: format!("/sites/{}/commands/{}/answer", command.site, command.id),
        at: Moment::of(command.created_at, now),
        by: command.actor.clone(),
        is_open: command.standing.is_open(),
        doctor: is(CommandKind::Doctor).then(|| DoctorReport::read(&text)).flatten(),
        watched: is(CommandKind::Watch).then(|| Watched::read(&text)).flatten(),
    }))
}

pub(super) fn routes() -> Router<Web> {
    Router::new()
        .route("/sites/{id}/ask/{what}", post(ask))
        .route("/sites/{id}/commands/{command}/answer", get(file))
}

async fn ask(
    State(web): State<Web>,
    Path((id, what)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CommandRouters)?;
    let site = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{site}");
    let (kind, argument, words) = match what.as_str() {
        "doctor" => (CommandKind::Doctor, String::new(), "On the way: what the doctor finds appears here."),
        "diagnostics" => {
            (CommandKind::Diagnostics, String::new(), "On the way: the diagnostics can be saved here then.")
        }
        "watch" => {
            let words = "On the way: how the agent stands appears here every few seconds.";
            (CommandKind::Watch, WATCH_OF_A_PAGE.to_string(), words)
        }
        "log-level" => match level(fields.value("level")) {
            Some(level) => {
                let words = "On the way: it stands until the agent restarts, and for a day at most.";
                (CommandKind::SetLogLevel, level.to_owned(), words)
            }
            None => {
                return Ok(visit.go(&to, &Note::bad("Nothing was done: choose how much is to be logged.")));
            }
        },
        _ => return Err(PageError::NotFound),
    };
    give(&web, &visit, new_command(site, kind, argument), &to, words).await
}

/// What is asked of a site's agent.
pub(crate) fn new_command(site: SiteId, kind: CommandKind, argument: String) -> NewCommand {
    NewCommand { site, kind, router: String::new(), line: None, argument, service: None, lasts: LASTS }
}

/// An answer as a file.
async fn file(
    visit: Visit,
    State(web): State<Web>,
    Path((id, command)): Path<(String, String)>,
) -> Result<Response, PageError> {
    visit.require(Permission::CommandRouters)?;
    let mut reader = web.controller.database.read().await?;
    let command = super::get(&mut reader, &command).await?.filter(|command| command.site.as_str() == id);
    let command = command.ok_or(PageError::NotFound)?;
    let text = answers::of(&mut reader, &command.id).await?.ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, answers::disposition(&command)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, text).into_response())
}
