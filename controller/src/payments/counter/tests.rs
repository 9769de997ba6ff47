//! What people bring: booked once, within limits, and under a name until it is at the bank.

use tawi_shared::{Clock, UnixMillis};

use super::*;
use crate::database::Database;
use crate::entitlements::Status;
use crate::payments::testing::{PRICE, World, world};
use crate::staff::{Login, Role};
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const DAY_MS: i64 = 86_400_000;

struct Counter {
    _directory: TemporaryDirectory,
    controller: Controller,
    world: World,
    now: UnixMillis,
}

impl Counter {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(NOW), ..Controller::new(database) };
        Self { _directory: directory, controller, world, now: NOW }
    }

    fn brings(&self, amount: Money, means: Means) -> Brought {
        let subscription = Some(self.world.line.clone());
        Brought {
            customer: self.world.customer.id.clone(),
            subscription,
            amount,
            means,
            note: String::new(),
            is_another: true,
        }
    }

    async fn take(&self, role: Role, brought: &Brought) -> Result<Received, NotTaken> {
        let actor = staff("anna");
        let taker = Clerk { actor: &actor, role, limits: Limits::default() };
        let mut write = self.controller.database.write().await.unwrap();
        let taken = take(&mut write, brought, taker, &self.controller.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        taken
    }

    async fn bank(&self, holder: &str, amount: i64, slip: &str) -> Result<(), NotBanked> {
        let amount = Money::from_cents(amount);
        let banking = Banking { holder: holder.to_owned(), amount, slip: read_reference(slip).unwrap() };
        let mut write = self.controller.database.write().await.unwrap();
        let by = staff("owner");
        let banked = bank(&mut write, &banking, &by, &self.controller.ids, self.now).await.unwrap();
        write.commit().await.unwrap();
        banked
    }

    /// What lies in the drawer, at the bank, in the wallet, and what was earned, in cents.
    async fn books(&self) -> (i64, i64, i64, i64) {
        let mut read = self.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        let drawer = ledger::balance_of(&mut read, &Account::Cash("staff:anna".to_owned())).await.unwrap();
        let bank = ledger::balance_of(&mut read, &Account::Bank).await.unwrap();
        let wallet = ledger::wallet_of(&mut read, &self.world.customer.id).await.unwrap();
        let revenue = ledger::balance_of(&mut read, &Account::Revenue).await.unwrap();
        (drawer.cents(), bank.cents(), wallet.cents(), -revenue.cents())
    }

    async fn payment(&self, id: &PaymentId) -> crate::payments::Payment {
        let mut read = self.controller.database.read().await.unwrap();
        crate::payments::payment(&mut read, id).await.unwrap().unwrap().payment
    }
}

fn staff(login: &str) -> Actor {
    Actor::Staff(Login::parse(login).unwrap())
}

fn cash(occasion: &str) -> Means {
    Means::Cash { occasion: ReceiptNumber::parse(occasion).unwrap() }
}

fn transfer(reference: &str) -> Means {
    Means::Bank { reference: read_reference(reference).unwrap() }
}

#[tokio::test]
async fn cash_buys_a_period_once_and_stands_under_the_name_of_whoever_took_it() {
    let counter = Counter::open().await;
    let brought = counter.brings(PRICE, cash("a1"));
    let received = counter.take(Role::Operator, &brought).await.unwrap();
    assert!(received.has_bought && received.taken_in.is_site_to_be_told);
    assert_eq!(counter.books().await, (150_000, 0, 0, 150_000));
    let mut read = counter.controller.database.read().await.unwrap();
    let line = subscriptions::get(&mut read, &counter.world.line).await.unwrap().unwrap();
    assert_eq!(line.status, Status::Active);
    assert_eq!(line.paid_until, Some(UnixMillis(NOW.0 + DAY_MS)));
    let row = crate::payments::payment(&mut read, &received.payment).await.unwrap().unwrap();
    assert!(row.trace.is_some(), "its way to the router is followed");
    assert_eq!((row.payment.provider, row.payment.name()), (Provider::Cash, "Receipt 1".to_owned()));
    let again = counter.take(Role::Operator, &brought).await.unwrap_err();
    assert_eq!(again, NotTaken::AlreadyTaken(received.payment));
    assert_eq!(counter.books().await, (150_000, 0, 0, 150_000));
}

