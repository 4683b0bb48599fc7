//! The newest answer to a question, for whoever asks the same next.

/// A question and its answer, as long as that holds.
pub(super) struct Newest<Q, A>(Option<(Q, A)>);

impl<Q, A> Default for Newest<Q, A> {
    fn default() -> Newest<Q, A> {
        Newest(None)
    }
}

impl<Q: PartialEq, A: Clone> Newest<Q, A> {
    /// The answer, which is asked for unless it is that of the newest question.
    pub(super) fn get(&mut self, question: Q, ask: impl FnOnce() -> A) -> A {
        match &self.0 {
            Some((newest, answer)) if *newest == question => answer.clone(),
            Some(_) | None => self.0.insert((question, ask())).1.clone(),
        }
    }

    /// It may not hold any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_the_same_is_answered_at_once() {
        let (mut newest, mut asked) = (Newest::default(), Vec::new());
        // The sessions of two peers, one peer after the other.
        for question in [1, 1, 1, 2, 2] {
            let answer = newest.get(question, || {
                asked.push(question);
                10 * question
            });
            assert_eq!(answer, 10 * question);
        }
        assert_eq!(asked, [1, 2]);
        newest.forget();
        assert_eq!((newest.get(2, || 7), newest.get(2, || 8)), (7, 7));
    }
}
