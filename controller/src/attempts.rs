//! How often something was done lately, by whom or what it counts for. Pure: keys and `now` in, how long to wait out.
//!
//! A count begins with the first time and ends a window later. Kept in memory: a restart forgets, which costs somebody
//! who cannot cause restarts nothing and spares a table. The memory is bounded; what is done when it is full is the
//! caller's affair (`staff::throttle`, `pay::throttle`).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tawi_shared::UnixMillis;

/// How often what is over is looked for while there is no room: it costs a look at every key.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts by key.
#[derive(Clone, Debug)]
pub(crate) struct Attempts<K> {
    counts: HashMap<K, Count>,
    window: Duration,
    keys_most: usize,
    swept_at: Option<UnixMillis>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: UnixMillis,
    count: u32,
}

impl<K: Eq + Hash> Attempts<K> {
    /// Counts that end after `window`, of at most so many keys: about 100 bytes each.
    pub(crate) fn new(window: Duration, keys_most: usize) -> Self {
        Self { counts: HashMap::new(), window, keys_most, swept_at: None }
    }

    /// How long a key that has its `most` must wait; `None` when it need not.
    pub(crate) fn wait(&self, key: &K, most: u32, now: UnixMillis) -> Option<Duration> {
        let count = self.counts.get(key)?;
        let passed = now.since(count.since);
        (count.count >= most && passed < self.window).then(|| self.window.saturating_sub(passed))
    }

    /// Whether all these keys are remembered already, or there is room for more. What is over is forgotten for it.
    pub(crate) fn has_room<'a>(&mut self, keys: impl IntoIterator<Item = &'a K>, now: UnixMillis) -> bool
    where
        K: 'a,
    {
        let is_due = self.swept_at.is_none_or(|swept_at| now.since(swept_at) >= SWEEP_EVERY);
        if self.counts.len() >= self.keys_most && is_due {
            self.swept_at = Some(now);
            let window = self.window;
            self.counts.retain(|_, count| now.since(count.since) < window);
        }
        self.counts.len() < self.keys_most || keys.into_iter().all(|key| self.counts.contains_key(key))
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, key: K, now: UnixMillis) {
        let count = self.counts.entry(key).or_insert(Count { since: now, count: 0 });
        if now.since(count.since) >= self.window {
            *count = Count { since: now, count: 0 };
        }
        count.count = count.count.saturating_add(1);
    }

    /// Takes one back.
    pub(crate) fn take_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            count.count = count.count.saturating_sub(1);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &K) {
        self.counts.remove(key);
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn a_key_that_has_its_most_waits_for_the_end_of_its_window_and_no_other_does() {
        let mut attempts = Attempts::new(WINDOW, 10);
        for at in [0, 10_000] {
            assert_eq!(attempts.wait(&"a", 2, UnixMillis(at)), None);
            attempts.count("a", UnixMillis(at));
        }
        assert_eq!(attempts.wait(&"a", 2, UnixMillis(20_000)), Some(Duration::from_secs(40)));
        assert_eq!(attempts.wait(&"b", 2, UnixMillis(20_000)), None);
        assert_eq!(attempts.wait(&"a", 2, UnixMillis(60_000)), None);
        attempts.count("a", UnixMillis(60_000));
        assert_eq!(attempts.wait(&"a", 2, UnixMillis(60_000)), None, "it begins anew");
    }

    #[test]
    fn when_it_is_full_only_what_it_remembers_has_room_until_something_is_over() {
        let mut attempts = Attempts::new(WINDOW, 2);
        attempts.count("a", UnixMillis(0));
        attempts.count("b", UnixMillis(30_000));
        assert!(attempts.has_room([&"a", &"b"], UnixMillis(30_000)));
        assert!(!attempts.has_room([&"a", &"c"], UnixMillis(30_000)));
        assert!(attempts.has_room([&"c"], UnixMillis(60_000)), "the first is over");
        assert_eq!(attempts.len(), 1);
    }
}
