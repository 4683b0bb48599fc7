"""What is measured: each kind is a way to join two hosts, in a pair of network namespaces of its own.

Host a has 10.77.0.1 on the inner interface, host b 10.77.0.2; the cable between them carries 192.0.2.1 and .2
(2001:db8::1 and ::2) and has an MTU of 1600, so that inner frames of 1500 octets need no fragments.
"""

import os
import shutil
import signal
import subprocess
import time

INNER_MTU = 1500
CABLE_MTU = 1600
INNER = ("10.77.0.1", "10.77.0.2")


class Failure(Exception):
    """A kind cannot be set up, or a sample cannot be taken."""


def run(words, timeout=20):
    """Runs a command that must succeed and returns what it wrote."""
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, text=True,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words)}: no end within {timeout} s")
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: {done.stdout}{done.stderr}".strip())
    return done.stdout


def ticks(pid):
    """Processor time of a process so far, in seconds."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Kind:
    """A pair of hosts with a cable. The plain cable is itself the first kind."""

    name = "veth"
    what = "the cable itself"
    # The interface whose offloads make the wire "virtual" or "per packet".
    cable = "wire"
    needs = ()
    # A program like ours, to be compared with.
    peer = False

    def __init__(self, directory):
        base = f"l2b{os.getpid()}-{self.name}"
        self.hosts = (f"{base}a", f"{base}b")
        self.lans = (f"{base}c", f"{base}d")
        self.directory = os.path.join(directory, self.name)
        self.namespaces = []
        self.daemons = []
        self.servers = []

    # Setting up

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        for name in self.hosts:
            self.add_namespace(name)
        a, b = self.hosts
        run(["ip", "-n", a, "link", "add", "wire", "mtu", str(CABLE_MTU), "type", "veth",
             "peer", "name", "wire", "mtu", str(CABLE_MTU), "netns", b])
        for number, name in enumerate(self.hosts, 1):
            self.ip(name, "link set lo up", "link set wire up", f"addr add 192.0.2.{number}/24 dev wire",
                    f"addr add 2001:db8::{number}/64 dev wire nodad")
        self.join()
        for address, name in zip(INNER, self.hosts):
            self.wait_interface(name)
            self.ip(name, f"link set {self.inner} mtu {INNER_MTU}", f"link set {self.inner} up",
                    f"addr add {address}/24 dev {self.inner}")
        self.ends = self.hosts
        self.serve()

    inner = "wire"

    def join(self):
        """Makes the inner interface; the base class has none."""
        for name in self.hosts:
            self.ip(name, f"link set wire mtu {INNER_MTU}")

    def add_namespace(self, name):
        run(["ip", "netns", "add", name])
        self.namespaces.append(name)

    def ip(self, host, *commands):
        for command in commands:
            run(["ip", "-n", host, *command.split()])

    def wait_interface(self, host):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for daemon in self.daemons:
                if daemon.poll() is not None:
                    raise Failure(f"its program ended: {self.log()}")
            if subprocess.run(["ip", "-n", host, "link", "show", self.inner], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.05)
        raise Failure(f"no interface {self.inner}: {self.log()}")

    def log(self):
        """The end of what the daemons wrote."""
        text = ""
        for number in (1, 2):
            path = os.path.join(self.directory, f"log{number}")
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += "".join(file.readlines()[-4:])
        return text.strip()

    def spawn(self, host, words, log=None):
        """Starts a program in a namespace; `ip netns exec` becomes that program, so the pid is its own."""
        output = open(os.path.join(self.directory, log), "w") if log else subprocess.DEVNULL
        return subprocess.Popen(["ip", "netns", "exec", host] + words, stdin=subprocess.DEVNULL, stdout=output,
                                stderr=output, cwd=self.directory)

    def daemon(self, host, words):
        number = self.hosts.index(host) + 1
        self.daemons.append(self.spawn(host, words, f"log{number}"))

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def serve(self):
        """Starts the other half of the tests at host b, and waits until the path carries frames."""
        a, b = self.ends
        deadline = time.monotonic() + 12
        while subprocess.run(["ip", "netns", "exec", a, "ping", "-q", "-c", "1", "-W", "1", INNER[1]],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > deadline:
                raise Failure(f"no ping gets through: {self.log()}")
        self.servers = [
            self.spawn(b, ["iperf3", "-s", "-B", INNER[1]]),
            self.spawn(b, [frames_program(), "serve", f"{INNER[1]}:5200", f"{INNER[0]}:5201"]),
        ]

    # Checksums are finished before the cable, as where no other end of it is the same kernel.
    finished = False

    def offloads(self, per_packet):
        """Per packet: what crosses the cable is never longer than its MTU, as with a plain network card."""
        word = "off" if per_packet else "on"
        for host in self.hosts:
            for feature in ("tso", "gso", "tx-udp-segmentation", "tx-udp_tnl-segmentation",
                            "tx-udp_tnl-csum-segmentation", "tx-gre-segmentation", "tx-gso-partial"):
                subprocess.run(["ip", "netns", "exec", host, "ethtool", "-K", self.cable, feature, word],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self.finished:
                run(["ip", "netns", "exec", host, "ethtool", "-K", self.cable, "tx", word])
            # Receivers coalesce, as network cards' drivers do.
            run(["ip", "netns", "exec", host, "ethtool", "-K", self.cable, "gro", "on"])

    def bridge(self):
        """From now on the inner interface is a port of a bridge, and the tests run in hosts behind that bridge."""
        end_all(self.servers)
        for number, (host, lan) in enumerate(zip(self.hosts, self.lans)):
            self.add_namespace(lan)
            run(["ip", "-n", host, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", lan])
            self.ip(host, "link add br0 type bridge", f"addr del {INNER[number]}/24 dev {self.inner}",
                    f"link set {self.inner} master br0", "link set lan master br0", "link set lan up",
                    "link set br0 up")
            self.ip(lan, "link set lo up", f"link set eth0 mtu {INNER_MTU}", "link set eth0 up",
                    f"addr add {INNER[number]}/24 dev eth0")
        self.ends = self.lans
        self.serve()

    def cpu(self):
        """Processor time of both daemons so far, in seconds."""
        return sum(ticks(daemon.pid) for daemon in self.daemons)

    def stop(self):
        end_all(self.servers)
        end_all(self.daemons)
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def end_all(processes):
    """Ends processes that we started, and waits for them."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    processes.clear()


