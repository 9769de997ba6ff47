//! Nobody loses an hour that they paid for to a site that is away, and nobody gets one for nothing.

use tawi_shared::IdSource;

use super::*;
use crate::audit::Actor;
use crate::database::{Database, Transaction};
use crate::desired;
use crate::entitlements::Status;
use crate::ids::PaymentId;
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::corrections::{self, Target};
use crate::payments::counter::{Clerk, Limits};
use crate::payments::credit::{self, Owner, Told};
use crate::payments::testing::{PRICE, World, world};
use crate::payments::{renewal, traces, wallet};
use crate::quota;
use crate::staff::{Login, Role};
use crate::testing::TemporaryDirectory;

const START: UnixMillis = UnixMillis(1_790_000_000_000);
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A controller, and a site that hears what it is told when a test says so.
struct Link {
    _directory: TemporaryDirectory,
    database: Database,
    world: World,
    ids: IdSource,
    now: UnixMillis,
    receipts: u32,
    /// The newest generation that the site has stored, and until when it lets the line in with it.
    stored: (u64, i64),
    /// For how long the line was open there.
    open: i64,
}

impl Link {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        world.site_hears_nothing(&database).await;
        let (now, ids) = (START, IdSource::seeded(1));
        Self { _directory: directory, database, world, ids, now, receipts: 0, stored: (0, 0), open: 0 }
    }

    async fn write(&self) -> Transaction {
        self.database.write().await.unwrap()
    }

    async fn pay(&mut self, amount: Money) -> PaymentId {
        self.receipts += 1;
        let number = ReceiptNumber::parse(&format!("SKA{:07}", self.receipts)).unwrap();
        let told = Told {
            number: &number,
            amount,
            short_code: "174379",
            phone: "254712345678",
            account_reference: "10000012",
            received_at: self.now,
            moved_at: None,
            source: "test",
            source_id: number.as_str(),
            actor: "mpesa",
        };
        let owner = Owner::Customer {
            customer: self.world.customer.id.clone(),
            subscription: Some(self.world.line.clone()),
            is_unclear: false,
        };
        let mut write = self.write().await;
        let taken = credit::credit(&mut write, &told, owner, &self.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        taken.payment.unwrap()
    }

    fn pass(&mut self, time: i64) {
        let until = self.stored.1;
        self.open += (self.now.0 + time).min(until) - self.now.0.min(until);
        self.now.0 += time;
    }

    /// The site stores what there is, which the controller hears or not.
    async fn store(&mut self, is_heard: bool) {
        loop {
            let mut write = self.write().await;
            let state = desired::store::state_of(&mut write, &self.world.site).await.unwrap().unwrap();
            let told = desired::store::line_at(&mut write, &self.world.site, &self.world.line).await.unwrap();
            self.stored = (state.generation, told.and_then(|told| told.valid_until_ms).unwrap_or(0));
            let begun = match is_heard {
                true => heard(&mut write, &self.world.site, state.generation, self.now).await.unwrap(),
                false => Vec::new(),
            };
            write.commit().await.unwrap();
            if begun.is_empty() {
                return;
            }
        }
    }

    /// The site says hello, and then stores what it is told.
    async fn back(&mut self) {
        let mut write = self.write().await;
        site_is_back(&mut write, &self.world.site, self.stored.0, self.now).await.unwrap();
        write.commit().await.unwrap();
        self.store(true).await;
    }

    /// What the jobs do with what has ended.
    async fn expire(&self) -> usize {
        let mut write = self.write().await;
        let expired = subscriptions::expire_due(&mut write, self.now, 10).await.unwrap();
        write.commit().await.unwrap();
        expired.len()
    }

    async fn line(&self) -> subscriptions::Subscription {
        let mut read = self.database.read().await.unwrap();
        subscriptions::get(&mut read, &self.world.line).await.unwrap().unwrap()
    }

    /// Until when the line is paid, in hours from the start.
    async fn paid_hours(&self) -> (Status, i64) {
        let line = self.line().await;
        (line.status, (line.paid_until.unwrap().0 - START.0) / HOUR)
    }

    /// All periods, which must follow one another and end when the line does; none that was bought may be without its own.
    async fn periods(&self) -> Vec<(i64, i64)> {
        let mut read = self.database.read().await.unwrap();
        let periods = store::periods_from(&mut read, &self.world.line, UnixMillis(0)).await.unwrap();
        let spans: Vec<_> = periods.iter().map(|one| (one.started_at.0, one.ends_at.0)).collect();
        assert!(spans.is_sorted() && spans.windows(2).all(|two| two[0].1 <= two[1].0), "{spans:?}");
        let until = subscriptions::get(&mut read, &self.world.line).await.unwrap().unwrap().paid_until;
        assert_eq!(until.map(|until| until.0), spans.last().map(|last| last.1));
        let orphans = sqlx::query(
            "SELECT 1 FROM purchases b WHERE b.taken_back_at IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM quota_periods q WHERE q.line_id = b.line_id AND q.started_at = b.period_started_at)",
        );
        assert_eq!(orphans.fetch_all(&mut *read).await.unwrap().len(), 0);
        spans.iter().map(|(from, until)| (from - START.0, until - START.0)).collect()
    }

    async fn take_back(&self, payment: &PaymentId) -> corrections::Corrected {
        let actor = Actor::Staff(Login::parse("anna").unwrap());
        let by = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
        let mut write = self.write().await;
        let to = (payment, &Target::Suspense);
        let done = corrections::move_payment(&mut write, to, by, &self.ids, self.now).await.unwrap().unwrap();
        write.commit().await.unwrap();
        done
    }
}

