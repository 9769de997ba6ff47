//! The sheet: which rows are taken over, for whom, on which plan, paid until when. Pure: what was typed, what is known in;
//! entries and complaints out.
//!
//! A sheet is read twice from the same fields: for the preview, and when it is confirmed. Its digest is over what would be
//! done, with the names and prices that the preview showed; if anything of that has changed by then, nothing is done and
//! the preview is shown again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ring::digest::{Context, SHA256};
use tawi_shared::ids::hex;
use tawi_shared::wire::Service;
use tawi_shared::{Bandwidth, UnixMillis};

use super::matching::{Because, People, Person, Speed, speed_of};
use super::table::Table;
use super::{ForeignRow, KnownLine};
use crate::customers::phone::Msisdn;
use crate::ids::PlanId;
use crate::money::Money;
use crate::subscriptions::credentials::Username;
use crate::web::display;
use crate::web::form::Fields;

/// Rows of one page of the sheet: what a person can look over, and a form can carry. Each page has its own preview.
pub const ROWS: usize = 100;

/// A plan, as far as the sheet needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub id: PlanId,
    /// Its name.
    pub name: String,
    /// The price of a period.
    pub price: Money,
    /// Of which service.
    pub service: Service,
    /// The profile of its connection type.
    pub profile: String,
    /// To the customer.
    pub download: Bandwidth,
    /// From the customer.
    pub upload: Bandwidth,
}

/// For whom a row is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A customer that there is.
    Known(Person),
    /// One that is entered with it.
    New {
        /// Their name.
        name: String,
        /// Their phone.
        phone: Msisdn,
    },
}

/// One row that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row.
    pub row: ForeignRow,
    /// Its name, fit for a line.
    pub username: Username,
    /// For whom.
    pub whose: Whose,
    /// On which plan.
    pub offer: Offer,
    /// Paid until then.
    pub until: UnixMillis,
    /// The line that takes the row, with its name; `None` for a new line.
    pub line: Option<KnownLine>,
}

/// A row that was ticked and cannot be taken over so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The row's name.
    pub username: String,
    /// What to change.
    pub reason: String,
}

/// What was ticked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// To be taken over.
    pub entries: Vec<Entry>,
    /// To be put right.
    pub complaints: Vec<Complaint>,
}

/// How a row stands in the form before anybody typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggested {
    /// The account number of whom it probably is; empty for nobody.
    pub account: String,
    /// Their name, or that of a customer to be entered.
    pub name: String,
    /// The phone of a customer to be entered.
    pub phone: String,
    /// Why.
    pub because: &'static str,
    /// The plan that fits; empty for none.
    pub plan: String,
    /// Paid until then, for a browser's field.
    pub until: String,
    /// The line of theirs that is probably meant, by its name; empty for a new one.
    pub line: String,
    /// Whether a table says whose it is.
    pub is_customer_said: bool,
    /// Whether a table says the plan.
    pub is_plan_said: bool,
}

impl Suggested {
    /// Whether a person's table says all that taking the row over needs, so that it is ticked: the preview follows.
    #[must_use]
    pub fn is_said_whole(&self) -> bool {
        let is_new = self.account.is_empty() && !self.name.is_empty() && !self.phone.is_empty();
        (self.is_customer_said || is_new) && !self.plan.is_empty() && !self.until.is_empty()
    }
}

