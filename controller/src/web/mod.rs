//! HTTP: pages for people, a JSON API for programs, and what guards both.
//!
//! ```text
//!  door (connections capped) ─▶ shield (address, headers, deadline, panics) ─┬─▶ pages    cookie, form token, role
//!                                                                            ├─▶ /api     bearer token, role, key
//!                                                                            └─▶ /callbacks  (mpesa)
//! ```
//!
//! Each noun's own `pages.rs` and `api.rs` hold its handlers; here is only what they share. Pages work without
//! scripts. Nothing here has SQL but `api/store.rs`.

pub mod api;
pub mod assets;
pub mod chart;
pub mod cookies;
pub mod display;
pub mod door;
pub mod error;
pub mod form;
pub mod health;
pub mod housekeeping;
mod led;
pub mod live;
pub mod multipart;
pub mod proxies;
pub mod serve;
pub mod shield;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod visit;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::broker::Attendance;
use crate::database::Connection;
use crate::mpesa::ShortCodes;
use crate::mpesa::c2b::Heard;
use crate::mpesa::codes::Codes;
use crate::pay::Gate;
use crate::payments::counter::Limits;
use crate::shutdown::Stop;
use crate::sites::enrolment::Tickets;
use crate::staff::SignIn;
use crate::state::Controller;

pub use proxies::Proxies;
pub use serve::serve;

/// The largest body of a form or an API request. The longest field is a description of 500 characters.
const BODY_BYTES: usize = 64 * 1024;

/// What every handler holds. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Web {
    /// Database, bell, clock and ids.
    pub controller: Controller,
    /// The short codes of M-Pesa; `None` while it is not set up.
    pub short_codes: Option<ShortCodes>,
    /// The door for staff.
    pub sign_in: SignIn,
    /// How browsers reach it, where the settings say so: what is asked for under another name was led here from elsewhere.
    pub public_url: Option<String>,
    /// Whether cookies insist on HTTPS.
    pub is_https: bool,
    /// What an operator may take at the counter.
    pub counter: Limits,
    /// Who may speak for a visitor.
    pub proxies: Proxies,
    /// Where the broker listens, and whether it is listened to; `None` in a process without one.
    pub broker: Option<(SocketAddr, Attendance)>,
    /// What tickets of new sites say; `None` in a process without a certificate authority.
    pub tickets: Option<Tickets>,
    /// Live streams that are open.
    pub streams: live::Streams,
    /// Codes to scan that are held.
    pub codes: Codes,
    /// What keeps strangers at the pay page from making phones ring.
    pub pay: Gate,
    /// Ends live streams when the program ends.
    pub stop: Stop,
}

impl Web {
    /// Over the shared state, with sessions that last so long.
    #[must_use]
    pub fn new(controller: Controller, session_lasts: Duration, stop: Stop) -> Self {
        let sign_in = SignIn::new(controller.clone(), session_lasts);
        let pay = Gate::new(&controller.ids);
        Self {
            controller,
            short_codes: None,
            sign_in,
            public_url: None,
            is_https: false,
            counter: Limits::default(),
            proxies: Proxies::default(),
            broker: None,
            tickets: None,
            streams: live::Streams::default(),
            codes: Codes::default(),
            pay,
            stop,
        }
    }

    /// Of which short codes a payment by Paybill is heard of: by Pull, or because Safaricom was told where to report it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn heard(&self, connection: &mut Connection) -> Result<Heard, sqlx::Error> {
        Heard::among(connection, self.short_codes.as_ref()).await
    }
}

/// All routes. `callbacks` are M-Pesa's, which bring their own limits.
pub fn router(web: Web, callbacks: Option<Router>) -> Router {
    let (is_https, proxies) = (web.is_https, web.proxies.clone());
    let ours = Router::new()
        .merge(pages())
        .merge(api::router())
        .route("/health", axum::routing::get(health::health))
        .fallback(error::no_such_page)
        .layer(from_fn_with_state(led::Here::of(web.public_url.as_deref()), led::to_the_pay_page))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(error::refuse_not_plain))
        .with_state(web);
    let all = match callbacks {
        Some(callbacks) => ours.merge(callbacks),
        None => ours,
    };
    shield::around(all, is_https, proxies)
}

fn pages() -> Router<Web> {
    Router::new()
        .merge(assets::routes())
        .merge(live::routes())
        .merge(crate::staff::pages::routes())
        .merge(crate::overview::pages::routes())
        .merge(crate::customers::pages::routes())
        .merge(crate::customers::references::pages::routes())
        .merge(crate::customers::wallet::pages::routes())
        .merge(crate::subscriptions::pages::routes())
        .merge(crate::payments::pages::routes())
        .merge(crate::closing::pages::routes())
        .merge(crate::mpesa::statement::pages::routes())
        .merge(crate::mpesa::health::pages::routes())
        .merge(crate::mpesa::codes::pages::routes())
        .merge(crate::pay::routes())
        .merge(crate::messages::pages::routes())
        .merge(crate::plans::pages::routes())
        .merge(crate::sites::pages::routes())
        .merge(crate::router_writes::pages::routes())
        .merge(crate::commands::pages::routes())
        .merge(crate::site_settings::pages::routes())
        .merge(crate::releases::pages::routes())
        .merge(crate::adoption::pages::routes())
}
