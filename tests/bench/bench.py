"""Measures l2tpd beside the kernel and other programs, and prints tables of medians. Started by run.sh.

All kinds stand at the same time; the samples of one test are taken from one kind after the other, in reverse order
every other round. Client, server and both daemons share this one machine: the numbers tell how the kinds compare
with each other in this run, not how fast a daemon with a machine of its own is.

Environment: BENCH_ROUNDS (3), BENCH_SECONDS (2: a TCP test; tests with frames take half of it), BENCH_LIMIT (690:
no further sample after so many seconds), and lists of words to leave others out: BENCH_KINDS (veth vxlan ...),
BENCH_WIRES (per-packet virtual), BENCH_SHAPES (direct bridged), BENCH_TESTS (tcp1 tcp8 both 64 1400 mix ping load).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import kinds
from kinds import Failure, run

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = max(1, int(os.environ.get("BENCH_SECONDS", "2")))
LIMIT = float(os.environ.get("BENCH_LIMIT", "690"))
START = time.monotonic()

# A sample is taken again, once, if processes that are not ours used more than this many cores meanwhile. All this
# may take no longer than RETAKES seconds.
FOREIGN = 0.15
RETAKES = 60.0

# A ping that shares the path with a stream of TCP may take so many microseconds.
BESIDE_TCP = 3000

# UDP data of a frame with so many octets, the four of the frame check sequence included up to 64.
SIZES = {"64": "18", "1400": "1358", "mix": "18,558,1358"}
TITLES = {
    "tcp1": ("TCP, 1 stream", "Gbit/s"), "tcp8": ("TCP, 8 streams", "Gbit/s"),
    "both": ("TCP, both directions", "Gbit/s"), "64": ("frames of 64", "1000/s"),
    "1400": ("frames of 1400", "1000/s"), "mix": ("mixed frames", "1000/s"), "ping": ("ping", "us"),
    "load": ("ping beside TCP", "us"),
}
# What is measured on which wire, in which shape.
SECTIONS = [
    ("direct", "per-packet", ["tcp1", "tcp8", "both", "64", "1400", "mix", "ping", "load"]),
    ("direct", "virtual", ["tcp1", "64", "ping"]),
    ("bridged", "per-packet", ["tcp1", "tcp8", "both"]),
    ("bridged", "virtual", ["tcp1"]),
]


def words(name, default):
    chosen = os.environ.get(name, "").replace(",", " ").split()
    for word in chosen:
        if word not in default:
            sys.exit(f"bench: {name}: {word} is none of: {' '.join(default)}")
    return [word for word in default if not chosen or word in chosen]


class Sample:
    """One test's result: the value, and for TCP also the daemons' processor time for each GB."""

    def __init__(self, value, cpu_per_gb=None, lost=0):
        self.value, self.cpu_per_gb, self.lost = value, cpu_per_gb, lost
        self.foreign = 0.0


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control") as file:
        return ["-C", "cubic"] if "cubic" in file.read().split() else []


def tcp(kind, options):
    command = ["ip", "netns", "exec", kind.ends[0], "iperf3", "-c", kinds.INNER[1], "-t", str(SECONDS), "-J"]
    before = kind.cpu()
    for attempt in range(3):
        done = subprocess.run(command + congestion_control() + options, stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS + 20)
        result = json.loads(done.stdout or "{}")
        end = result.get("end", {})
        if "sum_received" in end:
            break
        if attempt == 2:
            raise Failure(f"iperf3: {result.get('error', 'no result')}")
        time.sleep(0.5)  # the server has not done with the test before
    sums = [end[name] for name in ("sum_received", "sum_received_bidir_reverse") if name in end]
    octets = sum(part["bytes"] for part in sums)
    rate = sum(part["bits_per_second"] for part in sums)
    return Sample(rate / 1e9, (kind.cpu() - before) / (octets / 1e9) if octets else None)


def frames(kind, sizes):
    client, server = f"{kinds.INNER[0]}:5201", f"{kinds.INNER[1]}:5200"
    words = ["ip", "netns", "exec", kind.ends[0], kinds.frames_program(), "send", client, server]
    rate, _, lost = run(words + [str(SECONDS / 2), sizes], SECONDS + 20).split()
    return Sample(float(rate) / 1e3, lost=int(lost))


def ping(kind, count=300, interval=0.002):
    text = run(["ip", "netns", "exec", kind.ends[0], "ping", "-n", "-c", str(count), "-i", str(interval),
                kinds.INNER[1]], 30)
    times = [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line]
    return Sample(statistics.median(times) * 1000)


def load(kind):
    """Pings while one stream of TCP fills the path."""
    command = ["ip", "netns", "exec", kind.ends[0], "iperf3", "-c", kinds.INNER[1], "-t", str(SECONDS + 1),
               "--forceflush"]
    stream = subprocess.Popen(command + congestion_control(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        # It reports after a second: it has begun.
        while b"sec" not in (line := stream.stdout.readline()):
            if not line:
                raise Failure("iperf3 has ended before")
        return ping(kind, SECONDS * 50, 0.02)
    finally:
        stream.communicate(timeout=SECONDS + 20)


TESTS = {
    "tcp1": lambda kind: tcp(kind, []), "tcp8": lambda kind: tcp(kind, ["-P", "8"]),
    "both": lambda kind: tcp(kind, ["--bidir"]), "ping": ping, "load": load,
    "64": lambda kind: frames(kind, SIZES["64"]), "1400": lambda kind: frames(kind, SIZES["1400"]),
    "mix": lambda kind: frames(kind, SIZES["mix"]),
}


def foreign_times():
    """Processor time of every process that is neither ours nor the kernel's."""
    times = {}
    ours = str(os.getpid())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if pid != ours and fields[1] not in (ours, "2") and pid != "2":
            times[pid] = int(fields[11]) + int(fields[12])
    return times


