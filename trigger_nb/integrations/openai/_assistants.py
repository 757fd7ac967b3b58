"""OpenAI's assistants and threads, to port existing jobs.

OpenAI has replaced them by the Responses API: its SDK marks the methods as deprecated, and its servers refuse
them. Compatible servers may still support them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._tasks.options import Options
from ._answers import stored
from ._bodies import lists, poll_run, reads, writes
from ._methods import Group, Listed

if TYPE_CHECKING:
    from openai.types.beta import Assistant, AssistantDeleted, Thread, ThreadDeleted
    from openai.types.beta.threads import Message, Run

    from ..._tasks.call import Call


class Beta(Group):
    """`beta`: assistants and threads, replaced by `responses`."""

    @property
    def assistants(self) -> Assistants:
        """Assistants."""
        return Assistants(self._integration)

    @property
    def threads(self) -> Threads:
        """Threads, their messages and runs."""
        return Threads(self._integration)


class Assistants(Group):
    """`beta.assistants`."""

    def create(
        self, key: Any, *, model: str, task_options: Options | None = None, **more: Any
    ) -> Call[Assistant]:
        """A new assistant, `POST /assistants`."""
        return self._integration.task(
            key,
            writes("beta.assistants.create"),
            {"model": model, **more},
            name="Create assistant",
            properties={"Model": model},
            returns=self._model("beta.Assistant"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, assistant_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Assistant]:
        """One assistant, `GET /assistants/{assistant_id}`."""
        return self._integration.task(
            key,
            reads("beta.assistants.retrieve"),
            {"assistant_id": assistant_id, **more},
            name="Retrieve assistant",
            properties={"Assistant": assistant_id},
            returns=self._model("beta.Assistant"),
            task_options=task_options,
        )

    def update(
        self, key: Any, assistant_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Assistant]:
        """Change an assistant, `POST /assistants/{assistant_id}`."""
        return self._integration.task(
            key,
            writes("beta.assistants.update"),
            {"assistant_id": assistant_id, **more},
            name="Update assistant",
            properties={"Assistant": assistant_id},
            returns=self._model("beta.Assistant"),
            task_options=task_options,
        )

    def list(self, key: Any, *, task_options: Options | None = None, **more: Any) -> Call[Listed[Assistant]]:
        """All assistants, or with `limit=` the first ones, `GET /assistants`."""
        return self._integration.task(
            key,
            lists("beta.assistants.list"),
            more,
            name="List assistants",
            returns=list[self._model("beta.Assistant")],
            task_options=task_options,
        )

    def delete(
        self, key: Any, assistant_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[AssistantDeleted]:
        """Delete an assistant, `DELETE /assistants/{assistant_id}`."""
        return self._integration.task(
            key,
            writes("beta.assistants.delete"),
            {"assistant_id": assistant_id, **more},
            name="Delete assistant",
            properties={"Assistant": assistant_id},
            returns=self._model("beta.AssistantDeleted"),
            task_options=task_options,
        )


class Threads(Group):
    """`beta.threads`."""

    @property
    def messages(self) -> Messages:
        """The messages of a thread."""
        return Messages(self._integration)

    @property
    def runs(self) -> Runs:
        """The runs of a thread."""
        return Runs(self._integration)

    def create(self, key: Any, *, task_options: Options | None = None, **more: Any) -> Call[Thread]:
        """A new thread, `POST /threads`."""
        return self._integration.task(
            key,
            writes("beta.threads.create"),
            more,
            name="Create thread",
            returns=self._model("beta.Thread"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, thread_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Thread]:
        """One thread, `GET /threads/{thread_id}`."""
        return self._integration.task(
            key,
            reads("beta.threads.retrieve"),
            {"thread_id": thread_id, **more},
            name="Retrieve thread",
            properties={"Thread": thread_id},
            returns=self._model("beta.Thread"),
            task_options=task_options,
        )

    def delete(
        self, key: Any, thread_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[ThreadDeleted]:
        """Delete a thread, `DELETE /threads/{thread_id}`."""
        return self._integration.task(
            key,
            writes("beta.threads.delete"),
            {"thread_id": thread_id, **more},
            name="Delete thread",
            properties={"Thread": thread_id},
            returns=self._model("beta.ThreadDeleted"),
            task_options=task_options,
        )

    def create_and_run(
        self, key: Any, *, assistant_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Run]:
        """A new thread and a run of it, `POST /threads/runs`."""
        return self._integration.task(
            key,
            writes("beta.threads.create_and_run"),
            {"assistant_id": assistant_id, **more},
            name="Create thread and run",
            properties={"Assistant": assistant_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )


class Messages(Group):
    """`beta.threads.messages`."""

    def create(
        self,
        key: Any,
        thread_id: str,
        *,
        role: str,
        content: Any,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Message]:
        """A new message in a thread, `POST /threads/{thread_id}/messages`."""
        params = {"thread_id": thread_id, "role": role, "content": content, **more}
        return self._integration.task(
            key,
            writes("beta.threads.messages.create"),
            params,
            name="Create message",
            properties={"Thread": thread_id},
            returns=self._model("beta.threads.Message"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, message_id: str, *, thread_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Message]:
        """One message, `GET /threads/{thread_id}/messages/{message_id}`."""
        return self._integration.task(
            key,
            reads("beta.threads.messages.retrieve"),
            {"message_id": message_id, "thread_id": thread_id, **more},
            name="Retrieve message",
            properties={"Message": message_id},
            returns=self._model("beta.threads.Message"),
            task_options=task_options,
        )

    def list(
        self, key: Any, thread_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Listed[Message]]:
        """All messages of a thread, or with `limit=` the latest ones,
        `GET /threads/{thread_id}/messages`."""
        return self._integration.task(
            key,
            lists("beta.threads.messages.list"),
            {"thread_id": thread_id, **more},
            name="List messages",
            properties={"Thread": thread_id},
            returns=list[self._model("beta.threads.Message")],
            task_options=task_options,
        )


class Runs(Group):
    """`beta.threads.runs`."""

    def create(
        self, key: Any, thread_id: str, *, assistant_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Run]:
        """Have an assistant answer in a thread, `POST /threads/{thread_id}/runs`."""
        params = {"thread_id": thread_id, "assistant_id": assistant_id, **more}
        return self._integration.task(
            key,
            writes("beta.threads.runs.create"),
            params,
            name="Create run",
            properties={"Thread": thread_id, "Assistant": assistant_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )

    def create_and_poll(
        self,
        key: Any,
        thread_id: str,
        *,
        assistant_id: str,
        poll_interval_ms: int | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Run]:
        """Have an assistant answer in a thread, and wait until it has.

        The task has two subtasks, so that an interrupt of the wait does not start a second run.
        """
        integration = self._integration

        async def create_and_poll(params: dict[str, Any], io: Any) -> Any:
            runs = Runs(io.use(integration))
            run = await runs.create("create", **params)
            ended = runs.poll("poll", run.id, thread_id=thread_id, poll_interval_ms=poll_interval_ms)
            return stored(await ended)

        params = {"thread_id": thread_id, "assistant_id": assistant_id, **more}
        return self._integration.task(
            key,
            create_and_poll,
            params,
            name="Create run and wait",
            properties={"Thread": thread_id, "Assistant": assistant_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )

    def poll(
        self,
        key: Any,
        run_id: str,
        *,
        thread_id: str,
        poll_interval_ms: int | None = None,
        task_options: Options | None = None,
    ) -> Call[Run]:
        """Wait until a run has ended or needs an action, as its `status` says."""
        params = {"run_id": run_id, "thread_id": thread_id, "poll_interval_ms": poll_interval_ms}
        return self._integration.task(
            key,
            poll_run,
            params,
            name="Wait for run",
            properties={"Run": run_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, run_id: str, *, thread_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Run]:
        """A run as it is now, `GET /threads/{thread_id}/runs/{run_id}`."""
        return self._integration.task(
            key,
            reads("beta.threads.runs.retrieve"),
            {"run_id": run_id, "thread_id": thread_id, **more},
            name="Retrieve run",
            properties={"Run": run_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )

    def list(
        self, key: Any, thread_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Listed[Run]]:
        """All runs of a thread, or with `limit=` the latest ones, `GET /threads/{thread_id}/runs`."""
        return self._integration.task(
            key,
            lists("beta.threads.runs.list"),
            {"thread_id": thread_id, **more},
            name="List runs",
            properties={"Thread": thread_id},
            returns=list[self._model("beta.threads.Run")],
            task_options=task_options,
        )

    def cancel(
        self, key: Any, run_id: str, *, thread_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Run]:
        """Cancel a run, `POST /threads/{thread_id}/runs/{run_id}/cancel`."""
        return self._integration.task(
            key,
            writes("beta.threads.runs.cancel"),
            {"run_id": run_id, "thread_id": thread_id, **more},
            name="Cancel run",
            properties={"Run": run_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )

    def submit_tool_outputs(
        self,
        key: Any,
        run_id: str,
        *,
        thread_id: str,
        tool_outputs: Any,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Run]:
        """Submit the outputs of a run's tools, `POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs`."""
        params = {"run_id": run_id, "thread_id": thread_id, "tool_outputs": tool_outputs, **more}
        return self._integration.task(
            key,
            writes("beta.threads.runs.submit_tool_outputs"),
            params,
            name="Submit tool outputs",
            properties={"Run": run_id},
            returns=self._model("beta.threads.Run"),
            task_options=task_options,
        )
