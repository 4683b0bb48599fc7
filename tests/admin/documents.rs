//! The manual pages, completions and service files tell the truth about the program.

use std::path::PathBuf;
use std::process::Command;

use l2tpd::admin::command::{Form, Token, COMMANDS, LOCAL};
use l2tpd::admin::explain::{self, Language};
use l2tpd::admin::summary::Column;
use l2tpd::log::catalogue::{Template, CATALOGUE};
use l2tpd::log::remark::RemarkKind;
use l2tpd::log::Level;

use crate::support::admin_report as sample;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("man").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every fixed word that a command may contain, its first one included, and the commands alone.
fn words() -> Vec<&'static str> {
    let mut words = Vec::new();
    for command in COMMANDS {
        words.push(command.word);
        let options = |form: &'static Form| form.options.iter().copied().flatten();
        for token in command.forms.iter().flat_map(|form| form.tokens.iter().chain(options(form))) {
            match token {
                Token::Word(word) => words.push(word),
                Token::OneOf(these) => words.extend(*these),
                Token::Value(_) | Token::Rest(_) => {}
            }
        }
    }
    words
}

/// Whether `text` has `word` as a whole word.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside))
}

#[test]
fn every_command_is_in_the_manual_and_in_the_completions() {
    for page in ["l2tpctl.8", "ja/l2tpctl.8", "l2tpd-admin.5", "ja/l2tpd-admin.5"] {
        let text = read(page);
        for command in COMMANDS {
            if command.number == LOCAL && page.contains("admin") {
                continue;
            }
            let items = [format!(".It Ic {}", command.word), format!("Ta Ic {} Ta", command.word)];
            assert!(items.iter().any(|item| text.contains(item)), "{page} does not list {}", command.word);
        }
        let levels = page.contains("l2tpctl");
        let of_client =
            |word: &&str| Level::from_name(word).is_some() || Column::NAMES.contains(word) || *word == "top";
        for word in words().into_iter().filter(|word| levels || !of_client(word)) {
            // mdoc writes the hyphen of an option itself.
            let found = has_word(&text, word)
                || word.strip_prefix('-').is_some_and(|letter| text.contains(&format!("Fl {letter} ")));
            assert!(found, "{page} does not mention {word}");
        }
    }
    for file in ["bash/l2tpctl", "zsh/_l2tpctl", "fish/l2tpctl.fish"] {
        let text = read(&format!("completions/{file}"));
        for word in words() {
            assert!(has_word(&text, word), "{file} does not complete {word}");
        }
    }
    let numbers = read("l2tpd-admin.5");
    for command in COMMANDS.iter().filter(|command| command.number != LOCAL) {
        assert!(numbers.contains(&format!(".It {} Ta Ic {} Ta", command.number, command.word)));
    }
}

#[test]
fn shells_accept_the_completions() {
    let checks = [("bash", "bash/l2tpctl"), ("zsh", "zsh/_l2tpctl"), ("fish", "fish/l2tpctl.fish")];
    for (shell, file) in checks {
        match Command::new(shell).arg("-n").arg(path(&format!("completions/{file}"))).output() {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && errors.is_empty(), "{file}: {errors}");
            }
            Err(_) => eprintln!("SKIPPED: there is no {shell}"),
        }
    }
}

