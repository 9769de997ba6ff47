//! `release` and `upgrade`: keys and signing on the builder's machine, and what head office does with what was signed there.

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tawi_shared::Clock;
use tawi_shared::release::{BINARY_BYTES, FILE_BYTES, KEY_FORM, Manifest, Mark, Sha256, SigningKey, Version};
use tawi_shared::wire::ReleaseStanding;

use super::output::Output;
use super::release_arguments::{ReleaseCommand, SignArguments, UpgradeCommand};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::ids::{IdSource, SiteId};
use crate::releases::rollout::{self, NewRollout, Started};
use crate::releases::{Release, Rollout, RolloutSite, Standing, files, store};
use crate::web::display;

/// How the private key begins in its file.
const PRIVATE_FORM: &str = "tawiprivate1.";
const PRIVATE_FILE: &str = "release.key";
const PUBLIC_FILE: &str = "release.pub";
/// Sites that are named in a warning.
const NAMED: usize = 3;
/// A key and some words.
const KEY_BYTES: u64 = 4_096;
/// As small as it becomes: a release is made once and paid for by each site.
const COMPRESSION: u8 = 10;
/// How wide the picture of a wave is.
const BAR: usize = 30;

/// Makes the key that signs releases.
pub(super) fn new_key(directory: &Path, output: Output) -> Result<(), Failure> {
    let mut seed = [0; 32];
    IdSource::system().fill(&mut seed);
    let key =
        SigningKey::from_seed(&seed).ok_or_else(|| Failure::refused("no key can be made on this machine"))?;
    let public = key.public().to_text();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let text = format!(
        "# Signs releases of Tawi's agent. Whoever has it can run programs at every site that trusts it:\n\
         # keep it off head office's server, and a copy of it in a drawer.\n{PRIVATE_FORM}{}\n",
        URL_SAFE_NO_PAD.encode(seed)
    );
    write_new(&directory.join(PRIVATE_FILE), text.as_bytes(), 0o600)?;
    write_new(&directory.join(PUBLIC_FILE), format!("{public}\n").as_bytes(), 0o644)?;
    let words = format!(
        "{}\n  signs releases. Keep it off head office's server: who has it can run programs at every site.\n\
         At head office, in controller.toml, for devices that are enrolled from now on:\n  [upgrade]\n  release_key = \"{public}\"\n\
         At sites that are enrolled already, in agent.toml:\n  [upgrade]\n  release_keys = [\"{public}\"]",
        directory.join(PRIVATE_FILE).display()
    );
    output.say(&words, &json!({"private_key_file": directory.join(PRIVATE_FILE), "release_key": public}))
}

/// A file that was not there.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| taken(path, &error))?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Why a new file cannot be made there.
fn taken(path: &Path, error: &io::Error) -> Failure {
    let cure = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "it is not overwritten: name another, or move it away if it is really not needed"
        }
        _ => "name a place that you may write to",
    };
    Failure::refused(format!("{}: {error}\n  cure: {cure}", path.display()))
}

fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    let unusable = |why: &str| {
        let cure = "name the file release.key that tawi-controller release new-key made";
        Failure::refused(format!("{}: {why}\n  cure: {cure}", path.display()))
    };
    let file = File::open(path).map_err(|error| unusable(&error.to_string()))?;
    let mode = file.metadata()?.mode();
    let mut text = String::new();
    file.take(KEY_BYTES).read_to_string(&mut text).map_err(|_| unusable("it is no text"))?;
    if text.lines().any(|line| line.trim().starts_with(KEY_FORM)) {
        let private = path.with_file_name(PRIVATE_FILE);
        return Err(Failure::refused(format!(
            "{}: this is the public half of the key, which signs nothing\n  cure: name the private half, which release new-key made \
             beside it: {}",
            path.display(),
            private.display()
        )));
    }
    if mode & 0o077 != 0 {
        let cure = format!("chmod 600 {}", path.display());
        return Err(Failure::refused(format!(
            "{}: others can read the private key\n  cure: {cure}",
            path.display()
        )));
    }
    let word = text.lines().find_map(|line| line.trim().strip_prefix(PRIVATE_FORM));
    let seed: Option<[u8; 32]> = word.and_then(|word| URL_SAFE_NO_PAD.decode(word).ok()?.try_into().ok());
    seed.and_then(|seed| SigningKey::from_seed(&seed))
        .ok_or_else(|| unusable("there is no private key in it"))
}

