#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The Ansible collection, as the linters of its field and Galaxy see it: part of ./check, in the environment of which it runs.
# What needs no artifact goes first; the rest looks at the collection as it is built and installed.
set -eu
cd "$(dirname "$0")/.."
. scripts/environment.sh
export PATH="$PWD/.venv/bin:$PATH"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM

# Shows what a command said only if it failed.
quietly() {
  said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; say "failed: $*"; return 1; }
}

# What Galaxy asks of an artifact. In a home of its own, because it leaves things there; and without its ansible-lint, whose
# profile is a weaker one than ours.
importer() {
  cd "$place"
  export HOME="$place" GALAXY_IMPORTER_RUN_ANSIBLE_LINT=no
  quietly python -m galaxy_importer.main "$place"/*.tar.gz
}

say "ansible-lint"
quietly ansible-lint --offline --profile production --nocolor
say "playbooks: syntax"
for playbook in playbooks/*.yml; do
  quietly ansible-playbook --syntax-check "$playbook"
done

say "the collection: built and installed"
quietly ansible-galaxy collection build --output-path "$place"
# What has passed need not be tested again: the files, and what they were tested with.
tested="$({ cat .venv/made-for scripts/collection.sh scripts/*.py; tar -xzOf "$place"/*.tar.gz MANIFEST.json FILES.json; } | cksum)"
if [ "$(cat .cache/passed 2>/dev/null)" = "$tested" ]; then
  say "galaxy-importer, antsibull-docs, sanity: passed with these very files before (.cache/passed)"
  exit 0
fi
# From there, so that this checkout's ansible.cfg does not say where to.
(cd "$place" && quietly ansible-galaxy collection install --offline -p "$place" "$place"/*.tar.gz)
say "galaxy-importer, antsibull-docs; and beside them:"
{ (importer) && quietly antsibull-docs lint-collection-docs --plugin-docs "$place/ansible_collections/builderfleet/macos"; } &
sanity=0
python scripts/sanity.py "$place" || sanity=$?
wait "$!"
[ "$sanity" -eq 0 ]
mkdir -p .cache
printf '%s\n' "$tested" >.cache/passed
