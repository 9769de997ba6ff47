//! What head office asks of the agent itself, over the line.

use super::*;

use tawi_agent::config::{RouterConfig, RouterTransport, Secret};
use tawi_agent::own_log;
use tawi_shared::wire::CommandResultV1;
use tracing::level_filters::LevelFilter;

fn ask(id: &str, kind: CommandKind, argument: &str) -> CommandV1 {
    CommandV1 {
        id: id.into(),
        kind: kind.code(),
        not_after_ms: i64::MAX,
        router: String::new(),
        line: String::new(),
        argument: argument.into(),
        service: 0,
    }
}

/// What is answered until the command is over, and how it ended.
async fn answered(office: &mut Office, id: &str) -> (String, CommandResultV1) {
    let mut told = String::new();
    let end = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Answer(answer) if answer.command == id => {
                if answer.part == 0 {
                    told.clear();
                }
                told += std::str::from_utf8(&answer.bytes).unwrap();
                None
            }
            UpMessage::CommandResult(result)
                if result.id == id && result.status != CommandStatus::Executing.code() =>
            {
                Some(result.clone())
            }
            _ => None,
        })
        .await;
    (told, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_and_diagnostics_come_without_a_secret_and_again_after_a_cut() {
    let directory = Directory::new("remote");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    let password = "pass-w0rd-of-core";
    config.routers = vec![RouterConfig {
        name: "core".into(),
        host: "127.0.0.1".into(),
        // Nothing listens there: the doctor says so.
        port: 1,
        transport: RouterTransport::Plain,
        user: "tawi".into(),
        password: Secret::new(password),
    }];
    let agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;

    office.say(Down::Command, &ask("look", CommandKind::Doctor, "")).await;
    let (text, end) = answered(&mut office, "look").await;
    assert_eq!(end.status, CommandStatus::Succeeded.code(), "{end:?}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["site"], SITE);
    let findings = report["findings"].as_array().unwrap();
    let is_router = |finding: &&serde_json::Value| finding["group"] == "router core";
    let router = findings.iter().find(is_router).unwrap();
    assert_eq!(router["verdict"], "bad", "{router}");
    assert!(!router["cure"].as_str().unwrap().is_empty(), "{router}");

    office.say(Down::Command, &ask("gather", CommandKind::Diagnostics, "")).await;
    let (text, end) = answered(&mut office, "gather").await;
    assert_eq!(end.status, CommandStatus::Succeeded.code(), "{end:?}");
    let bundle: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bundle["settings"]["routers"][0]["user"], "tawi");
    assert_eq!(bundle["status"]["site"], SITE);
    assert!(bundle["machine"]["uptime_seconds"].as_u64().is_some(), "{}", bundle["machine"]);
    let key = std::fs::read_to_string(&config.controller.key_file).unwrap();
    let key_line = key.lines().nth(1).unwrap();
    for hidden in [password, "w0rd", key_line, "PRIVATE KEY"] {
        assert!(!text.contains(hidden), "{hidden} is told");
    }

    // Head office was cut off before it took the result: it asks again, and is told all of it again, the answer first.
    office.cut();
    office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    office.say(Down::Command, &ask("gather", CommandKind::Diagnostics, "")).await;
    let (again, end) = answered(&mut office, "gather").await;
    assert_eq!((again, end.status), (text, CommandStatus::Succeeded.code()));
    agent.stop().await;
}

/// What the line may carry in an hour is spent: the doctor's report comes all the same, and what is larger waits.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_metered_line_an_answer_waits_and_the_doctors_comes() {
    let directory = Directory::new("metered");
    let mut office = Office::start(SITE).await;
    let mut config = office.config(&directory.0);
    config.controller.hourly_bytes = 10_000;
    let agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    // The purse of two kilobytes is overdrawn by the handshake alone.
    office.say(Down::Command, &ask("look", CommandKind::Doctor, "")).await;
    let (text, end) = answered(&mut office, "look").await;
    assert_eq!(end.status, CommandStatus::Succeeded.code(), "{end:?}");
    assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["findings"].is_array());

    // Of so many no more goes than the floor has left: the results behind the others wait with them.
    for number in 0..8 {
        office.say(Down::Command, &ask(&format!("gather-{number}"), CommandKind::Diagnostics, "")).await;
    }
    let begun = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Answer(answer) if answer.command.starts_with("gather") => Some(answer.clone()),
            _ => None,
        })
        .await;
    assert!(begun.bytes.len() <= 4 * 1024, "{} bytes in a part", begun.bytes.len());
    let parts = |status: &Status| {
        let of = |part: &&tawi_agent::health::LinePartStatus| part.part == "remote";
        status.controller.line.parts.iter().find(of).unwrap().bytes_sent
    };
    let told = async {
        let mut before = (0, 0);
        // It is told a part a second; several seconds in which none goes are the wait.
        while before.1 < 4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = parts(&agent.status().await);
            before = if now == before.0 { (now, before.1 + 1) } else { (now, 0) };
        }
        before.0
    };
    let told = timeout(6 * PATIENCE, told).await.expect("answers do not wait");
    let least = u64::try_from(text.len()).unwrap();
    assert!((least..32_000).contains(&told), "{told} bytes were told");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_set_and_a_watch_tells_how_the_agent_stands() {
    let directory = Directory::new("watch");
    let (mut office, agent, _) = connected(&directory.0, &["core"]).await;
    for (argument, status) in [
        ("warn", CommandStatus::Succeeded),
        ("debug", CommandStatus::Succeeded),
        ("loud", CommandStatus::Failed),
    ] {
        office.say(Down::Command, &ask(argument, CommandKind::SetLogLevel, argument)).await;
        let (_, end) = answered(&mut office, argument).await;
        assert_eq!(end.status, status.code(), "{end:?}");
    }
    assert_eq!(own_log::level(), LevelFilter::DEBUG);
    office.say(Down::Command, &ask("watch", CommandKind::Watch, "1")).await;
    let (text, end) = answered(&mut office, "watch").await;
    assert_eq!(end.status, CommandStatus::Succeeded.code(), "{end:?}");
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(seen["summary"].as_str().unwrap().starts_with("connected"), "{seen}");
    agent.stop().await;
}
