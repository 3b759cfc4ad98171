"""Tells what a node is like, as one line of JSON; see Facts of the Go package adoption for its form.

Changes nothing: files are opened for reading, systemd and the package database are asked by the user nobody, and Open
vSwitch and OVN through their sockets, in methods that only read. No library call here starts a daemon. Runs on Python 3.9.
"""

import configparser
import ctypes
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

QUESTION = json.loads(r"""@QUESTION@""")
CLOUD = re.compile(r"nova|neutron|ovn|openvswitch|libvirt|qemu|ceilometer")
NOVA_FILES = (
    "/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",
    "/etc/kolla/nova-compute/nova.conf",
    "/var/lib/openstack/config/nova/*.conf",
    "/etc/nova/nova.conf",
    "/etc/nova/nova-compute.conf",
    "/etc/nova/nova.conf.d/*.conf",
)
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised

unread = {}


def look(finding, default, function):
    """What the function finds, or the default with a word on what kept it from looking."""
    try:
        return function()
    except Exception as error:  # whatever it is, the other findings are still told
        unread[finding] = f"{type(error).__name__}: {error}"[:200]
        return default


def text(path, limit=1 << 20):
    """The file's content; empty when there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        return ""


def run(*command):
    """What a command prints, run by nobody."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10, check=True,
        cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, **nobody,
    )
    return done.stdout.decode(errors="replace")


def rpc(path, method, params):
    """The result of one JSON-RPC request to a daemon of Open vSwitch or OVN (RFC 7047); None when nobody listens."""
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.settimeout(5)
        try:
            daemon.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        daemon.sendall(json.dumps({"id": 1, "method": method, "params": params}).encode())
        answer = b""
        while len(answer) < 1 << 22:
            part = daemon.recv(1 << 16)
            if not part:
                break
            answer += part
            try:
                reply = json.loads(answer)
            except ValueError:
                continue
            if reply.get("error"):
                raise OSError(f"{method}: {reply['error']}")
            return reply["result"]
    raise OSError(f"{method}: no whole answer")


def system():
    fields = {}
    for line in text("/etc/os-release").splitlines():
        name, found, value = line.partition("=")
        if found:
            fields[name] = value.strip().strip("\"'")
    return {
        "id": fields.get("ID", "unknown"), "like": fields.get("ID_LIKE", "").split(),
        "version": fields.get("VERSION_ID", ""), "name": fields.get("PRETTY_NAME", ""),
    }


def kernel():
    images = glob.glob("/boot/vmlinuz-*")
    installed = {os.path.basename(image).split("-", 1)[1] for image in images}
    installed.update(image.split("/")[-2] for image in glob.glob("/lib/modules/*/vmlinuz"))
    return {
        "running": os.uname().release, "architecture": os.uname().machine, "installed": sorted(installed),
        "arguments": text("/proc/cmdline").split(), "kvm": os.path.exists("/dev/kvm"),
    }


def packages():
    if os.path.exists("/var/lib/dpkg/status"):
        rows = run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Status}\n")
    else:
        rows = run("rpm", "-qa", "--queryformat", "%{NAME}\t%{VERSION}-%{RELEASE}\tinstalled\n")
    found = []
    for row in rows.splitlines():
        name, version, state = row.split("\t")
        if state.startswith("triggers-"):
            state = "installed"
        if state not in ("config-files", "not-installed") and (state != "installed" or CLOUD.search(name)):
            found.append({"name": name, "version": version, "state": state})
    return found


def units():
    enabled = {}
    for row in run("systemctl", "list-unit-files", "--type=service", "--no-legend", "--no-pager", "--plain").splitlines():
        fields = row.split()
        if len(fields) > 1:
            enabled[fields[0]] = fields[1]
    active = dict.fromkeys(enabled, "inactive")
    for row in run("systemctl", "list-units", "--all", "--type=service", "--no-legend", "--no-pager", "--plain").splitlines():
        fields = row.split()
        if len(fields) > 3 and fields[1] != "not-found":
            active[fields[0]] = fields[2]
    return [{"name": name, "active": state, "enabled": enabled.get(name, "")} for name, state in sorted(active.items())]


