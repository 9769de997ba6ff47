//! What a site is sent: the change since a generation, or the whole, cut into messages that fit.
//!
//! [`missing`] decides which of the two, purely; [`delta`] and [`snapshot`] read. Call them within one transaction with
//! whatever else must agree with them. That both ends hold the same is proven by the hash, at the agent.

use tawi_shared::UnixMillis;
use tawi_shared::envelope::ENVELOPE_BYTES;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{self, LineV1, ProfileV1, StateDeltaV1, StateSnapshotV1};

use super::{DesiredError, SiteState, store};
use crate::database::Connection;
use crate::ids::SiteId;

/// Bytes of items in one message: an envelope less its own header, the fixed fields and the lengths of the lists.
pub const MESSAGE_BYTES: usize = ENVELOPE_BYTES - 256;
/// Items that are read for a delta before it is clear that it cannot fit: the smallest item has 20 bytes.
const DELTA_ITEMS: usize = MESSAGE_BYTES / 20;
/// The highest generation that a site is believed to hold. A site that claims more is broken, and following it would
/// run out of numbers.
const BELIEVABLE_GENERATION: u64 = 1 << 53;

/// Where an agent says that it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The generation on its flash; 0 when it wants everything anew.
    pub generation: u64,
    /// Hash of what it holds.
    pub hash: StateHash,
}

/// What a site needs in order to be up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It has everything.
    Nothing,
    /// What changed since this generation. The hash of an older generation is not kept here; the agent finds a
    /// difference after applying the delta, and asks anew with generation 0.
    Since(u64),
    /// Everything.
    Whole,
    /// Everything, under a higher number than we have reached: the site is ahead of a database that was restored
    /// from a backup, and would ignore anything older than it holds.
    WholeAbove(u64),
}

/// Decides what to send to a site that holds `held`.
#[must_use]
pub fn missing(held: Held, current: SiteState) -> Missing {
    if held.generation > BELIEVABLE_GENERATION {
        return Missing::Whole;
    }
    match held.generation.cmp(&current.generation) {
        std::cmp::Ordering::Greater => Missing::WholeAbove(held.generation),
        std::cmp::Ordering::Equal if held.hash == current.hash => Missing::Nothing,
        std::cmp::Ordering::Equal => Missing::Whole,
        // Nothing was ever stored, or what was stored is no good.
        std::cmp::Ordering::Less if held.generation == 0 => Missing::Whole,
        std::cmp::Ordering::Less => Missing::Since(held.generation),
    }
}

/// What changed since a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// It fits one message.
    Fits(StateDeltaV1),
    /// Send the whole instead.
    TooLarge,
    /// There is no such site.
    NoSuchSite,
}

/// Reads what changed at `site` since generation `from`.
///
/// # Errors
/// [`DesiredError`].
pub async fn delta(connection: &mut Connection, site: &SiteId, from: u64) -> Result<Delta, DesiredError> {
    let Some(state) = store::state_of(connection, site).await? else { return Ok(Delta::NoSuchSite) };
    let lines = store::lines_since(connection, site, from, DELTA_ITEMS).await?;
    let profiles = store::profiles_since(connection, site, from, DELTA_ITEMS).await?;
    let bytes: usize = lines.present.iter().map(line_bytes).sum::<usize>()
        + profiles.present.iter().map(profile_bytes).sum::<usize>()
        + lines.removed.iter().map(|id| text_bytes(id)).sum::<usize>()
        + profiles.removed.iter().map(|(_, name)| CODE_BYTES + text_bytes(name)).sum::<usize>();
    if lines.len() >= DELTA_ITEMS || profiles.len() >= DELTA_ITEMS || bytes > MESSAGE_BYTES {
        return Ok(Delta::TooLarge);
    }
    Ok(Delta::Fits(StateDeltaV1 {
        from_generation: from,
        to_generation: state.generation,
        state_hash: state.hash.to_bytes(),
        lines: lines.present,
        removed_lines: lines.removed,
        profiles: profiles.present,
        removed_profiles: profiles.removed,
    }))
}

/// Reads the whole desired state of `site`, cut into messages; empty when there is no such site.
///
/// # Errors
/// [`DesiredError`], also for a line that no message can hold.
pub async fn snapshot(
    connection: &mut Connection,
    site: &SiteId,
) -> Result<Vec<StateSnapshotV1>, DesiredError> {
    let Some(state) = store::state_of(connection, site).await? else { return Ok(Vec::new()) };
    let lines = store::lines_since(connection, site, 0, usize::MAX).await?.present;
    let profiles = store::profiles_since(connection, site, 0, usize::MAX).await?.present;
    chunks(state, lines, profiles)
}

/// Makes sure that the site's generation is above `held`, so that an agent which is ahead of us takes what it is sent.
///
/// # Errors
/// [`DesiredError`].
pub async fn overtake(
    connection: &mut Connection,
    site: &SiteId,
    held: u64,
    now: UnixMillis,
) -> Result<(), DesiredError> {
    store::raise_generation(connection, site, held.saturating_add(1), now).await
}

