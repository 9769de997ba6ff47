//! The directory with releases, so that a power cut at any step leaves an agent that can be started.
//!
//! ```text
//! releases/ledger.json     which release is to run (`ledger.rs`): written beside, synced, renamed
//! releases/<sha>.part      a file on its way, appended to; synced each 256 KiB and at its end
//! releases/<sha>.sums      length and CRC-32C of each part in it: what does not agree after a power cut is asked for again
//! releases/<sha>           a program: inflated beside, hashed, synced, renamed
//! ```
//!
//! A megabyte on its way costs flash a megabyte, four syncs and a few hundred bytes of sums; the program is written once more.
//! Memory is a part and the 32 KiB that inflating looks back on. Whatever cannot be read is as if it were not there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use ring::digest::{Context, SHA256};
use tawi_shared::release::{Manifest, PART_BYTES, ReleaseKey, Sha256};

use super::ledger::{Kept, Ledger};

/// Its name in the state directory.
const DIRECTORY: &str = "releases";
const LEDGER: &str = "ledger.json";
/// Eleven manifests of the longest kind, and words.
const LEDGER_BYTES: u64 = 128 * 1_024;
/// So much of a file on its way may be lost to a power cut.
const SYNC_EVERY: u64 = 256 * 1_024;
/// One record of the sums: length and checksum.
const SUM_BYTES: usize = 8;
/// Read, inflated and written in such pieces.
const PIECE: usize = 16 * 1_024;

/// The directory.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
    #[cfg(test)]
    power: testing::Power,
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    part: File,
    sums: File,
    have: u64,
    unsynced: u64,
}

impl Download {
    /// How many bytes are here.
    #[must_use]
    pub fn have(&self) -> u64 {
        self.have
    }
}

impl Shelf {
    /// Of this state directory, whether there is one yet or not.
    #[must_use]
    pub fn of(state_directory: &Path) -> Self {
        Self {
            directory: state_directory.join(DIRECTORY),
            #[cfg(test)]
            power: testing::Power::default(),
        }
    }

    /// Whether nothing was ever kept here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.directory.exists()
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a program is.
    #[must_use]
    pub fn program(&self, sha256: Sha256) -> PathBuf {
        self.directory.join(sha256.to_string())
    }

    /// What is known; nothing where that cannot be read.
    ///
    /// # Errors
    /// Why it cannot be read, for the log.
    pub fn ledger(&self) -> io::Result<Ledger> {
        let file = match File::open(self.directory.join(LEDGER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
            file => file?,
        };
        let mut text = Vec::new();
        file.take(LEDGER_BYTES).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(io::Error::from)
    }

    /// Puts down what is known. It is on flash when this returns.
    ///
    /// # Errors
    /// Why the system refuses; what was there before is as it was.
    pub fn keep(&self, ledger: &Ledger) -> io::Result<()> {
        self.make()?;
        let (beside, path) = (self.directory.join("ledger.new"), self.directory.join(LEDGER));
        let text = serde_json::to_vec(ledger).map_err(io::Error::from)?;
        let mut file = self.write_new(&beside, 0o600)?;
        self.write(&mut file, &text)?;
        self.step()?;
        file.sync_all()?;
        self.step()?;
        fs::rename(&beside, &path)?;
        self.sync_directory()
    }

    /// Looks at a program: whether one of the keys signed it and it is what was signed.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn look(&self, kept: &Kept, keys: &[ReleaseKey]) -> Result<Manifest, String> {
        let manifest = kept.signed().verified(keys).map_err(|bad| bad.to_string())?;
        let path = self.program(manifest.binary_sha256);
        let (bytes, sha256) =
            File::open(&path).and_then(hash_of).map_err(|error| format!("its file: {error}"))?;
        if (bytes, sha256) != (manifest.binary_bytes, manifest.binary_sha256) {
            return Err("its file is not what was signed: it was damaged or changed".to_owned());
        }
        Ok(manifest)
    }

