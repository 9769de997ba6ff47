//! A simulated Africa's Talking on a real socket: its bulk messaging, the question for the balance, and delivery reports.
//!
//! It keeps the field names, codes and error texts of the real one, and loses, refuses, delays and doubles on request. It sends
//! no text to anybody, and refuses to be a model of what is not published: where the public pages are silent, the comment says
//! what was chosen. The program around it is `main.rs`; the control port is documented in `tests/README.md`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use africastalking_sim::{Faults, Settings, Simulator};
//!
//! let simulator = Simulator::start(Settings::default()).await?;
//! simulator.handle().set_faults(Faults { lose_answer_next: 1, ..Faults::default() });
//! println!("point the client at {}", simulator.base_url());
//! # Ok(())
//! # }
//! ```

mod api;
mod connection;
mod control;
mod gateway;
mod reports;
mod simulator;

pub use gateway::{Faults, Handle, ReportFaults, Text};
pub use simulator::{DEMO_API_KEY, DEMO_USERNAME, Settings, Simulator, StartError};
