"""The part of `io` that runs one body for many items: `parallel`, `map` and `imap`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, Unpack, overload

from .._callsite import Place
from .._clock import is_whole_number
from .._maps.imap import Channel, MapIterator
from .._maps.items import Items, check_items
from .._maps.map import CONCURRENCY, Walk, plan_of
from .._maps.parallel import Parallel
from .._tasks.call import Call
from .._tasks.options import MapOptions, Options
from ..errors import UsageError
from .checks import MAP_OPTIONS, check_one_item, check_options
from .starter import TaskStarter, caller

T = TypeVar("T")
R = TypeVar("R")
Item = TypeVar("Item")


class FanOuts(TaskStarter):
    """Runs a body for each of many items, as a task each, below one node in the tree."""

    def parallel(
        self, key: object, items: Iterable[Item], body: Callable[..., object], **options: Unpack[Options]
    ) -> Call[list[Any]]:
        """Run `body(item, index)` for all items at once. The result is a list, in the order of the items.

        Each item is a task whose key is its index. A body with one parameter gets the item only. The options
        are those of `run_task`, and apply to each item. To limit how many run at once, use `map`.

        Raises the first error of an item, in the order of the items, once all of them have ended. The next
        run of the cell runs only the failed ones again.

        ```
        sizes = await io.parallel("size", ["a.csv", "b.csv"], lambda file, index: len(file))
        ```
        """
        return self._parallel(caller(), key, items, body, options)

    def _parallel(
        self,
        place: Place,
        key: object,
        items: Iterable[object],
        body: Callable[..., object],
        options: Options,
    ) -> Call[list[Any]]:
        if options:
            check_options(options)
        named: dict[str, Any] = {name: options.get(name, "") for name in ("name", "icon")}
        fan_out = Parallel(list(items), body, options, place)
        return self._task(place, key, fan_out, kind="parallel", **named)

    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Awaitable[Sequence[T]]],
        *,
        batch: int,
        **options: Unpack[MapOptions],
    ) -> Call[list[T]]: ...
    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Sequence[T]],
        *,
        batch: int,
        **options: Unpack[MapOptions],
    ) -> Call[list[T]]: ...
    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., object],
        *,
        returns: type[R],
        **options: Unpack[MapOptions],
    ) -> Call[list[R]]: ...
    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Any],
        *,
        check: Callable[[Any], Awaitable[R]],
        **options: Unpack[MapOptions],
    ) -> Call[list[R]]: ...
    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Any],
        *,
        check: type[R] | Callable[[Any], R],
        **options: Unpack[MapOptions],
    ) -> Call[list[R]]: ...
    @overload
    def map(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Awaitable[T]],
        **options: Unpack[MapOptions],
    ) -> Call[list[T]]: ...
    @overload
    def map(
        self, key: object, items: Items[Item], body: Callable[..., T], **options: Unpack[MapOptions]
    ) -> Call[list[T]]: ...
    def map(
        self, key: object, items: Items[object], body: Callable[..., object], *more: object, **options: Any
    ) -> Call[list[Any]]:
        """Run `body(item)` for each of many items. The result is a list, in the order of the items.

        Each item is a task whose key is its content, or `item_key(item)`. Completed items are replayed also
        when the list changes, and only new ones run.

        `items` is any iterable, sync or async; it is read as the map advances.

        - `concurrency`: how many items run at once, 20 by default.
        - `rate`: how often an item may begin, such as `"300/minute"`, or a `Rate` that is shared.
        - `batch`: the body gets lists of up to this many items, and returns a list with a result for each.
        - `item_key`: a function that returns the key of an item, such as `lambda item: item.id`.
        - `item_name`: a function that returns what is shown of an item, such as `lambda item: item.title`.
        - `return_errors`: put the errors of failed items among the results, in place of `MapError`.
        - `max_failures`: start no new item after this many failures; by default after 20 in a row.
        - `first`: stop after this many items, spread over all; *Continue* or `run.resume()` goes on. Without a person, go on.
        - `name`, `description`: of the map. `properties`: those of each item, or a function of the item.
        - `retry`, `on_error`, `timeout`, `returns`, `check`, `on_change`, `repeatable`, `keep_inputs`, `reuse`,
          `expires_after`, `codec`, `thread`, `executor`, `icon`, `style`, `redact`: for each item, as in `run_task`.

        Raises `MapError` with the errors of the failed items, once all items have ended; and
        `InvalidKeyError` for an item that has no usable content, which needs `item_key`.

        ```
        lengths = await io.map("length", ["one", "three"], len, concurrency=50, rate="300/minute", retry=3)
        ```
        """
        check_one_item(body, more)
        return self._map(caller(), key, items, body, options)[0]

    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Awaitable[Sequence[T]]],
        *,
        batch: int,
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, T]]: ...
    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Sequence[T]],
        *,
        batch: int,
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, T]]: ...
    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., object],
        *,
        returns: type[R],
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, R]]: ...
    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Any],
        *,
        check: Callable[[Any], Awaitable[R]],
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, R]]: ...
    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Any],
        *,
        check: type[R] | Callable[[Any], R],
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, R]]: ...
    @overload
    def imap(
        self,
        key: object,
        items: Items[Item],
        body: Callable[..., Awaitable[T]],
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, T]]: ...
    @overload
    def imap(
        self, key: object, items: Items[Item], body: Callable[..., T], **options: Unpack[MapOptions]
    ) -> MapIterator[tuple[Item, T]]: ...
    def imap(
        self, key: object, items: Items[object], body: Callable[..., object], *more: object, **options: Any
    ) -> MapIterator[tuple[Any, Any]]:
        """Run `body(item)` for each of many items, and iterate over pairs of item and result as they complete.

        Use it when the results are too many or too large for a list: a pair is not kept once it is taken.
        Arguments and errors are those of `map`; the error is raised at the end of the loop. Leaving the
        loop early ends the map: items that run are completed and recorded, and no other item starts.

        ```
        async for text, length in io.imap("length", ["one", "three"], len):
            print(text, length)
        ```
        """
        check_one_item(body, more)
        channel = self._channel(options)
        call, walk = self._map(caller(), key, items, body, options, channel.give)
        return MapIterator(call, walk, channel)

    def _channel(self, options: dict[str, Any]) -> Channel:
        """A channel with room for one result per worker, so that at most that many wait to be taken."""
        given = options.get("concurrency")
        return Channel(int(given) if is_whole_number(given) else CONCURRENCY)

    def _map(
        self,
        place: Place,
        key: object,
        items: Items[object],
        body: Callable[..., object],
        options: dict[str, Any],
        give: Callable[[object, object], Awaitable[None]] | None = None,
    ) -> tuple[Call[list[Any]], Walk]:
        try:
            check_options(options, MAP_OPTIONS)
            check_items(items)
            plan = plan_of(options, body)
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        walk = Walk(items, body, plan, place, give)
        named: dict[str, Any] = {
            name: options[name] for name in ("name", "description", "icon") if name in options
        }
        return self._task(place, key, walk, kind="map", **named), walk
