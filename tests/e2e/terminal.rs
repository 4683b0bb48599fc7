//! A real pseudo-terminal with `l2tpctl` on it, and a screen that understands the few sequences a program may send.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use crate::daemon::{client, Daemon};
use crate::wait::wait_for;

/// What the terminal shows.
pub struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    cursor: (usize, usize),
    /// The other screen is shown.
    pub other: bool,
    pub cursor_shown: bool,
    /// Sequences that colour.
    pub colours: usize,
    /// All that came.
    pub octets: Vec<u8>,
    rest: String,
}

impl Screen {
    fn new(columns: usize, lines: usize) -> Screen {
        Screen {
            columns,
            lines: vec![Vec::new(); lines],
            cursor: (0, 0),
            other: false,
            cursor_shown: true,
            colours: 0,
            octets: Vec::new(),
            rest: String::new(),
        }
    }

    /// Its lines, without the blanks at their ends.
    pub fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    fn feed(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.rest += std::str::from_utf8(octets).expect("only ASCII in these tests");
        while let Some(length) = self.one() {
            self.rest.drain(..length);
        }
    }

    /// Takes one character or sequence; `None`: it is not complete.
    fn one(&mut self) -> Option<usize> {
        let first = self.rest.chars().next()?;
        match first {
            '\x1b' => {
                let body = self.rest.get(2..)?;
                assert!(self.rest.starts_with("\x1b["), "a sequence not known: {:?}", self.rest);
                let at = body.find(|c: char| c.is_ascii_alphabetic())?;
                let (parameters, last) = (body[..at].to_owned(), body.as_bytes()[at]);
                self.sequence(&parameters, last);
                return Some(at + 3);
            }
            '\r' => self.cursor.1 = 0,
            '\n' => self.down(),
            _ => {
                assert!(!first.is_control(), "{first:?} on the screen");
                if self.cursor.1 == self.columns {
                    assert!(!self.other, "a line longer than the screen");
                    self.cursor.1 = 0;
                    self.down();
                }
                let (line, column) = self.cursor;
                let row = &mut self.lines[line];
                row.resize(row.len().max(column + 1), ' ');
                row[column] = first;
                self.cursor.1 += 1;
            }
        }
        Some(first.len_utf8())
    }

    fn down(&mut self) {
        self.cursor.0 += 1;
        if self.cursor.0 == self.lines.len() {
            self.lines.remove(0);
            self.lines.push(Vec::new());
            self.cursor.0 -= 1;
        }
    }

    fn sequence(&mut self, parameters: &str, last: u8) {
        match (parameters, last) {
            ("?1049", b'h' | b'l') => self.other = last == b'h',
            ("?25", b'h' | b'l') => self.cursor_shown = last == b'h',
            ("2", b'J') => self.lines.iter_mut().for_each(Vec::clear),
            ("", b'J') => {
                self.lines[self.cursor.0].truncate(self.cursor.1);
                self.lines.iter_mut().skip(self.cursor.0 + 1).for_each(Vec::clear);
            }
            ("", b'K') => self.lines[self.cursor.0].truncate(self.cursor.1),
            ("", b'H') => self.cursor = (0, 0),
            (place, b'H') => {
                let (line, column) = place.split_once(';').expect("line and column");
                let number = |text: &str| text.parse::<usize>().expect("a number") - 1;
                self.cursor = (number(line), number(column));
                assert!(self.cursor.0 < self.lines.len(), "a line below the screen");
            }
            ("0", b'm') => {}
            (_, b'm') => self.colours += 1,
            _ => panic!("a sequence not known: {parameters:?} {:?}", char::from(last)),
        }
    }
}

/// See [the module](self).
pub struct Terminal {
    pub child: Child,
    master: File,
    slave: OwnedFd,
    before: libc::termios,
    screen: Arc<Mutex<Screen>>,
}

fn open() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let (name, mode, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both descriptors have room; nothing else is asked for.
    let result = unsafe { libc::openpty(&raw mut master, &raw mut slave, name, mode, size) };
    assert_eq!(result, 0, "openpty: {}", std::io::Error::last_os_error());
    for fd in [master, slave] {
        // SAFETY: the descriptor is open.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: the descriptors are new and ours.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

fn modes(terminal: &impl AsRawFd) -> libc::termios {
    // SAFETY: all zeros is a valid termios.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` has room for the answer.
    assert_eq!(unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut modes) }, 0);
    modes
}

impl Terminal {
    /// Starts `l2tpctl` with these words, `size` columns and lines, and these variables.
    pub fn start(daemon: &Daemon, words: &[&str], size: (u16, u16), variables: &[(&str, &str)]) -> Terminal {
        let (master, slave) = open();
        let mut command = Command::new(client());
        command.arg("-s").arg(&daemon.socket).args(words).env("TERM", "xterm").env_remove("NO_COLOR");
        command.envs(variables.iter().copied());
        let end = || Stdio::from(slave.try_clone().expect("descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let screen = Arc::new(Mutex::new(Screen::new(size.0.into(), size.1.into())));
        let before = modes(&slave);
        let terminal = |child| Terminal {
            child,
            master: master.try_clone().expect("descriptor"),
            slave: slave.try_clone().expect("descriptor"),
            before,
            screen: Arc::clone(&screen),
        };
        set_size(&master, size);
        let terminal = terminal(command.spawn().expect("l2tpctl"));
        let mut master = master;
        std::thread::spawn(move || {
            let mut room = [0; 4096];
            while let Ok(octets @ 1..) = master.read(&mut room) {
                screen.lock().unwrap().feed(&room[..octets]);
            }
        });
        terminal
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("keys");
    }

    pub fn resize(&mut self, size: (u16, u16)) {
        let mut screen = self.screen.lock().unwrap();
        // What came before was for the other size.
        *screen = Screen { other: screen.other, cursor_shown: screen.cursor_shown, ..Screen::new(400, 400) };
        screen.colours = 0;
        drop(screen);
        set_size(&self.master, size);
    }

    pub fn screen(&self) -> std::sync::MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Waits until the screen's text is so, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        wait_for(what, || Some(self.screen().text()).filter(|text| is(text)))
    }

    /// Waits for its end, and looks that the terminal is as it was.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let status = wait_for("the end of l2tpctl", || self.child.try_wait().expect("wait"));
        let now = modes(&self.slave);
        assert_eq!((now.c_lflag, now.c_iflag, now.c_oflag), {
            (self.before.c_lflag, self.before.c_iflag, self.before.c_oflag)
        });
        assert_eq!(now.c_cc, self.before.c_cc);
        status
    }
}

fn set_size(master: &File, (columns, lines): (u16, u16)) {
    let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is initialised.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(result, 0, "the terminal's size: {}", std::io::Error::last_os_error());
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
