//! Against a real SQLite file.

use sqlx::Executor as _;

use super::*;
use crate::database::{Database, Together, Transaction};
use crate::desired::{Swept, refresh_some, store};
use crate::ids::{LineId, SiteId};
use crate::payments::testing::{World, day_terms, world};
use crate::subscriptions;
use crate::testing::TemporaryDirectory;

pub(super) fn mbit(mbit: u64) -> Bandwidth {
    Bandwidth::from_bits_per_second(mbit * 1_000_000)
}

fn home() -> NewConnectionType {
    NewConnectionType {
        service: Service::Pppoe,
        profile_name: "home-10".to_owned(),
        profile: Profile {
            download: mbit(10),
            upload: mbit(5),
            download_burst: mbit(20),
            download_threshold: mbit(8),
            burst_seconds: 16,
            priority: 3,
            shared_users: 2,
            pool: "homes".to_owned(),
            local_address: "10.0.0.1".to_owned(),
            ..Profile::default()
        },
    }
}

fn terms() -> Terms {
    Terms {
        data_quota_bytes: Some(50_000_000_000),
        suspension: Restraint::Walled,
        after_quota: Restraint::Throttled { download: mbit(1), upload: mbit(1) },
        offline: Some(OfflineRule { after_hours: 72, then: Restraint::Off }),
        ..day_terms()
    }
}

fn month(connection_type: ConnectionTypeId) -> NewPlan {
    NewPlan { name: "Home 10".to_owned(), connection_type, terms: terms() }
}

/// A plan without restraints, on a type with a burst.
pub(super) fn home_plan() -> Plan {
    let new = home();
    Plan {
        id: PlanId::parse("p").unwrap(),
        name: "Home".to_owned(),
        connection_type: ConnectionType {
            id: ConnectionTypeId::parse("t").unwrap(),
            service: new.service,
            profile_name: new.profile_name,
            profile: new.profile,
            created_at: UnixMillis(1),
        },
        terms: day_terms(),
        created_at: UnixMillis(1),
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
    for (service, is_taken) in [(Service::Pppoe, true), (Service::L2tp, true), (Service::Hotspot, false)] {
        let mut profile = home().profile;
        profile.local_address = String::new();
        let created =
            create_connection_type(&mut write, NewConnectionType { service, profile, ..home() }, &ids, now);
        assert_eq!(created.await.unwrap() == Created::NameTaken, is_taken, "{service:?}");
    }
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
    assert_eq!(list_connection_types(&mut write).await.unwrap().len(), 2);
    assert_eq!(list_plans(&mut write).await.unwrap(), vec![plan.clone()]);
    assert_eq!(get_plan(&mut write, &plan.id).await.unwrap(), Some(plan.clone()));
    assert_eq!(find_plan(&mut write, " Home 10 ").await.unwrap(), Some(plan));
    let found = find_connection_type(&mut write, Family::Ppp, "home-10").await.unwrap();
    assert_eq!(found, Some(kind.clone()));
    assert_eq!(find_connection_type(&mut write, Family::Static, "home-10").await.unwrap(), None);
    assert_eq!(get_connection_type(&mut write, &kind.id).await.unwrap(), Some(kind));
}

#[test]
fn what_routers_would_stumble_over_is_refused() {
    let refused = |change: fn(&mut NewConnectionType)| {
        let mut new = home();
        change(&mut new);
        check::connection_type(&new).map_err(|invalid| invalid.field)
    };
    assert_eq!(refused(|_| ()), Ok(()));
    assert_eq!(refused(|new| new.profile_name = String::new()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "home 10".to_owned()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "é".to_owned()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "x".repeat(65)), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "home-walled".to_owned()), Err("profile_name"));
    assert_eq!(refused(|new| new.profile_name = "home-slow-1".to_owned()), Err("profile_name"));
    for name in ["*1", "default", "default-encryption"] {
        let new = NewConnectionType { profile_name: name.to_owned(), ..home() };
        assert_eq!(
            check::connection_type(&new).map_err(|invalid| invalid.field),
            Err("profile_name"),
            "{name}"
        );
    }
    assert_eq!(refused(|new| new.profile_name = "default-10".to_owned()), Ok(()));
    assert_eq!(refused(|new| new.profile.pool = "none".to_owned()), Err("pool"));
    assert_eq!(refused(|new| new.profile.pool = "*2".to_owned()), Err("pool"));
    assert_eq!(refused(|new| new.profile.download_burst = mbit(9)), Err("download_burst"));
    assert_eq!(refused(|new| new.profile.upload = Bandwidth::UNLIMITED), Err("download"));
    assert_eq!(refused(|new| new.profile.download_threshold = mbit(21)), Err("download_threshold"));
    assert_eq!(refused(|new| new.profile.upload_threshold = mbit(1)), Err("upload_threshold"));
    assert_eq!(refused(|new| new.profile.burst_seconds = 3_601), Err("burst_seconds"));
    assert_eq!(refused(|new| new.profile.priority = 9), Err("priority"));
    assert_eq!(refused(|new| new.profile.shared_users = 10_001), Err("shared_users"));
    assert_eq!(refused(|new| new.profile.pool = "two words".to_owned()), Err("pool"));
    assert_eq!(refused(|new| new.service = Service::Static), Err("shared_users"));
    let fixed = |new: &mut NewConnectionType| (new.service, new.profile.shared_users) = (Service::Static, 0);
    assert_eq!(refused(fixed), Err("pool"));
    assert_eq!(refused(|new| new.service = Service::Hotspot), Err("local_address"));
    assert_eq!(refused(|new| new.profile.local_address = "10.0.0".to_owned()), Err("local_address"));
}

