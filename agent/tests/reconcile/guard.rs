//! Plans that would cut off too many people wait for a person.

use std::time::Duration;

use crate::site::{FlashMood, PATIENCE, Site, Wants, username};
use routeros_sim::FaultsChange;
use tawi_agent::clock::TrustedClock;
use tawi_agent::flow::{LineFailure, Report};
use tawi_agent::reconcile::found::Remembered;
use tawi_agent::reconcile::guard::GuardLimits;
use tawi_agent::reconcile::orders::What;
use tawi_shared::UnixMillis;
use tawi_shared::wire::{Access, EventKind, FailureKind, QuotaV1, Restraint, RestraintV1, Service};

/// More than one pass may change.
const LINES: usize = 120;

fn names() -> impl Iterator<Item = String> {
    (0..LINES).map(|number| format!("line-{number:03}"))
}

fn enabled(site: &Site) -> usize {
    let is_enabled = |row: &&crate::site::Shown| {
        row.get("comment").is_some_and(|mark| mark.starts_with("tawi:")) && row["disabled"] == "false"
    };
    site.rows("ppp/secret").iter().filter(is_enabled).count()
}

async fn hold(site: &mut Site, change: impl FnOnce(&mut Wants<'_>)) {
    let failures = site.settle(change).await;
    assert_eq!(failures.len(), LINES, "{:?}", failures.first());
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Held));
    assert!(
        site.log
            .iter()
            .any(|report| matches!(report, Report::Event(event) if event.kind == EventKind::PlanHeld))
    );
}

#[tokio::test]
async fn a_state_that_switches_everybody_off_is_held_and_its_harmless_part_is_not() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    hold(&mut site, |wants| {
        names().for_each(|name| wants.switch_off(&name));
        wants.open("new");
    })
    .await;
    assert_eq!(enabled(&site), LINES + 1);
    assert!(site.secret(&username("new")).is_some());
    site.release.release("root");
    site.event(EventKind::PlanReleased).await;
    assert!(site.settled(2).await.is_empty());
    assert_eq!(enabled(&site), 1);
}

/// A wrong state comes in two parts, and people compare the event with the page.
#[tokio::test]
async fn an_event_names_as_many_held_lines_as_the_page_lists() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.full_check = Duration::from_millis(100)).await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    for held in [LINES / 2, LINES] {
        site.settle(|wants| names().take(held).for_each(|name| wants.switch_off(&name))).await;
        let event = site.event(EventKind::PlanHeld).await;
        let expected = format!("{held} of {LINES} working lines would lose access; waits for a person");
        assert_eq!(event.detail, expected);
        let last = |report: &Report| match report {
            Report::Held { held, .. } => Some((held.lines.len(), held.working)),
            _ => None,
        };
        assert_eq!(site.log.iter().rev().find_map(last), Some((held, LINES)));
        let of_a_line = |report: &Report| match report {
            Report::Settled { failures, .. } => failures.first().map(|failure| failure.detail.clone()),
            _ => None,
        };
        let told = site.log.iter().rev().find_map(of_a_line).unwrap();
        assert!(told.starts_with(&format!("{expected}: ")), "{told}");
    }
}

/// People compare the page with the event of an hour ago, and lines are sold meanwhile.
#[tokio::test]
async fn a_page_counts_the_working_lines_as_the_event_did_until_the_next_event() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.full_check = Duration::from_millis(100)).await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    let held = LINES / 2;
    site.settle(|wants| names().take(held).for_each(|name| wants.switch_off(&name))).await;
    let event = site.event(EventKind::PlanHeld).await.detail;
    assert_eq!(event, tawi_shared::held_words(held, LINES));
    // One of them pays, and there are more lines than there were.
    let failures = site
        .settle(|wants| {
            (0..5).for_each(|number| wants.open(&format!("new-{number}")));
            names().take(1).for_each(|name| wants.line(&name).access = Access::Open.code());
        })
        .await;
    assert_eq!(failures.len(), held - 1);
    let last = |report: &Report| match report {
        Report::Held { held, .. } => Some((held.lines.len(), held.working)),
        _ => None,
    };
    assert_eq!(site.log.iter().rev().find_map(last), Some((held - 1, LINES)));
    let words = tawi_shared::held_words(held - 1, LINES);
    assert!(failures.iter().all(|failure| failure.detail.starts_with(&words)), "{failures:?}");
}

