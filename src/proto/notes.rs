//! What the log says of a received message that is not as it should be.

use super::connection::auth::Judgement;
use super::context::Context;
use crate::log::{Event, Remark};
use crate::wire::attribute::number::{ASSIGNED_COOKIE, SERIAL_NUMBER};
use crate::wire::attribute::AvpId;
use crate::wire::avp::{self, MessageTypeAvp, StructureError};
use crate::wire::message::{Note, Refusal, Why};
use crate::wire::{Ccid, MessageType};

/// Walks the AVPs; a message that cannot be walked counts as not received (its Ns is not used up).
pub fn check_structure(
    cx: &mut Context,
    ccid: Ccid,
    message: &[u8],
    discard_reserved: bool,
) -> Option<MessageTypeAvp> {
    let error = match avp::check_structure(message, discard_reserved) {
        Ok(message_type) => return Some(message_type),
        Err(error) => error,
    };
    match error {
        StructureError::WrongSize(length) => {
            cx.log(Event::WrongSize { tunnel: ccid, func: "avp_handler", length });
        }
        StructureError::TooMany => {
            let length = message.len();
            let detail = format!("more than {} AVPs", avp::MAX_AVPS);
            cx.log_detail(Event::WrongSize { tunnel: ccid, func: "avp_handler", length }, detail);
        }
        StructureError::FirstAvpNotMessageType => cx.log(Event::FirstAvpNotMessageType { tunnel: ccid }),
        StructureError::ReservedBit(avp) => {
            cx.log_detail(Event::ReservedBitSet { tunnel: ccid }, avp.to_string());
        }
    }
    cx.log(Event::AvpHandlerFailed { tunnel: ccid });
    None
}

/// What a digest or nonce lacks.
pub fn log_judgement(cx: &mut Context, ccid: Ccid, message: MessageType, judgement: Judgement) {
    if let Some(digest_type) = judgement.unsupported {
        cx.log(Event::DigestTypeUnsupported { tunnel: ccid, func: "check_digest", digest_type, message });
    }
    if judgement.nonce_missing {
        cx.log(Event::NonceNotFound { tunnel: ccid });
    } else if !judgement.believed {
        cx.log(Event::DigestInvalid { tunnel: ccid, message });
    }
}

/// What was passed over in a message.
pub fn log_notes(cx: &mut Context, ccid: Ccid, message: MessageType, notes: &[Note]) {
    for note in notes {
        match *note {
            Note::UnknownVendor { avp: AvpId { vendor, attribute }, length, mandatory: _ } => {
                cx.log(Event::UnknownVendor { vendor, attribute, length });
            }
            Note::UnknownAttribute { avp, mandatory } => {
                let detail = format!("{avp} in {message}");
                let event = match mandatory {
                    true => Event::NoHandler { tunnel: ccid },
                    false => Event::NoHandlerNotMandatory { tunnel: ccid },
                };
                cx.log_detail(event, detail);
            }
            Note::UnknownOfCisco { attribute } => {
                cx.remark(&Remark::AvpOfCisco { tunnel: ccid, attribute, message });
            }
            Note::NotInThisMessage { name } => {
                cx.log(Event::AvpInvalidInMessage { tunnel: ccid, avp: name, message });
            }
            Note::Ignored { name, length, why } => {
                log_cookie_length(cx, ccid, &why);
                cx.remark(&Remark::AvpIgnored { tunnel: ccid, avp: name, length, message });
            }
            Note::BadResultCode => {
                let detail = format!("{message} without a well-formed Result Code; honoured all the same");
                cx.log_detail(Event::AvpHandlerFailed { tunnel: ccid }, detail);
            }
        }
    }
}

/// A cookie of a length that cannot be has a line of its own, whatever becomes of the message.
fn log_cookie_length(cx: &mut Context, ccid: Ccid, why: &Why) {
    match *why {
        Why::BadLength { avp, length } if avp.id == AvpId::ietf(ASSIGNED_COOKIE) => {
            cx.log(Event::InvalidCookieLength { tunnel: ccid, func: "avp_handler", length });
        }
        _ => {}
    }
}

/// Why a message is refused.
pub fn log_refusal(cx: &mut Context, ccid: Ccid, refusal: &Refusal) {
    let message = refusal.message;
    match refusal.why {
        Why::UnknownMessageType { vendor, .. } => {
            // A type that IANA has assigned is one without a handler here; the others mean nothing at all.
            let event = match vendor == 0 && message.is_assigned() {
                true => Event::UnhandledMessageType { tunnel: ccid, func: "dispatch", message },
                false => Event::MessageTypeUnknown { tunnel: ccid, message },
            };
            return cx.log(event);
        }
        // Its line was logged with the notes.
        Why::UnknownMandatory(_) => return,
        Why::Missing(avp) if avp.id == AvpId::ietf(SERIAL_NUMBER) => {
            cx.log(Event::SerialNumberNotFound { tunnel: ccid, message });
        }
        Why::BadLength { .. } => log_cookie_length(cx, ccid, &refusal.why),
        Why::BadValue(_) | Why::BadHiding(_) | Why::Missing(_) => {}
    }
    cx.log_detail(Event::AvpHandlerFailed { tunnel: ccid }, format!("{message}: {}", refusal.why));
}
