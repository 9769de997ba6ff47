//! All short codes of the settings: the client of each, and which one a line pays to.
//!
//! An ISP has a paybill for head office, and perhaps a till or a paybill of its own at some sites. A line is asked from the
//! short code that names its site, and otherwise from the first. What came to a short code is followed up, fetched and given
//! back through that one, whichever a line would be asked from today; money of one that is not in the settings any more is
//! for Safaricom's portal. The client itself is `client`.

use std::net::IpAddr;
use std::sync::Arc;

use super::client::{Daraja, DarajaError};
use super::settings::{MpesaSettings, Payee};
use crate::ids::SiteId;
use crate::state::Controller;

/// The clients of all short codes, at least one. Clones share them.
#[derive(Clone, Debug)]
pub struct ShortCodes {
    first: Daraja,
    others: Arc<[Daraja]>,
}

impl ShortCodes {
    /// Clients for all of them; `None` where there is none. Opens no connection yet.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(settings: Vec<MpesaSettings>, controller: &Controller) -> Result<Option<Self>, DarajaError> {
        let mut settings = settings.into_iter();
        let Some(first) = settings.next() else { return Ok(None) };
        let first = Daraja::new(first, controller)?;
        let mut others: Vec<Daraja> = Vec::new();
        for settings in settings {
            let is_same_app = |known: &&Daraja| known.is_same_app(&settings);
            let beside = std::iter::once(&first).chain(&others).find(is_same_app).unwrap_or(&first);
            let daraja = beside.beside(settings, controller);
            others.push(daraja);
        }
        Ok(Some(Self { first, others: others.into() }))
    }

    /// All of them, in the order of the settings.
    pub fn all(&self) -> impl Iterator<Item = &Daraja> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// The settings of all of them, in their order.
    #[must_use]
    pub fn settings(&self) -> Vec<&MpesaSettings> {
        self.all().map(Daraja::settings).collect()
    }

    /// The one that a line at this site is asked from.
    #[must_use]
    pub fn of_site(&self, site: &SiteId) -> &Daraja {
        self.all().find(|daraja| daraja.settings().is_of_site(site)).unwrap_or(&self.first)
    }

    /// Where customers at this site pay to by themselves.
    #[must_use]
    pub fn payee(&self, site: &SiteId) -> Payee<'_> {
        self.of_site(site).settings().payee()
    }

    /// The one with this number, be it that of a till; `None` where the settings know none.
    #[must_use]
    pub fn of(&self, short_code: &str) -> Option<&Daraja> {
        self.all().find(|daraja| daraja.settings().is_called(short_code))
    }

    /// The one that asks as this short code, be it what collects or what pays phones for it; `None` where the settings know
    /// none.
    pub(super) fn that_asks_as(&self, short_code: &str) -> Option<&Daraja> {
        let pays = |daraja: &&Daraja| daraja.settings().payout_short_code() == Some(short_code);
        self.of(short_code).or_else(|| self.all().find(pays))
    }

    /// Out of which short code a phone is paid what came to this one.
    #[must_use]
    pub fn pays_out_of<'a>(&'a self, short_code: &'a str) -> &'a str {
        self.of(short_code).and_then(|daraja| daraja.settings().payout_short_code()).unwrap_or(short_code)
    }

    /// From where callbacks may come, of all of them; empty where one of them takes any.
    pub(super) fn known_sources(&self) -> Vec<IpAddr> {
        let lists = || self.all().map(|daraja| &daraja.settings().known_sources);
        if lists().any(Vec::is_empty) {
            return Vec::new();
        }
        let mut known: Vec<IpAddr> = lists().flatten().map(IpAddr::to_canonical).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    /// Whether callbacks from elsewhere are turned away.
    pub(super) fn refuses_strangers(&self) -> bool {
        self.all().any(|daraja| daraja.settings().refuses_strangers)
    }

    /// Whether Safaricom reaches any of them over https: then a proxy stands before the controller.
    pub(super) fn are_reached_from_outside(&self) -> bool {
        self.all().any(|daraja| daraja.settings().callback_base_url.starts_with("https://"))
    }
}

impl From<Daraja> for ShortCodes {
    fn from(only: Daraja) -> Self {
        Self { first: only, others: Arc::default() }
    }
}
