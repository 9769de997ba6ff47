//! The steps of a simulation: what customers, strangers, staff, Safaricom and time do, one at a time, as a seed has it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use tawi_shared::UnixMillis;

use super::Simulation;
use super::books::{Ended, Told, Unit};
use super::house::Payer;
use super::safaricom::{Fate, Prompt, Receipt, Reply, Why};
use super::statement::{self, FORMS};
use super::telling::{self, LIES, Telling};

/// What somebody pays, in shillings: mostly what a period costs.
const AMOUNTS: [i64; 8] = [1_500, 1_500, 100, 100, 3_000, 700, 50, 1_600];
/// What Safaricom's prompts end with, other than money.
const CODES: [&str; 3] = ["1032", "1037", "1"];

/// How long after a prompt a PIN may still come: far longer than any that was seen.
const PIN_WITHIN: Duration = Duration::from_secs(10 * 60);

/// One kind of step, and how often it comes among a thousand.
const WEIGHTS: [(Step, u64); 30] = [
    (Step::PayByPaybill, 110),
    (Step::PayAtTill, 30),
    (Step::AskPhone, 70),
    (Step::TopUp, 20),
    (Step::AnswerPrompt, 100),
    (Step::Claim, 15),
    (Step::Deliver, 205),
    (Step::TakeIn, 100),
    (Step::Lie, 50),
    (Step::Ask, 40),
    (Step::Sweep, 20),
    (Step::ShortWhile, 50),
    (Step::LongWhile, 12),
    (Step::Jobs, 20),
    (Step::Outgoing, 10),
    (Step::Counter, 35),
    (Step::Bank, 4),
    (Step::Assign, 30),
    (Step::Move, 25),
    (Step::Split, 10),
    (Step::Undo, 8),
    (Step::WriteOff, 6),
    (Step::Refund, 22),
    (Step::Withdraw, 4),
    (Step::SendRefunds, 15),
    (Step::LookUp, 4),
    (Step::Hold, 8),
    (Step::Repeat, 9),
    (Step::Statement, 1),
    (Step::Restart, 2),
];

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A customer or a stranger pays by Paybill.
    PayByPaybill,
    /// The same where nobody types an account, as at a till.
    PayAtTill,
    /// Somebody asks a phone for money.
    AskPhone,
    /// Somebody wants more data, out of the wallet or by phone.
    TopUp,
    /// A phone answers its prompt.
    AnswerPrompt,
    /// A customer claims a payment by its receipt and the phone that paid.
    Claim,
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
    /// Safaricom takes a charge, or sends money to the bank.
    Outgoing,
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
    /// A refund is not to be.
    Withdraw,
    /// Refunds are sent and asked about.
    SendRefunds,
    /// Somebody looks up what became of refunds.
    LookUp,
    /// A line is held or released.
    Hold,
    /// The last write of staff is sent again with its key.
    Repeat,
    /// A statement is taken in.
    Statement,
    /// The controller restarts.
    Restart,
}

/// What more of happens in a world than in others, so that short worlds come to it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Nothing.
    Plain,
    /// Money that goes back.
    Refunds,
    /// What was booked wrongly.
    Corrections,
    /// Statements, and what only they tell.
    Statements,
}

impl Mood {
    /// Of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Refunds,
            1 => Self::Plain,
            2 => Self::Corrections,
            _ => Self::Statements,
        }
    }

    /// How often a step comes in it.
    fn weight(self, step: Step, weight: u64) -> u64 {
        match (self, step) {
            (Self::Refunds, Step::Refund | Step::SendRefunds) => weight * 5,
            (Self::Refunds, Step::LookUp) => weight * 15,
            (Self::Corrections, Step::Move | Step::Split | Step::LongWhile) => weight * 4,
            (Self::Statements, Step::Outgoing) => weight * 4,
            (Self::Statements, Step::Statement) => weight * 30,
            _ => weight,
        }
    }
}

impl Step {
    /// Of a number by the weights.
    #[must_use]
    pub fn of(number: u64, mood: Mood) -> Self {
        let weights = WEIGHTS.map(|(step, weight)| (step, mood.weight(step, weight)));
        let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut left = number % sum;
        for (step, weight) in weights {
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
            Step::PayAtTill => Ok(self.pay_at_till()),
            Step::AskPhone => self.ask_phone().await,
            Step::TopUp => self.top_up().await,
            Step::Claim => self.claim().await,
            Step::Outgoing => self.outgoing(),
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
            Step::Statement => self.statement().await,
            Step::Restart => {
                let house = self.house.take().context("a controller")?;
                self.house = Some(house.restart().await?);
                self.count("restarts");
                Ok("the controller restarts".to_owned())
            }
            other => self.staff(other).await,
        }
    }

