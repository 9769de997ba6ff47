//! A controller with one customer and their line, and a simulated Daraja that calls it back.

use std::net::SocketAddr;
use std::time::Duration;

use daraja_sim::{Behaviour, Handle, Phone, Simulator};
use sqlx::{Executor as _, Row as _};
use tawi_shared::{Clock, UnixMillis};

use crate::database::Database;
use crate::entitlements::Status;
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::intake::Round;
use crate::mpesa::intent::{CallbackToken, Intent};
use crate::mpesa::{Daraja, RawMpesa, callback_router, intake, store};
use crate::payments::testing::{PHONE, World, world};
use crate::payments::{self, RequestPayment, Requested};
use crate::shutdown::Shutdown;
use crate::state::Controller;
use crate::subscriptions;
use crate::testing::TemporaryDirectory;

/// Longer than anything here takes, shorter than anybody waits.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// When the tests take place.
pub(super) const START: UnixMillis = UnixMillis(1_790_000_000_000);
/// One day, as the plan sells it.
pub(super) const DAY_MS: i64 = 86_400_000;

pub(super) struct Shop {
    pub(super) directory: TemporaryDirectory,
    pub(super) controller: Controller,
    pub(super) world: World,
    pub(super) daraja: Daraja,
    pub(super) simulator: Simulator,
    pub(super) address: SocketAddr,
    running: Option<Running>,
}

/// What is stopped when the controller stops.
struct Running {
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<()>,
}

/// Everything that money touches, in one look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) clearing: i64,
    pub(super) wallet: i64,
    pub(super) revenue: i64,
    pub(super) payments: u64,
    pub(super) evidence: i64,
    pub(super) traces: i64,
    pub(super) status: Status,
    /// From the start of the test, in days.
    pub(super) paid_days: Option<i64>,
}

impl Books {
    /// Before anybody paid.
    pub(super) const EMPTY: Self = Self {
        clearing: 0,
        wallet: 0,
        revenue: 0,
        payments: 0,
        evidence: 0,
        traces: 0,
        status: Status::Draft,
        paid_days: None,
    };
    /// After one payment of one price, told of once.
    pub(super) const PAID_ONCE: Self = Self {
        clearing: 150_000,
        wallet: 0,
        revenue: 150_000,
        payments: 1,
        evidence: 1,
        traces: 1,
        status: Status::Active,
        paid_days: Some(1),
    };
}

