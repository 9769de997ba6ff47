//! The console of a router, for as much of its script language as our own scripts use.
//!
//! It reads a script into statements and runs them against a router over the API (`run.rs`). It is strict where a real
//! console is lenient or says nothing: what it does not know is an error, and values of two kinds are never compared. It
//! cannot prove how a real console reads a script; what it takes for granted stands in `routeros-api/README.md`.

mod run;

pub use run::Console;

/// A menu as words: `ip/firewall/filter`.
pub type Path = String;

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    Block(Vec<Statement>),
    If {
        condition: Value,
        yes: Vec<Statement>,
        no: Vec<Statement>,
    },
    While {
        condition: Value,
        body: Vec<Statement>,
    },
    Local {
        name: String,
        value: Value,
    },
    Set {
        name: String,
        value: Value,
    },
    Put(Value),
    /// `$name`: what `[:parse …]` made is run.
    Run(String),
    Do {
        body: Vec<Statement>,
        on_error: Vec<Statement>,
    },
    Error(Value),
    Delay,
    Command(Command),
}

/// A command of a menu.
#[derive(Debug, Clone)]
pub struct Command {
    pub menu: Path,
    pub verb: String,
    /// What stands before the arguments: rows, or a name.
    pub target: Option<Box<Value>>,
    pub arguments: Vec<(String, Value)>,
    pub conditions: Vec<Condition>,
}

/// A condition of `find where`.
#[derive(Debug, Clone)]
pub enum Condition {
    Equals(String, Value),
    Differs(String, Value),
    BeginsWith(String, String),
    IsNot(String),
}

#[derive(Debug, Clone)]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Variable(String),
    /// `[/menu …]`.
    Answer(Box<Command>),
    /// `[:len …]`, `[:tostr …]`, `[:pick … …]`.
    Call(String, Vec<Value>),
    Operation(&'static str, Box<Value>, Box<Value>),
}

const VERBS: [&str; 6] = ["add", "set", "remove", "find", "get", "sign"];

/// Reads a whole script.
pub fn parse(text: &str) -> Vec<Statement> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let statements = reader.statements();
    assert!(reader.at == reader.text.len(), "a brace too many: {}", reader.rest());
    statements
}

/// Every command in it, those in conditions included.
pub fn commands(statements: &[Statement]) -> Vec<Command> {
    let mut found = vec![];
    statements.iter().for_each(|statement| collect(statement, &mut found));
    found
}

fn collect(statement: &Statement, found: &mut Vec<Command>) {
    match statement {
        Statement::Block(body) => body.iter().for_each(|statement| collect(statement, found)),
        Statement::If { condition, yes, no } => {
            collect_value(condition, found);
            yes.iter().chain(no).for_each(|statement| collect(statement, found));
        }
        Statement::While { condition, body } => {
            collect_value(condition, found);
            body.iter().for_each(|statement| collect(statement, found));
        }
        Statement::Local { value, .. }
        | Statement::Set { value, .. }
        | Statement::Put(value)
        | Statement::Error(value) => collect_value(value, found),
        Statement::Delay | Statement::Run(_) => {}
        Statement::Do { body, on_error } => {
            body.iter().chain(on_error).for_each(|statement| collect(statement, found));
        }
        Statement::Command(command) => collect_command(command, found),
    }
}

fn collect_command(command: &Command, found: &mut Vec<Command>) {
    found.push(command.clone());
    command.target.iter().for_each(|value| collect_value(value, found));
    command.arguments.iter().for_each(|(_, value)| collect_value(value, found));
}

