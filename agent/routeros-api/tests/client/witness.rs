//! Whoever wants to hear of writes hears of each, once, with what became of it.

use std::sync::{Arc, Mutex};

use crate::scripted_router::{connected, options};
use routeros_api::{Command, Fate, Options, Witness};

fn add(name: &str) -> Command {
    Command::new("/ppp/secret/add").attribute("name", name).about(name)
}

#[tokio::test(start_paused = true)]
async fn each_write_is_witnessed_once_and_reads_are_not() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let ear = Arc::clone(&heard);
    let witness = Witness::new(move |command, fate| {
        let fate = match fate {
            Fate::Done => "done".to_owned(),
            Fate::Refused(error) => error.to_string(),
            Fate::Unknown => "unknown".to_owned(),
        };
        ear.lock().unwrap().push(format!("{}: {fate}", command.subject().unwrap_or_default()));
    });
    let (client, mut router) = connected(&Options { witness: Some(witness), ..options() }).await;
    let run = |command: Command| {
        let client = client.clone();
        tokio::spawn(async move { client.run(command).await })
    };
    let read = run(Command::new("/ppp/secret/print").about("read"));
    let tag = router.expect(&["/ppp/secret/print"]).await;
    router.reply(&tag, &["!done"]).await;
    read.await.unwrap().unwrap();
    let done = run(add("a"));
    let tag = router.expect(&["/ppp/secret/add", "=name=a"]).await;
    router.reply(&tag, &["!done", "=ret=*1"]).await;
    done.await.unwrap().unwrap();
    assert!(router.hears_nothing().await);
    let refused = run(add("b"));
    let tag = router.expect(&["/ppp/secret/add", "=name=b"]).await;
    router.reply(&tag, &["!trap", "=message=no"]).await;
    router.reply(&tag, &["!done"]).await;
    refused.await.unwrap().unwrap_err();
    let dropped = run(add("c"));
    router.expect(&["/ppp/secret/add", "=name=c"]).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let lost = run(add("d"));
    router.receive().await;
    router.receive().await;
    router.hang_up().await;
    lost.await.unwrap().unwrap_err();
    client.run(add("never sent")).await.unwrap_err();
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard, ["a: done", "b: the router refused the command: no", "c: unknown", "d: unknown"]);
}
