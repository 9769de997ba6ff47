//! How each short code does: what Safaricom last told, asked or refused, out of what is kept anyway.
//!
//! ```text
//!   what is kept (store) ──▶ Facts ──▶ judgement ──▶ checks: how it stands, in words, and what to do ──▶ page, API
//! ```
//! Nothing here asks Safaricom anything: that is `doctor`, whose last findings are shown with the rest. What nobody knows
//! yet is said so, and is neither good nor bad.

pub(crate) mod api;
pub mod judgement;
pub mod own_faults;
pub(crate) mod pages;
pub(in crate::mpesa) mod store;
mod unheard;

use std::time::Duration;

use tawi_shared::UnixMillis;

use self::own_faults::OwnFaults;
use super::client::Daraja;
use super::operator::OperatorRequest;
use super::short_codes::ShortCodes;
use super::token::TokenStanding;
use crate::closing::ToldBy;
use crate::database::Connection;
use crate::money::Money;

/// How far back prompts are counted.
pub const PROMPTS_OF: Duration = Duration::from_secs(24 * 3_600);
/// How far back payments are looked at of which Pull alone told: as far as Pull reaches.
const PULLED_WITHIN: Duration = Duration::from_secs(48 * 3_600);
/// Of which days it is asked whether anything told of them: two months, which the portal still exports.
const UNHEARD_OF: Duration = Duration::from_secs(61 * 86_400);

/// Which of Safaricom's worlds it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Real money.
    Production,
    /// Safaricom's playground.
    Sandbox,
    /// Neither: a simulator, or a gateway before Safaricom.
    Elsewhere,
}

impl Environment {
    fn of(base_url: &str) -> Self {
        match base_url {
            "https://api.safaricom.co.ke" => Self::Production,
            "https://sandbox.safaricom.co.ke" => Self::Sandbox,
            _ => Self::Elsewhere,
        }
    }

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// How a sweep of Pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepOutcome {
    /// Everything in its span was told and taken in.
    Whole,
    /// It was told and not all of it is understood or could be asked for.
    Part,
    /// Pull said that there is nothing, although something else told of payments.
    Silent,
    /// It did not get through.
    Failed,
}

impl SweepOutcome {
    const ALL: [Self; 4] = [Self::Whole, Self::Part, Self::Silent, Self::Failed];

    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Silent => "silent",
            Self::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// The last sweep of Pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSweep {
    /// When.
    pub at: UnixMillis,
    /// How it ended.
    pub outcome: SweepOutcome,
    /// Payments that it told of.
    pub told: u64,
    /// How many of them nothing had told of before.
    pub booked: u64,
    /// Why it failed; empty where it did not.
    pub detail: String,
    /// Sweeps that ended so, one after the other.
    pub streak: u64,
    /// Since when they do.
    pub since: UnixMillis,
    /// When one was last whole.
    pub whole_at: Option<UnixMillis>,
}

/// Prompts of a day by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    /// Paid, with a receipt.
    pub paid: u64,
    /// The customer cancelled.
    pub cancelled: u64,
    /// Nobody answered, or the time was up.
    pub unanswered: u64,
    /// M-Pesa or the phone refused: too little money, a wrong PIN, a limit.
    pub refused: u64,
    /// Refused for what the owner can cure: the short code is full, or set up wrongly.
    pub own_fault: u64,
    /// What became of them is not known, or their receipt is missing.
    pub unknown: u64,
    /// On the phone now, or on their way there.
    pub open: u64,
}

impl Prompts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { paid, cancelled, unanswered, refused, own_fault, unknown, open } = self;
        [paid, cancelled, unanswered, refused, own_fault, unknown, open]
            .into_iter()
            .fold(0, |total, part| total.saturating_add(*part))
    }
}

/// Something that waits: how much of it, and since when the oldest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub count: u64,
    /// Since when the oldest does.
    pub oldest: Option<UnixMillis>,
}

/// What Safaricom was told of the address for news of payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// When Safaricom took it; `None` while it has not.
    pub at: Option<UnixMillis>,
    /// Whether it begins as the settings have it now.
    pub is_here: bool,
}

/// What the newest statement told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementTold {
    /// Everything up to then, by M-Pesa's clock.
    pub until: UnixMillis,
    /// What the short code had then, where the statement says so.
    pub closing: Option<Money>,
}

/// One step of the doctor's last look.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DoctorStep {
    /// What was looked at.
    pub step: String,
    /// `OK`, `SKIPPED`, `DOUBT` or `BAD`.
    pub verdict: String,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing.
    pub cure: String,
}

/// What the doctor said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorSaid {
    /// When.
    pub at: UnixMillis,
    /// Each step.
    pub steps: Vec<DoctorStep>,
}

