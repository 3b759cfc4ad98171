# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Turns an nmstate document into NetworkManager keyfiles. Pure: no file, process or clock is touched.

The document's shape is nmstate's (nmstate.io, schema of 2.2); the files' is nm-settings-keyfile(5) of 1.42, whose
names (master, slave-type) every later release still reads. What cannot be expressed is refused, never left out.
"""

from __future__ import annotations

import ipaddress
import re
import uuid

PREFIX = "edpm-"
NAMESPACE = uuid.UUID("8d2ff3e6-4a26-5c0e-9a53-1d6b7f0e5a10")  # Fixed for ever: profiles are found again by it.
TYPES = {"ethernet": "ethernet", "veth": "ethernet", "bond": "bond", "vlan": "vlan", "linux-bridge": "bridge"}
NEEDS_NMSTATE = "needs nmstatectl on the node, as NetworkManager alone cannot build it: install nmstate or leave it out"
MAX_NAME = 15  # IFNAMSIZ of the kernel, less the final zero.
MAC = re.compile(r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5,19}$")
INTERFACE_KEYS = {"name", "type", "state", "identifier", "mac-address", "mtu", "description", "profile-name", "ipv4",
                  "ipv6", "link-aggregation", "vlan", "bridge", "controller"}
IP_KEYS = {"enabled", "dhcp", "autoconf", "address", "auto-dns", "auto-routes", "auto-gateway"}
ROUTE_KEYS = {"destination", "next-hop-address", "next-hop-interface", "metric", "table-id", "state"}


BOND_NUMBERS = {("all_slaves_active", "dropped"): 0, ("all_slaves_active", "delivered"): 1}  # Words of nmstate that NetworkManager has as numbers.
DNS_FIRST, DNS_SECOND = 40, 50  # The priorities that nmstate gives: the lower one is asked first.


class Refused(Exception):
    """One line that names the part of the document, the cause and the remedy."""


class Profile:
    """One interface of the document as a NetworkManager profile."""

    def __init__(self, interface):
        self.name = interface["name"]
        self.kind = interface.get("type", "ethernet")
        self.mac = str(interface.get("mac-address") or "").upper()
        # A card is known by its MAC wherever the document gives one and does not say otherwise: names differ between what
        # inspected the host and what runs on it, and taking the name for certain could give one card another's MAC.
        self.by_mac = bool(self.mac) and TYPES[self.kind] == "ethernet" and interface.get("identifier") != "name"
        self.mtu = interface.get("mtu")
        self.controller = interface.get("controller") or None
        self.controller_kind = None
        self.absent = interface.get("state", "up") == "absent"
        self.down = interface.get("state", "up") == "down"
        self.id = PREFIX + self.name
        self.uuid = str(uuid.uuid5(NAMESPACE, self.name))
        self.sections = []
        self.addresses = []
        self.routes = []
        vlan = interface.get("vlan") if self.kind == "vlan" else None
        self.vlan = (vlan.get("base-iface"), vlan.get("id")) if isinstance(vlan, dict) else None

    def file_name(self):
        """Return the keyfile's name."""
        return self.id + ".nmconnection"

    def text(self):
        """Return the keyfile's text."""
        blocks = []
        for title, pairs in self.sections:
            blocks.append(f"[{title}]\n" + "".join(f"{key}={value}\n" for key, value in pairs))
        return "# Written by osp.edpm.edpm_nmstate; changes made here are undone.\n" + "\n".join(blocks)


