//! The one table of commands. The parser (in the client and again in the daemon), the usage text, the manual page
//! and the completions are made from it or checked against it.
//!
//! A word may be shortened as long as it stays unambiguous; a word that is spelled out wins over longer ones that
//! begin with it (`log` and `log-level`).

/// One place in a form of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// This word.
    Word(&'static str),
    /// A value; the name stands for it in the usage text.
    Value(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// All words that are left, at least one.
    Rest(&'static str),
}

/// One way to write a command, after its first word.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct Form {
    pub tokens: &'static [Token],
    /// What may follow them, each at most once, in any order.
    pub options: &'static [&'static [Token]],
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct AdminCommand {
    /// On the admin socket; [`LOCAL`] where the client sends something else.
    pub number: u16,
    /// What the command line begins with.
    pub word: &'static str,
    /// What may follow that one, for the usage text; a form that is an old name of another is not in it.
    pub usage: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    pub forms: &'static [Form],
}

use super::summary::{Column, Standing};
use crate::log::Level;
use Token::{OneOf, Rest, Value, Word};

/// The number of a command that does not travel.
pub const LOCAL: u16 = 0;

const fn form(tokens: &'static [Token]) -> Form {
    Form { tokens, options: &[] }
}

const fn with(tokens: &'static [Token], options: &'static [&'static [Token]]) -> Form {
    Form { tokens, options }
}

const ANY_LEVEL: Token = OneOf(Level::NAMES);
const INTERVAL: &[Token] = &[Word("-i"), Value("SECONDS")];
const RESULT_CODE: &[&[Token]] = &[&[Word("result-code"), Value("N")]];
/// Which tunnels, and in which order.
const STANDING: &[Token] = &[OneOf(Standing::NAMES)];
const NAMED: &[Token] = &[Word("name"), Value("TEXT")];
const SORTED: &[Token] = &[Word("sort"), OneOf(Column::NAMES)];

/// Every command. Their numbers are part of the protocol and never change.
pub static COMMANDS: &[AdminCommand] = &[
    AdminCommand {
        number: 1,
        word: "status",
        usage: "[tunnel NAME | session IFNAME]",
        about: "tunnels, sessions and their interfaces",
        forms: &[
            form(&[]),
            form(&[Word("tunnel"), Value("NAME")]),
            form(&[Word("session"), Value("IFNAME")]),
        ],
    },
    AdminCommand {
        number: 17,
        word: "summary",
        usage: "[up | down | disabled] [name TEXT] [sort COLUMN]",
        about: "one line a tunnel: state, sessions, rates, the last reason",
        forms: &[with(&[], &[STANDING, NAMED, SORTED])],
    },
    AdminCommand {
        number: LOCAL,
        word: "top",
        usage: "[up | down | disabled] [name TEXT] [sort COLUMN] [-i SECONDS]",
        about: "the summary, again and again until q is pressed; s sorts by another column",
        forms: &[with(&[], &[STANDING, NAMED, SORTED, INTERVAL])],
    },
    AdminCommand {
        number: 2,
        word: "clear",
        usage: "tunnel NAME | peer ADDRESS | session IFNAME | all [result-code N]",
        about: "end tunnels or a session; they are set up again at once",
        forms: &[
            with(&[Word("tunnel"), Value("NAME")], RESULT_CODE),
            with(&[Word("peer"), Value("ADDRESS")], RESULT_CODE),
            with(&[Word("session"), Value("IFNAME")], RESULT_CODE),
            with(&[Word("interface"), Value("IFNAME")], RESULT_CODE),
            with(&[Word("all")], RESULT_CODE),
        ],
    },
    AdminCommand {
        number: 3,
        word: "start",
        usage: "NAME",
        about: "enable a configured tunnel until the next reload",
        forms: &[form(&[Value("NAME")])],
    },
    AdminCommand {
        number: 4,
        word: "stop",
        usage: "NAME",
        about: "disable a configured tunnel until the next reload",
        forms: &[form(&[Value("NAME")])],
    },
    AdminCommand {
        number: 5,
        word: "reload",
        usage: "[--check]",
        about: "read the configuration again; --check only tells what would change",
        forms: &[form(&[]), form(&[Word("--check")])],
    },
    AdminCommand {
        number: 6,
        word: "log",
        usage: "[-f] [LEVEL]",
        about: "the messages kept in memory, of this level and worse; -f follows",
        forms: &[with(&[], &[&[ANY_LEVEL], &[Word("-f")]])],
    },
    AdminCommand {
        number: 7,
        word: "log-level",
        usage: "LEVEL",
        about: "set the level of the log",
        forms: &[form(&[ANY_LEVEL])],
    },
    AdminCommand {
        number: 8,
        word: "watch",
        usage: "",
        about: "one line per event as it happens",
        forms: &[form(&[])],
    },
    AdminCommand {
        number: 9,
        word: "counters",
        usage: "[reset]",
        about: "what was counted, every reason for a drop on its own",
        forms: &[form(&[]), form(&[Word("reset")])],
    },
    AdminCommand {
        number: 10,
        word: "metrics",
        usage: "",
        about: "the counters as OpenMetrics text",
        forms: &[form(&[])],
    },
    AdminCommand {
        number: 11,
        word: "trace",
        usage: "NAME FILE",
        about: "control messages of a tunnel into a pcapng file until interrupted",
        forms: &[form(&[Value("NAME"), Value("FILE")]), form(&[Value("NAME")])],
    },
    AdminCommand {
        number: 12,
        word: "explain",
        usage: "[MESSAGE TEXT | tunnel NAME]",
        about: "what a log message means and what to do; why a tunnel is not up",
        forms: &[form(&[]), form(&[Word("tunnel"), Value("NAME")]), form(&[Rest("TEXT")])],
    },
    AdminCommand {
        number: 13,
        word: "health",
        usage: "",
        about: "one line: is everything up? exit status 0 or 4",
        forms: &[form(&[])],
    },
    AdminCommand {
        number: 14,
        word: "ping",
        usage: "NAME [-c N] [-i SECONDS]",
        about: "HELLOs to the peer of a tunnel, or frames through a session: round trip and loss",
        forms: &[with(&[Value("NAME")], &[&[Word("-c"), Value("N")], INTERVAL])],
    },
    AdminCommand {
        number: 15,
        word: "failover",
        usage: "NAME",
        about: "move a tunnel that has several peers to the next one",
        forms: &[form(&[Value("NAME")])],
    },
    AdminCommand {
        number: 18,
        word: "restart",
        usage: "",
        about: "have the program file started again, to go on with all tunnels and frames",
        forms: &[form(&[])],
    },
];

/// The command with a number of the admin socket.
pub fn by_number(number: u16) -> Option<&'static AdminCommand> {
    COMMANDS.iter().find(|command| command.number == number && number != LOCAL)
}

/// The usage text of `l2tpctl`.
pub fn usage() -> String {
    let mut text = String::from("usage: l2tpctl [-s SOCKET] [--json] COMMAND\n\n");
    for command in COMMANDS {
        let line = format!("{} {}", command.word, command.usage);
        text.push_str(&format!("  {}\n        {}\n", line.trim_end(), command.about));
    }
    text.push_str("\nWords may be shortened as long as they stay unambiguous.\n");
    text
}
