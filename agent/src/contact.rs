//! When head office was last heard.
//!
//! A line may have a rule for the time when head office is away, and the hours of it go on through a restart: within a
//! run they are counted by the monotonic clock, and across runs from the trusted instant that the store remembers. It
//! does not decide what follows (`enforce.rs`) and does not know the link: `site` says when something was heard, and
//! keeps the instant on flash.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tokio::sync::watch;
use tokio::time::Instant;

/// A silence that was shorter is no news when it ends: no rule is made for less than an hour.
const SHORT: Duration = Duration::from_secs(60);

/// How long a run must itself have heard nobody before it acts on a silence that began before it. After a power cut at a
/// site the agent is up before its uplink is, and the first attempts of the link may fail: ten minutes are many attempts.
const OWN_SILENCE: Duration = Duration::from_secs(600);

/// The handle. Clones speak of the same head office.
#[derive(Clone, Debug)]
pub struct Contact {
    heard: watch::Sender<Heard>,
    started: Instant,
    own_silence: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Heard {
    /// In this run, by the monotonic clock.
    At(Instant),
    /// Not in this run; the store remembers this instant, if any.
    Before(Option<UnixMillis>),
}

impl Default for Contact {
    fn default() -> Self {
        Self::remembered(None)
    }
}

impl Contact {
    /// Nobody was heard yet in this run. Without a remembered instant the silence begins now.
    #[must_use]
    pub fn remembered(last_heard: Option<UnixMillis>) -> Self {
        Self::remembered_after(OWN_SILENCE, last_heard)
    }

    /// Likewise, with another time for which this run must have heard nobody itself.
    #[must_use]
    pub fn remembered_after(own_silence: Duration, last_heard: Option<UnixMillis>) -> Self {
        Self { heard: watch::Sender::new(Heard::Before(last_heard)), started: Instant::now(), own_silence }
    }

    /// Head office is heard at this moment.
    pub fn note(&self) {
        let now = Instant::now();
        // Whoever waits for the end of a silence is not woken by every word.
        self.heard.send_if_modified(|heard| {
            let is_news = match *heard {
                Heard::At(at) => now.saturating_duration_since(at) >= SHORT,
                Heard::Before(_) => true,
            };
            *heard = Heard::At(now);
            is_news
        });
    }

    /// For how long it was not heard; `now` is the trusted time. For the first minutes of a run a silence from before it
    /// does not count, however often the agent is started: a rule is for an office that does not answer, not for a site
    /// that had no power to ask.
    #[must_use]
    pub fn silence(&self, now: UnixMillis) -> Duration {
        match *self.heard.borrow() {
            Heard::At(at) => at.elapsed(),
            Heard::Before(Some(before)) if self.started.elapsed() >= self.own_silence => now.since(before),
            Heard::Before(_) => self.started.elapsed(),
        }
    }

    /// The instant to keep on flash; `None` when nobody was heard in this run, and what is kept already stands.
    #[must_use]
    pub fn last_heard(&self, now: UnixMillis) -> Option<UnixMillis> {
        match *self.heard.borrow() {
            Heard::At(at) => Some(now.minus(at.elapsed())),
            Heard::Before(_) => None,
        }
    }

    /// Tells of the ends of silences that were not short.
    #[must_use]
    pub(crate) fn ends_of_silence(&self) -> EndsOfSilence {
        EndsOfSilence(self.heard.subscribe())
    }
}

/// See [`Contact::ends_of_silence`].
#[derive(Debug)]
pub(crate) struct EndsOfSilence(watch::Receiver<Heard>);

impl EndsOfSilence {
    /// Waits for the next one; for ever when nobody can say so any more.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn silence_goes_on_across_a_restart_and_ends_with_a_word() {
        let now = UnixMillis(0).plus(10 * HOUR);
        let contact = Contact::remembered(Some(now.minus(3 * HOUR)));
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!((contact.silence(now), contact.last_heard(now)), (3 * HOUR, None));
        contact.note();
        assert_eq!((contact.silence(now), contact.last_heard(now)), (Duration::ZERO, Some(now)));
        // The wall clock may leap; only the monotonic clock counts within a run.
        tokio::time::advance(HOUR).await;
        assert_eq!(contact.silence(now.plus(99 * HOUR)), HOUR);
        assert_eq!(contact.last_heard(now), Some(now.minus(HOUR)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_rule_strikes_before_the_link_had_a_chance_however_often_the_agent_is_started() {
        let second = Duration::from_secs(1);
        let heard = UnixMillis(0).plus(10 * HOUR);
        // Six hours without power, and then the agent is started again and again.
        let mut now = heard.plus(6 * HOUR);
        for _ in 0..20 {
            let contact = Contact::remembered(Some(heard));
            for passed in [Duration::ZERO, OWN_SILENCE - second] {
                tokio::time::advance(passed).await;
                now = now.plus(passed);
                assert!(contact.silence(now) < HOUR, "no rule is made for less");
            }
        }
        // One that stays up and hears nobody goes on from where the silence began.
        let contact = Contact::remembered(Some(heard));
        tokio::time::advance(OWN_SILENCE).await;
        now = now.plus(OWN_SILENCE);
        assert_eq!(contact.silence(now), now.since(heard));
    }

    #[tokio::test(start_paused = true)]
    async fn a_site_that_never_heard_anybody_counts_from_its_start() {
        let contact = Contact::default();
        tokio::time::advance(2 * HOUR).await;
        assert_eq!(contact.silence(UnixMillis(77)), 2 * HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_end_of_a_silence_is_news() {
        let contact = Contact::default();
        let mut ends = contact.ends_of_silence();
        let is_news = |ends: &EndsOfSilence| ends.0.has_changed().unwrap();
        contact.note();
        assert!(is_news(&ends));
        ends.next().await;
        contact.note();
        assert!(!is_news(&ends));
        tokio::time::advance(SHORT).await;
        contact.note();
        assert!(is_news(&ends));
    }
}
