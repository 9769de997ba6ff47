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

/// What the agent may hold where one router has 2,000 subscribers.
pub const LARGE_RESIDENT_KIB: u64 = 16 * 1_024;
/// What it may take of one core there, over ten minutes.
pub const LARGE_CPU_PERCENT: f64 = 3.0;
/// How long a look at all of them may take.
pub const FULL_CHECK_MS: u64 = 2_000;
/// How long 500 of them may wait for another speed, on a router that takes 20 writes a second.
pub const SPEED_CHANGE_SECONDS: f64 = 30.0;
/// Sessions that are up there.
pub const LARGE_SESSIONS: usize = 1_500;

/// One router with many subscribers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LargeRouter {
    /// Lines on the router.
    pub subscribers: u32,
    /// Sessions that were up at the end.
    pub sessions: usize,
    /// How long it was watched.
    pub minutes: u64,
    /// Of one core, averaged over those minutes.
    pub cpu_percent: f64,
    /// The highest reading.
    pub resident_kib: u64,
    /// Full checks meanwhile.
    pub full_checks: usize,
    /// The slowest of them.
    pub slowest_full_check_ms: u64,
    /// Writes to the router while nothing was to be written.
    pub router_writes_in_steady_state: u64,
    /// Prints meanwhile.
    pub router_reads_in_steady_state: u64,
    /// What came after those minutes.
    pub speed_change: ChangedSpeed,
}

/// A plan that was given another speed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangedSpeed {
    /// Lines of the plan, all of them online.
    pub lines: u32,
    /// From the request at head office until the last session ran at the new speed.
    pub seconds: f64,
    /// Writes that it took.
    pub writes: u64,
    /// How many the router takes.
    pub writes_per_second: u64,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// From the callback's arrival to the router's read-back.
    pub callback_to_verified_ms: Spread,
    /// The agent with its site's subscribers online.
    pub agent: Steady,
    /// The agent with a large router.
    pub large_router: LargeRouter,
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
        let Self { callback_to_verified_ms: times, agent, large_router: large, .. } = self;
        at_most("p99 in ms", times.p99.unsigned_abs(), P99_MS.unsigned_abs());
        at_most("resident KiB, first life", agent.resident_first_life_kib, RESIDENT_KIB);
        at_most("resident KiB, second life", agent.resident_second_life_kib, RESIDENT_KIB);
        at_most("bytes of the agent's binary", self.agent_binary_bytes, BINARY_BYTES);
        at_most("writes to the router in steady state", agent.router_writes_in_steady_state, 0);
        at_most("resident KiB, large router", large.resident_kib, LARGE_RESIDENT_KIB);
        at_most("slowest full check in ms, large router", large.slowest_full_check_ms, FULL_CHECK_MS);
        at_most("writes to the large router in steady state", large.router_writes_in_steady_state, 0);
        if large.cpu_percent > LARGE_CPU_PERCENT {
            broken.push(format!(
                "{:.2} % of a core, large router, and at most {LARGE_CPU_PERCENT} is promised",
                large.cpu_percent
            ));
        }
        if large.speed_change.seconds > SPEED_CHANGE_SECONDS {
            broken.push(format!(
                "{:.1} seconds for a new speed, and at most {SPEED_CHANGE_SECONDS} are promised",
                large.speed_change.seconds
            ));
        }
        if large.sessions != LARGE_SESSIONS || large.full_checks == 0 {
            broken.push(format!(
                "{} of {LARGE_SESSIONS} subscribers are online at the large router, {} full checks",
                large.sessions, large.full_checks
            ));
        }
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
            large_router: LargeRouter {
                subscribers: 2_000,
                sessions: LARGE_SESSIONS,
                minutes: 10,
                cpu_percent: LARGE_CPU_PERCENT,
                resident_kib: LARGE_RESIDENT_KIB,
                full_checks: 5,
                slowest_full_check_ms: FULL_CHECK_MS,
                router_writes_in_steady_state: 0,
                router_reads_in_steady_state: 300,
                speed_change: ChangedSpeed {
                    lines: 500,
                    seconds: SPEED_CHANGE_SECONDS,
                    writes: 501,
                    writes_per_second: 20,
                },
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
        check(|it| it.large_router.sessions -= 1, "large router");
        check(|it| it.large_router.full_checks = 0, "0 full checks");
        check(|it| it.large_router.cpu_percent += 0.1, "of a core");
        check(|it| it.large_router.resident_kib += 1, "large router");
        check(|it| it.large_router.slowest_full_check_ms += 1, "full check");
        check(|it| it.large_router.router_writes_in_steady_state += 1, "large router in steady");
        check(|it| it.large_router.speed_change.seconds += 0.1, "new speed");
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
