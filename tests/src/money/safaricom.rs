//! Safaricom as the simulation of money has it: what was truly paid, and answers to whatever the controller asks.
//!
//! `daraja-sim` speaks by the machine's clock and by itself; here nothing is said unless a step says it, so that a seed alone
//! decides in which order things are told. What is told, doubled and lost is `steps`; here is only what is true.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tawi_shared::{Clock, UnixMillis};

/// Rows of one page of Pull, as Safaricom has them.
const PAGE: usize = 100;
/// The short code of everything here.
pub const SHORT_CODE: &str = "174379";

/// Money that moved.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its number.
    pub number: String,
    /// How much, in whole shillings.
    pub shillings: i64,
    /// When.
    pub at: UnixMillis,
    /// Whose phone paid.
    pub phone: String,
    /// What stands as its account.
    pub account: String,
    /// Which prompt it answers.
    pub prompt: Option<usize>,
    /// Whose it is: the index of a customer; `None` for money that names nobody.
    pub owner: Option<usize>,
    /// Whether Safaricom gave it back.
    pub is_reversed: bool,
    /// Whether it was paid as at a till, where nobody types an account.
    pub is_till: bool,
}

/// What has become of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the phone.
    Open,
    /// It was paid, with this receipt.
    Paid(usize),
    /// It ended with this code, and without money so far.
    Ended(&'static str),
}

/// A prompt on a phone.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Safaricom's id of it.
    pub checkout: String,
    /// Where its callback comes to.
    pub path: String,
    /// How much it asks for.
    pub shillings: i64,
    /// Whose phone rings.
    pub phone: String,
    /// What it is for.
    pub account: String,
    /// When it was sent.
    pub at: UnixMillis,
    /// Whether the controller was told its id: whoever has the secret path of one whose reply was lost is believed.
    pub is_acknowledged: bool,
    /// What has become of it.
    pub fate: Fate,
}

/// A refund that reached Safaricom.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Where its result comes to.
    pub path: String,
    /// Where word of a time-out comes to.
    pub timeout_path: String,
    /// Of which receipt, for a reversal.
    pub receipt: Option<String>,
    /// Our own name of it, for a payment to a phone.
    pub name: Option<String>,
    /// How much, in whole shillings.
    pub shillings: i64,
    /// Whether the money went, or had gone.
    pub went_through: bool,
    /// What Safaricom says of it.
    pub code: &'static str,
    /// Safaricom's id of it.
    pub conversation: String,
    /// The receipt of what was done.
    pub number: String,
}

/// Why money left the short code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// For Safaricom's service.
    Charge,
    /// To the bank.
    Settlement,
    /// A payment was undone.
    Reversal,
    /// A phone was paid.
    Payout,
}

/// Money that left the short code.
#[derive(Clone, Debug)]
pub struct Out {
    /// Its number; a charge has that of the payment that it is for.
    pub number: String,
    /// What it is about: a receipt or a phone; of a charge, what it is for.
    pub about: String,
    /// Why.
    pub why: Why,
    /// How much.
    pub cents: i64,
    /// When.
    pub at: UnixMillis,
}

/// What moved, in its order.
#[derive(Clone, Copy, Debug)]
pub enum Movement {
    /// A receipt.
    In(usize),
    /// What left.
    Out(usize),
}

/// How the next question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// As Safaricom answers.
    Given,
    /// It does what it was asked, and the answer is lost.
    Lost,
    /// It does nothing.
    Refused,
}

/// What is true.
#[derive(Clone, Debug)]
pub struct Truth {
    clock: Clock,
    /// All money that moved, the oldest first.
    pub receipts: Vec<Receipt>,
    /// All prompts.
    pub prompts: Vec<Prompt>,
    /// All refunds that came here.
    pub refunds: Vec<Refund>,
    /// All money that left.
    pub outs: Vec<Out>,
    /// All that moved, in its order.
    pub movements: Vec<Movement>,
    /// How the next push or refund is answered.
    pub reply: Reply,
    /// Whether the next refund goes through.
    pub refund_goes_through: bool,
    /// Receipts that Pull has told of since somebody looked here.
    pub pulled: Vec<usize>,
    /// Where confirmations go, once that was registered.
    pub confirmation_path: Option<String>,
}

