//! Those settings of the agent that head office may set, and what stands at each moment.
//!
//! ```text
//! agent.toml ──────────────────┐ the default
//! head office ─> flash ────────┴─> Tuned ─> budget, cadence (the core), keep-alive (the link), level of the log (remote)
//! ```
//!
//! They are a state and no command: what head office set last stands, also after a restart without it. A value that cannot be is
//! refused by its name and the others hold; the bounds are those of `agent.toml`. A device whose own settings say
//! `settings_from_head_office = false` takes none and says so. It knows neither sockets nor flash.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tawi_shared::settings::{BadValue, VALUE_BYTES, level};
use tawi_shared::wire::{Setting, SettingsStandingV1, SettingsV1};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use crate::config::Config;
use crate::health::{SettingStatus, SettingsStatus};

/// Values that are kept, whatever head office sends: several times those that there are.
const VALUES: usize = 32;

/// What stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuned {
    /// What may be told in an hour, in bytes; 0 without a bound.
    pub hourly_bytes: u64,
    /// How often the totals of sessions that run are told.
    pub report: Duration,
    /// How often a silent connection is tried; `None` to learn it.
    pub keep_alive: Option<Duration>,
    /// How much is logged.
    pub log_level: LevelFilter,
}

/// What head office set, as it lies on flash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromOffice {
    /// Grows with each change; 0 before the first.
    pub revision: u64,
    /// [`Setting`] codes, also of those that a newer release knows, and values.
    pub values: Vec<(u16, String)>,
}

impl From<SettingsV1> for FromOffice {
    fn from(told: SettingsV1) -> Self {
        let fits = |(_, value): &(u16, String)| value.len() <= VALUE_BYTES;
        let values = told.values.into_iter().filter(fits).take(VALUES).collect();
        Self { revision: told.revision, values }
    }
}

impl Tuned {
    /// As the device's own settings have it.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            hourly_bytes: config.controller.hourly_bytes,
            report: config.enforce.report,
            keep_alive: config.controller.keep_alive,
            log_level: config.log_level,
        }
    }

    fn set(&mut self, setting: Setting, text: &str) -> Result<(), BadValue> {
        match setting {
            Setting::KilobytesAnHour => self.hourly_bytes = setting.number(text)?.saturating_mul(1_000),
            Setting::ReportSeconds => self.report = Duration::from_secs(setting.number(text)?),
            Setting::KeepAliveSeconds => {
                self.keep_alive = Some(Duration::from_secs(setting.number(text)?));
            }
            Setting::LogLevel => self.log_level = level(text)?.parse().unwrap_or(LevelFilter::INFO),
        }
        Ok(())
    }

    fn shown(&self, setting: Setting) -> String {
        match setting {
            Setting::KilobytesAnHour => (self.hourly_bytes / 1_000).to_string(),
            Setting::ReportSeconds => self.report.as_secs().to_string(),
            Setting::KeepAliveSeconds => {
                self.keep_alive.map_or_else(|| "learned".to_owned(), |every| every.as_secs().to_string())
            }
            Setting::LogLevel => self.log_level.to_string(),
        }
    }
}

/// The settings of both, and what stands because of them.
#[derive(Debug)]
pub struct Tuning {
    own: Tuned,
    is_allowed: bool,
    from_office: FromOffice,
    refused: Vec<(u16, String)>,
    stands: watch::Sender<Tuned>,
}

impl Tuning {
    /// The device's own settings, and what was found on flash of head office's.
    #[must_use]
    pub fn new(own: Tuned, is_allowed: bool, found: FromOffice) -> Self {
        let stands = watch::Sender::new(own);
        let mut tuning =
            Self { own, is_allowed, from_office: FromOffice::default(), refused: Vec::new(), stands };
        tuning.take(found);
        tuning
    }

    /// Takes what head office set, in place of all that it set before. Whether anything that stands has changed.
    pub fn take(&mut self, told: FromOffice) -> bool {
        self.from_office = told;
        self.refused.clear();
        let mut stands = self.own;
        let values = self.from_office.values.iter().filter(|_| self.is_allowed);
        for (code, value) in values {
            let taken = match Setting::from_code(*code) {
                Some(setting) => stands.set(setting, value).map_err(|bad| bad.to_string()),
                None => Err("this agent does not know that setting; update it".to_owned()),
            };
            self.refused.extend(taken.err().map(|why| (*code, why)));
        }
        self.stands.send_if_modified(|before| std::mem::replace(before, stands) != stands)
    }

