//! A broker that is not inside the controller: what it enforces, what it cannot, and the switch there and back.

#[cfg(test)]
mod client;
#[cfg(test)]
mod mosquitto;
