//! Payments against requests and customers, as a table of what differs from one that fits.

use super::super::Payer;
use super::*;
use crate::mpesa::evidence::ReceiptNumber;

const CODE: &str = "174379";
const NOON: UnixMillis = UnixMillis(1_790_000_000_000);
const PHONE: &str = "254712345678";

fn account() -> AccountNumber {
    AccountNumber::from_serial(1_000_001).unwrap()
}

fn row() -> Incoming {
    Incoming {
        receipt: ReceiptNumber::parse("RKL51ZDR4F").unwrap(),
        paid_at: Some(PaidAt { probably: NOON, perhaps: None }),
        payer: Payer::told(PHONE),
        kind: TransactionKind::Known,
        reference: account().to_string(),
        amount: Money::from_cents(150_000),
    }
}

fn candidate(intent: &str) -> Candidate {
    Candidate {
        intent: IntentId::parse(intent).unwrap(),
        subscription: LineId::parse("l1").unwrap(),
        customer: CustomerId::parse("c1").unwrap(),
        account_number: account(),
        short_code: CODE.to_owned(),
        phone: Msisdn::parse(PHONE).unwrap(),
        amount: Money::from_cents(150_000),
        top_up: None,
        promised: None,
        standing: Standing::Unknown,
        created_at: NOON.minus(Duration::from_secs(20)),
    }
}

fn holder(lines: &[&str]) -> Named {
    Named::Holder(Holder {
        customer: CustomerId::parse("c1").unwrap(),
        subscriptions: lines.iter().map(|line| LineId::parse(line).unwrap()).collect(),
    })
}

fn intent(id: &str) -> Match {
    Match::Intent(IntentId::parse(id).unwrap())
}

fn customer(line: Option<&str>) -> Match {
    Match::Customer {
        customer: CustomerId::parse("c1").unwrap(),
        subscription: line.map(|line| LineId::parse(line).unwrap()),
        is_unclear: line.is_none(),
    }
}

/// One request, of a customer with one line, and one thing about the row or the request that differs.
fn check(name: &str, change: impl FnOnce(&mut Incoming, &mut Candidate), expected: Match) {
    let (mut row, mut candidate) = (row(), candidate("i1"));
    change(&mut row, &mut candidate);
    assert_eq!(decide(&row, CODE, &holder(&["l1"]), &[candidate]), expected, "{name}");
}

#[test]
fn a_row_is_a_requests_when_everything_fits_and_the_customers_otherwise() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let number = account();
    let (left, right) = number.as_str().split_at(4);
    let spelt = format!(" {left}-{right} ");
    check("as it is", |_, _| {}, intent("i1"));
    check("account as people write it", |row, _| row.reference = spelt, intent("i1"));
    check("masked", |row, _| row.payer = Payer::told("2547 ***** 678"), intent("i1"));
    check("payer not said", |row, _| row.payer = Payer::told(""), intent("i1"));
    check("14 minutes before", |_, one| one.created_at = NOON.plus(minutes(14)), intent("i1"));
    check("14 minutes after", |_, one| one.created_at = NOON.minus(minutes(14)), intent("i1"));
    check("said unpaid", |_, one| one.standing = Standing::SaidUnpaid, intent("i1"));

    check("another amount", |row, _| row.amount = Money::from_cents(150_001), customer(Some("l1")));
    check("another phone", |row, _| row.payer = Payer::told("254712345679"), customer(Some("l1")));
    check("another mask", |row, _| row.payer = Payer::told("2547 ***** 679"), customer(Some("l1")));
    check("16 minutes", |_, one| one.created_at = NOON.minus(minutes(16)), customer(Some("l1")));
    check("time not understood", |row, _| row.paid_at = None, customer(Some("l1")));
    check("another short code", |_, one| one.short_code = "600000".to_owned(), customer(Some("l1")));
    let another = AccountNumber::from_serial(1_000_002).unwrap();
    check("another account", |_, one| one.account_number = another, customer(Some("l1")));
}

#[test]
fn a_time_that_ends_in_z_is_utc_only_where_safaricom_says_paid_and_nothing_else_fits() {
    let hours = Duration::from_secs(3 * 3_600);
    let row = Incoming { paid_at: Some(PaidAt { probably: NOON, perhaps: Some(NOON.plus(hours)) }), ..row() };
    let later = |standing| Candidate { standing, created_at: NOON.plus(hours), ..candidate("later") };
    let check = |candidates: &[Candidate], expected: Match| {
        assert_eq!(decide(&row, CODE, &holder(&["l1"]), candidates), expected, "{candidates:?}");
    };
    check(&[later(Standing::SaidPaid)], intent("later"));
    check(&[later(Standing::Unknown)], customer(Some("l1")));
    check(&[later(Standing::SaidUnpaid)], customer(Some("l1")));
    check(&[later(Standing::SaidPaid), candidate("now")], intent("now"));
}

