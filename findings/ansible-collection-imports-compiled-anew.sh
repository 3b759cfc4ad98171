#!/usr/bin/env bash
# ansible-core 2.19.14: a plugin file of a collection has a bytecode cache, as any Python module has; what it imports from the collection
# (module_utils, another plugin) has none. No .pyc is written for that, and one that is there and fresh, as python -m compileall
# leaves it, is not read: the collection loader compiles the source in each process that imports it. Seen: "plugin=cached util=source".
# Why it matters: every task on every host is a process of its own, so shared code of a collection costs its compilation each time, and
# precompiling the collections of an execution environment saves only half of what one expects. Guessed first: neither is cached.
# What a callback plugin imported before the first task is inherited by all of them; a package outside the collection is cached.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
export HOME=$dir ANSIBLE_LOCAL_TEMP=$dir/tmp ANSIBLE_NOCOLOR=1 ANSIBLE_COLLECTIONS_PATH=$dir
plugins=$dir/ansible_collections/example/demo/plugins
mkdir -p "$plugins/filter" "$plugins/module_utils"
write() { # both files say where their code comes from; the words have one length
    printf 'ORIGIN = "%s"\n' "$1" >"$plugins/module_utils/origin.py"
    cat >"$plugins/filter/origin.py" <<PLUGIN
from ansible_collections.example.demo.plugins.module_utils.origin import ORIGIN
class FilterModule:
    def filters(self):
        return {"origin": lambda _: "plugin=%s util=%s" % ("$1", ORIGIN)}
PLUGIN
    touch -d @1700000000 "$plugins"/*/origin.py # a cache is fresh when size and time of its source are as they were
}
cat >"$dir/play.yaml" <<'PLAY'
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
  - ansible.builtin.debug: {msg: "{{ 1 | example.demo.origin }}"}
PLAY
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14
play() { "$dir/venv/bin/ansible-playbook" -i localhost, "$dir/play.yaml"; }
write cached
play >/dev/null
written=$(cd "$plugins" && find . -name '*.pyc' | cut -d/ -f2 | sort -u | paste -sd,)
"$dir/venv/bin/python" -m compileall -q "$plugins"
write source
seen=$(play | grep -o 'plugin=[a-z]* util=[a-z]*')
echo "caches written by Ansible: $written; with a cache of each: $seen"
[ "$written" = filter ] && [ "$seen" = "plugin=cached util=source" ] || { echo "the behaviour is another now" >&2; exit 1; }
