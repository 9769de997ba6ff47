//! The core's part in a release: when its next part is asked for, what head office hears of it, and whether what runs on trial has
//! proven itself.
//!
//! Parts come last of everything: one is asked for while nothing else waits or is on its way, and only as the line's budget has
//! room for it. What does not come is asked for again, ever more rarely. The rest is `crate::upgrade`.

use std::time::Duration;

use tawi_shared::release::{Sha256, Signed};
use tawi_shared::wire::{
    RELEASES_TOGETHER, ReleasePartV1, ReleasePartWantedV1, ReleaseStanding, SignedReleaseV1, WantedReleaseV1,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::applied::RouterProgress;
use super::cadence::UsageDue;
use super::{Site, Talk, line};
use crate::health::UpgradeStatus;
use crate::upgrade::{Due, Errand, News, Standing};

/// How long a part may take; doubled each time that it does not come.
const PART_WITHIN: Duration = Duration::from_secs(30);
/// The longest that becomes.
const PART_WITHIN_AT_MOST: Duration = Duration::from_secs(600);
/// Head office hears of each tenth that has come.
const TOLD_PARTS: u64 = 10;

/// A release is proven no sooner than after this part of the time that it has: one that ends after a minute is none.
const RUNS_A_PART: u32 = 3;

/// What the core works on releases with.
#[derive(Debug)]
pub struct UpgradeTools {
    /// Where errands are done.
    pub errands: mpsc::Sender<Errand>,
    /// How long a release on trial has.
    pub prove_within: Duration,
    /// What runs.
    pub version: String,
    /// Whether that is a release of head office.
    pub is_release: bool,
}

/// What is told of a standing: telling it again would say nothing new.
type Told = (u64, ReleaseStanding, u64);

/// What the core knows of releases.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    due: Option<Due>,
    /// When the part was asked for, and how long it may take.
    asked: Option<(Instant, Duration)>,
    standing: Option<Standing>,
    told: Option<Told>,
    /// What the release on trial has to read, and since when.
    trial: Option<(Vec<String>, Instant)>,
    is_ready: bool,
    is_switch: bool,
    /// Whether it was said that this program has stayed.
    is_settled: bool,
}

impl Upgrade {
    /// Whether the agent is to stop, because another release is to run.
    pub(super) fn is_switch(&self) -> bool {
        self.is_switch
    }

    /// A new connection: what was asked for on the one before does not come.
    pub(super) fn begin_again(&mut self) {
        (self.asked, self.told) = (None, None);
    }

    /// Whether a part is on its way.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }
}

fn told(standing: &Standing) -> Told {
    let tenths = standing.have_bytes.saturating_mul(TOLD_PARTS).checked_div(standing.file_bytes);
    (standing.asked, standing.standing, tenths.unwrap_or_default())
}

impl Site {
    /// Head office wants a release.
    pub(super) fn take_wanted(&mut self, wanted: WantedReleaseV1) {
        let WantedReleaseV1 { asked, releases } = wanted;
        let read = |SignedReleaseV1 { manifest, signature }| Signed { manifest, signature };
        let releases = releases.into_iter().take(RELEASES_TOGETHER).map(read).collect();
        // However it stands, that is what it wants to hear.
        self.upgrade.told = None;
        self.do_upgrade(Errand::Want { asked, releases });
    }

    /// A part came.
    pub(super) fn take_part(&mut self, part: ReleasePartV1) {
        let ReleasePartV1 { file_sha256, offset, bytes } = part;
        if self.upgrade.asked.is_some() {
            self.do_upgrade(Errand::Part { file: Sha256(file_sha256), offset, bytes });
        }
    }

    /// What comes of errands.
    pub(super) fn take_upgrade(&mut self, news: News) {
        match news {
            News::Standing(standing) => {
                self.upgrade.standing = standing;
                self.tell_standing();
            }
            News::Due(due) => {
                (self.upgrade.due, self.upgrade.asked) = (due, None);
                self.ask_part();
            }
            News::Ready => self.upgrade.is_ready = true,
            News::Trial(routers) => {
                info!(release.version = self.tools.upgrade.version, "this release is on trial");
                self.upgrade.trial = Some((routers, Instant::now()));
            }
            News::Switch => self.upgrade.is_switch = true,
        }
    }

    /// What is due of all this, each second.
    pub(super) fn watch_upgrade(&mut self) {
        self.watch_trial();
        self.settle_release();
        self.tell_standing();
        if let Some((at, within)) = self.upgrade.asked
            && at.elapsed() >= within
        {
            debug!("a part of a release did not come; it is asked for again");
            self.ask_part();
        } else if self.upgrade.asked.is_none() {
            self.ask_part();
        }
        self.start_what_is_ready();
    }

    /// What is on trial has to end that first: the next would take its place unproven. What cannot read a router now is not what
    /// the next one has to.
    fn start_what_is_ready(&mut self) {
        if !self.upgrade.is_ready || self.upgrade.trial.is_some() {
            return;
        }
        let is_read = |router: &RouterProgress| router.is_reachable && router.checked.is_some();
        let routers = self.progress.routers().filter(|(_, router)| is_read(router));
        let routers = routers.map(|(name, _)| name.to_owned()).collect();
        self.upgrade.is_ready = !self.do_upgrade(Errand::Start(routers));
    }

