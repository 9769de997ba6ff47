//! How a typed row is declared, read and drafted.
//!
//! `row!` makes the struct that is read, `writable_row!` that and the draft that is written. A property's
//! kind says its type and its parser:
//!
//! | Kind | Type | Remark |
//! |---|---|---|
//! | `bytes` | `Bytes` | no character set is assumed |
//! | `number` | `u64` | |
//! | `flag` | `bool` | both dialects |
//! | `duration` | `Duration` | `none`, `never`, `unlimited` are `None` |
//! | `rate_limit` | `RateLimit` | comparable, whatever its spelling |
//! | `secret` | `Secret` | drafts only |

use std::time::Duration;

use bytes::Bytes;

use crate::command::attribute_word;
use crate::sentence::Row;
use crate::value::{RateLimit, ValueError, parse_bool, parse_number, parse_timeout};
use crate::word::split_attribute;

/// A row whose properties are known and typed.
pub trait TypedRow: Sized {
    /// The menu, such as `/ppp/secret`.
    const PATH: &'static str;
    /// The properties that are asked for.
    const PROPERTIES: &'static [&'static str];

    /// Reads a row; `None` when it lacks the `.id` that rows of its menu have.
    fn read(row: &Row) -> Option<Self>;
}

/// A row of a menu with many.
pub trait ListRow: TypedRow {}

/// The row of a menu with one.
pub trait Singleton: TypedRow {}

/// A row that people know by a name.
pub trait Keyed: ListRow {
    /// The property that holds the name: `name`, or `user` in the menus of sessions.
    const KEY: &'static str;
}

/// A row that can be added and set.
pub trait Writable: ListRow {
    /// The properties to write.
    type Draft: Draft;
}

/// A row that can be enabled and disabled.
pub trait Switchable: Writable {}

/// A row that can be removed.
pub trait Removable: ListRow {}

/// Properties to write. Only what was given is sent; the router keeps or defaults the rest.
pub trait Draft {
    /// The words `=name=value`, each name once.
    fn words(&self) -> &[Bytes];
}

/// Puts a property into a draft, in place of an earlier value.
pub(super) fn put(words: &mut Vec<Bytes>, name: &str, value: &[u8]) {
    words.retain(|word| split_attribute(word).is_none_or(|(found, _)| found != name.as_bytes()));
    words.push(attribute_word(name.as_bytes(), value));
}

/// Reads a property; names it among the unreadable ones if that fails.
pub(super) fn read_property<T>(
    row: &Row,
    name: &'static str,
    read: impl Fn(Bytes) -> Result<Option<T>, ValueError>,
    unreadable: &mut Vec<&'static str>,
) -> Option<T> {
    let value = row.get(name)?;
    read(value).unwrap_or_else(|_| {
        unreadable.push(name);
        None
    })
}

pub(super) fn read_bytes(value: Bytes) -> Result<Option<Bytes>, ValueError> {
    Ok(Some(value))
}

pub(super) fn read_number(value: Bytes) -> Result<Option<u64>, ValueError> {
    parse_number(&value).map(Some)
}

pub(super) fn read_flag(value: Bytes) -> Result<Option<bool>, ValueError> {
    parse_bool(&value).map(Some)
}

pub(super) fn read_duration(value: Bytes) -> Result<Option<Duration>, ValueError> {
    parse_timeout(&value)
}

pub(super) fn read_rate_limit(value: Bytes) -> Result<Option<RateLimit>, ValueError> {
    RateLimit::parse(&value).map(Some)
}

/// The Rust type of a kind.
macro_rules! kind_type {
    (bytes) => {
        bytes::Bytes
    };
    (number) => {
        u64
    };
    (flag) => {
        bool
    };
    (duration) => {
        std::time::Duration
    };
    (rate_limit) => {
        $crate::value::RateLimit
    };
}

/// The reader of a kind.
macro_rules! kind_reader {
    (bytes) => {
        $crate::menu::row::read_bytes
    };
    (number) => {
        $crate::menu::row::read_number
    };
    (flag) => {
        $crate::menu::row::read_flag
    };
    (duration) => {
        $crate::menu::row::read_duration
    };
    (rate_limit) => {
        $crate::menu::row::read_rate_limit
    };
}

/// A setter of a draft, by kind.
macro_rules! setter {
    ($(#[$doc:meta])* bytes $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(mut self, value: impl AsRef<[u8]>) -> Self {
            $crate::menu::row::put(&mut self.words, $name, value.as_ref());
            self
        }
    };
    ($(#[$doc:meta])* number $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, value: u64) -> Self {
            self.property($name, value.to_string())
        }
    };
    ($(#[$doc:meta])* flag $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, value: bool) -> Self {
            self.property($name, $crate::value::print_bool(value))
        }
    };
    ($(#[$doc:meta])* duration $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, value: std::time::Duration) -> Self {
            self.property($name, $crate::value::print_duration(value))
        }
    };
    ($(#[$doc:meta])* rate_limit $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, value: $crate::value::RateLimit) -> Self {
            self.property($name, value.to_string())
        }
    };
    ($(#[$doc:meta])* secret $field:ident = $name:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $field(self, value: &$crate::value::Secret) -> Self {
            self.property($name, value.expose())
        }
    };
}

