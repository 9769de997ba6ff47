//! Sends what waits: each attempt is committed before the call, and what came of it after.
//!
//! One task of the one process that serves. What it finds half done at its start was begun by a process that was killed in
//! between: nobody knows whether those texts are on their way, and `state` says what follows. What may be sent at all, and
//! when, is decided here anew for each text that comes to its turn.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::africas_talking::{AfricasTalking, NoClient, callback};
use super::quiet::BackOff;
use super::settings::{ChannelSettings, SmsSettings};
use super::state::{Course, Event};
use super::{Message, store};
use crate::database::Connection;
use crate::shutdown::Stop;
use crate::state::Controller;

/// How often it is looked what is due. What may be begun in one of these is a setting.
const PERIOD: Duration = Duration::from_secs(1);
/// The pause after the database refused.
const PAUSE: Duration = Duration::from_secs(1);
/// Texts that are looked at in one transaction at the start, or dropped in one while sending pauses.
const ROWS: u32 = 500;

/// What came of handing over one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken {
        /// The provider's name of it.
        provider_id: Option<String>,
        /// What it cost, as the provider wrote it.
        cost: String,
    },
    /// It is not sent, now or later: the number, or what the provider thinks of it.
    Refused(String),
    /// Nothing was sent, and nothing else would be: the way there, the account, its money.
    NotNow(String),
    /// Nobody knows whether it was sent.
    Unknown {
        /// What is known.
        reason: String,
        /// The provider's name of it, where it gave one all the same.
        provider_id: Option<String>,
        /// Whether the provider itself seems to be ill.
        is_ill: bool,
    },
}

/// How texts leave.
#[derive(Clone, Debug)]
pub enum Channel {
    /// Each is a line in the log.
    Log,
    /// Through Africa's Talking.
    AfricasTalking(AfricasTalking),
}

impl Channel {
    /// As the settings say.
    ///
    /// # Errors
    /// [`NoClient`].
    pub fn new(settings: &ChannelSettings) -> Result<Self, NoClient> {
        match settings {
            ChannelSettings::Log => Ok(Self::Log),
            ChannelSettings::AfricasTalking(settings) => {
                AfricasTalking::new(settings.clone()).map(Self::AfricasTalking)
            }
        }
    }

    /// Hands one text over. The log is told of it without its words, and with a masked number.
    async fn send(&self, message: &Message) -> Answer {
        let occasion = message.course.occasion.as_str();
        match self {
            Self::AfricasTalking(client) => client.send(message).await,
            Self::Log => {
                tracing::info!(
                    message.id = %message.id, phone = %message.phone, occasion, segments = message.segments,
                    "a text would go out; the channel is the log"
                );
                Answer::Taken { provider_id: None, cost: String::new() }
            }
        }
    }
}

/// Sends, and remembers how the provider does.
#[derive(Debug)]
pub struct Sender {
    controller: Controller,
    channel: Channel,
    a_second: u32,
    health: BackOff,
}

