//! The reference: the plainest data path there is. One read and one send for each frame, one receive and one write;
//! no offloads, no batches, nothing joined or cut. It shares no code with the daemon.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sys::{in_netns, raw_socket, wait_readable};
use crate::world::{Sublayer, Variant, Wire};

/// Opens a TAP interface without any offload, in the calling thread's namespace.
fn open_tap(name: &str) -> File {
    let file = File::options().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the request outlives the call and holds a terminated name.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(result, 0, "TUNSETIFF {name}: {}", std::io::Error::last_os_error());
    file
}

/// A receive buffer that holds what a burst of the other end brings.
fn large_buffer(socket: &UdpSocket) {
    let size: i32 = 32 << 20;
    // SAFETY: the pointer and the length describe `size`.
    let result = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE);
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const size).cast(), 4)
    };
    assert_eq!(result, 0, "SO_RCVBUFFORCE");
}

/// One session of the forwarder: its interface, and what stands before a frame in each direction.
struct Session {
    tap: Arc<File>,
    expected: Vec<u8>,
    sublayer: Sublayer,
    next: u32,
}

pub struct Naive {
    stop: Arc<AtomicBool>,
    /// Messages that were not what they should be: the first few of them in words.
    faults: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Naive {
    /// Starts the forwarder as host 2 of the world, with an interface for each variant.
    pub fn start(netns: &str, wire: Wire, variants: &[Variant]) -> Naive {
        let [remote, local] = wire.ends();
        let (remote, local) = (SocketAddr::new(remote, wire.port()), SocketAddr::new(local, wire.port()));
        let socket = in_netns(netns, || match wire.udp {
            true => UdpSocket::bind(local).expect("UDP socket"),
            false => raw_socket(wire.ipv6),
        });
        large_buffer(&socket);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
        let mut naive = Naive { stop: Arc::default(), faults: Arc::default(), threads: Vec::new() };
        let mut sessions = Vec::new();
        for variant in variants {
            let tap = Arc::new(in_netns(netns, || open_tap(&variant.interface)));
            let socket = socket.try_clone().expect("socket");
            let (stop, reader, head) = (Arc::clone(&naive.stop), Arc::clone(&tap), variant.head(wire, 1));
            let sublayer = variant.sublayer;
            let send = move || send_frames(&stop, &reader, &socket, remote, &head, sublayer);
            naive.threads.push(std::thread::spawn(send));
            let expected = variant.head(wire, 2);
            sessions.push(Session { tap, expected, sublayer: variant.sublayer, next: 0 });
        }
        let (stop, faults) = (Arc::clone(&naive.stop), Arc::clone(&naive.faults));
        let strip = !wire.udp && !wire.ipv6;
        naive
            .threads
            .push(std::thread::spawn(move || receive_frames(&stop, &socket, strip, sessions, &faults)));
        naive
    }

    /// Ends it; all that it received must have been proper.
    #[track_caller]
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("forwarder");
        }
        let faults = self.faults.lock().expect("faults");
        assert!(
            faults.is_empty(),
            "the reference received {} bad messages: {:?}",
            faults.len(),
            faults.first()
        );
    }
}

/// From the interface to the other end.
fn send_frames(
    stop: &AtomicBool,
    tap: &File,
    socket: &UdpSocket,
    to: SocketAddr,
    head: &[u8],
    sub: Sublayer,
) {
    let mut buffer = vec![0_u8; 70_000];
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        if !wait_readable(tap.as_raw_fd(), Instant::now() + Duration::from_millis(50)) {
            continue;
        }
        let mut tap = tap;
        // An interface that is down cannot be read, and is readable all the same.
        let Ok(length) = tap.read(&mut buffer) else {
            std::thread::sleep(Duration::from_millis(10)); // not to spin
            continue;
        };
        let mut message = head.to_vec();
        match sub {
            Sublayer::None => {}
            Sublayer::Default => message.extend([0; 4]),
            Sublayer::Sequenced => {
                message.extend((0x4000_0000 | number).to_be_bytes());
                number = (number + 1) & 0x00ff_ffff;
            }
        }
        message.extend(&buffer[..length]);
        let _ = socket.send_to(&message, to);
    }
}

/// From the other end to the interfaces.
fn receive_frames(
    stop: &AtomicBool,
    socket: &UdpSocket,
    strip: bool,
    mut sessions: Vec<Session>,
    faults: &Mutex<Vec<String>>,
) {
    let mut buffer = vec![0_u8; 70_000];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let mut message = &buffer[..length];
        if strip {
            message = &message[usize::from(message[0] & 15) * 4..];
        }
        let session = sessions.iter_mut().find(|session| message.starts_with(&session.expected));
        let result = match session {
            Some(session) => session.receive(message),
            None => {
                Err(format!("{length} octets for no session: {:02x?}", &message[..message.len().min(24)]))
            }
        };
        if let Err(fault) = result {
            faults.lock().expect("faults").push(fault);
        }
    }
}

impl Session {
    fn receive(&mut self, message: &[u8]) -> Result<(), String> {
        let mut rest = &message[self.expected.len()..];
        if self.sublayer != Sublayer::None {
            let (sublayer, frame) = rest.split_first_chunk::<4>().ok_or("no sublayer")?;
            let sublayer = u32::from_be_bytes(*sublayer);
            let expected = if self.sublayer == Sublayer::Sequenced { 0x4000_0000 | self.next } else { 0 };
            if sublayer != expected {
                return Err(format!("sublayer {sublayer:08x} instead of {expected:08x}"));
            }
            self.next = (self.next + 1) & 0x00ff_ffff;
            rest = frame;
        }
        // The interface may be down: what comes then (IPv6's own messages) is nobody's.
        let _ = (&*self.tap).write(rest);
        Ok(())
    }
}
