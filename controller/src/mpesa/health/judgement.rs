//! How a short code stands, in words, and what cures what is not well. Pure.
//!
//! Colour never says more than the words. What nobody knows yet is `Unknown`: it may be well, and it is not said to be.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::{Environment, Facts, Health, Prompts, SweepOutcome, Waiting, own_faults};
use crate::mpesa::nairobi;
use crate::mpesa::token::TokenStanding;
use crate::web::display::{counted, span};

/// A request that is open for longer was forgotten: prompts end after half an hour.
const OPEN_MOST: Duration = Duration::from_secs(40 * 60);
/// Callbacks are taken in within milliseconds; those that wait for longer failed, and are tried again every minute.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(60);
/// A sweep comes every five minutes unless the settings say otherwise; where they name longer, one may be left out.
const SWEPT_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Payments that are nobody's are dealt with on the next working day.
const NOBODYS_MOST: Duration = Duration::from_secs(24 * 3_600);
/// A statement a week closes the days behind it.
const STATEMENT_WITHIN: Duration = Duration::from_secs(8 * 86_400);
/// Of fewer payments of which Pull alone told nothing follows.
const PULLED_THAT_TELL: u64 = 5;
/// After an outage of ours Pull tells of all that was missed before the first callback comes.
const CALLED_BACK_WITHIN: Duration = Duration::from_secs(15 * 60);
/// What the owner can cure and came within this time is so now.
const STILL_SO: Duration = Duration::from_secs(3_600);
/// Of fewer prompts nothing follows.
const PROMPTS_THAT_TELL: u64 = 5;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As it has to be.
    Good,
    /// Not known yet, or not used.
    Unknown,
    /// Somebody should look at it soon.
    Doubt,
    /// It does not work.
    Bad,
}

impl Standing {
    /// The word in the API and on the page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Doubt => "doubt",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What is known of it, in a sentence without a full stop.
    pub said: String,
    /// What to do; empty where there is nothing.
    pub cure: &'static str,
}

impl Check {
    fn new(what: &'static str, standing: Standing, said: impl Into<String>, cure: &'static str) -> Self {
        Self { what, standing, said: said.into(), cure }
    }

    fn good(what: &'static str, said: impl Into<String>) -> Self {
        Self::new(what, Standing::Good, said, "")
    }
}

/// Looks at everything.
#[must_use]
pub fn judge(facts: &Facts, now: UnixMillis) -> Vec<Check> {
    vec![
        environment(facts.environment),
        token(&facts.token, now),
        registration(facts),
        reaching(facts, now),
        pull(facts, now),
        prompts(facts, now),
        own_fault(facts, now),
        suspense(facts.suspense, now),
        statement(facts, now),
        doctor(facts, now),
    ]
}

/// How the worst of it stands.
#[must_use]
pub fn worst(checks: &[Check]) -> Standing {
    let known = checks.iter().map(|check| check.standing).filter(|standing| *standing != Standing::Unknown);
    known.max().unwrap_or(Standing::Unknown)
}

/// What does not work of all short codes, each in a sentence without a full stop.
#[must_use]
pub fn alarms(health: &Health, now: UnixMillis) -> Vec<String> {
    let is_bad = |check: &Check| check.standing == Standing::Bad;
    let of = |facts: &Facts| {
        let checks = judge(facts, now).into_iter().filter(is_bad);
        checks
            .map(|check| format!("{}, {}: {}", facts.short_code, check.what, check.said))
            .collect::<Vec<String>>()
    };
    let intake = Some(intake(health.intake, now)).filter(is_bad);
    let intake = intake.map(|check| format!("{}: {}", check.what, check.said));
    intake.into_iter().chain(health.short_codes.iter().flat_map(of)).collect()
}

/// Callbacks on their way into the books, of all short codes.
#[must_use]
pub fn intake(waiting: Waiting, now: UnixMillis) -> Check {
    let what = "callbacks on their way into the books";
    let Some(oldest) = waiting.oldest else { return Check::good(what, "none waits") };
    let age = now.since(oldest);
    let said = format!("{}, the oldest for {}", counted(waiting.count, "callback"), span(age));
    if age > TAKEN_IN_WITHIN {
        return Check::new(
            what,
            Standing::Bad,
            said,
            "the controller's log says why they cannot be taken in; none is lost, and each is tried again every minute",
        );
    }
    Check::good(what, said)
}

