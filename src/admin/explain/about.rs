//! The form of an explanation.

/// The texts about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The message: `M-001` to `M-088`, or the name of a remark.
    pub id: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// What it means, in Japanese.
    pub meaning_ja: &'static str,
    /// What to do, in Japanese.
    pub advice_ja: &'static str,
}

/// An entry of the tables: meaning and advice, in English and in Japanese.
pub(super) const fn about(
    id: &'static str,
    [meaning, advice]: [&'static str; 2],
    [meaning_ja, advice_ja]: [&'static str; 2],
) -> Explanation {
    Explanation { id, meaning, advice, meaning_ja, advice_ja }
}
