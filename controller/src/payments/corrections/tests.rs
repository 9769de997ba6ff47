//! Booked money that is another's: every cent of it, and every hour, goes where it belongs.

use std::time::Duration;

use tawi_shared::Clock;

use super::write_off::{NotWrittenOff, owed_by, write_off};
use super::*;
use crate::customers::phone::Msisdn;
use crate::customers::{Customer, NewCustomer};
use crate::database::{Database, Transaction};
use crate::entitlements::Status;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::counter::{self, Brought, Clerk, Limits, Means, NotTaken};
use crate::payments::suspense::{Assignment, NoOwner, NotAssigned, assign};
use crate::payments::testing::{PRICE, World, world};
use crate::payments::{topping_up, wallet};
use crate::quota;
use crate::staff::{Login, Role};
use crate::state::Controller;
use crate::subscriptions::NewSubscription;
use crate::subscriptions::credentials::{Password, Username};
use crate::testing::TemporaryDirectory;
use crate::top_ups::{self, NewTopUp};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const DAY_MS: i64 = 86_400_000;

struct Desk {
    _directory: TemporaryDirectory,
    controller: Controller,
    world: World,
    /// Next door, with a line of the same plan.
    other: (Customer, LineId),
    now: UnixMillis,
}

fn staff(login: &str) -> Actor {
    Actor::Staff(Login::parse(login).unwrap())
}

