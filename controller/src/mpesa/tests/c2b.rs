//! Payments by Paybill that Safaricom reports by itself, over real sockets, beside prompts and Pull.

use daraja_sim::{
    CallbackFaults, ConfirmationFaults, FaultsChange, PaybillOutcome, PaybillPayment, Phone, Product,
    Redelivery,
};

use tawi_shared::UnixMillis;

use super::pulling::{only_payment, open, suspense, sweep, sweeper};
use super::shop::{Books, Shop};
use crate::customers::phone::Msisdn;
use crate::customers::references::{self, Added, Reference};
use crate::ids::LineId;
use crate::money::Money;
use crate::mpesa::c2b::{NotSimulated, Registered, ResponseType, prove_reachable, register, simulate};
use crate::mpesa::callback::PULL_PATH;
use crate::mpesa::intent::CallbackToken;
use crate::mpesa::stk::Shillings;
use crate::payments::testing::PHONE;
use crate::{customers, ledger};

/// A shop whose addresses Safaricom knows, and whose clock shows what the simulator's shows.
pub(super) async fn registered() -> (Shop, CallbackToken) {
    let (shop, _) = open().await;
    let told = register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    assert_eq!(told, Registered { short_code: "174379".to_owned(), was_registered: false, is_ours: true });
    let registrations = shop.handle().registrations();
    let url = registrations.values().next().unwrap().confirmation_url.as_str().to_owned();
    let token = url.split('/').rev().nth(1).unwrap().to_owned();
    (shop, CallbackToken::parse(&token).unwrap())
}

#[tokio::test]
async fn an_app_without_the_second_version_of_c2b_is_registered_with_the_first_and_is_told_of_payments() {
    let (shop, _) = open().await;
    let without = FaultsChange { no_product: Some(vec![Product::C2bV2]), ..FaultsChange::default() };
    shop.handle().set_faults(&without).unwrap();
    let told = register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    assert!(told.is_ours && !told.was_registered, "{told:?}");
    pay(&shop, 1_500, &account(&shop)).await;
    assert_eq!(only_payment(&shop).await.subscription, Some(shop.world.line.clone()));
    // Without either there is none, and why is said.
    let (shop, _) = open().await;
    let products = vec![Product::C2bV1, Product::C2bV2];
    let without = FaultsChange { no_product: Some(products), ..FaultsChange::default() };
    shop.handle().set_faults(&without).unwrap();
    let refused = register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("apiproduct"), "{refused}");
}

#[tokio::test]
async fn the_address_that_pull_is_registered_with_answers() {
    let (shop, _) = open().await;
    let url = format!("http://{}{PULL_PATH}", shop.address);
    assert_eq!(reqwest::Client::new().post(url).body("x".repeat(1_000)).send().await.unwrap().status(), 200);
}

async fn pay(shop: &Shop, amount: u32, account: &str) -> PaybillOutcome {
    let payment = PaybillPayment { short_code: "174379".to_owned(), amount, account: account.to_owned() };
    let outcome = shop.handle().pay_by_paybill(PHONE, &payment).await.unwrap();
    shop.settle().await;
    outcome
}

pub(super) fn account(shop: &Shop) -> String {
    shop.world.customer.account_number.to_string()
}

/// A number with its last digit wrong.
fn slip_of(number: &str) -> String {
    let (stem, digit) = number.split_at(7);
    format!("{stem}{}", if digit == "0" { '1' } else { '0' })
}

/// Delivers a confirmation to the address of the short code, as Safaricom would.
pub(super) async fn deliver(shop: &Shop, token: &CallbackToken, body: String) -> u16 {
    let status = post(shop, token, body).await;
    shop.take_in().await;
    status
}

/// The same, and nobody takes it in.
pub(super) async fn post(shop: &Shop, token: &CallbackToken, body: String) -> u16 {
    let url = format!("http://{}/callbacks/c2b/{}/confirmation", shop.address, token.reveal());
    reqwest::Client::new().post(url).body(body).send().await.unwrap().status().as_u16()
}

pub(super) fn confirmation(receipt: &str, amount: &str, short_code: &str, account: &str) -> String {
    format!(
        r#"{{"TransactionType":"Pay Bill","TransID":"{receipt}","TransTime":"20260921013147","TransAmount":"{amount}",
        "BusinessShortCode":"{short_code}","BillRefNumber":"{account}","InvoiceNumber":"","OrgAccountBalance":"1.00",
        "ThirdPartyTransID":"","MSISDN":"2547 ***** 678","FirstName":"JANE","MiddleName":"","LastName":""}}"#
    )
}