fn collect_value(value: &Value, found: &mut Vec<Command>) {
    match value {
        Value::Answer(command) => collect_command(command, found),
        Value::Call(_, values) => values.iter().for_each(|value| collect_value(value, found)),
        Value::Operation(_, left, right) => {
            [left, right].into_iter().for_each(|value| collect_value(value, found));
        }
        _ => {}
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        String::from_utf8_lossy(rest).chars().take(80).collect()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip(&mut self, which: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&which) {
            self.at += 1;
        }
    }

    fn blanks(&mut self) {
        self.skip(|byte| byte == b' ');
    }

    /// Blanks, ends of lines, comments.
    fn space(&mut self) {
        loop {
            self.skip(|byte| byte.is_ascii_whitespace());
            if self.peek() != Some(b'#') {
                return;
            }
            self.skip(|byte| byte != b'\n');
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let is_there = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(text.as_bytes()));
        if is_there {
            self.at += text.len();
        }
        is_there
    }

    fn expect(&mut self, text: &str) {
        assert!(self.takes(text), "expected {text:?} before: {}", self.rest());
    }

    fn word(&mut self, more: &[u8]) -> String {
        let start = self.at;
        self.skip(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
        String::from_utf8_lossy(self.text.get(start..self.at).unwrap_or_default()).into_owned()
    }

    /// Until a brace closes or the text ends.
    fn statements(&mut self) -> Vec<Statement> {
        let mut statements = vec![];
        loop {
            self.space();
            if matches!(self.peek(), None | Some(b'}')) {
                return statements;
            }
            statements.push(self.statement());
            self.blanks();
            assert!(matches!(self.peek(), None | Some(b'\n' | b'}')), "more on the line: {}", self.rest());
        }
    }

    fn block(&mut self) -> Vec<Statement> {
        self.expect("{");
        let body = self.statements();
        self.expect("}");
        body
    }

    fn statement(&mut self) -> Statement {
        match self.peek() {
            Some(b'{') => Statement::Block(self.block()),
            Some(b'/') => Statement::Command(self.command()),
            Some(b':') => self.keyword(),
            Some(b'$') => {
                self.at += 1;
                Statement::Run(self.word(b""))
            }
            _ => panic!("no statement: {}", self.rest()),
        }
    }

    fn keyword(&mut self) -> Statement {
        self.expect(":");
        let name = self.word(b"");
        self.blanks();
        match name.as_str() {
            "if" => {
                let condition = self.value();
                self.expect(" do=");
                let yes = self.block();
                let no = if self.takes(" else=") { self.block() } else { vec![] };
                Statement::If { condition, yes, no }
            }
            "while" => {
                let condition = self.value();
                self.expect(" do=");
                Statement::While { condition, body: self.block() }
            }
            "local" | "set" => {
                let variable = self.word(b"");
                self.blanks();
                let value = self.value();
                if name == "local" {
                    Statement::Local { name: variable, value }
                } else {
                    Statement::Set { name: variable, value }
                }
            }
            "do" => {
                let body = self.block();
                self.expect(" on-error=");
                Statement::Do { body, on_error: self.block() }
            }
            "put" => Statement::Put(self.value()),
            "error" => Statement::Error(self.value()),
            "delay" => {
                self.word(b"");
                Statement::Delay
            }
            other => panic!("no keyword :{other}"),
        }
    }

    fn command(&mut self) -> Command {
        self.expect("/");
        let (mut menu, mut verb) = (vec![], String::new());
        while verb.is_empty() {
            let word = self.word(b"-");
            assert!(!word.is_empty(), "no verb before: {}", self.rest());
            self.blanks();
            if VERBS.contains(&word.as_str()) { verb = word } else { menu.push(word) }
        }
        let mut command =
            Command { menu: menu.join("/"), verb, target: None, arguments: vec![], conditions: vec![] };
        if command.verb == "find" {
            self.conditions(&mut command.conditions);
            return command;
        }
        loop {
            self.blanks();
            match self.peek() {
                None | Some(b'\n' | b']' | b')' | b'}') => return command,
                Some(b'[') => command.target = Some(Box::new(self.value())),
                _ => {
                    let name = self.word(b"-.");
                    assert!(!name.is_empty(), "no argument: {}", self.rest());
                    if self.takes("=") {
                        command.arguments.push((name, self.value()));
                    } else if command.target.is_none() && command.verb != "add" && !self.ends_the_command() {
                        command.target = Some(Box::new(Value::Text(name)));
                    } else {
                        command.arguments.push((name, Value::Flag(true)));
                    }
                }
            }
        }
    }

    fn ends_the_command(&self) -> bool {
        matches!(self.peek(), None | Some(b'\n' | b']' | b')' | b'}'))
    }

    fn conditions(&mut self, conditions: &mut Vec<Condition>) {
        if !self.takes("where") {
            return;
        }
        loop {
            self.blanks();
            if self.ends_the_command() {
                return;
            }
            if self.takes("!") {
                conditions.push(Condition::IsNot(self.word(b"-")));
                continue;
            }
            let name = self.word(b"-");
            if self.takes("~") {
                let Value::Text(pattern) = self.value() else {
                    panic!("a pattern is a text: {}", self.rest())
                };
                let plain = pattern.strip_prefix('^').unwrap_or_else(|| panic!("no beginning: {pattern}"));
                let is_plain =
                    plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -".contains(&byte));
                assert!(is_plain, "a pattern with operators: {pattern}");
                conditions.push(Condition::BeginsWith(name, plain.to_owned()));
            } else if self.takes("!=") {
                conditions.push(Condition::Differs(name, self.value()));
            } else {
                self.expect("=");
                conditions.push(Condition::Equals(name, self.value()));
            }
        }
    }

    fn value(&mut self) -> Value {
        match self.peek() {
            Some(b'"') => Value::Text(self.quoted()),
            Some(b'$') => {
                self.at += 1;
                Value::Variable(self.word(b""))
            }
            Some(b'[') => self.bracket(),
            Some(b'(') => {
                self.expect("(");
                let value = self.expression(&["||", "&&", "!=", "=", "<", "+", "."]);
                self.expect(")");
                value
            }
            _ => match self.word(b".:/,_!-*").as_str() {
                "" => panic!("no value: {}", self.rest()),
                "true" => Value::Flag(true),
                "false" => Value::Flag(false),
                word => word.parse().map_or_else(|_| Value::Text(word.to_owned()), Value::Number),
            },
        }
    }

    fn bracket(&mut self) -> Value {
        self.expect("[");
        let value = if self.peek() == Some(b'/') {
            Value::Answer(Box::new(self.command()))
        } else {
            self.expect(":");
            let name = self.word(b"");
            let mut values = vec![];
            loop {
                self.blanks();
                if self.peek() == Some(b']') {
                    break;
                }
                values.push(self.value());
            }
            Value::Call(name, values)
        };
        self.expect("]");
        value
    }

    /// Operators by rank, the weakest first; operands of one rank are those of the next.
    fn expression(&mut self, ranks: &[&'static str]) -> Value {
        let Some((operator, stronger)) = ranks.split_first() else { return self.value() };
        let mut left = self.expression(stronger);
        loop {
            let before = self.at;
            self.blanks();
            if !self.takes(operator) {
                self.at = before;
                return left;
            }
            self.blanks();
            left = Value::Operation(operator, Box::new(left), Box::new(self.expression(stronger)));
        }
    }

    fn quoted(&mut self) -> String {
        self.expect("\"");
        let mut text = vec![];
        loop {
            let byte = self.peek().unwrap_or_else(|| panic!("a quote that does not end"));
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(text).unwrap(),
                b'$' => panic!("a variable in a text: {}", self.rest()),
                b'\\' => {
                    text.push(self.peek().filter(|byte| b"\"\\$".contains(byte)).unwrap());
                    self.at += 1;
                }
                byte => text.push(byte),
            }
        }
    }
}
