//! `customer` and `subscription`.

use std::path::PathBuf;

use super::arguments::{CustomerCommand, SubscriptionCommand};
use super::catalogue::find_plan;
use super::office::first_line;
use super::{Failure, Shell};
use crate::audit::Action;
use crate::customers::account_number::AccountNumber;
use crate::customers::api::CustomerBody;
use crate::customers::phone::Msisdn;
use crate::customers::{self, NewCustomer};
use crate::database::Connection;
use crate::ids::{CustomerId, LineId, PlanId, RouterId, SiteId};
use crate::plans::{self, Family};
use crate::sites;
use crate::subscriptions::api::{SubscriptionAdded, SubscriptionBody};
use crate::subscriptions::credentials::{Password, Username};
use crate::subscriptions::editing::{self, Edited, Settings};
use crate::subscriptions::{self, NewSubscription, device};

impl Shell {
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
        let (customer, plan, site, router, username, own, password_file) = match command {
            SubscriptionCommand::Change { subscription, plan, address, caller_id, password_file } => {
                let own = (address, caller_id);
                return self.change_subscription(&subscription, plan, own, password_file).await;
            }
            SubscriptionCommand::Add {
                customer,
                plan,
                site,
                router,
                username,
                address,
                caller_id,
                password_file,
            } => (customer, plan, site, router, username, (address, caller_id), password_file),
        };
        let is_given = password_file.is_some();
        let password = self.line_password(password_file)?;
        let username = Username::parse(&username).map_err(refused)?;
        let mut transaction = self.controller.database.write().await?;
        let plan = find_plan(&mut transaction, &plan).await?;
        if is_given && !logs_in(&mut transaction, &plan).await? {
            return Err(Failure::refused(
                "--password-file: nobody logs in on this plan's service; leave it out",
            ));
        }
        let new = NewSubscription {
            customer: find_customer(&mut transaction, &customer).await?,
            plan,
            router: find_router(&mut transaction, &site, &router).await?,
            username,
            password: password.clone(),
            address: device::address(&own.0).map_err(refused)?,
            caller_id: device::caller_id(&own.1).map_err(refused)?,
        };
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let subscription = match subscriptions::create(&mut transaction, new, ids, now).await? {
            subscriptions::Created::Created(subscription) => subscription,
            subscriptions::Created::UsernameTaken => {
                return Err(Failure::refused("--username: that name is taken on this router"));
            }
            subscriptions::Created::AddressTaken(holder) => {
                return Err(Failure::refused(format!("--address: {holder} has it on this router")));
            }
            subscriptions::Created::DeviceTaken(holder) => {
                return Err(Failure::refused(format!("--caller-id: {holder} is this device on this router")));
            }
            subscriptions::Created::Invalid(invalid) => return Err(refused(invalid)),
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
        let added = SubscriptionAdded::of(&subscription, &password);
        let secret = added.password.as_ref().map(|password| format!(", password {password}"));
        let words = format!(
            "subscription {} added; user name {}{}",
            subscription.id,
            subscription.username,
            secret.unwrap_or_default()
        );
        self.output.say(&words, &added)
    }

    async fn change_subscription(
        &self,
        id: &LineId,
        plan: Option<String>,
        own: (Option<String>, Option<String>),
        password_file: Option<PathBuf>,
    ) -> Result<(), Failure> {
        let address = own.0.as_deref().map(device::address).transpose().map_err(refused)?;
        let caller_id = own.1.as_deref().map(device::caller_id).transpose().map_err(refused)?;
        let password = password_file.map(|path| self.line_password(Some(path))).transpose()?;
        let mut transaction = self.controller.database.write().await?;
        let plan = match plan {
            Some(plan) => Some(find_plan(&mut transaction, &plan).await?),
            None => None,
        };
        let change = |settings: &mut Settings| {
            settings.plan = plan.unwrap_or_else(|| settings.plan.clone());
            settings.address = address.unwrap_or(settings.address);
            settings.caller_id = caller_id.unwrap_or_else(|| settings.caller_id.clone());
            settings.password = password;
        };
        let now = self.controller.clock.now();
        match editing::edit(&mut transaction, id, change, now).await? {
            Edited::Edited { subscription, what, .. } => {
                self.commit(transaction, (Action::SubscriptionChanged, id.as_str(), &what)).await?;
                let words = format!("subscription {id} is changed: {what}");
                self.output.say(&words, &SubscriptionBody::from(&subscription))
            }
            Edited::AlreadySo(subscription) => {
                let words = format!("subscription {id} was so already");
                self.output.say(&words, &SubscriptionBody::from(&subscription))
            }
            Edited::NoSuchSubscription => Err(Failure::refused(format!("there is no subscription {id}"))),
            Edited::NoSuchPlan => Err(Failure::refused("--plan: it was removed meanwhile")),
            Edited::AddressTaken(holder) => {
                Err(Failure::refused(format!("--address: {holder} has it on its router")))
            }
            Edited::DeviceTaken(holder) => {
                Err(Failure::refused(format!("--caller-id: {holder} is this device on its router")))
            }
            Edited::Invalid(invalid) => Err(refused(invalid)),
        }
    }

    fn line_password(&self, file: Option<PathBuf>) -> Result<Password, Failure> {
        let Some(path) = file else { return Ok(Password::random(&self.controller.ids)) };
        let text = first_line(&path)?;
        Password::parse(&text).map_err(|invalid| Failure::refused(format!("{}: {invalid}", path.display())))
    }
}

fn refused(invalid: customers::Invalid) -> Failure {
    Failure::refused(format!("--{}: {}", invalid.field.replace('_', "-"), invalid.reason))
}

/// Whether somebody logs in on lines of this plan.
async fn logs_in(connection: &mut Connection, plan: &PlanId) -> Result<bool, Failure> {
    let plan = plans::get_plan(connection, plan).await?;
    Ok(plan.is_none_or(|plan| Family::of(plan.connection_type.service) != Family::Static))
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

async fn find_router(connection: &mut Connection, site: &SiteId, name: &str) -> Result<RouterId, Failure> {
    if sites::get(connection, site).await?.is_none() {
        return Err(Failure::refused(format!("--site: there is no {site}: tawi-controller site list")));
    }
    let router = sites::find_router(connection, site, name).await?;
    router.map(|router| router.id).ok_or_else(|| {
        Failure::refused(format!("--router: {site} has no {name:?}: tawi-controller router add"))
    })
}
