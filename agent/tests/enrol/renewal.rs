//! The running agent's next certificate: when it is asked for, with what, and what becomes of a bad answer.

use std::sync::Arc;
use std::time::Duration;

use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::config::{Config, Environment, KEY_FILE};
use tawi_agent::enrol::keeping::{KeepError, Next, Place};
use tawi_agent::enrol::key::AgentKey;
use tawi_agent::enrol::renewal::{Pace, Renewal, run};
use tawi_agent::link::ByteCounters;
use tawi_agent::link::dialer::{Dialer, Line};
use tawi_agent::link::tls::client_config;
use tawi_shared::enrolment::RENEW_PATH;
use tawi_shared::{Clock, IdSource, SiteId};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::office::{DAY, Directory, Office, PATIENCE, SITE, Way, der_in};
use crate::{ask, clock};

/// A running agent as far as its certificate goes.
struct Agent {
    config: Config,
    dialer: Dialer,
    tasks: JoinSet<()>,
}

impl Agent {
    /// Enrolled with a certificate of this age, in days, that is good for a year in all.
    async fn enrolled(directory: &Directory, office: &Office, age: u32) -> Self {
        let now = Clock::system().now();
        let begin = now.minus(DAY * age);
        office.certifies_for(begin, begin.plus(DAY * 365));
        let (ticket, key) = (office.ticket(SITE, 1), AgentKey::generate().unwrap());
        let issued = ask(&ticket, &key).await.unwrap();
        let place = Place::take(&directory.state()).unwrap();
        let site = SiteId::parse(SITE).unwrap();
        place.keep(&Next { site: &site, key: &key, issued: &issued }).unwrap();
        drop(place);
        office.certifies_for(now, now.plus(DAY * 365));
        Self::of(directory, "")
    }

    fn of(directory: &Directory, settings: &str) -> Self {
        let config = Config::load(&directory.settings(settings), &Environment::default()).unwrap();
        let tls = client_config(&config.controller, clock()).unwrap();
        let bytes = Arc::<ByteCounters>::default();
        let dialer = Dialer::bind(&directory.0.join("run"), &config.controller, tls, bytes).unwrap();
        Self { config, dialer, tasks: JoinSet::new() }
    }

    /// Starts to look after its certificate.
    fn run(&mut self, ask: Duration) -> Line {
        let line = self.dialer.line();
        let renewal = Renewal {
            config: self.config.clone(),
            clock: TrustedClock::new(Clock::system(), KeptTime::default()),
            ids: IdSource::seeded(1),
            bytes: Arc::default(),
            pace: Pace { look: Duration::from_millis(10), ask },
        };
        self.tasks.spawn(run(renewal, line.clone()));
        line
    }

    fn certificate(&self) -> Vec<u8> {
        der_in(&self.config.controller.certificate_file)
    }

