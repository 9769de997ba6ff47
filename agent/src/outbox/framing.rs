//! How one value lies on flash.
//!
//! ```text
//! ┌──────────┬────────────┬──────────┬────────┐
//! │ format   │ length     │ postcard │ crc32c │   the checksum covers the key too: a value that the engine
//! │ u8       │ u32        │ …        │ u32    │   misplaced is not believed
//! └──────────┴────────────┴──────────┴────────┘
//! ```
//!
//! Pure. A bad record is a value to skip and count, never a reason to stop. Sealed records are not framed: they are
//! envelopes, which carry their own checksum.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tawi_shared::wire::from_exact_bytes;

/// format 1, length 4, crc 4.
const FRAME_BYTES: usize = 9;

/// A record that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadRecord;

/// Writes a value for `key`. A change of the value's shape takes the next `format`.
pub(super) fn frame<T: Serialize>(key: &[u8], format: u8, value: &T) -> Result<Vec<u8>, BadRecord> {
    let content = postcard::to_stdvec(value).map_err(|_| BadRecord)?;
    let length = u32::try_from(content.len()).map_err(|_| BadRecord)?;
    let mut out = Vec::with_capacity(FRAME_BYTES + content.len());
    out.push(format);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&content);
    out.extend_from_slice(&checksum(key, &out).to_be_bytes());
    Ok(out)
}

/// Reads what [`frame`] wrote for the same key and format.
pub(super) fn unframe<T: DeserializeOwned>(key: &[u8], format: u8, bytes: &[u8]) -> Result<T, BadRecord> {
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or(BadRecord)?;
    if checksum(key, content) != u32::from_be_bytes(*crc) {
        return Err(BadRecord);
    }
    let (&found, rest) = content.split_first().ok_or(BadRecord)?;
    let (length, content) = rest.split_first_chunk::<4>().ok_or(BadRecord)?;
    let is_whole = usize::try_from(u32::from_be_bytes(*length)) == Ok(content.len());
    if found != format || !is_whole {
        return Err(BadRecord);
    }
    from_exact_bytes(content).map_err(|_| BadRecord)
}

fn checksum(key: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_framed_reads_back_under_its_own_key_only(
            key in proptest::collection::vec(any::<u8>(), 1..20), value: (u64, String), bit: usize,
        ) {
            let bytes = frame(&key, 1, &value).unwrap();
            prop_assert_eq!(unframe::<(u64, String)>(&key, 1, &bytes), Ok(value));
            prop_assert_eq!(unframe::<(u64, String)>(&key, 2, &bytes), Err(BadRecord));
            prop_assert_eq!(unframe::<(u64, String)>(b"", 1, &bytes), Err(BadRecord));
            let mut flipped = bytes.clone();
            let bit = bit % (bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(unframe::<(u64, String)>(&key, 1, &flipped), Err(BadRecord));
        }

        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = unframe::<(u64, String)>(b"k", 1, &bytes);
        }
    }
}
