# SPDX-License-Identifier: GPL-3.0-or-later
"""The core: pure Python that knows Macs and Nix, and neither pyinfra nor Ansible. It does no I/O.

A *question* can be asked of a Mac, a *resource* is a piece of desired state that compares itself with the answers, a
*change* is what has to happen, and a *session* is one conversation with one Mac. The front ends only carry scripts there
and transcripts back.
"""
