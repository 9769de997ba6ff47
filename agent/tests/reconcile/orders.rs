//! What a person orders of a router once: who is let go, whose session ends, whose row is taken over, and what is said
//! of it.

use std::sync::Arc;
use std::time::Duration;

use crate::site::{PATIENCE, ROUTER, Shown, Site, username};
use routeros_sim::{FaultsChange, NewDevice, Service as Dialler};
use tawi_agent::flow::{Done, Report};
use tawi_agent::reconcile::found::Remembered;
use tawi_agent::reconcile::held::Held;
use tawi_agent::reconcile::memory::RouterMemory;
use tawi_agent::reconcile::orders::{Answer, Order, What};
use tawi_shared::UnixMillis;
use tawi_shared::wire::{
    Access, CommandStatus, EventKind, FailureKind, QuotaV1, Restraint, RestraintV1, Service, SessionUsageV1,
};

const LINES: usize = 30;

fn names() -> impl Iterator<Item = String> {
    (0..LINES).map(|number| format!("line-{number:03}"))
}

impl Site {
    pub async fn order(&mut self, what: What) -> Done {
        self.order_until(what, UnixMillis(i64::MAX)).await
    }

    async fn order_until(&mut self, what: What, not_after: UnixMillis) -> Done {
        let id = format!("order-{}", self.log.len());
        let order = Order { what, not_after, answer: Answer::HeadOffice(id.clone()) };
        self.orders.give(order).unwrap();
        let is_answer = |report: &Report| match report {
            Report::Ordered { router, id: of, done } if *of == id && router == ROUTER => Some(done.clone()),
            _ => None,
        };
        self.until("an answer", is_answer).await
    }

    /// The last word on what is held, once it is of so many lines.
    async fn held(&mut self, lines: usize) -> Held {
        let is_it = |report: &Report| match report {
            Report::Held { held, .. } if held.lines.len() == lines => Some(held.clone()),
            _ => None,
        };
        self.until("what is held", is_it).await
    }
}

#[tokio::test]
async fn a_person_lets_go_exactly_what_was_shown() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    assert_eq!(site.held(0).await.digest(), "", "the first word is that nothing is held");
    site.settle(|wants| names().take(15).for_each(|name| wants.switch_off(&name))).await;
    let first = site.held(15).await;
    assert_eq!(first.working, LINES);
    site.settle(|wants| names().for_each(|name| wants.switch_off(&name))).await;
    let second = site.held(LINES).await;
    let done = site.order(What::LetGo { digest: first.digest() }).await;
    assert_eq!(
        (done.status, done.detail.as_str()),
        (CommandStatus::Failed, "what is held has changed; look again")
    );
    assert_eq!(site.row("ppp/secret", &username("line-000")).unwrap()["disabled"], "false");
    let done = site.order(What::LetGo { digest: second.digest() }).await;
    assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
    site.row_until("ppp/secret", &username("line-000"), |row| row["disabled"] == "true").await;
    site.held(0).await;
    let done = site.order(What::LetGo { digest: second.digest() }).await;
    assert_eq!((done.status, done.detail.as_str()), (CommandStatus::Failed, "nothing is held here"));
}

#[tokio::test]
async fn a_rebuild_is_not_held_back() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    site.settle(|wants| names().for_each(|name| wants.switch_off(&name))).await;
    site.held(LINES).await;
    let done = site.order(What::Rebuild).await;
    assert_eq!(done.status, CommandStatus::Succeeded);
    site.row_until("ppp/secret", &username("line-029"), |row| row["disabled"] == "true").await;
    site.event(EventKind::RouterRebuilt).await;
}

#[tokio::test]
async fn sessions_end_and_may_come_back() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot")).await;
    let device = site.dial("plot");
    site.online(&device).await;
    let done = site.order(What::EndSessions { line: "plot".into() }).await;
    assert_eq!((done.status, done.detail.as_str()), (CommandStatus::Succeeded, "its session was ended"));
    site.online(&device).await;
    let done = site.order(What::EndSessions { line: "nobodys".into() }).await;
    assert_eq!(done.status, CommandStatus::Failed);
    let late = site.order_until(What::EndSessions { line: "plot".into() }, UnixMillis(1)).await;
    assert_eq!(late.status, CommandStatus::Expired);
}

