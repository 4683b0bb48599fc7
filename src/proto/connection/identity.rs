//! Who the peer says that it is, and whether that is who is configured.

use crate::config::model::{Check, TunnelConfig};
use crate::log::{escape, Event};
use crate::proto::connection::transport::Transport;
use crate::proto::context::Context;
use crate::proto::snapshot::{Cause, Failure};
use crate::saved::saved;
use crate::wire::attribute::{number, AvpId};
use crate::wire::avp;
use crate::wire::message::SetUp;
use crate::wire::{Ccid, MessageType, PW_ETHERNET, PW_ETHERNET_VLAN};

/// What our SCCRQ and SCCRP say in the Vendor Name AVP.
pub const VENDOR_NAME: &[u8] = b"l2tpd";

/// What the peer advertised of itself.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Host Name AVP.
    pub host_name: Vec<u8>,
    /// Router ID AVP; 0 if there was none.
    pub router_id: [u8; 4],
    /// Vendor Name AVP.
    pub vendor_name: Option<Vec<u8>>,
    /// Pseudowire Capabilities List AVP: pseudowire types.
    pub pw_capabilities: Vec<u16>,
}
saved!(Peer { host_name, router_id, vendor_name, pw_capabilities });

impl Peer {
    /// What an SCCRQ or SCCRP says of its sender.
    pub fn of(set_up: &SetUp) -> Peer {
        Peer {
            host_name: set_up.host_name.clone(),
            router_id: set_up.router_id,
            vendor_name: set_up.vendor_name.clone(),
            pw_capabilities: set_up.pw_capabilities.clone(),
        }
    }
}

/// What our SCCRQ and SCCRP tell.
pub fn ours(config: &TunnelConfig, transport: &Transport) -> SetUp {
    let auth = &transport.auth;
    SetUp {
        host_name: config.local_hostname.clone(),
        router_id: config.local_router_id.unwrap_or_default(),
        assigned_ccid: transport.ccid,
        pw_capabilities: vec![PW_ETHERNET, PW_ETHERNET_VLAN],
        receive_window: Some(config.receive_window),
        tie_breaker: None,
        nonce: Some(auth.local_nonce.clone()).filter(|nonce| auth.signs() && !nonce.is_empty()),
        vendor_name: Some(VENDOR_NAME.to_vec()),
        dialect: transport.dialect,
    }
}

/// The identity check of SCCRQ and SCCRP (C-081): Host Name and Router ID are those configured.
pub fn check_identity(
    cx: &mut Context,
    config: &TunnelConfig,
    ccid: Ccid,
    set_up: &SetUp,
    message: MessageType,
) -> Result<(), Failure> {
    let (event, failure) = match (&config.remote_hostname, &config.remote_router_id) {
        (Some(Check::Exactly(name)), _) if *name != set_up.host_name => {
            let [expected, received] = [name, &set_up.host_name].map(|name| format!("\"{}\"", escape(name)));
            let failure = Failure::compared("remote-hostname", expected, received, Cause::HostName);
            (Event::HostnameMismatch { tunnel: ccid, message }, failure)
        }
        (_, Some(Check::Exactly(id))) if *id != set_up.router_id => {
            let [expected, received] =
                [*id, set_up.router_id].map(|id| std::net::Ipv4Addr::from(id).to_string());
            // Cisco IOS in its default mode tells none; it needs `remote-router-id any`.
            let received = if set_up.dialect.ietf { received } else { "none".to_owned() };
            let failure = Failure::compared("remote-router-id", expected, received, Cause::RouterId);
            (Event::RouterIdMismatch { tunnel: ccid, message }, failure)
        }
        (None | Some(Check::Any | Check::Exactly(_)), None | Some(Check::Any | Check::Exactly(_))) => {
            return Ok(());
        }
    };
    cx.log_detail(event, format!("tunnel {}: {failure}", config.name));
    Err(failure)
}

/// The same, without a word: for what may be a flood.
pub fn fits(config: &TunnelConfig, set_up: &SetUp) -> bool {
    let (name, id) = config.peer_identity();
    name.is_none_or(|name| name == set_up.host_name) && id.is_none_or(|id| id == set_up.router_id)
}

/// The same of an SCCRQ that is not read yet. Neither Host Name nor Router ID may be hidden (C-251), so this needs no
/// secret.
pub fn is_meant(config: &TunnelConfig, message: &[u8]) -> bool {
    let value = |number: u16| avp::iter(message).find(|a| a.id == AvpId::ietf(number)).map(|a| a.value);
    let (name, id) = config.peer_identity();
    (name.is_none() || name == value(number::HOST_NAME)) && (id.is_none() || id == value(number::ROUTER_ID))
}
