"""Triggers for the webhooks of services, by name: each checks who has sent them.

```
from trigger_nb.webhooks import github, stripe

@client.job(trigger=github.on_issue_opened("acme/shop"))
async def triage(issue, io):
    return issue["issue"]["title"]

client.serve(public_url="https://jobs.example.com")
github.url          # for the settings of the repository
```

The payload is what the service has sent, its JSON. The secret is read from the variable that `trigger_nb.signatures` names;
with two accounts, make another one: `GitHubWebhooks(secret, endpoint="github-work")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import filters, signatures
from .endpoints import EndpointTrigger, HttpEndpoint
from .errors import InvalidOptionError

__all__ = [
    "GitHubWebhooks",
    "SlackWebhooks",
    "StripeWebhooks",
    "SupabaseWebhooks",
    "TypeformWebhooks",
    "github",
    "slack",
    "stripe",
    "supabase",
    "typeform",
]


class Webhooks:
    """The webhooks of one account: an endpoint, and its triggers."""

    def __init__(self, endpoint: str, signature: signatures.Signature | signatures.Bearer) -> None:
        self.endpoint = HttpEndpoint(endpoint, source=signature.service, verify=signature)

    @property
    def url(self) -> str:
        """The address for the settings of the service. Raises `UsageError` if no server serves it: `client.serve()`."""
        return self.endpoint.url

    def on_request(self, filter: filters.Filter | None = None, *, schema: object = None) -> EndpointTrigger:
        """A trigger for each of its requests; the payload is the `HttpRequest`. See `HttpEndpoint.on_request`."""
        return self.endpoint.on_request(filter, schema=schema)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at endpoint {self.endpoint.id!r}>"


class GitHubWebhooks(Webhooks):
    """GitHub's webhooks, of a repository, or of all repositories of an organisation.

    Without a `secret`, GITHUB_WEBHOOK_SECRET is read. `repo` is "owner/name", an organisation "owner", or None for all.

    >>> GitHubWebhooks("s3cret").on_issue_opened("acme/shop").takes
    'body'
    """

    def __init__(self, secret: signatures.Secret = None, *, endpoint: str = "github") -> None:
        super().__init__(endpoint, signatures.github(secret))

    def on(
        self,
        event: str,
        repo: str | None = None,
        *,
        actions: tuple[str, ...] = (),
        filter: filters.Filter | None = None,
    ) -> EndpointTrigger:
        """A trigger for an event by GitHub's name, such as "workflow_run"; `filter` is of its JSON."""
        body: dict[str, Any] = dict(filter or {})
        if actions:
            body["action"] = list(actions)
        if repo is not None:
            if not isinstance(repo, str) or not repo.strip("/"):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
                raise InvalidOptionError(f'repo is "owner/name", or the owner alone, not {repo!r:.100}')
            part = {"full_name": [{"$ignoreCaseEquals": repo}]}
            body["repository"] = part if "/" in repo else {"owner": {"login": [{"$ignoreCaseEquals": repo}]}}
        return self.endpoint.on_body(
            {"headers": {"x-github-event": [event]}, **({"body": body} if body else {})}
        )

    def on_issue(self, repo: str | None = None) -> EndpointTrigger:
        """Anything that happens to an issue."""
        return self.on("issues", repo)

    def on_issue_opened(self, repo: str | None = None) -> EndpointTrigger:
        """An issue is opened."""
        return self.on("issues", repo, actions=("opened",))

    def on_issue_assigned(self, repo: str | None = None) -> EndpointTrigger:
        """An issue is assigned to somebody."""
        return self.on("issues", repo, actions=("assigned",))

    def on_issue_comment(self, repo: str | None = None) -> EndpointTrigger:
        """A comment on an issue or a pull request is written, changed or deleted."""
        return self.on("issue_comment", repo)

    def on_star(self, repo: str | None = None) -> EndpointTrigger:
        """A star is given or taken back."""
        return self.on("star", repo)

    def on_new_star(self, repo: str | None = None) -> EndpointTrigger:
        """A star is given."""
        return self.on("star", repo, actions=("created",))

    def on_new_repository(self, owner: str | None = None) -> EndpointTrigger:
        """A repository is created in an organisation."""
        return self.on("repository", owner, actions=("created",))

    def on_new_branch(self, repo: str | None = None) -> EndpointTrigger:
        """A branch is made."""
        return self.on("create", repo, filter={"ref_type": ["branch"]})

    def on_new_tag(self, repo: str | None = None) -> EndpointTrigger:
        """A tag is made."""
        return self.on("create", repo, filter={"ref_type": ["tag"]})

    def on_push(self, repo: str | None = None) -> EndpointTrigger:
        """Commits are pushed."""
        return self.on("push", repo)

    def on_pull_request(self, repo: str | None = None) -> EndpointTrigger:
        """Anything that happens to a pull request."""
        return self.on("pull_request", repo)

    def on_pull_request_opened(self, repo: str | None = None) -> EndpointTrigger:
        """A pull request is opened."""
        return self.on("pull_request", repo, actions=("opened",))

    def on_pull_request_review(self, repo: str | None = None) -> EndpointTrigger:
        """A review of a pull request is given, changed or dismissed."""
        return self.on("pull_request_review", repo)


