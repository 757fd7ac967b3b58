"""OpenAI and servers that speak as it does, on OpenAI's own SDK: `pip install 'trigger-nb[openai]'`.

```python
client.job(id="poet", integrations={"openai": OpenAI()})
...
completion = await io.openai.chat.completions.create(
    "poem", model="gpt-4o-mini", messages=[{"role": "user", "content": "A haiku on disks"}]
)
completion.choices[0].message.content
```
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...retry import RetryAt
from .._base import Credential, SecretText
from .._http_retries import by_status, is_connection_error, reset_at, retry_after
from .._sdk import Known, SdkIntegration, SdkPath, look_up
from ._answers import type_of
from ._bodies import call
from ._methods import KNOWN, Chat, Completions, Embeddings, Files, Responses, Runs, rereadable

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

# A 429 that does not end by waiting: the account needs credit.
_UNPAID = frozenset({"insufficient_quota", "billing_not_active", "billing_hard_limit_reached"})
# Codes of transient errors in a stream or a failed response, whose HTTP status is 200.
_PASSING = frozenset({"server_error", "rate_limit_exceeded", "server_is_overloaded", "slow_down"})


class OpenAI(SdkIntegration["AsyncOpenAI", Any]):
    """OpenAI's API, or one that is compatible with it. The client is `openai.AsyncOpenAI`.

    What is not given is read from `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and
    `OPENAI_PROJECT_ID` when it is needed. For a server that needs no key, give an empty one:

    ```python
    OpenAI("", base_url="http://localhost:11434/v1")  # Ollama, llama.cpp, vLLM, LM Studio
    ```

    **Methods** are the SDK's own, by their path: `io.openai.moderations.create("check", input="Hello")` calls
    `client.moderations.create`. All of them are there; the table has those of which there is more to say. They
    return the SDK's models, those that list a list of them. What the store keeps, and `run.task(...).output` gives, is the JSON
    that they were built of, so a later release of the SDK reads it too.

    Chat completions, completions and responses take `stream=True`: the row shows the text while it comes,
    and the result is the whole answer, as without. `beta.assistants` and `beta.threads` help to
    port jobs: OpenAI has replaced them by `responses` and switched them off, and its SDK marks them as
    deprecated; compatible servers may still have them.

    **Retried**: 429 at the time that `retry-after-ms`, `retry-after`, or `x-ratelimit-reset-requests` and
    `x-ratelimit-reset-tokens` give for the limit that is used up
    (https://platform.openai.com/docs/guides/rate-limits), but not `insufficient_quota`, which does not end
    by waiting; 503 and 409, then too where they say when; 408, other 5xx and broken or timed-out
    connections, also in the middle of a stream; whatever `x-should-retry` tells, as the SDK itself follows
    it. 400, 401, 403, 404, 422 and other errors are final
    (https://platform.openai.com/docs/guides/error-codes).

    The task's idempotency key goes with everything that is posted, as `Idempotency-Key`. OpenAI does not
    document that it uses the key: when the kernel dies between the answer and its record, or the connection
    breaks after the request was taken, the next attempt asks, and pays, again; a file is uploaded, and a
    fine-tuning job started, a second time.
    """

    service = "OpenAI"
    icon = "openai"
    extra = "openai"

    def __init__(
        self,
        api_key: str | SecretText | None = None,
        *,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
    ) -> None:
        super().__init__()
        self._api_key = Credential(
            'OpenAI(api_key=...) ("" for a server that needs none)', api_key, "OPENAI_API_KEY"
        )
        self._needs_key = api_key != ""
        self._base_url = base_url
        self._organization = organization
        self._project = project

    def open_client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            # The SDK requires a key; servers that need none ignore it.
            api_key=self._api_key.read() if self._needs_key else "none",
            base_url=self._base_url,
            organization=self._organization,
            project=self._project,
            max_retries=0,
        )

    async def close_client(self, client: AsyncOpenAI) -> None:
        await client.close()

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        import openai

        if isinstance(error, openai.APIStatusError):
            return _by_response(error)
        if isinstance(error, openai.APIConnectionError) or is_connection_error(error):
            return True
        if isinstance(error, openai.APIError):
            return not _PASSING.isdisjoint((error.code, error.type))
        return None

    @classmethod
    def _sdk(cls) -> Any:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        no_transport: Any = object()  # it sends nothing, and need not load certificates
        return AsyncOpenAI(api_key="none", http_client=DefaultAsyncHttpxClient(transport=no_transport))

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return any(kind.__name__ == "AsyncAPIResource" for kind in type(value).__mro__)

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(call, self._about(path).calls or path)

    def _returns(self, path: str) -> Any:
        with self.needs_extra():
            return type_of(look_up(type(self), path))

    _known = KNOWN
    _others = Known(shows={"Model": "model"}, prepare=rereadable)
    _groups: ClassVar[Mapping[str, type[SdkPath[Any]]]] = {"beta.threads.runs": Runs}

    chat: Chat
    completions: Completions
    responses: Responses
    embeddings: Embeddings
    files: Files


def _by_response(error: APIStatusError) -> bool | RetryAt:
    headers: Mapping[str, str] = error.response.headers
    lifted = _lifted(headers)
    if error.status_code == 429 and not _UNPAID.isdisjoint((error.code, error.type)):
        return False
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true" and (lifted or True)
    if error.status_code in (409, 503):  # 409: a lock timed out; 503: the server is overloaded
        return lifted or True
    return by_status(error.status_code, lifted)


def _lifted(headers: Mapping[str, str]) -> RetryAt | None:
    """The time of the next attempt, by the most exact of the headers."""
    milliseconds = retry_after(headers, "retry-after-ms")
    if milliseconds is not None and isinstance(milliseconds.when, float):
        return RetryAt(milliseconds.when / 1000)
    return retry_after(headers) or _reset(headers)


def _reset(headers: Mapping[str, str]) -> RetryAt | None:
    """The end of the rate limit that is used up; of two, the later."""
    resets = [
        reset
        for limit in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
        and (reset := reset_at(headers, f"x-ratelimit-reset-{limit}", "duration"))
    ]
    return max(resets, key=lambda reset: reset.due_at(0), default=None)
