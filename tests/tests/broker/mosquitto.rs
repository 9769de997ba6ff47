//! A broker that is not inside the controller: Debian's mosquitto with what `broker-config` writes. What it lets whom say and
//! hear is what `mqtt/acl.rs` says; what a revoked site can still do; and the switch there and back.
//!
//! That the whole product works with it is for the other tests to show: `TAWI_TEST_BROKER=mosquitto`, see `.ci/test`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tawi_controller::mqtt::acl::{CONTROLLER_USER, Principal, may_publish, may_subscribe};
use tawi_controller::pki::Pki;
use tawi_shared::topics::{Down, Up, parse_up};
use tawi_shared::wire::{HelloV1, PROTOCOL_NEWEST, PROTOCOL_OLDEST, encode};
use tawi_shared::{Clock, IdSource, SiteId};
use tawi_tests::broker::{Broker, Mosquitto};
use tawi_tests::office::Office;
use tawi_tests::process::{Program, path_of, run};
use tawi_tests::world::{Plan, World, free_address, use_broker};

use crate::client::{Client, PATIENCE, bundle, stranger};

async fn world(name: &str, broker: Broker) -> World {
    let directory = std::env::temp_dir().join(format!("tawi-{name}-{}", IdSource::system().hex(4)));
    let plan = Plan { sites: Vec::new(), rule_17: false, broker, ..Plan::default() };
    World::start(&directory, &plan, &mut |_| ()).await.unwrap()
}

/// Adds a site; the directory of its bundle.
async fn add_site(world: &World, id: &str) -> PathBuf {
    let directory = world.directory().join(id);
    let bundle = directory.display().to_string();
    world.command(&["site", "add", id, "--name", id, "--offline-bundle", &bundle, "--json"]).await.unwrap();
    directory
}

/// What everybody may try to say: everything of two sites, and what is nobody's.
fn tried() -> Vec<String> {
    let mut all: Vec<String> = [
        "v1",
        "v1/a",
        "v1/a/up",
        "/v1/a/up/hello",
        "v2/a/up/hello",
        "V1/a/up/hello",
        "v1/A/up/hello",
        "v1//up/hello",
    ]
    .map(str::to_owned)
    .to_vec();
    for site in ["a", "b", "ab"] {
        for rest in [
            "up/hello",
            "up/ack",
            "up/usage",
            "up/event",
            "up/log",
            "up/bye",
            "up/other",
            "up/hello/x",
            "up/",
        ] {
            all.push(format!("v1/{site}/{rest}"));
        }
        for rest in ["down/state", "down/cmd", "down/ack", "down/other", "down"] {
            all.push(format!("v1/{site}/{rest}"));
        }
    }
    all
}

/// The three that a broker knows, each connected.
struct Three {
    controller: Client,
    a: Client,
    b: Client,
}

impl Three {
    /// Nothing that was said before is on its way any more.
    async fn fence(&mut self, word: &str) {
        let word = word.as_bytes();
        assert!(self.a.says(&Up::Log.topic(&site("a")), word).await.unwrap());
        for name in ["a", "b"] {
            assert!(self.controller.says(&Down::Ack.topic(&site(name)), word).await.unwrap());
        }
        for client in [&mut self.controller, &mut self.a, &mut self.b] {
            client.hears(word).await.unwrap();
        }
    }

    fn forget(&mut self) {
        for client in [&mut self.controller, &mut self.a, &mut self.b] {
            client.heard.clear();
        }
    }
}

fn site(id: &str) -> SiteId {
    SiteId::parse(id).unwrap()
}

