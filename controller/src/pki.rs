//! The controller's own certificate authority: one key that vouches for every agent and for the front door.
//!
//! The directory holds `ca.key` (mode 0600) and `ca.pem`, and nothing else: the front door's certificate is made anew
//! at each start and never written, so there is none to steal or to forget to renew. The front door needs no list of
//! who is revoked: it asks the database at each connection. For a broker that cannot, `broker.rs` makes one. Nothing
//! here reads the clock or opens a socket.

mod broker;
mod grace;
mod request;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tawi_shared::enrolment::{ALPN_HTTP, ALPN_MQTT};
use tawi_shared::ids::hex;
use tawi_shared::{Clock, UnixMillis};
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::ids::SiteId;

pub use broker::{Revoked, ServerCertificate, is_certified_for, serial_of};
pub use grace::GRACE;
use grace::WithGrace;
pub use request::{BadRequest, DeviceKey};

/// How long an agent's certificate is good for. A site may be cut off for weeks; a stolen card should not be good for
/// ever even when nobody notices.
const SITE_VALIDITY: Duration = Duration::from_secs(366 * 86_400);
/// How long the front door's certificate is good for: longer than any process runs without an update.
const SERVER_VALIDITY: Duration = Duration::from_secs(5 * 366 * 86_400);
/// How long the authority is good for. It cannot be changed without visiting every site.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(30 * 366 * 86_400);
/// Certificates begin so long before they were made, because clocks at sites run behind.
const CLOCK_SLACK: Duration = Duration::from_secs(2 * 86_400);

/// Bytes of a serial number: RFC 5280 takes 20.
const SERIAL_BYTES: usize = 16;

/// Why certificates cannot be made.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a certificate and no key for it.
    #[error("{} is there and {} is not: restore the key from a backup; a new authority would lock out every site",
        certificate.display(), key.display())]
    KeyMissing {
        /// The certificate.
        certificate: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
    /// Key and certificate are not a pair.
    #[error("{} and {} do not belong together: restore both from one backup", certificate.display(), key.display())]
    NotAPair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A file holds something else than it should.
    #[error("{} does not hold {expected}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A certificate cannot be made.
    #[error("making a certificate for {subject}: {source}")]
    Certificate {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// The TLS stack refuses what was made.
    #[error("setting up TLS for the front door: {0}")]
    Tls(String),
}

/// The authority. Clones share it.
#[derive(Clone)]
pub struct Pki {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate_pem: String,
    sha256: [u8; 32],
}

impl fmt::Debug for Pki {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

/// What an agent proves itself with, when its key is made here.
#[derive(Clone)]
pub struct SiteCertificate {
    /// The certificate.
    pub issued: Issued,
    /// Its private key. The controller keeps no copy.
    pub key_pem: String,
}

/// A certificate of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// SHA-256 of the certificate's DER form, in lower-case hex: how the database knows it.
    pub sha256: String,
    /// When it was made.
    pub issued_at: UnixMillis,
    /// From when it is refused.
    pub expires_at: UnixMillis,
}

impl fmt::Debug for SiteCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteCertificate").field("issued", &self.issued).finish_non_exhaustive()
    }
}

/// TLS for the two who come to the front door, told apart by ALPN.
pub struct DoorTls {
    /// For agents that speak MQTT: a certificate of this authority is demanded.
    pub mqtt: rustls::ServerConfig,
    /// For devices that want a certificate: one that they have may have ended within [`GRACE`], and new ones have none. The
    /// authority's own certificate is shown, by which a ticket knows us.
    pub enrolment: rustls::ServerConfig,
}

