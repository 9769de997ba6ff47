//! Against a real SQLite file, with the customer, plan and router that a subscription names.

use sqlx::Executor as _;

use super::*;
use crate::database::Database;
use crate::payments::testing::{World, world};
use crate::plans;
use crate::testing::TemporaryDirectory;

async fn stand(database: &Database, line: &LineId) -> (Status, Option<i64>) {
    let mut read = database.read().await.unwrap();
    let subscription = get(&mut read, line).await.unwrap().unwrap();
    (subscription.status, subscription.paid_until.map(|until| until.0))
}

async fn open() -> (TemporaryDirectory, Database, World) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    (directory, database, world)
}

#[tokio::test]
async fn a_new_line_is_a_draft_and_its_name_is_taken_once_on_a_router() {
    let (_directory, database, world) = open().await;
    let ids = IdSource::system();
    let new = |username: &str, customer: &str, plan: &str, router: &str| NewSubscription {
        customer: CustomerId::parse(customer).unwrap(),
        plan: PlanId::parse(plan).unwrap(),
        router: RouterId::parse(router).unwrap(),
        username: Username::parse(username).unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let (customer, plan, router) =
        (world.customer.id.as_str(), world.plan.id.as_str(), world.router.as_str());
    let mut write = database.write().await.unwrap();
    let mut check = async |new: NewSubscription, expected: Created| {
        assert_eq!(create(&mut write, new, &ids, UnixMillis(1)).await.unwrap(), expected);
    };
    check(new("line-1", customer, plan, router), Created::UsernameTaken).await;
    check(new("line-2", "nobody", plan, router), Created::NoSuchCustomer).await;
    check(new("line-2", customer, "nothing", router), Created::NoSuchPlan).await;
    check(new("line-2", customer, plan, "nowhere"), Created::NoSuchRouter).await;
    let created =
        create(&mut write, new("line-2", customer, plan, router), &ids, UnixMillis(9)).await.unwrap();
    let Created::Created(line) = created else { panic!("{created:?}") };
    assert_eq!((line.status, line.paid_until), (Status::Draft, None));
    assert_eq!((line.price, line.validity_seconds), (world.plan.terms.price, 86_400));
    let all = of_customer(&mut write, &world.customer.id).await.unwrap();
    assert_eq!(all.iter().map(|line| line.username.as_str()).collect::<Vec<_>>(), ["line-1", "line-2"]);
}

#[tokio::test]
async fn nothing_is_sold_at_a_revoked_site() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    sqlx::query("UPDATE sites SET revoked_at = 1").execute(&mut *write).await.unwrap();
    let new = NewSubscription {
        customer: world.customer.id,
        plan: world.plan.id,
        router: world.router,
        username: Username::parse("line-2").unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let created = create(&mut write, new, &IdSource::system(), UnixMillis(1)).await.unwrap();
    assert_eq!(created, Created::SiteRevoked);
}

#[tokio::test]
async fn a_held_line_comes_back_to_where_its_payments_put_it() {
    for (paid_until, now, expected) in
        [(None, 5, Status::Draft), (Some(10), 5, Status::Active), (Some(10), 10, Status::Expired)]
    {
        let (_directory, database, world) = open().await;
        let mut write = database.write().await.unwrap();
        if let Some(until) = paid_until {
            activate(&mut write, Together::default(), (&world.line, UnixMillis(until)), UnixMillis(1))
                .await
                .unwrap();
        }
        let held = hold(&mut write, &world.line, UnixMillis(2)).await.unwrap();
        assert!(matches!(held, Changed::Changed(Refreshed::Changed { .. })), "the site hears of it");
        assert_eq!(hold(&mut write, &world.line, UnixMillis(3)).await.unwrap(), Changed::AlreadySo);
        assert!(matches!(
            release(&mut write, &world.line, UnixMillis(now)).await.unwrap(),
            Changed::Changed(_)
        ));
        assert_eq!(release(&mut write, &world.line, UnixMillis(now)).await.unwrap(), Changed::AlreadySo);
        write.commit().await.unwrap();
        assert_eq!(stand(&database, &world.line).await, (expected, paid_until));
    }
    let (_directory, database, _) = open().await;
    let mut write = database.write().await.unwrap();
    let nobody = LineId::parse("nobody").unwrap();
    assert_eq!(hold(&mut write, &nobody, UnixMillis(1)).await.unwrap(), Changed::NoSuchSubscription);
    assert_eq!(release(&mut write, &nobody, UnixMillis(1)).await.unwrap(), Changed::NoSuchSubscription);
}

#[tokio::test]
async fn a_line_expires_once_and_not_before_its_instant() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    activate(&mut write, Together::default(), (&world.line, UnixMillis(10)), UnixMillis(1)).await.unwrap();
    assert_eq!(expire_due(&mut write, UnixMillis(9), 10).await.unwrap(), []);
    let expected = [Expired { line: world.line.clone(), is_trusted: false }];
    assert_eq!(expire_due(&mut write, UnixMillis(10), 10).await.unwrap(), expected);
    assert_eq!(expire_due(&mut write, UnixMillis(10), 10).await.unwrap(), []);
    write.commit().await.unwrap();
    assert_eq!(stand(&database, &world.line).await, (Status::Expired, Some(10)));
}

