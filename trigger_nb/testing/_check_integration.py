"""A test of the contract that every integration keeps."""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from .._records.status import Reason, TaskStatus
from .._trials.clock import FakeClock
from ..client import TriggerClient
from ..errors import MissingCredentialError, UsageError
from ..integrations._base import Credential, Integration
from ..job import AnyJob
from ..retry import Retry
from ..run import Run

AnyIntegration: TypeAlias = Integration[Any]
Call: TypeAlias = Callable[[Any], Awaitable[object]]
"""A call of a method of the integration that it gets."""
_logger = logging.getLogger("trigger_nb.check")

_logger.setLevel(logging.INFO)


async def check_integration(integration: AnyIntegration, calls: Iterable[Call] = ()) -> None:
    """Check that an integration keeps the contract of integrations.

    - `integration`: an integration with credentials, and with a service to talk to if there are `calls`.
    - `calls`: functions that each get the integration, bound to a run, and call one of its methods.

    Raises `AssertionError`, which names the broken part of the contract. A test of your own integration:

    ```
    async def test_acme_keeps_the_contract():
        with FakeAcme() as service:
            acme = Acme("key-0123456789", base_url=service.url)
            await check_integration(acme, [lambda acme: acme.create_order("order", item="socks")])
    ```
    """
    with tempfile.TemporaryDirectory(prefix="trigger-nb-") as directory:
        check = _Check(integration, Path(directory))
        check.attributes()
        check.credentials_are_not_shown()
        check.needs_a_run()
        check.is_copied_for_a_run()
        await check.body_gets_the_client()
        await check.result_is_replayed()
        await check.credentials_are_not_kept()
        await check.missing_credential_is_named()
        check.others_errors_are_left_alone()
        for call in calls:
            await check.method(call)