#[test]
fn what_customers_or_sites_would_stumble_over_is_refused() {
    let kind = home_plan().connection_type;
    let refused = |change: fn(&mut Terms)| {
        let mut new = terms();
        change(&mut new);
        check::terms(&kind, &new).map_err(|invalid| invalid.field)
    };
    assert_eq!(refused(|_| ()), Ok(()));
    assert_eq!(check::plan_name(" ").map_err(|invalid| invalid.field), Err("name"));
    assert_eq!(refused(|new| new.price = Money::ZERO), Err("price"));
    assert_eq!(refused(|new| new.price = Money::from_cents(25_000_001)), Err("price"));
    assert_eq!(refused(|new| new.validity = Duration::ZERO), Err("validity"));
    assert_eq!(refused(|new| new.validity = Duration::MAX), Err("validity"));
    assert_eq!(refused(|new| new.data_quota_bytes = Some(0)), Err("quota"));
    assert_eq!(refused(|new| new.description = "x".repeat(501)), Err("description"));
    let refused = |suspension, after_quota, offline| {
        let new = Terms { suspension, after_quota, offline, ..terms() };
        check::terms(&kind, &new).map_err(|invalid| invalid.field)
    };
    let slow = |download, upload| Restraint::Throttled { download: mbit(download), upload: mbit(upload) };
    let rule = |after_hours, then| Some(OfflineRule { after_hours, then });
    let off = Restraint::Off;
    assert_eq!(refused(slow(10, 5), slow(10, 5), rule(1, slow(1, 1))), Ok(()));
    assert_eq!(refused(slow(11, 1), off, None), Err("suspension"));
    assert_eq!(refused(off, slow(1, 6), None), Err("after_quota"));
    assert_eq!(refused(off, slow(1, 0), None), Err("after_quota"));
    for (after_quota, expected) in
        [(slow(1, 1), Err("after_quota")), (Restraint::Walled, Err("after_quota")), (off, Ok(()))]
    {
        let new = Terms { data_quota_bytes: None, after_quota, ..terms() };
        assert_eq!(check::terms(&kind, &new).map_err(|invalid| invalid.field), expected, "{after_quota:?}");
    }
    assert_eq!(refused(off, off, rule(0, off)), Err("offline_hours"));
    assert_eq!(refused(off, off, rule(1, Restraint::Walled)), Err("offline"));
    assert_eq!(refused(off, off, rule(1, slow(0, 1))), Err("offline"));
}

/// The site's generation; its running hash is that of the whole.
async fn site_state(write: &mut Transaction) -> u64 {
    let site = SiteId::parse("nyeri-01").unwrap();
    let state = store::state_of(write, &site).await.unwrap().unwrap();
    let parts = desired::snapshot(write, &site).await.unwrap();
    let lines = parts.iter().flat_map(|part| &part.lines);
    let profiles = parts.iter().flat_map(|part| &part.profiles);
    assert_eq!(tawi_shared::state_hash::StateHash::of(lines, profiles), state.hash);
    state.generation
}

async fn profile_names(write: &mut Transaction) -> Vec<String> {
    let site = SiteId::parse("nyeri-01").unwrap();
    let parts = desired::snapshot(write, &site).await.unwrap();
    let mut names: Vec<String> =
        parts.into_iter().flat_map(|part| part.profiles).map(|profile| profile.name).collect();
    names.sort();
    names
}

/// The world's line is paid for, and its site told.
async fn opened() -> (TemporaryDirectory, Transaction, World) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    let mut write = database.write().await.unwrap();
    let paid = (&world.line, UnixMillis(1_000));
    subscriptions::activate(&mut write, Together::default(), paid, UnixMillis(1)).await.unwrap();
    (directory, write, world)
}

