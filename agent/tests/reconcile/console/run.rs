//! Runs statements against a router over its API, as the person who pasted them would.

use std::collections::HashMap;

use routeros_api::{Client, Command as Call, Row};

use routeros_sim::Router;

use super::{Command, Condition, Statement, Value, commands, parse};

/// How often a loop may turn before it counts as endless.
const TURNS: usize = 1_000;

/// What an expression comes to.
#[derive(Debug, Clone)]
enum Result {
    Text(String),
    Number(i64),
    Flag(bool),
    Rows(Vec<String>),
    Code(Vec<Statement>),
}

/// A console that somebody is logged in to.
pub struct Console {
    client: Client,
    /// What knows which commands there are.
    router: Router,
    /// Names that `:resolve` finds.
    pub names: HashMap<String, String>,
    scopes: Vec<HashMap<String, Result>>,
    /// What `:put` and `:error` printed.
    pub printed: Vec<String>,
    /// Whether an error ends the statement at the top that is being run.
    is_ended: bool,
    /// Whether that error was one of a command.
    is_failed: bool,
    /// How many `:do` with `on-error` are open.
    catching: usize,
}

impl Console {
    pub fn new(client: Client, router: Router) -> Self {
        Self {
            client,
            router,
            names: HashMap::new(),
            scopes: vec![HashMap::new()],
            printed: vec![],
            is_ended: false,
            is_failed: false,
            catching: 0,
        }
    }

    /// Pastes a script: an error ends its own statement, and the terminal reads on.
    pub async fn paste(&mut self, text: &str) {
        for statement in parse(text) {
            let statement = [statement];
            if self.can_be_read(&statement) {
                self.all(&statement).await;
            }
            self.is_ended = false;
        }
    }

    /// Imports a script: an error ends it.
    pub async fn import(&mut self, text: &str) {
        let statements = parse(text);
        if self.can_be_read(&statements) {
            self.all(&statements).await;
        }
        self.is_ended = false;
    }

    /// A console reads to the last brace before it runs anything, and refuses all of it at the first word that this router
    /// does not know, in a branch that is never taken too.
    fn can_be_read(&mut self, statements: &[Statement]) -> bool {
        for command in commands(statements) {
            let typed =
                |argument: Option<&str>| self.router.can_be_typed(&command.menu, &command.verb, argument);
            let is_known =
                typed(None) && command.arguments.iter().all(|(name, _)| typed(Some(name.as_str())));
            if !is_known {
                self.printed.push(format!("syntax error: {command:?}"));
                return false;
            }
        }
        true
    }

    async fn all(&mut self, statements: &[Statement]) {
        for statement in statements {
            if self.is_ended {
                return;
            }
            Box::pin(self.one(statement)).await;
        }
    }

    async fn block(&mut self, statements: &[Statement]) {
        self.scopes.push(HashMap::new());
        self.all(statements).await;
        self.scopes.pop();
    }

    async fn one(&mut self, statement: &Statement) {
        match statement {
            Statement::Block(body) => self.block(body).await,
            Statement::If { condition, yes, no } => {
                let branch = if self.is_true(condition).await { yes } else { no };
                self.block(branch).await;
            }
            Statement::While { condition, body } => {
                for turn in 0.. {
                    assert!(turn < TURNS, "a loop that does not end");
                    if !self.is_true(condition).await {
                        return;
                    }
                    self.block(body).await;
                    if self.is_ended {
                        return;
                    }
                }
            }
            Statement::Local { name, value } => {
                // At the top of a terminal each line is a scope of its own, and the next would not see it.
                assert!(self.scopes.len() > 1, "a local variable outside braces: {name}");
                let value = self.value(value).await;
                self.scopes.last_mut().unwrap().insert(name.clone(), value);
            }
            Statement::Set { name, value } => {
                let value = self.value(value).await;
                let scope = self.scopes.iter_mut().rev().find(|scope| scope.contains_key(name));
                scope.unwrap_or_else(|| panic!("{name} was not declared")).insert(name.clone(), value);
            }
            Statement::Run(name) => {
                let found = self.scopes.iter().rev().find_map(|scope| scope.get(name)).cloned();
                let Some(Result::Code(code)) = found else { panic!("{name} is no code: {found:?}") };
                self.block(&code).await;
            }
            Statement::Do { body, on_error } => {
                self.catching += 1;
                self.block(body).await;
                self.catching -= 1;
                if std::mem::take(&mut self.is_failed) {
                    self.is_ended = false;
                    self.block(on_error).await;
                }
            }
            Statement::Put(value) => {
                let text = self.text(value).await;
                self.printed.push(text);
            }
            Statement::Error(value) => {
                let text = self.text(value).await;
                self.printed.push(text);
                self.is_ended = true;
            }
            // The router of a test has signed at once.
            Statement::Delay => {}
            Statement::Command(command) => {
                self.command(command).await;
            }
        }
    }

