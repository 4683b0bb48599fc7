//! State that one program hands to the next one: each object writes and reads itself, beside the struct that it belongs
//! to, with a line of `saved!` where all that there is to it is its fields. A new field has to be named there, or the
//! program does not compile.
//!
//! What is read need not be what this program would have written. Each object begins with a number that is made of its
//! name and the names of its fields; a program whose objects have others finds that out at the first of them. The whole
//! has a length and a digest, so that nothing is read that was cut off or damaged.
//!
//! Reading does not stop at what is wrong: from there on everything is zero, and the reader knows why, like a `FILE` of C.
//! Who reads has to ask it in the end, before the values are used.
//!
//! Points in time are written as what lies between them and one moment that both programs know.

mod values;

use std::fmt;
use std::time::Instant;

use md5::{Digest, Md5};

use crate::wiped::Wiped;

/// What all saved state begins with. The number is raised when something comes to mean another thing without a change
/// of names.
const MAGIC: &[u8] = b"l2tpd state 1\n";
/// Octets of the digest.
const DIGEST: usize = 16;

/// Why state cannot be taken over, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// There is less than there should be, or a value that cannot be.
const DAMAGED: Broken = Broken("the state is damaged");

/// Octets that state is written to. They may hold secrets.
#[derive(Debug)]
pub struct Writer {
    octets: Wiped,
    moment: Instant,
}

impl Writer {
    /// Points in time are reckoned from this `moment`.
    pub fn new(moment: Instant) -> Writer {
        Writer::with_capacity(moment, 64 * 1024)
    }

    /// The same, for so many octets or a few more.
    pub fn with_capacity(moment: Instant, octets: usize) -> Writer {
        Writer { octets: Wiped::with_capacity(octets), moment }
    }

    /// Adds octets as they are.
    pub fn put(&mut self, octets: &[u8]) {
        self.octets.extend(octets);
    }

    /// An object of this tag begins.
    pub fn tag(&mut self, tag: u32) {
        self.put(&tag.to_be_bytes());
    }

    /// What was written, as it is.
    pub fn plain(self) -> Wiped {
        self.octets
    }

    /// All that was written, with length and digest.
    pub fn finish(self) -> Wiped {
        let length = self.octets.len() as u64;
        let mut whole = Wiped::with_capacity(self.octets.len().saturating_add(64));
        whole.extend(MAGIC);
        whole.extend(&length.to_be_bytes());
        whole.extend(&Md5::digest(&*self.octets));
        whole.extend(&self.octets);
        whole
    }
}

/// Octets that state is read from.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    moment: Instant,
    broken: Option<Broken>,
}

impl<'a> Reader<'a> {
    /// Reads what [`Writer::finish`] has made. `moment` is that of the writer.
    pub fn new(whole: &'a [u8], moment: Instant) -> Result<Reader<'a>, Broken> {
        let rest = whole.strip_prefix(MAGIC).ok_or(Broken("it is not the state of this l2tpd"))?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let (digest, rest) = rest.split_first_chunk::<DIGEST>().ok_or(DAMAGED)?;
        let whole = usize::try_from(u64::from_be_bytes(*length)).is_ok_and(|length| length == rest.len());
        match whole && Md5::digest(rest).as_slice() == digest {
            true => Ok(Reader::unchecked(rest, moment)),
            false => Err(DAMAGED),
        }
    }

    /// Reads octets for which something else vouches, or nothing.
    pub fn unchecked(octets: &'a [u8], moment: Instant) -> Reader<'a> {
        Reader { rest: octets, moment, broken: None }
    }

    /// The moment that points in time are reckoned from.
    pub fn moment(&self) -> Instant {
        self.moment
    }

    /// Something is wrong: nothing more is read. The result is what was wrong first.
    pub fn refuse(&mut self, why: &'static str) -> Broken {
        self.rest = &[];
        *self.broken.get_or_insert(Broken(why))
    }

    /// There is less than there should be, or a value that cannot be.
    fn damaged(&mut self) {
        self.refuse(DAMAGED.0);
    }

    /// The next octets.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            self.damaged();
            return &[];
        };
        self.rest = rest;
        taken
    }

