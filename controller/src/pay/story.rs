//! What the page that follows a request says, in each of its states, and how soon it looks again. Pure.
//!
//! ```text
//!   sending ─▶ look at the phone ─▶ paid ─▶ line is being opened ─▶ line is open ─▶ connected
//!      │            │    │             └──▶ site offline · line fails · into the account
//!      ▼            ▼    └▶ not paid, and why ─▶ back to the payment
//!   not known · receipt on its way · not clear: do not pay again
//! ```
//! Nothing is called failed that may have been paid: a customer who is told "failed" pays again.

use std::time::Duration;

use super::words::Text;
use crate::mpesa::intent::State;
use crate::payments::Unspent;
use crate::payments::progress::Progress;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Story {
    /// `good`, `info`, `warn` or `bad`.
    pub(super) tone: &'static str,
    pub(super) heading: Text,
    pub(super) sentences: Vec<Text>,
    /// Whether paying again is offered.
    pub(super) may_try_again: bool,
    /// Whether the steps without a prompt come first.
    pub(super) are_steps_first: bool,
    /// Whether it is not over: the page looks again by itself for a while.
    pub(super) is_open: bool,
}

/// What came of money that was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is being booked.
    Received,
    /// It bought something, which is so far.
    Bought(Progress),
    /// It lies in the account.
    Unspent(Option<Unspent>),
}

const fn story(tone: &'static str, heading: Text, sentences: Vec<Text>) -> Story {
    Story { tone, heading, sentences, may_try_again: false, are_steps_first: false, is_open: true }
}

fn over(story: Story) -> Story {
    Story { is_open: false, ..story }
}

/// What to say of a request to a phone; `arrival` counts once it is paid.
pub(super) fn of_request(state: &State, arrival: &Arrival) -> Story {
    match state {
        State::Created | State::Submitting => story("info", Text::Sending, vec![Text::ShowsByItself]),
        State::Prompted => story("info", Text::Prompted, vec![Text::EnterPin, Text::ShowsByItself]),
        State::SubmitUnknown => story("warn", Text::NotKnown, vec![Text::NotKnownWhy, Text::ShowsByItself]),
        State::PaidUnreceipted => {
            story("warn", Text::Unreceipted, vec![Text::UnreceiptedWhy, Text::OpenOnTrust])
        }
        State::Review(_) => story("warn", Text::Review, vec![Text::ReviewWhy]),
        State::Expired => Story { may_try_again: true, ..story("warn", Text::Expired, vec![Text::IfPaid]) },
        State::Declined(reason) => declined(&reason.code),
        State::Paid(_) => paid(arrival),
    }
}

/// What to say of a period that the wallet bought at once: how far it has come is not traced, so that nothing is said but
/// whether its site hears of it.
pub(super) fn of_balance(is_site_online: bool) -> Story {
    if is_site_online {
        over(story("good", Text::Paid, vec![Text::BalancePaid, Text::RunsUntil, Text::Restart]))
    } else {
        let sentences = vec![Text::BalancePaid, Text::SiteOfflineWhy, Text::TimeStartsThen, Text::RunsUntil];
        story("warn", Text::SiteOffline, sentences)
    }
}

/// What to say of a payment that somebody looks for, and that is on their account: what it waits for, if it does.
pub(super) fn of_one_that_is_theirs(arrival: &Arrival) -> Story {
    if let Arrival::Unspent(Some(_)) = arrival {
        return Story { heading: Text::TheirsAlready, ..paid(arrival) };
    }
    over(story("good", Text::TheirsAlready, vec![Text::Received, Text::RunsUntil]))
}

