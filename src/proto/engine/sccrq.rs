//! An SCCRQ that may be believed, and the connection that answers it.

use crate::config::model::Compatibility;
use crate::proto::action::Received;
use crate::proto::connection::allowance::Allowance;
use crate::proto::connection::auth::Auth;
use crate::proto::connection::Connection;
use crate::proto::context::Context;
use crate::proto::tunnel::Tunnel;
use crate::wire::message::{decode, DecodeOptions, Note, Refusal, SetUp};
use crate::wire::Message;

/// An SCCRQ that may be believed.
pub struct Request<'a> {
    /// The message.
    pub received: Received<'a>,
    /// What its digest has shown.
    pub auth: Auth,
    /// What it says.
    pub set_up: SetUp,
}

impl<'a> Request<'a> {
    /// Reads an SCCRQ for a tunnel, and what there is to note of it. `None`: it is none.
    pub fn read(
        tunnel: &Tunnel,
        received: Received<'a>,
        auth: Auth,
    ) -> (Result<Option<Request<'a>>, Refusal>, Vec<Note>) {
        let Received { header, message, .. } = received;
        let secrets = auth.hiding_secrets();
        let cisco = tunnel.config.compatibility != Compatibility::Rfc;
        let options = DecodeOptions { secrets: &secrets, cisco, version_2: header.version == 2 };
        let decoded = decode(message, &options);
        let request = decoded.message.map(|message_read| match message_read {
            Message::Sccrq(set_up) => Some(Request { received, auth, set_up }),
            _ => None,
        });
        (request, decoded.notes)
    }

    /// Makes a new connection the one that answers it, with this nonce of ours.
    pub fn take(self, cx: &mut Context, connection: &mut Connection, nonce: [u8; 16]) {
        let Request { received, auth, set_up } = self;
        connection.take_peer(cx, &set_up);
        connection.tie_breaker = set_up.tie_breaker;
        let transport = &mut connection.transport;
        transport.auth = auth;
        if transport.auth.signs() && set_up.nonce.is_some() {
            transport.auth.local_nonce = nonce.to_vec();
        }
        transport.channel.begin(received.header.ns);
        transport.allowance = Allowance::new(received.message.len());
        connection.request_nonce = set_up.nonce;
    }
}
