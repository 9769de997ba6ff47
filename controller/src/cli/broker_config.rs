//! `broker-config`: what another broker has to be told, and the list of those that it must not let in.
//!
//! A private key is never printed: with `--out` it is written for its owner alone, and one that is there is kept unless
//! it is asked for anew, because a broker that runs with it would be left with half a pair.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde_json::json;

use super::arguments::{BrokerConfigArguments, BrokerKind};
use super::sites::PKI_DIRECTORY;
use super::{Failure, Shell};
use crate::audit::Action;
use crate::broker::external::ExternalBroker;
use crate::broker::external::printed::{About, CA_FILE, CERTIFICATE_FILE, KEY_FILE, Kind, LIST_FILE, files};
use crate::pki::{Revoked, is_certified_for, serial_of};
use crate::sites;

/// Where the files lie at the broker, where nothing else is said.
fn usual_directory(kind: Kind) -> &'static str {
    match kind {
        Kind::Mosquitto => "/etc/mosquitto/tawi",
        Kind::Emqx => "/etc/emqx/tawi",
        Kind::Vernemq => "/etc/vernemq/tawi",
        Kind::Nats => "/etc/nats/tawi",
    }
}

/// The list, and how many certificates cannot be named in it.
struct List {
    pem: String,
    named: usize,
    unnamed: usize,
}

impl Shell {
    pub(super) async fn broker_config(&self, wanted: BrokerConfigArguments) -> Result<(), Failure> {
        if let Some(path) = &wanted.crl {
            let list = self.revocation_list().await?;
            if path.as_os_str() == "-" {
                return self.output.say(list.pem.trim_end(), &json!({"pem": list.pem}));
            }
            write_in_place(path, &list.pem, 0o644)?;
            let words = format!("{} names {} certificates{}", path.display(), list.named, note_of(&list));
            let value = json!({"crl": path, "revoked": list.named, "not_named": list.unnamed});
            return self.output.say(&words, &value);
        }
        let kind = Kind::from(wanted.kind);
        let broker = self.broker_of(&wanted)?;
        let authority = self.config.data_directory.join(PKI_DIRECTORY);
        let is_new = wanted.out.is_some() && !authority.join("ca.pem").exists();
        if !broker.is_tls {
            return Err(Failure::refused(
                "mqtt:// is for a broker on this machine that you set up yourself; what is printed here is for TLS: say --url mqtts://… or change [broker] url",
            ));
        }
        let sites = sites::store::ids_of_admitted(&mut *self.controller.database.read().await?).await?;
        let out = wanted.out.as_deref().map(made).transpose()?;
        let directory = match (&wanted.at, out) {
            (Some(at), _) => at.clone(),
            (None, Some(out)) => out,
            (None, None) => usual_directory(kind).to_owned(),
        };
        if directory.contains(|letter: char| letter.is_control() || letter == '"' || letter == ' ') {
            return Err(Failure::refused(format!(
                "--at: {directory:?}: name a directory without spaces and quotes"
            )));
        }
        let connections = self.config.broker.connections;
        let about = About { broker: &broker, directory: &directory, connections, sites: &sites };
        let texts = files(kind, &about);
        match &wanted.out {
            Some(out) => {
                self.write_out(out, &broker, &texts, wanted.renew).await?;
                if is_new {
                    self.output.tell(&format!(
                        "note: {} had no authority, and a new one was made, which no device knows; if you have sites already, correct data_directory and run this again with --renew",
                        authority.display()
                    ));
                }
                Ok(())
            }
            None => {
                let printed: Vec<_> =
                    texts.iter().map(|(name, text)| format!("# ---- {directory}/{name}\n{text}")).collect();
                let words = printed.join("\n");
                let value: serde_json::Map<_, _> =
                    texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
                self.output.say(words.trim_end(), &value)
            }
        }
    }

    fn broker_of(&self, wanted: &BrokerConfigArguments) -> Result<ExternalBroker, Failure> {
        match (&wanted.url, &self.config.broker.external) {
            (Some(url), _) => {
                ExternalBroker::parse(url, None).map_err(|bad| Failure::Refused(format!("--url: {bad}")))
            }
            (None, Some(external)) => Ok(external.clone()),
            (None, None) => Err(Failure::refused(
                "where will the broker be? say it with --url mqtts://mq.isp.example:8883, or in the settings: [broker] url",
            )),
        }
    }

