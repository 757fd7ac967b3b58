"""The libraries, and what of them is measured."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Library:
    """One side of the table."""

    module: str  # with its workloads, beside this file
    name: str
    package: str
    imports: str  # what a user of it writes first
    workloads: tuple[str, ...]
    tasks: int = 1000  # of a run
    replay_aim: float = 3.0  # how many times as fast a replay of ours should be

    @property
    def version(self) -> str | None:
        """None: it is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


ENGINE = ("fresh", "replay", "fan_out")
CACHE = ("fresh", "replay")

OURS = Library(
    "with_trigger_nb", "trigger_nb", "trigger-nb", "from trigger_nb import TriggerClient, job",
    (*ENGINE, "fan_out_map", "map", "map_again", "imap", "imap_large"),
)  # fmt: skip
PEERS = (
    Library("with_dbos", "DBOS", "dbos", "from dbos import DBOS", ENGINE, replay_aim=50.0),
    # Three seconds a run besides its tasks make more of them a matter of minutes.
    Library("with_prefect", "Prefect", "prefect", "from prefect import flow, task", ENGINE, tasks=100),
    Library(
        "with_langgraph", "LangGraph", "langgraph",
        "from langgraph.func import entrypoint, task\nfrom langgraph.checkpoint.sqlite import SqliteSaver", ENGINE,
    ),
    Library("with_joblib", "joblib.Memory", "joblib", "from joblib import Memory", CACHE),
    Library("with_marimo", "marimo persistent_cache", "marimo", "from marimo import persistent_cache", CACHE),
    Library("with_diskcache", "diskcache memoize", "diskcache", "from diskcache import Cache", CACHE),
)  # fmt: skip
