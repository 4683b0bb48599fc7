//! Filters of the sockets (classic BPF): what the kernel does not queue costs next to nothing, and takes no room from the
//! rest.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use libc::{c_int, c_void};

use crate::sys::cvt;
pub use crate::sys::kinds::{Kind, Needed, OtherSocket};
use crate::sys::socket::Socket;

/// Whether sockets have filters.
pub const FILTERS: bool = true;
/// Instructions that the kernel takes.
const MOST_STEPS: usize = 4096;
/// Ids that are compared one by one.
const LEAF: usize = 8;
/// Octets of a UDP header, which the filter of a UDP socket sees.
const UDP_HEADER: u32 = 8;
/// The T bit of the first two octets: a control message (RFC 3931 3.2.1).
const CONTROL: u32 = 0x8000;

/// Octets over IP from the Session ID, which is 0, to the Control Connection ID (RFC 3931 4.1.1.2).
const CONNECTION_ID: u32 = 8;

fn all_control(needed: &Needed<'_>) -> bool {
    needed.strangers == 1 && needed.other_connections == 1
}

/// With a limit to the ids; where they are too many, more is received than is needed.
fn limited(needed: Needed<'_>) -> Needed<'_> {
    let connections = if needed.other_connections > 1 { needed.connections.len() } else { 0 };
    let sessions = if needed.other_sessions > 1 { needed.sessions.len() } else { 0 };
    match connections + sessions <= Needed::MOST_IDS {
        true => needed,
        false => Needed { other_connections: 1, other_sessions: 1, ..needed },
    }
}

/// Has the kernel drop everything that comes to a socket and is not of its kind, or not needed, or what other sockets get.
pub fn attach(socket: &Socket, kind: Kind, needed: Needed<'_>, others: &[OtherSocket]) -> io::Result<()> {
    let mut program = whole_program(socket.local().is_ipv4(), kind, needed, others);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let length = mem::size_of_val(&program) as libc::socklen_t;
    let pointer = std::ptr::from_ref(&program).cast::<c_void>();
    let (fd, option): (RawFd, _) = (socket.as_raw_fd(), libc::SO_ATTACH_FILTER);
    // SAFETY: `pointer` points to a sock_fprog, and that to as many instructions as it says; both live through
    // the call.
    cvt(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, pointer, length) })?;
    Ok(())
}

fn step(code: u32, yes: u8, no: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: yes, jf: no, k }
}

const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const GREATER: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

fn yes() -> libc::sock_filter {
    step(RETURN, 0, 0, u32::MAX)
}

fn no() -> libc::sock_filter {
    step(RETURN, 0, 0, 0)
}

/// Accepts one in `count` packets.
fn sample(count: u32) -> Vec<libc::sock_filter> {
    if count == 1 {
        return vec![yes()];
    }
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, random),
        step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, count - 1),
        no(),
        yes(),
    ]
}

/// What `others` takes is dropped before anything else is asked.
fn whole_program(
    ipv4: bool,
    kind: Kind,
    needed: Needed<'_>,
    others: &[OtherSocket],
) -> Vec<libc::sock_filter> {
    let mut whole: Vec<libc::sock_filter> = others.iter().flat_map(|other| drop_other(*other)).collect();
    let rest = program(ipv4, kind, limited(needed));
    match whole.len() + rest.len() <= MOST_STEPS {
        true => whole.extend(rest),
        false => whole.extend(program(ipv4, kind, Needed::ALL)),
    }
    whole
}

