//! The log of texts, their templates with a preview, a test, and which language a customer reads.

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State as Extracted};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::UnixMillis;

use super::occasion::Occasion;
use super::search::{Asked, Search};
use super::state::State;
use super::template::{CHARACTERS, Facts, Template as TextTemplate, list};
use super::words::{Language, default_text};
use super::{Message, about, segments, store};
use crate::audit::Action;
use crate::customers;
use crate::customers::phone::Msisdn;
use crate::database::Connection;
use crate::ids::CustomerId;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display::{self, Badge, Moment, counted};
use crate::web::error::{PageError, percent_encoded};
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

/// Texts on one page.
pub const PAGE_ROWS: u32 = 50;
/// Texts on the page of a customer.
const OF_CUSTOMER: u32 = 5;

/// A text as a page shows it.
#[derive(Clone, Debug)]
pub(crate) struct MessageView {
    pub(crate) id: String,
    pub(crate) at: Moment,
    pub(crate) customer: Option<(String, String)>,
    pub(crate) phone: String,
    pub(crate) occasion: &'static str,
    pub(crate) body: String,
    pub(crate) segments: String,
    pub(crate) state: Badge,
    pub(crate) reason: String,
    pub(crate) cost: String,
}

fn badge(message: &Message) -> Badge {
    match message.course.state {
        State::Queued => Badge::info("waits"),
        State::Sending => Badge::info("being sent"),
        State::Sent => Badge::good("sent"),
        State::Unknown => Badge::warn("nobody knows"),
        State::Delivered => Badge::good("delivered"),
        State::Failed => Badge::bad("failed"),
        State::Dropped => Badge::idle("not sent"),
    }
}

impl MessageView {
    fn of(message: &Message, name: Option<String>, now: UnixMillis) -> Self {
        Self {
            id: message.id.to_string(),
            at: Moment::of(message.queued_at, now),
            customer: message.customer.as_ref().map(ToString::to_string).zip(name),
            phone: message.phone.to_string(),
            occasion: message.course.occasion.title(),
            body: message.body.clone(),
            segments: format!("{} SMS", message.segments),
            state: badge(message),
            reason: message.course.reason.clone(),
            cost: message.course.cost.clone(),
        }
    }
}

/// The newest texts of a customer, and the language that they chose, for their page.
pub(crate) async fn of_customer(
    connection: &mut Connection,
    customer: &CustomerId,
    now: UnixMillis,
) -> Result<(Vec<MessageView>, String), sqlx::Error> {
    let search = Search { customer: Some(customer.clone()), ..Search::default() }.between(None, None);
    let found = store::find(connection, &search, OF_CUSTOMER).await?;
    let person = store::person(connection, customer, display::midnight(now)).await?;
    let language = person.and_then(|person| person.language).map_or("", Language::as_str);
    let views = found.iter().map(|message| MessageView::of(message, None, now)).collect();
    Ok((views, language.to_owned()))
}

#[derive(Template)]
#[template(path = "messages/list.html")]
struct ListPage {
    frame: Frame,
    asked: Asked,
    /// What was looked for by a form of its own.
    number: String,
    complaint: String,
    customer: Option<(String, String)>,
    occasions: Vec<(&'static str, &'static str)>,
    states: Vec<(&'static str, String)>,
    messages: Vec<MessageView>,
    older: Option<String>,
    is_narrowed: bool,
    is_on: bool,
    may_test: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/messages", get(log))
        .route("/messages/number", post(of_number))
        .route("/messages/test", post(send_test))
        .route("/messages/templates", get(templates))
        .route("/messages/templates/{occasion}/{language}", get(edit).post(save))
        .route("/customers/{id}/language", post(choose_language))
}

async fn log(
    visit: Visit,
    Extracted(web): Extracted<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let search = asked.read().map_err(|unreadable| format!("{}: {}", unreadable.field, unreadable.reason));
    show(&visit, &web, asked, String::new(), search).await
}

/// Texts to a number. A form of its own, because a number does not belong into an address.
async fn of_number(Extracted(web): Extracted<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::Read)?;
    let search = Msisdn::parse(fields.value("number")).map_err(|error| error.to_string());
    let search = search.map(|phone| Search { phone: Some(phone), ..Search::default() }.between(None, None));
    show(&visit, &web, Asked::default(), fields.value("number").to_owned(), search).await
}