/// What is probably right for a row: as the table says, and else as the row itself says.
#[must_use]
pub fn suggest(
    row: &ForeignRow,
    people: &People,
    table: &Table,
    offers: &[Offer],
    lines: &BTreeMap<String, KnownLine>,
) -> Suggested {
    let said = table.rows.get(&row.username);
    let own = lines.get(&row.username).filter(|line| !line.is_on_router);
    let by_table = said.and_then(|said| people.get(said.customer.as_ref()?)).map(|p| (p, Because::Table));
    let by_line = own.and_then(|line| Some((people.get(&line.customer)?, Because::Line)));
    let is_new = said.is_some_and(|said| said.customer.is_none() && !said.name.is_empty());
    let found = by_table.or(by_line).or_else(|| if is_new { None } else { people.suggest(row) });
    let plan = said.and_then(|said| said.plan.clone()).or_else(|| offer_of(row, offers));
    let mut suggested = Suggested {
        plan: plan.map(|plan| plan.to_string()).unwrap_or_default(),
        until: said.and_then(|said| said.until).map(display::local_field).unwrap_or_default(),
        is_customer_said: by_table.or(by_line).is_some(),
        is_plan_said: said.is_some_and(|said| said.plan.is_some()),
        ..Suggested::default()
    };
    if let Some((person, because)) = found {
        suggested.account = person.account.to_string();
        suggested.name.clone_from(&person.name);
        suggested.because = because.words();
        let is_free = |line: &&KnownLine| {
            let is_theirs = line.customer == person.id && !line.has_foreign_row;
            is_theirs && fit(line, row, &line.plan, offers).is_ok()
        };
        let mut free = lines.values().filter(is_free);
        let only_free = || free.next().filter(|_| free.next().is_none());
        if let Some(line) = own.or_else(only_free) {
            suggested.line.clone_from(&line.username);
            if !suggested.is_plan_said {
                suggested.plan = line.plan.to_string();
            }
        }
    } else if let Some(said) = said.filter(|_| is_new) {
        (suggested.name, suggested.phone) = (said.name.clone(), said.phone.clone());
        suggested.because = "new, by your table";
    }
    suggested
}

/// The only plan of that service whose speed is the row's, or whose profile or name is the row's profile.
fn offer_of(row: &ForeignRow, offers: &[Offer]) -> Option<PlanId> {
    let of_service = || offers.iter().filter(|offer| offer.service == row.service);
    let speed = speed_of(&row.rate_limit);
    let is_as_fast = |offer: &&Offer| {
        let download = offer.download.bits_per_second();
        speed == Some(Speed { download, upload: offer.upload.bits_per_second() })
    };
    let is_named = |offer: &&Offer| {
        offer.profile.eq_ignore_ascii_case(&row.profile) || offer.name.eq_ignore_ascii_case(&row.profile)
    };
    only(of_service().filter(is_named)).or_else(|| only(of_service().filter(is_as_fast)))
}

fn only<'a>(mut offers: impl Iterator<Item = &'a Offer>) -> Option<PlanId> {
    let first = offers.next()?;
    offers.next().is_none().then(|| first.id.clone())
}

/// The plan on which a line is to take a row's name, or why it cannot. One that its site was told of has a row of its own:
/// to take that away would end its sessions, and to leave it would be a second way in.
fn fit<'a>(
    line: &KnownLine,
    row: &ForeignRow,
    plan: &PlanId,
    offers: &'a [Offer],
) -> Result<&'a Offer, String> {
    if line.is_on_router {
        return Err(format!(
            "the line {} has a row of its own on this router already, and cannot have two: take this row over as a new line, \
             or give that line to nobody first",
            line.username
        ));
    }
    let offer = offers.iter().find(|offer| offer.id == *plan).ok_or("its plan is not there any more")?;
    let service = display::service(row.service);
    if offer.service == row.service {
        Ok(offer)
    } else if *plan == line.plan {
        Err(format!("the line {} is no line for {service}: choose a plan that is", line.username))
    } else {
        Err(format!("{} is no plan for {service}", offer.name))
    }
}

/// Reads the form: fields are `take-N`, `row-N`, `customer-N`, `name-N`, `phone-N`, `plan-N`, `until-N`, `line-N`. What the
/// form suggested by itself is in `given-customer-N`, `given-plan-N` and `given-line-N`: anything else was typed by a person,
/// and goes before what was not.
#[must_use]
pub fn read(
    fields: &Fields,
    rows: &[ForeignRow],
    people: &People,
    offers: &[Offer],
    lines: &BTreeMap<String, KnownLine>,
) -> Sheet {
    let mut sheet = Sheet::default();
    let (mut seen, mut used) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..ROWS {
        let value = |field: &str| fields.value(&format!("{field}-{number}")).to_owned();
        if value("take") != "yes" {
            continue;
        }
        let key = value("row");
        let Some(row) = rows.iter().find(|row| key_of(row) == key) else {
            sheet.complain(&key, "this row is not there any more; read the rows again");
            continue;
        };
        if !seen.insert(key) {
            continue;
        }
        match entry(row, value, people, offers, lines) {
            Ok(Entry { line: Some(line), .. }) if !used.insert(line.id.to_string()) => {
                sheet.complain(
                    &row.username,
                    &format!("the line {} stands on this sheet already", line.username),
                );
            }
            Ok(entry) => match entry.clash(lines, &sheet.entries) {
                None => sheet.entries.push(entry),
                Some(reason) => sheet.complain(&row.username, &reason),
            },
            Err(reason) => sheet.complain(&row.username, &reason),
        }
    }
    sheet
}

