//! `l2tpd` and `l2tpctl`: one program, chosen by the name it is called by.
fn main() {}
