//! Values of the file -> the types of the configuration's fields. A type says here which words the file has for it
//! and which values it takes; the table of tags asks the type, so that a word is written down in one place.

use std::net::IpAddr;
use std::time::Duration;

use super::value::Value;
use crate::wire::digest::Secret;
use crate::wire::Cookie;

/// A type that a field of the configuration may have.
pub trait Field: Sized {
    /// The words that may stand as parameter.
    const WORDS: &'static [&'static str] = &[];
    /// The word that may stand for `None` in an `Option` of this type.
    const NONE: &'static [&'static str] = &[];
    /// The parameter is never printed.
    const SECRET: bool = false;
    /// The tag may stand several times in a block.
    const REPEATS: bool = false;

    /// The field for a value; `None` for values that mean nothing to this type.
    fn from_value(value: Value) -> Option<Self>;

    /// Takes over a value. `false`: it means nothing to this type.
    fn put(&mut self, value: Value) -> bool {
        Self::from_value(value).map(|field| *self = field).is_some()
    }
}

/// What may stand several times, in the order of the file.
impl<T: Field> Field for Vec<T>
where
    T: Repeated,
{
    const WORDS: &'static [&'static str] = T::WORDS;
    const SECRET: bool = T::SECRET;
    const REPEATS: bool = true;

    fn from_value(value: Value) -> Option<Vec<T>> {
        T::from_value(value).map(|one| vec![one])
    }

    fn put(&mut self, value: Value) -> bool {
        T::from_value(value).map(|one| self.push(one)).is_some()
    }
}

/// A type of which a block may have several values.
pub trait Repeated {}

/// Gives the variants of an enum their words in the file. Each variant has at least one, except the one after
/// `else`, which takes what is no word:
///
/// ```ignore
/// words! { Mtu { Auto = "auto" } else Value(usize) }
/// ```
macro_rules! words {
    (
        $type:ident $(<$argument:ty>)? { $($variant:ident = $($word:literal)|+),+ }
        $(else $other:ident($inner:ty))?
    ) => {
        impl $crate::config::field::Field for $type$(<$argument>)? {
            const WORDS: &'static [&'static str] = &[$($($word),+),+];

            fn from_value(value: $crate::config::value::Value) -> Option<Self> {
                // Does not compile while a variant has no word.
                const _: fn(&$type$(<$argument>)?) = |value| match value {
                    $($type::$variant => (),)+
                    $($type::$other(_) => (),)?
                };
                use $crate::config::value::Value;
                match value {
                    $(Value::Word($($word)|+) => Some(Self::$variant),)+
                    _other => None$(.or(<$inner>::from_value(_other).map(Self::$other)))?,
                }
            }
        }
    };
}
pub(super) use words;

impl<T: Field> Field for Option<T> {
    const WORDS: &'static [&'static str] = if T::NONE.is_empty() { T::WORDS } else { T::NONE };
    const SECRET: bool = T::SECRET;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Word(word) if T::NONE.contains(&word) => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// Types that are made of one kind of value.
macro_rules! made_of {
    ($($type:ty: $value:pat => $field:expr;)+) => {
        $(impl Field for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $value => $field,
                    _ => None,
                }
            }
        })+
    };
}

made_of! {
    u8: Value::Number(n) => n.try_into().ok();
    u16: Value::Number(n) => n.try_into().ok();
    u32: Value::Number(n) => n.try_into().ok();
    u64: Value::Number(n) => Some(n);
    usize: Value::Number(n) => n.try_into().ok();
    String: Value::Text(text) => Some(text);
    Vec<String>: Value::Command(words) => Some(words);
    Vec<u8>: Value::Octets(octets) => Some(octets.to_vec());
    [u8; 4]: Value::RouterId(id) => Some(id);
    [u8; 6]: Value::Mac(mac) => Some(mac);
}

/// A flag, or `on` and `off`.
impl Field for bool {
    const WORDS: &'static [&'static str] = &["on", "off"];

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Flag | Value::Word("on") => Some(true),
            Value::Word("off") => Some(false),
            _ => None,
        }
    }
}

/// Whole seconds, or seconds with decimals.
impl Field for Duration {
    const NONE: &'static [&'static str] = &["none"];

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Number(seconds) => Some(Duration::from_secs(seconds)),
            Value::Time(time) => Some(time),
            _ => None,
        }
    }
}

impl Field for IpAddr {
    const NONE: &'static [&'static str] = &["auto"];

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Address(address) => Some(address),
            _ => None,
        }
    }
}

impl Field for Secret {
    const SECRET: bool = true;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Octets(octets) => Some(Secret::new(&octets)),
            _ => None,
        }
    }
}

/// Secret as well: a cookie guards against frames that are sent blindly.
impl Field for Cookie {
    const SECRET: bool = true;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Cookie(cookie) => Some(cookie),
            _ => None,
        }
    }
}