/// A row of somebody else whose customer is online, with a profile of its own.
async fn foreign_customer(site: &Site) -> (String, String) {
    let default = site.row("ppp/profile", "default").unwrap();
    let (pool, local) = (default["remote-address"].as_str(), default["local-address"].as_str());
    let profile =
        [("name", "old-home"), ("rate-limit", "2M/4M"), ("remote-address", pool), ("local-address", local)];
    site.router.add_row("ppp/profile", &profile).unwrap();
    site.router
        .add_row(
            "ppp/secret",
            &[
                ("name", "plot17"),
                ("password", "known to nobody"),
                ("service", "pppoe"),
                ("profile", "old-home"),
                ("comment", "0712345678 corner shop"),
            ],
        )
        .unwrap();
    let device = NewDevice::new("plot17", Dialler::Pppoe, "plot17", "known to nobody");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("plot17").await;
    let session = site.row("ppp/active", "plot17").unwrap();
    (session["session-id"].clone(), session[".id"].clone())
}

/// A hotspot user of somebody else who is online.
async fn foreign_guest(site: &Site) -> (String, String) {
    let user = [("name", "plot17"), ("password", "known to nobody"), ("profile", "default")];
    site.router.add_row("ip/hotspot/user", &user).unwrap();
    let device = NewDevice::new("plot17", Dialler::Hotspot, "plot17", "known to nobody");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("plot17").await;
    let (rows, is_his) = (site.rows("ip/hotspot/active"), |row: &&Shown| row["user"] == "plot17");
    (String::new(), rows.iter().find(is_his).unwrap()[".id"].clone())
}

#[tokio::test]
async fn a_row_of_somebody_else_is_taken_over_while_its_customer_stays_online() {
    let mut site = Site::start_with_hands(|_| {}).await;
    let session = foreign_customer(&site).await;
    let listed = site.order(What::ListForeign).await;
    let row = listed.rows.iter().find(|row| row.username == "plot17").unwrap();
    assert_eq!((row.rate_limit.as_str(), row.is_online, row.is_disabled), ("2M/4M", true, false));
    assert_eq!(row.comment, "0712345678 corner shop");
    let until = site.in_millis(60_000);
    let failures = site
        .settle(|wants| {
            let line = wants.line("b7k2");
            (line.username, line.password) = ("plot17".into(), String::new());
            line.valid_until_ms = Some(until);
        })
        .await;
    assert_eq!(failures.first().map(|failure| failure.kind), Some(FailureKind::ForeignRow), "{failures:?}");
    let before = site.rows("ppp/secret").len();
    let adopt = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
    let done = site.order(adopt.clone()).await;
    assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
    site.event(EventKind::RowAdopted).await;
    assert!(site.settled(1).await.is_empty());
    let row = site.secret("plot17").unwrap();
    assert_eq!((row["comment"].as_str(), row["profile"].as_str()), ("tawi:b7k2", "home"));
    assert_eq!(site.rows("ppp/secret").len(), before, "no second row was made");
    let now = site.row("ppp/active", "plot17").unwrap();
    assert_eq!((now["session-id"].clone(), now[".id"].clone()), session, "the session is the same");
    site.order(What::EndSessions { line: "b7k2".into() }).await;
    site.online("plot17").await;
    let back = site.row("ppp/active", "plot17").unwrap();
    assert_ne!(back["session-id"], session.0, "the password is the old one, or nobody would be back");
    let again = site.order(adopt).await;
    assert_eq!(again.status, CommandStatus::Succeeded, "twice is once");
    assert!(!site.order(What::ListForeign).await.rows.iter().any(|row| row.username == "plot17"));
    site.hands.advance(Duration::from_secs(61));
    site.clock.note_controller_time(site.hands.now());
    site.order(What::ListForeign).await;
    site.offline("plot17").await;
    assert_eq!(site.secret("plot17").unwrap()["disabled"], "true");
}

