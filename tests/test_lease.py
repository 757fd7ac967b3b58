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

from trigger_nb import _lease
from trigger_nb._lease import TIME_TO_LIVE, acquire, is_held
from trigger_nb.errors import RunLockedError, StoreError

ROOT = Path(__file__).parent.parent
NOW = 1_700_000_000.0

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX processes")


add_to_heart = _lease._Heart.add


@pytest.fixture(autouse=True)
def no_heartbeats(monkeypatch):
    """A test that takes long sees none but its own: a beat takes a lost lock again, and writes a file."""
    monkeypatch.setattr(_lease._Heart, "add", lambda heart, lease: None)


@pytest.fixture
def elsewhere(monkeypatch):
    """What is done in it is done on another machine: `with elsewhere("host"): ...`."""

    class Elsewhere:
        def __call__(self, host):
            self.host = host
            return self

        def __enter__(self):
            self.patch = pytest.MonkeyPatch()
            kernel = {
                "host": self.host,
                "boot": f"boot of {self.host}",
                "pid": 7,
                "started": 1,
                "notebook": "",
            }
            self.patch.setattr(_lease, "_this_kernel", lambda _: kernel)
            # Locks do not reach that far.
            self.patch.setattr(_lease._Lock, "take", lambda _: True)
            self.patch.setattr(_lease._Lock, "keep", lambda _: True)
            self.patch.setattr(_lease._Lock, "give_back", lambda _: None)

        def __exit__(self, *_):
            self.patch.undo()

    return Elsewhere()


class Kernel:
    """Another process that takes a lease and waits."""

    def __init__(self, store, run_id, after="", notebook=""):
        code = f"""
            import json, os, sys
            from pathlib import Path
            from trigger_nb._lease import acquire
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
    code = "import sys, pathlib, trigger_nb._lease as l; l.acquire(pathlib.Path(sys.argv[1]), 'run')"
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


def test_alive_means_locked_however_old_its_heartbeat(tmp_path, kernel):
    """C5"""
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
        from trigger_nb._lease import acquire
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
        from trigger_nb._lease import acquire
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
    assert not lease.lost  # Asked before a transition; the heartbeat asks too.
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


def test_a_directory_without_locks_says_so(tmp_path):
    with pytest.raises(StoreError, match="TRIGGER_NB_DIR"):
        acquire(tmp_path / "not there", "run")


def test_the_plain_path_writes_nothing(tmp_path):
    """The holder rides in the run's record, and the first heartbeat comes later."""
    lease = acquire(tmp_path, "run", now=NOW)
    assert {"host", "boot", "pid", "started", "notebook", "since", "token"} == set(lease.holder)
    assert lease.holder["since"] == NOW
    assert json.loads(json.dumps(lease.holder)) == lease.holder
    lease.release()
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    assert (tmp_path / "run.lock").stat().st_size == 0


# Another boot, another machine


def test_a_machine_that_was_started_anew_has_no_holders(tmp_path, elsewhere):
    """C5: the same host name, another boot: dead, however fresh its heartbeat."""
    lease = acquire(tmp_path, "run", now=NOW)
    lease.release()
    rebooted = {**lease.holder, "boot": "an earlier boot"}
    acquire(tmp_path, "run", rebooted, now=NOW).release()


def test_a_container_is_on_this_machine(tmp_path, elsewhere):
    """Host names differ, the boot is one: the lock decides."""
    lease = acquire(tmp_path, "run", now=NOW)
    lease.release()
    if lease.holder["boot"]:
        acquire(tmp_path, "run", {**lease.holder, "host": "container"}, now=NOW).release()


def test_another_machine_is_waited_for_until_its_heartbeat_stops(tmp_path, elsewhere):
    """C5: a time to live, counted from the last heartbeat."""
    with elsewhere("far"):
        far = acquire(tmp_path, "run", now=NOW)
    with pytest.raises(RunLockedError, match=r"another machine: process 7 on far.*60 s"):
        acquire(tmp_path, "run", far.holder, now=NOW + TIME_TO_LIVE - 1)
    with elsewhere("far"):
        far.beat()
    now = time.time()
    with pytest.raises(RunLockedError):
        acquire(tmp_path, "run", far.holder, now=now + TIME_TO_LIVE - 1)
    lease = acquire(tmp_path, "run", far.holder, now=now + TIME_TO_LIVE + 1)
    assert not lease.lost
    lease.release()
    far.release()