/// Most of a mistake is taken back: what is left is no longer more than the limits, and nobody may be told so.
#[tokio::test]
async fn what_is_left_of_a_hold_is_not_said_to_be_more_than_the_limits() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    site.settle(|wants| names().take(30).for_each(|name| wants.switch_off(&name))).await;
    let failures = site
        .settle(|wants| names().take(26).for_each(|name| wants.line(&name).access = Access::Open.code()))
        .await;
    assert_eq!(failures.len(), 4, "{failures:?}");
    for failure in &failures {
        assert!(!failure.detail.contains("more than 10 lines"), "{failure:?}");
        assert!(failure.detail.contains("within 10 lines or 20 %"), "{failure:?}");
    }
}

/// People at head office read the event: it must say who let go how much.
#[tokio::test]
async fn an_event_says_who_let_go_how_many_lines() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    hold(&mut site, |wants| names().for_each(|name| wants.switch_off(&name))).await;
    site.release.release("wanjiru");
    assert_eq!(site.event(EventKind::LetGoAtSite).await.detail, format!("{LINES} lines, by wanjiru"));
    let released = site.event(EventKind::PlanReleased).await.detail;
    assert_eq!(released, format!("{LINES} lines let go at the site by wanjiru"));
    site.settle(|wants| names().for_each(|name| wants.line(&name).access = Access::Open.code())).await;
    hold(&mut site, |wants| names().for_each(|name| wants.switch_off(&name))).await;
    let held = |report: &Report| match report {
        Report::Held { held, .. } if held.lines.len() == LINES => Some(held.digest()),
        _ => None,
    };
    let digest = site.until("what is held", held).await;
    site.order(What::LetGo { digest }).await;
    let released = site.event(EventKind::PlanReleased).await.detail;
    assert_eq!(released, format!("{LINES} lines {}", tawi_shared::LET_GO_BY_OFFICE));
}

/// What is held between two events is told of by the next full check, which is an hour away.
#[tokio::test]
async fn no_more_lines_are_held_than_work() {
    // Four lines are few enough to be looked at without a full check.
    let limits = GuardLimits { lines: 0, percent: 1, ..GuardLimits::default() };
    let mut site = Site::start_with(|_| {}, |settings| settings.guard = limits).await;
    let all = site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    assert!(all.is_empty(), "{all:?}");
    site.settle(|wants| names().for_each(|name| wants.switch_off(&name))).await;
    assert_eq!(site.event(EventKind::PlanHeld).await.detail, tawi_shared::held_words(LINES, LINES));
    const NEW: usize = 4;
    let new = || (0..NEW).map(|number| format!("new-{number}"));
    site.settle(|wants| new().for_each(|name| wants.open(&name))).await;
    let failures = site.settle(|wants| new().for_each(|name| wants.switch_off(&name))).await;
    let words = tawi_shared::held_words(LINES + NEW, LINES + NEW);
    assert_eq!(failures.len(), LINES + NEW);
    assert!(failures.iter().all(|failure| failure.detail.starts_with(&words)), "{failures:?}");
}

#[tokio::test]
async fn what_a_person_let_go_is_not_forgotten_over_a_payment_that_comes_first() {
    let mut site = Site::start().await;
    // Which of two that come at once is seen first is chance: a few rounds see both.
    for round in 1..=5 {
        site.settle(|wants| names().for_each(|name| wants.line(&name).access = Access::Open.code())).await;
        hold(&mut site, |wants| names().for_each(|name| wants.switch_off(&name))).await;
        site.release.release("root");
        site.want(|wants| wants.open(&format!("paid-{round}")));
        let is_cut = |report: &Report| match report {
            Report::Settled { failures, .. } => failures.is_empty().then_some(()),
            _ => None,
        };
        site.until("everybody to be cut off", is_cut).await;
        assert_eq!(enabled(&site), round);
    }
}

