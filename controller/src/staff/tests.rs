//! Staff against a real database.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tawi_shared::{Clock, UnixMillis};

use super::*;
use crate::database::Database;
use crate::state::Controller;
use crate::testing::TemporaryDirectory;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOURS_12: Duration = Duration::from_secs(12 * 3_600);

struct Fixture {
    _directory: TemporaryDirectory,
    controller: Controller,
    door: SignIn,
}

async fn fixture() -> Fixture {
    let directory = TemporaryDirectory::new();
    let mut controller = Controller::new(Database::open(&directory.database_url()).await.unwrap());
    controller.clock = Clock::manual(UnixMillis(1_000));
    let hash = Password::chosen("a long password").unwrap().hash(&controller.ids).await.unwrap();
    let mut transaction = controller.database.write().await.unwrap();
    let login = Login::parse("cashier").unwrap();
    let added = add(&mut transaction, login.clone(), Role::Operator, &hash, &controller.ids, UnixMillis(1))
        .await
        .unwrap();
    assert!(matches!(added, Added::Added(_)));
    let again =
        add(&mut transaction, login, Role::Owner, &hash, &controller.ids, UnixMillis(1)).await.unwrap();
    assert_eq!(again, Added::NameTaken);
    transaction.commit().await.unwrap();
    let door = SignIn::new(controller.clone(), HOURS_12);
    Fixture { _directory: directory, controller, door }
}

impl Fixture {
    async fn attempt(&self, login: &str, password: &str) -> SignInOutcome {
        self.door.attempt(Attempt { login, password, address: HERE }).await.unwrap()
    }

    async fn session(&self, token: &SecretToken) -> Option<Session> {
        let mut reader = self.controller.database.read().await.unwrap();
        session(&mut reader, token, self.controller.clock.now()).await.unwrap()
    }
}

#[tokio::test]
async fn a_session_lasts_its_hours_and_ends_when_closed() {
    let fixture = fixture().await;
    let SignInOutcome::SignedIn(member, token) = fixture.attempt(" Cashier ", "a long password").await else {
        panic!("not signed in");
    };
    assert_eq!(member.role, Role::Operator);
    assert_eq!(fixture.session(&token).await.unwrap().member, member);
    assert_eq!(fixture.session(&SecretToken::received("guess")).await, None);
    fixture.controller.clock.advance(HOURS_12 - Duration::from_secs(1));
    assert!(fixture.session(&token).await.is_some());
    fixture.controller.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.session(&token).await, None);

    let SignInOutcome::SignedIn(_, token) = fixture.attempt("cashier", "a long password").await else {
        panic!("not signed in");
    };
    let mut transaction = fixture.controller.database.write().await.unwrap();
    close_session(&mut transaction, &token).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(fixture.session(&token).await, None);
}

#[tokio::test]
async fn a_wrong_login_and_a_wrong_password_are_refused_alike_and_then_throttled() {
    let fixture = fixture().await;
    assert_eq!(fixture.attempt("cashier", "wrong").await, SignInOutcome::Refused);
    assert_eq!(fixture.attempt("nobody", "a long password").await, SignInOutcome::Refused);
    assert_eq!(fixture.attempt("'; DROP TABLE staff; --", "x").await, SignInOutcome::Refused);
    for _ in 0..4 {
        assert_eq!(fixture.attempt("cashier", "wrong").await, SignInOutcome::Refused);
    }
    assert!(matches!(fixture.attempt("cashier", "a long password").await, SignInOutcome::Wait(_)));
    fixture.controller.clock.advance(throttle::WINDOW);
    assert!(matches!(fixture.attempt("cashier", "a long password").await, SignInOutcome::SignedIn(..)));
}

#[tokio::test]
async fn a_token_is_known_by_its_secret_alone_and_rests_hashed() {
    let fixture = fixture().await;
    let Controller { database, ids, .. } = &fixture.controller;
    let mut transaction = database.write().await.unwrap();
    let Added::Added(token) =
        add_token(&mut transaction, "billing", Role::Viewer, ids, UnixMillis(1)).await.unwrap()
    else {
        panic!("not added");
    };
    let again = add_token(&mut transaction, "billing", Role::Owner, ids, UnixMillis(1)).await.unwrap();
    assert_eq!(again, Added::NameTaken);
    let holder = token_holder(&mut transaction, &token).await.unwrap();
    assert_eq!(holder, Some(TokenHolder { name: "billing".to_owned(), role: Role::Viewer }));
    let hashed = SecretToken::received(&token.sha256());
    assert_eq!(token_holder(&mut transaction, &hashed).await.unwrap(), None);
    assert!(!format!("{token:?}").contains(token.reveal()));
}

#[test]
fn viewers_read_operators_serve_customers_and_owners_do_all() {
    let check = |role: Role, permission, may| assert_eq!(role.may(permission), may, "{role} {permission:?}");
    for role in Role::ALL {
        check(role, Permission::Read, true);
    }
    for daily in [
        Permission::AddCustomers,
        Permission::AskForPayment,
        Permission::HoldSubscriptions,
        Permission::SettleReview,
        Permission::AssignPayments,
        Permission::CommandRouters,
        Permission::TakeOver,
    ] {
        check(Role::Viewer, daily, false);
        check(Role::Operator, daily, true);
        check(Role::Owner, daily, true);
    }
    for rare in [
        Permission::AddPlans,
        Permission::AddRouters,
        Permission::AddSites,
        Permission::UpgradeAgents,
        Permission::ImportStatement,
        Permission::BookByHand,
    ] {
        check(Role::Viewer, rare, false);
        check(Role::Operator, rare, false);
        check(Role::Owner, rare, true);
    }
}
