"""S8: what `redact` names is hidden from tree, logs, errors and exports, and kept in the record."""

import pytest

from trigger_nb import TriggerClient
from trigger_nb._view.render import html
from trigger_nb.errors import InvalidOptionError

SECRET = "ana@example.org"


@pytest.fixture
def client(tmp_path):
    return TriggerClient("hidden", dir=tmp_path)


def faces(run, tmp_path):
    """Everything a person can see of a run."""
    model = run.model()
    page = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    return [
        run.tree(),
        html.live(model),
        html.final(model),
        page,
        repr(run),
        repr(run.tasks),
    ]


@pytest.mark.anyio
async def test_what_a_task_hides_is_seen_nowhere(client, tmp_path):
    """Arguments, results and log lines' data."""

    async def fetch(user):
        return {"user": user, "name": "Ana"}

    @client.job(redact=["user.email", "email"])
    async def job(payload, io):
        io.logger.info("found", {"user": payload["user"]})
        return await io.run_task("fetch", fetch, payload["user"])

    payload = {"user": {"id": 1, "email": SECRET}}
    assert await job.run(payload) == {"user": payload["user"], "name": "Ana"}
    run = client.runs()[0]
    for face in [*faces(run, tmp_path), repr(client.runs())]:
        assert SECRET not in face
    assert run.output["user"]["email"] == SECRET, "the record keeps the value, which replay needs"
    assert (await job.run(payload))["user"]["email"] == SECRET


@pytest.mark.anyio
async def test_what_an_error_repeats_of_it_is_hidden_too(client, tmp_path):
    """Properties, and the message, notes and traceback of the task's error, of its cause, and of the run's error."""

    async def send(user):
        try:
            raise LookupError(f"no account {user['email']}")
        except LookupError as cause:
            error = ValueError(f"cannot write to {user['email']}")
            error.add_note(f"asked for {user['email']}")
            raise error from cause

    @client.job
    async def job(payload, io):
        await io.run_task("send", send, payload, redact=["email"], properties={"To": payload["email"]})

    with pytest.raises(ValueError, match=SECRET):
        await job.run({"email": SECRET})
    run = client.runs()[0]
    for face in faces(run, tmp_path):
        assert SECRET not in face
        assert "cannot write to" in face or face.startswith(("<Run", "[<task")) or face.count("\n") == 0
    assert SECRET in str(run.task("send").error), "a replayed error has the same text"


@pytest.mark.anyio
async def test_a_path_that_cannot_be_meant_is_refused(client):
    with pytest.raises(InvalidOptionError, match="redact"):
        client.job(redact=["a..b"])(lambda payload, io: None)

    @client.job
    async def job(payload, io):
        await io.run_task("a", lambda: 1, redact=["a..b"])

    with pytest.raises(InvalidOptionError, match="redact"):
        await job.run()
