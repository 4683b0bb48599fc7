//! Interfaces are made when it is their turn, and the sessions that wait for them are attached then.

use super::event::{DataPlaneEvent, Failure};
use super::interface::Interface;
use super::pseudowires::{Attached, Pseudowires};
use super::waiting::Waiting;

/// Makes the interface, or changes what is different. Where the kernel carries the frames there is none before a
/// session is attached.
pub(super) fn configure_interface(wires: &mut Pseudowires, interface: &Interface) -> Result<(), Failure> {
    let at = configure_port(wires, interface);
    set_up_port(wires, at).map(|_| ())
}

/// The same, when it is the interface's turn; an event tells if that fails.
pub(super) fn plan_interface(wires: &mut Pseudowires, interface: &Interface) {
    let at = configure_port(wires, interface);
    wires.waiting.insert_port(at);
}

fn configure_port(wires: &mut Pseudowires, interface: &Interface) -> usize {
    let at = wires.ports.place(interface);
    wires.ports.get_mut(at).into_iter().for_each(|port| port.configure(interface));
    at
}

/// Makes a planned interface, and attaches the sessions that wait for it.
pub(super) fn make_port(wires: &mut Pseudowires, at: usize) {
    let result = match set_up_port(wires, at) {
        Ok(false) => return,
        Ok(true) => Ok(()),
        Err(failure) => Err(failure),
    };
    let sessions = wires.waiting.take_of_port(at);
    match (result, wires.ports.get(at)) {
        (Err(failure), Some(port)) if sessions.is_empty() => {
            let interface = port.interface.name.clone();
            wires.events.push(DataPlaneEvent::NotMade { interface, failure });
        }
        (result, _) => {
            sessions.into_iter().for_each(|waiting| attach_waiting(wires, waiting, result.clone()))
        }
    }
}

fn set_up_port(wires: &mut Pseudowires, at: usize) -> Result<bool, Failure> {
    let result = wires.open_port(at);
    if result == Ok(true) {
        if let (Some(kernel), Some(port)) = (&wires.kernel, wires.ports.get(at)) {
            if let Some(session) = port.kernel_session() {
                kernel.set_socket_options(session, &port.interface, &wires.sockets);
            }
        }
        wires.fit_mtu(at);
    }
    wires.remember_failure(at, result)
}

/// Tries again to attach a session whose port is ready or could not be made, and tells what came of it.
pub(super) fn attach_waiting(wires: &mut Pseudowires, waiting: Waiting, ready: Result<(), Failure>) {
    let (session, port, moved) = (waiting.attachment.local, waiting.port, waiting.moved);
    let interface = waiting.attachment.interface.clone();
    let result = ready.and_then(|()| match waiting.tunnel {
        Some(tunnel) => wires.attach_to_kernel(tunnel, waiting),
        None => attach_again(wires, waiting),
    });
    let result = match wires.remember_failure(port, result) {
        Ok(Attached::Later) => return,
        Ok(Attached::Now) if moved => return,
        Err(failure) if moved => return wires.not_moved(interface, session, &failure),
        Ok(Attached::Now) => Ok(()),
        Err(failure) => Err((interface, failure)),
    };
    wires.events.push(DataPlaneEvent::Attached { session, result });
}

/// Attaches a session that has waited for its port. What became of it meanwhile stays so.
fn attach_again(wires: &mut Pseudowires, waiting: Waiting) -> Result<Attached, Failure> {
    let id = waiting.attachment.local;
    let attached = wires.attach_to(waiting.port, &waiting.attachment)?;
    match (wires.waiting.get_mut(id), waiting.gates) {
        (Some(again), gates) => (again.gates, again.moved) = (gates, waiting.moved),
        (None, Some(gates)) => wires.set_gates(id, gates),
        (None, None) => {}
    }
    Ok(attached)
}
