//! What is done with the shelf: one step for each errand, and what comes of it as news.
//!
//! It waits for flash, and so runs on a thread of its own (`worker.rs`); it opens no socket and reads no clock. What it cannot
//! put down it says, and does without: the agent that runs is never harmed by a release that cannot be kept.

use std::io::ErrorKind;

use tawi_shared::UnixMillis;
use tawi_shared::release::{BadRelease, Manifest, PART_BYTES, PART_LEAST, Sha256, Signed};
use tawi_shared::wire::ReleaseStanding;
use tracing::{info, warn};

use super::judge::{Facts, refusal};
use super::ledger::{Failed, Kept, Ledger};
use super::shelf::{Download, NotMade, Shelf};
use super::starts::Starts;
use super::{Build, Due, Errand, News, Standing, UpgradeConfig};
use crate::outbox::free_bytes;

/// What is said where no key is known.
const NO_KEY: &str = "no release key is known here; write release_keys = [\"tawikey1.…\"] under [upgrade] in agent.toml: head office's builder has the key";
const AS_INSTALLED: &str = "this version runs already, as the package installed it";
const ANOTHER_OF_THIS_VERSION: &str =
    "another program of this very version runs here; give each release a version of its own";
/// How long a start says what was gone back from, unless head office wants something else.
const TOLD_FOR_MS: i64 = 24 * 60 * 60 * 1_000;
const NOT_ENABLED: &str =
    "this device takes no release from head office: [upgrade] enabled = false in agent.toml";

/// A release that is being fetched.
#[derive(Debug)]
struct Fetched {
    kept: Kept,
    manifest: Manifest,
    /// `None` once it is a program.
    download: Option<Download>,
}

/// The shelf, and what is known of it.
#[derive(Debug)]
pub struct Books {
    shelf: Shelf,
    starts: Starts,
    ledger: Ledger,
    config: UpgradeConfig,
    build: Build,
    /// The program that runs; `None`: what the package installed.
    running: Option<Sha256>,
    fetched: Option<Fetched>,
    standing: Option<Standing>,
}

impl Books {
    /// Opens them, with what there is to say at once.
    #[must_use]
    pub fn open(
        shelf: Shelf,
        (config, build, running): (UpgradeConfig, Build, Option<Sha256>),
        starts: Starts,
        now: UnixMillis,
    ) -> (Self, Vec<News>) {
        let (ledger, is_known) = match shelf.ledger() {
            Ok(ledger) => (ledger, true),
            Err(error) => {
                warn!(%error, "what is known of releases cannot be read; what runs runs on");
                // What holds nonsense will hold it tomorrow; a disk that does not answer may do so.
                let is_nonsense = matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
                (Ledger::default(), is_nonsense)
            }
        };
        let mut books = Self { shelf, starts, ledger, config, build, running, fetched: None, standing: None };
        if is_known {
            books.tidy();
        }
        let mut news = books.said_of_the_last(now);
        if let Some(trial) = books.ledger.trial.clone().filter(|trial| books.is_running(&trial.release)) {
            books.stand(&trial.release, ReleaseStanding::Trial, String::new());
            news.push(News::Trial(trial.routers));
            news.push(News::Standing(books.standing.clone()));
        }
        (books, news)
    }

    /// One that was gone back from could not say so itself.
    fn said_of_the_last(&mut self, now: UnixMillis) -> Vec<News> {
        let is_news =
            |failed: &&Failed| failed.was_started && now.0.saturating_sub(failed.at_ms) < TOLD_FOR_MS;
        let Some(failed) = self.ledger.failed.last().filter(is_news) else { return Vec::new() };
        self.standing = Some(Standing {
            asked: failed.asked,
            version: failed.version.clone(),
            file: failed.file,
            file_bytes: 0,
            have_bytes: 0,
            standing: ReleaseStanding::RolledBack,
            detail: failed.why.clone(),
        });
        self.say()
    }

