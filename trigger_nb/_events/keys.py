"""The keys of what waits in a store: sorted by key, they answer what is due next, and what is for whom.

```
post/due/event/<time>/<id>           an event to deliver then
post/due/run/<time>/<id>             a run that waits until then
post/open/<run>                      a run that a listener has started, and that is to end
post/due/tick/<time>/<schedule>      the next due time of a schedule
post/on/<name>/job/<job>             jobs that listen to events of a name, lastingly
post/on/<name>/run/<run>             runs that have waited for events of a name
post/in/<job>/<time>/<event>         events for a job, in the order in which they were delivered
post/unheard/<name>/<time>/<event>   events that were for nobody
post/mail/<run>/<time>/<event>       events for a run that waits, or that its waits have taken
post/job/<job>, post/schedule/<id>, post/trigger/<id>/<key>
post/serve/secret, post/serve/base   what addresses are made from, and where they are served
```
"""

from __future__ import annotations

import itertools
from urllib.parse import quote, unquote

TAG = "post"
DUE = "post/due/"
KINDS = ("event", "tick", "run")
OPEN = "post/open/"
UNHEARD = "post/unheard/"
_count = itertools.count()


def tag_of(run_id: str) -> str:
    """The tag of rows that go with a run, except its letters."""
    return f"{TAG}/{run_id}"


def end_of(prefix: str) -> str:
    """The first key after all keys with this prefix, which ends in "/"."""
    return prefix[:-1] + "0"


def time_text(when: float) -> str:
    """A time as text that sorts like the time: milliseconds."""
    return f"{max(0, round(when * 1000)):015d}"


def turn(when: float) -> str:
    """A place in the order of deliveries: by time, and then in the order of this process."""
    return f"{max(0, round(when * 1000)):015d}.{next(_count):09d}"


def due(when: float, kind: str, name: str) -> str:
    """The key of something that is due at a time: an "event", a "run" or a "tick"."""
    return f"{DUE}{kind}/{time_text(when)}/{quote(name, safe='')}"


def split_due(key: str) -> tuple[float, str, str]:
    """Time, kind and name of such a key."""
    kind, when, name = [*key.removeprefix(DUE).split("/", 2), "", ""][:3]
    return int(when) / 1000 if when.isdecimal() else 0.0, kind, unquote(name)


def past(kind: str, now: float) -> tuple[str, str]:
    """The first key of what is due by now, and the first one after that."""
    return f"{DUE}{kind}/", f"{DUE}{kind}/{time_text(now)}0"


def future(kind: str, now: float) -> tuple[str, str]:
    """The first key of what is due after now, and the first one after that."""
    return f"{DUE}{kind}/{time_text(now)}0", f"{DUE}{kind}0"


def on(name: str) -> str:
    """The prefix of those who listen to events of a name."""
    return f"post/on/{quote(name, safe='')}/"


def inbox(job_id: str) -> str:
    """The prefix of the events for a job."""
    return f"post/in/{quote(job_id, safe='')}/"


def unheard(name: str) -> str:
    """The prefix of the events of a name that were for nobody."""
    return f"{UNHEARD}{quote(name, safe='')}/"


def mail(run_id: str) -> str:
    """The prefix of the events for a run."""
    return f"post/mail/{run_id}/"


def job_row(job_id: str) -> str:
    """The key of what a job listens to."""
    return f"post/job/{quote(job_id, safe='')}"


def last(key: str) -> str:
    """What the last part of a key stands for."""
    return unquote(key.rpartition("/")[2])