#[tokio::test]
async fn a_new_speed_is_one_generation_a_site_however_many_lines_have_it() {
    let (_directory, mut write, world) = opened().await;
    let more = "WITH RECURSIVE counted (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM counted WHERE n < 40)
        INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at, paid_until)
        SELECT 'l' || n, customer_id, plan_id, router_id, 'u' || n, 'x', 'active', 1, 1000
        FROM subscriptions, counted";
    write.execute(more).await.unwrap();
    for number in 2..=40 {
        let line = LineId::parse(&format!("l{number}")).unwrap();
        desired::refresh_line(&mut write, &line, UnixMillis(1)).await.unwrap();
    }
    let before = site_state(&mut write).await;
    let id = world.plan.connection_type.id.clone();
    let faster = Profile { download: mbit(30), upload: mbit(30), ..Profile::default() };
    for _ in 0..2 {
        let changed = change_connection_type(&mut write, &id, faster.clone(), UnixMillis(2)).await.unwrap();
        assert!(matches!(changed, Changed::Changed(kind) if kind.profile == faster));
        assert_eq!(site_state(&mut write).await, before + 1, "twice is once");
    }
    let site = SiteId::parse("nyeri-01").unwrap();
    let desired::Delta::Fits(delta) = desired::delta(&mut write, &site, before).await.unwrap() else {
        panic!("too large")
    };
    assert_eq!((delta.lines.len(), delta.profiles.len()), (0, 1));
    assert_eq!(delta.profiles[0].download_bits_per_second, 30_000_000);
    let nobody = ConnectionTypeId::parse("nobody").unwrap();
    let changed = change_connection_type(&mut write, &nobody, faster, UnixMillis(2)).await.unwrap();
    assert_eq!(changed, Changed::NoSuchOne);
}

#[tokio::test]
async fn a_plan_that_changes_reaches_its_lines_in_portions_and_leaves_no_profile_behind() {
    let (_directory, mut write, world) = opened().await;
    let more = "INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at,
                                           paid_until)
        SELECT 'zz', customer_id, plan_id, router_id, 'second', 'x', 'active', 1, 1000 FROM subscriptions";
    write.execute(more).await.unwrap();
    let slow = |rate| Restraint::Throttled { download: mbit(rate), upload: mbit(rate) };
    let change = async |write: &mut Transaction, after_quota, suspension| {
        let terms = Terms { data_quota_bytes: Some(1), after_quota, suspension, ..day_terms() };
        let changed = change_plan(write, &world.plan.id, terms, UnixMillis(3)).await.unwrap();
        assert!(matches!(changed, Changed::Changed(_)), "{changed:?}");
        let mut portions = 0;
        while refresh_some(write, UnixMillis(4), 1).await.unwrap() != Swept::Nothing {
            portions += 1;
        }
        portions
    };
    assert_eq!(change(&mut write, slow(2), Restraint::Walled).await, 3, "two lines, and the end");
    assert_eq!(profile_names(&mut write).await, ["home-10", "home-10-slow-2M-2M", "home-10-walled"]);
    let site = SiteId::parse("nyeri-01").unwrap();
    for line in [world.line.as_str(), "zz"] {
        let told = store::line_at(&mut write, &site, &LineId::parse(line).unwrap()).await.unwrap().unwrap();
        assert_eq!(
            (told.suspension.profile.as_str(), told.after_quota.profile.as_str()),
            ("home-10-walled", "home-10-slow-2M-2M")
        );
    }
    let generation = site_state(&mut write).await;
    assert_eq!(change(&mut write, slow(2), Restraint::Walled).await, 0, "nothing is to be told");
    assert_eq!(site_state(&mut write).await, generation);
    assert_eq!(change(&mut write, slow(1), Restraint::Off).await, 3);
    assert_eq!(profile_names(&mut write).await, ["home-10", "home-10-slow-1M-1M"]);
    site_state(&mut write).await;
}

#[tokio::test]
async fn a_price_is_that_of_the_next_period_and_tells_no_site() {
    let (_directory, mut write, world) = opened().await;
    let before = site_state(&mut write).await;
    let dearer = Terms { price: Money::from_cents(200_000), ..day_terms() };
    let changed = change_plan(&mut write, &world.plan.id, dearer.clone(), UnixMillis(3)).await.unwrap();
    assert!(matches!(changed, Changed::Changed(plan) if plan.terms == dearer));
    assert_eq!(refresh_some(&mut write, UnixMillis(4), 9).await.unwrap(), Swept::Nothing);
    assert_eq!(site_state(&mut write).await, before);
    let line = subscriptions::get(&mut write, &world.line).await.unwrap().unwrap();
    assert_eq!((line.price, line.paid_until), (dearer.price, Some(UnixMillis(1_000))));
    let free = Terms { price: Money::ZERO, ..day_terms() };
    assert!(matches!(
        change_plan(&mut write, &world.plan.id, free, UnixMillis(3)).await.unwrap(),
        Changed::Invalid(Invalid { field: "price", .. })
    ));
}