/// The address that is the row's own; `None` for one of a pool, which stands in the same place by its name.
pub(super) fn address_of(row: &ForeignRow) -> Option<Ipv4Addr> {
    row.address.parse().ok().filter(|address: &Ipv4Addr| !address.is_unspecified())
}

/// What names a row within its router.
#[must_use]
pub fn key_of(row: &ForeignRow) -> String {
    format!("{}:{}", row.service.code(), row.username)
}

fn entry(
    row: &ForeignRow,
    value: impl Fn(&str) -> String,
    people: &People,
    offers: &[Offer],
    lines: &BTreeMap<String, KnownLine>,
) -> Result<Entry, String> {
    let username =
        Username::parse(&row.username).map_err(|invalid| format!("its name: {}", invalid.reason))?;
    let own = lines.get(&row.username);
    if own.is_some_and(|line| line.is_on_router) {
        return Err("a line of that name is on this router already".to_owned());
    }
    let until = || display::local(&value("until")).ok_or("say until when it is paid");
    let line = match own {
        Some(own) => Some(own_line(own, &value, people)?),
        None => line_of(&value, people, lines)?,
    };
    if let Some(line) = line {
        let plan = PlanId::parse(&typed(&value, "plan")).unwrap_or_else(|_| line.plan.clone());
        let offer = fit(line, row, &plan, offers)?.clone();
        let person = people.get(&line.customer).ok_or("its customer is not there any more")?;
        let (whose, line) = (Whose::Known(person.clone()), Some(line.clone()));
        return Ok(Entry { row: row.clone(), username, whose, offer, until: until()?, line });
    }
    let whose = whose(&value, people)?;
    let plan = value("plan");
    let offer = offers.iter().find(|offer| offer.id.as_str() == plan).ok_or("choose a plan")?;
    if offer.service != row.service {
        return Err(format!("{} is no plan for {}", offer.name, display::service(row.service)));
    }
    Ok(Entry { row: row.clone(), username, whose, offer: offer.clone(), until: until()?, line: None })
}

/// What a person typed into a field; empty when it is what the form said by itself.
fn typed(value: impl Fn(&str) -> String, field: &str) -> String {
    let text = value(field);
    if text == value(&format!("given-{field}")) { String::new() } else { text }
}

/// The line of the row's own name, which has no row of its own yet: it takes this one, and no other line can.
fn own_line<'a>(
    line: &'a KnownLine,
    value: impl Fn(&str) -> String,
    people: &People,
) -> Result<&'a KnownLine, String> {
    let (own, typed) = (&line.username, value("line"));
    if !typed.is_empty() && typed != *own {
        return Err(format!(
            "the line {own} has its name and takes it: leave the field for another line empty"
        ));
    }
    match other_than(line, value, people)? {
        None => Ok(line),
        Some(Whose::Known(Person { name: other, .. }) | Whose::New { name: other, .. }) => Err(format!(
            "the line {own}, which has its name, is not {other}'s: leave the customer empty to keep the line's"
        )),
    }
}

/// Who was typed as the customer of a line that is somebody else's; `None` where nobody was, or its own.
fn other_than(
    line: &KnownLine,
    value: impl Fn(&str) -> String,
    people: &People,
) -> Result<Option<Whose>, String> {
    let is_new = value("customer").is_empty() && !value("name").is_empty();
    if !is_new && typed(&value, "customer").is_empty() {
        return Ok(None);
    }
    let is_its_own = |whose: &Whose| matches!(whose, Whose::Known(person) if person.id == line.customer);
    Ok(Some(whose(&value, people)?).filter(|whose| !is_its_own(whose)))
}

