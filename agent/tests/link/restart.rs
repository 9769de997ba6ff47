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

impl Agent {
    /// The ids of the orders that a router was given and has not begun.
    async fn given(&self, count: usize) -> Vec<String> {
        let mut given = Vec::new();
        let taking = async {
            while given.len() < count {
                let Some(Order { answer: Answer::HeadOffice(id), .. }) =
                    self.orders.get("core").and_then(Orders::take)
                else {
                    tokio::task::yield_now().await;
                    continue;
                };
                given.push(id);
            }
        };
        assert!(timeout(PATIENCE, taking).await.is_ok(), "the router is given {given:?} alone");
        given
    }
}

/// Head office has many rows taken over, and the machine at the site is restarted while its router is at the first ones.
#[tokio::test(flavor = "multi_thread")]
async fn orders_to_take_rows_over_that_a_restart_cuts_short_are_carried_out_all_the_same() {
    const ROWS: usize = 15;
    let directory = Directory::new("orders");
    let (mut office, mut agent, epoch) = connected(&directory.0, &["core"]).await;
    let config = office.config(&directory.0);
    let lines: Vec<LineV1> = (0..ROWS).map(|number| line(&format!("line-{number:02}"), 5)).collect();
    office.say_delta(&delta(0, 1, &lines, &lines)).await;
    agent.enforces(1).await;
    let commands: Vec<CommandV1> = lines
        .iter()
        .map(|line| CommandV1 {
            id: format!("take {}", line.line),
            kind: CommandKind::Adopt.code(),
            not_after_ms: i64::MAX,
            router: "core".into(),
            line: line.line.clone(),
            argument: line.username.clone(),
            service: line.service,
        })
        .collect();
    let reachable =
        || Report::RouterStatus { router: "core".into(), is_reachable: true, release: Some("7.18".into()) };
    agent.report(reachable()).await;
    for command in &commands {
        office.say(Down::Command, command).await;
    }
    let before = agent.given(4).await;
    assert!(agent.orders["core"].take().is_none(), "no more are begun than are soon done");
    let is_done =
        |id: &str| Report::Ordered { router: "core".into(), id: id.into(), done: Done::succeeded("") };
    agent.report(is_done(&before[0])).await;
    agent.given(1).await;
    agent.kill().await;

    let agent = Agent::start(&config, &["core"]).await;
    office.hear_hello().await;
    office.answer(epoch, 0, 0).await;
    agent.report(reachable()).await;
    // As head office does of all that it has not heard the end of.
    for command in commands.iter().filter(|command| command.id != before[0]) {
        office.say(Down::Command, command).await;
    }
    let mut carried_out = vec![before[0].clone()];
    for _ in 1..ROWS {
        let id = agent.given(1).await.remove(0);
        agent.report(is_done(&id)).await;
        carried_out.push(id);
    }
    carried_out.sort();
    assert_eq!(carried_out, commands.iter().map(|command| command.id.clone()).collect::<Vec<_>>());
    let mut open: Vec<&str> = carried_out.iter().map(String::as_str).collect();
    while !open.is_empty() {
        let said = office.hear_until(|(_, _, message)| office::command_result(message)).await;
        if said.status == CommandStatus::Succeeded.code() {
            open.retain(|id| *id != said.id);
        }
    }
}
