//! A rollout on a real database, from its start to its end, and the ways in which it stops.

use std::time::Duration;

use tawi_shared::release::{Manifest, SigningKey};
use tawi_shared::wire::{ReleaseStanding, ReleaseStandingV1};

use super::rollout::{self, NewRollout, Started};
use super::*;
use crate::audit::{self, Actor};
use crate::ids::IdSource;
use crate::sites;
use crate::testing::TemporaryDirectory;

const HOUR: Duration = Duration::from_secs(3_600);

fn key() -> SigningKey {
    SigningKey::from_seed(&[3; 32]).unwrap()
}

pub(crate) fn release(target: &str, file: &[u8]) -> Release {
    let manifest = Manifest {
        version: "0.2.0".parse().unwrap(),
        target: target.into(),
        binary_bytes: 9,
        binary_sha256: Sha256::of(b"program"),
        file_bytes: u64::try_from(file.len()).unwrap(),
        file_sha256: Sha256::of(file),
        created_at_ms: 1,
        oldest_version: "0.1.0".parse().unwrap(),
        store_format: 1,
        protocol_oldest: 1,
        protocol_newest: 3,
        allow_downgrade: false,
    };
    Release { signed: key().sign(&manifest), manifest, added_at: UnixMillis(1) }
}

fn id(at: usize) -> SiteId {
    SiteId::parse(&format!("site-{at}")).unwrap()
}

async fn database(sites: usize) -> (TemporaryDirectory, crate::database::Database) {
    let directory = TemporaryDirectory::new();
    let database = crate::database::Database::open(&directory.database_url()).await.unwrap();
    let mut transaction = database.write().await.unwrap();
    for at in 0..sites {
        sites::store::insert_site(&mut transaction, &id(at), "A site", UnixMillis(1)).await.unwrap();
    }
    for (target, file) in [("x86_64-linux-gnu", b"one".as_slice()), ("aarch64-linux-gnu", b"two")] {
        assert!(store::insert_release(&mut transaction, &release(target, file)).await.unwrap());
        assert!(!store::insert_release(&mut transaction, &release(target, b"other")).await.unwrap());
    }
    transaction.commit().await.unwrap();
    (directory, database)
}

fn new(waves: &[u8]) -> NewRollout {
    NewRollout { version: "0.2.0".into(), waves: waves.to_vec(), soak: HOUR, sites: None }
}

async fn say(
    connection: &mut crate::database::Connection,
    site: &SiteId,
    standing: ReleaseStanding,
    now: UnixMillis,
) -> bool {
    let said = ReleaseStandingV1 {
        asked: 1,
        file_sha256: Sha256::of(b"one").0,
        standing: standing.code(),
        have_bytes: 3,
        at_ms: 0,
        detail: "words\nof it".into(),
    };
    rollout::heard(connection, site, &said, &IdSource::system(), now).await.unwrap()
}

