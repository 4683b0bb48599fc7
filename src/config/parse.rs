//! Octets of a file -> a [`Config`], or all that is wrong with it. Lines are gathered into blocks; each block
//! is read by the table of tags once it is complete, and `check` looks at what tags mean beside each other.

use std::cmp::Reverse;
use std::rc::Rc;

use super::check;
use super::error::{ConfigError, Fault, Given, Place};
use super::identity::{Defaults, DerivedId, Source};
use super::lex::{self, Word};
use super::model::{
    Config, SessionConfig, TunnelConfig, GLOBAL, SESSION, SESSION_HEADER, TUNNEL, TUNNEL_HEADER,
};
use super::tag::{Block, Row, Tag};
use super::tags;
use super::value::{Kind, Refusal, Value};
use crate::gather;
use crate::log::{escape, Event, LogLine};
use crate::wiped::Wiped;

/// A file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration, or every error of the file, in its order.
    pub config: Result<Config, Vec<ConfigError>>,
    /// The settings that were accepted, in the order of the file.
    pub settings: Vec<Setting>,
}

/// A setting that was accepted, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The tunnel's name, also for the tags of its sessions; `global` for global tags.
    pub name: String,
    /// The name of the tag that was given.
    pub tag: &'static str,
    /// The parameters, joined by a blank and fit to be printed: `****` for a secret, `on` for a tag without any.
    pub param: String,
}

impl Setting {
    /// The setting as a line of the log.
    pub fn to_line(&self) -> LogLine {
        let (name, tag, param) = (self.name.clone(), self.tag.to_owned(), self.param.clone());
        LogLine::new(&Event::SettingAccepted { name, tag, param })
    }
}

/// Reads a file.
pub fn parse(text: &[u8], defaults: &Defaults) -> Parsed {
    let mut parsing = Parsing::new(Wiped::from(text), defaults, true);
    loop {
        if let Some(parsed) = parsing.go_on(usize::MAX) {
            return parsed;
        }
    }
}

/// A file that is being read, some lines at a time. Nothing of it is to be had before all of it is read.
pub struct Parsing {
    text: Wiped,
    /// Where the next line begins; `None`: that was the last one.
    next: Option<usize>,
    line: usize,
    parser: Parser,
}

impl Parsing {
    /// Nothing is read yet. `with_settings`: those that are accepted are kept.
    pub fn new(text: Wiped, defaults: &Defaults, with_settings: bool) -> Parsing {
        let next = Some(lex::begin(&text));
        Parsing { text, next, line: 0, parser: Parser::new(defaults, with_settings) }
    }

    /// Reads at most so many lines. What the file says, once that was all.
    pub fn go_on(&mut self, lines: usize) -> Option<Parsed> {
        for _ in 0..lines {
            let Some(at) = self.next else { return Some(self.parser.finish()) };
            let (line, length) = lex::first_line(self.text.get(at..).unwrap_or_default());
            self.next = length.map(|length| at.saturating_add(length));
            self.line = self.line.saturating_add(1);
            self.parser.line(self.line, line);
        }
        None
    }

    /// The text of the file.
    pub fn into_text(self) -> Wiped {
        self.text
    }
}

/// A line with a tag.
struct Statement {
    line: usize,
    tag: Word,
    params: Vec<Word>,
}

impl Statement {
    /// The place of a parameter, or of the tag where there is none.
    fn place(&self, param: usize) -> Place {
        Place { line: self.line, column: self.params.get(param).unwrap_or(&self.tag).column }
    }
}

/// The lines of one block. `header` is `None` for the lines before the first tunnel.
#[derive(Default)]
struct Lines {
    header: Option<Statement>,
    body: Vec<Statement>,
}

/// A tunnel block whose own lines are read; its sessions follow.
struct Open {
    place: Place,
    given: Vec<Given>,
    tunnel: TunnelConfig,
}

