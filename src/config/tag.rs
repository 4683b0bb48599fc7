//! What is known of a tag, and how its row names the field that it sets. The rows stand beside the fields, in
//! [`model`](super::model).

use super::error::Fault;
use super::field::Field;
use super::lex::{self, Word};
use super::value::{self, Kind, Refusal, Value};

/// The kind of block that a tag stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// Before the first tunnel.
    Global,
    /// After `tunnel NAME`.
    Tunnel,
    /// After `session IFNAME`.
    Session,
}

/// What holds where a tag is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// The same as with these parameters.
    As(&'static str),
    /// What these words say.
    Text(&'static str),
}

/// When a new value of a tag takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At once, without a message to the peer: both ends go on as before with it.
    Live,
    /// With a new set-up of the tunnel or session: the peer was told the old one, or it decides who the peer is.
    SetUp,
    /// With the next start of the daemon.
    Start,
    /// As the inheriting tag of the same name (or that with `local-`) in the blocks below does.
    Inherited,
}

/// What is known of a tag.
#[derive(Debug, Clone, Copy)]
pub struct Tag {
    /// The tag as it is written.
    pub name: &'static str,
    /// Where it stands.
    pub block: Block,
    /// The words that may stand as parameter.
    pub words: &'static [&'static str],
    /// What its parameters must look like otherwise.
    pub kind: Kind,
    /// What holds where the tag is not given.
    pub default: Unset,
    /// When a new value takes effect.
    pub effect: Effect,
    /// The parameter is never printed.
    pub secret: bool,
    /// It may stand several times in a block.
    pub repeats: bool,
}

impl Tag {
    /// What is allowed, in words.
    pub fn allowed(&self) -> String {
        self.kind.allowed(self.words)
    }

    /// Reads parameters, whose number fits the kind.
    pub fn read(&self, params: &[Word]) -> Result<Value, Refusal> {
        value::read(self.kind, self.words, params)
    }
}

/// A row of the table: a tag, and the field of a block (`Config`, `Tunnel` or `Session`) that it sets.
pub struct Row<B> {
    /// What the manual says of it.
    pub tag: Tag,
    /// Sets the field; `false` for a value that the field cannot have.
    pub set: fn(&mut B, Value) -> bool,
    /// Whether two blocks have different values in the field.
    pub differs: fn(&B, &B) -> bool,
    /// The field as a text that another value does not have; secrets excepted, which nothing shows.
    pub text: fn(&B) -> String,
}

impl<B> Row<B> {
    /// Reads parameters, whose number fits the kind, into the field.
    pub fn apply(&self, block: &mut B, params: &[Word]) -> Result<(), Refusal> {
        let value = self.tag.read(params)?;
        match (self.set)(block, value) {
            true => Ok(()),
            false => Err(Refusal { fault: Fault::InvalidValue, at: 0, reason: None }),
        }
    }
}

/// A block in which every tag has its default.
pub fn defaults<B: Default>(rows: &[Row<B>]) -> B {
    let mut block = B::default();
    for row in rows {
        if let Unset::As(text) = row.tag.default {
            let result = row.apply(&mut block, &lex::words(text.as_bytes()).words);
            debug_assert!(result.is_ok(), "the default of {}", row.tag.name);
        }
    }
    block
}

/// A tag that opens a block. It has no row: its parameter is the block's name.
pub const fn header(name: &'static str, block: Block, kind: Kind) -> Tag {
    let (words, default, effect) = (&[], Unset::Text(""), Effect::SetUp);
    Tag { name, block, words, kind, default, effect, secret: false, repeats: false }
}

/// The words of a field's type, whether it is secret, and whether it may stand several times: for its row.
pub const fn of_type<B, T: Field>(_: fn(&B) -> &T) -> (&'static [&'static str], bool, bool) {
    (T::WORDS, T::SECRET, T::REPEATS)
}

/// Whether a default that has to be one of the words is one.
pub const fn is_word(mut words: &[&str], kind: Kind, default: Unset) -> bool {
    let (Kind::Word, Unset::As(text)) = (kind, default) else { return true };
    while let [first, rest @ ..] = words {
        if same(first.as_bytes(), text.as_bytes()) {
            return true;
        }
        words = rest;
    }
    false
}

const fn same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, after_a @ ..], [b, after_b @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (after_a, after_b);
    }
    one.is_empty() && other.is_empty()
}

/// Rows, written `"name" field, kind, effect, default;`. A default that is no word of the field does not compile.
macro_rules! rows {
    (
        $block:ident, $place:expr;
        $($name:literal $field:ident, $kind:expr, $effect:expr, $default:expr;)*
    ) => {
        &[$($crate::config::tag::Row {
            tag: {
                let (words, secret, repeats) = $crate::config::tag::of_type(|block: &$block| &block.$field);
                assert!($crate::config::tag::is_word(words, $kind, $default));
                let words = if matches!($kind, Kind::Flag) { &[] } else { words };
                $crate::config::tag::Tag {
                    name: $name,
                    block: $place,
                    words,
                    kind: $kind,
                    default: $default,
                    effect: $effect,
                    secret,
                    repeats,
                }
            },
            set: |block: &mut $block, value| {
                $crate::config::field::Field::put(&mut block.$field, value)
            },
            differs: |old: &$block, new: &$block| old.$field != new.$field,
            text: |block: &$block| format!("{:?}", block.$field),
        },)*]
    };
}
pub(super) use rows;