    /// The next octets as an array.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        <[u8; N]>::try_from(self.take(N)).unwrap_or([0; N])
    }

    /// An object of this tag is to begin.
    pub fn tag(&mut self, tag: u32) {
        self.tag_of_two(tag, tag);
    }

    /// An object is to begin that has the first tag in an older version, and the second one in this; whether it is older.
    pub fn tag_of_two(&mut self, older: u32, newer: u32) -> bool {
        let tag = u32::restore(self);
        if tag != older && tag != newer {
            self.refuse("the state is that of another version, which has other objects");
        }
        tag == older && tag != newer
    }

    /// What was read so far is what was written.
    pub fn sound(&self) -> Result<(), Broken> {
        self.broken.map_or(Ok(()), Err)
    }

    /// The same, and nothing may be left.
    pub fn end(&mut self) -> Result<(), Broken> {
        if !self.rest.is_empty() {
            self.damaged();
        }
        self.sound()
    }

    /// Some parts that were written one after the other, after their number. Memory is needed only for those that are
    /// there.
    fn parts<T: Saved, C: Default>(&mut self, mut add: impl FnMut(&mut C, T)) -> C {
        let count = usize::restore(self);
        let mut all = C::default();
        for _ in 0..count {
            // What takes no octets would let a number make us go on without end.
            if self.rest.is_empty() {
                self.damaged();
                break;
            }
            add(&mut all, T::restore(self));
        }
        all
    }
}

