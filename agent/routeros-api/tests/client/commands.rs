//! Commands and their answers: interleaved, cut anywhere, empty, trapped, too big.

use super::*;

#[tokio::test(start_paused = true)]
async fn interleaved_answers_find_their_callers() {
    let (client, mut router) = connected(&options()).await;
    let first = spawn(&client, print());
    let first_tag = router.expect(&["/ppp/active/print"]).await;
    let second = spawn(&client, add());
    let second_tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    assert_ne!(first_tag, second_tag);
    router.reply(&first_tag, &["!re", "=name=a"]).await;
    router.reply(&second_tag, &["!done", "=ret=*1A"]).await;
    router.reply(&Bytes::from("999"), &["!re", "=name=stray"]).await;
    router.reply(&first_tag, &["!re", "=name=b", "=comment=x=y\r\nz\0"]).await;
    router.reply(&first_tag, &["!done"]).await;
    assert_eq!(second.await.unwrap().unwrap().ret, Some(Bytes::from("*1A")));
    let rows = first.await.unwrap().unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.get("name").unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(rows[1].get("comment").as_deref(), Some(&b"x=y\r\nz\0"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_reply_cut_at_every_byte_is_put_together() {
    let (client, mut router) = connected(&options()).await;
    let call = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    let mut bytes = Vec::new();
    let tag = format!(".tag={}", std::str::from_utf8(&tag).unwrap());
    let long = format!("=comment={}", "x".repeat(300));
    routeros_api::wire::encode_sentence(&["!re", long.as_str(), tag.as_str()], &mut bytes).unwrap();
    routeros_api::wire::encode_sentence(&["!done", tag.as_str()], &mut bytes).unwrap();
    for byte in bytes {
        router.send_bytes(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(call.await.unwrap().unwrap().rows[0].get("comment").unwrap().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn an_empty_menu_is_no_rows_with_and_without_a_notice() {
    let (client, mut router) = connected(&options()).await;
    for notices in 0..3 {
        let call = spawn(&client, print());
        let tag = router.expect(&["/ppp/active/print"]).await;
        for _ in 0..notices {
            router.reply(&tag, &["!empty"]).await;
        }
        router.reply(&tag, &["!done"]).await;
        assert_eq!(call.await.unwrap().unwrap().rows, []);
    }
}

#[tokio::test(start_paused = true)]
async fn traps_are_told_at_done_and_the_connection_goes_on() {
    let (client, mut router) = connected(&options()).await;
    let call = spawn(&client, add());
    let tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    router
        .reply(&tag, &["!trap", "=category=4", "=message=failure: secret with the same name already exists"])
        .await;
    router.reply(&tag, &["!trap", "=message=second"]).await;
    router.reply(&tag, &["!done"]).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.trap_kind(), Some(TrapKind::AlreadyExists));
    assert!(!error.is_connection_lost());
    let Error::Trap(traps) = error else { panic!("not a trap") };
    assert_eq!(traps.iter().count(), 2);
    let next = spawn(&client, print());
    let tag = router.expect(&["/ppp/active/print"]).await;
    router.reply(&tag, &["!done"]).await;
    assert!(next.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_more_commands_are_in_flight_than_allowed() {
    let (client, mut router) = connected(&Options { in_flight: 2, ..options() }).await;
    let calls: Vec<_> = (0..3).map(|_| spawn(&client, print())).collect();
    let first = router.expect(&["/ppp/active/print"]).await;
    let second = router.expect(&["/ppp/active/print"]).await;
    assert!(router.hears_nothing().await, "the third waits its turn");
    router.reply(&second, &["!done"]).await;
    let third = router.expect(&["/ppp/active/print"]).await;
    for tag in [first, third] {
        router.reply(&tag, &["!done"]).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_sent_is_refused_and_sends_nothing() {
    let limits = Limits { word_bytes: 64, words: 4, sentence_bytes: 256 };
    let (client, mut router) = connected(&Options { limits, ..options() }).await;
    for (command, expected) in [
        (Command::new(""), WireError::EmptyWord),
        (print().attribute("comment", "x".repeat(64)), WireError::WordTooLong { claimed: 73, limit: 64 }),
        (print().flag("a").flag("b").flag("c"), WireError::TooManyWords { limit: 4 }),
    ] {
        let error = client.run(command).await.unwrap_err();
        assert!(matches!(error, Error::InvalidCommand(found) if found == expected), "{error:?}");
    }
    assert!(router.hears_nothing().await);
}

#[tokio::test(start_paused = true)]
async fn a_big_command_and_a_big_reply_pass_each_other() {
    let (client, mut router) = connected(&options()).await;
    let reading = spawn(&client, Command::new("/log/print"));
    let tag = router.expect(&["/log/print"]).await;
    // Far more than the pipe holds, so that the client has to read before it can go on writing.
    let writing = spawn(&client, add().attribute("comment", "x".repeat(500_000)));
    for _ in 0..2000 {
        router.reply(&tag, &["!re", "=message=the quick brown fox jumps over the lazy dog"]).await;
    }
    router.reply(&tag, &["!done"]).await;
    assert_eq!(reading.await.unwrap().unwrap().rows.len(), 2000);
    let command = router.receive().await;
    assert_eq!(command.attribute("comment").unwrap().len(), 500_000);
    router.reply(&command.tag().unwrap(), &["!done"]).await;
    assert!(writing.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn odd_values_go_out_and_come_back_byte_for_byte() {
    let (client, mut router) = connected(&options()).await;
    let values: [&[u8]; 7] = [b"a=b=c", b"=", b"x\r\ny\0z", b"", b"caf\xe9", "p\u{e4}".as_bytes(), b"!done"];
    let mut command = Command::new("/ppp/secret/add").flag("detail");
    for value in values {
        command = command.attribute("comment", value);
    }
    let call = spawn(&client, command);
    let heard = router.receive().await;
    let sent: Vec<_> = heard.attributes().filter(|(name, _)| name == "comment").collect();
    assert_eq!(sent.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>(), values);
    assert_eq!(heard.attribute("detail").as_deref(), Some(&b""[..]));
    let tag = [b".tag=", &heard.tag().unwrap()[..]].concat();
    let mut bytes = Vec::new();
    for value in values {
        let word = [b"=comment=", value].concat();
        routeros_api::wire::encode_sentence(&[b"!re", &word[..], b"=flag", &tag], &mut bytes).unwrap();
    }
    routeros_api::wire::encode_sentence(&[b"!done", &tag[..]], &mut bytes).unwrap();
    router.send_bytes(&bytes).await.unwrap();
    let rows = call.await.unwrap().unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.raw("comment").unwrap()).collect::<Vec<_>>(), values);
    assert_eq!(
        rows[0].raw("flag").as_deref(),
        Some(&b""[..]),
        "a word without a second `=` is an empty value"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trap_completes_nothing_before_its_done_and_shifts_no_later_answer() {
    let (client, mut router) = connected(&options()).await;
    let first = spawn(&client, add());
    let first_tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    router.reply(&first_tag, &["!trap", "=message=no such item"]).await;
    let second = spawn(&client, print());
    let second_tag = router.expect(&["/ppp/active/print"]).await;
    assert!(!first.is_finished(), "a trap is not the end");
    router.reply(&second_tag, &["!re", "=name=b"]).await;
    router.reply(&second_tag, &["!done"]).await;
    assert_eq!(second.await.unwrap().unwrap().rows.len(), 1);
    assert!(!first.is_finished());
    router.reply(&first_tag, &["!done"]).await;
    assert_eq!(first.await.unwrap().unwrap_err().trap_kind(), Some(TrapKind::NoSuchItem));
}
