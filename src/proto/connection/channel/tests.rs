//! Numbers, windows and repetitions, without time and without other parts.

use super::*;

fn retry() -> Retry {
    Retry { limit: 3, interval: Duration::from_secs(1), interval_max: Duration::from_secs(8) }
}

fn channel() -> Channel {
    Channel::new(retry(), 8)
}

/// A channel that has sent and got acknowledged everything before `ns`, and has received up to `ns` too.
fn channel_at(ns: u16) -> Channel {
    Channel { next_ns: ns, nr: ns, ..channel() }
}

fn push(channel: &mut Channel, count: usize) {
    for _ in 0..count {
        assert!(channel.push(MessageType::HELLO, vec![0; 12]));
    }
}

fn send_all(channel: &mut Channel) -> Vec<u16> {
    std::iter::from_fn(|| channel.next_transmission().map(|t| t.ns)).collect()
}

#[test]
fn c_035_order_is_modulo_65536() {
    for (expected, ns, order) in [
        (16, 15, Order::Old),
        (16, 0, Order::Old),
        (16, 32784, Order::Old),
        (16, 32783, Order::Ahead(32767)),
        (16, 16, Order::Next),
        (16, 17, Order::Ahead(1)),
        (0, 65535, Order::Old),
        (65535, 0, Order::Ahead(1)),
        (65535, 65535, Order::Next),
        (0, 32768, Order::Old),
        (0, 32767, Order::Ahead(32767)),
    ] {
        assert_eq!(channel_at(expected).order(ns), order, "expected {expected}, received {ns}");
    }
    let mut last = channel_at(65535);
    last.advance();
    assert_eq!(last.nr(), 0);
}

/// C-043, C-044, C-046: oldest in flight 65534, three in flight.
#[test]
fn c_046_nr_across_the_wrap() {
    for (nr, expected) in [
        (65534, Acknowledgement::Acknowledges(0)),
        (65535, Acknowledgement::Acknowledges(1)),
        (0, Acknowledgement::Acknowledges(2)),
        (1, Acknowledgement::Acknowledges(3)),
        (2, Acknowledgement::Invalid),
        (65533, Acknowledgement::Acknowledges(0)),
    ] {
        let mut channel = channel_at(65534);
        channel.congestion_window = 3;
        push(&mut channel, 3);
        assert_eq!(send_all(&mut channel), [65534, 65535, 0]);
        assert_eq!(channel.acknowledged(nr), expected, "Nr {nr}");
    }
}

#[test]
fn c_043_nothing_in_flight() {
    let mut channel = channel_at(5);
    assert_eq!(channel.acknowledged(5), Acknowledgement::Acknowledges(0));
    assert_eq!(channel.acknowledged(4), Acknowledgement::Acknowledges(0));
    assert_eq!(channel.acknowledged(6), Acknowledgement::Invalid);
}

/// C-064, C-068, C-069: slow start doubles the flight up to the default window of 4.
#[test]
fn c_068_slow_start() {
    let mut channel = channel();
    push(&mut channel, 12);
    assert_eq!(send_all(&mut channel).len(), 1);
    assert_eq!(channel.acknowledged(1), Acknowledgement::Acknowledges(1));
    assert_eq!(send_all(&mut channel).len(), 2);
    assert_eq!(channel.acknowledged(3), Acknowledgement::Acknowledges(2));
    assert_eq!(send_all(&mut channel).len(), 4);
    assert_eq!(channel.acknowledged(7), Acknowledgement::Acknowledges(4));
    assert_eq!(send_all(&mut channel).len(), 4, "C-072: never above the peer's window");
}

/// C-070, C-071: a retransmission halves the threshold; above it one full window opens it by one.
#[test]
fn c_070_congestion_avoidance() {
    let mut channel = channel();
    channel.set_peer_window(16);
    channel.congestion_window = 8;
    push(&mut channel, 100);
    assert_eq!(send_all(&mut channel).len(), 8);
    assert_eq!(channel.retransmission().map(|t| t.count), Some(2));
    assert_eq!((channel.threshold, channel.congestion_window), (4, 1));
    channel.acknowledged(3);
    assert_eq!(channel.congestion_window, 4);
    channel.acknowledged(7);
    assert_eq!(channel.congestion_window, 5, "four acknowledgements open a window of four by one");
    channel.acknowledged(8);
    assert_eq!(channel.congestion_window, 5);
}

