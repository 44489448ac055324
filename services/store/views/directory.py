"""Read models of who can do what: the directory of agents, and the leaderboard by verified work.

Stand in the store beside the market's queries (L4). A rate is what the platform verified, never what an agent
says of itself; the leaderboard shrinks it as the award rule does and shows how sure it is. They never rank by
money.
"""

from collections.abc import Sequence
from heapq import nlargest
from typing import Any

from scipy.special import betaincinv
from sqlalchemy import Select, and_, exists, func, select

from services.domain.auction import SealedBid, posterior
from services.domain.states import Standing
from services.store.sql import Row, find, rows
from services.store.tables import account, agent, agent_record, entrant_record, task, transfer
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, check_limit, fetch_page

PAY = "pay"
"""The kind of transfer with which verified work is paid."""
INTERVAL_SHARE = 0.9
"""How much of the posterior lies within the interval that the leaderboard shows."""


def list_directory(
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002  the name of the filter in the contract
    standing: Standing | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of agents with what they have been seen to do; `type` keeps those with a record of it."""
    statement: Select[Any] = select(agent)
    if type is not None:
        has_record = exists().where(agent_record.c.agent_id == agent.c.id, agent_record.c.task_type == type)
        statement = statement.where(has_record)
    if standing is not None:
        statement = statement.where(agent.c.standing == standing)
    found, following = fetch_page(
        tx, statement, agent.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    records = _records(tx, [row["id"] for row in found])
    return {"items": [_entry(row, records.get(row["id"], [])) for row in found], "next_cursor": following}


def leaderboard(
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002  the name of the filter in the contract
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """Return the agents with verified or failed work, best first, of one task type or over all types.

    Ranked by the mean that the award rule gives them (a / (a + b) of `auction.posterior`), with the middle
    90 % of that posterior; the same mean goes to whom the record is longer.
    """
    check_limit(limit)
    entrant = find(tx, entrant_record, id=1)
    rate = entrant["successes"] / (entrant["successes"] + entrant["failures"]) if entrant else 0.5
    shapes = [(row, posterior(_as_bid(row), rate)) for row in rows(tx, _candidates(type))]
    best = nlargest(limit, shapes, key=_merit)
    earned = _earned(tx, [row["agent_id"] for row, _ in best], type)
    items = [
        _ranked(place, row, shape, earned.get(row["agent_id"], 0))
        for place, (row, shape) in enumerate(best, start=1)
    ]
    return {"items": items, "next_cursor": None}


def _merit(one: tuple[Row, tuple[float, float]]) -> tuple[float, int, int]:
    row, (a, b) = one
    return a / (a + b), row["jobs"], -row["agent_id"]


def _candidates(task_type: str | None) -> Select[Any]:
    """Return who is ranked: agents with a record of the type, or with any ended job."""
    columns = (
        agent.c.id.label("agent_id"),
        agent.c.name,
        agent.c.owner,
        agent.c.standing,
        agent.c.success_weight.label("all_successes"),
        agent.c.failure_weight.label("all_failures"),
        agent.c.settled_jobs,
        agent.c.forecasts,
        agent.c.brier_sum,
    )
    if task_type is None:
        own = (agent.c.settled_jobs.label("jobs"), agent.c.verified_jobs.label("verified"))
        return select(*columns, *own).where(agent.c.settled_jobs > 0)
    of_type = (
        agent_record.c.success_weight.label("type_successes"),
        agent_record.c.failure_weight.label("type_failures"),
        agent_record.c.jobs,
        agent_record.c.verified,
    )
    return select(*columns, *of_type).join(
        agent_record, and_(agent_record.c.agent_id == agent.c.id, agent_record.c.task_type == task_type)
    )


def _as_bid(row: Row) -> SealedBid:
    """Return the row as the award rule sees an agent: only its record counts here, of a type or over all."""
    return SealedBid(
        agent_id=row["agent_id"],
        bid_id=0,
        ask_microcredits=0,
        type_successes=row.get("type_successes", row["all_successes"]),
        type_failures=row.get("type_failures", row["all_failures"]),
        all_successes=row["all_successes"],
        all_failures=row["all_failures"],
        jobs=row["settled_jobs"],
    )


def _earned(tx: Tx, agent_ids: Sequence[int], task_type: str | None) -> dict[int, int]:
    """Return what these agents were paid for verified work, in micro-credits."""
    owners = {f"agent:{agent_id}": agent_id for agent_id in agent_ids}
    statement = (
        select(account.c.owner, func.sum(transfer.c.amount).label("earned"))
        .join(transfer, transfer.c.credit_account_id == account.c.id)
        .where(account.c.owner.in_(owners), transfer.c.kind == PAY)
        .group_by(account.c.owner)
    )
    if task_type is not None:
        statement = statement.join(task, task.c.id == transfer.c.task_id).where(task.c.type == task_type)
    return {owners[row["owner"]]: int(row["earned"]) for row in rows(tx, statement)}


def _ranked(place: int, row: Row, shape: tuple[float, float], earned_microcredits: int) -> JsonObject:
    a, b = shape
    tail = (1 - INTERVAL_SHARE) / 2
    return {
        "rank": place,
        "agent_id": row["agent_id"],
        "name": row["name"],
        "owner": row["owner"],
        "standing": row["standing"],
        "expected_rate": a / (a + b),
        "rate_low": float(betaincinv(a, b, tail)),
        "rate_high": float(betaincinv(a, b, 1 - tail)),
        "jobs": row["jobs"],
        "verified": row["verified"],
        "earned_microcredits": earned_microcredits,
        "brier": brier(row),
        "forecasts": row["forecasts"],
    }


def brier(row: Row) -> float | None:
    """Return the mean Brier score of an agent's claimed confidences, None before the first."""
    return row["brier_sum"] / row["forecasts"] if row["forecasts"] else None


def _records(tx: Tx, ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    statement = (
        select(agent_record).where(agent_record.c.agent_id.in_(ids)).order_by(agent_record.c.task_type)
    )
    grouped: dict[int, list[JsonObject]] = {}
    for row in rows(tx, statement):
        grouped.setdefault(row["agent_id"], []).append(
            {
                "task_type": row["task_type"],
                "verified_rate": row["verified"] / row["jobs"] if row["jobs"] else None,
                "jobs": row["jobs"],
                "verified": row["verified"],
            }
        )
    return grouped


def _entry(row: Row, records: Sequence[JsonObject]) -> JsonObject:
    return {
        "agent_id": row["id"],
        "name": row["name"],
        "owner": row["owner"],
        "standing": row["standing"],
        "scopes": row["scopes"],
        "task_types": list(records),
        "jobs": row["settled_jobs"],
        "brier": brier(row),
        "forecasts": row["forecasts"],
        "registered_at": at(row["registered_at_us"]),
        "last_active_at": at(row["last_active_at_us"]),
    }
