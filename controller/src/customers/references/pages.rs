//! References on a customer's page: which there are, one more, one less.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;

use super::{Added, MOST, Reference};
use crate::audit::Action;
use crate::ids::{CustomerId, LineId};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::error::PageError;
use crate::web::visit::{Note, Posted};

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/customers/{id}/references", post(add))
        .route("/customers/{id}/references/remove", post(remove))
}

async fn add(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::AssignPayments)?;
    let customer = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let page = format!("/customers/{customer}");
    let written = fields.value("reference").to_owned();
    let reference = match Reference::parse(&written) {
        Ok(reference) => reference,
        Err(why) => return Ok(visit.go(&page, &Note::bad(format!("Nothing was entered: {why}.")))),
    };
    let line = Some(fields.value("subscription")).filter(|line| !line.is_empty());
    let line = line.map(LineId::parse).transpose().map_err(|_| PageError::NotFound)?;
    let mut transaction = web.controller.database.write().await?;
    let note = match super::add(&mut transaction, (&customer, &written), reference, line, visit.now).await? {
        Added::Added(entered) => {
            let act = (Action::ReferenceAdded, customer.as_str(), entered.reference.as_str());
            visit.commit(&web, transaction, act, |_| {}).await?;
            Note::good(format!("Payments to {} are this customer’s from now on.", entered.written))
        }
        Added::NoSuchCustomer | Added::NotTheirs => return Err(PageError::NotFound),
        Added::AnothersAlready => Note::bad("Nothing was entered: it is another customer’s."),
        Added::TooMany => Note::bad(format!(
            "Nothing was entered: a customer has at most {MOST}. Take away those that nobody pays by any more."
        )),
    };
    Ok(visit.go(&page, &note))
}

async fn remove(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, fields } = posted;
    visit.require(Permission::AssignPayments)?;
    let customer = CustomerId::parse(&id).map_err(|_| PageError::NotFound)?;
    let reference = Reference::typed(fields.value("reference")).ok_or(PageError::NotFound)?;
    let mut transaction = web.controller.database.write().await?;
    if !super::remove(&mut transaction, &customer, &reference).await? {
        return Err(PageError::NotFound);
    }
    let act = (Action::ReferenceRemoved, customer.as_str(), reference.as_str());
    visit.commit(&web, transaction, act, |_| {}).await?;
    let note = Note::good("It is taken away. Payments that name it wait for a person from now on.");
    Ok(visit.go(&format!("/customers/{customer}"), &note))
}