/// C-065: a window of 1 means lock-step.
#[test]
fn c_065_peer_window_of_one() {
    let mut channel = channel();
    channel.set_peer_window(1);
    push(&mut channel, 3);
    for n in 0..3 {
        assert_eq!(send_all(&mut channel), [n]);
        assert_eq!(channel.acknowledged(n.wrapping_add(1)), Acknowledgement::Acknowledges(1));
    }
    assert!(channel.is_empty());
}

/// C-052, C-053, C-054, C-057: intervals of 1, 2, 4, 8 s; four transmissions with a retry of 3.
#[test]
fn c_053_backoff_and_limit() {
    let mut channel = channel();
    push(&mut channel, 1);
    assert_eq!(channel.next_transmission().map(|t| t.count), Some(1));
    let mut intervals = vec![channel.rto().as_secs()];
    while let Some(again) = channel.retransmission() {
        assert_eq!(again.ns, 0, "C-055: a retransmission keeps its Ns");
        intervals.push(channel.rto().as_secs());
    }
    assert_eq!(intervals, [1, 2, 4, 8]);
}

#[test]
fn c_060_only_the_oldest_is_repeated() {
    let mut channel = channel();
    channel.congestion_window = 2;
    push(&mut channel, 2);
    assert_eq!(send_all(&mut channel), [0, 1]);
    assert_eq!(channel.retransmission().map(|t| t.ns), Some(0));
    assert!(channel.next_transmission().is_none());
}

/// C-041: early messages are kept within our window, once each, and taken in order.
#[test]
fn c_041_early_messages() {
    let mut channel = channel();
    channel.keep_early(2, b"two");
    channel.keep_early(1, b"one");
    channel.keep_early(1, b"again");
    channel.keep_early(8, b"beyond the window");
    assert_eq!(channel.take_early(), None);
    channel.advance();
    assert_eq!(channel.take_early().as_deref(), Some(&b"one"[..]));
    channel.advance();
    assert_eq!(channel.take_early().as_deref(), Some(&b"two"[..]));
    channel.advance();
    assert_eq!(channel.take_early(), None);
    assert!(channel.early.is_empty());
}

#[test]
fn a_stopccn_passes_a_closed_congestion_window() {
    let mut channel = channel();
    push(&mut channel, 3);
    assert_eq!(send_all(&mut channel), [0]);
    channel.drop_unsent();
    push(&mut channel, 1);
    channel.open_for_one();
    assert_eq!(send_all(&mut channel), [1]);
}

// C-069: slow start goes on up to the peer's window, where it says one.
#[test]
fn c_069_slow_start_up_to_the_peers_window() {
    let mut channel = channel();
    channel.set_peer_window(16);
    push(&mut channel, 100);
    let mut acknowledged = 0;
    for flight in [1, 2, 4, 8, 16, 16] {
        assert_eq!(send_all(&mut channel).len(), flight);
        acknowledged += flight as u16;
        channel.acknowledged(acknowledged);
    }
}

#[test]
fn the_queue_has_an_end() {
    let mut channel = channel();
    push(&mut channel, MAX_QUEUE);
    assert!(!channel.push(MessageType::HELLO, vec![0; 12]));
    assert_eq!(channel.queued(), MAX_QUEUE);
    // Each session of a connection that has many may be told something at once.
    channel.make_room(10_000);
    push(&mut channel, 20_000);
    channel.make_room(usize::MAX);
    let left = MOST - channel.queued();
    push(&mut channel, left);
    assert!(!channel.push(MessageType::HELLO, vec![0; 12]));
    assert!(channel.holds(0) && !channel.holds(MOST as u16));
}

// What needs to be sent soon does not wait behind what can wait elsewhere.
#[test]
fn there_is_room_while_few_messages_are_queued() {
    let mut channel = channel();
    push(&mut channel, ENOUGH - 1);
    assert!(channel.has_room());
    push(&mut channel, 1);
    assert!(!channel.has_room());
    channel.set_peer_window(1000);
    push(&mut channel, 1000 - ENOUGH - 1);
    assert!(channel.has_room());
}

// What was never sent is pointless before a StopCCN.
#[test]
fn a_stopccn_overtakes_what_was_not_sent() {
    let mut channel = channel();
    push(&mut channel, 3);
    assert_eq!(send_all(&mut channel), [0]);
    channel.drop_unsent();
    assert_eq!(channel.queued(), 1);
    assert!(channel.push(MessageType::STOPCCN, vec![1; 12]));
    channel.open_for_one();
    assert_eq!(channel.next_transmission().map(|t| t.message_type), Some(MessageType::STOPCCN));
    channel.drop_all();
    assert!(channel.is_empty() && !channel.awaits_acknowledgement());
}

