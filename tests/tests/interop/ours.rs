//! Our client through the same steps as the other two.

use routeros_api::menu::{Identity, PppSecret, PppSecretDraft};
use routeros_api::value::RouterId;
use routeros_api::{Change, Client, Command, Error, Options, Query, Secret, Transport};
use routeros_sim::Simulator;

use super::{ODD_ROWS, PASSWORD, Seen, USER, hex};

const COLUMNS: [&str; 3] = ["name", "comment", "profile"];

pub(crate) fn options(simulator: &Simulator) -> Options {
    Options::new(simulator.api_address(), Transport::Plain, USER, Secret::new(PASSWORD))
}

pub(crate) async fn connect(simulator: &Simulator) -> Client {
    Client::connect(options(simulator)).await.unwrap()
}

pub(crate) async fn rows(client: &Client) -> Vec<[String; 3]> {
    let reply = client.run(Command::new("/ppp/secret/print").proplist(&COLUMNS)).await.unwrap();
    let cells = |row: &routeros_api::Row| COLUMNS.map(|name| hex(&row.get(name).unwrap_or_default()));
    let mut rows: Vec<_> = reply.rows.iter().map(cells).collect();
    rows.sort();
    rows
}

fn words(error: &Error) -> String {
    match error {
        Error::Trap(traps) => traps.first().message.clone(),
        Error::Login(refused) => refused.to_string(),
        other => panic!("{other}"),
    }
}

fn odd(name: &[u8], comment: &[u8]) -> PppSecretDraft {
    PppSecretDraft::new()
        .name(name)
        .comment(comment)
        .password(&Secret::new("w"))
        .service("pppoe")
        .profile("default")
}

async fn id_of(client: &Client, name: &[u8]) -> RouterId {
    client.menu::<PppSecret>().named(&[name]).await.unwrap()[0].id.clone()
}

pub(crate) async fn drive(simulator: &Simulator) -> Seen {
    let wrong = Options { password: Secret::new(format!("{PASSWORD}x")), ..options(simulator) };
    let refused = words(&Client::connect(wrong).await.unwrap_err());
    let client = connect(simulator).await;
    let secrets = client.menu::<PppSecret>();
    let identity = client.single::<Identity>().await.unwrap().name.unwrap();
    let before = rows(&client).await;
    for (name, comment) in ODD_ROWS {
        secrets.add(&odd(name, comment)).await.unwrap();
    }
    let profile = PppSecretDraft::new().profile("default-encryption");
    secrets.set(&id_of(&client, b"007").await, &profile).await.unwrap();
    let query = Query::equals("name", "007").or(Query::equals("name", "a>b"));
    let mut either: Vec<_> =
        secrets.find(query).await.unwrap().iter().map(|secret| hex(&secret.name.clone().unwrap())).collect();
    either.sort();
    let none = secrets.find(Query::equals("name", "nobody")).await.unwrap().len();

    let gone = id_of(&client, b"gone").await;
    let mut listen =
        client.listen(Command::new("/ppp/secret/listen").proplist(&[".id", "name"])).await.unwrap();
    // Another answer in between: the listen is in place.
    assert_eq!(client.single::<Identity>().await.unwrap().name, Some(identity.clone()));
    secrets.set(&gone, &PppSecretDraft::new().comment("heard")).await.unwrap();
    let Some(Ok(Change::Row(told))) = listen.next().await else { panic!("the listen says something else") };
    drop(listen);
    secrets.remove(&gone).await.unwrap();
    let twice = words(&secrets.remove(&gone).await.unwrap_err());
    let double = words(&secrets.add(&odd(b"007", b"")).await.unwrap_err());
    let after = rows(&client).await;
    let (first, second) = tokio::join!(client.single::<Identity>(), rows(&client));
    Seen {
        refused,
        identity: hex(&identity),
        before,
        either,
        none,
        gone: twice,
        double,
        interleaved: Some(first.unwrap().name == Some(identity) && second == after),
        after,
        listened: told.get("name").map(|name| hex(&name)),
    }
}

pub(crate) async fn remove_odd_rows(simulator: &Simulator) {
    let client = connect(simulator).await;
    let names = ODD_ROWS.map(|(name, _)| name);
    for secret in client.menu::<PppSecret>().named(&names).await.unwrap() {
        client.menu::<PppSecret>().remove(&secret.id).await.unwrap();
    }
}