#[tokio::test]
async fn a_state_without_lines_removes_nobody_until_a_person_says_so() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    hold(&mut site, |wants| wants.lines.clear()).await;
    assert_eq!(enabled(&site), LINES);
    // The mistake is taken back: nothing was written for it, and nobody noticed.
    let writes = site.writes();
    let failures = site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    assert!(failures.is_empty(), "{failures:?}");
    let is_released =
        |report: &Report| matches!(report, Report::Event(event) if event.kind == EventKind::PlanReleased);
    assert!(site.log.iter().any(is_released));
    assert_eq!((enabled(&site), site.writes()), (LINES, writes));
}

/// A look at one of them alone, because somebody touched its row, lets nobody go.
#[tokio::test]
async fn what_is_held_is_not_let_go_one_by_one() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    hold(&mut site, |wants| names().for_each(|name| wants.switch_off(&name))).await;
    let touched = username("line-007");
    let router = site.router.clone();
    let looked = router.summary().prints_total + 1;
    site.router.set_row("ppp/secret", &touched, &[("caller-id", "02:00:00:00:00:07")]).unwrap();
    let look = || (router.summary().prints_total >= looked).then_some(());
    site.hearing(router.wait_for(crate::site::PATIENCE, look)).await.unwrap();
    let failures = site.settle(|wants| wants.open("new")).await;
    assert_eq!(failures.len(), LINES);
    assert_eq!(enabled(&site), LINES + 1);
    site.release.release("root");
    site.router.wait_for(crate::site::PATIENCE, || (enabled(&site) == 1).then_some(())).await.unwrap();
}

/// It waited for a name when it was held, and its holder is changed.
#[tokio::test]
async fn whoever_is_held_is_not_woken_because_a_name_may_be_free() {
    let mut site = Site::start().await;
    site.router.add_row("ppp/secret", &[("name", "theirs"), ("password", "x")]).unwrap();
    site.settle(|wants| {
        names().for_each(|name| wants.open(&name));
        wants.open("holder");
    })
    .await;
    let failures = site
        .settle(|wants| {
            wants.line("holder").username = "theirs".into();
            wants.line("line-007").username = username("holder");
        })
        .await;
    assert_eq!(failures.len(), 2, "{failures:?}");
    let failures = site.settle(|wants| names().for_each(|name| wants.switch_off(&name))).await;
    assert_eq!(failures.len(), LINES + 1);
    let failures = site.settle(|wants| wants.line("holder").username = "fresh".into()).await;
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Held), "{failures:?}");
    let failures = site.settle(|wants| wants.open("new")).await;
    assert_eq!(failures.len(), LINES);
    assert_eq!(enabled(&site), LINES + 2);
}

