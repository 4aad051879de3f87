# SPDX-License-Identifier: GPL-3.0-or-later
"""diskutil: APFS volumes (`macos_commands §4.1`)."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import shared, volumes
from .volumes import Volume

PRIVILEGES = "Insufficient privileges (-69863)"


def main(arguments: list[str]) -> int:
    if shared.fault("diskutil-hang"):
        time.sleep(86400)
    words = list(arguments)
    as_plist = "-plist" in words
    words = [word for word in words if word != "-plist"]
    verb = " ".join(words[:2]) if words[:1] == ["apfs"] else " ".join(words[:1])
    rest = words[len(verb.split()) :]
    if as_plist and verb in _PLISTS:
        return _PLISTS[verb](rest)
    if not as_plist and verb in _VERBS:
        return _VERBS[verb](rest)
    raise shared.Unmodelled(f"verb {verb}")


def _one(words: list[str]) -> str:
    if len(words) != 1:
        raise shared.Unmodelled("one disk")
    return words[0]


def _print_plist(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(plistlib.dumps(value))


# Asking


def _info_plist(words: list[str]) -> int:
    name = _one(words)
    volume = volumes.find(volumes.every(shared.world()), name)
    if volume is None:
        # Not found is a plist as well, on standard output.
        _print_plist({"Error": True, "ErrorMessage": f"Could not find disk: {name}", "ExitCode": 1})
        return 1
    about: dict[str, Any] = {
        "AESHardware": True,
        "APFSContainerFree": volumes.FREE,
        "APFSContainerReference": volumes.CONTAINER,
        "APFSContainerSize": volumes.SIZE,
        "APFSPhysicalStores": [{"APFSPhysicalStore": "disk0s2"}],
        "APFSSnapshot": False,
        "Bootable": True,
        "BusProtocol": "Apple Fabric",
        "Content": volumes.CONTENT,
        "DeviceIdentifier": volume["device"],
        "DeviceNode": f"/dev/{volume['device']}",
        "DiskUUID": volume["uuid"],
        "Encryption": True,
        "EncryptionThisVolumeProper": volume["encrypted"],
        "FileVault": volume["encrypted"],
        "FilesystemName": "APFS",
        "FilesystemType": "apfs",
        "FreeSpace": 0,
        "Internal": True,
        "IORegistryEntryName": volume["name"],
        "Locked": False,
        "MountPoint": volume["mount_point"],
        "ParentWholeDisk": volumes.CONTAINER,
        "Removable": False,
        "Sealed": "No",
        "Size": volumes.SIZE,
        "SolidState": True,
        "SupportsGlobalPermissionsDisable": True,
        "TotalSize": volumes.SIZE,
        "VolumeName": volume["name"],
        "VolumeUUID": volume["uuid"],
        "WholeDisk": False,
        "Writable": True,
        "WritableMedia": True,
        "WritableVolume": bool(volume["mount_point"]),
    }
    if volume["mount_point"]:  # absent when unmounted [I]
        about["GlobalPermissionsEnabled"] = volume["ownership"]
    _print_plist(about)
    return 0


def _info(words: list[str]) -> int:
    name = _one(words)
    volume = volumes.find(volumes.every(shared.world()), name)
    if volume is None:
        shared.fail(1, f"Could not find disk: {name}")
    fields = {
        "Device Identifier": volume["device"],
        "Device Node": f"/dev/{volume['device']}",
        "Part of Whole": volumes.CONTAINER,
        "Volume Name": volume["name"],
        "Mounted": "Yes" if volume["mount_point"] else "No",
        "Mount Point": volume["mount_point"],
        "File System Personality": "APFS",
        "Volume UUID": volume["uuid"],
        "Owners": "Enabled" if volume["ownership"] else "Disabled",
        "FileVault": "Yes" if volume["encrypted"] else "No",
    }
    for key, value in fields.items():
        print(f"   {key + ':':<26} {value}")
    return 0


def _list_plist(words: list[str]) -> int:
    if words:
        raise shared.Unmodelled("list of one disk")
    every = volumes.every(shared.world())
    listed = [
        {"DeviceIdentifier": volume["device"], "DiskUUID": volume["uuid"], "VolumeName": volume["name"],
         "VolumeUUID": volume["uuid"], "MountPoint": volume["mount_point"]}
        for volume in every
    ]  # fmt: skip
    container = {
        "APFSPhysicalStores": [{"DeviceIdentifier": "disk0s2"}],
        "APFSVolumes": listed,
        "DeviceIdentifier": volumes.CONTAINER,
        "Size": volumes.SIZE,
    }
    names = [volume["name"] for volume in every]
    devices = [volume["device"] for volume in every]
    _print_plist(
        {
            "AllDisks": ["disk0", "disk0s2", volumes.CONTAINER, *devices],
            "AllDisksAndPartitions": [container],
            "VolumesFromDisks": names,
            "WholeDisks": ["disk0", volumes.CONTAINER],
        }
    )
    return 0


def _apfs_list_plist(words: list[str]) -> int:
    if words:
        raise shared.Unmodelled("list of one container")
    listed = [
        {"APFSVolumeUUID": volume["uuid"], "CapacityInUse": 0, "CapacityQuota": 0, "CapacityReserve": 0,
         "CryptoMigrationOn": False, "DeviceIdentifier": volume["device"], "Encryption": volume["encrypted"],
         "FileVault": volume["encrypted"], "Locked": False, "Name": volume["name"], "Roles": []}
        for volume in volumes.every(shared.world())
    ]  # fmt: skip
    container = {
        "APFSContainerUUID": "22222222-0000-4000-8000-000000000000",
        "CapacityCeiling": volumes.SIZE,
        "CapacityFree": volumes.FREE,
        "ContainerReference": volumes.CONTAINER,
        "DesignatedPhysicalStore": "disk0s2",
        "Fusion": False,
        "PhysicalStores": [{"DeviceIdentifier": "disk0s2", "Size": volumes.SIZE}],
        "Volumes": listed,
    }
    _print_plist({"Containers": [container]})
    return 0


# Changing


def _add_volume(words: list[str]) -> int:
    if len(words) not in (3, 4, 5) or words[1] != "APFS":
        raise shared.Unmodelled("addVolume")
    shared.root_only(1, f"Error starting APFS Volume creation: {PRIVILEGES}")
    container, name, options = words[0], words[2], words[3:]
    if container != volumes.CONTAINER:
        shared.fail(
            1, "Error starting APFS Volume creation: The given disk is not an APFS Container Reference (-69630)"
        )
    if options and options != ["-nomount"] and options[0] != "-mountpoint":
        raise shared.Unmodelled("addVolume")
    with shared.changing() as world:
        volume = volumes.add(world, name)
        lines = [
            f'Will export new APFS Volume "{name}" from APFS Container Reference {container}',
            f"Started APFS operation on {container}",
            f"Preparing to add APFS Volume to APFS Container {container}",
            "Creating APFS Volume",
            f"Created new APFS Volume {volume['device']}",
        ]
        if options != ["-nomount"]:
            _mount_at(volume, options[1] if options else f"/Volumes/{name}")
            lines += ["Mounting disk", "Setting volume permissions"]
        lines += [f"Disk from APFS operation: {volume['device']}", f"Finished APFS operation on {container}"]
    print("\n".join(lines))
    return 0


def _mount_at(volume: Volume, mount_point: str) -> bool:
    if mount_point.startswith("/Volumes/"):
        Path(mount_point).mkdir(exist_ok=True)
    return volumes.mount(volume, mount_point)


def _added(world: dict[str, Any], name: str) -> Volume:
    volume = volumes.find(volumes.every(world), name)
    if volume is None:
        shared.fail(1, f"Unable to find disk for {name}")
    if volume.get("system"):
        raise shared.Unmodelled("changing a volume of the system's")
    return volume


def _delete_volume(words: list[str]) -> int:
    shared.root_only(1, f"Error starting APFS Volume deletion: {PRIVILEGES}")
    with shared.changing() as world:
        volume = _added(world, _one(words))
        print(f"Started APFS operation on {volume['device']}")
        print("Deleting APFS Volume from its APFS Container")
        if volume["mount_point"]:
            print(f"Unmounting {volume['device']}", flush=True)
            if not volumes.unmount(volume, force=False):
                shared.fail(1, "Error: -69888: Couldn't unmount disk")
        subprocess.run([shared.debian("rm"), "-rf", volumes.backing(volume)], check=True)
        del world["volumes"][volume["uuid"]]
        print("Removing any Preboot and Recovery Directories")
        print(f"Finished APFS operation on {volume['device']}")
    return 0


def _mount(words: list[str]) -> int:
    mount_point = ""
    if words[:1] == ["-mountPoint"] and len(words) == 3:
        mount_point, words = words[1], words[2:]
    name = _one(words)
    with shared.changing() as world:
        volume = volumes.find(volumes.every(world), name)
        if volume is None:
            shared.fail(1, f"Unable to find disk for {name}")
        if volume["mount_point"] and (not mount_point or mount_point == volume["mount_point"]):
            print(f"Volume {volume['name']} on {name} mounted")
            return 0
        refused = bool(world["faults"].get("mount-refused")) or os.geteuid() != 0
        if refused or not _mount_at(volume, mount_point or f"/Volumes/{volume['name']}"):
            shared.fail(
                1,
                f"Volume on {volume['device']} failed to mount\n"
                "Perhaps the operation is not allowed by the invoking user (kDAReturnNotPrivileged)",
            )
    print(f"Volume {volume['name']} on {name} mounted")
    return 0


def _unmount(words: list[str]) -> int:
    force = words[:1] == ["force"]
    name = _one(words[1:] if force else words)
    with shared.changing() as world:
        volume = _added(world, name)
        if not volume["mount_point"]:
            print(f"{volume['device']} was already unmounted")
            return 0
        if not volumes.unmount(volume, force=force):
            print(f"Volume {volume['name']} on {volume['device']} failed to unmount: dissented by PID {_user(volume)}")
            return 1
    print(f"Volume {volume['name']} on {volume['device']} {'force-' if force else ''}unmounted")
    return 0


def _user(volume: Volume) -> str:
    done = subprocess.run(
        [shared.debian("lsof"), "-t", "+f", "--", volume["mount_point"]], capture_output=True, text=True, check=False
    )
    return (done.stdout.split() or ["0"])[0]


def _enable_ownership(words: list[str]) -> int:
    with shared.changing() as world:
        volume = _added(world, _one(words))
        volume["ownership"] = True
    print("File system user/group ownership enabled")
    return 0


Verb = Callable[[list[str]], int]
_PLISTS: dict[str, Verb] = {"info": _info_plist, "list": _list_plist, "apfs list": _apfs_list_plist}
_VERBS: dict[str, Verb] = {
    "info": _info,
    "apfs addVolume": _add_volume,
    "apfs deleteVolume": _delete_volume,
    "mount": _mount,
    "unmount": _unmount,
    "enableOwnership": _enable_ownership,
}