    /// Whether head office may set anything here.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// Which of head office's settings these are; 0 for none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.from_office.revision
    }

    /// What stands.
    #[must_use]
    pub fn now(&self) -> Tuned {
        *self.stands.borrow()
    }

    /// The same for others, at each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Tuned> {
        self.stands.subscribe()
    }

    /// For head office. `is_kept`: a restart without head office has them too.
    #[must_use]
    pub fn to_wire(&self, boot_id: u64, is_kept: bool) -> SettingsStandingV1 {
        SettingsStandingV1 {
            revision: self.from_office.revision,
            boot_id,
            is_allowed: self.is_allowed,
            is_kept,
            refused: self.refused.clone(),
        }
    }

    /// For whoever asks at the device: each setting, its value, and whose it is.
    #[must_use]
    pub fn status(&self) -> SettingsStatus {
        let (now, is_allowed) = (self.now(), self.is_allowed);
        let of = |setting: &Setting| {
            let is_its = |(code, _): &&(u16, String)| *code == setting.code();
            let wanted = self.from_office.values.iter().find(is_its).map(|(_, value)| value.clone());
            let refused = self.refused.iter().find(is_its).map(|(_, why)| why.clone());
            let is_from_office = is_allowed && wanted.is_some() && refused.is_none();
            SettingStatus {
                name: setting.as_str().to_owned(),
                value: now.shown(*setting),
                is_from_office,
                wanted: wanted.filter(|_| !is_from_office),
                refused,
            }
        };
        let revision = self.from_office.revision;
        let settings = Setting::ALL.iter().map(of).collect();
        SettingsStatus { revision, is_allowed, settings, log_level_for_now: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Tuned = Tuned {
        hourly_bytes: 100_000,
        report: Duration::from_secs(1_200),
        keep_alive: None,
        log_level: LevelFilter::INFO,
    };

    fn told(revision: u64, values: &[(u16, &str)]) -> FromOffice {
        let values = values.iter().map(|(code, value)| (*code, (*value).to_owned())).collect();
        SettingsV1 { revision, values }.into()
    }

    #[test]
    fn what_head_office_sets_stands_over_what_the_device_says_until_it_is_taken_back() {
        let mut tuning = Tuning::new(OWN, true, FromOffice::default());
        let mut seen = tuning.watch();
        assert_eq!((tuning.now(), tuning.revision()), (OWN, 0));
        let all = [(1, "50"), (2, "1800"), (3, "120"), (4, "debug")];
        assert!(tuning.take(told(1, &all)));
        let wanted = Tuned {
            hourly_bytes: 50_000,
            report: Duration::from_secs(1_800),
            keep_alive: Some(Duration::from_secs(120)),
            log_level: LevelFilter::DEBUG,
        };
        assert_eq!(*seen.borrow_and_update(), wanted);
        assert!(!tuning.take(told(2, &all)), "nothing that stands has changed");
        assert!(!seen.has_changed().unwrap());
        assert!(tuning.take(told(3, &all[1..2])));
        assert_eq!(tuning.now(), Tuned { report: wanted.report, ..OWN });
        assert_eq!(Tuning::new(OWN, true, told(3, &all[1..2])).now(), tuning.now(), "a restart has it too");
        assert!(tuning.take(told(4, &[])));
        assert_eq!(tuning.now(), OWN);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name_and_the_others_hold() {
        let tuning = Tuning::new(OWN, true, told(7, &[(1, "5"), (2, "60"), (4, "loud"), (99, "x")]));
        assert_eq!(tuning.now(), Tuned { report: Duration::from_secs(60), ..OWN });
        let told = tuning.to_wire(3, true);
        let refused: Vec<u16> = told.refused.iter().map(|(code, _)| *code).collect();
        assert_eq!((told.revision, told.boot_id, refused), (7, 3, vec![1, 4, 99]));
        let words = &told.refused.first().unwrap().1;
        assert_eq!(words, "5 is out of range; use 10 to 10000000, or 0 for no bound");
        let shown = tuning.status();
        let of = |name: &str| shown.settings.iter().find(|setting| setting.name == name).unwrap().clone();
        assert!(of("report_seconds").is_from_office && !of("kilobytes_an_hour").is_from_office);
        assert_eq!(
            (of("kilobytes_an_hour").value, of("kilobytes_an_hour").wanted),
            ("100".into(), Some("5".into()))
        );
        assert_eq!(of("keep_alive_seconds").value, "learned");
    }

    #[test]
    fn a_device_that_refuses_takes_none_and_says_so() {
        let mut tuning = Tuning::new(OWN, false, told(1, &[(1, "50")]));
        assert_eq!(tuning.now(), OWN);
        assert!(!tuning.take(told(2, &[(1, "60")])));
        let told = tuning.to_wire(1, true);
        assert_eq!((told.is_allowed, told.revision, told.refused.len()), (false, 2, 0));
    }

    #[test]
    fn what_is_kept_of_it_is_bounded() {
        let values =
            (0..5_000).map(|code| (code, "1".repeat(if code % 2 == 0 { 5_000 } else { 5 }))).collect();
        let kept = FromOffice::from(SettingsV1 { revision: 1, values });
        assert_eq!(kept.values.len(), VALUES);
        assert!(kept.values.iter().all(|(_, value)| value.len() <= VALUE_BYTES));
    }
}
