//! What is told, when, to whom, and how often.

use tawi_shared::UnixMillis;

use super::{DAY, Office, TEN};
use crate::audit::Actor;
use crate::customers::phone::Msisdn;
use crate::database::Together;
use crate::ids::{LineId, PaymentId};
use crate::messages::occasion::Occasion;
use crate::messages::{self, about};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::counter::{self, Brought, Clerk, Limits, Means};
use crate::payments::{deferred_start, traces};
use crate::staff::Role;
use crate::subscriptions;
use crate::web::display;

impl Office {
    /// Somebody brings cash for the line.
    async fn pay(&self, shillings: i64, occasion: &str) -> PaymentId {
        self.pay_for(Some(self.world.line.clone()), shillings, occasion).await
    }

    async fn pay_for(&self, subscription: Option<LineId>, shillings: i64, occasion: &str) -> PaymentId {
        let brought = Brought {
            customer: self.world.customer.id.clone(),
            subscription,
            amount: Money::from_shillings(shillings).unwrap(),
            means: Means::Cash { occasion: ReceiptNumber::parse(occasion).unwrap() },
            note: String::new(),
            is_another: true,
        };
        let actor = Actor::CommandLine("till".to_owned());
        let taker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
        let mut write = self.controller.database.write().await.unwrap();
        let taken = counter::take(&mut write, &brought, taker, &self.controller.ids, self.now()).await;
        let received = taken.unwrap().unwrap();
        write.commit().await.unwrap();
        received.payment
    }

    /// The site reads back what it was told.
    async fn read_back(&self) {
        let mut write = self.controller.database.write().await.unwrap();
        traces::verified(&mut write, &self.world.site, u64::MAX >> 1, &[], self.now()).await.unwrap();
        write.commit().await.unwrap();
    }

