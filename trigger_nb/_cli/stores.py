"""The stores that a command is about, and the runs in them, found without executing any code of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from .._records.records import RunRecord
from .._store.owner import Owner, Source
from ..client import TriggerClient
from ..run import Run
from .problems import Problem, similar

_FOLDER = ".trigger_nb"


def stores(where: str | None) -> list[TriggerClient]:
    """The stores at a place, or those of this folder. Raises `Problem` if there is none."""
    found = [_client(path) for path in _paths(where)]
    if not found:
        raise Problem(
            f"there is no store in {_place(where)}. Go to the folder of the notebook, or name it: --store FOLDER. A store "
            "appears with the first job that is defined"
        )
    return found


def _place(where: str | None) -> Path:
    return Path(where or os.environ.get("TRIGGER_NB_DIR") or _FOLDER)


def _paths(where: str | None) -> list[Path]:
    place = Path(os.path.abspath(_place(where)))
    if place.is_file():
        folder = os.environ.get("TRIGGER_NB_DIR") or place.parent / _FOLDER
        return [each for each in _in(Path(os.path.abspath(folder))) if _knows(each, place)]
    if (place / "cache.db").exists():
        return [place]
    return _in(place) or _in(place / _FOLDER)


def _in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        each for each in folder.iterdir() if not each.name.startswith(".") and (each / "cache.db").exists()
    )


def _knows(store: Path, file: Path) -> bool:
    """Whether jobs in the store come from a file."""
    owner, source = Owner(store), Source(file)
    known = [each for files in owner.jobs.values() for each in files]
    if owner.default is not None:
        known.append(owner.default)
    return any(each.kinship(source, store) == "same" for each in known)


def _client(path: Path) -> TriggerClient:
    client = TriggerClient(unquote(path.name), dir=path.parent, display=False)
    client._dir = path  # also where the folder is not named as this version would name it
    return client


def listening_store(clients: list[TriggerClient], event: str) -> TriggerClient:
    """The store that an event is for: the only one, or the only one with jobs that listen. Raises `Problem`."""
    listening = [client for client in clients if client.runtime.post.subscribers(event)]
    found = clients if len(clients) == 1 else listening
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(client.dir) for client in (found or clients)[:5])
    why = (
        "jobs of several stores listen to it"
        if found
        else "there are several stores, and no job listens to it"
    )
    raise Problem(f"event {event!r}: {why}; say which store, --store FOLDER: {listed}")


def find_run(clients: list[TriggerClient], name: str) -> tuple[TriggerClient, Run]:
    """The run with an id, or whose id begins like this. Raises `Problem` if there is none, or more than one."""
    for client in clients:
        if "/" not in name and client.runtime.run_record(name) is not None:
            return client, Run(client.runtime, name)
    every = [(client, record.id) for client in clients for record in client.runtime.each_run_record()]
    found = (
        [(client, run_id) for client, run_id in every if run_id.startswith((name, f"run_{name}"))]
        if name
        else []
    )
    if len(found) == 1:
        client, run_id = found[0]
        return client, Run(client.runtime, run_id)
    where = ", ".join(str(client.dir) for client in clients)
    if found:
        listed = ", ".join(run_id for _, run_id in found[:5])
        raise Problem(
            f"{len(found)} runs have an id that begins with {name!r}: {listed}{', …' if len(found) > 5 else ''}"
        )
    hint = similar(name, (run_id for _, run_id in every))
    raise Problem(f"there is no run {name!r} in {where}{hint}. `trigger-nb runs` lists the runs")


def newest_run(clients: list[TriggerClient]) -> tuple[TriggerClient, Run]:
    """The run that was made last. Raises `Problem` if there is none."""
    heads = [(client, next(iter(client.runtime.each_run_record()), None)) for client in clients]
    found = [(record.created_at, client, record.id) for client, record in heads if record is not None]
    if not found:
        raise Problem("there are no runs yet: trigger-nb run FILE:JOB starts one")
    _, client, run_id = max(found, key=lambda each: each[0])
    return client, Run(client.runtime, run_id)


def file_of(client: TriggerClient, record: RunRecord) -> Path:
    """The file that defines the job of a run, as its store knows it. Raises `Problem`."""
    store = client.runtime.store.directory
    owner = Owner(store)
    files = owner.jobs.get(record.job, [])
    known = next((each for each in files if each.name == record.source), None)
    for each in (owner.default, known):
        # The notebook of a default store defines its jobs itself, or imports them.
        path = None if each is None else each.where(store)
        if path is not None:
            return path
    was = f" (it was {known.path})" if known is not None else ""
    raise Problem(
        f"the file that defines job {record.job!r} is not known{was}. Name it: --file FILE, a notebook, script or module"
    )
