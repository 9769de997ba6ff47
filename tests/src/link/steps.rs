//! What happens in a world, by chance.

use std::time::Duration;

use anyhow::Context as _;
use tawi_controller::audit::Actor;
use tawi_controller::commands::{self, NewCommand};
use tawi_controller::desired::refresh_line;
use tawi_controller::ids::LineId;
use tawi_controller::mqtt::by_turns::{ByTurns, Spoken};
use tawi_shared::topics::Up;
use tawi_shared::wire::{
    CommandKind, CommandResultV1, CommandStatus, SessionUsageV1, StoredV1, UsageBatchV1, encode,
};

use super::{EVERYBODY, World};
use crate::carried::ROUTER;

/// How bad a world is, in parts of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    lost: u64,
    twice: u64,
    disordered: u64,
    /// How often lines break, of a hundred steps.
    breaks: u64,
    /// How often disks and power fail.
    fails: u64,
    /// How often clocks jump and disks lie.
    lies: u64,
}

impl Mood {
    /// Of a world's seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let calm = Self { lost: 0, twice: 0, disordered: 0, breaks: 4, fails: 0, lies: 0 };
        match seed % 5 {
            0 => calm,
            1 => Self { lost: 80, twice: 30, disordered: 0, ..calm },
            2 => Self { lost: 20, twice: 60, disordered: 200, ..calm },
            3 => Self { fails: 12, ..calm },
            _ => Self { lost: 60, twice: 40, disordered: 100, breaks: 6, fails: 8, lies: 4 },
        }
    }
}

/// Everything that may happen; what never came would prove nothing.
pub const KINDS: [&str; 27] = [
    "time passes",
    "words arrive at head office",
    "words arrive at a site",
    "a word is lost",
    "a word comes twice",
    "a word is overtaken",
    "bytes are moved",
    "a crowd comes and goes",
    "a line is paid",
    "head office looks what is due",
    "a router is brought up to date",
    "what was done is reported",
    "a command is given",
    "a line breaks",
    "a line goes silent",
    "the broker says a last word",
    "a site connects",
    "the power goes",
    "the power will go at an action",
    "the power comes",
    "a disk is full",
    "a disk takes nothing",
    "a disk is mended",
    "head office restarts",
    "a site lies",
    "a clock jumps by a year",
    "a disk loses what it promised",
];

impl World {
    /// One thing happens.
    ///
    /// # Errors
    /// When the controller fails.
    pub(super) async fn step(&mut self) -> anyhow::Result<()> {
        let (at, dice) = (self.any_site(), self.below(100));
        let Mood { breaks, fails, lies, .. } = self.mood;
        let bad = breaks + fails + lies;
        if dice < breaks {
            self.break_line(at).await;
        } else if dice < breaks + fails {
            self.fail(at).await;
        } else if dice < bad {
            self.lie(at).await?;
        } else {
            self.go_on(at).await?;
        }
        Ok(())
    }

    async fn go_on(&mut self, at: usize) -> anyhow::Result<()> {
        match self.below(100) {
            0..=21 => self.carry_up().await,
            22..=43 => self.carry_down().await,
            44..=57 => {
                let (line, bytes, ends) = (self.below(2), 1 + self.below(1_000_000), self.below(4) == 0);
                self.with(at, "bytes are moved", |site| {
                    site.moves(usize::try_from(line).unwrap_or(0), bytes, ends);
                });
                if let Some(site) = self.sites.get_mut(at) {
                    site.sample().await;
                }
            }
            58 => self.crowd(at).await,
            59..=65 => self.pay(at).await?,
            66..=75 => {
                let is_tick = self.below(3) == 0;
                self.note("head office looks what is due", "");
                self.office.publish(is_tick).await?;
                self.post();
            }
            76..=80 => {
                self.with(at, "a router is brought up to date", |_| ());
                if let Some(site) = self.sites.get_mut(at) {
                    site.reconcile().await;
                }
            }
            81..=83 => {
                self.with(at, "what was done is reported", |_| ());
                if let Some(site) = self.sites.get_mut(at) {
                    site.report().await;
                }
            }
            84..=86 => self.command(at).await?,
            87..=91 => self.come_back(at).await,
            _ => {
                let most = if self.below(8) == 0 { 120_000 } else { 3_000 };
                let time = Duration::from_millis(1 + self.below(most));
                self.note("time passes", &format!("{time:?}"));
                self.pass(time).await;
            }
        }
        Ok(())
    }

    /// Many short sessions, told together: more than one message holds.
    async fn crowd(&mut self, at: usize) {
        let (line, sessions) = (usize::from(self.below(2) == 0), 20 + self.below(100));
        let bytes = self.below(1_000);
        self.with(at, "a crowd comes and goes", |site| {
            (0..sessions).for_each(|number| site.moves(line, 1 + bytes + number, true));
        });
        if let Some(site) = self.sites.get_mut(at) {
            site.sample().await;
        }
    }