/// A row that is read: of a list `by` a key, of a list without one, or a `single` one.
macro_rules! row {
    (
        $(#[$row_doc:meta])*
        $row:ident at $path:literal $(by $key:literal)?
        { $( $(#[$doc:meta])* $kind:ident $field:ident = $name:literal; )* }
    ) => {
        $(#[$row_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $row {
            /// The row's `.id` on this connection.
            pub id: $crate::value::RouterId,
            $( $(#[$doc])* pub $field: Option<kind_type!($kind)>, )*
            /// Properties that are set to something this crate cannot read; they are `None` above.
            pub unreadable: Vec<&'static str>,
        }

        impl $crate::menu::row::TypedRow for $row {
            const PATH: &'static str = $path;
            const PROPERTIES: &'static [&'static str] = &[".id", $( $name ),*];

            fn read(row: &$crate::sentence::Row) -> Option<Self> {
                let mut unreadable = Vec::new();
                Some(Self {
                    id: row.id()?,
                    $( $field: $crate::menu::row::read_property(row, $name, kind_reader!($kind), &mut unreadable), )*
                    unreadable,
                })
            }
        }

        impl $crate::menu::row::ListRow for $row {}

        $(
            impl $crate::menu::row::Keyed for $row {
                const KEY: &'static str = $key;
            }
        )?
    };
    (
        $(#[$row_doc:meta])*
        single $row:ident at $path:literal
        { $( $(#[$doc:meta])* $kind:ident $field:ident = $name:literal; )* }
    ) => {
        $(#[$row_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $row {
            $( $(#[$doc])* pub $field: Option<kind_type!($kind)>, )*
            /// Properties that are set to something this crate cannot read; they are `None` above.
            pub unreadable: Vec<&'static str>,
        }

        impl $crate::menu::row::TypedRow for $row {
            const PATH: &'static str = $path;
            const PROPERTIES: &'static [&'static str] = &[$( $name ),*];

            fn read(row: &$crate::sentence::Row) -> Option<Self> {
                let mut unreadable = Vec::new();
                Some(Self {
                    $( $field: $crate::menu::row::read_property(row, $name, kind_reader!($kind), &mut unreadable), )*
                    unreadable,
                })
            }
        }

        impl $crate::menu::row::Singleton for $row {}
    };
}

/// A row that is read and written: properties of both ways, then `sent` only, then `read` only.
macro_rules! writable_row {
    (
        $(#[$row_doc:meta])*
        $row:ident at $path:literal by $key:literal, draft $draft:ident
        both { $( $(#[$both_doc:meta])* $both_kind:ident $both:ident = $both_name:literal; )* }
        sent { $( $(#[$sent_doc:meta])* $sent_kind:ident $sent:ident = $sent_name:literal; )* }
        read { $( $(#[$read_doc:meta])* $read_kind:ident $read:ident = $read_name:literal; )* }
    ) => {
        row! {
            $(#[$row_doc])*
            $row at $path by $key {
                $( $(#[$both_doc])* $both_kind $both = $both_name; )*
                $( $(#[$read_doc])* $read_kind $read = $read_name; )*
            }
        }

        #[doc = concat!("Properties of a [`", stringify!($row), "`] to write. `Debug` does not show secrets.")]
        #[derive(Clone, Default, PartialEq, Eq)]
        pub struct $draft {
            words: Vec<bytes::Bytes>,
        }

        impl $draft {
            /// Nothing yet.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $( setter! { $(#[$both_doc])* $both_kind $both = $both_name } )*
            $( setter! { $(#[$sent_doc])* $sent_kind $sent = $sent_name } )*

            /// Any other property, by the router's name for it; an empty value unsets most.
            #[must_use]
            pub fn property(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                $crate::menu::row::put(&mut self.words, name, value.as_ref());
                self
            }

            /// Whether there is nothing to write.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.words.is_empty()
            }
        }

        impl $crate::menu::row::Draft for $draft {
            fn words(&self) -> &[bytes::Bytes] {
                &self.words
            }
        }

        impl std::fmt::Debug for $draft {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.debug_list().entries(self.words.iter().map(|word| $crate::word::Shown(word))).finish()
            }
        }

        impl $crate::menu::row::Writable for $row {
            type Draft = $draft;
        }

        impl $crate::menu::row::Removable for $row {}
    };
}