class StripeWebhooks(Webhooks):
    """Stripe's webhooks. The payload is Stripe's event: `payload["data"]["object"]` is what it is about.

    Without a `secret`, STRIPE_WEBHOOK_SECRET is read.

    >>> StripeWebhooks("whsec_1").on_charge_succeeded().filter
    {'body': {'type': ['charge.succeeded']}}
    """

    def __init__(self, secret: signatures.Secret = None, *, endpoint: str = "stripe") -> None:
        super().__init__(endpoint, signatures.stripe(secret))

    def on(self, *types: str, filter: Mapping[str, Any] | None = None) -> EndpointTrigger:
        """A trigger for events by Stripe's names, such as "invoice.paid"; `filter` is of the object that it is about."""
        if not types or not all(isinstance(each, str) and each for each in types):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's values
            raise InvalidOptionError(
                f'stripe.on takes names of events, such as "invoice.paid", not {types!r:.100}'
            )
        about = {} if filter is None else {"data": {"object": dict(filter)}}
        return self.endpoint.on_body({"body": {"type": list(types), **about}})

    def on_charge_succeeded(self) -> EndpointTrigger:
        """A charge has succeeded."""
        return self.on("charge.succeeded")

    def on_charge_failed(self) -> EndpointTrigger:
        """A charge has failed."""
        return self.on("charge.failed")

    def on_charge_refunded(self) -> EndpointTrigger:
        """A charge was paid back, also in part."""
        return self.on("charge.refunded")

    def on_payment_intent_succeeded(self) -> EndpointTrigger:
        """A payment has succeeded."""
        return self.on("payment_intent.succeeded")

    def on_payment_intent_payment_failed(self) -> EndpointTrigger:
        """An attempt to pay has failed."""
        return self.on("payment_intent.payment_failed")

    def on_checkout_session_completed(self) -> EndpointTrigger:
        """A checkout is done."""
        return self.on("checkout.session.completed")

    def on_customer_created(self) -> EndpointTrigger:
        """A customer is made."""
        return self.on("customer.created")

    def on_customer_subscription_created(self) -> EndpointTrigger:
        """A subscription begins."""
        return self.on("customer.subscription.created")

    def on_customer_subscription_updated(self) -> EndpointTrigger:
        """A subscription has changed."""
        return self.on("customer.subscription.updated")

    def on_customer_subscription_deleted(self) -> EndpointTrigger:
        """A subscription has ended."""
        return self.on("customer.subscription.deleted")

    def on_invoice_paid(self) -> EndpointTrigger:
        """An invoice is paid."""
        return self.on("invoice.paid")

    def on_invoice_payment_failed(self) -> EndpointTrigger:
        """A payment of an invoice has failed."""
        return self.on("invoice.payment_failed")

    def on_payout_paid(self) -> EndpointTrigger:
        """Money has been paid out."""
        return self.on("payout.paid")


class SlackWebhooks(Webhooks):
    """Slack's Events API. Slack's question whether the address is yours is answered by itself.

    Without a `secret`, SLACK_SIGNING_SECRET is read.

    >>> SlackWebhooks("8f7e").on_event("app_mention").filter
    {'body': {'type': ['event_callback'], 'event': {'type': ['app_mention']}}}
    """

    def __init__(self, secret: signatures.Secret = None, *, endpoint: str = "slack") -> None:
        super().__init__(endpoint, signatures.slack(secret))

    def on_event(self, type: str, filter: filters.Filter | None = None) -> EndpointTrigger:
        """A trigger for events by Slack's names, such as "reaction_added"; `filter` is of the event itself."""
        event = {"type": [type], **(filter or {})}
        return self.endpoint.on_body({"body": {"type": ["event_callback"], "event": event}})

    def on_message(self) -> EndpointTrigger:
        """A message is written where the app is."""
        return self.on_event("message")

    def on_app_mention(self) -> EndpointTrigger:
        """The app is mentioned in a message."""
        return self.on_event("app_mention")


