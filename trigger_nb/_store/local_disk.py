"""The check that a store is on a local disk.

SQLite's write-ahead log needs shared memory, and the lock on a run works only within one machine. Two machines
that use one store would damage it and drive the same run at the same time.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from ..errors import StoreError

# The environment variable with which a user states that only one machine at a time uses the store.
SINGLE_MACHINE = "TRIGGER_NB_SINGLE_MACHINE"
# Network file systems by their names in Linux's table of mounts, without the prefix "fuse.". All others count as
# local: disks, overlays, and the folders that a virtual machine shares with its host (9p in WSL, virtiofs, those
# of Docker Desktop), which are on one machine.
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "davfs",
        "davfs2",
        "sshfs",
        "curlftpfs",
        "ceph",
        "ceph-fuse",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "panfs",
        "pvfs2",
        "orangefs",
        "wekafs",
        "mfs",
        "moosefs",
        "lizardfs",
        "seaweedfs",
        "juicefs",
        "rclone",
        "s3fs",
        "goofys",
        "mount-s3",
        "mountpoint-s3",
        "gcsfuse",
        "blobfuse",
        "blobfuse2",
    }
)
_MOUNTS = Path("/proc/self/mountinfo")


def is_single_machine() -> bool:
    """Whether the user has stated that only one machine at a time uses the store."""
    return os.environ.get(SINGLE_MACHINE, "").lower() not in ("", "0", "false", "no")


def check_local(directory: Path) -> None:
    """Raise `StoreError` if a store's directory is, or would be created, on a network file system.

    Checks on Linux only: other systems offer no cheap way to find out.
    """
    there = next((each for each in (directory, *directory.parents) if each.exists()), None)
    kind = "" if there is None else _file_system(there.stat().st_dev)
    if kind.removeprefix("fuse.") in _NETWORK and not is_single_machine():
        raise StoreError(
            f"the store {directory} is on a network file system ({kind}), where neither its database nor the "
            "locks that keep two kernels from driving one run are safe. Put the store on a local disk: "
            "TriggerClient(..., dir=...) or TRIGGER_NB_DIR. If only one machine at a time uses it, set the "
            f"environment variable {SINGLE_MACHINE}=1 instead."
        )


@cache
def _file_system(device: int) -> str:
    """The type of the file system with a device number; "" if unknown."""
    try:
        mounts = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    for mount in mounts:  # such as "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw"
        before, _, after = mount.partition(" - ")
        if number in before.split()[2:3]:
            return after.partition(" ")[0]
    return ""
