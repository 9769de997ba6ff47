//! Reminders: each line once for each distance, without a look at the others.

use sqlx::{AssertSqlSafe, Row as _};

use super::{DAY, Office, TEN};
use crate::messages::expiry;
use crate::messages::occasion::Occasion;
use crate::messages::state::State;

impl Office {
    /// The line has a month that ends so long after ten.
    async fn month_ends_after(&self, days: u32, hours: u32) {
        let until = TEN.plus(DAY * days + DAY / 24 * hours);
        let mut write = self.controller.database.write().await.unwrap();
        let month = "UPDATE plans SET validity_seconds = 2592000";
        sqlx::query(month).execute(&mut *write).await.unwrap();
        sqlx::query("UPDATE subscriptions SET status = 'active', paid_until = $1")
            .bind(until.0)
            .execute(&mut *write)
            .await
            .unwrap();
        write.commit().await.unwrap();
    }

    async fn remind(&self) {
        for occasion in expiry::ALL {
            let mut write = self.controller.database.write().await.unwrap();
            expiry::tell_some(&mut write, occasion, self.now(), 100).await.unwrap();
            write.commit().await.unwrap();
        }
    }

    async fn occasions(&self) -> Vec<&'static str> {
        self.texts().await.into_iter().map(|text| text.0).collect()
    }

    /// Minutes pass, with a look in each.
    async fn live(&self, hours: u32) {
        for _ in 0..hours * 4 {
            self.controller.clock.advance(DAY / 96);
            self.remind().await;
            self.send().await;
        }
    }
}

#[tokio::test]
async fn a_month_that_runs_out_is_told_three_times_and_at_times_when_people_are_awake() {
    let office = Office::open().await;
    office.month_ends_after(4, 5).await;
    office.remind().await;
    assert!(office.occasions().await.is_empty());
    office.live(24 * 4 + 6).await;
    assert_eq!(office.occasions().await, ["ends_in_3_days", "ends_in_1_day", "ends_today"]);
    let hours: Vec<_> = office
        .messages()
        .await
        .iter()
        .map(|one| crate::web::display::hour_minute(one.attempted_at.unwrap()))
        .collect();
    // It ends at 15:00; "today" waited from midnight for the end of the quiet hours.
    assert_eq!(hours, ["15:00", "15:00", "07:00"]);
    assert!(office.states().await.iter().all(|state| *state == State::Sent));
}

#[tokio::test]
async fn a_reminder_says_where_to_pay_and_sends_nobody_to_a_till_with_an_account_number() {
    let check = async |addresses: &'static str, template: &'static str, expected: &'static str| {
        let office = Office::open().await;
        office.execute(addresses).await;
        office.execute(template).await;
        office.month_ends_after(1, 5).await;
        office.live(6).await;
        let texts = office.texts().await;
        let last = texts.last().unwrap();
        assert!(last.0 == "ends_in_1_day" && last.2.contains(expected), "{expected}: {texts:?}");
        last.2.clone()
    };
    let none = "DELETE FROM message_templates";
    let nothing = "DELETE FROM message_addresses";
    check(nothing, none, "To go on pay KES 1,500.00 to account ").await;
    let paybill = "INSERT INTO message_addresses VALUES ('payee', 'paybill 174379')";
    check(paybill, none, "pay KES 1,500.00 to Paybill 174379, account ").await;
    let till = "INSERT INTO message_addresses SELECT 'payee', 'paybill 174379' \
                UNION ALL SELECT 'payee:' || id, 'till 512345' FROM sites";
    let told = check(till, none, "pay KES 1,500.00 to Till 512345.").await;
    assert!(!told.contains("ccount"), "{told}");
    let own = "INSERT INTO message_templates VALUES ('ends_in_1_day', 'en', 'Pay at {pay_link} or {paybill}', 1, 'x')";
    let long = "INSERT INTO message_addresses VALUES \
                ('payee', 'till 512345'), ('public_url', 'https://internet.of-a-provider-with-a-long-name.example')";
    let told = check(long, own, "Pay at https://internet.of-a-provider-with-a-long-name.example/pay/").await;
    assert!(told.ends_with(" or Till 512345"), "{told}");
    // The settings lack since what it names.
    check(paybill, own, "pay KES 1,500.00 to Paybill 174379, account ").await;
}