/// What bash offers for a command line that ends with `|`.
fn bash_offers(line: &str) -> Vec<String> {
    let words: Vec<String> =
        line.split(' ').map(|word| format!("'{}'", word.trim_end_matches('|'))).collect();
    let script = format!(
        ". '{}'; COMP_WORDS=({}); COMP_CWORD={}; _l2tpctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        path("completions/bash/l2tpctl").display(),
        words.join(" "),
        words.len() - 1
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter(|l| !l.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_what_the_table_allows() {
    assert_eq!(bash_offers("l2tpctl sta|"), ["status", "start"]);
    assert_eq!(
        bash_offers("l2tpctl -s /x --json clear |"),
        ["tunnel", "peer", "session", "interface", "all"]
    );
    assert_eq!(bash_offers("l2tpctl summary d|"), ["down", "disabled"]);
    assert_eq!(bash_offers("l2tpctl top sort s|"), ["state", "since", "sessions"]);
    assert_eq!(bash_offers("l2tpctl log |"), ["-f", "error", "warn", "info", "debug"]);
    assert_eq!(bash_offers("l2tpctl log -f w|"), ["warn"]);
    assert_eq!(bash_offers("l2tpctl clear all r|"), ["result-code"]);
    assert_eq!(bash_offers("l2tpctl clear tunnel a |"), ["result-code"]);
    let all: Vec<&str> = COMMANDS.iter().map(|command| command.word).collect();
    assert_eq!(bash_offers("l2tpctl |")[..all.len()], all);
}

#[test]
fn every_member_of_the_json_is_in_the_manual() {
    let report = sample::report();
    let status = report.json(&l2tpd::admin::request::Selection::All).unwrap();
    for page in ["l2tpd-admin.5", "ja/l2tpd-admin.5"] {
        let text = read(page);
        let mut counters = 0;
        for part in status.split("\":").filter(|part| part.contains('"')) {
            let name = part.rsplit('"').next().unwrap();
            let counted = report.interfaces["l2tp0"].counters.entries().any(|(known, _, _)| known == name)
                || report.snapshot.tunnels[0].counters.entries().any(|(known, _, _)| known == name)
                || report.snapshot.drops.entries().any(|(known, _, _)| known == name);
            counters += usize::from(counted);
            assert!(counted || has_word(&text, name), "{page} does not tell of {name}");
        }
        assert!(counters > 50, "the members were not found: {counters}");
    }
}

#[test]
fn mandoc_finds_nothing_to_complain_about() {
    for page in ["l2tpctl.8", "l2tpd-admin.5", "l2tpd-messages.7"] {
        for page in [page.to_owned(), format!("ja/{page}")] {
            let Ok(output) = Command::new("mandoc").args(["-T", "lint"]).arg(path(&page)).output() else {
                eprintln!("SKIPPED: there is no mandoc");
                return;
            };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            // The foot has our version, not the system's. Pages that are not installed yet are not found; lines of Japanese are long in octets, and mandoc
            // takes the end of an escaped character for a bracket.
            let excused = |line: &str| {
                line.contains("operating system explicitly specified")
                    || line.contains("referenced manual not found")
                    || line.contains("lacks")
                    || (page.starts_with("ja/")
                        && (line.contains("longer than 80 bytes") || line.contains("trailing delimiter: ")))
            };
            let complaints: Vec<&str> = text.lines().filter(|line| !excused(line)).collect();
            assert!(complaints.is_empty(), "{complaints:#?}");
        }
    }
}

/// Text as mdoc: special characters escaped, `quoted` parts in quotes.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    let mut open = false;
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '`' => {
                out.push_str(if open { "\\(cq" } else { "\\(oq" });
                open = !open;
            }
            '\'' => out.push_str("\\(aq"),
            c => out.push(c),
        }
    }
    if out.starts_with('.') {
        out.insert_str(0, "\\&");
    }
    out
}

