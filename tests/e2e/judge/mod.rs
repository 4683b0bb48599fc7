//! The last word on every control message that the daemon sent in any test: tshark reads them (nothing malformed,
//! each digest right, one wherever there is a password), and they come in the order of RFC 3931 4.2 and 7.2 to 7.5.
//!
//! Each `Net` records what passes its wire. At the end the recordings are taken apart into control connections,
//! because tshark can follow only one of an address pair: for each password one file is made, in which every
//! connection has addresses of its own. In a second copy of each connection the digests are spoiled; where tshark
//! finds no fault in the copy, it did not look. The scripted peer's messages are context, not judged.
//!
//! One digest tshark cannot judge, and `message.rs` does: where only the SCCRQ told a nonce, because the answer is a
//! StopCCN. RFC 3931 is silent on it; the daemon signs with the one nonce that there is, tshark (its function
//! md5_hmac_digest takes both nonces or none) without.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::message::*;
use crate::net::{have, log_dir};
use crate::record::{connections, is_signed, recordings, Connection, Message, Recording, Secrets};
use crate::runner::note;

mod order;
pub mod tests;

use order::Order;

/// What a run of all tests must at least have: messages judged for form and order, and for their digest.
const FLOOR: [usize; 2] = [2000, 400];

/// The packet with addresses that no other connection of the file has, and the well-known port.
fn renumbered(message: &Message, connection: usize, spoil: bool) -> Vec<u8> {
    let mut packet = message.packet.clone();
    let number = (connection * 2 + usize::from(spoil)) as u32 * 4;
    let [source, destination] = [message.from as u32, 1 - message.from as u32]
        .map(|end| (u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number + end).to_be_bytes());
    let ends = if packet[0] >> 4 == 4 { [12, 16] } else { [20, 36] };
    packet[ends[0]..ends[0] + 4].copy_from_slice(&source);
    packet[ends[1]..ends[1] + 4].copy_from_slice(&destination);
    let udp = if packet[0] >> 4 == 4 { packet[9] == 17 } else { packet[6] == 17 };
    if udp {
        let ports = message.at - 8;
        packet[ports..ports + 4].copy_from_slice(&[1701_u16.to_be_bytes(); 2].concat());
    }
    if spoil && is_signed(&message.msg) {
        // The digest AVP is the second one: header, Message Type, then 6 octets and the digest's type.
        packet[message.at + 12 + 8 + 7] ^= 0xff;
    }
    packet
}

/// Whether the digest is that of the scripted peer's own arithmetic.
fn has_digest(msg: &Msg, secret: &str, sender: &[u8], receiver: &[u8]) -> bool {
    let mut zeroed = msg.raw.clone();
    let Some(field) = zeroed.get_mut(27..43) else { return false };
    let digest = field.to_vec();
    field.fill(0);
    sign(secret.as_bytes(), &[sender, receiver, &zeroed])[..] == digest
}

/// Writes a pcap file of IP packets.
fn write_pcap(file: &Path, packets: impl Iterator<Item = Vec<u8>>) {
    let mut octets = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0x4_0000, 101] {
        octets.extend(word.to_be_bytes());
    }
    for (number, packet) in packets.enumerate() {
        let [number, length] = [number, packet.len()].map(|n| n as u32);
        [number, 0, length, length].iter().for_each(|word| octets.extend(word.to_be_bytes()));
        octets.extend(packet);
    }
    std::fs::write(file, octets).expect("capture file");
}

/// What tshark says about one message.
struct Row {
    /// Ns, Nr and message type.
    read: String,
    wrong_digest: bool,
    malformed: Option<String>,
}