#[tokio::test]
async fn waves_begin_one_after_the_other_and_everything_is_in_the_audit_log() {
    let (_directory, database) = database(4).await;
    let (ids, actor) = (IdSource::system(), Actor::CommandLine("root".into()));
    let mut transaction = database.write().await.unwrap();
    let mut now = UnixMillis(1_000);
    let begin = |new: NewRollout| (new, (&actor, &ids));
    for (bad, expected) in [
        (NewRollout { version: "0.3.0".into(), ..new(&[100]) }, Started::NoSuchRelease),
        (new(&[50]), Started::BadWaves),
        (NewRollout { sites: Some(vec![id(9)]), ..new(&[100]) }, Started::NoSuchSite(id(9))),
    ] {
        let (bad, by) = begin(bad);
        assert_eq!(rollout::start(&mut transaction, bad, by, now).await.unwrap(), expected);
    }
    let (wanted, by) = begin(new(&[25, 100]));
    assert!(matches!(rollout::start(&mut transaction, wanted, by, now).await.unwrap(), Started::Started(_)));
    let (again, by) = begin(new(&[100]));
    assert_eq!(rollout::start(&mut transaction, again, by, now).await.unwrap(), Started::AnotherRuns(1));
    let sites = store::rollout_sites(&mut transaction, 1).await.unwrap();
    let first = sites.iter().find(|site| site.wave == 0).unwrap().site.clone();
    let other = sites.iter().find(|site| site.wave == 1).unwrap().site.clone();
    let wanted = store::wanted_of(&mut transaction, &first).await.unwrap().unwrap();
    assert_eq!((wanted.0, wanted.1.len()), (1, 2), "one for each kind of machine");
    assert_eq!(store::wanted_of(&mut transaction, &other).await.unwrap(), None);
    // Its word is news once, and a site that was not asked is not believed.
    assert!(say(&mut transaction, &first, ReleaseStanding::Downloading, now).await);
    assert!(!say(&mut transaction, &first, ReleaseStanding::Downloading, now).await);
    assert!(!say(&mut transaction, &id(8), ReleaseStanding::Verified, now).await);
    assert!(say(&mut transaction, &first, ReleaseStanding::Verified, now).await);
    assert_eq!(store::wanted_of(&mut transaction, &first).await.unwrap(), None);
    assert!(!rollout::step(&mut transaction, &ids, now).await.unwrap(), "it is watched first");
    now = now.plus(HOUR);
    // A rollout that waits for staff begins nothing.
    rollout::change(&mut transaction, (1, Standing::Paused), (&actor, &ids), now).await.unwrap().unwrap();
    assert!(!rollout::step(&mut transaction, &ids, now).await.unwrap());
    assert_eq!(
        rollout::change(&mut transaction, (1, Standing::Paused), (&actor, &ids), now).await.unwrap(),
        None
    );
    rollout::change(&mut transaction, (1, Standing::Running), (&actor, &ids), now).await.unwrap().unwrap();
    assert!(rollout::step(&mut transaction, &ids, now).await.unwrap());
    assert!(store::wanted_of(&mut transaction, &other).await.unwrap().is_some());
    for site in sites.iter().filter(|site| site.wave == 1) {
        say(&mut transaction, &site.site, ReleaseStanding::Verified, now).await;
    }
    assert!(rollout::step(&mut transaction, &ids, now).await.unwrap());
    let last = store::newest_rollout(&mut transaction).await.unwrap().unwrap();
    assert_eq!(last.standing, Standing::Done);
    let rows = audit::store::latest(&mut transaction, 100).await.unwrap();
    let count = |action: &str| rows.iter().filter(|row| row.action == action).count();
    for action in
        ["rollout.started", "rollout.paused", "rollout.resumed", "rollout.wave_began", "rollout.done"]
    {
        assert_eq!(count(action), 1, "{action}");
    }
    assert_eq!(count("site.upgraded"), 4);
}

