"""The header of a run as it was last sent to the front end: of a new one only the changes are sent."""

from __future__ import annotations

from ..model.run_model import RunModel
from . import wire
from .wire import Wire


class SentHeader:
    """The header of the run as it was last sent."""

    def __init__(self) -> None:
        self._fields: Wire = {}
        self._clock: tuple[object, ...] = ()  # the run's status when the clock was last sent

    def changes(self, model: RunModel, fields: Wire) -> Wire:
        """The fields to send so that the header has these `fields`, with the clock if it is set again."""
        changed = {name: value for name, value in fields.items() if self._fields.get(name, _UNSENT) != value}
        self._fields = fields
        run = model.run
        clock = (run.status, run.reason, run.passes, run.worked, model.ended)
        if clock != self._clock:
            self._clock = clock
            changed |= wire.clock(model)
        return changed


_UNSENT = object()