impl Desk {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(NOW), ..Controller::new(database) };
        let (ids, now) = (&controller.ids, NOW);
        let mut write = controller.database.write().await.unwrap();
        let new = NewCustomer { name: "Next Door".to_owned(), phone: Msisdn::parse("254722000111").unwrap() };
        let created = customers::create(&mut write, new, ids, now).await.unwrap();
        let customers::Created::Created(customer) = created else { panic!("{created:?}") };
        let new = NewSubscription {
            customer: customer.id.clone(),
            plan: world.plan.id.clone(),
            router: world.router.clone(),
            username: Username::parse("next-door").unwrap(),
            password: Password::parse("secret").unwrap(),
            address: None,
            caller_id: None,
        };
        let created = subscriptions::create(&mut write, new, ids, now).await.unwrap();
        let subscriptions::Created::Created(line) = created else { panic!("{created:?}") };
        write.commit().await.unwrap();
        Self { _directory: directory, controller, world, other: (customer, line.id), now }
    }

    async fn write(&self) -> Transaction {
        self.controller.database.write().await.unwrap()
    }

    fn theirs(&self) -> Target {
        Target::Customer(self.world.customer.id.clone(), Some(self.world.line.clone()))
    }

    fn others(&self) -> Target {
        Target::Customer(self.other.0.id.clone(), Some(self.other.1.clone()))
    }

    /// A payment by Paybill, as its confirmation tells of it.
    async fn paid(&self, receipt: &str, amount: Money, to: &Target) -> PaymentId {
        self.told(receipt, amount, to, receipt).await.payment.unwrap()
    }

    async fn told(&self, receipt: &str, amount: Money, to: &Target, piece: &str) -> TakenIn {
        let mut write = self.write().await;
        let number = ReceiptNumber::parse(receipt).unwrap();
        let told = Told {
            number: &number,
            amount,
            short_code: "174379",
            phone: "2547 ***** 678",
            account_reference: "10000012",
            received_at: self.now,
            moved_at: None,
            source: "test",
            source_id: piece,
            actor: "mpesa",
        };
        let owner = match to {
            Target::Customer(customer, line) => {
                Owner::Customer { customer: customer.clone(), subscription: line.clone(), is_unclear: false }
            }
            Target::Suspense => Owner::Nobody(Some(NoOwner::CheckDigit)),
        };
        let taken = credit::credit(&mut write, &told, owner, &self.controller.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        taken
    }

    async fn take_cash(&self, occasion: &str, amount: Money) -> Result<PaymentId, NotTaken> {
        let actor = staff("anna");
        let taker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
        let brought = Brought {
            customer: self.world.customer.id.clone(),
            subscription: Some(self.world.line.clone()),
            amount,
            means: Means::Cash { occasion: ReceiptNumber::parse(occasion).unwrap() },
            note: String::new(),
            is_another: false,
        };
        let mut write = self.write().await;
        let taken = counter::take(&mut write, &brought, taker, &self.controller.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        taken.map(|received| received.payment)
    }

    async fn move_to(&self, payment: &PaymentId, to: &Target) -> Result<Corrected, NotCorrected> {
        let mut write = self.write().await;
        let (by, ids) = (staff("anna"), &self.controller.ids);
        let moved = move_payment(&mut write, (payment, to), Clerk::owner(&by), ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        moved
    }

    async fn split(&self, payment: &PaymentId, parts: &[Part]) -> Result<Corrected, NotCorrected> {
        let mut write = self.write().await;
        let (by, ids) = (staff("anna"), &self.controller.ids);
        let done = split(&mut write, (payment, parts), Clerk::owner(&by), ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        done
    }

    async fn undo(&self, payment: &PaymentId) -> Result<Corrected, NotCorrected> {
        let mut write = self.write().await;
        let undone =
            undo(&mut write, payment, &staff("owner"), &self.controller.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        undone
    }

    async fn assign(&self, payment: &PaymentId, to: &Target) -> Result<bool, NotAssigned> {
        let Target::Customer(customer, line) = to else { panic!("to whom") };
        let wanted =
            Assignment { payment: payment.clone(), customer: customer.clone(), subscription: line.clone() };
        let mut write = self.write().await;
        let (by, ids) = (staff("anna"), &self.controller.ids);
        let assigned = assign(&mut write, &wanted, &by, ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        assigned.map(|assigned| assigned.has_bought)
    }

    async fn balance(&self, account: Account) -> i64 {
        let mut read = self.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        ledger::balance_of(&mut read, &account).await.unwrap().cents()
    }

    /// What is in both wallets, in suspense, and what was earned, in cents. M-Pesa's money is where it always was.
    async fn books(&self) -> (i64, i64, i64, i64) {
        let wallet = async |customer: &Customer| -self.balance(Account::Wallet(customer.id.clone())).await;
        let mine = wallet(&self.world.customer).await;
        let theirs = wallet(&self.other.0).await;
        (mine, theirs, -self.balance(Account::Suspense).await, -self.balance(Account::Revenue).await)
    }

    /// Where a line stands, how many days it is paid from the start on, and its periods in the same count.
    async fn line(&self, line: &LineId) -> (Status, Option<f64>, Vec<(f64, f64)>) {
        let mut read = self.controller.database.read().await.unwrap();
        let standing = subscriptions::get(&mut read, line).await.unwrap().unwrap();
        let days = |at: UnixMillis| {
            let ms = i32::try_from((at.0 - NOW.0) / 1_000).unwrap();
            f64::from(ms) / f64::from(i32::try_from(DAY_MS / 1_000).unwrap())
        };
        let periods = quota::periods_of(&mut read, line, UnixMillis(0)).await.unwrap();
        let periods = periods.iter().map(|period| (days(period.started_at), days(period.ends_at))).collect();
        // What the site is told is what the line is: in the same transaction.
        let told = crate::desired::store::line_at(&mut read, &self.world.site, line).await.unwrap();
        let told = told.and_then(|told| told.valid_until_ms);
        if standing.status != Status::Suspended {
            assert_eq!(told, standing.paid_until.map(|until| until.0), "{standing:?}");
        }
        (standing.status, standing.paid_until.map(days), periods)
    }

    async fn row(&self, payment: &PaymentId) -> Payment {
        let mut read = self.controller.database.read().await.unwrap();
        crate::payments::payment(&mut read, payment).await.unwrap().unwrap().payment
    }

    fn days_pass(&mut self, halves: u32) {
        self.now = self.now.plus(Duration::from_secs(43_200) * halves);
    }
}

const fn cents(cents: i64) -> Money {
    Money::from_cents(cents)
}

#[tokio::test]
async fn what_is_moved_at_once_leaves_no_trace_at_the_wrong_line_and_buys_for_the_right_one() {
    let desk = Desk::open().await;
    let payment = desk.paid("RKA1", PRICE, &desk.theirs()).await;
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
    let moved = desk.move_to(&payment, &desk.others()).await.unwrap();
    assert_eq!((moved.taken_back.len(), moved.owes), (1, Money::ZERO));
    assert!(moved.is_site_to_be_told && words(&moved).contains("Day, line-1"), "{}", words(&moved));
    assert_eq!(desk.line(&desk.world.line).await, (Status::Draft, None, vec![]));
    assert_eq!(desk.line(&desk.other.1).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    let row = desk.row(&payment).await;
    assert_eq!((row.customer.as_ref(), row.is_by_hand, row.corrections), (Some(&desk.other.0.id), true, 1));
    assert_eq!(desk.move_to(&payment, &desk.others()).await.unwrap_err(), NotCorrected::AlreadySo);
}

#[tokio::test]
async fn of_a_running_period_the_rest_is_taken_and_what_was_bought_ahead_stays_whole() {
    let mut desk = Desk::open().await;
    let wrong = desk.paid("RKB1", PRICE, &desk.theirs()).await;
    desk.paid("RKB2", PRICE, &desk.theirs()).await;
    desk.paid("RKB3", PRICE, &desk.theirs()).await;
    desk.days_pass(1);
    desk.move_to(&wrong, &desk.others()).await.unwrap();
    let periods = vec![(0.0, 0.5), (0.5, 1.5), (1.5, 2.5)];
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(2.5), periods));
    assert_eq!(desk.line(&desk.other.1).await, (Status::Active, Some(1.5), vec![(0.5, 1.5)]));
    // The half that the wrong line used stays earned, and is nobody's to pay.
    assert_eq!(desk.books().await, (0, 0, 0, 525_000));
    assert_eq!(desk.balance(Account::WriteOffs).await, 75_000);
}

#[tokio::test]
async fn who_keeps_a_part_for_the_same_line_keeps_its_period_as_it_was() {
    let mut desk = Desk::open().await;
    let payment = desk.paid("RKN1", cents(200_000), &desk.theirs()).await;
    desk.days_pass(1);
    let parts = [
        Part { to: desk.others(), amount: cents(50_000) },
        Part { to: desk.theirs(), amount: cents(150_000) },
    ];
    let done = desk.split(&payment, &parts).await.unwrap();
    assert_eq!(done.taken_back, []);
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
    assert_eq!(desk.books().await, (0, 50_000, 0, 150_000));
    // The part holds what the whole had bought: it goes with it.
    let mut read = desk.controller.database.read().await.unwrap();
    assert_eq!(bought_by(&mut read, &done.payments[0]).await.unwrap(), []);
    assert_eq!(bought_by(&mut read, &done.payments[1]).await.unwrap().len(), 1);
    let row = crate::payments::payment(&mut read, &done.payments[1]).await.unwrap().unwrap();
    assert_eq!((row.trace.is_some(), row.payment.is_spent()), (true, true));
    drop(read);
    desk.move_to(&done.payments[1], &desk.others()).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Expired, Some(0.5), vec![(0.0, 0.5)]));
    assert_eq!(desk.books().await, (0, 50_000, 0, 225_000));
    assert_eq!(desk.balance(Account::WriteOffs).await, 75_000);
}

#[tokio::test]
async fn who_keeps_too_little_pays_for_what_is_used_with_what_they_keep() {
    let check = async |kept: i64, (mine, theirs): (i64, i64), earned: i64, off: i64| {
        let mut desk = Desk::open().await;
        let payment = desk.paid("RKO1", PRICE, &desk.theirs()).await;
        desk.days_pass(1);
        let parts = [
            Part { to: desk.theirs(), amount: cents(kept) },
            Part { to: Target::Customer(desk.other.0.id.clone(), None), amount: cents(150_000 - kept) },
        ];
        desk.split(&payment, &parts).await.unwrap();
        assert_eq!(desk.line(&desk.world.line).await, (Status::Expired, Some(0.5), vec![(0.0, 0.5)]));
        assert_eq!(desk.books().await, (mine, theirs, 0, earned), "{kept}");
        assert_eq!(desk.balance(Account::WriteOffs).await, off, "{kept}");
    };
    check(100_000, (25_000, 50_000), 75_000, 0).await;
    check(75_000, (0, 75_000), 75_000, 0).await;
    check(10_000, (0, 140_000), 75_000, 65_000).await;
}

#[tokio::test]
async fn another_line_of_the_same_customer_gets_what_is_left_and_no_free_days() {
    let mut desk = Desk::open().await;
    let payment = desk.paid("RKP1", PRICE, &desk.theirs()).await;
    desk.days_pass(1);
    let wallet = Target::Customer(desk.world.customer.id.clone(), None);
    desk.move_to(&payment, &wallet).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Expired, Some(0.5), vec![(0.0, 0.5)]));
    assert_eq!((desk.books().await, desk.balance(Account::WriteOffs).await), ((75_000, 0, 0, 75_000), 0));
}

