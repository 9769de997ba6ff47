//! What the bench measured, and which promises of the README it breaks.
//!
//! Pure: measuring is `bin/figures.rs`.

use serde::Serialize;

/// How long something took, over many times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many were measured.
    pub count: usize,
    /// Half were at most this.
    pub p50: i64,
    /// 99 of 100 were at most this.
    pub p99: i64,
    /// The slowest.
    pub max: i64,
}

impl Spread {
    /// Of any unit. All zero for none.
    #[must_use]
    pub fn of(mut values: Vec<i64>) -> Self {
        values.sort_unstable();
        let at = |percent: usize| {
            // The nearest-rank definition: the smallest value that so many percent do not exceed.
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(0)
        };
        Self { count: values.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What the product promises for a payment under 5 ms of router latency, on a machine with 2 cores.
pub const P99_MS: i64 = 250;
/// What the agent may hold of a small machine's memory.
pub const RESIDENT_KIB: u64 = 10 * 1_024;
/// What the agent may take of a small machine's flash.
pub const BINARY_BYTES: u64 = 6 * 1_024 * 1_024;
/// Subscribers online at the measured site.
pub const SUBSCRIBERS: u32 = 500;
/// The agent is started, loses its power, and is started again.
pub const AGENT_LIVES: u64 = 2;

/// One site with many subscribers online, all of whom move traffic while nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Steady {
    /// Sessions that were up at the end.
    pub sessions: usize,
    /// The highest reading in the agent's first life, which saw everybody pay and come online.
    pub resident_first_life_kib: u64,
    /// The highest reading in its second life, which went on from what was on flash.
    pub resident_second_life_kib: u64,
    /// Logins at the router, over all lives of the agent.
    pub router_logins: u64,
    /// Writes to the router while nothing was to be written.
    pub router_writes_in_steady_state: u64,
    /// Prints meanwhile.
    pub router_reads_in_steady_state: u64,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// From the callback's arrival to the router's read-back.
    pub callback_to_verified_ms: Spread,
    /// The agent with its site's subscribers online.
    pub agent: Steady,
    /// The stripped release build.
    pub agent_binary_bytes: u64,
    /// What one durable write costs here: half of every time above is made of it.
    pub fsync_ms: f64,
}

impl Measured {
    /// Every promise that these figures break, in words.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut at_most = |what: &str, measured: u64, promised: u64| {
            if measured > promised {
                broken.push(format!("{what}: {measured}, and at most {promised} is promised"));
            }
        };
        let Self { callback_to_verified_ms: times, agent, .. } = self;
        at_most("p99 in ms", times.p99.unsigned_abs(), P99_MS.unsigned_abs());
        at_most("resident KiB, first life", agent.resident_first_life_kib, RESIDENT_KIB);
        at_most("resident KiB, second life", agent.resident_second_life_kib, RESIDENT_KIB);
        at_most("bytes of the agent's binary", self.agent_binary_bytes, BINARY_BYTES);
        at_most("writes to the router in steady state", agent.router_writes_in_steady_state, 0);
        if agent.router_logins != AGENT_LIVES {
            broken.push(format!("{} logins at the router in {AGENT_LIVES} lives", agent.router_logins));
        }
        if u32::try_from(agent.sessions) != Ok(SUBSCRIBERS) {
            broken.push(format!("{} of {SUBSCRIBERS} subscribers are online", agent.sessions));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Measured {
        Measured {
            callback_to_verified_ms: Spread { count: 200, p50: 80, p99: P99_MS, max: 300 },
            agent: Steady {
                sessions: 500,
                resident_first_life_kib: RESIDENT_KIB,
                resident_second_life_kib: RESIDENT_KIB,
                router_logins: AGENT_LIVES,
                router_writes_in_steady_state: 0,
                router_reads_in_steady_state: 64,
            },
            agent_binary_bytes: BINARY_BYTES,
            fsync_ms: 1.0,
        }
    }

    #[test]
    fn every_promise_that_is_broken_is_named_and_a_kept_one_is_not() {
        assert_eq!(kept().broken_promises(), Vec::<String>::new());
        let check = |breaks: fn(&mut Measured), names: &str| {
            let mut measured = kept();
            breaks(&mut measured);
            let broken = measured.broken_promises();
            assert!(broken.len() == 1 && broken[0].contains(names), "{names}: {broken:?}");
        };
        check(|it| it.callback_to_verified_ms.p99 += 1, "p99");
        check(|it| it.agent.resident_first_life_kib += 1, "first life");
        check(|it| it.agent.resident_second_life_kib += 1, "second life");
        check(|it| it.agent_binary_bytes += 1, "binary");
        check(|it| it.agent.router_writes_in_steady_state += 1, "writes");
        check(|it| it.agent.router_logins += 1, "logins");
        check(|it| it.agent.router_logins -= 1, "logins");
        check(|it| it.agent.sessions -= 1, "online");
        let mut measured = kept();
        measured.agent.sessions = 0;
        measured.agent_binary_bytes = u64::MAX;
        assert_eq!(measured.broken_promises().len(), 2);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!(spread, Spread { count: 200, p50: 100, p99: 198, max: 200 });
        assert_eq!(Spread::of(vec![7]), Spread { count: 1, p50: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of(vec![]), Spread::default());
    }
}
