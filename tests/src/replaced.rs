//! What was measured of the system that Tawi replaces, beside what was measured here. Pure.
//!
//! ERPNext with frappe-mpsa-payments on two cores: gunicorn with two workers of four threads, MariaDB that flushes each
//! commit, the load from the same machine. A is the app of navariltd of 2024 on version 15: the stored row is committed
//! before the answer, and a person submits it. B is a fork of 2026 on version 16: the answer comes after queueing, and
//! booking is automatic. What it gets wrong is `tests/replaced.rs`.

use serde::Serialize;

use crate::figures::Spread;

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beside {
    /// What.
    pub what: &'static str,
    /// Measured here, just now.
    pub here: String,
    /// Measured of A.
    pub replaced_a: &'static str,
    /// Measured of B.
    pub replaced_b: &'static str,
}

/// What was measured here.
#[derive(Clone, Debug, PartialEq)]
pub struct Ours {
    /// Confirmations, as fast as they are answered.
    pub acknowledged_per_second: f64,
    /// How long each took to be answered.
    pub acknowledged_us: Spread,
    /// Payments that were booked meanwhile, until the last was.
    pub booked_per_second: f64,
    /// The controller's memory before the first.
    pub resident_idle_kib: u64,
    /// The highest reading behind them.
    pub resident_highest_kib: u64,
    /// From a start to the first answer.
    pub first_answer_ms: u64,
}

/// Puts it beside the other.
#[must_use]
pub fn beside(ours: &Ours) -> Vec<Beside> {
    let line = |what, here: String, replaced_a, replaced_b| Beside { what, here, replaced_a, replaced_b };
    let took = &ours.acknowledged_us;
    // Tenths of a millisecond, in whole numbers.
    let ms = |us: i64| format!("{}.{}", us / 1_000, us.unsigned_abs() % 1_000 / 100);
    vec![
        line(
            "confirmations acknowledged a second",
            format!("{:.0}", ours.acknowledged_per_second),
            "86 to 96",
            "538",
        ),
        line(
            "milliseconds to the answer, p50 and p99",
            format!("{} and {}", ms(took.p50), ms(took.p99)),
            "83 to 90, and 117 to 133",
            "13 and 57",
        ),
        line(
            "booked as payments a second",
            format!("{:.0}", ours.booked_per_second),
            "16.4; with matching of invoices 5.5, and 272 of 500 failed on a deadlock with 8 connections",
            "0.85 with 2 workers, 1.43 with 4: 500 payments took 449 s",
        ),
        line(
            "MiB of memory, idle and while booking",
            format!("{} and {}", ours.resident_idle_kib / 1_024, ours.resident_highest_kib / 1_024),
            "not measured",
            "612 and 721",
        ),
        line(
            "seconds from a start to the first answer",
            format!("{}.{:03}", ours.first_answer_ms / 1_000, ours.first_answer_ms % 1_000),
            "not measured",
            "4.5",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_beside_those_of_the_same_thing() {
        let ours = Ours {
            acknowledged_per_second: 2_143.7,
            acknowledged_us: Spread { count: 10_000, p50: 14_120, p99: 61_950, max: 80_000 },
            booked_per_second: 511.2,
            resident_idle_kib: 30_720,
            resident_highest_kib: 61_440,
            first_answer_ms: 87,
        };
        let here: Vec<String> = beside(&ours).into_iter().map(|line| line.here).collect();
        assert_eq!(here, ["2144", "14.1 and 61.9", "511", "30 and 60", "0.087"]);
        assert!(beside(&ours).iter().all(|line| !line.replaced_a.is_empty() && !line.replaced_b.is_empty()));
    }
}
