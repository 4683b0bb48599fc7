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

What an SCCRQ or a frame costs is what the daemon used while they came, less what it used before and after, several times
in turn, once what was done before has come to its end.

Memory is what the hub has in memory (VmRSS), less what a daemon with one tunnel has (`probe`), for each tunnel with its
session; in the layout `sessions` for each session.

Hub, spokes, probe and client share this machine: a hub with a machine of its own is faster. Nothing is judged here.

Environment: SCALE_N ("10 100 1000 10000"), SCALE_ROUNDS (3), SCALE_LAYOUTS ("hub any pair sessions"), SCALE_IDLE (2:
a fifth of the seconds of the idle measurement with the usual `hello-interval` of 60 s, and then the `hello-interval` that
shows how HELLOs are spread), SCALE_PATIENCE (120:
seconds until all must be up; what is not up then is told, and the next step follows), SCALE_KEEP (1: the directories with configurations and logs stay).
"""

import math
import os
import re
import resource
import statistics
import subprocess
import sys
import time

from kinds import Failure, run
from scale_world import HUB, INNER, PATIENCE, Ping, World

NUMBERS = [int(word) for word in os.environ.get("SCALE_N", "10 100 1000 10000").split()]
ROUNDS = int(os.environ.get("SCALE_ROUNDS", "3"))
IDLE = int(os.environ.get("SCALE_IDLE", "2"))
LAYOUTS = os.environ.get("SCALE_LAYOUTS", "hub any pair sessions").split()

# A daemon that uses no more of a processor than this is at rest. HELLOs of 10,000 tunnels take a twentieth where each of
# them wakes both ends.
CALM = 0.12

# The lines of a table, in the order in which they are measured.
LINES = [
    ("up", "all up, s"), ("up stall", "  stall, ms"), ("up cpu", "  CPU of the hub each, ms"),
    ("memory", "  memory of the hub each, kB"),
    ("status", "status, ms"), ("json", "status, JSON, ms"), ("metrics", "metrics, ms"), ("show stall", "  stall, ms"),
    ("status one", "status of one tunnel, ms"),
    ("clear one", "clear of one, up again, ms"),
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
    ("restart", "restart, frames wait, ms"),
    ("end", "SIGTERM, s"),
]

# What the status of a session that is up has, as JSON.
UP = r'"sessions":\s*\[\{[^{]*"state":\s*"established"'

# Sends SCCRQs of nobody: so many, 200 in 10 ms.
STRANGER = """
import socket, struct, sys, time
def avp(number, value):
    return struct.pack("!HHH", 0x8000 | 6 + len(value), 0, number) + value
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for k in range(int(sys.argv[2])):
    avps = avp(0, b"\\0\\1") + avp(7, b"nobody") + avp(60, b"\\12\\0\\0\\11") + avp(61, struct.pack("!I", k + 1))
    avps += avp(62, b"\\0\\5")
    sock.sendto(struct.pack("!HHIHH", 0xc803, 12 + len(avps), 0, 0, 0) + avps, (sys.argv[1], 1701))
    if k % 200 == 199:
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
        self.step("restart", self.restart)
        self.step("end", self.end)

    def start(self):
        self.hub.start()
        self.world.probe.start()
        self.until_up(self.world.probe, lambda: None)
        run(["ip", "-n", self.hub.netns, "addr", "add", f"{INNER}/24", "dev", "probe0"])
        self.ping = Ping(self.world)

    def pinged(self):
        hub, spokes, world, number = self.hub, self.spokes, self.world, self.number
        cpu = hub.cpu()
        self.timed("up", lambda: self.until_up(hub, spokes.start), 1)
        self.found["up cpu"] = 1000 * (hub.cpu() - cpu) / number
        self.found["memory"] = self.memory_each()
        self.timed("quiet", lambda: time.sleep(0.5))
        self.step("show", self.show)
        self.step("status one", self.status_one)
        self.timed("clear one", self.clear_one)
        self.timed("same", lambda: hub.ctl("reload"))
        self.found["memory again"] = self.memory_each()
        world.write(range(number // 2))
        self.timed("half", lambda: hub.ctl("reload"))
        self.step("half of the spokes", lambda: spokes.ctl("reload"))
        # The kernel is still removing interfaces; nobody can make one meanwhile.
        self.step("removal", lambda: [host.wait_interfaces(number // 2) for host in (hub, spokes)])
        world.write(range(number))

        def add():
            spokes.ctl("reload")
            hub.ctl("reload")

        self.timed("whole", lambda: self.until_up(hub, add), 1)
        self.timed("clear", lambda: self.until_up(hub, lambda: hub.ctl("clear", "all")), 1)
        self.timed("mtu", self.change_mtu, 1)
        spokes.kill()
        self.timed("spokes", lambda: self.until_up(spokes, spokes.start), 1)

    def memory_each(self):
        return (self.hub.memory() - self.world.probe.memory()) / self.number

    def show(self):
        with self.ping:
            for name, words in [("status", ["status"]), ("json", ["--json", "status"]), ("metrics", ["metrics"])]:
                start = time.monotonic()
                self.hub.ctl(*words)
                self.found[name] = 1000 * (time.monotonic() - start)
            self.found["show stall"] = self.ping.stall()

    def one(self):
        """The words for the last tunnel; in the layout `sessions` for the last session."""
        last = self.number - 1
        return ["session", f"s{last}"] if self.world.layout == "sessions" else ["tunnel", f"t{last}"]

    def status_one(self):
        took = []
        for _ in range(5):
            start = time.monotonic()
            self.hub.ctl("status", *self.one())
            took.append(time.monotonic() - start)
        self.found["status one"] = 1000 * statistics.median(took)

    def clear_one(self):
        start = time.monotonic()
        self.hub.ctl("clear", *self.one())
        while not re.search(UP, self.hub.ctl("--json", "status", *self.one())):
            if time.monotonic() > start + PATIENCE:
                raise Failure("what was cleared does not come up again")
            time.sleep(0.005)

    def change_mtu(self):
        last, start = f"s{self.number - 1}", time.monotonic()
        before = mtu_of(self.hub, last)
        run(["ip", "-n", self.hub.netns, "link", "set", "wire", "mtu", "1400"])
        while mtu_of(self.hub, last) == before:
            if time.monotonic() > start + PATIENCE:
                raise Failure(f"{last} keeps its MTU")
            time.sleep(0.02)

    def stranger(self):
        count = 10_000
        [used] = self.used([self.hub], [self.spokes.netns, "-c", STRANGER, HUB, str(count)])
        self.found["stranger"] = 1e6 * used / count

    def frames(self):
        for name, sessions in [("one", 1), ("all", self.number)]:
            used = self.used([self.spokes, self.hub], [self.spokes.netns, "-c", FRAMES, str(sessions), "0.5"])
            for end, seconds in zip(["sent", "received"], used):
                self.found[f"{name} {end}"] = 1e6 * seconds / 10_000

    def used(self, hosts, words):
        """What a Python program costs these daemons, less what they use by themselves in such a time; seconds."""
        def cost(call):
            before, start = [host.cpu() for host in hosts], time.monotonic()
            call()
            took = time.monotonic() - start
            return [(host.cpu() - cpu, took) for host, cpu in zip(hosts, before)]

        def program():
            run(["ip", "netns", "exec", words[0], sys.executable, *words[1:]], 60)
            time.sleep(0.05)

        self.wait_calm()
        pauses = [cost(lambda: time.sleep(0.5))]
        programs = []
        for _ in range(2):
            programs.append(cost(program))
            pauses.append(cost(lambda: time.sleep(0.5)))
        # How much of the time each one is busy by itself.
        idle = [statistics.median(cpu / took for cpu, took in samples) for samples in zip(*pauses)]
        return [statistics.median(cpu - took * share for cpu, took in samples)
                for samples, share in zip(zip(*programs), idle)]

    def wait_calm(self):
        """Until neither daemon is busy with what was done before."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            before = [host.cpu() for host in (self.hub, self.spokes)]
            time.sleep(0.3)
            if all(host.cpu() - cpu < 0.3 * CALM for host, cpu in zip((self.hub, self.spokes), before)):
                return
        raise Failure("the daemons do not come to rest")

    def idle(self):
        self.wait_calm()
        before = self.hub.cpu()
        time.sleep(5 * IDLE)
        self.found["idle"] = 100 * (self.hub.cpu() - before) / (5 * IDLE)
        self.world.write(range(self.number), IDLE)
        self.hub.ctl("reload")
        self.spokes.ctl("reload")
        # The first HELLOs come soon after the reload.
        time.sleep(IDLE)
        parts = []
        for _ in range(10):
            part = self.hub.cpu()
            time.sleep(IDLE / 10)
            parts.append(self.hub.cpu() - part)
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

    def restart(self):
        """The program file goes on with everything."""
        self.world.write(range(self.number))
        self.hub.ctl("reload")
        self.spokes.ctl("reload")
        # While something is half done nothing is handed over.
        self.wait_calm()
        self.found["restart"] = float(re.search(r"waited for ([\d.]+) ms", self.hub.ctl("restart")).group(1))

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


def descriptors():
    """How many a daemon may have: enough, if that is allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(hard, 65536)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        most = hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        print(f"No more than {most} descriptors are allowed: the layout hub has no more than half as many tunnels.",
              flush=True)
    return most


def main():
    most = descriptors()
    begin = time.monotonic()
    for layout in LAYOUTS:
        results = {}
        for number in NUMBERS:
            # The spokes have an interface and a socket for each tunnel.
            number = min(number, (most - 200) // 2) if layout == "hub" else number
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
