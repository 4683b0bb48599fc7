//! How another program goes on with the pseudowires: what it is told, and how it takes them over.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use super::event::Unmatched;
use super::interface::Interface;
use super::kernel::Kernel;
use super::port::Port;
use super::pseudowires::Pseudowires;
use super::ready::Source;
use super::session::Session;
use super::shortcut;
use super::state::{PlaneState, ReceivedFds, SentFds, ShortcutState};
use crate::sys::bpf;

/// What another program that goes on with them has to know.
pub(super) fn state(wires: &Pseudowires, unmatched: Unmatched, descriptors: &mut SentFds) -> PlaneState {
    let (ports, forwarding) = wires.ports.parts();
    let Pseudowires { sockets, kernel, shortcut, .. } = wires;
    PlaneState {
        sockets: sockets.state(descriptors),
        ports: ports.map(|port| port.pass_on(descriptors)).collect(),
        sessions: wires.sessions.iter().map(|s| s.state(wires.paths.carries(&s.path))).collect(),
        forwarding: forwarding.clone(),
        unmatched,
        kernel: kernel.as_ref().map(|kernel| kernel.state(sockets, descriptors)),
        shortcut: shortcut.as_ref().map(|shortcut| shortcut.state(|at| wires.ports.get(at), descriptors)),
    }
}

/// Goes on with those of another program; the ports that have a session.
pub(super) fn resume(
    wires: &mut Pseudowires,
    now: Instant,
    state: PlaneState,
    interface: impl Fn(&str) -> Option<Interface>,
    descriptors: &mut ReceivedFds,
) -> io::Result<Vec<usize>> {
    let missing = |what| move || io::Error::other(what);
    for socket in state.sockets {
        wires.sockets.resume(socket, None, descriptors, &wires.ready)?;
    }
    let mut ports = Vec::new();
    for port in state.ports {
        let found = interface(&port.name).ok_or_else(missing("an interface is not configured"))?;
        let port = Port::resume(found, port, descriptors);
        ports.push(port.ok_or_else(missing("the descriptor of an interface is missing"))?);
    }
    let Pseudowires { sockets, ready, .. } = wires;
    let kernel = state.kernel.map(|kernel| Kernel::resume(kernel, sockets, ready, descriptors));
    wires.kernel = kernel.transpose()?;
    for at in wires.ports.resume(ports, state.forwarding) {
        let tap = wires.ports.get(at).and_then(Port::tap);
        tap.map_or(Ok(()), |tap| wires.ready.watch(tap.as_raw_fd(), Source::Port(at)))?;
    }
    resume_shortcut(wires, state.shortcut, descriptors)?;
    let mut open = Vec::new();
    for session in state.sessions {
        let port = wires.ports.find(&session.attachment.interface);
        let port = port.ok_or_else(missing("the interface of a session is missing"))?;
        let resumed = Session::resume(&session, port);
        let opens = resumed.wanted.receive || resumed.wanted.send;
        let at = wires.sessions.insert(resumed);
        // One that stands by leaves its port to the session that frames flow through.
        if let Some(port) = wires.ports.get_mut(port).filter(|port| opens || port.session.is_none()) {
            port.session = Some(at);
        }
        wires.paths.add(now, &session.path, port);
        wires.paths.set_carries(now, &session.path, session.path_carries);
        open.push(port);
    }
    Ok(open)
}

/// The programs in the kernel go on where this program has loaded the same ones; otherwise the daemon carries the frames
/// until sessions are settled, or for good where it has none.
fn resume_shortcut(
    wires: &mut Pseudowires,
    state: Option<ShortcutState>,
    descriptors: &mut ReceivedFds,
) -> io::Result<()> {
    let Some(state) = state else {
        // They are there from the next start on.
        wires.shortcut = None;
        return Ok(());
    };
    if let Some(shortcut) = wires.shortcut.as_mut().filter(|_| state.code == shortcut::code()) {
        return shortcut.resume(state, &mut wires.ports, descriptors);
    }
    drop(descriptors.drain(..state.descriptors().min(descriptors.len())));
    for carried in state.carried {
        // What is at its interface would go on with what nobody can change any more.
        let _ = carried.ways.map(|(_, interface)| bpf::remove_filter(interface));
        let port = wires.ports.find(&carried.name).and_then(|at| wires.ports.get_mut(at));
        port.into_iter().for_each(|port| port.counters.add(&carried.counted));
    }
    Ok(())
}
