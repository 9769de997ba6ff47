//! Settings of agents that head office sets: how much a site may tell in an hour, how often it reports, how much it logs.
//!
//! ```text
//! change ─> revision, audit row ─> the site, at once or with its hello ─> what it took, what it refused
//! ```
//!
//! They are a state: what stands here is what a site is to have, whenever it is heard. A site is told a revision when it changes,
//! and with the hello of a run of its agent that is not known to have it; otherwise they cost no byte of its line. Bounds are
//! those of the agent (`tawi_shared::settings`), which has the last word: it may refuse one value, or all. What could cut a site
//! off, such as addresses and certificates, cannot be set from here.

pub mod api;
pub(crate) mod pages;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::settings::BadValue;
use tawi_shared::wire::{Setting, SettingsStandingV1, SettingsV1};

use crate::audit::{self, Action, Actor};
use crate::database::Connection;
use crate::ids::{IdSource, SiteId};
use crate::plain::line_of;
use crate::sites::{self, Presence, SiteError};

/// The longest words of an agent that are kept of one value, in characters.
const WHY_CHARACTERS: usize = 200;
/// How long a site that is connected may take to answer before its release is a likely reason. It takes seconds, unless its line
/// is metered and has told much in this hour.
const ANSWER_TAKES: Duration = Duration::from_secs(60);

/// What an agent said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Of which revision.
    pub revision: u64,
    /// When.
    pub at: UnixMillis,
    /// Whether its device lets head office set anything.
    pub is_allowed: bool,
    /// Whether they are on its flash.
    pub is_kept: bool,
    /// What it does not take, and why.
    pub refused: BTreeMap<Setting, String>,
}

/// What is set for a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteSettings {
    /// Grows with each change; 0 before the first.
    pub revision: u64,
    /// Who changed them last, and when.
    pub set: Option<(String, UnixMillis)>,
    /// The values.
    pub values: BTreeMap<Setting, String>,
    /// What its agent said.
    pub heard: Option<Heard>,
    /// Whether its agent is connected.
    pub presence: Presence,
    /// Whether no controller serves, so that nobody knows whether it still is.
    pub is_unheard: bool,
}

/// Why a site has not spoken of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is connected: told now, or a moment ago.
    Told,
    /// It is connected, and should have answered.
    Unanswered,
    /// Nobody knows whether it is connected.
    Unheard,
    /// It is away.
    Away,
    /// It was never there.
    NotStarted,
}

impl Wait {
    /// What is to be said of the site, behind its name.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Told => "is connected and is being told; its answer takes seconds",
            Self::Unanswered => {
                "is connected and has not answered for more than a minute; an agent of an older release never does, and a \
                 metered line may have to wait for the next hour"
            }
            Self::Unheard => {
                "is told when a controller serves from this data_directory again (systemctl start tawi-controller), which knows \
                 then whether it is up"
            }
            Self::Away => "is away, and is told when it is back",
            Self::NotStarted => "has not started yet, and is told when it first connects",
        }
    }
}

/// Where one value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand<'a> {
    /// The agent has not said anything of this revision.
    Waiting(Wait),
    /// It is in force.
    Applied,
    /// The agent does not take it.
    Refused(&'a str),
    /// The device takes nothing from head office.
    NotAllowed,
}

impl Stand<'_> {
    /// The word in the API and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Applied => "applied",
            Self::Refused(_) => "refused",
            Self::NotAllowed => "not allowed",
        }
    }

    /// Why, for people; empty where there is nothing to say.
    #[must_use]
    pub fn why(self) -> String {
        match self {
            Self::Waiting(wait) => format!("the site {}", wait.words()),
            Self::NotAllowed => "agent.toml at the site says settings_from_head_office = false".to_owned(),
            Self::Refused(why) => why.to_owned(),
            Self::Applied => String::new(),
        }
    }
}

impl SiteSettings {
    /// Where one of its values stands.
    #[must_use]
    pub fn stand(&self, setting: Setting, now: UnixMillis) -> Stand<'_> {
        match self.heard.as_ref().filter(|heard| heard.revision == self.revision) {
            None => Stand::Waiting(self.wait(now)),
            Some(heard) if !heard.is_allowed => Stand::NotAllowed,
            Some(heard) => heard.refused.get(&setting).map_or(Stand::Applied, |why| Stand::Refused(why)),
        }
    }

    /// Whether the site has not spoken of the last change, also of one that took everything back.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.revision > 0 && self.heard.as_ref().is_none_or(|heard| heard.revision != self.revision)
    }

    /// Why the site has not spoken of the last change, where it has not.
    #[must_use]
    pub fn wait(&self, now: UnixMillis) -> Wait {
        let Some(since) = self.presence.changed_at else { return Wait::NotStarted };
        match self.presence.is_online {
            true if self.is_unheard => return Wait::Unheard,
            true => {}
            false => return Wait::Away,
        }
        // It could not answer before it was told, and was told once both were so.
        let told_at = self.set.as_ref().map_or(since, |(_, set_at)| since.max(*set_at));
        if now.since(told_at) > ANSWER_TAKES { Wait::Unanswered } else { Wait::Told }
    }

    /// As they travel.
    #[must_use]
    pub fn to_wire(&self) -> SettingsV1 {
        let values = self.values.iter().map(|(setting, value)| (setting.code(), value.clone()));
        SettingsV1 { revision: self.revision, values: values.collect() }
    }
}