    /// Does one errand.
    pub fn run(&mut self, errand: Errand, now: UnixMillis) -> Vec<News> {
        match errand {
            Errand::Want { asked, releases } => self.want(asked, releases, now),
            Errand::Part { file, offset, bytes } => self.part(file, offset, &bytes, now),
            Errand::Start(routers) => self.start(routers, now),
            Errand::Proven => self.proven(),
            Errand::Failed(why) => self.failed(&why, now),
            Errand::Settled => {
                self.starts.forget();
                Vec::new()
            }
        }
    }

    fn want(&mut self, asked: u64, releases: Vec<Signed>, now: UnixMillis) -> Vec<News> {
        let Some(signed) = self.of_this_machine(releases) else { return self.want_nothing() };
        let kept = Kept::new(&signed, asked, None);
        let is_same = self
            .fetched
            .as_ref()
            .is_some_and(|fetched| fetched.kept.asked == asked && fetched.kept.signed() == signed);
        // Told again after each hello: the download goes on where it is.
        if is_same {
            let is_whole = self.fetched.as_ref().is_some_and(|fetched| fetched.download.is_none());
            return if is_whole { self.ready() } else { self.go_on(now) };
        }
        let manifest = match self.judged(&signed) {
            Ok(manifest) => manifest,
            Err(why) => {
                self.give_up();
                self.stand(&kept, ReleaseStanding::Refused, why);
                return self.say();
            }
        };
        if let Some((standing, detail)) = self.known(&manifest, asked) {
            self.give_up();
            self.stand(&kept, standing, detail);
            return self.say();
        }
        let installed = match self.running {
            None => Some(self.build.mark.version.clone()),
            Some(_) => self.ledger.verified.as_ref().and_then(|verified| verified.installed.clone()),
        };
        self.fetch(Kept { installed, ..kept }, manifest, now)
    }

    /// The one for this kind of machine; any, to be refused with words, where there is none.
    fn of_this_machine(&self, mut releases: Vec<Signed>) -> Option<Signed> {
        let target = &self.build.mark.target;
        let is_ours = |signed: &Signed| signed.unverified().is_ok_and(|manifest| manifest.target == *target);
        let at = releases.iter().position(is_ours).unwrap_or_default();
        (at < releases.len()).then(|| releases.swap_remove(at))
    }

    fn want_nothing(&mut self) -> Vec<News> {
        self.give_up();
        self.standing = None;
        if self.ledger.wanted.take().is_some() {
            self.keep();
        }
        self.tidy();
        self.say()
    }

    /// The manifest, if it may be taken here.
    fn judged(&self, signed: &Signed) -> Result<Manifest, String> {
        if !self.config.is_enabled {
            return Err(NOT_ENABLED.to_owned());
        }
        if self.config.keys.is_empty() {
            return Err(NO_KEY.to_owned());
        }
        let manifest = signed.verified(&self.config.keys).map_err(|bad| match bad {
            BadRelease::Stranger => {
                format!("{bad}: [upgrade] release_keys in agent.toml, or what enrolment brought")
            }
            bad => bad.to_string(),
        })?;
        if self.is_known(&manifest) {
            return Ok(manifest);
        }
        let resumed =
            self.fetched.as_ref().filter(|fetched| fetched.manifest.file_sha256 == manifest.file_sha256);
        let have_bytes = resumed.and_then(|fetched| fetched.download.as_ref()).map_or(0, Download::have);
        let place = self.shelf.directory().parent().unwrap_or(self.shelf.directory());
        let facts = Facts { running: &self.build.mark, free_bytes: free_bytes(place).ok(), have_bytes };
        refusal(&manifest, &facts).map_or(Ok(manifest), Err)
    }

    /// Whether it runs already, so that it need not be judged.
    fn is_known(&self, manifest: &Manifest) -> bool {
        self.running == Some(manifest.binary_sha256)
    }

