# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# What a host of benchmarks/replayer.py does whatever it is told: answer the probe from the recording, anything else
# with one word. It does the same work for both, so that the difference between two measurements is not of its making.
# Run by sshd (ForceCommand) as: sh replay.sh DIRECTORY; by as_told.sh, behind sudo, as: sh replay.sh DIRECTORY probe
cd "$1" || exit 1
case ${2:-$SSH_ORIGINAL_COMMAND} in
  probe | *"/bin/sh -s"*) token=$(sed -n "s,^' | /usr/bin/perl - \\([0-9a-f]*\\) .*,\\1,p") ;;
  *) token=$(sed -n p /dev/null) ;;
esac
records=$(sed "s/^/${token:-none} /" records)
digest=$(printf '%s\n' "$records" | sha256sum)
if [ -n "$token" ]; then
  printf '\n%s;%s end %s %s\n' "$(printf %s "$records" | tr '\n' ';')" "$token" "$(cat count)" "${digest%% *}"
else
  printf '%s\n' ready
  : "$(cat count)"
fi