impl fmt::Debug for DoorTls {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoorTls").finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the authority in `directory`, or makes it there on the first start. A few small files, read and written
    /// while the caller waits. Of programs that start at once one makes it, and the others wait for that.
    ///
    /// # Errors
    /// [`PkiError`]; an authority that is damaged is never replaced by a new one.
    pub fn open_or_create(directory: &Path, now: UnixMillis) -> Result<Self, PkiError> {
        let key_path = directory.join("ca.key");
        let certificate_path = directory.join("ca.pem");
        fs::create_dir_all(directory).map_err(|source| PkiError::File {
            operation: "creating",
            path: directory.to_owned(),
            source,
        })?;
        let _turn = locked(directory)?;
        let key = match read_if_there(&key_path)? {
            Some(pem) => KeyPair::from_pem(&pem)
                .map_err(|_| PkiError::Unreadable { path: key_path.clone(), expected: "a private key" })?,
            None if certificate_path.exists() => {
                return Err(PkiError::KeyMissing { certificate: certificate_path, key: key_path });
            }
            None => create_key(&key_path)?,
        };
        let params = authority_params(&key, now);
        let certificate_pem = match read_if_there(&certificate_path)? {
            Some(pem) => {
                check_pair(&pem, &key, &certificate_path, &key_path)?;
                pem
            }
            // The name of the authority follows from its key, so that a certificate made anew after a power cut
            // between the two files, or after somebody deleted it, vouches for the same sites.
            None => {
                let pem = params
                    .self_signed(&key)
                    .map_err(|source| PkiError::Certificate { subject: "the authority".to_owned(), source })?
                    .pem();
                write_atomically(&certificate_path, pem.as_bytes(), 0o644)?;
                pem
            }
        };
        let authority = authority_of(&certificate_pem)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &authority).as_ref());
        Ok(Self { issuer: Arc::new(Issuer::new(params, key)), certificate_pem, sha256 })
    }

    /// SHA-256 of the authority's certificate in DER form, by which a ticket names us.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The certificate by which agents know the front door; it goes into each bundle.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a key and a certificate for an agent: common name = site id, for client authentication only.
    ///
    /// # Errors
    /// [`PkiError::Certificate`].
    pub fn issue_site(&self, site: &SiteId, now: UnixMillis) -> Result<SiteCertificate, PkiError> {
        let failed = |source| PkiError::Certificate { subject: format!("site {site}"), source };
        let key = KeyPair::generate().map_err(failed)?;
        let params = site_params(site, &key, now);
        let certificate = params.signed_by(&key, &*self.issuer).map_err(failed)?;
        Ok(SiteCertificate { issued: issued(&certificate, now), key_pem: key.serialize_pem() })
    }

    /// Makes a certificate for the key of a device, which stays there.
    ///
    /// # Errors
    /// [`PkiError::Certificate`].
    pub fn issue_for(&self, key: &DeviceKey, site: &SiteId, now: UnixMillis) -> Result<Issued, PkiError> {
        let failed = |source| PkiError::Certificate { subject: format!("site {site}"), source };
        let params = site_params(site, &key.public_key, now);
        let certificate = params.signed_by(&key.public_key, &*self.issuer).map_err(failed)?;
        Ok(issued(&certificate, now))
    }

    /// TLS for the front door: its own fresh certificate for `names` (host names and IP addresses). Validity is judged by
    /// `clock`.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] for a name that cannot stand in a certificate, else [`PkiError::Tls`].
    pub fn door_tls(&self, names: &[String], clock: &Clock) -> Result<DoorTls, PkiError> {
        let failed = |source| PkiError::Certificate { subject: names.join(", "), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = leaf_params("tawi front door", clock.now(), SERVER_VALIDITY);
        params.subject_alt_names = CertificateParams::new(names.to_vec()).map_err(failed)?.subject_alt_names;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = params.signed_by(&key, &*self.issuer).map_err(failed)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authority = authority_of(&self.certificate_pem)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|error| PkiError::Tls(error.to_string()))?;
        let roots = Arc::new(roots);
        let verifier =
            || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let wrong = |error: rustls::server::VerifierBuilderError| PkiError::Tls(error.to_string());
        let of_agents = verifier().build().map_err(wrong)?;
        let of_devices = WithGrace(verifier().allow_unauthenticated().build().map_err(wrong)?);
        let with = |verifier: Arc<dyn ClientCertVerifier>, chain: Vec<CertificateDer<'static>>| {
            rustls::ServerConfig::builder_with_details(
                Arc::clone(&provider),
                Arc::new(ByClock(clock.clone())),
            )
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        };
        let leaf = certificate.der().clone();
        let refused = |error: rustls::Error| PkiError::Tls(error.to_string());
        let mut mqtt = with(of_agents, vec![leaf.clone()]).map_err(refused)?;
        mqtt.alpn_protocols = vec![ALPN_MQTT.to_vec()];
        let mut enrolment = with(Arc::new(of_devices), vec![leaf, authority]).map_err(refused)?;
        enrolment.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        // A session that is resumed shows no certificate anew, and a device comes once in months.
        enrolment.session_storage = Arc::new(NoServerSessionStorage {});
        enrolment.send_tls13_tickets = 0;
        Ok(DoorTls { mqtt, enrolment })
    }
}

