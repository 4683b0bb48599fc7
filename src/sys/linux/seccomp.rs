//! Seccomp filters: which system calls a process may make from now on (seccomp(2)). They are programs of classic BPF,
//! put together here by hand: the architecture is compared, then the number of the call with each one that is allowed,
//! and of a few calls an argument. Everything else fails with `EPERM`, so that a call which nobody thought of costs one
//! function and not the daemon.
//!
//! There are two lists. That of the daemon lacks everything that executes a program, or looks at or changes a process or
//! a file system; programs are started by a helper from before. It may fork, as the child has the same filter. That of a child that looks up a name ([`Filter::LookUp`]) lacks
//! besides what only a daemon needs, and it opens files for reading alone.

use std::io;

pub use crate::sys::kinds::{Filter, Otherwise};
use libc::c_long;

use super::bpf;

// linux/seccomp.h, linux/audit.h, linux/bpf_common.h: libc lacks some of them on some systems.
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ERRNO: u32 = 0x0005_0000;
/// BPF_LD | BPF_W | BPF_ABS: load a word of the call's description.
const LOAD: u16 = 0x20;
/// BPF_JMP | BPF_JEQ | BPF_K
const JUMP_EQUAL: u16 = 0x15;
/// BPF_JMP | BPF_JGE | BPF_K
#[cfg(any(target_arch = "x86_64", test))]
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
/// BPF_JMP | BPF_JSET | BPF_K
const JUMP_SET: u16 = 0x45;
/// BPF_RET | BPF_K
const RETURN: u16 = 0x06;
/// Where the number, the architecture and the arguments stand in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// From here on the numbers of x32 begin, which are calls of x86_64 by another name.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// The name of this architecture (AUDIT_ARCH_...); 0 where it is not known, and nothing is filtered.
const THIS_ARCHITECTURE: u32 = match () {
    () if cfg!(target_arch = "x86_64") => 0xc000_003e,
    () if cfg!(target_arch = "x86") => 0x4000_0003,
    () if cfg!(target_arch = "aarch64") && cfg!(target_endian = "little") => 0xc000_00b7,
    () if cfg!(target_arch = "arm") && cfg!(target_endian = "little") => 0x4000_0028,
    () if cfg!(target_arch = "riscv64") => 0xc000_00f3,
    () if cfg!(target_arch = "powerpc") => 0x0000_0014,
    () if cfg!(target_arch = "powerpc64") && cfg!(target_endian = "little") => 0xc000_0015,
    () if cfg!(target_arch = "powerpc64") => 0x8000_0015,
    () if cfg!(target_arch = "s390x") => 0x8000_0016,
    () => 0,
};

/// The list of these calls.
macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// Allowed in every process: to read and write what is open, memory, time, to wait, to end.
const COMMON: &[c_long] = calls! {
    SYS_recvmmsg SYS_sendmmsg SYS_read SYS_write SYS_readv SYS_writev SYS_recvmsg SYS_sendmsg SYS_recvfrom SYS_sendto
    SYS_close SYS_lseek SYS_pread64 SYS_fstat SYS_statx SYS_readlinkat SYS_faccessat SYS_faccessat2 SYS_fcntl SYS_ioctl
    SYS_dup SYS_getdents64 SYS_getcwd
    SYS_munmap SYS_mremap SYS_madvise SYS_brk
    SYS_ppoll SYS_pselect6
    SYS_connect SYS_bind SYS_getsockname SYS_getpeername SYS_setsockopt SYS_getsockopt SYS_shutdown
    SYS_clock_gettime SYS_clock_getres SYS_gettimeofday SYS_nanosleep SYS_clock_nanosleep
    SYS_getpid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_uname SYS_sysinfo SYS_sched_getaffinity
    SYS_sched_yield SYS_futex SYS_getrandom SYS_restart_syscall
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack SYS_tgkill SYS_tkill SYS_exit SYS_exit_group
};

/// Calls of architectures that have the names of before, too, and what they are for.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "x86",
    target_arch = "arm",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "s390x"
))]
mod older {
    use libc::c_long;

