//! What a customer was asked to pay for is what they get, whatever the plan says by then.

use super::shop::{Books, Shop, success};
use crate::mpesa::intent::Intent;
use crate::quota;

async fn pay(shop: &Shop, intent: &Intent, receipt: &str, shillings: &str) {
    shop.deliver_to(intent, success(intent, receipt, shillings)).await;
    shop.take_in().await;
}

async fn dearer(shop: &Shop) {
    shop.execute("UPDATE plans SET price_cents = 180000, validity_seconds = 43200, data_quota_bytes = 5")
        .await;
}

#[tokio::test]
async fn a_price_that_rises_while_the_phone_is_asked_is_not_that_customers() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    dearer(&shop).await;
    pay(&shop, &intent, "RGP6CZDYG6", "1500").await;
    assert_eq!(shop.books().await, Books::PAID_ONCE);
    assert_eq!(shop.outcomes().await, ["booked"]);
    let mut read = shop.controller.database.read().await.unwrap();
    let now = shop.controller.clock.now();
    let standing = quota::standing(&mut read, &shop.world.line, now).await.unwrap().unwrap();
    assert_eq!((standing.ends_at.0 - standing.started_at.0, standing.bytes), (86_400_000, None));
}

#[tokio::test]
async fn a_plan_that_became_cheaper_is_sold_at_what_it_costs_now() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    shop.execute("UPDATE plans SET price_cents = 100000").await;
    pay(&shop, &intent, "RGP6CZDYG6", "1500").await;
    let books = shop.books().await;
    assert_eq!((books.revenue, books.wallet, books.paid_days), (100_000, 50_000, Some(1)));
}

#[tokio::test]
async fn what_was_promised_of_another_plan_is_not_sold_and_a_person_hears_of_the_money() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    shop.execute(
        "INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at)
         SELECT 'gold', 'Gold', connection_type_id, 900000, 86400, 1 FROM plans;
         UPDATE subscriptions SET plan_id = 'gold'",
    )
    .await;
    pay(&shop, &intent, "RGP6CZDYG6", "1500").await;
    let books = shop.books().await;
    assert_eq!((books.revenue, books.wallet, books.traces), (0, 150_000, 0));
    let outcomes = shop.outcomes().await;
    assert!(outcomes[0].starts_with("review: booked; all that was asked for is paid"), "{outcomes:?}");
}
