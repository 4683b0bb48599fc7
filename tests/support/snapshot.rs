//! All that an engine shows, read as the daemon reads it.

use std::time::Instant;

use l2tpd::proto::snapshot::{DroppedFrom, Drops, TunnelSnapshot};
use l2tpd::proto::Engine;

/// Everything, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub tunnels: Vec<TunnelSnapshot>,
    pub drops: Drops,
    pub dropped_from: Vec<DroppedFrom>,
    pub dropped_others: u64,
}

pub fn snapshot(engine: &Engine, now: Instant) -> Snapshot {
    let tunnel = |place| engine.tunnel_snapshot(now, place, 0..usize::MAX);
    let (dropped_from, dropped_others) = engine.dropped_from(now);
    Snapshot {
        tunnels: (0..engine.tunnel_count()).filter_map(tunnel).collect(),
        drops: engine.drops(),
        dropped_from,
        dropped_others,
    }
}
