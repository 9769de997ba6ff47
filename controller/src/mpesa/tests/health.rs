//! How a short code does, as it is read from what was really kept, over real sockets.

use std::time::Duration;

use daraja_sim::{Behaviour, CallbackFaults, Phone};

use super::c2b::{account, confirmation, deliver, registered};
use super::disputed::confirmed_now;
use super::pulling::{daraja_that_answers, open, pull_settings, sweep};
use super::shop::Shop;
use super::statements::{statement, taken_in};
use crate::mpesa::doctor::{Finding, Verdict};
use crate::mpesa::health::judgement::{self, Check, Standing};
use crate::mpesa::health::{self, Facts, Prompts, SweepOutcome};
use crate::mpesa::nairobi;
use crate::mpesa::pull::sweep::Sweeper;
use crate::shutdown::Shutdown;

async fn facts(shop: &Shop) -> Facts {
    let mut read = shop.controller.database.read().await.unwrap();
    let now = shop.controller.clock.now();
    let health = health::read(&mut read, Some(&shop.codes()), now).await.unwrap();
    health.short_codes.into_iter().next().unwrap()
}

async fn check(shop: &Shop, what: &str) -> Check {
    let checks = judgement::judge(&facts(shop).await, shop.controller.clock.now());
    checks.into_iter().find(|check| check.what.starts_with(what)).unwrap()
}

#[tokio::test]
async fn what_nobody_told_of_yet_is_not_known_and_nothing_is_made_up() {
    let shop = Shop::open().await;
    let facts = facts(&shop).await;
    assert_eq!(facts.prompts, Prompts::default());
    assert!(facts.confirmation_at.is_none() && facts.callback_at.is_none() && facts.sweep.is_none());
    assert!(facts.statement.is_none() && facts.balance.is_none() && facts.doctor.is_none());
    assert_eq!(check(&shop, "access token").await.standing, Standing::Unknown);
    assert_eq!(check(&shop, "prompts").await.standing, Standing::Unknown);
    // Neither told where to report, nor asked with Pull: nobody would hear of a payment by Paybill.
    assert_eq!(check(&shop, "address").await.standing, Standing::Bad);
}

#[tokio::test]
async fn an_outage_longer_than_pull_reaches_back_asks_for_the_statement_of_it() {
    let (shop, mut sweeper) = open().await;
    let shutdown = Shutdown::default();
    sweeper.sweep_and_note(&mut shutdown.stop()).await.unwrap();
    assert_eq!(check(&shop, "Pull").await.standing, Standing::Good);
    let down_at = shop.controller.clock.now();
    shop.controller.clock.advance(Duration::from_secs(47 * 3_600));
    sweeper.sweep_and_note(&mut shutdown.stop()).await.unwrap();
    assert_eq!(check(&shop, "Pull").await.standing, Standing::Good, "Pull tells of all of it");
    shop.controller.clock.advance(Duration::from_secs(5 * 86_400));
    sweeper.sweep_and_note(&mut shutdown.stop()).await.unwrap();
    let asked = check(&shop, "Pull").await;
    assert_eq!(asked.standing, Standing::Bad, "{asked:?}");
    let from = nairobi::written(down_at.plus(Duration::from_secs(47 * 3_600 - 900)), "%Y-%m-%d");
    assert!(asked.said.contains(&format!("import the statement for {from}")), "{asked:?}");
    // The statement of those days, and of a payment on each.
    let rows: Vec<String> = (0..5_u64)
        .map(|day| {
            let at = down_at.plus(Duration::from_secs(47 * 3_600 + day * 86_400));
            let at = nairobi::written(at, "%Y-%m-%d %H:%M:%S");
            let sum = 10 * (day + 1);
            format!("RAA{day},{at},,Pay Bill from 2547****678 Acc. x,Completed,10.00,,{sum}.00,true,,,,")
        })
        .rev()
        .collect();
    taken_in(&shop, &statement(&rows)).await;
    let cured = check(&shop, "Pull").await;
    assert_eq!(cured.standing, Standing::Good, "{cured:?}");
}

