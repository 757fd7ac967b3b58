"""Services in jobs: their own SDKs' clients, and their calls as tasks.

```python
from trigger_nb.integrations import Slack

@client.job(id="hello", integrations={"slack": Slack()})
async def hello(payload, io):
    await io.slack.post_message("say-hello", channel="C0123456789", text="Hello!")
```

Nothing here imports an SDK before a task needs it. Each SDK is an extra: `pip install 'trigger-nb[slack]'`.
"""

from __future__ import annotations

from ._base import Credential, Integration, Methods
from ._http_retries import by_status, is_connection_error, reset_at, retry_after
from .airtable import Airtable
from .github import GitHub
from .http import HTTP
from .openai import OpenAI
from .replicate import Replicate
from .resend import Resend
from .sendgrid import SendGrid
from .slack import Slack
from .sql import SQL
from .stripe import Stripe
from .supabase import Supabase

__all__ = [
    "HTTP",
    "SQL",
    "Airtable",
    "Credential",
    "GitHub",
    "Integration",
    "Methods",
    "OpenAI",
    "Replicate",
    "Resend",
    "SendGrid",
    "Slack",
    "Stripe",
    "Supabase",
    "by_status",
    "is_connection_error",
    "reset_at",
    "retry_after",
]
