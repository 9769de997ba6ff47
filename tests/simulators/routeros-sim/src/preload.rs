//! The router as it is when the simulator starts: a site that serves PPPoE and a hotspot; and as it is after a reset.
//!
//! Configurable rows go through the same commands that an admin would type, so nothing here can be
//! what the router would refuse.

use std::net::SocketAddr;

use ring::digest::{SHA256, digest};

use crate::clock::Moment;
use crate::engine::packages::{BUILT_MS, usual_packages_of};
use crate::engine::{Applying, Engine};
use crate::policies::Actor;
use crate::release::Release;
use crate::request::Request;
use crate::settings::Settings;
use crate::store::ItemId;
use crate::tables::menus_of;
use crate::trap::Trap;
use crate::values::Value;

/// Ports of the board.
const PORTS: u8 = 5;
const MEBIBYTE: u64 = 1024 * 1024;

/// The sockets that are really open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) api: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
}

/// What is on the flash of a router that is furnished.
#[derive(Clone, Copy)]
pub(crate) enum Contents<'engine> {
    /// A site that serves subscribers.
    Site,
    /// Nothing but what the factory puts there: no pool, no server, `admin` without a password.
    Factory {
        /// Whose users and groups are kept.
        users_of: Option<&'engine Engine>,
    },
}

/// A router with these contents. `board` counts the boards that stood here: each has its own serial number.
///
/// # Errors
/// The trap of the row that this release refuses, which is a fault of this file.
pub(crate) fn furnished(
    settings: &Settings,
    ports: Ports,
    board: u32,
    contents: Contents<'_>,
    now: Moment,
) -> Result<Engine, Trap> {
    let mut engine = Engine::new(settings.release);
    let is_site = matches!(contents, Contents::Site);
    singles(&mut engine, settings, board, is_site, now);
    interfaces(&mut engine);
    services(&mut engine, ports, is_site);
    health(&mut engine);
    let mut admin = Admin { engine: &mut engine, now };
    admin.logging()?;
    admin.built_in_profiles(is_site)?;
    match contents {
        Contents::Site => {
            admin.users(settings, &settings.user, &settings.password)?;
            admin.subscribers()?;
            admin.foreign_secrets(settings.foreign_secrets)?;
        }
        Contents::Factory { users_of: None } => admin.users(settings, "admin", "")?,
        Contents::Factory { users_of: Some(before) } => admin.users_of(before)?,
    }
    Ok(engine)
}

fn singles(engine: &mut Engine, settings: &Settings, board: u32, is_site: bool, now: Moment) {
    let release = settings.release;
    let text = |text: &str| Value::text(text);
    let version = release.version_text();
    let build = Value::Date(BUILT_MS);
    let resource = [
        ("uptime", Value::Since(now.monotonic_ms)),
        ("version", text(&version)),
        ("build-time", build),
        ("factory-software", text("6.49.10")),
        ("free-memory", Value::Count(3_600 * MEBIBYTE)),
        ("total-memory", Value::Count(4_096 * MEBIBYTE)),
        ("cpu", text("ARM64")),
        ("cpu-count", text("4")),
        ("cpu-frequency", text("1700")),
        ("cpu-load", text("3")),
        ("free-hdd-space", Value::Count(90 * MEBIBYTE)),
        ("total-hdd-space", Value::Count(128 * MEBIBYTE)),
        ("write-sect-since-reboot", Value::Count(0)),
        ("write-sect-total", Value::Count(1_200)),
        ("bad-blocks", text("0")),
        ("architecture-name", text("arm64")),
        ("board-name", text("CCR2004-16G-2S+")),
        ("platform", text("MikroTik")),
    ];
    let serial = serial_of(&settings.identity, board);
    let firmware = release.to_string();
    let routerboard = [
        ("routerboard", Value::flag(true)),
        ("board-name", text("CCR2004-16G-2S+")),
        ("model", text("CCR2004-16G-2S+")),
        ("serial-number", text(&serial)),
        ("firmware-type", text("al64")),
        ("factory-firmware", text("6.49.10")),
        ("current-firmware", text(&firmware)),
        ("upgrade-firmware", text(&firmware)),
    ];
    let (id_head, id_tail) = serial.split_at_checked(4).unwrap_or((&serial, ""));
    let software_id = format!("{id_head}-{}", id_tail.get(..4).unwrap_or_default());
    let mut device_mode = vec![
        ("mode", text("advanced")),
        ("flagged", Value::flag(false)),
        ("flagging-enabled", Value::flag(true)),
    ];
    device_mode
        .extend(crate::tables::DEVICE_FEATURES.map(|feature| (feature, Value::flag(feature != "container"))));
    let clock = [
        ("time", Value::ClockTime),
        ("date", Value::ClockDate),
        ("gmt-offset", Value::ClockOffset),
        ("dst-active", Value::flag(false)),
    ];
    let ntp = [("enabled", Value::flag(is_site))];
    let identity = [("name", text(if is_site { &settings.identity } else { "MikroTik" }))];
    let license = [
        ("software-id", text(&software_id)),
        ("nlevel", text(&settings.license_level.to_string())),
        ("features", text("")),
    ];
    for menu in menus_of(release).filter(|menu| menu.shape == crate::tables::Shape::Single) {
        let values: &[(&str, Value)] = match menu.path {
            "system/resource" => &resource,
            "system/routerboard" => &routerboard,
            "system/ntp/client" => &ntp,
            "system/device-mode" => &device_mode,
            "system/clock" => &clock,
            "system/identity" => &identity,
            "system/license" => &license,
            _ => &[],
        };
        engine.furnish(menu, values, now);
    }
    for package in usual_packages_of(release) {
        engine.install(package, false);
    }
}