    async fn is_true(&mut self, value: &Value) -> bool {
        match self.value(value).await {
            Result::Flag(flag) => flag,
            other => panic!("no condition: {other:?}"),
        }
    }

    async fn text(&mut self, value: &Value) -> String {
        match self.value(value).await {
            Result::Text(text) => text,
            Result::Number(number) => number.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    async fn value(&mut self, value: &Value) -> Result {
        match value {
            Value::Text(text) => Result::Text(text.clone()),
            Value::Number(number) => Result::Number(*number),
            Value::Flag(flag) => Result::Flag(*flag),
            Value::Variable(name) => {
                let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
                found.unwrap_or_else(|| panic!("no variable {name}")).clone()
            }
            Value::Answer(command) => Box::pin(self.command(command)).await,
            Value::Call(name, values) => Box::pin(self.call(name, values)).await,
            Value::Operation(operator, left, right) => {
                let left = Box::pin(self.value(left)).await;
                let right = Box::pin(self.value(right)).await;
                operate(operator, left, right)
            }
        }
    }

    async fn call(&mut self, name: &str, values: &[Value]) -> Result {
        let mut results = vec![];
        for value in values {
            results.push(self.value(value).await);
        }
        match (name, results.as_slice()) {
            ("len", [Result::Rows(rows)]) => Result::Number(i64::try_from(rows.len()).unwrap()),
            ("len", [Result::Text(text)]) => Result::Number(i64::try_from(text.len()).unwrap()),
            ("tostr", [Result::Text(text)]) => Result::Text(text.clone()),
            ("parse", [Result::Text(text)]) => {
                let code = parse(text);
                assert!(self.can_be_read(&code), "{:?}", self.printed);
                Result::Code(code)
            }
            ("resolve", [Result::Text(name)]) => match self.names.get(name) {
                Some(address) => Result::Text(address.clone()),
                None => {
                    self.fail("failure: dns name does not exist");
                    Result::Text(String::new())
                }
            },
            ("pick", [Result::Rows(rows), Result::Number(at)]) => {
                Result::Text(rows.get(usize::try_from(*at).unwrap()).unwrap().clone())
            }
            other => panic!("no function: {other:?}"),
        }
    }

    async fn command(&mut self, command: &Command) -> Result {
        match command.verb.as_str() {
            "find" => {
                let rows = self.rows(&command.menu).await;
                let mut found = vec![];
                for row in rows {
                    if self.matches(&row, &command.conditions).await {
                        found.push(text(&row, ".id"));
                    }
                }
                Result::Rows(found)
            }
            "get" => {
                let [(property, Value::Flag(true))] = command.arguments.as_slice() else {
                    panic!("get asks for one property: {command:?}")
                };
                let row = self.only_row(command).await;
                match text(&row, property).as_str() {
                    "true" => Result::Flag(true),
                    "false" => Result::Flag(false),
                    other => Result::Text(other.to_owned()),
                }
            }
            _ => {
                self.write(command).await;
                Result::Text(String::new())
            }
        }
    }

    /// The row that `get` speaks of: the one that is found, named, or the only one of its menu.
    async fn only_row(&mut self, command: &Command) -> Row {
        let rows = self.rows(&command.menu).await;
        let target = match &command.target {
            None => None,
            Some(target) => Some(self.value(target).await),
        };
        let mut fitting: Vec<Row> = rows
            .into_iter()
            .filter(|row| match &target {
                None => true,
                Some(Result::Rows(ids)) => ids.contains(&text(row, ".id")),
                Some(Result::Text(name)) => text(row, "name") == *name,
                Some(other) => panic!("no target: {other:?}"),
            })
            .collect();
        assert_eq!(fitting.len(), 1, "get speaks of one row: {command:?}");
        fitting.remove(0)
    }

    async fn matches(&mut self, row: &Row, conditions: &[Condition]) -> bool {
        for condition in conditions {
            let fits = match condition {
                Condition::Equals(name, value) => text(row, name) == self.text(value).await,
                Condition::Differs(name, value) => text(row, name) != self.text(value).await,
                Condition::BeginsWith(name, beginning) => text(row, name).starts_with(beginning),
                Condition::IsNot(name) => text(row, name) != "true",
            };
            if !fits {
                return false;
            }
        }
        true
    }

    async fn rows(&self, menu: &str) -> Vec<Row> {
        let reply = self.client.run(Call::new(format!("/{menu}/print"))).await;
        reply.unwrap_or_else(|error| panic!("/{menu}/print: {error}")).rows
    }

    async fn write(&mut self, command: &Command) {
        let path = format!("/{}/{}", command.menu, command.verb);
        let mut call = Call::new(&path);
        for (name, value) in &command.arguments {
            call = call.attribute(name, self.text(value).await);
        }
        let targets = match &command.target {
            None => return self.send(&path, call).await,
            Some(target) => match self.value(target).await {
                Result::Rows(ids) => ids.into_iter().map(|id| (".id", id)).collect(),
                Result::Text(name) => vec![("numbers", name)],
                other => panic!("no target: {other:?}"),
            },
        };
        for (argument, target) in targets {
            self.send(&path, call.clone().attribute(argument, target)).await;
        }
    }

    async fn send(&mut self, path: &str, call: Call) {
        if self.is_ended {
            return;
        }
        if let Err(error) = self.client.run(call.clone()).await {
            self.fail(&format!("{path}: {error}: {call:?}"));
        }
    }

    /// An error of a command ends everything up to the `:do` that catches it; one that nothing catches is the test's.
    fn fail(&mut self, why: &str) {
        assert!(self.catching > 0, "{why}");
        (self.is_ended, self.is_failed) = (true, true);
    }
}

/// A property as text; missing and empty are the same, as they are to a console that prints them.
fn text(row: &Row, name: &str) -> String {
    row.raw(name).map_or_else(String::new, |value| String::from_utf8_lossy(&value).into_owned())
}

fn operate(operator: &str, left: Result, right: Result) -> Result {
    match (operator, left, right) {
        ("&&", Result::Flag(left), Result::Flag(right)) => Result::Flag(left && right),
        ("||", Result::Flag(left), Result::Flag(right)) => Result::Flag(left || right),
        ("=", Result::Flag(left), Result::Flag(right)) => Result::Flag(left == right),
        ("=", Result::Number(left), Result::Number(right)) => Result::Flag(left == right),
        ("=", Result::Text(left), Result::Text(right)) => Result::Flag(left == right),
        ("!=", Result::Number(left), Result::Number(right)) => Result::Flag(left != right),
        ("!=", Result::Text(left), Result::Text(right)) => Result::Flag(left != right),
        ("<", Result::Number(left), Result::Number(right)) => Result::Flag(left < right),
        ("+", Result::Number(left), Result::Number(right)) => Result::Number(left + right),
        (".", Result::Text(left), Result::Text(right)) => Result::Text(left + &right),
        (operator, left, right) => {
            panic!("{left:?} {operator} {right:?}: a console may read that in its own way")
        }
    }
}
