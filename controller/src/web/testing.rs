//! A controller that serves on loopback, with a browser and an API client, for tests of pages and of the API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tawi_shared::{Clock, UnixMillis};
use tokio::net::TcpListener;

use super::{Web, router, serve};
use crate::database::Database;
use crate::ids::CustomerId;
use crate::ledger::{self, Account, Entry};
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::{self, RawMpesa};
use crate::payments::testing::{World, world};
use crate::shutdown::Shutdown;
use crate::staff::{self, Added, Login, Password, Role};
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

/// When the tests take place: 2026-09-21 16:13 in Nairobi.
pub(crate) const START: UnixMillis = UnixMillis(1_789_996_400_000);
/// Longer than anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// How long a session of these tests lasts.
pub(crate) const SESSION: Duration = Duration::from_secs(12 * 3_600);

/// A controller that serves.
pub(crate) struct Served {
    _directory: TemporaryDirectory,
    pub(crate) controller: Controller,
    /// One site with a router, a plan, a customer and their line.
    pub(crate) world: World,
    /// Where it serves, such as `http://127.0.0.1:1234`.
    pub(crate) base: String,
    /// Safaricom, for those that asked for it.
    pub(crate) simulator: Option<daraja_sim::Simulator>,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    client: Client,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Where it sends the browser.
    pub(crate) fn location(&self) -> &str {
        self.headers.get(LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Served {
    /// Without M-Pesa.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, false).await
    }

    /// With a simulated Daraja whose callbacks come back here.
    pub(crate) async fn start_with_mpesa() -> Self {
        Self::start_with(|_| {}, true).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Web), has_mpesa: bool) -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(START), ..Controller::new(database) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let mut web = Web::new(controller.clone(), SESSION, shutdown.stop());
        let (mut simulator, mut callbacks) = (None, None);
        if has_mpesa {
            let running = daraja_sim::Simulator::start(daraja_sim::Settings::default()).await.unwrap();
            let codes = short_codes(&directory, &running.base_url().to_string(), address, &controller);
            callbacks = Some(mpesa::callback_router(controller.clone(), &codes));
            tokio::spawn(mpesa::run_callbacks(controller.clone(), shutdown.stop()));
            web.short_codes = Some(codes);
            simulator = Some(running);
        }
        change(&mut web);
        let proxies = web.proxies.clone();
        let serving = tokio::spawn(serve(listener, proxies, router(web, callbacks), shutdown.stop()));
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(DEADLINE).build().unwrap();
        let base = format!("http://{address}");
        Self { _directory: directory, controller, world, base, simulator, shutdown, serving, client }
    }

