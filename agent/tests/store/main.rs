//! What survives on flash when the process is killed in the middle of a write, when the disk takes no more, and when the
//! power goes (`cuts.rs`).
//!
//! A writer is this same test program, started again with one ignored test: it does what it is told on standard input
//! and prints what it believes to be safe. A full disk is a small tmpfs where the test may mount one (root), and a
//! limit on the size of files, under which the engine itself meets the end, everywhere. Neither is skipped silently.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]

mod cuts;
mod recorder;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tawi_agent::desired::{DesiredState, Taken};
use tawi_agent::flow::Event;
use tawi_agent::outbox::{Forgot, Keeper, StoreError, StoreHealth};
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{Access, EventKind, Lane, LineV1, Service, SessionUsageV1, StateDeltaV1, UpMessage};
use tawi_shared::{Clock, IdSource, UnixMillis};

const PATIENCE: Duration = Duration::from_secs(30);
/// Lines that a writer keeps changing.
const LINES: u64 = 40;

/// A directory of its own for each test, gone at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("tawi-survival-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Path) -> (Keeper, tawi_agent::outbox::Opening) {
    Keeper::open(directory, IdSource::system(), Clock::manual(UnixMillis(1_000)))
}

fn line(number: u64, until: u64) -> LineV1 {
    LineV1 {
        line: format!("line-{number}"),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: "u".into(),
        password: "p".into(),
        profile: "home".into(),
        access: Access::Open.code(),
        valid_until_ms: i64::try_from(until).ok(),
        ..LineV1::default()
    }
}

/// The state after a delta that changes one line in each generation.
fn next(state: &DesiredState) -> Arc<DesiredState> {
    let generation = state.generation + 1;
    let changed = line(generation % LINES, generation);
    let mut after: BTreeMap<_, _> =
        state.lines.iter().map(|(id, held)| (id.clone(), held.item.clone())).collect();
    after.insert(changed.line.clone(), changed.clone());
    let delta = StateDeltaV1 {
        from_generation: state.generation,
        to_generation: generation,
        state_hash: StateHash::of(after.values(), []).to_bytes(),
        lines: vec![changed],
        removed_lines: vec![],
        profiles: vec![],
        removed_profiles: vec![],
    };
    match state.take_delta(&delta) {
        Taken::Moved(state) => Arc::new(state),
        other => panic!("{other:?}"),
    }
}

fn event(number: u64) -> Event {
    Event {
        at: UnixMillis(1),
        kind: EventKind::LineOnline,
        line: None,
        router: None,
        detail: number.to_string(),
    }
}

fn ended(number: u64) -> SessionUsageV1 {
    SessionUsageV1 {
        line: "a".into(),
        session: format!("core/{number}"),
        started_at_ms: 1,
        sampled_at_ms: 2,
        upload_bytes: number,
        download_bytes: number,
        is_ended: true,
        address: String::new(),
        period_started_ms: 0,
    }
}