/// Signs a program.
pub(super) fn sign(arguments: &SignArguments, output: Output) -> Result<(), Failure> {
    let SignArguments { key, binary, out, oldest_version, allow_downgrade } = arguments;
    let key = read_key(key)?;
    let oldest_version: Version =
        oldest_version.parse().map_err(|error| Failure::refused(format!("--oldest-version: {error}")))?;
    // Compressing takes a while: what stands in the way is said before.
    if out.symlink_metadata().is_ok() {
        return Err(taken(out, &io::ErrorKind::AlreadyExists.into()));
    }
    let program = read_program(binary)?;
    let mark = Mark::find(&program).ok_or_else(|| {
        let cure = "name the program that cargo built, target/…/release/tawi-agent";
        Failure::refused(format!("{}: this is no program of the agent\n  cure: {cure}", binary.display()))
    })?;
    output.tell(&format!(
        "compressing {} of {} for {} …",
        display::bytes(length(&program)),
        mark.version,
        mark.target
    ));
    let file = miniz_oxide::deflate::compress_to_vec(&program, COMPRESSION);
    if length(&file) > FILE_BYTES {
        return Err(Failure::refused(format!("{}: it is larger than a release may be", binary.display())));
    }
    let manifest = Manifest {
        version: mark.version,
        target: mark.target,
        binary_bytes: length(&program),
        binary_sha256: Sha256::of(&program),
        file_bytes: length(&file),
        file_sha256: Sha256::of(&file),
        created_at_ms: Clock::system().now().0,
        oldest_version,
        store_format: mark.store_format,
        protocol_oldest: mark.protocol_oldest,
        protocol_newest: mark.protocol_newest,
        allow_downgrade: *allow_downgrade,
    };
    let signed = key.sign(&manifest);
    write_new(out, &[signed.file_head(), file].concat(), 0o644)?;
    let words = format!(
        "{}: {} for {}, {} on the line\n  at head office: tawi-controller release add {}",
        out.display(),
        manifest.version,
        manifest.target,
        display::bytes(manifest.file_bytes),
        out.file_name().unwrap_or_default().to_string_lossy(),
    );
    output.say(&words, &json!({"file": out, "manifest": manifest, "release_key": key.public()}))
}