// RFC 3931 4.2: every message that is sent acknowledges, the repeated ones too: no ZLB is due then.
#[test]
fn whatever_is_sent_acknowledges() {
    let mut channel = channel();
    push(&mut channel, 1);
    let sends: [fn(&mut Channel) -> bool; 3] = [
        |channel| channel.next_transmission().is_some(),
        |channel| channel.retransmission().is_some(),
        |channel| channel.repeat_oldest().is_some(),
    ];
    for send in sends {
        channel.advance();
        assert!(channel.acknowledgement_due());
        assert!(send(&mut channel));
        assert!(!channel.acknowledgement_due());
    }
    channel.acknowledge_again();
    assert!(channel.acknowledgement_due());
    channel.acknowledgement_sent();
    assert!(!channel.acknowledgement_due());
}

#[test]
fn a_message_repeated_out_of_turn_costs_no_retransmission() {
    let mut channel = channel();
    push(&mut channel, 1);
    assert!(channel.repeat_oldest().is_none() && channel.retransmission().is_none(), "nothing is in flight");
    assert!(!channel.is_backing_off());
    send_all(&mut channel);
    assert!(!channel.is_backing_off());
    assert_eq!(channel.repeat_oldest().map(|t| (t.ns, t.count)), Some((0, 2)));
    assert_eq!((channel.rto().as_secs(), channel.is_backing_off()), (1, false));
    let counts: Vec<u32> = std::iter::from_fn(|| channel.retransmission().map(|t| t.count)).collect();
    assert_eq!(counts, [3, 4, 5], "three are left, as ever");
    assert!(channel.is_backing_off());
    channel.acknowledged(1);
    assert!(!channel.is_backing_off());
}

// C-053: only an acknowledgement of something new brings the first interval back.
#[test]
fn c_053_an_old_acknowledgement_changes_no_gap() {
    let mut channel = channel();
    push(&mut channel, 1);
    send_all(&mut channel);
    channel.retransmission();
    assert_eq!(channel.acknowledged(0), Acknowledgement::Acknowledges(0));
    assert_eq!(channel.rto().as_secs(), 2);
    assert_eq!(channel.acknowledged(1), Acknowledgement::Acknowledges(1));
    assert_eq!(channel.rto().as_secs(), 1);
}

// C-043 C-046: half of all numbers are old, the others were never sent; what waits unsent does not count.
#[test]
fn c_046_old_and_invalid_acknowledgements() {
    let mut channel = channel_at(0x9000);
    push(&mut channel, 2);
    assert_eq!(channel.acknowledged(0x9001), Acknowledgement::Invalid, "queued only");
    send_all(&mut channel);
    assert_eq!(channel.acknowledged(0x1000), Acknowledgement::Acknowledges(0));
    assert_eq!(channel.acknowledged(0x0fff), Acknowledgement::Invalid);
    assert_eq!(channel.queued(), 2);
}

// A peer that does not begin with 0 is followed from where it begins.
#[test]
fn the_first_number_is_followed() {
    let mut channel = channel();
    channel.begin(7);
    assert_eq!((channel.nr(), channel.acknowledgement_due()), (8, true));
    assert_eq!(channel.order(7), Order::Old);
}

// C-041: one of each number is kept, and none that came otherwise meanwhile.
#[test]
fn c_041_early_messages_are_kept_once() {
    let mut channel = channel();
    for _ in 0..3 {
        channel.keep_early(1, b"one");
    }
    assert_eq!(channel.early.len(), 1);
    channel.keep_early(0, b"not early");
    assert_eq!(channel.early.len(), 1);
    channel.advance();
    channel.advance();
    assert_eq!(channel.take_early(), None);
    assert!(channel.early.is_empty());
}

#[test]
fn what_left_before_a_repetition_is_lost_too() {
    let mut channel = channel_at(65_534);
    channel.congestion_window = 3;
    push(&mut channel, 5);
    assert_eq!(send_all(&mut channel), [65_534, 65_535, 0]);
    assert!(!channel.has_lost_more());
    assert_eq!(channel.retransmission().unwrap().ns, 65_534);
    // Acknowledged one by one; what is new leaves after that.
    for (nr, lost) in [(65_535, true), (0, true), (1, false)] {
        assert_eq!(channel.acknowledged(nr), Acknowledgement::Acknowledges(1));
        assert_eq!(channel.has_lost_more(), lost, "{nr}");
    }
    assert_eq!(send_all(&mut channel), [1, 2]);
    channel.acknowledged(2);
    assert!(!channel.has_lost_more());
}
