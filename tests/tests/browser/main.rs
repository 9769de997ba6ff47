//! The pages as staff see them, in a real browser.

#[cfg(test)]
mod work;
