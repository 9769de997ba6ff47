//! What the counter takes note of before it believes the router's words.

use routeros_api::{Options, Secret, Transport};
use tawi_shared::Clock;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::StateDeltaV1;
use tokio::sync::mpsc;

use super::logout::account_line;
use super::*;
use crate::clock::KeptTime;
use crate::desired::Taken;

/// A state of one PPPoE line at the router "core".
fn state_of(line: &str, user: &str) -> Arc<DesiredState> {
    let line = LineV1 {
        line: line.into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: user.into(),
        ..LineV1::default()
    };
    let delta = StateDeltaV1 {
        from_generation: 0,
        to_generation: 1,
        state_hash: StateHash::of([&line], []).to_bytes(),
        lines: vec![line],
        removed_lines: vec![],
        profiles: vec![],
        removed_profiles: vec![],
    };
    let Taken::Moved(state) = DesiredState::default().take_delta(&delta) else {
        panic!("the state does not move")
    };
    Arc::new(state)
}

/// A line that is `made` for its customer comes between two looks, and its first session goes before the next one; how
/// the router's word on that is heard is up to `tell`. Gives what is billed of it.
async fn billed_of_a_first_session(is_made: bool, is_caught_up: bool) -> Vec<u64> {
    let (reports, mut told) = mpsc::channel(8);
    let connect = Options::new("127.0.0.1:1", Transport::Plain, "tawi", Secret::new(Vec::new()));
    let mut settings = RouterSettings::new("core", connect);
    let made = settings.made_rows.clone();
    let clock = TrustedClock::new(Clock::system(), KeptTime::default());
    let mut counter = Counter::new(&mut settings, reports, clock, &Arc::default());
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(100)).await;
        let at = counter.sampled_at();
        counter.tracker.sample(at, &[], |_, _| None);
    }
    tokio::time::advance(Duration::from_secs(20)).await;
    let state = state_of("line-a", "a");
    counter.note_lines(&state);
    if is_made {
        made.note("line-a");
    }
    tokio::time::advance(Duration::from_secs(7)).await;
    let line = account_line("pppoe,ppp,info,account", "a logged out, 5 310 0 3 2").unwrap();
    match is_caught_up {
        true => counter.take_caught(&Caught::Missed(vec![line]), &watch::channel(state).1).await,
        false => counter.take_log_out(&line, &state).await,
    }
    let mut billed = Vec::new();
    while let Ok(report) = told.try_recv() {
        let Report::Usage { sessions, .. } = report else { continue };
        billed.extend(sessions.iter().map(|counted| counted.total.upload_bytes));
    }
    billed
}

#[tokio::test(start_paused = true)]
async fn a_first_session_that_no_look_showed_is_its_lines_where_the_row_was_made_for_it() {
    for is_caught_up in [false, true] {
        assert_eq!(billed_of_a_first_session(true, is_caught_up).await, [310], "{is_caught_up}");
        // Where somebody else had a row of that name, the session may be of before.
        assert_eq!(billed_of_a_first_session(false, is_caught_up).await, [0; 0], "{is_caught_up}");
    }
}
