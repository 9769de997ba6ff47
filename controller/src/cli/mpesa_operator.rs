//! `mpesa balance` and `mpesa status`: what M-Pesa tells an API operator.
//!
//! The result comes to the controller that serves; this waits for what that one takes in. Without one nothing is asked.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Failure, Shell};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::operator::{self, Account, NotAsked, OperatorRequest, Question, State, advice};
use crate::payments;

/// How long the controller may take to take a connection.
const CONNECT: Duration = Duration::from_secs(3);

impl Shell {
    pub(super) async fn balance(&self, wait: u64, short_code: Option<&str>) -> Result<(), Failure> {
        let request = self.ask_operator(Question::Balance, wait, short_code).await?;
        let Some(balance) = request.balance() else {
            return Err(Failure::refused("M-Pesa's answer has no balance that is understood"));
        };
        let mut words = format!("Short code {}", request.short_code);
        for account in &balance.accounts {
            let Account { name, currency, current, available, .. } = account;
            let (current, available) = (shown(*current), shown(*available));
            let _ = write!(words, "\n{name}: {currency} {current}, of which {available} can be used");
        }
        let account = |account: &Account| {
            let cents = |money: Option<Money>| money.map(Money::cents);
            json!({
                "name": account.name, "currency": account.currency, "current_cents": cents(account.current),
                "available_cents": cents(account.available), "reserved_cents": cents(account.reserved),
                "uncleared_cents": cents(account.uncleared),
            })
        };
        let accounts: Vec<_> = balance.accounts.iter().map(account).collect();
        let value = json!({
            "short_code": request.short_code, "accounts": accounts, "counted_at": balance.counted_at,
        });
        self.output.say(&words, &value)
    }

    pub(super) async fn status(
        &self,
        receipt: ReceiptNumber,
        wait: u64,
        short_code: Option<&str>,
    ) -> Result<(), Failure> {
        let came_to = match short_code {
            Some(_) => None,
            None => self.came_to(&receipt).await?,
        };
        let short_code = short_code.or(came_to.as_deref());
        let request = self.ask_operator(Question::Status(receipt.clone()), wait, short_code).await?;
        let Some(told) = request.transaction() else {
            return Err(Failure::refused("M-Pesa's answer has no transaction that is understood"));
        };
        let or_unsaid = |text: &Option<String>| text.clone().unwrap_or_else(|| "not said".to_owned());
        let words = format!(
            "Receipt {receipt}: {}\nAmount: KES {}\nFrom: {}\nTo: {}\nKind: {}\nEnded: {}",
            or_unsaid(&told.status),
            shown(told.amount),
            or_unsaid(&told.payer),
            or_unsaid(&told.payee),
            or_unsaid(&told.kind),
            or_unsaid(&told.finalised_at),
        );
        let value = json!({
            "receipt": receipt.as_str(), "told_receipt": told.receipt.as_ref().map(ReceiptNumber::as_str),
            "status": told.status, "amount_cents": told.amount.map(Money::cents), "payer": told.payer,
            "payee": told.payee, "kind": told.kind, "finalised_at": told.finalised_at,
        });
        self.output.say(&words, &value)
    }

    /// The short code that a receipt came to, where it is booked and its short code still is in the settings.
    async fn came_to(&self, receipt: &ReceiptNumber) -> Result<Option<String>, Failure> {
        let mut reader = self.controller.database.read().await?;
        let booked = payments::payment_of_receipt(&mut reader, receipt).await?;
        let is_ours = |code: &String| self.config.mpesa.iter().any(|settings| settings.is_called(code));
        Ok(booked.map(|row| row.payment.short_code).filter(is_ours))
    }

    /// Asks, waits, and gives back what was answered well.
    async fn ask_operator(
        &self,
        question: Question,
        wait: u64,
        short_code: Option<&str>,
    ) -> Result<OperatorRequest, Failure> {
        let daraja = self.daraja(short_code)?;
        if daraja.settings().operator().is_none() {
            return Err(Failure::refused(NotAsked::NoOperator.to_string()));
        }
        self.is_served().await.map_err(|why| Failure::Unavailable(anyhow::anyhow!(why)))?;
        let asked = operator::ask(&self.controller, &daraja, question, &self.actor.to_string()).await;
        let request = match asked {
            Ok(request) => request,
            Err(NotAsked::Database(error)) => return Err(error.into()),
            Err(refused) => return Err(Failure::refused(refused.to_string())),
        };
        if !request.state.is_final() {
            self.output.tell("asked; waiting for M-Pesa's result");
        }
        let request = operator::wait(&self.controller, request, Duration::from_secs(wait)).await?;
        let unknown = |why: &str| {
            Failure::Unavailable(anyhow::anyhow!(
                "{why}: that is no answer either way; ask again, and if it stays so, tawi-controller mpesa doctor"
            ))
        };
        match &request.state {
            State::Answered(reason) if reason.code == "0" => Ok(request),
            State::Answered(reason) => {
                let cure =
                    advice::of(&reason.code).map(|cure| format!("\n  cure: {cure}")).unwrap_or_default();
                Err(Failure::refused(format!(
                    "M-Pesa answers with {}: {}{cure}",
                    reason.code, reason.description
                )))
            }
            State::Refused(reason) => Err(Failure::refused(format!(
                "M-Pesa does not take the question: {} {}",
                reason.code, reason.description
            ))),
            State::QueueTimedOut => Err(unknown("M-Pesa did not get to it")),
            State::Asking | State::Accepted | State::ReplyLost => {
                Err(unknown(&format!("no result came within {wait} s")))
            }
        }
    }

    /// Whether the controller that hears results takes connections.
    pub(super) async fn is_served(&self) -> Result<(), String> {
        let mut address = self.config.listen;
        if address.ip().is_unspecified() {
            match address {
                SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            }
        }
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(format!(
                "the controller does not serve at {address}, so that M-Pesa's result would reach nobody: start it \
                 (systemctl start tawi-controller), then ask again"
            )),
        }
    }
}

fn shown(money: Option<Money>) -> String {
    money.map_or_else(|| "(not understood)".to_owned(), |money| money.to_string())
}
