//! How wide text is on a terminal. The library's wcwidth(3) would ask the locale, which need not be that of the terminal.

/// Characters that take no column: they are put onto the one before.
const NONE: &[(u32, u32)] = &[
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x0900, 0x0902),
    (0x0e31, 0x0e31),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x20d0, 0x20ff),
    (0x302a, 0x302d),
    (0x3099, 0x309a),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0x1f3fb, 0x1f3ff),
    (0xe0100, 0xe01ef),
];

/// Characters that take two columns: East Asian Wide and Fullwidth (Unicode Standard Annex 11), in round figures.
const TWO: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x26a1, 0x26a1),
    (0x2705, 0x2705),
    (0x274c, 0x274c),
    (0x2e80, 0x303e),
    (0x3041, 0xa4cf),
    (0xa960, 0xa97c),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60),
    (0xffe0, 0xffe6),
    (0x16fe0, 0x18cff),
    (0x1b000, 0x1b2ff),
    (0x1f004, 0x1f004),
    (0x1f0cf, 0x1f0cf),
    (0x1f18e, 0x1f19a),
    (0x1f200, 0x1f320),
    (0x1f32d, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f900, 0x1faff),
    (0x20000, 0x3fffd),
];

fn of_char(c: char) -> usize {
    let is_in = |table: &[(u32, u32)]| table.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)));
    match c {
        '\0'..='\u{2ff}' => 1,
        _ if is_in(NONE) => 0,
        _ if is_in(TWO) => 2,
        _ => 1,
    }
}

/// Columns that the text takes. It has no control characters.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(of_char).sum()
}

/// As much of the text as fits; `>` at its end says that there is more.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += of_char(c);
        if taken > room {
            break;
        }
        out.push(c);
    }
    out.push('>');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_take_the_columns_that_they_take() {
        assert_eq!(width("tokyo"), 5);
        assert_eq!(width("東京"), 4);
        assert_eq!(width("e\u{301}"), 1, "a letter and its accent");
        assert_eq!(width("한국 ＡＢ 🚀"), 12);
    }

    #[test]
    fn what_is_cut_fits_and_says_so() {
        for text in ["tokyo-osaka", "東京大阪", "ae\u{301}e\u{301}e\u{301}e\u{301}", "a東b京c"] {
            for columns in 0..12 {
                let shown = cut(text, columns);
                assert!(width(&shown) <= columns, "{shown:?} in {columns}");
                assert_eq!(shown == text, width(text) <= columns, "{shown:?} in {columns}");
            }
        }
        assert_eq!(cut("東京大阪", 6), "東京>", "no half character");
    }
}
