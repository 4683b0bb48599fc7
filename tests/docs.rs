//! The documents say what the table of tags says: every tag stands in both manual pages and in the example file
//! with its default and its range, and none that the table lacks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use l2tpd::config::identity::DerivedId;
use l2tpd::config::model::Problem;
use l2tpd::config::tag::{Block, Effect, Tag, Unset};
use l2tpd::config::tags;
use l2tpd::config::value::Kind;
use l2tpd::config::{parse, Config, Defaults};

const PAGES: [&str; 2] = ["man/l2tpd.conf.5", "man/ja/l2tpd.conf.5"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn problems(config: &Config) -> Vec<Problem> {
    config.tunnels.iter().flat_map(|t| t.problems()).collect()
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn defaults() -> Defaults {
    Defaults { hostname: b"system".to_vec(), router_id: DerivedId::of_address([192, 0, 2, 1]) }
}

/// An entry of the page's lists of tags: the tag, and the lines up to the next entry or section.
struct Entry {
    section: String,
    tag: String,
    text: String,
}

/// The entries `.It Ic tag ...` (or `.It Ic tag Ns , Ic tag`) of a page, each with the `.Ss` it stands in.
fn entries(page: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut open = false;
    for line in page.lines() {
        if let Some(title) = line.strip_prefix(".Ss ").or(line.strip_prefix(".Sh ")) {
            section = title.to_owned();
            open = false;
        } else if let Some(rest) = line.strip_prefix(".It Ic ") {
            let tag = rest.split_whitespace().next().unwrap().to_owned();
            found.push(Entry { section: section.clone(), tag, text: format!("{line}\n") });
            open = true;
        } else if line.starts_with(".El") {
            open = false;
        } else if let Some(entry) = found.last_mut().filter(|_| open) {
            entry.text += line;
            entry.text.push('\n');
        }
    }
    found
}

/// The section of a page that a block's tags stand in, by its number among those that have entries.
fn section_of(block: Block) -> usize {
    match block {
        Block::Global => 0,
        Block::Tunnel => 1,
        Block::Session => 2,
    }
}

#[test]
fn the_pages_have_the_tags_of_the_table_in_its_order() {
    for page in PAGES {
        let entries = entries(&text(page));
        let mut sections: Vec<&str> = Vec::new();
        for entry in &entries {
            if sections.last() != Some(&entry.section.as_str()) {
                sections.push(&entry.section);
            }
        }
        assert_eq!(sections.len(), 3, "{page}: {sections:?}");
        for block in [Block::Global, Block::Tunnel, Block::Session] {
            let section = sections[section_of(block)];
            let there: Vec<&str> =
                entries.iter().filter(|e| e.section == section).map(|e| e.tag.as_str()).collect();
            let wanted: Vec<&str> = tags::all().filter(|t| t.block == block).map(|t| t.name).collect();
            assert_eq!(there, wanted, "{page}: {section}");
        }
    }
}

/// The numbers and words that an entry must show.
fn facts(tag: &Tag) -> Vec<String> {
    let mut facts: Vec<String> = tag.words.iter().map(|w| (*w).to_owned()).collect();
    match tag.kind {
        Kind::Number(_, max) if max == u64::MAX => {}
        Kind::Number(min, max) => facts.push(format!("{min}-{max}")),
        Kind::Seconds(min, max) => facts.push(format!("{}-{}", min as f64 / 1e3, max as f64 / 1e3)),
        Kind::Octets => facts.push("1-255".into()),
        Kind::Hex => facts.extend(["8".into(), "16".into()]),
        _ => {}
    }
    let (Unset::As(default) | Unset::Text(default)) = tag.default;
    let is_value = !default.is_empty() && !default.contains(' ') && default != "required";
    if is_value || tag.kind == Kind::Ports {
        facts.extend(default.split(' ').map(str::to_owned));
    }
    facts
}

#[test]
fn the_pages_give_range_and_default_of_each_tag() {
    for page in PAGES {
        let entries = entries(&text(page));
        for (tag, entry) in tags::all().zip(&entries) {
            let text = entry.text.replace("\\(en", "-");
            let words: BTreeSet<&str> = text
                .split(|c: char| c.is_whitespace() || ",;:()、。".contains(c))
                .map(|word| word.trim_end_matches('.'))
                .collect();
            // `none` as the table's word for "nothing by default" need not be a word of the file.
            let free = |fact: &str| fact == "none" && !tag.words.contains(&"none");
            for fact in facts(tag).iter().filter(|f| !free(f)) {
                assert!(words.contains(fact.as_str()), "{page}: {} lacks {fact}", tag.name);
            }
        }
    }
}

#[test]
fn the_pages_say_what_a_reload_changes_at_once() {
    // The tunnels take it over, and tell it to their peers.
    let is_told = |name: &str| {
        let local = format!("local-{name}");
        tags::all().any(|tag| tag.name == local && tag.effect == Effect::SetUp)
    };
    let named: Vec<&str> = tags::all()
        .filter(|tag| match tag.block {
            Block::Global => {
                tag.effect == Effect::Start || tag.effect == Effect::Inherited && is_told(tag.name)
            }
            _ => tag.effect == Effect::Live,
        })
        .map(|tag| tag.name)
        .collect();
    for page in PAGES {
        let text = text(page);
        let section = text.split(".Sh RELOAD\n").nth(1).expect("the section").split("\n.Sh ").next().unwrap();
        let told: BTreeSet<&str> =
            section.lines().filter_map(|line| line.strip_prefix(".Ic ")?.split_whitespace().next()).collect();
        assert_eq!(told, named.iter().copied().collect(), "{page}");
    }
}

/// A line of the example with what stands after `#`, if it is a setting that is shown only.
fn shown(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[test]
fn the_example_works_as_it_is_and_with_everything_it_shows() {
    let example = text("l2tpd.conf.example");
    let config = parse(example.as_bytes(), &defaults()).config.expect("the example as it is");
    assert_eq!(config.tunnels.len(), 1);
    assert_eq!(problems(&config), [], "the example can be started");

    let all: String = example.lines().map(|l| shown(l).unwrap_or(l).to_owned() + "\n").collect();
    let parsed = parse(all.as_bytes(), &defaults());
    let given: BTreeSet<&str> = parsed.settings.iter().map(|s| s.tag).collect();
    let table: BTreeSet<&str> = tags::all().map(|t| t.name).collect();
    assert_eq!(given, table, "the example shows every tag");
    assert_eq!(problems(&parsed.config.expect("the example with everything it shows")), []);
    for tag in tags::all() {
        let shown = parsed.settings.iter().filter(|s| s.tag == tag.name).count();
        let in_table = tags::all().filter(|t| t.name == tag.name).count();
        assert!(shown >= in_table, "{} is shown in {shown} of {in_table} blocks", tag.name);
    }
}

/// The settings that the example shows are the defaults, where the default is a value.
#[test]
fn the_example_shows_defaults() {
    for line in text("l2tpd.conf.example").lines().filter_map(shown) {
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
        let tag = tags::all().find(|t| t.name == words[0]).unwrap_or_else(|| panic!("{line}"));
        let is_value = matches!(
            tag.kind,
            Kind::Word | Kind::Number(..) | Kind::Seconds(..) | Kind::Ports | Kind::Path(_)
        );
        let (Unset::As(default) | Unset::Text(default)) = tag.default;
        // Where there is no file by default the example names one.
        let names_one = matches!(tag.kind, Kind::Path(_)) && default == "none";
        if is_value && !default.contains("the ") && !names_one {
            assert_eq!(words[1..].join(" "), default, "{}", tag.name);
        }
    }
}

/// The configurations in the pages (displays that begin with `tunnel` or a global tag) pass the parser.
#[test]
fn the_examples_of_the_pages_are_valid() {
    for page in PAGES {
        let page_text = text(page);
        let mut tried = 0;
        for display in page_text.split(".Bd -literal").skip(1) {
            let body = display.split_once('\n').unwrap().1.split(".Ed").next().unwrap();
            let body = body.replace("\\e", "\\").replace("\\-", "-").replace("\\(aq", "'");
            if !body
                .lines()
                .any(|l| l.trim_start().starts_with("tunnel ") && l.split_whitespace().count() == 2)
            {
                continue; // the other end's configuration
            }
            let parsed = parse(body.as_bytes(), &defaults());
            let config = parsed.config.unwrap_or_else(|e| panic!("{page}:\n{body}\n{e:#?}"));
            assert_eq!(problems(&config), [], "{page}:\n{body}");
            tried += 1;
        }
        assert!(tried >= 6, "{page}: {tried}");
    }
}

/// Nothing to complain of, warnings included. Where there is no mandoc, there is nothing to be checked.
#[test]
fn mandoc_has_nothing_to_say() {
    let mut pages: Vec<PathBuf> = Vec::new();
    for directory in ["man", "man/ja"] {
        let entries = fs::read_dir(path(directory)).unwrap().map(|e| e.unwrap().path());
        pages.extend(entries.filter(|p| p.is_file()));
    }
    assert!(pages.len() >= PAGES.len());
    for page in pages {
        let Ok(output) = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page).output()
        else {
            eprintln!("no mandoc here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.is_empty(), "{}", said);
    }
}

/// The options that the program itself lists stand in its pages, and no others.
#[test]
fn the_pages_have_the_options_of_the_program() {
    let output = Command::new(env!("CARGO_BIN_EXE_l2tpd")).arg("-h").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut options: BTreeSet<String> = BTreeSet::new();
    for line in help.lines().filter(|line| line.starts_with("  -")) {
        let words = line.split_whitespace().take_while(|word| word.starts_with('-'));
        options.extend(words.map(|word| word.trim_end_matches(',').to_owned()));
    }
    assert!(options.len() >= 12 && options.contains("--config") && options.contains("-n"), "{options:?}");
    for page in ["man/l2tpd.8", "man/ja/l2tpd.8"] {
        let mut there: BTreeSet<String> = BTreeSet::new();
        for line in text(page).lines().filter(|line| line.starts_with(".It Fl ")) {
            let names = line.split("Fl ").skip(1).filter_map(|rest| rest.split_whitespace().next());
            there.extend(names.map(|name| format!("-{name}")));
        }
        // Asking for help and version goes without saying in the program's own list.
        there.retain(|option| {
            options.contains(option) || !["-h", "--help", "-V", "--version"].contains(&&**option)
        });
        assert_eq!(there, options, "{page}");
    }
}

/// The options of the client stand in its pages and in the completions of each shell.
#[test]
fn the_options_of_the_client_are_told_and_completed() {
    for page in ["man/l2tpctl.8", "man/ja/l2tpctl.8"] {
        for option in ["Fl s ", "Fl -socket ", "Fl -json\n", "Fl h ", "Fl V "] {
            assert!(text(page).contains(option), "{page}: {option}");
        }
    }
    for file in ["bash/l2tpctl", "zsh/_l2tpctl", "fish/l2tpctl.fish"] {
        let text = text(&format!("man/completions/{file}"));
        for option in ["json", "socket", "help", "version"] {
            assert!(text.contains(option), "{file} does not complete --{option}");
        }
    }
}

/// What the language of one page has, that of the other has too; at their foot stands the version.
#[test]
fn every_page_is_there_in_both_languages() {
    let pages = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(path(directory)).unwrap().map(|e| e.unwrap());
        entries.filter(|e| e.path().is_file()).map(|e| e.file_name().into_string().unwrap()).collect()
    };
    let english: BTreeSet<String> =
        pages("man").into_iter().filter(|name| !name.ends_with(".example")).collect();
    assert_eq!(english, pages("man/ja"));
    assert_eq!(english.len(), 5, "{english:?}");
    for page in &english {
        let heads = |name: String| text(&name).lines().filter(|line| line.starts_with(".Sh ")).count();
        assert_eq!(heads(format!("man/{page}")), heads(format!("man/ja/{page}")), "sections of {page}");
        for name in [format!("man/{page}"), format!("man/ja/{page}")] {
            let foot = concat!(".Os l2tpd ", env!("CARGO_PKG_VERSION"));
            assert!(text(&name).lines().any(|line| line == foot), "{name}: no line `{foot}`");
        }
    }
}

/// Each counter that the page on troubles names is one that `l2tpctl counters` prints.
#[test]
fn the_counters_named_for_a_symptom_exist() {
    let names: BTreeSet<&str> =
        l2tpd::counters::Counters::default().entries().map(|(name, _, _)| name).collect();
    for page in ["man/l2tpd.8", "man/ja/l2tpd.8"] {
        let text = text(page);
        let symptoms = text.split(".Sh TROUBLESHOOTING").nth(1).expect("the section");
        let symptoms = symptoms.split("\n.Sh ").next().unwrap();
        let words = symptoms.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let mut named: BTreeSet<&str> =
            words.filter(|w| w.starts_with("rx_") || w.starts_with("tx_")).collect();
        named.remove("rx_drop"); // what several begin with
        assert!(named.len() >= 6 && named.is_subset(&names), "{page}: {named:?}");
    }
}

/// The command in README installs all that `make test` looks for, and so does the run on a fresh system.
#[test]
fn the_command_of_the_readme_installs_what_the_tests_look_for() {
    let readme = text("README.md");
    let section = readme.split("## Tests\n").nth(1).expect("the section").split("\n## ").next().unwrap();
    let command = section.split("apt-get install -y ").nth(1).expect("the command");
    let installed: BTreeSet<&str> =
        command.split("&&").next().unwrap().split_whitespace().filter(|word| *word != "\\").collect();
    let script = text("tests/run.sh");
    let needs = script.split("NEEDS=\"").nth(1).expect("the list").split('"').next().unwrap();
    let mut wanted: BTreeSet<&str> =
        needs.split_whitespace().map(|pair| pair.split_once(':').expect("program:package").1).collect();
    wanted.extend(["make", "python3-prometheus-client", "python3-yaml"]);
    assert_eq!(installed, wanted);
    let run = text(".ci/run");
    let list = run.split("packages=\"").nth(1).expect("the list").split('"').next().unwrap();
    let there: BTreeSet<&str> = list.split_whitespace().collect();
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// The tests that a page names in its rows of attackers: kind and file of each, row by row.
fn tests_of_attackers(page: &str) -> Vec<BTreeSet<(String, String)>> {
    let text = text(page);
    let begin = text.find(".It Who sends").or(text.find(".It どこからでも")).expect("the first row");
    let rows = text[begin..].split(".El").next().unwrap().split("\n.It ");
    let named = |row: &str| {
        let lines = row.lines().filter(|line| line.starts_with(".P") && line.contains("Em "));
        let lines = lines.filter_map(|line| line.split(" Pc ").next());
        let kinds = lines.flat_map(|line| line.split("Em ").skip(1).map(str::to_owned).collect::<Vec<_>>());
        kinds
            .flat_map(|words| {
                let mut words = words
                    .split_whitespace()
                    .filter(|word| *word != "Ns" && word.chars().all(|c| c.is_alphanumeric() || c == '_'));
                let kind = words.next().unwrap().to_owned();
                words.map(|file| (kind.clone(), file.to_owned())).collect::<Vec<_>>()
            })
            .filter(|(_, file)| file.is_ascii())
            .collect()
    };
    rows.map(named).collect()
}

#[test]
fn each_attacker_has_tests_that_exist() {
    let (english, japanese) = (tests_of_attackers("man/l2tpd.8"), tests_of_attackers("man/ja/l2tpd.8"));
    assert_eq!(english, japanese);
    assert_eq!(english.len(), 6);
    for row in &english {
        assert!(!row.is_empty(), "a row without a test");
        for (kind, file) in row {
            let places = match kind.as_str() {
                "lib" => ["src/sys/linux", "src/daemon"].map(|place| format!("{place}/{file}.rs")),
                _ => [format!("tests/{kind}/{file}.rs"), String::from("none")],
            };
            assert!(places.iter().any(|place| path(place).is_file()), "{kind} {file}");
        }
    }
}
