//! What a table that somebody brings says of rows: whose each is, on which plan, paid until when. Pure.
//!
//! Headings are taken as people write them, in any order; what is not understood is named with its line and left out, and
//! everything else is still used. Who is meant is decided against the customers that there are.

use std::collections::BTreeMap;

use tawi_shared::UnixMillis;
use tawi_shared::csv::{self, CsvError};

use super::matching::People;
use crate::ids::{CustomerId, PlanId};
use crate::plain::line_of;
use crate::web::display;

/// Errors that are shown; a table in the wrong form has one a row.
const ERRORS: usize = 50;

/// What a table says of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// On which line of the table it stands.
    pub line: usize,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// For a customer that there is not yet.
    pub name: String,
    /// Their phone, as written.
    pub phone: String,
    /// On which plan.
    pub plan: Option<PlanId>,
    /// Paid until then.
    pub until: Option<UnixMillis>,
}

impl Said {
    /// Whether anything of it was understood.
    #[must_use]
    pub fn says_anything(&self) -> bool {
        let is_somebody_new = !self.name.is_empty() && !self.phone.is_empty();
        self.customer.is_some() || is_somebody_new || self.plan.is_some() || self.until.is_some()
    }
}

/// A table, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// By the row's name on the router.
    pub rows: BTreeMap<String, Said>,
    /// What was not understood, with its line.
    pub errors: Vec<String>,
}

/// Which column is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Username,
    Customer,
    Account,
    Phone,
    Name,
    Plan,
    Until,
}

fn column(heading: &str) -> Option<Column> {
    Some(match csv::heading(heading).as_str() {
        "username" | "user" | "login" | "secret" | "pppoe" | "pppoeusername" | "pppoeuser" => {
            Column::Username
        }
        "account" | "accountnumber" | "accountno" | "acc" => Column::Account,
        "phone" | "phonenumber" | "mobile" | "msisdn" | "tel" => Column::Phone,
        "customer" | "client" | "subscriber" => Column::Customer,
        "name" | "customername" | "fullname" | "clientname" => Column::Name,
        "plan" | "package" | "service" | "profile" => Column::Plan,
        "paiduntil" | "until" | "expiry" | "expires" | "expiration" | "expirydate" | "expireson"
        | "validuntil" => Column::Until,
        _ => return None,
    })
}

/// Reads a table; `plan_of` finds a plan by what somebody calls it.
#[must_use]
pub fn read(text: &str, people: &People, plan_of: impl Fn(&str) -> Option<PlanId>) -> Table {
    let mut table = Table::default();
    let rows = match csv::read(text) {
        Ok(rows) => rows,
        Err(error @ (CsvError::OpenQuote(_) | CsvError::TooLarge(_))) => {
            table.errors.push(error.to_string());
            return table;
        }
    };
    let mut rows = rows.into_iter();
    let Some(head) = rows.next() else { return table };
    let columns: Vec<Option<Column>> = head.fields.iter().map(|heading| column(heading)).collect();
    if !columns.contains(&Some(Column::Username)) {
        table
            .errors
            .push("line 1: no column is called username; the first line names the columns".to_owned());
        return table;
    }
    let strange = columns.iter().zip(&head.fields);
    let strange = strange.filter(|(column, name)| column.is_none() && !name.is_empty());
    let strange: Vec<&str> = strange.map(|(_, name)| name.as_str()).collect();
    if !strange.is_empty() {
        table.complain(head.line, &format!("{} is no column that is known", strange.join(", ")));
    }
    for row in rows {
        let value = |wanted: Column| {
            let at = columns.iter().position(|column| *column == Some(wanted))?;
            row.fields.get(at).map(String::as_str).filter(|value| !value.is_empty())
        };
        let Some(username) = value(Column::Username) else {
            table.complain(row.line, "no username");
            continue;
        };
        table.complain_of_width(&row, head.fields.len(), username);
        let mut said = Said {
            line: row.line,
            name: value(Column::Name).unwrap_or_default().to_owned(),
            phone: value(Column::Phone).unwrap_or_default().to_owned(),
            ..Said::default()
        };
        let who = [Column::Account, Column::Customer, Column::Phone, Column::Name];
        let who: Vec<&str> = who.into_iter().filter_map(value).collect();
        said.customer = who.iter().find_map(|text| people.named(text)).map(|person| person.id.clone());
        if let Some(account) = value(Column::Account)
            && people.named(account).is_none()
        {
            table.complain(
                row.line,
                &format!("{username}: there is no account {account}: look it up under Customers"),
            );
        } else if said.customer.is_none()
            && (said.name.is_empty() || said.phone.is_empty())
            && let Some(who) = who.first()
        {
            // With a name and a phone it is somebody new.
            table.complain(row.line, &format!("{username}: no customer is called {who}, or several are"));
        }
        if let Some(plan) = value(Column::Plan) {
            said.plan = plan_of(plan);
            if said.plan.is_none() {
                table.complain(
                    row.line,
                    &format!(
                        "{username}: there is no plan {plan}: write its name as the page of plans has it"
                    ),
                );
            }
        }
        if let Some(until) = value(Column::Until) {
            said.until = instant(until);
            if said.until.is_none() {
                table.complain(
                    row.line,
                    &format!("{username}: {until} is no day: write 2026-11-30 or 30/11/2026"),
                );
            }
        }
        if table.rows.insert(username.to_owned(), said).is_some() {
            table.complain(row.line, &format!("{username} stands here for the second time; this one counts"));
        }
    }
    table
}