#[test]
fn requests_for_different_things_that_fit_alike_leave_the_money_in_the_wallet() {
    let top_up = TopUpId::parse("t1").ok();
    let offer = |cents| Promised {
        plan: crate::ids::PlanId::parse("day").unwrap(),
        offer: crate::entitlements::Offer {
            price: Money::from_cents(cents),
            validity: Duration::from_secs(86_400),
            bytes: None,
        },
    };
    let of = |id: &str, top_up: &Option<TopUpId>, promised: Option<Promised>, standing| Candidate {
        top_up: top_up.clone(),
        promised,
        standing,
        ..candidate(id)
    };
    let check = |candidates: &[Candidate], expected: Match| {
        assert_eq!(decide(&row(), CODE, &holder(&["l1"]), candidates), expected, "{candidates:?}");
    };
    let (unknown, paid) = (Standing::Unknown, Standing::SaidPaid);
    let day = || Some(offer(150_000));
    check(&[of("a", &top_up, None, unknown), of("b", &top_up, None, unknown)], intent("a"));
    check(&[of("a", &None, day(), unknown), of("b", &None, day(), unknown)], intent("a"));
    check(&[of("a", &None, day(), unknown), of("b", &top_up, None, unknown)], customer(None));
    check(&[of("a", &None, day(), unknown), of("b", &None, Some(offer(140_000)), unknown)], customer(None));
    check(&[of("a", &None, day(), unknown), of("b", &top_up, None, paid)], intent("b"));
    check(&[of("a", &None, day(), paid), of("b", &top_up, None, paid)], intent("a"));
}

#[test]
fn a_customer_with_one_line_buys_for_it_and_others_fill_the_wallet() {
    let alone = |lines: &[&str]| decide(&row(), CODE, &holder(lines), &[]);
    assert_eq!(alone(&["l1"]), customer(Some("l1")));
    assert_eq!(alone(&["l1", "l2"]), customer(None));
    let c1 = CustomerId::parse("c1").unwrap();
    let without_line = Match::Customer { customer: c1, subscription: None, is_unclear: false };
    assert_eq!(alone(&[]), without_line);
}

#[test]
fn what_is_nobodys_says_why() {
    let check = |reference: &str, expected| {
        let row = Incoming { reference: reference.to_owned(), ..row() };
        assert_eq!(decide(&row, CODE, &Named::Nobody, &[]), Match::Nobody(expected), "{reference}");
    };
    check("", NoOwner::NoAccount);
    check("rent", NoOwner::NotAnAccount);
    check("1000001", NoOwner::NotAnAccount);
    check("0712 345 678", NoOwner::UnknownPhone);
    let number = account();
    let (stem, digit) = number.as_str().split_at(7);
    let slip = format!("{stem}{}", if digit == "0" { '1' } else { '0' });
    check(&slip, NoOwner::CheckDigit);
    check(account().as_str(), NoOwner::UnknownAccount);
    let reversal = Incoming { kind: TransactionKind::Unknown, ..row() };
    let told = decide(&reversal, CODE, &holder(&["l1"]), &[candidate("i1")]);
    assert_eq!(told, Match::Nobody(NoOwner::UnknownKind));
}

#[test]
fn a_till_has_no_account_and_needs_the_whole_number() {
    let till = |payer: &str| Incoming { reference: String::new(), payer: Payer::told(payer), ..row() };
    let decide = |row: &Incoming| decide(row, CODE, &Named::Nobody, &[candidate("i1")]);
    assert_eq!(decide(&till(PHONE)), intent("i1"));
    for payer in ["2547 ***** 678", "", "254712345679"] {
        assert_eq!(decide(&till(payer)), Match::Nobody(NoOwner::NoAccount), "{payer}");
    }
}