/// English text in lines of at most 78 columns, each sentence beginning a new one.
fn english(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut ended = false;
    for word in escaped(text).split(' ') {
        if column > 0 && (ended || column + 1 + word.len() > 78) {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
        ended = word.trim_end_matches(')').ends_with(['.', '?', '!']);
    }
    out + "\n"
}

/// Japanese text, each sentence in a line of its own.
fn japanese(text: &str) -> String {
    escaped(text).replace('。', "。\n")
}

fn item(out: &mut String, template: &Template, language: Language) {
    let explanation = explain::all().find(|explanation| explanation.id == template.id).unwrap();
    out.push_str(&format!(".It Sy {}\n.Bd -literal -compact\n", template.id.replace('-', "\\-")));
    let text = escaped(template.text).replace('-', "\\-");
    // A long text goes on in a second line of the source; \c joins them in the page.
    let cut = if text.len() > 78 { text.find(" in ").unwrap_or(text.len()) } else { text.len() };
    let (head, tail) = text.split_at(cut);
    out.push_str(head);
    if !tail.is_empty() {
        out.push_str("\\c\n");
        out.push_str(tail);
    }
    out.push_str("\n.Ed\n.Pp\n");
    match language {
        Language::English => {
            out.push_str(&english(explanation.meaning));
            out.push_str(".Pp\n");
            out.push_str(&english(explanation.advice));
        }
        Language::Japanese => {
            out.push_str(&japanese(explanation.meaning_ja));
            out.push_str(".Pp\n");
            out.push_str(&japanese(explanation.advice_ja));
        }
    }
}

/// The page about the messages, made from the catalogue and the explanations.
fn messages_page(language: Language) -> String {
    let (about, intro, parts, title) = match language {
        Language::English => (
            "messages of the L2TPv3 daemon",
            "These are the messages that\n.Xr l2tpd 8\nlogs, what they mean, and what to do.\n\
             Their texts are those of SEIL routers, letter by letter.\n\
             Parts in angle brackets are filled in.\n\
             .Pp\n\
             Lines that begin with two blanks belong to the message before them\n\
             and are the daemon\\(aqs own: the place in a file, values expected and\nreceived, advice.\n\
             .Pp\n\
             .Ic l2tpctl explain\nfinds a message by its line in the log.\n",
            ["ERRORS", "WARNINGS", "INFORMATION", "DEBUGGING"],
            "MESSAGES OF LEVEL",
        ),
        Language::Japanese => (
            "L2TPv3 デーモンのメッセージ",
            ".Xr l2tpd 8\nが記録するメッセージと、その意味、対処です。\n\
             メッセージの文は、SEIL ルータのものと一字一句同じです。\n\
             山括弧の部分には値が入ります。\n\
             .Pp\n\
             空白二つで始まる行は、その前のメッセージに属する、このデーモンの補足です。\n\
             ファイルの位置、期待した値と受け取った値、助言などを示します。\n\
             .Pp\n\
             .Ic l2tpctl explain\nで、ログの行からメッセージを引けます。\n",
            ["エラー", "警告", "情報", "デバッグ"],
            "レベル",
        ),
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        ".\\\" Made from the tables of the program by tests/admin/documents.rs.\n\
         .Dd November 27, 2026\n.Dt L2TPD-MESSAGES 7\n.Os l2tpd {version}\n.Sh NAME\n.Nm l2tpd-messages\n.Nd {about}\n\
         .Sh DESCRIPTION\n{intro}"
    );
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug];
    for (level, part) in levels.into_iter().zip(parts) {
        out.push_str(
            &format!(".Ss {part} ({title} {level})\n.Bl -tag -width Ds\n")
                .replace("MESSAGES OF LEVEL", "level"),
        );
        for template in CATALOGUE.iter().filter(|template| template.level == level) {
            item(&mut out, template, language);
        }
        out.push_str(".El\n");
    }
    let further = match language {
        Language::English => "FURTHER LINES\nThese are the daemon\\(aqs own.\n",
        Language::Japanese => "そのほかの行\nこのデーモンに固有のものです。\n",
    };
    out.push_str(&format!(".Ss {further}.Bl -tag -width Ds\n"));
    for remark in RemarkKind::ALL {
        item(&mut out, remark.template(), language);
    }
    out.push_str(".El\n");
    out.push_str(".Sh SEE ALSO\n.Xr l2tpd.conf 5 ,\n.Xr l2tpctl 8 ,\n.Xr l2tpd 8\n");
    out
}

/// The page is a file so that it can be installed and read without the program. After a change of the tables
/// `L2TPD_WRITE_PAGES=1 cargo test --test admin page_about` writes it again.
#[test]
fn the_page_about_the_messages_is_that_of_the_tables() {
    for (name, language) in
        [("l2tpd-messages.7", Language::English), ("ja/l2tpd-messages.7", Language::Japanese)]
    {
        let wanted = messages_page(language);
        if std::env::var_os("L2TPD_WRITE_PAGES").is_some() {
            std::fs::write(path(name), &wanted).unwrap();
        }
        assert!(read(name) == wanted, "{name} is not up to date; see the comment above this test");
    }
}
