//! A port: the interface of a session block, from `configure_interface` to `remove_interface`. Sessions come and go, and
//! so may the interface itself.

use std::io::{self, IoSlice};
use std::time::Instant;

use super::bridge::{BridgeState, Membership};
use super::device::{Device, KernelSession};
use super::event::{DataPlaneEvent, Events, Failure};
use super::interface::{longest_within, Interface, DEFAULT_MTU};
use super::session::Session;
use super::state::{PortState, ReceivedFds, SentFds};
use super::storm::Storm;
use crate::admin::report;
use crate::config::model::{Mtu, Oversize, TcpMss};
use crate::counters::Counters;
use crate::frame::mss::Limit;
use crate::frame::too_big;
use crate::frame::vnet::VNET_HEADER;
use crate::log::Remark;
use crate::sys::batch::Sent;
use crate::sys::tap::Tap;
use crate::sys::{bridge, error_text, fdb, netif};
use crate::token_bucket::{Rate, TokenBucket, ONE};

/// How often senders of frames that are too long are told: some at once, for there may be many of them.
const TELL: Rate = Rate { burst: 20, per_second: 10 };

/// Stations that are told of at once, at most: the switches learn of the others by the frames that come.
const MOST_STATIONS: usize = 1024;

/// An interface and its state.
pub(super) struct Port {
    pub(super) interface: Interface,
    pub(super) device: Option<Device>,
    /// The place of the session that is attached.
    pub(super) session: Option<usize>,
    pub(super) counters: Counters,
    pub(super) mtu: Option<usize>,
    /// The longest frame that leaves in one packet, where the path is known.
    pub(super) longest: Option<usize>,
    /// Senders of frames that are too long are told: not too many.
    telling: Option<TokenBucket>,
    pub(super) up: bool,
    /// Programs in the kernel carry its session's frames.
    pub(super) by_bpf: bool,
    /// Why they do not, though they should.
    pub(super) why_not_bpf: Option<String>,
    /// The last turn that had frames had one.
    pub(super) quiet: bool,
    carrier: Option<bool>,
    /// `None`: it was put into no bridge yet.
    pub(super) membership: Option<Membership>,
    /// The bridge that was set to forward link-local frames for it.
    pub(super) forwarding: Option<String>,
    /// It is an isolated port of its bridge.
    pub(super) isolated: bool,
    /// `storm-limit`.
    pub(super) storm: Option<Box<Storm>>,
    /// Its session is held down: a loop goes through it and this other interface.
    pub(super) held: Option<String>,
    /// Everything was set as configured; otherwise it is tried again when a session is attached.
    complete: bool,
    /// The explicit MTU does not fit the path: told once.
    warned: bool,
    /// Why it could not be made or set up, the last time that was tried.
    pub(super) failure: Option<Failure>,
}

impl Port {
    pub(super) fn new(interface: Interface) -> Port {
        let storm = Storm::of(interface.storm_limit);
        Port {
            interface,
            device: None,
            session: None,
            counters: Counters::default(),
            mtu: None,
            longest: None,
            telling: None,
            up: true,
            by_bpf: false,
            why_not_bpf: None,
            quiet: true,
            carrier: None,
            membership: None,
            forwarding: None,
            isolated: false,
            storm,
            held: None,
            complete: false,
            warned: false,
            failure: None,
        }
    }

    /// What another program that goes on with it has to know.
    pub(super) fn pass_on(&self, descriptors: &mut SentFds) -> PortState {
        let Port {
            interface,
            device,
            session: _,
            counters,
            mtu,
            longest,
            telling: _,
            up,
            by_bpf: _,
            why_not_bpf: _,
            quiet: _,
            carrier,
            membership,
            forwarding,
            isolated,
            storm: _,
            held: _,
            complete,
            warned,
            failure,
        } = self;
        let (tap, kernel) = match device {
            Some(Device::Tap(tap)) => (Some(tap.state(descriptors)), None),
            Some(Device::Kernel(session)) => (None, Some(*session)),
            None => (None, None),
        };
        PortState {
            name: interface.name.clone(),
            tap,
            counters: *counters,
            mtu: *mtu,
            longest: *longest,
            up: *up,
            carrier: *carrier,
            membership: membership.clone(),
            forwarding: forwarding.clone(),
            complete: *complete,
            warned: *warned,
            failure: failure.clone(),
            kernel,
            isolated: *isolated,
        }
    }

