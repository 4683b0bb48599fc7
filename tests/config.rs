//! The configuration parser from outside. Each `tests/config/NAME.conf` has either a `NAME.err` beside it (all its
//! errors as `l2tpd -n` reports them) or a `NAME.ok` (the settings that were accepted, then what keeps a tunnel or
//! session from being started). `UPDATE_GOLDEN=1 cargo test --test config` writes these anew.

#[path = "support/dice.rs"]
mod dice;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use l2tpd::config::diff::{diff, share, Change, What};
use l2tpd::config::error::Fault;
use l2tpd::config::identity::DerivedId;
use l2tpd::config::tag::{Block, Effect, Tag, Unset};
use l2tpd::config::tags;
use l2tpd::config::value::Kind;
use l2tpd::config::{parse, Config, Defaults, Parsed};
use l2tpd::log::Level;
use l2tpd::wire::digest::Secret;

use dice::Dice;

fn defaults() -> Defaults {
    Defaults { hostname: b"system".to_vec(), router_id: DerivedId::of_address([198, 51, 100, 1]) }
}

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), &defaults())
}

fn config(text: &str) -> Config {
    read(text).config.unwrap_or_else(|e| panic!("{text}\n{e:#?}"))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn conf_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(directory()).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What stands in the golden file of `parsed`, and the ending of its name.
fn golden(file: &str, parsed: &Parsed) -> (String, &'static str) {
    let mut text = String::new();
    match &parsed.config {
        Err(errors) => {
            for error in errors {
                text += &error.report(file);
                text.push('\n');
            }
            (text, "err")
        }
        Ok(config) => {
            for setting in &parsed.settings {
                text += &setting.to_line().text;
                text.push('\n');
            }
            for tunnel in &config.tunnels {
                for problem in tunnel.problems() {
                    let place = [Some(tunnel.name.clone()), problem.interface].into_iter().flatten();
                    let place = place.collect::<Vec<_>>().join(" ");
                    text +=
                        &format!("{file}:{}: {}\n  {place}: {}\n", problem.line, problem.event, problem.text);
                }
            }
            (text, "ok")
        }
    }
}

#[test]
fn files_give_their_golden_reports() {
    for path in conf_files() {
        let file = path.file_name().unwrap().to_str().unwrap();
        let (text, ending) = golden(file, &parse(&fs::read(&path).unwrap(), &defaults()));
        let other = if ending == "ok" { "err" } else { "ok" };
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path.with_extension(ending), &text).unwrap();
            let _ = fs::remove_file(path.with_extension(other));
        }
        assert!(!path.with_extension(other).exists(), "{file} gives .{ending} now");
        let expected = fs::read_to_string(path.with_extension(ending)).unwrap();
        assert!(text == expected, "{file} gives\n{text}\ninstead of\n{expected}");
    }
}

/// The tags of the interface, by hand: the table must have these and no others.
#[test]
fn the_table_has_the_tags_of_the_interface() {
    let by_hand = [
        (
            Block::Global,
            "hostname router-id log-level log-buffer pid-file admin-socket state-file admin-group restart-interval max-tunnels \
             max-sessions user seccomp data-plane tunnel",
        ),
        (
            Block::Tunnel,
            "local-address remote-address revert-after standby local-hostname local-router-id remote-hostname remote-router-id password \
             password-old digest cookie retry retry-interval retry-interval-max hello-interval receive-window \
             setup-timeout restart-interval restart-interval-max resolve-interval linger encapsulation udp-port bind-device fwmark nat-keepalive compatibility reserved-bits role hidden \
             dont-fragment mtu-probing ttl tos on-event disable session",
        ),
        (
            Block::Session,
            "remote-end-id pseudowire cookie l2-sublayer sequencing mtu tcp-mss oversize bridge split-horizon loop-detection storm-limit link-local-frames mac-address \
             link-state manual local-cookie remote-cookie disable",
        ),
    ];
    for (block, names) in by_hand {
        let table: Vec<&str> = tags::all().filter(|t| t.block == block).map(|t| t.name).collect();
        assert_eq!(table, names.split_whitespace().collect::<Vec<_>>(), "{block:?}");
    }
}

