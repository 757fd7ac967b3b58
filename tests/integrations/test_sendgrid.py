"""SendGrid through its own SDK, against an account on the loopback; what all share is in test_smaller_ones.py."""

from __future__ import annotations

import pytest
from python_http_client.exceptions import BadRequestsError

from tests.support.fakes import FakeSendGrid
from trigger_nb.integrations import SendGrid

pytestmark = pytest.mark.anyio


@pytest.fixture
def service():
    with FakeSendGrid() as service:
        yield service


@pytest.fixture
def job(client, service):
    @client.job(id="mail", integrations={"sendgrid": SendGrid("SG.1", base_url=service.url)})
    async def mail(payload, io):
        return await io.sendgrid.send_email("send", **payload)

    return mail


async def test_a_mail(job, service):
    given = {
        "from_email": ("team@x.io", "The team"),
        "to_emails": ["ana@x.io", ("eva@x.io", "Eva")],
        "subject": "Welcome",
        "plain_text_content": "Hello",
        "html_content": "<b>Hello</b>",
        "categories": ["welcome"],
    }
    assert await job.run(given) == {"message_id": "message-1"}
    assert service.mails == [
        {
            "from": {"email": "team@x.io", "name": "The team"},
            "subject": "Welcome",
            "personalizations": [{"to": [{"email": "ana@x.io"}, {"email": "eva@x.io", "name": "Eva"}]}],
            "content": [
                {"type": "text/plain", "value": "Hello"},
                {"type": "text/html", "value": "<b>Hello</b>"},
            ],
            "categories": ["welcome"],
        }
    ]
    [task] = job.runs()[0].tasks
    assert (task.icon, task.name) == ("sendgrid", "Send email")
    assert {each["label"]: each["text"] for each in task.properties} == {
        "From": "team@x.io",
        "To": "ana@x.io, eva@x.io",
        "Subject": "Welcome",
    }
    assert task.output_properties == [{"label": "Message", "text": "message-1"}]


async def test_an_error_says_what_sendgrid_says(job):
    with pytest.raises(BadRequestsError) as caught:
        await job.run({"from_email": "team@x.io", "to_emails": "ana@x.io"})
    assert any("the content parameter is required" in note for note in caught.value.__notes__)
