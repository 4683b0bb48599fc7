//! The few system calls that the tests need and the standard library does not have: entering a network
//! namespace, raw sockets, packet sockets, signals.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs `f` inside the network namespace `name`. A socket that `f` opens stays in that namespace, whoever uses
/// it afterwards.
pub fn in_netns<T: Send>(name: &str, f: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{name}")).expect("network namespace");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: the descriptor is open; only the calling thread changes its namespace, and it ends here.
            let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
            f()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whether two paths mean the same file.
pub fn is_same(one: &str, other: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &str| {
        let file = std::fs::metadata(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        (file.dev(), file.ino())
    };
    file(one) == file(other)
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A raw socket for IP protocol 115. `UdpSocket` is only the wrapper: its sending, receiving and timeouts are
/// those of any datagram socket (ports are ignored).
pub fn raw_socket(ipv6: bool) -> UdpSocket {
    let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET };
    UdpSocket::from(socket(family, libc::SOCK_RAW, 115).expect("raw socket"))
}

/// A raw socket for packets that bring their IPv4 header with them.
pub fn header_socket() -> UdpSocket {
    UdpSocket::from(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW).expect("raw socket"))
}

/// Binds a packet socket to an interface of the calling thread's namespace.
fn bind(fd: &OwnedFd, interface: &str, protocol: u16) {
    let name = std::ffi::CString::new(interface).expect("name");
    // SAFETY: `name` is a terminated string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "no interface {interface}");
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index as i32;
    let length = std::mem::size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the pointer and the length describe `address`.
    let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(result, 0, "bind: {}", io::Error::last_os_error());
}

/// Protocol 115 with Session ID 0 and UDP with the T bit, over IPv4 and IPv6; offsets count from the IP header.
/// Each row is code, jump if true, jump if false, operand; control messages jump to the last row.
const CONTROL_MESSAGES: [(u16, u8, u8, u32); 19] = [
    (0x30, 0, 0, 0), // version of IP
    (0x54, 0, 0, 0xf0),
    (0x15, 0, 7, 0x40), // not 4: row 10
    (0x30, 0, 0, 9),    // IPv4: protocol
    (0x15, 0, 2, 115),
    (0x20, 0, 0, 20), // Session ID
    (0x15, 11, 10, 0),
    (0x15, 0, 9, 17),
    (0x30, 0, 0, 28), // T bit after the UDP header
    (0x45, 8, 7, 0x80),
    (0x30, 0, 0, 6), // IPv6: next header
    (0x15, 0, 2, 115),
    (0x20, 0, 0, 40),
    (0x15, 4, 3, 0),
    (0x15, 0, 2, 17),
    (0x30, 0, 0, 48),
    (0x45, 1, 0, 0x80),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0x4_0000),
];

/// Keeps all control messages that pass an interface until somebody takes them.
pub struct ControlSocket(OwnedFd);

impl ControlSocket {
    /// Opens it on `interface`, which must be in the calling thread's namespace.
    pub fn open(interface: &str) -> ControlSocket {
        let fd = socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0).expect("packet socket");
        let mut rows = CONTROL_MESSAGES.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
        let program = libc::sock_fprog { len: rows.len() as u16, filter: rows.as_mut_ptr() };
        set_option(&fd, libc::SO_ATTACH_FILTER, &program);
        set_option(&fd, libc::SO_RCVBUFFORCE, &(256 << 20_i32));
        bind(&fd, interface, (libc::ETH_P_ALL as u16).to_be());
        ControlSocket(fd)
    }

    /// All packets so far, from the IP header on; true with those that were sent from here.
    pub fn take(&self) -> Vec<(bool, Vec<u8>)> {
        let mut packets = Vec::new();
        while let Some((kind, packet)) = next_packet(&self.0, libc::MSG_DONTWAIT) {
            packets.push((kind == libc::PACKET_OUTGOING, packet));
        }
        packets
    }

    /// How many packets found no room since this was last asked.
    pub fn missed(&self) -> u32 {
        // struct tpacket_stats: packets, and those of them that were dropped.
        let mut counts = [0_u32; 2];
        let mut length = std::mem::size_of_val(&counts) as u32;
        // SAFETY: the pointer and the length describe `counts`.
        let result = unsafe {
            let value = (&raw mut counts).cast();
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                value,
                &raw mut length,
            )
        };
        assert_eq!(result, 0, "packet statistics: {}", io::Error::last_os_error());
        counts[1]
    }
}

