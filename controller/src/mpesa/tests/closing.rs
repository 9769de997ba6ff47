//! The daily close: what confirmations, Pull and a statement told of one day, receipt by receipt, and the proof of the books.

use tawi_shared::UnixMillis;

use super::c2b::{account, confirmation, deliver, registered};
use super::pulling::{daraja_that_tells, pull_settings, row_of, sweep};
use super::shop::Shop;
use super::statements::{statement, taken_in};
use crate::closing::{self, Close, Covered, Day, Kind, Standing, proof};
use crate::money::Money;
use crate::mpesa::pull::sweep::Sweeper;
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
    let last = async || {
        let mut read = shop.controller.database.read().await.unwrap();
        proof::last(&mut read, shop.controller.clock.now()).await.unwrap().unwrap()
    };
    assert_eq!(last().await.findings, [], "it is asked once a night");
    shop.controller.clock.advance(std::time::Duration::from_secs(86_400));
    proof::prove_nightly(&shop.controller).await.unwrap();
    assert_eq!(last().await.findings.len(), broken.len());
}