fn read_program(path: &Path) -> Result<Vec<u8>, Failure> {
    let bad = |why: String| Failure::refused(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| bad(error.to_string()))?;
    let mut program = Vec::new();
    file.take(BINARY_BYTES.saturating_add(1))
        .read_to_end(&mut program)
        .map_err(|error| bad(error.to_string()))?;
    if length(&program) > BINARY_BYTES {
        return Err(bad(format!(
            "it is larger than {}: build it with --release",
            display::bytes(BINARY_BYTES)
        )));
    }
    Ok(program)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Shell {
    pub(super) async fn release(&self, command: ReleaseCommand) -> Result<(), Failure> {
        match command {
            ReleaseCommand::NewKey { out } => new_key(&out, self.output),
            ReleaseCommand::Sign(arguments) => sign(&arguments, self.output),
            ReleaseCommand::Add { file } => self.add_release(&file).await,
            ReleaseCommand::List => self.list_releases().await,
            ReleaseCommand::Remove { release } => self.remove_release(&release).await,
        }
    }

    async fn add_release(&self, path: &Path) -> Result<(), Failure> {
        let room = &self.controller.releases;
        let key = room.key().ok_or_else(|| {
            let cure = "write release_key = \"tawikey1.…\" under [upgrade] in controller.toml, as tawi-controller release new-key showed it";
            Failure::refused(format!("no release key is known here\n  cure: {cure}"))
        })?;
        let directory = room.directory().ok_or_else(|| Failure::refused("there is no data directory"))?;
        let (signed, manifest) = files::take(path, directory, key)
            .map_err(|error| Failure::refused(format!("{error}\n  cure: {}", error.cure())))?;
        let release = Release { signed, manifest, added_at: self.controller.clock.now() };
        let (version, target) = (release.manifest.version.to_string(), release.manifest.target.clone());
        let mut transaction = self.controller.database.write().await?;
        let known = store::releases_of(&mut transaction, &version).await?;
        let is_same = |known: &Release| known.file() == release.file() && known.signed == release.signed;
        if known.iter().any(is_same) {
            return self.output.say(&format!("{version} for {target} is here already"), &described(&release));
        }
        if !store::insert_release(&mut transaction, &release).await? {
            files::remove(directory, release.file())?;
            let cure = format!(
                "give the next one another version, or remove that: tawi-controller release remove {version}"
            );
            return Err(Failure::refused(format!("another {version} for {target} is here\n  cure: {cure}")));
        }
        let detail = format!("{target}, {}", release.file());
        self.commit(transaction, (Action::ReleaseAdded, &version, &detail)).await?;
        let words = format!(
            "{version} for {target} is here; bring it to the sites: tawi-controller upgrade start {version}"
        );
        self.output.say(&words, &described(&release))
    }

    async fn list_releases(&self) -> Result<(), Failure> {
        let releases = store::releases(&mut *self.controller.database.read().await?).await?;
        let mut words = String::new();
        for release in &releases {
            let Manifest { version, target, file_bytes, .. } = &release.manifest;
            let _ = writeln!(
                words,
                "{version:<12} {target:<22} {:>10}  since {}",
                display::bytes(*file_bytes),
                display::with_zone(release.added_at)
            );
        }
        if releases.is_empty() {
            words += "no releases are here yet: tawi-controller release add --help";
        }
        self.output.say(words.trim_end(), &releases.iter().map(described).collect::<Vec<_>>())
    }

    async fn remove_release(&self, version: &str) -> Result<(), Failure> {
        let mut transaction = self.controller.database.write().await?;
        let releases = store::releases_of(&mut transaction, version).await?;
        if releases.is_empty() {
            return Err(Failure::refused(format!(
                "there is no {version} here: tawi-controller release list"
            )));
        }
        let newest = store::newest_rollout(&mut transaction).await?;
        if newest.is_some_and(|newest| newest.standing.is_open() && newest.version == version) {
            let cure = "tawi-controller upgrade stop";
            return Err(Failure::refused(format!("{version} goes out to sites now\n  cure: {cure}")));
        }
        store::delete_releases(&mut transaction, version).await?;
        self.commit(transaction, (Action::ReleaseRemoved, version, "")).await?;
        for release in &releases {
            if let Some(directory) = self.controller.releases.directory() {
                files::remove(directory, release.file())?;
            }
        }
        self.output
            .say(&format!("{version} is removed"), &json!({"version": version, "removed": releases.len()}))
    }

    pub(super) async fn upgrade(&self, command: UpgradeCommand) -> Result<(), Failure> {
        match command {
            UpgradeCommand::Start { release, waves, soak, sites } => {
                self.start_upgrade(NewRollout { version: release, waves, soak, sites }).await
            }
            UpgradeCommand::Status => self.upgrade_status().await,
            UpgradeCommand::Pause => self.change_upgrade(Standing::Paused).await,
            UpgradeCommand::Resume => self.change_upgrade(Standing::Running).await,
            UpgradeCommand::Stop => self.change_upgrade(Standing::Stopped).await,
        }
    }

    async fn start_upgrade(&self, new: NewRollout) -> Result<(), Failure> {
        let (version, now) = (new.version.clone(), self.controller.clock.now());
        let mut transaction = self.controller.database.write().await?;
        let by = (&self.actor, &self.controller.ids);
        let refused = match rollout::start(&mut transaction, new, by, now).await? {
            Started::Started(rollout) => {
                let sites = store::rollout_sites(&mut transaction, rollout.number).await?;
                let newer = rollout::newer_than(&mut transaction, &rollout).await?;
                transaction.commit().await?;
                if let Some(warning) = warning_of(&version, &newer) {
                    self.output.tell(&warning);
                }
                return self.output.say(&picture(&rollout, &sites), &value(&rollout, &sites));
            }
            Started::NoSuchRelease => format!("there is no {version} here\n  cure: tawi-controller release add FILE.release"),
            Started::AnotherRuns(number) => {
                format!("rollout {number} is not over\n  cure: tawi-controller upgrade status, and upgrade stop if it is to end")
            }
            Started::BadWaves => "waves are up to 8 growing shares of the sites that end with 100, and are watched for 30 days at most\n  cure: --waves 1,10,100 --soak 24h".to_owned(),
            Started::NoSuchSite(site) => format!("there is no site {site}, or it is shut out\n  cure: tawi-controller site list"),
            Started::NoSites => "there are no sites\n  cure: tawi-controller site add --help".to_owned(),
        };
        Err(Failure::refused(refused))
    }

    async fn upgrade_status(&self) -> Result<(), Failure> {
        let mut connection = self.controller.database.read().await?;
        let Some(rollout) = store::newest_rollout(&mut connection).await? else {
            return self
                .output
                .say("nothing went out yet: tawi-controller upgrade start --help", &Value::Null);
        };
        let sites = store::rollout_sites(&mut connection, rollout.number).await?;
        self.output.say(&picture(&rollout, &sites), &value(&rollout, &sites))
    }

    async fn change_upgrade(&self, to: Standing) -> Result<(), Failure> {
        let mut transaction = self.controller.database.write().await?;
        let by = (&self.actor, &self.controller.ids);
        let now = self.controller.clock.now();
        let newest = store::newest_rollout(&mut transaction).await?.map_or(0, |newest| newest.number);
        let Some(rollout) = rollout::change(&mut transaction, (newest, to), by, now).await? else {
            return Err(Failure::refused(
                "there is no rollout that this can be done to\n  cure: tawi-controller upgrade status",
            ));
        };
        let sites = store::rollout_sites(&mut transaction, rollout.number).await?;
        transaction.commit().await?;
        self.output.say(&picture(&rollout, &sites), &value(&rollout, &sites))
    }
}

/// What is said of sites that run a newer version than goes out.
fn warning_of(version: &str, newer: &[SiteId]) -> Option<String> {
    let mut named: Vec<String> = newer.iter().take(NAMED).map(ToString::to_string).collect();
    match newer.len().saturating_sub(NAMED) {
        _ if named.is_empty() => return None,
        0 => {}
        more => named.push(format!("{more} more")),
    }
    Some(format!(
        "WARNING: newer than {version} is what runs at {}: they will refuse it, which stops the rollout\n  cure: tawi-controller \
         upgrade stop, then start it with --sites for the others; or sign {version} with --allow-downgrade and add it again",
        named.join(", ")
    ))
}

fn described(release: &Release) -> Value {
    json!({"manifest": release.manifest, "added_at_ms": release.added_at.0})
}

fn standing_of(site: &RolloutSite, wave: usize) -> &'static str {
    match site.standing {
        Some(standing) => standing.as_str(),
        None if site.is_too_old() => "cannot: its agent is too old, install the newer package by hand",
        None if site.wave > wave => "waits for its wave",
        None if site.is_online => "is told",
        None => "is dark",
    }
}

