//! Taking rows over, on pages: read them, fill the sheet, look at the preview, confirm.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tawi_shared::wire::{CommandKind, Service};

use super::matching::People;
use super::sheet::{self, Entry, Offer, ROWS, Sheet, Suggested, Whose, key_of};
use super::table::{self, Table};
use super::take_over::{Doing, Outcome, take_over, take_over_again};
use super::{ForeignRow, KnownLine, TABLE_KEPT, store};
use crate::audit::{self, Action};
use crate::commands::{self, Command, LASTS, NewCommand};
use crate::ids::SiteId;
use crate::live::Hint;
use crate::plans;
use crate::sites::{self, Site};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{FILE_FORM_BYTES, Frame, Note, Posted, PostedFile, Section, Visit};

/// What the form has for each row.
const FIELDS: [&str; 11] = [
    "take",
    "row",
    "customer",
    "name",
    "phone",
    "plan",
    "until",
    "line",
    "given-customer",
    "given-plan",
    "given-line",
];
/// The longest table that is shown again, in bytes: one of a thousand rows. A longer one is read all the same; a page with
/// it would be many times its size, and sent back it would not fit into a form.
const SHOWN_BYTES: usize = 64 * 1024;
/// Names of lines that a sentence lists; the others are counted.
const NAMED: usize = 20;

/// What every step needs to know.
struct Known {
    site: Site,
    router: sites::Router,
    rows: Vec<ForeignRow>,
    people: People,
    offers: Vec<Offer>,
    /// The lines of the router, by name.
    lines: BTreeMap<String, KnownLine>,
    /// The last reading.
    reading: Option<Command>,
    /// The table that somebody brought for these rows.
    table: String,
}

impl Known {
    async fn read(web: &Web, visit: &Visit, site: &str, router: &str) -> Result<Self, PageError> {
        let id = SiteId::parse(site).map_err(|_| PageError::NotFound)?;
        let mut reader = web.controller.database.read().await?;
        let site = sites::get(&mut reader, &id).await?.ok_or(PageError::NotFound)?;
        let router = sites::find_router(&mut reader, &id, router).await?.ok_or(PageError::NotFound)?;
        let offers = plans::list_plans(&mut reader).await?;
        let offers = offers.into_iter().map(|plan| Offer {
            id: plan.id,
            name: plan.name,
            price: plan.terms.price,
            service: plan.connection_type.service,
            profile: plan.connection_type.profile_name,
            download: plan.connection_type.profile.download,
            upload: plan.connection_type.profile.upload,
        });
        Ok(Self {
            rows: super::rows_of(&mut reader, &id, &router.name).await?,
            people: People::new(store::people(&mut reader).await?),
            offers: offers.collect(),
            lines: store::lines_on(&mut reader, &router).await?,
            reading: commands::latest_of_kind(&mut reader, &id, CommandKind::ListForeign, &router.name)
                .await?,
            table: store::kept_table(&mut reader, (&id, &router.name), visit.now.minus(TABLE_KEPT)).await?,
            site,
            router,
        })
    }

    /// Rows that are not a line's yet that the site was told of.
    fn open(&self) -> impl Iterator<Item = &ForeignRow> {
        self.rows.iter().filter(|row| !self.is_on_router(&row.username))
    }

    /// Whether the site was told of a line of that name, which has a row of its own or is about to take it over.
    fn is_on_router(&self, username: &str) -> bool {
        self.lines.get(username).is_some_and(|line| line.is_on_router)
    }

    /// How many pages the rows fill, at least one.
    fn pages(&self) -> usize {
        self.open().count().div_ceil(ROWS).max(1)
    }

    /// A page of the sheet, the first for one that is not there any more.
    fn to(&self, page: usize) -> String {
        let query = if page > 1 { format!("?page={page}") } else { String::new() };
        format!("/sites/{}/routers/{}/take-over{query}", self.site.id, self.router.name)
    }

    /// What a text says of them as a table.
    fn table_of(&self, text: &str) -> Table {
        let plan_of = |name: &str| {
            let found = self.offers.iter().find(|offer| offer.name.eq_ignore_ascii_case(name.trim()));
            found.map(|offer| offer.id.clone())
        };
        if text.trim().is_empty() { Table::default() } else { table::read(text, &self.people, plan_of) }
    }