/// The text of a file that somebody chose.
///
/// # Errors
/// What to do about a file that is no text as we read it, with the line.
pub fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    let is_spreadsheet = bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]);
    if is_spreadsheet {
        return Err("that file is a spreadsheet: save it as CSV (UTF-8) and choose that".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        format!("line {line}: this is not UTF-8: save the file as CSV (UTF-8) and choose that")
    })
}

impl Table {
    /// Complains of rows of the table that the router does not have.
    pub fn complain_of_strangers(&mut self, is_known: impl Fn(&str) -> bool) {
        let mut strangers: Vec<(usize, String)> = self
            .rows
            .iter()
            .filter(|(name, _)| !is_known(name))
            .map(|(name, said)| (said.line, format!("{name} is no row of this router")))
            .collect();
        strangers.sort();
        strangers.iter().for_each(|(line, what)| self.complain(*line, what));
    }

    /// Complains of ends that are not used: those of lines that are paid until another time by head office's own books.
    pub fn complain_of_ends(&mut self, is_other: impl Fn(&str, UnixMillis) -> bool) {
        let is_unused =
            |(name, said): &(&String, &Said)| said.until.is_some_and(|until| is_other(name, until));
        let ends = self.rows.iter().filter(is_unused);
        let mut ends: Vec<(usize, String)> = ends.map(|(name, said)| (said.line, name.clone())).collect();
        ends.sort();
        for (line, name) in ends {
            let what = "its line was paid for before, and is paid until when its own page says";
            self.complain(line, &format!("{name} is not used: {what}"));
        }
    }

    /// Complains of a row that has not as many columns as the headings; empty ones at its end do not count as too many.
    fn complain_of_width(&mut self, row: &csv::Row, named: usize, username: &str) {
        let has = row.fields.len();
        let is_longer = row.fields.iter().skip(named).any(|field| !field.is_empty());
        if has < named || is_longer {
            let columns = display::counted(has, "column");
            self.complain(row.line, &format!("{username}: has {columns} where the first line names {named}"));
        }
    }

    fn complain(&mut self, line: usize, what: &str) {
        if self.errors.len() < ERRORS {
            let what = line_of(what, 120);
            self.errors.push(format!("line {line}: {what}"));
        }
    }
}

