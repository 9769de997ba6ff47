//! The program itself, as a technician and systemd know it: exit codes, status, doctor, signals, memory.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use tawi_shared::state_hash::StateHash;
use tawi_shared::topics::Down;
use tawi_shared::wire::{ProfileV1, StateSnapshotV1, UpMessage};
use tokio::time::timeout;

use crate::office::{Directory, Office, PATIENCE};
use crate::{SITE, delta, line};

/// What the architecture promises of a release build with 500 lines, in bytes.
const MEMORY_BYTES: u64 = 10 * 1024 * 1024;

fn program(arguments: &[&str], config: &Path) -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_tawi-agent")), arguments, config)
}

fn program_at(file: &Path, arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(file);
    command.args(arguments).arg("--config").arg(config).env_remove("RUNTIME_DIRECTORY");
    command
}

async fn output(arguments: &[&str], config: &Path) -> (Option<i32>, String, String) {
    let mut command = program(arguments, config);
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output { status, stdout, stderr } =
        timeout(PATIENCE, running).await.expect("it does not end").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A bundle of the office in a directory, with these lines appended to its settings.
fn bundle(office: &Office, directory: &Path, more: &str) -> PathBuf {
    office.keys.put_bundle(directory, SITE);
    let path = directory.join("agent.toml");
    let text = format!(
        "site = \"{SITE}\"\nstate_directory = \"{}\"\n[controller]\naddresses = [\"localhost:{}\"]\nreconnect_base_ms = 10\n{more}",
        directory.join("state").display(),
        office.port,
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// A running agent, ended with the test.
struct Running(Child);

impl Running {
    /// Starts it and waits until it says that it is ready.
    async fn start(config: &Path) -> (Self, UnixDatagram) {
        Self::start_as(Path::new(env!("CARGO_BIN_EXE_tawi-agent")), config).await
    }

    async fn start_as(file: &Path, config: &Path) -> (Self, UnixDatagram) {
        let socket = config.with_file_name("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let notices = UnixDatagram::bind(&socket).unwrap();
        notices.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = program_at(file, &["run"], config)
            .env("NOTIFY_SOCKET", &socket)
            .stderr(std::fs::File::create(config.with_file_name("log")).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let running = Self(child);
        let first = notice(&notices);
        assert_eq!(first, "READY=1\n", "{}", log(config));
        (running, notices)
    }

    fn terminate(&self) {
        let killed = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(killed.success());
    }

    async fn ended(mut self) -> ExitStatus {
        let waiting = tokio::task::spawn_blocking(move || self.0.wait().unwrap());
        timeout(PATIENCE, waiting).await.expect("it does not end").unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A variable of a running program's environment.
fn variable(running: &Running, name: &str) -> Option<String> {
    let all = std::fs::read(format!("/proc/{}/environ", running.0.id())).unwrap();
    let all = String::from_utf8(all).unwrap();
    all.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

fn notice(notices: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = notices.recv(&mut buffer).expect("it tells systemd nothing");
    String::from_utf8_lossy(buffer.get(..length).unwrap()).into_owned()
}

fn log(config: &Path) -> String {
    std::fs::read_to_string(config.with_file_name("log")).unwrap_or_default()
}

async fn status(config: &Path) -> serde_json::Value {
    let (_, text, problem) = output(&["status", "--json"], config).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{problem}{}", log(config)))
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_examples_and_exit_codes() {
    let directory = Directory::new("program");
    let (code, text, _) = output(&["--help"], &directory.0.join("agent.toml")).await;
    assert_eq!(code, Some(0));
    for word in ["Examples:", "tawi-agent doctor", "Exit codes:", "78"] {
        assert!(text.contains(word), "{text}");
    }
    let commands: [&[&str]; 12] = [
        &["run"],
        &["enrol"],
        &["status"],
        &["doctor"],
        &["pin"],
        &["adopt"],
        &["rebuild"],
        &["log"],
        &["router"],
        &["router", "add"],
        &["router-script"],
        &["release"],
    ];
    for command in commands {
        let arguments: Vec<_> = command.iter().copied().chain(["--help"]).collect();
        let (code, text, _) = output(&arguments, &directory.0.join("agent.toml")).await;
        assert!(code == Some(0) && text.contains("Examples:\n"), "{command:?}: {text}");
        // One code a line, of a width that no terminal breaks.
        let codes = text.split_once("Exit codes:\n").map_or("", |(_, codes)| codes);
        assert_eq!(codes.is_empty(), command == ["router"], "{text}");
        for line in codes.lines() {
            assert!(
                line.len() <= 80 && !line.trim().contains("  69") && !line.trim().contains("  78"),
                "{line}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_end_with_78_and_name_the_key_and_the_cure() {
    let directory = Directory::new("program");
    let path = directory.0.join("agent.toml");
    for arguments in [["run"], ["status"], ["doctor"]] {
        let (code, _, problem) = output(&arguments, &path).await;
        assert_eq!(code, Some(78), "{problem}");
        assert!(problem.contains("agent.toml") && problem.contains("cure: "), "{problem}");
    }
    let (code, text, problem) = output(&["doctor", "--json"], &path).await;
    assert_eq!(code, Some(78), "{problem}");
    let report: serde_json::Value = serde_json::from_str(&text).expect("a program reads it");
    assert_eq!((&report["verdict"], &report["bad"], &report["site"]), (&"bad".into(), &1.into(), &"".into()));
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["check"], &finding["group"]),
        (&"settings".into(), &"this machine".into()),
        "{text}"
    );
    assert!(finding["detail"].as_str().unwrap().contains("agent.toml"), "{text}");
    assert!(!finding["cure"].as_str().unwrap().is_empty(), "{text}");
    std::fs::write(&path, "site = \"Nyeri\"\n[controller]\naddresses = [\"a\"]\n").unwrap();
    let (code, _, problem) = output(&["run"], &path).await;
    assert_eq!(code, Some(78));
    assert!(problem.contains("site: ") && problem.contains("cure: "), "{problem}");
    std::fs::write(&path, "site = \"nyeri\"\n[controller]\naddresses = [\"a\"]\nca_file = \"none.pem\"\n")
        .unwrap();
    let (code, text, _) = output(&["doctor"], &path).await;
    assert_eq!(code, Some(1), "settings that can be read are the doctor's to judge");
    assert!(text.contains("BAD      certificates: controller.ca_file"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_certificate_keeps_it_from_starting_with_78() {
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    std::fs::remove_file(directory.0.join("agent.pem")).unwrap();
    let (code, _, problem) = output(&["run"], &path).await;
    assert_eq!(code, Some(78), "{problem}");
    assert!(problem.contains("controller.certificate_file") && problem.contains("cure: "), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_the_program() {
    let directory = Directory::new("program");
    let mut office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    let (code, _, problem) = output(&["status"], &path).await;
    assert_eq!(code, Some(69), "it does not run yet");
    assert!(problem.contains("not running") && problem.contains("cure: "), "{problem}");

    let (running, _notices) = Running::start(&path).await;
    assert_eq!(variable(&running, "MALLOC_ARENA_MAX").as_deref(), Some("1"), "one heap, whoever starts it");
    let (epoch, first_hello) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    office.say_delta(&delta(0, 1, &[line("a", 5)], &[line("a", 5)])).await;
    assert_eq!(office.hear_stored().await, 1);
    let owner = std::fs::read_to_string(directory.0.join("state/site")).unwrap();
    assert_eq!(owner, format!("{SITE}\n"), "a store says whose it is");
    let seen = status(&path).await;
    assert_eq!((&seen["site"], &seen["state"]["stored_generation"]), (&SITE.into(), &1.into()));
    assert_eq!(seen["controller"]["is_connected"], true);
    assert_eq!(seen["state"]["failing_lines"], 1, "its router is not configured");
    let (code, text, _) = output(&["status"], &path).await;
    assert_eq!(code, Some(1), "a line that fails is a problem");
    assert!(text.contains("generation 1 in force, 1 on flash") && text.contains("PROBLEM"), "{text}");
    assert!(text.contains("; 1 line, 0 profiles") && text.contains("name the router in"), "{text}");
    assert_eq!(seen["state"]["failing"][0]["line"], "a");

    let (code, _, problem) = output(&["run"], &path).await;
    assert_eq!(code, Some(75), "{problem}");
    assert!(problem.contains("another agent"), "{problem}");

    // A power cut, as far as a process can know.
    drop(running);
    let (running, notices) = Running::start(&path).await;
    let (same_epoch, hello) = office.hear_hello().await;
    assert_eq!((same_epoch, hello.stored_generation), (epoch, 1));
    assert!(hello.connection_epoch > first_hello.connection_epoch && hello.boot_id != first_hello.boot_id);
    office.answer(epoch, 0, 0).await;
    let heartbeat = notice(&notices);
    assert!(heartbeat.contains("WATCHDOG=1") && heartbeat.contains("STATUS="), "{heartbeat}");

    running.terminate();
    assert_eq!(running.ended().await.code(), Some(0), "{}", log(&path));
    assert_eq!(notice(&notices), "STOPPING=1\n");
    office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Bye(bye) if bye.connection_epoch == hello.connection_epoch => Some(()),
            _ => None,
        })
        .await;
    let log = log(&path);
    assert!(!log.contains('\x1b'), "no colours where no terminal is: {log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_over_says_so_and_survives_closed_pipes() {
    /// SIGPIPE, number 13, in the masks of /proc.
    const PIPE: u64 = 1 << 12;
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    // A file that is open and has no name any more can be started, and not be found to start over.
    let named = Path::new(env!("CARGO_BIN_EXE_tawi-agent")).with_extension(std::process::id().to_string());
    std::fs::hard_link(env!("CARGO_BIN_EXE_tawi-agent"), &named).unwrap();
    let file = std::fs::File::open(&named).unwrap();
    std::fs::remove_file(&named).unwrap();
    let nameless = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));

    let (running, _notices) = Running::start_as(&nameless, &path).await;
    assert_eq!(variable(&running, "MALLOC_ARENA_MAX"), None, "it did start over");
    assert!(log(&path).contains("cannot start over"), "{}", log(&path));
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_ne!((mask("SigIgn:") | mask("SigCgt:")) & PIPE, 0, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_lines_fit_into_the_promised_memory() {
    let directory = Directory::new("program");
    let mut office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    let (_running, _) = Running::start(&path).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    let lines: Vec<_> = (0..500).map(|number| line(&format!("{number:020x}"), number)).collect();
    let profiles = vec![ProfileV1 {
        name: "home".into(),
        service: 1,
        download_bits_per_second: 10_000_000,
        upload_bits_per_second: 5_000_000,
        download_burst_bits_per_second: 0,
        upload_burst_bits_per_second: 0,
        ..ProfileV1::default()
    }];
    let state_hash = StateHash::of(&lines, &profiles).to_bytes();
    let snapshot = StateSnapshotV1 { generation: 9, state_hash, chunk: 0, chunks: 1, lines, profiles };
    office.say(Down::State, &snapshot).await;
    assert_eq!(office.hear_stored().await, 9);
    let seen = status(&path).await;
    assert_eq!(seen["state"]["lines"], 500);
    let bytes = seen["rss_bytes"].as_u64().unwrap();
    println!("{} KiB of memory with 500 lines", bytes / 1024);
    if !cfg!(debug_assertions) {
        assert!(bytes <= MEMORY_BYTES, "{bytes} bytes of memory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    // A port that was free a moment ago: nothing listens there.
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let router = format!(
        "[[router]]\nname = \"core\"\naddress = \"{closed}\"\ntransport = \"plain\"\nuser = \"tawi\"\npassword_file = \"core.password\"\n"
    );
    let path = bundle(&office, &directory.0, &router);
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(directory.0.join("core.password"), "s3cret\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(directory.0.join("core.password"), private).unwrap();
    std::fs::create_dir_all(directory.0.join("state")).unwrap();

    let (code, text, problem) = output(&["doctor", "--json"], &path).await;
    assert_eq!(code, Some(1), "{text}{problem}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["schema"], &report["verdict"]), (&1.into(), &"bad".into()), "{text}");
    let findings = report["findings"].as_array().unwrap();
    let verdict = |subject: &str| {
        let found =
            findings.iter().find(|finding| finding["check"] == subject || finding["group"] == subject);
        let found = found.unwrap_or_else(|| panic!("nothing about {subject}: {text}"));
        (found["verdict"].as_str().unwrap().to_owned(), found["cure"].as_str().unwrap().to_owned())
    };
    for good in ["settings", "key file", "certificates", "site certificate", "head office"] {
        assert_eq!(verdict(good).0, "good", "{text}");
    }
    assert_ne!(verdict("state directory").0, "bad", "{text}");
    let (found, cure) = verdict("router core");
    assert!(found == "bad" && cure.contains("/ip service"), "{text}");
    assert!(!text.contains("s3cret"));

    let (code, text, _) = output(&["doctor"], &path).await;
    assert_eq!(code, Some(1));
    assert!(
        text.contains("\nrouter core\n  BAD      reach: ")
            && text.ends_with(" bad\n")
            && text.contains("cure: ")
            && !text.contains('\x1b'),
        "{text}"
    );
}

/// The router refuses connections: that is said at once and named, and the agent is not blamed.
#[tokio::test(flavor = "multi_thread")]
async fn orders_to_a_router_that_cannot_be_worked_with_are_answered_at_once_with_the_cure() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new("program");
    let mut office = Office::start(SITE).await;
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let router = format!(
        "[[router]]\nname = \"core\"\naddress = \"{closed}\"\ntransport = \"plain\"\nuser = \"tawi\"\npassword_file = \"core.password\"\n"
    );
    let path = bundle(&office, &directory.0, &router);
    std::fs::write(directory.0.join("core.password"), "s3cret\n").unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(directory.0.join("core.password"), private).unwrap();
    let (running, _notices) = Running::start(&path).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    for arguments in [["rebuild", "--router", "core"], ["adopt", "--router", "core"]] {
        let (code, text, problem) = output(&arguments, &path).await;
        assert_eq!(code, Some(1), "{text}{problem}");
        assert!(problem.contains("router core: ") && problem.contains("/ip service"), "{problem}");
        assert!(!problem.contains("systemctl"), "{problem}");
    }
    let (code, text, problem) = output(&["release", "core"], &path).await;
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "nothing is held on core; nothing was let go\n"),
        "{problem}"
    );
    let (code, text, problem) = output(&["log", "--line", "plot17"], &path).await;
    assert_eq!((code, text.as_str()), (Some(0), ""));
    assert!(problem.contains("nothing was written to a router about line plot17"), "{problem}");
    for command in ["adopt", "rebuild", "release", "status", "log"] {
        let (_, text, _) = output(&[command, "--help"], &path).await;
        assert!(text.contains("Exit codes:"), "{command}: {text}");
    }
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn doubts_alone_end_the_doctor_with_3_where_that_is_asked_for() {
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    // No router and no running agent: nothing is bad about that, and nothing works yet.
    let path = bundle(&office, &directory.0, "");
    std::fs::create_dir_all(directory.0.join("state")).unwrap();
    let (code, text, _) = output(&["doctor"], &path).await;
    assert!(
        code == Some(0) && text.contains("doubtful agent: ") && text.contains(" doubtful, 0 bad"),
        "{text}"
    );
    let (code, text, _) = output(&["doctor", "--strict"], &path).await;
    assert_eq!(code, Some(3), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_a_refused_certificate_from_a_closed_port() {
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    let stranger = Directory::new("program-stranger");
    crate::office::Keys::new().put_bundle(&stranger.0, SITE);
    for name in ["agent.pem", "agent.key"] {
        std::fs::copy(stranger.0.join(name), directory.0.join(name)).unwrap();
    }
    let (code, text, _) = output(&["doctor"], &path).await;
    assert_eq!(code, Some(1));
    assert!(text.contains("it refused our certificate") && text.contains("site renew nyeri-01"), "{text}");
}

/// The bundle of another site, from the same head office.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_a_certificate_of_another_site_before_head_office_refuses_it() {
    let directory = Directory::new("program");
    let office = Office::start(SITE).await;
    let path = bundle(&office, &directory.0, "");
    office.keys.put_bundle(&directory.0, "thika-02");
    let (code, text, _) = output(&["doctor"], &path).await;
    assert_eq!(code, Some(1), "{text}");
    let says =
        format!("BAD      site certificate: it was made for thika-02, and the settings say site {SITE}");
    assert!(text.contains(&says) && text.contains("cure: copy agent.pem"), "{text}");
}