/// What the records of a lane say, up to the end: numbers of events or of sessions.
fn drain(keeper: &mut Keeper, lane: Lane) -> Vec<u64> {
    let epoch = keeper.overview().epoch;
    let mut cursor = keeper.overview().lane(lane).last_seq - keeper.overview().lane(lane).sealed;
    let mut numbers = Vec::new();
    loop {
        let records = keeper.take(lane, cursor, 16);
        let Some(last) = records.last() else { return numbers };
        for record in &records {
            assert_eq!(record.seq, cursor + 1, "a position is missing");
            cursor = record.seq;
            match UpMessage::decode(&record.bytes).unwrap().1 {
                UpMessage::Event(event) => numbers.extend(event.detail.parse::<u64>()),
                UpMessage::Usage(batch) => {
                    numbers.extend(batch.sessions.iter().map(|session| session.upload_bytes));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(keeper.forget(lane, epoch, last.seq), Forgot::Records(_)));
    }
}

/// Runs in a process of its own: writes for ever, and says what is safe.
#[test]
#[ignore = "it is the writer that the tests below start and kill"]
fn writer() {
    let mut lines = std::io::stdin().lines();
    let directory = PathBuf::from(lines.next().unwrap().unwrap());
    let first: u64 = lines.next().unwrap().unwrap().parse().unwrap();
    let (mut keeper, opening) = open(&directory);
    let mut state = opening.state;
    let mut out = std::io::stdout().lock();
    // The harness has begun a line of its own.
    writeln!(out, "\nepoch {}", keeper.overview().epoch).unwrap();
    for number in first.. {
        state = next(&state);
        match keeper.put_state(Arc::clone(&state)) {
            Ok(()) => writeln!(out, "state {}", state.generation).unwrap(),
            Err(StoreError::Full { .. } | StoreError::NearlyFull { .. }) => writeln!(out, "full").unwrap(),
            Err(error) => writeln!(out, "failed {error}").unwrap(),
        }
        keeper.put_events(&[event(number)], false);
        keeper.put_usage(vec![ended(number).into()], false);
        if keeper.overview().health == StoreHealth::Well {
            writeln!(out, "records {number}").unwrap();
        }
        // Churn: what was told is confirmed now and then.
        if number % 7 == 0 {
            let epoch = keeper.overview().epoch;
            if let Some(record) = keeper.take(Lane::Event, 0, 3).last() {
                keeper.forget(Lane::Event, epoch, record.seq);
                let sealed = keeper.overview().events.last_seq - keeper.overview().events.sealed;
                writeln!(out, "forgotten {sealed}").unwrap();
            }
        }
        out.flush().unwrap();
    }
}

/// A writer in a process of its own, and what it said.
struct Writer {
    child: Child,
    said: Receiver<String>,
}

impl Writer {
    fn start(directory: &Path, first: u64, file_limit_blocks: Option<u32>) -> Self {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "writer", "--ignored", "--nocapture", "--test-threads=1"];
        let mut command = match file_limit_blocks {
            None => {
                let mut command = Command::new(&program);
                command.args(arguments);
                command
            }
            Some(blocks) => {
                // The limit in blocks of 512 bytes; the signal that comes with it is ignored, so that a write fails as
                // on a full disk.
                let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
                let mut command = Command::new("sh");
                command.arg("-c").arg(script).arg(&program).args(arguments);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the writer starts");
        writeln!(child.stdin.take().unwrap(), "{}\n{first}", directory.display()).unwrap();
        let (sender, said) = channel();
        let output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, said }
    }

    /// Kills it at once, as `kill -9` does, and gives what it had said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.iter().collect()
    }
}

/// What a writer believed to be safe.
#[derive(Debug, Default)]
struct Safe {
    generation: u64,
    records: Vec<u64>,
    forgotten: u64,
}

impl Safe {
    fn take(&mut self, said: &[String]) {
        for line in said {
            match line.split_once(' ') {
                Some(("state", number)) => self.generation = number.parse().unwrap(),
                Some(("records", number)) => self.records.push(number.parse().unwrap()),
                Some(("forgotten", number)) => self.forgotten = number.parse().unwrap(),
                _ => {}
            }
        }
    }
}

#[test]
fn nothing_that_was_said_to_be_safe_is_lost_when_the_process_is_killed_at_any_point() {
    const ROUNDS: u64 = 25;
    let directory = Directory::new("kill");
    let ids = IdSource::seeded(5);
    let (mut safe, mut first) = (Safe::default(), 1);
    let mut epochs = std::collections::BTreeSet::new();
    for round in 0..ROUNDS {
        let writer = Writer::start(&directory.0, first, None);
        // Some are killed while they open, the others somewhere in the middle of the writes that follow a line.
        let mut said = Vec::new();
        let wait = Duration::from_millis(ids.number() % 60);
        let lines = ids.number() % 250;
        while u64::try_from(said.len()).unwrap() < lines {
            match writer.said.recv_timeout(if round % 5 == 0 { wait } else { PATIENCE }) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Timeout) if round % 5 == 0 => break,
                Err(error) => panic!("the writer says nothing: {error}"),
            }
        }
        said.extend(writer.kill());
        epochs.extend(said.iter().filter(|line| line.starts_with("epoch")).cloned());
        safe.take(&said);
        first = safe.records.last().map_or(first, |last| last + 1).max(first) + 10_000;

        let (keeper, opening) = open(&directory.0);
        assert_eq!(opening.lost, None, "round {round}: the store was damaged");
        assert!(opening.is_state_whole, "round {round}");
        assert!(
            opening.state.generation >= safe.generation,
            "round {round}: {} < {safe:?}",
            opening.state.generation
        );
        for held in opening.state.lines.values() {
            let until = u64::try_from(held.item.valid_until_ms.unwrap()).unwrap();
            assert!(
                until <= opening.state.generation && until + LINES > opening.state.generation,
                "round {round}"
            );
        }
        assert_eq!(keeper.overview().bad_records, 0, "round {round}");
    }
    assert!(epochs.len() == 1, "one life all along: {epochs:?}");
    assert!(
        safe.records.len() > 20,
        "the writers wrote too little to prove anything: {}",
        safe.records.len()
    );

    let (mut keeper, _) = open(&directory.0);
    let sessions = drain(&mut keeper, Lane::Usage);
    let events = drain(&mut keeper, Lane::Event);
    for number in &safe.records {
        assert!(sessions.contains(number), "the total of session {number} is lost");
    }
    // Events up to the cursor were confirmed and are gone; the others are all there.
    let missing: Vec<_> = safe.records.iter().filter(|number| !events.contains(number)).collect();
    assert!(
        u64::try_from(missing.len()).unwrap() <= safe.forgotten,
        "{} events are gone and {} were confirmed",
        missing.len(),
        safe.forgotten
    );
    println!("{} writes were safe in {ROUNDS} rounds, generation {}", safe.records.len(), safe.generation);
}

