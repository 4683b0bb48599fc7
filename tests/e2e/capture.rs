//! tcpdump records, tshark judges: an implementation of L2TPv3 that is not ours.

use std::path::PathBuf;
use std::process::Child;

use crate::net::{have, log_dir, run, Net};
use crate::runner::{note, skip};

/// A running capture of what two addresses say to each other on `wire` of namespace `a`.
pub struct Capture {
    child: Option<Child>,
    file: PathBuf,
}

impl Capture {
    /// `name` is that of the file in target/e2e-logs, `filter` one of tcpdump's.
    pub fn start(net: &Net, name: &str, filter: &str) -> Capture {
        if !have("tcpdump") || !have("tshark") {
            skip("tcpdump and tshark are not both installed");
        }
        let file = log_dir().join(format!("{name}.pcap"));
        let child = net.tcpdump(&file, filter, &["--immediate-mode", "-B", "8192"]);
        Capture { child: Some(child), file }
    }

    /// Ends the capture.
    pub fn finish(mut self) -> Recorded {
        Net::end_tcpdump(self.child.take().expect("it runs"));
        note(format!("real judge: {}", run(&["tshark", "--version"]).lines().next().unwrap_or_default()));
        Recorded { file: self.file.clone() }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A finished capture; it must hold one control connection, more confuse tshark.
pub struct Recorded {
    file: PathBuf,
}

impl Recorded {
    /// Lines of the packets that fit `filter`: the fields, with `|` between them.
    pub fn fields(&self, secret: &str, filter: &str, fields: &[&str]) -> Vec<String> {
        let file = self.file.to_str().expect("path");
        let secret = format!("l2tp.shared_secret:{secret}");
        let mut words = vec!["tshark", "-n", "-r", file, "-o", &secret, "-Y", filter];
        words.extend(["-T", "fields", "-E", "separator=|", "-E", "occurrence=a"]);
        fields.iter().for_each(|field| words.extend(["-e", field]));
        run(&words).lines().map(str::to_owned).collect()
    }

    pub fn count(&self, secret: &str, filter: &str) -> usize {
        self.fields(secret, filter, &["frame.number"]).len()
    }

    /// What must hold for every capture of two daemons that speak properly.
    #[track_caller]
    pub fn is_proper(&self, secret: Option<&str>) {
        let with = secret.unwrap_or_default();
        assert!(
            self.count(with, "l2tp.type == 1") >= 4,
            "too few control messages in {}",
            self.file.display()
        );
        for wrong in [
            "_ws.malformed || l2tp.avp_length.bad",
            "l2tp.incorrect_digest",
            "_ws.expert.severity >= 6291456 && !llc",
        ] {
            let found = self.fields(with, wrong, &["frame.number", "_ws.col.Info", "_ws.expert.message"]);
            assert!(found.is_empty(), "{}: `{wrong}`: {found:?}", self.file.display());
        }
        if secret.is_some() {
            let unsigned = "l2tp.type == 1 && !l2tp.avp.message_digest";
            assert_eq!(self.count(with, unsigned), 0, "unsigned messages in {}", self.file.display());
            let judged = self.count("not the secret", "l2tp.incorrect_digest");
            assert!(judged >= 4, "tshark does not look at the digests of {}", self.file.display());
        }
    }
}
