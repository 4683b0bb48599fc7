//! What the rooms of the program may name: the pure ones no clock, socket, file or random source; `unsafe` only in
//! `src/sys`; no file too long to be read in one sitting. Comments and, for purity, test modules do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files and directories under `src` that must be pure.
const PURE: [&str; 8] =
    ["token_bucket.rs", "wire", "proto", "frame", "config", "admin", "log/catalogue.rs", "wheel.rs"];

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

/// The directories under `src` in which no two files need each other.
const LAYERED: [&str; 2] = ["config", "admin"];

/// Lines of a file in `src`, tests included.
const LONGEST: usize = 700;

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
        rest.lines().find(|line| !line.starts_with("#[")).is_some_and(|line| line.starts_with("mod tests {"))
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
    let library = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    for room in PURE {
        let path = source().join(room);
        if !path.exists() && !library.contains(&format!("pub mod {room};")) {
            continue;
        }
        let files = rust_files(&path);
        assert!(!files.is_empty(), "{room}");
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
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

/// What is named right after `prefix`: `a` and `b` of `prefix{a::{X, Y}, b}`, `a` of `prefix a::X`.
fn named_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let word = |text: &'a str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let mut depth = 1;
        let end = list.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let mut depth = 0;
        let items = list[..end.unwrap()].split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ','
        });
        found.extend(items.map(|item| word(item.trim_start())));
    }
    found
}

/// The files of a directory, each with those of the directory that it names. The file at its root, which declares
/// them, is left out.
fn needs(room: &str) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let root = source().join(room);
    let files: BTreeSet<PathBuf> =
        rust_files(&root).into_iter().filter(|file| *file != root.join("mod.rs")).collect();
    // `module` as the path of a module, without extension.
    let file_of = |module: PathBuf| {
        [module.with_extension("rs"), module.join("mod.rs")].into_iter().find(|file| files.contains(file))
    };
    let mut found = BTreeMap::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let text: String = code(without_tests(&text)).flat_map(|(_, line)| [line, "\n"]).collect();
        let module = if file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") };
        let above = module.parent().unwrap();
        let declared = named_after(&text, "\nmod ").into_iter().map(|name| file_of(module.join(name)));
        let siblings = named_after(&text, "super::").into_iter().map(|name| {
            // What is no file stands in the module above itself.
            file_of(above.join(name)).or_else(|| file_of(above.to_path_buf()))
        });
        let prefix = format!("crate::{room}::");
        let others = named_after(&text, &prefix).into_iter().map(|name| file_of(root.join(name)));
        let all = declared.chain(siblings).chain(others).flatten().filter(|other| other != file);
        found.insert(file.clone(), all.collect());
    }
    found
}

/// Whether `from` needs `to`, directly or by way of others.
fn reaches(needs: &BTreeMap<PathBuf, BTreeSet<PathBuf>>, from: &Path, to: &Path) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = Vec::from([from]);
    while let Some(file) = open.pop() {
        for next in &needs[file] {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

#[test]
fn no_two_files_need_each_other() {
    for room in LAYERED {
        let needs = needs(room);
        let count: usize = needs.values().map(BTreeSet::len).sum();
        assert!(count >= needs.len(), "{room}: the search finds what is there");
        let circles: Vec<&PathBuf> = needs.keys().filter(|file| reaches(&needs, file, file)).collect();
        assert!(circles.is_empty(), "{room}: these need each other: {circles:#?}");
    }
}

// The search itself: words, and neither parts of words nor comments.
#[test]
fn the_search_finds_words() {
    assert!(names("use libc::c_int;", "libc") && !names("let glibc = 1;", "libc"));
    assert!(names("use std::net::UdpSocket;", "std::net::Udp") && names("mio::Poll", "mio::"));
    assert!(names("    unsafe { f() }", "unsafe") && !names("#![deny(unsafe_code)]", "unsafe"));
    assert_eq!(code("a\n  // libc\nb").collect::<Vec<_>>(), [(1, "a"), (3, "b")]);
    let names = named_after("use a::b;\nuse a::{c::{d, e}, f};\n a::g::h()", "a::");
    assert_eq!(names, ["b", "c", "f", "g"]);
    assert_eq!(without_tests("a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\nlibc"), "a");
    assert_eq!(without_tests("a\n#[cfg(test)]\nfn f() {}\nlibc"), "a\n#[cfg(test)]\nfn f() {}\nlibc");
}