#[test]
fn when_the_system_takes_no_more_in_the_middle_of_a_write_what_was_safe_stays_safe() {
    let directory = Directory::new("limit");
    let mut safe = Safe::default();
    // 1,300 KiB: two segments of the engine and a part of the third.
    let writer = Writer::start(&directory.0, 1, Some(2_600));
    let mut said = Vec::new();
    let is_full = |line: &String| line == "full" || line.starts_with("failed");
    while said.iter().filter(|line| is_full(line)).count() < 20 {
        said.push(
            writer.said.recv_timeout(PATIENCE).expect("it must neither end nor hang at the end of the disk"),
        );
    }
    said.extend(writer.kill());
    safe.take(&said);
    assert!(safe.records.len() > 10, "it wrote before it was full: {}", safe.records.len());

    let (mut keeper, opening) = open(&directory.0);
    assert_eq!(opening.lost, None, "a full disk is not damage");
    assert!(opening.is_state_whole && opening.state.generation >= safe.generation, "{safe:?}");
    let sessions = drain(&mut keeper, Lane::Usage);
    assert!(safe.records.iter().all(|number| sessions.contains(number)));
    println!(
        "{} writes were safe before the limit, then {} refusals",
        safe.records.len(),
        said.iter().filter(|line| is_full(line)).count()
    );
}

/// Ends a test that could not mount a disk: as a failure, unless whoever runs it has said that he does without, so that no green
/// run hides it.
#[expect(clippy::disallowed_methods, reason = "only whoever runs the tests knows whether this is accepted")]
fn accepted_without_root() {
    let is_accepted = std::env::var_os("TAWI_WITHOUT_ROOT").is_some_and(|value| value == "1");
    assert!(
        is_accepted,
        "a small disk cannot be mounted, which only root may do, and what a full or read-only disk does was not tried\n  \
         cure: run the tests as root, or set TAWI_WITHOUT_ROOT=1 to do without"
    );
    eprintln!("SKIPPED, as TAWI_WITHOUT_ROOT=1 says: mounting a small disk needs root");
}

/// A disk of its own, unmounted at the end.
struct SmallDisk(Directory);

