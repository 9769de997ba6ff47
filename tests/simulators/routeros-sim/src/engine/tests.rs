//! The engine as conversations: what is typed, and what the router says.

use super::*;
use crate::values::Value;

fn moment(seconds: u64) -> Moment {
    Moment { monotonic_ms: seconds * 1_000, unix_ms: 1_700_000_000_000 }
}

fn engine(release: &str) -> Engine {
    let mut engine = Engine::new(release.parse().unwrap());
    for menu in menus_of(engine.release).filter(|menu| is_single(menu)) {
        engine.furnish(menu, &[], moment(0));
    }
    for package in super::packages::usual_packages_of(engine.release) {
        engine.install(package, false);
    }
    for (menu, name) in [("ppp/profile", "default"), ("ip/hotspot/user/profile", "default")] {
        let id = engine.place(menu, &[("name", Value::text(name))], None).unwrap();
        engine.protect(menu, id);
    }
    engine.take_changes();
    engine
}

/// One line of words, separated by spaces.
fn type_words(engine: &mut Engine, actor: &Actor, line: &str, now: Moment) -> String {
    let request = Request::from_words(line.split(' ')).unwrap();
    match engine.execute(&request, actor, now, Applying::Truly) {
        Ok(answer) => {
            let word = |(name, value): &(&str, Vec<u8>)| format!("{name}={}", String::from_utf8_lossy(value));
            let mut lines: Vec<String> =
                answer.rows.iter().map(|row| row.iter().map(word).collect::<Vec<_>>().join(" ")).collect();
            lines.extend(answer.ret.map(|ret| format!("ret {}", String::from_utf8_lossy(&ret))));
            lines.join("; ")
        }
        Err(trap) => {
            let category = trap.category.map(|category| category.to_string()).unwrap_or_default();
            format!("trap {category}: {}", trap.message)
        }
    }
}

fn check(release: &str, conversation: &[(&str, &str)]) {
    let mut engine = engine(release);
    for (line, expected) in conversation {
        let said = type_words(&mut engine, &Actor::foreign_admin(), line, moment(0));
        assert_eq!(&said, expected, "{release}: {line}");
    }
}

#[test]
fn rows_are_added_printed_changed_and_removed() {
    check(
        "7.18",
        &[
            ("/ppp/secret/add =name=plot1 =password=w =service=pppoe", "ret *1"),
            ("/ppp/secret/add =name=007 =disabled=yes =comment=a=b", "ret *2"),
            (
                "/ppp/secret/print =.proplist=.id,name,disabled,comment",
                ".id=*1 name=plot1 disabled=false; .id=*2 name=007 disabled=true comment=a=b",
            ),
            ("/ppp/secret/getall =.proplist=name ?name=007", "name=007"),
            ("/ppp/secret/print =count-only=", "ret 2"),
            ("/ppp/secret/print =count-only= ?disabled=true", "ret 1"),
            ("/ppp/secret/set =.id=*1,*2 =comment=both", ""),
            ("/ppp/secret/print =.proplist=comment", "comment=both; comment=both"),
            ("/ppp/secret/set =numbers=007 =comment=", ""),
            ("/ppp/secret/enable =.id=*2", ""),
            ("/ppp/secret/disable =numbers=plot1", ""),
            (
                "/ppp/secret/print =.proplist=.id,comment,disabled",
                ".id=*1 disabled=true comment=both; .id=*2 disabled=false",
            ),
            ("/ppp/secret/print =.proplist=name ?.id=*2", "name=007"),
            ("/ppp/secret/get =number=plot1 =value-name=service", "ret pppoe"),
            ("/ppp/secret/remove =.id=*1", ""),
            ("/ppp/secret/print =.proplist=.id", ".id=*2"),
        ],
    );
}

