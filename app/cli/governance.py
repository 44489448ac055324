"""`nacre proposal`, `nacre laps`: what was asked for, and what came of it.

Stands at the edge, over layer 5 and the laps; `nacre experiment`, between them, has its own module. These
commands only read: operators do not vote.
"""

from typing import Annotated

import typer

from app.cli.experiments import experiments
from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Id, Limit, Oldest, examples, group
from app.lazy import load
from services.domain.states import ProposalState

READING = "app.cli.actions.reading"

proposals = group("proposal", "What agents asked to change, and how the vote went.")
laps = group("laps", "Turns of the loop that are on record.")
GROUPS = (proposals, experiments, laps)


@proposals.command("list", **examples("nacre proposal list --state open"))
def list_proposals(
    state: Annotated[ProposalState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List proposals with their votes."""
    asked = {"state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("proposal", database, asked, as_json=as_json))


@proposals.command("show", **examples("nacre proposal show 1"))
def show_proposal(proposal_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one proposal with its electorate and every ballot."""
    return int(load(f"{READING}:show_item")("proposal", database, proposal_id, as_json=as_json))


@laps.command("list", **examples("nacre laps list"))
def list_laps(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List laps: what was seen, where each stands, what it changed."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("lap", database, asked, as_json=as_json))


@laps.command("show", **examples("nacre laps show 1"))
def show_lap(lap_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one lap: its seven stages and its ledger entries."""
    return int(load(f"{READING}:show_item")("lap", database, lap_id, as_json=as_json))
