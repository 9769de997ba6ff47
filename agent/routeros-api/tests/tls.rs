//! TLS over loopback with certificates made for the test: whom the client believes, and whom it does not.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use routeros_api::wire::{Decoder, Limits, encode_sentence};
use routeros_api::{
    Client, Command, Error, Fingerprint, Operation, Options, Secret, TlsError, TlsTrust, Transport,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a router has: a certificate and a key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

fn loopback() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    params
}

/// As a router signs for itself: no name in it that we connect to.
fn self_signed() -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["router.invalid".to_owned()]).unwrap().self_signed(&key).unwrap();
    Identity { certificate: certificate.der().clone(), key }
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.der().clone(), key }
    }

    fn trust(&self) -> TlsTrust {
        TlsTrust::ca_pem(self.0.pem().as_bytes()).unwrap()
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(vec![certificate], key)))))
}

/// A router on loopback for one connection: its port, and whether the client sent anything through TLS.
async fn router(config: ServerConfig) -> (u16, JoinHandle<bool>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        match TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            Ok(stream) => serve(stream).await,
            Err(_) => false,
        }
    });
    (port, serving)
}

/// Lets the client in and calls itself `edge` until it hangs up.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> bool {
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = [0; 1024];
    let mut has_heard = false;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        decoder.feed(&buffer[..count]);
        while let Some(sentence) = decoder.poll().unwrap() {
            has_heard = true;
            let mut out = Vec::new();
            if let Some(tag) = sentence.tag() {
                let tag = [b".tag=", &tag[..]].concat();
                encode_sentence(&[&b"!re"[..], b"=name=edge", &tag], &mut out).unwrap();
                encode_sentence(&[&b"!done"[..], &tag], &mut out).unwrap();
            } else {
                encode_sentence(&[b"!done"], &mut out).unwrap();
            }
            stream.write_all(&out).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
    has_heard
}

fn options(port: u16, trust: TlsTrust) -> Options {
    Options::new(format!("127.0.0.1:{port}"), Transport::Tls(trust), "api", Secret::new("hunter2"))
}

/// The name of the router, if the client believes it.
async fn name_of(options: Options) -> Result<String, Error> {
    let client = Client::connect(options).await?;
    let reply = client.run(Command::new("/system/identity/print").proplist(&["name"])).await?;
    Ok(String::from_utf8(reply.rows[0].get("name").unwrap().to_vec()).unwrap())
}

/// Expects a refusal before the login, so that the password never leaves.
async fn refused(config: ServerConfig, trust: TlsTrust) -> TlsError {
    let (port, serving) = router(config).await;
    let Err(Error::Tls(error)) = name_of(options(port, trust)).await else { panic!("not refused") };
    assert!(!serving.await.unwrap(), "the password has gone to whom we do not believe");
    error
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_whatever_it_names() {
    let Identity { certificate, key } = self_signed();
    let pin = Fingerprint::of(&certificate);
    let (port, serving) = router(server_config(certificate, &key)).await;
    assert_eq!(name_of(options(port, TlsTrust::Pin(pin))).await.unwrap(), "edge");
    assert!(serving.await.unwrap());
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_and_named() {
    let Identity { certificate, key } = self_signed();
    let found = Fingerprint::of(&certificate);
    let expected = Fingerprint::of(&self_signed().certificate);
    let error = refused(server_config(certificate, &key), TlsTrust::Pin(expected)).await;
    assert_eq!(error, TlsError::PinMismatch { expected, found });
    assert!(error.to_string().contains(&found.to_string()));
}

#[tokio::test]
async fn the_pinned_certificate_without_its_key_is_refused() {
    let Identity { certificate, .. } = self_signed();
    let pin = Fingerprint::of(&certificate);
    // Whoever has seen the certificate can present it; only the router can sign with it.
    let thief = KeyPair::generate().unwrap();
    let error = refused(server_config(certificate, &thief), TlsTrust::Pin(pin)).await;
    assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_the_authority_for_this_address_is_believed() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.sign(&loopback());
    let (port, _serving) = router(server_config(certificate, &key)).await;
    assert_eq!(name_of(options(port, authority.trust())).await.unwrap(), "edge");
}

#[tokio::test]
async fn a_certificate_may_bear_a_name_that_the_options_give() {
    let authority = Authority::new();
    let Identity { certificate, key } =
        authority.sign(&CertificateParams::new(vec!["edge.example".to_owned()]).unwrap());
    let (port, _serving) = router(server_config(certificate.clone(), &key)).await;
    let options =
        Options { server_name: Some("edge.example".to_owned()), ..options(port, authority.trust()) };
    assert_eq!(name_of(options).await.unwrap(), "edge");
    let error = refused(server_config(certificate, &key), authority.trust()).await;
    assert!(matches!(error, TlsError::Certificate(_)), "for another host: {error:?}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let Identity { certificate, key } = Authority::new().sign(&loopback());
    let error = refused(server_config(certificate, &key), Authority::new().trust()).await;
    assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_times_the_handshake_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = options(port, TlsTrust::Pin(Fingerprint::of(b"")));
    options.deadlines.tls = Duration::from_millis(50);
    let (accepted, result) = tokio::join!(listener.accept(), name_of(options));
    assert!(accepted.is_ok());
    assert!(matches!(result, Err(Error::Timeout { operation: Operation::Tls, .. })));
}

#[tokio::test]
async fn a_closed_port_is_no_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let plain = Options { transport: Transport::Plain, ..options(port, TlsTrust::Pin(Fingerprint::of(b""))) };
    assert!(matches!(name_of(plain).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn plain_tcp_works_over_loopback() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    let options = Options::new(format!("127.0.0.1:{port}"), Transport::Plain, "api", Secret::new("hunter2"));
    assert_eq!(name_of(options).await.unwrap(), "edge");
    assert!(serving.await.unwrap());
}
