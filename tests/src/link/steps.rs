//! What happens in a world, by chance.

use std::time::Duration;

use anyhow::Context as _;
use tawi_controller::audit::Actor;
use tawi_controller::commands::{self, NewCommand};
use tawi_controller::desired::refresh_line;
use tawi_controller::ids::LineId;
use tawi_controller::mqtt::by_turns::Spoken;
use tawi_shared::IdSource;
use tawi_shared::wire::CommandKind;

use super::{BUSY, SimSite, World};
use crate::carried::ROUTER;

/// What may wait on a disk where that is little, at least: less than what a crowd leaves.
const LITTLE_BYTES: u64 = 10_000;

/// How bad a world is, in parts of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    lost: u64,
    twice: u64,
    disordered: u64,
    /// Whether words outlive the connection that they were said on.
    is_late: bool,
    /// Whether little may wait on disks.
    is_narrow: bool,
    /// How often lines break, of a hundred steps.
    pub breaks: u64,
    /// How often disks and power fail.
    pub fails: u64,
    /// How often clocks jump and disks lie.
    pub lies: u64,
}

impl Mood {
    /// Of a world's seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let calm = Self {
            lost: 0,
            twice: 0,
            disordered: 0,
            is_late: seed % 5 == 2 || seed % 5 == 4,
            is_narrow: (seed / 5).is_multiple_of(4),
            breaks: 4,
            fails: 0,
            lies: 0,
        };
        match seed % 5 {
            0 => calm,
            1 => Self { lost: 80, twice: 30, disordered: 0, ..calm },
            2 => Self { lost: 20, twice: 60, disordered: 200, ..calm },
            3 => Self { fails: 12, ..calm },
            _ => Self { lost: 60, twice: 40, disordered: 100, breaks: 6, fails: 8, lies: 4, ..calm },
        }
    }

    /// Sites are as the mood wants them.
    pub fn prepare(&self, sites: &mut [SimSite], chance: &IdSource) {
        sites.iter_mut().for_each(|site| site.may_be_late = self.is_late);
        let busy = usize::try_from(BUSY).unwrap_or(0);
        for site in sites.iter_mut().take(busy).filter(|_| self.is_narrow) {
            let bound = LITTLE_BYTES + chance.number() % LITTLE_BYTES;
            site.disk.let_wait(bound);
            site.watched.bound = Some(bound);
        }
    }
}

