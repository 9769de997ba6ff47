//! Head office's front door in small, over real sockets: it speaks the contract of enrolment, and breaks it on request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tawi_agent::certificate::Certificate;
use tawi_agent::enrol::trust::digest_of;
use tawi_shared::enrolment::{
    ALPN_HTTP, ALPN_MQTT, ENROL_PATH, EnrolRefused, Enrolled, RENEW_PATH, Ticket, Token,
};
use tawi_shared::{Clock, IdSource, SiteId, UnixMillis};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// Longer than anything takes on a busy machine; a test that gets here has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const DAY: Duration = Duration::from_secs(86_400);
pub const SITE: &str = "nyeri-01";

/// A directory of its own for each test, gone at the end.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tawi-enrol-{}", IdSource::system().hex(6)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Settings that leave everything to enrolment, with these lines beside.
    pub fn settings(&self, more: &str) -> PathBuf {
        let path = self.0.join("agent.toml");
        std::fs::write(&path, format!("state_directory = \"{}\"\n{more}", self.state().display())).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How the front door answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the contract has it.
    Right,
    /// It does what was asked, and the line is cut before the answer.
    Lost,
    /// No, with this status and code.
    Refused(u16, &'static str),
    /// Something that never ends.
    Endless,
    /// Something that is no HTTP.
    Nonsense,
    /// For another site.
    AnotherSite,
    /// A certificate whose name is another site's.
    AnotherName,
    /// For another key.
    AnotherKey,
    /// With another authority's certificate.
    AnotherAuthority,
    /// Signed by nobody who is known.
    Unsigned,
    /// Without addresses.
    NoAddresses,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    pub body: serde_json::Value,
    /// The certificate that the connection showed, DER.
    pub shown: Option<Vec<u8>>,
}

impl Heard {
    /// The key that a certificate was asked for, whose signature is right.
    pub fn public_key(&self) -> Vec<u8> {
        request_of(self.body["csr"].as_str().unwrap()).0
    }
}

struct State {
    way: Way,
    heard: Vec<Heard>,
    /// Certificates that MQTT connections were made with.
    connected: Vec<Vec<u8>>,
    /// What each token was used for.
    given: BTreeMap<String, (Vec<u8>, String)>,
    validity: (UnixMillis, UnixMillis),
    /// Where it says that MQTT is spoken.
    brokers: Vec<String>,
    tcp_connections: usize,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "head office");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn certify(&self, name: &str, key: &impl PublicKeyData, validity: (UnixMillis, UnixMillis)) -> String {
        let date = |time: UnixMillis| rcgen::date_time_ymd(1970, 1, 1) + time.since(UnixMillis(0));
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date(validity.0), date(validity.1));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(key, &self.issuer).unwrap().pem()
    }
}

/// A public key as it came in a request.
struct Asked(Vec<u8>);

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The key of a request, whole and as its point alone.
fn request_of(pem: &str) -> (Vec<u8>, Vec<u8>) {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let (rest, request) = X509CertificationRequest::from_der(&block.contents).unwrap();
    assert!(rest.is_empty());
    request.verify_signature().expect("whoever asks has the key");
    let key = &request.certification_request_info.subject_pki;
    (key.raw.to_vec(), key.subject_public_key.data.to_vec())
}

