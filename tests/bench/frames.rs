//! Counts how many UDP datagrams of given sizes get through a path, without ever overloading it: at most `WINDOW`
//! of them are on their way, and each `EVERY` are acknowledged. A plain file for `rustc -O`, nothing but std and
//! the C library's sendmmsg and recvmmsg.
//!
//!     frames serve LOCAL REMOTE                       acknowledges what comes, for ever
//!     frames send LOCAL REMOTE SECONDS SIZE[,SIZE]    one line: datagrams and octets a second that arrived, lost
//!
//! LOCAL and REMOTE are ADDRESS:PORT.
//!
//! A datagram begins with its number (8 octets); number 0 starts a new count. An acknowledgement holds the highest
//! number received, plus 1, and the count of those received.

use std::ffi::c_void;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::time::{Duration, Instant};

const WINDOW: u64 = 256;
const EVERY: u64 = 16;
const BATCH: usize = 64;
const LONGEST: usize = 9000;

#[repr(C)]
struct IoVec {
    base: *mut c_void,
    length: usize,
}

#[repr(C)]
struct Header {
    name: *mut c_void,
    name_length: u32,
    parts: *mut IoVec,
    part_count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: i32,
}

#[repr(C)]
struct Message {
    header: Header,
    length: u32,
}

const MSG_WAITFORONE: i32 = 0x10000;

extern "C" {
    fn sendmmsg(fd: i32, messages: *mut Message, count: u32, flags: i32) -> i32;
    fn recvmmsg(fd: i32, messages: *mut Message, count: u32, flags: i32, timeout: *mut c_void) -> i32;
}

/// Room for a batch of datagrams.
struct Batch {
    octets: Vec<[u8; LONGEST]>,
    lengths: [usize; BATCH],
}

impl Batch {
    fn new() -> Batch {
        Batch { octets: vec![[0; LONGEST]; BATCH], lengths: [LONGEST; BATCH] }
    }

    /// Sends the first `count` datagrams to where the socket is connected.
    fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        self.exchange(count, |messages, count| unsafe { sendmmsg(socket.as_raw_fd(), messages, count, 0) })
    }

    /// Receives as many as are there, at least one; their lengths are in `lengths`.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.lengths = [LONGEST; BATCH];
        self.exchange(BATCH, |messages, count| unsafe {
            recvmmsg(socket.as_raw_fd(), messages, count, MSG_WAITFORONE, null_mut())
        })
    }

    fn exchange(&mut self, count: usize, call: impl FnOnce(*mut Message, u32) -> i32) -> io::Result<usize> {
        let mut parts: Vec<IoVec> = (self.octets.iter_mut().zip(self.lengths))
            .map(|(octets, length)| IoVec { base: octets.as_mut_ptr().cast(), length })
            .collect();
        let mut messages: Vec<Message> = (parts.iter_mut().take(count))
            .map(|parts| Header {
                name: null_mut(),
                name_length: 0,
                parts,
                part_count: 1,
                control: null_mut(),
                control_length: 0,
                flags: 0,
            })
            .map(|header| Message { header, length: 0 })
            .collect();
        let done = call(messages.as_mut_ptr(), count as u32);
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        for (length, message) in self.lengths.iter_mut().zip(messages).take(done as usize) {
            *length = message.length as usize;
        }
        Ok(done as usize)
    }
}

fn number(octets: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(octets[at..at + 8].try_into().unwrap())
}

/// Number 0 tells of a new sender.
fn serve(local: &str, remote: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(local)?;
    socket.connect(remote)?;
    let mut batch = Batch::new();
    let (mut highest, mut count, mut acknowledged) = (0, 0, 0);
    loop {
        // An error is ICMP's answer to an acknowledgement that came when the sender had ended.
        let Ok(got) = batch.receive(&socket) else { continue };
        for (octets, length) in batch.octets.iter().zip(batch.lengths).take(got) {
            if length < 8 {
                continue;
            }
            let number = number(octets, 0);
            if number == 0 {
                (highest, count, acknowledged) = (0, 0, 0);
            }
            highest = highest.max(number + 1);
            count += 1;
        }
        if count - acknowledged >= EVERY || count <= EVERY {
            acknowledged = count;
            let mut answer = [0; 18];
            answer[..8].copy_from_slice(&u64::to_be_bytes(highest));
            answer[8..16].copy_from_slice(&u64::to_be_bytes(count));
            let _ = socket.send(&answer);
        }
    }
}

struct Sender {
    socket: UdpSocket,
    sizes: Vec<usize>,
    batch: Batch,
    sent: u64,
    highest: u64,
    received: u64,
    lost: u64,
}

impl Sender {
    /// Sends as much as the window allows.
    fn fill(&mut self) {
        while self.sent < self.highest + WINDOW {
            let count = (self.highest + WINDOW - self.sent).min(BATCH as u64) as usize;
            for at in 0..count {
                let number = self.sent + at as u64;
                self.batch.octets[at][..8].copy_from_slice(&number.to_be_bytes());
                self.batch.lengths[at] = self.sizes[number as usize % self.sizes.len()];
            }
            match self.batch.send(&self.socket, count) {
                Ok(done) if done > 0 => self.sent += done as u64,
                _ => return,
            }
        }
    }

    /// Waits for acknowledgements; after a while without any, what is on its way counts as lost.
    fn wait(&mut self) {
        let mut answer = [0; 32];
        match self.socket.recv(&mut answer) {
            Ok(16..) => {
                self.highest = self.highest.max(number(&answer, 0));
                self.received = self.received.max(number(&answer, 8));
            }
            Ok(_) => {}
            Err(_) => {
                self.lost += self.sent - self.highest;
                self.highest = self.sent;
            }
        }
    }
}

fn send(local: &str, remote: &str, seconds: f64, sizes: &str) -> Result<(), Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind(local)?;
    socket.connect(remote)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let sizes = sizes.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    assert!(sizes.iter().all(|size| (8..=LONGEST).contains(size)), "sizes are 8 to {LONGEST}");
    let mut sender = Sender { socket, sizes, batch: Batch::new(), sent: 0, highest: 0, received: 0, lost: 0 };
    // The first one alone: it opens the count, and ARP keeps only few datagrams that wait for it.
    for _ in 0..100 {
        sender.batch.octets[0][..8].fill(0);
        sender.batch.lengths[0] = sender.sizes[0];
        sender.batch.send(&sender.socket, 1)?;
        sender.sent = 1;
        sender.wait();
        if sender.received > 0 {
            break;
        }
    }
    if sender.received == 0 {
        return Err("no answer".into());
    }
    let (start, first) = (Instant::now(), sender.received);
    while start.elapsed().as_secs_f64() < seconds {
        sender.fill();
        sender.wait();
    }
    let elapsed = start.elapsed().as_secs_f64();
    let rate = (sender.received - first) as f64 / elapsed;
    let mean = sender.sizes.iter().sum::<usize>() as f64 / sender.sizes.len() as f64;
    println!("{rate:.0} {:.0} {}", rate * mean, sender.lost);
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["serve", local, remote] => serve(local, remote).map_err(Into::into),
        ["send", local, remote, seconds, sizes] => send(local, remote, seconds.parse().unwrap_or(1.0), sizes),
        _ => Err("usage: frames serve LOCAL REMOTE | frames send LOCAL REMOTE SECONDS SIZE[,SIZE]".into()),
    };
    if let Err(error) = result {
        eprintln!("frames: {error}");
        std::process::exit(1);
    }
}
