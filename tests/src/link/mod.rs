//! The simulation of the link: head office and twenty sites, steps in any order made from a seed, and what must hold.
//!
//! ```text
//!   seed ─▶ steps ─┬─▶ site × 20 (heart of the agent, disk in memory, router played) ─▶ words ─┐ lost, late, twice, in any order
//!                  └─▶ head office (intake, publisher, database) ◀──────────────────────────────┘
//! ```
//! The heart of the agent, its store, the controller's link and its database are whole. Sockets, TLS and the broker are not
//! there: what they do to messages is done to them here, and worse. Nothing runs by itself and time stands still between steps,
//! so that a seed plays the same each time. What was broken is mended at the end: then every site must be as head office wants
//! it, and every byte that was moved must be booked once.

mod checks;
mod faults;
mod healing;
mod site;
mod steps;
mod store;
mod template;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::mem::take;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde::Serialize;
use tawi_controller::mqtt::by_hand::Word;
use tawi_controller::mqtt::by_turns::{ByTurns, Spoken};
use tawi_controller::state::Controller;
use tawi_shared::topics::parse_down;
use tawi_shared::wire::{DownMessage, UpMessage};
use tawi_shared::{Clock, IdSource, UnixMillis};

use self::checks::Seen;
use self::site::SimSite;
use self::steps::Mood;
pub use self::template::Template;

/// When every world begins: 2027-01-15, in Nairobi. No agent believes a time before it was built.
const BEGIN: UnixMillis = UnixMillis(1_800_000_000_000);
/// Sites of head office.
pub const SITES: usize = 20;
/// Those to whom most happens.
const BUSY: u64 = 3;
/// Lines of each.
const LINES: usize = 2;
/// Steps that a failure tells of, the last one last.
const TOLD: usize = 40;
/// Whom a step concerns that concerns no single site.
const EVERYBODY: &str = "everybody";
/// Steps between two looks at everything.
const LOOKED_EVERY: u64 = 20;
/// By the machine's clock: a world takes a fraction of a second.
const LONGEST_WORLD: Duration = Duration::from_secs(120);

/// What was played.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Played {
    /// Steps.
    pub steps: u64,
    /// Sessions that were booked to the byte.
    pub sessions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// How often what happened.
    pub kinds: BTreeMap<String, u64>,
    /// Of all that happened and of each byte that arrived, in order.
    pub digest: u64,
}

impl Played {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        Self {
            steps: self.steps + other.steps,
            sessions: self.sessions + other.sessions,
            bytes: self.bytes + other.bytes,
            messages: self.messages + other.messages,
            kinds: self.kinds,
            // In whichever order worlds end.
            digest: self.digest ^ other.digest,
        }
    }

    fn digest(&mut self, what: impl Hash) {
        let mut hasher = DefaultHasher::new();
        (self.digest, what).hash(&mut hasher);
        self.digest = hasher.finish();
    }

    /// What must come in every simulation that is long enough, and did not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        steps::KINDS.into_iter().filter(|kind| !self.kinds.contains_key(*kind)).collect()
    }
}

/// A world under way.
struct World {
    controller: Controller,
    database: PathBuf,
    office: ByTurns,
    clock: Clock,
    /// What has passed since the world began, whatever clocks show.
    passed: Duration,
    /// How often head office still asks where sites stand that were connected when it began.
    asks_left: u32,
    /// Whether words of older connections are about to be heard.
    is_any_late: bool,
    sites: Vec<SimSite>,
    chance: IdSource,
    mood: Mood,
    seen: Seen,
    trail: Vec<String>,
    /// Of which site everything is told.
    told_of: Option<String>,
    played: Played,
}

/// The template of all worlds.
///
/// # Errors
/// When the controller refuses anything.
pub fn template() -> anyhow::Result<Template> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Template::make())
}

/// Plays a seed for so many steps on a runtime of its own.
///
/// # Errors
/// When something does not hold: after which step, and what went before.
pub fn play(template: &Template, seed: u64, steps: u64) -> anyhow::Result<Played> {
    play_and_tell(template, seed, steps, None)
}

/// The same, and writes to standard error what a site says and hears, and what happens to it.
///
/// # Errors
/// See [`play`].
pub fn play_and_tell(
    template: &Template,
    seed: u64,
    steps: u64,
    told_of: Option<&str>,
) -> anyhow::Result<Played> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut world = World::open(template, seed).await?;
        world.told_of = told_of.map(str::to_owned);
        let _still = hold_time();
        let outcome = world.run(steps).await;
        let outcome = outcome.map_err(|error| world.with_trail(&error));
        let played = world.close().await;
        outcome.map(|()| played)
    })
}

/// From here on time passes only by hand; threads of the database are waited for all the same.
fn hold_time() -> std::sync::mpsc::Sender<()> {
    let (held, hold) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    // Time would run by itself while nothing else does; it does not while somebody is at work outside.
    tokio::task::spawn_blocking(move || {
        // A world that waits for time that nobody lets pass would never end.
        let _ = hold.recv_timeout(LONGEST_WORLD);
    });
    held
}

impl World {
    async fn open(template: &Template, seed: u64) -> anyhow::Result<Self> {
        let clock = Clock::manual(BEGIN);
        let (controller, database) = template.copy(seed, clock.clone()).await?;
        let chance = IdSource::seeded(seed);
        let sites = template.sites.iter().cloned().map(|planned| SimSite::new(planned, chance.number()));
        let (mut sites, mood) = (sites.collect::<Vec<_>>(), Mood::of(seed));
        mood.prepare(&mut sites, &chance);
        Ok(Self {
            office: ByTurns::open(controller.clone()).await,
            controller,
            database,
            clock,
            passed: Duration::ZERO,
            asks_left: 0,
            is_any_late: false,
            sites,
            mood,
            chance,
            seen: Seen::default(),
            trail: Vec::new(),
            told_of: None,
            played: Played::default(),
        })
    }

