//! What a person is shown: everything that no rule could decide, and nothing else.

use daraja_sim::{Behaviour, Phone};
use sqlx::Row as _;

use super::shop::{Shop, success};
use crate::audit::Actor;
use crate::money::Money;
use crate::mpesa::intake::Round;
use crate::mpesa::intent::Event;
use crate::mpesa::{intake, store};
use crate::payments::review::place::Place;
use crate::payments::review::{Waits, waiting};
use crate::payments::{self, ForReview, LookedAt, ReviewKind, ReviewTarget, Unspent};

async fn for_review(shop: &Shop, limit: i64) -> Vec<ForReview> {
    let mut read = shop.controller.database.read().await.unwrap();
    payments::for_review(&mut read, limit).await.unwrap()
}

#[tokio::test]
async fn a_request_that_ended_strangely_is_listed_until_its_receipt_comes() {
    let shop = Shop::open().await;
    let fail =
        Phone { behaviour: Behaviour::Fail, result_code: Some("31337".to_owned()), ..Phone::default() };
    shop.phone(fail);
    let intent = shop.pay(None).await;
    assert_eq!(shop.outcomes().await, ["noted: review"]);
    let items = for_review(&shop, 9).await;
    assert_eq!(items.len(), 1, "{items:?}");
    let item = &items[0];
    assert_eq!(item.kind, ReviewKind::Request(intent.id.clone()));
    assert!(item.reason.contains("31337"), "{}", item.reason);
    assert_eq!((item.amount, item.receipt_number.as_deref()), (Some(intent.amount), None));
    assert_eq!((item.since, item.customer_name.as_str()), (intent.updated_at, "Corner Shop"));
    assert_eq!(item.target(), Some(ReviewTarget::Customer(intent.customer.clone())));
    shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(for_review(&shop, 9).await, []);
}

#[tokio::test]
async fn a_request_that_is_paid_without_a_receipt_is_listed() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    let mut write = shop.controller.database.write().await.unwrap();
    let said = intent.clone().apply(Event::QueryPaid, shop.controller.clock.now()).unwrap();
    store::update_intent(&mut write, &said).await.unwrap();
    write.commit().await.unwrap();
    let items = for_review(&shop, 9).await;
    assert_eq!(items.iter().map(|item| &item.kind).collect::<Vec<_>>(), [&ReviewKind::Request(intent.id)]);
}

#[tokio::test]
async fn a_payment_of_nobody_is_listed_without_what_was_typed() {
    let shop = Shop::open().await;
    shop.pay(None).await;
    shop.execute(
        "UPDATE payments SET customer_id = NULL, subscription_id = NULL, account_reference = 'rent november'",
    )
    .await;
    let items = for_review(&shop, 9).await;
    assert_eq!(items.len(), 1, "{items:?}");
    let ReviewKind::Payment(payment) = items[0].kind.clone() else { panic!("{items:?}") };
    assert_eq!(items[0].target(), Some(ReviewTarget::Payment(payment)));
    assert!(items[0].reason.contains("nobody knows whose it is"), "{}", items[0].reason);
    assert!(!items[0].reason.contains("rent"), "it may be a name or a number: {}", items[0].reason);
    assert_eq!(items[0].amount, Some(Money::from_cents(150_000)));
    assert!(items[0].receipt_number.is_some());
}

#[tokio::test]
async fn a_callback_that_cannot_be_taken_in_is_listed_until_it_can() {
    let shop = Shop::open().await;
    shop.prompt(None).await;
    assert!(shop.handle().settled(super::shop::DEADLINE).await);
    shop.execute("ALTER TABLE payment_traces RENAME TO payment_traces_away").await;
    intake::take_in_some(&shop.controller, &mut Round::of_fresh()).await.unwrap();
    let items = for_review(&shop, 9).await;
    assert!(matches!(items.as_slice(), [ForReview { kind: ReviewKind::Callback(_), .. }]), "{items:?}");
    assert!(items[0].reason.starts_with("failed:"), "{}", items[0].reason);
    shop.execute("ALTER TABLE payment_traces_away RENAME TO payment_traces").await;
    intake::take_in_some(&shop.controller, &mut Round::of_failed()).await.unwrap();
    assert_eq!(for_review(&shop, 9).await, []);
}