#[tokio::test]
async fn a_payment_by_paybill_buys_a_period_at_once_and_pull_only_confirms_it() {
    let (shop, _) = registered().await;
    let PaybillOutcome::Paid { receipt } = pay(&shop, 1_500, &account(&shop)).await else { panic!() };
    let payment = only_payment(&shop).await;
    assert_eq!(payment.receipt_number, receipt.to_string());
    assert_eq!(payment.subscription, Some(shop.world.line.clone()));
    let paid_days = shop.books().await.paid_days;
    assert_eq!(shop.books().await, Books { paid_days, ..Books::PAID_ONCE });
    assert!(paid_days.is_some());
    let mut sweeper = sweeper(&shop);
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(shop.books().await, Books { paid_days, evidence: 2, ..Books::PAID_ONCE });
}

#[tokio::test]
async fn a_prompt_that_is_paid_is_told_of_twice_and_credited_once_whichever_comes_first() {
    let lost = CallbackFaults { lost: true, ..CallbackFaults::default() };
    for (callback, confirmation) in [
        (CallbackFaults { delay_ms: 300, ..CallbackFaults::default() }, ConfirmationFaults::default()),
        (CallbackFaults::default(), ConfirmationFaults { delay_ms: 300, ..ConfirmationFaults::default() }),
        (lost, ConfirmationFaults::default()),
    ] {
        let is_lost = callback.lost;
        let (shop, _) = registered().await;
        shop.phone(Phone { callback, confirmation, ..Phone::default() });
        let intent = shop.pay(None).await;
        assert_eq!(intent.state.as_str(), "paid");
        let payment = only_payment(&shop).await;
        assert_eq!(payment.intent, Some(intent.id));
        let books = shop.books().await;
        let evidence = if is_lost { 1 } else { 2 };
        assert_eq!(books, Books { paid_days: books.paid_days, evidence, ..Books::PAID_ONCE });
        assert_eq!(suspense(&shop).await, 0);
    }
}

#[tokio::test]
async fn a_confirmation_that_comes_three_times_and_once_more_after_a_restart_is_one_credit() {
    let (mut shop, _) = registered().await;
    let PaybillOutcome::Paid { receipt } = pay(&shop, 1_500, &account(&shop)).await else { panic!() };
    let thrice = Redelivery { copies: 3, together: true };
    let answers = shop.handle().redeliver_confirmation(&receipt.to_string(), thrice).await.unwrap();
    assert_eq!(answers, [200, 200, 200]);
    shop.settle().await;
    shop.restart().await;
    let once = Redelivery { copies: 1, together: false };
    assert_eq!(shop.handle().redeliver_confirmation(&receipt.to_string(), once).await.unwrap(), [200]);
    shop.settle().await;
    let books = shop.books().await;
    assert_eq!((books.clearing, books.revenue, books.payments, books.evidence), (150_000, 150_000, 1, 5));
}

#[tokio::test]
async fn who_mistypes_the_account_is_refused_before_the_money_moves() {
    let (shop, _) = registered().await;
    let number = account(&shop);
    let nobody = customers::account_number::AccountNumber::from_serial(9_000_000).unwrap().to_string();
    let slip = slip_of(&number);
    for wrong in [slip.as_str(), nobody.as_str(), "rent", &format!("ACC {nobody}")] {
        let refused = PaybillOutcome::Rejected { result_code: "C2B00012".to_owned() };
        assert_eq!(pay(&shop, 1_500, wrong).await, refused, "{wrong}");
    }
    let (left, right) = number.split_at(4);
    let spelt = format!("{left}-{right}");
    assert!(matches!(pay(&shop, 1_500, &spelt).await, PaybillOutcome::Paid { .. }));
    assert!(matches!(pay(&shop, 100, "0712 345 678").await, PaybillOutcome::Paid { .. }));
    let books = shop.books().await;
    assert_eq!((books.payments, books.wallet, suspense(&shop).await), (2, 10_000, 0));
}

#[tokio::test]
async fn what_is_booked_is_never_refused_before_the_money_moves() {
    let (shop, _) = registered().await;
    let number = account(&shop);
    for typed in [format!("ACC {number}"), format!("#{number} JANE"), number.replacen('0', "O", 2)] {
        let outcome = pay(&shop, 100, &typed).await;
        assert!(matches!(outcome, PaybillOutcome::Paid { .. }), "{typed}: {outcome:?}");
        shop.wait_two_minutes();
    }
    assert_eq!((shop.books().await.wallet, suspense(&shop).await), (30_000, 0));
}

