//! Which open request for payment stands in the way of what somebody wants now. Pure.
//!
//! ```text
//! the same thing for the same line ─> two prompts would be two payments
//! the same phone ─> M-Pesa holds one prompt on a phone, and refuses the same amount for two minutes
//! it counts on the wallet ─> what is spent now would be missing when its money comes
//! ```
//!
//! Anything else goes on beside it: a top-up out of the wallet does not wait for a phone. Asking is `request`.

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::customers::phone::Msisdn;
use crate::ids::{LineId, TopUpId};
use crate::money::Money;
use crate::mpesa::intent::Intent;

/// M-Pesa's own rule (result code 17): the same amount from the same phone not twice within two minutes.
pub(super) const TWO_MINUTES: Duration = Duration::from_secs(120);

/// Why an open request stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It asks for the same thing.
    SameThing,
    /// It is on the same phone.
    SamePhone,
    /// Its money buys what it is for only together with what is in the wallet.
    CountsOnWallet,
}

/// An open request that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Which.
    pub intent: Intent,
    /// Why.
    pub why: Why,
    /// When it no longer does, answered or not.
    pub wait: Duration,
}

impl Open {
    /// What blocks, and until when, for whoever asked.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (amount, wait) = (self.intent.amount, self.wait.as_secs().max(1));
        let what = if self.intent.top_up.is_some() { "a top-up" } else { "a period" };
        match self.why {
            Why::SameThing => format!(
                "A request for KES {amount} is open already: let the customer answer it and not pay twice. Another can be \
                 sent in {wait} seconds."
            ),
            Why::SamePhone => format!(
                "That phone is being asked for KES {amount} for {what}, and M-Pesa takes one request at a time: wait for \
                 the answer, or {wait} seconds."
            ),
            Why::CountsOnWallet => format!(
                "The phone is being asked for KES {amount} for {what}, which counts on what is in the wallet: wait for \
                 the answer, or {wait} seconds."
            ),
        }
    }
}

/// How long another request for a period of a line must wait for one of these; `None` when none stands in the way.
pub(crate) fn wait_of(intents: &[Intent], line: &LineId, now: UnixMillis) -> Option<Duration> {
    let is_in_the_way =
        |intent: &&Intent| intent.is_open() && intent.subscription == *line && intent.top_up.is_none();
    let waits =
        intents.iter().filter(is_in_the_way).map(|intent| intent.created_at.plus(TWO_MINUTES).since(now));
    waits.filter(|wait| !wait.is_zero()).max()
}

/// An open request, and what of the wallet it needs besides its own money.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) intent: Intent,
    pub(super) leans: Money,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) line: &'a LineId,
    /// A period when `None`.
    pub(super) top_up: Option<&'a TopUpId>,
    /// The phone that would be asked; `None` when the wallet alone pays.
    pub(super) phone: Option<&'a Msisdn>,
    pub(super) price: Money,
    pub(super) in_wallet: Money,
}

