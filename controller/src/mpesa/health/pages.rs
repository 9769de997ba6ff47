//! How short codes do, as a page: a card for each, what is not well first, and a picture of the day's prompts.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tawi_shared::UnixMillis;

use super::judgement::{self, Check, Standing};
use super::{DoctorStep, Facts, Prompts};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::visit::{Frame, Section, Visit};

/// Units of the picture's width.
const WIDTH: u64 = 1_000;

#[derive(Template)]
#[template(path = "mpesa/health.html")]
struct HealthPage {
    frame: Frame,
    intake: CheckView,
    codes: Vec<CodeView>,
    may_import: bool,
}

struct CheckView {
    badge: Badge,
    what: &'static str,
    said: String,
    cure: &'static str,
}

struct CodeView {
    short_code: String,
    till: String,
    environment: &'static str,
    badge: Badge,
    checks: Vec<CheckView>,
    confirmation: Option<Moment>,
    callback: Option<Moment>,
    pull: Option<Moment>,
    pull_whole: Option<Moment>,
    statement: Option<Moment>,
    registered: Option<Moment>,
    prompts: u64,
    picture: Vec<PartView>,
    summary: String,
    accounts: Vec<AccountView>,
    balance_at: Option<Moment>,
    has_operator: bool,
    closing: String,
    doctor_at: Option<Moment>,
    doctor: Vec<StepView>,
}

/// A part of the bar, with its entry in the legend.
struct PartView {
    class: &'static str,
    word: &'static str,
    count: u64,
    x: u64,
    width: u64,
}

struct AccountView {
    name: String,
    current: String,
}

struct StepView {
    badge: Badge,
    step: String,
    found: String,
    cure: String,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/mpesa/health", get(health))
}

async fn health(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let now = visit.now;
    let mut reader = web.controller.database.read().await?;
    let health = super::read(&mut reader, web.short_codes.as_ref(), now).await?;
    let page = HealthPage {
        frame: visit.frame("M-Pesa", Section::Payments),
        intake: CheckView::of(&judgement::intake(health.intake, now)),
        codes: health.short_codes.iter().map(|facts| CodeView::of(facts, now)).collect(),
        may_import: visit.may(Permission::ImportStatement),
    };
    visit.show(&page)
}

impl CheckView {
    fn of(check: &Check) -> Self {
        let badge = match check.standing {
            Standing::Good => Badge::good("well"),
            Standing::Unknown => Badge::idle("not known yet"),
            Standing::Doubt => Badge::warn("look at it"),
            Standing::Bad => Badge::bad("not well"),
        };
        Self { badge, what: check.what, said: check.said.clone(), cure: check.cure }
    }
}

impl CodeView {
    fn of(facts: &Facts, now: UnixMillis) -> Self {
        let mut checks = judgement::judge(facts, now);
        let badge = match judgement::worst(&checks) {
            Standing::Good => Badge::good("all well"),
            Standing::Unknown => Badge::idle("not known yet"),
            Standing::Doubt => Badge::warn("look at it"),
            Standing::Bad => Badge::bad("not well"),
        };
        // What somebody has to do comes first; the order within stays.
        checks.sort_by_key(|check| std::cmp::Reverse(check.standing));
        let balance = facts.balance.as_ref().and_then(|asked| Some((asked.updated_at, asked.balance()?)));
        let account = |account: &crate::mpesa::operator::Account| AccountView {
            name: account.name.clone(),
            current: account.current.map_or_else(
                || "not understood".to_owned(),
                |current| format!("{} {current}", account.currency),
            ),
        };
        let moment = |at: Option<UnixMillis>| Moment::maybe(at, now);
        Self {
            short_code: facts.short_code.clone(),
            till: facts.till_number.clone().unwrap_or_default(),
            environment: facts.environment.as_str(),
            badge,
            checks: checks.iter().map(CheckView::of).collect(),
            confirmation: moment(facts.confirmation_at),
            callback: moment(facts.callback_at),
            pull: moment(facts.sweep.as_ref().map(|sweep| sweep.at)),
            pull_whole: moment(facts.sweep.as_ref().and_then(|sweep| sweep.whole_at)),
            statement: moment(facts.statement.map(|told| told.until)),
            registered: moment(facts.registration.as_ref().and_then(|told| told.at)),
            prompts: facts.prompts.total(),
            picture: picture(facts.prompts),
            summary: summary(facts.prompts),
            accounts: balance
                .as_ref()
                .map(|(_, balance)| balance.accounts.iter().map(account).collect())
                .unwrap_or_default(),
            balance_at: moment(balance.map(|(at, _)| at)),
            has_operator: facts.has_operator,
            closing: facts.statement.and_then(|told| told.closing).map(display::kes).unwrap_or_default(),
            doctor_at: moment(facts.doctor.as_ref().map(|said| said.at)),
            doctor: facts.doctor.iter().flat_map(|said| &said.steps).map(StepView::of).collect(),
        }
    }
}

impl StepView {
    fn of(step: &DoctorStep) -> Self {
        let badge = match step.verdict.as_str() {
            "OK" => Badge::good("well"),
            "DOUBT" => Badge::warn("in doubt"),
            "BAD" => Badge::bad("bad"),
            _ => Badge::idle("not looked at"),
        };
        Self { badge, step: step.step.clone(), found: step.found.clone(), cure: step.cure.clone() }
    }
}

fn named(prompts: Prompts) -> [(&'static str, &'static str, u64); 7] {
    let Prompts { paid, cancelled, unanswered, refused, own_fault, unknown, open } = prompts;
    [
        ("paid", "paid", paid),
        ("cancelled", "cancelled", cancelled),
        ("unanswered", "not answered", unanswered),
        ("refused", "refused", refused),
        ("own-fault", "refused for what the owner can cure", own_fault),
        ("unknown", "not known", unknown),
        ("open", "on the phone", open),
    ]
}

/// One bar; each part that there is can be seen.
fn picture(prompts: Prompts) -> Vec<PartView> {
    let total = prompts.total();
    let mut x = 0_u64;
    let part = |(class, word, count): (&'static str, &'static str, u64)| {
        let width = count.saturating_mul(WIDTH).checked_div(total).unwrap_or(0);
        let width = if count > 0 { width.max(4) } else { 0 };
        let part = PartView { class, word, count, x, width };
        x = x.saturating_add(width);
        part
    };
    named(prompts).into_iter().map(part).collect()
}

fn summary(prompts: Prompts) -> String {
    let parts = named(prompts).into_iter().filter(|(_, _, count)| *count > 0);
    let words: Vec<String> = parts.map(|(_, word, count)| format!("{count} {word}")).collect();
    if words.is_empty() { "No prompt in 24 hours.".to_owned() } else { format!("{}.", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_picture_that_there_is_can_be_seen_and_has_its_word() {
        let prompts = Prompts { paid: 9_999, unknown: 1, ..Prompts::default() };
        let widths: Vec<(u64, u64)> = picture(prompts).iter().map(|part| (part.x, part.width)).collect();
        assert_eq!(widths, [(0, 999), (999, 0), (999, 0), (999, 0), (999, 0), (999, 4), (1_003, 0)]);
        assert_eq!(summary(prompts), "9999 paid, 1 not known.");
        assert!(picture(Prompts::default()).iter().all(|part| part.width == 0));
        assert_eq!(summary(Prompts::default()), "No prompt in 24 hours.");
    }
}