fn value(rollout: &Rollout, sites: &[RolloutSite]) -> Value {
    let site = |site: &RolloutSite| {
        json!({
            "site": site.site, "wave": site.wave, "is_online": site.is_online, "have_bytes": site.have_bytes,
            "standing": standing_of(site, rollout.wave), "detail": site.detail, "changed_at_ms": site.changed_at.0,
        })
    };
    json!({
        "number": rollout.number, "version": rollout.version, "standing": rollout.standing, "why": rollout.why,
        "waves": rollout.waves, "wave": rollout.wave, "soak_seconds": rollout.soak.as_secs(),
        "started_by": rollout.started_by, "started_at_ms": rollout.started_at.0, "changed_at_ms": rollout.changed_at.0,
        "sites": sites.iter().map(site).collect::<Vec<_>>(),
    })
}

/// How it stands, since when, and when it was started.
fn heading(rollout: &Rollout) -> String {
    let (standing, at) = (rollout.standing.as_str(), display::with_zone);
    let why = if rollout.why.is_empty() { String::new() } else { format!(": {}", rollout.why) };
    let since = match rollout.standing {
        // A wave that begins changes nothing of how it stands.
        Standing::Running if rollout.changed_at <= rollout.wave_began_at => String::new(),
        _ => format!(" since {}", at(rollout.changed_at)),
    };
    let (version, started, by) = (&rollout.version, at(rollout.started_at), &rollout.started_by);
    format!("{version} {standing}{since}{why}; started {started} by {by}\n")
}

