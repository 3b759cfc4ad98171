# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Tests of what the callback tells when there is much to tell; who reached the end is tested with real runs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "plugins", "callback"))
import rackplane  # noqa: E402


class Result:
    """A task's result."""

    def __init__(self, host, task, **result):
        self._result = result
        self._host = types.SimpleNamespace(get_name=lambda: host)
        self._task = types.SimpleNamespace(get_name=lambda: task, no_log=False, any_errors_fatal=False, ignore_unreachable=False, _role=None)


class Limit(unittest.TestCase):
    """After the limit progress is not told any more, results are."""

    def test_results_are_never_dropped(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(rackplane, "EVENTS_LIMIT", 2000), mock.patch.object(rackplane, "follow"):
            path = os.path.join(folder, "events.jsonl")
            with mock.patch.dict(os.environ, {"RACKPLANE_EVENTS": path}):
                callback = rackplane.CallbackModule()
            for i in range(100):
                callback.v2_runner_on_ok(Result("a", f"task {i}"))
                callback.v2_runner_on_failed(Result("a", f"task {i}", msg="never mind"), ignore_errors=True)
            callback.v2_runner_on_failed(Result("b", "last", msg="broken"))
            callback.v2_runner_on_unreachable(Result("c", "last", msg="silent"))
            callback._out.close()
            with open(path, encoding="utf-8") as text:
                events = [json.loads(line) for line in text]
        self.assertLess(len(events), 30)
        self.assertEqual([(event["host"], event["result"]) for event in events[-2:]], [("b", "failed"), ("c", "unreachable")])


if __name__ == "__main__":
    unittest.main()
