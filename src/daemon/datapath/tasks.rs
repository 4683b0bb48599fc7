//! What concerns many ports at once, such as another MTU of the path to their peer: it is done some ports at a time, so
//! that frames do not wait for it.

use std::collections::VecDeque;

/// Tasks of one turn.
const AT_ONCE: usize = 16;

/// Something to do for the port at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Its MTU may not fit the path any more.
    FitMtu(usize),
    /// What programs in the kernel know of its session may be wrong.
    Settle(usize),
    /// Events of its interface may have been lost.
    Look(usize),
}

/// All there is to do.
#[derive(Default)]
pub(super) struct Tasks(VecDeque<Task>);

impl Tasks {
    pub(super) fn add(&mut self, tasks: impl IntoIterator<Item = Task>) {
        self.0.extend(tasks);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the tasks of one turn.
    pub(super) fn take(&mut self) -> Vec<Task> {
        self.0.drain(..self.0.len().min(AT_ONCE)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_as_much_to_do_for_ten_thousand_ports_as_for_a_hundred() {
        for count in [100, 10_000] {
            let mut tasks = Tasks::default();
            tasks.add((0..count).map(Task::FitMtu));
            let mut done = Vec::new();
            while !tasks.is_empty() {
                let some = tasks.take();
                assert!(some.len() <= AT_ONCE);
                done.extend(some);
            }
            assert_eq!(done, (0..count).map(Task::FitMtu).collect::<Vec<_>>());
        }
    }
}
