//! Whose certificate the one of this site is: head office lets a site in by the common name, and by nothing else.
//!
//! Pure: bytes in, a name out. It walks over a certificate in DER form to the one field that is wanted and leaves all
//! else, signature and dates included, to rustls. A parser of whole certificates would be the largest dependency of the
//! agent, for one text.

use super::finding::Finding;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version, which old certificates leave out.
const VERSION: u8 = 0xa0;
/// 2.5.4.3, the attribute that is called common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// UTF8String, PrintableString, IA5String: the kinds of text that are ASCII or UTF-8 as they stand.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// Bytes of a length that are read; a certificate of 16 MiB is none.
const LENGTH_BYTES: usize = 3;

/// Compares the certificate with the site of the settings, before head office does and hangs up.
pub(super) fn examine(certificate: &[u8], site: &str) -> Finding {
    let check = "site certificate";
    match common_name(certificate) {
        Some(name) if name == site => Finding::good(check, format!("it was made for {site}")),
        Some(name) => Finding::bad(
            check,
            format!("it was made for {name}, and the settings say site {site}: head office refuses it"),
            format!(
                "copy agent.pem and agent.key from the bundle of {site}; if this machine is {name}, set site = \"{name}\" in agent.toml"
            ),
        ),
        None => Finding::bad(
            check,
            "it names no site: head office refuses it",
            "copy agent.pem and agent.key from the bundle that head office made for this site",
        ),
    }
}

/// The only common name of the subject.
fn common_name(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        (_, _, fields) = element(fields)?;
    }
    let (mut subject, _) = expect(fields, SEQUENCE)?;
    let mut names = Vec::new();
    while !subject.is_empty() {
        let (mut attributes, rest) = expect(subject, SET)?;
        subject = rest;
        while !attributes.is_empty() {
            let (attribute, rest) = expect(attributes, SEQUENCE)?;
            attributes = rest;
            let (kind, value) = expect(attribute, OBJECT_IDENTIFIER)?;
            if kind == COMMON_NAME {
                let (tag, text, _) = element(value)?;
                names.push(TEXTS.contains(&tag).then(|| std::str::from_utf8(text).ok()).flatten()?);
            }
        }
    }
    match names.as_slice() {
        [name] => Some((*name).to_owned()),
        _ => None,
    }
}

/// What an element of this kind holds, and what stands behind it.
fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The kind of the first element, what it holds, and what stands behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let digits = usize::from(first & 0x7f);
        let (digits, rest) =
            rest.split_at_checked(digits).filter(|_| (1..=LENGTH_BYTES).contains(&digits))?;
        (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
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
        let long = "x".repeat(300);
        check(&[(DnType::CommonName, "nyeri-01")], Verdict::Good, "made for nyeri-01");
        let more = [
            (DnType::CountryName, "KE"),
            (DnType::OrganizationName, long.as_str()),
            (DnType::CommonName, "nyeri-01"),
        ];
        check(&more, Verdict::Good, "made for nyeri-01");
        check(&[(DnType::CommonName, "thika-02")], Verdict::Bad, "made for thika-02");
        check(&[(DnType::OrganizationName, "nyeri-01")], Verdict::Bad, "names no site");
    }

    #[test]
    fn a_certificate_that_is_cut_short_or_nonsense_names_nobody() {
        let whole = made(&[(DnType::CommonName, "nyeri-01")]);
        for end in 0..whole.len() {
            assert_eq!(common_name(whole.get(..end).unwrap()), None, "{end}");
        }
        for nonsense in
            [&[0x30, 0x80][..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x83, 0xff, 0xff, 0xff]]
        {
            assert_eq!(common_name(nonsense), None, "{nonsense:?}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            // Whatever it says then, it says it without a panic.
            let _ = common_name(&other);
        }
    }
}
