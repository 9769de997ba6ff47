//! Storms of payments: what callbacks, confirmations, Pull, statements and queries tell of the same receipts, with forgeries
//! between them, lost, doubled and in any order, let loose on the real intake and the real store.
//!
//! What happens is `plan`, made from a seed that each failure names. After every step the ledger balances and has no receipt
//! that nobody paid; at the end, when Pull has told of everything and the query of each request, every receipt is booked once
//! and no request waits.

mod plan;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Row as _;

use self::plan::{Arrival, By, Forgery, LINES, Payment, Plan};
use super::c2b::{confirmation, deliver, registered};
use super::disputed::second_line;
use super::moved::neighbour;
use super::pulling::{daraja_that_answers, pull_settings};
use super::shop::{Shop, strange_token, success};
use super::statements::{statement, taken_in};
use crate::closing::proof;
use crate::ids::{CustomerId, IntentId, LineId};
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::evidence::{CheckoutId, Reason};
use crate::mpesa::intent::{CallbackToken, Event, Intent, State};
use crate::mpesa::pull::sweep::Sweeper;
use crate::mpesa::{nairobi, query};
use crate::payments::{self, PaymentRow};
use crate::shutdown::Shutdown;

/// Storms in every run of the tests. Each opens a database of its own.
const STORMS: u64 = 40;
/// Rounds in which everything is told of once more at the end: what is moved reopens another request, which is asked about.
const LAST_ROUNDS: usize = 3;

struct Storm {
    plan: Plan,
    shop: Shop,
    confirmations: CallbackToken,
    intents: Vec<Intent>,
    owners: Vec<CustomerId>,
    accounts: Vec<String>,
    sweeper: Sweeper,
    pulled: Arc<Mutex<String>>,
    /// Requests whose own callback was delivered.
    called_back: Vec<usize>,
}

#[tokio::test]
async fn whatever_is_told_of_receipts_in_any_order_each_is_booked_once_and_no_request_waits() {
    for seed in 1..=STORMS {
        let storm = Storm::gather(Plan::of(seed)).await;
        Box::pin(storm.blow()).await;
    }
}

/// As many as somebody has patience for: `cargo test --lib -- --ignored storm`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_thousand_storms_leave_every_shilling_where_it_belongs() {
    for seed in STORMS + 1..=STORMS + 1_000 {
        let storm = Storm::gather(Plan::of(seed)).await;
        Box::pin(storm.blow()).await;
    }
}

