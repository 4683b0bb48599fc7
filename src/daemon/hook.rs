//! `on-event`: runs a tunnel's command when something happens to it. Nobody waits for a command: the calls of one
//! tunnel run one after the other, in the order of the events; those of different tunnels side by side. A
//! command that takes longer than a limit is killed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::commands::{Commands, Program};
use crate::log::{escape, LogLine, Remark};
use crate::proto::Notification;

/// Calls that wait for the one that runs, for each tunnel.
const WAITING: usize = 64;
/// Commands that run at once, for all tunnels.
const RUNNING: usize = 16;
/// Where commands are looked for that a command calls.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that waits for its turn.
struct Call {
    words: Vec<String>,
    environment: Vec<(String, String)>,
}

struct Running {
    /// Its number among the commands.
    id: u64,
    tunnel: String,
    program: String,
    deadline: Instant,
    killed: bool,
}

/// The calls of all tunnels, by the tunnel's name.
pub struct Hooks {
    /// How long a command may run.
    limit: Duration,
    /// Thousands of tunnels may go down together: what costs something for each is only done to those that run.
    waiting: BTreeMap<String, VecDeque<Call>>,
    running: Vec<Running>,
}

/// The whole environment of a command.
fn environment(event: &Notification) -> Vec<(String, String)> {
    let peer = event.peer.map(|peer| peer.to_string());
    let variables = [
        ("PATH", PATH.to_string()),
        ("L2TPD_EVENT", event.what.name().to_string()),
        ("L2TPD_TUNNEL", event.tunnel.clone()),
        ("L2TPD_INTERFACE", event.interface.clone().unwrap_or_default()),
        ("L2TPD_PEER", peer.unwrap_or_default()),
        ("L2TPD_LOCAL_ID", event.local_id.to_string()),
        ("L2TPD_REMOTE_ID", event.remote_id.to_string()),
        ("L2TPD_REASON", event.reason.clone()),
    ];
    // The peer may have had a hand in the texts: no control characters, and above all no NUL.
    variables.map(|(name, value)| (name.to_string(), value.replace(char::is_control, " "))).to_vec()
}

impl Hooks {
    /// Nothing runs yet.
    pub fn new(limit: Duration) -> Hooks {
        Hooks { limit, waiting: BTreeMap::new(), running: Vec::new() }
    }

    /// Puts a call in line. When too many wait, the oldest is dropped: the newest tells how things are now.
    pub fn call(&mut self, words: &[String], event: &Notification) -> Option<LogLine> {
        let waiting = self.waiting.entry(event.tunnel.clone()).or_default();
        let full = waiting.len() >= WAITING;
        if full {
            waiting.pop_front();
        }
        waiting.push_back(Call { words: words.to_vec(), environment: environment(event) });
        full.then(|| LogLine::remark(&Remark::HookQueue { tunnel: event.tunnel.clone() }))
    }

    /// Looks after the commands that run, and starts those whose turn it is.
    pub fn turn(&mut self, now: Instant, commands: &mut Commands) -> Vec<LogLine> {
        let mut lines = Vec::new();
        let limit = self.limit;
        self.running.retain_mut(|running| {
            let (remark, ended) = running.look_after(now, limit, commands);
            lines.extend(remark.map(|remark| LogLine::remark(&remark)));
            !ended
        });
        while self.running.len() < RUNNING {
            let is_idle = |tunnel: &&String| self.running.iter().all(|running| running.tunnel != **tunnel);
            let idle = self.waiting.keys().find(is_idle).cloned();
            let Some(tunnel) = idle else { break };
            let calls = self.waiting.get_mut(&tunnel);
            let call = calls.and_then(|calls| calls.pop_front().map(|call| (call, calls.is_empty())));
            if call.as_ref().is_none_or(|(_, last)| *last) {
                self.waiting.remove(&tunnel);
            }
            if let Some((call, _)) = call {
                self.running.push(call.start(tunnel, now + limit, commands));
            }
        }
        lines
    }

