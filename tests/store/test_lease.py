"""The lease of a run: rule C5. One run is driven by one kernel at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from trigger_nb import RunStatus, TriggerClient
from trigger_nb._store import local_disk as local_disk_module
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.lease import TIME_TO_LIVE, acquire, is_held
from trigger_nb._store.local_disk import SINGLE_MACHINE
from trigger_nb.errors import RunLockedError, StoreError

ROOT = Path(__file__).parents[2]
NOW = 1_700_000_000.0

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX processes")


class Kernel:
    """Another process that takes a lease and waits."""

    def __init__(self, store, run_id, after="", notebook=""):
        code = f"""
            import json, os, sys
            from pathlib import Path
            from trigger_nb._store.lease import acquire
            lease = acquire(Path(sys.argv[1]), sys.argv[2])
            {after}
            print(json.dumps(lease.holder), flush=True)
            sys.stdin.readline()
            lease.release()
            print("released", flush=True)
            sys.stdin.readline()
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(store), run_id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "JPY_SESSION_NAME": notebook},
        )  # fmt: skip
        self.holder = json.loads(self.process.stdout.readline())

    def release(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "released\n"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def kernel(tmp_path):
    kernels = []

    def start(run_id="run", **options):
        kernels.append(Kernel(tmp_path, run_id, **options))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()


def acquire_in_another_process(store):
    """What it writes to its standard error."""
    code = "import sys, pathlib, trigger_nb._store.lease as l; l.acquire(pathlib.Path(sys.argv[1]), 'run')"
    command = [sys.executable, "-c", code, str(store)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stderr


# One machine


def test_the_second_kernel_is_told_who_the_first_is(tmp_path, kernel):
    """C5: alive means locked; the message names the holder and what to do."""
    first = kernel(notebook="/home/ana/report.ipynb")
    with pytest.raises(RunLockedError) as caught:
        acquire(tmp_path, "run", first.holder)
    message = str(caught.value)
    for part in (
        "'run'",
        f"process {first.process.pid}",
        first.holder["host"],
        "report.ipynb",
        "run.cancel()",
    ):
        assert part in message
    other = acquire(tmp_path, "another run")
    assert not other.lost
    other.release()


def test_alive_means_locked_however_long_ago_it_began(tmp_path, kernel):
    """C5: the age of the record counts for other machines only."""
    first = kernel()
    with pytest.raises(RunLockedError):
        acquire(tmp_path, "run", first.holder, now=time.time() + 1000 * TIME_TO_LIVE)


def test_who_is_dead_is_taken_over_at_once(tmp_path, kernel):
    """C5: after SIGKILL, with no waiting, whatever its record says."""
    first = kernel()
    first.kill()
    lease = acquire(tmp_path, "run", first.holder, now=first.holder["since"])
    assert not lease.lost
    lease.release()


def test_whether_a_run_is_driven_can_be_seen_from_outside(tmp_path, kernel):
    """C5: looking does not take the lock, and a dead kernel drives nothing."""
    first = kernel()
    assert is_held(tmp_path, "run", first.holder)
    assert not is_held(tmp_path, "another run", first.holder)
    first.kill()
    assert not is_held(tmp_path, "run", first.holder)
    lease = acquire(tmp_path, "run", first.holder)
    assert is_held(tmp_path, "run", lease.holder)
    lease.release()
    assert not is_held(tmp_path, "run", lease.holder)


def test_what_is_released_can_be_taken(tmp_path, kernel):
    first = kernel()
    first.release()
    lease = acquire(tmp_path, "run", first.holder)
    lease.release()
    lease.release()
    assert lease.lost
    third = kernel()
    with pytest.raises(RunLockedError):
        acquire(tmp_path, "run", third.holder)


def test_one_process_does_not_take_it_twice(tmp_path):
    """The system's locks do not tell apart the threads of a process."""
    lease = acquire(tmp_path, "run")
    with pytest.raises(RunLockedError):
        acquire(tmp_path, "run", lease.holder)
    assert not lease.lost
    lease.release()
    acquire(tmp_path, "run", lease.holder).release()


def test_of_many_threads_one_gets_it(tmp_path):
    leases, refusals = [], []
    barrier = threading.Barrier(16)

    def work():
        barrier.wait()
        try:
            leases.append(acquire(tmp_path, "run"))
        except RunLockedError as error:
            refusals.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(leases), len(refusals)) == (1, 15)
    leases[0].release()


@posix
def test_of_many_processes_one_gets_it(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from trigger_nb._store.lease import acquire
        from trigger_nb.errors import RunLockedError
        print("ready", flush=True)
        for run in range(20):
            sys.stdin.readline()
            try:
                acquire(Path(sys.argv[1]), f"run {run}")
                print("mine", flush=True)
            except RunLockedError:
                print("not mine", flush=True)
        sys.stdin.readline()
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        process.stdout.readline()
    for _ in range(20):
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        answers = sorted(process.stdout.readline().strip() for process in processes)
        assert answers == ["mine", "not mine", "not mine"]
    for process in processes:
        process.communicate("\n")


@posix
def test_a_forked_child_does_not_keep_the_lock(tmp_path, kernel):
    """C5: a child of the holder (a process pool's worker) that outlives it."""
    fork = "(lambda pid: pid or (os.close(1), __import__('time').sleep(600)))(os.fork())"
    first = kernel(after=f"child = {fork}; lease.holder['child'] = child")
    try:
        with pytest.raises(RunLockedError):
            acquire(tmp_path, "run", first.holder)
        first.kill()
        os.kill(first.holder["child"], 0)  # It lives.
        acquire(tmp_path, "run", first.holder).release()
    finally:
        os.kill(first.holder["child"], 9)


@posix
def test_a_lease_is_not_the_childs(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from trigger_nb._store.lease import acquire
        from trigger_nb.errors import RunLockedError
        lease, other = (acquire(Path(sys.argv[1]), run) for run in ("run", "other"))
        dropped, drop = os.pipe()
        child = os.fork()
        if not child:
            code = 1
            try:
                assert lease.lost
                lease.release()
                try:
                    acquire(Path(sys.argv[1]), "run", lease.holder)
                except RunLockedError:
                    os.read(dropped, 1)
                    assert other.lost  # Even when the child could have the lock.
                    code = 0
            finally:
                os._exit(code)
        other.release()
        os.write(drop, b"x")
        assert os.waitpid(child, 0)[1] == 0
        assert not lease.lost
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, cwd=ROOT)


@posix
def test_a_copy_of_the_directory_does_not_cost_the_lock(tmp_path, kernel):
    """A POSIX trap: closing any descriptor of the lock file drops the process's locks on it."""
    store = tmp_path / "store"
    store.mkdir()
    lease = acquire(store, "run")
    shutil.copytree(store, tmp_path / "copy")
    assert not lease.lost  # the lock is taken again
    assert "RunLockedError" in acquire_in_another_process(store)
    lease.release()


@posix
def test_who_took_a_dropped_lock_has_the_run(tmp_path, kernel):
    """C5: the former holder notices."""
    lease = acquire(tmp_path, "run")
    (tmp_path / "run.lock").read_bytes()  # drops the lock
    kernel()
    assert lease.lost
    lease.release()


def test_an_old_record_is_not_blamed(tmp_path, kernel):
    """The lock is taken before the record is written: then the record names a dead kernel."""
    dead = kernel()
    dead.kill()
    kernel()
    with pytest.raises(RunLockedError, match="only just begun") as caught:
        acquire(tmp_path, "run", dead.holder)
    assert str(dead.process.pid) not in str(caught.value)
    with pytest.raises(RunLockedError, match="only just begun"):
        acquire(tmp_path, "run", None)


def test_a_recycled_pid_is_somebody_else(tmp_path, kernel):
    """C5: a process is its pid and its start."""
    living = kernel()
    impostor = {**living.holder, "started": (living.holder["started"] or 0) - 1}
    if sys.platform == "linux":
        with pytest.raises(RunLockedError, match="only just begun"):
            acquire(tmp_path, "run", impostor)
    living.kill()
    acquire(tmp_path, "run", impostor).release()


def test_a_deleted_store_begins_anew(tmp_path):
    """The lock is in the file that is there now, not in a deleted one that is still open."""
    store = tmp_path / "store"
    store.mkdir()
    first = acquire(store, "run")
    first.release()
    shutil.rmtree(store)
    store.mkdir()
    second = acquire(store, "run")
    assert "RunLockedError" in acquire_in_another_process(store)
    second.release()


@posix
def test_a_store_that_is_closed_leaves_no_file_open_but_that_of_a_lease(tmp_path):
    """C5: closing the file would drop the leases of this process on it. Test suites open thousands of stores."""
    descriptors = Path("/dev/fd")
    before = len(list(descriptors.iterdir()))
    for n in range(5):
        store = DiskStore(tmp_path / f"store{n}")
        acquire(store.directory, "run").release()
        assert is_held(store.directory, "run", {}) is False
        store.close()
    assert len(list(descriptors.iterdir())) == before

    lease = acquire(store.directory, "run")
    store.close()
    assert not lease.lost
    assert "RunLockedError" in acquire_in_another_process(store.directory)
    lease.release()
    store.close()
    assert len(list(descriptors.iterdir())) == before
    acquire(store.directory, "run").release()  # it is opened again


def test_a_directory_without_locks_says_so(tmp_path):
    with pytest.raises(StoreError, match="TRIGGER_NB_DIR"):
        acquire(tmp_path / "not there", "run")


def test_a_lease_writes_nothing(tmp_path):
    """The holder is part of the run's record."""
    lease = acquire(tmp_path, "run", now=NOW)
    assert {"host", "boot", "pid", "started", "notebook", "since"} == set(lease.holder)
    assert lease.holder["since"] == NOW
    assert json.loads(json.dumps(lease.holder)) == lease.holder
    assert [thread.name for thread in threading.enumerate() if "heartbeat" in thread.name] == []
    lease.release()
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    assert (tmp_path / "run.lock").stat().st_size == 0


# Another boot, another machine


def test_a_machine_that_was_started_anew_has_no_holders(tmp_path):
    """C5: the same host name, another boot: dead, however lately it began."""
    rebooted = {**mine(tmp_path), "boot": "an earlier boot"}
    assert not is_held(tmp_path, "run", rebooted, now=NOW)
    lease = acquire(tmp_path, "run", rebooted, now=NOW)
    assert not lease.lost
    lease.release()


def test_a_container_is_on_this_machine(tmp_path):
    """Host names differ, the boot is one: the lock decides."""
    if not (holder := mine(tmp_path))["boot"]:
        pytest.skip("this system has no boot id")
    container = {**holder, "host": "container"}
    assert not is_held(tmp_path, "run", container, now=NOW)
    lease = acquire(tmp_path, "run", container, now=NOW)
    assert is_held(tmp_path, "run", container, now=NOW)
    lease.release()


def mine(store):
    """What a record says of this kernel as the holder, which has given the lease back."""
    lease = acquire(store, "run", now=NOW)
    lease.release()
    return lease.holder


FAR = {"host": "far", "boot": "boot of far", "pid": 7, "started": 1, "notebook": "", "since": NOW}


def test_a_kernel_on_another_machine_has_the_run_for_a_day(tmp_path):
    """C5: as where a folder is shared with a virtual machine. The error says who it is, and until when."""
    almost, after = NOW + TIME_TO_LIVE - 1, NOW + TIME_TO_LIVE + 1
    with pytest.raises(RunLockedError) as caught:
        acquire(tmp_path, "run", FAR, now=almost)
    for part in (
        "another machine drives run",
        "process 7 on far",
        "2023-11-15 22:13:20 UTC",
        f"{SINGLE_MACHINE}=1",
    ):
        assert part in str(caught.value)
    assert is_held(tmp_path, "run", FAR, now=almost)
    assert not is_held(tmp_path, "run", FAR, now=after)
    lease = acquire(tmp_path, "run", FAR, now=after)
    assert not lease.lost
    lease.release()


def test_a_clock_that_is_days_ahead_elsewhere_locks_nobody_out_for_good(tmp_path):
    assert not is_held(tmp_path, "run", FAR, now=NOW - TIME_TO_LIVE - 1)
    assert is_held(tmp_path, "run", FAR, now=NOW - 60)


def test_whoever_says_that_there_is_one_machine_goes_on_at_once(tmp_path, monkeypatch):
    """A store that was moved here while a run was under way."""
    monkeypatch.setenv(SINGLE_MACHINE, "1")
    assert not is_held(tmp_path, "run", FAR, now=NOW + 1)
    acquire(tmp_path, "run", FAR, now=NOW + 1).release()
    monkeypatch.setenv(SINGLE_MACHINE, "0")
    assert is_held(tmp_path, "run", FAR, now=NOW + 1)


def test_a_run_that_another_machine_may_drive_is_shown_as_running_and_not_begun_here(world):
    """C5: its status, what can be done with it, and whoever runs its cell say the same."""
    fails = [True]

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("task", world.failing("task", *([OSError("no")] if fails else []))))

    world.fail(job)
    run, runtime = world.last(job), world.client.runtime
    record = runtime.run_record(run.id)
    record.status, record.holder = RunStatus.RUNNING, {**FAR, "since": time.time()}
    runtime.save_run(record)
    assert world.last(job).status == "RUNNING"
    assert isinstance(world.fail(job), RunLockedError)
    record.holder["since"] -= TIME_TO_LIVE
    runtime.save_run(record)
    assert world.last(job).status == "INTERRUPTED"
    fails.clear()
    world.run(job)
    assert world.last(job).status == "COMPLETED"


# Network file systems


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """As if the test's folder were on a file system of some kind."""
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"

    def mount(kind):
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
            f"36 35 {number} / {tmp_path} rw,noatime master:1 shared:2 - {kind} server:/export rw,vers=4.2\n"
            f"37 35 {number} /of /else\\040where rw - {kind} server:/export rw\n"
        )
        monkeypatch.setattr(local_disk_module, "_MOUNTS", mounts)
        local_disk_module._file_system.cache_clear()

    yield mount
    local_disk_module._file_system.cache_clear()


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no table of mounts")


