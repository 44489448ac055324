"""`nacre pattern`: what the nightly consolidation has learned.

Stands at the edge, over the read model. It never changes a pattern.
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
    examples,
    group,
)
from app.lazy import load
from services.domain.patterns import PatternKind

READING = "app.cli.actions.reading"

patterns = group("pattern", "What the nights have learned: agents, settings, failures, where to look.")
GROUPS = (patterns,)


@patterns.command(
    "list", **examples("nacre pattern list --kind candidate", "nacre pattern list --type ml_training --json")
)
def list_patterns(
    task_type: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Of this task type only.", show_default=False)
    ] = None,
    kind: Annotated[PatternKind | None, typer.Option("--kind", help="Of this kind only.")] = None,
    agent_id: Annotated[
        int | None,
        typer.Option(
            "--agent", metavar="ID", min=1, max=LARGEST_ID, help="Of this agent only.", show_default=False
        ),
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List patterns; candidates are where to look first."""
    asked = {
        "task_type": task_type, "kind": kind, "agent_id": agent_id, "limit": limit, "cursor": cursor,
        "oldest_first": oldest,
    }  # fmt: skip
    return int(load(f"{READING}:show_page")("pattern", database, asked, as_json=as_json))


@patterns.command("show", **examples("nacre pattern show 9"))
def show_pattern(pattern_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one pattern with its facts."""
    return int(load(f"{READING}:show_item")("pattern", database, pattern_id, as_json=as_json))
