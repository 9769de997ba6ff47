//! A payment is found by whatever somebody has in hand, and every field narrows.

use sqlx::Executor as _;

use super::*;
use crate::database::Database;
use crate::payments::find;
use crate::payments::testing::world;
use crate::testing::TemporaryDirectory;

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_text_is_looked_up_as_everything_that_it_may_be() {
    let check = |typed: &str, receipt: &str, account: &str, serial: Option<i64>| {
        let expected = Text { receipt: receipt.to_owned(), account: account.to_owned(), serial };
        assert_eq!(text(typed), Some(expected), "{typed}");
    };
    check(" rkl51zdr4f ", "RKL51ZDR4F", "", None);
    check("ft-2026/09", "FT202609", "", None);
    check("#12", "12", "", Some(12));
    check("99999999999999999999", "99999999999999999999", "", None);
    assert_eq!(text("  "), None);
}

#[test]
fn what_cannot_be_read_is_named() {
    let check = |asked: Asked, field: &str| assert_eq!(asked.read().unwrap_err().field, field);
    check(Asked { from: "yesterday".into(), ..Asked::default() }, "from");
    check(Asked { until: "2026-13-01".into(), ..Asked::default() }, "until");
    check(Asked { provider: "cheque".into(), ..Asked::default() }, "provider");
    check(Asked { standing: "lost".into(), ..Asked::default() }, "standing");
    check(Asked { before: "x".into(), ..Asked::default() }, "before");
    assert_eq!(Asked::default().read(), Ok(Search::default()));
}

/// Six payments, one a day: on the router, waiting for it, too little, nobody's, cash for the wallet, and a transfer.
async fn shop() -> (TemporaryDirectory, Database, String) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    let (customer, line, site) = (&world.customer.id, &world.line, &world.site);
    let payment = |number: i64, provider: &str, rest: &str| {
        let at = DAY_MS * number;
        format!(
            "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, received_at, booked_at, \
                                   customer_id, subscription_id, unspent) \
             VALUES ('p{number}', '{provider}', 'RK{number}', 100, '', {at}, {at}, {rest}); \
             INSERT INTO receipts VALUES ({number}, 'p{number}', {at});"
        )
    };
    let trace = |number: i64, verified: &str| {
        format!(
            "INSERT INTO payment_traces (payment_id, subscription_id, site_id, generation, callback_received_at, \
                                         booked_at, verified_at) \
             VALUES ('p{number}', '{line}', '{site}', 1, 1, 1, {verified});"
        )
    };
    let sql = [
        payment(1, "mpesa", &format!("'{customer}', '{line}', ''")),
        trace(1, "2"),
        payment(2, "mpesa", &format!("'{customer}', '{line}', ''")),
        trace(2, "NULL"),
        payment(3, "mpesa", &format!("'{customer}', '{line}', 'too_little'")),
        payment(4, "mpesa", "NULL, NULL, ''"),
        payment(5, "cash", &format!("'{customer}', NULL, ''")),
        payment(6, "bank", &format!("'{customer}', '{line}', ''")),
    ]
    .concat();
    let mut write = database.write().await.unwrap();
    write.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    write.commit().await.unwrap();
    (directory, database, world.customer.account_number.to_string())
}

async fn found(database: &Database, asked: Asked) -> Vec<i64> {
    let mut read = database.read().await.unwrap();
    let rows = find(&mut read, &asked.read().unwrap(), 10).await.unwrap();
    rows.iter().map(|row| row.payment.serial).collect()
}

#[tokio::test]
async fn every_field_narrows_and_the_newest_come_first() {
    let (_directory, database, account) = shop().await;
    let check = async |asked: Asked, expected: &[i64]| {
        assert_eq!(found(&database, asked.clone()).await, expected, "{asked:?}");
    };
    check(Asked::default(), &[6, 5, 4, 3, 2, 1]).await;
    let text = |text: &str| Asked { text: text.to_owned(), ..Asked::default() };
    check(text("rk-4"), &[4]).await;
    check(text("#3"), &[3]).await;
    check(text(&account), &[6, 5, 3, 2, 1]).await;
    check(text("nothing"), &[]).await;
    let provider = |provider: &str| Asked { provider: provider.to_owned(), ..Asked::default() };
    check(provider("cash"), &[5]).await;
    check(provider("bank"), &[6]).await;
    let standing = |standing: &str| Asked { standing: standing.to_owned(), ..Asked::default() };
    check(standing("connected"), &[1]).await;
    check(standing("waiting"), &[2]).await;
    check(standing("wallet"), &[5, 3]).await;
    check(standing("nobodys"), &[4]).await;
    // Nairobi's days: the third payment came at three in the morning of the fourth of January.
    let days = Asked { from: "1970-01-04".into(), until: "1970-01-05".into(), ..Asked::default() };
    check(days, &[4, 3]).await;
    check(Asked { provider: "mpesa".into(), ..standing("wallet") }, &[3]).await;
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended() {
    let (_directory, database, _) = shop().await;
    let mut asked = Asked::default();
    let mut seen = Vec::new();
    loop {
        let mut read = database.read().await.unwrap();
        let rows = find(&mut read, &asked.read().unwrap(), 4).await.unwrap();
        let Some(last) = rows.last() else { break };
        asked.before = place_of(last);
        seen.extend(rows.iter().map(|row| row.payment.serial));
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
}