    /// Whether a table says anything of any row, as far as the rows were read.
    fn can_use(&self, table: &Table) -> bool {
        let is_row = |name: &str| self.rows.is_empty() || self.rows.iter().any(|row| row.username == name);
        table.rows.iter().any(|(name, said)| said.says_anything() && is_row(name))
    }

    /// Lines with rows of their name, for which head office has another password than the row may have.
    fn with_other_passwords(&self) -> Vec<&str> {
        let lines = self.rows.iter().filter_map(|row| self.lines.get(&row.username));
        lines
            .filter(|line| line.has_password && line.is_on_router)
            .map(|line| line.username.as_str())
            .collect()
    }
}

struct RowView {
    number: usize,
    key: String,
    username: String,
    comment: String,
    service: &'static str,
    profile: String,
    state: Badge,
    suggested: Suggested,
    /// Plans of its service: id, name, whether it is the suggested one.
    plans: Vec<(String, String, bool)>,
}

#[derive(Template)]
#[template(path = "adoption/sheet.html")]
struct SheetPage {
    frame: Frame,
    site: Site,
    router: String,
    reading: Option<(Badge, String, Moment)>,
    rows: Vec<RowView>,
    /// From 1.
    page: usize,
    pages: usize,
    /// Rows on all of them.
    open: usize,
    /// Of these, rows of which the table says all.
    said: usize,
    waiting: usize,
    /// Of those that wait, lines for which head office has another password, in words.
    other_passwords: String,
    has_table: bool,
    table: String,
    /// Whether the table that was read is too long to be shown again.
    is_table_long: bool,
    errors: Vec<String>,
}

struct EntryView {
    username: String,
    customer: String,
    is_new: bool,
    /// The name that its line had; empty for a new line, and where it is this one.
    instead_of: String,
    /// Whether the line is entered for it.
    is_new_line: bool,
    /// Whether that line was on another plan.
    is_new_plan: bool,
    plan: String,
    until: String,
    is_over: bool,
    is_online: bool,
    /// What of the row becomes another.
    changes: Vec<String>,
    /// Whether head office keeps a password for it, which may be another than the row's.
    has_own_password: bool,
}

#[derive(Template)]
#[template(path = "adoption/preview.html")]
struct PreviewPage {
    frame: Frame,
    site: Site,
    router: String,
    entries: Vec<EntryView>,
    complaints: Vec<sheet::Complaint>,
    /// Fields to be sent again.
    fields: Vec<(String, String)>,
    digest: String,
    over: usize,
    /// Customers that are entered for it.
    new: usize,
    /// Lines that are entered for it.
    new_lines: usize,
    /// Sessions that run and go on.
    online: usize,
    /// Rows whose passwords nobody at head office knows.
    unknown_passwords: usize,
    /// Rows of hotspot users, whose limits become their lines'.
    guests: usize,
    has_changed: bool,
    /// The page of the sheet that it is of.
    page: usize,
}

/// Which page of the sheet.
#[derive(Deserialize)]
struct Asked {
    page: Option<usize>,
}

/// The page that a form was of.
fn page_in(fields: &Fields) -> usize {
    fields.value("page").parse().unwrap_or(1)
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/sites/{id}/routers/{router}/take-over", get(show).post(with_table))
        .route("/sites/{id}/routers/{router}/take-over/read", post(read_rows))
        .route("/sites/{id}/routers/{router}/take-over/again", post(again))
        .route("/sites/{id}/routers/{router}/take-over/preview", post(preview))
        .route("/sites/{id}/routers/{router}/take-over/confirm", post(confirm))
        .layer(DefaultBodyLimit::max(FILE_FORM_BYTES))
}

async fn show(
    visit: Visit,
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visit.require(Permission::TakeOver)?;
    let known = Known::read(&web, &visit, &site, &router).await?;
    sheet_page(&visit, &known, asked.page.unwrap_or(1), Unread::default())
}

