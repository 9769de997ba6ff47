//! The packaged file with the real reader, and one refusal of each kind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const PACKAGED: &str = include_str!("../../../packaging/agent.toml");
const PIN: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A directory of its own for each test, gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tawi-config-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let directory = Directory::new();
    directory.put("core.password", "s3cret\n", 0o600);
    directory.put("proxy.credentials", "tawi:s3cret\n", 0o600);
    directory.put("no.credentials", "s3cret\n", 0o600);
    let path = directory.put("agent.toml", text, 0o600);
    Config::load(&path, &Environment::default())
}

fn refusal(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

const LEAST: &str = "site = \"nyeri-01\"\n[controller]\naddresses = [\"isp.example\"]\n";

fn with_router(fields: &str) -> String {
    format!("{LEAST}[[router]]\nname = \"core\"\nuser = \"tawi\"\n{fields}\n")
}

#[test]
fn the_packaged_file_is_read_as_it_is() {
    // With an identity in a state directory of its own, since the packaged one may be another's.
    let directory = Directory::new();
    let state = enrolled(&directory, "nyeri-01", "[\"isp.example:8883\"]");
    let path =
        directory.put("agent.toml", &format!("state_directory = \"{}\"\n{PACKAGED}", state.display()), 0o644);
    let config = Config::load(&path, &Environment::default()).unwrap();
    assert_eq!(config.site.as_str(), "nyeri-01");
    assert!(config.routers.is_empty() && config.is_enrolled());
}

/// The files that enrolment leaves in a state directory.
fn enrolled(directory: &Directory, site: &str, addresses: &str) -> PathBuf {
    let state = directory.0.join("state");
    fs::create_dir_all(state.join(IDENTITY)).unwrap();
    directory.put("state/identity/agent.key", "a key", 0o600);
    for (name, text) in [("agent.pem", "a certificate"), ("ca.pem", "an authority")] {
        directory.put(&format!("state/identity/{name}"), text, 0o644);
    }
    let text = format!("# made\nsite = \"{site}\"\naddresses = {addresses}\nlater = 1\n");
    directory.put("state/identity/identity.toml", &text, 0o644);
    state
}

#[test]
fn what_the_settings_leave_out_comes_from_the_identity_and_what_they_name_wins() {
    let directory = Directory::new();
    let state = enrolled(&directory, "nyeri-01", "[\"isp.example:8883\", \"[2001:db8::1]:443\"]");
    let load = |more: &str| {
        let text = format!("state_directory = \"{}\"\n{more}", state.display());
        Config::load(&directory.put("agent.toml", &text, 0o644), &Environment::default())
    };
    let config = load("").unwrap();
    assert_eq!(config.site.as_str(), "nyeri-01");
    let addresses: Vec<_> = config.controller.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["isp.example:8883", "[2001:db8::1]:443"]);
    assert_eq!(config.controller.ca_file, state.join("identity/ca.pem"));
    assert!(config.is_enrolled());
    assert!(config.upgrade.is_enabled && config.upgrade.keys.is_empty());

    let config =
        load("site = \"thika-02\"\n[controller]\naddresses = [\"other.example\"]\nkeep_alive_seconds = 60")
            .unwrap();
    assert_eq!((config.site.as_str(), config.controller.addresses.len()), ("thika-02", 1));
    assert!(config.is_enrolled(), "the files are still those of the identity");

    // A bundle that names its files, and one whose files stand beside the settings: both as before there was enrolment.
    let named = load("site = \"a\"\n[controller]\naddresses = [\"a\"]\nkey_file = \"own.key\"").unwrap();
    assert!(!named.is_enrolled());
    assert_eq!(named.controller.key_file, directory.0.join("own.key"));
    assert_eq!(named.controller.certificate_file, directory.0.join("agent.pem"));
    directory.put("agent.pem", "a certificate", 0o644);
    let beside = load("").unwrap();
    assert!(!beside.is_enrolled());
    assert_eq!(beside.controller.key_file, directory.0.join("agent.key"));
    fs::remove_file(directory.0.join("agent.pem")).unwrap();

    // A power cut between two renames, where a file system cannot exchange two names.
    fs::rename(state.join(IDENTITY), state.join(FORMER_IDENTITY)).unwrap();
    let former = load("").unwrap();
    assert!(former.is_enrolled() && former.controller.key_file.starts_with(state.join(FORMER_IDENTITY)));
}

