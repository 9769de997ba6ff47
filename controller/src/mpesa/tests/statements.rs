//! Statements as the simulator's portal exports them, taken in beside callbacks, confirmations and Pull.

use std::time::Duration;

use daraja_sim::{CallbackFaults, ConfirmationFaults, PaybillOutcome, PaybillPayment, Phone};
use sqlx::Row as _;

use super::pulling::{daraja_that_tells, only_payment, open, pull_settings, suspense, sweep};
use super::shop::{Books, Shop};
use crate::audit::Actor;
use crate::database::Database;
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::c2b;
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::statement::{BESIDE_A_SERVER, Balances, ImportError, NotOurs, Order, Summary, import};
use crate::payments::testing::PHONE;
use crate::payments::{self, ForReview, LookedAt, ReviewKind, ReviewTarget};

const HEADINGS: &str = "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,\
    Balance Confirmed,Reason Type,Other Party Info,Linked Transaction ID,A/C No.";

/// The statement over the simulator's control port, as a person downloads it.
async fn exported(shop: &Shop, columns: u32) -> String {
    let url = shop.simulator.control_url();
    let url = format!("{url}/statement.csv?short_code=174379&columns={columns}");
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.text().await.unwrap()
}

fn actor() -> Actor {
    Actor::CommandLine("clerk".to_owned())
}

async fn try_import(shop: &Shop, text: &str, is_dry_run: bool) -> Result<Summary, ImportError> {
    let actor = actor();
    let ours = [shop.daraja.settings()];
    let pause = Duration::ZERO;
    let order =
        Order { short_code: None, ours: &ours, is_dry_run, accepts_gaps: false, pause, actor: &actor };
    import(&shop.controller, text.as_bytes(), order, |_, _| {}).await
}

pub(super) async fn taken_in(shop: &Shop, text: &str) -> Summary {
    try_import(shop, text, false).await.unwrap()
}

