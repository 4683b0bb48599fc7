//! Every requirement of `tests/data/checklist.txt` has a proof (see `tests/checklist.sh`), and every number that is
//! quoted exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn items() -> Vec<String> {
    let text = fs::read_to_string(root().join("tests/data/checklist.txt")).unwrap();
    let lines = text.lines().filter(|l| l.starts_with("C-"));
    lines.map(|l| l.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_item_has_a_proof() {
    let output = Command::new("sh").arg(root().join("tests/checklist.sh")).output().unwrap();
    let missing = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && missing.is_empty(), "without a proof:\n{missing}");
}

#[test]
fn the_list_is_in_order_and_complete() {
    let expected: Vec<String> = (1..=365).map(|n| format!("C-{n:03}")).collect();
    assert_eq!(items(), expected);
}

// A number that does not exist would be a slip of the pen, and hide that its test proves something else.
#[test]
fn no_proof_for_what_is_not_asked() {
    let known: BTreeSet<String> = items().into_iter().collect();
    let output = Command::new("grep")
        .args(["-rhoE", r"\bC-[0-9]{3}\b", "--include=*.rs", "--include=*.sh", "tests", "src"])
        .current_dir(root())
        .output()
        .unwrap();
    let quoted = String::from_utf8(output.stdout).unwrap();
    assert!(quoted.lines().count() > 300);
    for id in quoted.lines() {
        assert!(known.contains(id), "{id} is quoted and not in the list");
    }
}
