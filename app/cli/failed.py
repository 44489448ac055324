"""`nacre failed`: one list of everything that failed and waits for somebody, with owner, reason and retry.

Stands at the edge, over the acts on failed work. It repairs nothing by itself.
"""

from typing import Annotated

import typer

from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Id, Limit, Reason, examples, group
from app.lazy import load
from services.domain.failed_work import FailedKind

ACTION = "app.cli.actions.failed"

failed = group("failed", "Everything that failed and waits for somebody.")
GROUPS = (failed,)

Kind = Annotated[FailedKind, typer.Argument(metavar="KIND", help="The kind that `nacre failed list` shows.")]


@failed.command("list", **examples("nacre failed list", "nacre failed list --kind task --owner agent:2"))
def list_failed(
    kind: Annotated[FailedKind | None, typer.Option("--kind", help="Of this kind only.")] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="OWNER", help="operator, agent:2, a subsystem.", show_default=False),
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List failed work, one line per cause: who has to do something, why, since when, how often."""
    asked = {"kind": kind, "owner": owner, "limit": limit, "cursor": cursor}
    return int(load("app.cli.actions.reading:show_page")("failed work", database, asked, as_json=as_json))


@failed.command("retry", **examples("nacre failed retry task 41", "nacre failed retry dead_letter 8"))
def retry(kind: Kind, item_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Post a failed task again (its requester pays), or deliver a dead letter again."""
    return int(load(f"{ACTION}:retry")(database, kind, item_id, as_json=as_json))


@failed.command("dismiss", **examples('nacre failed dismiss task 41 --reason "no longer needed"'))
def dismiss(
    kind: Kind, item_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False
) -> int:
    """Take the line that holds this item off the list; what fails later is listed again."""
    return int(load(f"{ACTION}:dismiss")(database, kind, item_id, reason=reason, as_json=as_json))
