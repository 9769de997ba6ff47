//! Money that was asked for a top-up.

use daraja_sim::{Behaviour, Phone};

use super::shop::{Books, Shop, success};
use crate::ids::TopUpId;
use crate::ledger;
use crate::money::Money;
use crate::payments::{self, NoTopUp, RequestPayment, Requested, Why};
use crate::quota;

const PRICE: i64 = 20_000;

/// A line whose running day has a limit of 100 bytes, and a top-up of 50.
async fn open() -> Shop {
    let shop = Shop::open().await;
    shop.execute("UPDATE plans SET data_quota_bytes = 100; INSERT INTO top_ups VALUES ('t1', 'More', NULL, 20000, 50, 1);")
        .await;
    shop.pay(None).await;
    shop.wait_two_minutes();
    shop
}

fn top_up() -> TopUpId {
    TopUpId::parse("t1").unwrap()
}

async fn ask(shop: &Shop) -> Requested {
    let wanted = RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: Some(top_up()),
        phone: None,
        amount: None,
        leaves_wallet: false,
        requested_by: crate::audit::Actor::Token("test".to_owned()),
    };
    payments::request(&shop.controller, &shop.codes(), wanted).await.unwrap()
}

/// What may be moved in the running period, and what the site is told of it.
async fn allowed(shop: &Shop) -> (Option<u64>, Vec<u64>) {
    let mut read = shop.controller.database.read().await.unwrap();
    let now = shop.controller.clock.now();
    let standing = quota::standing(&mut read, &shop.world.line, now).await.unwrap();
    let parts = crate::desired::snapshot(&mut read, &shop.world.site).await.unwrap();
    let told = parts[0].lines[0].quotas.iter().map(|quota| quota.bytes).collect();
    (standing.and_then(|standing| standing.bytes), told)
}

async fn wallet(shop: &Shop) -> i64 {
    let mut read = shop.controller.database.read().await.unwrap();
    assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
    ledger::wallet_of(&mut read, &shop.world.customer.id).await.unwrap().cents()
}

#[tokio::test]
async fn a_period_that_is_bought_has_its_data_and_the_site_is_told_of_it() {
    let shop = open().await;
    assert_eq!(allowed(&shop).await, (Some(100), vec![100]));
    shop.pay(None).await;
    assert_eq!(allowed(&shop).await, (Some(100), vec![100, 100]), "and of the one that was bought ahead");
}

#[tokio::test]
async fn money_that_was_asked_for_a_top_up_buys_it_once_however_often_it_is_told_of() {
    let shop = open().await;
    let Requested::Prompted(intent) = ask(&shop).await else { panic!("not prompted") };
    assert_eq!((intent.amount, &intent.top_up), (Money::from_cents(PRICE), &Some(top_up())));
    shop.settle().await;
    let paid = shop.intent(&intent).await;
    let expected = Books {
        clearing: 150_000 + PRICE,
        wallet: 0,
        revenue: 150_000 + PRICE,
        payments: 2,
        evidence: 2,
        traces: 2,
        ..Books::PAID_ONCE
    };
    assert_eq!(shop.books().await, expected, "the top-up, its trace, and no other period");
    assert_eq!(allowed(&shop).await, (Some(150), vec![150]), "the site hears of it at once");
    let receipt = paid.receipt().unwrap();
    for _ in 0..2 {
        shop.deliver_to(&paid, success(&paid, receipt, "200")).await;
        shop.take_in().await;
    }
    let books = shop.books().await;
    assert_eq!((books.revenue, books.wallet, books.payments), (150_000 + PRICE, 0, 2));
    assert_eq!(allowed(&shop).await, (Some(150), vec![150]), "told of three times, bought once");
}

#[tokio::test]
async fn a_wallet_that_covers_a_top_up_buys_it_and_nobody_is_asked() {
    let shop = open().await;
    // The day is bought ahead, and KES 300 remain.
    shop.pay(Some(1_800)).await;
    shop.wait_two_minutes();
    let prompts = shop.handle().prompts(0, 9).len();
    let Requested::ToppedUp(bought) = ask(&shop).await else { panic!("not bought") };
    assert_eq!((bought.top_up.bytes, wallet(&shop).await), (50, 10_000));
    assert_eq!(allowed(&shop).await, (Some(150), vec![150, 100]), "the running one alone is topped up");
    assert!(matches!(ask(&shop).await, Requested::JustBought { .. }), "a button that is pressed twice");
    assert_eq!((wallet(&shop).await, shop.handle().prompts(0, 9).len()), (10_000, prompts));
    // What is missing is asked for, and no more.
    shop.wait_two_minutes();
    let Requested::Prompted(intent) = ask(&shop).await else { panic!("not prompted") };
    assert_eq!(intent.amount, Money::from_cents(10_000));
}

