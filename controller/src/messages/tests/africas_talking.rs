//! Texts through a simulated Africa's Talking, and what comes back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use africastalking_sim::{Faults, Handle, ReportFaults, Settings, Simulator};

use super::{DAY, Office};
use crate::messages::africas_talking::callback;
use crate::messages::sender::Sender;
use crate::messages::state::State;
use crate::messages::store;
use crate::shutdown::Shutdown;

const DEADLINE: Duration = Duration::from_secs(20);

/// An office whose texts go to a simulator that knows where to report.
struct Line {
    office: Office,
    simulator: Simulator,
    sender: Sender,
    callbacks: SocketAddr,
    token: String,
    _serving: tokio::task::JoinSet<()>,
}

impl Line {
    async fn open() -> Self {
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        let office = Office::with(&format!(
            "channel = \"africas_talking\"\nusername = \"sandbox\"\napi_key_file = \"key\"\nsender_id = \"TAWI\"\n\
             base_url = \"{}\"",
            simulator.base_url()
        ))
        .await;
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let callbacks = socket.local_addr().unwrap();
        let routes = callback::routes(office.controller.clone());
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(socket, routes).await.unwrap() });
        let mut read = office.controller.database.read().await.unwrap();
        let token = store::report_token(&mut read).await.unwrap().unwrap();
        drop(read);
        simulator.handle().set_report_url(Some(format!("http://{callbacks}/callbacks/sms/{token}")));
        let sender = office.sender();
        Self { office, simulator, sender, callbacks, token, _serving: serving }
    }

    fn handle(&self) -> Handle {
        self.simulator.handle()
    }

    fn faults(&self, faults: Faults) {
        self.handle().set_faults(faults);
    }

    async fn send(&mut self) -> usize {
        let shutdown = Shutdown::default();
        let count = self.sender.send_some(&shutdown.stop()).await.unwrap();
        assert!(self.handle().settled(DEADLINE).await);
        count
    }

    fn pass(&self, span: Duration) {
        self.office.controller.clock.advance(span);
    }

    async fn post(&self, token: &str, body: &str) -> u16 {
        let url = format!("http://{}/callbacks/sms/{token}", self.callbacks);
        let form = "application/x-www-form-urlencoded";
        let request = reqwest::Client::new().post(url).header("content-type", form).body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    }
}

fn silent() -> ReportFaults {
    ReportFaults { copies: 0, ..ReportFaults::default() }
}

#[tokio::test]
async fn a_text_is_sent_once_and_its_report_says_that_it_arrived() {
    let mut line = Line::open().await;
    line.office.refund("r1").await;
    assert_eq!(line.send().await, 1);
    let texts = line.handle().texts();
    assert_eq!((texts.len(), texts[0].to.as_str(), texts[0].from.as_str()), (1, "+254712345678", "TAWI"));
    let message = line.office.messages().await.remove(0);
    assert_eq!((texts[0].message.as_str(), message.course.state), (message.body.as_str(), State::Delivered));
    assert_eq!((message.course.cost.as_str(), message.course.attempts), ("KES 0.8000", 1));
    assert_eq!(line.send().await, 0);
}

#[tokio::test]
async fn a_lost_answer_about_money_is_unknown_and_never_sent_again() {
    let mut line = Line::open().await;
    line.faults(Faults { lose_answer_next: 1, reports: silent(), ..Faults::default() });
    line.office.refund("r1").await;
    assert_eq!(line.send().await, 1);
    assert_eq!(line.office.states().await, [State::Unknown]);
    for _ in 0..5 {
        line.pass(Duration::from_secs(3_600));
        assert_eq!(line.send().await, 0);
    }
    assert_eq!(line.handle().texts().len(), 1, "the customer got one");
}

#[tokio::test]
async fn who_dies_between_the_call_and_its_answer_does_not_tell_of_money_again() {
    let mut line = Line::open().await;
    line.faults(Faults { slow_answer_ms: 600_000, reports: silent(), ..Faults::default() });
    line.office.refund("r1").await;
    let mut dying = line.office.sender();
    let shutdown = Shutdown::default();
    let stop = shutdown.stop();
    let sending = tokio::spawn(async move { dying.send_some(&stop).await });
    assert!(line.handle().has_taken(1, DEADLINE).await, "the text is out");
    sending.abort();
    assert!(sending.await.is_err(), "and nobody hears the answer");
    assert_eq!(line.office.states().await, [State::Sending], "the attempt was written down before");
    line.faults(Faults::default());
    line.office.sender().recover().await.unwrap();
    line.pass(Duration::from_secs(3_600));
    assert_eq!(line.send().await, 0);
    assert_eq!((line.office.states().await, line.handle().texts().len()), (vec![State::Unknown], 1));
}

#[tokio::test]
async fn a_lost_answer_of_another_text_is_tried_once_more() {
    let mut line = Line::open().await;
    line.faults(Faults { lose_answer_next: 9, reports: silent(), ..Faults::default() });
    line.office.hold().await;
    for _ in 0..5 {
        line.send().await;
        line.pass(Duration::from_secs(900));
    }
    assert_eq!(line.handle().texts().len(), 2);
    assert_eq!(line.office.states().await, [State::Unknown]);
}

