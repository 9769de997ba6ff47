//! A site whose identity is damaged: it is served all the same, says so, and comes back with a new ticket.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::time::{sleep, timeout};

use crate::command::run;
use crate::office::{Directory, Office, PATIENCE, SITE};

/// A running agent, ended with the test.
struct Running(Child);

impl Running {
    /// Starts it and waits until it answers; what `status` says then.
    async fn start(config: &Path) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tawi-agent"));
        command.arg("run").arg("--config").arg(config).env_remove("RUNTIME_DIRECTORY");
        let log = std::fs::File::create(config.with_file_name("log")).unwrap();
        let running = Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let said = says(config, "site        nyeri-01").await;
        (running, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `status` says once it says this.
async fn says(config: &Path, words: &str) -> String {
    let asking = async {
        loop {
            let (_, said) = run(&["status"], config, "").await;
            if said.contains(words) {
                return said;
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let log = || std::fs::read_to_string(config.with_file_name("log")).unwrap_or_default();
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{words} is not said: {}", log()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_with_a_damaged_identity_is_served_and_says_what_helps() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 1).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    let (running, _) = Running::start(&path).await;
    office.connects(1).await;
    drop(running);
    let identity = directory.state().join("identity");
    for name in ["identity.toml", "agent.key", "agent.pem", "ca.pem"] {
        let file = identity.join(name);
        let (whole, rights) =
            (std::fs::read(&file).unwrap(), std::fs::metadata(&file).unwrap().permissions());
        let half = whole.get(..whole.len() / 2).unwrap();
        for damaged in [Some(&b""[..]), Some(half), Some(b"\0\xff garbage"), None] {
            match damaged {
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            let (_running, _) = Running::start(&path).await;
            let said = says(&path, "nothing proves this site there").await;
            for words in [name, "PROBLEM", "tawi-controller site renew nyeri-01", "sudo tawi-agent enrol"] {
                assert!(said.contains(words), "{name} {damaged:?}: {words}: {said}");
            }
            let (code, found) = run(&["doctor"], &path, "").await;
            assert_eq!(code, Some(1), "{found}");
            for words in ["BAD ", name, "cure: at head office: tawi-controller site renew nyeri-01"] {
                assert!(found.contains(words), "{name} {damaged:?}: {words}: {found}");
            }
            assert!(!found.contains("explains every key"), "{found}");
            let log = std::fs::read_to_string(path.with_file_name("log")).unwrap();
            assert!(log.contains("ERROR") && log.contains("is served without head office"), "{log}");
        }
        std::fs::write(&file, whole).unwrap();
        std::fs::set_permissions(&file, rights).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_ends_it_without_a_restart_and_another_sites_does_not() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 1).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    let (running, _) = Running::start(&path).await;
    office.connects(1).await;
    drop(running);
    for file in ["identity.toml", "agent.key"] {
        std::fs::write(directory.state().join("identity").join(file), "").unwrap();
    }
    let (_running, _) = Running::start(&path).await;
    says(&path, "nothing proves this site there").await;
    let (code, said) = run(&["enrol"], &path, &office.ticket("thika-02", 2).to_text()).await;
    assert!(code == Some(1) && said.contains("this device is nyeri-01"), "{said}");
    let before = office.connected().len();
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 3).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    office.connects(before + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_owner_is_unreadable_keeps_nobody_from_being_served() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let path = directory.settings("");
    let (code, said) = run(&["enrol"], &path, &office.ticket(SITE, 1).to_text()).await;
    assert_eq!(code, Some(0), "{said}");
    for damaged in ["", "garbage", "\u{0}\u{0}\n"] {
        std::fs::write(directory.state().join("site"), damaged).unwrap();
        let (_running, _) = Running::start(&path).await;
        let log = std::fs::read_to_string(path.with_file_name("log")).unwrap();
        assert!(log.contains("it is damaged") && log.contains("| sudo tee "), "{log}");
    }
}