#[tokio::test]
async fn what_the_wallet_pays_does_not_wait_for_a_phone_that_is_being_asked_for_something_else() {
    let shop = open().await;
    // The day is bought ahead, and KES 300 remain; the phone is asked for another in full.
    shop.pay(Some(1_800)).await;
    shop.wait_two_minutes();
    shop.phone(Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
    shop.prompt(Some(1_500)).await;
    let asked = ask(&shop).await;
    assert!(matches!(asked, Requested::ToppedUp(_)), "{asked:?}");
    // What remains is not enough for a second, so that the same phone would have to be asked.
    shop.execute("DROP TRIGGER ledger_entries_are_not_changed; UPDATE ledger_entries SET booked_at = 1")
        .await;
    let asked = ask(&shop).await;
    let Requested::AlreadyOpen(open) = asked else { panic!("{asked:?}") };
    assert_eq!(open.why, Why::SamePhone);
}

#[tokio::test]
async fn for_a_top_up_that_a_line_cannot_use_nobody_is_asked() {
    let shop = Shop::open().await;
    shop.execute("INSERT INTO top_ups VALUES ('t1', 'More', NULL, 20000, 50, 1);").await;
    assert_eq!(ask(&shop).await, Requested::NoTopUp(NoTopUp::NothingToTopUp), "never paid");
    shop.pay(None).await;
    shop.wait_two_minutes();
    assert_eq!(ask(&shop).await, Requested::NoTopUp(NoTopUp::NothingToTopUp), "no limit");
    assert_eq!(shop.handle().prompts(0, 9).len(), 1);
}

#[tokio::test]
async fn money_for_a_top_up_that_comes_when_the_period_is_over_waits_in_the_wallet() {
    let shop = open().await;
    let Requested::Prompted(intent) = ask(&shop).await else { panic!("not prompted") };
    shop.controller.clock.advance(std::time::Duration::from_secs(86_400));
    shop.settle().await;
    assert!(shop.intent(&intent).await.receipt().is_some());
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue), (PRICE, 150_000));
    let outcomes = shop.outcomes().await;
    assert!(outcomes[1].starts_with("review: booked; all that was asked for is paid"), "{outcomes:?}");
}

#[tokio::test]
async fn money_for_a_top_up_that_the_wallet_no_longer_covers_buys_no_period_and_a_person_hears_of_it() {
    let shop = open().await;
    // A hundred lie in the wallet and another hundred are asked for; meanwhile the price of a period falls below both.
    shop.pay(Some(100)).await;
    shop.wait_two_minutes();
    let Requested::Prompted(intent) = ask(&shop).await else { panic!("not prompted") };
    assert_eq!(intent.amount, Money::from_cents(10_000));
    shop.execute("UPDATE plans SET price_cents = 5000; UPDATE top_ups SET price_cents = 30000").await;
    shop.settle().await;
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue, books.paid_days), (PRICE, 150_000, Some(1)));
    let outcomes = shop.outcomes().await;
    assert!(outcomes[2].starts_with("review: booked; all that was asked for is paid"), "{outcomes:?}");
}

#[tokio::test]
async fn less_than_a_top_up_lacks_is_not_asked_for() {
    let shop = open().await;
    let wanted = |shillings| RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: Some(top_up()),
        phone: None,
        amount: Money::from_shillings(shillings),
        leaves_wallet: false,
        requested_by: crate::audit::Actor::Token("test".to_owned()),
    };
    let asked = payments::request(&shop.controller, &shop.codes(), wanted(199)).await.unwrap();
    assert_eq!(asked, Requested::BelowTopUp { lacking: Money::from_cents(PRICE) });
    let asked = payments::request(&shop.controller, &shop.codes(), wanted(200)).await.unwrap();
    assert!(matches!(asked, Requested::Prompted(_)), "{asked:?}");
}

#[tokio::test]
async fn whoever_asks_in_two_places_within_two_minutes_buys_once() {
    let shop = open().await;
    shop.pay(Some(1_950)).await;
    let buy = async |occasion: &str| {
        let mut write = shop.controller.database.write().await.unwrap();
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let what = (&shop.world.line, &top_up());
        let bought = payments::buy_top_up(&mut write, what, occasion, "staff:desk", ids, now).await.unwrap();
        write.commit().await.unwrap();
        bought.map(|bought| bought.top_up.bytes)
    };
    shop.wait_two_minutes();
    assert_eq!(buy("page 1").await, Ok(50));
    assert!(matches!(ask(&shop).await, Requested::JustBought { .. }), "a request sees what a button bought");
    assert!(matches!(buy("page 2").await, Err(NoTopUp::JustBought { .. })), "and so does another button");
    shop.wait_two_minutes();
    shop.unanswered().await;
    assert!(matches!(buy("page 3").await, Err(NoTopUp::AlreadyOpen(_))), "the phone is being asked");
    assert_eq!(wallet(&shop).await, 25_000);
}

