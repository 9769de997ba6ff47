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

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::Access;

use crate::money::Money;

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
}

/// What the site is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Open or off.
    pub access: Access,
    /// The agent closes the line at this instant, with or without us.
    pub valid_until: Option<UnixMillis>,
}

/// Decides. Expiry needs no decision here: the instant travels with the line, so a controller that is down cuts
/// nobody and spares nobody.
#[must_use]
pub fn entitlement(facts: Facts) -> Entitlement {
    let off = Entitlement { access: Access::Off, valid_until: None };
    match (facts.status, facts.paid_until) {
        (Status::Active | Status::Expired, Some(until)) => {
            Entitlement { access: Access::Open, valid_until: Some(until) }
        }
        (Status::Draft | Status::Suspended, _) | (_, None) => off,
    }
}

/// How a wallet pays for periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// One more period is bought.
    Bought {
        /// What it costs.
        price: Money,
        /// The new end of what is paid for.
        paid_until: UnixMillis,
    },
    /// The wallet does not cover a period; the money stays in it.
    TooLittle {
        /// What is missing.
        missing: Money,
    },
}

/// Decides whether `wallet` buys one period of `validity` for `price`. A period is added to what is still running, or
/// starts now.
#[must_use]
pub fn purchase(
    wallet: Money,
    price: Money,
    validity: Duration,
    paid_until: Option<UnixMillis>,
    now: UnixMillis,
) -> Purchase {
    if wallet < price {
        let missing = price.checked_sub(wallet).unwrap_or(price);
        return Purchase::TooLittle { missing };
    }
    let start = paid_until.map_or(now, |until| until.max(now));
    Purchase::Bought { price, paid_until: start.plus(validity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_paid_and_not_held_is_open() {
        let until = Some(UnixMillis(50));
        let check = |status, paid_until, access| {
            assert_eq!(entitlement(Facts { status, paid_until }).access, access, "{status:?} {paid_until:?}");
        };
        check(Status::Draft, None, Access::Off);
        check(Status::Draft, until, Access::Off);
        check(Status::Active, until, Access::Open);
        check(Status::Active, None, Access::Off);
        check(Status::Suspended, until, Access::Off);
        check(Status::Expired, until, Access::Open);
    }

    #[test]
    fn a_period_follows_the_running_one_or_starts_now() {
        let buy = |until: Option<i64>| {
            purchase(
                Money::from_cents(500),
                Money::from_cents(500),
                Duration::from_millis(10),
                until.map(UnixMillis),
                UnixMillis(100),
            )
        };
        let bought =
            |until| Purchase::Bought { price: Money::from_cents(500), paid_until: UnixMillis(until) };
        assert_eq!(buy(None), bought(110));
        assert_eq!(buy(Some(90)), bought(110));
        assert_eq!(buy(Some(105)), bought(115));
    }

    #[test]
    fn a_wallet_that_is_a_cent_short_buys_nothing() {
        let answer = purchase(
            Money::from_cents(499),
            Money::from_cents(500),
            Duration::from_secs(1),
            None,
            UnixMillis(0),
        );
        assert_eq!(answer, Purchase::TooLittle { missing: Money::from_cents(1) });
    }
}