class Bench:
    def __init__(self, chosen):
        self.kinds = chosen
        self.samples = {}  # (shape, wire, test, kind) -> samples
        self.retakes = RETAKES
        self.complaints = []
        self.foreign = []
        self.over = False

    def take(self, kind, test):
        """One sample, taken again if something else needed the processor meanwhile."""
        while True:
            before, start = foreign_times(), time.monotonic()
            sample = TESTS[test](kind)
            elapsed, after = time.monotonic() - start, foreign_times()
            used = sum(after[pid] - before.get(pid, 0) for pid in after) / os.sysconf("SC_CLK_TCK")
            sample.foreign = used / elapsed
            if sample.foreign <= FOREIGN or self.retakes < elapsed or self.out_of_time():
                return sample
            self.retakes -= elapsed

    def out_of_time(self):
        self.over = self.over or time.monotonic() - START > LIMIT
        return self.over

    def section(self, shape, wire, tests):
        for kind in self.kinds:
            kind.offloads(wire == "per-packet")
        for number in range(ROUNDS):
            for test in tests:
                for kind in self.kinds[::-1] if number % 2 else self.kinds[:]:
                    if self.out_of_time():
                        return
                    self.one(shape, wire, test, kind)
            print(f"  {time.monotonic() - START:4.0f} s: {shape}, {wire} wire, round {number + 1} of {ROUNDS}",
                  file=sys.stderr, flush=True)

    def one(self, shape, wire, test, kind):
        try:
            sample = self.take(kind, test)
        except (Failure, subprocess.TimeoutExpired, ValueError, KeyError) as error:
            self.complaints.append(f"{kind.name}, {shape}, {wire} wire, {test}: {error}")
            return
        self.foreign.append(sample.foreign)
        self.samples.setdefault((shape, wire, test, kind.name), []).append(sample)

    def median(self, shape, wire, test, kind):
        samples = self.samples.get((shape, wire, test, kind))
        return statistics.median(sample.value for sample in samples) if samples else None

    # Output

    def table(self, shape, wire, tests):
        print(f"\n== {shape}, {wire} wire: median [lowest-highest] of {ROUNDS} rounds, and / VXLAN ==\n")
        # At most three columns beside each other fit a terminal.
        for first in range(0, len(tests), 3):
            columns = tests[first:first + 3]
            heads = [f"{TITLES[test][0]}, {TITLES[test][1]}" for test in columns]
            cpu = ["CPU s/GB"] if "tcp1" in columns and first == 0 else []
            print(f"{'':<11}" + "".join(f"{head:<31}" for head in heads) + "".join(cpu))
            for kind in self.kinds:
                row = f"{kind.name:<11}"
                for test in columns:
                    row += f"{self.cell(shape, wire, test, kind.name):<31}"
                row += self.cpu_cell(shape, wire, kind) if cpu else ""
                print(row.rstrip())
            print()

    def cell(self, shape, wire, test, kind):
        samples = self.samples.get((shape, wire, test, kind), [])
        if not samples:
            return "-"
        values = [sample.value for sample in samples]
        digits = 2 if TITLES[test][1] == "Gbit/s" else 0
        text = f"{statistics.median(values):6.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"
        base = self.median(shape, wire, test, "vxlan")
        text = f"{text:<21} {statistics.median(values) / base:5.2f}" if base else text
        return text + (" !" if any(sample.lost > 1000 for sample in samples) else "")

    def cpu_cell(self, shape, wire, kind):
        samples = self.samples.get((shape, wire, "tcp1", kind.name), [])
        values = [sample.cpu_per_gb for sample in samples if sample.cpu_per_gb is not None]
        return f"{statistics.median(values):8.2f}" if values and kind.daemons else ""

    def targets(self):
        """What the project wants to reach, on the per-packet wire."""
        print("== targets, per-packet wire, this run ==\n")
        peers = [kind.name for kind in self.kinds if kind.peer]

        def best(test):
            return max(filter(None, (self.median("direct", "per-packet", test, peer) for peer in peers)), default=None)

        def target(text, ours, base, wanted, shape, test):
            got = self.median(shape, "per-packet", test, ours)
            if not got or not base:
                print(f"not measured  {text}")
                return
            ratio = got / base
            print(f"{'reached' if ratio >= wanted else 'MISSED':<13} {text}: {ratio:.2f} (wanted >= {wanted})")

        def latency(ours):
            """Not above the best peer's; what lies within the samples of that one is as good as it."""
            found = {peer: self.median("direct", "per-packet", "ping", peer) for peer in peers}
            peer = min((name for name in found if found[name]), key=found.get, default=None)
            got = self.median("direct", "per-packet", "ping", ours)
            if not got or not peer:
                print(f"not measured  ping, {ours} / best peer program")
                return
            worst = max(s.value for s in self.samples[("direct", "per-packet", "ping", peer)])
            word = "reached" if got <= found[peer] else "level" if got <= worst else "MISSED"
            print(f"{word:<13} ping, {ours} / {peer}: {got / found[peer]:.2f} (wanted <= 1.0; "
                  f"{got:.0f} us beside {found[peer]:.0f}, whose samples reach {worst:.0f})")

        def vxlan(test, shape="direct"):
            return self.median(shape, "per-packet", test, "vxlan")

        for ours in ("l2tpd-udp", "l2tpd-udp6"):
            target(f"TCP 1 stream, {ours} / best peer program", ours, best("tcp1"), 5, "direct", "tcp1")
            target(f"TCP 1 stream, {ours} / VXLAN", ours, vxlan("tcp1"), 0.45, "direct", "tcp1")
        for ours in ("l2tpd-ip", "l2tpd-ip6"):
            target(f"TCP 1 stream, {ours} / best peer program", ours, best("tcp1"), 3, "direct", "tcp1")
        target("frames of 64, l2tpd-udp / VXLAN", "l2tpd-udp", vxlan("64"), 1.2, "direct", "64")
        target("mixed frames, l2tpd-udp / VXLAN", "l2tpd-udp", vxlan("mix"), 0.9, "direct", "mix")
        for test in ("tcp1", "tcp8", "both"):
            target(f"bridged, {TITLES[test][0]}, l2tpd-udp / VXLAN", "l2tpd-udp", vxlan(test, "bridged"), 0.45,
                   "bridged", test)
        for test, wanted in (("tcp1", 0.9), ("64", 1.1), ("mix", 1.1)):
            target(f"{TITLES[test][0]}, bpf-udp / VXLAN", "bpf-udp", vxlan(test), wanted, "direct", test)
        userspace = self.median("direct", "per-packet", "tcp1", "l2tpd-ip")
        target("TCP 1 stream, bpf-ip / l2tpd-ip", "bpf-ip", userspace, 1.5, "direct", "tcp1")
        bridged = [self.median("bridged", "per-packet", "tcp1", "l2tpd-udp"), 0.6 * (vxlan("tcp1", "bridged") or 0)]
        target("bridged, TCP 1 stream, bpf-udp / best of l2tpd-udp and 0.6 VXLAN", "bpf-udp", max(filter(None, bridged),
               default=None), 1, "bridged", "tcp1")
        got, base = self.median("direct", "per-packet", "ping", "bpf-udp"), vxlan("ping")
        if got and base:
            print(f"{'reached' if got <= base + 3 else 'MISSED':<13} ping, bpf-udp: {got:.0f} us beside {base:.0f} (wanted "
                  "<= 3 more)")
        for ours in ("l2tpd-udp", "l2tpd-ip"):
            latency(ours)
        for ours in ("l2tpd-udp", "l2tpd-ip"):
            got = self.median("direct", "per-packet", "load", ours)
            if got:
                print(f"{'reached' if got <= BESIDE_TCP else 'MISSED':<13} ping beside TCP, {ours}: {got / 1000:.1f} ms "
                      f"(wanted <= {BESIDE_TCP / 1000:.0f})")
        print()

    def report(self, sections):
        for shape, wire, tests in sections:
            self.table(shape, wire, tests)
        for kind in self.kinds:
            print(f"{kind.name:<11} {kind.what}")
        print("""
l2tpd: cookie of 8 octets, sequence numbers in both directions; inner MTU 1500, outer 1600, no fragments.
per-packet wire: no datagram longer than the MTU crosses the cable (TSO, GSO off; GRO on); virtual wire: veth as it is.
frames: UDP, at most 256 on their way, sent by one program and acknowledged by another; `!`: frames were lost.
CPU s/GB: processor time of both daemons for each GB of TCP, 1 stream. Ping: median of 300; beside TCP: of 50 a second.
""")
        self.targets()
        if self.foreign:
            worst, mean = max(self.foreign), statistics.mean(self.foreign)
            print(f"Other processes used {mean:.2f} cores on average and {worst:.2f} at most during the samples"
                  + (": do not trust these numbers." if mean > FOREIGN else "."))
        if self.over:
            print(f"The limit of {LIMIT:.0f} s was reached: some samples are missing (BENCH_LIMIT).")
        for complaint in self.complaints:
            print(f"FAILED: {complaint}")


