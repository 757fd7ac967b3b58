"""How the user's functions are called: which parameters they take, and on which thread they run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple, TypeAlias, cast, get_args
from weakref import WeakKeyDictionary

from ..errors import InvalidOptionError

Arguments: TypeAlias = tuple[tuple[object, ...], dict[str, object]]  # by position, and by name


class Signature(NamedTuple):
    """The facts about a callable's parameters that the engine needs."""

    names: tuple[str, ...]  # parameters that can be filled by name
    required: tuple[str, ...]  # positional parameters without a default, in order
    is_async: bool
    returns: object  # the annotation, or None


class _Kept(NamedTuple):
    """A cached signature, with the facts that invalidate it when they change."""

    signature: Signature
    defaults: int  # how many parameters have one
    annotation: object  # the return annotation as it is written
    code: CodeType  # kept alive, because its id is the key


# By the id of the code object and by how its parameters are bound (as a method, by a partial). Hashing a code
# object costs more than the rest of a replay. As large as the number of functions that a session defines.
_signatures: dict[Hashable, _Kept] = {}
# For callables without a code object that identifies them: decorated functions share the wrapper's, classes
# and builtins have none. By how they are bound, with the facts that show an edit in place by autoreload.
_signatures_of_others: WeakKeyDictionary[Any, dict[Hashable, tuple[Any, Any, Signature]]] = (
    WeakKeyDictionary()
)


def signature_of(function: Any) -> Signature:
    """The signature of any callable; inspected once for each code object and way to bind it."""
    inner: Any = function
    bound: Hashable = None
    if type(function) is not FunctionType:
        if type(function) is functools.partial and not function.__dict__:
            bound = (len(function.args), *function.keywords)
            inner = function.func
        if type(inner) is MethodType:
            bound = (bound, MethodType)
            inner = inner.__func__
        elif _is_plain_object(inner):
            bound = (bound, MethodType)
            inner = type(inner).__call__
    if type(inner) is not FunctionType or inner.__dict__:
        return _signature_of_other(function, inner, bound)
    code = inner.__code__
    key = (id(code), bound) if bound else id(code)
    kept = _signatures.get(key)
    defaults = len(inner.__defaults__) if inner.__defaults__ else 0
    annotation = inner.__annotations__.get("return")
    if kept is None or kept.defaults != defaults or kept.annotation is not annotation:
        kept = _signatures[key] = _Kept(_inspect(function), defaults, annotation, code)
    return kept.signature


def _is_plain_object(function: Any) -> bool:
    """Whether a call only calls the `__call__` of the object's class."""
    call: object = getattr(cast("type[Any]", type(function)), "__call__", None)  # noqa: B004  # it is looked at
    if type(call) is not FunctionType or isinstance(function, type):
        return False
    return not (hasattr(function, "__wrapped__") or hasattr(function, "__signature__"))


def _signature_of_other(function: Any, inner: Any, bound: Hashable) -> Signature:
    called = inner
    if isinstance(inner, type):
        called = inner.__init__
    elif type(inner) is not FunctionType:
        called = getattr(cast("type[Any]", type(inner)), "__call__", None)  # noqa: B004  # it is looked at
    code, wrapped = getattr(called, "__code__", None), getattr(inner, "__wrapped__", None)
    try:
        known = _signatures_of_others.setdefault(inner, {})
    except TypeError:  # It has no hash, or cannot be referred to weakly.
        return _inspect(function)
    kept = known.get(bound)
    if kept is None or kept[0] is not code or kept[1] is not wrapped:
        kept = known[bound] = (code, wrapped, _inspect(function))
    return kept[2]


def _inspect(function: Any) -> Signature:
    if not callable(function):
        raise InvalidOptionError(
            f"the body of a task must be a function, not {type(function).__name__}: {function!r:.100}. "
            "Pass the function and its arguments without calling it: io.run_task(key, fetch, user_id)"
        )
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return Signature((), (), is_async=False, returns=None)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return Signature(
        names=tuple(p.name for p in parameters if p.kind in by_name and not _is_bound(function, p.name)),
        required=tuple(p.name for p in parameters if p.kind in by_place and p.default is p.empty),
        is_async=is_async(function),
        returns=_annotation(function),
    )


def _is_bound(function: object, name: str) -> bool:
    """Whether a partial has filled the parameter already."""
    return isinstance(function, functools.partial) and name in function.keywords