fn environment(environment: Environment) -> Check {
    let what = "environment";
    match environment {
        Environment::Production => Check::good(what, "production: real money"),
        Environment::Sandbox => Check::new(
            what,
            Standing::Doubt,
            "Safaricom's sandbox: no money of customers moves",
            "for real payments set base_url to https://api.safaricom.co.ke, with the keys of the production app",
        ),
        Environment::Elsewhere => Check::new(
            what,
            Standing::Doubt,
            "neither Safaricom's production nor its sandbox: a simulator, or a gateway before it",
            "for real payments set base_url to https://api.safaricom.co.ke",
        ),
    }
}

fn token(token: &TokenStanding, now: UnixMillis) -> Check {
    let what = "access token";
    match token {
        TokenStanding::Held { fetched_at, good_until } => {
            let left = span(good_until.since(now));
            let age =
                fetched_at.map(|at| format!("fetched {} ago, ", span(now.since(at)))).unwrap_or_default();
            Check::good(what, format!("{age}good for {left} more"))
        }
        TokenStanding::IsComing => Check::new(what, Standing::Unknown, "one is being fetched", ""),
        TokenStanding::None => Check::new(
            what,
            Standing::Unknown,
            "none is held now: one is fetched when something is asked",
            "",
        ),
        TokenStanding::Refused(reason) => Check::new(
            what,
            Standing::Bad,
            format!(
                "M-Pesa gives none: {}",
                [&reason.code, &reason.description].map(String::as_str).join(" ").trim()
            ),
            "copy consumer_key and the consumer secret anew from the app in the Daraja portal; tawi-controller mpesa doctor \
             tells the network from the keys",
        ),
    }
}

fn registration(facts: &Facts) -> Check {
    let what = "address for payments by Paybill and till";
    let cure = "run tawi-controller mpesa register-urls";
    match &facts.registration {
        Some(registration) if registration.at.is_some() && registration.is_here => {
            Check::good(what, "Safaricom has it, and it is this controller's")
        }
        Some(registration) if registration.at.is_some() => Check::new(
            what,
            Standing::Bad,
            "Safaricom was told another address than callback_base_url is now: payments are reported there",
            "delete the addresses under \"URL management\" in Safaricom's portal, then run tawi-controller mpesa register-urls",
        ),
        Some(_) | None if facts.confirmation_at.is_some() => Check::new(
            what,
            Standing::Doubt,
            "confirmations come, and that Safaricom took the address is not noted",
            cure,
        ),
        Some(_) | None if facts.pull_every.is_some() => Check::new(
            what,
            Standing::Doubt,
            "Safaricom was told none: payments by Paybill are heard of by Pull alone, minutes later",
            cure,
        ),
        Some(_) | None => Check::new(
            what,
            Standing::Bad,
            "Safaricom was told none, and Pull is off: payments by Paybill are not heard of",
            cure,
        ),
    }
}

/// Whether what Safaricom reports by itself reaches this controller: Pull books the money all the same, minutes later, so that
/// nobody would notice.
fn reaching(facts: &Facts, now: UnixMillis) -> Check {
    let what = "callbacks and confirmations";
    let newest = facts.callback_at.max(facts.confirmation_at);
    let alone = facts.pulled_alone;
    if alone.count >= PULLED_THAT_TELL {
        let is_long = alone.oldest.is_some_and(|oldest| now.since(oldest) >= CALLED_BACK_WITHIN);
        let since = newest.map_or_else(
            || "none came yet".to_owned(),
            |newest| format!("the newest came {} ago", span(now.since(newest))),
        );
        return Check::new(
            what,
            if is_long { Standing::Bad } else { Standing::Doubt },
            format!("{since}, and Pull alone told of {} since", counted(alone.count, "payment")),
            "they do not reach this controller: look from outside whether callback_base_url answers and its certificate is good, \
             and whether known_sources turns Safaricom away, which tawi-controller mpesa doctor tells; then run tawi-controller \
             mpesa register-urls",
        );
    }
    match newest {
        Some(newest) => Check::good(what, format!("the newest came {} ago", span(now.since(newest)))),
        None => Check::new(what, Standing::Unknown, "none came yet", ""),
    }
}

fn own_fault(facts: &Facts, now: UnixMillis) -> Check {
    let what = "prompts refused for what the owner can cure";
    let Some(faults) = facts.own_faults else { return Check::good(what, "none in 24 hours") };
    let age = now.since(faults.newest);
    let (count, said) = (counted(faults.count, "prompt"), faults.fault.said);
    let standing = if age < STILL_SO { Standing::Bad } else { Standing::Doubt };
    let said = format!("{count} in 24 hours, the last {} ago: {said}", span(age));
    Check::new(what, standing, said, faults.fault.cure)
}

