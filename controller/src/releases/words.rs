//! How a site stands with a rollout, as people say it, and whether somebody should look. Pure.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::ReleaseStanding;

use super::{Release, Rollout, RolloutSite};
use crate::web::display::{self, Badge, Moment};

/// How long a site that is connected has to say something new before somebody should look: a day on which customers needed all of
/// its line is no reason yet.
const STUCK_AFTER: Duration = Duration::from_secs(2 * 86_400);
/// How long a site may be dark before somebody should look.
const DARK_AFTER: Duration = Duration::from_secs(3 * 86_400);
/// An alarm of a rollout that is over ends by itself: whoever did not start another one lives with it.
const TOLD_FOR: Duration = Duration::from_secs(14 * 86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const TOO_OLD: &str = "cannot: its agent is too old to be told; install the newer package by hand";

/// How a site stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Its wave has not begun.
    Waiting,
    /// It is connected and has not answered yet.
    Told,
    /// Its wave has begun, and it is not reached.
    Dark,
    /// Its agent knows nothing of releases.
    TooOld,
    /// The rollout ended before it said anything.
    Left,
    /// By its own word.
    Said(ReleaseStanding),
}

impl Stand {
    pub(crate) fn of(rollout: &Rollout, site: &RolloutSite) -> Self {
        match site.standing {
            Some(standing) => Self::Said(standing),
            None if site.is_too_old() => Self::TooOld,
            None if !rollout.standing.is_open() => Self::Left,
            None if site.wave > rollout.wave => Self::Waiting,
            None if site.is_online => Self::Told,
            None => Self::Dark,
        }
    }

    /// The word in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Dark => "dark",
            Self::TooOld => "too_old",
            Self::Left => "left",
            Self::Said(ReleaseStanding::Downloading) => "downloading",
            Self::Said(ReleaseStanding::Starting) => "starting",
            Self::Said(ReleaseStanding::Trial) => "on_trial",
            Self::Said(ReleaseStanding::Verified) => "verified",
            Self::Said(ReleaseStanding::RolledBack) => "rolled_back",
            Self::Said(ReleaseStanding::Refused) => "refused",
        }
    }

    /// What somebody who looks for trouble sees first.
    fn rank(self) -> u8 {
        match self {
            Self::Said(ReleaseStanding::RolledBack | ReleaseStanding::Refused) => 0,
            Self::TooOld => 1,
            Self::Dark => 2,
            Self::Said(ReleaseStanding::Starting | ReleaseStanding::Trial) => 3,
            Self::Said(ReleaseStanding::Downloading) => 4,
            Self::Told => 5,
            Self::Said(ReleaseStanding::Verified) => 6,
            Self::Waiting | Self::Left => 7,
        }
    }
}

/// A site of a rollout, for people.
#[derive(Clone, Debug)]
pub(crate) struct SiteWords {
    pub(crate) site: String,
    /// From 1.
    pub(crate) wave: usize,
    pub(crate) badge: Badge,
    /// A sentence without a full stop; empty where the badge says all.
    pub(crate) words: String,
}

impl SiteWords {
    pub(crate) fn of(rollout: &Rollout, site: &RolloutSite, releases: &[Release], now: UnixMillis) -> Self {
        let stand = Stand::of(rollout, site);
        Self {
            site: site.site.to_string(),
            wave: site.wave.saturating_add(1),
            badge: badge_of(stand),
            words: words_of(stand, site, releases, now),
        }
    }
}

/// Those of which somebody may have to look after first.
pub(crate) fn sorted<'a>(rollout: &Rollout, sites: &'a [RolloutSite]) -> Vec<&'a RolloutSite> {
    let mut sorted: Vec<_> = sites.iter().collect();
    sorted.sort_by_key(|site| (Stand::of(rollout, site).rank(), site.wave));
    sorted
}

fn badge_of(stand: Stand) -> Badge {
    match stand {
        Stand::Waiting => Badge::idle("waiting"),
        Stand::Told => Badge::info("told"),
        Stand::Dark => Badge::warn("not reached"),
        Stand::TooOld => Badge::bad("cannot"),
        Stand::Left => Badge::idle("left as it is"),
        Stand::Said(ReleaseStanding::Downloading) => Badge::info("downloading"),
        Stand::Said(ReleaseStanding::Starting) => Badge::info("starting"),
        Stand::Said(ReleaseStanding::Trial) => Badge::info("on trial"),
        Stand::Said(ReleaseStanding::Verified) => Badge::good("verified"),
        Stand::Said(ReleaseStanding::RolledBack) => Badge::bad("failed"),
        Stand::Said(ReleaseStanding::Refused) => Badge::bad("refused"),
    }
}