class _Check:
    def __init__(self, integration: AnyIntegration, directory: Path) -> None:
        self._integration = integration
        self._directory = directory
        self._name = type(integration).__name__
        self._clock = FakeClock()
        self._jobs = 0

    # The contract's clauses -------------------------------------------------------------------

    def attributes(self) -> None:
        for name in ("service", "icon"):
            value = getattr(self._integration, name, None)
            assert isinstance(value, str) and value, f"{self._name}.{name} must be text, not {value!r}"  # noqa: PT018  # one condition
        retry: object = self._integration.retry
        assert isinstance(retry, Retry), f"{self._name}.retry must be a Retry, not {retry!r}"

    def credentials_are_not_shown(self) -> None:
        shown = f"{self._integration!r} {self._integration} {list(vars(self._integration).values())}"
        self._holds_no_secret(shown, "its repr")
        for credential in self._credentials().values():
            try:
                pickle.dumps(credential)
            except TypeError:
                continue
            raise AssertionError(f"a credential of {self._name} can be pickled")

    def needs_a_run(self) -> None:
        try:
            self._integration.run_task("unbound", lambda: None)
        except UsageError:
            return
        raise AssertionError(f"a {self._name} without a run starts tasks")

    def is_copied_for_a_run(self) -> None:
        bound = self._integration.bind(None)
        assert bound is not self._integration, f"{self._name}.bind changes the original"
        assert type(bound) is type(self._integration), f"{self._name}.bind gives a {type(bound).__name__}"
        self.needs_a_run()
        assert bound.native is self._integration.native, f"each run of {self._name} opens its own client"

    async def body_gets_the_client(self) -> None:
        client = self._integration.native

        def by_name(task: object, client: object, io: object) -> list[bool]:
            return [client is expected, hasattr(task, "idempotency_key"), hasattr(io, "run_task")]

        async def by_place(first: object, second: object) -> list[bool]:
            return [first is expected, hasattr(second, "idempotency_key")]

        expected = client
        for body in (by_name, by_place):
            run = await self._run(lambda service, body=body: service.run_task("body", body))
            output = run.task("body").output
            assert all(output), f"{self._name}.run_task gave {body.__name__} something else: {output}"
            assert run.task("body").icon == self._integration.icon, (
                f"a task of {self._name} has the icon {run.task('body').icon!r}"
            )

    async def result_is_replayed(self) -> None:
        called: list[int] = []

        def body(client: object) -> str:
            called.append(1)
            return "done"

        job = self._job(lambda service: service.run_task("once", body))
        assert [await job.run(), await job.run()] == ["done", "done"]
        assert called == [1], (
            f"the body of a task of {self._name} was called {len(called)} times in two passes"
        )

    async def credentials_are_not_kept(self) -> None:
        """Credentials stay out of the store, also where the service repeats them (S8)."""
        for name, secret in self._secrets().items():

            async def fail(task: Any, secret: str = secret) -> None:
                _logger.info("sending %s", secret)  # log output is stored with the task
                task.log(f"sent {secret}", {"with": [secret]})
                raise ValueError(f"invalid credential: {secret}")

            job = self._job(
                lambda service, fail=fail, secret=secret: service.run_task(
                    "fail", fail, name=f"with {secret}", properties={"Key": secret}, params={"key": secret}
                )
            )
            error = await _error_of(job)
            run = job.runs()[0]
            run.export_html(page := self._directory / "run.html")
            self._holds_no_secret(f"{error!r} {error}", f"an error that repeats {name}")
            self._holds_no_secret(str(run.tree()), f"the tree of a run that prints {name}")
            self._holds_no_secret(page.read_text(encoding="utf-8"), f"the export of a run that prints {name}")
            for file in filter(Path.is_file, self._directory.rglob("*")):
                held = secret.encode() in file.read_bytes()
                assert not held, f"{name} of {self._name} is in the store ({file.name})"

    async def missing_credential_is_named(self) -> None:
        for name, credential in self._credentials().items():
            bare = self._integration.bind(None)
            bare._clients = type(bare._clients)()
            setattr(bare, name, Credential(credential._argument, None, *credential._variables))
            with _without(credential._variables):
                error = await _error_of(self._job(lambda service: service.run_task("first", _nothing), bare))
            if error is None:
                continue  # an optional credential
            assert isinstance(error, MissingCredentialError), f"without {name}, {self._name} raises {error!r}"
            named = all(variable in str(error) for variable in credential._variables)
            assert named, f"the error of a missing {name} names no variable: {error}"

    def others_errors_are_left_alone(self) -> None:
        try:
            answer = self._integration.should_retry(ZeroDivisionError("of the user's own"))
        except Exception as error:
            raise AssertionError(
                f"{self._name}.should_retry gets every error that a body raises, such as a "
                f"ZeroDivisionError, but raises {error!r}: check the error's class first"
            ) from error
        assert answer is None, (
            f"{self._name}.should_retry must return None for other errors than the service's, not {answer!r}"
        )

    async def method(self, call: Call) -> None:
        """A replay returns an equal value of the same type (R1, R2), and the row has a name and an icon."""
        job = self._job(call)
        # An assertion below reports a value that cannot be stored.
        with warnings.catch_warnings(action="ignore"):
            first = await job.run()
        began = self._clock.time()
        again = await job.run()
        assert type(again) is type(first), (
            f"a method of {self._name} gave {type(first)}, and later {type(again)}"
        )
        assert again == first, f"a method of {self._name} gave {first!r:.200}, and later {again!r:.200}"
        assert self._clock.time() == began, f"a replay of a method of {self._name} waited"
        tasks = job.runs()[0].tasks
        assert tasks, f"a method of {self._name} is no task of the run"
        task = tasks[0]
        told = f"what a method of {self._name} returns cannot be stored, {first!r:.200}: return plain data"
        assert task._record.form != "unstored", told
        assert task.status == TaskStatus.COMPLETED, f"a task of {self._name} is {task.status}"
        assert task.reason == Reason.REPLAYED, f"in the second pass a task of {self._name} was {task.reason}"
        assert task.name != task.key, f"the task {task.key!r} of {self._name} has no name"
        assert task.icon == self._integration.icon, f"the task {task.key!r} of {self._name} has no icon"
        self._holds_no_secret(repr(vars(task)), f"the record of {task.key!r}")

    # Helpers ----------------------------------------------------------------------------------

    def _job(self, call: Call, integration: AnyIntegration | None = None) -> AnyJob:
        used = self._integration if integration is None else integration
        client = TriggerClient("check", dir=self._directory / "store", clock=self._clock, display=False)

        async def run(io: Any) -> object:
            return await call(io.service)

        self._jobs += 1
        return client.job(id=f"check-{self._jobs}", integrations={"service": used})(run)

    async def _run(self, call: Call) -> Run:
        job = self._job(call)
        await job.run()
        return job.runs()[0]

    def _credentials(self) -> dict[str, Credential]:
        return {name: each for name, each in vars(self._integration).items() if isinstance(each, Credential)}

    def _secrets(self) -> dict[str, str]:
        return {name: found for name, each in self._credentials().items() if (found := each.find())}

    def _holds_no_secret(self, text: str, where: str) -> None:
        for name, secret in self._secrets().items():
            assert secret not in text, f"{name} of {self._name} is in {where}"


async def _error_of(job: AnyJob) -> Exception | None:
    try:
        await job.run()
    except Exception as error:  # noqa: BLE001  # the caller checks it
        return error
    return None


def _nothing(client: object) -> None:
    """A body that only needs the client."""


@contextmanager
def _without(variables: Iterable[str]) -> Generator[None]:
    before = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
