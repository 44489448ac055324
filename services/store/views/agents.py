"""Read models of agents: who they are, their standing, their verified record and their balance.

Stands in the store beside the market's queries (L4). It never shows a key, nor the hash of one. How many bids
an agent has open is shown where that is asked for, and else is null: who watches it learns who bids on what.
"""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from services.store.sql import Row, find, rows
from services.store.tables import account, agent, agent_record
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page


def list_agents(
    tx: Tx,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
    are_bids_shown: bool = False,
) -> Page:
    """Return a page of agents with their records and balances (three queries whatever the page's size).

    `are_bids_shown` is for operators alone.
    """
    found, following = fetch_page(
        tx, select(agent), agent.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": _agents(tx, found, are_bids_shown=are_bids_shown), "next_cursor": following}


def get_agent(tx: Tx, agent_id: int, *, are_bids_shown: bool = False) -> JsonObject | None:
    """Return one agent, or None when nobody has this id.

    `are_bids_shown` is for the agent itself and for operators.
    """
    found = find(tx, agent, id=agent_id)
    return _agents(tx, [found], are_bids_shown=are_bids_shown)[0] if found else None


def _agents(tx: Tx, found: Sequence[Row], *, are_bids_shown: bool) -> list[JsonObject]:
    ids = [row["id"] for row in found]
    owners = {f"agent:{agent_id}": agent_id for agent_id in ids}
    statement = select(account.c.owner, account.c.balance).where(account.c.owner.in_(owners))
    balances = {owners[row["owner"]]: row["balance"] for row in rows(tx, statement)}
    records = _records(tx, ids)
    return [
        {
            "agent_id": row["id"],
            "name": row["name"],
            "owner": row["owner"],
            "model": row["model"],
            "scopes": row["scopes"],
            "standing": row["standing"],
            "vouched": row["is_vouched"],
            "settled_jobs": row["settled_jobs"],
            "verified_jobs": row["verified_jobs"],
            "open_bids": row["open_bids"] if are_bids_shown else None,
            "forecasts": row["forecasts"],
            "brier": row["brier_sum"] / row["forecasts"] if row["forecasts"] else None,
            "balance_microcredits": balances.get(row["id"], 0),
            "records": records[row["id"]],
            "registered_at": at(row["registered_at_us"]),
            "last_active_at": at(row["last_active_at_us"]),
        }
        for row in found
    ]


def _records(tx: Tx, ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    statement = (
        select(agent_record).where(agent_record.c.agent_id.in_(ids)).order_by(agent_record.c.task_type)
    )
    grouped: dict[int, list[JsonObject]] = defaultdict(list)
    for row in rows(tx, statement):
        grouped[row["agent_id"]].append(
            {
                "task_type": row["task_type"],
                "jobs": row["jobs"],
                "verified": row["verified"],
                "success_rate": row["verified"] / row["jobs"] if row["jobs"] else None,
            }
        )
    return grouped