    fn pass(&self, seconds: u64) -> String {
        let seconds = 1 + self.below(seconds);
        self.clock.advance(Duration::from_secs(seconds));
        format!("{seconds} s pass")
    }

    pub(super) fn payer(&self) -> anyhow::Result<(usize, &Payer)> {
        let index = self.index(self.template.payers.len());
        Ok((index, self.template.payers.get(index).context("a customer")?))
    }

    pub(super) fn amount(&self) -> i64 {
        AMOUNTS.get(self.index(AMOUNTS.len())).copied().unwrap_or(1)
    }

    fn pay_by_paybill(&mut self) -> String {
        let amount = self.amount();
        let index = self.index(self.template.payers.len());
        let Some(payer) = self.template.payers.get(index) else { return String::new() };
        let (receipt, kind) = match self.below(8) {
            0 => (self.safaricom.truth().pay(amount, "254711111222", "rent", None), "paid for words"),
            // The last digit is one more: the check digit says so.
            1 => {
                let (stem, digit) = payer.account.split_at(payer.account.len().saturating_sub(1));
                let slip = format!("{stem}{}", (digit.parse().unwrap_or(0) + 1) % 10);
                (self.safaricom.truth().pay(amount, "254711111333", &slip, None), "paid with a slip")
            }
            _ => {
                let paid = self.safaricom.truth().pay(amount, &payer.phone, &payer.account, Some(index));
                (paid, "paid by Paybill")
            }
        };
        self.count(kind);
        self.send_confirmation(receipt);
        format!("receipt {receipt} is paid: {amount} of {index}")
    }

    /// Only who paid says whose it is, and a confirmation hides that: what Pull tells within two days may find its owner.
    fn pay_at_till(&mut self) -> String {
        let index = self.index(self.template.payers.len());
        let owner = (self.below(4) > 0).then_some(index);
        let Some(payer) = self.template.payers.get(index) else { return String::new() };
        let phone = if owner.is_some() { payer.phone.as_str() } else { "254711111444" };
        // Another amount than any prompt asks for, whose receipt it would be taken for.
        let mut amount = self.amount() + 3;
        while self.safaricom.truth().prompts.iter().any(|prompt| prompt.shillings == amount) {
            amount += 7;
        }
        let receipt = self.safaricom.truth().pay(amount, phone, "", owner);
        self.count("paid at a till");
        self.send_confirmation(receipt);
        format!("receipt {receipt} is paid at the till: {amount} of {owner:?}")
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
        if status < 300 {
            self.count(match reply {
                Reply::Given => "phones asked",
                Reply::Lost => "phones asked, and the reply lost",
                Reply::Refused => "phones asked, and refused",
            });
        }
        Ok(format!("the phone of {index} is asked, reply {reply:?}: {status} {state}"))
    }

    /// More data for a line: out of the wallet, or by phone.
    async fn top_up(&mut self) -> anyhow::Result<String> {
        let (index, payer) = self.payer()?;
        let line = payer.lines.last().context("a line")?.clone();
        let top_up = self.template.top_up.clone();
        let (path, kind) = match self.below(2) {
            0 => (format!("/api/subscriptions/{line}/top-ups"), "top-ups out of the wallet"),
            _ => (format!("/api/subscriptions/{line}/payment-requests"), "top-ups asked for by phone"),
        };
        let (status, answer) = self.write(&path, &json!({"top_up_id": top_up})).await?;
        ensure!(status < 500, "{path}: {status}: {answer}");
        if status < 300 {
            self.count(kind);
        }
        Ok(format!("{kind} of {index}: {status}"))
    }

