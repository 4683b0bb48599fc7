//! The interfaces: made, configured, followed and removed. An interface lives from `configure_interface` to
//! `remove_interface`; sessions come and go.

use std::io;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;

use super::bridge::{BridgeState, Membership};
use super::device::{Device, KernelSession};
use super::{DataPlane, DataPlaneEvent, Failure, Source};
use crate::config::model::{self, LinkLocalFrames, LinkState, Mtu, Pseudowire, TcpMss, Tos};
use crate::counters::Counters;
use crate::frame::mss::Limit;
use crate::frame::ETHERNET_HEADER;
use crate::log::Remark;
use crate::proto::Path;
use crate::sys::socket::path_mtu;
use crate::sys::tap::Tap;
use crate::sys::{error_text, netif};
use crate::wire::Encapsulation;

/// The MTUs that a TAP interface can have.
const MTUS: std::ops::RangeInclusive<usize> = 68..=65521;

/// Octets of a VLAN tag.
const VLAN_TAG: usize = 4;

/// The MTU of a new TAP interface.
const DEFAULT_MTU: usize = 1500;

/// What the data plane needs to know of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The tunnel's name.
    pub tunnel: String,
    /// `mtu`.
    pub mtu: Mtu,
    /// `tcp-mss`.
    pub tcp_mss: TcpMss,
    /// `bridge`.
    pub bridge: Option<String>,
    /// `link-local-frames forward`.
    pub forwards_link_local: bool,
    /// `mac-address`, or the one that is derived from the names.
    pub mac_address: [u8; 6],
    /// `link-state follow`.
    pub follow_link_state: bool,
    /// Frames are expected to have a VLAN tag: room for it is kept.
    pub tagged: bool,
    /// `dont-fragment`.
    pub dont_fragment: bool,
    /// `ttl`.
    pub ttl: u8,
    /// `tos`.
    pub tos: Tos,
}

impl Interface {
    /// The interface of a session block.
    pub fn new(tunnel: &model::Tunnel, session: &model::Session) -> Interface {
        Interface {
            name: session.interface.clone(),
            tunnel: tunnel.name.clone(),
            mtu: session.mtu,
            tcp_mss: session.tcp_mss,
            bridge: session.bridge.clone(),
            forwards_link_local: session.link_local_frames == LinkLocalFrames::Forward,
            mac_address: session.mac_address.unwrap_or_else(|| derived_mac_address(tunnel, session)),
            follow_link_state: session.link_state == LinkState::Follow,
            tagged: session.pseudowire == Pseudowire::Vlan,
            dont_fragment: tunnel.dont_fragment,
            ttl: tunnel.ttl,
            tos: tunnel.tos,
        }
    }
}

impl Interface {
    /// The MTU whose frames fit a path, with so many octets of L2TP's own before the frame: what is left of the path's
    /// MTU behind all headers (RFC 4719 3.3). `None` where there is no way to the peer.
    pub fn fitting_mtu(&self, path: &Path, header: usize) -> Option<usize> {
        let outer = if path.remote.is_ipv4() { 20 } else { 40 };
        let udp = if path.encapsulation == Encapsulation::Udp { 8 } else { 0 };
        // Frames with a tag are four octets longer than the interface's MTU says: they would be lost. An MTU that was
        // given is measured by frames without one.
        let keeps_room = self.dont_fragment && self.mtu == Mtu::Auto;
        let tag = if self.tagged || keeps_room { VLAN_TAG } else { 0 };
        let mtu = path_mtu(path.local.ip(), path.remote.ip()).ok()?;
        let fitting = mtu.saturating_sub(outer + udp + header + ETHERNET_HEADER + tag);
        Some(fitting.clamp(*MTUS.start(), *MTUS.end()))
    }
}

/// The same address after each start, another one for each interface. The two ends may use the same names for
/// tunnel and interface; what tells them apart are the host's name, its router id and the addresses.
fn derived_mac_address(tunnel: &model::Tunnel, session: &model::Session) -> [u8; 6] {
    let manual = session.manual.as_ref().map(|m| (m.local, m.remote));
    let ends = format!("{:?} {:?} {:?}", tunnel.local_address, tunnel.remote, manual);
    let parts = [
        &tunnel.local_hostname[..],
        &tunnel.local_router_id.unwrap_or_default(),
        ends.as_bytes(),
        tunnel.name.as_bytes(),
        session.interface.as_bytes(),
    ];
    // FNV-1a, 64 bits; a zero octet ends each part.
    let octets = parts.iter().flat_map(|p| p.iter().chain(&[0]));
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let [_, _, a, b, c, d, e, f] = (hash ^ (hash >> 48)).to_be_bytes();
    // Locally administered, not a group address.
    [(a & 0xfc) | 0x02, b, c, d, e, f]
}

