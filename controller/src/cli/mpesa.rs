//! `mpesa`.

use anyhow::Context as _;
use serde_json::json;

use super::arguments::{MpesaCommand, WhenSilent};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::mpesa::c2b::{self, ResponseType};
use crate::mpesa::client::Daraja;

impl Shell {
    pub(super) async fn mpesa(&self, command: MpesaCommand) -> Result<(), Failure> {
        match command {
            MpesaCommand::RegisterUrls { when_silent } => self.register_urls(when_silent).await,
        }
    }

    async fn register_urls(&self, when_silent: WhenSilent) -> Result<(), Failure> {
        let response_type = match when_silent {
            WhenSilent::Complete => ResponseType::Completed,
            WhenSilent::Cancel => ResponseType::Cancelled,
        };
        let registered = c2b::register(&self.controller, &self.daraja()?, response_type).await?;
        let short_code = registered.short_code;
        let words = if registered.was_registered {
            format!(
                "Safaricom has addresses for {short_code} already: if they are not this controller's, delete them under \
                 \"URL management\" in Safaricom's portal and run this again"
            )
        } else {
            self.note((Action::UrlsRegistered, &short_code, "")).await?;
            format!("Safaricom reports payments to {short_code} here from now on")
        };
        self.output
            .say(&words, &json!({"short_code": short_code, "was_registered": registered.was_registered}))
    }

    /// The client of the settings' short code.
    fn daraja(&self) -> Result<Daraja, Failure> {
        let Some(settings) = self.config.mpesa.clone() else {
            return Err(Failure::refused("M-Pesa is not set up: fill in [mpesa] in the settings file"));
        };
        // The first caller decides for the whole process; nobody was before us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Daraja::new(settings, self.controller.clock.clone()).context("setting up M-Pesa")?)
    }
}
