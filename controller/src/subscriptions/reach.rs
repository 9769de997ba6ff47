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
    use super::*;
    use crate::database::Database;
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
        let line = crate::subscriptions::get(&mut write, &world.line).await.unwrap().unwrap();
        let kind = &world.plan.connection_type.id;
        let one = Reach { lines: 1, online: 0, customers: 1, sites: 1 };
        for of in [Of::Router(&line.router), Of::Plan(&line.plan), Of::ConnectionType(kind)] {
            assert_eq!(reach(&mut write, of).await.unwrap(), one, "{of:?}");
        }
        let another = PlanId::parse("another").unwrap();
        assert_eq!(reach(&mut write, Of::Plan(&another)).await.unwrap(), Reach::default());
    }
}