/// A serial number that differs by identity, because it is how a site's router is told from another's.
fn serial_of(identity: &str, board: u32) -> String {
    let seed = if board == 0 { identity.to_owned() } else { format!("{identity} {board}") };
    let hash = digest(&SHA256, seed.as_bytes());
    let hex: String = hash.as_ref().iter().take(5).map(|byte| format!("{byte:02X}")).collect();
    format!("H{hex}")
}

fn interfaces(engine: &mut Engine) {
    let mut names: Vec<(String, &str)> = (1..=PORTS).map(|port| (format!("ether{port}"), "ether")).collect();
    names.push(("bridge1".to_owned(), "bridge"));
    for (number, (name, kind)) in names.iter().enumerate() {
        let mut values = vec![
            ("name", Value::text(name)),
            ("type", Value::text(kind)),
            ("mtu", Value::text("1500")),
            ("actual-mtu", Value::text("1500")),
            ("l2mtu", Value::text("1598")),
            ("mac-address", Value::text(format!("48:A9:8A:00:00:{number:02X}"))),
            ("link-downs", Value::Count(0)),
            ("dynamic", Value::flag(false)),
            ("running", Value::flag(true)),
            ("disabled", Value::flag(false)),
        ];
        let counters = [
            "rx-byte",
            "tx-byte",
            "rx-packet",
            "tx-packet",
            "rx-drop",
            "tx-drop",
            "tx-queue-drop",
            "rx-error",
            "tx-error",
            "fp-rx-byte",
            "fp-tx-byte",
        ];
        values.extend(counters.map(|counter| (counter, Value::Count(0))));
        if *kind == "ether" {
            values.push(("default-name", Value::text(name)));
        }
        engine.place("interface", &values, None);
    }
}

/// The sensors of the board.
fn health(engine: &mut Engine) {
    let sensors = [("voltage", "24.1", "V"), ("temperature", "39", "C")];
    match engine.single("system/health") {
        Some(id) if engine.release() < Release::new(7, 0) => {
            for (name, value, _) in sensors {
                engine.put("system/health", id, name, Some(Value::text(value)));
            }
        }
        _ => {
            for (name, value, unit) in sensors {
                let row =
                    [("name", Value::text(name)), ("value", Value::text(value)), ("type", Value::text(unit))];
                engine.place("system/health", &row, None);
            }
        }
    }
}

/// The API over TLS needs a certificate, which a router without configuration does not have.
fn services(engine: &mut Engine, ports: Ports, is_site: bool) {
    let (api, tls) = (ports.api.port(), ports.tls.map(|address| address.port()));
    let rows = [
        ("telnet", 23, false),
        ("ftp", 21, false),
        ("www", 80, false),
        ("ssh", 22, false),
        ("www-ssl", 443, false),
        ("api", api, true),
        ("winbox", 8291, false),
        ("api-ssl", tls.unwrap_or(8729), tls.is_some() && is_site),
    ];
    for (name, port, is_open) in rows {
        let mut values = vec![
            ("name", Value::text(name)),
            ("port", Value::Count(u64::from(port))),
            ("vrf", Value::text("main")),
            ("max-sessions", Value::text("20")),
            ("invalid", Value::flag(false)),
            ("disabled", Value::flag(!is_open)),
        ];
        if name.ends_with("-ssl") {
            values.push(("certificate", Value::text(if is_open { "api" } else { "none" })));
            values.push(("tls-version", Value::text("only-1.2")));
        }
        engine.place("ip/service", &values, None);
    }
}

/// Types commands as an admin does.
struct Admin<'engine> {
    engine: &'engine mut Engine,
    now: Moment,
}

