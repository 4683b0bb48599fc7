//! Session messages that are for no session of ours.

use super::table::{row, Row};
use super::{refuse_call, refuse_reply};
use crate::log::Event;
use crate::proto::connection::Connection;
use crate::proto::context::Context;
use crate::proto::result::{cdn_reason, result};
use crate::wire::code::cdn;
use crate::wire::message::SessionIds;
use crate::wire::Message;

/// A message for a session that does not exist, or not any more.
pub fn no_session(cx: &mut Context, connection: &mut Connection, message: &Message) {
    match (row(None, message.message_type()), message) {
        (Row::Refuse, _) => refuse_reply(cx, connection, message),
        // The session is gone already; only the range of the code is worth a line.
        (Row::Nothing, Message::Cdn(cdn)) => drop(cdn_reason(cx, connection.ccid(), cdn.result.as_ref())),
        (
            Row::Nothing | Row::AcceptReply | Row::AcceptConnected | Row::Clear | Row::Status | Row::Ignore,
            _,
        ) => {}
    }
}

/// Ethernet pseudowires have no outgoing calls (RFC 4719 2.2): an OCRQ is refused, the rest is acknowledged (C-189,
/// C-190).
pub fn outgoing_call(cx: &mut Context, connection: &mut Connection, message: &Message, ids: SessionIds) {
    let tunnel = connection.ccid();
    match message {
        Message::Ocrq(_) => {
            cx.log(Event::OcrqUnsupported { tunnel, func: "recv_ocrq" });
            let code = result(cdn::PERMANENT, None, "outgoing calls are not supported");
            refuse_call(cx, connection, ids, code);
        }
        Message::Ocrp(_) => cx.log(Event::OcrpUnsupported { tunnel, func: "recv_ocrp" }),
        Message::Occn(_) => cx.log(Event::OccnUnsupported { tunnel, func: "recv_occn" }),
        Message::Sccrq(_)
        | Message::Sccrp(_)
        | Message::Scccn
        | Message::StopCcn(_)
        | Message::Hello
        | Message::Icrq(_)
        | Message::Icrp(_)
        | Message::Iccn(_)
        | Message::Cdn(_)
        | Message::Wen(_)
        | Message::Sli(_)
        | Message::Ack => {}
    }
}
