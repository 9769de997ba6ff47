//! How a device becomes a site, and stays one: tickets, certificates for keys that never leave the device, and renewal.
//!
//! ```text
//! site added ──▶ ticket (24 h, once) ──▶ redeem ──▶ certificate; all earlier ones of the site are revoked
//! certificate ──▶ renew ──▶ the next one; the earlier ones are revoked when it first connects ([`note_first`])
//! ```
//!
//! So a lost answer locks nobody out: whoever asks again with the same key is told the same again. Decisions are in
//! `rule.rs`; HTTP is in `broker/enrolment.rs`. The database keeps digests of tokens, and no token.

pub(crate) mod pages;
mod rule;
pub(super) mod store;
#[cfg(test)]
mod tests;

use std::fmt;

use ring::digest::{SHA256, digest};
use tawi_shared::UnixMillis;
use tawi_shared::enrolment::{TICKET_ADDRESSES, Ticket, Token};
use tawi_shared::ids::hex;
use thiserror::Error;

use super::{SiteError, good_name};
use crate::audit::{self, Action, Actor};
use crate::broker::settings::{BrokerSettings, split_host_and_port};
use crate::database::Connection;
use crate::ids::{IdSource, SiteId};
use crate::live::Hint;
use crate::pki::{DeviceKey, Pki};
use crate::state::Controller;

use rule::Decision;
pub use rule::{AGAIN, Refusal, TOKEN_LASTS};

/// What every ticket of this head office says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tickets {
    authority: [u8; 32],
    addresses: Vec<String>,
    /// Whether they are others than the settings say.
    are_own: bool,
    /// What the front door's certificate says: a device believes no other name.
    names: Vec<String>,
}

/// Why a ticket cannot say that head office is there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadAddress {
    /// None, or more than a ticket holds.
    #[error("name one to {TICKET_ADDRESSES} addresses")]
    Count,
    /// No address.
    #[error("{0:?} is not host:port")]
    Form(String),
    /// Nobody would believe it.
    #[error(
        "{0:?} is not among the names of the front door's certificate; cure: name it in [broker] advertised_address too, and restart the controller"
    )]
    NotNamed(String),
}

impl Tickets {
    /// With the addresses of the settings.
    #[must_use]
    pub fn new(pki: &Pki, settings: &BrokerSettings) -> Self {
        Self {
            authority: pki.sha256(),
            addresses: settings.advertised_addresses.clone(),
            are_own: false,
            names: settings.certificate_names(),
        }
    }

    /// With others, for a site that reaches us by another way.
    ///
    /// # Errors
    /// [`BadAddress`], whose words are for whoever typed it.
    pub fn at(self, addresses: Vec<String>) -> Result<Self, BadAddress> {
        if addresses.is_empty() || addresses.len() > TICKET_ADDRESSES {
            return Err(BadAddress::Count);
        }
        for address in &addresses {
            let (host, _) = split_host_and_port(address).ok_or_else(|| BadAddress::Form(address.clone()))?;
            if !self.names.iter().any(|name| name == host) {
                return Err(BadAddress::NotNamed(host.to_owned()));
            }
        }
        Ok(Self { addresses, are_own: true, ..self })
    }

    /// Where sites reach head office.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

/// A ticket that was made. It is shown once, and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// For which site.
    pub site: SiteId,
    /// From when it is refused.
    pub expires_at: UnixMillis,
    /// Where the site reaches head office.
    pub addresses: Vec<String>,
    text: String,
}

impl fmt::Debug for NewTicket {
    /// Without the ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewTicket").field("site", &self.site).finish_non_exhaustive()
    }
}

impl NewTicket {
    /// The ticket itself, for the eyes of whoever asked for it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is pasted at the site. `echo` is part of the shell, so that the ticket stands in no list of programs.
    #[must_use]
    pub fn line_to_paste(&self) -> String {
        format!("echo {} | sudo tawi-agent enrol", self.text)
    }