#[tokio::test]
async fn what_the_sandbox_simulates_is_booked_as_any_other_payment() {
    let (mut shop, _) = registered().await;
    let amount = Shillings::exactly(Money::from_cents(150_000)).unwrap();
    let phone = Msisdn::parse(PHONE).unwrap();
    simulate(&shop.daraja, amount, &phone, &account(&shop)).await.unwrap();
    shop.settle().await;
    let paid_days = shop.books().await.paid_days;
    assert_eq!(shop.books().await, Books { paid_days, ..Books::PAID_ONCE });
    let refused = simulate(&shop.daraja, amount, &phone, "").await.unwrap_err();
    assert!(matches!(refused, NotSimulated::Account), "{refused}");
    // Nothing is asked where real money is.
    shop.with_base_url("https://api.safaricom.co.ke");
    let refused = simulate(&shop.daraja, amount, &phone, &account(&shop)).await.unwrap_err();
    assert!(refused.to_string().contains("is not the sandbox"), "{refused}");
}

#[tokio::test]
async fn addresses_that_safaricom_cannot_reach_are_not_told_to_it() {
    let (mut shop, _) = registered().await;
    prove_reachable(shop.daraja.settings()).await.unwrap();
    for base_url in ["https://sandbox.safaricom.co.ke", "https://api.safaricom.co.ke"] {
        shop.with_base_url(base_url);
        let refused = prove_reachable(shop.daraja.settings()).await.unwrap_err().to_string();
        assert!(refused.contains("is not https") && refused.contains("--force"), "{refused}");
    }
}

#[tokio::test]
async fn who_types_an_invoices_number_pays_as_whose_invoice_it_is_and_for_the_line_it_is_for() {
    let (shop, token) = registered().await;
    let customer = shop.world.customer.id.clone();
    let add = async |written: &str, line: Option<LineId>| {
        let reference = Reference::parse(written).unwrap();
        let mut write = shop.controller.database.write().await.unwrap();
        let added = references::add(&mut write, (&customer, written), reference, line, UnixMillis(1)).await;
        write.commit().await.unwrap();
        assert!(matches!(added.unwrap(), Added::Added(_)));
    };
    add("INV-2026-0012", Some(shop.world.line.clone())).await;
    add("old 77", None).await;
    assert!(matches!(pay(&shop, 1_500, "inv 2026/0012").await, PaybillOutcome::Paid { .. }), "it may go on");
    let payment = only_payment(&shop).await;
    assert_eq!(payment.subscription, Some(shop.world.line.clone()));
    assert_eq!((shop.books().await.revenue, suspense(&shop).await), (150_000, 0));
    assert!(matches!(pay(&shop, 100, "Old-77").await, PaybillOutcome::Paid { .. }));
    let refused = PaybillOutcome::Rejected { result_code: "C2B00012".to_owned() };
    assert_eq!(pay(&shop, 100, "INV-2026-0013").await, refused);
    // Some tell the invoice beside the account.
    let told = confirmation("RAC1", "200.00", "174379", "")
        .replace(r#""InvoiceNumber":"""#, r#""InvoiceNumber":"INV-2026-0012""#);
    assert!(told.contains("0012"));
    assert_eq!(deliver(&shop, &token, told).await, 200);
    assert_eq!((shop.books().await.wallet, suspense(&shop).await), (30_000, 0));
}

#[tokio::test]
async fn what_has_no_owner_waits_in_suspense_and_what_is_too_little_in_the_wallet() {
    let (shop, token) = registered().await;
    assert_eq!(deliver(&shop, &token, confirmation("RAA1", "700.00", "174379", "rent")).await, 200);
    assert_eq!((suspense(&shop).await, shop.books().await.payments), (70_000, 1));
    assert_eq!(deliver(&shop, &token, confirmation("RAA2", "500.00", "174379", &account(&shop))).await, 200);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue), (50_000, 0));
    assert_eq!(deliver(&shop, &token, confirmation("RAA3", "1000.00", "174379", &account(&shop))).await, 200);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue, books.payments), (0, 150_000, 3));
}

