# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""The package tools of both families, driven without a Python binding on the node.

Every verb returns "" or one line that says why it could not be done; every question only reads.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
import time

from ansible_collections.osp.edpm.plugins.module_utils.node import one_line, read_text

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C.UTF-8"}
SOURCES = ("/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list")
# A mirror that takes no connection is known in seconds; apt would wait two minutes for each of its indexes.
WAIT = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20", "-o", "Acquire::Retries=1")


class Apt:
    """Debian and Ubuntu."""

    def __init__(self, run, lock_timeout):
        self._run = run
        self._timeout = lock_timeout

    def missing(self, names):
        """Return the names that are not fully installed, sorted."""
        out = self._run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names])[1]
        present = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
        return sorted(set(names) - present)

    def install(self, names):
        """Install names, without what they only recommend."""
        return self._with_refresh([*self._command("install"), *names])

    def absent(self, names):
        """Return the names of the archives that an install of names would have to fetch; None when apt cannot tell."""
        code, out, _err = self._run(["apt-get", "install", "--print-uris", "--yes", "--no-install-recommends", *names])
        return [line.split()[1] for line in out.splitlines() if line.startswith("'")] if code == 0 else None

    def download(self, names):
        """Fetch what an install of names needs, and install nothing."""
        return self._with_refresh([*self._command("install"), "--download-only", *names])

    def refresh(self):
        """Refresh the index; the lists' lock knows no waiting in apt-get itself (apt 2.6), so it is done here."""
        deadline = time.monotonic() + self._timeout
        while True:
            code, out, err = self._run(["apt-get", "update", *WAIT, "-o", "APT::Update::Error-Mode=any"])
            if code == 0:
                return ""
            if "Could not get lock" not in err or time.monotonic() > deadline:
                return one_line(complaints(err + "\n" + out), 200)
            time.sleep(3)

    def upgrades(self, names, held):
        """Return the installed packages that have a newer version, sorted; of names only, unless that is None."""
        out = self._run(["apt-get", "--simulate", "--with-new-pkgs", "upgrade"])[1]
        return selected(re.findall(r"^Inst (\S+) \[", out, re.MULTILINE), names, held)

    def upgrade(self, names, held):
        """Upgrade names; refuse when apt would change a held package for that, or remove any."""
        code, out, err = self._run(["apt-get", "install", "--simulate", "--only-upgrade", "--no-install-recommends", *names])
        if code != 0:
            return complaints(err + "\n" + out)
        touched = selected(re.findall(r"^(?:Inst|Remv) (\S+)", out, re.MULTILINE), None, ())
        against = [name for name in touched if matches(name, held)] + re.findall(r"^Remv (\S+)", out, re.MULTILINE)
        if against:
            return f"that would change or remove {', '.join(sorted(set(against)))}, which is held back"
        code, out, err = self._run([*self._command("install"), "--only-upgrade", *names])
        return "" if code == 0 else complaints(err + "\n" + out)

    def installed_at(self, name):
        """Return when the package's present version was unpacked, in seconds since 1970; 0 when it is not there."""
        lists = [f"/var/lib/dpkg/info/{name}.list", *glob.glob(f"/var/lib/dpkg/info/{glob.escape(name)}:*.list")]
        return newest(lists)

    def owner(self, path):
        """Return the package that brought the file; "" for none. Debian 12 knows files by their place before /usr took it in."""
        for one in (path, path.removeprefix("/usr")):
            code, out, _err = self._run(["dpkg-query", "--search", one])
            if code == 0:
                return re.split(r"[:,]", out)[0]
        return ""

    def _command(self, verb):
        return ["apt-get", verb, "--yes", "--no-install-recommends", *WAIT, "-o", f"DPkg::Lock::Timeout={self._timeout}",
                "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]

    def _with_refresh(self, command):
        """Run the command on a fresh index. A repository that fails to refresh matters only when the command fails."""
        refresh = self.refresh()
        code, out, err = self._run(command)
        if code == 0:
            return ""
        said = one_line(complaints(err + "\n" + out), 200)
        return said if refresh in ("", said) else f"{said}; {refresh}"


class Dnf:
    """The EL family."""

    def __init__(self, run, lock_timeout):
        self._run = run
        self._timeout = lock_timeout

    def missing(self, names):
        """Return the names that no installed package provides, sorted."""
        return sorted(name for name in set(names) if self._run(["rpm", "-q", "--whatprovides", name])[0] != 0)

    def install(self, names):
        """Install names, without what they only recommend. dnf waits for its own lock."""
        return self._dnf("--setopt=install_weak_deps=False", "install", *names)

    def absent(self, names):
        """Return the names unless the cache holds all that an install of them needs."""
        return [] if self._download("--cacheonly", names) == "" else list(names)

    def download(self, names):
        """Fetch what an install of names needs, and install nothing."""
        return self._download("--refresh", names)

    def refresh(self):
        """Refresh the index."""
        return self._dnf("--refresh", "makecache")

    def upgrades(self, names, held):
        """Return the installed packages that have a newer version, sorted; of names only, unless that is None."""
        out = self._run(["dnf", "--quiet", "--cacheonly", "check-update"])[1]
        found = [fields[0].rpartition(".")[0] for fields in map(str.split, out.splitlines()) if len(fields) == 3]
        return selected(found, names, held)

    def upgrade(self, names, held):
        """Upgrade names."""
        return self._dnf(*(f"--exclude={pattern}" for pattern in held), "upgrade", *names)

    def installed_at(self, name):
        """Return when the package's present version was installed, in seconds since 1970; 0 when it is not there."""
        code, out, _err = self._run(["rpm", "-q", "--queryformat", "%{INSTALLTIME}\n", name])
        return max(map(int, out.split())) if code == 0 else 0

    def owner(self, path):
        """Return the package that brought the file; "" for none."""
        code, out, _err = self._run(["rpm", "-q", "--queryformat", "%{NAME}", "--file", path])
        return out.strip() if code == 0 else ""

    def _download(self, mode, names):
        return self._dnf(mode, "--setopt=keepcache=1", "--setopt=install_weak_deps=False", "--downloadonly", "install", *names)

    def _dnf(self, *words):
        code, out, err = self._run(["dnf", "--assumeyes", "--quiet", *words])
        return "" if code == 0 else one_line(err or out)


def tool_of(module, lock_timeout=300):
    """Return the node's package tool; a node that has none fails the module."""
    def run(command):
        return module.run_command(command, environ_update=ENVIRONMENT)

    for program, kind in (("apt-get", Apt), ("dnf", Dnf)):
        if shutil.which(program):
            return kind(run, lock_timeout)
    module.fail_json(msg="neither apt-get nor dnf is on the node: use Debian 12 or 13, Ubuntu 24.04 or EL 9 or 10")


def matches(name, patterns):
    """Report whether one of the shell patterns matches the name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def selected(found, names, held):
    """Return those of found that are wanted and not held back, sorted."""
    return sorted(name for name in {one.partition(":")[0] for one in found}
                  if (names is None or name in names) and not matches(name, held))


def newest(paths):
    """Return the latest change of the files that exist, in seconds since 1970; 0 when none does."""
    times = [0.0]
    for path in paths:
        try:
            times.append(os.stat(path).st_mtime)
        except FileNotFoundError:
            continue
    return max(times)


def complaints(text):
    """Return apt's errors as one line: for each repository that failed its name, what was asked and why it failed."""
    full = re.search(r"No space left on device|enough free space in [^\s]+", text)
    if full:
        return f"the node's disk is full ({full.group().removesuffix('.')}): make room, or use an image with a larger root"
    seen = {}
    for url, cause in re.findall(r"Failed to fetch (\S+)\s+(.*)", text):
        name = repository_of(url)
        seen.setdefault(name or url, f"repository {name or 'of an unknown file'} does not serve {url}: {one_line(cause, 160)}")
    lines = text.splitlines()
    said = [line for line in lines if line.startswith("E:")] or [line for line in lines if line.startswith("W:")]
    return one_line("; ".join(seen.values()) or " ".join(said) or text)


def repository_of(url):
    """Return the name of the sources file that names the URL's repository; "" when none does."""
    for pattern in SOURCES:
        for path in sorted(glob.glob(pattern)):
            roots = re.findall(r"(?:https?|ftp|file|copy)://?[^\s]+", read_text(path) or "")
            if any(url.startswith(root.rstrip("/") + "/") for root in roots):
                return path.rpartition("/")[2].rpartition(".")[0]
    return ""
