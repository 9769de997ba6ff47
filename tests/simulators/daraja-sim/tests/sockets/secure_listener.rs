//! A listener behind https, as production demands: its certificate is trusted only if it is named.

use std::sync::Arc;

use daraja_sim::Settings;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::merchant::{Merchant, send};

/// Answers 200 to the first request of each connection; returns its URL and its certificate.
async fn start() -> (String, Vec<u8>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/c", socket.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            // A client that does not trust the certificate ends the handshake; wait for the next one.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"}}}}") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (url, cert.pem().into_bytes())
}

async fn callback_status(url: &str, roots: Option<Vec<u8>>) -> Vec<u16> {
    let merchant = Merchant::with(Settings { callback_roots_pem: roots, ..Settings::default() }).await;
    let token = merchant.token().await;
    let mut body = merchant.push_body();
    body["CallBackURL"] = url.into();
    assert_eq!(send(merchant.push_call(&token, &body)).await.0, 200);
    merchant.settled().await;
    merchant.handle().payments(0, 1)[0].callback_status.clone()
}

#[tokio::test]
async fn a_listener_behind_https_is_called_if_its_certificate_is_trusted() {
    let (url, certificate) = start().await;
    assert_eq!(callback_status(&url, Some(certificate)).await, [200]);
    assert_eq!(callback_status(&url, None).await, [0]);
}
