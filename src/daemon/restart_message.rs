//! What the two programs of a restart say to each other: the first octet of each message. They may be of different
//! versions, so none of these ever comes to mean something else.

/// The first argument of the new program; the number of the descriptor that leads to the other program follows.
pub const ARGUMENT: &str = "--take-over";

/// The new one has read the configuration, and has given up its rights.
pub const READY: u8 = b'r';
/// Look whether you understand this state.
pub const LOOK: u8 = b'l';
/// It does.
pub const UNDERSTOOD: u8 = b'u';
/// These are descriptors.
pub const DESCRIPTORS: u8 = b'd';
/// This is the state: go on with it.
pub const TAKE: u8 = b't';
/// The new one is ready; its pid follows.
pub const TAKEN: u8 = b'n';
/// The old one has let go; signals that it got last follow. The connection is of no use any more.
pub const GO: u8 = b'g';
/// The same, but the old one stays, to keep its pid: it sends the signals that it gets.
pub const GO_KEPT: u8 = b'k';
/// The new one refuses; why follows.
pub const REFUSED: u8 = b'x';

/// Why the new program refuses, if it does.
pub fn refusal(octets: &[u8]) -> Option<String> {
    let (&REFUSED, why) = octets.split_first()? else { return None };
    Some(String::from_utf8_lossy(why).into_owned())
}

/// The pid of the new program, if it is ready.
pub fn taken(octets: &[u8]) -> Option<u32> {
    let (&TAKEN, pid) = octets.split_first()? else { return None };
    Some(u32::from_be_bytes(pid.try_into().ok()?))
}