    async fn ends(&self, occasion: Occasion) {
        let mut write = self.controller.database.write().await.unwrap();
        about::ends(&mut write, occasion, std::slice::from_ref(&self.world.line), self.now()).await.unwrap();
        write.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_payment_is_told_once_and_so_is_that_it_opened_the_line() {
    let office = Office::open().await;
    let payment = office.pay(1_500, "c1").await;
    let mut write = office.controller.database.write().await.unwrap();
    about::payment(&mut write, Together::default(), &payment, office.now()).await.unwrap();
    write.commit().await.unwrap();
    office.read_back().await;
    office.read_back().await;
    let texts = office.texts().await;
    assert_eq!(texts.len(), 2, "{texts:?}");
    let find = |occasion| texts.iter().find(|text| text.0 == occasion).unwrap().2.clone();
    let received = find("payment_received");
    assert!(
        received.contains("KES 1,500.00, receipt 1.") && received.contains("26/11/2026 10:00"),
        "{received}"
    );
    assert!(find("connected").contains("open again until 26/11/2026 10:00"));
}

#[tokio::test]
async fn who_pays_ahead_is_not_told_that_the_line_opened() {
    let office = Office::open().await;
    office.pay(1_500, "c1").await;
    office.read_back().await;
    office.controller.clock.advance(DAY / 2);
    office.pay(1_500, "c2").await;
    office.read_back().await;
    let occasions: Vec<_> = office.texts().await.into_iter().map(|text| text.0).collect();
    assert_eq!(occasions.iter().filter(|one| **one == "connected").count(), 1, "{occasions:?}");
    assert_eq!(occasions.iter().filter(|one| **one == "payment_received").count(), 2);
}

#[tokio::test]
async fn of_a_site_that_is_away_and_of_money_that_buys_nothing_the_truth_is_told() {
    let office = Office::open().await;
    office.pay(500, "c1").await;
    office.execute("UPDATE sites SET is_online = 0").await;
    office.world.site_hears_nothing(&office.controller.database).await;
    office.controller.clock.advance(DAY / 24);
    office.pay(1_000, "c2").await;
    let texts = office.texts().await;
    assert_eq!((texts[0].0, texts[1].0, texts.len()), ("payment_in_wallet", "site_offline", 2));
    assert!(texts[0].2.contains("now holds KES 500.00"), "{}", texts[0].2);
    for said in ["Nyeri is offline now", "your time starts then", "Do not pay again"] {
        assert!(texts[1].2.contains(said), "{}", texts[1].2);
    }
}

#[tokio::test]
async fn a_site_that_was_there_a_moment_ago_is_not_said_to_be_away() {
    let office = Office::open().await;
    office.world.site_hears_nothing(&office.controller.database).await;
    let mut write = office.controller.database.write().await.unwrap();
    let left = sqlx::query("UPDATE sites SET is_online = 0, online_changed_at = $1").bind(office.now().0);
    left.execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    office.pay(1_500, "c1").await;
    office.controller.clock.advance(DAY / 24);
    office.pay(1_500, "c2").await;
    let occasions: Vec<_> = office.texts().await.into_iter().map(|text| text.0).collect();
    assert_eq!(occasions, ["payment_received", "site_offline"]);
}

#[tokio::test]
async fn who_pays_ahead_while_the_site_is_away_is_told_until_when_the_line_is_paid() {
    let office = Office::open().await;
    office.pay(1_500, "c1").await;
    office.execute("UPDATE sites SET is_online = 0").await;
    office.world.site_hears_nothing(&office.controller.database).await;
    office.pay(1_500, "c2").await;
    let occasions: Vec<_> = office.texts().await.into_iter().map(|text| text.0).collect();
    assert_eq!(occasions, ["payment_received", "payment_received"]);
}

#[tokio::test]
async fn nobody_is_told_that_something_ends_which_has_not_begun_and_who_waited_is_told_when_it_does() {
    let office = Office::open().await;
    office.world.site_hears_nothing(&office.controller.database).await;
    office.execute("UPDATE sites SET is_online = 0").await;
    office.pay(1_500, "c1").await;
    office.controller.clock.advance(DAY * 3);
    office.ends(Occasion::EndsToday).await;
    office.ends(Occasion::Suspended).await;
    let told = async || office.texts().await.into_iter().map(|text| text.0).collect::<Vec<_>>();
    assert_eq!(told().await, ["site_offline"]);
    let mut write = office.controller.database.write().await.unwrap();
    deferred_start::site_is_back(&mut write, &office.world.site, 0, office.now()).await.unwrap();
    write.commit().await.unwrap();
    office.read_back().await;
    assert_eq!(told().await, ["site_offline", "connected"]);
    let until = display::numeric(office.now().plus(DAY));
    let texts = office.texts().await;
    assert!(texts[1].2.contains(&format!("open again until {until}")), "{}", texts[1].2);
}

#[tokio::test]
async fn nothing_is_written_while_texts_are_off_and_nothing_waits_after() {
    let office = Office::open().await;
    office.pay(500, "c1").await;
    office.switch(false).await;
    office.pay(500, "c2").await;
    let texts = office.texts().await;
    assert_eq!((texts.len(), texts[0].1), (1, "dropped"));
}

#[tokio::test]
async fn a_payment_that_is_rolled_back_tells_nobody() {
    let office = Office::open().await;
    let mut write = office.controller.database.write().await.unwrap();
    let customer = office.world.customer.id.clone();
    about::refunded(&mut write, &customer, ("r1", Money::from_cents(100), "TKQ1"), TEN).await.unwrap();
    write.rollback().await.unwrap();
    assert!(office.texts().await.is_empty());
    for _ in 0..2 {
        let mut write = office.controller.database.write().await.unwrap();
        about::refunded(&mut write, &customer, ("r1", Money::from_cents(100), "TKQ1"), TEN).await.unwrap();
        write.commit().await.unwrap();
    }
    assert_eq!(office.texts().await.len(), 1);
}

#[tokio::test]
async fn a_customer_reads_their_own_language_and_gets_so_many_a_day_but_hears_of_money_all_the_same() {
    let office = Office::with("channel = \"log\"\ntexts_per_customer_a_day = 2").await;
    office.execute("UPDATE customers SET language = 'sw'").await;
    for cause in ["c1", "c2", "c3"] {
        office.pay(10, cause).await;
    }
    let texts = office.texts().await;
    assert!(texts[0].2.starts_with("Tumepokea"), "{}", texts[0].2);
    let states: Vec<_> = texts.iter().map(|text| text.1).collect();
    assert_eq!(states, ["queued"; 3], "two are enough of anything else");
    let hold = async || {
        let mut write = office.controller.database.write().await.unwrap();
        subscriptions::release(&mut write, &office.world.line, office.now()).await.unwrap();
        subscriptions::hold(&mut write, &office.world.line, office.now()).await.unwrap();
        write.commit().await.unwrap();
        let texts = office.texts().await;
        texts.iter().rev().find(|text| text.0 == "on_hold").unwrap().1
    };
    assert_eq!(hold().await, "dropped");
    office.controller.clock.advance(DAY);
    assert_eq!(hold().await, "queued", "another day");
    for number in 0..25 {
        office.pay(10, &format!("d{number}")).await;
    }
    let sent = office.texts().await.iter().filter(|text| text.1 == "queued").count();
    assert_eq!(sent, 3 + 20, "ten times as many are too many for anybody");
}

#[tokio::test]
async fn a_template_without_words_sends_nothing() {
    let office = Office::open().await;
    office
        .execute(
            "INSERT INTO message_templates (occasion, language, body, changed_at, changed_by) \
             VALUES ('payment_in_wallet', 'en', '', 1, 'x'), ('on_hold', 'en', 'Call us, {name}', 1, 'x')",
        )
        .await;
    office.pay(10, "c1").await;
    let mut write = office.controller.database.write().await.unwrap();
    subscriptions::hold(&mut write, &office.world.line, office.now()).await.unwrap();
    write.commit().await.unwrap();
    let texts = office.texts().await;
    assert_eq!((texts.len(), texts[0].2.as_str()), (1, "Call us, Corner Shop"));
}

#[tokio::test]
async fn an_end_is_told_unless_the_wallet_goes_on_or_the_period_is_short() {
    let office = Office::open().await;
    office.pay(1_500, "c1").await;
    office.ends(Occasion::EndsInOneDay).await;
    assert_eq!(office.texts().await.len(), 1, "a period of one day has no reminder");
    office.ends(Occasion::Suspended).await;
    let texts = office.texts().await;
    assert_eq!((texts.len(), texts.iter().any(|text| text.0 == "suspended")), (2, true));
    let told = texts.iter().find(|text| text.0 == "suspended").unwrap();
    assert!(told.2.contains("Pay KES 1,500.00"), "{}", told.2);
    // The wallet can pay for the next one.
    office.execute("DELETE FROM messages").await;
    office.execute("UPDATE plans SET price_cents = 1, validity_seconds = 2592000").await;
    office.pay(100, "c2").await;
    office.execute("DELETE FROM messages").await;
    office.ends(Occasion::EndsInThreeDays).await;
    assert_eq!(office.texts().await, []);
    office.execute("UPDATE subscriptions SET renews = 0").await;
    office.ends(Occasion::EndsInThreeDays).await;
    assert_eq!(office.texts().await.len(), 1);
}

#[tokio::test]
async fn of_two_lines_of_one_wallet_the_second_is_not_covered_by_what_the_first_takes() {
    let office = Office::open().await;
    office.execute("UPDATE plans SET validity_seconds = 2592000").await;
    office.pay(1_500, "c1").await;
    office
        .execute(
            "INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, paid_until, created_at) \
             SELECT '00-first', customer_id, plan_id, router_id, 'first', '', 'active', paid_until, 1 FROM subscriptions",
        )
        .await;
    office.pay_for(None, 2_000, "c2").await;
    office.execute("DELETE FROM messages").await;
    office.ends(Occasion::EndsInThreeDays).await;
    let texts = office.texts().await;
    assert!(texts.len() == 1 && texts[0].2.contains("pay KES 1,000.00"), "{texts:?}");
    office.execute("UPDATE subscriptions SET renews = 0 WHERE id = '00-first'").await;
    office.execute("DELETE FROM messages").await;
    office.ends(Occasion::EndsInThreeDays).await;
    assert_eq!(office.texts().await, [], "the other does not go on by itself");
}

#[tokio::test]
async fn what_can_wait_waits_for_the_morning_and_money_does_not() {
    let office = Office::open().await;
    office.controller.clock.advance(DAY / 2);
    office.pay(1_500, "c1").await;
    office.ends(Occasion::Suspended).await;
    let waits: Vec<_> = office
        .messages()
        .await
        .into_iter()
        .map(|one| (one.course.occasion, one.course.next_attempt_at))
        .collect();
    let morning = Some(UnixMillis(TEN.0 + 21 * 3_600_000));
    assert!(waits.contains(&(Occasion::PaymentReceived, Some(office.now()))), "{waits:?}");
    assert!(waits.contains(&(Occasion::Suspended, morning)), "{waits:?}");
}

#[tokio::test]
async fn old_texts_are_forgotten_with_their_numbers() {
    let office = Office::with("channel = \"log\"\ndays_kept = 7").await;
    office.pay(10, "c1").await;
    office.controller.clock.advance(DAY * 6);
    office.pay(10, "c2").await;
    office.controller.clock.advance(DAY * 2);
    let mut write = office.controller.database.write().await.unwrap();
    assert_eq!(messages::forget(&mut write, office.now(), 10).await.unwrap(), 1);
    assert_eq!(messages::forget(&mut write, office.now(), 10).await.unwrap(), 0);
    write.commit().await.unwrap();
    assert_eq!(office.texts().await.len(), 1);
}

#[tokio::test]
async fn a_test_goes_to_any_number_and_once_for_its_key() {
    let office = Office::open().await;
    let phone = Msisdn::parse("0722000111").unwrap();
    let mut write = office.controller.database.write().await.unwrap();
    let sent = about::test(&mut write, &phone, messages::words::Language::Swahili, "t1", TEN).await.unwrap();
    write.commit().await.unwrap();
    assert!(sent.unwrap().body.starts_with("Hili ni jaribio"));
    assert_eq!(office.texts().await.len(), 1);
}