#[test]
fn what_does_not_exist_is_trapped_in_the_words_of_a_router() {
    check(
        "7.18",
        &[
            ("/ppp/sekret/print", "trap : no such command prefix"),
            ("/ppp/secret/fly", "trap : no such command"),
            ("/ppp/active/add =name=x", "trap : no such command"),
            ("/ppp/fly", "trap : no such command"),
            ("/ip/hotspot/user/unset =.id=*1 =value-name=email", "trap : no such command"),
            ("/ip/hotspot/user/profile/add =name=p =comment=x", "trap : unknown parameter comment"),
            ("/system/identity/print =count-only=", "trap : unknown parameter count-only"),
            ("/ppp/secret/add =name=a =colour=red", "trap : unknown parameter colour"),
            ("/ppp/secret/add =name=a =last-caller-id=x", "trap : unknown parameter last-caller-id"),
            ("/ppp/secret/add =password=a", "trap : missing value(s) of argument(s) name"),
            ("/ppp/secret/set =.id=*99 =comment=x", "trap 0: no such item"),
            ("/ppp/secret/remove =numbers=nobody", "trap 0: no such item"),
            ("/ppp/secret/remove =.id=0", "trap 0: no such item"),
            ("/ppp/secret/set =comment=x", "trap : missing value(s) of argument(s) numbers"),
            ("/ppp/secret/add =name=a =profile=none", "trap 1: input does not match any value of profile"),
            ("/ppp/secret/add =name=a =service=dialup", "trap 1: input does not match any value of service"),
            ("/ppp/secret/add =name=a =disabled=perhaps", "trap 1: invalid value for argument disabled"),
            ("/ppp/secret/add =name=a", "ret *1"),
            ("/ppp/secret/add =name=a", "trap : failure: secret with the same name already exists"),
            ("/ppp/secret/add =name=b", "ret *2"),
            ("/ppp/secret/set =.id=*2 =name=a", "trap : failure: secret with the same name already exists"),
            ("/ip/hotspot/user/add =name=h", "ret *1"),
            (
                "/ip/hotspot/user/add =name=h",
                "trap : failure: already have user with this name for this server",
            ),
            ("/ip/firewall/address-list/add =list=l =address=10.0.0.1", "ret *1"),
            (
                "/ip/firewall/address-list/add =list=l =address=10.0.0.1/32",
                "trap : failure: already have such entry",
            ),
            ("/ppp/profile/remove =numbers=default", "trap : failure: can not remove default item"),
            ("/ppp/secret/print ?#&", "trap 5: malformed query ?#&"),
            ("/ppp/secret/print =colour=red", "trap : unknown parameter colour"),
            ("/ppp/secret/print =follow=", "trap : failure: routeros-sim does not simulate print follow"),
        ],
    );
}

#[test]
fn a_trapped_command_changes_nothing() {
    check(
        "7.18",
        &[
            ("/ppp/secret/add =name=a", "ret *1"),
            ("/ppp/secret/add =name=b", "ret *2"),
            ("/ppp/secret/set =.id=*1,*9 =comment=x", "trap 0: no such item"),
            (
                "/ppp/secret/set =.id=*1 =comment=x =service=dialup",
                "trap 1: input does not match any value of service",
            ),
            ("/ppp/secret/remove =.id=*2,*9", "trap 0: no such item"),
            ("/ppp/secret/print =.proplist=name,comment", "name=a; name=b"),
        ],
    );
}

#[test]
fn unset_clears_a_property_but_not_one_that_must_be_there() {
    check(
        "7.18",
        &[
            ("/ppp/secret/add =name=a =remote-address=10.0.0.9", "ret *1"),
            ("/ppp/secret/unset =.id=*1 =value-name=remote-address", ""),
            ("/ppp/secret/print =.proplist=name,remote-address", "name=a"),
            ("/ppp/secret/unset =.id=*1 =value-name=name", "trap : unknown parameter name"),
            ("/ppp/secret/unset =.id=*1 =value-name=colour", "trap : unknown parameter colour"),
            ("/ppp/secret/unset =.id=*1", "trap : missing value(s) of argument(s) value-name"),
        ],
    );
}

