//! What concerns many ports at once, such as another MTU of the path to their peer: it is done some ports at a time, so
//! that frames do not wait for it.

use std::collections::{BTreeSet, VecDeque};

/// Tasks of one turn.
const AT_ONCE: usize = 16;

/// Something to do for the port at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Its MTU may not fit the path any more.
    FitMtu(usize),
    /// What programs in the kernel know of its session may be wrong.
    Settle(usize),
    /// Events of its interface may have been lost.
    Look(usize),
    /// It has lost its session: its interface's carrier goes, which the kernel may take long for.
    Carrier(usize),
}

/// All there is to do, each once: one path may be that of all ports, and each of their connections may tell of it.
#[derive(Default)]
pub(super) struct Tasks {
    queue: VecDeque<Task>,
    /// The same ones.
    waiting: BTreeSet<Task>,
}

impl Tasks {
    pub(super) fn add(&mut self, tasks: impl IntoIterator<Item = Task>) {
        let Tasks { queue, waiting } = self;
        queue.extend(tasks.into_iter().filter(|task| waiting.insert(*task)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the tasks of one turn.
    pub(super) fn take(&mut self) -> Vec<Task> {
        let tasks: Vec<Task> = self.queue.drain(..self.queue.len().min(AT_ONCE)).collect();
        tasks.iter().for_each(|task| _ = self.waiting.remove(task));
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_as_much_to_do_for_ten_thousand_ports_as_for_a_hundred() {
        for count in [100, 10_000] {
            let mut tasks = Tasks::default();
            // Told by several: done once.
            (0..3).for_each(|_| tasks.add((0..count).map(Task::FitMtu)));
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