#[tokio::test]
async fn what_its_customer_paid_of_the_used_time_is_written_off_when_the_payment_turns_out_to_be_anothers() {
    let mut desk = Desk::open().await;
    let payment = desk.paid("RKW1", PRICE, &desk.theirs()).await;
    desk.days_pass(1);
    let wallet = Target::Customer(desk.world.customer.id.clone(), None);
    let others = Target::Customer(desk.other.0.id.clone(), None);
    desk.move_to(&payment, &wallet).await.unwrap();
    assert_eq!((desk.books().await, desk.balance(Account::WriteOffs).await), ((75_000, 0, 0, 75_000), 0));
    // There and back, as often as people like: once.
    for _ in 0..2 {
        let moved = desk.move_to(&payment, &others).await.unwrap();
        assert_eq!(moved.owes, Money::ZERO);
        assert_eq!(desk.books().await, (0, 150_000, 0, 75_000));
        assert_eq!(desk.balance(Account::WriteOffs).await, 75_000);
        desk.move_to(&payment, &wallet).await.unwrap();
        assert_eq!(desk.books().await, (150_000, 0, 0, 75_000));
    }
}

#[tokio::test]
async fn money_that_leaves_a_wallet_for_a_moment_takes_nothing_along() {
    let mut desk = Desk::open().await;
    let wallet = Target::Customer(desk.world.customer.id.clone(), None);
    let payment = desk.paid("RKQ1", PRICE, &wallet).await;
    let mut write = desk.write().await;
    let (ids, line) = (&desk.controller.ids, &desk.world.line);
    wallet::buy_unpaid(&mut write, line, "release", "staff:anna", ids, NOW).await.unwrap().unwrap();
    write.commit().await.unwrap();
    desk.days_pass(1);
    let moved = desk.move_to(&payment, &desk.theirs()).await.unwrap();
    assert_eq!(moved.taken_back, []);
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    assert!(desk.row(&payment).await.is_spent(), "nothing of it lies in the wallet");
}

