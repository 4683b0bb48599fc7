"""Measures what the number of tunnels and sessions costs, and prints tables of medians. Started by run.sh.

Two daemons, `hub` and `spokes`, in two namespaces on one cable; in one of four layouts:

    hub       N tunnels, each to an address of its own
    any       N tunnels; the hub says `remote-address any` and tells the peers by their names
    pair      N tunnels between one pair of addresses
    sessions  1 tunnel with N sessions

The tunnels of the first three have one session each. A third daemon, `probe`, has a tunnel with the hub, too; a ping
through it every 10 ms shows how long the hub's loop stands still: the longest round trip of the pings that were sent
while something was done. The interfaces have no IPv6: giving each of them addresses costs the kernel a time that grows
with their number. What ended the daemons by force had its interfaces swept away before: the kernel takes up to
20 ms for each, one by one.

What an SCCRQ or a frame costs is what the daemon used while they came, less what it uses at other times.

Hub, spokes, probe and client share this machine: a hub with a machine of its own is faster. Nothing is judged here.

Environment: SCALE_N ("10 100 1000 10000"), SCALE_ROUNDS (3), SCALE_LAYOUTS ("hub any pair sessions"), SCALE_IDLE (2:
`hello-interval` of the idle measurement, which lasts as long; it is told for the usual 60 s), SCALE_PATIENCE (120:
seconds until all must be up; what is not up then is told, and the next step follows), SCALE_KEEP (1: the directories with configurations and logs stay).
"""

import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from kinds import Failure, run

NUMBERS = [int(word) for word in os.environ.get("SCALE_N", "10 100 1000 10000").split()]
ROUNDS = int(os.environ.get("SCALE_ROUNDS", "3"))
IDLE = int(os.environ.get("SCALE_IDLE", "2"))
LAYOUTS = os.environ.get("SCALE_LAYOUTS", "hub any pair sessions").split()
# The longest that is waited for all to be up.
PATIENCE = float(os.environ.get("SCALE_PATIENCE", "120"))
HUB, SPOKES, PROBED, PROBE = "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"
INNER = "203.0.113.1"
L2TPD = os.environ["BENCH_L2TPD"]
L2TPCTL = os.path.join(os.path.dirname(L2TPD), "l2tpctl")

# The lines of a table, in the order in which they are measured.
LINES = [
    ("up", "all up, s"), ("up stall", "  stall, ms"), ("up cpu", "  CPU of the hub each, ms"),
    ("memory", "  memory of the hub each, kB"),
    ("status", "status, ms"), ("json", "status, JSON, ms"), ("metrics", "metrics, ms"), ("show stall", "  stall, ms"),
    ("same", "reload, the same, ms"), ("same stall", "  stall, ms"),
    ("memory again", "  memory of the hub each, kB"),
    ("half", "reload, half removed, ms"), ("half stall", "  stall, ms"),
    ("whole", "reload, half added, all up, s"), ("whole stall", "  stall, ms"),
    ("clear", "clear all, all up, s"), ("clear stall", "  stall, ms"),
    ("spokes", "kill -9 spokes, all up, s"), ("spokes stall", "  stall, ms"),
    ("quiet stall", "nothing done, stall, ms"),
    ("mtu", "underlay's MTU changed, s"), ("mtu stall", "  stall, ms"),
    ("stranger", "SCCRQ of a stranger, CPU, us"),
    ("one sent", "20 kpps in 1 session, CPU of sender, us"), ("one received", "  of receiver"),
    ("all sent", "  in all in turn, of sender"), ("all received", "  of receiver"),
    ("idle", "idle, HELLOs every 60 s, CPU, %"), ("idle peak", "  a tenth of it, most/mean"),
    ("fast idle", "  HELLOs every 0.1 s, CPU, %"),
    ("hub", "kill -9 hub, all up, s"),
    ("end", "SIGTERM, s"),
]