def profiles(document):
    """Return the document's profiles, controllers before ports, VLANs last; raise Refused."""
    _known("document", document, {"interfaces", "routes", "dns-resolver"})
    interfaces = document.get("interfaces") or []
    if not interfaces:
        raise Refused("edpm_network_config_nmstate has no interfaces: give at least the one with the control-plane address")
    found = {}
    for interface in interfaces:
        _check(interface)
        if interface["name"] in found:
            raise Refused(f"interfaces[{interface['name']}] is given twice: merge the two")
        found[interface["name"]] = Profile(interface)
    by_name = {interface["name"]: interface for interface in interfaces}
    for name, interface in by_name.items():
        _attach_ports(found, name, interface)
    live = {name: profile for name, profile in found.items() if not profile.absent}
    routes = _routes(document, live)
    dns = _dns(document, by_name, live, routes)
    for name, profile in live.items():
        _fill(profile, by_name[name], found, routes.get(name, []), dns.get(name, {}))
    return sorted(found.values(), key=_order)


def _order(profile):
    rank = 2 if profile.kind == "vlan" else 1 if profile.controller else 0
    return rank, profile.name


def _known(where, mapping, keys):
    if not isinstance(mapping, dict):
        raise Refused(f"{where} is no mapping: correct edpm_network_config_nmstate")
    for key in sorted(set(mapping) - keys):
        raise Refused(f"{where}.{key} {NEEDS_NMSTATE}")


def _check(interface):
    if not isinstance(interface, dict) or not interface.get("name"):
        raise Refused("an entry of interfaces has no name: give each interface its name")
    where = f"interfaces[{interface['name']}]"
    if interface.get("type", "ethernet") not in TYPES:
        raise Refused(f"{where}: type {interface['type']} {NEEDS_NMSTATE}")
    _known(where, interface, INTERFACE_KEYS)
    if interface.get("state", "up") not in ("up", "down", "absent"):
        raise Refused(f"{where}.state {interface['state']!r} is not known: use up, down or absent")
    if interface.get("identifier", "name") not in ("name", "mac-address"):
        raise Refused(f"{where}.identifier {interface['identifier']!r} is not known: use name or mac-address")
    if interface.get("mac-address") and not MAC.match(str(interface["mac-address"])):
        raise Refused(f"{where}.mac-address {interface['mac-address']!r} is no MAC address: correct it, and put one of digits alone in quotes, "
                      "which YAML takes for a number")
    if interface.get("identifier") == "mac-address" and not interface.get("mac-address"):
        raise Refused(f"{where}.mac-address is missing: identifier mac-address needs it")
    name = str(interface["name"])
    if len(name) > MAX_NAME or "/" in name or any(character.isspace() for character in name):
        raise Refused(f"{where}.name is no interface name: it must have at most {MAX_NAME} characters and hold neither slashes nor blanks")


def _attach_ports(found, name, interface):
    kind = interface.get("type", "ethernet")
    if kind == "bond":
        ports = interface.get("link-aggregation", {}).get("port") or []
    elif kind == "linux-bridge":
        ports = [port["name"] for port in interface.get("bridge", {}).get("port") or []]
    else:
        return
    for port in ports:
        if port not in found:
            raise Refused(f"interfaces[{name}]: port {port} is not among the interfaces: describe it too")
        if found[port].controller not in (None, name):
            raise Refused(f"interfaces[{port}] is a port of {found[port].controller} and of {name}: keep one")
        found[port].controller = name
        found[port].controller_kind = TYPES[kind]


def _routes(document, live):
    by_interface = {}
    section = document.get("routes") or {}
    _known("routes", section, {"config", "running"})
    for index, route in enumerate(section.get("config") or []):
        where = f"routes.config[{index}]"
        _known(where, route, ROUTE_KEYS)
        if route.get("state") == "absent":
            continue  # Profiles hold the wanted routes only, so one that is not named goes with its profile.
        name = route.get("next-hop-interface")
        if name not in live:
            raise Refused(f"{where}.next-hop-interface {name!r} is not among the interfaces: correct it")
        try:
            ipaddress.ip_network(str(route.get("destination")), strict=False)
        except ValueError as error:
            raise Refused(f"{where}.destination {route.get('destination')!r} is no network: correct it") from error
        by_interface.setdefault(name, []).append(route)
    return by_interface