    /// The port of another program, without its session. `None`: its descriptor is missing.
    pub(super) fn resume(interface: Interface, state: PortState, fds: &mut ReceivedFds) -> Option<Port> {
        let device = match state.tap {
            Some(tap) => Some(Device::Tap(Tap::resume(tap, fds)?)),
            None => state.kernel.map(Device::Kernel),
        };
        Some(Port {
            device,
            counters: state.counters,
            mtu: state.mtu,
            longest: state.longest,
            up: state.up,
            carrier: state.carrier,
            membership: state.membership,
            forwarding: state.forwarding,
            isolated: state.isolated,
            complete: state.complete,
            warned: state.warned,
            failure: state.failure,
            ..Port::new(interface)
        })
    }

    /// It is to be as configured now.
    pub(super) fn configure(&mut self, interface: &Interface) {
        if self.interface.storm_limit != interface.storm_limit {
            self.storm = Storm::of(interface.storm_limit);
        }
        self.interface = interface.clone();
        self.warned = false;
        self.complete = false;
    }

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

    /// The interface's index.
    pub(super) fn index(&self) -> Option<i32> {
        self.device.as_ref().map(Device::index)
    }

    /// Its name at present; `None` if it does not exist.
    pub(super) fn name(&self) -> Option<String> {
        self.device.as_ref()?.name().ok()
    }

    /// There is nothing left to set.
    pub(super) fn is_complete(&self) -> bool {
        self.device.is_some() && self.complete
    }

    /// What it is like at present, and what was counted there.
    pub(super) fn state(&self, counters: Counters) -> report::Interface {
        let present = self.device.is_some();
        let bridge = self.interface.bridge.clone();
        let held = self.held.as_ref().map(|other| format!("held down: a loop goes through it and {other}"));
        report::Interface {
            present,
            link_up: present && self.carrier == Some(true),
            admin_up: present && self.up,
            // A new interface has the system's default until a path is known.
            mtu: if present { self.mtu.unwrap_or(DEFAULT_MTU) } else { 0 },
            data_plane: if self.by_bpf { "bpf" } else { self.device.as_ref().map_or("", Device::plane) },
            why_not_bpf: self.why_not_bpf.clone(),
            bridge: bridge.zip(self.bridge_state().map(BridgeState::name)),
            counters,
            problem: self.failure.as_ref().map(ToString::to_string).or(held),
        }
    }

    /// The index of the bridge that it is in.
    pub(super) fn bridge_index(&self) -> Option<i32> {
        self.membership.as_ref().filter(|_| self.device.is_some())?.index()
    }

    /// Whether it is to be isolated from the other isolated ports of its bridge.
    pub(super) fn wants_isolation(&self) -> bool {
        let joined = self.bridge_state() == Some(BridgeState::Joined);
        self.device.is_some() && self.interface.split_horizon.is_some() && joined
    }

    /// Isolates it, or does so no more: what is to be told.
    pub(super) fn isolate(&mut self) -> Option<Remark> {
        self.isolated = self.wants_isolation();
        // One that is in no bridge any more is not isolated either.
        let error = bridge::isolate(&self.name()?, self.isolated).err().filter(|_| self.isolated)?;
        let interface = self.interface.name.clone();
        Some(Remark::SplitHorizon { interface, error: error_text(&error) })
    }

    /// Where it stands with its bridge, if it has one.
    fn bridge_state(&self) -> Option<BridgeState> {
        self.interface.bridge.as_ref()?;
        Some(self.membership.as_ref().map_or(BridgeState::Out, |m| m.state(self.device.is_some())))
    }

    /// The bridge that is to forward link-local frames for it, which it is in.
    pub(super) fn wants_forwarding(&self) -> Option<&str> {
        self.device.as_ref().filter(|_| self.interface.forwards_link_local)?;
        let membership = self.membership.as_ref()?;
        (self.bridge_state() == Some(BridgeState::Joined)).then_some(membership.bridge.as_str())
    }

    /// `tcp-mss`, where it is on.
    pub(super) fn mss_limit(&self) -> Option<Limit> {
        match self.interface.tcp_mss {
            TcpMss::Off => None,
            TcpMss::Auto => Some(Limit::Mtu(self.mtu.unwrap_or(DEFAULT_MTU))),
            TcpMss::Value(octets) => Some(Limit::Octets(octets)),
        }
    }

