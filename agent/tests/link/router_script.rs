//! `tawi-agent router-script` as a technician runs it: where the password goes, and what is refused with which exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::office::Directory;

/// Settings of a site whose router was not prepared yet.
const SETTINGS: &str = "site = \"nyeri-01\"\n[controller]\naddresses = [\"isp.example\"]\n";

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_tawi-agent"));
    let config = directory.join("agent.toml");
    Command::new(program).arg("router-script").args(arguments).arg("--config").arg(config).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_password_goes_to_its_file_and_into_the_script_and_nowhere_else() {
    let directory = Directory::new("script");
    std::fs::write(directory.0.join("agent.toml"), SETTINGS).unwrap();
    let output_file = directory.0.join("core.rsc");
    let arguments = ["--router", "core", "--release", "7.18", "--router-address", "127.0.0.1"];
    let with_output = [&arguments[..], &["--output", output_file.to_str().unwrap()]].concat();
    let first = run(&directory.0, &with_output);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let password = std::fs::read_to_string(directory.0.join("core.password")).unwrap();
    let password = password.trim_end();
    assert_eq!(password.len(), 32);
    for file in ["core.password", "core.rsc"] {
        let mode = std::fs::metadata(directory.0.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let script = std::fs::read_to_string(&output_file).unwrap();
    assert!(script.contains(&format!("password={password} ")));
    let said = text(&first.stdout) + &text(&first.stderr);
    assert!(
        !said.contains(password) && said.contains("[[router]]") && said.contains("core.password"),
        "{said}"
    );

    // Run again it is the same, word for word: pasting it once more changes nothing on the router.
    let again = run(&directory.0, &arguments);
    assert_eq!(text(&again.stdout), script);
    let removal = run(&directory.0, &[&arguments[..], &["--remove"]].concat());
    assert!(removal.status.success() && !text(&removal.stdout).contains(password));
}

#[test]
fn what_the_settings_say_of_the_router_is_taken_from_there() {
    let directory = Directory::new("script");
    std::fs::write(directory.0.join("agent.toml"), SETTINGS).unwrap();
    let routers = "[[router]]\nname = \"core\"\naddress = \"127.0.0.1:9729\"\nuser = \"tower\"\npassword_file = \"a.secret\"\n";
    std::fs::write(directory.0.join("routers.toml"), routers).unwrap();
    let made = run(&directory.0, &["--router", "core", "--release", "7.18"]);
    let script = text(&made.stdout);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(directory.0.join("a.secret").exists());
    assert!(script.contains("/user add name=tower ") && script.contains("dst-port=9729"), "{script}");
    assert!(!text(&made.stderr).contains("[[router]]"));
}

#[test]
fn what_cannot_be_done_is_refused_with_the_cure() {
    let directory = Directory::new("script");
    let whole = ["--router", "core", "--release", "7.18", "--router-address", "127.0.0.1"];
    let missing = run(&directory.0, &whole);
    assert_eq!(missing.status.code(), Some(78));
    std::fs::write(directory.0.join("agent.toml"), SETTINGS).unwrap();
    let check = |arguments: &[&str], code: i32, says: &str| {
        let refused = run(&directory.0, arguments);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains(says) && refused.stdout.is_empty(), "{said}");
        assert!(!directory.0.join("core.password").exists(), "no password for a script that was refused");
    };
    check(&["--router", "core", "--release", "7.18"], 2, "--router-address");
    check(&["--router", "core", "--router-address", "127.0.0.1"], 69, "--release");
    check(&[&whole[..], &["--group", "full"]].concat(), 2, "cure: ");
    check(&[&whole[..], &["--allow-host", "pay page"]].concat(), 2, "cure: ");
    check(&[&whole[..], &["--pay-page", "pay.isp.example"]].concat(), 2, "203.0.113.10");
    check(&["--router", "core", "--release", "5.26", "--router-address", "127.0.0.1"], 2, "7.9 or later");
    check(&[&whole[..], &["--user", "admin"]].concat(), 2, "such as tawi");
    for option in ["--router-address", "--agent", "--resolver"] {
        let bad = ["--router", "core", "--release", "7.18", option, "router.lan:8729"];
        check(&bad, 2, "cure: give one without a port");
    }
    check(&[&whole[..], &["--resolver", "10.0.0.53"]].concat(), 2, "cure: name it with --allow-host");
    check(&[&whole[..], &["--pay-page", "203.0.113.10:443"]].concat(), 2, "such as 80");
    let nowhere = directory.0.join("nowhere/core.rsc");
    let refused = run(&directory.0, &[&whole[..], &["--output", nowhere.to_str().unwrap()]].concat());
    assert_eq!(refused.status.code(), Some(73), "{}", text(&refused.stderr));
}

#[test]
fn a_release_that_nobody_tried_is_warned_of_beside_the_script() {
    let directory = Directory::new("script");
    std::fs::write(directory.0.join("agent.toml"), SETTINGS).unwrap();
    for (release, is_known) in [("v7.18.2", true), ("7.30", false), ("v8.1", false)] {
        let made =
            run(&directory.0, &["--router", "core", "--release", release, "--router-address", "127.0.0.1"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        assert_eq!(text(&made.stderr).contains("WARNING: "), !is_known, "{release}");
        assert_eq!(text(&made.stdout).starts_with("# WARNING: "), !is_known, "{release}");
    }
}