#[tokio::test]
async fn a_line_that_was_never_paid_for_is_told_to_its_site_where_its_plan_shows_the_pay_page() {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    let mut write = database.write().await.unwrap();
    assert_eq!(site_state(&mut write).await, 0);
    let walled = Terms { suspension: Restraint::Walled, ..day_terms() };
    change_plan(&mut write, &world.plan.id, walled, UnixMillis(3)).await.unwrap();
    refresh_some(&mut write, UnixMillis(4), 9).await.unwrap();
    let site = SiteId::parse("nyeri-01").unwrap();
    let told = store::line_at(&mut write, &site, &world.line).await.unwrap().unwrap();
    assert_eq!(told.access, tawi_shared::wire::Access::Suspended.code());
    assert_eq!(site_state(&mut write).await, 1);
}

#[tokio::test]
async fn a_connection_type_is_not_made_slower_than_what_a_plan_slows_its_lines_to() {
    let (_directory, mut write, world) = opened().await;
    let slow = Restraint::Throttled { download: mbit(4), upload: mbit(2) };
    let terms = Terms { data_quota_bytes: Some(1), after_quota: slow, ..day_terms() };
    change_plan(&mut write, &world.plan.id, terms, UnixMillis(3)).await.unwrap();
    let kind = &world.plan.connection_type;
    let mut set = async |download, upload| {
        let profile = Profile { download: mbit(download), upload: mbit(upload), ..Profile::default() };
        change_connection_type(&mut write, &kind.id, profile, UnixMillis(3)).await.unwrap()
    };
    assert_eq!(set(3, 2).await, Changed::AgainstPlan("Day".to_owned()));
    assert!(matches!(set(4, 2).await, Changed::Changed(_)));
}

/// Another connection type with a plan; its id.
async fn another_plan(write: &mut Transaction) -> PlanId {
    let ids = IdSource::system();
    let kind = NewConnectionType { profile_name: "other".to_owned(), ..home() };
    let Created::Created(kind) = create_connection_type(write, kind, &ids, UnixMillis(1)).await.unwrap()
    else {
        panic!("refused")
    };
    let new = NewPlan { name: "Other".to_owned(), connection_type: kind.id, terms: day_terms() };
    let Created::Created(plan) = create_plan(write, new, &ids, UnixMillis(1)).await.unwrap() else {
        panic!("refused")
    };
    plan.id
}

#[tokio::test]
async fn a_plan_of_another_connection_type_that_waits_keeps_no_profile_that_nobody_needs() {
    let (_directory, mut write, world) = opened().await;
    let other = another_plan(&mut write).await;
    let walled = Terms { suspension: Restraint::Walled, ..day_terms() };
    change_plan(&mut write, &world.plan.id, walled.clone(), UnixMillis(3)).await.unwrap();
    while refresh_some(&mut write, UnixMillis(4), 9).await.unwrap() != Swept::Nothing {}
    assert_eq!(profile_names(&mut write).await, ["home-10", "home-10-walled"]);
    change_plan(&mut write, &world.plan.id, day_terms(), UnixMillis(5)).await.unwrap();
    change_plan(&mut write, &other, walled, UnixMillis(6)).await.unwrap();
    while refresh_some(&mut write, UnixMillis(7), 9).await.unwrap() != Swept::Nothing {}
    assert_eq!(profile_names(&mut write).await, ["home-10"]);
}

#[tokio::test]
async fn a_line_that_nobody_can_read_keeps_the_news_from_no_other() {
    let (_directory, mut write, world) = opened().await;
    let more = "INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at,
                                           paid_until)
        SELECT 'zz', customer_id, plan_id, router_id, 'second', 'x', 'active', 1, 1000 FROM subscriptions;
        UPDATE desired_lines SET line = '{'";
    write.execute(sqlx::raw_sql(more)).await.unwrap();
    let walled = Terms { suspension: Restraint::Walled, ..day_terms() };
    change_plan(&mut write, &world.plan.id, walled, UnixMillis(3)).await.unwrap();
    while refresh_some(&mut write, UnixMillis(4), 9).await.unwrap() != Swept::Nothing {}
    let site = SiteId::parse("nyeri-01").unwrap();
    let told = store_line(&mut write, &site, "zz").await;
    assert_eq!(told.suspension.profile, "home-10-walled");
}

async fn store_line(write: &mut Transaction, site: &SiteId, line: &str) -> tawi_shared::wire::LineV1 {
    store::line_at(write, site, &LineId::parse(line).unwrap()).await.unwrap().unwrap()
}
