//! x
#[cfg(test)]
pub(crate) mod testing;