    /// What became of a release already, if anything did.
    fn known(&self, manifest: &Manifest, asked: u64) -> Option<(ReleaseStanding, String)> {
        if self.is_known(manifest) {
            let is_trial = self.ledger.trial.is_some();
            let standing = if is_trial { ReleaseStanding::Trial } else { ReleaseStanding::Verified };
            return Some((standing, String::new()));
        }
        if manifest.version == self.build.mark.version {
            return Some(match self.running {
                None => (ReleaseStanding::Verified, AS_INSTALLED.to_owned()),
                Some(_) => (ReleaseStanding::Refused, ANOTHER_OF_THIS_VERSION.to_owned()),
            });
        }
        let failed = self.ledger.failure(manifest.file_sha256, asked)?;
        let standing =
            if failed.was_started { ReleaseStanding::RolledBack } else { ReleaseStanding::Refused };
        Some((standing, failed.why.clone()))
    }

    fn fetch(&mut self, kept: Kept, manifest: Manifest, now: UnixMillis) -> Vec<News> {
        if self.ledger.wanted.as_ref() != Some(&kept) {
            self.ledger.wanted = Some(kept.clone());
            self.keep();
            self.tidy();
        }
        if self.shelf.look(&kept, &self.config.keys).is_ok() {
            self.fetched = Some(Fetched { kept, manifest, download: None });
            return self.ready();
        }
        match self.shelf.resume(&manifest) {
            Ok(download) => {
                info!(release.version = %manifest.version, release.have = download.have(), "a release is fetched");
                self.fetched = Some(Fetched { kept, manifest, download: Some(download) });
                self.go_on(now)
            }
            Err(error) => self.no_disk(&kept, &error),
        }
    }

    /// The disk is no reason to remember a release as bad: the next telling has it tried again.
    fn no_disk(&mut self, kept: &Kept, error: &std::io::Error) -> Vec<News> {
        warn!(%error, "a release cannot be put on flash");
        self.give_up();
        self.stand(kept, ReleaseStanding::Refused, format!("the disk refuses it: {error}"));
        self.say()
    }

    fn part(&mut self, file: Sha256, offset: u64, bytes: &[u8], now: UnixMillis) -> Vec<News> {
        let Some(fetched) = self.fetched.as_mut().filter(|fetched| fetched.manifest.file_sha256 == file)
        else {
            return Vec::new();
        };
        let Some(download) = fetched.download.as_mut() else { return Vec::new() };
        // One that comes twice or too late is as one that never came. Any news of it would have the part that is due asked for
        // once more while that is on its way, and each part after it twice.
        if offset != download.have() {
            return Vec::new();
        }
        if bytes.is_empty() {
            let kept = fetched.kept.clone();
            self.give_up();
            self.stand(
                &kept,
                ReleaseStanding::Refused,
                "head office does not have its file any more".to_owned(),
            );
            return self.say();
        }
        let left = fetched.manifest.file_bytes.saturating_sub(download.have());
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // So is one of nobody's asking, and one so short that its sums would outgrow it.
        if !(left.min(PART_LEAST.into())..=left.min(PART_BYTES.into())).contains(&length) {
            return Vec::new();
        }
        if let Err(error) = self.shelf.add(download, bytes) {
            let kept = fetched.kept.clone();
            return self.no_disk(&kept, &error);
        }
        self.go_on(now)
    }

    /// Asks for the next part, or makes the program.
    fn go_on(&mut self, now: UnixMillis) -> Vec<News> {
        let Some(fetched) = &self.fetched else { return self.say() };
        let have = fetched.download.as_ref().map_or(0, Download::have);
        let left = fetched.manifest.file_bytes.saturating_sub(have);
        if left > 0 {
            let due = Due { file: fetched.manifest.file_sha256, offset: have, left };
            let kept = fetched.kept.clone();
            self.stand(&kept, ReleaseStanding::Downloading, String::new());
            return vec![News::Standing(self.standing.clone()), News::Due(Some(due))];
        }
        let (kept, manifest) = (fetched.kept.clone(), fetched.manifest.clone());
        match self.shelf.make_program(&manifest) {
            Ok(()) => {
                if let Some(fetched) = self.fetched.as_mut() {
                    fetched.download = None;
                }
                self.tidy();
                self.ready()
            }
            Err(NotMade::Disk(error)) => self.no_disk(&kept, &error),
            Err(NotMade::Other(why)) => {
                warn!(release.version = %manifest.version, release.why = why, "a release is not what was signed");
                self.shelf.drop_download(&manifest);
                self.ledger.fail(&kept, why, false, now);
                self.ledger.wanted = None;
                self.keep();
                self.give_up();
                self.stand(&kept, ReleaseStanding::Refused, why.to_owned());
                self.say()
            }
        }
    }

