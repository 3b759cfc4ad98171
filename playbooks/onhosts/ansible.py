# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs ansible-playbook once for every line of its input, each time in a process of its own that has Ansible loaded already.

A line is JSON: the arguments, the program's name first, and the file for what is printed. The answer is a line with the exit status.
"""

import atexit
import gc
import json
import os
import sys

from ansible.cli.playbook import main
from ansible.utils.path import cleanup_tmp_file


def run(argv, output):
    """Be ansible-playbook. Never returns."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    # The folder for what is temporary, which was made as the configuration was loaded, is for all runs. So are the modules in it,
    # made ready to be sent: they depend on nothing but their files, and to make one takes up to half a second of CPU.
    atexit.unregister(cleanup_tmp_file)
    main(argv)
    sys.exit("ansible-playbook's main returned")


gc.freeze()  # so that runs do not copy what is loaded only because they look through it for garbage
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        run(**order)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
