//! The states of a control connection, and what each received message does in each of them (RFC 3931 7.2 with the
//! product's deviations, which `man 5 l2tpd.conf` lists).

use crate::saved::saved;
use crate::wire::MessageType;

saved! {
    /// The states of RFC 3931 7.2, and two for the time after a StopCCN. `Idle` lasts only while a connection is made.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum State {
        /// Nothing was sent yet.
        Idle,
        /// SCCRQ sent.
        WaitCtlReply,
        /// SCCRP sent.
        WaitCtlConn,
        /// Sessions may be set up.
        Established,
        /// StopCCN sent, not acknowledged yet.
        Stopping,
        /// StopCCN received, or a tie lost: only acknowledges.
        Linger,
    }
}

impl State {
    /// Whether a connection in this state serves or may come to serve its tunnel.
    pub fn is_alive(self) -> bool {
        match self {
            State::Idle | State::WaitCtlReply | State::WaitCtlConn | State::Established => true,
            State::Stopping | State::Linger => false,
        }
    }

    /// The state's name in the log.
    pub fn log_name(self) -> &'static str {
        match self {
            State::Idle | State::Stopping | State::Linger => "IDLE",
            State::WaitCtlReply => "WAIT-CTL-REPLY",
            State::WaitCtlConn => "WAIT-CTL-CONN",
            State::Established => "ESTABLISHED",
        }
    }

    /// The state's name in the status.
    pub fn status_name(self) -> &'static str {
        match self {
            State::Idle | State::Linger => "idle",
            State::WaitCtlReply => "wait-ctl-reply",
            State::WaitCtlConn => "wait-ctl-conn",
            State::Established => "established",
            State::Stopping => "stopping",
        }
    }
}

/// What a received message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Take the SCCRP: identity check, SCCCN, established.
    AcceptReply,
    /// Take the SCCCN: established.
    AcceptConnected,
    /// The peer is there: acknowledge.
    Hello,
    /// Hand it to the session's table.
    Session,
    /// Clear everything, acknowledge, linger.
    Stop,
    /// Outgoing calls are not supported: say so.
    Unsupported,
    /// An SCCRP for an SCCRQ that was given up (a tie lost, a StopCCN received): say so with a StopCCN.
    Decline,
    /// Acknowledge and log that it does not fit the state.
    Ignore,
}

/// The table. Only messages that are new (their Ns is the expected one) and authentic come here; acknowledgements
/// never do. A message that RFC 3931 7.2 answers with StopCCN, because it does not fit the state, is acknowledged
/// and ignored instead, as the product does: a stray message must not cut a working tunnel.
pub fn row(state: State, message: MessageType) -> Row {
    use State::{Established, Idle, Linger, Stopping, WaitCtlConn, WaitCtlReply};
    let if_established = |row| match state {
        Established => row,
        Idle | WaitCtlReply | WaitCtlConn | Stopping | Linger => Row::Ignore,
    };
    match (message, state) {
        (MessageType::SCCRP, WaitCtlReply) => Row::AcceptReply,
        (MessageType::SCCRP, Linger) => Row::Decline,
        (MessageType::SCCRP, Idle | WaitCtlConn | Established | Stopping) => Row::Ignore,
        (MessageType::SCCCN, WaitCtlConn) => Row::AcceptConnected,
        (MessageType::SCCCN, Idle | WaitCtlReply | Established | Stopping | Linger) => Row::Ignore,
        (MessageType::STOPCCN, Idle | WaitCtlReply | WaitCtlConn | Established | Stopping | Linger) => {
            Row::Stop
        }
        (MessageType::HELLO, _) => if_established(Row::Hello),
        (
            MessageType::ICRQ
            | MessageType::ICRP
            | MessageType::ICCN
            | MessageType::CDN
            | MessageType::SLI
            | MessageType::WEN,
            _,
        ) => if_established(Row::Session),
        (MessageType::OCRQ | MessageType::OCRP | MessageType::OCCN, _) => if_established(Row::Unsupported),
        // An SCCRQ has a CCID of 0 and is looked at before any connection; with ours it is out of place. Types
        // without a name never get here: decoding refuses them.
        (_, Idle | WaitCtlReply | WaitCtlConn | Established | Stopping | Linger) => Row::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Idle,
        State::WaitCtlReply,
        State::WaitCtlConn,
        State::Established,
        State::Stopping,
        State::Linger,
    ];

    /// The whole table, as data: one letter a state, in the order of [`STATES`].
    /// C-113, C-114, C-120, C-123, C-126, C-214: what RFC 3931 answers with StopCCN is ignored (`i`).
    #[test]
    fn c_110_to_c_127_control_connection_table() {
        for (message, expected) in [
            (MessageType::SCCRQ, "iiiiii"),
            (MessageType::SCCRP, "iriiid"), // C-100
            (MessageType::SCCCN, "iiciii"),
            (MessageType::STOPCCN, "ssssss"),
            (MessageType::HELLO, "iiihii"),
            (MessageType::ICRQ, "iii+ii"),
            (MessageType::ICRP, "iii+ii"),
            (MessageType::ICCN, "iii+ii"),
            (MessageType::CDN, "iii+ii"),
            (MessageType::SLI, "iii+ii"),
            (MessageType::WEN, "iii+ii"),
            (MessageType::OCRQ, "iiiuii"),
            (MessageType::OCRP, "iiiuii"),
            (MessageType::OCCN, "iiiuii"),
        ] {
            let actual: String = STATES
                .iter()
                .map(|state| match row(*state, message) {
                    Row::AcceptReply => 'r',
                    Row::AcceptConnected => 'c',
                    Row::Hello => 'h',
                    Row::Session => '+',
                    Row::Stop => 's',
                    Row::Unsupported => 'u',
                    Row::Decline => 'd',
                    Row::Ignore => 'i',
                })
                .collect();
            assert_eq!(actual, expected, "{message}");
        }
    }
}
