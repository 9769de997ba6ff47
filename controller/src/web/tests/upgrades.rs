//! The page of upgrades over a real socket and a real database: what it says first, who may start and who may stop, what a site
//! that is stuck looks like, and what the first page says of a rollout that stopped by itself.

use tawi_shared::release::{Sha256, SigningKey};
use tawi_shared::wire::{ReleaseStanding, ReleaseStandingV1};

use crate::releases::tests::release;
use crate::releases::{ReleaseRoom, rollout, store};
use crate::staff::Role;
use crate::web::testing::{START, Served};

/// A controller with the settings of a key that did not sign what is on the shelf.
async fn with_another_key() -> Served {
    let key = SigningKey::from_seed(&[4; 32]).unwrap().public();
    let room = ReleaseRoom::new(std::path::Path::new("/nowhere"), Some(key));
    Served::start_with(|web| web.controller.releases = room, false).await
}

async fn shelve(served: &Served) {
    let mut write = served.controller.database.write().await.unwrap();
    assert!(store::insert_release(&mut write, &release("x86_64-linux-gnu", b"one")).await.unwrap());
    write.commit().await.unwrap();
}

/// The site says how it stands, and the clock does what is due.
async fn say(served: &Served, standing: ReleaseStanding, detail: &str) {
    let said = ReleaseStandingV1 {
        asked: 1,
        file_sha256: Sha256::of(b"one").0,
        standing: standing.code(),
        have_bytes: 1,
        at_ms: 0,
        detail: detail.into(),
    };
    let (ids, site) = (&served.controller.ids, &served.world.site);
    let mut write = served.controller.database.write().await.unwrap();
    assert!(rollout::heard(&mut write, site, &said, ids, START).await.unwrap());
    rollout::step(&mut write, ids, START).await.unwrap();
    write.commit().await.unwrap();
}

const START_FORM: [(&str, &str); 4] =
    [("version", "0.2.0"), ("waves", "100"), ("soak", "1h"), ("confirm", "yes")];

#[tokio::test]
async fn an_owner_starts_an_upgrade_an_operator_stops_it_and_a_viewer_looks_on() {
    let served = Served::start().await;
    let (mut owner, mut operator, mut viewer) = (
        served.browser(Role::Owner).await,
        served.browser(Role::Operator).await,
        served.browser(Role::Viewer).await,
    );
    let page = owner.get("/upgrades").await;
    assert!(page.body.contains("release new-key") && page.body.contains("None is here yet"), "{}", page.body);
    assert!(!page.body.contains("Start the upgrade"), "there is nothing to start");
    assert!(owner.get("/sites").await.body.contains("href=\"/upgrades\""), "the way there");
    shelve(&served).await;
    let page = owner.get("/upgrades").await;
    for words in ["0.2.0", "x86_64-linux-gnu", "Start the upgrade", "No release key is set"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!operator.get("/upgrades").await.body.contains("Start the upgrade"));
    assert_eq!(operator.post("/upgrades", &START_FORM).await.status, 403);
    let untold = [("version", "0.2.0"), ("waves", "many"), ("soak", "1h"), ("sites", "nowhere")];
    let page = owner.post("/upgrades", &untold).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains("write shares in per cent") && page.body.contains("tick the box"));
    assert!(page.body.contains("value=\"many\""), "what was typed is there still");
    let nowhere =
        [("version", "0.2.0"), ("waves", "100"), ("soak", "1h"), ("sites", "nowhere"), ("confirm", "yes")];
    assert!(owner.post("/upgrades", &nowhere).await.body.contains("there is no nowhere"));
    let started = owner.post("/upgrades", &START_FORM).await;
    assert_eq!((started.status, started.location()), (303, "/upgrades"));
    let page = owner.get("/upgrades").await;
    assert!(page.body.contains("goes out to 1 site, wave by wave"), "{}", page.body);
    assert!(page.body.contains("not reached") && page.body.contains("Stop 0.2.0"), "{}", page.body);
    owner.post("/upgrades", &START_FORM).await;
    assert!(owner.get("/upgrades").await.body.contains("rollout 1 is not over"));
    // Its site says it too.
    let site = format!("/sites/{}", served.world.site);
    assert!(viewer.get(&site).await.body.contains("0.2.0"));
    assert!(!viewer.get("/upgrades").await.body.contains("Stop 0.2.0"));
    let change = "/upgrades/1/standing";
    let stop = [("standing", "stopped"), ("confirm", "yes")];
    assert_eq!(viewer.post(change, &stop).await.status, 403);
    operator.post(change, &[("standing", "paused")]).await;
    assert!(operator.get("/upgrades").await.body.contains("No further wave begins"));
    assert_eq!(operator.post(change, &[("standing", "running")]).await.status, 403, "an owner has it go on");
    operator.post(change, &[("standing", "stopped")]).await;
    assert!(operator.get("/upgrades").await.body.contains("tick the box to end the rollout"));
    operator.post(change, &stop).await;
    let page = operator.get("/upgrades").await;
    assert!(page.body.contains("It is stopped") && page.body.contains("left as it is"), "{}", page.body);
    assert!(!viewer.get("/").await.body.contains("An upgrade does not go on"), "somebody stopped it");
    for strange in ["/upgrades/7/standing", "/upgrades/x/standing"] {
        assert!([303, 404].contains(&owner.post(strange, &stop).await.status), "{strange}");
    }
    assert_eq!(owner.post(change, &[("standing", "done")]).await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn what_another_key_signed_is_marked() {
    let served = with_another_key().await;
    shelve(&served).await;
    let page = served.browser(Role::Viewer).await.get("/upgrades").await;
    assert!(
        page.body.contains("by another key") && page.body.contains("with the fingerprint"),
        "{}",
        page.body
    );
    served.stop().await;
}

#[tokio::test]
async fn a_rollout_that_stops_by_itself_is_told_on_the_first_page_with_its_reason() {
    let served = Served::start().await;
    shelve(&served).await;
    let mut owner = served.browser(Role::Owner).await;
    owner.post("/upgrades", &START_FORM).await;
    say(&served, ReleaseStanding::Downloading, "").await;
    let page = owner.get("/upgrades").await;
    assert!(page.body.contains("33 % of 3 B"), "{}", page.body);
    assert!(!owner.get("/").await.body.contains("An upgrade does not go on"));
    say(&served, ReleaseStanding::RolledBack, "<b>it ended 3 times</b>").await;
    let first = owner.get("/").await;
    assert!(first.body.contains("An upgrade does not go on") && first.body.contains("href=\"/upgrades\""));
    assert!(first.body.contains("stopped by itself: 1 of 1 sites failed"), "{}", first.body);
    let page = owner.get("/upgrades").await;
    assert!(page.body.contains("stopped by itself") && page.body.contains("ended 3 times"));
    assert!(!page.body.contains("<b>it ended"), "what a site says is text");
    assert!(page.body.contains("Start the upgrade"), "the next can be started");
    let program = served.program(Role::Viewer).await;
    let alarms = program.read("/api/overview").await["upgrade_alarms"].clone();
    assert!(alarms[0].as_str().unwrap().contains("stopped by itself"), "{alarms}");
    assert_eq!(program.post("/api/rollouts", &serde_json::json!({"version": "0.2.0"})).await.status, 403);
    served.stop().await;
}