/// Whoever was somebody else's customer is online when the row is taken over for a line that has paid for so many bytes.
#[tokio::test]
async fn what_a_session_moved_before_its_row_was_taken_over_is_not_billed() {
    const QUOTA: u64 = 100_000_000;
    for service in [Service::Pppoe, Service::Hotspot] {
        for is_restarted in [false, true] {
            let mut site = Site::start().await;
            let session = match service {
                Service::Hotspot => foreign_guest(&site).await,
                _ => foreign_customer(&site).await,
            };
            site.router.move_traffic("plot17", 10_000_000, 300_000_000).unwrap();
            let from_ms = site.in_millis(0);
            let adopt = What::Adopt { line: "b7k2".into(), service, username: "plot17".into() };
            site.settle(|wants| {
                let line = wants.line_of("b7k2", service);
                (line.username, line.password) = ("plot17".into(), String::new());
                line.quotas = vec![QuotaV1 { from_ms, bytes: QUOTA }];
                line.after_quota = RestraintV1 { how: Restraint::Off.code(), profile: String::new() };
            })
            .await;
            if is_restarted {
                // As an agent is started that has the line on flash and never saw its sessions.
                site.restart(|settings| settings.looked_at = Arc::default()).await;
                site.looked_at_new_lines().await;
            }
            let done = site.order(adopt).await;
            assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
            // A session that dialled in just now has no counters yet.
            site.until("a first reading", |report| match report {
                Report::Usage { sessions, .. } => sessions.iter().find_map(|counted| counted.mark.counters),
                _ => None,
            })
            .await;
            let moved = |told: &SessionUsageV1| told.upload_bytes + told.download_bytes;
            site.router.move_traffic("plot17", 0, QUOTA / 2).unwrap();
            let told = site.usage(|told| told.line == "b7k2" && moved(told) > 0).await;
            assert_eq!(moved(&told), QUOTA / 2, "{service:?} {is_restarted} {told:?}");
            let menu = if service == Service::Hotspot { "ip/hotspot/active" } else { "ppp/active" };
            let user = if service == Service::Hotspot { "user" } else { "name" };
            let rows = site.rows(menu);
            let now = rows.iter().find(|row| row[user] == "plot17").unwrap();
            assert_eq!(now[".id"], session.1, "the session is the same");
            // What he moves from now on is his: he is cut when it is as much as he has bought, and not before.
            site.router.move_traffic("plot17", 0, QUOTA / 2).unwrap();
            site.event(EventKind::QuotaReached).await;
            site.offline("plot17").await;
        }
    }
}

/// What a line may do that nobody pays for any more, of a row that is taken over while its customer is online.
#[tokio::test]
async fn a_row_that_is_not_paid_for_is_restrained_once_it_is_taken_over_and_its_session_ends() {
    for how in [Restraint::Walled, Restraint::Throttled, Restraint::Off] {
        let mut site = Site::start().await;
        let (session, _) = foreign_customer(&site).await;
        let over = site.in_millis(0);
        site.settle(|wants| {
            wants.profile("slow", Service::Pppoe, 1);
            let line = wants.line("b7k2");
            (line.username, line.password) = ("plot17".into(), String::new());
            line.suspension = RestraintV1 { how: how.code(), profile: "slow".into() };
            line.valid_until_ms = Some(over);
        })
        .await;
        let listed = site.order(What::ListForeign).await;
        let line = listed.lines.iter().find(|line| line.line == "b7k2").unwrap();
        assert!(line.restraint.contains("its time is over"), "{line:?}");
        assert_eq!(line.profile, if how == Restraint::Off { "" } else { "slow" });
        let adopt = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
        let done = site.order(adopt).await;
        assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
        assert!(done.detail.contains("its time is over"), "{done:?}");
        let is_off = how == Restraint::Off;
        site.row_until("ppp/secret", "plot17", |row| {
            row["comment"] == "tawi:b7k2" && (row["profile"] == "slow" || row["disabled"] == "true")
        })
        .await;
        let is_gone = || {
            let sessions = crate::site::rows_of(&site.router, "ppp/active");
            let runs = sessions.iter().find(|row| row["name"] == "plot17");
            (runs.map(|row| row["session-id"].as_str()) != Some(session.as_str()) && runs.is_none() == is_off)
                .then_some(())
        };
        let router = site.router.clone();
        router.wait_for(PATIENCE, is_gone).await.unwrap();
    }
}