fn errors_of(file: &str) -> Vec<(String, Fault)> {
    let text = fs::read(directory().join(file)).unwrap();
    let errors = parse(&text, &defaults()).config.unwrap_err();
    errors.into_iter().map(|e| (e.tag, e.fault)).collect()
}

/// Every tag of the table that `wanted` picks must show `fault` in `file` as often as it stands in the table.
fn covers(file: &str, fault: Fault, wanted: impl Fn(&Tag) -> bool) {
    let errors = errors_of(file);
    for tag in tags::all().filter(|t| wanted(t)) {
        let in_table = tags::all().filter(|t| t.name == tag.name && wanted(t)).count();
        let shown = errors.iter().filter(|(name, f)| name == tag.name && *f == fault).count();
        assert!(shown >= in_table, "{file}: {} is there {shown} of {in_table} times", tag.name);
    }
}

#[test]
fn the_golden_files_cover_every_tag() {
    let address =
        |kind: Kind| matches!(kind, Kind::RouterId | Kind::Address | Kind::AddressOrName | Kind::Mac);
    covers("no-param.conf", Fault::NoParam, |t| t.kind != Kind::Flag);
    covers("surplus-param.conf", Fault::OnlyOne, |t| t.kind != Kind::Command);
    covers("invalid-address.conf", Fault::InvalidAddress, |t| address(t.kind));
    covers("invalid-value.conf", Fault::InvalidValue, |t| {
        t.kind != Kind::Flag && (!address(t.kind) || t.kind == Kind::Mac)
    });
    for file in ["minimum.conf", "maximum.conf"] {
        let text = fs::read(directory().join(file)).unwrap();
        let given: BTreeSet<&str> = parse(&text, &defaults()).settings.iter().map(|s| s.tag).collect();
        let missing: Vec<&str> =
            tags::all().map(|t| t.name).filter(|n| !given.contains(n) && *n != "disable").collect();
        assert_eq!(missing, Vec::<&str>::new(), "{file}");
    }
}

