//! The commands of an API operator and the doctor, with the real program, a running controller and a simulated Daraja.

use std::os::unix::fs::PermissionsExt as _;

use daraja_sim::{
    DEMO_OPERATOR_PASSWORD, FaultsChange, OPERATOR_CERTIFICATE_PEM, PaybillOutcome, PaybillPayment,
    ResultFaults, Settings, Simulator,
};
use serde_json::Value;

use crate::program::{Place, text};

const OPERATOR: &str = "initiator_name = \"demo-operator\"\ninitiator_password_file = \"operator\"\n\
                        certificate_file = \"certificate.cer\"\n";

/// A port that was free a moment ago: results must find the controller where its settings say.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn place_for(simulator: &Simulator, operator: &str) -> Place {
    let (place, port) = (Place::new(""), free_port());
    let secrets =
        [("secret", "demo-secret"), ("passkey", "demo-passkey"), ("operator", DEMO_OPERATOR_PASSWORD)];
    for (name, content) in secrets {
        let path = place.directory().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::write(place.directory().join("certificate.cer"), OPERATOR_CERTIFICATE_PEM).unwrap();
    let section = format!(
        "[mpesa]\nbase_url = \"{}\"\nshort_code = \"174379\"\ntransaction_type = \"pay_bill\"\n\
         consumer_key = \"demo-key\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
         callback_base_url = \"http://127.0.0.1:{port}\"\n{operator}",
        simulator.base_url()
    );
    place.configure(&format!("127.0.0.1:{port}"), &section);
    place
}

fn finding<'a>(report: &'a Value, step: &str) -> &'a Value {
    let mut findings = report["short_codes"][0]["findings"].as_array().unwrap().iter();
    findings.find(|finding| finding["step"] == step).unwrap_or_else(|| panic!("{step}: {report}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn balance_status_and_doctor_hear_what_the_running_controller_takes_in() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let place = place_for(&simulator, OPERATOR);
    let said = place.refusal(69, &["mpesa", "balance"]);
    assert!(said.contains("does not serve") && said.contains("systemctl start"), "{said}");
    assert_eq!(simulator.handle().state().operator_requests, 0, "nothing is asked that nobody hears");

    let serving = place.serve();
    let paybill =
        PaybillPayment { short_code: "174379".to_owned(), amount: 250, account: "12345674".to_owned() };
    let PaybillOutcome::Paid { receipt } =
        simulator.handle().pay_by_paybill("254712345678", &paybill).await.unwrap()
    else {
        panic!("not paid")
    };
    let balance = place.json(&["mpesa", "balance"]);
    let utility = &balance["accounts"][1];
    assert_eq!((&utility["name"], &utility["available_cents"]), (&"Utility Account".into(), &25_000.into()));
    let words = text(&place.run(&["mpesa", "balance"]).stdout);
    assert!(words.contains("Charges Paid Account: KES -1,540.50, of which"), "{words}");

    let status = place.json(&["mpesa", "status", receipt.as_str()]);
    assert_eq!((&status["status"], &status["amount_cents"]), (&"Completed".into(), &25_000.into()));
    let said = place.refusal(1, &["mpesa", "status", "NOSUCH0001"]);
    assert!(said.contains("R000002") && said.contains("cure:"), "{said}");
    place.refusal(2, &["mpesa", "status", "no receipt"]);

    let output = place.run(&["mpesa", "doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"BAD".into()));
    assert_eq!(finding(&report, "operator")["verdict"], "OK", "{report}");
    assert_eq!(finding(&report, "callback address")["verdict"], "BAD", "the simulator's is not public");
    let words = text(&place.run(&["mpesa", "doctor"]).stdout);
    assert!(words.contains("OK      access token: ") && words.contains("        cure: "), "{words}");

    let results = ResultFaults { lost: true, ..ResultFaults::default() };
    let change = FaultsChange { results: Some(results), ..FaultsChange::default() };
    simulator.handle().set_faults(&change).unwrap();
    let said = place.refusal(69, &["mpesa", "balance", "--wait", "1"]);
    assert!(said.contains("no answer either way"), "{said}");
    let (code, log) = serving.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(DEMO_OPERATOR_PASSWORD), "{log}");
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_the_commands_say_which_keys_are_missing() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let place = place_for(&simulator, "");
    assert!(place.refusal(1, &["mpesa", "balance"]).contains("initiator_name"));
    let place = place_for(&simulator, "initiator_name = \"demo-operator\"\n");
    assert!(place.refusal(78, &["config", "check"]).contains("all three"));
    simulator.stop().await;
}
