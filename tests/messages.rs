//! The catalogue against a copy of it that was made independently: ids, levels and texts, byte for byte.

use l2tpd::log::catalogue::CATALOGUE;

#[test]
fn the_catalogue_is_that_of_the_routers() {
    let copy = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages.txt")).unwrap();
    let wanted: Vec<&str> = copy.lines().collect();
    let ours: Vec<String> = CATALOGUE.iter().map(|t| format!("{}\t{}\t{}", t.id, t.level, t.text)).collect();
    assert_eq!(wanted.len(), 88);
    for (wanted, ours) in wanted.iter().zip(&ours) {
        assert_eq!(wanted, ours);
    }
    assert_eq!(wanted.len(), ours.len());
}
