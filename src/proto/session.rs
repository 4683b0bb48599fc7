//! A session: its state, and the table of what each received message does in each state (RFC 3931 7.3). An ICRQ
//! is not in the table: it is matched by Remote End ID, see `incoming`.

use std::time::Instant;

use super::action::SequenceLevel;
use super::tunnel::{SlotKey, TunnelKey};
use crate::wheel::TimerId;
use crate::wire::{Ccid, CircuitStatus, Cookie, MessageType, SessionId};

/// The states of RFC 3931 7.3. `Idle` and wait-control-conn are states of the configured slot: no session exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// ICRQ sent; with `attaching`, the ICRP is here and the interface is being attached.
    WaitReply,
    /// ICRP sent; with `attaching`, the interface is being attached before the ICRP is sent.
    WaitConnect,
    /// Frames may pass.
    Established,
}

impl State {
    /// The state's name in the status.
    pub fn status_name(self) -> &'static str {
        match self {
            State::WaitReply => "wait-reply",
            State::WaitConnect => "wait-connect",
            State::Established => "established",
        }
    }
}

/// What a received message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Take the ICRP: check it, attach, ICCN.
    AcceptReply,
    /// Take the ICCN: established.
    AcceptConnected,
    /// The session is gone.
    Clear,
    /// The circuit's status.
    Status,
    /// CDN with result 2, error 5: there is no such session, or none that waits for this.
    Refuse,
    /// Acknowledge and log that it does not fit the state.
    Ignore,
    /// Acknowledge, nothing else.
    Nothing,
}

/// The table; `None` is RFC 3931's idle (no session has the id). ICRP and ICCN in state established are ignored
/// as the product does with messages out of place; RFC 3931 7.3 clears the session.
pub fn row(state: Option<State>, message: MessageType) -> Row {
    use State::{Established, WaitConnect, WaitReply};
    match (message, state) {
        (MessageType::ICRP, Some(WaitReply)) => Row::AcceptReply,
        (MessageType::ICRP, None | Some(WaitConnect)) => Row::Refuse,
        (MessageType::ICRP, Some(Established)) => Row::Ignore,
        (MessageType::ICCN, Some(WaitConnect)) => Row::AcceptConnected,
        (MessageType::ICCN, Some(WaitReply)) => Row::Clear,
        (MessageType::ICCN, Some(Established)) => Row::Ignore,
        (MessageType::ICCN, None) => Row::Nothing,
        (MessageType::CDN, Some(WaitReply | WaitConnect | Established)) => Row::Clear,
        (MessageType::CDN, None) => Row::Nothing,
        (MessageType::SLI, Some(WaitReply | WaitConnect | Established)) => Row::Status,
        (MessageType::SLI, None) => Row::Nothing,
        // WEN carries counters that are not kept; the other types never get here.
        (_, None | Some(WaitReply | WaitConnect | Established)) => Row::Nothing,
    }
}

/// A session that is being set up or established.
#[derive(Debug)]
pub struct Session {
    /// Its tunnel.
    pub tunnel: TunnelKey,
    /// Its slot in the tunnel.
    pub slot: SlotKey,
    /// Its control connection; `None` for a manual session.
    pub connection: Option<Ccid>,
    /// Interface name, for the log.
    pub interface: String,
    /// Our id.
    pub local: SessionId,
    /// The peer's id; 0 until it is known.
    pub remote: SessionId,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The interface is being attached (or is attached, once this is false again and `attached` true).
    pub attaching: bool,
    /// The data plane knows it.
    pub attached: bool,
    /// The ICCN is here; it asked for something that the interface is attached anew for.
    pub connected: bool,
    /// Serial Number of the ICRQ.
    pub serial: u32,
    /// The tie breaker of our ICRQ.
    pub tie_breaker: [u8; 8],
    /// The peer's ICRQ for the same end lost against ours.
    pub won_tie: bool,
    /// The cookie that we assigned.
    pub cookie_expected: Cookie,
    /// The cookie that the peer assigned.
    pub cookie_to_send: Cookie,
    /// The peer wants the default sublayer.
    pub sublayer_to_send: bool,
    /// We want the default sublayer.
    pub sublayer_expected: bool,
    /// What the peer wants numbered.
    pub sequence_send: SequenceLevel,
    /// The peer's circuit, once it told.
    pub remote_circuit: Option<CircuitStatus>,
    /// The peer's interface MTU, where it told.
    pub remote_mtu: Option<u16>,
    /// The circuit status that we told last.
    pub told_circuit: bool,
    /// The answer is overdue.
    pub guard: Option<TimerId>,
    /// The next SLI waits for this.
    pub status_timer: Option<TimerId>,
}

impl Session {
    /// Whether frames may be sent to the peer, as far as its circuit is concerned.
    pub fn peer_circuit_up(&self) -> bool {
        self.remote_circuit.is_none_or(CircuitStatus::carries_traffic)
    }

    /// Whether frames of the peer are delivered, as far as its circuit is concerned: not on standby (RFC 5641 2).
    pub fn peer_on_standby(&self) -> bool {
        self.remote_circuit.is_some_and(|c| c.0 & CircuitStatus::STANDBY != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, as data: idle, wait-reply, wait-connect, established.
    #[test]
    fn c_163_to_c_185_session_table() {
        let states = [None, Some(State::WaitReply), Some(State::WaitConnect), Some(State::Established)];
        for (message, expected) in [
            (MessageType::ICRP, "xrxi"), // C-164, C-178, C-167, C-182, C-174
            (MessageType::ICCN, ".dci"), // C-179, C-171, C-180, C-185
            (MessageType::CDN, ".ddd"),  // C-164, C-171, C-173, C-183
            (MessageType::SLI, ".sss"),  // C-326, C-327
            (MessageType::WEN, "...."),  // C-155
        ] {
            let actual: String = states
                .iter()
                .map(|state| match row(*state, message) {
                    Row::AcceptReply => 'r',
                    Row::AcceptConnected => 'c',
                    Row::Clear => 'd',
                    Row::Status => 's',
                    Row::Refuse => 'x',
                    Row::Ignore => 'i',
                    Row::Nothing => '.',
                })
                .collect();
            assert_eq!(actual, expected, "{message}");
        }
    }
}
