//! The handle on a running router: the same operations that the control port offers, in process.
//!
//! Takes the lock, reads the clock, does one thing in [`crate::state`], and wakes whoever waits for a
//! change. What sockets and device tasks ask is in `router/inside.rs`; the sockets themselves are
//! [`crate::api_session`] and [`crate::control`].

mod inside;

use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::devices::{Device, DeviceError, DeviceState, DeviceView, MOST_DEVICES, NewDevice, keep_dialing};
use crate::engine::packages::{PackageState, can_be_missing, packages_of};
use crate::engine::{Answer, Row};
use crate::faults::{Faults, FaultsChange, FaultsError};
use crate::preload::Ports;
use crate::reach::Reach;
use crate::release::Release;
use crate::request::Request;
use crate::sessions::Ending;
use crate::settings::Settings;
use crate::state::{Reset, State, WriteRecord};
use crate::tables::{Menu, menus_of};
use crate::tls::Identity;
use crate::trap::Trap;
use crate::values::Value;

/// The longest time that a reboot may take.
const LONGEST_DOWN_MS: u64 = 3_600_000;

const LICENSE_LEVELS: [u8; 6] = [0, 1, 3, 4, 5, 6];

/// A running router.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    clock: Clock,
    /// Counts changes of any kind.
    changed: watch::Sender<u64>,
    /// Counts changes of what decides whether the ports are open, stalled or slow.
    gate: watch::Sender<u64>,
    /// Counts the times that every connection was cut.
    cut: watch::Sender<u64>,
    stopping: watch::Receiver<()>,
}

/// What the control port's `GET /state` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The release, such as `7.18`.
    pub release: String,
    /// `/system/identity`.
    pub identity: String,
    /// The board's serial number.
    pub serial_number: String,
    /// The licence's level.
    pub license_level: String,
    /// Seconds since the last boot; zero while the router is down.
    pub uptime_seconds: u64,
    /// Open API connections.
    pub connections: usize,
    /// API logins since the start.
    pub logins_total: u64,
    /// API logins refused since the start.
    pub failed_logins_total: u64,
    /// API commands since the start, `/login` and `/cancel` apart.
    pub commands_total: u64,
    /// Of these, those that read.
    pub prints_total: u64,
    /// Of these, those that write.
    pub writes_total: u64,
    /// Subscribers who are in.
    pub sessions: usize,
}

/// Why a row operation of the control port is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// No menu has this path.
    #[error("there is no menu `{0}`; write it like ppp/secret")]
    NoSuchMenu(String),
    /// The router answered with a trap.
    #[error("the router refused: {0}")]
    Refused(#[from] Trap),
}

impl RowsError {
    /// Whether the row, rather than the request, is what is wrong.
    #[must_use]
    pub fn is_missing_row(&self) -> bool {
        matches!(self, Self::Refused(trap) if trap.category == Some(0))
    }
}

/// Why a fact of the box cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// Not a level of a licence.
    #[error("there is no licence of level {0}; levels are 0, 1, 3, 4, 5 and 6")]
    NoSuchLevel(u8),
    /// Not a feature of device-mode, or a release without it.
    #[error(
        "device-mode of this release knows no feature `{0}`; it knows container, hotspot, fetch, scheduler, pptp and l2tp from 7.0 on"
    )]
    NoSuchFeature(String),
    /// Not a package that a router of this release may be without, or have.
    #[error("a router of this release cannot gain or lose a package `{name}`; it can {can}")]
    NoSuchPackage {
        /// What was asked for.
        name: String,
        /// Those that it can.
        can: String,
    },
    /// Per cent are 0 to 100.
    #[error("bad blocks are 0 to 100 per cent, not {0}")]
    NoPercentage(String),
}

/// What `/system/resource` says of the flash; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashChange {
    /// `free-hdd-space`, in bytes.
    pub free_hdd_space: Option<u64>,
    /// `write-sect-total`, since the board was made.
    pub write_sect_total: Option<u64>,
    /// `write-sect-since-reboot`.
    pub write_sect_since_reboot: Option<u64>,
    /// `bad-blocks`, in per cent.
    pub bad_blocks: Option<f64>,
}

