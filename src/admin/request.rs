//! A request: words become one, and one becomes words again. What words there are stands in the table of
//! [`command`](super::command).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::command::Token::{self, OneOf, Rest, Value, Word};
use super::command::{by_number, AdminCommand, Form, COMMANDS};
use super::envelope;
use super::summary::{Column, Filter, Standing};
use crate::config::value;
use crate::log::{escape, Level};

/// What `status` and `explain` are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything.
    All,
    /// One tunnel, by its name.
    Tunnel(String),
    /// One session, by its interface.
    Session(String),
}

/// What `clear` is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A tunnel, by its name.
    Tunnel(String),
    /// The tunnels of a peer's address.
    Peer(IpAddr),
    /// A session, by its interface.
    Session(String),
    /// Every tunnel.
    All,
}

/// A command with its values; each is named after its word.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // what each does stands in the table
pub enum AdminRequest {
    Status(Selection),
    Summary {
        /// Which tunnels.
        filter: Filter,
        /// Their order; the client sees to it.
        sort: Column,
    },
    /// The summary again and again: the client sends requests for summaries.
    Top {
        #[allow(missing_docs)] // as above
        filter: Filter,
        #[allow(missing_docs)] // as above
        sort: Column,
        /// From one to the next.
        interval: Duration,
    },
    Clear {
        target: Target,
        /// `result-code`.
        result: Option<u16>,
    },
    /// A tunnel, by its name.
    Start(String),
    /// A tunnel, by its name.
    Stop(String),
    /// A tunnel, by its name.
    FailOver(String),
    Reload {
        /// `--check`: only say what would change.
        check: bool,
    },
    Restart,
    Log {
        /// `-f`: go on with new messages as they come.
        follow: bool,
        /// This level and worse.
        level: Level,
    },
    LogLevel(Level),
    Watch,
    Counters {
        /// `reset`: begin again at 0.
        reset: bool,
    },
    Metrics,
    Trace {
        /// By its name.
        tunnel: String,
        /// Where the client writes to; does not travel.
        file: Option<String>,
    },
    /// `explain` of a tunnel, or of all that are not up.
    Explain(Selection),
    /// `explain` of a message's text: answered by the client alone.
    ExplainText(String),
    Health,
    Ping {
        /// By its name.
        tunnel: String,
        /// HELLOs.
        count: u32,
        /// From one to the next.
        interval: Duration,
    },
}

/// A request, and how its reply is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // a field whose name says all has no more
pub struct AdminOrder {
    /// The reply as JSON.
    pub json: bool,
    pub request: AdminRequest,
    /// The number and the words, spelled out, that travel.
    number: u16,
    words: Vec<String>,
}

/// Why words are not a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageError {
    /// A word that fits nothing here: itself, and what is possible instead.
    Unknown(String, Vec<&'static str>),
    /// A word that several others begin with.
    Ambiguous(String, Vec<&'static str>),
    /// The command ends too early: what may follow.
    Incomplete(Vec<&'static str>),
    /// A value that is not what it should be: itself, and what is expected.
    Value(String, &'static str),
    /// A command whose reply has no form as JSON, and what there is.
    NoJson(&'static str, &'static str),
    /// No command of this number.
    Number(u16),
    /// The body is not a list of words.
    Body,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::Unknown(word, possible) if possible.is_empty() => {
                write!(f, "`{}`: nothing may follow here", escape(word.as_bytes()))
            }
            UsageError::Unknown(word, possible) => {
                write!(f, "`{}`: unknown; possible here: {}", escape(word.as_bytes()), possible.join(", "))
            }
            UsageError::Ambiguous(word, possible) => {
                write!(f, "`{}`: ambiguous; it could be: {}", escape(word.as_bytes()), possible.join(", "))
            }
            UsageError::Incomplete(possible) => {
                write!(f, "incomplete; possible next: {}", possible.join(", "))
            }
            UsageError::Value(word, expected) => {
                write!(f, "`{}`: {expected} expected", escape(word.as_bytes()))
            }
            UsageError::NoJson(word, instead) => write!(f, "{word} has no form as JSON; {instead}"),
            UsageError::Number(number) => write!(f, "there is no command {number}"),
            UsageError::Body => {
                f.write_str("the request is not a list of words that each end with a zero octet")
            }
        }
    }
}

/// A form that fits the words so far, and what it still wants.
#[derive(Clone)]
struct Candidate {
    /// What must come next.
    must: &'static [Token],
    /// What may follow that.
    may: Vec<&'static [Token]>,
}

impl Candidate {
    fn new(form: &'static Form) -> Candidate {
        Candidate { must: form.tokens, may: form.options.to_vec() }
    }

    /// The tokens that the next word may be.
    fn next(&self) -> Vec<Token> {
        match self.must.first() {
            Some(token) => vec![*token],
            None => self.may.iter().filter_map(|option| option.first().copied()).collect(),
        }
    }

    /// What is left of it after the next word, if that may be `takes`.
    fn after(mut self, takes: impl Fn(Token) -> bool) -> Option<Candidate> {
        if self.must.is_empty() {
            let at = self.may.iter().position(|option| option.first().is_some_and(|token| takes(*token)))?;
            self.must = self.may.remove(at);
        }
        let (first, rest) = self.must.split_first()?;
        self.must = rest;
        takes(*first).then_some(self)
    }
}

/// The fixed words and the names of values that may come next, in the order of the table.
fn possible(candidates: &[Candidate]) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut words, mut names) = (Vec::new(), Vec::new());
    let note = |list: &mut Vec<&'static str>, name| {
        if !list.contains(&name) {
            list.push(name);
        }
    };
    for token in candidates.iter().flat_map(Candidate::next) {
        match token {
            Word(word) => note(&mut words, word),
            OneOf(these) => these.iter().for_each(|word| note(&mut words, word)),
            Value(name) | Rest(name) => note(&mut names, name),
        }
    }
    (words, names)
}