async fn show(
    visit: &Visit,
    web: &Web,
    asked: Asked,
    number: String,
    search: Result<Search, String>,
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let (found, complaint) = match &search {
        Ok(search) => (store::find(&mut reader, search, PAGE_ROWS).await?, String::new()),
        Err(complaint) => (Vec::new(), complaint.clone()),
    };
    let mut messages = Vec::with_capacity(found.len());
    for message in &found {
        let name = match &message.customer {
            Some(customer) => {
                let person = store::person(&mut reader, customer, display::midnight(visit.now)).await?;
                person.map(|person| person.name)
            }
            None => None,
        };
        messages.push(MessageView::of(message, name, visit.now));
    }
    let customer = match search.as_ref().ok().and_then(|search| search.customer.clone()) {
        Some(id) => customers::get(&mut reader, &id).await?.map(|found| (id.to_string(), found.name)),
        None => None,
    };
    let is_on = store::policy(&mut reader).await?.is_some();
    drop(reader);
    let is_full = u32::try_from(found.len()).unwrap_or(u32::MAX) >= PAGE_ROWS;
    let may_go_on = is_full && number.is_empty();
    let older = found.last().filter(|_| may_go_on).map(|last| href(&asked, last.id.as_str()));
    let status = if complaint.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = ListPage {
        frame: visit.frame("Texts", Section::Customers),
        is_narrowed: !number.is_empty() || narrowing(&asked).next().is_some(),
        asked,
        number,
        complaint,
        customer,
        occasions: Occasion::ALL.map(|one| (one.as_str(), one.title())).to_vec(),
        states: State::ALL.map(|one| (one.as_str(), words_of(one))).to_vec(),
        messages,
        older,
        is_on,
        may_test: visit.may(Permission::SendTexts),
    };
    visit.show_as(status, &page)
}

fn words_of(state: State) -> String {
    let words = match state {
        State::Queued => "waits",
        State::Sending => "being sent",
        State::Unknown => "nobody knows",
        State::Dropped => "not sent",
        State::Sent | State::Delivered | State::Failed => state.as_str(),
    };
    words.to_owned()
}

fn narrowing(asked: &Asked) -> impl Iterator<Item = (&'static str, &str)> {
    let fields = [
        ("customer", asked.customer.as_str()),
        ("occasion", &asked.occasion),
        ("state", &asked.state),
        ("from", &asked.from),
        ("until", &asked.until),
    ];
    fields.into_iter().filter(|(_, value)| !value.trim().is_empty())
}

fn href(asked: &Asked, before: &str) -> String {
    let fields = narrowing(asked).chain([("before", before)]);
    let query: Vec<String> =
        fields.map(|(name, value)| format!("{name}={}", percent_encoded(value.trim()))).collect();
    format!("/messages?{}", query.join("&"))
}

async fn send_test(Extracted(web): Extracted<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::SendTexts)?;
    let Ok(phone) = Msisdn::parse(fields.value("number")) else {
        let note = "Nothing was sent: write a Kenyan mobile number like 0712 345 678.";
        return Ok(visit.go("/messages", &Note::bad(note)));
    };
    let language = fields.value("language").parse().unwrap_or_default();
    let mut transaction = web.controller.database.write().await?;
    let cause = web.controller.ids.hex(8);
    let queued = about::test(&mut transaction, &phone, language, &cause, visit.now).await?;
    let Some(message) = queued else {
        let note = "Nothing was sent: texts are not set up. Fill in [sms] in controller.toml and restart.";
        return Ok(visit.go("/messages", &Note::bad(note)));
    };
    visit.commit(&web, transaction, (Action::TestTextSent, message.id.as_str(), ""), |_| {}).await?;
    Ok(visit.go("/messages?occasion=test", &Note::good(format!("A test is on its way to {phone}."))))
}

struct TemplateView {
    title: &'static str,
    explanation: &'static str,
    texts: Vec<TextView>,
}

struct TextView {
    href: String,
    language: &'static str,
    example: String,
    size: String,
    is_changed: bool,
}

#[derive(Template)]
#[template(path = "messages/templates.html")]
struct TemplatesPage {
    frame: Frame,
    templates: Vec<TemplateView>,
    may_change: bool,
}

async fn templates(visit: Visit, Extracted(web): Extracted<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let mut reader = web.controller.database.read().await?;
    let mut views = Vec::new();
    for occasion in Occasion::ALL {
        let mut texts = Vec::new();
        for language in Language::ALL {
            let written = store::template(&mut reader, occasion, language).await?;
            let template = super::template(&mut reader, occasion, language).await?;
            texts.push(TextView {
                href: format!("/messages/templates/{}/{language}", occasion.as_str()),
                language: language.title(),
                example: template.fill(&Facts::examples()),
                size: size_of(&template),
                is_changed: written.is_some(),
            });
        }
        let (title, explanation) = (occasion.title(), occasion.explanation());
        views.push(TemplateView { title, explanation, texts });
    }
    drop(reader);
    visit.show(&TemplatesPage {
        frame: visit.frame("Templates of texts", Section::Customers),
        templates: views,
        may_change: visit.may(Permission::ChangeTexts),
    })
}

