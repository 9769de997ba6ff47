//! What is on the shelf is what was signed, and a power cut at any step leaves something that can be started.

use std::os::unix::fs::PermissionsExt as _;

use super::testing::{Place, kept_of, key, manifest_of, release};
use super::*;

/// Bytes that do not become smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    tawi_shared::IdSource::seeded(9).fill(&mut bytes);
    bytes
}

fn download(shelf: &Shelf, manifest: &Manifest, file: &[u8]) -> io::Result<()> {
    let mut download = shelf.resume(manifest)?;
    let have = usize::try_from(download.have()).unwrap();
    for part in file[have..].chunks(1_000) {
        shelf.add(&mut download, part)?;
    }
    Ok(())
}

#[test]
fn a_file_that_came_whole_becomes_the_program_that_was_signed() {
    let place = Place::new();
    let shelf = Shelf::of(&place.0);
    for program in [b"x".to_vec(), b"program ".repeat(100_000), noise(300_000)] {
        let (_, manifest, file) = release("0.2.0", &program);
        download(&shelf, &manifest, &file).unwrap();
        shelf.make_program(&manifest).unwrap();
        let path = shelf.program(manifest.binary_sha256);
        assert_eq!(fs::read(&path).unwrap(), program);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let kept = kept_of(&manifest, 1);
        assert_eq!(shelf.look(&kept, &[key().public()]), Ok(manifest));
        assert!(shelf.look(&kept, &[]).unwrap_err().contains("signed by none"));
        fs::write(&path, b"other").unwrap();
        assert!(shelf.look(&kept, &[key().public()]).unwrap_err().contains("not what was signed"));
    }
}

#[test]
fn what_is_not_what_was_signed_becomes_no_program() {
    let place = Place::new();
    let shelf = Shelf::of(&place.0);
    let program = b"program ".repeat(10_000);
    let (_, manifest, file) = release("0.2.0", &program);
    let check = |manifest: &Manifest, file: &[u8], words: &str| {
        shelf.drop_download(manifest);
        download(&shelf, manifest, file).unwrap();
        let refused = shelf.make_program(manifest).unwrap_err();
        assert!(matches!(refused, NotMade::Other(why) if why.contains(words)), "{refused}");
        assert!(!shelf.program(manifest.binary_sha256).exists());
    };
    let mut flipped = file.clone();
    flipped[50] ^= 1;
    check(&manifest, &flipped, "not the file that was signed");
    check(&manifest, &file[..file.len() - 1], "not the file that was signed");
    // A file that was signed and does not hold what it says: too much, too little, none, more behind it.
    let says = |program: &[u8], file: &[u8]| manifest_of("0.2.0", program, file);
    check(&says(b"short", &file), &file, "does not hold the program");
    check(&says(&program.repeat(2), &file), &file, "does not hold the program");
    check(&says(b"x", b"\xff\xff\xff\xff"), b"\xff\xff\xff\xff", "does not hold the program");
    let more = [file.as_slice(), b"more"].concat();
    check(&says(&program, &more), &more, "does not hold the program");
}

#[test]
fn a_file_on_its_way_goes_on_where_it_stood_and_nothing_damaged_is_kept() {
    let place = Place::new();
    let shelf = Shelf::of(&place.0);
    let (_, manifest, file) = release("0.2.0", &noise(20_000));
    let mut begun = shelf.resume(&manifest).unwrap();
    for part in file[..10_000].chunks(1_000) {
        shelf.add(&mut begun, part).unwrap();
    }
    drop(begun);
    assert_eq!(shelf.resume(&manifest).unwrap().have(), 10_000);
    // What a power cut may leave: zeros where a part was, a part without its sum, a sum without its part.
    let [part, sums] = shelf.names(&manifest);
    let mut bytes = fs::read(&part).unwrap();
    bytes[7_500..8_500].fill(0);
    fs::write(&part, &bytes).unwrap();
    assert_eq!(shelf.resume(&manifest).unwrap().have(), 7_000);
    fs::OpenOptions::new().append(true).open(&part).unwrap().write_all(b"torn").unwrap();
    assert_eq!(shelf.resume(&manifest).unwrap().have(), 7_000);
    fs::OpenOptions::new().append(true).open(&sums).unwrap().write_all(&[0, 0, 3]).unwrap();
    assert_eq!(shelf.resume(&manifest).unwrap().have(), 7_000);
    fs::write(&sums, [0xff; 800]).unwrap();
    assert_eq!(shelf.resume(&manifest).unwrap().have(), 0);
    download(&shelf, &manifest, &file).unwrap();
    shelf.make_program(&manifest).unwrap();
}

