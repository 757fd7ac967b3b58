"""The groups of OpenAI's methods, named as in its SDK."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from ..._tasks.options import Options
from ...retry import exponential_backoff
from .._base import Integration, Methods
from ._answers import type_of
from ._bodies import completes, content_of_file, create_response, lists, reads, wait_for_file, writes

if TYPE_CHECKING:
    from openai.types import (
        Completion,
        CreateEmbeddingResponse,
        FileDeleted,
        FileObject,
        ImagesResponse,
        Model,
        ModelDeleted,
    )
    from openai.types.chat import ChatCompletion
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
    from openai.types.responses import Response

    from ..._tasks.call import Call

T = TypeVar("T")
Listed: TypeAlias = list[T]  # `list` is the name of a method in most of these classes
# A file to upload: its path, its bytes, its name and its bytes, or an open file.
Upload: TypeAlias = "str | os.PathLike[str] | bytes | tuple[str, bytes] | Any"


class Group(Methods[Integration[Any]]):
    """Base class of methods that return models of the SDK."""

    def _model(self, name: str) -> Any:
        """The type of a model by its name in `openai.types`."""
        with self._integration.needs_extra():
            return type_of(name)


class Chat(Group):
    """`chat`."""

    @property
    def completions(self) -> ChatCompletions:
        """Chat completions."""
        return ChatCompletions(self._integration)


class ChatCompletions(Group):
    """`chat.completions`."""

    def create(
        self, key: Any, *, messages: list[Any], model: str, task_options: Options | None = None, **more: Any
    ) -> Call[ChatCompletion]:
        """The model's answer to a chat, `POST /chat/completions`.

        ```
        completion = await io.openai.chat.completions.create(
            "greet", model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello"}], stream=True
        )
        completion.choices[0].message.content
        ```

        `more` is whatever else the method takes. With `stream=True` the row shows the text while it comes;
        the result is the whole completion, as without. A broken stream starts over.
        """
        return self._integration.task(
            key,
            completes("chat.completions.create"),
            {"messages": messages, "model": model, **more},
            name="Chat completion",
            properties={"Model": model},
            returns=self._model("chat.ChatCompletion"),
            task_options=task_options,
        )

    def background_create(
        self, key: Any, *, messages: list[Any], model: str, task_options: Options | None = None, **more: Any
    ) -> Call[ChatCompletion]:
        """As `create`, with more patience: the pauses between attempts double, up to 30 s.

        It helps to port jobs. Calls have no time limit here, so there is no other difference from `create`.
        """
        return self._integration.task(
            key,
            completes("chat.completions.create"),
            {"messages": messages, "model": model, **more},
            name="Background chat completion",
            properties={"Model": model},
            retry=exponential_backoff,
            returns=self._model("chat.ChatCompletion"),
            task_options=task_options,
        )


class Completions(Group):
    """`completions`."""

    def create(
        self, key: Any, *, model: str, prompt: Any, task_options: Options | None = None, **more: Any
    ) -> Call[Completion]:
        """The model's continuation of a text, `POST /completions`. `stream=True` as for chat completions."""
        return self._integration.task(
            key,
            completes("completions.create"),
            {"model": model, "prompt": prompt, **more},
            name="Completion",
            properties={"Model": model},
            returns=self._model("Completion"),
            task_options=task_options,
        )


