//! The command line of `l2tpd`.

use std::fmt;
use std::time::Duration;

use crate::config::run_directory;
use crate::log::Level;

/// What `-h` prints.
pub const USAGE: &str = concat!(
    "\
usage: l2tpd [-d] [-n] [-c FILE] [-p PIDFILE] [-s SOCKET] [-l LEVEL] [-V] [-h]
  -d, --debug-foreground   stay in the foreground, log to standard error
  -n, --check              check the configuration, print every error, exit 0 or 1
  -c, --config FILE        configuration (default /etc/l2tpd.conf)
  -p, --pid-file FILE      pid file (default ",
    run_directory!("/l2tpd.pid"),
    ")
  -s, --socket PATH        admin socket (default ",
    run_directory!("/l2tpd.sock"),
    ")
  -l, --log-level LEVEL    error | warn | info | debug (default info)
  -V, --version            print the version
  -h, --help               print this
"
);

/// The configuration file where none is named.
pub const CONFIG: &str = "/etc/l2tpd.conf";

/// How long a command of `on-event` may run.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What the daemon is asked to do, the defaults of the options that were not given left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `-d`
    pub foreground: bool,
    /// `-n`
    pub check: bool,
    /// `-c`
    pub config: String,
    /// `-p`
    pub pid_file: Option<String>,
    /// `-s`
    pub socket: Option<String>,
    /// `-l`
    pub log_level: Option<Level>,
    /// How long a command of `on-event` may run; no argument says so.
    pub event_limit: Duration,
}

impl Options {
    /// The arguments that mean the same.
    pub fn to_arguments(&self) -> Vec<String> {
        let Options { foreground, check: _, config, pid_file, socket, log_level, event_limit: _ } = self;
        let mut arguments = vec!["-c".to_owned(), config.clone()];
        if *foreground {
            arguments.push("-d".to_owned());
        }
        let level = log_level.map(|level| level.name().to_owned());
        for (option, value) in [("-p", pid_file), ("-s", socket), ("-l", &level)] {
            if let Some(value) = value {
                arguments.extend([option.to_owned(), value.clone()]);
            }
        }
        arguments
    }
}

/// What a command line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Run, or check the configuration.
    Run(Options),
    /// `-h`
    Help,
    /// `-V`
    Version,
}

/// A command line that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadUsage {
    /// No such option.
    Unknown(String),
    /// An option without the value it needs.
    NoValue(String),
    /// An option with a value that it does not take.
    Value(String),
    /// Not a log level.
    Level(String),
    /// An argument that is no option.
    Argument(String),
}

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadUsage::Unknown(option) => write!(f, "{option}: unknown option"),
            BadUsage::NoValue(option) => write!(f, "{option}: needs a value"),
            BadUsage::Value(option) => write!(f, "{option}: takes no value"),
            BadUsage::Level(level) => write!(f, "{level}: not one of error, warn, info, debug"),
            BadUsage::Argument(argument) => write!(f, "{argument}: unexpected argument"),
        }
    }
}

/// Short and long name of each option, and whether a value follows.
const OPTIONS: &[(char, &str, bool)] = &[
    ('d', "debug-foreground", false),
    ('n', "check", false),
    ('c', "config", true),
    ('p', "pid-file", true),
    ('s', "socket", true),
    ('l', "log-level", true),
    ('V', "version", false),
    ('h', "help", false),
];

/// Reads the arguments (without the program's name).
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Invocation, BadUsage> {
    let mut options = Options {
        foreground: false,
        check: false,
        config: CONFIG.to_string(),
        pid_file: None,
        socket: None,
        log_level: None,
        event_limit: TIME_LIMIT,
    };
    for (option, value) in split(arguments)? {
        match (option, value) {
            ('h', _) => return Ok(Invocation::Help),
            ('V', _) => return Ok(Invocation::Version),
            ('d', _) => options.foreground = true,
            ('n', _) => options.check = true,
            ('c', Some(value)) => options.config = value,
            ('p', value) => options.pid_file = value,
            ('s', value) => options.socket = value,
            ('l', Some(value)) => {
                let level = Level::from_name(&value).ok_or(BadUsage::Level(value))?;
                options.log_level = Some(level);
            }
            (other, _) => return Err(BadUsage::Unknown(format!("-{other}"))),
        }
    }
    Ok(Invocation::Run(options))
}

