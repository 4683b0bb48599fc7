//! Looking up host names. The system's resolver may wait for many seconds, and the tunnels must not: so a child process does
//! it ([`look_up`](super::look_up)).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::commands::{Commands, Program};
use crate::sys::process::Ended;

/// How long a lookup may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Lookups at once.
const RUNNING: usize = 16;

struct Query {
    tunnel: String,
    name: String,
}

struct Lookup {
    query: Query,
    /// Its number among the commands.
    id: u64,
    deadline: Instant,
}

/// What a lookup came to.
#[allow(missing_docs)] // a field whose name says all has no more
pub struct Answer {
    /// The name of the tunnel that asked.
    pub tunnel: String,
    pub name: String,
    /// The addresses, in the resolver's order; or why there are none.
    pub result: Result<Vec<IpAddr>, String>,
}

/// The lookups of all tunnels.
#[derive(Default)]
pub struct Resolver {
    waiting: VecDeque<Query>,
    running: Vec<Lookup>,
    /// Killed, and to be asked for their end.
    killed: Vec<u64>,
}

impl Resolver {
    /// The tunnels and names that are to be looked up, or are being.
    pub fn state(&self) -> Vec<(String, String)> {
        let running = self.running.iter().map(|lookup| &lookup.query);
        running.chain(&self.waiting).map(|w| (w.tunnel.clone(), w.name.clone())).collect()
    }

    /// Asks for the addresses of `name`, for a tunnel. The answer comes out of [`turn`](Resolver::turn).
    pub fn look_up(&mut self, tunnel: &str, name: &str) {
        let running = self.running.iter().map(|lookup| &lookup.query);
        if running.chain(&self.waiting).any(|w| w.tunnel == tunnel && w.name == name) {
            return;
        }
        self.waiting.push_back(Query { tunnel: tunnel.to_string(), name: name.to_string() });
    }

    /// Looks after the lookups that run, and starts more.
    pub fn turn(&mut self, now: Instant, commands: &mut Commands) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.killed.retain(|id| commands.take_ended(*id).is_none());
        for lookup in std::mem::take(&mut self.running) {
            let result = match commands.take_ended(lookup.id) {
                Some(outcome) => outcome.and_then(|ended| addresses(&ended)),
                None if now < lookup.deadline => {
                    self.running.push(lookup);
                    continue;
                }
                None => {
                    commands.kill(lookup.id);
                    self.killed.push(lookup.id);
                    Err(format!("no answer within {} s", TIME_LIMIT.as_secs()))
                }
            };
            let Query { tunnel, name } = lookup.query;
            answers.push(Answer { tunnel, name, result });
        }
        while self.running.len() < RUNNING {
            let Some(query) = self.waiting.pop_front() else { break };
            let id = commands.start(Program::LookUp(query.name.clone()));
            self.running.push(Lookup { query, id, deadline: now + TIME_LIMIT });
        }
        answers
    }

    /// When the next lookup has taken long enough.
    pub fn next(&self) -> Option<Instant> {
        self.running.iter().map(|lookup| lookup.deadline).min()
    }
}

/// Reads what the child has printed.
fn addresses(ended: &Ended) -> Result<Vec<IpAddr>, String> {
    if !ended.success {
        let told = ended.output.trim();
        return Err(if told.is_empty() { ended.how.clone() } else { told.to_string() });
    }
    let addresses: Vec<IpAddr> = ended.output.lines().filter_map(|line| line.parse().ok()).collect();
    if addresses.is_empty() {
        return Err("the name has no address".to_string());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(success: bool, output: &str) -> Ended {
        Ended { success, how: "exit status: 1".into(), output: output.into() }
    }

    #[test]
    fn the_child_s_lines_become_addresses() {
        let v4: IpAddr = [192, 0, 2, 2].into();
        let v6: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(addresses(&ended(true, "2001:db8::2\n192.0.2.2\n")), Ok(vec![v6, v4]));
        assert!(addresses(&ended(true, "")).is_err());
        assert_eq!(addresses(&ended(false, "failed to lookup\n")), Err("failed to lookup".into()));
        assert_eq!(addresses(&ended(false, "")), Err("exit status: 1".into()));
    }

    #[test]
    fn a_tunnel_asks_once() {
        let mut resolver = Resolver::default();
        resolver.look_up("tokyo", "peer.example");
        resolver.look_up("tokyo", "peer.example");
        resolver.look_up("osaka", "peer.example");
        assert_eq!(resolver.waiting.len(), 2);
    }
}