def commands():
    """The arguments of every process."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                arguments = file.read(1 << 16).decode(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        if arguments[0]:
            yield arguments


def guests():
    found = []
    for arguments in commands():
        if not os.path.basename(arguments[0]).startswith(("qemu-system-", "qemu-kvm")):
            continue
        options = dict(zip(arguments[1:], arguments[2:]))
        name = options.get("-name", "unnamed")
        found.append({"name": name.split(",")[0].removeprefix("guest="), "uuid": options.get("-uuid", "")})
    return found


def elements(value):
    """The members of a set as OVSDB writes it."""
    return value[1] if isinstance(value, list) and value[:1] == ["set"] else [value]


def open_vswitch():
    def select(table, *columns):
        return {"op": "select", "table": table, "where": [], "columns": list(columns)}

    answer = rpc("/run/openvswitch/db.sock", "transact", [
        "Open_vSwitch", select("Open_vSwitch", "external_ids"), select("Manager", "target"),
        select("Bridge", "name", "controller"), select("Controller", "_uuid", "target"),
    ])
    if answer is None:
        return {"running": False, "externalIDs": {}, "managers": [], "bridges": []}
    root, managers, bridges, controllers = (table["rows"] for table in answer)
    targets = {row["_uuid"][1]: row["target"] for row in controllers}
    return {
        "running": True,
        "externalIDs": dict(root[0]["external_ids"][1]) if root else {},
        "managers": [row["target"] for row in managers],
        "bridges": [
            {"name": row["name"], "controllers": [targets.get(uuid[1], "?") for uuid in elements(row["controller"])]}
            for row in bridges
        ],
    }


def ovn():
    for path in sorted(glob.glob("/run/ovn/ovn-controller.*.ctl")):
        status = rpc(path, "connection-status", [])
        if status is not None:
            return {"running": True, "connection": status.strip()}
    return {"running": False, "connection": ""}


def containers():
    found = []
    alive = " ".join(" ".join(arguments) for arguments in commands() if os.path.basename(arguments[0]) == "conmon")
    for path in glob.glob("/var/lib/containers/storage/*-containers/containers.json"):
        for one in json.loads(text(path, 1 << 24) or "[]"):
            names = one.get("names") or [one["id"]]
            found.append({"name": names[0], "runtime": "podman", "running": one["id"] in alive})
    for path in glob.glob("/var/lib/docker/containers/*/config.v2.json"):
        one = json.loads(text(path, 1 << 24))
        found.append({"name": one["Name"].lstrip("/"), "runtime": "docker", "running": bool(one["State"]["Running"])})
    return found


def disks():
    found = []
    for path in ("/", "/var", "/var/lib/nova"):
        there = path
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        space = os.statvfs(there)
        found.append({
            "path": path, "device": os.stat(there).st_dev, "freeBytes": space.f_bavail * space.f_frsize,
            "readOnly": bool(space.f_flag & os.ST_RDONLY),
        })
    return found


def synchronised():
    """Whether the kernel's clock is; None where it may not be asked."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # modes 0 only reads
    return None if state < 0 else state != TIME_ERROR


def buses(url):
    """The host:port of a transport_url, without whoever logs in; parts that may be a piece of a password are left out."""
    rest = url.partition("://")[2]
    parts = [part for part in rest.split(",") if "@" in part or "@" not in rest]
    hosts = [re.split("[/?]", part.rpartition("@")[2])[0] for part in parts]
    return sorted(host if re.search(r":\d+$", host) else host + ":5672" for host in hosts if host)


def nova():
    """The host name and the message bus of whatever nova.conf there is."""
    options = {}
    for pattern in NOVA_FILES:
        for path in sorted(glob.glob(pattern)):
            parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True, default_section="")
            parser.read_string(text(path))
            if parser.has_section("DEFAULT"):
                options.update(parser["DEFAULT"])
    return options.get("host") or "", buses(options.get("transport_url") or "")


def identity():
    name = socket.gethostname()
    try:
        fqdn = run("hostname", "-f").strip() or name
    except (OSError, subprocess.SubprocessError):
        fqdn = name
    try:
        host, transport = nova()
    except configparser.Error as error:
        raise ValueError("nova.conf: " + str(error).splitlines()[0]) from None
    return {
        "hostName": name, "fqdn": fqdn, "machineID": text("/etc/machine-id").strip(),
        "systemID": text("/etc/openvswitch/system-id.conf").strip(), "novaHost": host, "transport": transport,
    }


def addresses():
    links = json.loads(run("ip", "-j", "address", "show"))
    return sorted({one["local"] for link in links for one in link.get("addr_info", []) if "local" in one})


def record():
    """The names that the service bootstrap has given the node: the first thing it writes is its block in /etc/hosts."""
    block = text("/etc/hosts").partition("# BEGIN osp.edpm")[2].partition("# END osp.edpm")[0]
    names = {name for line in block.splitlines()[1:] for name in line.split()[1:]}
    return sorted(names - {"localhost"})


def connect(address, results):
    place = re.fullmatch(r"(.+):(\d{1,5})", address)
    if place is None:
        results[address] = "not an address with a port"
        return
    host, port = place.groups()
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=4).close()
        results[address] = ""
    except socket.gaierror:
        results[address] = "the name is not known on the node"
    except ConnectionRefusedError:
        results[address] = "connection refused"
    except TimeoutError:
        results[address] = "no answer"
    except OSError as error:
        results[address] = error.strerror or str(error)


def endpoints():
    results = dict.fromkeys(QUESTION["connect"], "no answer")
    tries = [threading.Thread(target=connect, args=(address, results), daemon=True) for address in list(results)]
    for one in tries:
        one.start()
    deadline = time.monotonic() + 8
    for one in tries:
        one.join(max(0, deadline - time.monotonic()))
    return dict(results)


def main():
    signal.alarm(40)  # whatever hangs, nothing is left behind
    facts = {
        "endpoints": look("Endpoints", {}, endpoints),
        "os": look("OperatingSystem", {"id": "unknown", "like": [], "version": "", "name": ""}, system),
        "kernel": kernel(),
        "packages": look("Packages", [], packages),
        "units": look("Services", [], units),
        "guests": look("RunningVMs", [], guests),
        "ovs": look("OpenVSwitch", {"running": False, "externalIDs": {}, "managers": [], "bridges": []}, open_vswitch),
        "ovn": look("OVN", {"running": False, "connection": ""}, ovn),
        "containers": look("Containers", [], containers),
        "disks": look("Disk", [], disks),
        "identity": look("Identity", {
            "hostName": socket.gethostname(), "fqdn": "", "machineID": "", "systemID": "", "novaHost": "", "transport": [],
        }, identity),
        "addresses": look("RunningVMs", [], addresses),
        "record": look("Identity", [], record),
        "unread": unread,
        "clock": {"synchronised": look("Time", None, synchronised), "unix": int(time.time() * 1000)},
    }
    print(json.dumps(facts))
    sys.stdout.flush()


main()