    /// Whether a frame, whose longest segment has `length` octets, is not sent since it is too long for the path. Its sender
    /// is told where that is wanted; a frame whose sender cannot be told is sent.
    pub(super) fn keeps_back(
        &mut self,
        now: Instant,
        session: &Session,
        frame: &[u8],
        length: usize,
    ) -> bool {
        if session.attachment.fragments_to_send.is_some_and(|takes| length > takes.frame) {
            self.counters.tx_size += 1;
            return true;
        }
        let Some(longest) = self.longest.filter(|longest| length > *longest) else { return false };
        match self.interface.oversize {
            Oversize::Fragment | Oversize::Pseudowire => return false,
            Oversize::Drop => {}
            Oversize::Icmp => {
                let mut octets = [0; VNET_HEADER + too_big::LONGEST];
                let answer = octets.get_mut(VNET_HEADER..).unwrap_or_default();
                let Some(length) = too_big::tell(frame, longest, answer) else { return false };
                let tokens = self.telling.get_or_insert_with(|| TokenBucket::new(now, TELL));
                if tokens.take(now, TELL, ONE) {
                    let answer = IoSlice::new(octets.get(..VNET_HEADER + length).unwrap_or_default());
                    let told = self.tap().is_some_and(|tap| tap.write(&[answer]).is_ok());
                    self.counters.icmp_too_big += u64::from(told);
                }
            }
        }
        self.counters.tx_size += 1;
        true
    }

    /// Counts what became of frames that were sent for its session; what is to be told.
    pub(super) fn count_sent(&mut self, session: &mut Session, sent: &Sent) -> Option<Remark> {
        let counters = &mut self.counters;
        // Of the fragments of a frame one counts.
        let more = session.uncounted.min(sent.datagrams);
        session.uncounted -= more;
        counters.tx_frames += sent.datagrams - more;
        counters.tx_octets += sent.octets.saturating_sub(sent.datagrams * session.header_length as u64);
        counters.tx_size += sent.too_long;
        counters.tx_queue += sent.no_space;
        counters.tx_error += sent.failed;
        session.gso &= !sent.gso_refused;
        let before = session.send_error;
        if sent.errno.is_some() || sent.datagrams > 0 {
            session.send_error = sent.errno;
        }
        let errno = sent.errno.filter(|errno| Some(*errno) != before)?;
        let error = error_text(&io::Error::from_raw_os_error(errno));
        Some(Remark::FramesNotSent { interface: self.interface.name.clone(), error })
    }

    /// It has a new interface: nothing of that is set yet.
    pub(super) fn adopt(&mut self, device: Device, events: &mut Events) {
        // An interface of the kernel is new with each session: what the administrator brought down stays down.
        let made_up = device.tap().is_some() && !std::mem::replace(&mut self.up, true);
        self.device = Some(device);
        self.carrier = None;
        // It is to be put into its bridge, if that has not been deleted.
        self.membership.take_if(|membership| !membership.is_missing());
        self.mtu = None;
        self.complete = false;
        if made_up {
            events.push(DataPlaneEvent::AdminState { interface: self.interface.name.clone(), up: true });
        }
    }

    /// Hardware address, MTU, bridge, up: in this order, so that the bridge sees the interface as it stays.
    pub(super) fn set_up(&mut self, events: &mut Events) -> Result<(), Failure> {
        let Some(device) = &self.device else { return Ok(()) };
        let plain = |e: io::Error| Failure::ioctl(&e, "");
        let name = device.name().map_err(plain)?;
        if netif::mac_address(&name).map_err(plain)? != self.interface.mac_address {
            // The kernel's does not change while it is up.
            if let Some(Device::Kernel(session)) = &mut self.device {
                netif::set_state(&name, false).map_err(plain)?;
                session.raised = false;
            }
            netif::set_mac_address(&name, self.interface.mac_address).map_err(plain)?;
        }
        if let Mtu::Value(mtu) = self.interface.mtu {
            netif::set_mtu(&name, mtu).map_err(plain)?;
            self.mtu = Some(mtu);
        }
        self.join_bridge(&name)?;
        if self.tap().is_some() {
            netif::set_state(&name, true).map_err(plain)?;
        }
        self.complete = true;
        self.join_bridge_again(events);
        Ok(())
    }

    /// Puts the interface `name` into the configured bridge, unless it was put there before.
    fn join_bridge(&mut self, name: &str) -> Result<(), Failure> {
        if self.membership.as_ref().map(|m| &m.bridge) == self.interface.bridge.as_ref() {
            return Ok(());
        }
        if let Some(old) = self.membership.take() {
            old.leave(name);
        }
        if let Some(bridge) = &self.interface.bridge {
            self.membership = Some(Membership::join(bridge, name)?);
        }
        Ok(())
    }

    /// The stations that the peer's LAN reaches by it: those that its bridge knows, or itself where it is in none.
    pub(super) fn stations(&self) -> Vec<[u8; 6]> {
        let bridge = self.membership.as_ref().filter(|_| self.bridge_state() == Some(BridgeState::Joined));
        match (bridge, self.name()) {
            // Without the bridge's table nobody is told; switches learn by the frames that come.
            (Some(bridge), Some(name)) => {
                fdb::stations(&bridge.bridge, &name, MOST_STATIONS).unwrap_or_default()
            }
            (Some(_), None) => Vec::new(),
            (None, _) => vec![self.interface.mac_address],
        }
    }