/// What an interface is like at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceState {
    /// It exists.
    pub present: bool,
    /// Its carrier is on.
    pub carrier: bool,
    /// The administrator has it up.
    pub up: bool,
    /// Its MTU; 0 while it does not exist.
    pub mtu: usize,
    /// What carries its frames: `tap` or `kernel`; empty while it does not exist.
    pub data_plane: &'static str,
    /// Where it stands with its bridge, if it is to be in one.
    pub bridge: Option<BridgeState>,
    /// Why it could not be made or set up, if so.
    pub problem: Option<String>,
}

/// An interface and its state.
pub(super) struct Port {
    pub(super) interface: Interface,
    pub(super) device: Option<Device>,
    pub(super) session: Option<usize>,
    pub(super) counters: Counters,
    pub(super) mtu: Option<usize>,
    pub(super) up: bool,
    pub(super) ready: bool,
    /// The last turn that had frames had one.
    pub(super) quiet: bool,
    pub(super) carrier: Option<bool>,
    /// `None`: it was put into no bridge yet.
    pub(super) membership: Option<Membership>,
    /// The bridge that was set to forward link-local frames for it.
    pub(super) forwarding: Option<String>,
    /// Everything was set as configured; otherwise it is tried again when a session is attached.
    complete: bool,
    /// The explicit MTU does not fit the path: told once.
    warned: bool,
    /// Why it could not be made or set up, the last time that was tried.
    pub(super) failure: Option<Failure>,
}

impl Port {
    /// The TAP, where there is one.
    pub(super) fn tap(&self) -> Option<&Tap> {
        self.device.as_ref()?.tap()
    }

    /// The kernel's session, where the kernel carries the frames.
    pub(super) fn kernel_session(&self) -> Option<&KernelSession> {
        match &self.device {
            Some(Device::Kernel(session)) => Some(session),
            Some(Device::Tap(_)) | None => None,
        }
    }

    /// `tcp-mss`, where it is on.
    pub(super) fn mss_limit(&self) -> Option<Limit> {
        match self.interface.tcp_mss {
            TcpMss::Off => None,
            TcpMss::Auto => Some(Limit::Mtu(self.mtu.unwrap_or(DEFAULT_MTU))),
            TcpMss::Value(octets) => Some(Limit::Octets(octets)),
        }
    }
}

impl DataPlane {
    pub(super) fn port(&self, interface: &str) -> Option<&Port> {
        self.ports.get(*self.port_names.get(interface)?)?.as_ref()
    }

    /// What a configured interface is like at present.
    pub fn interface_state(&self, interface: &str) -> Option<InterfaceState> {
        let port = self.port(interface)?;
        let present = port.device.is_some();
        Some(InterfaceState {
            present,
            carrier: present && port.carrier == Some(true),
            up: present && port.up,
            // A new interface has the system's default until a path is known.
            mtu: if present { port.mtu.unwrap_or(1500) } else { 0 },
            data_plane: port.device.as_ref().map_or("", Device::plane),
            bridge: port.bridge_state(),
            problem: port.failure.as_ref().map(ToString::to_string),
        })
    }

    pub(super) fn port_mut(&mut self, at: usize) -> Option<&mut Port> {
        self.ports.get_mut(at)?.as_mut()
    }

    /// Makes the interface, or changes what is different. Where the kernel carries the frames there is none before a
    /// session is attached.
    pub fn configure_interface(&mut self, interface: &Interface) -> Result<(), Failure> {
        let at = self.port_for(interface);
        let result = self.configure_port(at, interface);
        self.remember_failure(at, result)
    }

    /// Keeps what came of setting up an interface, to be shown.
    pub(super) fn remember_failure<T>(
        &mut self,
        at: usize,
        result: Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(port) = self.port_mut(at) {
            port.failure = result.as_ref().err().cloned();
        }
        result
    }

    /// The place of an interface, which is new or known.
    fn port_for(&mut self, interface: &Interface) -> usize {
        let at = match self.port_names.get(&interface.name) {
            Some(at) => *at,
            None => {
                let port = Port {
                    interface: interface.clone(),
                    device: None,
                    session: None,
                    counters: Counters::default(),
                    mtu: None,
                    up: true,
                    ready: false,
                    quiet: true,
                    carrier: None,
                    membership: None,
                    forwarding: None,
                    complete: false,
                    warned: false,
                    failure: None,
                };
                let at = super::place(&mut self.ports, port);
                self.port_names.insert(interface.name.clone(), at);
                at
            }
        };
        at
    }