impl Shop {
    pub(super) async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let simulator = Simulator::start(daraja_sim::Settings::default()).await.unwrap();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let controller = controller(database);
        let daraja = daraja(&directory, simulator.base_url(), address, &controller);
        let mut shop = Self { directory, controller, world, daraja, simulator, address, running: None };
        shop.serve(socket);
        shop
    }

    /// The same, with more lines in the section of its settings.
    pub(super) fn with_settings(&mut self, more: &str) {
        self.daraja =
            daraja_with(&self.directory, self.simulator.base_url(), self.address, &self.controller, more);
    }

    /// The same, with what stands in the files of the secrets now.
    pub(super) fn with_secrets(&mut self, more: &str) {
        let (base_url, address) = (self.simulator.base_url(), self.address);
        self.daraja = daraja_from_files(&self.directory, base_url, address, &self.controller, more);
    }

    /// The same, with a Daraja that is elsewhere.
    pub(super) fn with_base_url(&mut self, base_url: &str) {
        self.daraja = daraja(&self.directory, base_url, self.address, &self.controller);
    }

    /// The short codes of the settings: its only one.
    pub(super) fn codes(&self) -> ShortCodes {
        self.daraja.clone().into()
    }

    fn serve(&mut self, socket: tokio::net::TcpListener) {
        let shutdown = Shutdown::default();
        let mut stop = shutdown.stop();
        let routes = callback_router(self.controller.clone(), &self.codes())
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let serve =
                axum::serve(socket, routes).with_graceful_shutdown(async move { stop.requested().await });
            serve.await.unwrap();
        });
        self.running = Some(Running { shutdown, serving });
    }

    /// Stops serving, closes the database and opens it again, on the same port: what a restart does.
    pub(super) async fn restart(&mut self) {
        let running = self.running.take().unwrap();
        running.shutdown.begin();
        running.serving.await.unwrap();
        self.controller.database.close().await;
        let clock = self.controller.clock.clone();
        self.controller = controller(Database::open(&self.directory.database_url()).await.unwrap());
        self.controller.clock = clock;
        self.daraja = daraja(&self.directory, self.simulator.base_url(), self.address, &self.controller);
        let socket = tokio::net::TcpListener::bind(self.address).await.unwrap();
        self.serve(socket);
    }

    pub(super) fn handle(&self) -> Handle {
        self.simulator.handle()
    }

    pub(super) fn phone(&self, phone: Phone) {
        self.handle().set_phone(PHONE, phone).unwrap();
    }

    pub(super) fn phone_that(&self, behaviour: Behaviour) {
        self.phone(Phone { behaviour, ..Phone::default() });
    }

    /// Asks for one price, or for so many shillings.
    pub(super) async fn ask(&self, shillings: Option<i64>) -> Requested {
        let wanted = RequestPayment {
            subscription: self.world.line.clone(),
            top_up: None,
            phone: None,
            amount: shillings.map(|shillings| Money::from_shillings(shillings).unwrap()),
            leaves_wallet: false,
            requested_by: crate::audit::Actor::Token("test".to_owned()),
        };
        payments::request(&self.controller, &self.codes(), wanted).await.unwrap()
    }

    /// Asks, and expects the prompt on the phone.
    pub(super) async fn prompt(&self, shillings: Option<i64>) -> Intent {
        match self.ask(shillings).await {
            Requested::Prompted(intent) => intent,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until every phone has answered and every callback is delivered, then takes all of them in.
    pub(super) async fn settle(&self) {
        assert!(self.handle().settled(DEADLINE).await, "the simulator does not come to rest");
        self.take_in().await;
    }

    /// Takes in every callback that was stored.
    pub(super) async fn take_in(&self) {
        while intake::take_in_some(&self.controller, &mut Round::of_fresh()).await.unwrap() > 0 {}
    }

    pub(super) async fn pay(&self, shillings: Option<i64>) -> Intent {
        let intent = self.prompt(shillings).await;
        self.settle().await;
        self.intent(&intent).await
    }

    pub(super) async fn intent(&self, intent: &Intent) -> Intent {
        let mut read = self.controller.database.read().await.unwrap();
        payments::intent(&mut read, &intent.id).await.unwrap().unwrap()
    }

    /// Everything that money touches. The ledger is balanced whenever anybody looks.
    pub(super) async fn books(&self) -> Books {
        let mut read = self.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        let line = subscriptions::get(&mut read, &self.world.line).await.unwrap().unwrap();
        let taken = payments::money_between(&mut read, UnixMillis(0), UnixMillis(i64::MAX)).await.unwrap();
        let clearing = Account::MpesaClearing("174379".to_owned());
        let clearing = ledger::balance_of(&mut read, &clearing).await.unwrap();
        assert_eq!(clearing, taken.amount, "what was received is in the clearing account");
        Books {
            clearing: clearing.cents(),
            wallet: ledger::wallet_of(&mut read, &self.world.customer.id).await.unwrap().cents(),
            revenue: -ledger::balance_of(&mut read, &Account::Revenue).await.unwrap().cents(),
            payments: taken.payments,
            evidence: count(&self.controller.database, "SELECT COUNT(*) AS n FROM payment_evidence").await,
            traces: count(&self.controller.database, "SELECT COUNT(*) AS n FROM payment_traces").await,
            status: line.status,
            paid_days: line.paid_until.map(|until| (until.0 - START.0) / DAY_MS),
        }
    }

    /// What was noted beside each stored callback, in order.
    pub(super) async fn outcomes(&self) -> Vec<String> {
        let mut read = self.controller.database.read().await.unwrap();
        let rows = sqlx::query("SELECT outcome FROM callback_bodies ORDER BY received_at, id")
            .fetch_all(&mut *read)
            .await
            .unwrap();
        rows.iter().map(|row| row.get("outcome")).collect()
    }

    pub(super) async fn stored_callbacks(&self) -> i64 {
        count(&self.controller.database, "SELECT COUNT(*) AS n FROM callback_bodies").await
    }

    /// Delivers a body on a path of ours, as Safaricom would; gives the status and the answer.
    pub(super) async fn deliver(&self, token: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let url = format!("http://{}/callbacks/stk/{token}", self.address);
        let response = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(super) async fn deliver_to(&self, intent: &Intent, body: impl Into<reqwest::Body>) -> (u16, String) {
        self.deliver(intent.callback_token.reveal(), body).await
    }

    /// A request on the phone that nobody answers, for callbacks made by hand.
    pub(super) async fn unanswered(&self) -> Intent {
        self.phone(Phone { behaviour: Behaviour::Ignore, delay_ms: 3_600_000, ..Phone::default() });
        self.prompt(None).await
    }

    /// The same although the wallet could pay: as it stands when the money came into the wallet after the prompt was sent.
    pub(super) async fn unanswered_although_paid(&self) -> Intent {
        let mut intent = self.intent_like_one_asked_for();
        intent.checkout = crate::mpesa::evidence::CheckoutId::parse("ws_CO_by_hand");
        self.store_intent(&intent).await;
        intent
    }

    fn intent_like_one_asked_for(&self) -> Intent {
        let (world, ids, now) = (&self.world, &self.controller.ids, self.controller.clock.now());
        Intent {
            id: crate::ids::IntentId::random(ids),
            subscription: world.line.clone(),
            top_up: None,
            customer: world.customer.id.clone(),
            short_code: "174379".to_owned(),
            phone: world.customer.phone.clone(),
            amount: Money::from_cents(150_000),
            promised: None,
            callback_token: CallbackToken::random(ids),
            state: crate::mpesa::intent::State::Prompted,
            checkout: None,
            merchant_request_id: None,
            next_query_at: None,
            queries_sent: 0,
            requested_by: "test".to_owned(),
            created_at: now,
            updated_at: now,
        }
    }

    /// Two minutes pass: M-Pesa takes the same amount from the same phone again, and so do we.
    pub(super) fn wait_two_minutes(&self) {
        let two_minutes = Duration::from_secs(120);
        self.controller.clock.advance(two_minutes);
        self.handle().advance_clock(two_minutes).unwrap();
    }

    pub(super) async fn execute(&self, sql: &'static str) {
        let mut write = self.controller.database.write().await.unwrap();
        write.execute(sql).await.unwrap();
        write.commit().await.unwrap();
    }

    /// Stores a request as it stands while it is being sent, without sending it.
    pub(super) async fn store_intent(&self, intent: &Intent) {
        let mut write = self.controller.database.write().await.unwrap();
        store::insert_intent(&mut write, intent).await.unwrap();
        write.commit().await.unwrap();
    }
}

/// A success as Safaricom writes it.
pub(super) fn success(intent: &Intent, receipt: &str, amount: &str) -> String {
    let checkout = intent.checkout.as_ref().map_or("ws_CO_unknown", |checkout| checkout.as_str());
    format!(
        r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"m","CheckoutRequestID":"{checkout}","ResultCode":0,
        "ResultDesc":"The service request is processed successfully.","CallbackMetadata":{{"Item":[
        {{"Name":"Amount","Value":{amount}}},{{"Name":"MpesaReceiptNumber","Value":"{receipt}"}},{{"Name":"Balance"}},
        {{"Name":"TransactionDate","Value":20260921013147}},{{"Name":"PhoneNumber","Value":254712345678}}]}}}}}}}}"#
    )
}