async fn pay(shop: &Shop, amount: u32, account: &str) -> String {
    let payment = PaybillPayment { short_code: "174379".to_owned(), amount, account: account.to_owned() };
    let outcome = shop.handle().pay_by_paybill(PHONE, &payment).await.unwrap();
    shop.settle().await;
    match outcome {
        PaybillOutcome::Paid { receipt } => receipt.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn balance(shop: &Shop, account: &Account) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
    ledger::balance_of(&mut read, account).await.unwrap().cents()
}

/// What Safaricom holds, what it took, and what is in the bank.
async fn held(shop: &Shop) -> (i64, i64, i64) {
    let clearing = Account::MpesaClearing("174379".to_owned());
    let charges = balance(shop, &Account::MpesaCharges).await;
    (balance(shop, &clearing).await, charges, balance(shop, &Account::Bank).await)
}

async fn for_review(shop: &Shop) -> Vec<ForReview> {
    let mut read = shop.controller.database.read().await.unwrap();
    payments::for_review(&mut read, 99).await.unwrap()
}

/// A statement whose rows are these, below the headings, newest first.
pub(super) fn statement(rows: &[String]) -> String {
    format!("Organization Name:,Njia\nShort Code:,174379\n\n{HEADINGS}\n{}\n", rows.join("\n"))
}

fn row(receipt: &str, details: &str, paid_in: &str, withdrawn: &str, balance: &str) -> String {
    format!("{receipt},2026-11-21 12:13:25,,{details},Completed,{paid_in},{withdrawn},{balance},true,,,,")
}

#[tokio::test]
async fn a_prompt_whose_callback_and_confirmation_are_lost_is_paid_by_the_statement_alone() {
    for columns in [8, 9, 13] {
        let (shop, mut sweeper) = open().await;
        c2b::register(&shop.controller, &shop.daraja, c2b::ResponseType::Completed).await.unwrap();
        let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
        let confirmation = ConfirmationFaults { lost: true, ..ConfirmationFaults::default() };
        shop.phone(Phone { callback, confirmation, ..Phone::default() });
        let intent = shop.prompt(None).await;
        shop.settle().await;
        assert_eq!((shop.stored_callbacks().await, shop.books().await), (0, Books::EMPTY));
        let text = exported(&shop, columns).await;
        let expected = Summary {
            short_code: "174379".to_owned(),
            rows: 1,
            payments_booked: 1,
            for_review: 1,
            balances: Some(Balances {
                opening: Money::ZERO,
                closing: Money::from_cents(150_000),
                adds_up: true,
            }),
            ..Summary::default()
        };
        assert_eq!(try_import(&shop, &text, true).await.unwrap(), expected);
        assert_eq!(shop.books().await, Books::EMPTY, "what is tried changes nothing");
        assert_eq!(taken_in(&shop, &text).await, expected);
        let items = for_review(&shop).await;
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(items[0].reason.contains("nothing but a statement tells of it"), "{}", items[0].reason);
        let Some(ReviewTarget::Payment(target)) = items[0].target() else { panic!("{items:?}") };
        let paid = shop.intent(&intent).await;
        let payment = only_payment(&shop).await;
        assert_eq!((paid.state.as_str(), paid.receipt()), ("paid", Some(payment.receipt_number.as_str())));
        assert_eq!((payment.intent, payment.id), (Some(intent.id), target));
        let books = shop.books().await;
        assert_eq!(books, Books { paid_days: books.paid_days, ..Books::PAID_ONCE });
        // It waits for whoever looks, or until Pull tells of it.
        assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
        assert_eq!(for_review(&shop).await, []);
        let books = shop.books().await;
        // In any form, the second time nothing changes.
        for again in [8, 9, 13] {
            let text = exported(&shop, again).await;
            let summary = taken_in(&shop, &text).await;
            assert_eq!(
                summary,
                Summary { payments_booked: 0, payments_known: 1, for_review: 0, ..expected.clone() }
            );
            assert_eq!(shop.books().await, books);
        }
    }
}

#[tokio::test]
async fn what_callbacks_confirmations_and_pull_told_of_gains_evidence_and_nothing_else() {
    let (shop, mut sweeper) = open().await;
    c2b::register(&shop.controller, &shop.daraja, c2b::ResponseType::Completed).await.unwrap();
    shop.pay(None).await;
    let account = shop.world.customer.account_number.to_string();
    pay(&shop, 700, &account).await;
    assert_eq!(sweep(&shop, &mut sweeper).await, (2, 0));
    let before = shop.books().await;
    assert_eq!((before.payments, before.wallet, before.clearing), (2, 70_000, 220_000));
    let text = exported(&shop, 13).await;
    for _ in 0..2 {
        let summary = taken_in(&shop, &text).await;
        assert_eq!((summary.rows, summary.payments_known, summary.payments_booked), (2, 2, 0));
        assert!(!summary.needs_a_person(), "{summary}");
        let expected = Books { evidence: before.evidence + 2, ..before };
        assert_eq!(shop.books().await, expected);
    }
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn what_a_statement_alone_tells_of_is_no_traffic_that_pull_should_have_known() {
    let (shop, _) = open().await;
    pay(&shop, 700, &shop.world.customer.account_number.to_string()).await;
    taken_in(&shop, &exported(&shop, 13).await).await;
    shop.controller.clock.advance(std::time::Duration::from_secs(20 * 60));
    let daraja = daraja_that_tells(&shop, "null").await;
    let mut blind = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut blind).await, (0, 0), "and it is not called silent");
}

#[tokio::test]
async fn money_of_nobody_waits_in_suspense_and_is_told() {
    let (shop, _) = open().await;
    pay(&shop, 700, "rent november").await;
    let text = exported(&shop, 9).await;
    let foreseen = try_import(&shop, &text, true).await.unwrap();
    let summary = taken_in(&shop, &text).await;
    assert_eq!((summary.payments_booked, summary.without_owner), (1, 1));
    assert!(summary.needs_a_person());
    assert_eq!(foreseen, summary);
    assert_eq!(suspense(&shop).await, 70_000);
    assert!(!taken_in(&shop, &text).await.needs_a_person(), "the second time it is no news");
    assert_eq!(suspense(&shop).await, 70_000);
}