    /// Goes on with a file on its way, or begins. What does not agree with its sums is cut off.
    ///
    /// # Errors
    /// Why the system refuses.
    pub fn resume(&self, manifest: &Manifest) -> io::Result<Download> {
        self.make()?;
        let [part, sums] = self.names(manifest);
        let open = |path: &Path| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        };
        self.step()?;
        let (mut part, mut sums) = (open(&part)?, open(&sums)?);
        let (mut have, mut summed) = (0_u64, 0_u64);
        let (mut record, mut bytes) = ([0; SUM_BYTES], Vec::new());
        while sums.read_exact(&mut record).is_ok() {
            let (length, sum) = (number(&record, 0), number(&record, 4));
            let is_one = (1..=PART_BYTES).contains(&length)
                && have.saturating_add(length.into()) <= manifest.file_bytes;
            bytes.clear();
            let read = if is_one {
                Read::by_ref(&mut part).take(length.into()).read_to_end(&mut bytes)?
            } else {
                0
            };
            if !is_one || u64::try_from(read) != Ok(length.into()) || crc32c::crc32c(&bytes) != sum {
                break;
            }
            have = have.saturating_add(length.into());
            summed = summed.saturating_add(u64::try_from(SUM_BYTES).unwrap_or(0));
        }
        self.step()?;
        part.set_len(have)?;
        self.step()?;
        sums.set_len(summed)?;
        part.seek(SeekFrom::Start(have))?;
        sums.seek(SeekFrom::Start(summed))?;
        Ok(Download { part, sums, have, unsynced: 0 })
    }

    /// Adds the part that comes next.
    ///
    /// # Errors
    /// Why the system refuses: [`Shelf::resume`] then says what is there.
    pub fn add(&self, download: &mut Download, bytes: &[u8]) -> io::Result<()> {
        self.write(&mut download.part, bytes)?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let record = [length.to_be_bytes(), crc32c::crc32c(bytes).to_be_bytes()].concat();
        self.write(&mut download.sums, &record)?;
        download.have = download.have.saturating_add(length.into());
        download.unsynced = download.unsynced.saturating_add(length.into());
        if download.unsynced >= SYNC_EVERY {
            self.step()?;
            download.part.sync_data()?;
            self.step()?;
            download.sums.sync_data()?;
            download.unsynced = 0;
        }
        Ok(())
    }

    /// Makes the program of a file that is whole.
    ///
    /// # Errors
    /// [`NotMade`].
    pub fn make_program(&self, manifest: &Manifest) -> Result<(), NotMade> {
        let [part, _] = self.names(manifest);
        let mut file = File::open(&part)?;
        let (bytes, sha256) = hash_of(file.try_clone()?)?;
        if (bytes, sha256) != (manifest.file_bytes, manifest.file_sha256) {
            return Err(NotMade::Other("what came is not the file that was signed"));
        }
        file.seek(SeekFrom::Start(0))?;
        let beside = self.directory.join("program.new");
        let mut out = self.write_new(&beside, 0o700)?;
        let made = self.inflate(file, &mut out, manifest.binary_bytes)?;
        if made != Some(manifest.binary_sha256) {
            return Err(NotMade::Other("its file does not hold the program that was signed"));
        }
        self.step()?;
        out.sync_all()?;
        drop(out);
        self.step()?;
        fs::rename(&beside, self.program(manifest.binary_sha256))?;
        Ok(self.sync_directory()?)
    }

    /// Inflates, and hashes what comes out; `None` where it is not of this size.
    fn inflate(&self, mut from: File, to: &mut File, most: u64) -> io::Result<Option<Sha256>> {
        let mut state = InflateState::new_boxed(DataFormat::Raw);
        let (mut input, mut output) = (vec![0; PIECE], vec![0; PIECE]);
        let (mut hash, mut made) = (Context::new(&SHA256), 0_u64);
        loop {
            let read = from.read(&mut input)?;
            let mut rest = input.get(..read).unwrap_or_default();
            loop {
                let step = inflate(&mut state, rest, &mut output, MZFlush::None);
                let has_moved = step.bytes_consumed > 0 || step.bytes_written > 0;
                let out = output.get(..step.bytes_written).unwrap_or_default();
                made = made.saturating_add(u64::try_from(out.len()).unwrap_or(u64::MAX));
                if made > most {
                    return Ok(None);
                }
                hash.update(out);
                self.write(to, out)?;
                rest = rest.get(step.bytes_consumed..).unwrap_or_default();
                match step.status {
                    Ok(MZStatus::StreamEnd) => {
                        let is_all = rest.is_empty() && made == most && from.read(&mut input)? == 0;
                        return Ok(is_all.then(|| Sha256::from_digest(&hash.finish())));
                    }
                    Ok(_) if has_moved => {}
                    // It wants more than there is in this piece.
                    Ok(_) | Err(MZError::Buf) if rest.is_empty() => break,
                    Ok(_) | Err(_) => return Ok(None),
                }
            }
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Removes everything that nobody needs any more.
    ///
    /// # Errors
    /// Why the system refuses; what is left is in nobody's way.
    pub fn tidy(&self, ledger: &Ledger) -> io::Result<()> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut stays: Vec<String> = ledger.programs().iter().map(ToString::to_string).collect();
        stays.push(LEDGER.to_owned());
        let wanted = ledger.wanted.as_ref().and_then(Kept::manifest);
        let is_made = wanted.as_ref().is_some_and(|wanted| self.program(wanted.binary_sha256).exists());
        if let Some(wanted) = wanted.filter(|_| !is_made) {
            let [part, sums] =
                self.names(&wanted).map(|path| path.file_name().unwrap_or_default().to_owned());
            stays.extend([part, sums].map(|name| name.to_string_lossy().into_owned()));
        }
        for entry in entries {
            let entry = entry?;
            if !stays.iter().any(|name| entry.file_name() == name.as_str()) {
                self.step()?;
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
        }
        Ok(())
    }

    /// Gives up a file on its way.
    pub fn drop_download(&self, manifest: &Manifest) {
        for path in self.names(manifest) {
            // One that stays is tidied away later.
            let _ = fs::remove_file(path);
        }
    }

    fn names(&self, manifest: &Manifest) -> [PathBuf; 2] {
        ["part", "sums"].map(|end| self.directory.join(format!("{}.{end}", manifest.file_sha256)))
    }

    fn make(&self) -> io::Result<()> {
        self.step()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)
    }

    fn write_new(&self, path: &Path, mode: u32) -> io::Result<File> {
        self.step()?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.power.is_cut() {
            // Some of it came to flash.
            file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(testing::gone());
        }
        file.write_all(bytes)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.step()?;
        File::open(&self.directory)?.sync_all()
    }

    /// Before each step that changes flash: here tests cut the power.
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.power.is_cut() {
            return Err(testing::gone());
        }
        Ok(())
    }
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// The system refuses: another try may fare better.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// It is not what was signed.
    #[error("{0}")]
    Other(&'static str),
}

fn number(record: &[u8; SUM_BYTES], at: usize) -> u32 {
    let bytes = record.get(at..).and_then(<[u8]>::first_chunk::<4>).copied();
    u32::from_be_bytes(bytes.unwrap_or_default())
}

fn hash_of(mut file: File) -> io::Result<(u64, Sha256)> {
    let (mut hash, mut bytes, mut piece) = (Context::new(&SHA256), 0_u64, vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece)?;
        let Some(some) = piece.get(..read).filter(|some| !some.is_empty()) else { break };
        hash.update(some);
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok((bytes, Sha256::from_digest(&hash.finish())))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
