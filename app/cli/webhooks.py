"""`nacre webhook` and `nacre event`: who gets the platform's events, and which there were.

Stands at the edge, over the record of webhooks and the feed. It sends nothing itself: the running platform
does.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    AsJson,
    Cursor,
    Database,
    Id,
    Limit,
    Oldest,
    Reason,
    examples,
    group,
)
from app.lazy import load

ACTION = "app.cli.actions.webhooks"

webhooks = group("webhook", "Signed events to receivers outside.")
events = group("event", "What has happened, as CloudEvents.")
GROUPS = (webhooks, events)

Type = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="An event type (docs/events.md), or '*' for every one; may be given again.",
    ),
]
Delivery = Annotated[
    int,
    typer.Argument(metavar="DELIVERY", min=1, max=LARGEST_ID, help="As `nacre webhook deliveries` lists it."),
]


@events.command("list", **examples("nacre event list --type nacre.task.ended --after 100 --oldest"))
def list_events(
    *,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type only.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUBJECT", help="About this only: task:41.")
    ] = None,
    lap: Annotated[int | None, typer.Option("--lap", min=1, max=LARGEST_ID, help="In this lap only.")] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, max=LARGEST_ID, help="Only ids above this one.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List events as CloudEvents."""
    asked = {"kind": kind, "subject": subject, "lap_id": lap, "after": after}
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{ACTION}:show_events")(database, asked, page, as_json=as_json))


@webhooks.command(
    "add", **examples("nacre webhook add https://hooks.example.org/nacre --type nacre.anomaly.detected")
)
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to: https and public.")],
    types: Type = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Register a receiver and print its signing secret, which is shown only now.

    Without --type it gets every event (`*`).
    """
    return int(
        load(f"{ACTION}:add")(
            database, url=url, types=types or ["*"], description=description, as_json=as_json
        )
    )


@webhooks.command("list", **examples("nacre webhook list"))
def list_webhooks(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List webhooks and how many deliveries of each are in which state."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{ACTION}:show_webhooks")(database, page, as_json=as_json))


@webhooks.command("show", **examples("nacre webhook show 1"))
def show(webhook_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one webhook, without its secret."""
    return int(load(f"{ACTION}:show_webhook")(database, webhook_id, as_json=as_json))


@webhooks.command("change", **examples("nacre webhook change 1 --type '*'"))
def change(
    webhook_id: Id,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The new address.")] = None,
    types: Type = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Change the address, the event types or the description."""
    changes = {"url": url, "types": types, "description": description}
    return int(load(f"{ACTION}:change")(database, webhook_id, changes, as_json=as_json))


@webhooks.command("pause", **examples('nacre webhook pause 1 --reason "the receiver moves"'))
def pause(webhook_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Stop sending; events wait in the outbox until it is resumed."""
    return int(load(f"{ACTION}:pause")(database, webhook_id, reason=reason, as_json=as_json))


@webhooks.command("resume", **examples('nacre webhook resume 1 --reason "it has moved"'))
def resume(webhook_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Go on sending where it was paused."""
    return int(load(f"{ACTION}:resume")(database, webhook_id, reason=reason, as_json=as_json))


@webhooks.command("rotate", **examples('nacre webhook rotate 1 --reason "it stood in a log"'))
def rotate(webhook_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Begin a new secret and print it; for 24 hours the old one signs too."""
    return int(load(f"{ACTION}:rotate")(database, webhook_id, reason=reason, as_json=as_json))


@webhooks.command("test", **examples("nacre webhook test 1"))
def send_ping(webhook_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Queue the event nacre.ping for one webhook; the running platform sends it."""
    return int(load(f"{ACTION}:send_ping")(database, webhook_id, as_json=as_json))


@webhooks.command("remove", **examples('nacre webhook remove 1 --reason "nobody listens"'))
def remove(webhook_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Delete a webhook for good and discard what waits for it."""
    return int(load(f"{ACTION}:remove")(database, webhook_id, reason=reason, as_json=as_json))


@webhooks.command("deliveries", **examples("nacre webhook deliveries 1 --state dead"))
def list_deliveries(
    webhook_id: Id,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="pending, delivered, dead or discarded.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List what was, is or will be sent to one webhook."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{ACTION}:show_deliveries")(database, webhook_id, state, page, as_json=as_json))


@webhooks.command("replay", **examples('nacre webhook replay 1 40 --reason "the receiver is mended"'))
def replay(
    webhook_id: Id, delivery_id: Delivery, reason: Reason, database: Database = None, as_json: AsJson = False
) -> int:
    """Put a dead delivery back in line."""
    return int(load(f"{ACTION}:replay")(database, webhook_id, delivery_id, reason=reason, as_json=as_json))


@webhooks.command("discard", **examples('nacre webhook discard 1 40 --reason "too old to matter"'))
def discard(
    webhook_id: Id, delivery_id: Delivery, reason: Reason, database: Database = None, as_json: AsJson = False
) -> int:
    """Give a dead delivery up."""
    return int(load(f"{ACTION}:discard")(database, webhook_id, delivery_id, reason=reason, as_json=as_json))