#[tokio::test]
async fn charges_and_transfers_to_the_bank_are_booked_once() {
    let (shop, _) = open().await;
    let rows = [
        row("RKL51ZDR4J", "Utility to Working", "", "-100.00", "1377.00"),
        row("RKL51ZDR4H", "Organization Settle to Bank 0123", "", "\"-1,000.00\"", "\"1,477.00\""),
        // A charge with the receipt number of the payment that it is for.
        row("RKL51ZDR4G", "Pay Bill Charge", "", "-23.00", "\"2,477.00\""),
        row("RKL51ZDR4G", "Pay Bill from 2547****678 Acc. rent", "\"1,000.00\"", "", "\"2,500.00\""),
        row("RKL51ZDR4F", "Pay Bill from 2547****678 Acc. rent", "\"1,500.00\"", "", "\"1,500.00\""),
    ];
    let text = statement(&rows);
    let summary = taken_in(&shop, &text).await;
    let balances = Balances { opening: Money::ZERO, closing: Money::from_cents(137_700), adds_up: true };
    let expected = Summary {
        short_code: "174379".to_owned(),
        rows: 5,
        payments_booked: 2,
        without_owner: 2,
        charges_booked: 1,
        settlements_booked: 1,
        without_effect: 1,
        balances: Some(balances),
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    // What went from one account of the short code to another is still there.
    assert_eq!(held(&shop).await, (147_700, 2_300, 100_000));
    let again = taken_in(&shop, &text.to_lowercase().replace("completed", "Completed")).await;
    assert_eq!((again.payments_known, again.charges_known, again.settlements_known), (2, 1, 1));
    assert_eq!((again.payments_booked, again.charges_booked, again.settlements_booked), (0, 0, 0));
    assert_eq!(held(&shop).await, (147_700, 2_300, 100_000));
    let mut read = shop.controller.database.read().await.unwrap();
    let actors = sqlx::query("SELECT DISTINCT actor FROM ledger_entries WHERE cause_kind = 'mpesa_charge'");
    let actors = actors.fetch_all(&mut *read).await.unwrap();
    assert_eq!(actors[0].get::<String, _>("actor"), actor().to_string());
    let noted = sqlx::query("SELECT subject FROM audit_log WHERE action = 'mpesa.statement_imported'");
    let noted: Vec<String> =
        noted.fetch_all(&mut *read).await.unwrap().iter().map(|row| row.get("subject")).collect();
    assert_eq!(noted, ["174379", "174379"]);
}

#[tokio::test]
async fn what_no_rule_books_waits_for_a_person_with_its_line_until_one_has_looked() {
    let (shop, _) = open().await;
    let text = statement(&[
        row("RKL51ZDR4J", "Business Payment to 2547****678", "", "-100.00", ""),
        row("RKL51ZDR4H", "Pay Bill Reversal", "", "-5.00", "5.00"),
        "Disclaimer: <b>none</b>".to_owned(),
    ]);
    for _ in 0..2 {
        let summary = taken_in(&shop, &text).await;
        assert_eq!((summary.rows, summary.for_review, summary.looked_at), (3, 3, 0));
        assert!(summary.needs_a_person());
        assert_eq!(held(&shop).await, (0, 0, 0));
        let items = for_review(&shop).await;
        assert_eq!(items.len(), 3, "{items:?}");
        for (line, receipt, amount) in
            [(5, Some("RKL51ZDR4J"), Some(-10_000)), (6, Some("RKL51ZDR4H"), Some(-500)), (7, None, None)]
        {
            let begin = format!("line {line} of a statement of 174379: ");
            let item = items.iter().find(|item| item.reason.starts_with(&begin)).unwrap();
            assert!(!item.reason.contains("2547") && !item.reason.contains("none"), "{}", item.reason);
            assert_eq!(item.receipt_number.as_deref(), receipt);
            assert_eq!(item.amount, amount.map(Money::from_cents));
        }
    }
    for item in for_review(&shop).await {
        let ReviewKind::StatementRow(digest) = &item.kind else { panic!("{item:?}") };
        let (controller, mut write) = (&shop.controller, shop.controller.database.write().await.unwrap());
        let what = (item.kind.as_str(), digest.as_str());
        let now = controller.clock.now();
        let looked = payments::looked_at(&mut write, what, &actor(), &controller.ids, now).await.unwrap();
        assert_eq!(looked, LookedAt::Noted);
        write.commit().await.unwrap();
    }
    let summary = taken_in(&shop, &text).await;
    assert_eq!((summary.for_review, summary.looked_at), (0, 3));
    assert_eq!(for_review(&shop).await, []);
}

#[tokio::test]
async fn figures_that_contradict_what_is_booked_move_nothing_and_wait_for_a_person() {
    let (shop, _) = open().await;
    let payment = row("RKL51ZDR4F", "Pay Bill from 2547****678 Acc. rent", "10.00", "", "10.00");
    let charge = row("RKL51ZDR4G", "Pay Bill Charge", "", "-3.00", "7.00");
    taken_in(&shop, &statement(&[charge.clone(), payment.clone()])).await;
    assert_eq!(held(&shop).await, (700, 300, 0));
    let other = [charge.replace("3.00", "4.00"), payment.replace("10.00", "11.00")];
    let summary = taken_in(&shop, &statement(&other)).await;
    assert_eq!((summary.for_review, summary.payments_booked, summary.charges_booked), (2, 0, 0));
    // The same transaction twice in one file, with other figures.
    let more = payment.replace("10.00,,10.00", "12.00,,19.00");
    let twice = taken_in(&shop, &statement(&[more, charge, payment])).await;
    assert_eq!((twice.payments_known, twice.charges_known, twice.for_review), (1, 1, 1));
    assert_eq!(held(&shop).await, (700, 300, 0));
    let reasons: Vec<String> = for_review(&shop).await.into_iter().map(|item| item.reason).collect();
    for part in ["booked with KES 3.00", "booked with 10.00, and this says 11.00", "stands twice"] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
}

#[tokio::test]
async fn a_statement_of_another_short_code_is_refused_whole() {
    let (shop, _) = open().await;
    let payment = row("RKL51ZDR4F", "Pay Bill from 2547****678 Acc. rent", "10.00", "", "10.00");
    let text = statement(&[payment]).replace("174379", "600000");
    let refused = try_import(&shop, &text, false).await.unwrap_err();
    assert!(matches!(&refused, ImportError::NotOurs(NotOurs::Another { .. })), "{refused}");
    assert!(refused.to_string().contains("--short-code 600000"), "{refused}");
    let junk = format!("{HEADINGS}\n{}", "what is this\n".repeat(1_001));
    let refused = try_import(&shop, &junk, false).await.unwrap_err();
    assert!(matches!(refused, ImportError::Unread(1_001, 2)), "{refused}");
    assert_eq!((held(&shop).await, for_review(&shop).await), ((0, 0, 0), vec![]));
}

#[tokio::test]
async fn a_row_that_cannot_be_booked_holds_up_no_other_and_is_booked_the_next_time() {
    let (shop, _) = open().await;
    let rows: Vec<String> = ["F", "G", "H"]
        .iter()
        .map(|end| row(&format!("RKL51ZDR4{end}"), "Pay Bill from 2547****678 Acc. x", "10.00", "", ""))
        .collect();
    shop.execute(
        "CREATE TRIGGER refusal BEFORE INSERT ON ledger_entries WHEN NEW.memo LIKE '%RKL51ZDR4G' \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .await;
    let summary = taken_in(&shop, &statement(&rows)).await;
    assert_eq!((summary.payments_booked, summary.failed), (2, 1));
    assert!(summary.needs_a_person());
    shop.execute("DROP TRIGGER refusal").await;
    let summary = taken_in(&shop, &statement(&rows)).await;
    assert_eq!((summary.payments_known, summary.payments_booked, summary.failed), (2, 1, 0));
    assert_eq!(suspense(&shop).await, 3_000);
}

#[tokio::test]
async fn a_file_with_a_row_that_is_not_understood_is_refused_with_its_line_and_the_cure() {
    let (shop, _) = open().await;
    let rows = [
        row("RKL51ZDR4H", "Pay Bill from 2547****678 Acc. x", "5.00", "", "35.00"),
        row("RKL51ZDR4G", "Pay Bill from 2547****678 Acc. x", "2.0E+01", "", "30.00"),
        row("RKL51ZDR4F", "Pay Bill from 2547****678 Acc. x", "10.00", "", "10.00"),
    ];
    let refused = try_import(&shop, &statement(&rows), false).await.unwrap_err();
    assert!(refused.is_of_file(), "{refused}");
    let said = refused.to_string();
    for part in ["line 6 is not understood", "Paid In", "Export the statement anew", "gaps are accepted"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(shop.books().await, Books::EMPTY);
}

#[tokio::test]
async fn a_file_of_which_rows_are_missing_is_refused_unless_gaps_are_accepted() {
    let (shop, _) = open().await;
    let rows = [
        row("RKL51ZDR4G", "Pay Bill from 2547****678 Acc. x", "5.00", "", "35.00"),
        row("RKL51ZDR4F", "Pay Bill from 2547****678 Acc. x", "10.00", "", "10.00"),
    ];
    let text = statement(&rows);
    let refused = try_import(&shop, &text, false).await.unwrap_err();
    assert!(matches!(refused, ImportError::DoesNotAddUp(_)) && refused.is_of_file(), "{refused}");
    assert!(refused.to_string().contains("KES 0.00 and all that moved is not KES 35.00"), "{refused}");
    assert_eq!(shop.books().await, Books::EMPTY);
    let tried = try_import(&shop, &text, true).await.unwrap();
    assert_eq!(tried.balances.map(|balances| balances.adds_up), Some(false), "trying says so");
    let actor = actor();
    let ours = [shop.daraja.settings()];
    let pause = Duration::ZERO;
    let order =
        Order { short_code: None, ours: &ours, is_dry_run: false, accepts_gaps: true, pause, actor: &actor };
    let summary = import(&shop.controller, text.as_bytes(), order, |_, _| {}).await.unwrap();
    assert_eq!(summary.payments_booked, 2);
}

#[tokio::test]
async fn a_payment_that_its_own_statement_takes_back_buys_nothing_and_waits_for_a_person() {
    let (shop, _) = open().await;
    let account = shop.world.customer.account_number.to_string();
    let paid = row(
        "RKL51ZDR4F",
        &format!("Pay Bill from 2547****678 Acc. {account}"),
        "\"1,500.00\"",
        "",
        "\"1,500.00\"",
    );
    let linked = row("RKL51ZDR4G", "Pay Bill Reversal", "", "\"-1,500.00\"", "0.00")
        .replace(",true,,,,", ",true,,,RKL51ZDR4F,");
    let named = row("RKL51ZDR4G", "Pay Bill Reversal of RKL51ZDR4F", "", "\"-1,500.00\"", "0.00");
    let same = row("RKL51ZDR4F", "Pay Bill Reversal", "", "\"-1,500.00\"", "0.00");
    for reversal in [linked, named, same] {
        let text = statement(&[reversal, paid.clone()]);
        let summary = taken_in(&shop, &text).await;
        assert_eq!((summary.payments_booked, summary.failed), (0, 0), "{text}");
        assert_eq!(shop.books().await, Books::EMPTY, "{text}");
        let items = for_review(&shop).await;
        assert!(items.iter().any(|item| item.reason.contains("paid back, as another row")), "{items:?}");
    }
    // Whoever types a receipt number as account takes nothing back.
    let typed = row("RKL51ZDR4H", "Pay Bill Reversal from 2547****678 Acc. RKL51ZDR4F", "", "-5.00", "");
    assert_eq!(taken_in(&shop, &statement(&[typed, paid])).await.payments_booked, 1);
}

#[tokio::test]
async fn money_of_nobody_that_was_paid_back_or_has_waited_for_days_goes_to_nobody_by_itself() {
    let (shop, _) = open().await;
    c2b::register(&shop.controller, &shop.daraja, c2b::ResponseType::Completed).await.unwrap();
    shop.execute("UPDATE customers SET phone = '254700000001', phone_sha256 = ''").await;
    let receipts = [pay(&shop, 1_500, "0733444555").await, pay(&shop, 1_500, "0733444555").await];
    assert_eq!(suspense(&shop).await, 300_000);
    // Meanwhile somebody has that phone.
    shop.execute("UPDATE customers SET phone = '254733444555'").await;
    let paid = |receipt: &str, balance: &str| {
        row(receipt, "Pay Bill from 2547****678 Acc. 0733444555", "\"1,500.00\"", "", balance)
    };
    let named = format!("Pay Bill Reversal of {}", receipts[0]);
    let reversal = row("RKL51ZDR4G", &named, "", "\"-1,500.00\"", "0.00");
    taken_in(&shop, &statement(&[reversal, paid(&receipts[0], "\"1,500.00\"")])).await;
    assert_eq!(suspense(&shop).await, 300_000);
    shop.controller.clock.advance(Duration::from_secs(49 * 3_600));
    taken_in(&shop, &statement(&[paid(&receipts[1], "\"1,500.00\"")])).await;
    assert_eq!(suspense(&shop).await, 300_000);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue), (0, 0));
}

#[tokio::test]
async fn a_transfer_is_booked_once_whatever_a_form_calls_it_and_what_it_is_booked_as_stays() {
    let (shop, _) = open().await;
    let settled = |details: &str| row("RKL51ZDR4H", details, "", "-90.00", "");
    taken_in(&shop, &statement(&[settled("Organization Settle to Bank 0123")])).await;
    assert_eq!(held(&shop).await, (-9_000, 0, 9_000));
    // Another form of the same export has other details.
    let again = taken_in(&shop, &statement(&[settled("Organization Settlement")])).await;
    assert_eq!((again.settlements_known, again.settlements_booked, again.for_review), (1, 0, 0));
    // And one without the column that tells kinds apart could be read as a charge.
    let charge = taken_in(&shop, &statement(&[settled("Bank charge")])).await;
    assert_eq!((charge.charges_booked, charge.for_review), (0, 1));
    // What it costs has its number, and another amount.
    let fee = taken_in(&shop, &statement(&[row("RKL51ZDR4H", "Settlement Charge", "", "-1.00", "")])).await;
    assert_eq!((fee.charges_booked, fee.for_review), (1, 0));
    assert_eq!(held(&shop).await, (-9_100, 100, 9_000));
    let reasons: Vec<String> = for_review(&shop).await.into_iter().map(|item| item.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("booked as a transfer to the bank")), "{reasons:?}");
    // Both kinds in one file, which nothing knew of before.
    let both = [
        row("RKL51ZDR4K", "Organization Settle to Bank", "", "-7.00", ""),
        row("RKL51ZDR4K", "Bank charge", "", "-7.00", ""),
    ];
    let summary = taken_in(&shop, &statement(&both)).await;
    assert_eq!((summary.settlements_booked + summary.charges_booked, summary.for_review), (1, 1));
}