#[tokio::test]
async fn what_two_payments_bought_together_goes_with_either_and_what_one_bought_alone_stays() {
    for goes in [0, 1] {
        let desk = Desk::open().await;
        let first = desk.paid("RKR1", cents(100_000), &desk.theirs()).await;
        let second = desk.paid("RKR2", cents(50_000), &desk.theirs()).await;
        desk.paid("RKR3", PRICE, &desk.theirs()).await;
        assert_eq!(desk.line(&desk.world.line).await.1, Some(2.0));
        let moved = desk.move_to([&first, &second][goes], &Target::Suspense).await.unwrap();
        assert_eq!((moved.taken_back.len(), moved.owes), (1, Money::ZERO));
        assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
        let (stays, moved) = [(50_000, 100_000), (100_000, 50_000)][goes];
        assert_eq!(desk.books().await, (stays, 0, moved, 150_000));
    }
}

#[tokio::test]
async fn of_what_is_used_ones_own_money_is_spent_first_and_no_more_is_written_off_than_was_anothers() {
    let check = async |own: i64, halves: u32, wallet: i64, off: i64| {
        let mut desk = Desk::open().await;
        desk.paid("RKT1", cents(own), &desk.theirs()).await;
        let wrong = desk.paid("RKT2", cents(150_000 - own), &desk.theirs()).await;
        desk.days_pass(halves);
        let moved = desk.move_to(&wrong, &Target::Suspense).await.unwrap();
        assert_eq!((moved.written_off, moved.owes), (cents(off), Money::ZERO), "{own} {halves}");
        let (mine, _, waits, earned) = desk.books().await;
        assert_eq!((mine, waits), (wallet, 150_000 - own), "{own} {halves}");
        assert_eq!(earned, 75_000 * i64::from(halves), "{own} {halves}");
        assert_eq!(desk.balance(Account::WriteOffs).await, off, "{own} {halves}");
    };
    // All used: what was another's of it, and not the month.
    check(147_000, 2, 0, 3_000).await;
    check(50_000, 2, 0, 100_000).await;
    // Half of it used.
    check(147_000, 1, 72_000, 0).await;
    check(75_000, 1, 0, 0).await;
    check(50_000, 1, 0, 25_000).await;
}

#[tokio::test]
async fn what_two_payments_bought_together_is_cut_when_either_goes_and_its_used_half_is_paid_by_the_other() {
    for (goes, wallet, off) in [(0, 0, 25_000), (1, 25_000, 0)] {
        let mut desk = Desk::open().await;
        let first = desk.paid("RKU1", cents(100_000), &desk.theirs()).await;
        let second = desk.paid("RKU2", cents(50_000), &desk.theirs()).await;
        desk.days_pass(1);
        desk.move_to([&first, &second][goes], &Target::Suspense).await.unwrap();
        assert_eq!(desk.line(&desk.world.line).await, (Status::Expired, Some(0.5), vec![(0.0, 0.5)]));
        assert_eq!(desk.books().await, (wallet, 0, [100_000, 50_000][goes], 75_000));
        assert_eq!(desk.balance(Account::WriteOffs).await, off);
    }
}

#[tokio::test]
async fn a_period_between_others_closes_up_and_one_that_ends_now_closes_the_line() {
    let mut desk = Desk::open().await;
    let first = desk.paid("RKC1", PRICE, &desk.theirs()).await;
    let second = desk.paid("RKC2", PRICE, &desk.theirs()).await;
    let third = desk.paid("RKC3", PRICE, &desk.theirs()).await;
    desk.move_to(&second, &Target::Suspense).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(2.0), vec![(0.0, 1.0), (1.0, 2.0)]));
    desk.move_to(&first, &Target::Suspense).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
    desk.days_pass(1);
    desk.move_to(&third, &Target::Suspense).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Expired, Some(0.5), vec![(0.0, 0.5)]));
    assert_eq!(desk.books().await, (0, 0, 450_000, 75_000));
    assert_eq!(desk.balance(Account::WriteOffs).await, 75_000);
}

#[tokio::test]
async fn time_that_was_used_with_anothers_money_is_written_off_once_and_not_owed() {
    let mut desk = Desk::open().await;
    let payment = desk.paid("RKS1", PRICE, &desk.theirs()).await;
    desk.days_pass(2);
    for to in [desk.others(), Target::Suspense, desk.theirs(), desk.others()] {
        let moved = match to {
            Target::Customer(..) if desk.row(&payment).await.customer.is_none() => {
                desk.assign(&payment, &to).await.unwrap();
                continue;
            }
            _ => desk.move_to(&payment, &to).await.unwrap(),
        };
        assert_eq!(moved.owes, Money::ZERO);
        assert_eq!(desk.balance(Account::WriteOffs).await, 150_000, "once");
    }
    assert_eq!(desk.books().await, (0, 0, 0, 300_000));
}

#[tokio::test]
async fn the_last_of_three_that_are_taken_back_leaves_a_line_that_was_never_paid_for() {
    let desk = Desk::open().await;
    let mut payments = Vec::new();
    for receipt in ["RKD1", "RKD2", "RKD3"] {
        payments.push(desk.paid(receipt, PRICE, &desk.theirs()).await);
    }
    for payment in &payments {
        desk.move_to(payment, &Target::Suspense).await.unwrap();
    }
    assert_eq!(desk.line(&desk.world.line).await, (Status::Draft, None, vec![]));
    assert_eq!(desk.books().await, (0, 0, 450_000, 0));
}