    async fn close(self) -> Played {
        for mut site in self.sites {
            site.lose_power().await;
        }
        drop(self.office);
        self.controller.database.close().await;
        let _ = std::fs::remove_file(self.database);
        self.played
    }

    async fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        for site in &mut self.sites {
            site.start().await;
            site.connect().await;
        }
        for step in 0..steps {
            self.step().await?;
            self.gather()?;
            self.played.steps += 1;
            if step % LOOKED_EVERY == 0 {
                self.look().await?;
            }
        }
        self.heal().await?;
        self.gather()?;
        self.look().await?;
        self.judge().await
    }

    /// A number below `limit`; 0 where that is 0.
    fn below(&self, limit: u64) -> u64 {
        self.chance.number().checked_rem(limit).unwrap_or(0)
    }

    /// Mostly one of a few, to whom much happens; the others are there so that nobody is taken for another.
    fn any_site(&self) -> usize {
        let all = u64::try_from(self.sites.len()).unwrap_or(1);
        let among = if self.below(5) > 0 { BUSY.min(all) } else { all };
        usize::try_from(self.below(among)).unwrap_or(0)
    }

    /// It happened, to whomever.
    fn note(&mut self, kind: &'static str, who: &str) {
        *self.played.kinds.entry(kind.to_owned()).or_default() += 1;
        self.played.digest((self.played.steps, kind, who));
        self.tell(who, || format!("-- {kind}"));
        self.trail.push(format!("{}: {kind} {who}", self.played.steps));
    }

    /// Tells of a site, if it is the one.
    fn tell(&self, who: &str, what: impl FnOnce() -> String) {
        if self.told_of.as_deref().is_some_and(|told_of| told_of == who || who == EVERYBODY) {
            eprintln!("{:4} {}", self.played.steps, what());
        }
    }

    /// What happened of itself at sites is noted, and what did not hold there ends the world.
    fn gather(&mut self) -> anyhow::Result<()> {
        for at in 0..self.sites.len() {
            let Some(site) = self.sites.get_mut(at) else { break };
            let (happened, who) = (take(&mut site.happened), site.id().to_string());
            let wrong = site.watched.wrong.take();
            happened.into_iter().for_each(|kind| self.note(kind, &who));
            if let Some(wrong) = wrong {
                bail!("{who}: {wrong}");
            }
        }
        Ok(())
    }

    /// Whether head office has heard the hello of the connection that a site has.
    fn note_hello(&mut self, word: &Spoken) {
        let Some(site) = self.sites.iter_mut().find(|site| *site.id() == word.site) else { return };
        if let Ok((_, UpMessage::Hello(hello))) = UpMessage::decode(&word.bytes) {
            site.connection.1 |= site.is_up && hello.connection_epoch == site.connection.0;
        }
    }

    /// Head office hears this.
    async fn hear(&mut self, spoken: Vec<Spoken>) {
        for word in &spoken {
            self.note_hello(word);
            self.played.digest((word.site.as_str(), &word.bytes, word.is_light));
            self.tell(word.site.as_str(), || {
                let light = if word.is_light { " lightly" } else { "" };
                format!("> {:?}{light}", UpMessage::decode(&word.bytes))
            });
        }
        self.played.messages += u64::try_from(spoken.len()).unwrap_or(0);
        if !spoken.is_empty() {
            self.office.hear(spoken).await;
        }
        self.post();
    }

    /// A site hears this.
    async fn say(&mut self, at: usize, word: Word) {
        let Some(site) = self.sites.get_mut(at) else { return };
        let who = site.id().to_string();
        let told = word.clone();
        site.hear(word).await;
        self.played.messages += 1;
        self.played.digest((&told.topic, &told.bytes));
        self.tell(&who, || format!("< {:?}", DownMessage::decode(&told.bytes)));
    }

    /// What failed, and what went before: all that has to do with the site that it names, or else the last steps.
    fn with_trail(&self, error: &anyhow::Error) -> anyhow::Error {
        let why = format!("{error:#}");
        let named = self.sites.iter().find(|site| why.contains(site.id().as_str()));
        let is_told = |step: &&String| {
            named.is_none_or(|site| step.contains(site.id().as_str()) || step.ends_with(EVERYBODY))
        };
        let steps: Vec<_> = self.trail.iter().filter(is_told).collect();
        let told = steps.iter().skip(steps.len().saturating_sub(TOLD));
        let told = told.map(|step| format!("\n  {step}")).collect::<String>();
        anyhow!("{why}; before it:{told}")
    }

    /// Time passes for everybody, whatever their clocks show.
    async fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.passed += time;
        for site in &self.sites {
            site.clock.advance(time);
        }
        tokio::time::advance(time).await;
        for site in &mut self.sites {
            site.wait(time).await;
        }
    }

    /// What head office said goes on its way; to whoever has no line it is lost.
    fn post(&mut self) {
        for word in self.office.said() {
            let Some((site, _)) = parse_down(&word.topic) else { continue };
            let reached = self.sites.iter_mut().find(|one| one.id() == &site);
            if let Some(reached) = reached.filter(|one| one.is_up && !one.is_stuck) {
                reached.down.push_back(word);
            }
        }
    }
}
