//! The router as it is when the simulator starts: a site that serves PPPoE and a hotspot.
//!
//! Configurable rows go through the same commands that an admin would type, so nothing here can be
//! what the router would refuse.

use std::net::SocketAddr;

use ring::digest::{SHA256, digest};

use crate::clock::Moment;
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

/// Fills the tables.
///
/// # Errors
/// The trap of the row that this release refuses, which is a fault of this file.
pub(crate) fn fill(settings: &Settings, ports: Ports, now: Moment) -> Result<Engine, Trap> {
    let mut engine = Engine::new(settings.release);
    singles(&mut engine, settings, now);
    interfaces(&mut engine);
    services(&mut engine, ports);
    let mut admin = Admin { engine: &mut engine, now };
    admin.users(settings)?;
    admin.subscribers()?;
    admin.foreign_secrets(settings.foreign_secrets)?;
    Ok(engine)
}

fn singles(engine: &mut Engine, settings: &Settings, now: Moment) {
    let release = settings.release;
    let text = |text: &str| Value::text(text);
    let version = release.version_text();
    let build = Value::Date(1_740_000_000_000);
    let resource = [
        ("uptime", Value::Since(now.monotonic_ms)),
        ("version", text(&version)),
        ("build-time", build.clone()),
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
    let serial = serial_of(&settings.identity);
    let firmware = release.to_string();
    let board = [
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
    let mode = ["container", "hotspot", "fetch", "scheduler", "pptp", "l2tp"];
    let mut device_mode = vec![("mode", text("advanced"))];
    device_mode.extend(mode.map(|feature| (feature, Value::flag(feature != "container"))));
    let clock = [
        ("time", Value::ClockTime),
        ("date", Value::ClockDate),
        ("gmt-offset", Value::ClockOffset),
        ("dst-active", Value::flag(false)),
    ];
    let identity = [("name", text(&settings.identity))];
    let license = [("software-id", text(&software_id)), ("nlevel", text("6")), ("features", text(""))];
    for menu in menus_of(release).filter(|menu| menu.shape == crate::tables::Shape::Single) {
        let values: &[(&str, Value)] = match menu.path {
            "system/resource" => &resource,
            "system/routerboard" => &board,
            "system/device-mode" => &device_mode,
            "system/clock" => &clock,
            "system/identity" => &identity,
            "system/license" => &license,
            _ => &[],
        };
        engine.furnish(menu, values, now);
    }
    let packages: &[&str] =
        if release < Release::new(7, 0) { &["system", "ppp", "hotspot", "security"] } else { &["routeros"] };
    for package in packages {
        let values = [
            ("name", text(package)),
            ("version", text(&firmware)),
            ("build-time", build.clone()),
            ("scheduled", text("")),
            ("disabled", Value::flag(false)),
        ];
        engine.place("system/package", &values, None);
    }
}

/// A serial number that differs by identity, because it is how a site's router is told from another's.
fn serial_of(identity: &str) -> String {
    let hash = digest(&SHA256, identity.as_bytes());
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

fn services(engine: &mut Engine, ports: Ports) {
    let (api, tls) = (ports.api.port(), ports.tls.map(|address| address.port()));
    let rows = [
        ("telnet", 23, false),
        ("ftp", 21, false),
        ("www", 80, false),
        ("ssh", 22, false),
        ("www-ssl", 443, false),
        ("api", api, true),
        ("winbox", 8291, false),
        ("api-ssl", tls.unwrap_or(8729), tls.is_some()),
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

    fn users(&mut self, settings: &Settings) -> Result<(), Trap> {
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
        let admin =
            [("name", settings.user.as_str()), ("group", "full"), ("password", settings.password.as_str())];
        self.add("user", &admin).map(drop)
    }

    fn subscribers(&mut self) -> Result<(), Trap> {
        self.add("ip/pool", &[("name", "pppoe-pool"), ("ranges", "10.64.0.2-10.64.255.254")])?;
        self.add("ip/pool", &[("name", "hs-pool"), ("ranges", "10.80.0.2-10.80.255.254")])?;
        let addresses = [("local-address", "10.64.0.1"), ("remote-address", "pppoe-pool")];
        let [local, remote] = addresses;
        self.add_built_in("ppp/profile", &[("name", "default"), local, remote])?;
        let encrypted = [("name", "default-encryption"), ("use-encryption", "yes"), local, remote];
        self.add_built_in("ppp/profile", &encrypted)?;
        self.add(
            "interface/pppoe-server/server",
            &[("service-name", "service1"), ("interface", "ether2"), ("disabled", "no")],
        )?;
        self.add_built_in("ip/hotspot/profile", &[("name", "default")])?;
        self.add_built_in("ip/hotspot/user/profile", &[("name", "default")])?;
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
