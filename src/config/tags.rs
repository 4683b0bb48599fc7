//! The table of all tags. The manual pages and the example file are tested against it.

use super::alike;
use super::model::{GLOBAL, SESSION, SESSION_HEADER, TUNNEL, TUNNEL_HEADER};
use super::tag::{Block, Tag};

/// All tags, in the order of the manual.
pub fn all() -> impl Iterator<Item = &'static Tag> {
    let global = GLOBAL.iter().map(|row| &row.tag).chain([&TUNNEL_HEADER]);
    let tunnel = TUNNEL.iter().map(|row| &row.tag).chain([&SESSION_HEADER]);
    let session = SESSION.iter().map(|row| &row.tag);
    global.chain(tunnel).chain(session)
}

/// The tag `name` of a block.
pub fn find(block: Block, name: &[u8]) -> Option<&'static Tag> {
    all().find(|t| t.block == block && t.name.as_bytes() == name)
}

/// The known tag nearest to `name`, if one is like it: those of `block` first, then the others.
pub fn nearest(block: Block, name: &[u8]) -> Option<&'static str> {
    let tags = |here: bool| all().filter(move |tag| (tag.block == block) == here).map(|tag| tag.name);
    alike::nearest(name, tags(true).chain(tags(false)))
}

#[cfg(test)]
mod tests {
    use super::super::lex;
    use super::super::tag::{Row, Unset};
    use super::super::value::Kind;
    use super::*;

    #[test]
    fn the_nearest_tag_is_the_one_that_was_meant() {
        assert_eq!(nearest(Block::Tunnel, b"hello-intervall"), Some("hello-interval"));
        assert_eq!(nearest(Block::Tunnel, b"HOSTNAME"), Some("hostname"));
        assert_eq!(nearest(Block::Global, b"tunel"), Some("tunnel"));
        assert_eq!(nearest(Block::Session, b"remote-endid"), Some("remote-end-id"));
        for unlike in [&b"}"[..], b"secret", &[b'x'; 1 << 20]] {
            assert_eq!(nearest(Block::Session, unlike), None);
        }
    }

    /// What a row allows, its field can have: each word, both ends of a range, and the default.
    fn check<B: Default>(rows: &[Row<B>]) {
        for row in rows {
            let takes = |text: &str| {
                let result = row.apply(&mut B::default(), &lex::words(text.as_bytes()).words);
                assert_eq!(result, Ok(()), "{} {text}", row.tag.name);
            };
            row.tag.words.iter().for_each(|word| takes(word));
            if let Kind::Number(min, max) = row.tag.kind {
                takes(&min.to_string());
                takes(&max.to_string());
            }
            if let Unset::As(text) = row.tag.default {
                takes(text);
            }
            assert!(row.tag.kind != Kind::Word || !row.tag.words.is_empty(), "{}", row.tag.name);
        }
    }

    #[test]
    fn every_field_takes_what_its_row_allows() {
        check(GLOBAL);
        check(TUNNEL);
        check(SESSION);
    }

    #[test]
    fn no_tag_stands_twice_in_a_block() {
        for (i, tag) in all().enumerate() {
            let twin = all().skip(i + 1).find(|t| t.name == tag.name && t.block == tag.block);
            assert!(twin.is_none(), "{}", tag.name);
        }
    }
}