/// The end of a day, or a time on it, by Nairobi's clock: `2026-11-30`, `30/11/2026`, `2026-11-30 14:00`.
fn instant(text: &str) -> Option<UnixMillis> {
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "23:59"));
    let day = match day.split(['/', '.']).collect::<Vec<_>>().as_slice() {
        [day, month, year] => format!("{year:0>4}-{month:0>2}-{day:0>2}"),
        _ => day.to_owned(),
    };
    let time = time.trim().get(..5).unwrap_or(time.trim());
    display::local(&format!("{day}T{time}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adoption::matching::Person;
    use crate::customers::account_number::AccountNumber;
    use crate::customers::phone::Msisdn;
    use tawi_shared::IdSource;

    fn people() -> People {
        People::new(vec![Person {
            id: CustomerId::random(&IdSource::seeded(1)),
            account: AccountNumber::from_serial(1_000_001).unwrap(),
            phone: Msisdn::parse("0712345678").unwrap(),
            name: "Corner Shop".into(),
        }])
    }

    fn plan(text: &str) -> Option<PlanId> {
        (text == "Home 10").then(|| PlanId::parse("p1").unwrap())
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line_and_the_cure() {
        assert_eq!(text_of(b"user\nplot1".to_vec()), Ok("user\nplot1".to_owned()));
        let check = |bytes: &[u8], words: &str| {
            let said = text_of(bytes.to_vec()).unwrap_err();
            assert!(said.contains(words) && said.contains("CSV (UTF-8)"), "{said}");
        };
        check(b"user,name\nplot1,Caf\xe9\n", "line 2: this is not UTF-8");
        check(&[0xff, 0xfe, b'u', 0], "line 1");
        check(b"PK\x03\x04rest", "is a spreadsheet");
    }

    #[test]
    fn a_table_says_whose_a_row_is_in_any_words() {
        let account = AccountNumber::from_serial(1_000_001).unwrap().to_string();
        for text in [
            format!("Username,Account Number,Plan,Paid until\nplot1,{account},Home 10,2026-11-30 14:05\n"),
            "PLAN;expiry;phone;user\nHome 10;30/11/2026 14:05;0712 345 678;plot1".to_owned(),
            "login\tcustomer name\tpackage\texpires\nplot1\tshop corner\tHome 10\t2026-11-30T14:05:00"
                .to_owned(),
        ] {
            let table = read(&text, &people(), plan);
            assert_eq!(table.errors, Vec::<String>::new(), "{text}");
            let said = &table.rows["plot1"];
            assert!(said.customer.is_some() && said.plan.is_some(), "{text}");
            assert_eq!(said.until, display::local("2026-11-30T14:05"), "{text}");
        }
        let table = read("user,expiry\nplot1,1.2.2027", &people(), plan);
        assert_eq!(table.rows["plot1"].until, display::local("2027-02-01T23:59"));
    }

    #[test]
    fn what_is_not_understood_is_named_and_the_rest_is_used() {
        let text = "user,account,plan,until\nplot1,123,Gold,soon\n,x,,\nplot2,,Home 10,\nplot2,,,";
        let table = read(text, &people(), plan);
        assert_eq!(
            table.errors,
            [
                "line 2: plot1: there is no account 123: look it up under Customers",
                "line 2: plot1: there is no plan Gold: write its name as the page of plans has it",
                "line 2: plot1: soon is no day: write 2026-11-30 or 30/11/2026",
                "line 3: no username",
                "line 5: plot2 stands here for the second time; this one counts",
            ]
        );
        assert_eq!(table.rows.len(), 2);
        let short = read("user;plan\nplot1;Home 10\nplot2\nplot3;Home 10;x\nplot4,Home 10", &people(), plan);
        assert_eq!(
            short.errors,
            [
                "line 3: plot2: has 1 column where the first line names 2",
                "line 4: plot3: has 3 columns where the first line names 2",
                "line 5: plot4,Home 10: has 1 column where the first line names 2",
            ]
        );
        let text = "user,customer,phone,name\nplot1,Nobody We Know,,\nplot2,,0799000000,\nplot3,,0799000000,New Shop";
        let unknown = read(text, &people(), plan);
        assert_eq!(
            unknown.errors,
            [
                "line 2: plot1: no customer is called Nobody We Know, or several are",
                "line 3: plot2: no customer is called 0799000000, or several are",
            ]
        );
        assert_eq!(
            read("user,colour\nplot1,red", &people(), plan).errors,
            ["line 1: colour is no column that is known"]
        );
        let mut strangers = read("user\nplot2\nplot9\nplot1\nplot8", &people(), plan);
        strangers.complain_of_strangers(|name| name < "plot8");
        assert_eq!(
            strangers.errors,
            ["line 3: plot9 is no row of this router", "line 5: plot8 is no row of this router"]
        );
        let mut on_router = read("user,until\nplot2,2026-12-01\nplot1,2026-12-01\nplot3,", &people(), plan);
        on_router.complain_of_ends(|name, _| name != "plot1");
        let own = "line 2: plot2 is not used: its line was paid for before, and is paid until when its own page says";
        assert_eq!(on_router.errors, [own]);
        assert!(read("a,b\n1,2", &people(), plan).errors[0].contains("username"));
        assert!(read("user\n\"x", &people(), plan).errors[0].contains("quote"));
        assert_eq!(read("", &people(), plan), Table::default());
        let many = format!("user,plan\n{}", "x,Gold\n".repeat(200));
        assert_eq!(read(&many, &people(), plan).errors.len(), ERRORS);
    }
}
