//! Configuration texts: lines of the examples and of each tag, mixed and damaged. What is accepted differs in nothing
//! from itself, and an engine takes it over.

use std::path::Path;

use l2tpd::config::diff::diff;
use l2tpd::config::identity::DerivedId;
use l2tpd::config::{parse, Defaults};
use l2tpd::proto::Engine;

use crate::dice::Dice;
use crate::rounds::rounds;

/// Lines that are right somewhere.
fn lines() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("l2tpd.conf.example")];
    let entries = std::fs::read_dir(root.join("tests/config")).expect("the samples");
    files.extend(
        entries
            .map(|entry| entry.expect("a file").path())
            .filter(|f| f.extension().is_some_and(|e| e == "conf")),
    );
    let texts =
        files.iter().map(|file| String::from_utf8_lossy(&std::fs::read(file).expect("a file")).into_owned());
    let all = texts.flat_map(|text| {
        text.lines().map(|line| line.trim_start_matches('#').to_owned()).collect::<Vec<_>>()
    });
    all.filter(|line| line.len() < 200).collect()
}

fn text(dice: &mut Dice, lines: &[String]) -> Vec<u8> {
    let mut out = b"hostname h\nrouter-id 10.0.0.1\n".to_vec();
    for _ in 0..1 + dice.below(30) {
        let mut line = dice.pick(lines).clone().into_bytes();
        match dice.below(8) {
            0 => dice.damage(&mut line),
            // The tag of one line, the parameters of another.
            1 => {
                let other = dice.pick(lines).as_bytes().to_vec();
                let at = line.iter().rposition(|c| *c == b' ').unwrap_or(0);
                line.truncate(at + 1);
                line.extend(other.split(|c| *c == b' ').next_back().unwrap_or_default());
            }
            2 => line.extend(
                dice.pick(&[" \"", "\\", " 99999999999999999999", " -1", " \u{202e}", " #", "\r", "\0"])
                    .bytes(),
            ),
            _ => {}
        }
        out.extend(line);
        out.push(b'\n');
    }
    if dice.one_in(20) {
        dice.damage(&mut out);
    }
    out
}

#[test]
fn configurations_1() {
    configurations(5_000_000);
}

#[test]
fn configurations_2() {
    configurations(5_000_150);
}

fn configurations(seed: u64) {
    let lines = lines();
    rounds(150_000, seed, |dice| {
        let defaults = Defaults { hostname: b"h".to_vec(), router_id: DerivedId::of_address([10, 0, 0, 9]) };
        let now = l2tpd::sys::clock::now();
        let mut engine = Engine::new(now, Box::new(dice.clone()));
        for _ in 0..1000 {
            let text = text(dice, &lines);
            match parse(&text, &defaults).config {
                Ok(config) => {
                    assert!(diff(&config, &config).is_empty(), "{}", String::from_utf8_lossy(&text));
                    engine.apply(now, &config);
                    while engine.poll_action().is_some() {}
                }
                Err(errors) => {
                    assert!(!errors.is_empty());
                    errors.iter().for_each(|error| drop(error.to_line("l2tpd.conf")));
                }
            }
        }
        1000
    });
}