/// What M-Pesa's code means for whoever wanted to pay. A request that never left has none of Safaricom's.
fn declined(code: &str) -> Story {
    let (why, may_be_paid) = match code {
        "1" => (Text::NoMoney, false),
        "4" => (Text::DayLimit, false),
        "17" => (Text::SameAmount, false),
        "1001" => (Text::MenuOpen, false),
        "1031" | "1032" => (Text::Cancelled, false),
        "1019" | "1037" => (Text::NoAnswer, true),
        "2001" => (Text::WrongPin, false),
        "8006" => (Text::PinLocked, false),
        "2" | "3" | "8" | "2028" => (Text::OwnFault, false),
        code if code.eq_ignore_ascii_case("SFC_IC0003") => (Text::OwnFault, false),
        _ => (Text::Busy, false),
    };
    let sentences = if may_be_paid { vec![why, Text::IfPaid] } else { vec![why] };
    let story = Story {
        may_try_again: true,
        are_steps_first: matches!(why, Text::Busy),
        ..story("bad", Text::NotPaid, sentences)
    };
    // Money that moved after all is still told of here, which is worth looking for where it has been seen to happen.
    if may_be_paid { story } else { over(story) }
}

fn paid(arrival: &Arrival) -> Story {
    let said = |tone, heading, more: &[Text]| {
        let mut sentences = vec![Text::Received];
        sentences.extend_from_slice(more);
        story(tone, heading, sentences)
    };
    match arrival {
        Arrival::Received => said("good", Text::Paid, &[]),
        Arrival::Bought(Progress::Online(_)) => over(said("good", Text::Connected, &[Text::RunsUntil])),
        Arrival::Bought(Progress::OnRouter(_)) => {
            said("good", Text::LineOpen, &[Text::RunsUntil, Text::Restart])
        }
        Arrival::Bought(Progress::Failed(_)) => {
            said("warn", Text::LineFails, &[Text::LineFailsWhy, Text::RunsUntil])
        }
        Arrival::Bought(Progress::SiteOffline(_)) => {
            said("warn", Text::SiteOffline, &[Text::SiteOfflineWhy, Text::TimeStartsThen, Text::RunsUntil])
        }
        Arrival::Bought(Progress::SiteRevoked) => over(said("warn", Text::LineFails, &[Text::LineFailsWhy])),
        Arrival::Bought(Progress::ToBeSent | Progress::Sent | Progress::Stored) => {
            said("good", Text::Opening, &[Text::RunsUntil])
        }
        Arrival::Unspent(Some(Unspent::TooLittle)) => over(said("warn", Text::InBalance, &[Text::TooLittle])),
        Arrival::Unspent(Some(Unspent::OnHold)) => over(said("warn", Text::InBalance, &[Text::WaitsOnHold])),
        Arrival::Bought(Progress::BoughtNothing)
        | Arrival::Unspent(Some(Unspent::SiteRevoked | Unspent::Unclear | Unspent::Other) | None) => {
            over(said("warn", Text::InBalance, &[Text::WaitsForPerson]))
        }
    }
}

