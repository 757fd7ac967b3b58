"""The part of diskcache that `trigger_nb/_store_database.py` uses."""

from typing import Any

class Cache:
    def __init__(self, directory: str | None = ..., timeout: float = ..., **settings: Any) -> None: ...
    def close(self) -> None: ...