#[tokio::test]
async fn a_transfer_is_booked_once_however_its_reference_is_written() {
    let counter = Counter::open().await;
    let brought = counter.brings(Money::from_cents(50_000), transfer("ft 2026/0917-88"));
    let received = counter.take(Role::Operator, &brought).await.unwrap();
    assert!(!received.has_bought);
    assert_eq!(counter.books().await, (0, 50_000, 50_000, 0));
    let again = counter.brings(Money::from_cents(70_000), transfer("FT2026091788"));
    assert_eq!(
        counter.take(Role::Owner, &again).await.unwrap_err(),
        NotTaken::AlreadyTaken(received.payment)
    );
    assert_eq!(counter.books().await, (0, 50_000, 50_000, 0));
}

#[tokio::test]
async fn what_m_pesa_told_of_is_no_transfer_to_the_bank() {
    let counter = Counter::open().await;
    let number = ReceiptNumber::parse("RKL51ZDR4F").unwrap();
    let told = Told {
        number: &number,
        amount: PRICE,
        short_code: "174379",
        phone: "",
        account_reference: "",
        received_at: NOW,
        moved_at: None,
        source: "test",
        source_id: "1",
        actor: "mpesa",
    };
    let owner = || Owner::Customer {
        customer: counter.world.customer.id.clone(),
        subscription: None,
        is_unclear: false,
    };
    let ids = &counter.controller.ids;
    let mut write = counter.controller.database.write().await.unwrap();
    let taken = credit::credit(&mut write, &told, owner(), ids, NOW).await.unwrap();
    write.commit().await.unwrap();
    let again = counter.take(Role::Owner, &counter.brings(PRICE, transfer("rkl51zdr4f"))).await.unwrap_err();
    assert_eq!(again, NotTaken::AlreadyTaken(taken.payment.unwrap()));
    // The other way round both are booked, and a person is told.
    counter.take(Role::Owner, &counter.brings(PRICE, transfer("RKL51ZDR4G"))).await.unwrap();
    let number = ReceiptNumber::parse("RKL51ZDR4G").unwrap();
    let mut write = counter.controller.database.write().await.unwrap();
    let told = Told { number: &number, ..told };
    let taken = credit::credit(&mut write, &told, owner(), ids, NOW).await.unwrap();
    assert!(taken.outcome.needs_a_person(), "{:?}", taken.outcome);
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_and_moves_nothing() {
    let counter = Counter::open().await;
    let check = async |role, brought: Brought, expected: NotTaken| {
        assert_eq!(counter.take(role, &brought).await.unwrap_err(), expected);
        assert_eq!(counter.books().await, (0, 0, 0, 0));
    };
    let brings = |cents| counter.brings(Money::from_cents(cents), cash("b1"));
    check(Role::Owner, brings(0), NotTaken::NoAmount).await;
    check(Role::Owner, brings(-1), NotTaken::NoAmount).await;
    let note = "x".repeat(NOTE_CHARACTERS + 1);
    check(Role::Owner, Brought { note, ..brings(100) }, NotTaken::LongNote).await;
    let customer = CustomerId::parse("nobody").unwrap();
    check(Role::Owner, Brought { customer, ..brings(100) }, NotTaken::NoSuchCustomer).await;
    let subscription = Some(LineId::parse("no-line").unwrap());
    check(Role::Owner, Brought { subscription, ..brings(100) }, NotTaken::NotTheirs).await;
    let most = Limits::default().at_once;
    let over = NotTaken::OverLimit(OverLimit::AtOnce { most });
    check(Role::Operator, brings(most.cents() + 1), over).await;
}

#[tokio::test]
async fn the_limit_of_a_day_begins_anew_at_midnight_in_nairobi() {
    let mut counter = Counter::open().await;
    let Limits { at_once, a_day, .. } = Limits::default();
    for number in 0..a_day.cents() / at_once.cents() {
        counter.take(Role::Operator, &counter.brings(at_once, cash(&format!("c{number}")))).await.unwrap();
    }
    let more = counter.brings(Money::from_cents(100), cash("d1"));
    let over = NotTaken::OverLimit(OverLimit::ADay { most: a_day, taken: a_day });
    assert_eq!(counter.take(Role::Operator, &more).await.unwrap_err(), over);
    counter.now = UnixMillis(day_of(NOW).0 + DAY_MS - 1);
    assert_eq!(counter.take(Role::Operator, &more).await.unwrap_err(), over);
    counter.now = UnixMillis(day_of(NOW).0 + DAY_MS);
    counter.take(Role::Operator, &more).await.unwrap();
}

#[tokio::test]
async fn cash_is_somebodys_until_a_slip_says_that_it_is_at_the_bank() {
    let counter = Counter::open().await;
    counter.take(Role::Operator, &counter.brings(PRICE, cash("e1"))).await.unwrap();
    let holds = Money::from_cents(150_000);
    let held = async || drawers(&mut counter.controller.database.read().await.unwrap()).await.unwrap();
    assert_eq!(held().await, [Drawer { holder: "staff:anna".to_owned(), holds }]);
    assert_eq!(counter.bank("staff:anna", 150_001, "S1").await, Err(NotBanked::MoreThanHeld { holds }));
    assert_eq!(
        counter.bank("staff:brian", 1, "S1").await,
        Err(NotBanked::MoreThanHeld { holds: Money::ZERO })
    );
    assert_eq!(counter.bank("staff:anna", 0, "S1").await, Err(NotBanked::NoAmount));
    assert_eq!(counter.bank("staff:anna", 100_000, "S1").await, Ok(()));
    assert_eq!(counter.bank("staff:anna", 50_000, "s-1").await, Err(NotBanked::AlreadyBanked));
    assert_eq!(counter.bank("staff:anna", 50_000, "S2").await, Ok(()));
    assert_eq!(counter.books().await, (0, 150_000, 0, 150_000));
    assert_eq!(held().await, []);
}

#[tokio::test]
async fn receipts_are_numbered_without_gaps_also_when_a_booking_is_rolled_back() {
    let counter = Counter::open().await;
    let first = counter.take(Role::Owner, &counter.brings(PRICE, cash("f1"))).await.unwrap();
    let actor = staff("anna");
    let taker = Clerk { actor: &actor, role: Role::Owner, limits: Limits::default() };
    let mut write = counter.controller.database.write().await.unwrap();
    let lost = counter.brings(PRICE, cash("f2"));
    take(&mut write, &lost, taker, &counter.controller.ids, NOW).await.unwrap().unwrap();
    write.rollback().await.unwrap();
    let second = counter.take(Role::Owner, &counter.brings(PRICE, transfer("f3"))).await.unwrap();
    assert_eq!(counter.payment(&first.payment).await.serial, 1);
    assert_eq!(counter.payment(&second.payment).await.serial, 2);
}

#[tokio::test]
async fn the_database_itself_refuses_a_gap_and_a_changed_receipt() {
    let counter = Counter::open().await;
    let taken = counter.take(Role::Owner, &counter.brings(PRICE, cash("g1"))).await.unwrap();
    let other = counter.take(Role::Owner, &counter.brings(PRICE, cash("g2"))).await.unwrap();
    let check = async |sql: &'static str, expected: &str| {
        let mut write = counter.controller.database.write().await.unwrap();
        let refused = sqlx::query(sql).execute(&mut *write).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{sql}: {refused}");
        write.rollback().await.unwrap();
    };
    check("UPDATE receipts SET serial = 3 WHERE serial = 2", "a receipt is not changed").await;
    check("DELETE FROM receipts WHERE serial = 2", "a receipt is not deleted").await;
    check("INSERT INTO receipts VALUES (4, 'other', 1)", "without gaps").await;
    assert_eq!(counter.payment(&taken.payment).await.serial, 1);
    assert_eq!(counter.payment(&other.payment).await.serial, 2);
}

