//! Menus that are followed over lost listens, overflows and lost connections.

use super::*;
use routeros_api::{Difference, Follow, News};

fn follow() -> Follow {
    Follow::new("/ppp/active", &["name", "address"], &["name"])
}

const LISTEN: &[&str] = &["/ppp/active/listen", "=.proplist=.id,name,address"];
const PRINT: &[&str] = &["/ppp/active/print", "=.proplist=.id,name,address"];

/// The news up to the next `Settled`: `+a`, `-a`, `~a`.
async fn until_settled(follow: &mut Follow) -> Vec<String> {
    let mut news = Vec::new();
    loop {
        match follow.next().await.unwrap() {
            News::Settled => return news,
            News::Difference(difference) => news.push(shown(&difference)),
        }
    }
}

fn shown(difference: &Difference) -> String {
    let (mark, row) = match difference {
        Difference::Added(row) => ('+', row),
        Difference::Removed(row) => ('-', row),
        Difference::Changed { after, .. } => ('~', after),
    };
    format!("{mark}{}", String::from_utf8(row.get("name").unwrap().to_vec()).unwrap())
}

async fn next_difference(follow: &mut Follow) -> String {
    match follow.next().await.unwrap() {
        News::Difference(difference) => shown(&difference),
        News::Settled => panic!("settled once more"),
    }
}

/// Answers a print with rows `id name address`.
async fn print(router: &mut Router, rows: &[&str]) {
    let tag = router.expect(PRINT).await;
    send_rows(router, &tag, rows).await;
    router.reply(&tag, &["!done"]).await;
}

