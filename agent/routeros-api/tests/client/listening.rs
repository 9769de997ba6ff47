//! Listens, and the quiet in between.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_listen_tells_of_rows_and_removals_in_both_dialects() {
    let (client, mut router) = connected(&options()).await;
    let mut listen = client.menu::<PppSecret>().listen().await.unwrap();
    let command = router.receive().await;
    assert_eq!(command.first().unwrap(), "/ppp/secret/listen");
    let tag = command.tag().unwrap();
    router.reply(&tag, &["!re", "=.id=*3", "=name=plot1"]).await;
    router.reply(&tag, &["!re", "=.id=*3", "=.dead=true"]).await;
    router.reply(&tag, &["!re", "=.id=*4", "=.dead=yes"]).await;
    router.reply(&tag, &["!re", "=.dead=yes"]).await;
    assert!(matches!(listen.next().await, Some(Ok(Change::Row(row))) if row.get("name").unwrap() == "plot1"));
    for id in ["*3", "*4"] {
        assert_eq!(listen.next().await.unwrap().unwrap(), Change::Removed(RouterId::parse(id).unwrap()));
    }
    assert_eq!(
        listen.next().await.unwrap().unwrap(),
        Change::Resync,
        "something is gone, and nobody knows what"
    );
    // Days of silence are nothing to a listen.
    tokio::time::advance(Duration::from_secs(200_000)).await;
    router.reply(&tag, &["!re", "=.id=*5"]).await;
    assert!(matches!(listen.next().await, Some(Ok(Change::Row(_)))));
    drop(listen);
    assert_eq!(router.receive().await.first().unwrap(), "/cancel");
}

#[tokio::test(start_paused = true)]
async fn changes_that_nobody_takes_become_one_resync() {
    let (client, mut router) = connected(&options()).await;
    let mut listen = client.listen(Command::new("/ppp/active/listen")).await.unwrap();
    let tag = router.expect(&["/ppp/active/listen"]).await;
    for _ in 0..1000 {
        router.reply(&tag, &["!re", "=.id=*1", "=name=old"]).await;
    }
    // Another command's answer proves that the client has read all of that: the listen blocks nobody.
    let call = spawn(&client, print());
    let print_tag = router.expect(&["/ppp/active/print"]).await;
    router.reply(&print_tag, &["!done"]).await;
    call.await.unwrap().unwrap();
    assert_eq!(listen.next().await.unwrap().unwrap(), Change::Resync);
    router.reply(&tag, &["!re", "=.id=*2", "=name=new"]).await;
    let Some(Ok(Change::Row(row))) = listen.next().await else { panic!("no row") };
    assert_eq!(row.get("name").unwrap(), "new", "what was held before the resync is thrown away");
}

#[tokio::test(start_paused = true)]
async fn a_listen_ends_with_the_routers_reason() {
    let (client, mut router) = connected(&options()).await;
    let mut listen = client.listen(Command::new("/ppp/active/listen")).await.unwrap();
    let tag = router.expect(&["/ppp/active/listen"]).await;
    router.reply(&tag, &["!trap", "=message=no such command"]).await;
    router.reply(&tag, &["!done"]).await;
    let error = listen.next().await.unwrap().unwrap_err();
    assert_eq!(error.trap_kind(), Some(TrapKind::NoSuchCommand));
    assert!(listen.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_alive_and_a_dead_one_is_found() {
    let keepalive = Duration::from_secs(30);
    let (client, mut router) = connected(&Options { keepalive: Some(keepalive), ..options() }).await;
    let started = Instant::now();
    for round in 1..=3 {
        let tag = router.expect(&["/system/identity/print", "=.proplist=name"]).await;
        assert_eq!(started.elapsed(), keepalive * round);
        router.reply(&tag, &["!re", "=name=x"]).await;
        router.reply(&tag, &["!done"]).await;
    }
    router.expect(&["/system/identity/print", "=.proplist=name"]).await;
    let asked = Instant::now();
    assert!(matches!(client.closed().await, Lost::TimedOut(_)));
    assert_eq!(asked.elapsed(), Deadlines::default().command_idle);
}
