//! How another program goes on with the pseudowires: what it is told, and how it takes them over.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use super::event::Unmatched;
use super::interface::Interface;
use super::port::Port;
use super::pseudowires::Pseudowires;
use super::ready::Source;
use super::session::Session;
use super::state::{Come, Passed, PlaneState, PortState};

/// What another program that goes on with them has to know. `None`: the kernel carries frames.
pub(super) fn state(
    wires: &Pseudowires,
    unmatched: Unmatched,
    descriptors: &mut Passed,
) -> Option<PlaneState> {
    let (ports, forwarding) = wires.ports.parts();
    let sockets = wires.sockets.state(descriptors);
    let mut pass_on = |port: &Port| {
        let mut state = port.pass_on(descriptors)?;
        state.counters = wires.counters(wires.ports.find(&state.name)?)?;
        Some(state)
    };
    Some(PlaneState {
        sockets,
        ports: ports.map(&mut pass_on).collect::<Option<Vec<PortState>>>()?,
        sessions: wires.sessions.iter().map(|s| s.state(wires.paths.carries(&s.path))).collect(),
        forwarding: forwarding.clone(),
        unmatched,
    })
}

/// Goes on with those of another program; the ports that have a session.
pub(super) fn resume(
    wires: &mut Pseudowires,
    now: Instant,
    state: PlaneState,
    interface: impl Fn(&str) -> Option<Interface>,
    descriptors: &mut Come,
) -> io::Result<Vec<usize>> {
    let missing = |what| move || io::Error::other(what);
    for socket in state.sockets {
        wires.sockets.resume(socket, descriptors, &wires.ready)?;
    }
    let mut ports = Vec::new();
    for port in state.ports {
        let found = interface(&port.name).ok_or_else(missing("an interface is not configured"))?;
        let port = Port::resume(found, port, descriptors);
        ports.push(port.ok_or_else(missing("the descriptor of an interface is missing"))?);
    }
    for at in wires.ports.resume(ports, state.forwarding) {
        let tap = wires.ports.get(at).and_then(Port::tap);
        tap.map_or(Ok(()), |tap| wires.ready.watch(tap.as_raw_fd(), Source::Port(at)))?;
    }
    let mut open = Vec::new();
    for session in state.sessions {
        let port = wires.ports.find(&session.attachment.interface);
        let port = port.ok_or_else(missing("the interface of a session is missing"))?;
        let socket = wires.sockets.find(&session.path);
        let resumed = Session::resume(&session, port, socket);
        let opens = resumed.wanted.receive || resumed.wanted.send;
        let at = wires.sessions.insert(resumed);
        // One that stands by leaves its port to the session that frames flow through.
        if let Some(port) = wires.ports.get_mut(port).filter(|port| opens || port.session.is_none()) {
            port.session = Some(at);
        }
        wires.paths.add(now, &session.path, port);
        wires.paths.set_carries(&session.path, session.path_carries);
        open.push(port);
    }
    Ok(open)
}
