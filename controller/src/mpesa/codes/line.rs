//! The code of a line: one period of it, paid to the short code of its site for the account of its customer.

use super::answer::{Png, Wanted};
use super::{Codes, NoCode};
use crate::customers::{self, Customer, CustomerError};
use crate::ids::LineId;
use crate::money::Money;
use crate::mpesa::ShortCodes;
use crate::mpesa::c2b::Heard;
use crate::mpesa::client::Daraja;
use crate::mpesa::settings::Payee;
use crate::mpesa::stk::Shillings;
use crate::state::Controller;
use crate::subscriptions::{self, Subscription, SubscriptionError};
use tawi_shared::Clock;
use thiserror::Error;

/// Why the code of a line cannot be read or made.
#[derive(Debug, Error)]
pub enum LineCodeError {
    /// The line cannot be read.
    #[error(transparent)]
    Line(#[from] SubscriptionError),
    /// Its customer cannot be read.
    #[error(transparent)]
    Customer(#[from] CustomerError),
    /// The database refuses.
    #[error("the code of a line: {0}")]
    Database(#[from] sqlx::Error),
}

/// A line that can be paid for with a code.
#[derive(Clone, Debug)]
pub struct Payable {
    /// The line.
    pub line: Subscription,
    /// Whose it is.
    pub customer: Customer,
    daraja: Daraja,
    wanted: Wanted,
}

/// Why there is nothing to pay with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPayable {
    /// There is no such line.
    NoSuchLine,
    /// M-Pesa is not set up.
    NotSetUp,
    /// A payment to its short code would not be heard of.
    NotHeard,
    /// M-Pesa does not move its price.
    BadAmount,
}

impl NotPayable {
    /// What it is and what to do, for staff.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NoSuchLine => "there is no such line",
            Self::NotSetUp => "M-Pesa is not set up: write a section [mpesa] into controller.toml",
            Self::NotHeard => {
                "payments by Paybill are not heard of: run tawi-controller mpesa register-urls, or set pull = true"
            }
            Self::BadAmount => "M-Pesa moves whole shillings from 1 to 250,000: change the price of the plan",
        }
    }
}

impl Payable {
    /// A line as it stands now.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn find(
        controller: &Controller,
        short_codes: Option<&ShortCodes>,
        id: &LineId,
    ) -> Result<Result<Self, NotPayable>, LineCodeError> {
        let mut reader = controller.database.read().await?;
        let Some(line) = subscriptions::get(&mut reader, id).await? else {
            return Ok(Err(NotPayable::NoSuchLine));
        };
        let Some(customer) = customers::get(&mut reader, &line.customer).await? else {
            return Ok(Err(NotPayable::NoSuchLine));
        };
        let Some(codes) = short_codes else { return Ok(Err(NotPayable::NotSetUp)) };
        let daraja = codes.of_site(&line.site).clone();
        let heard = Heard::among(&mut reader, short_codes).await?;
        let amount = line.price;
        Ok(Self::of(daraja, &heard, (line, customer), amount))
    }

    /// The same for whoever has read all of it, with another amount.
    pub(crate) fn of(
        daraja: Daraja,
        heard: &Heard,
        (line, customer): (Subscription, Customer),
        amount: Money,
    ) -> Result<Self, NotPayable> {
        if !heard.has(daraja.settings().short_code()) {
            return Err(NotPayable::NotHeard);
        }
        let shillings = Shillings::exactly(amount).ok_or(NotPayable::BadAmount)?;
        let settings = daraja.settings();
        let wanted =
            Wanted::new(settings.merchant_name(), settings.payee(), &customer.account_number, shillings);
        Ok(Self { line, customer, daraja, wanted })
    }

    /// What is paid with it.
    #[must_use]
    pub fn amount(&self) -> Money {
        Money::from_shillings(self.wanted.shillings).unwrap_or(Money::ZERO)
    }

    /// What the code says.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Who is paid.
    #[must_use]
    pub fn payee(&self) -> Payee<'_> {
        self.daraja.settings().payee()
    }

    /// Its code, held or new.
    ///
    /// # Errors
    /// [`NoCode`].
    pub async fn code(&self, codes: &Codes, clock: &Clock) -> Result<Png, NoCode> {
        codes.code(&self.daraja, self.wanted.clone(), clock).await
    }
}