#[tokio::test]
async fn what_came_is_known_by_when_it_came_and_how_it_ended() {
    let (shop, token) = registered().await;
    shop.pay(None).await;
    shop.wait_two_minutes();
    shop.phone_that(Behaviour::Refuse);
    shop.pay(Some(1_500)).await;
    shop.wait_two_minutes();
    let open = shop.unanswered_although_paid().await;
    assert_eq!(deliver(&shop, &token, confirmed_now(&shop, "RAA1", "700.00", "rent")).await, 200);
    let facts = facts(&shop).await;
    assert_eq!(facts.prompts, Prompts { paid: 1, cancelled: 1, open: 1, ..Prompts::default() });
    assert_eq!(facts.oldest_open, Some(open.created_at));
    let now = shop.controller.clock.now();
    assert_eq!(facts.confirmation_at, Some(now));
    assert!(facts.callback_at.is_some_and(|at| at < now && now.since(at) < Duration::from_secs(600)));
    assert_eq!((facts.suspense.count, facts.suspense.oldest), (1, Some(now)));
    assert!(facts.registration.is_some_and(|told| told.at.is_some() && told.is_here));
    let token = check(&shop, "access token").await;
    assert!(token.standing == Standing::Good && token.said.contains("fetched"), "{token:?}");
}