#[tokio::test]
async fn a_held_line_stays_held_when_its_period_is_taken_back() {
    let desk = Desk::open().await;
    let payment = desk.paid("RKE1", PRICE, &desk.theirs()).await;
    let mut write = desk.write().await;
    subscriptions::hold(&mut write, &desk.world.line, NOW).await.unwrap();
    write.commit().await.unwrap();
    desk.move_to(&payment, &desk.others()).await.unwrap();
    assert_eq!(desk.line(&desk.world.line).await, (Status::Suspended, None, vec![]));
}

#[tokio::test]
async fn what_is_used_up_stays_sold_is_owed_and_can_be_written_off_within_limits() {
    let mut desk = Desk::open().await;
    let payment = desk.take_cash("f1", PRICE).await.unwrap();
    desk.days_pass(2);
    let undone = desk.undo(&payment).await.unwrap();
    assert_eq!((undone.taken_back.len(), undone.owes), (0, PRICE));
    assert!(words(&undone).contains("owes KES 1,500.00"), "{}", words(&undone));
    assert_eq!(desk.books().await, (-150_000, 0, 0, 150_000));
    let off = async |role, amount: Option<i64>| {
        let (by, customer) = (staff("anna"), desk.world.customer.id.clone());
        let writer = Clerk { actor: &by, role, limits: Limits::default() };
        let mut write = desk.write().await;
        let what = (&customer, amount.map(Money::from_cents));
        let done = write_off(&mut write, what, writer, &desk.controller.ids, desk.now).await.unwrap();
        if done.is_ok() {
            write.commit().await.unwrap();
        }
        done
    };
    assert_eq!(off(Role::Owner, Some(150_001)).await, Err(NotWrittenOff::OwesLess(PRICE)));
    assert_eq!(off(Role::Owner, Some(0)).await, Err(NotWrittenOff::NoAmount));
    let most = Limits::default().written_off_a_day;
    let over = |written_off| Err(NotWrittenOff::OverLimit { most, written_off });
    assert_eq!(off(Role::Operator, None).await, over(Money::ZERO));
    assert_eq!(off(Role::Operator, Some(100_000)).await, Ok(cents(100_000)));
    assert_eq!(off(Role::Operator, Some(1)).await, over(cents(100_000)));
    assert_eq!(off(Role::Owner, None).await, Ok(cents(50_000)));
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    assert_eq!(desk.balance(Account::WriteOffs).await, 150_000);
    let mut read = desk.controller.database.read().await.unwrap();
    assert_eq!(owed_by(&mut read, &desk.world.customer.id).await.unwrap(), Money::ZERO);
}

#[tokio::test]
async fn what_is_owed_is_covered_first_by_the_next_payment() {
    let mut desk = Desk::open().await;
    let payment = desk.take_cash("g1", PRICE).await.unwrap();
    desk.days_pass(2);
    desk.undo(&payment).await.unwrap();
    desk.paid("RKG2", PRICE, &desk.theirs()).await;
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    assert_eq!(desk.line(&desk.world.line).await.0, Status::Active, "nobody expired it yet");
    desk.paid("RKG3", PRICE, &desk.theirs()).await;
    assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(2.0), vec![(0.0, 1.0), (1.0, 2.0)]));
}

#[tokio::test]
async fn what_the_wallet_bought_by_itself_with_money_that_is_gone_goes_too() {
    let desk = Desk::open().await;
    let into_wallet = Target::Customer(desk.world.customer.id.clone(), None);
    let payment = desk.paid("RKH1", PRICE, &into_wallet).await;
    let mut write = desk.write().await;
    let (ids, line) = (&desk.controller.ids, &desk.world.line);
    let bought = wallet::buy_unpaid(&mut write, line, "release", "staff:anna", ids, NOW).await.unwrap();
    assert!(bought.is_some());
    write.commit().await.unwrap();
    let moved = desk.move_to(&payment, &desk.others()).await.unwrap();
    assert_eq!((moved.taken_back.len(), moved.owes), (1, Money::ZERO));
    assert_eq!(desk.line(line).await, (Status::Draft, None, vec![]));
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    // What other money bought stays.
    let into_wallet = Target::Customer(desk.other.0.id.clone(), None);
    let spare = desk.paid("RKH2", PRICE, &into_wallet).await;
    let moved = desk.move_to(&spare, &Target::Suspense).await.unwrap();
    assert_eq!(moved.taken_back, []);
    assert_eq!(desk.books().await, (0, 0, 150_000, 150_000));
}

