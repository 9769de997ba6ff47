//! What a broker that is not inside the controller needs of the authority: a certificate of its own, the controller's
//! that it lets in, and the list of those that it must not let in.
//!
//! The controller's certificate is made anew for each connection and never written: a few hundred microseconds, and there
//! is none to steal or to renew in time. The broker's key is handed out once, to be written where the broker is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tawi_shared::{Clock, UnixMillis};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{ByClock, CLOCK_SLACK, Pki, PkiError, SERVER_VALIDITY, authority_of, leaf_params};
use crate::mqtt::acl::CONTROLLER_USER;

/// How long the controller's certificate is good for: longer than any broker could ask for it again, and short for
/// whoever reads it out of the memory of this machine.
const CONTROLLER_VALIDITY: Duration = Duration::from_secs(30 * 86_400);
/// How long a list of revoked certificates is good for. OpenSSL lets nobody in at all once the list is over: a broker
/// that nobody told for years of who was revoked is better than one that shuts every site out.
const LIST_VALIDITY: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A broker's certificate and key.
pub struct ServerCertificate {
    /// PEM.
    pub certificate_pem: String,
    /// PEM. The controller keeps no copy.
    pub key_pem: String,
    /// From when nobody believes it.
    pub expires_at: UnixMillis,
}

impl std::fmt::Debug for ServerCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A certificate that nobody must let in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Since when.
    pub at: UnixMillis,
}

