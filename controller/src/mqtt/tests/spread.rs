//! Many sites are told to take their time when they come back, and few are not.

use tawi_shared::wire::SpreadV1;

use super::*;

#[tokio::test]
async fn where_many_sites_could_come_at_once_each_is_told_to_take_its_time() {
    let link = Link::open().await;
    let mut write = link.house.controller.database.write().await.unwrap();
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)";
    let certificates = "INSERT INTO site_certificates (sha256, site_id, issued_at, expires_at) \
                        SELECT 'of ' || CAST(i AS TEXT), 'many-' || CAST(i AS TEXT), 1, 9000000000000 FROM n";
    for insert in [
        "INSERT INTO sites (id, name, created_at) SELECT 'many-' || CAST(i AS TEXT), 'Many', 1 FROM n",
        certificates,
    ] {
        // What stands here is ours alone.
        let query = sqlx::AssertSqlSafe(format!("{numbers} {insert}"));
        sqlx::raw_sql(query).execute(&mut *write).await.unwrap();
    }
    write.commit().await.unwrap();
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &HelloV1 { protocol_newest: 3, ..fresh() }, (EPOCH, 0)).await;
    assert!(matches!(agent.heard().await, DownMessage::Welcome(_)));
    // 1,501 sites at 500 a second.
    let patience = SpreadV1 { return_within_seconds: 4, hello_within_seconds: 0 };
    assert_eq!(agent.heard().await, DownMessage::Spread(patience));
    link.close().await;
}

#[tokio::test]
async fn who_is_one_of_few_is_not_told() {
    let link = Link::open().await;
    let mut agent = link.agent().await;
    agent.say(Up::Hello, &HelloV1 { protocol_newest: 3, ..fresh() }, (EPOCH, 0)).await;
    assert!(matches!(agent.heard().await, DownMessage::Welcome(_)));
    assert!(matches!(agent.heard().await, DownMessage::Cursors(_)));
    link.close().await;
}
