"""What is particular about OpenAI's methods, and the types of the common ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..._tasks.options import Options
from ...retry import exponential_backoff
from .._sdk import Known, Params, SdkPath, defaults
from ._answers import stored

if TYPE_CHECKING:
    from openai.types import Completion, CreateEmbeddingResponse, FileObject
    from openai.types.beta.threads import Run
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

    from ..._tasks.call import Call


class ChatCompletions(SdkPath[Any]):
    """`chat.completions`."""

    if TYPE_CHECKING:

        def create(
            self,
            key: Any,
            *,
            messages: list[Any],
            model: str,
            task_options: Options | None = None,
            **more: Any,
        ) -> Call[ChatCompletion]: ...

        background_create = create


class Chat(SdkPath[Any]):
    """`chat`."""

    completions: ChatCompletions


class Completions(SdkPath[Any]):
    """`completions`."""

    if TYPE_CHECKING:

        def create(
            self, key: Any, *, model: str, prompt: Any, task_options: Options | None = None, **more: Any
        ) -> Call[Completion]: ...


class Responses(SdkPath[Any]):
    """`responses`, which replace assistants and threads."""

    if TYPE_CHECKING:

        def create(
            self,
            key: Any,
            *,
            model: str | None = None,
            input: Any = None,
            task_options: Options | None = None,
            **more: Any,
        ) -> Call[Response]: ...

        def retrieve(
            self, key: Any, response_id: str, *, task_options: Options | None = None, **more: Any
        ) -> Call[Response]: ...


class Embeddings(SdkPath[Any]):
    """`embeddings`."""

    if TYPE_CHECKING:

        def create(
            self, key: Any, *, input: Any, model: str, task_options: Options | None = None, **more: Any
        ) -> Call[CreateEmbeddingResponse]: ...


class Files(SdkPath[Any]):
    """`files`."""

    if TYPE_CHECKING:

        def create(
            self, key: Any, *, file: Any, purpose: str, task_options: Options | None = None, **more: Any
        ) -> Call[FileObject]: ...


class Runs(SdkPath[Any]):
    """`beta.threads.runs`."""

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

        async def create_and_poll(params: Params, io: Any) -> Any:
            runs = io.use(integration).beta.threads.runs
            run = await runs.create("create", **params)
            ended = runs.poll("poll", run.id, thread_id=thread_id, poll_interval_ms=poll_interval_ms)
            return stored(await ended)

        return integration.task(
            key,
            create_and_poll,
            {"thread_id": thread_id, "assistant_id": assistant_id, **more},
            name="Create run and wait",
            properties={"Thread": thread_id, "Assistant": assistant_id},
            returns=integration._returns("beta.threads.runs.create"),
            task_options=task_options,
        )


def rereadable(params: Params) -> Params:
    """Parameters with the content of open files, for every attempt: the first would leave a file at its end."""
    return {
        name: (os.path.basename(str(getattr(value, "name", "upload"))), value.read())
        if hasattr(value, "read") and not isinstance(value, Path)
        else value
        for name, value in params.items()
    }


def _upload(params: Params) -> Params:
    file = params.get("file")
    return rereadable({**params, "file": Path(os.path.abspath(file))} if isinstance(file, str) else params)


def _file_name(params: Params) -> str:
    file = params["file"]
    if isinstance(file, bytes):
        return "upload"
    return str(cast("tuple[Any, ...]", file)[0]) if isinstance(file, tuple) else os.path.basename(file)


def _inputs(params: Params) -> int:
    given = params.get("input")
    return len(cast("list[Any]", given)) if isinstance(given, list) else 1


_MODEL: Mapping[str, str] = {"Model": "model"}
_THREAD = {"Thread": "thread_id"}
_RUN = {"Run": "run_id"}
_FILE = {"File": "file_id"}
_JOB = {"Job": "fine_tuning_job_id"}
_ASSISTANT = {"Assistant": "assistant_id"}

KNOWN: Mapping[str, Known] = {
    "chat.completions.create": Known(
        "The model's answer to a chat: `.choices[0].message.content`. With `stream=True` the row shows the text "
        "while it comes; the result is the whole completion, as without. A broken stream starts over.",
        "Chat completion",
        _MODEL,
    ),
    "chat.completions.background_create": Known(
        "As `create`, with more patience: the pauses between attempts double, up to 30 s. It helps to port jobs: "
        "calls have no time limit here, so there is no other difference.",
        "Background chat completion",
        _MODEL,
        retry=exponential_backoff,
        calls="chat.completions.create",
    ),
    "completions.create": Known(
        "The model's continuation of a text. `stream=True` as for chat completions.", "Completion", _MODEL
    ),
    "responses.create": Known(
        "A response of the model; its text is `.output_text`. `stream=True` as for chat completions. One whose "
        'status is "failed" raises `openai.APIError` with its code, and is tried again if the fault is the server\'s.',
        "Response",
        _MODEL,
    ),
    "responses.retrieve": Known("A response as it is now.", shows={"Response": "response_id"}),
    "embeddings.create": Known(
        "The embeddings of one text or a list of them: `.data[i].embedding`.",
        "Create embeddings",
        {"Model": "model", "Inputs": _inputs},
    ),
    "images.generate": Known(
        "Images for a prompt: `.data[i].url` or `.b64_json`. OpenAI deletes the image of a `url` after an hour.",
        shows=_MODEL,
    ),
    "models.list": Known(
        "All models, as a list. So for each method that lists: all there is, or `limit=` of it."
    ),
    "models.retrieve": Known("One model.", shows=_MODEL),
    "models.delete": Known("Delete a fine-tuned model.", shows=_MODEL),
    "files.create": Known(
        "Upload a file. `file` is a path (which is read when the task runs; best for large ones), bytes, a name "
        "and bytes, or a file that is open for reading bytes.",
        "Upload file",
        {"File": _file_name, "Purpose": "purpose"},
        prepare=_upload,
    ),
    "files.retrieve": Known("The metadata of a file.", shows=_FILE),
    "files.list": Known("All files, or with `limit=` the first ones."),
    "files.delete": Known("Delete a file.", shows=_FILE),
    "files.content": Known("The bytes of a file.", "Download file", _FILE),
    "files.wait_for_processing": Known(
        "Wait until the processing of a file has ended, as its `status` says. Raises `RuntimeError` after "
        "`max_wait_seconds`.",
        "Wait for file",
        {"File": "id"},
        prepare=defaults(poll_interval=5.0, max_wait_seconds=1800),
    ),
    "fine_tuning.jobs.create": Known(
        "Start to fine-tune a model with an uploaded file.",
        "Create fine-tuning job",
        {"Model": "model", "Training file": "training_file"},
    ),
    "fine_tuning.jobs.retrieve": Known("A job as it is now.", "Retrieve fine-tuning job", _JOB),
    "fine_tuning.jobs.list": Known("All jobs, or with `limit=` the latest ones.", "List fine-tuning jobs"),
    "fine_tuning.jobs.cancel": Known("Cancel a job.", "Cancel fine-tuning job", _JOB),
    "fine_tuning.jobs.list_events": Known(
        "All events of a job, the latest first.", "List fine-tuning events", _JOB
    ),
    # OpenAI has replaced assistants and threads by responses; these help to port jobs.
    "beta.assistants.create": Known("A new assistant.", shows=_MODEL),
    **{f"beta.assistants.{name}": Known(shows=_ASSISTANT) for name in ("delete", "retrieve", "update")},
    "beta.assistants.list": Known(),
    "beta.threads.create": Known("A new thread."),
    **{f"beta.threads.{name}": Known(shows=_THREAD) for name in ("delete", "retrieve")},
    "beta.threads.create_and_run": Known(
        "A new thread and a run of it.", "Create thread and run", _ASSISTANT
    ),
    "beta.threads.messages.create": Known("A new message in a thread.", "Create message", _THREAD),
    "beta.threads.messages.list": Known(name="List messages", shows=_THREAD),
    "beta.threads.messages.retrieve": Known(name="Retrieve message", shows={"Message": "message_id"}),
    "beta.threads.runs.create": Known(
        "Have an assistant answer in a thread.", "Create run", {**_THREAD, **_ASSISTANT}
    ),
    "beta.threads.runs.poll": Known(
        "Wait until a run has ended or needs an action, as its `status` says.", "Wait for run", _RUN
    ),
    "beta.threads.runs.list": Known(name="List runs", shows=_THREAD),
    "beta.threads.runs.retrieve": Known(name="Retrieve run", shows=_RUN),
    "beta.threads.runs.cancel": Known(name="Cancel run", shows=_RUN),
    "beta.threads.runs.submit_tool_outputs": Known("Submit the outputs of a run's tools.", shows=_RUN),
}