    fn with(&mut self, at: usize, kind: &'static str, act: impl FnOnce(&mut super::SimSite)) {
        let Some(site) = self.sites.get_mut(at) else { return };
        act(site);
        let who = site.id().to_string();
        self.note(kind, &who);
    }

    /// Some of what some sites said arrives together.
    async fn carry_up(&mut self) {
        let mut spoken = Vec::new();
        for _ in 0..=self.below(6) {
            let at = self.any_site();
            let count = 1 + self.below(6);
            for _ in 0..count {
                spoken.extend(self.take_up(at));
            }
        }
        if spoken.is_empty() {
            return;
        }
        self.note("words arrive at head office", &format!("{}", spoken.len()));
        self.hear(spoken).await;
    }

    /// The next word of a site, or another, or none of it, or twice.
    fn take_up(&mut self, at: usize) -> Vec<Spoken> {
        let (is_lost, is_twice, jump) = self.fate();
        let Some(site) = self.sites.get_mut(at).filter(|site| !site.is_stuck) else { return Vec::new() };
        let index = jump.min(site.up.len().saturating_sub(1));
        let Some(word) = site.up.remove(index) else { return Vec::new() };
        let who = site.id().to_string();
        if is_twice {
            site.up.push_back(word.clone());
        }
        self.tell_fate(&who, (is_lost, is_twice, index));
        if is_lost { Vec::new() } else { vec![word] }
    }

    async fn carry_down(&mut self) {
        let (at, count) = (self.any_site(), 1 + self.below(8));
        for _ in 0..count {
            let (is_lost, is_twice, jump) = self.fate();
            let Some(site) = self.sites.get_mut(at).filter(|site| !site.is_stuck) else { return };
            let index = jump.min(site.down.len().saturating_sub(1));
            let Some(word) = site.down.remove(index) else { return };
            let who = site.id().to_string();
            if is_twice {
                site.down.push_back(word.clone());
            }
            self.note("words arrive at a site", &who);
            if !is_lost {
                self.say(at, word).await;
            }
            self.tell_fate(&who, (is_lost, is_twice, index));
        }
    }

    fn fate(&self) -> (bool, bool, usize) {
        let Mood { lost, twice, disordered, .. } = self.mood;
        let (is_lost, is_twice) = (self.below(1_000) < lost, self.below(1_000) < twice);
        let jump = if self.below(1_000) < disordered { self.below(4) } else { 0 };
        (is_lost, is_twice, usize::try_from(jump).unwrap_or(0))
    }

    fn tell_fate(&mut self, who: &str, (is_lost, is_twice, index): (bool, bool, usize)) {
        for (kind, is_so) in [
            ("a word is lost", is_lost),
            ("a word comes twice", is_twice),
            ("a word is overtaken", index > 0),
        ] {
            if is_so {
                self.note(kind, who);
            }
        }
    }

    /// A line's paid time changes, with what follows from it, as a payment does it.
    async fn pay(&mut self, at: usize) -> anyhow::Result<()> {
        let (line, days) = (self.below(2), 1 + self.below(60));
        let site = self.sites.get(at).context("a site")?;
        let line = site.planned.lines.get(usize::try_from(line)?).context("a line")?.clone();
        let until = self.clock.now().plus(Duration::from_secs(86_400 * days));
        let mut write = self.controller.database.write().await?;
        sqlx::query("UPDATE subscriptions SET status = 'active', paid_until = $1 WHERE id = $2")
            .bind(until.0)
            .bind(&line)
            .execute(&mut *write)
            .await?;
        refresh_line(&mut write, &LineId::parse(&line)?, self.clock.now()).await?;
        write.commit().await?;
        let who = self.sites.get(at).map(|site| site.id().to_string()).unwrap_or_default();
        self.note("a line is paid", &who);
        if self.below(2) == 0 {
            self.office.publish(false).await?;
            self.post();
        }
        Ok(())
    }

    async fn command(&mut self, at: usize) -> anyhow::Result<()> {
        let site = self.sites.get(at).context("a site")?;
        let line = site.planned.lines.first().context("a line")?;
        let new = NewCommand {
            site: site.id().clone(),
            kind: CommandKind::Kick,
            router: ROUTER.to_owned(),
            line: Some(LineId::parse(line)?),
            argument: String::new(),
            service: None,
            lasts: Duration::from_secs(3_600),
        };
        let who = site.id().to_string();
        let mut write = self.controller.database.write().await?;
        let actor = Actor::CommandLine("simulation".to_owned());
        let ids = &self.controller.ids;
        let given = commands::order(&mut write, new, &actor, ids, self.clock.now()).await?;
        anyhow::ensure!(matches!(given, commands::Ordered::Queued { .. }), "{given:?}");
        write.commit().await?;
        self.note("a command is given", &who);
        Ok(())
    }