    fn configure_port(&mut self, at: usize, interface: &Interface) -> Result<(), Failure> {
        if let Some(port) = self.port_mut(at) {
            port.interface = interface.clone();
            port.warned = false;
            port.complete = false;
        }
        self.open_tap(at)?;
        self.set_up_device(at)?;
        self.set_kernel_manner(at);
        self.fit_mtu(at);
        self.show_carrier(at);
        Ok(())
    }

    /// Makes a configured interface (again) where it is missing.
    pub(super) fn open_port(&mut self, at: usize) -> Result<(), Failure> {
        if self.port_mut(at).is_some_and(|c| c.device.is_none() || !c.complete) {
            self.open_tap(at)?;
            self.set_up_device(at)?;
            self.show_carrier(at);
        }
        Ok(())
    }

    fn open_tap(&mut self, at: usize) -> Result<(), Failure> {
        let with_kernel = self.kernel.is_some();
        let Some(port) = self.port_mut(at) else { return Ok(()) };
        if port.device.is_some() || with_kernel {
            return Ok(());
        }
        let tap = Tap::open(&port.interface.name, true).map_err(|no| Failure::ioctl(&no.error, no.about))?;
        let fd = tap.as_raw_fd();
        self.device_opened(at, Device::Tap(tap));
        if let Err(error) = self.register(fd, Source::Port(at)) {
            self.close_device(at);
            return Err(Failure::Other(error_text(&error)));
        }
        Ok(())
    }

    /// A new interface: nothing of it is set yet.
    pub(super) fn device_opened(&mut self, at: usize, device: Device) {
        let index = device.index();
        let Some(port) = self.port_mut(at) else { return };
        // An interface of the kernel is new with each session: what the administrator brought down stays down.
        let made_up = device.tap().is_some() && !std::mem::replace(&mut port.up, true);
        let interface = port.interface.name.clone();
        port.device = Some(device);
        port.carrier = None;
        port.forget_membership();
        port.mtu = None;
        port.ready = false;
        port.complete = false;
        self.port_indexes.insert(index, at);
        if made_up {
            self.events.push(DataPlaneEvent::AdminState { interface, up: true });
        }
    }

    /// Hardware address, MTU, up, bridge: in this order, so that the bridge sees the interface as it stays.
    pub(super) fn set_up_device(&mut self, at: usize) -> Result<(), Failure> {
        let Some(port) = self.port_mut(at) else { return Ok(()) };
        let Some(device) = &port.device else { return Ok(()) };
        let plain = |e: io::Error| Failure::ioctl(&e, "");
        let name = device.name().map_err(plain)?;
        if netif::mac_address(&name).map_err(plain)? != port.interface.mac_address {
            // The kernel's does not change while it is up.
            if let Some(Device::Kernel(session)) = &mut port.device {
                netif::set_state(&name, false).map_err(plain)?;
                session.raised = false;
            }
            netif::set_mac_address(&name, port.interface.mac_address).map_err(plain)?;
        }
        if let Mtu::Value(mtu) = port.interface.mtu {
            netif::set_mtu(&name, mtu).map_err(plain)?;
            port.mtu = Some(mtu);
        }
        port.join_bridge(&name)?;
        if port.tap().is_some() {
            netif::set_up(&name).map_err(plain)?;
        }
        port.complete = true;
        self.settle_link_local(at);
        self.join_again(at);
        Ok(())
    }

    /// Removes the interface; a session that is attached to it is detached.
    pub fn remove_interface(&mut self, name: &str) {
        let Some(at) = self.port_names.remove(name) else { return };
        let session = self.port_mut(at).and_then(|c| c.session);
        if let Some(id) = session.and_then(|s| self.sessions.get(s)?.as_ref()).map(|s| s.id) {
            self.detach(id);
        }
        self.close_device(at);
        if let Some(slot) = self.ports.get_mut(at) {
            *slot = None;
        }
    }

    pub(super) fn close_device(&mut self, at: usize) {
        let Some(device) = self.port_mut(at).and_then(|c| c.device.take()) else { return };
        self.port_indexes.remove(&device.index());
        self.settle_link_local(at);
        match device {
            Device::Tap(tap) => {
                let fd = tap.as_raw_fd();
                // Closing it would do, too; the epoll set forgets closed descriptors.
                let _ = self.registry.deregister(&mut SourceFd(&fd));
            }
            Device::Kernel(session) => {
                let counters = self.close_kernel_session(&session);
                if let Some(port) = self.port_mut(at) {
                    port.counters.add(&counters);
                }
            }
        }
    }