# Sends SCCRQs of nobody: so many, 100 in 10 ms.
STRANGER = """
import socket, struct, sys, time
def avp(number, value):
    return struct.pack("!HHH", 0x8000 | 6 + len(value), 0, number) + value
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for k in range(int(sys.argv[2])):
    avps = avp(0, b"\\0\\1") + avp(7, b"nobody") + avp(60, b"\\12\\0\\0\\11") + avp(61, struct.pack("!I", k + 1))
    avps += avp(62, b"\\0\\5")
    sock.sendto(struct.pack("!HHIHH", 0xc803, 12 + len(avps), 0, 0, 0) + avps, (sys.argv[1], 1701))
    if k % 100 == 99:
        time.sleep(0.01)
"""

# Sends frames into these interfaces in turn: 200 in 10 ms, for so many seconds.
FRAMES = """
import socket, sys, time
count, seconds = int(sys.argv[1]), float(sys.argv[2])
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
places = [(f"s{k}", 0) for k in range(count)]
frame = bytes.fromhex("02000000000a02000000000b88b5") + bytes(86)
k, due = 0, time.monotonic()
end = due + seconds
while due < end:
    for _ in range(200):
        sock.sendto(frame, places[k])
        k = (k + 1) % count
    due += 0.01
    time.sleep(max(0, due - time.monotonic()))
"""


def spoke_address(k):
    return f"10.{64 + k // 65536}.{k // 256 % 256}.{k % 256}"


def head(name, number):
    return f"hostname {name}\nrouter-id 10.0.0.{number}\nrestart-interval 1\nmax-tunnels 20000\nmax-sessions 20000\n"


def session(k):
    return f" session s{k}\n  remote-end-id e{k}\n"


def tunnel(layout, me, k, sessions, hello):
    """A tunnel block of the hub (0) or of the spokes (1)."""
    lines = [f"tunnel t{k}", " encapsulation udp", " remote-router-id any", f" hello-interval {hello}"]
    if me == 0:
        lines.append({"hub": f" remote-address {spoke_address(k)}", "any": " remote-address any"}.get(
            layout, f" remote-address {SPOKES}"))
        lines += [f" local-address {HUB}", f" local-hostname hub-{k}", f" remote-hostname spoke-{k}"]
    else:
        local = spoke_address(k) if layout == "hub" else SPOKES
        lines += [f" remote-address {HUB}", f" local-address {local}", f" local-hostname spoke-{k}",
                  f" remote-hostname hub-{k}"]
    if hello != 60:
        # Who is left without a word notices it after three of these.
        lines.append(" retry-interval auto")
    return "\n".join(lines) + "\n" + "".join(session(s) for s in sessions)


def probe_tunnel(remote, name):
    return (f"tunnel probe\n encapsulation udp\n remote-address {remote}\n remote-router-id any\n"
            f" remote-hostname {name}\n session probe0\n  remote-end-id probe\n")


def text(layout, me, numbers, hello):
    out = head(["hub", "spokes"][me], 1 + me)
    if me == 0:
        out += probe_tunnel(PROBE, "probe").replace("", "")
    if layout == "sessions":
        return out + tunnel(layout, me, 0, numbers, hello)
    return out + "".join(tunnel(layout, me, k, [k], hello) for k in numbers)