fn pull(facts: &Facts, now: UnixMillis) -> Check {
    let what = "Pull, which fetches what was missed";
    let Some(every) = facts.pull_every else {
        return Check::new(
            what,
            Standing::Doubt,
            "off: what Safaricom reports while this controller is down is not heard of",
            "set pull = true and pull_nominated_number in [mpesa]",
        );
    };
    let Some(sweep) = &facts.sweep else {
        return Check::new(what, Standing::Unknown, "not known yet: no sweep has ended", "");
    };
    let ago = span(now.since(sweep.at));
    let since = span(now.since(sweep.since));
    if let (SweepOutcome::Whole, Some((from, until))) = (sweep.outcome, facts.unheard) {
        let minute = |at| nairobi::written(at, "%Y-%m-%d %H:%M");
        return Check::new(
            what,
            Standing::Bad,
            format!(
                "nothing told of what was paid from {from} to {until}, which Pull no longer knows: import the statement for \
                 {from} to {until}",
                from = minute(from),
                until = minute(until)
            ),
            "export it as CSV in Safaricom's portal, for whole days; then tawi-controller mpesa import-statement, or the page \
             of payments",
        );
    }
    match sweep.outcome {
        _ if now.since(sweep.at) > SWEPT_WITHIN.max(every.saturating_mul(2)) => Check::new(
            what,
            Standing::Bad,
            format!("the last sweep was {ago} ago"),
            "look whether the controller serves, and what its log says",
        ),
        SweepOutcome::Whole if sweep.told == 0 => {
            Check::good(what, format!("swept {ago} ago: no payment (1001), and nothing else told of one"))
        }
        SweepOutcome::Whole => Check::good(
            what,
            format!(
                "swept {ago} ago: {}, of which {} nothing had told of",
                counted(sweep.told, "payment"),
                sweep.booked
            ),
        ),
        SweepOutcome::Part => Check::new(
            what,
            Standing::Doubt,
            format!("swept {ago} ago: some of what it told is not understood, or could not be asked for"),
            "look at the list of what is to be checked, and take in the statement of the portal",
        ),
        SweepOutcome::Silent => Check::new(
            what,
            Standing::Bad,
            format!(
                "it says that there is nothing (1001) for {since}, {} in a row, although callbacks told of payments",
                counted(sweep.streak, "sweep")
            ),
            "ask Safaricom (apisupport@safaricom.co.ke) to set the short code up for Pull Transactions: it answers 1001 too \
             where it is not; until then take in the statement of the portal each day",
        ),
        SweepOutcome::Failed => Check::new(
            what,
            if sweep.streak > 3 { Standing::Bad } else { Standing::Doubt },
            format!(
                "{} in a row did not get through, for {since}: {}",
                counted(sweep.streak, "sweep"),
                sweep.detail
            ),
            "run tawi-controller mpesa doctor; each is tried again within a minute, and reaches back two days",
        ),
    }
}

fn prompts(facts: &Facts, now: UnixMillis) -> Check {
    let what = "prompts of the last 24 hours";
    let prompts = facts.prompts;
    let total = prompts.total();
    if let Some(open) = facts.oldest_open
        && now.since(open) > OPEN_MOST
    {
        return Check::new(
            what,
            Standing::Bad,
            format!("one is open for {}", span(now.since(open))),
            "the controller's log says why it was not followed up",
        );
    }
    if total == 0 {
        return Check::new(what, Standing::Unknown, "none was sent", "");
    }
    let said = format!("{} of {} paid", prompts.paid, counted(total, "prompt"));
    let ended = total.saturating_sub(prompts.open);
    if ended >= PROMPTS_THAT_TELL && prompts.unknown.saturating_mul(2) > ended {
        return Check::new(
            what,
            Standing::Bad,
            format!("{said}, and of {} nobody knows how they ended", prompts.unknown),
            "callbacks do not reach this controller, or Daraja does not answer: run tawi-controller mpesa doctor",
        );
    }
    if ended >= PROMPTS_THAT_TELL && prompts.paid == 0 {
        return Check::new(
            what,
            Standing::Doubt,
            format!("{said}: customers cancel, do not answer, or are refused"),
            "look at the newest requests on the pages of customers: each says what M-Pesa said",
        );
    }
    if prompts.unknown > 0 {
        return Check::new(
            what,
            Standing::Doubt,
            format!("{said}, and of {} it is not known how it ended", prompts.unknown),
            "those leave the list of what is to be checked when Pull or a statement tells of their receipts",
        );
    }
    Check::good(what, said)
}