/// The word among `possible` that `word` is or begins, if there is exactly one.
fn complete(word: &str, possible: &[&'static str]) -> Result<Option<&'static str>, UsageError> {
    if let Some(exact) = possible.iter().find(|name| **name == word) {
        return Ok(Some(exact));
    }
    let begun: Vec<&'static str> =
        possible.iter().copied().filter(|name| !word.is_empty() && name.starts_with(word)).collect();
    match begun.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(UsageError::Ambiguous(word.to_owned(), begun)),
    }
}

/// Spells out the words after a command's first one and checks them against its forms.
fn spell_out(command: &'static AdminCommand, words: &[String]) -> Result<Vec<String>, UsageError> {
    let mut candidates: Vec<Candidate> = command.forms.iter().map(Candidate::new).collect();
    let mut spelled = Vec::new();
    for word in words {
        let (fixed, names) = possible(&candidates);
        let found = complete(word, &fixed)?;
        let takes = |token| match (token, found) {
            (Word(want), Some(name)) => want == name,
            (OneOf(these), Some(name)) => these.contains(&name),
            (Value(_) | Rest(_), found) => found.is_none(),
            (Word(_) | OneOf(_), None) => false,
        };
        candidates = candidates.into_iter().filter_map(|candidate| candidate.after(takes)).collect();
        if candidates.is_empty() {
            return Err(UsageError::Unknown(word.clone(), [fixed, names].concat()));
        }
        spelled.push(found.unwrap_or(word).to_owned());
    }
    if candidates.iter().any(|candidate| candidate.must.is_empty()) {
        return Ok(spelled);
    }
    let (fixed, names) = possible(&candidates);
    Err(UsageError::Incomplete([fixed, names].concat()))
}

/// Reads a command line: everything after the options of `l2tpctl`. `--json` may also stand among the words.
pub fn parse(words: &[String]) -> Result<AdminOrder, UsageError> {
    let mut words = words.to_vec();
    let first = words.iter().position(|word| word != "--json");
    let names: Vec<&'static str> = COMMANDS.iter().map(|command| command.word).collect();
    let Some(first) = first else {
        return Err(UsageError::Incomplete(names));
    };
    let json = words.drain(..first).count() > 0;
    let word = words.remove(0);
    let Some(name) = complete(&word, &names)? else {
        return Err(UsageError::Unknown(word, names));
    };
    match COMMANDS.iter().find(|command| command.word == name) {
        Some(command) => {
            let order = with_words(command, words)?;
            AdminOrder { json: json || order.json, ..order }.checked()
        }
        None => Err(UsageError::Unknown(word, names)),
    }
}

/// Reads a request as it came over the socket.
pub fn decode(number: u16, body: &[u8]) -> Result<AdminOrder, UsageError> {
    let command = by_number(number).ok_or(UsageError::Number(number))?;
    with_words(command, envelope::body_to_words(body).ok_or(UsageError::Body)?)
}

/// A command of the table with the words after its first one.
fn with_words(command: &'static AdminCommand, mut words: Vec<String>) -> Result<AdminOrder, UsageError> {
    if command.word == "explain" && !is_explain_tunnel(&words) && !words.is_empty() {
        let (number, text) = (command.number, words.join(" "));
        return Ok(AdminOrder { json: false, request: AdminRequest::ExplainText(text), number, words });
    }
    let before = words.len();
    words.retain(|word| word != "--json");
    let json = words.len() != before;
    let spelled = spell_out(command, &words)?;
    let words: Vec<&str> = spelled.iter().map(String::as_str).collect();
    let (number, travelling) = travelling(command, &words);
    let words_of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    AdminOrder { json, request: request(command, &words)?, number, words: words_of(&travelling) }.checked()
}

/// What the daemon is asked, and with which words.
fn travelling<'a>(command: &AdminCommand, words: &[&'a str]) -> (u16, Vec<&'a str>) {
    match (command.word, words) {
        // The file is the client's.
        ("trace", [name, ..]) => (command.number, vec![name]),
        // Summaries; their time is the client's.
        ("top", _) => {
            let number =
                COMMANDS.iter().find(|other| other.word == "summary").map_or(0, |other| other.number);
            let (mut kept, mut words) = (Vec::new(), words.iter());
            while let Some(word) = words.next() {
                let value = if matches!(*word, "name" | "sort" | "-i") { words.next() } else { None };
                if !matches!(*word, "-i" | "sort") {
                    kept.extend([word].into_iter().chain(value));
                }
            }
            (number, kept)
        }
        _ => (command.number, words.to_vec()),
    }
}