/// Waiting took longer than allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the router did not get there within {0:?}")]
pub struct TookTooLong(pub Duration);

impl Router {
    pub(crate) fn new(
        settings: Settings,
        ports: Ports,
        clock: Clock,
        stopping: watch::Receiver<()>,
    ) -> Result<Self, Trap> {
        let state = Mutex::new(State::new(settings, ports, clock.now(0))?);
        let count = || watch::channel(0).0;
        Ok(Self {
            shared: Arc::new(Shared {
                state,
                clock,
                changed: count(),
                gate: count(),
                cut: count(),
                stopping,
            }),
        })
    }

    // Devices.

    /// Starts a device, which dials from now on.
    ///
    /// # Errors
    /// [`DeviceError`] says what is wrong with it, and the cure.
    pub fn add_device(&self, new: NewDevice) -> Result<DeviceView, DeviceError> {
        let name = new.name.clone();
        let (view, serial) = self.change(|state, _| {
            if state.devices.contains_key(&new.name) {
                return Err(DeviceError::Exists(new.name));
            }
            if state.devices.len() >= MOST_DEVICES {
                return Err(DeviceError::TooMany);
            }
            let serial = state.device_serials.saturating_add(1);
            let name = new.name.clone();
            let device = Device::new(new, serial)?;
            let view = device.view();
            state.device_serials = serial;
            state.devices.insert(name, (serial, device));
            Ok((view, serial))
        })?;
        tokio::spawn(keep_dialing(self.clone(), name, serial));
        Ok(view)
    }

    /// Every device, by name.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        let state = self.lock();
        let mut views: Vec<DeviceView> = state.devices.values().map(|(_, device)| device.view()).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// One device.
    ///
    /// # Errors
    /// [`DeviceError::Unknown`].
    pub fn device(&self, name: &str) -> Result<DeviceView, DeviceError> {
        let state = self.lock();
        let device = state.devices.get(name).map(|(_, device)| device.view());
        device.ok_or_else(|| DeviceError::Unknown(name.to_owned()))
    }

    /// Hangs a device up for good.
    ///
    /// # Errors
    /// [`DeviceError::Unknown`].
    pub fn remove_device(&self, name: &str) -> Result<(), DeviceError> {
        self.change(|state, now| {
            let (_, device) =
                state.devices.remove(name).ok_or_else(|| DeviceError::Unknown(name.to_owned()))?;
            if let Some(key) = device.session {
                state.sessions.end(&mut state.engine, key, Ending::HungUp, now);
            }
            state.sessions.depart(&mut state.engine, &device.dial.mac);
            device.wake.notify_one();
            state.settle(now);
            Ok(())
        })
    }

    /// Moves bytes through a device's session.
    ///
    /// # Errors
    /// [`DeviceError::Unknown`] or [`DeviceError::Offline`].
    pub fn move_traffic(
        &self,
        name: &str,
        upload_bytes: u64,
        download_bytes: u64,
    ) -> Result<DeviceView, DeviceError> {
        self.change(|state, now| {
            let unknown = || DeviceError::Unknown(name.to_owned());
            let (_, device) = state.devices.get_mut(name).ok_or_else(unknown)?;
            let key = device.session.ok_or_else(|| DeviceError::Offline(name.to_owned()))?;
            device.upload_bytes = device.upload_bytes.saturating_add(upload_bytes);
            device.download_bytes = device.download_bytes.saturating_add(download_bytes);
            let ended = state.sessions.carry(&mut state.engine, key, upload_bytes, download_bytes, now);
            if let Some(device) = ended {
                state.drop_device(&device);
            }
            state.settle(now);
            state.devices.get(name).map(|(_, device)| device.view()).ok_or_else(unknown)
        })
    }