#[tokio::test]
async fn a_line_is_changed_with_the_checks_of_a_new_one_and_its_site_hears_of_it() {
    use super::editing::{Edited, Settings, edit};
    let (_directory, database, world) = open().await;
    let ids = IdSource::system();
    let mut write = database.write().await.unwrap();
    activate(&mut write, Together::default(), (&world.line, UnixMillis(100)), UnixMillis(1)).await.unwrap();
    let new = |username: &str, address: &str| NewSubscription {
        customer: world.customer.id.clone(),
        plan: world.plan.id.clone(),
        router: world.router.clone(),
        username: Username::parse(username).unwrap(),
        password: Password::unknown(),
        address: device::address(address).unwrap(),
        caller_id: None,
    };
    let created = create(&mut write, new("line-2", "10.0.0.2"), &ids, UnixMillis(1)).await.unwrap();
    let Created::Created(other) = created else { panic!("{created:?}") };
    let mac = device::caller_id("aa:bb:cc:dd:ee:0f").unwrap();

    let set = |settings: &mut Settings| {
        settings.address = device::address("10.0.0.9").unwrap();
        settings.caller_id = mac.clone();
        settings.password = Password::parse("hush-hush").ok();
    };
    let edited = edit(&mut write, &world.line, set, UnixMillis(2)).await.unwrap();
    let Edited::Edited { subscription, what, refreshed } = edited else { panic!("{edited:?}") };
    assert!(matches!(refreshed, Refreshed::Changed { .. }), "{refreshed:?}");
    assert_eq!(what, "own address: none to 10.0.0.9; only from: any to AA:BB:CC:DD:EE:0F; new password");
    assert_eq!((subscription.caller_id, subscription.paid_until), (mac, Some(UnixMillis(100))));
    let told = desired::store::line_at(&mut write, &world.site, &world.line).await.unwrap().unwrap();
    assert_eq!((told.address.as_str(), told.password.as_str()), ("10.0.0.9", "hush-hush"));

    let mut refused = async |change: &dyn Fn(&mut Settings)| {
        edit(&mut write, &world.line, |settings| change(settings), UnixMillis(3)).await.unwrap()
    };
    assert!(matches!(refused(&|_| {}).await, Edited::AlreadySo(_)));
    let taken = |settings: &mut Settings| settings.address = other.address;
    assert!(
        matches!(refused(&taken).await, Edited::AddressTaken(Holder { username, .. }) if username.as_str() == "line-2")
    );
    let nothing = |settings: &mut Settings| settings.plan = PlanId::parse("none").unwrap();
    assert_eq!(refused(&nothing).await, Edited::NoSuchPlan);
    let tunnel = |settings: &mut Settings| settings.caller_id = device::caller_id("41.90.1.1").unwrap();
    assert!(matches!(refused(&tunnel).await, Edited::Invalid(Invalid { field: "caller_id", .. })));
    let nobody = LineId::parse("nobody").unwrap();
    assert_eq!(edit(&mut write, &nobody, |_| {}, UnixMillis(3)).await.unwrap(), Edited::NoSuchSubscription);
}

/// A plan of a service on which nobody logs in.
async fn unattended(write: &mut Connection, service: Service, name: &str) -> PlanId {
    let ids = IdSource::system();
    let profile = plans::Profile {
        download: tawi_shared::Bandwidth::from_bits_per_second(10_000_000),
        upload: tawi_shared::Bandwidth::from_bits_per_second(5_000_000),
        ..plans::Profile::default()
    };
    let new = plans::NewConnectionType { service, profile_name: name.to_owned(), profile };
    let created = plans::create_connection_type(write, new, &ids, UnixMillis(1)).await.unwrap();
    let plans::Created::Created(kind) = created else { panic!("{created:?}") };
    let terms = crate::payments::testing::day_terms();
    let new = plans::NewPlan { name: name.to_owned(), connection_type: kind.id, terms };
    let created = plans::create_plan(write, new, &ids, UnixMillis(1)).await.unwrap();
    let plans::Created::Created(plan) = created else { panic!("{created:?}") };
    plan.id
}