    /// Waits until another certificate than this one is on flash.
    async fn is_renewed(&self, before: &[u8]) {
        let waiting = async {
            while self.certificate() == before {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it is not renewed");
    }
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn at_a_third_of_its_life_the_next_one_is_had_for_the_same_key_and_the_next_connection_shows_it() {
    // In time, over since a month, and over since almost as long as head office knows it.
    for age in [200, 400, 450] {
        let (directory, office) = (Directory::new(), Office::start().await);
        let mut agent = Agent::enrolled(&directory, &office, age).await;
        let before = agent.certificate();
        let key = std::fs::read(directory.state().join("identity").join(KEY_FILE)).unwrap();
        agent.dialer.dial().await.unwrap();
        office.connects(1).await;
        assert_eq!(office.connected().first(), Some(&before), "also one that is over is shown");

        agent.run(LONG);
        agent.is_renewed(&before).await;
        let heard = office.heard();
        assert_eq!((heard.len(), heard[1].path.as_str()), (2, RENEW_PATH));
        assert_eq!(heard[1].shown.as_ref(), Some(&before));
        assert_eq!(heard[1].public_key(), heard[0].public_key());
        assert_eq!(std::fs::read(directory.state().join("identity").join(KEY_FILE)).unwrap(), key);
        // The line takes it up a moment after it is on flash.
        let waiting = async {
            loop {
                agent.dialer.dial().await.unwrap();
                let count = office.connected().len();
                office.connects(count.max(2)).await;
                if office.connected().last() == Some(&agent.certificate()) {
                    break;
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("the old one is shown on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_is_due_nobody_is_asked_unless_head_office_lets_us_in_no_more() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let mut agent = Agent::enrolled(&directory, &office, 90).await;
    let before = agent.certificate();
    let line = agent.run(LONG);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(office.heard().len(), 1, "only the enrolment");
    // A clock that stands still does not know that a certificate is over; head office does.
    (0..4).for_each(|_| line.note(true));
    line.note(false);
    (0..4).for_each(|_| line.note(true));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(office.heard().len(), 1, "as a controller that is being restarted");
    line.note(true);
    agent.is_renewed(&before).await;
    assert!(line.is_refused());
    sleep(Duration::from_millis(300)).await;
    assert_eq!(office.heard().len(), 2, "whoever is refused with the new one is refused for something else");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_is_told_where_mqtt_is_spoken_now_and_goes_there() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let mut agent = Agent::enrolled(&directory, &office, 10).await;
    let before = agent.certificate();
    let line = agent.run(LONG);
    let door = agent.dialer.dial().await.unwrap().address.to_string();
    // The same place by another name: neither DNS nor certificates know large letters from small ones.
    let broker = door.replace("localhost", "LOCALHOST");
    office.names_brokers(std::slice::from_ref(&broker));
    (0..5).for_each(|_| line.note(true));
    agent.is_renewed(&before).await;
    let waiting = async {
        while agent.dialer.dial().await.unwrap().address.to_string() != broker {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it does not go there");
    assert_eq!(agent.dialer.dial().await.unwrap().address.to_string(), broker, "and stays there");
    // Whoever is not let in there asks at the door again, where it hears of the next change.
    agent.dialer.pass_over();
    assert_eq!(agent.dialer.dial().await.unwrap().address.to_string(), door);
    // After a restart it begins where it was told to go.
    let mut again = Agent::of(&directory, "");
    assert_eq!(again.dialer.dial().await.unwrap().address.to_string(), broker);
    let named = Agent::of(&directory, "[controller]\nbroker_addresses = [\"mq.example\"]\n");
    let addresses: Vec<_> =
        named.config.controller.mqtt_addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["mq.example:8883".to_owned(), door, "isp.example:443".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_leaves_everything_as_it_was_and_is_asked_for_again_later() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let mut agent = Agent::enrolled(&directory, &office, 200).await;
    let before = agent.certificate();
    let ways = [
        Way::AnotherKey,
        Way::AnotherName,
        Way::AnotherSite,
        Way::AnotherAuthority,
        Way::Unsigned,
        Way::Lost,
        Way::Nonsense,
        Way::Refused(403, "revoked"),
    ];
    office.answers(ways[0]);
    agent.run(Duration::from_millis(100));
    for (count, way) in ways.iter().enumerate() {
        office.answers(*way);
        // One more may have been on its way as the last one answered.
        office.hears(2 + 2 * count).await;
        assert_eq!(agent.certificate(), before, "{way:?}");
    }
    office.answers(Way::Right);
    agent.is_renewed(&before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_person_put_somewhere_are_never_touched() {
    let (directory, office) = (Directory::new(), Office::start().await);
    drop(Agent::enrolled(&directory, &office, 360).await);
    for name in ["agent.key", "agent.pem", "ca.pem"] {
        std::fs::copy(directory.state().join("identity").join(name), directory.0.join(name)).unwrap();
    }
    let mut agent = Agent::of(&directory, "");
    assert!(!agent.config.is_enrolled());
    let line = agent.run(Duration::from_millis(50));
    (0..9).for_each(|_| line.note(true));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(office.heard().len(), 1, "only the enrolment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_enrolled_anew_beside_the_agent_is_taken_up_without_a_restart() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let mut agent = Agent::enrolled(&directory, &office, 10).await;
    agent.run(LONG);
    sleep(Duration::from_millis(100)).await;
    enrolled_anew(&mut agent, &directory, &office).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_refused_keeps_nobody_from_enrolling_the_device_anew_beside_the_agent() {
    let (directory, office) = (Directory::new(), Office::start().await);
    let mut agent = Agent::enrolled(&directory, &office, 200).await;
    office.answers(Way::Refused(403, "revoked"));
    agent.run(LONG);
    office.hears(2).await;
    office.answers(Way::Right);
    enrolled_anew(&mut agent, &directory, &office).await;
    let renewals = office.heard().iter().filter(|heard| heard.path == RENEW_PATH).count();
    assert_eq!(renewals, 1, "it did not have to ask again");
}

/// A person enrols the device of a running agent, whose next connections show what came of it.
async fn enrolled_anew(agent: &mut Agent, directory: &Directory, office: &Office) {
    let (ticket, key) = (office.ticket(SITE, 2), AgentKey::generate().unwrap());
    let issued = ask(&ticket, &key).await.unwrap();
    let site = SiteId::parse(SITE).unwrap();
    let taking = async {
        loop {
            match Place::take(&directory.state()) {
                // A request whose answer was just heard is about to let go of it.
                Err(KeepError::Busy(_)) => sleep(Duration::from_millis(5)).await,
                taken => break taken.unwrap(),
            }
        }
    };
    let place = timeout(PATIENCE, taking).await.expect("it is kept for good");
    place.keep(&Next { site: &site, key: &key, issued: &issued }).unwrap();
    drop(place);
    let waiting = async {
        while office.connected().last() != Some(&agent.certificate()) {
            agent.dialer.dial().await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the old one is shown on");
}
