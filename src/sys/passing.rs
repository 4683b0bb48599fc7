//! Messages between two processes of this program, with descriptors that pass from the one to the other (unix(7)), and
//! memory that is handed over as a descriptor and that nobody can change any more (memfd_create(2)).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::c_int;

pub use super::memory::{read_sealed, sealed};
use super::{clock, cvt, cvt_size, wait};

/// Descriptors in one message; the kernel allows 253.
pub const AT_ONCE: usize = 200;
/// How long a message may wait for room at the other end.
const PATIENCE: Duration = Duration::from_secs(1);
/// No message is longer.
const LONGEST: usize = 16 * 1024;

/// One end of a connection that keeps messages apart.
#[derive(Debug)]
pub struct Post {
    fd: OwnedFd,
}

/// A message, and the descriptors that came with it.
pub type Received = (Vec<u8>, Vec<OwnedFd>);

impl Post {
    /// Both ends, closed on exec.
    pub fn pair() -> io::Result<(Post, Post)> {
        let mut ends: [RawFd; 2] = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: `ends` has room for the two descriptors.
        cvt(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
        // SAFETY: both descriptors are new and ours.
        let [a, b] = ends.map(|fd| Post { fd: unsafe { OwnedFd::from_raw_fd(fd) } });
        Ok((a, b))
    }

    /// The end that a descriptor is.
    pub fn from_descriptor(fd: OwnedFd) -> Post {
        Post { fd }
    }

    /// The same end once more.
    pub fn try_clone(&self) -> io::Result<Post> {
        Ok(Post { fd: self.fd.try_clone()? })
    }

    /// Lets a program that is executed have it.
    pub fn keep_on_exec(&self) -> io::Result<()> {
        // SAFETY: no pointers.
        cvt(unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_SETFD, 0) }).map(|_| ())
    }

    /// Sends a message; waits a moment for room.
    pub fn send(&self, octets: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
        let mut piece = libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
        // SAFETY: msghdr is plain data for which all zeros is a valid value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &mut piece;
        message.msg_iovlen = 1;
        let size = u32::try_from(mem::size_of_val(descriptors)).unwrap_or(u32::MAX);
        // SAFETY: it only computes a length.
        let space = unsafe { libc::CMSG_SPACE(size) } as usize;
        let mut control = vec![0u64; space.div_ceil(8)];
        if !descriptors.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = space as _;
            // SAFETY: `control` is aligned and has room for one header and `size` octets of data.
            unsafe {
                let header = libc::CMSG_FIRSTHDR(&message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(size) as _;
                let data = libc::CMSG_DATA(header);
                std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), data, size as usize);
            }
        }
        let deadline = clock::now() + PATIENCE;
        loop {
            // SAFETY: all pointers of `message` point to live buffers of the lengths given.
            let sent = cvt_size(unsafe { libc::sendmsg(self.fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL) });
            match sent {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !wait::ready(self.fd.as_raw_fd(), libc::POLLOUT, deadline)? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message, if one is there. `UnexpectedEof`: the other end is gone.
    pub fn take(&self) -> io::Result<Option<Received>> {
        let mut octets = vec![0; LONGEST];
        let mut piece = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        let mut control = [0u64; 128];
        // SAFETY: msghdr is plain data for which all zeros is a valid value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = mem::size_of_val(&control) as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        // SAFETY: all pointers of `message` point to live buffers of the lengths given.
        let received = cvt_size(unsafe { libc::recvmsg(self.fd.as_raw_fd(), &mut message, flags) });
        let length = match received {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(error),
        };
        octets.truncate(length);
        let mut descriptors = Vec::new();
        super::cmsg::control_messages(&message, |level, kind, data| {
            if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                for fd in data.chunks_exact(4).filter_map(|octets| octets.first_chunk::<4>()) {
                    // SAFETY: the kernel has just made this descriptor for us.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(c_int::from_ne_bytes(*fd)) });
                }
            }
        });
        Ok(Some((octets, descriptors)))
    }

    /// The next message, which may take so long. `TimedOut`: none has come.
    pub fn receive(&self, patience: Duration) -> io::Result<Received> {
        let deadline = clock::now() + patience;
        loop {
            if let Some(received) = self.take()? {
                return Ok(received);
            }
            if !wait::ready(self.fd.as_raw_fd(), libc::POLLIN, deadline)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl AsRawFd for Post {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Waits until one of these has something to be read, or is closed at its other end.
pub fn wait_for(descriptors: &[RawFd]) -> io::Result<()> {
    let request = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut requests: Vec<libc::pollfd> = descriptors.iter().map(request).collect();
    let count = requests.len() as libc::nfds_t;
    // SAFETY: initialised pollfds, and the count is theirs.
    match cvt(unsafe { libc::poll(requests.as_mut_ptr(), count, -1) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn messages_and_descriptors_arrive_as_they_were_sent() {
        let (a, b) = Post::pair().unwrap();
        assert!(b.take().unwrap().is_none());
        let files: Vec<File> = (0..AT_ONCE).map(|n| sealed(&[n as u8; 3]).unwrap()).collect();
        let descriptors: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        a.send(b"all", &descriptors).unwrap();
        a.send(b"none", &[]).unwrap();
        let (octets, received) = b.receive(PATIENCE).unwrap();
        assert_eq!((octets.as_slice(), received.len()), (&b"all"[..], AT_ONCE));
        for (n, fd) in received.into_iter().enumerate() {
            assert_eq!(*read_sealed(fd).unwrap(), [n as u8; 3]);
        }
        assert_eq!(b.take().unwrap().unwrap().0, b"none");
        assert_eq!(b.receive(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(a);
        assert_eq!(b.receive(PATIENCE).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_sealed_does_not_change() {
        let mut file = sealed(b"state").unwrap();
        assert!(file.write_all(b"other").is_err() && file.set_len(1).is_err());
        assert!(read_sealed(File::open("/dev/null").unwrap().into()).is_err());
        assert_eq!(*read_sealed(file.into()).unwrap(), *b"state");
    }
}