#[tokio::test]
async fn two_lines_of_a_router_are_never_the_same_device() {
    use super::editing::{Edited, Settings, edit};
    let (_directory, database, world) = open().await;
    let ids = IdSource::system();
    let mut write = database.write().await.unwrap();
    write
        .execute("INSERT INTO routers (id, site_id, name, created_at) VALUES ('r2', 'nyeri-01', 'edge', 1)")
        .await
        .unwrap();
    let plan = unattended(&mut write, Service::HotspotDevice, "devices").await;
    let new = |username: &str, router: &str, plan: &PlanId, address: &str, mac: &str| NewSubscription {
        customer: world.customer.id.clone(),
        plan: plan.clone(),
        router: RouterId::parse(router).unwrap(),
        username: Username::parse(username).unwrap(),
        password: Password::parse("secret").unwrap(),
        address: device::address(address).unwrap(),
        caller_id: device::caller_id(mac).unwrap(),
    };
    let (own, other) = ("aa:bb:cc:dd:ee:01", "aa:bb:cc:dd:ee:02");
    let mut enter = async |new| create(&mut write, new, &ids, UnixMillis(1)).await.unwrap();
    assert!(matches!(enter(new("tv-1", "r1", &plan, "10.0.0.1", own)).await, Created::Created(_)));
    let again = enter(new("tv-2", "r1", &plan, "10.0.0.2", "AABB.CCDD.EE01")).await;
    let Created::DeviceTaken(holder) = again else { panic!("{again:?}") };
    assert_eq!(holder.to_string(), "the line tv-1 of Corner Shop");
    let elsewhere = enter(new("tv-2", "r2", &plan, "10.0.0.1", own)).await;
    assert!(matches!(elsewhere, Created::Created(_)), "behind another router it is another line");
    let login = enter(new("phone", "r1", &world.plan.id, "", own)).await;
    let Created::Created(login) = login else { panic!("a device may log in on lines of its own: {login:?}") };
    let Created::Created(third) = enter(new("tv-3", "r1", &plan, "10.0.0.3", other)).await else { panic!() };

    let mut change = async |line: &LineId, set: &dyn Fn(&mut Settings)| {
        edit(&mut write, line, |settings| set(settings), UnixMillis(2)).await.unwrap()
    };
    let same = |settings: &mut Settings| settings.caller_id = device::caller_id(own).unwrap();
    assert!(
        matches!(change(&third.id, &same).await, Edited::DeviceTaken(holder) if holder.username.as_str() == "tv-1")
    );
    let moved = |settings: &mut Settings| {
        settings.plan = plan.clone();
        settings.address = device::address("10.0.0.4").unwrap();
    };
    assert!(
        matches!(change(&login.id, &moved).await, Edited::DeviceTaken(_)),
        "another plan makes it the device"
    );
    let free = |settings: &mut Settings| settings.caller_id = device::caller_id("aa:bb:cc:dd:ee:03").unwrap();
    assert!(matches!(change(&third.id, &free).await, Edited::Edited { .. }));
    let left = |settings: &mut Settings| settings.caller_id = device::caller_id(other).unwrap();
    assert!(matches!(change(&login.id, &left).await, Edited::Edited { .. }));
    assert!(
        matches!(change(&login.id, &moved).await, Edited::Edited { .. }),
        "what the third gave up is free"
    );
    // What no look before can see, the constraint refuses.
    let twice = "UPDATE subscriptions SET device_mac = 'AA:BB:CC:DD:EE:01' WHERE username = 'tv-3'";
    assert!(write.execute(twice).await.is_err());
}

#[tokio::test]
async fn a_line_takes_a_row_only_on_a_plan_of_the_rows_service() {
    use super::editing::{AsRow, TookRow, take_row};

    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    write
        .execute(
            "INSERT INTO connection_types (id, service_name, family, profile_name, download_bits_per_second,
                                           upload_bits_per_second, created_at)
                 VALUES ('spot', 'hotspot', 'hotspot', 'spot', 1, 1, 1);
             INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at)
                 VALUES ('hour', 'Hour', 'spot', 1, 1, 1);",
        )
        .await
        .unwrap();
    let row = |service, plan: &str| AsRow {
        username: Username::parse("plot17").unwrap(),
        service,
        plan: PlanId::parse(plan).unwrap(),
        address: None,
        caller_id: None,
    };
    let day = world.plan.id.as_str();
    for (service, plan) in [(Service::Hotspot, day), (Service::Pppoe, "hour")] {
        let refused = take_row(&mut write, &world.line, row(service, plan)).await.unwrap();
        assert_eq!(refused, TookRow::AnotherService, "{service:?} {plan}");
    }
    let refused = take_row(&mut write, &world.line, row(Service::Pppoe, "none")).await.unwrap();
    assert_eq!(refused, TookRow::NoSuchPlan);
    let took = take_row(&mut write, &world.line, row(Service::Hotspot, "hour")).await.unwrap();
    let TookRow::Took(line) = took else { panic!("{took:?}") };
    assert_eq!(
        (line.plan.as_str(), line.username.as_str(), line.service),
        ("hour", "plot17", Service::Hotspot)
    );
}
