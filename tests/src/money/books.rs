//! The books as they must be: who has which money, kept by what was done, never by what the controller says. Pure.
//!
//! It knows no ledger, no plan and no request: only receipts, whose they are, and what was given back. So small that it is
//! right by reading it. What the controller's own books say beside it is compared in `checks`.

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
}

/// What all accounts of one kind must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// With Safaricom.
    pub clearing: i64,
    /// In drawers and at the bank.
    pub counter: i64,
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

    /// Something true told of a receipt of M-Pesa: it is booked, once.
    pub fn told(&mut self, number: &str, cents: i64, owner: Option<usize>) {
        let known =
            self.units.iter_mut().find(|unit| unit.is_mpesa && unit.number.as_deref() == Some(number));
        if known.is_none() {
            let number = Some(number.to_owned());
            let unit = Unit {
                id: None,
                number,
                cents,
                owner,
                is_decided: false,
                closed: "",
                is_mpesa: true,
                is_part: false,
            };
            self.units.push(unit);
        }
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
            closed: "",
            is_mpesa: false,
            is_part: false,
        });
    }

    /// A person gave a payment to somebody, or to nobody.
    pub fn moved(&mut self, unit: usize, to: Option<usize>) {
        self.taken_from(unit);
        if let Some(unit) = self.units.get_mut(unit) {
            (unit.owner, unit.is_decided) = (to, true);
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

    /// Money is to go back: so much of it was asked for, or all that is not used; and so much it is.
    pub fn refund_asked(&mut self, id: String, unit: usize, asked: Option<i64>, cents: i64) {
        let of = self.units.get(unit).map(|unit| unit.cents);
        let is_whole = asked.is_none() || asked == of;
        if is_whole {
            self.close(unit, "refunded");
        }
        self.refunds.push(Refund { id, unit, cents, is_whole, standing: Standing::Held });
    }

    /// What became of it; the first word is the last.
    pub fn refund_ended(&mut self, refund: usize, went_through: bool) {
        let Some(refund) = self.refunds.get_mut(refund).filter(|one| one.standing == Standing::Held) else {
            return;
        };
        refund.standing = if went_through { Standing::Gone } else { Standing::Back };
        let (unit, is_reopened) = (refund.unit, refund.is_whole && !went_through);
        if is_reopened {
            self.close(unit, "");
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

    /// Refunds with which a payment went, and not all of its money.
    #[must_use]
    pub fn refunds_without_the_used(&self) -> usize {
        let is_less = |one: &&Refund| {
            one.is_whole && self.units.get(one.unit).is_some_and(|unit| one.cents < unit.cents)
        };
        self.refunds.iter().filter(is_less).count()
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
        Totals {
            clearing: sum(&|unit| unit.is_mpesa && !unit.is_part) - refunds(Standing::Gone),
            counter: sum(&|unit| !unit.is_mpesa && !unit.is_part) - sum(&|unit| unit.closed == "undone"),
            suspense: sum(&|unit| unit.owner.is_none() && unit.closed.is_empty()),
            held: refunds(Standing::Held),
            written_off: self.written_off.iter().sum(),
        }
    }
}