#[test]
fn a_reference_follows_a_rename_and_dangles_as_an_id_once_its_row_is_gone() {
    check(
        "7.18",
        &[
            ("/ppp/profile/add =name=gold", "ret *2"),
            ("/ppp/secret/add =name=a =profile=gold", "ret *1"),
            ("/ppp/profile/set =numbers=gold =name=silver", ""),
            ("/ppp/secret/print =.proplist=profile ?profile=silver", "profile=silver"),
            ("/ppp/profile/remove =numbers=silver", ""),
            ("/ppp/secret/print =.proplist=profile", "profile=*2"),
            ("/ip/pool/add =name=p =ranges=10.0.0.2-10.0.0.9", "ret *1"),
            ("/ppp/profile/add =name=q =remote-address=p =local-address=10.0.0.1", "ret *3"),
            ("/ip/pool/remove =numbers=p", ""),
            (
                "/ppp/profile/print =.proplist=local-address,remote-address ?name=q",
                "local-address=10.0.0.1 remote-address=*1",
            ),
        ],
    );
}

#[test]
fn menus_without_rows_have_no_id_and_are_set_without_one() {
    check(
        "7.18",
        &[
            ("/system/identity/print", "name=MikroTik"),
            ("/system/identity/set =name=Nyali", ""),
            ("/system/identity/print", "name=Nyali"),
            ("/system/identity/set =colour=red", "trap : unknown parameter colour"),
            ("/interface/l2tp-server/server/set =enabled=yes", ""),
            ("/interface/l2tp-server/server/print =.proplist=enabled", "enabled=true"),
        ],
    );
}

#[test]
fn properties_come_and_go_with_the_release() {
    let unknown = "trap : unknown parameter bridge-port-vid";
    check("7.16", &[("/ppp/profile/add =name=p =bridge-port-vid=7", unknown)]);
    check("7.17", &[("/ppp/profile/add =name=p =bridge-port-vid=7", "ret *2")]);
    check("7.21", &[("/ip/hotspot/user/add =name=u =otp-secret=x", "trap : unknown parameter otp-secret")]);
    check("7.22", &[("/ip/hotspot/user/add =name=u =totp-secret=x", "trap : unknown parameter totp-secret")]);
}

#[test]
fn six_sends_unset_properties_as_empty_words_and_seven_leaves_them_out() {
    let line = "/ppp/secret/print =.proplist=name,caller-id,routes,comment";
    check("6.49.10", &[("/ppp/secret/add =name=a", "ret *1"), (line, "name=a caller-id= routes=")]);
    check("7.18", &[("/ppp/secret/add =name=a", "ret *1"), (line, "name=a")]);
}

#[test]
fn passwords_are_shown_to_the_sensitive_and_from_7_21_only_when_asked_for() {
    let add = ("/ppp/secret/add =name=a =password=w", "ret *1");
    let plain = "/ppp/secret/print =.proplist=name,password";
    let asked = "/ppp/secret/print =.proplist=name,password =show-sensitive=";
    check("7.18", &[add, (plain, "name=a password=w"), (asked, "trap : unknown parameter show-sensitive")]);
    check("7.21", &[add, (plain, "name=a"), (asked, "name=a password=w")]);
}

#[test]
fn a_group_without_a_policy_may_not() {
    let mut engine = engine("7.18");
    let admin = Actor::foreign_admin();
    let localhost = "127.0.0.1".parse().unwrap();
    for line in [
        "/user/group/add =name=watch =policy=read,api",
        "/user/group/add =name=agent =policy=read,write,api",
        "/user/add =name=w =password=1 =group=watch",
        "/user/add =name=a =password=2 =group=agent =address=10.0.0.0/8,127.0.0.1",
        "/user/group/add =name=mute =policy=read,write",
        "/user/add =name=m =password=3 =group=mute",
        "/ppp/secret/add =name=s =password=w",
    ] {
        let said = type_words(&mut engine, &admin, line, moment(0));
        assert!(said.starts_with("ret"), "{line}: {said}");
    }
    let log_in = |engine: &Engine, name: &str, password: &str| {
        Actor::authenticate(engine, name.as_bytes(), password.as_bytes(), localhost)
    };
    let watch = log_in(&engine, "w", "1").unwrap();
    let agent = log_in(&engine, "a", "2").unwrap();
    assert_eq!(log_in(&engine, "a", "wrong"), None);
    assert_eq!(log_in(&engine, "nobody", ""), None);
    assert_eq!(log_in(&engine, "m", "3"), None, "the group lacks the api policy");
    assert_eq!(Actor::authenticate(&engine, b"a", b"2", "192.168.1.1".parse().unwrap()), None);
    let denied = "trap : not enough permissions (9)";
    let print = "/ppp/secret/print =.proplist=name,password";
    assert_eq!(type_words(&mut engine, &watch, print, moment(0)), "name=s");
    assert_eq!(type_words(&mut engine, &watch, "/ppp/secret/add =name=x", moment(0)), denied);
    assert_eq!(type_words(&mut engine, &agent, "/ppp/secret/add =name=x", moment(0)), "ret *2");
    assert_eq!(type_words(&mut engine, &agent, "/user/add =name=x =group=full", moment(0)), denied);
}

