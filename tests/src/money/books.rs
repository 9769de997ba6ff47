//! The books as they must be: who has which money, kept by what was done, never by what the controller says. Pure.
//!
//! It knows no ledger, no plan and no request: only receipts, whose they are, and what was given back. So small that it is
//! right by reading it. What the controller's own books say beside it is compared in `checks`.

use std::collections::BTreeMap;
use std::time::Duration;

use tawi_shared::UnixMillis;

/// So long after it was first heard of, what nobody owns may still go to whom a later word names: as far back as Pull reaches.
const DECIDED_ANEW_WITHIN: Duration = Duration::from_secs(48 * 3_600);

/// What something true says of a receipt.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// M-Pesa's receipt.
    pub number: &'a str,
    /// How much.
    pub cents: i64,
    /// Whose it is by what was said: a till's payment whose payer is masked is nobody's.
    pub owner: Option<usize>,
    /// When it was said.
    pub at: UnixMillis,
}

/// A payment, or a part of one.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The controller's id of it, once somebody was told.
    pub id: Option<String>,
    /// M-Pesa's receipt or the bank's reference; nothing for cash and parts.
    pub number: Option<String>,
    /// How much.
    pub cents: i64,
    /// Whose: the index of a customer; `None` for nobody's.
    pub owner: Option<usize>,
    /// Whether a person said whose it is.
    pub is_decided: bool,
    /// Whether it was to go back and did not, and its payer may claim it all the same.
    pub is_back: bool,
    /// When it was first heard of.
    pub first_told: UnixMillis,
    /// `split`, `undone` or `refunded`; empty while it is money.
    pub closed: &'static str,
    /// Whether it came by M-Pesa.
    pub is_mpesa: bool,
    /// Whether it is a part of another.
    pub is_part: bool,
}

/// Where the money of a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Held for whoever paid.
    Held,
    /// With whoever paid.
    Gone,
    /// Where it was before.
    Back,
}

/// Money that goes back.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The controller's id of it.
    pub id: String,
    /// Of which unit.
    pub unit: usize,
    /// How much.
    pub cents: i64,
    /// Whether the payment goes with it: what is not given back stays its owner's.
    pub is_whole: bool,
    /// Where it is.
    pub standing: Standing,
    /// Whose the payment was when it was asked for.
    pub owner: Option<usize>,
    /// Whether a person had said by then whose it is.
    pub was_decided: bool,
    /// Cents of used time that were written off for it.
    pub off: i64,
    /// Whether it came back once.
    pub was_back: bool,
    /// Whether it went after all when its money had moved on: then a person is told, and nothing is booked.
    pub is_too_late: bool,
    /// Whether a person wanted it sent once more.
    pub is_again: bool,
}

/// What a word about a refund did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The first word of it.
    Gone,
    /// The first word of it.
    Back,
    /// It went after all.
    AfterAll,
    /// It went after all, and its money had moved on.
    TooLate,
    /// Nothing: that was known.
    Known,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Payments and parts.
    pub units: Vec<Unit>,
    /// Money that goes back.
    pub refunds: Vec<Refund>,
    /// What was written off for each customer.
    pub written_off: Vec<i64>,
    /// Whether money was taken from a customer: only then may they owe.
    pub was_taken_from: Vec<bool>,
    /// What statements told of money that Safaricom took or sent to the bank: by which of its outgoings, how much.
    pub charges: BTreeMap<usize, i64>,
    /// The same of what it sent to the bank.
    pub settlements: BTreeMap<usize, i64>,
}

/// What all accounts of one kind must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// With Safaricom.
    pub clearing: i64,
    /// In drawers and at the bank.
    pub counter: i64,
    /// Taken by Safaricom.
    pub charges: i64,
    /// Nobody's.
    pub suspense: i64,
    /// On its way back.
    pub held: i64,
    /// What customers need not pay, as people said it.
    pub written_off: i64,
}

impl Books {
    /// Of so many customers, before anybody paid.
    #[must_use]
    pub fn of(customers: usize) -> Self {
        Self { written_off: vec![0; customers], was_taken_from: vec![false; customers], ..Self::default() }
    }