    /// Puts it into its bridge if that was deleted and is there again.
    pub(super) fn join_bridge_again(&mut self, events: &mut Events) {
        if self.membership.as_ref().is_some_and(Membership::is_missing) {
            self.with_membership(Membership::join_again, events);
        }
    }

    /// There is an event of its interface: it may have been put into its bridge, or taken out.
    pub(super) fn look_at_bridge(&mut self, events: &mut Events) {
        self.with_membership(Membership::look, events);
    }

    fn with_membership(
        &mut self,
        act: fn(&mut Membership, &str, &str) -> Option<Remark>,
        events: &mut Events,
    ) {
        let (Some(membership), Some(device)) = (&mut self.membership, &self.device) else { return };
        let Ok(name) = device.name() else { return };
        act(membership, &self.interface.name, &name).into_iter().for_each(|remark| events.remark(remark));
    }

    /// Sets the carrier to what it should be, with this session attached.
    pub(super) fn show_carrier(&mut self, session: Option<&Session>, events: &mut Events) {
        let open = session.is_some_and(|s| s.established && s.gates.carrier);
        let follows = self.interface.follow_link_state;
        match &self.device {
            Some(Device::Kernel(_)) => {
                self.raise(session.is_some_and(|s| s.established) && (open || !follows), events);
            }
            Some(Device::Tap(tap)) => {
                let wanted = open || !follows;
                if self.carrier == Some(wanted) {
                    return;
                }
                match tap.set_carrier(wanted) {
                    Ok(()) => self.carrier = Some(wanted),
                    Err(error) => {
                        let interface = self.interface.name.clone();
                        events.remark(Remark::Carrier { interface, error: error_text(&error) });
                    }
                }
            }
            None => {}
        }
    }

    /// Brings the interface of a kernel session up while its frames may pass, unless the administrator has it down.
    fn raise(&mut self, open: bool, events: &mut Events) {
        let wanted = open && self.up;
        self.carrier = Some(open);
        let Some(Device::Kernel(session)) = &mut self.device else { return };
        if session.raised == wanted {
            return;
        }
        match netif::name(session.index).and_then(|name| netif::set_state(&name, wanted)) {
            Ok(()) => session.raised = wanted,
            Err(error) => {
                let wanted = if wanted { "up" } else { "down" };
                let interface = self.interface.name.clone();
                events.remark(Remark::UpOrDown { interface, wanted, error: error_text(&error) });
            }
        }
    }

    /// Sets the MTU that fits the session's path, which has `path_mtu`, or warns of one that does not.
    pub(super) fn fit_mtu(&mut self, session: &Session, path_mtu: usize, events: &mut Events) {
        self.longest = Some(longest_within(path_mtu, &session.path, session.header_length));
        let fitting = self.interface.mtu_within(path_mtu, &session.path, session.header_length);
        let interface = self.interface.name.clone();
        match self.interface.mtu {
            Mtu::Value(mtu) if mtu > fitting && !self.warned => {
                self.warned = true;
                let fate = self.interface.fate_of_oversize();
                events.remark(Remark::Mtu { interface, mtu, fitting, fate });
            }
            Mtu::Auto if self.mtu != Some(fitting) => {
                let set = |device: &Device| netif::set_mtu(&device.name()?, fitting);
                match self.device.as_ref().map(set) {
                    Some(Ok(())) => {
                        if let Some(before) = self.mtu.replace(fitting) {
                            let path = path_mtu;
                            events.remark(Remark::MtuChanged { interface, mtu: fitting, before, path });
                        }
                    }
                    Some(Err(error)) => {
                        let error = error_text(&error);
                        events.remark(Remark::MtuRefused { interface, mtu: fitting, error });
                    }
                    None => {}
                }
            }
            Mtu::Value(_) | Mtu::Auto => {}
        }
    }

    /// Its interface was brought up or down.
    pub(super) fn link_state(&mut self, up: bool, events: &mut Events) {
        let mut up = up;
        if let Some(Device::Kernel(session)) = &mut self.device {
            // We bring it up and down ourselves: what counts is how it is now, and whether that is our doing.
            up = netif::name(session.index).and_then(|name| netif::is_up(&name)).unwrap_or(up);
            if std::mem::replace(&mut session.raised, up) == up {
                return;
            }
        }
        // While it is held down the peer is told so whatever the administrator does.
        if std::mem::replace(&mut self.up, up) != up && self.held.is_none() {
            events.push(DataPlaneEvent::AdminState { interface: self.interface.name.clone(), up });
        }
    }
}
