//! The daily close: what confirmations, Pull and a statement told of one day, receipt by receipt, and the proof of the books.

use tawi_shared::UnixMillis;

use daraja_sim::DEMO_OPERATOR_PASSWORD;

use super::c2b::{account, confirmation, deliver, registered};
use super::operator::set_up;
use super::pulling::{daraja_that_tells, pull_settings, row_of, sweep};
use super::shop::Shop;
use super::statements::{statement, taken_in};
use crate::audit::Actor;
use crate::closing::{self, Close, Covered, Day, Kind, Standing, proof};
use crate::ids::RefundId;
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::operator::{self, Question};
use crate::mpesa::pull::sweep::Sweeper;
use crate::payments::counter::Clerk;
use crate::payments::refunds::{self, Decision, State, Wanted, Way, send::send_due};
use crate::payments::review::by_hand::{self, BookedAs, NotBooked};
use crate::payments::{self, LookedAt};
use crate::staff::Login;
use crate::web::display;

const CODE: &str = "174379";

fn day() -> Day {
    Day::parse("2026-11-26").unwrap()
}

fn at(time: &str) -> UnixMillis {
    display::local(&format!("2026-11-26T{time}")).unwrap()
}

async fn close(shop: &Shop) -> Close {
    closing::close(&mut shop.controller.database.read().await.unwrap(), day(), CODE).await.unwrap()
}

async fn findings(shop: &Shop) -> Vec<String> {
    let mut read = shop.controller.database.read().await.unwrap();
    let proof = proof::prove(&mut read, shop.controller.clock.now()).await.unwrap();
    proof.findings.iter().map(ToString::to_string).collect()
}

fn differences(close: &Close) -> Vec<(Kind, &str)> {
    close.differences.iter().map(|one| (one.kind, one.receipt.as_str())).collect()
}

/// Confirmations tell of A and B, Pull of A and C, and nobody else of anything.
async fn sold(shop: &Shop, token: &crate::mpesa::intent::CallbackToken) {
    shop.controller.clock.set(at("13:00"));
    for (receipt, time) in [("RKL51ZDR4A", "100000"), ("RKL51ZDR4B", "110000")] {
        let body = confirmation(receipt, "1500.00", CODE, &account(shop))
            .replace("20260921013147", &format!("20261126{time}"));
        assert_eq!(deliver(shop, token, body).await, 200);
    }
    let told = [("RKL51ZDR4A", "10:00:00"), ("RKL51ZDR4C", "11:30:00")]
        .map(|(receipt, time)| row_of(receipt, &format!("2026-11-26T{time}"), &account(shop)));
    let daraja = daraja_that_tells(shop, &format!("[[{}]]", told.join(","))).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(shop));
    assert_eq!(sweep(shop, &mut sweeper).await, (2, 1));
}

fn row(
    receipt: &str,
    time: &str,
    details: &str,
    (paid_in, withdrawn, balance): (&str, &str, &str),
) -> String {
    format!("{receipt},{time},,{details},Completed,{paid_in},{withdrawn},{balance},true,,,,")
}