class SupabaseWebhooks(Webhooks):
    """The database webhooks of a Supabase project: rows that are inserted, updated and deleted.

    The payload is Supabase's: `payload["record"]` is the row as it is now, `payload["old_record"]` as it was. Each webhook needs
    the header `Authorization` with `Bearer` and the token. Without a `token`, SUPABASE_WEBHOOK_SECRET is read.

    Supabase sends each change once, without an id, and never again: what it sends while no server runs is lost.

    >>> SupabaseWebhooks("s3cret").on_inserted("users").filter
    {'body': {'type': ['INSERT'], 'schema': ['public'], 'table': ['users']}}
    """

    def __init__(self, token: signatures.Secret = None, *, endpoint: str = "supabase") -> None:
        super().__init__(endpoint, signatures.supabase(token))

    def on(
        self,
        table: str | None = None,
        *,
        types: tuple[str, ...] = (),
        schema: str = "public",
        filter: filters.Filter | None = None,
    ) -> EndpointTrigger:
        """A trigger for changes of a table, or of all tables; `types` are of "INSERT", "UPDATE", "DELETE"; `filter` is of the JSON."""
        for name, value in (("table", table), ("schema", schema)):
            if not (isinstance(value, str) and value) and not (name == "table" and value is None):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
                raise InvalidOptionError(
                    f'{name} is the name of a {name} alone, such as "{"users" if name == "table" else "public"}", not {value!r:.100}'
                )
        if table is not None and "." in table and schema == "public":
            there, _, alone = table.partition(".")
            raise InvalidOptionError(
                f"table is the name of a table alone, not {table!r:.100}: {alone!r:.50}, schema={there!r:.50}"
            )
        if isinstance(types, str) or not set(types) <= _CHANGES:  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(f'types are of "INSERT", "UPDATE" and "DELETE", not {types!r:.100}')
        body: dict[str, Any] = {"type": list(types or sorted(_CHANGES)), "schema": [schema]}
        if table is not None:
            body["table"] = [table]
        return self.endpoint.on_body({"body": {**body, **(filter or {})}})

    def on_inserted(
        self, table: str | None = None, *, schema: str = "public", filter: filters.Filter | None = None
    ) -> EndpointTrigger:
        """A row is inserted; `filter` is of the row."""
        return self.on(table, types=("INSERT",), schema=schema, filter=_of_row("record", filter))

    def on_updated(
        self, table: str | None = None, *, schema: str = "public", filter: filters.Filter | None = None
    ) -> EndpointTrigger:
        """A row is updated; `filter` is of the row as it is now."""
        return self.on(table, types=("UPDATE",), schema=schema, filter=_of_row("record", filter))

    def on_deleted(
        self, table: str | None = None, *, schema: str = "public", filter: filters.Filter | None = None
    ) -> EndpointTrigger:
        """A row is deleted; `filter` is of the row as it was."""
        return self.on(table, types=("DELETE",), schema=schema, filter=_of_row("old_record", filter))


_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE"})


def _of_row(place: str, filter: filters.Filter | None) -> dict[str, Any] | None:
    return None if filter is None else {place: dict(filter)}


class TypeformWebhooks(Webhooks):
    """Typeform's webhooks. Without a `secret`, TYPEFORM_WEBHOOK_SECRET is read.

    >>> TypeformWebhooks("s3cret").on_form_response("lT4Z3j").takes
    'body'
    """

    def __init__(self, secret: signatures.Secret = None, *, endpoint: str = "typeform") -> None:
        super().__init__(endpoint, signatures.typeform(secret))

    def on_form_response(self, form: str | None = None) -> EndpointTrigger:
        """A form is filled in: the one with this id, or any."""
        body: dict[str, Any] = {"event_type": ["form_response"]}
        if form is not None:
            body["form_response"] = {"form_id": [form]}
        return self.endpoint.on_body({"body": body})


github = GitHubWebhooks()
stripe = StripeWebhooks()
slack = SlackWebhooks()
supabase = SupabaseWebhooks()
typeform = TypeformWebhooks()
