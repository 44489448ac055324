"""`nacre proposal`, `nacre experiment`, `nacre laps`: what was asked for, tried, and came of it.

Stands at the edge, over layers 5 and 6 and the laps. These commands only read: operators do not vote.
"""

from typing import Annotated

import typer

from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Id, Limit, Oldest, examples, group
from app.lazy import load
from services.domain.states import ExperimentState, ProposalState

READING = "app.cli.actions.reading"

proposals = group("proposal", "What agents asked to change, and how the vote went.")
experiments = group("experiment", "Both arms of what was tried, and the verdicts.")
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


@experiments.command("list", **examples("nacre experiment list --state running"))
def list_experiments(
    state: Annotated[ExperimentState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List experiments with both arms and the evidence so far."""
    asked = {"state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("experiment", database, asked, as_json=as_json))


@experiments.command("show", **examples("nacre experiment show 1 --json"))
def show_experiment(experiment_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show one experiment with the path of its evidence in assignment order."""
    return int(load(f"{READING}:show_item")("experiment", database, experiment_id, as_json=as_json))


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
