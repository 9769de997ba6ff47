//! Against a real SQLite file.

use std::time::Duration;

use super::*;
use crate::database::Database;
use crate::payments;
use crate::payments::testing::{World, world};
use crate::testing::TemporaryDirectory;

async fn open() -> (TemporaryDirectory, Database, World) {
    let directory = TemporaryDirectory::new();
    let database = Database::open(&directory.database_url()).await.unwrap();
    let world = world(&database).await;
    (directory, database, world)
}

/// A payment that was booked with that generation at that instant.
async fn paid(connection: &mut Connection, world: &World, generation: u64, at: i64) -> PaymentId {
    let id = PaymentId::parse(&format!("p{generation}")).unwrap();
    sqlx::query(
        "INSERT INTO payments (id, provider, receipt_number, amount_cents, short_code, customer_id, \
         subscription_id, received_at, booked_at) VALUES ($1, 'mpesa', $1, 100, '174379', $2, $4, $3, $3)",
    )
    .bind(id.as_str())
    .bind(world.customer.id.as_str())
    .bind(at)
    .bind(world.line.as_str())
    .execute(&mut *connection)
    .await
    .unwrap();
    crate::payments::store::issue_receipt(connection, &id, UnixMillis(at)).await.unwrap();
    let begun = Begun {
        payment: &id,
        subscription: &world.line,
        site: &world.site,
        generation,
        callback_received_at: UnixMillis(at - 1),
        booked_at: UnixMillis(at),
    };
    let mut together = Together::default();
    begin(&mut together, begun);
    together.execute(connection).await.unwrap();
    id
}

fn steps(trace: &Trace) -> [Option<i64>; 4] {
    [trace.published_at, trace.stored_at, trace.verified_at, trace.online_at].map(|at| at.map(|at| at.0))
}

#[tokio::test]
async fn each_step_is_noted_once_and_only_up_to_its_generation() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    let first = paid(&mut write, &world, 1, 10).await;
    let second = paid(&mut write, &world, 2, 20).await;
    let (site, customer) = (&world.site, vec![world.customer.id.clone()]);
    assert_eq!(published(&mut write, site, 1, UnixMillis(11)).await.unwrap(), customer);
    assert_eq!(published(&mut write, site, 1, UnixMillis(12)).await.unwrap(), []);
    assert_eq!(stored(&mut write, site, 1, UnixMillis(13)).await.unwrap(), customer);
    assert_eq!(stored(&mut write, site, 1, UnixMillis(14)).await.unwrap(), []);
    assert_eq!(verified(&mut write, site, 1, &[], UnixMillis(15)).await.unwrap(), customer);
    assert_eq!(verified(&mut write, site, 1, &[], UnixMillis(16)).await.unwrap(), []);
    assert_eq!(
        online(&mut write, &world.line, UnixMillis(17)).await.unwrap(),
        Some(world.customer.id.clone())
    );
    assert_eq!(online(&mut write, &world.line, UnixMillis(18)).await.unwrap(), None);
    let trace = trace_of(&mut write, &first).await.unwrap().unwrap();
    assert_eq!(steps(&trace), [Some(11), Some(13), Some(15), Some(17)]);
    let trace = trace_of(&mut write, &second).await.unwrap().unwrap();
    assert_eq!(steps(&trace), [None; 4], "the second generation is still on its way");
    assert_eq!(last_trace_of_subscription(&mut write, &world.line).await.unwrap(), Some(trace));
    let other = SiteId::parse("elsewhere").unwrap();
    assert_eq!(verified(&mut write, &other, 9, &[], UnixMillis(30)).await.unwrap(), []);
}

#[tokio::test]
async fn an_answer_that_overtakes_the_note_of_what_was_sent_leaves_no_step_empty() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    let payment = paid(&mut write, &world, 1, 10).await;
    stored(&mut write, &world.site, 1, UnixMillis(13)).await.unwrap();
    verified(&mut write, &world.site, 1, &[], UnixMillis(15)).await.unwrap();
    published(&mut write, &world.site, 1, UnixMillis(11)).await.unwrap();
    let trace = trace_of(&mut write, &payment).await.unwrap().unwrap();
    assert_eq!(steps(&trace), [Some(11), Some(13), Some(15), None]);
}

#[tokio::test]
async fn a_line_that_fails_on_its_router_is_paid_and_not_connected_until_it_works() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    let payment = paid(&mut write, &world, 1, 100).await;
    let failed = [(world.line.clone(), "router unreachable".to_owned())];
    let customer = vec![world.customer.id.clone()];
    assert_eq!(verified(&mut write, &world.site, 1, &failed, UnixMillis(110)).await.unwrap(), customer);
    assert_eq!(verified(&mut write, &world.site, 1, &failed, UnixMillis(111)).await.unwrap(), [], "no news");
    let minute = Duration::from_secs(60);
    let mut waiting = async |now: i64| {
        let rows = payments::unconnected(&mut write, UnixMillis(now), minute).await.unwrap();
        rows.into_iter().map(|row| (row.payment.id, row.trace.unwrap().failure)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(60_099).await, []);
    assert_eq!(waiting(60_100).await, [(payment.clone(), "router unreachable".to_owned())]);
    assert_eq!(verified(&mut write, &world.site, 1, &[], UnixMillis(70_000)).await.unwrap(), customer);
    let trace = trace_of(&mut write, &payment).await.unwrap().unwrap();
    assert_eq!((trace.verified_at, trace.failure.as_str()), (Some(UnixMillis(70_000)), ""));
    assert_eq!(payments::unconnected(&mut write, UnixMillis(80_000), minute).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_from_before_the_payment_does_not_complete_it() {
    let (_directory, database, world) = open().await;
    let mut write = database.write().await.unwrap();
    let payment = paid(&mut write, &world, 1, 100).await;
    assert_eq!(online(&mut write, &world.line, UnixMillis(99)).await.unwrap(), None);
    assert_eq!(steps(&trace_of(&mut write, &payment).await.unwrap().unwrap()), [None; 4]);
}
