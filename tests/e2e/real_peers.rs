//! Other implementations, from Debian packages that `tests/peers/fetch.sh` unpacks. Missing ones are skipped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use crate::capture::Capture;
use crate::daemon::{program, Daemon};
use crate::net::Net;
use crate::runner::{is_long, note, skip};
use crate::tests;

tests!(
    softether_answers,
    softether_is_cleared,
    linux_kernel,
    linux_kernel_against_bpf,
    linux_kernel_carries_the_frames,
    linux_kernel_with_vrfs,
);

/// The unpacked files of a peer.
fn root(name: &str) -> PathBuf {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(name);
    if !base.join("done").exists() {
        skip(&format!("{name} is not there (tests/peers/fetch.sh fetches it)"));
    }
    base.join("root")
}

/// A program that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts SoftEther VPN Server in the namespace `b`, which has no way out.
fn softether(net: &Net) -> Running {
    net.stranger.store(true, Ordering::Relaxed);
    let root = root("softether");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/softether.sh");
    let child = Command::new("ip")
        .args(["netns", "exec", &net.b, "unshare", "-m", "-p", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", script])
        .arg(&root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut server = Running(child);
    let mut line = String::new();
    let mut stdout = BufReader::new(server.0.stdout.take().expect("output"));
    stdout.read_line(&mut line).expect("output of the server");
    assert_eq!(line.trim(), "READY", "SoftEther does not start");
    server
}

/// A daemon whose peer it is. It has no password and no cookies.
fn softether_config(tunnel: &str) -> String {
    format!(
        "hostname us\nrouter-id 10.0.0.1\nrestart-interval 1\ntunnel softether\n  remote-address 192.0.2.2\n  \
         remote-hostname any\n  remote-router-id any\n  encapsulation udp\n  linger 1\n{tunnel}  \
         session l0\n    remote-end-id lan\n"
    )
}

/// SoftEther VPN Server answers: control connection, session, our keep-alives, orderly end. Its data plane works
/// only below IPsec, so no frames pass.
fn softether_answers() {
    let net = Net::new();
    let server = softether(&net);
    let capture = Capture::start(&net, "softether", "udp port 1701");
    let mut daemon = Daemon::start(&net, &net.a, &softether_config("  hello-interval 2\n"));
    daemon.expect("info receive SCCRP, state --> ESTABLISHED");
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    for _ in 0..3 {
        daemon.expect("debug [*] send HELLO");
    }
    assert_eq!(daemon.count("*failed to send control message*"), 0, "HELLOs are answered");
    assert_eq!(daemon.count("info send ICCN, state --> ESTABLISHED"), 1, "and the session stays");
    let status = daemon.ctl_ok(&["status"]);
    daemon.stop();
    capture.finish().is_proper(None);
    drop(server);
    note("real peer: SoftEther VPN Server 5.01 (control connection and session over UDP)".to_owned());
    assert!(status.contains("stablished"), "{status}");
}

/// The same in Cisco's dialect, which it answers in kind. Its own HELLOs are acknowledged; cleared by the
/// administrator, session and tunnel come back. Its CDNs carry cut-off ids and result codes of other lengths.
fn softether_is_cleared() {
    let net = Net::new();
    let server = softether(&net);
    let capture = Capture::start(&net, "softether-cisco", "udp port 1701");
    let mut daemon = Daemon::start(&net, &net.a, &softether_config("  compatibility cisco\n"));
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    daemon.expect("debug [*] receive HELLO*");
    assert_eq!(daemon.count("info send ICCN, state --> ESTABLISHED"), 1, "the session stays");
    daemon.ctl_ok(&["clear", "session", "l0"]);
    daemon.expect("info send CDN, state --> IDLE");
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    let capture = capture.finish();
    capture.is_proper(None);
    let kind = |words: &str| capture.count("", &format!("ip.src == 192.0.2.2 && {words}"));
    assert!(kind("l2tp.avp.vendor_id == 9 && l2tp.avp.message_type == 2") >= 1, "a SCCRP with vendor-9 AVPs");
    daemon.ctl_ok(&["clear", "tunnel", "softether"]);
    daemon.expect("info send StopCCN, state --> *");
    daemon.expect("info receive SCCRP, state --> ESTABLISHED");
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    assert_eq!(daemon.count("*failed to send control message*"), 0);
    daemon.stop();
    drop(server);
    note("real peer: SoftEther VPN Server 5.01 in Cisco's dialect, cleared and set up again".to_owned());
}

/// The kernel's own L2TPv3 in a virtual machine (tests/peers/kernel_test.sh): 36 manual sessions, in every
/// combination of protocol, address family, cookie, sublayer and sequence numbers. Pings up to the full MTU and a
/// file in each direction pass through each. `LONG=1` adds 1 GB in each direction, a quarter over each pair of protocol
/// and family.
fn linux_kernel() {
    const COMBINATIONS: usize = 36;
    // The emulated machine moves about 30 Mbit/s.
    let long = is_long();
    let (limit, octets) = if long { ("1500", "268435456") } else { ("400", "") };
    let text = in_machine("kernel", limit, "kernel_test.sh", octets);
    let passed = text.lines().filter(|line| line.trim().starts_with("ok ")).count();
    assert!(
        text.contains("status 0") && passed == COMBINATIONS && !text.contains("FAIL"),
        "{passed}: {text}"
    );
    assert!(!long || text.matches("streamed ").count() == 4, "{text}");
    note(format!(
        "real peer: Linux {} l2tp: {passed} manual sessions (IP and UDP, IPv4 and IPv6, cookies of 0, 4 and 8 \
         octets, without and with sublayer, sequence numbers)",
        kernel_release("kernel")
    ));
}

/// The same with `data-plane bpf` at the daemon's end: the programs carry all that have no sequence numbers, also through
/// a VLAN and a bond, while the daemon stands still.
fn linux_kernel_against_bpf() {
    let text = in_machine("newer-kernel", "400", "kernel_test.sh", "bpf");
    let passed = text.lines().filter(|line| line.trim().starts_with("ok ")).count();
    assert!(text.contains("status 0") && passed == 39 && !text.contains("FAIL"), "{passed}: {text}");
    let release = kernel_release("newer-kernel");
    note(format!("real peer: Linux {release} l2tp, with data-plane bpf here: {passed} checks"));
}

/// Runs a script of tests/peers in the virtual machine, with this kernel, and returns what it printed.
fn in_machine(kernel: &str, limit: &str, script: &str, argument: &str) -> String {
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
    let output = Command::new("timeout")
        .args([limit, "sh", &format!("{peers}/kernel_vm.sh")])
        .env("KERNEL", root(kernel))
        .arg(root("kernel"))
        .args([program(), &format!("{peers}/{script}"), argument])
        .stdin(Stdio::null())
        .output()
        .expect("the virtual machine");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kernel_release(kernel: &str) -> String {
    let files = root(kernel).join("boot").read_dir().expect("boot").flatten();
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).next().unwrap_or_default()
}

/// `data-plane kernel` in the virtual machine (tests/peers/kernel_plane_test.sh), towards itself and towards a daemon
/// with TAPs: sessions, pings and files, bridges, circuits, clearing, ends and restarts; and frames take none of the
/// daemon's time.
fn linux_kernel_carries_the_frames() {
    let text = in_machine("kernel", "600", "kernel_plane_test.sh", "");
    let passed = text.lines().filter(|line| line.trim().starts_with("ok ")).count();
    assert!(text.contains("status 0") && passed >= 50 && !text.contains("FAIL"), "{passed}: {text}");
    note(format!(
        "data-plane kernel with Linux {}: {passed} checks in the virtual machine",
        kernel_release("kernel")
    ));
}

/// `bind-device` with VRFs in the virtual machine (tests/peers/vrf_test.sh), which this kernel may lack: the same addresses
/// in two, every encapsulation and address family, frames, a VRF that goes and comes back.
fn linux_kernel_with_vrfs() {
    let text = in_machine("kernel", "300", "vrf_test.sh", "");
    let passed = text.lines().filter(|line| line.trim().starts_with("ok ")).count();
    assert!(text.contains("status 0") && passed >= 30 && !text.contains("FAIL"), "{passed}: {text}");
    note(format!(
        "bind-device to VRFs of Linux {}: {passed} checks in the virtual machine",
        kernel_release("kernel")
    ));
}
