//! What breaks in a world, by chance: lines, power, disks and head office; and who lies.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::Row as _;
use tawi_controller::mqtt::by_turns::{ByTurns, Spoken};
use tawi_shared::topics::Up;
use tawi_shared::wire::{CommandResultV1, CommandStatus, SessionUsageV1, StoredV1, UsageBatchV1, encode};
use tawi_shared::{Clock, SiteId};

use super::checks::LIE;
use super::{EVERYBODY, World};

/// How often head office asks where sites stand that were connected when it began, as its `asking.rs` does.
const ASKED: u32 = 5;

impl World {
    pub(super) async fn break_line(&mut self, at: usize) {
        let is_silent = self.below(3) == 0;
        let Some(site) = self.sites.get_mut(at).filter(|site| site.is_up && !site.is_stuck) else { return };
        if is_silent {
            site.is_stuck = true;
        } else {
            site.cut().await;
        }
        self.with(at, if is_silent { "a line goes silent" } else { "a line breaks" }, |_| ());
    }

    pub(super) async fn fail(&mut self, at: usize) -> anyhow::Result<()> {
        let (dice, actions, is_tearing) = (self.below(12), self.below(12), self.below(2) == 0);
        match dice {
            0..=2 => self.lose_power(at, is_tearing).await,
            3..=5 => {
                self.with(at, "the power will go at an action", |site| {
                    site.disk.cut_power_after(actions, is_tearing);
                });
            }
            6 => self.with(at, "a disk is full", |site| site.disk.fill(1_000 * actions)),
            7 => self.with(at, "a disk takes nothing", |site| site.disk.refuse(true)),
            8 => self.with(at, "a disk is mended", |site| {
                site.disk.make_room();
                site.disk.refuse(false);
            }),
            9 => {
                let stay = self.below(2) == 0;
                self.restart(stay).await?;
            }
            10 => self.die_before_answering().await?,
            _ => self.die_before_noting().await?,
        }
        Ok(())
    }

    async fn lose_power(&mut self, at: usize, is_tearing: bool) {
        let Some(site) = self.sites.get_mut(at).filter(|site| site.heart.is_some()) else { return };
        site.lose_power().await;
        if is_tearing {
            site.disk.cut_power_and_tear();
        } else {
            site.disk.cut_power();
        }
        self.with(at, "the power goes", |_| ());
    }

    /// An agent is started anew on a disk that is well, as an upgrade does it, and what it says first is heard: that it holds what
    /// it held.
    pub(super) async fn begin_anew(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(site) = self.sites.get_mut(at).filter(|site| site.heart.is_some()) else { return Ok(()) };
        site.lose_power().await;
        self.look_at_generations().await?;
        let Some(site) = self.sites.get_mut(at) else { return Ok(()) };
        site.start().await;
        site.connect().await;
        let said = site.up.drain(..).collect();
        self.with(at, "an agent is started anew", |_| ());
        self.hear(said).await;
        self.look_at_generations().await
    }

    /// Head office forgets whatever it only remembered. Every line ends with it, or none: with a broker that goes on it asks
    /// where everybody stands.
    async fn restart(&mut self, stay: bool) -> anyhow::Result<()> {
        self.note("head office restarts", EVERYBODY);
        self.office = ByTurns::open(self.controller.clone()).await;
        if stay {
            self.note("head office restarts, and sites stay connected", EVERYBODY);
            self.asks_left = ASKED;
            return self.ask_again().await;
        }
        for site in &mut self.sites {
            site.cut().await;
            site.wills.clear();
            site.late.clear();
        }
        Ok(())
    }

    /// Those that were connected when head office began are asked where they stand: everybody at first, and then who has not
    /// been heard.
    pub(super) async fn ask_again(&mut self) -> anyhow::Result<()> {
        if self.asks_left > 0 {
            self.office.ask(self.asks_left == ASKED).await?;
            self.asks_left -= 1;
            self.post();
        }
        Ok(())
    }

    /// What sites said is committed, and no word of it goes out. The broker was told that it is taken in, or goes down too.
    async fn die_before_answering(&mut self) -> anyhow::Result<()> {
        let spoken = self.take_some_up();
        if spoken.is_empty() {
            return Ok(());
        }
        spoken.iter().for_each(|word| self.note_hello(word));
        self.played.messages += u64::try_from(spoken.len())?;
        self.office.hear(spoken).await;
        if !self.office.said().is_empty() {
            self.note("head office dies before it answers", EVERYBODY);
        }
        let stay = self.below(2) == 0;
        self.restart(stay).await
    }

    /// What changed is told, and the rows that say that it is to be told stay. Some of it arrives before the lines end.
    async fn die_before_noting(&mut self) -> anyhow::Result<()> {
        self.office.publish_unnoted().await?;
        let waiting = |world: &Self| world.sites.iter().map(|site| site.down.len()).sum::<usize>();
        let before = waiting(self);
        self.post();
        if waiting(self) > before {
            self.note("head office dies before it notes what it told", EVERYBODY);
        }
        self.carry_down().await;
        let stay = self.below(2) == 0;
        self.restart(stay).await
    }

