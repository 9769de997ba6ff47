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