#[test]
fn an_address_list_entry_with_a_timeout_is_dynamic_counts_down_and_vanishes() {
    let mut engine = engine("7.18");
    let admin = Actor::foreign_admin();
    let add = "/ip/firewall/address-list/add =list=l =address=10.1.2.3/24 =timeout=1m";
    assert_eq!(type_words(&mut engine, &admin, add, moment(10)), "ret *1");
    let print = "/ip/firewall/address-list/print =.proplist=address,timeout,dynamic";
    let said = type_words(&mut engine, &admin, print, moment(30));
    assert_eq!(said, "address=10.1.2.0/24 timeout=40s dynamic=true");
    engine.expire(moment(69));
    assert_ne!(type_words(&mut engine, &admin, print, moment(69)), "");
    engine.expire(moment(70));
    assert_eq!(type_words(&mut engine, &admin, print, moment(70)), "");
}

#[test]
fn counters_are_reset_and_limits_are_not() {
    let mut engine = engine("7.18");
    let admin = Actor::foreign_admin();
    type_words(&mut engine, &admin, "/ip/hotspot/user/add =name=u =limit-bytes-in=100", moment(0));
    let id = engine.find("ip/hotspot/user", b"u").unwrap();
    engine.measure("ip/hotspot/user", id, "bytes-in", |value| *value = Value::Count(7));
    engine.measure("ip/hotspot/user", id, "uptime", |value| *value = Value::Span(61_000));
    let print = "/ip/hotspot/user/print =.proplist=bytes-in,uptime,limit-bytes-in";
    let before = "limit-bytes-in=100 uptime=1m1s bytes-in=7";
    assert_eq!(type_words(&mut engine, &admin, print, moment(0)), before);
    assert_eq!(type_words(&mut engine, &admin, "/ip/hotspot/user/reset-counters =.id=*1", moment(0)), "");
    let after = "limit-bytes-in=100 uptime=0s bytes-in=0";
    assert_eq!(type_words(&mut engine, &admin, print, moment(0)), after);
}

#[test]
fn a_pretended_write_answers_like_a_true_one_and_a_wrong_one_is_still_trapped() {
    let mut engine = engine("7.18");
    let admin = Actor::foreign_admin();
    let mut pretend = |line: &str| {
        let request = Request::from_words(line.split(' ')).unwrap();
        engine.execute(&request, &admin, moment(0), Applying::Pretending)
    };
    assert_eq!(pretend("/ppp/secret/add =name=a").unwrap().ret, Some(b"*1".to_vec()));
    assert!(pretend("/ppp/secret/add =colour=red").is_err());
    assert!(pretend("/ppp/profile/set =numbers=default =comment=x").is_ok());
    assert_eq!(engine.take_changes(), []);
    let nothing = type_words(&mut engine, &admin, "/ppp/secret/print", moment(0));
    assert_eq!(nothing, "");
}

#[test]
fn every_change_of_configuration_is_noted_and_statistics_are_not() {
    let mut engine = engine("7.18");
    let admin = Actor::foreign_admin();
    type_words(&mut engine, &admin, "/ppp/secret/add =name=a", moment(0));
    type_words(&mut engine, &admin, "/ppp/secret/set =numbers=a =comment=x", moment(0));
    type_words(&mut engine, &admin, "/ppp/secret/remove =numbers=a", moment(0));
    let id = ItemId::new(1);
    let change = |kind| Change { menu: "ppp/secret", id, kind };
    let noted = engine.take_changes();
    assert_eq!(noted, [change(ChangeKind::Present), change(ChangeKind::Present), change(ChangeKind::Gone)]);
    type_words(&mut engine, &admin, "/ip/hotspot/user/add =name=u", moment(0));
    engine.take_changes();
    engine.measure("ip/hotspot/user", id, "bytes-in", |value| *value = Value::Count(7));
    assert_eq!(engine.take_changes(), []);
}

