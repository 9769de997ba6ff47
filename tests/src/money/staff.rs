//! What staff do in a simulation: at the counter, with what is nobody's, with what was booked wrongly, with what goes back.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::books::Standing;
use super::safaricom::Reply;
use super::steps::Step;
use super::telling::Telling;
use super::{Simulation, checks};

impl Simulation<'_> {
    /// Does one step of staff; says in words what it was.
    ///
    /// # Errors
    /// When the controller fails, or answers what it must not.
    pub(super) async fn staff(&mut self, step: Step) -> anyhow::Result<String> {
        match step {
            Step::Counter => self.counter().await,
            Step::Bank => self.bank().await,
            Step::Assign => self.assign().await,
            Step::Move => self.move_one().await,
            Step::Split => self.split().await,
            Step::Undo => self.undo().await,
            Step::WriteOff => self.write_off().await,
            Step::Refund => self.refund().await,
            Step::Withdraw => self.withdraw().await,
            Step::SendRefunds => self.send_refunds().await,
            Step::LookUp => self.look_up().await,
            Step::Hold => self.hold().await,
            Step::Repeat => self.repeat().await,
            other => anyhow::bail!("{other:?} is no step of staff"),
        }
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
        self.count(if means == "cash" { "cash brought" } else { "transfers brought" });
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
        self.count("cash banked");
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
            self.count("assigned");
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
            self.count(if to.is_some() { "moved to somebody" } else { "moved to nobody" });
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
            self.count("split");
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
            self.count("undone");
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
            self.count("debts written off");
            if let Some(sum) = self.books.written_off.get_mut(index) {
                *sum += cents;
            }
        }
        Ok(format!("what {index} owes is written off: {status}"))
    }

    async fn refund(&mut self) -> anyhow::Result<String> {
        let before = self.books.refunds.get(self.index(self.books.refunds.len())).map(|one| one.unit);
        // Now and then one of which something went back before.
        let again = before.and_then(|unit| Some((unit, self.books.units.get(unit)?.id.clone()?)));
        let found = if self.below(3) == 0 && again.is_some() { again } else { self.unit().await? };
        let Some((index, id)) = found else { return Ok("nothing to give back".to_owned()) };
        let Some(unit) = self.books.units.get(index).cloned() else { return Ok(String::new()) };
        // A quarter, or three.
        let asked = (unit.cents / 400).max(10) * 100 * if self.below(2) == 0 { 1 } else { 3 };
        let body = match self.below(8) {
            0 => json!({"way": "reversal", "reason": "asked"}),
            1 | 2 => json!({"way": "reversal", "reason": "asked", "with_used": true}),
            3 => json!({"way": "payout", "reason": "asked"}),
            4 => json!({"way": "payout", "reason": "asked", "with_used": true}),
            _ => json!({"way": "payout", "reason": "asked", "amount_cents": asked}),
        };
        let asked = body.get("amount_cents").and_then(Value::as_i64);
        let before = self.used_of(unit.owner).await?;
        let (status, answer) = self.write(&format!("/api/payments/{id}/refunds"), &body).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status != 201 {
            return Ok(format!("unit {index} is to go back: {status}"));
        }
        let amount = answer.get("amount_cents").and_then(Value::as_i64).context("an amount")?;
        let refund = crate::office::id_of(&answer)?;
        let left = unit.cents - self.books.going_back(index);
        ensure!(
            amount > 0 && amount <= asked.unwrap_or(unit.cents),
            "{amount} cents of {}: {answer}",
            unit.cents
        );
        ensure!(amount <= left, "{amount} cents go back of {left} that were left of {unit:?}");
        ensure!(unit.closed.is_empty() && unit.is_mpesa, "{unit:?} is to go back");
        let off = self.used_of(unit.owner).await? - before;
        self.books.refund_asked(refund.clone(), index, asked, (amount, off));
        self.count(match (asked, body.get("way").and_then(Value::as_str)) {
            (Some(asked), _) if asked < unit.cents => "refunds of a part",
            (_, Some("payout")) if amount < unit.cents => "refunds without the used",
            (_, Some("payout")) => "refunds to a phone",
            _ => "refunds by reversal",
        });
        if off > 0 {
            self.count("refunds with the used");
        }
        if self.below(6) == 0 {
            let (status, _) = self.write(&format!("/api/refunds/{refund}/withdraw"), &json!({})).await?;
            if status < 300 {
                self.books.refund_ended(self.books.refunds.len() - 1, false);
                self.count("refunds withdrawn");
            }
            return Ok(format!("unit {index} is to go back, and is not: {status}"));
        }
        Ok(format!("unit {index} is to go back, {amount} cents: {status}"))
    }

    /// Somebody has second thoughts about a refund: they come in time, or too late.
    async fn withdraw(&mut self) -> anyhow::Result<String> {
        let held: Vec<usize> = self.books.held().collect();
        let Some(&index) = held.get(self.index(held.len())) else {
            return Ok("no refund is held".to_owned());
        };
        let Some(refund) = self.books.refunds.get(index).cloned() else { return Ok(String::new()) };
        let (status, answer) =
            self.write(&format!("/api/refunds/{}/withdraw", refund.id), &json!({})).await?;
        ensure!(status < 500, "{status}: {answer}");
        let is_sent = self.refund_of.values().any(|ours| *ours == index);
        if status < 300 {
            ensure!(!is_sent, "{refund:?} is withdrawn, and M-Pesa has it");
            self.books.refund_ended(index, false);
            self.count("refunds withdrawn");
        }
        Ok(format!("refund {index} is withdrawn: {status}"))
    }

    /// How much used time was written off for a customer, by the controller's own lines.
    async fn used_of(&self, owner: Option<usize>) -> anyhow::Result<i64> {
        match owner.and_then(|owner| self.template.payers.get(owner)) {
            Some(payer) => checks::used_time_of(self.house()?, payer).await,
            None => Ok(0),
        }
    }

    /// Sends refunds, one way or another, and lets their results go on their way.
    pub(super) async fn send_refunds(&mut self) -> anyhow::Result<String> {
        let before = {
            let chosen = self.below(8);
            let mut truth = self.safaricom.truth();
            truth.reply = match chosen {
                0 if !self.is_ending => Reply::Lost,
                2 if !self.is_ending => Reply::Refused,
                _ => Reply::Given,
            };
            truth.refund_goes_through = !matches!(chosen, 1 | 3);
            truth.refunds.len()
        };
        let held: Vec<usize> = self.books.held().collect();
        let sent = self.house()?.turns.send_refunds().await;
        let (after, reply) = {
            let mut truth = self.safaricom.truth();
            let reply = std::mem::replace(&mut truth.reply, Reply::Given);
            (truth.refunds.len(), reply)
        };
        sent?;
        for index in before..after {
            let Some(refund) = self.safaricom.truth().refunds.get(index).cloned() else { continue };
            let ours = self.books.refunds.iter().position(|one| {
                let unit = self.books.units.get(one.unit);
                let is_of = unit.and_then(|unit| unit.number.as_ref()) == refund.receipt.as_ref();
                one.standing == Standing::Held
                    && (refund.name.as_ref() == Some(&one.id) || (refund.name.is_none() && is_of))
            });
            let ours = ours.with_context(|| format!("nobody asked for {refund:?}"))?;
            let Some(asked) = self.books.refunds.get(ours) else { continue };
            let is_sent_before = self.refund_of.values().any(|other| *other == ours);
            ensure!(!is_sent_before || asked.is_again, "refund {ours} was sent twice");
            ensure!(
                asked.cents == refund.shillings * 100,
                "{} cents were to go back: {refund:?}",
                asked.cents
            );
            self.refund_of.insert(index, ours);
        }
        if reply == Reply::Refused {
            self.note_refused(&held).await?;
        }
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

    /// M-Pesa's gateway refused whatever was sent just now: nothing of it was done, so that its money is back.
    async fn note_refused(&mut self, held: &[usize]) -> anyhow::Result<()> {
        for &index in held {
            let Some(refund) = self.books.refunds.get(index).cloned() else { continue };
            let stands = self.house()?.get(&format!("/api/refunds/{}", refund.id)).await?;
            if stands.get("state").and_then(Value::as_str) != Some("failed") {
                continue;
            }
            self.books.refund_ended(index, false);
            self.count("refunds refused");
            ensure!(!self.went(index), "{refund:?} is said to have failed, and it went");
        }
        Ok(())
    }

    /// Whether the money of a refund really went.
    pub(super) fn went(&self, ours: usize) -> bool {
        let truth = self.safaricom.truth();
        let theirs = self.refund_of.iter().filter(|(_, one)| **one == ours);
        theirs.filter_map(|(theirs, _)| truth.refunds.get(*theirs)).any(|refund| refund.went_through)
    }

    /// What staff say of a refund that they looked up in the portal: of a payment to a phone, also the receipt that it shows.
    pub(super) fn read_in_portal(&self, ours: usize, word: &str) -> Value {
        let truth = self.safaricom.truth();
        let theirs = self.refund_of.iter().filter(|(_, one)| **one == ours);
        let went = theirs.filter_map(|(theirs, _)| truth.refunds.get(*theirs)).find(|one| one.went_through);
        match went.filter(|one| word == "went-through" && one.name.is_some()) {
            Some(went) => json!({"receipt": went.number}),
            None => json!({}),
        }
    }

    /// Somebody looks up what became of refunds that hang, once M-Pesa was asked about them often enough: mostly they read it
    /// rightly, and sometimes they want one sent once more.
    async fn look_up(&mut self) -> anyhow::Result<String> {
        if self.books.held().next().is_none() {
            return Ok("no refund hangs".to_owned());
        }
        for _ in 0..5 {
            self.clock.advance(Duration::from_secs(4 * 3_600));
            self.send_refunds().await?;
        }
        let mut said = String::from("looked up:");
        for index in self.books.held().collect::<Vec<usize>>() {
            let Some(refund) = self.books.refunds.get(index).cloned() else { continue };
            let path = format!("/api/refunds/{}", refund.id);
            let stands = self.house()?.get(&path).await?;
            if stands.get("needs_person").and_then(Value::as_bool) != Some(true) {
                continue;
            }
            let went = self.went(index);
            let word = match self.below(5) {
                0 => "again",
                1 | 2 => "did-not",
                _ if went => "went-through",
                _ => "did-not",
            };
            let read = self.read_in_portal(index, word);
            let (status, answer) = self.write(&format!("{path}/{word}"), &read).await?;
            ensure!(status < 300, "{word} was answered {status}: {answer}");
            said.push_str(&format!(" {index} {word}"));
            if word == "again" {
                self.count("refunds sent again");
                if let Some(refund) = self.books.refunds.get_mut(index) {
                    refund.is_again = true;
                }
                continue;
            }
            self.count("refunds looked up");
            self.books.refund_ended(index, word == "went-through");
            if went && word == "did-not" {
                self.mistakes += 1;
                // Its result comes after all, mostly.
                let theirs =
                    self.refund_of.iter().filter(|(_, ours)| **ours == index).map(|(theirs, _)| *theirs);
                let theirs: Vec<usize> = theirs.collect();
                if self.below(4) > 0 {
                    self.bag.extend(theirs.into_iter().map(Telling::Result));
                }
            }
        }
        Ok(said)
    }

    /// A line is held, or released.
    async fn hold(&mut self) -> anyhow::Result<String> {
        let (index, payer) = self.payer()?;
        let line = payer.lines.get(self.index(payer.lines.len())).context("a line")?.clone();
        let word = if self.below(3) == 0 { "hold" } else { "release" };
        let (status, answer) = self.write(&format!("/api/subscriptions/{line}/{word}"), &json!({})).await?;
        ensure!(status < 500, "{status}: {answer}");
        if status < 300 {
            self.count(if word == "hold" { "lines held" } else { "lines released" });
        }
        Ok(format!("{word} of a line of {index}: {status}"))
    }

    async fn repeat(&mut self) -> anyhow::Result<String> {
        let Some(before) = self.last_write.clone() else { return Ok("nothing to repeat".to_owned()) };
        let (status, answer) = self.house()?.post_with_key(&before.path, &before.body, &before.key).await?;
        // A request on a phone is told as it stands now.
        let is_same = before.path.contains("payment-requests") || answer == before.answer;
        ensure!(status < 500 && is_same, "{before:?} was answered {status} {answer} the second time");
        self.count("writes repeated");
        Ok(format!("{} once more: {status}", before.path))
    }
}
