//! Settings of a site, as programs set them.

use super::*;

/// Settings of a site are set, read back and taken back.
pub(super) async fn all(api: &mut Checker, served: &Served) {
    let described = "/api/sites/{id}/settings";
    let path = format!("/api/sites/{}/settings", served.world.site);
    assert_eq!(api.get(described, &path).await["revision"], 0);
    api.get(described, "/api/sites/nowhere/settings").await;
    let set = json!({"set": {"kilobytes_an_hour": "50", "log_level": "debug"}});
    for _ in 0..2 {
        let known = api.post(described, &path, &set).await;
        assert_eq!(known["revision"], 1, "to set it twice is to set it: {known}");
        assert_eq!(known["settings"][0]["standing"], "waiting");
    }
    let unset = json!({"set": {"report_seconds": "1800"}, "unset": ["log_level"]});
    let known = api.post(described, &path, &unset).await;
    let names: Vec<_> = known["settings"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(
        (known["revision"].clone(), names),
        (json!(2), vec![json!("kilobytes_an_hour"), json!("report_seconds")])
    );
    assert_eq!(api.get(described, &path).await, known);
    for wrong in [
        json!({}),
        json!({"set": {"kilobytes_an_hour": "5"}}),
        json!({"set": {"router_password": "x"}}),
        json!({"set": {"log_level": "info"}, "unset": ["log_level"]}),
    ] {
        assert_eq!(api.post(described, &path, &wrong).await["error"]["code"], "invalid", "{wrong}");
    }
    let wrong = api.post(described, &path, &json!({"unset": ["log_levels"]})).await;
    assert!(wrong["error"]["message"].as_str().unwrap().contains("log_levels"), "{wrong}");
    assert_eq!(api.post(described, "/api/sites/nowhere/settings", &set).await["error"]["code"], "not_found");
    let audited =
        "SELECT detail FROM audit_log WHERE action = 'site.settings_changed' AND detail LIKE 'report%'";
    let mut read = served.controller.database.read().await.unwrap();
    let detail: String = sqlx::query_scalar(audited).fetch_one(&mut *read).await.unwrap();
    assert_eq!(
        detail,
        "report_seconds: as the device has it -> 1800; log_level: debug -> as the device has it"
    );
}
