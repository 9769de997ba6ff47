//! The controller's way to a broker that is not inside it: a private socket that rumqttc connects to, a TLS connection
//! behind it, and a splice.
//!
//! The same as at the agent's end (`agent/src/link/dialer.rs`), and for the same reason: rumqttc would bring a second TLS
//! stack. Each connection has a socket of its own, in a directory of its own that only we can enter, and takes one
//! guest; both are gone before the first byte is carried.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tawi_shared::Clock;
use thiserror::Error;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ids::IdSource;
use crate::pki::{Pki, PkiError};

/// Name look-up, TCP and TLS together.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);
/// rumqttc connects to the socket at once; whoever does not is not coming.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(5);
/// How long the splice may take to say why it ended.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Why the broker cannot be reached.
#[derive(Debug, Error)]
pub enum LineError {
    /// No TCP connection.
    #[error("{address}: {source}; cure: see that the broker runs there, and that [broker] url is right")]
    Connect {
        /// Which address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No TLS on it.
    #[error(
        "{address}: TLS: {source}; cure: the broker's certificate must be of this controller's authority and name that host: tawi-controller broker-config --help"
    )]
    Tls {
        /// Which address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Neither within ten seconds.
    #[error("{address}: no connection within {} s", DIAL_DEADLINE.as_secs())]
    TooSlow {
        /// Which address.
        address: String,
    },
    /// The name cannot stand in a certificate.
    #[error("{address}: it is not a name that a certificate can carry; cure: correct [broker] url")]
    BadName {
        /// Which address.
        address: String,
    },
    /// The private socket cannot be made.
    #[error("{}: the controller's own socket cannot be made: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate to show.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// Where the broker is, and what the controller proves itself with.
#[derive(Clone)]
pub struct Line {
    host: String,
    port: u16,
    pki: Pki,
    clock: Clock,
    ids: IdSource,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A connection that waits for rumqttc.
pub(super) struct Opened {
    /// Where it connects to.
    pub(super) socket: PathBuf,
    splice: JoinSet<io::Result<()>>,
}

impl Opened {
    /// How the line broke, if it did; a refused certificate, for one, shows after the handshake.
    pub(super) async fn why_it_ended(mut self) -> Option<io::Error> {
        timeout(LAST_WORD, self.splice.join_next()).await.ok()??.ok()?.err()
    }
}

impl Line {
    /// To a broker at `host`.
    pub(crate) fn new((host, port): (&str, u16), pki: Pki, clock: Clock, ids: IdSource) -> Self {
        Self { host: host.to_owned(), port, pki, clock, ids }
    }

    /// Dials, with a certificate that is made for this connection, and waits at a socket for rumqttc.
    pub(super) async fn open(&self) -> Result<Opened, LineError> {
        let stream = match timeout(DIAL_DEADLINE, Box::pin(self.dial())).await {
            Ok(dialed) => dialed?,
            Err(_) => return Err(LineError::TooSlow { address: self.address() }),
        };
        // Short, since the kernel takes 107 bytes for the name of a socket, and a data directory may be deep.
        let directory = std::env::temp_dir().join(format!("tawi-controller-{}", self.ids.hex(16)));
        let door = PrivateDoor::open(&directory)
            .map_err(|source| LineError::Socket { path: directory.clone(), source })?;
        let socket = door.socket();
        let mut splice = JoinSet::new();
        splice.spawn(carry(door, stream));
        Ok(Opened { socket, splice })
    }

    async fn dial(&self) -> Result<TlsStream<TcpStream>, LineError> {
        let address = self.address();
        let Ok(name) = ServerName::try_from(self.host.clone()) else {
            return Err(LineError::BadName { address });
        };
        let tls = TlsConnector::from(Arc::new(self.pki.controller_tls(&self.clock)?));
        let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => tcp,
            Err(source) => return Err(LineError::Connect { address, source }),
        };
        tls.connect(name, tcp).await.map_err(|source| LineError::Tls { address, source })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// A socket in a directory that only we can enter. Gone when it is dropped.
struct PrivateDoor {
    directory: PathBuf,
    listener: UnixListener,
}

impl PrivateDoor {
    fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().mode(0o700).create(directory)?;
        let socket = directory.join("mqtt.sock");
        let bound = UnixListener::bind(&socket).and_then(|listener| {
            std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => Ok(Self { directory: directory.to_owned(), listener }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(directory);
                Err(error)
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("mqtt.sock")
    }
}

impl Drop for PrivateDoor {
    fn drop(&mut self) {
        // What is left in a directory of temporary files is nobody's harm.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits for rumqttc, and carries bytes both ways until either side ends.
async fn carry(door: PrivateDoor, mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    let (mut inner, _) = timeout(ACCEPT_DEADLINE, door.listener.accept()).await??;
    drop(door);
    copy_bidirectional(&mut inner, &mut stream).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_us_alone_and_gone_with_its_door() {
        let directory = std::env::temp_dir().join(format!("tawi-door-{}", IdSource::system().hex(8)));
        let door = PrivateDoor::open(&directory).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&door.socket())), (0o700, 0o600));
        let socket = door.socket();
        UnixStream::connect(&socket).await.unwrap();
        assert!(PrivateDoor::open(&directory).is_err(), "what is somebody's is not taken");
        drop(door);
        assert!(!directory.exists());
    }
}