    async fn write_out(
        &self,
        out: &Path,
        broker: &ExternalBroker,
        texts: &[(&'static str, String)],
        renew: bool,
    ) -> Result<(), Failure> {
        let (key, certificate) = (out.join(KEY_FILE), out.join(CERTIFICATE_FILE));
        let is_kept = [&key, &certificate].iter().all(|file| file.symlink_metadata().is_ok()) && !renew;
        let names = broker.certificate_names();
        if is_kept {
            check_kept(&certificate, &names)?;
        }
        let pki = self.pki()?;
        let list = self.revocation_list().await?;
        for (name, text) in texts {
            write_in_place(&out.join(name), text, 0o644)?;
        }
        write_in_place(&out.join(CA_FILE), pki.ca_pem(), 0o644)?;
        write_in_place(&out.join(LIST_FILE), &list.pem, 0o644)?;
        if !is_kept {
            let issued = pki.issue_broker(&names, self.controller.clock.now())?;
            // Whoever is stopped between has a key alone, and the next run makes both.
            match std::fs::remove_file(&certificate) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::Refused(format!("{}: {error}", certificate.display())));
                }
                _ => {}
            }
            write_in_place(&key, &issued.key_pem, 0o600)?;
            write_in_place(&certificate, &issued.certificate_pem, 0o644)?;
            self.note((Action::BrokerCertificateMade, &broker.address(), "")).await?;
        }
        let kept = if is_kept { "; its key and certificate are kept (--renew makes new ones)" } else { "" };
        let words = format!(
            "{} holds what the broker at {} needs{kept}{}\nits head says what to do with it: {}",
            out.display(),
            broker.address(),
            note_of(&list),
            out.join("tawi.conf").display()
        );
        let names: Vec<_> = texts
            .iter()
            .map(|(name, _)| *name)
            .chain([CA_FILE, CERTIFICATE_FILE, KEY_FILE, LIST_FILE])
            .collect();
        let value = json!({
            "out": out, "files": names, "is_key_new": !is_kept, "revoked": list.named, "not_named": list.unnamed,
        });
        self.output.say(&words, &value)
    }

    async fn revocation_list(&self) -> Result<List, Failure> {
        let now = self.controller.clock.now();
        let listed =
            sites::store::listed_certificates(&mut *self.controller.database.read().await?, now).await?;
        let good: std::collections::HashSet<_> =
            listed.good.iter().filter_map(|pem| serial_of(pem)).collect();
        let mut revoked: Vec<Revoked> = Vec::new();
        let mut unnamed = 0_usize;
        for (pem, at) in listed.revoked {
            match pem.as_deref().and_then(serial_of) {
                // An earlier release gave the next certificate of a key the number of the last.
                Some(serial) if !good.contains(&serial) => revoked.push(Revoked { serial, at }),
                _ => unnamed = unnamed.saturating_add(1),
            }
        }
        revoked.sort();
        revoked.dedup_by(|one, other| one.serial == other.serial);
        let pem = self.pki()?.revocation_list(&revoked, now)?;
        Ok(List { pem, named: revoked.len(), unnamed })
    }
}

fn note_of(list: &List) -> String {
    match list.unnamed {
        0 => String::new(),
        unnamed => format!(
            "; {unnamed} revoked certificates of earlier releases cannot be named in the list, and are let in by the broker until they end"
        ),
    }
}

impl From<BrokerKind> for Kind {
    fn from(kind: BrokerKind) -> Self {
        match kind {
            BrokerKind::Mosquitto => Self::Mosquitto,
            BrokerKind::Emqx => Self::Emqx,
            BrokerKind::Vernemq => Self::Vernemq,
            BrokerKind::Nats => Self::Nats,
        }
    }
}

/// A certificate that is kept must be the broker's: sites would refuse it under any other name.
fn check_kept(certificate: &Path, names: &[String]) -> Result<(), Failure> {
    let shown = certificate.display();
    let pem = std::fs::read_to_string(certificate)
        .map_err(|error| Failure::Refused(format!("{shown}: {error}; --renew makes a new one")))?;
    if is_certified_for(&pem, names) {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{shown} is no certificate for {}: name another directory with --out, or make a new key and certificate with --renew",
        names.join(", ")
    )))
}

/// The directory, which is made for its owner alone if need be, by its full name.
fn made(out: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::Refused(format!("--out: {}: {error}; name a directory of yours", out.display()))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(out).map_err(failed)?;
    Ok(out.canonicalize().map_err(failed)?.to_string_lossy().into_owned())
}

/// A whole file or the one before it: the broker may read it at any moment.
fn write_in_place(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let shown = path.display();
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let write = || {
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(|error| Failure::Refused(format!("writing {shown}: {error}; name a place of yours")))
}
