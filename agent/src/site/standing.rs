//! How the agent stands, for whoever asks: the status, put together from what the core knows.
//!
//! It asks nobody and changes nothing. What of it is a problem is judged in `health.rs`; how it is asked for and travels is
//! `status.rs`.

use tawi_shared::UnixMillis;
use tawi_shared::wire::{LineV1, Restraint, Service};

use super::applied;
use super::{Site, Talk};
use crate::clock::Reading;
use crate::enforce::{self, Circumstances, Effective, Reason};
use crate::health::{
    ClockStatus, ControllerStatus, FAILING_NAMED, FailingLine, RouterStatus, SettingsStatus, StateStatus,
    Status, Walled, rss_bytes,
};
use crate::own_log;
use crate::reconcile::actual::Family;
use crate::trouble::cure_of_failure;

impl Site {
    /// The first lines that are not as they should be, for whoever asks at the device.
    fn failing(&self, applied: &applied::Applied) -> Vec<FailingLine> {
        let named = applied.failures.iter().take(FAILING_NAMED);
        named
            .map(|(line, (kind, detail))| {
                let wanted = self.desired.lines.get(line).map(|held| &held.item);
                let router = self.progress.router_of_failure(line).map(str::to_owned);
                let router = router.or_else(|| wanted.map(|line| line.router.clone())).unwrap_or_default();
                let (why, own_cure) = detail.split_once("; cure: ").unwrap_or((detail, ""));
                let cure = match own_cure {
                    "" => {
                        let service = wanted.and_then(|line| Service::from_code(line.service));
                        cure_of_failure(*kind, service, &router)
                    }
                    own_cure => own_cure.to_owned(),
                };
                FailingLine {
                    line: line.clone(),
                    username: wanted.map(|line| line.username.clone()).unwrap_or_default(),
                    router,
                    why: format!("{}: {why}", kind.as_str()),
                    cure,
                }
            })
            .collect()
    }

    pub(super) fn status(&self) -> Status {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let applied = self.progress.applied(&self.desired);
        let (offline_rule_lines, offline_rule_since) = self.under_offline_rule();
        let (bytes_sent, bytes_received) = self.tools.bytes.totals();
        let reading = self.tools.clock.reading();
        // Instants are counted back from now: the clock may have turned since.
        let up = self.started.elapsed();
        let mut status = Status {
            version: self.tools.upgrade.version.clone(),
            upgrade: self.upgrade_status(),
            site: self.tools.site.to_string(),
            started_at_ms: reading.now.minus(up).0,
            controller: ControllerStatus {
                is_connected: self.talk.as_ref().is_some_and(Talk::is_answered),
                address: self.talk.as_ref().map(|talk| talk.address().to_string()),
                connected_since_ms: self.talk.as_ref().map(|talk| reading.now.minus(talk.age()).0),
                last_problem: self.last_problem.clone(),
                bytes_sent,
                bytes_received,
                line: self.line.status(&self.tools.bytes, super::line::backlog_of(&self.overview)),
            },
            state: StateStatus {
                generation: self.desired.generation,
                stored_generation: self.stored.generation,
                // On another board than before nothing stands.
                applied_generation: if self.has_stranger() { 0 } else { applied.generation },
                lines: count(self.desired.lines.len()),
                profiles: count(self.desired.profiles.len()),
                failing_lines: count(applied.failures.len()),
                failing: self.failing(&applied),
                offline_rule_lines: count(offline_rule_lines),
                offline_rule_since_ms: offline_rule_since.map(|since| since.0),
            },
            routers: self
                .progress
                .routers()
                .map(|(name, router)| RouterStatus {
                    name: name.to_owned(),
                    is_reachable: router.is_reachable,
                    release: router.release.clone(),
                    settled_generation: if self.progress.is_stranger(name) { 0 } else { router.settled },
                    failing_lines: count(router.failures.len()),
                    lines: self.desired.services_of(name),
                    lines_by_template: Some(self.desired.lines_by_template(name)),
                    walled: Some(self.walled(name)),
                    problem: router.trouble.as_ref().map(|trouble| trouble.why.clone()),
                    cure: router.trouble.as_ref().map(|trouble| trouble.cure.clone()),
                    problem_part: router.trouble.as_ref().map(|trouble| trouble.part.to_owned()),
                    held_lines: count(router.held_lines()),
                    full_check_at_ms: router
                        .checked
                        .map(|(at, _)| reading.now.minus(up.saturating_sub(at)).0),
                    full_check_took_ms: router
                        .checked
                        .map(|(_, took)| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                })
                .collect(),
            settings: self.settings_status(),
            clock: ClockStatus::of(&reading, &self.tools.clock.voices()),
            messages_refused: self.messages_refused,
            commands_waiting_for_disk: count(self.waiting_for_disk()),
            rss_bytes: rss_bytes(),
            ..Status::default()
        };
        status.put_overview(&self.overview);
        status
    }

    /// What can be set from head office, with what a command of it set for a while.
    fn settings_status(&self) -> SettingsStatus {
        let (lasting, level) = (self.tools.tuning.now().log_level, own_log::level());
        let log_level_for_now = (level != lasting).then(|| level.to_string());
        SettingsStatus { log_level_for_now, ..self.tools.tuning.status() }
    }

    /// Whether a router that has lines is another board than before.
    fn has_stranger(&self) -> bool {
        let mut lines = self.desired.lines.values().map(|held| &held.item);
        lines.any(|line| self.progress.is_stranger(&line.router))
    }

    /// How a line should be at this moment; `None` where this release does not know its codes.
    fn effective(&self, line: &LineV1) -> Option<Effective> {
        let Reading { now, leap_in_doubt, .. } = self.tools.clock.reading();
        let used = self.tools.quotas.used(line, now);
        let silence = self.tools.contact.silence();
        let circumstances = Circumstances { now, used, silence, leap_in_doubt };
        enforce::effective(line, &circumstances).ok().map(|(_, state)| state)
    }

    /// Lines of a router that the firewall alone bars while they are walled in.
    fn walled(&self, router: &str) -> Walled {
        let lines = self.desired.lines.values().map(|held| &held.item).filter(|line| line.router == router);
        let mut walled = Walled::default();
        for line in lines.filter(|line| is_walled_by_plan(line)) {
            walled.by_plan = walled.by_plan.saturating_add(1);
            if matches!(self.effective(line), Some(Effective::Walled(_))) {
                walled.now = walled.now.saturating_add(1);
            }
        }
        walled
    }

    /// How many lines are restrained because head office is silent, and since when the first of them.
    fn under_offline_rule(&self) -> (usize, Option<UnixMillis>) {
        let now = self.tools.clock.reading().now;
        let silence = self.tools.contact.silence();
        let is_under =
            |line: &&LineV1| self.effective(line).and_then(Effective::reason) == Some(Reason::OfflineRule);
        let under = || {
            let with_rule =
                self.desired.lines.values().map(|held| &held.item).filter(|line| line.offline.is_some());
            with_rule.filter(is_under)
        };
        let since = |line: &LineV1| {
            line.offline.as_ref().map(|rule| now.minus(silence).plus(enforce::patience(rule)))
        };
        (under().count(), under().filter_map(since).min())
    }
}

/// Whether a line logs in by PPP and has a plan that walls it in.
fn is_walled_by_plan(line: &LineV1) -> bool {
    let after_silence = line.offline.as_ref().map(|rule| &rule.then);
    let mut restraints = [&line.suspension, &line.after_quota].into_iter().chain(after_silence);
    Family::of_code(line.service) == Some(Family::Ppp)
        && restraints.any(|restraint| restraint.how == Restraint::Walled.code())
}