/// How the database knows a certificate: SHA-256 of its DER form in lower-case hex.
#[must_use]
pub fn sha256_of(certificate: &CertificateDer<'_>) -> String {
    hex(digest(&SHA256, certificate).as_ref())
}

/// The site whose id is the certificate's only common name; `None` for any other certificate.
#[must_use]
pub fn site_of(certificate: &CertificateDer<'_>) -> Option<SiteId> {
    let (_rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    if names.next().is_some() {
        return None;
    }
    SiteId::parse(name).ok()
}

/// Judges validity by the controller's clock, which tests can move.
#[derive(Debug)]
struct ByClock(Clock);

impl TimeProvider for ByClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(since_epoch)))
    }
}

fn authority_of(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| PkiError::Tls(error.to_string()))
}

fn issued(certificate: &rcgen::Certificate, now: UnixMillis) -> Issued {
    Issued {
        certificate_pem: certificate.pem(),
        sha256: sha256_of(certificate.der()),
        issued_at: now,
        expires_at: now.plus(SITE_VALIDITY),
    }
}

/// For client authentication only, and of one name: the site's.
fn site_params(site: &SiteId, key: &impl PublicKeyData, now: UnixMillis) -> CertificateParams {
    let mut params = leaf_params(site.as_str(), now, SITE_VALIDITY);
    // By the key alone, as rcgen has it, the next certificate of a device would have the number of the last, and a list
    // that names the last would shut out both.
    let digest = digest(&SHA256, &[key.der_bytes(), &now.0.to_be_bytes()].concat());
    let mut serial: Vec<u8> = digest.as_ref().iter().take(SERIAL_BYTES).copied().collect();
    // Positive, and as long in its shortest form.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    params
}