    /// A release that has run for a while is none that ends soon after its start.
    fn settle_release(&mut self) {
        let UpgradeTools { prove_within, is_release, .. } = self.tools.upgrade;
        if is_release && !self.upgrade.is_settled && self.started.elapsed() >= prove_within / RUNS_A_PART {
            self.upgrade.is_settled = self.do_upgrade(Errand::Settled);
        }
    }

    fn watch_trial(&mut self) {
        let Some((routers, since)) = &self.upgrade.trial else { return };
        let is_welcomed = self.talk.as_ref().is_some_and(Talk::is_answered);
        // One that a person took out of the settings meanwhile is nobody's to read.
        let unread = self.progress.routers().find(|(name, router)| {
            routers.iter().any(|wanted| wanted == name) && !(router.is_reachable && router.checked.is_some())
        });
        let errand = match (is_welcomed, unread) {
            (true, None) if since.elapsed() >= self.tools.upgrade.prove_within / RUNS_A_PART => {
                Errand::Proven
            }
            (true, None) => return,
            _ if since.elapsed() < self.tools.upgrade.prove_within => return,
            (false, _) => {
                let why = self.last_problem.as_deref().unwrap_or("it did not answer");
                Errand::Failed(format!("head office did not welcome it in time: {why}"))
            }
            (true, Some((router, _))) => Errand::Failed(format!(
                "it did not read the router {router} in time, which the one before could"
            )),
        };
        if self.do_upgrade(errand) {
            self.upgrade.trial = None;
        }
    }

    fn do_upgrade(&mut self, errand: Errand) -> bool {
        let is_taken = self.tools.upgrade.errands.try_send(errand).is_ok();
        if !is_taken {
            warn!("more is said of releases than flash takes; it is asked for again");
        }
        is_taken
    }

    fn tell_standing(&mut self) {
        let Some(standing) = &self.upgrade.standing else { return };
        let news = told(standing);
        if self.upgrade.told == Some(news) || !self.talk.as_ref().is_some_and(Talk::takes_releases) {
            return;
        }
        let said = standing.to_wire(self.tools.clock.now().0);
        self.upgrade.told = Some(news);
        self.with_talk(|talk| talk.standing(&said));
    }

    /// Asks for the next part, if nothing else is to be told and the budget has room.
    fn ask_part(&mut self) {
        let Some(due) = self.upgrade.due else { return };
        let is_quiet = self.talk.as_ref().is_some_and(|talk| talk.takes_releases() && talk.is_quiet());
        let now = self.started.elapsed();
        if !is_quiet || line::backlog_of(&self.overview) > 0 || self.cadence.due(now) != UsageDue::Nothing {
            return;
        }
        let Some(most) = self.line.part(now) else { return };
        let length = u32::try_from(due.left).unwrap_or(u32::MAX).min(most);
        let wanted = ReleasePartWantedV1 { file_sha256: due.file.0, offset: due.offset, length };
        self.line.asked_part(length);
        let within = self.upgrade.asked.map_or(PART_WITHIN, |(_, within)| within.saturating_mul(2));
        self.upgrade.asked = Some((Instant::now(), within.min(PART_WITHIN_AT_MOST)));
        self.with_talk(|talk| talk.part_wanted(&wanted));
    }

    /// For whoever asks at the device.
    pub(super) fn upgrade_status(&self) -> UpgradeStatus {
        let standing = self.upgrade.standing.as_ref();
        UpgradeStatus {
            is_release: self.tools.upgrade.is_release,
            is_on_trial: self.upgrade.trial.is_some(),
            wanted: standing.map(|standing| standing.version.clone()),
            standing: standing.map(|standing| standing.standing.as_str().to_owned()),
            have_bytes: standing.map_or(0, |standing| standing.have_bytes),
            file_bytes: standing.map_or(0, |standing| standing.file_bytes),
            detail: standing.map(|standing| standing.detail.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::UnixMillis;

    #[test]
    fn head_office_hears_of_each_tenth_and_of_every_change() {
        let at = |have_bytes, standing| Standing {
            asked: 1,
            version: "0.2.0".into(),
            file: Sha256([0; 32]),
            file_bytes: 1_000,
            have_bytes,
            standing,
            detail: String::new(),
        };
        use ReleaseStanding::{Downloading, Starting};
        assert_eq!(told(&at(0, Downloading)), told(&at(99, Downloading)));
        assert_ne!(told(&at(99, Downloading)), told(&at(100, Downloading)));
        assert_ne!(told(&at(1_000, Downloading)), told(&at(1_000, Starting)));
        assert_eq!(told(&Standing { file_bytes: 0, ..at(5, Downloading) }).2, 0);
        assert_eq!(at(5, Downloading).to_wire(UnixMillis(3).0).have_bytes, 5);
    }
}
