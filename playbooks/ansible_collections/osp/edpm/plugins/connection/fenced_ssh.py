# Copyright The Rackplane Authors.
# SPDX-License-Identifier: Apache-2.0
"""Ansible's ssh, whose commands run on a node only while no later run was let onto it."""

from __future__ import annotations

import re
import shlex

from ansible.errors import AnsibleError
from ansible.module_utils.common.yaml import yaml_dump, yaml_load
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
    """Return what ssh of the Ansible that runs takes, and the fence's options. Every run reads this: libyaml's way takes a tenth of the time."""
    doc = yaml_load(ssh.DOCUMENTATION)
    doc["name"] = "fenced_ssh"
    doc["short_description"] = "ssh that a node refuses once a later run was let onto it"
    doc["options"].update(yaml_load(OPTIONS))
    return yaml_dump(doc)


DOCUMENTATION = documentation()

MARK = "RACKPLANE-FENCE"
REFUSED = 88

# One command. The lock is taken before the token is read and kept until the command has ended; whoever raises the token
# either writes it before he takes the lock for himself, or has the lock when he writes it. So no command begins after a
# raise, and none goes on when it returns. The command itself does not inherit the lock: what it leaves running in the
# background is no part of it.
# The first command of a run raises the token itself where nobody keeps it waiting: most do, and each way to the node costs
# both sides a process or three.
# Arguments: the fence's folder, the token, 1 when input comes that must be read by somebody, AS_ROOT, RAISE, the command's words.
COMMAND = r"""
dir=$1 token=$2 input=$3 root=$4 raise=$5
shift 5
enter() {
	held=
	[ -r "$dir/lock" ] || return 1
	exec 9<"$dir/lock"
	flock -s 9 && [ -r "$dir/token" ] && read -r held <"$dir/token"
	[ "$held" = "$token" ] || { exec 9<&-; return 1; }
}
if enter || { /bin/sh -c "$root" fence "$raise" "$dir" "$token" 0 </dev/null >/dev/null 2>&1; enter; }; then
	trap : HUP INT TERM
	"$@" 9<&-
	exit $?
fi
[ "$input" = 1 ] && cat >/dev/null
echo "RACKPLANE-FENCE ${held:-0}" >&2
exit 88
"""

# Raises the token, as root. A node that was booted has none. "draining" keeps the run's own commands out until those of
# earlier runs have ended, also the jobs that a task with async left behind.
# Arguments: the fence's folder, the token, seconds to wait, the group that logs in; none when it may read the lock already.
RAISE = r"""
umask 022
refuse() { echo "RACKPLANE-FENCE $*" >&2; exit 88; }
mark() { echo "$*" >"$dir/token.new" && mv "$dir/token.new" "$dir/token" || refuse "0 cannot write $dir"; }
jobs() { grep -qsa '[a]nsible-tmp-.*/[a]sync_wrapper.py' /proc/[0-9]*/cmdline; }
dir=$1 token=$2 left=$3
command -v flock >/dev/null || refuse "0 the node has no flock: install util-linux"
{ [ -d "$dir" ] || mkdir -p "$dir"; } && exec 8>"$dir/raise" || refuse "0 cannot write $dir"
flock -w "$left" 8 || refuse "0 busy"
held=0 state=
[ -r "$dir/token" ] && read -r held state <"$dir/token"
[ "${held:-0}" -gt "$token" ] && refuse "$held"
[ -e "$dir/lock" ] || (umask 027; : >"$dir/lock")
[ -z "$4" ] || chgrp "$4" "$dir/lock" || refuse "0 cannot write $dir"
[ "$held$state" = "$token" ] && exit 0 # another command of this run was here first
exec 9<"$dir/lock"
if ! flock -xn 9 || jobs; then
	mark "$token draining"
	flock -x -w "$left" 9 || refuse "0 busy"
	while jobs; do
		[ "$left" -gt 0 ] || refuse "0 busy"
		left=$((left - 1))
		sleep 1
	done
fi
mark "$token"
"""

# Arguments: RAISE, the fence's folder, the token, seconds to wait.
AS_ROOT = r"""
group=
[ -r "$2/lock" ] || group=$(id -g)
if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$1" fence "$2" "$3" "$4" "$group"; fi
exec sudo -n /bin/sh -c "$1" fence "$2" "$3" "$4" "$group"
"""

# Runs a command as the login's shell understands it.
AS_LOGIN = 'exec "${SHELL:-/bin/sh}" -c "$1"'


def script(text, *arguments):
    """Return the command that runs the script with the arguments."""
    return " ".join(shlex.quote(str(word)) for word in ("/bin/sh", "-c", text.strip(), "fence", *arguments))


def words(command):
    """Return the command as words. A shell that it starts anyway is started at once, and not by the login's shell: the one
    that the node's SSH server starts has only the fence to run."""
    try:
        found = shlex.split(command)
    except ValueError:
        found = []
    if found[:2] == ["/bin/sh", "-c"] and command == "/bin/sh -c " + shlex.quote(found[-1]):
        return found
    return ["/bin/sh", "-c", AS_LOGIN, "fence", command]


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
        fenced = script(COMMAND, directory, token, drain, AS_ROOT.strip(), RAISE.strip(), *words(cmd))
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