class Host:
    """A daemon in a namespace."""

    def __init__(self, world, name):
        self.name, self.world = name, world
        self.netns = f"{world.base}{name[0]}"
        self.config = os.path.join(world.directory, f"{name}.conf")
        self.socket = os.path.join(world.directory, f"{name}.sock")
        self.process = None

    def write(self, text):
        with open(self.config, "w") as file:
            file.write(text)
        os.chmod(self.config, 0o600)

    def start(self):
        log = open(os.path.join(self.world.directory, f"{self.name}.log"), "a")
        words = [L2TPD, "-d", "-c", self.config, "-p", self.config + ".pid", "-s", self.socket]
        self.process = subprocess.Popen(["ip", "netns", "exec", self.netns] + words, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Failure(f"{self.name} does not start: {self.last_line()}")
            time.sleep(0.02)

    def last_line(self):
        with open(os.path.join(self.world.directory, f"{self.name}.log"), errors="replace") as file:
            return (file.read().splitlines() or ["it said nothing"])[-1]

    def answers(self):
        return os.path.exists(self.socket) and self.health() != ""

    def health(self):
        return subprocess.run([L2TPCTL, "-s", self.socket, "health"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout

    def ctl(self, *words):
        done = subprocess.run([L2TPCTL, "-s", self.socket, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=PATIENCE)
        if done.returncode not in (0, 4):
            raise Failure(f"l2tpctl {' '.join(words)}: {done.stdout[-300:]}{done.stderr[-300:]}".strip())

    def wait_up(self, start):
        """Until all that is configured is up; seconds since `start`, or None."""
        while time.monotonic() < start + PATIENCE:
            if re.match(r"up: (\d+) of \1 tunnels, (\d+) of \2 sessions", self.health()):
                return time.monotonic() - start
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended: {self.last_line()}")
            # Asking costs the daemon a little for each tunnel.
            time.sleep(0.05 + self.world.number / 50_000)
        return None

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def memory(self):
        """kB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

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
        names = [line.split(":")[1].strip() for line in run(["ip", "-n", self.netns, "-o", "link"], 60).splitlines()]
        batch = "".join(f"link set {name} group 7\n" for name in names if re.fullmatch(r"(s|probe)\d+", name))
        if batch:
            self.world.batch(self.netns, batch)
            subprocess.run(["ip", "-n", self.netns, "link", "del", "group", "7"], timeout=600)


class Ping:
    """Pings from the probe through the hub, and what was done meanwhile."""

    def __init__(self, world):
        self.path = os.path.join(world.directory, "ping")
        self.begin = None
        # When each ping that was answered was sent, and how long the answer took, in ms; in the order of the answers.
        self.replies = []
        self.offset = 0
        run(["ip", "-n", world.probe.netns, "addr", "replace", "203.0.113.2/24", "dev", "probe0"])
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", world.probe.netns, "ping", "-D", "-n", "-i", "0.01", INNER],
            stdin=subprocess.DEVNULL, stdout=open(self.path, "w"), stderr=subprocess.STDOUT)

    def __enter__(self):
        self.begin = time.time()
        return self

    def __exit__(self, *_):
        pass

    def stall(self):
        """The longest round trip since it was entered, in ms, once all pings of that time are back."""
        end = time.time()
        while time.time() < end + 10:
            self.read()
            if self.replies and self.replies[-1][0] > end:
                break
            time.sleep(0.05)
        found = max((rtt for sent, rtt in self.replies if self.begin <= sent <= end), default=None)
        self.replies = self.replies[-1:]
        return found

    def read(self):
        """What has come since."""
        with open(self.path) as file:
            file.seek(self.offset)
            text = file.read().rpartition("\n")[0]
        self.offset += len(text)
        found = re.findall(r"^\[([\d.]+)\].*time=([\d.]+) ms$", text, re.MULTILINE)
        self.replies += [(float(at) - float(rtt) / 1000, float(rtt)) for at, rtt in found]

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class World:
    """The cables, the namespaces, the daemons."""

    def __init__(self, layout, number):
        self.base = f"l2s{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix="l2s")
        self.layout, self.number = layout, number
        self.hub, self.spokes, self.probe = [Host(self, name) for name in ("hub", "spokes", "probe")]

    def batch(self, netns, commands):
        path = os.path.join(self.directory, "batch")
        with open(path, "w") as file:
            file.write(commands)
        run(["ip", "-n", netns, "-batch", path], 600)

    def __enter__(self):
        hub, spokes, probe = self.hub.netns, self.spokes.netns, self.probe.netns
        for netns in (hub, spokes, probe):
            run(["ip", "netns", "add", netns])
            for setting in ["net.core.rmem_max=16777216", "net.core.wmem_max=16777216",
                            "net.ipv6.conf.default.disable_ipv6=1"]:
                subprocess.run(["ip", "netns", "exec", netns, "sysctl", "-qw", setting], stderr=subprocess.DEVNULL)
        for name, netns, near, far in [("wire", spokes, HUB, SPOKES), ("aside", probe, PROBED, PROBE)]:
            run(["ip", "-n", hub, "link", "add", name, "type", "veth", "peer", "name", name, "netns", netns])
            for netns, address in [(hub, near), (netns, far)]:
                self.batch(netns, f"link set lo up\nlink set {name} up\naddr add {address}/24 dev {name}\n")
        self.batch(hub, f"route add 10.64.0.0/10 via {SPOKES}\n")
        if self.layout == "hub":
            self.batch(spokes, "".join(f"addr add {spoke_address(k)}/32 dev lo\n" for k in range(self.number)))
        self.write(range(self.number))
        self.probe.write(head("probe", 3) + probe_tunnel(PROBED, "hub").replace("", ""))
        return self

    def write(self, numbers, hello=60):
        """The configurations with these tunnels or sessions."""
        self.hub.write(text(self.layout, 0, numbers, hello))
        self.spokes.write(text(self.layout, 1, numbers, hello))

    def __exit__(self, *_):
        for host in (self.hub, self.spokes, self.probe):
            host.kill()
            subprocess.run(["ip", "netns", "del", host.netns])
        if not os.environ.get("SCALE_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)


class Round:
    """One round: what was found, by the names of LINES. A step that fails is told, and the next one follows."""

    def __init__(self, world, title, found):
        self.world, self.title, self.found = world, title, found
        self.hub, self.spokes, self.number = world.hub, world.spokes, world.number
        self.ping = None
        self.begin = time.monotonic()

    def step(self, name, call):
        start = time.monotonic()
        try:
            call()
            end = ""
        except (Failure, OSError, subprocess.TimeoutExpired) as failure:
            end = f" FAILED: {failure}"
            print(f"{self.title}, {name}: {failure}", flush=True)
        print(f"{self.title}: {name} {time.monotonic() - start:.1f} s{end}", file=sys.stderr, flush=True)
        return not end

    def timed(self, name, call, scale=1000.0):
        """How long something takes, and how long the loop stands still meanwhile."""
        def step():
            with self.ping:
                start = time.monotonic()
                try:
                    call()
                    self.found[name] = scale * (time.monotonic() - start)
                finally:
                    self.found[f"{name} stall"] = self.ping.stall()
        return self.step(name, step)

    def until_up(self, host, call):
        start = time.monotonic()
        call()
        took = host.wait_up(start)
        if took is None:
            raise Failure(f"not all up within {PATIENCE:.0f} s: {host.health().strip()}")
        return took

    def measure(self):
        if not self.step("start", self.start):
            return
        try:
            self.pinged()
        finally:
            self.ping.stop()
        self.step("stranger", self.stranger)
        self.step("frames", self.frames)
        self.step("idle", self.idle)
        if self.number <= 1000:
            self.step("fast idle", self.fast_idle)
        self.step("hub", self.kill_hub)
        self.step("end", self.end)

    def start(self):
        self.hub.start()
        self.world.probe.start()
        self.until_up(self.world.probe, lambda: None)
        run(["ip", "-n", self.hub.netns, "addr", "add", f"{INNER}/24", "dev", "probe0"])
        self.ping = Ping(self.world)

    def pinged(self):
        hub, spokes, world, number = self.hub, self.spokes, self.world, self.number
        memory, cpu = hub.memory(), hub.cpu()
        self.timed("up", lambda: self.until_up(hub, spokes.start), 1)
        self.found["up cpu"] = 1000 * (hub.cpu() - cpu) / number
        self.found["memory"] = (hub.memory() - memory) / number
        self.timed("quiet", lambda: time.sleep(0.5))
        self.step("show", self.show)
        self.timed("same", lambda: hub.ctl("reload"))
        self.found["memory again"] = (hub.memory() - memory) / number
        world.write(range(number // 2))
        self.timed("half", lambda: hub.ctl("reload"))
        self.step("half of the spokes", lambda: spokes.ctl("reload"))
        world.write(range(number))

        def add():
            spokes.ctl("reload")
            hub.ctl("reload")

        self.timed("whole", lambda: self.until_up(hub, add), 1)
        self.timed("clear", lambda: self.until_up(hub, lambda: hub.ctl("clear", "all")), 1)
        self.timed("mtu", self.change_mtu, 1)
        spokes.kill()
        self.timed("spokes", lambda: self.until_up(spokes, spokes.start), 1)

    def show(self):
        with self.ping:
            for name, words in [("status", ["status"]), ("json", ["--json", "status"]), ("metrics", ["metrics"])]:
                start = time.monotonic()
                self.hub.ctl(*words)
                self.found[name] = 1000 * (time.monotonic() - start)
            self.found["show stall"] = self.ping.stall()

    def change_mtu(self):
        last, start = f"s{self.number - 1}", time.monotonic()
        before = mtu_of(self.hub, last)
        run(["ip", "-n", self.hub.netns, "link", "set", "wire", "mtu", "1400"])
        while mtu_of(self.hub, last) == before:
            if time.monotonic() > start + PATIENCE:
                raise Failure(f"{last} keeps its MTU")
            time.sleep(0.02)

    def stranger(self):
        count = 4000
        [used] = self.used([self.hub], [self.spokes.netns, "-c", STRANGER, HUB, str(count)])
        self.found["stranger"] = 1e6 * used / count

    def frames(self):
        for name, sessions in [("one", 1), ("all", self.number)]:
            used = self.used([self.spokes, self.hub], [self.spokes.netns, "-c", FRAMES, str(sessions), "2"])
            for end, seconds in zip(["sent", "received"], used):
                self.found[f"{name} {end}"] = 1e6 * seconds / 40_000

    def used(self, hosts, words):
        """What a Python program costs these daemons, less what they use by themselves in such a time; seconds."""
        def cost(call):
            before, start = [host.cpu() for host in hosts], time.monotonic()
            call()
            return [host.cpu() - cpu for host, cpu in zip(hosts, before)], time.monotonic() - start

        def program():
            run(["ip", "netns", "exec", words[0], sys.executable, *words[1:]], 60)
            time.sleep(0.05)

        samples = [cost(call) for call in (lambda: time.sleep(0.5), program, lambda: time.sleep(0.5))]
        (before, pause), (during, took), (after, other) = samples
        return [d - took * (b + a) / (pause + other) for b, d, a in zip(before, during, after)]

    def idle(self):
        self.world.write(range(self.number), IDLE)
        self.hub.ctl("reload")
        self.spokes.ctl("reload")
        # The first HELLOs come soon after the reload.
        time.sleep(IDLE)
        before = self.hub.cpu()
        parts = []
        for _ in range(10):
            part = self.hub.cpu()
            time.sleep(IDLE / 10)
            parts.append(self.hub.cpu() - part)
        self.found["idle"] = 100 * (self.hub.cpu() - before) / 60
        self.found["idle peak"] = max(parts) / (sum(parts) / len(parts))

    def fast_idle(self):
        self.world.write(range(self.number), 0.1)
        self.hub.ctl("reload")
        self.spokes.ctl("reload")
        time.sleep(IDLE)
        before = self.hub.cpu()
        time.sleep(IDLE)
        self.found["fast idle"] = 100 * (self.hub.cpu() - before) / IDLE

    def kill_hub(self):
        self.hub.kill()
        start = time.monotonic()
        self.hub.start()
        self.until_up(self.hub, lambda: None)
        self.found["hub"] = time.monotonic() - start

    def end(self):
        self.found["end"] = self.hub.end()


def mtu_of(host, name):
    return re.search(r" mtu (\d+)", run(["ip", "-n", host.netns, "link", "show", name])).group(1)


def median(values):
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def growth(few, many):
    """How many times as much per ten times as many."""
    (less, a), (more, b) = few, many
    if not a or not b:
        return "-"
    return f"{(b / a) ** (1 / math.log10(more / less)):.1f}"


def table(layout, results):
    print(f"\n{layout:<42}" + "".join(f"{number:>10}" for number in results) + "   growth per decade", flush=True)
    for name, title in LINES:
        cells = [(number, median([found.get(name) for found in rounds])) for number, rounds in results.items()]
        row = "".join(f"{'-':>10}" if cell is None else f"{cell:>10.2f}" for _, cell in cells)
        factors = " ".join(growth(few, many) for few, many in zip(cells, cells[1:]))
        print(f"{title:<42}{row}   {factors}", flush=True)


def main():
    begin = time.monotonic()
    for layout in LAYOUTS:
        results = {}
        for number in NUMBERS:
            start = time.monotonic()
            results[number] = [{} for _ in range(ROUNDS)]
            for at, found in enumerate(results[number]):
                with World(layout, number) as world:
                    Round(world, f"{layout} {number}, round {at + 1}", found).measure()
            print(f"{layout} {number}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        table(layout, results)
    print(f"\nAll of it took {(time.monotonic() - begin) / 60:.1f} minutes.", flush=True)


if __name__ == "__main__":
    main()
