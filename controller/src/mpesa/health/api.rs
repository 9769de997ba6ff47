//! How short codes do, for programs: the same facts and judgements as on the page.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use utoipa::ToSchema;

use super::judgement::{self, Check};
use super::{Facts, Prompts, Waiting};
use crate::money::Money;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::api::{ApiError, Caller, Problem, Route, at_ms, reader};

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthCheckBody {
    /// What.
    pub what: String,
    /// `good`, `unknown` (not known yet, or not used), `doubt` or `bad`.
    pub standing: String,
    /// What is known of it.
    pub said: String,
    /// What to do; empty where there is nothing.
    pub cure: String,
}

/// Something that waits.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthWaitingBody {
    /// How many.
    pub count: u64,
    /// Since when the oldest does; null where none waits.
    pub oldest_at_ms: Option<i64>,
}

/// Prompts by what became of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthPromptsBody {
    /// Paid, with a receipt.
    pub paid: u64,
    /// The customer cancelled.
    pub cancelled: u64,
    /// Nobody answered, or the time was up.
    pub unanswered: u64,
    /// M-Pesa or the phone refused.
    pub refused: u64,
    /// Refused for what the owner can cure: the short code is full, or set up wrongly.
    pub own_fault: u64,
    /// How they ended is not known, or their receipt is missing.
    pub unknown: u64,
    /// On the phone now, or on their way there.
    pub open: u64,
}

/// The last sweep of Pull.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthSweepBody {
    /// When.
    pub at_ms: i64,
    /// `whole`, `part`, `silent` (1001, although other sources told of payments) or `failed`.
    pub outcome: String,
    /// Payments that it told of.
    pub told: u64,
    /// How many of them nothing had told of before.
    pub booked: u64,
    /// Why it failed; empty where it did not.
    pub detail: String,
    /// Sweeps that ended so, one after the other.
    pub streak: u64,
    /// Since when they do.
    pub since_at_ms: i64,
    /// When one was last whole; null for never.
    pub whole_at_ms: Option<i64>,
}

/// One account of a short code.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthAccountBody {
    /// Its name, as Safaricom writes it.
    pub name: String,
    /// Its currency.
    pub currency: String,
    /// What lies on it; null where the figure is not understood.
    pub current_cents: Option<i64>,
}

/// The last balance that M-Pesa told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthBalanceBody {
    /// When M-Pesa told it.
    pub at_ms: i64,
    /// Its accounts.
    pub accounts: Vec<HealthAccountBody>,
}

/// One step of the doctor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthDoctorStepBody {
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
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthDoctorBody {
    /// When.
    pub at_ms: i64,
    /// Each step.
    pub steps: Vec<HealthDoctorStepBody>,
}

/// How a short code does. Null, throughout: not known yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShortCodeHealthBody {
    /// Which.
    pub short_code: String,
    /// The till's own number, where it is the head office of one.
    pub till_number: Option<String>,
    /// `production`, `sandbox` or `elsewhere`.
    pub environment: String,
    /// How the worst of it stands: `good`, `unknown`, `doubt` or `bad`.
    pub standing: String,
    /// What was looked at, each with its cure.
    pub checks: Vec<HealthCheckBody>,
    /// When a payment by Paybill or to the till was last confirmed.
    pub confirmation_at_ms: Option<i64>,
    /// When a prompt of the last week was last called back.
    pub callback_at_ms: Option<i64>,
    /// When Safaricom took the address for news of payments.
    pub registered_at_ms: Option<i64>,
    /// The last sweep of Pull.
    pub pull: Option<HealthSweepBody>,
    /// Up to when the newest statement told of everything.
    pub statement_until_at_ms: Option<i64>,
    /// What lay on the short code then, by that statement, in cents of KES.
    pub statement_closing_cents: Option<i64>,
    /// Prompts of the last 24 hours.
    pub prompts: HealthPromptsBody,
    /// Since when the oldest open one is.
    pub oldest_open_at_ms: Option<i64>,
    /// Payments that are nobody's.
    pub nobodys: HealthWaitingBody,
    /// The last balance that M-Pesa told.
    pub balance: Option<HealthBalanceBody>,
    /// What `mpesa doctor` said last.
    pub doctor: Option<HealthDoctorBody>,
}