/// The first page of the sheet, filled in from a table that is kept for the others.
async fn with_table(
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    posted: PostedFile,
) -> Result<Response, PageError> {
    let PostedFile { visit, fields, file } = posted;
    visit.require(Permission::TakeOver)?;
    let mut known = Known::read(&web, &visit, &site, &router).await?;
    let typed = || fields.exact("table").to_owned();
    let mut unread = Unread::default();
    let brought = match file.map(|file| table::text_of(file.bytes)) {
        None => typed(),
        Some(Ok(text)) => text,
        Some(Err(why)) => {
            unread.errors.push(why);
            typed()
        }
    };
    // A database takes none of these, and no table needs one.
    let brought = brought.replace('\0', "");
    let is_forgotten = fields.value("forget") == "yes";
    let mut table = if is_forgotten { Table::default() } else { known.table_of(&brought) };
    let is_read = known.can_use(&table);
    if is_forgotten || is_read {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        let (site, router) = (&known.site.id, known.router.name.as_str());
        let act = if is_forgotten {
            let was_there = store::forget_table(&mut transaction, site, router).await?;
            was_there.then(|| (Action::AdoptionTableForgotten, format!("for router {router}")))
        } else {
            let is_replaced =
                store::keep_table(&mut transaction, (site, router), &brought, visit.now).await?;
            let action = if is_replaced { Action::AdoptionTableReplaced } else { Action::AdoptionTableKept };
            Some((action, format!("{} for router {router}", display::counted(table.rows.len(), "row"))))
        };
        if let Some((action, detail)) = act {
            let act = (action, site.as_str(), detail.as_str());
            audit::record(&mut transaction, &visit.actor(), act, &controller.ids, visit.now).await?;
        }
        transaction.commit().await?;
        known.table = if is_forgotten { String::new() } else { brought };
    } else if !brought.trim().is_empty() {
        // What is no table may be anything. An empty field is also that of a table which is too long to be shown.
        let kept = if known.table.is_empty() { "it is not kept" } else { "the table that was kept stays" };
        unread.errors.push(format!("Nothing in this table can be used for a row of this router: {kept}."));
        if !known.rows.is_empty() {
            table.complain_of_strangers(|name| known.rows.iter().any(|row| row.username == name));
        }
        unread.errors.extend(table.errors);
        unread.text = brought;
    }
    sheet_page(&visit, &known, 1, unread)
}

/// What somebody brought that is no table.
#[derive(Default)]
struct Unread {
    errors: Vec<String>,
    /// Shown again, to be put right.
    text: String,
}

fn sheet_page(visit: &Visit, known: &Known, page: usize, unread: Unread) -> Result<Response, PageError> {
    let mut table = known.table_of(&known.table);
    let text = if unread.text.is_empty() { &known.table } else { &unread.text };
    let names: BTreeSet<&str> = known.rows.iter().map(|row| row.username.as_str()).collect();
    // One that was taken over is no row of somebody else any more, and was used.
    table.complain_of_strangers(|name| names.contains(name) || known.is_on_router(name));
    let has_other_end = |line: &KnownLine, until| line.is_on_router && line.paid_until != Some(until);
    table.complain_of_ends(|name, until| {
        names.contains(name) && known.lines.get(name).is_some_and(|line| has_other_end(line, until))
    });
    let errors = unread.errors.iter().chain(&table.errors).cloned().collect();
    let pages = known.pages();
    let page = page.clamp(1, pages);
    let rows = known.open().skip(page.saturating_sub(1).saturating_mul(ROWS)).take(ROWS);
    let rows = rows.enumerate().map(|(number, row)| row_view(number, row, known, &table));
    let is_said = |row: &&ForeignRow| {
        sheet::suggest(row, &known.people, &table, &known.offers, &known.lines).is_said_whole()
    };
    let page = SheetPage {
        frame: visit.frame(format!("Take over {}", known.router.name), Section::Sites),
        router: known.router.name.clone(),
        reading: known.reading.as_ref().map(|command| {
            let view = commands::pages::CommandView::of(command, visit.now);
            (view.badge, view.detail, view.at)
        }),
        rows: rows.collect(),
        page,
        pages,
        open: known.open().count(),
        said: known.open().filter(|row| table.rows.contains_key(&row.username)).filter(is_said).count(),
        waiting: known.rows.len().saturating_sub(known.open().count()),
        other_passwords: named(&known.with_other_passwords()),
        has_table: !known.table.is_empty(),
        table: if text.len() > SHOWN_BYTES { String::new() } else { text.to_owned() },
        is_table_long: unread.text.is_empty() && text.len() > SHOWN_BYTES,
        errors,
        site: known.site.clone(),
    };
    visit.show(&page)
}

