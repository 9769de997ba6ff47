//! When head office was last heard.
//!
//! A line may have a rule for the time when head office is away, and the hours of it go on through a restart. Only those
//! count in which the agent ran and could have heard somebody, by the monotonic clock: no leap of the time makes a silence
//! long, no restart makes it short, and a site without power is not punished for it. A run strikes anew only after a
//! silence of its own; what a run before it had struck by then goes on, so that restarts undo no rule. It does not decide
//! what follows (`enforce.rs`) and does not know the link: `site` says when something was heard, and keeps the silence on flash.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A silence that was shorter is no news when it ends: no rule is made for less than an hour.
const SHORT: Duration = Duration::from_secs(60);

/// How long a run must itself have heard nobody before it acts on a silence that began before it. After a power cut at a
/// site the agent is up before its uplink is, and the first attempts of the link may fail: ten minutes are many attempts.
const OWN_SILENCE: Duration = Duration::from_secs(600);

/// What a restart must know of a silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptSilence {
    /// All of it.
    pub whole: Duration,
    /// As much of it as rules were judged by: those that bear no more have struck.
    pub struck: Duration,
}

impl KeptSilence {
    /// One that no rule was judged by.
    #[must_use]
    pub fn unheeded(whole: Duration) -> Self {
        Self { whole, struck: Duration::ZERO }
    }
}

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
    Before(KeptSilence),
}

impl Default for Contact {
    fn default() -> Self {
        Self::remembered(KeptSilence::default())
    }
}

impl Contact {
    /// Nobody was heard yet in this run, nor for so long before it.
    #[must_use]
    pub fn remembered(silence: KeptSilence) -> Self {
        Self::remembered_after(OWN_SILENCE, silence)
    }

    /// Likewise, with another time for which this run must have heard nobody itself.
    #[must_use]
    pub fn remembered_after(own_silence: Duration, silence: KeptSilence) -> Self {
        Self { heard: watch::Sender::new(Heard::Before(silence)), started: Instant::now(), own_silence }
    }

    /// What is remembered could be read only now.
    pub fn join(&self, silence: KeptSilence) {
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

    /// For how long it was not heard, as far as rules are judged by it. For the first minutes of a run a silence from before
    /// it makes none strike anew, however often the agent is started: a rule is for an office that does not answer, not for
    /// a site whose uplink is not up yet. Those that had struck stay so until somebody is heard.
    #[must_use]
    pub fn silence(&self) -> Duration {
        match *self.heard.borrow() {
            Heard::Before(before) if self.started.elapsed() < self.own_silence => {
                before.struck.max(self.started.elapsed())
            }
            _ => self.whole_silence(),
        }
    }

    /// In how long the first minutes of this run are over, in which a silence from before it strikes nothing anew; `None`
    /// where they are over, or somebody was heard.
    #[must_use]
    pub fn strikes_anew_in(&self) -> Option<Duration> {
        let is_before = matches!(*self.heard.borrow(), Heard::Before(_));
        let rest = self.own_silence.checked_sub(self.started.elapsed());
        rest.filter(|rest| is_before && !rest.is_zero())
    }

    /// What is to be kept on flash.
    #[must_use]
    pub fn kept(&self) -> KeptSilence {
        KeptSilence { whole: self.whole_silence(), struck: self.silence() }
    }

    /// All of it.
    #[must_use]
    pub fn whole_silence(&self) -> Duration {
        match *self.heard.borrow() {
            Heard::At(at) => at.elapsed(),
            Heard::Before(before) => before.whole.saturating_add(self.started.elapsed()),
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
        let contact = Contact::remembered(KeptSilence::unheeded(3 * HOUR));
        assert_eq!(contact.strikes_anew_in(), Some(OWN_SILENCE));
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!((contact.strikes_anew_in(), contact.silence()), (None, 3 * HOUR + OWN_SILENCE));
        contact.note();
        assert_eq!((contact.silence(), contact.whole_silence()), (Duration::ZERO, Duration::ZERO));
        tokio::time::advance(HOUR).await;
        assert_eq!((contact.silence(), contact.whole_silence()), (HOUR, HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn no_rule_strikes_before_the_link_had_a_chance_and_no_restart_makes_a_silence_short() {
        let (mut silence, mut kept) = (6 * HOUR, KeptSilence::default());
        for _ in 0..20 {
            let contact = Contact::remembered(KeptSilence { whole: silence, ..kept });
            for passed in [Duration::ZERO, OWN_SILENCE - Duration::from_secs(1)] {
                tokio::time::advance(passed).await;
                assert!(contact.silence() < HOUR, "no rule is made for less");
            }
            kept = contact.kept();
            silence = kept.whole;
        }
        // One that stays up and hears nobody goes on from where the silence began.
        let contact = Contact::remembered(kept);
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!(contact.silence(), 6 * HOUR + 21 * OWN_SILENCE - Duration::from_secs(20));
    }

    #[tokio::test(start_paused = true)]
    async fn what_had_struck_stays_struck_however_often_the_agent_is_started_and_nothing_else_strikes_sooner()
    {
        let mut kept = KeptSilence { whole: 6 * HOUR, struck: 5 * HOUR };
        for _ in 0..20 {
            let contact = Contact::remembered(kept);
            assert_eq!(contact.silence(), 5 * HOUR, "those that bear less have struck, and no other");
            tokio::time::advance(OWN_SILENCE - Duration::from_secs(60)).await;
            kept = contact.kept();
            assert_eq!(kept.struck, 5 * HOUR);
        }
        assert_eq!(kept.whole, 9 * HOUR);
        let contact = Contact::remembered(kept);
        tokio::time::advance(OWN_SILENCE).await;
        assert_eq!(contact.silence(), 9 * HOUR + OWN_SILENCE);
        contact.note();
        assert_eq!(contact.kept(), KeptSilence::default(), "the first word ends all of it");
        assert_eq!(Contact::remembered(contact.kept()).silence(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silence_that_is_read_late_counts_unless_somebody_was_heard_meanwhile() {
        let contact = Contact::default();
        tokio::time::advance(2 * HOUR).await;
        assert_eq!(contact.silence(), 2 * HOUR, "who never heard anybody counts from the start");
        contact.join(KeptSilence::unheeded(5 * HOUR));
        assert_eq!(contact.silence(), 7 * HOUR);
        contact.note();
        contact.join(KeptSilence::unheeded(5 * HOUR));
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