    /// The file that carries it: what it is for people, the ticket for the program.
    #[must_use]
    pub fn file(&self, until: &str) -> String {
        let site = &self.site;
        format!(
            "# Ticket of site {site} for Tawi's agent: good once, for one device, until {until}.\n\
             # Whoever has it can become this site: keep it to yourself, and delete it when it is used.\n\
             # At the site, in the directory of this file:\n\
             #     sudo tawi-agent enrol --file {}\n\
             {}\n",
            self.file_name(),
            self.text
        )
    }

    /// How the file is called where somebody downloads it.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.ticket", self.site)
    }
}

/// What [`make_ticket`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticketed {
    /// It is good once the transaction is committed.
    Made(NewTicket),
    /// There is no such site.
    NoSuchSite,
}

/// Makes a ticket for a site within the caller's transaction, and withdraws those of the site that nobody used. What the
/// site's device has stays good until another one comes with the ticket.
///
/// # Errors
/// [`SiteError`].
pub async fn make_ticket(
    connection: &mut Connection,
    tickets: &Tickets,
    site: &SiteId,
    made_by: &Actor,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<Ticketed, SiteError> {
    if super::store::get(connection, site).await?.is_none() {
        return Ok(Ticketed::NoSuchSite);
    }
    let mut random = [0; 16];
    ids.fill(&mut random);
    let token = Token::new(random);
    store::withdraw_tokens(connection, site, now).await?;
    let expires_at = now.plus(TOKEN_LASTS);
    let new = store::NewToken {
        digest: &digest_of(&token),
        site,
        made_at: now,
        expires_at,
        made_by: &made_by.to_string(),
        addresses: if tickets.are_own { &tickets.addresses } else { &[] },
    };
    store::insert_token(connection, new).await?;
    let addresses = tickets.addresses.clone();
    let ticket =
        Ticket { site: site.clone(), token, authority: tickets.authority, addresses: addresses.clone() };
    Ok(Ticketed::Made(NewTicket { site: site.clone(), expires_at, addresses, text: ticket.to_text() }))
}

/// What [`add`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddedSite {
    /// It is there once the transaction is committed.
    Added(NewTicket),
    /// A site of that id is there already.
    AlreadyThere,
    /// The name is too long or has control characters.
    BadName,
}

/// Adds a site with its first ticket within the caller's transaction.
///
/// # Errors
/// [`SiteError`].
pub async fn add(
    connection: &mut Connection,
    tickets: &Tickets,
    new: super::NewSite,
    made_by: &Actor,
    (ids, now): (&IdSource, UnixMillis),
) -> Result<AddedSite, SiteError> {
    let Some(name) = good_name(&new) else { return Ok(AddedSite::BadName) };
    if !super::store::insert_site(connection, &new.id, &name, now).await? {
        return Ok(AddedSite::AlreadyThere);
    }
    Ok(match make_ticket(connection, tickets, &new.id, made_by, (ids, now)).await? {
        Ticketed::Made(ticket) => AddedSite::Added(ticket),
        // It was entered a moment ago in the same transaction.
        Ticketed::NoSuchSite => AddedSite::AlreadyThere,
    })
}

/// What a device gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its certificate.
    Certificate {
        /// Whose it is.
        site: SiteId,
        /// PEM.
        certificate_pem: String,
        /// Where this site reaches head office, when it is not as the settings say.
        addresses: Vec<String>,
        /// Whether it was made before, and its answer lost.
        is_again: bool,
    },
    /// Nothing.
    Refused {
        /// Whose the token or the certificate is, where that is known.
        site: Option<SiteId>,
        /// Why.
        why: Refusal,
    },
}