    fn ready(&mut self) -> Vec<News> {
        if let Some(fetched) = &self.fetched {
            info!(release.version = %fetched.manifest.version, "a release is whole, and is what was signed");
            let kept = fetched.kept.clone();
            self.stand(&kept, ReleaseStanding::Starting, String::new());
        }
        vec![News::Due(None), News::Standing(self.standing.clone()), News::Ready]
    }

    fn start(&mut self, routers: Vec<String>, _now: UnixMillis) -> Vec<News> {
        let Some(fetched) = self.fetched.as_ref().filter(|fetched| fetched.download.is_none()) else {
            return Vec::new();
        };
        let kept = fetched.kept.clone();
        self.ledger.try_next(kept.clone(), routers);
        match self.shelf.keep(&self.ledger) {
            Ok(()) => vec![News::Switch],
            Err(error) => {
                self.ledger.trial = None;
                self.no_disk(&kept, &error)
            }
        }
    }

    fn proven(&mut self) -> Vec<News> {
        let Some(trial) = self.ledger.trial.clone() else { return Vec::new() };
        self.ledger.prove();
        self.ledger.wanted = None;
        if let Err(error) = self.shelf.keep(&self.ledger) {
            // It would be rolled back at the third start from now: it goes on, and is proven once more then.
            warn!(%error, "that a release has proven itself cannot be put down");
        }
        self.tidy();
        info!("the release that was on trial has proven itself");
        self.stand(&trial.release, ReleaseStanding::Verified, String::new());
        self.say()
    }

    fn failed(&mut self, why: &str, now: UnixMillis) -> Vec<News> {
        if self.ledger.trial.is_none() {
            return Vec::new();
        }
        warn!(release.why = why, "the release on trial has not proven itself; the one before runs again");
        self.ledger.fail_trial(why, now);
        self.ledger.wanted = None;
        self.keep();
        vec![News::Switch]
    }

    fn is_running(&self, kept: &Kept) -> bool {
        let program = kept.manifest().map(|manifest| manifest.binary_sha256);
        program.is_some() && program == self.running
    }

    fn stand(&mut self, kept: &Kept, standing: ReleaseStanding, detail: String) {
        let manifest = kept.manifest();
        let file_bytes = manifest.as_ref().map_or(0, |manifest| manifest.file_bytes);
        let download = self.fetched.as_ref().and_then(|fetched| fetched.download.as_ref());
        let have_bytes = match standing {
            ReleaseStanding::Downloading => download.map_or(0, Download::have),
            ReleaseStanding::Refused => 0,
            _ => file_bytes,
        };
        self.standing = Some(Standing {
            asked: kept.asked,
            version: manifest.as_ref().map(|manifest| manifest.version.to_string()).unwrap_or_default(),
            file: manifest.map_or(Sha256([0; 32]), |manifest| manifest.file_sha256),
            file_bytes,
            have_bytes,
            standing,
            detail,
        });
    }

    fn say(&self) -> Vec<News> {
        vec![News::Due(None), News::Standing(self.standing.clone())]
    }

    /// What is on its way stays on flash until something else is wanted.
    fn give_up(&mut self) {
        self.fetched = None;
    }

    fn keep(&self) {
        if let Err(error) = self.shelf.keep(&self.ledger) {
            warn!(%error, "what is known of releases cannot be put down");
        }
    }

    fn tidy(&self) {
        if let Err(error) = self.shelf.tidy(&self.ledger) {
            warn!(%error, "releases that nobody needs cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests;
