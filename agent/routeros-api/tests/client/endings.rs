//! How a connection ends, and what that means for each command in flight.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_fatal_fails_everything_in_flight_and_only_writes_are_in_doubt() {
    let (client, mut router) = connected(&options()).await;
    let read = spawn(&client, print());
    router.receive().await;
    let write = spawn(&client, add());
    router.receive().await;
    router.send(&["!fatal", "session terminated on request"]).await;
    assert!(
        matches!(read.await.unwrap(), Err(Error::Fatal { reason }) if reason == "session terminated on request")
    );
    assert!(matches!(write.await.unwrap(), Err(Error::OutcomeUnknown { cause: Lost::Fatal(_) })));
    assert!(matches!(client.closed().await, Lost::Fatal(_)));
    assert!(matches!(client.run(add()).await, Err(Error::Closed { cause: Lost::Fatal(_) })));
    assert!(client.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_end_after_a_write_was_sent_is_its_own_error() {
    // After sending, in a length, in a word, between two words, before the end of the sentence.
    for partial in [&b""[..], b"\x80", b"\x05!do", b"\x05!done", b"\x05!done\x06.tag=1"] {
        let (client, mut router) = connected(&Options { in_flight: 2, ..options() }).await;
        let write = spawn(&client, add());
        router.receive().await;
        let read = spawn(&client, print());
        router.receive().await;
        let waiting = spawn(&client, add());
        assert!(router.hears_nothing().await);
        router.send_bytes(partial).await.unwrap();
        router.hang_up().await;
        let is_cut = !partial.is_empty();
        assert!(
            matches!(write.await.unwrap(), Err(Error::OutcomeUnknown { cause: Lost::Ended { mid_sentence } }) if mid_sentence == is_cut)
        );
        assert!(matches!(read.await.unwrap(), Err(Error::Closed { cause: Lost::Ended { .. } })));
        let never_sent = waiting.await.unwrap().unwrap_err();
        assert!(matches!(never_sent, Error::Closed { cause: Lost::Ended { .. } }), "{never_sent:?}");
        assert!(never_sent.is_connection_lost());
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_poisons_the_connection() {
    let (client, mut router) = connected(&options()).await;
    let started = Instant::now();
    let read = spawn(&client, print());
    let write = spawn(&client, add());
    router.receive().await;
    router.receive().await;
    let after = Deadlines::default().command_idle;
    assert!(
        matches!(read.await.unwrap(), Err(Error::Timeout { operation: Operation::Command, after: found }) if found == after)
    );
    assert!(matches!(write.await.unwrap(), Err(Error::OutcomeUnknown { cause: Lost::TimedOut(_) })));
    assert_eq!(started.elapsed(), after);
    assert!(router.receive_or_end().await.is_none(), "the client has closed the connection");
    assert!(matches!(client.run(print()).await, Err(Error::Closed { cause: Lost::TimedOut(_) })));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_that_keeps_coming_does_not_time_out() {
    let (client, mut router) = connected(&options()).await;
    let call = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(20)).await;
        router.reply(&tag, &["!re", "=name=a"]).await;
        tokio::task::yield_now().await;
    }
    router.reply(&tag, &["!done"]).await;
    assert_eq!(call.await.unwrap().unwrap().rows.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_middle_of_sending_leaves_the_write_in_doubt() {
    let (client, mut router) = connected(&options()).await;
    // Far more than the pipe holds: the router has seen its beginning when it goes.
    let write = spawn(&client, add().attribute("comment", "x".repeat(500_000)));
    router.hears_some().await;
    router.hang_up().await;
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_frame_ends_the_connection() {
    let gibibyte = WireError::WordTooLong { claimed: 0x4000_0000, limit: Limits::default().word_bytes };
    let reserved = |byte| WireError::ControlByte { byte };
    for (bytes, expected) in [
        (&b"\xf0\x40\x00\x00\x00"[..], gibibyte),
        (b"\xf1", reserved(0xF1)),
        (b"\x03!re\xf8", reserved(0xF8)),
        (b"\xff", reserved(0xFF)),
    ] {
        let (client, mut router) = connected(&options()).await;
        let read = spawn(&client, print());
        router.receive().await;
        let write = spawn(&client, add());
        router.receive().await;
        router.send_bytes(bytes).await.unwrap();
        let error = read.await.unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Protocol(ProtocolError::Framing(found)) if found == expected),
            "{error:?}"
        );
        assert!(matches!(write.await.unwrap(), Err(Error::OutcomeUnknown { cause: Lost::Protocol(_) })));
        assert!(router.receive_or_end().await.is_none(), "the client has closed the connection");
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_closes_with_its_last_handle_and_not_before() {
    let (client, mut router) = connected(&options()).await;
    let clone = client.clone();
    let mut listen = clone.listen(Command::new("/ppp/active/listen")).await.unwrap();
    let tag = router.expect(&["/ppp/active/listen"]).await;
    drop((client, clone));
    router.reply(&tag, &["!re", "=.id=*1"]).await;
    assert!(matches!(listen.next().await, Some(Ok(Change::Row(_)))), "the listen keeps the connection");
    drop(listen);
    // Either the cancel is still seen or the connection is gone first; in the end it is gone.
    while router.receive_or_end().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn closing_fails_what_is_in_flight_and_says_who_closed() {
    let (client, mut router) = connected(&options()).await;
    let write = spawn(&client, add());
    router.receive().await;
    client.close();
    assert!(matches!(client.closed().await, Lost::ClosedHere));
    assert!(matches!(write.await.unwrap(), Err(Error::OutcomeUnknown { cause: Lost::ClosedHere })));
    assert!(router.receive_or_end().await.is_none());
}

#[test]
fn a_runtime_that_is_shut_down_leaves_a_write_in_doubt() {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let second = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (client, mut router) = first.block_on(connected(&options()));
    // The command is taken by the driver before its runtime goes.
    let mut stream = second.block_on(client.rows(add())).unwrap();
    first.block_on(router.receive());
    drop(first);
    let error = second.block_on(stream.next()).unwrap().unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { cause: Lost::ClosedHere }), "{error:?}");
    assert!(matches!(second.block_on(client.closed()), Lost::ClosedHere));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_router_sends_the_call_ends_and_nothing_panics(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                prop::sample::select(vec![
                    &b"\x03!re\x07=name=a\x06.tag=1\x00"[..], b"\x05!trap\x06.tag=1\x00", b"\x05!done\x06.tag=9\x00",
                    b"\x06!empty\x06.tag=1\x00", b"\x00",
                ]).prop_map(<[u8]>::to_vec),
            ],
            0..20,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let result = runtime.block_on(async {
            let (client, mut router) = connected(&options()).await;
            let call = spawn(&client, add());
            router.receive().await;
            for piece in pieces {
                if router.send_bytes(&piece).await.is_err() {
                    break;
                }
            }
            router.hang_up().await;
            call.await.unwrap()
        });
        // The write was received and nothing above ends it, so what became of it is unknown.
        prop_assert!(matches!(result, Err(Error::OutcomeUnknown { .. })), "{result:?}");
    }
}
