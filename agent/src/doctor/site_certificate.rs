//! Whether the certificate of this site is the one that head office lets in: by its common name, and by nothing else.
//!
//! Pure: bytes in, findings out. How long it is good is said here too, since a site whose certificate is over is dark.

use tawi_shared::UnixMillis;

use super::finding::Finding;
use crate::certificate::Certificate;
use crate::enrol::renewal::{GRACE, NOTICE};

/// Compares the certificate with the site of the settings, before head office does and hangs up.
pub(super) fn examine(certificate: &[u8], site: &str) -> Finding {
    let check = "site certificate";
    let name = Certificate::read(certificate).and_then(|certificate| certificate.common_name);
    match name {
        Some(name) if name == site => Finding::good(check, format!("it was made for {site}")),
        Some(name) => Finding::bad(
            check,
            format!("it was made for {name}, and the settings say site {site}: head office refuses it"),
            format!(
                "copy agent.pem and agent.key from the bundle of {site}, or leave site out of agent.toml if this device was enrolled; if this machine is {name}, set site = \"{name}\" in agent.toml"
            ),
        ),
        None => Finding::bad(
            check,
            "it names no site: head office refuses it",
            "copy agent.pem and agent.key from the bundle that head office made for this site, or ask for a ticket: tawi-agent enrol",
        ),
    }
}

/// How long it is still good. `renews`: the running agent gets the next one by itself.
pub(super) fn remaining(certificate: &[u8], now: UnixMillis, renews: bool) -> Option<Finding> {
    let check = "certificate's end";
    let end = Certificate::read(certificate)?.not_after;
    let by_hand =
        "ask head office for a new one: tawi-controller site renew, or a ticket for tawi-agent enrol";
    let days = |span: std::time::Duration| span.as_secs() / 86_400;
    if now > end {
        let over = now.since(end);
        let detail = format!("it has been over for {} days", days(over));
        let cure = if renews && over <= GRACE {
            "start the agent where head office can be reached: it gets the next one by itself"
        } else {
            by_hand
        };
        return Some(Finding::bad(check, detail, cure));
    }
    let left = end.since(now);
    let detail = format!("it is good for {} days more", days(left));
    Some(match (renews, left <= NOTICE) {
        (true, true) => Finding::doubtful(
            check,
            format!("{detail}, and should have been renewed long ago"),
            "see why not: journalctl -u tawi-agent | grep renew",
        ),
        (false, true) => {
            Finding::doubtful(check, format!("{detail}, and nobody renews it by itself"), by_hand)
        }
        (true, false) => Finding::good(check, format!("{detail}; the running agent renews it")),
        (false, false) => Finding::good(check, detail),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::super::finding::Verdict;
    use super::*;

    fn made(subject: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_of_another_site_is_told_before_head_office_refuses_it() {
        let check = |subject: &[(DnType, &str)], verdict, says: &str| {
            let finding = examine(&made(subject), "nyeri-01");
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.detail.contains(says), "{finding:?}");
            assert_eq!(finding.cure.is_empty(), verdict == Verdict::Good, "{finding:?}");
        };
        check(&[(DnType::CommonName, "nyeri-01")], Verdict::Good, "made for nyeri-01");
        check(&[(DnType::CommonName, "thika-02")], Verdict::Bad, "made for thika-02");
        check(&[(DnType::OrganizationName, "nyeri-01")], Verdict::Bad, "names no site");
    }

    #[test]
    fn an_end_that_comes_near_is_told_with_who_can_do_something_about_it() {
        let made = made(&[(DnType::CommonName, "nyeri-01")]);
        let end = Certificate::read(&made).unwrap().not_after;
        let day = std::time::Duration::from_secs(86_400);
        let check = |now: UnixMillis, renews, verdict, says: &str| {
            let finding = remaining(&made, now, renews).unwrap();
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(format!("{} {}", finding.detail, finding.cure).contains(says), "{finding:?}");
        };
        check(end.minus(day * 100), true, Verdict::Good, "100 days more; the running agent renews it");
        check(end.minus(day * 100), false, Verdict::Good, "100 days more");
        check(end.minus(day * 20), true, Verdict::Doubtful, "journalctl");
        check(end.minus(day * 20), false, Verdict::Doubtful, "site renew");
        check(end.plus(day * 20), true, Verdict::Bad, "by itself");
        check(end.plus(day * 20), false, Verdict::Bad, "site renew");
        check(end.plus(day * 91), true, Verdict::Bad, "site renew");
    }
}