/// Drops what another socket gets.
fn drop_other(other: OtherSocket) -> Vec<libc::sock_filter> {
    let load = |at: c_int| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at as u32);
    // Where the destination stands in the IP header, and its words.
    let (at, words) = match other.local {
        None => (0, Vec::new()),
        Some(IpAddr::V4(address)) => (16, vec![address.to_bits()]),
        Some(IpAddr::V6(address)) => (
            24,
            address.octets().chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]])).collect(),
        ),
    };
    let mut tests = vec![(load(libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX), other.index as u32)];
    let words = words.into_iter().enumerate();
    tests.extend(words.map(|(n, word)| (load(libc::SKF_NET_OFF + at + 4 * n as c_int), word)));
    let count = tests.len();
    let mut program = Vec::new();
    for (n, (load, value)) in tests.into_iter().enumerate() {
        // If one fails the others are passed over, and the end.
        program.extend([load, step(EQUAL, 0, (2 * (count - 1 - n) + 1) as u8, value)]);
    }
    program.push(no());
    program
}

fn program(ipv4: bool, kind: Kind, needed: Needed<'_>) -> Vec<libc::sock_filter> {
    match kind {
        Kind::IpControl | Kind::IpData => over_ip(ipv4, kind, needed),
        Kind::Udp if all_control(&needed) && needed.other_sessions == 1 => vec![yes()],
        Kind::Udp => over_udp(needed),
    }
}

/// The Session ID decides (RFC 3931 4.1.1).
fn over_ip(ipv4: bool, kind: Kind, needed: Needed<'_>) -> Vec<libc::sock_filter> {
    let (load_x, load) = match ipv4 {
        // Over IPv4 the packet begins with the IP header, whose length the low half of its first octet tells.
        true => (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, libc::BPF_IND),
        false => (libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, libc::BPF_ABS),
    };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | load, 0, 0, at);
    let mut program = vec![step(load_x, 0, 0, 0), load(0)];
    if kind == Kind::IpControl {
        program.extend([step(EQUAL, 1, 0, 0), no()]);
        match all_control(&needed) {
            true => program.push(yes()),
            false => {
                program.push(load(CONNECTION_ID));
                program.extend(control(needed));
            }
        }
    } else {
        program.extend([step(EQUAL, 0, 1, 0), no()]);
        search(needed.sessions, needed.other_sessions, &mut program);
    }
    program
}

/// The T bit decides (RFC 3931 4.1.2); the id of the session or the connection stands at the same place.
fn over_udp(needed: Needed<'_>) -> Vec<libc::sock_filter> {
    let load = |size, at| step(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, UDP_HEADER + at);
    let mut data = vec![load(libc::BPF_W, 4)];
    search(needed.sessions, needed.other_sessions, &mut data);
    let flags = step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, CONTROL);
    let jump = step(libc::BPF_JMP | libc::BPF_JA, 0, 0, data.len() as u32);
    let mut program = vec![load(libc::BPF_H, 0), flags, jump];
    program.extend(data);
    program.push(load(libc::BPF_W, 4));
    program.extend(control(needed));
    program
}

/// What becomes of a control message whose Control Connection ID is loaded.
fn control(needed: Needed<'_>) -> Vec<libc::sock_filter> {
    let strangers = sample(needed.strangers);
    let mut program = vec![step(EQUAL, 0, strangers.len() as u8, 0)];
    program.extend(strangers);
    search(needed.connections, needed.other_connections, &mut program);
    program
}