    /// A customer claims a payment that may be theirs: with its receipt, and the phone that paid or another one.
    async fn claim(&mut self) -> anyhow::Result<String> {
        let count = self.books.units.len();
        let Some(number) = self
            .books
            .units
            .get(self.index(count))
            .and_then(|unit| unit.number.clone().filter(|_| unit.is_mpesa && !unit.is_part))
        else {
            return Ok("nothing to claim".to_owned());
        };
        let free = |unit: &Unit| {
            let waits = !unit.is_decided || unit.is_back;
            unit.is_mpesa && unit.owner.is_none() && waits && unit.closed.is_empty()
        };
        let frees: Vec<usize> = (0..count).filter(|at| self.books.units.get(*at).is_some_and(free)).collect();
        // Mostly one that waits.
        let chosen =
            frees.get(self.index(frees.len())).and_then(|at| self.books.units.get(*at)?.number.clone());
        let number = if self.below(4) == 0 { number } else { chosen.unwrap_or(number) };
        let phone = self
            .safaricom
            .truth()
            .receipts
            .iter()
            .find(|one| one.number == number)
            .map(|one| one.phone.clone());
        let phone = phone.context("a receipt that nobody paid")?;
        let is_right = self.below(4) > 0;
        let phone = if is_right { phone } else { another(&phone) };
        let (index, payer) = self.payer()?;
        let path = match payer.lines.len() {
            1 => format!("/pay/{}/receipt", payer.account),
            lines => format!("/pay/{}/receipt?line={}", payer.account, 1 + self.below(u64::try_from(lines)?)),
        };
        let status = self.house()?.claim(&path, &number, &phone).await?;
        let unit =
            self.books.units.iter_mut().find(|unit| unit.is_mpesa && unit.number.as_ref() == Some(&number));
        let unit = unit.context("a unit")?;
        let (is_free, is_theirs) = (free(unit), unit.owner == Some(index));
        let goes_back = is_right && unit.closed == "refunded";
        match status {
            429 => {}
            200 if is_free && is_right => {
                unit.owner = Some(index);
                self.count("claimed");
            }
            200 => ensure!(is_theirs, "{unit:?} was given to {index} for {phone}"),
            409 => {
                ensure!(goes_back, "{unit:?} is said to go back to {phone}");
                self.count("claimed while it goes back");
            }
            404 => {
                ensure!(!(is_free && is_right), "{unit:?} was not given to {index} for {phone}");
                self.count("claimed in vain");
            }
            other => anyhow::bail!("a claim of {unit:?} was answered {other}"),
        }
        Ok(format!("{index} claims {number}: {status}"))
    }

    /// Safaricom takes a charge for some payment, or sends money to the bank; only a statement will tell.
    fn outgoing(&mut self) -> anyhow::Result<String> {
        let (chosen, cents) = (self.below(3), 100 + i64::try_from(self.below(2_000))?);
        let mut truth = self.safaricom.truth();
        let count = truth.receipts.len();
        let number = truth.receipts.get(self.index(count)).map(|one| one.number.clone());
        let holds = truth.holds();
        let Some(number) = number.filter(|_| holds > cents) else { return Ok("nothing leaves".to_owned()) };
        // Two of one payment, which differ by what they are for.
        let what = if chosen == 1 { "Pay Bill Charge" } else { "Pay Bill Service Fee" };
        let is_charged = truth.outs.iter().any(|out| out.about == what && out.number == number);
        let kind = if chosen > 0 {
            if is_charged {
                return Ok("nothing leaves".to_owned());
            }
            truth.take(Why::Charge, what, Some(number), cents);
            "charges"
        } else {
            let cents = i64::try_from(self.below(u64::try_from(holds / 100)?))? * 100 + 100;
            truth.take(Why::Settlement, "", None, cents.min(holds));
            "transfers to the bank"
        };
        drop(truth);
        self.count(kind);
        Ok(format!("{kind}: {cents}"))
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
        self.count(match (fate, prompt.fate) {
            (Fate::Paid(_), Fate::Ended(_)) => "prompts paid late",
            (Fate::Paid(_), _) => "prompts paid",
            _ => "prompts that ended",
        });
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
        self.arrived.push((telling, receipt, self.clock.now()));
        Ok(())
    }

