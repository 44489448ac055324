"""Commands about what the loop saw and did: `anomaly`, `proposal`, `experiment`, `laps`.

Stands beside the other declarations; the acts are in `app.cli.acts.evidence`.
"""

from typing import Annotated

import typer

from app.cli.dispatch import perform
from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Identity, Limit, Oldest, examples
from services.domain.states import EpisodeState, ExperimentState, ProposalState

anomalies = typer.Typer(help="What the observatory saw.", no_args_is_help=True)
proposals = typer.Typer(help="Changes that agents asked for, and their votes.", no_args_is_help=True)
experiments = typer.Typer(help="Changes on trial.", no_args_is_help=True)
laps = typer.Typer(help="Turns of the loop, every hop joined.", no_args_is_help=True)
GROUPS = {"anomaly": anomalies, "proposal": proposals, "experiment": experiments, "laps": laps}


@anomalies.command("list", epilog=examples("nacre anomaly list", "nacre anomaly list --state open --json"))
def list_anomalies(
    state: Annotated[EpisodeState | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List episodes: metrics that left their band."""
    perform(
        "evidence:list_anomalies",
        filters={"state": state},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@proposals.command("list", epilog=examples("nacre proposal list", "nacre proposal list --state open --json"))
def list_proposals(
    state: Annotated[ProposalState | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List proposals with their counts."""
    perform(
        "evidence:list_proposals",
        filters={"state": state},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@proposals.command("show", epilog=examples("nacre proposal show 1", "nacre proposal show 1 --json"))
def show_proposal(proposal_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Show a proposal with its electorate and every ballot."""
    perform("evidence:show_proposal", proposal_id=proposal_id, database=database, as_json=as_json)


@experiments.command("list", epilog=examples("nacre experiment list", "nacre experiment list --json"))
def list_experiments(
    state: Annotated[ExperimentState | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List experiments with both arms and the evidence."""
    perform(
        "evidence:list_experiments",
        filters={"state": state},
        limit=limit,
        cursor=cursor,
        oldest=oldest,
        database=database,
        as_json=as_json,
    )


@experiments.command("show", epilog=examples("nacre experiment show 1", "nacre experiment show 1 --json"))
def show_experiment(experiment_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Show an experiment with the path of its evidence."""
    perform("evidence:show_experiment", experiment_id=experiment_id, database=database, as_json=as_json)


@laps.command("list", epilog=examples("nacre laps list", "nacre laps list --json"))
def list_laps(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List turns of the loop."""
    perform(
        "evidence:list_laps", limit=limit, cursor=cursor, oldest=oldest, database=database, as_json=as_json
    )


@laps.command("show", epilog=examples("nacre laps show 1", "nacre laps show 1 --json"))
def show_lap(lap_id: Identity, database: Database = None, as_json: AsJson = False) -> None:
    """Show a lap: its seven stages, and everything recorded in it."""
    perform("evidence:show_lap", lap_id=lap_id, database=database, as_json=as_json)