def _dns(document, by_name, live, routes):
    """Give servers and search domains to one interface per family: that with the default route, else the first with addresses.

    Domains without servers go to one family alone. The family of the first server is asked first, as with nmstate.
    """
    section = document.get("dns-resolver") or {}
    _known("dns-resolver", section, {"config", "running"})
    config = section.get("config") or {}
    _known("dns-resolver.config", config, {"server", "search"})
    servers, search = config.get("server") or [], config.get("search") or []
    if not servers and not search:
        return {}
    order = [_version(server) for server in servers]
    families = [version for version in (4, 6) if version in order]
    if not families:
        families = [version for version in (4, 6) if _dns_interface(version, by_name, live, routes)][:1]
        if not families:
            raise Refused("dns-resolver.config.search is given, but no interface has addresses, over which names could be asked for: leave it out")
    result = {}
    for version in families:
        mine = [str(server) for server in servers if _version(server) == version]
        name = _dns_interface(version, by_name, live, routes)
        if name is None:
            raise Refused(f"dns-resolver: no interface has IPv{version}, over which {', '.join(mine)} could be asked: correct the servers")
        priority = DNS_FIRST if not order or order[0] == version else DNS_SECOND
        result.setdefault(name, {})[version] = (mine, [str(domain) for domain in search], priority)
    return result


def _dns_interface(version, by_name, live, routes):
    everything = ("0.0.0.0/0", "::/0")[version == 6]
    for name in sorted(live):
        if any(route["destination"] == everything for route in routes.get(name, [])):
            return name
    enabled = [name for name in sorted(live) if (by_name[name].get(f"ipv{version}") or {}).get("enabled")]
    return enabled[0] if enabled else None


def _version(server):
    try:
        return ipaddress.ip_address(str(server).partition("%")[0]).version
    except ValueError as error:
        raise Refused(f"dns-resolver.config.server {server!r} is no address: correct it") from error


def _fill(profile, interface, found, routes, dns):
    profile.sections.append(("connection", _connection(profile)))
    kind = TYPES[profile.kind]
    link = _link(profile)
    if link:
        profile.sections.append(("ethernet", link))
    if kind == "bond":
        profile.sections.append(("bond", _bond(interface)))
    elif kind == "vlan":
        profile.sections.append(("vlan", _vlan(interface, found)))
    elif kind == "bridge":
        profile.sections.append(("bridge", _bridge(interface)))
    if profile.controller:
        for family in ("ipv4", "ipv6"):
            if (interface.get(family) or {}).get("enabled"):
                raise Refused(f"interfaces[{profile.name}].{family}: a port of {profile.controller} has no addresses: move them there")
        return
    for version in (4, 6):
        profile.sections.append((f"ipv{version}", _ip(profile, interface, version, routes, dns.get(version))))


def _connection(profile):
    pairs = [("id", profile.id), ("uuid", profile.uuid), ("type", TYPES[profile.kind])]
    if not profile.by_mac:
        pairs.append(("interface-name", profile.name))
    # Ours must win over any other profile of the device at the next boot, such as the one the image came with.
    pairs.append(("autoconnect-priority", "100"))
    if profile.down:
        pairs.append(("autoconnect", "false"))
    if profile.kind in ("bond", "linux-bridge"):
        pairs.append(("autoconnect-slaves", "1"))
    if profile.controller:
        pairs += [("master", profile.controller), ("slave-type", profile.controller_kind)]
    return pairs


def _link(profile):
    pairs = []
    if profile.mac:
        key = "mac-address" if profile.by_mac else "cloned-mac-address"
        pairs.append((key, profile.mac))
    if profile.mtu:
        pairs.append(("mtu", int(profile.mtu)))
    return pairs


