//! `site settings`, `site set` and `site unset`: settings of agents, set from head office.
//!
//! The running controller tells the sites within seconds; what they took is read with `site settings`.

use std::fmt::Write as _;

use tawi_shared::wire::Setting;

use super::{Failure, Shell};
use crate::ids::SiteId;
use crate::site_settings::api::{SettingsBody, names};
use crate::site_settings::{self, Changed, SiteSettings, Wanted};
use crate::{sites, web::display};

/// What the words after `site set` or `site unset` say.
struct Words {
    sites: Vec<SiteId>,
    wanted: Wanted,
}

impl Shell {
    pub(super) async fn settings_of_site(&self, id: SiteId) -> Result<(), Failure> {
        let mut reader = self.controller.database.read().await?;
        if sites::get(&mut reader, &id).await?.is_none() {
            return Err(Failure::Refused(no_such_site(&id)));
        }
        let settings = site_settings::of_site(&mut reader, &id).await?;
        self.output.say(&shown(&id, &settings), &SettingsBody::of(&id, &settings))
    }

    pub(super) async fn set_of_sites(&self, words: &[String], is_all: bool) -> Result<(), Failure> {
        let words = read(words, |word| {
            let (name, value) = word.split_once('=')?;
            Some((name, Some(value.to_owned())))
        })?;
        self.change_settings(words, is_all).await
    }

    pub(super) async fn unset_of_sites(&self, words: &[String], is_all: bool) -> Result<(), Failure> {
        let words = read(words, |word| Setting::parse(word).map(|_| (word, None)))?;
        self.change_settings(words, is_all).await
    }

    async fn change_settings(&self, words: Words, is_all: bool) -> Result<(), Failure> {
        let Words { mut sites, wanted } = words;
        if wanted.is_empty() {
            return Err(Failure::Refused(format!("name a setting: {}", names())));
        }
        if is_all != sites.is_empty() {
            return Err(Failure::refused("name sites, or --all for every one"));
        }
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        if is_all {
            let all = sites::list(&mut transaction).await?;
            sites = all.into_iter().filter(|site| site.revoked_at.is_none()).map(|site| site.id).collect();
        }
        // All or none: whoever mistypes one has changed nothing.
        let (mut said, mut bodies) = (String::new(), Vec::new());
        for id in &sites {
            let changed =
                site_settings::change(&mut transaction, id, &wanted, &self.actor, (ids, now)).await?;
            let settings = match changed {
                Changed::Changed(settings) => {
                    let _ = writeln!(said, "site {id} is told, at once or when it is heard again");
                    settings
                }
                Changed::Unchanged(settings) => {
                    let _ = writeln!(said, "site {id} has that already");
                    settings
                }
                Changed::NoSuchSite => return Err(Failure::Refused(no_such_site(id))),
                Changed::SiteRevoked => {
                    let words = format!("site {id} is revoked: tawi-controller site renew {id}");
                    return Err(Failure::Refused(words));
                }
                Changed::BadValue(setting, bad) => {
                    return Err(Failure::Refused(format!("{}: {bad}", setting.as_str())));
                }
            };
            bodies.push(SettingsBody::of(id, &settings));
        }
        transaction.commit().await?;
        let _ = write!(said, "what it takes: tawi-controller site settings");
        let nobody = "there are no sites yet: tawi-controller site add --help";
        self.output.say(if sites.is_empty() { nobody } else { &said }, &bodies)
    }
}

/// Words with a setting in them are settings, and the others sites: no id of a site looks like one.
fn read(
    words: &[String],
    setting_of: impl Fn(&str) -> Option<(&str, Option<String>)>,
) -> Result<Words, Failure> {
    let mut read = Words { sites: Vec::new(), wanted: Wanted::new() };
    for word in words {
        let Some((name, value)) = setting_of(word) else {
            let bad = |_| {
                let problem = format!("{word:?} is no site and no setting; settings are");
                Failure::Refused(format!("{problem} {}", names()))
            };
            read.sites.push(SiteId::parse(word).map_err(bad)?);
            continue;
        };
        let unknown = || Failure::Refused(format!("there is no setting {name:?}; there are {}", names()));
        if read.wanted.insert(Setting::parse(name).ok_or_else(unknown)?, value).is_some() {
            return Err(Failure::Refused(format!("{name} is named twice")));
        }
    }
    Ok(read)
}

fn no_such_site(id: &SiteId) -> String {
    format!("there is no site {id}: tawi-controller site list")
}

fn shown(id: &SiteId, settings: &SiteSettings) -> String {
    if settings.values.is_empty() {
        let until = if settings.is_waited_for() { ", once the site has heard of it" } else { "" };
        return format!("nothing is set for site {id}: what its agent.toml says stands{until}");
    }
    let mut text = String::new();
    for (setting, value) in &settings.values {
        let stand = settings.stand(*setting);
        let why = stand.why();
        let _ = write!(text, "{:<20} {value:<10} {}", setting.as_str(), stand.as_str());
        let _ = writeln!(text, "{}{why}", if why.is_empty() { "" } else { ": " });
    }
    let _ = write!(text, "revision {}", settings.revision);
    if let Some((actor, at)) = &settings.set {
        let _ = write!(text, ", set by {actor} at {}", display::with_zone(*at));
    }
    match &settings.heard {
        Some(_) if settings.is_waited_for() => text += "; the site has not spoken of it",
        Some(heard) if !heard.is_kept => text += "; the site's disk does not hold it",
        Some(heard) => {
            let _ = write!(
                text,
                "; the site spoke of revision {} at {}",
                heard.revision,
                display::with_zone(heard.at)
            );
        }
        None => text += "; the site has not spoken of it",
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn settings_and_sites_are_told_apart_and_what_is_neither_is_refused() {
        let set = |text: &str| {
            read(&words(text), |word| {
                word.split_once('=').map(|(name, value)| (name, Some(value.to_owned())))
            })
        };
        let read = set("nyeri-01 kilobytes_an_hour=50 log_level=debug karatina-01").ok().unwrap();
        assert_eq!(read.sites.len(), 2);
        assert_eq!(read.wanted.get(&Setting::LogLevel), Some(&Some("debug".to_owned())));
        for bad in ["nyeri-01 kilobytes=50", "nyeri_01", "log_level=info log_level=info", "log_level"] {
            assert!(set(bad).is_err(), "{bad}");
        }
    }
}