    /// Something true told of a receipt of M-Pesa: it is booked, once. What is nobody's goes to whom a later word names, unless
    /// a person has decided. Whether it was news.
    pub fn told(&mut self, told: Told<'_>) -> bool {
        let is_it = |unit: &Unit| unit.is_mpesa && unit.number.as_deref() == Some(told.number);
        // Mostly a late one.
        if let Some(unit) = self.units.iter_mut().rev().find(|unit| is_it(unit)) {
            let is_free = unit.owner.is_none() && !unit.is_decided && unit.closed.is_empty();
            if is_free && told.at.since(unit.first_told) <= DECIDED_ANEW_WITHIN {
                unit.owner = told.owner;
            }
            return false;
        }
        self.units.push(Unit {
            id: None,
            number: Some(told.number.to_owned()),
            cents: told.cents,
            owner: told.owner,
            is_decided: false,
            is_back: false,
            first_told: told.at,
            closed: "",
            is_mpesa: true,
            is_part: false,
        });
        true
    }

    /// A customer brought money.
    pub fn brought(&mut self, id: String, number: Option<String>, cents: i64, owner: usize) {
        let owner = Some(owner);
        self.units.push(Unit {
            id: Some(id),
            number,
            cents,
            owner,
            is_decided: true,
            is_back: false,
            first_told: UnixMillis(0),
            closed: "",
            is_mpesa: false,
            is_part: false,
        });
    }

    /// A person gave a payment to somebody, or to nobody.
    pub fn moved(&mut self, unit: usize, to: Option<usize>) {
        self.taken_from(unit);
        if let Some(unit) = self.units.get_mut(unit) {
            (unit.owner, unit.is_decided, unit.is_back) = (to, true, false);
        }
    }

    /// A person shared a payment out.
    pub fn split(&mut self, unit: usize, parts: &[(Option<usize>, i64, String)]) {
        self.taken_from(unit);
        self.close(unit, "split");
        let is_mpesa = self.units.get(unit).is_some_and(|unit| unit.is_mpesa);
        for (owner, cents, id) in parts {
            self.units.push(Unit {
                id: Some(id.clone()),
                number: None,
                cents: *cents,
                owner: *owner,
                is_decided: true,
                is_back: false,
                first_told: UnixMillis(0),
                closed: "",
                is_mpesa,
                is_part: true,
            });
        }
    }

    /// A booking at the counter was none.
    pub fn undone(&mut self, unit: usize) {
        self.taken_from(unit);
        self.close(unit, "undone");
    }

    /// Money is to go back: so much of it was asked for, or all that is not used; and so much it is, for which so much used
    /// time was written off.
    pub fn refund_asked(&mut self, id: String, unit: usize, asked: Option<i64>, (cents, off): (i64, i64)) {
        let of = self.units.get(unit).map(|unit| unit.cents);
        let owner = self.units.get(unit).and_then(|unit| unit.owner);
        let was_decided = self.units.get(unit).is_some_and(|unit| unit.is_decided && !unit.is_back);
        let is_whole = asked.is_none() || asked == of;
        if is_whole {
            self.close(unit, "refunded");
            self.decide(unit);
        }
        self.refunds.push(Refund {
            id,
            unit,
            cents,
            is_whole,
            standing: Standing::Held,
            owner,
            was_decided,
            off,
            was_back: false,
            is_too_late: false,
            is_again: false,
        });
    }

    /// Refunds of which nothing is known yet.
    pub fn held(&self) -> impl Iterator<Item = usize> {
        let all = self.refunds.iter().enumerate();
        all.filter(|(_, one)| one.standing == Standing::Held).map(|(index, _)| index)
    }

    /// What of a payment goes back, or has gone.
    #[must_use]
    pub fn going_back(&self, unit: usize) -> i64 {
        let going = self.refunds.iter().filter(|one| one.unit == unit && one.standing != Standing::Back);
        going.map(|one| one.cents).sum()
    }