    /// Who has no power gets it, and who has no line one.
    async fn come_back(&mut self, at: usize) {
        let kind = match self.sites.get(at) {
            Some(site) if site.heart.is_none() => "the power comes",
            Some(site) if !site.is_up => "a site connects",
            Some(site) if !site.wills.is_empty() => "the broker says a last word",
            _ => return,
        };
        self.with(at, kind, |_| ());
        let Some(site) = self.sites.get_mut(at) else { return };
        match kind {
            "the power comes" => site.start().await,
            "a site connects" => site.connect().await,
            _ => {
                // Of a connection that holds the broker has no reason to; of one that went silent it has.
                let alive = if site.is_stuck { 0 } else { 1 };
                let over = site.wills.len().saturating_sub(alive);
                let words: Vec<_> = site.wills.drain(..over).collect();
                self.hear(words).await;
            }
        }
    }

    async fn break_line(&mut self, at: usize) {
        let is_silent = self.below(3) == 0;
        self.with(at, if is_silent { "a line goes silent" } else { "a line breaks" }, |_| ());
        if let Some(site) = self.sites.get_mut(at) {
            if is_silent {
                site.is_stuck = site.is_up;
            } else {
                site.cut().await;
            }
        }
    }

    async fn fail(&mut self, at: usize) {
        let (dice, actions, is_tearing) = (self.below(8), self.below(12), self.below(2) == 0);
        let kind = match dice {
            0 | 1 => "the power goes",
            2 | 3 => "the power will go at an action",
            4 => "a disk is full",
            5 => "a disk takes nothing",
            6 => "a disk is mended",
            _ => "head office restarts",
        };
        if kind == "head office restarts" {
            self.note(kind, EVERYBODY);
            self.restart().await;
            return;
        }
        self.with(at, kind, |_| ());
        let Some(site) = self.sites.get_mut(at) else { return };
        site.may_be_torn |= is_tearing && kind.starts_with("the power");
        match kind {
            "the power goes" => {
                site.lose_power().await;
                if is_tearing { site.disk.cut_power_and_tear() } else { site.disk.cut_power() }
            }
            "the power will go at an action" => site.disk.cut_power_after(actions, is_tearing),
            "a disk is full" => site.disk.fill(1_000 * actions),
            "a disk takes nothing" => site.disk.refuse(true),
            _ => {
                site.disk.make_room();
                site.disk.refuse(false);
            }
        }
    }

    /// Head office forgets whatever it only remembered; every line ends.
    async fn restart(&mut self) {
        self.office = ByTurns::open(self.controller.clone()).await;
        for site in &mut self.sites {
            site.cut().await;
            site.wills.clear();
        }
    }

    /// Clocks jump, disks lose what they promised, and somebody speaks of what is not theirs.
    async fn lie(&mut self, at: usize) -> anyhow::Result<()> {
        match self.below(6) {
            0 | 1 => {
                let (year, is_back) = (Duration::from_secs(365 * 86_400), self.below(2) == 0);
                self.with(at, "a clock jumps by a year", |site| {
                    let now = site.clock.now();
                    site.clock.set(if is_back { now.minus(year) } else { now.plus(year) });
                });
            }
            2 => {
                let dice = self.below(3);
                self.with(at, "a disk loses what it promised", |_| ());
                if let Some(site) = self.sites.get_mut(at) {
                    site.was_robbed = true;
                    site.lose_power().await;
                    match dice {
                        0 => site.disk.wipe(),
                        1 => site.disk.spoil(),
                        _ => drop(site.disk.flip_bits(3)),
                    }
                    // Of what was told and not booked nobody knows any more: the router tells of it again.
                    site.sessions.iter_mut().for_each(|session| session.kept = 0);
                }
            }
            _ => self.speak_of_others(at).await?,
        }
        Ok(())
    }

    /// A site says that it stored what it never had, counts on lines of others and answers their commands.
    async fn speak_of_others(&mut self, at: usize) -> anyhow::Result<()> {
        let victim = self.any_site();
        if victim == at {
            return Ok(());
        }
        let other = self.sites.get(victim).context("a site")?;
        let (line, key) =
            (other.planned.lines.first().context("a line")?.clone(), format!("of {}", other.id()));
        let command = other.carried_out.keys().next_back().cloned().unwrap_or_default();
        let liar = self.sites.get(at).context("a site")?.id().clone();
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
            id: command,
            status: CommandStatus::Failed.code(),
            detail: "a lie".to_owned(),
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
        self.hear(spoken.into()).await;
        Ok(())
    }
}
