//! Ten thousand connections of somebody who means harm, at the front door of a real controller: who is in stays in, who comes
//! gets in, and what the crowd costs is bounded and given back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use routeros_sim::{DeviceState, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tawi_controller::config::{Config, Environment};
use tawi_shared::IdSource;
use tawi_tests::broker::Broker;
use tawi_tests::process::Program;
use tawi_tests::stories;
use tawi_tests::world::{NewCustomer, Plan, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::client::{bundle, stranger};

const CROWD: usize = 10_000;
/// From so many addresses, so that the bound of an address is not what saves the house.
const ADDRESSES: u8 = 12;
/// One in so many has a certificate.
const ONE_IN: usize = 50;
/// What this program needs of file handles, and the controller may take.
const FILES: u64 = 12_000;
/// A record of TLS that says that it holds a ClientHello of 512 bytes, and its beginning.
const HALF_A_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
const AGAIN: Duration = Duration::from_millis(500);
const WITHIN: Duration = Duration::from_secs(60);
/// A few thousand sockets, 256 handshakes, and what the allocator keeps.
const RESIDENT_KIB: u64 = 160 * 1_024;

/// Everything that one of the crowd may do; then it waits for the end, and comes again.
#[derive(Clone, Copy, Debug)]
enum Does {
    Nothing,
    HalfAHello,
    Noise,
    HandshakeWithoutCertificate,
    HandshakeAndNoConnect,
}

struct Attack {
    door: SocketAddr,
    stranger: Arc<ClientConfig>,
    own: Arc<ClientConfig>,
    open: AtomicUsize,
    came: AtomicUsize,
}

impl Attack {
    fn new(door: SocketAddr, bundle_directory: &Path) -> anyhow::Result<Self> {
        let (stranger, own) = (stranger(bundle_directory)?, bundle(bundle_directory)?);
        Ok(Self { door, stranger, own, open: AtomicUsize::new(0), came: AtomicUsize::new(0) })
    }

    async fn one(self: Arc<Self>, number: usize) {
        let last = u8::try_from(number % usize::from(ADDRESSES)).unwrap_or_default();
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 2, last + 1));
        let does = match number % 4 {
            _ if number.is_multiple_of(ONE_IN) => Does::HandshakeAndNoConnect,
            0 => Does::Nothing,
            1 => Does::HalfAHello,
            2 => Does::Noise,
            _ => Does::HandshakeWithoutCertificate,
        };
        loop {
            self.came.fetch_add(1, Ordering::Relaxed);
            // However it ends, it comes again.
            let _ = self.visit(from, does).await;
            sleep(AGAIN).await;
        }
    }

    async fn visit(&self, from: IpAddr, does: Does) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let mut stream = socket.connect(self.door).await?;
        let _open = Open::new(&self.open);
        match does {
            Does::Nothing => {}
            Does::HalfAHello => stream.write_all(&HALF_A_HELLO).await?,
            Does::Noise => stream.write_all(&[0xa5; 64]).await?,
            Does::HandshakeWithoutCertificate => return until_ended(&self.stranger, stream).await,
            Does::HandshakeAndNoConnect => return until_ended(&self.own, stream).await,
        }
        while stream.read(&mut [0; 64]).await? > 0 {}
        Ok(())
    }
}

async fn until_ended(tls: &Arc<ClientConfig>, stream: TcpStream) -> anyhow::Result<()> {
    let name = ServerName::try_from("127.0.0.1")?;
    let mut stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
    while stream.read(&mut [0; 64]).await? > 0 {}
    Ok(())
}

/// Counts while it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn raise_file_handles() {
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most >= FILES),
        "{FILES} file handles are needed, and {limit:?} are allowed; cure: ulimit -Hn {FILES}"
    );
    let raised = Rlimit { current: limit.current.map(|now| now.max(FILES)), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
}

fn files(program: &Program) -> anyhow::Result<usize> {
    let id = program.id().context("it runs")?;
    Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_keep_nobody_out_and_cost_what_they_may() {
    raise_file_handles();
    let directory = std::env::temp_dir().join(format!("tawi-crowd-{}", IdSource::system().hex(4)));
    let plan =
        Plan { sites: vec!["nyeri-01".into()], rule_17: false, broker: Broker::Embedded, ..Plan::default() };
    let mut world = World::start(&directory, &plan, &mut |_| ()).await.unwrap();
    let id = world.site(0).unwrap().id.clone();
    stories::wait_for_site(&world.office, &id, true).await.unwrap();
    let cast = stories::cast(&world).await.unwrap();
    let new =
        NewCustomer { number: 1, site: 0, plan: &cast.home, service: Service::Pppoe, redial_ms: Some(250) };
    let customer = world.add_customer(&new).await.unwrap();
    let bad = directory.join("bad");
    let own = bad.display().to_string();
    let add = ["site", "add", "bad", "--name", "bad", "--offline-bundle", &own, "--json"];
    world.command(&add).await.unwrap();
    let settings = Config::load(&directory.join("controller.toml"), &Environment::read()).unwrap();
    let controller = world.controller().unwrap();
    let before = (files(controller).unwrap(), controller.resident_kib().unwrap());

    let attack = Arc::new(Attack::new(settings.broker.listen, &bad).unwrap());
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        crowd.spawn(Arc::clone(&attack).one(number));
    }
    sleep(Duration::from_secs(10)).await;
    let mut most = (0, 0, 0);
    let mut look = |world: &World| {
        let controller = world.controller().unwrap();
        most.0 = most.0.max(files(controller).unwrap());
        most.1 = most.1.max(controller.resident_kib().unwrap());
        most.2 = most.2.max(attack.open.load(Ordering::Relaxed));
    };
    look(&world);

    // Who is in stays in.
    let began = Instant::now();
    stories::pay(&world.office, &customer).await.unwrap();
    let router = world.site(0).unwrap().router.router();
    router.wait_for_device(&customer.device, DeviceState::Online, WITHIN).await.unwrap();
    let paid = began.elapsed();
    look(&world);

    // Who comes gets in.
    world.kill_agent(0).await.unwrap();
    stories::wait_for_site(&world.office, &id, false).await.unwrap();
    let began = Instant::now();
    world.start_agent(0).await.unwrap();
    stories::wait_for_site(&world.office, &id, true).await.unwrap();
    let back = began.elapsed();
    look(&world);
    let came = attack.came.load(Ordering::Relaxed);

    // And what it took is given back.
    crowd.shutdown().await;
    let left = timeout(WITHIN, async {
        loop {
            let left = files(world.controller().unwrap()).unwrap();
            if left <= before.0 + 50 {
                return left;
            }
            sleep(AGAIN).await;
        }
    })
    .await;
    eprintln!(
        "{came} came, {} open at once; before {before:?} files and KiB, at most {:?}, after {left:?} files; \
         paid and online in {paid:?}, back in {back:?}",
        most.2,
        (most.0, most.1)
    );
    assert!(came >= CROWD && most.2 >= CROWD / 4, "{came} came, {} at once", most.2);
    assert!(most.1 <= before.1 + RESIDENT_KIB, "{most:?} KiB");
    assert!(left.is_ok(), "file handles are kept");
    world.stop().await.unwrap();
}