struct Parser {
    errors: Vec<ConfigError>,
    settings: Option<Vec<Setting>>,
    config: Config,
    known: check::Known,
    /// Blocks in which every tag has its default.
    blank: (TunnelConfig, SessionConfig),
    /// The block that lines belong to at present.
    block: Block,
    lines: Lines,
    open: Option<Open>,
}

impl Parser {
    fn new(defaults: &Defaults, with_settings: bool) -> Parser {
        let config =
            Config { hostname: defaults.hostname.clone(), system: defaults.clone(), ..Config::new() };
        Parser {
            errors: Vec::new(),
            settings: with_settings.then(Vec::new),
            known: check::Known::new(config.data_plane),
            config,
            blank: (TunnelConfig::new(""), SessionConfig::new("")),
            block: Block::Global,
            lines: Lines::default(),
            open: None,
        }
    }

    fn error(&mut self, place: Place, tag: &[u8], fault: Fault, detail: impl Into<Option<String>>) {
        let Place { line, column } = place;
        self.errors.push(ConfigError { line, column, tag: escape(tag), fault, detail: detail.into() });
    }

    fn accept(&mut self, setting: impl FnOnce() -> Setting) {
        if let Some(settings) = &mut self.settings {
            settings.push(setting());
        }
    }

    /// Takes the next line.
    fn line(&mut self, line: usize, octets: &[u8]) {
        let Some(statement) = self.statement(line, octets) else { return };
        match (&*statement.tag.octets, self.block) {
            (b"tunnel", _) => {
                self.end_tunnel();
                self.begin(Block::Tunnel, statement);
            }
            (b"session", Block::Tunnel | Block::Session) => {
                self.end_block();
                self.begin(Block::Session, statement);
            }
            (_, _) => self.lines.body.push(statement),
        }
    }

    /// The tag and parameters of a line, if it has a tag and its quotes are in order.
    fn statement(&mut self, line: usize, octets: &[u8]) -> Option<Statement> {
        let cut = lex::words(octets);
        let mut words = cut.words.into_iter();
        let tag = words.next()?;
        if let Some(error) = cut.error {
            let place = Place { line, column: error.column };
            self.error(place, &tag.octets, Fault::InvalidValue, error.text.to_owned());
            // `tunnel` and `session` open their block all the same, or the errors after them would be misleading.
            if !matches!(&*tag.octets, b"tunnel" | b"session") {
                return None;
            }
        }
        Some(Statement { line, tag, params: words.collect() })
    }

    fn begin(&mut self, block: Block, header: Statement) {
        self.block = block;
        self.lines = Lines { header: Some(header), body: Vec::new() };
    }

    /// Reads the lines of the block that they belonged to.
    fn end_block(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        match self.block {
            Block::Global => self.global(&lines),
            Block::Tunnel => self.open = Some(self.tunnel(&lines)),
            Block::Session => {
                let Some(mut open) = self.open.take() else { return };
                let session = self.session(&lines, &open.tunnel);
                open.tunnel.sessions.push(Rc::new(session));
                self.open = Some(open);
            }
        }
    }

    fn end_tunnel(&mut self) {
        self.end_block();
        let Some(Open { place, given, mut tunnel }) = self.open.take() else { return };
        let found = check::tunnel(&mut tunnel, place, &given, &mut self.known);
        self.complain(found);
        tunnel.sessions.shrink_to_fit();
        tunnel.remotes.shrink_to_fit();
        self.config.tunnels.push(Rc::new(tunnel));
    }

    fn finish(&mut self) -> Parsed {
        self.end_tunnel();
        let mut config = std::mem::take(&mut self.config);
        derive_router_ids(&mut config);
        let errors = std::mem::take(&mut self.errors);
        let errors = gather::sorted(errors, |e| ((e.line as u64) << 32) + e.column as u64);
        let settings = self.settings.take().unwrap_or_default();
        Parsed { config: if errors.is_empty() { Ok(config) } else { Err(errors) }, settings }
    }