/// `T` must be what the option wants.
fn set_option<T>(fd: &OwnedFd, option: i32, value: &T) {
    let length = std::mem::size_of::<T>() as u32;
    // SAFETY: the pointer and the length describe `value`.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, std::ptr::from_ref(value).cast(), length)
    };
    assert_eq!(result, 0, "socket option {option}: {}", io::Error::last_os_error());
}

/// The next packet and its sll_pkttype; `None` where there is none (an error of the interface is passed over).
fn next_packet(fd: &OwnedFd, flags: i32) -> Option<(u8, Vec<u8>)> {
    let mut buffer = vec![0_u8; 70_000];
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    loop {
        let mut from_length = std::mem::size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: both buffers are described by their own lengths.
        let length = unsafe {
            libc::recvfrom(
                fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
                (&raw mut from).cast(),
                &raw mut from_length,
            )
        };
        if length >= 0 {
            return Some((from.sll_pkttype, buffer[..length as usize].to_vec()));
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::ENETDOWN | libc::EINTR) => {}
            _ => return None,
        }
    }
}

/// A socket that sends and receives whole Ethernet frames on one interface.
pub struct FrameSocket(OwnedFd);

impl FrameSocket {
    /// Opens it on `interface`, which must be in the calling thread's namespace.
    pub fn open(interface: &str) -> FrameSocket {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol)).expect("packet socket");
        // A burst of some hundred frames waits there until the test gets the processor.
        set_option(&fd, libc::SO_RCVBUFFORCE, &(16 << 20_i32));
        bind(&fd, interface, protocol);
        FrameSocket(fd)
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the pointer and the length describe `frame`.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(
            sent,
            frame.len() as isize,
            "send of {} octets: {}",
            frame.len(),
            io::Error::last_os_error()
        );
    }

    /// The next frame that came in (not one sent from here), or `None` at `deadline`. An 802.1Q tag that the
    /// kernel took out is not put back.
    pub fn receive(&self, deadline: Instant) -> Option<Vec<u8>> {
        loop {
            if !wait_readable(self.0.as_raw_fd(), deadline) {
                return None;
            }
            match next_packet(&self.0, libc::MSG_DONTWAIT) {
                Some((kind, frame)) if kind != libc::PACKET_OUTGOING => return Some(frame),
                _ => {}
            }
        }
    }
}

/// Waits until `fd` can be read; false at `deadline`.
pub fn wait_readable(fd: RawFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return false;
        }
        let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives through the call.
        let ready = unsafe { libc::poll(&raw mut entry, 1, left.as_millis() as i32 + 1) };
        if ready > 0 {
            return true;
        }
    }
}

/// Sends a signal to a process of ours.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: kill(2) takes no pointers.
    unsafe { libc::kill(pid as i32, signal) };
}