/// Gives the device with this key its certificate for a token. Every earlier certificate of the site is revoked, and whoever is
/// connected with one goes; a site that was shut out is back.
///
/// # Errors
/// [`SiteError`]; the token is as good as before then.
pub async fn redeem(
    controller: &Controller,
    pki: &Pki,
    token: &Token,
    key: &DeviceKey,
) -> Result<Answer, SiteError> {
    let digest = digest_of(token);
    // Strangers who guess do not keep payments waiting for the one writer.
    let mut reader = controller.database.read().await?;
    if store::token(&mut reader, &digest).await?.is_none() {
        return Ok(Answer::Refused { site: None, why: Refusal::TokenUnknown });
    }
    drop(reader);
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    // Once more: of two devices that come at once, the second finds it used.
    let found = store::token(&mut transaction, &digest).await?;
    let decision = rule::of_token(found.as_ref(), key.sha256(), now);
    let Some(found) = found else {
        return Ok(Answer::Refused { site: None, why: Refusal::TokenUnknown });
    };
    let site = found.site;
    let (certificate_pem, is_again) = match decision {
        Decision::Refused(why) => return Ok(Answer::Refused { site: Some(site), why }),
        Decision::SameAgain(pem) => (pem, true),
        Decision::Issue => {
            let issued = pki.issue_for(key, &site, now)?;
            super::store::revoke_certificates(&mut transaction, &site, now).await?;
            super::store::readmit_site(&mut transaction, &site).await?;
            super::store::insert_certificate(&mut transaction, &site, &issued, Some(key)).await?;
            store::use_token(&mut transaction, &digest, &issued.sha256, now).await?;
            let act = (Action::SiteEnrolled, site.as_str(), "");
            let actor = Actor::Site(site.clone());
            audit::record(&mut transaction, &actor, act, &controller.ids, now).await?;
            transaction.commit().await?;
            controller.live.tell(Hint::Revoked(site.clone()));
            controller.live.tell(Hint::Site(site.clone()));
            (issued.certificate_pem, false)
        }
    };
    Ok(Answer::Certificate { site, certificate_pem, addresses: found.addresses, is_again })
}

/// Gives the device that proved to hold a certificate of `site` the next one, for this key. What it has stays good until the
/// next one first connects.
///
/// # Errors
/// [`SiteError`]; nothing changed then.
pub async fn renew(
    controller: &Controller,
    pki: &Pki,
    (site, certificate_sha256): (&SiteId, &str),
    key: &DeviceKey,
) -> Result<Answer, SiteError> {
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    let found = store::certificate(&mut transaction, site, certificate_sha256, key.sha256(), now).await?;
    let addresses = store::addresses_of(&mut transaction, site).await?;
    let (certificate_pem, is_again) = match rule::of_certificate(found.as_ref(), now) {
        Decision::Refused(why) => return Ok(Answer::Refused { site: Some(site.clone()), why }),
        Decision::SameAgain(pem) => (pem, true),
        Decision::Issue => {
            // Whoever shows it has it, also where no front door of ours saw it come: those before it are no longer needed.
            store::revoke_older(&mut transaction, site, certificate_sha256, now).await?;
            let issued = pki.issue_for(key, site, now)?;
            super::store::insert_certificate(&mut transaction, site, &issued, Some(key)).await?;
            let act = (Action::SiteCertificateRenewed, site.as_str(), "");
            let actor = Actor::Site(site.clone());
            audit::record(&mut transaction, &actor, act, &controller.ids, now).await?;
            transaction.commit().await?;
            controller.live.tell(Hint::Site(site.clone()));
            (issued.certificate_pem, false)
        }
    };
    Ok(Answer::Certificate { site: site.clone(), certificate_pem, addresses, is_again })
}

/// A site connected with this certificate: those that it had before are no longer needed, and revoked.
///
/// # Errors
/// [`SiteError`].
pub async fn note_first(controller: &Controller, site: &SiteId, sha256: &str) -> Result<(), SiteError> {
    let mut transaction = controller.database.write().await?;
    let revoked = store::revoke_older(&mut transaction, site, sha256, controller.clock.now()).await?;
    transaction.commit().await?;
    if revoked > 0 {
        tracing::info!(site.id = %site, revoked, "a site came with its next certificate; the earlier ones are revoked");
        controller.live.tell(Hint::Site(site.clone()));
    }
    Ok(())
}

/// Until when a ticket of the site waits for its device; `None` when none does.
///
/// # Errors
/// [`SiteError`].
pub async fn open_until(
    connection: &mut Connection,
    site: &SiteId,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, SiteError> {
    store::open_until(connection, site, now).await
}

/// How the database knows a token. What is looked up is the digest of 128 random bits: how long a look takes tells nothing
/// of the token, so that nothing here needs to take the same time for all.
fn digest_of(token: &Token) -> String {
    hex(digest(&SHA256, token.as_bytes()).as_ref())
}