#[test]
fn rules_are_added_before_others_and_moved() {
    let print = "/ip/firewall/filter/print =.proplist=.id,comment";
    check(
        "7.18",
        &[
            ("/ip/firewall/filter/add =chain=forward =action=drop =comment=last", "ret *1"),
            ("/ip/firewall/filter/add =chain=forward =comment=first =place-before=*1", "ret *2"),
            ("/ip/firewall/filter/add =chain=forward =comment=middle =place-before=*1", "ret *3"),
            ("/ip/firewall/filter/add =chain=forward =place-before=*9", "trap 0: no such item"),
            (print, ".id=*2 comment=first; .id=*3 comment=middle; .id=*1 comment=last"),
            ("/ip/firewall/filter/move =numbers=*1,*3 =destination=*2", ""),
            (print, ".id=*1 comment=last; .id=*3 comment=middle; .id=*2 comment=first"),
            ("/ip/firewall/filter/move =numbers=*1", ""),
            ("/ip/firewall/filter/remove =.id=*3", ""),
            (print, ".id=*2 comment=first; .id=*1 comment=last"),
            ("/ip/firewall/filter/set =.id=*1 =place-before=*2", "trap : unknown parameter place-before"),
            ("/ppp/secret/move =numbers=*1", "trap : no such command"),
            ("/ppp/secret/add =name=a =place-before=*1", "trap : unknown parameter place-before"),
        ],
    );
}

#[test]
fn arguments_are_those_of_the_release_even_where_only_dumps_know_them() {
    let add = "/ip/firewall/filter/add =chain=forward =connection-state=established";
    for release in ["6.49.10", "7.12", "7.24"] {
        let print = "/ip/firewall/filter/print =.proplist=connection-state,action";
        check(release, &[(add, "ret *1"), (print, "action=accept connection-state=established")]);
    }
    check("7.20", &[("/ip/firewall/filter/add =chain=forward =tos=1", "trap : unknown parameter tos")]);
    check("7.21", &[("/ip/firewall/filter/add =chain=forward =tos=1", "ret *1")]);
    check("7.16", &[("/ip/dns/set =vrf=main", "")]);
    check("7.12", &[("/ip/dns/set =vrf=main", "trap : unknown parameter vrf")]);
    check("7.21", &[("/system/logging/add =comment=x", "trap : unknown parameter comment")]);
    check("7.22", &[("/ppp/secret/print =order-by=name", "trap : unknown parameter order-by")]);
    check("6.49.10", &[("/system/device-mode/print", "trap : no such command prefix")]);
}

#[test]
fn a_signed_certificate_has_a_key_a_fingerprint_and_a_life() {
    let print = "/certificate/print =.proplist=name,private-key,invalid-after,authority";
    check(
        "7.18",
        &[
            ("/certificate/add =name=ca =common-name=ca =key-usage=key-cert-sign", "ret *1"),
            ("/certificate/add =name=api =common-name=10.0.0.1 =days-valid=10", "ret *2"),
            ("/certificate/add =name=api", "trap : failure: certificate with the same name already exists"),
            ("/certificate/sign =.id=*1", ""),
            ("/certificate/sign =number=api =ca=nobody", "trap 1: input does not match any value of ca"),
            (
                print,
                "name=ca invalid-after=2024-11-14 01:13:20 private-key=true authority=true; \
                 name=api private-key=false authority=false",
            ),
            ("/certificate/sign =number=api =ca=ca", ""),
            (
                print,
                "name=ca invalid-after=2024-11-14 01:13:20 private-key=true authority=true; \
                 name=api invalid-after=2023-11-25 01:13:20 private-key=true authority=false",
            ),
        ],
    );
}
