//! Which request for payment stands in the way of what somebody wants now. Pure.
//!
//! ```text
//! an open one: the same thing for the same line ─> two prompts would be two payments
//!              the same phone ─> M-Pesa holds one prompt on a phone, and refuses the same amount for two minutes
//!              it counts on the wallet ─> what is spent now would be missing when its money comes
//! one that has ended, for the same thing: paid a moment ago ─> a button that was pressed twice
//!              nobody knows whether it was paid ─> whoever pays again may pay twice
//!              M-Pesa says that it was, and the receipt is missing ─> whoever pays again pays twice
//!              M-Pesa refused it as the same once more ─> it would again
//! ```
//!
//! Anything else goes on beside it: a top-up out of the wallet does not wait for a phone. Asking is `request`.

use std::time::Duration;

use tawi_shared::UnixMillis;

use crate::customers::phone::Msisdn;
use crate::ids::{LineId, TopUpId};
use crate::money::Money;
use crate::mpesa::intent::{Intent, State};
use crate::mpesa::result_codes;

/// M-Pesa's own rule (result code 17): the same amount from the same phone not twice within two minutes.
pub(super) const TWO_MINUTES: Duration = Duration::from_secs(120);
/// How long nobody is asked again after an answer of which nobody knows whether money moved. What it moved has been told by
/// Pull or a confirmation by then.
pub(super) const UNCLEAR_FOR: Duration = Duration::from_secs(15 * 60);
/// How long nobody is asked again for what M-Pesa says is paid: as long as a line is open on trust for it.
pub(super) const SAID_PAID_FOR: Duration = Duration::from_secs(86_400);
/// How long after it was made a request can still stand in the way: its end, or that it is paid, is told within minutes.
pub(super) const MADE_WITHIN: Duration = Duration::from_secs(86_400 + 30 * 60);

/// Why an open request stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It asks for the same thing.
    SameThing,
    /// It is on the same phone.
    SamePhone,
    /// Its money buys what it is for only together with what is in the wallet.
    CountsOnWallet,
    /// It asked for the same thing, and was paid a moment ago.
    JustPaid,
    /// It asked for the same thing, and nobody knows whether it was paid.
    Unclear,
    /// It asked for the same thing, and M-Pesa says that it was paid; the receipt has not come.
    SaidPaid,
    /// It asked for the same thing, and M-Pesa refused it as the same amount from the same phone.
    TooSoon,
}

/// A request that stands in the way.
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
            Why::JustPaid => format!(
                "A request for KES {amount} for {what} was paid a moment ago. If another is wanted, it can be asked for in \
                 {wait} seconds."
            ),
            Why::Unclear => format!(
                "Nobody knows whether a request for KES {amount} for {what} was paid: the customer must not pay again. \
                 Another can be sent in {wait} seconds."
            ),
            Why::SaidPaid => format!(
                "M-Pesa says that a request for KES {amount} for {what} was paid, and its receipt has not come: the \
                 customer must not pay again. It is booked by itself. Another can be sent in {} hours.",
                wait.div_ceil(3_600)
            ),
            Why::TooSoon => format!(
                "M-Pesa takes the same amount from the same phone only after two minutes: ask again in {wait} seconds."
            ),
        }
    }
}

/// Why a request stands in the way of another for the same thing, and for how long; `None` when it does not, or not now.
fn lock_of(intent: &Intent, now: UnixMillis) -> Option<(Why, Duration)> {
    let (why, until) = match &intent.state {
        State::PaidUnreceipted if intent.is_to_buy() => {
            (Why::SaidPaid, intent.updated_at.plus(said_paid_for(intent)))
        }
        _ if intent.is_open() => (Why::SameThing, intent.created_at.plus(TWO_MINUTES)),
        State::Paid(_) if intent.is_to_buy() => (Why::JustPaid, intent.updated_at.plus(TWO_MINUTES)),
        State::Review(_) => (Why::Unclear, intent.updated_at.plus(UNCLEAR_FOR)),
        State::Declined(reason) if reason.code == result_codes::SAME_AGAIN => {
            (Why::TooSoon, intent.updated_at.plus(TWO_MINUTES))
        }
        _ => return None,
    };
    let wait = until.since(now);
    (!wait.is_zero()).then_some((why, wait))
}

/// How long nobody is asked again for what M-Pesa says is paid: no longer than what it buys lasts.
fn said_paid_for(intent: &Intent) -> Duration {
    let lasts = intent.promised.as_ref().map(|promised| promised.offer.validity);
    lasts.map_or(SAID_PAID_FOR, |lasts| lasts.min(SAID_PAID_FOR)).max(UNCLEAR_FOR)
}

/// How long a request is on its phone, and leans on the wallet; `None` when it is and does no more.
fn open_for(intent: &Intent, now: UnixMillis) -> Option<Duration> {
    let wait = intent.created_at.plus(TWO_MINUTES).since(now);
    (intent.is_open() && !wait.is_zero()).then_some(wait)
}