#[tokio::test]
async fn a_pull_that_stays_silent_although_payments_came_is_counted_and_cured_by_one_that_tells() {
    let (shop, token) = registered().await;
    let body = confirmation("RAA1", "1500.00", "174379", &account(&shop));
    assert_eq!(deliver(&shop, &token, body).await, 200);
    shop.controller.clock.advance(Duration::from_secs(20 * 60));
    let silent = daraja_that_answers(&shop, |_: &str| r#"{"ResponseCode":"1001"}"#.to_owned()).await;
    let mut sweeper = Sweeper::new(shop.controller.clone(), silent, pull_settings(&shop));
    let shutdown = Shutdown::default();
    let first = shop.controller.clock.now();
    for streak in 1..=3 {
        assert!(sweeper.sweep_and_note(&mut shutdown.stop()).await.unwrap().is_silent);
        let sweep = facts(&shop).await.sweep.unwrap();
        assert_eq!((sweep.outcome, sweep.streak, sweep.since), (SweepOutcome::Silent, streak, first));
        shop.controller.clock.advance(Duration::from_secs(300));
    }
    let alarm = check(&shop, "Pull").await;
    assert_eq!(alarm.standing, Standing::Bad);
    assert!(alarm.said.contains("1001") && alarm.said.contains("3 sweeps"), "{alarm:?}");
    assert!(alarm.cure.contains("apisupport@safaricom.co.ke"), "{alarm:?}");
    let overview = {
        let mut read = shop.controller.database.read().await.unwrap();
        crate::overview::read(&mut read, Some(&shop.codes()), shop.controller.clock.now()).await.unwrap()
    };
    let on_first_page = overview.mpesa_alarms;
    assert!(
        on_first_page.iter().any(|alarm| alarm.contains("174379, Pull") && alarm.contains("1001")),
        "{on_first_page:?}"
    );
    let gone = super::shop::daraja(&shop.directory, "http://127.0.0.1:9", shop.address, &shop.controller);
    let mut sweeper = Sweeper::new(shop.controller.clone(), gone, pull_settings(&shop));
    sweeper.sweep_and_note(&mut shutdown.stop()).await.unwrap_err();
    let sweep = facts(&shop).await.sweep.unwrap();
    assert_eq!((sweep.outcome, sweep.streak), (SweepOutcome::Failed, 1));
    assert!(sweep.detail.contains("cannot be reached"), "{sweep:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_bad_and_named_until_one_is_given() {
    let mut shop = Shop::open().await;
    shop.directory.write_secret("secret", "wrong\n");
    shop.with_secrets("");
    shop.daraja.prove_token().await.unwrap_err();
    let refused = check(&shop, "access token").await;
    assert!(refused.standing == Standing::Bad && refused.cure.contains("consumer_key"), "{refused:?}");
    shop.directory.write_secret("secret", "demo-secret\n");
    shop.with_secrets("");
    shop.daraja.prove_token().await.unwrap();
    assert_eq!(check(&shop, "access token").await.standing, Standing::Good);
}

#[tokio::test]
async fn what_the_doctor_said_last_is_kept_in_place_of_what_it_said_before() {
    let shop = Shop::open().await;
    let finding = |verdict, cure: &str| Finding {
        step: "clock",
        verdict,
        found: "this machine is 400 s behind".to_owned(),
        cure: cure.to_owned(),
    };
    for (findings, standing) in [
        (vec![finding(Verdict::Bad, "set it")], Standing::Bad),
        (vec![finding(Verdict::Ok, ""), finding(Verdict::Skipped, "")], Standing::Good),
    ] {
        let now = shop.controller.clock.now();
        let mut write = shop.controller.database.write().await.unwrap();
        health::keep_doctor(&mut write, "174379", &findings, now).await.unwrap();
        write.commit().await.unwrap();
        let said = facts(&shop).await.doctor.unwrap();
        assert_eq!((said.at, said.steps.len()), (now, findings.len()));
        assert_eq!(check(&shop, "last look").await.standing, standing);
        shop.controller.clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn callbacks_that_are_all_lost_are_an_alarm_although_pull_books_the_money() {
    let (shop, mut sweeper) = open().await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    for shillings in 10..15 {
        shop.prompt(Some(shillings)).await;
        shop.settle().await;
        shop.wait_two_minutes();
    }
    assert_eq!(check(&shop, "callbacks").await.standing, Standing::Unknown);
    assert_eq!(sweep(&shop, &mut sweeper).await, (5, 5));
    assert_eq!(check(&shop, "callbacks").await.standing, Standing::Doubt, "the next may come in a moment");
    shop.controller.clock.advance(Duration::from_secs(15 * 60));
    let lost = check(&shop, "callbacks").await;
    assert!(lost.standing == Standing::Bad && lost.said.contains("5 payments"), "{lost:?}");
    assert!(lost.cure.contains("callback_base_url") && lost.cure.contains("known_sources"), "{lost:?}");
    shop.phone(Phone::default());
    shop.pay(Some(20)).await;
    assert_eq!(check(&shop, "callbacks").await.standing, Standing::Good);
}

#[tokio::test]
async fn refusals_that_the_owner_can_cure_are_an_alarm_and_are_not_counted_as_the_customers() {
    let mut shop = Shop::open().await;
    assert_eq!(check(&shop, "prompts refused for").await.standing, Standing::Good);
    for code in ["8", "2028", "SFC_IC0003"] {
        let phone =
            Phone { behaviour: Behaviour::Fail, result_code: Some(code.to_owned()), ..Phone::default() };
        shop.phone(phone);
        assert_eq!(shop.pay(None).await.state.as_str(), "declined", "{code}");
        shop.wait_two_minutes();
    }
    let till = check(&shop, "prompts refused for").await;
    assert!(till.standing == Standing::Bad && till.said.starts_with("3 prompts in 24 hours"), "{till:?}");
    assert!(till.cure.contains("till_number"), "the newest names the cure: {till:?}");
    shop.directory.write_secret("passkey", "wrong\n");
    shop.with_secrets("");
    shop.ask(None).await;
    let passkey = check(&shop, "prompts refused for").await;
    assert!(passkey.standing == Standing::Bad && passkey.cure.contains("passkey_file"), "{passkey:?}");
    assert_eq!(facts(&shop).await.prompts, Prompts { own_fault: 4, ..Prompts::default() });
    let mut read = shop.controller.database.read().await.unwrap();
    let now = shop.controller.clock.now();
    let alarms = judgement::alarms(&health::read(&mut read, Some(&shop.codes()), now).await.unwrap(), now);
    drop(read);
    assert!(
        alarms.iter().any(|alarm| alarm.contains("owner can cure") && alarm.contains("passkey")),
        "{alarms:?}"
    );
    shop.controller.clock.advance(Duration::from_secs(3_600));
    assert_eq!(check(&shop, "prompts refused for").await.standing, Standing::Doubt);
}