#[tokio::test]
async fn rows_that_are_not_paid_for_are_cut_off_no_faster_than_the_guard_allows_once_they_are_taken_over() {
    let mut site = Site::start().await;
    for name in names() {
        let row = [("name", username(&name)), ("password", "theirs".to_owned())];
        let row: Vec<_> = row.iter().map(|(name, value)| (*name, value.as_str())).collect();
        site.router.add_row("ppp/secret", &row).unwrap();
    }
    let over = site.in_millis(0);
    site.settle(|wants| {
        for name in names() {
            wants.open(&name);
            wants.line(&name).valid_until_ms = Some(over);
        }
    })
    .await;
    for name in names() {
        let what = What::Adopt { line: name.clone(), service: Service::Pppoe, username: username(&name) };
        assert_eq!(site.order(what).await.status, CommandStatus::Succeeded);
    }
    site.held(LINES - 10).await;
    let cut = site.rows("ppp/secret").iter().filter(|row| row["disabled"] == "true").count();
    assert_eq!(cut, 10, "what one guard allows within the hour");
}

#[tokio::test]
async fn the_guard_counts_rows_that_were_taken_over_among_the_lines_that_work() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    // The full check of a start counts them on the router.
    site.restart(|_| {}).await;
    site.settled(1).await;
    let taken: Vec<String> = (0..15).map(|number| format!("theirs-{number:02}")).collect();
    for name in &taken {
        let name = username(name);
        site.router.add_row("ppp/secret", &[("name", name.as_str()), ("password", "theirs")]).unwrap();
    }
    let over = site.in_millis(0);
    site.settle(|wants| taken.iter().for_each(|name| wants.line(name).valid_until_ms = Some(over))).await;
    for name in &taken {
        let what = What::Adopt { line: name.clone(), service: Service::Pppoe, username: username(name) };
        assert_eq!(site.order(what).await.status, CommandStatus::Succeeded);
    }
    // As of the event, for the eleventh: the ten before it were cut within the hour.
    assert_eq!(site.held(5).await.working, LINES + 1);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_left_as_it_is() {
    let mut site = Site::start().await;
    foreign_customer(&site).await;
    site.settle(|wants| {
        wants.open("mine");
        wants.line("b7k2").username = "plot17".into();
        wants.line("nowhere").access = Access::Open.code();
    })
    .await;
    let before = site.foreign_rows("ppp/secret");
    let adopt = |line: &str, service, name: &str| What::Adopt {
        line: line.to_owned(),
        service,
        username: name.to_owned(),
    };
    for what in [
        adopt("nobodys", Service::Pppoe, "plot17"),
        adopt("mine", Service::Pppoe, "plot17"),
        adopt("b7k2", Service::Hotspot, "plot17"),
        adopt("b7k2", Service::Pppoe, "plot18"),
    ] {
        let done = site.order(what.clone()).await;
        assert_eq!(done.status, CommandStatus::Failed, "{what:?}");
    }
    assert_eq!(site.foreign_rows("ppp/secret"), before);
}

#[tokio::test]
async fn the_session_of_somebody_elses_row_is_not_ended() {
    let mut site = Site::start().await;
    site.router.add_row("ppp/secret", &[("name", "shared"), ("password", "theirs")]).unwrap();
    site.router.add_device(NewDevice::new("theirs", Dialler::Pppoe, "shared", "theirs")).unwrap();
    site.online("theirs").await;
    site.settle(|wants| wants.line("plot").username = "shared".into()).await;
    let done = site.order(What::EndSessions { line: "plot".into() }).await;
    assert_eq!(done.status, CommandStatus::Failed, "{done:?}");
    assert_eq!(site.rows("ppp/active").len(), 1);
}

