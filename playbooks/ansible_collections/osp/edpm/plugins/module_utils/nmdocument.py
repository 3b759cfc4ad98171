# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""An nmstate document against what nmstatectl shows of a node. Pure: no file, process or clock is touched.

nmstatectl changes what a document names and leaves everything else; a document is the node's whole network here, as it is for
the keyfiles. So what it no longer names is named as absent. Shapes are nmstate's (nmstate.io, schema of 2.2).
"""

from __future__ import annotations

import copy
import ipaddress

from ansible_collections.osp.edpm.plugins.module_utils.nmkeyfile import MAC, MAX_NAME, Refused

KINDS = {"ethernet", "veth", "bond", "vlan", "linux-bridge", "dummy", "loopback", "vrf", "vxlan", "mac-vlan", "mac-vtap", "infiniband", "ipvlan",
         "macsec", "hsr", "ovs-bridge", "ovs-interface"}
CONTROLLERS = ("bond", "linux-bridge", "ovs-bridge", "vrf")
MADE = ("vlan", "dummy", "vxlan", "mac-vlan", "mac-vtap", "ipvlan", "macsec", "hsr") + CONTROLLERS  # What is no hardware, and can go.
CARDS_WITHOUT_PROFILE = (("ethernet", "ignore"), ("ethernet", "down"))


def identified(document):
    """Return the document with every card that has a MAC found by it: nmstate would set a bare one on whatever card bears the name."""
    document = copy.deepcopy(document)
    for interface in document.get("interfaces") or []:
        if isinstance(interface, dict) and interface.get("mac-address") and interface.get("type", "ethernet") == "ethernet":
            interface.setdefault("identifier", "mac-address")
    return document


def check(document):
    """Raise Refused for what nmstatectl lets through and the kernel does not take."""
    seen = set()
    for interface in document.get("interfaces") or []:
        if not isinstance(interface, dict) or not interface.get("name"):
            raise Refused("an entry of interfaces has no name: give each interface its name")
        name, kind = str(interface["name"]), interface.get("type", "ethernet")
        where = f"interfaces[{name}]"
        if kind not in KINDS:
            raise Refused(f"{where}.type {kind!r} is not known: correct it")
        if len(name) > MAX_NAME or "/" in name or any(character.isspace() for character in name):
            raise Refused(f"{where}.name is no interface name: it must have at most {MAX_NAME} characters and hold neither slashes nor blanks")
        if (name, kind) in seen:
            raise Refused(f"{where} is given twice: merge the two")
        seen.add((name, kind))
        if interface.get("mac-address") and not MAC.match(str(interface["mac-address"])):
            raise Refused(f"{where}.mac-address {interface['mac-address']!r} is no MAC address: correct it, and put one of digits alone in quotes, "
                          "which YAML takes for a number")
        tag = (interface.get("vlan") or {}).get("id") if kind == "vlan" else 1
        if interface.get("state", "up") == "up" and (not isinstance(tag, int) or not 1 <= tag <= 4094):
            raise Refused(f"{where}.vlan.id {tag!r} is no tag: give one from 1 to 4094")


def resolved(document, shown):
    """Return the document as the node would show it: cards that are known by MAC under the names they bear there."""
    document, names = copy.deepcopy(document), {}
    for interface in document.get("interfaces") or []:
        if interface.get("identifier") != "mac-address":
            continue
        card = _card(str(interface.get("mac-address")), shown)
        if card is not None:
            names[interface["name"]] = card["name"]
            del interface["identifier"], interface["mac-address"]  # A port of a bond shows the bond's.
    for interface in document.get("interfaces") or []:
        _rename(interface, names)
    for route in (document.get("routes") or {}).get("config") or []:
        if route.get("next-hop-interface") in names:
            route["next-hop-interface"] = names[route["next-hop-interface"]]
    return document


def _card(mac, shown):
    for key in ("permanent-mac-address", "mac-address"):
        for one in shown.get("interfaces") or []:
            if one.get("type") == "ethernet" and str(one.get(key) or "").lower() == mac.lower():
                return one
    return None


def _rename(interface, names):
    interface["name"] = names.get(interface["name"], interface["name"])
    if interface.get("vlan"):
        base = interface["vlan"].get("base-iface")
        interface["vlan"]["base-iface"] = names.get(base, base)
    for key in ("link-aggregation", "vrf"):
        if (interface.get(key) or {}).get("port"):
            interface[key]["port"] = [names.get(port, port) for port in interface[key]["port"]]
    # nmstate is told to leave OVN's patch ports alone, and does not show that it was.
    (interface.get("bridge") or {}).pop("allow-extra-patch-ports", None)
    for port in (interface.get("bridge") or {}).get("port") or []:
        port["name"] = names.get(port["name"], port["name"])
        for one in (port.get("link-aggregation") or {}).get("port") or []:
            one["name"] = names.get(one["name"], one["name"])


def ports(interface):
    """Return the names of the interfaces that another one has as ports."""
    names = [port for key in ("link-aggregation", "vrf") for port in (interface.get(key) or {}).get("port") or []]
    for port in (interface.get("bridge") or {}).get("port") or []:
        names += [port["name"]] + [one["name"] for one in (port.get("link-aggregation") or {}).get("port") or []]
    return names


def as_wanted(document, shown):
    """Report whether the node shows all that a resolved document says, and no more where a list is a whole one."""
    if not subset(document, shown):
        return False
    by_key = {(one.get("name"), one.get("type")): one for one in shown.get("interfaces") or []}
    for interface in document.get("interfaces") or []:
        seen = by_key.get((interface["name"], interface.get("type", "ethernet"))) or {}
        if interface.get("state", "up") != "up":
            continue
        if any(_more_addresses(interface.get(family), seen.get(family)) for family in ("ipv4", "ipv6")):
            return False
        if interface.get("type") in ("bond", "linux-bridge") and set(ports(interface)) != set(ports(seen)):
            return False
    wanted = (document.get("dns-resolver") or {}).get("config")
    if wanted is None:
        return True
    have = (shown.get("dns-resolver") or {}).get("config") or {}
    return all([str(one) for one in wanted.get(key) or []] == [str(one) for one in have.get(key) or []] for key in ("server", "search"))


def _more_addresses(wanted, seen):
    """Report whether static addresses are there that are not wanted; the kernel's link-local ones and learnt ones do not count."""
    if not wanted or not wanted.get("enabled"):
        return False
    mine = {(ipaddress.ip_address(one["ip"]), one["prefix-length"]) for one in wanted.get("address") or []}
    there = {(ipaddress.ip_address(one["ip"]), one["prefix-length"]) for one in (seen or {}).get("address") or [] if "valid-life-time" not in one}
    return any(not address.is_link_local for address, _length in there - mine)


