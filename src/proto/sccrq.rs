//! An SCCRQ that may be believed, and the connection that answers it.

use super::action::Path;
use super::connection::allowance::Allowance;
use super::connection::auth::Auth;
use super::connection::Connection;
use super::context::Context;
use super::tunnel::Tunnel;
use crate::config::model::Compatibility;
use crate::wire::header::Header;
use crate::wire::message::{decode, DecodeOptions, Note, Refusal, SetUp};
use crate::wire::Message;

/// An SCCRQ that may be believed.
pub struct Request<'a> {
    /// Between which addresses it came.
    pub path: Path,
    /// Its header.
    pub header: &'a Header,
    /// The whole message.
    pub message: &'a [u8],
    /// What its digest has shown.
    pub auth: Auth,
    /// What it says.
    pub set_up: SetUp,
}

impl<'a> Request<'a> {
    /// Reads an SCCRQ for a tunnel, and what there is to note of it. `None`: it is none.
    pub fn read(
        tunnel: &Tunnel,
        path: Path,
        (header, message): (&'a Header, &'a [u8]),
        auth: Auth,
    ) -> (Result<Option<Request<'a>>, Refusal>, Vec<Note>) {
        let secrets = auth.hiding_secrets();
        let cisco = tunnel.config.compatibility != Compatibility::Rfc;
        let options = DecodeOptions { secrets: &secrets, cisco, version_2: header.version == 2 };
        let decoded = decode(message, &options);
        let request = decoded.message.map(|message_read| match message_read {
            Message::Sccrq(set_up) => Some(Request { path, header, message, auth, set_up }),
            _ => None,
        });
        (request, decoded.notes)
    }

    /// Makes a new connection the one that answers it, with this nonce of ours.
    pub fn take(self, cx: &mut Context, connection: &mut Connection, nonce: [u8; 16]) {
        let Request { header, message, auth, set_up, .. } = self;
        connection.take_peer(cx, &set_up);
        connection.tie_breaker = set_up.tie_breaker;
        let transport = &mut connection.transport;
        transport.auth = auth;
        if transport.auth.signs() && set_up.nonce.is_some() {
            transport.auth.local_nonce = nonce.to_vec();
        }
        transport.channel.begin(header.ns);
        transport.allowance = Allowance::new(message.len());
        connection.request_nonce = set_up.nonce;
    }
}