#[test]
fn a_till_payment_of_a_masked_phone_is_the_only_requests_that_safaricom_says_is_paid() {
    let mask = "2547 ***** 678";
    let check = |payer: &str, candidates: &[Candidate], expected: Option<&str>| {
        let till = Incoming { reference: String::new(), payer: Payer::told(payer), ..row() };
        let found = decide(&till, CODE, &Named::Nobody, candidates);
        let expected = expected.map_or(Match::Nobody(NoOwner::NoAccount), intent);
        assert_eq!(found, expected, "{payer} {candidates:?}");
    };
    let paid = Candidate { standing: Standing::SaidPaid, ..candidate("paid") };
    let of = |phone: &str, standing| Candidate {
        phone: Msisdn::parse(phone).unwrap(),
        customer: CustomerId::parse("c2").unwrap(),
        subscription: LineId::parse("l2").unwrap(),
        standing,
        ..candidate("other")
    };
    let (like, unlike) = ("254799999678", "254799999999");
    check(mask, std::slice::from_ref(&paid), Some("paid"));
    check("0712***678", std::slice::from_ref(&paid), Some("paid"));
    // Too little of it shows, or another's.
    for payer in ["25471234****78", "2547 ***** 679", "", "MPESA"] {
        check(payer, std::slice::from_ref(&paid), None);
    }
    // Nobody says that it is paid, or it was at another time, for another amount, or elsewhere.
    check(mask, &[candidate("i1")], None);
    let late = NOON.minus(Duration::from_secs(16 * 60));
    check(mask, &[Candidate { created_at: late, ..paid.clone() }], None);
    check(mask, &[Candidate { amount: Money::from_cents(1), ..paid.clone() }], None);
    check(mask, &[Candidate { short_code: "600000".to_owned(), ..paid.clone() }], None);
    // Another that is open, whoever's; and one that is said to be unpaid, where the mask fits it too.
    for (phone, standing, expected) in [
        (like, Standing::SaidPaid, None),
        (unlike, Standing::SaidPaid, None),
        (like, Standing::Unknown, None),
        (unlike, Standing::Unknown, None),
        (like, Standing::SaidUnpaid, None),
        (unlike, Standing::SaidUnpaid, Some("paid")),
    ] {
        check(mask, &[paid.clone(), of(phone, standing)], expected);
        check(mask, &[of(phone, standing), paid.clone()], expected);
    }
    let elsewhere = Candidate { short_code: "600000".to_owned(), ..of(like, Standing::Unknown) };
    check(mask, &[paid, elsewhere], Some("paid"));
}

#[test]
fn of_several_requests_the_likeliest_and_then_the_oldest_is_paid() {
    let at = |id: &str, standing, seconds| Candidate {
        standing,
        created_at: NOON.minus(Duration::from_secs(seconds)),
        ..candidate(id)
    };
    let check = |candidates: &[Candidate], expected: &str| {
        let lines = holder(&["l1", "l2"]);
        assert_eq!(decide(&row(), CODE, &lines, candidates), intent(expected));
        let backwards: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        assert_eq!(decide(&row(), CODE, &lines, &backwards), intent(expected));
    };
    check(&[at("new", Standing::Unknown, 10), at("old", Standing::Unknown, 200)], "old");
    check(&[at("new", Standing::SaidPaid, 10), at("old", Standing::Unknown, 200)], "new");
    check(&[at("new", Standing::Unknown, 10), at("old", Standing::SaidUnpaid, 200)], "new");
    let other_line = Candidate { subscription: LineId::parse("l2").unwrap(), ..candidate("other") };
    check(&[at("paid", Standing::SaidPaid, 10), other_line], "paid");
}

#[test]
fn requests_of_two_lines_that_fit_alike_leave_the_money_in_the_wallet() {
    let other = Candidate { subscription: LineId::parse("l2").unwrap(), ..candidate("i2") };
    let both = [candidate("i1"), other];
    assert_eq!(decide(&row(), CODE, &holder(&["l1", "l2"]), &both), customer(None));
    let till = Incoming { reference: String::new(), ..row() };
    assert_eq!(decide(&till, CODE, &Named::Nobody, &both), Match::Nobody(NoOwner::Ambiguous));
}

#[test]
fn a_phone_in_place_of_the_account_names_its_customer() {
    let typed = Incoming { reference: "0712 345 678".to_owned(), ..row() };
    let decide = |named: &Named| decide(&typed, CODE, named, &[candidate("i1")]);
    assert_eq!(decide(&holder(&["l1"])), intent("i1"));
    assert_eq!(decide(&Named::Nobody), Match::Nobody(NoOwner::UnknownPhone));
    assert_eq!(decide(&Named::Several), Match::Nobody(NoOwner::SharedPhone));
    let other = Named::Holder(Holder { customer: CustomerId::parse("c2").unwrap(), subscriptions: vec![] });
    let customer = CustomerId::parse("c2").unwrap();
    let theirs = Match::Customer { customer, subscription: None, is_unclear: false };
    assert_eq!(decide(&other), theirs);
}