/// Why and how long another request for a period of a line must wait for one of these; `None` when none stands in the way.
pub(crate) fn wait_of(intents: &[Intent], line: &LineId, now: UnixMillis) -> Option<(Why, Duration)> {
    let is_for_it = |intent: &&Intent| intent.subscription == *line && intent.top_up.is_none();
    let locks = intents.iter().filter(is_for_it).filter_map(|intent| lock_of(intent, now));
    locks.max_by_key(|(_, wait)| *wait)
}

/// A request, and what of the wallet it needs besides its own money.
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

/// The request that stands in the way, of those of the same customer or phone, newest first.
pub(super) fn in_the_way(pending: Vec<Pending>, wish: Wish<'_>, now: UnixMillis) -> Option<Open> {
    let taken = wish.price.min(wish.in_wallet);
    let left = wish.in_wallet.checked_sub(taken).unwrap_or(Money::ZERO);
    // Of all that were looked at: once the one with which it is too much has lapsed, so have the older ones.
    let mut leaned = Some(Money::ZERO);
    let mut why = |Pending { intent, leans }: &Pending| {
        let is_same_thing = intent.subscription == *wish.line && intent.top_up.as_ref() == wish.top_up;
        if is_same_thing {
            // A wallet that can pay need not wait for other money.
            let is_for_wallet = wish.phone.is_none();
            return lock_of(intent, now).filter(|(why, _)| *why != Why::SaidPaid || !is_for_wallet);
        }
        let wait = open_for(intent, now)?;
        if wish.phone == Some(&intent.phone) {
            return Some((Why::SamePhone, wait));
        }
        leaned = leaned.and_then(|sum| sum.checked_add(*leans));
        let is_too_much = leaned.is_none_or(|sum| sum > left);
        (taken.is_positive() && is_too_much).then_some((Why::CountsOnWallet, wait))
    };
    let found = pending.into_iter().find_map(|pending| why(&pending).map(|why| (pending.intent, why)));
    found.map(|(intent, (why, wait))| Open { intent, why, wait })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CustomerId, IntentId};
    use crate::mpesa::evidence::Reason;
    use crate::mpesa::intent::CallbackToken;
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
    fn what_was_just_paid_or_refused_or_is_not_known_stands_in_the_way_of_the_same_thing_for_a_while() {
        let (line, more) = (LineId::parse("l1").unwrap(), TopUpId::parse("t1").unwrap());
        let check = |state: State, asked: (&str, Option<&str>), second: i64, expected: Option<(Why, u64)>| {
            let mut ended = pending(asked.0, asked.1, PHONE, 0);
            (ended.intent.state, ended.intent.updated_at) = (state, UnixMillis(60_000));
            let (price, phone) = (Money::from_cents(20_000), Msisdn::parse(PHONE).unwrap());
            let wish =
                Wish { line: &line, top_up: Some(&more), phone: Some(&phone), price, in_wallet: Money::ZERO };
            let found = in_the_way(vec![ended], wish, UnixMillis(second * 1_000));
            assert_eq!(found.map(|open| (open.why, open.wait.as_secs())), expected, "{asked:?} {second}");
        };
        let receipt = || State::Paid(crate::mpesa::evidence::ReceiptNumber::parse("RAA1").unwrap());
        let (same, other) = (("l1", Some("t1")), ("l2", Some("t1")));
        check(receipt(), same, 100, Some((Why::JustPaid, 80)));
        check(receipt(), same, 180, None);
        check(receipt(), other, 100, None);
        let code = |code: &str| Reason::new(code, "said so");
        check(State::Review(code("77")), same, 100, Some((Why::Unclear, 860)));
        check(State::Review(code("77")), same, 960, None);
        check(State::Declined(code("17")), same, 100, Some((Why::TooSoon, 80)));
        check(State::Declined(code("17")), other, 100, None);
        check(State::Declined(code("1032")), same, 100, None);
        check(State::PaidUnreceipted, same, 3_660, Some((Why::SaidPaid, 82_800)));
        check(State::PaidUnreceipted, same, 86_460, None);
        // Of another thing it has left the phone.
        check(State::PaidUnreceipted, other, 60, Some((Why::SamePhone, 60)));
        check(State::PaidUnreceipted, other, 3_660, None);
        // Less than what it is for lacks buys nothing, and the rest may be paid at once.
        let mut part = pending("l1", None, PHONE, 0).intent;
        (part.state, part.updated_at) = (receipt(), UnixMillis(60_000));
        assert_eq!(wait_of(&[part.clone()], &line, UnixMillis(70_000)), None);
        part.state = State::Review(code("77"));
        let wait = Duration::from_secs(890);
        assert_eq!(wait_of(&[part], &line, UnixMillis(70_000)), Some((Why::Unclear, wait)));
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
        check(Why::JustPaid, None, &["was paid a moment ago", "95 seconds"]);
        check(Why::Unclear, None, &["must not pay again", "95 seconds"]);
        check(Why::SaidPaid, None, &["was paid", "must not pay again", "1 hours"]);
        check(Why::TooSoon, None, &["two minutes", "95 seconds"]);
    }
}