/// Looks for the loaded id among these by halves; of others one in so many passes.
fn search(ids: &[u32], others: u32, program: &mut Vec<libc::sock_filter>) {
    if others == 1 {
        return program.push(yes());
    }
    let (low, high) = ids.split_at(ids.len() / 2);
    match low.last().filter(|_| ids.len() > LEAF) {
        Some(middle) => {
            let mut before = Vec::new();
            search(low, others, &mut before);
            let jump = libc::BPF_JMP | libc::BPF_JA;
            program.extend([step(GREATER, 0, 1, *middle), step(jump, 0, 0, before.len() as u32)]);
            program.extend(before);
            search(high, others, program);
        }
        None => {
            for (at, id) in ids.iter().enumerate() {
                program.push(step(EQUAL, (ids.len() - 1 - at) as u8 + 3, 0, *id));
            }
            program.extend(sample(others));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program over a packet, with a random number that is odd.
    fn run(program: &[libc::sock_filter], packet: &[u8]) -> bool {
        run_from(program, packet, 0, &[])
    }

    /// Runs a program over a packet that came by the interface with this index, and has this IP header.
    fn run_from(program: &[libc::sock_filter], packet: &[u8], index: u32, header: &[u8]) -> bool {
        let word = |at: usize| packet.get(at..at + 4).map(|w| u32::from_be_bytes(w.try_into().unwrap()));
        let (mut a, mut x, mut at) = (0, 0, 0);
        loop {
            let step = program[at];
            at += 1;
            let ahead = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match u32::from(step.code) {
                code if code == libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH => {
                    x = u32::from(packet[0] & 15) * 4
                }
                code if code == libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM => x = step.k,
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS && step.k > 0xfff0_0000 => {
                    let at = (step.k as i32).wrapping_sub(libc::SKF_NET_OFF);
                    a = match step.k as i32 - libc::SKF_AD_OFF {
                        libc::SKF_AD_IFINDEX => index,
                        libc::SKF_AD_RANDOM => 1,
                        _ => u32::from_be_bytes(header[at as usize..at as usize + 4].try_into().unwrap()),
                    };
                }
                code if code == libc::BPF_LD | libc::BPF_H | libc::BPF_ABS => match word(step.k as usize) {
                    Some(word) => a = word >> 16,
                    None => return false,
                },
                code if code & 7 == 0 && [libc::BPF_IND, libc::BPF_ABS].contains(&(code & 0xe0)) => {
                    let base = if code & 0xe0 == libc::BPF_IND { x } else { 0 };
                    match word((base + step.k) as usize) {
                        Some(word) => a = word,
                        None => return false,
                    }
                }
                EQUAL => at += ahead(a == step.k),
                GREATER => at += ahead(a > step.k),
                RETURN => return step.k > 0,
                code if code == libc::BPF_JMP | libc::BPF_JA => at += step.k as usize,
                code if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => at += ahead(a & step.k != 0),
                code => panic!("{code:#x}"),
            }
        }
    }

    fn packet(ipv4: bool, words: &[u32]) -> Vec<u8> {
        let mut packet = if ipv4 { vec![0x46; 24] } else { Vec::new() };
        packet.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        packet
    }

    /// With one in 16 of everything that nobody needs.
    const FEW: Needed<'static> = Needed {
        strangers: 16,
        connections: &[7],
        other_connections: 16,
        sessions: &[9],
        other_sessions: 16,
    };

    #[test]
    fn control_and_data_go_their_own_ways() {
        for ipv4 in [true, false] {
            let accepts =
                |kind, needed, words: &[u32]| run(&program(ipv4, kind, needed), &packet(ipv4, words));
            let (request, message, other) = ([0, 0xc803_0014, 0, 0], [0, 0xc803_0014, 7, 0], [0, 0, 8, 0]);
            let (data, others) = ([9, 1, 2, 3], [8, 1, 2, 3]);
            for control in [request, message, other] {
                assert!(accepts(Kind::IpControl, Needed::ALL, &control));
                assert!(!accepts(Kind::IpData, Needed::ALL, &control));
            }
            for data in [data, others] {
                assert!(!accepts(Kind::IpControl, Needed::ALL, &data));
                assert!(accepts(Kind::IpData, Needed::ALL, &data));
            }
            let taken = |words| (accepts(Kind::IpControl, FEW, words), accepts(Kind::IpData, FEW, words));
            assert_eq!(
                [&request, &message, &other].map(|m| taken(m)),
                [(false, false), (true, false), (false, false)]
            );
            assert_eq!([&data, &others].map(|m| taken(m)), [(false, true), (false, false)]);
            assert!(!accepts(Kind::IpData, Needed::ALL, &[]), "short");
        }
    }

    #[test]
    fn one_socket_has_both_over_udp() {
        let accepts = |needed: Needed<'_>, words: &[u32]| {
            let words = words.iter().flat_map(|word| word.to_be_bytes());
            run(&program(true, Kind::Udp, needed), &[0; 8].into_iter().chain(words).collect::<Vec<u8>>())
        };
        let (request, message, other) = ([0xc803_0014, 0, 0], [0xc803_0014, 7, 0], [0xc803_0014, 9, 0]);
        let (data, others) = ([0x0003_0000, 9, 1], [0x0003_0000, 7, 1]);
        for packet in [request, message, other, data, others] {
            assert!(accepts(Needed::ALL, &packet));
        }
        assert!(accepts(Needed::ALL, &[]), "what is too short is counted");
        let taken = [request, message, other, data, others].map(|packet| accepts(FEW, &packet));
        assert_eq!(taken, [false, true, false, true, false]);
        let only = Needed { other_sessions: 16, sessions: &[9], ..Needed::ALL };
        let taken = [request, message, other, data, others].map(|packet| accepts(only, &packet));
        assert_eq!(taken, [true, true, true, true, false]);
    }

    #[test]
    fn what_other_sockets_get_is_dropped() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (ipv4, mine, other) in [(true, "192.0.2.1", "192.0.2.2"), (false, "2001:db8::1", "2001:db8::2")] {
            let header = |to: &str| match address(to) {
                IpAddr::V4(to) => [&[0; 16][..], &to.octets()].concat(),
                IpAddr::V6(to) => [&[0; 24][..], &to.octets()].concat(),
            };
            let program = |others: &[OtherSocket]| whole_program(ipv4, Kind::IpData, Needed::ALL, others);
            let accepts = |program: &[libc::sock_filter], index, to: &str| {
                run_from(program, &packet(ipv4, &[9, 1, 2, 3]), index, &header(to))
            };
            let all =
                program(&[OtherSocket { index: 5, local: None }, OtherSocket { index: 6, local: None }]);
            assert!(accepts(&all, 4, mine) && !accepts(&all, 5, mine) && !accepts(&all, 6, other));
            let some = program(&[OtherSocket { index: 5, local: Some(address(mine)) }]);
            assert!(accepts(&some, 4, mine) && !accepts(&some, 5, mine) && accepts(&some, 5, other));
        }
        let ids: Vec<u32> = (1..=Needed::MOST_IDS as u32).collect();
        let many = [OtherSocket { index: 5, local: None }; 300];
        let needed = Needed { sessions: &ids, other_sessions: 64, ..Needed::ALL };
        let program = whole_program(true, Kind::IpData, needed, &many);
        assert!(program.len() <= MOST_STEPS, "{}", program.len());
        let (half, rest) = ids.split_at(Needed::MOST_IDS / 2);
        let both = Needed { connections: half, sessions: rest, ..FEW };
        let program = super::whole_program(true, Kind::Udp, both, &[]);
        assert!(program.len() <= MOST_STEPS && program.len() > Needed::MOST_IDS, "{}", program.len());
        let too_many = Needed { connections: &ids, sessions: rest, ..FEW };
        assert!(super::whole_program(true, Kind::Udp, too_many, &[]).len() < 20);
    }

    #[test]
    fn known_ids_are_found_however_many_there_are() {
        for count in [1, 8, 9, 17, 100, Needed::MOST_IDS] {
            let known: Vec<u32> = (1..=count as u32).map(|n| n * 1_000_003).collect();
            let needed = Needed { sessions: &known, other_sessions: 64, ..Needed::ALL };
            let program = program(true, Kind::IpData, needed);
            assert!(program.len() <= 4096, "{}", program.len());
            for id in &known {
                assert!(run(&program, &packet(true, &[*id])), "{id} of {count}");
                assert!(!run(&program, &packet(true, &[id + 1])) && !run(&program, &packet(true, &[id - 1])));
            }
        }
    }
}