def set_up(directory):
    """Starts the kinds that were asked for, as far as their programs are here."""
    started = []
    missing = []
    for name in words("BENCH_KINDS", [kind.name for kind in kinds.ALL]):
        kind = next(kind for kind in kinds.ALL if kind.name == name)(directory)
        absent = [program for program in kind.needs if not shutil.which(program)]
        if absent:
            missing += absent
            continue
        started.append(kind)
        try:
            kind.start()
        except Failure as error:
            print(f"bench: {kind.name} is left out: {error}", file=sys.stderr)
            started.remove(kind)
            kind.stop()
        except BaseException:
            end(started)
            raise
    if missing:
        print(f"bench: left out. They need:  apt-get install --no-install-recommends {' '.join(missing)}",
              file=sys.stderr)
    return started


def end(started):
    for kind in started:
        kind.stop()


def measure():
    shapes, wires = words("BENCH_SHAPES", ["direct", "bridged"]), words("BENCH_WIRES", ["per-packet", "virtual"])
    chosen = words("BENCH_TESTS", list(TESTS))
    sections = [(shape, wire, [test for test in tests if test in chosen]) for shape, wire, tests in SECTIONS
                if shape in shapes and wire in wires]
    sections = [section for section in sections if section[2]]
    with tempfile.TemporaryDirectory(prefix="l2tpd-bench-") as directory:
        started = set_up(directory)
        try:
            bench = Bench(started)
            bridged = False
            for shape, wire, tests in sections:
                if shape == "bridged" and not bridged:
                    bridged = True
                    for kind in started:
                        kind.bridge()
                bench.section(shape, wire, tests)
            bench.report(sections)
        finally:
            end(started)


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    # A signal ends this program in order: through the `finally` above.
    for number in (kinds.signal.SIGTERM, kinds.signal.SIGHUP):
        kinds.signal.signal(number, lambda *_: sys.exit(1))
    try:
        measure()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
