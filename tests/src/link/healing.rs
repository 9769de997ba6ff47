//! How a world ends: what broke is mended, and nothing is done for those who have to find something out by themselves. A line
//! that went silent stays so until its agent or its socket gives it up.

use std::time::Duration;

use super::site::SimSite;
use super::{BEGIN, World};

/// Turns, of half a minute each: totals of sessions that run are told each twenty minutes.
const TURNS: u32 = 90;
const TURN: Duration = Duration::from_secs(30);

impl World {
    /// Everything that broke is mended, and what is due is done until nothing more is.
    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        // Head office's clock was set wrong by a person, and is set right by one.
        self.clock.set(BEGIN.plus(self.passed));
        for site in &mut self.sites {
            site.end_sessions();
            site.disk.make_room();
            site.disk.refuse(false);
            site.disk.cancel_planned_cut();
            // Clocks that were set wrong are set right by whoever keeps time at the site.
            site.clock.set(self.clock.now());
        }
        for turn in 0..TURNS {
            for site in &mut self.sites {
                if site.heart.is_none() {
                    site.start().await;
                }
                site.connect().await;
                site.sample().await;
                site.reconcile().await;
                site.report().await;
            }
            for _ in 0..4 {
                self.carry_everything().await;
            }
            self.office.publish(turn % 2 == 0).await?;
            if turn % 2 == 0 {
                self.ask_again().await?;
            }
            self.post();
            self.carry_everything().await;
            if turn > 2 && self.is_quiet().await? {
                return Ok(());
            }
            self.pass(TURN).await;
        }
        self.is_quiet_and_why().await
    }

    /// What is on its way arrives, in order.
    pub(super) async fn carry_everything(&mut self) {
        let mut spoken = Vec::new();
        for site in self.sites.iter_mut().filter(|site| !site.is_stuck) {
            let alive = if site.is_up { 1 } else { 0 };
            let over = site.wills.len().saturating_sub(alive);
            spoken.extend(site.wills.drain(..over));
            spoken.extend(site.up.drain(..));
            spoken.extend(site.late.drain(..));
        }
        self.hear(spoken).await;
        for at in 0..self.sites.len() {
            let next = |site: &mut SimSite| if site.is_stuck { None } else { site.down.pop_front() };
            while let Some(word) = self.sites.get_mut(at).and_then(next) {
                self.say(at, word).await;
            }
        }
    }
}