    fn global(&mut self, lines: &Lines) {
        let mut config = std::mem::take(&mut self.config);
        let given = self.settings(GLOBAL, Block::Global, "global", &mut config, &lines.body);
        config.hostname_given = given.iter().any(|g| g.tag == "hostname");
        self.known = check::Known::new(config.data_plane);
        self.config = config;
    }

    fn tunnel(&mut self, lines: &Lines) -> Open {
        let (name, place) = self.header(&TUNNEL_HEADER, lines, None);
        let mut tunnel = TunnelConfig {
            name: name.clone(),
            line: place.line,
            local_hostname: self.config.hostname.clone(),
            local_router_id: self.config.router_id,
            restart_interval: self.config.restart_interval,
            ..self.blank.0.clone()
        };
        let given = self.settings(TUNNEL, Block::Tunnel, &name, &mut tunnel, &lines.body);
        Open { place, given, tunnel }
    }

    fn session(&mut self, lines: &Lines, tunnel: &TunnelConfig) -> SessionConfig {
        let (interface, place) = self.header(&SESSION_HEADER, lines, Some(&tunnel.name));
        let mut session =
            SessionConfig { interface, line: place.line, cookie: tunnel.cookie, ..self.blank.1.clone() };
        let given = self.settings(SESSION, Block::Session, &tunnel.name, &mut session, &lines.body);
        let found = check::session(&session, tunnel, place, &given, &mut self.known);
        self.complain(found);
        session
    }

    fn complain(&mut self, found: Vec<check::Complaint>) {
        for complaint in found {
            self.error(complaint.place, complaint.tag.as_bytes(), complaint.fault, complaint.detail);
        }
    }

    /// The name after `tunnel` or `session`, empty where it is no good, and its place. A session's setting is logged
    /// under the tunnel's name.
    fn header(&mut self, tag: &'static Tag, lines: &Lines, tunnel: Option<&str>) -> (String, Place) {
        let Some(header) = &lines.header else { return (String::new(), Place { line: 0, column: 0 }) };
        let place = header.place(0);
        let Some(Value::Text(name)) = self.read(tag, header, |params| tag.read(params)) else {
            return (String::new(), place);
        };
        self.accept(|| Setting {
            name: tunnel.unwrap_or(&name).to_owned(),
            tag: tag.name,
            param: name.clone(),
        });
        (name, place)
    }

    /// Reads the lines of a block into its fields. `name` is what the settings are logged under.
    fn settings<B>(
        &mut self,
        rows: &'static [Row<B>],
        block: Block,
        name: &str,
        fields: &mut B,
        statements: &[Statement],
    ) -> Vec<Given> {
        let mut given: Vec<Given> = Vec::new();
        for statement in statements {
            let place = statement.place(0);
            let Some(row) = rows.iter().find(|row| row.tag.name.as_bytes() == &*statement.tag.octets) else {
                let hint = unknown(block, &statement.tag.octets);
                let place = Place { column: statement.tag.column, ..place };
                self.error(place, &statement.tag.octets, Fault::UnknownTag, hint);
                continue;
            };
            let tag = &row.tag;
            if let Some(first) = given.iter().find(|g| g.tag == tag.name && !tag.repeats) {
                let place = Place { column: statement.tag.column, ..place };
                let detail = format!("{} stands in line {} already", tag.name, first.place.line);
                self.error(place, tag.name.as_bytes(), Fault::OnlyOne, detail);
                continue;
            }
            given.push(Given { tag: tag.name, place });
            if self.read(tag, statement, |params| row.apply(fields, params)).is_some() {
                let param = || printable(tag, &statement.params);
                self.accept(|| Setting { name: name.to_owned(), tag: tag.name, param: param() });
            } else if tag.repeats {
                given.pop(); // those that are given are those that the block has
            }
        }
        given
    }