impl Storm {
    async fn gather(plan: Plan) -> Self {
        println!("storm {}: {plan:?}", plan.seed);
        let (shop, confirmations) = registered().await;
        let second = second_line(&shop).await;
        let (next_door, third) = neighbour(&shop).await;
        let lines: [LineId; LINES] = [shop.world.line.clone(), second, third];
        let world = &shop.world.customer;
        let owners = vec![world.id.clone(), world.id.clone(), next_door.id.clone()];
        let accounts =
            [world, world, &next_door].map(|customer| customer.account_number.to_string()).to_vec();
        let template = shop.unanswered_although_paid().await;
        shop.execute("DELETE FROM payment_intents").await;
        let mut intents = Vec::new();
        for (number, request) in plan.requests.iter().enumerate() {
            let intent = Intent {
                id: IntentId::random(&shop.controller.ids),
                callback_token: CallbackToken::random(&shop.controller.ids),
                checkout: CheckoutId::parse(&format!("ws_CO_storm_{number}")),
                subscription: lines[request.line].clone(),
                customer: owners[request.line].clone(),
                amount: Money::from_shillings(request.shillings).unwrap(),
                created_at: template.created_at.minus(Duration::from_secs(request.seconds_before)),
                state: State::Prompted,
                ..template.clone()
            };
            shop.store_intent(&intent).await;
            intents.push(intent);
        }
        let pulled = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&pulled);
        let daraja = daraja_that_answers(&shop, move |asked: &str| {
            let is_first = asked.contains(r#""OffSetValue":"0""#);
            let page = told.lock().unwrap().clone();
            if is_first { page } else { r#"{"ResponseCode":"1001"}"#.to_owned() }
        })
        .await;
        let sweeper = Sweeper::new(shop.controller.clone(), daraja, pull_settings(&shop));
        let called_back = Vec::new();
        Self { plan, shop, confirmations, intents, owners, accounts, sweeper, pulled, called_back }
    }

    async fn blow(mut self) {
        for (number, arrival) in self.plan.arrivals.clone().into_iter().enumerate() {
            self.arrive(arrival).await;
            self.hold(&format!("seed {} step {number} {arrival:?}", self.plan.seed)).await;
        }
        self.shop.take_in().await;
        for round in 0..LAST_ROUNDS {
            for number in 0..self.plan.payments.len() {
                if !self.plan.payments[number].is_reversed {
                    self.arrive(Arrival::Pull(number)).await;
                }
            }
            for number in 0..self.intents.len() {
                self.arrive(Arrival::Query(number)).await;
            }
            self.hold(&format!("seed {} last round {round}", self.plan.seed)).await;
        }
        self.judge().await;
        let mut read = self.shop.controller.database.read().await.unwrap();
        let proof = proof::prove(&mut read, self.shop.controller.clock.now()).await.unwrap();
        assert_eq!(proof.findings, [], "seed {}", self.plan.seed);
    }

    async fn arrive(&mut self, arrival: Arrival) {
        let shop = &self.shop;
        match arrival {
            Arrival::Callback(number) => {
                let (intent, payment) = (self.intent_of(number), &self.plan.payments[number]);
                let body = success(intent, &payment.receipt, &format!("{}.00", payment.shillings));
                assert_eq!(shop.deliver_to(intent, body).await.0, 200);
                self.called_back.extend(payment.by.request());
            }
            Arrival::Confirmation(number) => {
                let payment = &self.plan.payments[number];
                let (amount, account) = (format!("{}.00", payment.shillings), self.typed(payment));
                let now = nairobi::written(shop.controller.clock.now(), "%Y%m%d%H%M%S");
                let body = confirmation(&payment.receipt, &amount, "174379", &account);
                let body = body.replace("20260921013147", &now);
                assert_eq!(deliver(shop, &self.confirmations, body).await, 200);
            }
            Arrival::Pull(number) => self.pull(number).await,
            Arrival::Statement(number) => self.state(number).await,
            Arrival::Query(number) => {
                let event = match self.plan.payment_on(number) {
                    Some(_) => Event::QueryPaid,
                    None => Event::QueryFailed(Reason::new("1032", "Request cancelled by user")),
                };
                query::note(&shop.controller, &self.intents[number].id, event).await.unwrap();
            }
            Arrival::Cancelled(number) => {
                let intent = &self.intents[number];
                let body =
                    success(intent, "NONE1", "1.00").replace("\"ResultCode\":0", "\"ResultCode\":1032");
                assert_eq!(shop.deliver_to(intent, body).await.0, 200);
            }
            Arrival::Replayed(number, onto) => {
                let payment = &self.plan.payments[number];
                let amount = format!("{}.00", payment.shillings);
                let body = success(self.intent_of(number), &payment.receipt, &amount);
                assert_eq!(shop.deliver_to(&self.intents[onto], body).await.0, 200);
            }
            Arrival::Forged(number, forgery) => {
                let intent = &self.intents[number];
                let amount = |shillings: i64| format!("{shillings}.00");
                let body = success(intent, "FORGED1", &amount(self.plan.requests[number].shillings));
                match forgery {
                    Forgery::Path => drop(shop.deliver(&strange_token(&shop.controller), body).await),
                    Forgery::Prompt => {
                        drop(shop.deliver_to(intent, body.replace("ws_CO_storm", "ws_CO_forged")).await);
                    }
                    Forgery::Amount => {
                        drop(shop.deliver_to(intent, success(intent, "FORGED2", "1.00")).await);
                    }
                }
            }
            Arrival::TakeIn => shop.take_in().await,
        }
    }

    async fn pull(&mut self, number: usize) {
        let payment = &self.plan.payments[number];
        let now = nairobi::written(self.shop.controller.clock.now(), "%Y-%m-%d %H:%M:%S");
        let row = format!(
            r#"{{"transactionId":"{}","trxDate":"{now}","msisdn":254712345678,"amount":"{}.00",
            "transactiontype":"c2b-pay-bill-debit","billreference":"{}"}}"#,
            payment.receipt,
            payment.shillings,
            self.typed(payment)
        );
        *self.pulled.lock().unwrap() = format!(r#"{{"ResponseCode":"1000","Response":[[{row}]]}}"#);
        let shutdown = Shutdown::default();
        self.sweeper.sweep(&mut shutdown.stop()).await.unwrap();
    }

