//! The states of a session, and what each received message does in each of them (RFC 3931 7.3). An ICRQ is not in the
//! table: it finds its session block by Remote End ID.

use crate::saved::saved;
use crate::wire::MessageType;

saved! {
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