/// Cuts the arguments into options, by their short names, and values: `-dc FILE`, `-cFILE`, `--config FILE`,
/// `--config=FILE`.
fn split(arguments: impl IntoIterator<Item = String>) -> Result<Vec<(char, Option<String>)>, BadUsage> {
    let mut found = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            match arguments.next() {
                Some(argument) => return Err(BadUsage::Argument(argument)),
                None => break,
            }
        }
        if let Some(long) = argument.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (long, None),
            };
            let option = format!("--{name}");
            let Some(&(short, _, takes)) = OPTIONS.iter().find(|o| o.1 == name) else {
                return Err(BadUsage::Unknown(option));
            };
            let value = match (takes, attached) {
                (true, Some(value)) => Some(value),
                (true, None) => Some(arguments.next().ok_or(BadUsage::NoValue(option))?),
                (false, None) => None,
                (false, Some(_)) => return Err(BadUsage::Value(option)),
            };
            found.push((short, value));
            continue;
        }
        let Some(shorts) = argument.strip_prefix('-').filter(|s| !s.is_empty()) else {
            return Err(BadUsage::Argument(argument));
        };
        let mut letters = shorts.chars();
        while let Some(letter) = letters.next() {
            let option = format!("-{letter}");
            let Some(&(short, _, takes)) = OPTIONS.iter().find(|o| o.0 == letter) else {
                return Err(BadUsage::Unknown(option));
            };
            if !takes {
                found.push((short, None));
                continue;
            }
            let attached: String = letters.by_ref().collect();
            let value = match attached.is_empty() {
                true => arguments.next().ok_or(BadUsage::NoValue(option))?,
                false => attached,
            };
            found.push((short, Some(value)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Invocation, BadUsage> {
        parse(line.split_whitespace().map(str::to_string))
    }

    fn options(line: &str) -> Options {
        match run(line) {
            Ok(Invocation::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn short_long_joined_and_attached_options_mean_the_same() {
        let expected = options("-d -n -c a.conf -p p -s s -l debug");
        assert!(expected.foreground && expected.check);
        assert_eq!(expected.config, "a.conf");
        assert_eq!(expected.log_level, Some(Level::Debug));
        assert_eq!(options("-dnca.conf -pp -ss -ldebug"), expected);
        let long = "--debug-foreground --check --config a.conf --pid-file=p --socket s --log-level=debug";
        assert_eq!(options(long), expected);
    }

    #[test]
    fn without_options_the_defaults_hold() {
        let expected = Options {
            foreground: false,
            check: false,
            config: "/etc/l2tpd.conf".into(),
            pid_file: None,
            socket: None,
            log_level: None,
            event_limit: TIME_LIMIT,
        };
        assert_eq!(options(""), expected);
        assert_eq!(options("--"), expected);
    }

    #[test]
    fn bad_usage_is_told() {
        assert_eq!(run("-x"), Err(BadUsage::Unknown("-x".into())));
        assert_eq!(run("--confg f"), Err(BadUsage::Unknown("--confg".into())));
        assert_eq!(run("-d -c"), Err(BadUsage::NoValue("-c".into())));
        assert_eq!(run("--check=yes"), Err(BadUsage::Value("--check".into())));
        assert_eq!(run("-l loud"), Err(BadUsage::Level("loud".into())));
        assert_eq!(run("start"), Err(BadUsage::Argument("start".into())));
        assert_eq!(run("-"), Err(BadUsage::Argument("-".into())));
        assert_eq!(run("-- x"), Err(BadUsage::Argument("x".into())));
    }

    #[test]
    fn help_and_version() {
        assert_eq!(run("-h"), Ok(Invocation::Help));
        assert_eq!(run("--version"), Ok(Invocation::Version));
        for (short, long, _) in OPTIONS {
            assert!(USAGE.contains(&format!("  -{short}, --{long}")), "{long}");
        }
    }
}