fn suspense(waiting: Waiting, now: UnixMillis) -> Check {
    let what = "payments that are nobody's";
    let Some(oldest) = waiting.oldest else { return Check::good(what, "none: all money has its place") };
    let age = now.since(oldest);
    let said = format!("{}, the oldest for {}", counted(waiting.count, "payment"), span(age));
    let standing = if age > NOBODYS_MOST { Standing::Bad } else { Standing::Doubt };
    Check::new(
        what,
        standing,
        said,
        "give each to its customer: the list of what is to be checked leads there",
    )
}

fn statement(facts: &Facts, now: UnixMillis) -> Check {
    let what = "statement of the portal";
    let Some(told) = facts.statement else {
        return Check::new(what, Standing::Unknown, "none was taken in yet", "");
    };
    let age = now.since(told.until);
    let said = format!("the newest ends {} ago", span(age));
    if age > STATEMENT_WITHIN {
        let cure = "export it in Safaricom's portal and take it in, so that the days behind it can be closed";
        return Check::new(what, Standing::Doubt, said, cure);
    }
    Check::good(what, said)
}

fn doctor(facts: &Facts, now: UnixMillis) -> Check {
    let what = "last look of the doctor";
    let cure = "run tawi-controller mpesa doctor";
    let Some(said) = &facts.doctor else {
        return Check::new(what, Standing::Unknown, "not known yet: it never looked", cure);
    };
    let ago = span(now.since(said.at));
    let of = |verdict: &str| said.steps.iter().filter(|step| step.verdict == verdict).count();
    match (of("BAD"), of("DOUBT")) {
        (0, 0) => Check::good(what, format!("{ago} ago: everything that it looked at is well")),
        (0, doubts) => Check::new(
            what,
            Standing::Doubt,
            format!("{ago} ago: {doubts} in doubt"),
            "each says below what to do",
        ),
        (bad, _) => {
            Check::new(what, Standing::Bad, format!("{ago} ago: {bad} bad"), "each says below what to do")
        }
    }
}

