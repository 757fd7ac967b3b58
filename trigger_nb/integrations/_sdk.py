"""The methods of a service's own SDK as tasks, each by its own path.

`io.stripe.customers.create("customer", email=...)` is a task that calls the SDK's `customers.create`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from .._tasks.call import Call
from .._tasks.options import Options, Property
from ..errors import MissingExtraError
from ..retry import Retry
from ._base import ClientT, Integration, Methods

ResultT = TypeVar("ResultT")
Params = dict[str, Any]  # the parameters of a request
# The labels of a task's properties: each with the parameter that it shows, or a function of all parameters.
Shows = Mapping[str, "str | Callable[[Params], object]"]
# Methods that change nothing, so that no idempotency key goes with them.
_READS = re.compile(r"(content|download|get|list|retrieve|search)")
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("xes", "x"), ("ss", "ss"), ("us", "us"), ("s", ""))


class Known(NamedTuple):
    """What is particular about the task of one method of an SDK."""

    about: str = ""  # what the reference says of it
    name: str = ""  # of the task; "": made from the path
    shows: Shows = MappingProxyType({})
    tells: Callable[[Any], Iterable[Property]] = lambda answer: ()  # the output properties, by the answer
    redact: Sequence[str] = ()
    retry: Retry | None = None
    prepare: Callable[[Params], Params] = lambda params: params  # makes the parameters that are kept and sent
    calls: str = ""  # the path of the method that is called, if it is another


def defaults(**values: Any) -> Callable[[Params], Params]:
    """The `prepare` of a method that sends these parameters if the call does not give them."""
    return lambda params: {**values, **params}


class SdkIntegration(Integration[ClientT], Generic[ClientT, ResultT]):
    """Base class of integrations whose methods are those of an SDK.

    A subclass defines `_sdk`, `_body` and `_is_group`, and says in `_known` what is particular about methods. Known
    paths are not looked up in the SDK, so that a replay of such a task does not import it.
    """

    _known: ClassVar[Mapping[str, Known]] = {}
    _others: ClassVar[Known] = Known()  # what is particular about all other methods
    _groups: ClassVar[Mapping[str, type[SdkPath[Any]]]] = {}  # paths with further methods, or with types
    _flat: ClassVar[bool] = False  # whether paths such as `users_info` are methods of the client

    @classmethod
    def _sdk(cls) -> Any:
        """The object at which the paths begin, made without a credential. Import the library here."""
        raise NotImplementedError(f"{cls.__name__}._sdk")

    @classmethod
    def _is_group(cls, value: Any) -> bool:  # noqa: ARG003  # for subclasses
        """Whether a part of the SDK is a group of methods."""
        return False

    def _body(self, path: str) -> Callable[..., Any]:
        """The body of the task that calls the method at a path."""
        raise NotImplementedError(f"{type(self).__name__}._body")

    @classmethod
    def _member(cls, owner: Any, name: str) -> Any:
        """A group or a method of the SDK by its name; None if there is none."""
        if name.startswith(("_", "async_", "with_")) or name.endswith("_async"):
            return None
        found = getattr(owner, name, None)
        is_method = inspect.isroutine(found) and (cls._flat or owner is not _root(cls))
        return found if is_method or cls._is_group(found) else None

    @classmethod
    def _names_in(cls, owner: Any) -> Iterable[str]:
        """The names of all that an object of the SDK has, its groups and methods among them."""
        return dir(owner)

    def _properties(self, path: str, params: Params) -> list[Property]:
        """The properties of a task."""
        found: dict[str, object] = {}
        for label, of in self._about(path).shows.items():
            with suppress(KeyError):  # a parameter is missing, which the service will say
                found[label] = params[of] if isinstance(of, str) else of(params)
        return [Property(label, _text(value)) for label, value in found.items() if value not in (None, "")]

    def _returns(self, path: str) -> Any:
        """The type of a result, for values that the store cannot rebuild without it."""

    def _about(self, path: str) -> Known:
        """What is particular about the method at a path."""
        return self._known.get(path, self._others)

    # How it is done ---------------------------------------------------------------------------

    def __getattr__(self, name: str) -> SdkPath[ResultT]:
        return self._at(name)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self._names("")})

    def _at(self, path: str, fixed: Mapping[str, Any] = MappingProxyType({})) -> SdkPath[ResultT]:
        if path.rpartition(".")[2].startswith("_"):
            raise AttributeError(path)
        if path not in _known_paths(type(self)):
            self._look_up(path)
        return self._groups.get(path, SdkPath)(self, path, fixed)

    def _look_up(self, path: str) -> Any:
        """The group or method of the SDK at a path; None if the SDK is not installed, which a replay allows."""
        try:
            with self.needs_extra():
                return look_up(type(self), path)
        except MissingExtraError:
            return None

    def _names(self, path: str) -> set[str]:
        """The names of the groups and methods below a path."""
        begin = f"{path}." if path else ""
        named = {name[len(begin) :].partition(".")[0] for name in self._known if name.startswith(begin)}
        try:
            return named | set(_names(type(self), path))
        except (AttributeError, ModuleNotFoundError):
            return named


class SdkPath(Methods[SdkIntegration[Any, Any]], Generic[ResultT]):
    """A group of an SDK's methods, or a method: a call of it is a task."""

    def __init__(self, integration: SdkIntegration[Any, Any], path: str, fixed: Mapping[str, Any]) -> None:
        super().__init__(integration)
        self._path = path
        self._fixed = fixed  # parameters that all calls have

    def __getattr__(self, name: str) -> SdkPath[ResultT]:
        if name.startswith("_"):  # also of a copy that has no attributes yet
            raise AttributeError(name)
        return self._integration._at(f"{self._path}.{name}", self._fixed)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self._integration._names(self._path)})

    def __repr__(self) -> str:
        return f"<{self._path} of {self._integration!r}>"

    def __call__(self, *args: Any, task_options: Options | None = None, **params: Any) -> Call[ResultT]:
        """Call the method in a task: the cache key, then what the SDK's method takes."""
        integration, path = self._integration, self._path
        if path not in integration._known and integration._is_group(integration._look_up(path)):
            names = ", ".join(_names(type(integration), path))
            raise TypeError(f"{path} is a group of {integration.service}'s methods, not a method: {names}")
        if not args and "key" not in params:
            raise TypeError(f"{path} takes the cache key of its task first")
        key, *given = args or (params.pop("key"),)
        if given:
            params = {**self._by_name(given), **params}
        known = integration._about(path)
        given_ones = {name: value for name, value in params.items() if value is not None}
        params = known.prepare({**self._fixed, **given_ones})
        options: Options | None = (
            {"redact": known.redact, **(task_options or {})} if known.redact else task_options
        )
        return integration.task(
            key,
            integration._body(path),
            params,
            name=known.name or title(path),
            properties=integration._properties(path, params),
            task_options=options,
            returns=integration._returns(path),
            retry=known.retry,
        )

    def _by_name(self, given: Sequence[Any]) -> Params:
        """Positional arguments by the names of the SDK's parameters."""
        with self._integration.needs_extra():
            method = look_up(type(self._integration), self._path)
        named = inspect.signature(method).parameters.values()
        names = [each.name for each in named if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        if len(given) > len(names):
            raise TypeError(
                f"{self._path} takes {len(names)} arguments after the cache key, not {len(given)}"
            )
        found = dict(zip(names, given, strict=False))
        return {**found.pop("params", {}), **found}  # what some SDKs take as a dict is by name here


def look_up(kind: type[SdkIntegration[Any, Any]], path: str) -> Any:
    """The group or method of the SDK at a path. Raises an `AttributeError` that names the nearest."""
    return _found(kind, kind._known[path].calls or path if path in kind._known else path)


def is_read(path: str) -> bool:
    """Whether a method only reads, by its name."""
    return _READS.match(path.rpartition(".")[2]) is not None


@functools.lru_cache(maxsize=1_000)
def title(path: str) -> str:
    """The name of a method's task.

    >>> title("billing_portal.sessions.create"), title("issues.add_labels"), title("customers.list")
    ('Create billing portal session', 'Add labels', 'List customers')
    """
    *groups, method = path.split(".")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", method).lower().split()
    if len(words) == 1:
        nouns = [group.replace("_", " ") for group in groups if group not in ("beta", "v2")]
        last = len(nouns) - 1 if method in ("all", "list", "search") else len(nouns)
        words += [_singular(noun) if n < last else noun for n, noun in enumerate(nouns)]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def call_with(method: Callable[..., Any], params: Mapping[str, Any], **options: Any) -> Any:
    """Call a method whose own parameters are ids, and which takes all others as a dict, its `params`.

    `options` are passed as its `options`, if it takes them.
    """
    signature = inspect.signature(method)
    named = {"params", "options"} & signature.parameters.keys()
    arguments: Params = {}
    rest = dict(params)
    for name in signature.parameters.keys() - named:
        # Stripe's SDK adds the suffix to some names.
        told = name if name in rest else name.removesuffix("_exposed_id")
        if told in rest:
            arguments[name] = rest.pop(told)
    if "params" in named:
        arguments["params"] = rest
    elif rest:
        raise TypeError(f"{method.__name__} takes {', '.join(signature.parameters)}, not {', '.join(rest)}")
    if options and "options" in named:
        arguments["options"] = options
    bound = signature.bind_partial()
    bound.arguments.update({name: arguments[name] for name in signature.parameters if name in arguments})
    return method(*bound.args, **bound.kwargs)


def plain(answer: Any) -> Any:
    """An answer of an SDK as plain data: its pydantic models as dicts."""
    if isinstance(answer, (list, tuple)):
        return [plain(each) for each in cast("list[Any]", answer)]
    return answer.model_dump(mode="json", by_alias=True) if hasattr(answer, "model_dump") else answer


def _text(value: object) -> str:
    return (
        ", ".join(map(str, cast("list[object]", value))) if isinstance(value, (list, tuple)) else str(value)
    )


def _singular(noun: str) -> str:
    ending, one = next(((many, one) for many, one in _ENDINGS if noun.endswith(many)), ("", ""))
    return noun[: len(noun) - len(ending)] + one


@functools.cache
def _root(kind: type[SdkIntegration[Any, Any]]) -> Any:
    return kind._sdk()


@functools.lru_cache(maxsize=1_000)
def _found(kind: type[SdkIntegration[Any, Any]], path: str) -> Any:
    if not path:
        return _root(kind)
    above, _, name = path.rpartition(".")
    owner = _found(kind, above)
    with _no_warnings():
        found = kind._member(owner, name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, _names(kind, above), n=2)
    hint = f": did you mean {' or '.join(near)}?" if near else ""
    where = f"{kind.service}'s {above}" if above else kind.service
    raise AttributeError(f"{where} has no {name!r}{hint}")


@functools.lru_cache(maxsize=1_000)
def _names(kind: type[SdkIntegration[Any, Any]], path: str) -> list[str]:
    owner = _found(kind, path)
    with _no_warnings():
        return sorted({name for name in kind._names_in(owner) if kind._member(owner, name) is not None})


@contextmanager
def _no_warnings() -> Generator[None]:
    """A context for looking at an SDK, which may warn of parts of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def _known_paths(kind: type[SdkIntegration[Any, Any]]) -> frozenset[str]:
    """The paths of the methods in `_known`, and of the groups that these are in."""
    split = [path.split(".") for path in kind._known]
    return frozenset(".".join(path[: n + 1]) for path in split for n in range(len(path)))