/// One row for each packet of the file.
fn tshark(file: &Path, secret: &str) -> Vec<Row> {
    let secret = format!("l2tp.shared_secret:{secret}");
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", &secret, "-r"]).arg(file);
    command.args(["-T", "fields", "-E", "separator=|", "-E", "occurrence=a"]);
    for field in [
        "l2tp.Ns",
        "l2tp.Nr",
        "l2tp.avp.message_type",
        "l2tp.incorrect_digest",
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
    ] {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark");
    assert!(output.status.success(), "tshark: {}", crate::net::stderr(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(row).collect()
}

fn row(line: &str) -> Row {
    let fields: Vec<&str> = line.splitn(7, '|').collect();
    let [ns, nr, kind, digest, malformed, severities, texts] = fields[..] else { panic!("tshark: {line}") };
    // Warnings and errors; that of a wrong digest is one of them.
    let bad = severities.split(',').filter(|s| s.parse::<u32>().is_ok_and(|s| s >= 0x60_0000)).count();
    let wrong_digest = !digest.is_empty();
    let is_bad = !malformed.is_empty() || bad > usize::from(wrong_digest);
    Row { read: format!("{ns},{nr},{kind}"), wrong_digest, malformed: is_bad.then(|| texts.to_owned()) }
}

/// What is known of one message when tshark has seen it with every password.
#[derive(Clone, Default)]
struct Finding {
    form: Option<String>,
    right_digest: bool,
    looked_at: bool,
    /// By `message.rs`, not by tshark.
    reckoned: bool,
}

/// What came out.
#[derive(Default)]
pub struct Verdict {
    pub faults: Vec<String>,
    /// Messages and connections that were judged.
    pub form: [usize; 2],
    pub digest: [usize; 2],
    /// What we sent outside any connection: answers to SCCRQs with other flags or of version 2.
    pub lost: usize,
    /// Of these, messages whose digest tshark cannot judge.
    pub reckoned: usize,
}

pub fn judge(recordings: &[Recording], dir: &Path) -> Verdict {
    let mut verdict = Verdict::default();
    let all: Vec<Connection> =
        recordings.iter().flat_map(|recording| connections(recording, &mut verdict.lost)).collect();
    let mut findings: Vec<Vec<Finding>> =
        all.iter().map(|connection| vec![Finding::default(); connection.messages.len()]).collect();
    let secrets: Secrets = recordings.iter().flat_map(|recording| recording.secrets.clone()).collect();
    let secrets: BTreeSet<String> = secrets.into_iter().map(Option::unwrap_or_default).collect();
    std::thread::scope(|scope| {
        let all = &all;
        let reading: Vec<_> = secrets
            .iter()
            .enumerate()
            .map(|(number, secret)| {
                scope.spawn(move || examine(all, secret, &dir.join(format!("{number}.pcap"))))
            })
            .collect();
        for thread in reading {
            for (connection, message, finding) in thread.join().expect("tshark") {
                let known = &mut findings[connection][message];
                known.form = known.form.take().or(finding.form);
                known.right_digest |= finding.right_digest;
                known.looked_at |= finding.looked_at;
                known.reckoned |= finding.reckoned;
            }
        }
    });
    for (connection, findings) in all.iter().zip(&findings) {
        conclude(connection, findings, &mut verdict);
    }
    verdict
}

/// Lets tshark read all connections that may have this password.
fn examine(all: &[Connection], secret: &str, file: &Path) -> Vec<(usize, usize, Finding)> {
    let has = |connection: &Connection| {
        connection.of.secrets.iter().any(|known| known.as_deref().unwrap_or_default() == secret)
    };
    let here: Vec<(usize, &Connection)> = all.iter().enumerate().filter(|(_, c)| has(c)).collect();
    let packets = here.iter().flat_map(|(number, connection)| {
        let copy = move |spoil| connection.messages.iter().map(move |m| renumbered(m, *number, spoil));
        copy(false).chain(copy(true))
    });
    write_pcap(file, packets);
    let mut rows = tshark(file, secret).into_iter();
    let mut findings = Vec::new();
    for (number, connection) in here {
        let count = connection.messages.len();
        let rows: Vec<Row> = rows.by_ref().take(2 * count).collect();
        let mut nonces = [&[][..], &[]];
        for (at, message) in connection.messages.iter().enumerate() {
            let (row, spoiled) = (&rows[at], &rows[count + at]);
            let msg = &message.msg;
            let kind = msg.kind().map(|kind| kind.to_string()).unwrap_or_default();
            let ours = format!("{},{},{kind}", msg.ns, msg.nr);
            let differs = (row.read != ours).then(|| format!("tshark reads {}, not {ours}", row.read));
            let form = row.malformed.clone().or(differs);
            if let (Some(SCCRQ | SCCRP), Some(nonce)) = (msg.kind(), msg.avp(73)) {
                nonces[message.from] = nonce;
            }
            let refused = !connection.has(SCCRP) && nonces.iter().any(|nonce| !nonce.is_empty());
            let reckoned = refused && is_signed(msg) && msg.kind() != Some(SCCRQ);
            let (right_digest, looked_at) = match reckoned {
                true => (has_digest(msg, secret, nonces[message.from], nonces[1 - message.from]), true),
                false => (!row.wrong_digest, spoiled.wrong_digest),
            };
            findings.push((number, at, Finding { form, right_digest, looked_at, reckoned }));
        }
    }
    findings
}

/// Judges what the daemon sent in one connection.
fn conclude(connection: &Connection, findings: &[Finding], verdict: &mut Verdict) {
    let recording = connection.of;
    let mut order = Order::default();
    let mut counts = [0; 2];
    for (message, finding) in connection.messages.iter().zip(findings) {
        let msg = &message.msg;
        let order = order.next(message.from, msg);
        if message.from == 1 && !recording.both {
            continue;
        }
        let raw = &message.packet[message.at..];
        let form =
            finding.form.clone().or(std::panic::catch_unwind(|| Msg::parse(raw).kind()).err().map(|panic| {
                panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "not to be read".to_owned())
            }));
        let signed = is_signed(msg);
        let digest = match signed {
            true if !finding.looked_at => Some("tshark does not look at the digest".to_owned()),
            true if !finding.right_digest => Some("wrong digest".to_owned()),
            false if !recording.secrets.contains(&None) => {
                Some("no digest, in spite of the password".to_owned())
            }
            _ => None,
        };
        counts[0] += 1;
        counts[1] += usize::from(signed && finding.looked_at);
        verdict.reckoned += usize::from(signed && finding.reckoned);
        for fault in [form, digest, order.err()].into_iter().flatten() {
            let kind = msg.kind().map_or("ZLB".to_owned(), |kind| format!("type {kind}"));
            let end = ["a", "b"][message.from];
            verdict.faults.push(format!(
                "{}: from {end}, ccid {:08x}, {kind}, Ns {}, Nr {}: {fault}",
                recording.test, msg.ccid, msg.ns, msg.nr
            ));
        }
    }
    for (sum, count) in [&mut verdict.form, &mut verdict.digest].into_iter().zip(counts) {
        sum[0] += count;
        sum[1] += usize::from(count > 0);
    }
}

/// Judges all recordings; returns what is wrong. `complete`: all tests ran.
pub fn check(complete: bool) -> Vec<String> {
    let recordings = recordings();
    if !have("tshark") {
        note("judge: SKIPPED: no tshark: nobody judged the control messages".to_owned());
        return Vec::new();
    }
    let dir = log_dir().join("judged");
    std::fs::create_dir_all(&dir).expect("directory");
    for (number, recording) in recordings.iter().enumerate() {
        let file = dir.join(format!("{}-{number}.pcap", recording.test));
        write_pcap(&file, recording.packets.iter().map(|(_, packet)| packet.clone()));
    }
    let verdict = judge(&recordings, &dir);
    let Verdict { form, digest, lost, reckoned, .. } = &verdict;
    note(format!(
        "judge: of our control messages tshark read {} in {} connections, in order, with {} right digests in {} \
         ({reckoned} by the tests' own arithmetic); {lost} not judged: outside any connection",
        form[0], form[1], digest[0], digest[1]
    ));
    let _ = std::fs::write(dir.join("faults.txt"), verdict.faults.join("\n"));
    let mut failures: Vec<String> =
        verdict.faults.iter().take(10).map(|fault| format!("judge\n{fault}")).collect();
    if complete && (verdict.form[0] < FLOOR[0] || verdict.digest[0] < FLOOR[1]) {
        failures.push(format!("judge\ntoo few messages judged: fewer than {FLOOR:?}"));
    }
    failures
}