#[tokio::test]
async fn an_import_beside_the_server_leaves_it_the_database_between_any_two_commits() {
    let (shop, _) = open().await;
    let rows: Vec<String> = (0..320)
        .map(|number| row(&format!("RKL{number:07}"), "Pay Bill from 2547****678 Acc. x", "1.00", "", ""))
        .collect();
    let text = statement(&rows);
    // Another process has its own writer: the two meet in SQLite's lock alone.
    let other = Database::open(&shop.directory.database_url()).await.unwrap();
    let actor = actor();
    let ours = [shop.daraja.settings()];
    let pause = BESIDE_A_SERVER;
    let order =
        Order { short_code: None, ours: &ours, is_dry_run: false, accepts_gaps: false, pause, actor: &actor };
    let began = tokio::time::Instant::now();
    let importing = import(&shop.controller, text.as_bytes(), order, |_, _| {});
    let writing = async {
        for _ in 0..20 {
            let mut write = other.write().await.unwrap();
            sqlx::query("UPDATE callback_bodies SET outcome = ''").execute(&mut *write).await.unwrap();
            write.commit().await.unwrap();
        }
        began.elapsed()
    };
    let (summary, wrote_within) = tokio::join!(importing, writing);
    assert_eq!(summary.unwrap().payments_booked, 320);
    let took = began.elapsed();
    assert!(took >= BESIDE_A_SERVER * 20, "the lock is free after each of twenty commits: {took:?}");
    assert!(wrote_within < took, "as many writes fit in between: {wrote_within:?} of {took:?}");
}