#[tokio::test]
async fn what_pull_or_the_statement_does_not_know_is_a_difference_where_it_told_of_everything_else() {
    let (shop, token) = registered().await;
    sold(&shop, &token).await;
    let found = close(&shop).await;
    assert_eq!((found.booked.payments, found.booked.amount), (3, Money::from_cents(450_000)));
    assert_eq!((found.by_pull.payments, found.by_statement.payments), (2, 0));
    assert_eq!(differences(&found), [(Kind::NotInPull, "RKL51ZDR4B")]);
    assert_eq!(found.pull, Covered::Partly(day().start(), at("12:50")), "the newest may yet be told of");
    assert_eq!((found.statement, found.standing(at("13:00"))), (Covered::Not, Standing::Differs(1)));
    // The portal knows of A, C, and D that nothing else told of, and goes on into the next day; B it does not know.
    let pay = "Pay Bill from 2547****678 Acc. 1";
    let rows = [
        row("RKL51ZDR4Z", "2026-11-27 00:10:00", "Pay Bill Charge", ("", "-1.00", "4299.00")),
        row(
            "RKL51ZDR4Y",
            "2026-11-26 20:00:00",
            "Organization Settlement Account Withdrawal to bank",
            ("", "-200.00", "4300.00"),
        ),
        row("RKL51ZDR4D", "2026-11-26 12:00:00", pay, ("1500.00", "", "4500.00")),
        row("RKL51ZDR4C", "2026-11-26 11:30:00", pay, ("1500.00", "", "3000.00")),
        row("RKL51ZDR4A", "2026-11-26 10:00:00", pay, ("1500.00", "", "1500.00")),
        row("RKL51ZDR49", "2026-11-25 23:00:00", "Pay Bill Charge", ("", "-5.00", "0.00")),
    ];
    taken_in(&shop, &statement(&rows)).await;
    let found = close(&shop).await;
    assert_eq!((found.booked.payments, found.by_statement.payments), (4, 3));
    assert_eq!(found.statement, Covered::Whole);
    let kinds = differences(&found);
    assert!(kinds.contains(&(Kind::NotInStatement, "RKL51ZDR4B")), "{kinds:?}");
    assert!(!kinds.contains(&(Kind::NotInPull, "RKL51ZDR4D")), "the statement has it: {kinds:?}");
    // And the ledger's account has what B brought, as M-Pesa has not.
    let apart = found.differences.iter().find(|one| one.kind == Kind::Balance).unwrap();
    assert_eq!((found.moved, apart.amount), (Money::from_cents(580_000), Some(Money::from_cents(-150_000))));
    for part in ["from KES 0.00 to KES 4,300.00", "the ledger moved KES 5,800.00"] {
        assert!(apart.detail.contains(part), "{part}: {}", apart.detail);
    }
    assert_eq!(found.not_compared, Vec::<String>::new());
    assert_eq!(findings(&shop).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_day_of_which_all_tell_the_same_agrees_once_it_is_over() {
    let (shop, token) = registered().await;
    shop.controller.clock.set(at("13:00"));
    let body = confirmation("RKL51ZDR4A", "1500.00", CODE, &account(&shop))
        .replace("20260921013147", "20261126100000");
    assert_eq!(deliver(&shop, &token, body).await, 200);
    let day_after = day().end().plus(std::time::Duration::from_secs(3_600));
    let found = close(&shop).await;
    assert_eq!(
        (found.standing(at("13:00")), found.standing(day_after)),
        (Standing::UnderWay, Standing::WaitsForStatement)
    );
    let typed = format!("Pay Bill from 2547****678 Acc. {}", account(&shop));
    let rows = [
        row("RKL51ZDR4Z", "2026-11-27 00:00:00", "Pay Bill Charge", ("", "-1.00", "1499.00")),
        row("RKL51ZDR4A", "2026-11-26 10:00:00", &typed, ("1500.00", "", "1500.00")),
        row("RKL51ZDR49", "2026-11-26 00:00:00", "Pay Bill Charge", ("", "-5.00", "0.00")),
    ];
    taken_in(&shop, &statement(&rows)).await;
    let found = close(&shop).await;
    assert_eq!((found.standing(day_after), found.charges), (Standing::Agrees, Money::from_cents(500)));
    assert_eq!(found.differences, []);
    let held: Vec<_> = found.stated.iter().map(|one| (one.opening.cents(), one.closing.cents())).collect();
    assert_eq!((held, found.moved), (vec![(500, 150_000)], Money::from_cents(149_500)));
    assert_eq!(found.not_compared, Vec::<String>::new());
}

/// Of a payment at midnight a confirmation and the statement may have two days: its balances are compared by the statement's.
#[tokio::test]
async fn a_payment_is_of_the_day_of_which_the_statement_has_it() {
    let (shop, token) = registered().await;
    shop.controller.clock.set(at("23:59:59"));
    let body = confirmation("RKL51ZDR4A", "1500.00", CODE, &account(&shop))
        .replace("20260921013147", "20261126235959");
    assert_eq!(deliver(&shop, &token, body).await, 200);
    assert_eq!(close(&shop).await.moved, Money::from_cents(150_000));
    shop.controller.clock.advance(std::time::Duration::from_secs(3_600));
    let typed = format!("Pay Bill from 2547****678 Acc. {}", account(&shop));
    let rows = [
        row("RKL51ZDR4A", "2026-11-27 00:00:00", &typed, ("1500.00", "", "1495.00")),
        row("RKL51ZDR4Y", "2026-11-26 23:00:00", "Pay Bill Charge", ("", "-5.00", "-5.00")),
        row("RKL51ZDR49", "2026-11-26 00:00:00", "Pay Bill Charge", ("", "-5.00", "0.00")),
    ];
    taken_in(&shop, &statement(&rows)).await;
    let found = close(&shop).await;
    assert_eq!((found.moved, found.booked.payments), (Money::from_cents(-1_000), 0));
    assert_eq!(found.differences, []);
}

fn owner() -> Actor {
    Actor::Staff(Login::parse("owner").unwrap())
}

/// A statement of all of the day whose rows these are, the newest first, beginning with KES 5 that a charge takes.
async fn whole_day(shop: &Shop, rows: &[String], after: &str) {
    let next = row("RKL51ZDR4Z", "2026-11-27 00:00:00", "Pay Bill Charge", ("", "-1.00", after));
    let first = row("RKL51ZDR49", "2026-11-26 00:00:00", "Pay Bill Charge", ("", "-5.00", "0.00"));
    let all: Vec<String> = [vec![next], rows.to_vec(), vec![first]].concat();
    taken_in(shop, &statement(&all)).await;
}

/// One payment, told of by its confirmation, of which all is asked back.
async fn asked_back(shop: &Shop, token: &crate::mpesa::intent::CallbackToken) -> RefundId {
    shop.controller.clock.set(at("13:00"));
    let body = confirmation("RKL51ZDR4A", "1500.00", CODE, &account(shop))
        .replace("20260921013147", "20261126100000");
    assert_eq!(deliver(shop, token, body).await, 200);
    ask_back(shop).await
}

async fn ask_back(shop: &Shop) -> RefundId {
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let receipt = crate::mpesa::evidence::ReceiptNumber::parse("RKL51ZDR4A").unwrap();
    let payment = payments::payment_of_receipt(&mut write, &receipt).await.unwrap().unwrap().payment.id;
    let (way, reason) = (Way::Reversal, "paid twice".to_owned());
    let wanted = Wanted { payment, way, amount: None, with_used: true, reason, occasion: None };
    let begun = refunds::ask(&mut write, &wanted, Clerk::owner(&owner()), ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
    send_due(&shop.controller, &shop.codes()).await.unwrap();
    begun.refund.id
}

async fn went(shop: &Shop, refund: &RefundId) {
    decided(shop, refund, Decision::WentThrough, State::Done).await;
}

async fn decided(shop: &Shop, refund: &RefundId, decision: Decision, state: State) {
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let what = (refund, decision.into());
    let done = refunds::decide(&mut write, what, Clerk::owner(&owner()), ids, now).await.unwrap().unwrap();
    assert_eq!(done.refund.state(), state);
    write.commit().await.unwrap();
}

fn paid_and_given_back(shop: &Shop) -> [String; 2] {
    let pay = format!("Pay Bill from 2547****678 Acc. {}", account(shop));
    [
        row("RKL51ZDR4A", "2026-11-26 12:00:00", "Pay Bill Reversal", ("", "-1500.00", "0.00")),
        row("RKL51ZDR4A", "2026-11-26 10:00:00", &pay, ("1500.00", "", "1500.00")),
    ]
}

#[tokio::test]
async fn a_refund_that_the_statement_does_not_know_is_a_difference_until_one_does() {
    let (shop, token) = registered().await;
    let refund = asked_back(&shop, &token).await;
    went(&shop, &refund).await;
    let rows = paid_and_given_back(&shop);
    whole_day(&shop, &rows[1..], "1499.00").await;
    let found = close(&shop).await;
    assert_eq!(
        differences(&found),
        [(Kind::RefundNotInStatement, "RKL51ZDR4A"), (Kind::Balance, "")],
        "{found:?}"
    );
    assert_eq!(found.differences[0].refund, Some(refund));
    whole_day(&shop, &rows, "-1.00").await;
    let found = close(&shop).await;
    assert_eq!((found.differences.clone(), found.looked_at.clone()), (vec![], vec![]));
    let day_after = day().end().plus(std::time::Duration::from_secs(3_600));
    assert_eq!(found.standing(day_after), Standing::Agrees);
    assert_eq!(findings(&shop).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_reversal_that_the_statement_told_of_first_is_the_refund_that_is_said_to_have_gone_since() {
    let (shop, token) = registered().await;
    let refund = asked_back(&shop, &token).await;
    whole_day(&shop, &paid_and_given_back(&shop), "-1.00").await;
    let found = close(&shop).await;
    assert_eq!(differences(&found), [(Kind::NotBooked, "RKL51ZDR4A"), (Kind::Balance, "")], "{found:?}");
    shop.controller.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    went(&shop, &refund).await;
    let found = close(&shop).await;
    assert_eq!(found.differences, [], "it went on the day that the statement says");
    let settled: Vec<&str> = found.looked_at.iter().map(|one| one.settled_as.as_str()).collect();
    assert_eq!((settled, found.moved), (vec!["refund"], Money::from_cents(-500)));
}

#[tokio::test]
async fn what_somebody_looked_at_stays_in_the_day_and_is_a_difference_until_an_owner_books_it() {
    let (shop, _) = registered().await;
    shop.controller.clock.set(at("13:00"));
    let withdrawn = "Business Payment to 2547****678";
    let rows = [row("RKL51ZDR4J", "2026-11-26 09:00:00", withdrawn, ("", "-100.00", "-100.00"))];
    whole_day(&shop, &rows, "-101.00").await;
    assert_eq!(differences(&close(&shop).await), [(Kind::NotBooked, "RKL51ZDR4J"), (Kind::Balance, "")]);
    let digest = close(&shop).await.differences[0].row.clone().unwrap();
    let (ids, now, anna) =
        (&shop.controller.ids, shop.controller.clock.now(), Actor::Staff(Login::parse("anna").unwrap()));
    let mut write = shop.controller.database.write().await.unwrap();
    let what = ("statement_row", digest.as_str());
    assert_eq!(payments::looked_at(&mut write, what, &anna, ids, now).await.unwrap(), LookedAt::Noted);
    write.commit().await.unwrap();
    let found = close(&shop).await;
    assert_eq!(differences(&found), [(Kind::LookedAtNotBooked, "RKL51ZDR4J"), (Kind::Balance, "")]);
    let looked: Vec<_> = found.looked_at.iter().map(|one| (one.by.as_str(), one.looked_at)).collect();
    assert_eq!(looked, [("staff:anna", Some(now))]);

    let book = async |what, note: &'static str| {
        let mut write = shop.controller.database.write().await.unwrap();
        let done = by_hand::book(&mut write, (&digest, what, note), &owner(), ids, now).await.unwrap();
        write.commit().await.unwrap();
        done.map(|row| row.amount.cents())
    };
    assert_eq!(book(BookedAs::Expense, "  ").await, Err(NotBooked::BadNote));
    assert_eq!(book(BookedAs::Expense, "fuel for the generator").await, Ok(-10_000));
    assert_eq!(book(BookedAs::Bank, "again").await, Err(NotBooked::AlreadyBooked("expense".to_owned())));
    let mut read = shop.controller.database.read().await.unwrap();
    let spent = ledger::balance_of(&mut read, &Account::Expenses).await.unwrap();
    assert_eq!(spent, Money::from_cents(10_000));
    let found = close(&shop).await;
    assert_eq!((found.differences.clone(), found.moved), (vec![], Money::from_cents(-10_500)));
    let settled: Vec<_> =
        found.looked_at.iter().map(|one| (one.settled_as.as_str(), one.by.as_str())).collect();
    assert_eq!(settled, [("expense", "staff:anna")]);
    assert_eq!(findings(&shop).await, Vec::<String>::new());
    // A row of Pull that nobody understands belongs to the day on which it was told.
    shop.execute(
        "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at, short_code) \
         VALUES ('x', '{}', 1795683600000, '174379'), ('y', '{}', 1795683600000, '600000')",
    )
    .await;
    assert_eq!(differences(&close(&shop).await), [(Kind::NotUnderstood, "")]);
}

#[tokio::test]
async fn a_row_that_may_be_a_refund_is_booked_as_that_and_as_nothing_else() {
    let (shop, token) = registered().await;
    let refund = asked_back(&shop, &token).await;
    // It was given back in the portal another way, under a receipt that nobody told us.
    let paid = row(
        "RKL51ZDR4A",
        "2026-11-26 10:00:00",
        &format!("Pay Bill from 2547****678 Acc. {}", account(&shop)),
        ("1500.00", "", "1500.00"),
    );
    let sent = ("", "-1500.00", "0.00");
    let rows = [row("RKL51ZDR4X", "2026-11-26 12:00:00", "Business Payment to 2547****678", sent), paid];
    whole_day(&shop, &rows, "-1.00").await;
    let digest = close(&shop).await.differences.iter().find_map(|one| one.row.clone()).unwrap();
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let book = async |what| {
        let mut write = shop.controller.database.write().await.unwrap();
        let done = by_hand::book(&mut write, (&digest, what, "x"), &owner(), ids, now).await.unwrap();
        write.commit().await.unwrap();
        done.map(|row| row.amount.cents())
    };
    // Another form of the export lists no difference twice.
    let before = close(&shop).await.differences;
    let strange = row("RKL51ZDR4X", "2026-11-26 12:00:00", "Business payment to 2547****678", sent);
    whole_day(&shop, &[strange.clone(), rows[1].clone()], "-1.00").await;
    assert_eq!(close(&shop).await.differences, before);
    assert_eq!(book(BookedAs::Expense).await, Err(NotBooked::MayBeRefund { is_done: false }));
    assert_eq!(book(BookedAs::Refund).await, Err(NotBooked::NoSuchRefund));
    shop.controller.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    went(&shop, &refund).await;
    assert_eq!(book(BookedAs::Bank).await, Err(NotBooked::MayBeRefund { is_done: true }));
    assert_eq!(book(BookedAs::Refund).await, Ok(-150_000));
    assert_eq!(book(BookedAs::Refund).await, Err(NotBooked::AlreadyBooked("refund".to_owned())));
    let found = close(&shop).await;
    assert_eq!((found.differences.clone(), found.moved), (vec![], Money::from_cents(-500)));
    // What a rule learns to know later, or another form of the export has, is known.
    let named = row("RKL51ZDR4X", "2026-11-26 12:00:00", "Organization Settle to Bank", sent);
    whole_day(&shop, &[named, rows[1].clone()], "-1.00").await;
    whole_day(&shop, &[strange, rows[1].clone()], "-1.00").await;
    assert_eq!(close(&shop).await.differences, []);
    assert_eq!(close(&shop).await.moved, Money::from_cents(-500), "it is booked once");
    assert_eq!(findings(&shop).await, Vec::<String>::new());
}

/// A person takes a refund back that had gone, and books what the statement tells as an expense; then it is asked for again.
#[tokio::test]
async fn what_was_booked_as_something_else_and_is_a_refund_has_left_once() {
    let (shop, token) = registered().await;
    let refund = asked_back(&shop, &token).await;
    shop.controller.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    decided(&shop, &refund, Decision::Withdraw, State::Withdrawn).await;
    let pay = format!("Pay Bill from 2547****678 Acc. {}", account(&shop));
    let rows = [
        row("RKL51ZDR4X", "2026-11-26 12:00:00", "Pay Bill Reversal of RKL51ZDR4A", ("", "-1500.00", "0.00")),
        row("RKL51ZDR4A", "2026-11-26 10:00:00", &pay, ("1500.00", "", "1500.00")),
    ];
    whole_day(&shop, &rows, "-1.00").await;
    let digest = close(&shop).await.differences.iter().find_map(|one| one.row.clone()).unwrap();
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let what = (digest.as_str(), BookedAs::Expense, "who knows");
    by_hand::book(&mut write, what, &owner(), ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
    assert_eq!(close(&shop).await.differences, []);
    let again = ask_back(&shop).await;
    shop.controller.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    went(&shop, &again).await;
    let found = close(&shop).await;
    assert_eq!((found.differences, found.moved), (vec![], Money::from_cents(-500)));
    let mut read = shop.controller.database.read().await.unwrap();
    for (account, cents) in
        [(Account::Expenses, 0), (Account::MpesaClearing(CODE.to_owned()), -600), (Account::RefundsHeld, 0)]
    {
        assert_eq!(ledger::balance_of(&mut read, &account).await.unwrap().cents(), cents, "{account}");
    }
    drop(read);
    assert_eq!(findings(&shop).await, Vec::<String>::new());
}

#[tokio::test]
async fn of_a_row_with_another_amount_than_is_booked_an_owner_books_the_rest() {
    let (shop, _) = registered().await;
    shop.controller.clock.set(at("13:00"));
    for amount in ["-5.00", "-7.00"] {
        let charge = row("RKL51ZDR4Y", "2026-11-26 12:00:00", "Pay Bill Charge", ("", amount, ""));
        taken_in(&shop, &statement(&[charge])).await;
    }
    let found = close(&shop).await;
    let [rest] = found.differences.as_slice() else { panic!("{:?}", found.differences) };
    assert_eq!((rest.kind, rest.amount), (Kind::NotBooked, Some(Money::from_cents(-200))));
    let digest = rest.row.clone().unwrap();
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut write = shop.controller.database.write().await.unwrap();
    let what = (digest.as_str(), BookedAs::Expense, "a dearer tariff");
    let booked = by_hand::book(&mut write, what, &owner(), ids, now).await.unwrap().unwrap();
    write.commit().await.unwrap();
    assert_eq!(booked.amount, Money::from_cents(-200));
    let found = close(&shop).await;
    assert_eq!((found.differences, found.moved), (vec![], Money::from_cents(-700)));
    assert_eq!(findings(&shop).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_another_takes_back_or_that_is_booked_is_booked_by_nobody_once_more() {
    let (shop, token) = registered().await;
    sold(&shop, &token).await;
    let rows = [
        // C came back before anything else told of D, and A stands there under a name that nobody knows.
        row("RKL51ZDR4E", "2026-11-26 12:30:00", "Reversal of RKL51ZDR4D", ("", "-70.00", "1500.00")),
        row(
            "RKL51ZDR4D",
            "2026-11-26 12:10:00",
            "Pay Bill from 2547****678 Acc. 1",
            ("70.00", "", "1570.00"),
        ),
        row("RKL51ZDR4A", "2026-11-26 10:00:00", "Something new", ("1500.00", "", "1500.00")),
    ];
    whole_day(&shop, &rows, "1499.00").await;
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let mut seen = 0;
    for difference in close(&shop).await.differences {
        let Some(digest) = difference.row else { continue };
        let mut write = shop.controller.database.write().await.unwrap();
        let booked = by_hand::book(&mut write, (&digest, BookedAs::Bank, "x"), &owner(), ids, now).await;
        assert_eq!(booked.unwrap(), Err(NotBooked::BookedElsewhere), "{}", difference.receipt);
        let what = ("statement_row", digest.as_str());
        payments::looked_at(&mut write, what, &owner(), ids, now).await.unwrap();
        write.commit().await.unwrap();
        seen += 1;
    }
    assert_eq!(seen, 3);
    let kinds = close(&shop).await.differences;
    assert!(kinds.iter().all(|one| one.kind != Kind::LookedAtNotBooked), "{kinds:?}");
}

#[tokio::test]
async fn two_balances_that_mpesa_told_are_compared_where_a_statement_tells_of_the_time_between() {
    let (mut shop, token) = registered().await;
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, "");
    let told = async |time: &str, held: &str| {
        shop.controller.clock.set(at(time));
        operator::ask(&shop.controller, &shop.daraja, Question::Balance, "cli:anna").await.unwrap();
        shop.settle().await;
        let accounts =
            format!("Working Account|KES|{held}|{held}|0.00|0.00&Charges Paid Account|KES|-9.00|-9.00|0|0");
        let counted = at(time).0;
        let sql = format!(
            "UPDATE operator_requests SET state = 'answered', result_code = '0', result_parameters = \
             '[[\"AccountBalance\",\"{accounts}\"]]', updated_at = {counted} WHERE created_at = {counted}"
        );
        let mut write = shop.controller.database.write().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *write).await.unwrap();
        write.commit().await.unwrap();
    };
    told("09:00", "40.00").await;
    let found = close(&shop).await;
    assert!(found.not_compared.iter().any(|why| why.contains("never before")), "{:?}", found.not_compared);
    let body = confirmation("RKL51ZDR4A", "1500.00", CODE, &account(&shop))
        .replace("20260921013147", "20261126110000");
    assert_eq!(deliver(&shop, &token, body).await, 200);
    // It came in the second of the answer, which does not have it yet.
    told("11:00", "40.00").await;
    told("12:00", "1540.00").await;
    told("12:30", "1530.00").await;
    let found = close(&shop).await;
    let waits = |why: &&String| why.contains("no statement tells of the charges");
    assert_eq!(found.not_compared.iter().filter(waits).count(), 3, "{:?}", found.not_compared);
    assert_eq!(found.differences, []);
    let pay = &paid_and_given_back(&shop)[1..];
    whole_day(&shop, pay, "1499.00").await;
    let found = close(&shop).await;
    assert_eq!(found.not_compared, Vec::<String>::new());
    assert_eq!(differences(&found), [(Kind::Balance, "")], "{found:?}");
    let apart = &found.differences[0];
    assert_eq!(apart.amount, Some(Money::from_cents(-1_000)));
    assert!(apart.detail.contains("from KES 1,540.00 to KES 1,530.00"), "{}", apart.detail);
}

/// Somebody changed the database past us, which its triggers refuse: they are taken away first.
#[tokio::test]
async fn a_proof_finds_what_was_changed_past_the_books_and_is_told_until_the_next() {
    let (shop, token) = registered().await;
    sold(&shop, &token).await;
    assert_eq!(findings(&shop).await, Vec::<String>::new());
    proof::prove_nightly(&shop.controller).await.unwrap();
    shop.execute("DROP TRIGGER ledger_postings_are_not_changed").await;
    shop.execute("UPDATE ledger_postings SET amount_cents = amount_cents + 1 WHERE position = 0").await;
    let broken = findings(&shop).await;
    assert!(broken.iter().any(|one| one.contains("sum of all postings")), "{broken:?}");
    assert!(broken.iter().any(|one| one.contains("do not sum to zero")), "{broken:?}");
    assert!(
        broken.iter().any(|one| one.contains("3 payments stand in the ledger with another amount")),
        "{broken:?}"
    );
    let last = async || {
        let mut read = shop.controller.database.read().await.unwrap();
        proof::last(&mut read, shop.controller.clock.now()).await.unwrap().unwrap()
    };
    assert_eq!(last().await.findings, [], "it is asked once a night");
    shop.controller.clock.advance(std::time::Duration::from_secs(86_400));
    proof::prove_nightly(&shop.controller).await.unwrap();
    assert_eq!(last().await.findings.len(), broken.len());
}
