//! The simulation of money: steps in any order, made from a seed, on the real controller, beside books that are kept apart.
//!
//! ```text
//!   seed ─▶ steps ─┬─▶ safaricom (what is true) ─▶ telling (true and untrue) ─▶ house (the controller) ─┐
//!                  └─▶ books (what must be booked) ─────────────────────────────────────────────────────┴─▶ checks
//! ```
//! The books are compared every so many steps. Where they differ, the same seed is played again and compared after every step,
//! so that the failure names the first step after which something does not hold. At the end everything that was lost is told
//! after all, by Pull and by a statement, and nothing may be left open. What happened is counted by kind: a kind that never
//! came would prove nothing.

mod books;
mod checks;
pub mod house;
mod kinds;
mod paid_time;
pub mod safaricom;
pub mod site;
mod staff;
mod statement;
mod steps;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use tawi_shared::{Clock, IdSource, UnixMillis};

use self::books::{Books, Standing};
use self::house::{House, START};
pub use self::house::{Template, scratch};
use self::safaricom::{Fate, Safaricom};
use self::site::Site;
use self::steps::{Mood, Step};
use self::telling::Telling;

/// Steps between two comparisons: one costs about as much as twenty steps.
const COMPARED_EVERY: u64 = 250;
/// Steps that a failure tells of, the last one last.
const TOLD: usize = 15;
/// Looks at the end, of ten minutes each: a request is given up after half an hour.
const LOOKS: u32 = 6;
/// Looks at the end, of four hours each: what became of a refund is asked four times.
const LONG_LOOKS: u32 = 8;

/// What a simulation was made of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Played {
    /// Steps.
    pub steps: u64,
    /// Receipts of M-Pesa.
    pub receipts: u64,
    /// Payments in the books, with what was brought to the counter and parts.
    pub payments: u64,
    /// Cents of time that was used with another's money.
    pub used_cents: i64,
    /// Comparisons of all books.
    pub comparisons: u64,
    /// How often what happened.
    pub kinds: BTreeMap<String, u64>,
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
            receipts: self.receipts + other.receipts,
            payments: self.payments + other.payments,
            used_cents: self.used_cents + other.used_cents,
            comparisons: self.comparisons + other.comparisons,
            kinds: self.kinds,
        }
    }

    /// What must come in every simulation that is long enough, and did not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        kinds::ALL.into_iter().filter(|kind| !self.kinds.contains_key(*kind)).collect()
    }
}

/// What staff wrote last, and what they were answered.
#[derive(Clone, Debug)]
struct Written {
    path: String,
    body: Value,
    key: String,
    answer: Value,
}

/// A simulation under way.
struct Simulation<'a> {
    template: &'a Template,
    chance: IdSource,
    clock: Clock,
    safaricom: Safaricom,
    house: Option<House>,
    books: Books,
    site: Site,
    /// What is true and on its way.
    bag: Vec<Telling>,
    /// What arrived and is not taken in, with the receipt that it told of, and when.
    arrived: Vec<(Telling, Option<usize>, UnixMillis)>,
    /// Which of the books' refunds is which of those that reached M-Pesa.
    refund_of: BTreeMap<usize, usize>,
    /// Those of M-Pesa of which it was told what became of them: told again, that says nothing new.
    ended: BTreeSet<usize>,
    last_write: Option<Written>,
    mood: Mood,
    /// Whether all that is left is the end.
    is_ending: bool,
    trail: VecDeque<String>,
    comparisons: u64,
    used_cents: i64,
    kinds: BTreeMap<&'static str, u64>,
    /// How often a person read the portal wrongly, so that our books and Safaricom's differ until its word comes.
    mistakes: u64,
}

/// Plays a seed for so many steps on a runtime of its own.
///
/// # Errors
/// When something does not hold: after which step, and what went before.
pub fn play(template: &Template, seed: u64, steps: u64) -> anyhow::Result<Played> {
    let failed_by = match attempt(template, seed, steps, COMPARED_EVERY)? {
        Ok(played) => return Ok(played),
        Err(failure) => failure,
    };
    // What failed is found out step by step; should it not fail again, the first word stands.
    let exactly = attempt(template, seed, steps.min(failed_by.step), 1)?;
    let failure = exactly.err().unwrap_or(failed_by);
    let Failure { step, error, trail } = failure;
    let trail = trail.into_iter().collect::<Vec<_>>().join("\n  ");
    anyhow::bail!("after step {step}: {error:#}\n  {trail}")
}

