//! The form with a site's settings on its page.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use tawi_shared::UnixMillis;
use tawi_shared::wire::Setting;

use super::{Changed, SiteSettings, Stand, Wanted};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{Badge, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Note, Posted};

/// What the page shows of them.
pub(crate) struct SettingsView {
    pub(crate) rows: Vec<SettingView>,
    /// Who changed them last, and when.
    pub(crate) set: Option<(String, Moment)>,
    /// Whether a restart of the agent without head office would not have them.
    pub(crate) is_not_kept: bool,
    /// Whether the site has not spoken of the last change.
    pub(crate) is_waited_for: bool,
    /// What the form was made of: a change of somebody else since is not undone by it.
    pub(crate) revision: u64,
}

/// One of them.
pub(crate) struct SettingView {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// Empty where the device's own stands.
    pub(crate) value: String,
    pub(crate) badge: Option<Badge>,
    pub(crate) why: String,
}

impl SettingsView {
    /// Of a site.
    pub(crate) fn of(settings: &SiteSettings, now: UnixMillis) -> Self {
        let row = |setting: &Setting| {
            let value = settings.values.get(setting).cloned();
            let stand = value.as_ref().map(|_| settings.stand(*setting, now));
            SettingView {
                name: setting.as_str(),
                label: label_of(*setting),
                value: value.unwrap_or_default(),
                badge: stand.map(badge_of),
                why: stand.map(Stand::why).unwrap_or_default(),
            }
        };
        let heard = settings.heard.as_ref().filter(|heard| heard.revision == settings.revision);
        Self {
            rows: Setting::ALL.iter().map(row).collect(),
            set: settings.set.as_ref().map(|(actor, at)| (actor.clone(), Moment::of(*at, now))),
            is_not_kept: heard.is_some_and(|heard| !heard.is_kept),
            is_waited_for: settings.is_waited_for(),
            revision: settings.revision,
        }
    }
}

fn badge_of(stand: Stand<'_>) -> Badge {
    match stand {
        Stand::Waiting(_) => Badge::idle("on the way"),
        Stand::Applied => Badge::good("in force"),
        Stand::Refused(_) => Badge::bad("refused"),
        Stand::NotAllowed => Badge::bad("not allowed"),
    }
}

fn label_of(setting: Setting) -> &'static str {
    match setting {
        Setting::KilobytesAnHour => "Kilobytes an hour that can wait, 0 for no bound",
        Setting::ReportSeconds => "Seconds between reports of usage",
        Setting::KeepAliveSeconds => "Seconds between tries of a silent line, from its next connection on",
        Setting::LogLevel => "Log: error, warn, info or debug",
    }
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/sites/{id}/settings", post(change))
}

async fn change(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::CommandRouters)?;
    let site = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let value = |setting: &Setting| {
        let value = fields.value(setting.as_str());
        (*setting, (!value.is_empty()).then(|| value.to_owned()))
    };
    let wanted: Wanted = Setting::ALL.iter().map(value).collect();
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let to = format!("/sites/{site}");
    // Every field is posted, also those that nobody touched. One writer at a time: nobody changes them between this and that.
    let known = super::of_site(&mut transaction, &site).await?;
    if known.revision > 0 && fields.value("seen") != known.revision.to_string() {
        let words = "Nothing was changed: somebody changed them after this page was opened. They are shown below as they are now.";
        return Ok(visit.go(&to, &Note::bad(words)));
    }
    let who = (visit.actor(), &controller.ids, visit.now);
    let changed = super::change(&mut transaction, &site, &wanted, &who.0, (who.1, who.2)).await?;
    let note = match changed {
        Changed::Changed(_) => {
            let live = controller.live.clone();
            // On a task of its own: a browser that hangs up ends this handler, and the bell must ring after the commit.
            let told = tokio::spawn(async move {
                transaction.commit().await?;
                live.ring_outbox();
                live.tell(Hint::Site(site));
                Ok::<_, sqlx::Error>(())
            });
            told.await??;
            Note::good("The settings are on the way; what the site takes of them is shown below.")
        }
        Changed::Unchanged(_) => Note::good("Nothing was changed: they are so already."),
        Changed::SiteRevoked => Note::bad("The site is revoked: its agent is refused."),
        Changed::NoSuchSite => return Err(PageError::NotFound),
        Changed::BadValue(setting, bad) => {
            Note::bad(format!("Nothing was changed. {}: {bad}.", setting.as_str()))
        }
    };
    Ok(visit.go(&to, &note))
}
