#!/usr/bin/env bash
# ansible-core 2.19.14: in a YAML inventory, !unsafe "0600" is the number 384, and !unsafe "yes" is True, although both are quoted
# and so texts without the tag. The tag's constructor resolves the scalar's type anew and forgets that it was quoted.
# Why it matters: whoever tags every value that must not be templated, as the documentation advises for passwords, changes
# passwords of digits, file modes and MAC addresses on the way. What holds a brace or a hash is a text in either reading:
# tag those alone. In JSON, {"__ansible_unsafe": "0600"} stays a text.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export HOME=$dir ANSIBLE_LOCAL_TEMP=$dir/tmp ANSIBLE_NOCOLOR=1
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check ansible-core==2.19.14
cat >"$dir/inventory.yaml" <<'INVENTORY'
all:
  hosts:
    n0: {mode: "0600", tagged_mode: !unsafe "0600", word: "yes", tagged_word: !unsafe "yes", braces: !unsafe "{{ 6 * 7 }}"}
INVENTORY
echo '{"from_json": {"__ansible_unsafe": "0600"}}' >"$dir/vars.json"
cat >"$dir/play.yaml" <<'PLAY'
- hosts: all
  gather_facts: false
  tasks:
  - ansible.builtin.debug: {msg: "{{ [mode, tagged_mode, word, tagged_word, braces, from_json] | to_json }}"}
PLAY
seen=$("$dir/venv/bin/ansible-playbook" -i "$dir/inventory.yaml" -e "@$dir/vars.json" "$dir/play.yaml" | tr -d '\\ \n')
case $seen in
*'["0600",384,"yes",true,"{{6*7}}","0600"]'*) echo "as described: a tagged text of digits is a number" ;;
*) echo "the behaviour is another now: $seen" >&2; exit 1 ;;
esac
