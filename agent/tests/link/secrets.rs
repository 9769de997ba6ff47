//! Secrets that a site holds, each planted in its place and different from all others: none of them is in anything that the
//! agent's program says to head office, in its log at debug, in its files for others, or in what its commands print.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use routeros_sim::{Settings, Simulator};

use super::hard_lines::start_proxy;
use super::*;

/// Of a router in agent.toml, of one in routers.toml, of one in a file of its own, and of one that refuses it.
const INLINE: &str = "planted-inline-4711";
const BESIDE: &str = "planted-beside-4712";
const IN_FILE: &str = "planted-in-file-4713";
const REFUSED: &str = "planted-refused-4714";
/// Of the proxy: what `start_proxy` wants.
const PROXY: (&str, &str) = ("tawi", "open");
/// Of lines, in the desired state.
const OF_LINE: &str = "planted-of-line-4715";
const OF_OTHER_LINE: &str = "planted-of-other-4716";

/// The program, ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

async fn router(password: &str) -> Simulator {
    let settings = Settings { user: "tawi".into(), password: password.into(), ..Settings::default() };
    Simulator::start(settings).await.unwrap()
}

/// All files below a directory that hold what the agent writes for others to read: its log, and its log of the API.
fn texts_below(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        // The store has the state itself, in a directory that only the agent's user may open.
        match path.file_name().and_then(|name| name.to_str()) {
            Some("store" | "run") => {}
            _ if path.is_dir() => found.extend(texts_below(&path)),
            _ if path.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
            }
            _ => {}
        }
    }
    found
}

fn printed(arguments: &[&str], config: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tawi-agent"));
    let output = command.args(arguments).arg("--config").arg(config).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A message as text: what it holds of bytes too.
fn text_of(message: &UpMessage) -> String {
    match message {
        UpMessage::Answer(answer) => String::from_utf8_lossy(&answer.bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_site_leaves_it_or_is_logged() {
    let directory = Directory::new("secrets");
    let (inline, beside, in_file, refusing) =
        (router(INLINE).await, router(BESIDE).await, router(IN_FILE).await, router("another").await);
    let mut tasks = JoinSet::new();
    let (proxy, _requests) = start_proxy(&mut tasks).await;
    let mut office = Office::start(SITE).await;
    office.keys.put_bundle(&directory.0, SITE);
    put(&directory.0, "proxy.credentials", &format!("{}:{}\n", PROXY.0, PROXY.1));
    put(&directory.0, "core.password", &format!("{IN_FILE}\n"));
    let of = |name: &str, sim: &Simulator, secret: &str| {
        let address = sim.api_address();
        format!(
            "[[router]]\nname = \"{name}\"\naddress = \"{address}\"\ntransport = \"plain\"\nuser = \"tawi\"\n{secret}\n"
        )
    };
    let state = directory.0.join("state");
    let settings = format!(
        "site = \"{SITE}\"\nstate_directory = \"{}\"\n[controller]\naddresses = [\"localhost:{}\"]\n\
         reconnect_base_ms = 10\nkilobytes_an_hour = 0\nproxy = \"http://localhost:{proxy}\"\n\
         proxy_credentials_file = \"proxy.credentials\"\n[log]\nlevel = \"debug\"\n{}{}",
        state.display(),
        office.port,
        of("inline", &inline, &format!("password = \"{INLINE}\"")),
        of("refusing", &refusing, &format!("password = \"{REFUSED}\"")),
    );
    let config = put(&directory.0, "agent.toml", &settings);
    let routers = of("beside", &beside, &format!("password = \"{BESIDE}\""))
        + &of("core", &in_file, "password_file = \"core.password\"");
    put(&directory.0, "routers.toml", &routers);
    let log = std::fs::File::create(directory.0.join("agent.log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tawi-agent"));
    command.args(["run", "--config"]).arg(&config).env_remove("RUNTIME_DIRECTORY");
    let _program = Program(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());

    let mut heard = String::new();
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    office.say_cursor(Lane::Log, epoch, 0).await;
    let lines = [
        LineV1 { password: OF_LINE.into(), ..line("a", i64::MAX) },
        LineV1 { password: OF_OTHER_LINE.into(), router: "inline".into(), ..line("b", i64::MAX) },
    ];
    office.say_delta(&delta(0, 1, &lines, &lines)).await;
    for (id, kind, argument) in [
        ("look", CommandKind::Doctor, ""),
        ("watch", CommandKind::Watch, "1"),
        ("gather", CommandKind::Diagnostics, ""),
    ] {
        let command = CommandV1 {
            id: id.into(),
            kind: kind.code(),
            not_after_ms: i64::MAX,
            router: String::new(),
            line: String::new(),
            argument: argument.into(),
            service: 0,
        };
        office.say(Down::Command, &command).await;
        let end = office.hear_until(|(_, _, message)| {
            heard += &text_of(message);
            heard.push('\n');
            match message {
                UpMessage::CommandResult(result)
                    if result.id == id && result.status != CommandStatus::Executing.code() =>
                {
                    Some(result.clone())
                }
                _ => None,
            }
        });
        let end = end.await;
        assert_eq!(end.status, CommandStatus::Succeeded.code(), "{end:?}");
    }
    let mut told: Vec<(PathBuf, String)> = vec![("what head office hears".into(), heard)];
    for arguments in [["status", "--json"], ["doctor", "--json"], ["log", "--json"]] {
        told.push((arguments.join(" ").into(), printed(&arguments, &config)));
    }
    told.extend(texts_below(&state));
    let log = directory.0.join("agent.log");
    told.push((log.clone(), std::fs::read_to_string(&log).unwrap()));
    // What is searched is really there.
    let (_, heard) = &told[0];
    assert!(heard.contains("\"router refusing\"") && heard.contains("\"settings\""), "{heard}");
    assert!(told.last().unwrap().1.contains("DEBUG"), "the log is at debug");

    let key = std::fs::read_to_string(directory.0.join("agent.key")).unwrap();
    let proxy = format!("{}:{}", PROXY.0, PROXY.1);
    // As it travels to the proxy, RFC 7617.
    let mut hidden = vec![INLINE, BESIDE, IN_FILE, REFUSED, OF_LINE, OF_OTHER_LINE, &proxy, "dGF3aTpvcGVu"];
    hidden.push("PRIVATE KEY");
    hidden.extend(key.lines().filter(|line| !line.starts_with("-----") && line.len() > 20));
    for (place, text) in &told {
        for secret in &hidden {
            let short: String = secret.chars().take(8).collect();
            assert!(!text.contains(secret), "{short}… is in {}", place.display());
        }
    }
    for sim in [inline, beside, in_file, refusing] {
        sim.stop().await;
    }
}

/// A password that somebody puts into an address is refused, and not shown while that is said.
#[test]
fn a_password_in_an_address_is_refused_and_not_shown() {
    let directory = Directory::new("secrets");
    let text = format!(
        "site = \"{SITE}\"\n[controller]\naddresses = [\"isp.example\"]\nproxy = \"http://tawi:planted-4717@proxy:3128\"\n"
    );
    let config = put(&directory.0, "agent.toml", &text);
    for arguments in [["doctor", "--json"], ["status", "--json"]] {
        let said = printed(&arguments, &config);
        assert!(said.contains("proxy_credentials_file") && !said.contains("planted-4717"), "{said}");
    }
}