#[tokio::test]
async fn a_top_up_is_taken_back_and_goes_with_its_period() {
    let desk = Desk::open().await;
    let mut write = desk.write().await;
    sqlx::Executor::execute(&mut *write, "UPDATE plans SET data_quota_bytes = 1000").await.unwrap();
    let new = NewTopUp { name: "More".to_owned(), plan: None, price: cents(10_000), bytes: 77 };
    let created = top_ups::create(&mut write, new, &desk.controller.ids, NOW).await.unwrap();
    let top_ups::Created::Created(more) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    let period = desk.paid("RKI1", PRICE, &desk.theirs()).await;
    let buy = async |receipt: &str| {
        let payment =
            desk.paid(receipt, cents(10_000), &Target::Customer(desk.world.customer.id.clone(), None)).await;
        let mut write = desk.write().await;
        let what = (&desk.world.line, &more.id);
        let occasion = (receipt, Some(&payment));
        topping_up::buy(&mut write, what, occasion, "t", &desk.controller.ids, NOW).await.unwrap().unwrap();
        write.commit().await.unwrap();
        payment
    };
    let bytes = async || {
        let mut read = desk.controller.database.read().await.unwrap();
        quota::periods_of(&mut read, &desk.world.line, NOW).await.unwrap().first().map(|one| one.bytes)
    };
    let first = buy("RKI2").await;
    buy("RKI3").await;
    assert_eq!(bytes().await, Some(Some(1_154)));
    let moved = desk.move_to(&first, &Target::Suspense).await.unwrap();
    assert_eq!((moved.taken_back.len(), bytes().await), (1, Some(Some(1_077))));
    assert!(moved.is_site_to_be_told);
    assert_eq!(desk.books().await, (0, 0, 10_000, 160_000));
    // The other one goes with its period: its own money stays theirs.
    let moved = desk.move_to(&period, &desk.others()).await.unwrap();
    assert_eq!((moved.taken_back.len(), bytes().await), (2, None));
    assert_eq!(desk.books().await, (10_000, 0, 10_000, 150_000));
}

#[tokio::test]
async fn a_payment_goes_there_and_back_as_often_as_people_say_so_and_no_rule_moves_it() {
    let desk = Desk::open().await;
    let payment = desk.paid("RKJ1", PRICE, &desk.theirs()).await;
    for _ in 0..2 {
        desk.move_to(&payment, &desk.others()).await.unwrap();
        assert_eq!(desk.line(&desk.other.1).await.1, Some(1.0));
        desk.move_to(&payment, &Target::Suspense).await.unwrap();
        assert_eq!(desk.books().await, (0, 0, 150_000, 0));
        assert_eq!(desk.row(&payment).await.no_owner, Some(NoOwner::TakenBack));
        let again = desk.told("RKJ1", PRICE, &desk.theirs(), "another piece").await;
        assert_eq!(again.outcome, CallbackOutcome::Repeated);
        assert_eq!(desk.books().await, (0, 0, 150_000, 0));
        assert_eq!(desk.assign(&payment, &desk.theirs()).await, Ok(true));
        assert_eq!(desk.line(&desk.world.line).await, (Status::Active, Some(1.0), vec![(0.0, 1.0)]));
        assert_eq!(desk.line(&desk.other.1).await, (Status::Draft, None, vec![]));
    }
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
    assert_eq!(desk.row(&payment).await.corrections, 4);
}

#[tokio::test]
async fn one_receipt_is_several_customers_to_the_cent_and_each_has_a_receipt() {
    let desk = Desk::open().await;
    for to in [Target::Suspense, desk.theirs()] {
        let receipt = if to == Target::Suspense { "RKK1" } else { "RKK2" };
        let payment = desk.paid(receipt, cents(200_001), &to).await;
        let before = desk.books().await;
        let part = |to: Target, amount| Part { to, amount: cents(amount) };
        let check = async |parts: &[Part], expected: NotCorrected| {
            assert_eq!(desk.split(&payment, parts).await.unwrap_err(), expected);
            assert_eq!(desk.books().await, before);
        };
        check(&[part(desk.theirs(), 200_001)], NotCorrected::BadParts).await;
        check(&[part(desk.theirs(), 200_002), part(desk.others(), -1)], NotCorrected::BadParts).await;
        let short = [part(desk.theirs(), 50_000), part(desk.others(), 150_000)];
        check(&short, NotCorrected::NotTheWhole(cents(200_000))).await;
        let strange = Target::Customer(desk.other.0.id.clone(), Some(desk.world.line.clone()));
        check(&[part(strange, 1), part(desk.others(), 200_000)], NotCorrected::NotTheirs).await;
        let parts = [part(desk.others(), 150_000), part(desk.theirs(), 50_000), part(Target::Suspense, 1)];
        let done = desk.split(&payment, &parts).await.unwrap();
        assert_eq!(done.payments.len(), 3);
        let whole = desk.row(&payment).await;
        assert_eq!((whole.closed, whole.customer), (Some(Closed::Split), None));
        let own = desk.row(&done.payments[0]).await;
        assert_eq!(own.name(), format!("{receipt}/1"));
        assert_eq!((own.part_of.as_ref(), own.customer.as_ref()), (Some(&payment), Some(&desk.other.0.id)));
        assert!(own.serial > whole.serial);
        assert_eq!(desk.split(&payment, &parts).await.unwrap_err(), NotCorrected::Closed(Closed::Split));
        assert_eq!(desk.assign(&payment, &desk.theirs()).await, Err(NotAssigned::HasOwner));
        let again = desk.told(receipt, cents(200_001), &desk.theirs(), "another piece").await;
        assert_eq!(again.outcome, CallbackOutcome::Repeated);
        // A part that nobody owned is somebody's after all, and a part goes on to another.
        assert_eq!(desk.assign(&done.payments[2], &desk.theirs()).await, Ok(false));
        desk.move_to(&done.payments[0], &desk.theirs()).await.unwrap();
        desk.move_to(&done.payments[0], &desk.others()).await.unwrap();
    }
    // 500.01 twice, of which nothing covers a period.
    assert_eq!(desk.books().await, (100_002, 0, 0, 300_000));
    assert_eq!(desk.line(&desk.other.1).await.1, Some(2.0));
    assert_eq!(desk.line(&desk.world.line).await.1, None);
    assert_eq!(desk.balance(Account::MpesaClearing("174379".to_owned())).await, 400_002);
    let mut read = desk.controller.database.read().await.unwrap();
    let taken = crate::payments::money_between(&mut read, UnixMillis(0), UnixMillis(i64::MAX)).await.unwrap();
    assert_eq!((taken.amount, taken.payments), (cents(400_002), 2), "parts are no money beside the whole");
}