#[tokio::test]
async fn as_much_cash_a_moment_later_is_asked_about_and_taken_when_somebody_says_that_it_is_other_cash() {
    let mut counter = Counter::open().await;
    let brings = |counter: &Counter, cents, occasion: &str, is_another| Brought {
        is_another,
        ..counter.brings(Money::from_cents(cents), cash(occasion))
    };
    let first = counter.take(Role::Operator, &brings(&counter, 5_000, "h1", false)).await.unwrap();
    let again = counter.take(Role::Operator, &brings(&counter, 5_000, "h2", false)).await.unwrap_err();
    assert_eq!(again, NotTaken::PerhapsTaken(first.payment));
    assert_eq!(counter.books().await.0, 5_000);
    counter.take(Role::Operator, &brings(&counter, 5_001, "h3", false)).await.unwrap();
    counter.take(Role::Operator, &brings(&counter, 5_000, "h2", true)).await.unwrap();
    counter.now = UnixMillis(NOW.0 + 120_000);
    counter.take(Role::Operator, &brings(&counter, 5_000, "h4", false)).await.unwrap();
    assert_eq!(counter.books().await.0, 20_001);
}

#[tokio::test]
async fn the_limit_of_a_day_is_a_persons_however_they_sign_in() {
    let counter = Counter::open().await;
    let Limits { at_once, a_day, .. } = Limits::default();
    for number in 0..a_day.cents() / at_once.cents() {
        counter.take(Role::Operator, &counter.brings(at_once, cash(&format!("i{number}")))).await.unwrap();
    }
    let check = async |actor: Actor, is_over: bool| {
        let taker = Clerk { actor: &actor, role: Role::Operator, limits: Limits::default() };
        let brought = counter.brings(Money::from_cents(100), cash("j1"));
        let mut write = counter.controller.database.write().await.unwrap();
        let taken = take(&mut write, &brought, taker, &counter.controller.ids, NOW).await.unwrap();
        write.rollback().await.unwrap();
        assert_eq!(matches!(taken, Err(NotTaken::OverLimit(_))), is_over, "{actor}");
    };
    check(Actor::Token("anna".to_owned()), true).await;
    check(Actor::Token("till-2".to_owned()), false).await;
    check(staff("brian"), false).await;
}

