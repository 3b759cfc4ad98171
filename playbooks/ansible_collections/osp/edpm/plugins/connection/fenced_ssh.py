# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Ansible's ssh, whose commands run on a node only while no later run was let onto it."""

from __future__ import annotations

import re
import shlex

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.connection import ssh

OPTIONS = r"""
fence_token:
  description: Token of the run. A node refuses the commands of every run with a lower one than it has seen.
  type: int
  vars:
    - name: rackplane_fence_token
fence_wait:
  description: How long, in seconds, the first command of a run waits for what an earlier run still does on the node.
  type: int
  default: 60
  vars:
    - name: rackplane_fence_wait
fence_dir:
  description: Folder of the fence on the node. It must not outlive a boot.
  type: str
  default: /run/rackplane
  vars:
    - name: rackplane_fence_dir
"""


def documentation():
    """Return what ssh of the Ansible that runs takes, and the fence's options."""
    doc = yaml.safe_load(ssh.DOCUMENTATION)
    doc["name"] = "fenced_ssh"
    doc["short_description"] = "ssh that a node refuses once a later run was let onto it"
    doc["options"].update(yaml.safe_load(OPTIONS))
    return yaml.safe_dump(doc)


DOCUMENTATION = documentation()

MARK = "RACKPLANE-FENCE"
REFUSED = 88

# One command. The lock is taken before the token is read and kept until the command has ended; whoever raises the token
# writes it before he takes the lock for himself. So no command begins after a raise, and none goes on when it returns. The
# command itself does not inherit the lock: what it leaves running in the background is no part of it.
# Arguments: the fence's folder, the token, 1 when input comes that must be read by somebody, the command.
COMMAND = r"""
held=
if [ -r "$1/lock" ]; then
	exec 9<"$1/lock"
	flock -s 9 && [ -r "$1/token" ] && read -r held <"$1/token"
fi
if [ "$held" = "$2" ]; then
	trap : HUP INT TERM
	"${SHELL:-/bin/sh}" -c "$4" 9<&-
	exit $?
fi
[ "$3" = 1 ] && cat >/dev/null
echo "RACKPLANE-FENCE ${held:-0}" >&2
exit 88
"""

# Raises the token, as root. A node that was booted has none. "draining" keeps the run's own commands out until those of
# earlier runs have ended, also the jobs that a task with async left behind.
# Arguments: the fence's folder, the token, seconds to wait, the group that logs in.
RAISE = r"""
umask 022
refuse() { echo "RACKPLANE-FENCE $*" >&2; exit 88; }
command -v flock >/dev/null || refuse "0 the node has no flock: install util-linux"
mkdir -p "$1" && exec 8>"$1/raise" || refuse "0 cannot write $1"
flock -w "$3" 8 || refuse "0 busy"
held=0
[ -r "$1/token" ] && read -r held rest <"$1/token"
[ "${held:-0}" -gt "$2" ] && refuse "$held"
[ -e "$1/lock" ] || : >"$1/lock"
chgrp "$4" "$1/lock" && chmod 640 "$1/lock"
echo "$2 draining" >"$1/token.new" && mv "$1/token.new" "$1/token" || refuse "0 cannot write $1"
exec 9<"$1/lock"
flock -x -w "$3" 9 || refuse "0 busy"
left=$3
while grep -qsa '[a]nsible-tmp-.*/[a]sync_wrapper.py' /proc/[0-9]*/cmdline; do
	[ "$left" -gt 0 ] || refuse "0 busy"
	left=$((left - 1))
	sleep 1
done
echo "$2" >"$1/token.new" && mv "$1/token.new" "$1/token" || refuse "0 cannot write $1"
"""

AS_ROOT = r"""
group=$(id -g)
if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$1" fence "$2" "$3" "$4" "$group"; fi
exec sudo -n /bin/sh -c "$1" fence "$2" "$3" "$4" "$group"
"""


def script(text, *arguments):
    """Return the command that runs the script with the arguments."""
    return " ".join(shlex.quote(str(word)) for word in ("/bin/sh", "-c", text.strip(), "fence", *arguments))


def refusal(code, *outputs):
    """Return what the fence said instead of running the command; None when it let it run."""
    if code != REFUSED:
        return None
    for output in outputs:
        found = re.search(MARK + r" (\d+)([^\r\n]*)", output.decode("utf-8", "replace"))
        if found:
            return int(found.group(1)), found.group(2).strip()
    return None


class Connection(ssh.Connection):
    """The connection."""

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run a command on the node, once it is this run's."""
        token = self.get_option("fence_token")
        if not token:
            return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        directory = self.get_option("fence_dir")
        # What waits for privileges gets its input only when it has them: never when it was refused.
        waits = sudoable and self.become and (getattr(self.become, "prompt", None) or getattr(self.become, "success", None))
        drain = 1 if in_data and not waits else 0
        fenced = script(COMMAND, directory, token, drain, cmd)
        answer = super().exec_command(fenced, in_data=in_data, sudoable=sudoable)
        said = refusal(*answer)
        if said is None:
            return answer
        if said[0] <= token:
            self._raise(directory, token)
            answer = super().exec_command(fenced, in_data=in_data, sudoable=sudoable)
            said = refusal(*answer)
        if said is not None:
            raise AnsibleError(explain(said, token))
        return answer

    def _raise(self, directory, token):
        """Let this run onto the node, and no earlier one any more."""
        wait = self.get_option("fence_wait")
        answer = super().exec_command(script(AS_ROOT, RAISE.strip(), directory, token, wait), sudoable=False)
        said = refusal(*answer)
        if said is not None:
            raise AnsibleError(explain(said, token))
        if answer[0] != 0:
            # 255 is raised by ssh itself.
            lines = answer[2].decode("utf-8", "replace").strip().splitlines()
            raise AnsibleError("the node could not be fenced: its login must be root or have sudo without a password (NOPASSWD): "
                               + (lines[-1] if lines else "exit code %d" % answer[0]))


def explain(said, token):
    """Return what a person should know of a refusal."""
    held, why = said
    if held > token:
        return ("another run took the node over: its token is %d, this run's %d. This run is over; if there is no other, "
                "the clock of the engine that made %d was wrong: reboot the node" % (held, token, held))
    if why == "busy":
        return "the node is busy: what an earlier run began on it has not ended, and this run waits its turn: end it there, or wait for the next try"
    return "the node could not be fenced: " + (why or "it forgot its fence at once")