/// A bar for each wave, and a line for each site that was told.
fn picture(rollout: &Rollout, sites: &[RolloutSite]) -> String {
    let mut text = heading(rollout);
    for (wave, percent) in rollout.waves.iter().enumerate() {
        let all: Vec<_> = sites.iter().filter(|site| site.wave == wave).collect();
        let count = |wanted: &[ReleaseStanding]| {
            all.iter().filter(|site| site.standing.is_some_and(|standing| wanted.contains(&standing))).count()
        };
        let verified = count(&[ReleaseStanding::Verified]);
        let failed = count(&[ReleaseStanding::RolledBack, ReleaseStanding::Refused]);
        let width = |part: usize| part.saturating_mul(BAR).checked_div(all.len()).unwrap_or_default();
        let (done, bad) = (width(verified), width(failed));
        let rest = BAR.saturating_sub(done).saturating_sub(bad);
        let bar = format!("{}{}{}", "#".repeat(done), "x".repeat(bad), ".".repeat(rest));
        let begun = if wave > rollout.wave { ", not begun" } else { "" };
        let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
        let _ = writeln!(
            text,
            "wave {} {percent:>3} % [{bar}] {verified} of {} verified{failed}{begun}",
            wave.saturating_add(1),
            all.len()
        );
    }
    for site in sites.iter().filter(|site| site.wave <= rollout.wave) {
        let detail = if site.detail.is_empty() { String::new() } else { format!(": {}", site.detail) };
        let have = match site.standing {
            Some(ReleaseStanding::Downloading) => format!(", {} here", display::bytes(site.have_bytes)),
            _ => String::new(),
        };
        let _ = writeln!(text, "  {:<24} {}{have}{detail}", site.site, standing_of(site, rollout.wave));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::TemporaryDirectory;

    #[test]
    fn a_key_is_made_once_and_signs_what_says_what_it_is() {
        let directory = TemporaryDirectory::new();
        let (keys, output) = (directory.path().join("keys"), Output { is_json: true });
        new_key(&keys, output).unwrap();
        let mode = fs::metadata(keys.join(PRIVATE_FILE)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let before = fs::read(keys.join(PRIVATE_FILE)).unwrap();
        assert!(
            matches!(new_key(&keys, output), Err(Failure::Refused(words)) if words.contains("not overwritten"))
        );
        assert_eq!(fs::read(keys.join(PRIVATE_FILE)).unwrap(), before);
        let binary = directory.path().join("tawi-agent");
        let mark = format!("{}0.2.0/x86_64-linux-gnu/1/1-3;", tawi_shared::release::MARK_BEGIN);
        fs::write(&binary, [b"\x7fELF".repeat(1_000), mark.into_bytes()].concat()).unwrap();
        let signing = |out: &str| SignArguments {
            key: keys.join(PRIVATE_FILE),
            binary: binary.clone(),
            out: directory.path().join(out),
            oldest_version: "0.1.0".into(),
            allow_downgrade: false,
        };
        sign(&signing("a.release"), output).unwrap();
        let public =
            tawi_shared::release::ReleaseKey::parse(&fs::read_to_string(keys.join(PUBLIC_FILE)).unwrap())
                .unwrap();
        let kept = directory.path().join("releases");
        let (_, manifest) = files::take(&directory.path().join("a.release"), &kept, &public).unwrap();
        assert_eq!(
            (manifest.version.to_string().as_str(), manifest.target.as_str()),
            ("0.2.0", "x86_64-linux-gnu")
        );
        assert!(manifest.file_bytes < 200 && manifest.binary_bytes > 4_000);
        assert!(matches!(sign(&signing("a.release"), output), Err(Failure::Refused(_))), "not overwritten");
        let refused = |outcome: Result<(), Failure>| match outcome {
            Err(Failure::Refused(words)) => words,
            other => panic!("{other:?}"),
        };
        let public_half = SignArguments { key: keys.join(PUBLIC_FILE), ..signing("b.release") };
        let words = refused(sign(&public_half, output));
        assert!(words.contains("public half") && words.ends_with("keys/release.key"), "{words}");
        let stranger = SigningKey::from_seed(&[9; 32]).unwrap().public();
        for (file, key, cure) in
            [("a.release", &stranger, "public half is release_key"), ("none", &public, "release sign made")]
        {
            let error = files::take(&directory.path().join(file), &kept, key).unwrap_err();
            assert!(error.cure().contains(cure), "{error}: {}", error.cure());
        }
        fs::write(&binary, b"\x7fELF").unwrap();
        assert!(
            matches!(sign(&signing("b.release"), output), Err(Failure::Refused(words)) if words.contains("no program of the agent"))
        );
    }

    #[test]
    fn sites_that_will_refuse_are_named_up_to_three() {
        let newer: Vec<SiteId> = (1..=5).map(|at| SiteId::parse(&format!("site-{at}")).unwrap()).collect();
        assert_eq!(warning_of("0.2.0", &[]), None);
        let said = |count: usize| warning_of("0.2.0", &newer[..count]).unwrap();
        assert!(said(1).contains("runs at site-1: they"), "{}", said(1));
        assert!(said(5).contains("runs at site-1, site-2, site-3, 2 more: they"), "{}", said(5));
    }

    #[test]
    fn how_a_rollout_stands_has_its_start_and_its_last_change() {
        let at = |minutes: i64| tawi_shared::UnixMillis(1_795_555_800_000 + minutes * 60_000);
        let rollout = |standing, why: &str, wave_began, changed| Rollout {
            number: 1,
            version: "0.2.0".into(),
            waves: vec![100],
            soak: std::time::Duration::from_secs(1),
            standing,
            why: why.into(),
            wave: 0,
            wave_began_at: at(wave_began),
            started_by: "cli:amina".into(),
            started_at: at(0),
            changed_at: at(changed),
        };
        let check = |rollout: Rollout, expected: &str| {
            let told = heading(&rollout).replace("2026-11-25 ", "").replace(":00 EAT", "");
            assert_eq!(told, format!("0.2.0 {expected}; started 00:30 by cli:amina\n"));
        };
        check(rollout(Standing::Running, "", 0, 0), "running");
        check(rollout(Standing::Running, "", 5, 5), "running");
        check(rollout(Standing::Running, "", 5, 9), "running since 00:39");
        check(rollout(Standing::Paused, "", 5, 7), "paused since 00:37");
        check(rollout(Standing::Stopped, "by cli:amina", 0, 12), "stopped since 00:42: by cli:amina");
        check(rollout(Standing::Done, "", 5, 20), "done since 00:50");
    }
}
