#!/usr/bin/env bash
# Lints the collection with ansible-lint at its strictest profile. The collection is copied out first: caches that
# Python and the linter write must not come into the source tree, from where they would be embedded.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$("$here/venv.sh" "$here/requirements-lint.txt")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/../../playbooks/ansible_collections" "$work/"
cd "$work/ansible_collections/osp/edpm"
export PATH=$venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$work ANSIBLE_HOME=$work/.ansible
ansible-lint --offline --strict --profile production
