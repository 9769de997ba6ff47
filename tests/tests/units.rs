//! The systemd units as systemd itself judges them: nothing unknown in them, and little that an intruder could use.

use std::path::{Path, PathBuf};
use std::process::Command;

use tawi_shared::IdSource;

const UNITS: [&str; 2] = ["tawi-agent.service", "tawi-controller.service"];

/// 2.0 on systemd's scale from 0 (nothing exposed) to 10, which the tool takes times ten.
const EXPOSURE_TIMES_TEN: &str = "20";

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(name)
}

#[expect(clippy::expect_used, reason = "without systemd-analyze nothing here can be judged")]
fn analyze(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .expect("systemd-analyze is there: make setup installs it");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn every_unit_exposes_little() {
    for name in UNITS {
        let path = unit(name);
        let threshold = format!("--threshold={EXPOSURE_TIMES_TEN}");
        let (passed, text) =
            analyze(&["security", "--offline=true", "--no-pager", &threshold, &path.to_string_lossy()]);
        println!("{}", text.lines().last().unwrap_or_default());
        assert!(passed, "{name}:\n{text}");
    }
}

/// The agent says when it is ready, and every few seconds that it lives. Without these lines nobody would listen: it would
/// count as started before its routers are served, and one that hangs would hang for ever.
#[test]
fn the_agent_is_waited_for_and_one_that_hangs_is_started_anew() {
    let text = std::fs::read_to_string(unit("tawi-agent.service")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for wanted in ["Type=notify", "NotifyAccess=main", "WatchdogSec=120", "Restart=always"] {
        assert!(lines.contains(&wanted), "tawi-agent.service lacks {wanted}");
    }
}

/// `verify` wants the program to exist, so the units are judged in a root of their own, with a stand-in for it.
#[test]
fn every_unit_is_understood_by_systemd() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = std::env::temp_dir().join(format!("tawi-units-{}", IdSource::system().hex(4)));
    for name in UNITS {
        let units = root.join("usr/lib/systemd/system");
        let programs = root.join("usr/bin");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::copy(unit(name), units.join(name)).unwrap();
        // The targets that a unit names come with systemd.
        for target in std::fs::read_dir("/usr/lib/systemd/system").unwrap().flatten() {
            if target.path().extension().is_some_and(|kind| kind == "target") {
                let _ = std::fs::copy(target.path(), units.join(target.file_name()));
            }
        }
        let program = programs.join(name.trim_end_matches(".service"));
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let root_option = format!("--root={}", root.display());
        let (passed, text) = analyze(&["verify", "--recursive-errors=no", "--man=no", &root_option, name]);
        assert!(passed && text.trim().is_empty(), "{name}:\n{text}");
    }
    std::fs::remove_dir_all(&root).unwrap();
}
