//! What an agent knows after a start, and where its store opens only later.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_enforces_from_flash_and_its_connection_has_a_higher_number() {
    let directory = Directory::new("link");
    let (mut office, mut agent, epoch) = connected(&directory.0, &["core"]).await;
    let config = office.config(&directory.0);
    office.say_delta(&delta(0, 1, &[line("a", 1)], &[line("a", 1)])).await;
    assert_eq!(office.hear_stored().await, 1);
    agent.enforces(1).await;
    agent.event("before").await;
    office.hear_event().await;
    agent.kill().await;
    // The will of the killed one, or its farewell: either names its connection.
    let first = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Bye(bye) => Some(bye.connection_epoch),
            _ => None,
        })
        .await;
    let mut agent = Agent::start(&config, &["core"]).await;
    assert_eq!(agent.enforces(1).await.lines.len(), 1);
    let (same_epoch, hello) = office.hear_hello().await;
    assert_eq!((same_epoch, hello.stored_generation), (epoch, 1));
    assert!(hello.connection_epoch > first);
    office.answer(epoch, 0, 0).await;
    assert_eq!(office.hear_event().await.2, "before", "an unconfirmed event survives");
    agent.stop().await;
    let farewell = office
        .hear_until(|(_, _, message)| match message {
            UpMessage::Bye(bye) => Some(bye.connection_epoch),
            _ => None,
        })
        .await;
    assert_eq!(farewell, hello.connection_epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_takes_a_router_that_settled_with_failures_for_unfinished() {
    let directory = Directory::new("link");
    let (mut office, mut agent, _) = connected(&directory.0, &["core"]).await;
    let both = [line("a", 5), line("b", 5)];
    office.say_delta(&delta(0, 1, &both, &both)).await;
    agent.enforces(1).await;
    let settled = |generation, failures| Report::Settled { router: "core".into(), generation, failures };
    agent.report(settled(1, vec![])).await;
    let after = [line("a", 6), line("b", 5)];
    office.say_delta(&delta(1, 2, &after[..1], &after)).await;
    agent.enforces(2).await;
    let failed = LineFailure { line: "a".into(), kind: FailureKind::NotApplied, detail: String::new() };
    agent.report(settled(2, vec![failed])).await;
    let applied = |heard: &office::Heard| match &heard.2 {
        UpMessage::Applied(applied) if applied.generation == 2 => Some(()),
        _ => None,
    };
    office.hear_until(applied).await;
    agent.stop().await;
    let (_, opening) = open_store(&directory.0.join("state")).await;
    assert_eq!(
        opening.settled.get("core"),
        Some(&1),
        "the new password of a line may not be on the router yet"
    );
}

/// Somebody holds the store's files while the agent starts, and lets go of them later.
#[tokio::test(flavor = "multi_thread")]
async fn what_flash_remembers_is_handed_on_when_the_store_opens_late() {
    let directory = Directory::new("late");
    let mut office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    std::fs::create_dir_all(&config.state_directory).unwrap();
    let (mut keeper, opening) = Keeper::open(&config.state_directory, IdSource::system(), Clock::system());
    let lines = [line("a", 5)];
    let Taken::Moved(state) = opening.state.take_delta(&delta(0, 1, &lines, &lines)) else {
        panic!("the state does not move")
    };
    keeper.put_state(Arc::new(state)).unwrap();
    let own_passwords = BTreeMap::from([("a".to_owned(), 7)]);
    let memory = RouterMemory { serial: "HEX1".into(), own_passwords, ..RouterMemory::default() };
    keeper.put_memory("core", &memory).unwrap();
    let begun = Kept {
        id: "k1".into(),
        not_after_ms: i64::MAX,
        status: CommandStatus::Executing.code(),
        at_ms: 1,
        detail: String::new(),
    };
    keeper.put_commands(&[begun]).unwrap();

    let mut agent = Agent::start(&config, &["core"]).await;
    let (epoch, _) = office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    assert_eq!(agent.state.borrow().generation, 0, "the store is shut");
    // Whether it was begun before the start, and what became of it, only the store knows.
    let again = CommandV1 {
        id: "k1".into(),
        kind: CommandKind::Kick.code(),
        not_after_ms: i64::MAX,
        router: "core".into(),
        line: "a".into(),
        argument: String::new(),
        service: 0,
    };
    // It is told of with each hello, and each time head office hears why nothing comes of it.
    for _ in 0..2 {
        office.say(Down::Command, &again).await;
        let said = office.hear_until(|(_, _, message)| office::command_result(message)).await;
        assert_eq!((said.id.as_str(), said.status), ("k1", CommandStatus::Waiting.code()), "{said:?}");
        assert!(said.detail.contains("waits for the agent's disk"), "{said:?}");
    }
    let problems = agent.status().await.problems();
    assert!(problems.iter().any(|said| said.starts_with("1 command of head office")), "{problems:?}");
    drop(keeper);
    agent.enforces(1).await;
    let found = agent.memories.get("core").and_then(FoundMemory::take);
    assert_eq!(found, Some(Remembered { memory, settled: None, lived: None }), "before the state");
    // The store has a life of its own, which head office has to hear of first.
    let mut early = Vec::new();
    let epoch = office
        .hear_until(|(_, header, message)| match message {
            UpMessage::Hello(_) => Some(header.store_epoch),
            UpMessage::CommandResult(result) => {
                early.push(result.detail.clone());
                None
            }
            _ => None,
        })
        .await;
    assert!(early.is_empty(), "{early:?}");
    office.answer(epoch, 0, 0).await;
    let said = office.hear_until(|(_, _, message)| office::command_result(message)).await;
    assert_eq!(said.status, CommandStatus::Executing.code(), "it is not begun again: {said:?}");
    assert!(said.detail.contains("restarted"), "{said:?}");
    agent.kill().await;
}
