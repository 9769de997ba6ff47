//! `staff` and `token`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arguments::{StaffCommand, TokenCommand};
use super::{Failure, Shell};
use crate::audit::Action;
use crate::plain::is_one_line;
use crate::staff::{self, Added, Listed, Login, Password, Role};
use crate::web::display;

/// The longest name of a token. It stands in every audit row of its program.
const TOKEN_NAME_CHARACTERS: usize = 60;
/// The largest password file. A password is one line.
const FILE_BYTES: u64 = 4_096;

impl Shell {
    pub(super) async fn staff(&self, command: StaffCommand) -> Result<(), Failure> {
        match command {
            StaffCommand::Add { login, role, password_file } => {
                self.add_staff(login, role.into(), password_file).await
            }
            StaffCommand::List => {
                let members = staff::list(&mut *self.controller.database.read().await?).await?;
                self.say_listed(&members, "login", "nobody can sign in yet: tawi-controller staff add --help")
            }
            StaffCommand::Password { login, password_file } => {
                self.change_password(&login, password_file).await
            }
            StaffCommand::Disable { login } => self.set_disabled(&login, true).await,
            StaffCommand::Enable { login } => self.set_disabled(&login, false).await,
        }
    }

    async fn add_staff(
        &self,
        login: Login,
        role: Role,
        password_file: Option<PathBuf>,
    ) -> Result<(), Failure> {
        let chosen = self.choose_password(password_file)?;
        let ids = &self.controller.ids;
        let hash = chosen.password.clone().hash(ids).await?;
        let mut transaction = self.controller.database.write().await?;
        let now = self.controller.clock.now();
        let member = match staff::add(&mut transaction, login.clone(), role, &hash, ids, now).await? {
            Added::Added(member) => member,
            Added::NameTaken => {
                return Err(Failure::refused(format!("{login} is taken: choose another login")));
            }
        };
        self.commit(transaction, (Action::StaffAdded, member.id.as_str(), role.as_str())).await?;
        let value = json!({"id": member.id, "login": login.as_str(), "role": role.as_str()});
        self.say_password(&format!("{login} may sign in as {role}"), value, &chosen)
    }

    async fn change_password(&self, login: &Login, password_file: Option<PathBuf>) -> Result<(), Failure> {
        let chosen = self.choose_password(password_file)?;
        let hash = chosen.password.clone().hash(&self.controller.ids).await?;
        let mut transaction = self.controller.database.write().await?;
        if !staff::set_password(&mut transaction, login, &hash).await? {
            return Err(no_such_login(login));
        }
        self.commit(transaction, (Action::PasswordChanged, login.as_str(), "")).await?;
        let value = json!({"login": login.as_str()});
        self.say_password(&format!("{login} has a new password"), value, &chosen)
    }

    async fn set_disabled(&self, login: &Login, is_disabled: bool) -> Result<(), Failure> {
        let mut transaction = self.controller.database.write().await?;
        let disabled_at = is_disabled.then(|| self.controller.clock.now());
        if !staff::set_disabled(&mut transaction, login, disabled_at).await? {
            return Err(no_such_login(login));
        }
        let action = if is_disabled { Action::StaffDisabled } else { Action::StaffEnabled };
        self.commit(transaction, (action, login.as_str(), "")).await?;
        let may = if is_disabled { "may no longer sign in" } else { "may sign in again" };
        self.output
            .say(&format!("{login} {may}"), &json!({"login": login.as_str(), "is_disabled": is_disabled}))
    }

    fn choose_password(&self, file: Option<PathBuf>) -> Result<Chosen, Failure> {
        Ok(match file {
            Some(path) => Chosen { password: Password::chosen(&first_line(&path)?)?, is_made: false },
            None => Chosen { password: Password::random(&self.controller.ids), is_made: true },
        })
    }

    /// A password that was made is the result and shown once; a chosen one is not repeated.
    fn say_password(&self, words: &str, mut value: Value, chosen: &Chosen) -> Result<(), Failure> {
        if !chosen.is_made {
            return self.output.say(words, &value);
        }
        let secret = chosen.password.reveal();
        if let Some(object) = value.as_object_mut() {
            object.insert("password".to_owned(), secret.into());
        }
        self.output.tell(&format!("{words}; the password is shown this once:"));
        self.output.say(secret, &value)
    }

    fn say_listed(&self, listed: &[Listed], name: &str, empty: &str) -> Result<(), Failure> {
        let now = self.controller.clock.now();
        let line = |entry: &Listed| {
            let since = display::Moment::of(entry.ended_at.unwrap_or(entry.created_at), now).full;
            let word = if entry.ended_at.is_some() { "ended" } else { "since" };
            format!("{:<32} {:<9} {word} {since}", entry.name, entry.role.as_str())
        };
        let lines: Vec<String> = listed.iter().map(line).collect();
        let words = if lines.is_empty() { empty.to_owned() } else { lines.join("\n") };
        let value = |entry: &Listed| {
            json!({
                name: entry.name, "role": entry.role.as_str(), "created_at_ms": entry.created_at.0,
                "ended_at_ms": entry.ended_at.map(|at| at.0),
            })
        };
        self.output.say(&words, &listed.iter().map(value).collect::<Vec<_>>())
    }

    pub(super) async fn token(&self, command: TokenCommand) -> Result<(), Failure> {
        match command {
            TokenCommand::Add { name, role } => self.add_token(name.trim(), role.into()).await,
            TokenCommand::List => {
                let tokens = staff::list_tokens(&mut *self.controller.database.read().await?).await?;
                self.say_listed(&tokens, "name", "there are no tokens yet: tawi-controller token add --help")
            }
            TokenCommand::Revoke { name } => {
                let mut transaction = self.controller.database.write().await?;
                if !staff::revoke_token(&mut transaction, &name, self.controller.clock.now()).await? {
                    let problem = format!("there is no token {name:?} that works");
                    return Err(Failure::refused(format!("{problem}: tawi-controller token list")));
                }
                self.commit(transaction, (Action::TokenRevoked, &name, "")).await?;
                self.output.say(&format!("token {name:?} no longer works"), &json!({"name": name}))
            }
        }
    }

    async fn add_token(&self, name: &str, role: Role) -> Result<(), Failure> {
        let length = name.chars().count();
        if !(1..=TOKEN_NAME_CHARACTERS).contains(&length) || !is_one_line(name) {
            return Err(Failure::refused("the name of a token has 1 to 60 characters on one line"));
        }
        let mut transaction = self.controller.database.write().await?;
        let (ids, now) = (&self.controller.ids, self.controller.clock.now());
        let token = match staff::add_token(&mut transaction, name, role, ids, now).await? {
            Added::Added(token) => token,
            Added::NameTaken => {
                let problem = format!("there is, or was, a token {name:?}");
                return Err(Failure::refused(format!("{problem}: choose another name")));
            }
        };
        self.commit(transaction, (Action::TokenAdded, name, role.as_str())).await?;
        self.output.tell(&format!("token {name:?} may act as {role}; it is shown this once:"));
        self.output
            .say(token.reveal(), &json!({"name": name, "role": role.as_str(), "token": token.reveal()}))
    }
}

/// A password, and whether we made it.
struct Chosen {
    password: Password,
    is_made: bool,
}

fn no_such_login(login: &Login) -> Failure {
    Failure::refused(format!("there is no {login}: tawi-controller staff list"))
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