/// Lets an interrupt end the programs that are started from now on, though this one runs in the background.
pub fn hear_interrupts() {
    // SAFETY: no function is called when the signal comes.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

/// Makes getrandom(2) fail for the program that `command` starts, and for all that it starts: a seccomp filter.
pub fn refuse_getrandom(command: &mut Command) {
    let row = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut rows = [
        row(0x20, 0, 0), // the number of the call
        libc::sock_filter { jf: 1, ..row(0x15, 0, libc::SYS_getrandom as u32) },
        row(0x06, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        row(0x06, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let filter = libc::sock_fprog { len: rows.len() as u16, filter: rows.as_mut_ptr() };
        // SAFETY: the filter and its rows live through the calls.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) != 0
        };
        if failed {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: between fork and exec it makes two system calls and nothing else.
    unsafe { command.pre_exec(install) };
}

/// Processor time of this thread so far: what else the machine does is not in it.
pub fn thread_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes to `time` alone.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "clock_gettime");
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many programs (tcx) are at the ingress or egress of an interface.
pub fn tcx_programs(netns: &str, interface: &str, ingress: bool) -> u32 {
    let name = std::ffi::CString::new(interface).expect("name");
    in_netns(netns, || {
        // SAFETY: the name ends with NUL and lives through the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        asked_for_programs(index, ingress).expect("programs")
    })
}

/// The same for an interface of this namespace by its index; an error where the kernel has no such place, or a container
/// forbids to ask.
pub fn asked_for_programs(index: u32, ingress: bool) -> io::Result<u32> {
    // BPF_PROG_QUERY of bpf(2): interface, place, flags, flags of the place, ids, count.
    const PROG_QUERY: libc::c_int = 16;
    let mut attributes = [0u32; 16];
    attributes[0] = index;
    attributes[1] = if ingress { 46 } else { 47 };
    let length = std::mem::size_of_val(&attributes);
    // SAFETY: the attributes have the length given; they point to nothing.
    match unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, attributes.as_mut_ptr(), length) } {
        0 => Ok(attributes[6]),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A table of nftables with a chain that drops all that this namespace sends: made or removed.
pub fn filter_of_nftables(family: u8, is_there: bool) -> io::Result<()> {
    // linux/netfilter/nfnetlink.h, nf_tables.h.
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    const NEW_TABLE: u16 = 10 << 8;
    const DELETE_TABLE: u16 = 10 << 8 | 2;
    const NEW_CHAIN: u16 = 10 << 8 | 3;
    const REQUEST: u16 = 1;
    const ACK: u16 = 4;
    const CREATE: u16 = 0x400;
    let filled = |mut octets: Vec<u8>| {
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    };
    let attribute = |kind: u16, value: &[u8]| {
        let head = [(4 + value.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
        filled([&head, value].concat())
    };
    // struct nlmsghdr: length (4), type (2), flags (2), sequence (4), port (4); struct nfgenmsg: family, version, resource.
    let message = |kind: u16, flags: u16, family: u8, attributes: &[u8]| {
        let length = (20 + attributes.len() as u32).to_ne_bytes();
        let resource = if kind < 256 { 10 } else { 0 };
        let head = [kind.to_ne_bytes(), (flags | REQUEST).to_ne_bytes()].concat();
        filled([&length[..], &head, &[0; 8], &[family, 0, 0, resource], attributes].concat())
    };
    let name = |kind| attribute(kind, b"l2tpd-test\0");
    let hook = [attribute(1, &3u32.to_be_bytes()), attribute(2, &0u32.to_be_bytes())].concat();
    let (hook, drop) = (attribute(0x8000 | 4, &hook), attribute(5, &0u32.to_be_bytes()));
    let chain = [name(1), name(3), hook, drop, attribute(7, b"filter\0")].concat();
    let changes = match is_there {
        true => vec![
            message(NEW_TABLE, CREATE, family, &name(1)),
            message(NEW_CHAIN, CREATE | ACK, family, &chain),
        ],
        false => vec![message(DELETE_TABLE, ACK, family, &name(1))],
    };
    let all = [message(BEGIN, 0, 0, &[]), changes.concat(), message(END, 0, 0, &[])].concat();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else owns it.
    let mut socket = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let mut answer = [0; 4096];
    io::Write::write(&mut socket, &all)?;
    let got = io::Read::read(&mut socket, &mut answer)?;
    // struct nlmsgerr, of the first that is refused, or of the acknowledgement.
    match i32::from_ne_bytes(answer[16..20].try_into().expect("four")) {
        0 if got >= 20 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// A program at the ingress or egress of an interface, after those that are there (tcx): that is its verdict on all packets.
/// It is there as long as the result.
pub fn tcx_program(netns: &str, interface: &str, ingress: bool, verdict: i32) -> OwnedFd {
    // Commands of bpf(2), and BPF_PROG_TYPE_SCHED_CLS.
    const PROG_LOAD: libc::c_int = 5;
    const LINK_CREATE: libc::c_int = 28;
    const SCHED_CLS: u64 = 3;
    // BPF_MOV64_IMM(BPF_REG_0, verdict), BPF_EXIT_INSN().
    let code = [0xb7 | (verdict as u32 as u64) << 32, 0x95];
    let licence = c"ISC";
    let open = |command: libc::c_int, attributes: [u64; 6]| {
        let length = std::mem::size_of_val(&attributes);
        // SAFETY: the attributes have the length given; what they point to lives through the call.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), length) };
        assert!(fd >= 0, "bpf: {}", io::Error::last_os_error());
        // SAFETY: the descriptor is new, and nobody else owns it.
        unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
    };
    // Kind and count of instructions (4 + 4), instructions, licence. Then: program and interface (4 + 4), place and flags.
    let pointers = [code.as_ptr() as usize as u64, licence.as_ptr() as usize as u64];
    let program = open(PROG_LOAD, [SCHED_CLS | 2 << 32, pointers[0], pointers[1], 0, 0, 0]);
    let name = std::ffi::CString::new(interface).expect("name");
    in_netns(netns, || {
        // SAFETY: the name ends with NUL and lives through the call.
        let index = u64::from(unsafe { libc::if_nametoindex(name.as_ptr()) });
        let place = if ingress { 46 } else { 47 };
        open(LINK_CREATE, [program.as_raw_fd() as u64 | index << 32, place, 0, 0, 0, 0])
    })
}
