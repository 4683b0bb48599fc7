"""Measures what the number of tunnels and sessions costs, and prints tables of medians. Started by run.sh.

Two daemons, `hub` and `spokes`, in two namespaces on one cable; in one of four layouts:

    hub       N tunnels, each to an address of its own
    any       N tunnels; the hub says `remote-address any` and tells the peers by their names
    pair      N tunnels between one pair of addresses
    sessions  1 tunnel with N sessions

The first three have one session in all, since the kernel takes long to make and remove thousands of interfaces.

Client, hub and spokes share this machine: a hub with a machine of its own is faster. Nothing is judged here.

Environment: SCALE_N ("10 100 1000 10000"), SCALE_ROUNDS (3), SCALE_LAYOUTS, SCALE_IDLE (60: seconds of the idle
measurement), SCALE_PATIENCE (120: seconds until all must be up).
"""

import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from kinds import Failure, run

NUMBERS = [int(word) for word in os.environ.get("SCALE_N", "10 100 1000 10000").split()]
ROUNDS = int(os.environ.get("SCALE_ROUNDS", "3"))
IDLE = float(os.environ.get("SCALE_IDLE", "60"))
LAYOUTS = os.environ.get("SCALE_LAYOUTS", "hub any pair sessions").split()
# The longest that is waited for all to be up.
PATIENCE = float(os.environ.get("SCALE_PATIENCE", "120"))
HUB, SPOKES = "192.0.2.1", "192.0.2.2"


def spoke_address(k):
    return f"10.{64 + k // 65536}.{k // 256 % 256}.{k % 256}"


def head(me):
    return ["hostname hub\nrouter-id 10.0.0.1\n", "hostname spokes\nrouter-id 10.0.0.2\n"][me] + "restart-interval 1\n"


def session(k):
    return f" session s{k}\n  remote-end-id e{k}\n"


def tunnel(layout, me, k, sessions):
    """A tunnel block of the hub (0) or of the spokes (1)."""
    lines = [f"tunnel t{k}", " encapsulation udp", " remote-router-id any"]
    if me == 0:
        lines.append({"hub": f" remote-address {spoke_address(k)}", "any": " remote-address any"}.get(
            layout, f" remote-address {SPOKES}"))
        lines += [f" local-address {HUB}", f" local-hostname hub-{k}", f" remote-hostname spoke-{k}"]
    else:
        local = spoke_address(k) if layout == "hub" else SPOKES
        lines += [f" remote-address {HUB}", f" local-address {local}", f" local-hostname spoke-{k}",
                  f" remote-hostname hub-{k}"]
    return "\n".join(lines) + "\n" + "".join(session(s) for s in sessions)


def text(layout, me, numbers, with_sessions=True):
    out = head(me)
    if layout == "sessions":
        return out + tunnel(layout, me, 0, numbers)
    return out + "".join(tunnel(layout, me, k, [k] if with_sessions or k == 0 else []) for k in numbers)


