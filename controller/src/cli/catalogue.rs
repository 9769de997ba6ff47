//! `connection-type`, `plan`, `customer` and `subscription`.

use std::path::PathBuf;

use tawi_shared::wire::Service;

use super::arguments::{
    ConnectionTypeCommand, CustomerCommand, PlanCommand, ServiceWord, SubscriptionCommand,
};
use super::office::first_line;
use super::{Failure, Shell};
use crate::audit::Action;
use crate::customers::account_number::AccountNumber;
use crate::customers::api::CustomerBody;
use crate::customers::phone::Msisdn;
use crate::customers::{self, NewCustomer};
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, CustomerId, PlanId, RouterId, SiteId};
use crate::plans::api::{ConnectionTypeBody, PlanBody};
use crate::plans::{self, NewConnectionType, NewPlan};
use crate::sites;
use crate::subscriptions::api::SubscriptionAdded;
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::{self, NewSubscription};

impl Shell {
    pub(super) async fn connection_type(&self, command: ConnectionTypeCommand) -> Result<(), Failure> {
        let ConnectionTypeCommand::Add { service, profile, download, upload, download_burst, upload_burst } =
            command;
        let service = match service {
            ServiceWord::Pppoe => Service::Pppoe,
            ServiceWord::Hotspot => Service::Hotspot,
        };
        let new = NewConnectionType {
            service,
            profile_name: profile,
            download,
            upload,
            download_burst,
            upload_burst,
        };
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let created = plans::create_connection_type(&mut transaction, new, ids, now).await?;
        let kind = created_or_refused(created)?;
        self.commit(transaction, (Action::ConnectionTypeAdded, kind.id.as_str(), &kind.profile_name)).await?;
        let words = format!("connection type {} added: {}", kind.profile_name, kind.id);
        self.output.say(&words, &ConnectionTypeBody::from(&kind))
    }

    pub(super) async fn plan(&self, command: PlanCommand) -> Result<(), Failure> {
        let PlanCommand::Add { name, connection_type, price, validity, quota, description } = command;
        let mut transaction = self.controller.database.write().await?;
        let connection_type = find_connection_type(&mut transaction, &connection_type).await?;
        let new = NewPlan { name, connection_type, price, validity, data_quota_bytes: quota, description };
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let plan = created_or_refused(plans::create_plan(&mut transaction, new, ids, now).await?)?;
        self.commit(transaction, (Action::PlanAdded, plan.id.as_str(), &plan.name)).await?;
        let words = format!("plan {:?} added for KES {}: {}", plan.name, plan.price, plan.id);
        self.output.say(&words, &PlanBody::from(&plan))
    }

    pub(super) async fn customer(&self, command: CustomerCommand) -> Result<(), Failure> {
        let CustomerCommand::Add { name, phone } = command;
        let phone = Msisdn::parse(&phone).map_err(|error| Failure::refused(format!("--phone: {error}")))?;
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let new = NewCustomer { name, phone };
        let customer = match customers::create(&mut transaction, new, ids, now).await? {
            customers::Created::Created(customer) => customer,
            customers::Created::Invalid(invalid) => return Err(Failure::refused(format!("--{invalid}"))),
        };
        let number = customer.account_number.as_str();
        self.commit(transaction, (Action::CustomerAdded, customer.id.as_str(), number)).await?;
        let words = format!("{} added with account number {number}", customer.name);
        self.output.say(&words, &CustomerBody::from(&customer))
    }