@on_linux
@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "lustre", "ceph", "fuse.glusterfs"])
def test_a_store_on_a_network_file_system_is_refused_with_what_to_do(tmp_path, mounted, kind):
    mounted(kind)
    client = TriggerClient("net", dir=tmp_path / "stores")
    with pytest.raises(
        StoreError,
        match=rf"network file system \({kind}\).*local disk.*dir=.*TRIGGER_NB_DIR.*{SINGLE_MACHINE}=1",
    ):
        client.runs()
    assert not (tmp_path / "stores").exists()


@on_linux
@pytest.mark.parametrize("kind", ["ext4", "overlay", "9p", "virtiofs", "fuse.mergerfs", "fakeowner", "tmpfs"])
def test_a_store_on_a_disk_or_in_a_folder_that_the_host_shares_is_used(tmp_path, mounted, kind):
    """WSL, Docker Desktop and encrypted disks look like this, on one machine."""
    mounted(kind)
    assert list(TriggerClient("local", dir=tmp_path).runs()) == []


@on_linux
def test_whoever_says_that_there_is_one_machine_may_have_a_store_on_a_network(tmp_path, mounted, monkeypatch):
    mounted("nfs4")
    monkeypatch.setenv(SINGLE_MACHINE, "1")
    assert list(TriggerClient("net", dir=tmp_path).runs()) == []
