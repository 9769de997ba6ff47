//! `tawi-agent enrol` as a technician runs it: what it keeps, what it says, and with which exit code it ends.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tawi_agent::config::{Config, Environment, Identity};
use tawi_agent::enrol::key::AgentKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::office::{Directory, Office, PATIENCE, SITE, Way};

/// The exit code, and everything that was said.
pub async fn run(arguments: &[&str], config: &Path, input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_tawi-agent")));
    command.args(arguments).arg("--config").arg(config);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Whoever is refused before it reads does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let Output { status, stdout, stderr } =
        timeout(PATIENCE, running).await.expect("it does not end").unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), said)
}

fn key_in(directory: &Directory) -> Vec<u8> {
    let pem = std::fs::read(directory.state().join("identity/agent.key")).unwrap();
    AgentKey::from_pem(&pem).unwrap().public_key()
}

/// Every file below, however deep.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_from_a_pipe_makes_this_device_the_site() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (code, said) = run(&["doctor"], &path, "").await;
    assert!(code == Some(78) && said.contains("sudo tawi-agent enrol"), "{said}");

    let ticket = office.ticket(SITE, 1);
    let text = ticket.to_text();
    let (code, said) = run(&["enrol"], &path, &format!("{text}\n")).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("tawi-agent router add") && said.contains("enable --now tawi-agent"), "{said}");
    assert!(!said.contains(&ticket.token.to_text()) && !said.contains(&text), "{said}");
    let config = Config::load(&path, &Environment::default()).unwrap();
    assert!(config.is_enrolled() && config.site.as_str() == SITE);
    let mode =
        |name: &str| std::fs::metadata(directory.state().join(name)).unwrap().permissions().mode() & 0o777;
    let modes = ["identity/agent.key", "identity/agent.pem", "identity", ""].map(mode);
    assert_eq!(modes, [0o600, 0o600, 0o700, 0o700]);
    let token = ticket.token.to_text();
    for file in files_below(&directory.0) {
        let holds = |secret: &str| {
            std::fs::read(&file).unwrap().windows(secret.len()).any(|window| window == secret.as_bytes())
        };
        assert!(!holds(&token) && !holds(&text), "the token is in {}", file.display());
    }

    // Once more, by whoever did not see how it ended: the same key, the same certificate.
    let key = key_in(&directory);
    let (code, said) = run(&["enrol"], &path, &text).await;
    assert_eq!((code, key_in(&directory)), (Some(0), key), "{said}");
    let (_, said) = run(&["doctor"], &path, "").await;
    assert!(said.contains("it is good for 363 days more; the running agent renews it"), "{said}");
    assert!(said.contains("is reached, and its certificate is right"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_costs_nothing_but_the_command_again() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let text = office.ticket(SITE, 1).to_text();
    office.answers(Way::Lost);
    let (code, said) = run(&["enrol"], &path, &text).await;
    assert!(code == Some(69) && said.contains("with the same ticket"), "{said}");
    assert!(Identity::load(&directory.state()).unwrap().is_none());
    office.answers(Way::Right);
    let (code, said) = run(&["enrol"], &path, &text).await;
    assert_eq!(code, Some(0), "{said}");
    let heard = office.heard();
    assert_eq!(heard[0].public_key(), heard[1].public_key());
    assert_eq!(key_in(&directory), heard[1].public_key());
    assert!(!directory.state().join("agent.key.new").exists());

    // Another ticket keeps the key that works; who wants a new one says so.
    let (code, _) = run(&["enrol"], &path, &office.ticket(SITE, 2).to_text()).await;
    assert_eq!((code, key_in(&directory)), (Some(0), heard[1].public_key()));
    let (code, _) = run(&["enrol", "--new-key"], &path, &office.ticket(SITE, 3).to_text()).await;
    assert!(code == Some(0) && key_in(&directory) != heard[1].public_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_ticket_is_gone_once_it_is_used_up_and_not_before() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (file, kept) = (directory.0.join("nyeri-01.ticket"), directory.0.join("carried.ticket"));
    let ticket = office.ticket(SITE, 1).to_text();
    let text = format!("# For site nyeri-01.\n#   sudo tawi-agent enrol --file this\n\n{ticket}\n");
    std::fs::write(&kept, text).unwrap();
    // What is named leads to the file, and the file has another name besides.
    std::os::unix::fs::symlink(&kept, &file).unwrap();
    let other_name = directory.0.join("other");
    std::fs::hard_link(&kept, &other_name).unwrap();
    let arguments = ["enrol", "--file", file.to_str().unwrap()];
    office.answers(Way::Refused(403, "unknown_token"));
    let (code, said) = run(&arguments, &path, "").await;
    assert!(code == Some(1) && said.contains("unknown_token") && said.contains("cure: "), "{said}");
    assert!(file.exists());
    office.answers(Way::Right);
    let (code, said) = run(&arguments, &path, "").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!kept.exists() && file.symlink_metadata().is_err(), "the file and what leads to it");
    let left = std::fs::read_to_string(&other_name).unwrap();
    assert!(!left.contains(&ticket) && left.bytes().all(|byte| byte == b'0'), "it is overwritten: {left}");
    let (code, said) = run(&arguments, &path, "").await;
    assert!(code == Some(2) && said.contains("cure: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_names_is_read_and_stays() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let ticket = office.ticket(SITE, 1).to_text();
    let (code, said) = run(&["enrol", "--file", "/dev/stdin"], &path, &ticket).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(std::path::Path::new("/dev/stdin").symlink_metadata().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_another_site_becomes_this_one_only_when_somebody_says_so() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 1).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    let identity = directory.state().join("identity/identity.toml");
    let text = std::fs::read_to_string(&identity).unwrap().replace(SITE, "thika-02");
    std::fs::write(&identity, text).unwrap();
    std::fs::create_dir(directory.state().join("store")).unwrap();
    let key = key_in(&directory);

    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 2).to_text()).await;
    assert!(code == Some(1) && said.contains("thika-02") && said.contains("--replace"), "{said}");
    assert_eq!((office.heard().len(), key_in(&directory)), (1, key.clone()), "the ticket is still good");
    let (code, said) = run(&["enrol", "--replace"], &path, &office.ticket(SITE, 2).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(key_in(&directory), key, "the key of one site is not that of another");
    assert!(
        !directory.state().join("store").exists() && directory.state().join("store.of-thika-02").exists()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_of_a_site_is_there_for_good_however_often_the_device_was_it() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let (path, state) = (directory.settings(""), directory.state());
    for round in 1..=3 {
        std::fs::create_dir_all(state.join("identity")).unwrap();
        std::fs::write(state.join("identity/identity.toml"), "site = \"thika-02\"\n").unwrap();
        std::fs::create_dir(state.join("store")).unwrap();
        std::fs::write(state.join("store/untold"), round.to_string()).unwrap();
        let text = office.ticket(SITE, round).to_text();
        let (code, said) = run(&["enrol", "--replace"], &path, &text).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!state.join("store").exists());
    }
    for (name, round) in
        [("store.of-thika-02", "1"), ("store.of-thika-02-2", "2"), ("store.of-thika-02-3", "3")]
    {
        assert_eq!(std::fs::read_to_string(state.join(name).join("untold")).unwrap(), round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_stays_its_sites_also_where_the_identity_is_damaged_or_gone() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let (path, state) = (directory.settings(""), directory.state());
    for (round, identity) in [(1, Some("damaged")), (2, None), (3, Some("site = \"nyeri-01\""))] {
        let _ = std::fs::remove_dir_all(state.join("identity"));
        std::fs::create_dir_all(state.join("store")).unwrap();
        std::fs::write(state.join("site"), "thika-02\n").unwrap();
        if let Some(text) = identity {
            std::fs::create_dir_all(state.join("identity")).unwrap();
            std::fs::write(state.join("identity/identity.toml"), text).unwrap();
        }
        let text = office.ticket(SITE, round).to_text();
        let (code, said) = run(&["enrol"], &path, &text).await;
        assert!(code == Some(1) && said.contains("thika-02") && said.contains("--replace"), "{said}");
        assert_eq!(office.heard().len(), usize::from(round) - 1, "the ticket is still good");
        let (code, said) = run(&["enrol", "--replace"], &path, &text).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!state.join("store").exists() && !state.join("site").exists());
    }
    assert!(state.join("store.of-thika-02-3").exists());

    // What is this site's own is left alone, whatever the identity was.
    std::fs::create_dir(state.join("store")).unwrap();
    std::fs::write(state.join("site"), "nyeri-01\n").unwrap();
    std::fs::write(state.join("identity/identity.toml"), "site = \"thika-02\"").unwrap();
    let (code, said) = run(&["enrol", "--replace"], &path, &office.ticket(SITE, 4).to_text()).await;
    assert!(code == Some(0) && state.join("store").exists() && state.join("site").exists(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_start_on_the_store_of_another_site() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let (path, state) = (directory.settings(""), directory.state());
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 1).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    std::fs::write(state.join("site"), "thika-02\n").unwrap();
    let (code, said) = run(&["run"], &path, "").await;
    assert!(code == Some(78) && said.contains("thika-02") && said.contains("cure: "), "{said}");
    assert!(!state.join("store").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_cure_and_spends_no_ticket() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let text = office.ticket(SITE, 1).to_text();
    let check = async |arguments: &[&str], input: &str, code: i32, says: &str| {
        let (found, said) = run(arguments, &path, input).await;
        assert!(found == Some(code) && said.contains(says), "{found:?}: {said}");
    };
    check(&["enrol"], "", 2, "no ticket was given").await;
    check(&["enrol"], "hello", 2, "a ticket begins with tawi1.").await;
    check(&["enrol"], text.get(..60).unwrap(), 2, "copy the whole line").await;
    check(&["enrol", "--file", "/nowhere/at-all"], "", 2, "cure: ").await;
    check(&["enrol", &text], "", 2, "unexpected argument").await;
    let stranger = Office::start().await;
    let mut ticket = office.ticket(SITE, 1);
    ticket.addresses = stranger.ticket(SITE, 1).addresses;
    check(&["enrol"], &ticket.to_text(), 69, "was told nothing").await;
    directory.settings("site = \"thika-02\"\n");
    check(&["enrol"], &text, 78, "take site out of agent.toml").await;
    // Certificates of a person's, named or beside the settings: they would win over what the ticket brings.
    let cure = "take ca_file, certificate_file and key_file out of agent.toml, or move agent.pem";
    for key in ["ca_file", "certificate_file", "key_file"] {
        directory.settings(&format!("[controller]\n{key} = \"own.pem\"\n"));
        check(&["enrol"], &text, 78, cure).await;
    }
    directory.settings("");
    for name in ["agent.pem", "agent.key"] {
        std::fs::write(directory.0.join(name), "a person's").unwrap();
        check(&["enrol"], &text, 78, cure).await;
        std::fs::remove_file(directory.0.join(name)).unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    check(&["enrol"], &text, 78, "cure: ").await;
    assert!(office.heard().is_empty() && stranger.heard().is_empty());
}

/// A web server, such as that of head office's pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_not_the_agents_is_told_as_such_and_once() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            // Until whoever came has gone.
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    });
    let mut ticket = office.ticket(SITE, 1);
    ticket.addresses = vec![format!("localhost:{port}")];
    let (code, said) = run(&["enrol"], &path, &ticket.to_text()).await;
    assert_eq!(code, Some(69), "{said}");
    assert_eq!(said.matches("does not speak TLS").count(), 1, "{said}");
    assert!(said.contains("not the port for agents") && said.contains("advertised_address"), "{said}");
    assert!(!said.contains("InvalidContentType") && !said.contains("ping"), "{said}");
    // With another behind it the first one is told of, and that one asked.
    ticket.addresses.extend(office.ticket(SITE, 1).addresses);
    let (code, said) = run(&["enrol"], &path, &ticket.to_text()).await;
    assert!(code == Some(0) && said.matches("does not speak TLS").count() == 1, "{said}");
}