/// Nobody knows whether it arrived, and it did.
#[tokio::test]
async fn whoever_was_let_in_by_a_write_that_was_never_read_back_is_no_cheaper_to_cut_off() {
    let limits = GuardLimits { lines: 0, ..GuardLimits::default() };
    let mut site = Site::start_with(|_| {}, |settings| settings.guard = limits).await;
    let two = || names().take(2);
    site.settle(|wants| two().for_each(|name| wants.open(&name))).await;
    assert_eq!(site.settle(|wants| two().for_each(|name| wants.switch_off(&name))).await.len(), 2);
    site.release.release("root");
    assert!(site.settled(2).await.is_empty());
    assert_eq!(enabled(&site), 0);

    // The router is still busy with the second when the line to it is cut.
    site.router.set_faults(FaultsChange { write_ms: Some(1_000), ..FaultsChange::default() }).unwrap();
    site.want(|wants| two().for_each(|name| wants.line(&name).access = Access::Open.code()));
    site.router.wait_for(PATIENCE, || (enabled(&site) > 0).then_some(())).await.unwrap();
    let gone = FaultsChange { refuse_connections: Some(true), ..FaultsChange::default() };
    site.router.set_faults(gone).unwrap();
    site.router.drop_connections();
    site.event(EventKind::RouterLost).await;
    let let_in = enabled(&site);
    let generation = site.want(|wants| two().for_each(|name| wants.switch_off(&name)));
    site.router.clear_faults();
    let is_looked_at = |report: &Report| match report {
        Report::Settled { generation: of, failures, .. } if *of == generation => {
            let is_away = |failure: &LineFailure| failure.kind == FailureKind::RouterUnreachable;
            (!failures.iter().any(is_away)).then(|| failures.clone())
        }
        _ => None,
    };
    let failures = site.until("a word on the cut", is_looked_at).await;
    assert_eq!((failures.len(), enabled(&site)), (let_in, let_in), "{failures:?}");
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Held), "{failures:?}");
}

#[tokio::test]
async fn a_handful_is_never_held() {
    let mut site = Site::start().await;
    site.settle(|wants| names().take(8).for_each(|name| wants.open(&name))).await;
    assert!(site.settle(|wants| names().take(8).for_each(|name| wants.switch_off(&name))).await.is_empty());
    assert_eq!(enabled(&site), 0);
}

#[tokio::test]
async fn a_clock_that_leaps_expires_nobody_and_a_leap_that_is_confirmed_still_asks_a_person() {
    let mut site =
        Site::start_with_hands(|settings| settings.timings.full_check = Duration::from_millis(100)).await;
    let tomorrow = site.in_millis(86_400_000);
    site.settle(|wants| names().for_each(|name| wants.line(&name).valid_until_ms = Some(tomorrow))).await;
    site.hands.advance(Duration::from_secs(3 * 86_400));
    assert!(site.clock.now().0 < tomorrow);
    let checked = site.router.summary().prints_total + 20;
    let look = || (site.router.summary().prints_total >= checked).then_some(());
    site.router.wait_for(crate::site::PATIENCE, look).await.unwrap();
    assert_eq!(enabled(&site), LINES);
    site.clock.note_controller_time(site.hands.now());
    site.event(EventKind::PlanHeld).await;
    assert_eq!(enabled(&site), LINES);
    site.release.release("root");
    site.event(EventKind::PlanReleased).await;
    site.event(EventKind::LineExpired).await;
    site.router.wait_for(crate::site::PATIENCE, || (enabled(&site) == 0).then_some(())).await.unwrap();
}

