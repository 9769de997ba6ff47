//! Rows as real routers print them, and drafts as they are sent.

use super::*;
use crate::sentence::Row;
use crate::value::{RateLimit, Secret, UpDown};
use crate::wire::Sentence;

fn row(words: &[&'static [u8]]) -> Row {
    Row::from(words.iter().copied().collect::<Sentence>())
}

#[test]
fn a_secret_of_v6_is_read_with_its_empty_properties_unset() {
    let secret = PppSecret::read(&row(&[
        b"!re",
        b"=.id=*C2A",
        b"=name=2001234@isp",
        b"=service=pppoe",
        b"=caller-id=",
        b"=profile=default",
        b"=local-address=10.205.74.1",
        b"=remote-address=10.205.74.160",
        b"=routes=",
        b"=limit-bytes-in=0",
        b"=limit-bytes-out=10737418240",
        b"=last-logged-out=feb/05/2024 13:47:44",
        b"=last-disconnect-reason=hung-up",
        b"=disabled=false",
    ]))
    .unwrap();
    assert_eq!(secret.id.to_string(), "*C2A");
    assert_eq!(secret.name.as_deref(), Some(&b"2001234@isp"[..]));
    assert_eq!((secret.caller_id, secret.routes, secret.comment), (None, None, None));
    assert_eq!((secret.limit_bytes_in, secret.limit_bytes_out), (Some(0), Some(10_737_418_240)));
    assert_eq!(secret.disabled, Some(false));
    assert!(secret.unreadable.is_empty());
}

#[test]
fn a_value_that_cannot_be_read_is_named_and_does_not_spoil_the_row() {
    let secret = PppSecret::read(&row(&[
        b"!re",
        b"=.id=*1",
        b"=name=007",
        b"=comment=caf\xe9",
        b"=limit-bytes-in=lots",
        b"=disabled=maybe",
    ]))
    .unwrap();
    assert_eq!(secret.name.as_deref(), Some(&b"007"[..]), "a name is not a number");
    assert_eq!(secret.comment.as_deref(), Some(&b"caf\xe9"[..]));
    assert_eq!(secret.unreadable, ["limit-bytes-in", "disabled"]);
    assert_eq!((secret.limit_bytes_in, secret.disabled), (None, None));
}

#[test]
fn a_row_without_an_id_is_not_a_row_of_a_list() {
    assert_eq!(PppSecret::read(&row(&[b"!re", b"=name=a"])), None);
    assert_eq!(PppSecret::read(&row(&[b"!re", b"=.id=0", b"=name=a"])), None);
}

#[test]
fn sessions_and_profiles_are_read_in_their_own_kinds() {
    let active = PppActive::read(&row(&[
        b"!re",
        b"=.id=*8",
        b"=name=plot1",
        b"=address=192.168.89.254",
        b"=uptime=44m55s",
        b"=session-id=0x81100000",
    ]))
    .unwrap();
    assert_eq!(active.uptime.unwrap().as_secs(), 2695);
    let profile = PppProfile::read(&row(&[
        b"!re",
        b"=.id=*3",
        b"=name=home",
        b"=rate-limit=10M/10000k",
        b"=remote-address=*2",
        b"=idle-timeout=none",
        b"=default=no",
    ]))
    .unwrap();
    assert_eq!(profile.rate_limit, Some(RateLimit::plain(UpDown::both(10_000_000))));
    assert_eq!((profile.idle_timeout, profile.default), (None, Some(false)));
    assert_eq!(profile.remote_address.as_deref(), Some(&b"*2"[..]), "a dangling reference is kept as it is");
    let user = HotspotUser::read(&row(&[
        b"!re",
        b"=.id=*1",
        b"=bytes-in=0",
        b"=bytes-out=0",
        b"=limit-bytes-total=500",
        b"=limit-uptime=1m",
        b"=uptime=0s",
    ]))
    .unwrap();
    assert_eq!(user.limit_uptime.unwrap().as_secs(), 60);
    assert_eq!(user.bytes_in, Some(0));
}

#[test]
fn passwords_are_never_asked_for() {
    for properties in [PppSecret::PROPERTIES, HotspotUser::PROPERTIES] {
        assert!(properties.contains(&".id") && !properties.contains(&"password"));
    }
}

#[test]
fn a_draft_sends_what_it_was_given_and_each_property_once() {
    let draft = PppSecretDraft::new()
        .name("plot1")
        .disabled(true)
        .limit_bytes_in(10_737_418_240)
        .password(&Secret::new("hunter2"))
        .comment("first")
        .comment("second");
    assert_eq!(
        draft.words(),
        [
            &b"=name=plot1"[..],
            b"=disabled=yes",
            b"=limit-bytes-in=10737418240",
            b"=password=hunter2",
            b"=comment=second"
        ]
    );
    assert!(!format!("{draft:?}").contains("hunter2"));
    let limit = RateLimit::plain(UpDown { upload: 5_000_000, download: 20_000_000 });
    let profile = PppProfileDraft::new().rate_limit(limit).property("only-one", "yes");
    assert_eq!(profile.words(), [&b"=rate-limit=5M/20M"[..], b"=only-one=yes"]);
    assert!(PppSecretDraft::new().is_empty());
}

#[test]
fn session_interfaces_are_found_by_any_of_their_types() {
    let query = Interface::of_sessions();
    let words: Vec<_> = query.words().iter().map(|word| std::str::from_utf8(word).unwrap()).collect();
    assert_eq!(words.iter().filter(|word| word.starts_with("?type=")).count(), 5);
    assert_eq!(words.iter().filter(|word| **word == "?#|").count(), 4);
    assert_eq!(&words[..3], ["?type=pppoe-in", "?type=l2tp-in", "?#|"]);
}
