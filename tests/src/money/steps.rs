//! The steps of a simulation: what customers, strangers, staff, Safaricom and time do, one at a time, as a seed has it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Simulation;
use super::books::Standing;
use super::house::Payer;
use super::safaricom::{Fate, Prompt, Reply};
use super::telling::{self, LIES, Telling};

/// What somebody pays, in shillings: mostly what a period costs.
const AMOUNTS: [i64; 8] = [1_500, 1_500, 100, 100, 3_000, 700, 50, 1_600];
/// What Safaricom's prompts end with, other than money.
const CODES: [&str; 3] = ["1032", "1037", "1"];

/// How long after a prompt a PIN may still come: far longer than any that was seen.
const PIN_WITHIN: Duration = Duration::from_secs(10 * 60);

/// One kind of step, and how often it comes among a thousand.
const WEIGHTS: [(Step, u64); 23] = [
    (Step::PayByPaybill, 120),
    (Step::AskPhone, 75),
    (Step::AnswerPrompt, 100),
    (Step::Deliver, 215),
    (Step::TakeIn, 110),
    (Step::Lie, 60),
    (Step::Ask, 40),
    (Step::Sweep, 20),
    (Step::ShortWhile, 50),
    (Step::LongWhile, 12),
    (Step::Jobs, 25),
    (Step::Counter, 40),
    (Step::Bank, 4),
    (Step::Assign, 35),
    (Step::Move, 25),
    (Step::Split, 10),
    (Step::Undo, 8),
    (Step::WriteOff, 6),
    (Step::Refund, 18),
    (Step::SendRefunds, 15),
    (Step::Repeat, 9),
    (Step::Statement, 1),
    (Step::Restart, 2),
];

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A customer or a stranger pays by Paybill.
    PayByPaybill,
    /// Somebody asks a phone for money.
    AskPhone,
    /// A phone answers its prompt.
    AnswerPrompt,
    /// Something true arrives, maybe several times.
    Deliver,
    /// What arrived is taken in.
    TakeIn,
    /// Something untrue arrives.
    Lie,
    /// A little time passes, and M-Pesa is asked about requests.
    Ask,
    /// Pull is swept.
    Sweep,
    /// Minutes pass.
    ShortWhile,
    /// Hours or days pass.
    LongWhile,
    /// Jobs run.
    Jobs,
    /// Somebody brings cash, or the bank has a transfer.
    Counter,
    /// Cash is brought to the bank.
    Bank,
    /// Somebody says whose a payment in suspense is.
    Assign,
    /// A payment is moved.
    Move,
    /// A payment is shared out.
    Split,
    /// A booking at the counter is undone.
    Undo,
    /// What somebody owes is written off.
    WriteOff,
    /// A payment is to go back, or is not to go back after all.
    Refund,
    /// Refunds are sent and asked about.
    SendRefunds,
    /// The last write of staff is sent again with its key.
    Repeat,
    /// A statement is taken in.
    Statement,
    /// The controller restarts.
    Restart,
}

impl Step {
    /// Of a number by the weights.
    #[must_use]
    pub fn of(number: u64) -> Self {
        let sum: u64 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = number % sum;
        for (step, weight) in WEIGHTS {
            if left < weight {
                return step;
            }
            left -= weight;
        }
        Self::TakeIn
    }
}