/// Head office.
pub struct Office {
    pub port: u16,
    authority: Arc<Authority>,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Office {
    pub async fn start() -> Self {
        Self::start_with(&[ALPN_MQTT, ALPN_HTTP]).await
    }

    /// One of a release that knows these protocols.
    pub async fn start_with(protocols: &[&[u8]]) -> Self {
        let authority = Arc::new(Authority::new());
        let now = Clock::system().now();
        let state = Arc::new(Mutex::new(State {
            way: Way::Right,
            heard: Vec::new(),
            connected: Vec::new(),
            given: BTreeMap::new(),
            validity: (now.minus(DAY), now.plus(DAY * 364)),
            brokers: Vec::new(),
            tcp_connections: 0,
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let changes = watch::Sender::new(0);
        let door = Door {
            acceptor: TlsAcceptor::from(server_config(&authority, protocols)),
            authority: Arc::clone(&authority),
            state: Arc::clone(&state),
            changes: changes.clone(),
            port,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(door.serve(listener));
        Self { port, authority, state, changes, _tasks: tasks }
    }

    pub fn ticket(&self, site: &str, number: u8) -> Ticket {
        Ticket {
            site: SiteId::parse(site).unwrap(),
            token: Token::new([number; 16]),
            authority: digest_of(&self.authority.der),
            addresses: vec![format!("localhost:{}", self.port)],
        }
    }

    pub fn answers(&self, way: Way) {
        self.state.lock().unwrap().way = way;
    }

    /// Of certificates from now on.
    pub fn certifies_for(&self, from: UnixMillis, until: UnixMillis) {
        self.state.lock().unwrap().validity = (from, until);
    }

    /// From now on it says that MQTT is spoken there.
    pub fn names_brokers(&self, brokers: &[String]) {
        self.state.lock().unwrap().brokers = brokers.to_vec();
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state.lock().unwrap().heard.clone()
    }

    pub fn connected(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().connected.clone()
    }

    pub fn tcp_connections(&self) -> usize {
        self.state.lock().unwrap().tcp_connections
    }

    /// Waits until so much was asked.
    pub async fn hears(&self, count: usize) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while self.heard().len() < count {
                changes.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, waiting).await.expect("nobody asks");
    }

    /// Waits until so many connections for MQTT were made.
    pub async fn connects(&self, count: usize) {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while self.connected().len() < count {
                changes.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, waiting).await.expect("nobody connects");
    }
}

fn server_config(authority: &Authority, protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "controller");
    params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let own = params.signed_by(&key, &authority.issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(AlsoOver(verifier)))
        .with_single_cert(
            vec![own.der().clone(), authority.der.clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Lets in who shows a certificate that is over, as the contract has it for renewal.
#[derive(Debug)]
struct AlsoOver(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AlsoOver {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let begin = Certificate::read(end_entity).unwrap().not_before;
        let at = UnixTime::since_unix_epoch(begin.since(UnixMillis(0)));
        self.0.verify_client_cert(end_entity, intermediates, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    authority: Arc<Authority>,
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    port: u16,
}

impl Door {
    async fn serve(self, listener: TcpListener) {
        let mut guests = JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            self.state.lock().unwrap().tcp_connections += 1;
            guests.spawn(self.clone().let_in(tcp));
            while guests.try_join_next().is_some() {}
        }
    }

    async fn let_in(self, tcp: TcpStream) {
        let Ok(mut tls) = self.acceptor.accept(tcp).await else { return };
        let connection = tls.get_ref().1;
        let shown = connection.peer_certificates().and_then(|chain| chain.first()).map(|own| own.to_vec());
        if connection.alpn_protocol() != Some(ALPN_HTTP) {
            self.state.lock().unwrap().connected.push(shown.unwrap_or_default());
            self.changes.send_modify(|count| *count += 1);
            let mut nothing = [0; 64];
            while tls.read(&mut nothing).await.is_ok_and(|count| count > 0) {}
            return;
        }
        let Some((path, body)) = read_request(&mut tls).await else { return };
        let heard = Heard { path, body, shown };
        let way = self.state.lock().unwrap().way;
        // Before it is told, since whoever waits for it looks at once for what came of it.
        let answer = self.answer(&heard, way);
        self.state.lock().unwrap().heard.push(heard);
        self.changes.send_modify(|count| *count += 1);
        match way {
            Way::Lost => {}
            Way::Endless => {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while tls.write_all(&[b'x'; 1024]).await.is_ok() {}
            }
            Way::Nonsense => drop(tls.write_all(b"220 smtp.example ready\r\n").await),
            _ => {
                let (status, body) = answer;
                let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = tls.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
                let _ = tls.shutdown().await;
            }
        }
    }

    fn answer(&self, heard: &Heard, way: Way) -> (u16, String) {
        let refused = |status, code: &str| {
            let words = format!("{code}\n  cure: ask for a new ticket\u{1b}[2J");
            let refused = EnrolRefused { code: code.to_owned(), error: words };
            (status, serde_json::to_string(&refused).unwrap())
        };
        if let Way::Refused(status, code) = way {
            return refused(status, code);
        }
        let (key, point) = request_of(heard.body["csr"].as_str().unwrap());
        let mut state = self.state.lock().unwrap();
        let (site, certificate) = match heard.path.as_str() {
            ENROL_PATH => {
                let token = heard.body["token"].as_str().unwrap().to_owned();
                match state.given.get(&token) {
                    Some((given, certificate)) if *given == key => (SITE.to_owned(), certificate.clone()),
                    Some(_) => return refused(409, "token_used"),
                    None => {
                        let made = self.authority.certify(SITE, &Asked(point.clone()), state.validity);
                        state.given.insert(token, (key, made.clone()));
                        (SITE.to_owned(), made)
                    }
                }
            }
            RENEW_PATH => {
                let shown = heard.shown.as_deref().expect("a certificate is shown");
                let shown = Certificate::read(shown).unwrap();
                if shown.public_key != key {
                    return refused(403, "another_key");
                }
                let site = shown.common_name.unwrap().to_owned();
                let made = self.authority.certify(&site, &Asked(point.clone()), state.validity);
                (site, made)
            }
            _ => return refused(404, "no_such_path"),
        };
        let validity = state.validity;
        let mut answer = Enrolled {
            release_key: None,
            site: SiteId::parse(&site).unwrap(),
            certificate,
            authority: self.authority.pem.clone(),
            addresses: vec![format!("localhost:{}", self.port), "isp.example:443".to_owned()],
            brokers: state.brokers.clone(),
        };
        match way {
            Way::AnotherSite => answer.site = SiteId::parse("thika-02").unwrap(),
            Way::AnotherName => {
                answer.certificate = self.authority.certify("thika-02", &Asked(point), validity);
            }
            Way::AnotherKey => {
                let key = KeyPair::generate().unwrap();
                answer.certificate = self.authority.certify(SITE, &key, validity);
            }
            Way::AnotherAuthority => answer.authority = Authority::new().pem,
            Way::Unsigned => answer.certificate = Authority::new().certify(SITE, &Asked(point), validity),
            Way::NoAddresses => answer.addresses.clear(),
            _ => {}
        }
        (200, serde_json::to_string(&answer).unwrap())
    }
}

async fn read_request(tls: &mut TlsStream<TcpStream>) -> Option<(String, serde_json::Value)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = tls.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()?;
        if body.len() >= length {
            let path = head.strip_prefix("POST ")?.split(' ').next()?.to_owned();
            assert!(head.contains("Connection: close") && head.contains("Host: localhost:"), "{head}");
            return Some((path, serde_json::from_str(body).ok()?));
        }
    }
}

/// The certificate in a file, DER.
pub fn der_in(file: &Path) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(file).unwrap().to_vec()
}