def _bond(interface):
    where = f"interfaces[{interface['name']}].link-aggregation"
    section = interface.get("link-aggregation") or {}
    _known(where, section, {"mode", "options", "port"})
    if not section.get("mode"):
        raise Refused(f"{where}.mode is missing: set it, for example 802.3ad or active-backup")
    options = sorted((section.get("options") or {}).items())
    return [("mode", section["mode"])] + [(key, _plain(BOND_NUMBERS.get((key, value) if isinstance(value, str) else None, value))) for key, value in options]


def _vlan(interface, found):
    where = f"interfaces[{interface['name']}].vlan"
    section = interface.get("vlan") or {}
    _known(where, section, {"base-iface", "id"})
    base, tag = section.get("base-iface"), section.get("id")
    if not base or not isinstance(tag, int) or not 1 <= tag <= 4094:
        raise Refused(f"{where} needs base-iface and an id from 1 to 4094: correct it")
    parent = found.get(base)
    return [("id", tag), ("parent", parent.uuid if parent is not None and parent.by_mac else base)]


def _bridge(interface):
    where = f"interfaces[{interface['name']}].bridge"
    section = interface.get("bridge") or {}
    _known(where, section, {"options", "port"})
    for port in section.get("port") or []:
        _known(f"{where}.port[{port.get('name')}]", port, {"name"})
    options = section.get("options") or {}
    _known(f"{where}.options", options, {"stp"})
    return [("stp", "true" if (options.get("stp") or {}).get("enabled") else "false")]


def _ip(profile, interface, version, routes, dns):
    where = f"interfaces[{profile.name}].ipv{version}"
    section = interface.get(f"ipv{version}") or {}
    _known(where, section, IP_KEYS)
    routes = [route for route in routes if ipaddress.ip_network(str(route["destination"]), strict=False).version == version]
    if not section.get("enabled"):
        if routes or dns:
            raise Refused(f"{where} is not enabled, but has routes or DNS servers: enable it")
        return [("method", "disabled")]
    addresses = [_address(where, entry, version) for entry in section.get("address") or []]
    automatic = bool(section.get("dhcp") or section.get("autoconf"))
    if version == 4 and not automatic and not addresses:
        raise Refused(f"{where} is enabled without addresses and without dhcp: give one or disable it")
    learns = "dhcp" if version == 6 and not section.get("autoconf") else "auto"
    pairs = [("method", learns if automatic else "manual" if addresses else "link-local")]
    pairs += [(f"address{number}", text) for number, text in enumerate(addresses, 1)]
    profile.addresses += addresses
    for number, route in enumerate(routes, 1):
        pairs += _route(number, route)
        profile.routes.append(route)
    if dns:
        servers, search, priority = dns
        pairs += [("dns", ";".join(servers) + ";")] if servers else []
        pairs += [("dns-search", ";".join(search) + ";")] if search else []
        pairs += [("dns-priority", str(priority))] if servers else []
    for key, setting in (("auto-dns", "ignore-auto-dns"), ("auto-routes", "ignore-auto-routes"), ("auto-gateway", "never-default")):
        if section.get(key) is False:
            pairs.append((setting, "true"))
    return pairs


def _address(where, entry, version):
    try:
        address = ipaddress.ip_interface(f"{entry['ip']}/{entry['prefix-length']}")
    except (KeyError, ValueError, TypeError) as error:
        raise Refused(f"{where}.address {entry!r} needs ip and prefix-length: correct it") from error
    if address.version != version:
        raise Refused(f"{where}.address {entry['ip']} is not of IPv{version}: move it")
    return f"{address.ip}/{address.network.prefixlen}"


def _route(number, route):
    parts = [str(route["destination"]), str(route.get("next-hop-address") or "")]
    if route.get("metric") not in (None, -1):
        parts.append(str(route["metric"]))
    pairs = [(f"route{number}", ",".join(parts).rstrip(","))]
    if route.get("table-id") not in (None, 0, 254):
        pairs.append((f"route{number}_options", f"table={route['table-id']}"))
    return pairs


def _plain(value):
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return str(int(value)) if isinstance(value, bool) else str(value)