/// Something does not hold.
struct Failure {
    step: u64,
    error: anyhow::Error,
    trail: VecDeque<String>,
}

fn attempt(
    template: &Template,
    seed: u64,
    steps: u64,
    every: u64,
) -> anyhow::Result<Result<Played, Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(async {
        let mut simulation = Simulation::begin(template, seed).await?;
        let outcome = simulation.run(steps, every).await;
        let Simulation { house, trail, .. } = &mut simulation;
        let trail = std::mem::take(trail);
        if let Some(house) = house.take() {
            house.remove().await;
        }
        Ok(outcome.map_err(|(step, error)| Failure { step, error, trail }))
    }))
}

impl<'a> Simulation<'a> {
    async fn begin(template: &'a Template, seed: u64) -> anyhow::Result<Self> {
        let clock = Clock::manual(START);
        let safaricom = Safaricom::start(clock.clone()).await?;
        let house = template.copy(seed, clock.clone(), safaricom.address).await?;
        Ok(Self {
            template,
            chance: IdSource::seeded(seed),
            clock,
            safaricom,
            house: Some(house),
            books: Books::of(template.payers.len()),
            site: Site::of(seed),
            bag: Vec::new(),
            arrived: Vec::new(),
            refund_of: BTreeMap::new(),
            ended: BTreeSet::new(),
            last_write: None,
            mood: Mood::of(seed),
            is_ending: false,
            trail: VecDeque::new(),
            comparisons: 0,
            used_cents: 0,
            kinds: BTreeMap::new(),
            mistakes: 0,
        })
    }

    fn house(&self) -> anyhow::Result<&House> {
        self.house.as_ref().context("the controller did not come back")
    }

    /// Something happened.
    fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// A number below `limit`; 0 where there is none.
    fn below(&self, limit: u64) -> u64 {
        self.chance.number() % limit.max(1)
    }

    fn index(&self, count: usize) -> usize {
        usize::try_from(self.below(u64::try_from(count).unwrap_or(u64::MAX))).unwrap_or(0)
    }

    /// Writes as staff do, and remembers it.
    async fn write(&mut self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let key = format!("{:016x}{:016x}", self.chance.number(), self.chance.number());
        let (status, answer) = self.house()?.post_with_key(path, body, &key).await?;
        // What was refused did nothing, and may be taken the next time.
        if status < 300 {
            let (path, body) = (path.to_owned(), body.clone());
            self.last_write = Some(Written { path, body, key, answer: answer.clone() });
        }
        Ok((status, answer))
    }

    async fn run(&mut self, steps: u64, every: u64) -> Result<Played, (u64, anyhow::Error)> {
        for number in 1..=steps {
            let step = Step::of(self.chance.number(), self.mood);
            let said = self.step(step).await.with_context(|| format!("{step:?}"));
            let said = said.map_err(|error| (number, error))?;
            self.site_hears().await.map_err(|error| (number, error.context("the site")))?;
            self.tell(format!("{number}: {said}"));
            if number.is_multiple_of(every) {
                self.compare().await.map_err(|error| (number, error))?;
            }
        }
        // Before the end heals what was lost.
        self.compare().await.map_err(|error| (steps, error))?;
        self.end().await.map_err(|error| (steps, error.context("when all was told")))?;
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let mut kinds: BTreeMap<String, u64> =
            self.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        let house = self.house().map_err(|error| (steps, error))?;
        for payer in &self.template.payers {
            let booked = checks::booked_kinds(house, payer).await.map_err(|error| (steps, error))?;
            for (kind, count) in booked {
                *kinds.entry(format!("booked {kind}")).or_default() += count;
            }
        }
        Ok(Played {
            steps,
            receipts: count(self.safaricom.truth().receipts.len()),
            payments: count(self.books.units.len()),
            used_cents: self.used_cents,
            comparisons: self.comparisons,
            kinds,
        })
    }

