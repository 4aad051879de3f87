# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# What a host of benchmarks/replayer.py does for benchmarks/ansible_role.py: what it is told, sudo included, with one
# exception: a shell that is to read a script, which is builderfleet's probe, is the one that answers from the recording.
# Run by sshd (ForceCommand) as: sh as_told.sh DIRECTORY
case $SSH_ORIGINAL_COMMAND in
  *"/bin/sh -s"*)
    before=${SSH_ORIGINAL_COMMAND%%"/bin/sh -s"*} after=${SSH_ORIGINAL_COMMAND#*"/bin/sh -s"}
    exec /bin/sh -c "$before/usr/bin/dash $1/replay.sh $1 probe$after"
    ;;
  *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