    pub(super) const COMMON: &[c_long] =
        calls! { SYS_stat SYS_lstat SYS_readlink SYS_access SYS_poll SYS_dup2 };
    pub(super) const DAEMON: &[c_long] = calls! { SYS_open SYS_unlink SYS_epoll_wait SYS_fork };
    pub(super) const OPEN: &[(c_long, u32)] = &[(libc::SYS_open, 1)];
}
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
mod older {
    use libc::c_long;

    pub(super) const COMMON: &[c_long] = &[];
    pub(super) const DAEMON: &[c_long] = &[];
    pub(super) const OPEN: &[(c_long, u32)] = &[];
}

/// Calls whose numbers have 64 bits, where the ordinary ones have 32; and how memory is got whose protection is the
/// argument 2.
#[cfg(any(target_arch = "x86", target_arch = "arm", target_arch = "powerpc"))]
mod wide {
    use libc::c_long;

    pub(super) const COMMON: &[c_long] =
        calls! { SYS_fstat64 SYS_stat64 SYS_lstat64 SYS_fstatat64 SYS_fcntl64 SYS__llseek SYS__newselect };
    pub(super) const DAEMON: &[c_long] = calls! { SYS_ftruncate64 };
    pub(super) const MAP: &[c_long] = calls! { SYS_mmap2 SYS_mprotect };
}
#[cfg(not(any(target_arch = "x86", target_arch = "arm", target_arch = "powerpc")))]
mod wide {
    use libc::c_long;

    pub(super) const COMMON: &[c_long] = calls! { SYS_newfstatat };
    pub(super) const DAEMON: &[c_long] = &[];
    // The arguments of mmap stand elsewhere on s390x.
    #[cfg(not(target_arch = "s390x"))]
    pub(super) const MAP: &[c_long] = calls! { SYS_mmap SYS_mprotect };
    #[cfg(target_arch = "s390x")]
    pub(super) const MAP: &[c_long] = calls! { SYS_mprotect };
}

/// With times of 64 bits: clock_gettime64, clock_nanosleep_time64, pselect6_time64, ppoll_time64, recvmmsg_time64,
/// futex_time64. Their numbers are the same on all architectures that have them.
#[cfg(target_pointer_width = "32")]
const TIME64: &[c_long] = &[403, 407, 413, 414, 417, 422];
#[cfg(target_pointer_width = "64")]
const TIME64: &[c_long] = &[];

/// What single architectures have besides. `socketcall` is all calls of sockets in one.
#[cfg(target_arch = "x86")]
const OWN: &[c_long] = calls! {
    SYS_socketcall SYS_sigreturn SYS_time SYS_waitpid SYS_getuid32 SYS_geteuid32 SYS_getgid32 SYS_getegid32
};
#[cfg(target_arch = "arm")]
const OWN: &[c_long] = calls! {
    SYS_sigreturn SYS_recv SYS_send SYS_getuid32 SYS_geteuid32 SYS_getgid32 SYS_getegid32
};
#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
const OWN: &[c_long] = calls! { SYS_socketcall SYS_sigreturn SYS_time SYS_waitpid SYS_recv SYS_send };
#[cfg(target_arch = "s390x")]
const OWN: &[c_long] = calls! { SYS_socketcall SYS_sigreturn };
#[cfg(target_arch = "x86_64")]
const OWN: &[c_long] = calls! { SYS_time };
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const OWN: &[c_long] = &[];

/// The daemon's: its loop, the admin socket's clients, the end of adopted children, removing its pid file and socket.
const DAEMON: &[c_long] = calls! {
    SYS_epoll_pwait SYS_epoll_pwait2 SYS_epoll_ctl SYS_accept4 SYS_openat SYS_unlinkat SYS_ftruncate SYS_waitid SYS_wait4 SYS_memfd_create
};
/// To fork, and what the child does first.
const FORK: &[c_long] = calls! { SYS_set_robust_list SYS_close_range };
/// Which argument of clone(2) has the flags, and those that make namespaces (CLONE_NEW...).
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// How files are opened, and which argument has the flags: the child opens them for reading alone. There may be older
/// ways.
const OPEN: &[(c_long, u32)] = &[(libc::SYS_openat, 2)];

