//! Control message authentication (RFC 3931 4.3, 5.4.1): which secret signs, which nonces go in, and whether a
//! received message may be believed.

use crate::config::model::{Digest, TunnelConfig};
use crate::saved::saved;
use crate::wire::digest::{self, Secret, Verdict};
use crate::wire::{avp, MessageType};

saved! {
    /// How much a connection's messages are protected.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Mode {
        /// No password: no digest is sent; one that comes must fit the empty secret (C-242).
        Off,
        /// No password, but digests under the empty secret: they find damage, not forgery (RFC 3931 4.1.1.2).
        Integrity,
        /// A password: nothing without a valid digest is believed.
        On,
    }

    /// The authentication state of one connection.
    #[derive(Debug, Clone)]
    pub struct Auth {
        /// How much is protected; a nonce of the peer may raise it.
        pub mode: Mode,
        /// Signs what we send; `None` without digests.
        signing: Option<Secret>,
        /// Secrets that a received digest may fit: the password, then the old one.
        accepted: Vec<Secret>,
        /// Our nonce; empty where we advertised none.
        pub local_nonce: Vec<u8>,
        /// The peer's nonce; empty until it has advertised one.
        pub remote_nonce: Vec<u8>,
    }
}

/// The secrets that vouch for what a tunnel's peer sends, and for what a file says of it: the password, then the old one.
pub fn secrets(tunnel: &TunnelConfig) -> Vec<Secret> {
    match &tunnel.password {
        Some(password) => std::iter::once(password).chain(&tunnel.password_old).cloned().collect(),
        None => vec![Secret::new(b"")],
    }
}

/// Whether a message may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// It may; else nothing of it is used (C-224).
    pub believed: bool,
    /// A digest of another type than HMAC-MD5 was there.
    pub unsupported: Option<u8>,
    /// An SCCRP without nonce answers our SCCRQ that had one.
    pub nonce_missing: bool,
}

impl Auth {
    /// The state of a connection that has exchanged nothing yet.
    pub fn new(tunnel: &TunnelConfig) -> Auth {
        let mode = match (&tunnel.password, tunnel.digest) {
            (Some(_), _) => Mode::On,
            (None, Digest::Md5) => Mode::Integrity,
            (None, Digest::Auto | Digest::None) => Mode::Off,
        };
        let (local_nonce, remote_nonce) = (Vec::new(), Vec::new());
        Auth { mode, signing: tunnel.signing_secret(), accepted: secrets(tunnel), local_nonce, remote_nonce }
    }

    /// That of a connection that was set up by another program, which had exchanged these nonces with the peer. `None`: it
    /// cannot go on, since the configuration wants more protection now, or less.
    pub fn of_record(tunnel: &TunnelConfig, mode: Mode, (ours, theirs): (&[u8], &[u8])) -> Option<Auth> {
        let mut auth = Auth::new(tunnel);
        match (auth.mode, mode) {
            (Mode::On, Mode::On) | (Mode::Integrity, Mode::Integrity) | (Mode::Off, Mode::Off) => {}
            (Mode::Off, Mode::Integrity) => {
                (auth.mode, auth.signing) = (Mode::Integrity, Some(Secret::new(b"")));
            }
            (Mode::On, Mode::Off | Mode::Integrity)
            | (Mode::Off | Mode::Integrity, Mode::On)
            | (Mode::Integrity, Mode::Off) => return None,
        }
        (auth.local_nonce, auth.remote_nonce) = (ours.to_vec(), theirs.to_vec());
        Some(auth)
    }

    /// Whether our SCCRQ or SCCRP carries a nonce, and all our messages a digest.
    pub fn signs(&self) -> bool {
        self.signing.is_some()
    }

    /// The secrets that AVPs may be hidden with: only a real password counts (C-243).
    pub fn hiding_secrets(&self) -> Vec<&Secret> {
        match self.mode {
            Mode::On => self.accepted.iter().collect(),
            Mode::Off | Mode::Integrity => Vec::new(),
        }
    }

    /// The secret that our own AVPs are hidden with.
    pub fn hiding_secret(&self) -> Option<&Secret> {
        match self.mode {
            Mode::On => self.signing.as_ref(),
            Mode::Off | Mode::Integrity => None,
        }
    }

