//! The settings file, as staff write it and as the package ships it.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::testing::TemporaryDirectory;

const PACKAGED: &str = include_str!("../../../packaging/controller.toml");

struct Fixture(TemporaryDirectory);

impl Fixture {
    fn new() -> Self {
        Self(TemporaryDirectory::new())
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        let path = self.0.path().join("controller.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path, &Environment::default())
    }

    fn refusal(&self, text: &str) -> String {
        self.load(text).expect_err(text).to_string()
    }

    /// Every file that the packaged examples name.
    fn packaged_files(&self) {
        for name in [
            "daraja-consumer-secret",
            "daraja-passkey",
            "daraja-initiator-password",
            "daraja-payout-initiator-password",
            "africastalking-api-key",
        ] {
            self.secret(name);
        }
        let certificate = daraja_sim::OPERATOR_CERTIFICATE_PEM;
        std::fs::write(self.0.path().join("ProductionCertificate.cer"), certificate).unwrap();
    }

    fn secret(&self, name: &str) {
        let path = self.0.path().join(name);
        std::fs::write(&path, "not-a-real-secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = Fixture::new().load("").unwrap();
    assert_eq!(config.data_directory, Path::new("/var/lib/tawi-controller"));
    assert_eq!(config.database_url, "sqlite:///var/lib/tawi-controller/tawi.db");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.session_lasts, Duration::from_secs(12 * 3_600));
    assert!(config.mpesa.is_empty());
    assert!(!config.is_https());
}

#[test]
fn paths_are_relative_to_the_file() {
    let fixture = Fixture::new();
    let config = fixture.load("data_directory = \"data\"\n").unwrap();
    assert_eq!(config.data_directory, fixture.0.path().join("data"));
    let config = fixture.load("[database]\nurl = \"sqlite:other.db\"\n").unwrap();
    assert_eq!(config.database_url, format!("sqlite://{}", fixture.0.path().join("other.db").display()));
}

#[test]
fn a_file_that_is_named_from_elsewhere_finds_what_lies_beside_it() {
    let fixture = Fixture::new();
    fixture.packaged_files();
    let path = fixture.0.path().join("controller.toml");
    let text = format!("data_directory = \"../data\"\n{}", packaged_examples(&["data_directory"]));
    std::fs::write(&path, text).unwrap();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count());
    let relative = format!("{up}{}", path.strip_prefix("/").unwrap().display());
    let config = Config::load(Path::new(&relative), &Environment::default()).unwrap();
    assert!(!config.mpesa.is_empty());
    assert!(
        config.data_directory.is_absolute() && config.database_url.starts_with("sqlite:///"),
        "{config:?}"
    );
}

#[test]
fn a_refusal_names_the_key_and_the_cure() {
    let fixture = Fixture::new();
    let check = |text: &str, key: &str| {
        let refusal = fixture.refusal(text);
        assert!(refusal.contains(key), "{refusal}");
        assert!(refusal.contains("cure: "), "{refusal}");
    };
    check("[server]\nlisten = \"8080\"\n", "server.listen");
    check("[server]\npublic_url = \"isp.example\"\n", "server.public_url");
    check("[server]\npublic_url = \"https://isp.example/tawi\"\n", "server.public_url");
    check("[server]\ntrusted_proxies = [\"proxy.example\"]\n", "server.trusted_proxies");
    check("[server]\nlisten_on = \"127.0.0.1:1\"\n", "controller.toml:2: unknown field `listen_on`");
    check("[database]\nurl = \"sqlite::memory:\"\n", "database.url");
    check("[log]\nlevel = \"loud\"\n", "log.level");
    check("[log]\nformat = \"xml\"\n", "log.format");
    check("[staff]\nsession_hours = 0\n", "staff.session_hours");
    check("[broker]\nlisten = \"nowhere\"\n", "[broker] listen");
    check("[mpesa]\nshort_code = \"174379\"\n", "controller.toml:1: missing field `base_url`");
    check("server = 5\n", "controller.toml:1");
}

#[test]
fn a_refusal_repeats_no_secret() {
    let fixture = Fixture::new();
    let refusal = fixture.refusal("[database]\nurl = \"postgres://tawi:hunter22@db/tawi\"\n");
    assert!(!refusal.contains("hunter22"), "{refusal}");
    let refusal = fixture.refusal("[mpesa]\nconsumer_secret = \"hunter22\"\n");
    assert!(!refusal.contains("hunter22"), "{refusal}");
}

#[test]
fn the_packaged_file_changes_nothing_before_it_is_edited() {
    let packaged = Fixture::new().load(PACKAGED).unwrap();
    let empty = Fixture::new().load("").unwrap();
    assert_eq!(format!("{packaged:?}"), format!("{empty:?}"));
}

/// The packaged file with every example taken in but those of the keys in `without`. Prose follows `# `, and an example
/// follows `#` at once.
fn packaged_examples(without: &[&str]) -> String {
    let mut examples = 0;
    let mut text = String::new();
    for line in PACKAGED.lines() {
        let example = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        examples += usize::from(example.is_some());
        let is_left_out = example
            .and_then(|example| example.split_once(" = "))
            .is_some_and(|(key, _)| without.contains(&key));
        if !is_left_out {
            text.push_str(example.unwrap_or(line));
            text.push('\n');
        }
    }
    assert!(examples > 15, "only {examples} examples");
    text
}

#[test]
fn the_packaged_examples_state_the_defaults() {
    let fixture = Fixture::new();
    fixture.packaged_files();
    // What the file calls no default but an example: its own words say what stands when the key is absent.
    let all =
        fixture.load(&packaged_examples(&["public_url", "advertised_address", "known_sources"])).unwrap();
    let least = fixture.load("").unwrap();
    // By its key alone the broker's URL could not be told from the database's.
    assert!(all.broker.external.is_some());
    let broker = crate::broker::BrokerSettings { external: None, ..all.broker.clone() };
    let known = (&all.data_directory, &all.database_url, all.listen, &all.public_url, &broker);
    assert_eq!(
        known,
        (&least.data_directory, &least.database_url, least.listen, &least.public_url, &least.broker)
    );
    let known = (all.log_level, all.log_format, all.session_lasts);
    assert_eq!(known, (least.log_level, least.log_format, least.session_lasts));
    // [mpesa] has keys that must be there; the others of it are at their defaults when they are left out.
    let defaulted = ["numbers_as", "merchant_name", "query", "pull_seconds", "known_sources"];
    let least = fixture.load(&packaged_examples(&defaulted)).unwrap();
    assert!(!all.mpesa.is_empty());
    assert_eq!(format!("{:?}", all.mpesa), format!("{:?}", least.mpesa));
}

#[test]
fn every_key_is_explained_in_the_packaged_file() {
    let fixture = Fixture::new();
    // The words that the reader would accept, from its own message about an unknown key.
    for table in
        ["", "[server]\n", "[database]\n", "[broker]\n", "[mpesa]\n", "[upgrade]\n", "[log]\n", "[staff]\n"]
    {
        let message = fixture.refusal(&format!("{table}no_such_key = 1\n"));
        let known = message.split_once("expected ").map_or("", |(_, list)| list);
        let keys: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert!(!keys.is_empty(), "{message}");
        for key in keys {
            // What is good only with another value of its neighbour is explained there.
            let is_told = PACKAGED.contains(&format!("\n#{key} ="))
                || PACKAGED.contains(&format!("[{key}]\n"))
                || PACKAGED.contains(&format!("also needs {key} ="));
            assert!(is_told, "{key} of {table:?} has no example");
        }
    }
}

#[test]
fn every_example_in_the_packaged_file_is_good() {
    let fixture = Fixture::new();
    fixture.packaged_files();
    let config = fixture.load(&packaged_examples(&[])).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.is_https());
    assert!(!config.mpesa.is_empty());
}

#[test]
fn a_secret_that_systemd_was_given_comes_before_a_file() {
    let (fixture, credentials) = (Fixture::new(), Fixture::new());
    fixture.secret("passkey");
    credentials.secret("secret");
    let text = "[mpesa]\nbase_url = \"https://sandbox.safaricom.co.ke\"\nshort_code = \"174379\"\n\
        transaction_type = \"pay_bill\"\nconsumer_key = \"key\"\nconsumer_secret_file = \"secret\"\n\
        passkey_file = \"passkey\"\ncallback_base_url = \"https://pay.isp.example\"\n";
    assert!(fixture.refusal(text).contains("consumer_secret_file"), "the secret is not beside the settings");
    let credentials_directory = Some(credentials.0.path().to_path_buf());
    let environment = Environment { credentials_directory, ..Environment::default() };
    let config = Config::load(&fixture.0.path().join("controller.toml"), &environment).unwrap();
    assert!(!config.mpesa.is_empty());
    assert!(!format!("{config:?}").contains("not-a-real-secret"), "secrets are not printed");
}
