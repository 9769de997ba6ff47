//! Proves texts step by step, without sending one: each step says what was found and what cures it.
//!
//! That delivery reports reach us cannot be proved from here: the address that has to be entered at Africa's Talking is said
//! instead, and whether any has come.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::africas_talking::AfricasTalking;
use super::sender::Channel;
use super::settings::SmsSettings;
use super::store;
use crate::database::Connection;

/// How long back it is looked what became of texts.
const LOOK_BACK: Duration = Duration::from_secs(86_400);

/// What was found in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub step: &'static str,
    /// Whether it is as it has to be.
    pub is_well: bool,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing.
    pub cure: String,
}

fn well(step: &'static str, found: impl Into<String>) -> Finding {
    Finding { step, is_well: true, found: found.into(), cure: String::new() }
}

fn ill(step: &'static str, found: impl Into<String>, cure: &str) -> Finding {
    Finding { step, is_well: false, found: found.into(), cure: cure.to_owned() }
}

/// Proves everything.
///
/// # Errors
/// When the database refuses.
pub async fn examine(
    connection: &mut Connection,
    settings: &SmsSettings,
    channel: &Channel,
    public_url: Option<&str>,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = match channel {
        Channel::Log => vec![well("channel", "the log: nothing is sent to anybody")],
        Channel::AfricasTalking(client) => {
            let mut findings = account(client).await;
            findings.push(reports(connection, public_url).await?);
            findings
        }
    };
    let policy = settings.policy();
    findings.push(well(
        "rules",
        format!(
            "language {}, quiet from {} until {}, {} texts a second, {} to one customer in a day, kept {} days",
            policy.language,
            policy.quiet.from,
            policy.quiet.until,
            settings.a_second,
            policy.a_day,
            policy.days_kept
        ),
    ));
    findings.push(course(connection, now).await?);
    findings.push(waiting(connection).await?);
    Ok(findings)
}

async fn account(client: &AfricasTalking) -> Vec<Finding> {
    let settings = client.settings();
    let kind = if settings.is_sandbox() { "sandbox: texts reach no phone" } else { "production" };
    let sender = settings.sender_id.as_deref().unwrap_or("none, the app's default is used");
    let channel = well("channel", format!("Africa's Talking, {kind}; sender ID: {sender}"));
    let balance = match client.balance().await {
        Ok(balance) => well("account", format!("user name and API key are taken; balance {balance}")),
        Err(why) => ill(
            "account",
            why,
            "compare username and api_key_file with the app's settings at Africa's Talking; a new key takes some minutes",
        ),
    };
    vec![channel, balance]
}

async fn reports(connection: &mut Connection, public_url: Option<&str>) -> Result<Finding, sqlx::Error> {
    const STEP: &str = "delivery reports";
    let Some(token) = store::report_token(connection).await? else {
        return Ok(ill(STEP, "there is no address yet", "start the controller once"));
    };
    let path = format!("/callbacks/sms/{token}");
    Ok(match public_url {
        Some(url) => well(
            STEP,
            format!(
                "enter {url}{path} at Africa's Talking, under SMS callback URLs, and tell it to nobody else"
            ),
        ),
        None => ill(
            STEP,
            format!("they are heard at {path} of this controller, whose own address is not known"),
            "say it as public_url in [server], let the proxy pass /callbacks/, and run this again",
        ),
    })
}

/// Texts that were tried and could not be sent: each step above may be well by now, and was not then.
async fn waiting(connection: &mut Connection) -> Result<Finding, sqlx::Error> {
    const STEP: &str = "waiting";
    Ok(match store::last_not_sent(connection).await? {
        None => well(STEP, "nothing waits that could not be sent"),
        Some(reason) => ill(
            STEP,
            format!("texts wait that could not be sent; the last because: {reason}"),
            "put that right: they are tried again by themselves as long as they are news",
        ),
    })
}

async fn course(connection: &mut Connection, now: UnixMillis) -> Result<Finding, sqlx::Error> {
    let counts = store::counts_since(connection, now.minus(LOOK_BACK)).await?;
    if counts.is_empty() {
        return Ok(well("the last day", "no text came up"));
    }
    let list: Vec<String> =
        counts.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
    Ok(well("the last day", list.join(", ")))
}
