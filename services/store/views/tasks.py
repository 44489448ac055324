"""Read models of tasks: a task in a list, and one task's whole life.

Stands in the store beside the market's queries (L4); the API, the pages and the command line show these.
Sealed bids stay sealed: they are shown only after the window has closed and the task has left `bidding`; when
it comes back to `bidding`, what earlier awards tell of them is sealed again. It never changes anything, and
what the platform holds back for its verifier never leaves here.
"""

from collections.abc import Sequence

from sqlalchemy import Select, bindparam, select

from services.domain.states import TaskState
from services.store.sql import Row, find, find_all, listed
from services.store.tables import (
    account,
    attempt,
    award,
    bid,
    exposure,
    late_result,
    task,
    transfer,
)
from services.store.tx import Tx
from services.store.views.paging import LIMIT_DEFAULT, JsonObject, Page, at, fetch_page, seconds_of

DEBIT, CREDIT = account.alias("debit"), account.alias("credit")
TRANSFERS = (
    select(transfer, DEBIT.c.owner.label("debit"), CREDIT.c.owner.label("credit"))
    .join(DEBIT, DEBIT.c.id == transfer.c.debit_account_id)
    .join(CREDIT, CREDIT.c.id == transfer.c.credit_account_id)
    .where(transfer.c.task_id.in_(bindparam("task_ids", expanding=True)))
    .order_by(transfer.c.id)
)


