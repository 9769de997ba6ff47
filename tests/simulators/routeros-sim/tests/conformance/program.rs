//! The program: its ready line, its help, and its end on a signal.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::client::{Client, DEADLINE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_routeros-sim");

#[tokio::test]
async fn it_says_where_it_listens_serves_and_ends_on_a_signal() {
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
        .args(["--password", "w", "--secrets", "2", "--release", "7.9"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let words: Vec<&str> = ready.split(' ').collect();
    let names: Vec<&str> = words.iter().map(|word| word.split('=').next().unwrap()).collect();
    assert_eq!(names, ["ready", "api", "tls", "tls_pin", "control"]);
    assert_eq!(words[3].len(), "tls_pin=".len() + 64);
    let address = words[1].strip_prefix("api=").unwrap().parse().unwrap();
    let mut client = Client::connect(address).await;
    client.log_in().await;
    client.check("/ppp/secret/print =count-only=", &["!done =ret=2"]).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = tokio::time::timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_wrong_argument_is_refused_with_the_cure() {
    for (arguments, cure) in [
        (["--release", "cheese"], "write it like 7.18"),
        (["--release", "5.26"], "older than 6.43"),
        (["--listen", "here"], "invalid socket address"),
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(cure), "{said}");
    }
}
