"""Services in jobs: their own SDKs' clients, and their calls as tasks.

```python
from trigger_nb.integrations import Slack

@client.job(id="hello", integrations={"slack": Slack()})
async def hello(payload, io):
    await io.slack.post_message("say-hello", channel="C0123456789", text="Hello!")
```

Nothing here imports an SDK before a task needs it. Each SDK is an extra: `pip install 'trigger-nb[slack]'`.
"""

from ._base import Credential, Integration, Methods
from ._verdicts import by_status, is_connection_error, reset_at, retry_after
from .slack import Slack

__all__ = [
    "Credential",
    "Integration",
    "Methods",
    "Slack",
    "by_status",
    "is_connection_error",
    "reset_at",
    "retry_after",
]