def list_tasks(  # noqa: PLR0913  every filter of the contract has its name
    tx: Tx,
    *,
    type: str | None = None,  # noqa: A002  the name of the filter in the contract
    state: str | None = None,
    kind: str | None = None,
    ended_after_us: int | None = None,
    requester_id: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
    oldest_first: bool = False,
) -> Page:
    """Return a page of tasks; `ended_after_us` keeps those that ended later than that instant."""
    statement: Select[tuple[object, ...]] = select(task)
    for column, value in (
        (task.c.type, type),
        (task.c.state, state),
        (task.c.kind, kind),
        (task.c.requester_id, requester_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if ended_after_us is not None:
        statement = statement.where(task.c.ended_at_us > ended_after_us)
    found, following = fetch_page(
        tx, statement, task.c.id, limit=limit, cursor=cursor, oldest_first=oldest_first
    )
    return {"items": [task_summary(row) for row in found], "next_cursor": following}


def get_task(tx: Tx, task_id: int) -> JsonObject | None:
    """Return one task with its bids (once they are open), awards, attempts, exposures and money."""
    found = find(tx, task, id=task_id)
    if found is None:
        return None
    is_open = are_bids_open(tx, found)
    again = find(tx, task, retry_of_id=task_id)
    return {
        **task_summary(found),
        "retried_as_id": again["id"] if again else None,
        "bids": [_bid(row) for row in find_all(tx, bid, task_id=task_id)] if is_open else [],
        "awards": [_award(row, is_open=is_open) for row in find_all(tx, award, task_id=task_id)],
        "attempts": [_attempt(row) for row in find_all(tx, attempt, task_id=task_id, order_by="number")],
        "exposures": [_exposure(row) for row in find_all(tx, exposure, task_id=task_id)],
        "transfers": list_transfers(tx, task_id),
        "late_results": _late_results(tx, found),
    }


def _late_results(tx: Tx, row: Row) -> list[JsonObject]:
    """Return refused results once the task has ended: before, another agent could hand them in as its own."""
    if row["ended_at_us"] is None:
        return []
    return [_late_result(item) for item in find_all(tx, late_result, task_id=row["id"])]


def are_bids_open(tx: Tx, row: Row) -> bool:
    """Tell whether the asks of a task may be shown: its window has closed and it is no longer bidding."""
    return bool(row["state"] != TaskState.BIDDING and tx.now_us >= row["bids_close_at_us"])


def get_new_tasks(tx: Tx, task_ids: Sequence[int]) -> dict[int, JsonObject]:
    """Return tasks posted in this transaction as `get_task` does: nothing has happened to them yet."""
    if not task_ids:
        return {}
    transfers = _transfers(tx, task_ids)
    return {
        row["id"]: {
            **task_summary(row),
            "retried_as_id": None,
            "bids": [],
            "awards": [],
            "attempts": [],
            "exposures": [],
            "transfers": transfers[row["id"]],
            "late_results": [],
        }
        for row in find_all(tx, task, id=list(task_ids))
    }


def task_summary(row: Row) -> JsonObject:
    """Return a task row as the Task of the API's lists."""
    return {
        "task_id": row["id"],
        "kind": row["kind"],
        "type": row["type"],
        "state": row["state"],
        "requester_id": row["requester_id"],
        "lap_id": row["lap_id"],
        "payload": row["public"],
        "reserve_price_microcredits": row["reserve_price_microcredits"],
        "posted_at": at(row["posted_at_us"]),
        "bids_close_at": at(row["bids_close_at_us"]),
        "awarded_at": at(row["awarded_at_us"]),
        "deadline_at": at(row["deadline_at_us"]),
        "ended_at": at(row["ended_at_us"]),
        "awarded_agent_id": row["awarded_agent_id"],
        "attempt_count": row["attempt_count"],
        "end_reason": row["end_reason"],
        "duration_seconds": seconds_of(row["duration_us"]),
        "paid_microcredits": row["paid_microcredits"],
        "parameters": row["effective_values"],
        "is_holdout": bool(row["is_holdout"]),
        "workflow": row["workflow"],
        "retry_of_id": row["retry_of_id"],
    }


def list_transfers(tx: Tx, task_id: int) -> list[JsonObject]:
    """Return the money movements of one task, oldest first, with the owners of both accounts."""
    return _transfers(tx, [task_id])[task_id]


def _transfers(tx: Tx, task_ids: Sequence[int]) -> dict[int, list[JsonObject]]:
    found: dict[int, list[JsonObject]] = {task_id: [] for task_id in task_ids}
    for row in listed(tx, TRANSFERS, task_ids=list(task_ids)):
        found[row["task_id"]].append(_transfer(row))
    return found


def _transfer(row: Row) -> JsonObject:
    return {
        "transfer_id": row["id"],
        "kind": row["kind"],
        "debit": row["debit"],
        "credit": row["credit"],
        "amount_microcredits": row["amount"],
        "created_at": at(row["created_at_us"]),
    }


def _bid(row: Row) -> JsonObject:
    return {
        "agent_id": row["agent_id"],
        "ask_microcredits": row["ask_microcredits"],
        "confidence_percent": row["confidence_percent"],
        "placed_at": at(row["placed_at_us"]),
    }


def _award(row: Row, *, is_open: bool) -> JsonObject:
    """Return an award; what tells of other bids (inputs, the price they made) only while those are open."""
    return {
        "attempt_number": row["attempt_number"],
        "agent_id": row["agent_id"],
        "rule": row["rule"],
        "seed": row["seed"],
        "price_microcredits": row["price_microcredits"] if is_open else None,
        "stake_microcredits": row["stake_microcredits"],
        "is_unproven": bool(row["is_unproven"]),
        "inputs": row["inputs"] if is_open else None,
        "awarded_at": at(row["awarded_at_us"]),
    }


def _attempt(row: Row) -> JsonObject:
    return {
        "number": row["number"],
        "agent_id": row["agent_id"],
        "state": row["state"],
        "leased_at": at(row["leased_at_us"]),
        "allowed_until": at(row["allowed_until_us"]),
        "expires_at": at(row["expires_at_us"]),
        "heartbeat_at": at(row["heartbeat_at_us"]),
        "submitted_at": at(row["submitted_at_us"]),
        "ended_at": at(row["ended_at_us"]),
        "handoff": row["handoff"],
        "verification": row["verification"],
        "reason": row["reason"],
    }


def _exposure(row: Row) -> JsonObject:
    return {
        "experiment_id": row["experiment_id"],
        "arm": row["arm"],
        "value": row["value"],
        "share": row["share"],
        "ordinal": row["ordinal"],
        "outcome": row["outcome"],
    }


def _late_result(row: Row) -> JsonObject:
    return {
        "late_result_id": row["id"],
        "agent_id": row["agent_id"],
        "fencing_token": row["fencing_token"],
        "handoff": row["handoff"],
        "reason": row["reason"],
        "received_at": at(row["received_at_us"]),
    }