    /// What became of it. The first word counts; what went after all has gone, as long as its money is where it came back to.
    pub fn refund_ended(&mut self, refund: usize, went_through: bool) -> Ended {
        let Some(one) = self.refunds.get(refund).cloned() else { return Ended::Known };
        let is_where_it_was =
            self.units.get(one.unit).is_some_and(|unit| unit.closed.is_empty() && unit.owner == one.owner)
                && self.going_back(one.unit) == 0;
        let (standing, ended) = match (one.standing, went_through) {
            (Standing::Held, true) => (Standing::Gone, Ended::Gone),
            (Standing::Held, false) => (Standing::Back, Ended::Back),
            (Standing::Back, true) if is_where_it_was => (Standing::Gone, Ended::AfterAll),
            (Standing::Back, true) => (Standing::Back, Ended::TooLate),
            (Standing::Back, false) | (Standing::Gone, _) => return Ended::Known,
        };
        if let Some(refund) = self.refunds.get_mut(refund) {
            refund.standing = standing;
            refund.was_back |= ended == Ended::Back;
            refund.is_too_late = ended == Ended::TooLate;
        }
        match ended {
            Ended::Back if one.is_whole => {
                self.close(one.unit, "");
                // What was nobody's waits for its payer as before, and for no other word.
                if let Some(unit) = self.units.get_mut(one.unit) {
                    unit.is_back = one.owner.is_none() && !one.was_decided;
                }
            }
            Ended::AfterAll => {
                self.taken_from(one.unit);
                if one.is_whole {
                    self.close(one.unit, "refunded");
                }
            }
            _ => {}
        }
        ended
    }

    /// What was written off for a customer's refunds that came to nothing, and what of it once more since they went after all.
    #[must_use]
    pub fn used_returned(&self, customer: usize) -> (i64, i64) {
        let theirs = |one: &&Refund| one.owner == Some(customer) && one.is_whole && one.was_back;
        let sum = |is: &dyn Fn(&Refund) -> bool| -> i64 {
            self.refunds.iter().filter(theirs).filter(|one| is(one)).map(|one| one.off).sum()
        };
        (sum(&|_| true), sum(&|one| one.standing == Standing::Gone))
    }

    fn decide(&mut self, unit: usize) {
        if let Some(unit) = self.units.get_mut(unit) {
            unit.is_decided = true;
        }
    }

    fn taken_from(&mut self, unit: usize) {
        let owner = self.units.get(unit).and_then(|unit| unit.owner);
        if let Some(was) = owner.and_then(|owner| self.was_taken_from.get_mut(owner)) {
            *was = true;
        }
    }

    fn close(&mut self, unit: usize, closed: &'static str) {
        if let Some(unit) = self.units.get_mut(unit) {
            unit.closed = closed;
        }
    }

    /// What a customer was given in all, before anything was bought with it.
    #[must_use]
    pub fn given_to(&self, customer: usize) -> i64 {
        let theirs = |unit: &&Unit| unit.owner == Some(customer) && unit.closed.is_empty();
        let paid: i64 = self.units.iter().filter(theirs).map(|unit| unit.cents).sum();
        let refunded = self.refunds.iter().filter(|refund| refund.standing != Standing::Back);
        let changed = refunded.filter_map(|refund| {
            let unit = self.units.get(refund.unit).filter(|unit| unit.owner == Some(customer))?;
            // What is used of a payment that goes back stays sold, and paid for.
            Some(if refund.is_whole { unit.cents - refund.cents } else { -refund.cents })
        });
        paid + changed.sum::<i64>()
    }

    /// How much each payment with a number is, by that number.
    #[must_use]
    pub fn amounts(&self) -> BTreeMap<&str, i64> {
        self.units.iter().filter_map(|unit| Some((unit.number.as_deref()?, unit.cents))).collect()
    }

    /// What all accounts of one kind must have.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |is: &dyn Fn(&Unit) -> bool| -> i64 {
            self.units.iter().filter(|unit| is(unit)).map(|unit| unit.cents).sum()
        };
        let refunds = |standing: Standing| -> i64 {
            self.refunds.iter().filter(|one| one.standing == standing).map(|one| one.cents).sum()
        };
        let charges: i64 = self.charges.values().sum();
        let settlements: i64 = self.settlements.values().sum();
        Totals {
            clearing: sum(&|unit| unit.is_mpesa && !unit.is_part)
                - refunds(Standing::Gone)
                - charges
                - settlements,
            counter: sum(&|unit| !unit.is_mpesa && !unit.is_part) - sum(&|unit| unit.closed == "undone")
                + settlements,
            charges,
            suspense: sum(&|unit| unit.owner.is_none() && unit.closed.is_empty()),
            held: refunds(Standing::Held),
            written_off: self.written_off.iter().sum(),
        }
    }
}
