//! Whose certificates are taken, and by which clock they are judged.

use tawi_agent::config::ControllerAddress;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_another_ca_is_never_spoken_to() {
    let directory = Directory::new("link");
    let mut office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    // Our certificate is right, and the controller's is signed by somebody else.
    let stranger = Directory::new("link-stranger");
    Keys::new().put_bundle(&stranger.0, SITE);
    std::fs::copy(stranger.0.join("ca.pem"), directory.0.join("ca.pem")).unwrap();
    let agent = Agent::start(&config, &[]).await;
    let why = problem(&agent, "invalid peer certificate").await;
    assert!(why.contains("localhost:"), "{why}");
    assert!(office.overhear().is_none());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_foreign_certificate_is_told_so_in_its_own_status() {
    let directory = Directory::new("link");
    let office = Office::start(SITE).await;
    let config = office.config(&directory.0);
    let stranger = Directory::new("link-stranger");
    Keys::new().put_bundle(&stranger.0, SITE);
    for name in ["agent.pem", "agent.key"] {
        std::fs::copy(stranger.0.join(name), directory.0.join(name)).unwrap();
    }
    let agent = Agent::start(&config, &[]).await;
    problem(&agent, "alert").await;
    let refused = async {
        while !agent.line.is_refused() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.expect("it does not ask for another one");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_head_office_that_says_no_makes_an_agent_ask_for_another_certificate() {
    let not_authorised = [0x20, 2, 0, 5];
    // While its database does not answer; for another client name; and one that falls before it says anything.
    let others = [&[0x20, 2, 0, 3][..], &[0x20, 2, 0, 2], &[]];
    for (farewell, is_no) in
        others.into_iter().map(|other| (other, false)).chain([(&not_authorised[..], true)])
    {
        let directory = Directory::new("link");
        let office = Office::start(SITE).await;
        office.sends_away(farewell);
        let agent = Agent::start(&office.config(&directory.0), &[]).await;
        // Each try is judged before the next, and five in a row count.
        office.connects(6).await;
        assert_eq!(agent.line.is_refused(), is_no, "{farewell:?}");
        agent.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_refused_is_told_so_in_plain_words_and_what_helps() {
    let check = async |of_broker: Option<bool>, who: &str, blames_settings: bool| {
        let directory = Directory::new("link");
        let office = Office::start(SITE).await;
        office.sends_away(&[0x20, 2, 0, 5]);
        let mut config = office.config(&directory.0);
        if let Some(is_named) = of_broker {
            let door = ControllerAddress { host: "localhost".into(), port: 1 };
            config.controller.brokers = std::mem::replace(&mut config.controller.addresses, vec![door]);
            config.controller.names_brokers = is_named;
        }
        let agent = Agent::start(&config, &[]).await;
        let why = problem(&agent, "refuses this device").await;
        assert!(why.starts_with(who), "{why}");
        for words in ["was revoked", "another device took it over", "site renew nyeri-01", "tawi-agent enrol"]
        {
            assert!(why.contains(words), "{words}: {why}");
        }
        assert!(!why.contains("NotAuthorized") && !why.contains("bundle"), "{why}");
        assert_eq!(why.contains("broker_addresses"), blames_settings, "{why}");
        agent.stop().await;
    };
    check(None, "head office refuses", false).await;
    check(Some(false), "the broker localhost:", false).await;
    check(Some(true), "the broker localhost:", true).await;
}

/// The agent's last problem, once it speaks of `word`.
pub async fn problem(agent: &Agent, word: &str) -> String {
    let mut last = String::new();
    let waiting = async {
        loop {
            let found = agent.status().await.controller.last_problem;
            match found {
                Some(why) if why.contains(word) => break why,
                found => last = found.unwrap_or_default(),
            }
            tokio::task::yield_now().await;
        }
    };
    match timeout(PATIENCE, waiting).await {
        Ok(why) => why,
        Err(_) => panic!("no problem speaks of {word:?}; the last was {last:?}"),
    }
}

/// So far ahead of the build's own date that no clock is believed without a second source.
fn long_after_the_build() -> UnixMillis {
    build_date().plus(DAY.saturating_mul(95))
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_off_for_months_hears_the_date_from_a_controller_that_was_restarted_yesterday() {
    let today = long_after_the_build();
    // A machine whose clock is right, one without a battery, and one that woke in a far year.
    for shown in [today, UnixMillis(0), today.plus(DAY.saturating_mul(40 * 365))] {
        let directory = Directory::new("link");
        let validity = (today.minus(DAY), today.plus(DAY.saturating_mul(365)));
        let mut office = Office::start_with(SITE, Some(validity)).await;
        let agent = Agent::start_at(&office.config(&directory.0), &[], Clock::manual(shown)).await;
        let (epoch, hello) = office.hear_hello().await;
        assert!(!hello.is_clock_trusted, "nothing has confirmed the date yet, and nobody is expired by it");
        assert!(UnixMillis(hello.clock_ms) < today.minus(DAY));
        for lane in [Lane::Event, Lane::Usage] {
            office.say_cursor_at(today, lane, epoch, 0).await;
        }
        until_down(&agent, true).await;
        let clock = agent.status().await.clock;
        assert!(clock.is_trusted && UnixMillis(clock.now_ms) >= today, "{clock:?}");
        agent.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_controller_that_is_over_is_refused() {
    let directory = Directory::new("link");
    let now = Clock::system().now();
    let validity = (now.minus(DAY.saturating_mul(9)), now.minus(DAY));
    let mut office = Office::start_with(SITE, Some(validity)).await;
    let agent = Agent::start(&office.config(&directory.0), &[]).await;
    problem(&agent, "expired").await;
    assert!(office.overhear().is_none());
    agent.stop().await;
}
