//! Signatures hold for the very bytes that were signed, and nothing that is read from outside is believed before.

use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn manifest() -> Manifest {
    Manifest {
        version: "0.2.0".parse().unwrap(),
        target: "aarch64-linux-gnu".to_owned(),
        binary_bytes: 6_100_000,
        binary_sha256: Sha256::of(b"program"),
        file_bytes: 2_700_000,
        file_sha256: Sha256::of(b"file"),
        created_at_ms: 1_796_000_000_000,
        oldest_version: "0.1.0".parse().unwrap(),
        store_format: 1,
        protocol_oldest: 1,
        protocol_newest: 3,
        allow_downgrade: false,
    }
}

#[test]
fn what_a_trusted_key_signed_is_read_and_nothing_else() {
    let signed = key(1).sign(&manifest());
    assert_eq!(signed.verified(&[key(2).public(), key(1).public()]), Ok(manifest()));
    assert_eq!(signed.verified(&[key(2).public()]), Err(BadRelease::Stranger));
    assert_eq!(signed.verified(&[]), Err(BadRelease::Stranger));
    // A signature over the same bytes for another purpose is none.
    let bare = key(1).0.sign(&signed.manifest).as_ref().to_vec();
    assert_eq!(
        Signed { signature: bare, ..signed.clone() }.verified(&[key(1).public()]),
        Err(BadRelease::Stranger)
    );
    for cut in [0, 1, 63] {
        let signature = signed.signature[..cut].to_vec();
        let cut = Signed { signature, ..signed.clone() };
        assert_eq!(cut.verified(&[key(1).public()]), Err(BadRelease::Stranger));
    }
}

#[test]
fn a_signed_manifest_is_bounded_all_the_same() {
    let check = |manifest: Manifest, expected| assert_eq!(key(1).sign(&manifest).unverified(), Err(expected));
    check(Manifest { binary_bytes: BINARY_BYTES + 1, ..manifest() }, BadRelease::TooLarge);
    check(Manifest { file_bytes: 0, ..manifest() }, BadRelease::TooLarge);
    check(Manifest { target: "../x".into(), ..manifest() }, BadRelease::Manifest);
    check(Manifest { target: "x".repeat(MANIFEST_BYTES), ..manifest() }, BadRelease::TooLarge);
    let later =
        String::from_utf8(key(1).sign(&manifest()).manifest).unwrap().replacen('{', "{\"later\":[1],", 1);
    let later = Signed { manifest: later.into_bytes(), signature: Vec::new() };
    assert_eq!(later.unverified(), Ok(manifest()), "what a later release adds is passed over");
}

#[test]
fn a_release_file_says_first_what_is_in_it() {
    let signed = key(1).sign(&manifest());
    let head = signed.file_head();
    let whole = [head.as_slice(), b"compressed"].concat();
    assert_eq!(Signed::read_file_head(&whole), Ok((signed, head.len())));
    for cut in 0..head.len() {
        assert_eq!(Signed::read_file_head(&head[..cut]), Err(BadRelease::NoFile));
    }
    let claims = [FILE_MAGIC, &u32::MAX.to_be_bytes()].concat();
    assert_eq!(Signed::read_file_head(&claims), Err(BadRelease::TooLarge));
}

#[test]
fn keys_and_hashes_are_read_as_they_are_written() {
    let public = key(1).public();
    assert_eq!(ReleaseKey::parse(&public.to_text()), Some(public));
    for bad in
        ["", "tawikey1.", "tawikey1.AAAA", &format!("tawikey1.{}", "A".repeat(100)), "ssh-ed25519 AAAA"]
    {
        assert_eq!(ReleaseKey::parse(bad), None, "{bad}");
    }
    let hash = Sha256::of(b"a");
    assert_eq!(Sha256::parse(&hash.to_string()), Some(hash));
    assert_eq!(Sha256::parse(&hash.to_string().to_uppercase()), None);
    assert_eq!(Sha256::parse(&"+1".repeat(32)), None);
    assert!(!format!("{:?}", key(1)).contains('1'));
}

proptest! {
    #[test]
    fn one_flipped_bit_is_always_seen(at in 0_usize..500, bit in 0_u8..8) {
        let mut signed = key(1).sign(&manifest());
        let (manifest, signature) = (signed.manifest.len(), signed.signature.len());
        let at = at % (manifest + signature);
        if at < manifest { signed.manifest[at] ^= 1 << bit } else { signed.signature[at - manifest] ^= 1 << bit }
        prop_assert_eq!(signed.verified(&[key(1).public()]), Err(BadRelease::Stranger));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), has_magic in any::<bool>()) {
        let bytes = if has_magic { [FILE_MAGIC, &bytes].concat() } else { bytes };
        let _ = Signed::read_file_head(&bytes);
        let _ = Signed { manifest: bytes.clone(), signature: bytes.clone() }.unverified();
        let _ = Mark::find(&bytes);
    }
}
