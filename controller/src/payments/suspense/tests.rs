//! Money that nobody owned, given to somebody: once, whole, and told to the site.

use tawi_shared::{Clock, UnixMillis};

use super::*;
use crate::database::Database;
use crate::entitlements::Status;
use crate::ledger::{self, Account};
use crate::money::Money;
use crate::mpesa::evidence::ReceiptNumber;
use crate::payments::testing::{PRICE, World, world};
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

struct Desk {
    _directory: TemporaryDirectory,
    controller: Controller,
    world: World,
}

impl Desk {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(NOW), ..Controller::new(database) };
        Self { _directory: directory, controller, world }
    }

    /// A payment that no rule could give to anybody.
    async fn nobodys(&self, receipt: &str, amount: Money, typed: &str) -> PaymentId {
        let mut write = self.controller.database.write().await.unwrap();
        let number = ReceiptNumber::parse(receipt).unwrap();
        let told = Told {
            number: &number,
            amount,
            short_code: "174379",
            phone: "2547 ***** 678",
            account_reference: typed,
            received_at: NOW,
            moved_at: None,
            source: "test",
            source_id: receipt,
            actor: "mpesa",
        };
        let owner = Owner::Nobody(Some(NoOwner::CheckDigit));
        let taken = credit::credit(&mut write, &told, owner, &self.controller.ids, NOW).await.unwrap();
        write.commit().await.unwrap();
        taken.payment.unwrap()
    }

    async fn give(
        &self,
        payment: &PaymentId,
        customer: &CustomerId,
        line: Option<&LineId>,
    ) -> Result<Assigned, NotAssigned> {
        let wanted =
            Assignment { payment: payment.clone(), customer: customer.clone(), subscription: line.cloned() };
        let by = Actor::CommandLine("root".to_owned());
        let mut write = self.controller.database.write().await.unwrap();
        let given = assign(&mut write, &wanted, &by, &self.controller.ids, NOW).await.unwrap();
        write.commit().await.unwrap();
        given
    }

    /// What lies in suspense, in the customer's wallet, and what was earned, in cents.
    async fn books(&self) -> (i64, i64, i64) {
        let mut read = self.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        let suspense = ledger::balance_of(&mut read, &Account::Suspense).await.unwrap();
        let wallet = ledger::wallet_of(&mut read, &self.world.customer.id).await.unwrap();
        let revenue = ledger::balance_of(&mut read, &Account::Revenue).await.unwrap();
        (-suspense.cents(), wallet.cents(), -revenue.cents())
    }

    async fn row(&self, payment: &PaymentId) -> PaymentRow {
        let mut read = self.controller.database.read().await.unwrap();
        crate::payments::payment(&mut read, payment).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn what_is_given_to_a_line_buys_a_period_and_is_given_once() {
    let desk = Desk::open().await;
    let payment = desk.nobodys("RKA1", PRICE, "10000012").await;
    assert_eq!(desk.books().await, (150_000, 0, 0));
    assert_eq!(desk.row(&payment).await.payment.no_owner, Some(NoOwner::CheckDigit));
    let (customer, line) = (desk.world.customer.id.clone(), desk.world.line.clone());
    let given = desk.give(&payment, &customer, Some(&line)).await.unwrap();
    assert!(given.has_bought && given.taken_in.is_site_to_be_told);
    assert_eq!(desk.books().await, (0, 0, 150_000));
    let row = desk.row(&payment).await;
    assert_eq!((row.payment.customer.as_ref(), row.payment.no_owner), (Some(&customer), None));
    let mut read = desk.controller.database.read().await.unwrap();
    let line = subscriptions::get(&mut read, &line).await.unwrap().unwrap();
    assert_eq!((line.status, line.paid_until), (Status::Active, Some(UnixMillis(NOW.0 + 86_400_000))));
    drop(read);
    assert_eq!(desk.give(&payment, &customer, None).await.unwrap_err(), NotAssigned::AlreadySo);
    assert_eq!(desk.books().await, (0, 0, 150_000));
}

#[tokio::test]
async fn what_is_given_to_nobodys_line_or_is_too_little_waits_in_the_wallet() {
    let desk = Desk::open().await;
    let (customer, line) = (desk.world.customer.id.clone(), desk.world.line.clone());
    let half = Money::from_cents(75_000);
    let (first, second) = (desk.nobodys("RKB1", half, "").await, desk.nobodys("RKB2", half, "").await);
    assert!(!desk.give(&first, &customer, None).await.unwrap().has_bought);
    assert_eq!(desk.books().await, (75_000, 75_000, 0));
    assert!(desk.give(&second, &customer, Some(&line)).await.unwrap().has_bought, "with what was there");
    assert_eq!(desk.books().await, (0, 0, 150_000));
}

#[tokio::test]
async fn a_payment_goes_to_nobody_who_is_not_there_and_to_no_line_of_another() {
    let desk = Desk::open().await;
    let payment = desk.nobodys("RKC1", PRICE, "rent").await;
    let (customer, line) = (desk.world.customer.id.clone(), desk.world.line.clone());
    let nobody = CustomerId::parse("nobody").unwrap();
    assert_eq!(desk.give(&payment, &nobody, None).await.unwrap_err(), NotAssigned::NoSuchCustomer);
    let mut write = desk.controller.database.write().await.unwrap();
    let new = customers::NewCustomer {
        name: "Bakery".to_owned(),
        phone: customers::phone::Msisdn::parse("0733000111").unwrap(),
    };
    let created = customers::create(&mut write, new, &desk.controller.ids, NOW).await.unwrap();
    let customers::Created::Created(other) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    assert_eq!(desk.give(&payment, &other.id, Some(&line)).await.unwrap_err(), NotAssigned::NotTheirs);
    let unknown = PaymentId::parse("p").unwrap();
    assert_eq!(desk.give(&unknown, &customer, None).await.unwrap_err(), NotAssigned::NoSuchPayment);
    assert_eq!(desk.books().await, (150_000, 0, 0));
    desk.give(&payment, &other.id, None).await.unwrap();
    assert_eq!(desk.give(&payment, &customer, None).await.unwrap_err(), NotAssigned::HasOwner);
    assert_eq!(desk.books().await, (0, 0, 0), "it is the other's");
}

#[tokio::test]
async fn a_slip_and_a_masked_phone_suggest_whom_the_payer_meant() {
    let desk = Desk::open().await;
    let meant = desk.world.customer.account_number.to_string();
    let (stem, digit) = meant.split_at(7);
    let slip = format!("{stem}{}", if digit == "0" { '1' } else { '0' });
    for (receipt, typed) in [("RKD1", slip.as_str()), ("RKD2", "internet")] {
        let payment = desk.nobodys(receipt, PRICE, typed).await;
        let row = desk.row(&payment).await;
        let mut read = desk.controller.database.read().await.unwrap();
        let found = suggestions(&mut read, &row).await.unwrap();
        let ids: Vec<&CustomerId> = found.iter().map(|customer| &customer.id).collect();
        assert_eq!(ids, [&desk.world.customer.id], "{typed}");
    }
}

#[tokio::test]
async fn a_phone_that_was_typed_suggests_all_who_share_it() {
    let desk = Desk::open().await;
    let mut write = desk.controller.database.write().await.unwrap();
    let phone = desk.world.customer.phone.clone();
    let new = customers::NewCustomer { name: "Bakery".to_owned(), phone };
    let created = customers::create(&mut write, new, &desk.controller.ids, NOW).await.unwrap();
    let customers::Created::Created(other) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    let typed = format!("0{}", desk.world.customer.phone.digits().strip_prefix("254").unwrap());
    let payment = desk.nobodys("RKE1", PRICE, &typed).await;
    // What was told of the payer fits nobody.
    let mut write = desk.controller.database.write().await.unwrap();
    sqlx::query("UPDATE payments SET phone = '2547 ***** 999'").execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    let row = desk.row(&payment).await;
    let mut read = desk.controller.database.read().await.unwrap();
    let found = suggestions(&mut read, &row).await.unwrap();
    let mut ids: Vec<&CustomerId> = found.iter().map(|customer| &customer.id).collect();
    let mut both = [&desk.world.customer.id, &other.id];
    ids.sort();
    both.sort();
    assert_eq!(ids, both);
}
