//! `sms`: proves texts step by step, and sends a test.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::arguments::SmsCommand;
use super::{Failure, Shell};
use crate::audit::{self, Action};
use crate::customers::phone::Msisdn;
use crate::messages::doctor;
use crate::messages::sender::Channel;
use crate::messages::settings::{ChannelSettings, SmsSettings};
use crate::messages::state::State;
use crate::messages::words::Language;
use crate::messages::{self, Message};

/// The form of the JSON.
const SCHEMA: u32 = 1;
/// How often it is looked what became of a test.
const LOOK: Duration = Duration::from_millis(500);

impl Shell {
    pub(super) async fn sms(&self, command: SmsCommand) -> Result<(), Failure> {
        match command {
            SmsCommand::Doctor => self.sms_doctor().await,
            SmsCommand::Test { number, language, wait } => self.sms_test(&number, language, wait).await,
        }
    }

    fn sms_settings(&self) -> Result<&SmsSettings, Failure> {
        let missing = || Failure::refused("texts are not set up: fill in [sms] in the settings file");
        self.config.sms.as_ref().ok_or_else(missing)
    }

    async fn sms_doctor(&self) -> Result<(), Failure> {
        let settings = self.sms_settings()?;
        // The first caller decides for the whole process; nobody was before us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let channel = Channel::new(&settings.channel).context("setting up texts")?;
        let (public_url, now) = (self.config.public_url.as_deref(), self.controller.clock.now());
        let mut reader = self.controller.database.read().await?;
        let findings = doctor::examine(&mut reader, settings, &channel, public_url, now).await?;
        drop(reader);
        let word = |is_well: bool| if is_well { "OK" } else { "BAD" };
        let is_well = findings.iter().all(|finding| finding.is_well);
        let mut words = String::from("Texts");
        for finding in &findings {
            let _ = write!(words, "\n{:<4} {}: {}", word(finding.is_well), finding.step, finding.found);
            if !finding.cure.is_empty() {
                let _ = write!(words, "\n     cure: {}", finding.cure);
            }
        }
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                json!({
                    "step": finding.step, "verdict": word(finding.is_well), "found": finding.found,
                    "cure": finding.cure,
                })
            })
            .collect();
        let value = json!({"schema": SCHEMA, "verdict": word(is_well), "findings": rows});
        self.output.say(&words, &value)?;
        if is_well { Ok(()) } else { Err(Failure::refused("something is BAD: see above")) }
    }

    async fn sms_test(&self, number: &Msisdn, language: Language, wait: u64) -> Result<(), Failure> {
        let is_log = matches!(self.sms_settings()?.channel, ChannelSettings::Log);
        let Some(queued) = self.queue_test(number, language).await? else {
            return Err(Failure::refused("texts were never switched on: start the controller once"));
        };
        let message = self.settled(queued, Duration::from_secs(wait)).await?;
        let state = message.course.state;
        let reason = &message.course.reason;
        let words = match state {
            State::Queued | State::Sending => {
                format!("It still waits after {wait} s: is the controller running? {reason}")
            }
            State::Sent | State::Delivered if is_log => {
                "The log has a line for it, and no phone: [sms] channel is \"log\"".to_owned()
            }
            State::Sent => "The provider took it; no delivery report has come yet".to_owned(),
            State::Delivered => "It is on the phone".to_owned(),
            State::Unknown => format!("Nobody knows whether it was sent: {reason}"),
            State::Failed | State::Dropped => format!("It will not arrive: {reason}"),
        };
        let value = json!({
            "id": message.id.as_str(), "state": state.as_str(), "reason": reason, "cost": message.course.cost,
        });
        self.output.say(words.trim_end(), &value)?;
        match state {
            State::Sent | State::Delivered => Ok(()),
            _ => Err(Failure::refused("the test did not get through: see above")),
        }
    }

    async fn queue_test(&self, number: &Msisdn, language: Language) -> Result<Option<Message>, Failure> {
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let cause = ids.hex(8);
        let queued = messages::about::test(&mut transaction, number, language, &cause, now).await?;
        let Some(message) = queued else { return Ok(None) };
        let act = (Action::TestTextSent, message.id.as_str(), "");
        audit::record(&mut transaction, &self.actor, act, ids, now).await?;
        transaction.commit().await?;
        Ok(Some(message))
    }

    /// Waits until a text was sent or will not be. A report may take longer, and is waited for as well.
    async fn settled(&self, queued: Message, wait: Duration) -> Result<Message, Failure> {
        let ends = tokio::time::Instant::now() + wait;
        let mut message = queued;
        while !matches!(
            message.course.state,
            State::Delivered | State::Unknown | State::Failed | State::Dropped
        ) && tokio::time::Instant::now() < ends
        {
            tokio::time::sleep(LOOK).await;
            let mut reader = self.controller.database.read().await?;
            match messages::get(&mut reader, &message.id).await? {
                Some(found) => message = found,
                None => break,
            }
        }
        Ok(message)
    }
}
