//! Lines that are open on trust: M-Pesa says that they were paid for, and the receipt does not come.

use std::time::Duration;

use daraja_sim::{CallbackFaults, Phone, Redelivery};
use tawi_shared::UnixMillis;
use tawi_shared::wire::Access;

use super::shop::{Books, DEADLINE, Shop};
use crate::desired;
use crate::mpesa::intent::Intent;
use crate::mpesa::query;
use crate::payments::{Requested, Why, grace};
use crate::shutdown::Shutdown;
use crate::subscriptions;

const DAY: u64 = 86_400;

/// A payment whose callback never comes, and of which M-Pesa says that it is paid.
async fn unreceipted(shop: &Shop) -> Intent {
    shop.execute("UPDATE sites SET is_online = 1").await;
    let callback = CallbackFaults { lost: true, ..CallbackFaults::default() };
    shop.phone(Phone { callback, ..Phone::default() });
    shop.wait_two_minutes();
    let intent = shop.prompt(None).await;
    assert!(shop.handle().settled(DEADLINE).await);
    shop.controller.clock.advance(Duration::from_secs(20));
    query::ask_about_due(&shop.controller, &shop.codes(), &Shutdown::default().stop()).await.unwrap();
    assert_eq!(shop.intent(&intent).await.state.as_str(), "paid_unreceipted");
    intent
}

/// Time passes, and it is looked which lines are trusted.
async fn after(shop: &Shop, seconds: u64) {
    shop.controller.clock.advance(Duration::from_secs(seconds));
    let mut write = shop.controller.database.write().await.unwrap();
    grace::follow_up(&mut write, shop.controller.clock.now(), 10).await.unwrap();
    write.commit().await.unwrap();
}

/// Until when the site is told that the line is open; `None` for a closed one, or one that it was never told of.
async fn open_until(shop: &Shop) -> Option<UnixMillis> {
    let mut read = shop.controller.database.read().await.unwrap();
    let told = desired::store::line_at(&mut read, &shop.world.site, &shop.world.line).await.unwrap()?;
    (told.access == Access::Open.code()).then(|| UnixMillis(told.valid_until_ms.unwrap()))
}

async fn trusted_until(shop: &Shop) -> Option<UnixMillis> {
    let mut read = shop.controller.database.read().await.unwrap();
    subscriptions::get(&mut read, &shop.world.line).await.unwrap().unwrap().grace_until
}

#[tokio::test]
async fn nobody_is_trusted_for_a_day_of_which_the_site_is_away() {
    let shop = Shop::open().await;
    unreceipted(&shop).await;
    shop.execute("UPDATE sites SET is_online = 0").await;
    after(&shop, 2 * DAY).await;
    assert_eq!(trusted_until(&shop).await, None);
    shop.execute("UPDATE sites SET is_online = 1").await;
    after(&shop, 1).await;
    let trusted = trusted_until(&shop).await.unwrap();
    assert_eq!(trusted, shop.controller.clock.now().plus(Duration::from_secs(DAY)));
}

#[tokio::test]
async fn a_line_is_open_while_its_receipt_is_missing_which_then_buys_the_whole_period() {
    let shop = Shop::open().await;
    let intent = unreceipted(&shop).await;
    after(&shop, 59).await;
    assert_eq!(open_until(&shop).await, None, "the receipt mostly comes by itself");
    after(&shop, 1).await;
    let trusted = open_until(&shop).await.unwrap();
    let lasts = trusted.since(shop.controller.clock.now());
    assert!((DAY - 60..=DAY).contains(&lasts.as_secs()), "{lasts:?}");
    assert_eq!(trusted_until(&shop).await, Some(trusted));
    assert_eq!(shop.books().await, Books::EMPTY, "no money is booked, and nothing is bought");
    after(&shop, 3_600).await;
    assert_eq!(open_until(&shop).await, Some(trusted), "it is decided once");
    let Requested::AlreadyOpen(open) = shop.ask(None).await else { panic!("a second payment is asked for") };
    assert_eq!(open.why, Why::SaidPaid);

    let id = intent.checkout.as_ref().unwrap().to_string();
    shop.handle().redeliver_callback(&id, Redelivery { copies: 1, together: false }).await.unwrap();
    shop.settle().await;
    after(&shop, 10).await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    let longer = open_until(&shop).await.unwrap().since(trusted);
    assert!((3_600..3_660).contains(&longer.as_secs()), "a whole period from the receipt on: {longer:?}");
    assert_eq!(trusted_until(&shop).await, None);
}

#[tokio::test]
async fn a_line_whose_receipt_never_comes_closes_and_is_not_trusted_again_that_week() {
    let shop = Shop::open().await;
    unreceipted(&shop).await;
    after(&shop, 60).await;
    assert!(open_until(&shop).await.is_some());
    after(&shop, DAY).await;
    assert_eq!((open_until(&shop).await, trusted_until(&shop).await), (None, None));

    unreceipted(&shop).await;
    after(&shop, 60).await;
    assert_eq!(open_until(&shop).await, None, "nothing came for the first one");
    shop.controller.clock.advance(Duration::from_secs(7 * DAY));
    unreceipted(&shop).await;
    after(&shop, 60).await;
    assert!(open_until(&shop).await.is_some());
}

#[tokio::test]
async fn a_held_line_stays_closed_and_a_trusted_one_is_not_told_that_it_ended() {
    let shop = Shop::open().await;
    shop.pay(None).await;
    shop.controller.clock.advance(Duration::from_secs(DAY - 600));
    unreceipted(&shop).await;
    after(&shop, 60).await;
    after(&shop, 600).await;
    let mut write = shop.controller.database.write().await.unwrap();
    let expired = subscriptions::expire_due(&mut write, shop.controller.clock.now(), 9).await.unwrap();
    assert!(matches!(expired.as_slice(), [one] if one.is_trusted), "{expired:?}");
    subscriptions::hold(&mut write, &shop.world.line, shop.controller.clock.now()).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(open_until(&shop).await, None);
}