fn words_of(stand: Stand, site: &RolloutSite, releases: &[Release], now: UnixMillis) -> String {
    let away = if site.is_online { String::new() } else { format!(", {}", not_reached(site, now)) };
    let since = Moment::of(site.changed_at, now).text;
    match stand {
        Stand::Waiting => format!("for wave {}", site.wave.saturating_add(1)),
        Stand::Told => "it has not answered yet".to_owned(),
        Stand::Dark => not_reached(site, now),
        Stand::TooOld => TOO_OLD.to_owned(),
        Stand::Left => String::new(),
        Stand::Said(ReleaseStanding::Downloading) => format!("{}{away}", downloading(site, releases)),
        Stand::Said(ReleaseStanding::Starting | ReleaseStanding::Trial) => format!("since {since}{away}"),
        Stand::Said(ReleaseStanding::Verified) if site.detail.is_empty() => since,
        Stand::Said(ReleaseStanding::Verified) => format!("{since}: {}", site.detail),
        Stand::Said(ReleaseStanding::RolledBack) => format!("it went back {since}: {}", site.detail),
        Stand::Said(ReleaseStanding::Refused) => format!("{since}: {}", site.detail),
    }
}

fn not_reached(site: &RolloutSite, now: UnixMillis) -> String {
    site.last_seen_at.map_or_else(
        || "never reached".to_owned(),
        |at| format!("not reached for {}", display::span(now.since(at))),
    )
}

/// `43 % of 2.7 MB, at least 15 h more at its 100 kB an hour`.
fn downloading(site: &RolloutSite, releases: &[Release]) -> String {
    let release = releases.iter().find(|release| Some(release.file()) == site.file);
    let Some(whole) = release.map(|release| release.manifest.file_bytes).filter(|bytes| *bytes > 0) else {
        return format!("{} are there", display::bytes(site.have_bytes));
    };
    let have = site.have_bytes.min(whole);
    let percent = have.saturating_mul(100).checked_div(whole).unwrap_or_default();
    let so_far = format!("{percent} % of {}", display::bytes(whole));
    match site.hourly_bytes {
        Some(hourly) if hourly > 0 => {
            let seconds = whole.saturating_sub(have).saturating_mul(HOUR.as_secs()).div_ceil(hourly);
            let left = display::span(Duration::from_secs(seconds));
            format!("{so_far}, at least {left} more at its {} an hour", display::bytes(hourly))
        }
        Some(_) | None => so_far,
    }
}

/// What somebody should look at, each in a sentence without a full stop.
pub(crate) fn alarms(rollout: &Rollout, sites: &[RolloutSite], now: UnixMillis) -> Vec<String> {
    if rollout.has_stopped_itself() && now.since(rollout.changed_at) < TOLD_FOR {
        return vec![format!("The upgrade to {} stopped by itself: {}", rollout.version, rollout.why)];
    }
    if !rollout.standing.is_open() {
        return Vec::new();
    }
    let stuck: Vec<_> = sites.iter().filter_map(|site| stuck(rollout, site, now)).collect();
    let Some(first) = stuck.first() else { return Vec::new() };
    let others = match stuck.len().saturating_sub(1) {
        0 => String::new(),
        others => format!(", and {others} more stand still"),
    };
    vec![format!("The upgrade to {} does not go on everywhere: {first}{others}", rollout.version)]
}

