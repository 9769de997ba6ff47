//! Against a real SQLite file.

use super::*;
use crate::database::Database;
use crate::testing::TemporaryDirectory;

async fn enter(database: &Database, name: &str, phone: &str, at: i64) -> Created {
    let mut write = database.write().await.unwrap();
    let new = NewCustomer { name: name.to_owned(), phone: Msisdn::parse(phone).unwrap() };
    let created = create(&mut write, new, &IdSource::system(), UnixMillis(at)).await.unwrap();
    write.commit().await.unwrap();
    created
}

#[tokio::test]
async fn customers_get_numbers_of_their_own_and_are_found_by_what_people_type() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let Created::Created(first) = enter(&database, " Corner Shop ", "0712 345 678", 1).await else {
        panic!()
    };
    let Created::Created(second) = enter(&database, "Kiosk 100%", "0110 000 001", 2).await else { panic!() };
    assert_eq!(first.name, "Corner Shop");
    assert_ne!(first.account_number, second.account_number);

    let mut read = database.read().await.unwrap();
    assert_eq!(get(&mut read, &first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(by_account_number(&mut read, &second.account_number).await.unwrap(), Some(second.clone()));
    let mut check = async |query: &str, expected: &[&Customer]| {
        let found: Vec<_> =
            search(&mut read, query, 0).await.unwrap().into_iter().map(|row| row.customer.id).collect();
        assert_eq!(found, expected.iter().map(|customer| customer.id.clone()).collect::<Vec<_>>(), "{query}");
    };
    check("", &[&second, &first]).await;
    check("SHOP", &[&first]).await;
    check("0712", &[&first]).await;
    check("+254 110", &[&second]).await;
    check(second.account_number.as_str(), &[&second]).await;
    check("100%", &[&second]).await;
    check("%", &[&second]).await;
    check("nobody", &[]).await;
    assert_eq!(search(&mut read, "", 1).await.unwrap(), []);
}

#[tokio::test]
async fn a_customer_needs_a_name() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    for bad in ["", "  ", "a\nb", &"x".repeat(121)] {
        let created = enter(&database, bad, "0712345678", 1).await;
        assert!(matches!(created, Created::Invalid(Invalid { field: "name", .. })), "{bad}");
    }
}
