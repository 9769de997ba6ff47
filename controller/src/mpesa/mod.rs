//! M-Pesa through Safaricom's Daraja: asking phones for money, hearing what became of it, and taking it in.
//!
//! A callback is stored before it is answered (`callback`), and taken in afterwards (`intake`), so that what was
//! acknowledged is never lost. What it says is `evidence`, what follows for the request is `intent`; what follows for
//! the customer's money is `payments`. Payments that nobody asked for are reported too (`c2b`), and whose they are is
//! `incoming`. Reports can fail to come: then `query` asks, and `pull` fetches what was missed; what is too old for it comes
//! in by the portal's own list (`statement`), which also tells of charges and of money that went to the bank. There may be
//! several short codes (`short_codes`), each with its client (`client`); those of one app share its access token (`token`).

pub mod answer;
pub mod c2b;
mod callback;
pub mod client;
pub mod codes;
pub mod doctor;
pub mod evidence;
mod fields;
pub mod health;
mod incoming;
pub(crate) mod intake;
pub mod intent;
mod nairobi;
mod not_sent;
pub mod operator;
pub mod poll;
pub mod pull;
pub(crate) mod query;
pub mod result_codes;
pub mod settings;
pub mod short_codes;
pub mod statement;
pub mod stk;
pub(crate) mod store;
mod token;

pub use callback::callback_router;
pub use client::Daraja;
pub(crate) use incoming::{Agreement, Payer, request_of_unnamed};
pub use intake::run_callbacks;
pub use pull::run_pull;
pub use query::run_queries;
pub use settings::{MpesaSettings, RawMpesa};
pub use short_codes::ShortCodes;

#[cfg(test)]
mod tests;
