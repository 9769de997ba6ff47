//! Money that is in the wallet already: nobody is asked for it again.

use std::time::Duration;

use tawi_shared::UnixMillis;

use super::shop::{Books, DAY_MS, Shop, success};
use crate::desired;
use crate::entitlements::Status;
use crate::live::Hint;
use crate::money::Money;
use crate::payments::{self, FromWallet, Released, RequestPayment, Requested};
use crate::subscriptions::{self, Changed};

async fn hold(shop: &Shop) {
    let mut write = shop.controller.database.write().await.unwrap();
    let now = shop.controller.clock.now();
    subscriptions::hold(&mut write, &shop.world.line, now).await.unwrap();
    write.commit().await.unwrap();
}

async fn release(shop: &Shop) -> Released {
    let mut write = shop.controller.database.write().await.unwrap();
    let (ids, now) = (&shop.controller.ids, shop.controller.clock.now());
    let released =
        payments::release(&mut write, &shop.world.line, "staff:front-desk", ids, now).await.unwrap();
    write.commit().await.unwrap();
    released
}

/// The wallet holds so many prices, and the line is not paid for.
async fn with_money(prices: i64) -> Shop {
    let shop = Shop::open().await;
    hold(&shop).await;
    shop.pay(Some(prices * 1_500)).await;
    shop.wait_two_minutes();
    shop
}

fn bought(shop: &Shop, days: i64) -> FromWallet {
    bought_from(shop, shop.controller.clock.now(), days)
}

fn bought_from(shop: &Shop, started: UnixMillis, days: i64) -> FromWallet {
    FromWallet {
        subscription: shop.world.line.clone(),
        customer: shop.world.customer.id.clone(),
        price: shop.world.plan.terms.price,
        paid_until: UnixMillis(started.0 + days * DAY_MS),
    }
}

#[tokio::test]
async fn money_that_came_while_a_line_was_held_buys_when_it_is_released_and_only_once() {
    let shop = with_money(2).await;
    let before = desired_generation(&shop).await;
    let released = release(&shop).await;
    assert!(matches!(released.changed, Changed::Changed(_)), "{released:?}");
    assert_eq!(released.bought, Some(bought(&shop, 1)));
    assert!(desired_generation(&shop).await > before, "the site is told");
    let once = Books { clearing: 300_000, wallet: 150_000, traces: 0, ..Books::PAID_ONCE };
    assert_eq!(shop.books().await, once);
    assert_eq!(release(&shop).await, Released { changed: Changed::AlreadySo, bought: None });
    assert_eq!(shop.books().await, once);
}

#[tokio::test]
async fn a_release_without_enough_money_buys_nothing() {
    let shop = Shop::open().await;
    hold(&shop).await;
    shop.pay(Some(1_499)).await;
    assert_eq!(release(&shop).await.bought, None);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue, books.status), (149_900, 0, Status::Draft));
}

#[tokio::test]
async fn a_release_with_paid_time_left_buys_nothing() {
    let shop = Shop::open().await;
    shop.pay(None).await;
    shop.wait_two_minutes();
    hold(&shop).await;
    shop.pay(None).await;
    let released = release(&shop).await;
    assert!(matches!(released.changed, Changed::Changed(_)), "{released:?}");
    assert_eq!(released.bought, None);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.paid_days, books.status), (150_000, Some(1), Status::Active));
    // Once that time is over it is no longer paid.
    hold(&shop).await;
    shop.controller.clock.advance(Duration::from_secs(86_400));
    assert_eq!(release(&shop).await.bought, Some(bought(&shop, 1)));
}

#[tokio::test]
async fn at_a_revoked_site_a_release_and_a_late_payment_leave_the_money_in_the_wallet() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    shop.execute("UPDATE sites SET revoked_at = 1").await;
    shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid");
    let in_the_wallet =
        Books { clearing: 150_000, wallet: 150_000, payments: 1, evidence: 1, ..Books::EMPTY };
    assert_eq!(shop.books().await, in_the_wallet);
    hold(&shop).await;
    let released = release(&shop).await;
    assert!(matches!(released.changed, Changed::Changed(_)), "{released:?}");
    assert_eq!((released.bought, shop.books().await), (None, in_the_wallet));
}

