//! Text from the peer, made fit for the log.

/// The most octets of a peer's text that one line of the log shows.
const ESCAPE_LIMIT: usize = 64;

/// Text from the peer, made fit for a terminal and for one line: control characters and octets that are not
/// UTF-8 become `\n`, `\x1b` and the like, and no more than 64 octets of it are shown.
pub fn escape(octets: &[u8]) -> String {
    let shown = &octets[..octets.len().min(ESCAPE_LIMIT)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if is_deceptive(c) => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    if shown.len() < octets.len() {
        text.push_str("...");
    }
    text
}

/// Characters that must not reach a terminal: control characters, and those that turn the direction of writing or
/// join invisibly. They can make a line read as another one.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
