"""Taking back: a requester or an operator cancels a task at any stage before it has ended.

Stands in layer 4 beside posting. A requester that cancels after the award pays for what it stops, so that
taking back cannot be used to bend an experiment or to get work for nothing. It never looks at a result.
"""

from services.domain.errors import ConflictError, ForbiddenError, NotFoundError
from services.domain.states import TASK_ENDS, EndReason, TaskState
from services.meta_task_market.ending import Endings, stake_of
from services.meta_task_market.rules import MarketRules, rules_now
from services.store import market
from services.store.sql import Row
from services.store.tx import Tx


def cancel_task(tx: Tx, *, task_id: int, agent_id: int | None) -> int:
    """Take a task back and return the fee that its requester paid; `agent_id` None is an operator.

    Free while bids are taken; once awarded, the share `market.cancel_percent` of the price goes to the agent;
    once a result is in, all of it. An operator's act costs nobody anything. Raises ForbiddenError for anybody
    else's task, ConflictError once the task has ended.
    """
    task = market.locked_tasks(tx, [task_id]).get(task_id)
    if task is None:
        msg = f"there is no task {task_id}"
        raise NotFoundError(msg, field="task_id")
    if agent_id is not None and task["requester_id"] != agent_id:
        msg = f"task {task_id} was posted by somebody else"
        raise ForbiddenError(msg, field="task_id")
    if task["state"] in TASK_ENDS:
        msg = f"task {task_id} is {task['state']}; what has ended cannot be cancelled"
        raise ConflictError(msg, field="task_id", state=task["state"])
    rules = rules_now(tx, (task["type"],))
    award = market.awards_now(tx, [task_id]).get(task_id)
    fee = 0 if agent_id is None or award is None else fee_of(task, award["price_microcredits"], rules)
    if award is None or not fee:
        endings = Endings(tx, rules, [task], actor=tx.actor)
        endings.end(task, TaskState.CANCELLED, EndReason.CANCELLED, stake=stake_of(task))
    else:
        endings = Endings(tx, rules, [task], paid_to=[award["agent_id"]], actor=tx.actor)
        endings.end_with_fee(task, award["agent_id"], fee)
    endings.write()
    return fee


def fee_of(task: Row, price_microcredits: int, rules: MarketRules) -> int:
    """Return what taking back a task costs its requester at this stage, in micro-credits."""
    if task["state"] == TaskState.BIDDING:
        return 0
    if task["state"] == TaskState.SUBMITTED:
        return price_microcredits
    return price_microcredits * rules.whole("cancel_percent") // 100