/// Sends until the end.
pub async fn run(controller: Controller, settings: SmsSettings, channel: Channel, mut stop: Stop) {
    let mut sender = Sender::new(controller, &settings, channel);
    while let Err(error) = sender.recover().await {
        tracing::error!("texts that were left half done cannot be read: {error}");
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0_u64;
    loop {
        tokio::select! {
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        match sender.send_some(&stop).await {
            Ok(_) => failures = 0,
            Err(error) => {
                failures = failures.saturating_add(1);
                if failures.is_power_of_two() {
                    tracing::error!(failures, "texts cannot be sent: {error}");
                }
            }
        }
    }
}

impl Sender {
    /// Over a channel.
    #[must_use]
    pub fn new(controller: Controller, settings: &SmsSettings, channel: Channel) -> Self {
        Self { controller, channel, a_second: settings.a_second, health: BackOff::default() }
    }

    /// Settles what a process before this one left half done.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn recover(&self) -> Result<(), sqlx::Error> {
        loop {
            let now = self.controller.clock.now();
            let mut transaction = self.controller.database.write().await?;
            let half_done = store::sending(&mut transaction, ROWS).await?;
            for message in &half_done {
                let reason = "the controller was stopped while it was being sent".to_owned();
                let event = Event::NoAnswer { reason, provider_id: None };
                note(&mut transaction, message, event, now).await?;
            }
            transaction.commit().await?;
            if half_done.len() < usize::try_from(ROWS).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    /// Sends what is due, as much as may be begun in one go; says how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn send_some(&mut self, stop: &Stop) -> Result<usize, sqlx::Error> {
        let now = self.controller.clock.now();
        if !store::is_any_due(&mut *self.controller.database.read().await?, now).await? {
            return Ok(0);
        }
        let begun = self.begin(now).await?;
        let count = begun.len();
        let mut calls = JoinSet::new();
        for message in begun {
            let channel = self.channel.clone();
            calls.spawn(async move {
                let answer = channel.send(&message).await;
                (message, answer)
            });
        }
        let mut answered = Vec::with_capacity(count);
        while let Some(ended) = calls.join_next().await {
            // A call that panics is a text that nobody knows of: it stays as it is until the next start.
            let Ok((message, answer)) = ended else { continue };
            self.judge(&message, &answer);
            answered.push((message, answer));
        }
        while let Err(error) = self.keep(&answered).await {
            if stop.is_requested() {
                return Err(error);
            }
            tracing::error!("what became of texts cannot be written down: {error}");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(count)
    }

    /// Commits the attempts of what may be sent now, and drops what is out of date.
    async fn begin(&self, now: UnixMillis) -> Result<Vec<Message>, sqlx::Error> {
        let most = self.health.allows(now, self.a_second);
        let mut transaction = self.controller.database.write().await?;
        let mut begun = Vec::new();
        for message in store::due(&mut transaction, now, if most == 0 { ROWS } else { most }).await? {
            if let Some(reason) = out_of_date(&mut transaction, &message, now).await? {
                note(&mut transaction, &message, Event::OutOfDate(reason.to_owned()), now).await?;
            } else if most > 0 {
                let course = note(&mut transaction, &message, Event::Begun, now).await?;
                begun.extend(course.map(|course| Message { course, ..message }));
            }
        }
        transaction.commit().await?;
        Ok(begun)
    }

    /// What an answer says of the provider.
    fn judge(&mut self, message: &Message, answer: &Answer) {
        let now = self.controller.clock.now();
        match answer {
            Answer::Taken { .. } | Answer::Refused(_) => self.health = self.health.worked(),
            Answer::NotNow(reason) => {
                tracing::warn!(message.id = %message.id, "texts cannot be sent now: {reason}");
                self.health = self.health.failed(now);
            }
            Answer::Unknown { reason, is_ill, .. } => {
                tracing::warn!(message.id = %message.id, "nobody knows whether a text was sent: {reason}");
                if *is_ill {
                    self.health = self.health.failed(now);
                }
            }
        }
    }

    async fn keep(&self, answered: &[(Message, Answer)]) -> Result<(), sqlx::Error> {
        let now = self.controller.clock.now();
        let mut transaction = self.controller.database.write().await?;
        for (message, answer) in answered {
            let event = match answer.clone() {
                Answer::Taken { provider_id, cost } => Event::Taken { provider_id, cost },
                Answer::Refused(reason) => Event::Refused(reason),
                Answer::NotNow(reason) => {
                    Event::NotSent { reason, again_at: self.health.until().unwrap_or(now.plus(PERIOD)) }
                }
                Answer::Unknown { reason, provider_id, .. } => Event::NoAnswer { reason, provider_id },
            };
            let course = note(&mut transaction, message, event, now).await?;
            if let Some(course) = course {
                take_early_report(&mut transaction, message, course, now).await?;
            }
        }
        transaction.commit().await
    }
}

/// Moves a text and writes that down; `None` when it does not fit.
async fn note(
    connection: &mut Connection,
    message: &Message,
    event: Event,
    now: UnixMillis,
) -> Result<Option<Course>, sqlx::Error> {
    let Ok(course) = message.course.clone().apply(event, now) else { return Ok(None) };
    store::set_course(connection, &message.id, &course, now).await?;
    Ok(Some(course))
}

/// A report may have been faster than this note.
async fn take_early_report(
    connection: &mut Connection,
    message: &Message,
    course: Course,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let Some(provider_id) = course.provider_id.clone() else { return Ok(()) };
    let Some(report) = store::take_report(connection, &provider_id).await? else { return Ok(()) };
    let sent = Message { course, ..message.clone() };
    note(connection, &sent, callback::event(&report), now).await?;
    Ok(())
}

/// Why a text is no news any more.
async fn out_of_date(
    connection: &mut Connection,
    message: &Message,
    now: UnixMillis,
) -> Result<Option<&'static str>, sqlx::Error> {
    if now >= message.not_after {
        return Ok(Some("it waited too long to be news"));
    }
    if message.course.occasion.is_about_end() && !store::is_still_true(connection, &message.id).await? {
        return Ok(Some("somebody paid for the line, or held it, before it was sent"));
    }
    Ok(None)
}