    /// When the next command has run long enough.
    pub fn next(&self) -> Option<Instant> {
        self.running.iter().filter(|r| !r.killed).map(|r| r.deadline).min()
    }

    /// The daemon ends: nothing that it started stays behind.
    pub fn kill_all(&mut self, commands: &mut Commands) {
        self.running.iter().for_each(|running| commands.kill(running.id));
        self.running.clear();
        self.waiting.clear();
    }

    /// Whether nothing runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }
}

impl Call {
    fn start(self, tunnel: String, deadline: Instant, commands: &mut Commands) -> Running {
        let program = escape(self.words.first().map_or(b"", |word| word.as_bytes()));
        let Call { words, environment } = self;
        let id = commands.start(Program::Event(words, environment));
        Running { id, tunnel, program, deadline, killed: false }
    }
}

impl Running {
    /// Notes its end, or its time limit; what there is to tell, and whether it has ended.
    fn look_after(
        &mut self,
        now: Instant,
        limit: Duration,
        commands: &mut Commands,
    ) -> (Option<Remark>, bool) {
        let (tunnel, program) = (self.tunnel.clone(), self.program.clone());
        if let Some(outcome) = commands.take_ended(self.id) {
            let why = match outcome {
                Ok(ended) if ended.success || self.killed => return (None, true),
                Ok(ended) => ended.how,
                Err(why) => why,
            };
            return (Some(Remark::Hook { tunnel, program, why }), true);
        }
        if self.killed || now < self.deadline {
            return (None, false);
        }
        commands.kill(self.id);
        self.killed = true;
        (Some(Remark::HookKilled { tunnel, program, limit: limit.as_secs() }), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::args::TIME_LIMIT;
    use crate::proto::TunnelEvent;
    use crate::sys::clock;

    fn event(what: TunnelEvent, reason: &str) -> Notification {
        Notification {
            what,
            tunnel: "tokyo".into(),
            interface: Some("l2tp0".into()),
            peer: Some([192, 0, 2, 2].into()),
            local_id: 7,
            remote_id: 9,
            reason: reason.into(),
        }
    }

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|w| w.to_string()).collect()
    }

    /// Runs turns until everything has ended; returns what was told.
    fn finish(hooks: &mut Hooks, commands: &mut Commands) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..1000 {
            commands.turn();
            told.extend(hooks.turn(clock::now(), commands).into_iter().map(|line| line.text));
            if hooks.is_idle() {
                return told;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("commands do not end");
    }

    #[test]
    fn the_environment_tells_everything_and_nothing_else() {
        let environment = environment(&event(TunnelEvent::SessionUp, "a\0b\nc"));
        let expected = [
            ("PATH", PATH),
            ("L2TPD_EVENT", "session-up"),
            ("L2TPD_TUNNEL", "tokyo"),
            ("L2TPD_INTERFACE", "l2tp0"),
            ("L2TPD_PEER", "192.0.2.2"),
            ("L2TPD_LOCAL_ID", "7"),
            ("L2TPD_REMOTE_ID", "9"),
            ("L2TPD_REASON", "a b c"),
        ];
        assert_eq!(environment, expected.map(|(n, v)| (n.to_string(), v.to_string())));
    }

    #[test]
    fn the_calls_of_a_tunnel_run_one_after_the_other() {
        let path = std::env::temp_dir().join(format!("l2tpd-hook-{}", std::process::id()));
        let script = format!("echo $L2TPD_EVENT begin >>{0}; sleep 0.05; echo end >>{0}", path.display());
        let mut hooks = Hooks::new(TIME_LIMIT);
        for what in [TunnelEvent::TunnelUp, TunnelEvent::SessionUp, TunnelEvent::TunnelDown] {
            assert_eq!(hooks.call(&words(&["/bin/sh", "-c", &script]), &event(what, "")), None);
        }
        assert!(finish(&mut hooks, &mut Commands::default()).is_empty());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "tunnel-up begin\nend\nsession-up begin\nend\ntunnel-down begin\nend\n");
    }

