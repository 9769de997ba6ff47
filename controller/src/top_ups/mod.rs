//! Top-ups: data that can be bought on top of a running period, of one plan or of any that has a limit.
//!
//! Here is the catalogue. What a wallet pays for one, and how it reaches the period, is `payments::topping_up`.

pub mod api;
mod store;

use tawi_shared::UnixMillis;

use crate::customers::Invalid;
use crate::database::Connection;
use crate::ids::{IdSource, PlanId, TopUpId};
use crate::money::Money;
use crate::plans;

/// A top-up that is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// The id.
    pub id: TopUpId,
    /// Its name, unique.
    pub name: String,
    /// For lines of which plan; `None` for any that has a limit.
    pub plan: Option<PlanId>,
    /// That plan's name; empty for any.
    pub plan_name: String,
    /// What it costs.
    pub price: Money,
    /// What it adds, upload and download together.
    pub bytes: u64,
    /// When it was entered.
    pub created_at: UnixMillis,
}

/// What staff enter.
#[derive(Clone, Debug)]
pub struct NewTopUp {
    /// Its name, unique.
    pub name: String,
    /// For lines of which plan; `None` for any that has a limit.
    pub plan: Option<PlanId>,
    /// What it costs.
    pub price: Money,
    /// What it adds, upload and download together.
    pub bytes: u64,
}

/// What became of a new top-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is entered.
    Created(TopUp),
    /// One of that name is there already.
    NameTaken,
    /// There is no such plan.
    NoSuchPlan,
    /// Something has to be written differently.
    Invalid(Invalid),
}

/// Enters a top-up.
///
/// # Errors
/// When the database refuses.
pub async fn create(
    connection: &mut Connection,
    new: NewTopUp,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Created, sqlx::Error> {
    if let Err(invalid) = check(&new) {
        return Ok(Created::Invalid(invalid));
    }
    let id = TopUpId::random(ids);
    if let Some(plan) = &new.plan
        && !store::is_plan(connection, plan).await?
    {
        return Ok(Created::NoSuchPlan);
    }
    let new = NewTopUp { name: new.name.trim().to_owned(), ..new };
    if !store::insert(connection, &id, &new, now).await? {
        return Ok(Created::NameTaken);
    }
    let made = store::by_id(connection, &id).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Created::Created(made))
}

fn check(new: &NewTopUp) -> Result<(), Invalid> {
    plans::check_name(&new.name)?;
    plans::check_price(new.price)?;
    if new.bytes == 0 || new.bytes > crate::usage::TOTAL_BYTES {
        return Err(Invalid { field: "data", reason: "enter an amount of data above 0 and up to 1100TB" });
    }
    Ok(())
}

/// All top-ups, by price.
///
/// # Errors
/// When the database refuses.
pub async fn list(connection: &mut Connection) -> Result<Vec<TopUp>, sqlx::Error> {
    store::all(connection).await
}

/// The top-ups that lines of a plan can buy, by price.
///
/// # Errors
/// When the database refuses.
pub async fn offered_to(connection: &mut Connection, plan: &PlanId) -> Result<Vec<TopUp>, sqlx::Error> {
    store::offered_to(connection, plan).await
}

/// One top-up.
///
/// # Errors
/// When the database refuses.
pub async fn get(connection: &mut Connection, id: &TopUpId) -> Result<Option<TopUp>, sqlx::Error> {
    store::by_id(connection, id).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use crate::payments::testing::world;
    use crate::testing::TemporaryDirectory;

    #[tokio::test]
    async fn a_top_up_comes_back_as_it_was_entered_and_is_offered_to_its_plan_alone() {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        let world = world(&database).await;
        let ids = IdSource::system();
        let mut write = database.write().await.unwrap();
        let new = |name: &str, plan: Option<PlanId>, cents| NewTopUp {
            name: name.to_owned(),
            plan,
            price: Money::from_cents(cents),
            bytes: 1_000_000_000,
        };
        let mut enter = async |new: NewTopUp| create(&mut write, new, &ids, UnixMillis(1)).await.unwrap();
        let Created::Created(any) = enter(new(" 1 GB ", None, 10_000)).await else { panic!("refused") };
        assert_eq!((any.name.as_str(), any.plan_name.as_str()), ("1 GB", ""));
        assert_eq!(enter(new("1 GB", None, 10_000)).await, Created::NameTaken);
        assert_eq!(enter(new("x", PlanId::parse("none").ok(), 1)).await, Created::NoSuchPlan);
        assert!(matches!(enter(new("x", None, 0)).await, Created::Invalid(Invalid { field: "price", .. })));
        let nothing = NewTopUp { bytes: 0, ..new("x", None, 1) };
        assert!(matches!(enter(nothing).await, Created::Invalid(Invalid { field: "data", .. })));
        let Created::Created(own) = enter(new("Day 1 GB", Some(world.plan.id.clone()), 5_000)).await else {
            panic!("refused")
        };
        assert_eq!(own.plan_name, "Day");
        assert_eq!(list(&mut write).await.unwrap(), [own.clone(), any.clone()]);
        assert_eq!(offered_to(&mut write, &world.plan.id).await.unwrap(), [own.clone(), any.clone()]);
        let another = PlanId::parse("another").unwrap();
        assert_eq!(offered_to(&mut write, &another).await.unwrap(), [any]);
        assert_eq!(get(&mut write, &own.id).await.unwrap(), Some(own));
    }
}
