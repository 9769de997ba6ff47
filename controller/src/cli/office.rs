//! `staff` and `token`.

use std::path::Path;

use serde_json::json;

use super::arguments::{StaffCommand, TokenCommand};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::staff::{self, Added, Member, Password, Role};

/// The longest name of a token. It stands in every audit row of its program.
const TOKEN_NAME_CHARACTERS: usize = 60;
/// The largest password file. A password is one line.
const FILE_BYTES: u64 = 4_096;

impl Shell {
    pub(super) async fn staff(&self, command: StaffCommand) -> Result<(), Failure> {
        let StaffCommand::Add { login, role, password_file } = command;
        let role = Role::from(role);
        let is_made = password_file.is_none();
        let ids = &self.controller.ids;
        let password = match password_file {
            Some(path) => Password::chosen(&first_line(&path)?)?,
            None => Password::random(ids),
        };
        let hash = password.clone().hash(ids).await?;
        let mut transaction = self.controller.database.write().await?;
        let now = self.controller.clock.now();
        let member = match staff::add(&mut transaction, login.clone(), role, &hash, ids, now).await? {
            Added::Added(member) => member,
            Added::NameTaken => {
                return Err(Failure::refused(format!("{login} is taken: choose another login")));
            }
        };
        self.commit(transaction, (Action::StaffAdded, member.id.as_str(), role.as_str())).await?;
        self.say_member(&member, is_made.then_some(&password))
    }

    fn say_member(&self, member: &Member, made: Option<&Password>) -> Result<(), Failure> {
        let Member { id, login, role } = member;
        let mut value = json!({"id": id, "login": login.as_str(), "role": role.as_str()});
        let Some(password) = made else {
            return self.output.say(&format!("{login} may sign in as {role}"), &value);
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("password".to_owned(), password.reveal().into());
        }
        self.output.tell(&format!("{login} may sign in as {role}; the password is shown this once:"));
        self.output.say(password.reveal(), &value)
    }

    pub(super) async fn token(&self, command: TokenCommand) -> Result<(), Failure> {
        let TokenCommand::Add { name, role } = command;
        let role = Role::from(role);
        let name = name.trim();
        if name.is_empty()
            || name.chars().count() > TOKEN_NAME_CHARACTERS
            || name.chars().any(char::is_control)
        {
            return Err(Failure::refused("the name of a token has 1 to 60 characters on one line"));
        }
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let token = match staff::add_token(&mut transaction, name, role, ids, now).await? {
            Added::Added(token) => token,
            Added::NameTaken => {
                return Err(Failure::refused(format!(
                    "there is a token {name:?} already: choose another name"
                )));
            }
        };
        self.commit(transaction, (Action::TokenAdded, name, role.as_str())).await?;
        self.output.tell(&format!("token {name:?} may act as {role}; it is shown this once:"));
        self.output
            .say(token.reveal(), &json!({"name": name, "role": role.as_str(), "token": token.reveal()}))
    }
}

/// The first line of a file with a secret.
pub(super) fn first_line(path: &Path) -> Result<String, Failure> {
    let unreadable = |error| Failure::refused(format!("{}: cannot be read: {error}", path.display()));
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES {
        return Err(Failure::refused(format!("{}: a password file has one line", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
