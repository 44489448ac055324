"""Retrying by hand: a task that failed or expired is posted again as a new one, once.

Stands in layer 4 beside posting. What the market retries by itself (attempts of one task) is another matter:
see the retry policy of each type. It never changes the task that failed.
"""

from services.domain.errors import ConflictError, ForbiddenError, NotFoundError
from services.domain.failed_work import INVESTIGATION
from services.domain.states import TaskKind, TaskState
from services.meta_task_market import posting
from services.store import sql, tables
from services.store.tx import Tx


def retry_task(tx: Tx, task_id: int, agent_id: int | None) -> int:
    """Post a failed or expired task again, on its own terms and paid by its requester; return the new id.

    `agent_id` None is an operator. The time allowed from now on is that of the first task. Raises
    ForbiddenError for anybody else's task, ConflictError for one that has not failed, was retried already, or
    is an investigation; and what posting raises.
    """
    task = sql.find(tx, tables.task, lock=True, id=task_id)
    if task is None:
        msg = f"there is no task {task_id}"
        raise NotFoundError(msg, field="id")
    if agent_id is not None and task["requester_id"] != agent_id:
        msg = f"task {task_id} was posted by somebody else"
        raise ForbiddenError(msg, field="id")
    if task["kind"] == TaskKind.META:
        msg = f"task {task_id} cannot be retried: {INVESTIGATION}"
        raise ConflictError(msg, field="id", code="not_retriable")
    if task["state"] not in (TaskState.FAILED, TaskState.EXPIRED):
        msg = f"task {task_id} is {task['state']}; only failed or expired tasks are retried"
        raise ConflictError(msg, field="id", code="not_failed", state=task["state"])
    again = sql.find(tx, tables.task, retry_of_id=task_id)
    if again is not None:
        msg = f"task {task_id} was retried already, as task {again['id']}"
        raise ConflictError(msg, field="id", code="retried_already", task_id=again["id"])
    terms = posting.TaskTerms(
        kind=TaskKind(task["kind"]),
        type=task["type"],
        public=task["public"],
        private=task["private"],
        requester_id=task["requester_id"],
        reserve_price_microcredits=task["reserve_price_microcredits"],
        deadline_us=task["deadline_at_us"] - task["posted_at_us"],
        workflow=task["workflow"],
        retry_of_id=task_id,
    )
    return posting.post_task(tx, terms)