#[tokio::test]
async fn what_two_payments_bought_together_and_is_used_up_is_owed_by_nobody_once_they_are_anothers() {
    let mut desk = Desk::open().await;
    let first = desk.paid("RKX1", cents(50_000), &desk.theirs()).await;
    let second = desk.paid("RKX2", cents(100_000), &desk.theirs()).await;
    assert_eq!(desk.line(&desk.world.line).await.2, vec![(0.0, 1.0)]);
    desk.days_pass(2);
    let moved = desk.move_to(&first, &Target::Suspense).await.unwrap();
    assert_eq!((moved.owes, moved.written_off), (Money::ZERO, cents(50_000)));
    assert_eq!(desk.books().await, (0, 0, 50_000, 150_000));
    let moved = desk.move_to(&second, &Target::Suspense).await.unwrap();
    assert_eq!((moved.owes, moved.written_off), (Money::ZERO, cents(100_000)));
    assert_eq!(desk.books().await, (0, 0, 150_000, 150_000));
    assert_eq!(desk.balance(Account::WriteOffs).await, 150_000);
}

#[tokio::test]
async fn what_is_written_off_leaves_alone_what_a_customer_bought_with_money_of_their_own() {
    // A period of another's money is used up; the next one is their own, and was paid for in two parts.
    let mut desk = Desk::open().await;
    let others = desk.paid("RKY1", PRICE, &desk.theirs()).await;
    desk.days_pass(2);
    desk.paid("RKY2", cents(100_000), &desk.theirs()).await;
    desk.paid("RKY3", cents(50_000), &desk.theirs()).await;
    let line = desk.line(&desk.world.line).await;
    desk.days_pass(1);
    let moved = desk.move_to(&others, &Target::Suspense).await.unwrap();
    assert_eq!((moved.taken_back.len(), moved.owes, moved.written_off), (0, Money::ZERO, PRICE));
    assert_eq!((desk.line(&desk.world.line).await, desk.books().await), (line, (0, 0, 150_000, 300_000)));
}

#[tokio::test]
async fn what_a_customer_used_with_a_part_that_is_anothers_is_owed_by_nobody() {
    let mut desk = Desk::open().await;
    let payment = desk.paid("RKW1", PRICE, &desk.theirs()).await;
    desk.days_pass(1);
    let own = Target::Customer(desk.world.customer.id.clone(), None);
    desk.move_to(&payment, &own).await.unwrap();
    assert_eq!(desk.books().await, (75_000, 0, 0, 75_000), "the half that they used is theirs to pay");
    let parts = [(own, 100_000), (desk.others(), 50_000)];
    let parts = parts.map(|(to, amount)| Part { to, amount: cents(amount) });
    let done = desk.split(&payment, &parts).await.unwrap();
    let moved = desk.move_to(&done.payments[0], &Target::Suspense).await.unwrap();
    assert_eq!((moved.owes, moved.written_off), (Money::ZERO, PRICE.checked_sub(cents(75_000)).unwrap()));
    assert_eq!(desk.books().await, (0, 50_000, 100_000, 75_000));
}

#[tokio::test]
async fn of_several_payments_that_a_third_one_made_a_period_each_is_taken_without_a_debt() {
    for halves in [1, 2] {
        let mut desk = Desk::open().await;
        let into_wallet = Target::Customer(desk.world.customer.id.clone(), None);
        let first = desk.paid("RLA1", cents(50_000), &into_wallet).await;
        let second = desk.paid("RLA2", cents(30_000), &into_wallet).await;
        desk.paid("RLA3", cents(70_000), &desk.theirs()).await;
        desk.days_pass(halves);
        for payment in [&first, &second] {
            let moved = desk.move_to(payment, &Target::Suspense).await.unwrap();
            assert_eq!(moved.owes, Money::ZERO, "{halves}");
        }
        let (mine, _, suspense, revenue) = desk.books().await;
        let used = if halves == 1 { 75_000 } else { 150_000 };
        assert_eq!((mine, suspense, revenue), (0, 80_000, used), "{halves}");
        assert_eq!(desk.balance(Account::WriteOffs).await, used - 70_000, "{halves}: their own is used");
    }
}

#[tokio::test]
async fn of_what_the_wallet_added_to_a_payment_no_more_is_written_off_than_was_anothers() {
    let mut desk = Desk::open().await;
    let into_wallet = Target::Customer(desk.world.customer.id.clone(), None);
    let others = desk.paid("RKZ1", PRICE, &into_wallet).await;
    desk.paid("RKZ2", cents(100_000), &desk.theirs()).await;
    desk.days_pass(2);
    let moved = desk.move_to(&others, &Target::Suspense).await.unwrap();
    assert_eq!((moved.owes, moved.written_off), (Money::ZERO, cents(50_000)));
    assert_eq!(desk.books().await, (0, 0, 150_000, 150_000));
}

