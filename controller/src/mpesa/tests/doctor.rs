//! The doctor against a simulated Daraja: each thing that is wrong is found where it is wrong, and nothing is moved.

use std::time::Duration;

use daraja_sim::{DEMO_OPERATOR_PASSWORD, FaultsChange, Product, ResultFaults};
use tawi_shared::Clock;

use super::operator::set_up;
use super::shop::{Books, Shop};
use crate::mpesa::c2b::{self, ResponseType};
use crate::mpesa::doctor::{self, Finding, Hearing, Verdict};
use crate::mpesa::run_callbacks;
use crate::shutdown::Shutdown;

const PULL: &str = "pull = true\npull_nominated_number = \"0712345678\"";

/// A shop with everything set up, whose clock is right.
async fn open() -> Shop {
    let mut shop = Shop::open().await;
    shop.controller.clock.set(Clock::system().now());
    set_up(&mut shop, DEMO_OPERATOR_PASSWORD, PULL);
    shop
}

/// Examines while callbacks are taken in, as in a controller that serves.
async fn examine(shop: &Shop, hearing: Hearing) -> Vec<Finding> {
    let shutdown = Shutdown::default();
    let taking_in = tokio::spawn(run_callbacks(shop.controller.clone(), shutdown.stop()));
    let findings = doctor::examine(&shop.controller, &shop.daraja, &hearing, "cli:tester").await;
    shutdown.begin();
    taking_in.await.unwrap();
    findings
}

fn heard() -> Hearing {
    Hearing::For(Duration::from_secs(20))
}

fn of<'a>(findings: &'a [Finding], step: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.step == step).unwrap_or_else(|| panic!("{step}: {findings:?}"))
}

/// Expects one verdict, words in what was found or in the cure, and a cure for all that is bad.
fn check(findings: &[Finding], step: &str, verdict: Verdict, words: &str) {
    let finding = of(findings, step);
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(format!("{} {}", finding.found, finding.cure).contains(words), "{finding:?}");
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Bad || !finding.cure.is_empty()));
}

