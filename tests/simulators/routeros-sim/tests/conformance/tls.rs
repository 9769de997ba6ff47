//! The API over TLS, known by its fingerprint.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::verify_tls12_signature;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, settings};
use routeros_sim::{Settings, Simulator};

#[derive(Debug)]
struct Pinned(String);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: String =
            digest(&SHA256, certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let is_right = found == self.0;
        is_right.then(ServerCertVerified::assertion).ok_or(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("RouterOS has no TLS 1.3".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn api_ssl_shows_the_certificate_that_it_is_set_to() {
    let tls_listen = Some("127.0.0.1:0".parse().unwrap());
    let simulator = Simulator::start(Settings { tls_listen, ..settings("7.18") }).await.unwrap();
    let connect = |pin: String| async {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(pin)))
            .with_no_client_auth();
        let stream = TcpStream::connect(simulator.tls_address().unwrap()).await.unwrap();
        let name = ServerName::try_from("192.0.2.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let first = simulator.tls_pin().unwrap();
    let mut client = Client::over(connect(first.clone()).await.unwrap());
    client.log_in().await;
    client.talk("/certificate/add =name=own =common-name=own").await;
    client.talk("/certificate/sign =number=own").await;
    assert_eq!(simulator.tls_pin().unwrap(), first, "signed, and not yet in use");
    client.talk("/ip/service/set =numbers=api-ssl =certificate=own").await;
    let rows = simulator.router().rows("certificate").unwrap();
    let of = |row: &Vec<(&str, Vec<u8>)>, name: &str| {
        let value = row.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        String::from_utf8(value.unwrap_or_default()).unwrap()
    };
    let own = rows.iter().find(|row| of(row, "name") == "own").map(|row| of(row, "fingerprint")).unwrap();
    assert_eq!(simulator.tls_pin().unwrap(), own);
    assert!(connect(first).await.is_err(), "the old one is gone");
    assert!(connect(own).await.is_ok());
}

#[tokio::test]
async fn the_api_over_tls_has_the_pin_that_was_told_and_prints_long_lists_whole() {
    let tls_listen = Some("127.0.0.1:0".parse().unwrap());
    let many = Settings { tls_listen, foreign_secrets: 3_000, ..settings("7.18") };
    let simulator = Simulator::start(many).await.unwrap();
    let connect = |pin: String| async {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned(pin)))
            .with_no_client_auth();
        let stream = TcpStream::connect(simulator.tls_address().unwrap()).await.unwrap();
        let name = ServerName::try_from("192.0.2.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    assert!(connect("00".repeat(32)).await.is_err());
    let stream = connect(simulator.tls_pin().unwrap()).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let mut client = Client::over(stream);
    client.log_in().await;
    assert_eq!(client.talk("/ppp/secret/print").await.len(), 3_001);
    client.check("/ip/service/disable =numbers=api-ssl", &["!done"]).await;
    let closed = async {
        while TcpStream::connect(simulator.tls_address().unwrap()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::client::DEADLINE, closed).await.expect("a disabled service refuses");
}
