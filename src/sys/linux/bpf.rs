//! bpf(2): programs and maps in the kernel, and links that put a program at the ingress of an interface (tcx, Linux 6.6).
//! All of them are descriptors: what is closed, however that comes, is gone. At the egress of our own interfaces programs
//! are filters of a qdisc, which are gone with the interface.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::netlink::{self, field, nested};
use super::tap::Tap;
use crate::sys::{cvt, error_text};

// linux/bpf.h, which libc lacks.

const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;

/// The commands that are needed once programs are loaded and maps made.
pub const LATER: [libc::c_int; 4] = [MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, LINK_CREATE];

const HASH: u32 = 1;
const PERCPU_HASH: u32 = 5;
/// Memory is taken as values come.
const NO_PREALLOC: u32 = 1;
const SCHED_CLS: u32 = 3;
const TCX_INGRESS: u32 = 46;
// linux/pkt_sched.h, linux/pkt_cls.h.
/// The qdisc that has nothing but filters, its handle, and what their parent is at the egress.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const CLSACT_EGRESS: u32 = 0xffff_fff3;
/// Our filter: its handle, its parent, and that it is after all that somebody else puts there, for all protocols.
const FILTER: [u32; 3] = [1, CLSACT_EGRESS, 0xffff << 16 | (libc::ETH_P_ALL as u16).to_be() as u32];
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
/// What the program returns is what happens.
const DIRECT_ACTION: u32 = 1;
/// Octets that the verifier may explain a refusal with.
const LOG: usize = 1 << 16;

/// The beginnings of union bpf_attr that the commands here know.
#[repr(C)]
#[derive(Default)]
struct MapAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramAttributes {
    kind: u32,
    length: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    place: u32,
    flags: u32,
    relative_to: u32,
    padding: u32,
    revision: u64,
}

/// One command; its result, which is a descriptor or zero.
///
/// # Safety
///
/// `attributes` begins as bpf(2) wants it for the command, and what it points to lives through the call.
unsafe fn command<T>(number: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the pointer and the length are those of `attributes`; the rest is the caller's.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, number, std::ptr::from_ref(attributes), mem::size_of::<T>()) };
    cvt(result as libc::c_int)
}

