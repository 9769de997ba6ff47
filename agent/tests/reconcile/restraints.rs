//! Lines that may do less than their plan says: suspended, or because head office is silent.

use std::time::Duration;

use crate::site::{PATIENCE, Site, username};
use routeros_sim::DeviceState;
use tawi_agent::contact::{Contact, KeptSilence};
use tawi_agent::flow::{LineFailure, Report};
use tawi_shared::wire::{Access, EventKind, FailureKind, OfflineRuleV1, Restraint, RestraintV1, Service};

const HOUR: Duration = Duration::from_secs(3_600);

fn restraint(how: Restraint, profile: &str) -> RestraintV1 {
    RestraintV1 { how: how.code(), profile: profile.into() }
}

/// Suspends a line that is online, and gives the failures.
async fn suspend(site: &mut Site, how: Restraint, profile: &str) -> Vec<LineFailure> {
    site.settle(|wants| {
        wants.profile("slow", Service::Pppoe, 1);
        let line = wants.line("plot1");
        line.suspension = restraint(how, profile);
        line.access = Access::Suspended.code();
    })
    .await
}

/// Waits until the device's session has this rate.
async fn runs_at(site: &Site, rate: &str) {
    let look = || site.rows("queue/simple").iter().any(|queue| queue["max-limit"] == rate).then_some(());
    if site.router.wait_for(PATIENCE, look).await.is_err() {
        panic!("{:?}", site.rows("queue/simple"));
    }
}

#[tokio::test]
async fn a_suspended_line_goes_on_slowly_or_is_walled_in_or_off_as_its_plan_says() {
    for how in [Restraint::Throttled, Restraint::Walled] {
        let mut site = Site::start().await;
        let device = site.dial("plot1");
        site.settle(|wants| wants.open("plot1")).await;
        site.online(&device).await;
        assert!(suspend(&mut site, how, "slow").await.is_empty());
        let row = site.secret(&username("plot1")).unwrap();
        assert_eq!((row["profile"].as_str(), row["disabled"].as_str()), ("slow", "false"));
        runs_at(&site, "250000/1000000").await;
        site.settle(|wants| wants.line("plot1").access = Access::Open.code()).await;
        runs_at(&site, "5000000/20000000").await;
    }
}

#[tokio::test]
async fn a_line_whose_time_ends_says_so_once_however_it_is_restrained() {
    for how in [Restraint::Throttled, Restraint::Walled, Restraint::Off] {
        let mut site = Site::start().await;
        let device = site.dial("plot1");
        let until = site.in_millis(1_500);
        site.settle(|wants| {
            wants.profile("slow", Service::Pppoe, 1);
            let line = wants.line("plot1");
            let profile = if how == Restraint::Off { "" } else { "slow" };
            line.suspension = restraint(how, profile);
            line.valid_until_ms = Some(until);
        })
        .await;
        site.online(&device).await;
        let event = site.event(EventKind::LineExpired).await;
        assert_eq!(event.line.as_deref(), Some("plot1"), "{how:?}");
        let became = match how {
            Restraint::Throttled => "slowed down",
            Restraint::Walled => "it reaches the pay page only",
            Restraint::Off => "switched off",
        };
        assert_eq!(event.detail, format!("its time is over; {became}, as its plan says"));
        // Nor does the next pass over every row say it again.
        site.settle(|wants| wants.open("another")).await;
        let is_told =
            |report: &&Report| matches!(report, Report::Event(event) if event.kind == EventKind::LineExpired);
        assert_eq!(site.log.iter().filter(is_told).count(), 1, "{how:?}");
    }
}

#[tokio::test]
async fn a_restraint_without_its_profile_is_a_failure_and_opens_nobody() {
    let mut site = Site::start().await;
    for profile in ["", "nowhere"] {
        let failures = suspend(&mut site, Restraint::Throttled, profile).await;
        assert_eq!(failures.iter().map(|failure| failure.kind).collect::<Vec<_>>(), [FailureKind::Refused]);
        assert!(site.secret(&username("plot1")).is_none());
    }
}