impl Simulation<'_> {
    /// Does one step; says in words what it was.
    ///
    /// # Errors
    /// When the controller fails, or answers what it must not.
    pub async fn step(&mut self, step: Step) -> anyhow::Result<String> {
        match step {
            Step::PayByPaybill => Ok(self.pay_by_paybill()),
            Step::AskPhone => self.ask_phone().await,
            Step::AnswerPrompt => Ok(self.answer_prompt()),
            Step::Deliver => self.deliver().await,
            Step::TakeIn => self.take_in().await,
            Step::Lie => self.lie().await,
            Step::Ask => {
                let seconds = 20 + self.below(400);
                self.clock.advance(Duration::from_secs(seconds));
                self.house()?.turns.ask().await?;
                Ok(format!("{seconds} s pass, and requests are asked about"))
            }
            Step::Sweep => self.sweep().await,
            Step::ShortWhile => Ok(self.pass(30 * 60)),
            Step::LongWhile => {
                let said = self.pass(3 * 86_400);
                self.house()?.turns.do_jobs().await?;
                Ok(said)
            }
            Step::Jobs => {
                self.house()?.turns.do_jobs().await?;
                Ok("jobs run".to_owned())
            }
            Step::Counter => self.counter().await,
            Step::Bank => self.bank().await,
            Step::Assign => self.assign().await,
            Step::Move => self.move_one().await,
            Step::Split => self.split().await,
            Step::Undo => self.undo().await,
            Step::WriteOff => self.write_off().await,
            Step::Refund => self.refund().await,
            Step::SendRefunds => self.send_refunds().await,
            Step::Repeat => self.repeat().await,
            Step::Statement => self.statement().await,
            Step::Restart => {
                let house = self.house.take().context("a controller")?;
                self.house = Some(house.restart().await?);
                Ok("the controller restarts".to_owned())
            }
        }
    }

    fn pass(&self, seconds: u64) -> String {
        let seconds = 1 + self.below(seconds);
        self.clock.advance(Duration::from_secs(seconds));
        format!("{seconds} s pass")
    }

    fn payer(&self) -> anyhow::Result<(usize, &Payer)> {
        let index = self.index(self.template.payers.len());
        Ok((index, self.template.payers.get(index).context("a customer")?))
    }

    fn amount(&self) -> i64 {
        AMOUNTS.get(self.index(AMOUNTS.len())).copied().unwrap_or(1)
    }

    fn pay_by_paybill(&mut self) -> String {
        let amount = self.amount();
        let index = self.index(self.template.payers.len());
        let Some(payer) = self.template.payers.get(index) else { return String::new() };
        let receipt = match self.below(8) {
            0 => self.safaricom.truth().pay(amount, "254711111222", "rent", None),
            // The last digit is one more: the check digit says so.
            1 => {
                let (stem, digit) = payer.account.split_at(payer.account.len().saturating_sub(1));
                let slip = format!("{stem}{}", (digit.parse().unwrap_or(0) + 1) % 10);
                self.safaricom.truth().pay(amount, "254711111333", &slip, None)
            }
            _ => self.safaricom.truth().pay(amount, &payer.phone, &payer.account, Some(index)),
        };
        self.send_confirmation(receipt);
        format!("receipt {receipt} is paid: {amount} of {index}")
    }

    /// A confirmation is on its way, several times or never.
    fn send_confirmation(&mut self, receipt: usize) {
        for _ in 0..self.copies() {
            self.bag.push(Telling::Confirmation(receipt));
        }
    }

    fn copies(&self) -> u64 {
        [0, 1, 1, 1, 2, 3].get(self.index(6)).copied().unwrap_or(1)
    }

    async fn ask_phone(&mut self) -> anyhow::Result<String> {
        let (index, payer) = self.payer()?;
        let line = payer.lines.get(self.index(payer.lines.len())).context("a line")?;
        let body = if self.below(2) == 0 { json!({}) } else { json!({"amount_cents": self.amount() * 100}) };
        let path = format!("/api/subscriptions/{line}/payment-requests");
        let reply = match self.below(10) {
            0 => Reply::Lost,
            1 => Reply::Refused,
            _ => Reply::Given,
        };
        self.safaricom.truth().reply = reply;
        let answered = self.write(&path, &body).await;
        self.safaricom.truth().reply = Reply::Given;
        let (status, answer) = answered?;
        let state = answer.get("state").and_then(Value::as_str).unwrap_or_default();
        Ok(format!("the phone of {index} is asked, reply {reply:?}: {status} {state}"))
    }

    fn answer_prompt(&mut self) -> String {
        let chosen = self.below(10);
        let code = CODES.get(self.index(CODES.len())).copied().unwrap_or("1");
        let mut truth = self.safaricom.truth();
        let now = truth.now();
        let is_young = |prompt: &Prompt| now.since(prompt.at) <= PIN_WITHIN;
        // One that ended may be paid after all: the PIN came late.
        let is_late = chosen == 9;
        let waiting: Vec<usize> = truth
            .prompts
            .iter()
            .enumerate()
            .filter(|(_, prompt)| {
                prompt.fate == Fate::Open
                    || (is_late && matches!(prompt.fate, Fate::Ended(_)) && is_young(prompt))
            })
            .map(|(index, _)| index)
            .collect();
        let Some(&index) = waiting.get(self.index(waiting.len())) else {
            return "no prompt waits".to_owned();
        };
        let Some(prompt) = truth.prompts.get(index).cloned() else { return String::new() };
        let is_paid = (chosen < 6 || is_late) && is_young(&prompt);
        let fate = if is_paid {
            let owner = self.template.payers.iter().position(|payer| payer.account == prompt.account);
            let receipt = truth.pay(prompt.shillings, &prompt.phone, &prompt.account, owner);
            if let Some(paid) = truth.receipts.get_mut(receipt) {
                paid.prompt = Some(index);
            }
            Fate::Paid(receipt)
        } else {
            Fate::Ended(code)
        };
        if let Some(prompt) = truth.prompts.get_mut(index) {
            prompt.fate = fate;
        }
        drop(truth);
        for _ in 0..self.copies() {
            self.bag.push(Telling::Callback(index));
        }
        if let Fate::Paid(receipt) = fate
            && self.below(2) == 0
        {
            self.send_confirmation(receipt);
        }
        format!("prompt {index} ends: {fate:?}")
    }

    async fn deliver(&mut self) -> anyhow::Result<String> {
        let mut said = String::from("arrive:");
        for _ in 0..=self.below(2) {
            if self.bag.is_empty() {
                break;
            }
            let telling = self.bag.swap_remove(self.index(self.bag.len()));
            self.arrive(telling).await?;
            said.push_str(&format!(" {telling:?}"));
        }
        Ok(said)
    }

    /// Something true arrives.
    pub(super) async fn arrive(&mut self, telling: Telling) -> anyhow::Result<()> {
        let told = telling::told(&self.safaricom.truth(), &self.template.confirmation_path, telling);
        let Some((path, body)) = told else { return Ok(()) };
        let status = self.house()?.deliver(&path, body).await?;
        ensure!(status == 200, "{telling:?} was answered {status}");
        let receipt = match telling {
            Telling::Callback(prompt) => {
                match self.safaricom.truth().prompts.get(prompt).map(|prompt| prompt.fate) {
                    Some(Fate::Paid(receipt)) => Some(receipt),
                    _ => None,
                }
            }
            Telling::Confirmation(receipt) => Some(receipt),
            Telling::Result(_) | Telling::TimedOut(_) => None,
        };
        self.arrived.push((telling, receipt));
        Ok(())
    }

    /// Takes in what arrived: from now on it is booked.
    pub(super) async fn take_in(&mut self) -> anyhow::Result<String> {
        self.house()?.turns.take_in().await?;
        let truth = self.safaricom.truth();
        let count = self.arrived.len();
        for (telling, receipt) in std::mem::take(&mut self.arrived) {
            if let Some(receipt) = receipt.and_then(|receipt| truth.receipts.get(receipt)) {
                self.books.told(&receipt.number, receipt.shillings * 100, receipt.owner);
            }
            if let Telling::Result(refund) = telling
                && let (Some(ended), Some(&ours)) = (truth.refunds.get(refund), self.refund_of.get(&refund))
            {
                self.books.refund_ended(ours, ended.went_through);
            }
        }
        Ok(format!("{count} are taken in"))
    }

    async fn lie(&mut self) -> anyhow::Result<String> {
        let lie = LIES.get(self.index(LIES.len())).copied().context("a lie")?;
        let number = self.chance.number() % 1_000_000_000;
        let untrue = {
            let truth = self.safaricom.truth();
            let prompts = truth.prompts.len();
            let chosen = (self.index(prompts), self.index(prompts), number);
            telling::untrue(&truth, &self.template.confirmation_path, lie, chosen)
        };
        let Some((path, body)) = untrue else { return Ok("nothing to lie about".to_owned()) };
        let status = self.house()?.deliver(&path, body).await?;
        let expected = if lie == telling::Lie::StrangePath { 404 } else { 200 };
        ensure!(status == expected, "{lie:?} was answered {status}");
        Ok(format!("{lie:?} arrives"))
    }

    /// Sweeps: whatever was paid within the last two days is told of.
    pub(super) async fn sweep(&mut self) -> anyhow::Result<String> {
        self.house.as_mut().context("a controller")?.turns.sweep().await?;
        let told = self.safaricom.truth().pulled.drain(..).collect::<Vec<usize>>();
        let truth = self.safaricom.truth();
        for receipt in told.iter().filter_map(|receipt| truth.receipts.get(*receipt)) {
            self.books.told(&receipt.number, receipt.shillings * 100, receipt.owner);
        }
        Ok(format!("Pull tells of {}", told.len()))
    }

    async fn counter(&mut self) -> anyhow::Result<String> {
        let (index, payer) = self.payer()?;
        let line = payer.lines.get(self.index(payer.lines.len() + 1));
        let cents = self.amount() * 100;
        let reference = (self.below(3) == 0).then(|| format!("B{}", self.chance.number() % 1_000_000_000));
        let means = if reference.is_some() { "bank" } else { "cash" };
        let mut body = json!({"amount_cents": cents, "means": means, "is_another": true});
        if let Some(members) = body.as_object_mut() {
            members.extend(line.map(|line| ("subscription_id".to_owned(), json!(line))));
            members.extend(reference.clone().map(|reference| ("reference".to_owned(), json!(reference))));
        }
        let path = format!("/api/customers/{}/counter-payments", payer.id);
        let (status, answer) = self.write(&path, &body).await?;
        ensure!(status == 201, "{path}: {status}: {answer}");
        self.books.brought(crate::office::id_of(&answer)?, reference, cents, index);
        Ok(format!("{index} brings {cents} cents by {means}"))
    }

    async fn bank(&mut self) -> anyhow::Result<String> {
        let holder = "token:simulation";
        let drawers = self.house()?.get("/api/cash").await?;
        let holds = drawers.pointer("/drawers/0/holds_cents").and_then(Value::as_i64).unwrap_or(0);
        if holds == 0 {
            return Ok("no cash to bank".to_owned());
        }
        let cents = 1 + i64::try_from(self.below(u64::try_from(holds)?))?;
        let slip = format!("S{}", self.chance.number() % 1_000_000_000);
        let body = json!({"holder": holder, "amount_cents": cents, "slip": slip});
        let (status, answer) = self.write("/api/cash/bankings", &body).await?;
        ensure!(status == 201, "banking {cents}: {status}: {answer}");
        Ok(format!("{cents} cents are brought to the bank"))
    }

    /// A unit that the controller was asked about or told of, and its id there.
    async fn unit(&mut self) -> anyhow::Result<Option<(usize, String)>> {
        if self.books.units.is_empty() {
            return Ok(None);
        }
        // Mostly a late one, as staff do.
        let count = self.books.units.len();
        let back = self.index(if self.below(3) == 0 { count } else { count.min(12) });
        let index = count - 1 - back;
        let Some(unit) = self.books.units.get(index) else { return Ok(None) };
        if let Some(id) = &unit.id {
            return Ok(Some((index, id.clone())));
        }
        let Some(number) = unit.number.clone() else { return Ok(None) };
        let found = self.house()?.get(&format!("/api/payments?receipt={number}")).await?;
        let Some(id) = found.pointer("/payments/0/id").and_then(Value::as_str) else { return Ok(None) };
        if let Some(unit) = self.books.units.get_mut(index) {
            unit.id = Some(id.to_owned());
        }
        Ok(Some((index, id.to_owned())))
    }

    /// Somebody for whom a payment may be: a customer with or without a line, or nobody.
    fn target(&self) -> anyhow::Result<(Option<usize>, Value)> {
        if self.below(6) == 0 {
            return Ok((None, json!({})));
        }
        let (index, payer) = self.payer()?;
        let line = payer.lines.get(self.index(payer.lines.len() + 1));
        let body = match line {
            Some(line) => json!({"customer_id": payer.id, "subscription_id": line}),
            None => json!({"customer_id": payer.id}),
        };
        Ok((Some(index), body))
    }

    async fn assign(&mut self) -> anyhow::Result<String> {
        let Some((index, id)) = self.unit().await? else { return Ok("nothing to assign".to_owned()) };
        let (Some(to), body) = self.target()? else { return Ok("nobody to assign to".to_owned()) };
        let (status, answer) = self.write(&format!("/api/payments/{id}/assign"), &body).await?;
        let unit = self.books.units.get_mut(index).context("a unit")?;
        if status == 200 {
            ensure!(unit.owner.is_none() && unit.closed.is_empty(), "{unit:?} was assigned: {answer}");
            (unit.owner, unit.is_decided) = (Some(to), true);
        } else {
            let is_free = unit.owner.is_none() && unit.closed.is_empty();
            ensure!(!is_free && status < 500, "{unit:?} was not assigned: {status}: {answer}");
        }
        Ok(format!("unit {index} is assigned to {to}: {status}"))
    }

    async fn move_one(&mut self) -> anyhow::Result<String> {
        let Some((index, id)) = self.unit().await? else { return Ok("nothing to move".to_owned()) };
        let (to, body) = self.target()?;
        let (status, answer) = self.write(&format!("/api/payments/{id}/move"), &body).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status < 300 {
            self.books.moved(index, to);
        }
        Ok(format!("unit {index} is moved to {to:?}: {status}"))
    }

    async fn split(&mut self) -> anyhow::Result<String> {
        let Some((index, id)) = self.unit().await? else { return Ok("nothing to split".to_owned()) };
        let cents = self.books.units.get(index).map_or(0, |unit| unit.cents);
        let first = 1 + i64::try_from(self.below(u64::try_from(cents.max(1))?))?;
        let mut parts = Vec::new();
        let mut owners = Vec::new();
        for amount in [first, cents - first] {
            let (owner, mut body) = self.target()?;
            if let Some(members) = body.as_object_mut() {
                members.insert("amount_cents".to_owned(), json!(amount));
            }
            parts.push(body);
            owners.push((owner, amount));
        }
        let (status, answer) =
            self.write(&format!("/api/payments/{id}/split"), &json!({"parts": parts})).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status < 300 {
            let payments = answer.get("payments").and_then(Value::as_array).context("parts")?;
            ensure!(payments.len() == owners.len(), "{answer}");
            let ids = payments.iter().map(crate::office::id_of).collect::<anyhow::Result<Vec<String>>>()?;
            let parts: Vec<_> =
                owners.into_iter().zip(ids).map(|((owner, cents), id)| (owner, cents, id)).collect();
            self.books.split(index, &parts);
        }
        Ok(format!("unit {index} is split at {first}: {status}"))
    }

    async fn undo(&mut self) -> anyhow::Result<String> {
        let Some((index, id)) = self.unit().await? else { return Ok("nothing to undo".to_owned()) };
        let (status, answer) = self.write(&format!("/api/payments/{id}/undo"), &json!({})).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status < 300 {
            let unit = self.books.units.get(index).context("a unit")?;
            ensure!(!unit.is_mpesa && unit.closed.is_empty(), "{unit:?} was undone");
            self.books.undone(index);
        }
        Ok(format!("unit {index} is undone: {status}"))
    }

    async fn write_off(&mut self) -> anyhow::Result<String> {
        let (index, payer) = self.payer()?;
        let (status, answer) =
            self.write(&format!("/api/customers/{}/write-offs", payer.id), &json!({})).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status < 300 {
            let cents = answer.get("amount_cents").and_then(Value::as_i64).context("an amount")?;
            ensure!(cents > 0, "{answer}");
            if let Some(sum) = self.books.written_off.get_mut(index) {
                *sum += cents;
            }
        }
        Ok(format!("what {index} owes is written off: {status}"))
    }

    async fn refund(&mut self) -> anyhow::Result<String> {
        let Some((index, id)) = self.unit().await? else { return Ok("nothing to give back".to_owned()) };
        let cents = self.books.units.get(index).map_or(0, |unit| unit.cents);
        let asked = (cents / 200).max(1) * 100;
        let body = match self.below(6) {
            0 => json!({"way": "reversal", "reason": "asked"}),
            1 => json!({"way": "reversal", "reason": "asked", "with_used": true}),
            2 => json!({"way": "payout", "reason": "asked"}),
            3 => json!({"way": "payout", "reason": "asked", "with_used": true}),
            _ => json!({"way": "payout", "reason": "asked", "amount_cents": asked}),
        };
        let asked = body.get("amount_cents").and_then(Value::as_i64);
        let (status, answer) = self.write(&format!("/api/payments/{id}/refunds"), &body).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status == 201 {
            let amount = answer.get("amount_cents").and_then(Value::as_i64).context("an amount")?;
            let refund = crate::office::id_of(&answer)?;
            ensure!(amount > 0 && amount <= asked.unwrap_or(cents), "{amount} cents of {cents}: {answer}");
            self.books.refund_asked(refund.clone(), index, asked, amount);
            if self.below(6) == 0 {
                let (status, _) = self.write(&format!("/api/refunds/{refund}/withdraw"), &json!({})).await?;
                if status < 300 {
                    self.books.refund_ended(self.books.refunds.len() - 1, false);
                }
                return Ok(format!("unit {index} is to go back, and is not: {status}"));
            }
        }
        Ok(format!("unit {index} is to go back: {status}"))
    }

    /// Sends refunds, one way or another, and lets their results go on their way.
    pub(super) async fn send_refunds(&mut self) -> anyhow::Result<String> {
        let before = {
            let chosen = self.below(8);
            let mut truth = self.safaricom.truth();
            truth.reply = if chosen == 0 && !self.is_ending { Reply::Lost } else { Reply::Given };
            truth.refund_goes_through = chosen != 1;
            truth.refunds.len()
        };
        let sent = self.house()?.turns.send_refunds().await;
        let mut truth = self.safaricom.truth();
        truth.reply = Reply::Given;
        let after = truth.refunds.len();
        sent?;
        for index in before..after {
            let Some(refund) = truth.refunds.get(index) else { continue };
            let ours = self.books.refunds.iter().position(|one| {
                let unit = self.books.units.get(one.unit);
                let is_of = unit.and_then(|unit| unit.number.as_ref()) == refund.receipt.as_ref();
                one.standing == Standing::Held
                    && (refund.name.as_ref() == Some(&one.id) || (refund.name.is_none() && is_of))
            });
            let ours = ours.with_context(|| format!("nobody asked for {refund:?}"))?;
            ensure!(!self.refund_of.values().any(|other| *other == ours), "refund {ours} was sent twice");
            let cents = self.books.refunds.get(ours).map(|ours| ours.cents);
            ensure!(cents == Some(refund.shillings * 100), "{cents:?} cents were to go back: {refund:?}");
            self.refund_of.insert(index, ours);
        }
        drop(truth);
        for index in before..after {
            match self.below(6) {
                0 => {}
                1 => self.bag.push(Telling::TimedOut(index)),
                2 => self.bag.extend([Telling::TimedOut(index), Telling::Result(index)]),
                3 => self.bag.extend([Telling::Result(index), Telling::Result(index)]),
                _ => self.bag.push(Telling::Result(index)),
            }
        }
        Ok(format!("{} refunds reach M-Pesa", after - before))
    }

    async fn repeat(&mut self) -> anyhow::Result<String> {
        let Some(before) = self.last_write.clone() else { return Ok("nothing to repeat".to_owned()) };
        let (status, answer) = self.house()?.post_with_key(&before.path, &before.body, &before.key).await?;
        // A request on a phone is told as it stands now.
        let is_same = before.path.contains("payment-requests") || answer == before.answer;
        ensure!(status < 500 && is_same, "{before:?} was answered {status} {answer} the second time");
        Ok(format!("{} once more: {status}", before.path))
    }

    /// Takes in the statement over everything so far.
    pub(super) async fn statement(&mut self) -> anyhow::Result<String> {
        let csv = telling::statement(&self.safaricom.truth());
        let body = json!({"csv": csv});
        let (status, answer) = self.house()?.post("/api/payments/statements", &body).await?;
        let truth = self.safaricom.truth();
        ensure!(status < 300 || truth.receipts.is_empty(), "a statement was answered {status}: {answer}");
        for receipt in &truth.receipts {
            self.books.told(&receipt.number, receipt.shillings * 100, receipt.owner);
        }
        Ok(format!("a statement of {} is taken in", truth.receipts.len()))
    }
}
