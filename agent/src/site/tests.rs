//! The heart of the agent where its store opens late and the disk then hangs: what no link shows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{
    Access, LineV1, OfflineRuleV1, Restraint, RestraintV1, Service, StateDeltaV1, encode,
};
use tawi_shared::{Clock, UnixMillis};
use tokio::sync::watch;

use tracing::level_filters::LevelFilter;

use super::*;
use crate::clock::{KeptTime, build_date};
use crate::contact::KeptSilence;
use crate::desired::Taken;
use crate::outbox::{Keeper, StoreError};
use crate::reconcile::found::Remembered;
use crate::reconcile::memory::RouterMemory;
use crate::tuning::{FromOffice, Tuned};
use crate::usage::quota::QuotaBook;

/// A directory of its own for each test, gone at the end.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory() -> Directory {
    let path = std::env::temp_dir().join(format!("tawi-site-{}", IdSource::system().hex(4)));
    std::fs::create_dir_all(&path).unwrap();
    Directory(path)
}

fn delta() -> StateDeltaV1 {
    let line = LineV1 {
        line: "a".into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: "a".into(),
        password: "p".into(),
        profile: "home".into(),
        access: Access::Open.code(),
        ..LineV1::default()
    };
    StateDeltaV1 {
        from_generation: 0,
        to_generation: 1,
        state_hash: StateHash::of([&line], []).to_bytes(),
        lines: vec![line],
        removed_lines: vec![],
        profiles: vec![],
        removed_profiles: vec![],
    }
}

fn state() -> Arc<DesiredState> {
    let Taken::Moved(state) = DesiredState::default().take_delta(&delta()) else {
        panic!("the state does not move")
    };
    Arc::new(state)
}

async fn site(directory: &Directory) -> (Site, watch::Receiver<Arc<DesiredState>>) {
    site_at(directory, Clock::system()).await
}

async fn site_at(directory: &Directory, hands: Clock) -> (Site, watch::Receiver<Arc<DesiredState>>) {
    let clock = TrustedClock::new(hands, KeptTime::default());
    let (outbox, opening) = Outbox::start(&directory.0, IdSource::system(), Clock::system()).await.unwrap();
    let (sender, state) = watch::channel(Arc::default());
    let tuned =
        Tuned { hourly_bytes: 0, report: Duration::ZERO, keep_alive: None, log_level: LevelFilter::INFO };
    let tools = Tools {
        site: SiteId::parse("nyeri-01").unwrap(),
        clock,
        contact: Contact::default(),
        ids: IdSource::system(),
        outbox,
        state: sender,
        quotas: Quotas::new(QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions)),
        tuning: Tuning::new(tuned, true, FromOffice::default()),
        bytes: Arc::default(),
        log: ApiLog::default(),
        routers: vec!["core".to_owned()],
        orders: BTreeMap::new(),
        memories: BTreeMap::from([("core".to_owned(), FoundMemory::default())]),
        errands: mpsc::channel(1).0,
        upgrade: UpgradeTools {
            errands: mpsc::channel(1).0,
            prove_within: Duration::MAX,
            version: "0.1.0".to_owned(),
            is_release: false,
        },
    };
    (Site::new(tools, &opening), state)
}

/// Two sites of one head office have the same messages, but for the topic.
#[tokio::test]
async fn what_is_for_another_site_is_not_taken() {
    let directory = directory();
    let (mut site, _state) = site(&directory).await;
    let bytes = encode(&delta(), 0, 0, 0).unwrap();
    let mut heard = async |topic: &str| {
        site.hear(Delivery::by_hand(topic, bytes.clone()), &mut Vec::new()).await;
        (site.desired.generation, site.messages_refused)
    };
    assert_eq!(heard("v1/nyeri-02/down/state").await, (0, 1));
    assert_eq!(heard("v1/nyeri-01/up/hello").await, (0, 2));
    assert_eq!(heard("v1/nyeri-01/down/state").await, (1, 2));
}

