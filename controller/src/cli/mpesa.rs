//! `mpesa`.

use std::fs::File;
use std::io::{IsTerminal as _, Read, stderr, stdin};
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::mpesa_arguments::{MpesaCommand, WhenSilent};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::customers::phone::Msisdn;
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::c2b::{self, Registered, ResponseType};
use crate::mpesa::client::Daraja;
use crate::mpesa::settings::Payee;
use crate::mpesa::statement::api::StatementBody;
use crate::mpesa::statement::{self, FILE_BYTES, NotAStatement, Order};
use crate::mpesa::stk::Shillings;

/// Rows between two lines of progress; some seconds of work where all are new.
const PROGRESS_ROWS: usize = 1_024;

impl Shell {
    pub(super) async fn mpesa(&self, command: MpesaCommand) -> Result<(), Failure> {
        match command {
            MpesaCommand::RegisterUrls { when_silent, short_code, force } => {
                self.register_urls((when_silent, force), short_code.as_deref()).await
            }
            MpesaCommand::Simulate { amount, phone, account, short_code } => {
                self.simulate((amount, &phone, &account), short_code.as_deref()).await
            }
            MpesaCommand::Balance { wait, short_code } => self.balance(wait, short_code.as_deref()).await,
            MpesaCommand::Status { receipt, wait, short_code } => {
                self.status(receipt, wait, short_code.as_deref()).await
            }
            MpesaCommand::Doctor { wait, short_code } => self.doctor(wait, short_code.as_deref()).await,
            MpesaCommand::ImportStatement { file, short_code, dry_run, accept_gaps } => {
                self.import_statement(&file, short_code.as_deref(), (dry_run, accept_gaps)).await
            }
        }
    }

    async fn register_urls(
        &self,
        (when_silent, is_forced): (WhenSilent, bool),
        short_code: Option<&str>,
    ) -> Result<(), Failure> {
        let daraja = self.daraja(short_code)?;
        if !is_forced && let Err(unreachable) = c2b::prove_reachable(daraja.settings()).await {
            return Err(Failure::refused(unreachable.to_string()));
        }
        let response_type = match when_silent {
            WhenSilent::Complete => ResponseType::Completed,
            WhenSilent::Cancel => ResponseType::Cancelled,
        };
        let registered = c2b::register(&self.controller, &daraja, response_type).await?;
        let short_code = registered.short_code;
        let words = if registered.was_registered && registered.is_ours {
            format!(
                "Safaricom has the addresses of this controller for {short_code} already; another --when-silent needs \
                 that they are deleted under \"URL management\" in Safaricom's portal first"
            )
        } else if registered.was_registered {
            format!(
                "Safaricom has addresses for {short_code} already: if they are not this controller's, delete them under \
                 \"URL management\" in Safaricom's portal and run this again"
            )
        } else {
            self.note((Action::UrlsRegistered, &short_code, "")).await?;
            format!("Safaricom reports payments to {short_code} here from now on")
        };
        let Registered { was_registered, is_ours, .. } = registered;
        let value = json!({"short_code": short_code, "was_registered": was_registered, "is_ours": is_ours});
        self.output.say(&words, &value)?;
        if is_ours { Ok(()) } else { Err(Failure::refused("payments are not reported here: see above")) }
    }

    async fn simulate(
        &self,
        (shillings, phone, account): (i64, &Msisdn, &str),
        short_code: Option<&str>,
    ) -> Result<(), Failure> {
        let daraja = self.daraja(short_code)?;
        let amount = Money::from_shillings(shillings).and_then(Shillings::exactly);
        let amount = amount.ok_or_else(|| Failure::refused("the amount is none that M-Pesa moves"))?;
        if let Err(refused) = c2b::simulate(&daraja, amount, phone, account).await {
            return Err(Failure::refused(refused.to_string()));
        }
        let payee = match daraja.settings().payee() {
            Payee::Paybill(number) | Payee::Till(number) => number,
        };
        let words =
            format!("KES {shillings} are on the way to {payee}: they are booked once they are reported");
        self.output.say(&words, &json!({"short_code": payee, "amount_cents": amount.money().cents()}))
    }

    async fn import_statement(
        &self,
        path: &Path,
        short_code: Option<&str>,
        (is_dry_run, accepts_gaps): (bool, bool),
    ) -> Result<(), Failure> {
        let bytes = read_bounded(path)?;
        let ours: Vec<_> = self.config.mpesa.iter().collect();
        let pause = statement::BESIDE_A_SERVER;
        let order = Order { short_code, ours: &ours, is_dry_run, accepts_gaps, pause, actor: &self.actor };
        let shows_progress = !self.output.is_json && stderr().is_terminal();
        let mut told = 0_usize;
        let progress = |done: usize, all: usize| {
            if shows_progress && done >= told.saturating_add(PROGRESS_ROWS) {
                told = done;
                self.output.tell(&format!("{done} of {all} rows"));
            }
        };
        let summary = match statement::import(&self.controller, &bytes, order, progress).await {
            Ok(summary) => summary,
            Err(error) if error.is_of_file() => return Err(Failure::refused(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let mut words = summary.to_string();
        if is_dry_run {
            words.push_str("\nNothing was changed: this is what would come of it.");
        }
        self.output.say(&words, &StatementBody::of(&summary, is_dry_run))?;
        if summary.needs_a_person() {
            return Err(Failure::refused(
                "something waits for a person: see \"To be checked\" and the balance",
            ));
        }
        Ok(())
    }

    /// The clients of the settings' short codes.
    pub(super) fn short_codes(&self) -> Result<ShortCodes, Failure> {
        // The first caller decides for the whole process; nobody was before us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = self.config.mpesa.clone();
        let none = || Failure::refused("M-Pesa is not set up: fill in [mpesa] in the settings file");
        ShortCodes::new(settings, &self.controller).context("setting up M-Pesa")?.ok_or_else(none)
    }

    /// The client of the short code that was said, or of the only one.
    pub(super) fn daraja(&self, said: Option<&str>) -> Result<Daraja, Failure> {
        let codes = self.short_codes()?;
        let listed = || codes.all().map(|one| one.settings().short_code()).collect::<Vec<_>>().join(", ");
        let found = match said {
            Some(said) => codes.of(said),
            None => codes.all().next().filter(|_| codes.all().count() == 1),
        };
        found.cloned().ok_or_else(|| match said {
            Some(said) => Failure::refused(format!(
                "{said} is no short code of the settings: say one of {}, or write [[mpesa]] for it",
                listed()
            )),
            None => Failure::refused(format!("say which short code: --short-code with one of {}", listed())),
        })
    }
}

/// A file, or standard input, no further than one byte beyond what is taken.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES.saturating_add(1);
    let read = if path == Path::new("-") {
        stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    match read {
        Err(error) => Err(Failure::refused(format!("reading {}: {error}", path.display()))),
        Ok(_) if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES => {
            Err(Failure::refused(NotAStatement::TooLarge.to_string()))
        }
        Ok(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused_once_the_limit_is_read() {
        let Err(Failure::Refused(why)) = read_bounded(Path::new("/dev/zero")) else {
            panic!("it has no end")
        };
        assert!(why.contains("more than 64 MiB"), "{why}");
        let Err(Failure::Refused(why)) = read_bounded(Path::new("/no/such/file")) else { panic!("no file") };
        assert!(why.contains("/no/such/file"), "{why}");
    }
}
