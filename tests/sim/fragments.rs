//! Fragments of frames (RFC 4623): who may send them to whom.

use l2tpd::proto::Fragments;

use crate::net::tunnel;
use crate::world::World;

const NUMBERED: &str = "  l2-sublayer default\n  sequencing both\n";

/// What node 0 and node 1 may send, and what they put together, where these have such lines in their session blocks.
fn agreed(lines: [&str; 2]) -> [(Option<Fragments>, Option<usize>); 2] {
    let mut world = World::new(3);
    for (n, text) in lines.iter().enumerate() {
        world.add(&(tunnel(n, 1 - n, "", &["l2tp1"]) + NUMBERED + text));
    }
    world.start_all();
    world.run_seconds(20);
    world.assert_both_up();
    [0, 1].map(|n| {
        let port = world.nodes[n].ports.values().next().expect("a session");
        assert_eq!(world.session(n, "l2tp1").fragments.1, port.attachment.fragments_to_send.is_some());
        (port.attachment.fragments_to_send, port.attachment.fragments_expected)
    })
}

#[test]
fn they_are_sent_where_both_ends_want_it() {
    let on = "  oversize pseudowire\n";
    let jumbo = Some(Fragments { message: 65_487, frame: 9238 });
    assert_eq!(agreed([on, on]), [(jumbo, Some(9238)); 2]);
    let large = Some(Fragments { message: 65_487, frame: 16_022 });
    let more = format!("{on}  mtu 16000\n");
    assert_eq!(agreed([on, &more]), [(large, Some(9238)), (jumbo, Some(16_022))]);
    // A peer that does not announce it gets none, and sends none.
    for other in ["", "  oversize drop\n", "  oversize fragment\n"] {
        assert_eq!(agreed([on, other]), [(None, Some(9238)), (None, None)]);
        assert_eq!(agreed([other, on]), [(None, None), (None, Some(9238))]);
    }
}
