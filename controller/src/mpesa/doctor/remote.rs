//! What is asked of Safaricom, and of what it was told: its way and clock, token, C2B, Pull, M-Pesa Express, the operator.

use super::{Finding, Hearing, Verdict, verdicts};
use crate::mpesa::c2b;
use crate::mpesa::client::{Daraja, QUERY_PATH};
use crate::mpesa::evidence::CheckoutId;
use crate::mpesa::nairobi;
use crate::mpesa::operator::{self, NotAsked, Question, State, advice};
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::settings::MpesaSettings;
use crate::mpesa::stk;
use crate::shutdown::Shutdown;
use crate::state::Controller;

pub(super) const REACH: &str = "Safaricom";
const TOKEN: &str = "access token";
const C2B: &str = "Paybill and till reports";
const PULL: &str = "Pull";
const STK: &str = "M-Pesa Express";
pub(super) const OPERATOR: &str = "operator";
/// What cannot be asked while Safaricom is not reached.
pub(super) const AFTER_REACH: [&str; 4] = [TOKEN, STK, PULL, OPERATOR];
/// What cannot be asked without a token.
pub(super) const AFTER_TOKEN: [&str; 3] = [STK, PULL, OPERATOR];

/// Steps that were not looked at.
pub(super) fn skipped(steps: &[&'static str], why: &str) -> Vec<Finding> {
    steps.iter().map(|step| Finding::new(step, Verdict::Skipped, why, "")).collect()
}

/// Whether Daraja is there, and what its clock shows.
pub(super) async fn reach(controller: &Controller, daraja: &Daraja) -> Vec<Finding> {
    let base_url = &daraja.settings().base_url;
    match daraja.knock().await {
        Ok(date) => {
            let tls =
                if base_url.starts_with("https://") { "over TLS" } else { "without TLS, on this machine" };
            vec![
                Finding::ok(REACH, format!("{base_url} answers {tls}")),
                verdicts::clock(date.as_deref(), controller.clock.now()),
            ]
        }
        Err(why) => vec![Finding::new(
            REACH,
            Verdict::Bad,
            format!("{base_url} cannot be reached: {why}"),
            "look at this machine's internet, DNS and firewall (port 443 out), and at base_url; where it speaks of a \
             certificate, something stands in between, or the clock is wrong",
        )],
    }
}

/// Whether the app's key and secret are taken.
pub(super) async fn token(daraja: &Daraja) -> Finding {
    match daraja.prove_token().await {
        Ok(()) => Finding::ok(TOKEN, "consumer key and secret are taken"),
        Err(reason) => Finding::new(
            TOKEN,
            Verdict::Bad,
            format!("there is none: {} {}", reason.code, reason.description),
            "copy consumer_key and the secret of the same app, and of the environment of base_url, from the Daraja portal",
        ),
    }
}

/// Which addresses Safaricom was told for payments by Paybill and to a till. It has no way to be asked.
pub(super) async fn c2b(controller: &Controller, settings: &MpesaSettings) -> Finding {
    let told = async {
        let mut connection = controller.database.read().await?;
        c2b::store::told_of(&mut connection, settings.short_code()).await
    };
    let told = match told.await {
        Ok(told) => told.filter(|told| told.is_taken),
        Err(error) => {
            let cure = "look at the controller's log";
            return Finding::new(C2B, Verdict::Bad, format!("the database does not answer: {error}"), cure);
        }
    };
    let Some(told) = told else {
        return Finding::new(
            C2B,
            Verdict::Doubt,
            "Safaricom has not taken an address from this controller",
            "tawi-controller mpesa register-urls; where it says that there are others, delete them under \"URL \
             management\" in Safaricom's portal first",
        );
    };
    if told.base_url != settings.callback_base_url {
        return Finding::new(
            C2B,
            Verdict::Bad,
            format!("they go to {}, and callback_base_url is {}", told.base_url, settings.callback_base_url),
            "delete the addresses under \"URL management\" in Safaricom's portal, then tawi-controller mpesa register-urls",
        );
    }
    // Who knows the secret can tell us of payments that never were.
    let secret: String = told.token.reveal().chars().take(4).collect();
    Finding::ok(
        C2B,
        format!(
            "they go to {0}/callbacks/c2b/{secret}…/confirmation, and questions before to {0}/callbacks/c2b/{secret}…/validation",
            told.base_url
        ),
    )
}

/// Whether missed payments can be fetched.
pub(super) async fn pull(controller: &Controller, daraja: &Daraja) -> Finding {
    let Some(settings) = daraja.settings().pull().cloned() else {
        return Finding::new(
            PULL,
            Verdict::Doubt,
            "it is off: what Safaricom reports while this machine is down is not heard of",
            "set pull = true and pull_nominated_number",
        );
    };
    let shutdown = Shutdown::default();
    let mut sweeper = Sweeper::new(controller.clone(), daraja.clone(), settings);
    match sweeper.probe(&mut shutdown.stop()).await {
        Ok((0, true)) => Finding::new(
            PULL,
            Verdict::Bad,
            "it is registered and says that there were no payments (1001), although there were some: that is also what it \
             says when the short code is not set up for it",
            "ask Safaricom (apisupport@safaricom.co.ke) to set the short code up for Pull Transactions",
        ),
        Ok((0, false)) => Finding::ok(
            PULL,
            "it is registered and says that there were no payments in two days (1001), which is also what it says when the \
             short code is not set up for it; nothing speaks against it",
        ),
        Ok((rows, _)) => {
            Finding::ok(PULL, format!("it is registered and answers: {rows} payments on the first page"))
        }
        Err(error) => Finding::new(
            PULL,
            Verdict::Bad,
            error.to_string(),
            "add the product with Pull Transactions to the app in the Daraja portal, and write the mobile number of the \
             short code's M-Pesa papers as pull_nominated_number",
        ),
    }
}

/// Asks about a prompt that never was, so that nobody is asked for money.
pub(super) async fn stk(controller: &Controller, daraja: &Daraja) -> Finding {
    let now = controller.clock.now();
    let never = format!("ws_CO_{}000000000000", nairobi::written(now, "%d%m%Y%H%M%S"));
    let Some(checkout) = CheckoutId::parse(&never) else {
        return Finding::new(STK, Verdict::Skipped, "no id could be made up", "");
    };
    let body = stk::query_body(daraja.settings(), &checkout, now);
    match daraja.ask(QUERY_PATH, &body).await {
        Ok(answer) => verdicts::stk(&answer),
        Err(reason) => Finding::new(STK, Verdict::Doubt, reason.description, "try again in a few minutes"),
    }
}

/// Proves the API operator by a balance, asked once: a wrong password counts as a try.
pub(super) async fn operator(
    controller: &Controller,
    daraja: &Daraja,
    hearing: &Hearing,
    asker: &str,
) -> Finding {
    if daraja.settings().operator().is_none() {
        return Finding::new(OPERATOR, Verdict::Skipped, NotAsked::NoOperator.to_string(), "");
    }
    let patience = match hearing {
        Hearing::For(patience) => *patience,
        Hearing::Nobody(why) => return Finding::new(OPERATOR, Verdict::Skipped, why.clone(), ""),
    };
    let bad = |found: String, cure: &str| Finding::new(OPERATOR, Verdict::Bad, found, cure);
    let request = match operator::ask(controller, daraja, Question::Balance, asker).await {
        Ok(request) => request,
        Err(error) => return bad(error.to_string(), "look at the controller's log"),
    };
    let request = match operator::wait(controller, request, patience).await {
        Ok(request) => request,
        Err(error) => {
            return bad(format!("the database does not answer: {error}"), "look at the controller's log");
        }
    };
    match &request.state {
        State::Answered(reason) if reason.code == "0" => Finding::ok(
            OPERATOR,
            "M-Pesa answers it, and Safaricom reaches this controller: the result came in",
        ),
        State::Answered(reason) => bad(
            format!("M-Pesa answers with {}: {}", reason.code, reason.description),
            advice::of(&reason.code).unwrap_or("ask Safaricom what that code means"),
        ),
        State::Refused(reason) => bad(
            format!("M-Pesa does not take the question: {} {}", reason.code, reason.description),
            "add the product with Account Balance to the app in the Daraja portal",
        ),
        State::QueueTimedOut => Finding::new(
            OPERATOR,
            Verdict::Doubt,
            "M-Pesa did not get to the question",
            "run this again in a few minutes",
        ),
        State::Asking | State::Accepted | State::ReplyLost => Finding::new(
            OPERATOR,
            Verdict::Doubt,
            format!(
                "no result came within {} s: either M-Pesa is slow, or it does not reach this controller",
                patience.as_secs()
            ),
            "look at the callback address above, and run this again with a longer --wait",
        ),
    }
}
