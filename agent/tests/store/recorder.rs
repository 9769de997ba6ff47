//! What a process did to its files, as the system saw it, and what a disk may have of that when the power goes.
//!
//! ```text
//! strace ──> actions ──> Disk: what is safe, what waits for a sync ──cut──> a directory with some of what waited
//! ```
//!
//! strace writes down each call that writes, names or syncs, of all threads in the order in which the system took them. The
//! disk honours a sync and nothing else: bytes are safe when a sync of their file that began after they were written has
//! returned; a name is safe when its directory was synced like that. Of the rest each write is there, is not, or is there in
//! some of its sectors; later ones may be there without earlier ones. A sync of a file does not save its name here, although
//! the common file systems do save it: nothing is to hang on that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tawi_shared::IdSource;

/// The calls that are written down.
const CALLS: &str = "trace=openat,open,creat,write,writev,pwrite64,pwritev,ftruncate,truncate,fallocate,rename,renameat,renameat2,\
                     unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,fsync,fdatasync,msync";
/// The longest text that is written down: a segment of the engine four times over.
const TEXT_BYTES: &str = "1048576";
/// A disk writes so many bytes or none of them.
const SECTOR_BYTES: usize = 512;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    /// A line on standard output.
    Said(String),
    MakeDirectory(PathBuf),
    /// Opened to be written; what was in it is gone where that was asked for.
    Open {
        path: PathBuf,
        is_emptied: bool,
    },
    /// At the end where no place is named.
    Write {
        path: PathBuf,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    Sync(PathBuf),
}

/// Something that was done, and when: calls of several threads overlap.
#[derive(Clone, Debug)]
pub struct Action {
    act: Act,
    begun: usize,
    done: usize,
}

/// Runs a program of its own under strace, with `input` on its standard input, and gives what it did.
pub fn record(program: &Path, arguments: &[&str], input: &str, log: &Path) -> Vec<Action> {
    let mut child = Command::new("strace")
        .args(["-f", "-y", "-qq", "-xx", "-s", TEXT_BYTES, "-e", "signal=none", "-e", CALLS, "-o"])
        .arg(log)
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace records the calls; .ci/packages installs it");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let status = child.wait().unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(
        status.success(),
        "the recorded program ended with {status}; strace may not trace here?\n{text:.2000}"
    );
    actions(&text)
}

/// What a log of strace says, in the order in which the calls began; syncs in the order in which they returned.
fn actions(log: &str) -> Vec<Action> {
    let mut unfinished: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut found: Vec<(usize, Action)> = Vec::new();
    for (done, line) in log.lines().enumerate() {
        let Some((process, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, (done, begin.trim_end().to_owned()));
            continue;
        }
        let (begun, call) = match call.strip_prefix("<... ") {
            Some(rest) => {
                let Some((begun, begin)) = unfinished.remove(process) else { continue };
                (begun, begin + rest.split_once("resumed>").unwrap().1)
            }
            None => (done, call.to_owned()),
        };
        let acts =
            acts_of(&call).unwrap_or_else(|| panic!("strace wrote what nobody understands: {call:.300}"));
        for act in acts {
            let at = if matches!(act, Act::Sync(_)) { done } else { begun };
            found.push((at, Action { act, begun, done }));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, action)| action).collect()
}

