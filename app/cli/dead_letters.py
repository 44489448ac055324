"""`nacre dead-letter`: deliveries that failed as often as allowed, tried again or given up.

Stands at the edge, over the acts on dead letters, each of which is in the ledger. It delivers nothing itself.
"""

from typing import Annotated

import typer

from app.cli.options import (
    LARGEST_ID,
    LIMIT_DEFAULT,
    LIMIT_HIGHEST,
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

READING = "app.cli.actions.reading"
ACTION = "app.cli.actions.dead_letters"

dead_letters = group("dead-letter", "Deliveries that failed as often as allowed.")
GROUPS = (dead_letters,)

Ids = Annotated[
    list[int] | None,
    typer.Argument(metavar="ID...", min=1, max=LARGEST_ID, show_default=False),
]
Subscriber = Annotated[
    str | None,
    typer.Option("--subscriber", metavar="NAME", help="Of this subscriber.", show_default=False),
]
EventName = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Of this type of event: TaskEnded, nacre.task.ended.",
        show_default=False,
    ),
]
AtOnce = Annotated[int, typer.Option("--limit", min=1, max=LIMIT_HIGHEST, help="Most of them, oldest first.")]
WhyAgain = Annotated[
    str | None, typer.Option("--reason", help="Why; it is kept with the act.", show_default=False)
]


@dead_letters.command(
    "list", **examples("nacre dead-letter list", "nacre dead-letter list --subscriber verify")
)
def list_dead_letters(
    subscriber: Subscriber = None,
    event_type: EventName = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List dead letters with their last error."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    asked |= {"subscriber": subscriber, "event_type": event_type}
    return int(load(f"{ACTION}:show_page")(database, asked, as_json=as_json))


@dead_letters.command("show", **examples("nacre dead-letter show 8"))
def show(delivery_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one with its event's payload, its tries and its last error."""
    return int(load(f"{READING}:show_item")("dead letter", database, delivery_id, as_json=as_json))


@dead_letters.command(
    "replay",
    **examples("nacre dead-letter replay 8", "nacre dead-letter replay --subscriber verify --limit 100"),
)
def replay(
    delivery_ids: Ids = None,
    subscriber: Subscriber = None,
    event_type: EventName = None,
    limit: AtOnce = LIMIT_HIGHEST,
    reason: WhyAgain = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Put dead letters back in line, by ID or by kind; the running platform delivers them again."""
    asked = {"subscriber": subscriber, "event_type": event_type, "limit": limit}
    return int(load(f"{ACTION}:replay")(database, delivery_ids, asked, reason=reason, as_json=as_json))


@dead_letters.command(
    "discard",
    **examples('nacre dead-letter discard 8 --reason "settled by hand"'),
)
def discard(
    reason: Reason,
    delivery_ids: Ids = None,
    subscriber: Subscriber = None,
    event_type: EventName = None,
    limit: AtOnce = LIMIT_HIGHEST,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Give dead letters up for good, by ID or by kind."""
    asked = {"subscriber": subscriber, "event_type": event_type, "limit": limit}
    return int(load(f"{ACTION}:discard")(database, delivery_ids, asked, reason=reason, as_json=as_json))
