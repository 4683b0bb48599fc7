//! What the kernel tells of interfaces, addresses and routes.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsRawFd;

use super::pseudowires::Pseudowires;
use super::ready::{Ready, Source};
use super::tasks::{Task, Tasks};
use crate::sys::link::{NetEvent, NetMonitor};

/// The kernel's events; without a monitor there are none.
#[derive(Default)]
pub(super) struct Links {
    monitor: Option<NetMonitor>,
    /// What was read and not yet taken.
    pub(super) events: Vec<NetEvent>,
}

/// What came of reading them.
#[derive(Default)]
pub(super) struct Read {
    /// There may be more.
    pub(super) more: bool,
    /// The indexes of interfaces that there were events of and that are not ours, or may be devices of tunnels.
    pub(super) others: BTreeSet<i32>,
    /// Events of others may have been lost.
    pub(super) lost: bool,
}

impl Links {
    /// Listens from now on.
    pub(super) fn open(&mut self, ready: &Ready) -> io::Result<()> {
        let monitor = NetMonitor::open()?;
        ready.watch(monitor.as_raw_fd(), Source::Links)?;
        self.monitor = Some(monitor);
        Ok(())
    }

    /// Reads some, and does what they mean for the ports.
    pub(super) fn read(&mut self, wires: &mut Pseudowires, tasks: &mut Tasks) -> Read {
        let Some(monitor) = &self.monitor else { return Read::default() };
        let mut read = Read::default();
        read.more = monitor.drain(&mut |event| {
            match event {
                NetEvent::Link { index, up } => match wires.ports.with_index(index) {
                    Some(at) => {
                        // A tunnel may be bound to it.
                        read.others.extend(Some(index).filter(|_| wires.sockets.has_devices()));
                        wires.ports.link_state(at, up, &mut wires.events);
                        // A new interface is told of several times: what is so in the end counts.
                        tasks.add(wires.shortcut.iter().map(|_| Task::Settle(at)));
                    }
                    None => {
                        read.others.insert(index);
                        tasks.add(wires.ports_behind(index).into_iter().map(Task::Settle));
                    }
                },
                NetEvent::LinkDeleted { index } => {
                    wires.link_deleted(index);
                    tasks.add(wires.ports_behind(index).into_iter().map(Task::Settle));
                }
                NetEvent::Lost => {
                    // Everything is looked at.
                    tasks.add(wires.ports.indexes().into_iter().map(|(at, _)| Task::Look(at)));
                    wires.ports.look_for_deleted_bridges(&mut wires.events);
                    read.lost = true;
                }
                NetEvent::Address { .. } | NetEvent::Route { .. } | NetEvent::Rule => {}
            }
            self.events.push(event);
        });
        read
    }
}