/// `None` for a call that cannot be read; nothing for one that failed or changes nothing.
fn acts_of(call: &str) -> Option<Vec<Act>> {
    if call.starts_with("+++") || call.starts_with("---") {
        return Some(Vec::new());
    }
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    let result = result.trim_start().strip_prefix("= ")?;
    if result.starts_with('-') || result.starts_with('?') {
        return Some(Vec::new());
    }
    let number =
        |text: &str| text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<usize>().ok();
    let arguments = split(arguments);
    let path = |at: usize| Some(PathBuf::from(text(arguments.get(at)?)?));
    // Names are given beneath a directory that is open.
    let below = |at: usize| Some(open_path(arguments.get(at)?)?.join(path(at + 1)?));
    let act = match name {
        "write" | "pwrite64" => {
            let mut bytes = raw(arguments.get(1)?)?;
            bytes.truncate(number(result)?);
            if number(arguments.first()?)? == 1 {
                let said = String::from_utf8_lossy(&bytes).into_owned();
                return Some(said.lines().map(|line| Act::Said(line.to_owned())).collect());
            }
            let at = arguments.get(3).map(|at| at.parse()).transpose().ok()?;
            Act::Write { path: open_path(arguments.first()?)?, at, bytes }
        }
        "openat" | "open" => {
            let at = usize::from(name == "openat");
            let flags = arguments.get(at + 1)?;
            if !flags.contains("O_CREAT") && !flags.contains("O_TRUNC") {
                return Some(Vec::new());
            }
            let path = if at == 1 { below(0)? } else { path(0)? };
            Act::Open { path, is_emptied: flags.contains("O_TRUNC") }
        }
        "ftruncate" => {
            Act::Truncate { path: open_path(arguments.first()?)?, length: number(arguments.get(1)?)? }
        }
        "rename" => Act::Rename { from: path(0)?, to: path(1)? },
        "renameat" | "renameat2" => Act::Rename { from: below(0)?, to: below(2)? },
        "mkdir" => Act::MakeDirectory(path(0)?),
        "mkdirat" => Act::MakeDirectory(below(0)?),
        "unlink" | "rmdir" => Act::Remove(path(0)?),
        "unlinkat" => Act::Remove(below(0)?),
        "fsync" | "fdatasync" => Act::Sync(open_path(arguments.first()?)?),
        // A way to write that this does not know would prove nothing.
        _ => return None,
    };
    Some(vec![act])
}

/// Arguments at their commas. All texts are in hexadecimal, so that none has one; sets of flags have none either.
fn split(arguments: &str) -> Vec<&str> {
    arguments.split(", ").collect()
}

/// `"\x41\x42"` as bytes; `None` where strace cut it short.
fn raw(quoted: &str) -> Option<Vec<u8>> {
    unescaped(quoted.strip_prefix('"')?.strip_suffix('"')?)
}

fn text(quoted: &str) -> Option<String> {
    String::from_utf8(raw(quoted)?).ok()
}

/// The path behind `9<\x2f\x74>`.
fn open_path(descriptor: &str) -> Option<PathBuf> {
    let (_, rest) = descriptor.split_once('<')?;
    Some(PathBuf::from(String::from_utf8(unescaped(rest.strip_suffix('>')?)?).ok()?))
}

fn unescaped(hex: &str) -> Option<Vec<u8>> {
    hex.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte.get(..2)?, 16).ok()).collect()
}

/// How much of what waits a cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing that was not synced.
    Nothing,
    /// The first so many writes of each file, the next one torn.
    First,
    /// Any of them, whole or torn.
    Some,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// The sectors of it that a disk had written.
    fn torn(&self, chance: &IdSource) -> Vec<Self> {
        let Self::Write { at, bytes } = self else { return vec![self.clone()] };
        let mut parts = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let to = ((at + from) / SECTOR_BYTES + 1) * SECTOR_BYTES - at;
            let to = to.min(bytes.len());
            if chance.number().is_multiple_of(2) {
                parts.push(Self::Write { at: at + from, bytes: bytes[from..to].to_vec() });
            }
            from = to;
        }
        parts
    }
}

/// A file or a directory.
#[derive(Debug, Default)]
struct Node {
    is_directory: bool,
    safe: Vec<u8>,
    seen_length: usize,
    waiting: Vec<(usize, Change)>,
}

type Name = (usize, OsString);

/// A name that came, went, or is another thing's.
#[derive(Clone, Debug)]
enum Naming {
    Is(Name, usize),
    Gone(Name),
    Moves(Name, Name),
}