/// State that writes and reads itself.
pub trait Saved: Sized {
    /// Writes all of it.
    fn save(&self, to: &mut Writer);
    /// Reads what [`save`](Saved::save) has written.
    fn restore(from: &mut Reader<'_>) -> Self;
}

/// The number of a name: FNV-1a of 32 bits, without blanks.
pub const fn tag(name: &str) -> u32 {
    let octets = name.as_bytes();
    let (mut hash, mut at) = (0x811c_9dc5_u32, 0);
    while at < octets.len() {
        if octets[at] != b' ' && octets[at] != b'\n' {
            hash = (hash ^ octets[at] as u32).wrapping_mul(0x0100_0193);
        }
        at += 1;
    }
    hash
}

/// Has a type write and read all of its fields, in this order; what is `given` is not written, and an argument of
/// `restore_with`. Or an enum its variants. What was `added` since the version before may be missing: then it is as by
/// default, so that a newer program goes on with the state of an older one.
///
/// With braces around whole types it defines them, too, so that each field or variant stands in one place; what is
/// `given` or `added` follows in braces of its own, and the fields of a variant have names.
macro_rules! saved {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::saved::Saved for $type {
            fn save(&self, to: &mut $crate::saved::Writer) {
                let Self { $($field),* } = self;
                to.tag(const { $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field)),*)) });
                $($crate::saved::Saved::save($field, to);)*
            }

            fn restore(from: &mut $crate::saved::Reader<'_>) -> Self {
                from.tag(const { $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field)),*)) });
                Self { $($field: $crate::saved::Saved::restore(from)),* }
            }
        }
    };
    ($type:ident { $($field:ident),* $(,)? } given { $($given:ident: $kind:ty),* $(,)? }) => {
        impl $type {
            /// Writes it, all but what is given to the one who reads it.
            pub(crate) fn save(&self, to: &mut $crate::saved::Writer) {
                let Self { $($field),*, $($given: _),* } = self;
                to.tag(const { $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field)),*)) });
                $($crate::saved::Saved::save($field, to);)*
            }

            /// Reads it; the rest is given.
            pub(crate) fn restore_with(
                from: &mut $crate::saved::Reader<'_>,
                $($given: $kind),*
            ) -> Self {
                from.tag(const { $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field)),*)) });
                Self { $($field: $crate::saved::Saved::restore(from),)* $($given),* }
            }
        }
    };
    ($type:ident { $($field:ident),* $(,)? } added { $($new:ident),* $(,)? }) => {
        impl $crate::saved::Saved for $type {
            fn save(&self, to: &mut $crate::saved::Writer) {
                let Self { $($field),*, $($new),* } = self;
                to.tag(const {
                    $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field),)* $(".", stringify!($new)),*))
                });
                $($crate::saved::Saved::save($field, to);)*
                $($crate::saved::Saved::save($new, to);)*
            }

            fn restore(from: &mut $crate::saved::Reader<'_>) -> Self {
                let older = from.tag_of_two(
                    const { $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field)),*)) },
                    const {
                        $crate::saved::tag(concat!(stringify!($type), $(".", stringify!($field),)* $(".", stringify!($new)),*))
                    },
                );
                $(let $field = $crate::saved::Saved::restore(from);)*
                $(let $new = if older { Default::default() } else { $crate::saved::Saved::restore(from) };)*
                Self { $($field),*, $($new),* }
            }
        }
    };
    (tuple $type:ident($($field:ident),*)) => {
        impl $crate::saved::Saved for $type {
            fn save(&self, to: &mut $crate::saved::Writer) {
                let Self($($field),*) = self;
                $($crate::saved::Saved::save($field, to);)*
            }

            fn restore(from: &mut $crate::saved::Reader<'_>) -> Self {
                $(let $field = $crate::saved::Saved::restore(from);)*
                Self($($field),*)
            }
        }
    };
    (enum $type:ident { $($name:ident $(($($field:ident),*))?),* $(,)? }) => {
        impl $crate::saved::Saved for $type {
            fn save(&self, to: &mut $crate::saved::Writer) {
                match self {
                    $(Self::$name $(($($field),*))? => {
                        to.tag(const { $crate::saved::tag(stringify!($name)) });
                        $($($crate::saved::Saved::save($field, to);)*)?
                    })*
                }
            }

            fn restore(from: &mut $crate::saved::Reader<'_>) -> Self {
                let mut tag: u32 = $crate::saved::Saved::restore(from);
                loop {
                    $(if tag == const { $crate::saved::tag(stringify!($name)) } {
                        $($(let $field = $crate::saved::Saved::restore(from);)*)?
                        return Self::$name $(($($field),*))?;
                    })*
                    from.refuse("the state is that of another version, which has other values");
                    tag = const { [$($crate::saved::tag(stringify!($name))),*][0] };
                }
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis struct $type:ident {
        $($(#[$doc:meta])* $sees:vis $field:ident: $kind:ty),* $(,)?
    } $part:ident {
        $($(#[$other_doc:meta])* $other_sees:vis $other:ident: $other_kind:ty),* $(,)?
    } $($rest:tt)*) => {
        $(#[$meta])*
        $vis struct $type {
            $($(#[$doc])* $sees $field: $kind,)*
            $($(#[$other_doc])* $other_sees $other: $other_kind,)*
        }
        saved!(@$part $type { $($field),* } { $($other: $other_kind),* });
        saved!($($rest)*);
    };
    ($(#[$meta:meta])* $vis:vis struct $type:ident {
        $($(#[$doc:meta])* $sees:vis $field:ident: $kind:ty),* $(,)?
    } $($rest:tt)*) => {
        $(#[$meta])*
        $vis struct $type {
            $($(#[$doc])* $sees $field: $kind,)*
        }
        saved!($type { $($field),* });
        saved!($($rest)*);
    };
    ($(#[$meta:meta])* $vis:vis enum $type:ident {
        $($(#[$doc:meta])* $name:ident $(($($field:ident: $kind:ty),*))?),* $(,)?
    } $($rest:tt)*) => {
        $(#[$meta])*
        $vis enum $type {
            $($(#[$doc])* $name $(($($kind),*))?,)*
        }
        saved!(enum $type { $($name $(($($field),*))?),* });
        saved!($($rest)*);
    };
    (@given $type:ident { $($field:ident),* } $given:tt) => {
        saved!($type { $($field),* } given $given);
    };
    (@added $type:ident { $($field:ident),* } { $($new:ident: $kind:ty),* }) => {
        saved!($type { $($field),* } added { $($new),* });
    };
    () => {};
}
pub(crate) use saved;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::sys::clock;

    saved! {
        #[derive(Debug, PartialEq, Eq)]
        enum Kind {
            Plain,
            With(number: u16, text: String),
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Thing {
        kinds: Vec<Kind>,
        at: Option<Instant>,
        ends: BTreeMap<SocketAddr, (bool, Duration)>,
        octets: [u8; 3],
    }
    saved!(Thing { kinds, at, ends, octets });

    fn thing(now: Instant) -> Thing {
        let ends = ["192.0.2.1:1701", "[fe80::1%7]:0", "[2001:db8::1]:9"].map(|end| end.parse().unwrap());
        Thing {
            kinds: vec![Kind::With(65_535, "\u{e9}".to_owned()), Kind::Plain],
            at: Some(now - Duration::from_nanos(1_500_000_001)),
            ends: ends.into_iter().map(|end| (end, (true, Duration::MAX))).collect(),
            octets: [1, 2, 255],
        }
    }

    /// What is read, or why it is of no use.
    fn read<T: Saved>(mut from: Reader<'_>) -> Result<T, Broken> {
        let value = T::restore(&mut from);
        from.end().map(|()| value)
    }

    fn saved_octets(now: Instant) -> Wiped {
        let mut writer = Writer::new(now);
        thing(now).save(&mut writer);
        writer.finish()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let now = clock::now();
        let octets = saved_octets(now);
        // The reader's clock shows something else at that moment.
        let there = now + Duration::from_secs(77);
        let mut expected = thing(now);
        expected.at = Some(there - Duration::from_nanos(1_500_000_001));
        assert_eq!(read(Reader::new(&octets, there).unwrap()), Ok(expected));
    }

    #[test]
    fn what_is_torn_or_damaged_is_not_read() {
        let now = clock::now();
        let octets = saved_octets(now);
        for end in 0..octets.len() {
            assert!(Reader::new(&octets[..end], now).is_err(), "{end}");
        }
        for at in 0..octets.len() {
            let mut damaged = octets.to_vec();
            damaged[at] ^= 1 << (at % 8);
            assert!(Reader::new(&damaged, now).is_err(), "{at}");
        }
        let longer = [&octets[..], &[0]].concat();
        assert!(Reader::new(&longer, now).is_err());
    }

    #[test]
    fn nothing_that_is_read_does_harm() {
        let now = clock::now();
        let mut writer = Writer::new(now);
        thing(now).save(&mut writer);
        let octets = writer.octets.to_vec();
        for at in 0..octets.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = octets.clone();
                damaged[at] = value;
                let _ = Thing::restore(&mut Reader::unchecked(&damaged, now));
                let _ = Thing::restore(&mut Reader::unchecked(&damaged[at..], now));
            }
        }
        // A number of things that are not there.
        let mut many = u64::MAX.to_be_bytes().to_vec();
        many.push(1);
        assert_eq!(read::<Vec<u64>>(Reader::unchecked(&many, now)), Err(DAMAGED));
    }

    #[test]
    fn an_older_object_lacks_what_was_added() {
        saved! {
            #[derive(Debug, PartialEq)]
            struct Grown {
                first: u16,
                second: String,
            } added {
                third: Option<u8>,
            }
        }
        let now = clock::now();
        let whole = Grown { first: 7, second: "x".to_owned(), third: Some(9) };
        let mut to = Writer::new(now);
        whole.save(&mut to);
        let octets = to.finish();
        assert_eq!(read(Reader::new(&octets, now).unwrap()), Ok(whole));
        // As a program has written it that knew of the first two alone.
        let mut to = Writer::new(now);
        to.tag(tag("Grown.first.second"));
        (7u16, "x".to_owned()).save(&mut to);
        let octets = to.finish();
        let older = Grown { first: 7, second: "x".to_owned(), third: None };
        assert_eq!(read(Reader::new(&octets, now).unwrap()), Ok(older));
        // That program refuses what this one writes.
        let mut to = Writer::new(now);
        Grown { first: 7, second: String::new(), third: None }.save(&mut to);
        let octets = to.finish();
        let mut from = Reader::new(&octets, now).unwrap();
        from.tag(tag("Grown.first.second"));
        assert!(from.sound().unwrap_err().0.contains("another version"));
    }

    #[test]
    fn other_objects_are_told_by_their_names() {
        #[derive(Debug, PartialEq)]
        struct Later {
            kinds: Vec<Kind>,
            at: Option<Instant>,
        }
        saved!(Later { kinds, at });
        let now = clock::now();
        let octets = saved_octets(now);
        let Broken(why) = read::<Later>(Reader::new(&octets, now).unwrap()).unwrap_err();
        assert!(why.contains("another version"), "{why}");
        // What comes first is told, not what follows from it.
        let mut from = Reader::new(&octets, now).unwrap();
        assert_eq!(<(Later, Vec<Kind>)>::restore(&mut from).1, []);
        assert_eq!(from.refuse("something else"), Broken(why));
    }
}
