//! What a line may use, and until when. The only place where money and network meet.
//!
//! Pure: facts in, entitlement out. What the site does with it at which instant is the agent's `enforce.rs`; how it
//! reaches the site is `desired/`.
//!
//! ```text
//!             buys a period                 paid_until passes
//!   draft ──────────────────▶ active ──────────────────────────▶ expired
//!                             │    ▲ release       buys a period │
//!                       hold  ▼    │                             ▼
//!                          suspended                           active
//! ```
//!
//! A line that M-Pesa says was paid for, and whose receipt has not come, is open on trust for a while, whatever was paid before
//! (`payments/grace`).
//!
//! What being suspended or expired means (off, behind the wall, slow) is the plan's, and travels with the line. A line
//! that was never paid for may reach the pay page, and is never merely slow: that would be free use.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::{Access, QuotaV1};

use crate::money::Money;
use crate::plans::Restraint;

/// What a period without a limit is told as, where it stands between periods that have one: more than any line moves in
/// a period (see `usage::TOTAL_BYTES`), and little enough for every counter of a router.
pub const NO_LIMIT_BYTES: u64 = 1 << 50;

/// Where a subscription stands; the four words of the seed system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Never paid for.
    Draft,
    /// Paid for.
    Active,
    /// Held by staff, paid or not.
    Suspended,
    /// The paid period is over.
    Expired,
}

impl Status {
    /// The word in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Active, Self::Suspended, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What is known of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where the subscription stands.
    pub status: Status,
    /// The end of what is paid for.
    pub paid_until: Option<UnixMillis>,
    /// Until when it is open on trust.
    pub grace_until: Option<UnixMillis>,
    /// What its plan says of suspended lines.
    pub suspension: Restraint,
}

/// What the site is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Open, off, or suspended as the plan says.
    pub access: Access,
    /// The agent closes the line at this instant, with or without us.
    pub valid_until: Option<UnixMillis>,
}

/// Decides. Expiry needs no decision here: the instant travels with the line, so a controller that is down cuts
/// nobody and spares nobody.
#[must_use]
pub fn entitlement(facts: Facts) -> Entitlement {
    let is_unpaid = facts.status == Status::Draft || facts.paid_until.is_none();
    let closed = match facts.suspension {
        Restraint::Off => Access::Off,
        Restraint::Throttled { .. } if is_unpaid => Access::Off,
        Restraint::Walled | Restraint::Throttled { .. } => Access::Suspended,
    };
    let until = match facts.status {
        Status::Active | Status::Expired => facts.paid_until.max(facts.grace_until),
        Status::Draft => facts.grace_until,
        Status::Suspended => None,
    };
    match until {
        Some(until) => Entitlement { access: Access::Open, valid_until: Some(until) },
        None => Entitlement { access: closed, valid_until: None },
    }
}

/// One period that was bought. Periods that were bought ahead follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// When it begins.
    pub started_at: UnixMillis,
    /// When it ends.
    pub ends_at: UnixMillis,
    /// What may be moved in it, upload and download together, with all that was topped up; `None` for no limit.
    pub bytes: Option<u64>,
}

/// The period that runs at `now`.
#[must_use]
pub fn running(periods: &[Period], now: UnixMillis) -> Option<Period> {
    periods.iter().copied().find(|period| period.started_at <= now && now < period.ends_at)
}

/// What the site is told of a line's periods, oldest first: nothing when none has a limit.
#[must_use]
pub fn quotas(periods: &[Period]) -> Vec<QuotaV1> {
    if periods.iter().all(|period| period.bytes.is_none()) {
        return Vec::new();
    }
    let told = |period: &Period| QuotaV1 {
        from_ms: period.started_at.0,
        bytes: period.bytes.unwrap_or(NO_LIMIT_BYTES),
    };
    periods.iter().map(told).collect()
}

/// One period as it is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What it costs.
    pub price: Money,
    /// How long it is.
    pub validity: Duration,
    /// What may be moved in it; `None` for no limit.
    pub bytes: Option<u64>,
}

impl Offer {
    /// Whether nobody would rather have the other one.
    fn is_no_worse_than(&self, other: &Self) -> bool {
        let bytes = |offer: &Self| offer.bytes.unwrap_or(u64::MAX);
        self.price <= other.price && self.validity >= other.validity && bytes(self) >= bytes(other)
    }
}

/// What a wallet buys of what its customer was promised when they were asked for money, and what is sold today. A promise
/// stands, whatever became dearer, shorter or smaller since; where the wallet does not cover it, today's may be cheaper.
#[must_use]
pub fn chosen(promised: Option<Offer>, today: Offer, wallet: Money) -> Offer {
    match promised {
        Some(promised) if !today.is_no_worse_than(&promised) && wallet >= promised.price => promised,
        Some(_) | None => today,
    }
}

/// How a wallet pays for periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// One more period is bought.
    Bought {
        /// What it costs.
        price: Money,
        /// When it begins.
        starts_at: UnixMillis,
        /// The new end of what is paid for.
        paid_until: UnixMillis,
    },
    /// The wallet does not cover a period; the money stays in it.
    TooLittle {
        /// What is missing.
        missing: Money,
    },
}