/// `explain tunnel NAME`, and not a message that begins with the word `tunnel`.
fn is_explain_tunnel(words: &[String]) -> bool {
    let mut plain = words.iter().filter(|word| *word != "--json");
    match (plain.next(), plain.next(), plain.next()) {
        (None, _, _) => true,
        (Some(first), Some(_), None) => !first.is_empty() && "tunnel".starts_with(first.as_str()),
        (Some(first), None, _) => first == "tunnel",
        (Some(_), Some(_), Some(_)) => false,
    }
}

/// The request that spelled-out words make.
fn request(command: &'static AdminCommand, words: &[&str]) -> Result<AdminRequest, UsageError> {
    Ok(match (command.word, words) {
        ("status", []) => AdminRequest::Status(Selection::All),
        ("status", ["tunnel", name]) => AdminRequest::Status(Selection::Tunnel((*name).to_owned())),
        ("status", ["session", name]) => AdminRequest::Status(Selection::Session((*name).to_owned())),
        ("summary", words) => {
            let (filter, sort, _) = summary(words)?;
            AdminRequest::Summary { filter, sort: sort.unwrap_or(Column::Name) }
        }
        ("top", words) => {
            let (filter, sort, interval) = summary(words)?;
            let sort = sort.unwrap_or(Column::Octets);
            AdminRequest::Top { filter, sort, interval: interval.unwrap_or(Duration::from_secs(2)) }
        }
        ("clear", words) => return clear(words),
        ("start", [name]) => AdminRequest::Start((*name).to_owned()),
        ("stop", [name]) => AdminRequest::Stop((*name).to_owned()),
        ("failover", [name]) => AdminRequest::FailOver((*name).to_owned()),
        ("reload", words) => AdminRequest::Reload { check: !words.is_empty() },
        ("restart", _) => AdminRequest::Restart,
        ("log", words) => {
            let named = words.iter().find(|word| **word != "-f");
            let level = named.map_or(Ok(Level::Debug), |name| level(name))?;
            AdminRequest::Log { follow: words.contains(&"-f"), level }
        }
        ("log-level", [name]) => AdminRequest::LogLevel(level(name)?),
        ("watch", _) => AdminRequest::Watch,
        ("counters", words) => AdminRequest::Counters { reset: !words.is_empty() },
        ("metrics", _) => AdminRequest::Metrics,
        ("trace", [name]) => AdminRequest::Trace { tunnel: (*name).to_owned(), file: None },
        ("trace", [name, file]) => {
            AdminRequest::Trace { tunnel: (*name).to_owned(), file: Some((*file).to_owned()) }
        }
        ("explain", []) => AdminRequest::Explain(Selection::All),
        ("explain", ["tunnel", name]) => AdminRequest::Explain(Selection::Tunnel((*name).to_owned())),
        ("health", _) => AdminRequest::Health,
        ("ping", [name, options @ ..]) => ping(name, options)?,
        _ => return Err(UsageError::Number(command.number)), // spell_out lets no other words through
    })
}

