//! The programs at the interfaces that give frames back, after GRO or GSO: see [`crate::sys::veth`]. On the way a tag says
//! which session's interface a frame is of: neither a mark nor anything else beside the frame gets from one network
//! namespace to another, and what has not the same tag is not merged.

use super::abi::{context, helper, Code, AS_INGRESS, TAG, TCX_DROP};
use super::asm::{Assembler, If, Label, Register, Size, R0, R1, R2, R6, R7};

/// The greatest index of an interface that fits in a tag.
pub const LARGEST: i32 = 0xffff;

/// The program at the other ends: our end receives the frame.
pub fn back() -> Code {
    let mut a = Assembler::default();
    a.load(Size::Word, R1, (R1, context::IFINDEX));
    a.set(R2, 0);
    a.call(helper::REDIRECT_PEER);
    a.exit();
    a.finish()
}

/// The program at our end of the pair for GRO: the session's interface receives the frame.
pub fn gro() -> Code {
    let mut a = Assembler::default();
    let drop = a.label();
    a.set(R6, R1);
    untag(&mut a, drop);
    a.set(R1, R7);
    a.set(R2, AS_INGRESS);
    a.call(helper::REDIRECT);
    a.exit();
    a.here(drop);
    a.set(R0, TCX_DROP);
    a.exit();
    a.finish()
}

/// Takes the tag off the packet (R6): R7 is what it says.
pub(super) fn untag(a: &mut Assembler, without: Label) {
    a.load(Size::Word, R2, (R6, context::VLAN_PRESENT));
    a.jump_if(If::Equal, R2, 0, without);
    a.load(Size::Word, R7, (R6, context::VLAN_TCI));
    a.set(R1, R6);
    a.call(helper::VLAN_POP);
    a.jump_if(If::Different, R0, 0, without);
}

/// Sends the packet (R6) into the pair whose index is loaded, with a tag that says what R3 is; ends the program.
pub(super) fn send(a: &mut Assembler, pair: (Register, i16)) {
    a.set(R1, R6);
    a.set(R2, TAG);
    a.call(helper::VLAN_PUSH);
    a.load(Size::Word, R1, pair);
    a.set(R2, 0);
    a.call(helper::REDIRECT);
    a.exit();
}
