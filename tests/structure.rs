//! What the rooms of the program may name: only rooms before them in the list of lib.rs, the pure ones no clock, socket,
//! file or random source; `unsafe` only in `src/sys`. Within a room no two files need each other, and a type's methods stand
//! in its file. No file is too long to be read in one sitting. Comments and, except for `unsafe` and length, tests do not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// What a pure file must not name.
const IMPURE: [&str; 10] = [
    "libc",
    "mio::",
    "std::fs",
    "std::net::Udp",
    "std::net::Tcp",
    "UdpSocket",
    "TcpStream",
    "Instant::now",
    "SystemTime",
    "getrandom",
];

/// Lines of a file in `src`, tests included.
const LONGEST: usize = 500;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files of a directory and all below it, or the file itself.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return Vec::from([path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"))
        .flat_map(|path| rust_files(&path))
        .collect()
}

/// The lines of a file that are no comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What stands before the test module that ends a file.
fn without_tests(text: &str) -> &str {
    let begins_tests = |rest: &&str| {
        rest.lines().find(|line| !line.starts_with("#[")).is_some_and(|line| line.ends_with("mod tests {"))
    };
    let mut places = text.match_indices("\n#[cfg(test)]\n").map(|(at, _)| (at, &text[at + 1..]));
    places.find(|(_, rest)| begins_tests(rest)).map_or(text, |(at, _)| &text[..at])
}

/// Every place of `word` as a word of its own (`libc`, not `glibc_name`).
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !inside(before) && (word.ends_with(':') || word.starts_with("std::net") || !inside(after))
    })
}

