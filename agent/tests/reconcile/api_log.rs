//! The API log of a router that was really written to: every write is in it, and no password is, wherever it rests.

use std::path::Path;
use std::sync::Arc;

use crate::site::{ROUTER, Site, password, username};
use tawi_agent::api_log::files::Files;
use tawi_agent::api_log::show::{Wanted, print_from};
use tawi_agent::api_log::{ApiLog, Write};
use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::outbox::Keeper;
use tawi_agent::reconcile::orders::What;
use tawi_shared::wire::{Access, CommandStatus, Lane, Service, UpMessage};
use tawi_shared::{Clock, IdSource};
use tokio::sync::watch;

const LINES: [&str; 4] = ["plot-a", "plot-b", "plot-c", "plot-d"];

/// Every byte of every file below a directory.
fn bytes_of(directory: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes_of(&path));
        } else {
            found.push(std::fs::read(&path).unwrap());
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn written() -> Vec<Write> {
    let log = ApiLog::default();
    let clock = TrustedClock::new(Clock::system(), KeptTime::default());
    let (_core, state) = watch::channel(Arc::default());
    let witness = log.witness(ROUTER, clock, state);
    let mut site = Site::start_with(|_| {}, |settings| settings.connect.witness = Some(witness)).await;
    site.settle(|wants| LINES.iter().for_each(|line| wants.open(line))).await;
    let device = site.dial("plot-a");
    site.online(&device).await;
    site.settle(|wants| {
        wants.line("plot-b").password = "another secret".into();
        wants.switch_off("plot-a");
        wants.lines.remove("plot-c");
    })
    .await;
    let (writes, lost) = log.take();
    let count = u64::try_from(writes.len()).unwrap();
    assert_eq!((count, lost), (site.writes(), 0), "every write is in the log, and nothing else");
    writes
}

#[tokio::test]
async fn every_write_is_in_the_log_with_its_line_and_no_password_rests_anywhere() {
    let writes = written().await;
    for line in LINES {
        assert!(writes.iter().any(|write| write.line.as_deref() == Some(line)), "{line}: {writes:?}");
    }
    let is_kick = |write: &&Write| write.operation == "/ppp/active/remove";
    assert!(writes.iter().any(|write| is_kick(&write) && write.line.as_deref() == Some("plot-a")));
    assert!(writes.iter().any(|write| write.parameters.contains("password=***")));
    let directory = std::env::temp_dir().join(format!("tawi-no-password-{}", IdSource::system().hex(4)));
    std::fs::create_dir_all(&directory).unwrap();
    let (mut keeper, _) = Keeper::open(&directory, IdSource::system(), Clock::system());
    keeper.put_writes(&writes, Clock::system().now());
    let records = keeper.take(Lane::Log, 0, 16);
    keeper.sync();
    let mut told = 0;
    for record in &records {
        let Ok((_, UpMessage::RouterWrites(batch))) = UpMessage::decode(&record.bytes) else {
            panic!("no batch")
        };
        told += batch.writes.len();
    }
    assert_eq!(told, writes.len());
    drop(keeper);
    let resting = bytes_of(&directory);
    let travelling = records.into_iter().map(|record| record.bytes);
    let everywhere: Vec<Vec<u8>> = resting.into_iter().chain(travelling).collect();
    assert!(
        everywhere.iter().any(|bytes| holds(bytes, &username("plot-a"))),
        "the search finds what is there"
    );
    for secret in LINES.map(password).iter().map(String::as_str).chain(["another secret"]) {
        assert!(!everywhere.iter().any(|bytes| holds(bytes, secret)), "{secret}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// What `tawi-agent log --line` shows of these writes.
fn shown(writes: &[Write], line: &str) -> Vec<String> {
    let directory = std::env::temp_dir().join(format!("tawi-log-of-line-{}", IdSource::system().hex(4)));
    Files::within(&directory).append(writes, Clock::system().now()).unwrap();
    let wanted = Wanted { line: Some(line.into()), ..Wanted::default() };
    let mut shown = vec![];
    let print = |text: &str| {
        shown.push(text.to_owned());
        true
    };
    print_from(&directory, &wanted.with_lines(&directory).unwrap(), 0, print).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    shown
}

#[tokio::test]
async fn a_line_that_was_taken_over_is_found_by_the_name_that_it_had_and_by_the_one_that_it_got() {
    let log = ApiLog::default();
    let clock = TrustedClock::new(Clock::system(), KeptTime::default());
    let (core, state) = watch::channel(Arc::default());
    let witness = log.witness(ROUTER, clock, state);
    let mut site = Site::start_with(|_| {}, |settings| settings.connect.witness = Some(witness)).await;
    let row = [("name", "plot17"), ("password", "their own"), ("service", "pppoe"), ("profile", "default")];
    site.router.add_row("ppp/secret", &row).unwrap();
    site.settle(|wants| {
        wants.open("other");
        let line = wants.line("b7k2");
        (line.username, line.password) = ("plot17".into(), String::new());
    })
    .await;
    core.send_replace(site.state());
    let adopt = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
    let done = site.order(adopt).await;
    assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
    site.settle(|wants| wants.switch_off("b7k2")).await;
    let (mut writes, _) = log.take();
    let told = shown(&writes, "plot17");
    assert_eq!(told, shown(&writes, "b7k2"));
    assert!(told.iter().any(|text| text.contains("comment=tawi:b7k2")), "{told:?}");
    assert!(told.iter().all(|text| text.contains("line b7k2 (plot17)")), "{told:?}");

    site.settle(|wants| {
        let line = wants.line("b7k2");
        (line.access, line.username) = (Access::Open.code(), "plot18".into());
    })
    .await;
    core.send_replace(site.state());
    writes.extend(log.take().0);
    let by_id = shown(&writes, "b7k2");
    assert!(by_id.len() > told.len(), "{by_id:?}");
    assert_eq!((shown(&writes, "plot17"), shown(&writes, "plot18")), (by_id.clone(), by_id));
    assert_eq!(shown(&writes, "plot1"), Vec::<String>::new());
}