    /// Ends it, as a signal would.
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.serving.await.unwrap().unwrap();
    }

    /// Puts the price of one period into the customer's wallet.
    pub(crate) async fn fill_wallet(&self) {
        let Controller { database, ids, clock, .. } = &self.controller;
        let accounts = (Account::Suspense, Account::Wallet(self.world.customer.id.clone()));
        let entry =
            Entry::transfer(("test", ids.hex(4)), "test", "", accounts, self.world.plan.terms.price).unwrap();
        let mut transaction = database.write().await.unwrap();
        ledger::book(&mut transaction, &entry, ids, clock.now()).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Takes all out of a customer's wallet, and so much more.
    pub(crate) async fn empty_wallet(&self, customer: &str, more: Money) {
        let Controller { database, ids, clock, .. } = &self.controller;
        let customer = CustomerId::parse(customer).unwrap();
        let mut transaction = database.write().await.unwrap();
        let wallet = ledger::wallet_of(&mut transaction, &customer).await.unwrap();
        let accounts = (Account::Wallet(customer), Account::Suspense);
        let amount = wallet.checked_add(more).unwrap();
        let entry = Entry::transfer(("test", ids.hex(4)), "test", "", accounts, amount).unwrap();
        ledger::book(&mut transaction, &entry, ids, clock.now()).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Adds somebody who signs in with the password `a long password`.
    pub(crate) async fn add_staff(&self, login: &str, role: Role) -> staff::Member {
        let Controller { database, ids, clock, .. } = &self.controller;
        let hash = Password::chosen("a long password").unwrap().hash(ids).await.unwrap();
        let mut transaction = database.write().await.unwrap();
        let login = Login::parse(login).unwrap();
        let added = staff::add(&mut transaction, login, role, &hash, ids, clock.now()).await.unwrap();
        transaction.commit().await.unwrap();
        match added {
            Added::Added(member) => member,
            Added::NameTaken => panic!("taken"),
        }
    }

    /// A browser in which somebody with this role is signed in.
    pub(crate) async fn browser(&self, role: Role) -> Browser {
        let member = self.add_staff(&format!("{role}-{}", self.controller.ids.hex(3)), role).await;
        let Controller { database, ids, clock, .. } = &self.controller;
        let mut transaction = database.write().await.unwrap();
        let token = staff::open_session(&mut transaction, &member, SESSION, ids, clock.now()).await.unwrap();
        let session = staff::session(&mut transaction, &token, clock.now()).await.unwrap().unwrap();
        transaction.commit().await.unwrap();
        let mut browser = self.stranger();
        browser.cookies.insert("tawi_session".to_owned(), token.reveal().to_owned());
        browser.form_token = session.form_token;
        browser
    }

    /// A browser in which nobody is signed in.
    pub(crate) fn stranger(&self) -> Browser {
        Browser {
            client: self.client.clone(),
            base: self.base.clone(),
            cookies: BTreeMap::new(),
            form_token: String::new(),
        }
    }

    /// A program with a token of this role.
    pub(crate) async fn program(&self, role: Role) -> Program {
        let Controller { database, ids, clock, .. } = &self.controller;
        let name = format!("{role}-{}", ids.hex(3));
        let mut transaction = database.write().await.unwrap();
        let added = staff::add_token(&mut transaction, &name, role, ids, clock.now()).await.unwrap();
        transaction.commit().await.unwrap();
        let Added::Added(token) = added else { panic!("taken") };
        let token = token.reveal().to_owned();
        Program {
            client: self.client.clone(),
            base: self.base.clone(),
            token,
            controller: self.controller.clone(),
        }
    }
}

/// A client whose settings went through the configuration file's own door.
fn short_codes(
    directory: &TemporaryDirectory,
    base_url: &str,
    callbacks: SocketAddr,
    controller: &Controller,
) -> ShortCodes {
    directory.write_secret("secret", daraja_sim::DEMO_CONSUMER_SECRET);
    directory.write_secret("passkey", daraja_sim::DEMO_PASSKEY);
    let text = format!(
        "base_url = \"{base_url}\"\nshort_code = \"174379\"\ntransaction_type = \"pay_bill\"\n\
         consumer_key = \"{}\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
         callback_base_url = \"http://{callbacks}\"\n",
        daraja_sim::DEMO_CONSUMER_KEY
    );
    let raw: RawMpesa = toml::from_str(&text).unwrap();
    ShortCodes::new(vec![raw.check(directory.path()).unwrap()], controller).unwrap().unwrap()
}

/// A browser: it keeps cookies, and follows no redirect by itself.
pub(crate) struct Browser {
    client: Client,
    base: String,
    pub(crate) cookies: BTreeMap<String, String>,
    /// What its forms carry.
    pub(crate) form_token: String,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Reads a page again, as its script does.
    pub(crate) async fn refresh(&mut self, path: &str) -> Answer {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<_> = cookies.collect();
        let request = self.client.get(format!("{}{path}", self.base)).header(COOKIE, cookies.join("; "));
        answer(request.header("tawi-refresh", "1")).await
    }

    /// Posts a form of the page, with the token that the page put into it.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token.clone();
        let fields: Vec<_> = fields.iter().copied().chain([("form_token", token.as_str())]).collect();
        self.post_bare(path, &fields).await
    }

    /// Posts a form without the page's token.
    pub(crate) async fn post_bare(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, Some(fields)).await
    }

    /// Posts a form of the page with a file, as a browser does.
    pub(crate) async fn post_file(&mut self, path: &str, file: &[u8]) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let token = &self.form_token;
        let head = format!(
            "--b0undary\r\nContent-Disposition: form-data; name=\"form_token\"\r\n\r\n{token}\r\n\
             --b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"rows.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n"
        );
        let body = [head.as_bytes(), file, b"\r\n--b0undary--\r\n"].concat();
        let request = self.client.post(format!("{}{path}", self.base)).header(COOKIE, cookies.join("; "));
        answer(request.header("content-type", "multipart/form-data; boundary=b0undary").body(body)).await
    }

    async fn send(&mut self, method: Method, path: &str, fields: Option<&[(&str, &str)]>) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).header(COOKIE, cookies.join("; "));
        if let Some(fields) = fields {
            request = request.form(fields);
        }
        let answer = answer(request).await;
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let (pair, rest) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// A program that uses the API.
pub(crate) struct Program {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: String,
    controller: Controller,
}

impl Program {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)).await
    }

    /// Reads what must be there.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Writes under a fresh key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_as(&self.controller.ids.hex(16), path, body).await
    }

    /// Writes under this key.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        answer(request.header("Idempotency-Key", key).json(body)).await
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await.unwrap();
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    Answer { status: status.as_u16(), headers, body }
}