#[tokio::test]
async fn a_top_up_out_of_the_wallet_does_not_wait_for_a_request_that_needs_none_of_that_money() {
    let shop = open().await;
    shop.pay(Some(1_950)).await;
    shop.wait_two_minutes();
    let buy = async |occasion: &str| {
        let mut write = shop.controller.database.write().await.unwrap();
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let what = (&shop.world.line, &top_up());
        let bought = payments::buy_top_up(&mut write, what, occasion, "staff:desk", ids, now).await.unwrap();
        write.commit().await.unwrap();
        bought.map(|bought| bought.top_up.bytes)
    };
    let silent = daraja_sim::Behaviour::Ignore;
    shop.phone(daraja_sim::Phone { behaviour: silent, delay_ms: 3_600_000, ..daraja_sim::Phone::default() });
    // 450 lie in the wallet: of the 1,250 that are asked for 250 have to stay there.
    shop.prompt(Some(1_250)).await;
    assert_eq!(buy("page 1").await, Ok(50));
    // What is left has to stay there, and would pay for another without any phone.
    let Requested::AlreadyOpen(open) = ask(&shop).await else { panic!("a second prompt was sent") };
    assert_eq!((open.why, open.intent.top_up.is_none()), (Why::CountsOnWallet, true));
    shop.wait_two_minutes();
    shop.prompt(None).await;
    let Err(NoTopUp::AlreadyOpen(open)) = buy("page 2").await else { panic!("the request counts on it") };
    assert_eq!(open.why, Why::CountsOnWallet);
    assert_eq!(wallet(&shop).await, 25_000);
}

/// A period has ended: the wallet buys another, and a top-up of that is no button that was pressed twice.
#[tokio::test]
async fn a_top_up_is_bought_right_behind_the_period_that_it_is_for() {
    let shop = open().await;
    let day = std::time::Duration::from_secs(86_400);
    // What a held line is paid lies in the wallet.
    shop.execute("UPDATE subscriptions SET status = 'suspended'").await;
    shop.pay(Some(1_500 + 200 + 200 + 1_500)).await;
    shop.execute("UPDATE subscriptions SET status = 'active'").await;
    shop.controller.clock.advance(day);
    shop.handle().advance_clock(day).unwrap();
    let renewed = shop.ask(None).await;
    assert!(matches!(renewed, Requested::BoughtFromWallet(_)), "{renewed:?}");
    let asked = ask(&shop).await;
    assert!(matches!(asked, Requested::ToppedUp(_)), "{asked:?}");
    assert_eq!((allowed(&shop).await.0, wallet(&shop).await), (Some(150), 170_000));
    assert!(matches!(ask(&shop).await, Requested::JustBought { .. }), "another of the same");

    // The next one is bought ahead, and a top-up in the last minute of the running one.
    let asked = shop.ask(None).await;
    assert!(matches!(asked, Requested::JustBought { .. }), "the period was bought a moment ago: {asked:?}");
    shop.wait_two_minutes();
    let ahead = shop.ask(None).await;
    assert!(matches!(ahead, Requested::BoughtFromWallet(_)), "{ahead:?}");
    let until_the_last_minute = day - std::time::Duration::from_secs(120 + 60);
    shop.controller.clock.advance(until_the_last_minute);
    shop.handle().advance_clock(until_the_last_minute).unwrap();
    shop.execute("UPDATE top_ups SET price_cents = 10000").await;
    assert!(matches!(ask(&shop).await, Requested::ToppedUp(_)));
    assert!(matches!(ask(&shop).await, Requested::JustBought { .. }));
    shop.controller.clock.advance(std::time::Duration::from_secs(60));
    let asked = ask(&shop).await;
    assert!(matches!(asked, Requested::ToppedUp(_)), "it is another period: {asked:?}");
    assert_eq!((allowed(&shop).await.0, wallet(&shop).await), (Some(150), 0));
}

#[tokio::test]
async fn the_same_occasion_buys_one_top_up() {
    let shop = open().await;
    shop.pay(Some(1_950)).await;
    shop.wait_two_minutes();
    let buy = async |occasion: &str| {
        let mut write = shop.controller.database.write().await.unwrap();
        let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
        let what = (&shop.world.line, &top_up());
        let bought = payments::buy_top_up(&mut write, what, occasion, "staff:desk", ids, now).await.unwrap();
        write.commit().await.unwrap();
        bought.map(|bought| bought.top_up.bytes)
    };
    assert_eq!(buy("a").await, Ok(50));
    assert_eq!(buy("a").await, Err(NoTopUp::AlreadyBought));
    assert_eq!(wallet(&shop).await, 25_000);
    shop.wait_two_minutes();
    assert_eq!(buy("b").await, Ok(50));
    shop.wait_two_minutes();
    assert_eq!(buy("c").await, Err(NoTopUp::TooLittle { missing: Money::from_cents(15_000) }));
    assert_eq!(allowed(&shop).await, (Some(200), vec![200, 100]));
}
