//! The money path.