/// Everything that is known of a short code.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which.
    pub short_code: String,
    /// The till's own number, where it is the head office of one.
    pub till_number: Option<String>,
    /// Which of Safaricom's worlds it is in.
    pub environment: Environment,
    /// How its access token stands.
    pub token: TokenStanding,
    /// The address for news of payments; `None` where Safaricom was never told one.
    pub registration: Option<Registration>,
    /// When a payment was last confirmed.
    pub confirmation_at: Option<UnixMillis>,
    /// When a prompt was last called back, of the newest prompts of a week.
    pub callback_at: Option<UnixMillis>,
    /// How often missed payments are fetched; `None` where they are not.
    pub pull_every: Option<Duration>,
    /// The last sweep of Pull.
    pub sweep: Option<LastSweep>,
    /// Between which instants nothing told of what was paid, and Pull will not any more.
    pub unheard: Option<(UnixMillis, UnixMillis)>,
    /// The newest statement.
    pub statement: Option<StatementTold>,
    /// Prompts of the last day.
    pub prompts: Prompts,
    /// Since when the oldest of those that are open is.
    pub oldest_open: Option<UnixMillis>,
    /// Those of them that were refused for what the owner can cure.
    pub own_faults: Option<OwnFaults>,
    /// Payments of which Pull alone told, although a callback or a confirmation should have, since the newest of these.
    pub pulled_alone: Waiting,
    /// Payments that are nobody's.
    pub suspense: Waiting,
    /// Whether there is an API operator who could be asked for the balance.
    pub has_operator: bool,
    /// The last balance that M-Pesa told.
    pub balance: Option<OperatorRequest>,
    /// What the doctor said last.
    pub doctor: Option<DoctorSaid>,
}

/// All short codes, and what has to do with none of them alone.
#[derive(Clone, Debug)]
pub struct Health {
    /// In the order of the settings.
    pub short_codes: Vec<Facts>,
    /// Callbacks that are stored and not taken in.
    pub intake: Waiting,
}

/// Reads it all.
///
/// # Errors
/// When the database refuses.
pub async fn read(
    connection: &mut Connection,
    short_codes: Option<&ShortCodes>,
    now: UnixMillis,
) -> Result<Health, sqlx::Error> {
    let mut facts = Vec::new();
    for daraja in short_codes.into_iter().flat_map(ShortCodes::all) {
        facts.push(facts_of(connection, daraja, now).await?);
    }
    Ok(Health { short_codes: facts, intake: store::untaken(connection).await? })
}

async fn facts_of(
    connection: &mut Connection,
    daraja: &Daraja,
    now: UnixMillis,
) -> Result<Facts, sqlx::Error> {
    let settings = daraja.settings();
    let short_code = settings.short_code();
    let told = store::prompts_since(connection, short_code, now.minus(PROMPTS_OF)).await?;
    let registration = store::registration(connection, short_code, &settings.callback_base_url).await?;
    let confirmation_at = store::confirmation_at(connection, short_code).await?;
    let callback_at = store::callback_at(connection, short_code, now).await?;
    let since = confirmation_at.max(callback_at).unwrap_or(UnixMillis(0)).max(now.minus(PULLED_WITHIN));
    let is_registered = registration.as_ref().is_some_and(|told| told.at.is_some());
    Ok(Facts {
        short_code: short_code.to_owned(),
        till_number: settings.till_number().map(str::to_owned),
        environment: Environment::of(&settings.base_url),
        token: daraja.token_standing(connection).await?,
        registration,
        confirmation_at,
        callback_at,
        pulled_alone: store::pulled_alone(connection, short_code, since, is_registered).await?,
        pull_every: settings.pull().map(|pull| pull.every),
        sweep: store::sweep(connection, short_code).await?,
        unheard: unheard(connection, short_code, now).await?,
        statement: store::statement(connection, short_code).await?,
        prompts: told.prompts,
        oldest_open: told.oldest_open,
        own_faults: told.own_faults,
        suspense: store::suspense(connection, short_code).await?,
        has_operator: settings.operator().is_some(),
        balance: super::operator::store::last_balance(connection, short_code).await?,
        doctor: store::doctor(connection, short_code).await?,
    })
}

async fn unheard(
    connection: &mut Connection,
    short_code: &str,
    now: UnixMillis,
) -> Result<Option<(UnixMillis, UnixMillis)>, sqlx::Error> {
    let since = now.minus(UNHEARD_OF);
    let pull = store::told_since(connection, (ToldBy::Pull, short_code), since).await?;
    if pull.len() < 2 {
        return Ok(None);
    }
    let statements = store::told_since(connection, (ToldBy::Statement, short_code), since).await?;
    Ok(unheard::newest(&pull, &statements))
}

/// Keeps what the doctor said of a short code, in place of what it said before.
///
/// # Errors
/// When the database refuses.
pub async fn keep_doctor(
    connection: &mut Connection,
    short_code: &str,
    findings: &[super::doctor::Finding],
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let steps: Vec<DoctorStep> = findings
        .iter()
        .map(|finding| DoctorStep {
            step: finding.step.to_owned(),
            verdict: finding.verdict.word().to_owned(),
            found: finding.found.clone(),
            cure: finding.cure.clone(),
        })
        .collect();
    store::keep_doctor(connection, short_code, &steps, now).await
}
