//! What somebody meant who wrote a name that does not exist.

/// The one of `known` that is nearest to `name`: fewest letters changed, upper and lower case being the same; of
/// several, the first. `None`: none is like it, more than half of the letters differ.
pub fn nearest<'a>(name: &[u8], known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.get(..name.len().min(64)).unwrap_or_default().to_ascii_lowercase();
    let all = known.map(|known| (distance(&name, known.to_ascii_lowercase().as_bytes()), known));
    let (distance, known) = all.min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 2).max(1)).then_some(known)
}

/// Levenshtein distance: letters to insert, delete or replace.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(*above + 1).min(left + 1);
            diagonal = std::mem::replace(above, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b""), 3);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(distance(b"retry", b"retry"), 0);
    }

    #[test]
    fn the_nearest_name_is_like_the_one_that_was_written() {
        let nearest = |name: &str| nearest(name.as_bytes(), ["l2tp0", "l2tp1", "Office"].into_iter());
        assert_eq!(nearest("l2tp9"), Some("l2tp0"));
        assert_eq!(nearest("12tp1"), Some("l2tp1"));
        assert_eq!(nearest("office"), Some("Office"));
        assert_eq!(nearest("eth0"), None);
    }
}
