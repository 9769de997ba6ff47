//! The envelope around every message and every stored record. Hand-coded; it never changes.
//!
//! ```text
//! ┌─────────┬──────┬───────┬─────────────┬────────────┬──────┬────────┐
//! │ version │ type │ flags │ store epoch │ seq        │ body │ crc32c │
//! │ u8 = 1  │ u16  │ u8    │ u32         │ varint u64 │ …    │ u32    │   integers big-endian
//! └─────────┴──────┴───────┴─────────────┴────────────┴──────┴────────┘
//! ```
//!
//! TLS protects the transit; the checksum is for records on flash and for catching a body that was read as the
//! wrong type. What the body means is `wire`'s business.

use thiserror::Error;

/// The version that this code writes, and the only one that exists.
pub const ENVELOPE_VERSION: u8 = 1;

/// The largest envelope that is read or written, in bytes. Agents live on metered links and brokers cap packets;
/// whatever is larger is cut into several messages.
pub const ENVELOPE_BYTES: usize = 64 * 1024;

/// version 1, type 2, flags 1, epoch 4, seq 1 at the least, crc 4.
const LEAST_BYTES: usize = 13;

/// A record that was taken while the site was cut off and is told late.
pub const FLAG_HISTORICAL: u8 = 0b0000_0001;

/// The type that bytes claim to be, unread and unchecked: for counters.
#[must_use]
pub fn message_type(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [ENVELOPE_VERSION, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// What stands around a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which body this is; see `wire` for the numbers.
    pub message_type: u16,
    /// Bit flags, [`FLAG_HISTORICAL`]; unknown bits are ignored.
    pub flags: u8,
    /// Which life of the sender's store the sequence belongs to. A wiped store starts a new epoch.
    pub store_epoch: u32,
    /// Position in its lane within the epoch, from 1; 0 where a message has no position.
    pub seq: u64,
}

/// Why bytes are not an envelope. None of these can be retried: the bytes are bad.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Fewer bytes than the smallest envelope.
    #[error("an envelope of {0} bytes is cut short")]
    TooShort(usize),
    /// More than [`ENVELOPE_BYTES`].
    #[error("an envelope of {0} bytes is over the limit of {ENVELOPE_BYTES}")]
    TooLong(usize),
    /// A version from a future that this release does not know.
    #[error("envelope version {0} is unknown; update this side")]
    UnknownVersion(u8),
    /// The sequence number does not end within ten bytes.
    #[error("the sequence number is malformed")]
    BadSequence,
    /// The checksum differs: the bytes were damaged.
    #[error("the checksum does not match: the bytes were damaged on the way or on disk")]
    BadChecksum,
}

/// Puts `body` into an envelope.
///
/// # Errors
/// [`EnvelopeError::TooLong`] when the whole is over [`ENVELOPE_BYTES`]; the caller cuts the body into parts.
pub fn seal(header: Header, body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let mut out = Vec::with_capacity(LEAST_BYTES + 9 + body.len());
    out.push(ENVELOPE_VERSION);
    out.extend_from_slice(&header.message_type.to_be_bytes());
    out.push(header.flags);
    out.extend_from_slice(&header.store_epoch.to_be_bytes());
    write_varint(header.seq, &mut out);
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(&out).to_be_bytes());
    if out.len() > ENVELOPE_BYTES {
        return Err(EnvelopeError::TooLong(out.len()));
    }
    Ok(out)
}

/// Opens an envelope: checks size, version and checksum before anything is believed.
///
/// # Errors
/// [`EnvelopeError`] says what is wrong; the bytes are never worth a second look.
pub fn open(bytes: &[u8]) -> Result<(Header, &[u8]), EnvelopeError> {
    if bytes.len() > ENVELOPE_BYTES {
        return Err(EnvelopeError::TooLong(bytes.len()));
    }
    let short = || EnvelopeError::TooShort(bytes.len());
    if bytes.len() < LEAST_BYTES {
        return Err(short());
    }
    let (&version, rest) = bytes.split_first().ok_or_else(short)?;
    if version != ENVELOPE_VERSION {
        return Err(EnvelopeError::UnknownVersion(version));
    }
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or_else(short)?;
    if crc32c::crc32c(content) != u32::from_be_bytes(*crc) {
        return Err(EnvelopeError::BadChecksum);
    }
    let (message_type, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (&flags, rest) = rest.split_first().ok_or_else(short)?;
    let (store_epoch, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (rest, _crc) = rest.split_last_chunk::<4>().ok_or_else(short)?;
    let (seq, body) = read_varint(rest).ok_or(EnvelopeError::BadSequence)?;
    let header = Header {
        message_type: u16::from_be_bytes(*message_type),
        flags,
        store_epoch: u32::from_be_bytes(*store_epoch),
        seq,
    };
    Ok((header, body))
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let shift = u32::try_from(index).ok()?.checked_mul(7)?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for a single bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits.checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(seq: u64) -> Header {
        Header { message_type: 3, flags: 1, store_epoch: 0xDEAD_BEEF, seq }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_as_it_was(seq: u64, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = seal(header(seq), &body).unwrap();
            prop_assert_eq!(open(&bytes).unwrap(), (header(seq), body.as_slice()));
        }

        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = open(&bytes);
        }

        #[test]
        fn one_flipped_bit_is_always_noticed(bit in 0usize..(13 + 8) * 8) {
            let mut bytes = seal(header(1), b"12345678").unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&bytes).is_err());
        }
    }

    #[test]
    fn an_oversized_body_is_refused_by_both_ends() {
        let body = vec![0; ENVELOPE_BYTES];
        assert!(matches!(seal(header(1), &body), Err(EnvelopeError::TooLong(_))));
        assert!(matches!(open(&vec![1; ENVELOPE_BYTES + 1]), Err(EnvelopeError::TooLong(_))));
    }

    #[test]
    fn an_endless_sequence_number_is_refused() {
        let mut bytes = vec![1, 0, 3, 0, 0, 0, 0, 1];
        bytes.extend_from_slice(&[0xff; 11]);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        assert_eq!(open(&bytes), Err(EnvelopeError::BadSequence));
    }
}
