//! When head office was last heard.
//!
//! A line may have a rule for the time when head office is away, and the hours of it go on through a restart. Only those
//! count in which the agent ran and could have heard somebody, by the monotonic clock: no leap of the time makes a silence
//! long, no restart makes it short, and a site without power is not punished for it. It does not decide what follows
//! (`enforce.rs`) and does not know the link: `site` says when something was heard, and keeps the silence on flash.

use std::time::Duration;

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
    /// Not in this run; it had been silent for so long before.
    Before(Duration),
}

impl Default for Contact {
    fn default() -> Self {
        Self::remembered(Duration::ZERO)
    }
}

impl Contact {
    /// Nobody was heard yet in this run, nor for so long before it.
    #[must_use]
    pub fn remembered(silence: Duration) -> Self {
        Self::remembered_after(OWN_SILENCE, silence)
    }

    /// Likewise, with another time for which this run must have heard nobody itself.
    #[must_use]
    pub fn remembered_after(own_silence: Duration, silence: Duration) -> Self {
        Self { heard: watch::Sender::new(Heard::Before(silence)), started: Instant::now(), own_silence }
    }

    /// What is remembered could be read only now.
    pub fn join(&self, silence: Duration) {
        self.heard.send_if_modified(|heard| {
            if let Heard::Before(before) = heard {
                *before = silence;
            }
            false
        });
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

    /// For how long it was not heard. For the first minutes of a run a silence from before it does not count, however
    /// often the agent is started: a rule is for an office that does not answer, not for a site whose uplink is not up yet.
    #[must_use]
    pub fn silence(&self) -> Duration {
        match *self.heard.borrow() {
            Heard::Before(_) if self.started.elapsed() < self.own_silence => self.started.elapsed(),
            _ => self.whole_silence(),
        }
    }

    /// All of it, to keep on flash.
    #[must_use]
    pub fn whole_silence(&self) -> Duration {
        match *self.heard.borrow() {
            Heard::At(at) => at.elapsed(),
            Heard::Before(before) => before.saturating_add(self.started.elapsed()),
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
        let contact = Contact::remembered(3 * HOUR);
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!(contact.silence(), 3 * HOUR + OWN_SILENCE);
        contact.note();
        assert_eq!((contact.silence(), contact.whole_silence()), (Duration::ZERO, Duration::ZERO));
        tokio::time::advance(HOUR).await;
        assert_eq!((contact.silence(), contact.whole_silence()), (HOUR, HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn no_rule_strikes_before_the_link_had_a_chance_and_no_restart_makes_a_silence_short() {
        let mut silence = 6 * HOUR;
        for _ in 0..20 {
            let contact = Contact::remembered(silence);
            for passed in [Duration::ZERO, OWN_SILENCE - Duration::from_secs(1)] {
                tokio::time::advance(passed).await;
                assert!(contact.silence() < HOUR, "no rule is made for less");
            }
            silence = contact.whole_silence();
        }
        // One that stays up and hears nobody goes on from where the silence began.
        let contact = Contact::remembered(silence);
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!(contact.silence(), 6 * HOUR + 21 * OWN_SILENCE - Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_that_is_read_late_counts_unless_somebody_was_heard_meanwhile() {
        let contact = Contact::default();
        tokio::time::advance(2 * HOUR).await;
        assert_eq!(contact.silence(), 2 * HOUR, "who never heard anybody counts from the start");
        contact.join(5 * HOUR);
        assert_eq!(contact.silence(), 7 * HOUR);
        contact.note();
        contact.join(5 * HOUR);
        assert_eq!(contact.silence(), Duration::ZERO);
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