/// Why somebody should look after a site whose turn it is.
fn stuck(rollout: &Rollout, site: &RolloutSite, now: UnixMillis) -> Option<String> {
    if site.wave > rollout.wave {
        return None;
    }
    let name = &site.site;
    let told_for = now.since(rollout.wave_began_at.max(site.progress_at));
    match Stand::of(rollout, site) {
        Stand::TooOld => Some(format!("{name} {TOO_OLD}")),
        Stand::Said(ReleaseStanding::RolledBack) => Some(format!("{name} went back: {}", site.detail)),
        Stand::Said(ReleaseStanding::Refused) => Some(format!("{name} refused it: {}", site.detail)),
        Stand::Dark | Stand::Said(ReleaseStanding::Downloading)
            if !site.is_online && site.last_seen_at.is_none_or(|at| now.since(at) >= DARK_AFTER) =>
        {
            (told_for >= DARK_AFTER).then(|| format!("{name} was {}", not_reached(site, now)))
        }
        Stand::Told | Stand::Said(ReleaseStanding::Downloading)
            if site.is_online && told_for >= STUCK_AFTER =>
        {
            Some(format!("{name} is connected and said nothing new for {}", display::span(told_for)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tawi_shared::release::{Manifest, Sha256, SigningKey};

    use super::super::Standing;
    use super::*;
    use crate::ids::SiteId;

    const NOW: UnixMillis = UnixMillis(1_795_555_800_000);

    fn rollout() -> Rollout {
        Rollout {
            number: 1,
            version: "0.2.0".into(),
            waves: vec![10, 100],
            soak: HOUR,
            standing: Standing::Running,
            why: String::new(),
            wave: 0,
            wave_began_at: NOW.minus(HOUR),
            started_by: "staff:owner".into(),
            started_at: NOW.minus(HOUR),
            changed_at: NOW.minus(HOUR),
        }
    }

    fn release() -> Release {
        let manifest = Manifest {
            version: "0.2.0".parse().unwrap(),
            target: "x86_64-linux-gnu".into(),
            binary_bytes: 9,
            binary_sha256: Sha256::of(b"program"),
            file_bytes: 2_700_000,
            file_sha256: Sha256::of(b"file"),
            created_at_ms: 1,
            oldest_version: "0.1.0".parse().unwrap(),
            store_format: 1,
            protocol_oldest: 1,
            protocol_newest: 3,
            allow_downgrade: false,
        };
        let signed = SigningKey::from_seed(&[3; 32]).unwrap().sign(&manifest);
        Release { signed, manifest, added_at: NOW }
    }

    fn site(standing: Option<ReleaseStanding>) -> RolloutSite {
        RolloutSite {
            site: SiteId::parse("nyeri-01").unwrap(),
            wave: 0,
            is_online: true,
            standing,
            have_bytes: 1_161_000,
            detail: "why".into(),
            changed_at: NOW.minus(Duration::from_secs(600)),
            progress_at: NOW.minus(Duration::from_secs(600)),
            file: Some(Sha256::of(b"file")),
            protocol: Some(3),
            last_seen_at: Some(NOW),
            hourly_bytes: Some(100_000),
        }
    }

    #[test]
    fn a_site_stands_as_people_say_it() {
        use ReleaseStanding::{Downloading, Refused, RolledBack, Trial, Verified};
        let check = |site: RolloutSite, word: &str, words: &str| {
            let shown = SiteWords::of(&rollout(), &site, &[release()], NOW);
            assert_eq!((shown.badge.word.as_str(), shown.words.as_str()), (word, words));
        };
        check(RolloutSite { wave: 1, ..site(None) }, "waiting", "for wave 2");
        check(site(None), "told", "it has not answered yet");
        let days = NOW.minus(Duration::from_secs(3 * 86_400));
        let dark = |standing| RolloutSite { is_online: false, last_seen_at: Some(days), ..site(standing) };
        check(dark(None), "not reached", "not reached for 3 days");
        check(RolloutSite { last_seen_at: None, ..dark(None) }, "not reached", "never reached");
        check(RolloutSite { protocol: Some(2), ..site(None) }, "cannot", TOO_OLD);
        let words = "43 % of 2.7 MB, at least 15 h more at its 100 kB an hour";
        check(site(Some(Downloading)), "downloading", words);
        check(dark(Some(Downloading)), "downloading", &format!("{words}, not reached for 3 days"));
        let unbounded = RolloutSite { hourly_bytes: Some(0), ..site(Some(Downloading)) };
        check(unbounded, "downloading", "43 % of 2.7 MB");
        check(RolloutSite { file: None, ..site(Some(Downloading)) }, "downloading", "1.1 MB are there");
        check(site(Some(Trial)), "on trial", "since 00:20");
        check(RolloutSite { detail: String::new(), ..site(Some(Verified)) }, "verified", "00:20");
        check(site(Some(RolledBack)), "failed", "it went back 00:20: why");
        check(site(Some(Refused)), "refused", "00:20: why");
    }

    #[test]
    fn what_stands_still_is_an_alarm_and_what_goes_on_is_none() {
        use ReleaseStanding::{Downloading, RolledBack, Verified};
        let check = |rollout: &Rollout, sites: &[RolloutSite], expected: Option<&str>| {
            let alarms = alarms(rollout, sites, NOW);
            match expected {
                Some(words) => assert!(alarms.len() == 1 && alarms[0].contains(words), "{alarms:?}"),
                None => assert!(alarms.is_empty(), "{alarms:?}"),
            }
        };
        let days = |days: u64| NOW.minus(Duration::from_secs(days * 86_400));
        let long = Rollout { wave_began_at: days(9), ..rollout() };
        let dark = |ago| RolloutSite {
            is_online: false,
            last_seen_at: Some(days(ago)),
            progress_at: days(9),
            ..site(None)
        };
        check(&rollout(), &[site(None), site(Some(Downloading)), site(Some(Verified)), dark(5)], None);
        check(&long, &[dark(1), RolloutSite { wave: 1, ..dark(5) }], None);
        check(&long, &[dark(5)], Some("nyeri-01 was not reached for 5 days"));
        let still = RolloutSite { progress_at: days(4), ..site(Some(Downloading)) };
        check(&long, std::slice::from_ref(&still), Some("nothing new for 4 days"));
        check(&long, &[still, site(Some(RolledBack))], Some("and 1 more"));
        check(&rollout(), &[RolloutSite { protocol: Some(1), ..site(None) }], Some("too old"));
        let stopped = |why: &str| Rollout { standing: Standing::Stopped, why: why.into(), ..rollout() };
        check(&stopped("1 of 1 sites failed"), &[], Some("stopped by itself: 1 of 1"));
        check(&stopped("by staff:owner"), &[dark(5)], None);
        check(&Rollout { changed_at: days(20), ..stopped("1 of 1 sites failed") }, &[], None);
        check(&Rollout { standing: Standing::Done, ..long }, &[dark(5)], None);
    }
}