impl Admin<'_> {
    fn add<V: AsRef<[u8]>>(&mut self, menu: &str, values: &[(&str, V)]) -> Result<Option<ItemId>, Trap> {
        let request =
            values.iter().fold(Request::for_path(&format!("{menu}/add")), |request, (name, value)| {
                request.with(name, value)
            });
        let admin = Actor::foreign_admin();
        let answer = self.engine.execute(&request, &admin, self.now, Applying::Truly)?;
        Ok(answer.ret.and_then(|ret| ItemId::parse(&ret)))
    }

    fn add_built_in(&mut self, menu: &str, values: &[(&str, &str)]) -> Result<(), Trap> {
        if let Some(id) = self.add(menu, values)? {
            self.engine.put(menu, id, "default", Some(Value::flag(true)));
            self.engine.protect(menu, id);
        }
        Ok(())
    }

    /// Where lines of the log go, as on a new router.
    fn logging(&mut self) -> Result<(), Trap> {
        for (name, target) in [("memory", "memory"), ("disk", "disk"), ("echo", "echo"), ("remote", "remote")]
        {
            self.add_built_in("system/logging/action", &[("name", name), ("target", target)])?;
        }
        for (topics, action) in
            [("info", "memory"), ("error", "memory"), ("warning", "memory"), ("critical", "echo")]
        {
            let rule = [("topics", topics), ("action", action)];
            if let Some(id) = self.add("system/logging", &rule)? {
                self.engine.put("system/logging", id, "default", Some(Value::flag(true)));
            }
        }
        Ok(())
    }

    /// The users and groups that another router had.
    fn users_of(&mut self, before: &Engine) -> Result<(), Trap> {
        for (menu, properties) in [
            ("user/group", &["name", "policy", "comment"][..]),
            ("user", &["name", "group", "password", "address", "comment", "disabled"]),
        ] {
            for id in before.table(menu).into_iter().flat_map(|table| table.iter().map(|(id, _)| id)) {
                let held =
                    properties.iter().map(|name| (*name, before.text(menu, id, name).unwrap_or_default()));
                let values: Vec<(&str, Vec<u8>)> = held.filter(|(_, value)| !value.is_empty()).collect();
                let is_built_in = before.is_set(menu, id, "default");
                if let (Some(id), true) = (self.add(menu, &values)?, is_built_in) {
                    self.engine.put(menu, id, "default", Some(Value::flag(true)));
                    self.engine.protect(menu, id);
                }
            }
        }
        Ok(())
    }

    fn users(&mut self, settings: &Settings, name: &str, password: &str) -> Result<(), Trap> {
        let policies = crate::tables::policies_of(settings.release);
        let without = |left_out: &[&str]| {
            let granted = policies.iter().filter(|policy| !left_out.contains(policy));
            granted.copied().collect::<Vec<_>>().join(",")
        };
        let read = without(&["ftp", "write", "policy"]);
        let write = without(&["ftp", "policy"]);
        let full = policies.join(",");
        for (name, policy) in [("read", &read), ("write", &write), ("full", &full)] {
            self.add_built_in("user/group", &[("name", name), ("policy", policy)])?;
        }
        let admin = [("name", name), ("group", "full"), ("password", password)];
        self.add("user", &admin).map(drop)
    }

    /// Profiles that no router is without; those of a site give addresses.
    fn built_in_profiles(&mut self, is_site: bool) -> Result<(), Trap> {
        if is_site {
            self.add("ip/pool", &[("name", "pppoe-pool"), ("ranges", "10.64.0.2-10.64.255.254")])?;
            self.add("ip/pool", &[("name", "hs-pool"), ("ranges", "10.80.0.2-10.80.255.254")])?;
        }
        let addresses = [("local-address", "10.64.0.1"), ("remote-address", "pppoe-pool")];
        let addresses = if is_site { &addresses[..] } else { &[] };
        self.add_built_in("ppp/profile", &[&[("name", "default")], addresses].concat())?;
        let encrypted = [("name", "default-encryption"), ("use-encryption", "yes")];
        self.add_built_in("ppp/profile", &[&encrypted[..], addresses].concat())?;
        self.add_built_in("ip/hotspot/profile", &[("name", "default")])?;
        self.add_built_in("ip/hotspot/user/profile", &[("name", "default")])?;
        // Every router has this user, whose counters and limits are those of trials.
        self.add_built_in("ip/hotspot/user", &[("name", "default-trial"), ("profile", "default")])
    }

    fn subscribers(&mut self) -> Result<(), Trap> {
        self.add(
            "interface/pppoe-server/server",
            &[("service-name", "service1"), ("interface", "ether2"), ("disabled", "no")],
        )?;
        let portal = [
            ("name", "hotspot1"),
            ("interface", "ether3"),
            ("address-pool", "hs-pool"),
            ("profile", "default"),
        ];
        self.add("ip/hotspot", &portal).map(drop)
    }

    /// Secrets that someone else made. Every seventh comment is in an old Windows codepage, as WinBox
    /// writes them, and is no UTF-8.
    fn foreign_secrets(&mut self, count: usize) -> Result<(), Trap> {
        for number in 1..=count {
            let name = format!("foreign-{number:05}");
            let comment: &[u8] = if number % 7 == 0 { b"caf\xe9 Nyali" } else { b"block B" };
            let values: [(&str, &[u8]); 5] = [
                ("name", name.as_bytes()),
                ("password", name.as_bytes()),
                ("service", b"pppoe"),
                ("profile", b"default"),
                ("comment", comment),
            ];
            self.add("ppp/secret", &values)?;
        }
        Ok(())
    }
}
