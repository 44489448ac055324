"""Acts on failed work: retry what can be retried, dismiss a cause with a reason.

Stands over the read model of failed work. A dismissal holds for what has failed so far under one cause; what
fails later is shown again. It is kept as a closed review item with who dismissed it and why. It never
changes what failed.
"""

from collections.abc import Callable
from typing import NamedTuple

from services.domain.errors import ConflictError, ForbiddenError, InvalidValueError
from services.domain.failed_work import WHY_NOT_RETRIED, FailedKind
from services.operations import accounts, dead_letters, review_queue
from services.store import sql, tables
from services.store.tx import Tx
from services.store.views import failed_work as view

PostAgain = Callable[[Tx, int, int | None], int]
"""Posts a failed task again for an agent (None: an operator) and returns the id of the new task."""

REASON_KEPT = 4_000


class Retried(NamedTuple):
    """What a retry did: the kind and id that was retried, and the new task when there is one."""

    kind: FailedKind
    id: int
    task_id: int | None


class Dismissed(NamedTuple):
    """What a dismissal took off the list: the cause, and how many things it held."""

    kind: FailedKind
    cause: str
    things: int


def retry(tx: Tx, kind: FailedKind, item_id: int, *, agent_id: int | None, post_again: PostAgain) -> Retried:
    """Retry one failed thing; `agent_id` None is an operator, an agent may retry its own tasks.

    Raises ConflictError (`not_retriable`, saying why) for kinds that cannot be retried by hand,
    ForbiddenError for what is not the agent's, and what the retry itself raises.
    """
    why_not = WHY_NOT_RETRIED.get(kind)
    if why_not is not None:
        msg = f"{kind.replace('_', ' ')} {item_id} cannot be retried: {why_not}"
        raise ConflictError(msg, field="kind", code="not_retriable")
    if kind is FailedKind.TASK:
        return Retried(kind, item_id, post_again(tx, item_id, agent_id))
    if agent_id is not None:
        msg = "only an operator delivers a dead letter again"
        raise ForbiddenError(msg, field="kind")
    dead_letters.replay_one(tx, item_id)
    return Retried(kind, item_id, None)


def dismiss(tx: Tx, kind: FailedKind, item_id: int, *, agent_id: int | None, reason: str) -> Dismissed:
    """Take the line that holds this thing off the list, with a reason; return what that was.

    Raises ConflictError (`not_waiting`) when it is not on the list, ForbiddenError when the line is not the
    agent's own, InvalidValueError without a reason, ConflictError (`appeal_undecided`) for an open appeal.
    """
    if not reason.strip():
        msg = "a dismissal needs a reason"
        raise InvalidValueError(msg, field="body.reason", code="reason_missing")
    line = _line_with(tx, kind, item_id)
    if agent_id is not None and (
        kind is not FailedKind.TASK or line.owner != accounts.agent_account(agent_id)
    ):
        msg = f"{line.what} waits for {line.owner}"
        raise ForbiddenError(msg, field="id")
    if kind is FailedKind.REVIEW_ITEM:
        review_queue.check_undecided(tx, line.ids)
        sql.update(tx, tables.review_item, {"id": line.ids, "closed_at_us": None}, closed_at_us=tx.now_us)
    context = {
        "cause": line.cause,
        "newest_id": line.ids[0],
        "count": line.count,
        "reason": reason[:REASON_KEPT],
        "by": tx.actor,
    }
    sql.insert(
        tx,
        tables.review_item,
        kind=view.DISMISSED,
        subject=line.cause[:120],
        context=context,
        opened_at_us=tx.now_us,
        closed_at_us=tx.now_us,
    )
    return Dismissed(kind, line.cause, line.count)


def _line_with(tx: Tx, kind: FailedKind, item_id: int) -> view.Line:
    """Return the line of the list that holds this thing; raise ConflictError when there is none."""
    cause = None
    if kind is FailedKind.TASK:
        row = sql.find(tx, tables.task, id=item_id)
        cause = None if row is None else view.cause_of_task(row)
    for line in view.failed_lines(tx, (kind,), view.dismissals(tx)):
        if item_id in line.ids or (line.cause == cause and item_id <= line.ids[0]):
            return line
    msg = f"{kind.replace('_', ' ')} {item_id} does not wait for anybody"
    raise ConflictError(msg, field="id", code="not_waiting")