#[tokio::test]
async fn who_runs_a_newer_version_is_known_beforehand_to_refuse_what_may_not_be_gone_back_to() {
    let (_directory, database) = database(3).await;
    let (ids, actor) = (IdSource::system(), Actor::CommandLine("root".into()));
    let mut transaction = database.write().await.unwrap();
    for (at, version) in [(0, "0.10.0"), (1, "0.2.0"), (2, "")] {
        sqlx::query("UPDATE sites SET agent_version = $2 WHERE id = $1")
            .bind(id(at).as_str().to_owned())
            .bind(version)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    let started = rollout::start(&mut transaction, new(&[100]), (&actor, &ids), UnixMillis(1)).await.unwrap();
    let Started::Started(rollout) = started else { panic!("{started:?}") };
    assert_eq!(rollout::newer_than(&mut transaction, &rollout).await.unwrap(), [id(0)]);
    for (target, file) in [("x86_64-linux-gnu", b"one".as_slice()), ("aarch64-linux-gnu", b"two")] {
        let Release { manifest, added_at, .. } = release(target, file);
        let manifest = Manifest { allow_downgrade: true, ..manifest };
        let signed = Release { signed: key().sign(&manifest), manifest, added_at };
        assert!(store::insert_release(&mut transaction, &signed).await.unwrap(), "the same file signed anew");
    }
    assert_eq!(rollout::newer_than(&mut transaction, &rollout).await.unwrap(), []);
}

#[tokio::test]
async fn releases_stand_by_the_order_of_versions_and_not_of_letters() {
    let (_directory, database) = database(0).await;
    let mut transaction = database.write().await.unwrap();
    for version in ["0.10.0", "0.9.0", "0.10.0-rc.1"] {
        let Release { manifest, added_at, .. } = release("x86_64-linux-gnu", version.as_bytes());
        let manifest = Manifest { version: version.parse().unwrap(), ..manifest };
        let signed = Release { signed: key().sign(&manifest), manifest, added_at };
        assert!(store::insert_release(&mut transaction, &signed).await.unwrap());
    }
    let releases = store::releases(&mut transaction).await.unwrap();
    let shown: Vec<_> =
        releases.iter().map(|one| format!("{} {}", one.manifest.version, one.manifest.target)).collect();
    assert_eq!(
        shown,
        [
            "0.10.0 x86_64-linux-gnu",
            "0.10.0-rc.1 x86_64-linux-gnu",
            "0.9.0 x86_64-linux-gnu",
            "0.2.0 aarch64-linux-gnu",
            "0.2.0 x86_64-linux-gnu"
        ]
    );
}

#[tokio::test]
async fn a_failure_of_the_first_wave_stops_a_rollout_and_the_next_asks_anew() {
    let (_directory, database) = database(3).await;
    let (ids, actor) = (IdSource::system(), Actor::CommandLine("root".into()));
    let mut transaction = database.write().await.unwrap();
    let now = UnixMillis(1_000);
    rollout::start(&mut transaction, new(&[1, 100]), (&actor, &ids), now).await.unwrap();
    let sites = store::rollout_sites(&mut transaction, 1).await.unwrap();
    let first = sites.iter().find(|site| site.wave == 0).unwrap().site.clone();
    say(&mut transaction, &first, ReleaseStanding::RolledBack, now).await;
    assert!(rollout::step(&mut transaction, &ids, now).await.unwrap());
    let last = store::newest_rollout(&mut transaction).await.unwrap().unwrap();
    assert_eq!(last.standing, Standing::Stopped);
    assert!(last.why.contains(first.as_str()) && last.why.contains("words"), "{}", last.why);
    assert_eq!(store::wanted_of(&mut transaction, &first).await.unwrap(), None);
    assert!(!rollout::step(&mut transaction, &ids, now).await.unwrap(), "twice is once");
    let chosen = NewRollout { sites: Some(vec![first.clone()]), ..new(&[100]) };
    let Started::Started(second) =
        rollout::start(&mut transaction, chosen, (&actor, &ids), now).await.unwrap()
    else {
        panic!("it does not start");
    };
    assert_eq!(second.number, 2);
    assert_eq!(store::wanted_of(&mut transaction, &first).await.unwrap().unwrap().0, 2);
}

#[tokio::test]
async fn a_word_of_another_file_is_not_taken_and_the_same_file_signed_anew_takes_its_place() {
    let (_directory, database) = database(2).await;
    let (ids, actor) = (IdSource::system(), Actor::CommandLine("root".into()));
    let mut transaction = database.write().await.unwrap();
    let now = UnixMillis(1_000);
    rollout::start(&mut transaction, new(&[100]), (&actor, &ids), now).await.unwrap();
    let standing = async |transaction: &mut crate::database::Connection| {
        store::rollout_site(transaction, 1, &id(0)).await.unwrap().unwrap().standing
    };
    let mut said = ReleaseStandingV1 {
        asked: 1,
        file_sha256: Sha256::of(b"another of this version").0,
        standing: ReleaseStanding::Verified.code(),
        have_bytes: 3,
        at_ms: 0,
        detail: String::new(),
    };
    assert!(!rollout::heard(&mut transaction, &id(0), &said, &ids, now).await.unwrap());
    assert_eq!(standing(&mut transaction).await, None);
    said.file_sha256 = Sha256::of(b"two").0;
    assert!(rollout::heard(&mut transaction, &id(0), &said, &ids, now).await.unwrap());
    assert_eq!(standing(&mut transaction).await, Some(ReleaseStanding::Verified));
    // Who refuses without a file that could be its own is believed.
    said.file_sha256 = [0; 32];
    assert!(!rollout::heard(&mut transaction, &id(1), &said, &ids, now).await.unwrap());
    said.standing = ReleaseStanding::Refused.code();
    assert!(rollout::heard(&mut transaction, &id(1), &said, &ids, now).await.unwrap());

    let mut anew = release("x86_64-linux-gnu", b"one");
    anew.manifest.oldest_version = "0.1.5".parse().unwrap();
    anew.signed = key().sign(&anew.manifest);
    assert!(store::insert_release(&mut transaction, &anew).await.unwrap());
    let known = store::releases_of(&mut transaction, "0.2.0").await.unwrap();
    assert_eq!(known.len(), 2);
    assert!(known.contains(&anew), "{known:?}");
}

#[tokio::test]
async fn a_site_whose_agent_is_too_old_holds_no_wave_and_what_waits_asks_for_no_writer() {
    let (_directory, database) = database(3).await;
    let (ids, actor) = (IdSource::system(), Actor::CommandLine("root".into()));
    let mut transaction = database.write().await.unwrap();
    let mut now = UnixMillis(1_000);
    let old = "UPDATE sites SET is_online = 1, protocol_newest = CASE id WHEN 'site-1' THEN 2 ELSE 3 END";
    sqlx::query(old).execute(&mut *transaction).await.unwrap();
    rollout::start(&mut transaction, new(&[50, 100]), (&actor, &ids), now).await.unwrap();
    let sites = store::rollout_sites(&mut transaction, 1).await.unwrap();
    let is_old = |site: &&RolloutSite| site.is_too_old();
    assert_eq!(
        sites.iter().filter(is_old).map(|site| (site.site.clone(), site.wave)).collect::<Vec<_>>(),
        [(id(1), 1)]
    );
    assert_eq!(rollout::due(&mut transaction, now).await.unwrap(), None, "nothing is to be written");
    for able in [id(0), id(2)] {
        say(&mut transaction, &able, ReleaseStanding::Verified, now).await;
    }
    now = now.plus(HOUR);
    assert!(rollout::due(&mut transaction, now).await.unwrap().is_some());
    assert!(rollout::step(&mut transaction, &ids, now).await.unwrap());
    assert!(rollout::step(&mut transaction, &ids, now).await.unwrap(), "the old one is waited for");
    let last = store::newest_rollout(&mut transaction).await.unwrap().unwrap();
    assert_eq!(last.standing, Standing::Done);
}

#[test]
fn a_release_file_is_kept_if_it_is_whole_and_ours_and_parts_are_read_from_it() {
    let directory = TemporaryDirectory::new();
    let (path, kept) = (directory.path().join("a.release"), directory.path().join("releases"));
    let release = release("x86_64-linux-gnu", b"compressed");
    let write = |bytes: &[u8]| {
        std::fs::write(&path, [release.signed.file_head().as_slice(), bytes].concat()).unwrap();
    };
    let public = key().public();
    write(b"compressed");
    assert_eq!(
        files::take(&path, &kept, &public).unwrap(),
        (release.signed.clone(), release.manifest.clone())
    );
    let part = |offset, length| files::part(&kept, release.file(), offset, length).unwrap();
    assert_eq!(
        (part(0, 4), part(4, 99), part(10, 5), part(u64::MAX, 5)),
        (b"comp".into(), b"ressed".into(), vec![], vec![])
    );
    let stranger = SigningKey::from_seed(&[4; 32]).unwrap().public();
    assert!(files::take(&path, &kept, &stranger).unwrap_err().to_string().contains("none of the keys"));
    for bad in [b"compresseD".as_slice(), b"compress", b"compressed and more", b""] {
        write(bad);
        assert!(files::take(&path, &kept, &public).unwrap_err().to_string().contains("damaged"), "{bad:?}");
    }
    std::fs::write(&path, b"no release").unwrap();
    assert!(files::take(&path, &kept, &public).unwrap_err().to_string().contains("no release file"));
    files::remove(&kept, release.file()).unwrap();
    files::remove(&kept, release.file()).unwrap();
    assert!(files::part(&kept, release.file(), 0, 4).is_err());
}
