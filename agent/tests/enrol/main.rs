//! Enrolment and renewal against a front door on real sockets that keeps the contract, or does not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]

mod command;
mod damaged;
mod office;
mod renewal;

use office::{Office, SITE, Way};
use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::enrol::answer::{BadAnswer, Issued};
use tawi_agent::enrol::http::HttpError;
use tawi_agent::enrol::key::AgentKey;
use tawi_agent::enrol::{EnrolError, enrol};
use tawi_shared::enrolment::{ALPN_MQTT, ENROL_PATH, Ticket};
use tawi_shared::{Clock, UnixMillis};

fn clock() -> TrustedClock {
    TrustedClock::new(Clock::system(), KeptTime::default())
}

async fn ask(ticket: &Ticket, key: &AgentKey) -> Result<Issued, EnrolError> {
    Box::pin(enrol(ticket, key, clock(), None, |_| {})).await
}

#[tokio::test]
async fn a_new_device_gets_a_certificate_for_the_key_that_it_made() {
    let office = Office::start().await;
    let key = AgentKey::generate().unwrap();
    let issued = ask(&office.ticket(SITE, 1), &key).await.unwrap();
    let heard = office.heard();
    assert_eq!((heard.len(), heard[0].path.as_str()), (1, ENROL_PATH));
    assert_eq!(heard[0].public_key(), key.public_key());
    assert_eq!(heard[0].shown, None, "a new device has nothing to show");
    assert_eq!(issued.addresses, [format!("localhost:{}", office.port), "isp.example:443".to_owned()]);

    office.answers(Way::NoAddresses);
    let again = ask(&office.ticket(SITE, 1), &key).await.unwrap();
    assert_eq!(again.certificate, issued.certificate, "the same token and key get the same answer");
    assert_eq!(again.addresses, office.ticket(SITE, 1).addresses);
}

#[tokio::test]
async fn whoever_is_not_pinned_hears_no_byte_of_the_request() {
    let (office, stranger) = (Office::start().await, Office::start().await);
    let key = AgentKey::generate().unwrap();
    // The name is right, the certificate is whole, and its authority is another.
    let ticket = Ticket { addresses: stranger.ticket(SITE, 1).addresses, ..office.ticket(SITE, 1) };
    let refused = ask(&ticket, &key).await.unwrap_err();
    assert!(matches!(refused, EnrolError::AnotherAuthority(_)), "{refused}");
    assert!(refused.to_string().contains("cure: "));
    assert_eq!((stranger.tcp_connections(), stranger.heard().len()), (1, 0));

    // With the right one behind it the device goes on to that.
    let both = [ticket.addresses.clone(), office.ticket(SITE, 1).addresses].concat();
    ask(&Ticket { addresses: both, ..ticket }, &key).await.unwrap();
    assert_eq!((stranger.heard().len(), office.heard().len()), (0, 1));
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_refused_although_the_authority_is_right() {
    let office = Office::start().await;
    let ticket = Ticket { addresses: vec![format!("127.0.0.1:{}", office.port)], ..office.ticket(SITE, 1) };
    let refused = ask(&ticket, &AgentKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(refused, EnrolError::Unreached(_)), "{refused}");
    assert!(office.heard().is_empty());
}

#[tokio::test]
async fn a_head_office_that_takes_no_enrolment_is_told_nothing() {
    for protocols in [&[][..], &[ALPN_MQTT][..]] {
        let office = Office::start_with(protocols).await;
        let refused = ask(&office.ticket(SITE, 1), &AgentKey::generate().unwrap()).await.unwrap_err();
        assert!(matches!(refused, EnrolError::TakesNone(_)), "{refused}");
        assert!(office.heard().is_empty());
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_with_the_same_key() {
    let office = Office::start().await;
    let (ticket, key) = (office.ticket(SITE, 1), AgentKey::generate().unwrap());
    office.answers(Way::Lost);
    let lost = ask(&ticket, &key).await.unwrap_err();
    assert!(matches!(lost, EnrolError::Lost { source: HttpError::Cut | HttpError::Broken(_), .. }), "{lost}");
    assert!(lost.to_string().contains("same ticket"), "{lost}");
    office.answers(Way::Right);
    ask(&ticket, &key).await.unwrap();
    let refused = ask(&ticket, &AgentKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(&refused, EnrolError::Refused { code, .. } if code == "token_used"), "{refused}");
}

#[tokio::test]
async fn what_is_no_answer_of_the_contract_is_not_taken() {
    let office = Office::start().await;
    let (ticket, key) = (office.ticket(SITE, 1), AgentKey::generate().unwrap());
    let check = async |way: Way, is_it: fn(&EnrolError) -> bool| {
        office.answers(way);
        let refused = ask(&ticket, &key).await.unwrap_err();
        assert!(is_it(&refused), "{way:?}: {refused}");
        let words = refused.to_string();
        assert!(words.contains("cure: ") && !words.contains('\u{1b}'), "{words:?}");
    };
    check(Way::Refused(403, "unknown_token"), |error| matches!(error, EnrolError::Refused { .. })).await;
    check(Way::Refused(503, "busy"), |error| matches!(error, EnrolError::Unreadable { status: 503, .. }))
        .await;
    check(Way::Endless, |error| matches!(error, EnrolError::Lost { source: HttpError::TooLong, .. })).await;
    check(Way::Nonsense, |error| matches!(error, EnrolError::Lost { source: HttpError::NotHttp, .. })).await;
    check(Way::AnotherSite, |error| matches!(error, EnrolError::Bad(BadAnswer::AnotherSite(_)))).await;
    check(Way::AnotherName, |error| matches!(error, EnrolError::Bad(BadAnswer::AnotherSite(_)))).await;
    check(Way::AnotherKey, |error| matches!(error, EnrolError::Bad(BadAnswer::AnotherKey))).await;
    check(Way::AnotherAuthority, |error| matches!(error, EnrolError::Bad(BadAnswer::AnotherAuthority))).await;
    check(Way::Unsigned, |error| matches!(error, EnrolError::Bad(BadAnswer::NoCertificate(_)))).await;
    office.answers(Way::Right);
    ask(&ticket, &key).await.unwrap();
}

#[tokio::test]
async fn a_device_without_a_battery_enrols_although_it_wakes_in_1970() {
    let office = Office::start().await;
    let clock = TrustedClock::new(Clock::manual(UnixMillis(0)), KeptTime::default());
    let (ticket, key) = (office.ticket(SITE, 1), AgentKey::generate().unwrap());
    Box::pin(enrol(&ticket, &key, clock, None, |_| {})).await.unwrap();
}
