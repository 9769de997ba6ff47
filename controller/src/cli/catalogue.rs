//! `connection-type`, `plan` and `top-up`.

use serde_json::json;

use super::arguments::{ConnectionTypeCommand, PlanCommand, ProfileArguments, TopUpCommand};
use super::{Failure, Shell, units};
use crate::audit::Action;
use crate::customers::Invalid;
use crate::database::Connection;
use crate::ids::{ConnectionTypeId, PlanId};
use crate::plans::api::{ConnectionTypeBody, PlanBody};
use crate::plans::{
    self, ConnectionType, Family, NewConnectionType, NewPlan, Plan, Profile, Restraint, Terms,
};
use crate::subscriptions::reach::{self, Of};
use crate::top_ups::api::TopUpBody;
use crate::top_ups::{self, NewTopUp, TopUp};
use crate::web::display;

impl Shell {
    pub(super) async fn connection_type(&self, command: ConnectionTypeCommand) -> Result<(), Failure> {
        match command {
            ConnectionTypeCommand::Add { service, profile, download, upload, more } => {
                let settings = with(Profile { download, upload, ..Profile::default() }, more);
                let (service, profile_name) = (service.into(), profile);
                self.add_connection_type(NewConnectionType { service, profile_name, profile: settings }).await
            }
            ConnectionTypeCommand::Change { connection_type, download, upload, more } => {
                let mut transaction = self.controller.database.write().await?;
                let kind = find_connection_type(&mut transaction, &connection_type).await?;
                let there = kind.profile.clone();
                let mut profile = there.clone();
                profile.download = download.unwrap_or(profile.download);
                profile.upload = upload.unwrap_or(profile.upload);
                let (profile, now) = (with(profile, more), self.controller.clock.now());
                if profile == there {
                    let is = format!("connection type {} is {}", kind.profile_name, there.in_words());
                    return self
                        .output
                        .say(&format!("nothing was to change: {is}"), &ConnectionTypeBody::from(&kind));
                }
                let reach = reach::reach(&mut transaction, Of::ConnectionType(&kind.id)).await?;
                let how = Family::of(kind.service).at_another_speed();
                self.output.tell(&format!("it has {reach}; when the speed changes, {how}"));
                let changed = plans::change_connection_type(&mut transaction, &kind.id, profile, now).await?;
                let kind = changed_or_refused(changed)?;
                let act = (Action::ConnectionTypeChanged, kind.id.as_str(), kind.profile.in_words());
                self.commit(transaction, (act.0, act.1, &act.2)).await?;
                let words =
                    format!("connection type {} is now {}", kind.profile_name, kind.profile.in_words());
                self.output.say(&words, &ConnectionTypeBody::from(&kind))
            }
            ConnectionTypeCommand::List => {
                let mut reader = self.controller.database.read().await?;
                let kinds = plans::list_connection_types(&mut reader).await?;
                let line = |kind: &ConnectionType| {
                    let service = display::service(kind.service);
                    format!("{:<32} {:<16} {}", kind.profile_name, service, kind.profile.in_words())
                };
                let lines: Vec<String> = kinds.iter().map(line).collect();
                let words =
                    or_empty(&lines, "there is no connection type: tawi-controller connection-type add");
                self.output.say(&words, &kinds.iter().map(ConnectionTypeBody::from).collect::<Vec<_>>())
            }
        }
    }

    async fn add_connection_type(&self, new: NewConnectionType) -> Result<(), Failure> {
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let created = plans::create_connection_type(&mut transaction, new, ids, now).await?;
        let kind = created_or_refused(created)?;
        self.commit(transaction, (Action::ConnectionTypeAdded, kind.id.as_str(), &kind.profile_name)).await?;
        let words = format!("connection type {} added: {}", kind.profile_name, kind.id);
        self.output.say(&words, &ConnectionTypeBody::from(&kind))
    }

    pub(super) async fn plan(&self, command: PlanCommand) -> Result<(), Failure> {
        match command {
            PlanCommand::List => {
                let plans = plans::list_plans(&mut *self.controller.database.read().await?).await?;
                let line = |plan: &Plan| {
                    let kind = &plan.connection_type.profile_name;
                    format!("{:<32} on {kind:<24} {}", plan.name, plan.terms.in_words())
                };
                let lines: Vec<String> = plans.iter().map(line).collect();
                let words = or_empty(&lines, "there is no plan: tawi-controller plan add");
                self.output.say(&words, &plans.iter().map(PlanBody::from).collect::<Vec<_>>())
            }
            add @ PlanCommand::Add { .. } => self.add_plan(add).await,
            change @ PlanCommand::Change { .. } => self.change_plan(change).await,
        }
    }

