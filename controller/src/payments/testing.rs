//! A small world for tests: a site with a router, a plan, a customer and their line.

use std::time::Duration;

use sqlx::Executor as _;
use tawi_shared::wire::Service;
use tawi_shared::{Bandwidth, UnixMillis};

use crate::customers::{self, Customer, NewCustomer, phone::Msisdn};
use crate::database::Database;
use crate::ids::{IdSource, LineId, RouterId, SiteId};
use crate::money::Money;
use crate::plans::{self, NewConnectionType, NewPlan, Plan, Profile, Restraint, Terms};
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};

/// One day costs KES 1,500.
pub(crate) const PRICE: Money = Money::from_cents(150_000);
/// The phone of the customer.
pub(crate) const PHONE: &str = "254712345678";

/// What there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) site: SiteId,
    pub(crate) router: RouterId,
    pub(crate) plan: Plan,
    pub(crate) customer: Customer,
    pub(crate) line: LineId,
}

/// What the world's plan says.
pub(crate) fn day_terms() -> Terms {
    Terms {
        price: PRICE,
        validity: Duration::from_secs(86_400),
        data_quota_bytes: None,
        suspension: Restraint::Off,
        after_quota: Restraint::Off,
        offline: None,
        description: String::new(),
    }
}

impl World {
    /// From now on the site stores nothing by itself of what it is told.
    pub(crate) async fn site_hears_nothing(&self, database: &Database) {
        let mut write = database.write().await.unwrap();
        write.execute("DROP TRIGGER site_is_there").await.unwrap();
        write.commit().await.unwrap();
    }
}

/// Enters it all, through the calls that staff's pages use. Its site has stored what was bought as soon as it is written, as
/// nobody is there who would: so that paid time begins.
pub(crate) async fn world(database: &Database) -> World {
    let ids = IdSource::system();
    let now = UnixMillis(1);
    let mut write = database.write().await.unwrap();
    write
        .execute(
            "INSERT INTO sites (id, name, created_at) VALUES ('nyeri-01', 'Nyeri', 1);
             INSERT INTO routers (id, site_id, name, created_at) VALUES ('r1', 'nyeri-01', 'core', 1);
             CREATE TRIGGER site_is_there AFTER INSERT ON quota_periods BEGIN
                 UPDATE quota_periods SET waits_for_site = NULL, waits_for_generation = NULL
                 WHERE line_id = new.line_id AND started_at = new.started_at;
             END;",
        )
        .await
        .unwrap();
    let router = RouterId::parse("r1").unwrap();
    let new = NewConnectionType {
        service: Service::Pppoe,
        profile_name: "home-10".to_owned(),
        profile: Profile {
            download: Bandwidth::from_bits_per_second(10_000_000),
            upload: Bandwidth::from_bits_per_second(5_000_000),
            ..Profile::default()
        },
    };
    let created = plans::create_connection_type(&mut write, new, &ids, now).await.unwrap();
    let plans::Created::Created(kind) = created else { panic!("{created:?}") };
    let new = NewPlan { name: "Day".to_owned(), connection_type: kind.id, terms: day_terms() };
    let created = plans::create_plan(&mut write, new, &ids, now).await.unwrap();
    let plans::Created::Created(plan) = created else { panic!("{created:?}") };
    let new = NewCustomer { name: "Corner Shop".to_owned(), phone: Msisdn::parse(PHONE).unwrap() };
    let created = customers::create(&mut write, new, &ids, now).await.unwrap();
    let customers::Created::Created(customer) = created else { panic!("{created:?}") };
    let new = NewSubscription {
        customer: customer.id.clone(),
        plan: plan.id.clone(),
        router: router.clone(),
        username: Username::parse("line-1").unwrap(),
        password: Password::parse("secret").unwrap(),
        address: None,
        caller_id: None,
    };
    let created = subscriptions::create(&mut write, new, &ids, now).await.unwrap();
    let subscriptions::Created::Created(line) = created else { panic!("{created:?}") };
    write.commit().await.unwrap();
    World { site: SiteId::parse("nyeri-01").unwrap(), router, plan, customer, line: line.id }
}