async fn send_rows(router: &mut Router, tag: &Bytes, rows: &[&str]) {
    for row in rows {
        let [id, name, address] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let words = [format!("=.id={id}"), format!("=name={name}"), format!("=address={address}")];
        router.reply(tag, &["!re", &words[0], &words[1], &words[2]]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_listen_starts_before_the_print_and_both_are_merged() {
    let (client, mut router) = connected(&options()).await;
    let mut follow = follow();
    follow.resume(client);
    let script = async {
        let listen = router.expect(LISTEN).await;
        let print = router.expect(PRINT).await;
        send_rows(&mut router, &print, &["*1 a 10.0.0.1", "*2 b 10.0.0.2", "*3 c 10.0.0.3"]).await;
        send_rows(&mut router, &listen, &["*4 d 10.0.0.4", "*2 b 10.0.0.9"]).await;
        router.reply(&listen, &["!re", "=.id=*3", "=.dead=yes"]).await;
        router.reply(&print, &["!done"]).await;
        listen
    };
    let (news, listen) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["+a", "+b", "+d"]);
    router.reply(&listen, &["!re", "=.id=*1", "=.dead=true"]).await;
    assert_eq!(next_difference(&mut follow).await, "-a");
    let addresses: Vec<_> = follow.rows().map(|row| row.get("address").unwrap()).collect();
    assert_eq!(addresses, ["10.0.0.9", "10.0.0.4"]);
    send_rows(&mut router, &listen, &["*2 b 10.0.0.9", "*2 b 10.0.0.8"]).await;
    assert_eq!(next_difference(&mut follow).await, "~b", "what is as it was is no news");
}

#[tokio::test(start_paused = true)]
async fn another_connection_tells_only_what_is_different_though_ids_are_not_the_same() {
    let mut follow = follow();
    let (client, mut router) = connected(&options()).await;
    follow.resume(client);
    let script = async {
        router.expect(LISTEN).await;
        print(&mut router, &["*1 a 10.0.0.1", "*2 b 10.0.0.2", "*3 c 10.0.0.3"]).await;
    };
    let (news, ()) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["+a", "+b", "+c"]);
    router.hang_up().await;
    assert!(follow.next().await.unwrap_err().is_connection_lost());
    assert!(
        matches!(follow.next().await, Err(Error::Closed { .. })),
        "there is no connection until the next"
    );
    assert_eq!(follow.rows().count(), 3, "what was known is still known");

    let (client, mut router) = connected(&options()).await;
    follow.resume(client);
    let script = async {
        router.expect(LISTEN).await;
        print(&mut router, &["*1 c 10.0.0.3", "*2 a 10.0.0.7", "*3 d 10.0.0.4"]).await;
    };
    let (news, ()) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["-b", "~a", "+d"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_in_the_middle_of_the_print_changes_nothing_that_is_known() {
    let mut follow = follow();
    for rows in [&["*1 a 10.0.0.1", "*2 b 10.0.0.2"][..], &["*1 a 10.0.0.1"]] {
        let (client, mut router) = connected(&options()).await;
        follow.resume(client);
        let script = async {
            router.expect(LISTEN).await;
            let tag = router.expect(PRINT).await;
            send_rows(&mut router, &tag, &["*7 z 10.0.0.7"]).await;
            router.hang_up().await;
        };
        let known = follow.rows().count();
        let (error, ()) = tokio::join!(follow.next(), script);
        assert!(error.unwrap_err().is_connection_lost());
        assert_eq!(follow.rows().count(), known);

        let (client, mut router) = connected(&options()).await;
        follow.resume(client);
        let script = async {
            router.expect(LISTEN).await;
            print(&mut router, rows).await;
        };
        let (news, ()) = tokio::join!(until_settled(&mut follow), script);
        assert_eq!(news, if rows.len() == 2 { &["+a", "+b"][..] } else { &["-b"] });
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_changes_and_removals_of_nobody_knows_what_are_made_good_by_a_print() {
    let (client, mut router) = connected(&options()).await;
    let mut follow = follow();
    follow.resume(client.clone());
    let script = async {
        let listen = router.expect(LISTEN).await;
        print(&mut router, &["*1 a 10.0.0.1"]).await;
        listen
    };
    let (_, listen) = tokio::join!(until_settled(&mut follow), script);
    for number in 0..1000 {
        send_rows(&mut router, &listen, &[&format!("*2 b 10.0.0.{number}")]).await;
    }
    // Another command's answer proves that the client has read all of that.
    let call = spawn(&client, add());
    let tag = router.expect(&["/ppp/secret/add", "=name=plot1"]).await;
    router.reply(&tag, &["!done"]).await;
    call.await.unwrap().unwrap();
    let script = print(&mut router, &["*1 a 10.0.0.1", "*2 b 10.0.0.2"]);
    let (news, ()) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["+b"]);

    router.reply(&listen, &["!re", "=.dead=true"]).await;
    let script = print(&mut router, &["*2 b 10.0.0.2"]);
    let (news, ()) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["-a"], "the same listen goes on, beside another print");

    follow.print_again();
    let script = print(&mut router, &["*2 b 10.0.0.3"]);
    let (news, ()) = tokio::join!(until_settled(&mut follow), script);
    assert_eq!(news, ["~b"]);
}

#[tokio::test(start_paused = true)]
async fn a_listen_that_the_router_ends_is_begun_anew_but_not_for_ever() {
    let (client, mut router) = connected(&options()).await;
    let mut follow = follow();
    follow.resume(client);
    let ended = [&[][..], &["!trap", "=category=2", "=message=interrupted"]];
    for beginning in 0..5 {
        let script = async {
            let listen = router.expect(LISTEN).await;
            print(&mut router, &["*1 a 10.0.0.1"]).await;
            listen
        };
        let (news, listen) = tokio::join!(until_settled(&mut follow), script);
        assert_eq!(news.len(), usize::from(beginning == 0), "only the first has anything to tell");
        let trap = ended[beginning % 2];
        if !trap.is_empty() {
            router.reply(&listen, trap).await;
        }
        router.reply(&listen, &["!done"]).await;
    }
    let error = follow.next().await.unwrap_err();
    assert_eq!(error.to_string(), "unexpected reply from /ppp/active: its listen ends again and again");
    assert!(!error.is_connection_lost());
}

#[tokio::test(start_paused = true)]
async fn a_menu_that_cannot_be_listened_to_says_so_and_is_not_asked_again_by_itself() {
    let (client, mut router) = connected(&options()).await;
    let mut follow = follow();
    assert!(matches!(follow.next().await, Err(Error::Closed { .. })), "not resumed yet");
    follow.resume(client);
    let script = async {
        let listen = router.expect(LISTEN).await;
        let print = router.expect(PRINT).await;
        router.reply(&listen, &["!trap", "=message=no such command"]).await;
        router.reply(&listen, &["!done"]).await;
        let cancel = router.receive().await;
        assert_eq!(cancel.first().unwrap(), "/cancel");
        router.reply(&print, &["!done"]).await;
        router.reply(&cancel.tag().unwrap(), &["!done"]).await;
        assert!(router.hears_nothing().await);
    };
    let (error, ()) = tokio::join!(follow.next(), script);
    assert_eq!(error.unwrap_err().trap_kind(), Some(TrapKind::NoSuchCommand));
}

#[tokio::test(start_paused = true)]
async fn next_may_be_dropped_at_any_time_without_losing_news() {
    let (client, mut router) = connected(&options()).await;
    let mut follow = follow();
    follow.resume(client);
    let script = tokio::spawn(async move {
        let listen = router.expect(LISTEN).await;
        let print = router.expect(PRINT).await;
        for number in 0..20 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            send_rows(&mut router, &print, &[&format!("*{number} a{number} 10.0.0.1")]).await;
        }
        router.reply(&print, &["!done"]).await;
        for number in 20..40 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            send_rows(&mut router, &listen, &[&format!("*{number} a{number} 10.0.0.1")]).await;
        }
        router
    });
    let mut news = 0;
    while news < 41 {
        if let Ok(next) = tokio::time::timeout(Duration::from_millis(1), follow.next()).await {
            next.unwrap();
            news += 1;
        }
    }
    assert_eq!(follow.rows().count(), 40);
    drop(script.await.unwrap());
}