/// The server. It ends with the runtime that it was started on.
#[derive(Clone, Debug)]
pub struct Safaricom {
    truth: Arc<Mutex<Truth>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Safaricom {
    /// Starts it on a port of its own.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(clock: Clock) -> anyhow::Result<Self> {
        let truth = Truth {
            clock,
            receipts: Vec::new(),
            prompts: Vec::new(),
            refunds: Vec::new(),
            outs: Vec::new(),
            movements: Vec::new(),
            reply: Reply::Given,
            refund_goes_through: true,
            pulled: Vec::new(),
            confirmation_path: None,
        };
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let address = socket.local_addr()?;
        let safaricom = Self { truth: Arc::new(Mutex::new(truth)), address };
        let routes = Router::new()
            .route(
                "/oauth/v1/generate",
                get(async || Json(json!({"access_token": "t", "expires_in": "3599"}))),
            )
            .route("/mpesa/c2b/v2/registerurl", post(register))
            .route("/mpesa/stkpush/v1/processrequest", post(push))
            .route("/mpesa/stkpushquery/v1/query", post(query))
            .route("/pulltransactions/v1/register", post(async || Json(json!({"ResponseStatus": "1000"}))))
            .route("/pulltransactions/v1/query", post(pull))
            .route("/mpesa/reversal/v1/request", post(refund))
            .route("/mpesa/b2c/v3/paymentrequest", post(refund))
            .route("/mpesa/transactionstatus/v1/query", post(status))
            .with_state(safaricom.clone());
        tokio::spawn(async move { axum::serve(socket, routes).await });
        Ok(safaricom)
    }

    /// What is true now.
    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Truth {
    /// What its clock shows.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Money moves; the index of its receipt.
    pub fn pay(&mut self, shillings: i64, phone: &str, account: &str, owner: Option<usize>) -> usize {
        let index = self.receipts.len();
        self.receipts.push(Receipt {
            number: format!("SK{index:08}"),
            shillings,
            at: self.clock.now(),
            phone: phone.to_owned(),
            account: account.to_owned(),
            prompt: None,
            owner,
            is_reversed: false,
            is_till: account.is_empty(),
        });
        self.movements.push(Movement::In(index));
        index
    }

    /// Money leaves.
    pub fn take(&mut self, why: Why, about: &str, number: Option<String>, cents: i64) {
        let index = self.outs.len();
        let number = number.unwrap_or_else(|| format!("SX{index:08}"));
        self.outs.push(Out { number, about: about.to_owned(), why, cents, at: self.clock.now() });
        self.movements.push(Movement::Out(index));
    }

    /// What the short code has, in cents.
    #[must_use]
    pub fn holds(&self) -> i64 {
        let came: i64 = self.receipts.iter().map(|receipt| receipt.shillings * 100).sum();
        came - self.outs.iter().map(|out| out.cents).sum::<i64>()
    }
}

/// A time as Safaricom writes it, by a `strftime` pattern.
#[must_use]
pub fn nairobi(at: UnixMillis, pattern: &str) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(3))).strftime(pattern).to_string()
}

/// A member of a body, as text whatever it is.
fn member(body: &Value, name: &str) -> String {
    match body.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// The path of a URL of ours.
fn path_of(url: &str) -> String {
    url.split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))
        .unwrap_or("/")
        .to_owned()
}

const LOST: &str = "<html><body>502 Bad Gateway</body></html>";

fn refused(code: &str, message: &str) -> String {
    json!({"requestId": "r", "errorCode": code, "errorMessage": message}).to_string()
}

async fn register(State(safaricom): State<Safaricom>, Json(body): Json<Value>) -> Json<Value> {
    safaricom.truth().confirmation_path = Some(path_of(&member(&body, "ConfirmationURL")));
    Json(json!({"OriginatorCoversationID": "o", "ResponseCode": "0", "ResponseDescription": "Success"}))
}

async fn push(State(safaricom): State<Safaricom>, Json(body): Json<Value>) -> String {
    let mut truth = safaricom.truth();
    if truth.reply == Reply::Refused {
        return refused("400.002.02", "Bad Request - Invalid Amount");
    }
    let checkout = format!("ws_CO_{:08}", truth.prompts.len());
    let at = truth.now();
    let is_acknowledged = truth.reply == Reply::Given;
    truth.prompts.push(Prompt {
        checkout: checkout.clone(),
        path: path_of(&member(&body, "CallBackURL")),
        shillings: member(&body, "Amount").parse().unwrap_or(0),
        phone: member(&body, "PhoneNumber"),
        account: member(&body, "AccountReference"),
        at,
        is_acknowledged,
        fate: Fate::Open,
    });
    match truth.reply {
        Reply::Lost => LOST.to_owned(),
        _ => json!({
            "MerchantRequestID": "m", "CheckoutRequestID": checkout, "ResponseCode": "0",
            "ResponseDescription": "Success. Request accepted for processing", "CustomerMessage": "Success",
        })
        .to_string(),
    }
}