#[tokio::test]
async fn a_line_whose_plan_says_so_is_restrained_while_head_office_is_silent_and_freed_by_its_first_word() {
    let contact = Contact::remembered_after(Duration::ZERO, KeptSilence::unheeded(5 * HOUR));
    let handle = contact.clone();
    let mut site = Site::start_with(|_| {}, move |settings| settings.contact = handle).await;
    let device = site.dial("plot1");
    let rule =
        |after_hours, how, profile: &str| Some(OfflineRuleV1 { after_hours, then: restraint(how, profile) });
    site.settle(|wants| {
        wants.profile("slow", Service::Pppoe, 1);
        wants.line("plot1").offline = rule(5, Restraint::Throttled, "slow");
        wants.line("patient").offline = rule(6, Restraint::Off, "");
        wants.open("kept");
    })
    .await;
    assert_eq!(site.secret(&username("plot1")).unwrap()["profile"], "slow");
    assert_eq!(site.secret(&username("patient")).unwrap()["disabled"], "false");
    assert_eq!(site.secret(&username("kept")).unwrap()["profile"], "home");
    site.online(&device).await;
    contact.note();
    site.row_until("ppp/secret", &username("plot1"), |row| row["profile"] == "home").await;
    runs_at(&site, "5000000/20000000").await;
    assert_eq!(site.router.device(&device).unwrap().state, DeviceState::Online);
}

/// An agent that was started in the middle of a silence strikes only once it has heard nobody for a while itself.
#[tokio::test]
async fn a_rule_strikes_after_the_runs_own_silence_and_whom_it_cut_off_is_back_with_the_first_word() {
    let contact = Contact::remembered_after(Duration::from_secs(10), KeptSilence::unheeded(6 * HOUR));
    let handle = contact.clone();
    let mut site = Site::start_with(
        |_| {},
        move |settings| {
            settings.contact = handle;
            // No full check comes before a test gives up: the end of the run's own silence itself wakes the agent.
            settings.timings.full_check = Duration::from_secs(120);
        },
    )
    .await;
    let devices = [site.dial("cut"), site.dial("slowed")];
    let rule = |how, profile: &str| Some(OfflineRuleV1 { after_hours: 5, then: restraint(how, profile) });
    site.settle(|wants| {
        wants.profile("slow", Service::Pppoe, 1);
        wants.line("cut").offline = rule(Restraint::Off, "");
        wants.line("slowed").offline = rule(Restraint::Throttled, "slow");
    })
    .await;
    assert_eq!(site.secret(&username("cut")).unwrap()["disabled"], "false", "the link had no chance yet");
    site.row_until("ppp/secret", &username("cut"), |row| row["disabled"] == "true").await;
    site.row_until("ppp/secret", &username("slowed"), |row| row["profile"] == "slow").await;
    site.offline(&devices[0]).await;
    contact.note();
    site.row_until("ppp/secret", &username("cut"), |row| row["disabled"] == "false").await;
    site.row_until("ppp/secret", &username("slowed"), |row| row["profile"] == "home").await;
    for device in &devices {
        site.online(device).await;
    }
}

/// Each of the runs is too short to strike anew.
#[tokio::test]
async fn an_agent_that_is_started_again_and_again_undoes_no_rule_that_had_struck() {
    let contact = Contact::remembered_after(Duration::ZERO, KeptSilence::unheeded(6 * HOUR));
    let handle = contact.clone();
    let mut site = Site::start_with(|_| {}, move |settings| settings.contact = handle).await;
    let devices = [site.dial("cut"), site.dial("slowed"), site.dial("patient")];
    let rule =
        |after_hours, how, profile: &str| Some(OfflineRuleV1 { after_hours, then: restraint(how, profile) });
    site.settle(|wants| ["cut", "slowed", "patient"].into_iter().for_each(|name| wants.open(name))).await;
    site.settle(|wants| {
        wants.profile("slow", Service::Pppoe, 1);
        wants.line("cut").offline = rule(5, Restraint::Off, "");
        wants.line("slowed").offline = rule(6, Restraint::Throttled, "slow");
        wants.line("patient").offline = rule(7, Restraint::Off, "");
    })
    .await;
    site.offline(&devices[0]).await;
    for device in &devices[1..] {
        site.online(device).await;
    }
    runs_at(&site, "250000/1000000").await;
    let session =
        |site: &Site| site.rows("ppp/active").iter().map(|row| row[".id"].clone()).collect::<Vec<_>>();
    let (writes, sessions, mut kept) = (site.writes(), session(&site), contact.kept());
    for _ in 0..3 {
        let started = Contact::remembered_after(HOUR, KeptSilence { whole: kept.whole + HOUR, ..kept });
        let handle = started.clone();
        site.restart(move |settings| settings.contact = handle).await;
        site.settled(2).await;
        assert_eq!((site.writes(), session(&site)), (writes, sessions.clone()));
        kept = started.kept();
    }
    assert_eq!(site.secret(&username("cut")).unwrap()["disabled"], "true");
    assert_eq!(site.secret(&username("slowed")).unwrap()["profile"], "slow");
    assert_eq!(site.secret(&username("patient")).unwrap()["disabled"], "false", "seven hours are long over");
    assert!(kept.whole > 8 * HOUR, "{kept:?}");
}
