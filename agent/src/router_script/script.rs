//! How a console reads a script: quoting, rows, and the guards that make it safe to paste twice.
//!
//! Pure: rows in, lines out. It writes only what a console of 6.49 and of 7 reads alike: whole menu paths, no `?` (which a
//! console of release 6 takes for a call for help, wherever it stands), no tabs, variables only inside braces. What the
//! rows say is `blocks.rs`.

use ring::digest::{SHA256, digest};

use super::MARK;

/// Hex digits of a digest in a comment. It tells our own rows of yesterday from those of today, and nothing else.
const DIGEST_DIGITS: usize = 8;
const INDENT: &str = "    ";
/// The width of comments.
const COLUMNS: usize = 100;

/// One row: arguments in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(&'static str, String)>);

impl Row {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(super) fn words(&self) -> String {
        let words: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={}", written(value))).collect();
        words.join(" ")
    }
}

/// Rows of one menu that belong together and stand in their order.
pub(super) struct Group {
    /// The menu as a console writes it, such as `/ip firewall filter`.
    pub(super) menu: &'static str,
    /// What the comments call it.
    pub(super) name: &'static str,
    pub(super) rows: Vec<Row>,
    /// The chain before whose first rule of somebody they are put; `None` for the end of the menu.
    pub(super) before_chain: Option<&'static str>,
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Script {
    text: String,
    depth: usize,
}

impl Script {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A comment, broken into lines.
    pub(super) fn remark(&mut self, text: &str) {
        for paragraph in text.lines() {
            let mut line = String::from("#");
            for word in paragraph.split(' ') {
                let width = self.depth.saturating_mul(INDENT.len()).saturating_add(line.len());
                if width.saturating_add(word.len()) >= COLUMNS {
                    self.line(&line);
                    line = String::from("#");
                }
                line.push(' ');
                line.push_str(word);
            }
            self.line(line.trim_end());
        }
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.text.push_str(INDENT);
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// What is written by `body` stands between braces that end with `}`.
    pub(super) fn braced(&mut self, opening: &str, body: impl FnOnce(&mut Self)) {
        self.line(opening);
        self.indented(body);
        self.line("}");
    }

    pub(super) fn indented(&mut self, body: impl FnOnce(&mut Self)) {
        self.depth = self.depth.saturating_add(1);
        body(self);
        self.depth = self.depth.saturating_sub(1);
    }

    /// `:if` with one branch.
    pub(super) fn when(&mut self, condition: &str, body: impl FnOnce(&mut Self)) {
        self.braced(&format!(":if ({condition}) do={{"), body);
    }

    /// Ends everything between the braces that it stands in, and says why.
    pub(super) fn stop(&mut self, why: &str) {
        self.line(&format!(":error {}", quoted(&format!("STOP: {why}"))));
    }

    pub(super) fn say(&mut self, text: &str) {
        self.line(&format!(":put {}", quoted(text)));
    }

    pub(super) fn add(&mut self, menu: &str, row: &Row) {
        self.line(&format!("{menu} add {}", row.words()));
    }

    /// Sets the rows that `condition` finds.
    pub(super) fn set(&mut self, menu: &str, condition: &str, row: &Row) {
        self.line(&format!("{menu} set [{menu} find where {condition}] {}", row.words()));
    }

    /// Sets the row of a menu that has one, or a row that is called by its name.
    pub(super) fn set_only(&mut self, menu: &str, name: &str, row: &Row) {
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        self.line(&format!("{menu} set {name}{}", row.words()));
    }

    pub(super) fn remove(&mut self, menu: &str, condition: &str) {
        self.line(&format!("{menu} remove [{menu} find where {condition}]"));
    }

    /// Makes the rows of a group, unless exactly these are there. If they are others of that name, those go first: rules
    /// that were put one after the other would end in an order of their own.
    pub(super) fn ensure(&mut self, group: &Group) {
        let Group { menu, name, rows, before_chain } = group;
        let words: Vec<String> = rows.iter().map(Row::words).collect();
        let digest = short_digest(&words.join("\n"));
        let exactly = format!("comment~\"^{MARK} {name} {digest} \" !dynamic");
        // Of no rows nothing is known but that none may be left.
        let those = if rows.is_empty() { any_of(name) } else { exactly };
        let condition = format!("{} != {}", counted(menu, &those), rows.len());
        let numbered: Vec<Row> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                row.clone().with("comment", format!("{MARK} {name} {digest} {}", at.saturating_add(1)))
            })
            .collect();
        self.when(&condition, |script| {
            script.remove(menu, &any_of(name));
            let Some(chain) = before_chain else {
                numbered.iter().for_each(|row| script.add(menu, row));
                return;
            };
            script.line(&format!(":local first [{menu} find where chain={} !dynamic]", written(chain)));
            script.line(":if ([:len $first] = 0) do={");
            script.indented(|script| numbered.iter().for_each(|row| script.add(menu, row)));
            script.braced("} else={", |script| {
                for row in &numbered {
                    script.line(&format!("{menu} add {} place-before=[:pick $first 0]", row.words()));
                }
            });
        });
    }
}

/// The condition that finds every row of a group, whatever its contents. What the router makes of them by itself, an
/// entry for each address of a name, bears their comment too and cannot be removed: it goes with them.
pub(super) fn any_of(name: &str) -> String {
    format!("comment~\"^{MARK} {name} \" !dynamic")
}

/// How many rows a condition finds.
pub(super) fn counted(menu: &str, condition: &str) -> String {
    format!("[:len [{menu} find where {condition}]]")
}

/// The comment of an object that stands alone; it changes when its contents do.
pub(super) fn signed(name: &str, contents: &str) -> String {
    format!("{MARK} {name} {}", short_digest(contents))
}

fn short_digest(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.chars().take(DIGEST_DIGITS).collect()
}

/// A value as the console reads it back unchanged: bare where that is safe, else in quotes.
pub(super) fn written(value: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b".:/,_!-".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_bare) { value.to_owned() } else { quoted(value) }
}

/// A text in quotes. Names and passwords were checked to hold none of these; a script must not rely on that.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        if matches!(letter, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    text
}