#[tokio::test]
async fn what_is_stored_at_once_began_when_it_was_paid() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    link.pass(50_000);
    link.store(true).await;
    assert_eq!(link.periods().await, [(0, DAY)]);
    link.pass(DAY);
    assert_eq!(link.expire().await, 1);
    // And once it began, no absence of the site puts it off.
    link.back().await;
    assert_eq!(link.paid_hours().await, (Status::Expired, 24));
}

#[tokio::test]
async fn what_is_paid_for_while_a_site_is_away_begins_when_it_is_back_with_all_that_follows_it() {
    let mut link = Link::open().await;
    let first = link.pay(PRICE).await;
    link.pass(HOUR);
    let second = link.pay(PRICE).await;
    link.pass(70 * HOUR);
    assert_eq!(link.expire().await, 0, "nothing ends that has not begun");
    assert_eq!(link.paid_hours().await, (Status::Active, 48));
    assert!(link.line().await.is_waiting(link.now));
    link.pass(HOUR);
    link.back().await;
    let back = 72 * HOUR;
    assert_eq!(link.periods().await, [(back, back + DAY), (back + DAY, back + 2 * DAY)]);
    assert_eq!(link.line().await.waits_since, None);
    let mut read = link.database.read().await.unwrap();
    for payment in [&first, &second] {
        let trace = traces::trace_of(&mut read, payment).await.unwrap().unwrap();
        assert_eq!(trace.deferred.as_millis(), u128::try_from(back).unwrap());
    }
    drop(read);
    link.pass(2 * DAY);
    assert_eq!(link.expire().await, 1);
    assert_eq!(link.open, 2 * DAY);
}

#[tokio::test]
async fn what_was_bought_ahead_begins_when_the_line_closed_or_the_site_is_back_whichever_is_later() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    link.store(true).await;
    link.pass(20 * HOUR);
    // The site goes away: it knows of the first day alone.
    link.pay(PRICE).await;
    link.pass(2 * HOUR);
    link.back().await;
    assert_eq!(link.periods().await, [(0, DAY), (DAY, 2 * DAY)], "back in time");
    link.pass(20 * HOUR);
    link.pay(PRICE).await;
    link.pass(10 * HOUR);
    link.back().await;
    let back = 52 * HOUR;
    assert_eq!(link.periods().await, [(0, DAY), (DAY, 2 * DAY), (back, back + DAY)]);
}

#[tokio::test]
async fn a_site_that_was_thought_to_be_there_and_stores_late_makes_up_for_it() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    link.pass(HOUR);
    link.store(true).await;
    assert_eq!(link.periods().await, [(HOUR, HOUR + DAY)]);
    // What it had stored, and could not say, is not made up for.
    link.pass(2 * DAY);
    link.pay(PRICE).await;
    link.store(false).await;
    link.pass(2 * HOUR);
    link.back().await;
    let second = HOUR + 2 * DAY;
    assert_eq!(link.periods().await.last(), Some(&(second, second + DAY)));
}

#[tokio::test]
async fn of_what_a_site_never_heard_of_everything_is_given_back() {
    let mut link = Link::open().await;
    let first = link.pay(PRICE).await;
    link.pass(10 * HOUR);
    let second = link.pay(PRICE).await;
    let back = link.take_back(&first).await;
    assert_eq!((back.written_off, back.owes), (Money::ZERO, Money::ZERO));
    assert_eq!(link.periods().await, [(0, DAY)], "the other begins as soon as it can");
    link.back().await;
    assert_eq!(link.periods().await, [(10 * HOUR, 10 * HOUR + DAY)]);
    assert_eq!(link.paid_hours().await, (Status::Active, 34));
    // And of what it has heard of, what is used is used.
    link.pass(12 * HOUR);
    let back = link.take_back(&second).await;
    assert_eq!(back.written_off, Money::from_cents(75_000));
}

#[tokio::test]
async fn no_wallet_buys_a_second_period_for_a_line_whose_first_has_not_begun() {
    let mut link = Link::open().await;
    link.pay(Money::from_cents(600_000)).await;
    for _ in 0..10 {
        link.pass(23 * HOUR);
        link.expire().await;
        let mut write = link.write().await;
        assert_eq!(renewal::due(&mut write, link.now, 10).await.unwrap(), []);
        assert_eq!(renewal::renew(&mut write, &link.world.line, &link.ids, link.now).await.unwrap(), None);
    }
    link.back().await;
    link.pass(23 * HOUR);
    let mut write = link.write().await;
    assert_eq!(renewal::due(&mut write, link.now, 10).await.unwrap(), [link.world.line.clone()]);
}

