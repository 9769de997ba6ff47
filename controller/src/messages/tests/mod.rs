//! Texts over a real database: written with their cause, sent once, and never on a guess.

mod africas_talking;
mod causes;
mod ending;
mod sending;

use std::time::Duration;

use sqlx::{Executor as _, Row as _};
use tawi_shared::{Clock, UnixMillis};

use super::sender::{Channel, Sender};
use super::settings::{RawSms, SmsSettings};
use super::{Message, store, take_over};
use crate::database::Database;
use crate::payments::testing::{World, world};
use crate::shutdown::Shutdown;
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

/// 2026-11-25 10:00 in Nairobi.
const TEN: UnixMillis = UnixMillis(1_795_590_000_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A controller with one customer and their line, and texts that go to the log.
struct Office {
    directory: TemporaryDirectory,
    controller: Controller,
    world: World,
    settings: SmsSettings,
}

impl Office {
    async fn open() -> Self {
        Self::with("channel = \"log\"").await
    }

    async fn with(section: &str) -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(TEN), ..Controller::new(database) };
        let settings = settings(section, &directory);
        let office = Self { directory, controller, world, settings };
        office.execute("UPDATE sites SET is_online = 1").await;
        office.switch(true).await;
        office
    }

    async fn switch(&self, is_on: bool) {
        let mut write = self.controller.database.write().await.unwrap();
        let settings = is_on.then_some(&self.settings);
        take_over(&mut write, settings, &self.controller.ids, self.now()).await.unwrap();
        write.commit().await.unwrap();
    }

    fn now(&self) -> UnixMillis {
        self.controller.clock.now()
    }

    fn sender(&self) -> Sender {
        Sender::new(self.controller.clone(), &self.settings, Channel::new(&self.settings.channel).unwrap())
    }

    async fn send(&self) -> usize {
        let shutdown = Shutdown::default();
        self.sender().send_some(&shutdown.stop()).await.unwrap()
    }

    async fn execute(&self, sql: &'static str) {
        let mut write = self.controller.database.write().await.unwrap();
        write.execute(sql).await.unwrap();
        write.commit().await.unwrap();
    }

    /// All texts, the oldest first: occasion, state and words.
    async fn texts(&self) -> Vec<(&'static str, &'static str, String)> {
        let all = self.messages().await;
        all.into_iter()
            .map(|one| (one.course.occasion.as_str(), one.course.state.as_str(), one.body))
            .collect()
    }

    async fn messages(&self) -> Vec<Message> {
        let mut read = self.controller.database.read().await.unwrap();
        let rows = sqlx::query("SELECT id FROM messages ORDER BY id").fetch_all(&mut *read).await.unwrap();
        let mut all = Vec::new();
        for row in rows {
            let id: String = row.get("id");
            all.push(store::by_id(&mut read, &id.parse().unwrap()).await.unwrap().unwrap());
        }
        all
    }
}

fn settings(section: &str, directory: &TemporaryDirectory) -> SmsSettings {
    directory.write_secret("key", "demo-key\n");
    let raw: RawSms = toml::from_str(section).unwrap();
    raw.check(directory.path()).unwrap()
}

#[test]
fn a_wrong_section_is_refused_by_its_key() {
    let directory = TemporaryDirectory::new();
    directory.write_secret("key", "demo-key\n");
    let refused = |text: &str, expected: &str| {
        let raw: Result<RawSms, _> = toml::from_str(text);
        let error = match raw {
            Ok(raw) => raw.check(directory.path()).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(expected), "{text}: {error}");
    };
    refused("channel = \"pigeon\"", "channel");
    refused("channel = \"log\"\nlanguage = \"fr\"", "language");
    refused("channel = \"log\"\nquiet_from = \"9pm\"", "quiet_from");
    refused("channel = \"log\"\ntexts_a_second = 0", "texts_a_second");
    refused("channel = \"log\"\ntexts_per_customer_a_day = 101", "texts_per_customer_a_day");
    refused("channel = \"log\"\ndays_kept = 0", "days_kept");
    refused("channel = \"log\"\ndays = 0", "days");
    refused("channel = \"log\"\nusername = \"x\"", "username");
    let account = "channel = \"africas_talking\"\nusername = \"isp\"\napi_key_file = \"key\"\n";
    refused(&account.replace("\"isp\"", "\"\""), "username");
    refused(&account.replace("\"key\"", "\"no-such-key\""), "api_key_file");
    refused(&format!("{account}sender_id = \"much-too-long-a-name\""), "sender_id");
    refused(&format!("{account}base_url = \"http://api.example\""), "base_url");
    let good = settings(account, &directory);
    assert!(!format!("{good:?}").contains("demo-key"), "the key hides itself");
}
