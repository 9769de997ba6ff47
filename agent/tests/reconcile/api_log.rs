//! The API log of a router that was really written to: every write is in it, and no password is, wherever it rests.

use std::path::Path;

use crate::site::{ROUTER, Site, password, username};
use tawi_agent::api_log::{ApiLog, Write};
use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::outbox::Keeper;
use tawi_shared::wire::{Lane, UpMessage};
use tawi_shared::{Clock, IdSource};

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
    let witness = log.witness(ROUTER, clock);
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