    /// Sets the carrier to what it should be.
    pub(super) fn show_carrier(&mut self, at: usize) {
        if self.kernel.is_some() {
            self.raise(at);
            return;
        }
        let session = self.ports.get(at).and_then(|c| c.as_ref()).and_then(|c| c.session);
        let established = session.and_then(|s| self.sessions.get(s)?.as_ref()).is_some_and(|s| s.carrier);
        let Some(port) = self.port_mut(at) else { return };
        let wanted = established || !port.interface.follow_link_state;
        let Some(tap) = port.tap().filter(|_| port.carrier != Some(wanted)) else { return };
        match tap.set_carrier(wanted) {
            Ok(()) => port.carrier = Some(wanted),
            Err(error) => {
                let interface = port.interface.name.clone();
                self.remark(Remark::Carrier { interface, error: error_text(&error) });
            }
        }
    }

    /// Sets the MTU that fits the path of the attached session, or warns of one that does not.
    pub(super) fn fit_mtu(&mut self, at: usize) {
        let Some(fitting) = self.fitting_mtu(at) else { return };
        let Some(port) = self.port_mut(at) else { return };
        let interface = port.interface.name.clone();
        match port.interface.mtu {
            Mtu::Value(mtu) if mtu > fitting && !port.warned => {
                port.warned = true;
                let fate = if port.interface.dont_fragment { "are dropped" } else { "travel as fragments" };
                self.remark(Remark::Mtu { interface, mtu, fitting, fate });
            }
            Mtu::Auto if port.mtu != Some(fitting) => {
                let set = |device: &Device| netif::set_mtu(&device.name()?, fitting);
                match port.device.as_ref().map(set) {
                    Some(Ok(())) => port.mtu = Some(fitting),
                    Some(Err(error)) => {
                        self.remark(Remark::MtuRefused {
                            interface,
                            mtu: fitting,
                            error: error_text(&error),
                        });
                    }
                    None => {}
                }
            }
            Mtu::Value(_) | Mtu::Auto => {}
        }
    }

    fn fitting_mtu(&self, at: usize) -> Option<usize> {
        let port = self.ports.get(at)?.as_ref()?;
        let session = self.sessions.get(port.session?)?.as_ref()?;
        let path = &session.path;
        port.interface.fitting_mtu(path, session.header_length)
    }

    pub(super) fn link_state(&mut self, index: i32, up: bool) {
        let Some(at) = self.port_indexes.get(&index).copied() else {
            // A bridge that was deleted may be there again.
            self.links_changed = true;
            return;
        };
        self.look_at_bridge(at);
        let Some(port) = self.port_mut(at) else { return };
        let mut up = up;
        if let Some(Device::Kernel(session)) = &mut port.device {
            // We bring it up and down ourselves: what counts is how it is now, and whether that is our doing.
            up = netif::name(session.index).and_then(|name| netif::is_up(&name)).unwrap_or(up);
            if std::mem::replace(&mut session.raised, up) == up {
                return;
            }
        }
        if std::mem::replace(&mut port.up, up) == up {
            return;
        }
        let interface = port.interface.name.clone();
        self.events.push(DataPlaneEvent::AdminState { interface, up });
    }

    pub(super) fn link_deleted(&mut self, index: i32) {
        match self.port_indexes.get(&index).copied() {
            Some(at) => self.interface_gone(at),
            None => self.bridge_deleted(index),
        }
    }

    /// The interface was deleted by somebody else. It is made again when a session is attached.
    pub(super) fn interface_gone(&mut self, at: usize) {
        self.close_device(at);
        let session = self.ports.get(at).and_then(|c| c.as_ref()).and_then(|c| c.session);
        let session = session.and_then(|s| self.sessions.get(s)?.as_ref()).map(|s| s.id);
        let Some(port) = self.port_mut(at) else { return };
        let interface = port.interface.name.clone();
        self.events.push(DataPlaneEvent::InterfaceGone { interface, session });
    }

    /// The kernel lost news: asks for everything.
    pub(super) fn look_at_links(&mut self) {
        for at in 0..self.ports.len() {
            let device = self.ports.get(at).and_then(|c| c.as_ref()?.device.as_ref());
            let Some(device) = device else { continue };
            let index = device.index();
            match device.name().and_then(|name| netif::is_up(&name)) {
                Ok(up) => self.link_state(index, up),
                Err(_) => self.link_deleted(index),
            }
        }
        self.look_for_deleted_bridges();
        self.links_changed = true;
    }
}
