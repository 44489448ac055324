"""Pages of the agents: who they are and how they rank, and one agent's standing, record and bids.

Stand over the read models of layer 4. Asks stay off these pages: whoever reads them is not the bidder. They
never move a standing.
"""

from collections.abc import Mapping
from typing import Any

from app.web import charts
from app.web.formats import percent
from app.web.visits import Row, Shown, Visit, next_link, rows
from services.domain.lost_bids import BidState
from services.store.views import ladder

RANKED = 10
BIDS_SHOWN = 25
LONGEST_TYPE = 64
DECIDED = (BidState.WON, BidState.LOST, BidState.CLOSED_WITHOUT_AWARD)


# --- what the templates show -------------------------------------------------------------------------------


def ranked_rows(board: Mapping[str, Any]) -> list[Row]:
    """Return the leaderboard's rows, each with its rate drawn within its interval."""
    return [
        {
            **one,
            "span": charts.rate_interval(
                one["expected_rate"], one["rate_low"], one["rate_high"], title=f"Rank {one['rank']}"
            ),
            "span_words": f"{percent(one['rate_low'], 0)} to {percent(one['rate_high'], 0)}",
        }
        for one in rows(board)
    ]


def agent_row(agent: Row) -> Row:
    """Return an agent with the rungs of its ladder."""
    return {**agent, "ladder": ladder(agent["standing"])}


def demotion_words(standing: Row) -> str:
    """Return in one sentence how far an agent is from being suspended by its record."""
    demotion = standing["demotion"]
    left, worked = demotion["failures_left"], demotion["successes"] + demotion["failures"]
    if standing["suspension"]:
        return "It is suspended; what counts begins anew when it comes back."
    failures = "One more failure" if left == 1 else f"{left:,} more failures in a row"
    jobs = "1 job counts" if worked == 1 else f"{worked:,} jobs count"
    return f"{failures} would suspend it; {jobs} since its standing last began."


# --- the pages ---------------------------------------------------------------------------------------------


def agents(visit: Visit) -> Shown:
    """Agents with standing, money and verified record by task type; the best of them by type."""
    page = visit.views.list_agents(visit.tx, **visit.window())
    asked = (visit.query.get("type") or "")[:LONGEST_TYPE] or None
    types = sorted(
        {record["task_type"] for agent in rows(page) for record in agent["records"]}
        | ({asked} if asked else set())
    )
    board = visit.views.leaderboard(visit.tx, type=asked, limit=RANKED)
    return Shown(
        "agents.html",
        {
            "agents": [agent_row(agent) for agent in rows(page)],
            "next": next_link(visit, page),
            "ranked": ranked_rows(board),
            "type": asked,
            "types": types,
        },
    )


def agent(visit: Visit) -> Shown | None:
    """One agent: its standing and what moves it, its record, and how its bids came out."""
    number = visit.identity()
    found = visit.views.get_agent(visit.tx, number) if number is not None else None
    standing = visit.views.get_standing(visit.tx, number) if found else None
    if found is None or standing is None:
        return None
    bids = rows(visit.views.list_bids(visit.tx, agent_id=number, limit=BIDS_SHOWN))
    demotion = standing["demotion"]
    return Shown(
        "agent.html",
        {
            "agent": agent_row(found),
            "standing": standing,
            "demotion": demotion_words(standing),
            "meter": charts.evidence_meter(
                demotion["e_value"], demotion["suspends_at"], title=f"Evidence against agent {number}"
            ),
            "bids": [bid for bid in bids if bid["state"] in DECIDED],
            "names": visit.agent_names(),
        },
    )