/// A token that nobody was told.
pub(super) fn strange_token(controller: &Controller) -> String {
    CallbackToken::random(&controller.ids).reveal().to_owned()
}

async fn count(database: &Database, sql: &'static str) -> i64 {
    let mut read = database.read().await.unwrap();
    sqlx::query(sql).fetch_one(&mut *read).await.unwrap().get("n")
}

fn controller(database: Database) -> Controller {
    Controller { clock: Clock::manual(START), ..Controller::new(database) }
}

/// A client whose settings went through the configuration file's own door.
pub(super) fn daraja(
    directory: &TemporaryDirectory,
    base_url: impl std::fmt::Display,
    callbacks: SocketAddr,
    controller: &Controller,
) -> Daraja {
    daraja_with(directory, base_url, callbacks, controller, "")
}

/// The same with more lines in the section.
pub(super) fn daraja_with(
    directory: &TemporaryDirectory,
    base_url: impl std::fmt::Display,
    callbacks: SocketAddr,
    controller: &Controller,
    more: &str,
) -> Daraja {
    directory.write_secret("secret", "demo-secret\n");
    directory.write_secret("passkey", "demo-passkey\n");
    daraja_from_files(directory, base_url, callbacks, controller, more)
}

fn daraja_from_files(
    directory: &TemporaryDirectory,
    base_url: impl std::fmt::Display,
    callbacks: SocketAddr,
    controller: &Controller,
    more: &str,
) -> Daraja {
    let text = format!(
        "base_url = \"{base_url}\"\nshort_code = \"174379\"\ntransaction_type = \"pay_bill\"\n\
         consumer_key = \"demo-key\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
         callback_base_url = \"http://{callbacks}\"\n{more}"
    );
    let raw: RawMpesa = toml::from_str(&text).unwrap();
    Daraja::new(raw.check(directory.path()).unwrap(), controller).unwrap()
}