def leftovers(document, shown, before):
    """Return (interfaces, routes) as absent that a resolved document no longer has.

    VLANs on its interfaces and whatever holds one of them as a port belong to the document, and so does what was made for
    an earlier one (before: pairs of type and name).
    """
    wanted = {interface["name"] for interface in document.get("interfaces") or []}
    held = {port for interface in document.get("interfaces") or [] for port in ports(interface)}
    gone = {}
    todo = [one for one in shown.get("interfaces") or [] if one.get("name") not in wanted and one.get("type") in MADE and one.get("state") == "up"]
    for _again in todo:  # A VLAN may lie on a bond that goes.
        for one in todo:
            on = (one.get("vlan") or {}).get("base-iface")
            mine = (one.get("type") in CONTROLLERS and wanted & set(ports(one)) - held) or (one["type"], one["name"]) in before
            if on in wanted or on in gone or mine:
                gone[one["name"]] = {"name": one["name"], "type": one["type"], "state": "absent"}
    keep = (document.get("routes") or {}).get("config") or []
    routes = [{**{key: route[key] for key in ("destination", "next-hop-interface", "next-hop-address", "table-id", "metric") if key in route}, "state": "absent"}
              for route in (shown.get("routes") or {}).get("config") or []
              if route.get("next-hop-interface") in wanted and not any(subset(one, route) for one in keep)]
    return [gone[name] for name in sorted(gone)], routes


def made(document):
    """Return the sorted (type, name) pairs of a document's interfaces that are no hardware."""
    return sorted((interface["type"], interface["name"]) for interface in document.get("interfaces") or []
                  if interface.get("type") in MADE and interface.get("state", "up") == "up")


def subset(wanted, seen):
    """Report whether seen holds all that wanted says; nmstate's lists of named things are compared by name."""
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and all(subset(value, seen.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(seen, list) and all(_is_gone(one, seen) if _is_absent(one) else any(subset(one, other) for other in seen)
                                              for one in wanted)
    return wanted == seen or str(wanted).lower() == str(seen).lower()


def _is_absent(one):
    return isinstance(one, dict) and one.get("state") == "absent"


def _is_gone(one, seen):
    """Report whether nothing there is as the rest says. A card stays, but nmstate shows it as ignored or down when it has no profile."""
    rest = {key: value for key, value in one.items() if key != "state"}
    return not any(subset(rest, other) and (other.get("type"), other.get("state")) not in CARDS_WITHOUT_PROFILE for other in seen)
