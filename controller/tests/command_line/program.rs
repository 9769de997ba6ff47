//! The program itself: its commands, what it prints, its exit codes, and `serve` from the first line to the signal.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tawi_shared::IdSource;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tawi-controller");
/// Longer than a start takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A directory with settings for a controller on free ports; removed at the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(more: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("tawi-cli-{}", IdSource::system().hex(6)));
        std::fs::create_dir_all(&directory).unwrap();
        let place = Self(directory);
        place.configure("127.0.0.1:0", more);
        place
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    pub(crate) fn configure(&self, listen: &str, more: &str) {
        let text = format!(
            "data_directory = \"data\"\n[server]\nlisten = \"{listen}\"\n[broker]\nlisten = \"127.0.0.1:0\"\n{more}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.0.join("controller.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.config()).current_dir(&self.0);
        command.env_remove("NOTIFY_SOCKET").env("USER", "tester").env_remove("SUDO_USER");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed, and reads the one JSON value that it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
    }

    /// Runs what must be refused with this code, and answers what it says.
    pub(crate) fn refusal(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}: a refusal prints nothing on standard output");
        said
    }

    pub(crate) fn serve(&self) -> Serving {
        let mut command = self.command(&["serve"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let http = line.split_whitespace().find_map(|word| word.strip_prefix("http="));
        let Some(http) = http.map(str::to_owned) else {
            let output = child.wait_with_output().unwrap();
            panic!("not ready: {line:?} {}", text(&output.stderr));
        };
        assert!(
            line.starts_with("ready http=http://127.0.0.1:") && line.contains(" mqtt=127.0.0.1:"),
            "{line}"
        );
        Serving { child, http }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left-over files of a failed test are no reason to fail another.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running controller; killed if a test fails before it is stopped.
pub(crate) struct Serving {
    child: Child,
    http: String,
}

impl Serving {
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends it as systemd does, and answers its exit code and its log.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn get(base: &str, path: &str, token: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    let answer = client.get(format!("{base}{path}")).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let help = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        text(&output.stdout)
    };
    assert!(help(&[]).contains("Exit codes: 0 done"));
    for command in [
        "config check",
        "site add",
        "router add",
        "staff add",
        "token add",
        "connection-type add",
        "site renew",
        "site revoke",
        "staff password",
        "staff disable",
        "staff enable",
        "token revoke",
        "connection-type add",
        "connection-type change",
        "plan add",
        "plan change",
        "top-up add",
        "customer add",
        "subscription add",
        "audit list",
        "mpesa balance",
        "mpesa status",
        "mpesa doctor",
        "serve",
        "site",
        "site list",
        "site settings",
        "router",
        "router list",
        "router writes",
        "release",
        "release list",
        "release remove",
        "upgrade",
        "upgrade status",
        "upgrade pause",
        "upgrade resume",
        "upgrade stop",
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let said = help(&arguments);
        assert!(said.contains(&format!("tawi-controller {command}")), "{command}: no example in\n{said}");
    }
}

#[test]
fn a_wrong_command_line_exits_2_and_bad_settings_exit_78() {
    let place = Place::new("");
    place.refusal(2, &["serv"]);
    place.refusal(2, &["staff", "add", "cashier"]);
    let said = place
        .refusal(2, &["staff", "add", "cashier", "--role", "owner", "--password", "on-the-command-line"]);
    assert!(said.contains("--password"), "a password cannot stand on a command line: {said}");
    place.configure("127.0.0.1:0", "colour = \"red\"\n");
    for command in [vec!["serve"], vec!["config", "check"], vec!["site", "list"]] {
        let said = place.refusal(78, &command);
        assert!(said.contains("colour") && said.contains("cure:"), "{said}");
    }
    std::fs::remove_file(place.config()).unwrap();
    assert!(place.refusal(78, &["serve"]).contains("cannot be read"));
}

#[tokio::test]
async fn a_whole_office_is_set_up_by_commands_while_it_serves() {
    let place = Place::new("");
    assert_eq!(place.json(&["config", "check"])["ok"], true);
    let token = place.json(&["token", "add", "tests", "--role", "viewer"]);
    let token = token["token"].as_str().unwrap().to_owned();
    let serving = place.serve();

    let site = place.json(&["site", "add", "nyeri-01", "--name", "Nyeri", "--offline-bundle", "bundle"]);
    assert_eq!(site["id"], "nyeri-01");
    assert!(Path::new(&place.0).join("bundle").is_dir());
    let router = place.json(&["router", "add", "--site", "nyeri-01", "--name", "core"]);
    let again = place.json(&["router", "add", "--site", "nyeri-01", "--name", "core"]);
    assert_eq!(router["id"], again["id"], "twice is once");
    let speeds = ["--download", "10M", "--upload", "512k"];
    let kind = ["connection-type", "add", "--service", "pppoe", "--profile", "home-10"];
    let kind = place.json(&[&kind[..], &speeds].concat());
    assert_eq!(
        (&kind["download_bits_per_second"], &kind["upload_bits_per_second"]),
        (&10_000_000.into(), &512_000.into())
    );
    let terms = ["--connection-type", "home-10", "--price", "1500", "--validity", "30d", "--quota", "50GB"];
    let plan = place.json(&[&["plan", "add", "Home 10"][..], &terms].concat());
    assert_eq!((&plan["price_cents"], &plan["validity_seconds"]), (&150_000.into(), &2_592_000.into()));
    let changed =
        place.json(&["connection-type", "change", "home-10", "--download", "20M", "--priority", "3"]);
    assert_eq!(
        (&changed["download_bits_per_second"], &changed["upload_bits_per_second"], &changed["priority"]),
        (&20_000_000.into(), &512_000.into(), &3.into()),
        "what is not given stays"
    );
    let terms =
        ["--price", "1600", "--after-quota", "1M/256k", "--suspension", "walled", "--offline", "72h:off"];
    let plan = place.json(&[&["plan", "change", "Home 10"][..], &terms].concat());
    assert_eq!((&plan["price_cents"], &plan["validity_seconds"]), (&160_000.into(), &2_592_000.into()));
    assert_eq!((&plan["suspension"]["how"], &plan["offline"]["after_hours"]), (&"walled".into(), &72.into()));
    assert_eq!(place.json(&["plan", "list"])[0]["after_quota"]["upload_bits_per_second"], 256_000);
    assert_eq!(place.json(&["connection-type", "list"])[0]["profile_name"], "home-10");
    let said = place.refusal(1, &["plan", "change", "Home 10", "--suspension", "30M/30M"]);
    assert!(said.contains("--suspension: the slow speed is faster"), "{said}");
    let top_up = place.json(&["top-up", "add", "5 GB more", "--price", "200", "--data", "5GB"]);
    assert_eq!((&top_up["bytes"], &top_up["plan_id"]), (&5_000_000_000_u64.into(), &serde_json::Value::Null));
    assert_eq!(place.json(&["top-up", "list"])[0]["name"], "5 GB more");
    let customer = place.json(&["customer", "add", "--name", "Corner Shop", "--phone", "0712 345 678"]);
    let number = customer["account_number"].as_str().unwrap();
    let line = ["--site", "nyeri-01", "--router", "core", "--username", "plot17"];
    let whose = ["subscription", "add", "--customer", number, "--plan", "Home 10"];
    let bad = ["--caller-id", "nonsense"];
    let said = place.refusal(1, &[&whose[..], &line, &bad].concat());
    assert!(said.contains("--caller-id: write a MAC address"), "{said}");
    let own = ["--address", "10.0.0.17", "--caller-id", "aa-bb-cc-dd-ee-0f"];
    let subscription = place.json(&[&whose[..], &line, &own].concat());
    assert_eq!(subscription["caller_id"], "AA:BB:CC:DD:EE:0F");
    assert_eq!(subscription["status"], "draft");
    let said = place.refusal(1, &[&whose[..], &line].concat());
    assert!(said.contains("--username: that name is taken"), "{said}");
    assert_eq!(place.json(&["site", "list"])[0]["id"], "nyeri-01");

    let path = format!("/api/subscriptions/{}", subscription["id"].as_str().unwrap());
    let (status, seen) = get(&serving.http, &path, &token).await;
    assert_eq!((status, &seen["username"]), (200, &"plot17".into()));
    let (status, health) = get(&serving.http, "/health", "").await;
    assert_eq!((status, &health["status"]), (200, &"ok".into()));
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    everything_is_in_the_audit_log(&place);
}

#[test]
fn what_is_refused_names_the_option_that_there_is() {
    let place = Place::new("");
    let add = |profile: &'static str, more: &[&'static str]| {
        let add = ["connection-type", "add", "--profile", profile, "--download", "10M", "--upload", "10M"];
        [&add[..], more].concat()
    };
    let check = |arguments: &[&str], option: &str| {
        let said = place.refusal(1, arguments);
        assert!(said.contains(&format!("{option}: ")), "{option} is not named: {said}");
        let help = text(&place.run(&[&arguments[..2], &["--help"]].concat()).stdout);
        assert!(help.contains(&format!("{option} <")), "{option} is no option of {:?}", &arguments[..2]);
    };
    let pppoe = ["--service", "pppoe"];
    check(&add("default", &pppoe), "--profile");
    check(&add("a", &["--service", "pppoe", "--download-burst", "5M"]), "--download-burst");
    check(&add("a", &["--service", "pppoe", "--upload-burst", "5M"]), "--upload-burst");
    check(&add("a", &["--service", "pppoe", "--upload-threshold", "5M"]), "--upload-threshold");
    check(&add("a", &["--service", "pppoe", "--burst-seconds", "5"]), "--burst-seconds");
    check(&add("a", &["--service", "hotspot-device", "--pool", "x"]), "--pool");
    check(&add("a", &["--service", "static", "--shared-users", "3"]), "--shared-users");
    check(&add("a", &["--service", "hotspot-device", "--shared-users", "3"]), "--shared-users");
    check(&add("a", &["--service", "hotspot", "--local-address", "10.0.0.1"]), "--local-address");
    place.json(&add("home-10", &pppoe));
    let plan = ["plan", "add", "Home", "--connection-type", "home-10", "--validity", "30d"];
    check(&[&plan[..], &["--price", "0"]].concat(), "--price");
    check(&[&plan[..], &["--price", "9", "--offline", "72h:walled"]].concat(), "--offline");
    check(&[&plan[..], &["--price", "9", "--offline", "9000h:off"]].concat(), "--offline");
    check(&[&plan[..], &["--price", "9", "--quota", "0GB"]].concat(), "--quota");
    check(&["connection-type", "change", "home-10", "--priority", "9"], "--priority");
}

#[test]
fn what_is_sold_is_printed_in_units_that_people_use() {
    let place = Place::new("");
    let said = |arguments: &[&str]| {
        let output = place.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let add = ["connection-type", "add", "--service", "pppoe", "--profile", "home-10"];
    said(&[&add[..], &["--download", "10M", "--upload", "10M"]].concat());
    let changed = said(&["connection-type", "change", "home-10", "--download", "20M"]);
    assert!(changed.contains("is now 20 Mbit/s down, 10 Mbit/s up; no burst"), "{changed}");
    assert!(!changed.contains("\"\"") && !changed.contains("unlimited"), "{changed}");
    for same in [&["--download", "20M"][..], &[]] {
        let again = said(&[&["connection-type", "change", "home-10"][..], same].concat());
        assert!(again.contains("nothing was to change") && !again.contains("is now"), "{again}");
    }
    let terms = ["--connection-type", "home-10", "--price", "50", "--validity", "30d", "--quota", "10MB"];
    said(&[&["plan", "add", "Home"][..], &terms].concat());
    let listed = said(&["plan", "list"]);
    assert!(listed.contains("for 30 days; data 10 MB"), "{listed}");
    let again = said(&["plan", "change", "Home", "--price", "50"]);
    assert!(again.contains("nothing was to change"), "{again}");
    let entries = place.json(&["audit", "list"]);
    let of =
        |action: &str| entries.as_array().unwrap().iter().filter(|entry| entry["action"] == action).count();
    assert_eq!(
        (of("connection_type.changed"), of("plan.changed")),
        (1, 0),
        "what changes nothing is no change"
    );
}

#[test]
fn a_password_is_made_for_lines_alone_that_log_in() {
    let place = Place::new("");
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri"]);
    place.json(&["router", "add", "--site", "nyeri-01", "--name", "core"]);
    let rates = ["--download", "10M", "--upload", "10M"];
    let customer = place.json(&["customer", "add", "--name", "Corner Shop", "--phone", "0712 345 678"]);
    let number = customer["account_number"].as_str().unwrap();
    for (service, has_password) in [("pppoe", true), ("static", false)] {
        place.json(
            &[&["connection-type", "add", "--service", service, "--profile", service][..], &rates].concat(),
        );
        let terms = ["--connection-type", service, "--price", "50", "--validity", "30d"];
        place.json(&[&["plan", "add", service][..], &terms].concat());
        let add = ["subscription", "add", "--customer", number, "--plan", service, "--site", "nyeri-01"];
        let add = [&add[..], &["--router", "core", "--username", service, "--address", "10.0.0.9"]].concat();
        if !has_password {
            std::fs::write(place.0.join("password"), "correct horse\n").unwrap();
            let said = place.refusal(1, &[&add[..], &["--password-file", "password"]].concat());
            assert!(said.contains("--password-file: nobody logs in"), "{said}");
        }
        let address = if has_password { "10.0.0.9" } else { "10.0.0.10" };
        let add: Vec<&str> =
            add.iter().map(|word| if *word == "10.0.0.9" { address } else { *word }).collect();
        let output = place.run(&add);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(said.contains("password"), has_password, "{said}");
    }
}

fn everything_is_in_the_audit_log(place: &Place) {
    let entries = place.json(&["audit", "list"]);
    let mut entries = entries.as_array().unwrap().clone();
    entries.sort_by_key(|entry| entry["at_ms"].as_i64());
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = [
        "token.added",
        "site.added",
        "router.added",
        "connection_type.added",
        "plan.added",
        "connection_type.changed",
        "plan.changed",
        "top_up.added",
        "customer.added",
        "subscription.added",
    ];
    assert_eq!(actions, expected);
    assert!(entries.iter().all(|entry| entry["actor"] == "cli:tester"), "{entries:?}");
    let newest = text(&place.run(&["audit", "list", "--limit", "1"]).stdout);
    assert_eq!(newest.lines().count(), 1);
    assert!(newest.contains("cli:tester") && newest.contains("subscription.added"), "{newest}");
    place.refusal(2, &["audit", "list", "--limit", "0"]);
}

/// Without turns two of three rounds fail.
#[test]
fn programs_that_start_at_once_wait_for_the_database_instead_of_failing() {
    for _ in 0..5 {
        let place = Place::new("");
        let mut serving =
            place.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let migrate = || {
            let mut command = place.command(&["migrate"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let commands: Vec<Child> = (0..6).map(|_| migrate()).collect();
        let mut line = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let serving = Serving { child: serving, http: String::new() };
        for command in commands {
            let output = command.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        let (code, log) = serving.stop();
        assert_eq!(code, Some(0), "{log}");
        assert!(line.starts_with("ready "), "{line:?} {log}");
    }
}

#[test]
fn a_password_is_taken_from_a_file_or_made_and_shown_once() {
    let place = Place::new("");
    let made = place.json(&["staff", "add", "cashier", "--role", "owner"]);
    assert!(made["password"].as_str().unwrap().len() >= 20);
    let output = place.run(&["staff", "add", "technician", "--role", "operator"]);
    assert_eq!(text(&output.stdout).lines().count(), 1, "the password alone is on standard output");
    std::fs::write(place.0.join("password"), "correct horse\n").unwrap();
    let given = place.json(&["staff", "add", "auditor", "--role", "viewer", "--password-file", "password"]);
    assert!(given.get("password").is_none(), "{given}");
    std::fs::write(place.0.join("password"), "short\n").unwrap();
    let said =
        place.refusal(1, &["staff", "add", "trainee", "--role", "viewer", "--password-file", "password"]);
    assert!(said.contains("at least"), "{said}");
    let said = place.refusal(1, &["staff", "add", "cashier", "--role", "viewer"]);
    assert!(said.contains("taken"), "{said}");
}

#[tokio::test]
async fn whoever_was_let_in_can_be_shut_out_while_it_serves() {
    let place = Place::new("");
    place.json(&["staff", "add", "technician", "--role", "operator"]);
    let token = place.json(&["token", "add", "billing", "--role", "viewer"]);
    let token = token["token"].as_str().unwrap().to_owned();
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri", "--offline-bundle", "first"]);
    let serving = place.serve();
    assert_eq!(get(&serving.http, "/api/overview", &token).await.0, 200);

    place.json(&["token", "revoke", "billing"]);
    assert_eq!(get(&serving.http, "/api/overview", &token).await.0, 401);
    place.refusal(1, &["token", "revoke", "billing"]);
    assert!(place.json(&["token", "list"])[0]["ended_at_ms"].is_i64());

    place.json(&["staff", "disable", "technician"]);
    assert!(place.json(&["staff", "list"])[0]["ended_at_ms"].is_i64());
    place.json(&["staff", "enable", "technician"]);
    assert!(place.json(&["staff", "password", "technician"])["password"].is_string());
    place.refusal(1, &["staff", "disable", "nobody"]);

    let renewed = place.json(&[
        "site",
        "renew",
        "nyeri-01",
        "--offline-bundle",
        "second",
        "--address",
        "isp.example:8883",
    ]);
    assert_eq!(renewed["addresses"][0], "isp.example:8883");
    place.json(&["site", "revoke", "nyeri-01"]);
    assert!(place.json(&["site", "list"])[0]["revoked_at_ms"].is_i64());
    // A stolen agent is shut out by a new certificate for its successor, whether or not the site was revoked before.
    place.json(&["site", "renew", "nyeri-01", "--offline-bundle", "third"]);
    assert!(place.json(&["site", "list"])[0]["revoked_at_ms"].is_null());
    place.refusal(1, &["site", "renew", "othaya-01", "--offline-bundle", "fourth"]);
    assert_eq!(serving.stop().0, Some(0));
}

#[test]
fn a_site_begins_with_a_ticket_that_is_shown_and_written_once() {
    use std::os::unix::fs::PermissionsExt as _;
    use tawi_shared::enrolment::Ticket;

    let place =
        Place::new("advertised_address = [\"isp.example:8883\", \"isp.example:443\", \"10.1.1.1:8883\"]\n");
    let site = place.json(&["site", "add", "nyeri-01", "--name", "Nyeri", "--bundle", "nyeri-01.ticket"]);
    let shown = site["ticket"].as_str().unwrap();
    let ticket = Ticket::parse(shown).unwrap();
    assert_eq!((ticket.site.as_str(), ticket.addresses.len()), ("nyeri-01", 3));
    assert!(site["expires_at_ms"].is_i64());
    let path = place.directory().join("nyeri-01.ticket");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(&path).unwrap();
    let said: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(said, [shown]);
    place.refusal(1, &["site", "add", "nyeri-01", "--name", "Nyeri"]);
    let taken = place.refusal(1, &["site", "renew", "nyeri-01", "--bundle", "nyeri-01.ticket"]);
    assert!(taken.contains("name a new file"), "{taken}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);

    let again = place.run(&["site", "renew", "nyeri-01", "--address", "10.1.1.1:8883"]);
    assert!(again.status.success());
    let said = text(&again.stdout);
    let line = said.lines().find(|line| line.starts_with("echo ")).unwrap();
    let word = line.strip_prefix("echo ").unwrap().strip_suffix(" | sudo tawi-agent enrol").unwrap();
    assert_eq!(Ticket::parse(word).unwrap().addresses, ["10.1.1.1:8883"]);
    assert!(said.contains("EAT") && !said.contains('\u{1b}'), "no picture where no terminal is: {said}");
    let bad = place.refusal(1, &["site", "renew", "nyeri-01", "--address", "10.1.1.1"]);
    assert!(bad.contains("10.1.1.1"), "{bad}");
    place.refusal(2, &["site", "renew", "nyeri-01", "--bundle", "a", "--offline-bundle", "b"]);
    let log = text(&place.run(&["audit", "list", "--json"]).stdout);
    assert!(log.contains("site.token_made") && !log.contains(shown), "{log}");
}

#[test]
fn a_port_that_is_taken_exits_69_and_names_the_key() {
    let place = Place::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    place.configure(&taken.local_addr().unwrap().to_string(), "");
    let said = place.refusal(69, &["serve"]);
    assert!(said.contains("[server] listen"), "{said}");
    std::fs::write(place.0.join("file"), "").unwrap();
    std::fs::write(place.config(), "data_directory = \"file/data\"\n").unwrap();
    let said = place.refusal(69, &["migrate"]);
    assert!(said.contains("data_directory") && said.contains("cure:"), "{said}");
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let place = Place::new("[log]\nformat = \"json\"\n");
    let socket = UnixDatagram::bind(place.0.join("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = place.command(&["serve"]);
    command.env("NOTIFY_SOCKET", place.0.join("notify")).env("WATCHDOG_USEC", "400000");
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let serving = Serving { child, http: String::new() };
    let hear = |what: &str| {
        let mut buffer = [0; 4_096];
        let mut heard = Vec::new();
        loop {
            let length =
                socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}: {heard:?}"));
            let message = text(&buffer[..length]);
            if message.lines().any(|line| line == what) {
                return message;
            }
            heard.push(message);
        }
    };
    assert!(hear("READY=1").contains("STATUS=serving http://127.0.0.1:"));
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    serving.signal("-INT");
    hear("STOPPING=1");
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(log.contains("\"message\":\"ready\""), "{log}");
}

#[test]
fn what_nobody_can_answer_is_refused_at_once() {
    let place = Place::new("");
    for command in ["doctor", "diagnostics", "watch"] {
        let said = place.refusal(1, &["site", command, "nyeri-01"]);
        assert!(said.contains("there is no site nyeri-01"), "{said}");
    }
    place.refusal(2, &["site", "log-level", "nyeri-01", "loud"]);
    place.refusal(2, &["site", "watch", "nyeri-01", "--seconds", "301"]);
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri"]);
    // Without a controller to carry it, nothing is queued: it would be done some day, when nobody waits for it.
    let said = place.refusal(1, &["site", "log-level", "nyeri-01", "debug"]);
    assert!(said.contains("no controller serves from this"), "{said}");
    let said = place.refusal(1, &["site", "doctor", "nyri-01"]);
    assert!(said.contains("is it nyeri-01?"), "{said}");
}
