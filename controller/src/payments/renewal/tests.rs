//! A line goes on from its wallet once, in time, and only where its customer wants it.

use sqlx::Executor as _;
use tawi_shared::Clock;

use super::*;
use crate::database::Database;
use crate::ledger::{self, Account, Entry};
use crate::money::Money;
use crate::payments::testing::{PRICE, World, world};
use crate::state::Controller;
use crate::subscriptions::editing;
use crate::testing::TemporaryDirectory;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const HOUR: i64 = 3_600_000;

struct Shop {
    _directory: TemporaryDirectory,
    controller: Controller,
    world: World,
}

impl Shop {
    /// With one line whose periods are a day, paid until `NOW`, and so much in the wallet.
    async fn open(wallet: Money) -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let controller = Controller { clock: Clock::manual(NOW), ..Controller::new(database) };
        let shop = Self { _directory: directory, controller, world };
        shop.write(&format!("UPDATE subscriptions SET status = 'active', paid_until = {}", NOW.0)).await;
        if wallet.is_positive() {
            let accounts = (Account::Suspense, Account::Wallet(shop.world.customer.id.clone()));
            let cause = ("test", "gift".to_owned());
            let entry = Entry::transfer(cause, "test", "gift", accounts, wallet).unwrap();
            let mut write = shop.controller.database.write().await.unwrap();
            ledger::book(&mut write, &entry, &shop.controller.ids, NOW).await.unwrap();
            write.commit().await.unwrap();
        }
        shop
    }

    async fn write(&self, sql: &str) {
        let mut write = self.controller.database.write().await.unwrap();
        write.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap();
        write.commit().await.unwrap();
    }

    async fn due(&self, at: i64) -> usize {
        let mut read = self.controller.database.read().await.unwrap();
        due(&mut read, UnixMillis(at), 10).await.unwrap().len()
    }

    async fn renew(&self, at: i64) -> Option<UnixMillis> {
        let mut write = self.controller.database.write().await.unwrap();
        let line = &self.world.line;
        let bought = renew(&mut write, line, &self.controller.ids, UnixMillis(at)).await.unwrap();
        write.commit().await.unwrap();
        bought.map(|bought| bought.paid_until)
    }

    /// What is in the wallet, in cents.
    async fn wallet(&self) -> i64 {
        let mut read = self.controller.database.read().await.unwrap();
        assert_eq!(ledger::trial_balance(&mut read).await.unwrap(), Money::ZERO);
        ledger::wallet_of(&mut read, &self.world.customer.id).await.unwrap().cents()
    }
}

#[tokio::test]
async fn a_wallet_buys_the_next_period_in_the_last_quarter_of_this_one_and_once() {
    let shop = Shop::open(Money::from_cents(PRICE.cents() * 2 + 100)).await;
    let early = NOW.0 - 6 * HOUR;
    assert_eq!(
        (shop.due(early - 1).await, shop.renew(early - 1).await),
        (0, None),
        "three quarters are not over"
    );
    assert_eq!(shop.due(early).await, 1);
    assert_eq!(shop.renew(early).await, Some(UnixMillis(NOW.0 + 24 * HOUR)), "the periods touch");
    assert_eq!(shop.wallet().await, PRICE.cents() + 100);
    assert_eq!((shop.due(early).await, shop.renew(early).await), (0, None), "bought once");
    assert_eq!(shop.wallet().await, PRICE.cents() + 100);
}

#[tokio::test]
async fn a_line_that_ended_while_nobody_looked_goes_on_for_a_quarter_of_a_period_and_no_longer() {
    let shop = Shop::open(PRICE).await;
    shop.write("UPDATE subscriptions SET status = 'expired'").await;
    let late = NOW.0 + 6 * HOUR;
    assert_eq!((shop.due(late).await, shop.renew(late).await), (1, None), "on the edge nothing is bought");
    assert_eq!(shop.due(late - 1).await, 1);
    assert_eq!(shop.renew(late - 1).await, Some(UnixMillis(late - 1 + 24 * HOUR)), "from when it was bought");
}

