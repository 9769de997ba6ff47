//! A carrier that forgets connections that are silent for a while, and says so to nobody: what comes later goes nowhere.

use tawi_agent::config::ControllerAddress;
use tawi_agent::link::FromLink;
use tawi_agent::link::keep_alive::Bounds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

const FORGETS: Duration = Duration::from_millis(2_500);
/// The agent's own bounds, a minute being a second.
const BOUNDS: Bounds = Bounds {
    least: Duration::from_secs(1),
    first: Duration::from_secs(4),
    step: Duration::from_secs(1),
    most: Duration::from_secs(5),
};

/// Relays to a port of this machine; the port where it listens.
async fn start_carrier(to: u16, tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            connections.spawn(carry(near, to));
        }
    });
    port
}

async fn carry(mut near: TcpStream, to: u16) {
    let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
    let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
    loop {
        let moved = async {
            tokio::select! {
                read = near.read(&mut up) => match read {
                    Ok(count @ 1..) => far.write_all(up.get(..count).unwrap()).await,
                    _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
                },
                read = far.read(&mut down) => match read {
                    Ok(count @ 1..) => near.write_all(down.get(..count).unwrap()).await,
                    _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
                },
            }
        };
        match timeout(FORGETS, moved).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            // Neither end hears of it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// An agent's line without the rest of it.
struct Link {
    inbound: mpsc::Receiver<FromLink>,
    bytes: Arc<ByteCounters>,
    _tasks: JoinSet<()>,
}

impl Link {
    async fn start(config: &Config) -> Self {
        let (outbox, _) = open_store(&config.state_directory).await;
        let clock =
            TrustedClock::new(Clock::system(), KeptTime { floor: build_date(), ..KeptTime::default() });
        let tls = client_config(&config.controller, clock).unwrap();
        let bytes = Arc::new(ByteCounters::default());
        let dialer =
            Dialer::bind(&config.runtime_directory, &config.controller, tls, Arc::clone(&bytes)).unwrap();
        let (_, tuned) = watch::channel(Tuned::of(config));
        let settings = LinkSettings {
            site: config.site.clone(),
            tuned,
            keep_alive: BOUNDS,
            reconnect_base: config.controller.reconnect_base,
        };
        let (sender, inbound) = mpsc::channel(link::INBOUND_WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(link::run(settings, dialer, outbox, IdSource::seeded(1), sender));
        Self { inbound, bytes, _tasks: tasks }
    }

    /// The next connection, and every how many seconds it is tried.
    async fn up(&mut self) -> (link::Connection, u64) {
        loop {
            match timeout(PATIENCE, self.inbound.recv()).await.expect("the line stays down").unwrap() {
                FromLink::Up(connection) => return (connection, self.bytes.keep_alive_seconds()),
                FromLink::Failed { why } => panic!("{why}"),
                FromLink::Said(_) | FromLink::Down { .. } => {}
            }
        }
    }

    /// Whether the connection ended within this time, and why.
    async fn ends(&mut self, within: Duration) -> Option<String> {
        match timeout(within, self.inbound.recv()).await.ok()?.unwrap() {
            FromLink::Down { why, .. } => Some(why),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_forgets_silent_connections_is_noticed_and_kept_awake() {
    let directory = Directory::new("link");
    let office = Office::start(SITE).await;
    let mut tasks = JoinSet::new();
    let mut config = office.config(&directory.0);
    config.controller.keep_alive = None;
    let port = start_carrier(office.port, &mut tasks).await;
    config.controller.addresses = vec![ControllerAddress { host: "localhost".into(), port }];
    let mut link = Link::start(&config).await;

    let (forgotten, tried_every) = link.up().await;
    assert_eq!(tried_every, 4);
    let why = link.ends(3 * BOUNDS.first).await;
    assert!(why.is_some(), "a connection that leads nowhere is taken for one");
    drop(forgotten);

    // Half of it keeps the carrier awake, for many tries.
    let (held, tried_every) = link.up().await;
    assert_eq!(tried_every, 2);
    assert_eq!(link.ends(Duration::from_secs(13)).await, None);
    office.cut();
    assert!(link.ends(PATIENCE).await.is_some());
    drop(held);

    // And then it is tried less often again, which here is too seldom: that costs one connection.
    let (forgotten, tried_every) = link.up().await;
    assert_eq!(tried_every, 3);
    assert!(link.ends(3 * BOUNDS.first).await.is_some());
    drop(forgotten);
    assert_eq!(link.up().await.1, 1);
}
