"""The two daemons, or three, that scale.py measures: their configurations, their namespaces, and pings through the hub."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from kinds import Failure, run

# The longest that is waited for all to be up.
PATIENCE = float(os.environ.get("SCALE_PATIENCE", "120"))
HUB, SPOKES, PROBED, PROBE = "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"
INNER = "203.0.113.1"
L2TPD = os.environ["BENCH_L2TPD"]
L2TPCTL = os.path.join(os.path.dirname(L2TPD), "l2tpctl")


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
        out += probe_tunnel(PROBE, "probe")
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
        return done.stdout

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

    def interfaces(self):
        """The names of its own interfaces."""
        names = [line.split(":")[1].strip() for line in run(["ip", "-n", self.netns, "-o", "link"], 60).splitlines()]
        return [name for name in names if re.fullmatch(r"(s|probe)\d+", name)]

    def wait_interfaces(self, most):
        """Until it has no more interfaces of sessions than this."""
        deadline = time.monotonic() + PATIENCE
        while len([name for name in self.interfaces() if name[0] == "s"]) > most:
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} keeps its interfaces")
            time.sleep(0.2)

    def sweep(self):
        batch = "".join(f"link set {name} group 7\n" for name in self.interfaces())
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
        self.probe.write(head("probe", 3) + probe_tunnel(PROBED, "hub"))
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