/// Rows that show their passwords, and rows that hide them.
async fn check_that_the_password_stays(release: routeros_sim::Release) {
    let mut site = Site::start_with(|settings| settings.release = release, |_| {}).await;
    foreign_customer(&site).await;
    site.settle(|wants| {
        let line = wants.line("b7k2");
        (line.username, line.password) = ("plot17".into(), "generated".into());
    })
    .await;
    let adopt = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
    let done = site.order(adopt).await;
    assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
    assert!(done.detail.contains("keeps the router's password"), "{done:?}");
    assert!(site.settled(1).await.is_empty());
    redial(&mut site).await;
    site.online("plot17").await;
    site.restart(|_| {}).await;
    assert!(site.settled(1).await.is_empty());
    site.settle(|wants| wants.switch_off("b7k2")).await;
    site.settle(|wants| wants.line("b7k2").access = Access::Open.code()).await;
    site.order(What::Rebuild).await;
    site.event(EventKind::RouterRebuilt).await;
    redial(&mut site).await;
    site.online("plot17").await;
    let mut before = "plot17";
    for password in ["chosen", "generated"] {
        site.settle(|wants| wants.line("b7k2").password = password.into()).await;
        redial(&mut site).await;
        site.offline(before).await;
        dial_with(&site, password).await;
        before = password;
    }
}

/// The store of the agent opens only after it has begun without it, and the state is found there too.
#[tokio::test]
async fn a_row_that_was_taken_over_keeps_its_password_where_flash_is_read_late() {
    let mut site = Site::start().await;
    foreign_customer(&site).await;
    site.settle(|wants| {
        // By its row the router is seen to show passwords.
        wants.open("other");
        let line = wants.line("b7k2");
        (line.username, line.password) = ("plot17".into(), "generated".into());
    })
    .await;
    let adopt = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
    assert_eq!(site.order(adopt).await.status, CommandStatus::Succeeded);
    assert!(site.settled(1).await.is_empty());
    let memory = site.flash.kept().unwrap();
    assert_eq!(memory.own_passwords.len(), 1);
    let state = site.forget_state();
    site.restart(|settings| settings.memory = RouterMemory::default()).await;
    let is_there =
        |report: &Report| matches!(report, Report::RouterStatus { is_reachable: true, .. }).then_some(());
    site.until("the router to be there", is_there).await;
    site.found().give(Remembered { memory: memory.clone(), settled: Some(1), lived: None });
    site.give_state(state);
    assert!(site.settled(1).await.is_empty());
    redial(&mut site).await;
    site.online("plot17").await;
    let kept = site.flash.kept().unwrap();
    assert_eq!((kept.own_passwords, kept.serial), (memory.own_passwords, memory.serial));
}

async fn redial(site: &mut Site) {
    let done = site.order(What::EndSessions { line: "b7k2".into() }).await;
    assert_eq!(done.status, CommandStatus::Succeeded, "{done:?}");
}

/// A device of that name comes online with this password.
async fn dial_with(site: &Site, password: &str) {
    let device = NewDevice::new(password, Dialler::Pppoe, "plot17", password);
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online(password).await;
}

#[tokio::test]
async fn a_row_that_is_taken_over_keeps_its_password_until_head_office_changes_it() {
    check_that_the_password_stays(routeros_sim::Settings::default().release).await;
    check_that_the_password_stays("7.21".parse().unwrap()).await;
}

/// What became of the rest, or whether the look afterwards was answered, is of no account once the row is ours.
#[tokio::test]
async fn a_row_that_bears_our_mark_keeps_its_password_whatever_else_went_wrong() {
    for is_refused in [true, false] {
        let mut site = Site::start().await;
        foreign_customer(&site).await;
        let id = site.secret("plot17").unwrap()[".id"].clone();
        site.router.set_row("ppp/secret", &id, &[("remote-address", "10.0.0.77")]).unwrap();
        site.settle(|wants| {
            let line = wants.line("b7k2");
            (line.username, line.password) = ("plot17".into(), "generated".into());
        })
        .await;
        let refuse_argument = is_refused.then(|| "remote-address".to_owned());
        let write_ms = (!is_refused).then_some(100);
        let faults = FaultsChange { refuse_argument, write_ms, ..FaultsChange::default() };
        site.router.set_faults(faults).unwrap();
        let what = What::Adopt { line: "b7k2".into(), service: Service::Pppoe, username: "plot17".into() };
        let (answer, done) = tokio::sync::oneshot::channel();
        let order = Order { what, not_after: UnixMillis(i64::MAX), answer: Answer::Here(answer) };
        site.orders.give(order).unwrap();
        if !is_refused {
            let router = site.router.clone();
            let marked = || {
                let rows = crate::site::rows_of(&router, "ppp/secret");
                rows.iter().any(|row| row["name"] == "plot17" && row["comment"] == "tawi:b7k2").then_some(())
            };
            site.hearing(router.wait_for(PATIENCE, marked)).await.unwrap();
            site.router.set_faults(FaultsChange { trap_prints: Some(1), ..FaultsChange::default() }).unwrap();
        }
        let done = site.hearing(done).await.unwrap();
        let expected = if is_refused { CommandStatus::Succeeded } else { CommandStatus::Failed };
        assert_eq!(done.status, expected, "{done:?}");
        site.router.clear_faults();
        site.order(What::Rebuild).await;
        site.event(EventKind::RouterRebuilt).await;
        assert_eq!(site.secret("plot17").unwrap()["comment"], "tawi:b7k2");
        redial(&mut site).await;
        site.online("plot17").await;
    }
}