/// How memory is got, whatever its protection.
#[cfg(target_arch = "s390x")]
const MAP_BLINDLY: &[c_long] = calls! { SYS_mmap };
#[cfg(not(target_arch = "s390x"))]
const MAP_BLINDLY: &[c_long] = &[];

/// The families that sockets may have.
const FAMILIES: [libc::c_int; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK];

/// A program in the making.
struct Program {
    code: Vec<libc::sock_filter>,
    otherwise: u32,
}

impl Program {
    fn put(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.code.push(libc::sock_filter { code, jt, jf, k });
    }

    /// Allows a call whatever its arguments.
    fn allow(&mut self, call: c_long) {
        self.put(JUMP_EQUAL, number(call), 0, 1);
        self.put(RETURN, RET_ALLOW, 0, 0);
    }

    /// Allows a call unless an argument has one of these bits.
    fn allow_without(&mut self, call: c_long, argument: u32, forbidden: u32) {
        self.put(JUMP_EQUAL, number(call), 0, 4);
        self.put(LOAD, low_word(argument), 0, 0);
        self.put(JUMP_SET, forbidden, 0, 1);
        self.put(RETURN, self.otherwise, 0, 0);
        self.put(RETURN, RET_ALLOW, 0, 0);
    }

    /// Allows a call whose first argument is one of these.
    fn allow_with(&mut self, call: c_long, values: &[libc::c_int]) {
        let length = u8::try_from(2 + 2 * values.len()).unwrap_or(u8::MAX);
        self.put(JUMP_EQUAL, number(call), 0, length);
        self.put(LOAD, low_word(0), 0, 0);
        for value in values {
            self.put(JUMP_EQUAL, bits(*value), 0, 1);
            self.put(RETURN, RET_ALLOW, 0, 0);
        }
        self.put(RETURN, self.otherwise, 0, 0);
    }
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// A number of C's as the bits that it is.
fn bits(number: libc::c_int) -> u32 {
    u32::from_ne_bytes(number.to_ne_bytes())
}

/// Where the lower half of an argument stands.
fn low_word(argument: u32) -> u32 {
    ARGUMENTS + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// The program of a filter.
fn program(filter: Filter, otherwise: Otherwise) -> Vec<libc::sock_filter> {
    let otherwise = match otherwise {
        Otherwise::Refuse => RET_ERRNO | bits(libc::EPERM),
        Otherwise::Log => RET_LOG,
    };
    let mut program = Program { code: Vec::new(), otherwise };
    program.put(LOAD, ARCHITECTURE, 0, 0);
    program.put(JUMP_EQUAL, THIS_ARCHITECTURE, 1, 0);
    program.put(RETURN, otherwise, 0, 0);
    program.put(LOAD, NUMBER, 0, 0);
    #[cfg(target_arch = "x86_64")]
    {
        program.put(JUMP_GREATER_OR_EQUAL, X32, 0, 1);
        program.put(RETURN, otherwise, 0, 0);
    }
    let own: [&[c_long]; 4] = match filter {
        Filter::Daemon | Filter::DaemonWithBpf => [DAEMON, older::DAEMON, wide::DAEMON, FORK],
        Filter::LookUp => [wide::MAP, &[], &[], &[]], // the resolver's libraries are loaded, and are code
    };
    let common = [COMMON, older::COMMON, wide::COMMON, TIME64, OWN, MAP_BLINDLY];
    for call in common.into_iter().chain(own).flatten() {
        program.allow(*call);
    }
    program.allow_with(libc::SYS_socket, &FAMILIES);
    if filter == Filter::DaemonWithBpf {
        program.allow_with(libc::SYS_bpf, &bpf::LATER);
    }
    match filter {
        Filter::Daemon | Filter::DaemonWithBpf => {
            program.allow_without(libc::SYS_clone, CLONE_FLAGS, NEW_NAMESPACES);
            wide::MAP.iter().for_each(|call| program.allow_without(*call, 2, bits(libc::PROT_EXEC)));
        }
        Filter::LookUp => OPEN.iter().chain(older::OPEN).for_each(|(call, flags)| {
            program.allow_without(*call, *flags, bits(libc::O_ACCMODE | libc::O_CREAT));
        }),
    }
    program.put(RETURN, otherwise, 0, 0);
    program.code
}

/// Puts a filter in force, for this process and all that it starts, for good. Needs `PR_SET_NO_NEW_PRIVS` (or root).
/// `Unsupported`: this program does not know the architecture; other errors are the kernel's.
pub fn install(filter: Filter, otherwise: Otherwise) -> io::Result<()> {
    if THIS_ARCHITECTURE == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "its calls on this processor are not known"));
    }
    let mut code = program(filter, otherwise);
    let length =
        libc::c_ushort::try_from(code.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
    let zero: libc::c_ulong = 0;
    // SAFETY: the program and its code live through the call, and the length is that of the code.
    crate::sys::cvt(unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER as libc::c_ulong,
            &raw const program,
            zero,
            zero,
        )
    })
    .map(|_| ())
}