/// The line that takes the row's name; `None` for a new one. A customer who was typed goes before a line that was suggested:
/// money that is theirs is not to pay for somebody else's line.
fn line_of<'a>(
    value: impl Fn(&str) -> String,
    people: &People,
    lines: &'a BTreeMap<String, KnownLine>,
) -> Result<Option<&'a KnownLine>, String> {
    let name = value("line");
    if name.is_empty() {
        return Ok(None);
    }
    let line = lines.get(&name).ok_or_else(|| format!("this router has no line {name}"))?;
    match other_than(line, &value, people)? {
        None => Ok(Some(line)),
        Some(_) if typed(&value, "line").is_empty() => Ok(None),
        Some(Whose::Known(Person { name: other, .. }) | Whose::New { name: other, .. }) => Err(format!(
            "the line {name} is not {other}'s: leave the line empty for a new one, or the customer to keep the line's"
        )),
    }
}

/// For whom a row is taken over as a new line.
fn whose(value: impl Fn(&str) -> String, people: &People) -> Result<Whose, String> {
    let customer = value("customer");
    if !customer.is_empty() {
        let person = people.named(&customer).cloned();
        return person
            .map(Whose::Known)
            .ok_or_else(|| format!("no customer is called {customer}, or several are"));
    }
    let name = value("name");
    if name.is_empty() {
        return Err("say whose it is: an account number, or the name and phone of a new customer".to_owned());
    }
    let phone = Msisdn::parse(&value("phone")).map_err(|error| format!("phone: {error}"))?;
    Ok(Whose::New { name, phone })
}

impl Entry {
    /// The line of the row's own name, where one was entered before.
    fn own_line(&self) -> Option<&KnownLine> {
        self.line.as_ref().filter(|line| line.username == self.username.as_str())
    }

    /// The address that its line gets from the row; `None` where it gets none, or keeps one of its own.
    fn new_address(&self) -> Option<Ipv4Addr> {
        if self.own_line().is_some() { None } else { address_of(&self.row) }
    }

    /// Why its line cannot have the row's address, if another line or another row of the sheet has it.
    fn clash(&self, lines: &BTreeMap<String, KnownLine>, before: &[Self]) -> Option<String> {
        let address = self.new_address()?;
        let own = self.line.as_ref().map(|line| &line.id);
        let is_holder = |line: &&KnownLine| line.address.parse() == Ok(address) && Some(&line.id) != own;
        if let Some(holder) = lines.values().find(is_holder) {
            let name = &holder.username;
            return Some(format!(
                "the line {name} has its address, {address}: give one of them another first"
            ));
        }
        let other = before.iter().find(|entry| entry.new_address() == Some(address))?;
        Some(format!("the row {} has its address too, {address}: take only one of them over", other.username))
    }

    /// Whether its line keeps a password that head office has for it, and that may be another than the row's.
    #[must_use]
    pub fn keeps_password(&self) -> bool {
        self.own_line().is_some_and(|line| line.has_password)
    }

