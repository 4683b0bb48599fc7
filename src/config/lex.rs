//! Lines of octets -> words with their place. Words are separated by blanks; `#` at the start of a word begins a
//! comment; `"..."` quotes a word, with `\"` and `\\` inside. Knows nothing of tags, and any octets may come in.

use crate::wiped::Wiped;

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it begins: 1 is the first octet of the line.
    pub column: usize,
    /// Its octets, without quotes and backslashes. They may be a password.
    pub octets: Wiped,
}

/// What is wrong with the quoting of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexError {
    /// Where: 1 is the first octet of the line.
    pub column: usize,
    /// What, in words.
    pub text: &'static str,
}

/// The words of a line up to the first mistake, and the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The words, the one with the mistake included as far as it goes.
    pub words: Vec<Word>,
    /// Where the quoting goes wrong first.
    pub error: Option<LexError>,
}

/// Where the first line of a file begins: a byte order mark is skipped.
pub fn begin(text: &[u8]) -> usize {
    let mark = b"\xef\xbb\xbf";
    if text.starts_with(mark) {
        mark.len()
    } else {
        0
    }
}

/// The first line, and how many octets it takes with its end, if another one follows. A line ends with LF or CR LF.
pub fn first_line(text: &[u8]) -> (&[u8], Option<usize>) {
    let end = text.iter().position(|&o| o == b'\n');
    let line = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    (line.strip_suffix(b"\r").unwrap_or(line), end.map(|end| end.saturating_add(1)))
}

/// Cuts a line (without its end) into words.
pub fn words(line: &[u8]) -> SourceLine {
    let mut found = SourceLine { words: Vec::new(), error: None };
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        let column = line.len() - rest.len() + 1;
        let result = match rest.first() {
            None | Some(b'#') => return found,
            Some(b'"') => quoted(rest),
            Some(_) => bare(rest),
        };
        found.words.push(Word { column, octets: result.octets });
        if let Some(text) = result.error {
            found.error = Some(LexError { column: column + result.length, text });
            return found;
        }
        rest = rest.get(result.length..).unwrap_or_default();
    }
}

/// A word that was cut off the front of a line.
struct Token {
    octets: Wiped,
    /// Octets of the line that it takes; with an error, those before it.
    length: usize,
    error: Option<&'static str>,
}

/// A word without quotes: ends at a blank; a `#` in it is part of it, as passwords may have one. A quote in its
/// middle is a mistake, so that nobody has to know how such a word would be read.
fn bare(rest: &[u8]) -> Token {
    let length = rest.iter().position(|&o| o.is_ascii_whitespace() || o == b'"').unwrap_or(rest.len());
    let octets = Wiped::from(rest.get(..length).unwrap_or_default());
    let error = (rest.get(length) == Some(&b'"'))
        .then_some("a quote in the middle of a word: quotes go around the whole parameter");
    Token { octets, length, error }
}

/// A quoted word; `rest` begins with the quote.
fn quoted(rest: &[u8]) -> Token {
    // As far as it can go, so that it need not move.
    let mut octets = Wiped::with_capacity(closing_quote(rest));
    let mut inside = rest.iter().enumerate().skip(1);
    while let Some((at, &octet)) = inside.next() {
        match octet {
            b'"' => {
                let length = at + 1;
                let error = rest
                    .get(length)
                    .is_some_and(|o| !o.is_ascii_whitespace())
                    .then_some("text right after a closing quote: quotes go around the whole parameter");
                return Token { octets, length, error };
            }
            b'\\' => match inside.next() {
                Some((_, &escaped @ (b'"' | b'\\'))) => octets.extend(&[escaped]),
                _ => {
                    let error = Some("a backslash in quotes stands before \" or \\ only");
                    return Token { octets, length: at, error };
                }
            },
            other => octets.extend(&[other]),
        }
    }
    Token { octets, length: 0, error: Some("this quote is not closed on its line") }
}

/// Where the next quote that no backslash precedes stands, or the end.
fn closing_quote(rest: &[u8]) -> usize {
    let mut escaped = false;
    let closes = |&octet: &u8| {
        let closes = octet == b'"' && !escaped;
        escaped = octet == b'\\' && !escaped;
        closes
    };
    rest.iter().skip(1).position(closes).map_or(rest.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<(usize, String)> {
        let line = words(line.as_bytes());
        assert_eq!(line.error, None);
        line.words.into_iter().map(|w| (w.column, String::from_utf8(w.octets.to_vec()).unwrap())).collect()
    }

    #[test]
    fn words_know_their_column_and_comments_end_a_line() {
        assert_eq!(texts("  retry\t10 # as at home"), [(3, "retry".into()), (9, "10".into())]);
        assert_eq!(texts("password abc#def #x"), [(1, "password".into()), (10, "abc#def".into())]);
        assert_eq!(texts("retry 10 #x"), [(1, "retry".into()), (7, "10".into())]);
        assert_eq!(texts(" # nothing"), []);
        assert_eq!(texts(""), []);
    }

    #[test]
    fn quotes_keep_blanks_hashes_and_escapes() {
        let expected = [(1, "password".into()), (10, "a # \"b\\".into()), (22, String::new())];
        assert_eq!(texts(r#"password "a # \"b\\" "" "#), expected);
        assert_eq!(
            texts(r"path C:\n"),
            [(1, "path".into()), (6, r"C:\n".into())],
            "outside quotes a backslash is text"
        );
    }

    #[test]
    fn mistakes_in_quoting_are_placed() {
        let column = |line: &str| words(line.as_bytes()).error.map(|e| e.column);
        assert_eq!(column(r#"password "abc"#), Some(10));
        assert_eq!(column(r#"password "abc\"#), Some(14));
        assert_eq!(column(r#"password "a\n""#), Some(12));
        assert_eq!(column(r#"password "a"b"#), Some(13));
        assert_eq!(column(r#"password a"b""#), Some(11));
        assert_eq!(column("password \"a\"#b"), Some(13));
        assert_eq!(column("password \"a\" #b"), None);
    }

    #[test]
    fn lines_end_in_lf_or_crlf() {
        let text = b"\xef\xbb\xbfa\r\nb\n\nc";
        let (mut next, mut found) = (Some(begin(text)), Vec::new());
        while let Some(at) = next {
            let (line, length) = first_line(&text[at..]);
            found.push(line);
            next = length.map(|length| at + length);
        }
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!((begin(b"a"), first_line(b"")), (0, (&b""[..], None)));
    }
}