    async fn add_plan(&self, command: PlanCommand) -> Result<(), Failure> {
        let PlanCommand::Add { name, connection_type, price, validity, quota, .. } = &command else {
            return Ok(());
        };
        let PlanCommand::Add { after_quota, suspension, offline, description, .. } = &command else {
            return Ok(());
        };
        let terms = Terms {
            price: *price,
            validity: *validity,
            data_quota_bytes: *quota,
            suspension: *suspension,
            after_quota: *after_quota,
            offline: units::offline(offline).map_err(|how| Failure::refused(format!("--offline: {how}")))?,
            description: description.clone(),
        };
        let mut transaction = self.controller.database.write().await?;
        let connection_type = find_connection_type(&mut transaction, connection_type).await?.id;
        let new = NewPlan { name: name.clone(), connection_type, terms };
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let plan = created_or_refused(plans::create_plan(&mut transaction, new, ids, now).await?)?;
        self.commit(transaction, (Action::PlanAdded, plan.id.as_str(), &plan.name)).await?;
        let words = format!("plan {:?} added for KES {}: {}", plan.name, plan.terms.price, plan.id);
        self.output.say(&words, &PlanBody::from(&plan))
    }

    async fn change_plan(&self, command: PlanCommand) -> Result<(), Failure> {
        let PlanCommand::Change {
            plan,
            price,
            validity,
            quota,
            after_quota,
            suspension,
            offline,
            description,
        } = command
        else {
            return Ok(());
        };
        let mut transaction = self.controller.database.write().await?;
        let id = find_plan(&mut transaction, &plan).await?;
        let Some(before) = plans::get_plan(&mut transaction, &id).await? else { return Err(no_plan(&plan)) };
        let Terms { offline: offline_before, data_quota_bytes: quota_before, .. } = before.terms;
        let quota = quota.as_deref().map(units::quota).transpose();
        let offline = offline.as_deref().map(units::offline).transpose();
        let data_quota_bytes = quota
            .map_err(|how| Failure::refused(format!("--quota: {how}, or none")))?
            .unwrap_or(quota_before);
        // What came after a limit goes with it.
        let after_before = data_quota_bytes.map_or(Restraint::Off, |_| before.terms.after_quota);
        let terms = Terms {
            price: price.unwrap_or(before.terms.price),
            validity: validity.unwrap_or(before.terms.validity),
            data_quota_bytes,
            suspension: suspension.unwrap_or(before.terms.suspension),
            after_quota: after_quota.unwrap_or(after_before),
            offline: offline
                .map_err(|how| Failure::refused(format!("--offline: {how}")))?
                .unwrap_or(offline_before),
            description: description.unwrap_or_else(|| before.terms.description.clone()),
        };
        if terms == before.terms {
            let words =
                format!("nothing was to change: plan {:?} is {}", before.name, before.terms.in_words());
            return self.output.say(&words, &PlanBody::from(&before));
        }
        let now = self.controller.clock.now();
        let plan = changed_or_refused(plans::change_plan(&mut transaction, &id, terms, now).await?)?;
        let words = plan.terms.in_words();
        self.commit(transaction, (Action::PlanChanged, plan.id.as_str(), &words)).await?;
        self.output.say(&format!("plan {:?} is now {words}", plan.name), &PlanBody::from(&plan))
    }