/// Everything that may happen; what never came would prove nothing. Faults are here by what came of them, and not by what was
/// to come.
pub const KINDS: [&str; 48] = [
    "time passes",
    "everything arrives",
    "words arrive at head office",
    "words arrive at a site",
    "a word is lost",
    "a word comes twice",
    "a word is overtaken",
    "a word of an older connection comes late",
    "bytes are moved",
    "a crowd comes and goes",
    "a line is paid",
    "head office looks what is due",
    "a router is brought up to date",
    "what was done is reported",
    "a command is given",
    "a line breaks",
    "a line goes silent",
    "a line that was silent is given up by the agent",
    "a line that was silent is found out by its socket",
    "a line is given up by the agent",
    "the broker says a last word",
    "a site connects",
    "an agent is started anew",
    "the power goes",
    "the power goes at an action",
    "the power comes",
    "a record is torn",
    "a disk is full",
    "a disk takes nothing",
    "a disk is mended",
    "an agent begins without its disk",
    "records wait in memory",
    "they are put down",
    "records are dropped for others",
    "totals are dropped, and nothing else is left",
    "a disk loses what it promised",
    "a damaged store is put aside",
    "a store is gone",
    "a damaged state is found",
    "head office restarts",
    "head office restarts, and sites stay connected",
    "head office dies before it answers",
    "head office dies before it notes what it told",
    "head office's clock jumps by a year",
    "a clock jumps by a year",
    "a site lies",
    "a site answers an open command of another",
    "a word goes astray to another site",
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
            self.fail(at).await?;
        } else if dice < bad {
            self.lie(at).await?;
        } else {
            self.go_on(at).await?;
        }
        Ok(())
    }

    async fn go_on(&mut self, at: usize) -> anyhow::Result<()> {
        match self.below(100) {
            0..=21 => self.carry_up().await?,
            22..=43 => self.carry_down().await,
            44..=57 if self.mood.is_narrow && self.below(6) == 0 => self.crowd(at).await,
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
                let Some(site) = self.sites.get_mut(at) else { return Ok(()) };
                if site.reconcile().await {
                    self.with(at, "a router is brought up to date", |_| ());
                }
            }
            81..=83 => {
                let Some(site) = self.sites.get_mut(at) else { return Ok(()) };
                if site.report().await {
                    self.with(at, "what was done is reported", |_| ());
                }
            }
            84..=86 => self.command(at).await?,
            87..=90 => self.come_back(at).await,
            91 => self.begin_anew(at).await?,
            _ => {
                let is_long = self.below(8) == 0;
                let most = if is_long { 120_000 } else { 3_000 };
                let time = Duration::from_millis(1 + self.below(most));
                if is_long && self.below(4) > 0 {
                    self.settle().await;
                }
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

    pub(super) fn with(&mut self, at: usize, kind: &'static str, act: impl FnOnce(&mut SimSite)) {
        let Some(site) = self.sites.get_mut(at) else { return };
        act(site);
        let who = site.id().to_string();
        self.note(kind, &who);
    }

    /// Some of what some sites said arrives together.
    async fn carry_up(&mut self) -> anyhow::Result<()> {
        let spoken = self.take_some_up();
        if spoken.is_empty() {
            return Ok(());
        }
        self.note("words arrive at head office", &format!("{}", spoken.len()));
        let is_any_late = std::mem::take(&mut self.is_any_late);
        if is_any_late {
            self.look_at_generations().await?;
        }
        self.hear(spoken).await;
        if is_any_late { self.look_at_generations().await } else { Ok(()) }
    }

    /// What some sites said, and is on its way no more.
    pub(super) fn take_some_up(&mut self) -> Vec<Spoken> {
        let mut spoken = Vec::new();
        for _ in 0..=self.below(6) {
            let at = self.any_site();
            let count = 1 + self.below(6);
            for _ in 0..count {
                spoken.extend(self.take_up(at));
            }
            // Mostly once the next connection has spoken, which is when it matters.
            let is_newer_heard = self.sites.get(at).is_some_and(|site| site.connection.1);
            if self.below(if is_newer_heard { 2 } else { 16 }) == 0 {
                spoken.extend(self.take_late(at));
            }
        }
        spoken
    }

    /// The next word of a connection that a site has no more.
    fn take_late(&mut self, at: usize) -> Option<Spoken> {
        let site = self.sites.get_mut(at)?;
        let (word, is_newer_heard) = (site.late.pop_front()?, site.connection.1);
        if is_newer_heard {
            self.is_any_late = true;
            self.with(at, "a word of an older connection comes late", |_| ());
        }
        Some(word)
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

    pub(super) async fn carry_down(&mut self) {
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
            if !is_lost {
                self.note("words arrive at a site", &who);
                self.say(at, word).await;
            }
            self.tell_fate(&who, (is_lost, is_twice, index));
        }
    }

    /// For a while everything that can arrive does, and the busy ones come back: most of a day is like that, and the next fault
    /// meets agents that have nothing to wait for.
    async fn settle(&mut self) {
        self.note("everything arrives", "");
        let busy = usize::try_from(BUSY).unwrap_or(0);
        for site in self.sites.iter_mut().take(busy) {
            site.connect().await;
        }
        for _ in 0..3 {
            self.carry_everything().await;
        }
        for site in self.sites.iter_mut().take(busy) {
            site.reconcile().await;
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
        if self.below(2) == 0 {
            self.office.publish(false).await?;
            self.post();
        }
        Ok(())
    }

    /// Who has no power gets it, and who has no line one.
    async fn come_back(&mut self, at: usize) {
        let kind = match self.sites.get(at) {
            Some(site) if site.heart.is_none() => "the power comes",
            Some(site) if !site.is_up => "a site connects",
            Some(site) if site.wills.len() > usize::from(!site.is_stuck) => "the broker says a last word",
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
}
