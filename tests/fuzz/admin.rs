//! Requests to the admin socket: envelopes and words, damaged. What is understood means the same after it is sent
//! again; what is announced is never believed beyond the limit.

use l2tpd::admin::command::COMMANDS;
use l2tpd::admin::envelope::{body_to_words, encode, take, words_to_body, HEADER, MAX_REQUEST};
use l2tpd::admin::request::{decode, parse, AdminRequest};

use crate::dice::Dice;
use crate::rounds::rounds;

const WORDS: [&str; 22] = [
    "status",
    "tunnel",
    "session",
    "t",
    "l0",
    "clear",
    "peer",
    "192.0.2.1",
    "all",
    "result-code",
    "6",
    "log",
    "-f",
    "debug",
    "--json",
    "reload",
    "--check",
    "counters",
    "reset",
    "trace",
    "explain",
    "log-level",
];

fn words(dice: &mut Dice) -> Vec<String> {
    let count = dice.below(7);
    (0..count)
        .map(|_| {
            let mut word = dice.pick(&WORDS).as_bytes().to_vec();
            match dice.below(6) {
                0 => dice.damage(&mut word),
                1 => word.truncate(dice.below(4)),
                _ => {}
            }
            String::from_utf8_lossy(&word).replace('\0', "")
        })
        .collect()
}

fn once(dice: &mut Dice) {
    let words = words(dice);
    // `explain TEXT` is answered by the client.
    if let Some(order) =
        parse(&words).ok().filter(|order| !matches!(order.request, AdminRequest::ExplainText(_)))
    {
        let (number, body) = order.encode();
        // The file of a trace does not travel.
        let again = decode(number, &body).map(|order| order.encode());
        assert_eq!(again.as_ref(), Ok(&(number, body.clone())), "{words:?}");
        assert_eq!(body_to_words(&body).map(|words| words_to_body(&words)), Some(body));
    }
    let number = match dice.below(3) {
        0 => dice.number(),
        _ => dice.pick(COMMANDS).number,
    };
    let mut body = words_to_body(&words);
    if dice.one_in(3) {
        dice.damage(&mut body);
    }
    let _ = decode(number, &body);
    let mut octets = encode(number, &body);
    if dice.one_in(2) {
        dice.damage(&mut octets);
    }
    // It comes in pieces.
    let mut buffer = Vec::new();
    for piece in octets.chunks(1 + dice.below(40)) {
        buffer.extend(piece);
        match take(&mut buffer, MAX_REQUEST) {
            Ok(Some(envelope)) => assert!(envelope.body.len() <= octets.len() - HEADER),
            Ok(None) => {}
            Err(_) => break,
        }
    }
}

#[test]
fn admin_requests() {
    rounds(1_000_000, 6_000_000, |dice| {
        (0..10_000).for_each(|_| once(dice));
        10_000
    });
}