#[tokio::test]
async fn a_booking_at_the_counter_is_undone_once_and_only_while_the_cash_is_there() {
    let desk = Desk::open().await;
    let payment = desk.take_cash("c1", PRICE).await.unwrap();
    let drawer = async || desk.balance(Account::Cash("staff:anna".to_owned())).await;
    assert_eq!(drawer().await, 150_000);
    desk.undo(&payment).await.unwrap();
    assert_eq!((drawer().await, desk.books().await), (0, (0, 0, 0, 0)));
    assert_eq!(desk.line(&desk.world.line).await, (Status::Draft, None, vec![]));
    assert_eq!(desk.row(&payment).await.closed, Some(Closed::Undone));
    assert_eq!(desk.undo(&payment).await.unwrap_err(), NotCorrected::Closed(Closed::Undone));
    assert_eq!(desk.take_cash("c1", PRICE).await, Err(NotTaken::AlreadyTaken(payment)), "an old form");
    // Cash that was for another customer stays under the name of whoever took it.
    let payment = desk.take_cash("c2", PRICE).await.unwrap();
    desk.move_to(&payment, &desk.others()).await.unwrap();
    assert_eq!((drawer().await, desk.line(&desk.other.1).await.1), (150_000, Some(1.0)));
    let banking = counter::Banking {
        holder: "staff:anna".to_owned(),
        amount: cents(1),
        slip: ReceiptNumber::parse("S1").unwrap(),
    };
    let mut write = desk.write().await;
    counter::bank(&mut write, &banking, &staff("owner"), &desk.controller.ids, NOW).await.unwrap().unwrap();
    write.commit().await.unwrap();
    assert_eq!(desk.undo(&payment).await.unwrap_err(), NotCorrected::NotInDrawer(cents(149_999)));
    let mpesa = desk.paid("RKL1", PRICE, &desk.theirs()).await;
    assert_eq!(desk.undo(&mpesa).await.unwrap_err(), NotCorrected::WasPaid);
}

#[tokio::test]
async fn a_correction_writes_off_no_more_than_whoever_corrects_may_in_a_day() {
    let mut desk = Desk::open().await;
    let payments =
        [desk.paid("RKV1", PRICE, &desk.theirs()).await, desk.paid("RKV2", PRICE, &desk.others()).await];
    desk.days_pass(1);
    let (before, line) = (desk.books().await, desk.line(&desk.world.line).await);
    let by = staff("anna");
    let limits = Limits { written_off_a_day: cents(75_000), ..Limits::default() };
    let correct = async |payment: &PaymentId, role: Role, in_parts: bool| {
        let by = Clerk { actor: &by, role, limits };
        let (mut write, ids) = (desk.write().await, &desk.controller.ids);
        let part = |amount| Part { to: Target::Suspense, amount: cents(amount) };
        let done = if in_parts {
            split(&mut write, (payment, &[part(50_000), part(100_000)]), by, ids, desk.now).await.unwrap()
        } else {
            move_payment(&mut write, (payment, &Target::Suspense), by, ids, desk.now).await.unwrap()
        };
        match done {
            Ok(done) => {
                write.commit().await.unwrap();
                Ok(done.written_off)
            }
            Err(why) => {
                write.rollback().await.unwrap();
                Err(why)
            }
        }
    };
    let half = cents(75_000);
    assert_eq!(correct(&payments[0], Role::Operator, false).await, Ok(half), "as much as the limit");
    let over = Err(NotCorrected::OverWriteOff { most: half, written_off: half });
    for in_parts in [false, true] {
        assert_eq!(correct(&payments[1], Role::Operator, in_parts).await, over);
    }
    assert_eq!(desk.balance(Account::WriteOffs).await, 75_000);
    assert_eq!(desk.line(&desk.other.1).await, line, "as it was");
    assert_eq!(before.3 - desk.books().await.3, 75_000, "of one of them");
    assert_eq!(correct(&payments[1], Role::Owner, true).await, Ok(half));
    assert_eq!(desk.balance(Account::WriteOffs).await, 150_000);
}

#[tokio::test]
async fn a_correction_that_is_rolled_back_has_done_nothing() {
    let desk = Desk::open().await;
    let payment = desk.paid("RKM1", PRICE, &desk.theirs()).await;
    let (before, line) = (desk.books().await, desk.line(&desk.world.line).await);
    let mut write = desk.write().await;
    let to = desk.others();
    let (by, ids) = (staff("anna"), &desk.controller.ids);
    move_payment(&mut write, (&payment, &to), Clerk::owner(&by), ids, NOW).await.unwrap().unwrap();
    write.rollback().await.unwrap();
    assert_eq!((desk.books().await, desk.line(&desk.world.line).await), (before, line));
    desk.move_to(&payment, &to).await.unwrap();
    assert_eq!(desk.books().await, (0, 0, 0, 150_000));
}