    /// Clocks jump, disks lose what they promised, words go astray, and somebody speaks of what is not theirs.
    pub(super) async fn lie(&mut self, at: usize) -> anyhow::Result<()> {
        let is_back = self.below(2) == 0;
        match self.below(9) {
            0 | 1 => self.with(at, "a clock jumps by a year", |site| jump(&site.clock, is_back)),
            2 => {
                jump(&self.clock, is_back);
                self.note("head office's clock jumps by a year", EVERYBODY);
            }
            3 => self.rob(at).await,
            4..=6 => self.go_astray(at).await?,
            _ => self.speak_of_others(at).await?,
        }
        Ok(())
    }

    async fn rob(&mut self, at: usize) {
        let dice = self.below(3);
        self.with(at, "a disk loses what it promised", |_| ());
        let Some(site) = self.sites.get_mut(at) else { return };
        site.was_robbed = true;
        site.lose_power().await;
        match dice {
            0 => site.disk.wipe(),
            1 => site.disk.spoil(),
            _ => {
                site.may_repeat = true;
                let _ = site.disk.flip_bits(6);
            }
        }
        // Of what was told and not booked nobody knows any more: the router tells of it again.
        site.sessions.iter_mut().for_each(|session| session.kept = 0);
    }

    /// A broker brings a site what another is told: it is not taken, and nothing of it is done.
    async fn go_astray(&mut self, at: usize) -> anyhow::Result<()> {
        let is_copied = self.below(2) == 0;
        let others = self.sites.iter().enumerate().filter(|(other, _)| *other != at);
        let Some(from) = others.filter(|(_, other)| !other.down.is_empty()).map(|(other, _)| other).next()
        else {
            return Ok(());
        };
        let hears = self.sites.get(at).is_some_and(|site| site.is_up && !site.is_stuck);
        let Some(other) = self.sites.get_mut(from).filter(|_| hears) else { return Ok(()) };
        let taken = if is_copied { other.down.front().cloned() } else { other.down.pop_front() };
        let word = taken.context("a word for another")?;
        let before = self.standing(at).await;
        self.say(at, word).await;
        let after = self.standing(at).await;
        self.with(at, "a word goes astray to another site", |_| ());
        if let (Some((before, refused)), Some((after, refused_then))) = (before, after) {
            let who = self.sites.get(at).context("a site")?.id();
            ensure!(before == after, "{who}: a word for another moved it from {before:?} to {after:?}");
            ensure!(refused_then > refused, "{who}: a word for another was not refused");
        }
        Ok(())
    }

    /// What a site holds, and how many messages it has refused.
    async fn standing(&self, at: usize) -> Option<((u64, [u8; 16]), u64)> {
        let heart = self.sites.get(at)?.heart.as_ref()?;
        let refused = heart.status().await?.messages_refused;
        let state = heart.state.borrow();
        Some(((state.generation, state.hash.to_bytes()), refused))
    }

    /// A site says that it stored what it never had, counts on lines of others and answers their commands.
    async fn speak_of_others(&mut self, at: usize) -> anyhow::Result<()> {
        let victim = self.any_site();
        if victim == at {
            return Ok(());
        }
        let liar = self.sites.get(at).context("a site")?.id().clone();
        let open = self.open_command_of_others(&liar).await?;
        let other = self.sites.get(victim).context("a site")?;
        let (line, key) =
            (other.planned.lines.first().context("a line")?.clone(), format!("of {}", other.id()));
        let command = open.clone().or_else(|| other.carried_out.keys().next_back().cloned());
        let total = SessionUsageV1 {
            line,
            session: key,
            started_at_ms: 1,
            sampled_at_ms: 2,
            upload_bytes: 0,
            download_bytes: 1 << 40,
            is_ended: false,
            address: String::new(),
            period_started_ms: 0,
        };
        let result = CommandResultV1 {
            id: command.unwrap_or_default(),
            status: CommandStatus::Failed.code(),
            detail: LIE.to_owned(),
            at_ms: 1,
        };
        let words = [
            (Up::Usage, encode(&UsageBatchV1 { sessions: vec![total] }, 0, 77, self.below(50))?),
            (Up::Ack, encode(&result, 0, 0, 0)?),
            (Up::Ack, encode(&StoredV1 { generation: u64::MAX >> 2, stored_at_ms: 1 }, 0, 0, 0)?),
        ];
        let spoken = words.map(|(up, bytes)| Spoken {
            site: liar.clone(),
            topic: up.topic(&liar),
            bytes,
            is_light: false,
        });
        self.note("a site lies", liar.as_str());
        if open.is_some() {
            self.note("a site answers an open command of another", liar.as_str());
        }
        self.hear(spoken.into()).await;
        Ok(())
    }

    async fn open_command_of_others(&self, liar: &SiteId) -> anyhow::Result<Option<String>> {
        let mut read = self.controller.database.read().await?;
        let open = sqlx::query(
            "SELECT id FROM commands WHERE site_id <> $1 AND standing IN ('queued', 'executing') ORDER BY id",
        );
        let row = open.bind(liar.as_str()).fetch_optional(&mut *read).await?;
        Ok(row.map(|row| row.try_get("id")).transpose()?)
    }
}

fn jump(clock: &Clock, is_back: bool) {
    let (year, now) = (Duration::from_secs(365 * 86_400), clock.now());
    clock.set(if is_back { now.minus(year) } else { now.plus(year) });
}