/// The open request that stands in the way, of those of the same customer or phone, newest first.
pub(super) fn in_the_way(pending: Vec<Pending>, wish: Wish<'_>, now: UnixMillis) -> Option<Open> {
    let taken = wish.price.min(wish.in_wallet);
    let left = wish.in_wallet.checked_sub(taken).unwrap_or(Money::ZERO);
    // Of all that were looked at: once the one with which it is too much has lapsed, so have the older ones.
    let mut leaned = Some(Money::ZERO);
    let mut why = |Pending { intent, leans }: &Pending| {
        let is_same_thing = intent.subscription == *wish.line && intent.top_up.as_ref() == wish.top_up;
        if is_same_thing {
            Some(Why::SameThing)
        } else if wish.phone == Some(&intent.phone) {
            Some(Why::SamePhone)
        } else {
            leaned = leaned.and_then(|sum| sum.checked_add(*leans));
            let is_too_much = leaned.is_none_or(|sum| sum > left);
            (taken.is_positive() && is_too_much).then_some(Why::CountsOnWallet)
        }
    };
    let (pending, why) = pending.into_iter().find_map(|pending| why(&pending).map(|why| (pending, why)))?;
    let wait = pending.intent.created_at.plus(TWO_MINUTES).since(now);
    Some(Open { intent: pending.intent, why, wait })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CustomerId, IntentId};
    use crate::mpesa::intent::{CallbackToken, State};
    use tawi_shared::IdSource;

    const PHONE: &str = "254712345678";
    const ANOTHER: &str = "254733000111";

    fn pending(line: &str, top_up: Option<&str>, phone: &str, leans: i64) -> Pending {
        let ids = IdSource::seeded(1);
        let intent = Intent {
            id: IntentId::random(&ids),
            subscription: LineId::parse(line).unwrap(),
            top_up: top_up.map(|id| TopUpId::parse(id).unwrap()),
            customer: CustomerId::random(&ids),
            short_code: "174379".to_owned(),
            phone: Msisdn::parse(phone).unwrap(),
            amount: Money::from_cents(100_000),
            promised: None,
            callback_token: CallbackToken::random(&ids),
            state: State::Prompted,
            checkout: None,
            merchant_request_id: None,
            next_query_at: None,
            queries_sent: 0,
            requested_by: String::new(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        };
        Pending { intent, leans: Money::from_cents(leans) }
    }

    #[test]
    fn only_the_same_thing_the_same_phone_and_what_counts_on_the_wallet_stand_in_the_way() {
        let (line, more) = (LineId::parse("l1").unwrap(), TopUpId::parse("t1").unwrap());
        let phone = Msisdn::parse(PHONE).unwrap();
        let check = |open: Pending, top_up: Option<&TopUpId>, phone, wallet: i64, expected: Option<Why>| {
            let (price, in_wallet) = (Money::from_cents(20_000), Money::from_cents(wallet));
            let wish = Wish { line: &line, top_up, phone, price, in_wallet };
            let said = format!("{open:?} {wish:?}");
            let found = in_the_way(vec![open], wish, UnixMillis(60_000));
            assert_eq!(found.as_ref().map(|open| open.why), expected, "{said}");
            assert!(found.is_none_or(|open| open.wait == Duration::from_secs(60)));
        };
        let period = |leans| pending("l1", None, PHONE, leans);
        check(period(0), None, None, 0, Some(Why::SameThing));
        check(period(0), None, Some(&phone), 0, Some(Why::SameThing));
        check(pending("l1", Some("t1"), PHONE, 0), Some(&more), None, 20_000, Some(Why::SameThing));
        check(pending("l1", Some("t2"), PHONE, 0), Some(&more), None, 20_000, None);
        check(pending("l2", None, PHONE, 0), None, None, 0, None);
        check(pending("l2", None, PHONE, 0), None, Some(&phone), 0, Some(Why::SamePhone));
        check(pending("l2", None, ANOTHER, 0), None, Some(&phone), 0, None);
        // The wallet alone pays, and no phone is in it.
        check(period(0), Some(&more), None, 20_000, None);
        check(period(50_000), Some(&more), None, 70_000, None);
        check(period(50_001), Some(&more), None, 70_000, Some(Why::CountsOnWallet));
        // Nothing is taken out of an empty wallet.
        check(pending("l2", None, ANOTHER, 1), None, Some(&phone), 0, None);
        check(pending("l2", None, ANOTHER, 1), None, Some(&phone), 1, Some(Why::CountsOnWallet));
    }

    #[test]
    fn open_requests_lean_on_the_wallet_together_and_the_newest_that_is_too_much_says_until_when() {
        let line = LineId::parse("l1").unwrap();
        // Newest first, with the second in which each was made; 200 of the 700 in the wallet would be taken.
        let check = |leaning: &[(i64, i64)], expected: Option<u64>| {
            let made = |&(leans, second): &(i64, i64)| {
                let mut open = pending("l2", None, ANOTHER, leans * 100);
                open.intent.created_at = UnixMillis(second * 1_000);
                open
            };
            let (price, in_wallet) = (Money::from_cents(20_000), Money::from_cents(70_000));
            let wish = Wish { line: &line, top_up: None, phone: None, price, in_wallet };
            let found = in_the_way(leaning.iter().map(made).collect(), wish, UnixMillis(60_000));
            assert_eq!(
                found.map(|open| (open.why, open.wait.as_secs())),
                expected.map(|wait| (Why::CountsOnWallet, wait))
            );
        };
        check(&[(300, 50), (200, 20)], None);
        check(&[(300, 50), (201, 20)], Some(80));
        check(&[(0, 55), (300, 50), (200, 30), (1, 10)], Some(70));
        check(&[(501, 50), (201, 20)], Some(110));
        check(&[(i64::MAX / 200, 50), (i64::MAX / 200, 20)], Some(110));
    }

    #[test]
    fn what_blocks_says_which_request_it_is_and_until_when() {
        let check = |why, top_up: Option<&str>, expected: &[&str]| {
            let wait = Duration::from_secs(95);
            let said = Open { intent: pending("l1", top_up, PHONE, 0).intent, why, wait }.sentence();
            assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        };
        check(Why::SameThing, None, &["KES 1,000.00", "not pay twice", "95 seconds"]);
        check(
            Why::SamePhone,
            Some("t1"),
            &["KES 1,000.00", "for a top-up", "one request at a time", "95 seconds"],
        );
        check(Why::CountsOnWallet, None, &["KES 1,000.00", "for a period", "wallet", "95 seconds"]);
    }
}