/// The controller itself is not there: its name is ours to use.
async fn mosquitto_alone() -> (World, u16, [PathBuf; 2], Three) {
    let mut world = world("acl", Broker::Mosquitto).await;
    let bundles = [add_site(&world, "a").await, add_site(&world, "b").await];
    world.kill_controller().await.unwrap();
    let port = world.mosquitto().unwrap().address().port();
    let clock = Clock::system();
    let pki = Pki::open_or_create(&world.directory().join("data/pki"), clock.now()).unwrap();
    let ours = Arc::new(pki.controller_tls(&clock).unwrap());
    let [of_a, of_b] = [bundle(&bundles[0]).unwrap(), bundle(&bundles[1]).unwrap()];
    let three = Three {
        controller: Client::connect(&ours, port, CONTROLLER_USER, None).await.unwrap(),
        a: Client::connect(&of_a, port, "a", None).await.unwrap(),
        b: Client::connect(&of_b, port, "b", None).await.unwrap(),
    };
    (world, port, bundles, three)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_lets_everybody_say_and_hear_what_the_rule_says_and_nothing_else() {
    let (world, port, bundles, mut three) = mosquitto_alone().await;
    // Whoever asks for everything is given what is theirs.
    for client in [&mut three.controller, &mut three.a, &mut three.b] {
        for filter in
            ["#", "v1/#", "+/+/+/+", "v1/+/up/#", "v1/+/down/#", "v1/a/#", "v1/b/down/state", "$SYS/#"]
        {
            client.subscribes(filter).await.unwrap();
        }
    }
    let mut said = BTreeSet::new();
    for topic in tried() {
        for (name, client) in [("a", &mut three.a), (CONTROLLER_USER, &mut three.controller)] {
            let is_taken = client.says(&topic, topic.as_bytes()).await.unwrap();
            assert_eq!(
                is_taken,
                may_publish(&Principal::of_user(name).unwrap(), &topic),
                "{name} says {topic}"
            );
            if is_taken {
                said.insert(topic.clone());
            }
        }
    }
    assert_eq!(said.len(), 6 + 9, "six of one site, three for each of three");
    three.fence("end").await;
    for (name, client) in [(CONTROLLER_USER, &three.controller), ("a", &three.a), ("b", &three.b)] {
        let principal = Principal::of_user(name).unwrap();
        let is_for = |topic: &String| match &principal {
            Principal::Controller => parse_up(topic).is_some(),
            Principal::Site(_) => may_subscribe(&principal, topic),
        };
        let heard: BTreeSet<_> = client
            .heard
            .iter()
            .filter(|(_, payload)| payload != b"end")
            .map(|(topic, _)| topic.clone())
            .collect();
        let expected: BTreeSet<_> = said.iter().filter(|topic| is_for(topic)).cloned().collect();
        assert_eq!(heard, expected, "{name}");
    }

    // Nobody is let in without a certificate of ours, and nobody as somebody else.
    let nobody = Client::connect(&stranger(&bundles[0]).unwrap(), port, "a", None).await;
    assert!(nobody.is_err(), "a stranger was let in");
    let of_a = bundle(&bundles[0]).unwrap();
    three.a = Client::connect(&of_a, port, "b", None).await.unwrap();
    assert!(!three.a.says(&Up::Hello.topic(&site("b")), b"as b").await.unwrap());
    assert!(three.a.says(&Up::Hello.topic(&site("a")), b"as a").await.unwrap());
    three.a.subscribes("v1/#").await.unwrap();
    three.fence("b is still there though a came by its name").await;
    world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_will_speaks_for_nobody_else() {
    let (world, port, bundles, mut three) = mosquitto_alone().await;
    let of_a = bundle(&bundles[0]).unwrap();
    for client in [&mut three.controller, &mut three.a, &mut three.b] {
        client.subscribes("v1/#").await.unwrap();
    }
    for topic in [
        Up::Bye.topic(&site("a")),
        Up::Bye.topic(&site("b")),
        Up::Hello.topic(&site("b")),
        Down::State.topic(&site("b")),
        Down::State.topic(&site("a")),
        "v1/a/up/other".to_owned(),
    ] {
        three.forget();
        let is_allowed = may_publish(&Principal::of_user("a").unwrap(), &topic);
        // One that may not be said may be refused at once, or never said.
        match Client::connect(&of_a, port, "a", Some(&topic)).await {
            Ok(client) => client.cut(),
            Err(error) => assert!(!is_allowed, "{topic}: {error:#}"),
        }
        three.a = Client::connect(&of_a, port, "a", None).await.unwrap();
        three.a.subscribes("v1/#").await.unwrap();
        if is_allowed {
            three.controller.hears(b"will").await.unwrap();
        }
        three.fence(&format!("end of {topic}")).await;
        for client in [&three.a, &three.b] {
            assert!(
                client.heard.iter().all(|(_, payload)| payload != b"will"),
                "{topic}: {:?}",
                client.heard
            );
        }
        let is_heard = three.controller.heard.iter().any(|(_, payload)| payload == b"will");
        assert_eq!(is_heard, is_allowed, "{topic}");
    }
    world.stop().await.unwrap();
}

fn hello(version: &str) -> Vec<u8> {
    let hello = HelloV1 {
        boot_id: 1,
        connection_epoch: 1,
        protocol_oldest: PROTOCOL_OLDEST,
        protocol_newest: PROTOCOL_NEWEST,
        stored_generation: 0,
        applied_generation: 0,
        state_hash: [0; 16],
        clock_ms: Clock::system().now().0,
        is_clock_trusted: true,
        agent_version: version.to_owned(),
        routers: Vec::new(),
    };
    encode(&hello, 0, 1, 0).unwrap()
}

async fn is_online(world: &World, id: &str) -> (bool, String) {
    let site = world.office.get(&format!("/api/sites/{id}")).await.unwrap();
    let version = site.get("agent_version").and_then(Value::as_str).unwrap_or_default();
    (site.get("is_online") == Some(&json!(true)), version.to_owned())
}

/// Says hello as a site until the controller has heard it: what is said while that is not there is lost.
async fn is_heard(world: &World, client: &mut Client, id: &str, version: &str) {
    let heard = async {
        loop {
            assert!(client.says(&Up::Hello.topic(&site(id)), &hello(version)).await.unwrap());
            let look = async |_: &Office| {
                Ok((is_online(world, id).await == (true, version.to_owned())).then_some(()))
            };
            if world.office.wait_for("a hello is heard", AGAIN, look).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("nobody hears it");
}

/// Whatever the controller had to say to `a` has come to it: it answers one after the other, and the broker keeps the order.
async fn all_is_answered(world: &World, a: &mut Client, b: &mut Client, version: &str) {
    assert!(b.subscribes("v1/b/down/#").await.unwrap());
    b.heard.clear();
    is_heard(world, b, "b", version).await;
    b.hears_something().await;
    assert!(a.says(&Up::Log.topic(&site("a")), b"nothing that can be read").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_site_is_not_heard_from_then_on_and_is_refused_once_the_list_is_read() {
    let mut world = world("crl", Broker::Mosquitto).await;
    let (of_a, of_b) = (add_site(&world, "a").await, add_site(&world, "b").await);
    let port = world.mosquitto().unwrap().address().port();
    let (tls, other) = (bundle(&of_a).unwrap(), bundle(&of_b).unwrap());
    let mut a = Client::connect(&tls, port, "a", None).await.unwrap();
    let mut b = Client::connect(&other, port, "b", None).await.unwrap();
    assert!(a.subscribes("v1/a/down/#").await.unwrap());
    is_heard(&world, &mut a, "a", "one").await;
    all_is_answered(&world, &mut a, &mut b, "zero").await;
    assert!(!a.heard.is_empty(), "a hello is answered");

    // At once, and whatever the broker does: what it says is nothing, and nothing is said to it.
    world.command(&["site", "revoke", "a", "--json"]).await.unwrap();
    assert!(!is_online(&world, "a").await.0, "as soon as it is said");
    a.heard.clear();
    assert!(
        a.says(&Up::Hello.topic(&site("a")), &hello("two")).await.unwrap(),
        "the broker does not know yet"
    );
    all_is_answered(&world, &mut a, &mut b, "three").await;
    assert_eq!(is_online(&world, "a").await, (false, "one".to_owned()));
    assert!(a.heard.is_empty(), "{:?}", a.heard);

    // After the list is read: its next connection is refused, also one that resumes a session from before.
    let list = world.mosquitto().unwrap().files().join("revoked.crl").display().to_string();
    world.command(&["broker-config", "mosquitto", "--crl", &list, "--json"]).await.unwrap();
    Client::connect(&tls, port, "a", None).await.expect("not before it is read");
    world.mosquitto().unwrap().reload().unwrap();
    let refused = async {
        loop {
            match Client::connect(&tls, port, "a", None).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => break error,
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("it is let in on and on");
    assert!(format!("{refused:#}").to_lowercase().contains("revoked"), "{refused:#}");
    let fresh = bundle(&of_a).unwrap();
    assert!(Client::connect(&fresh, port, "a", None).await.is_err());
    let mut b = Client::connect(&other, port, "b", None).await.expect("the other is let in as ever");

    // A new bundle brings the site back, and no other that it had.
    let again = world.directory().join("a-again");
    let shown = again.display().to_string();
    world.command(&["site", "renew", "a", "--offline-bundle", &shown, "--json"]).await.unwrap();
    world.command(&["broker-config", "mosquitto", "--crl", &list, "--json"]).await.unwrap();
    world.mosquitto().unwrap().restart().await.unwrap();
    b.ends().await.unwrap();
    let mut a = Client::connect(&bundle(&again).unwrap(), port, "a", None).await.unwrap();
    assert!(Client::connect(&fresh, port, "a", None).await.is_err());
    is_heard(&world, &mut a, "a", "four").await;
    world.stop().await.unwrap();
}

/// A device that was enrolled with a ticket, and its agent.
async fn enrolled(world: &World, id: &str) -> (PathBuf, Program) {
    let directory = world.directory().join(id);
    std::fs::create_dir_all(&directory).unwrap();
    let state = directory.canonicalize().unwrap().join("state");
    let settings =
        format!("state_directory = \"{}\"\n[controller]\nreconnect_base_ms = 100\n", state.display());
    std::fs::write(directory.join("agent.toml"), settings).unwrap();
    let ticket = directory.join("it.ticket").display().to_string();
    world.command(&["site", "add", id, "--name", id, "--bundle", &ticket, "--json"]).await.unwrap();
    let config = directory.join("agent.toml").display().to_string();
    run("tawi-agent", &["enrol", "--file", &ticket, "--config", &config]).await.unwrap();
    let program = path_of("tawi-agent").unwrap();
    let (label, arguments) = (format!("agent-{id}"), ["run", "--config", &config]);
    let agent = Program::start(&program, &label, world.directory(), &arguments, "").await.unwrap();
    (directory, agent)
}

/// How long a word may take to be heard before it is said again.
const AGAIN: Duration = Duration::from_secs(5);
/// Refusals, a look once a minute, and a renewal: two minutes on a machine that is busy.
const FOUND_WITHIN: Duration = Duration::from_secs(300);

async fn is_back(world: &World, id: &str) {
    world
        .office
        .wait_for("the site is online", FOUND_WITHIN, async |_| {
            Ok(is_online(world, id).await.0.then_some(()))
        })
        .await
        .unwrap();
}

async fn restart_controller(world: &mut World, at: Option<std::net::SocketAddr>) {
    world.kill_controller().await.unwrap();
    use_broker(world.directory(), at).unwrap();
    world.start_controller().await.unwrap();
}

fn brokers_of(device: &Path) -> bool {
    std::fs::read_to_string(device.join("state/identity/identity.toml")).unwrap().contains("brokers = ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_moves_all_sites_to_another_broker_and_taking_it_out_moves_them_back() {
    let mut world = world("switch", Broker::Embedded).await;
    let (device, agent) = enrolled(&world, "nyeri-01").await;
    is_back(&world, "nyeri-01").await;
    assert!(!brokers_of(&device));
    let mosquitto = Mosquitto::start(world.directory(), free_address().await.unwrap()).await.unwrap();
    // Nobody touches the device: it is refused, asks why, and goes where it is told.
    restart_controller(&mut world, Some(mosquitto.address())).await;
    is_back(&world, "nyeri-01").await;
    assert!(brokers_of(&device));
    // A new device is told at once.
    let (second, other) = enrolled(&world, "thika-02").await;
    assert!(brokers_of(&second));
    is_back(&world, "thika-02").await;
    // Back: where the broker was nobody answers, and the door lets them in again.
    mosquitto.stop().await.unwrap();
    restart_controller(&mut world, None).await;
    for id in ["nyeri-01", "thika-02"] {
        is_back(&world, id).await;
    }
    for agent in [agent, other] {
        agent.stop().await.unwrap();
    }
    world.stop().await.unwrap();
}