#[tokio::test]
async fn a_receipt_that_is_told_of_with_another_account_or_payer_is_for_a_person_and_credits_nobody_anew() {
    let (shop, token) = registered().await;
    let (own, number) = (account(&shop), "RAB1");
    let nobody = customers::account_number::AccountNumber::from_serial(9_000_000).unwrap().to_string();
    let first = confirmation(number, "500.00", "174379", &own);
    assert_eq!(deliver(&shop, &token, first.clone()).await, 200);
    let before = shop.books().await;
    let spelt = format!("{}-{}", own.split_at(4).0, own.split_at(4).1);
    let whole = first.replace("2547 ***** 678", PHONE);
    let hashed = first.replace("2547 ***** 678", "MPESA");
    for same in [first.clone(), confirmation(number, "500.00", "174379", &spelt), whole, hashed] {
        assert_eq!(deliver(&shop, &token, same).await, 200);
        assert_eq!(shop.outcomes().await.pop().unwrap(), "booked before");
    }
    for (told, words) in [
        (confirmation(number, "500.00", "174379", &nobody), "another account"),
        (confirmation(number, "500.00", "174379", "rent"), "another account"),
        (first.replace("2547 ***** 678", "2547 ***** 679"), "another payer"),
        (first.replace("2547 ***** 678", "254733000111"), "another payer"),
        (
            confirmation(number, "500.00", "174379", "x").replace("678", "679"),
            "another account and another payer",
        ),
    ] {
        assert_eq!(deliver(&shop, &token, told).await, 200);
        let outcome = shop.outcomes().await.pop().unwrap();
        assert!(outcome.starts_with("review:") && outcome.contains(words), "{outcome}");
        assert!(!outcome.contains("rent") && !outcome.contains("679"), "{outcome}");
    }
    let books = shop.books().await;
    assert_eq!((books.wallet, books.payments), (before.wallet, before.payments));
    // What lies in suspense is not given to whom a second word names for another account.
    assert_eq!(deliver(&shop, &token, confirmation("RAB2", "700.00", "174379", "rent")).await, 200);
    assert_eq!(deliver(&shop, &token, confirmation("RAB2", "700.00", "174379", &own)).await, 200);
    let outcome = shop.outcomes().await.pop().unwrap();
    assert!(outcome.contains("another account"), "{outcome}");
    assert_eq!((suspense(&shop).await, shop.books().await.wallet), (70_000, before.wallet));
    let mut read = shop.controller.database.read().await.unwrap();
    let review = crate::payments::for_review(&mut read, 99).await.unwrap();
    assert_eq!(review.len(), 7, "each and what is nobody's: {review:?}");
}

#[tokio::test]
async fn a_forged_confirmation_moves_nothing() {
    let (shop, token) = registered().await;
    let guessed = CallbackToken::random(&shop.controller.ids);
    let account = account(&shop);
    assert_eq!(deliver(&shop, &guessed, confirmation("RBB1", "1500.00", "174379", &account)).await, 404);
    assert_eq!(shop.stored_callbacks().await, 0);
    for (body, expected) in [
        (confirmation("RBB2", "1500.00", "600000", &account), "another short code"),
        (confirmation("RBB3", "-1500.00", "174379", &account), "TransAmount"),
        (confirmation("RBB4", "250000.01", "174379", &account), "more than M-Pesa takes"),
        (confirmation("", "1500.00", "174379", &account), "TransID"),
        ("amount=1500&account=x".to_owned(), "not in the form of a callback"),
    ] {
        assert_eq!(deliver(&shop, &token, body).await, 200);
        let outcome = shop.outcomes().await.pop().unwrap();
        assert!(outcome.contains(expected), "{outcome}");
    }
    assert_eq!(shop.books().await, Books::EMPTY);
    let mut read = shop.controller.database.read().await.unwrap();
    let review = crate::payments::for_review(&mut read, 99).await.unwrap();
    assert_eq!(review.len(), 5, "each is kept for a person: {review:?}");
    assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), crate::money::Money::ZERO);
}

#[tokio::test]
async fn an_address_is_told_once_and_stays_the_same() {
    let (shop, token) = registered().await;
    let again = register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    assert_eq!(again, Registered { short_code: "174379".to_owned(), was_registered: true, is_ours: true });
    shop.execute("UPDATE c2b_addresses SET base_url = 'https://old.example'").await;
    let others = register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    assert!(others.was_registered && !others.is_ours, "what it has is not what the settings say");
    shop.handle().forget_registration("174379").unwrap();
    let anew = register(&shop.controller, &shop.daraja, ResponseType::Cancelled).await.unwrap();
    assert!(!anew.was_registered);
    let url = shop.handle().registrations().values().next().unwrap().validation_url.as_str().to_owned();
    assert!(url.ends_with(&format!("/callbacks/c2b/{}/validation", token.reveal())), "{url}");
}