#[tokio::test]
async fn a_row_whose_date_is_not_understood_is_named_and_nothing_of_it_is_booked() {
    let dated = |receipt: &str, at: &str, balance: &str| {
        format!("{receipt},{at},,Pay Bill from 2547****678 Acc. 1,Completed,10.00,,{balance},true,,,,")
    };
    for at in ["21/11/2026 12:13", "21-11-2026 12:13", "21/11/2026 12:13:25"] {
        let (shop, _) = open().await;
        taken_in(&shop, &statement(&[dated("RKL51ZDR4F", at, "10.00")])).await;
        let row = only_payment(&shop).await;
        let moved: i64 = {
            let mut read = shop.controller.database.read().await.unwrap();
            sqlx::query("SELECT moved_at FROM payments").fetch_one(&mut *read).await.unwrap().get(0)
        };
        assert_eq!((row.amount.cents(), moved / 60_000), (1_000, 1_795_252_405_000 / 60_000), "{at}");
    }
    for bad in ["Sat 21 Nov", ""] {
        let (shop, _) = open().await;
        let rows = [
            dated("RKL51ZDR4H", "21/11/2026 12:14", "30.00"),
            dated("RKL51ZDR4G", bad, "20.00"),
            dated("RKL51ZDR4F", "21/11/2026 12:13", "10.00"),
        ];
        let refused = try_import(&shop, &statement(&rows), false).await.unwrap_err().to_string();
        assert!(refused.contains("line 6") && refused.contains("Completion Time"), "{refused}");
        // Where the file tells no balances, the row waits for a person, and the others are taken in.
        let rows = [dated("RKL51ZDR4G", bad, ""), dated("RKL51ZDR4F", "21/11/2026 12:13", "")];
        let summary = taken_in(&shop, &statement(&rows)).await;
        assert_eq!((summary.payments_booked, summary.for_review), (1, 1));
        let listed = for_review(&shop).await;
        let row = listed.iter().find(|item| matches!(item.kind, ReviewKind::StatementRow(_)));
        let reason = &row.unwrap_or_else(|| panic!("{listed:?}")).reason;
        assert!(reason.contains("Completion Time"), "{reason}");
    }
}

#[tokio::test]
async fn a_file_with_the_month_first_is_refused_whole() {
    let (shop, _) = open().await;
    let dated = |receipt: &str, at: &str| {
        format!("{receipt},{at},,Pay Bill from 2547****678 Acc. 1,Completed,10.00,,,true,,,,")
    };
    let rows = [dated("RKL51ZDR4G", "11/21/2026 12:13"), dated("RKL51ZDR4F", "11/12/2026 12:13")];
    let refused = try_import(&shop, &statement(&rows), false).await.unwrap_err();
    assert!(refused.is_of_file(), "{refused:?}");
    let words = refused.to_string();
    assert!(words.contains("line 5") && words.contains("month first"), "{words}");
    assert_eq!(shop.books().await, Books::EMPTY);
}