/// Names in a sentence, the first of many.
fn named(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(NAMED).collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

fn row_view(number: usize, row: &ForeignRow, known: &Known, table: &Table) -> RowView {
    let suggested = sheet::suggest(row, &known.people, table, &known.offers, &known.lines);
    let offers = known.offers.iter().filter(|offer| offer.service == row.service);
    RowView {
        number,
        key: key_of(row),
        username: row.username.clone(),
        comment: row.comment.clone(),
        service: display::service(row.service),
        profile: if row.rate_limit.is_empty() {
            row.profile.clone()
        } else {
            format!("{} ({})", row.profile, row.rate_limit)
        },
        state: match (row.is_disabled, row.is_online) {
            (true, _) => Badge::warn("disabled"),
            (false, true) => Badge::good("online"),
            (false, false) => Badge::idle("offline"),
        },
        plans: offers
            .map(|offer| {
                let id = offer.id.to_string();
                let is_suggested = id == suggested.plan;
                (id, offer.name.clone(), is_suggested)
            })
            .collect(),
        suggested,
    }
}

async fn read_rows(
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::TakeOver)?;
    let site = SiteId::parse(&site).map_err(|_| PageError::NotFound)?;
    let to = format!("/sites/{site}/routers/{router}/take-over");
    let new = NewCommand {
        site,
        kind: CommandKind::ListForeign,
        router,
        line: None,
        argument: String::new(),
        service: None,
        lasts: LASTS,
    };
    commands::pages::give(&web, &visit, new, &to, "The agent reads the rows; they appear here.").await
}

async fn preview(
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::TakeOver)?;
    let known = Known::read(&web, &visit, &site, &router).await?;
    let sheet = sheet::read(&fields, &known.rows, &known.people, &known.offers, &known.lines);
    if sheet == Sheet::default() {
        return Ok(visit.go(&known.to(page_in(&fields)), &Note::bad("No row is ticked.")));
    }
    preview_page(&visit, known, &sheet, &fields, false)
}

fn preview_page(
    visit: &Visit,
    known: Known,
    sheet: &Sheet,
    fields: &Fields,
    has_changed: bool,
) -> Result<Response, PageError> {
    let view = |entry: &Entry| {
        let (customer, is_new) = match &entry.whose {
            Whose::Known(person) => (format!("{} ({})", person.name, person.account), false),
            Whose::New { name, phone } => (format!("{name}, {}", display::phone(phone)), true),
        };
        EntryView {
            username: entry.username.to_string(),
            customer,
            is_new,
            instead_of: entry
                .line
                .as_ref()
                .filter(|line| line.username != entry.username.as_str())
                .map(|line| line.username.clone())
                .unwrap_or_default(),
            is_new_line: entry.line.is_none(),
            is_new_plan: entry.line.as_ref().is_some_and(|line| line.plan != entry.offer.id),
            plan: format!("{}, {}", entry.offer.name, display::kes(entry.offer.price)),
            until: Moment::of(entry.until, visit.now).full,
            is_over: entry.until <= visit.now,
            is_online: entry.row.is_online,
            changes: entry.changes(visit.now),
            has_own_password: entry.keeps_password(),
        }
    };
    let mut again = Vec::new();
    for number in 0..ROWS {
        if fields.value(&format!("take-{number}")) != "yes" {
            continue;
        }
        for field in FIELDS {
            let name = format!("{field}-{number}");
            let value = fields.value(&name).to_owned();
            again.push((name, value));
        }
    }
    let status = if has_changed || !sheet.complaints.is_empty() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let entries: Vec<EntryView> = sheet.entries.iter().map(view).collect();
    let count = |is_so: fn(&EntryView) -> bool| entries.iter().filter(|entry| is_so(entry)).count();
    let page = PreviewPage {
        frame: visit.frame(format!("Take over {}", known.router.name), Section::Sites),
        router: known.router.name.clone(),
        complaints: sheet.complaints.clone(),
        fields: again,
        digest: sheet.digest(visit.now),
        over: count(|entry| entry.is_over),
        new: count(|entry| entry.is_new),
        new_lines: count(|entry| entry.is_new_line),
        unknown_passwords: count(|entry| !entry.has_own_password),
        guests: sheet.entries.iter().filter(|entry| entry.row.service == Service::Hotspot).count(),
        online: count(|entry| entry.is_online && !entry.is_over),
        entries,
        has_changed,
        page: page_in(fields),
        site: known.site,
    };
    visit.show_as(status, &page)
}