#[test]
fn pure_rooms_name_nothing_impure() {
    let mut faults = Vec::new();
    for (room, _) in rooms_of_library().iter().filter(|(_, pure)| *pure) {
        let path = source().join(room);
        let files = if path.is_dir() { rust_files(&path) } else { vec![path.with_extension("rs")] };
        for file in files.iter().filter(|file| !is_test(file)) {
            let text = std::fs::read_to_string(file).unwrap();
            for (number, line) in code(without_tests(&text)) {
                let named = IMPURE.into_iter().filter(|word| names(line, word));
                faults.extend(named.map(|word| format!("{}:{number}: {word}", file.display())));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn unsafe_code_only_in_sys() {
    let mut faults = Vec::new();
    let mut in_sys = 0;
    for file in rust_files(&source()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let sys = file.starts_with(source().join("sys"));
        for (number, _) in code(&text).filter(|(_, line)| names(line, "unsafe")) {
            match sys {
                true => in_sys += 1,
                false => faults.push(format!("{}:{number}", file.display())),
            }
        }
        let allows = code(&text).any(|(_, line)| line.contains("allow(unsafe_code)"));
        assert!(!allows || file.ends_with("sys/mod.rs"), "{}: allows unsafe code", file.display());
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(in_sys > 0, "the search finds what is there");
}

// The library's own hash takes a random number, and aborts the program where none can be had; but that has a message.
#[test]
fn nothing_is_seeded_by_the_library() {
    let mut faults = Vec::new();
    for file in rust_files(&source()) {
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in code(without_tests(&text)).filter(|(_, line)| !line.starts_with("use ")) {
            let seeded = names(line, "RandomState")
                || names(line, "HashSet")
                || (names(line, "HashMap") && !names(line, "FixedHash") && !names(line, "HashMap::default"));
            if seeded {
                faults.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The only places that sleep: for some microseconds while frames gather (`clock::rest`), and after the loop has ended,
/// for a syslog that is slow.
const SLEEPS: [&str; 2] = ["daemon/logger.rs", "sys/clock.rs"];

#[test]
fn nothing_sleeps_in_the_loop() {
    let mut found = Vec::new();
    for file in rust_files(&source()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let sleeps = code(without_tests(&text)).filter(|(_, line)| line.contains("sleep("));
        found.extend(sleeps.map(|_| file.strip_prefix(source()).unwrap().display().to_string()));
    }
    found.sort();
    assert_eq!(found, SLEEPS);
}

#[test]
fn no_file_is_too_long() {
    let too_long: Vec<String> = rust_files(&source())
        .iter()
        .map(|file| (file, std::fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines >= LONGEST)
        .map(|(file, lines)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(too_long.is_empty(), "{too_long:#?}");
}

/// The paths of modules, types and functions that a text names: `a::b` and `a::c::D` of `a::{b, c::D}`.
fn paths(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let length = word(rest).len();
        if length == 0 || matches!(before, ':' | '.') {
            before = rest[..length.max(c.len_utf8())].chars().next_back().unwrap();
            rest = &rest[length.max(c.len_utf8())..];
            continue;
        }
        rest = path(rest, &[], &mut found);
        before = 'a';
    }
    found.retain(|path| path.len() > 1);
    found
}

/// The letters, digits and underscores that `text` begins with.
fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// Adds the paths of the tree that `text` begins with, each after `prefix`; returns what follows it.
fn path<'a>(text: &'a str, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = text;
    loop {
        let name = word(rest);
        rest = &rest[name.len()..];
        if !name.is_empty() && (name != "self" || path.is_empty()) {
            path.push(name);
        }
        match rest.strip_prefix("::") {
            Some(after) if after.starts_with('{') => return branches(&after[1..], &path, found),
            Some(after) if !name.is_empty() => rest = after,
            Some(_) | None => break,
        }
    }
    found.push(path);
    rest
}

/// The branches of a tree, from after its bracket on.
fn branches<'a>(text: &'a str, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let mut rest = text.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        rest = path(rest, prefix, found);
        // `*` and `as name`.
        rest = rest[rest.find([',', '}']).unwrap_or(rest.len())..].trim_start_matches(',').trim_start();
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

/// The text without its re-exports (`pub use`, `pub(super) use`), and these.
fn without_reexports(text: &str) -> (String, Vec<&str>) {
    let (mut kept, mut reexports) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find("\npub").map(|at| at + 1) {
        let length = rest[at..].find(';').map_or(rest.len(), |end| at + end + 1) - at;
        let statement = &rest[at..at + length];
        let word = statement.split_once([' ', ')']).map_or("", |(_, after)| after.trim_start());
        kept.push_str(&rest[..at]);
        match word.starts_with("use ") {
            true => {
                reexports.push(word);
                rest = &rest[at + length..];
            }
            false => {
                kept.push_str("pub");
                rest = &rest[at + 3..];
            }
        }
    }
    (kept + rest, reexports)
}

/// A file of the program.
struct Source {
    /// Its code without comments, tests and re-exports.
    text: String,
    /// What it hands on from elsewhere, by name: where that is.
    reexports: BTreeMap<String, Vec<String>>,
}

/// The modules of the program by their paths: `proto`, `proto::action`.
struct Modules(BTreeMap<Vec<String>, Source>);

fn strings(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| (*name).to_owned()).collect()
}

impl Modules {
    fn read() -> Modules {
        let mut modules = BTreeMap::new();
        for file in rust_files(&source()).iter().filter(|file| !is_test(file)) {
            let text = std::fs::read_to_string(file).unwrap();
            let text: String = code(without_tests(&text)).flat_map(|(_, line)| ["\n", line]).collect();
            let (text, statements) = without_reexports(&text);
            let reexports = statements.into_iter().flat_map(paths);
            let reexports =
                reexports.map(|path| ((*path.last().unwrap()).to_owned(), strings(&path))).collect();
            modules.insert(module_of(file), Source { text, reexports });
        }
        Modules(modules)
    }

    /// The module that a path leads to, as it is written in `from`; none if it leads out of the program, or is the
    /// name of a type.
    fn resolve(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            name => self.child(from, name)?,
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                module.pop();
            } else if let Some(child) = self.child(&module, name) {
                module = child;
            } else if let Some(target) = self.0.get(&module).and_then(|source| source.reexports.get(name)) {
                // What is handed on may come from outside.
                return Some(self.resolve(&module, target).unwrap_or(module));
            } else {
                break;
            }
            rest = after;
        }
        self.0.contains_key(&module).then_some(module)
    }

    fn child(&self, module: &[String], name: &str) -> Option<Vec<String>> {
        let child = [module, &[name.to_owned()]].concat();
        self.0.contains_key(&child).then_some(child)
    }

    /// The other modules that one needs. One that only declares others and hands their names on does not need them.
    fn needs(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let source = &self.0[module];
        let named = paths(&source.text).into_iter().map(|path| strings(&path));
        let handed_on =
            source.reexports.iter().filter(|(name, _)| source.text.lines().any(|line| names(line, name)));
        let all = named.chain(handed_on.map(|(_, path)| path.clone()));
        all.filter_map(|path| self.resolve(module, &path)).filter(|other| other != module).collect()
    }
}

/// Whether a file is only there for tests.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.ends_with("main.rs")
}

/// `src/proto/action.rs` is `proto::action`, `src/proto/mod.rs` is `proto`, `src/lib.rs` nothing.
fn module_of(file: &Path) -> Vec<String> {
    let module = file.strip_prefix(source()).unwrap().with_extension("");
    let names = module.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| !["mod", "lib"].contains(&name.as_str())).collect()
}

/// The shortest way by which a module needs itself.
fn circle(needs: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>, start: &Vec<String>) -> Option<String> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in needs.get(*way.last()?)? {
            if next == start {
                let names = way.iter().chain([&start]).map(|module| module.join("::"));
                return Some(names.collect::<Vec<String>>().join(" -> "));
            }
            if needs.contains_key(next) && seen.insert(next) {
                ways.push_back([way.clone(), vec![next]].concat());
            }
        }
    }
    None
}

#[test]
fn no_two_files_need_each_other() {
    let modules = Modules::read();
    let mut circles = BTreeSet::new();
    for (room, _) in rooms_of_library() {
        let inside = modules.0.keys().filter(|module| module.first() == Some(&room));
        let needs: BTreeMap<_, _> = inside.map(|module| (module.clone(), modules.needs(module))).collect();
        let count = needs.values().flatten().filter(|other| needs.contains_key(*other)).count();
        assert!(count + 1 >= needs.len(), "{room:?}: the search finds what is there");
        circles.extend(needs.keys().filter_map(|module| circle(&needs, module)));
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// The type whose own methods (not those of a trait) stand in a block that begins with this line.
fn type_of_methods(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let mut depth = 0;
    let parameters = rest.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0
    });
    let rest = rest[parameters? + 1..].trim_start();
    let last = rest.split(['<', ' ', '{']).next()?.rsplit("::").next()?;
    (!rest.contains(" for ")).then_some(last)
}

#[test]
fn the_methods_of_a_type_stand_in_its_file() {
    let mut faults = Vec::new();
    let mut count = 0;
    for (module, source) in &Modules::read().0 {
        let room = module.join("/");
        let is_here = |name: &str| {
            let kinds = ["struct", "enum", "trait"];
            let wanted = kinds.map(|kind| format!("{kind} {name}"));
            source.text.lines().any(|line| wanted.iter().any(|wanted| names(line, wanted)))
        };
        let types: Vec<&str> = source.text.lines().filter_map(type_of_methods).collect();
        count += types.len();
        faults.extend(types.iter().filter(|name| !is_here(name)).map(|name| format!("{room}: impl {name}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 0, "the search finds what is there");
}

/// What turns an id, a key or a name into an object in `src/proto`.
const LOOK_UPS: [&str; 20] = [
    ".candidates(",
    ".change(",
    ".claimed(",
    ".known_as(",
    ".named(",
    ".parts(",
    ".slot(",
    ".slot_mut(",
    ".slot_named(",
    ".slot_of(",
    ".slots_of(",
    ".tunnel_of(",
    ".with_interface(",
    ".with_interface_mut(",
    "members.get(",
    "members.get_mut(",
    "members.state(",
    "slots.called(",
    "slots.find(",
    "tunnels.get",
];

/// The tables, whose methods these are.
const TABLES: [&str; 7] =
    ["engine/callers", "engine/tunnels", "ids", "members", "peers", "session/slots", "tunnel"];

/// So often the engine looks something up: one event and table, one look. It may become less.
const MOST_LOOK_UPS: usize = 41;

/// So often something returns early and nobody learns that there was nothing to do. It may become less.
const MOST_SILENT_RETURNS: usize = 17;

/// The files of `src/proto`: their names there, and their text.
fn proto() -> Vec<(String, String)> {
    let modules = Modules::read().0.into_iter();
    let proto = modules.filter(|(module, _)| module.first().is_some_and(|room| room == "proto"));
    proto.map(|(module, source)| (module[1..].join("/"), source.text)).collect()
}

#[test]
fn only_the_engine_and_the_tables_look_up_ids() {
    let mut count = 0;
    for (file, text) in proto().iter().filter(|(file, _)| !TABLES.contains(&file.as_str())) {
        let found: usize = LOOK_UPS.iter().map(|word| text.matches(word).count()).sum();
        assert!(found == 0 || file.starts_with("engine"), "{file} looks up {found} ids");
        count += found;
    }
    println!("{count} look-ups");
    assert!(count > 0 && count <= MOST_LOOK_UPS, "{count} look-ups");
}

#[test]
fn what_is_missing_is_not_passed_over_in_silence() {
    let mut found = Vec::new();
    for (file, text) in proto() {
        for (at, _) in text.match_indices("else {") {
            let words = text[at + "else {".len()..].split_whitespace().take(3);
            let words: Vec<&str> = words.collect();
            let silent = match *words.as_slice() {
                ["return" | "return;", after, ..] if after.starts_with('}') => true,
                ["return", what, after] if after.starts_with('}') => {
                    ["None", "false", "true", "Vec::new()"].contains(&what.trim_matches(';'))
                }
                _ => false,
            };
            found.extend(silent.then(|| format!("{file}: {words:?}")));
        }
    }
    println!("{} silent returns", found.len());
    assert!(!found.is_empty() && found.len() <= MOST_SILENT_RETURNS, "{}: {found:#?}", found.len());
}

/// The rooms, in their order, and whether they claim to be pure, as a table of `lib.rs` or of the README has them.
fn rooms(text: &str) -> Vec<(String, bool)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<String>>();
    let table = text.lines().map(|line| cells(line.trim_start_matches("//! ")));
    let table = table.skip_while(|row| row.get(3).is_none_or(|cell| cell != "pure")).skip(2);
    let rows = table.take_while(|row| row.len() == 5);
    rows.map(|row| (row[1].trim_matches(['`', '[', ']']).to_owned(), row[3] == "yes")).collect()
}

#[test]
fn a_room_imports_only_from_rooms_before_it() {
    let rooms: Vec<String> = rooms_of_library().into_iter().map(|(room, _)| room).collect();
    let modules = Modules::read();
    let mut faults = Vec::new();
    let mut count = 0;
    for (module, source) in modules.0.iter().filter(|(module, _)| !module.is_empty()) {
        let place = |room: &str| rooms.iter().position(|other| other == room);
        let own = place(&module[0]).unwrap_or_else(|| panic!("{} is no room of lib.rs", module[0]));
        let reexported = source.reexports.values().cloned();
        let all = paths(&source.text).into_iter().map(|path| strings(&path)).chain(reexported);
        for path in all.filter(|path| path[0] == "crate") {
            count += 1;
            if place(&path[1]).is_none_or(|other| other > own) {
                faults.push(format!("{}: {}", module.join("::"), path.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > modules.0.len(), "the search finds what is there");
}

fn rooms_of_library() -> Vec<(String, bool)> {
    let rooms = rooms(&std::fs::read_to_string(source().join("lib.rs")).unwrap());
    assert!(rooms.len() > 5, "{rooms:?}");
    rooms
}

#[test]
fn the_readme_has_the_rooms_of_the_library() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert_eq!(rooms(&readme), rooms_of_library());
}

// The search itself: words, and neither parts of words nor comments.
#[test]
fn the_search_finds_words() {
    assert!(names("use libc::c_int;", "libc") && !names("let glibc = 1;", "libc"));
    assert!(names("use std::net::UdpSocket;", "std::net::Udp") && names("mio::Poll", "mio::"));
    assert!(names("    unsafe { f() }", "unsafe") && !names("#![deny(unsafe_code)]", "unsafe"));
    assert_eq!(code("a\n  // libc\nb").collect::<Vec<_>>(), [(1, "a"), (3, "b")]);
    let found = paths(
        "use a::b;\nuse a::{\n    c::{self, d, E as F},\n    g::*,\n};\nlet x: h::I<j::K> = y.z; L::m()",
    );
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b", "a::c", "a::c::d", "a::c::E", "a::g", "h::I", "j::K", "L::m"]);
    let text = "\nmod a;\npub use a::{B,\n C};\npub(super) use d::E;\npub fn f() {}\n";
    let (kept, reexports) = without_reexports(text);
    assert_eq!(reexports, ["use a::{B,\n C};", "use d::E;"]);
    assert_eq!(kept, "\nmod a;\n\n\npub fn f() {}\n");
    assert_eq!(type_of_methods("impl<'a, T: Into<U>> a::B<'a, T> {"), Some("B"));
    assert_eq!([type_of_methods("impl C {"), type_of_methods("impl D for C {")], [Some("C"), None]);
    assert_eq!(without_tests("a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\nlibc"), "a");
    assert_eq!(without_tests("a\n#[cfg(test)]\nfn f() {}\nlibc"), "a\n#[cfg(test)]\nfn f() {}\nlibc");
}
