//! Commands, held plans and the API log over the link.

use tawi_shared::wire::{
    ANSWER_PART_BYTES, AnswerV1, CommandKind, CommandResultV1, CommandStatus, CommandV1, ForeignRowV1,
    ForeignRowsV1, HeldPlanV1, RouterWriteV1, RouterWritesV1, Service, WriteStatus,
};

use super::*;
use crate::audit::Actor;
use crate::commands::{self, Command, LASTS, NewCommand, Standing};
use crate::ids::IdSource;
use crate::{adoption, held_plans, router_writes};

async fn command(agent: &mut Agent) -> CommandV1 {
    match agent.heard().await {
        DownMessage::Command(command) => command,
        other => panic!("{other:?}"),
    }
}

impl Link {
    async fn order(&self, kind: CommandKind) -> Command {
        let controller = &self.house.controller;
        let new = NewCommand {
            site: self.world.site.clone(),
            kind,
            router: "core".into(),
            line: Some(self.world.line.clone()),
            argument: "x".into(),
            service: None,
            lasts: LASTS,
        };
        let mut write = controller.database.write().await.unwrap();
        let actor = Actor::CommandLine("test".into());
        let now = controller.clock.now();
        let command = commands::queue(&mut write, new, &actor, &IdSource::system(), now).await.unwrap();
        write.commit().await.unwrap();
        controller.live.ring_outbox();
        command
    }

    /// Waits until the newest command stands so, for this reason.
    async fn stands_with(&self, standing: Standing, detail: &str) -> Command {
        self.stands_as(standing, |command| command.detail == detail).await
    }

    /// Waits until the newest command stands so.
    async fn stands(&self, standing: Standing) -> Command {
        self.stands_as(standing, |_| true).await
    }