/// What becomes of a value: `None` takes it back, so that the device's own stands.
pub type Wanted = BTreeMap<Setting, Option<String>>;

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is made. Ring `Live::ring_outbox` after the commit.
    Changed(SiteSettings),
    /// It was so already.
    Unchanged(SiteSettings),
    /// There is no such site.
    NoSuchSite,
    /// The site is shut out.
    SiteRevoked,
    /// A value cannot be.
    BadValue(Setting, BadValue),
}

/// Changes settings of a site with the audit row, within the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn change(
    connection: &mut Connection,
    site: &SiteId,
    wanted: &Wanted,
    actor: &Actor,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<Changed, SiteError> {
    for (setting, value) in wanted {
        if let Some(Err(bad)) = value.as_ref().map(|value| setting.check(value)) {
            return Ok(Changed::BadValue(*setting, bad));
        }
    }
    let Some(known) = sites::get(connection, site).await? else { return Ok(Changed::NoSuchSite) };
    if known.revoked_at.is_some() {
        return Ok(Changed::SiteRevoked);
    }
    // One after the other: two who change at once would otherwise make one revision of two contents.
    store::hold(connection, site, now).await?;
    let mut settings = store::of_site(connection, site).await?;
    let mut changes = Vec::new();
    for (setting, value) in wanted {
        let before = settings.values.get(setting).cloned();
        if before == *value {
            continue;
        }
        let shown =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "as the device has it".to_owned());
        changes.push(format!("{}: {} -> {}", setting.as_str(), shown(&before), shown(value)));
        store::put(connection, site, *setting, value.as_deref()).await?;
        match value {
            Some(value) => drop(settings.values.insert(*setting, value.clone())),
            None => drop(settings.values.remove(setting)),
        }
    }
    if changes.is_empty() {
        return Ok(Changed::Unchanged(settings));
    }
    settings.revision = settings.revision.saturating_add(1);
    settings.set = Some((actor.to_string(), now));
    store::revise(connection, site, settings.revision, &actor.to_string(), now).await?;
    let act = (Action::SettingsChanged, site.as_str(), &*changes.join("; "));
    audit::record(connection, actor, act, ids, now).await?;
    Ok(Changed::Changed(settings))
}

/// What is set for a site.
///
/// # Errors
/// When the database refuses.
pub async fn of_site(connection: &mut Connection, site: &SiteId) -> Result<SiteSettings, sqlx::Error> {
    store::of_site(connection, site).await
}

/// A run of an agent, with the life of its store: what it took in another is not known to be there.
#[must_use]
pub fn run_of(boot_id: u64, store_epoch: u32) -> String {
    format!("{boot_id:x}-{store_epoch:x}")
}

/// What a site that says hello is to be told: nothing where nothing was ever set, or where this run took the newest. A site
/// that `is_ahead` of the database, which was probably restored, may have newer ones of which nobody knows here, and is told
/// also that there are none. What another run took is not in force until this one says so.
///
/// # Errors
/// When the database refuses.
pub async fn owed(
    connection: &mut Connection,
    site: &SiteId,
    (run, is_ahead): (&str, bool),
) -> Result<Option<SettingsV1>, sqlx::Error> {
    if !is_ahead && store::is_taken(connection, site, run).await? {
        return Ok(None);
    }
    store::doubt(connection, site, run).await?;
    let settings = store::of_site(connection, site).await?;
    Ok((is_ahead || settings.revision > 0).then(|| settings.to_wire()))
}

/// Takes what an agent says of its settings.
///
/// # Errors
/// When the database refuses.
pub async fn take(
    connection: &mut Connection,
    site: &SiteId,
    standing: &SettingsStandingV1,
    store_epoch: u32,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let known = standing.refused.iter().filter_map(|(code, why)| Some((Setting::from_code(*code)?, why)));
    // Each once, and none that this release does not know: what is kept of an agent's words is bounded.
    let refused: BTreeMap<Setting, String> =
        known.map(|(setting, why)| (setting, line_of(why, WHY_CHARACTERS))).collect();
    let heard = Heard {
        revision: standing.revision,
        at: now,
        is_allowed: standing.is_allowed,
        is_kept: standing.is_kept,
        refused,
    };
    store::heard(connection, site, &heard, &run_of(standing.boot_id, store_epoch)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_setting_waits_is_said_as_it_is() {
        let now = UnixMillis(1_795_555_800_000);
        let ago = |seconds| now.minus(Duration::from_secs(seconds));
        let check = |is_online, changed_at, set_seconds_ago, expected: Wait, words: &str| {
            let settings = SiteSettings {
                revision: 1,
                set: Some(("cli:owner".to_owned(), ago(set_seconds_ago))),
                values: BTreeMap::from([(Setting::LogLevel, "debug".to_owned())]),
                heard: None,
                presence: Presence { is_online, changed_at, last_seen_at: changed_at },
                is_unheard: expected == Wait::Unheard,
            };
            let stand = settings.stand(Setting::LogLevel, now);
            assert_eq!((stand, stand.as_str()), (Stand::Waiting(expected), "waiting"));
            assert!(stand.why().starts_with("the site ") && stand.why().contains(words), "{}", stand.why());
        };
        check(true, Some(ago(9_000)), 3, Wait::Told, "takes seconds");
        check(true, Some(ago(3)), 9_000, Wait::Told, "takes seconds");
        check(true, Some(ago(9_000)), 61, Wait::Unanswered, "older release");
        check(true, Some(ago(9_000)), 61, Wait::Unheard, "systemctl start tawi-controller");
        check(false, Some(ago(9_000)), 61, Wait::Away, "when it is back");
        check(false, None, 61, Wait::NotStarted, "when it first connects");
    }
}
