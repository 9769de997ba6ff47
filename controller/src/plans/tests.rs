//! Against a real SQLite file.

use super::*;
use crate::database::Database;
use crate::testing::TemporaryDirectory;

fn mbit(mbit: u64) -> Bandwidth {
    Bandwidth::from_bits_per_second(mbit * 1_000_000)
}

fn home() -> NewConnectionType {
    NewConnectionType {
        service: Service::Pppoe,
        profile_name: "home-10".to_owned(),
        download: mbit(10),
        upload: mbit(5),
        download_burst: mbit(20),
        upload_burst: Bandwidth::UNLIMITED,
    }
}

fn month(connection_type: ConnectionTypeId) -> NewPlan {
    NewPlan {
        name: "Home 10".to_owned(),
        connection_type,
        price: Money::from_cents(150_000),
        validity: Duration::from_secs(30 * 86_400),
        data_quota_bytes: Some(50_000_000_000),
        description: String::new(),
    }
}

#[tokio::test]
async fn a_plan_comes_back_as_it_was_entered_and_its_name_is_taken_once() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let ids = IdSource::system();
    let now = UnixMillis(1);
    let mut write = database.write().await.unwrap();
    let Created::Created(kind) = create_connection_type(&mut write, home(), &ids, now).await.unwrap() else {
        panic!("refused")
    };
    assert_eq!(create_connection_type(&mut write, home(), &ids, now).await.unwrap(), Created::NameTaken);
    let Created::Created(plan) = create_plan(&mut write, month(kind.id.clone()), &ids, now).await.unwrap()
    else {
        panic!("refused")
    };
    assert_eq!(create_plan(&mut write, month(kind.id.clone()), &ids, now).await.unwrap(), Created::NameTaken);
    let nowhere = ConnectionTypeId::parse("nowhere").unwrap();
    assert_eq!(
        create_plan(&mut write, month(nowhere), &ids, now).await.unwrap(),
        Created::NoSuchConnectionType
    );
    assert_eq!(list_connection_types(&mut write).await.unwrap(), vec![kind.clone()]);
    assert_eq!(list_plans(&mut write).await.unwrap(), vec![plan.clone()]);
    assert_eq!(get_plan(&mut write, &plan.id).await.unwrap(), Some(plan.clone()));
    assert_eq!(find_plan(&mut write, " Home 10 ").await.unwrap(), Some(plan));
    let found = find_connection_type(&mut write, Service::Pppoe, "home-10").await.unwrap();
    assert_eq!(found, Some(kind.clone()));
    assert_eq!(find_connection_type(&mut write, Service::Hotspot, "home-10").await.unwrap(), None);
    assert_eq!(get_connection_type(&mut write, &kind.id).await.unwrap(), Some(kind));
}

#[test]
fn what_routers_or_people_would_stumble_over_is_refused() {
    let refused = |change: fn(&mut NewConnectionType)| {
        let mut new = home();
        change(&mut new);
        check_connection_type(&new).map_err(|invalid| invalid.field)
    };
    assert_eq!(refused(|_| ()), Ok(()));
    assert_eq!(refused(|new| new.profile_name = String::new()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "home 10".to_owned()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "é".to_owned()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "x".repeat(65)), Err("profile_name"));
    assert_eq!(refused(|new| new.download_burst = mbit(9)), Err("burst"));
    assert_eq!(refused(|new| new.upload = Bandwidth::UNLIMITED), Err("download"));

    let refused = |change: fn(&mut NewPlan)| {
        let mut new = month(ConnectionTypeId::parse("t").unwrap());
        change(&mut new);
        check_plan(&new).map_err(|invalid| invalid.field)
    };
    assert_eq!(refused(|_| ()), Ok(()));
    assert_eq!(refused(|new| new.name = " ".to_owned()), Err("name"));
    assert_eq!(refused(|new| new.price = Money::ZERO), Err("price"));
    assert_eq!(refused(|new| new.price = Money::from_cents(25_000_001)), Err("price"));
    assert_eq!(refused(|new| new.validity = Duration::ZERO), Err("validity"));
    assert_eq!(refused(|new| new.validity = Duration::MAX), Err("validity"));
    assert_eq!(refused(|new| new.data_quota_bytes = Some(0)), Err("quota"));
    assert_eq!(refused(|new| new.description = "x".repeat(501)), Err("description"));
}
