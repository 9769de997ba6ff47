//! Typed menus: the words they send and the answers they cannot accept.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_menu_adds_sets_switches_and_removes_by_id() {
    let (client, mut router) = connected(&options()).await;
    let acting = tokio::spawn(async move {
        let secrets = client.menu::<PppSecret>();
        let id = secrets.add(&PppSecretDraft::new().name("plot1").disabled(true)).await.unwrap();
        secrets.set(&id, &PppSecretDraft::new()).await.unwrap();
        secrets.set(&id, &PppSecretDraft::new().profile("walled")).await.unwrap();
        secrets.unset(&id, "remote-address").await.unwrap();
        secrets.enable(&id).await.unwrap();
        secrets.disable(&id).await.unwrap();
        secrets.remove(&id).await.unwrap();
        client.menu::<HotspotUser>().reset_counters(&id).await.unwrap();
        let none = secrets.named::<&str>(&[]).await.unwrap();
        assert_eq!(none, []);
        secrets.count().await
    });
    for words in [
        &["/ppp/secret/add", "=name=plot1", "=disabled=yes"][..],
        &["/ppp/secret/set", "=.id=*1A", "=profile=walled"],
        &["/ppp/secret/unset", "=.id=*1A", "=value-name=remote-address"],
        &["/ppp/secret/enable", "=.id=*1A"],
        &["/ppp/secret/disable", "=.id=*1A"],
        &["/ppp/secret/remove", "=.id=*1A"],
        &["/ip/hotspot/user/reset-counters", "=.id=*1A"],
    ] {
        let tag = router.expect(words).await;
        router.reply(&tag, if words[0].ends_with("add") { &["!done", "=ret=*1A"] } else { &["!done"] }).await;
    }
    let tag = router.expect(&["/ppp/secret/print", "=count-only="]).await;
    router.reply(&tag, &["!done", "=ret=858"]).await;
    assert_eq!(acting.await.unwrap().unwrap(), 858);
}

#[tokio::test(start_paused = true)]
async fn many_names_are_asked_for_in_portions() {
    let (client, mut router) = connected(&options()).await;
    let names: Vec<String> = (0..150).map(|number| format!("user{number}")).collect();
    let asking = tokio::spawn(async move { client.menu::<PppSecret>().named(&names).await });
    for (portion, id) in [(100, "=.id=*1"), (50, "=.id=*2")] {
        let command = router.receive().await;
        assert!(command.attribute(".proplist").unwrap().starts_with(b".id,name,"));
        let count = |prefix: &[u8]| command.0.iter().filter(|word| word.starts_with(prefix)).count();
        assert_eq!((count(b"?name="), count(b"?#|")), (portion, portion - 1));
        let tag = command.tag().unwrap();
        router.reply(&tag, &["!re", id, "=name=x"]).await;
        router.reply(&tag, &["!done"]).await;
    }
    assert_eq!(asking.await.unwrap().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lacks_what_it_must_hold_is_an_error() {
    let (client, mut router) = connected(&options()).await;
    let asking = tokio::spawn(async move {
        let secrets = client.menu::<PppSecret>();
        let no_id = secrets.add(&PppSecretDraft::new().name("a")).await.unwrap_err();
        let no_row = client.single::<Identity>().await.unwrap_err();
        let row_without_id = secrets.print().await.unwrap_err();
        [no_id, no_row, row_without_id].map(|error| error.to_string())
    });
    for replies in [&[&["!done"][..]][..], &[&["!done"]], &[&["!re", "=name=a"], &["!done"]]] {
        let tag = router.receive().await.tag().unwrap();
        for words in replies {
            router.reply(&tag, words).await;
        }
    }
    assert_eq!(
        asking.await.unwrap(),
        [
            "unexpected reply from /ppp/secret: no .id in answer to add",
            "unexpected reply from /system/identity: no row",
            "unexpected reply from /ppp/secret: a row without an .id",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_comment_that_is_no_text_spoils_neither_its_row_nor_the_others() {
    let (client, mut router) = connected(&options()).await;
    let asking = tokio::spawn(async move { client.menu::<PppSecret>().print().await });
    let tag = [b".tag=", &router.receive().await.tag().unwrap()[..]].concat();
    let mut bytes = Vec::new();
    let rows: [[&[u8]; 4]; 2] = [
        [b"=.id=*1", b"=name=007", b"=comment=caf\xe9 \xff", b"=profile=*2"],
        [b"=.id=*2", b"=name=plot2", b"=comment=caf\xc3\xa9", b"=profile=10M"],
    ];
    for [id, name, comment, profile] in rows {
        routeros_api::wire::encode_sentence(&[b"!re", id, name, comment, profile, &tag], &mut bytes).unwrap();
    }
    routeros_api::wire::encode_sentence(&[b"!done", &tag[..]], &mut bytes).unwrap();
    router.send_bytes(&bytes).await.unwrap();
    let secrets = asking.await.unwrap().unwrap();
    assert_eq!(secrets.len(), 2);
    assert_eq!(secrets[0].comment.as_deref(), Some(&b"caf\xe9 \xff"[..]));
    assert_eq!(secrets[0].name.as_deref(), Some(&b"007"[..]), "a name is no number");
    assert_eq!(
        secrets[0].profile.as_deref(),
        Some(&b"*2"[..]),
        "a profile that was removed is shown as its id"
    );
    assert_eq!(secrets[1].comment.as_deref(), Some("café".as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_four_gibibytes_is_written_and_read_back_whole() {
    let (client, mut router) = connected(&options()).await;
    let limit = 10_737_418_240_u64;
    let acting = tokio::spawn(async move {
        let users = client.menu::<HotspotUser>();
        let id = users.add(&HotspotUserDraft::new().name("a").limit_bytes_total(limit)).await.unwrap();
        let rows = users.named(&["a"]).await.unwrap();
        (id, rows[0].limit_bytes_total)
    });
    let tag = router.expect(&["/ip/hotspot/user/add", "=name=a", "=limit-bytes-total=10737418240"]).await;
    router.reply(&tag, &["!done", "=ret=*1"]).await;
    let tag = router.receive().await.tag().unwrap();
    router.reply(&tag, &["!re", "=.id=*1", "=name=a", "=limit-bytes-total=10737418240"]).await;
    router.reply(&tag, &["!done"]).await;
    assert_eq!(acting.await.unwrap(), (RouterId::parse("*1").unwrap(), Some(limit)));
}

#[tokio::test(start_paused = true)]
async fn what_a_write_may_be_told_is_told_apart() {
    let (client, mut router) = connected(&options()).await;
    for (words, kind) in [
        (
            &["!trap", "=message=failure: secret with the same name already exists"][..],
            TrapKind::AlreadyExists,
        ),
        (&["!trap", "=category=0", "=message=no such item (4)"], TrapKind::NoSuchItem),
        (&["!trap", "=message=failure: not allowed by device-mode"], TrapKind::DeviceMode),
        (&["!trap", "=message=not enough permissions (9)"], TrapKind::NotPermitted),
        (&["!trap", "=category=0", "=message=no such command prefix"], TrapKind::NoSuchCommand),
        (&["!trap", "=category=1", "=message=invalid value for argument profile"], TrapKind::InvalidValue),
    ] {
        let call = spawn(&client, add());
        let tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
        router.reply(&tag, words).await;
        router.reply(&tag, &["!done"]).await;
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.trap_kind(), Some(kind));
        assert!(!error.is_connection_lost(), "a refusal is no reason to reconnect");
    }
}