def _annotation(function: object) -> object:
    """The return annotation, if it names a model to validate the result into; else None.

    Other annotations are ignored, as Python does: validating into `-> float` would change an int.
    """
    plain: Any = innermost(function)
    raw = getattr(plain, "__annotations__", {}).get("return")
    if isinstance(raw, str):
        try:
            raw = inspect.get_annotations(plain, eval_str=True).get("return")
        except Exception:  # noqa: BLE001  # an undefined name: the result is not validated
            return None
    return raw if _names_model(raw) else None


def _names_model(annotation: object) -> bool:
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    return any(map(_names_model, get_args(annotation)))


def innermost(function: object) -> object:
    """The function inside partials, bound methods and objects with `__call__`."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        else:
            call: Any = getattr(cast("type[Any]", type(function)), "__call__", None)  # noqa: B004  # it is looked at
            if isinstance(function, (FunctionType, type)) or not isinstance(call, FunctionType):
                return function
            function = call


def is_async(function: Any) -> bool:
    """Whether a call returns a coroutine, also through partials, objects with `__call__` and plain decorators.

    A decorator that is a plain `def` (with `functools.wraps`) hands on the coroutine of the function that it wraps,
    unless its code runs that to its end on a loop of its own.
    """
    for _ in range(_MOST_DECORATORS):
        while isinstance(function, (functools.partial, MethodType)):
            function = function.func if isinstance(function, functools.partial) else function.__func__
        called = innermost(function)
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
            return True
        wrapped = getattr(function, "__wrapped__", None)
        if not callable(wrapped) or _runs_loops(getattr(called, "__code__", None)):
            return False
        function = wrapped
    return False


_MOST_DECORATORS = 50  # an object may make up attributes without end
# What code calls that runs a coroutine to its end: asyncio.run, loop.run_until_complete, asyncio.Runner, `from_thread`
# of anyio, run_coroutine_threadsafe(...).result(), async_to_sync.
_RUNS_LOOPS = frozenset(
    {
        "run",
        "run_until_complete",
        "run_coroutine_threadsafe",
        "run_sync",
        "result",
        "async_to_sync",
        "syncify",
    }
)


def _runs_loops(code: Any) -> bool:
    """Whether code, or code inside it, calls one of these."""
    if not isinstance(code, CodeType):
        return False
    return not _RUNS_LOOPS.isdisjoint(code.co_names) or any(map(_runs_loops, code.co_consts))


def bind_body(
    signature: Signature, args: tuple[object, ...], offers: Mapping[str, Callable[[], object]]
) -> Arguments:
    """Arguments for a task's body.

    Parameters named as one of `offers` (`task`, `io`, and `client` in an integration) are filled
    by name, unless `args` reach them. Without `args`, other required parameters get the offers by
    position, in their order: `lambda t: ...` gets the task.
    """
    taken = set(signature.required[: len(args)])
    named = {name: offers[name]() for name in signature.names if name in offers and name not in taken}
    open_places = [name for name in signature.required if name not in named]
    if args or not open_places:
        return args, named
    left = [make for name, make in offers.items() if name not in named]
    if len(open_places) > len(left):
        raise InvalidOptionError(
            f"the body takes {', '.join(open_places)}, and nothing was given for them: pass the arguments "
            "after the body, io.run_task(key, body, argument, ...)"
        )
    # An argument by position requires that all parameters before it are given by position too.
    ordered = iter(left)
    values = [named.pop(name) if name in named else next(ordered)() for name in signature.required]
    return tuple(values), named


def bind_run(function: Callable[..., object], offers: Mapping[str, object]) -> Arguments:
    """Arguments for a run function: `payload`, `io`, `ctx` by name, or by position in that order."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        raise InvalidOptionError(
            f"a job's function takes payload, io and ctx; {function.__qualname__!r} is a method, and its "
            f"{parameters[0].name!r} would get the payload. Make the job of an object's method: crawl = job(site.crawl)"
        )
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return tuple(offers.values()), {}
    named = {
        p.name: offers[p.name] for p in parameters if p.name in offers and p.kind is not p.POSITIONAL_ONLY
    }
    left = iter([value for name, value in offers.items() if name not in named])
    positional: list[object] = []
    for p in parameters:
        if p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            continue
        if p.name in named:
            positional.append(named.pop(p.name))
        elif p.default is p.empty:
            value = next(left, _missing)
            if value is _missing:
                raise InvalidOptionError(
                    f"a job's function takes payload, io and ctx (by name, or in that order, or fewer); "
                    f"there is nothing for its parameter {p.name!r}"
                )
            positional.append(value)
        else:
            break
    return tuple(positional), named


_missing = object()
