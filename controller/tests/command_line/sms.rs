//! `sms doctor` and `sms test`, with the real program, a running controller and a simulated Africa's Talking.

use std::os::unix::fs::PermissionsExt as _;

use africastalking_sim::{Faults, Settings, Simulator};
use serde_json::Value;

use crate::program::{Place, text};

fn place_for(simulator: &Simulator) -> Place {
    let place = Place::new("");
    let path = place.directory().join("key");
    std::fs::write(&path, "demo-key\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let section = format!(
        "[sms]\nchannel = \"africas_talking\"\nusername = \"sandbox\"\napi_key_file = \"key\"\nbase_url = \"{}\"\n",
        simulator.base_url()
    );
    place.configure("127.0.0.1:0", &section);
    place
}

fn finding<'a>(report: &'a Value, step: &str) -> &'a Value {
    let mut findings = report["findings"].as_array().unwrap().iter();
    findings.find(|finding| finding["step"] == step).unwrap_or_else(|| panic!("{step}: {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_through_the_running_controller_and_the_doctor_says_what_is_missing() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let place = place_for(&simulator);
    assert!(place.refusal(1, &["sms", "test", "0712345678"]).contains("never switched on"));
    let serving = place.serve();

    let sent = place.json(&["sms", "test", "0712345678", "--wait", "5", "--language", "sw"]);
    assert_eq!((&sent["state"], &sent["cost"]), (&"sent".into(), &"KES 0.8000".into()));
    assert!(simulator.handle().texts()[0].message.starts_with("Hili ni jaribio"));
    place.refusal(2, &["sms", "test", "12"]);

    let output = place.run(&["sms", "doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"BAD".into()));
    let reports = finding(&report, "delivery reports");
    assert!(reports["found"].as_str().unwrap().contains("/callbacks/sms/"), "{report}");
    assert!(finding(&report, "account")["found"].as_str().unwrap().contains("KES 1785.5000"), "{report}");
    assert_eq!(finding(&report, "the last day")["found"], "1 sent");

    simulator.handle().set_faults(Faults { unauthorized: true, ..Faults::default() });
    let output = place.run(&["sms", "test", "0712345678", "--wait", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("It still waits after 3 s"), "{}", text(&output.stdout));
    let words = text(&place.run(&["sms", "doctor"]).stdout);
    assert!(
        words.contains(
            "BAD  waiting: texts wait that could not be sent; the last because: Africa's Talking does not"
        ),
        "{words}"
    );
    assert!(words.contains("BAD  account: ") && words.contains("cure: compare username"), "{words}");
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("demo-key") && !log.contains("712345678") && !log.contains("jaribio"), "{log}");
}
