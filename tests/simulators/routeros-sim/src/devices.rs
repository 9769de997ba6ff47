//! Subscribers' devices: they dial until they are let in, and dial again when they are dropped.
//!
//! A device is a task that waits and a record that [`crate::state`] keeps. What admits it is
//! [`crate::sessions`].

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::router::Router;
use crate::sessions::{Dial, Service, SessionKey};
use crate::values::parse_mac;

/// The most devices of one router; a large site has a few thousand lines.
pub(crate) const MOST_DEVICES: usize = 20_000;
const DEFAULT_REDIAL_MS: u64 = 500;
/// Faster redialing would only measure the simulator.
const LEAST_REDIAL_MS: u64 = 10;
const MOST_REDIAL_MS: u64 = 3_600_000;
const LONGEST_NAME: usize = 128;

/// A device to start.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// The name by which the control port knows it.
    pub name: String,
    /// `pppoe`, `l2tp`, `pptp`, `ovpn`, `hotspot` or `ipoe`.
    pub service: String,
    /// The name it dials with; an IPoE device has none.
    #[serde(default)]
    pub username: String,
    /// The password it dials with.
    #[serde(default)]
    pub password: String,
    /// Milliseconds between a refusal, or a drop, and the next dial.
    #[serde(default = "default_redial_ms")]
    pub redial_ms: u64,
    /// Its MAC address; made up when absent.
    #[serde(default)]
    pub mac: Option<String>,
    /// IPoE only, and required there: its fixed IPv4 address.
    #[serde(default)]
    pub address: Option<String>,
    /// Tunnels only: the IPv4 address that it calls from; made up when absent.
    #[serde(default)]
    pub calls_from: Option<String>,
    /// Hotspot only: whether it offers its password again after the first login. A phone whose owner is
    /// not looking does not: it returns by cookie or not at all.
    #[serde(default = "yes")]
    pub remembers_password: bool,
}

fn default_redial_ms() -> u64 {
    DEFAULT_REDIAL_MS
}

fn yes() -> bool {
    true
}

impl NewDevice {
    /// A device with a made-up MAC address that redials twice a second.
    #[must_use]
    pub fn new(name: &str, service: Service, username: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            service: service.word().to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            redial_ms: DEFAULT_REDIAL_MS,
            mac: None,
            address: None,
            calls_from: None,
            remembers_password: true,
        }
    }

    /// A device without a login, which has this address.
    #[must_use]
    pub fn ipoe(name: &str, address: &str) -> Self {
        Self { address: Some(address.to_owned()), ..Self::new(name, Service::Ipoe, "", "") }
    }

    /// The same device with another time between dials.
    #[must_use]
    pub fn redialing_after_ms(self, redial_ms: u64) -> Self {
        Self { redial_ms, ..self }
    }

    /// The same device with this MAC address.
    #[must_use]
    pub fn with_mac(self, mac: &str) -> Self {
        Self { mac: Some(mac.to_owned()), ..self }
    }

    /// The same device, whose tunnel comes from this address.
    #[must_use]
    pub fn calling_from(self, address: &str) -> Self {
        Self { calls_from: Some(address.to_owned()), ..self }
    }

    /// The same device, which offers its password only until its first login.
    #[must_use]
    pub fn forgetting_its_password(self) -> Self {
        Self { remembers_password: false, ..self }
    }
}

impl fmt::Debug for NewDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NewDevice")
            .field("name", &self.name)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// Why a device is not started, or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is empty or long.
    #[error("name must have 1 to {LONGEST_NAME} characters")]
    BadName,
    /// Not a service that devices dial.
    #[error("service `{0}` is unknown; use pppoe, l2tp, pptp, ovpn, hotspot or ipoe")]
    UnknownService(String),
    /// Not a MAC address.
    #[error("mac `{0}` is no MAC address; write it like 02:00:00:00:00:01, or leave it out")]
    BadMac(String),
    /// Not an IPv4 address.
    #[error("`{0}` is no IPv4 address; write it like 198.51.100.7")]
    BadAddress(String),
    /// Only an IPoE device has a fixed address, and it must have one.
    #[error("an ipoe device needs its fixed `address`, and no other device has one")]
    AddressMisplaced,
    /// Too short or too long.
    #[error("redial_ms must be from {LEAST_REDIAL_MS} to {MOST_REDIAL_MS}")]
    BadRedial,
    /// The name is in use.
    #[error("a device named `{0}` exists already; delete it first or choose another name")]
    Exists(String),
    /// There are as many devices as the simulator holds.
    #[error("there are {MOST_DEVICES} devices already; delete some first")]
    TooMany,
    /// No device has this name.
    #[error("there is no device named `{0}`; GET /devices lists them")]
    Unknown(String),
    /// It is not in, so it can move nothing.
    #[error("device `{0}` is offline; wait until GET /devices/{0} says online")]
    Offline(String),
}

/// Whether a device is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// It has a session.
    Online,
    /// It has none, and tries.
    Dialing,
}

/// What the control port shows of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeviceView {
    /// Its name.
    pub name: String,
    /// What it dials.
    pub service: &'static str,
    /// The name it dials with.
    pub username: String,
    /// Its MAC address.
    pub mac: String,
    /// The address that its tunnel comes from; absent for what is no tunnel.
    pub calls_from: Option<String>,
    /// Whether it is in.
    pub state: DeviceState,
    /// Its address while it is in.
    pub address: Option<String>,
    /// Why the last dial was refused; absent while it is in.
    pub last_error: Option<String>,
    /// When it came in, in milliseconds since 1970; absent while it is not.
    pub online_since_ms: Option<i64>,
    /// How often it was let in.
    pub sessions: u64,
    /// Bytes that it has sent, over all its sessions.
    pub upload_bytes: u64,
    /// Bytes that it has received, over all its sessions.
    pub download_bytes: u64,
}

