"""A store has to be on a local disk.

SQLite's write-ahead log needs memory that all its users share, and the lock on a run reaches the
processes of one machine: two machines that use one store would damage it and drive one run twice.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from ..errors import StoreError

# The environment variable by which a user vouches that one machine at a time uses the store.
SINGLE_MACHINE = "TRIGGER_NB_SINGLE_MACHINE"
# Network file systems by their names in Linux's table of mounts, less the prefix "fuse.". Any other is taken
# for local: disks and overlays, and the folders that a virtual machine shares with its host (9p in WSL,
# virtiofs, Docker Desktop's own), which are on one machine.
_NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs", "davfs2", "sshfs", "curlftpfs",
    "ceph", "ceph-fuse", "glusterfs", "lustre", "gpfs", "beegfs", "panfs", "pvfs2", "orangefs", "wekafs", "mfs",
    "moosefs", "lizardfs", "seaweedfs", "juicefs", "rclone", "s3fs", "goofys", "mount-s3", "mountpoint-s3",
    "gcsfuse", "blobfuse", "blobfuse2",
})  # fmt: skip
_MOUNTS = Path("/proc/self/mountinfo")


def is_single_machine() -> bool:
    """Whether the user says that no other machine uses the store."""
    return os.environ.get(SINGLE_MACHINE, "").lower() not in ("", "0", "false", "no")


def check_local(directory: Path) -> None:
    """Raise `StoreError` when a store's directory is, or would be made, on a network file system.

    Only Linux is asked: elsewhere there is no cheap way to know.
    """
    there = next((each for each in (directory, *directory.parents) if each.exists()), None)
    kind = "" if there is None else _file_system(there.stat().st_dev)
    if kind.removeprefix("fuse.") in _NETWORK and not is_single_machine():
        raise StoreError(
            f"the store {directory} is on a network file system ({kind}), where neither its database nor the "
            "locks that keep two kernels from driving one run are safe. Put the store on a local disk: "
            "TriggerClient(..., dir=...) or TRIGGER_NB_DIR. Or, if never more than one machine at a time uses "
            f"it, say so with the environment variable {SINGLE_MACHINE}=1."
        )


@cache
def _file_system(device: int) -> str:
    """The kind of the file system with that device number; "" where it is not known."""
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
