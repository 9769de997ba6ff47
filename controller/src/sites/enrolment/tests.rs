//! Tickets against a real SQLite file. Devices over real sockets are in `broker/tests/enrolment.rs`.

use super::*;
use crate::database::Database;
use crate::sites::NewSite;
use crate::testing::{TemporaryDirectory, revoke};

struct Office {
    controller: Controller,
    tickets: Tickets,
    pki: Pki,
    _directory: TemporaryDirectory,
}

impl Office {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let controller = Controller::new(Database::open(&directory.database_url()).await.unwrap());
        let pki = Pki::open_or_create(&directory.path().join("pki"), controller.clock.now()).unwrap();
        let tickets = Tickets::new(&pki, &BrokerSettings::default());
        Self { controller, tickets, pki, _directory: directory }
    }

    async fn add(&self, tickets: &Tickets, id: &str, name: &str) -> AddedSite {
        let mut write = self.controller.database.write().await.unwrap();
        let new = NewSite { id: SiteId::parse(id).unwrap(), name: name.to_owned() };
        let actor = Actor::CommandLine("tester".into());
        let by = (&self.controller.ids, self.controller.clock.now());
        let added = add(&mut write, tickets, new, &actor, by).await.unwrap();
        write.commit().await.unwrap();
        added
    }

    async fn kept(&self) -> Vec<(String, String, bool)> {
        let mut read = self.controller.database.read().await.unwrap();
        let rows = sqlx::query(
            "SELECT digest, addresses, withdrawn_at FROM enrolment_tokens ORDER BY made_at, digest",
        );
        let rows = rows.fetch_all(&mut *read).await.unwrap();
        let read = |row: &crate::database::Row| {
            use sqlx::Row as _;
            let withdrawn: Option<i64> = row.get("withdrawn_at");
            (row.get("digest"), row.get("addresses"), withdrawn.is_some())
        };
        rows.iter().map(read).collect()
    }
}

#[tokio::test]
async fn a_site_begins_with_a_ticket_of_which_the_database_keeps_a_digest() {
    let office = Office::open().await;
    let added = office.add(&office.tickets, "nyeri-01", "Nyeri").await;
    let AddedSite::Added(ticket) = added else { panic!("{added:?}") };
    let read = Ticket::parse(ticket.expose()).unwrap();
    assert_eq!((read.site.as_str(), read.addresses.as_slice()), ("nyeri-01", office.tickets.addresses()));
    assert_eq!(ticket.line_to_paste(), format!("echo {} | sudo tawi-agent enrol", ticket.expose()));
    let file = ticket.file("tomorrow");
    let said: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(said, [ticket.expose()]);
    assert_eq!(office.kept().await, [(digest_of(&read.token), String::new(), false)]);
    assert_eq!(office.add(&office.tickets, "nyeri-01", "").await, AddedSite::AlreadyThere);
    assert_eq!(office.add(&office.tickets, "b", "two\nlines").await, AddedSite::BadName);
    assert_eq!(office.kept().await.len(), 1);
}

#[tokio::test]
async fn a_newer_ticket_withdraws_the_older_one_and_so_does_a_revocation() {
    let office = Office::open().await;
    office.add(&office.tickets, "a", "").await;
    let site = SiteId::parse("a").unwrap();
    let make = async |site: &SiteId| {
        let mut write = office.controller.database.write().await.unwrap();
        let by = (&office.controller.ids, office.controller.clock.now());
        let made = make_ticket(&mut write, &office.tickets, site, &Actor::CommandLine("t".into()), by)
            .await
            .unwrap();
        write.commit().await.unwrap();
        made
    };
    let withdrawn = async || office.kept().await.iter().filter(|(_, _, is)| *is).count();
    assert!(matches!(make(&site).await, Ticketed::Made(_)));
    assert_eq!(withdrawn().await, 1);
    assert!(revoke(&office.controller, &site).await.unwrap());
    assert_eq!(withdrawn().await, 2);
    let now = office.controller.clock.now();
    let mut read = office.controller.database.read().await.unwrap();
    assert_eq!(open_until(&mut read, &site, now).await.unwrap(), None);
    assert!(matches!(make(&site).await, Ticketed::Made(_)), "a revoked site comes back by one");
    assert!(open_until(&mut read, &site, now).await.unwrap() > Some(now));
    assert_eq!(make(&SiteId::parse("nobody").unwrap()).await, Ticketed::NoSuchSite);
}

#[tokio::test]
async fn a_site_that_reaches_head_office_by_another_way_keeps_it() {
    let office = Office::open().await;
    let own = vec!["10.1.1.1:8883".to_owned(), "[2001:db8::1]:443".to_owned()];
    let bad = office.tickets.clone().at(own.clone()).unwrap_err();
    assert!(bad.to_string().contains("advertised_address"), "{bad}");
    let mut settings = BrokerSettings::default();
    settings.advertised_addresses.extend(own.clone());
    let tickets = Tickets::new(&office.pki, &settings).at(own.clone()).unwrap();
    let added = office.add(&tickets, "a", "").await;
    let AddedSite::Added(ticket) = added else { panic!("{added:?}") };
    assert_eq!(Ticket::parse(ticket.expose()).unwrap().addresses, own);
    assert_eq!(office.kept().await[0].1, own.join(","));
    let refused = |addresses: &[&str]| {
        office.tickets.clone().at(addresses.iter().map(|text| (*text).to_owned()).collect()).unwrap_err()
    };
    assert_eq!(refused(&["localhost:1", "isp.example"]), BadAddress::Form("isp.example".to_owned()));
    assert_eq!(refused(&[]), BadAddress::Count);
    assert_eq!(refused(&["localhost:1"; 9]), BadAddress::Count);
}