class Responses(Group):
    """`responses`, which replace assistants and threads."""

    def create(
        self,
        key: Any,
        *,
        model: str | None = None,
        input: Any = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Response]:
        """A response of the model, `POST /responses`; its text is `.output_text`.

        `more` is whatever else the method takes. With `stream=True` the row shows the text while it comes;
        the result is the whole response, as without. A response whose status is "failed" raises
        `openai.APIError` with its code, and is tried again if the fault is the server's.
        """
        return self._integration.task(
            key,
            create_response,
            {"model": model, "input": input, **more},
            name="Response",
            properties={"Model": model} if model else None,
            returns=self._model("responses.Response"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, response_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Response]:
        """A response as it is now, `GET /responses/{response_id}`."""
        return self._integration.task(
            key,
            reads("responses.retrieve"),
            {"response_id": response_id, **more},
            name="Retrieve response",
            properties={"Response": response_id},
            returns=self._model("responses.Response"),
            task_options=task_options,
        )


class Embeddings(Group):
    """`embeddings`."""

    def create(
        self, key: Any, *, input: Any, model: str, task_options: Options | None = None, **more: Any
    ) -> Call[CreateEmbeddingResponse]:
        """The embeddings of one text or a list of them, `POST /embeddings`: `.data[i].embedding`."""
        inputs = len(cast("list[Any]", input)) if isinstance(input, list) else 1
        return self._integration.task(
            key,
            writes("embeddings.create"),
            {"input": input, "model": model, **more},
            name="Create embeddings",
            properties={"Model": model, "Inputs": inputs},
            returns=self._model("CreateEmbeddingResponse"),
            task_options=task_options,
        )


class Images(Group):
    """`images`."""

    def generate(
        self,
        key: Any,
        *,
        prompt: str,
        model: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[ImagesResponse]:
        """Images for a prompt, `POST /images/generations`: `.data[i].url` or `.b64_json`.

        OpenAI deletes the image of a `url` after an hour.
        """
        return self._integration.task(
            key,
            writes("images.generate"),
            {"prompt": prompt, "model": model, **more},
            name="Generate image",
            properties={"Model": model} if model else None,
            returns=self._model("ImagesResponse"),
            task_options=task_options,
        )


class Models(Group):
    """`models`."""

    def list(self, key: Any, *, task_options: Options | None = None, **more: Any) -> Call[Listed[Model]]:
        """All models, `GET /models`."""
        return self._integration.task(
            key,
            lists("models.list"),
            more,
            name="List models",
            returns=list[self._model("Model")],
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, model: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Model]:
        """One model, `GET /models/{model}`."""
        return self._integration.task(
            key,
            reads("models.retrieve"),
            {"model": model, **more},
            name="Retrieve model",
            properties={"Model": model},
            returns=self._model("Model"),
            task_options=task_options,
        )

    def delete(
        self, key: Any, model: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[ModelDeleted]:
        """Delete a fine-tuned model, `DELETE /models/{model}`."""
        return self._integration.task(
            key,
            writes("models.delete"),
            {"model": model, **more},
            name="Delete model",
            properties={"Model": model},
            returns=self._model("ModelDeleted"),
            task_options=task_options,
        )


class Files(Group):
    """`files`."""

    def create(
        self, key: Any, *, file: Upload, purpose: str, task_options: Options | None = None, **more: Any
    ) -> Call[FileObject]:
        """Upload a file, `POST /files`.

        `file` is a path (which is read when the task runs; best for large ones), bytes, a name and bytes, or
        a file that is open for reading bytes.
        """
        file = _rereadable(file)
        return self._integration.task(
            key,
            writes("files.create"),
            {"file": file, "purpose": purpose, **more},
            name="Upload file",
            properties={"File": _name_of(file), "Purpose": purpose},
            returns=self._model("FileObject"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, file_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[FileObject]:
        """The metadata of a file, `GET /files/{file_id}`."""
        return self._integration.task(
            key,
            reads("files.retrieve"),
            {"file_id": file_id, **more},
            name="Retrieve file",
            properties={"File": file_id},
            returns=self._model("FileObject"),
            task_options=task_options,
        )

    def list(self, key: Any, *, task_options: Options | None = None, **more: Any) -> Call[Listed[FileObject]]:
        """All files, or with `limit=` the first ones, `GET /files`."""
        return self._integration.task(
            key,
            lists("files.list"),
            more,
            name="List files",
            returns=list[self._model("FileObject")],
            task_options=task_options,
        )

    def delete(
        self, key: Any, file_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[FileDeleted]:
        """Delete a file, `DELETE /files/{file_id}`."""
        return self._integration.task(
            key,
            writes("files.delete"),
            {"file_id": file_id, **more},
            name="Delete file",
            properties={"File": file_id},
            returns=self._model("FileDeleted"),
            task_options=task_options,
        )

    def content(
        self, key: Any, file_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[bytes]:
        """The bytes of a file, `GET /files/{file_id}/content`."""
        return self._integration.task(
            key,
            content_of_file,
            {"file_id": file_id, **more},
            name="Download file",
            properties={"File": file_id},
            task_options=task_options,
        )

    def wait_for_processing(
        self,
        key: Any,
        id: str,
        *,
        poll_interval: float = 5.0,
        max_wait_seconds: float = 30 * 60,
        task_options: Options | None = None,
    ) -> Call[FileObject]:
        """Wait until the processing of a file has ended, as its `status` says. Times are in seconds.

        Raises `RuntimeError` after `max_wait_seconds`.
        """
        params = {"id": id, "poll_interval": poll_interval, "max_wait_seconds": max_wait_seconds}
        return self._integration.task(
            key,
            wait_for_file,
            params,
            name="Wait for file",
            properties={"File": id},
            returns=self._model("FileObject"),
            task_options=task_options,
        )


class FineTuning(Group):
    """`fine_tuning`."""

    @property
    def jobs(self) -> FineTuningJobs:
        """Fine-tuning jobs."""
        return FineTuningJobs(self._integration)


class FineTuningJobs(Group):
    """`fine_tuning.jobs`."""

    def create(
        self, key: Any, *, model: str, training_file: str, task_options: Options | None = None, **more: Any
    ) -> Call[FineTuningJob]:
        """Start to fine-tune a model with an uploaded file, `POST /fine_tuning/jobs`."""
        return self._integration.task(
            key,
            writes("fine_tuning.jobs.create"),
            {"model": model, "training_file": training_file, **more},
            name="Create fine-tuning job",
            properties={"Model": model, "Training file": training_file},
            returns=self._model("fine_tuning.FineTuningJob"),
            task_options=task_options,
        )

    def retrieve(
        self, key: Any, fine_tuning_job_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[FineTuningJob]:
        """A job as it is now, `GET /fine_tuning/jobs/{fine_tuning_job_id}`."""
        return self._integration.task(
            key,
            reads("fine_tuning.jobs.retrieve"),
            {"fine_tuning_job_id": fine_tuning_job_id, **more},
            name="Retrieve fine-tuning job",
            properties={"Job": fine_tuning_job_id},
            returns=self._model("fine_tuning.FineTuningJob"),
            task_options=task_options,
        )

    def list(
        self, key: Any, *, task_options: Options | None = None, **more: Any
    ) -> Call[Listed[FineTuningJob]]:
        """All jobs, or with `limit=` the latest ones, `GET /fine_tuning/jobs`."""
        return self._integration.task(
            key,
            lists("fine_tuning.jobs.list"),
            more,
            name="List fine-tuning jobs",
            returns=list[self._model("fine_tuning.FineTuningJob")],
            task_options=task_options,
        )

    def cancel(
        self, key: Any, fine_tuning_job_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[FineTuningJob]:
        """Cancel a job, `POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel`."""
        return self._integration.task(
            key,
            writes("fine_tuning.jobs.cancel"),
            {"fine_tuning_job_id": fine_tuning_job_id, **more},
            name="Cancel fine-tuning job",
            properties={"Job": fine_tuning_job_id},
            returns=self._model("fine_tuning.FineTuningJob"),
            task_options=task_options,
        )

    def list_events(
        self, key: Any, fine_tuning_job_id: str, *, task_options: Options | None = None, **more: Any
    ) -> Call[Listed[FineTuningJobEvent]]:
        """All events of a job, or with `limit=` the latest ones, the latest first,
        `GET /fine_tuning/jobs/{fine_tuning_job_id}/events`."""
        return self._integration.task(
            key,
            lists("fine_tuning.jobs.list_events"),
            {"fine_tuning_job_id": fine_tuning_job_id, **more},
            name="List fine-tuning events",
            properties={"Job": fine_tuning_job_id},
            returns=list[self._model("fine_tuning.FineTuningJobEvent")],
            task_options=task_options,
        )


def _rereadable(file: Any) -> Any:
    """The file's content, for every attempt: the first attempt would leave an open file at its end."""
    if isinstance(file, str):
        return Path(os.path.abspath(file))
    if hasattr(file, "read"):
        return (os.path.basename(str(getattr(file, "name", "upload"))), file.read())
    return file


def _name_of(file: Any) -> str:
    if isinstance(file, bytes):
        return "upload"
    return str(cast("tuple[Any, ...]", file)[0]) if isinstance(file, tuple) else os.path.basename(file)