#[tokio::test]
async fn the_daily_close_has_what_each_person_took_beside_the_account_of_it() {
    use crate::closing::{Day, counter};
    let counter = Counter::open().await;
    let cash = |number: &str| Means::Cash { occasion: ReceiptNumber::parse(number).unwrap() };
    let bank = Means::Bank { reference: ReceiptNumber::parse("FT1").unwrap() };
    for (amount, means) in [(PRICE, cash("C1")), (Money::from_cents(500), cash("C2")), (PRICE, bank)] {
        counter.take(Role::Owner, &counter.brings(amount, means)).await.unwrap();
    }
    counter.bank("staff:anna", 500, "slip1").await.unwrap();
    let mut read = counter.controller.database.read().await.unwrap();
    let day = Day::of(NOW);
    let found = counter::of_day(&mut read, day).await.unwrap();
    let price = PRICE.cents();
    let flat: Vec<_> = found
        .iter()
        .map(|one| {
            (one.by.as_str(), one.means, one.payments, one.amount.cents(), one.holds.map(Money::cents))
        })
        .collect();
    assert_eq!(
        flat,
        [
            ("staff:anna", Provider::Bank, 1, price, None),
            ("staff:anna", Provider::Cash, 2, price + 500, Some(price)),
        ]
    );
    assert!(found.iter().all(counter::Takings::agrees), "{found:?}");
    assert_eq!(counter::of_day(&mut read, day.after()).await.unwrap(), []);
    drop(read);
    // Somebody wrote more beside a payment than was booked.
    let mut write = counter.controller.database.write().await.unwrap();
    sqlx::query("UPDATE counter_payments SET amount_cents = amount_cents + 1 WHERE amount_cents = 500")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let mut read = counter.controller.database.read().await.unwrap();
    let found = counter::of_day(&mut read, day).await.unwrap();
    assert_eq!(found.iter().filter(|one| !one.agrees()).count(), 1, "{found:?}");
}

#[tokio::test]
async fn an_operator_gives_payments_to_customers_up_to_a_limit_of_a_day_under_whatever_name() {
    use super::placing::place;
    let counter = Counter::open().await;
    let means = Means::Cash { occasion: ReceiptNumber::parse("C1").unwrap() };
    let payment = counter.take(Role::Owner, &counter.brings(PRICE, means)).await.unwrap().payment;
    let limits = Limits { placed_a_day: PRICE, ..Limits::default() };
    let place = async |actor: Actor, role: Role, now: UnixMillis| {
        let clerk = Clerk { actor: &actor, role, limits };
        let mut write = counter.controller.database.write().await.unwrap();
        let placed = place(&mut write, &payment, clerk, now).await.unwrap();
        write.commit().await.unwrap();
        placed
    };
    let later = |hours: i64| UnixMillis(NOW.0 + hours * 3_600_000);
    assert_eq!(place(staff("anna"), Role::Operator, later(0)).await, Ok(()));
    let over = Err(OverPlaced { most: PRICE, placed: PRICE });
    assert_eq!(place(staff("anna"), Role::Operator, later(1)).await, over);
    assert_eq!(place(Actor::CommandLine("anna".to_owned()), Role::Operator, later(1)).await, over);
    assert_eq!(place(staff("brian"), Role::Operator, later(1)).await, Ok(()));
    assert_eq!(place(staff("anna"), Role::Owner, later(1)).await, Ok(()));
    assert_eq!(place(staff("anna"), Role::Operator, later(24)).await, Ok(()), "another day");
}
