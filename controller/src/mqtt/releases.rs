//! What sites are told of releases, the parts that they ask for, and what they say of how they stand.
//!
//! A site is given parts of the release that it is to run and of nothing else, one for each batch of messages, and all sites together
//! no more than [`PARTS_A_SECOND`]: what is not given is asked for again. A part is read from the file where it is, after the
//! commit, so that neither the writer nor memory has anything to do with how large a release is.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::release::{PART_BYTES, Sha256};
use tawi_shared::topics::Down;
use tawi_shared::wire::{
    self, PROTOCOL_RELEASES, RELEASES_TOGETHER, ReleasePartV1, ReleasePartWantedV1, ReleaseStandingV1,
    SignedReleaseV1, WantedReleaseV1,
};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::LinkError;
use super::connection::Pipe;
use super::intake::{Effects, Memory};
use super::watched::Spoken;
use crate::database::Connection;
use crate::ids::{IdSource, SiteId};
use crate::live::Hint;
use crate::releases::{Release, ReleaseRoom, files, rollout, store};

/// Parts that all sites together are given in a second: 4 MB, so that payments have the disk and the line.
const PARTS_A_SECOND: u32 = 256;
/// How long a site that is connected has to say how it stands before it is told again.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How many parts were given in the running second.
#[derive(Debug, Default)]
pub(super) struct Pace {
    second: Option<Instant>,
    given: u32,
}

impl Pace {
    fn spend(&mut self) -> bool {
        let now = Instant::now();
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.given) = (Some(now), 0);
        }
        self.given = self.given.saturating_add(1);
        self.given <= PARTS_A_SECOND
    }
}

/// Topic and envelope that say what a site is to run; without releases, that nothing is wanted.
pub(super) fn message(
    site: &SiteId,
    asked: u64,
    releases: &[Release],
) -> Result<(String, Vec<u8>), LinkError> {
    let signed = |release: &Release| SignedReleaseV1 {
        manifest: release.signed.manifest.clone(),
        signature: release.signed.signature.clone(),
    };
    let releases = releases.iter().take(RELEASES_TOGETHER).map(signed).collect();
    let envelope = wire::encode(&WantedReleaseV1 { asked, releases }, 0, 0, 0)
        .map_err(|source| LinkError::Encoding { site: site.clone(), source })?;
    Ok((Down::Command.topic(site), envelope))
}

/// Tells a site that said hello what it is to run. One of before protocol 3 would not know the word.
pub(super) async fn tell(
    connection: &mut Connection,
    site: &SiteId,
    protocol: u16,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    if protocol < PROTOCOL_RELEASES {
        return Ok(());
    }
    if let Some((asked, releases)) = store::wanted_of(connection, site).await? {
        effects.messages.push(message(site, asked, &releases)?);
    }
    Ok(())
}

/// Notes that a site asks for a part.
pub(super) async fn take_part_wanted(
    connection: &mut Connection,
    site: &SiteId,
    wanted: &ReleasePartWantedV1,
    effects: &mut Effects,
) -> Result<(), LinkError> {
    let known = store::wanted_of(connection, site).await?;
    let is_theirs = |release: &Release| release.file().0 == wanted.file_sha256;
    if known.is_some_and(|(_, releases)| releases.iter().any(is_theirs)) {
        effects.parts.insert(site.clone(), wanted.clone());
        return Ok(());
    }
    tracing::info!(site.id = %site, "a site asks for part of a release that it is not to run");
    let none = ReleasePartV1 { file_sha256: wanted.file_sha256, offset: wanted.offset, bytes: Vec::new() };
    effects.send(site, Down::Command, &none)
}

/// Notes how a site stands.
pub(super) async fn take_standing(
    connection: &mut Connection,
    site: &SiteId,
    said: &ReleaseStandingV1,
    (ids, now): (&IdSource, UnixMillis),
    effects: &mut Effects,
) -> Result<(), LinkError> {
    rollout::heard(connection, site, said, ids, now).await?;
    effects.hints.push(Hint::Site(site.clone()));
    Ok(())
}

/// Gives the parts that were asked for.
pub(super) async fn serve(room: &ReleaseRoom, memory: &mut Memory, effects: &mut Effects, pipe: &Pipe) {
    for (site, wanted) in std::mem::take(&mut effects.parts) {
        if !memory.parts.spend() {
            tracing::debug!(site.id = %site, "more parts of releases are asked for than are given; it asks again");
            continue;
        }
        let Some(part) = read(room, &site, wanted).await else { continue };
        let Ok(envelope) = wire::encode(&part, 0, 0, 0) else { continue };
        if !pipe.publish_lightly(Down::Command.topic(&site), envelope).await {
            return;
        }
    }
}

/// A file that is not there is said so; what else the disk has against it may be over when the site asks again.
async fn read(room: &ReleaseRoom, site: &SiteId, wanted: ReleasePartWantedV1) -> Option<ReleasePartV1> {
    let directory = room.directory()?.to_path_buf();
    let ReleasePartWantedV1 { file_sha256, offset, length } = wanted;
    let reading = move || files::part(&directory, Sha256(file_sha256), offset, length.min(PART_BYTES));
    match spawn_blocking(reading).await {
        Ok(Ok(bytes)) => Some(ReleasePartV1 { file_sha256, offset, bytes }),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            tracing::error!(site.id = %site, %error, "the file of a release is gone; add it again: tawi-controller release add");
            Some(ReleasePartV1 { file_sha256, offset, bytes: Vec::new() })
        }
        Ok(Err(error)) => {
            tracing::error!(site.id = %site, %error, "a part of a release cannot be read");
            None
        }
        Err(error) => {
            tracing::error!(site.id = %site, %error, "a part of a release cannot be read");
            None
        }
    }
}

/// Tells sites that are connected what they are to run, or that they need not any more, as far as they do not know.
pub(super) async fn tell_connected(
    connection: &mut Connection,
    (pipe, spoken): (&Pipe, &Spoken),
    told: &mut std::collections::HashMap<SiteId, (u64, Instant)>,
) -> Result<(), LinkError> {
    let Some(newest) = store::newest_rollout(connection).await? else { return Ok(()) };
    let unheard = store::unheard(connection).await?;
    let stopped = store::to_be_stopped(connection, newest.number).await?;
    told.retain(|site, _| unheard.contains(site) || stopped.contains(site));
    let now = Instant::now();
    for site in unheard.iter().chain(&stopped) {
        // That nothing is wanted any more is answered with nothing: it is told once for each connection.
        let is_last_word = stopped.contains(site);
        let was_told = told.get(site).is_some_and(|(number, at)| {
            *number == newest.number && (is_last_word || now.duration_since(*at) < PATIENCE)
        });
        if was_told || !spoken.together(site) {
            continue;
        }
        let (topic, envelope) = match store::wanted_of(connection, site).await? {
            Some((asked, releases)) => message(site, asked, &releases)?,
            None => message(site, newest.number, &[])?,
        };
        if !pipe.publish(topic, envelope).await {
            return Ok(());
        }
        told.insert(site.clone(), (newest.number, now));
    }
    Ok(())
}
