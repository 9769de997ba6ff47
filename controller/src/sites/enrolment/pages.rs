//! The ticket of a site, shown once: as a code, as a line to paste and as a file, with what the technician does next.
//!
//! It is the answer to the form itself and kept nowhere: no page shows it again, and no browser keeps it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AddedSite, NewTicket, Ticketed, Tickets, add, make_ticket};
use crate::audit::{self, Action};
use crate::database::Transaction;
use crate::ids::SiteId;
use crate::live::Hint;
use crate::qr::Qr;
use crate::sites::NewSite;
use crate::sites::pages::show_list;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display;
use crate::web::error::PageError;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

#[derive(Template)]
#[template(path = "sites/ticket.html")]
struct TicketPage {
    frame: Frame,
    site: String,
    until: String,
    addresses: String,
    line: String,
    /// SVG of our own making.
    code: String,
    file_name: String,
    /// The file as a `data:` address, so that the ticket is fetched from nowhere.
    file: String,
}

pub(crate) fn routes() -> axum::Router<Web> {
    axum::Router::new().route("/sites", post(add_site)).route("/sites/{id}/tickets", post(new_ticket))
}

async fn add_site(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddSites)?;
    let Some(tickets) = &web.tickets else { return Ok(no_authority(&visit)) };
    let id = match SiteId::parse(fields.value("id")) {
        Ok(id) => id,
        Err(error) => {
            fields.complain("id", error.to_string());
            return show_list(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, fields).await;
        }
    };
    let (actor, by) = (visit.actor(), (&web.controller.ids, visit.now));
    let new = NewSite { id: id.clone(), name: fields.value("name").to_owned() };
    let mut transaction = web.controller.database.write().await?;
    match add(&mut transaction, tickets, new, &actor, by).await? {
        AddedSite::Added(ticket) => {
            let act = (Action::SiteAdded, id.as_str(), fields.value("name"));
            audit::record(&mut transaction, &actor, act, by.0, by.1).await?;
            return hand_out(&web, &visit, transaction, &ticket).await;
        }
        AddedSite::AlreadyThere => {
            fields.complain(
                "id",
                "there is a site of that id already; choose another, or make a new ticket on its page",
            );
        }
        AddedSite::BadName => fields.complain("name", "use at most 80 characters on one line"),
    }
    drop(transaction);
    show_list(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, fields).await
}

async fn new_ticket(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::AddSites)?;
    let id = SiteId::parse(&id).map_err(|_| PageError::NotFound)?;
    let Some(tickets) = &web.tickets else { return Ok(no_authority(&visit)) };
    let tickets: &Tickets = tickets;
    let by = (&web.controller.ids, visit.now);
    let mut transaction = web.controller.database.write().await?;
    match make_ticket(&mut transaction, tickets, &id, &visit.actor(), by).await? {
        Ticketed::Made(ticket) => hand_out(&web, &visit, transaction, &ticket).await,
        Ticketed::NoSuchSite => Err(PageError::NotFound),
    }
}

async fn hand_out(
    web: &Web,
    visit: &Visit,
    transaction: Transaction,
    ticket: &NewTicket,
) -> Result<Response, PageError> {
    let site = ticket.site.clone();
    let act = (Action::SiteTokenMade, site.as_str(), "");
    visit
        .commit(web, transaction, act, {
            let site = site.clone();
            move |live| live.tell(Hint::Site(site))
        })
        .await?;
    let until = display::with_zone(ticket.expires_at);
    let file = STANDARD.encode(ticket.file(&until));
    // A response of `show` says `no-store`.
    visit.show(&TicketPage {
        frame: visit.frame(format!("Ticket of {site}"), Section::Sites),
        site: site.to_string(),
        addresses: ticket.addresses.join(", "),
        line: ticket.line_to_paste(),
        code: Qr::of(ticket.expose()).map(|qr| qr.to_svg("The ticket as a QR code")).unwrap_or_default(),
        file_name: ticket.file_name(),
        file: format!("data:text/plain;base64,{file}"),
        until,
    })
}

fn no_authority(visit: &Visit) -> Response {
    visit.go(
        "/sites",
        &Note::bad("This process has no certificate authority: use the controller that serves the sites."),
    )
}