class Host:
    """A daemon in a namespace."""

    def __init__(self, world, me):
        self.me, self.world = me, world
        self.netns = f"{world.base}{'hs'[me]}"
        self.config = os.path.join(world.directory, f"{me}.conf")
        self.socket = os.path.join(world.directory, f"{me}.sock")
        self.process = None

    def write(self, text):
        with open(self.config, "w") as file:
            file.write(text)
        os.chmod(self.config, 0o600)

    def start(self):
        log = open(os.path.join(self.world.directory, f"{self.me}.log"), "a")
        words = [os.environ["BENCH_L2TPD"], "-d", "-c", self.config, "-p", self.config + ".pid", "-s", self.socket]
        self.process = subprocess.Popen(["ip", "netns", "exec", self.netns] + words, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log)

    def ctl(self, *words, check=True):
        done = subprocess.run([os.environ["BENCH_L2TPD"].replace("l2tpd", "l2tpctl"), "-s", self.socket, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        if check and done.returncode not in (0, 4):
            raise Failure(f"l2tpctl {' '.join(words)}: {done.stdout[-300:]}{done.stderr[-300:]}".strip())
        return done.stdout

    def is_up(self, tunnels, sessions):
        done = subprocess.run([os.environ["BENCH_L2TPD"].replace("l2tpd", "l2tpctl"), "-s", self.socket, "health"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.startswith(f"up: {tunnels} of {tunnels} tunnels, {sessions} of {sessions} sessions")

    def wait_up(self, tunnels, sessions):
        """Until all are up; seconds, or None."""
        start = time.monotonic()
        while time.monotonic() < start + PATIENCE:
            if self.is_up(tunnels, sessions):
                return time.monotonic() - start
            if self.process.poll() is not None:
                raise Failure(f"the daemon ended: see {self.world.directory}")
            time.sleep(0.1)
        return None

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def memory(self, field="VmRSS"):
        """kB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(rf"{field}:\s+(\d+)", file.read()).group(1))

    def end(self):
        """How long SIGTERM takes; seconds."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(600)
        took, self.process = time.monotonic() - start, None
        return took

    def kill(self):
        """Without a word; the kernel's time for the interfaces is not the daemon's."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            self.sweep()
            self.process.kill()
            self.process.wait(600)
        self.process = None

    def sweep(self):
        """Removes the interfaces at once: one by one the kernel takes 20 ms for each."""
        names = [line.split(":")[1].strip() for line in run(["ip", "-n", self.netns, "-o", "link"], 60).splitlines()]
        batch = "".join(f"link set {name} group 7\n" for name in names if re.fullmatch(r"s\d+", name))
        if batch:
            self.world.batch(self.netns, batch)
            subprocess.run(["ip", "-n", self.netns, "link", "del", "group", "7"], timeout=600)


class World:
    """The cable, the namespaces, the two daemons."""

    def __init__(self, layout, number, with_sessions=True):
        self.base = f"l2s{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix="l2s")
        self.layout, self.number, self.with_sessions = layout, number, with_sessions
        self.hub, self.spokes = Host(self, 0), Host(self, 1)
        self.tunnels = 1 if layout == "sessions" else number
        self.sessions = number if with_sessions else 1

    def batch(self, netns, commands):
        path = os.path.join(self.directory, "batch")
        with open(path, "w") as file:
            file.write(commands)
        run(["ip", "-n", netns, "-batch", path], 600)

    def __enter__(self):
        hub, spokes = self.hub.netns, self.spokes.netns
        run(["ip", "netns", "add", hub])
        run(["ip", "netns", "add", spokes])
        run(["ip", "-n", hub, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", spokes])
        for netns, address in [(hub, HUB), (spokes, SPOKES)]:
            self.batch(netns, f"link set lo up\nlink set wire up\naddr add {address}/24 dev wire\n")
            for name in ["net.core.rmem_max", "net.core.wmem_max"]:
                subprocess.run(["ip", "netns", "exec", netns, "sysctl", "-qw", f"{name}=16777216"],
                               stderr=subprocess.DEVNULL)
        self.batch(hub, f"route add 10.64.0.0/10 via {SPOKES}\n")
        if self.layout == "hub":
            self.batch(spokes, "".join(f"addr add {spoke_address(k)}/32 dev lo\n" for k in range(self.number)))
        for host in (self.hub, self.spokes):
            host.write(self.text(host.me))
        return self

    def text(self, me, numbers=None):
        return text(self.layout, me, range(self.number) if numbers is None else numbers, self.with_sessions)

    def bring_up(self):
        """Starts both; seconds until all is up at the hub, or None."""
        self.hub.start()
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(self.hub.socket):
            if time.monotonic() > deadline or self.hub.process.poll() is not None:
                raise Failure(f"the hub does not start: see {self.directory}")
            time.sleep(0.05)
        self.spokes.start()
        return self.hub.wait_up(self.tunnels, self.sessions)

    def __exit__(self, *_):
        self.hub.kill()
        self.spokes.kill()
        for host in (self.hub, self.spokes):
            subprocess.run(["ip", "netns", "del", host.netns])
        if not os.environ.get("SCALE_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)


def milliseconds(call):
    start = time.monotonic()
    call()
    return 1000 * (time.monotonic() - start)


COLUMNS = ["up s", "cpu s", "kB each", "status ms", "JSON ms", "metrics ms", "reload ms", "idle %", "end s"]


def measure(layout, number):
    """One round: a value for each column."""
    with World(layout, number, layout == "sessions") as world:
        hub = world.hub
        up = world.bring_up()
        cpu, memory = hub.cpu(), hub.memory() / number
        times = [milliseconds(lambda: hub.ctl(*words)) for words in
                 (["status"], ["--json", "status"], ["metrics"], ["reload"])]
        before = hub.cpu()
        time.sleep(IDLE)
        idle = 100 * (hub.cpu() - before) / IDLE
        return [up, cpu, memory, *times, idle, hub.end()]


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) else None


def main():
    for layout in LAYOUTS:
        print(f"\n{layout:>10}" + "".join(f"{name:>12}" for name in COLUMNS), flush=True)
        for number in NUMBERS:
            try:
                rounds = [measure(layout, number) for _ in range(ROUNDS)]
            except Failure as failure:
                print(f"{number:>10} {failure}", flush=True)
                continue
            cells = [median(values) for values in zip(*rounds)]
            text = "".join(f"{'never':>12}" if cell is None else f"{cell:>12.2f}" for cell in cells)
            print(f"{number:>10}{text}", flush=True)


if __name__ == "__main__":
    main()
