//! Programs for the kernel (BPF) that carry frames where it need not be the daemon: [`asm`] puts them together, `abi` is
//! what the kernel says of them, [`ingress`] and [`egress`] are the two, [`pairs`] those of the interfaces where
//! GRO and GSO are done, [`values`] is what stands in their maps. Pure: [`crate::sys::bpf`] loads them.

mod abi;
pub mod asm;
pub mod egress;
pub mod ingress;
pub mod pairs;
pub mod values;

pub use abi::{Code, Maps};

/// All programs, with the names that one sees them by: that at the ingress of the interfaces that lead to peers, that at
/// the egress of the sessions' interfaces, and those of [`pairs`]: at the other ends, at our end of the one for GRO, of
/// the one for GSO.
pub fn all(maps: &Maps) -> [(&'static str, Code); 5] {
    [
        ("l2tpd_ingress", ingress::program(maps)),
        ("l2tpd_egress", egress::program(maps, egress::Place::Interface)),
        ("l2tpd_back", pairs::back()),
        ("l2tpd_gro", pairs::gro()),
        ("l2tpd_gso", egress::program(maps, egress::Place::Gso)),
    ]
}