/// `1 SMS, 104 of 160 characters`.
fn size_of(template: &TextTemplate) -> String {
    let size = template.example();
    if size.segments == 0 {
        return "not sent".to_owned();
    }
    let alphabet = match size.alphabet {
        segments::Alphabet::Gsm7 => "",
        segments::Alphabet::Ucs2 => ", because of a character that is not in the GSM alphabet",
    };
    let places = u64::try_from(size.places).unwrap_or(u64::MAX);
    format!("{} SMS, {}{alphabet}", size.segments, counted(places, "character"))
}

#[derive(Template)]
#[template(path = "messages/template.html")]
struct TemplatePage {
    frame: Frame,
    fields: Fields,
    path: String,
    title: &'static str,
    language: &'static str,
    explanation: &'static str,
    placeholders: String,
    characters: usize,
    preview: Option<(String, String)>,
    default: &'static str,
    may_change: bool,
}

fn template_of(path: &(String, String)) -> Result<(Occasion, Language), PageError> {
    let occasion = Occasion::parse(&path.0).ok_or(PageError::NotFound)?;
    let language = path.1.parse().map_err(|_| PageError::NotFound)?;
    Ok((occasion, language))
}

fn template_page(
    visit: &Visit,
    (occasion, language): (Occasion, Language),
    fields: Fields,
    template: Option<&TextTemplate>,
) -> TemplatePage {
    TemplatePage {
        frame: visit.frame(format!("{}, {}", occasion.title(), language.title()), Section::Customers),
        fields,
        path: format!("/messages/templates/{}/{language}", occasion.as_str()),
        title: occasion.title(),
        language: language.title(),
        explanation: occasion.explanation(),
        placeholders: list(occasion.placeholders()),
        characters: CHARACTERS,
        preview: template.map(|template| (template.fill(&Facts::examples()), size_of(template))),
        default: default_text(occasion, language),
        may_change: visit.may(Permission::ChangeTexts),
    }
}

async fn edit(
    visit: Visit,
    Extracted(web): Extracted<Web>,
    Path(path): Path<(String, String)>,
) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let which = template_of(&path)?;
    let template = super::template(&mut *web.controller.database.read().await?, which.0, which.1).await?;
    let fields = Fields::with(&[("body", template.text())]);
    visit.show(&template_page(&visit, which, fields, Some(&template)))
}

async fn save(
    Extracted(web): Extracted<Web>,
    Path(path): Path<(String, String)>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::ChangeTexts)?;
    let which = template_of(&path)?;
    let template = fields.read("body", |text| TextTemplate::parse(text, which.0));
    let act = fields.value("act").to_owned();
    let is_known = match &template {
        Some(template) if act != "default" && template.text() != default_text(which.0, which.1) => {
            let mut reader = web.controller.database.read().await?;
            super::addresses::are_known(&mut reader, template).await?
        }
        _ => Ok(()),
    };
    if let Err(why) = is_known {
        fields.complain("body", why.to_string());
        let page = template_page(&visit, which, fields, template.as_ref());
        return visit.show_as(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    if let (Some(template), "save" | "default") = (&template, act.as_str()) {
        let mut transaction = web.controller.database.write().await?;
        let is_default = act == "default" || template.text() == default_text(which.0, which.1);
        if is_default {
            store::delete_template(&mut transaction, which).await?;
        } else {
            let by = visit.actor().to_string();
            store::set_template(&mut transaction, which, template.text(), &by, visit.now).await?;
        }
        let subject = format!("{} {}", which.0.as_str(), which.1);
        visit.commit(&web, transaction, (Action::TextTemplateChanged, &subject, ""), |_| {}).await?;
        let note = format!("{} in {} is saved.", which.0.title(), which.1.title());
        return Ok(visit.go("/messages/templates", &Note::good(note)));
    }
    let status = if template.is_some() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    visit.show_as(status, &template_page(&visit, which, fields, template.as_ref()))
}

async fn choose_language(
    Extracted(web): Extracted<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::AddCustomers)?;
    let id = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let language: Option<Language> = fields.value("language").parse().ok();
    let mut transaction = web.controller.database.write().await?;
    if !store::set_language(&mut transaction, &id, language).await? {
        return Err(PageError::NotFound);
    }
    let chosen = language.map_or("default", Language::as_str);
    visit.commit(&web, transaction, (Action::CustomerLanguageChosen, id.as_str(), chosen), |_| {}).await?;
    let note = match language {
        Some(language) => format!("Texts go out in {} from now on.", language.title()),
        None => "Texts go out in the usual language from now on.".to_owned(),
    };
    Ok(visit.go(&format!("/customers/{id}"), &Note::good(note)))
}
