//! `routeros-sim`: a simulated MikroTik router that speaks the RouterOS API on real sockets.
//!
//! It is one more party to a test: subscribers dial in, an admin edits rows beside ours, and the router
//! is slow, deaf, forgetful or rebooting on request. It refuses to be lenient: unknown menus, arguments
//! and values are trapped as a router of the chosen release traps them. The program of the same name
//! wraps this library; the client under test is never linked here, only the codec of its words.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use routeros_sim::{DeviceState, NewDevice, Service, Settings, Simulator};
//! use std::time::Duration;
//!
//! let simulator = Simulator::start(Settings::default()).await?;
//! let router = simulator.router();
//! router.add_row("ppp/secret", &[("name", "plot1"), ("password", "w"), ("service", "pppoe")])?;
//! router.add_device(NewDevice::new("cpe-1", Service::Pppoe, "plot1", "w"))?;
//! router.wait_for_device("cpe-1", DeviceState::Online, Duration::from_secs(5)).await?;
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```

mod api_session;
mod clock;
mod control;
mod devices;
mod engine;
mod faults;
mod journal;
mod outbox;
mod policies;
mod preload;
mod printing;
mod query;
mod reach;
mod release;
mod request;
mod router;
mod sessions;
mod settings;
mod simulator;
mod state;
mod store;
mod tables;
mod tls;
mod trap;
mod values;

pub use crate::devices::{DeviceError, DeviceState, DeviceView, NewDevice};
pub use crate::engine::Row;
pub use crate::engine::packages::PackageState;
pub use crate::faults::{Faults, FaultsChange, FaultsError};
pub use crate::reach::Reach;
pub use crate::release::{Release, ReleaseError};
pub use crate::router::{FactError, FlashChange, Router, RowsError, Summary, TookTooLong};
pub use crate::sessions::{HotspotCounting, Service};
pub use crate::settings::Settings;
pub use crate::simulator::{Simulator, StartError};
pub use crate::state::{WriteOutcome, WriteRecord};
pub use crate::tls::TlsError;
pub use crate::trap::Trap;