#[tokio::test]
async fn a_line_whose_first_of_two_periods_is_taken_back_waits_with_the_other_however_late() {
    let mut link = Link::open().await;
    let first = link.pay(PRICE).await;
    link.pay(PRICE).await;
    link.pass(26 * HOUR);
    link.take_back(&first).await;
    assert_eq!(link.paid_hours().await, (Status::Active, 24));
    assert_eq!(link.expire().await, 0);
    link.back().await;
    assert_eq!(link.paid_hours().await, (Status::Active, 50));
}

#[tokio::test]
async fn what_is_bought_long_after_something_that_waits_comes_right_behind_it() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    link.pass(3 * DAY);
    link.pay(PRICE).await;
    link.pass(HOUR);
    link.back().await;
    let back = 3 * DAY + HOUR;
    assert_eq!(link.periods().await, [(back, back + DAY), (back + DAY, back + 2 * DAY)]);
}

/// The controller is away, or its link, when a site says what it stored: that ran there all the same.
#[tokio::test]
async fn what_ran_unheard_is_not_given_again_because_somebody_pays_before_the_site_says_so() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    link.store(false).await;
    link.pass(3 * DAY);
    assert_eq!(link.open, DAY);
    link.pay(PRICE).await;
    link.pass(HOUR);
    link.back().await;
    let back = 3 * DAY + HOUR;
    assert_eq!(link.periods().await, [(0, DAY), (back, back + DAY)]);
    link.pass(2 * DAY);
    assert_eq!(link.open, 2 * DAY);
}

#[tokio::test]
async fn a_release_buys_nothing_while_something_paid_waits() {
    let mut link = Link::open().await;
    link.pay(Money::from_cents(300_000)).await;
    let mut write = link.write().await;
    subscriptions::hold(&mut write, &link.world.line, link.now).await.unwrap();
    write.commit().await.unwrap();
    link.pass(2 * DAY);
    let mut write = link.write().await;
    let released = wallet::release(&mut write, &link.world.line, "anna", &link.ids, link.now).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(released.bought, None);
    link.pass(HOUR);
    link.back().await;
    assert_eq!(link.paid_hours().await, (Status::Active, 73));
}

#[tokio::test]
async fn data_that_was_topped_up_goes_with_its_period() {
    let mut link = Link::open().await;
    link.pay(PRICE).await;
    let mut write = link.write().await;
    sqlx::query("UPDATE quota_periods SET bytes = 1000").execute(&mut *write).await.unwrap();
    assert!(quota::top_up(&mut write, &link.world.line, 500, link.now).await.unwrap());
    write.commit().await.unwrap();
    link.pass(2 * DAY);
    link.back().await;
    let mut read = link.database.read().await.unwrap();
    let standing = quota::standing(&mut read, &link.world.line, link.now).await.unwrap().unwrap();
    assert_eq!((standing.started_at, standing.bytes), (link.now, Some(1_500)));
}

/// What may happen to the link of a site, and to its line.
async fn happens(link: &mut Link, chance: &IdSource, loses_words: bool, is_there: &mut bool) -> i64 {
    let time = |most: u64| i64::try_from(chance.number() % most).unwrap();
    match chance.number() % 8 {
        0 | 1 => {
            link.pay(PRICE).await;
            if *is_there {
                // The word of what it stored last is lost with the link.
                let is_lost = loses_words && chance.number().is_multiple_of(2);
                *is_there = !is_lost;
                link.pass([0, 50_000, 400_000][usize::try_from(time(3)).unwrap()]);
                link.store(!is_lost).await;
            }
            return 1;
        }
        2 => *is_there = false,
        3 => {
            link.back().await;
            *is_there = true;
        }
        4 => {
            link.expire().await;
            if *is_there {
                link.store(true).await;
            }
        }
        5 => link.pass(time(90_000)),
        _ => link.pass(time(40) * HOUR),
    }
    0
}

/// Any order of payments, absences, lost words and jobs: whoever paid for so many days has had them, or has them still.
#[tokio::test]
async fn whatever_happens_to_the_link_every_paid_day_is_had_once() {
    for seed in 0..40 {
        let chance = IdSource::seeded(seed);
        let loses_words = seed % 4 == 3;
        let (mut link, mut bought, mut is_there) = (Link::open().await, 0, true);
        for _ in 0..60 {
            bought += happens(&mut link, &chance, loses_words, &mut is_there).await;
        }
        link.expire().await;
        let periods = link.periods().await;
        link.back().await;
        let until = link.line().await.paid_until.map_or(link.now.0, |until| until.0);
        let had = link.open + (until - link.now.0).max(0);
        // Less than a minute is not noticed, once a purchase.
        let least = bought * (DAY - 60_000);
        assert!(had >= least, "seed {seed}: {had} of {bought} days, {periods:?}");
        assert!(had <= bought * DAY, "seed {seed}: {had} of {bought} days, {periods:?}");
    }
}
