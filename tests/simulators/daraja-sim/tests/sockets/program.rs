//! The program as a person starts it: the ready line, the defaults, the end, the exit codes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use reqwest::Client;

use crate::merchant::{DEADLINE, send};

const PROGRAM: &str = env!("CARGO_BIN_EXE_daraja-sim");

/// A program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended already, which is how most tests leave it.
        let _ = self.0.kill();
    }
}

fn start(arguments: &[&str]) -> (Running, String) {
    let mut child = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim_end().to_owned())
}

#[tokio::test]
async fn the_ready_line_names_both_ports_and_sigterm_ends_it_well() {
    let (mut running, line) = start(&["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    let urls: Vec<_> = line.strip_prefix("ready ").unwrap().split(' ').collect();
    let daraja = urls[0].strip_prefix("daraja=").unwrap();
    let control = urls[1].strip_prefix("control=").unwrap();
    let client = Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
    let oauth = client.get(format!("{daraja}/oauth/v1/generate?grant_type=client_credentials"));
    assert_eq!(send(oauth.basic_auth("demo-key", Some("demo-secret"))).await.0, 200);
    let (status, state) = send(client.get(format!("{control}/state"))).await;
    assert_eq!((status, &state["tokens_issued"]), (200, &serde_json::json!(1)));
    let killed = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn a_secret_file_that_cannot_be_used_exits_78_and_is_named() {
    let output = Command::new(PROGRAM).args(["--passkey-file", "/nonexistent/passkey"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/passkey"));
}

#[test]
fn a_wrong_command_line_exits_2_and_help_has_examples() {
    let wrong = Command::new(PROGRAM).args(["--short-code", "12"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("Examples:"));
}

#[test]
fn a_port_that_is_taken_exits_1_and_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child = Command::new(PROGRAM)
        .args(["--listen", &address, "--control", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains(&address), "{text}");
}