#[tokio::test]
async fn what_a_person_has_looked_at_leaves_the_list_once_and_stays_away() {
    let shop = Shop::open().await;
    let intent = shop.pay(None).await;
    shop.deliver_to(&intent, "junk").await;
    shop.take_in().await;
    shop.execute(
        "UPDATE payment_evidence SET needs_person = 1; \
         INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) VALUES ('ab', '{}', 1)",
    )
    .await;
    let books = shop.books().await;
    let items = for_review(&shop, 9).await;
    let kinds: Vec<&str> = items.iter().map(|item| item.kind.as_str()).collect();
    assert_eq!(kinds, ["callback", "evidence", "pull_row"]);
    for (left, item) in items.iter().enumerate() {
        assert!(item.is_taken_off_by_hand());
        let id = match &item.kind {
            ReviewKind::Callback(id) => id.to_string(),
            ReviewKind::Evidence(id) => id.to_string(),
            ReviewKind::PullRow(digest) => digest.clone(),
            other => panic!("{other:?}"),
        };
        for expected in [LookedAt::Noted, LookedAt::AlreadySo] {
            assert_eq!(look_at(&shop, item.kind.as_str(), &id).await, expected);
        }
        assert_eq!(for_review(&shop, 9).await, items[left + 1..]);
    }
    assert_eq!(shop.books().await, books, "no money moved");
    let mut read = shop.controller.database.read().await.unwrap();
    let acts =
        "SELECT COUNT(*) AS n FROM audit_log WHERE action = 'review.looked_at' AND actor = 'token:test'";
    let row = sqlx::query(acts).fetch_one(&mut *read).await.unwrap();
    assert_eq!(row.get::<i64, _>("n"), 3);
}

#[tokio::test]
async fn payments_and_refunds_leave_by_themselves_and_what_is_not_there_cannot_be_looked_at() {
    let shop = Shop::open().await;
    for (kind, id, expected) in [
        ("payment", "x", LookedAt::LeavesByItself),
        ("refund", "x", LookedAt::LeavesByItself),
        ("request", "x", LookedAt::NoSuchItem),
        ("callback", "x", LookedAt::NoSuchItem),
        ("evidence", "x", LookedAt::NoSuchItem),
        ("pull_row", "x", LookedAt::NoSuchItem),
        ("rumour", "x", LookedAt::NoSuchItem),
    ] {
        assert_eq!(look_at(&shop, kind, id).await, expected, "{kind}");
    }
}

async fn look_at(shop: &Shop, kind: &str, id: &str) -> LookedAt {
    let mut write = shop.controller.database.write().await.unwrap();
    let (by, now) = (Actor::Token("test".to_owned()), shop.controller.clock.now());
    let came = payments::looked_at(&mut write, (kind, id), &by, &shop.controller.ids, now).await.unwrap();
    write.commit().await.unwrap();
    came
}

async fn unspent(shop: &Shop) -> Vec<Option<Unspent>> {
    let mut read = shop.controller.database.read().await.unwrap();
    let payments = payments::recent_payments(&mut read, 9).await.unwrap();
    payments.into_iter().map(|row| row.payment.unspent).collect()
}

#[tokio::test]
async fn money_that_was_asked_for_and_is_not_enough_is_listed_with_what_it_lacks() {
    let shop = Shop::open().await;
    shop.pay(Some(1_000)).await;
    let items = for_review(&shop, 9).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert!(
        items[0].reason.contains("not enough for a period, for which KES 500.00 more"),
        "{}",
        items[0].reason
    );
    assert_eq!(
        (items[0].amount, items[0].customer_name.as_str()),
        (Money::from_shillings(1_000), "Corner Shop")
    );
    assert_eq!(unspent(&shop).await, [Some(Unspent::TooLittle)]);
    // What completes it buys, and is nothing to look at.
    shop.wait_two_minutes();
    shop.pay(None).await;
    assert_eq!((for_review(&shop, 9).await.len(), unspent(&shop).await.contains(&None)), (1, true));
}

#[tokio::test]
async fn money_for_a_line_that_is_held_or_at_a_revoked_site_is_listed_however_much_it_is() {
    for (change, expected, words) in [
        ("UPDATE subscriptions SET status = 'suspended'", Unspent::OnHold, "the line is on hold"),
        ("UPDATE sites SET revoked_at = 1", Unspent::SiteRevoked, "the site of the line is revoked"),
    ] {
        for shillings in [1_000, 1_500] {
            let shop = Shop::open().await;
            shop.phone(Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
            let intent = shop.prompt(Some(shillings)).await;
            shop.execute(change).await;
            let body = success(&intent, "RGP6CZDYG6", &shillings.to_string());
            let body = if shillings == 1_000 {
                body.replace("\"Value\":254712345678", "\"Value\":254799999999")
            } else {
                body
            };
            shop.deliver_to(&intent, body).await;
            shop.take_in().await;
            let items = for_review(&shop, 9).await;
            assert_eq!(items.len(), 1, "{items:?}");
            let reason = &items[0].reason;
            assert!(reason.contains(words), "{reason}");
            let is_anothers = reason.contains("another phone paid");
            assert_eq!(is_anothers, shillings == 1_000, "what was known before is said too: {reason}");
            assert_eq!(reason.matches("booked").count(), 1, "{reason}");
            assert_eq!(unspent(&shop).await, [Some(expected)]);
        }
    }
}

#[tokio::test]
async fn the_newest_come_first_and_no_more_than_asked_for() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    for second in 0..3 {
        shop.deliver_to(&intent, format!("junk {second}")).await;
        shop.controller.clock.advance(std::time::Duration::from_secs(1));
    }
    shop.take_in().await;
    let items = for_review(&shop, 2).await;
    assert_eq!(items.len(), 2);
    assert!(items[0].since > items[1].since);
    assert_eq!(for_review(&shop, 0).await, []);
}

