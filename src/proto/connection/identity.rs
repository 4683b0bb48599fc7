//! Who the peer says that it is, and whether that is who is configured.

use crate::config::model::{Check, TunnelConfig};
use crate::log::{escape, Event};
use crate::proto::context::Context;
use crate::proto::snapshot::{Cause, Failure};
use crate::wire::message::SetUp;
use crate::wire::{Ccid, MessageType};

/// What the peer told about itself.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Host Name.
    pub host_name: Vec<u8>,
    /// Router ID.
    pub router_id: [u8; 4],
    /// Vendor Name.
    pub vendor_name: Option<Vec<u8>>,
    /// Pseudowire Capabilities List.
    pub pw_capabilities: Vec<u16>,
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
    let name = match &config.remote_hostname {
        Some(Check::Exactly(name)) => *name == set_up.host_name,
        Some(Check::Any) | None => true,
    };
    let id = match &config.remote_router_id {
        Some(Check::Exactly(id)) => *id == set_up.router_id,
        Some(Check::Any) | None => true,
    };
    name && id
}
