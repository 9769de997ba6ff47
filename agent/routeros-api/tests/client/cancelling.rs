//! Commands that nobody waits for any more.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dropped_future_cancels_its_command_and_its_place_is_kept_until_the_end() {
    let (client, mut router) = connected(&Options { in_flight: 1, ..options() }).await;
    let call = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let asked = format!("=tag={}", std::str::from_utf8(&tag).unwrap());
    let cancel_tag = router.expect(&["/cancel", &asked]).await;
    let next = spawn(&client, add());
    assert!(router.hears_nothing().await, "the router is not done with the first");
    router.reply(&tag, &["!re", "=name=late"]).await;
    router.reply(&cancel_tag, &["!done"]).await;
    router.reply(&tag, &["!trap", "=category=2", "=message=interrupted"]).await;
    router.reply(&tag, &["!done"]).await;
    let next_tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    router.reply(&next_tag, &["!done", "=ret=*1"]).await;
    assert_eq!(next.await.unwrap().unwrap().rows, [], "late rows reach nobody");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_is_not_answered_closes_the_connection() {
    let (client, mut router) = connected(&options()).await;
    let stream = client.rows(print()).await.unwrap();
    router.receive().await;
    drop(stream);
    router.receive().await;
    let started = Instant::now();
    assert!(matches!(client.closed().await, Lost::CancelUnanswered(_)));
    assert_eq!(started.elapsed(), Deadlines::default().cancel_drain);
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_while_it_waits_its_turn_sends_nothing() {
    let (client, mut router) = connected(&Options { in_flight: 1, ..options() }).await;
    let first = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    let waiting = spawn(&client, add());
    tokio::task::yield_now().await;
    waiting.abort();
    router.reply(&tag, &["!done"]).await;
    first.await.unwrap().unwrap();
    assert!(router.hears_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn a_command_dropped_before_it_was_taken_sends_nothing() {
    let (client, mut router) = connected(&options()).await;
    drop(client.rows(add()).await.unwrap());
    assert!(router.hears_nothing().await);
}
