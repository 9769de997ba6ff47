//! `site settings`, `site set` and `site unset`: settings of agents, set from head office.
//!
//! The running controller tells the sites within seconds; what they took is read with `site settings`.

use std::fmt::Write as _;

use tawi_shared::UnixMillis;
use tawi_shared::wire::Setting;

use super::near::nearest;
use super::{Failure, Shell, data_directory};
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
            return Err(self.no_such_site(&id).await?);
        }
        let mut settings = site_settings::of_site(&mut reader, &id).await?;
        let now = self.controller.clock.now();
        settings.is_unheard = !self.hears_sites(settings.presence.is_online);
        self.output.say(&shown(&id, &settings, now), &SettingsBody::of(&id, &settings, now))
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

    /// What is said where no setting was named: one may have been mistyped, and was taken for a site.
    async fn no_setting(&self, words: &[SiteId]) -> Result<String, Failure> {
        let known = sites::list(&mut *self.controller.database.read().await?).await?;
        let stranger = words.iter().find(|word| !known.iter().any(|site| site.id == **word));
        Ok(match stranger {
            Some(word) => neither(word, known.iter().map(|site| &site.id)),
            None => format!("name a setting: {}", names()),
        })
    }

    async fn change_settings(&self, words: Words, is_all: bool) -> Result<(), Failure> {
        let Words { mut sites, wanted } = words;
        if wanted.is_empty() {
            return Err(Failure::Refused(self.no_setting(&sites).await?));
        }
        match sites.first() {
            Some(site) if is_all => {
                let words = "--all is for every site that is not revoked";
                return Err(Failure::Refused(format!("{words}: leave out {site}, or leave out --all")));
            }
            None if !is_all => {
                let words = "name the sites that it is for, such as nyeri-01, or --all for every one";
                return Err(Failure::Refused(format!("{words}: tawi-controller site list")));
            }
            Some(_) | None => {}
        }
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let is_unheard = !data_directory::is_served(&self.config.data_directory);
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
                Changed::Changed(mut settings) => {
                    settings.is_unheard = is_unheard;
                    let _ = writeln!(said, "site {id} {}", settings.wait(now).words());
                    settings
                }
                Changed::Unchanged(settings) => {
                    let _ = writeln!(said, "site {id} stands like that already");
                    settings
                }
                Changed::NoSuchSite => {
                    let known = sites::list(&mut transaction).await?;
                    return Err(Failure::Refused(neither(id, known.iter().map(|site| &site.id))));
                }
                Changed::SiteRevoked => {
                    let words = format!("site {id} is revoked: tawi-controller site renew {id}");
                    return Err(Failure::Refused(words));
                }
                Changed::BadValue(setting, bad) => {
                    return Err(Failure::Refused(format!("{}: {bad}", setting.as_str())));
                }
            };
            bodies.push(SettingsBody::of(id, &settings, now));
        }
        transaction.commit().await?;
        // Only now: whoever mistyped something is told of that alone.
        self.hears_sites(true);
        match sites.first() {
            Some(first) => {
                let _ = write!(said, "what it takes: tawi-controller site settings {first}");
            }
            None => said += "there are no sites yet: tawi-controller site add --help",
        }
        self.output.say(&said, &bodies)
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

/// What is said of a word that is neither: a site that was mistyped, or else perhaps a setting.
fn neither<'a>(word: &SiteId, known: impl Iterator<Item = &'a SiteId>) -> String {
    match nearest(word, known) {
        Some(near) => {
            format!("there is no site {word}; is it {near}? All of them: tawi-controller site list")
        }
        None => format!(
            "{word} is no site and no setting\n  cure: sites are in tawi-controller site list; settings are {}",
            names()
        ),
    }
}

fn shown(id: &SiteId, settings: &SiteSettings, now: UnixMillis) -> String {
    if settings.values.is_empty() {
        let until = if settings.is_waited_for() { ", once the site has heard of it" } else { "" };
        return format!("nothing is set for site {id}: what its agent.toml says stands{until}");
    }
    let mut text = String::new();
    for (setting, value) in &settings.values {
        let stand = settings.stand(*setting, now);
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

    #[test]
    fn a_word_that_is_neither_site_nor_setting_is_said_to_be_what_it_is_like() {
        let known = ["nyeri-01", "karatina-01"].map(|id| SiteId::parse(id).unwrap());
        let said = |word: &str| neither(&SiteId::parse(word).unwrap(), known.iter());
        assert!(
            said("nyeri-02").starts_with("there is no site nyeri-02; is it nyeri-01?"),
            "{}",
            said("nyeri-02")
        );
        assert!(said("karatin-1").contains("is it karatina-01?"), "{}", said("karatin-1"));
        for word in ["log-level", "typo", "n"] {
            let said = said(word);
            assert!(said.contains("no site and no setting") && said.contains("log_level"), "{said}");
        }
    }
}