#[cfg(test)]
pub(in crate::sys) mod tests {
    use super::*;

    /// A call as the kernel describes it.
    struct Call {
        architecture: u32,
        number: u32,
        arguments: [u64; 6],
    }

    impl Call {
        fn of(number: c_long, arguments: &[u64]) -> Call {
            let mut all = [0; 6];
            all[..arguments.len()].copy_from_slice(arguments);
            Call { architecture: THIS_ARCHITECTURE, number: super::number(number), arguments: all }
        }

        fn word(&self, at: u32) -> u32 {
            let mut octets = Vec::new();
            octets.extend(self.number.to_ne_bytes());
            octets.extend(self.architecture.to_ne_bytes());
            octets.extend([0; 8]);
            self.arguments.iter().for_each(|argument| octets.extend(argument.to_ne_bytes()));
            u32::from_ne_bytes(octets[at as usize..][..4].try_into().unwrap())
        }
    }

    /// Runs a program as the kernel does; what it returns.
    fn run(code: &[libc::sock_filter], call: &Call) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = code[at];
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            at += 1 + match step.code {
                LOAD => {
                    accumulator = call.word(step.k);
                    0
                }
                JUMP_EQUAL => jump(accumulator == step.k),
                JUMP_GREATER_OR_EQUAL => jump(accumulator >= step.k),
                JUMP_SET => jump(accumulator & step.k != 0),
                RETURN => return step.k,
                other => panic!("{other:#x} is not used"),
            };
        }
    }

    fn allows(filter: Filter, number: c_long, arguments: &[u64]) -> bool {
        match run(&program(filter, Otherwise::Refuse), &Call::of(number, arguments)) {
            RET_ALLOW => true,
            refused => {
                assert_eq!(refused, RET_ERRNO | 1, "EPERM");
                false
            }
        }
    }

    #[test]
    fn the_daemon_starts_and_traces_nothing() {
        let no = [libc::SYS_execve, libc::SYS_clone3, libc::SYS_ptrace, libc::SYS_kill, libc::SYS_mount];
        let no =
            no.into_iter().chain([libc::SYS_setuid, libc::SYS_prctl, libc::SYS_fchmod, libc::SYS_renameat2]);
        for call in no.chain([libc::SYS_symlinkat, libc::SYS_init_module, libc::SYS_bpf, 9999]) {
            assert!(!allows(Filter::Daemon, call, &[]) && !allows(Filter::LookUp, call, &[]), "{call}");
        }
        for call in [libc::SYS_recvmmsg, libc::SYS_epoll_pwait, libc::SYS_openat, libc::SYS_exit_group] {
            assert!(allows(Filter::Daemon, call, &[]), "{call}");
        }
        let log = program(Filter::Daemon, Otherwise::Log);
        assert_eq!(run(&log, &Call::of(libc::SYS_execve, &[])), RET_LOG);
    }

    #[test]
    fn arguments_count_where_they_can_be_seen() {
        let map = wide::MAP[0];
        let (read, execute) = (libc::PROT_READ as u64, libc::PROT_EXEC as u64);
        assert!(allows(Filter::Daemon, map, &[0, 4096, read]));
        assert!(!allows(Filter::Daemon, map, &[0, 4096, read | execute]));
        assert!(allows(Filter::LookUp, map, &[0, 4096, read | execute]));
        assert!(!allows(Filter::Daemon, libc::SYS_mprotect, &[0, 4096, execute]));
        for family in FAMILIES {
            assert!(allows(Filter::Daemon, libc::SYS_socket, &[family as u64]));
        }
        assert!(!allows(Filter::Daemon, libc::SYS_socket, &[libc::AF_PACKET as u64]));
        assert!(!allows(Filter::Daemon, libc::SYS_socket, &[libc::AF_ALG as u64]));
        let flags = |flags: libc::c_int| [0, 0, flags as u64];
        assert!(allows(Filter::LookUp, libc::SYS_openat, &flags(libc::O_CLOEXEC)));
        for wrong in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT] {
            assert!(!allows(Filter::LookUp, libc::SYS_openat, &flags(wrong)));
        }
        assert!(!allows(Filter::LookUp, libc::SYS_unlinkat, &[]));
        // A plain fork, as the library makes it, and no namespace.
        let clone = |flags: u64| if CLONE_FLAGS == 1 { [0, flags] } else { [flags, 0] };
        assert!(allows(Filter::Daemon, libc::SYS_clone, &clone(0x0120_0011)));
        assert!(!allows(Filter::Daemon, libc::SYS_clone, &clone(0x1000_0011)));
        assert!(!allows(Filter::LookUp, libc::SYS_clone, &clone(0x0120_0011)));
    }

    /// Runs `child` in a process of its own; its exit status.
    pub fn in_child(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child makes system calls, and allocates as the library lets a forked process.
        match crate::sys::cvt(unsafe { libc::fork() }).unwrap() {
            // SAFETY: ends the process.
            0 => unsafe { libc::_exit(child()) },
            pid => {
                let mut status = 0;
                // SAFETY: `status` lives through the call.
                crate::sys::cvt(unsafe { libc::waitpid(pid, &mut status, 0) }).unwrap();
                libc::WEXITSTATUS(status)
            }
        }
    }

    #[test]
    fn the_kernel_does_as_the_list_says() {
        let status = in_child(|| {
            let installed = crate::sys::privilege::no_new_privileges()
                .and_then(|()| install(Filter::Daemon, Otherwise::Refuse));
            if installed.is_err() {
                return 77; // a kernel (or an emulator) without filters
            }
            let nothing: *const *const libc::c_char = std::ptr::null();
            // SAFETY: terminated strings, and null pointers where the call takes them.
            let (executed, read) = unsafe {
                let executed = libc::execve(c"/bin/true".as_ptr(), nothing, nothing);
                let executed = (executed, io::Error::last_os_error().raw_os_error());
                (executed, libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY))
            };
            i32::from(executed != (-1, Some(libc::EPERM)) || read < 0)
        });
        if status == 77 {
            return crate::sys::skipped("seccomp: this kernel has no filters");
        }
        assert_eq!(status, 0);
    }

    #[test]
    fn calls_of_other_architectures_are_refused() {
        let code = program(Filter::Daemon, Otherwise::Refuse);
        let other = Call { architecture: 0x1234, ..Call::of(libc::SYS_read, &[]) };
        assert_eq!(run(&code, &other), RET_ERRNO | 1);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(run(&code, &Call::of(libc::SYS_read | 0x4000_0000, &[])), RET_ERRNO | 1);
        assert!(code.len() < 4096, "the kernel takes no more");
    }
}