impl SmallDisk {
    /// `None` where the test may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let directory = Directory::new("disk");
        let size = format!("size={mebibytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tawi-test"])
            .arg(&directory.0)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(directory))
    }

    fn path(&self) -> &Path {
        &self.0.0
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        let block = vec![1; 64 * 1024];
        while file.write_all(&block).is_ok() {}
    }

    /// Makes it read-only, as the system does with a file system that has a fault, or writable again.
    fn allow_writes(&self, are_allowed: bool) {
        let options = if are_allowed { "remount,rw" } else { "remount,ro" };
        let done = Command::new("mount").args(["-o", options]).arg(self.path()).status();
        assert!(done.is_ok_and(|status| status.success()));
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_loudly_loses_nothing_and_heals_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(24) else {
        return accepted_without_root();
    };
    let (mut keeper, opening) = open(disk.path());
    let first = next(&opening.state);
    keeper.put_state(Arc::clone(&first)).unwrap();
    keeper.put_events(&[event(1)], false);
    disk.fill();

    let second = next(&first);
    let refused = keeper.put_state(Arc::clone(&second)).unwrap_err();
    assert!(
        matches!(refused, StoreError::NearlyFull { .. }),
        "noticed before the engine meets the end: {refused}"
    );
    keeper.put_events(&[event(2), event(3)], true);
    keeper.put_usage(vec![ended(9).into()], true);
    let overview = keeper.overview();
    assert!(matches!(overview.health, StoreHealth::Unwell { .. }));
    assert_eq!(overview.stored_generation, 1, "not told as stored");
    assert!(overview.in_memory >= 3, "{overview:?}");
    keeper.recover();
    assert!(matches!(keeper.overview().health, StoreHealth::Unwell { .. }), "there is no room yet");

    disk.make_room();
    keeper.recover();
    let overview = keeper.overview();
    assert_eq!(
        (&overview.health, overview.in_memory, overview.stored_generation),
        (&StoreHealth::Well, 0, 2)
    );
    drop(keeper);
    let (mut keeper, opening) = open(disk.path());
    assert_eq!(opening.state.lines, second.lines);
    assert_eq!(drain(&mut keeper, Lane::Usage), [9]);
    let records = keeper.take(Lane::Event, 0, 16);
    let kinds: Vec<_> = records
        .iter()
        .map(|record| match UpMessage::decode(&record.bytes).unwrap().1 {
            UpMessage::Event(event) => event.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::StoreFull.code()).count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::LineOnline.code()).count(), 3, "{kinds:?}");
}

#[test]
fn an_agent_that_starts_on_a_full_disk_reads_what_is_there_and_never_takes_it_for_damage() {
    let Some(disk) = SmallDisk::mount(24) else {
        return accepted_without_root();
    };
    let (mut keeper, opening) = open(disk.path());
    let state = next(&opening.state);
    keeper.put_state(Arc::clone(&state)).unwrap();
    drop(keeper);
    disk.fill();
    let (mut keeper, opening) = open(disk.path());
    assert_eq!(opening.lost, None);
    assert_eq!(opening.state.lines, state.lines, "a site that boots with a full disk enforces all the same");
    disk.make_room();
    keeper.recover();
    keeper.put_state(next(&state)).unwrap();
    assert_eq!(keeper.overview().stored_generation, 2);
    let names: Vec<_> =
        std::fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("bad")), "{names:?}");
}

#[test]
fn an_agent_whose_file_system_is_read_only_works_in_memory_and_takes_up_the_store_when_it_is_not() {
    let Some(disk) = SmallDisk::mount(24) else {
        return accepted_without_root();
    };
    let (mut keeper, opening) = open(disk.path());
    let first = next(&opening.state);
    keeper.put_state(Arc::clone(&first)).unwrap();
    keeper.put_events(&[event(1)], false);
    let life = keeper.overview().epoch;
    drop(keeper);
    disk.allow_writes(false);
    let (mut keeper, opening) = open(disk.path());
    assert_eq!(opening.lost, None, "it is not taken for damage");
    assert!(matches!(keeper.overview().health, StoreHealth::Unwell { .. }));
    // Head office tells the state again: it is enforced, and not said to be stored.
    let second = next(&first);
    assert!(keeper.put_state(Arc::clone(&second)).is_err());
    keeper.put_events(&[event(2), event(3)], true);
    keeper.put_usage(vec![ended(9).into()], true);
    keeper.recover();
    let overview = keeper.overview();
    assert!(matches!(overview.health, StoreHealth::Unwell { .. }), "{overview:?}");
    assert!(overview.in_memory >= 3, "{overview:?}");
    disk.allow_writes(true);
    keeper.recover();
    let overview = keeper.overview();
    assert_eq!((&overview.health, overview.in_memory), (&StoreHealth::Well, 0));
    assert_eq!((overview.epoch, overview.stored_generation), (life, 2), "the same life goes on");
    assert_eq!(drain(&mut keeper, Lane::Usage), [9]);
    assert_eq!(
        keeper.take(Lane::Event, 0, 16).len(),
        4,
        "one from before, two of meanwhile, and that it was so"
    );
}