/// Switches lines off one by one, as a mistaken script would, until the guard holds `held` of them.
async fn switch_off_singly(site: &mut Site, lines: usize, held: usize) {
    site.settle(|wants| names().take(lines).for_each(|name| wants.open(&name))).await;
    let mut failures = Vec::new();
    for name in names().take(lines) {
        failures = site.settle(|wants| wants.switch_off(&name)).await;
    }
    assert_eq!((failures.len(), enabled(site)), (held, held), "{failures:?}");
    let words = format!("{held} of {held} working lines would lose access; waits for a person: ");
    for failure in &failures {
        assert_eq!(failure.kind, FailureKind::Held);
        assert!(failure.detail.starts_with(&words) && failure.detail.contains("10 that lost"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_restart_lets_nobody_go_whom_the_guard_holds() {
    let mut site = Site::start().await;
    switch_off_singly(&mut site, 14, 4).await;
    // By a power cut, and again by one.
    for _ in 0..2 {
        site.restart(|_| {}).await;
        let failures = site.settled(15).await;
        assert!(failures.iter().all(|failure| failure.kind == FailureKind::Held), "{failures:?}");
        assert_eq!((failures.len(), enabled(&site)), (4, 4));
    }
    site.release.release("root");
    site.router.wait_for(PATIENCE, || (enabled(&site) == 0).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_restart_within_the_hour_leaves_no_room_for_as_many_cuts_again() {
    let mut site = Site::start_with_hands(|_| {}).await;
    switch_off_singly(&mut site, 10, 0).await;
    let is_kept = site.flash.kept().is_some_and(|kept| kept.cuts.len() == 10);
    assert!(is_kept, "{:?}", site.flash.kept());
    site.restart(|_| {}).await;
    site.settle(|wants| wants.open("eleventh")).await;
    let failures = site.settle(|wants| wants.switch_off("eleventh")).await;
    assert_eq!((failures.len(), enabled(&site)), (1, 1), "{failures:?}");
    // An hour later, by the trusted clock, nobody minds.
    site.hands.advance(Duration::from_secs(3_601));
    site.clock.note_controller_time(site.hands.now());
    site.restart(|_| {}).await;
    site.router.wait_for(PATIENCE, || (enabled(&site) == 0).then_some(())).await.unwrap();
}

/// His time was over, and the guard held that; nothing was taken from him that has to be given back.
#[tokio::test]
async fn whoever_pays_while_the_guard_holds_his_cut_keeps_the_session_that_runs() {
    for how in [Restraint::Off, Restraint::Walled] {
        let mut site = Site::start().await;
        site.settle(|wants| {
            names().for_each(|name| {
                let line = wants.line(&name);
                line.suspension = RestraintV1 {
                    how: how.code(),
                    profile: if how == Restraint::Walled { "walled".into() } else { String::new() },
                };
            });
            wants.profile("walled", Service::Pppoe, 1);
        })
        .await;
        let name = names().next().unwrap();
        let device = site.dial(&name);
        site.online(&device).await;
        let before = site.row("ppp/active", &username(&name)).unwrap()["session-id"].clone();
        let failures = site
            .settle(|wants| names().for_each(|name| wants.line(&name).access = Access::Suspended.code()))
            .await;
        assert_eq!(failures.len(), names().count(), "{failures:?}");
        let failures = site.settle(|wants| wants.line(&name).access = Access::Open.code()).await;
        assert_eq!(failures.len(), names().count() - 1, "{failures:?}");
        let after = site.row("ppp/active", &username(&name)).map(|row| row["session-id"].clone());
        assert_eq!(after, Some(before), "{how:?}");
    }
}

/// Wants the quota of these lines to be so large.
async fn allow(site: &mut Site, from_ms: i64, names: &[String], bytes: u64) -> Vec<LineFailure> {
    site.settle(|wants| {
        for name in names {
            let line = wants.line(name);
            line.quotas = vec![QuotaV1 { from_ms, bytes }];
            line.after_quota = RestraintV1 { how: Restraint::Off.code(), profile: String::new() };
        }
    })
    .await
}

async fn guarded_by_five() -> (Site, i64, Vec<String>) {
    let limits = GuardLimits { lines: 5, ..GuardLimits::default() };
    let mut site = Site::start_with(|_| {}, |settings| settings.guard = limits).await;
    let (from_ms, six): (_, Vec<String>) = (site.in_millis(0), names().take(6).collect());
    assert_eq!(allow(&mut site, from_ms, &six, 1_000).await, []);
    (site, from_ms, six)
}

#[tokio::test]
async fn who_has_paid_since_his_quota_cut_him_off_holds_nobody_elses_cut() {
    let (mut site, from_ms, six) = guarded_by_five().await;
    let devices: Vec<String> = six.iter().map(|name| site.dial(name)).collect();
    for device in &devices {
        site.online(device).await;
    }
    // One by one, as people use their quotas up.
    for (name, device) in six.iter().zip(&devices).take(4) {
        site.router.move_traffic(device, 0, 1_000).unwrap();
        site.row_until("ppp/secret", &username(name), |row| row["disabled"] == "true").await;
    }
    assert_eq!(allow(&mut site, from_ms, &six[..4], 9_000).await, []);
    for device in &devices {
        site.online(device).await;
    }
    for (name, device) in six.iter().zip(&devices).skip(4) {
        site.router.move_traffic(device, 0, 1_000).unwrap();
        site.row_until("ppp/secret", &username(name), |row| row["disabled"] == "true").await;
    }
    let is_held =
        |report: &Report| matches!(report, Report::Event(event) if event.kind == EventKind::PlanHeld);
    assert!(!site.log.iter().any(is_held));
    let kept: Vec<String> = site.flash.kept().unwrap().cuts.into_keys().collect();
    assert_eq!(kept, six[4..], "nor does a restart count them");
}

#[tokio::test]
async fn a_state_that_takes_and_gives_back_what_everybody_had_leaves_no_room_for_more_cuts() {
    let (mut site, from_ms, six) = guarded_by_five().await;
    assert_eq!(allow(&mut site, from_ms, &six[..4], 0).await, []);
    assert_eq!(enabled(&site), 2);
    assert_eq!(allow(&mut site, from_ms, &six[..4], 1_000).await, []);
    assert_eq!(enabled(&site), 6);
    let failures = allow(&mut site, from_ms, &six[4..], 0).await;
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Held), "{failures:?}");
    assert_eq!((failures.len(), enabled(&site)), (2, 6));
}

/// The power goes right after the row was written, and nobody had read it back.
#[tokio::test]
async fn a_cut_is_on_flash_before_it_is_written() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("a")).await;
    site.flash.turn(FlashMood::Stuck);
    site.want(|wants| wants.switch_off("a"));
    let (router, writes) = (site.router.clone(), site.writes());
    let written = || (router.summary().writes_total > writes).then_some(());
    assert!(
        router.wait_for(Duration::from_millis(500), written).await.is_err(),
        "written before it was kept"
    );
    site.flash.turn(FlashMood::Well);
    router.wait_for(PATIENCE, written).await.unwrap();
    site.stop();
    assert!(site.flash.kept().unwrap().cuts.contains_key("a"));
}

#[tokio::test]
async fn who_cannot_read_what_the_last_hour_cut_off_cuts_nobody_off_until_it_can() {
    let mut site = Site::start().await;
    site.settle(|wants| names().take(3).for_each(|name| wants.open(&name))).await;
    site.restart(|settings| settings.is_past_unknown = true).await;
    site.settled(1).await;
    let failures = site.settle(|wants| wants.switch_off("line-000")).await;
    assert_eq!((failures.len(), enabled(&site)), (1, 3), "{failures:?}");
    assert!(failures[0].detail.contains("flash"), "{failures:?}");
    // The store opens after all, and was itself begun anew twenty minutes before the start.
    site.found().give(Remembered { lived: Some(Duration::from_secs(1_200)), ..Remembered::default() });
    let failures = site.settle(|wants| wants.switch_off("line-001")).await;
    assert_eq!((failures.len(), enabled(&site)), (2, 3), "{failures:?}");
    site.found().give(Remembered { lived: Some(Duration::from_secs(3_600)), ..Remembered::default() });
    site.router.wait_for(PATIENCE, || (enabled(&site) == 1).then_some(())).await.unwrap();
    site.restart(|settings| settings.is_past_unknown = true).await;
    let failures = site.settle(|wants| wants.switch_off("line-002")).await;
    assert_eq!((failures.len(), enabled(&site)), (1, 1), "{failures:?}");
    site.found().give(Remembered::default());
    site.router.wait_for(PATIENCE, || (enabled(&site) == 0).then_some(())).await.unwrap();
}

#[tokio::test]
async fn who_was_cut_by_a_wrong_time_is_let_in_again_as_soon_as_it_is_taken_back() {
    let mut site =
        Site::start_with_hands(|settings| settings.timings.full_check = Duration::from_secs(3_600)).await;
    let now = site.hands.now();
    let until = |hours: u64| Some(now.plus(Duration::from_secs(hours * 3_600)).0);
    let few: Vec<String> = names().take(3).collect();
    site.settle(|wants| few.iter().for_each(|name| wants.line(name).valid_until_ms = until(24))).await;
    assert_eq!(enabled(&site), few.len());
    // Two sources are wrong the same way.
    let wrong = now.plus(Duration::from_secs(2 * 86_400));
    site.hands.advance(Duration::from_secs(2 * 86_400));
    site.clock.note_controller_time(wrong);
    site.router.wait_for(crate::site::PATIENCE, || (enabled(&site) == 0).then_some(())).await.unwrap();
    site.clock.note_controller_time(now);
    site.router
        .wait_for(crate::site::PATIENCE, || (enabled(&site) == few.len()).then_some(()))
        .await
        .expect("nobody waits for the next full check");
    assert!(site.clock.now() < now.plus(Duration::from_secs(3_600)));
}

/// A power cut, as machine and router say, who may be one voice; and head office is away. Too few lines for the guard.
#[tokio::test]
async fn a_leap_without_head_office_takes_from_nobody_what_was_left_of_his_time() {
    const LEAP: Duration = Duration::from_secs(26 * 3_600);
    let mut site =
        Site::start_with_hands(|settings| settings.timings.full_check = Duration::from_secs(3_600)).await;
    let ends = |site: &Site, minutes: u64| Some(site.in_millis(minutes * 60_000));
    let few: Vec<String> = names().take(8).collect();
    site.settle(|wants| few.iter().for_each(|name| wants.open(name))).await;
    let (soon, tomorrow, later) = (site.in_millis(4_000), ends(&site, 24 * 60), ends(&site, 30 * 60));
    site.settle(|wants| {
        few[1..6].iter().for_each(|name| wants.line(name).valid_until_ms = tomorrow);
        few[6..].iter().for_each(|name| wants.line(name).valid_until_ms = later);
        wants.line(&few[0]).valid_until_ms = Some(soon);
    })
    .await;
    let kept = site.clock.kept();
    site.hands.advance(LEAP);
    let shift = i64::try_from(LEAP.as_millis()).unwrap();
    site.router.set_faults(FaultsChange { clock_shift_ms: Some(shift), ..FaultsChange::default() }).unwrap();
    site.clock = TrustedClock::new(site.hands.clone(), kept);
    site.restart(|_| {}).await;
    site.router.wait_for(PATIENCE, || (enabled(&site) == 7).then_some(())).await.unwrap();
    let reading = site.clock.reading();
    assert!(reading.is_trusted && reading.now.0 > tomorrow.unwrap(), "{reading:?}");
    site.clock.note_controller_time(site.hands.now());
    let is_over = || (enabled(&site) == 2).then_some(());
    site.router.wait_for(PATIENCE, is_over).await.expect("nobody waits for the next full check");
}

#[tokio::test]
async fn what_is_over_at_the_site_and_not_at_head_office_is_no_success() {
    let mut site = Site::start_with_hands(|_| {}).await;
    // A head office that thinks it is years ago is not believed, and sells by that clock all the same.
    let office = UnixMillis(1_700_000_000_000);
    site.clock.note_controller_time(office);
    let sold = Some(office.plus(Duration::from_secs(600)).0);
    let failures = site.settle(|wants| wants.line("a").valid_until_ms = sold).await;
    let said: Vec<_> = failures.iter().map(|failure| failure.detail.as_str()).collect();
    assert!(said.len() == 1 && said[0].contains("ahead of head office's"), "{failures:?}");
    // Head office is set right, and with it what it sells.
    site.clock.note_controller_time(site.hands.now());
    let sold = site.in_millis(600_000);
    assert!(site.settle(|wants| wants.line("a").valid_until_ms = Some(sold)).await.is_empty());
    assert_eq!(enabled(&site), 1);
}