    fn tell(&mut self, said: String) {
        self.trail.push_back(said);
        if self.trail.len() > TOLD {
            self.trail.pop_front();
        }
    }

    async fn compare(&mut self) -> anyhow::Result<()> {
        self.comparisons += 1;
        // The id of what arrived and is not taken in says nothing yet: it is in no books.
        self.used_cents =
            checks::hold(self.house()?, (&self.books, &self.site), &self.template.payers).await?;
        Ok(())
    }

    /// Everything that was lost is told after all, and whoever has to look, looks.
    async fn end(&mut self) -> anyhow::Result<()> {
        self.is_ending = true;
        for telling in std::mem::take(&mut self.bag) {
            self.arrive(telling).await?;
        }
        self.take_in().await?;
        self.site_hears().await?;
        for prompt in &mut self.safaricom.truth().prompts {
            if prompt.fate == Fate::Open {
                prompt.fate = Fate::Ended("1037");
            }
        }
        for look in 0..LOOKS + LONG_LOOKS {
            let minutes = if look < LOOKS { 10 } else { 4 * 60 };
            self.clock.advance(Duration::from_secs(minutes * 60));
            self.house()?.turns.ask().await?;
            self.sweep().await?;
            self.send_refunds().await?;
            for telling in std::mem::take(&mut self.bag) {
                self.arrive(telling).await?;
            }
            self.take_in().await?;
            self.house()?.turns.do_jobs().await?;
            self.site_hears().await?;
        }
        self.compare().await.context("when Pull had told of all that it has")?;
        self.statement().await?;
        self.compare().await.context("when the statement had told of everything")?;
        self.look_up_refunds().await?;
        self.look_at_everything().await?;
        self.compare().await.context("when people had looked")?;
        let truth = self.safaricom.truth().clone();
        if self.mistakes == 0 {
            let (ours, theirs) = (self.books.totals().clearing, truth.holds());
            anyhow::ensure!(
                ours == theirs,
                "we say that Safaricom holds {ours} cents, and it holds {theirs}"
            );
        }
        checks::end(self.house()?, (&self.books, &self.refund_of), &self.template.payers, &truth).await
    }

    /// A person looks up in the portal what became of the refunds of which nobody knows it, and says so.
    async fn look_up_refunds(&mut self) -> anyhow::Result<()> {
        for number in 0..self.books.refunds.len() {
            let Some(refund) = self.books.refunds.get(number).filter(|one| one.standing == Standing::Held)
            else {
                continue;
            };
            let path = format!("/api/refunds/{}", refund.id);
            let stands = self.house()?.get(&path).await?;
            let needs_person = stands.get("needs_person").and_then(Value::as_bool).unwrap_or(false);
            anyhow::ensure!(needs_person, "nobody looks at a refund that hangs: {stands}");
            let went_through = self.went(number);
            let word = if went_through { "went-through" } else { "did-not" };
            let read = self.read_in_portal(number, word);
            let (status, answer) = self.write(&format!("{path}/{word}"), &read).await?;
            anyhow::ensure!(status < 300, "{word} was answered {status}: {answer}");
            self.books.refund_ended(number, went_through);
            self.count("refunds looked up");
        }
        Ok(())
    }

    /// A person looks at everything that waits for one.
    async fn look_at_everything(&mut self) -> anyhow::Result<()> {
        loop {
            let list = self.house()?.get("/api/payments/review").await?;
            let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut looked_at = 0;
            for item in &items {
                let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
                let path = format!("/api/payments/review/{}/{}/looked-at", text("kind"), text("id"));
                let (status, _) = self.write(&path, &json!({})).await?;
                looked_at += u32::from(status < 300);
            }
            if looked_at == 0 {
                return Ok(());
            }
        }
    }
}

/// A directory with a controller to begin from.
///
/// # Errors
/// When it cannot be made.
pub fn template() -> anyhow::Result<Template> {
    let directory: PathBuf = scratch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Template::make(&directory))
}
