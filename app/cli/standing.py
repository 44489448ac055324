"""`nacre agent bids | directory | leaderboard | standing | recompute | suspend | decide-appeal`.

Stands at the edge, over the read models of the market (L4) and the acts on standing. It declares commands;
what they do is loaded when they run.
"""

from enum import StrEnum
from typing import Annotated

import typer

from app.cli.options import LIMIT_DEFAULT, AsJson, Cursor, Database, Id, Limit, Oldest, Reason, examples
from app.lazy import load
from services.domain.lost_bids import BidState
from services.domain.states import Standing

READING = "app.cli.actions.reading"
ACTION = "app.cli.actions.standing"

TaskTypeName = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Of this task type only.", show_default=False)
]


class Decision(StrEnum):
    """An operator's word on an appeal."""

    GRANTED = "granted"
    """The agent is reinstated."""
    DENIED = "denied"
    """The suspension stays."""


def add_to(agents: typer.Typer) -> None:
    """Add the commands to the group `agent`."""
    agents.command("bids", **examples("nacre agent bids 3 --state lost"))(list_bids)
    agents.command("directory", **examples("nacre agent directory --type monte_carlo"))(list_directory)
    agents.command("leaderboard", **examples("nacre agent leaderboard --type monte_carlo"))(leaderboard)
    agents.command("standing", **examples("nacre agent standing 3"))(show_standing)
    agents.command("recompute", **examples("nacre agent recompute", "nacre agent recompute 3"))(recompute)
    agents.command("suspend", **examples('nacre agent suspend 7 --reason "it copies results"'))(suspend)
    agents.command(
        "decide-appeal", **examples('nacre agent decide-appeal 4 granted --reason "its source was down"')
    )(decide_appeal)


def list_bids(
    agent_id: Id,
    state: Annotated[BidState | None, typer.Option("--state", help="Only bids in this state.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List an agent's bids: won, open, or lost with the reason."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    asked = {"agent_id": agent_id, "state": state, **page}
    return int(load(f"{READING}:show_page")("bid", database, asked, as_json=as_json))


def list_directory(
    task_type: TaskTypeName = None,
    standing: Annotated[
        Standing | None, typer.Option("--standing", help="Only agents of this standing.")
    ] = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    oldest: Oldest = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """List who can do what: task types with verified rates, and how well each forecasts."""
    page = {"limit": limit, "cursor": cursor, "oldest_first": oldest}
    asked = {"type": task_type, "standing": standing, **page}
    return int(load(f"{READING}:show_page")("directory entry", database, asked, as_json=as_json))


def leaderboard(
    task_type: TaskTypeName = None,
    limit: Limit = LIMIT_DEFAULT,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Rank agents by the rate that the award rule expects of them, with the middle 90 % around it."""
    asked = {"type": task_type, "limit": limit}
    return int(load(f"{READING}:show_page")("ranked agent", database, asked, as_json=as_json))


def show_standing(agent_id: Id, database: Database = None, as_json: AsJson = False) -> int:
    """Show an agent's rung, the evidence against it, the failures it still allows, and the way back."""
    return int(load(f"{READING}:show_item")("standing", database, agent_id, as_json=as_json))


def recompute(
    agent_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=2**63 - 1, help="Without it: every agent.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Fold the recorded outcomes anew and compare; exit code 1 names what is stored otherwise."""
    return int(load(f"{ACTION}:recompute")(database, agent_id, as_json=as_json))


def suspend(agent_id: Id, reason: Reason, database: Database = None, as_json: AsJson = False) -> int:
    """Take an agent's standing away. It goes into the ledger with its reason."""
    return int(load(f"{ACTION}:suspend")(database, agent_id, reason=reason, as_json=as_json))


def decide_appeal(
    item_id: Id,
    decision: Annotated[Decision, typer.Argument(metavar="granted|denied", help="What the appeal comes to.")],
    reason: Reason,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Grant or deny an appeal (a review item). It goes into the ledger with its reason."""
    action = load(f"{ACTION}:decide_appeal")
    is_granted = decision is Decision.GRANTED
    return int(action(database, item_id, is_granted=is_granted, reason=reason, as_json=as_json))
