"""The payload of a run that a schedule starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The payload of a run that a schedule starts.

    - `ts`: the time at which it was due, in the time zone of the schedule.
    - `last_ts`: the due time of the run before; None for the first one.
    - `key`: which schedule of a `DynamicSchedule` it is; "" for the job's own.

    By hand, `job.run()` takes the time at which the job was due last, and `job.run({"ts": "2030-01-31T02:30+01:00"})` any other.

    ```
    @client.job(trigger=cron_trigger("0 9 * * 1-5", timezone="Europe/Berlin"))
    async def report(payload, io):
        return f"sales of {payload.ts:%A}"
    ```
    """

    ts: datetime
    last_ts: datetime | None = None
    key: str = ""
