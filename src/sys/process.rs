//! Child processes that nobody waits for: started, looked after when SIGCHLD comes, killed when their time is up.
//! Every descriptor of the daemon is closed on exec; a child gets the null device, and a pipe for its output where
//! that is wanted.

use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use super::system::own_program;
use super::{cvt, daemonize, error_text, system};
use crate::gather;
use crate::saved::saved;

/// A child process with a process group of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// It ended with status 0.
    pub success: bool,
    /// How, in words: `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub how: String,
    /// The first 4096 octets that it wrote, where output was wanted.
    pub output: String,
}
saved!(Ended { success, how, output });

/// The most of a child's output that is read.
const OUTPUT_LIMIT: u64 = 4096;

impl Process {
    /// Starts `words[0]` with the rest as arguments (no shell) and `environment` alone. Output is kept in a pipe
    /// with `capture` - a child that writes more than the pipe holds waits until its time is up - else it is lost.
    /// `capture` is for programs that start no others: one that inherits the pipe would hold it open.
    pub fn start(words: &[String], environment: &[(String, String)], capture: bool) -> io::Result<Process> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // The library would open it as well, but its error would not tell what is missing.
        let null = daemonize::null_device().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {}", daemonize::NULL, error_text(&error)))
        })?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(null.try_clone()?)
            .stdout(if capture { Stdio::piped() } else { null.try_clone()?.into() })
            .stderr(null);
        with_usual_policy(&mut command);
        let child = command.spawn()?;
        own_children().push(child.id());
        Ok(Process { child })
    }

    /// How it ended, if it has; never waits.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().ok()??;
        own_children().retain(|id| *id != self.child.id());
        let mut output = Vec::new();
        if let Some(pipe) = self.child.stdout.take() {
            let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut output);
        }
        Some(Ended {
            success: status.success(),
            how: status.to_string(),
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    }

    /// Kills it and what it started in its group. It still has to be asked for its end.
    pub fn kill(&mut self) {
        if let Ok(group) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: no pointers. The child is not reaped yet, so the number is still its own.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
    }
}

/// Has a child scheduled as this program was before [`prefer_batches`].
fn with_usual_policy(command: &mut Command) {
    if BATCHES.load(Ordering::Relaxed) {
        // SAFETY: between fork and exec only async-signal-safe functions may be called; this one makes one system call.
        unsafe {
            command.pre_exec(|| {
                system::prefer_answers();
                Ok(())
            })
        };
    }
}

/// The file of this program, for it to be started again: as it was called where that was by its whole path, for a link
/// there may lead to another version by then.
pub fn called_program() -> io::Result<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    called.map_or_else(std::env::current_exe, Ok)
}

/// This program, started again. It goes on when its parent ends.
#[derive(Debug)]
pub struct Successor {
    child: Child,
}

impl Successor {
    /// Starts it with our environment and our standard descriptors.
    pub fn start(program: &Path, arguments: &[String]) -> io::Result<Successor> {
        let mut command = Command::new(program);
        command.args(arguments);
        // Signs of life count if they are of the process that the manager has started, which is no more then.
        let parent = std::os::unix::process::parent_id().to_string();
        if std::env::var_os("WATCHDOG_PID").is_some_and(|of| of.to_str() == Some(&parent)) {
            command.env_remove("WATCHDOG_PID");
        }
        with_usual_policy(&mut command);
        Ok(Successor { child: command.spawn()? })
    }

