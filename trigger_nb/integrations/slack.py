"""Slack, on its own SDK: `pip install 'trigger-nb[slack]'`.

```python
client.job(id="hello", integrations={"slack": Slack()})
...
await io.slack.post_message("say-hello", channel="C0123456789", text="Hello!")
```
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .._tasks.call import Call
from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText
from ._http_retries import by_status, is_connection_error, retry_after
from ._sdk import SdkIntegration

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

# Slack answers 200 and names the error in the body. These errors are transient.
_TRANSIENT = frozenset({"internal_error", "ratelimited", "rate_limited", "service_unavailable"})


class Slack(SdkIntegration["AsyncWebClient", dict[str, Any]]):
    """Slack's Web API. The client is `slack_sdk.web.async_client.AsyncWebClient`.

    **Methods** are the SDK's own, beside two that add something: `io.slack.users_info("who", user="U1")` calls
    `client.users_info` and returns Slack's answer, a dict.

    `token` is a bot's or a user's; without one, `SLACK_BOT_TOKEN` is read when it is needed.

    **Retried**: 429 at the time that `Retry-After` gives (https://docs.slack.dev/apis/web-api/rate-limits);
    `internal_error` and `service_unavailable`, which pass by themselves
    (https://docs.slack.dev/reference/methods/chat.postMessage#errors); 5xx; broken connections. No other
    error is: `invalid_auth`, `channel_not_found` and their like end the task at once.

    Slack takes no idempotency key: when the kernel dies between Slack's answer and its record, or the
    connection breaks after the message was taken, the next attempt posts it again.
    """

    service = "Slack"
    icon = "slack"
    extra = "slack"

    def __init__(self, token: str | SecretText | None = None, *, base_url: str = "https://slack.com/api/"):
        super().__init__()
        self._token = Credential("Slack(token=...)", token, "SLACK_BOT_TOKEN")
        self._base_url = base_url

    def open_client(self) -> AsyncWebClient:
        from slack_sdk.web.async_client import AsyncWebClient

        return AsyncWebClient(self._token.read(), base_url=self._base_url, retry_handlers=[])

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from slack_sdk.errors import SlackApiError

        if isinstance(error, SlackApiError):
            response = cast("Any", error).response
            if _code(error) in _TRANSIENT:
                return retry_after(response.headers) or True
            return by_status(_status(response), retry_after(response.headers))
        return True if is_connection_error(error) else None

    _flat = True

    @classmethod
    def _sdk(cls) -> Any:
        from slack_sdk.web.async_client import AsyncWebClient

        return AsyncWebClient()

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path)

    def post_message(
        self,
        key: Any,
        *,
        channel: str,
        text: str | None = None,
        blocks: list[dict[str, Any]] | None = None,
        thread_ts: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Post a message, `chat.postMessage`; Slack's answer, with the message's `ts` in it.

        `channel` is a channel's id (or a name, for a bot that is in it). A bot that is not in the channel
        joins it, if it is given by its id, and posts again. `more` is whatever else the method takes.
        """
        params = {"channel": channel, "text": text, "blocks": blocks, "thread_ts": thread_ts, **more}
        return self.task(
            key,
            _post_message,
            params,
            name="Post message",
            properties={"Channel": channel},
            task_options=task_options,
        )

    def join_conversation(
        self, key: Any, *, channel: str, task_options: Options | None = None
    ) -> Call[dict[str, Any]]:
        """Join a channel by its id, `conversations.join`; Slack's answer."""
        return self.task(
            key,
            self._body("conversations_join"),
            {"channel": channel},
            name="Join channel",
            properties={"Channel": channel},
            task_options=task_options,
        )


# `client` is an AsyncWebClient, whose methods are typed in part only.
async def _post_message(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    from slack_sdk.errors import SlackApiError

    try:
        answer = await client.chat_postMessage(**params)
    except SlackApiError as error:
        if _code(error) != "not_in_channel":
            raise
        await client.conversations_join(channel=params["channel"])
        answer = await client.chat_postMessage(**params)
    said: dict[str, Any] = answer.data
    task.output_properties = [
        Property(
            "Message",
            said["ts"],
            url=f"https://slack.com/app_redirect?channel={said['channel']}&message_ts={said['ts']}",
        )
    ]
    return said


async def _call(path: str, params: dict[str, Any], client: Any) -> dict[str, Any]:
    return (await getattr(client, path)(**params)).data


def _code(error: Any) -> str:
    """Slack's name of an error; "" for an answer that is not Slack's, such as a page of HTML."""
    data: Any = getattr(error.response, "data", None)
    code: Any = data.get("error") if hasattr(data, "get") else None
    return code if isinstance(code, str) else ""


def _status(response: Any) -> int:
    """The status code of an answer. For invalid JSON, the SDK returns aiohttp's response."""
    return response.status_code if hasattr(response, "status_code") else response.status