fn level(name: &str) -> Result<Level, UsageError> {
    Level::from_name(name).ok_or_else(|| UsageError::Value(name.to_owned(), "error, warn, info or debug"))
}

/// Seconds with at most three decimals, from so many milliseconds to an hour; `.5` is one half.
fn seconds(text: &str, min: u64) -> Option<Duration> {
    value::seconds(format!("0{text}").as_bytes(), min, 3_600_000)
}

fn ping(name: &str, options: &[&str]) -> Result<AdminRequest, UsageError> {
    let (mut count, mut interval) = (5, Duration::from_secs(1));
    for option in options.chunks(2) {
        let &[option, value] = option else { continue }; // spell_out lets only pairs through
        let wrong = |expected| UsageError::Value(value.to_owned(), expected);
        if option == "-c" {
            let given = value.parse().ok().filter(|n| (1..=100_000).contains(n));
            count = given.ok_or_else(|| wrong("a number from 1 to 100000"))?;
        } else {
            interval = seconds(value, 10).ok_or_else(|| wrong("seconds from 0.01 to 3600"))?;
        }
    }
    Ok(AdminRequest::Ping { tunnel: name.to_owned(), count, interval })
}

/// The words of `summary` and `top`.
fn summary(words: &[&str]) -> Result<(Filter, Option<Column>, Option<Duration>), UsageError> {
    let (mut filter, mut sort, mut interval) = (Filter::default(), None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().copied().unwrap_or_default(); // spell_out lets none be left out
        match *word {
            "name" => filter.name = value().to_owned(),
            "sort" => sort = Column::from_name(value()),
            "-i" => {
                let (value, expected) = (value(), "seconds from 0.1 to 3600");
                let given = seconds(value, 100);
                interval = Some(given.ok_or_else(|| UsageError::Value(value.to_owned(), expected))?);
            }
            standing => filter.standing = Standing::from_name(standing),
        }
    }
    Ok((filter, sort, interval))
}

fn clear(words: &[&str]) -> Result<AdminRequest, UsageError> {
    let (target, rest) = match words {
        ["tunnel", name, rest @ ..] => (Target::Tunnel((*name).to_owned()), rest),
        ["session" | "interface", name, rest @ ..] => (Target::Session((*name).to_owned()), rest),
        ["peer", address, rest @ ..] => {
            let parsed =
                address.parse().map_err(|_| UsageError::Value((*address).to_owned(), "an IP address"))?;
            (Target::Peer(parsed), rest)
        }
        rest => (Target::All, rest.get(1..).unwrap_or_default()),
    };
    let result = match rest {
        ["result-code", code] => Some(
            code.parse().map_err(|_| UsageError::Value((*code).to_owned(), "a number from 1 to 65535"))?,
        ),
        _ => None,
    };
    Ok(AdminRequest::Clear { target, result })
}

impl AdminOrder {
    /// Refuses JSON of what has no form as JSON.
    fn checked(self) -> Result<AdminOrder, UsageError> {
        match self.request {
            AdminRequest::Metrics if self.json => {
                Err(UsageError::NoJson("metrics", "`l2tpctl --json counters` has one"))
            }
            AdminRequest::Top { .. } if self.json => {
                Err(UsageError::NoJson("top", "`l2tpctl --json summary` has one"))
            }
            AdminRequest::Trace { .. } if self.json => Err(UsageError::NoJson("trace", "it writes pcapng")),
            _ => Ok(self),
        }
    }

    /// The number and the body of this order on the socket.
    pub fn encode(&self) -> (u16, Vec<u8>) {
        let json = self.json.then(|| "--json".to_owned());
        let words: Vec<String> = self.words.iter().cloned().chain(json).collect();
        (self.number, envelope::words_to_body(&words))
    }
}