    /// How it ended, if it has; never waits.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok()?.map(|status| status.to_string())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Kills it, and waits for its end.
    pub fn end(mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Closes all descriptors but the standard ones and these, whoever owns them: nothing else of this process is used any more.
pub fn close_all_but(kept: &[RawFd]) {
    let mut next: RawFd = 3;
    for fd in gather::set(kept.iter().copied()) {
        system::close_range(next, fd - 1);
        next = next.max(fd + 1);
    }
    system::close_range(next, RawFd::MAX);
}

/// The children that a [`Process`] looks after.
static OWN_CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn own_children() -> MutexGuard<'static, Vec<u32>> {
    OWN_CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes note of the end of children that we did not start, so that they do not stay as zombies: process 1 gets those
/// that have lost their parent, and a program may get some from a shell that became it. To be called when SIGCHLD
/// comes, after [`Process::ended`].
pub fn reap_adopted() {
    loop {
        // SAFETY: all zeros is a valid siginfo_t.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // WNOWAIT: only looked at, for it may be one of our own.
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` lives through the call.
        let looked = cvt(unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) });
        // SAFETY: waitid(2) has filled in the fields of a child, or left zeros.
        let pid = unsafe { info.si_pid() };
        // One of our own that has ended meanwhile: its SIGCHLD comes, and then it is the turn of those after it.
        let is_own = u32::try_from(pid).is_ok_and(|pid| own_children().contains(&pid));
        if looked.is_err() || pid <= 0 || is_own {
            return;
        }
        // SAFETY: a null pointer: the status is not wanted.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// Takes note of the end of all children that have ended. To be called where nobody looks after a [`Process`] any more.
pub fn reap_all() {
    // SAFETY: a null pointer: the status is not wanted.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// What whoever started us left open, beside the standard descriptors: from now on no child inherits it, and it is
/// closed when the result is dropped (the configuration may come from such a descriptor). To be called before
/// anything is opened.
pub fn take_inherited() -> Vec<OwnedFd> {
    let mut inherited = Vec::new();
    for fd in system::open_descriptors().unwrap_or_default().into_iter().filter(|fd| *fd > 2) {
        // SAFETY: no pointers; a number that is not open is an error.
        if cvt(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).is_ok() {
            // SAFETY: it is open, and nothing in this program owns it.
            inherited.push(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
    inherited
}

/// Lets the daemon have as many descriptors as it may: each session needs one.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Tells the scheduler that this program need not interrupt another one the moment it has something to do: frames
/// gather meanwhile. On an idle processor nothing changes. Leaves alone whatever else the administrator has chosen.
pub fn prefer_batches() {
    BATCHES.store(system::prefer_batches(), Ordering::Relaxed);
}

/// Whether [`prefer_batches`] changed the policy: that of child processes is changed back.
static BATCHES: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wait(process: &mut Process) -> Ended {
        for _ in 0..500 {
            if let Some(ended) = process.ended() {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| w.to_string()).collect()
    }

    #[test]
    fn the_environment_is_the_one_given() {
        let environment = [("L2TPD_EVENT".to_string(), "session-up".to_string())];
        let mut process = Process::start(&words(&["/usr/bin/env"]), &environment, true).unwrap();
        let ended = wait(&mut process);
        assert!(ended.success);
        assert_eq!(ended.output, "L2TPD_EVENT=session-up\n");
    }

    #[test]
    fn a_child_inherits_nothing_but_the_standard_descriptors() {
        let ours = std::fs::File::open("/dev/zero").unwrap();
        let mut process = Process::start(&words(&["/bin/ls", "-l", "/proc/self/fd"]), &[], true).unwrap();
        let output = wait(&mut process).output;
        assert!(output.contains("/dev/null") && !output.contains("/dev/zero"), "{output}");
        drop(ours);
    }

    #[test]
    fn a_child_that_hangs_is_killed_with_what_it_started() {
        let script = words(&["/bin/sh", "-c", "sleep 1000 & sleep 1000"]);
        let mut process = Process::start(&script, &[], false).unwrap();
        assert_eq!(process.ended(), None);
        process.kill();
        let ended = wait(&mut process);
        assert!(!ended.success && ended.how.contains("signal: 9"), "{ended:?}");
    }

    #[test]
    fn a_missing_command_is_an_error() {
        assert!(Process::start(&words(&["/nonexistent/hook"]), &[], false).is_err());
        assert!(Process::start(&[], &[], false).is_err());
    }
}