#[test]
fn who_was_never_enrolled_is_told_to() {
    let directory = Directory::new();
    let state = directory.0.join("state");
    let load = |more: &str| {
        let text = format!("state_directory = \"{}\"\n{more}", state.display());
        Config::load(&directory.put("agent.toml", &text, 0o644), &Environment::default())
    };
    for (settings, key) in [("", "site"), ("site = \"nyeri-01\"", "controller.addresses")] {
        let message = load(settings).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains("tawi-agent enrol"), "{message}");
    }
    enrolled(&directory, "Nyeri!", "[]");
    let message = load("").unwrap_err().to_string();
    assert!(message.contains("identity.toml") && message.contains("tawi-agent enrol"), "{message}");
}

#[test]
fn the_packaged_examples_state_the_defaults() {
    // Every commented key is taken in; what stands there as the default must be the default.
    let uncommented: String = PACKAGED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '[') => {
                rest
            }
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let (all, least) =
        (load(&uncommented).unwrap(), load(&format!("{LEAST}{}", of_packaged("[enforce]"))).unwrap());
    assert_eq!(all.enforce, least.enforce);
    assert_eq!(all.log_level, least.log_level);
    assert_eq!(all.upgrade.is_enabled, least.upgrade.is_enabled);
    assert_eq!((all.upgrade.keys.len(), least.upgrade.keys.len()), (1, 0));
    assert_eq!(all.state_directory, least.state_directory);
    assert_eq!(
        (all.controller.keep_alive, least.controller.keep_alive),
        (Some(Duration::from_secs(240)), None)
    );
    assert_eq!(all.controller.reconnect_base, least.controller.reconnect_base);
    for (a, b) in [
        (&all.controller.ca_file, &least.controller.ca_file),
        (&all.controller.key_file, &least.controller.key_file),
        (&all.controller.certificate_file, &least.controller.certificate_file),
    ] {
        assert_eq!(a.file_name(), b.file_name());
    }
    let router = &all.routers[0];
    assert_eq!((router.name.as_str(), router.port, router.password.reveal()), ("core", 8729, "s3cret"));
}

/// The packaged file from this table on.
fn of_packaged(table: &str) -> &'static str {
    PACKAGED.split_at(PACKAGED.find(table).unwrap()).1
}

#[test]
fn every_key_is_explained_in_the_packaged_file() {
    // The words that the reader would accept, from its own message about an unknown key.
    for table in ["", "[controller]\n", "[enforce]\n", "[log]\n", "[upgrade]\n", "[[router]]\n"] {
        let text = if table == "[controller]\n" { String::new() } else { LEAST.to_owned() };
        let text = if table.is_empty() {
            format!("no_such_key = 1\n{LEAST}")
        } else {
            format!("{text}{table}no_such_key = 1\n")
        };
        let message = refusal(&text);
        let known = message.split_once("expected ").map_or(message.as_str(), |(_, list)| list);
        let keys: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert!(!keys.is_empty(), "{message}");
        for key in keys {
            assert!(
                PACKAGED.contains(&format!("{key} =")) || PACKAGED.contains(&format!("[{key}]")),
                "{key} of {table:?} is not explained"
            );
        }
    }
}

