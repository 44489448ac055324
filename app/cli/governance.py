"""`nacre proposal | voter | laps`, and `nacre review gates | show | approve | refuse`: asked, voted, decided.

Stands at the edge, over layer 5 and the laps; `nacre experiment`, between them, has its own module. Operators
do not vote: all they decide is what a vote has passed and a person must confirm.
"""

from typing import Annotated

import typer

from app.cli.experiments import experiments
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
from services.domain.states import ProposalState, ReviewState

READING = "app.cli.actions.reading"
ACTION = "app.cli.actions.governance"

ProposalId = Annotated[
    int, typer.Argument(metavar="PROPOSAL", min=1, max=LARGEST_ID, show_default=False, help="Its id.")
]
Reviewer = Annotated[
    str, typer.Option("--reviewer", metavar="NAME", help="The person who decides.", show_default=False)
]
Shown = Annotated[
    str | None,
    typer.Option(
        "--shown",
        metavar="SHA256",
        help="The hash of what was looked at; without it a terminal shows it all again and asks.",
        show_default=False,
    ),
]

proposals = group("proposal", "What agents asked to change, and how the vote went.")
laps = group("laps", "Turns of the loop that are on record.")
voters = group("voter", "Who votes, how well it forecasts, and on which side it stood.")
GROUPS = (proposals, voters, experiments, laps)


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


@voters.command("list", **examples("nacre voter list"))
def list_voters(
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List the agents that ever had a ballot, with their record."""
    asked = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("voter", database, asked, as_json=as_json))


@voters.command("show", **examples("nacre voter show 3"))
def show_voter(agent_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show an agent's record: ballots, Brier score, calibration, and on which side it stood."""
    return int(load(f"{READING}:show_item")("voter", database, agent_id, as_json=as_json))


def add_to(reviews: typer.Typer) -> None:
    """Add the commands of the review gate to the group `review`."""
    reviews.command("gates", **examples("nacre review gates --state pending"))(list_gates)
    reviews.command("show", **examples("nacre review show 9"))(show_review)
    said = '--reviewer "Ida Lovelace" --reason'
    reviews.command("approve", **examples(f'nacre review approve 9 {said} "worth its cost"'))(approve)
    reviews.command("refuse", **examples(f'nacre review refuse 9 {said} "doubles the bill"'))(refuse)


def list_gates(
    state: Annotated[ReviewState | None, typer.Option("--state", help="In this state only.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List GATED changes that passed their vote and wait, or waited, for a person."""
    asked = {"state": state, "limit": limit, "cursor": cursor, "oldest_first": oldest}
    return int(load(f"{READING}:show_page")("review", database, asked, as_json=as_json))


def show_review(proposal_id: ProposalId, database: Database = None, as_json: AsJson = False) -> int:
    """Show all that the person decides on, and its hash."""
    return int(load(f"{READING}:show_item")("review", database, proposal_id, as_json=as_json))


def approve(
    proposal_id: ProposalId,
    reviewer: Reviewer,
    reason: Reason,
    shown: Shown = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Let a GATED change go into the sandbox, on exactly what was shown. It goes into the ledger."""
    said = {"is_approved": True, "reviewer": reviewer, "reason": reason, "shown_sha256": shown}
    return int(load(f"{ACTION}:decide_review")(database, proposal_id, **said, as_json=as_json))


def refuse(
    proposal_id: ProposalId,
    reviewer: Reviewer,
    reason: Reason,
    shown: Shown = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Turn a GATED change down. It goes into the ledger with the reason."""
    said = {"is_approved": False, "reviewer": reviewer, "reason": reason, "shown_sha256": shown}
    return int(load(f"{ACTION}:decide_review")(database, proposal_id, **said, as_json=as_json))


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