/// Decides whether `wallet` buys one period. A period is added to what is still running, or
/// starts now.
#[must_use]
pub fn purchase(
    wallet: Money,
    Offer { price, validity, .. }: Offer,
    paid_until: Option<UnixMillis>,
    now: UnixMillis,
) -> Purchase {
    if wallet < price {
        let missing = price.checked_sub(wallet).unwrap_or(price);
        return Purchase::TooLittle { missing };
    }
    let start = paid_until.map_or(now, |until| until.max(now));
    Purchase::Bought { price, starts_at: start, paid_until: start.plus(validity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_paid_and_not_held_is_open() {
        let until = Some(UnixMillis(50));
        let rate = tawi_shared::Bandwidth::from_bits_per_second(1);
        let slow = Restraint::Throttled { download: rate, upload: rate };
        let check = |status, paid_until, expected: [Access; 3]| {
            for (suspension, access) in [Restraint::Off, Restraint::Walled, slow].into_iter().zip(expected) {
                let facts = Facts { status, paid_until, grace_until: None, suspension };
                assert_eq!(entitlement(facts).access, access, "{facts:?}");
            }
        };
        let free_use = [Access::Off, Access::Suspended, Access::Off];
        check(Status::Draft, None, free_use);
        check(Status::Draft, until, free_use);
        check(Status::Active, until, [Access::Open; 3]);
        check(Status::Active, None, free_use);
        check(Status::Suspended, until, [Access::Off, Access::Suspended, Access::Suspended]);
        check(Status::Suspended, None, free_use);
        check(Status::Expired, until, [Access::Open; 3]);
    }

    #[test]
    fn a_line_that_is_trusted_is_open_until_then_or_as_long_as_it_is_paid_for_unless_it_is_held() {
        let check = |status, paid: Option<i64>, expected: Option<i64>| {
            let facts = Facts {
                status,
                paid_until: paid.map(UnixMillis),
                grace_until: Some(UnixMillis(50)),
                suspension: Restraint::Off,
            };
            let found = entitlement(facts);
            assert_eq!(found.valid_until, expected.map(UnixMillis), "{facts:?}");
            assert_eq!(found.access == Access::Open, expected.is_some(), "{facts:?}");
        };
        check(Status::Draft, None, Some(50));
        check(Status::Expired, Some(10), Some(50));
        check(Status::Active, Some(40), Some(50));
        check(Status::Active, Some(60), Some(60));
        check(Status::Suspended, Some(60), None);
    }

    #[test]
    fn periods_that_were_bought_ahead_are_told_in_their_order() {
        let period =
            |from: i64, bytes| Period { started_at: UnixMillis(from), ends_at: UnixMillis(from + 10), bytes };
        let told = |periods: &[Period]| -> Vec<(i64, u64)> {
            quotas(periods).into_iter().map(|quota| (quota.from_ms, quota.bytes)).collect()
        };
        assert_eq!(told(&[period(0, Some(5)), period(10, Some(7))]), [(0, 5), (10, 7)]);
        assert_eq!(told(&[period(0, Some(5)), period(10, None)]), [(0, 5), (10, NO_LIMIT_BYTES)]);
        assert_eq!(told(&[period(0, None), period(10, None)]), []);
        let periods = [period(0, Some(5)), period(10, Some(7))];
        let check = |now, expected: Option<i64>| {
            assert_eq!(
                running(&periods, UnixMillis(now)).map(|period| period.started_at.0),
                expected,
                "{now}"
            );
        };
        check(-1, None);
        check(0, Some(0));
        check(9, Some(0));
        check(10, Some(10));
        check(20, None);
    }

    #[test]
    fn what_was_promised_stands_unless_today_is_better() {
        let offer = |cents, days: u64, bytes| Offer {
            price: Money::from_cents(cents),
            validity: Duration::from_secs(days * 86_400),
            bytes,
        };
        let promised = offer(1_000, 30, Some(50));
        let check = |today: Offer, wallet: i64, is_promise: bool| {
            let expected = if is_promise { promised } else { today };
            assert_eq!(
                chosen(Some(promised), today, Money::from_cents(wallet)),
                expected,
                "{today:?} {wallet}"
            );
            assert_eq!(chosen(None, today, Money::from_cents(wallet)), today);
        };
        check(offer(1_200, 30, Some(50)), 1_000, true);
        check(offer(1_200, 60, None), 1_000, true);
        check(offer(1_000, 15, Some(50)), 1_000, true);
        check(offer(1_000, 30, Some(40)), 1_000, true);
        check(offer(500, 15, Some(50)), 1_000, true);
        check(offer(500, 15, Some(50)), 999, false);
        check(offer(900, 30, Some(50)), 1_000, false);
        check(offer(1_000, 30, None), 1_000, false);
    }

    #[test]
    fn a_period_follows_the_running_one_or_starts_now() {
        let buy = |until: Option<i64>| {
            purchase(
                Money::from_cents(500),
                Offer { price: Money::from_cents(500), validity: Duration::from_millis(10), bytes: None },
                until.map(UnixMillis),
                UnixMillis(100),
            )
        };
        let bought = |until: i64| Purchase::Bought {
            price: Money::from_cents(500),
            starts_at: UnixMillis(until - 10),
            paid_until: UnixMillis(until),
        };
        assert_eq!(buy(None), bought(110));
        assert_eq!(buy(Some(90)), bought(110));
        assert_eq!(buy(Some(105)), bought(115));
    }

    #[test]
    fn a_wallet_that_is_a_cent_short_buys_nothing() {
        let answer = purchase(
            Money::from_cents(499),
            Offer { price: Money::from_cents(500), validity: Duration::from_secs(1), bytes: None },
            None,
            UnixMillis(0),
        );
        assert_eq!(answer, Purchase::TooLittle { missing: Money::from_cents(1) });
    }
}