#[test]
fn routers_may_stand_in_their_own_file() {
    let directory = Directory::new();
    let path = directory.put("agent.toml", LEAST, 0o644);
    let router = "[[router]]\nname = \"core\"\nuser = \"tawi\"\naddress = \"10.0.0.1\"\ntransport = \"plain\"\npassword = \"s3cret\"\n";
    let routers = directory.put(ROUTERS_FILE, router, 0o600);
    let config = Config::load(&path, &Environment::default()).unwrap();
    assert_eq!(config.routers[0].password.reveal(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"), "a password is never printed");

    fs::set_permissions(&routers, fs::Permissions::from_mode(0o644)).unwrap();
    let message = Config::load(&path, &Environment::default()).unwrap_err().to_string();
    assert!(message.contains("router.password") && message.contains("chmod o-rwx"), "{message}");
}

#[test]
fn a_syntax_error_names_the_line_and_never_quotes_it() {
    let message = refusal(&with_router("address = \"10.0.0.1\"\npassword = \"s3cret\" x"));
    assert!(message.contains("agent.toml:8"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_without_saying_it() {
    let check = |value: &str, expected: &str| {
        let message = refusal(&with_router(&format!("address = \"10.0.0.1\"\npassword = {value}")));
        assert!(message.contains("agent.toml:8") && message.contains(expected), "{message}");
        assert!(!message.contains("8374") && !message.contains("1999"), "{message}");
    };
    check("83749261", "expected a string");
    check("8374.9261", "expected a string");
    check("1999-08-07", "expected a string");
    check("[\"8374\"]", "expected a string");
    let message = refusal(&with_router("address = \"10.0.0.1\"\npasword = \"s3cret\""));
    assert!(message.contains("pasword") && !message.contains("s3cret"), "a wrong key is named: {message}");
}

#[test]
fn every_refusal_names_its_key_and_a_cure() {
    let check = |text: &str, key: &str| {
        let message = refusal(text);
        assert!(message.contains(key) && message.contains("cure: "), "{text}\n→ {message}");
    };
    check("site = \"A\"\n[controller]\naddresses = [\"a\"]", "site");
    check("site = \"a\"\nstate_directory = \"/nowhere\"", "controller.addresses");
    check("state_directory = \"/nowhere\"\n[controller]\naddresses = [\"a\"]", "site");
    check("site = \"a\"\n[controller]\naddresses = []", "controller.addresses");
    check("site = \"a\"\n[controller]\naddresses = [\"a:b\"]", "controller.addresses");
    check("site = \"a\"\nstate_directory = \"x\"\n[controller]\naddresses = [\"a\"]", "state_directory");
    check(&format!("{LEAST}keep_alive_seconds = 1"), "controller.keep_alive_seconds");
    // Head office would take the site for dead between two signs of life.
    let too_long = tawi_shared::KEEP_ALIVE_LONGEST.as_secs() + 1;
    check(&format!("{LEAST}keep_alive_seconds = {too_long}"), "controller.keep_alive_seconds");
    check(&format!("{LEAST}reconnect_base_ms = 0"), "controller.reconnect_base_ms");
    check(&format!("{LEAST}server_name = \"a b\""), "controller.server_name");
    check(&format!("{LEAST}[enforce]\nguard_percent = 101"), "enforce.guard_percent");
    check(&format!("{LEAST}[log]\nlevel = \"loud\""), "log.level");
    check(&format!("{LEAST}[upgrade]\nrelease_keys = [\"tawikey1.x\"]"), "upgrade.release_keys");
    check(
        &format!("{LEAST}[upgrade]\nrelease_keys = [\"a\", \"a\", \"a\", \"a\", \"a\"]"),
        "upgrade.release_keys",
    );
    check(&format!("{LEAST}typo = 1"), "typo");
    check(
        &with_router("address = \"10.0.0.1\"\npassword_file = \"core.password\""),
        "router.tls_pin of \"core\"",
    );
    check(
        &with_router("address = \"a b\"\ntransport = \"plain\"\npassword_file = \"core.password\""),
        "router.address",
    );
    check(&with_router("address = \"10.0.0.1\"\ntransport = \"plain\""), "router.password_file");
    check(
        &with_router("address = \"10.0.0.1\"\ntls_pin = \"zz\"\npassword_file = \"core.password\""),
        "router.tls_pin",
    );
    let twice = format!("address = \"10.0.0.1\"\ntls_pin = \"{PIN}\"\npassword_file = \"core.password\"\n");
    let twice = with_router(&twice);
    check(&format!("{twice}{}", twice.strip_prefix(LEAST).unwrap()), "router.name");
}

#[test]
fn plain_text_is_only_for_a_private_address_and_only_when_asked_for() {
    let check = |address: &str, is_taken: bool| {
        let text = with_router(&format!(
            "address = \"{address}\"\ntransport = \"plain\"\npassword_file = \"core.password\""
        ));
        assert_eq!(load(&text).is_ok(), is_taken, "{address}");
    };
    for address in ["127.0.0.1", "10.1.2.3:8728", "172.16.0.1", "192.168.88.1", "[fd00::1]:8728", "::1"] {
        check(address, true);
    }
    for address in ["172.32.0.1", "41.90.1.1", "router.example", "2001:db8::1"] {
        check(address, false);
    }
}

#[test]
fn a_credential_of_the_same_name_wins_over_the_file_beside_the_settings() {
    let directory = Directory::new();
    let credentials = Directory::new();
    directory.put("core.password", "old", 0o600);
    credentials.put("core.password", "new", 0o400);
    let text =
        with_router("address = \"10.0.0.1\"\ntransport = \"plain\"\npassword_file = \"core.password\"");
    let path = directory.put("agent.toml", &text, 0o600);
    let environment =
        Environment { credentials_directory: Some(credentials.0.clone()), ..Environment::default() };
    assert_eq!(Config::load(&path, &environment).unwrap().routers[0].password.reveal(), "new");
}

#[test]
fn addresses_are_read_as_people_write_them() {
    let check = |text: &str, expected: Option<(&str, u16)>| {
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(split_host_port(text, 8883), expected, "{text}");
    };
    check("isp.example", Some(("isp.example", 8883)));
    check("isp.example:443", Some(("isp.example", 443)));
    check("[2001:db8::1]:443", Some(("2001:db8::1", 443)));
    check("2001:db8::1", Some(("2001:db8::1", 8883)));
    for bad in ["", ":443", "isp.example:", "isp.example:0", "isp.example:70000", "[x]:1", "a b"] {
        check(bad, None);
    }
}

#[test]
fn a_proxy_is_named_without_its_password() {
    let load = |keys: &str| load(&format!("{LEAST}{keys}\n")).map(|config| config.controller.proxy);
    let found =
        load("proxy = \"http://proxy.example:8080/\"\nproxy_credentials_file = \"proxy.credentials\"");
    let proxy = found.unwrap().unwrap();
    assert_eq!(
        (proxy.to_string(), proxy.credentials.unwrap().reveal()),
        ("proxy.example:8080".into(), "tawi:s3cret")
    );
    assert_eq!(load("proxy = \"proxy.example\"").unwrap().unwrap().to_string(), "proxy.example:3128");
    assert_eq!(load("").unwrap(), None);
    let refused = |keys: &str, word: &str| {
        let message = load(keys).unwrap_err().to_string();
        assert!(
            message.contains(word) && message.contains("cure:") && !message.contains("s3cret"),
            "{message}"
        );
    };
    refused("proxy = \"http://tawi:s3cret@proxy.example\"", "proxy_credentials_file");
    refused("proxy = \"socks5://proxy.example:1080\"", "CONNECT");
    refused("proxy = \"proxy.example\"\nproxy_credentials_file = \"no.credentials\"", "user:password");
    refused("proxy_credentials_file = \"proxy.credentials\"", "controller.proxy");
}

#[test]
fn who_may_sign_releases_is_said_by_the_settings_or_by_enrolment_and_the_settings_win() {
    let key = |seed| tawi_shared::release::SigningKey::from_seed(&[seed; 32]).unwrap().public();
    let directory = Directory::new();
    let state = enrolled(&directory, "nyeri-01", "[\"isp.example:8883\"]");
    let path = state.join("identity/identity.toml");
    let text = fs::read_to_string(&path).unwrap();
    let load = |named: &str, more: &str| {
        fs::write(&path, format!("{text}{named}")).unwrap();
        let settings = format!("state_directory = \"{}\"\n{more}", state.display());
        let config =
            Config::load(&directory.put("agent.toml", &settings, 0o644), &Environment::default()).unwrap();
        config.upgrade.keys
    };
    let named = format!("release_key = \"{}\"\n", key(1).to_text());
    let own = format!("[upgrade]\nrelease_keys = [\"{}\", \"{}\"]\n", key(2).to_text(), key(3).to_text());
    assert_eq!(load("", ""), []);
    assert_eq!(load(&named, ""), [key(1)]);
    assert_eq!(load(&named, &own), [key(2), key(3)]);
    assert_eq!(load(&named, "[upgrade]\nrelease_keys = []\n"), [], "nobody is somebody's choice");
    assert_eq!(load("release_key = \"nonsense\"\n", ""), []);
}

/// Whatever of an identity is damaged, a device that was a site stays one; whoever may not look is told so.
#[test]
fn a_damaged_identity_leaves_the_settings_usable_and_is_told_with_its_cure() {
    let check = |text: Option<&str>, says: &str, more: &str, is_damaged: bool| {
        let directory = Directory::new();
        let state = enrolled(&directory, "nyeri-01", "[\"isp.example:8883\"]");
        let settings = state.join(IDENTITY).join(SETTINGS_FILE);
        match text {
            Some(text) => fs::write(&settings, text).unwrap(),
            None => fs::remove_file(&settings).unwrap(),
        }
        let path = directory.0.join("agent.toml");
        fs::write(&path, format!("state_directory = \"{}\"\n{more}", state.display())).unwrap();
        if more.is_empty() && text != Some("site = \"nyeri-01\"\n") {
            // Nothing says which site it is.
            let message = Config::load(&path, &Environment::default()).unwrap_err().to_string();
            assert!(
                message.contains("identity.toml") && message.contains("sudo tawi-agent enrol"),
                "{message}"
            );
            assert!(!message.contains("the packaged agent.toml"), "{message}");
            fs::write(state.join("site"), "nyeri-01\n").unwrap();
        }
        let config = Config::load(&path, &Environment::default()).unwrap();
        assert_eq!(config.site.as_str(), "nyeri-01");
        assert_eq!(config.controller.key_file, state.join("identity/agent.key"));
        let damage = config.damage.clone().unwrap_or_default();
        assert_eq!(config.damage.is_some(), is_damaged, "{damage}");
        assert!(damage.contains(says) && !damage.contains("cure"), "{damage}");
        assert!(config.cure_of_identity().contains("site renew nyeri-01"), "{}", config.cure_of_identity());
        // A good one is taken up; another site's is not.
        enrolled(&directory, "thika-02", "[\"isp.example:8883\"]");
        assert_eq!(config.mended().is_err(), is_damaged);
        enrolled(&directory, "nyeri-01", "[\"isp.example:8883\"]");
        let mended = config.mended().unwrap();
        assert!(mended.damage.is_none() && !mended.controller.addresses.is_empty());
    };
    check(Some(""), "site", "", true);
    check(Some("sit"), "line 1", "", true);
    check(Some("\u{0}\u{0}"), "line 1", "", true);
    check(None, "not there any more", "", true);
    check(Some("site = \"nyeri-01\"\n"), "addresses", "", true);
    check(Some("sit"), "line 1", "site = \"nyeri-01\"\n", true);
    // Nothing of the damaged file is needed.
    check(Some("sit"), "", "site = \"nyeri-01\"\n[controller]\naddresses = [\"isp.example\"]\n", false);
}
