//! How JSON is written.

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::log::is_deceptive;

/// Appends `text` as a JSON string. Characters that must not reach a terminal ([`is_deceptive`]) are written
/// as `\u....`: the output is safe on a terminal too.
pub(super) fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if is_deceptive(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// An object that is being written.
pub(super) struct Object<'a> {
    pub(super) out: &'a mut String,
    pub(super) begun: bool,
}

/// Begins an object; whoever ends it appends the brace.
pub(super) fn begin(out: &mut String) -> Object<'_> {
    out.push('{');
    Object { out, begun: false }
}

/// Appends an object whose members `fill` writes.
pub(super) fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    fill(&mut begin(out));
    out.push('}');
}

/// An object in a line of its own.
pub(super) fn line(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    object(&mut out, fill);
    out.push('\n');
    out
}

/// Appends an array with one element for each item.
pub(super) fn array<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut element: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        element(out, item);
    }
    out.push(']');
}

impl Object<'_> {
    /// Begins a member; its value is to be appended to what this returns.
    pub(super) fn member(&mut self, name: &str) -> &mut String {
        if self.begun {
            self.out.push(',');
        }
        self.begun = true;
        put_string(self.out, name);
        self.out.push(':');
        self.out
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        put_string(self.member(name), value);
    }

    /// A member whose value's text is JSON already: a number or a truth value.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.member(name), "{value}");
    }

    pub(super) fn seconds(&mut self, name: &str, value: Duration) {
        self.plain(name, format_args!("{}.{:03}", value.as_secs(), value.subsec_millis()));
    }

    /// The same to the microsecond.
    pub(super) fn fine_seconds(&mut self, name: &str, value: Duration) {
        self.plain(name, format_args!("{}.{:06}", value.as_secs(), value.subsec_micros()));
    }

    pub(super) fn optional<T>(&mut self, name: &str, value: Option<T>, put: impl FnOnce(&mut Self, &str, T)) {
        match value {
            Some(value) => put(self, name, value),
            None => self.plain(name, "null"),
        }
    }

    pub(super) fn optional_text(&mut self, name: &str, value: Option<impl Display>) {
        self.optional(name, value, |object, name, value| object.text(name, &value.to_string()));
    }

    pub(super) fn optional_plain(&mut self, name: &str, value: Option<impl Display>) {
        self.optional(name, value, Object::plain);
    }

    /// An id: 0 stands for "not known yet".
    pub(super) fn id(&mut self, name: &str, value: u32) {
        self.optional_plain(name, (value != 0).then_some(value));
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        entries: impl Iterator<Item = (&'static str, &'static str, u64)>,
    ) {
        object(self.member(name), |object| {
            for (name, _, value) in entries {
                object.plain(name, value);
            }
        });
    }
}