impl Naming {
    fn make(&self, names: &mut BTreeMap<Name, usize>) {
        match self {
            Self::Is(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Gone(name) => drop(names.remove(name)),
            Self::Moves(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }

    fn directory(&self) -> usize {
        match self {
            Self::Is((directory, _), _) | Self::Gone((directory, _)) | Self::Moves((directory, _), _) => {
                *directory
            }
        }
    }
}

/// What a disk has of the files beneath one directory.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    seen: BTreeMap<Name, usize>,
    safe: BTreeMap<Name, usize>,
    waiting: Vec<(usize, Naming)>,
}

impl Disk {
    /// An empty directory.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            nodes: vec![Node { is_directory: true, ..Node::default() }],
            seen: BTreeMap::new(),
            safe: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Does what was done; gives what was said.
    pub fn take(&mut self, action: &Action) -> Option<String> {
        let done = action.done;
        match &action.act {
            Act::Said(line) => return Some(line.clone()),
            Act::MakeDirectory(path) => self.make(path, true, done),
            Act::Open { path, is_emptied } => {
                if self.is_ours(path) {
                    match self.find(path) {
                        None => self.make(path, false, done),
                        Some(node) if *is_emptied => self.change(node, Change::Length(0), done),
                        Some(_) => {}
                    }
                }
            }
            Act::Write { path, at, bytes } => {
                if let Some(node) = self.find(path) {
                    let at = at.unwrap_or(self.nodes[node].seen_length);
                    self.change(node, Change::Write { at, bytes: bytes.clone() }, done);
                }
            }
            Act::Truncate { path, length } => {
                if let Some(node) = self.find(path) {
                    self.change(node, Change::Length(*length), done);
                }
            }
            Act::Rename { from, to } => {
                if let (Some(from), Some(to)) = (self.name(from), self.name(to)) {
                    assert_eq!(from.0, to.0, "a move to another directory is not foreseen");
                    self.rename(Naming::Moves(from, to), done);
                }
            }
            Act::Remove(path) => {
                if let Some(name) = self.name(path) {
                    self.rename(Naming::Gone(name), done);
                }
            }
            Act::Sync(path) => self.sync(path, action.begun),
        }
        None
    }

    /// Whether anything waits for a sync: a cut here loses something.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty() || self.nodes.iter().any(|node| !node.waiting.is_empty())
    }

    /// Puts what a cut leaves now into an empty directory.
    pub fn leave(&self, leaves: Leaves, chance: &IdSource, into: &Path) {
        let mut names = self.safe.clone();
        let first = usize::try_from(chance.number()).unwrap_or(0) % (self.waiting.len() + 1);
        for (number, (_, naming)) in self.waiting.iter().enumerate() {
            let is_there = match leaves {
                Leaves::Nothing => false,
                Leaves::First => number < first,
                Leaves::Some => chance.number().is_multiple_of(2),
            };
            if is_there {
                naming.make(&mut names);
            }
        }
        self.write_out(0, &names, leaves, chance, into);
    }

    fn write_out(
        &self,
        directory: usize,
        names: &BTreeMap<Name, usize>,
        leaves: Leaves,
        chance: &IdSource,
        into: &Path,
    ) {
        for ((_, name), node) in names.iter().filter(|((of, _), _)| *of == directory) {
            let path = into.join(name);
            if self.nodes[*node].is_directory {
                std::fs::create_dir(&path).unwrap();
                self.write_out(*node, names, leaves, chance, &path);
            } else {
                std::fs::write(&path, self.nodes[*node].left(leaves, chance)).unwrap();
            }
        }
    }

    fn sync(&mut self, path: &Path, begun: usize) {
        let Some(node) = self.find(path) else { return };
        if self.nodes[node].is_directory {
            let mut rest = Vec::new();
            for (done, naming) in std::mem::take(&mut self.waiting) {
                if naming.directory() == node && done < begun {
                    naming.make(&mut self.safe);
                } else {
                    rest.push((done, naming));
                }
            }
            self.waiting = rest;
        } else {
            let Node { safe, waiting, .. } = &mut self.nodes[node];
            let mut rest = Vec::new();
            for (done, change) in std::mem::take(waiting) {
                if done < begun { change.make(safe) } else { rest.push((done, change)) }
            }
            *waiting = rest;
        }
    }

    fn change(&mut self, node: usize, change: Change, done: usize) {
        let node = &mut self.nodes[node];
        node.seen_length = match &change {
            Change::Write { at, bytes } => node.seen_length.max(at + bytes.len()),
            Change::Length(length) => *length,
        };
        node.waiting.push((done, change));
    }

    fn make(&mut self, path: &Path, is_directory: bool, done: usize) {
        let Some(name) = self.name(path) else { return };
        self.nodes.push(Node { is_directory, ..Node::default() });
        self.rename(Naming::Is(name, self.nodes.len() - 1), done);
    }

    fn rename(&mut self, naming: Naming, done: usize) {
        naming.make(&mut self.seen);
        self.waiting.push((done, naming));
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(&self.root) && path != self.root
    }

    fn name(&self, path: &Path) -> Option<Name> {
        if !self.is_ours(path) {
            return None;
        }
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let steps = path.strip_prefix(&self.root).ok()?;
        steps.iter().try_fold(0, |node, step| self.seen.get(&(node, step.to_owned())).copied())
    }
}

impl Node {
    fn left(&self, leaves: Leaves, chance: &IdSource) -> Vec<u8> {
        let mut content = self.safe.clone();
        let first = usize::try_from(chance.number()).unwrap_or(0) % (self.waiting.len() + 1);
        for (number, (_, change)) in self.waiting.iter().enumerate() {
            match leaves {
                Leaves::Nothing => break,
                Leaves::First if number < first => change.make(&mut content),
                Leaves::First if number > first => break,
                Leaves::Some if chance.number().is_multiple_of(3) => {}
                Leaves::Some if chance.number().is_multiple_of(2) => change.make(&mut content),
                Leaves::First | Leaves::Some => {
                    change.torn(chance).iter().for_each(|part| part.make(&mut content));
                }
            }
        }
        content
    }
}

#[test]
fn a_log_of_strace_is_read_with_calls_that_overlap() {
    let log = r#"7 openat(AT_FDCWD<\x2f>, "\x2f\x64\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 3<\x2f\x64\x2f\x61>
8 fdatasync(3<\x2f\x64\x2f\x61> <unfinished ...>
7 pwrite64(3<\x2f\x64\x2f\x61>, "\x41\x42", 2, 512) = 2
8 <... fdatasync resumed>)                = 0
7 write(1<\x70\x69\x70\x65>, "\x6f\x6b\x0a", 3) = 3
7 pwrite64(3<\x2f\x64\x2f\x61>, "\x41\x42", 2, 0) = -1 ENOSPC (No space left on device)
7 unlinkat(3<\x2f\x64>, "\x61", 0) = 0
7 +++ exited with 0 +++
"#;
    let found = actions(log);
    let acts: Vec<_> = found.iter().map(|action| action.act.clone()).collect();
    let path = PathBuf::from("/d/a");
    assert_eq!(
        acts,
        [
            Act::Open { path: path.clone(), is_emptied: false },
            Act::Write { path: path.clone(), at: Some(512), bytes: b"AB".to_vec() },
            Act::Sync(path.clone()),
            Act::Said("ok".into()),
            Act::Remove(path.clone()),
        ]
    );
    // The sync began before the write, so that it promises nothing of it; and nothing of the name.
    let mut disk = Disk::new(Path::new("/d"));
    found[..3].iter().for_each(|action| drop(disk.take(action)));
    assert!(disk.waits());
    assert_eq!((disk.safe.len(), disk.nodes[1].safe.len(), disk.nodes[1].waiting.len()), (0, 0, 1));
    disk.sync(&path, 100);
    disk.sync(Path::new("/d"), 100);
    assert_eq!((disk.safe.len(), disk.nodes[1].safe.len(), disk.waits()), (1, 514, false));
}
