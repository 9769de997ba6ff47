//! The pages as staff see them, in a real browser.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod work;
