//! What the pay page offers for a line: asking a phone, buying out of the wallet, or nothing and why. Pure.
//!
//! Anybody can open the page, so that the wallet is never spent on a line that is paid for already: whoever wants the
//! next period early asks staff. Booking is `payments`.

use tawi_shared::UnixMillis;

use crate::entitlements::Status;
use crate::money::Money;
use crate::mpesa::stk::Shillings;
use crate::payments::{renewal, wallet};
use crate::subscriptions::Subscription;

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A phone is asked for so much.
    Ask(Money),
    /// The wallet pays, and the line comes on.
    FromBalance,
    /// It is paid for, and the wallet pays the next period.
    Covered,
    /// It is paid for, and the wallet can pay the next period, once somebody asks for it.
    InBalance,
    /// Held by staff: money would not bring it back.
    OnHold,
    /// Its site is shut out, or its price is none that M-Pesa moves.
    NotHere,
}

/// Decides. `spoken_for` is what other lines take out of the wallet before this one goes on.
pub(super) fn offer(
    line: &Subscription,
    (in_wallet, spoken_for): (Money, Money),
    is_site_revoked: bool,
    now: UnixMillis,
) -> Offer {
    if line.status == Status::Suspended {
        return Offer::OnHold;
    }
    if is_site_revoked {
        return Offer::NotHere;
    }
    let runs = line.paid_until.is_some_and(|until| until > now);
    let is_paid = line.status == Status::Active && (runs || line.is_waiting(now));
    // A line that is off is paid for now, before any other goes on.
    let free = match is_paid {
        true => in_wallet.checked_sub(spoken_for).unwrap_or(Money::ZERO).max(Money::ZERO.min(in_wallet)),
        false => in_wallet,
    };
    if free >= line.price {
        return match (is_paid, renewal::goes_on_by_itself(line)) {
            (false, _) => Offer::FromBalance,
            (true, true) => Offer::Covered,
            (true, false) => Offer::InBalance,
        };
    }
    let lacking = wallet::lacking(line.price, free).and_then(Shillings::exactly);
    lacking.map_or(Offer::NotHere, |shillings| Offer::Ask(shillings.money()))
}

#[cfg(test)]
mod tests {
    use tawi_shared::wire::Service;

    use super::*;
    use crate::ids::{CustomerId, IdSource, LineId, PlanId, RouterId, SiteId};
    use crate::subscriptions::credentials::Username;

    fn line(status: Status, paid_until: Option<i64>, price: i64) -> Subscription {
        let ids = IdSource::seeded(1);
        Subscription {
            id: LineId::random(&ids),
            customer: CustomerId::random(&ids),
            plan: PlanId::random(&ids),
            plan_name: "Day".to_owned(),
            price: Money::from_cents(price),
            validity_seconds: 86_400,
            data_quota_bytes: None,
            router: RouterId::random(&ids),
            router_name: "core".to_owned(),
            site: SiteId::parse("s").unwrap(),
            is_site_revoked: false,
            service: Service::Pppoe,
            username: Username::parse("line-1").unwrap(),
            address: None,
            caller_id: None,
            status,
            renews: true,
            paid_until: paid_until.map(UnixMillis),
            grace_until: None,
            waits_since: None,
            is_online: false,
            online_changed_at: None,
            last_address: String::new(),
            failure: String::new(),
            created_at: UnixMillis(0),
        }
    }

    #[test]
    fn a_phone_is_asked_for_what_is_missing_and_the_wallet_pays_only_what_is_over() {
        let check = |line: Subscription, wallet: i64, is_revoked: bool, expected: Offer| {
            let money = (Money::from_cents(wallet), Money::ZERO);
            assert_eq!(offer(&line, money, is_revoked, UnixMillis(1_000)), expected);
        };
        let ask = |cents| Offer::Ask(Money::from_cents(cents));
        check(line(Status::Draft, None, 150_000), 0, false, ask(150_000));
        check(line(Status::Active, Some(2_000), 150_000), 0, false, ask(150_000));
        check(line(Status::Expired, Some(500), 150_000), 50_000, false, ask(100_000));
        check(line(Status::Expired, Some(500), 150_000), 150_000, false, Offer::FromBalance);
        check(line(Status::Draft, None, 150_000), 150_000, false, Offer::FromBalance);
        check(line(Status::Active, Some(2_000), 150_000), 150_000, false, Offer::Covered);
        check(line(Status::Active, Some(1_000), 150_000), 150_000, false, Offer::FromBalance);
        check(line(Status::Suspended, Some(2_000), 150_000), 0, false, Offer::OnHold);
        check(line(Status::Suspended, None, 150_000), 150_000, true, Offer::OnHold);
        check(line(Status::Draft, None, 150_000), 0, true, Offer::NotHere);
        check(line(Status::Draft, None, 25_000_100), 0, false, Offer::NotHere);
        check(line(Status::Draft, None, 25_000_000), 0, false, ask(25_000_000));
    }

    #[test]
    fn what_another_line_takes_first_covers_no_other_and_a_line_that_does_not_go_on_is_not_said_to() {
        let check = |line: &Subscription, wallet: i64, spoken_for: i64, expected: Offer| {
            let money = (Money::from_cents(wallet), Money::from_cents(spoken_for));
            assert_eq!(offer(line, money, false, UnixMillis(1_000)), expected);
        };
        let ask = |cents| Offer::Ask(Money::from_cents(cents));
        let paid = line(Status::Active, Some(2_000), 150_000);
        check(&paid, 300_000, 150_000, Offer::Covered);
        check(&paid, 200_000, 150_000, ask(100_000));
        check(&paid, 150_000, 150_000, ask(150_000));
        check(&paid, 100_000, 150_000, ask(150_000));
        check(&paid, -10_000, 150_000, ask(160_000));
        check(&line(Status::Expired, Some(500), 150_000), 150_000, 150_000, Offer::FromBalance);
        let mut alone = paid.clone();
        alone.renews = false;
        check(&alone, 150_000, 0, Offer::InBalance);
        let hour = Subscription { validity_seconds: 3_600, ..paid };
        check(&hour, 150_000, 0, Offer::InBalance);
    }
}