/// As [`command`], of those whose result is a descriptor.
///
/// # Safety
///
/// As with [`command`].
unsafe fn open<T>(number: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's; the descriptor is new and nobody else owns it.
    unsafe { command(number, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn address<T>(octets: &[T]) -> u64 {
    octets.as_ptr() as usize as u64
}

/// Octets by keys of four octets.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    /// Octets of what a lookup gives.
    size: usize,
}

impl Map {
    /// A map for so many values of `size` octets, a multiple of eight. `each_processor`: a value consists of one for each
    /// processor, and programs see that of theirs.
    pub fn new(entries: u32, size: usize, each_processor: bool) -> io::Result<Map> {
        let kind = if each_processor { PERCPU_HASH } else { HASH };
        let value_size = size as u32;
        let attributes = MapAttributes { kind, key_size: 4, value_size, entries, flags: NO_PREALLOC };
        // SAFETY: the attributes are those of this command, and point to nothing.
        let fd = unsafe { open(MAP_CREATE, &attributes)? };
        let size = if each_processor { size * possible_processors()? } else { size };
        Ok(Map { fd, size })
    }

    fn element(&self, key: &[u8; 4], value: u64) -> ElementAttributes {
        let map = self.fd.as_raw_fd() as u32;
        ElementAttributes { map, key: address(key), value, ..ElementAttributes::default() }
    }

    /// The value of a key; with one for each processor, all of them in a row. `NotFound`: there is none.
    pub fn get(&self, key: [u8; 4]) -> io::Result<Vec<u8>> {
        let mut value = vec![0; self.size];
        let attributes = self.element(&key, value.as_mut_ptr() as usize as u64);
        // SAFETY: the attributes are those of this command; key and value are as long as those of the map.
        unsafe { command(MAP_LOOKUP_ELEM, &attributes)? };
        Ok(value)
    }

    /// Sets the value of a key at once; `value` is as long as [`get`](Map::get) gives it, or an error.
    pub fn set(&self, key: [u8; 4], value: &[u8]) -> io::Result<()> {
        if value.len() != self.size {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let attributes = self.element(&key, address(value));
        // SAFETY: as above.
        unsafe { command(MAP_UPDATE_ELEM, &attributes).map(|_| ()) }
    }

    /// Sets all octets of the value of a key to zero.
    pub fn clear(&self, key: [u8; 4]) -> io::Result<()> {
        self.set(key, &vec![0; self.size])
    }

    /// Removes a key. `NotFound`: it was not there.
    pub fn remove(&self, key: [u8; 4]) -> io::Result<()> {
        // SAFETY: as above; there is no value.
        unsafe { command(MAP_DELETE_ELEM, &self.element(&key, 0)).map(|_| ()) }
    }

    /// From now on it is this one of another program, which has values of the same kind.
    pub fn adopt(&mut self, fd: OwnedFd) {
        self.fd = fd;
    }

    /// What programs name it by when they are loaded.
    pub fn descriptor(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// How many processors there may ever be: `0-3` or `0`.
fn possible_processors() -> io::Result<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    last.map(|last| last + 1).ok_or(io::ErrorKind::InvalidData.into())
}

/// A program for packets at an interface.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads a program; the name is for those who list programs. A refusal of the verifier has its last words, which are
    /// asked for then alone: a program that is taken would be refused if there were no room for all of them.
    pub fn load(name: &str, code: &[[u8; 8]]) -> io::Result<Program> {
        let error = match Program::try_load(name, code, &mut []) {
            Ok(program) => return Ok(program),
            Err(error) => error,
        };
        let mut log = vec![0u8; LOG];
        let _ = Program::try_load(name, code, &mut log);
        let words = String::from_utf8_lossy(&log).trim_end_matches('\0').trim_end().to_owned();
        let lines: Vec<&str> = words.lines().collect();
        match lines.get(lines.len().saturating_sub(3)..).filter(|last| !last.is_empty()) {
            None => Err(error),
            Some(last) => {
                Err(io::Error::new(error.kind(), format!("{}: {}", error_text(&error), last.join("; "))))
            }
        }
    }

    /// One attempt; the verifier's words go to `log`, if it has room for any.
    fn try_load(name: &str, code: &[[u8; 8]], log: &mut [u8]) -> io::Result<Program> {
        let mut short = [0; 16];
        short.iter_mut().zip(name.bytes().take(15)).for_each(|(to, from)| *to = from);
        let licence = c"ISC".to_bytes_with_nul();
        let mut attributes = ProgramAttributes {
            kind: SCHED_CLS,
            length: code.len() as u32,
            code: address(code),
            licence: address(licence),
            name: short,
            ..ProgramAttributes::default()
        };
        if !log.is_empty() {
            attributes.log_level = 1;
            attributes.log_size = log.len() as u32;
            attributes.log = log.as_mut_ptr() as usize as u64;
        }
        // SAFETY: the attributes are those of this command; all that they point to lives through the call, with the lengths
        // given.
        unsafe { open(PROG_LOAD, &attributes) }.map(Program)
    }

    /// From now on it is this one, which another program has loaded from the same code.
    pub fn adopt(&mut self, fd: OwnedFd) {
        self.0 = fd;
    }

    /// What it can be handed on by.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Puts it at the ingress of an interface, after the programs that are there; it stays as long as the result does. This
    /// and its end wait until no processor can be at the place any more, some 20 ms.
    pub fn link(&self, interface: i32) -> io::Result<OwnedFd> {
        let (program, interface) = (self.0.as_raw_fd() as u32, interface as u32);
        let attributes =
            LinkAttributes { program, interface, place: TCX_INGRESS, ..LinkAttributes::default() };
        // SAFETY: the attributes are those of this command, and point to nothing.
        unsafe { open(LINK_CREATE, &attributes) }
    }

    /// Puts it at the egress of an interface, after the filters that are there, or in its own place again. It stays as long
    /// as the interface, which must go with us; unlike [`link`](Program::link), it waits for nothing.
    pub fn filter(&self, tap: &Tap) -> io::Result<()> {
        if !tap.goes_with_us() {
            return Err(io::Error::other(
                "the interface does not end with the daemon, or is in another network namespace",
            ));
        }
        let fd = netlink::open(libc::NETLINK_ROUTE, 0)?;
        let kind = |name: &[u8]| field(libc::TCA_KIND, name);
        let qdisc = place(tap.index(), [CLSACT_HANDLE, CLSACT, 0], &kind(b"clsact\0"));
        netlink::change(&fd, libc::RTM_NEWQDISC, libc::NLM_F_CREATE, &qdisc).map_err(|error| {
            io::Error::new(error.kind(), format!("no qdisc clsact: {}", error_text(&error)))
        })?;
        let number = |kind, number: u32| field(kind, &number.to_ne_bytes());
        let program = number(TCA_BPF_FD, self.0.as_raw_fd() as u32);
        let name = field(TCA_BPF_NAME, b"l2tpd_egress\0");
        let options = [program, name, number(TCA_BPF_FLAGS, DIRECT_ACTION)].concat();
        let options = [kind(b"bpf\0"), nested(libc::TCA_OPTIONS, &options)].concat();
        let filter = place(tap.index(), FILTER, &options);
        netlink::change(&fd, libc::RTM_NEWTFILTER, libc::NLM_F_CREATE, &filter)
    }
}

/// Takes away what [`Program::filter`] put at an interface, perhaps that of another process.
pub fn remove_filter(interface: i32) -> io::Result<()> {
    let fd = netlink::open(libc::NETLINK_ROUTE, 0)?;
    netlink::change(&fd, libc::RTM_DELTFILTER, 0, &place(interface, FILTER, &[]))
}

/// struct tcmsg: family (1), padding (3), interface (4), handle (4), parent (4), info (4); attributes.
fn place(interface: i32, numbers: [u32; 3], attributes: &[u8]) -> Vec<u8> {
    [&[0; 4], &interface.to_ne_bytes()[..], &numbers.map(u32::to_ne_bytes).concat(), attributes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{self, values, Maps};

    #[test]
    fn the_programs_pass_the_verifier() {
        let map = |size, each| Map::new(64, size, each);
        let ingress_map = match map(values::Ingress::SIZE, false) {
            // Nobody but root may.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return crate::sys::skipped("programs for the kernel: not root, or a container forbids it");
            }
            map => map.unwrap(),
        };
        let egress_map = map(values::Egress::SIZE, false).unwrap();
        let counts = map(values::Counts::SIZE, true).unwrap();
        let maps = Maps {
            ingress: ingress_map.descriptor(),
            egress: egress_map.descriptor(),
            counts: counts.descriptor(),
        };
        for (name, code) in bpf::all(&maps) {
            Program::load(name, &code.unwrap()).unwrap();
        }
        // BPF_EXIT_INSN alone: it has no result.
        let refused = Program::load("refused", &[[0x95, 0, 0, 0, 0, 0, 0, 0]]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{refused}");
        assert!(refused.to_string().contains("R0 !read_ok"), "the verifier's words: {refused}");
    }

    #[test]
    fn maps_hold_what_was_set() {
        let map = match Map::new(4, 8, true) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return crate::sys::skipped("maps in the kernel: not root, or a container forbids it");
            }
            map => map.unwrap(),
        };
        let key = [1, 2, 3, 4];
        assert_eq!(map.get(key).unwrap_err().kind(), io::ErrorKind::NotFound);
        let value = vec![7; map.size];
        map.set(key, &value).unwrap();
        assert_eq!(map.get(key).unwrap(), value);
        assert!(map.set(key, &[0; 4]).is_err());
        map.clear(key).unwrap();
        assert_eq!(map.get(key).unwrap(), vec![0; map.size]);
        map.remove(key).unwrap();
        assert_eq!(map.remove(key).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