def frames_program():
    return os.environ["BENCH_FRAMES"]


class Vxlan(Kind):
    name = "vxlan"
    what = "VXLAN of the kernel"
    inner = "vx0"

    def join(self):
        for number, host in enumerate(self.hosts, 1):
            self.ip(host, f"link add vx0 type vxlan id 42 local 192.0.2.{number} remote 192.0.2.{3 - number} "
                          "dstport 4789")


class VxlanFinished(Vxlan):
    name = "vxlan-sum"
    what = "VXLAN of the kernel, checksums finished before the cable"
    finished = True


class OpenVpn(Kind):
    name = "openvpn"
    what = "OpenVPN, tap, no encryption"
    needs = ("openvpn",)
    inner = "tap0"
    peer = True

    def join(self):
        for number, host in enumerate(self.hosts, 1):
            self.daemon(host, [
                shutil.which("openvpn"), "--dev", "tap0", "--dev-type", "tap", "--proto", "udp4", "--port", "1194",
                "--local", f"192.0.2.{number}", "--remote", f"192.0.2.{3 - number}", "--cipher", "none",
                "--auth", "none", "--fast-io", "--mssfix", "0", "--sndbuf", "1048576", "--rcvbuf", "1048576",
                "--verb", "1"])


class Fastd(Kind):
    name = "fastd"
    what = "fastd, null@l2tp"
    needs = ("fastd",)
    inner = "tap0"
    peer = True

    def join(self):
        keys = []
        for _ in self.hosts:
            lines = run(["fastd", "--generate-key"]).split()
            keys.append((lines[lines.index("Secret:") + 1], lines[lines.index("Public:") + 1]))
        for number, host in enumerate(self.hosts, 1):
            config = self.write(f"fastd{number}.conf", f"""
log level warn;
mode tap;
interface "tap0";
method "null@l2tp";
offload l2tp no;
mtu {INNER_MTU};
bind 192.0.2.{number}:10000;
secret "{keys[number - 1][0]}";
peer "other" {{ key "{keys[2 - number][1]}"; remote 192.0.2.{3 - number}:10000; }}
""")
            self.daemon(host, [shutil.which("fastd"), "-c", config])


class Ours(Kind):
    inner = "l2tp0"
    encapsulation = "udp"
    addresses = "192.0.2.{}"
    plane = "tap"
    sequencing = "both"

    def join(self):
        for number, host in enumerate(self.hosts, 1):
            config = self.write(f"{number}.conf", f"""
hostname host{number}
router-id 10.0.0.{number}
restart-interval 1
data-plane {self.plane}
tunnel bench
  local-address {self.addresses.format(number)}
  remote-address {self.addresses.format(3 - number)}
  remote-hostname host{3 - number}
  remote-router-id 10.0.0.{3 - number}
  encapsulation {self.encapsulation}
  session l2tp0
    remote-end-id bench
    cookie 8
    l2-sublayer default
    sequencing {self.sequencing}
    mtu {INNER_MTU}
""")
            self.daemon(host, [os.environ["BENCH_L2TPD"], "-d", "-c", config, "-p", f"{number}.pid",
                               "-s", f"{number}.sock"])


class OursUdp(Ours):
    name = "l2tpd-udp"
    what = "l2tpd over UDP, IPv4"


class OursIp(Ours):
    name = "l2tpd-ip"
    what = "l2tpd over IP (protocol 115), IPv4"
    encapsulation = "ip"


class OursUdp6(OursUdp):
    name = "l2tpd-udp6"
    what = "l2tpd over UDP, IPv6"
    addresses = "2001:db8::{}"


class OursIp6(OursIp):
    name = "l2tpd-ip6"
    what = "l2tpd over IP (protocol 115), IPv6"
    addresses = "2001:db8::{}"


class KernelUdp(OursUdp):
    name = "kernel-udp"
    what = "l2tpd with the kernel's data plane over UDP, IPv4"
    plane = "kernel"


class KernelIp(OursIp):
    name = "kernel-ip"
    what = "l2tpd with the kernel's data plane over IP, IPv4"
    plane = "kernel"


class BpfUdp(OursUdp):
    name = "bpf-udp"
    what = "l2tpd with its programs in the kernel over UDP, IPv4"
    plane = "bpf"
    sequencing = "off"
    finished = True


class BpfIp(BpfUdp):
    name = "bpf-ip"
    what = "l2tpd with its programs in the kernel over IP, IPv4"
    encapsulation = "ip"


class BpfUdp6(BpfUdp):
    name = "bpf-udp6"
    what = "l2tpd with its programs in the kernel over UDP, IPv6"
    addresses = "2001:db8::{}"


class BpfIp6(BpfIp):
    name = "bpf-ip6"
    what = "l2tpd with its programs in the kernel over IP, IPv6"
    addresses = "2001:db8::{}"


ALL = [Kind, Vxlan, VxlanFinished, OpenVpn, Fastd, OursUdp, OursIp, OursUdp6, OursIp6, BpfUdp, BpfIp, BpfUdp6, BpfIp6,
       KernelUdp, KernelIp]
