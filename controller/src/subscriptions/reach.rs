//! How many lines an act would touch, said before it is done: those of a router, a plan or a connection type.
//!
//! It counts and says; whether an act may be done, and what it does, is for its own page.

use std::fmt;

use super::store;
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, PlanId, RouterId};
use crate::web::display::counted;

/// Whose lines are counted.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those on a router.
    Router(&'a RouterId),
    /// Those of a plan.
    Plan(&'a PlanId),
    /// Those of all plans on a connection type.
    ConnectionType(&'a ConnectionTypeId),
}

/// What an act would touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Lines, paid or not.
    pub lines: u64,
    /// Lines with a session, as last heard.
    pub online: u64,
    /// Whose they are.
    pub customers: u64,
    /// Sites on whose routers they are.
    pub sites: u64,
}

impl fmt::Display for Reach {
    /// `13 lines of 12 customers at 2 sites, 11 of them online now`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines == 0 {
            return f.write_str("no line");
        }
        let (lines, customers) = (counted(self.lines, "line"), counted(self.customers, "customer"));
        let sites = counted(self.sites, "site");
        write!(f, "{lines} of {customers} at {sites}, {} of them online now", self.online)
    }
}

/// Counts them.
///
/// # Errors
/// When the database refuses.
pub async fn reach(connection: &mut Connection, of: Of<'_>) -> Result<Reach, sqlx::Error> {
    store::reach(connection, of).await
}

#[cfg(test)]
mod tests {
    use sqlx::Executor as _;

    use super::*;
    use crate::database::{Database, Transaction};
    use crate::payments::testing::world;
    use crate::testing::TemporaryDirectory;

    #[test]
    fn what_is_touched_is_said_in_the_number_that_it_has() {
        let check = |lines, online, customers, sites, text: &str| {
            assert_eq!(Reach { lines, online, customers, sites }.to_string(), text);
        };
        check(0, 0, 0, 0, "no line");
        check(1, 1, 1, 1, "1 line of 1 customer at 1 site, 1 of them online now");
        check(13, 11, 12, 2, "13 lines of 12 customers at 2 sites, 11 of them online now");
    }

    #[tokio::test]
    async fn lines_are_counted_by_router_plan_and_connection_type() {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let mut write = database.write().await.unwrap();
        let (day, home) = (&world.plan.id, &world.plan.connection_type.id);
        // Beside the first line, which was never paid: one of the same customer on another plan; one of another customer at
        // another site; one of theirs on another connection type; and one that is held.
        write
            .execute(
                "INSERT INTO sites (id, name, created_at) VALUES ('thika-01', 'Thika', 1);
                 INSERT INTO routers (id, site_id, name, created_at) VALUES
                     ('r2', 'thika-01', 'core', 1), ('r3', 'nyeri-01', 'attic', 1), ('r4', 'nyeri-01', 'spare', 1);
                 INSERT INTO customers (id, account_number, name, phone, created_at) VALUES
                     ('bakery', '1', 'Bakery', '254733000111', 1), ('clinic', '2', 'Clinic', '254733000222', 1);
                 INSERT INTO connection_types (id, service_name, family, profile_name, download_bits_per_second,
                                               upload_bits_per_second, created_at)
                     VALUES ('spot', 'hotspot', 'hotspot', 'spot', 1, 1, 1), ('unused', 'hotspot', 'hotspot', 'unused', 1, 1, 1);
                 INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at)
                     SELECT 'week', 'Week', connection_type_id, 1, 1, 1 FROM plans;
                 INSERT INTO plans (id, name, connection_type_id, price_cents, validity_seconds, created_at)
                     VALUES ('hour', 'Hour', 'spot', 1, 1, 1);
                 INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
                     SELECT 'l2', customer_id, 'week', 'r1', 'l2', '', 'active', 1 FROM subscriptions;
                 INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
                     SELECT 'l3', 'bakery', plan_id, 'r2', 'l3', '', 'active', 1 FROM subscriptions WHERE id <> 'l2';
                 INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
                     VALUES ('l4', 'bakery', 'hour', 'r3', 'l4', '', 'expired', 1);
                 INSERT INTO subscriptions (id, customer_id, plan_id, router_id, username, password, status, created_at)
                     SELECT 'l5', 'clinic', plan_id, 'r1', 'l5', '', 'suspended', 1 FROM subscriptions WHERE id = 'l3';
                 UPDATE subscriptions SET is_online = 1 WHERE id IN ('l2', 'l3');",
            )
            .await
            .unwrap();
        let router = |id| RouterId::parse(id).unwrap();
        let plan = |id| PlanId::parse(id).unwrap();
        let kind = |id| ConnectionTypeId::parse(id).unwrap();
        let check = async |write: &mut Transaction, of: Of<'_>, (lines, online, customers, sites)| {
            let expected = Reach { lines, online, customers, sites };
            assert_eq!(reach(write, of).await.unwrap(), expected, "{of:?}");
        };
        check(&mut write, Of::Router(&router("r1")), (3, 1, 2, 1)).await;
        check(&mut write, Of::Router(&router("r2")), (1, 1, 1, 1)).await;
        check(&mut write, Of::Router(&router("r3")), (1, 0, 1, 1)).await;
        check(&mut write, Of::Router(&router("r4")), (0, 0, 0, 0)).await;
        check(&mut write, Of::Router(&router("nowhere")), (0, 0, 0, 0)).await;
        check(&mut write, Of::Plan(day), (3, 1, 3, 2)).await;
        check(&mut write, Of::Plan(&plan("week")), (1, 1, 1, 1)).await;
        check(&mut write, Of::Plan(&plan("hour")), (1, 0, 1, 1)).await;
        check(&mut write, Of::Plan(&plan("another")), (0, 0, 0, 0)).await;
        check(&mut write, Of::ConnectionType(home), (4, 2, 3, 2)).await;
        check(&mut write, Of::ConnectionType(&kind("spot")), (1, 0, 1, 1)).await;
        check(&mut write, Of::ConnectionType(&kind("unused")), (0, 0, 0, 0)).await;
    }
}