/// A setting for each tag that differs from `BASE`, and what comes of it when it is put in later.
const SAMPLES: &[(Block, &str, &str)] = &[
    (Block::Global, "hostname x", "restart a local-hostname"),
    (Block::Global, "router-id 203.0.113.9", "restart a local-router-id"),
    (Block::Global, "log-level debug", "global log-level"),
    (Block::Global, "log-buffer 5", "global log-buffer"),
    (Block::Global, "pid-file /x", "global pid-file"),
    (Block::Global, "admin-socket /x", "global admin-socket"),
    (Block::Global, "state-file /x", "global state-file"),
    (Block::Global, "admin-group x", "global admin-group"),
    (Block::Global, "restart-interval 7", "live a restart-interval"),
    (Block::Global, "max-tunnels 7", "global max-tunnels"),
    (Block::Global, "max-sessions 7", "global max-sessions"),
    (Block::Global, "user x", "global user"),
    (Block::Global, "seccomp log", "global seccomp"),
    (Block::Global, "data-plane tap", "global data-plane"),
    (Block::Global, "tunnel b", "added b"),
    (Block::Tunnel, "local-address 2001:db8::1", "restart a local-address"),
    (Block::Tunnel, "remote-address peer.example.net", "restart a remote-address"),
    (Block::Tunnel, "revert-after never", "live a revert-after"),
    (Block::Tunnel, "standby hot", "live a standby"),
    (Block::Tunnel, "local-hostname x", "restart a local-hostname"),
    (Block::Tunnel, "local-router-id 203.0.113.9", "restart a local-router-id"),
    (Block::Tunnel, "remote-hostname any", "restart a remote-hostname"),
    (Block::Tunnel, "remote-router-id 203.0.113.9", "restart a remote-router-id"),
    (Block::Tunnel, "password x", "restart a password"),
    (Block::Tunnel, "password-old x", "live a password-old"),
    (Block::Tunnel, "digest md5", "restart a digest"),
    (Block::Tunnel, "cookie 8", "restart a l2tp0 cookie"),
    (Block::Tunnel, "retry 3", "live a retry"),
    (Block::Tunnel, "retry-interval 0.5", "live a retry-interval"),
    (Block::Tunnel, "retry-interval-max 9", "live a retry-interval-max"),
    (Block::Tunnel, "hello-interval none", "live a hello-interval"),
    (Block::Tunnel, "receive-window 9", "restart a receive-window"),
    (Block::Tunnel, "setup-timeout 9", "live a setup-timeout"),
    (Block::Tunnel, "restart-interval 9", "live a restart-interval"),
    (Block::Tunnel, "restart-interval-max 90", "live a restart-interval-max"),
    (Block::Tunnel, "resolve-interval none", "live a resolve-interval"),
    (Block::Tunnel, "linger 9", "live a linger"),
    (Block::Tunnel, "encapsulation udp", "restart a encapsulation"),
    (Block::Tunnel, "encapsulation ip udp", "restart a encapsulation"),
    (Block::Tunnel, "udp-port 1701 1702", "restart a udp-port"),
    (Block::Tunnel, "bind-device red", "restart a bind-device"),
    (Block::Tunnel, "fwmark 0x10", "restart a fwmark"),
    (Block::Tunnel, "nat-keepalive 25", "live a nat-keepalive"),
    (Block::Tunnel, "compatibility rfc", "restart a compatibility"),
    (Block::Tunnel, "reserved-bits ignore", "live a reserved-bits"),
    (Block::Tunnel, "role passive", "restart a role"),
    (Block::Tunnel, "hidden on", "restart a hidden"),
    (Block::Tunnel, "dont-fragment on", "live a dont-fragment"),
    (Block::Tunnel, "mtu-probing off", "live a mtu-probing"),
    (Block::Tunnel, "ttl 9", "live a ttl"),
    (Block::Tunnel, "tos copy", "live a tos"),
    (Block::Tunnel, "on-event /x", "live a on-event"),
    (Block::Tunnel, "disable", "restart a disable"),
    (Block::Tunnel, "session l2tp1", "added a l2tp1"),
    (Block::Session, "remote-end-id x", "restart a l2tp0 remote-end-id"),
    (Block::Session, "pseudowire vlan", "restart a l2tp0 pseudowire"),
    (Block::Session, "cookie on", "restart a l2tp0 cookie"),
    (Block::Session, "l2-sublayer default", "restart a l2tp0 l2-sublayer"),
    (Block::Session, "sequencing send", "restart a l2tp0 sequencing"),
    (Block::Session, "mtu 1400", "live a l2tp0 mtu"),
    (Block::Session, "tcp-mss auto", "live a l2tp0 tcp-mss"),
    (Block::Session, "oversize icmp", "live a l2tp0 oversize"),
    (Block::Session, "bridge br0", "live a l2tp0 bridge"),
    (Block::Session, "split-horizon x", "live a l2tp0 split-horizon"),
    (Block::Session, "loop-detection off", "live a l2tp0 loop-detection"),
    (Block::Session, "storm-limit 100", "live a l2tp0 storm-limit"),
    (Block::Session, "link-local-frames forward", "live a l2tp0 link-local-frames"),
    (Block::Session, "mac-address 02:00:5e:00:53:01", "live a l2tp0 mac-address"),
    (Block::Session, "link-state up", "live a l2tp0 link-state"),
    (Block::Session, "manual 1 2", "restart a manual"), // the tunnel's only session: no control connection any more
    (Block::Session, "local-cookie 01234567", "restart a l2tp0 local-cookie"),
    (Block::Session, "remote-cookie 01234567", "restart a l2tp0 remote-cookie"),
    (Block::Session, "disable", "restart a l2tp0 disable"),
];

