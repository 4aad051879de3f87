# SPDX-License-Identifier: GPL-3.0-or-later
"""How a builder VM ends, or never comes up: the texts by which its log says so, what each means, and what helps.

Texts of QEMU and of the guest are an interface that changes with their versions. So each row says where it was seen, and
both the rollout, while it waits for the VM, and the doctor read the log by this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STARTS = "builderfleet: the VM starts"
"""What the VM's start script writes to the log: what stands above it is of a former start."""

QEMU, GUEST, MAC = "QEMU", "the guest", "this Mac"


@dataclass(frozen=True, slots=True)
class Ending:
    """`text` is what the log says, in `who`'s words; `seen` is the program's version or source that says it."""

    text: str
    who: str
    cause: str
    remedy: str
    seen: str

    def __str__(self) -> str:
        return f"{self.cause} ({self.who} says: {self.text}). {self.remedy}"


_OTHER_PIN = "Pin another nixpkgs in linux_builder_nixpkgs (the former one, where it worked), and run the rollout"


def endings(disk: str) -> tuple[Ending, ...]:
    """The table, for a VM whose disk is at that path. Where several texts are there, the first row counts."""
    another_disk = (
        f"It holds nothing that cannot be built again: `sudo mv {disk} {disk}.damaged` on that Mac, and run the rollout,"
        " which makes a new one"
    )
    return (
        Ending(
            "HVF does not support GICv2 emulation",
            QEMU,
            "this QEMU has no GICv2 under Apple's hypervisor, and the machine that this nixpkgs runs wants one",
            _OTHER_PIN,
            "QEMU 11.1 on macOS 15 and later; nixpkgs PR 555928 runs virt-11.0 instead",
        ),
        Ending(
            "hvf_arch_init_vcpu",
            QEMU,
            "this QEMU stops itself under this macOS's hypervisor",
            _OTHER_PIN,
            "QEMU 11.0.0, exit code 134; nixpkgs issues 528299 and 532038",
        ),
        Ending(
            "Number of SMP CPUs requested",
            QEMU,
            "the VM is given more processors than its machine has room for",
            "Take at most 8 in linux_builder_cores",
            "QEMU 7.2 to 11, hw/core/machine-smp.c and hw/arm/virt.c",
        ),
        Ending("Image is not in qcow2 format", QEMU, "the VM's disk is damaged", another_disk, "QEMU, block/qcow2.c"),
        Ending("Image is corrupt", QEMU, "the VM's disk is damaged", another_disk, "QEMU, block/qcow2.c"),
        Ending("Marking image as corrupt", QEMU, "the VM's disk is damaged", another_disk, "QEMU, block/qcow2.c"),
        Ending("Unsupported qcow2 version", QEMU, "the VM's disk is damaged", another_disk, "QEMU, block/qcow2.c"),
        Ending(
            'Failed to get "write" lock',
            QEMU,
            "another process has the VM's disk open",
            f"`sudo lsof {disk}` on that Mac says which: end it, and run the rollout",
            "QEMU, block/file-posix.c",
        ),
        Ending(
            "Could not set up host forwarding rule",
            QEMU,
            "another process listens on the VM's port",
            "End that process, or give the builder another port in linux_builder_port",
            "QEMU, net/slirp.c",
        ),
        Ending(
            "cannot set up guest memory",
            QEMU,
            "this Mac has not got the memory that the VM is to have",
            "Take less in linux_builder_memory",
            "QEMU, softmmu/physmem.c",
        ),
        Ending(
            "Could not open",
            QEMU,
            "QEMU cannot open a file that it runs from",
            "The log names it: put right what it says, and run the rollout",
            "QEMU, block/file-posix.c",
        ),
        Ending(
            "No space left on device",
            MAC,
            "a disk is full: this Mac's own, on which the VM's grows (`df -h /private/var` says), or else the VM's",
            "Make room on that Mac, and run the rollout",
            "macOS's and Linux's ENOSPC",
        ),
        Ending(
            "An error occurred in stage 1 of the boot process",
            GUEST,
            "the guest cannot boot from the VM's disk: it is damaged",
            another_disk,
            "NixOS, stage-1-init.sh",
        ),
        Ending(
            "Read-only file system",
            GUEST,
            "the guest cannot write to the VM's disk: it is damaged",
            another_disk,
            "Linux's EROFS, from programs of the guest",
        ),
        Ending("EXT4-fs error", GUEST, "the file system on the VM's disk is damaged", another_disk, "Linux, fs/ext4"),
        Ending("Kernel panic", GUEST, "the guest's kernel stopped", _OTHER_PIN, "Linux, kernel/panic.c"),
    )


def starts(lines: Iterable[str]) -> list[list[str]]:
    """What a log's lines say of each start of the VM, the last one last; never empty."""
    said: list[list[str]] = [[]]
    for line in lines:
        if line.startswith(STARTS):
            said.append([])
        else:
            said[-1].append(line)
    return said


def known(table: Iterable[Ending], lines: Iterable[str]) -> Ending | None:
    """The first row of the table whose text is among the lines."""
    text = "\n".join(lines)
    return next((each for each in table if each.text in text), None)
