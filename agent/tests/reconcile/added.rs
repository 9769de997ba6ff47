//! `tawi-agent router add` as a technician runs it, with a router beside it into whose console the script is pasted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tawi_agent::config::{Config, Environment, RouterTransport};
use tawi_agent::doctor::pin_of;
use tawi_shared::IdSource;
use tokio::time::{sleep, timeout};

use crate::prepared::{admin, foreign_site};

const PATIENCE: Duration = Duration::from_secs(60);

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tawi-added-{}", IdSource::system().hex(6)));
        std::fs::create_dir_all(&path).unwrap();
        let settings = format!(
            "site = \"nyeri-01\"\nstate_directory = \"{}\"\n[controller]\naddresses = [\"isp.example\"]\n",
            path.join("state").display()
        );
        std::fs::write(path.join("agent.toml"), settings).unwrap();
        Self(path)
    }

    fn command(&self, port: u16, more: &[&str]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_tawi-agent")));
        command.args(["router", "add", "core", "127.0.0.1", "--port", &port.to_string()]).args(more);
        command.arg("--config").arg(self.0.join("agent.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(name)).ok()
    }

    /// Waits until the file is there.
    async fn holds(&self, name: &str) -> String {
        let waiting = async {
            loop {
                if let Some(text) = self.text(name) {
                    return text;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn ended(running: std::process::Child) -> (Option<i32>, String) {
    let waiting = tokio::task::spawn_blocking(move || running.wait_with_output().unwrap());
    let Output { status, stdout, stderr } = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_and_a_paste_and_the_settings_name_a_router_that_was_proven() {
    let (directory, site) = (Directory::new(), foreign_site("7.18").await);
    let port = site.sim.tls_address().unwrap().port();
    std::fs::write(directory.0.join("routers.toml"), "# our routers\n").unwrap();
    let script = directory.0.join("core.rsc");
    let options = ["--release", "7.18", "--pppoe", "ether4", "--output", script.to_str().unwrap()];
    let running = directory.command(port, &options).spawn().unwrap();
    let script = directory.holds("core.rsc").await;
    assert_eq!(
        directory.text("routers.toml").unwrap(),
        "# our routers\n",
        "nothing is settings before it is proven"
    );
    let mut console = admin(&site).await;
    console.paste(&script).await;
    let (code, said) = ended(running).await;
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
    let password = directory.text("core.password").unwrap();
    assert!(said.contains("not yet: ") && said.contains("logged in as tawi"), "{said}");
    assert!(!said.contains(password.trim()), "{said}");

    let pin = pin_of(&format!("127.0.0.1:{port}")).await.unwrap();
    assert!(
        console.printed.iter().any(|line| line.contains(&pin.to_string())) && said.contains(&pin.to_string())
    );
    let routers = directory.text("routers.toml").unwrap();
    assert!(routers.starts_with("# our routers\n\n[[router]]\nname = \"core\"\n"), "{routers}");
    assert!(!routers.contains(password.trim()), "{routers}");
    let mode = std::fs::metadata(directory.0.join("routers.toml")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    let config = Config::load(&directory.0.join("agent.toml"), &Environment::default()).unwrap();
    let router = &config.routers[0];
    assert_eq!((router.host.as_str(), router.port, router.user.as_str()), ("127.0.0.1", port, "tawi"));
    assert_eq!(router.transport, RouterTransport::PinnedTls { fingerprint: pin });
    assert_eq!(router.password.reveal(), password.trim());

    // A second time it is refused, and with --again the router itself tells its release.
    let (code, said) = ended(directory.command(port, &[]).spawn().unwrap()).await;
    assert!(code == Some(2) && said.contains("--again"), "{said}");
    let (code, said) =
        ended(directory.command(port, &["--again", "--pppoe", "ether4"]).spawn().unwrap()).await;
    assert!(matches!(code, Some(0 | 1)) && said.contains("lets the agent in"), "{said}");
    assert_eq!(directory.text("routers.toml").unwrap(), routers);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_wait_for_the_end_goes_on_with_the_same_command() {
    let (directory, site) = (Directory::new(), foreign_site("7.18").await);
    let port = site.sim.tls_address().unwrap().port();
    let (code, said) = ended(directory.command(port, &[]).spawn().unwrap()).await;
    assert!(code == Some(69) && said.contains("has no password") && said.contains("--release"), "{said}");
    let (code, script) =
        ended(directory.command(port, &["--release", "7.18", "--no-wait"]).spawn().unwrap()).await;
    assert!(code == Some(0) && script.contains("/user add name=tawi "), "{script}");
    let password = directory.text("core.password").unwrap();

    let file = directory.0.join("core.rsc");
    let options = ["--release", "7.18", "--output", file.to_str().unwrap()];
    let running = directory.command(port, &options).spawn().unwrap();
    directory.holds("core.rsc").await;
    // The handler is set up right after the script is written.
    sleep(Duration::from_millis(500)).await;
    let killed = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let (code, said) = ended(running).await;
    assert!(code == Some(130) && said.contains("the same command again"), "{code:?} {said}");
    assert!(directory.text("routers.toml").is_none());
    assert_eq!(directory.text("core.password").unwrap(), password);

    // A router that has the script lets the agent in, and tells its release itself.
    admin(&site).await.paste(&directory.text("core.rsc").unwrap()).await;
    let (code, said) = ended(directory.command(port, &[]).spawn().unwrap()).await;
    assert!(matches!(code, Some(0 | 1)) && said.contains("lets the agent in"), "{code:?} {said}");
    assert!(directory.text("routers.toml").unwrap().contains("name = \"core\""));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_with_where_a_port_goes() {
    let directory = Directory::new();
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_tawi-agent")));
    command.args(["router", "add", "core", "300.1.1.1"]).arg("--config").arg(directory.0.join("agent.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, said) = ended(command.spawn().unwrap()).await;
    assert!(code == Some(2) && said.contains("--port") && !said.contains("routers.toml"), "{said}");
}