/// The same file without and with `line` in the block; `needs` are lines that it cannot be without.
fn pair(block: Block, line: &str) -> (Config, Config) {
    let tag = line.split(' ').next().unwrap();
    let (tunnel_needs, session_needs) = match tag {
        "hidden" | "password-old" => ("password secret\n", ""),
        "standby" => ("remote-address 192.0.2.3\n", ""),
        "sequencing" => ("", "l2-sublayer default\n"),
        "split-horizon" => ("", "bridge br0\n"),
        "local-cookie" | "remote-cookie" => ("", "manual 1 2\n"),
        _ => ("", ""),
    };
    let remote =
        if tag == "local-address" || tag == "remote-address" { "" } else { "remote-address 192.0.2.2\n" };
    let text = |block_now: Option<Block>| {
        let add = |b: Block| if block_now == Some(b) { format!("{line}\n") } else { String::new() };
        let (global, tunnel) = (add(Block::Global), add(Block::Tunnel));
        match tag {
            // These open a block and come last.
            "tunnel" => format!("tunnel a\n{remote}session l2tp0\n{global}"),
            "session" => format!("tunnel a\n{remote}session l2tp0\n{tunnel}"),
            _ => format!(
                "{global}tunnel a\n{remote}{tunnel_needs}{tunnel}session l2tp0\n{session_needs}{}",
                add(Block::Session)
            ),
        }
    };
    (config(&text(None)), config(&text(Some(block))))
}

fn show(change: &Change) -> String {
    let (block, what) = match change {
        Change::Global(tags) => return format!("global {}", tags.join(" ")),
        Change::Tunnel(tunnel, what) => (tunnel.clone(), what),
        Change::Session(tunnel, interface, what) => (format!("{tunnel} {interface}"), what),
    };
    match what {
        What::Removed => format!("removed {block}"),
        What::Added => format!("added {block}"),
        What::SetUp(tags) => format!("restart {block} {}", tags.join(" ")),
        What::Live(tags) => format!("live {block} {}", tags.join(" ")),
    }
}

fn changes(old: &str, new: &str) -> Vec<String> {
    diff(&config(old), &config(new)).iter().map(show).collect()
}

#[test]
fn every_tag_reaches_the_configuration_and_its_change_is_seen() {
    for tag in tags::all() {
        let sample = SAMPLES
            .iter()
            .find(|(block, line, _)| *block == tag.block && line.split(' ').next() == Some(tag.name));
        let (block, line, expected) = sample.unwrap_or_else(|| panic!("no sample for {}", tag.name));
        let (without, with) = pair(*block, line);
        let seen: Vec<String> = diff(&without, &with).iter().map(show).collect();
        // A manual session takes its id's place too, so more than one tag may be named.
        assert_eq!(seen, [*expected], "{line}");
        assert_eq!(diff(&with, &with), [], "{line}");
    }
    let at_start: Vec<&str> = tags::all().filter(|t| t.effect == Effect::Start).map(|t| t.name).collect();
    assert_eq!(
        at_start,
        ["pid-file", "admin-socket", "state-file", "admin-group", "user", "seccomp", "data-plane"]
    );
}

#[test]
fn changes_come_in_the_order_of_the_new_file_with_removals_first() {
    let old =
        "tunnel a\nremote-address 192.0.2.1\nsession l2tp0\nsession l2tp1\ntunnel b\ntunnel c\nretry 3\n";
    let new =
        "log-level debug\ntunnel d\nsession l2tp1\ntunnel c\nretry 4\ntunnel a\nremote-address 192.0.2.1\n\
               session l2tp2\nmtu 1400\nsession l2tp0\nmtu 1400\n";
    assert_eq!(
        changes(old, new),
        [
            "removed b",
            "removed a l2tp1",
            "global log-level",
            "added d",
            "live c retry",
            "added a l2tp2",
            "live a l2tp0 mtu"
        ]
    );
    assert_eq!(changes(old, &format!("# moved\n\n{old}")), Vec::<String>::new());
}