async fn confirm(
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::TakeOver)?;
    let known = Known::read(&web, &visit, &site, &router).await?;
    let sheet = sheet::read(&fields, &known.rows, &known.people, &known.offers, &known.lines);
    if sheet.entries.is_empty()
        || !sheet.complaints.is_empty()
        || sheet.digest(visit.now) != fields.value("digest")
    {
        return preview_page(&visit, known, &sheet, &fields, true);
    }
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let actor = visit.actor();
    let doing = Doing { actor: &actor, ids: &controller.ids, now: visit.now };
    let lines = match take_over(&mut transaction, &known.router, &sheet, doing).await? {
        Outcome::TakenOver(lines) => lines,
        Outcome::Refused(why) => {
            let to = known.to(page_in(&fields));
            return Ok(visit.go(&to, &Note::bad(format!("Nothing was done. {why}"))));
        }
    };
    let count = lines.len();
    // Counted here: another reading, or another person's page, may have come in meanwhile.
    let is_done = store::count_open(&mut transaction, &known.router).await? == 0;
    if is_done && store::forget_table(&mut transaction, &known.site.id, &known.router.name).await? {
        let detail = format!("for router {}", known.router.name);
        let act = (Action::AdoptionTableForgotten, known.site.id.as_str(), detail.as_str());
        audit::record(&mut transaction, &actor, act, &controller.ids, visit.now).await?;
    }
    let (live, site) = (controller.live.clone(), known.site.id.clone());
    // On a task of its own: a browser that hangs up ends this handler, and the bell must ring after the commit.
    let told = tokio::spawn(async move {
        transaction.commit().await?;
        live.ring_outbox();
        lines.into_iter().for_each(|line| live.tell(Hint::Line(line)));
        live.tell(Hint::Site(site));
        Ok::<_, sqlx::Error>(())
    });
    told.await??;
    let note = format!(
        "Ordered to be taken over: {}. The site does it one by one, without a break for whoever is paid for.",
        display::counted(count, "row")
    );
    Ok(visit.go(&known.to(page_in(&fields)), &Note::good(note)))
}

async fn again(
    State(web): State<Web>,
    Path((site, router)): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let visit = posted.visit;
    visit.require(Permission::TakeOver)?;
    let id = SiteId::parse(&site).map_err(|_| PageError::NotFound)?;
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let router = sites::find_router(&mut transaction, &id, &router).await?.ok_or(PageError::NotFound)?;
    let actor = visit.actor();
    let doing = Doing { actor: &actor, ids: &controller.ids, now: visit.now };
    let count = take_over_again(&mut transaction, &router, doing).await?;
    let live = controller.live.clone();
    let site = id.clone();
    let told = tokio::spawn(async move {
        transaction.commit().await?;
        live.ring_outbox();
        live.tell(Hint::Site(site));
        Ok::<_, sqlx::Error>(())
    });
    told.await??;
    let to = format!("/sites/{id}/routers/{}/take-over", router.name);
    let note = match count {
        0 => "Nothing is left to be tried again: every row was taken over, or is ordered to be.".to_owned(),
        count => format!("Ordered to be taken over: {}.", display::counted(count, "row")),
    };
    Ok(visit.go(&to, &Note::good(note)))
}