    async fn stands_as(&self, standing: Standing, holds: impl Fn(&Command) -> bool) -> Command {
        let mut hints = self.house.controller.live.listen();
        let waited = timeout(PATIENCE, async {
            loop {
                let mut read = self.house.controller.database.read().await.unwrap();
                let newest = commands::latest_of(&mut read, &self.world.site, 1).await.unwrap().remove(0);
                drop(read);
                if newest.standing == standing && holds(&newest) {
                    return newest;
                }
                let _ = hints.recv().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never {standing:?}"))
    }
}

fn result(id: &str, status: CommandStatus, detail: &str) -> CommandResultV1 {
    CommandResultV1 { id: id.to_owned(), status: status.code(), at_ms: 1, detail: detail.to_owned() }
}

#[tokio::test]
async fn a_command_is_told_at_once_and_with_each_hello_until_its_result_came() {
    let link = Link::open().await;
    let mut agent = link.greeted(hello(1, 0, StateHash::default())).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    let ordered = link.order(CommandKind::Kick).await;
    let told = command(&mut agent).await;
    assert_eq!((told.id.as_str(), told.kind), (ordered.id.as_str(), CommandKind::Kick.code()));
    assert_eq!(told.line, link.world.line.to_string());
    // What it waits for is known, and it is told again until something comes of it.
    for waits in ["it waits for the disk", "it waits for the disk; full"] {
        agent.say(Up::Ack, &result(&told.id, CommandStatus::Waiting, waits), (EPOCH, 0)).await;
        link.stands_with(Standing::Queued, waits).await;
    }
    agent.say(Up::Ack, &result(&told.id, CommandStatus::Executing, ""), (EPOCH, 0)).await;
    link.stands(Standing::Executing).await;
    agent.say(Up::Ack, &result(&told.id, CommandStatus::Waiting, "of an older start"), (EPOCH, 0)).await;
    agent.say(Up::Hello, &hello(2, 0, StateHash::default()), (EPOCH, 0)).await;
    for _ in Lane::ALL {
        cursor(&mut agent).await;
    }
    assert_eq!(command(&mut agent).await.id, told.id, "it is told again");
    assert_eq!(link.stands(Standing::Executing).await.detail, "", "it was begun, whatever waits now");
    for _ in 0..2 {
        agent.say(Up::Ack, &result(&told.id, CommandStatus::Succeeded, "1 ended"), (EPOCH, 0)).await;
    }
    assert_eq!(link.stands(Standing::Succeeded).await.detail, "1 ended");
    agent.say(Up::Ack, &result(&told.id, CommandStatus::Failed, "late"), (EPOCH, 0)).await;
    agent.say(Up::Hello, &hello(3, 0, StateHash::default()), (EPOCH, 0)).await;
    for _ in Lane::ALL {
        cursor(&mut agent).await;
    }
    // In order: were the command told once more, it would come before this answer.
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    assert_eq!(cursor(&mut agent).await.lane, Lane::Event.code());
    assert_eq!(link.stands(Standing::Succeeded).await.detail, "1 ended", "what is over stays so");
    assert_eq!(link.column("SELECT COUNT(*) FROM audit_log WHERE action = 'command.given'").await, 1);
    link.close().await;
}

#[tokio::test]
async fn what_a_site_may_have_begun_is_not_told_to_its_next_store_or_its_next_device() {
    let link = Link::open().await;
    let mut agent = link.greeted(hello(1, 0, StateHash::default())).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    link.order(CommandKind::Doctor).await;
    let doctor = command(&mut agent).await;
    link.order(CommandKind::Kick).await;
    let begun = command(&mut agent).await;
    agent.say(Up::Ack, &result(&begun.id, CommandStatus::Executing, ""), (EPOCH, 0)).await;
    link.stands(Standing::Executing).await;
    // It may have been begun by now, whether that was heard or not.
    link.order(CommandKind::Kick).await;
    let told = command(&mut agent).await;
    let bare = HelloV1 { routers: vec![], ..hello(2, 0, StateHash::default()) };
    agent.say(Up::Hello, &bare, (EPOCH + 1, 0)).await;
    for _ in Lane::ALL {
        cursor(&mut agent).await;
    }
    assert_eq!(command(&mut agent).await.id, doctor.id, "what may be done twice is told again");
    let mut read = link.house.controller.database.read().await.unwrap();
    for id in [begun.id, told.id] {
        let given_up = commands::get(&mut read, &id).await.unwrap().unwrap();
        assert_eq!(given_up.standing, Standing::Failed);
        assert!(given_up.detail.contains("whether it was done is not known"), "{}", given_up.detail);
    }
    drop(read);
    // Nor is anything known of a router that this one does not speak of.
    assert_eq!(link.column("SELECT COUNT(*) FROM routers WHERE is_reachable = 1 OR release <> ''").await, 0);
    let ordered = link.order(CommandKind::Kick).await;
    assert_eq!(command(&mut agent).await.id, ordered.id.as_str(), "what is ordered now is for the new one");
    link.close().await;
}

#[tokio::test]
async fn results_and_rows_of_another_site_are_not_believed() {
    let link = Link::open().await;
    let ordered = link.order(CommandKind::ListForeign).await;
    let thief = link.house.certificate("thief").await;
    let mut agent = link.house.agent("thief", &thief).await;
    agent.say(Up::Hello, &HelloV1 { routers: vec![], ..fresh() }, (EPOCH, 0)).await;
    for _ in Lane::ALL {
        cursor(&mut agent).await;
    }
    let row = ForeignRowV1 {
        service: Service::Pppoe.code(),
        username: "plot9".into(),
        comment: String::new(),
        profile: "home".into(),
        rate_limit: "5M/10M".into(),
        is_disabled: false,
        is_online: true,
        address: String::new(),
        caller_id: String::new(),
    };
    let rows = ForeignRowsV1 {
        command: ordered.id.to_string(),
        chunk: 0,
        chunks: 1,
        router: "core".into(),
        rows: vec![row],
    };
    agent.say(Up::Ack, &rows, (EPOCH, 0)).await;
    agent.say(Up::Ack, &result(ordered.id.as_str(), CommandStatus::Succeeded, "mine"), (EPOCH, 0)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    cursor(&mut agent).await;
    assert_eq!(link.stands(Standing::Queued).await.detail, "");
    assert_eq!(link.column("SELECT COUNT(*) FROM foreign_rows").await, 0);
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &fresh(), (EPOCH, 0)).await;
    let of_another = ForeignRowsV1 { router: "edge".into(), ..rows.clone() };
    agent.say(Up::Ack, &of_another, (EPOCH, 0)).await;
    agent.say(Up::Ack, &rows, (EPOCH, 0)).await;
    agent.say(Up::Ack, &result(ordered.id.as_str(), CommandStatus::Succeeded, "1 row"), (EPOCH, 0)).await;
    link.stands(Standing::Succeeded).await;
    // The command is over since an hour: what names it now is not believed.
    let mut write = link.house.controller.database.write().await.unwrap();
    let hour = "UPDATE commands SET standing_at = standing_at - 3600001";
    sqlx::query(hour).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let mut late = rows.clone();
    late.rows[0].username = "late".into();
    agent.say(Up::Ack, &late, (EPOCH, 0)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    while !matches!(agent.heard().await, DownMessage::Cursor(told) if told.lane == Lane::Event.code() && told.cursor == 1)
    {
    }
    assert_eq!(link.column("SELECT COUNT(*) FROM foreign_rows").await, 1);
    let mut read = link.house.controller.database.read().await.unwrap();
    let found = adoption::rows_of(&mut read, &link.world.site, "core").await.unwrap();
    assert_eq!(found.iter().map(|row| row.username.as_str()).collect::<Vec<_>>(), ["plot9"]);
    drop(read);
    link.close().await;
}

#[tokio::test]
async fn an_answer_is_kept_in_its_parts_and_believed_of_the_site_that_was_asked_alone() {
    let link = Link::open().await;
    let ordered = link.order(CommandKind::Diagnostics).await;
    let kick = link.order(CommandKind::Kick).await;
    let part = |command: &Command, part, parts, text: &str| AnswerV1 {
        command: command.id.to_string(),
        part,
        parts,
        bytes: text.as_bytes().to_vec(),
    };
    let thief = link.house.certificate("thief").await;
    let mut agent = link.house.agent("thief", &thief).await;
    agent.say(Up::Hello, &HelloV1 { routers: vec![], ..fresh() }, (EPOCH, 0)).await;
    agent.say(Up::Ack, &part(&ordered, 0, 1, "{}"), (EPOCH, 0)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    while !matches!(agent.heard().await, DownMessage::Cursor(told) if told.cursor == 1) {}
    assert_eq!(link.column("SELECT COUNT(*) FROM command_answers").await, 0);
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &fresh(), (EPOCH, 0)).await;
    let huge = "x".repeat(ANSWER_PART_BYTES + 1);
    for bad in [
        part(&kick, 0, 1, "{}"),
        part(&ordered, 2, 2, "{}"),
        part(&ordered, 0, 0, "{}"),
        part(&ordered, 0, 21, "{}"),
        part(&ordered, 0, 1, "\0"),
        part(&ordered, 0, 1, &huge),
        AnswerV1 { bytes: vec![0xff], ..part(&ordered, 0, 1, "") },
        AnswerV1 { command: "nobodys".into(), ..part(&ordered, 0, 1, "{}") },
    ] {
        agent.say(Up::Ack, &bad, (EPOCH, 0)).await;
    }
    let answer = async || {
        let mut read = link.house.controller.database.read().await.unwrap();
        commands::answers::of(&mut read, &ordered.id).await.unwrap()
    };
    // In any order and twice, and whole only when all of it is there.
    for (number, text) in [(1, "2}"), (1, "2}")] {
        agent.say(Up::Ack, &part(&ordered, number, 2, text), (EPOCH, 0)).await;
    }
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 1)).await;
    while !matches!(agent.heard().await, DownMessage::Cursor(told) if told.cursor == 1) {}
    assert_eq!(link.column("SELECT COUNT(*) FROM command_answers").await, 1);
    assert_eq!(answer().await, None);
    agent.say(Up::Ack, &part(&ordered, 0, 2, "{\"a\":"), (EPOCH, 0)).await;
    agent.say(Up::Ack, &result(ordered.id.as_str(), CommandStatus::Succeeded, "1 kB"), (EPOCH, 0)).await;
    agent.say(Up::Event, &event(EventKind::PlanReleased, None), (EPOCH, 2)).await;
    while !matches!(agent.heard().await, DownMessage::Cursor(told) if told.cursor == 2) {}
    assert_eq!(answer().await.as_deref(), Some("{\"a\":2}"));
    link.close().await;
}

#[tokio::test]
async fn what_a_guard_holds_is_shown_until_the_agent_says_otherwise() {
    let link = Link::open().await;
    let mut agent = link.greeted(fresh()).await;
    link.site_becomes("online", |site| site.presence.is_online).await;
    let plan = |digest: &str, total| HeldPlanV1 {
        router: "core".into(),
        digest: digest.into(),
        lines_total: total,
        lines_working: 30,
        lines: vec![link.world.line.to_string(), "nobodys".into()],
        at_ms: 1,
    };
    let held = async |agent: &mut Agent, plan: HeldPlanV1, seq| {
        agent.say(Up::Ack, &plan, (EPOCH, 0)).await;
        agent.say(Up::Event, &event(EventKind::PlanHeld, None), (EPOCH, seq)).await;
        cursor(agent).await;
        let mut read = link.house.controller.database.read().await.unwrap();
        let plans = held_plans::list(&mut read, Some(&link.world.site)).await.unwrap();
        let lines = match plans.first() {
            Some(plan) => held_plans::lines_of(&mut read, plan, 10).await.unwrap(),
            None => vec![],
        };
        (plans, lines)
    };
    let (plans, lines) = held(&mut agent, plan("abc123", 2), 1).await;
    assert_eq!((plans[0].digest.as_str(), plans[0].lines_total, plans[0].lines_working), ("abc123", 2, 30));
    let known: Vec<bool> = lines.iter().map(|line| line.known.is_some()).collect();
    assert_eq!(known.iter().filter(|is_known| **is_known).count(), 1, "{lines:?}");
    assert_eq!(held(&mut agent, plan("not a digest!", 2), 2).await.0, vec![]);
    held(&mut agent, plan("abc124", 2), 3).await;
    assert_eq!(held(&mut agent, plan("", 0), 4).await.0, vec![]);
    let elsewhere = HeldPlanV1 { router: "unheard-of".into(), ..plan("abc125", 2) };
    assert_eq!(held(&mut agent, elsewhere, 5).await.0, vec![]);
    link.close().await;
}

#[tokio::test]
async fn the_api_log_is_taken_once_and_for_lines_of_the_site_alone() {
    let link = Link::open().await;
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let write = |line: &str| RouterWriteV1 {
        at_ms: link.house.controller.clock.now().0,
        router: "core".into(),
        operation: "/ppp/secret/add".into(),
        parameters: "name=plot17 password=***".into(),
        line: Some(line.to_owned()),
        status: WriteStatus::Done.code(),
        detail: String::new(),
    };
    let batch = RouterWritesV1 { writes: vec![write(link.world.line.as_str()), write("nobodys")] };
    for _ in 0..2 {
        agent.say(Up::Log, &batch, (EPOCH, 1)).await;
        let answer = cursor(&mut agent).await;
        assert_eq!((answer.lane, answer.cursor), (Lane::Log.code(), 1));
    }
    let mut read = link.house.controller.database.read().await.unwrap();
    let all = router_writes::search::Asked::default().read(link.house.controller.clock.now()).unwrap();
    let found = router_writes::find(&mut read, &all, 10).await.unwrap();
    let lines: Vec<_> = found.iter().map(|write| write.line.clone()).collect();
    assert_eq!(lines, [None, Some(link.world.line.clone())]);
    drop(read);
    link.close().await;
}

#[tokio::test]
async fn who_let_go_what_a_guard_held_stands_in_the_event_or_in_the_audit_log() {
    let link = Link::open().await;
    let mut agent = link.greeted(hello(1, 0, StateHash::default())).await;
    link.order(CommandKind::ReleaseHeld).await;
    command(&mut agent).await;
    let detail = format!("12 lines {}; 4 still held", tawi_shared::LET_GO_BY_OFFICE);
    let of = |kind, detail: &str| EventV1 {
        detail: detail.into(),
        router: Some("core".into()),
        ..event(kind, None)
    };
    agent.say(Up::Event, &of(EventKind::PlanReleased, &detail), (EPOCH, 1)).await;
    cursor(&mut agent).await;
    for _ in 0..2 {
        agent.say(Up::Event, &of(EventKind::LetGoAtSite, "12 lines, by wanjiru"), (EPOCH, 2)).await;
        cursor(&mut agent).await;
    }
    let said = "SELECT COUNT(*) FROM site_events WHERE detail = '12 lines let go by head office (cli:test); 4 still held'";
    assert_eq!(link.column(said).await, 1);
    let audited = "SELECT COUNT(*) FROM audit_log WHERE action = 'held.let_go' AND detail = 'core: 12 lines, by wanjiru'";
    assert_eq!(link.column(audited).await, 1, "and once");
    let actor =
        "SELECT COUNT(*) FROM audit_log a JOIN sites s ON a.actor = 'site:' || s.id AND a.subject = s.id";
    assert_eq!(link.column(actor).await, 1);
    link.close().await;
}