    /// Counts the parameters of `tag` and reads them with `read`; what is wrong with them is an error of the file.
    fn read<T>(
        &mut self,
        tag: &Tag,
        statement: &Statement,
        read: impl FnOnce(&[Word]) -> Result<T, Refusal>,
    ) -> Option<T> {
        let name = tag.name.as_bytes();
        let (least, most) = tag.kind.count();
        let allowed = || format!("allowed: {}", tag.allowed());
        if statement.params.len() < least {
            self.error(statement.place(usize::MAX), name, Fault::NoParam, allowed());
            return None;
        }
        if statement.params.len() > most {
            let quote = match tag.kind {
                Kind::Octets | Kind::Path(_) => " (in quotes if there is a blank in it)",
                _ => "",
            };
            self.error(statement.place(most), name, Fault::OnlyOne, allowed() + quote);
            return None;
        }
        match read(&statement.params) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let detail = match refusal.reason {
                    Some(reason) => format!("{reason}\n{}", allowed()),
                    None => allowed(),
                };
                self.error(statement.place(refusal.at), name, refusal.fault, detail);
                None
            }
        }
    }
}

/// What the parameters look like in the log.
fn printable(tag: &Tag, params: &[Word]) -> String {
    if tag.secret {
        return "****".into();
    }
    if params.is_empty() {
        return "on".into();
    }
    params.iter().map(|p| escape(&p.octets)).collect::<Vec<_>>().join(" ")
}

/// Where a tag that stands at the wrong place belongs, or the tag that was meant perhaps.
fn unknown(block: Block, name: &[u8]) -> String {
    let elsewhere = [Block::Global, Block::Tunnel, Block::Session]
        .into_iter()
        .filter(|&b| b != block && tags::find(b, name).is_some())
        // The nearest block: a session's tag in a tunnel rather than a global one.
        .max_by_key(|&b| Reverse((b as usize).abs_diff(block as usize)));
    match elsewhere {
        None => match tags::nearest(block, name) {
            Some(tag) => format!("nearest known tag: {tag}"),
            None => "no tag is like it; l2tpd.conf(5) lists all of them".into(),
        },
        Some(Block::Global) => "global tags stand before the first tunnel".into(),
        Some(Block::Tunnel) if block == Block::Session => {
            "a tunnel's tags stand before its first session".into()
        }
        Some(Block::Tunnel) => "this tag stands in a tunnel block, after `tunnel NAME`".into(),
        Some(Block::Session) => "this tag stands in a session block, after `session IFNAME`".into(),
    }
}