fn authority_params(key: &KeyPair, now: UnixMillis) -> CertificateParams {
    let key_digest = digest(&SHA256, key.der_bytes());
    let mark: String = hex(key_digest.as_ref()).chars().take(12).collect();
    let mut params = leaf_params(&format!("tawi authority {mark}"), now, AUTHORITY_VALIDITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(common_name: &str, now: UnixMillis, validity: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let start = now.minus(CLOCK_SLACK).max(UnixMillis(0));
    let end = now.plus(validity);
    // Certificates count whole seconds.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(start.since(UnixMillis(0)).as_secs());
    params.not_after = epoch + Duration::from_secs(end.since(UnixMillis(0)).as_secs());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn create_key(path: &Path) -> Result<KeyPair, PkiError> {
    let key = KeyPair::generate()
        .map_err(|source| PkiError::Certificate { subject: "the authority".to_owned(), source })?;
    write_atomically(path, key.serialize_pem().as_bytes(), 0o600)?;
    Ok(key)
}

fn check_pair(pem: &str, key: &KeyPair, certificate: &Path, key_path: &Path) -> Result<(), PkiError> {
    let unreadable =
        || PkiError::Unreadable { path: certificate.to_owned(), expected: "a certificate in PEM form" };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
    let (_rest, parsed) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
    let public_key: &[u8] = parsed.public_key().subject_public_key.data.as_ref();
    if public_key == key.der_bytes() {
        return Ok(());
    }
    Err(PkiError::NotAPair { certificate: certificate.to_owned(), key: key_path.to_owned() })
}

/// Nobody else makes an authority in `directory` until the answer is dropped, or its holder dies.
fn locked(directory: &Path) -> Result<File, PkiError> {
    let failed = |source| PkiError::File { operation: "locking", path: directory.to_owned(), source };
    let directory = File::open(directory).map_err(failed)?;
    directory.lock().map_err(failed)?;
    Ok(directory)
}

fn read_if_there(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { operation: "reading", path: path.to_owned(), source }),
    }
}

/// Writes a whole file or none: a new file beside it, fsync, rename, fsync of the directory.
fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    let failed = |operation| {
        let path = path.to_owned();
        move |source| PkiError::File { operation, path, source }
    };
    let draft = path.with_extension("new");
    // A draft that a power cut left behind may have another mode.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replacing")(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .map_err(failed("creating"))?;
    file.write_all(content).map_err(failed("writing"))?;
    file.sync_all().map_err(failed("writing"))?;
    fs::rename(&draft, path).map_err(failed("renaming"))?;
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("writing"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::testing::TemporaryDirectory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_for_the_owner_only() {
        let directory = TemporaryDirectory::new();
        let first = Pki::open_or_create(directory.path(), NOW).unwrap();
        let mode = fs::metadata(directory.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Pki::open_or_create(directory.path(), NOW.plus(Duration::from_secs(9))).unwrap();
        assert_eq!(first.ca_pem(), second.ca_pem());
        let mut files: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["ca.key", "ca.pem"], "no draft stays behind");
    }

    #[test]
    fn programs_that_start_at_once_share_one_authority() {
        let directory = TemporaryDirectory::new();
        let start = std::sync::Barrier::new(8);
        let authorities: Vec<String> = std::thread::scope(|scope| {
            let open = || {
                start.wait();
                Pki::open_or_create(directory.path(), NOW).unwrap().ca_pem().to_owned()
            };
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            opened.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let again = Pki::open_or_create(directory.path(), NOW).unwrap();
        assert!(authorities.iter().all(|pem| pem == again.ca_pem()), "two authorities were made");
    }

    #[test]
    fn an_agents_certificate_names_its_site_and_lasts_a_year() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        let site = SiteId::parse("nyeri-01").unwrap();
        let issued = pki.issue_site(&site, NOW).unwrap();
        let certificate = der(&issued.issued.certificate_pem);
        assert_eq!(site_of(&certificate), Some(site));
        assert_eq!(sha256_of(&certificate), issued.issued.sha256);
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        let days = (parsed.validity().not_after.timestamp() - NOW.0 / 1_000) / 86_400;
        assert!((365..=366).contains(&days), "{days}");
        assert!(parsed.validity().not_before.timestamp() < NOW.0 / 1_000);
        assert!(!parsed.is_ca());
        assert_eq!(issued.issued.expires_at.0 / 1_000, parsed.validity().not_after.timestamp());
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_lost_certificate_is_made_anew_for_the_same_sites() {
        let directory = TemporaryDirectory::new();
        let site = SiteId::parse("a").unwrap();
        let issued = Pki::open_or_create(directory.path(), NOW).unwrap().issue_site(&site, NOW).unwrap();
        fs::remove_file(directory.path().join("ca.pem")).unwrap();
        let again = Pki::open_or_create(directory.path(), NOW).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(again.ca_pem())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_millis(NOW.0.unsigned_abs()));
        verifier.verify_client_cert(&der(&issued.issued.certificate_pem), &[], time).unwrap();
    }

    #[test]
    fn an_authority_without_its_key_or_with_a_foreign_one_is_never_replaced() {
        let directory = TemporaryDirectory::new();
        Pki::open_or_create(directory.path(), NOW).unwrap();
        let other = TemporaryDirectory::new();
        Pki::open_or_create(other.path(), NOW).unwrap();
        fs::copy(other.path().join("ca.key"), directory.path().join("ca.key")).unwrap();
        assert!(matches!(Pki::open_or_create(directory.path(), NOW), Err(PkiError::NotAPair { .. })));
        fs::remove_file(directory.path().join("ca.key")).unwrap();
        assert!(matches!(Pki::open_or_create(directory.path(), NOW), Err(PkiError::KeyMissing { .. })));
        assert!(!directory.path().join("ca.key").exists());
        fs::write(directory.path().join("ca.key"), "nonsense").unwrap();
        assert!(matches!(Pki::open_or_create(directory.path(), NOW), Err(PkiError::Unreadable { .. })));
    }

    #[test]
    fn a_certificate_without_a_site_in_it_is_no_sites() {
        let directory = TemporaryDirectory::new();
        let pki = Pki::open_or_create(directory.path(), NOW).unwrap();
        assert_eq!(site_of(&der(pki.ca_pem())), None);
        assert_eq!(site_of(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