#[tokio::test]
async fn a_row_that_was_taken_over_and_is_gone_is_made_with_the_password_of_head_office() {
    let mut site = Site::start().await;
    foreign_customer(&site).await;
    site.router.add_row("ppp/secret", &[("name", "plot18"), ("password", "known to nobody either")]).unwrap();
    site.settle(|wants| {
        for (id, name, password) in [("b7k2", "plot17", "generated"), ("c8m3", "plot18", "")] {
            let line = wants.line(id);
            (line.username, line.password) = (name.into(), password.into());
        }
    })
    .await;
    for (id, name) in [("b7k2", "plot17"), ("c8m3", "plot18")] {
        let adopt = What::Adopt { line: id.into(), service: Service::Pppoe, username: name.into() };
        assert_eq!(site.order(adopt).await.status, CommandStatus::Succeeded, "{name}");
    }
    let is_right = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("both to be right", is_right).await;
    for name in ["plot17", "plot18"] {
        let id = site.secret(name).unwrap()[".id"].clone();
        site.router.remove_row("ppp/secret", &id).unwrap();
    }
    dial_with(&site, "generated").await;
    let failed = |report: &Report| match report {
        Report::Settled { failures, .. } => {
            failures.iter().find(|failure| failure.kind == FailureKind::NoPassword).cloned()
        }
        _ => None,
    };
    let failure = site.until("a row that nobody can make", failed).await;
    assert_eq!(failure.line, "c8m3");
    let said = failure.detail;
    assert!(said.contains("set a password") && said.contains("backup"), "{said}");
    assert!(site.secret("plot18").is_none());
}

#[tokio::test]
async fn what_a_rebuild_writes_is_no_drift_and_does_not_put_off_the_repair_of_drift() {
    let mut site = Site::start_with(|settings| settings.release = "7.21".parse().unwrap(), |_| {}).await;
    site.settle(|wants| wants.open("plot")).await;
    for _ in 0..4 {
        site.order(What::Rebuild).await;
        site.event(EventKind::RouterRebuilt).await;
    }
    let is_drift =
        |report: &Report| matches!(report, Report::Event(event) if event.kind == EventKind::DriftRepaired);
    assert!(!site.log.iter().any(is_drift), "{:#?}", site.log);
    let id = site.row("ppp/secret", &username("plot")).unwrap()[".id"].clone();
    site.router.set_row("ppp/secret", &id, &[("disabled", "yes")]).unwrap();
    site.row_until("ppp/secret", &username("plot"), |row| row["disabled"] == "false").await;
    site.event(EventKind::DriftRepaired).await;
}

#[tokio::test]
async fn what_the_guard_holds_says_how_many_and_by_what_limit() {
    let mut site = Site::start().await;
    site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    site.settle(|wants| names().take(4).for_each(|name| wants.switch_off(&name))).await;
    let failures = site.settle(|wants| names().for_each(|name| wants.switch_off(&name))).await;
    assert_eq!(failures.len(), LINES - 4);
    assert_eq!(
        failures[0].detail,
        "26 of 26 working lines would lose access; waits for a person: more than 10 lines and 20 % do, with the 4 \
         that lost it in the last hour"
    );
}