    pub(super) async fn subscription(&self, command: SubscriptionCommand) -> Result<(), Failure> {
        let SubscriptionCommand::Add { customer, plan, site, router, username, password_file } = command;
        let password = self.line_password(password_file)?;
        let username =
            Username::parse(&username).map_err(|invalid| Failure::refused(format!("--{invalid}")))?;
        let mut transaction = self.controller.database.write().await?;
        let new = NewSubscription {
            customer: find_customer(&mut transaction, &customer).await?,
            plan: find_plan(&mut transaction, &plan).await?,
            router: find_router(&mut transaction, &site, &router).await?,
            username,
            password: password.clone(),
        };
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let subscription = match subscriptions::create(&mut transaction, new, ids, now).await? {
            subscriptions::Created::Created(subscription) => subscription,
            subscriptions::Created::UsernameTaken => {
                return Err(Failure::refused("--username: that name is taken on this router"));
            }
            subscriptions::Created::SiteRevoked => {
                return Err(Failure::refused("--site: it is revoked; nothing is sold there"));
            }
            subscriptions::Created::NoSuchCustomer
            | subscriptions::Created::NoSuchPlan
            | subscriptions::Created::NoSuchRouter => {
                return Err(Failure::refused("customer, plan or router was removed meanwhile"));
            }
        };
        let act = (Action::SubscriptionAdded, subscription.id.as_str(), subscription.username.as_str());
        self.commit(transaction, act).await?;
        let words = format!(
            "subscription {} added; user name {}, password {}",
            subscription.id,
            subscription.username,
            password.reveal()
        );
        let added = SubscriptionAdded {
            subscription: (&subscription).into(),
            password: password.reveal().to_owned(),
        };
        self.output.say(&words, &added)
    }

    fn line_password(&self, file: Option<PathBuf>) -> Result<Password, Failure> {
        let Some(path) = file else { return Ok(Password::random(&self.controller.ids)) };
        let text = first_line(&path)?;
        Password::parse(&text).map_err(|invalid| Failure::refused(format!("{}: {invalid}", path.display())))
    }
}

fn created_or_refused<T>(created: plans::Created<T>) -> Result<T, Failure> {
    match created {
        plans::Created::Created(thing) => Ok(thing),
        plans::Created::NameTaken => Err(Failure::refused("that name is taken: choose another")),
        plans::Created::NoSuchConnectionType => Err(Failure::refused("there is no such connection type")),
        plans::Created::Invalid(invalid) => Err(Failure::refused(format!("--{invalid}"))),
    }
}

async fn find_connection_type(connection: &mut Connection, text: &str) -> Result<ConnectionTypeId, Failure> {
    for service in Service::ALL.iter().copied() {
        if let Some(kind) = plans::find_connection_type(connection, service, text).await? {
            return Ok(kind.id);
        }
    }
    if let Ok(id) = ConnectionTypeId::parse(text)
        && plans::get_connection_type(connection, &id).await?.is_some()
    {
        return Ok(id);
    }
    Err(Failure::refused(format!(
        "--connection-type: there is no {text:?}: tawi-controller connection-type add"
    )))
}

async fn find_customer(connection: &mut Connection, text: &str) -> Result<CustomerId, Failure> {
    if let Ok(number) = AccountNumber::parse(text)
        && let Some(customer) = customers::by_account_number(connection, &number).await?
    {
        return Ok(customer.id);
    }
    if let Ok(id) = CustomerId::parse(text)
        && customers::get(connection, &id).await?.is_some()
    {
        return Ok(id);
    }
    Err(Failure::refused(format!("--customer: there is no {text:?}: give the account number or the id")))
}

async fn find_plan(connection: &mut Connection, text: &str) -> Result<PlanId, Failure> {
    if let Some(plan) = plans::find_plan(connection, text).await? {
        return Ok(plan.id);
    }
    if let Ok(id) = PlanId::parse(text)
        && plans::get_plan(connection, &id).await?.is_some()
    {
        return Ok(id);
    }
    Err(Failure::refused(format!("--plan: there is no {text:?}: tawi-controller plan add")))
}

async fn find_router(connection: &mut Connection, site: &SiteId, name: &str) -> Result<RouterId, Failure> {
    if sites::get(connection, site).await?.is_none() {
        return Err(Failure::refused(format!("--site: there is no {site}: tawi-controller site list")));
    }
    let router = sites::find_router(connection, site, name).await?;
    router.map(|router| router.id).ok_or_else(|| {
        Failure::refused(format!("--router: {site} has no {name:?}: tawi-controller router add"))
    })
}