/// Where no router id is given, all tunnels use the one that was derived before, or the first IPv4 address that the
/// file names as ours, or what the system offers: the same id towards all peers, and a stable one.
fn derive_router_ids(config: &mut Config) {
    let system = config.system.router_id;
    let named = config.tunnels.iter().find_map(|t| match t.local_address {
        Some(std::net::IpAddr::V4(address)) => Some(address.octets()),
        _ => None,
    });
    let derived = match named {
        Some(id) if !system.kept => DerivedId { id, source: Source::LocalAddress, kept: false },
        _ => system,
    };
    for tunnel in config.tunnels.iter_mut().filter(|t| t.local_router_id.is_none()) {
        Rc::make_mut(tunnel).local_router_id = Some(derived.id); // nobody else has it yet
        config.system.router_id = DerivedId { kept: true, ..derived };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(text.as_bytes(), &defaults())
    }

    fn defaults() -> Defaults {
        Defaults { hostname: b"here".to_vec(), router_id: DerivedId::of_address([192, 0, 2, 9]) }
    }

    #[test]
    fn a_router_id_that_was_derived_stays() {
        let named = "tunnel a\nlocal-address 192.0.2.1\n";
        let first = read(named).config.unwrap().system;
        let derived = DerivedId { id: [192, 0, 2, 1], source: Source::LocalAddress, kept: true };
        assert_eq!(first.router_id, derived);
        let later = parse(b"tunnel b\nlocal-address 192.0.2.2\ntunnel a\n", &first).config.unwrap();
        assert!(later.tunnels.iter().all(|t| t.local_router_id == Some(derived.id)), "{later:?}");
        assert_eq!(later.system, first);
        let given = read("hostname h\nrouter-id 10.0.0.1\ntunnel a\n").config.unwrap();
        assert_eq!((&given.system, given.hostname_given), (&defaults(), true));
        assert!(!read(named).config.unwrap().hostname_given);
    }

    #[test]
    fn a_tunnel_inherits_what_it_does_not_say() {
        let text = "hostname center\nrestart-interval 20\ntunnel a\n cookie 8\nsession l2tp0\nsession l2tp1\ncookie off\n\
                    tunnel b\nlocal-hostname b\nlocal-address 192.0.2.1\nrestart-interval 5\n";
        let config = read(text).config.unwrap();
        let [a, b] = config.tunnels.as_slice() else { panic!("{config:?}") };
        assert_eq!((a.local_hostname.as_slice(), b.local_hostname.as_slice()), (&b"center"[..], &b"b"[..]));
        assert_eq!((a.restart_interval.as_secs(), b.restart_interval.as_secs()), (20, 5));
        assert_eq!(a.sessions.iter().map(|s| s.cookie.octets()).collect::<Vec<_>>(), [8, 0]);
        assert_eq!(a.local_router_id, Some([192, 0, 2, 1]), "the first IPv4 address that is named as ours");
        assert_eq!((a.line, b.line, a.sessions[1].line), (3, 8, 6));
        assert_eq!(read("tunnel a").config.unwrap().tunnels[0].local_router_id, Some([192, 0, 2, 9]));
    }

    #[test]
    fn a_misplaced_tag_is_told_where_it_belongs() {
        let hint = |text| read(text).config.unwrap_err()[0].detail.clone().unwrap();
        assert_eq!(hint("tunnel a\nlog-level info"), "global tags stand before the first tunnel");
        assert_eq!(hint("retry 3"), "this tag stands in a tunnel block, after `tunnel NAME`");
        assert_eq!(hint("mtu 1500"), "this tag stands in a session block, after `session IFNAME`");
        assert_eq!(hint("tunnel a\nmtu 1500"), "this tag stands in a session block, after `session IFNAME`");
        assert_eq!(hint("tunnel a\nsession b\nretry 3"), "a tunnel's tags stand before its first session");
        assert_eq!(hint("session b"), "this tag stands in a tunnel block, after `tunnel NAME`");
        assert_eq!(hint("tunnel a\nrety 3"), "nearest known tag: retry");
    }

    // However few lines are read at a time, it is the same file; and there is nothing to be had before its end.
    #[test]
    fn a_file_read_in_pieces_says_the_same() {
        let good = "hostname h\ntunnel a\n retry 3\nsession x\n remote-end-id 1\nsession y\n remote-end-id 2\ntunnel b\n";
        let bad = "retry 3\ntunnel \"a\n retry x\nsession a\nsession a\ntunnel a\nmtu 1500\n";
        for text in ["", good, bad] {
            let whole = read(text);
            for lines in 1..=3 {
                let mut parsing = Parsing::new(Wiped::from(text.as_bytes()), &defaults(), true);
                let mut pieces = 0;
                let parsed = loop {
                    pieces += 1;
                    if let Some(parsed) = parsing.go_on(lines) {
                        break parsed;
                    }
                };
                assert_eq!(parsed, whole, "{text:?}");
                assert_eq!(pieces, (text.split('\n').count()) / lines + 1);
            }
        }
        let mut without = Parsing::new(Wiped::from(good.as_bytes()), &defaults(), false);
        assert_eq!(without.go_on(100).unwrap().settings, []);
    }
}