#[tokio::test]
async fn a_request_that_a_person_has_looked_at_leaves_the_list_and_takes_its_receipt_all_the_same() {
    let shop = Shop::open().await;
    let fail =
        Phone { behaviour: Behaviour::Fail, result_code: Some("31337".to_owned()), ..Phone::default() };
    shop.phone(fail);
    let intent = shop.pay(None).await;
    for expected in [LookedAt::Noted, LookedAt::AlreadySo] {
        assert_eq!(look_at(&shop, "request", intent.id.as_str()).await, expected);
        assert_eq!(for_review(&shop, 9).await, []);
    }
    assert_eq!(shop.intent(&intent).await.state, intent.state, "looking changes nothing else");
    // M-Pesa says something else of it: that is to be looked at anew.
    let mut write = shop.controller.database.write().await.unwrap();
    let said = shop.intent(&intent).await.apply(Event::QueryPaid, shop.controller.clock.now()).unwrap();
    store::update_intent(&mut write, &said).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(for_review(&shop, 9).await.len(), 1);
    assert_eq!(look_at(&shop, "request", intent.id.as_str()).await, LookedAt::Noted);
    shop.deliver_to(&intent, success(&intent, "RGP6CZDYG6", "1500")).await;
    shop.take_in().await;
    assert_eq!(shop.intent(&intent).await.receipt(), Some("RGP6CZDYG6"));
    assert_eq!((shop.books().await.revenue, for_review(&shop, 9).await.len()), (150_000, 0));
}

#[tokio::test]
async fn what_does_not_fit_on_a_page_is_on_the_next_ones_each_once_and_in_order() {
    let shop = Shop::open().await;
    let intent = shop.unanswered().await;
    // Of one instant, in four lists, and some before.
    for _ in 0..5 {
        shop.deliver_to(&intent, "junk").await;
    }
    shop.take_in().await;
    let now = shop.controller.clock.now().0;
    let mut write = shop.controller.database.write().await.unwrap();
    for (id, at) in [("a", now), ("b", now), ("c", now - 5)] {
        for sql in [
            "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) VALUES ($1, '{}', $2)",
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, received_at, booked_at) \
             VALUES ($1, 'mpesa', $1, 100, '174379', NULL, $2, $2)",
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, unspent, received_at, \
                                   booked_at) \
             SELECT 'u' || $1, 'mpesa', 'u' || $1, 100, '174379', id, 'unclear', $2, $2 FROM customers",
        ] {
            sqlx::query(sql).bind(id).bind(at).execute(&mut *write).await.unwrap();
        }
    }
    write.commit().await.unwrap();
    let all = for_review(&shop, 99).await;
    assert_eq!(all.len(), 14);
    for size in 1..=14 {
        let mut read = shop.controller.database.read().await.unwrap();
        let (mut found, mut after) = (Vec::new(), None::<Place>);
        loop {
            let page = payments::review::for_review_after(&mut read, after.as_ref(), size).await.unwrap();
            after = payments::review::place::next(&page, size);
            found.extend(page);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, all, "pages of {size}");
    }
}

#[tokio::test]
async fn what_waits_is_counted_whole_and_the_oldest_is_overdue_however_much_came_since() {
    let shop = Shop::open().await;
    let now = shop.controller.clock.now();
    let day = i64::try_from(payments::REVIEWED_WITHIN.as_millis()).unwrap();
    let mut write = shop.controller.database.write().await.unwrap();
    // Three that are old, and more than a page of what came today.
    let many = "INSERT INTO pull_rows_for_review (row_sha256, body, seen_at) \
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 303) \
                SELECT 'row ' || i, '{}', CASE WHEN i <= 3 THEN $1 - $2 - i ELSE $1 - i END FROM n";
    sqlx::query(many).bind(now.0).bind(day).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let mut read = shop.controller.database.read().await.unwrap();
    assert_eq!(waiting(&mut read, now).await.unwrap(), Waits { all: 303, overdue: 3 });
    let overview = crate::overview::read(&mut read, None, now).await.unwrap();
    assert_eq!((overview.for_review, overview.overdue_reviews), (303, 3));
    drop(read);
    let fresh = Shop::open().await;
    let mut read = fresh.controller.database.read().await.unwrap();
    assert_eq!(waiting(&mut read, now).await.unwrap(), Waits::default());
}