/// The disk hangs between the store's opening and the moment at which what it remembers is handed on.
#[tokio::test]
async fn a_state_that_is_found_late_is_given_to_nobody_before_what_was_remembered_with_it() {
    let directory = directory();
    let (mut keeper, _) = Keeper::open(&directory.0, IdSource::system(), Clock::system());
    keeper.put_state(state()).unwrap();
    let memory = RouterMemory { serial: "HEX1".into(), ..RouterMemory::default() };
    keeper.put_memory("core", &memory).unwrap();
    let (mut site, given) = site(&directory).await;
    site.refresh_overview().await;
    assert_eq!((given.borrow().generation, site.overview.epoch), (0, 0), "the store is shut");

    drop(keeper);
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = Arc::new(Mutex::new(hold));
    let (hangs, mut is_hanging) = mpsc::channel(1);
    let outbox = site.tools.outbox.clone();
    let hang = async {
        // One such question always waits behind the call that opens the store.
        let is_over = loop {
            let (hold, hangs) = (Arc::clone(&hold), hangs.clone());
            let asked = outbox.call(move |keeper| {
                keeper.found_late().is_some() && {
                    hangs.try_send(()).unwrap();
                    hold.lock().unwrap().recv().is_ok()
                }
            });
            match asked.await {
                Ok(false) => {}
                over => break over,
            }
        };
        assert_eq!(is_over, Err(StoreError::Hung));
    };
    let stop_time = async {
        is_hanging.recv().await.unwrap();
        tokio::time::pause();
    };
    site.chores.store = Instant::now() - STORE_EVERY;
    let all = async { tokio::join!(site.tick(), hang, stop_time) };
    all.await;
    assert_eq!(given.borrow().generation, 0, "nobody knows which board it was");

    release.send(()).unwrap();
    tokio::time::resume();
    let found = async {
        while given.borrow().generation == 0 {
            site.chores.store = Instant::now() - STORE_EVERY;
            site.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the state is found");
    let found = site.tools.memories.get("core").and_then(FoundMemory::take).expect("it was given");
    assert_eq!(found.memory, memory);
    assert!(!site.is_state_doubted);
}

#[tokio::test]
async fn a_status_says_which_board_is_another_and_how_many_lines_the_silence_closed() {
    let directory = directory();
    let (mut site, _) = site(&directory).await;
    let mut wanted = (*state()).clone();
    let line = wanted.lines.get("a").unwrap().item.clone();
    let offline = |then: Restraint| OfflineRuleV1 {
        after_hours: 0,
        then: RestraintV1 { how: then.code(), profile: "slow".into() },
    };
    for (id, then) in [("b", Restraint::Off), ("c", Restraint::Throttled)] {
        let item = LineV1 { line: id.into(), offline: Some(offline(then)), ..line.clone() };
        wanted.restore_line(item, 1);
    }
    site.desired = Arc::new(wanted);
    site.progress.settled("core", 1, vec![]);
    let status = site.status();
    assert_eq!((status.state.applied_generation, status.routers[0].settled_generation), (1, 1));
    assert_eq!(status.state.offline_rule_lines, 2);
    assert!(status.state.offline_rule_since_ms.is_some_and(|since| since <= status.clock.now_ms));
    site.progress.trouble("core", Some(crate::trouble::another_board("NEW1", "OLD1")));
    let status = site.status();
    assert_eq!((status.state.applied_generation, status.routers[0].settled_generation), (0, 0));
    assert!(status.problems().iter().any(|problem| problem.contains("rebuild")), "{:?}", status.problems());
    site.tools.contact.note();
    site.desired = state();
    let status = site.status();
    assert_eq!((status.state.offline_rule_lines, status.state.offline_rule_since_ms), (0, None));
}

#[tokio::test]
async fn a_store_that_opens_late_brings_the_time_and_nothing_is_written_over_it_before() {
    let (directory, hour) = (directory(), Duration::from_secs(3_600));
    let now = build_date().plus(25 * 24 * hour);
    let time = KeptTime {
        floor: now.minus(Duration::from_secs(30)),
        vouched: Some(now.minus(hour)),
        leap_in_doubt: None,
    };
    let marks =
        Marks { time, silence: Some(KeptSilence::unheeded(5 * hour)), lived: None, ..Marks::default() };
    let (mut keeper, _) = Keeper::open(&directory.0, IdSource::system(), Clock::manual(now));
    keeper.put_marks(marks);
    let (mut site, _) = site_at(&directory, Clock::manual(now)).await;
    assert!(!site.tools.clock.reading().is_trusted, "a machine that is weeks ahead of all that is known");

    drop(keeper);
    let opens = async {
        loop {
            let opened = site.tools.outbox.call(|keeper| {
                keeper.recover();
                keeper.found_late().is_some()
            });
            if opened.await.unwrap() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), opens).await.expect("the store opens");
    site.keep_marks().await;
    let noted = site.tools.outbox.call(|keeper| keeper.noted_marks()).await.unwrap();
    assert_eq!(noted, Marks::default(), "the floor would be the build date");

    site.refresh_overview().await;
    site.join_found_store().await;
    let reading = site.tools.clock.reading();
    assert!(reading.is_trusted && reading.now >= now, "{reading:?}");
    assert!(site.tools.contact.whole_silence() >= 5 * hour);
    site.keep_marks().await;
    let noted = site.tools.outbox.call(|keeper| keeper.noted_marks()).await.unwrap();
    assert!(noted.time.floor >= now, "{noted:?}");
    assert!(noted.silence.unwrap().whole >= 5 * hour, "{noted:?}");
}

/// It opened at no start since it was begun anew, and does not know whom the one before had cut off.
#[tokio::test]
async fn a_store_that_was_begun_anew_and_opens_late_says_how_much_of_the_past_it_knows() {
    let (directory, lived) = (directory(), Some(Duration::from_secs(1_200)));
    let (mut keeper, _) = Keeper::open(&directory.0, IdSource::system(), Clock::system());
    keeper.put_marks(Marks { lived, ..Marks::default() });
    let (mut site, _) = site(&directory).await;
    drop(keeper);
    let opens = async {
        while site.overview.epoch == 0 {
            site.recover().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), opens).await.expect("the store opens");
    site.join_found_store().await;
    let found = site.tools.memories.get("core").and_then(FoundMemory::take).expect("it was given");
    assert_eq!(found, Remembered { lived, ..Remembered::default() });
}

#[tokio::test]
async fn a_status_says_how_long_ago_things_were_also_after_the_clock_leapt() {
    let directory = directory();
    let (mut site, _) = site_at(&directory, Clock::manual(UnixMillis(0))).await;
    site.progress.checked("core", site.started.elapsed(), Duration::ZERO);
    let office = site.tools.clock.now().plus(Duration::from_secs(9 * 86_400));
    site.tools.clock.note_controller_time(office);
    let status = site.status();
    assert!(UnixMillis(status.clock.now_ms).since(office) < Duration::from_secs(60), "it is followed");
    for at in [Some(status.started_at_ms), status.routers[0].full_check_at_ms] {
        let ago = status.clock.now_ms - at.unwrap();
        assert!((0..60_000).contains(&ago), "{ago} ms ago");
    }
}
