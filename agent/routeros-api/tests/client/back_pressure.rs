//! Rows that are taken slowly or not at all, and everybody else meanwhile.
//!
//! The router of these tests does what RouterOS does: replies of different tags take turns, and it goes on only as
//! fast as its peer reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ROWS: usize = 10_000;
/// What the pipe, one read and the decoder hold between router and client.
const ON_THE_WAY_BYTES: usize = 4 * 1024 + 16 * 1024;
/// What a row of these tests takes on the wire: `!re`, `=number=nnnn` and a tag. Each costs more in memory.
const ROW_WIRE_BYTES: usize = 20;

/// A log of [`ROWS`] rows that is sent as fast as it is read; another command is answered as soon as it is heard.
struct BusyRouter {
    sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Router>,
}

impl BusyRouter {
    fn start(mut router: Router, log_tag: Bytes) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            for number in 0..ROWS {
                router.reply(&log_tag, &["!re", &format!("=number={number}")]).await;
                counter.store(number + 1, Ordering::SeqCst);
                if let Some(command) = router.heard_by_now() {
                    router.reply(&command.tag().unwrap(), &["!done", "=ret=*1"]).await;
                }
            }
            router.reply(&log_tag, &["!done"]).await;
            router
        });
        Self { sent, task }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_rows_for_a_slow_taker_cost_bounded_memory_while_other_commands_are_answered() {
    let held_bytes = 64 * 1024;
    let (client, mut router) = connected(&Options { held_bytes, ..options() }).await;
    let mut stream = client.rows(Command::new("/log/print")).await.unwrap();
    let router = {
        let tag = router.expect(&["/log/print"]).await;
        BusyRouter::start(router, tag)
    };
    let (mut others, mut most_held, mut most_ahead, mut answered) = (Vec::new(), 0, 0, 0);
    for number in 0..ROWS {
        // Slow, but never still for as long as the deadline.
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            most_held = most_held.max(client.held_bytes());
            most_ahead = most_ahead.max(router.sent() - number);
            others.retain(|call: &tokio::task::JoinHandle<_>| !call.is_finished());
        }
        if number % 1000 == 0 {
            assert!(others.is_empty(), "the command of a thousand rows ago is answered by now");
            others.push(spawn(&client, add()));
            answered += 1;
        }
        let row = stream.next().await.unwrap().unwrap();
        assert_eq!(row.get("number").unwrap(), number.to_string().as_bytes());
    }
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none(), "and it stays over");
    assert_eq!(answered, 10);
    for call in others {
        assert_eq!(call.await.unwrap().unwrap().ret, Some(Bytes::from("*1")));
    }
    // Full, or back-pressure was not what held the router up; and over by less than one row.
    assert!((held_bytes - 1024..held_bytes + 1024).contains(&most_held), "{most_held} bytes held");
    let bound = (held_bytes + ON_THE_WAY_BYTES) / ROW_WIRE_BYTES;
    assert!(most_ahead <= bound && most_ahead < ROWS / 2, "{most_ahead} rows ahead of their taker");
    assert_eq!(client.held_bytes(), 0);
    drop(router.task.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn within_the_allowance_a_taker_that_stands_still_holds_up_nobody() {
    let (client, mut router) = connected(&Options { held_bytes: 16 * 1024 * 1024, ..options() }).await;
    let mut stream = client.rows(Command::new("/log/print")).await.unwrap();
    let tag = router.expect(&["/log/print"]).await;
    let router = BusyRouter::start(router, tag);
    let started = Instant::now();
    assert_eq!(client.run(add()).await.unwrap().ret, Some(Bytes::from("*1")));
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody had to be waited for");
    let mut router = router.task.await.unwrap();
    assert!(client.held_bytes() > 0 || stream.next().await.is_some());
    // The command is over at the router, so its rows are the taker's own affair.
    let call = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    router.reply(&tag, &["!done"]).await;
    call.await.unwrap().unwrap();
    assert_eq!(client.held_bytes(), 0);
    tokio::time::advance(Deadlines::default().row_taken * 3).await;
    let mut rows = 0;
    while let Some(row) = stream.next().await {
        row.unwrap();
        rows += 1;
    }
    assert!(rows >= ROWS - 1, "{rows}");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_allowance_whoever_holds_most_and_takes_nothing_is_cancelled_and_others_go_on() {
    let held_bytes = 64 * 1024;
    let (client, mut router) = connected(&Options { held_bytes, ..options() }).await;
    let mut sleeping = client.rows(Command::new("/log/print")).await.unwrap();
    let tag = router.expect(&["/log/print"]).await;
    let mut modest = client.rows(print()).await.unwrap();
    let modest_tag = router.expect(&["/ppp/active/print"]).await;
    router.reply(&modest_tag, &["!re", "=name=a"]).await;
    let other = spawn(&client, add());
    let other_tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    let log_tag = tag.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..1000 {
            router.reply(&log_tag, &["!re", "=message=x"]).await;
        }
        router.reply(&other_tag, &["!done", "=ret=*1"]).await;
        router
    });
    let started = Instant::now();
    assert_eq!(other.await.unwrap().unwrap().ret, Some(Bytes::from("*1")));
    assert_eq!(started.elapsed(), Deadlines::default().row_taken);
    let mut router = sending.await.unwrap();
    let cancel_tag = router.receive().await.tag().unwrap();
    router.reply(&tag, &["!trap", "=category=2", "=message=interrupted"]).await;
    router.reply(&tag, &["!done"]).await;
    router.reply(&cancel_tag, &["!done"]).await;
    let mut rows = 0;
    let error = loop {
        match sleeping.next().await.unwrap() {
            Ok(_) => rows += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::SlowConsumer { .. }) && !error.is_connection_lost());
    assert!((100..1000).contains(&rows), "what was held is still given: {rows}");
    router.reply(&modest_tag, &["!done"]).await;
    assert!(modest.next().await.unwrap().is_ok(), "the other sleeper was in nobody's way");
    assert!(modest.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_read_nobodys_silence_counts() {
    let (client, mut router) = connected(&Options { held_bytes: 1, ..options() }).await;
    let mut slow = client.rows(Command::new("/log/print")).await.unwrap();
    let tag = router.expect(&["/log/print"]).await;
    let other = spawn(&client, add());
    let other_tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    // The answer is on its way, behind rows that take longer than the other command's deadline.
    let sending = tokio::spawn(async move {
        for _ in 0..5000 {
            router.reply(&tag, &["!re", "=message=x"]).await;
        }
        router.reply(&tag, &["!done"]).await;
        router.reply(&other_tag, &["!done", "=ret=*1"]).await;
        router
    });
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(slow.next().await.unwrap().is_ok());
    }
    let mut rows = 5;
    while let Some(row) = slow.next().await {
        row.unwrap();
        rows += 1;
    }
    assert_eq!(rows, 5000);
    assert_eq!(other.await.unwrap().unwrap().ret, Some(Bytes::from("*1")));
    drop(sending.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_stream_dropped_with_untaken_rows_gives_its_room_back() {
    let (client, mut router) = connected(&Options { held_bytes: 1024, ..options() }).await;
    let stream = client.rows(Command::new("/log/print")).await.unwrap();
    let tag = router.expect(&["/log/print"]).await;
    for _ in 0..20 {
        router.reply(&tag, &["!re", "=message=x"]).await;
    }
    drop(stream);
    let cancel_tag = router.receive().await.tag().unwrap();
    router.reply(&tag, &["!done"]).await;
    router.reply(&cancel_tag, &["!done"]).await;
    let call = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    router.reply(&tag, &["!done"]).await;
    call.await.unwrap().unwrap();
    assert_eq!(client.held_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_end_is_given_up() {
    let (client, mut router) = connected(&options()).await;
    let call = spawn(&client, Command::new("/log/print"));
    let tag = router.expect(&["/log/print"]).await;
    for _ in 0..=REPLY_ROWS {
        router.reply(&tag, &["!re"]).await;
    }
    assert!(matches!(call.await.unwrap(), Err(Error::ReplyTooLarge { limit: REPLY_ROWS })));
    assert_eq!(router.receive().await.first().unwrap(), "/cancel");
}
