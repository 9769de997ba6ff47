//! Who is let in, what it shows, and how it ends; without sockets or tasks.

use super::*;
use crate::engine::Applying;
use crate::policies::Actor;
use crate::preload::{self, Contents, Ports};
use crate::request::Request;
use crate::settings::Settings;

const START_UNIX_MS: i64 = 1_700_000_000_000;

struct Site {
    engine: Engine,
    sessions: Sessions,
    now: Moment,
}

impl Site {
    fn new() -> Self {
        Self::counting(HotspotCounting::AtLogout)
    }

    fn counting(counting: HotspotCounting) -> Self {
        let now = Moment { monotonic_ms: 0, unix_ms: START_UNIX_MS };
        let ports = Ports { api: "127.0.0.1:8728".parse().unwrap(), tls: None };
        let engine = preload::furnished(&Settings::default(), ports, 0, Contents::Site, now).unwrap();
        Self { engine, sessions: Sessions::new(counting), now }
    }

    fn admin(&mut self, line: &str) {
        let request = Request::from_words(line.split(' ')).unwrap();
        let answer = self.engine.execute(&request, &Actor::foreign_admin(), self.now, Applying::Truly);
        answer.unwrap_or_else(|trap| panic!("{line}: {trap}"));
        for key in self.engine.take_ended() {
            self.sessions.end(&mut self.engine, key, Ending::Removed, self.now);
        }
    }

    fn dial(
        &mut self,
        service: Service,
        name: &str,
        password: Option<&str>,
        mac: u8,
    ) -> Result<SessionKey, Refused> {
        let dial = Dial {
            device: format!("device-{mac}"),
            service,
            username: name.as_bytes().to_vec(),
            password: password.map(|password| password.as_bytes().to_vec()),
            mac: format!("02:00:00:00:00:{mac:02X}"),
            address: None,
            calls_from: std::net::Ipv4Addr::new(198, 18, 0, mac),
        };
        self.sessions.dial(&mut self.engine, &dial, self.now).map(|admitted| admitted.key)
    }

    fn pppoe(&mut self, name: &str) -> Result<SessionKey, Refused> {
        self.dial(Service::Pppoe, name, Some("w"), 1)
    }

    fn carry(&mut self, key: SessionKey, upload: u64, download: u64) -> bool {
        self.sessions.carry(&mut self.engine, key, upload, download, self.now).is_none()
    }

    fn pass(&mut self, seconds: u64) {
        self.now.monotonic_ms += seconds * 1_000;
        self.now.unix_ms += i64::try_from(seconds).unwrap() * 1_000;
        self.sessions.expire(&mut self.engine, self.now);
        self.engine.expire(self.now);
    }

