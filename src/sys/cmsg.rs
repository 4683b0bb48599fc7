//! Control messages beside what is sent and received (cmsg(3)).

use std::mem;

use libc::{c_int, c_void};

/// Octets aligned as control messages must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Aligned<const N: usize>([u8; N]);

impl<const N: usize> Aligned<N> {
    pub(super) const fn new() -> Aligned<N> {
        Aligned([0; N])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    pub(super) const fn len(&self) -> usize {
        N
    }
}

/// Calls `report` with level, type and data of each control message of a received message.
pub(super) fn control_messages(message: &libc::msghdr, mut report: impl FnMut(c_int, c_int, &[u8])) {
    // SAFETY: `message` was filled in by the kernel: msg_control points to msg_controllen octets of whole, aligned
    // control messages, which CMSG_FIRSTHDR and CMSG_NXTHDR walk without leaving them.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(current) = header.as_ref() {
            // A size_t, or a socklen_t with musl.
            let whole: usize = current.cmsg_len as _;
            let length = whole.saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(header), length);
            report(current.cmsg_level, current.cmsg_type, data);
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
}

/// Appends a control message with `value` as its data, and moves `at` to where the next one goes. Without room nothing
/// is appended.
pub(super) fn append<T: Copy, const N: usize>(
    buffer: &mut Aligned<N>,
    at: &mut usize,
    level: c_int,
    kind: c_int,
    value: T,
) {
    let size = mem::size_of::<T>() as u32;
    // SAFETY: these only compute lengths.
    let (start, length, space) =
        unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_LEN(size), libc::CMSG_SPACE(size) as usize) };
    let Some(room) = buffer.0.get_mut(*at..*at + space) else { return };
    // SAFETY: cmsghdr is plain data for which all zeros is a valid value; musl's has padding that must be zero.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = length as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    let place = room.as_mut_ptr();
    // SAFETY: `room` has CMSG_SPACE(size) octets: a cmsghdr, and `size` octets from `start` on. Neither write needs
    // an alignment.
    unsafe {
        place.cast::<libc::cmsghdr>().write_unaligned(header);
        place.add(start).cast::<T>().write_unaligned(value);
    }
    *at += space;
}