/// When the page looks again by itself: soon while somebody holds the phone, and no more once it must lie forgotten in a
/// pocket.
pub(super) fn looks_again_after(age: Duration) -> Option<u32> {
    match age.as_secs() {
        0..=59 => Some(3),
        60..=179 => Some(5),
        180..=1_799 => Some(20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpesa::evidence::Reason;

    #[test]
    fn of_a_payment_that_is_on_the_account_it_is_said_what_it_waits_for() {
        let check = |arrival: Arrival, tone: &str, said: Text| {
            let story = of_one_that_is_theirs(&arrival);
            assert_eq!((story.heading, story.tone, story.is_open), (Text::TheirsAlready, tone, false));
            assert!(story.sentences.contains(&said), "{arrival:?}");
        };
        check(Arrival::Received, "good", Text::RunsUntil);
        check(Arrival::Unspent(None), "good", Text::Received);
        check(Arrival::Unspent(Some(Unspent::TooLittle)), "warn", Text::TooLittle);
        check(Arrival::Unspent(Some(Unspent::OnHold)), "warn", Text::WaitsOnHold);
        check(Arrival::Unspent(Some(Unspent::Other)), "warn", Text::WaitsForPerson);
    }

    /// Every state of a request that is not paid, and what is said of it.
    #[test]
    fn nothing_that_may_have_been_paid_is_called_failed_or_offered_without_a_warning() {
        let check = |state: State, heading: Text, may_try_again: bool, warns: bool| {
            let story = of_request(&state, &Arrival::Received);
            assert_eq!((story.heading, story.may_try_again), (heading, may_try_again), "{state:?}");
            let warnings =
                [Text::ShowsByItself, Text::IfPaid, Text::NotKnown, Text::Unreceipted, Text::Review];
            let said = std::iter::once(story.heading).chain(story.sentences);
            assert_eq!(said.into_iter().any(|text| warnings.contains(&text)), warns, "{state:?}");
        };
        let declined = |code: &str| State::Declined(Reason::new(code, ""));
        check(State::Created, Text::Sending, false, true);
        check(State::Submitting, Text::Sending, false, true);
        check(State::Prompted, Text::Prompted, false, true);
        check(State::SubmitUnknown, Text::NotKnown, false, true);
        check(State::PaidUnreceipted, Text::Unreceipted, false, true);
        check(State::Review(Reason::new("31337", "")), Text::Review, false, true);
        check(State::Expired, Text::Expired, true, true);
        check(declined("1037"), Text::NotPaid, true, true);
        check(declined("1032"), Text::NotPaid, true, false);
        check(declined("1"), Text::NotPaid, true, false);
        check(declined(""), Text::NotPaid, true, false);
        check(State::Paid("RGP6CZDYG6".parse().unwrap()), Text::Paid, false, false);
    }

    #[test]
    fn what_m_pesa_says_is_told_in_the_payers_words() {
        let check = |code: &str, why: Text, are_steps_first: bool| {
            let story = declined(code);
            assert_eq!(story.sentences.first(), Some(&why), "{code}");
            assert_eq!(story.are_steps_first, are_steps_first, "{code}");
        };
        check("1", Text::NoMoney, false);
        check("17", Text::SameAmount, false);
        check("1032", Text::Cancelled, false);
        check("1037", Text::NoAnswer, false);
        check("2001", Text::WrongPin, false);
        check("8006", Text::PinLocked, false);
        check("sfc_ic0003", Text::OwnFault, false);
        check("26", Text::Busy, true);
        check("500.003.02", Text::Busy, true);
        check("", Text::Busy, true);
    }

    #[test]
    fn what_was_paid_is_followed_until_the_line_is_on() {
        let check = |arrival: Arrival, heading: Text, is_open: bool| {
            let story = paid(&arrival);
            assert_eq!((story.heading, story.is_open, story.may_try_again), (heading, is_open, false));
        };
        let took = Duration::from_millis(80);
        check(Arrival::Received, Text::Paid, true);
        check(Arrival::Bought(Progress::Stored), Text::Opening, true);
        check(Arrival::Bought(Progress::SiteOffline(None)), Text::SiteOffline, true);
        check(Arrival::Bought(Progress::OnRouter(took)), Text::LineOpen, true);
        check(Arrival::Bought(Progress::Online(took)), Text::Connected, false);
        check(Arrival::Bought(Progress::Failed("refused".to_owned())), Text::LineFails, true);
        check(Arrival::Bought(Progress::SiteRevoked), Text::LineFails, false);
        check(Arrival::Unspent(Some(Unspent::TooLittle)), Text::InBalance, false);
        check(Arrival::Unspent(None), Text::InBalance, false);
    }

    #[test]
    fn a_page_that_nobody_looks_at_any_more_stops_asking() {
        let check = |seconds: u64, expected: Option<u32>| {
            assert_eq!(looks_again_after(Duration::from_secs(seconds)), expected);
        };
        check(0, Some(3));
        check(60, Some(5));
        check(180, Some(20));
        check(1_799, Some(20));
        check(1_800, None);
        let looks: u64 = 60 / 3 + 120 / 5 + 1_620 / 20;
        assert!(looks < 130, "{looks} looks at most");
    }
}
