//! What a certificate says of itself: whose it is, from when until when, and for which key.
//!
//! Pure: bytes in, fields out. It walks over a certificate in DER form (RFC 5280, section 4.1) to the few fields that are
//! wanted and leaves the signature to rustls. A parser of whole certificates would be the largest dependency of the agent,
//! for four fields. What they mean is the business of `doctor/site_certificate.rs` and `enrol/`.

use tawi_shared::UnixMillis;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which old certificates leave out.
const VERSION: u8 = 0xa0;
/// 2.5.4.3, the attribute that is called common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// UTF8String, PrintableString, IA5String: the kinds of text that are ASCII or UTF-8 as they stand.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];
/// Bytes of a length that are read; a certificate of 16 MiB is none.
const LENGTH_BYTES: usize = 3;

/// The fields that are wanted of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'c> {
    /// The only common name of the subject; `None` where there is none, or several.
    pub common_name: Option<&'c str>,
    /// The first moment at which it is good.
    pub not_before: UnixMillis,
    /// The last one.
    pub not_after: UnixMillis,
    /// The key that it is for, as a SubjectPublicKeyInfo in DER form.
    pub public_key: &'c [u8],
}

impl<'c> Certificate<'c> {
    /// Reads a certificate in DER form; `None` for what is none.
    #[must_use]
    pub fn read(certificate: &'c [u8]) -> Option<Self> {
        let (certificate, _) = expect(certificate, SEQUENCE)?;
        let (mut fields, _) = expect(certificate, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            (_, _, fields) = element(fields)?;
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (validity, fields) = expect(fields, SEQUENCE)?;
        let (not_before, validity) = time(validity)?;
        let (not_after, _) = time(validity)?;
        let (subject, fields) = expect(fields, SEQUENCE)?;
        let common_name = common_name(subject)?;
        let (_, _, rest) = element(fields)?;
        let public_key = fields.get(..fields.len().checked_sub(rest.len())?)?;
        Some(Self { common_name, not_before, not_after, public_key })
    }
}

/// The only common name of a subject; the outer `None` for what is no subject.
fn common_name(mut subject: &[u8]) -> Option<Option<&str>> {
    let (mut name, mut count) = (None, 0_usize);
    while !subject.is_empty() {
        let (mut attributes, rest) = expect(subject, SET)?;
        subject = rest;
        while !attributes.is_empty() {
            let (attribute, rest) = expect(attributes, SEQUENCE)?;
            attributes = rest;
            let (kind, value) = expect(attribute, OBJECT_IDENTIFIER)?;
            if kind == COMMON_NAME {
                let (tag, text, _) = element(value)?;
                name = TEXTS.contains(&tag).then(|| std::str::from_utf8(text).ok()).flatten();
                count = count.saturating_add(1);
            }
        }
    }
    Some(name.filter(|_| count == 1))
}

/// A moment, in the two forms that certificates have, and what stands behind it.
fn time(bytes: &[u8]) -> Option<(UnixMillis, &[u8])> {
    let (tag, text, rest) = element(bytes)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match tag {
        // Two digits: 50 and later are of the last century.
        UTC_TIME => {
            let (year, text) = number(text, 2)?;
            (if year < 50 { year + 2000 } else { year + 1900 }, text)
        }
        GENERALIZED_TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 || !text.is_empty() {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((UnixMillis(seconds * 1_000), rest))
}

/// So many digits, and what stands behind them.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((digits.parse().ok().filter(|_| is_number)?, rest))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. A year is counted from March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
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
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};

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
    fn the_only_common_name_is_read() {
        let check = |subject: &[(DnType, &str)], expected| {
            assert_eq!(Certificate::read(&made(subject)).unwrap().common_name, expected, "{subject:?}");
        };
        let long = "x".repeat(300);
        check(&[(DnType::CommonName, "nyeri-01")], Some("nyeri-01"));
        let more = [
            (DnType::CountryName, "KE"),
            (DnType::OrganizationName, long.as_str()),
            (DnType::CommonName, "nyeri-01"),
        ];
        check(&more, Some("nyeri-01"));
        check(&[(DnType::OrganizationName, "nyeri-01")], None);
    }

    #[test]
    fn its_key_and_its_dates_are_read_in_both_forms() {
        let key = KeyPair::generate().unwrap();
        // Dates from 2050 on have the longer form.
        for (begin, end) in
            [((2026, 2, 28), (2028, 2, 29)), ((1999, 12, 31), (2000, 3, 1)), ((2049, 1, 1), (4096, 1, 1))]
        {
            let date = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
            let mut params = CertificateParams::default();
            (params.not_before, params.not_after) = (date(begin), date(end));
            let made = params.self_signed(&key).unwrap();
            let read = Certificate::read(made.der()).unwrap();
            let millis = |(year, month, day)| UnixMillis(date((year, month, day)).unix_timestamp() * 1_000);
            assert_eq!((read.not_before, read.not_after), (millis(begin), millis(end)));
            assert_eq!(read.public_key, key.subject_public_key_info());
        }
    }

    #[test]
    fn a_certificate_that_is_cut_short_or_nonsense_is_none() {
        let whole = made(&[(DnType::CommonName, "nyeri-01")]);
        for end in 0..whole.len() {
            assert_eq!(Certificate::read(whole.get(..end).unwrap()), None, "{end}");
        }
        for nonsense in
            [&[0x30, 0x80][..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x83, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Certificate::read(nonsense), None, "{nonsense:?}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0xff;
            // Whatever it says then, it says it without a panic.
            let _ = Certificate::read(&other);
        }
    }
}
