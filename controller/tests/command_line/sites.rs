//! Sites, their settings and routers, and releases, as somebody at a shell meets them who mistypes and tries again.

use crate::program::{Place, text};

#[test]
fn settings_are_set_and_what_is_mistyped_is_named() {
    let place = Place::new("");
    for id in ["nyeri-01", "karatina-01"] {
        place.json(&["site", "add", id, "--name", id]);
    }
    let check = |arguments: &[&str], words: &str| {
        let said = place.refusal(1, &[&["site"][..], arguments].concat());
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    check(&["set", "report_seconds=1800"], "name the sites that it is for, such as nyeri-01, or --all");
    check(&["set", "--all", "nyeri-01", "report_seconds=1800"], "leave out nyeri-01, or leave out --all");
    check(&["unset", "nyeri-01"], "name a setting: kilobytes_an_hour");
    check(&["unset", "nyeri-01", "typo"], "typo is no site and no setting");
    check(&["unset", "nyeri-01", "typo", "log_level"], "typo is no site and no setting");
    check(&["unset", "nyeri-1", "log_level"], "there is no site nyeri-1; is it nyeri-01?");

    let output = place.run(&["site", "set", "karatina-01", "nyeri-01", "log_level=debug"]);
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("site nyeri-01 has not started yet, and is told when it first connects"), "{said}");
    assert!(said.ends_with("what it takes: tawi-controller site settings karatina-01\n"), "{said}");
    assert!(told.contains("no controller serves"), "{told}");
    let shown = text(&place.run(&["site", "settings", "nyeri-01"]).stdout);
    assert!(shown.contains("waiting: the site has not started yet"), "{shown}");
    let settings = place.json(&["site", "settings", "nyeri-01"]);
    assert_eq!(settings["settings"][0]["standing"], "waiting");
}

#[test]
fn a_site_is_shut_out_once_and_its_routers_are_listed() {
    let place = Place::new("");
    let added = place.run(&["site", "add", "nyeri-01", "--name", "Nyeri"]);
    assert!(text(&added.stderr).contains("the QR code is shown on a terminal only"), "{added:?}");
    assert!(!text(&added.stdout).contains("QR code"), "{added:?}");
    let quiet = place.run(&["site", "renew", "nyeri-01", "--no-qr"]);
    assert!(quiet.stderr.is_empty(), "{quiet:?}");

    let none = text(&place.run(&["router", "list"]).stdout);
    assert!(none.contains("there are no routers yet"), "{none}");
    let router = place.json(&["router", "add", "--site", "nyeri-01", "--name", "core"]);
    let listed = place.json(&["router", "list", "--site", "nyeri-01"]);
    assert_eq!((&listed[0]["id"], &listed[0]["site_id"]), (&router["id"], &"nyeri-01".into()));
    let said = text(&place.run(&["router", "list"]).stdout);
    assert!(said.starts_with("nyeri-01") && said.contains("never reached"), "{said}");
    assert!(
        place.refusal(1, &["router", "list", "--site", "thika-01"]).contains("there is no site thika-01")
    );

    place.json(&["site", "revoke", "nyeri-01"]);
    let again = place.refusal(1, &["site", "revoke", "nyeri-01"]);
    assert!(again.contains("revoked already, since 20") && again.contains("site renew nyeri-01"), "{again}");
    let nowhere = place.refusal(1, &["site", "revoke", "thika-01"]);
    assert!(nowhere.contains("there is no site thika-01") && !nowhere.contains("already"), "{nowhere}");
}

#[test]
fn a_release_that_cannot_be_taken_has_a_cure() {
    let place = Place::new("");
    let key = place.json(&["release", "new-key", "--out", "keys"]);
    let settings = format!("[upgrade]\nrelease_key = \"{}\"\n", key["release_key"].as_str().unwrap());
    place.configure("127.0.0.1:0", &settings);
    let missing = place.refusal(1, &["release", "add", "none.release"]);
    assert!(missing.contains("none.release: ") && missing.contains("\n  cure: name the file"), "{missing}");
    let said = place.refusal(2, &["upgrade", "start", "0.2.0", "--soak", "24"]);
    assert!(said.contains("with its unit, s, m, h or d"), "{said}");
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri", "--offline-bundle", "bundle"]);
    let carried = std::fs::read_to_string(place.directory().join("bundle/agent.toml")).unwrap();
    assert!(carried.contains(key["release_key"].as_str().unwrap()), "{carried}");
}