#[tokio::test]
async fn who_pays_in_the_night_gets_no_reminder_in_the_morning() {
    let office = Office::open().await;
    office.month_ends_after(1, 5).await;
    office.live(16).await;
    let today: Vec<_> = office
        .messages()
        .await
        .into_iter()
        .filter(|one| one.course.occasion == Occasion::EndsToday)
        .collect();
    assert_eq!(today.iter().map(|one| one.course.state).collect::<Vec<_>>(), [State::Queued]);
    office.month_ends_after(31, 5).await;
    office.live(8).await;
    let today: Vec<_> = office
        .messages()
        .await
        .into_iter()
        .filter(|one| one.course.occasion == Occasion::EndsToday)
        .collect();
    assert_eq!(today[0].course.state, State::Dropped);
    assert!(today[0].course.reason.contains("paid"), "{}", today[0].course.reason);
}

#[tokio::test]
async fn after_an_outage_the_nearest_of_the_three_is_told_alone() {
    for (hours, expected) in [(50, "ends_in_3_days"), (20, "ends_in_1_day"), (6, "ends_today")] {
        let office = Office::open().await;
        office.month_ends_after(0, hours).await;
        office.remind().await;
        office.remind().await;
        assert_eq!(office.occasions().await, [expected], "{hours}");
    }
    let office = Office::open().await;
    office.month_ends_after(0, 1).await;
    office.controller.clock.advance(DAY / 36);
    office.remind().await;
    assert!(office.occasions().await.is_empty(), "twenty minutes before the end it is too late to be of use");
}

#[tokio::test]
async fn many_that_end_at_one_time_are_told_in_portions_and_none_is_left_out() {
    let office = Office::open().await;
    office.month_ends_after(3, 0).await;
    office
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 24) \
             INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, paid_until, created_at) \
             SELECT 'more-' || i, s.customer_id, s.plan_id, s.router_id, 'more-' || i, '', 'active', s.paid_until, 1 \
             FROM n, subscriptions s WHERE s.username = 'line-1'",
        )
        .await;
    office.execute("UPDATE message_policy SET a_day = 100").await;
    let mut counts = Vec::new();
    loop {
        let mut write = office.controller.database.write().await.unwrap();
        let due = expiry::tell_some(&mut write, Occasion::EndsInThreeDays, office.now(), 10).await.unwrap();
        write.commit().await.unwrap();
        counts.push(due);
        if due < 10 {
            break;
        }
    }
    assert_eq!(counts, [10, 10, 5]);
    assert_eq!(office.texts().await.len(), 25);
}

#[tokio::test]
async fn what_is_looked_for_is_found_by_an_index() {
    let office = Office::open().await;
    let mut read = office.controller.database.read().await.unwrap();
    for (sql, index) in [
        (
            "SELECT id FROM subscriptions WHERE status = 'active' AND paid_until >= 1 AND paid_until <= 2 \
             AND (paid_until > 1 OR id > 'x') ORDER BY paid_until, id LIMIT 5",
            "subscriptions_by_paid_until",
        ),
        (
            "SELECT * FROM messages m WHERE m.state = 'queued' AND m.can_wait = 1 AND m.next_attempt_at <= 5 \
             ORDER BY m.next_attempt_at, m.id LIMIT 5",
            "messages_queued",
        ),
        ("SELECT * FROM messages m WHERE m.state = 'sending' ORDER BY m.id LIMIT 5", "messages_by_state"),
        (
            "SELECT * FROM messages m WHERE m.provider_id = 'x' ORDER BY m.id DESC LIMIT 1",
            "messages_by_provider_id",
        ),
        (
            "SELECT * FROM messages m WHERE m.id >= '' AND m.id < 'g' AND m.customer_id = 'x' ORDER BY m.id DESC LIMIT 5",
            "messages_by_customer",
        ),
        (
            "SELECT * FROM messages m WHERE m.id >= '' AND m.id < 'g' AND m.phone = 'x' ORDER BY m.id DESC LIMIT 5",
            "messages_by_phone",
        ),
        (
            "SELECT * FROM messages m WHERE m.id >= '' AND m.id < 'g' AND m.state = 'failed' ORDER BY m.id DESC LIMIT 5",
            "messages_by_state",
        ),
        (
            "SELECT 1 FROM messages WHERE customer_id = 'x' AND occasion = 'y' AND cause = 'z'",
            "sqlite_autoindex_messages",
        ),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut *read).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{sql}: {plan:?}");
        assert!(plan.iter().any(|step| step.contains(index)), "{sql}: {plan:?}");
    }
}
