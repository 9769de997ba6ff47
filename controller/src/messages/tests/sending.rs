//! How texts leave: once, in order, and not on a guess after a crash.

use super::{DAY, Office};
use crate::messages::about;
use crate::messages::state::State;
use crate::money::Money;
use crate::subscriptions;
use crate::testing::Log;

impl Office {
    pub(super) async fn refund(&self, cause: &str) {
        let mut write = self.controller.database.write().await.unwrap();
        let customer = self.world.customer.id.clone();
        let what = (cause, Money::from_cents(100), "TKQ1");
        about::refunded(&mut write, &customer, what, self.now()).await.unwrap();
        write.commit().await.unwrap();
    }

    pub(super) async fn hold(&self) {
        let mut write = self.controller.database.write().await.unwrap();
        subscriptions::hold(&mut write, &self.world.line, self.now()).await.unwrap();
        write.commit().await.unwrap();
    }

    pub(super) async fn states(&self) -> Vec<State> {
        self.messages().await.into_iter().map(|one| one.course.state).collect()
    }
}

#[tokio::test]
async fn the_log_has_neither_the_number_nor_the_words() {
    let office = Office::open().await;
    office.refund("r1").await;
    let log = Log::default();
    let listening = log.listen();
    // In this task itself: the log of a test is that of its thread.
    assert_eq!(office.send().await, 1);
    drop(listening);
    let text = log.text();
    assert!(text.contains("a text would go out") && text.contains("2547•••••678"), "{text}");
    assert!(!text.contains("712345678") && !text.contains("sent back") && !text.contains("Corner"), "{text}");
    assert_eq!((office.states().await, office.send().await), (vec![State::Sent], 0));
}

#[tokio::test]
async fn after_a_crash_in_the_middle_money_is_not_told_again_and_a_hold_once_more() {
    let office = Office::open().await;
    office.refund("r1").await;
    office.hold().await;
    // The process died behind the commit of the attempt and before, or after, the call: nobody can say which.
    office.execute("UPDATE messages SET state = 'sending', attempts = 1, next_attempt_at = NULL").await;
    office.sender().recover().await.unwrap();
    let all = office.messages().await;
    let state_of = |occasion: &str| all.iter().find(|one| one.course.occasion.as_str() == occasion).unwrap();
    assert_eq!(state_of("refunded").course.state, State::Unknown);
    assert_eq!(state_of("on_hold").course.state, State::Queued);
    assert!(state_of("refunded").course.reason.contains("stopped while it was being sent"));
    office.controller.clock.advance(DAY / 24);
    assert_eq!(office.send().await, 1);
    office.sender().recover().await.unwrap();
    let mut states = office.states().await;
    states.sort_unstable();
    assert_eq!(states, [State::Sent, State::Unknown]);
}

#[tokio::test]
async fn so_many_leave_in_a_second_and_answers_before_what_can_wait() {
    let office = Office::with("channel = \"log\"\ntexts_a_second = 2").await;
    office.hold().await;
    for cause in ["r1", "r2", "r3"] {
        office.refund(cause).await;
    }
    assert_eq!(office.send().await, 2);
    let waiting: Vec<_> =
        office.messages().await.into_iter().filter(|one| one.course.state == State::Queued).collect();
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting.iter().filter(|one| one.course.occasion.is_money()).count(), 1);
    assert_eq!((office.send().await, office.send().await), (2, 0));
}

#[tokio::test]
async fn what_is_out_of_date_is_dropped() {
    let office = Office::open().await;
    office.refund("r1").await;
    office.controller.clock.advance(DAY);
    assert_eq!(office.send().await, 0);
    let dropped = office.messages().await.remove(0);
    assert_eq!(dropped.course.state, State::Dropped);
    assert!(dropped.course.reason.contains("too long"), "{}", dropped.course.reason);
}
