//! One token for all who are of one app, over a real database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::mpesa::RawMpesa;
use crate::testing::TemporaryDirectory;

/// Somebody who counts how often Daraja is asked, and gives out another token each time.
#[derive(Clone, Default)]
struct Gateway(Arc<AtomicUsize>);

impl Gateway {
    async fn give(&self) -> Result<TokenAnswer, Reason> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(TokenAnswer { access_token: format!("token-{number}"), lives_seconds: 3_599 })
    }

    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Place {
    directory: TemporaryDirectory,
    database: Database,
    clock: Clock,
}

impl Place {
    async fn open() -> Self {
        let directory = TemporaryDirectory::new();
        let database = Database::open(&directory.database_url()).await.unwrap();
        Self { directory, database, clock: Clock::manual(UnixMillis(1_800_000_000_000)) }
    }

    /// What another process would have.
    fn owner(&self, key: &str, secret: &str) -> TokenOwner {
        self.directory.write_secret("secret", secret);
        self.directory.write_secret("passkey", "passkey");
        let text = format!(
            "base_url = \"https://sandbox.safaricom.co.ke\"\nshort_code = \"174379\"\ntransaction_type = \"pay_bill\"\n\
             consumer_key = \"{key}\"\nconsumer_secret_file = \"secret\"\npasskey_file = \"passkey\"\n\
             callback_base_url = \"https://pay.isp.example\"\n"
        );
        let raw: RawMpesa = toml::from_str(&text).unwrap();
        let settings = raw.check(self.directory.path()).unwrap();
        TokenOwner::new(&settings, self.database.clone(), self.clock.clone(), IdSource::system())
    }
}

async fn bearer(owner: &TokenOwner, gateway: &Gateway) -> String {
    let bearer = owner.bearer(gateway.give()).await.unwrap();
    bearer.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn processes_of_one_app_share_one_token_and_those_of_another_have_their_own() {
    let (place, gateway) = (Place::open().await, Gateway::default());
    let (server, command) = (place.owner("app", "secret"), place.owner("app", "secret"));
    assert_eq!(bearer(&server, &gateway).await, "Bearer token-0");
    assert_eq!(bearer(&command, &gateway).await, "Bearer token-0");
    assert_eq!(bearer(&server, &gateway).await, "Bearer token-0");
    assert_eq!(bearer(&place.owner("other", "secret"), &gateway).await, "Bearer token-1");
    // With another secret it proves itself.
    assert_eq!(bearer(&place.owner("app", "changed"), &gateway).await, "Bearer token-2");
    assert_eq!(gateway.asked(), 3);
    // An hour on it is dead.
    place.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bearer(&place.owner("app", "changed"), &gateway).await, "Bearer token-3");
}

#[tokio::test]
async fn those_who_come_while_a_token_is_fetched_wait_for_it() {
    let (place, gateway) = (Place::open().await, Gateway::default());
    let owners: Vec<TokenOwner> = (0..6).map(|_| place.owner("app", "secret")).collect();
    let mut asking = tokio::task::JoinSet::new();
    for owner in owners {
        let gateway = gateway.clone();
        asking.spawn(async move { bearer(&owner, &gateway).await });
    }
    let told = asking.join_all().await;
    assert_eq!((told, gateway.asked()), (vec!["Bearer token-0".to_owned(); 6], 1));
}

#[tokio::test]
async fn a_token_that_is_refused_is_forgotten_for_all_unless_it_was_replaced() {
    let (place, gateway) = (Place::open().await, Gateway::default());
    let (server, command) = (place.owner("app", "secret"), place.owner("app", "secret"));
    bearer(&server, &gateway).await;
    bearer(&command, &gateway).await;
    let dead = bearer_of("token-0").unwrap();
    server.forget(&dead).await;
    assert_eq!(bearer(&server, &gateway).await, "Bearer token-1");
    // The other learns of it later, and takes what there is.
    command.forget(&dead).await;
    assert_eq!(bearer(&command, &gateway).await, "Bearer token-1");
    assert_eq!(gateway.asked(), 2);
}

#[tokio::test]
async fn whoever_was_killed_while_fetching_holds_nobody_up_for_longer_than_a_call_lasts() {
    let (place, gateway) = (Place::open().await, Gateway::default());
    let (killed, next) = (place.owner("app", "secret"), place.owner("app", "secret"));
    assert!(matches!(killed.look().await.unwrap(), Shared::Ours));
    assert!(matches!(next.look().await.unwrap(), Shared::IsComing));
    place.clock.advance(LEASE);
    assert_eq!(bearer(&next, &gateway).await, "Bearer token-0");
    // One that was only slow has killed that token by now: its own is the one that lives.
    killed.share(Some(&gateway.give().await.unwrap())).await.unwrap();
    next.forget(&bearer_of("token-0").unwrap()).await;
    assert_eq!(bearer(&next, &gateway).await, "Bearer token-1");
}

#[tokio::test]
async fn a_failure_gives_the_lease_back_and_is_shared_for_a_moment() {
    let (place, gateway) = (Place::open().await, Gateway::default());
    let (first, second) = (place.owner("app", "secret"), place.owner("app", "secret"));
    let refused = async { Err(Reason::new("400.008.01", "Invalid Authentication passed")) };
    assert_eq!(first.bearer(refused).await.unwrap_err().code, "400.008.01");
    assert_eq!(first.bearer(gateway.give()).await.unwrap_err().code, "400.008.01");
    assert_eq!(bearer(&second, &gateway).await, "Bearer token-0");
}