/// The part of the picture that a request in this state belongs to.
pub(super) fn outcome_of<'a>(
    prompts: &'a mut Prompts,
    state: &str,
    (code, words): (&str, &str),
) -> &'a mut u64 {
    match (state, code) {
        ("paid", _) => &mut prompts.paid,
        ("created" | "submitting" | "prompted", _) => &mut prompts.open,
        ("declined", "1031" | "1032") => &mut prompts.cancelled,
        ("declined", "1019" | "1037") | ("expired", _) => &mut prompts.unanswered,
        ("declined", code) if own_faults::of(code, words).is_some() => &mut prompts.own_fault,
        ("declined", _) => &mut prompts.refused,
        // Lost on the way, paid without a receipt, or with a code that nobody has seen.
        (_, _) => &mut prompts.unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::own_faults::OwnFaults;
    use super::super::{DoctorSaid, DoctorStep, LastSweep, Registration, StatementTold};
    use super::*;
    use crate::mpesa::evidence::Reason;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn ago(minutes: i64) -> UnixMillis {
        UnixMillis(NOW.0 - minutes * 60_000)
    }

    /// As it is when everything works.
    fn well() -> Facts {
        Facts {
            short_code: "600100".to_owned(),
            till_number: None,
            environment: Environment::Production,
            token: TokenStanding::Held { fetched_at: Some(ago(10)), good_until: ago(-49) },
            registration: Some(Registration { at: Some(ago(9_000)), is_here: true }),
            confirmation_at: Some(ago(3)),
            callback_at: Some(ago(4)),
            pull_every: Some(Duration::from_secs(300)),
            sweep: Some(sweep(SweepOutcome::Whole, 1)),
            unheard: None,
            statement: Some(StatementTold { until: ago(1_000), closing: None }),
            prompts: Prompts { paid: 8, cancelled: 1, ..Prompts::default() },
            oldest_open: None,
            own_faults: None,
            pulled_alone: Waiting { count: 1, oldest: Some(ago(2)) },
            suspense: Waiting::default(),
            has_operator: false,
            balance: None,
            doctor: Some(doctor_said("OK")),
        }
    }

    fn full(minutes: i64) -> Option<OwnFaults> {
        Some(OwnFaults { fault: own_faults::of("8", "").unwrap(), count: 2, newest: ago(minutes) })
    }

    fn sweep(outcome: SweepOutcome, streak: u64) -> LastSweep {
        LastSweep {
            at: ago(2),
            outcome,
            told: 12,
            booked: 1,
            detail: "no answer from Daraja: M-Pesa cannot be reached".to_owned(),
            streak,
            since: ago(60),
            whole_at: Some(ago(65)),
        }
    }

    fn doctor_said(verdict: &str) -> DoctorSaid {
        let step = DoctorStep {
            step: "clock".to_owned(),
            verdict: verdict.to_owned(),
            found: "it is late".to_owned(),
            cure: "set it".to_owned(),
        };
        DoctorSaid { at: ago(120), steps: vec![step] }
    }

    #[test]
    fn a_short_code_that_works_has_nothing_to_cure() {
        let checks = judge(&well(), NOW);
        assert_eq!(worst(&checks), Standing::Good, "{checks:?}");
        assert!(checks.iter().all(|check| check.cure.is_empty() && check.standing == Standing::Good));
    }

    #[test]
    fn what_is_not_well_is_named_with_its_cure_and_nothing_else_is() {
        let check = |change: fn(&mut Facts), what: &str, standing: Standing, said: &str, cure: &str| {
            let mut facts = well();
            change(&mut facts);
            let found: Vec<Check> =
                judge(&facts, NOW).into_iter().filter(|check| check.standing != Standing::Good).collect();
            let [only] = found.as_slice() else { panic!("{what}: {found:?}") };
            assert!(only.what.contains(what) && only.standing == standing, "{only:?}");
            assert!(only.said.contains(said) && only.cure.contains(cure), "{only:?}");
            assert!(!only.cure.is_empty() || standing == Standing::Unknown, "{only:?}");
        };
        let (bad, doubt, unknown) = (Standing::Bad, Standing::Doubt, Standing::Unknown);
        check(|it| it.environment = Environment::Sandbox, "environment", doubt, "sandbox", "base_url");
        check(|it| it.environment = Environment::Elsewhere, "environment", doubt, "simulator", "base_url");
        let refused =
            |it: &mut Facts| it.token = TokenStanding::Refused(Reason::new("400.008.01", "Invalid"));
        check(refused, "token", bad, "400.008.01 Invalid", "consumer_key");
        check(|it| it.token = TokenStanding::None, "token", unknown, "none is held", "");
        check(|it| it.token = TokenStanding::IsComing, "token", unknown, "being fetched", "");
        let moved =
            |it: &mut Facts| it.registration = Some(Registration { at: Some(ago(1)), is_here: false });
        check(moved, "address", bad, "another address", "URL management");
        let never = |it: &mut Facts| (it.registration, it.confirmation_at) = (None, None);
        check(never, "address", doubt, "Pull alone", "register-urls");
        check(|it| it.registration = None, "address", doubt, "not noted", "register-urls");
        check(|it| it.pull_every = None, "Pull", doubt, "off", "pull_nominated_number");
        check(|it| it.sweep = None, "Pull", unknown, "not known yet", "");
        let silent = |it: &mut Facts| it.sweep = Some(sweep(SweepOutcome::Silent, 7));
        check(silent, "Pull", bad, "(1001) for 1 h, 7 sweeps in a row", "apisupport@safaricom.co.ke");
        check(|it| it.sweep = Some(sweep(SweepOutcome::Failed, 3)), "Pull", doubt, "3 sweeps", "doctor");
        check(
            |it| it.sweep = Some(sweep(SweepOutcome::Failed, 4)),
            "Pull",
            bad,
            "cannot be reached",
            "doctor",
        );
        check(|it| it.sweep = Some(sweep(SweepOutcome::Part, 1)), "Pull", doubt, "understood", "statement");
        let alone = |it: &mut Facts| it.pulled_alone = Waiting { count: 5, oldest: Some(ago(15)) };
        check(alone, "callbacks", bad, "3 min ago, and Pull alone told of 5 payments", "register-urls");
        let just = |it: &mut Facts| it.pulled_alone = Waiting { count: 50, oldest: Some(ago(14)) };
        check(just, "callbacks", doubt, "Pull alone told of 50 payments", "certificate");
        check(
            |it| it.own_faults = full(59),
            "owner can cure",
            bad,
            "2 prompts in 24 hours, the last 59 min ago: the paybill",
            "bank",
        );
        check(|it| it.own_faults = full(60), "owner can cure", doubt, "the last 1 h ago", "bank");
        let late =
            |it: &mut Facts| it.sweep = Some(LastSweep { at: ago(31), ..sweep(SweepOutcome::Whole, 9) });
        check(late, "Pull", bad, "31 min ago", "log");
        let unheard = |it: &mut Facts| it.unheard = Some((ago(9_000), ago(8_000)));
        check(unheard, "Pull", bad, "import the statement for 20", "import-statement");
        check(|it| it.oldest_open = Some(ago(41)), "prompts", bad, "open for 41 min", "log");
        check(|it| it.prompts = Prompts::default(), "prompts", unknown, "none was sent", "");
        let lost = |it: &mut Facts| it.prompts = Prompts { paid: 2, unknown: 3, ..Prompts::default() };
        check(lost, "prompts", bad, "nobody knows", "doctor");
        let one = |it: &mut Facts| it.prompts = Prompts { paid: 8, unknown: 1, ..Prompts::default() };
        check(one, "prompts", doubt, "of 1 it is not known", "Pull");
        let none = |it: &mut Facts| it.prompts = Prompts { cancelled: 5, ..Prompts::default() };
        check(none, "prompts", doubt, "0 of 5 prompts paid", "customers");
        let young = |it: &mut Facts| it.suspense = Waiting { count: 2, oldest: Some(ago(60)) };
        check(young, "nobody's", doubt, "2 payments, the oldest for 1 h", "customer");
        let old = |it: &mut Facts| it.suspense = Waiting { count: 1, oldest: Some(ago(1_441)) };
        check(old, "nobody's", bad, "1 payment, the oldest for 24 h", "customer");
        check(|it| it.statement = None, "statement", unknown, "none", "");
        let stale = |it: &mut Facts| it.statement = Some(StatementTold { until: ago(12_000), closing: None });
        check(stale, "statement", doubt, "8 days ago", "export");
        check(|it| it.doctor = None, "doctor", unknown, "never looked", "doctor");
        check(|it| it.doctor = Some(doctor_said("BAD")), "doctor", bad, "1 bad", "below");
        check(|it| it.doctor = Some(doctor_said("DOUBT")), "doctor", doubt, "1 in doubt", "below");
    }

    #[test]
    fn what_hears_of_no_payment_by_paybill_at_all_is_bad() {
        let mut facts = well();
        (facts.registration, facts.confirmation_at, facts.pull_every) = (None, None, None);
        let checks = judge(&facts, NOW);
        let address = checks.iter().find(|check| check.what.starts_with("address")).unwrap();
        assert_eq!(address.standing, Standing::Bad);
        assert_eq!(worst(&checks), Standing::Bad);
    }

    #[test]
    fn callbacks_that_are_not_taken_in_are_bad_after_a_minute() {
        assert_eq!(intake(Waiting::default(), NOW).standing, Standing::Good);
        assert_eq!(intake(Waiting { count: 3, oldest: Some(ago(1)) }, NOW).standing, Standing::Good);
        let late = intake(Waiting { count: 3, oldest: Some(ago(2)) }, NOW);
        assert_eq!((late.standing, late.said.as_str()), (Standing::Bad, "3 callbacks, the oldest for 2 min"));
    }

    #[test]
    fn every_end_of_a_prompt_has_its_part_of_the_picture() {
        let check = |state: &str, code: &str, expected: Prompts| {
            let mut prompts = Prompts::default();
            *outcome_of(&mut prompts, state, (code, "Merchant does not exist")) += 1;
            assert_eq!(prompts, expected, "{state} {code}");
        };
        let none = Prompts::default();
        check("paid", "", Prompts { paid: 1, ..none });
        check("declined", "1032", Prompts { cancelled: 1, ..none });
        check("declined", "1037", Prompts { unanswered: 1, ..none });
        check("expired", "", Prompts { unanswered: 1, ..none });
        check("declined", "2001", Prompts { refused: 1, ..none });
        check("declined", "8", Prompts { own_fault: 1, ..none });
        check("declined", "500.001.1001", Prompts { own_fault: 1, ..none });
        check("review", "31337", Prompts { unknown: 1, ..none });
        check("submit_unknown", "", Prompts { unknown: 1, ..none });
        check("paid_unreceipted", "", Prompts { unknown: 1, ..none });
        check("prompted", "", Prompts { open: 1, ..none });
        check("of tomorrow", "", Prompts { unknown: 1, ..none });
    }
}