fn chunks(
    state: SiteState,
    lines: Vec<LineV1>,
    profiles: Vec<ProfileV1>,
) -> Result<Vec<StateSnapshotV1>, DesiredError> {
    let empty = || StateSnapshotV1 {
        generation: state.generation,
        state_hash: state.hash.to_bytes(),
        chunk: 0,
        chunks: 0,
        lines: Vec::new(),
        profiles: Vec::new(),
    };
    let mut parts = vec![empty()];
    let mut filled = 0;
    let mut room_for = |parts: &mut Vec<StateSnapshotV1>, bytes: usize| {
        if filled + bytes > MESSAGE_BYTES {
            parts.push(empty());
            filled = 0;
        }
        filled += bytes;
    };
    for profile in profiles {
        room_for(&mut parts, profile_bytes(&profile));
        if let Some(part) = parts.last_mut() {
            part.profiles.push(profile);
        }
    }
    for line in lines {
        let bytes = line_bytes(&line);
        if bytes > MESSAGE_BYTES {
            return Err(DesiredError::TooLarge { line: line.line });
        }
        room_for(&mut parts, bytes);
        if let Some(part) = parts.last_mut() {
            part.lines.push(line);
        }
    }
    let count = u16::try_from(parts.len()).map_err(|_| DesiredError::TooManyLines)?;
    for (part, chunk) in parts.iter_mut().zip(0..count) {
        part.chunk = chunk;
        part.chunks = count;
    }
    Ok(parts)
}

/// What a line takes in a message.
fn line_bytes(line: &LineV1) -> usize {
    wire::item_bytes(line)
}

fn profile_bytes(profile: &ProfileV1) -> usize {
    wire::item_bytes(profile)
}

/// The most that a text takes, and a code.
fn text_bytes(text: &str) -> usize {
    CODE_BYTES + text.len()
}

/// The most that a 16-bit code or the length of a text takes as a postcard varint.
const CODE_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash_of(byte: u8) -> StateHash {
        StateHash::from_bytes([byte; 16])
    }

    #[test]
    fn a_site_is_sent_what_it_lacks_and_no_more() {
        let current = SiteState { generation: 7, hash: hash_of(1) };
        let check = |generation, hash, expected| {
            assert_eq!(missing(Held { generation, hash: hash_of(hash) }, current), expected, "{generation}");
        };
        check(7, 1, Missing::Nothing);
        check(7, 2, Missing::Whole);
        check(6, 9, Missing::Since(6));
        check(1, 9, Missing::Since(1));
        check(0, 0, Missing::Whole);
        check(8, 1, Missing::WholeAbove(8));
        check(u64::MAX, 1, Missing::Whole);
        let fresh = SiteState { generation: 0, hash: StateHash::default() };
        assert_eq!(missing(Held { generation: 0, hash: StateHash::default() }, fresh), Missing::Nothing);
    }

    prop_compose! {
        fn any_line()(
            id in "[a-z0-9]{1,40}", router in "[a-z]{1,40}", username in ".{0,60}", password in ".{0,60}",
            profile in "[a-z]{0,40}", service: u16, access: u16, valid_until_ms: Option<i64>,
        ) -> LineV1 {
            LineV1 { line: id, router, service, username, password, profile, access, valid_until_ms, ..LineV1::default() }
        }
    }

    prop_compose! {
        fn any_profile()(
            name in ".{0,40}", service: u16, a: u64, b: u64, c: u64, d: u64,
        ) -> ProfileV1 {
            ProfileV1 {
                name, service, download_bits_per_second: a, upload_bits_per_second: b,
                download_burst_bits_per_second: c, upload_burst_bits_per_second: d,
                ..ProfileV1::default()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_chunk_fits_an_envelope_and_nothing_is_lost(
            lines in proptest::collection::vec(any_line(), 0..40),
            profiles in proptest::collection::vec(any_profile(), 0..10),
            times in 1usize..40,
        ) {
            let state = SiteState { generation: u64::MAX, hash: hash_of(255) };
            let lines: Vec<LineV1> = lines.iter().cycle().take(lines.len() * times).cloned().collect();
            let parts = chunks(state, lines.clone(), profiles.clone()).unwrap();
            for (index, part) in parts.iter().enumerate() {
                prop_assert_eq!(usize::from(part.chunk), index);
                prop_assert_eq!(usize::from(part.chunks), parts.len());
                wire::encode(part, 0, u32::MAX, u64::MAX).unwrap();
            }
            let joined: Vec<LineV1> = parts.iter().flat_map(|part| part.lines.clone()).collect();
            prop_assert_eq!(joined, lines);
            let joined: Vec<ProfileV1> = parts.iter().flat_map(|part| part.profiles.clone()).collect();
            prop_assert_eq!(joined, profiles);
        }
    }

    #[test]
    fn a_line_that_no_message_can_hold_is_an_error_that_names_it() {
        let line = LineV1 {
            line: "long".into(),
            router: "r".into(),
            service: 1,
            username: "u".repeat(MESSAGE_BYTES),
            password: String::new(),
            profile: String::new(),
            access: 1,
            valid_until_ms: None,
            ..LineV1::default()
        };
        let state = SiteState { generation: 1, hash: hash_of(0) };
        let error = chunks(state, vec![line], vec![]).unwrap_err();
        assert!(matches!(error, DesiredError::TooLarge { ref line } if line == "long"), "{error}");
    }
}