/// How all short codes do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthList {
    /// In the order of the settings; empty while M-Pesa is not set up.
    pub short_codes: Vec<ShortCodeHealthBody>,
    /// Callbacks that are stored and not in the books yet, of all short codes.
    pub intake: HealthCheckBody,
    /// How many, and since when.
    pub intake_waiting: HealthWaitingBody,
}

impl From<&Check> for HealthCheckBody {
    fn from(check: &Check) -> Self {
        Self {
            what: check.what.to_owned(),
            standing: check.standing.as_str().to_owned(),
            said: check.said.clone(),
            cure: check.cure.to_owned(),
        }
    }
}

impl From<Waiting> for HealthWaitingBody {
    fn from(waiting: Waiting) -> Self {
        Self { count: waiting.count, oldest_at_ms: waiting.oldest.map(at_ms) }
    }
}

impl From<Prompts> for HealthPromptsBody {
    fn from(prompts: Prompts) -> Self {
        let Prompts { paid, cancelled, unanswered, refused, own_fault, unknown, open } = prompts;
        Self { paid, cancelled, unanswered, refused, own_fault, unknown, open }
    }
}

impl ShortCodeHealthBody {
    fn of(facts: &Facts, now: UnixMillis) -> Self {
        let checks = judgement::judge(facts, now);
        let balance = facts.balance.as_ref().and_then(|asked| {
            let account = |account: &crate::mpesa::operator::Account| HealthAccountBody {
                name: account.name.clone(),
                currency: account.currency.clone(),
                current_cents: account.current.map(Money::cents),
            };
            let accounts = asked.balance()?.accounts.iter().map(account).collect();
            Some(HealthBalanceBody { at_ms: at_ms(asked.updated_at), accounts })
        });
        Self {
            short_code: facts.short_code.clone(),
            till_number: facts.till_number.clone(),
            environment: facts.environment.as_str().to_owned(),
            standing: judgement::worst(&checks).as_str().to_owned(),
            checks: checks.iter().map(HealthCheckBody::from).collect(),
            confirmation_at_ms: facts.confirmation_at.map(at_ms),
            callback_at_ms: facts.callback_at.map(at_ms),
            registered_at_ms: facts.registration.as_ref().and_then(|told| told.at).map(at_ms),
            pull: facts.sweep.as_ref().map(|sweep| HealthSweepBody {
                at_ms: at_ms(sweep.at),
                outcome: sweep.outcome.as_str().to_owned(),
                told: sweep.told,
                booked: sweep.booked,
                detail: sweep.detail.clone(),
                streak: sweep.streak,
                since_at_ms: at_ms(sweep.since),
                whole_at_ms: sweep.whole_at.map(at_ms),
            }),
            statement_until_at_ms: facts.statement.map(|told| at_ms(told.until)),
            statement_closing_cents: facts.statement.and_then(|told| told.closing).map(Money::cents),
            prompts: facts.prompts.into(),
            oldest_open_at_ms: facts.oldest_open.map(at_ms),
            nobodys: facts.suspense.into(),
            balance,
            doctor: facts.doctor.as_ref().map(|said| HealthDoctorBody {
                at_ms: at_ms(said.at),
                steps: said
                    .steps
                    .iter()
                    .map(|step| HealthDoctorStepBody {
                        step: step.step.clone(),
                        verdict: step.verdict.clone(),
                        found: step.found.clone(),
                        cure: step.cure.clone(),
                    })
                    .collect(),
            }),
        }
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new("GET", "/api/mpesa/health", get(health))]
}

/// How each short code does: what Safaricom last told, and what is not well, with what to do about it. Asks Safaricom
/// nothing.
#[utoipa::path(
    get, path = "/api/mpesa/health", tag = "payments",
    responses(
        (status = 200, description = "All short codes of the settings", body = HealthList),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem),
    ),
)]
pub(crate) async fn health(caller: Caller, State(web): State<Web>) -> Result<Json<HealthList>, ApiError> {
    caller.require(Permission::Read)?;
    let now = web.controller.clock.now();
    let health = super::read(&mut *reader(&web).await?, web.short_codes.as_ref(), now).await?;
    Ok(Json(HealthList {
        short_codes: health.short_codes.iter().map(|facts| ShortCodeHealthBody::of(facts, now)).collect(),
        intake: HealthCheckBody::from(&judgement::intake(health.intake, now)),
        intake_waiting: health.intake.into(),
    }))
}
