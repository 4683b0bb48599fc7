"""Compares JSON (one object a line, on standard input) with what l2tpd-admin(5) documents.

usage: schema.py PAGE all|some SECTION...    the sections' titles (.Ss) begin with SECTION

Every member must be named in one of the sections, every name of them must be a member (with `all`), and each value must be of
the type that its name stands for. Prints what is wrong; nothing is good.
"""
import json
import sys

# Words of the page that are values and not members.
VALUES = {"idle", "wait-ctl-reply", "wait-ctl-conn", "established", "stopping", "ip", "udp", "null", "wait-reply",
          "wait-connect", "base", "searching", "search-complete", "error", "in-use", "standby", "within-reach", "wait-control-conn", "joined", "out", "missing"}
NUMBER = ("pid uptime since ns nr queued peer_window serial local_cookie_size remote_cookie_size pseudowire_type ago number "
          "tunnels_enabled tunnels_up dropped_from_others count sessions_enabled sessions_up peer_changes transmissions hellos answered loss frames "
          "rx_octets tx_octets rx_frames tx_frames dropped")
NUMBER_OR_NULL = ("local_port remote_port local_tunnel_id remote_tunnel_id next_try local_session_id "
                  "remote_session_id remote_circuit_status remote_mtu mtu local_id remote_id round_trip path_mtu within_reach least average most")
BOOL = ("disabled manual authenticated cisco sublayer_received sublayer_sent sequencing_received sequencing_sent fragments_received fragments_sent "
        "present link_up admin_up done up")
STRING = ("hostname hostname_source router_id_source version time log_level name state check expected received interface remote_end_id level message event "
          "tunnel remote reason remark standing id address what text value meaning advice meaning_ja advice_ja")
STRING_OR_NULL = ("router_id peer local_address remote_address encapsulation remote_hostname remote_router_id remote_vendor "
                  "problem peer_reason interface_problem path_mtu_state local_cookie remote_cookie data_plane why_not_bpf bridge bridge_state")
LIST = "tunnels sessions detail values lines dropped_from history peers addresses"
COUNTERS = "counters drops strays"

problems = []


def documented(page, titles):
    names, inside = set(), False
    for line in open(page, encoding="utf-8"):
        words = line.split()
        if line.startswith((".Ss ", ".Sh ")):
            title = line.split(" ", 1)[1].strip()
            inside = line.startswith(".Ss ") and any(title.startswith(t) for t in titles)
        elif inside and words and "Li" in (words[0].lstrip("."), *words[1:2]):
            start = 1 if words[0] == ".Li" else 2
            names.update(w for w in words[start:] if w not in (",", ")", "(", ".", "Ns", "Pq"))
    return names - VALUES


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fits(name, value, parent):
    if name in COUNTERS.split():
        return isinstance(value, dict) and value != {} and all(type(v) is int and v >= 0 for v in value.values())
    if parent == "per_second":
        return value is None or (is_number(value) and value >= 0)
    if name == "per_second":
        return isinstance(value, dict)
    if name in NUMBER.split():
        return is_number(value) and value >= 0
    if name in NUMBER_OR_NULL.split():
        return value is None or (is_number(value) and value >= 0)
    if name in BOOL.split():
        return isinstance(value, bool)
    if name == "message" and parent == "last_failure":
        return value is None or isinstance(value, str)
    if name == "interface" and parent == "":
        return value is None or isinstance(value, str)
    if name in STRING.split():
        return isinstance(value, str)
    if name in STRING_OR_NULL.split():
        return value is None or isinstance(value, str)
    if name in LIST.split():
        return isinstance(value, list)
    if name == "last_failure":
        return value is None or isinstance(value, dict)
    return False


def walk(value, parent, seen):
    if isinstance(value, list):
        for item in value:
            walk(item, parent, seen)
    elif isinstance(value, dict):
        for name, member in value.items():
            seen.add(name)
            if not fits(name, member, parent):
                problems.append(f"{parent}.{name}: {member!r} is not what its name stands for")
            if name not in COUNTERS.split():
                walk(member, name, seen)


names, seen = documented(sys.argv[1], sys.argv[3:]), set()
lines = sys.stdin.read().splitlines()
if not lines or not names:
    problems.append(f"{len(lines)} lines, {len(names)} names documented")
for line in lines:
    walk(json.loads(line), "", seen)
problems += [f"{name}: not documented" for name in sorted(seen - names)]
if sys.argv[2] == "all":
    problems += [f"{name}: documented, but not there" for name in sorted(names - seen)]
print("\n".join(dict.fromkeys(problems)))
