# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads configuration as oslo.config 9.7 does, and remembers which file each value came from."""

from __future__ import annotations

import re

SECTION = re.compile(r"^\[(?P<name>[^\]]+)\]\s*$")
OPTION = re.compile(r"^(?P<key>[^\s=:#;\[][^=:]*?)\s*[=:]\s*(?P<value>.*)$")
REFERENCE = re.compile(r"\$\$|\\\$|\$\{?(?:(?P<section>\w+)\.)?(?P<key>\w+)\}?")


class Config:
    """The layers as one; a later layer's value wins."""

    def __init__(self, layers):
        """Read layers, each {source, content} with source what to call it in a message."""
        self._values = {}
        for layer in layers:
            for section, key, value in options(layer["content"]):
                self._values[section, key] = value, layer["source"]

    def get(self, section, key, default=""):
        """Return the option's value with references resolved."""
        value, _source = self._values.get((section, key), (default, ""))
        return REFERENCE.sub(lambda match: self._resolve(section, match), value)

    def source(self, section, key):
        """Return which layer the value comes from; "" when none has it."""
        return self._values.get((section, key), ("", ""))[1]

    def sections(self):
        """Return the sections' names, sorted."""
        return sorted({section for section, _key in self._values})

    def _resolve(self, section, match):
        if match["key"] is None:
            return "$"
        for place in ((match["section"],) if match["section"] else (section, "DEFAULT")):
            if (place, match["key"]) in self._values:
                return self.get(place, match["key"])
        return match[0]


def options(text):
    """Yield (section, key, value) in order; a line that begins with a blank goes on where the one before ended."""
    section, pending = "DEFAULT", None
    for line in [*text.splitlines(), ""]:
        if pending and line[:1] in (" ", "\t") and line.strip():
            pending = (*pending[:2], f"{pending[2]}\n{line.strip()}")
            continue
        if pending:
            yield pending
            pending = None
        if match := SECTION.match(line):
            section = match["name"]
        elif match := OPTION.match(line):
            pending = section, match["key"].strip(), _bare(match["value"].strip())
    if pending:
        yield pending


def _bare(value):
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def truth(text):
    """Return a boolean option's value (oslo.config types.Boolean)."""
    return text.strip().lower() in ("true", "1", "yes", "on")