    /// What of the row becomes another with its line, in a few words each. A new line has the row's own address and device.
    #[must_use]
    pub fn changes(&self, now: UnixMillis) -> Vec<String> {
        let (row, is_paid) = (&self.row, self.until > now);
        let differs = |what: &str, has: &str, wants: &str| {
            let is_other = !wants.is_empty() && !has.eq_ignore_ascii_case(wants);
            is_other.then(|| match has {
                "" => format!("{what} becomes {wants}"),
                has => format!("{what} {has} becomes {wants}"),
            })
        };
        let own = self.own_line();
        [
            differs("address", &row.address, own.map_or("", |line| &line.address)),
            differs("only from", &row.caller_id, own.map_or("", |line| &line.caller_id)),
            differs("profile", &row.profile, &self.offer.profile).filter(|_| is_paid),
            (is_paid && row.is_disabled).then(|| "it is disabled, and becomes enabled".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Sheet {
    fn complain(&mut self, username: &str, reason: &str) {
        self.complaints.push(Complaint { username: username.to_owned(), reason: reason.to_owned() });
    }

    /// Names exactly what the preview shows and the confirmation does: also whose time is over, who would lose access by it.
    #[must_use]
    pub fn digest(&self, now: UnixMillis) -> String {
        let mut context = Context::new(&SHA256);
        for entry in &self.entries {
            let whose = match &entry.whose {
                Whose::Known(person) => format!("{} {}", person.id, person.name),
                Whose::New { name, phone } => format!("new {name} {}", phone.digits()),
            };
            let (row, offer) = (&entry.row, &entry.offer);
            for part in [
                key_of(row),
                row.comment.clone(),
                row.rate_limit.clone(),
                whose,
                offer.id.to_string(),
                offer.name.clone(),
                offer.price.cents().to_string(),
                entry.until.to_string(),
                if entry.until <= now { "over" } else { "paid" }.to_owned(),
                entry.line.as_ref().map(|line| format!("{} {}", line.id, line.username)).unwrap_or_default(),
            ] {
                // With its length, so that no two sheets look alike.
                context.update(format!("{}:{part}", part.len()).as_bytes());
            }
        }
        hex(context.finish().as_ref().get(..16).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers::account_number::AccountNumber;
    use crate::ids::CustomerId;
    use tawi_shared::IdSource;

    fn people() -> People {
        let person = |seed: u32, phone: &str, name: &str| Person {
            id: CustomerId::random(&IdSource::seeded(seed.into())),
            account: AccountNumber::from_serial(1_000_000 + seed).unwrap(),
            phone: Msisdn::parse(phone).unwrap(),
            name: name.into(),
        };
        People::new(vec![person(1, "0712345678", "Corner Shop"), person(2, "0733000111", "Bakery")])
    }

    fn offer(id: &str, service: Service, megabits: u64) -> Offer {
        Offer {
            id: PlanId::parse(id).unwrap(),
            name: format!("Home {megabits}"),
            price: Money::from_cents(150_000),
            service,
            profile: format!("home-{megabits}"),
            download: Bandwidth::from_bits_per_second(megabits * 1_000_000),
            upload: Bandwidth::from_bits_per_second(megabits * 500_000),
        }
    }

    fn row(username: &str) -> ForeignRow {
        ForeignRow {
            service: Service::Pppoe,
            username: username.into(),
            comment: "0712345678".into(),
            profile: "old".into(),
            rate_limit: "5M/10M".into(),
            is_disabled: false,
            is_online: true,
            address: String::new(),
            caller_id: String::new(),
        }
    }

    fn offers() -> Vec<Offer> {
        vec![
            offer("p10", Service::Pppoe, 10),
            offer("p20", Service::Pppoe, 20),
            offer("h10", Service::Hotspot, 10),
        ]
    }

    #[test]
    fn a_row_is_suggested_its_customer_and_the_plan_of_its_speed() {
        let suggested = suggest(&row("plot17"), &people(), &Table::default(), &offers(), &BTreeMap::new());
        assert_eq!((suggested.name.as_str(), suggested.because), ("Corner Shop", "phone in the comment"));
        assert_eq!(suggested.plan, "p10");
        let named = ForeignRow { profile: "HOME-20".into(), ..row("plot17") };
        assert_eq!(suggest(&named, &people(), &Table::default(), &offers(), &BTreeMap::new()).plan, "p20");
        let twice = [offers(), vec![offer("q10", Service::Pppoe, 10)]].concat();
        let unclear = ForeignRow { rate_limit: "5M/10M".into(), ..row("plot17") };
        assert_eq!(
            suggest(&unclear, &people(), &Table::default(), &twice, &BTreeMap::new()).plan,
            "",
            "two fit: a person chooses"
        );
        let table = crate::adoption::table::read(
            "user,name,phone,until\nplot17,New Kiosk,0722000111,2026-12-01",
            &people(),
            |_| None,
        );
        let suggested = suggest(&row("plot17"), &people(), &table, &offers(), &BTreeMap::new());
        assert_eq!((suggested.account.as_str(), suggested.name.as_str()), ("", "New Kiosk"));
        assert_eq!(suggested.until, "2026-12-01T23:59");
    }

    fn line(username: &str, plan: &str, is_on_router: bool) -> KnownLine {
        KnownLine {
            id: crate::ids::LineId::parse(username).unwrap(),
            username: username.to_owned(),
            customer: CustomerId::random(&IdSource::seeded(1)),
            plan: PlanId::parse(plan).unwrap(),
            is_on_router,
            paid_until: None,
            address: String::new(),
            caller_id: String::new(),
            has_foreign_row: false,
            has_password: false,
        }
    }

    fn lines(lines: impl IntoIterator<Item = KnownLine>) -> BTreeMap<String, KnownLine> {
        lines.into_iter().map(|line| (line.username.clone(), line)).collect()
    }

    #[test]
    fn a_line_that_was_entered_before_its_row_was_read_takes_it_with_what_is_left() {
        let own = KnownLine { has_foreign_row: true, ..line("plot17", "p10", false) };
        let lines = lines([own, line("acc-1", "p10", false)]);
        let people = people();
        let table = super::super::table::read("user,until\nplot17,2026-12-01", &people, |_| None);
        let strange = ForeignRow { comment: String::new(), ..row("plot17") };
        let suggested = suggest(&strange, &people, &table, &offers(), &lines);
        assert_eq!((suggested.line.as_str(), suggested.plan.as_str()), ("plot17", "p10"));
        assert_eq!(
            (suggested.name.as_str(), suggested.because),
            ("Corner Shop", "has the line of this name")
        );
        assert!(suggested.is_said_whole(), "whose it is its line says");
        let other = ForeignRow { username: "plot99".into(), ..row("plot99") };
        assert_eq!(
            suggest(&other, &people, &table, &offers(), &lines).line,
            "acc-1",
            "not that of another row"
        );
        let read = |more: &[(&str, &str)]| {
            let mut form = typed(&[("until-0", "2026-12-01T23:59")]);
            more.iter().for_each(|(name, value)| form.set(name, value));
            let rows = [row("plot17")];
            super::read(&form, &rows, &people, &offers(), &lines)
        };
        let sheet = read(&[]);
        assert_eq!(sheet.complaints, []);
        assert_eq!(sheet.entries[0].line.as_ref().map(|line| line.username.as_str()), Some("plot17"));
        let complaint = |more: &[(&str, &str)]| read(more).complaints.remove(0).reason;
        assert!(complaint(&[("line-0", "acc-1")]).contains("the line plot17 has its name"));
        assert!(complaint(&[("customer-0", "0733000111")]).contains("is not Bakery's"));
        let told = BTreeMap::from([("plot17".to_owned(), line("plot17", "p10", true))]);
        let form = typed(&[("until-0", "2026-12-01T23:59")]);
        let told = super::read(&form, &[row("plot17")], &people, &offers(), &told);
        assert!(told.complaints[0].reason.contains("on this router already"), "{told:?}");
    }

    fn typed(more: &[(&str, &str)]) -> Fields {
        let mut fields = vec![
            ("take-0", "yes"),
            ("row-0", "1:plot17"),
            ("customer-0", "0712345678"),
            ("plan-0", "p10"),
            ("until-0", "2026-12-01T12:00"),
        ];
        fields.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        fields.extend(more);
        Fields::with(&fields)
    }

    #[test]
    fn what_is_ticked_is_read_or_complained_of() {
        let taken = BTreeMap::from([
            ("plot18".to_owned(), line("plot18", "p10", true)),
            ("acc-1".to_owned(), line("acc-1", "p20", false)),
            ("acc-2".to_owned(), line("acc-2", "h10", false)),
        ]);
        let rows = [row("plot17"), row("plot18"), row("has blank")];
        let read = |fields: &Fields| read(fields, &rows, &people(), &offers(), &taken);
        let sheet = read(&typed(&[]));
        assert_eq!((sheet.entries.len(), sheet.complaints.len()), (1, 0), "{:?}", sheet.complaints);
        assert_eq!(read(&typed(&[("take-0", "")])), Sheet::default(), "what is not ticked is left alone");
        let check = |more: &[(&str, &str)], reason: &str| {
            let sheet = read(&typed(more));
            assert!(sheet.entries.is_empty() && sheet.complaints.len() == 1, "{more:?}");
            assert!(sheet.complaints[0].reason.contains(reason), "{:?}", sheet.complaints);
        };
        check(&[("row-0", "1:plot99")], "not there any more");
        check(&[("row-0", "1:plot18")], "already");
        check(&[("row-0", "1:has blank")], "without spaces");
        check(&[("customer-0", "")], "whose");
        check(&[("customer-0", "nobody")], "nobody");
        check(&[("customer-0", ""), ("name-0", "Kiosk"), ("phone-0", "12")], "phone");
        check(&[("plan-0", "")], "plan");
        check(&[("plan-0", "h10")], "no plan for");
        check(&[("until-0", "")], "until when");
        let renamed = read(&typed(&[("line-0", "acc-1"), ("customer-0", ""), ("plan-0", "")]));
        let entry = &renamed.entries[0];
        assert_eq!(
            (entry.username.as_str(), entry.offer.id.as_str()),
            ("plot17", "p20"),
            "the line's own plan"
        );
        assert!(matches!(&entry.whose, Whose::Known(person) if person.name == "Corner Shop"));
        assert_ne!(
            renamed.digest(UnixMillis(0)),
            read(&typed(&[("plan-0", "p20")])).digest(UnixMillis(0)),
            "a new line is another thing"
        );
        check(&[("line-0", "plot18")], "a row of its own");
        check(&[("line-0", "acc-2"), ("plan-0", "")], "no line for");
        check(&[("line-0", "nothing")], "has no line nothing");
        check(&[("line-0", "acc-1"), ("until-0", "")], "until when");
        let suggested = suggest(&rows[0], &people(), &Table::default(), &offers(), &taken);
        assert_eq!(suggested.line, "acc-1", "the only one that could be meant");
        assert_eq!(suggested.plan, "p20", "with its own plan");
    }

    #[test]
    fn no_address_is_given_to_two_lines() {
        let addressed = |name: &str, address: &str| ForeignRow { address: address.into(), ..row(name) };
        let with_address = |name: &str, address: &str, is_on_router: bool| {
            let known = line(name, "p20", is_on_router);
            (name.to_owned(), KnownLine { address: address.into(), ..known })
        };
        let fields = |number: usize, name: &str| {
            [("take", "yes"), ("customer", "Corner Shop"), ("plan", "p20"), ("until", "2027-01-01T00:00")]
                .map(|(field, value)| (format!("{field}-{number}"), value.to_owned()))
                .into_iter()
                .chain([(format!("row-{number}"), key_of(&row(name)))])
                .collect::<Vec<_>>()
        };
        let reading = |rows: &[ForeignRow], lines: &[(String, KnownLine)]| {
            let fields: Vec<_> =
                rows.iter().enumerate().flat_map(|(number, row)| fields(number, &row.username)).collect();
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            read(&Fields::with(&fields), rows, &people(), &offers(), &lines.iter().cloned().collect())
        };
        let holder = with_address("plot1", "10.9.0.7", true);
        let taken = reading(&[addressed("plot17", "10.9.0.7")], std::slice::from_ref(&holder));
        assert!(taken.complaints[0].reason.contains("the line plot1 has its address, 10.9.0.7"), "{taken:?}");
        let free = reading(&[addressed("plot17", "10.9.0.8")], std::slice::from_ref(&holder));
        assert_eq!((free.entries.len(), free.complaints.len()), (1, 0), "{free:?}");
        let pool = reading(&[addressed("plot17", "pool1"), addressed("plot18", "pool1")], &[]);
        assert_eq!((pool.entries.len(), pool.complaints.len()), (2, 0), "{pool:?}");
        let twice = reading(&[addressed("plot17", "10.9.0.8"), addressed("plot18", "10.9.0.8")], &[]);
        assert_eq!(twice.entries.len(), 1);
        assert!(twice.complaints[0].reason.contains("the row plot17 has its address too"), "{twice:?}");
        // A line that was entered before keeps its own.
        let own = [holder, with_address("plot17", "10.9.0.9", false)];
        let kept = reading(&[addressed("plot17", "10.9.0.7")], &own);
        assert_eq!((kept.entries.len(), kept.complaints.len()), (1, 0), "{kept:?}");
    }

    #[test]
    fn what_a_person_typed_goes_before_what_the_form_suggested() {
        let lines = BTreeMap::from([
            ("acc-1".to_owned(), line("acc-1", "p20", false)),
            ("acc-2".to_owned(), line("acc-2", "h10", false)),
        ]);
        // As the form suggests it: the line of Corner Shop, with its plan.
        let given = [
            ("customer-0", "0712345678"),
            ("given-customer-0", "0712345678"),
            ("plan-0", "p20"),
            ("given-plan-0", "p20"),
            ("line-0", "acc-1"),
            ("given-line-0", "acc-1"),
        ];
        // Who, on which plan, by which line; or a part of the complaint.
        let check = |more: &[(&str, &str)], expected: Result<(&str, &str, &str), &str>| {
            let fields: Vec<_> = given
                .iter()
                .filter(|(name, _)| more.iter().all(|(other, _)| other != name))
                .copied()
                .collect();
            let sheet =
                read(&typed(&[&fields, more].concat()), &[row("plot17")], &people(), &offers(), &lines);
            match (expected, &sheet.entries[..]) {
                (Ok(expected), [entry]) => {
                    let (Whose::Known(Person { name, .. }) | Whose::New { name, .. }) = &entry.whose;
                    let line = entry.line.as_ref().map_or("", |line| line.username.as_str());
                    assert_eq!((name.as_str(), entry.offer.id.as_str(), line), expected, "{more:?}");
                }
                (Err(part), []) => assert!(sheet.complaints[0].reason.contains(part), "{more:?} {sheet:?}"),
                _ => panic!("{more:?} {sheet:?}"),
            }
        };
        check(&[], Ok(("Corner Shop", "p20", "acc-1")));
        check(&[("plan-0", "p10")], Ok(("Corner Shop", "p10", "acc-1")));
        check(&[("plan-0", "h10")], Err("no plan for"));
        check(&[("customer-0", "Bakery")], Ok(("Bakery", "p20", "")));
        check(&[("customer-0", "Corner Shop")], Ok(("Corner Shop", "p20", "acc-1")));
        check(&[("customer-0", "nobody")], Err("nobody"));
        check(&[("customer-0", "")], Ok(("Corner Shop", "p20", "acc-1")));
        check(
            &[("customer-0", ""), ("name-0", "Kiosk"), ("phone-0", "0722000111")],
            Ok(("Kiosk", "p20", "")),
        );
        // The line was typed; what is suggested gives way, and what is typed contradicts it.
        check(&[("given-line-0", "")], Ok(("Corner Shop", "p20", "acc-1")));
        check(
            &[("given-line-0", ""), ("customer-0", "Bakery"), ("given-customer-0", "Bakery")],
            Ok(("Corner Shop", "p20", "acc-1")),
        );
        check(&[("given-line-0", ""), ("customer-0", "Bakery")], Err("is not Bakery's"));
        // A line for another service takes the row once it is on a plan for it.
        check(&[("line-0", "acc-2"), ("plan-0", ""), ("given-plan-0", "")], Err("no line for"));
        check(
            &[("line-0", "acc-2"), ("plan-0", "p10"), ("given-plan-0", "")],
            Ok(("Corner Shop", "p10", "acc-2")),
        );
    }

    #[test]
    fn a_digest_changes_with_whatever_the_preview_shows() {
        let rows = [row("plot17")];
        let digest = |more: &[(&str, &str)], rows: &[ForeignRow], offers: &[Offer]| {
            read(&typed(more), rows, &people(), offers, &BTreeMap::new()).digest(UnixMillis(0))
        };
        let first = digest(&[], &rows, &offers());
        assert_eq!(first, digest(&[], &rows, &offers()));
        let dearer: Vec<Offer> =
            offers().into_iter().map(|offer| Offer { price: Money::from_cents(1), ..offer }).collect();
        let changed = [ForeignRow { comment: "somebody else".into(), ..row("plot17") }];
        for other in [
            digest(&[("until-0", "2026-12-01T12:01")], &rows, &offers()),
            digest(&[("plan-0", "p20")], &rows, &offers()),
            digest(&[("customer-0", ""), ("name-0", "Kiosk"), ("phone-0", "0722000111")], &rows, &offers()),
            digest(&[], &rows, &dearer),
            digest(&[], &changed, &offers()),
        ] {
            assert_ne!(first, other);
        }
    }
}