#[test]
fn a_restart_tells_all_tags_and_hides_its_sessions() {
    let old = "tunnel a\nremote-address 192.0.2.1\nretry 3\nsession l2tp0\n";
    let new = "tunnel a\nremote-address 192.0.2.2\nretry 4\nsession l2tp0\nmtu 1400\nsession l2tp1\n";
    assert_eq!(changes(old, new), ["restart a remote-address retry"]);
    let old = "tunnel a\nremote-address 192.0.2.1\nsession l2tp0\n manual 1 2\nsession l2tp1\nmanual 3 4\n";
    assert_eq!(changes(old, &old.replace("1 2", "1 5")), ["restart a l2tp0 manual"]);
    assert_eq!(changes(old, &old.replace("manual 1 2", "remote-end-id x")), ["restart a manual"]);
    assert_eq!(
        changes(old, &old.replace(" manual 1 2", "remote-end-id x\nmanual 1 2")),
        Vec::<String>::new()
    );
}

/// The defaults of the table are those of the configuration: to write one down changes nothing.
#[test]
fn written_defaults_change_nothing() {
    let mut written = 0;
    for tag in tags::all() {
        let (Unset::As(default) | Unset::Text(default)) = tag.default;
        let is_value = match tag.kind {
            Kind::Word => tag.words.contains(&default),
            Kind::Number(..) | Kind::Seconds(..) => {
                tag.words.contains(&default) || default.parse::<u64>().is_ok()
            }
            Kind::Ports | Kind::Address => true,
            Kind::Path(_) => default.starts_with('/'),
            _ => false,
        };
        if is_value {
            let (without, with) = pair(tag.block, &format!("{} {default}", tag.name));
            assert_eq!(diff(&without, &with), [], "{}", tag.name);
            written += 1;
        }
    }
    assert!(written > 25, "{written}");
}

#[test]
fn a_hash_inside_a_word_is_part_of_it() {
    let secret = |word: &str| config(&format!("tunnel a\npassword {word}")).tunnels[0].password.clone();
    assert_eq!(secret("abc#def #ghi"), Some(Secret::new(b"abc#def")));
    assert_eq!(secret("abc#"), Some(Secret::new(b"abc#")));
    assert_eq!(secret("\"#abc\""), Some(Secret::new(b"#abc")));
    assert!(read("tunnel a\npassword #abc").config.is_err(), "all of it is a comment");
}

#[test]
fn secrets_are_not_printed() {
    let text = "tunnel a\nremote-address 192.0.2.1\npassword hunter2\npassword-old hunter3\nsession l2tp0\nmanual 1 2\n\
                local-cookie 0123abcd\nremote-cookie abcd0123\n";
    let parsed = read(text);
    let lines: Vec<String> = parsed.settings.iter().map(|s| s.to_line().text).collect();
    assert!(lines.contains(&"a: password: ****".to_owned()), "{lines:?}");
    assert_eq!(lines.iter().filter(|l| l.ends_with(": ****")).count(), 4);
    let all = format!("{lines:?} {:?}", parsed.config);
    for secret in ["hunter2", "hunter3", "0123abcd", "abcd0123"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    assert!(parsed.settings.iter().all(|s| s.to_line().level == Level::Debug));
    // Nor where they are refused.
    for wrong in ["password \"hunter2", "password hunter2 hunter2", "local-cookie hunter2", "passwd hunter2"]
    {
        let errors = read(&format!("tunnel a\n{wrong}\nsession b\n{wrong}")).config.unwrap_err();
        for error in errors {
            let line = error.to_line("x.conf");
            assert!(!format!("{} {} {line:?}", error, error.report("x.conf")).contains("hunter2"), "{wrong}");
        }
    }
}

#[test]
fn an_error_is_a_line_of_the_log_with_its_place_below() {
    let errors = read("tunnel a\n  retry 0\n  mtu\n").config.unwrap_err();
    let line = errors[0].to_line("/etc/l2tpd.conf");
    assert_eq!((line.level, line.text.as_str()), (Level::Error, "retry: Invalid value"));
    assert_eq!(line.detail.as_deref(), Some("/etc/l2tpd.conf:2:9\nallowed: 1-99"));
    assert_eq!(
        errors[1].report("f"),
        "f:3:3: mtu: Unknown tag\n  this tag stands in a session block, after `session IFNAME`"
    );
}

/// Octets changed, dropped, doubled and cut out of one file and put into another.
fn mutate(random: &mut Dice, files: &[Vec<u8>]) -> Vec<u8> {
    let mut text = files[random.below(files.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(40)).min(text.len());
        match random.below(6) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..end)),
            2 => text.insert(at, random.below(256) as u8),
            3 => text.insert(at, b"\"\\#\n \t\0\x80"[random.below(8)]),
            4 => {
                let part = text[at..end].to_vec();
                text.splice(at..at, part);
            }
            _ => {
                let other = &files[random.below(files.len())];
                let from = random.below(other.len());
                let part = other[from..(from + random.below(200)).min(other.len())].to_vec();
                text.splice(at..at, part);
            }
        }
    }
    text
}

