//! The program `tawi-controller` as a shell and systemd see it.

#[cfg(test)]
mod broker_config;
#[cfg(test)]
mod mpesa;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sites;
#[cfg(test)]
mod sms;
