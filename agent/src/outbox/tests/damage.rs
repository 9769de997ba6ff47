//! Files of the engine that a card damaged: the agent starts on whatever is left of them, and nothing that it reads is wrong.

use super::*;

/// A store with a state and sixteen events that have positions, and four that wait.
struct Master {
    directory: Directory,
    state: Arc<DesiredState>,
    texts: Vec<String>,
}

impl Master {
    fn new() -> Self {
        let directory = Directory::new();
        let (mut keeper, opening) = directory.open();
        let state = moved(&opening.state, &[line("a", 1), line("b", 1)], &[], &[profile()]);
        keeper.put_state(Arc::clone(&state)).unwrap();
        let texts: Vec<_> = (0..20).map(|number| format!("event {number}")).collect();
        keeper.put_events(&texts.iter().map(|text| event(text)).collect::<Vec<_>>(), false);
        drop(keeper);
        Self { directory, state, texts }
    }

    /// A copy of it, of which one file is damaged.
    fn damaged(&self, file: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Directory {
        let copy = Directory::new();
        fs::create_dir_all(copy.0.join("store")).unwrap();
        for entry in fs::read_dir(self.directory.0.join("store")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.0.join("store").join(entry.file_name())).unwrap();
            }
        }
        let path = copy.0.join("store").join(file);
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        copy
    }

    /// The files of the engine.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.0.join("store")).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// How far the file of the engine is written.
    fn used(&self) -> usize {
        let bytes = fs::read(self.directory.0.join("store/db")).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap()
    }

    /// It opens, gives nothing that was never put there, and goes on.
    fn goes_on(&self, copy: &Directory, what: &str) {
        let (mut keeper, opening) = copy.open();
        if opening.state.generation != 0 {
            assert_eq!(opening.state.lines, self.state.lines, "{what}: whole or not at all");
        }
        for detail in details(&keeper.take(Lane::Event, 0, 16)) {
            assert!(!detail.contains("offset") && !detail.contains("backtrace"), "{what}: {detail}");
            assert!(self.texts.contains(&detail) || detail.contains("damaged"), "{what}: {detail}");
        }
        if let Some(Lost { moved_to, why }) = &opening.lost {
            let (lost, place) = (keeper.overview().lost.unwrap(), moved_to.display().to_string());
            assert!(lost.contains("totals of sessions") && lost.ends_with(&place), "{what}: {lost}");
            assert!(!lost.contains(why.as_str()), "{what}: the engine's words are for the log: {lost}");
        }
        keeper.put_state(Arc::clone(&self.state)).unwrap();
        assert_eq!(keeper.overview().stored_generation, 1, "{what}: it goes on");
        assert_eq!(keeper.overview().health, StoreHealth::Well, "{what}");
    }
}

#[test]
fn flipped_bits_anywhere_in_the_files_never_stop_the_agent_and_never_give_wrong_records() {
    let master = Master::new();
    let ids = IdSource::seeded(11);
    let used = u64::try_from(master.used()).unwrap();
    for round in 0..24 {
        let copy = master.damaged("db", |bytes| {
            for _ in 0..3 {
                let at = usize::try_from(ids.number() % used).unwrap();
                bytes[at] ^= 1 << (ids.number() % 8);
            }
        });
        master.goes_on(&copy, &format!("round {round}"));
    }
}

#[test]
fn a_store_that_was_cut_off_anywhere_never_stops_the_agent() {
    let master = Master::new();
    let used = master.used();
    let lengths = (0..40).map(|part| used * part / 40).chain([1, 7, used - 1, used]);
    for length in lengths {
        let copy = master.damaged("db", |bytes| bytes.truncate(length));
        master.goes_on(&copy, &format!("{length} of {used} bytes"));
    }
}

#[test]
fn a_file_beside_the_engines_own_that_is_cut_off_or_flipped_anywhere_never_stops_the_agent() {
    let master = Master::new();
    let ids = IdSource::seeded(17);
    for name in master.names().into_iter().filter(|name| name != "db") {
        let length = fs::metadata(master.directory.0.join("store").join(&name)).unwrap().len();
        for round in 0..16 {
            let at = usize::try_from(ids.number() % length.max(1)).unwrap();
            let copy = master.damaged(&name, |bytes| bytes.truncate(at));
            master.goes_on(&copy, &format!("{name} ends after {at} of {length} bytes"));
            let copy = master.damaged(&name, |bytes| bytes[at] ^= 1 << (round % 8));
            master.goes_on(&copy, &format!("a bit of byte {at} of {name}"));
        }
    }
}

#[test]
fn a_snapshot_that_was_being_written_is_no_harm_however_much_of_it_is_there() {
    let master = Master::new();
    let ids = IdSource::seeded(19);
    let whole = master
        .names()
        .into_iter()
        .find(|name| name.starts_with("snap."))
        .map(|name| fs::read(master.directory.0.join("store").join(name)).unwrap());
    // What the engine has not written yet is as good as any bytes: it reads them at its start all the same.
    let whole = whole.unwrap_or_else(|| {
        let mut bytes = vec![0; 4_096];
        ids.fill(&mut bytes);
        bytes
    });
    for part in 0..=16 {
        let copy = master.damaged("conf", |_| ());
        let torn = whole.get(..whole.len() * part / 16).unwrap();
        fs::write(copy.0.join("store/snap.00000000000F4240.generating"), torn).unwrap();
        let (mut keeper, opening) = copy.open();
        assert_eq!(opening.lost, None, "{part} of 16 parts");
        assert_eq!(opening.state.lines, master.state.lines, "{part} of 16 parts");
        assert_eq!(details(&keeper.take(Lane::Event, 0, 16)), master.texts[..16], "{part} of 16 parts");
    }
}

#[test]
fn whatever_file_of_the_store_is_empty_or_noise_the_agent_starts() {
    let master = Master::new();
    let names = master.names();
    assert!(names.len() >= 2, "{names:?}");
    let ids = IdSource::seeded(3);
    for name in names {
        let empty = master.damaged(&name, Vec::clear);
        master.goes_on(&empty, &format!("{name} is empty"));
        let noise = master.damaged(&name, |bytes| ids.fill(bytes));
        master.goes_on(&noise, &format!("{name} is noise"));
    }
}
