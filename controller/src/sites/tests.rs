//! Against a real SQLite file and real directories.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tawi_shared::release::SigningKey;

use super::*;
use crate::database::Database;
use crate::releases::ReleaseRoom;
use crate::testing;
use crate::testing::TemporaryDirectory;

const ADDRESS: &str = "isp.example:8883";

struct Office {
    controller: Controller,
    pki: Pki,
    directory: TemporaryDirectory,
}

impl Office {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let controller = Controller::new(Database::open(&directory.database_url()).await.unwrap());
        let pki = Pki::open_or_create(&directory.path().join("pki"), controller.clock.now()).unwrap();
        Self { controller, pki, directory }
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn add(&self, id: &str, bundle: &str, address: &str) -> Added {
        let new = NewSite { id: SiteId::parse(id).unwrap(), name: String::new() };
        add(&self.controller, &self.pki, new, &self.bundle(bundle), &[address.to_owned()]).await.unwrap()
    }

    async fn get(&self, id: &str) -> Option<Site> {
        let mut read = self.controller.database.read().await.unwrap();
        get(&mut read, &SiteId::parse(id).unwrap()).await.unwrap()
    }

    async fn revoked(&self) -> usize {
        let mut read = self.controller.database.read().await.unwrap();
        revoked_certificates(&mut read, UnixMillis(0)).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_new_site_gets_a_bundle_that_its_agent_can_use() {
    let office = Office::open().await;
    let Added::Added(bundle) = office.add("nyeri-01", "bundle", ADDRESS).await else { panic!("not added") };
    let text = |name: &str| fs::read_to_string(bundle.directory.join(name)).unwrap();
    let configuration: toml::Table = text("agent.toml").parse().unwrap();
    assert_eq!(configuration["site"].as_str(), Some("nyeri-01"));
    let controller = configuration["controller"].as_table().unwrap();
    assert_eq!(controller["addresses"].as_array().unwrap()[0].as_str(), Some(ADDRESS));
    for key in ["ca_file", "certificate_file", "key_file"] {
        assert!(bundle.directory.join(controller[key].as_str().unwrap()).exists(), "{key}");
    }
    let mode = fs::metadata(bundle.directory.join("agent.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(text("ca.pem"), office.pki.ca_pem());
    assert!(bundle.next_steps().contains("routers.toml"));
    let site = office.get("nyeri-01").await.unwrap();
    assert_eq!((site.name.as_str(), site.presence.is_online), ("nyeri-01", false));
}

#[tokio::test]
async fn a_bundle_says_who_signs_releases_where_head_office_knows() {
    let mut office = Office::open().await;
    let written = |office: &Office, name: &str| {
        let text = fs::read_to_string(office.bundle(name).join("agent.toml")).unwrap();
        text.parse::<toml::Table>().unwrap()
    };
    assert!(matches!(office.add("a", "none", ADDRESS).await, Added::Added(_)));
    assert!(!written(&office, "none").contains_key("upgrade"));
    let key = SigningKey::from_seed(&[3; 32]).unwrap().public();
    office.controller.releases = ReleaseRoom::new(office.directory.path(), Some(key.clone()));
    assert!(matches!(office.add("b", "new", ADDRESS).await, Added::Added(_)));
    let (site, again) = (SiteId::parse("a").unwrap(), office.bundle("again"));
    renew(&office.controller, &office.pki, &site, &again, &[ADDRESS.to_owned()]).await.unwrap();
    for bundle in ["new", "again"] {
        let written = written(&office, bundle);
        let keys: Vec<_> = written["upgrade"]["release_keys"].as_array().unwrap().iter().collect();
        assert_eq!(keys, [&toml::Value::String(key.to_text())]);
    }
}

#[tokio::test]
async fn nothing_is_overwritten_and_a_refusal_leaves_nothing_behind() {
    let office = Office::open().await;
    fs::create_dir_all(office.bundle("taken")).unwrap();
    fs::write(office.bundle("taken").join("agent.toml"), "mine").unwrap();
    assert!(matches!(office.add("a", "taken", ADDRESS).await, Added::DirectoryTaken(_)));
    assert_eq!(fs::read_to_string(office.bundle("taken").join("agent.toml")).unwrap(), "mine");
    assert_eq!(fs::read_dir(office.bundle("taken")).unwrap().count(), 1);
    assert_eq!(office.add("a", "new", "isp.example").await, Added::BadAddress("isp.example".into()));
    assert_eq!(office.get("a").await, None, "the site is not there either");
    assert!(matches!(office.add("a", "new", ADDRESS).await, Added::Added(_)));
    assert_eq!(office.add("a", "other", ADDRESS).await, Added::AlreadyThere);
    assert!(!office.bundle("other").exists());
}

#[tokio::test]
async fn a_renewed_site_has_one_good_certificate_and_a_revoked_one_none_until_it_is_renewed() {
    let office = Office::open().await;
    let site = SiteId::parse("a").unwrap();
    let renewed = async |bundle: &str| {
        renew(&office.controller, &office.pki, &site, &office.bundle(bundle), &[ADDRESS.to_owned()])
            .await
            .unwrap()
    };
    assert_eq!(renewed("none").await, Added::NoSuchSite);
    office.add("a", "first", ADDRESS).await;
    assert_eq!(office.revoked().await, 0);
    assert!(matches!(renewed("first").await, Added::DirectoryTaken(_)));
    assert_eq!(office.revoked().await, 0, "the old certificate is still good");
    assert!(matches!(renewed("second").await, Added::Added(_)));
    assert_eq!(office.revoked().await, 1);
    assert!(testing::revoke(&office.controller, &site).await.unwrap());
    assert!(!testing::revoke(&office.controller, &site).await.unwrap(), "a second time changes nothing");
    assert_eq!(office.revoked().await, 2);
    assert!(matches!(renewed("third").await, Added::Added(_)));
    assert_eq!(office.get("a").await.unwrap().revoked_at, None);
    assert_eq!(office.revoked().await, 2, "what the thief holds stays revoked");
}

#[tokio::test]
async fn no_router_is_added_to_a_revoked_site() {
    let office = Office::open().await;
    office.add("a", "bundle", ADDRESS).await;
    let site = SiteId::parse("a").unwrap();
    assert!(testing::revoke(&office.controller, &site).await.unwrap());
    let mut write = office.controller.database.write().await.unwrap();
    let added = add_router(&mut write, &site, "core", &office.controller.ids, UnixMillis(1)).await.unwrap();
    assert_eq!(added, AddedRouter::SiteRevoked);
}

#[tokio::test]
async fn a_router_is_added_once_and_only_where_there_is_a_site() {
    let office = Office::open().await;
    office.add("a", "bundle", ADDRESS).await;
    let mut write = office.controller.database.write().await.unwrap();
    let mut added = async |site: &str, name: &str| {
        let site = SiteId::parse(site).unwrap();
        add_router(&mut write, &site, name, &office.controller.ids, UnixMillis(1)).await.unwrap()
    };
    let AddedRouter::Added(router) = added("a", "core").await else { panic!("not added") };
    assert_eq!(added("a", "core").await, AddedRouter::AlreadyThere(router));
    assert_eq!(added("b", "core").await, AddedRouter::NoSuchSite);
    for bad in ["", "Core", "core router", "-core"] {
        assert_eq!(added("a", bad).await, AddedRouter::BadName, "{bad:?}");
    }
}

#[tokio::test]
async fn a_router_keeps_the_instant_of_its_last_change() {
    let office = Office::open().await;
    office.add("a", "bundle", ADDRESS).await;
    let site = SiteId::parse("a").unwrap();
    let mut write = office.controller.database.write().await.unwrap();
    add_router(&mut write, &site, "core", &office.controller.ids, UnixMillis(1)).await.unwrap();
    // What an event says leaves the reason that was known, and a router that answers again has none.
    let steps = [
        (true, "7.18", Some(0), 10, 10, 0),
        (true, "", None, 20, 10, 0),
        (false, "", Some(4), 30, 30, 4),
        (false, "7.19", None, 40, 30, 4),
        (true, "", None, 50, 50, 0),
        (true, "", Some(13), 60, 50, 13),
    ];
    for (is_reachable, release, trouble, now, changed_at, trouble_then) in steps {
        let now = UnixMillis(now);
        let note = store::RouterNote { name: "core", is_reachable, release, trouble };
        assert!(store::note_router(&mut write, &site, note, now).await.unwrap());
        let router = find_router(&mut write, &site, "core").await.unwrap().unwrap();
        assert_eq!(router.is_reachable, is_reachable);
        assert_eq!(router.reachable_changed_at, Some(UnixMillis(changed_at)), "at {now}");
        assert!(!router.release.is_empty());
        assert_eq!(router.trouble, trouble_then, "at {now}");
    }
    let other = store::RouterNote { name: "other", is_reachable: true, release: "", trouble: None };
    assert!(!store::note_router(&mut write, &site, other, UnixMillis(1)).await.unwrap());
}

#[tokio::test]
async fn certificates_that_are_about_to_end_are_found() {
    let office = Office::open().await;
    office.add("a", "bundle", ADDRESS).await;
    let now = office.controller.clock.now();
    let mut read = office.controller.database.read().await.unwrap();
    let day = Duration::from_secs(86_400);
    assert!(store::expiring_before(&mut read, now.plus(day * 45)).await.unwrap().is_empty());
    assert_eq!(store::expiring_before(&mut read, now.plus(day * 370)).await.unwrap().len(), 1);
}