    pub(super) async fn top_up(&self, command: TopUpCommand) -> Result<(), Failure> {
        let TopUpCommand::Add { name, plan, price, data } = command else {
            let top_ups = top_ups::list(&mut *self.controller.database.read().await?).await?;
            let line = |top_up: &TopUp| {
                let of = if top_up.plan_name.is_empty() { "any plan" } else { top_up.plan_name.as_str() };
                format!("{:<32} {} for KES {}, {of}", top_up.name, display::bytes(top_up.bytes), top_up.price)
            };
            let lines: Vec<String> = top_ups.iter().map(line).collect();
            let words = or_empty(&lines, "there is no top-up: tawi-controller top-up add");
            return self.output.say(&words, &top_ups.iter().map(TopUpBody::from).collect::<Vec<_>>());
        };
        let mut transaction = self.controller.database.write().await?;
        let plan = match plan {
            Some(plan) => Some(find_plan(&mut transaction, &plan).await?),
            None => None,
        };
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let new = NewTopUp { name, plan, price, bytes: data };
        let top_up = match top_ups::create(&mut transaction, new, ids, now).await? {
            top_ups::Created::Created(top_up) => top_up,
            top_ups::Created::NameTaken => {
                return Err(Failure::refused("that name is taken: choose another"));
            }
            top_ups::Created::NoSuchPlan => return Err(Failure::refused("the plan was removed meanwhile")),
            top_ups::Created::Invalid(invalid) => return Err(refused(invalid)),
        };
        self.commit(transaction, (Action::TopUpAdded, top_up.id.as_str(), &top_up.name)).await?;
        let words = format!("top-up {:?} added for KES {}: {}", top_up.name, top_up.price, top_up.id);
        self.output.say(&words, &json!(TopUpBody::from(&top_up)))
    }
}

/// What was given, over what is there.
fn with(profile: Profile, more: ProfileArguments) -> Profile {
    Profile {
        download: profile.download,
        upload: profile.upload,
        download_burst: more.download_burst.unwrap_or(profile.download_burst),
        upload_burst: more.upload_burst.unwrap_or(profile.upload_burst),
        download_threshold: more.download_threshold.unwrap_or(profile.download_threshold),
        upload_threshold: more.upload_threshold.unwrap_or(profile.upload_threshold),
        burst_seconds: more.burst_seconds.unwrap_or(profile.burst_seconds),
        priority: more.priority.unwrap_or(profile.priority),
        shared_users: more.shared_users.unwrap_or(profile.shared_users),
        pool: more.pool.unwrap_or(profile.pool),
        local_address: more.local_address.unwrap_or(profile.local_address),
    }
}

fn or_empty(lines: &[String], empty: &str) -> String {
    if lines.is_empty() { empty.to_owned() } else { lines.join("\n") }
}

fn refused(invalid: Invalid) -> Failure {
    // The options whose names are not those of the fields of a form.
    let option = match invalid.field {
        "name" => "NAME".to_owned(),
        "profile_name" => "--profile".to_owned(),
        "offline_hours" => "--offline".to_owned(),
        field => format!("--{}", field.replace('_', "-")),
    };
    Failure::refused(format!("{option}: {}", invalid.reason))
}

fn created_or_refused<T>(created: plans::Created<T>) -> Result<T, Failure> {
    match created {
        plans::Created::Created(thing) => Ok(thing),
        plans::Created::NameTaken => Err(Failure::refused(
            "that name is taken: choose another (PPP services share one list of profiles on a router)",
        )),
        plans::Created::NoSuchConnectionType => Err(Failure::refused("there is no such connection type")),
        plans::Created::Invalid(invalid) => Err(refused(invalid)),
    }
}

fn changed_or_refused<T>(changed: plans::Changed<T>) -> Result<T, Failure> {
    match changed {
        plans::Changed::Changed(thing) => Ok(thing),
        plans::Changed::NoSuchOne => Err(Failure::refused("it was removed meanwhile")),
        plans::Changed::AgainstPlan(plan) => Err(Failure::refused(plans::against_plan(&plan))),
        plans::Changed::Invalid(invalid) => Err(refused(invalid)),
    }
}

async fn find_connection_type(connection: &mut Connection, text: &str) -> Result<ConnectionType, Failure> {
    for family in [Family::Ppp, Family::Hotspot, Family::Static] {
        if let Some(kind) = plans::find_connection_type(connection, family, text).await? {
            return Ok(kind);
        }
    }
    if let Ok(id) = ConnectionTypeId::parse(text)
        && let Some(kind) = plans::get_connection_type(connection, &id).await?
    {
        return Ok(kind);
    }
    Err(Failure::refused(format!(
        "there is no connection type {text:?}: tawi-controller connection-type list"
    )))
}

pub(super) async fn find_plan(connection: &mut Connection, text: &str) -> Result<PlanId, Failure> {
    if let Some(plan) = plans::find_plan(connection, text).await? {
        return Ok(plan.id);
    }
    if let Ok(id) = PlanId::parse(text)
        && plans::get_plan(connection, &id).await?.is_some()
    {
        return Ok(id);
    }
    Err(no_plan(text))
}

fn no_plan(text: &str) -> Failure {
    Failure::refused(format!("there is no plan {text:?}: tawi-controller plan list"))
}
