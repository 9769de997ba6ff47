//! Head office: the controller's link and its database, whose messages are carried by the test and whose clock it turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sqlx::Row as _;
use tawi_controller::mqtt::by_hand::{ByHand, Word};
use tawi_controller::shutdown::Shutdown;
use tawi_shared::topics::{Up, parse_up};
use tawi_shared::{Clock, SiteId};
use tawi_tests::money::house::{House, Template};

use super::BEGIN;
use tawi_tests::money::safaricom::Safaricom;
use tawi_tests::money::site::SITE;
use tawi_tests::office::id_of;

pub struct Office {
    pub clock: Clock,
    pub lines: Vec<String>,
    house: House,
    link: ByHand,
    _shutdown: Shutdown,
    _template: Template,
    _safaricom: Safaricom,
}

/// From here on time passes only by hand; threads of the store and of the database are waited for all the same.
pub fn hold_time() -> std::sync::mpsc::Sender<()> {
    let (held, hold) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    // Time would run by itself while nothing else does; it does not while somebody is at work outside.
    tokio::task::spawn_blocking(move || {
        let _ = hold.recv();
    });
    held
}

impl Office {
    pub async fn open(directory: &Path, lines: usize) -> Self {
        let template = Template::make(&directory.join("office")).await.unwrap();
        let clock = Clock::manual(BEGIN);
        let safaricom = Safaricom::start(clock.clone()).await.unwrap();
        let house = template.copy(1, clock.clone(), safaricom.address).await.unwrap();
        let mut office = Self {
            clock,
            lines: Vec::new(),
            link: ByHand::open(&house.controller, &Shutdown::default().stop()),
            house,
            _shutdown: Shutdown::default(),
            _template: template,
            _safaricom: safaricom,
        };
        office.populate(lines).await;
        office.link.nobody_is_there().await;
        office
    }

    async fn populate(&mut self, lines: usize) {
        let of = |answer: serde_json::Value, list: &str| id_of(&answer[list][0]).unwrap();
        let plan = of(self.house.get("/api/plans").await.unwrap(), "plans");
        let router = of(self.house.get("/api/routers").await.unwrap(), "routers");
        for number in 0..lines {
            let new = json!({"name": format!("House {number}"), "phone": format!("25471{number:07}")});
            let (_, customer) = self.house.post("/api/customers", &new).await.unwrap();
            let new = json!({
                "customer_id": id_of(&customer).unwrap(), "plan_id": plan, "router_id": router,
                "username": format!("house{number}"), "password": "secret99",
            });
            let (status, line) = self.house.post("/api/subscriptions", &new).await.unwrap();
            assert_eq!(status, 201, "{line}");
            self.lines.push(id_of(&line).unwrap());
            // What nobody ever paid for is no line of the site.
            self.pay(&self.lines[number]).await;
        }
    }

    /// Somebody pays at the counter.
    pub async fn pay(&self, line: &str) {
        let subscription = self.house.get(&format!("/api/subscriptions/{line}")).await.unwrap();
        let customer = subscription["customer_id"].as_str().unwrap();
        let path = format!("/api/customers/{customer}/counter-payments");
        let paid = json!({
            "means": "cash", "amount_cents": 150_000, "is_another": true, "subscription_id": line,
        });
        let (status, answer) = self.house.post(&path, &paid).await.unwrap();
        assert!(status < 300, "{answer}");
    }

    /// Time passes, for everybody.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Whether this is answered.
    pub async fn hear(&self, topic: &str, bytes: Vec<u8>, is_light: bool) -> bool {
        self.link.hear(&SiteId::parse(SITE).unwrap(), topic, bytes, is_light).await;
        matches!(parse_up(topic), Some((_, Up::Hello | Up::Usage | Up::Event | Up::Log)))
    }

    /// What it says; where an answer is due it is waited for.
    pub async fn said(&mut self, is_due: bool) -> Vec<Word> {
        for _ in 0..100_000 {
            // What comes together is answered together, a millisecond later.
            self.pass(Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
            let said = self.link.said();
            if !is_due || !said.is_empty() {
                return said;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        panic!("head office does not answer");
    }

    /// What is known of each session: its bytes up and down.
    pub async fn sessions(&self) -> BTreeMap<String, (u64, u64)> {
        let mut read = self.house.controller.database.read().await.unwrap();
        let query = "SELECT session_key, upload_bytes, download_bytes FROM usage_sessions";
        let rows = sqlx::query(query).fetch_all(&mut *read).await.unwrap();
        let number = |count: i64| u64::try_from(count).unwrap();
        rows.iter().map(|row| (row.get(0), (number(row.get(1)), number(row.get(2))))).collect()
    }

    /// What all lines moved by the sums of days.
    pub async fn by_day(&self) -> u64 {
        self.count("SELECT CAST(SUM(upload_bytes + download_bytes) AS BIGINT) FROM usage_days").await
    }

    /// How often anybody came or went, as far as is known.
    pub async fn turns(&self) -> u64 {
        self.count("SELECT COUNT(*) FROM site_events WHERE kind IN (1, 2)").await
    }

    /// Events that are there more than once.
    pub async fn twice_told(&self) -> u64 {
        self.count(
            "SELECT COUNT(*) FROM (SELECT 1 FROM site_events GROUP BY at, kind, line_id HAVING COUNT(*) > 1)",
        )
        .await
    }

    /// When the newest total of a line was read, in milliseconds since 1970.
    pub async fn newest_sample_of(&self, line: &str) -> i64 {
        let mut read = self.house.controller.database.read().await.unwrap();
        let query = sqlx::query("SELECT MAX(sampled_at) FROM usage_sessions WHERE line_id = $1").bind(line);
        query.fetch_one(&mut *read).await.unwrap().get(0)
    }

    async fn count(&self, query: &'static str) -> u64 {
        let mut read = self.house.controller.database.read().await.unwrap();
        u64::try_from(sqlx::query(query).fetch_one(&mut *read).await.unwrap().get::<i64, _>(0)).unwrap()
    }
}
