//! A receipt is one payee's: what tells of it as another's credits nobody, and a till and its head office are one.

use super::c2b::{account, confirmation, deliver, registered};
use super::disputed::{call_back, for_review};
use super::pulling::{daraja_that_tells, only_payment, open, pull_settings, row_of, suspense, sweep};
use super::shop::Shop;
use super::short_codes::{TILL, settings};
use super::statements::statement;
use crate::audit::Actor;
use crate::ledger::{self, Account};
use crate::mpesa::MpesaSettings;
use crate::mpesa::c2b::note_tills;
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::statement::{ImportError, Order, Summary, import};
use crate::payments::{self, LookedAt};

/// Takes a file in that names no short code, as that of whichever was said.
async fn imported(
    shop: &Shop,
    text: &str,
    (said, is_dry_run): (&str, bool),
    ours: &[&MpesaSettings],
) -> Result<Summary, ImportError> {
    let actor = Actor::CommandLine("clerk".to_owned());
    let order = Order {
        short_code: Some(said),
        ours,
        is_dry_run,
        accepts_gaps: false,
        pause: std::time::Duration::ZERO,
        actor: &actor,
    };
    import(&shop.controller, text.as_bytes(), order, |_, _| {}).await
}

fn nameless(rows: &[&str]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    statement(&rows).replace("Short Code:,174379\n", "")
}

async fn clearing(shop: &Shop, short_code: &str) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    ledger::balance_of(&mut read, &Account::MpesaClearing(short_code.to_owned())).await.unwrap().cents()
}

const CHARGE: &str = "RAA2,2026-11-21 12:14:25,,Pay Bill Charge,Completed,,-23.00,\"2,477.00\",true,,,,";
const SETTLED: &str = "RAA3,2026-11-21 12:15:25,,Organization Settle to Bank,Completed,,-7.00,,true,,,,";
const PAID: &str = "RAA1,2026-11-21 12:13:25,,Pay Bill from 2547****678 Acc. rent,Completed,\"2,500.00\",,\"2,500.00\",true,,,,";
const ANOTHER: &str =
    "RAA4,2026-11-21 12:16:25,,Pay Bill from 2547****678 Acc. rent,Completed,10.00,,\"2,487.00\",true,,,,";

#[tokio::test]
async fn a_statement_taken_in_as_that_of_another_short_code_is_refused_with_the_receipt_that_gives_it_away() {
    let (shop, _) = open().await;
    for (known, receipt) in [(PAID, "RAA1"), (CHARGE, "RAA2"), (SETTLED, "RAA3")] {
        imported(&shop, &nameless(&[known]), ("174379", false), &[]).await.unwrap();
        let held = clearing(&shop, "174379").await;
        let text =
            nameless(&[ANOTHER, known]).replace("\"2,487.00\"", "").replace("\"2,500.00\",true", ",true");
        for is_dry_run in [true, false] {
            let refused = imported(&shop, &text, ("600100", is_dry_run), &[]).await.unwrap_err();
            assert!(refused.is_of_file(), "{refused}");
            let said = refused.to_string();
            for part in [receipt, "line 5", "booked as money of 174379", "statement of 600100"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        assert_eq!((clearing(&shop, "600100").await, clearing(&shop, "174379").await), (0, held));
    }
    let mut read = shop.controller.database.read().await.unwrap();
    let told = sqlx::query("SELECT short_code FROM told_spans WHERE short_code = '600100'");
    assert!(told.fetch_all(&mut *read).await.unwrap().is_empty(), "nothing counts as told of it");
}

#[tokio::test]
async fn a_receipt_that_pull_tells_of_as_another_short_codes_waits_for_a_person_once_and_credits_nobody() {
    let (shop, _) = open().await;
    imported(&shop, &nameless(&[PAID]), ("600100", false), &[]).await.unwrap();
    let row = row_of("RAA1", "2026-11-21 12:13:25", &account(&shop)).replace("1500.00", "2500.00");
    let daraja = daraja_that_tells(&shop, &format!("[[{row}]]")).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!((suspense(&shop).await, only_payment(&shop).await.customer), (250_000, None));
    let listed = for_review(&shop).await;
    let item = listed.iter().find(|item| item.reason.contains("booked as paid to 600100"));
    let item = item.unwrap_or_else(|| panic!("{listed:?}"));
    assert!(item.reason.contains("paid to 174379: it credits nobody"), "{}", item.reason);
    let (controller, mut write) = (&shop.controller, shop.controller.database.write().await.unwrap());
    let what = (item.kind.as_str(), only_payment(&shop).await.id.to_string());
    let (actor, now) = (Actor::CommandLine("clerk".to_owned()), controller.clock.now());
    let looked =
        payments::looked_at(&mut write, (what.0, &what.1), &actor, &controller.ids, now).await.unwrap();
    assert_eq!(looked, LookedAt::Noted);
    write.commit().await.unwrap();
    // Told of once more, it is not listed once more.
    let waiting = for_review(&shop).await.len();
    assert_eq!(sweep(&shop, &mut sweeper).await, (1, 0));
    assert_eq!(for_review(&shop).await.len(), waiting);
}

#[tokio::test]
async fn a_callback_whose_receipt_is_booked_as_another_short_codes_credits_nobody() {
    let (shop, _) = open().await;
    let intent = shop.unanswered().await;
    let paid = PAID.replace("2,500.00", "1,500.00");
    imported(&shop, &nameless(&[&paid]), ("600100", false), &[]).await.unwrap();
    call_back(&shop, &intent, "RAA1", "1500.00").await;
    let outcome = shop.outcomes().await.pop().unwrap();
    assert!(outcome.contains("booked as paid to 600100"), "{outcome}");
    assert_eq!((suspense(&shop).await, only_payment(&shop).await.customer), (150_000, None));
    assert_eq!(shop.intent(&intent).await.state.as_str(), "prompted");
}

#[tokio::test]
async fn a_till_and_its_head_office_are_one_payee() {
    let (mut shop, token) = registered().await;
    let all = settings(&shop, &[("174379", TILL, "")]).unwrap();
    let ours: Vec<&MpesaSettings> = all.iter().collect();
    // Booked under the till by whoever had no settings yet, and by itself under its head office since.
    let row = PAID.replace("Acc. rent", &format!("Acc. {}", account(&shop))).replace("2,500.00", "1,500.00");
    imported(&shop, &nameless(&[&row]), ("600200", false), &[]).await.unwrap();
    note_tills(&shop.controller, &ours).await.unwrap();
    assert_eq!(
        imported(&shop, &nameless(&[&row]), ("600200", false), &ours).await.unwrap().payments_known,
        1
    );
    deliver(&shop, &token, confirmation("RAA1", "1500.00", "174379", &account(&shop))).await;
    assert_eq!(shop.outcomes().await.pop().as_deref(), Some("booked before"));
    assert_eq!((clearing(&shop, "600200").await, clearing(&shop, "174379").await), (150_000, 0));
    // A number that is a short code of its own now is no till any more.
    shop.with_settings("");
    let all = settings(&shop, &[("174379", "pay_bill", ""), ("600200", "pay_bill", "")]).unwrap();
    note_tills(&shop.controller, &all.iter().collect::<Vec<_>>()).await.unwrap();
    deliver(&shop, &token, confirmation("RAA1", "1500.00", "174379", &account(&shop)).replace("JANE", "J"))
        .await;
    let outcome = shop.outcomes().await.pop().unwrap();
    assert!(outcome.contains("booked as paid to 600200"), "{outcome}");
}