#[tokio::test]
async fn a_request_that_the_wallet_can_pay_buys_at_once_and_asks_nobody() {
    let shop = with_money(3).await;
    let started = shop.controller.clock.now();
    release(&shop).await;
    let prompts = shop.handle().prompts(0, 9).len();
    let mut hints = shop.controller.live.listen();
    let paid_until = |days| Requested::BoughtFromWallet(bought_from(&shop, started, days));
    assert_eq!(shop.ask(None).await, paid_until(2));
    assert_eq!(hints.recv().await.unwrap(), Hint::Line(shop.world.line.clone()));
    shop.wait_two_minutes();
    assert_eq!(shop.ask(Some(1_500)).await, paid_until(3));
    assert_eq!(shop.handle().prompts(0, 9).len(), prompts);
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue, books.status), (0, 450_000, Status::Active));
    // Nothing is left: now the phone is asked.
    shop.wait_two_minutes();
    let intent = shop.prompt(None).await;
    assert_eq!(intent.amount, shop.world.plan.terms.price);
}

#[tokio::test]
async fn what_another_line_needs_of_a_wallet_is_left_and_the_phone_is_asked_for_the_rest() {
    let shop = with_money(1).await;
    let_go(&shop).await;
    let wanted = RequestPayment {
        subscription: shop.world.line.clone(),
        top_up: None,
        phone: None,
        amount: Some(Money::from_cents(100_000)),
        leaves_wallet: true,
        requested_by: crate::audit::Actor::Customer,
    };
    let asked = payments::request(&shop.controller, &shop.codes(), wanted).await.unwrap();
    let Requested::Prompted(intent) = asked else { panic!("{asked:?}") };
    assert_eq!(intent.amount, Money::from_cents(100_000));
    let books = shop.books().await;
    assert_eq!((books.wallet, books.revenue), (150_000, 0), "nothing is bought with it");
}

/// Released by itself, so that nothing is bought with the release.
async fn let_go(shop: &Shop) {
    let mut write = shop.controller.database.write().await.unwrap();
    let now = shop.controller.clock.now();
    subscriptions::release(&mut write, &shop.world.line, now).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn a_button_that_is_pressed_twice_buys_once_and_asks_no_phone() {
    for prices in [2, 3] {
        let shop = with_money(prices).await;
        release(&shop).await;
        assert!(matches!(shop.ask(None).await, Requested::BoughtFromWallet(_)));
        let books = shop.books().await;
        let prompts = shop.handle().prompts(0, 9).len();
        for waited in [0, 119] {
            shop.controller.clock.advance(Duration::from_secs(waited));
            let wait = Duration::from_secs(120 - waited);
            assert_eq!(shop.ask(None).await, Requested::JustBought { wait });
        }
        assert_eq!((shop.books().await, shop.handle().prompts(0, 9).len()), (books, prompts));
    }
}

#[tokio::test]
async fn for_a_held_line_that_the_wallet_covers_nobody_is_asked_and_nothing_is_bought() {
    let shop = with_money(1).await;
    let prompts = shop.handle().prompts(0, 9).len();
    for shillings in [None, Some(1_500)] {
        assert_eq!(shop.ask(shillings).await, Requested::OnHold { price: shop.world.plan.terms.price });
    }
    assert_eq!(shop.handle().prompts(0, 9).len(), prompts);
    assert_eq!((shop.books().await.revenue, shop.books().await.status), (0, Status::Suspended));
}

async fn desired_generation(shop: &Shop) -> u64 {
    let mut read = shop.controller.database.read().await.unwrap();
    desired::store::state_of(&mut read, &shop.world.site).await.unwrap().unwrap().generation
}
