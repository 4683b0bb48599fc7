//! What may be sent to a peer that has not shown yet that it is where its SCCRQ says: who forges its source must not gain
//! by it.

use crate::saved::saved;

/// What may be sent for an octet that was received.
const AMPLIFICATION: usize = 3;

/// Octets that may still be sent. As many as one likes, where the peer has shown where it is or we began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance(Option<usize>);
saved!(tuple Allowance(number));

impl Allowance {
    /// An SCCRQ of so many octets has come, from who knows where.
    pub fn new(octets: usize) -> Allowance {
        Allowance(Some(octets.saturating_mul(AMPLIFICATION)))
    }

    /// The SCCRQ came again.
    pub fn add(&mut self, octets: usize) {
        self.keep(octets.saturating_mul(AMPLIFICATION));
    }

    /// So much was left when it was answered before.
    pub fn keep(&mut self, left: usize) {
        self.0 = self.0.map(|more| more.saturating_add(left));
    }

    /// Whether so many octets may be sent; they are, then.
    pub fn spend(&mut self, octets: usize) -> bool {
        let Some(left) = &mut self.0 else { return true };
        let rest = left.checked_sub(octets);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }

    /// What is left; 0 where nothing counts it.
    pub fn left(&self) -> usize {
        self.0.unwrap_or_default()
    }

    /// The peer is where it says.
    pub fn lift(&mut self) {
        self.0 = None;
    }

    /// Nothing more is sent until the peer is heard again.
    pub fn use_up(&mut self) {
        self.0 = self.0.map(|_| 0);
    }
}