    /// Takes in what arrived: from now on it is booked.
    pub(super) async fn take_in(&mut self) -> anyhow::Result<String> {
        self.house()?.turns.take_in().await?;
        let truth = self.safaricom.truth().clone();
        let count = self.arrived.len();
        for (telling, receipt, at) in std::mem::take(&mut self.arrived) {
            if let Some(receipt) = receipt.and_then(|receipt| truth.receipts.get(receipt)) {
                // A confirmation hides who paid.
                let owner = receipt.owner.filter(|_| !receipt.is_till);
                let (kind, again) = match telling {
                    Telling::Callback(_) => ("callbacks that told first", "callbacks that told again"),
                    _ => ("confirmations that told first", "confirmations that told again"),
                };
                let is_news = self.books.told(told(receipt, owner, at));
                self.count(if is_news { kind } else { again });
            }
            if let Telling::Result(refund) = telling
                && let (Some(ended), Some(&ours)) = (truth.refunds.get(refund), self.refund_of.get(&refund))
            {
                self.result_told((refund, ended.went_through), ours);
            }
        }
        Ok(format!("{count} are taken in"))
    }

    /// M-Pesa told what became of a refund one time that it was sent. That it did nothing then is no end of it as long as it
    /// was sent another time of which that is not known.
    fn result_told(&mut self, (theirs, went_through): (usize, bool), ours: usize) {
        if !self.ended.insert(theirs) {
            self.count("results told again");
            return;
        }
        let mut sent = self.refund_of.iter().filter(|(_, one)| **one == ours);
        if !went_through && sent.any(|(theirs, _)| !self.ended.contains(theirs)) {
            self.count("results of one time of two");
            return;
        }
        let ended = self.books.refund_ended(ours, went_through);
        self.count(match ended {
            Ended::Gone => "refunds gone",
            Ended::Back => "refunds that came back",
            Ended::AfterAll => "refunds gone after all",
            Ended::TooLate => "refunds gone too late",
            Ended::Known => "results of what was known",
        });
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
        self.count(lie.name());
        Ok(format!("{lie:?} arrives"))
    }

    /// Sweeps: whatever was paid within the last two days is told of.
    pub(super) async fn sweep(&mut self) -> anyhow::Result<String> {
        self.house.as_mut().context("a controller")?.turns.sweep().await?;
        let now = self.clock.now();
        let (pulled, receipts): (Vec<usize>, Vec<Receipt>) = {
            let mut truth = self.safaricom.truth();
            let pulled = std::mem::take(&mut truth.pulled);
            let receipts = pulled.iter().filter_map(|receipt| truth.receipts.get(*receipt).cloned());
            let receipts = receipts.collect();
            (pulled, receipts)
        };
        for receipt in &receipts {
            if self.books.told(told(receipt, receipt.owner, now)) {
                self.count("receipts that Pull told of first");
            }
        }
        Ok(format!("Pull tells of {}", pulled.len()))
    }

    /// Takes in the statement over everything so far, in one form or another.
    pub(super) async fn statement(&mut self) -> anyhow::Result<String> {
        let form = FORMS.get(self.index(FORMS.len())).copied().context("a form")?;
        let csv = statement::write(&self.safaricom.truth(), form);
        let body = json!({"csv": csv});
        let (status, answer) = self.house()?.post("/api/payments/statements", &body).await?;
        let truth = self.safaricom.truth().clone();
        ensure!(status < 300 || truth.movements.is_empty(), "a statement was answered {status}: {answer}");
        let now = self.clock.now();
        for receipt in &truth.receipts {
            let owner = receipt.owner.filter(|_| !receipt.is_till);
            if self.books.told(told(receipt, owner, now)) {
                self.count("receipts that a statement told of first");
            }
        }
        for (index, out) in truth.outs.iter().enumerate() {
            match out.why {
                Why::Charge => self.books.charges.insert(index, out.cents),
                Why::Settlement => self.books.settlements.insert(index, out.cents),
                Why::Reversal | Why::Payout => None,
            };
        }
        // An export has all of its last second: nobody has one of a payment that is made just now.
        self.clock.advance(Duration::from_secs(1));
        self.count(match (form.columns, form.has_balances) {
            (8, _) => "statements of 8 columns",
            (9, _) => "statements of 9 columns",
            (_, true) => "statements of 13 columns",
            (_, false) => "statements without balances",
        });
        Ok(format!("a statement of {} rows is taken in, {form:?}", truth.movements.len()))
    }
}

fn told(receipt: &Receipt, owner: Option<usize>, at: UnixMillis) -> Told<'_> {
    Told { number: &receipt.number, cents: receipt.shillings * 100, owner, at }
}

/// Another phone, whose end differs.
fn another(phone: &str) -> String {
    let (stem, digit) = phone.split_at(phone.len().saturating_sub(1));
    format!("{stem}{}", (digit.parse().unwrap_or(0) + 5) % 10)
}
