//! What money bought in time: until when a line must be paid, by what its wallet bought and was given back. Pure.
//!
//! It replays a wallet's lines and knows no periods. A purchase adds one validity behind what is paid for; what is given back of a
//! price takes that share of a validity away, and never more than was left. Less than a shilling of use is none, and shares are
//! rounded to a cent, so that each correction may differ by so much time.

use tawi_shared::UnixMillis;

/// What a period of a plan costs, in cents, and lasts, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sold {
    /// Cents.
    pub price: i64,
    /// Milliseconds.
    pub lasts: i64,
}

impl Sold {
    /// What so many milliseconds cost, in cents; nothing below zero.
    #[must_use]
    pub fn cents_of(self, lasts: i64) -> i64 {
        let cents = i128::from(lasts.max(0)) * i128::from(self.price) / i128::from(self.lasts);
        i64::try_from(cents).unwrap_or(i64::MAX)
    }
}

/// One line of a wallet that is about the time of one of its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// When.
    pub at: UnixMillis,
    /// Above zero was given back, below was bought. What is bought comes first within an instant.
    pub cents: i64,
}

/// Until when a line is paid, and by how much that may be off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Until when; in the past for what is not paid for.
    pub until: i64,
    /// Milliseconds.
    pub slack: i64,
}

/// Replays, the oldest first.
///
/// # Errors
/// What does not hold, in words.
pub fn replay(sold: Sold, moved: &mut [Moved]) -> Result<Paid, String> {
    moved.sort_unstable();
    // A shilling and two cents in time.
    let shilling = sold.lasts / sold.price * 102;
    let mut paid = Paid { until: 0, slack: 0 };
    for Moved { at, cents } in moved.iter().copied() {
        if cents < 0 {
            if cents != -sold.price {
                return Err(format!("a period costs {} cents at {}", -cents, at.0));
            }
            if paid.until + paid.slack <= at.0 {
                paid = Paid { until: at.0, slack: 0 };
            }
            paid.until = paid.until.max(at.0) + sold.lasts;
            continue;
        }
        let share = i64::try_from(i128::from(sold.lasts) * i128::from(cents) / i128::from(sold.price));
        paid.until -= share.unwrap_or(i64::MAX);
        paid.slack += shilling;
        if paid.until + paid.slack < at.0 {
            return Err(format!("{cents} cents are given back at {}, and no such time was left", at.0));
        }
    }
    Ok(paid)
}

/// How long a line was to be paid for in all, what was given back taken off: from 0, in milliseconds. A site stores within a
/// minute that somebody paid, and what is given back may be off as above.
#[must_use]
pub fn bought(sold: Sold, moved: &[Moved]) -> Paid {
    let shilling = sold.lasts / sold.price * 102;
    let mut paid = Paid { until: 0, slack: 0 };
    for Moved { cents, .. } in moved {
        let time = i128::from(sold.lasts) * i128::from(-cents) / i128::from(sold.price);
        paid.until += i64::try_from(time).unwrap_or(0);
        paid.slack += if *cents < 0 { 60_000 } else { shilling };
    }
    paid
}

impl Paid {
    /// Whether a line that is paid until then is what this says, now.
    #[must_use]
    pub fn is(self, until: Option<UnixMillis>, now: UnixMillis) -> bool {
        let until = until.map_or(0, |until| until.0);
        let is_over = until <= now.0 && self.until - self.slack <= now.0;
        is_over || (until - self.until).abs() <= self.slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLD: Sold = Sold { price: 100_000, lasts: 100_000_000 };

    #[test]
    fn time_is_what_was_bought_less_what_was_given_back_of_it() {
        let check = |moved: &[(i64, i64)], expected: Result<(i64, i64), ()>| {
            let mut moved: Vec<Moved> =
                moved.iter().map(|(at, cents)| Moved { at: UnixMillis(*at), cents: *cents }).collect();
            let found = replay(SOLD, &mut moved);
            assert_eq!(found.map(|paid| (paid.until, paid.slack)).map_err(|_| ()), expected, "{moved:?}");
        };
        check(&[], Ok((0, 0)));
        check(&[(1_000, -100_000)], Ok((100_001_000, 0)));
        // Behind what is paid for.
        check(&[(1_000, -100_000), (2_000, -100_000)], Ok((200_001_000, 0)));
        // After a gap.
        check(&[(1_000, -100_000), (500_000_000, -100_000)], Ok((600_000_000, 0)));
        // Half of it is given back when half of it is left, and not before.
        check(&[(0, -100_000), (50_000_000, 50_000)], Ok((50_000_000, 102_000)));
        check(&[(0, -100_000), (50_000_000, 60_000)], Err(()));
        check(&[(0, -100_000), (0, -50_000)], Err(()));
    }

    #[test]
    fn a_line_is_paid_until_then_or_not_at_all() {
        let paid = Paid { until: 1_000, slack: 10 };
        let check = |until: Option<i64>, now: i64, expected: bool| {
            assert_eq!(paid.is(until.map(UnixMillis), UnixMillis(now)), expected, "{until:?} {now}");
        };
        check(Some(1_000), 500, true);
        check(Some(1_010), 500, true);
        check(Some(1_011), 500, false);
        check(None, 500, false);
        check(None, 995, true);
        check(Some(2_000), 1_500, false);
    }
}