async fn query(State(safaricom): State<Safaricom>, Json(body): Json<Value>) -> String {
    let checkout = member(&body, "CheckoutRequestID");
    let truth = safaricom.truth();
    let fate = truth.prompts.iter().find(|prompt| prompt.checkout == checkout).map(|prompt| prompt.fate);
    let (code, words) = match fate {
        Some(Fate::Paid(_)) => ("0", "The service request is processed successfully."),
        Some(Fate::Ended(code)) => (code, "It ended without money"),
        Some(Fate::Open) => ("4999", "The transaction is still under processing"),
        None => return refused("500.001.1001", "The transaction does not Exist"),
    };
    json!({
        "ResponseCode": "0", "ResponseDescription": "The service request has been accepted successfully",
        "MerchantRequestID": "m", "CheckoutRequestID": checkout, "ResultCode": code, "ResultDesc": words,
    })
    .to_string()
}

async fn pull(State(safaricom): State<Safaricom>, Json(body): Json<Value>) -> String {
    let (start, end) = (member(&body, "StartDate"), member(&body, "EndDate"));
    let offset = member(&body, "OffSetValue").parse().unwrap_or(0);
    let mut truth = safaricom.truth();
    let mut told = Vec::new();
    let mut rows = Vec::new();
    for (index, receipt) in truth.receipts.iter().enumerate() {
        let at = nairobi(receipt.at, "%Y-%m-%d %H:%M:%S");
        if at >= start && at <= end {
            told.push(index);
            rows.push(json!({
                "transactionId": receipt.number, "trxDate": at, "msisdn": receipt.phone,
                "sender": "MPESA",
                "transactiontype": if receipt.is_till { "c2b-buy-goods-debit" } else { "c2b-pay-bill-debit" },
                "billreference": receipt.account,
                "amount": format!("{}.00", receipt.shillings), "organizationname": "Njia",
            }));
        }
    }
    let rows: Vec<Value> = rows.into_iter().skip(offset).take(PAGE).collect();
    truth.pulled.extend(told.into_iter().skip(offset).take(PAGE));
    match rows.is_empty() {
        true => json!({"ResponseRefID": "r", "ResponseCode": "1001", "ResponseMessage": "none"}).to_string(),
        false => json!({"ResponseRefID": "r", "ResponseCode": "1000", "Response": [rows]}).to_string(),
    }
}

async fn refund(State(safaricom): State<Safaricom>, Json(body): Json<Value>) -> String {
    let mut truth = safaricom.truth();
    if truth.reply == Reply::Refused {
        return refused("400.002.02", "Bad Request - Invalid Remarks");
    }
    let conversation = format!("AG_20260921_{:020}", truth.refunds.len());
    let receipt = Some(member(&body, "TransactionID")).filter(|receipt| !receipt.is_empty());
    let name = Some(member(&body, "OriginatorConversationID")).filter(|name| !name.is_empty());
    if name.is_some() && truth.refunds.iter().any(|before| before.name == name) {
        return refused("500.002.1001", "Duplicate OriginatorConversationID");
    }
    let shillings: i64 = member(&body, "Amount").parse().unwrap_or(0);
    let paid =
        receipt.as_ref().and_then(|number| truth.receipts.iter().position(|one| one.number == *number));
    let is_reversed = paid.and_then(|paid| truth.receipts.get(paid)).is_some_and(|paid| paid.is_reversed);
    let (went_through, code) = match (is_reversed, truth.refund_goes_through) {
        (true, _) => (true, "R000001"),
        (false, true) => (true, "0"),
        // A code with which M-Pesa says for certain that it moved nothing.
        (false, false) => (false, "2001"),
    };
    let number = format!("RF{:08}", truth.refunds.len());
    if code == "0" {
        let done = Some(number.clone());
        match &receipt {
            Some(receipt) => truth.take(Why::Reversal, receipt, done, shillings * 100),
            None => truth.take(Why::Payout, &member(&body, "PartyB"), done, shillings * 100),
        }
    }
    if let Some(paid) = paid.and_then(|paid| truth.receipts.get_mut(paid)) {
        paid.is_reversed |= went_through;
    }
    truth.refunds.push(Refund {
        path: path_of(&member(&body, "ResultURL")),
        timeout_path: path_of(&member(&body, "QueueTimeOutURL")),
        receipt,
        name,
        shillings,
        went_through,
        code,
        conversation: conversation.clone(),
        number,
    });
    match truth.reply {
        Reply::Lost => LOST.to_owned(),
        _ => acknowledged(&conversation),
    }
}

/// Taken, and nothing comes of it: what became of a refund is then for a person to look up.
async fn status() -> String {
    acknowledged("AG_20260921_status")
}

fn acknowledged(conversation: &str) -> String {
    json!({
        "OriginatorConversationID": "o", "ConversationID": conversation, "ResponseCode": "0",
        "ResponseDescription": "Accept the service request successfully.",
    })
    .to_string()
}
