//! Brokers from outside: one that is not inside the controller (what it enforces, what it cannot, the switch there and back), and
//! a crowd at the door of the one that is.

#[cfg(test)]
mod client;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod mosquitto;
