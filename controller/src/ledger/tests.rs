//! Against a real SQLite file.

use super::*;
use crate::database::Database;
use crate::testing::TemporaryDirectory;

fn payment(cause: &str, cents: i64) -> Entry {
    let accounts =
        (Account::MpesaClearing("174379".to_owned()), Account::Wallet(CustomerId::parse("c1").unwrap()));
    let cause = ("payment", cause.to_owned());
    Entry::transfer(cause, "test", "M-Pesa", accounts, Money::from_cents(cents)).unwrap()
}

#[tokio::test]
async fn a_cause_is_booked_once_and_everything_sums_to_zero() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let ids = IdSource::system();
    let mut write = database.write().await.unwrap();
    assert!(matches!(
        book(&mut write, &payment("1", 500), &ids, UnixMillis(1)).await.unwrap(),
        Booked::Booked(_)
    ));
    for again in [500, 700] {
        let booked = book(&mut write, &payment("1", again), &ids, UnixMillis(2)).await.unwrap();
        assert_eq!(booked, Booked::AlreadyBooked);
    }
    book(&mut write, &payment("2", 250), &ids, UnixMillis(3)).await.unwrap();
    let customer = CustomerId::parse("c1").unwrap();
    assert_eq!(wallet_of(&mut write, &customer).await.unwrap(), Money::from_cents(750));
    let clearing = Account::MpesaClearing("174379".to_owned());
    assert_eq!(balance_of(&mut write, &clearing).await.unwrap(), Money::from_cents(750));
    assert_eq!(trial_balance(&mut write).await.unwrap(), Money::ZERO);
    let statement = statement_of(&mut write, &customer, (1, 0)).await.unwrap();
    assert_eq!(statement.len(), 1);
    assert_eq!((statement[0].at, statement[0].amount), (UnixMillis(3), Money::from_cents(250)));
}

#[tokio::test]
async fn each_movement_of_a_wallet_is_told_with_what_was_left_also_on_later_pages() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let (ids, customer) = (IdSource::system(), CustomerId::parse("c1").unwrap());
    let mut write = database.write().await.unwrap();
    let mut booked = 0;
    for at in 1..=7 {
        // Each payment buys something in the millisecond in which it comes.
        book(&mut write, &payment(&at.to_string(), 500), &ids, UnixMillis(at)).await.unwrap();
        let accounts = (Account::Wallet(customer.clone()), Account::Revenue);
        let cause = ("period", at.to_string());
        let bought = Entry::transfer(cause, "test", "Home 10", accounts, Money::from_cents(400)).unwrap();
        book(&mut write, &bought, &ids, UnixMillis(at)).await.unwrap();
        booked += 2;
    }
    let mut seen = Vec::new();
    for behind in (0..booked).step_by(3) {
        seen.extend(statement_of(&mut write, &customer, (3, behind)).await.unwrap());
    }
    let told: Vec<(i64, i64, i64)> =
        seen.iter().map(|line| (line.at.0, line.amount.cents(), line.balance.cents())).collect();
    let expected = (1..=7).rev().flat_map(|at| [(at, -400, at * 100), (at, 500, at * 100 + 400)]);
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unbalanced_entry_leaves_nothing_behind() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let mut write = database.write().await.unwrap();
    let mut wrong = payment("1", 500);
    wrong.postings[0].amount = Money::from_cents(501);
    let refused = book(&mut write, &wrong, &IdSource::system(), UnixMillis(1)).await;
    assert!(matches!(refused, Err(LedgerError::Unbalanced(Unbalanced::Off { by: 1 }))));
    write.commit().await.unwrap();
    let mut read = database.read().await.unwrap();
    assert_eq!(trial_balance(&mut read).await.unwrap(), Money::ZERO);
    assert_eq!(wallet_of(&mut read, &CustomerId::parse("c1").unwrap()).await.unwrap(), Money::ZERO);
}

#[tokio::test]
async fn the_tables_take_nothing_that_does_not_balance_and_give_nothing_back() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let mut write = database.write().await.unwrap();
    book(&mut write, &payment("1", 500), &IdSource::system(), UnixMillis(1)).await.unwrap();
    write.commit().await.unwrap();
    let posted = |id: &str, amounts: &[i64]| -> String {
        amounts
            .iter()
            .enumerate()
            .map(|(position, amount)| {
                format!("INSERT INTO ledger_postings VALUES ('{id}', {position}, 'wallet:c1', {amount});")
            })
            .collect()
    };
    let entry = |id: &str| {
        format!(
            "INSERT INTO ledger_entries (id, booked_at, cause_kind, cause_id, actor) VALUES ('{id}', 1, 'x', '{id}', 'x');"
        )
    };
    let check = async |sql: String, is_taken: bool| {
        let mut write = database.write().await.unwrap();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut *write).await;
        let done = match done {
            Ok(_) => write.commit().await,
            Err(error) => Err(error),
        };
        assert_eq!(done.is_ok(), is_taken, "{sql}: {done:?}");
    };
    check(posted("a", &[5, -5]) + &entry("a"), true).await;
    check(posted("b", &[5, -4]) + &entry("b"), false).await;
    check(posted("b", &[5]) + &entry("b"), false).await;
    check(entry("b"), false).await;
    check(posted("b", &[5, -5]), false).await;
    check(posted("b", &[5, -5]) + &entry("b").replace("'x')", "'')"), false).await;
    // Each account of a posting is one: the table of accounts was made anew once.
    check(posted("b", &[5, -5]).replace("wallet:c1", "nowhere") + &entry("b"), false).await;
    check("INSERT INTO ledger_postings VALUES ('a', 2, 'wallet:c1', 5);".to_owned(), false).await;
    check(entry("a").replace("INSERT", "INSERT OR REPLACE").replace("'x')", "'forged')"), false).await;
    // Its cause taken over by another entry, its postings written anew, and itself once more under another cause.
    let forged = posted("z", &[5, -5])
        + &entry("z").replace("'z', 'x')", "'a', 'x')").replace("INSERT", "INSERT OR REPLACE")
        + &posted("a", &[900, -900]).replace("INSERT", "INSERT OR REPLACE")
        + &entry("a").replace("'a', 'x')", "'b', 'x')");
    check(forged, false).await;
    for change in [
        "UPDATE ledger_entries SET actor = 'forged'",
        "UPDATE ledger_postings SET amount_cents = 2 * amount_cents",
        "DELETE FROM ledger_postings",
        "DELETE FROM ledger_entries",
        "DELETE FROM ledger_postings; DELETE FROM ledger_entries",
    ] {
        check(change.to_owned(), false).await;
    }
    let mut read = database.read().await.unwrap();
    assert_eq!(trial_balance(&mut read).await.unwrap(), Money::ZERO);
    let wallet = wallet_of(&mut read, &CustomerId::parse("c1").unwrap()).await.unwrap();
    assert_eq!(wallet, Money::from_cents(500));
}
