//! What head office answered, judged before anything of it is kept.
//!
//! Pure: an answer and what was expected in, an identity or a refusal out. A certificate for another site or another key
//! would put a site that works into the dark, so that it is refused whoever sent it, and what was there stays.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use tawi_shared::enrolment::Enrolled;
use tawi_shared::release::ReleaseKey;
use tawi_shared::{SiteId, UnixMillis};
use thiserror::Error;

use super::trust::digest_of;
use crate::certificate::Certificate;
use crate::config::{CONTROLLER_ADDRESSES, CONTROLLER_PORT, split_host_port};

/// What an answer must agree with.
#[derive(Clone, Debug)]
pub struct Expected<'e> {
    /// The site that asked.
    pub site: &'e SiteId,
    /// The key that it asked for, as a SubjectPublicKeyInfo.
    pub public_key: &'e [u8],
    /// SHA-256 of the authority's certificate.
    pub authority: [u8; 32],
    /// Where head office is, as far as is known: what an answer that names no address leaves as it is.
    pub addresses: &'e [String],
}

/// What may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The site's certificate, PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub authority: String,
    /// Where head office is, as `host:port`.
    pub addresses: Vec<String>,
    /// Where it hears MQTT, if not there.
    pub brokers: Vec<String>,
    /// Who may sign releases of the agent; one that is none is as if there were none.
    pub release_key: Option<ReleaseKey>,
    /// The first moment at which the certificate is good.
    pub not_before: UnixMillis,
    /// The last one.
    pub not_after: UnixMillis,
}

/// Why an answer is not taken. What was there before stays.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadAnswer {
    /// It is for another site.
    #[error(
        "head office answered for the site {0:?}, which is not this one\n  cure: ask head office for a new ticket"
    )]
    AnotherSite(String),
    /// The certificate is for another key.
    #[error(
        "head office certified another key than this device's\n  cure: ask head office for a new ticket, and see that both are of one release"
    )]
    AnotherKey,
    /// The authority is another one.
    #[error(
        "head office named another authority than the one that this device knows\n  cure: ask head office for a new ticket"
    )]
    AnotherAuthority,
    /// The certificate is not of the authority, or is none.
    #[error(
        "head office sent no certificate that can be used: {0}\n  cure: look at the controller's log; see that both are of one release"
    )]
    NoCertificate(String),
    /// An address that is none.
    #[error(
        "head office named an address that is none: {0:?}\n  cure: correct broker.advertised_address and broker.url at head office"
    )]
    Address(String),
}

/// Judges an answer.
///
/// # Errors
/// [`BadAnswer`].
pub fn judge(answer: &Enrolled, expected: &Expected<'_>) -> Result<Issued, BadAnswer> {
    let unusable = |why: &str| BadAnswer::NoCertificate(why.to_owned());
    if answer.site != *expected.site {
        return Err(BadAnswer::AnotherSite(answer.site.to_string()));
    }
    let only = |pem: &str, what: &str| {
        CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| unusable(&format!("{what} is not in PEM form")))
    };
    let authority = only(&answer.authority, "the authority's")?;
    if digest_of(&authority) != expected.authority {
        return Err(BadAnswer::AnotherAuthority);
    }
    let own = only(&answer.certificate, "the site's")?;
    let read = Certificate::read(&own).ok_or_else(|| unusable("it cannot be read"))?;
    if read.common_name != Some(expected.site.as_str()) {
        return Err(BadAnswer::AnotherSite(read.common_name.unwrap_or_default().to_owned()));
    }
    if read.public_key != expected.public_key {
        return Err(BadAnswer::AnotherKey);
    }
    check_signature(&own, authority, read.not_before).map_err(|why| unusable(&why))?;
    Ok(Issued {
        certificate: answer.certificate.clone(),
        authority: answer.authority.clone(),
        addresses: addresses_of(answer, expected)?,
        brokers: checked(&answer.brokers)?,
        release_key: answer.release_key.as_deref().and_then(ReleaseKey::parse),
        not_before: read.not_before,
        not_after: read.not_after,
    })
}

/// Whether the authority signed it, for a client. Judged at its first moment, since our own clock may be years late.
fn check_signature(
    own: &CertificateDer<'_>,
    authority: CertificateDer<'_>,
    not_before: UnixMillis,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.into_owned()).map_err(|error| error.to_string())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(|error| error.to_string())?;
    let at = Duration::from_millis(u64::try_from(not_before.0).unwrap_or_default());
    let verified = verifier.verify_client_cert(own, &[], UnixTime::since_unix_epoch(at));
    verified.map(drop).map_err(|error| error.to_string())
}

fn addresses_of(answer: &Enrolled, expected: &Expected<'_>) -> Result<Vec<String>, BadAnswer> {
    if answer.addresses.is_empty() {
        return Ok(expected.addresses.to_vec());
    }
    checked(&answer.addresses)
}

fn checked(addresses: &[String]) -> Result<Vec<String>, BadAnswer> {
    let is_none = |text: &&String| split_host_port(text, CONTROLLER_PORT).is_none();
    if let Some(bad) = addresses.iter().find(is_none) {
        return Err(BadAnswer::Address(bad.chars().take(80).collect()));
    }
    // More only make a site wait longer for the one that works.
    Ok(addresses.iter().take(CONTROLLER_ADDRESSES).cloned().collect())
}
