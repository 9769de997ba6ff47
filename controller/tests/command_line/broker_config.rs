//! `broker-config`: what is printed, what is written and with what mode, and what is never overwritten.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::program::{Place, text};

const KINDS: [&str; 4] = ["mosquitto", "emqx", "vernemq", "nats"];
const URL: &str = "mqtts://mq.isp.example:8883";

fn read(directory: &Path, name: &str) -> String {
    std::fs::read_to_string(directory.join(name)).unwrap()
}

#[test]
fn every_broker_is_told_and_nothing_secret_is_printed() {
    let place = Place::new("");
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri"]);
    for kind in KINDS {
        let output = place.run(&["broker-config", kind, "--url", URL]);
        let said = text(&output.stdout);
        assert!(
            output.status.success() && said.contains("up") && said.contains("$controller"),
            "{kind}: {said}"
        );
        assert!(!said.contains("PRIVATE KEY") && !said.contains("BEGIN"), "{kind}");
        assert!(said.contains("/tawi/broker.key") && said.contains("8883"), "{kind}");
        // The names of the sites stand where a broker has no word for whoever asks.
        assert_eq!(said.contains("nyeri-01"), kind == "nats", "{kind}");
    }
    let said = place.refusal(1, &["broker-config", "mosquitto"]);
    assert!(said.contains("--url") && said.contains("[broker] url"), "{said}");
    let said =
        place.refusal(1, &["broker-config", "mosquitto", "--url", "mqtts://tawi:hunter22@mq.isp.example"]);
    assert!(said.contains("certificate") && !said.contains("hunter22"), "{said}");
    place.refusal(1, &["broker-config", "mosquitto", "--url", "mqtt://mq.isp.example"]);
    place.refusal(2, &["broker-config", "rabbitmq", "--url", URL]);
    place.refusal(2, &["broker-config", "mosquitto", "--renew"]);
    let help = text(&place.run(&["broker-config", "--help"]).stdout);
    assert!(help.contains("Examples:") && KINDS.iter().all(|kind| help.contains(kind)), "{help}");
}

#[test]
fn the_settings_say_where_the_broker_is_if_nobody_else_does() {
    let place = Place::new("url = \"mqtts://mq.isp.example:9883\"\n");
    let said = text(&place.run(&["broker-config", "mosquitto"]).stdout);
    assert!(said.contains("\nlistener 9883\n"), "{said}");
    place.configure("127.0.0.1:0", "url = \"mqtts://tawi:hunter22@mq.isp.example\"\n");
    let said = place.refusal(78, &["config", "check"]);
    assert!(said.contains("[broker] url") && !said.contains("hunter22"), "{said}");
    place.configure("127.0.0.1:0", "url = \"mqtt://10.0.0.5\"\n");
    let said = place.refusal(78, &["config", "check"]);
    assert!(said.contains("without TLS") && said.contains("mqtts://"), "{said}");
}

#[test]
fn a_key_is_written_for_its_owner_and_never_overwritten_unasked() {
    let place = Place::new("");
    let out = place.directory().join("tawi");
    let arguments =
        ["broker-config", "mosquitto", "--url", URL, "--out", "tawi", "--at", "/etc/mosquitto/tawi"];
    let first = place.json(&arguments);
    assert_eq!(first["is_key_new"], true, "{first}");
    let mode = |name: &str| out.join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("broker.key"), out.metadata().unwrap().permissions().mode() & 0o777), (0o600, 0o700));
    assert!(read(&out, "tawi.conf").contains("keyfile /etc/mosquitto/tawi/broker.key"));
    assert!(read(&out, "revoked.crl").contains("BEGIN X509 CRL"));
    let pair = (read(&out, "broker.key"), read(&out, "broker.pem"));

    std::fs::write(out.join("tawi.conf"), "nonsense").unwrap();
    let second = place.json(&arguments);
    assert_eq!(second["is_key_new"], false);
    assert!(read(&out, "tawi.conf").contains("listener 8883"), "what can be made again is");
    assert_eq!((read(&out, "broker.key"), read(&out, "broker.pem")), pair);
    place.json(&[&arguments[..], &["--renew"]].concat());
    assert_ne!((read(&out, "broker.key"), read(&out, "broker.pem")), pair);
    assert_eq!(mode("broker.key"), 0o600);
    let log = text(&place.run(&["audit", "list", "--json"]).stdout);
    assert!(log.contains("broker.certificate_made") && !log.contains("PRIVATE"), "{log}");
    let said = place.refusal(1, &["broker-config", "mosquitto", "--crl", "nowhere/revoked.crl"]);
    assert!(said.contains("nowhere/revoked.crl"), "{said}");
}

#[test]
fn the_list_names_who_is_revoked() {
    let place = Place::new("");
    let listed = || place.json(&["broker-config", "mosquitto", "--crl", "revoked.crl"])["revoked"].clone();
    place.json(&["site", "add", "nyeri-01", "--name", "Nyeri", "--offline-bundle", "one"]);
    assert_eq!(listed(), 0);
    place.json(&["site", "renew", "nyeri-01", "--offline-bundle", "two"]);
    assert_eq!(listed(), 1, "the one that was replaced");
    place.json(&["site", "revoke", "nyeri-01"]);
    assert_eq!(listed(), 2);
    place.json(&["site", "renew", "nyeri-01", "--offline-bundle", "three"]);
    assert_eq!(listed(), 2, "a site that is back has its newest only");
}