    /// Rows as `name=value` words of the properties asked for.
    fn rows(&mut self, menu: &str, properties: &str) -> Vec<String> {
        let request = Request::for_path(&format!("{menu}/print")).with(".proplist", properties);
        let answer =
            self.engine.execute(&request, &Actor::foreign_admin(), self.now, Applying::Truly).unwrap();
        let word = |(name, value): &(&str, Vec<u8>)| format!("{name}={}", String::from_utf8_lossy(value));
        answer.rows.iter().map(|row| row.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    fn log(&mut self) -> Vec<String> {
        self.rows("log", "message")
            .iter()
            .map(|line| line.trim_start_matches("message=").to_owned())
            .collect()
    }
}

#[test]
fn a_dial_is_refused_for_the_reason_that_holds() {
    let check = |line: &str, expected: Refused| {
        let mut site = Site::new();
        site.admin("/ppp/secret/add =name=plot1 =password=w =service=pppoe");
        if !line.is_empty() {
            site.admin(line);
        }
        assert_eq!(site.pppoe("plot1"), Err(expected), "{line}");
        assert_eq!(site.rows("ppp/active", "name"), [""; 0]);
    };
    check("/ppp/secret/disable =numbers=plot1", Refused::Disabled);
    check("/ppp/secret/remove =numbers=plot1", Refused::UnknownUser);
    check("/ppp/secret/set =numbers=plot1 =password=new", Refused::WrongPassword);
    check("/ppp/secret/set =numbers=plot1 =service=l2tp", Refused::OtherService);
    check("/ppp/secret/set =numbers=plot1 =caller-id=02:00:00:00:00:99", Refused::OtherCaller);
    check("/interface/pppoe-server/server/disable =numbers=service1", Refused::NoServer);
    check("/ppp/profile/unset =numbers=default =value-name=remote-address", Refused::NoAddress);
}

#[test]
fn a_pppoe_session_shows_in_every_menu_and_leaves_its_totals_in_the_log() {
    let mut site = Site::new();
    site.admin(
        "/ppp/profile/add =name=gold =rate-limit=5M/20M =remote-address=pppoe-pool =address-list=walled",
    );
    site.admin(
        "/ppp/secret/add =name=plot1 =password=w =service=pppoe =profile=gold =limit-bytes-in=9000000000",
    );
    let key = site.pppoe("plot1").unwrap();
    assert!(site.carry(key, 5_000_000_000, 1_400));
    site.pass(143);
    let active = "name=plot1 service=pppoe caller-id=02:00:00:00:00:01 address=10.64.0.2 uptime=2m23s \
                  session-id=0x81000001 limit-bytes-in=9000000000";
    let columns = "name,service,caller-id,address,uptime,session-id,limit-bytes-in";
    assert_eq!(site.rows("ppp/active", columns), [active]);
    let counters = "name,type,rx-byte,tx-byte,dynamic,running";
    let interface =
        "name=<pppoe-plot1> type=pppoe-in rx-byte=5000000000 tx-byte=1400 dynamic=true running=true";
    assert!(site.rows("interface", counters).contains(&interface.to_owned()));
    assert_eq!(site.rows("interface/pppoe-server", "name,user"), ["name=<pppoe-plot1> user=plot1"]);
    let queue = "name=<pppoe-plot1> target=<pppoe-plot1> max-limit=5000000/20000000 bytes=5000000000/1400 dynamic=true";
    assert_eq!(site.rows("queue/simple", "name,target,max-limit,bytes,dynamic"), [queue]);
    let entry = "list=walled address=10.64.0.2 dynamic=true";
    assert_eq!(site.rows("ip/firewall/address-list", "list,address,dynamic"), [entry]);

    site.admin("/ppp/active/remove =numbers=plot1");
    for menu in ["ppp/active", "interface/pppoe-server", "queue/simple", "ip/firewall/address-list"] {
        assert_eq!(site.rows(menu, ".id"), [""; 0], "{menu}");
    }
    let secret = site.rows("ppp/secret", "last-caller-id,last-disconnect-reason,last-logged-out");
    assert_eq!(
        secret,
        [
            "last-logged-out=2023-11-15 01:15:43 last-caller-id=02:00:00:00:00:01 last-disconnect-reason=nas-request"
        ]
    );
    assert_eq!(
        site.log(),
        [
            "plot1 logged in, 10.64.0.2",
            "<pppoe-plot1>: connected",
            "plot1 logged out, 143 5000000000 1400 3571429 1 from 02:00:00:00:00:01",
            "<pppoe-plot1>: disconnected",
        ]
    );
}

#[test]
fn a_session_is_not_touched_by_changes_of_its_secret_and_profile() {
    let mut site = Site::new();
    site.admin("/ppp/profile/add =name=gold =rate-limit=5M/20M =remote-address=pppoe-pool");
    site.admin("/ppp/secret/add =name=plot1 =password=w =profile=gold");
    site.pppoe("plot1").unwrap();
    site.admin("/ppp/profile/set =numbers=gold =rate-limit=1M/1M");
    site.admin("/ppp/secret/disable =numbers=plot1");
    assert_eq!(site.rows("queue/simple", "max-limit"), ["max-limit=5000000/20000000"]);
    assert_eq!(site.rows("ppp/active", "name"), ["name=plot1"]);
    site.admin("/ppp/active/remove =numbers=plot1");
    assert_eq!(site.pppoe("plot1"), Err(Refused::Disabled));
    site.admin("/ppp/secret/enable =numbers=plot1");
    site.pppoe("plot1").unwrap();
    assert_eq!(site.rows("queue/simple", "max-limit"), ["max-limit=1000000/1000000"]);
}

#[test]
fn a_profile_that_was_removed_lets_nobody_in() {
    let mut site = Site::new();
    site.admin("/ppp/profile/add =name=gold =remote-address=pppoe-pool");
    site.admin("/ppp/secret/add =name=plot1 =password=w =profile=gold");
    site.admin("/ppp/profile/remove =numbers=gold");
    assert_eq!(site.pppoe("plot1"), Err(Refused::NoProfile));
}

#[test]
fn a_second_session_gets_another_name_and_only_one_forbids_it() {
    let mut site = Site::new();
    site.admin("/ppp/secret/add =name=plot1 =password=w");
    site.dial(Service::Pppoe, "plot1", Some("w"), 1).unwrap();
    let second = site.dial(Service::Pppoe, "plot1", Some("w"), 2).unwrap();
    let names = site.rows("interface/pppoe-server", "name");
    assert_eq!(names, ["name=<pppoe-plot1>", "name=<pppoe-plot1-1>"]);
    site.sessions.end(&mut site.engine, second, Ending::HungUp, site.now);
    site.admin("/ppp/profile/set =numbers=default =only-one=yes");
    assert_eq!(site.dial(Service::Pppoe, "plot1", Some("w"), 2), Err(Refused::TooMany));
}

#[test]
fn pools_hand_out_each_address_once_and_follow_their_successor() {
    let mut site = Site::new();
    site.admin("/ip/pool/add =name=spare =ranges=10.9.0.7");
    site.admin("/ip/pool/set =numbers=pppoe-pool =ranges=10.9.0.1-10.9.0.2 =next-pool=spare");
    let mut keys = Vec::new();
    for number in 1..=3 {
        site.admin(&format!("/ppp/secret/add =name=user{number} =password=w"));
        keys.push(site.pppoe(&format!("user{number}")).unwrap());
    }
    let addresses = site.rows("ppp/active", "address");
    assert_eq!(addresses, ["address=10.9.0.1", "address=10.9.0.2", "address=10.9.0.7"]);
    site.admin("/ppp/secret/add =name=late =password=w");
    assert_eq!(site.pppoe("late"), Err(Refused::NoAddress));
    site.admin("/ppp/active/remove =numbers=user2");
    assert!(site.pppoe("late").is_ok());
}

#[test]
fn limits_of_time_and_bytes_end_a_session() {
    let mut site = Site::new();
    site.admin("/ppp/profile/add =name=p =remote-address=pppoe-pool =session-timeout=1h =idle-timeout=10m");
    site.admin("/ppp/secret/add =name=plot1 =password=w =profile=p =limit-bytes-out=1000");
    let reason = |site: &mut Site| site.rows("ppp/secret", "last-disconnect-reason").concat();
    let key = site.pppoe("plot1").unwrap();
    assert!(!site.carry(key, 0, 1_000));
    assert_eq!(reason(&mut site), "last-disconnect-reason=nas-request");
    site.pppoe("plot1").unwrap();
    site.pass(601);
    assert_eq!(reason(&mut site), "last-disconnect-reason=idle-timeout");
    let key = site.pppoe("plot1").unwrap();
    for _ in 0..6 {
        site.pass(599);
        site.carry(key, 1, 1);
    }
    site.pass(60);
    assert_eq!(reason(&mut site), "last-disconnect-reason=session-timeout");
}

#[test]
fn a_cookie_lets_a_phone_return_silently_until_cookie_or_user_is_gone() {
    let mut site = Site::new();
    site.admin("/ip/hotspot/user/add =name=plot2 =password=w");
    let phone = |site: &mut Site, password| site.dial(Service::Hotspot, "plot2", password, 7);
    assert_eq!(phone(&mut site, None), Err(Refused::PasswordWanted));
    phone(&mut site, Some("w")).unwrap();
    assert_eq!(site.rows("ip/hotspot/active", "user,login-by"), ["user=plot2 login-by=http-chap"]);
    assert_eq!(site.rows("ip/hotspot/cookie", "user,expires-in"), ["user=plot2 expires-in=3d"]);
    assert_eq!(site.rows("ip/hotspot/host", "authorized"), ["authorized=true"]);

    site.admin("/ip/hotspot/active/remove =numbers=plot2");
    assert_eq!(site.rows("ip/hotspot/host", "authorized"), ["authorized=false"]);
    phone(&mut site, None).unwrap();
    assert_eq!(site.rows("ip/hotspot/active", "login-by"), ["login-by=cookie"]);

    site.admin("/ip/hotspot/user/disable =numbers=plot2");
    assert_eq!(site.rows("ip/hotspot/active", "user"), ["user=plot2"], "disabling does not drop");
    site.admin("/ip/hotspot/active/remove =numbers=plot2");
    assert_eq!(phone(&mut site, None), Err(Refused::Disabled));
    site.admin("/ip/hotspot/user/enable =numbers=plot2");
    site.admin("/ip/hotspot/cookie/remove =numbers=plot2");
    assert_eq!(phone(&mut site, None), Err(Refused::PasswordWanted));
    phone(&mut site, Some("w")).unwrap();
    site.admin("/ip/hotspot/host/remove =numbers=02:00:00:00:00:07");
    assert_eq!(
        site.rows("ip/hotspot/active", "user"),
        [""; 0],
        "a phone that is thrown off the network is out"
    );
    site.pass(3 * 24 * 3600);
    assert_eq!(phone(&mut site, None), Err(Refused::PasswordWanted), "the cookie has expired");
}

#[test]
fn hotspot_limits_are_what_is_left_and_refuse_when_nothing_is() {
    let mut site = Site::new();
    site.admin("/ip/hotspot/user/add =name=plot2 =password=w =limit-bytes-total=1000");
    let key = site.dial(Service::Hotspot, "plot2", Some("w"), 7).unwrap();
    assert!(site.carry(key, 100, 300));
    site.sessions.end(&mut site.engine, key, Ending::HungUp, site.now);
    assert_eq!(site.rows("ip/hotspot/user", "bytes-in,bytes-out")[1..], ["bytes-in=100 bytes-out=300"]);
    let key = site.dial(Service::Hotspot, "plot2", Some("w"), 7).unwrap();
    assert_eq!(site.rows("ip/hotspot/active", "limit-bytes-total"), ["limit-bytes-total=600"]);
    assert!(!site.carry(key, 0, 600));
    assert_eq!(site.dial(Service::Hotspot, "plot2", Some("w"), 7), Err(Refused::LimitReached));
    site.admin("/ip/hotspot/user/reset-counters =numbers=plot2");
    assert!(site.dial(Service::Hotspot, "plot2", Some("w"), 7).is_ok());
}

#[test]
fn shared_users_counts_phones() {
    let mut site = Site::new();
    site.admin("/ip/hotspot/user/profile/set =numbers=default =shared-users=2");
    site.admin("/ip/hotspot/user/add =name=plot2 =password=w");
    assert!(site.dial(Service::Hotspot, "plot2", Some("w"), 1).is_ok());
    assert!(site.dial(Service::Hotspot, "plot2", Some("w"), 2).is_ok());
    assert_eq!(site.dial(Service::Hotspot, "plot2", Some("w"), 3), Err(Refused::TooMany));
}

#[test]
fn hotspot_user_counters_move_at_logout_or_live_and_the_unflushed_part_dies_with_the_power() {
    for (counting, during, after) in [
        (HotspotCounting::AtLogout, "bytes-in=0", "bytes-in=0"),
        (HotspotCounting::Live, "bytes-in=10", "bytes-in=10"),
    ] {
        let mut site = Site::counting(counting);
        site.admin("/ip/hotspot/user/add =name=plot2 =password=w");
        let key = site.dial(Service::Hotspot, "plot2", Some("w"), 7).unwrap();
        site.carry(key, 10, 0);
        assert_eq!(site.rows("ip/hotspot/user", "bytes-in")[1..], [during]);
        site.sessions.lose_power(&mut site.engine, site.now);
        assert_eq!(site.rows("ip/hotspot/user", "bytes-in")[1..], [after]);
    }
}

#[test]
fn after_a_power_cut_nobody_is_in_and_ids_are_new() {
    let mut site = Site::new();
    site.admin("/ppp/secret/add =name=plot1 =password=w");
    site.pppoe("plot1").unwrap();
    assert_eq!(site.sessions.lose_power(&mut site.engine, site.now), ["device-1"]);
    assert_eq!(site.sessions.len(), 0);
    assert_eq!(site.rows("ppp/active", ".id"), [""; 0]);
    assert!(!site.log().iter().any(|line| line.contains("logged out")));
    site.pppoe("plot1").unwrap();
    let active = site.rows("ppp/active", ".id,address,session-id");
    assert_eq!(active, [".id=*2 address=10.64.0.2 session-id=0x81100001"]);
}

#[test]
fn tunnels_need_their_server_and_show_in_their_own_menu() {
    let mut site = Site::new();
    site.admin("/ppp/secret/add =name=plot1 =password=w =service=l2tp");
    assert_eq!(site.dial(Service::L2tp, "plot1", Some("w"), 1), Err(Refused::NoServer));
    site.admin("/interface/l2tp-server/server/set =enabled=yes");
    site.dial(Service::L2tp, "plot1", Some("w"), 1).unwrap();
    assert_eq!(site.rows("interface/l2tp-server", "name,user"), ["name=<l2tp-plot1> user=plot1"]);
    assert_eq!(site.dial(Service::Pppoe, "plot1", Some("w"), 1), Err(Refused::OtherService));
}