impl Pki {
    /// Makes a key and a certificate for a broker of these names, for server authentication only.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] for a name that cannot stand in a certificate.
    pub fn issue_broker(&self, names: &[String], now: UnixMillis) -> Result<ServerCertificate, PkiError> {
        let failed = |source| PkiError::Certificate { subject: names.join(", "), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = leaf_params("tawi broker", now, SERVER_VALIDITY);
        params.subject_alt_names = CertificateParams::new(names.to_vec()).map_err(failed)?.subject_alt_names;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = params.signed_by(&key, &*self.issuer).map_err(failed)?;
        Ok(ServerCertificate {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            expires_at: now.plus(SERVER_VALIDITY),
        })
    }

    /// The list of certificates that a broker must not let in, in PEM form.
    ///
    /// # Errors
    /// [`PkiError::Certificate`].
    pub fn revocation_list(&self, revoked: &[Revoked], now: UnixMillis) -> Result<String, PkiError> {
        let at = |at: UnixMillis| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(at.since(UnixMillis(0)).as_secs())
        };
        let revoked_certs = revoked
            .iter()
            .map(|one| RevokedCertParams {
                serial_number: SerialNumber::from_slice(&one.serial),
                revocation_time: at(one.at),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            // The broker's clock may be behind ours.
            this_update: at(now.minus(CLOCK_SLACK).max(UnixMillis(0))),
            next_update: at(now.plus(LIST_VALIDITY)),
            crl_number: SerialNumber::from(u64::try_from(now.0).unwrap_or_default()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let failed =
            |source| PkiError::Certificate { subject: "the list of revoked certificates".to_owned(), source };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(failed)
    }

    /// TLS for the controller as a client of a broker that is not inside it: with a fresh certificate that names
    /// [`CONTROLLER_USER`], towards a server that this authority vouches for. Validity is judged by `clock`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn controller_tls(&self, clock: &Clock) -> Result<rustls::ClientConfig, PkiError> {
        let failed = |source| PkiError::Certificate { subject: CONTROLLER_USER.to_owned(), source };
        let refused = |error: rustls::Error| PkiError::Tls(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = leaf_params(CONTROLLER_USER, clock.now(), CONTROLLER_VALIDITY);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = params.signed_by(&key, &*self.issuer).map_err(failed)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority_of(&self.certificate_pem)?).map_err(refused)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_details(provider, Arc::new(ByClock(clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .map_err(refused)
    }
}

/// The serial number of a certificate in PEM form; `None` where it cannot be read.
#[must_use]
pub fn serial_of(certificate_pem: &str) -> Option<Vec<u8>> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
    let (_rest, parsed) = X509Certificate::from_der(&der).ok()?;
    Some(parsed.raw_serial().to_vec())
}

/// Whether a certificate in PEM form is good for each of these names and addresses; not one that cannot be read.
#[must_use]
pub fn is_certified_for(certificate_pem: &str, names: &[String]) -> bool {
    let certified = || {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
        let (_rest, parsed) = X509Certificate::from_der(&der).ok()?;
        let listed = &parsed.subject_alternative_name().ok()??.value.general_names;
        let is_listed = |name: &String| match name.parse::<IpAddr>() {
            Ok(address) => listed.iter().any(|one| match (one, address) {
                (GeneralName::IPAddress(bytes), IpAddr::V4(address)) => *bytes == address.octets(),
                (GeneralName::IPAddress(bytes), IpAddr::V6(address)) => *bytes == address.octets(),
                _ => false,
            }),
            Err(_) => listed.iter().any(|one| matches!(one, GeneralName::DNSName(dns) if *dns == name)),
        };
        Some(names.iter().all(is_listed))
    };
    certified().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{CertificateRevocationList, parse_x509_pem};

    use super::*;
    use crate::ids::SiteId;
    use crate::testing::TemporaryDirectory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    #[test]
    fn the_list_names_who_is_revoked_and_nobody_else() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        let site = SiteId::parse("a").unwrap();
        let serial =
            |at: UnixMillis| serial_of(&pki.issue_site(&site, at).unwrap().issued.certificate_pem).unwrap();
        let (first, second) = (serial(NOW), serial(NOW));
        assert_ne!(first, second);
        for revoked in [Vec::new(), vec![Revoked { serial: first.clone(), at: NOW }]] {
            let pem = pki.revocation_list(&revoked, NOW).unwrap();
            let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
            let (_, list) = CertificateRevocationList::from_der(&pem.contents).unwrap();
            let named: Vec<_> =
                list.iter_revoked_certificates().map(|one| one.raw_serial().to_vec()).collect();
            assert_eq!(named, revoked.into_iter().map(|one| one.serial).collect::<Vec<_>>());
            let years = (list.next_update().unwrap().timestamp() - NOW.0 / 1_000) / (365 * 86_400);
            assert_eq!(years, 10);
        }
        assert_eq!(serial_of("nonsense"), None);
    }

    #[test]
    fn a_certificate_is_good_for_the_names_that_it_was_made_for() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let made = pki.issue_broker(&names(&["mq.isp.example", "192.0.2.7", "2001:db8::1"]), NOW).unwrap();
        let check = |wanted: &[&str], expected| {
            assert_eq!(is_certified_for(&made.certificate_pem, &names(wanted)), expected, "{wanted:?}");
        };
        check(&["mq.isp.example"], true);
        check(&["192.0.2.7", "2001:db8::1"], true);
        check(&["mq.isp.example", "mq2.isp.example"], false);
        check(&["192.0.2.8"], false);
        assert!(!is_certified_for("junk", &names(&["mq.isp.example"])));
    }

    #[test]
    fn a_key_that_is_certified_again_has_another_serial_number() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let key = super::super::DeviceKey::of_request(&request).unwrap();
        let site = SiteId::parse("a").unwrap();
        let later = NOW.plus(Duration::from_secs(1));
        let [first, second] =
            [NOW, later].map(|at| serial_of(&pki.issue_for(&key, &site, at).unwrap().certificate_pem));
        assert_ne!(first, second, "the list would shut out the next certificate with the last");
    }

    #[test]
    fn no_key_is_shown() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        let issued = pki.issue_broker(&["mq.isp.example".to_owned()], NOW).unwrap();
        assert!(issued.key_pem.contains("PRIVATE") && !format!("{issued:?}").contains("PRIVATE"));
    }
}