    #[test]
    fn failures_are_told_and_do_not_stop_the_next_call() {
        let mut hooks = Hooks::new(TIME_LIMIT);
        hooks.call(&words(&["/nonexistent"]), &event(TunnelEvent::TunnelUp, ""));
        hooks.call(&words(&["/bin/sh", "-c", "exit 3"]), &event(TunnelEvent::TunnelUp, ""));
        let told = finish(&mut hooks, &mut Commands::default());
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], "  on-event of tokyo: /nonexistent: No such file or directory");
        assert!(told[1].ends_with("exit status: 3"), "{told:?}");
        hooks.call(&words(&["/tmp"]), &event(TunnelEvent::TunnelUp, ""));
        assert_eq!(
            finish(&mut hooks, &mut Commands::default()),
            ["  on-event of tokyo: /tmp: Permission denied, it is a directory"]
        );
    }

    #[test]
    fn a_command_that_others_may_change_is_not_run() {
        let path = std::env::temp_dir().join(format!("l2tpd-hook-{}-open", std::process::id()));
        std::fs::write(&path, "#!/bin/sh\nexit 3\n").unwrap();
        let mode = |bits| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(bits));
        mode(0o757).unwrap();
        let (mut hooks, name) = (Hooks::new(TIME_LIMIT), path.to_string_lossy().into_owned());
        hooks.call(&words(&[&name]), &event(TunnelEvent::TunnelUp, ""));
        let said = format!("  on-event of tokyo: {name}: others may write it (mode 0757): chmod go-w {name}");
        assert_eq!(finish(&mut hooks, &mut Commands::default()), [said]);
        mode(0o755).unwrap();
        hooks.call(&words(&[&name]), &event(TunnelEvent::TunnelUp, ""));
        assert_eq!(
            finish(&mut hooks, &mut Commands::default()),
            [format!("  on-event of tokyo: {name}: exit status: 3")]
        );
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let (mut hooks, mut commands) = (Hooks::new(TIME_LIMIT), Commands::default());
        hooks.call(&words(&["/bin/sleep", "1000"]), &event(TunnelEvent::TunnelUp, ""));
        let start = clock::now();
        assert!(hooks.turn(start, &mut commands).is_empty());
        assert_eq!(hooks.next(), Some(start + TIME_LIMIT));
        let told = hooks.turn(start + TIME_LIMIT, &mut commands);
        assert!(told[0].text.contains("killed, it ran longer than 30 s"));
        assert_eq!(hooks.next(), None);
        assert!(finish(&mut hooks, &mut commands).is_empty());
    }

    /// One after the other, and no more at once than may run.
    #[test]
    fn many_tunnels_have_their_turn() {
        let (mut hooks, mut commands) = (Hooks::new(TIME_LIMIT), Commands::default());
        for call in 0..2 {
            for tunnel in 0..RUNNING + 4 {
                let tunnel = format!("t{tunnel}");
                let event = Notification { tunnel, ..event(TunnelEvent::TunnelUp, "") };
                hooks.call(&words(&["/bin/sh", "-c", &format!("exit {}", call + 3)]), &event);
            }
        }
        hooks.turn(clock::now(), &mut commands);
        assert_eq!((hooks.running.len(), hooks.waiting.len()), (RUNNING, RUNNING + 4));
        let told = finish(&mut hooks, &mut commands);
        let of_last: Vec<&String> = told.iter().filter(|line| line.contains("of t9:")).collect();
        assert!(of_last[0].ends_with("status: 3") && of_last[1].ends_with("status: 4"), "{told:?}");
        assert_eq!(told.len(), 2 * (RUNNING + 4));
    }

    #[test]
    fn the_line_is_bounded() {
        let mut hooks = Hooks::new(TIME_LIMIT);
        let dropped = (0..WAITING + 3)
            .filter(|_| hooks.call(&words(&["/bin/true"]), &event(TunnelEvent::TunnelUp, "")).is_some())
            .count();
        assert_eq!(dropped, 3);
    }
}