    /// Signs a stamped message. An SCCRQ is hashed without nonces, since none is known (C-220).
    pub fn sign(&self, message_type: MessageType, message: &mut [u8]) {
        match &self.signing {
            Some(secret) if message_type == MessageType::SCCRQ => digest::sign(message, secret, &[], &[]),
            Some(secret) => digest::sign(message, secret, &self.local_nonce, &self.remote_nonce),
            None => {}
        }
    }

    fn verify(&self, message: &[u8], sender_nonce: &[u8], receiver_nonce: &[u8]) -> Verdict {
        let secrets: Vec<&Secret> = self.accepted.iter().collect();
        digest::verify(message, &secrets, sender_nonce, receiver_nonce)
    }

    /// Judges an SCCRQ. With a password it must have a nonce: without one an old recording of the peer's messages
    /// could be played back to us in full (C-235). Without a password, a nonce with a digest that fits turns `Off`
    /// into `Integrity`: the peer authenticates with an empty password, and its nonce obliges us to answer in kind
    /// (C-239).
    pub fn judge_request(&mut self, message: &[u8]) -> Judgement {
        let verdict = self.verify(message, &[], &[]);
        let nonce = avp::nonce(message);
        let believed = match self.mode {
            Mode::On => verdict.valid.is_some() && nonce.is_some_and(|n| !n.is_empty()),
            Mode::Off | Mode::Integrity if verdict.present => {
                verdict.valid.is_some() || self.passes_over(&verdict)
            }
            Mode::Off | Mode::Integrity => true,
        };
        if believed {
            self.take_nonce(nonce, verdict.valid.is_some());
        }
        Judgement { believed, unsupported: verdict.unsupported, nonce_missing: false }
    }

    /// Judges an SCCRP that answers our SCCRQ; takes over its nonce when it is believed.
    pub fn judge_reply(&mut self, message: &[u8]) -> Judgement {
        let nonce = avp::nonce(message).unwrap_or_default();
        let verdict = self.verify(message, nonce, &self.local_nonce);
        let mut judgement =
            Judgement { believed: false, unsupported: verdict.unsupported, nonce_missing: false };
        match self.mode {
            Mode::On => {
                judgement.nonce_missing = nonce.is_empty();
                // Equal nonces would be our own message sent back to us.
                judgement.believed =
                    verdict.valid.is_some() && !nonce.is_empty() && nonce != self.local_nonce;
            }
            Mode::Integrity if nonce.is_empty() => {
                // The peer signs without nonces, or not at all: from here on so do we (C-242).
                let plain = self.verify(message, &[], &[]);
                judgement.believed = !plain.present || plain.valid.is_some() || self.passes_over(&plain);
                if judgement.believed {
                    self.local_nonce.clear();
                }
            }
            Mode::Off | Mode::Integrity => {
                judgement.believed = !verdict.present && nonce.is_empty()
                    || verdict.valid.is_some()
                    || self.passes_over(&verdict);
            }
        }
        if judgement.believed {
            self.take_nonce(Some(nonce).filter(|n| !n.is_empty()), verdict.valid.is_some());
        }
        judgement
    }

    /// Judges any other message, by both nonces.
    pub fn judge(&self, message: &[u8]) -> Judgement {
        let verdict = self.verify(message, &self.remote_nonce, &self.local_nonce);
        let digests_agreed = !self.remote_nonce.is_empty();
        let believed = match self.mode {
            Mode::On => verdict.valid.is_some(),
            Mode::Off | Mode::Integrity if verdict.valid.is_some() => true,
            // Nonces were exchanged: every message carries a digest that fits them (C-238).
            Mode::Off | Mode::Integrity if digests_agreed => false,
            Mode::Off | Mode::Integrity if verdict.present => {
                self.verify(message, &[], &[]).valid.is_some() || self.passes_over(&verdict)
            }
            Mode::Off | Mode::Integrity => true,
        };
        Judgement { believed, unsupported: verdict.unsupported, nonce_missing: false }
    }

    /// Without a password a digest of a type that is not supported is as good as none (C-231); one beside it that
    /// is supported has to fit all the same (C-242).
    fn passes_over(&self, verdict: &Verdict) -> bool {
        verdict.unsupported.is_some() && !verdict.supported
    }

    fn take_nonce(&mut self, nonce: Option<&[u8]>, signed: bool) {
        if let Some(nonce) = nonce {
            if self.mode == Mode::Off && signed {
                (self.mode, self.signing) = (Mode::Integrity, Some(Secret::new(b"")));
            }
            if self.signs() {
                self.remote_nonce = nonce.to_vec();
            }
        }
    }
}
