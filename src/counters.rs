//! What is counted for each session on the data path, every reason for a drop on its own.

use crate::saved::saved;

macro_rules! counters {
    ($($field:ident $name:literal $help:literal;)*) => {
        /// Counters of one session's frames. Plain numbers: one thread counts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters {
            $(#[doc = $help] pub $field: u64,)*
        }

        saved!(Counters { $($field),* });

        impl Counters {
            /// Name, description and value of each counter, in a fixed order; the names are part of the admin
            /// socket's contract (JSON keys, OpenMetrics labels).
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$(($name, $help, self.$field),)*].into_iter()
            }

            /// All frames that were dropped, for whatever reason.
            pub fn dropped(&self) -> u64 {
                let drops = self.entries().filter(|(name, _, _)| name.contains("_drop_"));
                drops.fold(0, |sum, (_, _, value)| value.saturating_add(sum))
            }

            /// Adds `other` to each counter.
            pub fn add(&mut self, other: &Counters) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }
        }
    };
}

counters! {
    rx_frames "rx_frames" "frames received from the peer and delivered";
    rx_octets "rx_octets" "octets of those frames";
    tx_frames "tx_frames" "frames sent to the peer";
    tx_octets "tx_octets" "octets of those frames";
    rx_short "rx_drop_short" "received data too short for cookie, sublayer and an Ethernet header";
    rx_cookie "rx_drop_cookie" "received data with a wrong cookie";
    rx_source "rx_drop_source" "received data from an address that is not the peer's";
    rx_closed "rx_drop_closed" "received data for a session that is not established";
    rx_sequence "rx_drop_sequence" "received data that was out of order";
    rx_sublayer "rx_drop_sublayer" "received data with VCCV or fragment bits that were not negotiated";
    rx_standby "rx_drop_standby" "received data while the circuit was on standby";
    rx_incomplete "rx_drop_incomplete" "received fragments of frames that were not complete in time, or too long";
    rx_storm "rx_drop_storm" "received frames to group addresses beyond the storm-limit";
    rx_interface "rx_drop_interface" "frames that the interface did not take (it is down, or its queue full)";
    tx_closed "tx_drop_closed" "frames from the interface while the session was not established";
    tx_circuit "tx_drop_circuit" "frames from the interface while the peer's circuit was down";
    tx_storm "tx_drop_storm" "frames from the interface to group addresses beyond the storm-limit";
    tx_size "tx_drop_size" "frames too long for the path";
    tx_queue "tx_drop_queue" "frames that the socket did not take (no buffer space)";
    tx_error "tx_drop_error" "frames that could not be sent: no route, no address, a bad frame";
    rx_fragments "rx_fragments" "received fragments of frames (RFC 4623)";
    rx_coalesced "rx_coalesced" "received frames that were joined before they went to the interface";
    tx_fragmented "tx_fragmented" "frames sent as fragments (RFC 4623)";
    tx_segmented "tx_segmented" "frames cut out of larger ones that the interface handed over";
    mss_clamped "mss_clamped" "TCP SYNs whose MSS was lowered";
    icmp_too_big "icmp_too_big" "frames whose sender was told by ICMP that they are too long for the path";
}
