//! bpf(2): programs and maps in the kernel, and links that put a program at the ingress or egress of an interface (tcx,
//! Linux 6.6). All of them are descriptors: what is closed, however that comes, is gone.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub use crate::sys::kinds::Place;

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
const TCX_EGRESS: u32 = 47;
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

    /// Puts it at an interface, after the programs that are there; it stays as long as the result does.
    pub fn link(&self, interface: i32, place: Place) -> io::Result<OwnedFd> {
        let place = match place {
            Place::Ingress => TCX_INGRESS,
            Place::Egress => TCX_EGRESS,
        };
        let (program, interface) = (self.0.as_raw_fd() as u32, interface as u32);
        let attributes = LinkAttributes { program, interface, place, ..LinkAttributes::default() };
        // SAFETY: the attributes are those of this command, and point to nothing.
        unsafe { open(LINK_CREATE, &attributes) }
    }
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
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
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
        let Ok(map) = Map::new(4, 8, true) else { return };
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
