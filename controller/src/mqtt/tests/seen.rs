//! What pages show of where a line was last seen, by what its site tells of sessions.

use super::*;

/// The queue of a line where nobody logs in counts from before anybody has its address.
#[tokio::test]
async fn a_line_where_nobody_logs_in_was_seen_once_it_has_moved_something() {
    let link = Link::open().await;
    let mut write = link.house.controller.database.write().await.unwrap();
    let nobody_logs_in = "UPDATE connection_types SET service_name = 'static', family = 'static'";
    sqlx::raw_sql(nobody_logs_in).execute(&mut *write).await.unwrap();
    write.commit().await.unwrap();
    link.pay_while_away(1_000).await;
    let mut agent = link.greeted(hello(1, 1, link.hash().await)).await;
    let mut batch = usage_of(&link.world.line, 0);
    batch.sessions[0].upload_bytes = 0;
    for (download, seq, expected) in [(0, 1, 0), (1, 2, 1)] {
        batch.sessions[0].download_bytes = download;
        agent.say(Up::Usage, &batch, (EPOCH, seq)).await;
        assert_eq!(cursor(&mut agent).await.cursor, seq);
        let seen = link.column("SELECT COUNT(*) FROM subscriptions WHERE last_address = '10.0.0.2'").await;
        assert_eq!(seen, expected, "{download}");
    }
    link.close().await;
}
