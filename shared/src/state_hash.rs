//! A hash that proves that both ends hold the same desired state.
//!
//! It is the sum, modulo 2^128, of one SHA-256 prefix per line and per profile. A sum does not depend on order, and
//! a change costs one subtraction and one addition instead of a walk over all subscribers. It guards against
//! mistakes, not against an adversary: both ends already trust each other's certificates.

use ring::digest::{Context, SHA256};
use serde::Serialize;

use crate::wire::{LineV1, ProfileV1};

/// The hash of a whole desired state. The empty state is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateHash(u128);

impl StateHash {
    /// Reads the form that travels and is stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The form that travels and is stored.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Counts a line in.
    pub fn add_line(&mut self, line: &LineV1) {
        self.0 = self.0.wrapping_add(item_hash(b"line", line));
    }

    /// Counts a line out again: the exact line that was added.
    pub fn remove_line(&mut self, line: &LineV1) {
        self.0 = self.0.wrapping_sub(item_hash(b"line", line));
    }

    /// Counts a profile in.
    pub fn add_profile(&mut self, profile: &ProfileV1) {
        self.0 = self.0.wrapping_add(item_hash(b"profile", profile));
    }

    /// Counts a profile out again: the exact profile that was added.
    pub fn remove_profile(&mut self, profile: &ProfileV1) {
        self.0 = self.0.wrapping_sub(item_hash(b"profile", profile));
    }

    /// The hash of a state given whole.
    #[must_use]
    pub fn of<'a>(
        lines: impl IntoIterator<Item = &'a LineV1>,
        profiles: impl IntoIterator<Item = &'a ProfileV1>,
    ) -> Self {
        let mut hash = Self::default();
        lines.into_iter().for_each(|line| hash.add_line(line));
        profiles.into_iter().for_each(|profile| hash.add_profile(profile));
        hash
    }
}

fn item_hash<T: Serialize>(kind: &[u8], item: &T) -> u128 {
    let mut context = Context::new(&SHA256);
    context.update(kind);
    // These structs are plain texts and numbers, which postcard can always write; were that ever to change, both
    // ends would hash nothing alike and a snapshot would be sent, which is the safe side.
    context.update(&postcard::to_stdvec(item).unwrap_or_default());
    let digest = context.finish();
    digest.as_ref().first_chunk::<16>().map_or(0, |prefix| u128::from_be_bytes(*prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Access, Service};

    fn line(id: &str) -> LineV1 {
        LineV1 {
            line: id.into(),
            router: "r1".into(),
            service: Service::Pppoe.code(),
            username: id.into(),
            password: "p".into(),
            profile: "home".into(),
            access: Access::Open.code(),
            valid_until_ms: Some(1),
            ..LineV1::default()
        }
    }

    #[test]
    fn order_does_not_matter_and_a_change_undoes_itself() {
        let (a, b) = (line("a"), line("b"));
        let mut forward = StateHash::of([&a, &b], []);
        assert_eq!(forward, StateHash::of([&b, &a], []));
        forward.remove_line(&b);
        assert_eq!(forward, StateHash::of([&a], []));
        forward.remove_line(&a);
        assert_eq!(forward, StateHash::default());
    }

    #[test]
    fn every_field_counts() {
        let base = StateHash::of([&line("a")], []);
        let mut later = line("a");
        later.valid_until_ms = Some(2);
        assert_ne!(base, StateHash::of([&later], []));
    }
}