/// A device as the router's state keeps it.
pub(crate) struct Device {
    pub(crate) dial: Dial,
    pub(crate) redial: Duration,
    remembers_password: bool,
    pub(crate) session: Option<SessionKey>,
    address: Option<String>,
    pub(crate) last_error: Option<String>,
    online_since_ms: Option<i64>,
    sessions: u64,
    pub(crate) upload_bytes: u64,
    pub(crate) download_bytes: u64,
    /// Wakes the device's task when its session ends or it is deleted.
    pub(crate) wake: Arc<Notify>,
}

impl Device {
    /// Checks a new device; `serial` makes up its MAC address.
    pub(crate) fn new(new: NewDevice, serial: u64) -> Result<Self, DeviceError> {
        if new.name.is_empty() || new.name.len() > LONGEST_NAME {
            return Err(DeviceError::BadName);
        }
        let service: Service =
            new.service.parse().map_err(|()| DeviceError::UnknownService(new.service.clone()))?;
        if !(LEAST_REDIAL_MS..=MOST_REDIAL_MS).contains(&new.redial_ms) {
            return Err(DeviceError::BadRedial);
        }
        let mac = match &new.mac {
            Some(mac) => parse_mac(mac).ok_or_else(|| DeviceError::BadMac(mac.clone()))?,
            None => made_up_mac(serial),
        };
        let parsed = |address: &String| {
            address.parse::<Ipv4Addr>().map_err(|_| DeviceError::BadAddress(address.clone()))
        };
        let address = new.address.as_ref().map(parsed).transpose()?;
        if address.is_some() != (service == Service::Ipoe) {
            return Err(DeviceError::AddressMisplaced);
        }
        let calls_from =
            new.calls_from.as_ref().map(parsed).transpose()?.unwrap_or_else(|| made_up_address(serial));
        let dial = Dial {
            device: new.name,
            service,
            username: new.username.into_bytes(),
            password: Some(new.password.into_bytes()),
            mac,
            address,
            calls_from,
        };
        Ok(Self {
            dial,
            redial: Duration::from_millis(new.redial_ms),
            remembers_password: new.remembers_password,
            session: None,
            address: None,
            last_error: None,
            online_since_ms: None,
            sessions: 0,
            upload_bytes: 0,
            download_bytes: 0,
            wake: Arc::new(Notify::new()),
        })
    }

    pub(crate) fn came_online(&mut self, key: SessionKey, address: String, now_unix_ms: i64) {
        self.session = Some(key);
        self.address = Some(address);
        self.last_error = None;
        self.online_since_ms = Some(now_unix_ms);
        self.sessions = self.sessions.saturating_add(1);
        if !self.remembers_password {
            self.dial.password = None;
        }
    }

    pub(crate) fn went_offline(&mut self) {
        (self.session, self.address, self.online_since_ms) = (None, None, None);
        self.wake.notify_one();
    }

    pub(crate) fn view(&self) -> DeviceView {
        DeviceView {
            name: self.dial.device.clone(),
            service: self.dial.service.word(),
            username: String::from_utf8_lossy(&self.dial.username).into_owned(),
            mac: self.dial.mac.clone(),
            calls_from: self.dial.service.is_tunnel().then(|| self.dial.calls_from.to_string()),
            state: if self.session.is_some() { DeviceState::Online } else { DeviceState::Dialing },
            address: self.address.clone(),
            last_error: self.last_error.clone(),
            online_since_ms: self.online_since_ms,
            sessions: self.sessions,
            upload_bytes: self.upload_bytes,
            download_bytes: self.download_bytes,
        }
    }
}

/// A locally administered MAC address.
fn made_up_mac(serial: u64) -> String {
    let [.., third, second, first] = serial.to_be_bytes();
    format!("02:00:00:{third:02X}:{second:02X}:{first:02X}")
}

/// An address of 198.18.0.0/15, which is set aside for measurements.
fn made_up_address(serial: u64) -> Ipv4Addr {
    let [.., third, second, first] = serial.to_be_bytes();
    Ipv4Addr::new(198, 18 | (third & 1), second, first)
}

/// What a device's task does next.
pub(crate) enum Dialed {
    /// It is in: wait until it is woken.
    In(Arc<Notify>),
    /// It was refused: wait, and dial again.
    Refused(Arc<Notify>, Duration),
    /// It was deleted.
    Gone,
}

/// Dials for as long as the device exists.
pub(crate) async fn keep_dialing(router: Router, name: String, serial: u64) {
    let mut stopping = router.stopping();
    loop {
        let (wake, pause) = match router.dial(&name, serial) {
            Dialed::Gone => return,
            Dialed::Refused(wake, pause) => (wake, Some(pause)),
            Dialed::In(wake) => (wake, None),
        };
        // A deleted device is woken too, in either state; the next dial then finds it gone.
        let rested = async {
            match pause {
                Some(pause) => {
                    let _woken_or_rested = tokio::time::timeout(pause, wake.notified()).await;
                }
                None => {
                    wake.notified().await;
                    tokio::time::sleep(router.redial_of(&name)).await;
                }
            }
        };
        tokio::select! {
            () = rested => {}
            _ = stopping.changed() => return,
        }
    }
}