#[tokio::test]
async fn nothing_is_bought_for_a_line_that_is_not_to_go_on_or_cannot() {
    let check = async |sql: &str, wallet: Money| {
        let shop = Shop::open(wallet).await;
        shop.write(sql).await;
        assert_eq!((shop.due(NOW.0).await, shop.renew(NOW.0).await), (0, None), "{sql} {wallet}");
        assert_eq!(shop.wallet().await, wallet.cents());
    };
    check("SELECT 1", Money::from_cents(PRICE.cents() - 1)).await;
    check("UPDATE subscriptions SET renews = 0", PRICE).await;
    check("UPDATE subscriptions SET status = 'suspended'", PRICE).await;
    check("UPDATE subscriptions SET status = 'draft', paid_until = NULL", PRICE).await;
    check("UPDATE sites SET revoked_at = 1", PRICE).await;
    check("UPDATE plans SET price_cents = price_cents + 1", PRICE).await;
    check("UPDATE plans SET validity_seconds = 86399", PRICE).await;
}

#[tokio::test]
async fn a_month_goes_on_a_day_before_its_end() {
    let shop = Shop::open(PRICE).await;
    shop.write("UPDATE plans SET validity_seconds = 2592000").await;
    assert_eq!(shop.due(NOW.0 - 24 * HOUR - 1).await, 0);
    assert_eq!(shop.due(NOW.0 - 24 * HOUR).await, 1);
    assert!(shop.renew(NOW.0 - 24 * HOUR).await.is_some());
}

/// A request on the phone of the line that lacks some of its price counts on the rest in the wallet.
#[tokio::test]
async fn money_that_somebody_is_about_to_use_otherwise_is_left_alone() {
    let intent = |state: &str, at: i64, amount: i64| {
        format!(
            "INSERT INTO payment_intents (id, subscription_id, customer_id, short_code, phone, amount_cents, \
                promised_plan_id, promised_price_cents, promised_validity_seconds, callback_token, state, requested_by, \
                created_at, updated_at) \
             SELECT 'i1', id, customer_id, '174379', '254712345678', {amount}, plan_id, 150000, 86400, \
                    '0123456789abcdef0123456789abcdef', '{state}', 'test', {at}, {at} FROM subscriptions;"
        )
    };
    let check = async |sql: String, due: usize| {
        let shop = Shop::open(PRICE).await;
        shop.write(&sql).await;
        assert_eq!((shop.due(NOW.0).await, shop.renew(NOW.0).await), (due, None), "{sql}");
        assert_eq!(shop.wallet().await, PRICE.cents());
    };
    check(intent("prompted", NOW.0 - 1_000, 50_000), 1).await;
    check(intent("paid_unreceipted", NOW.0 - 900_000, 50_000), 0).await;
    check(intent("paid_unreceipted", NOW.0 - 48 * HOUR + 1, 50_000), 0).await;
    let unclear = "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, unspent, \
                       received_at, booked_at) \
                   SELECT 'p1', 'mpesa', 'RK1', 100, '174379', id, 'unclear', 1, 1 FROM customers;";
    check(unclear.to_owned(), 0).await;
    // Its receipt has not come in two days: whoever looks for it finds the customer connected.
    let shop = Shop::open(PRICE).await;
    shop.write(&intent("paid_unreceipted", NOW.0 - 48 * HOUR, 50_000)).await;
    assert_eq!(shop.due(NOW.0).await, 1);
    assert!(shop.renew(NOW.0).await.is_some());
    assert_eq!(shop.wallet().await, 0);
}

#[tokio::test]
async fn who_asks_just_after_a_renewal_is_told_of_it() {
    let shop = Shop::open(Money::from_cents(PRICE.cents() * 2)).await;
    assert!(shop.renew(NOW.0).await.is_some());
    let mut read = shop.controller.database.read().await.unwrap();
    let line = subscriptions::get(&mut read, &shop.world.line).await.unwrap().unwrap();
    let wait = request::bought_recently(&mut read, &line, false, UnixMillis(NOW.0 + 1_000)).await.unwrap();
    assert_eq!(wait, Some(Duration::from_secs(119)));
}

#[tokio::test]
async fn somebody_can_say_that_a_line_does_not_go_on() {
    let shop = Shop::open(PRICE).await;
    let mut write = shop.controller.database.write().await.unwrap();
    let edited = editing::edit(&mut write, &shop.world.line, |line| line.renews = false, NOW).await.unwrap();
    write.commit().await.unwrap();
    let editing::Edited::Edited { what, .. } = edited else { panic!("{edited:?}") };
    assert_eq!(what, "renewal: by itself to none");
    assert_eq!((shop.due(NOW.0).await, shop.renew(NOW.0).await), (0, None));
}