#[tokio::test]
async fn while_the_account_is_refused_nothing_is_lost_and_nobody_is_pestered() {
    let refusals = [
        Faults { unauthorized: true, ..Faults::default() },
        Faults { no_balance: true, ..Faults::default() },
        Faults { invalid_sender: true, ..Faults::default() },
    ];
    for faults in refusals {
        let mut line = Line::open().await;
        line.faults(faults.clone());
        line.office.refund("r1").await;
        line.office.refund("r2").await;
        assert_eq!(line.send().await, 2);
        assert_eq!(line.office.states().await, [State::Queued, State::Queued], "{faults:?}");
        assert_eq!(line.send().await, 0, "it pauses");
        line.pass(Duration::from_secs(60));
        assert_eq!(line.send().await, 1, "one text tries it");
        line.faults(Faults::default());
        line.pass(Duration::from_secs(60));
        assert_eq!((line.send().await, line.send().await), (1, 1));
        assert_eq!(line.office.states().await, [State::Delivered, State::Delivered]);
        assert_eq!(line.handle().texts().len(), 2);
    }
}

#[tokio::test]
async fn a_gateway_that_fails_leaves_one_text_in_doubt_and_the_others_wait() {
    let mut line = Line::open().await;
    line.faults(Faults { error_next: 1, ..Faults::default() });
    line.office.refund("r1").await;
    line.send().await;
    line.office.refund("r2").await;
    assert_eq!(line.send().await, 0, "it pauses");
    line.pass(Duration::from_secs(60));
    assert_eq!(line.send().await, 1);
    let mut states = line.office.states().await;
    states.sort_unstable();
    assert_eq!(states, [State::Unknown, State::Delivered]);
}

#[tokio::test]
async fn a_number_that_opted_out_is_not_tried_again() {
    let mut line = Line::open().await;
    let blacklisted = BTreeSet::from(["+254712345678".to_owned()]);
    line.faults(Faults { blacklisted, ..Faults::default() });
    line.office.refund("r1").await;
    assert_eq!((line.send().await, line.send().await), (1, 0));
    let message = line.office.messages().await.remove(0);
    assert_eq!(message.course.state, State::Failed);
    assert!(message.course.reason.contains("406 UserInBlacklist"), "{}", message.course.reason);
}

#[tokio::test]
async fn nobody_there_is_no_doubt() {
    let mut line = Line::open().await;
    let address = "http://127.0.0.1:1";
    let section = format!(
        "channel = \"africas_talking\"\nusername = \"sandbox\"\napi_key_file = \"key\"\nbase_url = \"{address}\""
    );
    line.office.settings = super::settings(&section, &line.office.directory);
    line.sender = line.office.sender();
    line.office.refund("r1").await;
    line.send().await;
    assert_eq!(line.office.states().await, [State::Queued]);
    line.pass(DAY);
    line.send().await;
    assert_eq!(line.office.states().await, [State::Dropped], "a day later it is no news");
}

#[tokio::test]
async fn reports_come_doubled_early_late_and_again() {
    for (faults, expected) in [
        (ReportFaults { copies: 3, ..ReportFaults::default() }, State::Delivered),
        (ReportFaults { copies: 2, before_answer: true, ..ReportFaults::default() }, State::Delivered),
        (ReportFaults { delay_ms: 150, ..ReportFaults::default() }, State::Delivered),
        (ReportFaults { status: "Submitted".to_owned(), ..ReportFaults::default() }, State::Sent),
        (
            ReportFaults {
                status: "Failed".to_owned(),
                failure_reason: "UserIsInactive".to_owned(),
                ..ReportFaults::default()
            },
            State::Failed,
        ),
    ] {
        let mut line = Line::open().await;
        line.faults(Faults { reports: faults.clone(), ..Faults::default() });
        line.office.refund("r1").await;
        line.send().await;
        assert_eq!(line.office.states().await, [expected], "{faults:?}");
        if expected == State::Failed {
            let id = line.handle().texts()[0].id.clone();
            assert_eq!(line.handle().report(&id, "Success").await, Ok(200));
            let message = line.office.messages().await.remove(0);
            assert_eq!(message.course.reason, "Africa's Talking: UserIsInactive", "the first word counts");
        }
    }
}

#[tokio::test]
async fn a_report_without_the_secret_changes_nothing() {
    let mut line = Line::open().await;
    line.faults(Faults { reports: silent(), ..Faults::default() });
    line.office.refund("r1").await;
    line.send().await;
    let id = line.handle().texts()[0].id.clone();
    let body = format!("id={id}&status=Failed&failureReason=forged");
    let guessed = line.token.replace(|digit| digit != '0', "0");
    for token in
        [guessed.as_str(), "x", &line.token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A")]
    {
        assert_eq!(line.post(token, &body).await, 404, "{token}");
    }
    assert_eq!(line.office.states().await, [State::Sent]);
    let token = line.token.clone();
    assert_eq!(line.post(&token, "id=ATXid_unknown&status=Success").await, 200);
    assert_eq!(line.post(&token, "nonsense").await, 200);
    assert_eq!(line.post(&token, &"x".repeat(5_000)).await, 413);
    assert_eq!(line.office.states().await, [State::Sent]);
    assert_eq!(line.post(&token, &format!("id={id}&status=Success")).await, 200);
    assert_eq!(line.office.states().await, [State::Delivered]);
}

#[tokio::test]
async fn what_is_reported_of_no_text_is_not_written_down_while_nothing_is_handed_over() {
    let line = Line::open().await;
    let token = line.token.clone();
    let count = async || {
        let mut read = line.office.controller.database.read().await.unwrap();
        let row =
            sqlx::query("SELECT COUNT(*) AS n FROM message_reports").fetch_one(&mut *read).await.unwrap();
        sqlx::Row::get::<i64, _>(&row, "n")
    };
    assert_eq!(line.post(&token, "id=ATXid_1&status=Success").await, 200);
    assert_eq!(count().await, 0);
    line.office.refund("r1").await;
    line.office.execute("UPDATE messages SET state = 'sending', attempts = 1").await;
    for _ in 0..2 {
        assert_eq!(line.post(&token, "id=ATXid_1&status=Success").await, 200);
    }
    assert_eq!(count().await, 1);
}