def test_the_former_holder_notices(tmp_path, elsewhere):
    """C5: at its next heartbeat, and before a transition when it has slept."""
    with elsewhere("far"):
        beating, sleeping = acquire(tmp_path, "a", now=NOW), acquire(tmp_path, "b", now=NOW)
        assert not beating.lost
    leases = [
        acquire(tmp_path, run, old.holder, now=NOW + 2 * TIME_TO_LIVE)
        for run, old in (("a", beating), ("b", sleeping))
    ]
    with elsewhere("far"):
        beating.beat()
        assert beating.lost
        assert not list((tmp_path / "leases").glob("*.beat"))
        sleeping._beaten_at -= 2 * TIME_TO_LIVE
        assert sleeping.lost
    assert not any(lease.lost for lease in leases)
    for lease in (*leases, beating, sleeping):
        lease.release()


def test_of_two_machines_one_takes_over(tmp_path, elsewhere):
    """C5: both found the heartbeat too old; the record still names the dead one."""
    with elsewhere("dead"):
        dead = acquire(tmp_path, "run", now=NOW)
    later = NOW + 2 * TIME_TO_LIVE
    lease = acquire(tmp_path, "run", dead.holder, now=later)
    with elsewhere("third"), pytest.raises(RunLockedError, match=lease.holder["host"]):
        acquire(tmp_path, "run", dead.holder, now=later + 1)
    # The one that took over died before it was written down: it is waited for, then followed too.
    lease.release()
    with elsewhere("third"):
        third = acquire(tmp_path, "run", dead.holder, now=later + 2 * TIME_TO_LIVE)
    with pytest.raises(RunLockedError, match="third"):
        acquire(tmp_path, "run", dead.holder, now=later + 2 * TIME_TO_LIVE + 1)
    for lease in (dead, third):
        lease.release()


def test_the_former_holder_does_not_come_back_while_it_is_unknown(tmp_path, elsewhere):
    """C5: the record still names this machine, where the lock is free; another has taken over."""
    mine = acquire(tmp_path, "run", now=NOW)
    with elsewhere("far"):
        far = acquire(tmp_path, "run", mine.holder, now=NOW + 2 * TIME_TO_LIVE)
    mine.release()
    with pytest.raises(RunLockedError, match="far"):
        acquire(tmp_path, "run", mine.holder, now=NOW + 2 * TIME_TO_LIVE + 1)
    far.release()


def test_a_token_from_the_database_names_no_other_file(tmp_path):
    (tmp_path / "cache.db.taken").write_text('{"host": "x"}')
    holder = {"host": "far", "boot": "x", "since": NOW, "token": "../cache.db"}
    acquire(tmp_path, "run", holder, now=NOW + 2 * TIME_TO_LIVE).release()


def test_one_thread_beats_for_all_and_ends(tmp_path, monkeypatch):
    """C5: the heartbeat is a thread's, never the event loop's."""
    monkeypatch.setattr(_lease._Heart, "add", add_to_heart)
    monkeypatch.setattr(_lease, "INTERVAL", 0.01)
    monkeypatch.setattr(_lease, "_current", None)
    leases = [acquire(tmp_path, f"{n}") for n in range(3)]
    thread = _lease._process().heart._thread
    while len(list((tmp_path / "leases").glob("*.beat"))) < 3:
        time.sleep(0.005)
    assert sum(thread.name == "trigger_nb-heartbeat" for thread in threading.enumerate()) >= 1
    for lease in leases:
        lease.release()
    thread.join()
    assert not list((tmp_path / "leases").glob("*.beat"))
    again = acquire(tmp_path, "0")
    assert _lease._process().heart._thread is not thread
    again.release()


def test_a_heartbeat_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch):
    """A9: a full disk is no reason to stop a run that is doing well."""

    def full(*_):
        raise OSError(28, "No space left on device")

    lease = acquire(tmp_path, "run")
    monkeypatch.setattr(_lease, "_write", full)
    lease.beat()
    assert not lease.lost
    lease.release()
