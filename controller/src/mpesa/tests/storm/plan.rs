//! What a storm of payments does, made from a seed: requests, what was really paid, and everything that tells of it, true or
//! false, doubled, lost and in any order. Pure: the same seed is the same storm. Who lets it loose is `storm`.

/// Lines: the first two are one customer's, the third is the neighbour's.
pub(super) const LINES: usize = 3;
/// What a prompt or a payment may be of, in shillings; the first two are what a period costs, so that most are alike.
const SHILLINGS: [i64; 4] = [1_500, 1_500, 1_500, 700];

/// A request for payment: on a phone before anything is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) line: usize,
    pub(super) shillings: i64,
    /// Before the storm.
    pub(super) seconds_before: u64,
}

/// Money that was really paid.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) receipt: String,
    pub(super) shillings: i64,
    pub(super) by: By,
    /// M-Pesa took it back: the statement says so, and nothing else has to tell of it.
    pub(super) is_reversed: bool,
}

/// How it was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// On the prompt of this request.
    Prompt(usize),
    /// The same to a till, whose rows have no account: its callback is not lost.
    TillPrompt(usize),
    /// By Paybill, to the account of this line's customer.
    Paybill(usize),
    /// By Paybill, to an account that is nobody's.
    Strangers,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The callback of a payment, on the path of its request.
    Callback(usize),
    Confirmation(usize),
    Pull(usize),
    Statement(usize),
    /// What the query says of a request, which is true.
    Query(usize),
    /// "Cancelled", on the path of a request.
    Cancelled(usize),
    /// The callback of a payment on the path of a request that it is not of.
    Replayed(usize, usize),
    /// A receipt that nobody has, on the path of a request, with another amount or another prompt.
    Forged(usize, Forgery),
    /// Everything stored so far is taken in.
    TakeIn,
}

/// What is wrong with a forged callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    Path,
    Prompt,
    Amount,
}

/// A storm.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) requests: Vec<Request>,
    pub(super) payments: Vec<Payment>,
    pub(super) arrivals: Vec<Arrival>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let requests: Vec<Request> = (0..2 + dice.below(4)).map(|_| request(&mut dice)).collect();
        let mut payments = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            let by = match dice.below(10) {
                0..6 => By::Prompt(number),
                6 => By::TillPrompt(number),
                _ => continue,
            };
            payments.push((by, request.shillings));
        }
        for _ in 0..dice.below(3) {
            let by = if dice.one_in(3) { By::Strangers } else { By::Paybill(dice.below(LINES)) };
            payments.push((by, shillings(&mut dice)));
        }
        let payments: Vec<Payment> = payments
            .into_iter()
            .enumerate()
            .map(|(number, (by, shillings))| Payment {
                receipt: format!("R{seed}X{number}"),
                shillings,
                by,
                is_reversed: matches!(by, By::Paybill(_)) && dice.one_in(4),
            })
            .collect();
        let mut arrivals = true_ones(&payments, &requests, &mut dice);
        arrivals.extend(false_ones(&payments, &requests, &mut dice));
        for _ in 0..=arrivals.len() / 3 {
            arrivals.push(Arrival::TakeIn);
        }
        dice.shuffle(&mut arrivals);
        Self { seed, requests, payments, arrivals }
    }

    /// What was really paid on the prompt of a request.
    pub(super) fn payment_on(&self, request: usize) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.by.request() == Some(request))
    }
}

impl By {
    pub(super) fn request(self) -> Option<usize> {
        match self {
            Self::Prompt(request) | Self::TillPrompt(request) => Some(request),
            Self::Paybill(_) | Self::Strangers => None,
        }
    }
}

fn request(dice: &mut Dice) -> Request {
    let seconds_before = 10 * u64::try_from(dice.below(60)).unwrap_or_default();
    Request { line: dice.below(LINES), shillings: shillings(dice), seconds_before }
}

fn shillings(dice: &mut Dice) -> i64 {
    SHILLINGS.get(dice.below(SHILLINGS.len())).copied().unwrap_or(1)
}

/// What is true: each piece none, one or several times.
fn true_ones(payments: &[Payment], requests: &[Request], dice: &mut Dice) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for (number, payment) in payments.iter().enumerate() {
        let mut tell = |dice: &mut Dice, arrival, least: usize| {
            let times = least.max([0, 1, 1, 3].get(dice.below(4)).copied().unwrap_or(1));
            arrivals.extend(std::iter::repeat_n(arrival, times));
        };
        if payment.by.request().is_some() {
            tell(dice, Arrival::Callback(number), usize::from(matches!(payment.by, By::TillPrompt(_))));
        }
        tell(dice, Arrival::Confirmation(number), 0);
        tell(dice, Arrival::Pull(number), 0);
        tell(dice, Arrival::Statement(number), 0);
    }
    for request in 0..requests.len() {
        if dice.one_in(2) {
            arrivals.push(Arrival::Query(request));
        }
    }
    arrivals
}

/// What is false, or late. "Cancelled" comes of what was not paid, and of what is told of by its own callback all the same.
fn false_ones(payments: &[Payment], requests: &[Request], dice: &mut Dice) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for request in 0..requests.len() {
        let paid = payments.iter().find(|payment| payment.by.request() == Some(request));
        if paid.is_none_or(|payment| matches!(payment.by, By::TillPrompt(_))) && dice.one_in(2) {
            arrivals.push(Arrival::Cancelled(request));
        }
        if dice.one_in(3) {
            let forgery = match dice.below(3) {
                0 => Forgery::Path,
                1 => Forgery::Prompt,
                _ => Forgery::Amount,
            };
            arrivals.push(Arrival::Forged(request, forgery));
        }
    }
    for (number, payment) in payments.iter().enumerate() {
        let onto = dice.below(requests.len());
        if payment.by.request().is_some_and(|own| own != onto) && dice.one_in(3) {
            arrivals.push(Arrival::Replayed(number, onto));
        }
    }
    arrivals
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(1).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
