//! Result Codes of StopCCN and CDN (RFC 3931 5.4.2): ours, the peer's in words, and who wins a tie.

use super::context::Context;
use super::snapshot::Failure;
use crate::log::{escape, Event};
use crate::wire::code;
use crate::wire::message::ResultCode;
use crate::wire::Ccid;

/// Why something is refused: the code for the peer, and what is noted for `explain`.
#[derive(Debug)]
pub struct Objection {
    /// What the StopCCN or CDN carries.
    pub code: ResultCode,
    /// What `explain` says of it here.
    pub failure: Failure,
}

/// A Result Code of ours, with a text for the administrator at the other end.
pub fn result(result: u16, error: Option<u16>, text: &str) -> ResultCode {
    // An Error Message needs an Error Code before it; 0 is "no general error".
    let message = (!text.is_empty()).then(|| text.as_bytes().to_vec());
    let error = error.or(message.as_ref().map(|_| 0));
    ResultCode { result, error, message }
}

/// A StopCCN's Result Code of the peer in words.
pub fn stopccn_reason(cx: &mut Context, ccid: Ccid, code: Option<&ResultCode>) -> String {
    peer_result(cx, ccid, code, code::stopccn_in_range, code::stopccn_text)
}

/// A CDN's Result Code of the peer in words.
pub fn cdn_reason(cx: &mut Context, ccid: Ccid, code: Option<&ResultCode>) -> String {
    peer_result(cx, ccid, code, code::cdn_in_range, code::cdn_text)
}

/// One out of range is logged and otherwise ignored (C-303).
fn peer_result(
    cx: &mut Context,
    ccid: Ccid,
    code: Option<&ResultCode>,
    in_range: fn(u16, u16) -> bool,
    text: fn(u16) -> &'static str,
) -> String {
    let Some(code) = code else { return "the peer closed it without a result code".to_owned() };
    let error = code.error.unwrap_or(0);
    if !in_range(code.result, error) {
        cx.log(Event::ResultCodeOutOfRange { tunnel: ccid, result: code.result, error });
    }
    let mut reason = format!("the peer closed it: result {} ({})", code.result, text(code.result));
    if error != 0 {
        reason.push_str(&format!(", error {error} ({})", code::error_text(error)));
    }
    if let Some(message) = code.message.as_deref().filter(|m| !m.is_empty()) {
        reason.push_str(&format!(", \"{}\"", escape(message)));
    }
    reason
}

/// Who wins where two requests cross (RFC 3931 5.4.3, 5.4.4): the lower value, unsigned and big-endian; the side
/// that sent one, where only one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TieBreak {
    /// Ours stands.
    Win,
    /// The peer's stands.
    Lose,
    /// The values are equal.
    Draw,
    /// Neither side sent one.
    NoTie,
}

/// Compares the Tie Breaker AVPs of two requests.
pub fn break_tie(ours: Option<[u8; 8]>, peers: Option<[u8; 8]>) -> TieBreak {
    match (ours, peers) {
        (Some(ours), Some(peers)) => match ours.cmp(&peers) {
            std::cmp::Ordering::Less => TieBreak::Win,
            std::cmp::Ordering::Greater => TieBreak::Lose,
            std::cmp::Ordering::Equal => TieBreak::Draw,
        },
        (Some(_), None) => TieBreak::Win,
        (None, Some(_)) => TieBreak::Lose,
        (None, None) => TieBreak::NoTie,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_089_c_094_c_157_c_160_ties() {
        let value = |v: u64| Some(v.to_be_bytes());
        for (ours, peers, expected) in [
            (value(0x0123_4567_89ab_cdef), value(0x0123_4567_89ab_cdf0), TieBreak::Win),
            (value(0x0123_4567_89ab_cdef), value(0), TieBreak::Lose),
            (value(0x0123_4567_89ab_cdef), value(0x0123_4567_89ab_cdef), TieBreak::Draw),
            (value(0x7fff_ffff_ffff_ffff), value(0x8000_0000_0000_0000), TieBreak::Win),
            (value(0xff), value(0x0100_0000_0000_0000), TieBreak::Win),
            (value(1), None, TieBreak::Win),
            (None, value(1), TieBreak::Lose),
            (None, None, TieBreak::NoTie),
        ] {
            assert_eq!(break_tie(ours, peers), expected, "{ours:?} {peers:?}");
        }
    }
}