#[test]
fn no_text_makes_the_parser_panic() {
    let files: Vec<Vec<u8>> = conf_files().iter().map(|p| fs::read(p).unwrap()).collect();
    let mut random = Dice(0x4c32_5450_7633);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4000 {
        let text = mutate(&mut random, &files);
        let lines: Vec<&[u8]> = text.split(|&o| o == b'\n').collect();
        match parse(&text, &defaults()).config {
            Ok(config) => {
                assert_eq!(diff(&config, &config), []);
                for tunnel in &config.tunnels {
                    let _ = tunnel.problems();
                }
                good += 1;
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                assert!(errors.windows(2).all(|e| (e[0].line, e[0].column) <= (e[1].line, e[1].column)));
                for error in &errors {
                    let line = lines.get(error.line - 1).expect("a line of the file");
                    assert!((1..=line.len() + 4).contains(&error.column), "{error:?}");
                    let _ = error.report("f");
                }
                bad += 1;
            }
        }
    }
    assert!(good > 50 && bad > 50, "{good} good, {bad} bad");
}

#[test]
fn a_large_file_is_read_in_good_time() {
    let mut text = String::new();
    for i in 0..20_000u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        text +=
            &format!("tunnel t{i}\nremote-address {address}\nremote-hostname any\nremote-router-id any\n");
        text += &format!("session i{i}\nremote-end-id e{i}\n");
    }
    assert_eq!(config(&text).tunnels.len(), 20_000);
}

/// What a reload keeps of the configuration before it: blocks that say the same are those that were there.
#[test]
fn blocks_that_say_the_same_are_shared() {
    let session = |k: usize| format!("session s{k}\nremote-end-id e{k}\n");
    let head = |name| {
        format!("tunnel {name}\nremote-address 192.0.2.1\nremote-hostname {name}\nremote-router-id any\n")
    };
    let both = head("a") + &session(1) + &session(2) + &head("b") + &session(3);
    let old = config(&both);
    let shared = |text: &str| {
        let mut new = config(text);
        let changes = diff(&old, &new);
        share(&old, &mut new);
        assert_eq!(diff(&old, &new), changes, "{text}");
        let sessions = |config: &Config| -> Vec<_> {
            config.tunnels.iter().flat_map(|tunnel| tunnel.sessions.iter().map(Rc::as_ptr)).collect()
        };
        let tunnels = |config: &Config| -> Vec<_> { config.tunnels.iter().map(Rc::as_ptr).collect() };
        let old_tunnels = tunnels(&old);
        let old_sessions = sessions(&old);
        (
            tunnels(&new).iter().filter(|one| old_tunnels.contains(one)).count(),
            sessions(&new).iter().filter(|one| old_sessions.contains(one)).count(),
        )
    };
    // Where a block stands in the file is no difference.
    assert_eq!(shared(&format!("# a comment\n\n{both}")), (2, 3));
    assert_eq!(shared(&(head("b") + &session(3) + &head("a") + &session(1) + &session(2))), (2, 3));
    // Another order of its sessions, one more, other values; a tag of all.
    assert_eq!(shared(&(head("a") + &session(2) + &session(1) + &head("b") + &session(3))), (1, 3));
    assert_eq!(shared(&(both.clone() + &session(4))), (1, 3));
    assert_eq!(shared(&both.replace("end-id e1", "end-id x")), (1, 2));
    assert_eq!(shared(&both.replace("tunnel b\n", "tunnel b\nretry 3\n")), (1, 3));
    assert_eq!(shared(&format!("hostname other\n{both}")), (0, 3));
}
