//! A simulated Daraja, Safaricom's M-Pesa API, on a real socket: OAuth, STK push and query, C2B, Pull, Dynamic
//! QR, balance and transaction status.
//!
//! Behind it stand simulated phones that pay, refuse, ignore or mistype, and a gateway that loses,
//! doubles, delays and contradicts on request. It keeps Daraja's field names, misspellings and error
//! bodies. It holds no real money and refuses to be a model of what Safaricom does not publish: where
//! the public sources are silent, the doc comment says what was chosen. The program around it is
//! `main.rs`; the control port is documented in `tests/README.md`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use daraja_sim::{Behaviour, Phone, Settings, Simulator};
//!
//! let simulator = Simulator::start(Settings::default()).await?;
//! let refuses = Phone { behaviour: Behaviour::Refuse, ..Phone::default() };
//! simulator.handle().set_phone("254712345678", refuses)?;
//! println!("point the client at {}", simulator.base_url());
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod bounded_log;
mod c2b;
mod callback_url;
mod callbacks;
mod clock;
mod codes;
mod connection;
mod control;
mod faults;
mod gateway;
mod handle;
mod identifiers;
mod oauth;
mod operator;
mod payments;
mod payouts;
mod phones;
mod prompts;
mod pull;
mod receipts;
mod refusals;
mod seeds;
mod settings;
mod simulator;
mod statement;
mod stk;

pub use c2b::notification::{MsisdnForm, ResponseType};
pub use c2b::payment::{PaybillOutcome, PaybillPayment};
pub use c2b::registration::{ApiVersion, Registration};
pub use callback_url::CallbackUrl;
pub use clock::UnixMillis;
pub use codes::CodeManner;
pub use faults::{Faults, FaultsChange, Product, QueryManner, ResultFaults, TokenError};
pub use handle::{ControlError, Handle, Redelivery, StateReport};
pub use identifiers::{AmountKes, CheckoutRequestId, Msisdn, NotValid, ShortCode};
pub use payments::Payment;
pub use payouts::Payout;
pub use phones::{Behaviour, CallbackFaults, ConfirmationFaults, Phone, PhoneRefused};
pub use prompts::{Prompt, PromptState};
pub use receipts::Receipt;
pub use settings::{
    BalanceItem, DEMO_CONSUMER_KEY, DEMO_CONSUMER_SECRET, DEMO_OPERATOR_NAME, DEMO_OPERATOR_PASSWORD,
    DEMO_PASSKEY, ExpiresInForm, OPERATOR_CERTIFICATE_PEM, Secret, Settings,
};
pub use simulator::{Simulator, StartError};
pub use statement::StatementForm;
pub use stk::callback::ResultCode;