    /// Whether a new TCP connection of a device would pass the router's firewall.
    ///
    /// # Errors
    /// [`DeviceError::Unknown`] or [`DeviceError::Offline`].
    pub fn reach(&self, name: &str, to: SocketAddrV4) -> Result<Reach, DeviceError> {
        let state = self.lock();
        let (_, device) = state.devices.get(name).ok_or_else(|| DeviceError::Unknown(name.to_owned()))?;
        let address = device.session.and_then(|key| state.sessions.address_of(key));
        let from = address.ok_or_else(|| DeviceError::Offline(name.to_owned()))?;
        Ok(crate::reach::follow(&state.engine, from, to))
    }

    /// Waits until a device is in, or is not.
    ///
    /// # Errors
    /// [`TookTooLong`].
    pub async fn wait_for_device(
        &self,
        name: &str,
        wanted: DeviceState,
        longest: Duration,
    ) -> Result<DeviceView, TookTooLong> {
        let is_so = || self.device(name).ok().filter(|device| device.state == wanted);
        self.wait_for(longest, is_so).await
    }

    /// Waits until `look` finds something; it is asked again after every change of the router.
    ///
    /// # Errors
    /// [`TookTooLong`].
    pub async fn wait_for<T>(
        &self,
        longest: Duration,
        look: impl Fn() -> Option<T>,
    ) -> Result<T, TookTooLong> {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look() {
                    return found;
                }
                // The sender lives in this handle, so this never fails.
                let _sender_lives = changed.changed().await;
            }
        };
        tokio::time::timeout(longest, found).await.map_err(|_| TookTooLong(longest))
    }

    // What the router holds.

    /// Counters and identity.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let state = self.lock();
        let now = self.shared.clock.now(0);
        let statistics = state.statistics;
        let text =
            |menu, property| String::from_utf8_lossy(&state.engine.single_text(menu, property)).into_owned();
        Summary {
            release: state.engine.release().to_string(),
            identity: text("system/identity", "name"),
            serial_number: text("system/routerboard", "serial-number"),
            license_level: text("system/license", "nlevel"),
            uptime_seconds: now.monotonic_ms.saturating_sub(state.booted_ms) / 1_000,
            connections: state.connection_count(),
            logins_total: statistics.logins,
            failed_logins_total: statistics.failed_logins,
            commands_total: statistics.commands,
            prints_total: statistics.prints,
            writes_total: statistics.writes,
            sessions: state.sessions.len(),
        }
    }

    /// The remembered writes with a greater `seq`, oldest first.
    #[must_use]
    pub fn writes_after(&self, seq: u64) -> Vec<WriteRecord> {
        self.lock().writes_after(seq)
    }

    /// Every row of a menu, secrets redacted.
    ///
    /// # Errors
    /// [`RowsError::NoSuchMenu`].
    pub fn rows(&self, menu: &str) -> Result<Vec<Row>, RowsError> {
        let state = self.lock();
        let menu = menu_at(menu, state.engine.release())?;
        let now = self.shared.clock.now(state.clock_shift_ms());
        Ok(state.engine.redacted_rows(menu, now))
    }

    /// Whether the console of this router, as it is now, takes a command and an argument of it (or a property that `get`
    /// asks for). What it does not know it refuses as it reads.
    #[must_use]
    pub fn can_be_typed(&self, menu: &str, command: &str, argument: Option<&str>) -> bool {
        self.lock().engine.can_be_typed(menu.trim_matches('/'), command, argument)
    }

    /// Adds a row as a foreign admin would; returns its `.id`.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn add_row<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        menu: &str,
        values: &[(N, V)],
    ) -> Result<String, RowsError> {
        let answer = self.as_admin(menu, "add", None, values)?;
        Ok(String::from_utf8_lossy(&answer.ret.unwrap_or_default()).into_owned())
    }

    /// The certificate that a service is set to, if this router has signed it.
    pub(crate) fn identity_of(&self, service: &str) -> Option<Identity> {
        self.lock().engine.identity_of(service).cloned()
    }

    /// Adds a row as the router itself makes them, such as an entry of the walled garden for each address of a name: it is
    /// dynamic, and nobody can remove it.
    ///
    /// # Errors
    /// [`RowsError::NoSuchMenu`].
    pub fn add_dynamic_row(&self, menu: &str, values: &[(&str, &str)]) -> Result<(), RowsError> {
        let menu = menu_at(menu, self.lock().engine.release())?;
        let mut row: Vec<(&str, Value)> =
            values.iter().map(|(name, value)| (*name, Value::text(*value))).collect();
        row.extend([("dynamic", Value::flag(true)), ("disabled", Value::flag(false))]);
        self.change(|state, _| {
            if let Some(id) = state.engine.place(menu.path, &row, None) {
                state.engine.protect(menu.path, id);
            }
        });
        Ok(())
    }

    /// Changes a row, by `.id` or name, as a foreign admin would; for a menu without rows, `id` is ignored.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn set_row<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        menu: &str,
        id: &str,
        values: &[(N, V)],
    ) -> Result<(), RowsError> {
        self.as_admin(menu, "set", Some(id), values).map(drop)
    }

    /// Signs a certificate, by `.id` or name, as a foreign admin would.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn sign_certificate(&self, id: &str) -> Result<(), RowsError> {
        self.as_admin::<&str, &str>("certificate", "sign", Some(id), &[]).map(drop)
    }

    /// Removes a row, by `.id` or name, as a foreign admin would.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn remove_row(&self, menu: &str, id: &str) -> Result<(), RowsError> {
        self.as_admin::<&str, &str>(menu, "remove", Some(id), &[]).map(drop)
    }

    fn as_admin<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        menu: &str,
        command: &str,
        id: Option<&str>,
        values: &[(N, V)],
    ) -> Result<Answer, RowsError> {
        let menu = menu_at(menu, self.lock().engine.release())?;
        let mut request = Request::for_path(&format!("{}/{command}", menu.path));
        if let Some(id) = id.filter(|_| menu.shape == crate::tables::Shape::List) {
            request = request.with(".id", id);
        }
        for (name, value) in values {
            request = request.with(name, value);
        }
        let answer = self.change(|state, now| state.execute_as_admin(&request, now));
        self.note_gate();
        Ok(answer?)
    }

    // Misbehaviour.

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// Changes the faults in force.
    ///
    /// # Errors
    /// [`FaultsError`].
    pub fn set_faults(&self, change: FaultsChange) -> Result<Faults, FaultsError> {
        let faults = self.change(|state, _| {
            let faults = state.faults.clone().changed(change)?;
            state.faults = faults.clone();
            Ok(faults)
        })?;
        self.note_gate();
        Ok(faults)
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.change(|state, _| state.faults = Faults::default());
        self.note_gate();
    }

    /// Cuts every API connection now.
    pub fn drop_connections(&self) {
        self.shared.cut.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Cuts the power; it is back after `down_ms` (at most an hour).
    pub fn reboot(&self, down_ms: u64) {
        self.change(|state, now| state.reboot(down_ms.min(LONGEST_DOWN_MS), now));
        self.note_gate();
        self.drop_connections();
    }

    /// Takes all configuration from the router, which boots anew after `down_ms` (at most an hour): no pool, no
    /// server, no subscriber, `admin` without a password unless users are kept, and no API over TLS.
    ///
    /// # Errors
    /// [`RowsError::Refused`] when the release refuses its own defaults.
    pub fn reset_configuration(&self, keep_users: bool, down_ms: u64) -> Result<(), RowsError> {
        self.lose_configuration(Reset::Configuration { keep_users }, down_ms)
    }

    /// Puts another board of the same model and release in the router's place: another serial number, nothing
    /// configured.
    ///
    /// # Errors
    /// [`RowsError::Refused`] when the release refuses its own defaults.
    pub fn replace_board(&self, down_ms: u64) -> Result<(), RowsError> {
        self.lose_configuration(Reset::Board, down_ms)
    }

    fn lose_configuration(&self, how: Reset, down_ms: u64) -> Result<(), RowsError> {
        self.change(|state, now| state.reset(how, down_ms.min(LONGEST_DOWN_MS), now))?;
        self.note_gate();
        self.drop_connections();
        Ok(())
    }

    /// Changes the licence's level, which decides how many sessions further dials may make.
    ///
    /// # Errors
    /// [`FactError::NoSuchLevel`].
    pub fn set_license_level(&self, level: u8) -> Result<(), FactError> {
        if !LICENSE_LEVELS.contains(&level) {
            return Err(FactError::NoSuchLevel(level));
        }
        self.change(|state, now| {
            state.set_fact("system/license", "nlevel", Some(Value::text(level.to_string())), now);
        });
        Ok(())
    }

    /// Allows or forbids a feature by device-mode, as somebody at the box does. A hotspot that is
    /// forbidden loses its sessions; tunnels that are up stay.
    ///
    /// # Errors
    /// [`FactError::NoSuchFeature`].
    pub fn set_device_mode(&self, feature: &str, is_allowed: bool) -> Result<(), FactError> {
        const MODE: &str = "system/device-mode";
        let is_known =
            self.lock().engine.single(MODE).is_some() && crate::tables::DEVICE_FEATURES.contains(&feature);
        if !is_known {
            return Err(FactError::NoSuchFeature(feature.to_owned()));
        }
        self.change(|state, now| state.set_fact(MODE, feature, Some(Value::flag(is_allowed)), now));
        Ok(())
    }

    /// Installs, disables or takes away packages and boots anew, as a router does for it: at once, whatever it is with a
    /// real one.
    ///
    /// # Errors
    /// [`FactError::NoSuchPackage`], and then nothing has changed.
    pub fn set_packages(&self, packages: &[(&str, PackageState)]) -> Result<(), FactError> {
        let release = self.lock().engine.release();
        if let Some((name, _)) = packages.iter().find(|(name, _)| !can_be_missing(name, release)) {
            let known = packages_of(release).iter().filter(|name| can_be_missing(name, release));
            let can = known.copied().collect::<Vec<_>>().join(", ");
            return Err(FactError::NoSuchPackage { name: (*name).to_owned(), can });
        }
        self.change(|state, _| {
            packages.iter().for_each(|(name, package)| state.engine.put_package(name, *package));
        });
        self.reboot(0);
        Ok(())
    }

    /// Changes what the router says of its flash.
    ///
    /// # Errors
    /// [`FactError::NoPercentage`].
    pub fn set_flash(&self, flash: FlashChange) -> Result<(), FactError> {
        if let Some(percent) = flash.bad_blocks.filter(|percent| !(0.0..=100.0).contains(percent)) {
            return Err(FactError::NoPercentage(percent.to_string()));
        }
        let facts = [
            ("free-hdd-space", flash.free_hdd_space.map(Value::Count)),
            ("write-sect-total", flash.write_sect_total.map(Value::Count)),
            ("write-sect-since-reboot", flash.write_sect_since_reboot.map(Value::Count)),
            ("bad-blocks", flash.bad_blocks.map(|percent| Value::text(percent.to_string()))),
        ];
        self.change(|state, now| {
            for (property, value) in facts {
                if value.is_some() {
                    state.set_fact("system/resource", property, value, now);
                }
            }
        });
        Ok(())
    }

    fn note_gate(&self) {
        self.shared.gate.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, Moment) -> T) -> T {
        let outcome = {
            let mut state = self.lock();
            let now = self.shared.clock.now(state.clock_shift_ms());
            change(&mut state, now)
        };
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
        outcome
    }

    /// A panic in one task must not take the router from all others.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn menu_at(path: &str, release: Release) -> Result<&'static Menu, RowsError> {
    let path = path.trim_matches('/');
    menus_of(release).find(|menu| menu.path == path).ok_or_else(|| RowsError::NoSuchMenu(path.to_owned()))
}