    /// A statement of one payment, and of its reversal where there is one.
    async fn state(&self, number: usize) {
        let payment = &self.plan.payments[number];
        let now = nairobi::written(self.shop.controller.clock.now(), "%Y-%m-%d %H:%M:%S");
        let details = format!("Pay Bill from 2547****678 Acc. {}", self.typed(payment));
        let receipt = &payment.receipt;
        let paid = format!(
            "{receipt},{now},,{details},Completed,{}.00,,{}.00,true,,,,",
            payment.shillings, payment.shillings
        );
        let back = format!(
            "B{receipt},{now},,Reversal of {receipt},Completed,,-{}.00,0.00,true,,,{receipt},",
            payment.shillings
        );
        let rows = if payment.is_reversed { vec![back, paid] } else { vec![paid] };
        taken_in(&self.shop, &statement(&rows)).await;
    }

    /// What stands as its account in everything but its callback.
    fn typed(&self, payment: &Payment) -> String {
        match payment.by {
            By::Prompt(request) => self.accounts[self.plan.requests[request].line].clone(),
            By::TillPrompt(_) => String::new(),
            By::Paybill(line) => self.accounts[line].clone(),
            By::Strangers => "rent".to_owned(),
        }
    }

    fn intent_of(&self, payment: usize) -> &Intent {
        &self.intents[self.plan.payments[payment].by.request().unwrap()]
    }

    async fn booked(&self) -> Vec<PaymentRow> {
        let mut read = self.shop.controller.database.read().await.unwrap();
        payments::recent_payments(&mut read, 99).await.unwrap()
    }

    /// What holds after every step.
    async fn hold(&self, when: &str) {
        let mut read = self.shop.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO, "{when}");
        let mut credited = Money::ZERO;
        for row in self.booked().await {
            let payment = self.plan.payments.iter().find(|one| one.receipt == row.payment.receipt_number);
            let payment = payment.unwrap_or_else(|| panic!("{when}: nobody paid {:?}", row.payment));
            assert_eq!(row.payment.amount, Money::from_shillings(payment.shillings).unwrap(), "{when}");
            credited = credited.checked_add(row.payment.amount).unwrap();
        }
        let mut there = Money::ZERO;
        for account in [Account::MpesaClearing("174379".to_owned()), Account::Suspense, Account::Revenue] {
            let balance = ledger::balance_of(&mut read, &account).await.unwrap();
            if matches!(account, Account::MpesaClearing(_)) {
                assert_eq!(balance, credited, "{when}: what came is what receipts say");
            } else {
                there = there.checked_sub(balance).unwrap();
            }
        }
        for customer in [&self.owners[0], &self.owners[2]] {
            there = there.checked_add(ledger::wallet_of(&mut read, customer).await.unwrap()).unwrap();
        }
        assert_eq!(there, credited, "{when}: every shilling is in a wallet, in suspense or spent");
        let rows = sqlx::query("SELECT receipt_number FROM payment_intents WHERE receipt_number IS NOT NULL")
            .fetch_all(&mut *read)
            .await
            .unwrap();
        let mut receipts: Vec<String> = rows.iter().map(|row| row.get("receipt_number")).collect();
        receipts.sort();
        let all = receipts.len();
        receipts.dedup();
        assert_eq!(receipts.len(), all, "{when}: a receipt pays one request");
    }

    /// What holds at the end.
    async fn judge(&self) {
        let seed = self.plan.seed;
        let booked = self.booked().await;
        for payment in &self.plan.payments {
            let found: Vec<_> =
                booked.iter().filter(|row| row.payment.receipt_number == payment.receipt).collect();
            assert!(found.len() == 1 || payment.is_reversed, "seed {seed}: {payment:?} {found:?}");
            let (Some(row), Some(request)) = (found.first(), payment.by.request()) else { continue };
            let owner = Some(self.intents[request].customer.clone());
            assert_eq!(row.payment.customer, owner, "seed {seed}: {payment:?} is whose it is");
        }
        for (number, intent) in self.intents.iter().enumerate() {
            let after = self.shop.intent(intent).await;
            let said = format!("seed {seed}: request {number} is {:?}", after.state);
            assert!(!after.is_open(), "{said}");
            let Some(payment) = self.plan.payment_on(number) else { continue };
            assert!(after.receipt().is_some(), "{said}, and was paid");
            if self.called_back.contains(&number) {
                assert_eq!(after.receipt(), Some(payment.receipt.as_str()), "{said}");
            }
        }
    }
}
