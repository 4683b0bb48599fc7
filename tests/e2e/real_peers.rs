//! Other implementations, from Debian packages that `tests/peers/fetch.sh` unpacks. Missing ones are skipped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::capture::Capture;
use crate::daemon::{program, Daemon};
use crate::net::Net;
use crate::runner::{note, skip};
use crate::tests;

tests!(softether_answers, linux_kernel);

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

/// SoftEther VPN Server answers: control connection, session, keep-alive, orderly end. It has no password and
/// no cookies, and its data plane works only below IPsec, so no frames pass.
fn softether_answers() {
    let root = root("softether");
    let net = Net::new();
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
    let capture = Capture::start(&net, "softether", "udp port 1701");
    let config = "hostname us\nrouter-id 10.0.0.1\nrestart-interval 3\ntunnel softether\n  remote-address 192.0.2.2\n  \
                  remote-hostname any\n  remote-router-id any\n  encapsulation udp\n  hello-interval 2\n  linger 1\n  \
                  session l0\n    remote-end-id lan\n";
    let mut daemon = Daemon::start(&net, &net.a, config);
    daemon.expect("info receive SCCRP, state --> ESTABLISHED");
    daemon.expect("info send ICCN, state --> ESTABLISHED");
    daemon.expect("debug [*] send HELLO");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(daemon.count("*failed to send control message*"), 0, "HELLOs are answered");
    assert_eq!(daemon.count("info send ICCN, state --> ESTABLISHED"), 1, "and the session stays");
    let status = daemon.ctl_ok(&["status"]);
    daemon.stop();
    capture.finish().is_proper(None);
    drop(server);
    note("real peer: SoftEther VPN Server 5.01 (control connection and session over UDP)".to_owned());
    assert!(status.contains("stablished"), "{status}");
}

/// The kernel's own L2TPv3 in a virtual machine (tests/peers/kernel_test.sh): 36 manual sessions, in every
/// combination of protocol, address family, cookie, sublayer and sequence numbers. Pings up to the full MTU and a
/// file in each direction pass through each.
fn linux_kernel() {
    const COMBINATIONS: usize = 36;
    let root = root("kernel");
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
    let output = Command::new("timeout")
        .args(["400", "sh", &format!("{peers}/kernel_vm.sh")])
        .arg(&root)
        .args([program(), &format!("{peers}/kernel_test.sh")])
        .stdin(Stdio::null())
        .output()
        .expect("the virtual machine");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = text.lines().filter(|line| line.trim().starts_with("ok ")).count();
    assert!(
        text.contains("status 0") && passed == COMBINATIONS && !text.contains("FAIL"),
        "{passed}: {text}"
    );
    let release = root.join("boot").read_dir().expect("boot").flatten();
    let release = release.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let release = release.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned)).next();
    note(format!(
        "real peer: Linux {} l2tp: {passed} manual sessions (IP and UDP, IPv4 and IPv6, cookies of 0, 4 and 8 \
         octets, without and with sublayer, sequence numbers)",
        release.unwrap_or_default()
    ));
}