#[tokio::test]
async fn a_short_code_that_works_is_proved_but_for_the_address_that_is_not_public() {
    let shop = open().await;
    c2b::register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    let findings = examine(&shop, heard()).await;
    for finding in &findings {
        let expected = if finding.step == "callback address" { Verdict::Bad } else { Verdict::Ok };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
    assert_eq!(findings.iter().filter(|finding| finding.step == "secrets").count(), 3);
    check(&findings, "callback address", Verdict::Bad, "not https");
    let reports = of(&findings, "Paybill and till reports");
    let token = shop.handle().registrations().into_values().next().unwrap();
    assert!(!reports.found.contains(token.confirmation_url.as_str()), "the secret stays one");
    assert_eq!(shop.books().await, Books::EMPTY);
    assert_eq!(shop.handle().state().pushes, 0, "nobody was asked for money");
}

#[tokio::test]
async fn a_clock_that_is_wrong_and_reports_that_go_elsewhere_are_found() {
    let shop = open().await;
    shop.controller.clock.advance(Duration::from_secs(3_600));
    let findings = examine(&shop, heard()).await;
    check(&findings, "clock", Verdict::Bad, "ahead of");
    check(&findings, "Paybill and till reports", Verdict::Doubt, "register-urls");
    c2b::register(&shop.controller, &shop.daraja, ResponseType::Completed).await.unwrap();
    shop.execute("UPDATE c2b_addresses SET base_url = 'https://old.example'").await;
    let findings = examine(&shop, heard()).await;
    check(&findings, "Paybill and till reports", Verdict::Bad, "https://old.example");
}

#[tokio::test]
async fn callbacks_that_are_turned_away_are_found_with_what_cures_it() {
    let mut shop = open().await;
    let step = "callback senders";
    assert!(
        examine(&shop, heard()).await.iter().all(|finding| finding.step != step),
        "nobody is turned away"
    );
    shop.with_settings("refuse_unknown_sources = true");
    check(&examine(&shop, heard()).await, step, Verdict::Ok, "none was turned away");
    let now = shop.controller.clock.now().0;
    let rows = format!("('127.0.0.1', 1, {now}), ('41.90.1.1', 1, 1)");
    let mut write = shop.controller.database.write().await.unwrap();
    let sql = format!("INSERT INTO callbacks_turned_away (source, first_at, last_at) VALUES {rows}");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let findings = examine(&shop, heard()).await;
    check(&findings, step, Verdict::Bad, "X-Forwarded-For");
    assert_eq!(findings.iter().filter(|finding| finding.step == step).count(), 1, "the other is long ago");
    shop.execute("UPDATE callbacks_turned_away SET last_at = last_at + 1, source = '41.90.1.2' WHERE first_at = 1 AND last_at > 1").await;
    check(&examine(&shop, heard()).await, step, Verdict::Doubt, "41.90.1.2");
}

#[tokio::test]
async fn wrong_secrets_are_told_apart() {
    let mut shop = open().await;
    shop.directory.write_secret("passkey", "another");
    let reset = |shop: &mut Shop| {
        let more = "initiator_name = \"demo-operator\"\ninitiator_password_file = \"operator-password\"\n\
                    certificate_file = \"certificate.cer\"";
        shop.with_secrets(more);
    };
    reset(&mut shop);
    let findings = examine(&shop, heard()).await;
    check(&findings, "access token", Verdict::Ok, "taken");
    check(&findings, "M-Pesa Express", Verdict::Bad, "passkey_file");
    check(&findings, "Pull", Verdict::Doubt, "off");
    shop.directory.write_secret("secret", "another");
    reset(&mut shop);
    let findings = examine(&shop, heard()).await;
    check(&findings, "access token", Verdict::Bad, "400.008.01");
    for step in ["M-Pesa Express", "Pull", "operator"] {
        check(&findings, step, Verdict::Skipped, "no access token");
    }
}

#[tokio::test]
async fn an_operator_that_is_wrong_locked_unheard_or_not_set_up_is_told_apart() {
    let mut shop = open().await;
    set_up(&mut shop, "Wro.ng(1)", PULL);
    let findings = examine(&shop, heard()).await;
    check(&findings, "operator", Verdict::Bad, "2001");
    check(&findings, "operator's password", Verdict::Doubt, "().");
    assert_eq!(shop.handle().state().operator_requests, 1, "a wrong password is tried once");
    let results = ResultFaults { lost: true, ..ResultFaults::default() };
    let change = FaultsChange { results: Some(results), ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
    let findings = examine(&shop, Hearing::For(Duration::from_millis(100))).await;
    check(&findings, "operator", Verdict::Doubt, "no result came");
    let findings = examine(&shop, Hearing::Nobody("nobody serves".to_owned())).await;
    check(&findings, "operator", Verdict::Skipped, "nobody serves");
    shop.with_settings("");
    let findings = examine(&shop, heard()).await;
    check(&findings, "operator", Verdict::Skipped, "initiator_name");
}

#[tokio::test]
async fn missing_products_and_a_daraja_that_is_not_there_are_found() {
    let shop = open().await;
    let products = vec![Product::StkQuery, Product::Pull, Product::AccountBalance];
    let change = FaultsChange { no_product: Some(products), ..FaultsChange::default() };
    shop.handle().set_faults(&change).unwrap();
    let findings = examine(&shop, heard()).await;
    for step in ["M-Pesa Express", "Pull", "operator"] {
        check(&findings, step, Verdict::Bad, "apiproduct");
    }
    let mut shop = open().await;
    shop.with_base_url("http://127.0.0.1:9");
    let findings = examine(&shop, heard()).await;
    check(&findings, "Safaricom", Verdict::Bad, "cannot be reached");
    check(&findings, "access token", Verdict::Skipped, "not reached");
}
