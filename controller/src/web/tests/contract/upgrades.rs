//! Upgrades of the agents, as programs start, read and end them.

use super::*;
use crate::releases::{store, tests::release};

/// Rollouts are started, read, made to wait and ended; and what cannot be is said so.
pub(super) async fn all(api: &mut Checker, served: &Served) {
    let (all, one) = ("/api/rollouts", "/api/rollouts/{number}");
    let standing = "/api/rollouts/{number}/standing";
    assert_eq!(api.get("/api/releases", "/api/releases").await["release_key"], Value::Null);
    assert_eq!(api.get(all, all).await["rollouts"], json!([]));
    let new = json!({"version": "0.2.0", "waves": [50, 100], "soak_seconds": 60});
    assert_eq!(api.post(all, all, &new).await["error"]["code"], "not_found", "there is no release");
    let mut write = served.controller.database.write().await.unwrap();
    assert!(store::insert_release(&mut write, &release("x86_64-linux-gnu", b"one")).await.unwrap());
    write.commit().await.unwrap();
    let releases = api.get("/api/releases", "/api/releases").await;
    assert_eq!(releases["releases"][0]["version"], "0.2.0", "{releases}");
    for (wrong, code) in [
        (json!({"version": "0.2.0", "waves": [100, 50]}), "invalid"),
        (json!({"version": "0.2.0", "soak_seconds": 9_000_000}), "invalid"),
        (json!({"version": "0.2.0", "sites": ["nowhere"]}), "not_found"),
        (json!({"version": "0.2.0", "sites": ["No Site"]}), "not_found"),
    ] {
        assert_eq!(api.post(all, all, &wrong).await["error"]["code"], code, "{wrong}");
    }
    let started = api.post(all, all, &new).await;
    assert_eq!(
        (&started["number"], &started["standing"], &started["sites"][0]["standing"]),
        (&json!(1), &json!("running"), &json!("dark")),
        "{started}"
    );
    assert_eq!(api.post(all, all, &new).await["error"]["code"], "another_runs");
    assert_eq!(api.get(one, "/api/rollouts/1").await, started);
    for nowhere in ["/api/rollouts/7", "/api/rollouts/first"] {
        assert_eq!(api.get(one, nowhere).await["error"]["code"], "not_found");
    }
    assert_eq!(api.get(all, "/api/rollouts?limit=0").await["error"]["code"], "invalid");
    assert_eq!(api.get(all, "/api/rollouts?limit=1").await["rollouts"][0]["number"], 1);
    let path = "/api/rollouts/1/standing";
    for wanted in ["paused", "running", "stopped"] {
        let change = json!({"standing": wanted});
        assert_eq!(api.post(standing, path, &change).await["standing"], wanted);
        assert_eq!(api.post(standing, path, &change).await["error"]["code"], "not_so", "{wanted}");
    }
    let done = json!({"standing": "done"});
    assert_eq!(api.post(standing, path, &done).await["error"]["code"], "invalid");
    let stop = json!({"standing": "stopped"});
    assert_eq!(api.post(standing, "/api/rollouts/7/standing", &stop).await["error"]["code"], "not_found");
}