#[test]
fn a_power_cut_at_any_step_leaves_a_runnable_agent_and_another_try_ends_it() {
    let (old, new) = (release("0.2.0", b"old program"), release("0.3.0", &noise(5_000)));
    let keys = [key().public()];
    let mut ends = std::collections::BTreeSet::new();
    for cut in 0.. {
        let place = Place::new();
        let shelf = Shelf::of(&place.0);
        download(&shelf, &old.1, &old.2).unwrap();
        shelf.make_program(&old.1).unwrap();
        let mut ledger = Ledger { verified: Some(kept_of(&old.1, 1)), ..Ledger::default() };
        shelf.keep(&ledger).unwrap();
        shelf.tidy(&ledger).unwrap();
        shelf.cut_after(cut);
        let mut upgrade = || -> Result<(), NotMade> {
            ledger.wanted = Some(kept_of(&new.1, 2));
            shelf.keep(&ledger)?;
            download(&shelf, &new.1, &new.2)?;
            shelf.make_program(&new.1)?;
            ledger.try_next(kept_of(&new.1, 2), Vec::new());
            shelf.keep(&ledger)?;
            shelf.tidy(&ledger)?;
            ledger.prove();
            shelf.keep(&ledger)?;
            Ok(shelf.tidy(&ledger)?)
        };
        let outcome = upgrade();
        shelf.cut_after(-1);
        // The next start: something that was signed runs, whatever the power took.
        let mut found = shelf.ledger().unwrap();
        let installed = "0.1.0".parse().unwrap();
        let start = found.choose(&installed, tawi_shared::UnixMillis(1), |kept| shelf.look(kept, &keys));
        let super::super::ledger::Start::Release(manifest) = start else { panic!("step {cut}: {found:?}") };
        assert!(
            fs::metadata(shelf.program(manifest.binary_sha256)).unwrap().permissions().mode() & 0o100 != 0
        );
        ends.insert(manifest.version.to_string());
        // And another try ends it.
        download(&shelf, &new.1, &new.2).unwrap();
        shelf.make_program(&new.1).unwrap();
        found.try_next(kept_of(&new.1, 2), Vec::new());
        found.prove();
        shelf.keep(&found).unwrap();
        shelf.tidy(&found).unwrap();
        assert_eq!(shelf.look(&kept_of(&new.1, 2), &keys).as_ref(), Ok(&new.1), "step {cut}");
        if outcome.is_ok() {
            assert!(cut > 30, "{cut} steps");
            break;
        }
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), ["0.2.0", "0.3.0"]);
}

#[test]
fn a_damaged_directory_is_as_none() {
    let place = Place::new();
    let shelf = Shelf::of(&place.0);
    assert!(shelf.is_empty() && shelf.ledger().unwrap() == Ledger::default());
    fs::create_dir_all(shelf.directory()).unwrap();
    for text in ["", "{", "7", "{\"verified\":7}", &"x".repeat(300_000)] {
        fs::write(shelf.directory().join(LEDGER), text).unwrap();
        assert!(shelf.ledger().is_err(), "{text:.20}");
    }
    fs::write(shelf.directory().join(LEDGER), "{\"later\":1}").unwrap();
    assert_eq!(shelf.ledger().unwrap(), Ledger::default());
    fs::remove_dir_all(shelf.directory()).unwrap();
    fs::write(shelf.directory(), "a file").unwrap();
    assert!(shelf.ledger().is_err() && shelf.keep(&Ledger::default()).is_err());
}
